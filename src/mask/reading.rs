//! What a text says to somebody who undoes its spelling: the digits in it, and which bytes spell them.
//!
//! Shape:   [`readings`] of a text, each a row of [`Unit`]s; [`runs`] of digits in a reading; [`replaced`] puts others in their
//!          place.
//! Limits:  [`READINGS_MAX`].
//! Sources: Unicode, NFKC (UAX #15); RFC 3986, section 2.1; the HTML standard, "Character references"; RFC 8259, section 7.

use std::ops::Range;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

use super::decimal;

/// How often a text is decoded, and once more. Chosen freely: two layers are common, three have been seen.
pub(super) const READINGS_MAX: usize = 5;

/// The longest name of an entity.
const NAME_MAX: usize = 31;

/// The most digits of a numeric entity: leading zeros are allowed.
const ENTITY_DIGITS_MAX: usize = 8;

/// A character of a reading, and the bytes of the text that it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub(super) c: char,
    start: usize,
    end: usize,
    /// Its number among those that the same bytes stand for: a number in a circle is two digits.
    part: usize,
    /// Its number in the reading.
    place: usize,
}

/// A digit of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadDigit {
    /// ASCII.
    pub(crate) value: u8,
    /// The bytes that spell it.
    pub(crate) at: Range<usize>,
    /// Whether nothing is between it and the one before.
    pub(super) joined: bool,
    /// Its number among those that the same bytes spell.
    part: usize,
    /// Its place in the reading.
    pub(super) place: usize,
}

impl Unit {
    pub(super) const fn is_digit(&self) -> bool {
        self.c.is_ascii_digit()
    }

    /// Whether it is a letter or a digit: part of a word.
    pub(super) fn is_in_word(&self) -> bool {
        // Hangul's fillers are letters that nobody sees.
        let unseen = matches!(self.c, '\u{115f}' | '\u{1160}');
        self.c.is_alphanumeric() && !is_combining_mark(self.c) && !unseen
    }

    pub(super) fn digit(&self, joined: bool) -> ReadDigit {
        let value = u8::try_from(self.c).unwrap_or(b'0');
        ReadDigit { value, at: self.start..self.end, joined, part: self.part, place: self.place }
    }
}

/// The text as it stands, decoded once, twice, and so on, as long as there is something to decode.
pub(super) fn readings(text: &str) -> Vec<Vec<Unit>> {
    let mut readings = vec![plain(text)];
    while readings.len() < READINGS_MAX
        && let Some(next) = readings.last().and_then(|units| decoded(units))
    {
        readings.push(next);
    }
    readings
}

/// The runs of digits in a reading: what is between two of them is neither letter nor digit.
pub(super) fn runs(units: &[Unit]) -> Vec<Vec<ReadDigit>> {
    let mut runs = Vec::new();
    let mut run: Vec<ReadDigit> = Vec::new();
    let mut joined = false;
    for unit in units {
        if unit.is_digit() {
            run.push(unit.digit(joined && !run.is_empty()));
            joined = true;
        } else {
            joined = false;
            if unit.is_in_word() && !run.is_empty() {
                runs.push(std::mem::take(&mut run));
            }
        }
    }
    if !run.is_empty() {
        runs.push(run);
    }
    runs
}

/// All digits of a reading in a row, whatever stands between them.
pub(super) fn row(units: &[Unit]) -> Vec<ReadDigit> {
    units.iter().filter(|unit| unit.is_digit()).map(|unit| unit.digit(false)).collect()
}

/// The same with the ideographs that stand for digits; none: there is none in it.
pub(super) fn row_with_ideographs(units: &[Unit]) -> Option<Vec<ReadDigit>> {
    let read = |unit: &Unit| match decimal::ideograph(unit.c) {
        Some(value) => Some(ReadDigit { value, ..unit.digit(false) }),
        None => unit.is_digit().then(|| unit.digit(false)),
    };
    units.iter().any(|unit| decimal::ideograph(unit.c).is_some()).then(|| units.iter().filter_map(read).collect())
}

/// `text` with other characters in place of digits. Where readings differ in what spells a digit, the longest counts.
pub(crate) fn replaced(text: &str, mut digits: Vec<(ReadDigit, char)>) -> String {
    // By place, the longest spelling of a place first, the parts of one spelling in their order.
    digits.sort_by(|(a, _), (b, _)| (a.at.start, b.at.end, a.part).cmp(&(b.at.start, a.at.end, b.part)));
    digits.dedup_by(|(a, _), (b, _)| a.at == b.at && a.part == b.part);
    let mut replaced = String::with_capacity(text.len());
    let mut written = 0;
    let mut last = 0..0;
    for (digit, other) in digits {
        // Several digits may share one character: a number in a circle.
        if digit.at.start < written && digit.at != last {
            continue;
        }
        replaced.push_str(text.get(written..digit.at.start).unwrap_or_default());
        let spelling = text.get(digit.at.clone()).unwrap_or_default();
        replaced.push_str(&respelt(spelling, digit.value, other));
        written = digit.at.end;
        last = digit.at;
    }
    replaced.push_str(text.get(written..).unwrap_or_default());
    replaced
}

/// `other` in place of the digit that `spelling` is; another digit in the same spelling, where there is one.
fn respelt(spelling: &str, value: u8, other: char) -> String {
    let plain = other.to_string();
    let (Some(from), Some(to)) = (char::from(value).to_digit(10), other.to_digit(10)) else { return plain };
    let shifted = |code: u32| (code + to).checked_sub(from);
    let (escape, end) = match spelling.strip_suffix([';', '}']) {
        Some(escape) => (escape, spelling.get(escape.len()..).unwrap_or_default()),
        None => (spelling, ""),
    };
    let number = escape.len() - escape.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (before, number) = escape.split_at_checked(number).unwrap_or_default();
    let mut letters = spelling.chars();
    let candidates = [
        letters
            .next()
            .filter(|_| letters.next().is_none())
            .and_then(|c| char::from_u32(shifted(c.into())?))
            .map(String::from),
        // Hex digits end in the digit itself, decimal ones do not.
        escape.strip_suffix(char::from(value)).map(|escape| format!("{escape}{other}{end}")),
        number.parse().ok().and_then(shifted).map(|code| format!("{before}{code}{end}")),
    ];
    let spells = |candidate: &String| {
        let readings = readings(candidate);
        readings.last().is_some_and(|units| units.iter().map(|unit| unit.c).eq([other]))
    };
    candidates.into_iter().flatten().find(spells).unwrap_or(plain)
}

fn plain(text: &str) -> Vec<Unit> {
    let mut units = Vec::with_capacity(text.len());
    for (start, c) in text.char_indices() {
        add(&mut units, c, start, start + c.len_utf8());
    }
    units
}

/// Adds what NFKC makes of a character, decimal digits in ASCII.
fn add(units: &mut Vec<Unit>, c: char, start: usize, end: usize) {
    let mut part = 0;
    let mut push = |c| {
        let place = units.len();
        units.push(Unit { c: decimal::ascii(c), start, end, part, place });
        part += 1;
    };
    if c.is_ascii() { push(c) } else { decompose_compatible(c, push) }
}

/// One layer of spelling less; none: there is none.
fn decoded(units: &[Unit]) -> Option<Vec<Unit>> {
    let mut next = Vec::with_capacity(units.len());
    let mut rest = units;
    let mut found = false;
    while let Some((first, after)) = rest.split_first() {
        let escape = escape(rest);
        let last = escape.and_then(|(_, used)| rest.get(used.checked_sub(1)?));
        match (escape, last) {
            (Some((c, used)), Some(last)) => {
                add(&mut next, c, first.start, last.end);
                rest = rest.get(used..).unwrap_or_default();
                found = true;
            }
            _ => {
                next.push(Unit { place: next.len(), ..*first });
                rest = after;
            }
        }
    }
    found.then_some(next)
}

/// The character that an escape at the beginning stands for, and how many characters it takes.
fn escape(at: &[Unit]) -> Option<(char, usize)> {
    match at.first()?.c {
        '%' => percent(at),
        '&' => entity(at),
        '\\' => backslash(at),
        _ => None,
    }
}

/// Letters need no escape: what looks like one is as likely a number behind a per cent sign.
fn needed(c: char) -> bool {
    !c.is_ascii_alphabetic()
}

fn hex(at: &[Unit], places: Range<usize>) -> Option<u32> {
    let mut number = 0;
    for unit in at.get(places)? {
        // Nobody asks for more than six places: nothing overflows.
        number = number * 16 + unit.c.to_digit(16)?;
    }
    Some(number)
}

/// `%34`, `%EF%BC%94`, `%u0034`.
fn percent(at: &[Unit]) -> Option<(char, usize)> {
    if matches!(at.get(1)?.c, 'u' | 'U') {
        return char::from_u32(hex(at, 2..6)?).filter(|c| needed(*c)).map(|c| (c, 6));
    }
    let byte = |index: usize| {
        let start = index * 3;
        (at.get(start)?.c == '%').then(|| hex(at, start + 1..start + 3))?.and_then(|byte| u8::try_from(byte).ok())
    };
    let length = match byte(0)? {
        0..0x80 => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let bytes: Vec<u8> = (0..length).map(byte).collect::<Option<_>>()?;
    let c = std::str::from_utf8(&bytes).ok()?.chars().next()?;
    needed(c).then_some((c, length * 3))
}

/// `&#52;`, `&#x34;`, also without the semicolon; `&nbsp;` and every other name stand for something between two digits.
fn entity(at: &[Unit]) -> Option<(char, usize)> {
    let is = |place: usize, c: char| at.get(place).is_some_and(|unit| unit.c == c);
    if !is(1, '#') {
        let name: String =
            at.iter().skip(1).map(|unit| unit.c).take_while(char::is_ascii_alphabetic).take(NAME_MAX).collect();
        let c = match name.as_str() {
            "" => return None,
            "amp" => '&',
            "percnt" => '%',
            "num" => '#',
            "bsol" => '\\',
            _ => ' ',
        };
        return is(name.len() + 1, ';').then_some((c, name.len() + 2));
    }
    let (from, radix) = if is(2, 'x') || is(2, 'X') { (3, 16) } else { (2, 10) };
    // One more than allowed, so that a longer number is seen to be none.
    let digits = at.iter().skip(from).map_while(|unit| unit.c.to_digit(radix)).take(ENTITY_DIGITS_MAX + 1);
    let (mut length, mut code) = (0, 0_u64);
    for digit in digits {
        length += 1;
        code = code * u64::from(radix) + u64::from(digit);
    }
    if !(1..=ENTITY_DIGITS_MAX).contains(&length) {
        return None;
    }
    let c = char::from_u32(u32::try_from(code).ok()?)?;
    let ends = from + length;
    if is(ends, ';') {
        return Some((c, ends + 1));
    }
    (!c.is_alphabetic()).then_some((c, ends))
}

/// `\u0034`, `\u{34}`, `\x34`.
fn backslash(at: &[Unit]) -> Option<(char, usize)> {
    let braced = at.get(2).is_some_and(|unit| unit.c == '{');
    let (code, used) = match at.get(1)?.c {
        'x' => (hex(at, 2..4)?, 4),
        'u' if braced => {
            // Six hex digits at most, and the brace.
            let length = at.iter().skip(3).take(7).position(|unit| unit.c == '}').filter(|length| *length > 0)?;
            (hex(at, 3..3 + length)?, length + 4)
        }
        'u' => (hex(at, 2..6)?, 6),
        _ => return None,
    };
    char::from_u32(code).filter(|c| needed(*c)).map(|c| (c, used))
}
