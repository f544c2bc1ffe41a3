//! Whether an upgrade shows what it has to: a signature, or the secret.
//!
//! Errors:  [`Refused`]; the log says what was expected.
//! Secrets: nothing of a URL is logged but the name of a flow that there is.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderValue, header};

use super::answer::NotUpgraded;
use super::path::{NO_SUCH_FLOW, PathEnding};
use crate::media::dialect::Proof;
use crate::media::nonce::{AGE_MAX, NonceRefused, StreamNonce};
use crate::media::upgrade::{self, UpgradeRefused, upgrade_matches};
use crate::rest::guard::NotSignedIn;
use crate::secret::Secret;
use crate::server::ServerState;
use crate::signature;

/// What is asked of an upgrade: the dialect's name, and how it is to be proven.
pub(super) type Required = (&'static str, Proof);

/// Whether the upgrade shows what is required; what is still to be used up then. None: a path of its dialect does not end
/// so. `flow` is what may be shown of it.
pub(super) fn proven(
    state: &ServerState,
    (platform, proof): Required,
    ending: PathEnding,
    flow: &str,
    parts: &Parts,
    peer: IpAddr,
) -> Option<Result<Option<StreamNonce>, Refused>> {
    let signed = |ending: &str| signed(state, (platform, flow), parts, ending);
    Some(match (proof, ending) {
        // Whoever signs has no secret, and whoever does not has nothing that an expiry could be signed with.
        (Proof::Signature, PathEnding::Secret(_)) | (Proof::Secret, PathEnding::Nonce(..)) => return None,
        (Proof::Signature, PathEnding::None) => signed("").and_then(|()| timely(state, None)),
        // The signature first: what nobody signed is not looked into.
        (Proof::Signature, PathEnding::Nonce(expires, value)) => signed("/…/…")
            .and_then(|()| StreamNonce::parse(&expires, &value).map_err(|why| Refused::Proof(why.into())))
            .and_then(|nonce| timely(state, Some(nonce))),
        (Proof::Secret, PathEnding::None) => known(state, platform, None, parts, peer).map(|()| None),
        (Proof::Secret, PathEnding::Secret(secret)) => known(state, platform, Some(secret), parts, peer).map(|()| None),
    })
}

/// Why an upgrade does not get in.
pub(super) enum Refused {
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

    pub(super) fn answer(self, flow: &str, peer: IpAddr) -> NotUpgraded {
        metrics::counter!("touchtone_upgrades_refused_total", "why" => self.word()).increment(1);
        match self {
            Self::Proof(refused @ (UpgradeRefused::Unsigned { .. } | UpgradeRefused::WrongSignature { .. })) => {
                tracing::warn!(
                    flow,
                    %peer,
                    status = 403,
                    reason = %refused,
                    "stream refused: no right signature; set public_url to the address that the platform calls"
                );
                NotUpgraded::Forbidden("the signature is missing or wrong\n")
            }
            Self::Proof(refused @ UpgradeRefused::NoPublicAddress) => {
                tracing::warn!(
                    flow,
                    %peer,
                    status = 403,
                    reason = %refused,
                    "stream refused: its signature cannot be checked"
                );
                NotUpgraded::Forbidden("the signature cannot be checked\n")
            }
            Self::Proof(refused @ UpgradeRefused::Nonce(NonceRefused::Full)) => {
                tracing::error!(
                    flow,
                    %peer,
                    status = 503,
                    reason = %refused,
                    "stream refused: no room to remember its URL"
                );
                NotUpgraded::Unavailable("too many calls\n".into())
            }
            Self::Proof(refused @ UpgradeRefused::Nonce(NonceRefused::Unknown)) => {
                tracing::warn!(
                    flow,
                    %peer,
                    status = 503,
                    reason = %refused,
                    "stream refused: the database cannot tell if its URL was used"
                );
                NotUpgraded::Unavailable("the database cannot be used\n".into())
            }
            Self::Proof(refused @ UpgradeRefused::Nonce(_)) => {
                tracing::warn!(
                    flow,
                    %peer,
                    status = 403,
                    reason = %refused,
                    "stream refused: its URL is not good for a call"
                );
                NotUpgraded::Forbidden("the URL is good for one call, and until it expires\n")
            }
            Self::Proof(refused) => {
                tracing::warn!(
                    flow,
                    %peer,
                    status = 403,
                    reason = %refused,
                    "stream refused: its secret is missing or wrong"
                );
                NotUpgraded::Forbidden("the secret is missing or wrong\n")
            }
            // Told once by who counts.
            Self::Wait(wait) => NotUpgraded::TooManyRequests(wait),
        }
    }
}

/// `ending` stands for what is behind it, where a refusal shows the path.
fn signed(state: &ServerState, (dialect, flow): (&str, &str), parts: &Parts, ending: &str) -> Result<(), Refused> {
    if !state.upgrades.require_signature {
        return Ok(());
    }
    let header = parts.headers.get(signature::HEADER).and_then(|value| value.to_str().ok());
    let shown = match (flow, ending) {
        (NO_SUCH_FLOW, _) => format!("/media/{dialect}/…"),
        (_, "") => parts.uri.path().to_owned(),
        (flow, ending) => format!("/media/{dialect}/{flow}{ending}"),
    };
    let token = &state.account.auth_token;
    let dialed = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(without_port);
    let spellings: Vec<&str> = state.upgrades.host_as_written.as_deref().into_iter().chain(dialed).collect();
    let way = upgrade_matches(token, &state.upgrades.public_url, &spellings, &parts.uri.to_string(), &shown, header)
        .map_err(Refused::Proof)?;
    tracing::debug!(spelling = way, "signature of the stream is right");
    Ok(())
}

/// The host of a `Host` header, in its own letters.
fn without_port(host: &str) -> Option<&str> {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    Some(host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(host, _)| host))
}

/// Whether the URL of a stream is one that is good now, and good once where that is demanded.
fn timely(state: &ServerState, nonce: Option<StreamNonce>) -> Result<Option<StreamNonce>, Refused> {
    let max_age = state.upgrades.max_age;
    match &nonce {
        None if max_age.is_some() => return Err(Refused::Proof(NonceRefused::Missing.into())),
        None => {}
        Some(nonce) => nonce
            .judge(state.services.payments.wall_clock.now().as_second(), max_age.unwrap_or(AGE_MAX))
            .map_err(|why| Refused::Proof(why.into()))?,
    }
    Ok(nonce)
}

fn known(
    state: &ServerState,
    platform: &'static str,
    of_path: Option<Secret>,
    parts: &Parts,
    peer: IpAddr,
) -> Result<(), Refused> {
    let Some(secret) = &state.upgrades.secret else {
        // A path that ends with one has none to end with.
        return if state.upgrades.require_signature || of_path.is_some() {
            Err(Refused::Proof(UpgradeRefused::NoSecretSet { platform }))
        } else {
            Ok(())
        };
    };
    let authorization = parts.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = upgrade::given(of_path, parts.uri.query(), authorization);
    let is_right = |given: Secret| secret.matches(given.expose());
    state.sign_ins.check(peer, "media streams", None, given, is_right).map_err(|not| match not {
        NotSignedIn::Missing => Refused::Proof(UpgradeRefused::NoSecret),
        NotSignedIn::Wrong => Refused::Proof(UpgradeRefused::WrongSecret),
        NotSignedIn::Wait(wait) => Refused::Wait(wait),
    })
}
