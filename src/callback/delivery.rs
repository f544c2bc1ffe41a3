//! What it takes to bring one callback to the application: how it is tried, and how what came of it is written down.
//!
//! Shape:   a [`CallbackTransport`] makes a request once, so that everything around it can be tested on a paused clock. A [`StoredPlace`]
//!          writes down how a stored callback stands after each try.
//! Limits:  [`RetryPolicy`].
//! Errors:  none to anybody: what is given up is logged as an error and counted (`touchtone_callbacks_given_up_total`); a
//!          stored one is parked, for a person to look at (`touchtone callbacks list`).

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;
use uuid::Uuid;

use super::CallbackRequest;
use crate::clock::WallClock;
use crate::feed::{EventKind, Feed};
use crate::form::Form;
use crate::http::shown;
use crate::store::{BackendError, Store};

/// How long it is waited between tries to write down how a callback stands. The last one is repeated for as long as it
/// takes to write how it ended.
const STORE_WAITS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(8)];

/// How often it is tried to write down what only counts.
const TRIES: usize = 4;

/// How callbacks are retried and when they are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The wait after the first failed try; each further one is twice as long. Our choice: 0.5 s.
    pub first_wait: Duration,
    /// The longest wait. Our choice: 5 min, so that an application that is back learns of everything soon.
    pub wait_max: Duration,
    /// How long a failing callback keeps the next ones of its call waiting: 60 s (spec/pay.md, section 7).
    pub aside_after: Duration,
    /// How long a callback is tried at all: 24 h (spec/pay.md, section 7).
    pub give_up_after: Duration,
    /// How long an error notice is tried: 1 h, because it is kept in memory only.
    pub notice_for: Duration,
    /// How many callbacks of one call may wait to be written down or delivered. One more is given up, unless it tells how
    /// a payment ended. Our choice: 1,000, which no call of ordinary length reaches.
    pub queue_max: usize,
    /// How many error notices may be under way; one more is given up at once. Our choice: 1,000.
    pub notices_max: usize,
    /// How many callbacks may be in flight, at least 1; what waits is not limited. Our choice: 512, connections that a
    /// server has to spare beside its calls.
    pub in_flight_max: usize,
    /// How many of them to one host, at least 1. Our choice: 256, which at 100 ms an answer are more callbacks than
    /// 10,000 calls have.
    pub host_in_flight_max: usize,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(500),
            wait_max: Duration::from_secs(5 * 60),
            aside_after: Duration::from_secs(60),
            give_up_after: Duration::from_secs(24 * 60 * 60),
            notice_for: Duration::from_secs(60 * 60),
            queue_max: 1_000,
            notices_max: 1_000,
            in_flight_max: 512,
            host_in_flight_max: 256,
        }
    }
}

/// How one try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    /// With an answer, 2xx: the application has it.
    Answered(u16),
    /// Not, for a reason that may pass.
    Again {
        /// The reason.
        reason: String,
        /// How long the application wants not to be asked again.
        retry_after: Option<Duration>,
    },
    /// Not, for a reason that will not pass by itself: a person may want another try.
    Hopeless(String),
}

impl Tried {
    /// What an application's status says (spec/pay.md, section 7).
    pub(crate) fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        let reason = format!("HTTP status {status}");
        match status {
            200..=299 => Self::Answered(status),
            // Request timeout, too early, too many requests.
            408 | 425 | 429 | 500.. => Self::Again { reason, retry_after },
            _ => Self::Hopeless(reason),
        }
    }
}

/// What carries a request to the application, once.
pub(super) trait CallbackTransport: Send + Sync {
    /// Tries. The token is the same for every try of one request.
    fn deliver<'a>(&'a self, request: &'a CallbackRequest, token: Uuid) -> BoxFuture<'a, Tried>;
}

/// Where a callback stands in the store; whoever watches is told of what is written there.
#[derive(Clone, Debug)]
pub(super) struct StoredPlace {
    pub(super) store: Store,
    pub(super) wall_clock: WallClock,
    pub(super) feed: Feed,
    pub(super) call_sid: String,
    pub(super) id: i64,
}

impl StoredPlace {
    /// Writes down that it was answered, however long it takes. If the process ends before, it will be delivered once
    /// more, with the same token.
    pub(super) async fn delivered(&self) {
        self.write("delivered", usize::MAX, || self.store.mark_delivered(self.id, self.wall_clock.now())).await;
        let (call_sid, callback) = (&self.call_sid, self.id);
        self.feed.publish(|| EventKind::CallbackDelivered { call_sid: call_sid.clone(), callback });
    }

    /// Writes down that the `number`th try has failed.
    pub(super) async fn failed(&self, reason: &str, number: u32) {
        let write = || self.store.mark_failed(self.id, reason, number, self.wall_clock.now());
        self.write("failed", TRIES, write).await;
        self.tell_of_failure(false);
    }

    /// Writes down that it is given up, however long it takes.
    pub(super) async fn parked(&self, reason: &str) {
        self.write("parked", usize::MAX, || self.store.mark_parked(self.id, reason, self.wall_clock.now())).await;
        self.tell_of_failure(true);
    }

    fn tell_of_failure(&self, is_parked: bool) {
        let (call_sid, callback) = (&self.call_sid, self.id);
        self.feed.publish(|| EventKind::CallbackFailed { call_sid: call_sid.clone(), callback, is_parked });
    }

    async fn write<'a>(
        &'a self,
        what: &str,
        tries: usize,
        write: impl Fn() -> BoxFuture<'a, Result<(), BackendError>>,
    ) {
        let [.., last] = STORE_WAITS;
        for wait in STORE_WAITS.into_iter().chain(std::iter::repeat(last)).take(tries) {
            match write().await {
                Ok(()) | Err(BackendError::NotFound | BackendError::Duplicate) => return,
                Err(BackendError::Unavailable(reason)) => {
                    tracing::warn!(
                        callback = self.id,
                        state = what,
                        error = reason,
                        "could not persist the state of a callback yet"
                    );
                    sleep(wait).await;
                }
                Err(BackendError::Unreadable(reason)) => {
                    tracing::error!(
                        callback = self.id,
                        state = what,
                        error = reason,
                        "state of a callback cannot be persisted; leaving it as it was"
                    );
                    return;
                }
            }
        }
    }
}

/// Logs and counts that a callback will not be delivered.
pub(super) fn count_given_up(call_sid: &str, request: &CallbackRequest, reason: &str) {
    let kind = request.kind.word();
    metrics::counter!("touchtone_callbacks_given_up_total", "kind" => kind).increment(1);
    tracing::error!(
        call_sid,
        callback_kind = kind,
        url = shown(&request.url),
        fields = names(&request.form),
        reason,
        "gave up callback; the application is not told"
    );
}

/// The names of the fields: what a log may say of a form.
fn names(form: &Form) -> String {
    form.iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}
