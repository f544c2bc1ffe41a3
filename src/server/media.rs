//! The upgrade of a media stream: who may come in, and to which flow; or to a document that the stream names later.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::Desk;
use super::description::{DialectName, UpgradeHeaders};
use crate::call::beginning::Beginning;
use crate::call::{Calls, actor};
use crate::media::upgrade::{UpgradeRefused, upgrade_matches};
use crate::media::{Dialect, TEXT_MAX};
use crate::signature;

/// Read buffer of a stream, in bytes. The library's default of 128 KiB would be most of a call's memory.
const READ_BUFFER: usize = 4 * 1024;

/// What may wait to be written, in bytes: five seconds of sound and then some.
const WRITE_BUFFER_MAX: usize = 256 * 1024;

/// Media stream of a call
///
/// A WebSocket (RFC 6455) of a telephony platform. The call runs the flow.
#[utoipa::path(
    get,
    path = "/media/{dialect}/{flow}",
    operation_id = "upgrade",
    tag = "media",
    params(
        ("dialect" = inline(DialectName), Path, description = "The platform's protocol"),
        ("flow" = String, Path, pattern = "^[A-Za-z0-9_-]{1,100}$", description = "A document of the flows folder, without .xml"),
        UpgradeHeaders,
    ),
    responses(
        (status = 101, description = "The stream runs"),
        (status = 400, description = "No WebSocket upgrade", body = String, content_type = "text/plain"),
        (status = 403, description = "The signature is missing or wrong", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such dialect or flow", body = String, content_type = "text/plain"),
        (status = 426, description = "The connection cannot be upgraded", body = String, content_type = "text/plain"),
        (status = 503, description = "Too many calls, or the server is being stopped", body = String, content_type = "text/plain"),
    ),
)]
pub(super) async fn upgrade(
    State(desk): State<Desk>,
    Path((dialect, flow)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    admitted(&desk, &dialect, Beginning::Flow(flow), &uri, &headers, upgrade)
}

/// Media stream of a call with a remote document
///
/// A WebSocket (RFC 6455) of a telephony platform. The stream's custom parameter `url` names the document that the call
/// runs; the configuration's `flow_urls` says which may be named.
#[utoipa::path(
    get,
    path = "/media/{dialect}",
    operation_id = "upgradeToUrl",
    tag = "media",
    params(
        ("dialect" = inline(DialectName), Path, description = "The platform's protocol"),
        UpgradeHeaders,
    ),
    responses(
        (status = 101, description = "The stream runs"),
        (status = 400, description = "No WebSocket upgrade", body = String, content_type = "text/plain"),
        (status = 403, description = "The signature is missing or wrong", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such dialect", body = String, content_type = "text/plain"),
        (status = 426, description = "The connection cannot be upgraded", body = String, content_type = "text/plain"),
        (status = 503, description = "Too many calls, or the server is being stopped", body = String, content_type = "text/plain"),
    ),
)]
pub(super) async fn upgrade_to_url(
    State(desk): State<Desk>,
    Path(dialect): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    admitted(&desk, &dialect, Beginning::Url, &uri, &headers, upgrade)
}

fn admitted(
    desk: &Desk,
    dialect: &str,
    beginning: Beginning,
    uri: &Uri,
    headers: &HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(dialect) = Dialect::named(dialect) else {
        let known: Vec<&str> = Dialect::ALL.iter().map(|dialect| dialect.name()).collect();
        return (StatusCode::NOT_FOUND, format!("no such dialect; there is {}\n", known.join(", "))).into_response();
    };
    let flow = beginning.flow();
    if let Err(refused) = signed(desk, &uri.to_string(), headers) {
        tracing::warn!(flow, %refused, "stream refused (403): set public_url to the address that the platform calls");
        return (StatusCode::FORBIDDEN, "the signature is missing or wrong\n").into_response();
    }
    if desk.draining.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is being stopped\n").into_response();
    }
    if matches!(beginning, Beginning::Flow(_)) && !desk.house.library.contains(flow) {
        tracing::warn!(flow, "stream refused (404): there is no flow of that name");
        return (StatusCode::NOT_FOUND, "no flow of that name\n").into_response();
    }
    let limit = usize::try_from(desk.house.config.media.max_calls).unwrap_or(usize::MAX);
    let Some(place) = Calls::admit(&desk.house, limit) else {
        tracing::warn!(flow, limit, "stream refused (503): media.max_calls are live");
        return (StatusCode::SERVICE_UNAVAILABLE, "too many calls\n").into_response();
    };
    let house = Arc::clone(&desk.house);
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .max_message_size(TEXT_MAX)
        .max_frame_size(TEXT_MAX)
        .on_failed_upgrade(|error| tracing::warn!(%error, "a stream's upgrade failed"))
        .on_upgrade(move |socket| async move {
            // A task of its own: whatever breaks down in it, breaks down alone.
            let call = tokio::spawn(actor::run(socket, dialect, beginning, house, place));
            if let Err(error) = call.await {
                tracing::error!(%error, "a call broke down");
            }
        })
}

fn signed(desk: &Desk, path: &str, headers: &HeaderMap) -> Result<(), UpgradeRefused> {
    if !desk.require_signature {
        return Ok(());
    }
    let header = headers.get(signature::HEADER).and_then(|value| value.to_str().ok());
    let way = upgrade_matches(&desk.house.account.auth_token, &desk.public_url, path, header)?;
    tracing::debug!(way, "the stream's signature is right");
    Ok(())
}
