//! Calls by chance: a caller, an agent, a gateway and an application that do anything at all, from one seed.
//!
//! Shape:   [`call`] plays one call and gives its [`Plan`], every choice written down; [`Plan::play`] does the same call
//!          again, or its twin with other hidden digits; [`Plan::script`] writes it as a call script.
//! Limits:  [`MOVES_MAX`] moves of the caller, who then hangs up.
//! Secrets: every number is made up or published for tests; scripts show them.
//! Sources: spec/pay.md, section 10, and the gateways' own pages for the test numbers.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::civil::{DateTime, datetime};
use url::Url;

use super::Simulation;
use super::invariants::{self, Violation};
use super::tape::FirstDocument;
use crate::flow::link::PlainHttp;
use crate::flow::{Context, FetchFailure, NextDocument};
use crate::form::{Form, Value};
use crate::pay::platform::Platform;
use crate::pay::session::What;
use crate::pay::step::PayResult;
use crate::time::CallTime;
use crate::tone::Key;

mod caller;
mod entries;
mod gateway;
mod outside;
mod script;
pub(crate) mod spelling;
mod twin;

pub use gateway::{RandomConnectors, RandomWorld, Said};
pub use outside::{AgentsRequest, Lead};

/// The most moves of a caller before hanging up.
pub const MOVES_MAX: usize = 80;

/// The number of a call's first payment: an id without digits that could look like keyed ones.
const SEED: u128 = 0xabcd_efab_cdef_abcd_efab_cdef_abcd_ef00;

/// The wall clocks of calls: scripts' own, a month's last seconds, a century's last year.
const CLOCKS: [DateTime; 4] = [
    // Twice, so that half of the calls have the scripts' own clock.
    datetime(2026, 6, 1, 12, 0, 0, 0),
    datetime(2026, 6, 1, 12, 0, 0, 0),
    datetime(2026, 12, 31, 23, 59, 50, 0),
    datetime(2099, 11, 30, 23, 59, 30, 0),
];

/// What a flow is given for a parameter that it cannot do without.
const VALUES: [&str; 7] = ["20.45", "5", "12345678", "visa amex", "Ann & Bob <3", "en-GB", ""];

/// A seeded source of numbers: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
/// Good enough for choosing, for nothing secret.
#[derive(Clone, Debug)]
pub struct SeededRng(u64);

impl SeededRng {
    /// The numbers that follow from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 for 0. The bias of the remainder is of no matter here.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or(0)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`, `fallback` if there is none.
    pub fn one_of<T: Copy>(&mut self, choices: &[T], fallback: T) -> T {
        let place = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        choices.get(place).copied().unwrap_or(fallback)
    }
}

/// Where flow documents come from.
pub trait Flows {
    /// The flow of that name, rendered with `parameters` and parsed.
    ///
    /// # Errors
    /// When it cannot be had or read.
    fn flow(&self, name: &str, parameters: &BTreeMap<String, Value>) -> Result<NextDocument, FetchFailure>;
}

/// What a caller does, or somebody else meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Presses keys, so many milliseconds apart.
    Press {
        /// The keys.
        keys: Vec<Key>,
        /// Milliseconds from one to the next.
        every: u64,
    },
    /// Lets so many milliseconds pass.
    Wait(u64),
    /// Hangs up.
    HangUp,
    /// The agent asks for something.
    Agent(AgentsRequest),
    /// The application does something with the call.
    Application(Lead),
}

/// A call with every choice written down.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The flow that answers.
    pub flow: String,
    /// The stream's custom parameters.
    pub parameters: BTreeMap<String, String>,
    /// Whose stream carries the call.
    pub platform: Platform,
    /// The wall clock when the call is answered.
    pub clock: DateTime,
    /// What connectors are like; none: there is no connector at all.
    pub connectors: Option<RandomConnectors>,
    /// Which look-ups of a connector, counted from 1, come while nothing can be written down.
    pub store_away: Vec<u32>,
    /// What the caller does.
    pub moves: Vec<Move>,
    /// What the gateway says, in order.
    pub answers: Vec<Said>,
    /// The application's documents: URL and text.
    pub documents: BTreeMap<Url, &'static str>,
    /// Which of the keys nobody may see, and whether that is known of all of them.
    hidden: Vec<twin::Hidden>,
    twin: bool,
}

/// A call that was played.
pub type Played<'a, F> = Simulation<RandomWorld<'a, F>>;

/// Plays the call of `seed` against `flow`; `missing`: the parameters that it cannot do without.
pub fn call<'a, F: Flows>(flows: &'a F, flow: &str, missing: &[String], seed: u64) -> (Plan, Played<'a, F>) {
    let mut rng = SeededRng::new(seed);
    let parameters =
        missing.iter().map(|name| (name.clone(), rng.one_of(&VALUES, "5").to_owned())).collect::<BTreeMap<_, _>>();
    let plan = Plan {
        flow: flow.to_owned(),
        parameters,
        platform: if rng.one_in(4) { Platform::Telnyx } else { Platform::Twilio },
        clock: rng.one_of(&CLOCKS, datetime(2026, 6, 1, 12, 0, 0, 0)),
        connectors: if rng.one_in(60) { None } else { Some(RandomConnectors::drawn(&mut rng)) },
        store_away: away(seed),
        moves: Vec::new(),
        answers: Vec::new(),
        documents: BTreeMap::new(),
        hidden: Vec::new(),
        twin: true,
    };
    let world = RandomWorld::drawing(flows, plan.connectors, plan.store_away.clone(), SeededRng::new(rng.number()));
    let simulation = plan.start(flows, world, false);
    let caller = caller::Caller::new(rng, simulation);
    caller.play(plan)
}

/// When nothing can be written down in the call of `seed`: in one of twenty for a payment, drawn apart from all else.
fn away(seed: u64) -> Vec<u32> {
    let mut rng = SeededRng::new(!seed);
    if rng.one_in(20) { vec![rng.one_of(&[1, 1, 2], 1)] } else { Vec::new() }
}

/// The rule that a played call breaks, if it breaks one.
#[must_use]
pub fn violation<F: Flows>(played: &Played<'_, F>) -> Option<Violation> {
    invariants::broken(played.records(), played.call())
}

/// The result of the last Pay session of a played call.
#[must_use]
pub fn result<F: Flows>(played: &Played<'_, F>) -> Option<PayResult> {
    played.records().iter().rev().find_map(|(_, record)| match record {
        super::Record::Reported(_, progress, _) => match progress.what {
            What::Finished(result) => Some(result),
            What::Begun | What::Keyed | What::Refused(_) | What::Captured | What::Failed(_) => None,
        },
        _ => None,
    })
}

impl Plan {
    fn start<'a, F: Flows>(&self, flows: &'a F, world: RandomWorld<'a, F>, taped: bool) -> Played<'a, F> {
        let context = self.context();
        let first = flows.flow(&self.flow, &context.parameters);
        if taped {
            return Simulation::start_taped(first, FirstDocument::Flow(self.flow.clone()), context, world);
        }
        Simulation::start(first, context, world)
    }

    /// What the call knows of the world: as a script's, but for ids without digits, which could look like keyed ones.
    fn context(&self) -> Context {
        let parameters: BTreeMap<String, Value> =
            self.parameters.iter().map(|(name, value)| (name.clone(), Value::from(value))).collect();
        let mut caller = Form::new();
        caller.set("From", parameters.get("From").map_or("+15005550006", Value::expose));
        caller.set("To", parameters.get("To").map_or("+15005550001", Value::expose));
        Context {
            account_sid: format!("AC{}", "a".repeat(32)),
            call_sid: format!("CA{}", "a".repeat(32)),
            caller,
            parameters,
            answered_at: self.clock,
            answered_at_utc: self.clock,
            seed: SEED,
            platform: self.platform,
            plain_http: PlainHttp::Always,
        }
    }

    /// How many keys are pressed.
    #[must_use]
    pub fn keys(&self) -> u64 {
        let keys = |step: &Move| if let Move::Press { keys, .. } = step { keys.len() as u64 } else { 0 };
        self.moves.iter().map(keys).sum()
    }

    /// Plays the call again.
    #[must_use]
    pub fn play<'a, F: Flows>(&self, flows: &'a F) -> Played<'a, F> {
        self.play_again(flows, false)
    }

    /// As [`Self::play`], and takes the call down.
    #[must_use]
    pub fn play_taped<'a, F: Flows>(&self, flows: &'a F) -> Played<'a, F> {
        self.play_again(flows, true)
    }

    fn play_again<'a, F: Flows>(&self, flows: &'a F, taped: bool) -> Played<'a, F> {
        let (answers, documents) = (self.answers.clone(), self.documents.clone());
        let world = RandomWorld::repeating(flows, self.connectors, self.store_away.clone(), answers, documents);
        let mut simulation = self.start(flows, world, taped);
        let mut next_key = CallTime::ZERO;
        for step in &self.moves {
            perform(step, &mut simulation, &mut next_key, |_| {});
        }
        simulation.run_to_end();
        simulation
    }

    /// The same call with other hidden digits of the same kind. None: which keys are hidden is not known for sure, or no
    /// other digits of the same kind were found.
    #[must_use]
    pub fn twin(&self, seed: u64) -> Option<Self> {
        if !self.twin {
            return None;
        }
        let mut twin = self.clone();
        for hidden in &self.hidden {
            if let Some(Move::Press { keys, .. }) = twin.moves.get_mut(hidden.step) {
                hidden.replace(keys, seed);
            }
        }
        (twin.moves != self.moves).then_some(twin)
    }
}

/// Does one move as a script's caller does. `pressed` is told before each key. False: the call was over before the last
/// key, and how many were pressed.
fn perform<W: super::World>(
    step: &Move,
    simulation: &mut Simulation<W>,
    next_key: &mut CallTime,
    mut pressed: impl FnMut(&Simulation<W>),
) -> usize {
    match step {
        Move::Press { keys, every } => {
            for (place, key) in keys.iter().enumerate() {
                let at = (*next_key).max(simulation.now());
                simulation.advance_to(at);
                if simulation.call().is_over() {
                    return place;
                }
                pressed(simulation);
                simulation.press(*key);
                *next_key = at + std::time::Duration::from_millis(*every);
            }
            keys.len()
        }
        Move::Wait(millis) => {
            simulation.advance_to(simulation.now() + std::time::Duration::from_millis(*millis));
            0
        }
        Move::HangUp => {
            simulation.hang_up();
            0
        }
        Move::Agent(request) => {
            request.perform(simulation);
            0
        }
        Move::Application(lead) => {
            lead.perform(simulation);
            0
        }
    }
}

/// What two twins show differently, if they do: the first line of each that is not the other's.
#[must_use]
pub fn difference<F: Flows>(one: &Played<'_, F>, other: &Played<'_, F>) -> Option<Violation> {
    let (mut left, mut right) = (one.records().iter(), other.records().iter());
    let (mut left_line, mut right_line) = (String::new(), String::new());
    let mut same = |left: &super::Record, right: &super::Record| {
        left_line.clear();
        right_line.clear();
        // Writing to a text cannot fail.
        let written = write!(left_line, "{left}").and_then(|()| write!(right_line, "{right}"));
        written.is_ok() && left_line == right_line
    };
    loop {
        match (left.next(), right.next()) {
            (None, None) => return None,
            (Some((at, left)), Some((other_at, right))) if at == other_at && same(left, right) => {}
            (left, right) => {
                let shown = |side: Option<&(CallTime, super::Record)>| {
                    side.map_or_else(|| "nothing".to_owned(), |(at, record)| format!("{at} {record}"))
                };
                let at = left.or(right).map_or(CallTime::ZERO, |(at, _)| *at);
                let what = format!(
                    "what is shown depends on hidden digits: `{}`, and with another number `{}`",
                    shown(left),
                    shown(right)
                );
                return Some(Violation { at, what });
            }
        }
    }
}

#[cfg(test)]
mod tests;
