//! What outlives every host: what was written down, who was told what, who was charged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use touchtone::call::CallServices;

use super::attempts::Attempts;
use super::clock::Clock;
use super::database::Database;
use super::dice::Dice;
use super::plan::{APPLICATIONS, Plan, SERVERS, Trick};

/// A payment that a document asked for: which call, which of its documents.
pub type Session = (u32, u32);

/// A request that came to the application.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub path: String,
    pub token: String,
    pub body: String,
    pub fields: BTreeMap<String, String>,
    pub signed: bool,
    /// Whether the application has taken note of it, as far as it knows.
    pub noted: bool,
    /// The status with which it says that it is not to be asked again.
    pub refused: Option<u16>,
    /// Whether it tells a success that is not written down.
    pub too_early: bool,
}

impl Arrival {
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// What the processor did.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What it answers to a transaction it knows: a charge's id, or a refusal.
    pub known: BTreeMap<String, Known>,
    /// Each charge: its amount, as it was asked for, and its id.
    pub charges: Vec<(String, String)>,
}

/// A transaction of the processor's.
#[derive(Clone, Debug)]
pub struct Known {
    pub outcome: Result<String, String>,
    /// By which request it became known.
    pub exchange: u64,
}

/// A server's crash.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    pub server: usize,
    pub at: Duration,
}

pub struct World {
    pub plan: Plan,
    pub database: Database,
    pub clocks: Vec<Clock>,
    pub calm: Arc<AtomicBool>,
    pub arrivals: Mutex<Vec<Arrival>>,
    pub attempts: Mutex<Attempts>,
    pub ledger: Mutex<Ledger>,
    /// Everything callers were sent.
    pub heard: Mutex<Vec<String>>,
    /// When each call heard its first prompt to the end.
    pub prompted: Mutex<BTreeMap<u32, Duration>>,
    /// Which server has each call, and since when.
    pub served: Mutex<BTreeMap<u32, (usize, Duration)>>,
    pub crashes: Mutex<Vec<Crash>>,
    pub services: Mutex<Vec<Weak<CallServices>>>,
    pub application_dice: Mutex<Dice>,
    pub network_dice: Mutex<Dice>,
    pub starts: Mutex<Dice>,
    trace: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub fn new(plan: Plan, trace: Arc<Mutex<Vec<String>>>) -> Arc<Self> {
        let mut dice = Dice::new(plan.seed);
        let calm = Arc::new(AtomicBool::new(false));
        let clocks: Vec<Clock> = plan.clocks.iter().map(|wrong| Clock::wrong_by(*wrong)).collect();
        let database = Database::new(&plan, &clocks, dice.others(), &calm);
        // Its own even where it is not used, so that other dice do not move.
        let mut left = dice.others();
        let heir = plan.dead.map_or(0, |dead| dead.application);
        database.leave_behind(plan.left_behind, APPLICATIONS[heir], &mut left);
        let services = (0..plan.servers).map(|_| Weak::new()).collect();
        Arc::new(Self {
            plan,
            database,
            clocks,
            calm,
            arrivals: Mutex::default(),
            attempts: Mutex::default(),
            ledger: Mutex::default(),
            heard: Mutex::default(),
            prompted: Mutex::default(),
            served: Mutex::default(),
            crashes: Mutex::default(),
            services: Mutex::new(services),
            application_dice: Mutex::new(dice.others()),
            network_dice: Mutex::new(dice.others()),
            starts: Mutex::new(dice.others()),
            trace,
        })
    }

    /// The servers there are.
    pub fn servers(&self) -> &'static [&'static str] {
        &SERVERS[..self.plan.servers]
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
        if self.is_calm() && self.plan.trick != Trick::ApplicationNeverRecovers { 0 } else { in_a_thousand }
    }

    /// The payments that were asked for, as far as anybody has heard of them.
    pub fn sessions(&self) -> BTreeSet<Session> {
        self.attempts.lock().unwrap().sessions().collect()
    }
}

pub fn note(trace: &Mutex<Vec<String>>, line: impl std::fmt::Display) {
    let at = turmoil::sim_elapsed().unwrap_or_default();
    trace.lock().unwrap().push(format!("{:>9.3} {line}", at.as_secs_f64()));
}
