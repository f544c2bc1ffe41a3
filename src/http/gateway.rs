//! Requests to gateways, at endpoints that an operator configured.
//!
//! Shape:   [`Gateway::send`], one request and one reply. It never sends anything twice.
//! Limits:  https, or http to this machine ([`Endpoint`]); no redirect, no reuse of a connection, 64 KiB of a reply unless the
//!          request wants more.
//! Errors:  [`GatewayFault`]: not sent, or nobody knows.
//! Secrets: a [`WipedBody`] holds card data: it is wiped when the last of it is sent and it has no `Debug` of its contents.
//!          Credentials are marked as such for the HTTP library, which then keeps them out of its own traces.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use url::{Host, Url};
use zeroize::Zeroizing;

use super::address::Reach;
use super::authorization::{Authorization, RequestToSign};
use super::bulkhead::{Bulkhead, Crowd};
use super::resolve::Resolver;
use super::wire::{BodyEnd, Clients, Transport, WireFault, WireRequest, WireResponse};
use super::{ClientError, builder, shown_url};
use crate::clock::WallClock;

/// How much of a reply is read, in bytes. Our choice: a gateway's answer has some hundred.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;

/// The longest wait a gateway can ask for; a longer one is taken for this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Where a gateway is: https, or http on this machine, without credentials or a fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a text is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No absolute http or https URL.
    #[error("an absolute URL is needed, such as https://gateway.example.com/pay")]
    InvalidUrl,
    /// Plain http to another machine.
    #[error("card data travels by https only; http is for 127.0.0.1, [::1] and localhost")]
    PlainHttp,
    /// `user:password@`.
    #[error("credentials in the URL would be shown with it: use `username` and `password`")]
    Credentials,
    /// `#...`.
    #[error("a fragment (#...) is never sent")]
    Fragment,
}

impl Endpoint {
    /// Reads an endpoint.
    ///
    /// # Errors
    /// When card data could not or must not be sent there.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let url = Url::parse(text).map_err(|_| EndpointError::InvalidUrl)?;
        let loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => return Err(EndpointError::InvalidUrl),
        };
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(EndpointError::PlainHttp),
            _ => return Err(EndpointError::InvalidUrl),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(EndpointError::Fragment);
        }
        Ok(Self(url))
    }

    /// Another address of the same gateway: `path` behind its own, with this query.
    #[must_use]
    pub fn at(&self, path: &str, query: &[(&str, &str)]) -> Self {
        let mut url = self.0.clone();
        let whole = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&whole);
        url.set_query(None);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Self(url)
    }

    /// Whether it has a query of its own.
    #[must_use]
    pub fn has_query(&self) -> bool {
        self.0.query().is_some()
    }

    /// The whole URL, for requests and for the store; a query may hold a key.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Endpoint {
    /// Without the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_url(&self.0))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// Bytes on their way to a gateway, wiped when the last of them is sent.
pub struct WipedBody(Zeroizing<Vec<u8>>);

impl WipedBody {
    /// Takes the bytes over. They should have been written into room enough: a buffer that grows leaves copies behind.
    #[must_use]
    pub const fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Length and capacity.
    #[cfg(test)]
    pub(crate) fn room(&self) -> (usize, usize) {
        (self.0.len(), self.0.capacity())
    }
}

impl AsRef<[u8]> for WipedBody {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WipedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(…)")
    }
}

/// One request.
#[derive(Debug)]
pub struct GatewayRequest<'a> {
    /// The method.
    pub method: Method,
    /// Where to.
    pub endpoint: &'a Endpoint,
    /// As whom.
    pub authorization: &'a Authorization,
    /// Further headers: content type, idempotency key. None of them may be secret.
    pub headers: HeaderMap,
    /// What.
    pub body: Option<WipedBody>,
    /// How long until the whole reply must be there.
    pub timeout: Duration,
    /// How many bytes of the reply's body are read: [`REPLY_BYTES_MAX`] but for lists.
    pub reply_bytes_max: usize,
}

/// A reply, whatever its status.
#[derive(Debug)]
pub struct GatewayReply {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`: seconds, or a date told as seconds from now, by the gateway's clock where it tells its time.
    pub retry_after: Option<Duration>,
    /// What time it is by the gateway's clock: `Date`.
    pub date: Option<Timestamp>,
    /// The body; `None` when it broke off, came too late or is longer than it may be.
    pub body: Option<Zeroizing<Vec<u8>>>,
}

/// Why there is no reply. The texts hold nothing of request or reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayFault {
    /// No connection came about: the request never left.
    #[error("not reached: {0}")]
    NotReached(String),
    /// The request may have arrived.
    #[error("no reply: {0}")]
    NoReply(String),
}

/// The way to gateways. One serves all connectors.
#[derive(Clone, Debug)]
pub struct Gateway {
    transport: Arc<dyn Transport>,
    wall_clock: WallClock,
}

impl Gateway {
    /// Makes the clients, with the default resolver. A machine without CA certificates gets a warning here and an error at
    /// each https request.
    ///
    /// # Errors
    /// When the TLS library cannot be set up at all.
    pub fn new() -> Result<Self, ClientError> {
        Self::with(&Resolver::default(), Crowd::default())
    }

    /// As [`Self::new`], with a resolver, for so many calls at a time.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(resolver: &Resolver, crowd: Crowd) -> Result<Self, ClientError> {
        Ok(Self::over(Arc::new(Self::clients(resolver, crowd)?), WallClock::System))
    }

    /// Over a transport of the embedder's own, with another clock than the machine's.
    #[must_use]
    pub fn over(transport: Arc<dyn Transport>, wall_clock: WallClock) -> Self {
        Self { transport, wall_clock }
    }

    fn clients(resolver: &Resolver, crowd: Crowd) -> Result<Clients, ClientError> {
        // A connection a request: with one that was used before, "the gateway closed it" and "the gateway got the
        // request and died" look alike, and the latter means that nobody knows whether the card was charged.
        let make = || builder().http1_only().pool_max_idle_per_host(0);
        // What `Endpoint` takes for this machine by its name really has to be it.
        let kind = Bulkhead::Gateways;
        Clients::new(make, Reach::LOOPBACK, None, &resolver.lookups(kind), (kind, crowd))
    }

    /// As on a machine without CA certificates.
    #[cfg(test)]
    pub(super) fn without_certificates() -> Result<Self, ClientError> {
        Ok(Self::over(
            Arc::new(Self::clients(&Resolver::default(), Crowd::default())?.without_certificates()),
            WallClock::System,
        ))
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.wall_clock.now()
    }

    /// Sends one request, once.
    ///
    /// # Errors
    /// When there is no reply; the variant tells whether the request can have arrived.
    pub async fn send(&self, request: GatewayRequest<'_>) -> Result<GatewayReply, GatewayFault> {
        let GatewayRequest { method, endpoint, authorization, mut headers, body, .. } = request;
        let url = endpoint.0.clone();
        let to_sign = RequestToSign {
            method: &method,
            url: &url,
            headers: &headers,
            body: body.as_ref().map(AsRef::as_ref).unwrap_or_default(),
            now: self.now(),
        };
        // Last of all: a signature covers the request as it leaves.
        let credentials =
            authorization.headers(&to_sign).map_err(|error| GatewayFault::NotReached(error.to_string()))?;
        headers.extend(credentials);
        let request = WireRequest {
            method,
            url,
            headers,
            body: body.map(Bytes::from_owner),
            timeout: request.timeout,
            body_limit: request.reply_bytes_max,
        };
        let WireResponse { status, headers, body, end } = self.transport.exchange(request).await?;
        let date = headers.get(DATE).and_then(date);
        Ok(GatewayReply {
            status,
            retry_after: headers
                .get(RETRY_AFTER)
                .and_then(|value| retry_after(value, date.unwrap_or_else(|| self.now()))),
            date,
            body: (end == BodyEnd::Whole).then_some(body),
        })
    }
}

impl From<WireFault> for GatewayFault {
    fn from(fault: WireFault) -> Self {
        let reason = fault.to_string();
        match fault {
            WireFault::Unsendable(_)
            | WireFault::OutOfReach(_)
            | WireFault::NoCertificates
            | WireFault::NotReached(_) => Self::NotReached(reason),
            WireFault::TimedOut | WireFault::Broken(_) => Self::NoReply(reason),
        }
    }
}

/// Reads a date (RFC 9110, section 5.6.7).
fn date(value: &HeaderValue) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(value.to_str().ok()?.trim()).ok().map(|date| date.timestamp())
}

/// Reads `Retry-After`: a number of seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // Too many digits for a number are a very long wait all the same.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        Duration::try_from(date(value)?.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_https_or_on_this_machine() {
        for good in [
            "https://gateway.example.com/pay?tenant=1",
            "https://10.0.0.8/pay",
            "http://127.0.0.1:9000/pay",
            "http://[::1]/",
            "http://localhost:1/x",
            "http://pay.localhost/",
        ] {
            assert!(Endpoint::parse(good).is_ok(), "{good}");
        }
        for (bad, error) in [
            ("http://gateway.example.com/pay", EndpointError::PlainHttp),
            ("http://10.0.0.8/pay", EndpointError::PlainHttp),
            ("http://localhost.example.com/", EndpointError::PlainHttp),
            ("ftp://127.0.0.1/", EndpointError::InvalidUrl),
            ("/pay", EndpointError::InvalidUrl),
            ("", EndpointError::InvalidUrl),
            ("https://user:pass@gateway.example.com/", EndpointError::Credentials),
            ("https://gateway.example.com/#pay", EndpointError::Fragment),
        ] {
            assert_eq!(Endpoint::parse(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_is_shown_without_its_query() {
        let endpoint = Endpoint::parse("https://gateway.example.com/pay?code=k1").unwrap();
        assert_eq!(format!("{endpoint} {endpoint:?}"), {
            "https://gateway.example.com/pay Endpoint(https://gateway.example.com/pay)"
        });
        assert_eq!(endpoint.expose(), "https://gateway.example.com/pay?code=k1");
    }

    #[test]
    fn an_address_of_a_gateway_stands_behind_its_own_path() {
        for (base, whole) in [
            ("https://gateway.example.com", "https://gateway.example.com/v1/things?limit=1&created%5Bgte%5D=2"),
            ("http://localhost:12/stripe/?key=k", "http://localhost:12/stripe/v1/things?limit=1&created%5Bgte%5D=2"),
        ] {
            let base = Endpoint::parse(base).unwrap();
            assert_eq!(base.at("/v1/things", &[("limit", "1"), ("created[gte]", "2")]).expose(), whole);
            assert_eq!(base.at("/v1/things", &[]).expose(), whole.split('?').next().unwrap());
        }
        assert!(Endpoint::parse("https://x.example/?k").unwrap().has_query());
        assert!(!Endpoint::parse("https://x.example/").unwrap().has_query());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Sun, 22 Nov 2026 10:00:30 GMT", Some(30)),
            ("Sun, 22 Nov 2026 09:00:00 GMT", Some(0)),
            ("99999999999999999999999", Some(86_400)),
            ("", None),
            ("-1", None),
            ("soon", None),
        ] {
            let value = HeaderValue::from_str(text).unwrap();
            assert_eq!(retry_after(&value, now), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
