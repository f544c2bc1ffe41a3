//! The Call resource: list, fetch, update a live call, delete a record.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa::IntoParams;

use super::error::{self, ApiError};
use super::fields::{Fields, FormBody, Query};
use super::path::CallPath;
use crate::call::history::NotDeleted;
use crate::call::{Command, House};
use crate::flow::link::PlainHttp;

mod change;
mod list;
mod view;

use change::Change;
use list::{CallPage, Listing};
use view::CallView;
pub(super) use view::rfc_2822;

/// The ids in a call's path, for the description only.
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

/// Calls
///
/// Those that are live, and those that ended within 24 hours (the last 10,000 of them), newest first.
#[utoipa::path(
    get,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls.json",
    operation_id = "ListCall",
    tag = "calls",
    params(
        ("AccountSid" = String, Path, pattern = "^AC[0-9a-fA-F]{32}$", description = "The account: this server has one."),
        list::Filters,
    ),
    responses(
        (status = 200, description = "A page of calls", body = CallPage),
        (status = 400, description = "A parameter is unknown or has a wrong value", body = ApiError),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 404, description = "Not this account", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
    ),
    security(("account" = [])),
)]
pub(super) async fn list(State(house): State<Arc<House>>, Query(query): Query) -> Result<Json<CallPage>, ApiError> {
    let listing = Listing::read(query)?;
    Ok(Json(house.calls.read(|history| listing.page(&house.account.sid, history))))
}

/// A call
#[utoipa::path(
    get,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}.json",
    operation_id = "FetchCall",
    tag = "calls",
    params(CallIds),
    responses(
        (status = 200, description = "The call", body = CallView),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 404, description = "There is no such call", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
    ),
    security(("account" = [])),
)]
pub(super) async fn fetch(State(house): State<Arc<House>>, call: CallPath) -> Result<Json<CallView>, ApiError> {
    view(&house, &call).map(Json)
}

/// Redirect or end a live call
///
/// Exactly one of `Twiml`, `Url` and `Status` is needed.
#[utoipa::path(
    post,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}.json",
    operation_id = "UpdateCall",
    tag = "calls",
    params(CallIds),
    request_body(content = change::UpdateForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Done; the call as it is now", body = CallView),
        (status = 400, description = "A parameter is unknown or has a wrong value, or the call has ended", body = ApiError),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 404, description = "There is no such call", body = ApiError),
        (status = 413, description = "The form is too long", body = ApiError),
        (status = 415, description = "The body is no form", body = ApiError),
        (status = 429, description = "Too many requests are waiting for this call, or too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
        (status = 503, description = "The call does not answer; it may still do it", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn update(
    State(house): State<Arc<House>>,
    call: CallPath,
    FormBody(form): FormBody,
) -> Result<Json<CallView>, ApiError> {
    // Whoever asks for a call that there is not learns that first.
    view(&house, &call)?;
    let Some(command) = read(form, house.plain_http)? else {
        let message = "Call is neither queued nor ringing. Cannot cancel it.";
        return Err(ApiError::bad(error::INVALID_CALL_STATE, message));
    };
    let undone = match &command {
        Command::Redirect(_) => "Cannot redirect.",
        Command::Complete => "Cannot end it.",
    };
    house.calls.command(&call.sid, command).await.map_err(|failure| super::not_done(failure, undone))?;
    view(&house, &call).map(Json)
}

/// Delete the record of a call that ended
#[utoipa::path(
    delete,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}.json",
    operation_id = "DeleteCall",
    tag = "calls",
    params(CallIds),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 404, description = "There is no such call", body = ApiError),
        (status = 409, description = "The call is live", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
    ),
    security(("account" = [])),
)]
pub(super) async fn delete(State(house): State<Arc<House>>, call: CallPath) -> Result<StatusCode, ApiError> {
    match house.calls.delete(&call.sid) {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(NotDeleted::Unknown) => Err(call.not_found()),
        Err(NotDeleted::Live) => {
            let message = "Cannot delete this resource before it is complete";
            Err(ApiError::new(StatusCode::CONFLICT, error::NOT_COMPLETE, message))
        }
    }
}

/// What an update wants of the call; none: that it is cancelled.
pub(super) fn read(form: Fields, plain_http: PlainHttp) -> Result<Option<Command>, ApiError> {
    Ok(match Change::read(form, plain_http)? {
        Change::Redirect(redirection) => Some(Command::Redirect(redirection)),
        Change::Complete => Some(Command::Complete),
        Change::Cancel => None,
    })
}

fn view(house: &House, call: &CallPath) -> Result<CallView, ApiError> {
    let record = house.calls.record(&call.sid).ok_or_else(|| call.not_found())?;
    Ok(CallView::of(&house.account.sid, &record))
}
