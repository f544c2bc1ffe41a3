//! The Call resource: list, fetch, update a live call, delete a record.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa::IntoParams;

use super::error::{self, ApiError};
use super::fields::{Fields, FormBody, Query};
use super::path::CallPath;
use super::state::ApiState;
use crate::call::Command;
use crate::call::history::NotDeleted;
use crate::flow::link::PlainHttp;
use crate::store::BackendError;

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
/// Those that are live and those that ended, newest first: of every server on the same database, over their restarts, until
/// they are deleted. One whose server stopped in the middle of it is `failed`; nobody knows when it ended.
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
        (status = 503, description = "The database cannot be used now", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn list(State(state): State<ApiState>, Query(query): Query) -> Result<Json<CallPage>, ApiError> {
    let listing = Listing::read(query)?;
    // What began or ended just now.
    state.store.flush().await.map_err(unusable)?;
    // Of a live call of its own this process knows most.
    let live = |sid: &str| state.directory.record(sid).filter(|record| record.ended.is_none());
    listing.page(&state.account.sid, state.store.backend(), live).await.map(Json).map_err(unusable)
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
        (status = 503, description = "The database cannot be used now, and the call is none of this process's", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn fetch(State(state): State<ApiState>, call: CallPath) -> Result<Json<CallView>, ApiError> {
    view(&state, &call).await.map(Json)
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
        (status = 503, description = "The call does not answer; it may still do it. Or the database cannot be used now, and the call is none of this process's", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn update(
    State(state): State<ApiState>,
    call: CallPath,
    FormBody(form): FormBody,
) -> Result<Json<CallView>, ApiError> {
    // Whoever asks for a call that there is not learns that first.
    view(&state, &call).await?;
    let Some(command) = read(form, state.plain_http)? else {
        let message = "Call is neither queued nor ringing. Cannot cancel it.";
        return Err(ApiError::bad(error::INVALID_CALL_STATE, message));
    };
    let undone = match &command {
        Command::Redirect(_) => "Cannot redirect.",
        Command::Complete | Command::Payment(..) => "Cannot end it.",
    };
    state.directory.command(&call.sid, command).await.map_err(|failure| super::not_done(failure, undone))?;
    view(&state, &call).await.map(Json)
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
        (status = 503, description = "The database cannot be used now", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn delete(State(state): State<ApiState>, call: CallPath) -> Result<StatusCode, ApiError> {
    let live = || {
        let message = "Cannot delete this resource before it is complete";
        ApiError::new(StatusCode::CONFLICT, error::NOT_COMPLETE, message)
    };
    if state.directory.record(&call.sid).is_some_and(|record| record.ended.is_none()) {
        return Err(live());
    }
    // Its end is written first: else it would come back with it.
    state.store.flush().await.map_err(unusable)?;
    let books = state.store.backend();
    let row = match books.delete_call(&call.sid).await {
        Ok(()) => Ok(()),
        Err(BackendError::NotFound) => Err(books.call(&call.sid).await.map_err(unusable)?),
        Err(error) => return Err(unusable(error)),
    };
    match (row, state.directory.delete(&call.sid)) {
        // Of this process's calls one that is live again, of the others one that another server has.
        (_, Err(NotDeleted::Live)) | (Err(Some(_)), _) => Err(live()),
        (Err(None), Err(NotDeleted::Unknown)) => Err(call.not_found()),
        (Ok(()), _) | (Err(None), Ok(())) => Ok(StatusCode::NO_CONTENT),
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

async fn view(state: &ApiState, call: &CallPath) -> Result<CallView, ApiError> {
    let account_sid = &state.account.sid;
    // Of a call of its own this process knows most.
    if let Some(record) = state.directory.record(&call.sid) {
        return Ok(CallView::of(account_sid, &record));
    }
    let row = state.store.backend().call(&call.sid).await.map_err(unusable)?;
    row.map(|row| CallView::stored(account_sid, row)).ok_or_else(|| call.not_found())
}

fn unusable(error: impl std::fmt::Display) -> ApiError {
    tracing::error!(%error, "the calls cannot be read");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error::UNAVAILABLE, "The database cannot be used now")
}
