//! Asking for one field after the other: entries are completed, judged, and asked for again.
//!
//! Sources: spec/pay.md, sections 3 and 4.

use super::{FieldAsked, PaySession, VerbPhase};
use crate::pay::card::{Brand, Completeness};
use crate::pay::confirmation::Confirmation;
use crate::pay::entry::FieldEntry;
use crate::pay::field::Field;
use crate::pay::keypad::{EndedBy, Keypad};
use crate::pay::listening::ListeningState;
use crate::pay::outcome::Ending;
use crate::pay::payment_core::PaymentCore;
use crate::pay::prompts::{Complaint, Scene};
use crate::pay::session::What;
use crate::pay::step::{EntryError, Moment, PayResult};
use crate::time::CallTime;
use crate::tone::{Digit, Key};
use crate::twiml::Utterance;

impl FieldAsked {
    /// A try whose prompt is due.
    fn due(field: Field, attempt: u8, complaint: Option<Complaint>, card_type: Option<Brand>) -> Self {
        let entry = FieldEntry::new(field, ListeningState::Due { complaint, card_type });
        Self { entry, attempt, first: None, typed: Vec::new() }
    }

    /// What is to be said, if it was not said yet.
    pub(super) fn take_prompt(&mut self, core: &PaymentCore) -> Option<Vec<Utterance>> {
        let (complaint, card_type) = self.entry.listening.take_due()?;
        let moment = Moment::from(self.entry.field.step());
        let scene = Scene { moment, attempt: self.attempt, complaint, card_type, second_entry: self.first.is_some() };
        Some(core.settings.prompts.heard(&scene, None))
    }
}

impl PaySession {
    /// Goes on to the next field, the confirmation, or the gateway.
    pub(super) fn next_field(&mut self, now: CallTime) {
        self.last_error = None;
        match self.plan.pop_front() {
            Some(field) => {
                self.core.at = (field.step(), 1);
                self.report(What::Begun);
                self.phase = VerbPhase::Asking(FieldAsked::due(field, 1, None, self.core.captured.brand()));
            }
            // With a token made earlier nothing was keyed that could be read back.
            None if self.core.settings.confirmation && self.core.captured.last_digits().is_some() => {
                // Callbacks go on naming the last field: a confirmation is never a `For` (spec/pay.md 3).
                self.phase = VerbPhase::Confirming(Confirmation::first(&self.core));
            }
            None => self.process(now),
        }
    }

    pub(super) fn digit_in(&mut self, now: CallTime, digit: Digit, keypad: &mut Keypad) {
        let VerbPhase::Asking(FieldAsked { entry, first, typed, .. }) = &mut self.phase else { return };
        let completeness = entry.handle_digit(now, digit, first.as_ref(), &self.core, keypad);
        // Only a postal code may turn out to hold the beginning of the next field (`keep_own`).
        if let (Field::PostalCode, Some(pressed)) = (entry.field, self.core.last_key) {
            typed.push(keypad.at_hand(pressed, Key::Digit(digit)));
        }
        if completeness == Completeness::Whole {
            self.complete(now, EndedBy::Itself, keypad);
        }
    }

    /// The entry of the moment is over: judge it.
    pub(super) fn complete(&mut self, now: CallTime, by: EndedBy, keypad: &mut Keypad) {
        // Every path below sets the phase again.
        let VerbPhase::Asking(asked) = std::mem::replace(&mut self.phase, VerbPhase::Finished) else { return };
        let FieldAsked { entry: FieldEntry { field, mut digits, .. }, attempt, first, typed } = asked;
        let last_key = self.core.last_key;
        let mut by = by;
        // A second entry ends at the length of the first, so that nothing was typed ahead in it.
        if first.is_none() && field.keep_own(&mut digits, &self.core.settings) {
            // The field came to its end five keys in; what came after is the next one's, a `#` too.
            let pound = (by == EndedBy::Pound).then(|| last_key.map(|pressed| keypad.at_hand(pressed, Key::Pound)));
            keypad.put_back(typed.into_iter().skip(digits.len()).chain(pound.flatten()));
            by = EndedBy::Itself;
        }
        // One month for judging and capturing, so that what was found right stays right.
        let today = self.core.around.today(now);
        match self.core.judge(field, &digits, first.as_ref(), today, self.core.numbers_at_entry()) {
            Err((error, card_type)) => {
                // Silence has no burst that could go with it.
                let keyed = !digits.is_empty() || by == EndedBy::Pound;
                keypad.field_failed(by, last_key.filter(|_| keyed));
                self.entry_failed(field, attempt, error, card_type);
            }
            Ok(()) if first.is_none() && self.core.settings.prompts.wants_matching(field.step().into()) => {
                keypad.field_accepted(by);
                // Nothing is reported between the two entries: they are one attempt (spec/pay.md 4).
                let second = FieldAsked::due(field, attempt, None, self.core.captured.brand());
                self.phase = VerbPhase::Asking(FieldAsked { first: Some(digits), ..second });
            }
            Ok(()) => {
                keypad.field_accepted(by);
                self.last_error = None;
                self.core.capture(field, digits, today);
                self.report(What::Captured);
                self.next_field(now);
            }
        }
    }

    /// An attempt failed. Both entries are asked for again where two are to match: nobody knows which one was wrong.
    fn entry_failed(&mut self, field: Field, attempt: u8, error: EntryError, card_type: Option<Brand>) {
        self.last_error = Some(error);
        self.report(What::Failed(error));
        if attempt >= self.core.settings.tries {
            return self.finish(Ending::plain(PayResult::TooManyFailedAttempts));
        }
        let attempt = attempt.saturating_add(1);
        self.core.at = (field.step(), attempt);
        self.phase = VerbPhase::Asking(FieldAsked::due(field, attempt, Some(Complaint::Entry(error)), card_type));
    }
}
