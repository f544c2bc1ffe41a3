//! Pay Connectors over REST: list, create, read, change, take live, remove.
//!
//! Shape:   JSON in and out; what is done is the [`Shelf`]'s, and this server's calls see it before the answer leaves.
//! Limits:  [`body::BODY_MAX`].
//! Errors:  [`ApiError`], as everywhere here.
//! Secrets: they come in and never go out: an [`Instance`] says which are set.
//! Sources: spec/interface.md, "HTTP".

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::acting::Acting;
use super::error::{self, ApiError};
use super::fields::Query;
use super::state::ApiState;
use crate::connector::config::ConnectorConfigError;
use crate::connector::instance::Instance;
use crate::connector::{KINDS, Replace, Shelf, ShelfError};

mod body;
mod form;

use body::{KeysBody, SomeKeysBody};
use form::{ConnectorKeys, NewConnector};

/// Every instance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connectors)]
pub(super) struct ConnectorList {
    /// By name.
    connectors: Vec<Instance>,
}

/// The name in a path, for the description only.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "read by the description only")]
struct ConnectorName {
    /// The instance's unique name.
    #[param(min_length = 1, max_length = 64, pattern = r"^[A-Za-z0-9_][^/]*$")]
    name: String,
}

/// Pay Connectors
///
/// Those configured and those stored, by name; the sandbox that stands in where there never was one.
#[utoipa::path(
    get,
    path = "/v1/connectors",
    operation_id = "ListConnectors",
    tag = "connectors",
    responses(
        (status = 200, description = "The connectors", body = ConnectorList),
        (status = 400, description = "A parameter is unknown", body = ApiError),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
        (status = 503, description = "The database cannot be used now", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    acting: Acting,
    Query(query): Query,
) -> Result<Json<ConnectorList>, ApiError> {
    query.finish(&[])?;
    Ok(Json(ConnectorList { connectors: shelf(&state, &acting).list().await? }))
}

/// Store a Pay Connector
///
/// The keys are those of `[[connector]]` in the configuration. Calls can use it from the answer on.
#[utoipa::path(
    post,
    path = "/v1/connectors",
    operation_id = "CreateConnector",
    tag = "connectors",
    params(("replace" = Option<bool>, Query, description = "Whether it may take a name that was live with another address")),
    request_body(content = NewConnector, content_type = "application/json"),
    responses(
        (status = 201, description = "Stored", body = Instance, headers(("Location" = String, description = "Where it is"))),
        (status = 400, description = "A key is missing, unknown or has a wrong value", body = ApiError),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 409, description = "There is one of that name, stored or configured; or the name was live with another address; or it is a sandbox in mode live on a public server", body = ApiError),
        (status = 413, description = "The body is too long", body = ApiError),
        (status = 415, description = "The body is not JSON", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
        (status = 503, description = "The database cannot be used now", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    acting: Acting,
    Query(mut query): Query,
    KeysBody(keys): KeysBody,
) -> Result<Response, ApiError> {
    let replace = match query.take("replace")?.as_deref() {
        None | Some("false") => Replace::No,
        Some("true") => Replace::Yes,
        Some(_) => return Err(ApiError::parameter("The parameter replace is true or false".to_owned())),
    };
    query.finish(&[])?;
    let instance = shelf(&state, &acting).add(keys, replace, state.wall.now()).await?;
    // A name has no letter that a path segment could not carry encoded.
    let name: String =
        form_urlencoded::byte_serialize(instance.name.as_bytes()).collect::<String>().replace('+', "%20");
    let location = HeaderValue::from_str(&format!("/v1/connectors/{name}"));
    let mut response = (StatusCode::CREATED, Json(instance)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A Pay Connector
#[utoipa::path(
    get,
    path = "/v1/connectors/{name}",
    operation_id = "FetchConnector",
    tag = "connectors",
    params(ConnectorName),
    responses(
        (status = 200, description = "The connector", body = Instance),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 404, description = "There is no such connector", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
        (status = 503, description = "The database cannot be used now", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn fetch(
    State(state): State<ApiState>,
    acting: Acting,
    OriginalUri(uri): OriginalUri,
    name: Option<Path<String>>,
) -> Result<Json<Instance>, ApiError> {
    Ok(Json(shelf(&state, &acting).show(&named(uri.path(), name)?).await?))
}

/// Change a Pay Connector
///
/// The keys that are given take the place of those of before, `null` takes one back to its default. A credential among
/// them authorizes the connector anew; then all its credentials are given. The address of a live one stays.
#[utoipa::path(
    patch,
    path = "/v1/connectors/{name}",
    operation_id = "UpdateConnector",
    tag = "connectors",
    params(ConnectorName),
    request_body(content = ConnectorKeys, content_type = "application/json"),
    responses(
        (status = 200, description = "Changed", body = Instance),
        (status = 400, description = "A key is unknown or has a wrong value", body = ApiError),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 403, description = "It is configured, and changed in the configuration only", body = ApiError),
        (status = 404, description = "There is no such connector", body = ApiError),
        (status = 409, description = "The keys do not go with the connector as it is: with its kind, its mode, its other keys, or an address that is fixed; or it was changed by somebody else at this moment, or cannot be read", body = ApiError),
        (status = 413, description = "The body is too long", body = ApiError),
        (status = 415, description = "The body is not JSON", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
        (status = 503, description = "The database cannot be used now", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn update(
    State(state): State<ApiState>,
    acting: Acting,
    OriginalUri(uri): OriginalUri,
    name: Option<Path<String>>,
    KeysBody(keys): KeysBody,
) -> Result<Json<Instance>, ApiError> {
    Ok(Json(shelf(&state, &acting).change(&named(uri.path(), name)?, keys, state.wall.now()).await.map_err(unfit)?))
}

/// Remove a Pay Connector
///
/// Payments that are under way go on.
#[utoipa::path(
    delete,
    path = "/v1/connectors/{name}",
    operation_id = "DeleteConnector",
    tag = "connectors",
    params(ConnectorName),
    responses(
        (status = 204, description = "Removed"),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 403, description = "It is configured, and removed from the configuration only", body = ApiError),
        (status = 404, description = "There is no such connector", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
        (status = 503, description = "The database cannot be used now", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    acting: Acting,
    OriginalUri(uri): OriginalUri,
    name: Option<Path<String>>,
) -> Result<StatusCode, ApiError> {
    shelf(&state, &acting).remove(&named(uri.path(), name)?, state.wall.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a Pay Connector live
///
/// For good: real money moves from then on, and its address is fixed. The body may hold the credentials for it. One that is
/// live already stays so.
#[utoipa::path(
    post,
    path = "/v1/connectors/{name}/live",
    operation_id = "TakeConnectorLive",
    tag = "connectors",
    params(ConnectorName),
    request_body(content = Option<ConnectorKeys>, content_type = "application/json"),
    responses(
        (status = 200, description = "Live", body = Instance),
        (status = 400, description = "A key is unknown or has a wrong value", body = ApiError),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 403, description = "It is configured, and changed in the configuration only", body = ApiError),
        (status = 404, description = "There is no such connector", body = ApiError),
        (status = 409, description = "The keys do not go with the connector as it is: with its kind, its mode, its other keys, or an address that is fixed; or it was changed by somebody else at this moment, or cannot be read, or is a sandbox on a public server", body = ApiError),
        (status = 413, description = "The body is too long", body = ApiError),
        (status = 415, description = "The body is not JSON", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
        (status = 503, description = "The database cannot be used now", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn live(
    State(state): State<ApiState>,
    acting: Acting,
    OriginalUri(uri): OriginalUri,
    name: Option<Path<String>>,
    SomeKeysBody(keys): SomeKeysBody,
) -> Result<Json<Instance>, ApiError> {
    Ok(Json(shelf(&state, &acting).live(&named(uri.path(), name)?, keys, state.wall.now()).await.map_err(unfit)?))
}

fn shelf<'a>(state: &'a ApiState, Acting(actor): &'a Acting) -> Shelf<'a> {
    Shelf::new(&state.store, &state.connectors, actor)
}

/// The name in the path; one that is not UTF-8 is nobody's.
fn named(path: &str, name: Option<Path<String>>) -> Result<String, ApiError> {
    name.map(|Path(name)| name).ok_or_else(|| ApiError::not_found(path))
}

/// What is right in itself, and does not go with the instance as it is, is a conflict.
fn unfit(failure: ShelfError) -> ApiError {
    use ConnectorConfigError as Fault;
    let is_conflict = match &failure {
        ShelfError::Config(Fault::UnknownKey { key, .. }) => {
            KINDS.iter().flat_map(|kind| kind.keys).any(|known| known.name == key)
        }
        ShelfError::Config(fault) => matches!(
            fault,
            Fault::Missing { .. } | Fault::Settled { .. } | Fault::Fixed { .. } | Fault::WrongMode { .. }
        ),
        _ => false,
    };
    match is_conflict {
        true => ApiError::new(StatusCode::CONFLICT, error::CONFLICT, failure.to_string()),
        false => failure.into(),
    }
}

impl From<ShelfError> for ApiError {
    fn from(failure: ShelfError) -> Self {
        let (status, code) = match &failure {
            ShelfError::Exists(_)
            | ShelfError::Alike { .. }
            | ShelfError::Meanwhile(_)
            | ShelfError::LiveSandbox(_)
            | ShelfError::WasLive { .. }
            | ShelfError::Unreadable { .. } => (StatusCode::CONFLICT, error::CONFLICT),
            ShelfError::Configured(_) => (StatusCode::FORBIDDEN, error::FORBIDDEN),
            ShelfError::Unknown { .. } => (StatusCode::NOT_FOUND, error::NOT_FOUND),
            ShelfError::NoCredential { .. } | ShelfError::NothingToAuthorize(_) | ShelfError::Config(_) => {
                (StatusCode::BAD_REQUEST, error::INVALID_PARAMETER)
            }
            ShelfError::Store(trouble) => {
                tracing::warn!(%trouble, "the stored connectors cannot be used");
                let message = "The database cannot be used now";
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, error::UNAVAILABLE, message);
            }
        };
        Self::new(status, code, failure.to_string())
    }
}
