//! What a server that is gone left behind before a gateway was to be asked: its calls are marked as failed, its Pay sessions
//! told.
//!
//! Limits:  [`TAKEN_MAX`] of each at a time.
//! Errors:  to [`super::recovery`], which looks again; what could not be written is tried again, for it may have been.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::metrics;
use super::search::Search;
use super::services::PaymentServices;
use crate::flow::Begun;
use crate::pay::outcome::Ending;
use crate::store::{BackendError, Recorded, StoreError};

/// How many are taken over at a time. Our choice: a full server's are told within some minutes.
const TAKEN_MAX: u32 = 100;

/// How long it is waited before an end that could not be written is written again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// Takes over what is nobody's, or whose server is gone.
pub(super) async fn take_over(payments: &Arc<PaymentServices>, now: Timestamp) -> Result<(), StoreError> {
    let failed = payments.store.fail_left_calls(TAKEN_MAX, now).await?;
    if failed > 0 {
        tracing::warn!(calls = failed, "calls were left without an end; marking them as failed");
    }
    for begun in payments.store.claim_sessions(TAKEN_MAX, now).await? {
        // One that is being told is claimed again: its claim's answer might have been lost.
        if let Some(search) = Search::begin(payments, &begun.payment.sid) {
            tokio::spawn(tell(search, Arc::clone(payments), begun));
        }
    }
    Ok(())
}

/// Tells a session that nobody leads any more. If the answer to the write is lost, what it queued is known only by writing it
/// again: so it is repeated here, and not left to another look, which would find the session ended.
async fn tell(_search: Search, payments: Arc<PaymentServices>, begun: Begun) {
    let sid = &begun.payment.sid;
    let settled = begun.settled(&Ending::cut_off());
    loop {
        match payments.store.end_left_session(settled.clone(), &begun.call_sid, payments.wall_clock.now()).await {
            // Its payment is being made by somebody else, or was told by its own server: nothing is known of it here.
            Ok(None) => return,
            Ok(Some(callbacks)) => {
                metrics::session_left();
                payments.deliveries.outcome_written(&begun.call_sid, &settled, Recorded::First);
                tracing::warn!(
                    payment = sid,
                    call_sid = begun.call_sid,
                    "session was left without an end; telling its application"
                );
                return payments.deliveries.deliver(callbacks);
            }
            Err(StoreError::Backend(BackendError::Unavailable(reason))) => {
                tracing::error!(
                    payment = sid,
                    error = reason,
                    "could not persist the end of a left session; trying again"
                );
                sleep(WRITE_AGAIN).await;
            }
            Err(error) => {
                tracing::error!(payment = sid, %error, "end of a left session cannot be persisted; nobody is told");
                return;
            }
        }
    }
}
