//! The one way from what a session wants to what the call does, whoever leads the session.
//!
//! Shape:   [`Call::carry_out`] turns [`Output`]s into [`Action`]s and whole requests.
//! Secrets: what was keyed into the call before is hidden in what a document or a gateway wrote.
//! Sources: spec/pay.md, sections 6 to 8; design.md, "A payment's path through disk".

use super::call::Call;
use super::event::{Action, Begun, Intended, Settled, Shown, Telling};
use super::payment::Recipients;
use crate::form::Form;
use crate::mask;
use crate::pay::command::AgentError;
use crate::pay::gateway::Instrument;
use crate::pay::intent::{CallbackFields, Intent, SessionStart, Told};
use crate::pay::outcome::Outcome;
use crate::pay::session::{Output, Progress};
use crate::time::CallTime;

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

impl Call {
    /// Does what a session wants. The fields of the action request, once it is over.
    pub(super) fn carry_out(&mut self, now: CallTime, output: Output, to: &mut Recipients) -> Option<Form> {
        match output {
            Output::FindConnector(name) => self.actions.push_back(Action::FindConnector(name)),
            Output::Opened(opened) => {
                // A document's session was asked for by nobody who waits for an answer.
                if let Some(id) = to.opening.take() {
                    let answer = opened.map(|()| to.payment.sid.clone());
                    self.actions.push_back(Action::Answer(id, answer.map_err(|error| self.without_numbers(error))));
                }
            }
            Output::Speak(heard) => self.speak(now, heard),
            Output::Clear => self.clear(),
            Output::Report(progress, form) => self.report(to, progress, form),
            Output::Begin(start) => self.begin(to, *start),
            Output::Intend(intent) => self.intend(to, *intent),
            Output::Settle(progress, outcome, told) => self.settle(to, progress, outcome, *told),
            Output::Ask(question, payment_request, instrument) => {
                // Before the question leaves: from its answer on, no text of this call may repeat the number.
                self.remember_number(&instrument);
                self.questions = question.number;
                self.actions.push_back(Action::Ask(question, payment_request, instrument));
            }
            Output::Finish(_, form) => return Some(self.told(form)),
        }
        None
    }

    /// From now on what pays is a number that nothing in this call may tell.
    fn remember_number(&mut self, instrument: &Instrument) {
        match instrument {
            Instrument::Card(card) => self.numbers.add(card.number.expose()),
            Instrument::BankAccount(account) => self.numbers.add(account.account_number.expose()),
            // It was not keyed; `pay::outcome` hides it in what the gateway says.
            Instrument::Token(_) => {}
        }
    }

    /// Tells the application and everybody else how a payment goes.
    fn report(&mut self, to: &Recipients, progress: Progress, form: Form) {
        let form = self.told(form);
        if let Some((url, method)) = &to.status_callback {
            let mut fields = self.ids();
            fields.extend(&form);
            self.actions.push_back(Action::Notify(url.clone(), *method, fields));
        }
        self.actions.push_back(Action::Report(to.payment.clone(), progress, form));
    }

    /// Has it written down that a session has begun.
    pub(super) fn begin(&mut self, to: &Recipients, mut start: SessionStart) {
        let callback_fields = &mut start.callback_fields;
        callback_fields.status = self.last_status(&callback_fields.status);
        callback_fields.action = self.last_action(&callback_fields.action);
        self.actions.push_back(Action::Begin(Box::new(Begun {
            payment: to.payment.clone(),
            call_sid: self.context.call_sid.clone(),
            start,
            status: to.status_callback.clone(),
            action: to.action_url(),
            cookies: None,
        })));
    }

    /// Has what the outcome will be told with written down.
    fn intend(&mut self, to: &Recipients, mut intent: Intent) {
        let CallbackFields { status: last_status, action: last_action, .. } = &mut intent.callback_fields;
        *last_status = self.last_status(&self.told(std::mem::take(last_status)));
        *last_action = self.last_action(&self.told(std::mem::take(last_action)));
        let (status, action) = (to.status_callback.clone(), to.action_url());
        let intended = Intended { payment: to.payment.clone(), intent, status, action, cookies: None };
        self.actions.push_back(Action::Intend(Box::new(intended)));
    }

    /// Has the outcome written down and told.
    fn settle(&mut self, to: &mut Recipients, progress: Progress, mut outcome: Outcome, told: Told) {
        outcome.error = outcome.error.map(|error| self.masked(&error));
        outcome.confirmation_code = outcome.confirmation_code.map(|code| self.masked(&code));
        let Told { status, action, unwritten } = told;
        let (status_form, action_form) = (self.told(status), self.told(action));
        let unwritten = unwritten.map(|unwritten| {
            if to.action.is_some() {
                to.unwritten = Some(self.told(unwritten.action));
            }
            self.told(unwritten.status)
        });
        let shown = Shown { written: status_form.clone(), unwritten };
        let telling = |(url, method), form| Telling { url, method, form };
        let status = to.status_callback.clone().map(|place| telling(place, self.last_status(&status_form)));
        let action = to.action_url().map(|place| telling(place, self.last_action(&action_form)));
        let settled = Settled { payment: to.payment.clone(), outcome, status, action, cookies: None, shown };
        self.actions.push_back(Action::Settle(Box::new(settled)));
        self.actions.push_back(Action::Report(to.payment.clone(), progress, status_form));
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

    /// An agent's error without them.
    pub(super) fn without_numbers(&self, error: AgentError) -> AgentError {
        AgentError { message: self.masked(&error.message), ..error }
    }

    /// The fields that every status callback begins with.
    pub(super) fn ids(&self) -> Form {
        let mut fields = Form::new();
        fields.set("AccountSid", &self.context.account_sid);
        fields.set("CallSid", &self.context.call_sid);
        fields
    }

    /// The last status callback's fields.
    fn last_status(&self, form: &Form) -> Form {
        let mut fields = self.ids();
        // The last one also tells who called (spec/pay.md 7).
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
