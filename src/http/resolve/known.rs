//! What is known of names: found addresses, names without any, lookups that failed.
//!
//! Shape:   [`NameCache`], told the time: pure.
//! Units:   [`Instant`] of tokio's clock.
//! Limits:  [`NAMES_MAX`] names, the one that expires next makes room; found addresses for their TTL, [`FOUND_MAX`] at most;
//!          absent names for [`ABSENT`]; failures for a second, doubled with each failure after the other.
//! Sources: RFC 2308 (negative answers), RFC 9520 (failed lookups: at least a second, with back-off, at most 5 minutes).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::LookupError;

/// How many names are remembered. Chosen freely: merchants have few hosts.
const NAMES_MAX: usize = 1_000;

/// The longest that addresses are remembered.
const FOUND_MAX: Duration = Duration::from_secs(60 * 60);

/// How short and how long it is remembered that a name has no address: who has just made it waits for a minute at most.
const ABSENT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// How long a failure is remembered, if it is the first.
const FAILED_MIN: Duration = Duration::from_secs(1);

/// What a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    /// Addresses, in the order they are to be tried, and how long they hold.
    Found(Arc<[IpAddr]>, Duration),
    /// The name has no address, and how long that holds.
    Absent(Duration),
}

/// How a lookup ended.
pub(super) type LookupOutcome = Result<Arc<[IpAddr]>, LookupError>;

#[derive(Debug)]
struct CachedName {
    outcome: LookupOutcome,
    until: Instant,
    /// How long a failure was remembered.
    failed_for: Duration,
}

/// The names.
#[derive(Debug)]
pub(super) struct NameCache {
    /// Of which configuration this is known.
    generation: u64,
    failed_max: Duration,
    names: BTreeMap<String, CachedName>,
}

impl NameCache {
    /// Nothing yet; failures will be remembered for `failed_max` at most.
    pub(super) const fn new(failed_max: Duration) -> Self {
        Self { generation: 0, failed_max, names: BTreeMap::new() }
    }

    /// Forgets everything if it was found out by another configuration.
    pub(super) fn of_generation(&mut self, generation: u64) -> &mut Self {
        if self.generation != generation {
            self.generation = generation;
            self.names.clear();
        }
        self
    }

    /// What is known of `name`.
    pub(super) fn get(&self, name: &str, now: Instant) -> Option<LookupOutcome> {
        self.names.get(name).filter(|entry| now < entry.until).map(|entry| entry.outcome.clone())
    }

    /// Remembers how a lookup by the configuration of `generation` ended; gives what was made of it.
    pub(super) fn put(
        &mut self,
        name: &str,
        generation: u64,
        result: Result<Resolved, LookupError>,
        now: Instant,
    ) -> LookupOutcome {
        let mut failed_for = Duration::ZERO;
        let (outcome, time) = match result {
            Ok(Resolved::Found(addresses, ttl)) => (Ok(addresses), ttl.min(FOUND_MAX)),
            Ok(Resolved::Absent(ttl)) => (Err(LookupError::Absent), ttl.clamp(*ABSENT.start(), *ABSENT.end())),
            // That says nothing of the name.
            Err(error @ (LookupError::TooMany | LookupError::Late | LookupError::BrokenDown)) => {
                (Err(error), Duration::ZERO)
            }
            Err(error) => {
                let before = self.names.get(name).map_or(Duration::ZERO, |entry| entry.failed_for);
                failed_for = before.saturating_mul(2).max(FAILED_MIN).min(self.failed_max);
                (Err(error), failed_for)
            }
        };
        // What an older resolv.conf led to is not remembered.
        if generation == self.generation && !time.is_zero() {
            self.make_room(name);
            self.names.insert(name.to_owned(), CachedName { outcome: outcome.clone(), until: now + time, failed_for });
        }
        outcome
    }

    fn make_room(&mut self, name: &str) {
        if self.names.len() >= NAMES_MAX && !self.names.contains_key(name) {
            let next = self.names.iter().min_by_key(|(_, entry)| entry.until).map(|(name, _)| name.clone());
            next.map(|next| self.names.remove(&next));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ttl: u64) -> Result<Resolved, LookupError> {
        Ok(Resolved::Found(Arc::new(["10.0.0.1".parse().unwrap()]), Duration::from_secs(ttl)))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn addresses_hold_for_their_ttl_and_an_hour_at_most() {
        let (mut known, now) = (NameCache::new(seconds(30)), Instant::now());
        for (ttl, holds) in [(0, 0), (7, 7), (100_000, 3_600)] {
            assert!(known.put("a", 0, found(ttl), now).is_ok());
            assert_eq!(known.get("a", now + seconds(holds)), None, "{ttl}");
            if holds > 0 {
                assert!(known.get("a", now + seconds(holds - 1)).unwrap().is_ok(), "{ttl}");
            }
            known = NameCache::new(seconds(30));
        }
    }

    #[test]
    fn a_name_without_address_is_remembered_for_a_second_to_a_minute() {
        let now = Instant::now();
        for (ttl, holds) in [(0, 1), (5, 5), (86_400, 60)] {
            let mut known = NameCache::new(seconds(30));
            assert_eq!(known.put("a", 0, Ok(Resolved::Absent(seconds(ttl))), now), Err(LookupError::Absent));
            assert_eq!(known.get("a", now + seconds(holds) - Duration::from_millis(1)), Some(Err(LookupError::Absent)));
            assert_eq!(known.get("a", now + seconds(holds)), None, "{ttl}");
        }
    }

    #[test]
    fn failures_one_after_the_other_are_remembered_longer_and_longer() {
        let (mut known, mut now) = (NameCache::new(seconds(5)), Instant::now());
        for holds in [1, 2, 4, 5, 5] {
            assert_eq!(known.put("a", 0, Err(LookupError::NoAnswer), now), Err(LookupError::NoAnswer));
            assert!(known.get("a", now + seconds(holds) - Duration::from_millis(1)).is_some(), "{holds}");
            now += seconds(holds);
            assert_eq!(known.get("a", now), None, "{holds}");
        }
        let _works = known.put("a", 0, found(1), now);
        now += seconds(1);
        let _fails = known.put("a", 0, Err(LookupError::NoAnswer), now);
        assert_eq!(known.get("a", now + seconds(1)), None, "it begins anew");
    }

    #[test]
    fn what_says_nothing_of_the_name_is_not_remembered() {
        let (mut known, now) = (NameCache::new(seconds(30)), Instant::now());
        for error in [LookupError::TooMany, LookupError::Late, LookupError::BrokenDown] {
            assert_eq!(known.put("a", 0, Err(error.clone()), now), Err(error));
            assert_eq!(known.get("a", now), None);
        }
    }

    #[test]
    fn another_configuration_begins_anew_and_late_results_of_the_old_one_do_not_count() {
        let (mut known, now) = (NameCache::new(seconds(30)), Instant::now());
        let _first = known.of_generation(1).put("a", 1, found(100), now);
        assert!(known.of_generation(1).get("a", now).is_some());
        assert_eq!(known.of_generation(2).get("a", now), None);
        let _late = known.put("a", 1, found(100), now);
        assert_eq!(known.get("a", now), None);
    }

    #[test]
    fn the_name_that_expires_next_makes_room() {
        let (mut known, now) = (NameCache::new(seconds(30)), Instant::now());
        for place in 0..=NAMES_MAX as u64 {
            let _found = known.put(&format!("n{place}"), 0, found(2_000 - place), now);
        }
        assert_eq!(known.names.len(), NAMES_MAX);
        assert_eq!(known.get(&format!("n{}", NAMES_MAX - 1), now), None);
        assert!(known.get("n0", now).is_some() && known.get(&format!("n{NAMES_MAX}"), now).is_some());
    }
}
