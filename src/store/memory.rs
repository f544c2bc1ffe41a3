//! A database in memory: for the simulation, which needs every await to be its own.
//!
//! Shape:   one lock, held for no longer than a method; a [`Disk`] makes it as slow and as unreliable as a real one, and
//!          each server may have a [`Connection`] of its own to it. One server has it to itself, as it has SQLite, unless it
//!          is given a clock ([`Memory::shared`]): then it is what PostgreSQL is to several.
//! Units:   its clock counts from its own beginning.
//! Limits:  none: a simulated run is short.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::GONE_AFTER;
use super::backend::{BackendError, NodeId};

mod audit;
mod backend;
mod calls;
mod sessions;
mod tables;

use tables::{Silent, Tables};

/// What a write takes, and whether it works.
pub trait Disk: Send + Sync {
    /// Before something is written. An error: it was not.
    fn before(&self) -> BoxFuture<'_, Result<(), BackendError>>;

    /// After something was written. An error: it was, but nobody is told.
    fn after(&self) -> BoxFuture<'_, Result<(), BackendError>>;
}

/// The way from one server to the database.
pub trait Connection: Send + Sync {
    /// Before anything is read or written. An error: it was not.
    fn request(&self) -> BoxFuture<'_, Result<(), BackendError>>;
}

/// How long the database has been there, by its own clock.
pub type DatabaseClock = Box<dyn Fn() -> Duration + Send + Sync>;

/// The database.
#[derive(Default)]
pub struct Memory {
    tables: Arc<Mutex<Tables>>,
    disk: Option<Box<dyn Disk>>,
    connection: Option<Box<dyn Connection>>,
    /// What several servers share has a clock. None: one server has it to itself.
    clock: Option<DatabaseClock>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty database on `disk`.
    #[must_use]
    pub fn on(disk: Box<dyn Disk>) -> Self {
        Self { disk: Some(disk), ..Self::default() }
    }

    /// The same database as another server sees it: over its own `connection`, and with `disk` for what it writes.
    #[must_use]
    pub fn reached_over(&self, connection: Box<dyn Connection>, disk: Box<dyn Disk>) -> Self {
        Self { tables: Arc::clone(&self.tables), disk: Some(disk), connection: Some(connection), clock: None }
    }

    /// The same for several servers, whose leases run by this clock.
    #[must_use]
    pub fn shared(self, clock: DatabaseClock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// What time it is here, for rows: a shared database's own time, else that of its one server.
    fn moment(&self, now: Timestamp) -> Timestamp {
        let Some(clock) = &self.clock else { return now };
        Timestamp::UNIX_EPOCH.checked_add(clock()).unwrap_or(Timestamp::MAX)
    }

    /// Whose rows `node` may claim, but for nobody's.
    fn silent_for(&self, tables: &Tables, node: NodeId) -> Silent {
        let Some(clock) = &self.clock else { return Silent::Nobody };
        let Some(dead) = clock().checked_sub(GONE_AFTER) else { return Silent::Nobody };
        match tables.nodes.get(&node) {
            Some(heard) if heard.since <= dead && heard.last >= dead => Silent::Since(dead),
            _ => Silent::Nobody,
        }
    }

    fn read<'a, T: Send + 'a>(
        &'a self,
        read: impl FnOnce(&Tables) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, BackendError>> {
        async move {
            self.request().await?;
            Ok(read(&self.lock()))
        }
        .boxed()
    }

    fn write<'a, T: Send + 'a>(
        &'a self,
        write: impl FnOnce(&mut Tables) -> Result<T, BackendError> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, BackendError>> {
        async move {
            self.request().await?;
            if let Some(disk) = &self.disk {
                disk.before().await?;
            }
            let done = write(&mut self.lock());
            if let Some(disk) = &self.disk {
                disk.after().await?;
            }
            done
        }
        .boxed()
    }

    async fn request(&self) -> Result<(), BackendError> {
        match &self.connection {
            Some(connection) => connection.request().await,
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
