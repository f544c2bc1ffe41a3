//! Reading the last digits back: 1 goes on, 2 cancels.
//!
//! Shape:   keys and timeouts in, one [`ConfirmationAnswer`] out; the same whoever leads the session.
//! Sources: spec/pay.md, section 3, `confirmation`.

use super::keypad::{EndedBy, Keypad};
use super::listening::ListeningState;
use super::payment_core::PaymentCore;
use super::prompts::{Complaint, Scene};
use super::step::{EntryError, Moment};
use crate::tone::Key;
use crate::twiml::Utterance;

/// A confirmation that the caller is asked for.
#[derive(Debug)]
pub(super) struct Confirmation {
    attempt: u8,
    pub(super) listening: ListeningState,
}

/// What came of asking.
#[derive(Debug)]
pub(super) enum ConfirmationAnswer {
    /// The gateway may be asked.
    Confirmed,
    /// It may not.
    Cancelled,
    /// Neither: it is asked again.
    Again(Confirmation),
    /// Neither, as often as it may be.
    GivenUp,
}

impl Confirmation {
    /// It is due.
    pub(super) fn first(core: &PaymentCore) -> Self {
        Self::due(1, None, core)
    }

    fn due(attempt: u8, complaint: Option<Complaint>, core: &PaymentCore) -> Self {
        Self { attempt, listening: ListeningState::Due { complaint, card_type: core.captured.brand() } }
    }

    /// What is to be said, if it was not said yet.
    pub(super) fn take_prompt(&mut self, core: &PaymentCore) -> Option<Vec<Utterance>> {
        let (complaint, card_type) = self.listening.take_due()?;
        let (moment, attempt) = (Moment::Confirmation, self.attempt);
        let scene = Scene { moment, attempt, complaint, card_type, second_entry: false };
        Some(core.settings.prompts.heard(&scene, core.captured.last_digits()))
    }

    /// Takes a key.
    pub(super) fn handle_key(&self, key: Key, core: &PaymentCore, keypad: &mut Keypad) -> ConfirmationAnswer {
        keypad.answered();
        match key.symbol() {
            '1' => {
                // One digit is the whole answer: a `#` right after it belongs to it and is not the next verb's.
                keypad.field_accepted(EndedBy::Itself);
                ConfirmationAnswer::Confirmed
            }
            '2' => {
                keypad.field_accepted(EndedBy::Itself);
                ConfirmationAnswer::Cancelled
            }
            _ => {
                keypad.field_failed(EndedBy::Itself, core.last_key);
                self.failed(Complaint::InvalidChoice, core)
            }
        }
    }

    /// Nothing was keyed in time.
    pub(super) fn handle_timeout(&self, core: &PaymentCore, keypad: &mut Keypad) -> ConfirmationAnswer {
        // Nothing was keyed: what the next key belongs to is as before.
        keypad.field_failed(EndedBy::Timer, None);
        self.failed(Complaint::Entry(EntryError::InputTimeout), core)
    }

    fn failed(&self, complaint: Complaint, core: &PaymentCore) -> ConfirmationAnswer {
        if self.attempt >= core.settings.tries {
            return ConfirmationAnswer::GivenUp;
        }
        ConfirmationAnswer::Again(Self::due(self.attempt.saturating_add(1), Some(complaint), core))
    }
}
