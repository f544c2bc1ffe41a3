//! Asks name servers.
//!
//! Shape:   [`NameServers::addresses`]: a name in, its addresses out, by the search list of resolv.conf. Each server is asked by
//!          hickory's resolver, which does the protocol: UDP with repeats, TCP for what was truncated, aliases.
//! Limits:  a question is answered within [`super::DNS_LIMIT`]; another server is asked besides after [`NEXT_SERVER_AFTER`],
//!          or at once when one fails.
//! Errors:  [`LookupError`].
//! Sources: resolver(3) for the order of servers and domains; RFC 8305, section 3, for waiting for the other kind of address.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::{sleep, timeout};

use super::files::{Candidate, ResolvConf};
use super::known::Resolved;
use super::{DNS_LIMIT, LookupError};

/// When a server that says nothing is not waited for alone any longer.
const NEXT_SERVER_AFTER: Duration = Duration::from_secs(1);

/// How long the second kind of address is waited for once there are some of the first. RFC 8305 recommends 50 ms; there is
/// no hurry here, and addresses that come later are lost.
const OTHER_KIND_AFTER: Duration = Duration::from_millis(250);

/// How long the addresses of one kind hold when those of the other were not found out.
const HALF_HOLDS: Duration = Duration::from_secs(5);

/// The servers of a resolv.conf.
pub(super) struct NameServers {
    conf: Arc<ResolvConf>,
    servers: Vec<TokioResolver>,
    /// The one that answered last.
    first: AtomicUsize,
}

/// Addresses of one kind.
#[derive(Debug)]
struct Records {
    addresses: Vec<IpAddr>,
    /// How long they hold, or that there are none.
    ttl: Duration,
}

impl NameServers {
    /// Those of `conf`, at `port`.
    pub(super) fn new(conf: &Arc<ResolvConf>, port: u16) -> Result<Self, LookupError> {
        let server = |address: &IpAddr| {
            let mut connections = vec![ConnectionConfig::tcp()];
            if !conf.use_vc {
                connections.insert(0, ConnectionConfig::udp());
            }
            for connection in &mut connections {
                connection.port = port;
            }
            let server = NameServerConfig::new(*address, true, connections);
            let config = ResolverConfig::from_name_servers(vec![server]);
            let mut options = ResolverOpts::default();
            // What is remembered, from where, and for how long is settled by who asks.
            options.cache_size = 0;
            options.use_hosts_file = ResolveHosts::Never;
            options.timeout = DNS_LIMIT;
            options.attempts = 0;
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
                .with_options(options)
                .build()
                .map_err(|error| failure(&error))
        };
        let servers = conf.servers.iter().map(server).collect::<Result<_, _>>()?;
        Ok(Self { conf: Arc::clone(conf), servers, first: AtomicUsize::new(0) })
    }

    /// The addresses of `name`.
    pub(super) async fn addresses(&self, name: &str) -> Result<Resolved, LookupError> {
        let mut absent: Option<Duration> = None;
        let mut failed = None;
        for Candidate { name, searched } in self.conf.candidates(name) {
            let mut name = Name::from_ascii(&name).map_err(|_| LookupError::NoName)?;
            // The search list is `candidates`' matter: hickory is to append nothing.
            name.set_fqdn(true);
            match self.of_both_kinds(&name).await {
                Ok(found @ Resolved::Found(..)) => return Ok(found),
                Ok(Resolved::Absent(ttl)) => absent = Some(absent.map_or(ttl, |before| before.min(ttl))),
                // A server may have no say in a domain of the search list, and knows the name that is meant all the same.
                Err(error @ LookupError::Refused(_)) if searched => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(Resolved::Absent(absent.unwrap_or_default())),
        }
    }

    async fn of_both_kinds(&self, name: &Name) -> Result<Resolved, LookupError> {
        if self.conf.no_aaaa {
            return of(None, Some(self.ask(name, RecordType::A).await));
        }
        let v6 = pin!(self.ask(name, RecordType::AAAA));
        let v4 = pin!(self.ask(name, RecordType::A));
        match select(v6, v4).await {
            Either::Left((v6, v4)) => {
                let v4 = after(&v6, v4).await;
                of(Some(v6), v4)
            }
            Either::Right((v4, v6)) => {
                let v6 = after(&v4, v6).await;
                of(v6, Some(v4))
            }
        }
    }

    /// The first answer of a server, be it that there is nothing.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Records, LookupError> {
        let first = self.first.load(Ordering::Relaxed);
        let mut left = self.servers.iter().enumerate().cycle().skip(first).take(self.servers.len());
        let mut asked = FuturesUnordered::new();
        let mut failed = LookupError::NoAnswer;
        loop {
            let next = left.next();
            if next.is_none() && asked.is_empty() {
                return Err(failed);
            }
            let is_last = next.is_none();
            asked.extend(next.map(|(place, server)| async move { (place, ask_one(server, name, kind).await) }));
            tokio::select! {
                Some((place, answer)) = asked.next() => match answer {
                    Ok(records) => {
                        // A hint: whoever reads an older one asks a slower server first.
                        self.first.store(place, Ordering::Relaxed);
                        return Ok(records);
                    }
                    Err(error) => failed = error,
                },
                () = sleep(NEXT_SERVER_AFTER), if !is_last => {}
            }
        }
    }
}

impl std::fmt::Debug for NameServers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers").field("conf", &self.conf).finish_non_exhaustive()
    }
}

/// What becomes of the other kind once there is an answer about one.
async fn after(
    first: &Result<Records, LookupError>,
    other: impl Future<Output = Result<Records, LookupError>>,
) -> Option<Result<Records, LookupError>> {
    if first.as_ref().is_ok_and(|records| !records.addresses.is_empty()) {
        timeout(OTHER_KIND_AFTER, other).await.ok()
    } else {
        Some(other.await)
    }
}

/// Both kinds together, IPv6 first: where it leads nowhere, the connection is tried the other way at once or, as RFC 8305
/// has it, soon after.
fn of(
    v6: Option<Result<Records, LookupError>>,
    v4: Option<Result<Records, LookupError>>,
) -> Result<Resolved, LookupError> {
    let mut addresses = Vec::new();
    let (mut holds, mut absent): (Option<Duration>, Option<Duration>) = (None, None);
    let mut failed = None;
    let is_half = v6.as_ref().is_some_and(Result::is_err) || !matches!(v4, Some(Ok(_)));
    for records in [v6, v4].into_iter().flatten() {
        match records {
            Ok(records) if records.addresses.is_empty() => {
                absent = Some(absent.map_or(records.ttl, |before| before.min(records.ttl)));
            }
            Ok(records) => {
                holds = Some(holds.map_or(records.ttl, |before| before.min(records.ttl)));
                addresses.extend(records.addresses);
            }
            Err(error) => failed = Some(error),
        }
    }
    match (holds, failed) {
        (Some(holds), _) => {
            let holds = if is_half { holds.min(HALF_HOLDS) } else { holds };
            Ok(Resolved::Found(addresses.into(), holds))
        }
        (None, Some(error)) => Err(error),
        (None, None) => Ok(Resolved::Absent(absent.unwrap_or_default())),
    }
}

async fn ask_one(server: &TokioResolver, name: &Name, kind: RecordType) -> Result<Records, LookupError> {
    match server.lookup(name.clone(), kind).await {
        Ok(lookup) => {
            let records = lookup.answers();
            let addresses: Vec<IpAddr> = records
                .iter()
                .filter(|record| record.record_type() == kind)
                .filter_map(|record| record.data.ip_addr())
                .collect();
            // Aliases hold for a time too.
            let ttl = records.iter().map(|record| record.ttl).min().unwrap_or_default();
            Ok(Records { addresses, ttl: Duration::from_secs(ttl.into()) })
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
            let ttl = nothing.negative_ttl.unwrap_or_default();
            Ok(Records { addresses: Vec::new(), ttl: Duration::from_secs(ttl.into()) })
        }
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &NetError) -> LookupError {
    match error {
        NetError::Dns(DnsError::ResponseCode(code)) => LookupError::Refused(code.to_str()),
        NetError::Timeout | NetError::NoConnections | NetError::Busy | NetError::Io(_) => LookupError::NoAnswer,
        _ => LookupError::Refused("an answer that cannot be read"),
    }
}
