//! Separate limits for what requests are for: while one kind waits for what is slow or dead, the others go on.
//!
//! Shape:   [`Bulkhead`] names the kinds; each has HTTP clients, name lookups ([`super::resolve`]) and an [`InFlight`] of its
//!          own. [`InFlight::enter`] gives a request its place.
//! Limits:  [`IN_FLIGHT_MAX`] requests of a kind, [`PER_HOST_MAX`] of them to one host; what callers wait for has a place for each
//!          call that there may be ([`Crowd`]). Who finds no place in time was not sent.
//! Errors:  [`NoPlace`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::CONNECT_TIMEOUT;

/// How many requests of one kind may be under way at least. Chosen freely: a tenth of the connections a server takes by default.
const IN_FLIGHT_MAX: usize = 1024;

/// How many of them to one host at least: one that hangs leaves the rest to the others.
const PER_HOST_MAX: usize = 512;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bulkhead {
    /// Questions to gateways.
    Gateways,
    /// Documents and recordings, while a caller waits.
    Documents,
    /// Callbacks and notices, which nobody waits for.
    Callbacks,
}

impl Bulkhead {
    /// The metrics' label.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Gateways => "gateways",
            Self::Documents => "documents",
            Self::Callbacks => "callbacks",
        }
    }
}

/// How many calls there may be at a time: each may ask for something, and all of them the same host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd(usize);

impl Crowd {
    /// As many as `media.max_calls` says; 0: no limit.
    #[must_use]
    pub fn of(max_calls: u32) -> Self {
        match max_calls {
            0 => Self(Semaphore::MAX_PERMITS),
            most => Self(usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)),
        }
    }
}

impl Default for Crowd {
    /// As by default: no limit.
    fn default() -> Self {
        Self::of(0)
    }
}

/// There was no place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are under way")]
pub(super) struct NoPlace;

/// The requests of one kind that are under way. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    all: Arc<Semaphore>,
    per_host: usize,
    wait_max: Duration,
    hosts: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

impl InFlight {
    /// Of a kind.
    pub(super) fn of(bulkhead: Bulkhead, Crowd(calls): Crowd) -> Self {
        // A gateway's answer needs its time: a charge that is sent at the last moment leaves a doubt.
        let wait_max = if bulkhead == Bulkhead::Gateways { CONNECT_TIMEOUT } else { Duration::MAX };
        match bulkhead {
            Bulkhead::Gateways | Bulkhead::Documents => {
                let per_host = PER_HOST_MAX.max(calls);
                // Twice: a host that hangs leaves as many places to the others.
                let all = IN_FLIGHT_MAX.max(per_host.saturating_mul(2)).min(Semaphore::MAX_PERMITS);
                Self::new(all, per_host, wait_max)
            }
            // Nobody waits on the line for these.
            Bulkhead::Callbacks => Self::new(IN_FLIGHT_MAX, PER_HOST_MAX, wait_max),
        }
    }

    fn new(all: usize, per_host: usize, wait_max: Duration) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), per_host, wait_max, hosts: Arc::default() }
    }

    /// A place for a request to `host`, until it is dropped; waits for it no longer than `within`: a request to a gateway
    /// [`CONNECT_TIMEOUT`], others as long as they have time.
    ///
    /// # Errors
    /// [`NoPlace`] after that time.
    pub(super) async fn enter(&self, host: &str, within: Duration) -> Result<RequestSlot, NoPlace> {
        let host = self.host(host);
        let places = Arc::clone(&host.places);
        let waiting = async {
            // The host's first: who waits for a host that hangs keeps no place of the others.
            let of_host = places.acquire_owned().await;
            let of_all = Arc::clone(&self.all).acquire_owned().await;
            of_host.and_then(|of_host| of_all.map(|of_all| (of_host, of_all)))
        };
        match timeout(within.min(self.wait_max), waiting).await {
            Ok(Ok((of_host, of_all))) => Ok(RequestSlot { _of_host: of_host, _of_all: of_all, _host: host }),
            // The semaphores are never closed.
            Ok(Err(_)) | Err(_) => Err(NoPlace),
        }
    }

    fn host(&self, name: &str) -> Host {
        let mut hosts = lock(&self.hosts);
        let places = hosts.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.per_host)));
        let places = Arc::clone(places);
        drop(hosts);
        Host { name: name.to_owned(), places, all: Arc::clone(&self.hosts) }
    }
}

/// A place among the requests under way.
#[derive(Debug)]
pub(super) struct RequestSlot {
    _of_host: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
    // Last: its permit is given back by then.
    _host: Host,
}

/// A host that somebody asks or wants to ask; the last one out forgets it.
#[derive(Debug)]
struct Host {
    name: String,
    places: Arc<Semaphore>,
    all: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

impl Drop for Host {
    fn drop(&mut self) {
        let mut hosts = lock(&self.all);
        // The map's own and this one.
        if Arc::strong_count(&self.places) <= 2 {
            hosts.remove(&self.name);
        }
    }
}

fn lock(hosts: &Mutex<BTreeMap<String, Arc<Semaphore>>>) -> MutexGuard<'_, BTreeMap<String, Arc<Semaphore>>> {
    // Nothing in there is left half done by a panic.
    hosts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::task::unconstrained;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_host_that_hangs_leaves_places_to_the_others() {
        let requests = InFlight::new(3, 2, CONNECT_TIMEOUT);
        let _hanging = [requests.enter("hangs", LONG).await.unwrap(), requests.enter("hangs", LONG).await.unwrap()];
        // It waits for its host, and takes no place of all.
        let mut third = Box::pin(requests.enter("hangs", LONG));
        assert!(third.as_mut().now_or_never().is_none());
        let other = requests.enter("answers", LONG).now_or_never().unwrap().unwrap();
        assert!(requests.enter("another", LONG).now_or_never().is_none(), "all three are taken");
        drop(other);
        assert!(requests.enter("another", LONG).now_or_never().unwrap().is_ok());
        assert_eq!(third.await.unwrap_err(), NoPlace);
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_was_not_sent() {
        let requests = InFlight::new(1, 1, CONNECT_TIMEOUT);
        let _first = requests.enter("a", LONG).await.unwrap();
        let since = tokio::time::Instant::now();
        assert_eq!(requests.enter("b", LONG).await.unwrap_err(), NoPlace);
        assert_eq!(since.elapsed(), CONNECT_TIMEOUT);
        assert_eq!(requests.enter("b", Duration::from_secs(1)).await.unwrap_err(), NoPlace);
        assert_eq!(since.elapsed(), CONNECT_TIMEOUT + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn every_call_there_may_be_has_a_place_for_what_its_caller_waits_for() {
        for (max_calls, places) in [(0, 700), (700, 700), (100, PER_HOST_MAX)] {
            for kind in [Bulkhead::Documents, Bulkhead::Gateways] {
                let requests = InFlight::of(kind, Crowd::of(max_calls));
                let one = |host| unconstrained(requests.enter(host, LONG)).now_or_never().map(Result::unwrap);
                let places: Vec<_> = (0..places).map(|_| one("shop").unwrap()).collect();
                assert!(one("another").is_some(), "{kind:?} {max_calls}: the others have theirs");
                drop(places);
            }
        }
        let requests = InFlight::of(Bulkhead::Callbacks, Crowd::of(0));
        let places: Vec<_> =
            (0..700).filter_map(|_| unconstrained(requests.enter("shop", LONG)).now_or_never()).collect();
        assert_eq!(places.len(), PER_HOST_MAX, "nobody waits for these");
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_waits_for_its_place_as_long_as_it_has_time_and_a_charge_keeps_time_for_its_answer() {
        for (kind, wait) in [(Bulkhead::Documents, LONG), (Bulkhead::Gateways, CONNECT_TIMEOUT)] {
            let requests = InFlight { per_host: 1, ..InFlight::of(kind, Crowd::default()) };
            let _first = requests.enter("shop", LONG).await.unwrap();
            let since = tokio::time::Instant::now();
            assert_eq!(requests.enter("shop", LONG).await.unwrap_err(), NoPlace);
            assert_eq!(since.elapsed(), wait, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn a_host_that_nobody_asks_is_forgotten() {
        let requests = InFlight::new(4, 1, CONNECT_TIMEOUT);
        let first = requests.enter("a", LONG).await.unwrap();
        let mut second = Box::pin(requests.enter("a", LONG));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(lock(&requests.hosts).len(), 1);
        drop(second);
        assert_eq!(lock(&requests.hosts).len(), 0);
    }
}
