//! SQLite and PostgreSQL, with one set of queries.
//!
//! Shape:   [`Sql`] is a [`Backend`]. The queries go through sqlx's `Any`, whose `$1` both databases take; what differs is
//!          [`SqlDialect`]: how a transaction begins, whether rows are locked, and two lines of the tables' definition.
//!          Reads go to lent connections. So do writes on PostgreSQL, on SQLite to one writer (`work`). What keeps a server among
//!          the others (heartbeats, claims) has connections of its own on PostgreSQL: it waits for no payment.
//! Units:   milliseconds since 1970.
//! Limits:  [`POSTGRES_CONNECTIONS`], [`UPKEEP_CONNECTIONS`], [`SQLITE_READERS`]; those of `work`; on PostgreSQL those of
//!          [`POSTGRES_SETTINGS`], which hold when this server does not answer any more.
//! Errors:  [`OpenDatabaseError`] at the start, [`BackendError`] later; neither has a value of a row or a part of the URL.
//! Secrets: what is sealed stays so; a file is made for its owner alone.
//!
//! Durable: SQLite has a write-ahead log that is flushed at every commit (`synchronous=FULL`). PostgreSQL does so unless it
//! is told otherwise; where it is told `off`, these connections tell it `on`.
//!
//! A text is never bound as `Arc<str>`: sqlx 0.9's `Any` panics on it with SQLite, and names the value.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Connection, Executor};
use tokio::time::timeout;
use url::Url;

use super::audit::{AuditFilter, AuditRow, ConnectorChange, NewAudit};
use super::backend::{
    Backend, BackendError, CallbackFilter, CallbackRow, CallbackState, ConnectorRow, Inserted, NewCallback, NewPayment,
    NodeId, PaymentFilter, PaymentRow, PendingCallback, Resealed, SettledPayment, Settling, Unsettled,
};
use crate::private_file;

mod address;
mod audit;
mod callbacks;
mod calls;
mod connections;
mod connectors;
mod failure;
mod identity;
mod nodes;
mod nonces;
mod payments;
mod schema;
mod sessions;
mod settle;
mod statement;
mod value;
mod work;

pub use address::{AddressError, DatabaseAddress};

use callbacks::{HandOver, OpenedCallback};
use connections::{CONNECTING, Connections};
use connectors::{Change, ChangeConnector, KeepNote};
use failure::{Trouble, told, unavailable};
use identity::Identity;
use schema::SchemaError;
use statement::On;
use work::{Committer, Work, alone, within};

/// How many connections a server keeps to PostgreSQL at most. Our choice: payments hold one for a few milliseconds each,
/// and a PostgreSQL server has 100 by default for all.
const POSTGRES_CONNECTIONS: usize = 16;

/// How many more it keeps for heartbeats, for the write that shows that there can be one, and for claims: one for each of
/// the three tasks that do it.
const UPKEEP_CONNECTIONS: usize = 3;

/// How many of SQLite's connections read. Our choice: lists are rare.
const SQLITE_READERS: usize = 4;

/// What each connection to SQLite begins with. Another process may hold the lock: a payment waits for it, but not long.
const SQLITE_PRAGMAS: &str =
    "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY";

/// What each connection to PostgreSQL begins with: in milliseconds, then in seconds.
///
/// A statement ends before it is given up here (`work::TIME_LIMIT`): what was given up does not happen later, and closing a
/// connection alone would not end it. A server that is frozen in a transaction, or whose line is dead, loses it and its locks
/// before others miss it (`GONE_AFTER`); one whose line is dead loses its connections within a minute.
const POSTGRES_SETTINGS: &str = "SET application_name = 'touchtone'; SET statement_timeout = 4000; \
     SET idle_in_transaction_session_timeout = 5000; \
     SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Whose SQL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SqlDialect {
    Sqlite,
    Postgres,
}

impl SqlDialect {
    /// A transaction that writes. On SQLite it takes the lock at once: one that takes it late cannot wait for it.
    const fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            // Whatever the server's default is.
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        }
    }

    /// What time it is in the database, in milliseconds since 1970.
    const fn clock(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// The moment to write down: the database's own where several servers share it, else the one that `ours` stands for.
    const fn now(self, ours: &'static str) -> &'static str {
        match self {
            Self::Sqlite => ours,
            Self::Postgres => self.clock(),
        }
    }

    const fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// Keeps a row as it was read until the transaction is over.
    const fn keep_row(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR SHARE",
        }
    }

    const fn locks_rows(self) -> bool {
        matches!(self, Self::Postgres)
    }
}

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDatabaseError {
    /// Its file or folder cannot be made.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no file, and it must not be made.
    #[error("{0}: there is no database yet; `touchtone serve` makes it")]
    Missing(PathBuf),
    /// It does not let us in, or does not answer.
    #[error("{address} cannot be opened: {reason}")]
    Unusable {
        /// Which.
        address: DatabaseAddress,
        /// Why.
        reason: String,
    },
    /// A later version of this program made tables in it that this one does not know.
    #[error(
        "{address} was last used by a later version of touchtone (its tables are of version {version}); run that version"
    )]
    Newer {
        /// Which.
        address: DatabaseAddress,
        /// What its tables are.
        version: i64,
    },
}

/// Whether a file that is not there is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// It is made, and its folder.
    Create,
    /// That is an error.
    Fail,
}

/// A database.
pub struct Sql {
    dialect: SqlDialect,
    connections: Connections,
    /// For heartbeats and claims.
    upkeep: Connections,
    committer: Option<Committer>,
    /// Of SQLite's file.
    identity: Option<Arc<Identity>>,
    /// SQLite's last connection takes the log along, and whoever comes next needs room on the disk to make it anew: this one
    /// is there as long as the database is.
    _kept: Mutex<Option<AnyConnection>>,
    /// What keeps others out as long as this is open.
    held: Vec<File>,
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sql").field("dialect", &self.dialect).field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Sql {
    /// Opens a database and brings its tables up to this version.
    ///
    /// # Errors
    /// [`OpenDatabaseError`].
    pub async fn open(address: &DatabaseAddress, if_missing: IfMissing) -> Result<Self, OpenDatabaseError> {
        sqlx::any::install_default_drivers();
        let dialect = match address {
            DatabaseAddress::Sqlite(path) => {
                make_file(path, if_missing)?;
                SqlDialect::Sqlite
            }
            DatabaseAddress::Postgres(_) => SqlDialect::Postgres,
        };
        let unusable = |reason: String| OpenDatabaseError::Unusable { address: address.clone(), reason };
        let options = options(address).ok_or_else(|| unusable("its address cannot be read".to_owned()))?;
        let opening = async {
            // Not through a pool, which would try again until its time is up and then not say why.
            let mut connection = options.connect().await?;
            prepare(&mut connection, dialect).await?;
            schema::migrate(&mut connection, dialect).await?;
            if dialect == SqlDialect::Sqlite {
                return Ok(Some(connection));
            }
            connection.close().await?;
            Ok(None)
        };
        let kept = match timeout(CONNECTING.saturating_mul(2), opening).await {
            Ok(Ok(kept)) => kept,
            Ok(Err(SchemaError::Newer(version))) => {
                return Err(OpenDatabaseError::Newer { address: address.clone(), version });
            }
            Ok(Err(SchemaError::Database(error))) => return Err(unusable(told(&error))),
            Err(_) => return Err(unusable("it does not answer".to_owned())),
        };
        let connections = |most| Connections::new(options.clone(), dialect, most);
        let most = match dialect {
            SqlDialect::Sqlite => SQLITE_READERS,
            SqlDialect::Postgres => POSTGRES_CONNECTIONS,
        };
        let identity = match address {
            DatabaseAddress::Sqlite(path) => {
                let identity = Arc::new(Identity::of(path));
                identity.check().await.map_err(|error| unusable(error.to_string()))?;
                Some(identity)
            }
            DatabaseAddress::Postgres(_) => None,
        };
        let committer = identity.as_ref().map(|identity| Committer::start(options.clone(), Arc::clone(identity)));
        Ok(Self {
            dialect,
            connections: connections(most),
            upkeep: connections(UPKEEP_CONNECTIONS),
            committer,
            identity,
            _kept: Mutex::new(kept),
            held: Vec::new(),
        })
    }

    /// The same, with files that stay open, and locked, as long as the database is.
    #[must_use]
    pub(super) fn holding(mut self, files: impl IntoIterator<Item = File>) -> Self {
        self.held.extend(files);
        self
    }

    fn write<W: Work>(&self, work: W) -> BoxFuture<'_, Result<W::Done, BackendError>> {
        self.write_on(&self.connections, work)
    }

    /// Writes what must not wait for payments.
    fn keep_up<W: Work>(&self, work: W) -> BoxFuture<'_, Result<W::Done, BackendError>> {
        self.write_on(&self.upkeep, work)
    }

    fn write_on<'a, W: Work>(
        &'a self,
        connections: &'a Connections,
        work: W,
    ) -> BoxFuture<'a, Result<W::Done, BackendError>> {
        async move {
            match &self.committer {
                Some(committer) => committer.commit(work).await,
                None => alone(connections, self.dialect, &work).await,
            }
        }
        .boxed()
    }

    async fn read<T>(&self, read: impl AsyncFnOnce(&mut On<'_>) -> Result<T, Trouble>) -> Result<T, BackendError> {
        self.read_on(&self.connections, read).await
    }

    async fn read_on<T>(
        &self,
        connections: &Connections,
        read: impl AsyncFnOnce(&mut On<'_>) -> Result<T, Trouble>,
    ) -> Result<T, BackendError> {
        within(async {
            if let Some(identity) = &self.identity {
                // A reader's next connection is to whatever is there by now.
                identity.check().await?;
            }
            let mut lent = connections.lend().await.map_err(|error| unavailable(&error))?;
            let done = read(&mut On::new(lent.connection(), self.dialect)).await;
            // After anything else nobody knows what state the connection is in (`work`).
            if matches!(done, Ok(_) | Err(Trouble::Refused(_))) {
                lent.give_back();
            }
            done.map_err(|trouble| match trouble {
                Trouble::Refused(error) => error,
                Trouble::Database(error) => unavailable(&error),
            })
        })
        .await
    }
}

async fn prepare(connection: &mut AnyConnection, dialect: SqlDialect) -> Result<(), sqlx::Error> {
    let settings = match dialect {
        SqlDialect::Sqlite => SQLITE_PRAGMAS,
        SqlDialect::Postgres => POSTGRES_SETTINGS,
    };
    connection.execute(sqlx::raw_sql(settings)).await?;
    Ok(())
}

/// What sqlx opens it with.
fn options(address: &DatabaseAddress) -> Option<AnyConnectOptions> {
    let url = match address {
        DatabaseAddress::Sqlite(path) => {
            let file = Url::from_file_path(std::path::absolute(path).ok()?).ok()?;
            Url::parse(&format!("sqlite://{}", file.path())).ok()?
        }
        DatabaseAddress::Postgres(url) => Url::parse(url.expose()).ok()?,
    };
    AnyConnectOptions::from_url(&url).ok()
}

/// Before SQLite does it for everybody to read.
#[allow(clippy::disallowed_methods, reason = "at the start, when nobody else is held up")]
fn make_file(path: &Path, if_missing: IfMissing) -> Result<(), OpenDatabaseError> {
    if path.exists() {
        return Ok(());
    }
    if if_missing == IfMissing::Fail {
        return Err(OpenDatabaseError::Missing(path.to_owned()));
    }
    let failed = |source| OpenDatabaseError::File { path: path.to_owned(), source };
    private_file::open(OpenOptions::new().append(true).create(true), path).map_err(failed)?;
    Ok(())
}

type Done<'a, T> = BoxFuture<'a, Result<T, BackendError>>;

impl Backend for Sql {
    fn insert_payment(&self, payment: NewPayment, node: NodeId, now: Timestamp) -> Done<'_, ()> {
        self.write(payments::InsertPayment { payment, node, now })
    }

    fn mark_sending<'a>(
        &'a self,
        sid: &'a str,
        note: Option<Vec<u8>>,
        number: u32,
        node: NodeId,
        now: Timestamp,
    ) -> Done<'a, ()> {
        self.write(payments::MarkSending { sid: sid.to_owned(), note, number, node, now })
    }

    fn settle_payment(
        &self,
        payment: SettledPayment,
        first: Vec<NewCallback>,
        late: Vec<NewCallback>,
        node: NodeId,
        now: Timestamp,
    ) -> Done<'_, Settling> {
        self.write(settle::SettlePayment { payment, first, late, node, now })
    }

    fn insert_callback(&self, callback: NewCallback, node: NodeId, now: Timestamp) -> Done<'_, Inserted> {
        self.write(callbacks::InsertCallback { callback, node, now })
    }

    fn claim_callbacks(&self, keeper: NodeId, node: NodeId, limit: u32) -> Done<'_, Vec<PendingCallback>> {
        self.keep_up(callbacks::ClaimCallbacks { keeper, node, limit })
    }

    fn claimed_callbacks(&self, keeper: NodeId, after_id: i64, limit: u32) -> Done<'_, Vec<PendingCallback>> {
        self.read_on(&self.upkeep, async move |on| callbacks::claimed(on, keeper, after_id, limit).await).boxed()
    }

    fn open_callback(&self, id: i64, node: NodeId) -> Done<'_, Option<CallbackRow>> {
        async move {
            match self.read(async move |on| callbacks::open(on, id, node).await).await? {
                Some(OpenedCallback::Own(row)) => Ok(Some(*row)),
                Some(OpenedCallback::Following) => self.write(HandOver { id, node }).await.map(|()| None),
                None => Ok(None),
            }
        }
        .boxed()
    }

    fn claim_payments(&self, node: NodeId, limit: u32, now: Timestamp) -> Done<'_, Vec<Unsettled>> {
        self.keep_up(payments::ClaimPayments { node, limit, now })
    }

    fn claimed_payments(
        &self,
        keeper: NodeId,
        after_sid: Option<String>,
        limit: u32,
        now: Timestamp,
    ) -> Done<'_, Vec<Unsettled>> {
        self.read_on(&self.upkeep, async move |on| payments::claimed(on, keeper, after_sid, limit, now).await).boxed()
    }

    fn give_up_payment<'a>(&'a self, sid: &'a str, now: Timestamp) -> Done<'a, ()> {
        self.write(payments::GiveUpPayment { sid: sid.to_owned(), now })
    }

    fn mark_delivered(&self, id: i64, node: NodeId, now: Timestamp) -> Done<'_, ()> {
        self.write(callbacks::Mark { id, transition: callbacks::Transition::Delivered, node, now })
    }

    fn mark_failed<'a>(&'a self, id: i64, reason: &'a str, number: u32, node: NodeId, now: Timestamp) -> Done<'a, ()> {
        self.write(callbacks::Mark {
            id,
            transition: callbacks::Transition::Failed(reason.to_owned(), number),
            node,
            now,
        })
    }

    fn mark_parked<'a>(&'a self, id: i64, reason: &'a str, node: NodeId, now: Timestamp) -> Done<'a, ()> {
        self.write(callbacks::Mark { id, transition: callbacks::Transition::Parked(reason.to_owned()), node, now })
    }

    fn retry_callbacks(&self, ids: Option<Vec<i64>>, now: Timestamp) -> Done<'_, u64> {
        self.write(callbacks::RetryCallbacks { ids, now })
    }

    fn forget_delivered(&self, before: Timestamp) -> Done<'_, u64> {
        self.keep_up(callbacks::ForgetDelivered(before))
    }

    fn register(&self, node: NodeId, ended: Option<NodeId>) -> Done<'_, ()> {
        self.write(nodes::Register { node, ended })
    }

    fn heartbeat(&self, node: NodeId) -> Done<'_, ()> {
        async move {
            if let Some(identity) = &self.identity {
                // With the heartbeat alone: it asks SQLite, where `check` looks by `stat`.
                identity.check_size(self.read(async |on| schema::size(on).await).await?).await?;
            }
            self.keep_up(nodes::Heartbeat(node)).await
        }
        .boxed()
    }

    fn is_shared(&self) -> bool {
        self.dialect == SqlDialect::Postgres
    }

    fn release(&self, node: NodeId) -> Done<'_, ()> {
        self.write(nodes::Release(node))
    }

    fn payment<'a>(&'a self, sid: &'a str) -> Done<'a, Option<PaymentRow>> {
        self.read(async move |on| payments::one(on, sid).await).boxed()
    }

    fn payments(&self, filter: PaymentFilter) -> Done<'_, Vec<PaymentRow>> {
        self.read(async move |on| payments::list(on, filter).await).boxed()
    }

    fn callbacks(&self, filter: CallbackFilter) -> Done<'_, Vec<CallbackRow>> {
        self.read(async move |on| callbacks::list(on, filter).await).boxed()
    }

    fn count_callbacks(&self, state: CallbackState) -> Done<'_, u64> {
        self.read(async move |on| callbacks::count(on, state).await).boxed()
    }

    fn connectors(&self) -> Done<'_, Vec<ConnectorRow>> {
        self.read(async |on| connectors::list(on).await).boxed()
    }

    fn connectors_revision(&self) -> Done<'_, i64> {
        self.read(async |on| connectors::revision(on).await).boxed()
    }

    fn mark_withdrawn<'a>(&'a self, name: &'a str, sealed: &'a [u8], since: Timestamp) -> Done<'a, ()> {
        self.write(ChangeConnector {
            name: name.to_owned(),
            change: Change::Withdrawn { sealed: sealed.to_vec(), since },
        })
    }

    fn change_connector<'a>(
        &'a self,
        name: &'a str,
        change: ConnectorChange,
        audit: NewAudit,
        now: Timestamp,
    ) -> Done<'a, ()> {
        self.write(audit::AuditedChange::new(name, change, audit, now))
    }

    fn audit(&self, filter: AuditFilter) -> Done<'_, Vec<AuditRow>> {
        self.read(async move |on| audit::list(on, filter).await).boxed()
    }

    fn use_nonce<'a>(&'a self, value: &'a str, expires: Timestamp, now: Timestamp) -> Done<'a, ()> {
        self.write(nonces::UseNonce { value: value.to_owned(), expires, now })
    }

    fn reseal<'a>(&'a self, what: Resealed, was: &'a [u8], sealed: Vec<u8>) -> Done<'a, ()> {
        self.write(connectors::Reseal { what, was: was.to_vec(), sealed })
    }

    fn note<'a>(&'a self, name: &'a str) -> Done<'a, Option<Vec<u8>>> {
        self.read(async move |on| connectors::note(on, name).await).boxed()
    }

    fn keep_note<'a>(&'a self, name: &'a str, text: Vec<u8>) -> Done<'a, Vec<u8>> {
        self.write(KeepNote { name: name.to_owned(), text })
    }
}
