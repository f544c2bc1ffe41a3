//! The fields a caller keys in, and what the outside world calls each.

use super::step::Step;

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
}
