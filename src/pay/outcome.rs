//! How a session ended, and the fields that tell it.
//!
//! Shape:   [`Ending`] becomes [`Form`] fields.
//! Secrets: what a gateway sends back is masked here (`mask`): its words, codes and
//!          parameters as free text, confirmation codes, tokens and profile ids as identifiers.
//! Sources: spec/pay.md, sections 6, 7 and 9.

use std::borrow::Cow;

use super::captured_fields::CapturedFields;
use super::gateway::{Approval, Denial, Instrument, Means, Operation};
use super::platform::OutcomeField;
use super::step::{PayErrorCode, PayResult, SessionError, Step, words};
use super::submission::Verdict;
use crate::form::Form;
use crate::mask::{self, Numbers};
use crate::secret::Secret;

/// The most parameters of a gateway's answer that are passed on, and the longest value, in characters.
const PARAMETERS_MAX: usize = 64;
const PARAMETER_LENGTH_MAX: usize = 1024;

words! {
    /// Whether money moved, or a token was made.
    Standing {
        /// It did.
        Succeeded = "succeeded",
        /// It did not.
        Failed = "failed",
        /// Nobody knows.
        Unknown = "unknown",
    }
}

/// How a session ended, without anything secret: for whoever records payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether money moved.
    pub standing: Standing,
    /// The word for it.
    pub result: PayResult,
    /// The number for it.
    pub code: Option<PayErrorCode>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The charge's confirmation code.
    pub confirmation_code: Option<String>,
}

/// How a session ended.
#[derive(Debug)]
pub struct Ending {
    /// Whether money moved.
    pub standing: Standing,
    /// The word for it.
    pub result: PayResult,
    /// The number for it.
    pub code: Option<PayErrorCode>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// What a status callback's `ErrorType` says of it, where that is not about an entry.
    pub error_type: Option<SessionError>,
    /// The gateway's own code.
    pub connector_error: Option<String>,
    /// What an approval brought.
    pub approval: Approval,
    /// What else the gateway sent back.
    pub parameters: Vec<(String, String)>,
    /// Whether a submission has reached the gateway, or may have.
    pub was_sent: bool,
}

impl Ending {
    /// An ending that needs no explanation.
    #[must_use]
    pub fn plain(result: PayResult) -> Self {
        Self {
            standing: if result == PayResult::Success { Standing::Succeeded } else { Standing::Failed },
            result,
            code: None,
            error: None,
            error_type: None,
            connector_error: None,
            approval: Approval::default(),
            parameters: Vec::new(),
            was_sent: false,
        }
    }

    /// Nobody knows whether money moved.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            standing: Standing::Unknown,
            // `PayConnector_outcome` tells it from a gateway that was not reached, which has 64002 too (spec/connectors.md
            // 19.5).
            parameters: vec![("outcome".to_owned(), "unknown".to_owned())],
            was_sent: true,
            ..Self::fault(PayResult::PaymentConnectorError, PayErrorCode::ServiceUnavailable, "outcome unknown")
        }
    }

    /// An ending with a code and words.
    #[must_use]
    pub fn fault(result: PayResult, code: PayErrorCode, error: impl Into<String>) -> Self {
        Self { code: Some(code), error: Some(error.into()), ..Self::plain(result) }
    }

    /// A fault of ours before anything was sent.
    #[must_use]
    pub fn broken_down(error: &str) -> Self {
        Self {
            error: Some(error.to_owned()),
            error_type: Some(SessionError::InternalError),
            ..Self::plain(PayResult::InternalError)
        }
    }

    /// A payment that could not be written down, so that no gateway was asked for it.
    #[must_use]
    pub fn not_written() -> Self {
        Self::broken_down("the payment could not be written down; nothing was sent")
    }

    /// A session that a server left behind before a gateway was to be asked.
    #[must_use]
    pub fn cut_off() -> Self {
        Self::broken_down("the server stopped before anything was sent")
    }

    /// What the gateway's verdict means for the session; `interrupted` is what the caller did meanwhile. Nobody is told
    /// that nothing was taken when money was taken or may have been.
    #[must_use]
    pub fn of_verdict(
        verdict: Verdict,
        interrupted: Option<PayResult>,
        operation: Operation,
        keyed: &KeyedKnown<'_>,
    ) -> Self {
        let scrub = Scrub::of(keyed);
        match (verdict, interrupted) {
            // Whatever the caller did meanwhile: money was taken, or a token made (spec/pay.md 3).
            (Verdict::Approved(approval), _) => {
                let confirmation_code = approval.confirmation_code.map(|code| scrub.identifier(&code));
                let parameters = scrub.parameters(approval.parameters);
                let hidden = |id: Secret| Secret::new(scrub.identifier(id.expose()));
                let approval = Approval {
                    confirmation_code,
                    token: approval.token.map(hidden),
                    profile_id: approval.profile_id.map(hidden),
                    // They are `parameters` of the ending, masked.
                    parameters: Vec::new(),
                };
                Self { approval, parameters, ..Self::plain(PayResult::Success) }
            }
            (Verdict::Unknown, _) => Self::unknown(),
            // Nothing stands at the gateway, so that the interruption is what is told.
            (
                Verdict::Declined(_)
                | Verdict::Refused(..)
                | Verdict::Unavailable
                | Verdict::BrokenDown
                | Verdict::NotWritten
                | Verdict::Stopped,
                Some(result),
            ) => Self::plain(result),
            (Verdict::Declined(denial), None) => Self::denied(rejection(operation, keyed.means()), denial, &scrub),
            (Verdict::Refused(code, denial), None) => Self::denied(code, denial, &scrub),
            (Verdict::Unavailable, None) => Self::fault(
                PayResult::PaymentConnectorError,
                PayErrorCode::ServiceUnavailable,
                "the payment gateway could not be reached; nothing was taken",
            ),
            (Verdict::NotWritten, None) => Self::not_written(),
            // `Stopped` comes of interruptions only, which have their own arm above.
            (Verdict::BrokenDown | Verdict::Stopped, None) => {
                Self::broken_down("the connector broke down before anything was sent")
            }
        }
    }

    fn denied(code: PayErrorCode, denial: Denial, scrub: &Scrub<'_>) -> Self {
        Self {
            standing: Standing::Failed,
            result: PayResult::PaymentConnectorError,
            code: Some(code),
            error: denial.message.map(|message| scrub.text(&message)),
            error_type: None,
            connector_error: denial.code.map(|code| scrub.text(&code)),
            approval: Approval::default(),
            parameters: scrub.parameters(denial.parameters),
            // `GatewayExchange` knows what left, and sets it.
            was_sent: false,
        }
    }

    /// How it ended, for whoever records payments.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome {
            standing: self.standing,
            result: self.result,
            code: self.code,
            error: self.error.clone(),
            confirmation_code: self.approval.confirmation_code.clone(),
        }
    }

    /// Adds how it ended.
    pub fn tell(&self, form: &mut Form) {
        form.set("Result", self.result.word());
        form.set_some("PaymentConfirmationCode", self.approval.confirmation_code.as_ref());
        form.set_some("PaymentToken", self.approval.token.as_ref());
        form.set_some("ProfileId", self.approval.profile_id.as_ref());
        form.set_some("PaymentError", self.error.as_ref());
        form.set_some("PayErrorCode", self.code.map(|code| code.number().to_string()));
        form.set_some("ConnectorError", self.connector_error.as_ref());
        for (name, value) in &self.parameters {
            form.set(format!("PayConnector_{name}"), value);
        }
    }

    /// Adds the fields that a platform's applications look for beside those of [`Self::tell`].
    pub fn tell_own(&self, fields: &[(&'static str, OutcomeField)], step: Step, form: &mut Form) {
        for (name, field) in fields {
            match field {
                OutcomeField::SuccessOrFailed => {
                    form.set(*name, if self.result == PayResult::Success { "success" } else { "failed" });
                }
                OutcomeField::ConfirmationCode => form.set_some(*name, self.approval.confirmation_code.as_ref()),
                OutcomeField::Token => form.set_some(*name, self.approval.token.as_ref()),
                OutcomeField::Step => form.set(*name, step.word()),
                OutcomeField::ErrorCode => form.set_some(*name, self.code.map(|code| code.number().to_string())),
            }
        }
    }
}

/// Which code a decline has: the card's, or that of the charge or token where a bank account or token was refused.
fn rejection(operation: Operation, means: Means) -> PayErrorCode {
    match (means, operation) {
        // Twilio says "card" in one text and "charge creation" in the other; the split is ours (spec/connectors.md 19.5).
        (Means::Card, _) => PayErrorCode::CardRejected,
        (Means::BankAccount | Means::Token, Operation::Charge(..)) => PayErrorCode::ChargeRejected,
        (Means::BankAccount | Means::Token, Operation::Tokenize(_)) => PayErrorCode::TokenRejected,
    }
}

/// What is known of what the caller keyed when the outcome comes.
#[derive(Debug)]
pub enum KeyedKnown<'a> {
    /// All of it.
    Known(&'a Instrument),
    /// Its mask: the call is over.
    Gone(Means, &'a CapturedFields),
}

impl KeyedKnown<'_> {
    fn means(&self) -> Means {
        match self {
            Self::Known(instrument) => (*instrument).into(),
            Self::Gone(means, _) => *means,
        }
    }
}

/// Takes out of what a gateway sends back whatever must not be seen: some gateways quote what they were sent.
struct Scrub<'a> {
    own: Numbers,
    token: Option<&'a Secret>,
}

impl<'a> Scrub<'a> {
    fn of(keyed: &KeyedKnown<'a>) -> Self {
        let (mut own, mut token) = (Numbers::new(), None);
        match keyed {
            // Not the security code: what is hidden because it equals the code tells it. `mask::text` hides every short number
            // instead.
            KeyedKnown::Known(Instrument::Card(card)) => own.add(card.number.expose()),
            KeyedKnown::Known(Instrument::BankAccount(account)) => own.add(account.account_number.expose()),
            KeyedKnown::Known(Instrument::Token(known)) => token = Some(known),
            KeyedKnown::Gone(_, captured_fields) => {
                captured_fields.card.iter().for_each(|(mask, _)| own.add_masked(mask));
                captured_fields.account_number.iter().for_each(|mask| own.add_masked(mask));
            }
        }
        Self { own, token }
    }

    /// For values that must else stay as they are.
    fn identifier(&self, text: &str) -> String {
        mask::identifier(&self.without_token(text), &self.own).into_owned()
    }

    fn text(&self, text: &str) -> String {
        mask::text(&self.without_token(text), &self.own).into_owned()
    }

    fn without_token<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.token {
            // The token is not empty, which would match between all letters: a blank `paymentToken` is none.
            Some(token) => Cow::Owned(text.replace(token.expose(), "xxxx")),
            None => Cow::Borrowed(text),
        }
    }

    fn parameters(&self, parameters: Vec<(String, String)>) -> Vec<(String, String)> {
        // Cut after masking: a number cut in two would not be found.
        let cut = |text: String| text.chars().take(PARAMETER_LENGTH_MAX).collect::<String>();
        parameters
            .into_iter()
            .take(PARAMETERS_MAX)
            .map(|(name, value)| (cut(self.text(&name)), cut(self.text(&value))))
            .collect()
    }
}

#[cfg(test)]
mod tests;
