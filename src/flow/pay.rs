//! A `<Pay>` inside a call: its links and its id.

use url::Url;

use super::call::Call;
use super::link::{Origin, Target};
use super::payment::{Recipients, RunningPayment, transaction_id};
use crate::mask::refused;
use crate::pay::settings::{Reading, Refusal, Settings};
use crate::pay::step::PayErrorCode;
use crate::pay::surroundings::Surroundings;
use crate::pay::verb::PaySession;
use crate::time::CallTime;
use crate::twiml::{Method, Pay, Position};

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
        // The one that the session ends with and tells.
        if let Some(refusal) = reading.refusals.first() {
            let (position, code, message) = (refusal.position, refusal.code.number(), refusal.message.clone());
            self.warn(Some(position), u32::from(code), message);
        }
        let around = self.surroundings();
        let recipients = Recipients::of_document(around.transaction_id.clone(), status_callback, action);
        let session = PaySession::start(now, reading, around);
        self.begin_paying(now, RunningPayment { session, recipients });
    }

    /// What a new payment of this call knows of the world around it.
    pub(super) fn surroundings(&mut self) -> Surroundings {
        // A random seed may lie at the end of the range.
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
        let Some(link) = &reading.settings.action else {
            return match self.origin() {
                Origin::Url(url) => Some((Target::Url(url.clone()), method)),
                Origin::Flow(_) => None,
            };
        };
        match self.origin().resolve(link, self.context.plain_http) {
            Ok(target) => Some((target, method)),
            Err(error) => {
                let message = format!("<Pay>: action=\"{}\" is not allowed: {error}", refused(link));
                reading.refusals.push(Refusal::new(position, message, PayErrorCode::InvalidActionUrl));
                None
            }
        }
    }

    fn status_callback(&self, reading: &mut Reading, position: Position) -> Option<(Url, Method)> {
        let link = reading.settings.status_callback.as_ref()?;
        match self.origin().resolve_url(link, self.context.plain_http) {
            Ok(url) => Some((url, reading.settings.status_callback_method)),
            Err(error) => {
                let message = format!("<Pay>: statusCallback=\"{}\" is not allowed: {error}", refused(link));
                reading.refusals.push(Refusal::new(position, message, PayErrorCode::InvalidParameter));
                None
            }
        }
    }
}
