//! What an upgrade is answered with that does not become a stream.
//!
//! Shape:   the answers are one type, and what the API's description says of them is read off it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::{ContentBuilder, RefOr, Response as Described, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema};

/// Why there is no stream, for whoever asked.
pub(super) enum NotUpgraded {
    BadRequest(String),
    Forbidden(&'static str),
    NotFound(Cow<'static, str>),
    UpgradeRequired,
    /// How long to wait.
    TooManyRequests(Duration),
    Unavailable(Cow<'static, str>),
}

impl NotUpgraded {
    /// Its status, and what that means here.
    const fn meaning(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "No WebSocket upgrade, or not one that the dialect has"),
            Self::Forbidden(_) => (
                StatusCode::FORBIDDEN,
                "The signature or the secret is missing or wrong, or the URL is not good or not any more",
            ),
            Self::NotFound(_) => {
                (StatusCode::NOT_FOUND, "There is no such dialect or flow, or no such path of that dialect")
            }
            Self::UpgradeRequired => (StatusCode::UPGRADE_REQUIRED, "The connection cannot be upgraded"),
            Self::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, "Too many wrong secrets from this address"),
            Self::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "Too many calls, or the server is being stopped or has no database")
            }
        }
    }
}

impl IntoResponse for NotUpgraded {
    fn into_response(self) -> Response {
        let (status, _) = self.meaning();
        match self {
            Self::BadRequest(text) => (status, text).into_response(),
            Self::Forbidden(text) => (status, text).into_response(),
            Self::NotFound(text) | Self::Unavailable(text) => (status, text).into_response(),
            Self::UpgradeRequired => (status, "the connection cannot be upgraded\n").into_response(),
            Self::TooManyRequests(wait) => {
                let wait = [(header::RETRY_AFTER, wait.as_secs().max(1).to_string())];
                (status, wait, "too many wrong secrets\n").into_response()
            }
        }
    }
}

impl IntoResponses for NotUpgraded {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        let one_of_each = [
            Self::BadRequest(String::new()),
            Self::Forbidden(""),
            Self::NotFound("".into()),
            Self::UpgradeRequired,
            Self::TooManyRequests(Duration::ZERO),
            Self::Unavailable("".into()),
        ];
        let described = one_of_each.map(|answer| {
            let (status, meaning) = answer.meaning();
            let text = ContentBuilder::new().schema(Some(String::schema())).build();
            let answer = ResponseBuilder::new().description(meaning).content("text/plain", text).build();
            (status.as_str().to_owned(), answer.into())
        });
        described.into()
    }
}
