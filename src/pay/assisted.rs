//! An agent-assisted session: an agent asks for one field after the other, the caller keys them in.
//!
//! Shape:   [`AssistedSession::start`], then the agent's [`Command`]s, the caller's keys and the gateway's replies in,
//!          [`Output`]s out through [`AssistedSession::poll_output`]; [`AssistedSession::poll_timeout`] says until when it
//!          waits, and for what.
//! Units:   `CallTime`.
//! Limits:  an entry has the timers of its session; between two captures a session waits for the agent or the call's end.
//! Errors:  [`AgentError`], to the agent, with Twilio's code and HTTP status; wrong digits are events.
//! Secrets: holds what was keyed; it leaves in an `Instrument` only.
//! Sources: spec/pay.md, section 8; Twilio, "Payments subresource".
//!
//! Keys with no capture active are dropped, so that a field holds what was keyed for it and nothing else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::admission::admit;
use super::captured::Captured;
use super::card::Completeness;
use super::field::Field;
use super::gateway::{Attempt, Capabilities, Instrument, Means};
use super::intent::{Intent, SessionStart, Told};
use super::keypad::{Admission, Destination, EndedBy, Keypad};
use super::outcome::{Ending, Outcome};
use super::prompts::{Complaint, Scene};
use super::receipt::Receipt;
use super::session::{Progress, Timer, What};
use super::settings::request::Requested;
use super::settings::{PostalCode, Refusal, Settings};
use super::settlement::{Settled, Settlement};
use super::step::{EntryError, Moment, PayErrorCode, PayResult, SessionError, Step};
use super::submission::{Question, Reply};
use super::surroundings::Surroundings;
use super::test_numbers::AcceptedNumbers;
use crate::form::Form;
use crate::mask;
use crate::secret::Digits;
use crate::time::CallTime;
use crate::tone::{Digit, Key};
use crate::twiml::Utterance;

mod command;
mod telling;

pub use command::{AgentError, Capture, Command};
use telling::Partial;

/// How long the shell may take to find a connector.
const FIND_LIMIT: Duration = Duration::from_secs(5);

/// What a session is told, beside commands and keys.
#[derive(Debug)]
pub enum Input {
    /// A key, and when it was pressed.
    Key(CallTime, Key),
    /// Everything said so far has been heard.
    Heard,
    /// The connector that was looked up; none: there is none of that name.
    ConnectorFound(Option<Capabilities>),
    /// Nothing can be written down now, so that no payment can be made.
    StoreAway,
    /// The gateway's answer to a question.
    Replied(u16, Reply),
    /// The caller is gone.
    CallerHungUp,
}

/// What a session wants done.
#[derive(Debug)]
pub enum Output {
    /// Look the connector of that name up.
    FindConnector(String),
    /// The session is open, or cannot be: the answer to who started it.
    Opened(Result<(), AgentError>),
    /// Say this, after what is being said.
    Speak(Vec<Utterance>),
    /// Stop what is being said.
    Clear,
    /// Tell how it goes: the progress, and the fields of the status callback.
    Report(Progress, Form),
    /// It begins: write down what is told should it be cut off. Once; later changes are [`AssistedSession::start_now`].
    Begin(Box<SessionStart>),
    /// The gateway is about to be asked: write down what its answer will be told with. Once, before the first question.
    Intend(Box<Intent>),
    /// The outcome is known: tell it, and write down that it is. Once.
    Settle(Progress, Outcome, Box<Told>),
    /// Ask the gateway.
    Ask(Question, Arc<Attempt>, Arc<Instrument>),
}

/// Where a session is.
#[derive(Debug)]
enum Phase {
    /// The connector is being looked up.
    Finding { until: CallTime },
    /// The agent has asked for nothing.
    Idle,
    /// A field is being keyed.
    Capturing { capture: Capture, digits: Digits, wait: Entry },
    /// The caller confirms the last digits.
    Confirming { attempt: u8, ear: Ear },
    /// The gateway is being asked.
    Processing(Box<Settlement>),
    /// It is over.
    Finished,
}

/// What an entry waits for.
#[derive(Clone, Copy, Debug)]
enum Entry {
    First(CallTime),
    Next(CallTime),
    /// A digit that would make a whole card number longer.
    Another(CallTime),
}

/// How far a confirmation is with listening.
#[derive(Clone, Copy, Debug)]
enum Ear {
    Prompting,
    Waiting { until: CallTime },
}

/// An agent-assisted session.
#[derive(Debug)]
pub struct AssistedSession {
    settings: Settings,
    around: Surroundings,
    matched: Vec<Field>,
    /// First entries of fields that are keyed twice.
    firsts: Vec<(Field, Digits)>,
    /// Fields whose second entry was the first.
    agreed: Vec<Field>,
    limits: Option<Capabilities>,
    captured: Captured,
    receipt: Receipt,
    phase: Phase,
    /// How often each capture was asked for.
    asked: Vec<(Capture, u8)>,
    /// The step and attempt that callbacks name, and the capture.
    at: (Step, u8),
    capture: Option<Capture>,
    last_key: Option<CallTime>,
    started: CallTime,
    updated: CallTime,
    told: u32,
    outputs: VecDeque<Output>,
}

impl AssistedSession {
    /// Begins a session.
    ///
    /// # Errors
    /// A parameter's value is not allowed.
    pub fn start(now: CallTime, requested: Requested, around: Surroundings) -> Result<Self, AgentError> {
        let Requested { reading, matched } = requested;
        if let Some(Refusal { message, code, .. }) = reading.refusals.into_iter().next() {
            return Err(AgentError::of(code, message));
        }
        let settings = reading.settings;
        let given = match &settings.postal_code {
            PostalCode::Given(code) if settings.asks_for_card() => Some(code.clone()),
            PostalCode::Given(_) | PostalCode::Asked | PostalCode::Left => None,
        };
        let first = settings.first_step();
        let connector = settings.connector.clone();
        Ok(Self {
            settings,
            around,
            matched,
            firsts: Vec::new(),
            agreed: Vec::new(),
            limits: None,
            captured: Captured::default(),
            receipt: Receipt { postal_code: given, ..Receipt::default() },
            phase: Phase::Finding { until: now + FIND_LIMIT },
            asked: Vec::new(),
            at: (first, 1),
            capture: None,
            last_key: None,
            started: now,
            updated: now,
            told: 0,
            outputs: VecDeque::from([Output::FindConnector(connector)]),
        })
    }

    /// This payment's id: `PK` and 32 hex digits.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.around.transaction_id
    }

    /// What is told from now on should the session be cut off before the gateway is asked.
    #[must_use]
    pub fn start_now(&self) -> SessionStart {
        SessionStart::new(&self.settings, self.statement())
    }

    /// Does what the agent wants, or says why it cannot be done; then nothing has changed.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn handle_command(&mut self, now: CallTime, command: Command) -> Result<(), AgentError> {
        match (&self.phase, command) {
            (Phase::Finished, _) => Err(AgentError::operation("this payment is over")),
            (Phase::Finding { .. }, _) => Err(AgentError::operation("this payment is being started")),
            (_, Command::Cancel) => {
                self.updated = now;
                self.interrupt(PayResult::TransactionCancelled);
                Ok(())
            }
            (Phase::Confirming { .. } | Phase::Processing(_), _) => {
                Err(AgentError::operation("this payment is being completed; it can only be cancelled"))
            }
            (Phase::Idle | Phase::Capturing { .. }, Command::Capture(capture)) => self.begin(now, capture),
            (Phase::Idle | Phase::Capturing { .. }, Command::Complete) => self.complete(now),
        }
    }

    /// Takes what happened. `keypad`: the call's, which knows what the next key still belongs to.
    pub fn handle_input(&mut self, now: CallTime, input: Input, keypad: &mut Keypad) {
        match input {
            Input::Key(pressed, key) => self.handle_key(now, pressed, key, keypad),
            Input::Heard => {
                let until = now + self.settings.timeout;
                if let Phase::Confirming { ear: ear @ Ear::Prompting, .. } = &mut self.phase {
                    *ear = Ear::Waiting { until };
                }
            }
            Input::ConnectorFound(found) => self.handle_connector(found),
            Input::StoreAway => match self.phase {
                Phase::Finding { .. } => self
                    .refuse(AgentError::unavailable("nothing can be written down now, so that no payment can be made")),
                Phase::Idle | Phase::Capturing { .. } => {
                    self.updated = now;
                    self.finish(Ending::not_written());
                }
                Phase::Confirming { .. } => {
                    self.updated = now;
                    self.outputs.push_back(Output::Clear);
                    self.finish(Ending::not_written());
                }
                // What is asked now is written down, or is refused because it is not.
                Phase::Processing(_) | Phase::Finished => {}
            },
            Input::Replied(number, reply) => {
                if let Phase::Processing(settlement) = &mut self.phase {
                    let next = settlement.handle_reply(now, number, reply);
                    self.advance(now, next);
                }
            }
            Input::CallerHungUp => {
                self.updated = now;
                self.interrupt(PayResult::CallerHungUp);
            }
        }
    }

    /// Takes note that [`Self::poll_timeout`]'s moment has come.
    pub fn handle_timeout(&mut self, now: CallTime, keypad: &mut Keypad) {
        match &mut self.phase {
            Phase::Finding { .. } => {
                self.refuse(AgentError::internal("the connector could not be looked up in time"));
            }
            Phase::Capturing { wait: Entry::First(_) | Entry::Next(_), .. } => {
                self.end_entry(now, EndedBy::Timer, keypad);
            }
            Phase::Capturing { wait: Entry::Another(_), .. } => self.end_entry(now, EndedBy::Itself, keypad),
            Phase::Confirming { .. } => self.not_confirmed(now, Complaint::Entry(EntryError::InputTimeout), keypad),
            Phase::Processing(settlement) => {
                let next = settlement.handle_timeout(now);
                self.advance(now, next);
            }
            Phase::Idle | Phase::Finished => {}
        }
    }

    /// The next thing to be done, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Until when it waits, and for what; none while it waits for the agent.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(CallTime, Timer)> {
        match &self.phase {
            Phase::Finding { until } => Some((*until, Timer::Connector)),
            Phase::Capturing { wait: Entry::First(until), .. } => Some((*until, Timer::FirstDigit)),
            Phase::Capturing { wait: Entry::Next(until), .. } => Some((*until, Timer::NextDigit)),
            Phase::Capturing { wait: Entry::Another(until), .. } => Some((*until, Timer::AnotherDigit)),
            Phase::Confirming { ear: Ear::Waiting { until }, .. } => Some((*until, Timer::FirstDigit)),
            Phase::Processing(settlement) => settlement.deadline().map(|until| (until, Timer::Gateway)),
            Phase::Confirming { ear: Ear::Prompting, .. } | Phase::Idle | Phase::Finished => None,
        }
    }

    /// Whether it is over.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished)
    }

    /// Whether the gateway is being asked.
    #[must_use]
    pub const fn is_processing(&self) -> bool {
        matches!(self.phase, Phase::Processing(_))
    }

    /// Whether keys are taken as they come.
    #[must_use]
    pub const fn is_listening(&self) -> bool {
        matches!(self.phase, Phase::Capturing { .. } | Phase::Confirming { .. })
    }

    /// Whether a field is being entered.
    #[must_use]
    pub const fn is_capturing(&self) -> bool {
        matches!(self.phase, Phase::Capturing { .. })
    }

    /// Whether it goes on once what is being said has been heard.
    #[must_use]
    pub const fn waits_to_be_heard(&self) -> bool {
        matches!(self.phase, Phase::Confirming { ear: Ear::Prompting, .. })
    }

    /// The name of the phase, as [`super::session::PaySession::phase_name`] gives it for a verb.
    #[must_use]
    pub const fn phase_name(&self) -> &'static str {
        match &self.phase {
            Phase::Finding { .. } => "agent: finding",
            Phase::Idle => "agent: idle",
            Phase::Capturing { capture: Capture { matcher: false, .. }, .. } => "agent: capturing",
            Phase::Capturing { .. } => "agent: capturing again",
            Phase::Confirming { .. } => "agent: confirming",
            Phase::Processing(settlement) if settlement.is_interrupted() => "agent: processing interrupted",
            Phase::Processing(_) => "agent: processing",
            Phase::Finished => "agent: finished",
        }
    }

    /// The field that the agent asks for now.
    #[must_use]
    pub const fn capturing(&self) -> Option<Field> {
        match &self.phase {
            Phase::Capturing { capture, .. } => Some(capture.field),
            _ => None,
        }
    }

    fn handle_connector(&mut self, found: Option<Capabilities>) {
        if !matches!(self.phase, Phase::Finding { .. }) {
            return;
        }
        let Some(limits) = found else {
            let message = format!("there is no connector named {}", mask::refused(&self.settings.connector));
            return self.refuse(AgentError::of(PayErrorCode::UnknownConnector, message));
        };
        if let Err((code, message)) = admit(&self.settings, &limits) {
            return self.refuse(AgentError::of(code, message));
        }
        self.limits = Some(limits);
        self.phase = Phase::Idle;
        self.outputs.push_back(Output::Begin(Box::new(self.start_now())));
        self.report(What::Begun, None);
        self.outputs.push_back(Output::Opened(Ok(())));
    }

    /// The session cannot be opened.
    fn refuse(&mut self, why: AgentError) {
        self.phase = Phase::Finished;
        self.outputs.push_back(Output::Opened(Err(why)));
    }

    /// The agent asks for a field.
    fn begin(&mut self, now: CallTime, capture: Capture) -> Result<(), AgentError> {
        let Capture { field, matcher } = capture;
        if !self.settings.fields().contains(&field) {
            let message = format!("{capture} is not asked for in this payment");
            return Err(AgentError::of(PayErrorCode::InvalidParameter, message));
        }
        if matcher && !self.matched.contains(&field) {
            let message = format!("{capture} needs {} in RequireMatchingInputs", field.step());
            return Err(AgentError::of(PayErrorCode::InvalidParameter, message));
        }
        if matcher && !self.firsts.iter().any(|(first, _)| *first == field) {
            return Err(AgentError::operation(format!("{capture} comes after {}", field.step())));
        }
        let before = (self.at, self.capture);
        self.at = (field.step(), self.times_asked(capture).saturating_add(1));
        self.capture = Some(capture);
        if field == Field::SecurityCode && self.captured.brand().is_none() {
            self.report(What::Refused(SessionError::SecurityCodeBeforeCardNumber), None);
            (self.at, self.capture) = before;
            return Err(AgentError::operation("security-code comes after payment-card-number"));
        }
        self.updated = now;
        self.asked.retain(|(asked, _)| *asked != capture);
        self.asked.push((capture, self.at.1));
        self.agreed.retain(|agreed| *agreed != field);
        if !matcher {
            self.firsts.retain(|(first, _)| *first != field);
            self.captured.forget(field, &mut self.receipt);
        }
        let wait = Entry::First(now + self.settings.timeout);
        self.phase = Phase::Capturing { capture, digits: Digits::new(), wait };
        self.report(What::Begun, None);
        Ok(())
    }

    /// How often `capture` was asked for so far.
    fn times_asked(&self, capture: Capture) -> u8 {
        self.asked.iter().find(|(asked, _)| *asked == capture).map_or(0, |(_, times)| *times)
    }

    fn complete(&mut self, now: CallTime) -> Result<(), AgentError> {
        let missing = self.required();
        if !missing.is_empty() {
            let message = format!("still missing: {missing}");
            return Err(AgentError::of(PayErrorCode::Incomplete, message));
        }
        self.updated = now;
        self.capture = None;
        if self.settings.confirmation {
            self.confirm(1, None);
        } else {
            self.process(now);
        }
        Ok(())
    }

    fn handle_key(&mut self, now: CallTime, pressed: CallTime, key: Key, keypad: &mut Keypad) {
        if let Key::Letter(_) = key {
            return;
        }
        // Also a key that is dropped is the next key after a field.
        let admitted = keypad.admit(pressed, key);
        match &self.phase {
            Phase::Capturing { .. } | Phase::Confirming { .. } if admitted == Admission::Input => {
                self.last_key = Some(pressed);
                self.key_in(now, key, keypad);
            }
            Phase::Capturing { .. }
            | Phase::Confirming { .. }
            | Phase::Finding { .. }
            | Phase::Idle
            | Phase::Processing(_)
            | Phase::Finished => {}
        }
    }

    fn key_in(&mut self, now: CallTime, key: Key, keypad: &mut Keypad) {
        keypad.answered();
        match (&mut self.phase, key) {
            (Phase::Capturing { .. }, Key::Digit(digit)) => self.digit_in(now, digit, keypad),
            (Phase::Capturing { .. }, Key::Pound) => self.end_entry(now, EndedBy::Pound, keypad),
            (Phase::Capturing { digits, wait, .. }, _) => {
                *digits = Digits::new();
                *wait = Entry::First(now + self.settings.timeout);
                self.report_partial();
            }
            (_, key) => {
                self.outputs.push_back(Output::Clear);
                match key.symbol() {
                    '1' => {
                        keypad.field_accepted(EndedBy::Itself);
                        self.process(now);
                    }
                    '2' => {
                        keypad.field_accepted(EndedBy::Itself);
                        self.finish(Ending::plain(PayResult::TransactionCancelled));
                    }
                    _ => self.not_confirmed(now, Complaint::InvalidChoice, keypad),
                }
            }
        }
    }

    fn digit_in(&mut self, now: CallTime, digit: Digit, keypad: &mut Keypad) {
        let patience = self.settings.inter_digit_timeout;
        let brand = self.captured.brand();
        let Phase::Capturing { capture, digits, wait } = &mut self.phase else { return };
        let field = capture.field;
        keypad.entered(digits.is_empty(), |entry| Destination::Field { field, entry });
        digits.push(digit.ascii());
        let first = self.firsts.iter().find(|(field, _)| capture.matcher && *field == capture.field);
        let completeness = match first {
            Some((_, first)) if digits.len() >= first.len() => Completeness::Whole,
            Some(_) => Completeness::Open,
            None => capture.field.completeness(digits, &self.settings, brand),
        };
        *wait = match completeness {
            Completeness::PerhapsWhole => Entry::Another(now + patience.min(field.another_digit())),
            Completeness::Open | Completeness::Whole => Entry::Next(now + patience),
        };
        self.report_partial();
        if completeness == Completeness::Whole {
            self.end_entry(now, EndedBy::Itself, keypad);
        }
    }

    /// The entry of the moment is over: judge it. The next one is the agent's to ask for.
    fn end_entry(&mut self, now: CallTime, by: EndedBy, keypad: &mut Keypad) {
        let Phase::Capturing { capture, mut digits, .. } = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        let Capture { field, matcher } = capture;
        if !matcher {
            // The rest was typed ahead, and keys that no field was asked for are dropped.
            field.keep_own(&mut digits, &self.settings);
        }
        self.updated = now;
        let today = self.around.today(now);
        let first = self.firsts.iter().find(|(first, _)| matcher && *first == field);
        let judged = match first {
            _ if digits.is_empty() => Err(EntryError::InputTimeout),
            Some((_, first)) if *first != digits => Err(EntryError::InputMatchingFailed),
            Some(_) => Ok(()),
            None => field
                .judge(&digits, &self.settings, self.captured.brand(), today, AcceptedNumbers::Any)
                .map_err(|(error, _)| error),
        };
        if let Err(error) = judged {
            let keyed = !digits.is_empty() || by == EndedBy::Pound;
            keypad.field_failed(by, self.last_key.filter(|_| keyed));
            if error == EntryError::InputMatchingFailed {
                self.firsts.retain(|(first, _)| *first != field);
                self.captured.forget(field, &mut self.receipt);
            }
            return self.report(What::Failed(error), Some(Partial::No));
        }
        keypad.field_accepted(by);
        if matcher {
            self.agreed.push(field);
        } else {
            if self.matched.contains(&field) {
                self.firsts.push((field, Digits::of(digits.expose())));
            }
            self.captured.take(field, digits, &self.settings, today, &mut self.receipt);
            if field == Field::CardNumber && self.captured.security_code_misfits() {
                self.captured.forget(Field::SecurityCode, &mut self.receipt);
                self.firsts.retain(|(first, _)| *first != Field::SecurityCode);
                self.agreed.retain(|agreed| *agreed != Field::SecurityCode);
            }
        }
        self.report(What::Captured, Some(Partial::No));
    }

    /// Reads the last digits back.
    fn confirm(&mut self, attempt: u8, complaint: Option<Complaint>) {
        let scene = Scene {
            moment: Moment::Confirmation,
            attempt,
            complaint,
            card_type: self.captured.brand(),
            second_entry: false,
        };
        self.phase = Phase::Confirming { attempt, ear: Ear::Prompting };
        let heard = self.settings.prompts.heard(&scene, self.captured.last_digits());
        self.outputs.push_back(Output::Speak(heard));
    }

    fn not_confirmed(&mut self, now: CallTime, complaint: Complaint, keypad: &mut Keypad) {
        let Phase::Confirming { attempt, .. } = self.phase else { return };
        match complaint {
            Complaint::Entry(_) => keypad.field_failed(EndedBy::Timer, None),
            Complaint::InvalidChoice => keypad.field_failed(EndedBy::Itself, self.last_key),
        }
        self.updated = now;
        if attempt >= self.settings.tries {
            return self.finish(Ending::plain(PayResult::TooManyFailedAttempts));
        }
        self.confirm(attempt.saturating_add(1), Some(complaint));
    }

    /// Asks the gateway.
    fn process(&mut self, now: CallTime) {
        self.updated = now;
        self.at = (Step::PaymentProcessing, 1);
        self.report(What::Begun, None);
        let captured = std::mem::take(&mut self.captured);
        match Settlement::begin(now, captured, &self.settings, &self.around, self.limits.take()) {
            Ok((settlement, question)) => {
                let (attempt, instrument) = settlement.subject();
                let (receipt, statement) = (self.receipt.clone(), self.statement());
                let intent = Intent { attempt, means: Means::from(&*instrument), receipt, statement };
                self.outputs.push_back(Output::Intend(Box::new(intent)));
                self.phase = Phase::Processing(Box::new(settlement));
                self.advance(now, Settled::Asking(question));
            }
            Err(ending) => self.finish(*ending),
        }
    }

    fn advance(&mut self, now: CallTime, next: Settled) {
        let Phase::Processing(settlement) = &self.phase else { return };
        match next {
            Settled::Waiting => {}
            Settled::Asking(question) => {
                let (attempt, instrument) = settlement.subject();
                self.outputs.push_back(Output::Ask(question, attempt, instrument));
            }
            Settled::Over(ending) => {
                self.updated = now;
                self.finish(*ending);
            }
        }
    }

    /// The caller or the agent ends it, unless the outcome is already on its way.
    fn interrupt(&mut self, result: PayResult) {
        match &mut self.phase {
            Phase::Finding { .. } => self.refuse(AgentError::over()),
            Phase::Idle | Phase::Capturing { .. } => self.finish(Ending::plain(result)),
            Phase::Confirming { .. } => {
                self.outputs.push_back(Output::Clear);
                self.finish(Ending::plain(result));
            }
            Phase::Processing(settlement) => {
                let next = settlement.interrupt(result);
                self.advance(self.updated, next);
            }
            Phase::Finished => {}
        }
    }

    /// The one place where a session's outcome is decided.
    fn finish(&mut self, ending: Ending) {
        self.phase = Phase::Finished;
        let told = self.statement().told(&ending);
        self.told = self.told.saturating_add(1);
        self.forget_all();
        let progress = Progress { step: self.at.0, attempt: self.at.1, what: What::Finished(ending.result) };
        self.outputs.push_back(Output::Settle(progress, ending.outcome(), Box::new(told)));
    }

    /// What was keyed is not needed any more.
    fn forget_all(&mut self) {
        self.captured = Captured::default();
        self.firsts.clear();
    }
}

#[cfg(test)]
mod tests;
