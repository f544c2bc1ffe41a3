//! One Pay session led by a `<Pay>` of a document: from the first prompt to the one outcome.
//!
//! Shape:   [`PaySession::start`], then [`Input`]s and [`PaySession::handle_timeout`] in, [`Output`]s out through
//!          [`PaySession::poll_output`]; [`PaySession::poll_timeout`] says until when it waits, and for what.
//! Units:   `CallTime`.
//! Limits:  every wait but the one for a prompt to be heard has a deadline here; that one is the call machine's.
//! Errors:  none. Wrong digits are events; a faulty verb ends with `validation-error`.
//! Secrets: holds what was keyed; it leaves in an `Instrument` only.
//! Sources: spec/pay.md, sections 1 to 7.
//!
//! Invariants, each checked by a property test: one outcome; no submission before every field is valid; one submission at
//! most; no output after the outcome; no output depends on digits that are not shown.

use std::collections::VecDeque;

use super::confirmation::{Confirmation, ConfirmationAnswer};
use super::entry::FieldEntry;
use super::field::Field;
use super::gateway_exchange::GatewayExchange;
use super::keypad::{Admission, EndedBy, KeptKey, Keypad};
use super::listening::ListeningState;
use super::outcome::Ending;
use super::payment_core::PaymentCore;
use super::session::{Input, Output, Timer};
use super::settings::{Reading, Refusal};
use super::step::{EntryError, PayResult};
use super::surroundings::Surroundings;
use crate::form::Form;
use crate::secret::Digits;
use crate::time::CallTime;
use crate::tone::Key;

mod asking;
mod processing;
mod telling;

/// Where a session is.
#[derive(Debug)]
enum VerbPhase {
    /// The connector is being looked up.
    Finding { until: CallTime },
    /// A field is being asked for.
    Asking(FieldAsked),
    /// The last digits are being confirmed.
    Confirming(Confirmation),
    /// The gateway is being asked.
    Processing(GatewayExchange),
    /// The closing prompt is being heard; then this is the outcome.
    Closing { result: PayResult, form: Form },
    /// It is over.
    Finished,
}

/// One try at a field.
#[derive(Debug)]
struct FieldAsked {
    entry: FieldEntry,
    attempt: u8,
    /// The first of two matching entries, once it was found right.
    first: Option<Digits>,
    /// The keys of a field that may turn out to hold the beginning of the next one.
    typed: Vec<KeptKey>,
}

/// A Pay session.
#[derive(Debug)]
pub struct PaySession {
    core: PaymentCore,
    /// The fields that are still to be asked for.
    plan: VecDeque<Field>,
    phase: VerbPhase,
    last_error: Option<EntryError>,
    caller_gone: bool,
}

impl PaySession {
    /// Begins a session. A verb with refused values ends at once.
    #[must_use]
    pub fn start(now: CallTime, reading: Reading, around: Surroundings) -> Self {
        let Reading { settings, refusals, warnings: _ } = reading;
        let plan = settings.fields().into();
        let core = PaymentCore::new(settings, around);
        // The phase is a placeholder: below, the session ends or looks its connector up.
        let mut session = Self { core, plan, phase: VerbPhase::Finished, last_error: None, caller_gone: false };
        // `PaymentError` tells one refusal, the first; `touchtone check` shows them all.
        match refusals.into_iter().next() {
            Some(Refusal { message, code, error_type, .. }) => {
                let ending = Ending::fault(PayResult::ValidationError, code, message);
                session.finish(Ending { error_type, ..ending });
            }
            None => session.phase = VerbPhase::Finding { until: session.core.find_connector(now) },
        }
        session
    }

    /// Takes what happened. Keys that nobody listens for go into `keypad`, keys kept there are taken out of it.
    pub fn handle_input(&mut self, now: CallTime, input: Input, keypad: &mut Keypad) {
        match input {
            Input::Key(pressed, key) => self.handle_key(now, pressed, key, keypad),
            Input::Heard => self.handle_heard(now),
            Input::ConnectorFound(found) => self.handle_connector(now, found),
            Input::StoreAway => match self.phase {
                // Nothing has been said yet that could be cut.
                VerbPhase::Finding { .. } => self.finish(Ending::not_written()),
                VerbPhase::Asking(_) | VerbPhase::Confirming(_) => {
                    self.core.outputs.push_back(Output::Clear);
                    self.finish(Ending::not_written());
                }
                // What is asked now is written down, or is refused because it is not.
                VerbPhase::Processing(_) | VerbPhase::Closing { .. } | VerbPhase::Finished => {}
            },
            Input::Replied(number, reply) => self.handle_reply(now, number, reply),
            Input::CallerHungUp => {
                // Before the interruption, so that no closing prompt is said to nobody.
                self.caller_gone = true;
                self.interrupt(PayResult::CallerHungUp);
            }
            Input::Cancelled => self.interrupt(PayResult::TransactionCancelled),
        }
        // After every input: the session may listen now, and what was typed ahead comes before a prompt.
        self.take_kept_keys(now, keypad);
    }

    /// Takes note that [`Self::poll_timeout`]'s moment has come.
    pub fn handle_timeout(&mut self, now: CallTime, keypad: &mut Keypad) {
        match &mut self.phase {
            VerbPhase::Finding { .. } => {
                self.finish(Ending::broken_down("the connector could not be looked up in time"))
            }
            VerbPhase::Asking(asked) => {
                if let Some(by) = asked.entry.listening.timed_out() {
                    self.complete(now, by, keypad);
                }
            }
            VerbPhase::Confirming(confirmation) => {
                let answer = confirmation.handle_timeout(&self.core, keypad);
                self.answered(now, answer);
            }
            VerbPhase::Processing(exchange) => {
                let next = exchange.handle_timeout(now);
                self.advance(next);
            }
            // The prompt that is being heard has its deadline in the call machine.
            VerbPhase::Closing { .. } | VerbPhase::Finished => {}
        }
        self.take_kept_keys(now, keypad);
    }

    /// The next thing to be done, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front()
    }

    /// Until when it waits, and for what. None while a prompt is being heard, and after the end.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(CallTime, Timer)> {
        match &self.phase {
            VerbPhase::Finding { until } => Some((*until, Timer::Connector)),
            VerbPhase::Asking(FieldAsked { entry: FieldEntry { listening, .. }, .. })
            | VerbPhase::Confirming(Confirmation { listening, .. }) => listening.poll_timeout(),
            VerbPhase::Processing(exchange) => exchange.poll_timeout().map(|until| (until, Timer::Gateway)),
            VerbPhase::Closing { .. } | VerbPhase::Finished => None,
        }
    }

    /// Whether the outcome was given.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        matches!(self.phase, VerbPhase::Finished)
    }

    /// Whether the gateway is being asked.
    #[must_use]
    pub const fn is_processing(&self) -> bool {
        matches!(self.phase, VerbPhase::Processing(_))
    }

    /// Whether it goes on once what is being said has been heard.
    #[must_use]
    pub const fn waits_to_be_heard(&self) -> bool {
        match &self.phase {
            VerbPhase::Asking(FieldAsked { entry: FieldEntry { listening, .. }, .. })
            | VerbPhase::Confirming(Confirmation { listening, .. }) => matches!(listening, ListeningState::Prompting),
            VerbPhase::Closing { .. } => true,
            VerbPhase::Finding { .. } | VerbPhase::Processing(_) | VerbPhase::Finished => false,
        }
    }

    /// Whether keys are taken as they come.
    #[must_use]
    pub const fn is_listening(&self) -> bool {
        matches!(self.phase, VerbPhase::Asking(_) | VerbPhase::Confirming(_))
    }

    /// Whether a field is being entered, or asked for.
    #[must_use]
    pub const fn is_capturing(&self) -> bool {
        matches!(self.phase, VerbPhase::Asking(_))
    }

    /// The name of the phase and of what goes on in it: the arrows that coverage is counted by.
    #[must_use]
    pub const fn phase_name(&self) -> &'static str {
        match &self.phase {
            VerbPhase::Finding { .. } => "finding",
            VerbPhase::Asking(asked) => match (&asked.first, asked.entry.listening) {
                (None, ListeningState::Due { .. } | ListeningState::Prompting) => "prompting",
                (None, ListeningState::FirstDigit { .. }) => "waiting",
                (None, ListeningState::NextDigit { .. }) => "keying",
                (Some(_), ListeningState::Due { .. } | ListeningState::Prompting) => "prompting again",
                (Some(_), ListeningState::FirstDigit { .. }) => "waiting again",
                (Some(_), ListeningState::NextDigit { .. }) => "keying again",
                (_, ListeningState::AnotherDigit { .. }) => "perhaps whole",
            },
            VerbPhase::Confirming(confirmation) if confirmation.listening.is_prompting() => "prompting confirmation",
            VerbPhase::Confirming(_) => "waiting confirmation",
            VerbPhase::Processing(exchange) if exchange.is_interrupted() => "processing interrupted",
            VerbPhase::Processing(_) => "processing",
            VerbPhase::Closing { .. } => "closing",
            VerbPhase::Finished => "finished",
        }
    }

    fn handle_key(&mut self, now: CallTime, pressed: CallTime, key: Key, keypad: &mut Keypad) {
        match (&self.phase, key) {
            // Letters are ignored (spec/pay.md 3).
            (_, Key::Letter(_)) | (VerbPhase::Finished, _) => {}
            // The outcome is settled; keys are the next verb's.
            (VerbPhase::Closing { .. }, _) => keypad.keep(pressed, key),
            // Ends the verb in every phase before the outcome, also while the gateway is asked (spec/pay.md 3).
            (_, Key::Star) => self.interrupt(PayResult::CallerInterruptedWithStar),
            // Nobody listens: it is typed ahead (spec/pay.md 3).
            (VerbPhase::Finding { .. } | VerbPhase::Processing(_), _) => keypad.keep(pressed, key),
            (VerbPhase::Asking(asked), Key::Digit(_) | Key::Pound) if self.comes_too_late(asked, pressed) => {
                // It ends the wait as the timer would have, and is the next listener's.
                keypad.put_back(std::iter::once(keypad.at_hand(pressed, key)));
                self.complete(now, EndedBy::Itself, keypad);
            }
            (VerbPhase::Asking(_) | VerbPhase::Confirming(_), Key::Digit(_) | Key::Pound) => {
                if keypad.admit(pressed, key) == Admission::Input {
                    self.core.last_key = Some(pressed);
                    self.key_in(now, key, keypad);
                }
            }
        }
    }

    /// Whether a key was pressed after the wait in which a whole entry may go on: one that was typed ahead may have been.
    fn comes_too_late(&self, asked: &FieldAsked, pressed: CallTime) -> bool {
        if !matches!(asked.entry.listening, ListeningState::AnotherDigit { .. }) {
            return false;
        }
        // By when the keys were pressed: kept keys all arrive at one moment of `now`.
        let wait = self.core.settings.inter_digit_timeout.min(asked.entry.field.another_digit());
        self.core.last_key.is_some_and(|last_key| pressed - last_key > wait)
    }

    /// A key that belongs to the field or question of the moment.
    fn key_in(&mut self, now: CallTime, key: Key, keypad: &mut Keypad) {
        match &self.phase {
            VerbPhase::Asking(FieldAsked { entry: FieldEntry { listening, .. }, .. })
            | VerbPhase::Confirming(Confirmation { listening, .. }) => {
                if listening.is_prompting() {
                    self.core.outputs.push_back(Output::Clear);
                }
            }
            VerbPhase::Finding { .. } | VerbPhase::Processing(_) | VerbPhase::Closing { .. } | VerbPhase::Finished => {
                return;
            }
        }
        match (&self.phase, key) {
            (VerbPhase::Confirming(confirmation), key) => {
                let answer = confirmation.handle_key(key, &self.core, keypad);
                self.answered(now, answer);
            }
            (_, Key::Digit(digit)) => self.digit_in(now, digit, keypad),
            // Only `#` is left: stars and letters do not come here.
            (_, _) => self.complete(now, EndedBy::Pound, keypad),
        }
    }

    /// The confirmation was answered, or not.
    fn answered(&mut self, now: CallTime, answer: ConfirmationAnswer) {
        match answer {
            ConfirmationAnswer::Confirmed => self.process(now),
            ConfirmationAnswer::Cancelled => self.finish(Ending::plain(PayResult::TransactionCancelled)),
            ConfirmationAnswer::Again(confirmation) => self.phase = VerbPhase::Confirming(confirmation),
            ConfirmationAnswer::GivenUp => self.finish(Ending::plain(PayResult::TooManyFailedAttempts)),
        }
    }

    fn handle_heard(&mut self, now: CallTime) {
        // The time for the first digit starts when the prompt has been heard (spec/pay.md 3).
        let until = now + self.core.settings.timeout;
        match &mut self.phase {
            VerbPhase::Asking(FieldAsked { entry: FieldEntry { listening, .. }, .. })
            | VerbPhase::Confirming(Confirmation { listening, .. }) => listening.handle_heard(until),
            VerbPhase::Closing { .. } => self.close(),
            VerbPhase::Finding { .. } | VerbPhase::Processing(_) | VerbPhase::Finished => {}
        }
    }

    /// Takes kept keys as far as they go; says a prompt that none of them made needless.
    fn take_kept_keys(&mut self, now: CallTime, keypad: &mut Keypad) {
        while self.is_listening() {
            let Some((pressed, key)) = keypad.take() else { break };
            self.handle_key(now, pressed, key, keypad);
        }
        let heard = match &mut self.phase {
            VerbPhase::Asking(asked) => asked.take_prompt(&self.core),
            VerbPhase::Confirming(confirmation) => confirmation.take_prompt(&self.core),
            VerbPhase::Finding { .. } | VerbPhase::Processing(_) | VerbPhase::Closing { .. } | VerbPhase::Finished => {
                None
            }
        };
        if let Some(heard) = heard {
            self.core.outputs.push_back(Output::Speak(heard));
        }
    }
}
