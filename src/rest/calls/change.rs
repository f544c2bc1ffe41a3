//! What an update of a live call wants.

use url::Url;
use utoipa::ToSchema;

use super::super::error::{self, ApiError};
use super::super::fields::Fields;
use crate::flow::link::{Origin, PlainHttp};
use crate::flow::{NextDocument, Redirection};
use crate::twiml::{self, Method};

/// What Twilio takes here too, and this server does not: it places no calls and sends no call status.
const UNSUPPORTED: &[&str] = &["FallbackUrl", "FallbackMethod", "StatusCallback", "StatusCallbackMethod", "TimeLimit"];

/// The form of an update, for the description only.
#[derive(ToSchema)]
#[schema(title = "UpdateCall")]
#[allow(dead_code, reason = "read by the description only")]
pub(super) struct UpdateForm {
    /// A TwiML document to go on with, at most 64 KiB.
    #[schema(rename = "Twiml")]
    twiml: Option<String>,
    /// Where to get a TwiML document to go on with: absolute, https (http where the configuration allows it).
    #[schema(rename = "Url", format = "uri")]
    url: Option<String>,
    /// How to ask `Url`. `POST` if it is not given.
    #[schema(rename = "Method")]
    method: Option<FormMethod>,
    /// `completed` ends the call. `canceled` ends calls that are queued or ringing, which calls here never are.
    #[schema(rename = "Status")]
    status: Option<FormStatus>,
}

/// For the description only.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the description only")]
enum FormMethod {
    #[schema(rename = "GET")]
    Get,
    #[schema(rename = "POST")]
    Post,
}

/// For the description only.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the description only")]
#[schema(rename_all = "lowercase")]
enum FormStatus {
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
            (Some(twiml), None, None) => document(&twiml).map(|next| Self::Redirect(Redirection::Document(next))),
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
    Origin::Flow(String::new())
        .resolve_url(url, plain_http)
        .map_err(|why| ApiError::bad(error::INVALID_URL, format!("Url is not a valid URL: {why}")))
}

fn asked_by(method: Option<&str>) -> Result<Method, ApiError> {
    match method {
        None | Some("POST") => Ok(Method::Post),
        Some("GET") => Ok(Method::Get),
        Some(_) => Err(ApiError::parameter("Method must be GET or POST")),
    }
}
