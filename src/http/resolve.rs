//! Names to addresses, those a request may not go to left out.
//!
//! Shape:   [`Resolver`] is how names become addresses (`resolver` of the configuration). [`Lookups`] is one bulkhead's use of
//!          it, which remembers ([`known`]), asks once for all who want the same name, and waits for no more than so many.
//!          [`Filtered`] puts it under `reqwest`: the check happens on the very addresses that are connected to, so a name
//!          cannot show one address to a check and another to the connection.
//! Limits:  an answer or an error after [`WAIT_LIMIT`] at most; [`DNS_LIMIT`] a lookup; [`LookupLimits`]. Bulkheads share nothing but
//!          the hosts file and resolv.conf, and no lookup takes a thread of the pool that tokio keeps for blocking work.
//! Errors:  [`LookupError`]; [`Unreachable`], when a name has addresses and none of them may be reached.
//! Sources: RFC 6761, section 6.3 (`localhost` is this machine and no name server is asked).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::de::{self, Deserialize, Deserializer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::address::Reach;
use super::bulkhead::Bulkhead;

mod dns;
mod files;
mod known;
mod system;
#[cfg(test)]
mod test_dns;
#[cfg(test)]
mod tests;

use dns::NameServers;
use files::{Paths, ResolverFiles};
use known::{LookupOutcome, NameCache, Resolved};
use system::System;

/// The port of name servers.
const DNS_PORT: u16 = 53;

/// How long one lookup may take in all, its search list included.
const DNS_LIMIT: Duration = Duration::from_secs(4);

/// How long a request waits for a lookup: less than it may take to connect ([`super::CONNECT_TIMEOUT`]), so that the error
/// says what was missing.
const WAIT_LIMIT: Duration = Duration::from_millis(4_500);

/// How many names a bulkhead may look up at a time in the DNS. Chosen freely: each takes two sockets for each server asked,
/// and two more with each repeat.
const DNS_AT_ONCE: usize = 64;

/// How many threads a bulkhead may have for the system's resolver.
const THREADS_MAX: usize = 16;

/// How many names of a bulkhead may be looked up or wait for it.
const WAITING_MAX: usize = 1024;

/// What a lookup ended with instead of an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LookupError {
    /// The name servers know no address for it.
    #[error("there is no host of that name")]
    Absent,
    /// It cannot be asked for.
    #[error("this is no host's name")]
    NoName,
    /// A name server answered with something else than an address.
    #[error("the name cannot be looked up: the name server says {0}")]
    Refused(&'static str),
    /// No name server answered.
    #[error("the name cannot be looked up: no name server answered")]
    NoAnswer,
    /// The system's resolver said so.
    #[error("{0}")]
    System(String),
    /// It takes too long for who waits.
    #[error("the name was not found out within {} s", WAIT_LIMIT.as_secs_f32())]
    Late,
    /// There is no place for another lookup.
    #[error("too many names are being looked up")]
    TooMany,
    /// The lookup panicked, or the program ends.
    #[error("the lookup broke down")]
    BrokenDown,
}

impl LookupError {
    /// The metrics' label.
    const fn word(&self) -> &'static str {
        match self {
            Self::Absent | Self::NoName => "absent",
            Self::Refused(_) | Self::NoAnswer | Self::System(_) | Self::BrokenDown => "failed",
            Self::Late => "late",
            Self::TooMany => "too_many",
        }
    }
}

/// `resolver` of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResolverKind {
    /// `/etc/hosts`, then the name servers of `/etc/resolv.conf`, without a thread a name.
    #[default]
    Dns,
    /// getaddrinfo(3), which asks whatever `/etc/nsswitch.conf` names, on 16 threads at most for each of gateways, documents
    /// and callbacks.
    System,
}

impl<'de> Deserialize<'de> for ResolverKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "dns" => Ok(Self::Dns),
            "system" => Ok(Self::System),
            _ => Err(de::Error::custom("resolver is dns or system")),
        }
    }
}

/// How names become addresses. Cheap to clone; all clones share what was read of the system's files.
#[derive(Clone, Debug)]
pub struct Resolver(Way);

#[derive(Clone, Debug)]
enum Way {
    Dns { files: Arc<ResolverFiles>, port: u16 },
    System(System),
}

impl Resolver {
    /// A resolver of that kind. Reads the system's files.
    #[must_use]
    pub fn new(kind: ResolverKind) -> Self {
        match kind {
            ResolverKind::Dns => Self::by(Paths::default(), DNS_PORT),
            ResolverKind::System => Self(Way::System(System::default())),
        }
    }

    fn by(paths: Paths, port: u16) -> Self {
        Self(Way::Dns { files: Arc::new(ResolverFiles::open(paths)), port })
    }

    /// The lookups of a bulkhead.
    pub(super) fn lookups(&self, bulkhead: Bulkhead) -> Arc<Lookups> {
        let at_once = match self.0 {
            Way::Dns { .. } => DNS_AT_ONCE,
            Way::System(_) => THREADS_MAX,
        };
        self.lookups_within(bulkhead, LookupLimits { at_once, waiting: WAITING_MAX, wait: WAIT_LIMIT, dns: DNS_LIMIT })
    }

    fn lookups_within(&self, bulkhead: Bulkhead, limits: LookupLimits) -> Arc<Lookups> {
        // While a caller waits, a name that works again is soon to be asked for again.
        let failed_max = match bulkhead {
            Bulkhead::Gateways | Bulkhead::Documents => Duration::from_secs(5),
            Bulkhead::Callbacks => Duration::from_secs(30),
        };
        Arc::new(Lookups {
            bulkhead,
            way: self.0.clone(),
            servers: Mutex::default(),
            known: Mutex::new(NameCache::new(failed_max)),
            in_progress: Mutex::default(),
            places: Arc::new(Semaphore::new(limits.at_once)),
            limits,
        })
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(ResolverKind::default())
    }
}

/// What a bulkhead's lookups are held to.
#[derive(Clone, Copy, Debug)]
struct LookupLimits {
    /// How many there may be at a time.
    at_once: usize,
    /// How many names may be looked up or wait for it.
    waiting: usize,
    /// How long anybody waits for one.
    wait: Duration,
    /// How long one may take in the DNS.
    dns: Duration,
}

/// The lookups of one bulkhead.
#[derive(Debug)]
pub(super) struct Lookups {
    bulkhead: Bulkhead,
    way: Way,
    /// The name servers, and of which reading of the files.
    servers: Mutex<Option<(u64, Arc<NameServers>)>>,
    known: Mutex<NameCache>,
    in_progress: Mutex<BTreeMap<String, watch::Receiver<Option<LookupOutcome>>>>,
    places: Arc<Semaphore>,
    limits: LookupLimits,
}

impl Lookups {
    /// The addresses of `name`, in the order they are to be tried.
    ///
    /// # Errors
    /// [`LookupError`].
    pub(super) async fn addresses(self: &Arc<Self>, name: &str) -> LookupOutcome {
        let outcome = self.known_or_asked(name).await;
        let word = outcome.as_ref().map_or_else(LookupError::word, |_| "found");
        metrics::counter!("touchtone_lookups_total", "for" => self.bulkhead.word(), "outcome" => word).increment(1);
        outcome
    }

    async fn known_or_asked(self: &Arc<Self>, name: &str) -> LookupOutcome {
        // An IPv6 address in a URL stands in brackets.
        let name = name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok([address].into());
        }
        let mut generation = 0;
        if let Way::Dns { files, .. } = &self.way {
            let files = files.current().await;
            if let Some(addresses) = files.hosts.addresses(&name) {
                return Ok(addresses.into());
            }
            generation = files.generation;
        }
        if is_localhost(&name) {
            return Ok([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into());
        }
        if let Some(known) = lock(&self.known).of_generation(generation).get(&name, Instant::now()) {
            return known;
        }
        let mut told = self.begun(&name)?;
        match timeout(self.limits.wait, told.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(LookupError::BrokenDown)),
            Ok(Err(_)) => Err(LookupError::BrokenDown),
            Err(_) => Err(LookupError::Late),
        }
    }

    /// The lookup of `name`: the one that is in progress, or a new one. It goes on whether anybody waits for it or not.
    fn begun(self: &Arc<Self>, name: &str) -> Result<watch::Receiver<Option<LookupOutcome>>, LookupError> {
        let mut in_progress = lock(&self.in_progress);
        if let Some(told) = in_progress.get(name) {
            return Ok(told.clone());
        }
        if in_progress.len() >= self.limits.waiting {
            return Err(LookupError::TooMany);
        }
        let (tell, told) = watch::channel(None);
        in_progress.insert(name.to_owned(), told.clone());
        drop(in_progress);
        let entry = InProgress { lookups: Arc::clone(self), name: name.to_owned() };
        tokio::spawn(async move {
            let outcome = entry.lookups.look_up(&entry.name).await;
            tell.send_replace(Some(outcome));
        });
        Ok(told)
    }

    async fn look_up(&self, name: &str) -> LookupOutcome {
        // The time in the queue is not the name's fault: it is not counted as its failure.
        let place = match timeout(self.limits.wait, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) | Err(_) => return Err(LookupError::TooMany),
        };
        let (generation, result) = match &self.way {
            Way::Dns { files, port } => {
                let files = files.current().await;
                let result = match self.servers(&files, *port) {
                    Ok(servers) => self.asked(&servers, name, place).await,
                    Err(error) => Err(error),
                };
                (files.generation, result)
            }
            // No deadline: until the thread is done nobody else is to ask for this name.
            Way::System(system) => (0, system.addresses(name, place).await),
        };
        lock(&self.known).put(name, generation, result, Instant::now())
    }

    async fn asked(
        &self,
        servers: &NameServers,
        name: &str,
        _place: OwnedSemaphorePermit,
    ) -> Result<Resolved, LookupError> {
        let answer = timeout(self.limits.dns, servers.addresses(name)).await;
        answer.unwrap_or(Err(LookupError::NoAnswer))
    }

    /// The name servers that the files name now.
    fn servers(&self, files: &files::Read, port: u16) -> Result<Arc<NameServers>, LookupError> {
        let mut servers = lock(&self.servers);
        match &*servers {
            Some((generation, servers)) if *generation == files.generation => Ok(Arc::clone(servers)),
            _ => {
                let new = Arc::new(NameServers::new(&files.resolv_conf, port)?);
                *servers = Some((files.generation, Arc::clone(&new)));
                Ok(new)
            }
        }
    }
}

/// A name that is being looked up, until it no longer is.
struct InProgress {
    lookups: Arc<Lookups>,
    name: String,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        lock(&self.lookups.in_progress).remove(&self.name);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in these is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// Every address of the name is out of reach by policy.
#[derive(Debug, thiserror::Error)]
#[error("the name leads only to addresses that may not be reached")]
pub(super) struct Unreachable;

/// Looks names up and keeps what may be reached; none: everything.
#[derive(Clone, Debug)]
pub(super) struct Filtered {
    pub(super) reach: Option<Reach>,
    pub(super) lookups: Arc<Lookups>,
}

impl Resolve for Filtered {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, lookups) = (self.reach, Arc::clone(&self.lookups));
        Box::pin(async move {
            let found = lookups.addresses(name.as_str()).await?;
            let admitted = found.iter().filter(|found| reach.is_none_or(|reach| reach.admits(**found)));
            // Port 0: reqwest puts the URL's own in.
            let admitted: Vec<SocketAddr> = admitted.map(|found| SocketAddr::new(*found, 0)).collect();
            if admitted.is_empty() {
                return Err(Unreachable.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// Whether an error was made by [`Filtered`].
pub(super) fn is_unreachable(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<Unreachable>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Describes what is counted here.
pub(super) fn describe() {
    metrics::describe_counter!("touchtone_lookups_total", "Names looked up, by what for and how it ended");
}
