//! Whether documents only chase each other: many in a row that take no caller's time.

use std::time::Duration;

use crate::time::CallTime;

/// How much time in speech, silence or keys shows that documents are not just chasing each other.
const PROGRESS: Duration = Duration::from_secs(1);

/// Documents in a row that took no time.
#[derive(Debug, Default)]
pub(super) struct Chase {
    pub(super) documents: u32,
    /// When the verb of the moment began, if it is one that takes a caller's time.
    since: Option<CallTime>,
    spent: Duration,
}

impl Chase {
    /// A verb that takes a caller's time begins.
    pub(super) fn start(&mut self, now: CallTime) {
        self.since = Some(now);
    }

    /// It is over: time spent with the caller shows that documents are not just chasing each other.
    pub(super) fn stop(&mut self, now: CallTime) {
        if let Some(since) = self.since.take() {
            self.spent = self.spent.saturating_add(now - since);
        }
        if self.spent >= PROGRESS {
            *self = Self::default();
        }
    }
}
