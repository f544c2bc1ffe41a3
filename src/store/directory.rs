//! The store's calls and sessions: noted, told of when their server is gone, and whether anything can be written at all.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::backend::{BackendError, CallbackState, SettledPayment};
use super::batch::PendingChange;
use super::calls::CallRow;
use super::sessions::NewSession;
use super::{LeftSession, Occasion, PAGE_MAX, SealedPlace, Store, StoreError, StoredCallback, record};
use crate::flow::{Begun, Settled};
use crate::pay::outcome::Ending;

/// How long a write may take that shows that the database can be written. Our choice: a caller who is about to pay should
/// not wait longer to hear that it is not possible now.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

impl Store {
    /// Notes a call as it stands: it is written down soon, without anybody waiting. Needs a tokio runtime.
    pub fn note_call(&self, call: CallRow) {
        self.batch.note(&self.backend, self.node, PendingChange::Call(Arc::new(call)));
    }

    /// Notes that a session has begun, or is told elsewhere than before: it is written down soon, without anybody waiting.
    /// Gives what is written. Needs a tokio runtime.
    ///
    /// # Errors
    /// When it cannot be sealed.
    pub fn note_session(&self, begun: &Begun, at: Timestamp) -> Result<Arc<NewSession>, StoreError> {
        let sealed = self.seal.close(&record::begun(begun), SealedPlace::session(&begun.payment.sid))?;
        let session = Arc::new(record::new_session(begun, sealed, at));
        self.batch.note(&self.backend, self.node, PendingChange::Session(Arc::clone(&session)));
        Ok(session)
    }

    /// Writes down what was noted: for whoever reads it next.
    ///
    /// # Errors
    /// [`StoreError`]: it stays noted, and is written later.
    pub async fn flush(&self) -> Result<(), StoreError> {
        Ok(self.batch.flush(&*self.backend, self.node).await?)
    }

    /// Takes over sessions that are nobody's or whose node is gone, at most `limit`, which ended before their gateway was
    /// to be asked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_sessions(&self, limit: u32, now: Timestamp) -> Result<Vec<Begun>, StoreError> {
        let rows = self.backend.claim_sessions(self.keeper, limit.min(PAGE_MAX)).await?;
        let mut sessions = Vec::new();
        for LeftSession { sid, sealed, .. } in rows {
            let opened = self.seal.open(&sealed, SealedPlace::session(&sid)).map_err(StoreError::from);
            match opened.and_then(|opened| Ok(record::read_begun(&opened.text)?)) {
                Ok(begun) => sessions.push(begun),
                // Nobody can say whom to tell.
                Err(error) => {
                    tracing::error!(payment = sid, %error, "left session is unreadable; nobody is told of its end");
                    let outcome = Ending::cut_off().outcome();
                    let session = SettledPayment { sid, outcome, owner: self.keeper, session: None };
                    // Ended without callbacks: else every look would claim it again.
                    self.backend.end_left_session(session, Vec::new(), self.node, now).await?;
                }
            }
        }
        Ok(sessions)
    }

    /// Ends a session that was taken over and queues what is to be told of it, at once. None: somebody else tells it, or has. Its
    /// `SequenceNumber` goes on where those that were stored end.
    ///
    /// # Errors
    /// [`StoreError`]: try again.
    pub async fn end_left_session(
        &self,
        mut settled: Settled,
        call_sid: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<StoredCallback>>, StoreError> {
        let sid = &settled.payment.sid;
        if let Some(status) = &mut settled.status {
            let told = self.backend.count_told(call_sid, sid).await?;
            status.form.set("SequenceNumber", told.to_string());
        }
        // Its own server may have told it on the first occasion, without having written that down.
        let callbacks = self.tellings(&settled, Occasion::Late, CallbackState::Waiting, call_sid)?;
        let Settled { payment, outcome, .. } = settled;
        let session = SettledPayment { sid: payment.sid, outcome, owner: self.keeper, session: None };
        let epoch = self.epoch();
        let Some(rows) = self.backend.end_left_session(session, callbacks, self.node, now).await? else {
            return Ok(None);
        };
        rows.into_iter().map(|row| self.stored_callback(row, epoch)).collect::<Result<_, _>>().map(Some)
    }

    /// Marks calls as failed that are nobody's or whose node is gone, at most `limit`. Gives how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn fail_left_calls(&self, limit: u32, now: Timestamp) -> Result<u64, StoreError> {
        Ok(self.backend.fail_left_calls(self.keeper, limit, now).await?)
    }

    /// Whether anything can be written, as far as is known. While it cannot, no payment begins.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable.is_so()
    }

    /// Writes something, to find out whether anything can be written.
    ///
    /// # Errors
    /// [`StoreError`]: nothing can, or it takes too long.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let late = |_| Err(BackendError::Unavailable(format!("no write within {} s", PROBE_LIMIT.as_secs())));
        let written = timeout(PROBE_LIMIT, self.backend.probe()).await.unwrap_or_else(late);
        Ok(self.writable.tried(written)?)
    }

    /// Waits until a write has failed: then it is to be found out whether anything can be written.
    pub async fn suspected(&self) {
        self.writable.suspected().await;
    }

    /// Takes note of how a write went.
    pub(super) fn seen<T>(&self, written: Result<T, BackendError>) -> Result<T, StoreError> {
        Ok(self.writable.seen(written)?)
    }
}
