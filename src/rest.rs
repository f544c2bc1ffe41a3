//! Twilio's REST API for the calls of this server and their payments: what Twilio's own client libraries ask for, answered as they expect it.
//! Below [`OWN_ROOT`], this server's own: its stored payments and connectors.
//!
//! Shape:   [`routes()`] are the routes and their description in one; [`guard::guard`] stands before everything below [`ROOT`]
//!          and [`OWN_ROOT`].
//! Limits:  [`fields::BODY_MAX`] a form; pages of at most [`page::PageSize`]; failed sign-ins ([`attempts`]).
//! Errors:  [`error::ApiError`], always JSON, with Twilio's codes.
//! Secrets: the auth token is compared in constant time; no parameter of a call is told.
//! Sources: Twilio, "REST API: Call resource"; twilio/twilio-oai `spec/json/twilio_api_v2010.json`; what twilio-python and
//!          twilio-node send and parse. Absent on purpose: making calls (platforms bring them), XML and CSV answers.

use axum::extract::OriginalUri;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use crate::call::CommandError;
use crate::call::history::PaymentRefused;
use crate::pay::assisted::AgentError;

mod acting;
mod answers;
pub mod attempts;
mod calls;
mod connectors;
pub mod error;
mod fields;
pub(crate) mod fuzzing;
pub mod guard;
mod page;
mod parameters;
mod path;
mod payments;
pub mod route;
pub mod state;
pub(crate) mod stored_payments;
mod words;

use error::ApiError;
use route::Routes;
use state::ApiState;

/// Where the API begins: its version, as Twilio names it.
pub const ROOT: &str = "/2010-04-01";

/// Where what Twilio has no word for begins.
pub const OWN_ROOT: &str = "/v1";

/// The routes of the API.
#[must_use]
pub fn routes() -> Routes<ApiState> {
    Routes::new()
        .with(routes!(calls::list))
        .with(routes!(calls::fetch, calls::update, calls::delete))
        .with(routes!(payments::list, payments::create))
        .with(routes!(payments::fetch, payments::update))
        .with(routes!(stored_payments::list))
        .with(routes!(stored_payments::fetch))
        .with(routes!(connectors::list, connectors::create))
        .with(routes!(connectors::fetch, connectors::update, connectors::delete))
        .with(routes!(connectors::live))
        .each_described(guard::describe)
}

/// What a call did not do, and why.
fn not_done(failure: CommandError, undone: &str) -> ApiError {
    match failure {
        CommandError::NotLive => ApiError::bad(error::INVALID_CALL_STATE, format!("Call is not in-progress. {undone}")),
        CommandError::Busy => {
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, error::TOO_MANY, "Too many requests wait for this call")
        }
        CommandError::NoAnswer => {
            let message = "The call does not answer; it may still do it";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error::UNAVAILABLE, message)
        }
        CommandError::OtherContent => {
            let message = "This IdempotencyKey was used for a request with other parameters";
            ApiError::new(StatusCode::CONFLICT, error::CONFLICT, message)
        }
        CommandError::Payment(PaymentRefused::Judged(AgentError { code, status, message })) => {
            ApiError::new(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), code, message)
        }
        CommandError::Payment(PaymentRefused::Deleted) => {
            ApiError::new(StatusCode::NOT_FOUND, error::NOT_FOUND, "The payment was not found")
        }
        CommandError::Broken => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error::INTERNAL, "The request broke down")
        }
    }
}

/// The answer for a path that there is not.
pub async fn no_such_path(OriginalUri(uri): OriginalUri) -> Response {
    match is_of_the_api(uri.path()) {
        true => ApiError::not_found(uri.path()).into_response(),
        false => (StatusCode::NOT_FOUND, "there is nothing here\n").into_response(),
    }
}

/// The answer for a method that a path does not have.
pub async fn no_such_method(OriginalUri(uri): OriginalUri) -> Response {
    match is_of_the_api(uri.path()) {
        true => ApiError::method_not_allowed().into_response(),
        false => (StatusCode::METHOD_NOT_ALLOWED, "this path has no such method\n").into_response(),
    }
}

/// The answer to a request that was not done in time, be it that its body was slow to come. What it wanted may still happen.
#[must_use]
pub fn too_slow(path: &str) -> Response {
    let message = "The request took too long";
    let answer = if is_of_the_api(path) {
        ApiError::new(StatusCode::REQUEST_TIMEOUT, error::TOO_SLOW, message).into_response()
    } else {
        (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response()
    };
    ([(header::CONNECTION, "close")], answer).into_response()
}

fn is_of_the_api(path: &str) -> bool {
    below(ROOT, path).is_some() || below(OWN_ROOT, path).is_some()
}

fn below<'p>(root: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}
