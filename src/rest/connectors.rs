//! Pay Connectors over REST: list, create, read, change, take live, remove.
//!
//! Shape:   JSON in and out; what is done is the [`ConnectorStore`]'s, and this server's calls see it before the answer leaves.
//! Limits:  [`body::BODY_MAX`].
//! Errors:  [`ApiError`], as everywhere here.
//! Secrets: they come in and never go out: an [`Instance`] says which are set.
//! Sources: spec/interface.md, "HTTP".

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::acting::Acting;
use super::answers::{UnknownParameter, Unusable};
use super::error::{self, ApiError};
use super::fields::Query;
use super::parameters::NoParameters;
use super::path::InPath;
use super::state::ApiState;
use crate::connector::config::ConnectorConfigError;
use crate::connector::instance::Instance;
use crate::connector::{ConnectorStore, ConnectorStoreError, KINDS, Replace};

mod body;
mod form;

pub(super) use body::{KeysBody, SomeKeysBody};
use form::{ConnectorKeys, NewConnector};

/// Every instance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connectors)]
pub(super) struct ConnectorList {
    /// By name.
    connectors: Vec<Instance>,
}

/// `/v1/connectors/{name}`
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ConnectorPath {
    /// The instance's unique name.
    #[param(min_length = 1, max_length = 64, pattern = r"^[A-Za-z0-9_][^/]*$")]
    name: String,
}

/// The parameters of a request to store one.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Adding {
    /// Whether it may take a name that was live with another address
    replace: Option<bool>,
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
        UnknownParameter,
        Unusable,
    ),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    acting: Acting,
    _: Query<NoParameters>,
) -> Result<Json<ConnectorList>, ApiError> {
    Ok(Json(ConnectorList { connectors: connector_store(&state, &acting).list().await? }))
}

/// Store a Pay Connector
///
/// The keys are those of `[[connector]]` in the configuration. Calls can use it from the answer on.
#[utoipa::path(
    post,
    path = "/v1/connectors",
    operation_id = "CreateConnector",
    tag = "connectors",
    params(Adding),
    request_body(content = NewConnector, content_type = "application/json"),
    responses(
        (status = 201, description = "Stored", body = Instance, headers(("Location" = String, description = "Where it is"))),
        (status = 400, description = "A key is missing, unknown or has a wrong value", body = ApiError),
        (status = 409, description = "There is one of that name, stored or configured; or the name was live with another address; or it is a sandbox in mode live on a public server", body = ApiError),
        KeysBody,
        Unusable,
    ),
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    acting: Acting,
    query: Query<Adding>,
    KeysBody(keys): KeysBody,
) -> Result<Response, ApiError> {
    let replace = if query.parameters.replace == Some(true) { Replace::Yes } else { Replace::No };
    let instance = connector_store(&state, &acting).add(keys, replace, state.wall_clock.now()).await?;
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
    params(ConnectorPath),
    responses(
        (status = 200, description = "The connector", body = Instance),
        ConnectorPath,
        Unusable,
    ),
)]
pub(super) async fn fetch(
    State(state): State<ApiState>,
    acting: Acting,
    at: InPath<ConnectorPath>,
) -> Result<Json<Instance>, ApiError> {
    Ok(Json(connector_store(&state, &acting).show(&at.ids.name).await?))
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
    params(ConnectorPath),
    request_body(content = ConnectorKeys, content_type = "application/json"),
    responses(
        (status = 200, description = "Changed", body = Instance),
        (status = 400, description = "A key is unknown or has a wrong value", body = ApiError),
        (status = 403, description = "It is configured, and changed in the configuration only", body = ApiError),
        ConnectorPath,
        (status = 409, description = "The keys do not go with the connector as it is: with its kind, its mode, its other keys, or an address that is fixed; or it was changed by somebody else at this moment, or cannot be read", body = ApiError),
        KeysBody,
        Unusable,
    ),
)]
pub(super) async fn update(
    State(state): State<ApiState>,
    acting: Acting,
    at: InPath<ConnectorPath>,
    KeysBody(keys): KeysBody,
) -> Result<Json<Instance>, ApiError> {
    Ok(Json(connector_store(&state, &acting).change(&at.ids.name, keys, state.wall_clock.now()).await.map_err(unfit)?))
}

/// Remove a Pay Connector
///
/// Payments that are under way go on.
#[utoipa::path(
    delete,
    path = "/v1/connectors/{name}",
    operation_id = "DeleteConnector",
    tag = "connectors",
    params(ConnectorPath),
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "It is configured, and removed from the configuration only", body = ApiError),
        ConnectorPath,
        Unusable,
    ),
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    acting: Acting,
    at: InPath<ConnectorPath>,
) -> Result<StatusCode, ApiError> {
    connector_store(&state, &acting).remove(&at.ids.name, state.wall_clock.now()).await?;
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
    params(ConnectorPath),
    request_body(content = Option<ConnectorKeys>, content_type = "application/json"),
    responses(
        (status = 200, description = "Live", body = Instance),
        (status = 400, description = "A key is unknown or has a wrong value", body = ApiError),
        (status = 403, description = "It is configured, and changed in the configuration only", body = ApiError),
        ConnectorPath,
        (status = 409, description = "The keys do not go with the connector as it is: with its kind, its mode, its other keys, or an address that is fixed; or it was changed by somebody else at this moment, or cannot be read, or is a sandbox on a public server", body = ApiError),
        SomeKeysBody,
        Unusable,
    ),
)]
pub(super) async fn live(
    State(state): State<ApiState>,
    acting: Acting,
    at: InPath<ConnectorPath>,
    SomeKeysBody(keys): SomeKeysBody,
) -> Result<Json<Instance>, ApiError> {
    Ok(Json(connector_store(&state, &acting).live(&at.ids.name, keys, state.wall_clock.now()).await.map_err(unfit)?))
}

fn connector_store<'a>(state: &'a ApiState, Acting(actor): &'a Acting) -> ConnectorStore<'a> {
    ConnectorStore::new(&state.store, &state.connectors, actor)
}

/// What is right in itself, and does not go with the instance as it is, is a conflict.
fn unfit(failure: ConnectorStoreError) -> ApiError {
    use ConnectorConfigError as Fault;
    let is_conflict = match &failure {
        ConnectorStoreError::Config(Fault::UnknownKey { key, .. }) => {
            KINDS.iter().flat_map(|kind| kind.keys).any(|known| known.name == key)
        }
        ConnectorStoreError::Config(fault) => matches!(
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

impl From<ConnectorStoreError> for ApiError {
    fn from(failure: ConnectorStoreError) -> Self {
        let (status, code) = match &failure {
            ConnectorStoreError::Exists(_)
            | ConnectorStoreError::Alike { .. }
            | ConnectorStoreError::Meanwhile(_)
            | ConnectorStoreError::LiveSandbox(_)
            | ConnectorStoreError::WasLive { .. }
            | ConnectorStoreError::Unreadable { .. } => (StatusCode::CONFLICT, error::CONFLICT),
            ConnectorStoreError::Configured(_) => (StatusCode::FORBIDDEN, error::FORBIDDEN),
            ConnectorStoreError::Unknown { .. } => (StatusCode::NOT_FOUND, error::NOT_FOUND),
            ConnectorStoreError::NoCredential { .. }
            | ConnectorStoreError::NothingToAuthorize(_)
            | ConnectorStoreError::Config(_) => (StatusCode::BAD_REQUEST, error::INVALID_PARAMETER),
            ConnectorStoreError::Store(trouble) => return Self::database("connectors", trouble),
        };
        Self::new(status, code, failure.to_string())
    }
}
