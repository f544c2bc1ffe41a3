//! An agent-assisted session: an agent asks for one field after the other, the caller keys them in.
//!
//! Shape:   [`AssistedSession::start`], then the agent's [`AgentRequest`]s, the caller's keys and the gateway's replies in,
//!          [`Output`]s out through [`AssistedSession::poll_output`]; [`AssistedSession::poll_timeout`] says until when it
//!          waits, and for what.
//! Units:   `CallTime`.
//! Limits:  an entry has the timers of its session; between two captures a session waits for the agent or the call's end.
//! Errors:  [`AgentError`], to the agent, with Twilio's code and HTTP status; wrong digits are events.
//! Secrets: holds what was keyed; it leaves in an `Instrument` only.
//! Sources: spec/pay.md, section 8; Twilio, "Payments subresource".
//!
//! Keys with no capture active are dropped, so that a field holds what was keyed for it and nothing else.

use super::confirmation::{Confirmation, ConfirmationAnswer};
use super::entry::FieldEntry;
use super::field::Field;
use super::gateway::Capabilities;
use super::gateway_exchange::GatewayExchange;
use super::intent::SessionStart;
use super::keypad::{Admission, EndedBy, Keypad};
use super::outcome::Ending;
use super::payment_core::PaymentCore;
use super::session::{Input, Output, Timer, What};
use super::settings::Refusal;
use super::settings::request::Requested;
use super::step::{PayErrorCode, PayResult};
use super::surroundings::Surroundings;
use crate::secret::Digits;
use crate::time::CallTime;
use crate::tone::Key;

mod capturing;
mod processing;
mod telling;

pub use super::command::{AgentError, AgentRequest, Capture};

/// Where a session is.
#[derive(Debug)]
enum AssistedPhase {
    /// The connector is being looked up.
    Finding { until: CallTime },
    /// The agent has asked for nothing.
    Idle,
    /// A field is being keyed; `matcher`: for the second time.
    Capturing { entry: FieldEntry, matcher: bool },
    /// The caller confirms the last digits.
    Confirming(Confirmation),
    /// The gateway is being asked.
    Processing(Box<GatewayExchange>),
    /// It is over.
    Finished,
}

/// An agent-assisted session.
#[derive(Debug)]
pub struct AssistedSession {
    core: PaymentCore,
    /// Fields that are keyed twice.
    matched: Vec<Field>,
    /// First entries of fields that are keyed twice.
    firsts: Vec<(Field, Digits)>,
    /// Fields whose second entry was the first.
    agreed: Vec<Field>,
    phase: AssistedPhase,
    /// How often each capture was asked for.
    asked: Vec<(Capture, u8)>,
    /// The capture that callbacks name.
    capture: Option<Capture>,
    started: CallTime,
    updated: CallTime,
}

impl AssistedSession {
    /// Begins a session.
    ///
    /// # Errors
    /// A parameter's value is not allowed.
    pub fn start(now: CallTime, requested: Requested, around: Surroundings) -> Result<Self, AgentError> {
        let Requested { reading, matched } = requested;
        // A REST answer has one error: the first in the order in which parameters are read.
        if let Some(Refusal { message, code, .. }) = reading.refusals.into_iter().next() {
            return Err(AgentError::of(code, message));
        }
        let mut core = PaymentCore::new(reading.settings, around);
        let phase = AssistedPhase::Finding { until: core.find_connector(now) };
        Ok(Self {
            core,
            matched,
            firsts: Vec::new(),
            agreed: Vec::new(),
            phase,
            asked: Vec::new(),
            capture: None,
            started: now,
            updated: now,
        })
    }

    /// This payment's id: `PK` and 32 hex digits.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.core.around.transaction_id
    }

    /// What is told from now on should the session be cut off before the gateway is asked.
    #[must_use]
    pub fn start_now(&self) -> SessionStart {
        SessionStart::new(&self.core.settings, self.callback_fields())
    }

    /// Does what the agent wants, or says why it cannot be done; then nothing has changed.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn handle_command(&mut self, now: CallTime, command: AgentRequest) -> Result<(), AgentError> {
        match (&self.phase, command) {
            (AssistedPhase::Finished, _) => Err(AgentError::operation("this payment is over")),
            (AssistedPhase::Finding { .. }, _) => Err(AgentError::operation("this payment is being started")),
            // Before the arm below: a payment that is being completed takes no update but its cancellation.
            (_, AgentRequest::Cancel) => {
                self.interrupt(now, PayResult::TransactionCancelled);
                Ok(())
            }
            (AssistedPhase::Confirming(_) | AssistedPhase::Processing(_), _) => {
                Err(AgentError::operation("this payment is being completed; it can only be cancelled"))
            }
            (AssistedPhase::Idle | AssistedPhase::Capturing { .. }, AgentRequest::Capture(capture)) => {
                self.begin(now, capture)
            }
            (AssistedPhase::Idle | AssistedPhase::Capturing { .. }, AgentRequest::Complete) => self.complete(now),
        }
    }

    /// Takes what happened. `keypad`: the call's, which knows what the next key still belongs to.
    pub fn handle_input(&mut self, now: CallTime, input: Input, keypad: &mut Keypad) {
        match input {
            Input::Key(pressed, key) => self.handle_key(now, pressed, key, keypad),
            Input::Heard => {
                // Nothing but a confirmation is spoken in these sessions (spec/pay.md 8).
                if let AssistedPhase::Confirming(confirmation) = &mut self.phase {
                    confirmation.listening.handle_heard(now + self.core.settings.timeout);
                }
            }
            Input::ConnectorFound(found) => self.handle_connector(found),
            Input::StoreAway => match self.phase {
                // It was never open: the agent may ask again later, and no callback tells an outcome.
                AssistedPhase::Finding { .. } => self
                    .refuse(AgentError::unavailable("nothing can be written down now, so that no payment can be made")),
                AssistedPhase::Idle | AssistedPhase::Capturing { .. } | AssistedPhase::Confirming(_) => {
                    self.updated = now;
                    self.cut_short(Ending::not_written());
                }
                // What is asked now is written down, or is refused because it is not.
                AssistedPhase::Processing(_) | AssistedPhase::Finished => {}
            },
            Input::Replied(number, reply) => {
                if let AssistedPhase::Processing(exchange) = &mut self.phase {
                    let next = exchange.handle_reply(now, number, reply);
                    self.advance(now, next);
                }
            }
            Input::CallerHungUp => self.interrupt(now, PayResult::CallerHungUp),
            Input::Cancelled => self.interrupt(now, PayResult::TransactionCancelled),
        }
    }

    /// Takes note that [`Self::poll_timeout`]'s moment has come.
    pub fn handle_timeout(&mut self, now: CallTime, keypad: &mut Keypad) {
        match &mut self.phase {
            AssistedPhase::Finding { .. } => {
                self.refuse(AgentError::internal("the connector could not be looked up in time"));
            }
            AssistedPhase::Capturing { entry, .. } => {
                if let Some(by) = entry.listening.timed_out() {
                    self.end_entry(now, by, keypad);
                }
            }
            AssistedPhase::Confirming(confirmation) => {
                let answer = confirmation.handle_timeout(&self.core, keypad);
                self.answered(now, answer);
            }
            AssistedPhase::Processing(exchange) => {
                let next = exchange.handle_timeout(now);
                self.advance(now, next);
            }
            // A session waits for its agent until the call ends.
            AssistedPhase::Idle | AssistedPhase::Finished => {}
        }
    }

    /// The next thing to be done, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front()
    }

    /// Until when it waits, and for what; none while it waits for the agent.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(CallTime, Timer)> {
        match &self.phase {
            AssistedPhase::Finding { until } => Some((*until, Timer::Connector)),
            AssistedPhase::Capturing { entry: FieldEntry { listening, .. }, .. }
            | AssistedPhase::Confirming(Confirmation { listening, .. }) => listening.poll_timeout(),
            AssistedPhase::Processing(exchange) => exchange.poll_timeout().map(|until| (until, Timer::Gateway)),
            AssistedPhase::Idle | AssistedPhase::Finished => None,
        }
    }

    /// Whether it is over.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        matches!(self.phase, AssistedPhase::Finished)
    }

    /// Whether the gateway is being asked.
    #[must_use]
    pub const fn is_processing(&self) -> bool {
        matches!(self.phase, AssistedPhase::Processing(_))
    }

    /// Whether keys are taken as they come.
    #[must_use]
    pub const fn is_listening(&self) -> bool {
        matches!(self.phase, AssistedPhase::Capturing { .. } | AssistedPhase::Confirming(_))
    }

    /// Whether a field is being entered.
    #[must_use]
    pub const fn is_capturing(&self) -> bool {
        matches!(self.phase, AssistedPhase::Capturing { .. })
    }

    /// Whether it goes on once what is being said has been heard.
    #[must_use]
    pub const fn waits_to_be_heard(&self) -> bool {
        matches!(&self.phase, AssistedPhase::Confirming(confirmation) if confirmation.listening.is_prompting())
    }

    /// The name of the phase, as [`super::verb::PaySession::phase_name`] gives it for a verb.
    #[must_use]
    pub const fn phase_name(&self) -> &'static str {
        match &self.phase {
            AssistedPhase::Finding { .. } => "agent: finding",
            AssistedPhase::Idle => "agent: idle",
            AssistedPhase::Capturing { matcher: false, .. } => "agent: capturing",
            AssistedPhase::Capturing { .. } => "agent: capturing again",
            AssistedPhase::Confirming(_) => "agent: confirming",
            AssistedPhase::Processing(exchange) if exchange.is_interrupted() => "agent: processing interrupted",
            AssistedPhase::Processing(_) => "agent: processing",
            AssistedPhase::Finished => "agent: finished",
        }
    }

    /// The field that the agent asks for now.
    #[must_use]
    pub const fn capturing(&self) -> Option<Field> {
        match &self.phase {
            AssistedPhase::Capturing { entry, .. } => Some(entry.field),
            _ => None,
        }
    }

    fn handle_connector(&mut self, found: Option<Capabilities>) {
        // One that comes late was given up already.
        if !matches!(self.phase, AssistedPhase::Finding { .. }) {
            return;
        }
        if let Err((code, message)) = self.core.connector_found(found) {
            return self.refuse(AgentError::of(code, message));
        }
        self.phase = AssistedPhase::Idle;
        let callback_fields = self.callback_fields();
        // Before the first report: nothing is told of a session that is not written down.
        self.core.begin(callback_fields);
        self.report(What::Begun);
        self.core.outputs.push_back(Output::Opened(Ok(())));
    }

    /// The session cannot be opened: only the agent is told, for the application has heard of no session.
    fn refuse(&mut self, why: AgentError) {
        self.phase = AssistedPhase::Finished;
        self.core.outputs.push_back(Output::Opened(Err(why)));
    }

    fn handle_key(&mut self, now: CallTime, pressed: CallTime, key: Key, keypad: &mut Keypad) {
        // `Keypad::admit` must not see letters: they are no input, and would use up the `#` of a completed field.
        if let Key::Letter(_) = key {
            return;
        }
        // Also a key that is dropped is the next key after a field.
        let admitted = keypad.admit(pressed, key);
        if admitted != Admission::Input {
            return;
        }
        match &self.phase {
            AssistedPhase::Capturing { .. } => {
                self.core.last_key = Some(pressed);
                keypad.answered();
                match key {
                    Key::Digit(digit) => self.digit_in(now, digit, keypad),
                    Key::Pound => self.end_entry(now, EndedBy::Pound, keypad),
                    Key::Star | Key::Letter(_) => self.restart_entry(now),
                }
            }
            AssistedPhase::Confirming(confirmation) => {
                self.core.last_key = Some(pressed);
                // Without effect once the question was heard: `Call::clear` cuts only what is still being said.
                self.core.outputs.push_back(Output::Clear);
                let answer = confirmation.handle_key(key, &self.core, keypad);
                self.answered(now, answer);
            }
            AssistedPhase::Finding { .. }
            | AssistedPhase::Idle
            | AssistedPhase::Processing(_)
            | AssistedPhase::Finished => {}
        }
    }

    /// The agent has everything: the caller confirms, or the gateway is asked.
    fn complete(&mut self, now: CallTime) -> Result<(), AgentError> {
        let missing = self.required();
        if !missing.is_empty() {
            let message = format!("still missing: {missing}");
            return Err(AgentError::of(PayErrorCode::Incomplete, message));
        }
        self.updated = now;
        // Nothing is captured any more, so that later callbacks name no `Capture`.
        self.capture = None;
        if self.core.settings.confirmation {
            let confirmation = Confirmation::first(&self.core);
            self.confirm(confirmation);
        } else {
            self.process(now);
        }
        Ok(())
    }

    /// Reads the last digits back, at once: keys that were pressed before are dropped in these sessions.
    fn confirm(&mut self, mut confirmation: Confirmation) {
        if let Some(heard) = confirmation.take_prompt(&self.core) {
            self.core.outputs.push_back(Output::Speak(heard));
        }
        self.phase = AssistedPhase::Confirming(confirmation);
    }

    /// The confirmation was answered, or not.
    fn answered(&mut self, now: CallTime, answer: ConfirmationAnswer) {
        match answer {
            ConfirmationAnswer::Confirmed => self.process(now),
            ConfirmationAnswer::Cancelled => self.finish(Ending::plain(PayResult::TransactionCancelled)),
            ConfirmationAnswer::Again(confirmation) => {
                self.updated = now;
                self.confirm(confirmation);
            }
            ConfirmationAnswer::GivenUp => {
                self.updated = now;
                self.finish(Ending::plain(PayResult::TooManyFailedAttempts));
            }
        }
    }
}

#[cfg(test)]
mod tests;
