//! What a payment knows of the world around it: ids and clocks, given once.
//!
//! Units:   civil times to the second; `CallTime` since the call was answered.

use super::card::YearMonth;
use super::platform::Platform;
use crate::time::CallTime;

/// What a session knows of the world around it.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The call's id.
    pub call_sid: String,
    /// This payment's id: `PK` and 32 hex digits.
    pub transaction_id: String,
    /// When the call was answered, on the account's own clock.
    pub answered_at: jiff::civil::DateTime,
    /// The same in UTC.
    pub answered_at_utc: jiff::civil::DateTime,
    /// Whose stream carries the call.
    pub platform: Platform,
    /// The number of the last question that earlier payments of the call asked; 0 if there was none.
    pub asked: u16,
}

impl Surroundings {
    /// The calendar month on the account's clock.
    pub(super) fn today(&self, now: CallTime) -> YearMonth {
        // The machine reads no clock: today follows from the answer and the time since.
        let date = self.answered_at.saturating_add(passed(now));
        YearMonth { year: date.year(), month: date.month() }
    }

    /// A moment as Twilio writes it (RFC 2822, UTC).
    pub(super) fn rfc2822(&self, moment: CallTime) -> String {
        rfc2822(self.answered_at_utc.saturating_add(passed(moment)))
    }
}

/// A moment in UTC as Twilio writes it: `Sun, 22 Nov 2026 10:00:00 +0000`.
#[must_use]
pub fn rfc2822(utc: jiff::civil::DateTime) -> String {
    // The format is fixed, and a civil time has all of its parts.
    jiff::fmt::strtime::format("%a, %d %b %Y %H:%M:%S +0000", utc).unwrap_or_default()
}

fn passed(time: CallTime) -> jiff::SignedDuration {
    jiff::SignedDuration::from_millis(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}
