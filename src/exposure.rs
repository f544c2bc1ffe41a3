//! Who can reach a server, as far as its configuration tells: decided here and nowhere else.
//!
//! Shape:   [`Exposure::of`], a pure function of the address it listens on and of `public_url`.
//! Limits:  errs on the side of [`Scope::Public`]: what is not this machine for certain is public. A private address
//!          (10/8, 172.16/12, 192.168/16, fc00::/7) is somebody's network with real callers in it, so it is public; so is
//!          every host name but `localhost`, since what it leads to is not known and can change.
//! Sources: spec/interface.md: `serve`, `media.require_signature`, `allow_http_callbacks`. RFC 1122, 3.2.1.3 (127/8); RFC
//!          4291, 2.5.3 (::1).
//!
//! Two questions, two answers. Whoever listens on loopback behind a proxy on the same machine has a public `public_url`:
//! anybody can come in, so signatures and https are left out only where *both* are loopback. Where real callers come from
//! depends on `public_url` alone: that is what a platform dials.

use std::net::IpAddr;

use url::{Host, Url};

/// What an address or a URL leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This machine, and nobody else's.
    Loopback,
    /// Anything else.
    Public,
}

impl Scope {
    /// Of an address. The unspecified one (`0.0.0.0`, `::`) is every address of the machine.
    #[must_use]
    pub const fn of_address(address: IpAddr) -> Self {
        // Only an IPv4-mapped address *is* the IPv4 one; other wrappings (NAT64, 6to4) lead through somebody's network.
        if address.to_canonical().is_loopback() { Self::Loopback } else { Self::Public }
    }

    /// Of a URL's host.
    #[must_use]
    pub fn of_url(url: &Url) -> Self {
        match url.host() {
            Some(Host::Domain(name)) if name.eq_ignore_ascii_case("localhost") => Self::Loopback,
            Some(Host::Domain(_)) | None => Self::Public,
            Some(Host::Ipv4(address)) => Self::of_address(address.into()),
            Some(Host::Ipv6(address)) => Self::of_address(address.into()),
        }
    }
}

/// Who can reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    listen: Scope,
    public_url: Scope,
}

impl Exposure {
    /// Nobody but this machine: a phone in the terminal, a simulation.
    pub const LOOPBACK: Self = Self { listen: Scope::Loopback, public_url: Scope::Loopback };

    /// Of a server that listens on `listen`. Without a `public_url` that address is what platforms would dial.
    #[must_use]
    pub fn of(listen: IpAddr, public_url: Option<&Url>) -> Self {
        let listen = Scope::of_address(listen);
        Self { listen, public_url: public_url.map_or(listen, Scope::of_url) }
    }

    /// Whether nobody from elsewhere gets in: by default signatures and https may be left out then.
    #[must_use]
    pub const fn is_loopback_only(self) -> bool {
        matches!((self.listen, self.public_url), (Scope::Loopback, Scope::Loopback))
    }

    /// Whether real callers may come in: no connector may approve cards then that nobody charges.
    #[must_use]
    pub const fn has_public_url(self) -> bool {
        matches!(self.public_url, Scope::Public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(url: &str) -> Scope {
        Scope::of_url(&Url::parse(url).unwrap())
    }

    #[test]
    fn only_this_machine_s_own_names_and_addresses_are_loopback() {
        for here in [
            "http://localhost",
            "https://LocalHost:8443/phones",
            "http://127.0.0.1:8080",
            "http://127.255.255.254",
            "http://2130706433",
            "http://[::1]:8080",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert_eq!(scope(here), Scope::Loopback, "{here}");
        }
    }

    #[test]
    fn whatever_may_lead_elsewhere_is_public() {
        for elsewhere in [
            "https://pay.example.com",
            "http://localhost.example.com",
            "http://phones.localhost",
            "http://localhost.localdomain",
            "http://0.0.0.0:8080",
            "http://[::]:8080",
            "http://10.1.2.3",
            "http://172.16.0.1",
            "http://192.168.1.1",
            "http://169.254.1.1",
            "http://100.64.0.1",
            "http://[fd00::1]",
            "http://[fe80::1]",
            "http://[64:ff9b::7f00:1]",
            "http://[2002:7f00:1::]",
            "http://203.1.112.7",
            "mailto:pay@example.com",
        ] {
            assert_eq!(scope(elsewhere), Scope::Public, "{elsewhere}");
        }
    }

    #[test]
    fn a_proxy_on_the_same_machine_lets_everybody_in() {
        for (listen, public_url, is_loopback_only, has_public_url) in [
            ("127.0.0.1", None, true, false),
            ("::1", Some("http://localhost:8080"), true, false),
            ("127.0.0.1", Some("https://pay.example.com"), false, true),
            ("127.0.0.1", Some("http://192.168.1.1"), false, true),
            // A tunnel to this machine, or a container that is reached through its host's loopback.
            ("0.0.0.0", Some("http://localhost:8080"), false, false),
            ("0.0.0.0", None, false, true),
            ("10.0.0.1", None, false, true),
        ] {
            let public_url = public_url.map(|url| Url::parse(url).unwrap());
            let exposure = Exposure::of(listen.parse().unwrap(), public_url.as_ref());
            let found = (exposure.is_loopback_only(), exposure.has_public_url());
            assert_eq!(found, (is_loopback_only, has_public_url), "{listen} {public_url:?}");
        }
        assert!(Exposure::LOOPBACK.is_loopback_only() && !Exposure::LOOPBACK.has_public_url());
    }
}
