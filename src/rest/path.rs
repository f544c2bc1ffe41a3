//! What a path names.

use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::http::request::Parts;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use super::error::ApiError;

/// What a path names, and the path as it was asked for.
#[derive(Debug)]
pub(super) struct InPath<T> {
    /// What it names.
    pub(super) ids: T,
    /// The path as it was asked for.
    pub(super) path: String,
}

impl<T> InPath<T> {
    /// There is nothing of that name.
    pub(super) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.path)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri).path().to_owned();
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(ids)) => Ok(Self { ids, path }),
            // What cannot be a name, as one that is not UTF-8, is nobody's.
            Err(_) => Err(ApiError::not_found(&path)),
        }
    }
}

/// `/Accounts/{AccountSid}/Calls.json`
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct AccountPath {
    /// The account: this server has one.
    #[serde(rename = "AccountSid")]
    #[param(pattern = "^AC[0-9a-fA-F]{32}$")]
    pub(super) account: String,
}

/// `/Accounts/{AccountSid}/Calls/{CallSid}.json`
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct CallPath {
    /// The account: this server has one.
    #[serde(rename = "AccountSid")]
    #[param(pattern = "^AC[0-9a-fA-F]{32}$")]
    pub(super) account: String,
    /// The call's id, as its platform gave it.
    #[serde(rename = "CallSid", deserialize_with = "without_suffix")]
    #[param(min_length = 1, pattern = r"^[!-.0-\[\]-~]+$")]
    pub(super) call: String,
}

/// `/Accounts/{AccountSid}/Calls/{CallSid}/Payments.json`
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct PaymentsPath {
    /// The account: this server has one.
    #[serde(rename = "AccountSid")]
    #[param(pattern = "^AC[0-9a-fA-F]{32}$")]
    pub(super) account: String,
    /// The call's id, as its platform gave it.
    #[serde(rename = "CallSid")]
    #[param(min_length = 1, pattern = r"^[!-.0-\[\]-~]+$")]
    pub(super) call: String,
}

/// `/Accounts/{AccountSid}/Calls/{CallSid}/Payments/{Sid}.json`
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct PaymentPath {
    /// The account: this server has one.
    #[serde(rename = "AccountSid")]
    #[param(pattern = "^AC[0-9a-fA-F]{32}$")]
    pub(super) account: String,
    /// The call's id, as its platform gave it.
    #[serde(rename = "CallSid")]
    #[param(min_length = 1, pattern = r"^[!-.0-\[\]-~]+$")]
    pub(super) call: String,
    /// The payment's id.
    #[serde(rename = "Sid", deserialize_with = "without_suffix")]
    #[param(pattern = "^PK[0-9a-fA-F]{32}$")]
    pub(super) sid: String,
}

/// The id in the last segment. Without the suffix Twilio answers with XML, which there is not here.
fn without_suffix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let file = String::deserialize(deserializer)?;
    file.strip_suffix(".json").map(str::to_owned).ok_or_else(|| D::Error::custom("there is JSON only"))
}
