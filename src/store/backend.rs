//! What a database does for the store: rows in, rows out, one transaction a method.
//!
//! Shape:   [`Backend`] is implemented by `sql` and by [`super::memory`]; one set of tests runs over all of them.
//! Errors:  [`BackendError`], for the log: no value of a row is in it.
//! Secrets: what is called `sealed` or `note` is opaque here.

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::calls::CallBackend;
use super::sessions::SessionBackend;
use super::writable::ProbeBackend;
use crate::store::audit::{AuditFilter, AuditRow, ConnectorChange, NewAudit};

mod error;
mod rows;

pub use error::{BackendError, NodeId};
pub use rows::{
    Authorized, CallbackFilter, CallbackRow, CallbackState, ConnectorRow, Inserted, NewCallback, NewPayment,
    PaymentFilter, PaymentRow, PaymentState, PendingCallback, Recorded, Resealed, SentAgo, SettledPayment, Settling,
    Unsettled,
};

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
    /// taken ([`Recorded::Otherwise`]). The same outcome again is a repetition: nothing is inserted, and those callbacks are
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
