//! The readers of bytes from outside that are private to their modules: for the fuzz targets, and no part of what this crate
//! promises.
//!
//! Shape:   each function is the reader that the server uses, from the bytes on. What is public elsewhere
//!          (the readers of [`crate::connector::KINDS`], `Script::parse`, [`crate::replay::run`]) is not repeated here.

use std::path::Path;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, header};
use futures_util::FutureExt;

use crate::call::Command;
use crate::config::{Config, ConfigError};
use crate::flow::link::PlainHttp;
use crate::form::Form;
use crate::library::Library;
use crate::replay::{self, Script};
use crate::rest::error::ApiError;
use crate::rest::fuzzing as rest;

pub use crate::rest::fuzzing::{CREATE_PARAMETERS, UPDATE_PARAMETERS, VALUE_MAX};

/// A form of the Payments resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentForm {
    /// The one that starts a payment.
    Create,
    /// The one that leads it.
    Update,
}

/// Reads a configuration: the text of a file, then variables of the environment.
///
/// # Errors
/// As [`Config::load`].
pub fn configuration(text: &str, environment: &[(String, String)]) -> Result<Config, ConfigError> {
    Config::of(Some((Path::new("touchtone.toml"), text)), environment.iter().cloned())
}

/// Reads the body of a request about a payment into what the call's machine is given.
///
/// # Errors
/// The API's own.
pub fn payment_form(form: PaymentForm, content_type: Option<&str>, body: &[u8]) -> Result<Form, ApiError> {
    rest::payment(form == PaymentForm::Create, body_of(content_type, body)?)
}

/// Reads the body of a request that updates a call; none: a cancellation, which no call here can be in the state for.
///
/// # Errors
/// The API's own.
pub fn call_form(content_type: Option<&str>, body: &[u8], plain_http: PlainHttp) -> Result<Option<Command>, ApiError> {
    rest::call(body_of(content_type, body)?, plain_http)
}

/// The form of a request with this body, as a handler gets it.
fn body_of(content_type: Option<&str>, body: &[u8]) -> Result<rest::FormBody, ApiError> {
    let mut request = Request::new(Body::from(body.to_vec()));
    if let Some(value) = content_type.and_then(|text| HeaderValue::from_str(text).ok()) {
        request.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    // A body that is there already is read without waiting.
    let broken = || Err(ApiError::bad(rest::BAD_BODY, "the body is not there yet"));
    rest::FormBody::from_request(request, &()).now_or_never().unwrap_or_else(broken)
}

/// The text of a script with what happens in it as what is expected, as `replay --bless` writes it.
///
/// # Errors
/// It cannot be written so.
pub fn blessed(text: &str, script: &Script, library: &Library) -> Result<String, String> {
    replay::blessed(text, script, library)
}
