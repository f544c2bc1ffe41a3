//! Amounts and currencies. Never floating point.
//!
//! Limits:  0 to 1,000,000, with at most the currency's minor digits (spec/pay.md, section 2).
//! Errors:  [`AmountError`] says what is allowed.
//! Sources: ISO 4217, through the `iso_currency` crate.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

/// The most that one payment may be, in the currency's major unit.
const AMOUNT_MAX: u32 = 1_000_000;

/// An ISO 4217 currency with a minor unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

/// Not the code of a currency that payments can be made in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a currency is a three-letter ISO 4217 code such as usd")]
pub struct CurrencyError;

impl Currency {
    /// United States dollar, the default of every `<Pay>`.
    pub const USD: Self = Self(iso_currency::Currency::USD);

    /// How many decimals its amounts may have: 2 for most, 0 for JPY, 3 for KWD.
    #[must_use]
    pub fn minor_digits(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }

    /// The code in capitals: `USD`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    /// Reads a code in any case. Funds, metals and test codes, which have no minor unit, are refused.
    fn from_str(code: &str) -> Result<Self, CurrencyError> {
        iso_currency::Currency::from_code(&code.to_ascii_uppercase())
            .filter(|currency| currency.exponent().is_some())
            .map(Self)
            .ok_or(CurrencyError)
    }
}

/// An amount of money without its currency: not negative, at most 1,000,000, trailing zeros dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(Decimal);

/// Why a text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Something other than digits with at most one point before, between or after them.
    #[error("an amount is digits with at most one decimal point, without sign, exponent or currency symbol")]
    NotANumber,
    /// More decimals than the currency has.
    #[error("{code} has {allowed} decimals")]
    TooPrecise {
        /// The currency's code.
        code: &'static str,
        /// How many decimals it has.
        allowed: u32,
    },
    /// Above the limit.
    #[error("an amount is at most 1000000")]
    TooLarge,
}

impl Amount {
    /// Reads `20.45`, `20`, `20.`, `.50` or `020.450`, whose trailing zeros are dropped before decimals are counted.
    ///
    /// # Errors
    /// When the text is no plain decimal, is above the limit, or would lose digits in `currency`.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, AmountError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let mut figures = whole.bytes().chain(decimals.bytes()).peekable();
        if figures.peek().is_none() || !figures.all(|byte| byte.is_ascii_digit()) {
            return Err(AmountError::NotANumber);
        }
        let whole = text.split('.').next().unwrap_or_default().trim_start_matches('0');
        if whole.len() > 7 {
            return Err(AmountError::TooLarge);
        }
        // Dropped as text: a decimal has 28 digits, and a thousand zeros are still no precision.
        let shortened = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        let shortened = shortened.trim_start_matches('0');
        let decimals = shortened.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        if decimals > currency.minor_digits() as usize {
            return Err(AmountError::TooPrecise { code: currency.code(), allowed: currency.minor_digits() });
        }
        let value = match shortened {
            "" => Decimal::ZERO,
            text if text.starts_with('.') => {
                Decimal::from_str(&format!("0{text}")).map_err(|_| AmountError::NotANumber)?
            }
            text => Decimal::from_str(text).map_err(|_| AmountError::NotANumber)?,
        };
        if value > Decimal::from(AMOUNT_MAX) {
            return Err(AmountError::TooLarge);
        }
        Ok(Self(value.normalize()))
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// With exactly the currency's decimals: `20.50` in USD, `20` in JPY.
    #[must_use]
    pub fn text(self, currency: Currency) -> String {
        let mut value = self.0;
        value.rescale(currency.minor_digits());
        value.to_string()
    }

    /// In the currency's minor unit: 2050 for 20.50 USD. `None` if that does not fit, which no parsed amount can reach.
    #[must_use]
    pub fn minor_units(self, currency: Currency) -> Option<u64> {
        let mut value = self.0;
        value.rescale(currency.minor_digits());
        u64::try_from(value.mantissa()).ok()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn amounts_keep_every_digit_and_show_the_currency_s_decimals() {
        for (text, code, shown, minor) in [
            ("20.45", "usd", "20.45", 2045),
            ("20.5", "USD", "20.50", 2050),
            ("0.01", "eur", "0.01", 1),
            ("20.4500000", "usd", "20.45", 2045),
            ("0", "usd", "0.00", 0),
            ("500", "jpy", "500", 500),
            ("500.00", "jpy", "500", 500),
            ("1.234", "kwd", "1.234", 1234),
            ("1000000.00", "usd", "1000000.00", 100_000_000),
            ("0010", "usd", "10.00", 1000),
            (".50", "usd", "0.50", 50),
            ("20.", "usd", "20.00", 2000),
            ("20.", "jpy", "20", 20),
            (".0", "jpy", "0", 0),
        ] {
            let amount = Amount::parse(text, currency(code)).unwrap();
            assert_eq!(amount.text(currency(code)), shown, "{text}");
            assert_eq!(amount.minor_units(currency(code)), Some(minor), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "..", ".1.", "-1", "+1", "1e3", "$5", "1,000", "1.2.3", " 1", "٣", "0x10"] {
            assert_eq!(Amount::parse(text, Currency::USD), Err(AmountError::NotANumber), "{text:?}");
        }
        assert_eq!(Amount::parse("1000000.01", Currency::USD), Err(AmountError::TooLarge));
        assert_eq!(Amount::parse(&"9".repeat(400), Currency::USD), Err(AmountError::TooLarge));
        assert!(matches!(Amount::parse("1.001", Currency::USD), Err(AmountError::TooPrecise { allowed: 2, .. })));
        assert!(matches!(Amount::parse("1.5", currency("jpy")), Err(AmountError::TooPrecise { allowed: 0, .. })));
    }

    #[test]
    fn codes_without_a_minor_unit_are_no_currency() {
        for code in ["xau", "xxx", "dollar", "", "us", "u$d"] {
            assert_eq!(code.parse::<Currency>(), Err(CurrencyError), "{code}");
        }
    }
}
