//! What goes wrong, as Twilio says it.
//!
//! Sources: Twilio, "Error and Warning Dictionary" and "Twilio's Response"; twilio-python `base/version.py` and twilio-node
//!          `base/RestException.js` for the members that the libraries read. Codes that Twilio has none for are 20000 and
//!          the HTTP status, as its own 20403, 20404, 20409, 20429 and 20503 are.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// A parameter that does not exist, is not supported here, or has a wrong value.
pub const INVALID_PARAMETER: u32 = 20001;
/// Wrong or no credentials.
pub const PERMISSION_DENIED: u32 = 20003;
/// A method that the resource does not have.
pub const METHOD_NOT_ALLOWED: u32 = 20004;
/// A record whose call is live cannot be deleted.
pub const NOT_COMPLETE: u32 = 20009;
/// A body that cannot be read.
pub const BAD_BODY: u32 = 20400;
/// What is not the API's to do.
pub const FORBIDDEN: u32 = 20403;
/// There is no such resource.
pub const NOT_FOUND: u32 = 20404;
/// A request that was not done in time.
pub const TOO_SLOW: u32 = 20408;
/// The same key for another request.
pub const CONFLICT: u32 = 20409;
/// A body longer than is read.
pub const TOO_LONG: u32 = 20413;
/// A body that is no form.
pub const NO_FORM: u32 = 20415;
/// Too many requests for one call at a time, or too many failed sign-ins.
pub const TOO_MANY: u32 = 20429;
/// A fault of ours.
pub const INTERNAL: u32 = 20500;
/// The call does not answer.
pub const UNAVAILABLE: u32 = 20503;
/// A document that cannot be read.
pub const UNREADABLE_DOCUMENT: u32 = 12100;
/// A `Url` that cannot be used.
pub const INVALID_URL: u32 = 21205;
/// The call is not in the state that is needed.
pub const INVALID_CALL_STATE: u32 = 21220;

/// An error.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Error, examples(json!({
    "code": 20404,
    "message": "The requested resource /2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Calls/CA1.json was not found",
    "more_info": "https://www.twilio.com/docs/errors/20404",
    "status": 404,
})))]
pub struct ApiError {
    /// Twilio's code of it.
    pub code: u32,
    /// What is wrong.
    pub message: String,
    /// Where to read about the code.
    pub more_info: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// How long to wait before the next request: a header, no member.
    #[serde(skip)]
    #[schema(ignore)]
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// An error of this HTTP status and code.
    #[must_use]
    pub fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        let more_info = format!("https://www.twilio.com/docs/errors/{code}");
        Self { code, message: message.into(), more_info, status: status.as_u16(), retry_after: None }
    }

    /// A request that is wrong.
    #[must_use]
    pub fn bad(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A parameter that does not exist, is not supported here, or has a wrong value.
    #[must_use]
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::bad(INVALID_PARAMETER, message)
    }

    /// The database did not do it, which is logged with what was wanted of it.
    #[must_use]
    pub fn database(wanted: &'static str, trouble: &dyn std::fmt::Display) -> Self {
        tracing::error!(resource = wanted, error = %trouble, "REST request could not use the database");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, "The database cannot be used now")
    }

    /// There is nothing at `path`.
    #[must_use]
    pub fn not_found(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, format!("The requested resource {path} was not found"))
    }

    /// Wrong or no credentials.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, PERMISSION_DENIED, "Authenticate")
    }

    /// The resource does not have this method.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, METHOD_NOT_ALLOWED, "Method not allowed")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        if let Some(wait) = retry_after {
            // Whole seconds, and never too few (RFC 9110, section 10.2.3).
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 7617, section 2.1: the charset.
            let challenge = HeaderValue::from_static("Basic realm=\"touchtone\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
