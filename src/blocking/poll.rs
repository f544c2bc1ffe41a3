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
    Watched { kind, future: Box::pin(future) }
}

/// See [`watched`].
#[derive(Debug)]
pub struct Watched<F> {
    kind: TaskKind,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let since = Instant::now();
        let polled = self.future.as_mut().poll(context);
        self.kind.note(since.elapsed());
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_poll_is_told_and_waiting_is_none() {
        let holding = async {
            std::thread::sleep(Duration::from_millis(20));
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_millis(5));
        };
        watched(TaskKind::Callbacks, holding).await;
        let told = |word: &str| longest().into_iter().find(|(kind, _)| *kind == word).unwrap().1;
        assert!(told("callbacks") >= Duration::from_millis(20), "{:?}", longest());
        let before = told("callbacks");
        watched(TaskKind::Callbacks, tokio::time::sleep(before + Duration::from_millis(20))).await;
        assert!(told("callbacks") < before + Duration::from_millis(20), "{:?}", longest());
    }
}
