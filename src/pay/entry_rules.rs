//! When an entry of a field is complete, and when it is right.
//!
//! Shape:   pure functions of the digits, the settings and, where it matters, the card's brand.
//! Sources: spec/pay.md, sections 3 and 4.

use std::time::Duration;

use super::bank;
use super::card::{self, Brand, Completeness, Expiration, YearMonth};
use super::field::Field;
use super::prompts::Language;
use super::settings::{POSTAL_DIGITS_MAX, Settings};
use super::step::EntryError;
use super::test_numbers::AcceptedNumbers;
use crate::money::Currency;
use crate::secret::Digits;

/// The digits of a zip code, without and with its four more.
const ZIP_DIGITS: usize = 5;
const ZIP_PLUS_FOUR_DIGITS: usize = 9;

impl Field {
    /// Whether `digits` are a whole entry without `#`.
    #[must_use]
    pub fn completeness(self, digits: &Digits, settings: &Settings, brand: Option<Brand>) -> Completeness {
        let length = match self {
            Self::CardNumber => return card::completeness(digits, &settings.accepted),
            Self::ExpirationDate => 4,
            Self::PostalCode if has_zip_codes(settings) => {
                return match digits.len() {
                    0..ZIP_DIGITS => Completeness::Open,
                    // Six to eight digits may be a zip code and what was typed ahead, or a ZIP+4 still being keyed: all of them
                    // wait.
                    ZIP_DIGITS..ZIP_PLUS_FOUR_DIGITS => Completeness::PerhapsWhole,
                    _ => Completeness::Whole,
                };
            }
            Self::PostalCode => POSTAL_DIGITS_MAX,
            Self::SecurityCode => security_code_digits(brand),
            Self::RoutingNumber => bank::ROUTING_DIGITS,
            Self::AccountNumber => bank::ACCOUNT_DIGITS_MAX,
        };
        if digits.len() >= length { Completeness::Whole } else { Completeness::Open }
    }

    /// How long to wait for a digit that makes a whole entry longer, if the inter-digit timeout is not shorter
    /// (spec/pay.md, section 3).
    pub(super) const fn another_digit(self) -> Duration {
        match self {
            Self::PostalCode => Duration::from_secs(1),
            // Of these only a card number is ever perhaps whole.
            Self::CardNumber
            | Self::ExpirationDate
            | Self::SecurityCode
            | Self::RoutingNumber
            | Self::AccountNumber => Duration::from_secs(2),
        }
    }

    /// Cuts an entry that is over to what is the field's own, and says whether there was more: a zip code of five digits,
    /// after which fewer than a ZIP+4's four more came, was followed by the beginning of the next field.
    pub(super) fn keep_own(self, digits: &mut Digits, settings: &Settings) -> bool {
        let more = ZIP_DIGITS < digits.len() && digits.len() < ZIP_PLUS_FOUR_DIGITS;
        let has_more = more && self == Self::PostalCode && has_zip_codes(settings);
        if has_more {
            digits.truncate(ZIP_DIGITS);
        }
        has_more
    }

    /// Whether `digits` are right.
    ///
    /// # Errors
    /// What is wrong, and the brand where a card number names one.
    pub fn judge(
        self,
        digits: &Digits,
        settings: &Settings,
        brand: Option<Brand>,
        now: YearMonth,
        numbers: AcceptedNumbers,
    ) -> Result<(), (EntryError, Option<Brand>)> {
        let plain = |error| (error, brand);
        match self {
            Self::CardNumber => {
                let brand = card::judge_number(digits, &settings.accepted)?;
                // Test mode, on a platform that refuses at entry (spec/pay.md 10).
                if !numbers.takes_card(digits.expose()) {
                    return Err((EntryError::InvalidCardNumber, Some(brand)));
                }
                Ok(())
            }
            Self::ExpirationDate => Expiration::read(digits, now).map(|_| ()).map_err(plain),
            Self::PostalCode => {
                let least = usize::from(settings.min_postal_code_length.unwrap_or(1));
                let good = (least..=POSTAL_DIGITS_MAX).contains(&digits.len());
                if good { Ok(()) } else { Err(plain(EntryError::InvalidPostalCode)) }
            }
            Self::SecurityCode => {
                let good = digits.len() == security_code_digits(brand);
                if good { Ok(()) } else { Err(plain(EntryError::InvalidSecurityCode)) }
            }
            Self::RoutingNumber => bank::check_routing(digits).map(|_| ()).map_err(plain),
            Self::AccountNumber => bank::judge_account(digits).map_err(plain),
        }
    }
}

/// Whether postal codes are those of the United States: five digits or nine, and callers do not expect to end them.
fn has_zip_codes(settings: &Settings) -> bool {
    let american = settings.prompts.language == Language::EnUs && settings.currency == Currency::USD;
    american && settings.min_postal_code_length.is_none_or(|length| usize::from(length) == ZIP_DIGITS)
}

/// How many digits a security code has; a brand that is not known has three, as most.
pub(super) fn security_code_digits(brand: Option<Brand>) -> usize {
    brand.map_or(3, Brand::security_code_digits)
}
