//! Card brands, lengths, and when a number or a date is right.
//!
//! Shape:   pure functions over digits.
//! Limits:  12 to 19 digits (ISO/IEC 7812-1).
//! Errors:  [`EntryError`], an event like any other.
//! Sources: spec/pay.md section 4, which corrects two misprints of Twilio's table.

use std::fmt;

use super::step::{EntryError, words};
use crate::secret::Digits;

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

/// The brands that a `<Pay>` accepts; decides ties between brands that share a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedBrands(Vec<Brand>);

impl AcceptedBrands {
    /// Exactly these.
    #[must_use]
    pub fn new(brands: Vec<Brand>) -> Self {
        Self(brands)
    }

    /// Whether `brand` is among them.
    #[must_use]
    pub fn contains(&self, brand: Brand) -> bool {
        self.0.contains(&brand)
    }
}

impl Default for AcceptedBrands {
    /// `visa mastercard amex`, as Twilio's `validCardTypes`.
    fn default() -> Self {
        Self(vec![Brand::Visa, Brand::Mastercard, Brand::Amex])
    }
}

/// The prefixes of each brand as inclusive ranges of equal length, longer ones first: the longest prefix wins.
const PREFIXES: &[(u32, u32, Brand)] = &[
    // Discover shares this range with UnionPay: `Brand::of` decides by what is accepted.
    (622_126, 622_925, Brand::Discover),
    // Twilio's table prints 272099 for the end of this range (spec/pay.md 4).
    (2221, 2720, Brand::Mastercard),
    (6011, 6011, Brand::Discover),
    (3528, 3589, Brand::Jcb),
    (3095, 3095, Brand::DinersClub),
    (2014, 2014, Brand::Enroute),
    (2149, 2149, Brand::Enroute),
    (644, 649, Brand::Discover),
    (300, 305, Brand::DinersClub),
    (51, 55, Brand::Mastercard),
    (34, 34, Brand::Amex),
    (37, 37, Brand::Amex),
    (65, 65, Brand::Discover),
    (36, 36, Brand::DinersClub),
    (38, 38, Brand::DinersClub),
    (39, 39, Brand::DinersClub),
    (62, 62, Brand::Unionpay),
    (81, 81, Brand::Unionpay),
    (50, 50, Brand::Maestro),
    (56, 58, Brand::Maestro),
    (4, 4, Brand::Visa),
    // What no other brand took (spec/pay.md 4).
    (6, 6, Brand::Maestro),
];

impl Brand {
    /// The brand whose prefix `number` begins with. `None`: no brand, or too few digits to tell.
    #[must_use]
    pub fn of(number: &Digits, accepted: &AcceptedBrands) -> Option<Self> {
        let text = number.expose();
        let brand = PREFIXES.iter().find_map(|(first, last, brand)| {
            let width = first.to_string().len();
            // With too few digits for this prefix, a shorter one may still fit.
            let prefix: u32 = text.get(..width)?.parse().ok()?;
            (*first..=*last).contains(&prefix).then_some(*brand)
        })?;
        Some(match brand {
            Self::Discover
                if text.starts_with("62")
                    && accepted.contains(Self::Unionpay)
                    && !accepted.contains(Self::Discover) =>
            {
                Self::Unionpay
            }
            Self::Amex if accepted.contains(Self::Optima) && !accepted.contains(Self::Amex) => Self::Optima,
            other => other,
        })
    }

    /// Whether a number of this brand may have `length` digits.
    #[must_use]
    pub fn allows_length(self, number: &Digits, length: usize) -> bool {
        // Twilio's table prints 13, 15, 19 (spec/pay.md 4).
        match self {
            Self::Visa => matches!(length, 13 | 16 | 19),
            Self::Mastercard => length == 16,
            Self::Amex | Self::Optima | Self::Enroute => length == 15,
            Self::Discover | Self::Jcb | Self::Unionpay => (16..=19).contains(&length),
            Self::DinersClub if is_diners_36(number) => (14..=19).contains(&length),
            Self::DinersClub => length == 14 || (16..=19).contains(&length),
            Self::Maestro => (12..=19).contains(&length),
        }
    }

    /// The most digits a number of this brand may have.
    #[must_use]
    pub const fn longest(self) -> usize {
        match self {
            Self::Mastercard => 16,
            Self::Amex | Self::Optima | Self::Enroute => 15,
            Self::Visa | Self::Discover | Self::Jcb | Self::Unionpay | Self::DinersClub | Self::Maestro => {
                CARD_DIGITS_MAX
            }
        }
    }

    /// How many digits its numbers usually have.
    fn usual(self, number: &Digits) -> usize {
        match self {
            Self::Amex | Self::Optima | Self::Enroute => 15,
            Self::DinersClub if is_diners_36(number) => 14,
            _ => 16,
        }
    }

    /// Whether its numbers end in a check digit.
    const fn has_check_digit(self) -> bool {
        !matches!(self, Self::Enroute)
    }

    /// How many digits its security code has. Optima numbers are American Express numbers.
    #[must_use]
    pub const fn security_code_digits(self) -> usize {
        match self {
            Self::Amex | Self::Optima => 4,
            _ => 3,
        }
    }
}

fn is_diners_36(number: &Digits) -> bool {
    number.expose().starts_with("36")
}

/// Whether the digits keyed so far are a whole card number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// More is expected; `#` or the timer ends the entry.
    Open,
    /// Could be whole or go on: wait a moment for another digit.
    PerhapsWhole,
    /// No further digit can belong to it.
    Whole,
}

/// When a card number is complete without `#` (spec/pay.md, section 3).
#[must_use]
pub fn completeness(number: &Digits, accepted: &AcceptedBrands) -> Completeness {
    let length = number.len();
    // Nineteen digits end an entry whatever they are, also where no brand fits (spec/pay.md 3).
    if length >= CARD_DIGITS_MAX {
        return Completeness::Whole;
    }
    let Some(brand) = Brand::of(number, accepted) else {
        return Completeness::Open;
    };
    if length >= brand.longest() {
        return Completeness::Whole;
    }
    // A visa of 19 digits whose first 16 fail the check goes on (spec/pay.md 3).
    if !number.luhn() {
        return Completeness::Open;
    }
    match brand {
        // Really issued with up to 19 digits.
        Brand::Maestro | Brand::Unionpay if length >= 16 && brand.allows_length(number, length) => {
            Completeness::PerhapsWhole
        }
        // Below 16 digits `#` or the timer ends them (spec/pay.md 3).
        Brand::Maestro | Brand::Unionpay => Completeness::Open,
        _ if length == brand.usual(number) => Completeness::Whole,
        _ => Completeness::Open,
    }
}

/// Judges a card number: brand by prefix, the brand's length, the check digit, and whether the brand is accepted.
///
/// # Errors
/// What to tell the caller, and the brand where the digits name one.
pub fn judge_number(digits: &Digits, accepted: &AcceptedBrands) -> Result<Brand, (EntryError, Option<Brand>)> {
    let Some(brand) = Brand::of(digits, accepted) else {
        return Err((EntryError::InvalidCardNumber, None));
    };
    // First, because `invalid-card-type` is said of a good number whose brand is not taken.
    if !brand.allows_length(digits, digits.len()) || (brand.has_check_digit() && !digits.luhn()) {
        return Err((EntryError::InvalidCardNumber, Some(brand)));
    }
    if !accepted.contains(brand) {
        return Err((EntryError::InvalidCardType, Some(brand)));
    }
    Ok(brand)
}

/// Groups a masked number as the card prints it: 4-6-5 for American Express numbers, else fours.
#[must_use]
pub fn grouped(masked: &str, brand: Brand) -> String {
    let groups: &[usize] = match brand {
        Brand::Amex | Brand::Optima => &[4, 6, 5],
        // The fifth group is of numbers with more than 16 digits.
        _ => &[4, 4, 4, 4, 4],
    };
    let mut rest = masked;
    let mut parts = Vec::new();
    for width in groups {
        let (part, after) = rest.split_at_checked(*width).unwrap_or((rest, ""));
        parts.push(part);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    parts.join("-")
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
        let part = |range: std::ops::Range<usize>| text.get(range).and_then(|part: &str| part.parse::<i16>().ok());
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
        // An expired date was read as one of the next century above, and fails here.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> AcceptedBrands {
        AcceptedBrands::new(Brand::ALL.to_vec())
    }

    #[test]
    fn prefixes_name_their_brand_and_the_longest_wins() {
        for (number, brand) in [
            ("4242424242424242", Brand::Visa),
            ("5555555555554444", Brand::Mastercard),
            ("2221000000000009", Brand::Mastercard),
            ("2720990000000007", Brand::Mastercard),
            ("378282246310005", Brand::Amex),
            ("6011111111111117", Brand::Discover),
            ("6221260000000000", Brand::Discover),
            ("6229260000000000", Brand::Unionpay),
            ("6200000000000005", Brand::Unionpay),
            ("8100000000000000", Brand::Unionpay),
            ("6440000000000000", Brand::Discover),
            ("3566002020360505", Brand::Jcb),
            ("3056930009020004", Brand::DinersClub),
            ("3095000000000000", Brand::DinersClub),
            ("36227206271667", Brand::DinersClub),
            ("6771798021000008", Brand::Maestro),
            ("5000000000000000", Brand::Maestro),
            ("201400000000000", Brand::Enroute),
        ] {
            assert_eq!(Brand::of(&Digits::of(number), &all()), Some(brand), "{number}");
        }
        for number in ["", "1", "9999999999999999", "2721000000000000", "3060000000000000", "70", "622"] {
            let brand = Brand::of(&Digits::of(number), &all());
            assert!(brand.is_none() || number == "622", "{number}");
        }
    }

    #[test]
    fn shared_ranges_go_to_the_brand_that_is_accepted() {
        let unionpay = AcceptedBrands::new(vec![Brand::Unionpay]);
        assert_eq!(Brand::of(&Digits::of("6221260000000000"), &unionpay), Some(Brand::Unionpay));
        assert_eq!(Brand::of(&Digits::of("6011111111111117"), &unionpay), Some(Brand::Discover));
        let optima = AcceptedBrands::new(vec![Brand::Optima]);
        assert_eq!(Brand::of(&Digits::of("378282246310005"), &optima), Some(Brand::Optima));
    }

    #[test]
    fn a_number_is_whole_at_its_usual_length_only_if_its_check_digit_holds() {
        let state = |number: &str| completeness(&Digits::of(number), &all());
        assert_eq!(state("424242424242424"), Completeness::Open);
        assert_eq!(state("4242424242424242"), Completeness::Whole);
        assert_eq!(state("4242424242424241"), Completeness::Open);
        assert_eq!(state("4000000000006"), Completeness::Open, "thirteen digits need # or the timer");
        assert_eq!(state("5555555555554440"), Completeness::Whole, "no mastercard is longer");
        assert_eq!(state("378282246310005"), Completeness::Whole);
        assert_eq!(state("36227206271667"), Completeness::Whole);
        assert_eq!(state("6771798021000008"), Completeness::PerhapsWhole);
        assert_eq!(state("6771798021000009"), Completeness::Open);
        assert_eq!(state("9999999999999999"), Completeness::Open);
        assert_eq!(state("9999999999999999999"), Completeness::Whole);
        assert_eq!(state("201400000000000"), Completeness::Whole);
    }

    #[test]
    fn numbers_are_checked_by_brand_length_and_check_digit() {
        let defaults = AcceptedBrands::default();
        let check = |number: &str| judge_number(&Digits::of(number), &defaults);
        assert_eq!(check("4000000000006"), Ok(Brand::Visa));
        assert_eq!(check("4242424242424241"), Err((EntryError::InvalidCardNumber, Some(Brand::Visa))));
        assert_eq!(check("42424242424242"), Err((EntryError::InvalidCardNumber, Some(Brand::Visa))));
        assert_eq!(check("6011111111111117"), Err((EntryError::InvalidCardType, Some(Brand::Discover))));
        assert_eq!(check("9999999999999995"), Err((EntryError::InvalidCardNumber, None)));
        assert_eq!(check(""), Err((EntryError::InvalidCardNumber, None)));
    }

    #[test]
    fn masked_numbers_are_grouped_as_the_card_prints_them() {
        assert_eq!(grouped("xxxxxxxxxxx4001", Brand::Amex), "xxxx-xxxxxx-x4001");
        assert_eq!(grouped("xxxxxxxxxxxx4242", Brand::Visa), "xxxx-xxxx-xxxx-4242");
        assert_eq!(grouped("xxxxxxxxxxxxxxx4242", Brand::Maestro), "xxxx-xxxx-xxxx-xxx4-242");
    }

    #[test]
    fn a_card_is_good_through_its_month_and_at_most_twenty_years_ahead() {
        let now = YearMonth { year: 2026, month: 11 };
        let read = |text: &str| Expiration::read(&Digits::of(text), now).map(|date| (date.year(), date.month()));
        assert_eq!(read("1126"), Ok((2026, 11)));
        assert_eq!(read("1228"), Ok((2028, 12)));
        assert_eq!(read("1146"), Ok((2046, 11)));
        for text in ["1026", "1246", "1328", "0028", "125", "", "12345"] {
            assert_eq!(read(text), Err(EntryError::InvalidDate), "{text}");
        }
        let late = YearMonth { year: 2095, month: 1 };
        let date = Expiration::read(&Digits::of("0305"), late).unwrap();
        assert_eq!((date.year(), date.to_string().as_str()), (2105, "0305"));
    }
}
