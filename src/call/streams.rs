//! How many streams are open, and whether more may be.
//!
//! Shape:   one lock around all that is shared: what one thread sees was true at one moment. tests/models.rs runs this file
//!          under every order of its steps.
//! Limits:  one waker for each task in [`StreamCount::none_open`].

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::sync::{Mutex, MutexGuard, PoisonError};

/// Why a stream has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// As many as may be are open.
    #[error("too many calls")]
    Full,
    /// The server is being stopped.
    #[error("the server is being stopped")]
    Closed,
}

/// The open streams. No stream is admitted after [`Self::close`], so when none is open then, none is for good.
#[derive(Debug, Default)]
pub(super) struct StreamCount(Mutex<OpenStreams>);

#[derive(Debug, Default)]
struct OpenStreams {
    open: usize,
    is_closed: bool,
    waiting: Vec<Waker>,
}

impl StreamCount {
    /// Counts one more stream, unless `limit` (0: no limit) are open or no more may be.
    pub(super) fn admit(&self, limit: usize) -> Result<(), NotAdmitted> {
        let mut state = self.state();
        if state.is_closed {
            return Err(NotAdmitted::Closed);
        }
        if limit > 0 && state.open >= limit {
            return Err(NotAdmitted::Full);
        }
        state.open = state.open.saturating_add(1);
        Ok(())
    }

    /// Counts one less.
    pub(super) fn leave(&self) {
        let waiting = {
            let mut state = self.state();
            state.open = state.open.saturating_sub(1);
            if state.open == 0 { std::mem::take(&mut state.waiting) } else { Vec::new() }
        };
        // Woken without the lock, which whoever wakes takes at once.
        for waker in waiting {
            waker.wake();
        }
    }

    /// Admits no more.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
    }

    /// Waits until no stream is open.
    pub(super) async fn none_open(&self) {
        poll_fn(|context| self.poll_none_open(context)).await;
    }

    fn poll_none_open(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.open == 0 {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, OpenStreams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
