//! One field is keyed because the agent asked for it: any order, and again at will.
//!
//! Sources: spec/pay.md, section 8.

use super::{AssistedPhase, AssistedSession};
use crate::pay::card::Completeness;
use crate::pay::command::{AgentError, Capture};
use crate::pay::entry::FieldEntry;
use crate::pay::field::Field;
use crate::pay::keypad::{EndedBy, Keypad};
use crate::pay::listening::ListeningState;
use crate::pay::session::What;
use crate::pay::step::{EntryError, PayErrorCode, SessionError};
use crate::pay::test_numbers::AcceptedNumbers;
use crate::secret::Digits;
use crate::time::CallTime;
use crate::tone::Digit;

impl AssistedSession {
    /// The agent asks for a field.
    pub(super) fn begin(&mut self, now: CallTime, capture: Capture) -> Result<(), AgentError> {
        let Capture { field, matcher } = capture;
        if !self.core.settings.fields().contains(&field) {
            let message = format!("{capture} is not asked for in this payment");
            return Err(AgentError::of(PayErrorCode::InvalidParameter, message));
        }
        if matcher && !self.matched.contains(&field) {
            let message = format!("{capture} needs {} in RequireMatchingInputs", field.step());
            return Err(AgentError::of(PayErrorCode::InvalidParameter, message));
        }
        // Not a wrong value but the wrong moment: 64021 with 409.
        if matcher && !self.firsts.iter().any(|(first, _)| *first == field) {
            return Err(AgentError::operation(format!("{capture} comes after {}", field.step())));
        }
        // Kept to be put back: a refused capture is named in its own callback only and counts as no attempt.
        let before = (self.core.at, self.capture);
        self.core.at = (field.step(), self.times_asked(capture).saturating_add(1));
        self.capture = Some(capture);
        // How long a security code is, only the card's brand says.
        if field == Field::SecurityCode && self.core.captured.brand().is_none() {
            self.report(What::Refused(SessionError::SecurityCodeBeforeCardNumber));
            (self.core.at, self.capture) = before;
            return Err(AgentError::operation("security-code comes after payment-card-number"));
        }
        self.updated = now;
        self.asked.retain(|(asked, _)| *asked != capture);
        self.asked.push((capture, self.core.at.1));
        // Also before a second entry: until it agrees, the matcher is required anew.
        self.agreed.retain(|agreed| *agreed != field);
        // What was there before is not the caller's word any more, also if nothing follows it.
        if !matcher {
            self.firsts.retain(|(first, _)| *first != field);
            self.core.captured.forget(field, &mut self.core.captured_fields);
        }
        // No prompt is said: the first digit has its time from now on.
        let listening = ListeningState::FirstDigit { until: now + self.core.settings.timeout };
        self.phase = AssistedPhase::Capturing { entry: FieldEntry::new(field, listening), matcher };
        self.report(What::Begun);
        Ok(())
    }

    /// How often `capture` was asked for so far.
    fn times_asked(&self, capture: Capture) -> u8 {
        self.asked.iter().find(|(asked, _)| *asked == capture).map_or(0, |(_, times)| *times)
    }

    /// What a second entry of `field` is to repeat.
    fn first(firsts: &[(Field, Digits)], field: Field, matcher: bool) -> Option<&Digits> {
        firsts.iter().find(|(first, _)| matcher && *first == field).map(|(_, digits)| digits)
    }

    pub(super) fn digit_in(&mut self, now: CallTime, digit: Digit, keypad: &mut Keypad) {
        let AssistedPhase::Capturing { entry, matcher } = &mut self.phase else { return };
        let first = Self::first(&self.firsts, entry.field, *matcher);
        let completeness = entry.handle_digit(now, digit, first, &self.core, keypad);
        // Also of the last digit: the agent gets a callback for each (spec/pay.md 8).
        self.report_partial();
        if completeness == Completeness::Whole {
            self.end_entry(now, EndedBy::Itself, keypad);
        }
    }

    /// `*` takes back what was keyed: in these sessions it ends nothing, for the agent is there to cancel.
    pub(super) fn restart_entry(&mut self, now: CallTime) {
        let AssistedPhase::Capturing { entry, .. } = &mut self.phase else { return };
        entry.digits = Digits::new();
        entry.listening = ListeningState::FirstDigit { until: now + self.core.settings.timeout };
        self.report_partial();
    }

    /// The entry of the moment is over: judge it. The next one is the agent's to ask for.
    pub(super) fn end_entry(&mut self, now: CallTime, by: EndedBy, keypad: &mut Keypad) {
        let AssistedPhase::Capturing { entry, matcher } = std::mem::replace(&mut self.phase, AssistedPhase::Idle)
        else {
            return;
        };
        let FieldEntry { field, mut digits, .. } = entry;
        if !matcher {
            // The rest was typed ahead, and keys that no field was asked for are dropped.
            field.keep_own(&mut digits, &self.core.settings);
        }
        self.updated = now;
        // The month in which the date is keyed, which may be later than the one in which the call was answered.
        let today = self.core.around.today(now);
        let first = Self::first(&self.firsts, field, matcher);
        // Any number may be keyed here, whatever the platform: one that may not be used is refused at submission.
        if let Err((error, _)) = self.core.judge(field, &digits, first, today, AcceptedNumbers::Any) {
            // A timeout with no key leaves the burst of the field before it alone.
            let keyed = !digits.is_empty() || by == EndedBy::Pound;
            keypad.field_failed(by, self.core.last_key.filter(|_| keyed));
            // Nobody knows which of the two was wrong.
            if error == EntryError::InputMatchingFailed {
                self.firsts.retain(|(first, _)| *first != field);
                self.core.captured.forget(field, &mut self.core.captured_fields);
            }
            return self.report_entry(What::Failed(error));
        }
        keypad.field_accepted(by);
        if matcher {
            self.agreed.push(field);
        } else {
            if self.matched.contains(&field) {
                // A copy to compare the second entry with: the number itself moves into `captured`.
                self.firsts.push((field, Digits::of(digits.expose())));
            }
            self.core.capture(field, digits, today);
            // Another card, whose codes have another length.
            if field == Field::CardNumber && self.core.captured.security_code_misfits() {
                self.core.captured.forget(Field::SecurityCode, &mut self.core.captured_fields);
                self.firsts.retain(|(first, _)| *first != Field::SecurityCode);
                self.agreed.retain(|agreed| *agreed != Field::SecurityCode);
            }
        }
        self.report_entry(What::Captured);
    }
}
