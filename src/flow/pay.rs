//! A `<Pay>` inside a call: links, ids, and the session's outputs as the call's actions.

use url::Url;

use super::call::Call;
use super::event::Action;
use super::link::{Origin, Target};
use crate::form::Form;
use crate::pay::session::{Output, PaySession, Progress, Surroundings, What};
use crate::pay::settings::{AttemptRule, Reading, Refusal, Settings};
use crate::pay::step::PayErrorCode;
use crate::time::CallTime;
use crate::twiml::{Method, Pay, Position};

/// A Pay session and where its requests go.
#[derive(Debug)]
pub(super) struct Paying {
    pub(super) session: PaySession,
    pub(super) action: Option<(Target, Method)>,
    status_callback: Option<(Url, Method)>,
}

impl Call {
    /// Runs a `<Pay>`.
    pub(super) fn pay(&mut self, now: CallTime, position: Position, verb: &Pay) {
        let rule = if self.context.telnyx { AttemptRule::Total } else { AttemptRule::Retries };
        let mut reading = Settings::read(verb, position, rule);
        for warning in std::mem::take(&mut reading.warnings) {
            self.warn(Some(warning.position), 12200, warning.message);
        }
        let action = self.action(&mut reading, position);
        let status_callback = self.status_callback(&mut reading, position);
        if let Some(refusal) = reading.refusals.first() {
            let (position, code, message) = (refusal.position, refusal.code.number(), refusal.message.clone());
            self.warn(Some(position), u32::from(code), message);
        }
        let transaction = self.context.seed.wrapping_add(u128::from(self.payments));
        self.payments = self.payments.saturating_add(1);
        let around = Surroundings {
            call_sid: self.context.call_sid.clone(),
            transaction_id: format!("PK{transaction:032x}"),
            answered_at: self.context.answered_at,
            telnyx: self.context.telnyx,
            asked: self.questions,
        };
        let session = PaySession::start(now, reading, around);
        self.begin_paying(now, Paying { session, action, status_callback });
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
                let message = format!("<Pay>: action=\"{link}\" is not allowed: {error}");
                reading.refusals.push(Refusal { position, message, code: PayErrorCode::InvalidActionUrl });
                None
            }
        }
    }

    fn status_callback(&self, reading: &mut Reading, position: Position) -> Option<(Url, Method)> {
        let link = reading.settings.status_callback.clone()?;
        match self.origin().resolve_url(&link, self.context.plain_http) {
            Ok(url) => Some((url, reading.settings.status_callback_method)),
            Err(error) => {
                let message = format!("<Pay>: statusCallback=\"{link}\" is not allowed: {error}");
                reading.refusals.push(Refusal { position, message, code: PayErrorCode::InvalidParameter });
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
                Output::Report(progress, form) => self.report(progress, form, paying),
                Output::Ask(question, attempt, instrument) => {
                    self.questions = question.number;
                    self.actions.push_back(Action::Ask(question, attempt, instrument));
                }
                Output::Finish(_, form) => outcome = Some(form),
            }
        }
        outcome
    }

    fn report(&mut self, progress: Progress, form: Form, paying: &Paying) {
        if let Some((url, method)) = &paying.status_callback {
            let mut fields = Form::new();
            fields.set("AccountSid", self.context.account_sid.clone());
            fields.set("CallSid", self.context.call_sid.clone());
            if let What::Finished(_) = progress.what {
                fields.extend(&self.context.caller);
            }
            fields.extend(&form);
            self.actions.push_back(Action::Notify(url.clone(), *method, fields));
        }
        self.actions.push_back(Action::Report(progress, form));
    }
}
