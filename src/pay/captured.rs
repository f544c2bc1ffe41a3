//! What was accepted of a caller's entries, until it becomes the gateway's instrument.
//!
//! Secrets: takes digits over into `secret` types; what is shown of them is on the [`CapturedFields`].
//! Sources: spec/pay.md, sections 1 and 3.

use super::bank;
use super::captured_fields::CapturedFields;
use super::card::{Brand, Expiration, YearMonth};
use super::entry_rules::security_code_digits;
use super::field::Field;
use super::gateway::{BankAccount, Card, Instrument, PaymentMethod};
use super::prompts::LastDigits;
use super::settings::{PostalCode, Settings};
use crate::secret::{AccountNumber, CardNumber, Digits, SecurityCode};

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
    /// Takes an entry that [`Field::judge`] found right, and notes it among the captured fields.
    pub fn take(
        &mut self,
        field: Field,
        digits: Digits,
        settings: &Settings,
        now: YearMonth,
        captured_fields: &mut CapturedFields,
    ) {
        match field {
            Field::CardNumber => {
                // `Field::judge` found a brand before. Without one the field would stay missing, and nothing could be sent.
                if let Some(brand) = Brand::of(&digits, &settings.accepted) {
                    let number = CardNumber::checked(digits);
                    captured_fields.card = Some((number.masked(), brand));
                    self.card = Some((number, brand));
                }
            }
            Field::ExpirationDate => {
                // It was judged with the same month, so that it cannot fail here.
                self.expiration = Expiration::read(&digits, now).ok();
                captured_fields.expiration = self.expiration.map(|date| date.to_string());
            }
            Field::PostalCode => {
                self.postal_code = Some(digits.expose().to_owned());
                captured_fields.postal_code = self.postal_code.clone();
            }
            Field::SecurityCode => {
                let code = SecurityCode::checked(digits);
                captured_fields.security_code = Some(code.masked());
                self.security_code = Some(code);
            }
            Field::RoutingNumber => {
                self.routing_number = bank::check_routing(&digits).ok();
                captured_fields.routing_number = self.routing_number.clone();
            }
            Field::AccountNumber => {
                let number = AccountNumber::checked(digits);
                captured_fields.account_number = Some(number.masked());
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

    /// Gives a value up, also among the captured fields: it will be keyed again.
    pub fn forget(&mut self, field: Field, captured_fields: &mut CapturedFields) {
        captured_fields.forget(field);
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
        // A session asks for a card or for an account, never for both.
        match (&self.card, &self.account_number) {
            (Some((number, _)), _) => Some(LastDigits::Card(number.last_four().to_owned())),
            (None, Some(number)) => Some(LastDigits::Account(number.last_two().to_owned())),
            (None, None) => None,
        }
    }

    /// What the gateway is given. `None` if something is missing, which the plan of fields rules out.
    #[must_use]
    pub fn into_instrument(self, settings: &Settings) -> Option<Instrument> {
        // No field was asked for: the token pays alone (spec/pay.md 1).
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
