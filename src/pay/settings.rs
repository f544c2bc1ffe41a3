//! The attributes and children of a `<Pay>`, read once into typed settings.
//!
//! Shape:   [`Settings::read`] always gives settings, with the default in place of a bad value, and says what was bad:
//!          the session then ends with `validation-error`, but still knows whom to tell.
//! Units:   seconds in attributes, [`Duration`] here.
//! Errors:  [`Refusal`]: attribute, value, what is allowed, and Twilio's error code.
//! Secrets: `paymentToken`, which is never quoted back. Every other refused value is quoted without digits that a caller may
//!          have keyed (`mask::refused`).
//! Sources: spec/pay.md, section 2.

use std::time::Duration;

use super::card::AcceptedBrands;
use super::field::Field;
use super::gateway::{BankAccountType, Operation, PaymentMethod, TokenType};
use super::prompts::PromptBook;
use super::step::{PayErrorCode, SessionError, Step};
use crate::money::Currency;
use crate::secret::Secret;
use crate::twiml::{Fault, Method, Position};

mod reader;
pub mod request;

/// The longest postal code that can be keyed, in digits.
// The specification's number (spec/pay.md 4).
pub const POSTAL_DIGITS_MAX: usize = 10;

/// Whether the caller is asked for a postal code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostalCode {
    /// Yes.
    Asked,
    /// No.
    Left,
    /// The document has it.
    Given(String),
}

/// A `<Pay>` as the session runs it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `action` as written.
    pub action: Option<String>,
    /// How `action` is asked.
    pub method: Method,
    /// `statusCallback` as written.
    pub status_callback: Option<String>,
    /// How `statusCallback` is told.
    pub status_callback_method: Method,
    /// Card or bank account.
    pub payment_method: PaymentMethod,
    /// What kind of account, if a bank account.
    pub bank_account_type: BankAccountType,
    /// How long to wait for the first digit once the prompt has been heard.
    pub timeout: Duration,
    /// How long to wait for the next digit.
    pub inter_digit_timeout: Duration,
    /// How often each step may be tried, 1 to 4.
    pub tries: u8,
    /// Whether the security code is asked for.
    pub security_code: bool,
    /// Whether and how the postal code is found.
    pub postal_code: PostalCode,
    /// The fewest digits of a postal code.
    pub min_postal_code_length: Option<u8>,
    /// The connector's unique name.
    pub connector: String,
    /// What the gateway is to do.
    pub operation: Operation,
    /// The currency.
    pub currency: Currency,
    /// What kind of token is wanted, if one is made.
    pub token_type: TokenType,
    /// Free text for the gateway.
    pub description: Option<String>,
    /// The card brands that are taken.
    pub accepted: AcceptedBrands,
    /// Names and values for the gateway, in order.
    pub parameters: Vec<(String, String)>,
    /// Telnyx's `metadata`.
    pub metadata: Vec<(String, String)>,
    /// What is heard.
    pub prompts: PromptBook,
    /// Whether the last digits are read back before the gateway is asked.
    pub confirmation: bool,
    /// Telnyx's `paymentToken`: charge this, ask for nothing.
    pub payment_token: Option<Secret>,
}

/// Why a value was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where the attribute stands.
    pub position: Position,
    /// The attribute, the value, and what is allowed.
    pub message: String,
    /// Twilio's code for it.
    pub code: PayErrorCode,
    /// What a status callback's `ErrorType` says of it, if anything.
    pub error_type: Option<SessionError>,
}

impl Refusal {
    /// A value that is not allowed.
    #[must_use]
    pub const fn new(position: Position, message: String, code: PayErrorCode) -> Self {
        Self { position, message, code, error_type: None }
    }
}

/// Settings, and what was wrong with them.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Usable settings.
    pub settings: Settings,
    /// Bad values and misspelt names: with any of these the verb ends at once.
    pub refusals: Vec<Refusal>,
    /// Unknown attributes.
    pub warnings: Vec<Fault>,
}

impl Settings {
    /// The fields that are asked for, in order.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        // A given token is charged without a single question (spec/pay.md 1).
        if self.payment_token.is_some() {
            return Vec::new();
        }
        match self.payment_method {
            PaymentMethod::CreditCard => {
                // Postal code before security code: two vendors' pages list them so.
                let mut fields = vec![Field::CardNumber, Field::ExpirationDate];
                if self.postal_code == PostalCode::Asked {
                    fields.push(Field::PostalCode);
                }
                if self.security_code {
                    fields.push(Field::SecurityCode);
                }
                fields
            }
            PaymentMethod::AchDebit => vec![Field::RoutingNumber, Field::AccountNumber],
        }
    }

    /// The step it begins with.
    #[must_use]
    pub fn first_step(&self) -> Step {
        self.fields().first().map_or(Step::PaymentProcessing, |field| field.step())
    }

    /// Whether a card is asked for.
    #[must_use]
    pub const fn asks_for_card(&self) -> bool {
        matches!(self.payment_method, PaymentMethod::CreditCard)
    }
}
