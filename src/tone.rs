//! DTMF: the keys of a telephone.
//!
//! Shape:   one type, [`Key`]; [`generate`] makes their sound.
//! Secrets: a key is part of a card number. `Debug` prints `•`; [`Key::symbol`] is the one way to what was pressed.
//! Sources: ITU-T Q.23 (the sixteen keys).

pub mod generate;

use std::fmt;

/// One key of a telephone's keypad.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `0` to `9`, as its ASCII byte. Made by [`Key::parse`] only.
    Digit(Digit),
    /// `*`
    Star,
    /// `#`
    Pound,
    /// `A` to `D`: on no ordinary telephone, but in the standard.
    Letter(Letter),
}

/// A decimal digit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digit(u8);

impl Digit {
    /// Its ASCII byte, `b'0'` to `b'9'`.
    #[must_use]
    pub const fn ascii(self) -> u8 {
        self.0
    }
}

/// A key of the fourth column.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    /// `A`
    A,
    /// `B`
    B,
    /// `C`
    C,
    /// `D`
    D,
}

impl Key {
    /// The key that `symbol` names: `0`-`9`, `*`, `#`, `A`-`D` in either case. `None` for everything else.
    #[must_use]
    pub fn parse(symbol: char) -> Option<Self> {
        match symbol {
            '0'..='9' => u8::try_from(symbol).ok().map(|byte| Self::Digit(Digit(byte))),
            '*' => Some(Self::Star),
            '#' => Some(Self::Pound),
            'a' | 'A' => Some(Self::Letter(Letter::A)),
            'b' | 'B' => Some(Self::Letter(Letter::B)),
            'c' | 'C' => Some(Self::Letter(Letter::C)),
            'd' | 'D' => Some(Self::Letter(Letter::D)),
            _ => None,
        }
    }

    /// What is printed on the key.
    #[must_use]
    pub const fn symbol(self) -> char {
        match self {
            Self::Digit(digit) => digit.0 as char,
            Self::Star => '*',
            Self::Pound => '#',
            Self::Letter(Letter::A) => 'A',
            Self::Letter(Letter::B) => 'B',
            Self::Letter(Letter::C) => 'C',
            Self::Letter(Letter::D) => 'D',
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•")
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•")
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_and_written_and_never_printed() {
        for symbol in "0123456789*#ABCD".chars() {
            let key = Key::parse(symbol).unwrap();
            assert_eq!(key.symbol(), symbol);
            assert_eq!(format!("{key:?}"), "•");
        }
        assert_eq!(Key::parse('b').unwrap().symbol(), 'B');
        assert!(Key::parse('x').is_none());
        assert!(Key::parse('٣').is_none());
    }
}
