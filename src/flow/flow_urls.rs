//! Which documents a stream may name with its `url` parameter.
//!
//! Shape:   pure; [`FlowUrl`] is an entry of `flow_urls`, [`first`] decides what a call begins with.
//! Errors:  [`FlowUrlError`] for an entry; a `url` that is not allowed is a [`First::Failed`], which the caller is
//!          apologized to for and which says what would allow it.
//! Sources: spec/interface.md, `flow_urls` and `GET /media/{dialect}/{flow}`.

use std::fmt;

use url::{Position, Url};

use super::event::{FetchFailure, First};
use super::link::{LinkError, PlainHttp, ShownUrl, allowed};

/// An entry of `flow_urls`: it admits a URL of the same scheme, host and port whose path is the entry's own or, where that
/// ends in `/`, lies below it. A URL's query is free.
///
/// Paths are compared as the URL standard normalises them, so `..` cannot leave an entry; what a web server may read as
/// `..` or `/` later (`%2e`, `%2f`, `%5c`, `..;`) is refused below an entry.
#[derive(Clone, PartialEq, Eq)]
pub struct FlowUrl(Url);

/// Why an entry of `flow_urls` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowUrlError {
    /// Not absolute, or another scheme.
    #[error("it must be an absolute http or https URL such as https://shop.example.com/ivr/")]
    NotAbsolute,
    /// A query or a fragment.
    #[error("it must have no query and no fragment: any query is allowed with it")]
    Query,
    /// A user name or a password.
    #[error("it must have no user name and no password: those are the stream's to give")]
    Credentials,
}

impl FlowUrl {
    /// Reads an entry.
    ///
    /// # Errors
    /// When it could never be compared with a document's URL.
    pub fn parse(text: &str) -> Result<Self, FlowUrlError> {
        let url = Url::parse(text.trim()).map_err(|_| FlowUrlError::NotAbsolute)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(FlowUrlError::NotAbsolute);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(FlowUrlError::Query);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FlowUrlError::Credentials);
        }
        Ok(Self(url))
    }

    /// Whether a stream may name this document.
    #[must_use]
    pub fn admits(&self, url: &Url) -> bool {
        let same_server = self.0.scheme() == url.scheme()
            && self.0.host() == url.host()
            // `https://a` and `https://a:443` are the same server.
            && self.0.port_or_known_default() == url.port_or_known_default();
        let (own, asked) = (self.0.path(), url.path());
        let below = || own.ends_with('/') && asked.strip_prefix(own).is_some_and(stays_below);
        same_server && (own == asked || below())
    }
}

impl fmt::Debug for FlowUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlowUrl({})", &self.0[..Position::AfterPath])
    }
}

/// Whether a path below an entry is below it for every web server.
fn stays_below(rest: &str) -> bool {
    let rest = rest.to_ascii_lowercase();
    let hidden = ["%2e", "%2f", "%5c"].iter().any(|hidden| rest.contains(hidden));
    !hidden && !rest.split('/').any(|segment| segment.starts_with(".."))
}

/// What a call begins with whose stream names its document.
#[must_use]
pub fn first(url: &str, entries: &[FlowUrl], plain_http: PlainHttp) -> First {
    let refused = |why: String| First::Failed(FetchFailure::not_retrieved(why));
    let Ok(url) = Url::parse(url.trim()) else {
        return refused("the stream's url parameter is not an absolute URL".to_owned());
    };
    let shown = ShownUrl(&url).to_string();
    match allowed(url, plain_http) {
        Err(LinkError::NoUrl) => refused("the stream's url parameter names no host".to_owned()),
        Err(error) => refused(format!("the stream's url parameter is {shown}: {error}")),
        Ok(url) if entries.iter().any(|entry| entry.admits(&url)) => First::Url(url),
        Ok(_) => refused(format!(
            "the stream's url parameter is {shown}, which no entry of flow_urls in the configuration allows: add it \
             there, or a path above it that ends in /"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(entry: &str, url: &str) -> bool {
        FlowUrl::parse(entry).unwrap().admits(&Url::parse(url).unwrap())
    }

    #[test]
    fn an_entry_admits_its_own_path_with_any_query() {
        let entry = "https://shop.example.com/ivr/start";
        for url in [
            "https://shop.example.com/ivr/start",
            "https://SHOP.example.com:443/ivr/start?order=7&x=..#rc=2",
            "https://shop.example.com/ivr/../ivr/./start",
        ] {
            assert!(admits(entry, url), "{url}");
        }
        for url in [
            "http://shop.example.com/ivr/start",
            "https://shop.example.com:8443/ivr/start",
            "https://www.shop.example.com/ivr/start",
            "https://shop.example.com.evil.example/ivr/start",
            "https://shop.example.com@evil.example/ivr/start",
            "https://shop.example.com/ivr/start/",
            "https://shop.example.com/ivr/start2",
            "https://shop.example.com/ivr/Start",
            "https://shop.example.com/ivr",
        ] {
            assert!(!admits(entry, url), "{url}");
        }
    }

    #[test]
    fn an_entry_that_ends_in_a_slash_admits_what_lies_below_and_nothing_else() {
        let entry = "https://shop.example.com/ivr/";
        for url in [
            "https://shop.example.com/ivr/",
            "https://shop.example.com/ivr/start?x=1",
            "https://shop.example.com/ivr/a/b/../c.xml",
            "https://shop.example.com/ivr/v1.2",
        ] {
            assert!(admits(entry, url), "{url}");
        }
        for url in [
            "https://shop.example.com/ivr",
            "https://shop.example.com/ivr2/start",
            "https://shop.example.com/ivr/../admin",
            "https://shop.example.com/ivr/%2e%2e/admin",
            "https://shop.example.com/ivr\\..\\admin",
            "https://shop.example.com/ivr/..%2fadmin",
            "https://shop.example.com/ivr/%2E%2E%2Fadmin",
            "https://shop.example.com/ivr/a/..%5c..%5cadmin",
            "https://shop.example.com/ivr/..;/admin",
        ] {
            assert!(!admits(entry, url), "{url}");
        }
        assert!(admits("https://shop.example.com", "https://shop.example.com/anything/at/all"));
        assert!(admits("http://127.0.0.1:8081/", "http://127.0.0.1:8081/start"));
        assert!(!admits("http://127.0.0.1:8081/", "http://127.0.0.1:8082/start"));
        assert!(admits("https://[::1]/", "https://[0:0:0:0:0:0:0:1]/start"));
    }

    #[test]
    fn an_entry_is_an_absolute_url_without_query() {
        for (entry, error) in [
            ("", FlowUrlError::NotAbsolute),
            ("/ivr/", FlowUrlError::NotAbsolute),
            ("shop.example.com/ivr/", FlowUrlError::NotAbsolute),
            ("ftp://shop.example.com/", FlowUrlError::NotAbsolute),
            ("data:text/xml,x", FlowUrlError::NotAbsolute),
            ("https://shop.example.com/ivr?x=1", FlowUrlError::Query),
            ("https://shop.example.com/ivr?", FlowUrlError::Query),
            ("https://shop.example.com/ivr#x", FlowUrlError::Query),
            ("https://user:pass@shop.example.com/", FlowUrlError::Credentials),
        ] {
            assert_eq!(FlowUrl::parse(entry), Err(error), "{entry}");
        }
    }

    #[test]
    fn a_url_that_is_not_allowed_says_what_would_allow_it() {
        let entries = [FlowUrl::parse("https://shop.example.com/ivr/").unwrap()];
        let begun = |url: &str| first(url, &entries, PlainHttp::Loopback);
        let given = "https://shop.example.com/ivr/start?order=7";
        assert!(matches!(begun(given), First::Url(url) if url.as_str() == given));
        for (url, why) in [
            ("https://user:pass@evil.example.com/ivr/start?card=4242", "flow_urls"),
            ("http://shop.example.com/ivr/start", "allow_http_callbacks"),
            ("ftp://shop.example.com/ivr/start", "https"),
            ("start", "not an absolute URL"),
            ("", "not an absolute URL"),
        ] {
            let First::Failed(failure) = begun(url) else { panic!("{url}") };
            assert!(failure.code == 11200 && failure.message.contains(why), "{url}: {failure}");
            assert!(!failure.message.contains("pass") && !failure.message.contains("4242"), "{failure}");
        }
        assert!(matches!(first(given, &[], PlainHttp::Always), First::Failed(_)), "nothing is allowed by default");
    }
}
