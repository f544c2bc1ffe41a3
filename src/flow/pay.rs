//! A `<Pay>` inside a call: links, ids, and the session's outputs as the call's actions.

use url::Url;

use super::call::Call;
use super::event::{Action, Begun, Intended, LedBy, PaymentId, Settled, Shown, Telling};
use super::link::{Origin, Target};
use crate::form::Form;
use crate::mask::{self, refused};
use crate::pay::gateway::Instrument;
use crate::pay::intent::{Intent, SessionStart, Statement, Told};
use crate::pay::outcome::Outcome;
use crate::pay::session::{Output, PaySession, Progress};
use crate::pay::settings::{Reading, Refusal, Settings};
use crate::pay::step::PayErrorCode;
use crate::pay::surroundings::Surroundings;
use crate::time::CallTime;
use crate::twiml::{Method, Pay, Position};

/// The fields that quote a document or are a gateway's own, beside `PayConnector_...`.
const QUOTING: [&str; 8] = [
    "PaymentError",
    "ConnectorError",
    "PaymentConnector",
    "PaymentConfirmationCode",
    "PaymentToken",
    "ProfileId",
    "ChargeId",
    "TokenId",
];

/// A Pay session and where its requests go.
#[derive(Debug)]
pub(super) struct Paying {
    payment: PaymentId,
    pub(super) session: PaySession,
    pub(super) action: Option<(Target, Method)>,
    /// What its action is told with for as long as the outcome is not written down, where that differs.
    pub(super) unwritten: Option<Form>,
    status_callback: Option<(Url, Method)>,
}

impl Paying {
    /// Where the outcome is told by a request.
    fn told_to(&self) -> Option<(Url, Method)> {
        self.action.as_ref().and_then(|(target, method)| match target {
            Target::Url(url) => Some((url.clone(), *method)),
            // A flow is told by being run.
            Target::Flow(_) => None,
        })
    }
}

/// A payment's id from its number.
pub(super) fn transaction_id(number: u128) -> String {
    format!("PK{number:032x}")
}

impl Call {
    /// Runs a `<Pay>`.
    pub(super) fn pay(&mut self, now: CallTime, position: Position, verb: &Pay) {
        let mut reading = Settings::read(verb, position, self.context.platform);
        for warning in std::mem::take(&mut reading.warnings) {
            self.warn(Some(warning.position), 12200, warning.message);
        }
        let action = self.action(&mut reading, position);
        let status_callback = self.status_callback(&mut reading, position);
        self.refuse_beside_agent(&mut reading, position);
        if let Some(refusal) = reading.refusals.first() {
            let (position, code, message) = (refusal.position, refusal.code.number(), refusal.message.clone());
            self.warn(Some(position), u32::from(code), message);
        }
        let around = self.surroundings();
        let payment = PaymentId { sid: around.transaction_id.clone(), led_by: LedBy::Document };
        let session = PaySession::start(now, reading, around);
        self.begin_paying(now, Paying { payment, session, action, unwritten: None, status_callback });
    }

    /// What a new payment of this call knows of the world around it.
    pub(super) fn surroundings(&mut self) -> Surroundings {
        let transaction = self.context.seed.wrapping_add(u128::from(self.payments));
        self.payments = self.payments.saturating_add(1);
        Surroundings {
            call_sid: self.context.call_sid.clone(),
            transaction_id: transaction_id(transaction),
            answered_at: self.context.answered_at,
            answered_at_utc: self.context.answered_at_utc,
            platform: self.context.platform,
            asked: self.questions,
        }
    }

    /// Where the outcome goes. The default is the document's own URL; a flow goes on with the next verb.
    fn action(&self, reading: &mut Reading, position: Position) -> Option<(Target, Method)> {
        let method = reading.settings.method;
        let Some(link) = reading.settings.action.clone() else {
            return match self.origin() {
                Origin::Url(url) => Some((Target::Url(url.clone()), method)),
                Origin::Flow(_) => None,
            };
        };
        match self.origin().resolve(&link, self.context.plain_http) {
            Ok(target) => Some((target, method)),
            Err(error) => {
                let message = format!("<Pay>: action=\"{}\" is not allowed: {error}", refused(&link));
                reading.refusals.push(Refusal::new(position, message, PayErrorCode::InvalidActionUrl));
                None
            }
        }
    }

    fn status_callback(&self, reading: &mut Reading, position: Position) -> Option<(Url, Method)> {
        let link = reading.settings.status_callback.clone()?;
        match self.origin().resolve_url(&link, self.context.plain_http) {
            Ok(url) => Some((url, reading.settings.status_callback_method)),
            Err(error) => {
                let message = format!("<Pay>: statusCallback=\"{}\" is not allowed: {error}", refused(&link));
                reading.refusals.push(Refusal::new(position, message, PayErrorCode::InvalidParameter));
                None
            }
        }
    }

    /// Does what the session wants. Its outcome, once it has one.
    pub(super) fn carry_out(&mut self, now: CallTime, paying: &mut Paying) -> Option<Form> {
        let mut outcome = None;
        while let Some(output) = paying.session.poll_output() {
            match output {
                Output::FindConnector(name) => self.actions.push_back(Action::FindConnector(name)),
                Output::Speak(heard) => self.speak(now, heard),
                Output::Clear => self.clear(),
                Output::Report(progress, form) => {
                    self.report(paying.payment.clone(), progress, form, paying.status_callback.as_ref());
                }
                Output::Begin(start) => {
                    let (status, action) = (paying.status_callback.clone(), paying.told_to());
                    self.begin(paying.payment.clone(), *start, status, action);
                }
                Output::Intend(intent) => {
                    let (status, action) = (paying.status_callback.clone(), paying.told_to());
                    self.intend(paying.payment.clone(), *intent, status, action);
                }
                Output::Settle(progress, outcome, told) => {
                    paying.unwritten = told.unwritten.as_ref().map(|unwritten| self.told(unwritten.action.clone()));
                    let action = paying.action.clone();
                    self.settle(
                        paying.payment.clone(),
                        progress,
                        outcome,
                        *told,
                        paying.status_callback.clone(),
                        action,
                    );
                }
                Output::Ask(question, attempt, instrument) => {
                    self.remember_number(&instrument);
                    self.questions = question.number;
                    self.actions.push_back(Action::Ask(question, attempt, instrument));
                }
                Output::Finish(_, form) => outcome = Some(self.told(form)),
            }
        }
        outcome
    }

    /// From now on what pays is a number that nothing in this call may tell.
    pub(super) fn remember_number(&mut self, instrument: &Instrument) {
        match instrument {
            Instrument::Card(card) => self.numbers.add(card.number.expose()),
            Instrument::BankAccount(account) => self.numbers.add(account.account_number.expose()),
            Instrument::Token(_) => {}
        }
    }

    /// Tells the application and everybody else how a payment goes.
    pub(super) fn report(
        &mut self,
        payment: PaymentId,
        progress: Progress,
        form: Form,
        status_callback: Option<&(Url, Method)>,
    ) {
        let form = self.told(form);
        if let Some((url, method)) = status_callback {
            let mut fields = Form::new();
            fields.set("AccountSid", self.context.account_sid.clone());
            fields.set("CallSid", self.context.call_sid.clone());
            fields.extend(&form);
            self.actions.push_back(Action::Notify(url.clone(), *method, fields));
        }
        self.actions.push_back(Action::Report(payment, progress, form));
    }

    /// Has it written down that a session has begun.
    pub(super) fn begin(
        &mut self,
        payment: PaymentId,
        mut start: SessionStart,
        status: Option<(Url, Method)>,
        action: Option<(Url, Method)>,
    ) {
        let statement = &mut start.statement;
        statement.status = self.last_status(&statement.status);
        statement.action = self.last_action(&statement.action);
        let call_sid = self.context.call_sid.clone();
        self.actions.push_back(Action::Begin(Box::new(Begun {
            payment,
            call_sid,
            start,
            status,
            action,
            cookies: None,
        })));
    }

    /// Has what the outcome will be told with written down.
    pub(super) fn intend(
        &mut self,
        payment: PaymentId,
        mut intent: Intent,
        status: Option<(Url, Method)>,
        action: Option<(Url, Method)>,
    ) {
        let Statement { status: last_status, action: last_action, .. } = &mut intent.statement;
        *last_status = self.last_status(&self.told(std::mem::take(last_status)));
        *last_action = self.last_action(&self.told(std::mem::take(last_action)));
        self.actions.push_back(Action::Intend(Box::new(Intended { payment, intent, status, action, cookies: None })));
    }

    /// Has the outcome written down and told.
    pub(super) fn settle(
        &mut self,
        payment: PaymentId,
        progress: Progress,
        mut outcome: Outcome,
        told: Told,
        status: Option<(Url, Method)>,
        action: Option<(Target, Method)>,
    ) {
        outcome.error = outcome.error.map(|error| self.masked(&error));
        outcome.confirmation_code = outcome.confirmation_code.map(|code| self.masked(&code));
        let told = Told { status: self.told(told.status), action: self.told(told.action), ..told };
        let unwritten = told.unwritten.map(|unwritten| self.told(unwritten.status));
        let shown = Shown { written: told.status.clone(), unwritten };
        let status = status.map(|(url, method)| Telling { url, method, form: self.last_status(&told.status) });
        let action = match action {
            Some((Target::Url(url), method)) => Some(Telling { url, method, form: self.last_action(&told.action) }),
            Some((Target::Flow(_), _)) | None => None,
        };
        let settled = Settled { payment: payment.clone(), outcome, status, action, cookies: None, shown };
        self.actions.push_back(Action::Settle(Box::new(settled)));
        self.actions.push_back(Action::Report(payment, progress, told.status));
    }

    /// What is told of a payment, without the numbers that were keyed before in this call: a document may have put what a
    /// `<Gather>` brought anywhere, and a gateway may remember the card of the payment before. What is left alone is ours.
    pub(super) fn told(&self, mut form: Form) -> Form {
        let numbers = &self.numbers;
        if !numbers.is_empty() {
            let quotes = |name: &str| QUOTING.contains(&name) || name.starts_with("PayConnector_");
            form.replace(|name, value| quotes(name).then(|| mask::identifier(value, numbers).into_owned()));
        }
        form
    }

    /// The last status callback's fields.
    fn last_status(&self, form: &Form) -> Form {
        let mut fields = Form::new();
        fields.set("AccountSid", self.context.account_sid.clone());
        fields.set("CallSid", self.context.call_sid.clone());
        fields.extend(&self.context.caller);
        fields.extend(form);
        fields
    }

    /// The action's fields when the call does not make the request itself: it is over then.
    fn last_action(&self, form: &Form) -> Form {
        let mut fields = self.context.standard("completed");
        fields.extend(form);
        fields
    }
}
