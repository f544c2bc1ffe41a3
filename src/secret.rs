//! Card numbers, security codes, account numbers, tokens and keys: the only types in the crate that hold them.
//!
//! Shape:   plain values. Nothing here prints, compares in a timing-dependent way, or serializes itself.
//! Limits:  [`DIGITS_MAX`] digits in one entry.
//! Errors:  none; what is typed is always representable, whether it is valid is decided in `pay`.
//! Secrets: every type keeps its bytes in one heap block that is never reallocated and is wiped when it is dropped. A
//!          move copies a pointer, never a digit. Reviewers search for `expose`: it is the one way out.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// The longest entry a caller can key into one field, in digits. A card number has at most 19 (ISO/IEC 7812-1), a bank
/// account number 17; the rest is room for a Gather without `numDigits`.
pub const DIGITS_MAX: usize = 64;

/// A secret text: a token, a password, a gateway's key. Cheap to share, wiped when the last holder drops it.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// Takes the text over; the caller's own copy is consumed.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(SecretString::from(text)))
    }

    /// The text itself. Called where it leaves the process on purpose (a request, a callback) and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether both hold the same text, in time that depends on the lengths alone.
    #[must_use]
    pub fn matches(&self, other: &str) -> bool {
        self.expose().as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Digits as a caller keys them in: ASCII `0` to `9`, at most [`DIGITS_MAX`]. `Debug` prints how many there are.
pub struct Digits(Zeroizing<Vec<u8>>);

impl Digits {
    /// No digits yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(DIGITS_MAX)))
    }

    /// The digits of `text`; every other character is passed over, what is past [`DIGITS_MAX`] is not taken.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut digits = Self::new();
        for byte in text.bytes().filter(u8::is_ascii_digit) {
            digits.push(byte);
        }
        digits
    }

    /// Appends one ASCII digit. False, and nothing changed, when the buffer is full or `digit` is none.
    pub fn push(&mut self, digit: u8) -> bool {
        let fits = self.0.len() < DIGITS_MAX && digit.is_ascii_digit();
        if fits {
            self.0.push(digit);
        }
        fits
    }

    /// Forgets all digits but the first `count`.
    pub fn truncate(&mut self, count: usize) {
        if let Some(rest) = self.0.get_mut(count..) {
            rest.zeroize();
        }
        self.0.truncate(count);
    }

    /// How many digits there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The digits themselves.
    #[must_use]
    pub fn expose(&self) -> &str {
        // Only ASCII digits are ever pushed.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The last `count` digits, all of them if there are fewer: what a caller may be read back and a receipt may show.
    #[must_use]
    pub fn last(&self, count: usize) -> &str {
        let text = self.expose();
        text.get(text.len().saturating_sub(count)..).unwrap_or_default()
    }

    /// `mask` for every digit but the last `shown`.
    #[must_use]
    pub fn masked(&self, mask: char, shown: usize) -> String {
        let hidden = self.len().saturating_sub(shown);
        std::iter::repeat_n(mask, hidden).chain(self.last(shown).chars()).collect()
    }

    /// Whether the Luhn check holds (ISO/IEC 7812-1, annex B). False for no digits.
    #[must_use]
    pub fn luhn(&self) -> bool {
        let sum: u32 = self
            .0
            .iter()
            .rev()
            .enumerate()
            .map(|(place, byte)| {
                let digit = u32::from(byte.wrapping_sub(b'0'));
                match (place % 2, digit) {
                    (0, _) => digit,
                    (_, 0..=4) => digit * 2,
                    _ => digit * 2 - 9,
                }
            })
            .sum();
        !self.is_empty() && sum.is_multiple_of(10)
    }
}

impl Default for Digits {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digits({} keyed)", self.len())
    }
}

impl PartialEq for Digits {
    /// In time that depends on the lengths alone.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digits {}

/// What a checked number is, and how much of it may be seen.
pub trait NumberKind {
    /// Its name in `Debug`.
    const NAME: &'static str;
    /// What stands for a digit that nobody may see.
    const MASK: char;
    /// How many of the last digits may be seen.
    const SHOWN: usize;
}

/// A number that passed every check of `pay`. `Debug` prints its mask, and of one of which nothing may be seen not even how
/// long it is.
pub struct Number<K>(Digits, PhantomData<K>);

impl<K: NumberKind> Number<K> {
    /// Wraps digits that `pay` has checked.
    pub(crate) const fn checked(digits: Digits) -> Self {
        Self(digits, PhantomData)
    }

    /// The digits. Called by connectors and by nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Every digit hidden but those of the last ones that may be seen.
    #[must_use]
    pub fn masked(&self) -> String {
        self.0.masked(K::MASK, K::SHOWN)
    }
}

impl<K: NumberKind> fmt::Debug for Number<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match K::SHOWN {
            0 => write!(f, "{}(…)", K::NAME),
            _ => write!(f, "{}({})", K::NAME, self.masked()),
        }
    }
}

/// The kind of [`CardNumber`].
#[derive(Debug)]
pub struct OfCard;

impl NumberKind for OfCard {
    const NAME: &'static str = "CardNumber";
    const MASK: char = 'x';
    const SHOWN: usize = 4;
}

/// A card number (PAN): 12 to 19 digits. Masked: `xxxxxxxxxxxx4242`.
pub type CardNumber = Number<OfCard>;

impl CardNumber {
    /// The last four digits: what receipts and callbacks may show.
    #[must_use]
    pub fn last_four(&self) -> &str {
        self.0.last(OfCard::SHOWN)
    }
}

/// The kind of [`SecurityCode`].
#[derive(Debug)]
pub struct OfCode;

impl NumberKind for OfCode {
    const NAME: &'static str = "SecurityCode";
    const MASK: char = 'x';
    const SHOWN: usize = 0;
}

/// A card's security code (CVV, CVC, CID): 3 or 4 digits. Masked: one `x` a digit.
pub type SecurityCode = Number<OfCode>;

/// The kind of [`AccountNumber`].
#[derive(Debug)]
pub struct OfAccount;

impl NumberKind for OfAccount {
    const NAME: &'static str = "AccountNumber";
    const MASK: char = '*';
    const SHOWN: usize = 2;
}

/// A bank account number: 4 to 17 digits. Masked: `*******92`.
pub type AccountNumber = Number<OfAccount>;

impl AccountNumber {
    /// The last two digits: what a caller may be read back.
    #[must_use]
    pub fn last_two(&self) -> &str {
        self.0.last(OfAccount::SHOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_printed() {
        let digits = Digits::of("4242 4242 4242 4242");
        assert_eq!(format!("{digits:?}"), "Digits(16 keyed)");
        assert_eq!(format!("{:?}", CardNumber::checked(digits)), "CardNumber(xxxxxxxxxxxx4242)");
        assert_eq!(format!("{:?}", SecurityCode::checked(Digits::of("123"))), "SecurityCode(…)");
        assert_eq!(SecurityCode::checked(Digits::of("123")).masked(), "xxx");
        assert_eq!(format!("{:?}", AccountNumber::checked(Digits::of("12345678"))), "AccountNumber(******78)");
        assert_eq!(format!("{:?}", Secret::new("tok_1".into())), "Secret(…)");
    }

    #[test]
    fn luhn_holds_for_published_test_numbers_and_for_no_neighbour() {
        for number in ["4242424242424242", "378282246310005", "6771798021000008", "79927398713"] {
            assert!(Digits::of(number).luhn(), "{number}");
        }
        assert!(!Digits::of("4242424242424241").luhn());
        assert!(!Digits::new().luhn());
    }

    #[test]
    fn a_full_buffer_takes_no_more_and_never_moves() {
        let mut digits = Digits::new();
        let place = digits.0.as_ptr();
        for _ in 0..DIGITS_MAX {
            assert!(digits.push(b'7'));
        }
        assert!(!digits.push(b'7'));
        assert!(!Digits::new().push(b'x'));
        assert_eq!(digits.0.as_ptr(), place);
    }
}
