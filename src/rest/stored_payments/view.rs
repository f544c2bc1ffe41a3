//! A payment in the store, for programs.

use serde::Serialize;
use utoipa::ToSchema;

use super::session::SessionView;
use crate::http::shown;
use crate::store::{CallbackRow, CallbackState, PaymentRow, PaymentState};

/// A page of stored payments.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BookedPage {
    /// The newest first.
    pub(super) payments: Vec<BookedPayment>,
    /// Where the next page is; null: there is none.
    #[schema(required)]
    pub(super) next: Option<String>,
    /// Sessions whose gateway was not asked, the newest first: open ones, and those that ended before. On a further page of
    /// payments, and where `state` is given, there are none.
    pub(super) sessions: Vec<SessionView>,
    /// Where the next page of sessions is; null: there is none.
    #[schema(required)]
    pub(super) next_sessions: Option<String>,
}

/// A payment in the store.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BookedPayment {
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
    /// What is charged, in decimal notation; null: a token is made.
    #[schema(required)]
    amount: Option<String>,
    /// ISO 4217, lower case.
    currency: String,
    /// What token is made; null: it is a charge.
    #[schema(required)]
    token_type: Option<String>,
    /// What pays: `card`, `bank-account` or `token`.
    means: String,
    /// The number as its mask; null: a token pays.
    #[schema(required)]
    masked_number: Option<String>,
    /// The card's brand; null: no card pays.
    #[schema(required)]
    card_type: Option<String>,
    state: PaymentState,
    /// The word for how it ended, as `Result` says it; null: it has not ended.
    #[schema(required)]
    result: Option<String>,
    /// Twilio's code for how it ended, as `PayErrorCode` says it.
    #[schema(required)]
    error_code: Option<u16>,
    /// The same in words.
    #[schema(required)]
    error: Option<String>,
    /// The charge's confirmation code.
    #[schema(required)]
    confirmation_code: Option<String>,
    /// How many submissions have left.
    sends: u32,
    /// When the first one left, RFC 3339; null: none has.
    #[schema(required, format = DateTime)]
    first_sent: Option<String>,
    /// When the last one left, RFC 3339.
    #[schema(required, format = DateTime)]
    last_sent: Option<String>,
    /// When it was written down, RFC 3339.
    #[schema(format = DateTime)]
    created: String,
    /// When it last changed, RFC 3339.
    #[schema(format = DateTime)]
    updated: String,
}

impl BookedPayment {
    pub(crate) fn of(row: PaymentRow) -> Self {
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
            masked_number: row.masked,
            card_type: row.brand,
            state: row.state,
            result: row.result,
            error_code: row.error_code,
            error: row.error,
            confirmation_code: row.confirmation_code,
            sends: row.sends,
            first_sent: row.first_sent.map(|moment| moment.to_string()),
            last_sent: row.last_sent.map(|moment| moment.to_string()),
            created: row.created.to_string(),
            updated: row.updated.to_string(),
        }
    }
}

/// A payment in the store, and how its outcome is told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaymentStory {
    #[serde(flatten)]
    payment: BookedPayment,
    /// The callbacks that tell its outcome, the oldest first. Delivered ones are forgotten in time.
    callbacks: Vec<CallbackView>,
}

impl PaymentStory {
    pub(crate) fn of(row: PaymentRow, callbacks: Vec<CallbackRow>) -> Self {
        let callbacks = callbacks.into_iter().map(CallbackView::of).collect();
        Self { payment: BookedPayment::of(row), callbacks }
    }
}

/// A stored callback.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredCallback)]
pub(crate) struct CallbackView {
    /// Its number.
    id: i64,
    /// The call.
    call_sid: String,
    /// The payment whose outcome it tells; null: none.
    #[schema(required)]
    payment_sid: Option<String>,
    /// `document`, `action`, `status` or `error`.
    kind: &'static str,
    /// Where it goes, without credentials, query and fragment.
    url: String,
    state: CallbackState,
    /// How often it was tried without success.
    tries: u32,
    /// What was in the way the last time.
    #[schema(required)]
    reason: Option<String>,
    /// When it was stored, or wanted anew, RFC 3339.
    #[schema(format = DateTime)]
    since: String,
    /// When it last changed, RFC 3339.
    #[schema(format = DateTime)]
    updated: String,
}

impl CallbackView {
    pub(crate) fn of(row: CallbackRow) -> Self {
        Self {
            id: row.id,
            call_sid: row.call_sid,
            payment_sid: row.payment_sid,
            kind: row.kind.word(),
            url: shown(&row.url),
            state: row.state,
            tries: row.tries,
            reason: row.reason,
            since: row.since.to_string(),
            updated: row.updated.to_string(),
        }
    }
}
