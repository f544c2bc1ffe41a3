//! Chance of a seed: the same throws every time.

use std::time::Duration;

use touchtone::simulate::random::SeededRng;

/// Throws. Every part of the world has dice of its own, so that one part's throws do not move another's.
#[derive(Clone, Debug)]
pub struct Dice(SeededRng);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(SeededRng::new(seed))
    }

    /// A number of any size.
    pub const fn throw(&mut self) -> u64 {
        self.0.number()
    }

    /// Other dice.
    pub const fn others(&mut self) -> Self {
        Self::new(self.throw())
    }

    /// A number below `end`, which is not 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.throw() % end
    }

    /// A time of whole milliseconds, both ends possible.
    pub const fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }

    /// True in so many of a thousand cases.
    pub const fn happens(&mut self, in_a_thousand: u64) -> bool {
        self.below(1000) < in_a_thousand
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}
