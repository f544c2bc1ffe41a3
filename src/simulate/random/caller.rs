//! The caller: looks at what the machine asks for, and does something about it.

use std::time::Duration;

use super::entries::{choice, digits, entry};
use super::outside::{Agent, Lead, is_begun};
use super::twin::{Hidden, HiddenField};
use super::{Flows, MOVES_MAX, Move, Plan, Played, SeededRng, perform};
use crate::flow::LedBy;
use crate::pay::session::What;
use crate::pay::step::Step;
use crate::simulate::Record;
use crate::time::CallTime;
use crate::tone::Key;

/// Milliseconds between keys: faster than any finger, around a burst's 250, slow.
const GAPS: [u64; 8] = [10, 40, 100, 100, 200, 249, 250, 400];

/// Keys that follow one another faster than this may belong to an entry that failed (spec/pay.md, section 3).
const BURST_GAP: Duration = Duration::from_millis(250);

/// The most times something happens while the caller waits to be listened to.
const TIME_LIMIT: u32 = 40;

/// A caller's habits: whole kinds of behaviour are on or off in a call, so that many calls go through to the end.
struct Habits {
    /// How many entries of a hundred are right.
    right: u64,
    /// How often `#` follows an entry: 0 never, 1 sometimes, 2 always.
    pounds: u64,
    /// Whether prompts are heard to their end.
    patient: bool,
    types_ahead: bool,
    dawdles: bool,
    presses_star: bool,
    hangs_up: bool,
    /// Whether an agent is there, and an application that interferes.
    assisted: bool,
    led: bool,
}

pub(super) struct Caller<'a, F> {
    rng: SeededRng,
    habits: Habits,
    simulation: Played<'a, F>,
    agent: Agent,
    next_key: CallTime,
    /// How many records were looked at, and what they told last.
    looked_at: usize,
    step: Option<Step>,
    /// Whether an entry failed in the burst that is going on.
    failed: bool,
    four: bool,
    /// Whether something was keyed into the field that an agent asks for.
    begun: bool,
    last_press: Option<CallTime>,
    /// Whether a field was asked for twice, and whether a digit was keyed of which it is not known where it went.
    again: bool,
    unknown: bool,
}

impl<'a, F: Flows> Caller<'a, F> {
    pub(super) fn new(mut rng: SeededRng, simulation: Played<'a, F>) -> Self {
        let habits = Habits {
            right: rng.one_of(&[100, 95, 80, 40], 100),
            pounds: rng.below(3),
            patient: !rng.one_in(3),
            types_ahead: rng.one_in(4),
            dawdles: rng.one_in(3),
            presses_star: rng.one_in(4),
            hangs_up: rng.one_in(4),
            assisted: rng.one_in(3),
            led: rng.one_in(5),
        };
        Self {
            rng,
            habits,
            simulation,
            agent: Agent::default(),
            next_key: CallTime::ZERO,
            looked_at: 0,
            step: None,
            failed: false,
            four: false,
            begun: false,
            last_press: None,
            again: false,
            unknown: false,
        }
    }

    /// Plays the call to its end and writes down every move.
    pub(super) fn play(mut self, mut plan: Plan) -> (Plan, Played<'a, F>) {
        if self.habits.assisted && self.rng.one_in(2) {
            // An agent needs time.
            self.lead(Lead::HOLD, &mut plan);
        }
        while !self.simulation.call().is_over() && plan.moves.len() < MOVES_MAX {
            self.look();
            self.act(&mut plan);
        }
        if !self.simulation.call().is_over() {
            self.simulation.hang_up();
            plan.moves.push(Move::HangUp);
        }
        self.simulation.run_to_end();
        plan.twin = !(self.again && self.unknown);
        (plan.answers, plan.documents) = self.simulation.world().written_down();
        (plan, self.simulation)
    }

    /// Takes in what was reported since.
    fn look(&mut self) {
        for (_, record) in self.simulation.records().iter().skip(self.looked_at) {
            self.agent.look(record);
            if let Record::Reported(payment, progress, form) = record {
                let led_on =
                    payment.led_by == LedBy::Document && self.simulation.call().stage_name().starts_with("agent");
                if payment.led_by == LedBy::Agent && !matches!(progress.what, What::Refused(_)) {
                    self.begun = progress.what == What::Keyed && is_begun(form, progress.step);
                }
                match progress.what {
                    What::Keyed | What::Refused(_) => {}
                    What::Begun => self.step = Some(progress.step),
                    What::Failed(_) => self.failed = true,
                    // A <Pay> that could not begin beside an agent's payment.
                    What::Finished(_) if led_on => {}
                    What::Finished(_) => self.step = None,
                    What::Captured => {
                        let card = form.value("PaymentCardType").map(|brand| brand.shown().to_owned());
                        self.four = matches!(card.as_deref(), Some("amex" | "optima"));
                    }
                }
            }
        }
        self.looked_at = self.simulation.records().len();
        self.again |= self.simulation.call().stage_name().ends_with("again");
    }

    fn act(&mut self, plan: &mut Plan) {
        if self.habits.presses_star && self.rng.one_in(20) {
            return self.press("*".to_owned(), plan);
        }
        if self.habits.hangs_up && self.rng.one_in(20) {
            self.simulation.hang_up();
            return plan.moves.push(Move::HangUp);
        }
        if self.rng.one_in(60) {
            let letters = self.rng.one_of(&["A", "b", "CD"], "A").to_owned();
            return self.press(letters, plan);
        }
        let stage = self.simulation.call().stage_name();
        if self.habits.led && self.rng.one_in(20) {
            let lead = Lead::draw(&mut self.rng);
            return self.lead(lead, plan);
        }
        if self.habits.assisted
            && let Some(request) = self.agent.wants(stage, &mut self.rng)
        {
            request.perform(&mut self.simulation);
            return plan.moves.push(Move::Agent(request));
        }
        match stage {
            "agent: capturing" | "agent: capturing again" if self.begun => self.go_on(plan),
            "agent: capturing" | "agent: capturing again" => self.answer(plan),
            // Nobody asks for anything.
            "agent: idle" if self.rng.one_in(3) => {
                let keys = self.rng.one_of(&["#", "*", "12", "4242#"], "#").to_owned();
                self.press(keys, plan);
            }
            "agent: idle" => self.wait_a_little(plan),
            "agent: confirming" if self.habits.patient && !self.simulation.call().is_listening() => self.wait(plan),
            "agent: confirming" => {
                let right = self.rng.below(100) < self.habits.right;
                let keys = choice(right, &mut self.rng);
                self.press(keys, plan);
            }
            "prompting" | "prompting again" | "prompting confirmation" if self.habits.patient => self.wait(plan),
            "prompting" | "waiting" | "prompting again" | "waiting again" => self.answer(plan),
            "keying" | "keying again" | "perhaps whole" => self.go_on(plan),
            "prompting confirmation" | "waiting confirmation" => self.answer(plan),
            "gathering" if self.habits.patient && !self.simulation.call().is_listening() => self.wait(plan),
            "gathering" => {
                let right = self.rng.below(100) < self.habits.right;
                let length = 1 + self.rng.below(4);
                let mut keys = if self.rng.one_in(4) {
                    digits(length, &mut self.rng)
                } else if self.rng.one_in(4) {
                    // Some key their card in wherever they are asked for anything.
                    entry(Step::PaymentCardNumber, false, 100, &mut self.rng)
                } else {
                    choice(right, &mut self.rng)
                };
                self.end(&mut keys);
                self.press(keys, plan);
            }
            // Saying, pausing, fetching, processing ...
            _ if self.habits.types_ahead && self.rng.one_in(3) => {
                let keys = self.several(Step::PaymentCardNumber);
                self.press(keys, plan);
            }
            _ if self.rng.one_in(30) => {
                let length = 1 + self.rng.below(70);
                let keys = digits(length, &mut self.rng);
                self.press(keys, plan);
            }
            _ => self.wait(plan),
        }
    }

    fn lead(&mut self, lead: Lead, plan: &mut Plan) {
        lead.perform(&mut self.simulation);
        plan.moves.push(Move::Application(lead));
    }

    /// Keys in what is asked for.
    fn answer(&mut self, plan: &mut Plan) {
        if self.habits.dawdles && self.rng.one_in(5) {
            return self.wait_for_deadline(plan);
        }
        if self.habits.pounds == 1 && self.rng.one_in(40) {
            return self.press("#".to_owned(), plan);
        }
        let Some(step) = self.step else { return self.wait(plan) };
        let mut keys = if self.habits.types_ahead && self.rng.one_in(2) {
            self.several(step)
        } else {
            entry(step, self.four, self.habits.right, &mut self.rng)
        };
        self.end(&mut keys);
        self.press(keys, plan);
    }

    /// Has begun to key something in.
    fn go_on(&mut self, plan: &mut Plan) {
        match self.rng.below(10) {
            0..4 => self.press("#".to_owned(), plan),
            4 => {
                let length = 1 + self.rng.below(4);
                let keys = digits(length, &mut self.rng);
                self.press(keys, plan);
            }
            _ => self.wait_for_deadline(plan),
        }
    }

    /// The entries of a step and of those after it.
    fn several(&mut self, from: Step) -> String {
        const CARD: [Step; 4] = [Step::PaymentCardNumber, Step::ExpirationDate, Step::PostalCode, Step::SecurityCode];
        const BANK: [Step; 2] = [Step::BankRoutingNumber, Step::BankAccountNumber];
        let steps: &[Step] = if BANK.contains(&from) { &BANK } else { &CARD };
        let mut keys = String::new();
        for step in steps.iter().skip_while(|step| **step != from) {
            keys.push_str(&entry(*step, self.four, self.habits.right, &mut self.rng));
            self.end(&mut keys);
            if self.rng.one_in(3) {
                break;
            }
        }
        keys
    }

    fn end(&mut self, keys: &mut String) {
        let ends = match self.habits.pounds {
            0 => self.rng.one_in(20),
            1 => self.rng.one_in(2),
            _ => true,
        };
        if ends {
            keys.push('#');
        }
    }

    fn press(&mut self, keys: String, plan: &mut Plan) {
        let mut keys: Vec<Key> = keys.chars().filter_map(Key::parse).collect();
        if keys.is_empty() {
            return self.wait_for_deadline(plan);
        }
        let every = self.rng.one_of(&GAPS, 100);
        let run = keys.iter().take_while(|key| matches!(key, Key::Digit(_))).count();
        // What happens before the first key may change what is asked for.
        self.simulation.advance_to(self.next_key);
        self.look();
        let now = self.simulation.now();
        // A burst that is over takes nothing with it any more.
        self.failed &= self.last_press.is_some_and(|last| now - last < BURST_GAP);
        let (step, failed, begun) = (self.step, self.failed, self.begun);
        let mut hidden = None;
        let mut unknown = false;
        let mut confirming = false;
        let mut place = 0;
        let pressing = Move::Press { keys: keys.clone(), every };
        let pressed = perform(&pressing, &mut self.simulation, &mut self.next_key, |simulation| {
            let stage = simulation.call().stage_name();
            if place == 0 && run > 0 {
                // The rest of a failed burst goes nowhere; what else comes now begins an empty field.
                let empty = matches!(stage, "prompting" | "waiting" | "prompting again" | "waiting again")
                    || (stage.starts_with("agent: capturing") && !begun);
                if empty && !failed {
                    hidden = step.and_then(HiddenField::of);
                }
            }
            confirming |= stage.ends_with("confirmation") || stage == "agent: confirming";
            let digit = matches!(keys.get(place), Some(Key::Digit(_)));
            unknown |= digit && (hidden.is_none() || place >= run);
            place += 1;
        });
        if pressed < keys.len() {
            keys.truncate(pressed);
        }
        if pressed > 0 {
            self.last_press = Some(self.simulation.now());
            self.unknown |= unknown;
            // An answer to a confirmation may have failed, and the rest of its burst goes with it.
            self.failed |= confirming;
            if let Some(field) = hidden {
                plan.hidden.push(Hidden { step: plan.moves.len(), length: run.min(pressed), field });
            }
            plan.moves.push(Move::Press { keys, every });
        }
    }

    /// Waits until the machine listens in silence, or wants nothing more.
    fn wait(&mut self, plan: &mut Plan) {
        if self.habits.dawdles && self.rng.one_in(3) {
            return self.wait_for_deadline(plan);
        }
        let from = self.simulation.now();
        let mut left = TIME_LIMIT;
        while left > 0 && !self.simulation.call().is_over() && !self.simulation.call().is_listening() {
            let Some(at) = self.simulation.next_moment() else { break };
            self.simulation.advance_to(at);
            if self.simulation.next_moment() == Some(at) {
                // A deadline: it comes as soon as its instant has passed.
                self.simulation.advance_to(at + Duration::from_millis(1));
            }
            left -= 1;
        }
        if self.simulation.now() == from {
            self.simulation.advance_to(from + Duration::from_millis(1));
        }
        self.waited(from, plan);
    }

    /// Waits for a moment.
    fn wait_a_little(&mut self, plan: &mut Plan) {
        let from = self.simulation.now();
        self.simulation.advance_to(from + Duration::from_millis(1 + self.rng.below(3000)));
        self.waited(from, plan);
    }

    /// Waits until the next thing that happens, or a little more or less.
    fn wait_for_deadline(&mut self, plan: &mut Plan) {
        let from = self.simulation.now();
        let at = self.simulation.next_moment().unwrap_or(from);
        let until = match self.rng.below(4) {
            0 => CallTime::from_millis(at.as_millis().saturating_sub(1)),
            1 => at,
            2 => at + Duration::from_millis(1),
            _ => from + Duration::from_millis(self.rng.below(3000)),
        };
        // A wait of no time would be one for ever.
        self.simulation.advance_to(until.max(from + Duration::from_millis(1)));
        self.waited(from, plan);
    }

    fn waited(&mut self, from: CallTime, plan: &mut Plan) {
        let length = (self.simulation.now() - from).as_millis();
        plan.moves.push(Move::Wait(u64::try_from(length).unwrap_or(u64::MAX)));
    }
}
