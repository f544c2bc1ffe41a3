//! The Payments subresource of a call: an agent starts a payment and leads it.
//!
//! Shape:   a request is handed to the call's machine, which reads and judges its parameters; here it gets its JSON, its dates,
//!          and is done once.
//! Limits:  [`VALUE_MAX`] bytes a parameter; those of [`crate::call::desk`].
//! Errors:  the machine's [`AgentError`], told as [`ApiError`].
//! Secrets: tokens are told to the status callback only.
//! Sources: spec/pay.md, section 8; twilio-python `rest/api/v2010/account/call/payment.py`. `GET` is this server's own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa::IntoParams;

use super::error::ApiError;
use super::fields::{Fields, FormBody, Query};
use super::path::{PaymentPath, PaymentsPath};
use super::state::ApiState;
use crate::call::desk::Request;
use crate::call::{Answer, Command, CommandError};
use crate::flow::AgentCommand;
use crate::form::Form;
use crate::pay::assisted::AgentError;

mod form;
mod view;

use form::{CreateForm, UpdateForm};
use view::{PaymentPage, PaymentState, PaymentView};

/// The longest value of a parameter, in bytes. Twilio takes URLs of 4000 characters.
pub const VALUE_MAX: usize = 8 * 1024;

/// The parameters of the request that starts a payment.
pub const CREATE_PARAMETERS: &[&str] = CreateForm::NAMES;
/// The parameters of the request that leads it.
pub const UPDATE_PARAMETERS: &[&str] = UpdateForm::NAMES;

/// What is not done on a call that has ended.
const UNDONE: &str = "Cannot take a payment.";

/// The ids in the path of a call's payments, for the description only.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "read by the description only")]
struct CallIds {
    /// The account: this server has one.
    #[param(rename = "AccountSid", pattern = "^AC[0-9a-fA-F]{32}$")]
    account_sid: String,
    /// The call's id, as its platform gave it.
    #[param(rename = "CallSid", min_length = 1, pattern = r"^[!-.0-\[\]-~]+$")]
    call_sid: String,
}

/// The ids in a payment's path, for the description only.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "read by the description only")]
struct PaymentIds {
    /// The account: this server has one.
    #[param(rename = "AccountSid", pattern = "^AC[0-9a-fA-F]{32}$")]
    account_sid: String,
    /// The call's id, as its platform gave it.
    #[param(rename = "CallSid", min_length = 1, pattern = r"^[!-.0-\[\]-~]+$")]
    call_sid: String,
    /// The payment's id.
    #[param(rename = "Sid", pattern = "^PK[0-9a-fA-F]{32}$")]
    sid: String,
}

/// Payments of a call
///
/// As they stand, in the order in which they began: those that an agent leads and those of the call's documents.
#[utoipa::path(
    get,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments.json",
    operation_id = "ListPayments",
    tag = "payments",
    params(CallIds),
    responses(
        (status = 200, description = "The payments", body = PaymentPage),
        (status = 400, description = "A parameter is unknown", body = ApiError),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 404, description = "There is no such call", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
    ),
    security(("account" = [])),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    call: PaymentsPath,
    Query(query): Query,
) -> Result<Json<PaymentPage>, ApiError> {
    let payments = state.directory.payments(&call.call).ok_or_else(|| call.not_found())?;
    query.finish(&[])?;
    Ok(Json(PaymentPage::of(&state.account.sid, &call.call, payments.iter())))
}

/// Start a payment on a live call
#[utoipa::path(
    post,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments.json",
    operation_id = "CreatePayments",
    tag = "payments",
    params(CallIds),
    request_body(content = CreateForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 201, description = "Started", body = PaymentView),
        (status = 400, description = "A parameter is missing, unknown or has a wrong value, or the call has ended", body = ApiError),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 404, description = "There is no such call", body = ApiError),
        (status = 409, description = "A payment is in progress on this call, or the IdempotencyKey was used for another request", body = ApiError),
        (status = 413, description = "The form is too long", body = ApiError),
        (status = 415, description = "The body is no form", body = ApiError),
        (status = 429, description = "Too many requests are waiting for this call, or too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
        (status = 500, description = "The connector could not be looked up", body = ApiError),
        (status = 503, description = "The call does not answer, and may still do it; or nothing can be written down now, and it is not done", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    call: PaymentsPath,
    FormBody(fields): FormBody,
) -> Result<Response, ApiError> {
    if state.directory.record(&call.call).is_none() {
        return Err(call.not_found());
    }
    let PaymentsPath { call: sid, path } = call;
    let wanted = Wanted::read(path, fields, CreateForm::NAMES)?;
    done_once(&state, sid, wanted, AgentCommand::Create, StatusCode::CREATED).await
}

/// A payment as it stands
#[utoipa::path(
    get,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments/{Sid}.json",
    operation_id = "FetchPayments",
    tag = "payments",
    params(PaymentIds),
    responses(
        (status = 200, description = "The payment", body = PaymentState),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 404, description = "There is no such payment", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
    ),
    security(("account" = [])),
)]
pub(super) async fn fetch(State(state): State<ApiState>, payment: PaymentPath) -> Result<Json<PaymentState>, ApiError> {
    let found = state.directory.payment(&payment.call, &payment.sid).ok_or_else(|| payment.not_found())?;
    Ok(Json(PaymentState::of(&state.account.sid, &payment.call, &found)))
}

/// Lead a payment: have a field keyed, complete or cancel it
#[utoipa::path(
    post,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments/{Sid}.json",
    operation_id = "UpdatePayments",
    tag = "payments",
    params(PaymentIds),
    request_body(content = UpdateForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Done, or begun: the status callback tells how it goes", body = PaymentView),
        (status = 400, description = "A parameter is missing, unknown or has a wrong value, a field is missing, or the call has ended", body = ApiError),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 404, description = "There is no such payment", body = ApiError),
        (status = 409, description = "Not possible as the payment stands, or the IdempotencyKey was used for another request", body = ApiError),
        (status = 413, description = "The form is too long", body = ApiError),
        (status = 415, description = "The body is no form", body = ApiError),
        (status = 429, description = "Too many requests are waiting for this call, or too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
        (status = 503, description = "The call does not answer; it may still do it", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn update(
    State(state): State<ApiState>,
    payment: PaymentPath,
    FormBody(fields): FormBody,
) -> Result<Response, ApiError> {
    if state.directory.payment(&payment.call, &payment.sid).is_none() {
        return Err(payment.not_found());
    }
    let PaymentPath { call, sid, path } = payment;
    let wanted = Wanted::read(path, fields, UpdateForm::NAMES)?;
    let command = move |form| AgentCommand::Update { sid, form };
    done_once(&state, call, wanted, command, StatusCode::OK).await
}

/// The parameters of a request as the call's machine is given them.
pub(super) fn read(fields: Fields, known: &[&str]) -> Result<Form, ApiError> {
    Wanted::read(String::new(), fields, known).map(|wanted| wanted.form)
}

/// A request to be done once.
struct Wanted {
    request: Request,
    form: Form,
}

impl Wanted {
    fn read(path: String, fields: Fields, known: &[&str]) -> Result<Self, ApiError> {
        let parameters = fields.take_all(known, VALUE_MAX)?;
        let key = parameters.iter().find(|(name, _)| name == "IdempotencyKey").map(|(_, value)| value.as_str());
        // Without a key the machine refuses it.
        let request = Request::new(&path, key.unwrap_or_default(), &parameters);
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
    Wanted { request, form }: Wanted,
    command: impl FnOnce(Form) -> AgentCommand,
    done: StatusCode,
) -> Result<Response, ApiError> {
    let command = command(form);
    let begins = matches!(command, AgentCommand::Create(_));
    match state.directory.command(&call, Command::Payment(command, request)).await {
        Ok(Answer::Payment(payment)) => {
            Ok((done, Json(PaymentView::of(&state.account.sid, &call, &payment))).into_response())
        }
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
