//! Requests to the merchant's application: documents, callbacks, media.
//!
//! Shape:   [`Outbound::send`], one request and one answer; the caller decides about another. What nobody waits for goes by
//!          [`Outbound::send_callback`]: it has clients and limits of its own.
//! Limits:  targets as [`TargetPolicy`] says, checked on the addresses themselves; time and bytes as the request says.
//! Errors:  [`OutboundError`].
//! Secrets: form values and a GET's query go into the request and nowhere else.
//! Sources: Twilio, "Security" (signature, Basic authentication out of the URL) and "Webhooks" (idempotency token).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, COOKIE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use tokio::time::Instant;
use url::{Host, Url};
use uuid::Uuid;

use super::address::Reach;
use super::bulkhead::{Bulkhead, Crowd};
use super::cookies::Jar;
use super::digest;
use super::gateway::retry_after;
use super::resolve::{Lookups, Resolver};
use super::wire::{BodyEnd, Clients, Transport, WireFault, WireRequest, WireResponse};
use super::{ClientError, builder, shown_url};
use crate::exposure::Exposure;
use crate::form::Form;
use crate::secret::Secret;

/// How long an idle connection is kept: shorter than web servers usually keep theirs (2 s and more), so that a request
/// does not meet a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How much of a `Content-Type` is kept, in bytes.
const CONTENT_TYPE_MAX: usize = 256;

/// The status of an answer that wants credentials.
const UNAUTHORIZED: u16 = 401;

/// The longest `Location` that is followed, in bytes. Chosen freely: what browsers take is of this order.
const LOCATION_MAX: usize = 8 * 1024;

/// Where requests to the application may go (`allow_http_callbacks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetPolicy {
    /// https to public addresses.
    PublicHttps,
    /// That, and this machine by http or https: for a server that only this machine can reach.
    PublicHttpsAndLoopback,
    /// http and https to public, private and loopback addresses. Link-local addresses stay out of reach.
    Open,
}

impl TargetPolicy {
    /// The policy of a configuration: its `allow_http_callbacks`, and who can reach the server.
    #[must_use]
    pub const fn of(allow_http_callbacks: bool, exposure: Exposure) -> Self {
        match (allow_http_callbacks, exposure.is_loopback_only()) {
            (true, _) => Self::Open,
            (false, true) => Self::PublicHttpsAndLoopback,
            (false, false) => Self::PublicHttps,
        }
    }

    const fn plain_reach(self) -> Reach {
        match self {
            Self::PublicHttps => Reach::NOWHERE,
            Self::PublicHttpsAndLoopback => Reach::LOOPBACK,
            Self::Open => Reach::OPEN,
        }
    }

    const fn tls_reach(self) -> Reach {
        match self {
            Self::PublicHttps => Reach::PUBLIC,
            Self::PublicHttpsAndLoopback => Reach { loopback: true, ..Reach::PUBLIC },
            Self::Open => Reach::OPEN,
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct OutboundRequest {
    /// POST sends the form in the body, every other method in the query.
    pub method: Method,
    /// An absolute URL. `user:password@` becomes Basic authentication, or the answer to a Digest challenge; a fragment stays
    /// here.
    pub url: String,
    /// The fields.
    pub form: Form,
    /// Signs the request (`X-Twilio-Signature`); `None`: unsigned.
    pub auth_token: Option<Secret>,
    /// `I-Twilio-Idempotency-Token`: the same for every try of one request.
    pub idempotency_token: Option<Uuid>,
    /// The cookies that go with it, and where those go that its answer sets. They are no part of the signature.
    pub cookies: Jar,
    /// How long until the whole answer must be there.
    pub timeout: Duration,
    /// How many bytes of the answer are read.
    pub body_limit: usize,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct OutboundResponse {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`, if it is text of at most 256 bytes.
    pub content_type: Option<String>,
    /// `Location`, if it is text of at most 8 KiB.
    pub location: Option<String>,
    /// `Retry-After`, at most a day: seconds, or a date told as seconds after the answer's own `Date`.
    pub retry_after: Option<Duration>,
    /// The body, as much of it as was asked for.
    pub body: Bytes,
    /// Whether there was more of it.
    pub cut: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// Never sent: no absolute http or https URL.
    #[error("not an absolute http or https URL")]
    InvalidUrl,
    /// Never sent: plain http, which the configuration does not allow there.
    #[error("plain http is not allowed there: use https, or set allow_http_callbacks = true")]
    PlainHttp,
    /// Never sent: an address the configuration does not allow.
    #[error("the address is not a public one: set allow_http_callbacks = true to reach private networks")]
    AddressNotAllowed,
    /// Never sent: nothing to check an https server with.
    #[error("this machine has no CA certificates, so https cannot be used: install its ca-certificates package")]
    NoCertificates,
    /// No connection came about: nothing was sent.
    #[error("not reached: {0}")]
    NotReached(String),
    /// The request may have arrived; no whole answer came in time.
    #[error("no answer in time")]
    TimedOut,
    /// The request may have arrived; the connection broke before the answer was whole.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// The way to the application.
#[derive(Clone, Debug)]
pub struct Outbound {
    policy: TargetPolicy,
    documents: Arc<dyn Transport>,
    callbacks: Arc<dyn Transport>,
}

impl Outbound {
    /// Makes the clients, with the default resolver. A machine without CA certificates gets a warning here and an error at
    /// each https request.
    ///
    /// # Errors
    /// When the TLS library cannot be set up at all.
    pub fn new(policy: TargetPolicy) -> Result<Self, ClientError> {
        Self::with(policy, &Resolver::default(), Crowd::default())
    }

    /// As [`Self::new`], with a resolver, for so many calls at a time.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(policy: TargetPolicy, resolver: &Resolver, crowd: Crowd) -> Result<Self, ClientError> {
        let clients =
            |bulkhead| Self::clients(policy, policy.plain_reach(), &resolver.lookups(bulkhead), (bulkhead, crowd));
        let (documents, callbacks) = (clients(Bulkhead::Documents)?, clients(Bulkhead::Callbacks)?);
        Ok(Self { policy, documents: Arc::new(documents), callbacks: Arc::new(callbacks) })
    }

    /// Over a transport of the embedder's own, which must look itself where names lead to, and keep what nobody waits for
    /// from holding up the rest. URLs are checked here.
    #[must_use]
    pub fn over(policy: TargetPolicy, transport: Arc<dyn Transport>) -> Self {
        Self { policy, documents: Arc::clone(&transport), callbacks: transport }
    }

    /// Clients by whose http `plain` is reached.
    pub(super) fn clients(
        policy: TargetPolicy,
        plain: Reach,
        lookups: &Arc<Lookups>,
        places: (Bulkhead, Crowd),
    ) -> Result<Clients, ClientError> {
        Clients::new(|| builder().pool_idle_timeout(IDLE_TIMEOUT), plain, Some(policy.tls_reach()), lookups, places)
    }

    /// As where names lead to other addresses than they do here: those of `reach` only may be reached by name.
    #[cfg(test)]
    pub(crate) fn with_names_reaching(policy: TargetPolicy, reach: Reach) -> Result<Self, ClientError> {
        let kind = Bulkhead::Documents;
        let lookups = Resolver::default().lookups(kind);
        let clients = Self::clients(policy, reach, &lookups, (kind, Crowd::default()))?;
        Ok(Self::over(policy, Arc::new(clients)))
    }

    /// As on a machine without CA certificates.
    #[cfg(test)]
    pub(super) fn without_certificates(policy: TargetPolicy) -> Result<Self, ClientError> {
        let kind = Bulkhead::Documents;
        let lookups = Resolver::default().lookups(kind);
        let clients = Self::clients(policy, policy.plain_reach(), &lookups, (kind, Crowd::default()))?;
        Ok(Self::over(policy, Arc::new(clients.without_certificates())))
    }

    /// Sends one request that somebody waits for, and reads its answer. A status other than 2xx is an answer too.
    ///
    /// # Errors
    /// When there is no answer; the variant tells whether the request can have arrived.
    pub async fn send(&self, request: &OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        self.send_over(&*self.documents, request).await
    }

    /// As [`Self::send`], for what nobody waits for.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_callback(&self, request: &OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        self.send_over(&*self.callbacks, request).await
    }

    async fn send_over(
        &self,
        transport: &dyn Transport,
        request: &OutboundRequest,
    ) -> Result<OutboundResponse, OutboundError> {
        let url = target(request)?;
        self.check(&url)?;
        let mut headers = HeaderMap::new();
        let in_body = request.method == Method::POST;
        if let Some(auth_token) = &request.auth_token {
            let signature =
                crate::signature::sign(auth_token, as_signed(&url).as_str(), in_body.then_some(&request.form));
            headers.insert("x-twilio-signature", text(&signature)?);
        }
        if let Some(token) = request.idempotency_token {
            headers.insert("i-twilio-idempotency-token", text(&token.to_string())?);
        }
        let body = in_body.then(|| Bytes::from_owner(Encoded(request.form.encoded())));
        if in_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        let since = Instant::now();
        let exchange = async |to: &Url, mut headers: HeaderMap| {
            // Anew for the second try: the answer to the first may have set some.
            if let Some(cookies) = request.cookies.header(&url) {
                headers.insert(COOKIE, cookies);
            }
            let answer = transport.exchange(WireRequest {
                method: request.method.clone(),
                url: to.clone(),
                headers,
                body: body.clone(),
                // Both tries share the request's time.
                timeout: request.timeout.saturating_sub(since.elapsed()),
                body_limit: request.body_limit,
            });
            let answer = answer.await?;
            request.cookies.receive(&url, &answer.headers);
            Ok::<_, WireFault>(answer)
        };
        let mut response = exchange(&url, headers.clone()).await?;
        // Basic authentication went with it: what is left is a server that wants Digest.
        if response.status == UNAUTHORIZED
            && let Some(authorization) = digest::respond(&url, &request.method, &response.headers)
        {
            headers.insert(AUTHORIZATION, authorization);
            // Without the URL's credentials, which would go out as Basic beside the response.
            response = exchange(&as_signed(&url), headers).await?;
        }
        let WireResponse { status, headers, mut body, end } = response;
        let cut = match end {
            BodyEnd::Whole => false,
            BodyEnd::Cut => true,
            BodyEnd::Broken(fault) => return Err(fault.into()),
        };
        tracing::debug!(method = %request.method, url = shown_url(&url), status, "application answered");
        Ok(OutboundResponse {
            status,
            content_type: header(&headers, CONTENT_TYPE, CONTENT_TYPE_MAX),
            location: header(&headers, LOCATION, LOCATION_MAX),
            retry_after: asked_to_wait(&headers),
            body: Bytes::from(std::mem::take(&mut *body)),
            cut,
        })
    }

    /// Whether a URL may be asked. An address written out in it never meets the resolver: it is checked here.
    fn check(&self, url: &Url) -> Result<(), OutboundError> {
        let plain = url.scheme() != "https";
        let reach = if plain { self.policy.plain_reach() } else { self.policy.tls_reach() };
        if plain && reach == Reach::NOWHERE {
            return Err(OutboundError::PlainHttp);
        }
        let address: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        match address {
            Some(address) if plain && !reach.admits(address) && self.policy.tls_reach().admits(address) => {
                Err(OutboundError::PlainHttp)
            }
            Some(address) if !reach.admits(address) => Err(OutboundError::AddressNotAllowed),
            _ => Ok(()),
        }
    }
}

/// The URL that is requested: the fragment gone, the fields of a request without a body in its query.
pub(super) fn target(request: &OutboundRequest) -> Result<Url, OutboundError> {
    let mut url = Url::parse(&request.url).map_err(|_| OutboundError::InvalidUrl)?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(OutboundError::InvalidUrl);
    }
    url.set_fragment(None);
    if request.method != Method::POST && request.form.iter().next().is_some() {
        let mut query = url.query_pairs_mut();
        for (name, value) in request.form.iter() {
            query.append_pair(name, value.expose());
        }
    }
    Ok(url)
}

/// The URL as the application sees it: the credentials went into a header.
fn as_signed(url: &Url) -> Url {
    let mut signed = url.clone();
    // These fail for URLs without a host, which `target` has refused.
    let _has_a_host = (signed.set_username(""), signed.set_password(None));
    signed
}

impl From<WireFault> for OutboundError {
    fn from(fault: WireFault) -> Self {
        match fault {
            WireFault::Unsendable(_) => Self::InvalidUrl,
            WireFault::OutOfReach(_) => Self::AddressNotAllowed,
            WireFault::NoCertificates => Self::NoCertificates,
            WireFault::NotReached(reason) => Self::NotReached(reason),
            WireFault::TimedOut => Self::TimedOut,
            WireFault::Broken(reason) => Self::Broken(reason),
        }
    }
}

/// A header's value. Signatures and tokens are ASCII.
fn text(value: &str) -> Result<HeaderValue, OutboundError> {
    HeaderValue::from_str(value).map_err(|_| OutboundError::InvalidUrl)
}

/// A date means something beside the server's own clock only.
fn asked_to_wait(headers: &HeaderMap) -> Option<Duration> {
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp());
    let value = headers.get(RETRY_AFTER)?;
    match date {
        Some(date) => retry_after(value, date),
        None => retry_after(value, jiff::Timestamp::MAX).filter(|wait| !wait.is_zero()),
    }
}

fn header(headers: &HeaderMap, name: HeaderName, longest: usize) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= longest).then(|| text.to_owned())
}

/// An encoded form on its way out, wiped when the last of it is sent.
struct Encoded(Secret);

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}
