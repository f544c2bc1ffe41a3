//! What outlives every host: what was written down, who was told what, who was charged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use touchtone::call::House;
use touchtone::store::BackendError;
use touchtone::store::memory::{Disk, Memory};

use super::dice::Dice;
use super::plan::{DiskPlan, Plan};

/// A payment that a document asked for: which call, which of its documents.
pub type Session = (u32, u32);

/// A request that came to the application.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Duration,
    pub path: String,
    pub token: String,
    pub body: String,
    pub fields: BTreeMap<String, String>,
    pub signed: bool,
    /// Whether the application has taken note of it, as far as it knows.
    pub noted: bool,
}

/// What the processor did.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What it answers to a transaction it knows: a charge's id, or a refusal.
    pub known: BTreeMap<String, Result<String, String>>,
    /// Each charge: its amount, as it was asked for, and its id.
    pub charges: Vec<(String, String)>,
}

pub struct World {
    pub plan: Plan,
    backend: Mutex<Arc<Memory>>,
    pub calm: Arc<AtomicBool>,
    pub arrivals: Mutex<Vec<Arrival>>,
    pub ledger: Mutex<Ledger>,
    /// Everything callers were sent.
    pub heard: Mutex<Vec<String>>,
    pub crashes: Mutex<Vec<Duration>>,
    pub house: Mutex<Weak<House>>,
    pub application_dice: Mutex<Dice>,
    pub network_dice: Mutex<Dice>,
    pub starts: Mutex<Dice>,
    trace: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub fn new(plan: Plan, trace: Arc<Mutex<Vec<String>>>) -> Arc<Self> {
        let mut dice = Dice::new(plan.seed);
        let calm = Arc::new(AtomicBool::new(false));
        let disk = SimulatedDisk { plan: plan.disk, dice: Mutex::new(dice.others()), calm: Arc::clone(&calm) };
        Arc::new(Self {
            plan,
            backend: Mutex::new(Arc::new(Memory::on(Box::new(disk)).shared(clock()))),
            calm,
            arrivals: Mutex::default(),
            ledger: Mutex::default(),
            heard: Mutex::default(),
            crashes: Mutex::default(),
            house: Mutex::default(),
            application_dice: Mutex::new(dice.others()),
            network_dice: Mutex::new(dice.others()),
            starts: Mutex::new(dice.others()),
            trace,
        })
    }

    /// The database.
    pub fn backend(&self) -> Arc<Memory> {
        Arc::clone(&self.backend.lock().unwrap())
    }

    /// Puts an empty database in its place.
    pub fn lose_everything(&self) {
        *self.backend.lock().unwrap() = Arc::new(Memory::default().shared(clock()));
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Adds a line to what a failing seed prints, and to what must be the same when it is repeated.
    pub fn note(&self, line: impl std::fmt::Display) {
        note(&self.trace, line);
    }

    /// How often of a thousand, unless all is calm.
    pub fn unless_calm(&self, in_a_thousand: u64) -> u64 {
        if self.is_calm() { 0 } else { in_a_thousand }
    }
}

/// The database's own clock: nobody's who uses it.
fn clock() -> touchtone::store::memory::Clock {
    Box::new(|| turmoil::sim_elapsed().unwrap_or_default())
}

pub fn note(trace: &Mutex<Vec<String>>, line: impl std::fmt::Display) {
    let at = turmoil::sim_elapsed().unwrap_or_default();
    trace.lock().unwrap().push(format!("{:>9.3} {line}", at.as_secs_f64()));
}

/// A disk that is slow, and at times says no: before it has written, or after.
struct SimulatedDisk {
    plan: DiskPlan,
    dice: Mutex<Dice>,
    calm: Arc<AtomicBool>,
}

impl SimulatedDisk {
    async fn work(&self, fails: u64, when: &str) -> Result<(), BackendError> {
        if self.calm.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (wait, failed) = {
            let mut dice = self.dice.lock().unwrap();
            (dice.millis(0, self.plan.slowest), dice.happens(fails))
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if failed { Err(BackendError::Unavailable(format!("the disk failed {when} writing"))) } else { Ok(()) }
    }
}

impl Disk for SimulatedDisk {
    fn before(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        self.work(self.plan.fails_before, "before").boxed()
    }

    fn after(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        self.work(self.plan.fails_after, "after").boxed()
    }
}
