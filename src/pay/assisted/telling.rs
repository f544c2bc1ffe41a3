//! What an agent's status callbacks tell: masks, what is still missing, what is being keyed.
//!
//! Secrets: of a field that is still being keyed only the number of digits is told.

use super::{AssistedPhase, AssistedSession};
use crate::form::Form;
use crate::pay::captured_fields::Mask;
use crate::pay::field::Field;
use crate::pay::gateway::Operation;
use crate::pay::intent::CallbackFields;
use crate::pay::platform::Platform;
use crate::pay::session::What;
use crate::pay::step::Step;

/// Whether a callback tells an entry.
#[derive(Clone, Copy, Debug)]
enum Partial {
    /// One that is still being keyed.
    Yes { field: Field, typed: usize },
    /// One that is over.
    No,
}

impl AssistedSession {
    /// What is still missing, in the callback's spelling, with commas.
    pub(super) fn required(&self) -> String {
        let mut missing = Vec::new();
        for field in self.core.settings.fields() {
            if !self.core.captured.has(field) {
                missing.push(field.told_as().to_owned());
            }
            if self.matched.contains(&field) && !self.agreed.contains(&field) {
                missing.push(format!("{}Matcher", field.told_as()));
            }
        }
        missing.join(",")
    }

    /// Something that is not about an entry.
    pub(super) fn report(&mut self, what: What) {
        self.tell(what, None);
    }

    /// An entry is over.
    pub(super) fn report_entry(&mut self, what: What) {
        self.tell(what, Some(Partial::No));
    }

    /// One more digit was keyed, or all of them were taken back.
    pub(super) fn report_partial(&mut self) {
        let AssistedPhase::Capturing { entry, .. } = &self.phase else { return };
        let partial = Partial::Yes { field: entry.field, typed: entry.digits.len() };
        self.tell(What::Keyed, Some(partial));
    }

    fn tell(&mut self, what: What, partial: Option<Partial>) {
        let error = match what {
            What::Failed(error) => Some(error.word()),
            What::Refused(error) => Some(error.word()),
            What::Begun | What::Keyed | What::Captured | What::Finished(_) => None,
        };
        let form = self.status_fields(error, partial);
        self.core.report(what, form);
    }

    /// What the last status callback will tell, but for the outcome.
    pub(super) fn callback_fields(&self) -> CallbackFields {
        // An agent's session has no action, and is told as Twilio's API tells it, whatever carries the call.
        CallbackFields {
            status: self.status_fields(None, None),
            action: Form::new(),
            platform: Platform::Twilio,
            step: self.core.at.0,
        }
    }

    /// The fields that a status callback has.
    fn status_fields(&self, error_type: Option<&'static str>, partial: Option<Partial>) -> Form {
        let (core, settings) = (&self.core, &self.core.settings);
        let mut form = Form::new();
        form.set("Sid", &core.around.transaction_id);
        form.set("SequenceNumber", core.told.to_string());
        form.set("DateCreated", core.around.rfc2822(self.started));
        form.set("DateUpdated", core.around.rfc2822(self.updated));
        form.set("For", core.at.0.word());
        form.set_some("Capture", self.capture.map(|capture| capture.to_string()));
        form.set_some("ErrorType", error_type);
        form.set("Attempt", core.at.1.to_string());
        form.set("PaymentMethod", settings.payment_method.word());
        form.set("PaymentConnector", &settings.connector);
        match settings.operation {
            Operation::Charge(amount, currency) => form.set("ChargeAmount", amount.text(currency)),
            Operation::Tokenize(token_type) => form.set("TokenType", token_type.word()),
        }
        match partial {
            Some(Partial::Yes { field, typed }) => {
                // The last digits of a first entry would tell those of the second.
                core.captured_fields.without(field).tell(&mut form, Mask::Plain, settings);
                form.set_some(field.told_as(), (typed > 0).then(|| field.mask().repeat(typed)));
                form.set("PartialResult", "true");
            }
            Some(Partial::No) => {
                core.captured_fields.tell(&mut form, Mask::Plain, settings);
                form.set("PartialResult", "false");
            }
            None => core.captured_fields.tell(&mut form, Mask::Plain, settings),
        }
        // Once the gateway is asked, what it needed has left.
        let missing = if core.at.0 == Step::PaymentProcessing { String::new() } else { self.required() };
        form.set_some("Required", Some(missing).filter(|missing| !missing.is_empty()));
        form
    }
}
