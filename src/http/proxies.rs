//! Proxies of our own before the server, and whose request they passed on.
//!
//! Shape:   [`TrustedProxies`] is what the configuration names; [`TrustedProxies::client`] is a pure function.
//! Limits:  [`ENTRIES_MAX`].
//! Errors:  [`NoNetwork`]. A header that cannot be read makes the request the proxy's own.
//! Sources: spec/interface.md, `trusted_proxies`. RFC 7239, sections 5.2 and 8.1, on what such headers are worth: each proxy adds
//!          at the end whom it heard from, so the last address that is no proxy of ours is the last that one of ours vouches
//!          for; what stands before it the client may have written itself.
//!
//! For limits, the audit trail and logs; a signature is never checked against anything a header says.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// How many entries are looked at: more proxies than anybody has in a row.
const ENTRIES_MAX: usize = 32;

/// The header.
const HEADER: &str = "x-forwarded-for";

/// Not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address or a network such as 10.0.0.0/8 or fd00::/8")]
pub struct NoNetwork;

/// The addresses of our own proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads addresses and networks.
    ///
    /// # Errors
    /// The place of the first that is none, from 0.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, (usize, NoNetwork)> {
        let network = |text: &str| match text.parse::<IpAddr>() {
            Ok(address) => Some(IpNet::from(address.to_canonical())),
            Err(_) => text.parse().ok(),
        };
        let networks =
            entries.into_iter().enumerate().map(|(place, text)| network(text.trim()).ok_or((place, NoNetwork)));
        Ok(Self(networks.collect::<Result<_, _>>()?))
    }

    /// Whether an address is a proxy of ours.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whose request it is that came from `peer`.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return client;
        }
        // Several headers are one list (RFC 9110, section 5.3). What is no text is an entry that cannot be read.
        let values = headers.get_all(HEADER).iter().map(|value| value.to_str().unwrap_or_default()).rev();
        for entry in values.flat_map(|value| value.rsplit(',')).take(ENTRIES_MAX) {
            // What cannot be read counts as the last proxy's own request.
            let Some(address) = address(entry.trim()) else { return client };
            client = address;
            if !self.contains(client) {
                return client;
            }
        }
        client
    }
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    Some(bare.parse().ok().or_else(with_port)?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(peer: &str, forwarded: &[&str]) -> IpAddr {
        let trusted = TrustedProxies::parse(["127.0.0.1", "10.0.0.0/8", "fd00::/8"]).unwrap();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(HEADER, axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        trusted.client(ip(peer), &headers)
    }

    #[test]
    fn who_is_no_proxy_of_ours_speaks_for_itself_alone() {
        assert_eq!(client("203.1.112.7", &["198.41.0.4"]), ip("203.1.112.7"));
        assert_eq!(client("127.0.0.2", &["198.41.0.4"]), ip("127.0.0.2"));
        assert_eq!(client("::ffff:203.1.112.7", &[]), ip("203.1.112.7"));
    }

    #[test]
    fn a_request_is_the_last_address_s_that_no_proxy_of_ours_has() {
        for (forwarded, whose) in [
            (&["203.1.112.7"][..], "203.1.112.7"),
            (&["1.1.1.1, 203.1.112.7"], "203.1.112.7"),
            (&["1.1.1.1,203.1.112.7, 10.9.8.7 ,fd00::5"], "203.1.112.7"),
            (&["1.1.1.1, 203.1.112.7", "10.9.8.7"], "203.1.112.7"),
            (&["203.1.112.7:4711, 10.9.8.7:80"], "203.1.112.7"),
            (&["2a01:4f8::1"], "2a01:4f8::1"),
            (&["[2a01:4f8::1]:443"], "2a01:4f8::1"),
            (&["[2a01:4f8::1]"], "2a01:4f8::1"),
            (&["::ffff:203.1.112.7"], "203.1.112.7"),
            // All of them are ours: the first is as far as it goes.
            (&["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ] {
            assert_eq!(client("127.0.0.1", forwarded), ip(whose), "{forwarded:?}");
        }
        assert_eq!(client("::ffff:127.0.0.1", &["203.1.112.7"]), ip("203.1.112.7"));
    }

    #[test]
    fn what_cannot_be_read_is_the_proxy_s_own() {
        for forwarded in [&[][..], &[""], &["unknown"], &["203.1.112.7, _hidden"], &["203.1.112.7,"], &["caf\u{e9}"]] {
            assert_eq!(client("127.0.0.1", forwarded), ip("127.0.0.1"), "{forwarded:?}");
        }
        assert_eq!(client("127.0.0.1", &["203.1.112.7, nobody, 10.1.1.1"]), ip("10.1.1.1"));
        let many = vec!["10.1.1.1"; 1000].join(",");
        assert_eq!(client("127.0.0.1", &[&format!("203.1.112.7,{many}")]), ip("10.1.1.1"));
    }

    #[test]
    fn an_entry_that_is_no_network_is_named_by_its_place() {
        assert_eq!(TrustedProxies::parse(["10.0.0.0/8", "proxy.example"]), Err((1, NoNetwork)));
        assert_eq!(TrustedProxies::parse(["10.0.0.0/33"]), Err((0, NoNetwork)));
        assert!(TrustedProxies::parse([]).unwrap().0.is_empty());
    }
}
