//! Where a document comes from and where its links lead.
//!
//! Shape:   pure; [`Origin::resolve`] turns an attribute's text into a [`Target`].
//! Errors:  [`LinkError`] says what a usable link is.
//! Sources: spec/interface.md, "Flow documents" and `allow_http_callbacks`.

use std::fmt;

use url::{Host, Url};

use crate::mask;

/// Where a document came from: what its relative links are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The flows folder: relative links name other flows. The name is empty for a document given in place.
    Flow(String),
    /// A URL.
    Url(Url),
}

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A document of the flows folder: nothing is sent.
    Flow(String),
    /// The merchant's application.
    Url(Url),
}

impl fmt::Display for Target {
    /// A URL without its query and credentials, which may hold anything, and with no number in its path; or `flow NAME`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(name) => write!(f, "flow {}", mask::address(name)),
            Self::Url(url) => ShownUrl(url).fmt(f),
        }
    }
}

/// A URL as [`Target`] shows it.
#[derive(Clone, Copy)]
pub struct ShownUrl<'a>(pub &'a Url);

impl fmt::Display for ShownUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(url) = self;
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{}://{host}{port}{}", url.scheme(), mask::address(url.path()))
    }
}

impl fmt::Debug for ShownUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which targets may be asked without TLS. Addresses are checked again when a request is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// None.
    #[default]
    Never,
    /// Those on this machine: for a server that only this machine can reach.
    Loopback,
    /// All.
    Always,
}

/// Why a link cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No URL, and nothing that could be a flow's name.
    #[error("it is neither an absolute URL nor the name of a flow (letters, digits, - and _)")]
    NoFlowName,
    /// Not a URL.
    #[error("it is not a URL")]
    NoUrl,
    /// Another scheme than http and https.
    #[error("only https URLs can be asked")]
    Scheme,
    /// http where it is not allowed.
    #[error("it must be https; http needs allow_http_callbacks = true in the configuration")]
    NotHttps,
    /// A relative `statusCallback` in a document that has no URL.
    #[error("it must be an absolute URL, as this document has no URL of its own")]
    NotAbsolute,
    /// Empty in a document that has no URL.
    #[error("it must not be empty, as this document has no URL of its own")]
    Empty,
}

impl Origin {
    /// Where `link` leads, for attributes that may name a flow (`action`, `<Redirect>`).
    ///
    /// # Errors
    /// When it leads nowhere.
    pub fn resolve(&self, link: &str, plain_http: PlainHttp) -> Result<Target, LinkError> {
        let link = link.trim();
        match self {
            Self::Url(base) => allowed(base.join(link).map_err(|_| LinkError::NoUrl)?, plain_http).map(Target::Url),
            Self::Flow(_) if link.is_empty() => Err(LinkError::Empty),
            // A flow's name is never taken for a URL: it has no colon.
            Self::Flow(_) => match Url::parse(link) {
                Ok(url) => allowed(url, plain_http).map(Target::Url),
                Err(_) if is_flow_name(link) => Ok(Target::Flow(link.to_owned())),
                Err(_) => Err(LinkError::NoFlowName),
            },
        }
    }

    /// Where `link` leads, for attributes that must be URLs (`statusCallback`).
    ///
    /// # Errors
    /// When it leads nowhere.
    pub fn resolve_url(&self, link: &str, plain_http: PlainHttp) -> Result<Url, LinkError> {
        match self.resolve(link, plain_http) {
            Ok(Target::Url(url)) => Ok(url),
            // A flow is no address that anything could be sent to.
            Ok(Target::Flow(_)) | Err(LinkError::NoFlowName | LinkError::Empty) => Err(LinkError::NotAbsolute),
            Err(error) => Err(error),
        }
    }
}

/// Whether `name` can be the name of a flow: nothing that could leave the flows folder.
#[must_use]
pub fn is_flow_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

pub(super) fn allowed(url: Url, plain_http: PlainHttp) -> Result<Url, LinkError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(LinkError::Scheme);
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(LinkError::NoUrl),
    };
    match (url.scheme(), plain_http) {
        ("https", _) | ("http", PlainHttp::Always) => Ok(url),
        ("http", PlainHttp::Loopback) if loopback => Ok(url),
        _ => Err(LinkError::NotHttps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_flow_relative_links_name_flows_and_nothing_else() {
        let flow = Origin::Flow("donate".into());
        assert_eq!(flow.resolve("thanks", PlainHttp::Never), Ok(Target::Flow("thanks".into())));
        for bad in ["../secret", "/etc/passwd", "a b", "thanks.xml", "a/b"] {
            assert_eq!(flow.resolve(bad, PlainHttp::Always), Err(LinkError::NoFlowName), "{bad}");
        }
        assert_eq!(flow.resolve("", PlainHttp::Always), Err(LinkError::Empty));
        assert_eq!(flow.resolve("file:///etc/passwd", PlainHttp::Always), Err(LinkError::Scheme));
        assert_eq!(flow.resolve_url("status", PlainHttp::Always), Err(LinkError::NotAbsolute));
    }

    #[test]
    fn plain_http_needs_a_reason() {
        let flow = Origin::Flow(String::new());
        let resolve = |link: &str, policy| flow.resolve(link, policy).is_ok();
        assert!(resolve("https://example.com/a?b=c", PlainHttp::Never));
        assert!(!resolve("http://example.com/", PlainHttp::Never));
        assert!(!resolve("http://example.com/", PlainHttp::Loopback));
        assert!(resolve("http://127.0.0.1:9/", PlainHttp::Loopback));
        assert!(resolve("http://[::1]:9/", PlainHttp::Loopback));
        assert!(resolve("http://localhost:9/", PlainHttp::Loopback));
        assert!(resolve("http://example.com/", PlainHttp::Always));
    }

    #[test]
    fn links_of_a_document_with_a_url_are_relative_to_it() {
        let origin = Origin::Url(Url::parse("https://example.com/ivr/start?x=1").unwrap());
        let resolve = |link: &str| origin.resolve(link, PlainHttp::Never).map(|target| target.to_string());
        assert_eq!(resolve("paid"), Ok("https://example.com/ivr/paid".into()));
        assert_eq!(resolve("/paid"), Ok("https://example.com/paid".into()));
        assert_eq!(
            origin.resolve("", PlainHttp::Never),
            Ok(Target::Url(Url::parse("https://example.com/ivr/start?x=1").unwrap()))
        );
    }
}
