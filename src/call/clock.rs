//! The time of a live call, such that a recording of it can be replayed in the same order.
//!
//! Shape:   [`CallClock::stamp`] gives each event its moment, [`CallClock::came_due`] a deadline its own. The time in which the process
//!          was stopped is not counted ([`CallClock::was_stopped`]).
//! Units:   [`CallTime`], which never goes backwards.
//! Sources: spec/pay.md, section 3: an input that is already there wins over a deadline of the same instant.

use std::time::Duration;

use tokio::time::Instant;

use crate::deadline;
use crate::time::CallTime;

/// What an event is, as far as its time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The caller did something.
    Caller,
    /// Something else happened: in virtual time it comes before what the caller does in the same millisecond.
    Other,
}

/// What happened last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Arrived,
    CameDue,
}

/// A call's clock.
#[derive(Debug)]
pub(super) struct CallClock {
    /// When the call was answered, later by the time in which the process was stopped.
    answered: Instant,
    moment: CallTime,
    last: Last,
}

impl CallClock {
    /// The call is answered.
    pub(super) fn start() -> Self {
        Self { answered: Instant::now(), moment: CallTime::ZERO, last: Last::Arrived }
    }

    /// When a moment of the call is.
    pub(super) fn instant(&self, at: CallTime) -> Instant {
        self.answered + Duration::from_millis(at.as_millis())
    }

    /// How long the call has lasted.
    pub(super) fn reading(&self) -> CallTime {
        CallTime::from_millis(u64::try_from(self.answered.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When the last thing happened: what is done about it is done at the same moment.
    pub(super) const fn moment(&self) -> CallTime {
        self.moment
    }

    /// When an event happens that has just arrived. `deadline`: what the machine waits for. An event that finds it past has
    /// arrived in time all the same, as nobody has acted on it yet.
    pub(super) fn stamp(&mut self, arrival: Arrival, deadline: Option<CallTime>) -> CallTime {
        let reading = self.reading();
        self.stamp_at(reading, arrival, deadline)
    }

    fn stamp_at(&mut self, reading: CallTime, arrival: Arrival, deadline: Option<CallTime>) -> CallTime {
        let next = CallTime::from_millis(self.moment.as_millis().saturating_add(1));
        let least = match (self.last, arrival) {
            (Last::Arrived, Arrival::Caller) => self.moment,
            // Virtual time puts these before a key of the same millisecond, and any input before a deadline: what
            // comes after must be later.
            (Last::Arrived, Arrival::Other) | (Last::CameDue, _) => next,
        };
        // An event that beat a deadline is no later than it: a replay would let the deadline come first.
        let at = deadline.map_or(reading.max(least), |deadline| reading.max(least).min(deadline));
        self.last = Last::Arrived;
        self.moment = self.moment.max(at);
        self.moment
    }

    /// Whether the process was stopped so that nobody noticed when a deadline came. Then the call has lasted until shortly
    /// before it: what has arrived meanwhile comes first, and what is waited for next has its time.
    pub(super) fn was_stopped(&mut self, due: CallTime) -> bool {
        let Some(late) = deadline::overdue(self.instant(due)) else { return false };
        // Moved by the stop, and by the time in which what has arrived is read.
        self.answered += late.saturating_add(deadline::GRACE);
        true
    }

    /// A deadline came: it came when it was due, however late its timer ran.
    pub(super) fn came_due(&mut self, due: CallTime) -> CallTime {
        self.last = Last::CameDue;
        self.moment = self.moment.max(due);
        self.moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> CallTime {
        CallTime::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_finds_its_deadline_past_but_not_acted_upon_comes_just_in_time() {
        let mut clock = CallClock::start();
        assert_eq!(clock.stamp_at(at(5003), Arrival::Caller, Some(at(5000))), at(5000));
        assert_eq!(clock.stamp_at(at(5003), Arrival::Caller, Some(at(9000))), at(5003));
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_in_one_millisecond_keeps_its_order() {
        let mut clock = CallClock::start();
        assert_eq!(clock.stamp_at(at(70), Arrival::Caller, None), at(70));
        assert_eq!(clock.stamp_at(at(70), Arrival::Caller, None), at(70), "keys follow one another");
        assert_eq!(clock.stamp_at(at(70), Arrival::Other, None), at(71), "after the keys");
        assert_eq!(clock.stamp_at(at(70), Arrival::Caller, None), at(71), "never backwards");
        assert_eq!(clock.came_due(at(80)), at(80));
        assert_eq!(clock.stamp_at(at(80), Arrival::Caller, Some(at(100))), at(81), "after the deadline");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_the_process_was_stopped_is_not_counted() {
        let mut clock = CallClock::start();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.stamp(Arrival::Other, None), at(2000));
        // A question that has three seconds; the answer arrives at once, and 25 seconds later it can be read.
        let due = at(5000);
        tokio::time::advance(Duration::from_secs(25)).await;
        assert!(clock.was_stopped(due));
        assert_eq!((clock.reading(), clock.instant(due)), (at(4000), Instant::now() + deadline::GRACE));
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(clock.stamp(Arrival::Other, Some(due)), at(4005), "it arrives in time");
        // If none arrives, the next question has all its time.
        tokio::time::advance(deadline::GRACE).await;
        assert!(!clock.was_stopped(due));
        assert_eq!(clock.came_due(due), due);
        assert!(clock.instant(at(8000)) > Instant::now() + Duration::from_millis(2900));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_right_after_something_happened_does_not_turn_the_clock_back() {
        let mut clock = CallClock::start();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.stamp(Arrival::Caller, None), at(2000));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(clock.was_stopped(at(2100)));
        assert_eq!(clock.stamp(Arrival::Other, Some(at(2100))), at(2001));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_timer_does_not_make_its_deadline_late() {
        let mut clock = CallClock::start();
        tokio::time::advance(std::time::Duration::from_millis(5007)).await;
        assert_eq!((clock.reading(), clock.came_due(at(5000))), (at(5007), at(5000)));
        assert_eq!(clock.moment(), at(5000));
    }
}
