//! What the call has been given to say and has not finished saying.
//!
//! Shape:   turns in, a deadline out. The platform plays in order, so a turn that was played ends all before it.
//! Units:   `CallTime`.
//! Limits:  [`RENDER_LIMIT`] to turn words into sound, [`MARK_MARGIN`] beyond its length for a turn's mark to come back: a
//!          platform that loses a mark delays a call, it does not hang it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::CallTime;

/// How long the shell may take to make sound of a turn: twice the limit of the speech engine and of a fetched recording.
const RENDER_LIMIT: Duration = Duration::from_secs(30);

/// How much later than its length a turn's mark may come back: a platform buffers, and networks are slow. Chosen freely.
const MARK_MARGIN: Duration = Duration::from_secs(5);

/// The number of a turn, in the order they are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnId(pub u32);

#[derive(Debug)]
struct SpokenTurn {
    id: TurnId,
    until: CallTime,
}

/// The turns being said.
#[derive(Debug, Default)]
pub(super) struct Voice {
    turns: VecDeque<SpokenTurn>,
    said: u32,
}

impl Voice {
    /// A new turn, after those before it.
    pub(super) fn begin(&mut self, now: CallTime) -> TurnId {
        self.said = self.said.saturating_add(1);
        let id = TurnId(self.said);
        // A turn begins when the one before it is over.
        let before = self.turns.back().map_or(now, |turn| turn.until.max(now));
        self.turns.push_back(SpokenTurn { id, until: before + RENDER_LIMIT });
        id
    }

    /// The sound of a turn is there and lasts so long.
    pub(super) fn handle_ready(&mut self, now: CallTime, id: TurnId, length: Duration) {
        let mut before = now;
        for turn in &mut self.turns {
            if turn.id == id {
                turn.until = before.max(now) + length + MARK_MARGIN;
            }
            before = turn.until;
        }
    }

    /// A turn was heard to its end; those before it, too.
    pub(super) fn handle_played(&mut self, id: TurnId) {
        self.turns.retain(|turn| turn.id > id);
    }

    /// The first turn's time is up.
    pub(super) fn handle_timeout(&mut self) -> Option<TurnId> {
        self.turns.pop_front().map(|turn| turn.id)
    }

    /// Nothing is to be heard any more.
    pub(super) fn clear(&mut self) {
        self.turns.clear();
    }

    pub(super) fn is_silent(&self) -> bool {
        self.turns.is_empty()
    }

    pub(super) fn poll_timeout(&self) -> Option<CallTime> {
        self.turns.front().map(|turn| turn.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> CallTime {
        CallTime::from_millis(millis)
    }

    #[test]
    fn a_turn_that_was_played_ends_all_before_it() {
        let mut voice = Voice::default();
        let (_, second, third) = (voice.begin(at(0)), voice.begin(at(0)), voice.begin(at(0)));
        voice.handle_played(second);
        assert!(!voice.is_silent());
        voice.handle_played(third);
        assert!(voice.is_silent());
    }

    #[test]
    fn a_mark_that_never_comes_back_is_waited_for_no_longer_than_the_sound_and_a_margin() {
        let mut voice = Voice::default();
        let first = voice.begin(at(0));
        assert_eq!(voice.poll_timeout(), Some(at(30_000)));
        voice.handle_ready(at(100), first, Duration::from_secs(2));
        assert_eq!(voice.poll_timeout(), Some(at(7100)));
        let second = voice.begin(at(200));
        voice.handle_ready(at(300), second, Duration::from_secs(1));
        assert_eq!(voice.handle_timeout(), Some(first));
        assert_eq!(voice.poll_timeout(), Some(at(13_100)), "behind the first");
    }
}
