//! Which digits of a text must not be seen. Whatever leaves the process, or is kept, goes through here: callbacks, answers of
//! the REST API, log fields, recordings, columns of the store, error texts, the terminal.
//!
//! Shape:   pure functions, a text in, a text with `x` in place of digits out: [`text`], [`identifier`], [`refused`] and
//!          [`address`]. [`Numbers`] are the numbers of a call or a session that they look for.
//!
//! | strength | for | hides |
//! |---|---|---|
//! | [`text`] | free text: what a gateway writes, what somebody else's program says | the own numbers; every run of 13 to 19 digits that passes the Luhn check; every run of three or four digits that stands alone |
//! | [`identifier`] | what keeps its digits: confirmation codes, tokens, profile ids; sentences of ours, whose foreign parts are masked already | the own numbers |
//! | [`refused`] | a value that is quoted because it is not allowed | every digit, if there are [`REFUSED_MAX`] or more; else as [`text`] |
//! | [`address`] | the path of a URL, in a log | every run of [`WINDOW`] digits or more, and what passes the Luhn check |
//!
//! A run goes through anything that is neither a letter nor a digit, however much of it there is. A digit is a digit in every
//! script (Unicode's decimal digits, its other characters of the numeric type Digit, and what NFKC makes one), as an entity,
//! percent-encoded or as an escape of JSON, several times over: each of these readings of a text is searched, the text as it
//! stands among them.
//!
//! Own numbers are found by any [`WINDOW`] of their digits, so that most of a number is hidden too, in all digits of a reading
//! one after the other: letters, words and markup between them hide nothing. That masks nothing else but by chance, one in a
//! billion for each digit of a text and each window that is looked for, as it does where no letter is between (and more often
//! where nearly all digits of a number are alike). They are found
//! in ideographs too, and written as codes of characters (`=34`, `\34`, `\064`, `U+0034`, hex), whatever is between these.
//! One of five to eight digits (a bank account) is found whole, in a run, where no digit is beside it, and so is one of which
//! only the mask is known: after a restart, of what was keyed before it. A shorter one is not looked for, and neither is
//! a security code: a mask that depends on it tells it. That is why *every* short run is hidden in free text. Two kinds stay,
//! which nobody could mistake for a code: the status in the words `HTTP status 500`, and the groups of a UUID. A short run in
//! a word with other digits, or with letters on both sides, is part of an identifier and does not stand alone.
//!
//! Not found is what no longer has the digits one after the other, or does not have them: a number in words (`four five`), in
//! base64 or another cipher, backwards, with digits of other numbers between its own, in parts of less than [`WINDOW`] digits,
//! or in several texts. Nobody can list all spellings there are; whoever has the number and wants to tell it, can.
//!
//! Masking is idempotent: what is masked may be masked again, and stays as it is. A text without digits is not touched.
//! Limits:  [`reading::READINGS_MAX`] readings, [`ROUNDS_MAX`] rounds. Time grows with the length of the text.
//! Errors:  none.
//! Secrets: [`Numbers`] holds numbers until it is dropped, which wipes them. They are not there as digits.

use std::borrow::Cow;

use crate::secret::Digits;

mod decimal;
mod numbers;
mod reading;
#[cfg(test)]
mod tests;

pub use numbers::Numbers;
pub(crate) use numbers::alone;
pub(crate) use reading::{ReadDigit, replaced};
use reading::{Unit, readings, row, row_with_ideographs, runs};

/// How often what was masked is masked again: a number inside the digits of another one comes to light then. Our choice, so
/// that the time does not grow with how deep they lie.
const ROUNDS_MAX: usize = 8;

/// How many digits of a number in a row are hidden. Eight name a card's issuer, and a reference may have a few in common.
pub const WINDOW: usize = 9;

/// A refused value with so many digits is quoted without any: fewer are no number and no code.
pub const REFUSED_MAX: usize = 4;

/// The lengths of card numbers that are looked for by their check digit (ISO/IEC 7812-1; twelve digits are too often right by
/// chance).
const CARD: std::ops::RangeInclusive<usize> = 13..=19;

/// The lengths of security codes.
const CODE: std::ops::RangeInclusive<usize> = 3..=4;

/// What comes before the one number in a sentence of ours that a connector passes on as if the gateway had said it.
const STATUS: &str = "HTTP status ";

/// Free text, fit to be shown.
#[must_use]
pub fn text<'t>(text: &'t str, own: &Numbers) -> Cow<'t, str> {
    until_stable(text, |text| {
        // With the codes that stand alone as the text is: where a number ends as a code begins, the number's mask would reach into
        // the code, and what is left of it would tell how it begins.
        let owned = hide_own_and(text, own, codes);
        let text = owned.as_deref().unwrap_or(text);
        let cards = hide(text, cards);
        let text = cards.as_deref().unwrap_or(text);
        let codes = hide_in_last(text, codes);
        let text = codes.as_deref().unwrap_or(text);
        let spelt = hide_in_last(text, spelt_codes);
        spelt.or(codes).or(cards).or(owned)
    })
}

/// What keeps its digits, but for the own numbers.
#[must_use]
pub fn identifier<'t>(text: &'t str, own: &Numbers) -> Cow<'t, str> {
    if own.is_empty() {
        return Cow::Borrowed(text);
    }
    until_stable(text, |text| hide_own(text, own))
}

/// A value that is not allowed, as it may be quoted.
#[must_use]
pub fn refused(value: &str) -> Cow<'_, str> {
    if !may_hold_digits(value) {
        return Cow::Borrowed(value);
    }
    // Readings differ in how many digits they have: the one with most decides.
    let digits = readings(value).iter().map(|units| units.iter().filter(|unit| unit.is_digit()).count()).max();
    if digits.unwrap_or(0) < REFUSED_MAX {
        return text(value, &Numbers::default());
    }
    until_stable(value, |value| hide(value, |runs, _| runs.to_vec()))
}

/// The path of a URL, as it may be logged.
#[must_use]
pub fn address(path: &str) -> Cow<'_, str> {
    until_stable(path, |path| {
        hide(path, |run, units| {
            let mut found = cards(run, units);
            found.extend(run.chunk_by(|_, next| next.joined).filter(|group| group.len() >= WINDOW).flatten().cloned());
            found
        })
    })
}

/// All digits of every reading of a text, whatever is between them: for those who put others in their place.
pub(crate) fn every_row(text: &str) -> Vec<Vec<ReadDigit>> {
    if !may_hold_digits(text) {
        return Vec::new();
    }
    readings(text).iter().flat_map(|units| [Some(row(units)), row_with_ideographs(units)]).flatten().collect()
}

/// The runs of digits in every reading of a text, likewise.
pub(crate) fn every_run(text: &str) -> Vec<Vec<ReadDigit>> {
    if !may_hold_digits(text) {
        return Vec::new();
    }
    readings(text).iter().flat_map(|units| runs(units)).collect()
}

/// Whether there is anything to look at: most texts have no digits in any spelling.
fn may_hold_digits(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit() || !byte.is_ascii() || matches!(byte, b'%' | b'&' | b'\\'))
}

/// Masks until there is nothing more to mask. Each round leaves fewer digits than the one before.
fn until_stable<'t>(text: &'t str, mask: impl Fn(&str) -> Option<String>) -> Cow<'t, str> {
    let mut masked = Cow::Borrowed(text);
    for _ in 0..ROUNDS_MAX {
        if !may_hold_digits(&masked) {
            break;
        }
        let Some(more) = mask(&masked) else { break };
        masked = Cow::Owned(more);
    }
    masked
}

/// Hides what `own` finds in each reading. None: nothing.
fn hide_own(text: &str, own: &Numbers) -> Option<String> {
    if own.is_empty() {
        return None;
    }
    hidden(text, readings(text).iter().flat_map(|units| own.found(units)).collect())
}

/// Hides what `own` finds, and then also what `find` finds in the last reading of the same text. None: `own` finds nothing.
fn hide_own_and(text: &str, own: &Numbers, find: impl Fn(&[Unit]) -> Vec<ReadDigit>) -> Option<String> {
    if own.is_empty() {
        return None;
    }
    let readings = readings(text);
    let mut found: Vec<ReadDigit> = readings.iter().flat_map(|units| own.found(units)).collect();
    if !found.is_empty() {
        found.extend(readings.last().map(|units| find(units)).unwrap_or_default());
    }
    hidden(text, found)
}

/// Hides what `find` finds in each run of each reading. None: nothing.
fn hide(text: &str, find: impl Fn(&[ReadDigit], &[Unit]) -> Vec<ReadDigit>) -> Option<String> {
    let mut found = Vec::new();
    for units in readings(text) {
        for run in runs(&units) {
            found.extend(find(&run, &units));
        }
    }
    hidden(text, found)
}

/// Hides what `find` finds in the last reading, in which every digit is one. None: nothing.
fn hide_in_last(text: &str, find: impl Fn(&[Unit]) -> Vec<ReadDigit>) -> Option<String> {
    let found = readings(text).last().map(|units| find(units)).unwrap_or_default();
    hidden(text, found)
}

fn hidden(text: &str, found: Vec<ReadDigit>) -> Option<String> {
    (!found.is_empty()).then(|| replaced(text, found.into_iter().map(|digit| (digit, 'x')).collect()))
}

/// The digits of a run that make a card number, whoever's: whole groups of digits, 13 to 19 together, that pass the check.
fn cards(run: &[ReadDigit], units: &[Unit]) -> Vec<ReadDigit> {
    if run.len() < *CARD.start() {
        return Vec::new();
    }
    let groups: Vec<&[ReadDigit]> = run.chunk_by(|_, next| next.joined).collect();
    let mut found = Vec::new();
    for first in 0..groups.len() {
        let mut digits: Vec<ReadDigit> = Vec::new();
        for group in groups.iter().skip(first) {
            digits.extend_from_slice(group);
            if digits.len() > *CARD.end() {
                break;
            }
            // It goes on behind a match: with the next group there may be another one.
            if CARD.contains(&digits.len()) && passes(&digits) {
                found.extend_from_slice(&digits);
            }
        }
    }
    // A group of digits in a UUID passes by chance.
    let uuids = if found.is_empty() { Vec::new() } else { uuids(units) };
    found.retain(|digit| !uuids.iter().any(|uuid| uuid.contains(&digit.place)));
    found
}

fn passes(digits: &[ReadDigit]) -> bool {
    let mut number = Digits::new();
    for digit in digits {
        number.push(digit.value);
    }
    number.luhn()
}

/// Every run of three or four digits that stands alone.
fn codes(units: &[Unit]) -> Vec<ReadDigit> {
    let uuids = uuids(units);
    let mut found = Vec::new();
    let mut place = 0;
    // A word: letters and digits in a row.
    for word in units.chunk_by(|a, b| a.is_in_word() == b.is_in_word()) {
        let begins = place;
        place += word.len();
        let mut digits = word.iter().enumerate().filter(|(_, unit)| unit.is_digit()).map(|(offset, _)| offset);
        let (Some(first), last) = (digits.next(), digits.next_back()) else { continue };
        let last = last.unwrap_or(first);
        let Some(group) = word.get(first..=last) else { continue };
        let alone = group.iter().all(Unit::is_digit) && (first == 0 || last + 1 == word.len());
        if !alone || !CODE.contains(&group.len()) {
            continue;
        }
        let is_status = first == 0
            && group.len() == 3
            && units.get(..begins).is_some_and(|before| {
                STATUS.chars().rev().eq(before.iter().rev().take(STATUS.len()).map(|unit| unit.c))
            });
        let in_uuid = uuids.iter().any(|uuid| uuid.contains(&begins));
        if !is_status && !in_uuid {
            found.extend(group.iter().map(|unit| unit.digit(false)));
        }
    }
    found
}

/// Codes that are written digit by digit: `7 3 7`.
fn spelt_codes(units: &[Unit]) -> Vec<ReadDigit> {
    let in_word = |unit: Option<&Unit>| unit.is_some_and(Unit::is_in_word);
    let mut found = Vec::new();
    for run in runs(units) {
        let alone = CODE.contains(&run.len()) && run.iter().all(|digit| !digit.joined);
        let beside = match (run.first(), run.last()) {
            (Some(first), Some(last)) => {
                in_word(first.place.checked_sub(1).and_then(|place| units.get(place)))
                    || in_word(units.get(last.place + 1))
            }
            _ => true,
        };
        if alone && !beside {
            found.extend(run);
        }
    }
    found
}

/// Where UUIDs stand: 8-4-4-4-12 hex digits, not all of them decimal.
fn uuids(units: &[Unit]) -> Vec<std::ops::Range<usize>> {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    const LENGTH: usize = 36;
    let is_uuid = |window: &[Unit]| {
        let groups: Vec<&[Unit]> = window.split(|unit| unit.c == '-').collect();
        groups.iter().map(|group| group.len()).eq(GROUPS)
            && groups.concat().iter().all(|unit| unit.c.is_ascii_hexdigit())
            && !groups.concat().iter().all(Unit::is_digit)
    };
    let in_word = |place: Option<usize>| place.and_then(|place| units.get(place)).is_some_and(Unit::is_in_word);
    units
        .windows(LENGTH)
        .enumerate()
        .filter(|(start, window)| {
            // Most windows have no hyphen there: nothing is split in vain.
            window.get(8).is_some_and(|unit| unit.c == '-')
                && is_uuid(window)
                && !in_word(start.checked_sub(1))
                && !in_word(Some(start + LENGTH))
        })
        .map(|(start, _)| start..start + LENGTH)
        .collect()
}
