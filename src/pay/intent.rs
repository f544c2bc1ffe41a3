//! What a payment leaves behind before the gateway is asked, so that its outcome can be told without its call.
//!
//! Shape:   plain values. A session makes a [`SessionStart`] when it begins, for the case that it is cut off before the gateway
//!          is asked, and an [`Intent`] once, before its first question; whoever learns of the outcome, the session itself or
//!          `pay::recovery`, makes the requests' fields of it: [`CallbackFields::told`].
//! Secrets: none of the card or account: what the caller keyed is there as its mask only. It may be stored.
//! Sources: design.md, "A payment's path through disk"; spec/pay.md, sections 6 and 7.

use std::sync::Arc;

use super::captured_fields::CapturedFields;
use super::gateway::{Means, Operation, PaymentMethod, PaymentRequest};
use super::outcome::{Ending, Standing};
use super::platform::Platform;
use super::settings::Settings;
use super::step::{SessionError, Step};
use crate::form::Form;
use crate::money::Currency;

/// A session that has begun: nothing was keyed yet, and its connector can do what is wanted.
#[derive(Clone, Debug)]
pub struct SessionStart {
    /// The connector instance.
    pub connector: String,
    /// What the gateway will be asked to do.
    pub operation: Operation,
    /// In which currency.
    pub currency: Currency,
    /// What will pay.
    pub means: Means,
    /// What the application is told beside the outcome, should the session be cut off. Whoever tells it counts what was told
    /// before.
    pub callback_fields: CallbackFields,
}

impl SessionStart {
    /// Of a session with these settings, whose last requests would say this now.
    #[must_use]
    pub fn new(settings: &Settings, callback_fields: CallbackFields) -> Self {
        let means = match (&settings.payment_token, settings.payment_method) {
            (Some(_), _) => Means::Token,
            (None, PaymentMethod::CreditCard) => Means::Card,
            (None, PaymentMethod::AchDebit) => Means::BankAccount,
        };
        let (connector, operation, currency) = (settings.connector.clone(), settings.operation, settings.currency);
        Self { connector, operation, currency, means, callback_fields }
    }
}

/// A payment that is about to be made.
#[derive(Clone, Debug)]
pub struct Intent {
    /// What the gateway will be told of it.
    pub payment_request: Arc<PaymentRequest>,
    /// What pays.
    pub means: Means,
    /// What the caller keyed, masked.
    pub captured_fields: CapturedFields,
    /// What the application will be told beside the outcome.
    pub callback_fields: CallbackFields,
}

/// The fields of the last requests about a payment that do not depend on its outcome.
#[derive(Clone, Debug)]
pub struct CallbackFields {
    /// Of the last status callback.
    pub status: Form,
    /// Of the action request.
    pub action: Form,
    /// Whose applications are told: some look for fields of their own.
    pub platform: Platform,
    /// The step at which the session ends.
    pub step: Step,
}

/// The fields of the last requests about a payment.
#[derive(Clone, Debug)]
pub struct Told {
    /// Of the status callback.
    pub status: Form,
    /// Of the action request.
    pub action: Form,
    /// For as long as the outcome is not written down. None: the same. What a gateway did is told as unknown then, for if the
    /// server dies, that is all that its successor may ever find out.
    pub unwritten: Option<ToldUnwritten>,
}

/// The fields about a payment whose outcome is not written down.
#[derive(Clone, Debug)]
pub struct ToldUnwritten {
    /// Those of the status callback, for whoever asks how the payment stands.
    pub status: Form,
    /// Those of the action request.
    pub action: Form,
}

impl CallbackFields {
    /// The fields with the outcome.
    #[must_use]
    pub fn told(&self, ending: &Ending) -> Told {
        // What never reached the gateway is certain without the disk, and what is unknown stays so.
        let unwritten = ending.was_sent && ending.standing != Standing::Unknown;
        let unknown = || {
            let ending = Ending::unknown();
            ToldUnwritten { status: self.last_status(&ending), action: self.last_action(&ending) }
        };
        Told { status: self.last_status(ending), action: self.last_action(ending), unwritten: unwritten.then(unknown) }
    }

    fn last_status(&self, ending: &Ending) -> Form {
        let mut status = self.status.clone();
        status.set_some("ErrorType", ending.error_type.map(SessionError::word));
        self.with(status, ending)
    }

    fn last_action(&self, ending: &Ending) -> Form {
        self.with(self.action.clone(), ending)
    }

    fn with(&self, mut form: Form, ending: &Ending) -> Form {
        ending.tell(&mut form);
        ending.tell_own(self.platform.rules().outcome_fields, self.step, &mut form);
        form
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pay::outcome::Ending;
    use crate::pay::step::{PayErrorCode, PayResult};

    fn told(ending: Ending) -> Told {
        let mut action = Form::new();
        action.set("PaymentMethod", "credit-card");
        let callback_fields =
            CallbackFields { status: Form::new(), action, platform: Platform::Twilio, step: Step::PaymentProcessing };
        callback_fields.told(&ending)
    }

    fn word(form: &Form, name: &str) -> Option<String> {
        form.value(name).map(|value| value.expose().to_owned())
    }

    #[test]
    fn what_a_gateway_did_is_told_as_unknown_while_it_is_not_written_down() {
        let approved = Ending { was_sent: true, ..Ending::plain(PayResult::Success) };
        let code = PayErrorCode::CardRejected;
        let declined = Ending { was_sent: true, ..Ending::fault(PayResult::PaymentConnectorError, code, "declined") };
        for ending in [approved, declined] {
            let ToldUnwritten { status, action } = told(ending).unwritten.unwrap();
            for form in [&status, &action] {
                let words = ["Result", "PayErrorCode", "PaymentError"].map(|name| word(form, name).unwrap());
                assert_eq!(words, ["payment-connector-error", "64002", "outcome unknown"]);
            }
            assert_eq!(word(&action, "PaymentMethod").as_deref(), Some("credit-card"));
        }
    }

    #[test]
    fn what_never_reached_a_gateway_or_is_unknown_anyway_is_told_as_it_is() {
        assert!(told(Ending::plain(PayResult::TooManyFailedAttempts)).unwritten.is_none());
        assert!(told(Ending::broken_down("x")).unwritten.is_none());
        assert!(told(Ending::unknown()).unwritten.is_none());
    }
}
