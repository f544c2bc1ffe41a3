//! The parameters of a request: those of a query, or of a form in the body.
//!
//! Shape:   a handler takes the parameters it knows by name; [`Fields::finish`] refuses what is left, by name: nothing is
//!          ignored silently.
//! Limits:  [`BODY_MAX`].
//! Errors:  [`ApiError`]. Names of parameters are told, their values never: a form may hold anything.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use form_urlencoded::parse;

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

    /// The parameter called `name`, which may stand once.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let Some(place) = self.0.iter().position(|(given, _)| given == name) else { return Ok(None) };
        let (_, value) = self.0.remove(place);
        if self.0.iter().any(|(given, _)| given == name) {
            return Err(ApiError::parameter(format!("The parameter {name} stands twice")));
        }
        Ok(Some(value))
    }

    /// All of them, if each is in `known`, stands once and has at most `longest` bytes.
    pub(super) fn take_all(mut self, known: &[&str], longest: usize) -> Result<Vec<(String, String)>, ApiError> {
        let mut taken = Vec::new();
        for name in known {
            if let Some(value) = self.take(name)? {
                if value.len() > longest {
                    return Err(ApiError::parameter(format!("{name} is longer than {longest} bytes")));
                }
                taken.push(((*name).to_owned(), value));
            }
        }
        self.finish(&[])?;
        Ok(taken)
    }

    /// Refuses what was not taken. `known` are the parameters that Twilio has here and this server has not.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), ApiError> {
        let Some((name, _)) = self.0.first() else { return Ok(()) };
        if known.contains(&name.as_str()) {
            let message = format!("The parameter {name} is not supported by this server");
            return Err(ApiError::parameter(message));
        }
        let shown: String = refused(name).chars().take(NAME_TOLD_MAX).collect();
        Err(ApiError::parameter(format!("There is no parameter {shown:?} here")))
    }
}

/// The parameters of the query.
pub(super) struct Query(pub(super) Fields);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Fields::read(parts.uri.query().unwrap_or_default().as_bytes()).map(Self)
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
    fn a_parameter_is_taken_once_and_the_rest_is_refused_by_name() {
        let mut query = Fields::of("StartTime%3E=2026-11-22&To=%2B1555&x=secret");
        assert_eq!(query.take("StartTime>").unwrap().as_deref(), Some("2026-11-22"));
        assert_eq!(query.take("To").unwrap().as_deref(), Some("+1555"));
        assert!(query.take("To").unwrap().is_none());
        let refused = query.finish(&[]).unwrap_err();
        assert!(refused.message.contains("\"x\"") && !refused.message.contains("secret"), "{}", refused.message);
        assert!(Fields::of("TimeLimit=9").finish(&["TimeLimit"]).unwrap_err().message.contains("not supported"));
        assert!(Fields::of("").finish(&[]).is_ok());
    }

    #[test]
    fn a_parameter_that_stands_twice_is_refused() {
        assert!(Fields::of("Status=completed&Status=canceled").take("Status").is_err());
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        assert!(Fields::read(b"Twiml=%FF").is_err());
        assert!(Fields::read("Twiml=%C3%9F".as_bytes()).is_ok());
    }
}
