//! The platforms whose streams carry calls, and where their rules of `<Pay>` differ.
//!
//! Shape:   a table: one row of [`Rules`] a platform. A decision reads a rule by its name and never asks which platform it is,
//!          so that another platform is a variant and a row.
//! Sources: spec/pay.md, sections 3, 6 and 10; Twilio, "TwiML Voice: `<Pay>`"; Telnyx, "Pay over Voice".

use super::step::words;

words! {
    /// Whose stream carries a call.
    Platform {
        /// Twilio, and whoever follows its manual to the letter.
        Twilio = "twilio",
        /// Telnyx.
        Telnyx = "telnyx",
    }
}

impl Default for Platform {
    /// Twilio's rules hold wherever nothing else is known.
    fn default() -> Self {
        Self::Twilio
    }
}

/// What a platform does its own way.
#[derive(Debug)]
pub struct Rules {
    /// How `maxAttempts` counts.
    pub attempts: AttemptRule,
    /// Whether a card number that the connector does not take (in test mode all but the published ones) is a failed entry.
    /// Elsewhere it is refused when the payment is submitted.
    pub refuses_numbers_at_entry: bool,
    /// The fields that its applications look for in the last requests, beside those of the specification, in order.
    pub outcome_fields: &'static [(&'static str, OutcomeField)],
}

/// How `maxAttempts` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptRule {
    /// How often a step may be tried *again*: Twilio's page says that the default, 1, means one retry.
    Retries,
    /// How often it may be tried.
    Total,
}

/// What one of a platform's own fields tells of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeField {
    /// `success` or `failed`.
    SuccessOrFailed,
    /// The charge's confirmation code, if there is one.
    ConfirmationCode,
    /// The token, if one was made.
    Token,
    /// The step at which it ended.
    Step,
    /// The number of what went wrong, if anything did.
    ErrorCode,
}

const TWILIO: Rules = Rules { attempts: AttemptRule::Retries, refuses_numbers_at_entry: false, outcome_fields: &[] };

const TELNYX: Rules = Rules {
    attempts: AttemptRule::Total,
    refuses_numbers_at_entry: true,
    outcome_fields: &[
        ("PayResult", OutcomeField::SuccessOrFailed),
        ("ChargeId", OutcomeField::ConfirmationCode),
        ("TokenId", OutcomeField::Token),
        ("PaymentStep", OutcomeField::Step),
        ("ErrorCode", OutcomeField::ErrorCode),
    ],
};

impl Platform {
    /// Its row of the table.
    #[must_use]
    pub const fn rules(self) -> &'static Rules {
        match self {
            Self::Twilio => &TWILIO,
            Self::Telnyx => &TELNYX,
        }
    }
}

impl AttemptRule {
    /// How often a step may be tried with this `maxAttempts`.
    #[must_use]
    pub const fn tries(self, max_attempts: u8) -> u8 {
        match self {
            Self::Retries => max_attempts.saturating_add(1),
            Self::Total => max_attempts,
        }
    }
}
