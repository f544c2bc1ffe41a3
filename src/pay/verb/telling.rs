//! What a verb's session tells: the fields of callbacks and of the action request, the closing prompt, the outcome.
//!
//! Sources: spec/pay.md, sections 5 to 7.

use super::{PaySession, VerbPhase};
use crate::form::Form;
use crate::pay::captured_fields::Mask;
use crate::pay::intent::CallbackFields;
use crate::pay::outcome::Ending;
use crate::pay::prompts::Scene;
use crate::pay::session::{Output, What};
use crate::pay::step::{Moment, PayResult};
use crate::twiml::Utterance;

impl PaySession {
    /// The one place where a session's outcome is decided.
    pub(super) fn finish(&mut self, ending: Ending) {
        let told = self.callback_fields().told(&ending);
        // The settlement has it for whoever tells it after a crash; the call makes the request itself.
        let form = told.action.clone();
        self.core.settle(&ending, told);
        self.phase = VerbPhase::Closing { result: ending.result, form };
        let closing = closing_moment(&ending).filter(|_| !self.caller_gone);
        let heard = closing.map(|moment| self.heard_at(moment));
        match heard {
            Some(heard) if !heard.is_empty() => self.core.outputs.push_back(Output::Speak(heard)),
            _ => self.close(),
        }
    }

    /// The closing prompt is over, or there is none: it plays before the action is asked, whose answer goes on with the call.
    pub(super) fn close(&mut self) {
        if let VerbPhase::Closing { result, form } = std::mem::replace(&mut self.phase, VerbPhase::Finished) {
            self.core.outputs.push_back(Output::Finish(result, form));
        }
    }

    /// What is heard at a moment after the fields.
    pub(super) fn heard_at(&self, moment: Moment) -> Vec<Utterance> {
        // From what may be shown: the card itself has gone to the gateway.
        let card_type = self.core.captured_fields.card.as_ref().map(|(_, brand)| *brand);
        let scene = Scene { moment, attempt: 1, complaint: None, card_type, second_entry: false };
        self.core.settings.prompts.heard(&scene, None)
    }

    pub(super) fn report(&mut self, what: What) {
        let form = self.status_fields();
        self.core.report(what, form);
    }

    /// What the last requests will tell, but for the outcome.
    pub(super) fn callback_fields(&self) -> CallbackFields {
        let settings = &self.core.settings;
        let mut action = Form::new();
        action.set("PaymentMethod", settings.payment_method.word());
        action.set("PaymentConnector", &settings.connector);
        self.core.captured_fields.tell(&mut action, Mask::Grouped, settings);
        CallbackFields {
            status: self.status_fields(),
            action,
            platform: self.core.around.platform,
            step: self.core.at.0,
        }
    }

    /// The fields of a status callback.
    fn status_fields(&self) -> Form {
        let settings = &self.core.settings;
        let mut form = Form::new();
        form.set("SequenceNumber", self.core.told.to_string());
        form.set("For", self.core.at.0.word());
        form.set_some("ErrorType", self.last_error.map(|error| error.word()));
        form.set("Attempt", self.core.at.1.to_string());
        form.set("PaymentMethod", settings.payment_method.word());
        form.set("PaymentConnector", &settings.connector);
        self.core.captured_fields.tell(&mut form, Mask::Plain, settings);
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
        // A refused verb ends before a word is said, and a caller who hung up hears none.
        PayResult::CallerHungUp | PayResult::ValidationError => None,
    }
}
