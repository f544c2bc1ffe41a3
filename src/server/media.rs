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
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{OriginalUri, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::Desk;
use super::description::{DialectName, StreamSecret, UpgradeHeaders};
use crate::blocking::{TaskKind, watched};
use crate::call::beginning::Beginning;
use crate::call::socket::{self, WebSocket};
use crate::call::{StreamPlace, actor};
use crate::media::nonce::{AGE_MAX, NonceRefused, StreamNonce};
use crate::media::upgrade::{self, Proof, UpgradeRefused, upgrade_matches};
use crate::media::{Dialect, TEXT_MAX};
use crate::rest;
use crate::rest::guard::{NotSignedIn, client};
use crate::secret::Secret;
use crate::signature;

/// Read buffer of a stream, in bytes. The library's default of 128 KiB would be most of a call's memory.
const READ_BUFFER: usize = 4 * 1024;

/// What may wait to be written, in bytes: five seconds of sound and then some.
const WRITE_BUFFER_MAX: usize = 256 * 1024;

/// What stands for a flow in the log that there is not: its name could be a secret at the wrong place.
const NO_SUCH_FLOW: &str = "(none of that name)";

/// What stands for a flow in a path that ends with a secret and names none.
const NO_FLOW: &str = "~";

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
    responses(
        (status = 101, description = "The stream runs"),
        (status = 400, description = "No WebSocket upgrade", body = String, content_type = "text/plain"),
        (status = 403, description = "The signature or the secret is missing or wrong", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such dialect or flow", body = String, content_type = "text/plain"),
        (status = 426, description = "The connection cannot be upgraded", body = String, content_type = "text/plain"),
        (status = 429, description = "Too many wrong secrets from this address", body = String, content_type = "text/plain"),
        (status = 503, description = "Too many calls, or the server is being stopped", body = String, content_type = "text/plain"),
    ),
)]
pub(super) async fn upgrade(
    State(desk): State<Desk>,
    Path((dialect, flow)): Path<(String, String)>,
    parts: Parts,
    upgrade: WebSocketUpgrade,
) -> Response {
    admitted(&desk, &dialect, Beginning::Flow(flow), Ending::None, &parts, upgrade).await
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
    responses(
        (status = 101, description = "The stream runs"),
        (status = 400, description = "No WebSocket upgrade", body = String, content_type = "text/plain"),
        (status = 403, description = "The secret is wrong", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such dialect or flow, or it has no secret", body = String, content_type = "text/plain"),
        (status = 426, description = "The connection cannot be upgraded", body = String, content_type = "text/plain"),
        (status = 429, description = "Too many wrong secrets from this address", body = String, content_type = "text/plain"),
        (status = 503, description = "Too many calls, or the server is being stopped", body = String, content_type = "text/plain"),
    ),
)]
pub(super) async fn upgrade_with_secret(
    State(desk): State<Desk>,
    Path((dialect, flow, secret)): Path<(String, String, String)>,
    parts: Parts,
    upgrade: WebSocketUpgrade,
) -> Response {
    admitted(&desk, &dialect, beginning(flow), Ending::Secret(Secret::new(secret)), &parts, upgrade).await
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
    responses(
        (status = 101, description = "The stream runs"),
        (status = 400, description = "No WebSocket upgrade", body = String, content_type = "text/plain"),
        (status = 403, description = "The signature is missing or wrong, or the URL is not good or not any more", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such dialect or flow, or it does not sign", body = String, content_type = "text/plain"),
        (status = 426, description = "The connection cannot be upgraded", body = String, content_type = "text/plain"),
        (status = 503, description = "Too many calls, or the server is being stopped", body = String, content_type = "text/plain"),
    ),
)]
pub(super) async fn upgrade_once(
    State(desk): State<Desk>,
    Path((dialect, flow, expires, random)): Path<(String, String, String, String)>,
    parts: Parts,
    upgrade: WebSocketUpgrade,
) -> Response {
    admitted(&desk, &dialect, beginning(flow), Ending::Nonce(expires, random), &parts, upgrade).await
}

/// What the flow in a path that does not end with it means.
fn beginning(flow: String) -> Beginning {
    if flow == NO_FLOW { Beginning::Url } else { Beginning::Flow(flow) }
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
    responses(
        (status = 101, description = "The stream runs"),
        (status = 400, description = "No WebSocket upgrade", body = String, content_type = "text/plain"),
        (status = 403, description = "The signature or the secret is missing or wrong", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such dialect", body = String, content_type = "text/plain"),
        (status = 426, description = "The connection cannot be upgraded", body = String, content_type = "text/plain"),
        (status = 429, description = "Too many wrong secrets from this address", body = String, content_type = "text/plain"),
        (status = 503, description = "Too many calls, or the server is being stopped", body = String, content_type = "text/plain"),
    ),
)]
pub(super) async fn upgrade_to_url(
    State(desk): State<Desk>,
    Path(dialect): Path<String>,
    parts: Parts,
    upgrade: WebSocketUpgrade,
) -> Response {
    admitted(&desk, &dialect, Beginning::Url, Ending::None, &parts, upgrade).await
}

/// What stands behind the flow in a path.
enum Ending {
    None,
    Secret(Secret),
    /// An expiry and a random value, as they were written.
    Nonce(String, String),
}

async fn admitted(
    desk: &Desk,
    name: &str,
    beginning: Beginning,
    ending: Ending,
    parts: &Parts,
    upgrade: WebSocketUpgrade,
) -> Response {
    let peer = client(&desk.trusted_proxies, &parts.extensions, &parts.headers);
    let Some(proof) = upgrade::proof(name) else { return no_such_dialect(parts.uri.path(), peer) };
    let is_there = match &beginning {
        Beginning::Flow(flow) => desk.services.documents.library.has(flow).await,
        Beginning::Url => true,
    };
    // As the log may name it before anybody is known.
    let told = if is_there { beginning.flow() } else { NO_SUCH_FLOW };
    let proven = match (proof, ending) {
        // Whoever signs has no secret, and whoever does not has nothing that an expiry could be signed with.
        (Proof::Signature, Ending::Secret(_)) | (Proof::Secret(_), Ending::Nonce(..)) => {
            return nothing_here(parts.uri.path(), peer);
        }
        (Proof::Signature, Ending::None) => signed(desk, told, parts, "").and_then(|()| timely(desk, None)),
        (Proof::Signature, Ending::Nonce(expires, value)) => signed(desk, told, parts, "/…/…")
            .and_then(|()| StreamNonce::parse(&expires, &value).map_err(|why| Refused::Proof(why.into())))
            .and_then(|nonce| timely(desk, Some(nonce))),
        (Proof::Secret(platform), Ending::None) => known(desk, platform, None, parts, peer).map(|()| None),
        (Proof::Secret(platform), Ending::Secret(secret)) => {
            known(desk, platform, Some(secret), parts, peer).map(|()| None)
        }
    };
    let nonce = match proven {
        Ok(nonce) => nonce,
        Err(refused) => return refused.answer(told, peer),
    };
    let Some(dialect) = Dialect::named(name) else { return no_such_dialect(parts.uri.path(), peer) };
    if desk.draining.load(Ordering::Acquire) {
        tracing::warn!(flow = told, "stream refused (503): the server is being stopped");
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is being stopped\n").into_response();
    }
    let flow = beginning.flow();
    if !is_there {
        // What is no flow's name may be anything: a secret, or a number.
        tracing::warn!(flow = "(none of that name)", "stream refused (404): there is no flow of that name");
        return (StatusCode::NOT_FOUND, "no flow of that name\n").into_response();
    }
    let limit = usize::try_from(desk.upgrades.max_calls).unwrap_or(usize::MAX);
    let place = match StreamPlace::take(&desk.services.calls, limit) {
        Ok(place) => place,
        Err(refused) => {
            tracing::warn!(flow, limit, reason = %refused, "stream refused (503)");
            return (StatusCode::SERVICE_UNAVAILABLE, format!("{refused}\n")).into_response();
        }
    };
    let services = Arc::clone(&desk.services);
    // axum has looked at it; the socket is ours.
    drop(upgrade);
    let Some((answer, connection)) = socket::upgraded(parts) else {
        tracing::warn!(flow, "stream refused (426): its connection cannot be upgraded");
        return (StatusCode::UPGRADE_REQUIRED, "the connection cannot be upgraded\n").into_response();
    };
    // Last: what is refused uses nothing up.
    if let Some(nonce) = nonce
        && let Err(why) = desk.used.take(&nonce, &services.payments.store, services.payments.wall.now()).await
    {
        return Refused::Proof(why.into()).answer(told, peer);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .max_message_size(Some(TEXT_MAX))
        .max_frame_size(Some(TEXT_MAX));
    tokio::spawn(async move {
        let connection = match connection.await {
            Ok(connection) => TokioIo::new(connection),
            Err(error) => return tracing::warn!(%error, "a stream's upgrade failed"),
        };
        let socket = WebSocket::new(connection, config).await;
        // A task of its own: whatever breaks down in it, breaks down alone.
        let call = tokio::spawn(watched(TaskKind::Call, actor::run(socket, dialect, beginning, services, place)));
        if let Err(error) = call.await {
            tracing::error!(%error, "a call broke down");
        }
    });
    answer
}

/// Describes what is counted here.
pub(super) fn describe() {
    metrics::describe_counter!("touchtone_upgrades_refused_total", "Streams that were not let in, by why");
}

/// The answer to a request for a path that there is not. A stream that was dialed there is told of in the log: its platform tells
/// nobody why a call fails.
pub(super) async fn no_such_path(State(desk): State<Desk>, uri: OriginalUri, parts: Parts) -> Response {
    let upgrade = parts.headers.get(header::UPGRADE).map(HeaderValue::as_bytes);
    if upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket")) {
        tell_of_unknown_path(uri.path(), client(&desk.trusted_proxies, &parts.extensions, &parts.headers));
    }
    rest::no_such_path(uri).await
}

/// What streams dial at a path that has none.
fn nothing_here(path: &str, peer: IpAddr) -> Response {
    tell_of_unknown_path(path, peer);
    (StatusCode::NOT_FOUND, "there is nothing here\n").into_response()
}

fn tell_of_unknown_path(path: &str, peer: IpAddr) {
    metrics::counter!("touchtone_upgrades_refused_total", "why" => "unknown_path").increment(1);
    let path = known_part(path);
    tracing::warn!(path, %peer, "stream refused (404): streams are dialed at /media/DIALECT/FLOW");
}

/// A path with its words that are ours; any other one could be a secret.
fn known_part(path: &str) -> String {
    const WORDS: &[&str] = &["", "media", "stream", "streams", "ws", "wss"];
    let is_known = |word: &str| WORDS.contains(&word) || upgrade::proof(word).is_some();
    path.split('/').map(|word| if is_known(word) { word } else { "…" }).collect::<Vec<_>>().join("/")
}

fn no_such_dialect(path: &str, peer: IpAddr) -> Response {
    tell_of_unknown_path(path, peer);
    let there_are = Dialect::ALL.map(Dialect::name).join(", ");
    (StatusCode::NOT_FOUND, format!("no such dialect; there is {there_are}\n")).into_response()
}

/// Why an upgrade does not get in.
enum Refused {
    /// What it carries is missing or wrong.
    Proof(UpgradeRefused),
    /// Its address guessed too often.
    Wait(Duration),
}

impl Refused {
    /// The metric's label.
    const fn word(&self) -> &'static str {
        match self {
            Self::Proof(UpgradeRefused::Unsigned { .. }) => "unsigned",
            Self::Proof(UpgradeRefused::WrongSignature { .. }) => "wrong_signature",
            Self::Proof(UpgradeRefused::NoPublicAddress) => "no_public_address",
            Self::Proof(UpgradeRefused::NoSecretSet { .. }) => "no_secret_set",
            Self::Proof(UpgradeRefused::NoSecret) => "no_secret",
            Self::Proof(UpgradeRefused::WrongSecret) => "wrong_secret",
            Self::Proof(UpgradeRefused::Nonce(why)) => match why {
                NonceRefused::Missing => "no_nonce",
                NonceRefused::Malformed => "malformed_nonce",
                NonceRefused::Expired(_) => "expired",
                NonceRefused::TooFarAhead(_) => "expires_too_late",
                NonceRefused::Used => "used",
                NonceRefused::Unknown => "nonce_unknown",
                NonceRefused::Full => "nonces_full",
            },
            Self::Wait(_) => "too_many_failures",
        }
    }

    fn answer(self, flow: &str, peer: IpAddr) -> Response {
        metrics::counter!("touchtone_upgrades_refused_total", "why" => self.word()).increment(1);
        match self {
            Self::Proof(refused @ (UpgradeRefused::Unsigned { .. } | UpgradeRefused::WrongSignature { .. })) => {
                tracing::warn!(flow, %peer, %refused, "stream refused (403): set public_url to the address that the platform calls");
                (StatusCode::FORBIDDEN, "the signature is missing or wrong\n").into_response()
            }
            Self::Proof(refused @ UpgradeRefused::NoPublicAddress) => {
                tracing::warn!(flow, %peer, %refused, "stream refused (403)");
                (StatusCode::FORBIDDEN, "the signature cannot be checked\n").into_response()
            }
            Self::Proof(refused @ UpgradeRefused::Nonce(NonceRefused::Full)) => {
                tracing::error!(flow, %peer, %refused, "stream refused (503)");
                (StatusCode::SERVICE_UNAVAILABLE, "too many calls\n").into_response()
            }
            Self::Proof(refused @ UpgradeRefused::Nonce(NonceRefused::Unknown)) => {
                tracing::warn!(flow, %peer, %refused, "stream refused (503)");
                (StatusCode::SERVICE_UNAVAILABLE, "the database cannot be used\n").into_response()
            }
            Self::Proof(refused @ UpgradeRefused::Nonce(_)) => {
                tracing::warn!(flow, %peer, %refused, "stream refused (403)");
                (StatusCode::FORBIDDEN, "the URL is good for one call, and until it expires\n").into_response()
            }
            Self::Proof(refused) => {
                tracing::warn!(flow, %peer, %refused, "stream refused (403)");
                (StatusCode::FORBIDDEN, "the secret is missing or wrong\n").into_response()
            }
            // Told once by who counts.
            Self::Wait(wait) => {
                let seconds = wait.as_secs().max(1).to_string();
                let wait = [(header::RETRY_AFTER, seconds)];
                (StatusCode::TOO_MANY_REQUESTS, wait, "too many wrong secrets\n").into_response()
            }
        }
    }
}

/// `flow` is what may be shown of it; `ending` stands for what is behind it, where a refusal shows the path.
fn signed(desk: &Desk, flow: &str, parts: &Parts, ending: &str) -> Result<(), Refused> {
    if !desk.upgrades.require_signature {
        return Ok(());
    }
    let header = parts.headers.get(signature::HEADER).and_then(|value| value.to_str().ok());
    let shown = match (flow, ending) {
        (NO_SUCH_FLOW, _) => "/media/twilio/…".to_owned(),
        (_, "") => parts.uri.path().to_owned(),
        (flow, ending) => format!("/media/twilio/{flow}{ending}"),
    };
    let token = &desk.account.auth_token;
    let dialed = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(without_port);
    let spellings: Vec<&str> = desk.upgrades.host_as_written.as_deref().into_iter().chain(dialed).collect();
    let way = upgrade_matches(token, &desk.upgrades.public_url, &spellings, &parts.uri.to_string(), &shown, header)
        .map_err(Refused::Proof)?;
    tracing::debug!(way, "the stream's signature is right");
    Ok(())
}

/// The host of a `Host` header, in its own letters.
fn without_port(host: &str) -> Option<&str> {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    Some(host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(host, _)| host))
}

/// Whether the URL of a stream is one that is good now, and good once where that is demanded.
fn timely(desk: &Desk, nonce: Option<StreamNonce>) -> Result<Option<StreamNonce>, Refused> {
    let max_age = desk.upgrades.max_age;
    match &nonce {
        None if max_age.is_some() => return Err(Refused::Proof(NonceRefused::Missing.into())),
        None => {}
        Some(nonce) => nonce
            .judge(desk.services.payments.wall.now().as_second(), max_age.unwrap_or(AGE_MAX))
            .map_err(|why| Refused::Proof(why.into()))?,
    }
    Ok(nonce)
}

fn known(
    desk: &Desk,
    platform: &'static str,
    of_path: Option<Secret>,
    parts: &Parts,
    peer: IpAddr,
) -> Result<(), Refused> {
    let Some(secret) = &desk.upgrades.secret else {
        // A path that ends with one has none to end with.
        return if desk.upgrades.require_signature || of_path.is_some() {
            Err(Refused::Proof(UpgradeRefused::NoSecretSet { platform }))
        } else {
            Ok(())
        };
    };
    let authorization = parts.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = upgrade::given(of_path, parts.uri.query(), authorization);
    let is_right = |given: Secret| secret.matches(given.expose());
    desk.sign_ins.check(peer, "media streams", None, given, is_right).map_err(|not| match not {
        NotSignedIn::Missing => Refused::Proof(UpgradeRefused::NoSecret),
        NotSignedIn::Wrong => Refused::Proof(UpgradeRefused::WrongSecret),
        NotSignedIn::Wait(wait) => Refused::Wait(wait),
    })
}
