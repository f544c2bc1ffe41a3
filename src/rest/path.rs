//! The ids in a path.

use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::http::request::Parts;

use super::error::ApiError;

/// The call of `/Accounts/{AccountSid}/Calls/{CallSid}.json`.
#[derive(Debug)]
pub(super) struct CallPath {
    /// The call's id.
    pub(super) sid: String,
    /// The path as it was asked for.
    path: String,
}

impl CallPath {
    /// There is no such call.
    pub(super) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.path)
    }
}

/// A call's payments, `/Accounts/{AccountSid}/Calls/{CallSid}/Payments.json`.
#[derive(Debug)]
pub(super) struct PaymentsPath {
    /// The call's id.
    pub(super) call: String,
    /// The path as it was asked for.
    pub(super) path: String,
}

impl PaymentsPath {
    /// There is no such call.
    pub(super) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.path)
    }
}

/// A payment, `/Accounts/{AccountSid}/Calls/{CallSid}/Payments/{Sid}.json`.
#[derive(Debug)]
pub(super) struct PaymentPath {
    /// The call's id.
    pub(super) call: String,
    /// The payment's id.
    pub(super) sid: String,
    /// The path as it was asked for.
    pub(super) path: String,
}

impl PaymentPath {
    /// There is no such payment.
    pub(super) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.path)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CallPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = asked_for(parts);
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((_, file))) => match without_suffix(&file) {
                Some(sid) => Ok(Self { sid, path }),
                None => Err(ApiError::not_found(&path)),
            },
            Err(_) => Err(ApiError::not_found(&path)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PaymentsPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = asked_for(parts);
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((_, call))) => Ok(Self { call, path }),
            Err(_) => Err(ApiError::not_found(&path)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PaymentPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = asked_for(parts);
        match Path::<(String, String, String)>::from_request_parts(parts, state).await {
            Ok(Path((_, call, file))) => match without_suffix(&file) {
                Some(sid) => Ok(Self { call, sid, path }),
                None => Err(ApiError::not_found(&path)),
            },
            Err(_) => Err(ApiError::not_found(&path)),
        }
    }
}

fn asked_for(parts: &Parts) -> String {
    parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri).path().to_owned()
}

/// The id in the last segment. Without the suffix Twilio answers with XML, which there is not here.
fn without_suffix(file: &str) -> Option<String> {
    file.strip_suffix(".json").map(str::to_owned)
}
