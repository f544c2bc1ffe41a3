//! Whether anything that is shown or sent repeats what the caller keyed.
//!
//! Shape:   [`leaked`] compares runs of digits in every text of the records with the runs of digits that were pressed.
//! Limits:  [`RUN`] digits in a row: the last four of a card and a date are shorter, and are meant to be seen.
//! Secrets: what it finds, it names by the kind of record.

use std::collections::BTreeSet;

use super::Record;
use crate::flow::AgentCommand;
use crate::form::{Form, Value};
use crate::time::CallTime;
use crate::tone::Key;
use crate::twiml::{PlaySource, Utterance};

/// How many digits in a row are too many.
pub(super) const RUN: usize = 7;

/// Fields whose digits the merchant is told on purpose.
const PUBLIC: &[&str] = &["Digits", "BankRoutingNumber", "PaymentCardPostalCode", "From", "To"];

/// The first record that repeats [`RUN`] keyed digits in a row, and what kind it is. What was shown before it was keyed, or
/// is public, is no leak.
pub(super) fn leaked(records: &[(CallTime, Record)]) -> Option<(CallTime, String)> {
    let mut known = BTreeSet::new();
    for (_, record) in records {
        public(record, &mut known);
    }
    let mut keyed = BTreeSet::new();
    let mut run = Run::default();
    for (at, record) in records {
        match record {
            Record::Pressed(Key::Digit(digit)) => {
                keyed.extend(run.push(digit.ascii()).filter(|window| !known.contains(window)));
            }
            Record::Pressed(Key::Star | Key::Pound) => run = Run::default(),
            // A letter is no input at all.
            Record::Pressed(Key::Letter(_)) => {}
            record => {
                let mut found = |window| {
                    let leaks = keyed.contains(&window);
                    if !leaks {
                        known.insert(window);
                    }
                    leaks
                };
                if let Some(kind) = shown_in(record, &mut found) {
                    return Some((*at, kind.to_owned()));
                }
            }
        }
    }
    None
}

/// The last digits of a run, as a number of [`RUN`] places.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    length: usize,
    number: u32,
}

impl Run {
    /// Takes one more; the number once there are enough.
    fn push(&mut self, digit: u8) -> Option<u32> {
        self.number = (self.number % 10_u32.pow(RUN as u32 - 1)) * 10 + u32::from(digit.wrapping_sub(b'0'));
        self.length += 1;
        (self.length >= RUN).then_some(self.number)
    }
}

/// Adds what the record tells on purpose.
fn public(record: &Record, known: &mut BTreeSet<u32>) {
    let mut allow = |value: &Value| {
        windows_of(value.expose(), &mut |window| {
            known.insert(window);
            false
        });
    };
    match record {
        Record::Requested(fetch) => {
            for name in PUBLIC {
                fetch.form.value(name).into_iter().for_each(&mut allow);
                fetch.parameters.get(*name).into_iter().for_each(&mut allow);
            }
        }
        Record::Reported(_, _, form) | Record::Notified(_, _, form) => {
            PUBLIC.iter().filter_map(|name| form.value(name)).for_each(allow);
        }
        // What an agent sent may be quoted to the agent.
        Record::Commanded(_, AgentCommand::Create(form) | AgentCommand::Update { form, .. }) => {
            form.iter().for_each(|(_, value)| allow(value));
        }
        _ => {}
    }
}

/// Whether `found` finds something in what the record shows, and in what kind of record.
fn shown_in(record: &Record, found: &mut dyn FnMut(u32) -> bool) -> Option<&'static str> {
    let (shown, kind) = match record {
        Record::Said(_, heard) => (heard.iter().any(|said| in_utterance(said, found)), "keyed digits were said"),
        Record::Requested(fetch) => {
            (in_form(&fetch.form, found), "keyed digits were told in a request to the application")
        }
        Record::Notified(_, _, form) => (in_form(form, found), "keyed digits were told to statusCallback"),
        Record::Reported(_, _, form) => (in_form(form, found), "keyed digits were reported"),
        Record::Warned(warning) => (windows_of(&warning.message, found), "keyed digits are in a warning"),
        Record::Fetched(what) => (windows_of(what, found), "keyed digits are in the words about a document"),
        Record::LookedUp(name, _) => (windows_of(name, found), "keyed digits are in a connector's name"),
        Record::Replied(_, Err(error)) => (windows_of(&error.message, found), "keyed digits were told to an agent"),
        Record::Pressed(_)
        | Record::Replied(_, Ok(_))
        | Record::Commanded(..)
        | Record::Redirected(_)
        | Record::Completed
        | Record::Heard(_)
        | Record::Cleared
        | Record::Asked(..)
        | Record::Acted(_)
        | Record::Answered(..)
        | Record::TimedOut(_)
        | Record::HungUp
        | Record::Ended(_) => return None,
    };
    shown.then_some(kind)
}

fn in_utterance(said: &Utterance, found: &mut dyn FnMut(u32) -> bool) -> bool {
    match said {
        Utterance::Say(say) => windows_of(&say.text, found),
        Utterance::Play(play) => match &play.source {
            PlaySource::Url(link) => windows_of(link, found),
            PlaySource::Digits(_) => false,
        },
        Utterance::Pause(_) => false,
    }
}

/// Also where a value would be masked when it is shown: the merchant gets it.
fn in_form(form: &Form, found: &mut dyn FnMut(u32) -> bool) -> bool {
    form.iter().filter(|(name, _)| !name.ends_with("Sid")).any(|(_, value)| windows_of(value.expose(), found))
}

/// Every [`RUN`] digits in a row of `text`; one blank, hyphen or dot between two digits does not break a row. Ends with
/// true as soon as `found` says so.
fn windows_of(text: &str, found: &mut dyn FnMut(u32) -> bool) -> bool {
    let mut run = Run::default();
    let mut separated = false;
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                separated = false;
                if run.push(byte).is_some_and(&mut *found) {
                    return true;
                }
            }
            b' ' | b'-' | b'.' if !separated => separated = true,
            _ => run = Run::default(),
        }
    }
    false
}

/// The places of digits that stand in a row in `text`, row by row, as [`windows_of`] reads them.
pub(super) fn rows(text: &str) -> Vec<Vec<usize>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut separated = false;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => {
                separated = false;
                row.push(place);
            }
            b' ' | b'-' | b'.' if !separated && !row.is_empty() => separated = true,
            _ => rows.push(std::mem::take(&mut row)),
        }
    }
    rows.push(row);
    rows.retain(|row| !row.is_empty());
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Warning;

    fn pressed(keys: &str) -> Vec<(CallTime, Record)> {
        keys.chars().map(|symbol| (CallTime::ZERO, Record::Pressed(Key::parse(symbol).unwrap()))).collect()
    }

    fn after(keys: &str, message: &str) -> bool {
        let mut records = pressed(keys);
        let warning = Warning { position: None, code: 1, message: message.to_owned() };
        records.push((CallTime::ZERO, Record::Warned(warning)));
        leaked(&records).is_some()
    }

    #[test]
    fn seven_keyed_digits_in_a_row_are_found_however_they_are_grouped() {
        assert!(after("4242567890123456", "card 4242567890123456"));
        assert!(after("4242567890123456", "card 4242 5678 9012 3456"));
        assert!(after("4242A567890", "4-2-4-2-5-6-7"));
        assert!(after("4242567890123456", "xxxx567-8901xxxx"));
    }

    #[test]
    fn the_last_four_digits_and_what_nobody_keyed_may_be_shown() {
        assert!(!after("4242567890123456", "xxxx-xxxx-xxxx-3456"));
        assert!(!after("4242#567", "4242567"));
        assert!(!after("4242567", "4242568"));
    }

    #[test]
    fn what_was_shown_before_it_was_keyed_is_no_leak() {
        let warning = || Record::Warned(Warning { position: None, code: 1, message: "at most 1000000".to_owned() });
        let mut records = vec![(CallTime::ZERO, warning())];
        records.extend(pressed("110000000"));
        records.push((CallTime::ZERO, warning()));
        assert_eq!(leaked(&records), None);
        assert!(leaked(&records[1..]).is_some());
    }
}
