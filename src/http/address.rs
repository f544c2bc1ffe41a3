//! What kind of place an IP address is.
//!
//! Shape:   [`kind`], a pure function; [`Reach`] says which kinds may be reached.
//! Limits:  errs on the side of refusing: what is not known to be public is not.
//! Sources: the IANA special-purpose address registries (RFC 6890 and its updates).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// The public internet.
    Public,
    /// This machine.
    Loopback,
    /// A network of somebody's own: RFC 1918, shared address space (100.64/10), benchmarking, unique local.
    Private,
    /// Nothing a request should ever go to: link-local (where clouds keep their credentials), multicast, unspecified,
    /// broadcast, documentation, reserved.
    Never,
}

/// Which kinds of address may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The public internet.
    pub public: bool,
    /// This machine.
    pub loopback: bool,
    /// Somebody's own network.
    pub private: bool,
}

impl Reach {
    /// Nowhere.
    pub const NOWHERE: Self = Self { public: false, loopback: false, private: false };
    /// The public internet.
    pub const PUBLIC: Self = Self { public: true, ..Self::NOWHERE };
    /// This machine.
    pub const LOOPBACK: Self = Self { loopback: true, ..Self::NOWHERE };
    /// Everything but [`AddressKind::Never`].
    pub const OPEN: Self = Self { public: true, loopback: true, private: true };

    /// Whether `address` may be reached.
    #[must_use]
    pub fn admits(self, address: IpAddr) -> bool {
        match kind(address) {
            AddressKind::Public => self.public,
            AddressKind::Loopback => self.loopback,
            AddressKind::Private => self.private,
            AddressKind::Never => false,
        }
    }
}

/// What `address` leads to. An IPv6 address that only wraps an IPv4 one is judged by the latter.
#[must_use]
pub fn kind(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> AddressKind {
    match address.octets() {
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressKind::Private,
        // RFC 6598 and RFC 2544: carriers, overlay networks and laboratories use them as their own.
        [100, 64..=127, ..] | [198, 18..=19, ..] => AddressKind::Private,
        // This network; link-local.
        [0, ..] | [169, 254, ..] => AddressKind::Never,
        // Protocol assignments, 6to4 relays, documentation.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressKind::Never,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => AddressKind::Never,
        _ => AddressKind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> AddressKind {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        kind_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressKind::Loopback,
        // IPv4-mapped, IPv4-translated (RFC 2765) and NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // NAT64 of somebody's own (RFC 8215); unique local.
        [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff, ..] => AddressKind::Private,
        // 6to4 (RFC 3056): the address of the network it leads into.
        [0x2002, high, low, ..] => embedded(high, low),
        // Protocol assignments with Teredo and ORCHID (2001::/23); documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressKind::Never,
        // All that has been given out for the internet so far (RFC 4291).
        [0x2000..=0x3fff, ..] => AddressKind::Public,
        _ => AddressKind::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: AddressKind, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(kind(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn public_addresses_are_public_also_when_wrapped() {
        check(
            AddressKind::Public,
            &[
                "1.1.1.1",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "198.17.255.255",
                "198.20.0.0",
                "223.255.255.255",
                "2606:4700::1111",
                "::ffff:1.1.1.1",
                "64:ff9b::101:101",
                "2002:101:101::1",
            ],
        );
    }

    #[test]
    fn loopback_is_found_in_every_wrapping() {
        check(
            AddressKind::Loopback,
            &[
                "127.0.0.1",
                "127.255.255.254",
                "::1",
                "::ffff:127.0.0.1",
                "::ffff:0:127.0.0.1",
                "64:ff9b::7f00:1",
                "2002:7f00:1::",
            ],
        );
    }

    #[test]
    fn private_networks_are_private() {
        check(
            AddressKind::Private,
            &[
                "10.0.0.1",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.1.1",
                "100.64.0.1",
                "100.127.255.255",
                "198.18.0.1",
                "198.19.255.255",
                "fc00::1",
                "fd12:3456::1",
                "::ffff:10.0.0.1",
                "2002:c0a8:101::",
                "64:ff9b::a00:1",
                "64:ff9b:1::1",
            ],
        );
    }

    #[test]
    fn what_no_request_should_go_to_is_never_reached() {
        let addresses = [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "192.0.0.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::7f00:1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "4000::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
        ];
        check(AddressKind::Never, &addresses);
        for address in addresses {
            assert!(!Reach::OPEN.admits(address.parse().unwrap()), "{address}");
        }
    }
}
