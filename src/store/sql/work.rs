//! Pieces of work, and how they become transactions.
//!
//! Shape:   [`Work`] is one method of the store. PostgreSQL does each in a transaction of its own and puts the commits of
//!          many connections together by itself. SQLite has one writer at a time and a flush to the disk for every commit:
//!          there, [`Committer`] is that writer, and takes whatever waits into one transaction.
//! Limits:  [`BATCH_MAX`] pieces a transaction, [`WAITING_MAX`] that wait, [`PATIENCE`] for one, [`TRIES`] after conflicts.
//! Errors:  what was refused by the rows is told to its own caller alone. After a failure in a transaction of several each
//!          is tried alone, so that none fails for another's sake.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::any::{AnyQueryResult, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Error, Executor};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Dialect;
use super::failure::{Trouble, is_conflict, unavailable};
use crate::store::backend::BackendError;

/// How much one transaction of SQLite takes in. Our choice: past some dozen the flush costs next to nothing each.
const BATCH_MAX: usize = 128;

/// How much may wait for SQLite's writer; what comes then waits to wait.
const WAITING_MAX: usize = 1024;

/// How long one piece of work may take. Our choice: a caller waits on the line.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a piece of work is tried that was in another's way.
const TRIES: u32 = 4;

/// Between two tries, times the number of tries so far.
const PAUSE: Duration = Duration::from_millis(15);

/// A query and its values.
pub(super) type Statement<'q> = Query<'q, Any, sqlx::any::AnyArguments>;

/// A transaction, or for a single statement a connection.
pub(super) struct On<'c> {
    connection: &'c mut AnyConnection,
    /// Whose SQL.
    pub(super) dialect: Dialect,
}

impl<'c> On<'c> {
    pub(super) fn new(connection: &'c mut AnyConnection, dialect: Dialect) -> Self {
        Self { connection, dialect }
    }

    /// How many rows it changed.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, Trouble> {
        let done: AnyQueryResult = self.connection.execute(statement).await?;
        Ok(done.rows_affected())
    }

    pub(super) async fn row(&mut self, statement: Statement<'_>) -> Result<Option<AnyRow>, Trouble> {
        Ok(self.connection.fetch_optional(statement).await?)
    }

    pub(super) async fn rows(&mut self, statement: Statement<'_>) -> Result<Vec<AnyRow>, Trouble> {
        Ok(self.connection.fetch_all(statement).await?)
    }
}

/// One method of the store: it may be done again after it was undone, and writes nothing before it refuses.
pub(super) trait Work: Send + Sync + 'static {
    /// What comes of it.
    type Done: Send + 'static;

    /// Whether it is a single statement, which PostgreSQL makes a transaction of by itself.
    const SINGLE: bool = false;

    /// Does it.
    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Self::Done, Trouble>>;
}

/// Does a piece of work in a transaction of its own; again, after a conflict.
pub(super) async fn alone<W: Work>(pool: &AnyPool, dialect: Dialect, work: &W) -> Result<W::Done, BackendError> {
    let trying = async {
        let mut tries = 1;
        loop {
            match once(pool, dialect, work).await {
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

async fn once<W: Work>(pool: &AnyPool, dialect: Dialect, work: &W) -> Result<W::Done, Trouble> {
    let mut connection = pool.acquire().await?;
    if W::SINGLE && dialect == Dialect::Postgres {
        return work.run(&mut On::new(&mut connection, dialect)).await;
    }
    let mut transaction = connection.begin_with(dialect.begin()).await?;
    let done = work.run(&mut On::new(&mut transaction, dialect)).await?;
    transaction.commit().await?;
    Ok(done)
}

/// What takes too long may still happen.
pub(super) async fn within<T>(doing: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
    timeout(PATIENCE, doing)
        .await
        .unwrap_or_else(|_| Err(BackendError::Unavailable(format!("no answer within {} s", PATIENCE.as_secs()))))
}

/// SQLite's one writer.
#[derive(Clone)]
pub(super) struct Committer(mpsc::Sender<Box<dyn Piece>>);

impl Committer {
    /// Begins to write over `pool`; ends when the last clone is gone.
    pub(super) fn start(pool: AnyPool) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write(pool, receiver));
        Self(sender)
    }

    /// Does a piece of work, in a transaction with whatever else waits.
    pub(super) async fn commit<W: Work>(&self, work: W) -> Result<W::Done, BackendError> {
        let (sender, receiver) = oneshot::channel();
        let gone = |()| BackendError::Unavailable("its writer is gone".to_owned());
        within(async {
            let piece = Box::new(Waiting { work, done: None, sender });
            self.0.send(piece).await.map_err(|_| gone(()))?;
            receiver.await.map_err(|_| gone(()))?
        })
        .await
    }
}

/// A piece of work of any kind, and whoever waits for it.
trait Piece: Send {
    fn run<'a>(&'a mut self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Error>>;

    /// Once its transaction is over.
    fn tell(self: Box<Self>, committed: Result<(), BackendError>);
}

struct Waiting<W: Work> {
    work: W,
    done: Option<Result<W::Done, BackendError>>,
    sender: oneshot::Sender<Result<W::Done, BackendError>>,
}

impl<W: Work> Piece for Waiting<W> {
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

    fn tell(self: Box<Self>, committed: Result<(), BackendError>) {
        let never = || Err(BackendError::Unavailable("it was not done".to_owned()));
        // Nobody waits any more: it is done all the same.
        let Self { done, sender, .. } = *self;
        let _ = sender.send(committed.and_then(|()| done.unwrap_or_else(never)));
    }
}

async fn write(pool: AnyPool, mut receiver: mpsc::Receiver<Box<dyn Piece>>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while receiver.recv_many(&mut batch, BATCH_MAX).await > 0 {
        if let Err(error) = together(&pool, &mut batch).await {
            tracing::debug!(error = %super::failure::told(&error), pieces = batch.len(), "a transaction failed");
            let only = batch.len() == 1;
            for piece in batch.drain(..) {
                if only && !is_conflict(&error) {
                    piece.tell(Err(unavailable(&error)));
                } else {
                    apart(&pool, piece).await;
                }
            }
        }
        for piece in batch.drain(..) {
            piece.tell(Ok(()));
        }
    }
}

/// One transaction for all. One that panics has not happened, and the writer goes on: every payment needs it.
async fn together(pool: &AnyPool, batch: &mut [Box<dyn Piece>]) -> Result<(), Error> {
    AssertUnwindSafe(transact(pool, batch)).catch_unwind().await.unwrap_or(Err(Error::WorkerCrashed))
}

async fn transact(pool: &AnyPool, batch: &mut [Box<dyn Piece>]) -> Result<(), Error> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin_with(Dialect::Sqlite.begin()).await?;
    for piece in batch {
        piece.run(&mut On::new(&mut transaction, Dialect::Sqlite)).await?;
    }
    transaction.commit().await
}

/// One that failed together with others, or was in another's way.
async fn apart(pool: &AnyPool, mut piece: Box<dyn Piece>) {
    let mut tries = 1;
    let outcome = loop {
        match together(pool, std::slice::from_mut(&mut piece)).await {
            Ok(()) => break Ok(()),
            Err(error) if tries < TRIES && is_conflict(&error) => {
                tokio::time::sleep(PAUSE.saturating_mul(tries)).await;
                tries = tries.saturating_add(1);
            }
            Err(error) => break Err(unavailable(&error)),
        }
    };
    piece.tell(outcome);
}
