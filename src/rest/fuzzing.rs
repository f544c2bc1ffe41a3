//! What [`crate::fuzzing`] reaches of this module: the forms' readers, without a server around them.

use std::sync::LazyLock;

use utoipa::PartialSchema;
use utoipa::openapi::{RefOr, Schema};

use super::calls;
use super::error::ApiError;
use super::payments::{self, CreateForm, UpdateForm};
use crate::call::Command;
use crate::flow::link::PlainHttp;
use crate::form::Form;

pub(crate) use super::error::BAD_BODY;
pub(crate) use super::fields::FormBody;
pub use super::payments::VALUE_MAX;

/// The parameters of the request that starts a payment.
pub static CREATE_PARAMETERS: LazyLock<Vec<String>> = LazyLock::new(described::<CreateForm>);

/// The parameters of the request that leads it.
pub static UPDATE_PARAMETERS: LazyLock<Vec<String>> = LazyLock::new(described::<UpdateForm>);

fn described<F: PartialSchema>() -> Vec<String> {
    match F::schema() {
        RefOr::T(Schema::Object(form)) => form.properties.into_keys().collect(),
        _ => Vec::new(),
    }
}

/// The parameters of a request that starts a payment, or leads it, as the call's machine is given them.
pub(crate) fn payment(starts: bool, FormBody(fields): FormBody) -> Result<Form, ApiError> {
    if starts { payments::read::<CreateForm>(fields) } else { payments::read::<UpdateForm>(fields) }
}

/// What an update of a call wants of it; none: a cancellation.
pub(crate) fn call(FormBody(fields): FormBody, plain_http: PlainHttp) -> Result<Option<Command>, ApiError> {
    calls::read(fields, plain_http)
}
