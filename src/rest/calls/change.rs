//! What an update of a live call wants.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::super::error::{self, ApiError};
use super::super::fields::Fields;
use crate::flow::link::{LinkError, Origin, PlainHttp};
use crate::flow::{NextDocument, Redirection};
use crate::twiml::{self, Method};

/// What Twilio takes here too, and this server does not: it places no calls and sends no call status.
const UNSUPPORTED: &[&str] = &["FallbackUrl", "FallbackMethod", "StatusCallback", "StatusCallbackMethod", "TimeLimit"];

/// The form of an update: exactly one of `Twiml`, `Url` and `Status`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = UpdateCall)]
pub(super) enum UpdateForm {
    /// Go on with a document.
    Document(DocumentForm),
    /// Go on with the document that an address answers with.
    Address(AddressForm),
    /// End.
    End(EndForm),
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateCallWithTwiml)]
pub(super) struct DocumentForm {
    /// A TwiML document to go on with, at most 64 KiB.
    #[serde(rename = "Twiml")]
    #[schema(examples("<Response><Say>Please hold.</Say><Pause length=\"60\"/></Response>"))]
    twiml: String,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
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

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateCallWithStatus)]
pub(super) struct EndForm {
    /// `completed` ends the call. `canceled` ends calls that are queued or ringing, which calls here never are.
    #[serde(rename = "Status")]
    #[schema(inline)]
    status: EndStatus,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
enum AskedBy {
    Get,
    Post,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum EndStatus {
    Completed,
    Canceled,
}

/// What is wanted.
#[derive(Debug)]
pub(super) enum CallChange {
    /// Go on with another document.
    Redirect(Redirection),
    /// End.
    Complete,
    /// End, if it is queued or ringing.
    Cancel,
}

impl UpdateForm {
    /// Reads a form.
    pub(super) fn read(form: Fields) -> Result<Self, ApiError> {
        let has = |name| form.names().any(|given| given == name);
        match (has("Twiml"), has("Url"), has("Status")) {
            // A parameter here all the same: whoever sends it is not to look for a misspelt name.
            (_, false, _) if has("Method") => Err(ApiError::parameter("Method needs Url")),
            (true, false, false) => form.read_as(UNSUPPORTED).map(Self::Document),
            (false, true, false) => form.read_as(UNSUPPORTED).map(Self::Address),
            (false, false, true) => form.read_as(UNSUPPORTED).map(Self::End),
            _ => Err(ApiError::parameter("Exactly one of Twiml, Url and Status is needed")),
        }
    }
}

impl CallChange {
    /// What a form wants.
    pub(super) fn of(form: UpdateForm, plain_http: PlainHttp) -> Result<Self, ApiError> {
        match form {
            UpdateForm::Document(DocumentForm { twiml }) => {
                document(&twiml).map(|next| Self::Redirect(Redirection::Document(next, twiml)))
            }
            UpdateForm::Address(AddressForm { url, method }) => {
                let method = match method {
                    None | Some(AskedBy::Post) => Method::Post,
                    Some(AskedBy::Get) => Method::Get,
                };
                Ok(Self::Redirect(Redirection::Url(usable(&url, plain_http)?, method)))
            }
            UpdateForm::End(EndForm { status: EndStatus::Completed }) => Ok(Self::Complete),
            UpdateForm::End(EndForm { status: EndStatus::Canceled }) => Ok(Self::Cancel),
        }
    }
}

fn document(twiml: &str) -> Result<NextDocument, ApiError> {
    let document = twiml::parse(twiml)
        .map_err(|fault| ApiError::bad(error::UNREADABLE_DOCUMENT, format!("Document parse failure: {fault}")))?;
    // A document in a request has no address: its relative links name flows.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str) -> Result<CallChange, ApiError> {
        UpdateForm::read(Fields::of(form)).and_then(|form| CallChange::of(form, PlainHttp::Never))
    }

    #[test]
    fn exactly_one_thing_can_be_wanted() {
        assert!(matches!(read("Status=completed"), Ok(CallChange::Complete)));
        assert!(matches!(read("Status=canceled"), Ok(CallChange::Cancel)));
        assert!(matches!(
            read("Twiml=%3CResponse%2F%3E"),
            Ok(CallChange::Redirect(Redirection::Document(NextDocument { origin: Origin::Flow(_), .. }, _)))
        ));
        let asked = |form: &str| match read(form) {
            Ok(CallChange::Redirect(Redirection::Url(url, method))) => format!("{method} {url}"),
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
    fn a_method_without_an_address_is_told_from_a_misspelt_parameter() {
        for form in ["Method=GET", "Method=GET&Status=completed", "Twiml=%3CResponse%2F%3E&Method=GET"] {
            assert_eq!(read(form).unwrap_err().message, "Method needs Url", "{form}");
        }
        assert!(read("Metod=GET&Status=completed").unwrap_err().message.contains("\"Metod\""));
    }

    #[test]
    fn a_document_that_cannot_be_read_is_refused_with_the_place() {
        let refused = read("Twiml=%3CResponse%3E%0A%3CSay%3E").unwrap_err();
        assert!(refused.message.contains("2:"), "{}", refused.message);
    }
}
