//! What time it is for people: the wall clock, or a simulated one.
//!
//! Shape:   [`WallClock::now`]. What only measures or waits uses tokio's own clock, which a simulation paces.
//! Units:   [`Timestamp`], UTC.
#![allow(clippy::disallowed_methods, reason = "this is where the shell reads the clock")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Where the wall-clock time comes from.
#[derive(Clone, Copy, Debug, Default)]
pub enum WallClock {
    /// The machine's clock.
    #[default]
    System,
    /// A moment, and what tokio's clock has added to it since: that is how time passes in a simulation.
    Simulated {
        /// What time it was.
        base: Timestamp,
        /// When, by tokio's clock.
        since: Instant,
        /// By how many milliseconds it was set forward or back, if it can be.
        set: Option<&'static AtomicI64>,
    },
}

impl WallClock {
    /// A clock that shows `base` now and is moved by tokio's.
    #[must_use]
    pub fn simulated(base: Timestamp) -> Self {
        Self::Simulated { base, since: Instant::now(), set: None }
    }

    /// As [`Self::simulated`], but wrong by `set` milliseconds, which may change at any time: as machines' clocks are
    /// wrong, and are set.
    #[must_use]
    pub fn simulated_set(base: Timestamp, set: &'static AtomicI64) -> Self {
        Self::Simulated { base, since: Instant::now(), set: Some(set) }
    }

    /// What time it is. A simulated clock that runs off the calendar stays on its last day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Simulated { base, since, set } => {
                let passed: Duration = since.elapsed();
                let set = set.map_or(0, |set| set.load(Ordering::Relaxed));
                let shown = base.checked_add(passed).unwrap_or(Timestamp::MAX);
                shown.checked_add(SignedDuration::from_millis(set)).unwrap_or(shown)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_is_moved_by_the_runtimes_and_by_nothing_else() {
        let base: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let wall_clock = WallClock::simulated(base);
        assert_eq!(wall_clock.now(), base);
        tokio::time::advance(Duration::from_millis(90_500)).await;
        assert_eq!(wall_clock.now(), "2026-11-22T10:01:30.5Z".parse().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_can_be_set_forward_and_back() {
        static SET: AtomicI64 = AtomicI64::new(0);
        let wall_clock = WallClock::simulated_set("2026-11-22T10:00:00Z".parse().unwrap(), &SET);
        SET.store(90_000, Ordering::Relaxed);
        assert_eq!(wall_clock.now(), "2026-11-22T10:01:30Z".parse().unwrap());
        tokio::time::advance(Duration::from_secs(1)).await;
        SET.store(-1_500, Ordering::Relaxed);
        assert_eq!(wall_clock.now(), "2026-11-22T09:59:59.5Z".parse().unwrap());
    }
}
