//! When a listener has heard what was sent: for whoever is told of no mark, or has to tell of them.
//!
//! Shape:   pure; sound, marks and clears in, marks that are due out, as Twilio plays them (spec/media-streams.md, 1.4).
//! Units:   a mark is due at a whole millisecond, and not before its sound is over.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::CallTime;

/// Sounds that are played one after the other, with marks between them.
#[derive(Debug)]
pub struct Playout<Mark> {
    /// The length of all sound since the first one that is not played to its end yet.
    length: Duration,
    since: CallTime,
    marks: VecDeque<(CallTime, Mark)>,
}

impl<Mark> Default for Playout<Mark> {
    fn default() -> Self {
        Self { length: Duration::ZERO, since: CallTime::ZERO, marks: VecDeque::new() }
    }
}

impl<Mark> Playout<Mark> {
    /// Appends a sound of this length.
    pub fn sound(&mut self, now: CallTime, length: Duration) {
        if now >= self.ends() {
            // The clock counts whole milliseconds that are over: no mark may come back before its sound was heard.
            (self.since, self.length) = (now + Duration::from_millis(1), Duration::ZERO);
        }
        self.length = self.length.saturating_add(length);
    }

    /// A mark after the sound that is there.
    pub fn mark(&mut self, now: CallTime, mark: Mark) {
        // Without sound before it, a mark is reached at once (spec/media-streams.md 1.4).
        self.marks.push_back((self.ends().max(now), mark));
    }

    /// Forgets the sound; its marks come back at once. Whether there was any.
    pub fn clear(&mut self, now: CallTime) -> bool {
        let was_heard = now < self.ends();
        (self.since, self.length) = (now, Duration::ZERO);
        for (due, _) in &mut self.marks {
            *due = now;
        }
        was_heard
    }

    /// A mark that was reached.
    pub fn due(&mut self, now: CallTime) -> Option<Mark> {
        let due = self.marks.front().is_some_and(|(due, _)| *due <= now);
        if due { self.marks.pop_front().map(|(_, mark)| mark) } else { None }
    }

    /// When the next mark is reached.
    #[must_use]
    pub fn next_mark(&self) -> Option<CallTime> {
        self.marks.front().map(|(due, _)| *due)
    }

    /// When everything has been heard.
    #[must_use]
    pub fn ends(&self) -> CallTime {
        self.since + self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> CallTime {
        CallTime::from_millis(millis)
    }

    #[test]
    fn a_mark_comes_back_when_the_sound_before_it_was_heard() {
        let mut playout = Playout::default();
        playout.sound(at(100), Duration::from_millis(1000));
        playout.mark(at(110), "first");
        playout.sound(at(200), Duration::from_millis(500));
        playout.mark(at(210), "second");
        assert_eq!((playout.next_mark(), playout.ends()), (Some(at(1101)), at(1601)));
        assert_eq!(playout.due(at(1100)), None);
        assert_eq!(playout.due(at(1101)), Some("first"));
        assert_eq!(playout.due(at(1601)), Some("second"));
    }

    #[test]
    fn a_mark_without_sound_before_it_comes_back_at_once() {
        let mut playout = Playout::default();
        playout.mark(at(50), "now");
        assert_eq!(playout.due(at(50)), Some("now"));
    }

    #[test]
    fn a_clear_sends_every_mark_back() {
        let mut playout = Playout::default();
        playout.sound(at(0), Duration::from_secs(10));
        playout.mark(at(0), "cut");
        assert!(playout.clear(at(500)));
        assert_eq!(playout.due(at(500)), Some("cut"));
        assert!(!playout.clear(at(500)));
        assert_eq!(playout.ends(), at(500));
    }

    #[test]
    fn pieces_of_less_than_a_millisecond_add_up() {
        let mut playout = Playout::<()>::default();
        for _ in 0..8 {
            playout.sound(at(0), Duration::from_micros(125));
        }
        assert_eq!(playout.ends(), at(2));
    }
}
