//! Card brands, lengths, and when a number or a date is right.
//!
//! Shape:   pure functions over digits.
//! Limits:  12 to 19 digits (ISO/IEC 7812-1).
//! Errors:  [`EntryError`], an event like any other.
//! Sources: spec/pay.md section 4, which corrects two misprints of Twilio's table.

use std::fmt;

use super::step::{EntryError, words};
use crate::secret::{CardNumber, Digits};

/// The longest card number, in digits (ISO/IEC 7812-1).
pub const CARD_DIGITS_MAX: usize = 19;

/// How far ahead an expiration date may lie, in years.
const YEARS_AHEAD_MAX: i16 = 20;

words! {
    /// A card's brand as `validCardTypes` and `PaymentCardType` name it.
    Brand {
        /// Visa.
        Visa = "visa",
        /// Mastercard.
        Mastercard = "mastercard",
        /// American Express.
        Amex = "amex",
        /// Maestro.
        Maestro = "maestro",
        /// Discover.
        Discover = "discover",
        /// Optima, a former American Express product with American Express numbers.
        Optima = "optima",
        /// JCB.
        Jcb = "jcb",
        /// Diners Club.
        DinersClub = "diners-club",
        /// enRoute, whose numbers have no check digit.
        Enroute = "enroute",
        /// UnionPay.
        Unionpay = "unionpay",
    }
}

/// When a card expires: month and year, printed on it and told to the merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiration {
    year: i16,
    month: i8,
}

/// The calendar month that it is now for the account, in its own time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct YearMonth {
    /// The year, four digits.
    pub year: i16,
    /// The month, 1 to 12.
    pub month: i8,
}

impl Expiration {
    /// Reads `MMYY`: a month that exists, not past, at most 20 years ahead of `now`. A card is good through the last
    /// day of its month.
    ///
    /// # Errors
    /// [`EntryError::InvalidDate`] for anything else.
    pub fn read(digits: &Digits, now: YearMonth) -> Result<Self, EntryError> {
        let text = digits.expose();
        let part = |range| text.get(range).and_then(|part: &str| part.parse::<i16>().ok());
        let (4, Some(month), Some(short_year)) = (text.len(), part(0..2), part(2..4)) else {
            return Err(EntryError::InvalidDate);
        };
        let Some(month) = i8::try_from(month).ok().filter(|month| (1..=12).contains(month)) else {
            return Err(EntryError::InvalidDate);
        };
        let century = now.year - now.year.rem_euclid(100);
        // In 2095 a card "05" is of 2105.
        let year = [century + short_year, century + 100 + short_year]
            .into_iter()
            .find(|year| (*year, month) >= (now.year, now.month))
            .ok_or(EntryError::InvalidDate)?;
        if (year, month) > (now.year.saturating_add(YEARS_AHEAD_MAX), now.month) {
            return Err(EntryError::InvalidDate);
        }
        Ok(Self { year, month })
    }

    /// The year, four digits.
    #[must_use]
    pub const fn year(self) -> i16 {
        self.year
    }

    /// The month, 1 to 12.
    #[must_use]
    pub const fn month(self) -> i8 {
        self.month
    }
}

impl fmt::Display for Expiration {
    /// `MMYY`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}{:02}", self.month, self.year.rem_euclid(100))
    }
}
