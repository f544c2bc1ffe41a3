//! Saying that this server is there.
//!
//! Shape:   [`beat`] is a task of its own that waits for nothing else: a server that is busy is not one that is gone.
//! Limits:  every [`HEARTBEAT_EVERY`], and when the lease lapses, as after the machine was suspended; each within
//!          [`HEARTBEAT_LIMIT`]; after a failure again at once ([`AGAIN`]).
//! Errors:  logged once until it works again; the store counts as unusable meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::services::PaymentServices;
use crate::store::{HEARTBEAT_EVERY, HEARTBEAT_LIMIT};

/// How long it is waited before a heartbeat that failed is tried again. Our choice: as soon as the database is there, all are
/// heard.
const AGAIN: Duration = Duration::from_millis(500);

/// Says so for as long as the server runs.
pub(crate) async fn beat(payments: Arc<PaymentServices>) {
    let mut every = interval(HEARTBEAT_EVERY);
    // After a suspension one heartbeat is enough, not one for each that was missed.
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent_since = None;
    loop {
        tokio::select! {
            biased;
            _ = every.tick() => {}
            // Only after a suspension, as a heartbeat that fails is repeated below: the next tick may be seconds away.
            () = payments.store.lapsed() => {}
        }
        loop {
            let heard = match timeout(HEARTBEAT_LIMIT, payments.store.heartbeat()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("no answer within {} s", HEARTBEAT_LIMIT.as_secs())),
            };
            payments.searches.heard(heard.is_ok());
            match heard {
                Ok(()) => break,
                Err(reason) if silent_since.is_none() => {
                    silent_since = Some(Instant::now());
                    tracing::error!(
                        error = reason,
                        "could not write heartbeat; trying again, and other servers may take over what this one holds"
                    );
                }
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
        if let Some(since) = silent_since.take() {
            tracing::warn!(seconds = since.elapsed().as_secs(), "heartbeat is written again");
        }
    }
}
