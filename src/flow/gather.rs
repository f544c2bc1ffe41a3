//! One `<Gather>`: keys until enough, the finishing key, or the timer.
//!
//! Shape:   keys, silence and timeouts in, at most one [`Gathered`] out.
//! Units:   `CallTime`.
//! Limits:  [`KEYS_MAX`] keys.
//! Secrets: what was keyed is a [`Secret`]: merchants do ask for account numbers.
//! Sources: Twilio, "TwiML Voice: `<Gather>`".

use std::time::Duration;

use zeroize::Zeroizing;

use crate::pay::keypad::{Admission, Destination, EndedBy, Keypad};
use crate::secret::Secret;
use crate::time::CallTime;
use crate::tone::Key;
use crate::twiml::Gather;

/// The most keys one `<Gather>` takes. Twilio names no limit; chosen freely.
const KEYS_MAX: usize = 256;

/// What a `<Gather>` brought.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The keys, without the finishing one.
    pub(super) digits: Secret,
    /// Whether any key was pressed before the finishing one.
    pub(super) empty: bool,
    /// The key that finished it.
    pub(super) finished_on: Option<Key>,
}

/// What a `<Gather>` wants done after an input.
#[derive(Debug)]
pub(super) enum GatherStep {
    /// Nothing.
    Wait,
    /// The prompt is cut short.
    Clear,
    /// It is over.
    Over(Gathered),
}

#[derive(Debug)]
enum GatherState {
    Prompting,
    Listening { until: CallTime },
}

/// A `<Gather>` at work.
pub(super) struct Listening {
    timeout: Duration,
    finish_on_key: Option<Key>,
    most: usize,
    keys: Zeroizing<String>,
    state: GatherState,
}

impl Listening {
    pub(super) fn new(verb: &Gather) -> Self {
        let most = verb.num_digits.map_or(KEYS_MAX, usize::from).min(KEYS_MAX);
        Self {
            timeout: verb.timeout,
            finish_on_key: verb.finish_on_key,
            most,
            // Room for all keys: growing would leave copies of them behind.
            keys: Zeroizing::new(String::with_capacity(KEYS_MAX)),
            state: GatherState::Prompting,
        }
    }

    pub(super) const fn poll_timeout(&self) -> Option<CallTime> {
        match self.state {
            GatherState::Prompting => None,
            GatherState::Listening { until } => Some(until),
        }
    }

    /// Whether the prompt has not been cut or heard to its end.
    pub(super) const fn is_prompting(&self) -> bool {
        matches!(self.state, GatherState::Prompting)
    }

    /// Everything said has been heard.
    pub(super) fn handle_heard(&mut self, now: CallTime) {
        if let GatherState::Prompting = self.state {
            self.state = GatherState::Listening { until: now + self.timeout };
        }
    }

    pub(super) fn handle_key(&mut self, now: CallTime, pressed: CallTime, key: Key, keypad: &mut Keypad) -> GatherStep {
        if matches!(key, Key::Letter(_)) || keypad.admit(pressed, key) == Admission::Spent {
            return GatherStep::Wait;
        }
        let cut = self.is_prompting();
        self.state = GatherState::Listening { until: now + self.timeout };
        if self.finish_on_key == Some(key) {
            keypad.answered();
            // The finishing key is its own, so that a `#` after it is the next verb's.
            keypad.field_accepted(EndedBy::Pound);
            return GatherStep::Over(self.take(Some(key)));
        }
        let finish = self.finish_on_key;
        keypad.entered(self.keys.is_empty(), |entry| Destination::Gather { entry, finish });
        self.keys.push(key.symbol());
        if self.keys.len() >= self.most {
            // A `#` right after enough digits belongs to them, as it does to a field (spec/pay.md 3).
            keypad.field_accepted(EndedBy::Itself);
            return GatherStep::Over(self.take(None));
        }
        if cut { GatherStep::Clear } else { GatherStep::Wait }
    }

    pub(super) fn handle_timeout(&mut self) -> Gathered {
        self.take(None)
    }

    fn take(&mut self, finished_on: Option<Key>) -> Gathered {
        let empty = self.keys.is_empty();
        Gathered { digits: Secret::new(std::mem::take(&mut *self.keys)), empty, finished_on }
    }
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Listening({} keyed, {:?})", self.keys.len(), self.state)
    }
}
