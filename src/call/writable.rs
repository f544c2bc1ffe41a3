//! Whether the store takes writes, found out before a caller is asked for anything.
//!
//! Units:   tokio's clock.
//! Errors:  none: the store takes note of them, and says so once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::registry::Calls;
use super::services::PaymentServices;

/// How often it is tried while there are calls or nothing can be written: a store that is back is used within a second. It is
/// tried at once when a write has failed.
const EVERY: Duration = Duration::from_secs(1);

/// How often without calls. Our choice: each is a flush to the disk.
const EVERY_IDLE: Duration = Duration::from_secs(5);

/// Finds out, again and again.
pub(crate) async fn watch(payments: Arc<PaymentServices>, calls: Arc<Calls>) {
    let store = &payments.store;
    let mut look = interval(EVERY);
    // After a suspension one look is enough.
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<Instant> = None;
    loop {
        let is_suspected = tokio::select! {
            biased;
            _ = look.tick() => false,
            () = store.suspected() => true,
        };
        let pressing = is_suspected || calls.live() > 0 || !store.is_writable();
        if pressing || last.is_none_or(|last| last.elapsed() >= EVERY_IDLE) {
            // The store takes note of what it finds.
            let _ = store.probe().await;
            last = Some(Instant::now());
        }
    }
}
