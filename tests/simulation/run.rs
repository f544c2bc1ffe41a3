//! One seed from beginning to end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::judge::{Books, Count, judge};
use super::plan::{APPLICATION, Fault, GATEWAY, PHONES, Plan, SERVER, Trick};
use super::world::{World, note};
use super::{application, caller, house, processor};

/// How long everything may take to come to rest after the last fault: longer than the longest wait of a callback.
const REST_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How long everything must have been at rest.
const AT_REST: Duration = Duration::from_secs(2);

/// How often it is looked whether everything is at rest.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What came of a seed.
pub struct Run {
    pub seed: u64,
    pub trace: Vec<String>,
    pub faults: Vec<String>,
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
    let filter = Targets::new().with_target("touchtone", LevelFilter::DEBUG);
    let subscriber = tracing_subscriber::registry().with(log.with_filter(filter));
    let (faults, count, took) = tracing::subscriber::with_default(subscriber, || world_of(seed, trick, &trace));
    let trace = std::mem::take(&mut *trace.lock().unwrap());
    Run { seed, trace, faults, count, took }
}

fn world_of(seed: u64, trick: Trick, trace: &Arc<Mutex<Vec<String>>>) -> (Vec<String>, Count, Duration) {
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
    let shared = |world: &Arc<World>| Arc::clone(world);
    let of = shared(&world);
    simulation.host(SERVER, move || house::start(shared(&of)));
    let of = shared(&world);
    simulation.host(GATEWAY, move || processor::start(shared(&of)));
    let of = shared(&world);
    simulation.host(APPLICATION, move || application::start(shared(&of)));
    simulation.client(PHONES, caller::start(shared(&world)));

    let mut faults = plan.faults.iter().peekable();
    let mut lines = Lines::default();
    let mut looks_at = plan.calm_at;
    let mut resting_since = None;
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
            Err(error) => return (vec![format!("a host broke down: {error}")], Count::default(), now),
        };
        if now >= looks_at {
            looks_at = now + LOOK_EVERY;
            if !(hung_up && is_at_rest(&world)) {
                resting_since = None;
            } else if now >= *resting_since.get_or_insert(now) + AT_REST {
                break;
            }
            if now > plan.calm_at + REST_LIMIT {
                let (mut faults, count) = judge(&world, &trace.lock().unwrap());
                faults.insert(0, format!("it does not come to rest within {} s", REST_LIMIT.as_secs()));
                return (faults, count, now);
            }
        }
    }
    let (faults, count) = judge(&world, &trace.lock().unwrap());
    (faults, count, simulation.elapsed())
}

/// Whether nobody has anything left to do.
fn is_at_rest(world: &World) -> bool {
    let Some(house) = world.house.lock().unwrap().upgrade() else { return false };
    house.calls.live() == 0
        && house.deliveries.under_way() == 0
        && house.searches.count() == 0
        && Books::of(world).are_closed()
}

/// Everybody that the server has a line to.
const OTHERS: [&str; 3] = [GATEWAY, APPLICATION, PHONES];

/// What is done to lines, by both ends.
#[derive(Default)]
struct Lines(BTreeMap<(&'static str, &'static str), Fault>);

impl Lines {
    fn apply(&mut self, simulation: &mut turmoil::Sim<'_>, fault: Fault, world: &World) {
        match fault {
            Fault::Crash(host) => {
                if simulation.is_host_running(host) {
                    if host == SERVER {
                        world.crashes.lock().unwrap().push(simulation.elapsed());
                    }
                    self.crash(simulation, host);
                }
            }
            Fault::Start(host) => {
                if !simulation.is_host_running(host) {
                    simulation.bounce(host);
                }
            }
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
    fn crash(&self, simulation: &mut turmoil::Sim<'_>, host: &'static str) {
        let lines = || OTHERS.into_iter().map(|other| (SERVER, other)).filter(|(a, b)| host == *a || host == *b);
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
        Fault::Crash(_) | Fault::Start(_) | Fault::Lossy(..) => {}
    }
}

fn calm_down(simulation: &mut turmoil::Sim<'_>, world: &World) {
    world.calm.store(true, Ordering::Relaxed);
    for host in [SERVER, GATEWAY, APPLICATION] {
        if !simulation.is_host_running(host) {
            simulation.bounce(host);
        }
    }
    for host in OTHERS {
        simulation.set_link_fail_rate(SERVER, host, 0.0);
        simulation.release(SERVER, host);
        simulation.repair(SERVER, host);
    }
}

/// Writes what the server logs into the trace.
struct Log(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = format!("server: {}", event.metadata().level());
        event.record(&mut Fields(&mut line));
        note(&self.0, line);
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
