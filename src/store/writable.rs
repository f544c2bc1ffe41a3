//! Whether the database takes writes: what the last write found.
//!
//! A database may be read and not be written: a full disk, a server that has become a replica. So only a write tells.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;

use super::backend::BackendError;

/// What a database does to show that it can be written.
pub trait ProbeBackend: Send + Sync {
    /// Writes something that nobody reads, to the disk.
    fn probe(&self) -> BoxFuture<'_, Result<(), BackendError>>;
}

/// What the last write found.
#[derive(Debug)]
pub(super) struct Writable(AtomicBool);

impl Default for Writable {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Writable {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Takes note of how a write went, and passes it on.
    pub(super) fn seen<T>(&self, written: Result<T, BackendError>) -> Result<T, BackendError> {
        let works = !matches!(written, Err(BackendError::Unavailable(_)));
        match (self.0.swap(works, Ordering::AcqRel), works) {
            (false, true) => tracing::info!("the database can be written again: payments are taken"),
            (true, false) => tracing::error!("the database cannot be written: no payment is taken until it can"),
            (true, true) | (false, false) => {}
        }
        written
    }
}
