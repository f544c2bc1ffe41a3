//! `kill -9` at the worst moments: the real binary, eight calls at a time, two gateways that count, an application that
//! remembers. However often the server dies, nobody is charged twice and no charge goes without a word.
//!
//! `TESTS_KILLS` says how often it is killed on each database (20), `TESTS_KILL_SEED` repeats the choices of a run
//! that failed, as far as two runs of real processes can be the same.
#![cfg(feature = "shell")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests live in the real world"
)]
#![allow(unreachable_pub, reason = "the parts of a test have no outside")]

#[path = "kill/agents.rs"]
mod agents;
#[path = "kill/application.rs"]
mod application;
#[path = "kill/books.rs"]
mod books;
#[path = "kill/callers.rs"]
mod callers;
#[path = "kill/check.rs"]
mod check;
#[allow(dead_code, reason = "shared with another test")]
#[path = "memory/numbers.rs"]
mod numbers;
#[path = "kill/processor.rs"]
mod processor;
#[path = "kill/server.rs"]
mod server;
#[path = "kill/stripe.rs"]
mod stripe;
mod support;
#[path = "kill/wire.rs"]
mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use application::Application;
use books::{Books, Signal, Telling};
use callers::World;
use numbers::Chance;
use processor::Processor;
use server::{Place, Running};
use stripe::Stripe;
use support::postgres::Postgres;
use support::process::files;
use support::{ACCOUNT, TOKEN, write_flows};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How many calls there are at a time.
const CALLERS: usize = 8;

/// How often the server is killed unless it is said.
const KILLS: usize = 20;

/// How many calls are ended in peace after the last kill.
const CALLS_IN_PEACE: usize = 40;

/// How many of the kills are in the first starts of all.
const FIRST_STARTS: usize = 3;

/// About how long a start takes, in milliseconds.
const STARTING: u64 = 150;

/// How long the server lives at most when it is killed at any moment, in milliseconds.
const LIFE: u64 = 1500;

/// How long one waits at most for something to happen at which the server is to be killed.
const OCCASION: Duration = Duration::from_secs(3);

/// How long the server has to tell what it owes when everybody behaves again: what is told as unknown may take a minute.
const SETTLING: Duration = Duration::from_secs(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_kill_every_payment_is_made_once_and_told_once() {
    run("", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_on_sqlite_nobody_is_charged_twice_and_no_charge_goes_untold() {
    run("", kills()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_on_postgresql_nobody_is_charged_twice_and_no_charge_goes_untold() {
    // On this thread: it ends with the one that starts it.
    let postgres = Postgres::start(&[]);
    let url = postgres.database().await;
    run(&format!("database = {url:?}\n"), kills()).await;
}

/// The outcome is not known for as long as a call lasts, the server is killed, and only then the gateway tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_as_unknown_before_the_kill_is_told_once_more_when_it_is_found_out() {
    let mut scene = Scene::set("").await;
    let books = Arc::clone(&scene.books);
    books.calm_down();
    books.darken(true);
    let server = scene.start().await;
    let mut callers = JoinSet::new();
    for number in 0..4 {
        let chance = Chance(scene.seeds.below(u64::MAX));
        let (world, address) = (scene.world.clone(), scene.place.address());
        callers.spawn(callers::pay_by_stripe(world, number.to_string(), number % 2 == 0, chance, address));
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("a caller");
    }
    let is_told = |what: fn(&Telling) -> bool| {
        let state = books.state();
        state
            .sessions
            .values()
            .all(|session| session.tellings().any(|told| told.is_final() && told.is_taken && what(told)))
    };
    until(SETTLING, || is_told(Telling::is_unknown)).await;
    scene.kill(server);
    books.darken(false);
    let server = scene.start().await;
    until(SETTLING, || is_told(|told| !told.is_unknown())).await;
    scene.conclude(server).await;
    assert!(is_told(Telling::is_unknown), "it was told as unknown");
    assert!(is_told(|told| !told.is_unknown()), "it was told late");
}

fn kills() -> usize {
    std::env::var("TESTS_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number of kills"))
}

fn seed() -> u64 {
    std::env::var("TESTS_KILL_SEED").map_or_else(
        |_| u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap(),
        |seed| seed.parse().expect("a seed"),
    )
}

/// What a test has around the server.
struct Scene {
    since: Instant,
    seed: u64,
    seeds: Chance,
    books: Arc<Books>,
    world: World,
    place: Place,
    folder: tempfile::TempDir,
}

async fn run(database: &str, kills: usize) {
    let mut scene = Scene::set(database).await;
    let (books, address) = (Arc::clone(&scene.books), scene.place.address());
    let (up, line) = watch::channel(None);
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let chance = Chance(scene.seeds.below(u64::MAX));
        callers.spawn(callers::keep_calling(scene.world.clone(), number, chance, line.clone()));
    }
    let mut chance = Chance(scene.seeds.below(u64::MAX));
    for kill in 0..kills {
        // A folder that was never served from, and one that was left in disorder, while it is being put in order.
        if kill < FIRST_STARTS || chance.below(6) == 0 {
            scene.kill_early(Duration::from_millis(chance.below(STARTING))).await;
            continue;
        }
        let server = scene.start().await;
        up.send_replace(Some(address));
        occasion(&books, &mut chance).await;
        scene.kill(server);
        up.send_replace(None);
    }
    let server = scene.start().await;
    up.send_replace(Some(address));
    let enough = books.calls_over.load(Ordering::Acquire) + CALLS_IN_PEACE;
    until(SETTLING, || books.calls_over.load(Ordering::Acquire) >= enough).await;
    books.calm_down();
    while let Some(ended) = callers.join_next().await {
        ended.expect("a caller");
    }
    let peaceful = books.life();
    until(SETTLING, || check::untold(&books.state(), peaceful) == 0).await;
    scene.conclude(server).await;

    let state = books.state();
    let cut = state.cut();
    assert!(cut >= kills / 4, "of {kills} kills only {cut} cut a payment in two: this has shown nothing");
    let charges = state.sessions.values().filter(|session| !session.charges().is_empty()).count();
    assert!(charges >= CALLS_IN_PEACE / 4, "{charges} charges: this has shown nothing");
}

impl Scene {
    async fn set(database: &str) -> Self {
        let seed = seed();
        let mut seeds = Chance(seed);
        let mut next = || seeds.below(u64::MAX);
        let books = Arc::new(Books::new());
        let application = Arc::new(Application::new(Arc::clone(&books), next()));
        let application_url = wire::serve(Arc::clone(&application)).await;
        let processor = wire::serve(Arc::new(Processor::new(Arc::clone(&books), next()))).await;
        let stripe = wire::serve(Arc::new(Stripe::new(Arc::clone(&books), next()))).await;
        touchtone::http::install_crypto_provider();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let world = World { books: Arc::clone(&books), application, application_url, http };
        let folder = tempfile::tempdir().unwrap();
        write_flows(&folder.path().join("flows"), &[("pay", &world.flow()), ("hold", agents::HOLD)]);
        std::fs::write(folder.path().join("touchtone.toml"), settings(database, &processor, &stripe)).unwrap();
        let place = Place::new(folder.path());
        Self { since: Instant::now(), seed, seeds, books, world, place, folder }
    }

    async fn start(&self) -> Running {
        let server = self.place.start(self.books.life() + 1).await;
        self.books.listens();
        server
    }

    /// Starts it and kills it before it listens, or just then.
    async fn kill_early(&self, after: Duration) {
        let server = self.place.spawn(self.books.life() + 1);
        sleep(after).await;
        self.books.listens();
        self.kill(server);
    }

    fn kill(&self, server: Running) {
        server.kill();
        self.books.killed();
    }

    /// Stops the server in peace and checks everything that happened.
    async fn conclude(&self, server: Running) {
        let status = server.stop().await;
        let Self { seed, books, place, .. } = self;
        let state = books.state();
        let faults = check::faults(&state, state.life());
        let summary = check::summary(&state, &faults);
        eprintln!("seed {seed}, {:.0} s\n{summary}", self.since.elapsed().as_secs_f64());
        if let Some(first) = faults.first() {
            let call_sid = state.sessions[&first.session].call_sid.as_str();
            let all: Vec<String> = faults.iter().take(30).map(ToString::to_string).collect();
            panic!(
                "{} faults (TESTS_KILL_SEED={seed}):\n{}\nthe first one's history:\n{}what the server logged:\n{}",
                faults.len(),
                all.join("\n"),
                state.history(&first.session),
                place.log_lines(state.lives.len(), &[call_sid, "panicked"]),
            );
        }
        let log = place.log_lines(state.lives.len(), &["WARN", "ERROR"]);
        assert_eq!(status.code(), Some(0), "it did not end in peace: {log}");
        drop(state);
        assert_no_card_is_left(books, self.folder.path());
    }
}

/// Waits for the moment of the next kill: any, or just after something that matters.
async fn occasion(books: &Books, chance: &mut Chance) {
    let after = match chance.below(5) {
        0 | 1 => return sleep(Duration::from_millis(chance.below(LIFE))).await,
        2 => Signal::Asked,
        3 => Signal::Replied,
        _ => Signal::Told,
    };
    sleep(Duration::from_millis(chance.below(LIFE / 2))).await;
    let mut signals = books.signals();
    let _ = timeout(OCCASION, async { while !matches!(signals.recv().await, Ok(signal) if signal == after) {} }).await;
    sleep(Duration::from_micros(chance.below(5000))).await;
}

async fn until(within: Duration, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    // If it never is so, the checks say what is missing.
    let _ = timeout(within, waiting).await;
}

fn settings(database: &str, processor: &str, stripe: &str) -> String {
    format!(
        r#"account_sid = "{ACCOUNT}"
auth_token = "{TOKEN}"
{database}
[speech]
engine = "none"
[[connector]]
name = "Processor"
kind = "generic"
mode = "live"
endpoint = "{processor}/pay"
timeout = "1"
retries = "2"
[[connector]]
name = "Stripe"
kind = "stripe"
mode = "live"
secret_key = "sk_live_s3cret"
base_url = "{stripe}"
timeout = "2"
retries = "2"
"#
    )
}

/// Nothing that a caller keyed is in a file that a killed server leaves behind.
fn assert_no_card_is_left(books: &Books, folder: &std::path::Path) {
    let cards = books.cards();
    let search = AhoCorasick::new(&cards).unwrap();
    for file in files(folder) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!search.is_match(&bytes), "a card number is in {}", file.display());
    }
}
