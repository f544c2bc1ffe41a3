//! The numbers of a call or a session, as they are looked for in texts.

use std::fmt;

use zeroize::Zeroizing;

use super::WINDOW;
use super::reading::{ReadDigit, Unit, row, row_with_ideographs, runs};

/// The shortest number that is looked for. Of a shorter one too much would be found by chance, and tell it.
const WHOLE_MIN: usize = 5;

/// How many digits the code of a character is written with, and in which bases: `34`, `0x34`, `U+0034`, `064`, `52`.
const CODE_WIDTHS: std::ops::RangeInclusive<usize> = 2..=4;
const CODE_BASES: [u32; 3] = [8, 10, 16];

/// Numbers that no text may show. `Debug` prints nothing of them.
#[derive(Clone, Default)]
pub struct Numbers {
    /// Every [`WINDOW`] digits in a row of the longer ones, as numbers, in order.
    windows: Zeroizing<Vec<u32>>,
    /// The last digits of what was keyed in pieces.
    last: Zeroizing<Vec<u8>>,
    /// Numbers that are looked for whole.
    whole: Vec<Zeroizing<Vec<u8>>>,
    /// Numbers of which only the length and the last digits are known.
    masked: Vec<(usize, Vec<u8>)>,
}

impl Numbers {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.whole.is_empty() && self.masked.is_empty()
    }

    /// Adds a number: ASCII digits; what is none is passed over.
    pub fn add(&mut self, number: &str) {
        let digits: Zeroizing<Vec<u8>> = Zeroizing::new(number.bytes().filter(u8::is_ascii_digit).collect());
        match digits.len() {
            ..WHOLE_MIN => {}
            WHOLE_MIN..WINDOW if self.whole.contains(&digits) => {}
            WHOLE_MIN..WINDOW => self.whole.push(digits),
            WINDOW.. => digits.windows(WINDOW).for_each(|window| self.insert(window)),
        }
    }

    /// Adds digits that go on where the ones before ended: a number may be asked for in pieces.
    pub fn extend(&mut self, digits: &str) {
        for digit in digits.bytes().filter(u8::is_ascii_digit) {
            let mut last = std::mem::take(&mut self.last);
            last.push(digit);
            if last.len() > WINDOW {
                last.remove(0);
            }
            if last.len() == WINDOW {
                self.insert(&last);
            }
            self.last = last;
        }
    }

    /// Adds a number of which only its mask is known: what is no digit in it stands for any.
    pub fn add_masked(&mut self, mask: &str) {
        let shown: Vec<u8> = mask.bytes().rev().take_while(u8::is_ascii_digit).collect();
        let length = mask.chars().count();
        if length >= WHOLE_MIN {
            self.masked.push((length, shown.into_iter().rev().collect()));
        }
    }

    fn insert(&mut self, window: &[u8]) {
        let number = number(window.iter().copied());
        if let Err(place) = self.windows.binary_search(&number) {
            self.windows.insert(place, number);
        }
    }

    /// The digits of a reading that are one of these.
    pub(super) fn found(&self, units: &[Unit]) -> Vec<ReadDigit> {
        let mut found = Vec::new();
        if !self.windows.is_empty() {
            let digits = row(units);
            found.extend(self.in_row(&digits));
            for width in CODE_WIDTHS {
                found.extend(CODE_BASES.iter().flat_map(|base| self.in_codes(&digits, width, *base)));
            }
            found.extend(row_with_ideographs(units).iter().flat_map(|digits| self.in_row(digits)));
        }
        if !self.whole.is_empty() || !self.masked.is_empty() {
            found.extend(runs(units).iter().flat_map(|run| self.in_run(run)));
        }
        found
    }

    /// [`WINDOW`] digits of one of the longer numbers in a row.
    fn in_row(&self, digits: &[ReadDigit]) -> Vec<ReadDigit> {
        let values: Vec<u8> = digits.iter().map(|digit| digit.value).collect();
        let found = self.starts(&values).filter_map(|start| digits.get(start..start + WINDOW));
        found.flatten().cloned().collect()
    }

    /// The same where the digits of a row are the codes of other digits, in hex, say.
    fn in_codes(&self, digits: &[ReadDigit], width: usize, base: u32) -> Vec<ReadDigit> {
        let mut found = Vec::new();
        for offset in 0..width {
            let codes: Vec<&[ReadDigit]> = digits.get(offset..).unwrap_or_default().chunks_exact(width).collect();
            // What is no digit's code becomes 0, which `starts` takes for no digit.
            let values: Vec<u8> = codes.iter().map(|code| coded(code, base).unwrap_or_default()).collect();
            for start in self.starts(&values) {
                found.extend(codes.get(start..start + WINDOW).unwrap_or_default().iter().copied().flatten().cloned());
            }
        }
        found
    }

    /// Where in a row of digits one of the longer numbers begins, or goes on. What is no digit is part of none.
    fn starts(&self, values: &[u8]) -> impl Iterator<Item = usize> {
        values.windows(WINDOW).enumerate().filter_map(|(start, window)| {
            let is_known = || self.windows.binary_search(&number(window.iter().copied())).is_ok();
            (window.iter().all(u8::is_ascii_digit) && is_known()).then_some(start)
        })
    }

    /// The digits of a run that are a number that is looked for whole, or fits a mask.
    fn in_run(&self, run: &[ReadDigit]) -> Vec<ReadDigit> {
        let mut found = Vec::new();
        for whole in &self.whole {
            let spells = |window: &[ReadDigit]| window.iter().map(|digit| digit.value).eq(whole.iter().copied());
            found.extend(alone(run, whole.len()).filter(|window| spells(window)).flatten().cloned());
        }
        for (length, shown) in &self.masked {
            let ends = |window: &[ReadDigit]| {
                let last = window.iter().skip(length.saturating_sub(shown.len()));
                last.map(|digit| digit.value).eq(shown.iter().copied())
            };
            if *length < WINDOW {
                found.extend(alone(run, *length).filter(|window| ends(window)).flatten().cloned());
            } else {
                found.extend(run.windows(*length).filter(|window| ends(window)).flatten().cloned());
            }
        }
        found
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numbers(…)")
    }
}

/// The digit whose code is written so.
fn coded(code: &[ReadDigit], base: u32) -> Option<u8> {
    let number = code.iter().try_fold(0_u32, |number, digit| {
        let value = char::from(digit.value).to_digit(base)?;
        number.checked_mul(base)?.checked_add(value)
    })?;
    u8::try_from(number).ok().filter(u8::is_ascii_digit)
}

/// So many digits of a run that have none right beside them.
pub(crate) fn alone(run: &[ReadDigit], length: usize) -> impl Iterator<Item = &[ReadDigit]> {
    run.windows(length.max(1)).enumerate().filter_map(move |(first, window)| {
        let begins = window.first().is_some_and(|digit| !digit.joined);
        let ends = run.get(first + length).is_none_or(|digit| !digit.joined);
        (begins && ends).then_some(window)
    })
}

/// [`WINDOW`] digits as a number: below a billion.
fn number(digits: impl Iterator<Item = u8>) -> u32 {
    // Nine digits stay below 2^32: nothing wraps.
    digits.fold(0_u32, |number, digit| number.wrapping_mul(10).wrapping_add(u32::from(digit.wrapping_sub(b'0'))))
}
