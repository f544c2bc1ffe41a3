//! One callback on its way, until it has been answered or given up.
//!
//! Shape:   [`deliver`] tries, waits, tries again. The way out is a [`Courier`], so that the waiting can be tested on a
//!          paused clock.
//! Limits:  [`Patience`].
//! Errors:  none to anybody: what is given up is logged as an error and counted (`touchtone_callbacks_given_up_total`).

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::CallbackRequest;
use crate::form::Form;
use crate::http::shown;

/// How callbacks are retried and when they are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The wait after the first failed try; each further one is twice as long. Our choice: 0.5 s.
    pub first_wait: Duration,
    /// The longest wait. Our choice: 30 s.
    pub wait_max: Duration,
    /// How long a failing callback keeps the next ones of its call waiting: 60 s (spec/pay.md, section 7).
    pub aside_after: Duration,
    /// How long a callback is tried at all: 1 h, because it is kept in memory only.
    pub give_up_after: Duration,
    /// How many callbacks of one call may wait. When there is one more, the one that has waited longest is given up:
    /// the newest tell how the payment ended. Our choice: 1,000, which no call of ordinary length reaches.
    pub queue_max: usize,
    /// How many error notices may be under way; one more is given up at once. Our choice: 1,000.
    pub notices_max: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(500),
            wait_max: Duration::from_secs(30),
            aside_after: Duration::from_secs(60),
            give_up_after: Duration::from_secs(60 * 60),
            queue_max: 1_000,
            notices_max: 1_000,
        }
    }
}

/// How one try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tried {
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
}

impl Callback {
    /// Logs and counts that it will not be delivered.
    pub(super) fn give_up(&self, reason: &str) {
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
pub(super) async fn deliver(courier: &dyn Courier, callback: &Callback, patience: Patience) {
    let since = Instant::now();
    let mut wait = patience.first_wait;
    loop {
        let reason = match courier.deliver(&callback.request, callback.token).await {
            Tried::Answered(200..=299) => return,
            Tried::Answered(status) => {
                tracing::warn!(
                    call_sid = callback.call_sid,
                    kind = callback.request.kind.word(),
                    url = shown(&callback.request.url),
                    status,
                    "the application rejected a callback"
                );
                return;
            }
            Tried::Hopeless(reason) => return callback.give_up(&reason),
            Tried::Again(reason) => reason,
        };
        if since.elapsed().saturating_add(wait) > patience.give_up_after {
            return callback.give_up(&reason);
        }
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
