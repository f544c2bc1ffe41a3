//! Requests to the merchant's application: signed, timed, retried where nobody waits for the answer.
//!
//! Shape:   [`Application::ask`] fetches a document while a caller waits. [`Deliveries`] brings status callbacks and error
//!          notices there in the background: a [`CallbackQueue`] for each call, its status callbacks in their order.
//!          Redirects of both are followed, as Twilio does ([`crate::http::redirect`]): each hop is signed for its own URL
//!          and goes only where a first request may go.
//! Units:   wall time through tokio's clock, which tests pause.
//! Limits:  [`ASK_TIMEOUT`], [`DOCUMENT_BYTES_MAX`]; those of the queue are in [`RetryPolicy`].
//! Errors:  [`FetchError`] to the call; what is not delivered in the end is logged as an error and counted.
//! Secrets: of a form only the names of its fields are logged, of a URL neither query nor credentials.
//! Sources: spec/pay.md, sections 6 and 7; Twilio, "Webhooks" and "Security".

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use crate::clock::WallClock;
use crate::flow::link::ShownUrl;
use crate::flow::{Body, FetchFailure, NextDocument, Received, read_answer};
use crate::http::redirect::RedirectError;
use crate::http::{self, Outbound, OutboundError, OutboundRequest, OutboundResponse};
use crate::rng::Rng;
use crate::secret::Secret;
use crate::twiml::{self, Method};

mod delivery;
mod follow;
#[cfg(test)]
mod loopback_tests;
mod outbox;
mod queue;
mod schedule;

pub use delivery::RetryPolicy;
pub(crate) use delivery::Tried;
pub(crate) use follow::{Followed, Unreached, follow};
pub(crate) use outbox::ActionTold;
pub use outbox::{CallbackQueue, PendingOutcome, Written};
pub use queue::{Deliveries, Undelivered};

pub use crate::store::{CallbackKind, CallbackRequest};

/// How long the application has for a document (Twilio; spec/pay.md, section 7).
pub const ASK_TIMEOUT: Duration = Duration::from_secs(15);

/// How much of a document is read, in bytes: past the 64 KiB a document may have there is room for one more character,
/// so that its reader sees that it is too long.
pub const DOCUMENT_BYTES_MAX: usize = twiml::SIZE_MAX + 4;

/// How long one try of a callback may take.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(15);

/// How much of the answer to a callback is read, so that its connection can serve the next one. Nobody looks at it.
const CALLBACK_ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What the application answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedDocument {
    /// Where it came from at last: what relative links in it are relative to.
    pub url: Url,
    /// `Content-Type`, if there is one.
    pub content_type: Option<String>,
    /// The body, at most [`DOCUMENT_BYTES_MAX`] of it.
    pub body: Bytes,
    /// Whether there was more of it.
    pub cut: bool,
}

impl FetchedDocument {
    /// Makes of it what the call goes on with.
    ///
    /// # Errors
    /// As [`read_answer`].
    pub fn read(self) -> Result<NextDocument, FetchFailure> {
        let Self { url, content_type, body, cut } = self;
        read_answer(url, Received { content_type: content_type.as_deref(), body: Body::Bytes(&body), cut })
    }

    /// The body as text, for whoever writes the call down; whatever can be read of a recording.
    #[must_use]
    pub fn text(&self) -> String {
        self.received().text().map_or_else(|_| String::from_utf8_lossy(&self.body).into_owned(), Cow::into_owned)
    }

    fn received(&self) -> Received<'_> {
        Received { content_type: self.content_type.as_deref(), body: Body::Bytes(&self.body), cut: self.cut }
    }
}

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The application was not asked or did not answer.
    #[error(transparent)]
    NotFetched(#[from] OutboundError),
    /// It answered with something other than 2xx.
    #[error("the application answered with HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
        /// How long it wants not to be asked again.
        retry_after: Option<Duration>,
    },
    /// It answered with a redirect that leads nowhere.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// It redirected to where one of the above happened.
    #[error("redirected to {to}: {error}")]
    Redirected {
        /// Where, without query and credentials.
        to: String,
        /// What happened there.
        error: Box<FetchError>,
    },
}

impl FetchError {
    /// The error in the words of the call machine, with Twilio's code.
    #[must_use]
    pub fn failure(&self, url: &Url) -> FetchFailure {
        FetchFailure { code: self.code(), message: format!("{}: {self}", ShownUrl(url)) }
    }

    const fn code(&self) -> u32 {
        match self {
            Self::NotFetched(_) | Self::Status { .. } => 11200,
            Self::Redirect(RedirectError::TooMany | RedirectError::Loop) => 11215,
            Self::Redirect(RedirectError::Invalid { .. }) => 11216,
            Self::Redirected { error, .. } => error.code(),
        }
    }
}

/// What deliveries read of the world beside the network.
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    /// The wall clock.
    pub wall_clock: WallClock,
    /// Where idempotency tokens come from.
    pub rng: Rng,
}

/// The merchant's application, as requests reach it.
#[derive(Clone, Debug)]
pub struct Application {
    outbound: Arc<Outbound>,
    auth_token: Secret,
    rng: Rng,
}

impl Application {
    /// Requests go out through `outbound`, signed with the account's auth token; idempotency tokens come from `rng`.
    #[must_use]
    pub const fn new(outbound: Arc<Outbound>, auth_token: Secret, rng: Rng) -> Self {
        Self { outbound, auth_token, rng }
    }

    /// Fetches a document. A server that was not reached at all is asked once more, as Twilio does; all tries and all
    /// redirects together have [`ASK_TIMEOUT`].
    ///
    /// # Errors
    /// When there is no document: the call then has nothing to go on with.
    pub async fn ask(&self, request: &CallbackRequest) -> Result<FetchedDocument, FetchError> {
        self.ask_as(request, self.rng.uuid()).await
    }

    /// As [`Self::ask`], with an idempotency token that was settled before.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_as(&self, request: &CallbackRequest, token: Uuid) -> Result<FetchedDocument, FetchError> {
        let first = self.outbound_request(request, token, ASK_TIMEOUT, DOCUMENT_BYTES_MAX);
        let answer =
            follow(
                first,
                Unreached::Again,
                |hop| async move { measured(request.kind, self.outbound.send(&hop)).await },
            )
            .await?;
        let OutboundResponse { status, content_type, retry_after, body, cut, .. } = answer.response;
        match status {
            200..=299 => Ok(FetchedDocument { url: answer.url, content_type, body, cut }),
            status => Err(answer.place.error(FetchError::Status { status, retry_after })),
        }
    }

    fn outbound_request(
        &self,
        request: &CallbackRequest,
        token: Uuid,
        timeout: Duration,
        body_limit: usize,
    ) -> OutboundRequest {
        OutboundRequest {
            method: match request.method {
                Method::Get => http::Method::GET,
                Method::Post => http::Method::POST,
            },
            url: request.url.clone(),
            form: request.form.clone(),
            auth_token: Some(self.auth_token.clone()),
            idempotency_token: Some(token),
            cookies: request.cookies.clone(),
            timeout,
            body_limit,
        }
    }
}

/// Measures a request.
async fn measured(
    kind: CallbackKind,
    sending: impl Future<Output = Result<OutboundResponse, OutboundError>>,
) -> Result<OutboundResponse, OutboundError> {
    let since = Instant::now();
    let answer = sending.await;
    metrics::histogram!("touchtone_callback_seconds", "kind" => kind.word(), "outcome" => outcome(&answer))
        .record(since.elapsed().as_secs_f64());
    answer
}

impl delivery::CallbackTransport for Application {
    fn deliver<'a>(&'a self, request: &'a CallbackRequest, token: Uuid) -> BoxFuture<'a, delivery::Tried> {
        async move {
            let first = self.outbound_request(request, token, DELIVERY_TIMEOUT, CALLBACK_ANSWER_BYTES_MAX);
            // Not asked a second time here: the schedule repeats what did not arrive.
            let sent = follow(first, Unreached::Told, |hop| async move {
                measured(request.kind, self.outbound.send_callback(&hop)).await
            });
            match sent.await {
                Ok(answer) => {
                    if answer.fields_lost {
                        tracing::warn!(
                        callback_kind = request.kind.word(),
                        url = http::shown(&request.url),
                        "redirect turned a callback into a GET with the standard parameters alone; answer 307 or 308 to \
                         have it repeated"
                    );
                    }
                    delivery::Tried::of_status(answer.response.status, answer.response.retry_after)
                }
                Err(error) => not_answered(&error),
            }
        }
        .boxed()
    }
}

/// What an answer to a request that was made while a caller waited means for its delivery.
pub(crate) fn tried(answer: &Result<FetchedDocument, FetchError>) -> Tried {
    match answer {
        Ok(_) => Tried::Answered(200),
        Err(error) => not_answered(error),
    }
}

/// What an error means for a delivery: whether another try can end otherwise.
fn not_answered(error: &FetchError) -> Tried {
    match error {
        FetchError::Status { status, retry_after } => Tried::of_status(*status, *retry_after),
        FetchError::NotFetched(OutboundError::NotReached(_) | OutboundError::TimedOut | OutboundError::Broken(_)) => {
            Tried::Again { reason: error.to_string(), retry_after: None }
        }
        // The configuration says no, and will say no again.
        FetchError::NotFetched(
            OutboundError::InvalidUrl
            | OutboundError::PlainHttp
            | OutboundError::AddressNotAllowed
            | OutboundError::NoCertificates,
        ) => Tried::Hopeless(error.to_string()),
        // The application has answered, with nothing to go by.
        FetchError::Redirect(_) => Tried::Hopeless(error.to_string()),
        // What happened after the last redirect decides; the reason says where that was.
        FetchError::Redirected { error: behind, .. } => match not_answered(behind) {
            Tried::Again { retry_after, .. } => Tried::Again { reason: error.to_string(), retry_after },
            Tried::Answered(_) | Tried::Hopeless(_) => Tried::Hopeless(error.to_string()),
        },
    }
}

/// The outcome's word in metrics.
const fn outcome(answer: &Result<OutboundResponse, OutboundError>) -> &'static str {
    match answer {
        Ok(OutboundResponse { status: 200..=299, .. }) => "answered",
        Ok(OutboundResponse { status: 301 | 302 | 303 | 307 | 308, .. }) => "redirected",
        Ok(OutboundResponse { status: 300..=499, .. }) => "rejected",
        Ok(_) => "failed",
        Err(OutboundError::NotReached(_)) => "not_reached",
        Err(OutboundError::TimedOut) => "timed_out",
        Err(OutboundError::Broken(_)) => "broken",
        Err(
            OutboundError::InvalidUrl
            | OutboundError::PlainHttp
            | OutboundError::AddressNotAllowed
            | OutboundError::NoCertificates,
        ) => "not_allowed",
    }
}
