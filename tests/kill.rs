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
#[path = "kill/callers.rs"]
mod callers;
#[path = "kill/check.rs"]
mod check;
#[path = "kill/moments.rs"]
mod moments;
#[allow(dead_code, reason = "shared with another test")]
#[path = "memory/numbers.rs"]
mod numbers;
#[path = "kill/outages.rs"]
mod outages;
#[path = "kill/processor.rs"]
mod processor;
#[path = "kill/room.rs"]
mod room;
#[path = "kill/scene.rs"]
mod scene;
#[path = "kill/server.rs"]
mod server;
#[path = "kill/stored.rs"]
mod stored;
#[path = "kill/stripe.rs"]
mod stripe;
mod support;
#[path = "kill/wire.rs"]
mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use numbers::Chance;
use scene::{Scene, occasion, until};
use stored::{Books, Telling};
use support::postgres::Postgres;
use tokio::sync::watch;
use tokio::task::JoinSet;

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
    let server = scene.start(0).await;
    let mut callers = JoinSet::new();
    for number in 0..4 {
        let rng = Chance(scene.seeds.below(u64::MAX));
        let (world, address) = (scene.world.clone(), scene.places[0].address());
        callers.spawn(callers::pay_by_stripe(world, number.to_string(), number % 2 == 0, rng, address));
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
    scene.kill(0, server);
    books.darken(false);
    let server = scene.start(0).await;
    until(SETTLING, || is_told(|told| !told.is_unknown())).await;
    scene.conclude(vec![server]).await;
    assert!(is_told(Telling::is_unknown), "it was told as unknown");
    assert!(is_told(|told| !told.is_unknown()), "it was told late");
}

fn kills() -> usize {
    std::env::var("TESTS_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number of kills"))
}

async fn run(database: &str, kills: usize) {
    let mut scene = Scene::set(database).await;
    let (books, address) = (Arc::clone(&scene.books), scene.places[0].address());
    let (up, line) = watch::channel(Vec::new());
    let callers = call(&mut scene, &line);
    let mut rng = Chance(scene.seeds.below(u64::MAX));
    for kill in 0..kills {
        // A folder that was never served from, and one that was left in disorder, while it is being put in order.
        if kill < FIRST_STARTS || rng.below(6) == 0 {
            scene.kill_early(0, Duration::from_millis(rng.below(STARTING))).await;
            continue;
        }
        let server = scene.start(0).await;
        up.send_replace(vec![address]);
        occasion(&books, &mut rng).await;
        scene.kill(0, server);
        up.send_replace(Vec::new());
    }
    let server = scene.start(0).await;
    up.send_replace(vec![address]);
    in_peace(&books, callers).await;
    scene.conclude(vec![server]).await;

    let state = books.state();
    let cut = state.cut();
    assert!(cut >= kills / 4, "of {kills} kills only {cut} cut a payment in two: this has shown nothing");
    let charges = state.sessions.values().filter(|session| !session.charges().is_empty()).count();
    assert!(charges >= CALLS_IN_PEACE / 4, "{charges} charges: this has shown nothing");
}

/// Lines that are never idle while a server is there.
fn call(scene: &mut Scene, line: &callers::Line) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let rng = Chance(scene.seeds.below(u64::MAX));
        callers.spawn(callers::keep_calling(scene.world.clone(), number, rng, line.clone()));
    }
    callers
}

/// Some more calls, and then everybody behaves, nobody calls, and everything is told that is to be told.
async fn in_peace(books: &Books, mut callers: JoinSet<()>) {
    let enough = books.calls_over.load(Ordering::Acquire) + CALLS_IN_PEACE;
    until(SETTLING, || books.calls_over.load(Ordering::Acquire) >= enough).await;
    books.calm_down();
    while let Some(ended) = callers.join_next().await {
        ended.expect("a caller");
    }
    until(SETTLING, || check::untold(&books.state()) == 0).await;
}
