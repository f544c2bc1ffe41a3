//! One callback on its way, until it has been answered or given up.
//!
//! Shape:   [`deliver`] tries, waits, tries again. The way out is a [`Courier`], so that the waiting can be tested on a
//!          paused clock. How a stored one stands is written down after each try.
//! Limits:  [`Patience`].
//! Errors:  none to anybody: what is given up is logged as an error and counted (`touchtone_callbacks_given_up_total`); a
//!          stored one is parked, for a person to look at (`touchtone callbacks list`).

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::CallbackRequest;
use crate::form::Form;
use crate::http::shown;
use crate::store::{BackendError, Store};
use crate::wall::Wall;

/// How long it is waited between tries to write down how a callback stands. The last one is repeated for as long as it
/// takes to write how it ended.
const STORE_WAITS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(8)];

/// How often it is tried to write down what only counts.
const TRIES: usize = 4;

/// How callbacks are retried and when they are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
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
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(500),
            wait_max: Duration::from_secs(5 * 60),
            aside_after: Duration::from_secs(60),
            give_up_after: Duration::from_secs(24 * 60 * 60),
            notice_for: Duration::from_secs(60 * 60),
            queue_max: 1_000,
            notices_max: 1_000,
        }
    }
}

/// How one try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    /// With an answer, 2xx to 4xx: the application has it, whatever it thinks of it.
    Answered(u16),
    /// Not, for a reason that may pass.
    Again(String),
    /// Not, for a reason that will not pass.
    Hopeless(String),
}

/// What carries a request to the application, once.
pub(super) trait Courier: Send + Sync {
    /// Tries. The token is the same for every try of one request.
    fn deliver<'a>(&'a self, request: &'a CallbackRequest, token: Uuid) -> BoxFuture<'a, Tried>;
}

/// A callback with what stays the same over its tries.
#[derive(Debug)]
pub(super) struct Callback {
    pub(super) request: CallbackRequest,
    pub(super) token: Uuid,
    pub(super) call_sid: String,
    /// Where it stands in the store; none: it is in memory only.
    pub(super) place: Option<Place>,
    /// How long it is tried from now on.
    pub(super) patience: Duration,
}

/// Where a callback stands in the store.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) store: Store,
    pub(super) wall: Wall,
    pub(super) id: i64,
    /// How often it was tried without success before.
    pub(super) tries: u32,
}

impl Place {
    /// Writes down that it was answered, however long it takes. If the process ends before, it will be delivered once
    /// more, with the same token.
    pub(super) async fn delivered(&self) {
        self.write("delivered", usize::MAX, || self.store.backend().mark_delivered(self.id, self.wall.now())).await;
    }

    /// Writes down that the next try has failed.
    async fn failed(&mut self, reason: &str) {
        self.tries = self.tries.saturating_add(1);
        let write = || self.store.backend().mark_failed(self.id, reason, self.tries, self.wall.now());
        self.write("failed", TRIES, write).await;
    }

    async fn parked(&self, reason: &str) {
        self.write("parked", usize::MAX, || self.store.backend().mark_parked(self.id, reason, self.wall.now())).await;
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
                    tracing::warn!(callback = self.id, what, reason, "not written down");
                    sleep(wait).await;
                }
            }
        }
    }
}

impl Callback {
    /// Says that it will not be delivered; a stored one waits for a person.
    pub(super) async fn give_up(&self, reason: &str) {
        self.count_given_up(reason);
        if let Some(place) = &self.place {
            place.parked(reason).await;
        }
    }

    /// Writes down that a try of a stored one failed.
    pub(super) async fn failed(&mut self, reason: &str) {
        if let Some(place) = &mut self.place {
            place.failed(reason).await;
        }
    }

    async fn answered(&self) {
        if let Some(place) = &self.place {
            place.delivered().await;
        }
    }

    /// Logs and counts that it will not be delivered.
    pub(super) fn count_given_up(&self, reason: &str) {
        let kind = self.request.kind.word();
        metrics::counter!("touchtone_callbacks_given_up_total", "kind" => kind).increment(1);
        tracing::error!(
            call_sid = self.call_sid,
            kind,
            url = shown(&self.request.url),
            fields = names(&self.request.form),
            reason,
            "callback given up: the application was not told"
        );
    }
}

/// Tries until the callback is answered or given up.
pub(super) async fn deliver(courier: &dyn Courier, callback: &mut Callback, patience: Patience) {
    let since = Instant::now();
    let before = callback.place.as_ref().map_or(0, |place| place.tries);
    let mut wait = patience.first_wait.saturating_mul(1 << before.min(16)).min(patience.wait_max);
    loop {
        let reason = match courier.deliver(&callback.request, callback.token).await {
            Tried::Answered(200..=299) => return callback.answered().await,
            Tried::Answered(status) => {
                tracing::warn!(
                    call_sid = callback.call_sid,
                    kind = callback.request.kind.word(),
                    url = shown(&callback.request.url),
                    status,
                    "the application rejected a callback"
                );
                return callback.answered().await;
            }
            Tried::Hopeless(reason) => return callback.give_up(&reason).await,
            Tried::Again(reason) => reason,
        };
        if since.elapsed().saturating_add(wait) > callback.patience {
            return callback.give_up(&reason).await;
        }
        callback.failed(&reason).await;
        tracing::warn!(
            call_sid = callback.call_sid,
            kind = callback.request.kind.word(),
            url = shown(&callback.request.url),
            reason,
            again_in_seconds = wait.as_secs_f64(),
            "callback not delivered"
        );
        sleep(wait).await;
        wait = wait.saturating_mul(2).min(patience.wait_max);
    }
}

/// The names of the fields: what a log may say of a form.
fn names(form: &Form) -> String {
    form.iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}
