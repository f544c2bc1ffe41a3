//! The connections to a database, each lent to one piece of work at a time.
//!
//! Shape:   [`Connections::lend`] gives one that is idle or makes one; whoever has it gives it back when nothing is under way on it
//!          ([`Lent::give_back`]), and else it is closed. Not sqlx's pool: that asks the server after every use whether the
//!          connection still stands, which is a second round trip for every write.
//! Limits:  as many as [`Connections::new`] says; [`CONNECTING`] until one is to be had, [`LIFETIME`], [`IDLE_MAX`].
//! Errors:  [`Error::PoolTimedOut`], or why none can be made. It is not tried again here: whoever writes does that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Connection, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::{SqlDialect, prepare};

/// How long to wait for a connection.
pub(super) const CONNECTING: Duration = Duration::from_secs(5);

/// A connection that was idle for this long is asked whether it still stands before it is used. Our choice: a round trip
/// less for what is busy.
const ASKED_AFTER: Duration = Duration::from_secs(1);

/// How long one is used: a server's process for it grows. As sqlx's pool has it.
const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// How long one is kept that nobody needs. As sqlx's pool has it.
const IDLE_MAX: Duration = Duration::from_secs(10 * 60);

/// Up to so many connections.
pub(super) struct Connections {
    options: AnyConnectOptions,
    dialect: SqlDialect,
    permits: Arc<Semaphore>,
    /// The one that was used last comes last.
    idle: Arc<Mutex<Vec<Idle>>>,
}

struct Idle {
    connection: AnyConnection,
    made: Instant,
    since: Instant,
}

impl Connections {
    /// None is made before it is needed.
    pub(super) fn new(options: AnyConnectOptions, dialect: SqlDialect, most: usize) -> Self {
        Self { options, dialect, permits: Arc::new(Semaphore::new(most)), idle: Arc::default() }
    }

    /// A connection that nobody else has.
    pub(super) async fn lend(&self) -> Result<Lent, Error> {
        let lending = async {
            let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::PoolClosed)?;
            let (connection, made) = match self.standing().await {
                Some(standing) => standing,
                None => (self.connect().await?, Instant::now()),
            };
            Ok(Lent { connection, made, idle: Arc::clone(&self.idle), _permit: permit })
        };
        timeout(CONNECTING, lending).await.unwrap_or(Err(Error::PoolTimedOut))
    }

    /// An idle one that still stands.
    async fn standing(&self) -> Option<(AnyConnection, Instant)> {
        loop {
            // The one that was used last: what is not needed grows old, and is closed (`IDLE_MAX`).
            let Idle { mut connection, made, since } = lock(&self.idle).pop()?;
            // A connection to a file is no line that may have broken.
            let is_asked = self.dialect == SqlDialect::Postgres && since.elapsed() >= ASKED_AFTER;
            if made.elapsed() < LIFETIME && (!is_asked || connection.ping().await.is_ok()) {
                return Some((connection, made));
            }
        }
    }

    async fn connect(&self) -> Result<AnyConnection, Error> {
        let mut connection = self.options.connect().await?;
        prepare(&mut connection, self.dialect).await?;
        Ok(connection)
    }
}

/// A connection that is lent. It is closed, unless it is given back: also when whoever uses it is dropped in mid-work.
pub(super) struct Lent {
    connection: AnyConnection,
    made: Instant,
    idle: Arc<Mutex<Vec<Idle>>>,
    /// Given up last, so that there are never more connections than permits.
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    /// The connection.
    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }

    /// Nothing is under way on it: others may use it.
    pub(super) fn give_back(self) {
        let Self { connection, made, idle, _permit } = self;
        let mut idle = lock(&idle);
        idle.retain(|idle| idle.since.elapsed() < IDLE_MAX);
        idle.push(Idle { connection, made, since: Instant::now() });
    }
}

fn lock(idle: &Mutex<Vec<Idle>>) -> MutexGuard<'_, Vec<Idle>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
