//! Requests to the merchant's application: documents, callbacks, media.
//!
//! Shape:   [`Outbound::send`], one request and one answer; the caller decides about another.
//! Limits:  targets as [`TargetPolicy`] says, checked on the addresses themselves; time and bytes as the request says.
//! Errors:  [`OutboundError`].
//! Secrets: form values and a GET's query go into the request and nowhere else.
//! Sources: Twilio, "Security" (signature, Basic authentication out of the URL) and "Webhooks" (idempotency token).

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method};
use url::{Host, Url};
use uuid::Uuid;

use super::address::Reach;
use super::resolve::{Filtered, is_unreachable};
use super::{ClientError, builder, plain_client, read_body, reason, shown_url, tls_client};
use crate::form::Form;
use crate::secret::Secret;

/// How long an idle connection is kept: shorter than web servers usually keep theirs (2 s and more), so that a request
/// does not meet a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How much of a `Content-Type` is kept, in bytes.
const CONTENT_TYPE_MAX: usize = 256;

/// The longest `Location` that is followed, in bytes. Chosen freely: what browsers take is of this order.
const LOCATION_MAX: usize = 8 * 1024;

/// Where requests to the application may go (`allow_http_callbacks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetPolicy {
    /// https to public addresses.
    PublicHttps,
    /// That, and this machine by http or https: for a server that itself listens on loopback only.
    PublicHttpsAndLoopback,
    /// http and https to public, private and loopback addresses. Link-local addresses stay out of reach.
    Open,
}

impl TargetPolicy {
    /// The policy of a configuration: its `allow_http_callbacks` and the address it listens on.
    #[must_use]
    pub fn of(allow_http_callbacks: bool, listen: IpAddr) -> Self {
        match (allow_http_callbacks, listen.to_canonical().is_loopback()) {
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
    /// An absolute URL. `user:password@` becomes Basic authentication; a fragment stays here.
    pub url: String,
    /// The fields.
    pub form: Form,
    /// Signs the request (`X-Twilio-Signature`); `None`: unsigned.
    pub auth_token: Option<Secret>,
    /// `I-Twilio-Idempotency-Token`: the same for every try of one request.
    pub idempotency_token: Option<Uuid>,
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

/// The clients for requests to the application.
#[derive(Clone, Debug)]
pub struct Outbound {
    policy: TargetPolicy,
    plain: Client,
    tls: Client,
    has_certificates: bool,
}

impl Outbound {
    /// Makes the clients. A machine without CA certificates gets a warning here and an error at each https request.
    ///
    /// # Errors
    /// When the TLS library cannot be set up at all.
    pub fn new(policy: TargetPolicy) -> Result<Self, ClientError> {
        let client = |reach| builder().pool_idle_timeout(IDLE_TIMEOUT).dns_resolver(Filtered(reach));
        let plain = plain_client(client(policy.plain_reach()))?;
        let (tls, has_certificates) = tls_client(|| client(policy.tls_reach()))?;
        Ok(Self { policy, plain, tls, has_certificates })
    }

    /// As where names lead to other addresses than they do here: those of `reach` only may be reached by name.
    #[cfg(test)]
    pub(crate) fn with_names_reaching(policy: TargetPolicy, reach: Reach) -> Result<Self, ClientError> {
        let plain = plain_client(builder().dns_resolver(Filtered(reach)))?;
        Ok(Self { plain, ..Self::new(policy)? })
    }

    /// As on a machine without CA certificates.
    #[cfg(test)]
    pub(super) fn without_certificates(self) -> Self {
        Self { has_certificates: false, ..self }
    }

    /// Sends one request and reads its answer. A status other than 2xx is an answer too.
    ///
    /// # Errors
    /// When there is no answer; the variant tells whether the request can have arrived.
    pub async fn send(&self, request: &OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let url = target(request)?;
        let client = self.client(&url)?;
        let mut builder = client.request(request.method.clone(), url.clone()).timeout(request.timeout);
        let in_body = request.method == Method::POST;
        if let Some(auth_token) = &request.auth_token {
            let signature =
                crate::signature::sign(auth_token, as_signed(&url).as_str(), in_body.then_some(&request.form));
            builder = builder.header("X-Twilio-Signature", signature);
        }
        if let Some(token) = request.idempotency_token {
            builder = builder.header("I-Twilio-Idempotency-Token", token.to_string());
        }
        if in_body {
            builder = builder
                .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
                .body(Bytes::from_owner(Encoded(request.form.encoded())));
        }
        let mut response = builder.send().await.map_err(|error| fault(&error))?;
        let mut body = Vec::new();
        let cut = read_body(&mut response, request.body_limit, &mut body).await.map_err(|error| fault(&error))?;
        let status = response.status().as_u16();
        tracing::debug!(method = %request.method, url = shown_url(&url), status, "application answered");
        Ok(OutboundResponse {
            status,
            content_type: header(&response, CONTENT_TYPE, CONTENT_TYPE_MAX),
            location: header(&response, LOCATION, LOCATION_MAX),
            body: Bytes::from(body),
            cut,
        })
    }

    /// The client for a URL's scheme. An address written out in the URL never meets the resolver: it is checked here.
    fn client(&self, url: &Url) -> Result<&Client, OutboundError> {
        let (client, reach) = match url.scheme() {
            "https" => (&self.tls, self.policy.tls_reach()),
            _ => (&self.plain, self.policy.plain_reach()),
        };
        let plain = url.scheme() != "https";
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
            _ if !plain && !self.has_certificates => Err(OutboundError::NoCertificates),
            _ => Ok(client),
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

fn fault(error: &reqwest::Error) -> OutboundError {
    if is_unreachable(error) {
        OutboundError::AddressNotAllowed
    } else if error.is_builder() {
        OutboundError::InvalidUrl
    } else if error.is_connect() {
        OutboundError::NotReached(reason(error))
    } else if error.is_timeout() {
        OutboundError::TimedOut
    } else {
        OutboundError::Broken(reason(error))
    }
}

fn header(response: &reqwest::Response, name: HeaderName, longest: usize) -> Option<String> {
    let text = response.headers().get(name)?.to_str().ok()?;
    (text.len() <= longest).then(|| text.to_owned())
}

/// An encoded form on its way out, wiped when the last of it is sent.
struct Encoded(Secret);

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}
