//! One Pay session: from the first prompt to the one outcome.
//!
//! Shape:   [`PaySession::start`], then [`Input`]s and [`PaySession::handle_timeout`] in, [`Output`]s out through
//!          [`PaySession::poll_output`]; [`PaySession::poll_timeout`] says until when it waits, and for what.
//! Units:   `CallTime`.
//! Limits:  every wait but the one for a prompt to be heard has a deadline here; that one is the call machine's.
//! Errors:  none. Wrong digits are events; a faulty verb ends with `validation-error`.
//! Secrets: holds what was keyed; it leaves in an [`Instrument`] only.
//! Sources: spec/pay.md, sections 1 to 7.
//!
//! Invariants, each checked by a property test: one outcome; no submission before every field is valid; one submission at
//! most; no output after the outcome; no output depends on digits that are not shown.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::admission::admit;
use super::captured::Captured;
use super::card::{Brand, Completeness};
use super::field::Field;
use super::gateway::{Attempt, Capabilities, Instrument, Means, PaymentMethod};
use super::intent::{Intent, SessionStart, Statement, Told};
use super::keypad::{Admission, Destination, EndedBy, Kept, Keypad};
use super::outcome::{Ending, Outcome};
use super::prompts::{Complaint, Scene};
use super::receipt::{Mask, Receipt};
use super::settings::{PostalCode, Reading, Refusal, Settings};
use super::settlement::{Settled, Settlement};
use super::step::{EntryError, Moment, PayErrorCode, PayResult, SessionError, Step};
use super::submission::{Question, Reply};
use super::surroundings::Surroundings;
use super::test_numbers::AcceptedNumbers;
use crate::form::Form;
use crate::mask::refused;
use crate::secret::Digits;
use crate::time::CallTime;
use crate::tone::{Digit, Key};
use crate::twiml::Utterance;

/// How long the shell may take to find a connector.
const FIND_LIMIT: Duration = Duration::from_secs(5);

/// What a session is told.
#[derive(Debug)]
pub enum Input {
    /// A key, and when it was pressed.
    Key(CallTime, Key),
    /// Everything said so far has been heard.
    Heard,
    /// The connector of that name; none: there is none.
    ConnectorFound(Option<Capabilities>),
    /// The payment cannot be written down, so that it cannot be made.
    StoreAway,
    /// The gateway's answer to a question.
    Replied(u16, Reply),
    /// The caller is gone.
    CallerHungUp,
    /// The agent cancels.
    Cancelled,
}

/// What a session wants done.
#[derive(Debug)]
pub enum Output {
    /// Look the connector of that name up.
    FindConnector(String),
    /// Say this, after what is being said.
    Speak(Vec<Utterance>),
    /// Stop what is being said.
    Clear,
    /// Tell how it goes: the progress, and the fields of the status callback.
    Report(Progress, Form),
    /// It begins, before anything is asked for: write down what is told should it be cut off. Once.
    Begin(Box<SessionStart>),
    /// The gateway is about to be asked: write down what its answer will be told with. Once, before the first question.
    Intend(Box<Intent>),
    /// The outcome is known: tell it, and write down that it is. Once.
    Settle(Progress, Outcome, Box<Told>),
    /// Ask the gateway.
    Ask(Question, Arc<Attempt>, Arc<Instrument>),
    /// It is over: the result, and the fields of the action request.
    Finish(PayResult, Form),
}

/// A change that the merchant's application is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The step.
    pub step: Step,
    /// The attempt at it, from 1.
    pub attempt: u8,
    /// What happened.
    pub what: What,
}

/// What happened at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It began.
    Begun,
    /// A digit of it was keyed, or all were taken back (agent-assisted sessions only).
    Keyed,
    /// It cannot begin now; what was going on goes on (agent-assisted sessions only).
    Refused(SessionError),
    /// An attempt failed.
    Failed(EntryError),
    /// Its field was captured.
    Captured,
    /// The session is over.
    Finished(PayResult),
}

/// Why a session waits until a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// For the connector to be found.
    Connector,
    /// For the first digit.
    FirstDigit,
    /// For the next digit.
    NextDigit,
    /// For a digit that would make a whole number longer.
    AnotherDigit,
    /// For the gateway, or until it may be asked again.
    Gateway,
}

/// Where a session is.
#[derive(Debug)]
enum Phase {
    /// The connector is being looked up.
    Finding { until: CallTime },
    /// A field is being asked for.
    Asking(Entry, Ear),
    /// The last digits are being confirmed.
    Confirming { attempt: u8, ear: Ear },
    /// The gateway is being asked.
    Processing(Settlement),
    /// The closing prompt is being heard; then this is the outcome.
    Closing { result: PayResult, form: Form },
    /// It is over.
    Finished,
}

/// One try at a field.
#[derive(Debug)]
struct Entry {
    field: Field,
    attempt: u8,
    digits: Digits,
    /// The first of two matching entries, once it was found right.
    first: Option<Digits>,
    /// The keys of a field that may turn out to hold the beginning of the next one.
    typed: Vec<Kept>,
}

/// How far the machine is with listening.
#[derive(Clone, Copy, Debug)]
enum Ear {
    /// The prompt is not said yet; keys that are here already make it needless.
    Due { complaint: Option<Complaint>, card_type: Option<Brand> },
    /// The prompt is being heard.
    Prompting,
    /// The prompt was heard; no key yet.
    Waiting { until: CallTime },
    /// Keys are coming.
    Keying { until: CallTime },
    /// The digits are a whole number that could go on.
    PerhapsWhole { until: CallTime },
}

/// A Pay session.
#[derive(Debug)]
pub struct PaySession {
    settings: Settings,
    around: Surroundings,
    limits: Option<Capabilities>,
    plan: VecDeque<Field>,
    captured: Captured,
    receipt: Receipt,
    phase: Phase,
    /// The step and attempt that callbacks name.
    at: (Step, u8),
    last_error: Option<EntryError>,
    last_key: Option<CallTime>,
    caller_gone: bool,
    /// How many changes were told.
    told: u32,
    outputs: VecDeque<Output>,
}

impl PaySession {
    /// Begins a session. A verb with refused values ends at once.
    #[must_use]
    pub fn start(now: CallTime, reading: Reading, around: Surroundings) -> Self {
        let Reading { settings, refusals, warnings: _ } = reading;
        let plan: VecDeque<Field> = settings.fields().into();
        let first = settings.first_step();
        let given = match (&settings.postal_code, settings.payment_method) {
            (PostalCode::Given(code), PaymentMethod::CreditCard) => Some(code.clone()),
            (PostalCode::Given(_) | PostalCode::Asked | PostalCode::Left, _) => None,
        };
        let receipt = Receipt { postal_code: given, ..Receipt::default() };
        let mut session = Self {
            settings,
            around,
            limits: None,
            plan,
            captured: Captured::default(),
            receipt,
            phase: Phase::Finding { until: now + FIND_LIMIT },
            at: (first, 1),
            last_error: None,
            last_key: None,
            caller_gone: false,
            told: 0,
            outputs: VecDeque::new(),
        };
        match refusals.into_iter().next() {
            Some(Refusal { message, code, error_type, .. }) => {
                let ending = Ending::fault(PayResult::ValidationError, code, message);
                session.finish(Ending { error_type, ..ending });
            }
            None => session.outputs.push_back(Output::FindConnector(session.settings.connector.clone())),
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
                Phase::Finding { .. } => self.finish(Ending::not_written()),
                Phase::Asking(..) | Phase::Confirming { .. } => {
                    self.outputs.push_back(Output::Clear);
                    self.finish(Ending::not_written());
                }
                // What is asked now is written down, or is refused because it is not.
                Phase::Processing(_) | Phase::Closing { .. } | Phase::Finished => {}
            },
            Input::Replied(number, reply) => self.handle_reply(now, number, reply),
            Input::CallerHungUp => {
                self.caller_gone = true;
                self.interrupt(PayResult::CallerHungUp);
            }
            Input::Cancelled => self.interrupt(PayResult::TransactionCancelled),
        }
        self.settle(now, keypad);
    }

    /// Takes note that [`Self::poll_timeout`]'s moment has come.
    pub fn handle_timeout(&mut self, now: CallTime, keypad: &mut Keypad) {
        match &mut self.phase {
            Phase::Finding { .. } => self.break_down("the connector could not be looked up in time"),
            Phase::Asking(_, Ear::Waiting { .. } | Ear::Keying { .. }) => self.complete(now, EndedBy::Timer, keypad),
            Phase::Asking(_, Ear::PerhapsWhole { .. }) => self.complete(now, EndedBy::Itself, keypad),
            Phase::Confirming { .. } => self.confirmation_failed(Complaint::Entry(EntryError::InputTimeout), keypad),
            Phase::Processing(settlement) => {
                let next = settlement.handle_timeout(now);
                self.advance(next);
            }
            Phase::Asking(_, Ear::Due { .. } | Ear::Prompting) | Phase::Closing { .. } | Phase::Finished => {}
        }
        self.settle(now, keypad);
    }

    /// The next thing to be done, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Until when it waits, and for what. None while a prompt is being heard, and after the end.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(CallTime, Timer)> {
        match &self.phase {
            Phase::Finding { until } => Some((*until, Timer::Connector)),
            Phase::Asking(_, ear) | Phase::Confirming { ear, .. } => match ear {
                Ear::Due { .. } | Ear::Prompting => None,
                Ear::Waiting { until } => Some((*until, Timer::FirstDigit)),
                Ear::Keying { until } => Some((*until, Timer::NextDigit)),
                Ear::PerhapsWhole { until } => Some((*until, Timer::AnotherDigit)),
            },
            Phase::Processing(settlement) => settlement.deadline().map(|until| (until, Timer::Gateway)),
            Phase::Closing { .. } | Phase::Finished => None,
        }
    }

    /// Whether the outcome was given.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished)
    }

    /// Whether the gateway is being asked.
    #[must_use]
    pub const fn is_processing(&self) -> bool {
        matches!(self.phase, Phase::Processing(_))
    }

    /// Whether it goes on once what is being said has been heard.
    #[must_use]
    pub const fn waits_to_be_heard(&self) -> bool {
        matches!(
            self.phase,
            Phase::Asking(_, Ear::Prompting) | Phase::Confirming { ear: Ear::Prompting, .. } | Phase::Closing { .. }
        )
    }

    /// Whether keys are taken as they come.
    #[must_use]
    pub const fn is_listening(&self) -> bool {
        matches!(self.phase, Phase::Asking(..) | Phase::Confirming { .. })
    }

    /// Whether a field is being entered, or asked for.
    #[must_use]
    pub const fn is_capturing(&self) -> bool {
        matches!(self.phase, Phase::Asking(..))
    }

    /// The name of the phase and of what goes on in it: the arrows that coverage is counted by.
    #[must_use]
    pub fn phase_name(&self) -> &'static str {
        match &self.phase {
            Phase::Finding { .. } => "finding",
            Phase::Asking(entry, ear) => match (&entry.first, ear) {
                (None, Ear::Due { .. } | Ear::Prompting) => "prompting",
                (None, Ear::Waiting { .. }) => "waiting",
                (None, Ear::Keying { .. }) => "keying",
                (Some(_), Ear::Due { .. } | Ear::Prompting) => "prompting again",
                (Some(_), Ear::Waiting { .. }) => "waiting again",
                (Some(_), Ear::Keying { .. }) => "keying again",
                (_, Ear::PerhapsWhole { .. }) => "perhaps whole",
            },
            Phase::Confirming { ear: Ear::Due { .. } | Ear::Prompting, .. } => "prompting confirmation",
            Phase::Confirming { .. } => "waiting confirmation",
            Phase::Processing(settlement) if settlement.is_interrupted() => "processing interrupted",
            Phase::Processing(_) => "processing",
            Phase::Closing { .. } => "closing",
            Phase::Finished => "finished",
        }
    }

    /// The settings it runs by.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    fn handle_key(&mut self, now: CallTime, pressed: CallTime, key: Key, keypad: &mut Keypad) {
        match (&self.phase, key) {
            (_, Key::Letter(_)) | (Phase::Finished, _) => {}
            // The outcome is settled; keys are the next verb's.
            (Phase::Closing { .. }, _) => keypad.keep(pressed, key),
            (_, Key::Star) => self.interrupt(PayResult::CallerInterruptedWithStar),
            (Phase::Finding { .. } | Phase::Processing(_), _) => keypad.keep(pressed, key),
            (Phase::Asking(entry, Ear::PerhapsWhole { .. }), Key::Digit(_) | Key::Pound)
                if self.comes_too_late(entry.field, pressed) =>
            {
                keypad.put_back(std::iter::once(keypad.at_hand(pressed, key)));
                self.complete(now, EndedBy::Itself, keypad);
            }
            (Phase::Asking(..) | Phase::Confirming { .. }, Key::Digit(_) | Key::Pound) => {
                if keypad.admit(pressed, key) == Admission::Input {
                    self.last_key = Some(pressed);
                    self.key_in(now, key, keypad);
                }
            }
        }
    }

    /// Whether a key was pressed after the wait in which a whole entry may go on: one that was typed ahead may have been.
    fn comes_too_late(&self, field: Field, pressed: CallTime) -> bool {
        let wait = self.settings.inter_digit_timeout.min(field.another_digit());
        self.last_key.is_some_and(|last_key| pressed - last_key > wait)
    }

    /// A key that belongs to the field or question of the moment.
    fn key_in(&mut self, now: CallTime, key: Key, keypad: &mut Keypad) {
        let (Phase::Asking(_, ear) | Phase::Confirming { ear, .. }) = &self.phase else { return };
        if matches!(ear, Ear::Due { .. } | Ear::Prompting) {
            self.outputs.push_back(Output::Clear);
        }
        match (&self.phase, key) {
            (Phase::Asking(..), Key::Digit(digit)) => self.digit_in(now, digit, keypad),
            (Phase::Asking(..), _) => self.complete(now, EndedBy::Pound, keypad),
            (_, key) => {
                keypad.answered();
                self.choice_in(now, key, keypad);
            }
        }
    }

    fn choice_in(&mut self, now: CallTime, key: Key, keypad: &mut Keypad) {
        match key.symbol() {
            '1' => {
                keypad.field_accepted(EndedBy::Itself);
                self.process(now);
            }
            '2' => {
                keypad.field_accepted(EndedBy::Itself);
                self.finish(Ending::plain(PayResult::TransactionCancelled));
            }
            _ => self.confirmation_failed(Complaint::InvalidChoice, keypad),
        }
    }

    fn digit_in(&mut self, now: CallTime, digit: Digit, keypad: &mut Keypad) {
        let brand = self.captured.brand();
        let patience = self.settings.inter_digit_timeout;
        let Phase::Asking(entry, ear) = &mut self.phase else { return };
        let field = entry.field;
        keypad.entered(entry.digits.is_empty(), |entry| Destination::Field { field, entry });
        entry.digits.push(digit.ascii());
        if let (Field::PostalCode, Some(pressed)) = (field, self.last_key) {
            entry.typed.push(keypad.at_hand(pressed, Key::Digit(digit)));
        }
        let completeness = match &entry.first {
            Some(first) if entry.digits.len() >= first.len() => Completeness::Whole,
            Some(_) => Completeness::Open,
            None => entry.field.completeness(&entry.digits, &self.settings, brand),
        };
        match completeness {
            Completeness::Open => *ear = Ear::Keying { until: now + patience },
            Completeness::PerhapsWhole => *ear = Ear::PerhapsWhole { until: now + patience.min(field.another_digit()) },
            Completeness::Whole => self.complete(now, EndedBy::Itself, keypad),
        }
    }

    /// The entry of the moment is over: judge it.
    fn complete(&mut self, now: CallTime, by: EndedBy, keypad: &mut Keypad) {
        let Phase::Asking(entry, _) = std::mem::replace(&mut self.phase, Phase::Finished) else { return };
        let Entry { field, attempt, mut digits, first, typed } = entry;
        let mut by = by;
        if first.is_none() && field.keep_own(&mut digits, &self.settings) {
            // The field came to its end five keys in; what came after is the next one's, a `#` too.
            let pound =
                (by == EndedBy::Pound).then(|| self.last_key.map(|pressed| keypad.at_hand(pressed, Key::Pound)));
            keypad.put_back(typed.into_iter().skip(digits.len()).chain(pound.flatten()));
            by = EndedBy::Itself;
        }
        let today = self.around.today(now);
        let matching = self.settings.prompts.wants_matching(field.step().into());
        // Elsewhere a number that is not accepted is refused at submission (spec/pay.md, section 10).
        let at_entry = self.limits.as_ref().filter(|_| self.around.platform.rules().refuses_numbers_at_entry);
        let numbers = at_entry.map_or(AcceptedNumbers::Any, |limits| limits.accepted_numbers);
        let judged = match &first {
            _ if digits.is_empty() => Err((EntryError::InputTimeout, self.captured.brand())),
            Some(first) if *first != digits => Err((EntryError::InputMatchingFailed, self.captured.brand())),
            Some(_) => Ok(()),
            None => field.judge(&digits, &self.settings, self.captured.brand(), today, numbers),
        };
        match judged {
            Err((error, card_type)) => {
                let keyed = !digits.is_empty() || by == EndedBy::Pound;
                keypad.field_failed(by, self.last_key.filter(|_| keyed));
                self.entry_failed(field, attempt, error, card_type);
            }
            Ok(()) if matching && first.is_none() => {
                keypad.field_accepted(by);
                let ear = Ear::Due { complaint: None, card_type: self.captured.brand() };
                self.phase = Phase::Asking(
                    Entry { field, attempt, digits: Digits::new(), first: Some(digits), typed: Vec::new() },
                    ear,
                );
            }
            Ok(()) => {
                keypad.field_accepted(by);
                self.last_error = None;
                self.captured.take(field, digits, &self.settings, today, &mut self.receipt);
                self.report(What::Captured);
                self.next_field(now);
            }
        }
    }

    fn entry_failed(&mut self, field: Field, attempt: u8, error: EntryError, card_type: Option<Brand>) {
        self.last_error = Some(error);
        self.report(What::Failed(error));
        if attempt >= self.settings.tries {
            return self.finish(Ending::plain(PayResult::TooManyFailedAttempts));
        }
        let attempt = attempt.saturating_add(1);
        self.at = (field.step(), attempt);
        let ear = Ear::Due { complaint: Some(Complaint::Entry(error)), card_type };
        self.phase =
            Phase::Asking(Entry { field, attempt, digits: Digits::new(), first: None, typed: Vec::new() }, ear);
    }

    fn confirmation_failed(&mut self, complaint: Complaint, keypad: &mut Keypad) {
        let Phase::Confirming { attempt, .. } = &self.phase else { return };
        let attempt = *attempt;
        match complaint {
            Complaint::Entry(_) => keypad.field_failed(EndedBy::Timer, None),
            Complaint::InvalidChoice => keypad.field_failed(EndedBy::Itself, self.last_key),
        }
        if attempt >= self.settings.tries {
            return self.finish(Ending::plain(PayResult::TooManyFailedAttempts));
        }
        let ear = Ear::Due { complaint: Some(complaint), card_type: self.captured.brand() };
        self.phase = Phase::Confirming { attempt: attempt.saturating_add(1), ear };
    }

    /// Goes on to the next field, the confirmation, or the gateway.
    fn next_field(&mut self, now: CallTime) {
        self.last_error = None;
        match self.plan.pop_front() {
            Some(field) => {
                self.at = (field.step(), 1);
                self.report(What::Begun);
                let ear = Ear::Due { complaint: None, card_type: self.captured.brand() };
                self.phase = Phase::Asking(
                    Entry { field, attempt: 1, digits: Digits::new(), first: None, typed: Vec::new() },
                    ear,
                );
            }
            None if self.settings.confirmation && self.captured.last_digits().is_some() => {
                let ear = Ear::Due { complaint: None, card_type: self.captured.brand() };
                self.phase = Phase::Confirming { attempt: 1, ear };
            }
            None => self.process(now),
        }
    }

    fn handle_connector(&mut self, now: CallTime, found: Option<Capabilities>) {
        if !matches!(self.phase, Phase::Finding { .. }) {
            return;
        }
        let Some(limits) = found else {
            let name = refused(&self.settings.connector);
            let error = format!("there is no connector named {name}");
            return self.finish(Ending::fault(PayResult::PaymentConnectorError, PayErrorCode::UnknownConnector, error));
        };
        if let Err((code, error)) = admit(&self.settings, &limits) {
            return self.finish(Ending::fault(PayResult::PaymentConnectorError, code, error));
        }
        self.limits = Some(limits);
        let start = SessionStart::new(&self.settings, self.statement());
        self.outputs.push_back(Output::Begin(Box::new(start)));
        self.next_field(now);
    }

    /// Asks the gateway. Reached once: every field is valid, and nothing leads back from here.
    fn process(&mut self, now: CallTime) {
        self.at = (Step::PaymentProcessing, 1);
        self.report(What::Begun);
        let captured = std::mem::take(&mut self.captured);
        match Settlement::begin(now, captured, &self.settings, &self.around, self.limits.take()) {
            Ok((settlement, question)) => {
                let (attempt, instrument) = settlement.subject();
                let (receipt, statement) = (self.receipt.clone(), self.statement());
                let intent = Intent { attempt, means: Means::from(&*instrument), receipt, statement };
                self.outputs.push_back(Output::Intend(Box::new(intent)));
                self.outputs.push_back(Output::Speak(self.heard_at(Moment::PaymentProcessing)));
                self.phase = Phase::Processing(settlement);
                self.advance(Settled::Asking(question));
            }
            Err(ending) => self.finish(*ending),
        }
    }

    fn handle_reply(&mut self, now: CallTime, number: u16, reply: Reply) {
        if let Phase::Processing(settlement) = &mut self.phase {
            let next = settlement.handle_reply(now, number, reply);
            self.advance(next);
        }
    }

    /// Does what the payment wants next.
    fn advance(&mut self, next: Settled) {
        let Phase::Processing(settlement) = &self.phase else { return };
        match next {
            Settled::Waiting => {}
            Settled::Asking(question) => {
                let (attempt, instrument) = settlement.subject();
                self.outputs.push_back(Output::Ask(question, attempt, instrument));
            }
            Settled::Over(ending) => self.finish(*ending),
        }
    }

    /// The caller or the agent ends it, unless the outcome is already on its way.
    fn interrupt(&mut self, result: PayResult) {
        match &mut self.phase {
            Phase::Finding { .. } | Phase::Asking(..) | Phase::Confirming { .. } => self.finish(Ending::plain(result)),
            Phase::Processing(settlement) => {
                let next = settlement.interrupt(result);
                self.advance(next);
            }
            Phase::Closing { .. } if self.caller_gone => self.close(),
            Phase::Closing { .. } | Phase::Finished => {}
        }
    }

    fn handle_heard(&mut self, now: CallTime) {
        let patience = self.settings.timeout;
        match &mut self.phase {
            Phase::Asking(_, ear @ Ear::Prompting) | Phase::Confirming { ear: ear @ Ear::Prompting, .. } => {
                *ear = Ear::Waiting { until: now + patience };
            }
            Phase::Closing { .. } => self.close(),
            Phase::Finding { .. }
            | Phase::Asking(..)
            | Phase::Confirming { .. }
            | Phase::Processing(_)
            | Phase::Finished => {}
        }
    }

    /// Takes kept keys as far as they go; says a prompt that none of them made needless.
    fn settle(&mut self, now: CallTime, keypad: &mut Keypad) {
        while self.is_listening() {
            let Some((pressed, key)) = keypad.take() else { break };
            self.handle_key(now, pressed, key, keypad);
        }
        let scene = match &mut self.phase {
            Phase::Asking(entry, ear) => {
                let (moment, attempt, second_entry) =
                    (Moment::from(entry.field.step()), entry.attempt, entry.first.is_some());
                Self::due(ear).map(|(complaint, card_type)| Scene {
                    moment,
                    attempt,
                    complaint,
                    card_type,
                    second_entry,
                })
            }
            Phase::Confirming { attempt, ear } => {
                let (moment, attempt) = (Moment::Confirmation, *attempt);
                Self::due(ear).map(|(complaint, card_type)| Scene {
                    moment,
                    attempt,
                    complaint,
                    card_type,
                    second_entry: false,
                })
            }
            Phase::Finding { .. } | Phase::Processing(_) | Phase::Closing { .. } | Phase::Finished => None,
        };
        if let Some(scene) = scene {
            let digits = if scene.moment == Moment::Confirmation { self.captured.last_digits() } else { None };
            self.outputs.push_back(Output::Speak(self.settings.prompts.heard(&scene, digits)));
        }
    }

    /// Turns a prompt that is due into one that is being heard.
    fn due(ear: &mut Ear) -> Option<(Option<Complaint>, Option<Brand>)> {
        let Ear::Due { complaint, card_type } = *ear else { return None };
        *ear = Ear::Prompting;
        Some((complaint, card_type))
    }

    /// What is heard at a moment after the fields.
    fn heard_at(&self, moment: Moment) -> Vec<Utterance> {
        let card_type = self.receipt.card.as_ref().map(|(_, brand)| *brand);
        self.settings
            .prompts
            .heard(&Scene { moment, attempt: 1, complaint: None, card_type, second_entry: false }, None)
    }

    fn break_down(&mut self, error: &str) {
        self.finish(Ending::broken_down(error));
    }

    /// The one place where a session's outcome is decided.
    fn finish(&mut self, ending: Ending) {
        let told = self.statement().told(&ending);
        self.told = self.told.saturating_add(1);
        let progress = Progress { step: self.at.0, attempt: self.at.1, what: What::Finished(ending.result) };
        let form = told.action.clone();
        // What was keyed is not needed any more.
        self.captured = Captured::default();
        self.outputs.push_back(Output::Settle(progress, ending.outcome(), Box::new(told)));
        self.phase = Phase::Closing { result: ending.result, form };
        let closing = closing_moment(&ending).filter(|_| !self.caller_gone);
        let heard = closing.map(|moment| self.heard_at(moment));
        match heard {
            Some(heard) if !heard.is_empty() => self.outputs.push_back(Output::Speak(heard)),
            _ => self.close(),
        }
    }

    fn close(&mut self) {
        if let Phase::Closing { result, form } = std::mem::replace(&mut self.phase, Phase::Finished) {
            self.outputs.push_back(Output::Finish(result, form));
        }
    }

    fn report(&mut self, what: What) {
        let mut form = self.fields();
        self.told = self.told.saturating_add(1);
        self.receipt.tell(&mut form, Mask::Plain, &self.settings);
        self.outputs.push_back(Output::Report(Progress { step: self.at.0, attempt: self.at.1, what }, form));
    }

    /// What the last requests will tell, but for the outcome.
    fn statement(&self) -> Statement {
        let mut status = self.fields();
        self.receipt.tell(&mut status, Mask::Plain, &self.settings);
        let mut action = Form::new();
        action.set("PaymentMethod", self.settings.payment_method.word());
        action.set("PaymentConnector", self.settings.connector.clone());
        self.receipt.tell(&mut action, Mask::Grouped, &self.settings);
        Statement { status, action, platform: self.around.platform, step: self.at.0 }
    }

    /// The fields that every status callback begins with.
    fn fields(&self) -> Form {
        let mut form = Form::new();
        form.set("SequenceNumber", self.told.to_string());
        form.set("For", self.at.0.word());
        form.set_some("ErrorType", self.last_error.map(|error| error.word()));
        form.set("Attempt", self.at.1.to_string());
        form.set("PaymentMethod", self.settings.payment_method.word());
        form.set("PaymentConnector", self.settings.connector.clone());
        form
    }
}

/// Which of the three moments at the end it is, if any.
fn closing_moment(ending: &Ending) -> Option<Moment> {
    match ending.result {
        PayResult::Success => Some(Moment::PaymentCompleted),
        PayResult::CallerInterruptedWithStar | PayResult::TransactionCancelled => Some(Moment::PaymentCanceled),
        PayResult::TooManyFailedAttempts | PayResult::PaymentConnectorError | PayResult::InternalError => {
            Some(Moment::PaymentFailed)
        }
        PayResult::CallerHungUp | PayResult::ValidationError => None,
    }
}
