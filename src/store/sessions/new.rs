//! A session as it is written down first.

use jiff::Timestamp;

use crate::flow::LedBy;

/// A session to write down.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The payment's id: `PK` and 32 hex digits.
    pub sid: String,
    /// The call.
    pub call_sid: String,
    /// The connector instance.
    pub connector: String,
    /// Who leads it.
    pub led_by: LedBy,
    /// `charge` or `tokenize`.
    pub operation: &'static str,
    /// What would be charged, in decimal notation with the currency's digits.
    pub amount: Option<String>,
    /// ISO 4217, lower case.
    pub currency: String,
    /// What token would be made.
    pub token_type: Option<&'static str>,
    /// `card`, `bank-account` or `token`.
    pub means: &'static str,
    /// When it began.
    pub begun: Timestamp,
    /// What is told of it should its server be gone.
    pub sealed: Vec<u8>,
}
