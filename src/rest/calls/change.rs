//! What an update of a live call wants.

use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use super::super::error::{self, ApiError};
use super::super::fields::Fields;
use crate::flow::link::{LinkError, Origin, PlainHttp};
use crate::flow::{NextDocument, Redirection};
use crate::twiml::{self, Method};

/// What Twilio takes here too, and this server does not: it places no calls and sends no call status.
const UNSUPPORTED: &[&str] = &["FallbackUrl", "FallbackMethod", "StatusCallback", "StatusCallbackMethod", "TimeLimit"];

/// The form of an update, for the description only: exactly one of `Twiml`, `Url` and `Status`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = UpdateCall)]
#[allow(dead_code, reason = "read by the description only")]
pub(super) enum UpdateForm {
    /// Go on with a document.
    Document(DocumentForm),
    /// Go on with the document that an address answers with.
    Address(AddressForm),
    /// End.
    End(EndForm),
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateCallWithTwiml)]
pub(super) struct DocumentForm {
    /// A TwiML document to go on with, at most 64 KiB.
    #[serde(rename = "Twiml")]
    #[schema(examples("<Response><Say>Please hold.</Say><Pause length=\"60\"/></Response>"))]
    twiml: String,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateCallWithUrl)]
pub(super) struct AddressForm {
    /// Where to get a TwiML document to go on with: absolute, https (http where the configuration allows it).
    #[serde(rename = "Url")]
    #[schema(format = "uri", examples("https://example.com/hold"))]
    url: String,
    /// How to ask `Url`; `POST` if it is not given.
    #[serde(rename = "Method", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, inline)]
    method: Option<AskedBy>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateCallWithStatus)]
pub(super) struct EndForm {
    /// `completed` ends the call. `canceled` ends calls that are queued or ringing, which calls here never are.
    #[serde(rename = "Status")]
    #[schema(inline)]
    status: EndStatus,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(dead_code, reason = "read by the description only")]
enum AskedBy {
    Get,
    Post,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "read by the description only")]
enum EndStatus {
    Completed,
    Canceled,
}

/// What is wanted.
#[derive(Debug)]
pub(super) enum Change {
    /// Go on with another document.
    Redirect(Redirection),
    /// End.
    Complete,
    /// End, if it is queued or ringing.
    Cancel,
}

impl Change {
    /// Reads a form.
    pub(super) fn read(mut form: Fields, plain_http: PlainHttp) -> Result<Self, ApiError> {
        let (twiml, url) = (form.take("Twiml")?, form.take("Url")?);
        let (method, status) = (form.take("Method")?, form.take("Status")?);
        form.finish(UNSUPPORTED)?;
        if method.is_some() && url.is_none() {
            return Err(ApiError::parameter("Method needs Url"));
        }
        match (twiml, url, status) {
            (Some(twiml), None, None) => {
                document(&twiml).map(|next| Self::Redirect(Redirection::Document(next, twiml)))
            }
            (None, Some(url), None) => {
                let url = usable(&url, plain_http)?;
                Ok(Self::Redirect(Redirection::Url(url, asked_by(method.as_deref())?)))
            }
            (None, None, Some(status)) => match status.as_str() {
                "completed" => Ok(Self::Complete),
                "canceled" => Ok(Self::Cancel),
                _ => Err(ApiError::parameter("Status must be completed or canceled")),
            },
            _ => Err(ApiError::parameter("Exactly one of Twiml, Url and Status is needed")),
        }
    }
}

fn document(twiml: &str) -> Result<NextDocument, ApiError> {
    let document = twiml::parse(twiml)
        .map_err(|fault| ApiError::bad(error::UNREADABLE_DOCUMENT, format!("Document parse failure: {fault}")))?;
    Ok(NextDocument { document, origin: Origin::Flow(String::new()) })
}

fn usable(url: &str, plain_http: PlainHttp) -> Result<Url, ApiError> {
    Origin::Flow(String::new()).resolve_url(url, plain_http).map_err(|why| {
        let why = match why {
            LinkError::NotAbsolute => "it must be absolute".to_owned(),
            why => why.to_string(),
        };
        ApiError::bad(error::INVALID_URL, format!("Url is not a valid URL: {why}"))
    })
}

fn asked_by(method: Option<&str>) -> Result<Method, ApiError> {
    match method {
        None | Some("POST") => Ok(Method::Post),
        Some("GET") => Ok(Method::Get),
        Some(_) => Err(ApiError::parameter("Method must be GET or POST")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str) -> Result<Change, ApiError> {
        Change::read(Fields::of(form), PlainHttp::Never)
    }

    #[test]
    fn exactly_one_thing_can_be_wanted() {
        assert!(matches!(read("Status=completed"), Ok(Change::Complete)));
        assert!(matches!(read("Status=canceled"), Ok(Change::Cancel)));
        assert!(matches!(
            read("Twiml=%3CResponse%2F%3E"),
            Ok(Change::Redirect(Redirection::Document(NextDocument { origin: Origin::Flow(_), .. }, _)))
        ));
        let asked = |form: &str| match read(form) {
            Ok(Change::Redirect(Redirection::Url(url, method))) => format!("{method} {url}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(asked("Url=https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc"), "POST https://example.com/a?b=c");
        assert_eq!(asked("Url=https%3A%2F%2Fexample.com%2F&Method=GET"), "GET https://example.com/");
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_twilio_s_code() {
        for (form, code) in [
            ("", 20001),
            ("Status=completed&Url=https%3A%2F%2Fexample.com", 20001),
            ("Status=busy", 20001),
            ("Method=GET&Status=completed", 20001),
            ("Url=https%3A%2F%2Fexample.com&Method=PUT", 20001),
            ("Url=https%3A%2F%2Fexample.com&TimeLimit=10", 20001),
            ("Url=http%3A%2F%2Fexample.com", 21205),
            ("Url=thanks", 21205),
            ("Url=", 21205),
            ("Url=file%3A%2F%2F%2Fetc%2Fpasswd", 21205),
            ("Twiml=%3CResponse%3E", 12100),
            ("Twiml=", 12100),
        ] {
            let refused = read(form).unwrap_err();
            assert_eq!((refused.code, refused.status), (code, 400), "{form}: {}", refused.message);
        }
    }

    #[test]
    fn a_document_that_cannot_be_read_is_refused_with_the_place() {
        let refused = read("Twiml=%3CResponse%3E%0A%3CSay%3E").unwrap_err();
        assert!(refused.message.contains("2:"), "{}", refused.message);
    }
}
