//! How a payment ended, for whoever asks: shown as it is once that is written down.
//!
//! Shape:   a [`FinalReport`] is made when the outcome is known, and told what becomes of that in the store. Until then the
//!          payment stands where it stood.
//! Limits:  those of [`PendingOutcome`]: after that it is shown as the machine says for that case.

use std::sync::{Arc, Mutex, PoisonError};

use super::registry::Calls;
use crate::callback::PendingOutcome;
use crate::flow::Settled;
use crate::form::Form;
use crate::store::Recorded;

/// What is to be shown of a payment that has ended.
pub(super) struct FinalReport {
    calls: Arc<Calls>,
    call_sid: String,
    settled: Arc<Settled>,
    /// Whether it is known what the store says. Held while something is shown, so that the last word stands.
    is_known: Mutex<bool>,
}

impl FinalReport {
    /// Shows it at once, where there is nothing that has to be written down first.
    pub(super) fn begin(calls: &Arc<Calls>, call_sid: &str, settled: &Arc<Settled>) -> Arc<Self> {
        let (calls, settled) = (Arc::clone(calls), Arc::clone(settled));
        let report = Self { calls, call_sid: call_sid.to_owned(), settled, is_known: Mutex::new(false) };
        if report.settled.shown.unwritten.is_none() {
            report.show(&report.settled.shown.written);
        }
        Arc::new(report)
    }

    /// The store says so.
    pub(super) fn recorded(&self, recorded: Recorded) {
        let mut is_known = self.is_known.lock().unwrap_or_else(PoisonError::into_inner);
        *is_known = true;
        let Some(unwritten) = &self.settled.shown.unwritten else { return };
        self.show(match recorded {
            Recorded::First | Recorded::Late => &self.settled.shown.written,
            // It is another server's to find out.
            Recorded::Otherwise => unwritten,
        });
    }

    /// Waits for what the store says, no longer than the call does.
    pub(super) async fn wait(self: Arc<Self>, pending_outcome: PendingOutcome) {
        let Some(unwritten) = &self.settled.shown.unwritten else { return };
        if pending_outcome.recorded_in_time().await.is_none() {
            let is_known = self.is_known.lock().unwrap_or_else(PoisonError::into_inner);
            if !*is_known {
                self.show(unwritten);
            }
        }
    }

    fn show(&self, form: &Form) {
        self.calls.reported(&self.call_sid, &self.settled.payment, form);
    }
}
