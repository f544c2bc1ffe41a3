//! A payment inside a call: its session, and where it is told.

use url::Url;

use super::event::{CommandId, LedBy, PaymentId};
use super::link::Target;
use crate::form::Form;
use crate::twiml::Method;

/// A session of either kind that runs in a call.
#[derive(Debug)]
pub(super) struct RunningPayment<S> {
    pub(super) session: S,
    pub(super) recipients: Recipients,
}

/// Where a payment is told, and to whom.
#[derive(Debug)]
pub(super) struct Recipients {
    pub(super) payment: PaymentId,
    pub(super) status_callback: Option<(Url, Method)>,
    /// None: nobody asks for a document when it is over.
    pub(super) action: Option<(Target, Method)>,
    /// What the action is told with for as long as the outcome is not written down, where that differs.
    pub(super) unwritten: Option<Form>,
    /// The agent's request that waits until the session is open.
    pub(super) opening: Option<CommandId>,
}

impl Recipients {
    /// Of a `<Pay>`.
    pub(super) const fn of_document(
        sid: String,
        status_callback: Option<(Url, Method)>,
        action: Option<(Target, Method)>,
    ) -> Self {
        let payment = PaymentId { sid, led_by: LedBy::Document };
        Self { payment, status_callback, action, unwritten: None, opening: None }
    }

    /// Of a payment that an agent leads: it has no action.
    pub(super) const fn of_agent(sid: String, status_callback: (Url, Method), opening: CommandId) -> Self {
        let payment = PaymentId { sid, led_by: LedBy::Agent };
        let status_callback = Some(status_callback);
        Self { payment, status_callback, action: None, unwritten: None, opening: Some(opening) }
    }

    /// Where the outcome is told by a request.
    pub(super) fn action_url(&self) -> Option<(Url, Method)> {
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
