//! The Call resource: list, fetch, update a live call, delete a record.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::answers::{Unusable, WrongParameter};
use super::error::{self, ApiError};
use super::fields::{Fields, FormBody, Query};
use super::path::{AccountPath, CallPath, InPath};
use super::state::ApiState;
use crate::call::Command;
use crate::call::history::NotDeleted;
use crate::flow::link::PlainHttp;
use crate::store::BackendError;

mod change;
mod list;
mod view;

use change::{CallChange, UpdateForm};
use list::{CallListing, CallPage, Filters};
use view::CallView;
pub(super) use view::rfc_2822;

/// Calls
///
/// Those that are live and those that ended, newest first: of every server on the same database, over their restarts, until
/// they are deleted. One whose server stopped in the middle of it is `failed`; nobody knows when it ended.
#[utoipa::path(
    get,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls.json",
    operation_id = "ListCall",
    tag = "calls",
    params(AccountPath, Filters),
    responses(
        (status = 200, description = "A page of calls", body = CallPage),
        WrongParameter,
        AccountPath,
        Unusable,
    ),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    at: InPath<AccountPath>,
    query: Query<Filters>,
) -> Result<Json<CallPage>, ApiError> {
    let listing = CallListing::of(query);
    // What began or ended just now.
    state.store.flush().await.map_err(unusable)?;
    // Of a live call of its own this process knows most.
    let live = |sid: &str| state.directory.record(sid).filter(|record| record.ended.is_none());
    listing.page(&at.ids.account, state.store.backend(), live).await.map(Json).map_err(unusable)
}

/// A call
#[utoipa::path(
    get,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}.json",
    operation_id = "FetchCall",
    tag = "calls",
    params(CallPath),
    responses(
        (status = 200, description = "The call", body = CallView),
        CallPath,
        (status = 503, description = "The database cannot be used now, and the call is none of this process's", body = ApiError),
    ),
)]
pub(super) async fn fetch(State(state): State<ApiState>, at: InPath<CallPath>) -> Result<Json<CallView>, ApiError> {
    view(&state, &at).await.map(Json)
}

/// Redirect or end a live call
///
/// Exactly one of `Twiml`, `Url` and `Status` is needed.
#[utoipa::path(
    post,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}.json",
    operation_id = "UpdateCall",
    tag = "calls",
    params(CallPath),
    request_body(content = UpdateForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Done; the call as it is now", body = CallView),
        (status = 400, description = "A parameter is unknown or has a wrong value, or the call has ended", body = ApiError),
        CallPath,
        FormBody,
        (status = 429, description = "Too many requests are waiting for this call", body = ApiError),
        (status = 503, description = "The call does not answer; it may still do it. Or the database cannot be used now, and the call is none of this process's", body = ApiError),
    ),
)]
pub(super) async fn update(
    State(state): State<ApiState>,
    at: InPath<CallPath>,
    FormBody(form): FormBody,
) -> Result<Json<CallView>, ApiError> {
    // Whoever asks for a call that there is not learns that first.
    view(&state, &at).await?;
    let Some(command) = read(form, state.plain_http)? else {
        let message = "Call is neither queued nor ringing. Cannot cancel it.";
        return Err(ApiError::bad(error::INVALID_CALL_STATE, message));
    };
    let undone = match &command {
        Command::Redirect(_) => "Cannot redirect.",
        Command::Complete | Command::Payment(..) => "Cannot end it.",
    };
    state.directory.command(&at.ids.call, command).await.map_err(|failure| super::not_done(failure, undone))?;
    view(&state, &at).await.map(Json)
}

/// Delete the record of a call that ended
#[utoipa::path(
    delete,
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}.json",
    operation_id = "DeleteCall",
    tag = "calls",
    params(CallPath),
    responses(
        (status = 204, description = "Deleted"),
        CallPath,
        (status = 409, description = "The call is live", body = ApiError),
        Unusable,
    ),
)]
pub(super) async fn delete(State(state): State<ApiState>, at: InPath<CallPath>) -> Result<StatusCode, ApiError> {
    let call = &at.ids.call;
    let live = || {
        let message = "Cannot delete this resource before it is complete";
        ApiError::new(StatusCode::CONFLICT, error::NOT_COMPLETE, message)
    };
    if state.directory.record(call).is_some_and(|record| record.ended.is_none()) {
        return Err(live());
    }
    // Its end is written first: else it would come back with it.
    state.store.flush().await.map_err(unusable)?;
    let backend = state.store.backend();
    let row = match backend.delete_call(call).await {
        Ok(()) => Ok(()),
        Err(BackendError::NotFound) => Err(backend.call(call).await.map_err(unusable)?),
        Err(error) => return Err(unusable(error)),
    };
    match (row, state.directory.delete(call)) {
        // Of this process's calls one that is live again, of the others one that another server has.
        (_, Err(NotDeleted::Live)) | (Err(Some(_)), _) => Err(live()),
        (Err(None), Err(NotDeleted::Unknown)) => Err(at.not_found()),
        (Ok(()), _) | (Err(None), Ok(())) => Ok(StatusCode::NO_CONTENT),
    }
}

/// What an update wants of the call; none: that it is cancelled.
pub(super) fn read(form: Fields, plain_http: PlainHttp) -> Result<Option<Command>, ApiError> {
    Ok(match CallChange::of(UpdateForm::read(form)?, plain_http)? {
        CallChange::Redirect(redirection) => Some(Command::Redirect(redirection)),
        CallChange::Complete => Some(Command::Complete),
        CallChange::Cancel => None,
    })
}

async fn view(state: &ApiState, at: &InPath<CallPath>) -> Result<CallView, ApiError> {
    let CallPath { account, call } = &at.ids;
    // Of a call of its own this process knows most.
    if let Some(record) = state.directory.record(call) {
        return Ok(CallView::of(account, record));
    }
    let row = state.store.backend().call(call).await.map_err(unusable)?;
    row.map(|row| CallView::stored(account, row)).ok_or_else(|| at.not_found())
}

fn unusable(trouble: impl std::fmt::Display) -> ApiError {
    ApiError::database("calls", &trouble)
}
