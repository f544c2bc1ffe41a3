//! Deadlines of a process that may be stopped for a while: SIGSTOP, a debugger, a machine that stands still.
//!
//! Shape:   [`until`] waits as `tokio::time::timeout_at` does; [`overdue`] tells whoever waits in a way of its own.
//! Units:   tokio's clock.
//!
//! After a stop every timer has run out at once, while what has arrived meanwhile is still to be read. So a deadline that is
//! noticed late is not acted upon before that had time to be read.

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

/// How late a timer is that ran in a process that was stopped. Our choice: a busy machine's are late by less.
const STOPPED: Duration = Duration::from_secs(1);

/// How long what has arrived meanwhile is given to be read. Our choice: it is here already.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// By how much a deadline was missed by a process that was stopped. None: it was not.
pub(crate) fn overdue(deadline: Instant) -> Option<Duration> {
    Some(Instant::now().saturating_duration_since(deadline)).filter(|late| *late >= STOPPED)
}

/// Waits for `future` until `deadline`.
///
/// # Errors
/// [`Elapsed`].
pub(crate) async fn until<F: Future>(deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
    let mut future = std::pin::pin!(future);
    match timeout_at(deadline, future.as_mut()).await {
        Err(_) if overdue(deadline).is_some() => timeout(GRACE, future).await,
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::time::{advance, sleep};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(3);

    /// Waits for an answer, within [`LIMIT`], in a process that is stopped for so long; the answer is read so long after it
    /// goes on.
    async fn stopped_for(stop: Duration, read_after: Duration) -> (Option<u32>, Duration) {
        let (sender, answer) = oneshot::channel();
        let since = Instant::now();
        let waiting = tokio::spawn(until(since + LIMIT, answer));
        tokio::task::yield_now().await;
        advance(stop).await;
        tokio::spawn(async move {
            sleep(read_after).await;
            let _ = sender.send(7);
        });
        let answer = waiting.await.unwrap().ok().and_then(Result::ok);
        (answer, since.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrived_while_the_process_was_stopped_is_read_before_its_deadline_counts() {
        let (stop, soon) = (Duration::from_secs(25), Duration::from_millis(5));
        assert_eq!(stopped_for(stop, soon).await.0, Some(7));
        let (nothing, waited) = stopped_for(stop, Duration::from_secs(60)).await;
        assert_eq!((nothing, waited), (None, stop + GRACE), "but it is not waited for much longer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_of_a_process_that_runs_is_kept() {
        let (nothing, waited) = stopped_for(Duration::ZERO, LIMIT + Duration::from_millis(1)).await;
        assert_eq!((nothing, waited), (None, LIMIT));
        assert_eq!(stopped_for(Duration::ZERO, Duration::from_secs(2)).await.0, Some(7));
    }
}
