//! The HTTP request that a stream begins with, as a dialect may read it.
//!
//! Shape:   borrowed from the request; looked at once, before the stream is there.
//! Secrets: path, query and headers may hold a secret. `Debug` shows none of them.
//! Sources: RFC 6455, sections 1.9 and 4.1 (`Sec-WebSocket-Protocol`).

use std::borrow::Cow;
use std::fmt;

/// The header of the subprotocols.
const SUBPROTOCOLS: &str = "sec-websocket-protocol";

/// An upgrade whose proof is right.
#[derive(Clone, Copy)]
pub struct UpgradeRequest<'a> {
    /// The path, as it stands in the request line.
    pub path: &'a str,
    /// The query, likewise.
    pub query: Option<&'a str>,
    /// The headers: name and value.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// An identifier for the call, made by the server: for dialects whose platform tells none.
    pub call_sid: &'a str,
}

impl fmt::Debug for UpgradeRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest").field("call_sid", &self.call_sid).finish_non_exhaustive()
    }
}

impl<'a> UpgradeRequest<'a> {
    /// The values of a header, which is called `name` in any case.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The first value of a query parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut parameters = form_urlencoded::parse(self.query?.as_bytes());
        parameters.find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The subprotocols that are offered, the most wanted first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> {
        // A header that is not text offers nothing.
        let text = |value| std::str::from_utf8(value).unwrap_or_default();
        self.header(SUBPROTOCOLS).flat_map(move |value| text(value).split(',')).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_parameters_are_found_by_name_and_shown_to_nobody() {
        let headers: &[(&str, &[u8])] = &[
            ("sec-websocket-protocol", b"audio.one, audio.two"),
            ("Authorization", b"Bearer hunter2"),
            ("Sec-WebSocket-Protocol", b"audio.three"),
        ];
        let request =
            UpgradeRequest { path: "/media/x/hunter2", query: Some("rate=16000&a=%20&a=b"), headers, call_sid: "CA1" };
        assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["audio.one", "audio.two", "audio.three"]);
        assert_eq!(request.header("AUTHORIZATION").collect::<Vec<_>>(), [b"Bearer hunter2"]);
        assert_eq!(request.parameter("a").as_deref(), Some(" "));
        assert_eq!(request.parameter("b"), None);
        let shown = format!("{request:?}");
        assert!(shown.contains("CA1") && !shown.contains("hunter2"), "{shown}");
    }
}
