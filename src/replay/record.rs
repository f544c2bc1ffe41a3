//! A call that was taken down, written as a script that replays to the same result, with made-up numbers.
//!
//! Shape:   [`record`]: a tape in, a script's text out. The script is run before anyone sees it: what it does is compared with
//!          what the call did, and written down as what is expected.
//! Limits:  [`SCRIPT_MAX`] bytes; [`TRIES`] sets of made-up numbers.
//! Errors:  [`RecordingError`]: there is no script. A script that does not replay as the call went is one all the same, and says
//!          so in its first line.
//! Secrets: the finished text is searched for what the caller keyed; if it is there, there is no script.

use super::bless::blessed;
use super::expect::Requests;
use super::run::{Replayed, run_taped};
use super::{SCRIPT_MAX, Script, run};
use crate::library::Library;
use crate::simulate::tape::{Draft, Tape};

/// How many sets of numbers are made up before there is no script.
const TRIES: u64 = 8;

/// Why there is no script of a call. Says nothing about what was keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// More happened than a script can hold.
    #[error("the call is too long for a script")]
    TooLong,
    /// It is written in a way that no script can be.
    #[error("the call does not make a script that can be read")]
    Malformed,
    /// What the caller keyed would be in it.
    #[error("the script would show what the caller keyed")]
    Reveals,
}

/// A call as a script.
#[derive(Debug)]
pub struct Recording {
    /// The script.
    pub text: String,
    /// Where its replay parts from the call, if it does: no digits of the caller's.
    pub difference: Option<String>,
}

/// Writes a call down. `library`: where its flows come from; `seed`: what the made-up numbers follow from, which should be random.
///
/// # Errors
/// When there is no script of the call.
pub fn record(tape: &Tape, library: &Library, seed: u64) -> Result<Recording, RecordingError> {
    if tape.is_full() {
        return Err(RecordingError::TooLong);
    }
    // Made-up numbers may be the caller's by chance: then others are made up.
    for seed in (0..TRIES).map(|another| seed.wrapping_add(another)) {
        let draft = tape.draft(seed);
        let recording = written(tape, &draft, library)?;
        if !draft.reveals(&recording.text) {
            let length = u64::try_from(recording.text.len()).unwrap_or(u64::MAX);
            return if length > SCRIPT_MAX { Err(RecordingError::TooLong) } else { Ok(recording) };
        }
    }
    Err(RecordingError::Reveals)
}

fn written(tape: &Tape, draft: &Draft, library: &Library) -> Result<Recording, RecordingError> {
    let script = Script::parse(&draft.text(&[])).map_err(|_| RecordingError::Malformed)?;
    let Replayed { outcome, tape: replayed, said } = run_taped(&script, library);
    let text = draft.text(&said);
    let difference =
        outcome.failures.first().cloned().or_else(|| replayed.as_ref().and_then(|other| difference(tape, other)));
    if difference.is_none() {
        let text = blessed(&text, &outcome);
        let script = Script::parse(&text).map_err(|_| RecordingError::Malformed)?;
        if run(&script, library, Requests::Exact).failures.is_empty() {
            return Ok(Recording { text, difference: None });
        }
    }
    let difference = difference.unwrap_or_else(|| "what it expects does not happen".to_owned());
    let (result, card, ended) = tape.result();
    let mut expected = String::new();
    let fields =
        [("result", result.map(|result| result.word())), ("card", card), ("ended", ended.map(|ended| ended.word()))];
    for (name, value) in fields {
        expected.extend(value.map(|value| format!("  {name}: {value}\n")));
    }
    let text = format!("# This does not replay as the call went: {difference}\n{text}\nexpect:\n{expected}");
    Ok(Recording { text, difference: Some(difference) })
}

/// The first thing that a call and its replay do not have in common.
fn difference(call: &Tape, replay: &Tape) -> Option<String> {
    let (call, replay) = (call.outline(), replay.outline());
    let mut pairs = call
        .iter()
        .map(Some)
        .chain(std::iter::repeat(None))
        .zip(replay.iter().map(Some).chain(std::iter::repeat(None)));
    let parted = pairs
        .by_ref()
        .take(call.len().max(replay.len()))
        .find(|(call, replay)| call.map(|(_, line)| line) != replay.map(|(_, line)| line))?;
    let shown = |line: Option<&(crate::time::CallTime, String)>| {
        line.map_or_else(|| "nothing more".to_owned(), |(at, line)| format!("`{line}` at {at} s"))
    };
    Some(format!("in the call {}, in the replay {}", shown(parted.0), shown(parted.1)))
}

#[cfg(test)]
mod tests;
