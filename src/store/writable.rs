//! Whether the database takes writes: what the last write found.
//!
//! A database may be read and not be written: a full disk, a server that has become a replica. So only a write tells. One that
//! fails may do so for its own row, which somebody has locked or a later version wrote; so that no row stops all payments, a
//! failure only has it tried at once whether anything can be written ([`ProbeBackend`]; a heartbeat tells it too).

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::backend::BackendError;

/// What a database does to show that it can be written.
pub trait ProbeBackend: Send + Sync {
    /// Writes something that nobody reads, to the disk.
    fn probe(&self) -> BoxFuture<'_, Result<(), BackendError>>;
}

/// Whether the database takes writes, as far as is known.
#[derive(Debug)]
pub(super) struct Writable {
    is_so: AtomicBool,
    /// Told when a write failed while that is not known.
    suspected: Notify,
}

impl Default for Writable {
    fn default() -> Self {
        Self { is_so: AtomicBool::new(true), suspected: Notify::new() }
    }
}

impl Writable {
    pub(super) fn is_so(&self) -> bool {
        self.is_so.load(Ordering::Acquire)
    }

    /// Takes note of how a write went, and passes it on. One that failed may have failed for its row's sake: that is for
    /// [`Self::tried`] to find out, at once.
    pub(super) fn seen<T>(&self, written: Result<T, BackendError>) -> Result<T, BackendError> {
        match &written {
            Err(BackendError::Unavailable(_)) if self.is_so() => self.suspected.notify_one(),
            Err(BackendError::Unavailable(_) | BackendError::Unreadable(_)) => {}
            Ok(_) | Err(BackendError::Duplicate | BackendError::NotFound) => self.set(true),
        }
        written
    }

    /// Takes note of how a write went that is nobody's row's, and passes it on.
    pub(super) fn tried<T>(&self, written: Result<T, BackendError>) -> Result<T, BackendError> {
        self.set(!matches!(written, Err(BackendError::Unavailable(_))));
        written
    }

    /// Waits until a write has failed.
    pub(super) async fn suspected(&self) {
        self.suspected.notified().await;
    }

    fn set(&self, works: bool) {
        match (self.is_so.swap(works, Ordering::AcqRel), works) {
            (false, true) => tracing::info!("database can be written again; taking payments"),
            (true, false) => tracing::error!("database cannot be written; taking no payment until it can"),
            (true, true) | (false, false) => {}
        }
    }
}
