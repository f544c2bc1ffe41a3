//! What [`crate::fuzzing`] reaches of this room: the forms' readers, without a server around them.

use super::calls;
use super::error::ApiError;
use super::payments;
use crate::call::Command;
use crate::flow::link::PlainHttp;
use crate::form::Form;

pub(crate) use super::error::BAD_BODY;
pub(crate) use super::fields::FormBody;
pub use super::payments::{CREATE_PARAMETERS, UPDATE_PARAMETERS, VALUE_MAX};

/// The parameters of a request that starts a payment, or leads it, as the call's machine is given them.
pub(crate) fn payment(starts: bool, FormBody(fields): FormBody) -> Result<Form, ApiError> {
    payments::read(fields, if starts { CREATE_PARAMETERS } else { UPDATE_PARAMETERS })
}

/// What an update of a call wants of it; none: a cancellation.
pub(crate) fn call(FormBody(fields): FormBody, plain_http: PlainHttp) -> Result<Option<Command>, ApiError> {
    calls::read(fields, plain_http)
}
