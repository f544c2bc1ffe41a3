//! Each server's wall clock: wrong by something of its own, and now and then set.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use touchtone::clock::WallClock;

/// When every run begins.
pub const BEGIN: &str = "2026-06-01T12:00:00Z";

/// By how many milliseconds a machine's clock is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Clock(&'static AtomicI64);

impl Clock {
    pub fn wrong_by(milliseconds: i64) -> Self {
        // Clocks are copied everywhere. A run has three at most, of eight bytes each.
        Self(Box::leak(Box::new(AtomicI64::new(milliseconds))))
    }

    /// Sets it forward or back.
    pub fn step(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// How long it has been running, as far as it knows: what leases must not go by.
    pub fn shown(self) -> Duration {
        let wrong = jiff::SignedDuration::from_millis(self.0.load(Ordering::Relaxed));
        // It was running before the run began, and is never set back by so much.
        let since = jiff::SignedDuration::from_hours(1) + wrong;
        turmoil::sim_elapsed().unwrap_or_default() + Duration::try_from(since).unwrap_or_default()
    }

    /// What the machine's programs read. It is moved by the runtime that this is called on.
    pub fn wall_clock(&self) -> WallClock {
        let begin: jiff::Timestamp = BEGIN.parse().unwrap();
        WallClock::simulated_set(begin + turmoil::sim_elapsed().unwrap(), self.0)
    }
}
