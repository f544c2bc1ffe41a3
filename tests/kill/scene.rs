//! What a test has around the servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use tokio::time::timeout;

use super::application::Application;
use super::callers::World;
use super::moments::pass;
use super::numbers::Chance;
use super::processor::Processor;
use super::server::{Place, Running};
use super::stored::{Books, Signal};
use super::stripe::Stripe;
use super::support::process::files;
use super::support::{ACCOUNT, TOKEN, wait, write_flows};
use super::{agents, check, wire};

/// How long a server lives at most when it is killed at any moment, in milliseconds.
const LIFE: u64 = 1500;

/// How long one waits at most for something to happen at which a server is to be killed.
const OCCASION: Duration = Duration::from_secs(3);

fn seed() -> u64 {
    std::env::var("TESTS_KILL_SEED").map_or_else(
        |_| u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap(),
        |seed| seed.parse().expect("a seed"),
    )
}

/// What a test has around the server.
pub struct Scene {
    since: Instant,
    seed: u64,
    pub seeds: Chance,
    pub books: Arc<Books>,
    pub world: World,
    pub places: Vec<Place>,
    folder: tempfile::TempDir,
}

impl Scene {
    /// One server, and its database in its folder unless `database` configures another.
    pub async fn set(database: &str) -> Self {
        Self::set_with(database, &[Path::new("data")]).await
    }

    /// A server for each of the data folders, which may be relative to the test's own.
    pub async fn set_with(database: &str, data: &[&Path]) -> Self {
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
        let places = data.iter().map(|data| Place::new(folder.path(), data)).collect();
        Self { since: Instant::now(), seed, seeds, books, world, places, folder }
    }

    /// The folder of everything.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub async fn start(&self, server: usize) -> Running {
        let place = &self.places[server];
        let running = place.start(self.books.life() + 1).await;
        self.books.listens(place.address());
        running
    }

    /// Starts one and kills it before it listens, or just then.
    pub async fn kill_early(&self, server: usize, after: Duration) {
        let place = &self.places[server];
        let running = place.spawn(self.books.life() + 1);
        pass(after).await;
        self.books.listens(place.address());
        self.kill(server, running);
    }

    pub fn kill(&self, server: usize, running: Running) {
        running.kill();
        self.books.killed(self.places[server].address());
    }

    /// Stops the servers in peace and checks everything that happened.
    pub async fn conclude(&self, servers: Vec<Running>) {
        let mut codes = Vec::new();
        for server in servers {
            codes.push(server.stop().await.code());
        }
        let Self { seed, books, places, .. } = self;
        let state = books.state();
        let faults = check::faults(&state);
        let summary = check::summary(&state, &faults);
        eprintln!("seed {seed}, {:.0} s\n{summary}", self.since.elapsed().as_secs_f64());
        let place = &places[0];
        if let Some(first) = faults.first() {
            let call_sid = state.sessions[&first.session].call_sid.as_str();
            let all: Vec<String> = faults.iter().take(30).map(ToString::to_string).collect();
            panic!(
                "{} faults (TESTS_KILL_SEED={seed}):\n{}\nthe first one's history:\n{}what the servers logged:\n{}",
                faults.len(),
                all.join("\n"),
                state.history(&first.session),
                place.log_lines(state.life(), &[call_sid, "panicked"]),
            );
        }
        let log = || place.log_lines(state.life(), &["WARN", "ERROR"]);
        assert!(codes.iter().all(|code| *code == Some(0)), "they did not end in peace: {codes:?}: {}", log());
        drop(state);
        for place in places {
            assert_no_card_is_left(books, &self.folder().join(place.data()));
        }
        assert_no_card_is_left(books, self.folder.path());
    }
}

/// Waits for the moment of the next kill: any, or just after something that matters.
pub async fn occasion(books: &Books, rng: &mut Chance) {
    let after = match rng.below(5) {
        0 | 1 => return pass(Duration::from_millis(rng.below(LIFE))).await,
        2 => Signal::Asked,
        3 => Signal::Replied,
        _ => Signal::Told,
    };
    pass(Duration::from_millis(rng.below(LIFE / 2))).await;
    let mut signals = books.signals();
    let _ = timeout(OCCASION, async { while !matches!(signals.recv().await, Ok(signal) if signal == after) {} }).await;
    pass(Duration::from_micros(rng.below(5000))).await;
}

pub async fn until(within: Duration, is_so: impl Fn() -> bool) {
    // If it never is so, the checks say what is missing.
    let _ = wait::within(within, async || is_so().then_some(())).await;
}

fn settings(database: &str, processor: &str, stripe: &str) -> String {
    format!(
        r#"account_sid = "{ACCOUNT}"
auth_token = "{TOKEN}"
secret_key = "the same on every server"
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
name = "Strict"
kind = "generic"
mode = "live"
endpoint = "{processor}/strict"
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
