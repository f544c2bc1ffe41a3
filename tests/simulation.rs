//! Whole servers in a simulated world: calls, a gateway, applications, clocks, a database, and everything that goes wrong
//! with them.
//!
//! A seed decides what happens; the same seed makes the same happen. `TESTS_SEEDS` says how many seeds are tried (200),
//! `TESTS_FROM` which is the first (0); `TESTS_SEED` names a single one and has it told what happened.
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
#[path = "simulation/attempts.rs"]
mod attempts;
#[path = "simulation/caller.rs"]
mod caller;
#[path = "simulation/clock.rs"]
mod clock;
#[path = "simulation/database.rs"]
mod database;
#[path = "simulation/dice.rs"]
mod dice;
#[path = "simulation/judge.rs"]
mod judge;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/planted.rs"]
mod planted;
#[path = "simulation/processor.rs"]
mod processor;
#[path = "simulation/requests.rs"]
mod requests;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/server.rs"]
mod server;
#[path = "simulation/trouble.rs"]
mod trouble;
#[path = "simulation/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use judge::{Count, Rule};
use plan::{Away, Plan, Repeated, SERVERS, Trick};
use run::{Run, run, run_with};
use trouble::Fault;

/// How many seeds are tried unless it is said.
const SEEDS: u64 = 200;

/// How many are looked through for one in which a fault shows.
const SEARCHED: u64 = 1000;

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
    let (seeds, first) = (number("TESTS_SEEDS").unwrap_or(SEEDS), number("TESTS_FROM").unwrap_or(0));
    let (next, began) = (AtomicU64::new(first), Instant::now());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut runs: Vec<Run> = std::thread::scope(|scope| {
        let work = || {
            let mut runs = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + seeds {
                    return runs;
                }
                let mut run = run(seed);
                if run.faults.is_empty() {
                    run.trace.clear();
                } else {
                    // At once: whoever waits for many thousand need not wait for the last one.
                    println!("seed {seed} fails: {}", run.faults[0]);
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
    println!("{seeds} seeds from {first} on, {each} ms each on {workers} threads: {all:?}");
    let bad: Vec<&Run> = runs.iter().filter(|run| !run.faults.is_empty()).collect();
    if let Some(first) = bad.first() {
        println!("{first}");
        let mut rules: BTreeMap<Rule, Vec<&Run>> = BTreeMap::new();
        for run in &bad {
            for rule in run.faults.iter().map(|finding| finding.rule).collect::<BTreeSet<_>>() {
                rules.entry(rule).or_default().push(run);
            }
        }
        for run in &bad {
            println!("seed {}: {}", run.seed, Plan::of(run.seed, Trick::Fair).kinds());
            for finding in &run.faults {
                println!("    {finding}");
            }
        }
        for (rule, of) in &rules {
            let found = of[0].faults.iter().find(|finding| finding.rule == *rule).expect("it was found");
            let seeds: Vec<u64> = of.iter().map(|run| run.seed).collect();
            println!("{} seeds: {found}\n    {seeds:?}", of.len());
        }
        panic!("{} of {} seeds failed; the first, {}: {:#?}", bad.len(), runs.len(), first.seed, first.faults);
    }
    // A world in which nothing happens would prove nothing.
    if seeds >= SEEDS {
        assert!(
            all.succeeded > 0 && all.unknown > 0 && all.failed > 0 && all.crashes > 0 && all.repeated > 0,
            "{all:?}"
        );
        assert!(all.refused > 0 && all.of_several_servers > 0, "{all:?}");
    }
}

/// Looks for a seed in which something that must not be is noticed, and says which one that was.
fn is_noticed(trick: Trick, rule: Rule, finding: &str, of: impl Fn(&Plan) -> bool) {
    let began = Instant::now();
    let found = (0..SEARCHED).filter(|seed| of(&Plan::of(*seed, trick))).find(|seed| {
        let run = run_with(*seed, trick);
        run.faults.iter().any(|found| found.rule == rule && found.what.contains(finding))
    });
    let seed = found.unwrap_or_else(|| panic!("{trick:?}: nobody noticed: {rule:?}: {finding}"));
    println!("{trick:?}: seed {seed} after {:.1} s: {rule:?}: {finding}", began.elapsed().as_secs_f64());
}

/// A judge who never finds anything would prove nothing.
#[test]
fn what_must_not_be_is_found_out() {
    for (trick, rule, finding) in [
        (Trick::ServerForgets, Rule::Books, "charged, but not in the books"),
        (Trick::ServerForgets, Rule::Told, "charged, and nobody was told"),
        (Trick::ServerForgets, Rule::Told, "its result was told by no action"),
        (Trick::DatabaseKeepsNothing, Rule::WrittenFirst, "before it was written down"),
        (Trick::GatewayRepeats, Rule::ChargedOnce, "charged 2 times"),
        (Trick::GatewayLies, Rule::Truth, "told as a failure, but charged"),
        (Trick::TokensChange, Rule::Requests, "the same result with the tokens"),
        (Trick::TokensChange, Rule::OneResult, "with the token"),
        (Trick::ResultsChange, Rule::OneResult, "carries two results"),
        (Trick::CallbacksWait, Rule::Order, "before"),
        (Trick::CallbacksFork, Rule::NotAtOnce, "is under way"),
        (Trick::ApplicationNeverRecovers, Rule::Rest, "does not come to rest"),
        (Trick::RefusedIsDelivered, Rule::Kept, "refused it for good"),
        (Trick::NotNowIsDelivered, Rule::Kept, "never took note of it"),
    ] {
        is_noticed(trick, rule, finding, |_| true);
    }
}

/// Faults that servers have had, put back where a server meets its surroundings: its database, its clock, what is
/// configured.
#[test]
fn a_fault_that_was_mended_would_be_found_again() {
    is_noticed(Trick::RepeatsAreVouchedFor, Rule::Truth, "told as a failure, but charged", |plan| {
        plan.gateway.repeated != Repeated::Same
    });
    is_noticed(Trick::BusyIsNotRead, Rule::Truth, "told as a failure, but charged", |plan| plan.gateway.busy_after > 0);
    is_noticed(Trick::FailedConnectionIsKept, Rule::Rest, "does not come to rest", |plan| {
        plan.outages.iter().any(|outage| outage.what == Away::Full)
    });
    is_noticed(Trick::UnwrittenIsBelieved, Rule::Told, "was told by no", |plan| plan.disk.fails_before > 0);
    is_noticed(Trick::CopiesAreBelieved, Rule::NotAtOnce, "is under way", |plan| plan.servers > 1);
    is_noticed(Trick::OneNodeForAll, Rule::NotAtOnce, "is under way", |plan| plan.servers > 1);
    is_noticed(Trick::WaitingIsLimited, Rule::Rest, "does not come to rest", |plan| plan.left_behind > 0);
    is_noticed(Trick::BeginningIsNotKept, Rule::Told, "was told by no", |plan| {
        plan.faults.iter().any(|(_, fault)| matches!(fault, Fault::Crash(host) if SERVERS.contains(host)))
    });
    let is_set = |plan: &Plan| plan.faults.iter().any(|(_, fault)| matches!(fault, Fault::Step(..)));
    let differ = |plan: &Plan| plan.clocks.iter().any(|clock| *clock != plan.clocks[0]);
    let trick = Trick::LeasesByOwnClocks;
    is_noticed(trick, Rule::NotAtOnce, "is under way", |plan| is_set(plan) && !differ(plan));
    is_noticed(trick, Rule::NotAtOnce, "is under way", |plan| differ(plan) && !is_set(plan));
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
