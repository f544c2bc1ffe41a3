//! What a database does for the store: rows in, rows out, one transaction a method.
//!
//! Shape:   [`Backend`] is implemented by `sql` and by [`super::memory`]; one set of tests runs over all of them.
//! Errors:  [`BackendError`], for the log: no value of a row is in it.
//! Secrets: what is called `sealed` or `note` is opaque here.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::calls::CallBackend;
use super::seal::Place;
use super::sessions::{NewSession, SessionBackend};
use super::writable::ProbeBackend;
use crate::flow::LedBy;
use crate::pay::outcome::Outcome;
use crate::pay::step::words;
use crate::store::CallbackKind;
use crate::store::audit::{AuditFilter, AuditRow, ConnectorChange, NewAudit};
use crate::twiml::Method;

/// Why a database did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// It cannot be reached, is full, or broke off; whether it was done is not known, so repeat it as it was.
    #[error("not usable now: {0}")]
    Unavailable(String),
    /// What is stored is not what this version writes, as of a later one; to repeat it does not help.
    #[error("what is stored cannot be read: {0}")]
    Unreadable(String),
    /// There is a row of that name.
    #[error("there is one of that name")]
    Duplicate,
    /// There is no such row, or it is not in a state for that.
    #[error("there is no such entry")]
    NotFound,
}

/// One run of a server, from its start to its end: whose a row is. Random and never used again, so that it is a fence too:
/// what a write in its name finds changed, somebody else has taken over since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub Uuid);

impl NodeId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// In whose name the same run holds what it has taken over from others. Kept apart from what its own calls wrote: after
    /// a claim whose answer was lost, it says what the claim took.
    #[must_use]
    pub fn keeper(self) -> Self {
        Self(Uuid::new_v5(&self.0, b"keeper"))
    }
}

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

/// A payment in the books.
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
    /// The books.
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
    /// books; its callbacks are stored all the same.
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
pub enum Booked {
    /// It is what the books say, and what the first requests tell.
    First,
    /// It is what the books say, after it was told that the outcome is unknown: the late requests tell it.
    Late,
    /// The books say something else, or leave it to somebody else: nothing of this outcome is told from there.
    Otherwise,
}

/// What writing an outcome down has brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settling {
    /// What became of the outcome.
    pub booked: Booked,
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
    pub fn place(&self) -> Place<'_> {
        match self {
            Self::Payment(sid) => Place::payment(sid),
            Self::PaymentNote(sid) => Place::payment_note(sid),
            Self::Callback(token) => Place::callback(*token),
            Self::Connector(name) => Place::connector(name),
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

type Done<'a, T> = BoxFuture<'a, Result<T, BackendError>>;

/// A database. Every method is one transaction, and durable when it returns `Ok`.
///
/// # Contract
/// - A write that failed with [`BackendError::Unavailable`] may have happened. Repeated as it was, it has happened once.
/// - A row that is claimed belongs to one node: two that claim at the same time never get the same row. A row is free to
///   be claimed when it has no node, or when its node is silent.
/// - A database that several servers share has the one clock that counts, its own. A node is silent when its last heartbeat
///   is older than [`super::GONE_AFTER`]; a node claims from silent ones only when its own heartbeats have come without a
///   gap of more than [`super::HEARTBEAT_GAP_MAX`] for at least [`super::GONE_AFTER`]: after an outage of the database
///   everybody is heard again before anybody is taken over. So a node never claims what is its own.
/// - A database that one server has to itself knows no silence: nothing is claimed but what is nobody's, whatever any clock
///   says, and what an earlier run left is nobody's as soon as the next one is registered.
/// - The callbacks of a call belong together: they are claimed together, in one claim. While open status
///   callbacks of a call are another node's that it may not claim from, a node gets none of that call; and a status callback that is stored while earlier
///   ones of its call are not its node's is nobody's, so that whoever has to see to those claims it too. That holds for its
///   node's own keeper: a claim whose answer is under way may have made them that, and nobody delivers them yet.
/// - An idempotency token never carries two results. A payment's known outcome never changes, the requests that tell it are
///   written down together with it and at no other time, and a token that is stored is never stored again.
pub trait Backend: SessionBackend + CallBackend + ProbeBackend + Send + Sync {
    /// Writes a payment down as `preparing`, `node`'s, and its session as `asked`. A known id is left as it is.
    /// [`BackendError::NotFound`] if the session has ended: it was told.
    fn insert_payment(&self, payment: NewPayment, node: NodeId, now: Timestamp) -> Done<'_, ()>;

    /// The `number`th submission is about to leave: `submitting`, the note if there is one, so many sends. Its moment is the
    /// database's own; `now`, where one server has the database to itself. [`BackendError::NotFound`] if the payment is not
    /// there, is not `node`'s, or has an outcome (`unknown` is none).
    fn mark_sending<'a>(
        &'a self,
        sid: &'a str,
        note: Option<Vec<u8>>,
        number: u32,
        node: NodeId,
        now: Timestamp,
    ) -> Done<'a, ()>;

    /// Writes an outcome down, also in its session's row, and inserts callbacks as `node`'s, or as nobody's (see the contract): those for a `first` outcome, or those for a `late` one
    /// if the payment was `unknown` and no longer is. Gives the callbacks that `node` has to see to.
    ///
    /// A payment that succeeded or failed stays as it is, and so does one that is not `payment.owner`'s, unless money was
    /// taken ([`Booked::Otherwise`]). The same outcome again is a repetition: nothing is inserted, and those callbacks are
    /// given that are `node`'s and not delivered. A known outcome's sealed intent and note are wiped; an unknown one's are
    /// kept for whoever finds it out.
    ///
    /// A session that has no payment has its first callbacks stored, unless it has ended otherwise, or another node has ended
    /// it. Whose they are says nothing: what is nobody's may be another's by the time an answer that was lost is asked for
    /// again.
    fn settle_payment(
        &self,
        payment: SettledPayment,
        first: Vec<NewCallback>,
        late: Vec<NewCallback>,
        node: NodeId,
        now: Timestamp,
    ) -> Done<'_, Settling>;

    /// Stores a callback as `node`'s, or as nobody's (see the contract); gives the known one with its token if there is one.
    /// [`BackendError::NotFound`] if it tells the progress of a session whose end is no longer `node`'s to tell: somebody else
    /// has taken it over, or told it.
    fn insert_callback(&self, callback: NewCallback, node: NodeId, now: Timestamp) -> Done<'_, Inserted>;

    /// Takes over, as `keeper`'s, all free callbacks that are `waiting` or `held` of the calls of the first `limit` of them,
    /// except of calls of which another node has open ones that are not free; `node` is not another one. Gives them in the
    /// order of their ids; all are `waiting` then. As every claim, it takes nothing while another one is under way.
    fn claim_callbacks(&self, keeper: NodeId, node: NodeId, limit: u32) -> Done<'_, Vec<PendingCallback>>;

    /// What `keeper` has claimed and is `waiting`, after this id, in the order of the ids.
    fn claimed_callbacks(&self, keeper: NodeId, after_id: i64, limit: u32) -> Done<'_, Vec<PendingCallback>>;

    /// A callback, if it is `waiting` or `held` and `node`'s or its keeper's. A status callback that was stored as theirs while
    /// somebody took over earlier ones of its call is nobody's from then on.
    fn open_callback(&self, id: i64, node: NodeId) -> Done<'_, Option<CallbackRow>>;

    /// Takes free payments over that are `preparing`, `submitting`, or `unknown` with an intent that is not wiped: the
    /// `unknown` ones last, the oldest first. `now` tells how long ago something was sent where one server has the database
    /// to itself.
    fn claim_payments(&self, node: NodeId, limit: u32, now: Timestamp) -> Done<'_, Vec<Unsettled>>;

    /// What `keeper` has claimed and may still be found out, after the payment of this id, the oldest first. `now` as in
    /// [`Self::claim_payments`].
    fn claimed_payments(
        &self,
        keeper: NodeId,
        after_sid: Option<String>,
        limit: u32,
        now: Timestamp,
    ) -> Done<'_, Vec<Unsettled>>;

    /// Nobody looks for a payment's outcome any more: its sealed intent and note are wiped, it stays `unknown`.
    /// [`BackendError::NotFound`] if it is in another state: it was not told yet.
    fn give_up_payment<'a>(&'a self, sid: &'a str, now: Timestamp) -> Done<'a, ()>;

    /// A callback was answered: its fields are wiped. [`BackendError::NotFound`] if it is not `node`'s or its keeper's: somebody else
    /// delivers it.
    fn mark_delivered(&self, id: i64, node: NodeId, now: Timestamp) -> Done<'_, ()>;

    /// The `number`th try failed; the callback stays `waiting`, or becomes so if it was `held`. [`BackendError::NotFound`]
    /// if it is not `node`'s or its keeper's, or is delivered: another try of it was answered, and its fields are wiped.
    fn mark_failed<'a>(&'a self, id: i64, reason: &'a str, number: u32, node: NodeId, now: Timestamp) -> Done<'a, ()>;

    /// A callback is given up. [`BackendError::NotFound`] as for [`Self::mark_failed`].
    fn mark_parked<'a>(&'a self, id: i64, reason: &'a str, node: NodeId, now: Timestamp) -> Done<'a, ()>;

    /// Parked callbacks are wanted again: `waiting`, nobody's, from `now` on, as if they had never been tried, so that those of
    /// a call come in their order. All of them if `ids` is none. Gives how many.
    fn retry_callbacks(&self, ids: Option<Vec<i64>>, now: Timestamp) -> Done<'_, u64>;

    /// Deletes delivered callbacks that last changed before `before`, some thousands at most. Gives how many.
    fn forget_delivered(&self, before: Timestamp) -> Done<'_, u64>;

    /// A server begins to run as `node`. What the run `ended` left, which is known to be over, is nobody's now; where one
    /// server has the database to itself, what any run left.
    fn register(&self, node: NodeId, ended: Option<NodeId>) -> Done<'_, ()>;

    /// `node` is there, and so is its [`NodeId::keeper`].
    fn heartbeat(&self, node: NodeId) -> Done<'_, ()>;

    /// Whether several servers use it: then each has a lease.
    fn is_shared(&self) -> bool;

    /// Everything that is `node`'s is nobody's.
    fn release(&self, node: NodeId) -> Done<'_, ()>;

    /// A payment.
    fn payment<'a>(&'a self, sid: &'a str) -> Done<'a, Option<PaymentRow>>;

    /// Payments, the newest first.
    fn payments(&self, filter: PaymentFilter) -> Done<'_, Vec<PaymentRow>>;

    /// Callbacks, the oldest first.
    fn callbacks(&self, filter: CallbackFilter) -> Done<'_, Vec<CallbackRow>>;

    /// How many callbacks are in a state.
    fn count_callbacks(&self, state: CallbackState) -> Done<'_, u64>;

    /// The stored connectors, by name.
    fn connectors(&self) -> Done<'_, Vec<ConnectorRow>>;

    /// A number that changes whenever a connector is added, changed or removed.
    fn connectors_revision(&self) -> Done<'_, i64>;

    /// The gateway no longer lets a stored connector in that is configured so. Nothing happens if there is none, if it is
    /// configured otherwise by now, or if that is known already.
    fn mark_withdrawn<'a>(&'a self, name: &'a str, sealed: &'a [u8], since: Timestamp) -> Done<'a, ()>;

    /// Changes a connector as [`ConnectorChange`] says, and writes down who did it, or neither.
    fn change_connector<'a>(
        &'a self,
        name: &'a str,
        change: ConnectorChange,
        audit: NewAudit,
        now: Timestamp,
    ) -> Done<'a, ()>;

    /// The audit trail, the newest first.
    fn audit(&self, filter: AuditFilter) -> Done<'_, Vec<AuditRow>>;

    /// Takes a random value that is used once, and forgets those that have expired. [`BackendError::Duplicate`] if it was
    /// taken before.
    fn use_nonce<'a>(&'a self, value: &'a str, expires: Timestamp, now: Timestamp) -> Done<'a, ()>;

    /// Puts `sealed` where `was` stood: the same text, sealed in another way. Nothing happens if something else stands there by
    /// now. To whoever looks, a connector has changed.
    fn reseal<'a>(&'a self, what: Resealed, was: &'a [u8], sealed: Vec<u8>) -> Done<'a, ()>;

    /// A small text kept under a name (`seal`: what shows that the key is the right one).
    fn note<'a>(&'a self, name: &'a str) -> Done<'a, Option<Vec<u8>>>;

    /// Keeps a small text under a name, unless there is one; gives the one that is there then.
    fn keep_note<'a>(&'a self, name: &'a str, text: Vec<u8>) -> Done<'a, Vec<u8>>;
}
