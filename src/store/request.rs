//! One request to the merchant's application: what is stored, and what is sent.
//!
//! Secrets: a form masks its own, cookies are shown to nobody; both are sealed before they are stored.

use crate::form::Form;
use crate::http::Jar;
use crate::twiml::Method;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackKind {
    /// A document: the first one, or a `<Redirect>`.
    Document,
    /// The `action` of a verb.
    Action,
    /// A `statusCallback`.
    Status,
    /// `error_url`.
    ErrorNotice,
}

impl CallbackKind {
    /// The word in metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Action => "action",
            Self::Status => "status",
            Self::ErrorNotice => "error",
        }
    }
}

/// One request to the application.
#[derive(Clone, Debug)]
pub struct CallbackRequest {
    /// What it is for.
    pub kind: CallbackKind,
    /// POST with the fields in the body, or GET with the fields in the query.
    pub method: Method,
    /// An absolute URL.
    pub url: String,
    /// The fields.
    pub form: Form,
    /// The cookies that go with it: the call's own jar where the call makes the request, what that had where it is queued.
    pub cookies: Jar,
}
