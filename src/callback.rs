//! Requests to the merchant's application: signed, timed, retried where nobody waits for the answer.
//!
//! Shape:   [`Application::ask`] fetches a document while a caller waits. [`Deliveries`] brings status callbacks and error
//!          notices there in the background: a [`CallbackQueue`] for each call, each callback after the one before it.
//! Units:   wall time through tokio's clock, which tests pause.
//! Limits:  [`ASK_TIMEOUT`], [`DOCUMENT_BYTES_MAX`]; those of the queue are in [`Patience`].
//! Errors:  [`FetchError`] to the call; what is not delivered in the end is logged as an error and counted.
//! Secrets: of a form only the names of its fields are logged, of a URL neither query nor credentials.
//! Sources: spec/pay.md, sections 6 and 7; Twilio, "Webhooks" and "Security".

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use uuid::Uuid;

use crate::form::Form;
use crate::http::{self, Outbound, OutboundError, OutboundRequest, OutboundResponse};
use crate::secret::Secret;
use crate::twiml::{self, Method};

mod delivery;
#[cfg(test)]
mod loopback_tests;
mod queue;

pub use delivery::Patience;
pub use queue::{CallbackQueue, Deliveries, Undelivered};

/// How long the application has for a document (Twilio; spec/pay.md, section 7).
pub const ASK_TIMEOUT: Duration = Duration::from_secs(15);

/// How much of a document is read, in bytes: past the 64 KiB a document may have there is room for one more character,
/// so that its reader sees that it is too long.
pub const DOCUMENT_BYTES_MAX: usize = twiml::SIZE_MAX + 4;

/// How long one try of a callback may take.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(15);

/// How much of the answer to a callback is read, so that its connection can serve the next one. Nobody looks at it.
const CALLBACK_ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackKind {
    /// A document: the first one, or a `<Redirect>`.
    Document,
    /// The `action` of a verb.
    Action,
    /// A `statusCallback`.
    Status,
    /// `error_url`.
    ErrorNotice,
}

impl CallbackKind {
    /// The word in metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Action => "action",
            Self::Status => "status",
            Self::ErrorNotice => "error",
        }
    }
}

/// One request to the application.
#[derive(Clone, Debug)]
pub struct CallbackRequest {
    /// What it is for.
    pub kind: CallbackKind,
    /// POST with the fields in the body, or GET with the fields in the query.
    pub method: Method,
    /// An absolute URL.
    pub url: String,
    /// The fields.
    pub form: Form,
}

/// A document as the application sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedDocument {
    /// Its text; too long by a character or more when it is over 64 KiB.
    pub body: String,
}

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The application was not asked or did not answer.
    #[error(transparent)]
    NotFetched(#[from] OutboundError),
    /// It answered with something other than 2xx; a redirect is not followed.
    #[error("the application answered with HTTP status {0}")]
    Status(u16),
    /// It answered with something that is no text.
    #[error("the application's answer is neither UTF-8 nor declared as ISO-8859-1")]
    NotText,
}

/// The merchant's application, as requests reach it.
#[derive(Clone, Debug)]
pub struct Application {
    outbound: Arc<Outbound>,
    auth_token: Secret,
}

impl Application {
    /// Requests go out through `outbound`, signed with the account's auth token.
    #[must_use]
    pub const fn new(outbound: Arc<Outbound>, auth_token: Secret) -> Self {
        Self { outbound, auth_token }
    }

    /// Fetches a document. Asked once more when the application was not reached at all, as Twilio does; both tries
    /// together have [`ASK_TIMEOUT`].
    ///
    /// # Errors
    /// When there is no document: the call then has nothing to go on with.
    pub async fn ask(&self, request: &CallbackRequest) -> Result<FetchedDocument, FetchError> {
        let token = Uuid::new_v4();
        let deadline = Instant::now() + ASK_TIMEOUT;
        let mut answer = self.try_once(request, token, ASK_TIMEOUT, DOCUMENT_BYTES_MAX).await;
        if let Err(OutboundError::NotReached(_)) = &answer {
            let left = deadline.saturating_duration_since(Instant::now());
            answer = self.try_once(request, token, left, DOCUMENT_BYTES_MAX).await;
        }
        let response = answer?;
        match response.status {
            200..=299 => text(&response).map(|body| FetchedDocument { body }).ok_or(FetchError::NotText),
            status => Err(FetchError::Status(status)),
        }
    }

    /// Sends a request once, and measures it.
    async fn try_once(
        &self,
        request: &CallbackRequest,
        token: Uuid,
        timeout: Duration,
        body_limit: usize,
    ) -> Result<OutboundResponse, OutboundError> {
        let since = Instant::now();
        let answer = self
            .outbound
            .send(&OutboundRequest {
                method: match request.method {
                    Method::Get => http::Method::GET,
                    Method::Post => http::Method::POST,
                },
                url: request.url.clone(),
                form: request.form.clone(),
                auth_token: Some(self.auth_token.clone()),
                idempotency_token: Some(token),
                timeout,
                body_limit,
            })
            .await;
        metrics::histogram!(
            "touchtone_callback_seconds",
            "kind" => request.kind.word(),
            "outcome" => outcome(&answer),
        )
        .record(since.elapsed().as_secs_f64());
        answer
    }
}

impl delivery::Courier for Application {
    fn deliver<'a>(&'a self, request: &'a CallbackRequest, token: Uuid) -> BoxFuture<'a, delivery::Tried> {
        async move {
            match self.try_once(request, token, DELIVERY_TIMEOUT, CALLBACK_ANSWER_BYTES_MAX).await {
                Ok(response) if response.status < 500 => delivery::Tried::Answered(response.status),
                Ok(response) => delivery::Tried::Again(format!("HTTP status {}", response.status)),
                Err(error @ (OutboundError::NotReached(_) | OutboundError::TimedOut | OutboundError::Broken(_))) => {
                    delivery::Tried::Again(error.to_string())
                }
                // The configuration says no, and will say no again.
                Err(
                    error @ (OutboundError::InvalidUrl
                    | OutboundError::PlainHttp
                    | OutboundError::AddressNotAllowed
                    | OutboundError::NoCertificates),
                ) => delivery::Tried::Hopeless(error.to_string()),
            }
        }
        .boxed()
    }
}

/// The outcome's word in metrics.
const fn outcome(answer: &Result<OutboundResponse, OutboundError>) -> &'static str {
    match answer {
        Ok(OutboundResponse { status: 200..=299, .. }) => "answered",
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

/// A document's text: UTF-8, or ISO-8859-1 where the answer says so. Half a character at the cut is dropped.
fn text(response: &OutboundResponse) -> Option<String> {
    match std::str::from_utf8(&response.body) {
        Ok(text) => Some(text.to_owned()),
        Err(error) if response.cut && error.error_len().is_none() => {
            let whole = response.body.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).ok().map(str::to_owned)
        }
        Err(_) => {
            let declared = response.content_type.as_deref().unwrap_or_default().to_ascii_lowercase();
            // Every byte is the character of that number.
            declared.contains("iso-8859-1").then(|| response.body.iter().copied().map(char::from).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: &[u8], content_type: &str, cut: bool) -> OutboundResponse {
        OutboundResponse { status: 200, content_type: Some(content_type.into()), body: body.to_vec().into(), cut }
    }

    #[test]
    fn a_document_is_utf_8_or_what_it_declares() {
        assert_eq!(text(&response("é".as_bytes(), "text/xml", false)).as_deref(), Some("é"));
        assert_eq!(text(&response(b"\xe9", "text/xml; charset=ISO-8859-1", false)).as_deref(), Some("é"));
        assert_eq!(text(&response(b"\xe9<", "text/xml", false)), None);
    }

    #[test]
    fn a_cut_in_the_middle_of_a_character_still_leaves_a_document_that_is_too_long() {
        let mut body = vec![b' '; DOCUMENT_BYTES_MAX - 1];
        body.push(0xe2);
        let text = text(&response(&body, "text/xml", true)).unwrap();
        assert!(text.len() > twiml::SIZE_MAX);
    }
}
