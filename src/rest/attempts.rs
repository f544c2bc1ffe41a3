//! Failed sign-ins of the last minute, by address: who guesses is told to wait.
//!
//! Shape:   before credentials are compared [`Attempts::shut_out`], afterwards [`Attempts::succeeded`] or [`Attempts::failed`].
//!          Times are told: since the server began.
//! Limits:  [`FAILURES_MAX`] failures an address, [`ACCOUNT_MAX`] an account and [`OVERALL_MAX`] in all, each within a [`WINDOW`]
//!          that begins with the first; [`ADDRESSES_MAX`] addresses are remembered, [`KNOWN_MAX`] of those that signed in,
//!          [`ACCOUNTS_MAX`] accounts.
//! Errors:  none; a wait is an answer.
//! Sources: RFC 6585, section 4 (429); RFC 4291, section 2.5.4 (a subscriber has 64 bits of an IPv6 address to choose from).
//!
//! A guesser is held to a number of guesses only where the right credentials, too, are not looked at any more. So an address
//! is shut out: a public one after [`FAILURES_MAX`]; one that is not public after [`SHARED_MAX`], since many people may have
//! it, a proxy's clients above all. Nobody can lock out others, though: an address from which somebody signed in lately is
//! never shut out, and over the limits of an account and of all together wrong credentials are told to wait and the right
//! ones pass. (What is left: behind a proxy that is not in `trusted_proxies`, whoever guesses can keep those out who were
//! not there within the last hour.)

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::http::address::{AddressKind, kind};

/// Failures of one address: more than a person makes who looks for the right token.
pub const FAILURES_MAX: u32 = 10;

/// Failures of one address that many people may have: more than those behind a proxy make together.
pub const SHARED_MAX: u32 = 100;

/// Failures of one account, from wherever.
pub const ACCOUNT_MAX: u32 = 100;

/// Failures of all addresses together.
pub const OVERALL_MAX: u32 = 1000;

/// How long failures count.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Addresses with failures: about half a megabyte.
pub const ADDRESSES_MAX: usize = 4096;

/// Addresses that signed in: one account has few.
pub const KNOWN_MAX: usize = 256;

/// Accounts with failures.
pub const ACCOUNTS_MAX: usize = 256;

/// How long an address is known that signed in.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Try again.
    Counted,
    /// Try again; the next failure will be one too many.
    Last,
    /// Wait so long.
    TooMany(Duration),
    /// The same; and now nothing of this address is looked at any more, which many people may have.
    LastOfShared(Duration),
}

/// The failures.
#[derive(Debug, Default)]
pub struct Attempts {
    failures: BTreeMap<IpAddr, FailureWindow>,
    by_account: BTreeMap<String, FailureWindow>,
    overall: FailureWindow,
    /// Until when each is known.
    known: BTreeMap<IpAddr, Duration>,
}

/// Failures within a window.
#[derive(Clone, Copy, Debug, Default)]
struct FailureWindow {
    ends: Duration,
    failures: u32,
}

impl FailureWindow {
    fn count(&mut self, now: Duration) -> u32 {
        if self.ends <= now {
            *self = Self { ends: now.saturating_add(WINDOW), failures: 0 };
        }
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    const fn wait(&self, now: Duration) -> Duration {
        self.ends.saturating_sub(now)
    }
}

impl Attempts {
    /// How long nothing of `peer` is even looked at.
    #[must_use]
    pub fn shut_out(&self, peer: IpAddr, now: Duration) -> Option<Duration> {
        let source = source(peer);
        let window = self.failures.get(&source)?;
        let is_over = window.ends <= now || window.failures < allowed(peer);
        if is_over || self.is_known(&source, now) { None } else { Some(window.wait(now)) }
    }

    fn is_known(&self, source: &IpAddr, now: Duration) -> bool {
        self.known.get(source).is_some_and(|until| now < *until)
    }

    /// The right credentials came from `peer`. They are never counted.
    pub fn succeeded(&mut self, peer: IpAddr, now: Duration) {
        let source = source(peer);
        make_room(&mut self.known, &source, KNOWN_MAX, |until| *until);
        self.known.insert(source, now.saturating_add(KNOWN_FOR));
    }

    /// Wrong credentials came from `peer`; of `account`, if there is one of that name.
    pub fn failed(&mut self, peer: IpAddr, account: Option<&str>, now: Duration) -> Failure {
        let source = source(peer);
        make_room(&mut self.failures, &source, ADDRESSES_MAX, |window| window.ends);
        let window = self.failures.entry(source).or_default();
        let (failures, wait) = (window.count(now), window.wait(now));
        if failures == SHARED_MAX && allowed(peer) == SHARED_MAX && !self.is_known(&source, now) {
            return Failure::LastOfShared(wait);
        }
        // Before the account's and all together are counted: one address alone uses neither up.
        if failures > FAILURES_MAX {
            return Failure::TooMany(wait);
        }
        if let Some(account) = account {
            let account = account.to_owned();
            make_room(&mut self.by_account, &account, ACCOUNTS_MAX, |window| window.ends);
            let window = self.by_account.entry(account).or_default();
            if window.count(now) > ACCOUNT_MAX {
                return Failure::TooMany(window.wait(now));
            }
        }
        if self.overall.count(now) > OVERALL_MAX {
            return Failure::TooMany(self.overall.wait(now));
        }
        if failures == FAILURES_MAX { Failure::Last } else { Failure::Counted }
    }
}

/// After how many failures nothing of an address is looked at.
fn allowed(peer: IpAddr) -> u32 {
    match kind(peer) {
        AddressKind::Public => FAILURES_MAX,
        AddressKind::Loopback | AddressKind::Private | AddressKind::Never => SHARED_MAX,
    }
}

/// The part of an address that whoever uses it cannot choose.
pub(crate) fn source(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

/// Forgets the entry that ends first if `key` would be one too many.
fn make_room<K: Ord + Clone, T>(entries: &mut BTreeMap<K, T>, key: &K, max: usize, ends: impl Fn(&T) -> Duration) {
    if entries.len() < max || entries.contains_key(key) {
        return;
    }
    let first = entries.iter().min_by_key(|(_, entry)| ends(entry)).map(|(key, _)| key.clone());
    if let Some(first) = first {
        entries.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: &str = "203.1.112.7";
    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Fails as often as is allowed, at once.
    fn use_up(attempts: &mut Attempts, peer: IpAddr, now: Duration) {
        for _ in 1..FAILURES_MAX {
            assert_eq!(attempts.failed(peer, None, now), Failure::Counted);
        }
        assert_eq!(attempts.shut_out(peer, now), None);
        assert_eq!(attempts.failed(peer, None, now), Failure::Last);
    }

    #[test]
    fn a_stranger_who_failed_ten_times_is_shut_out_until_the_minute_is_over() {
        let (mut attempts, stranger, begin) = (Attempts::default(), address(STRANGER), 100 * SECOND);
        use_up(&mut attempts, stranger, begin);
        assert_eq!(attempts.shut_out(stranger, begin + 20 * SECOND), Some(40 * SECOND));
        assert_eq!(attempts.failed(stranger, None, begin + 20 * SECOND), Failure::TooMany(40 * SECOND));
        assert_eq!(attempts.shut_out(address("203.1.112.8"), begin), None, "others are not");
        assert_eq!(attempts.shut_out(stranger, begin + WINDOW), None);
        use_up(&mut attempts, stranger, begin + WINDOW);
    }

    #[test]
    fn an_address_that_signed_in_is_not_shut_out_for_an_hour_but_its_failures_are_limited() {
        let (mut attempts, desk) = (Attempts::default(), address(STRANGER));
        attempts.succeeded(desk, SECOND);
        use_up(&mut attempts, desk, 2 * SECOND);
        assert_eq!(attempts.shut_out(desk, 2 * SECOND), None);
        assert_eq!(attempts.failed(desk, None, 3 * SECOND), Failure::TooMany(59 * SECOND));
        let later = SECOND + KNOWN_FOR;
        use_up(&mut attempts, desk, later);
        assert_eq!(attempts.shut_out(desk, later), Some(WINDOW));
    }

    #[test]
    fn an_address_that_many_may_have_is_shut_out_later_unless_somebody_signed_in_from_it() {
        for shared in ["127.0.0.1", "10.0.0.2", "::1", "fd00::1", "::ffff:192.168.0.1"] {
            let (mut attempts, shared) = (Attempts::default(), address(shared));
            use_up(&mut attempts, shared, SECOND);
            for _ in FAILURES_MAX + 1..SHARED_MAX {
                assert_eq!(attempts.failed(shared, None, SECOND), Failure::TooMany(WINDOW), "{shared}");
                assert_eq!(attempts.shut_out(shared, SECOND), None, "{shared}: the right credentials would pass");
            }
            assert_eq!(attempts.failed(shared, None, SECOND), Failure::LastOfShared(WINDOW), "{shared}");
            assert_eq!(attempts.shut_out(shared, SECOND), Some(WINDOW), "{shared}");
            assert_eq!(attempts.shut_out(shared, SECOND + WINDOW), None, "{shared}");
            attempts.succeeded(shared, 70 * SECOND);
            for _ in 0..2 * SHARED_MAX {
                assert!(!matches!(attempts.failed(shared, None, 71 * SECOND), Failure::LastOfShared(_)));
            }
            assert_eq!(attempts.shut_out(shared, 71 * SECOND), None, "{shared}: somebody is at home there");
        }
    }

    #[test]
    fn an_account_that_is_guessed_at_from_many_addresses_is_limited_and_open_to_the_right_credentials() {
        let mut attempts = Attempts::default();
        let strangers = (0..).map(|number: u32| IpAddr::from((0x0b00_0000 + number).to_be_bytes()));
        let mut told = strangers.map(|stranger| attempts.failed(stranger, Some("AC1"), SECOND));
        assert_eq!(told.by_ref().take_while(|told| *told == Failure::Counted).count(), ACCOUNT_MAX as usize);
        assert_eq!(told.next(), Some(Failure::TooMany(WINDOW)));
        let newcomer = address(STRANGER);
        assert_eq!(attempts.failed(newcomer, Some("AC2"), SECOND), Failure::Counted, "another account's");
        assert_eq!(attempts.shut_out(newcomer, SECOND), None, "the right credentials would pass");
        assert_eq!(attempts.failed(newcomer, Some("AC1"), SECOND + WINDOW), Failure::Counted);
        for number in 0..2 * ACCOUNTS_MAX {
            let stranger = IpAddr::from((0x0c00_0000 + number as u32).to_be_bytes());
            attempts.failed(stranger, Some(&number.to_string()), 3 * WINDOW);
        }
        assert_eq!(attempts.by_account.len(), ACCOUNTS_MAX);
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written_and_whatever_the_subscriber_chooses_of_it() {
        for (one, other, same) in [
            (STRANGER, "::ffff:203.1.112.7", true),
            ("2a01:4f8:1:2::1", "2a01:4f8:1:2:ffff::9", true),
            ("2a01:4f8:1:2::1", "2a01:4f8:1:3::1", false),
        ] {
            let mut attempts = Attempts::default();
            use_up(&mut attempts, address(one), SECOND);
            assert_eq!(attempts.shut_out(address(other), SECOND).is_some(), same, "{one} {other}");
        }
    }

    #[test]
    fn many_addresses_together_are_limited_and_one_that_floods_does_not_use_that_up() {
        let mut attempts = Attempts::default();
        let proxy = address("10.0.0.2");
        for _ in 0..2 * OVERALL_MAX {
            attempts.failed(proxy, None, SECOND);
        }
        let strangers = (0..).map(|number: u32| IpAddr::from((0x0b00_0000 + number).to_be_bytes()));
        let told = strangers.map(|stranger| attempts.failed(stranger, None, 2 * SECOND));
        let counted = told.take_while(|told| *told == Failure::Counted).count();
        assert_eq!(counted, (OVERALL_MAX - FAILURES_MAX) as usize);
        let newcomer = address(STRANGER);
        assert_eq!(attempts.failed(newcomer, None, 31 * SECOND), Failure::TooMany(30 * SECOND));
        assert_eq!(attempts.shut_out(newcomer, 31 * SECOND), None, "the right credentials would pass");
        assert_eq!(attempts.failed(newcomer, None, SECOND + WINDOW), Failure::Counted);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes() {
        let mut attempts = Attempts::default();
        let first = address(STRANGER);
        use_up(&mut attempts, first, SECOND);
        attempts.succeeded(first, SECOND);
        let others = (0..).map(|number: u32| IpAddr::from((0x0b00_0000 + number).to_be_bytes()));
        for other in others.take(ADDRESSES_MAX + 10) {
            attempts.failed(other, None, 2 * SECOND);
            attempts.succeeded(other, 2 * SECOND);
        }
        assert_eq!((attempts.failures.len(), attempts.known.len()), (ADDRESSES_MAX, KNOWN_MAX));
        assert!(!attempts.failures.contains_key(&first) && !attempts.known.contains_key(&first));
    }
}
