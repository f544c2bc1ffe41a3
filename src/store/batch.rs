//! Calls and sessions on their way into the store: noted at once, written together, never waited for by a call.
//!
//! Shape:   [`Batch::note`] puts a change in line and sees to it that a task writes the line, [`WAIT`] later, until it is empty.
//!          [`Batch::flush`] writes it now: for whoever reads.
//! Limits:  [`PENDING_MAX`] changes; one more is dropped, logged and counted
//!          (`touchtone_store_changes_dropped_total`). [`BATCH_MAX`] a transaction.
//! Errors:  what is not written stays in line and is tried again every [`AGAIN`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::backend::{Backend, BackendError, NodeId};
use super::calls::{CallRow, Changes};
use super::sessions::NewSession;
use super::writable::Writable;

/// How long changes are collected. Our choice: with a busy disk it is still within the second in which a session is to be
/// written down.
const WAIT: Duration = Duration::from_millis(200);

/// How long it is waited after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// How many changes one transaction takes. Our choice: some hundred kilobytes.
const BATCH_MAX: usize = 1000;

/// How many changes may wait for a database that is away. Our choice: some fifty megabytes.
const PENDING_MAX: usize = 100_000;

/// Something that is to be written down.
#[derive(Clone, Debug)]
pub(super) enum PendingChange {
    /// A call as it stands now.
    Call(Arc<CallRow>),
    /// A session has begun, or is told elsewhere than before.
    Session(Arc<NewSession>),
}

/// The line.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pending: Mutex<Pending>,
    /// Held while something is written: what is taken out of the line is what was written.
    writing: tokio::sync::Mutex<()>,
    writable: Arc<Writable>,
}

#[derive(Debug, Default)]
struct Pending {
    changes: VecDeque<PendingChange>,
    /// Whether a task writes the line.
    is_attended: bool,
    /// Whether changes were dropped since the line was last empty.
    dropped: bool,
}

impl Batch {
    pub(super) fn new(writable: Arc<Writable>) -> Self {
        Self { writable, ..Self::default() }
    }

    /// Puts a change in line. Needs a tokio runtime.
    pub(super) fn note(self: &Arc<Self>, backend: &Arc<dyn Backend>, node: NodeId, change: PendingChange) {
        let mut pending = self.pending();
        if pending.changes.len() >= PENDING_MAX {
            metrics::counter!("touchtone_store_changes_dropped_total").increment(1);
            if !std::mem::replace(&mut pending.dropped, true) {
                tracing::error!(
                    limit = PENDING_MAX,
                    "too many calls and sessions wait to be persisted; dropping further ones"
                );
            }
            return;
        }
        pending.changes.push_back(change);
        if !std::mem::replace(&mut pending.is_attended, true) {
            // Weak: what waits does not keep a store open that is gone.
            tokio::spawn(attend(Arc::downgrade(self), Arc::downgrade(backend), node));
        }
    }

    /// Writes what is in line now.
    pub(super) async fn flush(&self, backend: &dyn Backend, node: NodeId) -> Result<(), BackendError> {
        let _writing = self.writing.lock().await;
        // What comes while this writes is the next flush's: on a busy server this one would never end.
        let mut left = self.pending().changes.len();
        while left > 0 {
            let batch: Vec<PendingChange> = self.pending().changes.iter().take(left.min(BATCH_MAX)).cloned().collect();
            let taken = batch.len();
            self.writable.seen(backend.write_changes(together(batch), node).await)?;
            // Only now: a caller that goes away in between loses nothing, and a change is as good written twice.
            self.pending().changes.drain(..taken);
            left = left.saturating_sub(taken);
        }
        Ok(())
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the line is empty; then nobody attends to it any more.
    fn is_done(&self) -> bool {
        let mut pending = self.pending();
        if pending.changes.is_empty() {
            (pending.is_attended, pending.dropped) = (false, false);
        }
        !pending.is_attended
    }
}

/// Each call and session once, as it stands last, where it stood first.
fn together(batch: Vec<PendingChange>) -> Changes {
    let (mut calls, mut sessions) = (Vec::new(), Vec::new());
    for change in batch {
        match change {
            PendingChange::Call(call) => calls.push(call),
            PendingChange::Session(session) => sessions.push(session),
        }
    }
    Changes { calls: last_of_each(calls, |call| &call.sid), sessions: last_of_each(sessions, |session| &session.sid) }
}

fn last_of_each<T>(changes: Vec<Arc<T>>, sid: impl Fn(&T) -> &String) -> Vec<Arc<T>> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept: Vec<Arc<T>> = Vec::new();
    for change in changes {
        let place = places.get(sid(&change)).copied().unwrap_or(kept.len());
        match kept.get_mut(place) {
            Some(before) => *before = change,
            None => {
                places.insert(sid(&change).clone(), place);
                kept.push(change);
            }
        }
    }
    kept
}

/// Writes the line until it is empty, or the store is gone.
async fn attend(batch: Weak<Batch>, backend: Weak<dyn Backend>, node: NodeId) {
    let mut complained = false;
    let mut wait = WAIT;
    loop {
        tokio::time::sleep(wait).await;
        let (Some(batch), Some(backend)) = (batch.upgrade(), backend.upgrade()) else { return };
        match batch.flush(&*backend, node).await {
            Ok(()) if batch.is_done() => return,
            Ok(()) => wait = WAIT,
            Err(error) => {
                wait = AGAIN;
                // Once for a database that is away, not once a second.
                if !std::mem::replace(&mut complained, true) {
                    tracing::error!(%error, "could not persist calls and sessions; trying again");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::clock::WallClock;
    use crate::store::memory::{Disk, Memory};
    use crate::store::{CallFilter, CallStatus};

    fn call(number: usize, status: CallStatus) -> PendingChange {
        let now = WallClock::System.now();
        PendingChange::Call(Arc::new(CallRow {
            place: 0,
            sid: format!("CA{number}"),
            account: "AC1".to_owned(),
            dialect: "twilio".to_owned(),
            flow: "donate".to_owned(),
            from: None,
            to: None,
            direction: "inbound".to_owned(),
            caller_name: None,
            forwarded_from: None,
            status,
            how: None,
            started: now,
            updated: now,
            ended: None,
        }))
    }

    /// A disk that is away for the first writes.
    struct Away(Mutex<u32>);

    impl Disk for Away {
        fn before(&self) -> BoxFuture<'_, Result<(), BackendError>> {
            let mut left = self.0.lock().unwrap();
            let away = *left > 0;
            *left = left.saturating_sub(1);
            let answer = if away { Err(BackendError::Unavailable("away".to_owned())) } else { Ok(()) };
            futures_util::future::ready(answer).boxed()
        }

        fn after(&self) -> BoxFuture<'_, Result<(), BackendError>> {
            futures_util::future::ready(Ok(())).boxed()
        }
    }

    async fn shown(backend: &dyn Backend) -> Vec<(String, CallStatus)> {
        let rows = backend.calls(CallFilter { limit: 5000, ..CallFilter::default() }).await.unwrap();
        rows.into_iter().map(|row| (row.sid, row.status)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_noted_is_written_within_a_second_without_anybody_waiting() {
        let backend: Arc<dyn Backend> = Arc::new(Memory::default());
        let batch = Arc::new(Batch::default());
        let began = tokio::time::Instant::now();
        for number in 0..1500 {
            batch.note(&backend, NodeId::random(), call(number, CallStatus::InProgress));
        }
        batch.note(&backend, NodeId::random(), call(3, CallStatus::Completed));
        assert!(shown(&*backend).await.is_empty());
        while !batch.pending().changes.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        let rows = shown(&*backend).await;
        assert_eq!((rows.len(), rows[1496].clone()), (1500, ("CA3".to_owned(), CallStatus::Completed)));
        tokio::time::sleep(AGAIN).await;
        assert!(!batch.pending().is_attended, "nobody attends to an empty line");
        batch.note(&backend, NodeId::random(), call(1500, CallStatus::InProgress));
        batch.flush(&*backend, NodeId::random()).await.unwrap();
        assert_eq!(shown(&*backend).await.len(), 1501, "whoever reads has it written first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_is_away_loses_nothing_and_is_tried_every_second() {
        let backend: Arc<dyn Backend> = Arc::new(Memory::on(Box::new(Away(Mutex::new(4)))));
        let batch = Arc::new(Batch::default());
        batch.note(&backend, NodeId::random(), call(1, CallStatus::InProgress));
        assert!(batch.flush(&*backend, NodeId::random()).await.is_err());
        batch.note(&backend, NodeId::random(), call(2, CallStatus::InProgress));
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(shown(&*backend).await.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_is_full_drops_what_comes_then() {
        let backend: Arc<dyn Backend> = Arc::new(Memory::on(Box::new(Away(Mutex::new(1)))));
        let batch = Arc::new(Batch::default());
        for number in 0..PENDING_MAX + 5 {
            batch.note(&backend, NodeId::random(), call(number, CallStatus::InProgress));
        }
        assert_eq!(batch.pending().changes.len(), PENDING_MAX);
    }
}
