//! Whole servers in a simulated world: calls, a gateway, an application, a disk, and everything that goes wrong with them.
//!
//! A seed decides what happens; the same seed makes the same happen. `TESTS_SEEDS` says how many seeds are tried (200),
//! `TESTS_SEED` names a single one and has it told what happened.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]
#![allow(unreachable_pub, reason = "the parts of this test are its own")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

#[path = "simulation/application.rs"]
mod application;
#[path = "simulation/caller.rs"]
mod caller;
#[path = "simulation/dice.rs"]
mod dice;
#[path = "simulation/house.rs"]
mod house;
#[path = "simulation/judge.rs"]
mod judge;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/processor.rs"]
mod processor;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/world.rs"]
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use judge::Count;
use plan::Trick;
use run::{Run, run, run_with};

/// How many seeds are tried unless it is said.
const SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn whatever_goes_wrong_nobody_is_charged_twice_and_everybody_is_told_once() {
    if let Some(seed) = number("TESTS_SEED") {
        let run = run(seed);
        println!("{run}");
        assert!(run.faults.is_empty(), "{:#?}", run.faults);
        return;
    }
    let seeds = number("TESTS_SEEDS").unwrap_or(SEEDS);
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut runs: Vec<Run> = std::thread::scope(|scope| {
        let work = || {
            let mut runs = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return runs;
                }
                let mut run = run(seed);
                if run.faults.is_empty() {
                    run.trace.clear();
                }
                runs.push(run);
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a run broke down")).collect()
    });
    runs.sort_by_key(|run| run.seed);
    let mut all = Count::default();
    for run in &runs {
        all.add(run.count);
    }
    let each = began.elapsed().as_millis() / u128::from(seeds.max(1));
    println!("{seeds} seeds, {each} ms each on {workers} threads: {all:?}");
    let bad: Vec<&Run> = runs.iter().filter(|run| !run.faults.is_empty()).collect();
    if let Some(first) = bad.first() {
        println!("{first}");
        let seeds: Vec<u64> = bad.iter().map(|run| run.seed).collect();
        panic!("{} of {} seeds failed: {seeds:?}; the first: {:#?}", bad.len(), runs.len(), first.faults);
    }
    // A world in which nothing happens would prove nothing.
    if seeds >= SEEDS {
        assert!(
            all.succeeded > 0 && all.unknown > 0 && all.failed > 0 && all.crashes > 0 && all.repeated > 0,
            "{all:?}"
        );
    }
}

/// A judge who never finds anything would prove nothing.
#[test]
fn what_must_not_be_is_found_out() {
    for (trick, finding) in [
        (Trick::ServerForgets, "charged, but not in the books"),
        (Trick::ServerForgets, "charged, and nobody was told"),
        (Trick::GatewayRepeats, "charged 2 times"),
        (Trick::TokensChange, "the same result with the tokens"),
    ] {
        let found = (0..SEEDS).any(|seed| run_with(seed, trick).faults.iter().any(|fault| fault.contains(finding)));
        assert!(found, "{trick:?}: nobody noticed: {finding}");
    }
}

#[test]
fn the_same_seed_makes_the_same_happen() {
    for seed in 0..8 {
        let (once, again) = (run(seed), run(seed));
        let differs = once.trace.iter().zip(&again.trace).position(|(once, again)| once != again);
        if let Some(line) = differs {
            panic!("seed {seed}, line {line}:\n{}\n{}", once.trace[line], again.trace[line]);
        }
        assert_eq!(once.trace.len(), again.trace.len(), "seed {seed}");
    }
}
