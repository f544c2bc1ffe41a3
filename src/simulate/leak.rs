//! Whether anything that is shown or sent repeats what the caller keyed.
//!
//! Shape:   [`leaked`] compares runs of digits in every text of the records with the runs of digits that were pressed.
//! Limits:  [`RUN`] digits in a row: the last four of a card and a date are shorter, and are meant to be seen.
//! Secrets: what it finds, it names by the kind of record.

use std::collections::BTreeSet;

use super::Record;
use crate::form::{Form, Value};
use crate::time::CallTime;
use crate::tone::Key;
use crate::twiml::{PlaySource, Utterance};

/// How many digits in a row are too many.
const RUN: usize = 7;

/// Fields whose digits the merchant is told on purpose.
const PUBLIC: &[&str] = &["Digits", "BankRoutingNumber", "PaymentCardPostalCode", "From", "To"];

/// The first record that repeats [`RUN`] keyed digits in a row, and what kind it is.
pub(super) fn leaked(records: &[(CallTime, Record)]) -> Option<(CallTime, String)> {
    let mut windows = Windows::default();
    let mut keyed = records.iter().filter_map(|(_, record)| match record {
        Record::Pressed(key) => Some(*key),
        _ => None,
    });
    let mut run = Run::default();
    for key in &mut keyed {
        match key {
            Key::Digit(digit) => windows.0.extend(run.push(digit.ascii())),
            Key::Star | Key::Pound => run = Run::default(),
            // No input at all.
            Key::Letter(_) => {}
        }
    }
    for (_, record) in records {
        windows.allow_public(record);
    }
    if windows.0.is_empty() {
        return None;
    }
    records.iter().find_map(|(at, record)| windows.shown_in(record).map(|kind| (*at, kind.to_owned())))
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

/// Every [`RUN`] digits in a row that were keyed and are nobody else's business.
#[derive(Debug, Default)]
struct Windows(BTreeSet<u32>);

impl Windows {
    /// Takes out what is told on purpose.
    fn allow_public(&mut self, record: &Record) {
        let mut allow = |value: &Value| {
            windows_of(value.expose(), |window| {
                self.0.remove(&window);
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
            Record::Reported(_, form) | Record::Notified(_, _, form) => {
                PUBLIC.iter().filter_map(|name| form.value(name)).for_each(allow);
            }
            _ => {}
        }
    }

    fn shown_in(&self, record: &Record) -> Option<&'static str> {
        match record {
            Record::Said(_, heard) => {
                heard.iter().any(|said| self.in_utterance(said)).then_some("keyed digits were said")
            }
            Record::Requested(fetch) => {
                self.in_form(&fetch.form).then_some("keyed digits were told in a request to the application")
            }
            Record::Notified(_, _, form) => self.in_form(form).then_some("keyed digits were told to statusCallback"),
            Record::Reported(_, form) => self.in_form(form).then_some("keyed digits were reported"),
            Record::Warned(warning) => self.in_text(&warning.message).then_some("keyed digits are in a warning"),
            Record::Fetched(what) => self.in_text(what).then_some("keyed digits are in the words about a document"),
            Record::LookedUp(name, _) => self.in_text(name).then_some("keyed digits are in a connector's name"),
            Record::Pressed(_)
            | Record::Heard(_)
            | Record::Cleared
            | Record::Asked(..)
            | Record::Answered(..)
            | Record::TimedOut(_)
            | Record::HungUp
            | Record::Ended(_) => None,
        }
    }

    fn in_utterance(&self, said: &Utterance) -> bool {
        match said {
            Utterance::Say(say) => self.in_text(&say.text),
            Utterance::Play(play) => match &play.source {
                PlaySource::Url(link) => self.in_text(link),
                PlaySource::Digits(_) => false,
            },
            Utterance::Pause(_) => false,
        }
    }

    /// Also where a value would be masked when it is shown: the merchant gets it.
    fn in_form(&self, form: &Form) -> bool {
        form.iter().filter(|(name, _)| !name.ends_with("Sid")).any(|(_, value)| self.in_text(value.expose()))
    }

    fn in_text(&self, text: &str) -> bool {
        windows_of(text, |window| self.0.contains(&window))
    }
}

/// Every [`RUN`] digits in a row of `text`; one blank, hyphen or dot between two digits does not break a row. Ends with
/// true as soon as `found` says so.
fn windows_of(text: &str, mut found: impl FnMut(u32) -> bool) -> bool {
    let mut run = Run::default();
    let mut separated = false;
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                separated = false;
                if run.push(byte).is_some_and(&mut found) {
                    return true;
                }
            }
            b' ' | b'-' | b'.' if !separated => separated = true,
            _ => run = Run::default(),
        }
    }
    false
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
}
