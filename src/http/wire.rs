//! One request over the wire: what [`Outbound`](super::Outbound) and [`Gateway`](super::Gateway) stand on.
//!
//! Shape:   [`Transport::exchange`]: a request in, an answer out, never a second request. [`Clients`] is the one that uses
//!          the network; a simulation brings its own. What may be asked, what is signed and what an answer means is
//!          decided above.
//! Limits:  a request's own, in time and in bytes; those of its bulkhead ([`super::bulkhead`]).
//! Errors:  [`WireFault`], split by whether the request can have arrived.
//! Secrets: bodies are wiped by whoever made them; no fault holds a URL, a header or a body.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::HeaderMap;
use reqwest::{Client, ClientBuilder, Method};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::address::Reach;
use super::bulkhead::{Bulkhead, Crowd, InFlight};
use super::resolve::{Filtered, Lookups, is_unreachable};
use super::{ClientError, plain_client, read_body, reason, tls_client};
use crate::deadline;

/// One request, ready to go. No `Debug`: what is in it is secret.
pub struct WireRequest {
    /// The method.
    pub method: Method,
    /// An absolute http or https URL. Credentials in it are sent as Basic authentication.
    pub url: Url,
    /// The headers, credentials among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Option<Bytes>,
    /// How long until the whole answer must be there.
    pub timeout: Duration,
    /// How many bytes of the answer are read.
    pub body_limit: usize,
}

/// An answer, whatever its status. No `Debug`, as with requests.
pub struct WireResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// What came of the body.
    pub body: Zeroizing<Vec<u8>>,
    /// How the body ended.
    pub end: BodyEnd,
}

/// How the reading of a body ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// All of it is there.
    Whole,
    /// There was more than was asked for.
    Cut,
    /// No more came.
    Broken(WireFault),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireFault {
    /// Never sent: it makes no HTTP request.
    #[error("{0}")]
    Unsendable(String),
    /// Never sent: the name leads to addresses only that may not be reached.
    #[error("{0}")]
    OutOfReach(String),
    /// Never sent: nothing to check an https server with.
    #[error("this machine has no CA certificates, so https cannot be used: install its ca-certificates package")]
    NoCertificates,
    /// No connection came about: nothing was sent.
    #[error("{0}")]
    NotReached(String),
    /// The request may have arrived; nothing came in time.
    #[error("nothing came in time")]
    TimedOut,
    /// The request may have arrived; the connection broke.
    #[error("{0}")]
    Broken(String),
}

/// Carries requests to servers.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends one request, once, and reads its answer as far as it comes. Follows no redirect.
    fn exchange(&self, request: WireRequest) -> BoxFuture<'_, Result<WireResponse, WireFault>>;
}

/// Over the network: a client for http and one for https. One such pair serves one bulkhead.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    plain: Client,
    tls: Client,
    has_certificates: bool,
    in_flight: InFlight,
}

impl Clients {
    /// Makes the clients with `make`: what http reaches by name, and what https does (none: everything).
    pub(super) fn new(
        make: impl Fn() -> ClientBuilder,
        plain: Reach,
        tls: Option<Reach>,
        lookups: &Arc<Lookups>,
        (bulkhead, crowd): (Bulkhead, Crowd),
    ) -> Result<Self, ClientError> {
        let within = |reach| make().dns_resolver(Filtered { reach, lookups: Arc::clone(lookups) });
        let plain = plain_client(within(Some(plain)))?;
        let (tls, has_certificates) = tls_client(|| within(tls))?;
        Ok(Self { plain, tls, has_certificates, in_flight: InFlight::of(bulkhead, crowd) })
    }

    /// As on a machine without CA certificates.
    #[cfg(test)]
    pub(super) fn without_certificates(self) -> Self {
        Self { has_certificates: false, ..self }
    }
}

impl Transport for Clients {
    fn exchange(&self, request: WireRequest) -> BoxFuture<'_, Result<WireResponse, WireFault>> {
        let WireRequest { method, url, headers, body, timeout, body_limit } = request;
        async move {
            let client = match url.scheme() {
                "https" if !self.has_certificates => return Err(WireFault::NoCertificates),
                "https" => &self.tls,
                _ => &self.plain,
            };
            // The time in the queue is part of the request's own.
            let deadline = Instant::now() + timeout;
            let host = url.host_str().unwrap_or_default();
            let _place = self
                .in_flight
                .enter(host, timeout)
                .await
                .map_err(|no_place| WireFault::NotReached(no_place.to_string()))?;
            // Not reqwest's own timeout, which does not look at what has arrived while the process was stopped.
            let mut builder = client.request(method, url).headers(headers);
            if let Some(body) = body {
                builder = builder.body(body);
            }
            let sent = deadline::until(deadline, builder.send()).await.map_err(|_| WireFault::TimedOut)?;
            let mut response = sent.map_err(|error| fault(&error))?;
            let mut body = Zeroizing::new(Vec::with_capacity(4096.min(body_limit)));
            let end = match deadline::until(deadline, read_body(&mut response, body_limit, &mut body)).await {
                Ok(Ok(false)) => BodyEnd::Whole,
                Ok(Ok(true)) => BodyEnd::Cut,
                Ok(Err(error)) => BodyEnd::Broken(fault(&error)),
                Err(_) => BodyEnd::Broken(WireFault::TimedOut),
            };
            let status = response.status().as_u16();
            Ok(WireResponse { status, headers: std::mem::take(response.headers_mut()), body, end })
        }
        .boxed()
    }
}

fn fault(error: &reqwest::Error) -> WireFault {
    // First: reqwest counts it among the failures to connect.
    if is_unreachable(error) {
        WireFault::OutOfReach(reason(error))
    } else if error.is_builder() {
        WireFault::Unsendable(reason(error))
    } else if error.is_connect() {
        WireFault::NotReached(reason(error))
    } else if error.is_timeout() {
        WireFault::TimedOut
    } else {
        WireFault::Broken(reason(error))
    }
}
