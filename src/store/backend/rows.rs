//! The rows of payments, callbacks and connectors, and what is asked about them.
//!
//! Secrets: what is called `sealed` or `note` is opaque here.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::NodeId;
use crate::flow::LedBy;
use crate::pay::outcome::Outcome;
use crate::pay::step::words;
use crate::store::request::CallbackKind;
use crate::store::seal::SealedPlace;
use crate::store::sessions::NewSession;
use crate::twiml::Method;

words! {
    /// How far a payment is.
    PaymentState {
        /// It was written down; nothing that moves money has left.
        Preparing = "preparing",
        /// A submission has left or is about to.
        Submitting = "submitting",
        /// Money moved, or a token was made.
        Succeeded = "succeeded",
        /// Nothing was taken.
        Failed = "failed",
        /// Nobody knows.
        Unknown = "unknown",
    }
}

words! {
    /// How far a callback is.
    CallbackState {
        /// To be delivered.
        Waiting = "waiting",
        /// Its call makes the request itself.
        Held = "held",
        /// Answered. Its fields are kept no longer.
        Delivered = "delivered",
        /// Given up until a person wants it tried again.
        Parked = "parked",
    }
}

/// A payment to write down.
#[derive(Clone, Debug)]
pub struct NewPayment {
    /// `PK` and 32 hex digits.
    pub sid: String,
    /// The call.
    pub call_sid: String,
    /// The connector instance.
    pub connector: String,
    /// Who leads it.
    pub led_by: LedBy,
    /// `charge` or `tokenize`.
    pub operation: &'static str,
    /// What is charged, in decimal notation with the currency's digits.
    pub amount: Option<String>,
    /// ISO 4217, lower case as Twilio writes it.
    pub currency: String,
    /// What token is made.
    pub token_type: Option<&'static str>,
    /// `card`, `bank-account` or `token`.
    pub means: &'static str,
    /// The number as its mask.
    pub masked: Option<String>,
    /// The card's brand.
    pub brand: Option<String>,
    /// When its session began.
    pub begun: Timestamp,
    /// What the outcome is told with.
    pub sealed: Vec<u8>,
}

/// A payment in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRow {
    /// `PK` and 32 hex digits.
    pub sid: String,
    /// The call.
    pub call_sid: String,
    /// The connector instance.
    pub connector: String,
    /// Who leads it: `document` or `agent`.
    pub led_by: String,
    /// `charge` or `tokenize`.
    pub operation: String,
    /// What is charged, in decimal notation with the currency's digits.
    pub amount: Option<String>,
    /// ISO 4217, lower case.
    pub currency: String,
    /// What token is made.
    pub token_type: Option<String>,
    /// `card`, `bank-account` or `token`.
    pub means: String,
    /// The number as its mask.
    pub masked: Option<String>,
    /// The card's brand.
    pub brand: Option<String>,
    /// How far it is.
    pub state: PaymentState,
    /// The word for how it ended (spec/pay.md, section 6).
    pub result: Option<String>,
    /// Twilio's code for how it ended.
    pub error_code: Option<u16>,
    /// The same in words.
    pub error: Option<String>,
    /// The charge's confirmation code.
    pub confirmation_code: Option<String>,
    /// How many submissions have left.
    pub sends: u32,
    /// When the first one left.
    pub first_sent: Option<Timestamp>,
    /// When the last one left.
    pub last_sent: Option<Timestamp>,
    /// When it was written down.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

/// How long ago submissions of a payment left, by the clock that wrote it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentAgo {
    /// The first one.
    pub first: Duration,
    /// The last one.
    pub last: Duration,
}

impl SentAgo {
    /// Of what a row says, at `now` by the same clock. Where that clock was set back, the first one left as long ago as can
    /// be and the last one just now: nothing is repeated and nothing is believed too early.
    #[must_use]
    pub fn at(now: Timestamp, row: &PaymentRow) -> Option<Self> {
        let ago = |moment: Timestamp| Duration::try_from(now.duration_since(moment)).ok();
        let (first, last) = row.first_sent.zip(row.last_sent)?;
        Some(Self { first: ago(first).unwrap_or(Duration::MAX), last: ago(last).unwrap_or_default() })
    }
}

/// A payment without an outcome.
#[derive(Clone, Debug)]
pub struct Unsettled {
    /// Its row.
    pub row: PaymentRow,
    /// When submissions left; none: none ever did.
    pub sent: Option<SentAgo>,
    /// What the outcome is told with.
    pub sealed: Vec<u8>,
    /// What the connector noted.
    pub note: Option<Vec<u8>>,
}

/// An outcome to write down.
#[derive(Clone, Debug)]
pub struct SettledPayment {
    /// The payment. There may be none of this id: a session that ended before a gateway was to be asked is not in the
    /// store; its callbacks are stored all the same.
    pub sid: String,
    /// The outcome.
    pub outcome: Outcome,
    /// Whose the payment has to be. What somebody else has taken over is theirs to find out; but that money was taken is
    /// true whoever says so.
    pub owner: NodeId,
    /// The session as it was noted when it began, for the case that it is not written down yet.
    pub session: Option<Arc<NewSession>>,
}

/// What became of an outcome that was to be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is what the store says, and what the first requests tell.
    First,
    /// It is what the store says, after it was told that the outcome is unknown: the late requests tell it.
    Late,
    /// The store says something else, or leaves it to somebody else: nothing of this outcome is told from there.
    Otherwise,
}

/// What writing an outcome down has brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settling {
    /// What became of the outcome.
    pub recorded: Recorded,
    /// The callbacks that the writer has to see to.
    pub callbacks: Vec<CallbackRow>,
}

/// A callback to write down.
#[derive(Clone, Debug)]
pub struct NewCallback {
    /// Its idempotency token: one that is known already is not stored again.
    pub token: Uuid,
    /// The call.
    pub call_sid: String,
    /// The payment whose outcome it tells, if it does.
    pub payment_sid: Option<String>,
    /// The session whose progress it tells, if it does.
    pub progress_of: Option<String>,
    /// What it is for.
    pub kind: CallbackKind,
    /// How.
    pub method: Method,
    /// Where, without credentials and query.
    pub url: String,
    /// The whole address and the fields.
    pub sealed: Vec<u8>,
    /// Where it starts: `Waiting` or `Held`.
    pub state: CallbackState,
}

/// A stored callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackRow {
    /// Its place in the order in which callbacks were stored.
    pub id: i64,
    /// Its idempotency token.
    pub token: Uuid,
    /// The call.
    pub call_sid: String,
    /// The payment whose outcome it tells, if it does.
    pub payment_sid: Option<String>,
    /// What it is for.
    pub kind: CallbackKind,
    /// How.
    pub method: Method,
    /// Where, without credentials and query.
    pub url: String,
    /// The whole address and the fields; none once it was delivered.
    pub sealed: Option<Vec<u8>>,
    /// How far it is.
    pub state: CallbackState,
    /// How often it was tried without success.
    pub tries: u32,
    /// What was in the way the last time.
    pub reason: Option<String>,
    /// When it was stored, or wanted anew.
    pub since: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

/// A callback that is to be delivered, without its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCallback {
    /// Its place in the order in which callbacks were stored.
    pub id: i64,
    /// The call.
    pub call_sid: String,
    /// What it is for.
    pub kind: CallbackKind,
    /// Where, without credentials and query.
    pub url: String,
    /// How often it was tried without success.
    pub tries: u32,
    /// Whether it was tried at all, or parked before.
    pub was_tried: bool,
    /// When it was stored, or wanted anew.
    pub since: Timestamp,
}

/// A callback that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// Its place in the order in which callbacks were stored.
    pub id: i64,
    /// Whether the node that stored it has to see to it.
    pub is_own: bool,
}

/// A connector instance in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorRow {
    /// Its unique name.
    pub name: String,
    /// Its configuration as JSON, sealed.
    pub sealed: Vec<u8>,
    /// Since when the gateway no longer lets it in (64009).
    pub withdrawn: Option<Timestamp>,
    /// When it was added.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

/// What is sealed anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resealed {
    /// A payment's intent, by the payment's id.
    Payment(String),
    /// A payment's note, by the payment's id.
    PaymentNote(String),
    /// A callback's address and fields, by its token.
    Callback(Uuid),
    /// A connector's configuration, by its name.
    Connector(String),
}

impl Resealed {
    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> SealedPlace<'_> {
        match self {
            Self::Payment(sid) => SealedPlace::payment(sid),
            Self::PaymentNote(sid) => SealedPlace::payment_note(sid),
            Self::Callback(token) => SealedPlace::callback(*token),
            Self::Connector(name) => SealedPlace::connector(name),
        }
    }
}

/// What a change of a connector is to its authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorized {
    /// Nothing.
    AsBefore,
    /// New credentials.
    Anew,
}

/// Which payments are listed, the newest first.
#[derive(Clone, Debug, Default)]
pub struct PaymentFilter {
    /// Only those of this call.
    pub call_sid: Option<String>,
    /// Only those in this state.
    pub state: Option<PaymentState>,
    /// Only those of this connector.
    pub connector: Option<String>,
    /// Only those written down at or after this moment.
    pub from: Option<Timestamp>,
    /// Only those written down before this moment.
    pub before: Option<Timestamp>,
    /// Only those after the one of this id in the list: the last one of the page before.
    pub after_sid: Option<String>,
    /// How many at most.
    pub limit: u32,
}

/// Which callbacks are listed, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct CallbackFilter {
    /// Only those of this call.
    pub call_sid: Option<String>,
    /// Only those that tell this payment's outcome.
    pub payment_sid: Option<String>,
    /// Only those in this state.
    pub state: Option<CallbackState>,
    /// Only those after this one: the last one of the page before.
    pub after_id: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

impl CallbackFilter {
    /// Those that tell this payment's outcome, at most `limit`.
    #[must_use]
    pub fn of_payment(sid: &str, limit: u32) -> Self {
        Self { payment_sid: Some(sid.to_owned()), limit, ..Self::default() }
    }
}
