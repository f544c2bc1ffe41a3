//! What a server that is gone left behind before a gateway was to be asked: its calls are marked as failed, its Pay sessions
//! told.
//!
//! Limits:  [`TAKEN_MAX`] of each at a time.
//! Errors:  to [`super::recovery`], which looks again; what was told is told once.

use std::sync::Arc;

use jiff::Timestamp;

use super::{House, metrics};
use crate::flow::Begun;
use crate::pay::outcome::Ending;
use crate::store::{BackendError, StoreError};

/// How many are taken over at a time. Our choice: a full server's are told within some minutes.
const TAKEN_MAX: u32 = 100;

/// Takes over what is nobody's, or whose server is gone.
pub(super) async fn take_over(house: &Arc<House>, now: Timestamp) -> Result<(), StoreError> {
    let failed = house.store.fail_left_calls(TAKEN_MAX, now).await?;
    if failed > 0 {
        tracing::warn!(failed, "calls were left without an end; they are marked as failed");
    }
    for begun in house.store.claim_sessions(TAKEN_MAX).await? {
        tell(house, &begun).await?;
    }
    Ok(())
}

/// Tells a session that nobody leads any more.
async fn tell(house: &Arc<House>, begun: &Begun) -> Result<(), StoreError> {
    let sid = &begun.payment.sid;
    let settled = begun.settled(&Ending::cut_off());
    match house.store.end_left_session(settled, &begun.call_sid, house.wall.now()).await {
        Ok(callbacks) => {
            metrics::session_left();
            tracing::warn!(payment = sid, call_sid = begun.call_sid, "a session was left without an end; telling it");
            house.deliveries.deliver(callbacks);
            Ok(())
        }
        Err(error @ StoreError::Backend(BackendError::Unavailable(_))) => Err(error),
        // The others must not wait for it.
        Err(error) => {
            tracing::error!(payment = sid, %error, "a session that was left without an end cannot be told");
            Ok(())
        }
    }
}
