//! What a caller of a running server hears: sounds one after the other, with marks between them.
//!
//! Shape:   pure; media, marks and clears in, marks that are due out, as Twilio plays them (spec/media-streams.md, 1.4).
//! Units:   8 kHz mu-law, one byte a sample.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::CallTime;

/// Samples a millisecond.
const PER_MILLISECOND: usize = 8;

/// Sounds that are being played.
#[derive(Debug, Default)]
pub(super) struct Playback {
    /// The length of all sound, in samples, since the first one that is not played to its end yet.
    samples: usize,
    since: CallTime,
    marks: VecDeque<(CallTime, String)>,
    /// The sound that nobody was told of.
    untold: usize,
}

impl Playback {
    /// Appends a sound of so many samples.
    pub(super) fn media(&mut self, now: CallTime, samples: usize) {
        if now >= self.ends() {
            // The clock counts whole milliseconds that are over: no mark may come back before its sound was heard.
            (self.since, self.samples) = (now + Duration::from_millis(1), 0);
        }
        self.samples = self.samples.saturating_add(samples);
        self.untold = self.untold.saturating_add(samples);
    }

    /// A mark after the sound that is there.
    pub(super) fn mark(&mut self, now: CallTime, name: String) {
        self.marks.push_back((self.ends().max(now), name));
    }

    /// Forgets the sound; its marks come back at once. Whether there was any.
    pub(super) fn clear(&mut self, now: CallTime) -> bool {
        let was_heard = now < self.ends();
        (self.since, self.samples) = (now, 0);
        for (due, _) in &mut self.marks {
            *due = now;
        }
        was_heard
    }

    /// A mark that was reached.
    pub(super) fn due(&mut self, now: CallTime) -> Option<String> {
        let due = self.marks.front().is_some_and(|(due, _)| *due <= now);
        if due { self.marks.pop_front().map(|(_, name)| name) } else { None }
    }

    /// When the next mark is reached.
    pub(super) fn next(&self) -> Option<CallTime> {
        self.marks.front().map(|(due, _)| *due)
    }

    /// When everything has been heard.
    pub(super) fn ends(&self) -> CallTime {
        self.since + length(self.samples)
    }

    /// The length of the sound since the last time this was asked.
    pub(super) fn untold(&mut self) -> Option<Duration> {
        let samples = std::mem::take(&mut self.untold);
        (samples > 0).then(|| length(samples))
    }
}

fn length(samples: usize) -> Duration {
    Duration::from_millis(u64::try_from(samples / PER_MILLISECOND).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> CallTime {
        CallTime::from_millis(millis)
    }

    #[test]
    fn a_mark_comes_back_when_the_sound_before_it_was_heard() {
        let mut playback = Playback::default();
        playback.media(at(100), 8000);
        playback.mark(at(110), "first".into());
        playback.media(at(200), 4000);
        playback.mark(at(210), "second".into());
        assert_eq!((playback.next(), playback.ends()), (Some(at(1101)), at(1601)));
        assert_eq!(playback.due(at(1100)), None);
        assert_eq!(playback.due(at(1101)).as_deref(), Some("first"));
        assert_eq!(playback.due(at(1601)).as_deref(), Some("second"));
        assert_eq!(playback.untold(), Some(Duration::from_millis(1500)));
        assert_eq!(playback.untold(), None);
    }

    #[test]
    fn a_mark_without_sound_before_it_comes_back_at_once() {
        let mut playback = Playback::default();
        playback.mark(at(50), "now".into());
        assert_eq!(playback.due(at(50)).as_deref(), Some("now"));
    }

    #[test]
    fn a_clear_sends_every_mark_back() {
        let mut playback = Playback::default();
        playback.media(at(0), 80_000);
        playback.mark(at(0), "cut".into());
        assert!(playback.clear(at(500)));
        assert_eq!(playback.due(at(500)).as_deref(), Some("cut"));
        assert!(!playback.clear(at(500)));
        assert_eq!(playback.ends(), at(500));
    }
}
