//! What was captured, as it may be shown.
//!
//! Shape:   [`CapturedFields`] becomes [`Form`] fields.
//! Secrets: none: masks are made when a value is captured.
//! Sources: spec/pay.md, section 6, "Masks".

use super::card::{Brand, grouped};
use super::field::Field;
use super::gateway::PaymentMethod;
use super::settings::Settings;
use crate::form::Form;

/// What was captured, masked: nothing here is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedFields {
    /// The number with all but the last four digits hidden, and the brand.
    pub card: Option<(String, Brand)>,
    /// `MMYY`.
    pub expiration: Option<String>,
    /// One `x` a digit.
    pub security_code: Option<String>,
    /// The postal code, keyed or given.
    pub postal_code: Option<String>,
    /// The routing number.
    pub routing_number: Option<String>,
    /// The account number with all but the last two digits hidden.
    pub account_number: Option<String>,
}

/// How a card number's mask is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// With hyphens, as the card prints it: `action`.
    Grouped,
    /// Without: `statusCallback`.
    Plain,
}

impl CapturedFields {
    /// Gives a field's value up: it is keyed again.
    pub fn forget(&mut self, field: Field) {
        match field {
            Field::CardNumber => self.card = None,
            Field::ExpirationDate => self.expiration = None,
            Field::PostalCode => self.postal_code = None,
            Field::SecurityCode => self.security_code = None,
            Field::RoutingNumber => self.routing_number = None,
            Field::AccountNumber => self.account_number = None,
        }
    }

    /// The same but for one field.
    #[must_use]
    pub fn without(&self, field: Field) -> Self {
        let mut less = self.clone();
        less.forget(field);
        less
    }

    /// Adds what was captured.
    pub fn tell(&self, form: &mut Form, mask: Mask, settings: &Settings) {
        if let Some((number, brand)) = &self.card {
            match mask {
                Mask::Grouped => form.set("PaymentCardNumber", grouped(number, *brand)),
                Mask::Plain => form.set("PaymentCardNumber", number),
            }
            form.set("PaymentCardType", brand.word());
        }
        form.set_some("ExpirationDate", self.expiration.as_ref());
        form.set_some("SecurityCode", self.security_code.as_ref());
        form.set_some("PaymentCardPostalCode", self.postal_code.as_ref());
        form.set_some("BankRoutingNumber", self.routing_number.as_ref());
        form.set_some("BankAccountNumber", self.account_number.as_ref());
        // Not keyed but the document's: it is told from the first callback on.
        if settings.payment_method == PaymentMethod::AchDebit {
            form.set("BankAccountType", settings.bank_account_type.word());
        }
    }
}
