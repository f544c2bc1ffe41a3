//! Twilio's REST API for the calls of this server and their payments: what Twilio's own client libraries ask for, answered as they expect it.
//! Below [`OWN_ROOT`], this server's own: its books and connectors.
//!
//! Shape:   [`routes`] are the routes and their description in one; [`guard`] stands before everything below [`ROOT`] and
//!          [`OWN_ROOT`].
//! Limits:  [`fields::BODY_MAX`] a form; pages of at most `PAGE_SIZE_MAX` calls; failed sign-ins ([`attempts`]).
//! Errors:  [`error::ApiError`], always JSON, with Twilio's codes.
//! Secrets: the auth token is compared in constant time; no parameter of a call is told.
//! Sources: Twilio, "REST API: Call resource"; twilio/twilio-oai `spec/json/twilio_api_v2010.json`; what twilio-python and
//!          twilio-node send and parse. Absent on purpose: making calls (platforms bring them), XML and CSV answers.
#![allow(clippy::disallowed_methods, reason = "records tell real times")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, OriginalUri, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::time::Instant;
use utoipa_axum::routes;

use crate::account::Account;
use crate::call::{CommandError, House};

pub mod attempts;
pub(crate) mod books;
mod calls;
mod connectors;
pub mod error;
mod fields;
mod path;
mod payments;
pub mod route;

use attempts::{Attempts, Failure};
use error::ApiError;
use route::Routes;

/// Where the API begins: its version, as Twilio names it.
pub const ROOT: &str = "/2010-04-01";

/// Where what Twilio has no word for begins.
pub const OWN_ROOT: &str = "/v1";

/// The routes of the API.
#[must_use]
pub fn routes() -> Routes<Arc<House>> {
    Routes::new()
        .with(routes!(calls::list))
        .with(routes!(calls::fetch, calls::update, calls::delete))
        .with(routes!(payments::list, payments::create))
        .with(routes!(payments::fetch, payments::update))
        .with(routes!(books::list))
        .with(routes!(books::fetch))
        .with(routes!(connectors::list, connectors::create))
        .with(routes!(connectors::fetch, connectors::update, connectors::delete))
        .with(routes!(connectors::live))
}

/// What a call did not do, and why.
fn not_done(failure: CommandError, undone: &str) -> ApiError {
    match failure {
        CommandError::NotLive => ApiError::bad(error::INVALID_CALL_STATE, format!("Call is not in-progress. {undone}")),
        CommandError::Busy => {
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, error::TOO_MANY, "Too many requests wait for this call")
        }
        CommandError::NoAnswer => {
            let message = "The call does not answer; it may still do it";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error::UNAVAILABLE, message)
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// What stands before the API.
#[derive(Clone, Debug)]
pub struct Gate {
    house: Arc<House>,
    attempts: Arc<Mutex<Attempts>>,
    began: Instant,
}

impl Gate {
    /// One that nobody failed at yet.
    #[must_use]
    pub fn new(house: Arc<House>) -> Self {
        Self { house, attempts: Arc::default(), began: Instant::now() }
    }

    /// Whether these credentials are let in.
    fn admit(&self, peer: IpAddr, authorization: Option<&[u8]>) -> Result<(), ApiError> {
        let now = self.began.elapsed();
        // Nothing in there is left half done by a panic.
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = attempts.shut_out(peer, now) {
            return Err(too_many_failures(wait));
        }
        // A request without credentials asks what is needed, and guesses nothing.
        let authorization = authorization.ok_or_else(ApiError::unauthorized)?;
        if is_signed_in(&self.house.account, authorization) {
            attempts.succeeded(peer, now);
            return Ok(());
        }
        match attempts.failed(peer, now) {
            Failure::Counted => Err(ApiError::unauthorized()),
            Failure::Last => {
                tracing::warn!(%peer, "too many failed sign-ins to the API: further ones are told to wait");
                Err(ApiError::unauthorized())
            }
            Failure::TooMany(wait) => Err(too_many_failures(wait)),
        }
    }
}

fn too_many_failures(wait: Duration) -> ApiError {
    let mut error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, error::TOO_MANY, "Too many failed authentications");
    error.retry_after = Some(wait);
    error
}

/// Lets in who knows the account's token, and only to the account's own resources. What is below neither [`ROOT`] nor
/// [`OWN_ROOT`] passes.
pub async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !is_of_the_api(path) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|ConnectInfo(Peer(address))| address.ip());
    let authorization = request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    if let Err(refused) = gate.admit(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), authorization) {
        return refused.into_response();
    }
    let account = below(ROOT, path)
        .and_then(|resource| resource.strip_prefix("/Accounts/"))
        .and_then(|rest| rest.split('/').next());
    if account.is_some_and(|sid| sid != gate.house.account.sid) {
        return ApiError::not_found(path).into_response();
    }
    next.run(request).await
}

/// The answer for a path that there is not.
pub async fn no_such_path(OriginalUri(uri): OriginalUri) -> Response {
    match is_of_the_api(uri.path()) {
        true => ApiError::not_found(uri.path()).into_response(),
        false => (StatusCode::NOT_FOUND, "there is nothing here\n").into_response(),
    }
}

/// The answer for a method that a path does not have.
pub async fn no_such_method(OriginalUri(uri): OriginalUri) -> Response {
    match is_of_the_api(uri.path()) {
        true => ApiError::method_not_allowed().into_response(),
        false => (StatusCode::METHOD_NOT_ALLOWED, "this path has no such method\n").into_response(),
    }
}

fn is_of_the_api(path: &str) -> bool {
    below(ROOT, path).is_some() || below(OWN_ROOT, path).is_some()
}

fn below<'p>(root: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether an `Authorization` header is the account's (RFC 7617), in time that depends on the lengths alone.
fn is_signed_in(account: &Account, authorization: &[u8]) -> bool {
    let Some((scheme, encoded)) = authorization.split_at_checked(6) else { return false };
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return false;
    }
    let Ok(given) = STANDARD.decode(encoded.trim_ascii()).map(zeroize::Zeroizing::new) else { return false };
    let Some(colon) = given.iter().position(|byte| *byte == b':') else { return false };
    let (sid, token) = given.split_at(colon);
    let token = token.get(1..).unwrap_or_default();
    let right_sid = sid.ct_eq(account.sid.as_bytes());
    let right_token = token.ct_eq(account.auth_token.expose().as_bytes());
    (right_sid & right_token).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn account() -> Account {
        Account { sid: format!("AC{:032x}", 7), auth_token: Secret::new("to:ken".into()), is_new: false }
    }

    fn lets_in(header: &str) -> bool {
        is_signed_in(&account(), header.as_bytes())
    }

    fn basic(sid: &str, token: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{sid}:{token}")))
    }

    #[test]
    fn only_the_account_s_id_and_token_together_are_let_in() {
        let sid = account().sid;
        assert!(lets_in(&basic(&sid, "to:ken")));
        assert!(lets_in(&basic(&sid, "to:ken").replace("Basic", "bASIC")), "a scheme has no case");
        for wrong in [
            basic(&sid, "to:kem"),
            basic(&sid, ""),
            basic(&sid, "to:ken "),
            basic("", "to:ken"),
            basic(&sid.to_lowercase(), "to:ken"),
            basic(&sid, "to:ken").replace("Basic", "Bearer"),
            basic(&sid, "to:ken").replace("Basic ", "Basic"),
            format!("Basic {}", STANDARD.encode(&sid)),
            format!("Basic {sid}:to:ken"),
            "Basic ".to_owned(),
            "Ba".to_owned(),
            String::new(),
        ] {
            assert!(!lets_in(&wrong), "{wrong}");
        }
    }

    #[test]
    fn the_api_begins_at_its_versions_and_nowhere_else() {
        assert_eq!(below(ROOT, "/2010-04-01/Accounts/AC1"), Some("/Accounts/AC1"));
        assert_eq!(below(ROOT, "/2010-04-01"), Some(""));
        assert_eq!(below(ROOT, "/2010-04-011/x"), None);
        for (path, is) in [("/v1/payments", true), ("/v1", true), ("/v11/payments", false), ("/healthz", false)] {
            assert_eq!(is_of_the_api(path), is, "{path}");
        }
    }
}
