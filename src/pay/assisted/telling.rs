//! What an agent's status callbacks tell: masks, what is still missing, what is being keyed.
//!
//! Secrets: of a field that is still being keyed only the number of digits is told.

use super::{AssistedSession, Output, Phase};
use crate::form::Form;
use crate::pay::field::Field;
use crate::pay::gateway::Operation;
use crate::pay::intent::Statement;
use crate::pay::platform::Platform;
use crate::pay::receipt::Mask;
use crate::pay::session::{Progress, What};
use crate::pay::step::Step;

impl AssistedSession {
    /// What is still missing, in the callback's spelling, with commas.
    pub(super) fn required(&self) -> String {
        let mut missing = Vec::new();
        for field in self.settings.fields() {
            if !self.captured.has(field) {
                missing.push(field.told_as().to_owned());
            }
            if self.matched.contains(&field) && !self.agreed.contains(&field) {
                missing.push(format!("{}Matcher", field.told_as()));
            }
        }
        missing.join(",")
    }

    /// One more digit was keyed, or all of them were taken back.
    pub(super) fn report_partial(&mut self) {
        let Phase::Capturing { capture, digits, .. } = &self.phase else { return };
        let (field, typed) = (capture.field, digits.len());
        self.report(What::Keyed, Some(Partial::Yes { field, typed }));
    }

    pub(super) fn report(&mut self, what: What, partial: Option<Partial>) {
        let error = match what {
            What::Failed(error) => Some(error.word()),
            What::Refused(error) => Some(error.word()),
            What::Begun | What::Keyed | What::Captured | What::Finished(_) => None,
        };
        let form = self.fields(error, partial);
        self.told = self.told.saturating_add(1);
        self.outputs.push_back(Output::Report(Progress { step: self.at.0, attempt: self.at.1, what }, form));
    }

    /// What the last status callback will tell, but for the outcome.
    pub(super) fn statement(&self) -> Statement {
        // An agent's session has no action, and is told as Twilio's API tells it, whatever carries the call.
        Statement { status: self.fields(None, None), action: Form::new(), platform: Platform::Twilio, step: self.at.0 }
    }

    /// The fields that a status callback has.
    pub(super) fn fields(&self, error_type: Option<&'static str>, partial: Option<Partial>) -> Form {
        let mut form = Form::new();
        form.set("Sid", self.around.transaction_id.clone());
        form.set("SequenceNumber", self.told.to_string());
        form.set("DateCreated", self.around.rfc2822(self.started));
        form.set("DateUpdated", self.around.rfc2822(self.updated));
        form.set("For", self.at.0.word());
        form.set_some("Capture", self.capture.map(|capture| capture.to_string()));
        form.set_some("ErrorType", error_type);
        form.set("Attempt", self.at.1.to_string());
        form.set("PaymentMethod", self.settings.payment_method.word());
        form.set("PaymentConnector", self.settings.connector.clone());
        match self.settings.operation {
            Operation::Charge(amount, currency) => form.set("ChargeAmount", amount.text(currency)),
            Operation::Tokenize(token_type) => form.set("TokenType", token_type.word()),
        }
        match partial {
            Some(Partial::Yes { field, typed }) => {
                // The last digits of a first entry would tell those of the second.
                self.receipt.without(field).tell(&mut form, Mask::Plain, &self.settings);
                form.set_some(field.told_as(), (typed > 0).then(|| field.mask().repeat(typed)));
                form.set("PartialResult", "true");
            }
            Some(Partial::No) => {
                self.receipt.tell(&mut form, Mask::Plain, &self.settings);
                form.set("PartialResult", "false");
            }
            None => self.receipt.tell(&mut form, Mask::Plain, &self.settings),
        }
        // Once the gateway is asked, what it needed has left.
        let missing = if self.at.0 == Step::PaymentProcessing { String::new() } else { self.required() };
        form.set_some("Required", Some(missing).filter(|missing| !missing.is_empty()));
        form
    }
}

/// Whether a callback tells an entry that is still being keyed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Partial {
    Yes { field: Field, typed: usize },
    No,
}
