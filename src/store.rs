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

use jiff::Timestamp;
use uuid::Uuid;

use crate::clock::WallClock;
use crate::flow::Intended;
use crate::pay::gateway::RecoveryNote;
use crate::secret::Secret;

pub mod audit;
mod backend;
mod batch;
mod callbacks;
mod calls;
mod directory;
mod lease;
pub mod memory;
pub mod moment;
pub mod open;
mod payments;
mod presence;
mod record;
mod request;
mod seal;
mod sessions;
mod settings;
mod settling;
pub mod sql;
mod writable;

pub use backend::{
    Authorized, Backend, BackendError, CallbackFilter, CallbackRow, CallbackState, ConnectorRow, Inserted, NewCallback,
    NewPayment, NodeId, PaymentFilter, PaymentRow, PaymentState, PendingCallback, Recorded, Resealed, SentAgo,
    SettledPayment, Settling, Unsettled,
};
pub use calls::{CallBackend, CallFilter, CallPlaces, CallRow, CallStatus, Changes};
pub use lease::Epoch;
use lease::Lease;
pub use record::StoredShapeError;
pub use request::{CallbackKind, CallbackRequest};
pub use seal::{Opened, Seal, SealError, SealedPlace};
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
    Record(#[from] StoredShapeError),
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
    /// The one by a live call that cannot wait for the outcome to be written down, or finds that the store says otherwise.
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
    /// What the store says.
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
        let lease = Arc::new(Lease::new(backend.is_shared(), WallClock::System));
        let writable = Arc::<writable::Writable>::default();
        let batch = Arc::new(batch::Batch::new(Arc::clone(&writable)));
        Self { backend, seal: Arc::new(seal), node, keeper: node.keeper(), batch, writable, lease }
    }

    /// The same on a machine whose wall clock is this one.
    #[must_use]
    pub fn by_wall(self, wall_clock: WallClock) -> Self {
        Self { lease: Arc::new(Lease::new(self.backend.is_shared(), wall_clock)), ..self }
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

    /// Opens what is stored; seals it anew where it is not bound to its row.
    async fn opened(&self, sealed: &[u8], what: Resealed) -> Result<Secret, StoreError> {
        let Opened { text, is_bound } = self.seal.open(sealed, what.place())?;
        // Versions before 0.2 sealed without a place.
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
            let place = || SealedPlace::connector(&row.name);
            let Ok(Opened { text, is_bound: false }) = self.seal.open(&row.sealed, place()) else { continue };
            let bound = self.seal.close(&text, place())?;
            self.backend.reseal(Resealed::Connector(row.name.clone()), &row.sealed, bound.clone()).await?;
            row.sealed = bound;
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::Form;
    use crate::http::Jar;
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
        let (ours, now) = (store("our key"), WallClock::System.now());
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
