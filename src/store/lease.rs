//! Whether this server may still count on what it holds in a database that it shares.
//!
//! Shape:   each heartbeat that was written renews the lease ([`Lease::renew`]); whoever is about to act on something that was
//!          stored waits until it is fresh ([`Lease::fresh`]), and looks again whether it is still this server's when the
//!          lease was interrupted meanwhile: that is what an [`Epoch`] is for.
//! Units:   a [`BothClocks`], from before a heartbeat was sent: the database heard it later than that. What passes is measured by
//!          tokio's clock and by the wall clock, and the longer time counts: while a machine is suspended the first one stands
//!          still. A wall clock that is set forward costs a heartbeat, one that is set back nothing.
//!          What is under way is given up when the lease lapses ([`Lease::lapsed`]).
//! Limits:  [`FRESH_FOR`], [`HELD_FOR`].

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::GONE_AFTER;
use crate::clock::WallClock;

/// How long after a heartbeat something new may be begun. Our choice: a third of [`GONE_AFTER`] is left for it to end before
/// anybody else begins.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// How long after a heartbeat something that is under way may go on. Our choice: a second before others may begin.
const HELD_FOR: Duration = GONE_AFTER.saturating_sub(Duration::from_secs(1));

/// How often the wall clock is looked at while something is under way. Our choice: whoever was suspended learns of it soon.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A time in which nobody can have taken anything over. Another one begins when the lease was interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch(u64);

/// The lease of one server.
#[derive(Debug)]
pub(super) struct Lease {
    /// None: the database is this server's alone.
    state: Option<watch::Sender<LeaseState>>,
    wall_clock: WallClock,
}

#[derive(Clone, Copy, Debug)]
struct LeaseState {
    heard: BothClocks,
    epoch: Epoch,
}

/// What time it is by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct BothClocks {
    instant: Instant,
    wall_clock: Timestamp,
}

impl BothClocks {
    fn since(self, earlier: Self) -> Duration {
        let by_wall = Duration::try_from(self.wall_clock.duration_since(earlier.wall_clock)).unwrap_or_default();
        self.instant.saturating_duration_since(earlier.instant).max(by_wall)
    }
}

impl Lease {
    /// Of a server that was just registered.
    pub(super) fn new(is_shared: bool, wall_clock: WallClock) -> Self {
        let heard = BothClocks { instant: Instant::now(), wall_clock: wall_clock.now() };
        let state = || watch::Sender::new(LeaseState { heard, epoch: Epoch(1) });
        Self { state: is_shared.then(state), wall_clock }
    }

    /// The moment.
    pub(super) fn now(&self) -> BothClocks {
        BothClocks { instant: Instant::now(), wall_clock: self.wall_clock.now() }
    }

    /// A heartbeat was written that was begun at this moment.
    pub(super) fn renew(&self, begun: BothClocks) {
        let Some(state) = &self.state else { return };
        state.send_modify(|state| {
            // Others may have begun by now: what was held before is looked at again.
            if begun.since(state.heard) >= HELD_FOR {
                state.epoch = Epoch(state.epoch.0.saturating_add(1));
            }
            state.heard = begun;
        });
    }

    /// The epoch of the moment.
    pub(super) fn epoch(&self) -> Epoch {
        self.state.as_ref().map_or(Epoch::default(), |state| state.borrow().epoch)
    }

    /// Whether the lease is fresh and was not interrupted since.
    pub(super) fn is_fresh_in(&self, epoch: Epoch) -> bool {
        self.state.as_ref().is_none_or(|state| {
            let state = state.borrow();
            self.is_fresh(&state) && state.epoch == epoch
        })
    }

    fn is_fresh(&self, state: &LeaseState) -> bool {
        self.now().since(state.heard) < FRESH_FOR
    }

    /// Waits until the lease is fresh.
    pub(super) async fn fresh(&self) -> Epoch {
        let Some(state) = &self.state else { return Epoch::default() };
        let mut state = state.subscribe();
        // Whoever waits holds the lease, so that its sender is there.
        let fresh = state.wait_for(|state| self.is_fresh(state)).await;
        fresh.map_or(Epoch::default(), |state| state.epoch)
    }
}

impl Lease {
    /// Waits until nobody has heard of this server for so long that others may begin what it does.
    pub(super) async fn lapsed(&self) {
        let Some(state) = &self.state else { return std::future::pending().await };
        let mut state = state.subscribe();
        loop {
            let heard = state.borrow_and_update().heard;
            let left = HELD_FOR.saturating_sub(self.now().since(heard));
            if left.is_zero() {
                return;
            }
            tokio::select! {
                biased;
                // tokio's clock stands still while a machine is suspended: the wall clock is looked at besides.
                () = sleep(left.min(LOOK_EVERY)) => {}
                // Whoever waits holds the lease, so that its sender is there.
                _ = state.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;

    /// One that goes with tokio's.
    fn wall_clock() -> WallClock {
        WallClock::simulated(Timestamp::UNIX_EPOCH)
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_suspended_has_to_be_heard_before_it_goes_on() {
        static SET: AtomicI64 = AtomicI64::new(0);
        let lease = Lease::new(true, WallClock::simulated_set(Timestamp::UNIX_EPOCH, &SET));
        let first = lease.fresh().await;
        let (under_way, resumed) = (lease.lapsed(), async {
            advance(Duration::from_secs(1)).await;
            // For tokio's clock no time passes meanwhile.
            SET.store(90_000, Ordering::Relaxed);
            Instant::now()
        });
        let ((), resumed) = tokio::join!(under_way, resumed);
        assert!(resumed.elapsed() <= LOOK_EVERY, "what was under way is given up at once");
        assert!(!lease.is_fresh_in(first));
        assert_eq!(lease.fresh().now_or_never(), None);
        lease.renew(lease.now());
        assert_ne!(lease.fresh().await, first, "others may have taken over");
        let second = lease.epoch();
        SET.store(-90_000, Ordering::Relaxed);
        assert!(lease.is_fresh_in(second), "a clock that was set back says nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_interrupted_is_another_one_and_a_stale_one_is_waited_for() {
        let lease = Lease::new(true, wall_clock());
        let first = lease.fresh().await;
        advance(Duration::from_secs(9)).await;
        assert_eq!(lease.fresh().now_or_never(), Some(first));
        advance(Duration::from_secs(2)).await;
        assert_eq!(lease.fresh().now_or_never(), None, "nobody has heard of this server for too long");
        assert!(!lease.is_fresh_in(first));
        lease.renew(lease.now());
        assert_eq!(lease.fresh().await, first, "but not for so long that others took over");
        assert!(lease.is_fresh_in(first));
        advance(Duration::from_secs(66)).await;
        assert_eq!(lease.fresh().now_or_never(), None);
        lease.renew(lease.now());
        assert_ne!(lease.fresh().await, first);
        assert!(!lease.is_fresh_in(first));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_is_given_up_before_others_may_begin_it() {
        let lease = Lease::new(true, wall_clock());
        let begun = Instant::now();
        let renewed = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            lease.renew(lease.now());
        };
        tokio::join!(lease.lapsed(), renewed);
        assert_eq!(begun.elapsed(), Duration::from_secs(9) + HELD_FOR);
        assert_eq!(Lease::new(false, wall_clock()).lapsed().now_or_never(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_of_ones_own_needs_none() {
        let lease = Lease::new(false, wall_clock());
        advance(Duration::from_secs(3600)).await;
        assert_eq!(lease.fresh().now_or_never(), Some(lease.epoch()));
    }
}
