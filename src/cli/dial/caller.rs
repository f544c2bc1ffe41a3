//! The caller whose keys come in lines: reads what a line says, and does it at the right moment.
//!
//! Shape:   [`read`] one line; a [`Hand`] takes lines one by one and says what to do now, told the time and what can be
//!          heard. Pure: virtual time, real time and a running server share it.
//! Errors:  [`BadLine`] says what lines can be, and never what the line was: it may be a card number with a slip in it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::replay::duration;
use crate::time::CallTime;
use crate::tone::Key;

/// From one key to the next, as in call scripts.
const BETWEEN_KEYS: Duration = Duration::from_millis(100);

/// What a line says.
#[derive(Debug)]
pub(super) enum InputLine {
    /// These keys.
    Keys(Vec<Key>),
    /// Nothing for so long.
    Wait(Duration),
    /// The end of the call.
    HangUp,
}

/// A line that says nothing a caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {0} of the input is none of: keys (0-9 * # A-D, blanks between them as you like), `wait 3s` (or 800ms, 2m), \
     `hang up`"
)]
pub(super) struct BadLine(pub(super) usize);

/// Reads the line of that number; `None` for an empty one.
pub(super) fn read(number: usize, text: &str) -> Result<Option<InputLine>, BadLine> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [] => Ok(None),
        ["hang", "up"] | ["hangup"] => Ok(Some(InputLine::HangUp)),
        ["wait", rest @ ..] => {
            duration(&rest.concat()).map(|length| Some(InputLine::Wait(length))).map_err(|_| BadLine(number))
        }
        words => {
            let keys: Option<Vec<Key>> = words.iter().flat_map(|word| word.chars()).map(Key::parse).collect();
            keys.map(|keys| Some(InputLine::Keys(keys))).ok_or(BadLine(number))
        }
    }
}

/// What a caller hears at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// Speech, or a silence in which no key is waited for.
    Busy,
    /// Silence after keys: nobody knows yet whether they were all.
    Open,
    /// Silence: it is the caller's turn.
    Asked,
}

/// What to do now.
#[derive(Debug)]
pub(super) enum CallerAction {
    /// Press a key.
    Press(Key),
    /// Hang up.
    HangUp,
    /// Nothing until then.
    Until(CallTime),
    /// Nothing until something else is heard.
    Listen,
    /// Read the next line.
    ReadOn,
}

/// A caller who does one line after the other.
#[derive(Debug)]
pub(super) struct Hand {
    doing: Doing,
    /// The earliest moment of the next key: keys of two lines in a row are as far apart as those of one.
    next_key: CallTime,
}

#[derive(Debug)]
enum Doing {
    Nothing,
    /// Hearing the prompt out before these keys.
    Listening(VecDeque<Key>),
    Pressing(VecDeque<Key>),
    Waiting(CallTime),
    HangingUp,
    /// Hearing what the call still does by itself, then hanging up.
    Leaving,
}

impl Hand {
    pub(super) const fn new() -> Self {
        Self { doing: Doing::Nothing, next_key: CallTime::ZERO }
    }

    /// Takes a line; none: there will be no more.
    pub(super) fn take(&mut self, now: CallTime, line: Option<InputLine>) {
        self.doing = match line {
            Some(InputLine::Keys(keys)) => Doing::Listening(keys.into()),
            Some(InputLine::Wait(length)) => Doing::Waiting(now + length),
            Some(InputLine::HangUp) => Doing::HangingUp,
            None => Doing::Leaving,
        };
    }

    /// What to do now. What it says is taken as done.
    pub(super) fn act(&mut self, now: CallTime, hearing: Hearing) -> CallerAction {
        if let Doing::Listening(keys) = &mut self.doing {
            // A field of which some keys are there takes the next ones: a number may be spread over lines.
            if hearing == Hearing::Busy {
                return CallerAction::Listen;
            }
            self.doing = Doing::Pressing(std::mem::take(keys));
        }
        match &mut self.doing {
            Doing::Nothing | Doing::Listening(_) => CallerAction::ReadOn,
            Doing::Pressing(_) if now < self.next_key => CallerAction::Until(self.next_key),
            Doing::Pressing(keys) => match keys.pop_front() {
                Some(key) => {
                    self.next_key = now + BETWEEN_KEYS;
                    CallerAction::Press(key)
                }
                None => {
                    self.doing = Doing::Nothing;
                    CallerAction::ReadOn
                }
            },
            Doing::Waiting(until) if now < *until => CallerAction::Until(*until),
            Doing::Waiting(_) => {
                self.doing = Doing::Nothing;
                CallerAction::ReadOn
            }
            Doing::Leaving if hearing != Hearing::Asked => CallerAction::Listen,
            Doing::HangingUp | Doing::Leaving => {
                self.doing = Doing::Nothing;
                CallerAction::HangUp
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> CallTime {
        CallTime::from_millis(millis)
    }

    #[test]
    fn a_line_is_keys_a_wait_or_the_end_and_nothing_else() {
        assert!(matches!(read(1, " 4242 4242 *# "), Ok(Some(InputLine::Keys(keys))) if keys.len() == 10));
        assert!(
            matches!(read(1, "wait 800ms"), Ok(Some(InputLine::Wait(length))) if length == Duration::from_millis(800))
        );
        assert!(matches!(read(1, "hang up"), Ok(Some(InputLine::HangUp))));
        assert!(matches!(read(1, "  "), Ok(None)));
        for bad in ["hang", "wait", "wait long", "12x", "wait 3", "hello"] {
            let error = read(7, bad).unwrap_err();
            assert_eq!(error, BadLine(7), "{bad}");
            assert!(!error.to_string().contains("12x"));
        }
    }

    #[test]
    fn a_caller_hears_the_prompt_out_and_takes_time_between_keys() {
        let mut hand = Hand::new();
        assert!(matches!(hand.act(at(0), Hearing::Busy), CallerAction::ReadOn));
        hand.take(at(0), read(1, "12").unwrap());
        assert!(matches!(hand.act(at(0), Hearing::Busy), CallerAction::Listen));
        assert!(matches!(hand.act(at(500), Hearing::Asked), CallerAction::Press(_)));
        assert!(matches!(hand.act(at(500), Hearing::Busy), CallerAction::Until(then) if then == at(600)));
        assert!(matches!(hand.act(at(600), Hearing::Open), CallerAction::Press(_)));
        assert!(matches!(hand.act(at(600), Hearing::Open), CallerAction::Until(_)));
        assert!(matches!(hand.act(at(700), Hearing::Open), CallerAction::ReadOn));
    }

    #[test]
    fn the_end_of_the_input_hangs_up_once_it_would_be_the_callers_turn() {
        let mut hand = Hand::new();
        hand.take(at(0), None);
        for hearing in [Hearing::Busy, Hearing::Open] {
            assert!(matches!(hand.act(at(0), hearing), CallerAction::Listen));
        }
        assert!(matches!(hand.act(at(9), Hearing::Asked), CallerAction::HangUp));
    }
}
