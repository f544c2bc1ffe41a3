//! Bank routing and account numbers (ACH).
//!
//! Shape:   pure functions over digits.
//! Errors:  [`EntryError`], an event like any other.
//! Sources: American Bankers Association routing numbers: checksum weights 3-7-1 and the districts in use.

use super::step::EntryError;
use crate::secret::Digits;

/// A routing number's length.
pub const ROUTING_DIGITS: usize = 9;

/// The fewest digits of an account number (spec/pay.md, section 4: our decision).
const ACCOUNT_DIGITS_MIN: usize = 4;

/// The most digits of an account number (the ACH record has 17 places).
pub const ACCOUNT_DIGITS_MAX: usize = 17;

/// Checks a routing number: nine digits, not all of them zeros (which would pass the rest), a district in use, the
/// checksum.
///
/// # Errors
/// [`EntryError::InvalidBankRoutingNumber`].
pub fn check_routing(digits: &Digits) -> Result<String, EntryError> {
    let text = digits.expose();
    // With fewer than two digits it is 255, which is no district.
    let district: u8 = text.get(..2).and_then(|two| two.parse().ok()).unwrap_or(u8::MAX);
    let sum: u32 = text
        .bytes()
        .zip([3, 7, 1].into_iter().cycle())
        .map(|(byte, weight)| u32::from(byte.wrapping_sub(b'0')).wrapping_mul(weight))
        .sum();
    let good = text.len() == ROUTING_DIGITS
        && text.bytes().any(|byte| byte != b'0')
        && matches!(district, 0..=12 | 21..=32 | 61..=72 | 80)
        && sum.is_multiple_of(10);
    if good { Ok(text.to_owned()) } else { Err(EntryError::InvalidBankRoutingNumber) }
}

/// Judges an account number: 4 to 17 digits.
///
/// # Errors
/// [`EntryError::InvalidBankAccountNumber`].
pub fn judge_account(digits: &Digits) -> Result<(), EntryError> {
    if (ACCOUNT_DIGITS_MIN..=ACCOUNT_DIGITS_MAX).contains(&digits.len()) {
        Ok(())
    } else {
        Err(EntryError::InvalidBankAccountNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_numbers_need_their_length_district_and_checksum() {
        for good in ["110000000", "021000021", "322271627", "011401533"] {
            assert_eq!(check_routing(&Digits::of(good)), Ok(good.to_owned()), "{good}");
        }
        for bad in ["", "110000001", "11000000", "1100000000", "130000006", "990000000", "000000000"] {
            assert!(check_routing(&Digits::of(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_district_is_one_in_use_and_all_zeros_are_no_bank() {
        // Passes district and checksum.
        assert!(check_routing(&Digits::of("000000000")).is_err());
        for district in 0..=99 {
            // 3-7-1 weights: with the other digits zero, a last digit completes the sum to a multiple of ten.
            let sum = (district / 10) * 3 + (district % 10) * 7 + 3;
            let number = format!("{district:02}0100{:03}", (10 - sum % 10) % 10);
            let in_use = matches!(district, 0..=12 | 21..=32 | 61..=72 | 80);
            assert_eq!(check_routing(&Digits::of(&number)).is_ok(), in_use, "{number}");
        }
    }

    #[test]
    fn account_numbers_have_four_to_seventeen_digits() {
        assert!(judge_account(&Digits::of("123")).is_err());
        assert!(judge_account(&Digits::of("1234")).is_ok());
        assert!(judge_account(&Digits::of("12345678901234567")).is_ok());
        assert!(judge_account(&Digits::of("123456789012345678")).is_err());
    }
}
