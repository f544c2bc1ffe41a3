//! The upgrade of a media stream: who may come in, and to which flow; or to a document that the stream names later.
//!
//! Limits:  [`TEXT_MAX`] a message, in one frame or many; [`WRITE_BUFFER_MAX`]; wrong secrets count as failed sign-ins to the
//!          REST API do.
//! Errors:  403 and 429; the log says what was expected.
//!          A URL that is good once is used up when its stream gets in, and by nothing that is refused.
//! Secrets: a stream's secret may be in its URL. So nothing of a URL is logged but the name of a flow that there is.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, OriginalUri, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::ServerState;
use super::description::{DialectName, StreamSecret, UpgradeHeaders};
use crate::blocking::{TaskKind, watched};
use crate::call::beginning::Beginning;
use crate::call::socket::{self, WebSocket};
use crate::call::{CallServices, StreamPlace, actor};
use crate::media::{self, DIALECTS, Dialect, MediaError, MediaSession, TEXT_MAX, UpgradeRequest, upgrade};
use crate::rest;
use crate::rest::guard::client;

use answer::NotUpgraded;
use path::{NO_SUCH_FLOW, StreamPath};
use proof::Refused;

mod answer;
mod path;
mod proof;
#[cfg(test)]
mod tests;

/// Read buffer of a stream, in bytes. The library's default of 128 KiB would be most of a call's memory.
const READ_BUFFER: usize = 4 * 1024;

/// What may wait to be written, in bytes: five seconds of sound and then some.
const WRITE_BUFFER_MAX: usize = 256 * 1024;

/// An upgrade, at whichever of its paths.
pub(super) struct Dialed {
    state: ServerState,
    path: StreamPath,
    parts: Parts,
}

impl FromRequestParts<ServerState> for Dialed {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState) -> Result<Self, Response> {
        let path = Path::from_request_parts(parts, state).await;
        let Path(path) = path.map_err(IntoResponse::into_response)?;
        let dialed = Self { state: state.clone(), path, parts: parts.clone() };
        // axum looks whether it is a WebSocket's; the socket is ours.
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        upgrade.map(|_| dialed).map_err(IntoResponse::into_response)
    }
}

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
        StreamSecret,
        UpgradeHeaders,
    ),
    responses((status = 101, description = "The stream runs"), NotUpgraded),
)]
pub(super) async fn upgrade(dialed: Dialed) -> Response {
    dialed.answer().await
}

/// Media stream of a call, with its secret in the path
///
/// As without it, for platforms that can send a secret neither in a header nor in a query.
#[utoipa::path(
    get,
    path = "/media/{dialect}/{flow}/{secret}",
    operation_id = "upgradeWithSecret",
    tag = "media",
    params(
        ("dialect" = inline(DialectName), Path, description = "The platform's protocol"),
        ("flow" = String, Path, pattern = "^([A-Za-z0-9_-]{1,100}|~)$", description = "A document of the flows folder, without .xml; `~` for the document at the URL in the stream's custom parameter `url`"),
        ("secret" = String, Path, description = "The configuration's `media.secret`; not for Twilio, which signs"),
        UpgradeHeaders,
    ),
    responses((status = 101, description = "The stream runs"), NotUpgraded),
)]
pub(super) async fn upgrade_with_secret(dialed: Dialed) -> Response {
    dialed.answer().await
}

/// Media stream of a call, at a URL that is good once
///
/// As without expiry and random value, for platforms that sign the URL: a captured upgrade cannot be sent again.
#[utoipa::path(
    get,
    path = "/media/{dialect}/{flow}/{expires}/{random}",
    operation_id = "upgradeOnce",
    tag = "media",
    params(
        ("dialect" = inline(DialectName), Path, description = "The platform's protocol; one that signs"),
        ("flow" = String, Path, pattern = "^([A-Za-z0-9_-]{1,100}|~)$", description = "A document of the flows folder, without .xml; `~` for the document at the URL in the stream's custom parameter `url`"),
        ("expires" = String, Path, pattern = "^[0-9]{1,18}$", description = "Until when it is good, in seconds since 1970; at most the configuration's `media.max_age` from now, else a day"),
        ("random" = String, Path, pattern = "^[A-Za-z0-9_-]{22,64}$", description = "A random value that is used once"),
        UpgradeHeaders,
    ),
    responses((status = 101, description = "The stream runs"), NotUpgraded),
)]
pub(super) async fn upgrade_once(dialed: Dialed) -> Response {
    dialed.answer().await
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
        StreamSecret,
        UpgradeHeaders,
    ),
    responses((status = 101, description = "The stream runs"), NotUpgraded),
)]
pub(super) async fn upgrade_to_url(dialed: Dialed) -> Response {
    dialed.answer().await
}

impl Dialed {
    /// The way in, from every path.
    async fn answer(self) -> Response {
        let Self { state, path, parts } = self;
        admitted(&state, path, &parts).await.unwrap_or_else(IntoResponse::into_response)
    }
}

async fn admitted(state: &ServerState, path: StreamPath, parts: &Parts) -> Result<Response, NotUpgraded> {
    let peer = client(&state.trusted_proxies, &parts.extensions, &parts.headers);
    let (name, beginning, ending) = path.into_parts();
    let required = upgrade::proof(&name).ok_or_else(|| no_such_dialect(parts.uri.path(), peer))?;
    let is_there = match &beginning {
        Beginning::Flow(flow) => state.services.documents.library.has(flow).await,
        Beginning::Url => true,
    };
    // As the log may name it before anybody is known.
    let told = if is_there { beginning.flow() } else { NO_SUCH_FLOW };
    let nonce = proof::proven(state, required, ending, told, parts, peer)
        .ok_or_else(|| nothing_here(parts.uri.path(), peer))?
        .map_err(|refused| refused.answer(told, peer))?;
    let dialect = media::dialect(&name).ok_or_else(|| no_such_dialect(parts.uri.path(), peer))?;
    // Only whoever has proven itself learns this and what follows.
    if state.draining.load(Ordering::Acquire) {
        tracing::warn!(flow = told, status = 503, "stream refused: the server is being stopped");
        return Err(NotUpgraded::Unavailable("the server is being stopped\n".into()));
    }
    let flow = beginning.flow();
    if !is_there {
        // What is no flow's name may be anything: a secret, or a number.
        tracing::warn!(flow = NO_SUCH_FLOW, status = 404, "stream refused: there is no flow of that name");
        return Err(NotUpgraded::NotFound("no flow of that name\n".into()));
    }
    let limit = usize::try_from(state.upgrades.max_calls).unwrap_or(usize::MAX);
    let place = StreamPlace::take(&state.services.calls, limit).map_err(|refused| {
        tracing::warn!(flow, limit, status = 503, reason = %refused, "stream refused: the server takes no more calls");
        NotUpgraded::Unavailable(format!("{refused}\n").into())
    })?;
    let services = Arc::clone(&state.services);
    let session = opened(dialect, &services, parts).map_err(|why| {
        tracing::warn!(
            flow,
            dialect = dialect.name,
            status = 400,
            reason = %why,
            "stream refused: its dialect cannot carry it"
        );
        NotUpgraded::BadRequest(format!("{why}\n"))
    })?;
    let Some((answer, connection)) = socket::upgraded(parts, session.subprotocol()) else {
        tracing::warn!(flow, status = 426, "stream refused: its connection cannot be upgraded");
        return Err(NotUpgraded::UpgradeRequired);
    };
    // Last: what is refused uses nothing up.
    if let Some(nonce) = nonce
        && let Err(why) = state.used.take(&nonce, &services.payments.store, services.payments.wall_clock.now()).await
    {
        return Err(Refused::Proof(why.into()).answer(told, peer));
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        // Each message leaves at once: sound is paced by `call::playback`, not here.
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .max_message_size(Some(TEXT_MAX))
        .max_frame_size(Some(TEXT_MAX));
    // The connection is to be had only after the answer has left.
    tokio::spawn(async move {
        let connection = match connection.await {
            Ok(connection) => TokioIo::new(connection),
            Err(error) => return tracing::warn!(%error, "could not upgrade a stream; its call does not begin"),
        };
        let socket = WebSocket::new(connection, config).await;
        // A task of its own: whatever breaks down in it, breaks down alone.
        let call = tokio::spawn(watched(TaskKind::Call, actor::run(socket, session, beginning, services, place)));
        if let Err(error) = call.await {
            tracing::error!(%error, "call panicked; its stream is cut");
        }
    });
    Ok(answer)
}

/// The dialect's session for an upgrade.
fn opened(dialect: &'static Dialect, services: &CallServices, parts: &Parts) -> Result<MediaSession, MediaError> {
    let headers: Vec<(&str, &[u8])> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let call_sid = format!("CA{}", services.rng.uuid().simple());
    let request =
        UpgradeRequest { path: parts.uri.path(), query: parts.uri.query(), headers: &headers, call_sid: &call_sid };
    MediaSession::open(dialect, &request)
}

/// Describes what is counted here.
pub(super) fn describe() {
    metrics::describe_counter!("touchtone_upgrades_refused_total", "Streams that were not let in, by why");
}

/// The answer to a request for a path that there is not. A stream that was dialed there is told of in the log: its platform tells
/// nobody why a call fails.
pub(super) async fn no_such_path(State(state): State<ServerState>, uri: OriginalUri, parts: Parts) -> Response {
    let upgrade = parts.headers.get(header::UPGRADE).map(HeaderValue::as_bytes);
    if upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket")) {
        tell_of_unknown_path(uri.path(), client(&state.trusted_proxies, &parts.extensions, &parts.headers));
    }
    rest::no_such_path(uri).await
}

/// What streams dial at a path that has none.
fn nothing_here(path: &str, peer: IpAddr) -> NotUpgraded {
    tell_of_unknown_path(path, peer);
    NotUpgraded::NotFound("there is nothing here\n".into())
}

fn tell_of_unknown_path(path: &str, peer: IpAddr) {
    metrics::counter!("touchtone_upgrades_refused_total", "why" => "unknown_path").increment(1);
    let path = known_part(path);
    tracing::warn!(path, %peer, status = 404, "stream refused: streams are dialed at /media/DIALECT/FLOW");
}

/// A path with its words that are ours; any other one could be a secret.
fn known_part(path: &str) -> String {
    const WORDS: &[&str] = &["", "media", "stream", "streams", "ws", "wss"];
    let is_known = |word: &str| WORDS.contains(&word) || upgrade::proof(word).is_some();
    path.split('/').map(|word| if is_known(word) { word } else { "…" }).collect::<Vec<_>>().join("/")
}

fn no_such_dialect(path: &str, peer: IpAddr) -> NotUpgraded {
    tell_of_unknown_path(path, peer);
    let there_are = DIALECTS.iter().map(|dialect| dialect.name).collect::<Vec<_>>().join(", ");
    NotUpgraded::NotFound(format!("no such dialect; there is {there_are}\n").into())
}
