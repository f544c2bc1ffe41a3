//! The parameters of a request: those of a query, or of a form in the body.
//!
//! Shape:   the extractors read texts, `parameters` makes of them what a handler knows: nothing is ignored silently.
//! Limits:  [`BODY_MAX`].
//! Errors:  [`ApiError`]. Names of parameters are told, their values never: a form may hold anything.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use form_urlencoded::parse;
use serde::de::DeserializeOwned;

use super::error::{self, ApiError};
use crate::mask::refused;
use crate::twiml;

/// The longest form that is read, in bytes: the longest document there can be, every byte of it percent-encoded, and room
/// for the rest.
pub(super) const BODY_MAX: usize = 3 * twiml::SIZE_MAX + 16 * 1024;

/// The longest name of a parameter that an error repeats, in characters.
const NAME_TOLD_MAX: usize = 40;

/// Parameters by name.
#[derive(Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The parameters of `encoded`, as a test writes them.
    #[cfg(test)]
    pub(super) fn of(encoded: &str) -> Self {
        Self::read(encoded.as_bytes()).unwrap_or_default()
    }

    fn read(encoded: &[u8]) -> Result<Self, ApiError> {
        let fields: Vec<(String, String)> = parse(encoded).into_owned().collect();
        let replaced = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
        // What is not UTF-8 has become replacement characters. One that was sent as such is as little use.
        if fields.iter().any(|(name, value)| replaced(name) || replaced(value)) {
            return Err(ApiError::bad(error::BAD_BODY, "The parameters are not UTF-8"));
        }
        Ok(Self(fields))
    }

    /// What they are called, in the order in which they came.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Names and values, in the order in which they came.
    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// Refuses a value of more than `longest` bytes.
    pub(super) fn limit(&self, longest: usize) -> Result<(), ApiError> {
        match self.0.iter().find(|(_, value)| value.len() > longest) {
            Some((name, _)) => Err(ApiError::parameter(format!("{} is longer than {longest} bytes", shown(name)))),
            None => Ok(()),
        }
    }
}

/// A name as an error repeats it.
fn shown(name: &str) -> String {
    refused(name).chars().take(NAME_TOLD_MAX).collect()
}

/// There is no parameter of this name.
pub(super) fn no_such(name: &str) -> String {
    format!("There is no parameter {:?} here", shown(name))
}

/// Twilio has this parameter here, and this server has not.
pub(super) fn unsupported(name: &str) -> ApiError {
    ApiError::parameter(format!("The parameter {name} is not supported by this server"))
}

/// The parameters of the query: what they say, and as they were given.
#[derive(Debug)]
pub(super) struct Query<T> {
    pub(super) parameters: T,
    pub(super) given: Vec<(String, String)>,
}

impl<T: DeserializeOwned> Query<T> {
    /// Reads the query of an address.
    pub(super) fn read(encoded: &str) -> Result<Self, ApiError> {
        let fields = Fields::read(encoded.as_bytes())?;
        let given = fields.0.clone();
        Ok(Self { parameters: fields.read_as(&[])?, given })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

/// The parameters of the form in the body.
pub(crate) struct FormBody(pub(super) Fields);

impl<S: Send + Sync> FromRequest<S> for FormBody {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?").to_owned());
        DefaultBodyLimit::max(BODY_MAX).apply(&mut request);
        let body = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let message = format!("The body is longer than {BODY_MAX} bytes");
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error::TOO_LONG, message)
            }
            _ => ApiError::bad(error::BAD_BODY, "The body broke off"),
        })?;
        let is_form = match &kind {
            Some(kind) => {
                let essence = kind.split(';').next().unwrap_or_default().trim();
                essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
            }
            None => body.is_empty(),
        };
        if !is_form {
            let message = "The body must be a form: Content-Type: application/x-www-form-urlencoded";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error::NO_FORM, message));
        }
        Fields::read(&body).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf_8_is_refused() {
        assert!(Fields::read(b"Twiml=%FF").is_err());
        assert!(Fields::read("Twiml=%C3%9F".as_bytes()).is_ok());
    }
}
