//! What outlives the process: connectors, payments, Pay sessions, calls, callbacks to send.
//!
//! Shape:   [`Store`] is the one type; behind it a [`Backend`]: SQLite or PostgreSQL (`sql`), or memory for the simulation.
//!          A method is one transaction: it happened whole or not at all, and what it says has happened is on disk.
//! Units:   wall-clock time, given by whoever calls; kept in milliseconds since 1970.
//! Limits:  lists come in pages of at most [`PAGE_MAX`]; a node that was not heard for [`GONE_AFTER`] is silent, by the clock of
//!          the database that it shares with others.
//! Errors:  [`StoreError`]. Every write can be repeated: it carries an id of its own and happens once.
//! Secrets: tokens, profile ids, recovery notes, whole addresses and credentials are sealed ([`Seal`]) before a backend sees them. Card
//!          numbers, security codes and account numbers never come here, in any form but their mask.
//! Sources: design.md, "A payment's path through disk".
//!
//! Invariant: the same idempotency token never carries two results. [`token`] makes one of a payment and an [`Occasion`]; what
//! the first and the late occasion tell is written down in one transaction with the outcome, which never changes after that;
//! what is told without the store is told by the call that made it: of a payment once, on an occasion of its own; of a session whose
//! gateway was not to be asked on the first one, which then is that call's alone: whoever takes the session over tells it late.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use crate::flow::{Intended, Settled, Telling};
use crate::http::{Jar, shown};
use crate::pay::gateway::RecoveryNote;
use crate::secret::Secret;
use crate::wall::Wall;

pub mod audit;
mod backend;
mod batch;
mod calls;
mod directory;
mod lease;
pub mod memory;
pub mod moment;
pub mod open;
mod record;
mod request;
mod seal;
mod sessions;
mod settings;
mod settling;
pub mod sql;
mod writable;

pub use backend::{
    Authorized, Backend, BackendError, Booked, CallbackFilter, CallbackRow, CallbackState, ConnectorRow, Inserted,
    NewCallback, NewPayment, NodeId, PaymentFilter, PaymentRow, PaymentState, PendingCallback, Resealed, SentAgo,
    SettledPayment, Settling, Unsettled,
};
pub use calls::{CallBackend, CallFilter, CallPlaces, CallRow, CallStatus, Changes};
pub use lease::Epoch;
use lease::Lease;
pub use record::RecordError;
pub use request::{CallbackKind, CallbackRequest};
pub use seal::{Opened, Place, Seal, SealError};
pub use sessions::{LeftSession, NewSession, SessionBackend, SessionFilter, SessionRow, SessionState};
pub use settings::{KEY_LENGTH_MIN, SecretKey, StoreSettings};
pub use writable::ProbeBackend;

/// The most rows of one page.
pub const PAGE_MAX: u32 = 1000;

/// How often a server says that it is there (spec/cluster.md, section 3).
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// How long after it was last heard others take over what a node left (spec/cluster.md, section 3).
pub const GONE_AFTER: Duration = Duration::from_secs(15);

/// The longest gap between two heartbeats without which a node counts as being there all the time. Our choice: a database that
/// was away for no longer kept nobody silent for [`GONE_AFTER`], with [`HEARTBEAT_EVERY`] before it and the [`HEARTBEAT_LIMIT`]
/// of one that was under way.
pub const HEARTBEAT_GAP_MAX: Duration = Duration::from_secs(7);

/// How long a heartbeat is waited for before it is tried again. Our choice: see [`HEARTBEAT_GAP_MAX`].
pub const HEARTBEAT_LIMIT: Duration = Duration::from_secs(2);

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be used now; trying again may help.
    #[error("the database: {0}")]
    Backend(#[from] BackendError),
    /// What is sealed cannot be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What is stored is not what this version writes.
    #[error("what is stored cannot be read: {0}")]
    Record(#[from] RecordError),
}

/// What is done with a stored callback first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is delivered as soon as its turn comes.
    No,
    /// The call makes the request itself; it is delivered from here only if that fails.
    Yes,
}

/// Which telling of a payment's outcome it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The one that every payment has.
    First,
    /// The one after the first said that the outcome is unknown; and the one by whoever took a session over that its own server may
    /// have told.
    Late,
    /// The one by a live call that cannot wait for the outcome to be written down, or finds that the books say otherwise.
    Unwritten,
}

/// In whose name a payment is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A live call's.
    Call,
    /// Of whoever finds out what others left.
    Keeper,
}

/// The idempotency token of the request that tells a payment's outcome: the same whoever makes the request, so that it is
/// stored once and an application can tell a repetition.
#[must_use]
pub fn token(payment_sid: &str, occasion: Occasion, kind: CallbackKind) -> Uuid {
    let occasion = match occasion {
        Occasion::First => "first",
        Occasion::Late => "late",
        Occasion::Unwritten => "unwritten",
    };
    let name = format!("{payment_sid} {occasion} {}", kind.word());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

/// A callback with its place in the store.
#[derive(Clone, Debug)]
pub struct StoredCallback {
    /// Its place in the order in which callbacks were stored.
    pub id: i64,
    /// The idempotency token, the same for every try.
    pub token: Uuid,
    /// The call.
    pub call_sid: String,
    /// Whether its call makes the request itself.
    pub held: bool,
    /// How often it was tried without success.
    pub tries: u32,
    /// Whether it was tried at all, or parked before.
    pub was_tried: bool,
    /// When it was stored, or wanted anew by a person: from then on it is tried.
    pub since: Timestamp,
    /// From before it was known to be this server's.
    pub epoch: Epoch,
    /// The request.
    pub request: CallbackRequest,
}

/// A payment whose outcome is not known, as it was written down.
#[derive(Debug)]
pub struct Open {
    /// What the books say.
    pub row: PaymentRow,
    /// When submissions left; none: none ever did.
    pub sent: Option<SentAgo>,
    /// What its outcome is told with.
    pub intended: Intended,
    /// What the connector noted.
    pub note: Option<RecoveryNote>,
}

/// The store of one server process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    seal: Arc<Seal>,
    /// Whose this process's calls' rows are.
    node: NodeId,
    /// Whose the rows are that this process took over ([`NodeId::keeper`]).
    keeper: NodeId,
    /// Calls and sessions that are to be written down.
    batch: Arc<batch::Batch>,
    /// What the last write found.
    writable: Arc<writable::Writable>,
    lease: Arc<Lease>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Store {
    /// A store on `backend`, whose secrets are sealed with `seal`, used by `node`.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, seal: Seal, node: NodeId) -> Self {
        let lease = Arc::new(Lease::new(backend.is_shared(), Wall::System));
        let writable = Arc::<writable::Writable>::default();
        let batch = Arc::new(batch::Batch::new(Arc::clone(&writable)));
        Self { backend, seal: Arc::new(seal), node, keeper: node.keeper(), batch, writable, lease }
    }

    /// The same on a machine whose wall clock is this one.
    #[must_use]
    pub fn by_wall(self, wall: Wall) -> Self {
        Self { lease: Arc::new(Lease::new(self.backend.is_shared(), wall)), ..self }
    }

    const fn holder(&self, holder: Holder) -> NodeId {
        match holder {
            Holder::Call => self.node,
            Holder::Keeper => self.keeper,
        }
    }

    /// A store that lasts as long as the process: for a phone in the terminal, and for tests.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn in_memory() -> Result<Self, SealError> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(|error| SealError::Random(error.to_string()))?;
        Ok(Self::new(Arc::new(memory::Memory::default()), Seal::of_bytes(&key)?, NodeId::random()))
    }

    /// The database, for what is not a call's: connectors.
    #[must_use]
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// What seals secrets.
    #[must_use]
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Writes down that a gateway is about to be asked, for a session that began at `begun`.
    ///
    /// # Errors
    /// [`StoreError`]: then it must not be asked.
    pub async fn intend(&self, intended: &Intended, begun: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let sealed = self.seal.close(&record::intended(intended), Place::payment(&intended.payment.sid))?;
        let payment = record::new_payment(intended, begun, sealed);
        self.seen(self.backend.insert_payment(payment, self.node, now).await)
    }

    /// Writes down that the `number`th submission is about to leave.
    ///
    /// # Errors
    /// [`StoreError`]: then it must not leave. [`BackendError::NotFound`] if somebody else has taken the payment over.
    pub async fn sending(
        &self,
        sid: &str,
        note: Option<&RecoveryNote>,
        number: u32,
        holder: Holder,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let close = |note: &RecoveryNote| self.seal.close(&Secret::new(note.0.clone()), Place::payment_note(sid));
        let note = note.map(close).transpose()?;
        self.seen(self.backend.mark_sending(sid, note, number, self.holder(holder), now).await)
    }

    /// Writes an outcome down and queues what is to be told of it, at once. A second settlement of a payment queues nothing
    /// new, unless the first one was `unknown` and this one is not: then the application is told once more, by the status
    /// callback if there is one, else by the action. A call that makes the action request itself makes that one too.
    /// `session`: what was noted when it began.
    ///
    /// # Errors
    /// [`StoreError`]: try again.
    pub async fn settle(
        &self,
        settled: &Settled,
        session: Option<Arc<NewSession>>,
        hold_action: Hold,
        holder: Holder,
        call_sid: &str,
        now: Timestamp,
    ) -> Result<(Booked, Vec<StoredCallback>), StoreError> {
        let sid = &settled.payment.sid;
        let held = if hold_action == Hold::Yes { CallbackState::Held } else { CallbackState::Waiting };
        let first = self.tellings(settled, Occasion::First, held, call_sid)?;
        let mut late = self.tellings(settled, Occasion::Late, held, call_sid)?;
        if hold_action == Hold::No {
            // By the status callback, and by the action where there is none.
            late.truncate(1);
        }
        let outcome = settled.outcome.clone();
        let payment = SettledPayment { sid: sid.clone(), outcome, owner: self.holder(holder), session };
        let epoch = self.epoch();
        let settling = self.seen(self.backend.settle_payment(payment, first, late, self.node, now).await)?;
        let Settling { booked, callbacks } = settling;
        if booked == Booked::Otherwise {
            tracing::error!(
                payment = sid,
                call_sid,
                standing = settled.outcome.standing.word(),
                "an outcome is not what the books say; another server has seen to this payment"
            );
        }
        let callbacks = callbacks.into_iter().map(|row| self.stored_callback(row, epoch)).collect::<Result<_, _>>()?;
        Ok((booked, callbacks))
    }

    /// What tells an outcome: the status callback, then the action request, which starts as `action` says.
    fn tellings(
        &self,
        settled: &Settled,
        occasion: Occasion,
        action: CallbackState,
        call_sid: &str,
    ) -> Result<Vec<NewCallback>, StoreError> {
        let sid = &settled.payment.sid;
        let new = |telling: &Telling, kind, state| {
            let Telling { method, form, .. } = telling.clone();
            let url = telling.url.to_string();
            let cookies = settled.cookies.as_ref().map(|text| Jar::of_text(text).snapshot(&url)).unwrap_or_default();
            let request = CallbackRequest { kind, method, url, form, cookies };
            let row = self.new_callback(&request, token(sid, occasion, kind), call_sid, state)?;
            Ok(NewCallback { payment_sid: Some(sid.clone()), ..row })
        };
        let status = settled.status.iter().map(|telling| new(telling, CallbackKind::Status, CallbackState::Waiting));
        status.chain(settled.action.iter().map(|telling| new(telling, CallbackKind::Action, action))).collect()
    }

    /// Reads what became of an outcome of which nobody knows whether it was written down. None: the books do not say it.
    ///
    /// # Errors
    /// [`StoreError`]: still nobody knows.
    pub async fn look_up(&self, settled: &Settled) -> Result<Option<Booked>, StoreError> {
        let sid = &settled.payment.sid;
        let row = self.backend.payment(sid).await?;
        let filter = CallbackFilter { payment_sid: Some(sid.clone()), limit: PAGE_MAX, ..CallbackFilter::default() };
        let callbacks = self.backend.callbacks(filter).await?;
        let is_stored = |occasion| {
            let tokens = [CallbackKind::Status, CallbackKind::Action].map(|kind| token(sid, occasion, kind));
            callbacks.iter().any(|row| tokens.contains(&row.token))
        };
        Ok(match row {
            Some(row) if !settling::says(&row, &settled.outcome) => None,
            Some(_) if is_stored(Occasion::Late) => Some(Booked::Late),
            Some(_) => Some(Booked::First),
            None => match self.backend.session(sid).await? {
                Some(row) if row.state != SessionState::Ended => None,
                Some(row) if row.says(&settled.outcome) => Some(Booked::First),
                Some(_) => Some(Booked::Otherwise),
                // One that nobody noted: whether its callbacks are stored does not say who has told it.
                None => None,
            },
        })
    }

    /// Queues a callback. None: earlier ones of its call are not this process's to deliver, and so it is not either.
    ///
    /// # Errors
    /// [`StoreError`]: try again with the same token.
    pub async fn queue(
        &self,
        call_sid: &str,
        request: &CallbackRequest,
        token: Uuid,
        now: Timestamp,
    ) -> Result<Option<StoredCallback>, StoreError> {
        self.queue_progress(call_sid, None, request, token, now).await
    }

    /// The same for a callback that tells the progress of a session.
    ///
    /// # Errors
    /// As for [`Self::queue`]; [`BackendError::NotFound`] if the session's end is another server's to tell by now.
    pub async fn queue_progress(
        &self,
        call_sid: &str,
        session_sid: Option<&str>,
        request: &CallbackRequest,
        token: Uuid,
        now: Timestamp,
    ) -> Result<Option<StoredCallback>, StoreError> {
        let (row, epoch) = (self.new_callback(request, token, call_sid, CallbackState::Waiting)?, self.epoch());
        let row = NewCallback { progress_of: session_sid.map(str::to_owned), ..row };
        let Inserted { id, is_own } = self.seen(self.backend.insert_callback(row, self.node, now).await)?;
        let (call_sid, request) = (call_sid.to_owned(), request.clone());
        let (held, tries, was_tried, since) = (false, 0, false, now);
        Ok(is_own.then(|| StoredCallback { id, token, call_sid, held, tries, was_tried, since, epoch, request }))
    }

    /// Takes over waiting callbacks that are nobody's or whose node is gone: all of the calls of the oldest `limit` of them
    /// ([`Backend::claim_callbacks`]).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_callbacks(&self, limit: u32) -> Result<Vec<PendingCallback>, StoreError> {
        Ok(self.backend.claim_callbacks(self.keeper, self.node, limit.min(PAGE_MAX)).await?)
    }

    /// What this process has claimed and not delivered, after this id: what a claim took whose answer was lost is among it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claimed_callbacks(&self, after_id: i64, limit: u32) -> Result<Vec<PendingCallback>, StoreError> {
        Ok(self.backend.claimed_callbacks(self.keeper, after_id, limit.min(PAGE_MAX)).await?)
    }

    /// A callback whose turn has come. None: it is not this process's to deliver any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_callback(&self, id: i64) -> Result<Option<StoredCallback>, StoreError> {
        let row = self.backend.open_callback(id, self.node).await?;
        match row {
            Some(row) => Ok(Some(self.claimed_callback(row).await?)),
            None => Ok(None),
        }
    }

    /// A callback of this process was answered ([`Backend::mark_delivered`]).
    pub fn mark_delivered(&self, id: i64, now: Timestamp) -> BoxFuture<'_, Result<(), BackendError>> {
        self.backend.mark_delivered(id, self.node, now)
    }

    /// The `number`th try of a callback of this process failed ([`Backend::mark_failed`]).
    pub fn mark_failed<'a>(
        &'a self,
        id: i64,
        reason: &'a str,
        number: u32,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.backend.mark_failed(id, reason, number, self.node, now)
    }

    /// A callback of this process is given up ([`Backend::mark_parked`]).
    pub fn mark_parked<'a>(
        &'a self,
        id: i64,
        reason: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.backend.mark_parked(id, reason, self.node, now)
    }

    /// Takes over payments without an outcome that are nobody's or whose node is gone, at most `limit`: those being
    /// asked for, then those unknown that may still be found out ([`Backend::claim_payments`]).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_payments(&self, limit: u32, now: Timestamp) -> Result<Vec<Open>, StoreError> {
        let rows = self.backend.claim_payments(self.keeper, limit.min(PAGE_MAX), now).await?;
        Ok(self.read_payments(rows).await)
    }

    /// What this process has claimed and may still be found out, after the payment of this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claimed_payments(
        &self,
        after_sid: Option<String>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Open>, StoreError> {
        let rows = self.backend.claimed_payments(self.keeper, after_sid, limit.min(PAGE_MAX), now).await?;
        Ok(self.read_payments(rows).await)
    }

    async fn read_payments(&self, rows: Vec<Unsettled>) -> Vec<Open> {
        let mut open = Vec::new();
        for payment in rows {
            let sid = payment.row.sid.clone();
            match self.read_payment(payment).await {
                Ok(payment) => open.push(payment),
                // It stays as it is, for a person: nobody can say whom to tell.
                Err(error) => tracing::error!(payment = sid, %error, "a payment without an outcome cannot be read"),
            }
        }
        open
    }

    async fn read_payment(&self, unsettled: Unsettled) -> Result<Open, StoreError> {
        let Unsettled { row, sent, sealed, note } = unsettled;
        let text = self.opened(&sealed, Resealed::Payment(row.sid.clone())).await?;
        let intended = record::read_intended(&text)?;
        let note = match note {
            Some(note) => Some(self.opened(&note, Resealed::PaymentNote(row.sid.clone())).await?),
            None => None,
        };
        Ok(Open { row, sent, intended, note: note.map(|note| RecoveryNote(note.expose().to_owned())) })
    }

    /// Opens what is stored; seals it anew where it is not bound to its row.
    async fn opened(&self, sealed: &[u8], what: Resealed) -> Result<Secret, StoreError> {
        let Opened { text, is_bound } = self.seal.open(sealed, what.place())?;
        if !is_bound {
            let bound = self.seal.close(&text, what.place())?;
            self.backend.reseal(what, sealed, bound).await?;
        }
        Ok(text)
    }

    /// The stored connectors, by name, each sealed for its row, if it can be read at all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn connectors(&self) -> Result<Vec<ConnectorRow>, StoreError> {
        let mut rows = self.backend.connectors().await?;
        for row in &mut rows {
            let place = Place::connector(&row.name);
            let Ok(Opened { text, is_bound: false }) = self.seal.open(&row.sealed, place.clone()) else { continue };
            let bound = self.seal.close(&text, place)?;
            self.backend.reseal(Resealed::Connector(row.name.clone()), &row.sealed, bound.clone()).await?;
            row.sealed = bound;
        }
        Ok(rows)
    }

    /// Begins to run. What the run `ended` left is anybody's; of a database that this server has to itself, what any did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn register(&self, ended: Option<NodeId>) -> Result<(), StoreError> {
        Ok(self.backend.register(self.node, ended).await?)
    }

    /// Says that this node is there. To be done every [`HEARTBEAT_EVERY`], by itself.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heartbeat(&self) -> Result<(), StoreError> {
        let begun = self.lease.now();
        self.writable.tried(self.backend.heartbeat(self.node).await)?;
        self.lease.renew(begun);
        Ok(())
    }

    /// Until when what this server holds now is certainly its own.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.lease.epoch()
    }

    /// Whether what was this server's in an epoch certainly still is.
    #[must_use]
    pub fn holds_since(&self, epoch: Epoch) -> bool {
        self.lease.is_fresh_in(epoch)
    }

    /// Waits until somebody has heard of this server lately: whom nobody hears must not do what others may be doing in its
    /// place. What is its own in the books after that is so in this epoch.
    pub async fn heard(&self) -> Epoch {
        self.lease.fresh().await
    }

    /// Waits until others may begin what this server has under way, because nobody has heard of it for too long.
    pub async fn lapsed(&self) {
        self.lease.lapsed().await;
    }

    /// Whether a submission may leave that was written down in `epoch` ([`Self::sending`]). Where nobody heard of this server
    /// since, that is written down again: somebody else may have taken the payment over, and asked about it.
    ///
    /// # Errors
    /// [`StoreError`]: then it must not leave.
    pub async fn still_sending(
        &self,
        (epoch, holder): (Epoch, Holder),
        sid: &str,
        note: Option<&RecoveryNote>,
        number: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut epoch = epoch;
        while !self.holds_since(epoch) {
            epoch = self.heard().await;
            self.sending(sid, note, number, holder, now).await?;
        }
        Ok(())
    }

    /// Whether an action request that a call makes itself, and that was written down in `epoch`, is still this server's to
    /// make: somebody else may have taken it over since, where nobody heard of this server.
    ///
    /// # Errors
    /// [`StoreError`]: nobody knows.
    pub async fn still_holds(&self, epoch: Epoch, payment_sid: &str, token: Uuid) -> Result<bool, StoreError> {
        if self.holds_since(epoch) {
            return Ok(true);
        }
        self.heard().await;
        let payment_sid = Some(payment_sid.to_owned());
        let filter = CallbackFilter { payment_sid, limit: PAGE_MAX, ..CallbackFilter::default() };
        let rows = self.backend.callbacks(filter).await?;
        let Some(row) = rows.iter().find(|row| row.token == token) else { return Ok(false) };
        Ok(self.backend.open_callback(row.id, self.node).await?.is_some())
    }

    /// Gives back what this run has not done: it works on nothing of it any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release_own(&self) -> Result<(), StoreError> {
        self.backend.release(self.node).await?;
        Ok(self.backend.release(self.keeper).await?)
    }

    /// The request of a callback that was stored before.
    async fn claimed_callback(&self, row: CallbackRow) -> Result<StoredCallback, StoreError> {
        let (sealed, epoch) = (row.sealed.clone().ok_or(RecordError::Shape)?, self.epoch());
        self.opened(&sealed, Resealed::Callback(row.token)).await?;
        self.stored_callback(row, epoch)
    }

    /// The request of a stored callback.
    fn stored_callback(&self, row: CallbackRow, epoch: Epoch) -> Result<StoredCallback, StoreError> {
        let sealed = row.sealed.as_ref().ok_or(RecordError::Shape)?;
        let Opened { text, .. } = self.seal.open(sealed, Place::callback(row.token))?;
        let (url, form, cookies) = record::read_request(&text)?;
        let CallbackRow { id, token, call_sid, tries, reason, since, kind, method, .. } = row;
        let (held, was_tried) = (row.state == CallbackState::Held, tries > 0 || reason.is_some());
        let request = CallbackRequest { kind, method, url, form, cookies };
        Ok(StoredCallback { id, token, call_sid, held, tries, was_tried, since, epoch, request })
    }

    fn new_callback(
        &self,
        request: &CallbackRequest,
        token: Uuid,
        call_sid: &str,
        state: CallbackState,
    ) -> Result<NewCallback, StoreError> {
        Ok(NewCallback {
            token,
            call_sid: call_sid.to_owned(),
            payment_sid: None,
            progress_of: None,
            kind: request.kind,
            method: request.method,
            // An address may hold a password.
            url: shown(&request.url),
            sealed: self.seal.close(&record::request(request), Place::callback(token))?,
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::Form;
    use crate::twiml::Method;

    fn request(url: &str) -> CallbackRequest {
        let mut form = Form::new();
        form.set("PaymentToken", Secret::new("tok_1".to_owned()));
        let (url, cookies) = (url.to_owned(), Jar::default());
        CallbackRequest { kind: CallbackKind::Status, method: Method::Post, url, form, cookies }
    }

    #[tokio::test]
    async fn an_address_is_kept_as_it_may_be_shown_and_whole_only_under_the_seal() {
        let backend: Arc<dyn Backend> = Arc::new(memory::Memory::default());
        let store = |key: &str| {
            let seal = Seal::new(&Secret::new(key.to_owned())).unwrap();
            Store::new(Arc::clone(&backend), seal, NodeId::random())
        };
        let (ours, now) = (store("our key"), Wall::System.now());
        ours.queue("CA2", &request("https://shop:hunter2@b.example/?key=hunter2"), Uuid::new_v4(), now).await.unwrap();
        let heir = store("our key");
        heir.register(None).await.unwrap();
        let claimed = heir.claim_callbacks(10).await.unwrap();
        let [callback] = &claimed[..] else { panic!("{claimed:?}") };
        assert_eq!((callback.call_sid.as_str(), callback.url.as_str()), ("CA2", "https://b.example/"));
        assert!(ours.open_callback(callback.id).await.unwrap().is_none(), "it is another's by now");
        let callback = heir.open_callback(callback.id).await.unwrap().unwrap();
        let token = callback.request.form.value("PaymentToken").unwrap();
        assert_eq!((token.expose(), callback.was_tried), ("tok_1", false));
        assert!(!format!("{:?}", callback.request.form).contains("tok_1"));
        assert_eq!(callback.request.url, "https://shop:hunter2@b.example/?key=hunter2");
        let rows = backend.callbacks(CallbackFilter { limit: 10, ..CallbackFilter::default() }).await.unwrap();
        assert!(rows.len() == 1 && !format!("{rows:?}").contains("hunter2"));
    }
}
