//! What the first of two calls leaves for the second, and for a look-up: Stripe's id of the card, never the card.
//!
//! Shape:   [`StripeNote`] to and from a [`RecoveryNote`]: the id, then `since=` and, where there is one, `customer=`.
//! Units:   `since` is Unix seconds of Stripe's clock, so that a look-up needs no clock of ours.
//! Errors:  a text that is no note is `None`.

use crate::pay::gateway::RecoveryNote;

/// The longest id of Stripe's that is taken; theirs have some thirty characters, and 255 at most by their own word.
const ID_BYTES_MAX: usize = 255;

/// How many digits in a row no id of Stripe's has, whose letters and digits are random: a card number has as many.
const DIGITS_MAX: usize = 12;

/// What is known after the preparation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StripeNote {
    /// `pm_...`, or in the compatible shape `tok_...` and `btok_...`.
    pub(super) id: String,
    /// Nothing of this payment is older; 0: it is not known what is.
    pub(super) since: i64,
    /// The customer that a saved card belongs to.
    pub(super) customer: Option<String>,
}

impl StripeNote {
    /// As the engine keeps it.
    pub(super) fn written(&self) -> RecoveryNote {
        let mut text = format!("{} since={}", self.id, self.since);
        if let Some(customer) = &self.customer {
            text.push_str(" customer=");
            text.push_str(customer);
        }
        RecoveryNote(text)
    }

    /// As the engine gave it back.
    pub(super) fn read(note: Option<&RecoveryNote>) -> Option<Self> {
        let mut words = note?.0.split(' ');
        let id = words.next().filter(|id| is_id(id))?.to_owned();
        let since = words.next()?.strip_prefix("since=")?.parse().ok()?;
        let customer = match words.next() {
            None => None,
            Some(word) => Some(word.strip_prefix("customer=").filter(|id| is_id(id))?.to_owned()),
        };
        words.next().is_none().then_some(Self { id, since, customer })
    }
}

/// Whether a text can be an id of Stripe's: it may then stand in a path, and be kept.
pub(super) fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.split(|letter: char| !letter.is_ascii_digit()).all(|run| run.len() < DIGITS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_as_it_was_written() {
        for customer in [None, Some("cus_1".to_owned())] {
            let note = StripeNote { id: "pm_1".into(), since: 1_700_000_000, customer };
            assert_eq!(StripeNote::read(Some(&note.written())), Some(note));
        }
    }

    #[test]
    fn what_is_no_note_is_not_believed() {
        for text in [
            "",
            "pm_4242424242424242 since=1",
            "pm_1",
            "pm_1 since=x",
            "../x since=1",
            "pm_1 since=1 customer=a/b",
            "pm_1 since=1 customer=a b",
        ] {
            assert_eq!(StripeNote::read(Some(&RecoveryNote(text.into()))), None, "{text}");
        }
        assert_eq!(StripeNote::read(None), None);
    }
}
