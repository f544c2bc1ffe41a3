//! The digits of a call that nobody may see, and others that take the same way through the machine.
//!
//! Shape:   [`Hidden`] names keys of a plan; [`Hidden::replace`] puts others in their place, equal ones for equal ones.
//! Limits:  a card keeps its first six and last four digits and its check at every length; a security code and an account
//!          number keep their length, and the account its last two digits.

use super::SeededRng;
use crate::pay::step::Step;
use crate::tone::Key;

/// A run of digits that was keyed into an empty field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Which move.
    pub(super) step: usize,
    /// How many digits, from the move's first key on.
    pub(super) length: usize,
    /// The field.
    pub(super) field: HiddenField,
}

/// A field that is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HiddenField {
    Card,
    SecurityCode,
    Account,
}

impl HiddenField {
    pub(super) const fn of(step: Step) -> Option<Self> {
        match step {
            Step::PaymentCardNumber => Some(Self::Card),
            Step::SecurityCode => Some(Self::SecurityCode),
            Step::BankAccountNumber => Some(Self::Account),
            Step::ExpirationDate | Step::PostalCode | Step::BankRoutingNumber | Step::PaymentProcessing => None,
        }
    }
}

impl Hidden {
    /// Puts other digits in place of the hidden ones of `keys`.
    pub(super) fn replace(&self, keys: &mut [Key], seed: u64) {
        let Some(run) = keys.get_mut(..self.length) else { return };
        let mut digits: Vec<u8> = run
            .iter()
            .filter_map(|key| key.symbol().to_digit(10))
            .filter_map(|digit| u8::try_from(digit).ok())
            .collect();
        match self.field {
            HiddenField::Card => other_card(&mut digits, seed),
            // What is longer than a code may be meant for the next question.
            HiddenField::SecurityCode => rotate(digits.get_mut(..self.length.min(3)), seed),
            HiddenField::Account => rotate(digits.get_mut(..self.length.min(17).saturating_sub(2)), seed),
        }
        for (key, digit) in run.iter_mut().zip(digits) {
            *key = Key::parse(char::from(b'0' + digit)).unwrap_or(*key);
        }
    }
}

/// Another digit in each place, by an amount that depends on the place alone: equal entries stay equal, others differ.
fn rotate(digits: Option<&mut [u8]>, seed: u64) {
    let mut rng = SeededRng::new(seed);
    for digit in digits.into_iter().flatten() {
        let amount = u8::try_from(1 + rng.below(9)).unwrap_or(1);
        *digit = (*digit + amount) % 10;
    }
}

/// Moves a little from one digit to another of the same parity, within 0-4 or 5-9. Then neither the sum of the digits nor
/// that of the doubled ones changes, whichever are doubled: the check comes out the same at every length.
fn other_card(digits: &mut [u8], seed: u64) {
    // What is keyed beyond a whole number is not part of it; a visa of 19 digits keeps more than its last four.
    let whole = match digits {
        [3, 6, ..] => 14,
        [3, 4 | 7, ..] | [2, 0 | 1, ..] => 15,
        _ => 16,
    };
    let last = digits.len().min(whole).saturating_sub(4);
    let Some(middle) = digits.get_mut(6.min(last)..last) else { return };
    let folded = middle.iter().fold(seed, |folded, digit| folded.wrapping_mul(31).wrapping_add(u64::from(*digit)));
    let mut rng = SeededRng::new(folded);
    for _ in 0..8 {
        let from = usize::try_from(rng.below(middle.len() as u64)).unwrap_or(0);
        let to = if from + 2 < middle.len() { from + 2 } else { from.saturating_sub(2) };
        if let (Some(less), Some(more)) = (middle.get(from).copied(), middle.get(to).copied())
            && from != to
            && from % 2 == to % 2
            && less % 5 > 0
            && more % 5 < 4
        {
            if let Some(digit) = middle.get_mut(from) {
                *digit -= 1;
            }
            if let Some(digit) = middle.get_mut(to) {
                *digit += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Digits;

    fn twin(field: HiddenField, text: &str) -> String {
        let mut keys: Vec<Key> = text.chars().map(|symbol| Key::parse(symbol).unwrap()).collect();
        Hidden { step: 0, length: keys.len(), field }.replace(&mut keys, 5);
        keys.iter().map(|key| key.symbol()).collect()
    }

    #[test]
    fn a_twin_card_has_the_same_ends_and_the_same_check_at_every_length() {
        for number in
            ["4242424242424242", "378282246310005", "6771798021000008123", "4242424242424243", "36227206271667"]
        {
            let other = twin(HiddenField::Card, number);
            assert_ne!(other, number);
            assert_eq!((&other[..6], &other[number.len() - 3..]), (&number[..6], &number[number.len() - 3..]));
            for length in 12..=number.len() {
                assert_eq!(Digits::of(&other[..length]).luhn(), Digits::of(&number[..length]).luhn(), "{length}");
            }
        }
    }

    #[test]
    fn a_twin_account_ends_in_the_same_two_digits() {
        let other = twin(HiddenField::Account, "12345678");
        assert!(other.ends_with("78") && !other.starts_with('1'));
        assert_eq!(twin(HiddenField::SecurityCode, "1234").len(), 4);
    }
}
