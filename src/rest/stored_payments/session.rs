//! A session whose gateway was not asked, for programs.

use serde::Serialize;
use utoipa::ToSchema;

use super::view::{CallbackView, PaymentStory};
use crate::store::{CallbackRow, SessionRow, SessionState};

/// A Pay session whose gateway was not asked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BookedSession)]
pub(crate) struct SessionView {
    /// The payment's id: `PK` and 32 hex digits.
    sid: String,
    /// The call.
    call_sid: String,
    /// The connector instance.
    connector: String,
    /// `document` or `agent`.
    led_by: String,
    /// `charge` or `tokenize`.
    operation: String,
    /// What would be charged, in decimal notation; null: a token is made.
    #[schema(required)]
    amount: Option<String>,
    /// ISO 4217, lower case.
    currency: String,
    /// What token would be made; null: it is a charge.
    #[schema(required)]
    token_type: Option<String>,
    /// What would pay: `card`, `bank-account` or `token`.
    means: String,
    state: SessionState,
    /// The word for how it ended, as `Result` says it; null: it has not ended.
    #[schema(required)]
    result: Option<String>,
    /// Twilio's code for how it ended, as `PayErrorCode` says it.
    #[schema(required)]
    error_code: Option<u16>,
    /// The same in words.
    #[schema(required)]
    error: Option<String>,
    /// When it began, RFC 3339.
    #[schema(format = DateTime)]
    begun: String,
    /// When it ended, RFC 3339; null: it has not.
    #[schema(required, format = DateTime)]
    ended: Option<String>,
}

impl SessionView {
    pub(crate) fn of(row: SessionRow) -> Self {
        Self {
            sid: row.sid,
            call_sid: row.call_sid,
            connector: row.connector,
            led_by: row.led_by,
            operation: row.operation,
            amount: row.amount,
            currency: row.currency,
            token_type: row.token_type,
            means: row.means,
            state: row.state,
            result: row.result,
            error_code: row.error_code,
            error: row.error,
            begun: row.begun.to_string(),
            ended: row.ended.map(|ended| ended.to_string()),
        }
    }
}

/// A session, and how its end is told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionStory {
    #[serde(flatten)]
    session: SessionView,
    /// The callbacks that tell its end, the oldest first. Delivered ones are forgotten in time.
    callbacks: Vec<CallbackView>,
}

impl SessionStory {
    pub(crate) fn of(row: SessionRow, callbacks: Vec<CallbackRow>) -> Self {
        let callbacks = callbacks.into_iter().map(CallbackView::of).collect();
        Self { session: SessionView::of(row), callbacks }
    }
}

/// What is known of a payment's id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Story {
    /// A payment in the store.
    Payment(PaymentStory),
    /// A session whose gateway was not asked.
    Session(SessionStory),
}
