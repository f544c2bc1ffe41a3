//! The digits of one field, as they are keyed.
//!
//! Shape:   digits in; what is said of them so far is a [`Completeness`]. Who leads the session decides what follows.
//! Secrets: holds digits, wiped on drop.
//! Sources: spec/pay.md, section 3, "When is a field complete without `#`?".

use super::card::Completeness;
use super::field::Field;
use super::keypad::{Destination, Keypad};
use super::listening::ListeningState;
use super::payment_core::PaymentCore;
use crate::secret::Digits;
use crate::time::CallTime;
use crate::tone::Digit;

/// An entry of a field.
#[derive(Debug)]
pub(super) struct FieldEntry {
    pub(super) field: Field,
    pub(super) digits: Digits,
    pub(super) listening: ListeningState,
}

impl FieldEntry {
    /// Nothing keyed yet.
    pub(super) fn new(field: Field, listening: ListeningState) -> Self {
        Self { field, digits: Digits::new(), listening }
    }

    /// Takes a digit, and says how far the entry is. `first`: what a second entry is to repeat.
    pub(super) fn handle_digit(
        &mut self,
        now: CallTime,
        digit: Digit,
        first: Option<&Digits>,
        core: &PaymentCore,
        keypad: &mut Keypad,
    ) -> Completeness {
        let field = self.field;
        keypad.entered(self.digits.is_empty(), |entry| Destination::Field { field, entry });
        self.digits.push(digit.ascii());
        let completeness = match first {
            // A second entry ends at the first one's length, whatever its own digits would say.
            Some(first) if self.digits.len() >= first.len() => Completeness::Whole,
            Some(_) => Completeness::Open,
            None => field.completeness(&self.digits, &core.settings, core.captured.brand()),
        };
        let time_left = core.settings.inter_digit_timeout;
        self.listening = match completeness {
            Completeness::PerhapsWhole => {
                // The inter-digit timeout may be set shorter than this wait, and wins then (spec/pay.md 3).
                ListeningState::AnotherDigit { until: now + time_left.min(field.another_digit()) }
            }
            Completeness::Open | Completeness::Whole => ListeningState::NextDigit { until: now + time_left },
        };
        completeness
    }
}
