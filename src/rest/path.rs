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

impl<S: Send + Sync> FromRequestParts<S> for CallPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri).path().to_owned();
        let segments = Path::<(String, String)>::from_request_parts(parts, state).await;
        let sid = segments.ok().and_then(|Path((_, file))| file.strip_suffix(".json").map(str::to_owned));
        match sid {
            Some(sid) => Ok(Self { sid, path }),
            // Without the suffix Twilio answers with XML, which there is not here.
            None => Err(ApiError::not_found(&path)),
        }
    }
}
