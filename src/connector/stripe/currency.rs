//! Amounts as Stripe wants them, and the currencies it takes.
//!
//! Shape:   [`wire_amount`] and [`taken`], pure.
//! Units:   Stripe's "smallest unit": cents for most, whole units for some, thousandths for five.
//! Limits:  a currency that is not in the table is refused (64011), ISK and UGX too: they want two decimals that are 00
//!          although neither has any, and sources disagree on UGX.
//! Errors:  `None` where Stripe's unit cannot hold the amount.
//! Sources: Stripe, "Supported currencies"; spec/connectors.md, section 2.4.

use crate::money::{Amount, Currency};

/// Those with hundredths.
const TWO: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BMD", "BND", "BOB",
    "BRL", "BSD", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CNY", "COP", "CRC", "CVE", "CZK", "DKK", "DOP", "DZD",
    "EGP", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR",
    "ILS", "INR", "JMD", "KES", "KGS", "KHR", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "MAD", "MDL", "MKD",
    "MMK", "MNT", "MOP", "MUR", "MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "PAB",
    "PEN", "PGK", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SBD", "SCR", "SEK", "SGD", "SHP", "SLE",
    "SOS", "SRD", "SZL", "THB", "TJS", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "USD", "UYU", "UZS", "WST", "XCD",
    "YER", "ZAR", "ZMW",
];

/// Those without a smaller unit at Stripe. MGA has one, which Stripe does not count.
const ZERO: &[&str] =
    &["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];

/// Those with thousandths, of which the last digit must be 0.
const THREE: &[&str] = &["BHD", "JOD", "KWD", "OMR", "TND"];

/// The currencies there are in the table.
#[must_use]
pub fn taken() -> Vec<Currency> {
    [TWO, ZERO, THREE].into_iter().flatten().filter_map(|code| code.parse().ok()).collect()
}

/// An amount in Stripe's unit. `None`: digits would be lost, the last one of three is not 0, or the currency is not taken.
#[must_use]
pub fn wire_amount(amount: Amount, currency: Currency) -> Option<u64> {
    let has = |table: &[&str]| table.contains(&currency.code());
    let (decimals, step) = if has(TWO) {
        (2, 1)
    } else if has(ZERO) {
        (0, 1)
    } else if has(THREE) {
        (3, 10)
    } else {
        return None;
    };
    let own = amount.minor_units(currency)?;
    let digits = currency.minor_digits();
    let wire = if decimals >= digits {
        own.checked_mul(10_u64.checked_pow(decimals - digits)?)?
    } else {
        let unit = 10_u64.checked_pow(digits - decimals)?;
        own.is_multiple_of(unit).then(|| own / unit)?
    };
    wire.is_multiple_of(step).then_some(wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str, code: &str) -> Option<u64> {
        let currency = code.parse().unwrap();
        wire_amount(Amount::parse(text, currency).unwrap(), currency)
    }

    #[test]
    fn every_currency_of_the_table_takes_its_smallest_unit_and_a_million() {
        for (table, smallest, unit, million) in
            [(TWO, "0.01", 1, 100_000_000), (ZERO, "1", 1, 1_000_000), (THREE, "0.010", 10, 1_000_000_000)]
        {
            for code in table {
                assert_eq!(wire(smallest, code), Some(unit), "{code}");
                assert_eq!(wire("1000000", code), Some(million), "{code}");
            }
        }
    }

    #[test]
    fn an_amount_that_would_lose_digits_is_none() {
        for code in THREE {
            assert_eq!(wire("5.124", code), None, "{code}");
            assert_eq!(wire("5.12", code), Some(5120));
        }
        assert_eq!(wire("10.50", "mga"), None);
        assert_eq!(wire("10.00", "mga"), Some(10));
        for code in TWO.iter().chain(ZERO).chain(THREE) {
            let currency: Currency = code.parse().unwrap();
            let too_fine = format!("0.{}1", "0".repeat(currency.minor_digits() as usize));
            assert!(Amount::parse(&too_fine, currency).is_err(), "{code}");
        }
    }

    #[test]
    fn every_code_is_one_of_iso_4217() {
        for code in TWO.iter().chain(ZERO).chain(THREE) {
            assert!(code.parse::<Currency>().is_ok(), "{code}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_not_taken() {
        assert_eq!(taken().len(), TWO.len() + ZERO.len() + THREE.len(), "every code is one of ISO 4217");
        for code in ["isk", "ugx", "iqd", "lyd", "clf", "kpw"] {
            assert!(!taken().contains(&code.parse().unwrap()), "{code}");
            assert_eq!(wire("10", code), None, "{code}");
        }
    }
}
