//! The sound of a call on its way out: turns in order, paced, each followed by its mark.
//!
//! Shape:   turns and their sound in, what to send now out; the caller of these methods owns the socket and the clock.
//! Limits:  [`AHEAD`] of sound is sent before it is heard, so that a clear is cheap and no platform's queue overflows
//!          (spec/media-streams.md, section 10.6).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::audio::{Clip, FRAME_BYTES};
use crate::flow::TurnId;
use crate::media::MarkName;

/// How much sound is sent ahead.
const AHEAD: Duration = Duration::from_secs(5);

/// How low it may fall before more is sent: a second of sound a wake-up.
const LOW: Duration = Duration::from_secs(4);

/// A frame's length.
const FRAME: Duration = Duration::from_millis(20);

/// One turn.
#[derive(Debug)]
struct PlayedTurn {
    id: TurnId,
    /// None while it is being rendered.
    sound: Option<Clip>,
    /// How many bytes were sent.
    sent: usize,
}

/// Something to send.
#[derive(Debug, PartialEq, Eq)]
pub enum PlaybackPiece {
    /// 20 ms of sound.
    Frame([u8; FRAME_BYTES]),
    /// The mark after a turn.
    Mark(TurnId),
}

/// The sound of a call.
#[derive(Debug, Default)]
pub struct Playback {
    turns: VecDeque<PlayedTurn>,
    /// Marks that have not come back.
    marks: VecDeque<TurnId>,
    /// When everything sent will have been heard.
    heard_until: Option<Instant>,
}

impl Playback {
    /// A turn begins; its sound follows.
    pub fn begin(&mut self, id: TurnId) {
        self.turns.push_back(PlayedTurn { id, sound: None, sent: 0 });
    }

    /// Gives a turn its sound. False if it was cut meanwhile.
    pub fn supply(&mut self, id: TurnId, sound: Clip) -> bool {
        match self.turns.iter_mut().find(|turn| turn.id == id) {
            Some(turn) => {
                turn.sound = Some(sound);
                true
            }
            None => false,
        }
    }

    /// Drops what was not heard. True if any of it was sent, so that the platform must drop it too.
    pub fn clear(&mut self, now: Instant) -> bool {
        let sent = !self.marks.is_empty()
            || self.turns.iter().any(|turn| turn.sent > 0)
            || self.heard_until.is_some_and(|until| until > now);
        self.turns.clear();
        self.marks.clear();
        self.heard_until = None;
        sent
    }

    /// A mark came back: the turn that was heard, unless it was cut.
    pub fn heard(&mut self, id: TurnId) -> Option<TurnId> {
        let place = self.marks.iter().position(|mark| *mark == id)?;
        // A platform plays in order: the turns before it were heard, too.
        self.marks.drain(..=place);
        Some(id)
    }

    /// The next thing to send now, if any.
    pub fn next(&mut self, now: Instant) -> Option<PlaybackPiece> {
        let turn = self.turns.front_mut()?;
        let sound = turn.sound.as_ref()?;
        let rest = sound.as_bytes().get(turn.sent..).unwrap_or_default();
        if rest.is_empty() {
            let id = turn.id;
            self.turns.pop_front();
            self.marks.push_back(id);
            return Some(PlaybackPiece::Mark(id));
        }
        let until = self.heard_until.map_or(now, |until| until.max(now));
        if until.duration_since(now) + FRAME > AHEAD {
            return None;
        }
        turn.sent = turn.sent.saturating_add(FRAME_BYTES);
        self.heard_until = Some(until + FRAME);
        crate::audio::frames(rest).next().map(PlaybackPiece::Frame)
    }

    /// When [`Self::next`] has more. None: not before a turn gets its sound.
    #[must_use]
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        self.turns.front()?.sound.as_ref()?;
        Some(self.heard_until.map_or(now, |until| until.checked_sub(LOW).unwrap_or(now)))
    }
}

/// The mark that says that a turn was played.
pub(super) fn mark_of(turn: TurnId) -> Option<MarkName> {
    MarkName::parse(&format!("p-{}", turn.0))
}

/// The turn that a mark is of. None: it is none of ours.
pub(super) fn turn_of(mark: &MarkName) -> Option<TurnId> {
    mark.as_str().strip_prefix("p-")?.parse().ok().map(TurnId)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(millis: usize) -> Clip {
        Clip::encode(&vec![0; millis * 8])
    }

    fn frames(playback: &mut Playback, now: Instant) -> (usize, Vec<TurnId>) {
        let (mut frames, mut marks) = (0, vec![]);
        while let Some(piece) = playback.next(now) {
            match piece {
                PlaybackPiece::Frame(_) => frames += 1,
                PlaybackPiece::Mark(id) => marks.push(id),
            }
        }
        (frames, marks)
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_five_seconds_are_sent_ahead() {
        let now = Instant::now();
        let mut playback = Playback::default();
        playback.begin(TurnId(1));
        assert_eq!(frames(&mut playback, now), (0, vec![]), "not rendered yet");
        assert!(playback.supply(TurnId(1), sound(7000)));
        assert_eq!(frames(&mut playback, now), (250, vec![]));
        let wake = playback.wake_at(now).unwrap();
        assert_eq!(wake - now, Duration::from_secs(1));
        assert_eq!(frames(&mut playback, wake), (50, vec![]));
        let wake = playback.wake_at(wake).unwrap();
        assert_eq!(frames(&mut playback, wake), (50, vec![TurnId(1)]));
        assert_eq!(playback.wake_at(wake), None);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_heard_in_order_even_if_a_later_one_is_rendered_first() {
        let now = Instant::now();
        let mut playback = Playback::default();
        playback.begin(TurnId(1));
        playback.begin(TurnId(2));
        playback.supply(TurnId(2), sound(20));
        assert_eq!(frames(&mut playback, now), (0, vec![]));
        playback.supply(TurnId(1), sound(30));
        assert_eq!(
            frames(&mut playback, now),
            (3, vec![TurnId(1), TurnId(2)]),
            "30 ms are two frames, the last one padded"
        );
        assert_eq!(playback.heard(TurnId(2)), Some(TurnId(2)), "the second mark speaks for the first");
        assert_eq!(playback.heard(TurnId(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_turn_s_sound_and_mark_mean_nothing_any_more() {
        let now = Instant::now();
        let mut playback = Playback::default();
        assert!(!playback.clear(now), "nothing was sent");
        playback.begin(TurnId(1));
        assert!(!playback.clear(now), "nothing was sent yet");
        assert!(!playback.supply(TurnId(1), sound(100)));
        playback.begin(TurnId(2));
        playback.supply(TurnId(2), sound(100));
        frames(&mut playback, now);
        assert!(playback.clear(now));
        assert_eq!(playback.heard(TurnId(2)), None, "a late mark");
    }
}
