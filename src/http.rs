//! Outgoing HTTP: the one place that makes clients.
//!
//! Shape:   [`Outbound`] asks the merchant's application (documents, callbacks, media) and goes only where
//!          [`TargetPolicy`] lets it; [`Gateway`] asks the endpoints an operator configured. One request, one answer: what
//!          is asked again, and when, is decided elsewhere. Both stand on a [`Transport`].
//! Limits:  gateways, documents and callbacks have clients, lookups and limits of their own ([`bulkhead`]), so that one dead
//!          name or server holds up nothing else. No client follows a redirect by itself ([`redirect`] says what the next request would be, and it is checked as
//!          the first one was), no proxy of the environment is used, every answer has a limit in bytes and in time.
//! Errors:  [`OutboundError`], [`GatewayFault`]: split by whether the request can have arrived.
//! Secrets: no error and no log line holds a body, a header, a URL's credentials or its query ([`shown`]).

use std::error::Error as _;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response, retry};
use url::Url;

use crate::mask;

pub mod address;
mod authorization;
mod bulkhead;
mod cookies;
mod digest;
mod gateway;
mod outbound;
mod proxies;
pub mod redirect;
mod resolve;
#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;
mod wire;

pub use authorization::{Authorization, RequestToSign, SignRequest};
pub use bulkhead::Crowd;
pub use cookies::Jar;
pub use gateway::{
    Endpoint, EndpointError, Gateway, GatewayFault, GatewayReply, GatewayRequest, REPLY_BYTES_MAX, WipedBody,
};
pub use outbound::{Outbound, OutboundError, OutboundRequest, OutboundResponse, TargetPolicy};
pub use proxies::{NoNetwork, TrustedProxies};
pub use reqwest::Method;
pub use resolve::{Resolver, ResolverKind};
pub use wire::{BodyEnd, Transport, WireFault, WireRequest, WireResponse};

/// What this program calls itself.
pub const USER_AGENT: &str = concat!("touchtone/", env!("CARGO_PKG_VERSION"));

/// How long a connection may take to come about, TLS included. Shorter than any answer is waited for, so that "not
/// reached" and "no answer" stay apart.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of an error's text is kept.
const REASON_CHARS_MAX: usize = 200;

/// No HTTP client could be made.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client can be made: {0}")]
pub struct ClientError(String);

/// Makes ring the process's cryptography, unless an embedder has chosen another already. May be called any number of
/// times.
pub fn install_crypto_provider() {
    // An error says that there is one already, which is what is wanted.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
}

/// Describes what is counted here.
pub fn describe() {
    resolve::describe();
}

/// A URL as it may be logged: without credentials, query and fragment, and with no number in its path.
#[must_use]
pub fn shown(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "(not a URL)".to_owned(), |url| shown_url(&url))
}

fn shown_url(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), mask::address(url.path()))
}

/// Reads at most `limit` bytes of a response; the flag tells that there was more.
async fn read_body(response: &mut Response, limit: usize, into: &mut Vec<u8>) -> Result<bool, reqwest::Error> {
    while let Some(chunk) = response.chunk().await? {
        let room = limit.saturating_sub(into.len());
        into.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if chunk.len() > room {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What every client has in common.
fn builder() -> ClientBuilder {
    install_crypto_provider();
    Client::builder()
        .user_agent(USER_AGENT)
        // Each hop is signed and checked anew (`redirect`), and card data follows none (spec/connectors.md 3.4).
        .redirect(reqwest::redirect::Policy::none())
        // Whether a request is repeated is decided by whoever asks: a second one may charge again.
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
}

/// A client for plain http: it needs no certificates, so none are loaded.
fn plain_client(builder: ClientBuilder) -> Result<Client, ClientError> {
    builder.tls_certs_only([]).build().map_err(|error| ClientError(reason(&error)))
}

/// A client for https and whether it has certificates to check a server with: without any it would refuse every server
/// with a misleading reason.
fn tls_client(make: impl Fn() -> ClientBuilder) -> Result<(Client, bool), ClientError> {
    match make().build() {
        Ok(client) => Ok((client, true)),
        Err(error) => {
            tracing::warn!(
                error = reason(&error),
                "machine has no CA certificates; every https request fails until they are installed"
            );
            Ok((plain_client(make())?, false))
        }
    }
}

/// The innermost cause of an error, shortened: a URL, a header or a body is never part of it.
fn reason(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    match cause {
        Some(cause) => cause.to_string().chars().take(REASON_CHARS_MAX).collect(),
        None if error.is_timeout() => "no answer in time".to_owned(),
        None => "the request failed".to_owned(),
    }
}
