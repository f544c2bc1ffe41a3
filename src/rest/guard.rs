//! Who is let in: credentials compared, and the failures of each address counted for every way in together.
//!
//! Shape:   [`guard`] stands before the REST API; [`SignIns::check`] is for whatever else has credentials.
//! Limits:  [`super::attempts`].
//! Errors:  [`NotSignedIn`].
//! Secrets: compared in constant time; neither told nor logged.
//! Sources: RFC 7617 (HTTP Basic).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use utoipa::PartialSchema;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Header, OpenApi, RefOr, Schema};

use super::answers;
use super::attempts::{Attempts, Failure};
use super::error::{self, ApiError};
use super::{ROOT, below, is_of_the_api};
use crate::account::Account;
use crate::http::TrustedProxies;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Peer {
    /// The address that failures are counted for. Where nobody told, all are one.
    #[must_use]
    pub fn ip(extensions: &axum::http::Extensions) -> IpAddr {
        let peer = extensions.get::<ConnectInfo<Self>>().map(|ConnectInfo(Self(address))| address.ip());
        peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// Whose request it is, for limits, the audit trail and logs: that of the connection's other end, or of whom a proxy of
/// ours heard from.
#[must_use]
pub fn client(trusted: &TrustedProxies, extensions: &axum::http::Extensions, headers: &HeaderMap) -> IpAddr {
    trusted.client(Peer::ip(extensions), headers)
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSignedIn {
    /// There are no credentials: whoever sends none asks what is needed, and guesses nothing.
    #[error("there are no credentials")]
    Missing,
    /// They are wrong.
    #[error("the credentials are wrong")]
    Wrong,
    /// There were too many wrong ones; so long is to be waited.
    #[error("too many failed sign-ins from this address; it is to wait {} s", .0.as_secs())]
    Wait(Duration),
}

/// Sign-ins at every door of one server: who guesses at one of them is known at the others.
#[derive(Clone, Debug)]
pub struct SignIns {
    attempts: Arc<Mutex<Attempts>>,
    began: Instant,
}

impl Default for SignIns {
    fn default() -> Self {
        Self { attempts: Arc::default(), began: Instant::now() }
    }
}

impl SignIns {
    /// Whether `peer` is let in at `door` (its name in the log) with what was `given`; `is_right` compares it. `account`: whose
    /// credentials they claim to be, if there is one of that name.
    ///
    /// # Errors
    /// [`NotSignedIn`]
    pub fn check<T>(
        &self,
        peer: IpAddr,
        door: &'static str,
        account: Option<&str>,
        given: Option<T>,
        is_right: impl FnOnce(T) -> bool,
    ) -> Result<(), NotSignedIn> {
        let now = self.began.elapsed();
        // Held while the credentials are compared: guesses that come together are counted one by one. Nothing in there
        // is left half done by a panic.
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = attempts.shut_out(peer, now) {
            return Err(NotSignedIn::Wait(wait));
        }
        let given = given.ok_or(NotSignedIn::Missing)?;
        if is_right(given) {
            attempts.succeeded(peer, now);
            return Ok(());
        }
        match attempts.failed(peer, account, now) {
            Failure::Counted => Err(NotSignedIn::Wrong),
            Failure::Last => {
                tracing::warn!(%peer, interface = door, "address failed to sign in too often; telling it to wait");
                Err(NotSignedIn::Wrong)
            }
            Failure::LastOfShared(wait) => {
                tracing::warn!(
                    %peer,
                    interface = door,
                    "address that is not public failed to sign in too often; looking at no sign-in from it until the minute is \
                     over: if a proxy has it, name it in trusted_proxies, so that those behind it are told apart"
                );
                Err(NotSignedIn::Wait(wait))
            }
            Failure::TooMany(wait) => Err(NotSignedIn::Wait(wait)),
        }
    }
}

/// What stands before the API.
#[derive(Clone, Debug)]
pub struct Gate {
    account: Arc<Account>,
    trusted_proxies: Arc<TrustedProxies>,
    sign_ins: SignIns,
}

impl Gate {
    /// One that counts with `sign_ins`.
    #[must_use]
    pub const fn new(account: Arc<Account>, trusted_proxies: Arc<TrustedProxies>, sign_ins: SignIns) -> Self {
        Self { account, trusted_proxies, sign_ins }
    }

    /// Whether these credentials are let in.
    fn admit(&self, peer: IpAddr, authorization: Option<&[u8]>) -> Result<(), ApiError> {
        let is_right = |given: &[u8]| is_signed_in(&self.account, given);
        let claimed = authorization.is_some_and(|given| claims(&self.account, given));
        let account = claimed.then_some(self.account.sid.as_str());
        self.sign_ins.check(peer, "the API", account, authorization, is_right).map_err(|not| match not {
            NotSignedIn::Missing | NotSignedIn::Wrong => ApiError::unauthorized(),
            NotSignedIn::Wait(wait) => too_many_failures(wait),
        })
    }
}

fn too_many_failures(wait: Duration) -> ApiError {
    let mut error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, error::TOO_MANY, "Too many failed authentications");
    error.retry_after = Some(wait);
    error
}

/// The name of the credentials in the description.
pub const SCHEME: &str = "account";

/// Says of every request that it needs credentials, and what is answered without them.
pub(super) fn describe(description: &mut OpenApi) {
    for item in description.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete, &mut item.put];
        for operation in operations.into_iter().flatten() {
            operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])]);
            let responses = &mut operation.responses.responses;
            let challenge = header(String::schema(), "Basic");
            let wrong = answers::error("Wrong or no credentials").header("WWW-Authenticate", challenge);
            responses.insert("401".to_owned(), wrong.into());
            let too_many = match responses.get("429") {
                Some(RefOr::T(own)) => {
                    format!("{}, or too many failed authentications from this address", own.description)
                }
                _ => "Too many failed authentications from this address".to_owned(),
            };
            let wait = header(u64::schema(), "Seconds to wait, after failed authentications");
            responses.insert("429".to_owned(), answers::error(&too_many).header("Retry-After", wait).into());
        }
    }
}

fn header(schema: RefOr<Schema>, description: &str) -> Header {
    let mut header = Header::new(schema);
    header.description = Some(description.to_owned());
    header
}

/// Lets in who knows the account's token, and only to the account's own resources. What is below neither
/// [`ROOT`] nor [`OWN_ROOT`](super::OWN_ROOT) passes.
pub async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !is_of_the_api(path) {
        return next.run(request).await;
    }
    let peer = client(&gate.trusted_proxies, request.extensions(), request.headers());
    let authorization = request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    if let Err(refused) = gate.admit(peer, authorization) {
        return refused.into_response();
    }
    // Only now: whoever is not let in learns nothing of what there is.
    let account = below(ROOT, path)
        .and_then(|resource| resource.strip_prefix("/Accounts/"))
        .and_then(|rest| rest.split('/').next());
    if account.is_some_and(|sid| sid != gate.account.sid) {
        return ApiError::not_found(path).into_response();
    }
    next.run(request).await
}

/// Name and password of an `Authorization` header (RFC 7617).
fn basic(authorization: &[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let (scheme, encoded) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    STANDARD.decode(encoded.trim_ascii()).map(zeroize::Zeroizing::new).ok()
}

/// Whether an `Authorization` header names the account; its id is no secret.
fn claims(account: &Account, authorization: &[u8]) -> bool {
    basic(authorization).is_some_and(|given| given.split(|byte| *byte == b':').next() == Some(account.sid.as_bytes()))
}

/// Whether an `Authorization` header is the account's, in time that depends on the lengths alone.
fn is_signed_in(account: &Account, authorization: &[u8]) -> bool {
    let Some(given) = basic(authorization) else { return false };
    let Some(colon) = given.iter().position(|byte| *byte == b':') else { return false };
    let (sid, token) = given.split_at(colon);
    let token = token.get(1..).unwrap_or_default();
    let right_sid = sid.ct_eq(account.sid.as_bytes());
    let right_token = token.ct_eq(account.auth_token.expose().as_bytes());
    // Both are compared, whatever the first one says.
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
