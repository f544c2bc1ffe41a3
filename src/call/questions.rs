//! How many questions about payments without a call are asked at a time.
//!
//! Shape:   [`QuestionLimit::turn`] waits for a place and gives it; it is given back when dropped. A payment that waits between
//!          two questions holds none.
//! Limits:  [`QUESTIONS_MAX`] a connector. Those about payments that were told as unknown hold at most [`UNKNOWN_MAX`] of
//!          them, so that one that nobody was told of never waits for more of them than that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many questions a connector is asked at a time. Our choice: what a gateway takes from one client without complaint.
pub(super) const QUESTIONS_MAX: usize = 16;

/// How many of them may be about payments that were told as unknown: half.
pub(super) const UNKNOWN_MAX: usize = QUESTIONS_MAX / 2;

/// Which payment a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// One that nobody was told of.
    Untold,
    /// One that was told as unknown.
    Unknown,
}

/// The places for questions, by connector.
#[derive(Debug, Default)]
pub(super) struct QuestionLimit(Mutex<BTreeMap<String, QuestionSlots>>);

#[derive(Clone, Debug)]
struct QuestionSlots {
    all: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
}

impl Default for QuestionSlots {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(QUESTIONS_MAX)), unknown: Arc::new(Semaphore::new(UNKNOWN_MAX)) }
    }
}

/// A place for a question.
#[derive(Debug)]
pub(super) struct QuestionSlot {
    _all: Option<OwnedSemaphorePermit>,
    _unknown: Option<OwnedSemaphorePermit>,
}

impl QuestionLimit {
    /// Waits for a place, first come, first served.
    pub(super) async fn turn(&self, connector: &str, about: About) -> QuestionSlot {
        let places = {
            let mut connectors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let places = match connectors.get(connector) {
                Some(places) => places,
                None => connectors.entry(connector.to_owned()).or_default(),
            };
            places.clone()
        };
        // The narrower one first: whoever waits for it holds no place of the others. They are never closed.
        let unknown = match about {
            About::Unknown => places.unknown.acquire_owned().await.ok(),
            About::Untold => None,
        };
        QuestionSlot { _all: places.all.acquire_owned().await.ok(), _unknown: unknown }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn however_many_are_looked_up_a_payment_that_nobody_was_told_of_has_its_turn_at_once() {
        let limit = QuestionLimit::default();
        let mut looked_up: Vec<_> = (0..514).map(|_| Box::pin(limit.turn("Default", About::Unknown))).collect();
        let turns: Vec<QuestionSlot> = looked_up.iter_mut().filter_map(|turn| turn.now_or_never()).collect();
        assert_eq!(turns.len(), UNKNOWN_MAX);
        let untold = limit.turn("Default", About::Untold).now_or_never();
        assert!(untold.is_some());
        // Each place that is given back is another's.
        drop(turns);
        let waiting = looked_up.iter_mut().skip(UNKNOWN_MAX);
        assert_eq!(waiting.filter_map(|turn| turn.now_or_never()).collect::<Vec<_>>().len(), UNKNOWN_MAX);
    }

    #[test]
    fn connectors_do_not_wait_for_each_other() {
        let limit = QuestionLimit::default();
        let ask = |connector: &str| limit.turn(connector, About::Untold).now_or_never();
        let turns: Vec<_> = (0..QUESTIONS_MAX).map(|_| ask("Default").unwrap()).collect();
        assert!(ask("Default").is_none());
        assert!(ask("Bank").is_some());
        drop(turns);
        assert!(ask("Default").is_some());
    }
}
