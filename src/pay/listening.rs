//! How far a session is with asking for something and waiting for the keys that answer.
//!
//! Units:   `CallTime`.
//! Sources: spec/pay.md, section 3, "Timers".

use super::card::Brand;
use super::keypad::EndedBy;
use super::prompts::Complaint;
use super::session::Timer;
use crate::time::CallTime;

/// Where an entry or a confirmation is.
#[derive(Clone, Copy, Debug)]
pub(super) enum ListeningState {
    /// The prompt is not said yet; keys that are here already make it needless.
    Due { complaint: Option<Complaint>, card_type: Option<Brand> },
    /// The prompt is being heard.
    Prompting,
    /// The prompt was heard; no key yet.
    FirstDigit { until: CallTime },
    /// Keys are coming.
    NextDigit { until: CallTime },
    /// The digits are a whole number that could go on.
    AnotherDigit { until: CallTime },
}

impl ListeningState {
    /// Until when it waits, and for what. None while a prompt is due or being heard: only then does a caller's time run.
    pub(super) const fn poll_timeout(self) -> Option<(CallTime, Timer)> {
        match self {
            Self::Due { .. } | Self::Prompting => None,
            Self::FirstDigit { until } => Some((until, Timer::FirstDigit)),
            Self::NextDigit { until } => Some((until, Timer::NextDigit)),
            Self::AnotherDigit { until } => Some((until, Timer::AnotherDigit)),
        }
    }

    /// Everything said so far has been heard; the first key has until then.
    pub(super) const fn handle_heard(&mut self, until: CallTime) {
        if let Self::Prompting = self {
            *self = Self::FirstDigit { until };
        }
    }

    /// Whether the prompt was not heard to its end, so that a key cuts it short.
    pub(super) const fn is_prompting(self) -> bool {
        matches!(self, Self::Due { .. } | Self::Prompting)
    }

    /// How an entry ends when [`Self::poll_timeout`]'s moment has come.
    pub(super) const fn timed_out(self) -> Option<EndedBy> {
        match self {
            Self::Due { .. } | Self::Prompting => None,
            Self::FirstDigit { .. } | Self::NextDigit { .. } => Some(EndedBy::Timer),
            // The short wait stands for the length of the number: it is as if the last digit had ended it.
            Self::AnotherDigit { .. } => Some(EndedBy::Itself),
        }
    }

    /// Turns a prompt that is due into one that is being heard, and says what it is chosen by.
    pub(super) const fn take_due(&mut self) -> Option<(Option<Complaint>, Option<Brand>)> {
        let Self::Due { complaint, card_type } = *self else { return None };
        *self = Self::Prompting;
        Some((complaint, card_type))
    }
}
