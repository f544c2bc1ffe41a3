//! The fields a caller keys in: when one is complete, and when it is right.
//!
//! Shape:   pure functions; [`Captured`] holds what was accepted until it becomes the gateway's instrument.
//! Secrets: takes digits over into `secret` types.
//! Sources: spec/pay.md, sections 3 and 4.

use std::time::Duration;

use super::bank;
use super::card::{self, Brand, Completeness, Expiration, YearMonth};
use super::gateway::{BankAccount, Card, Instrument, PaymentMethod};
use super::outcome::Receipt;
use super::prompts::{Language, LastDigits};
use super::settings::{POSTAL_DIGITS_MAX, PostalCode, Settings};
use super::step::{EntryError, Step};
use super::test_numbers::AcceptedNumbers;
use crate::money::Currency;
use crate::secret::{AccountNumber, CardNumber, Digits, SecurityCode};

/// The digits of a zip code, without and with its four more.
const ZIP_DIGITS: usize = 5;
const ZIP_PLUS_FOUR_DIGITS: usize = 9;

/// A step that captures digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The card number.
    CardNumber,
    /// Its expiration date.
    ExpirationDate,
    /// The postal code.
    PostalCode,
    /// The security code.
    SecurityCode,
    /// The bank's routing number.
    RoutingNumber,
    /// The account number.
    AccountNumber,
}

impl Field {
    /// The fields a verb asks for, in order.
    #[must_use]
    pub fn plan(settings: &Settings) -> Vec<Self> {
        if settings.payment_token.is_some() {
            return Vec::new();
        }
        match settings.payment_method {
            PaymentMethod::CreditCard => {
                let mut plan = vec![Self::CardNumber, Self::ExpirationDate];
                if settings.postal_code == PostalCode::Asked {
                    plan.push(Self::PostalCode);
                }
                if settings.security_code {
                    plan.push(Self::SecurityCode);
                }
                plan
            }
            PaymentMethod::AchDebit => vec![Self::RoutingNumber, Self::AccountNumber],
        }
    }

    /// Every field.
    pub const ALL: &'static [Self] = &[
        Self::CardNumber,
        Self::ExpirationDate,
        Self::PostalCode,
        Self::SecurityCode,
        Self::RoutingNumber,
        Self::AccountNumber,
    ];

    /// The field that `Capture` names with `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.step().word().eq_ignore_ascii_case(word))
    }

    /// Whether an agent may have it keyed a second time (`-matcher`).
    #[must_use]
    pub const fn has_matcher(self) -> bool {
        matches!(self, Self::CardNumber | Self::ExpirationDate | Self::PostalCode | Self::SecurityCode)
    }

    /// The callback field that tells its value, masked; `Required` names it so too.
    #[must_use]
    pub const fn told_as(self) -> &'static str {
        match self {
            Self::CardNumber => "PaymentCardNumber",
            Self::ExpirationDate => "ExpirationDate",
            Self::PostalCode => "PaymentCardPostalCode",
            Self::SecurityCode => "SecurityCode",
            Self::RoutingNumber => "BankRoutingNumber",
            Self::AccountNumber => "BankAccountNumber",
        }
    }

    /// What stands for a digit of it that nobody may see.
    #[must_use]
    pub const fn mask(self) -> &'static str {
        match self {
            Self::AccountNumber => "*",
            Self::CardNumber | Self::ExpirationDate | Self::PostalCode | Self::SecurityCode | Self::RoutingNumber => {
                "x"
            }
        }
    }

    /// The step that captures it.
    #[must_use]
    pub const fn step(self) -> Step {
        match self {
            Self::CardNumber => Step::PaymentCardNumber,
            Self::ExpirationDate => Step::ExpirationDate,
            Self::PostalCode => Step::PostalCode,
            Self::SecurityCode => Step::SecurityCode,
            Self::RoutingNumber => Step::BankRoutingNumber,
            Self::AccountNumber => Step::BankAccountNumber,
        }
    }

    /// Whether `digits` are a whole entry without `#`.
    #[must_use]
    pub fn completeness(self, digits: &Digits, settings: &Settings, brand: Option<Brand>) -> Completeness {
        let length = match self {
            Self::CardNumber => return card::completeness(digits, &settings.accepted),
            Self::ExpirationDate => 4,
            Self::PostalCode if has_zip_codes(settings) => {
                return match digits.len() {
                    0..ZIP_DIGITS => Completeness::Open,
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

fn security_code_digits(brand: Option<Brand>) -> usize {
    brand.map_or(3, Brand::security_code_digits)
}

/// The values accepted so far.
#[derive(Debug, Default)]
pub struct Captured {
    card: Option<(CardNumber, Brand)>,
    expiration: Option<Expiration>,
    postal_code: Option<String>,
    security_code: Option<SecurityCode>,
    routing_number: Option<String>,
    account_number: Option<AccountNumber>,
}

impl Captured {
    /// Takes an entry that [`Field::judge`] found right, and notes it on the receipt.
    pub fn take(&mut self, field: Field, digits: Digits, settings: &Settings, now: YearMonth, receipt: &mut Receipt) {
        match field {
            Field::CardNumber => {
                if let Some(brand) = Brand::of(&digits, &settings.accepted) {
                    let number = CardNumber::checked(digits);
                    receipt.card = Some((number.masked(), brand));
                    self.card = Some((number, brand));
                }
            }
            Field::ExpirationDate => {
                self.expiration = Expiration::read(&digits, now).ok();
                receipt.expiration = self.expiration.map(|date| date.to_string());
            }
            Field::PostalCode => {
                self.postal_code = Some(digits.expose().to_owned());
                receipt.postal_code = self.postal_code.clone();
            }
            Field::SecurityCode => {
                let code = SecurityCode::checked(digits);
                receipt.security_code = Some(code.masked());
                self.security_code = Some(code);
            }
            Field::RoutingNumber => {
                self.routing_number = bank::check_routing(&digits).ok();
                receipt.routing_number = self.routing_number.clone();
            }
            Field::AccountNumber => {
                let number = AccountNumber::checked(digits);
                receipt.account_number = Some(number.masked());
                self.account_number = Some(number);
            }
        }
    }

    /// Whether a value for `field` is here.
    #[must_use]
    pub const fn has(&self, field: Field) -> bool {
        match field {
            Field::CardNumber => self.card.is_some(),
            Field::ExpirationDate => self.expiration.is_some(),
            Field::PostalCode => self.postal_code.is_some(),
            Field::SecurityCode => self.security_code.is_some(),
            Field::RoutingNumber => self.routing_number.is_some(),
            Field::AccountNumber => self.account_number.is_some(),
        }
    }

    /// Gives a value up, also on the receipt: it will be keyed again.
    pub fn forget(&mut self, field: Field, receipt: &mut Receipt) {
        receipt.forget(field);
        match field {
            Field::CardNumber => self.card = None,
            Field::ExpirationDate => self.expiration = None,
            Field::PostalCode => self.postal_code = None,
            Field::SecurityCode => self.security_code = None,
            Field::RoutingNumber => self.routing_number = None,
            Field::AccountNumber => self.account_number = None,
        }
    }

    /// Whether the security code is one that the card's brand cannot have.
    #[must_use]
    pub fn security_code_misfits(&self) -> bool {
        self.security_code.as_ref().is_some_and(|code| code.expose().len() != security_code_digits(self.brand()))
    }

    /// The card's brand, once it is known.
    #[must_use]
    pub fn brand(&self) -> Option<Brand> {
        self.card.as_ref().map(|(_, brand)| *brand)
    }

    /// What the confirmation reads back.
    #[must_use]
    pub fn last_digits(&self) -> Option<LastDigits> {
        match (&self.card, &self.account_number) {
            (Some((number, _)), _) => Some(LastDigits::Card(number.last_four().to_owned())),
            (None, Some(number)) => Some(LastDigits::Account(number.last_two().to_owned())),
            (None, None) => None,
        }
    }

    /// What the gateway is given. `None` if something is missing, which the plan of fields rules out.
    #[must_use]
    pub fn into_instrument(self, settings: &Settings) -> Option<Instrument> {
        if let Some(token) = &settings.payment_token {
            return Some(Instrument::Token(token.clone()));
        }
        match settings.payment_method {
            PaymentMethod::CreditCard => {
                let (number, brand) = self.card?;
                let given = match &settings.postal_code {
                    PostalCode::Given(code) => Some(code.clone()),
                    PostalCode::Asked | PostalCode::Left => None,
                };
                Some(Instrument::Card(Card {
                    number,
                    brand,
                    expiration: self.expiration?,
                    security_code: self.security_code,
                    postal_code: self.postal_code.or(given),
                }))
            }
            PaymentMethod::AchDebit => Some(Instrument::BankAccount(BankAccount {
                routing_number: self.routing_number?,
                account_number: self.account_number?,
                account_type: settings.bank_account_type,
            })),
        }
    }
}
