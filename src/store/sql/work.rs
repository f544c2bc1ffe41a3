//! Pieces of work, and how they become transactions.
//!
//! Shape:   [`Work`] is one method of the store. PostgreSQL does each in a transaction of its own and puts the commits of
//!          many connections together by itself. SQLite has one writer at a time and a flush to the disk for every commit:
//!          there, [`Committer`] is that writer, and takes whatever waits into one transaction. A connection is used again
//!          only after all went well on it ([`super::connections`], [`SqliteWriter`]): after a failure nobody knows what state it is in.
//!          (SQLite rolls back by itself when the disk is full; the driver goes on counting a transaction that is not there.)
//! Limits:  [`BATCH_MAX`] pieces a transaction, [`WAITING_MAX`] that wait, [`TIME_LIMIT`] for one, [`TRIES`] after conflicts.
//! Errors:  what was refused by the rows is told to its own caller alone. After a failure in a transaction of several each
//!          is tried alone, so that none fails for another's sake, unless it is one that none can escape.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Connection, Error};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::connections::Connections;
use super::failure::{Trouble, is_conflict, is_everybodys, unavailable};
use super::identity::Identity;
use super::statement::On;
use super::{SqlDialect, schema};
use crate::store::backend::BackendError;

/// How much one transaction of SQLite takes in. Our choice: past some dozen the flush costs next to nothing each.
const BATCH_MAX: usize = 128;

/// How much may wait for SQLite's writer; what comes then waits to wait.
const WAITING_MAX: usize = 1024;

/// How long one piece of work may take; after that nobody knows whether it was done. Our choice: a caller waits on the
/// line.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// How often a piece of work is tried that was in another's way.
const TRIES: u32 = 4;

/// Between two tries, times the number of tries so far.
const PAUSE: Duration = Duration::from_millis(15);

/// One method of the store: it may be done again after it was undone, and writes nothing before it refuses.
pub(super) trait Work: Send + Sync + 'static {
    /// What comes of it.
    type Done: Send + 'static;

    /// Whether it is a single statement, which PostgreSQL makes a transaction of by itself.
    const SINGLE: bool = false;

    /// Does it.
    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Self::Done, Trouble>>;

    /// Does what it mostly comes to on PostgreSQL, in a single statement outside any transaction. None: nothing was changed, and it
    /// takes more.
    fn at_once<'a>(&'a self, _on: &'a mut On<'_>) -> BoxFuture<'a, Result<Option<Self::Done>, Trouble>> {
        std::future::ready(Ok(None)).boxed()
    }
}

/// Does a piece of work in a transaction of its own; again, after a conflict.
pub(super) async fn alone<W: Work>(
    connections: &Connections,
    dialect: SqlDialect,
    work: &W,
) -> Result<W::Done, BackendError> {
    let trying = async {
        let mut tries = 1;
        loop {
            match once(connections, dialect, work).await {
                Ok(done) => return Ok(done),
                Err(Trouble::Refused(error)) => return Err(error),
                Err(Trouble::Database(error)) if tries < TRIES && is_conflict(&error) => {
                    tokio::time::sleep(PAUSE.saturating_mul(tries)).await;
                    tries = tries.saturating_add(1);
                }
                Err(Trouble::Database(error)) => return Err(unavailable(&error)),
            }
        }
    };
    within(trying).await
}

async fn once<W: Work>(connections: &Connections, dialect: SqlDialect, work: &W) -> Result<W::Done, Trouble> {
    let mut lent = connections.lend().await?;
    let connection = lent.connection();
    let done = if W::SINGLE && dialect == SqlDialect::Postgres {
        work.run(&mut On::new(connection, dialect)).await
    } else {
        match work.at_once(&mut On::new(connection, dialect)).await {
            Ok(None) => in_transaction(connection, dialect, work).await,
            Ok(Some(done)) => Ok(done),
            Err(trouble) => Err(trouble),
        }
    };
    // What the rows refuse leaves a connection as it was.
    if matches!(done, Ok(_) | Err(Trouble::Refused(_))) {
        lent.give_back();
    }
    done
}

async fn in_transaction<W: Work>(
    connection: &mut AnyConnection,
    dialect: SqlDialect,
    work: &W,
) -> Result<W::Done, Trouble> {
    let mut transaction = connection.begin_with(dialect.begin()).await?;
    match work.run(&mut On::new(&mut transaction, dialect)).await {
        Ok(done) => {
            transaction.commit().await?;
            Ok(done)
        }
        Err(trouble) => {
            // This connection is used again; after any other trouble it is closed, which rolls back, too.
            if let Trouble::Refused(_) = trouble {
                transaction.rollback().await?;
            }
            Err(trouble)
        }
    }
}

/// What takes too long may still happen.
pub(super) async fn within<T>(doing: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
    timeout(TIME_LIMIT, doing)
        .await
        .unwrap_or_else(|_| Err(BackendError::Unavailable(format!("no answer within {} s", TIME_LIMIT.as_secs()))))
}

/// SQLite's one writer.
#[derive(Clone)]
pub(super) struct Committer(mpsc::Sender<Box<dyn PieceOfWork>>);

impl Committer {
    /// Begins to write; ends when the last clone is gone.
    pub(super) fn start(options: AnyConnectOptions, identity: Arc<Identity>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(SqliteWriter { options, identity, connection: None }.run(receiver));
        Self(sender)
    }

    /// Does a piece of work, in a transaction with whatever else waits.
    pub(super) async fn commit<W: Work>(&self, work: W) -> Result<W::Done, BackendError> {
        let (sender, receiver) = oneshot::channel();
        let gone = |()| BackendError::Unavailable("its writer is gone".to_owned());
        within(async {
            let piece = Box::new(WaitingWork { work, done: None, sender });
            self.0.send(piece).await.map_err(|_| gone(()))?;
            receiver.await.map_err(|_| gone(()))?
        })
        .await
    }
}

/// A piece of work of any kind, and whoever waits for it.
trait PieceOfWork: Send {
    fn run<'a>(&'a mut self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Error>>;

    /// Whether nobody waits for it any more: whoever did has been told that its outcome is not known, and does it again.
    fn is_abandoned(&self) -> bool;

    /// Once its transaction is over.
    fn tell(self: Box<Self>, committed: Result<(), BackendError>);
}

struct WaitingWork<W: Work> {
    work: W,
    done: Option<Result<W::Done, BackendError>>,
    sender: oneshot::Sender<Result<W::Done, BackendError>>,
}

impl<W: Work> PieceOfWork for WaitingWork<W> {
    fn run<'a>(&'a mut self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            self.done = match self.work.run(on).await {
                Ok(done) => Some(Ok(done)),
                Err(Trouble::Refused(error)) => Some(Err(error)),
                Err(Trouble::Database(error)) => return Err(error),
            };
            Ok(())
        }
        .boxed()
    }

    fn is_abandoned(&self) -> bool {
        self.sender.is_closed()
    }

    fn tell(self: Box<Self>, committed: Result<(), BackendError>) {
        let never = || Err(BackendError::Unavailable("it was not done".to_owned()));
        // Nobody waits any more: it is done all the same.
        let Self { done, sender, .. } = *self;
        let _ = sender.send(committed.and_then(|()| done.unwrap_or_else(never)));
    }
}

/// Why a transaction has not happened, or may not have.
enum Failed {
    /// For a reason that may be one piece's alone.
    One(Error),
    /// For a reason that every piece has.
    All(Error),
    /// The file is not the one that was opened.
    NotThere(BackendError),
    /// It took too long.
    TimedOut,
    /// A piece panicked.
    Panicked,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        if is_everybodys(&error) { Self::All(error) } else { Self::One(error) }
    }
}

impl Failed {
    fn told(&self) -> String {
        match self {
            Self::One(error) | Self::All(error) => super::failure::told(error),
            Self::NotThere(error) => error.to_string(),
            Self::TimedOut => format!("it was not done within {} s", TIME_LIMIT.as_secs()),
            Self::Panicked => "it broke down".to_owned(),
        }
    }

    fn unavailable(&self) -> BackendError {
        match self {
            Self::NotThere(error) => error.clone(),
            Self::One(_) | Self::All(_) | Self::TimedOut | Self::Panicked => BackendError::Unavailable(self.told()),
        }
    }
}

/// What writes, and its connection. Not a pool's: that would go on trying to make one until its time is up.
struct SqliteWriter {
    options: AnyConnectOptions,
    identity: Arc<Identity>,
    /// None: it was closed, or never made.
    connection: Option<AnyConnection>,
}

impl SqliteWriter {
    async fn run(mut self, mut receiver: mpsc::Receiver<Box<dyn PieceOfWork>>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while receiver.recv_many(&mut batch, BATCH_MAX).await > 0 {
            batch.retain(|piece| !piece.is_abandoned());
            // For all tries together: whoever waits gives up after the same time (`within`).
            let until = Instant::now() + TIME_LIMIT;
            let is_only = batch.len() == 1;
            match self.together(&mut batch, until).await {
                Ok(()) => batch.drain(..).for_each(|piece| piece.tell(Ok(()))),
                Err(failed) => {
                    tracing::debug!(error = failed.told(), writes = batch.len(), "database transaction failed");
                    for piece in batch.drain(..) {
                        match &failed {
                            // Alone it would fail again, unless it was in another's way.
                            Failed::One(error) if !is_only || is_conflict(error) => self.apart(piece, until).await,
                            Failed::Panicked if !is_only => self.apart(piece, until).await,
                            failed => piece.tell(Err(failed.unavailable())),
                        }
                    }
                }
            }
        }
    }

    /// One transaction for all. One that panics has not happened, and the writer goes on: every payment needs it.
    async fn together(&mut self, batch: &mut [Box<dyn PieceOfWork>], until: Instant) -> Result<(), Failed> {
        if batch.is_empty() {
            return Ok(());
        }
        match timeout_at(until, AssertUnwindSafe(self.transact(batch)).catch_unwind()).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Failed::Panicked),
            Err(_) => Err(Failed::TimedOut),
        }
    }

    /// The connection is kept if all goes well, and else closed by being dropped.
    async fn transact(&mut self, batch: &mut [Box<dyn PieceOfWork>]) -> Result<(), Failed> {
        let mut connection = self.connected().await?;
        // The files are looked at while the transaction begins, which writes nothing: a payment waits for the slower of the two.
        let (looked, begun) = tokio::join!(self.identity.check(), connection.begin_with(SqlDialect::Sqlite.begin()));
        let mut transaction = match looked.map_err(Failed::NotThere)? {
            None => begun?,
            Some(shorter) => {
                // SQLite copies no log within a transaction (SQLITE_LOCKED): another one is begun afterwards.
                drop(begun);
                Self::check_log(&self.identity, &mut connection, shorter).await.map_err(Failed::NotThere)?;
                connection.begin_with(SqlDialect::Sqlite.begin()).await?
            }
        };
        for piece in batch {
            piece.run(&mut On::new(&mut transaction, SqlDialect::Sqlite)).await?;
        }
        transaction.commit().await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Whether a log that became shorter still holds what it must. What is in it is copied into the database's file, as far as
    /// that can be: what was cut off cannot be read.
    async fn check_log(identity: &Identity, connection: &mut AnyConnection, size: u64) -> Result<(), BackendError> {
        let needed = schema::log_needed(&mut On::new(connection, SqlDialect::Sqlite)).await;
        identity.check_log(size, needed.map_err(|_| identity.log_was_cut())?)
    }

    /// The connection there is, or a new one to the file that was opened first.
    async fn connected(&mut self) -> Result<AnyConnection, Failed> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        self.identity.check().await.map_err(Failed::NotThere)?;
        let mut connection = self.options.connect().await?;
        super::prepare(&mut connection, SqlDialect::Sqlite).await?;
        Ok(connection)
    }

    /// One that failed together with others, or was in another's way.
    async fn apart(&mut self, mut piece: Box<dyn PieceOfWork>, until: Instant) {
        let mut tries = 1;
        let outcome = loop {
            match self.together(std::slice::from_mut(&mut piece), until).await {
                Ok(()) => break Ok(()),
                Err(Failed::One(error)) if tries < TRIES && is_conflict(&error) => {
                    tokio::time::sleep(PAUSE.saturating_mul(tries)).await;
                    tries = tries.saturating_add(1);
                }
                Err(failed) => break Err(failed.unavailable()),
            }
        };
        piece.tell(outcome);
    }
}
