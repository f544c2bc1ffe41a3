//! The payments whose outcome is being found out, and whether the store can be used.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::questions::QuestionLimit;

/// The payments that are looked for, and whether the store can be used.
#[derive(Debug, Default)]
pub struct Searches {
    /// By id.
    sids: Mutex<BTreeSet<String>>,
    /// How many questions are asked at a time.
    questions: QuestionLimit,
    /// Whether the last look into the store failed.
    is_shut: AtomicBool,
    /// Whether the last heartbeat failed.
    is_unheard: AtomicBool,
}

impl Searches {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sids().len()
    }

    /// Whether the store could not be used when it was last looked at.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Acquire) || self.is_unheard.load(Ordering::Acquire)
    }

    /// Takes note of a look into the store.
    pub(super) fn looked(&self, is_done: bool) {
        self.is_shut.store(!is_done, Ordering::Release);
    }

    /// Takes note of a heartbeat.
    pub(super) fn heard(&self, is_heard: bool) {
        self.is_unheard.store(!is_heard, Ordering::Release);
    }

    /// How many questions are asked at a time.
    pub(super) const fn questions(&self) -> &QuestionLimit {
        &self.questions
    }

    /// Adds a payment. False: it is looked for already.
    pub(super) fn add(&self, sid: &str) -> bool {
        self.sids().insert(sid.to_owned())
    }

    /// Removes a payment.
    pub(super) fn remove(&self, sid: &str) {
        self.sids().remove(sid);
    }

    fn sids(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.sids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
