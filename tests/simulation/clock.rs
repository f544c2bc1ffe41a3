//! Each server's wall clock: wrong by something of its own, and now and then set.

use std::sync::atomic::{AtomicI64, Ordering};

use touchtone::wall::Wall;

/// When every run begins.
pub const BEGIN: &str = "2026-06-01T12:00:00Z";

/// By how many milliseconds a machine's clock is wrong.
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

    /// What the machine's programs read. It is moved by the runtime that this is called on.
    pub fn wall(&self) -> Wall {
        let begin: jiff::Timestamp = BEGIN.parse().unwrap();
        Wall::simulated_set(begin + turmoil::sim_elapsed().unwrap(), self.0)
    }
}
