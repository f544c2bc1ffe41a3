//! One seed from beginning to end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::judge::{Count, Finding, Rule, judge};
use super::plan::{APPLICATIONS, GATEWAY, PHONES, Plan, SERVERS, Trick};
use super::trouble::{Fault, others};
use super::world::{Crash, World, note};
use super::{application, caller, processor, server as served};

/// How long everything may take to come to rest after the last fault: a callback that failed for two minutes waits for as
/// long until it is tried again, what a server left behind is found a minute later, and a gateway may be asked for
/// another.
const REST_LIMIT: Duration = Duration::from_secs(6 * 60);

/// How long everything must have been at rest.
const AT_REST: Duration = Duration::from_secs(2);

/// The same where it cannot be seen whether something waits to be written down, because callbacks for a dead application
/// wait for ever: longer than anybody waits before it is tried again.
const AT_REST_BESIDE_THE_DEAD: Duration = Duration::from_secs(15);

/// How often it is looked whether everything is at rest.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What came of a seed.
pub struct Run {
    pub seed: u64,
    pub trace: Vec<String>,
    pub faults: Vec<Finding>,
    pub count: Count,
    pub took: Duration,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:#?}", Plan::of(self.seed, Trick::Fair))?;
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "{:?} after {} s", self.count, self.took.as_secs())?;
        for fault in &self.faults {
            writeln!(f, "FAULT: {fault}")?;
        }
        if !self.faults.is_empty() {
            writeln!(f, "to repeat it: TESTS_SEED={} cargo test --test simulation -- --nocapture", self.seed)?;
        }
        Ok(())
    }
}

pub fn run(seed: u64) -> Run {
    run_with(seed, Trick::Fair)
}

/// As [`run`], with something that must not be.
pub fn run_with(seed: u64, trick: Trick) -> Run {
    let trace: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Log(Arc::clone(&trace));
    // The span says on which host it is.
    let filter = Targets::new().with_target("touchtone", LevelFilter::DEBUG).with_target("turmoil", LevelFilter::INFO);
    let subscriber = tracing_subscriber::registry().with(log.with_filter(filter));
    let (faults, count, took) = tracing::subscriber::with_default(subscriber, || world_of(seed, trick, &trace));
    let trace = std::mem::take(&mut *trace.lock().unwrap());
    Run { seed, trace, faults, count, took }
}

fn world_of(seed: u64, trick: Trick, trace: &Arc<Mutex<Vec<String>>>) -> (Vec<Finding>, Count, Duration) {
    let plan = Plan::of(seed, trick);
    let mut simulation = turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(SystemTime::UNIX_EPOCH)
        .tick_duration(plan.tick)
        .simulation_duration(plan.calm_at + REST_LIMIT + REST_LIMIT)
        .min_message_latency(plan.latency_min)
        .max_message_latency(plan.latency_max)
        .repair_rate(0.3)
        .tcp_capacity(1024)
        .build();
    let world = World::new(plan.clone(), Arc::clone(trace));
    for (server, name) in world.servers().iter().copied().enumerate() {
        let of = Arc::clone(&world);
        simulation.host(name, move || served::start(Arc::clone(&of), server));
    }
    let of = Arc::clone(&world);
    simulation.host(GATEWAY, move || processor::start(Arc::clone(&of)));
    for (application, name) in APPLICATIONS.into_iter().take(plan.applications.len()).enumerate() {
        let of = Arc::clone(&world);
        simulation.host(name, move || application::start(Arc::clone(&of), application));
    }
    simulation.client(PHONES, caller::start(Arc::clone(&world)));

    let mut faults = plan.faults.iter().peekable();
    let mut lines = Lines::default();
    let mut looks_at = plan.calm_at;
    let mut resting_since = None;
    let at_rest = if plan.dead.is_some() { AT_REST_BESIDE_THE_DEAD } else { AT_REST };
    loop {
        let now = simulation.elapsed();
        while let Some((_, fault)) = faults.next_if(|(at, _)| *at <= now) {
            trace.lock().unwrap().push(format!("{:>9.3} {fault:?}", now.as_secs_f64()));
            lines.apply(&mut simulation, *fault, &world);
        }
        if now >= plan.calm_at && !world.is_calm() {
            trace.lock().unwrap().push(format!("{:>9.3} all is calm from here on", now.as_secs_f64()));
            calm_down(&mut simulation, &world);
        }
        let hung_up = match simulation.step() {
            Ok(hung_up) => hung_up,
            Err(error) => {
                let finding = Finding { rule: Rule::Broken, what: format!("a host broke down: {error}") };
                return (vec![finding], Count::default(), now);
            }
        };
        if now >= looks_at {
            looks_at = now + LOOK_EVERY;
            if !(hung_up && is_at_rest(&world)) {
                resting_since = None;
            } else if now >= *resting_since.get_or_insert(now) + at_rest {
                break;
            }
            if now > plan.calm_at + REST_LIMIT {
                let (mut faults, count) = judge(&world, &trace.lock().unwrap());
                let dead = if plan.dead.is_some() { ", while an application is dead" } else { "" };
                let what = format!("it does not come to rest within {} s{dead}", REST_LIMIT.as_secs());
                faults.insert(0, Finding { rule: Rule::Rest, what });
                return (faults, count, now);
            }
        }
    }
    let (faults, count) = judge(&world, &trace.lock().unwrap());
    (faults, count, simulation.elapsed())
}

/// Whether nobody has anything left to do but to tell a dead application.
fn is_at_rest(world: &World) -> bool {
    for (server, running) in world.services.lock().unwrap().iter().enumerate() {
        match running.upgrade() {
            Some(running) if running.calls.live() > 0 || running.payments.searches.count() > 0 => return false,
            Some(running) if running.payments.deliveries.under_way() > 0 && world.plan.dead.is_none() => return false,
            None if world.plan.lost_server != Some(server) => return false,
            _ => {}
        }
    }
    world.database.rows().are_closed(|url| world.plan.leads_to_the_dead(url))
}

/// What is done to lines, by both ends.
#[derive(Default)]
struct Lines(BTreeMap<(&'static str, &'static str), Fault>);

impl Lines {
    fn apply(&mut self, simulation: &mut turmoil::Sim<'_>, fault: Fault, world: &World) {
        match fault {
            Fault::Crash(host) => {
                if simulation.is_host_running(host) {
                    let at = simulation.elapsed();
                    if let Some(server) = SERVERS.iter().position(|name| *name == host) {
                        world.crashes.lock().unwrap().push(Crash { server, at });
                        world.attempts.lock().unwrap().crash(server, at);
                    }
                    self.crash(simulation, host, world);
                }
            }
            Fault::Start(host) => {
                if !simulation.is_host_running(host) {
                    simulation.bounce(host);
                }
            }
            Fault::Step(server, by) => world.clocks[server].step(by),
            #[expect(clippy::cast_precision_loss, reason = "it is below 1000")]
            Fault::Lossy(a, b, in_a_thousand) => simulation.set_link_fail_rate(a, b, in_a_thousand as f64 / 1000.0),
            Fault::Cut(a, b) | Fault::CutOneWay(a, b) | Fault::Hold(a, b) => {
                self.0.insert(ends(a, b), fault);
                set(simulation, fault);
            }
            Fault::Mend(a, b) | Fault::Release(a, b) => {
                self.0.remove(&ends(a, b));
                set(simulation, fault);
            }
        }
    }

    /// As when the power fails: nobody hears of it. What a dying host still says, it says in an order that no seed
    /// decides.
    fn crash(&self, simulation: &mut turmoil::Sim<'_>, host: &'static str, world: &World) {
        let lines = || lines(world).filter(|(a, b)| host == *a || host == *b);
        for (a, b) in lines() {
            simulation.partition(a, b);
        }
        simulation.crash(host);
        for (a, b) in lines() {
            simulation.repair(a, b);
            if let Some(fault) = self.0.get(&ends(a, b)) {
                set(simulation, *fault);
            }
        }
    }
}

/// Every line there is.
fn lines(world: &World) -> impl Iterator<Item = (&'static str, &'static str)> {
    let applications = world.plan.applications.len();
    world.servers().iter().flat_map(move |server| others(applications).map(|other| (*server, other)))
}

fn ends(a: &'static str, b: &'static str) -> (&'static str, &'static str) {
    (a.min(b), a.max(b))
}

fn set(simulation: &turmoil::Sim<'_>, fault: Fault) {
    match fault {
        Fault::Cut(a, b) => simulation.partition(a, b),
        Fault::CutOneWay(a, b) => simulation.partition_oneway(a, b),
        Fault::Mend(a, b) => simulation.repair(a, b),
        Fault::Hold(a, b) => simulation.hold(a, b),
        Fault::Release(a, b) => simulation.release(a, b),
        Fault::Crash(_) | Fault::Start(_) | Fault::Lossy(..) | Fault::Step(..) => {}
    }
}

fn calm_down(simulation: &mut turmoil::Sim<'_>, world: &World) {
    world.calm.store(true, Ordering::Relaxed);
    let plan = &world.plan;
    let servers = world.servers().iter().enumerate().filter(|(server, _)| plan.lost_server != Some(*server));
    let applications = APPLICATIONS.iter().take(plan.applications.len()).enumerate();
    let applications = applications.filter(|(application, _)| !plan.is_dead(*application));
    for (_, host) in servers.chain(applications).chain([(0, &GATEWAY)]) {
        if !simulation.is_host_running(*host) {
            simulation.bounce(*host);
        }
    }
    for (a, b) in lines(world) {
        simulation.set_link_fail_rate(a, b, 0.0);
        simulation.release(a, b);
        simulation.repair(a, b);
    }
}

/// Writes what the servers log into the trace.
struct Log(Arc<Mutex<Vec<String>>>);

/// The host that a span is entered on.
struct Host(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target().starts_with("turmoil") {
            let mut name = Name::default();
            attributes.record(&mut name);
            let span = context.span(id).expect("a span that begins");
            span.extensions_mut().insert(Host(name.0));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !event.metadata().target().starts_with("touchtone") {
            return;
        }
        let host = context.event_scope(event).and_then(|scope| {
            scope.from_root().find_map(|span| span.extensions().get::<Host>().map(|Host(name)| name.clone()))
        });
        let mut line = format!("{}: {}", host.as_deref().unwrap_or("nobody"), event.metadata().level());
        event.record(&mut Fields(&mut line));
        note(&self.0, line);
    }
}

#[derive(Default)]
struct Name(String);

impl Visit for Name {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "name" {
            self.0 = format!("{value:?}").trim_matches('"').to_owned();
        }
    }
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => *self.0 += &format!(" {value:?}"),
            name => *self.0 += &format!(" {name}={value:?}"),
        }
    }
}
