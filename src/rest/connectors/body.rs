//! Keys of a connector in the body of a request.
//!
//! Secrets: a body holds credentials; no error quotes any of it.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{StatusCode, header};

use crate::connector::config::ConfigKeys;
use crate::rest::error::{self, ApiError};

/// The longest body, in bytes. Our choice: an instance has some hundred.
pub(super) const BODY_MAX: usize = 64 * 1024;

/// The keys in a body.
pub(in crate::rest) struct KeysBody(pub(super) ConfigKeys);

/// The keys in a body, if there is one.
pub(in crate::rest) struct SomeKeysBody(pub(super) ConfigKeys);

impl<S: Send + Sync> FromRequest<S> for KeysBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (is_json, body) = read(request, state).await?;
        keys(is_json, &body).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for SomeKeysBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (is_json, body) = read(request, state).await?;
        match body.trim_ascii() {
            b"" | b"null" => Ok(Self(ConfigKeys::default())),
            body => keys(is_json, body).map(Self),
        }
    }
}

async fn read<S: Send + Sync>(mut request: Request, state: &S) -> Result<(bool, Bytes), ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json");
    DefaultBodyLimit::max(BODY_MAX).apply(&mut request);
    let body = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("The body is longer than {BODY_MAX} bytes");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error::TOO_LONG, message)
        }
        _ => ApiError::bad(error::BAD_BODY, "The body broke off"),
    })?;
    Ok((is_json, body))
}

fn keys(is_json: bool, body: &[u8]) -> Result<ConfigKeys, ApiError> {
    if !is_json {
        let message = "The body must be JSON: Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error::NO_FORM, message));
    }
    ConfigKeys::from_json(body).map_err(|fault| ApiError::bad(error::BAD_BODY, fault.to_string()))
}
