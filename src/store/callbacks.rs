//! Callbacks in the store: queued, taken over, opened when their turn comes, and how they went.

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::backend::{
    BackendError, CallbackFilter, CallbackRow, CallbackState, Inserted, NewCallback, PendingCallback, Resealed,
};
use super::lease::Epoch;
use super::record::{self, StoredShapeError};
use super::request::CallbackRequest;
use super::seal::{Opened, SealedPlace};
use super::{PAGE_MAX, Store, StoreError, StoredCallback};
use crate::http::shown;

impl Store {
    /// Queues a callback. None: earlier ones of its call are not this process's to deliver, and so it is not either.
    ///
    /// # Errors
    /// [`StoreError`]: try again with the same token.
    pub async fn queue(
        &self,
        call_sid: &str,
        request: &CallbackRequest,
        token: Uuid,
        now: Timestamp,
    ) -> Result<Option<StoredCallback>, StoreError> {
        self.queue_progress(call_sid, None, request, token, now).await
    }

    /// The same for a callback that tells the progress of a session.
    ///
    /// # Errors
    /// As for [`Self::queue`]; [`BackendError::NotFound`] if the session's end is another server's to tell by now.
    pub async fn queue_progress(
        &self,
        call_sid: &str,
        session_sid: Option<&str>,
        request: &CallbackRequest,
        token: Uuid,
        now: Timestamp,
    ) -> Result<Option<StoredCallback>, StoreError> {
        // The epoch from before the write: what is taken over after it is another one's.
        let (row, epoch) = (self.new_callback(request, token, call_sid, CallbackState::Waiting)?, self.epoch());
        let row = NewCallback { progress_of: session_sid.map(str::to_owned), ..row };
        let Inserted { id, is_own } = self.seen(self.backend.insert_callback(row, self.node, now).await)?;
        let (call_sid, request) = (call_sid.to_owned(), request.clone());
        let (held, tries, was_tried, since) = (false, 0, false, now);
        Ok(is_own.then(|| StoredCallback { id, token, call_sid, held, tries, was_tried, since, epoch, request }))
    }

    /// Takes over waiting callbacks that are nobody's or whose node is gone: all of the calls of the oldest `limit` of them
    /// ([`super::Backend::claim_callbacks`]).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_callbacks(&self, limit: u32) -> Result<Vec<PendingCallback>, StoreError> {
        Ok(self.backend.claim_callbacks(self.keeper, self.node, limit.min(PAGE_MAX)).await?)
    }

    /// What this process has claimed and not delivered, after this id: what a claim took whose answer was lost is among it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claimed_callbacks(&self, after_id: i64, limit: u32) -> Result<Vec<PendingCallback>, StoreError> {
        Ok(self.backend.claimed_callbacks(self.keeper, after_id, limit.min(PAGE_MAX)).await?)
    }

    /// A callback whose turn has come. None: it is not this process's to deliver any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_callback(&self, id: i64) -> Result<Option<StoredCallback>, StoreError> {
        let row = self.backend.open_callback(id, self.node).await?;
        match row {
            Some(row) => Ok(Some(self.claimed_callback(row).await?)),
            None => Ok(None),
        }
    }

    /// A callback of this process was answered ([`super::Backend::mark_delivered`]).
    pub fn mark_delivered(&self, id: i64, now: Timestamp) -> BoxFuture<'_, Result<(), BackendError>> {
        self.backend.mark_delivered(id, self.node, now)
    }

    /// The `number`th try of a callback of this process failed ([`super::Backend::mark_failed`]).
    pub fn mark_failed<'a>(
        &'a self,
        id: i64,
        reason: &'a str,
        number: u32,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.backend.mark_failed(id, reason, number, self.node, now)
    }

    /// A callback of this process is given up ([`super::Backend::mark_parked`]).
    pub fn mark_parked<'a>(
        &'a self,
        id: i64,
        reason: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.backend.mark_parked(id, reason, self.node, now)
    }

    /// Whether an action request that a call makes itself, and that was written down in `epoch`, is still this server's to
    /// make: somebody else may have taken it over since, where nobody heard of this server.
    ///
    /// # Errors
    /// [`StoreError`]: nobody knows.
    pub async fn still_holds(&self, epoch: Epoch, payment_sid: &str, token: Uuid) -> Result<bool, StoreError> {
        if self.holds_since(epoch) {
            return Ok(true);
        }
        // The row is looked at once this server is heard again: nobody takes it over meanwhile.
        self.heard().await;
        let filter = CallbackFilter::of_payment(payment_sid, PAGE_MAX);
        let rows = self.backend.callbacks(filter).await?;
        let Some(row) = rows.iter().find(|row| row.token == token) else { return Ok(false) };
        Ok(self.backend.open_callback(row.id, self.node).await?.is_some())
    }

    /// The request of a callback that was stored before.
    async fn claimed_callback(&self, row: CallbackRow) -> Result<StoredCallback, StoreError> {
        let (sealed, epoch) = (row.sealed.as_deref().ok_or(StoredShapeError::Shape)?, self.epoch());
        self.opened(sealed, Resealed::Callback(row.token)).await?;
        self.stored_callback(row, epoch)
    }

    /// The request of a stored callback.
    pub(super) fn stored_callback(&self, row: CallbackRow, epoch: Epoch) -> Result<StoredCallback, StoreError> {
        let sealed = row.sealed.as_ref().ok_or(StoredShapeError::Shape)?;
        let Opened { text, .. } = self.seal.open(sealed, SealedPlace::callback(row.token))?;
        let (url, form, cookies) = record::read_request(&text)?;
        let CallbackRow { id, token, call_sid, tries, reason, since, kind, method, .. } = row;
        let (held, was_tried) = (row.state == CallbackState::Held, tries > 0 || reason.is_some());
        let request = CallbackRequest { kind, method, url, form, cookies };
        Ok(StoredCallback { id, token, call_sid, held, tries, was_tried, since, epoch, request })
    }

    pub(super) fn new_callback(
        &self,
        request: &CallbackRequest,
        token: Uuid,
        call_sid: &str,
        state: CallbackState,
    ) -> Result<NewCallback, StoreError> {
        Ok(NewCallback {
            token,
            call_sid: call_sid.to_owned(),
            payment_sid: None,
            progress_of: None,
            kind: request.kind,
            method: request.method,
            // An address may hold a password.
            url: shown(&request.url),
            sealed: self.seal.close(&record::request(request), SealedPlace::callback(token))?,
            state,
        })
    }
}
