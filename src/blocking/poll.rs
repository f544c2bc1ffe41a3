//! How long tasks hold their worker at a time.
//!
//! Shape:   [`watched`] measures each poll of a future; [`longest`] tells the longest of each kind of task so far, and a metric
//!          does.
//! Units:   time on the wall: a poll that waits for a disk and one that computes hold a worker up alike, and so does a machine
//!          that is busy with something else.
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A kind of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// A live call.
    Call,
    /// An HTTP connection, until it is a call's.
    Connection,
    /// Callbacks on their way.
    Callbacks,
}

impl TaskKind {
    const ALL: [Self; 3] = [Self::Call, Self::Connection, Self::Callbacks];

    /// The metric's label.
    const fn word(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Connection => "connection",
            Self::Callbacks => "callbacks",
        }
    }

    /// Its longest poll, in nanoseconds.
    const fn longest(self) -> &'static AtomicU64 {
        static CALL: AtomicU64 = AtomicU64::new(0);
        static CONNECTION: AtomicU64 = AtomicU64::new(0);
        static CALLBACKS: AtomicU64 = AtomicU64::new(0);
        match self {
            Self::Call => &CALL,
            Self::Connection => &CONNECTION,
            Self::Callbacks => &CALLBACKS,
        }
    }

    fn note(self, polled: Duration) {
        let nanoseconds = u64::try_from(polled.as_nanos()).unwrap_or(u64::MAX);
        if self.longest().fetch_max(nanoseconds, Ordering::Relaxed) < nanoseconds {
            metrics::gauge!("touchtone_longest_poll_seconds", "task" => self.word()).set(polled.as_secs_f64());
        }
    }
}

/// The longest poll of each kind of task since the process began.
#[must_use]
pub fn longest() -> [(&'static str, Duration); 3] {
    TaskKind::ALL.map(|kind| (kind.word(), Duration::from_nanos(kind.longest().load(Ordering::Relaxed))))
}

/// Describes what is measured here.
pub fn describe() {
    metrics::describe_gauge!(
        "touchtone_longest_poll_seconds",
        "The longest time that a task held its worker at once, by the kind of task"
    );
}

/// `future`, with each of its polls measured.
pub fn watched<F: Future>(kind: TaskKind, future: F) -> Watched<F> {
    Watched { kind, future: Box::pin(future), now: Instant::now }
}

/// See [`watched`].
#[derive(Debug)]
pub struct Watched<F> {
    kind: TaskKind,
    future: Pin<Box<F>>,
    /// The clock. A test has its own.
    now: fn() -> Instant,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let since = (self.now)();
        let polled = self.future.as_mut().poll(context);
        self.kind.note((self.now)().saturating_duration_since(since));
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::LazyLock;
    use std::task::Waker;

    use super::*;

    thread_local! {
        static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// So much time passes, and no other.
    fn passes(time: Duration) {
        PASSED.set(PASSED.get() + time);
    }

    fn now() -> Instant {
        static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        *BEGIN + PASSED.get()
    }

    #[test]
    fn the_longest_poll_is_told_and_waiting_is_none() {
        // Longer than anything that really holds a worker up while the tests run.
        let (short, long, longer) = (Duration::from_secs(500), Duration::from_secs(2_000), Duration::from_secs(9_000));
        let holding = async {
            passes(long);
            tokio::task::yield_now().await;
            passes(short);
        };
        let mut watched = Watched { now, ..watched(TaskKind::Callbacks, holding) };
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut watched).poll(&mut context).is_pending());
        passes(longer);
        assert!(Pin::new(&mut watched).poll(&mut context).is_ready());
        let told = longest().into_iter().find(|(kind, _)| *kind == "callbacks").unwrap().1;
        assert_eq!(told, long);
    }
}
