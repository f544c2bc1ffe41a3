//! What must hold in every call, whatever the document, the caller and the gateway do.
//!
//! Shape:   [`broken`] reads the records of a call once and names the first rule that does not hold in them.
//! Limits:  it sees what the records tell. Whether money was taken it knows where the world keeps the gateway's ledger, as
//!          that of random calls does: there what was told is compared with what was done, not with what was answered.
//!          That no digit is lost needs the instrument, which they do not hold: `tests/properties.rs` looks there.
//! Secrets: a [`Violation`] repeats no key and no value of a field.
//! Sources: design, "Invariants to state in code and fuzz"; spec/pay.md, sections 3 and 6.

use std::collections::{BTreeMap, BTreeSet};

use super::{Record, leak};
use crate::flow::{AgentCommand, Call, CommandId, LedBy, PaymentId, Purpose, Wait};
use crate::form::{Form, Value};
use crate::pay::field::Field;
use crate::pay::gateway::Idempotency;
use crate::pay::session::{Progress, Timer, What};
use crate::pay::step::{EntryError, PayErrorCode, PayResult, Step};
use crate::pay::submission::Ask;
use crate::time::CallTime;

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {at} s: {what}")]
pub struct Violation {
    /// When it was broken.
    pub at: CallTime,
    /// Which rule, in words, and how.
    pub what: String,
}

/// The first rule that `records`, those of a call from its answer to its end, break. `call`: the machine afterwards.
#[must_use]
pub fn broken(records: &[(CallTime, Record)], call: &Call) -> Option<Violation> {
    let mut watch = Watch::default();
    for (at, record) in records {
        if let Err(what) = watch.see(record) {
            return Some(Violation { at: *at, what });
        }
    }
    let at = records.last().map_or(CallTime::ZERO, |(at, _)| *at);
    let found = stuck(call).or_else(|| watch.over(call).err()).map(|what| Violation { at, what });
    found.or_else(|| leak::leaked(records).map(|(at, what)| Violation { at, what }))
}

/// Why a call would never go on: every wait of one that is not over has a deadline.
#[must_use]
pub fn stuck(call: &Call) -> Option<String> {
    let waits_for_ever = !call.is_over() && call.poll_timeout().is_none();
    waits_for_ever.then(|| format!("it waits without a deadline, {}", call.stage_name()))
}

type Holds = Result<(), String>;

fn rule(holds: bool, what: &str) -> Holds {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// What was seen of a call so far.
#[derive(Debug, Default)]
struct Watch {
    session: Option<OpenSession>,
    /// The agent's request that may open a session.
    opening: Option<CommandId>,
    /// The agent's requests that have no answer yet.
    unanswered: Vec<CommandId>,
    /// How much was told of each payment.
    sequence: BTreeMap<String, u32>,
    /// Whether the next thing is the call's end.
    ends: bool,
    /// Whether somebody other than the caller's hang-up or star wanted a payment ended.
    cancelled: bool,
    /// The outcome whose action request may still be sent.
    owed: Option<PayResult>,
    /// Outcomes, and status callbacks that told one.
    finished: u32,
    told: u32,
    transactions: BTreeSet<String>,
    last_number: u16,
    star: bool,
    hung_up: bool,
    ended: bool,
}

/// A Pay session that has no outcome yet.
#[derive(Debug, Default)]
struct OpenSession {
    /// The agent's request that it began with; none: a document leads it.
    opened_by: Option<CommandId>,
    /// What its gateway makes of repeats; none: there is no gateway.
    idempotency: Option<Idempotency>,
    /// How often the gateway did what it was asked.
    acts: u32,
    /// The payment's id as it was written down when the session began.
    begun_as: Option<String>,
    /// Whether nothing could be written down when it was to begin.
    refused: bool,
    /// What an agent was last told to be missing.
    required: String,
    begun: Vec<Step>,
    captured: Vec<Step>,
    /// The attempt that is being made at the step of the moment.
    attempt: u8,
    transaction: Option<String>,
    /// The question that waits for its answer, and whether it is a submission.
    asked: Option<(u16, bool)>,
    submissions: u32,
    /// Whether the last submission may be repeated: it was not answered for good.
    repeatable: bool,
    /// Whether a submission may have done something that nobody saw.
    doubt: bool,
    /// Whether the gateway said that it has never seen the payment.
    not_found: bool,
    verdict: Option<FinalAnswer>,
}

/// A final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FinalAnswer {
    Yes,
    No,
}

impl Watch {
    fn see(&mut self, record: &Record) -> Holds {
        // An agent may ask after the end, and is refused.
        let refuses = matches!(record, Record::Commanded(..) | Record::Replied(_, Err(_)));
        rule(!self.ended || refuses, "something was done after the end")?;
        let ends = std::mem::take(&mut self.ends);
        rule(!ends || matches!(record, Record::Ended(_)), "caller-hung-up, and the call goes on")?;
        match record {
            Record::Pressed(key) => {
                self.star |= key.symbol() == '*';
                // 2 cancels at a confirmation.
                self.cancelled |= key.symbol() == '2';
                Ok(())
            }
            Record::Said(..) => rule(!self.hung_up, "something was said to a caller who is gone"),
            Record::Commanded(id, command) => {
                self.unanswered.push(*id);
                match command {
                    AgentCommand::Create(_) => self.opening = Some(*id),
                    AgentCommand::Update { form, .. } => self.cancelled |= form.value("Status").is_some(),
                }
                Ok(())
            }
            Record::Replied(id, answer) => {
                let place = self.unanswered.iter().position(|asked| asked == id);
                let place = place.ok_or("an agent was answered twice, or without having asked")?;
                self.unanswered.remove(place);
                if answer.is_err() {
                    self.opening = self.opening.take_if(|opening| opening != id);
                    // What never opened has no outcome.
                    self.session = self.session.take_if(|session| session.opened_by != Some(*id));
                }
                Ok(())
            }
            Record::Redirected(_) => {
                self.cancelled = true;
                Ok(())
            }
            Record::LookedUp(_, idempotency) => {
                // An outcome without an `action` leaves no request: the next payment owes nothing for it.
                self.owed = None;
                let (opened_by, idempotency) = (self.opening.take(), *idempotency);
                let session = OpenSession { opened_by, idempotency, ..OpenSession::default() };
                let before = self.session.replace(session);
                rule(before.is_none(), "a Pay session began while another one was going on")
            }
            Record::Reported(payment, progress @ Progress { what: What::Finished(result), .. }, form) => {
                self.told_in_order(payment, *progress, form)?;
                self.finished(payment, *result, form)?;
                // An agent's payment has no action request.
                if payment.led_by == LedBy::Agent {
                    self.owed = None;
                }
                Ok(())
            }
            Record::StoreAway => {
                self.session()?.refused = true;
                Ok(())
            }
            Record::Begun(payment) => {
                let session = self.session()?;
                rule(session.is_led_by(payment.led_by), "a payment was written down that is not going on")?;
                rule(!session.refused, "a Pay session began while nothing could be written down")?;
                let known = session.begun_as.replace(payment.sid.clone());
                // An agent may say anew where progress is told.
                let again = known.is_some_and(|known| payment.led_by == LedBy::Document || known != payment.sid);
                rule(!again, "a Pay session was written down as begun twice")
            }
            Record::Reported(payment, progress, form) => {
                self.told_in_order(payment, *progress, form)?;
                let session = self.session()?;
                rule(session.is_led_by(payment.led_by), "something was reported of a payment that is not going on")?;
                let written = session.begun_as.as_ref() == Some(&payment.sid);
                rule(written, "something was reported of a Pay session that was not written down")?;
                match payment.led_by {
                    LedBy::Document => session.reported(*progress),
                    LedBy::Agent => {
                        session.led(*progress, form);
                        Ok(())
                    }
                }
            }
            Record::Asked(question, attempt) => {
                let submits = matches!(question.what, Ask::Submit(_));
                let id = &attempt.transaction_id;
                let session = self.session()?;
                session.asked(question.number, submits, id)?;
                // Else the late answer to one payment could be taken for that to another.
                let in_order = std::mem::replace(&mut self.last_number, question.number) < question.number;
                rule(in_order, "questions to the gateway are not numbered in their order")?;
                let session = self.session()?;
                let first = session.transaction.is_none();
                session.transaction.get_or_insert_with(|| id.clone());
                let new = !first || self.transactions.insert(id.clone());
                rule(new, "two Pay sessions have the same transaction id")
            }
            Record::Acted(_) => {
                let session = self.session()?;
                session.acts = session.acts.saturating_add(1);
                rule(session.acts == 1, "the gateway did what one payment asks for twice")
            }
            Record::Answered(number, word) => {
                if let Some(session) = &mut self.session {
                    session.answered(*number, word);
                }
                Ok(())
            }
            Record::TimedOut(Wait::Pay(Timer::Gateway) | Wait::Agent(Timer::Gateway)) => {
                self.session()?.gave_up();
                Ok(())
            }
            Record::Requested(fetch) if fetch.purpose == Purpose::Pay => {
                let owed = self.owed.take().ok_or("an action request without an outcome, or a second one for it")?;
                let told = fetch.form.value("Result").map(Value::expose);
                rule(told == Some(owed.word()), "the action request tells another result than the session had")
            }
            Record::Notified(_, _, form) => {
                self.told += u32::from(form.value("Result").is_some());
                // It is told before it is reported.
                rule(self.told <= self.finished + 1, "an outcome was told to statusCallback twice")
            }
            Record::HungUp | Record::Completed => {
                self.hung_up = true;
                Ok(())
            }
            Record::Ended(_) => {
                self.ended = true;
                rule(self.session.is_none(), "the call ended and a Pay session has no outcome")
            }
            Record::Heard(_)
            | Record::Cleared
            | Record::Requested(_)
            | Record::Fetched(_)
            | Record::Warned(_)
            | Record::TimedOut(_) => Ok(()),
        }
    }

    fn session(&mut self) -> Result<&mut OpenSession, String> {
        self.session.as_mut().ok_or_else(|| "a Pay session did something after its outcome".to_owned())
    }

    /// Each callback of a payment has the next number; while a field is keyed, none tells a digit of it.
    fn told_in_order(&mut self, payment: &PaymentId, progress: Progress, form: &Form) -> Holds {
        let told = self.sequence.entry(payment.sid.clone()).or_default();
        let number = form.value("SequenceNumber").map(Value::expose);
        rule(number == Some(told.to_string().as_str()), "SequenceNumber does not count what is told of a payment")?;
        *told += 1;
        let partial = form.value("PartialResult").is_some_and(|value| value.expose() == "true");
        rule(partial == (progress.what == What::Keyed), "PartialResult is told of something else than a key")?;
        let field = Field::ALL.iter().find(|field| partial && field.step() == progress.step);
        let shown = field.and_then(|field| form.value(field.told_as())).map_or("", Value::expose);
        rule(shown.chars().all(|c| matches!(c, 'x' | '*')), "a partial result shows a digit")
    }

    fn finished(&mut self, payment: &PaymentId, result: PayResult, form: &Form) -> Holds {
        self.finished += 1;
        self.owed = Some(result);
        let led_by_agent = payment.led_by == LedBy::Agent;
        match result {
            PayResult::CallerInterruptedWithStar => rule(self.star, "interrupted with *, which nobody pressed")?,
            // For an agent's payment the end of the document is a hang-up.
            PayResult::CallerHungUp if led_by_agent && !self.hung_up => self.ends = true,
            PayResult::CallerHungUp => rule(self.hung_up, "caller-hung-up, and the caller is there")?,
            PayResult::TransactionCancelled => rule(self.cancelled, "cancelled, which nobody asked for")?,
            PayResult::Success
            | PayResult::TooManyFailedAttempts
            | PayResult::PaymentConnectorError
            | PayResult::ValidationError
            | PayResult::InternalError => {}
        }
        match self.session.take_if(|session| session.is_led_by(payment.led_by)) {
            Some(session) => session.outcome(result, form),
            // A verb with faulty attributes, or one beside an agent's payment, ends before anything is looked up.
            None => rule(!led_by_agent && result == PayResult::ValidationError, "a Pay session had two outcomes"),
        }
    }

    fn over(&self, call: &Call) -> Holds {
        rule(call.is_over(), "the call does not end, although the caller is gone")?;
        rule(self.ended, "the call is over and did not say so")?;
        rule(self.unanswered.is_empty(), "an agent was not answered")?;
        rule(self.told <= self.finished, "an outcome was told to statusCallback that there was not")
    }
}

impl OpenSession {
    fn is_led_by(&self, led_by: LedBy) -> bool {
        self.opened_by.is_some() == (led_by == LedBy::Agent)
    }

    fn reported(&mut self, progress: Progress) -> Holds {
        let Progress { step, attempt, what } = progress;
        match what {
            What::Begun => {
                rule(!self.begun.contains(&step), "a step began twice")?;
                rule(self.missing().is_none(), "a step began before the one before it was captured")?;
                self.begun.push(step);
                self.attempt = 1;
                rule(attempt == 1, "a step began with another attempt than the first")
            }
            What::Failed(_) => {
                self.is_at(step, attempt)?;
                self.attempt = self.attempt.saturating_add(1);
                Ok(())
            }
            What::Captured => {
                self.is_at(step, attempt)?;
                self.captured.push(step);
                Ok(())
            }
            What::Keyed | What::Refused(_) | What::Finished(_) => Ok(()),
        }
    }

    /// An agent takes the fields in any order, and again.
    fn led(&mut self, progress: Progress, form: &Form) {
        let step = progress.step;
        if step != Step::PaymentProcessing {
            self.required = form.value("Required").map_or_else(String::new, |value| value.shown().to_owned());
        }
        let capture = form.value("Capture").map_or("", Value::expose);
        let first_entry = capture == step.word();
        match progress.what {
            What::Begun => {
                self.begun.push(step);
                if first_entry {
                    self.captured.retain(|captured| *captured != step);
                }
            }
            What::Failed(EntryError::InputMatchingFailed) => self.captured.retain(|captured| *captured != step),
            What::Captured => self.captured.push(step),
            What::Failed(_) | What::Keyed | What::Refused(_) | What::Finished(_) => {}
        }
    }

    fn is_at(&self, step: Step, attempt: u8) -> Holds {
        rule(self.begun.last() == Some(&step), "something was reported of a step that is not being asked for")?;
        rule(!self.captured.contains(&step), "a captured field was captured or failed again")?;
        rule(self.attempt == attempt, "attempts are not counted one by one")
    }

    /// A step that was begun and not captured.
    fn missing(&self) -> Option<Step> {
        let captures = self.begun.iter().filter(|step| **step != Step::PaymentProcessing);
        captures.copied().find(|step| !self.captured.contains(step))
    }

    fn asked(&mut self, number: u16, submits: bool, transaction: &str) -> Holds {
        rule(self.begun.contains(&Step::PaymentProcessing), "the gateway was asked before payment-processing")?;
        rule(self.missing().is_none(), "the gateway was asked before every field was captured")?;
        rule(self.required.is_empty(), "the gateway was asked while something was required")?;
        let has = |step| self.captured.contains(&step);
        // A token given in the document needs no field.
        let whole = self.captured.is_empty()
            || (has(Step::PaymentCardNumber) && has(Step::ExpirationDate))
            || (has(Step::BankRoutingNumber) && has(Step::BankAccountNumber));
        rule(whole, "the gateway was asked without all fields of a card or an account")?;
        rule(self.verdict.is_none(), "the gateway was asked after its final answer")?;
        let same = self.transaction.as_ref().is_none_or(|known| known == transaction);
        rule(same, "a Pay session has two transaction ids")?;
        if submits {
            rule(self.submissions == 0 || self.repeatable, "a payment was submitted again without need")?;
            let acts_again = self.doubt && self.idempotency == Some(Idempotency::None);
            rule(!acts_again, "a payment in doubt was submitted again to a gateway that may act twice")?;
            self.submissions += 1;
            self.repeatable = false;
        }
        self.asked = Some((number, submits));
        Ok(())
    }

    fn answered(&mut self, number: u16, word: &str) {
        // The answer to a question that was given up changes nothing.
        let Some((_, submits)) = self.asked.take_if(|(asked, _)| *asked == number) else { return };
        match word {
            "approved" => self.verdict = Some(FinalAnswer::Yes),
            // A repeat that is refused says nothing of the submission before it, nor does one that is declined, unless it
            // is answered with the first result.
            "refused" if submits && self.doubt => {}
            "declined" if submits && self.doubt && self.idempotency != Some(Idempotency::FirstResult) => {}
            "declined" | "refused" => self.verdict = Some(FinalAnswer::No),
            "not found" => self.not_found = true,
            "unknown" | "panicked" if submits => self.doubt = true,
            _ => {}
        }
        self.repeatable |= submits && self.verdict.is_none();
    }

    /// The gateway's timer came, for an answer or for the next try.
    fn gave_up(&mut self) {
        if let Some((_, true)) = self.asked.take() {
            self.doubt = true;
            self.repeatable = true;
        }
    }

    fn outcome(&self, result: PayResult, form: &Form) -> Holds {
        let value = |name: &str| form.value(name).map(Value::expose);
        let code = PayErrorCode::ServiceUnavailable.number().to_string();
        let unknown = result == PayResult::PaymentConnectorError
            && value("PayErrorCode") == Some(&code)
            && value("PaymentError") == Some("outcome unknown");
        let success = result == PayResult::Success;
        // By the gateway's own ledger, whatever it answered.
        let told_as_it_is = self.acts == 0 || success || unknown;
        rule(told_as_it_is, "the gateway did what it was asked, and that nothing was done was told")?;
        let on_its_way = matches!(self.asked, Some((_, true)));
        rule(!on_its_way, "a Pay session ended while its submission was on its way")?;
        match (self.verdict, self.doubt) {
            (Some(FinalAnswer::Yes), _) => rule(success, "the gateway approved, and success was not told"),
            (Some(FinalAnswer::No), _) => {
                rule(!success && !unknown, "the gateway said no, and something else was told")
            }
            (None, true) if self.not_found => rule(!success, "the gateway found nothing, and success was told"),
            (None, true) => rule(unknown, "nobody knows whether money was taken, and that was not told"),
            (None, false) => rule(!success && !unknown, "nothing was taken, and something else was told"),
        }
    }
}
