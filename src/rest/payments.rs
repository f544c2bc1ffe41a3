//! The Payments subresource of a call: an agent starts a payment and leads it.
//!
//! Shape:   a request is handed to the call's machine, which reads and judges its parameters; here it gets its JSON, its dates,
//!          and is done once.
//! Limits:  [`VALUE_MAX`] bytes a parameter; those of [`crate::call::idempotency`].
//! Errors:  the machine's [`AgentError`], told as [`ApiError`].
//! Secrets: tokens are told to the status callback only.
//! Sources: spec/pay.md, section 8; twilio-python `rest/api/v2010/account/call/payment.py`. `GET` is this server's own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answers::UnknownParameter;
use super::error::ApiError;
use super::fields::{Fields, FormBody, Query};
use super::parameters::NoParameters;
use super::path::{InPath, PaymentPath, PaymentsPath};
use super::state::ApiState;
use crate::call::idempotency::IdempotentRequest;
use crate::call::{Answer, Command, CommandError};
use crate::flow::AgentCommand;
use crate::form::Form;
use crate::pay::assisted::AgentError;

mod form;
mod view;

use form::told;
pub(super) use form::{CreateForm, UpdateForm};
use view::{PaymentPage, PaymentState, PaymentView};

/// The longest value of a parameter, in bytes. Twilio takes URLs of 4000 characters.
pub const VALUE_MAX: usize = 8 * 1024;

/// What is not done on a call that has ended.
const UNDONE: &str = "Cannot take a payment.";

/// Payments of a call
///
/// As they stand, in the order in which they began: those that an agent leads and those of the call's documents.
#[utoipa::path(
    get,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments.json",
    operation_id = "ListPayments",
    tag = "payments",
    params(PaymentsPath),
    responses(
        (status = 200, description = "The payments", body = PaymentPage),
        UnknownParameter,
        PaymentsPath,
    ),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    at: InPath<PaymentsPath>,
    _: Query<NoParameters>,
) -> Result<Json<PaymentPage>, ApiError> {
    let PaymentsPath { account, call } = &at.ids;
    let payments = state.directory.payments(call).ok_or_else(|| at.not_found())?;
    Ok(Json(PaymentPage::of(account, call, payments)))
}

/// Start a payment on a live call
#[utoipa::path(
    post,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments.json",
    operation_id = "CreatePayments",
    tag = "payments",
    params(PaymentsPath),
    request_body(content = CreateForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 201, description = "Started", body = PaymentView),
        (status = 400, description = "A parameter is missing, unknown or has a wrong value, or the call has ended", body = ApiError),
        PaymentsPath,
        (status = 409, description = "A payment is in progress on this call, or the IdempotencyKey was used for another request", body = ApiError),
        FormBody,
        (status = 429, description = "Too many requests are waiting for this call", body = ApiError),
        (status = 500, description = "The connector could not be looked up", body = ApiError),
        (status = 503, description = "The call does not answer, and may still do it; or nothing can be written down now, and it is not done", body = ApiError),
    ),
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    at: InPath<PaymentsPath>,
    FormBody(fields): FormBody,
) -> Result<Response, ApiError> {
    if state.directory.record(&at.ids.call).is_none() {
        return Err(at.not_found());
    }
    let wanted = Wanted::read::<CreateForm>(&at.path, fields)?;
    done_once(&state, at.ids.call, wanted, AgentCommand::Create, StatusCode::CREATED).await
}

/// A payment as it stands
#[utoipa::path(
    get,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments/{Sid}.json",
    operation_id = "FetchPayments",
    tag = "payments",
    params(PaymentPath),
    responses(
        (status = 200, description = "The payment", body = PaymentState),
        PaymentPath,
    ),
)]
pub(super) async fn fetch(
    State(state): State<ApiState>,
    at: InPath<PaymentPath>,
) -> Result<Json<PaymentState>, ApiError> {
    let PaymentPath { account, call, sid } = &at.ids;
    let found = state.directory.payment(call, sid).ok_or_else(|| at.not_found())?;
    Ok(Json(PaymentState::of(account, call, found)))
}

/// Lead a payment: have a field keyed, complete or cancel it
#[utoipa::path(
    post,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments/{Sid}.json",
    operation_id = "UpdatePayments",
    tag = "payments",
    params(PaymentPath),
    request_body(content = UpdateForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Done, or begun: the status callback tells how it goes", body = PaymentView),
        (status = 400, description = "A parameter is missing, unknown or has a wrong value, a field is missing, or the call has ended", body = ApiError),
        PaymentPath,
        (status = 409, description = "Not possible as the payment stands, or the IdempotencyKey was used for another request", body = ApiError),
        FormBody,
        (status = 429, description = "Too many requests are waiting for this call", body = ApiError),
        (status = 503, description = "The call does not answer; it may still do it", body = ApiError),
    ),
)]
pub(super) async fn update(
    State(state): State<ApiState>,
    at: InPath<PaymentPath>,
    FormBody(fields): FormBody,
) -> Result<Response, ApiError> {
    if state.directory.payment(&at.ids.call, &at.ids.sid).is_none() {
        return Err(at.not_found());
    }
    let wanted = Wanted::read::<UpdateForm>(&at.path, fields)?;
    let PaymentPath { call, sid, .. } = at.ids;
    let command = move |form| AgentCommand::Update { sid, form };
    done_once(&state, call, wanted, command, StatusCode::OK).await
}

/// The parameters of a request as the call's machine is given them.
pub(super) fn read<F: DeserializeOwned + Serialize>(fields: Fields) -> Result<Form, ApiError> {
    Wanted::read::<F>("", fields).map(|wanted| wanted.form)
}

/// A request to be done once.
struct Wanted {
    request: IdempotentRequest,
    form: Form,
}

impl Wanted {
    /// Reads the parameters that an `F` has: the machine judges what they say.
    fn read<F: DeserializeOwned + Serialize>(path: &str, fields: Fields) -> Result<Self, ApiError> {
        fields.limit(VALUE_MAX)?;
        let parameters = told(&fields.read_as::<F>(&[])?);
        let key = parameters.iter().find(|(name, _)| name == "IdempotencyKey").map(|(_, value)| value.as_str());
        // Without a key the machine refuses it.
        let request = IdempotentRequest::new(path, key.unwrap_or_default(), &parameters);
        let mut form = Form::new();
        for (name, value) in parameters {
            form.set(name, value);
        }
        Ok(Self { request, form })
    }
}

/// Has the call do what is wanted, unless it has done so already.
async fn done_once(
    state: &ApiState,
    call: String,
    wanted: Wanted,
    command: impl FnOnce(Form) -> AgentCommand,
    done: StatusCode,
) -> Result<Response, ApiError> {
    let Wanted { request, form } = wanted;
    let command = command(form);
    let begins = matches!(command, AgentCommand::Create(_));
    match state.directory.command(&call, Command::Payment(command, request)).await {
        Ok(Answer::Payment(payment)) => {
            Ok((done, Json(PaymentView::of(&state.account.sid, &call, &payment))).into_response())
        }
        // A payment's command is answered with a payment alone.
        Ok(Answer::Done) => Err(super::not_done(CommandError::Broken, UNDONE)),
        Err(CommandError::NotLive) => Err(over(begins)),
        Err(failure) => Err(super::not_done(failure, UNDONE)),
    }
}

/// The call is over, and with it every payment that an agent led on it.
fn over(begins: bool) -> ApiError {
    if begins {
        super::not_done(CommandError::NotLive, UNDONE)
    } else {
        let AgentError { code, message, .. } = AgentError::operation("this payment takes no update: it is over");
        ApiError::new(StatusCode::CONFLICT, code, message)
    }
}
