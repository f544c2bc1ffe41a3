//! How many connections there may be at once, and who goes when there are more.
//!
//! Shape:   [`ConnectionLimiter`] is a listening socket that gives each connection its [`Visit`]: a place that is given back when it is
//!          dropped, and what we wait for on this connection, since when and until when.
//! Limits:  `max_connections` in all, or what the system's limit of open files has room for; [`ConnectionLimits::per_address`].
//! Errors:  none: who is one too many finds the connection closed; the metrics say why.
//! Sources: RFC 9112, section 9.5 (servers close connections when they must); getrlimit(2) `RLIMIT_NOFILE`.
//!
//! Whoever connects last is served: above the limit the connection goes that we have waited for longest, then the one that
//! has kept us busy longest; never a call. So silent connections, however many, keep no caller out.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::serve::Listener;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::ConnectionLimits;
use crate::http::TrustedProxies;
use crate::http::address::{AddressKind, kind};
use crate::rest::attempts::source;

use super::pace::Pace;

/// How often the limit is told.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The part of the open files, one in so many, that is left to requests of our own, documents and the store.
const FILES_LEFT: u64 = 4;

/// Lets this process open as many files as the system has set as its bound; a connection is a file.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::debug!(%error, "could not raise the limit of open files; leaving it");
    }
}

/// How many connections there may be: as configured (0: no limit), but no more than files may be opened.
fn room(configured: u32, open_files: Option<u64>) -> usize {
    let wanted = if configured == 0 { usize::MAX } else { usize::try_from(configured).unwrap_or(usize::MAX) };
    let files = open_files.map(|files| files.saturating_sub(files / FILES_LEFT));
    let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    wanted.min(files).max(1)
}

/// The listening socket, and everybody who came in by it.
#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    socket: TcpListener,
    places: ConnectionSlots,
    messages_per_second: u32,
}

impl ConnectionLimiter {
    pub(super) fn new(
        socket: TcpListener,
        max_connections: u32,
        limits: ConnectionLimits,
        trusted: &TrustedProxies,
    ) -> Self {
        let open_files = getrlimit(Resource::Nofile).current;
        let max = room(max_connections, open_files);
        if max < usize::try_from(max_connections).unwrap_or(usize::MAX) {
            tracing::warn!(
                limit = max,
                max_connections,
                "system lets this process open too few files for max_connections; allowing fewer connections (ulimit -n, or \
                 LimitNOFILE= of systemd)"
            );
        }
        Self { socket, places: ConnectionSlots::new(max, limits, trusted.clone()), messages_per_second: 0 }
    }

    /// Once they are calls', connections are read at the pace of so many messages a second; 0: no limit.
    pub(super) fn reading_calls_at(self, messages_per_second: u32) -> Self {
        Self { messages_per_second, ..self }
    }

    /// The next connection that has a place.
    pub(super) async fn accept(&mut self) -> (TcpStream, Visit) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.socket).await;
            if let Some(mut visit) = self.places.take(peer) {
                visit.pace = Arc::new(Pace::new(self.messages_per_second));
                return (stream, visit);
            }
        }
    }
}

/// Counts a connection that is not left to end by itself.
pub(super) fn closed(why: &'static str) {
    metrics::counter!("touchtone_connections_closed_total", "why" => why).increment(1);
}

/// Describes what is counted here.
pub(super) fn describe() {
    metrics::describe_gauge!("touchtone_connections", "Connections at the moment, those of calls included");
    metrics::describe_counter!("touchtone_connections_closed_total", "Connections that this server closed, by why");
}

/// Those there are, and those taken.
#[derive(Clone, Debug)]
pub(super) struct ConnectionSlots {
    max: usize,
    limits: Arc<ConnectionLimits>,
    trusted: Arc<TrustedProxies>,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Of each public address, without those of calls.
    by_address: BTreeMap<IpAddr, usize>,
    /// Who may have to go, the next one first: those we wait for before those that wait for us, each oldest first.
    may_go: BTreeMap<Ticket, Arc<Notify>>,
    tickets: u64,
    told: Option<Instant>,
}

/// A turn to go: whether we work for the connection, and how many turns were given out before.
type Ticket = (bool, u64);

impl ConnectionSlots {
    fn new(max: usize, limits: ConnectionLimits, trusted: TrustedProxies) -> Self {
        Self { max, limits: Arc::new(limits), trusted: Arc::new(trusted), taken: Arc::default() }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing in there is left half done by a panic.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if need be somebody else's; none while there are only calls, or for an address that has too many.
    fn take(&self, peer: SocketAddr) -> Option<Visit> {
        // A proxy's connections are many people's.
        let is_one_s = kind(peer.ip()) == AddressKind::Public && !self.trusted.contains(peer.ip());
        let address = is_one_s.then(|| source(peer.ip()));
        let mut taken = self.taken();
        let of_address = address.map_or(0, |address| taken.by_address.get(&address).copied().unwrap_or_default());
        if of_address >= self.limits.per_address {
            closed("address");
            return None;
        }
        if taken.all >= self.max {
            taken.tell(self.max);
            let Some((_, next)) = taken.may_go.pop_first() else {
                closed("full");
                return None;
            };
            closed("crowded");
            // It counts until it has gone: for a moment there is one more than the limit.
            next.notify_one();
        }
        taken.all += 1;
        metrics::gauge!("touchtone_connections").increment(1);
        if let Some(address) = address {
            *taken.by_address.entry(address).or_default() += 1;
        }
        let leave = Arc::new(Notify::new());
        let ticket = taken.ticket(false, &leave);
        let now =
            ConnectionPhase { awaited: Awaited::Head, since: Instant::now(), ticket: Some(ticket), counted: address };
        let pace = Arc::new(Pace::new(0));
        Some(Visit { places: self.clone(), peer, leave, pace, now: Mutex::new(now) })
    }
}

impl Taken {
    fn ticket(&mut self, busy: bool, leave: &Arc<Notify>) -> Ticket {
        self.tickets += 1;
        let ticket = (busy, self.tickets);
        self.may_go.insert(ticket, Arc::clone(leave));
        ticket
    }

    fn forget_address(&mut self, address: IpAddr) {
        if let Some(count) = self.by_address.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    fn tell(&mut self, max: usize) {
        if self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!(limit = max, "limit of connections is reached; closing the idlest ones, never calls");
        }
    }
}

/// What is to happen next on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The rest of a request's headers.
    Head,
    /// Our answer.
    Answer,
    /// That the client takes our answer: all of it, or what is left when we have nothing to add.
    Taking,
    /// The same, and nothing more is to come.
    TakingLast,
    /// That the client takes the answer that makes this a call.
    Call,
    /// Another request, or the end.
    Request,
}

#[derive(Debug)]
struct ConnectionPhase {
    awaited: Awaited,
    since: Instant,
    /// None: it must not go, or has to go already.
    ticket: Option<Ticket>,
    /// The address it is counted for.
    counted: Option<IpAddr>,
}

/// One connection: its place, and how it stands.
#[derive(Debug)]
pub(super) struct Visit {
    places: ConnectionSlots,
    peer: SocketAddr,
    leave: Arc<Notify>,
    pace: Arc<Pace>,
    now: Mutex<ConnectionPhase>,
}

impl Visit {
    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// How fast it is read.
    pub(super) fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.pace)
    }

    pub(super) fn limits(&self) -> &ConnectionLimits {
        &self.places.limits
    }

    /// Ready when somebody else needs the place.
    pub(super) async fn has_to_go(&self) {
        self.leave.notified().await;
    }

    /// Until when what is awaited may take, and its name; none: somebody else looks to that.
    pub(super) fn due(&self) -> Option<(Instant, &'static str)> {
        let now = self.now();
        let limits = self.limits();
        let (time, why) = match now.awaited {
            Awaited::Head => (limits.head_time, "head"),
            Awaited::Answer => return None,
            Awaited::Taking | Awaited::TakingLast | Awaited::Call => (limits.answer_time, "answer"),
            Awaited::Request => (limits.idle_time, "idle"),
        };
        Some((now.since + time, why))
    }

    /// The connection is ready to be spoken on.
    pub(super) fn begins(&self) {
        self.turn(Awaited::Head);
    }

    /// Something came.
    pub(super) fn heard(&self) {
        self.turn_if(Awaited::Request, Awaited::Head);
    }

    /// A request's headers are there.
    pub(super) fn asked(&self) {
        self.turn(Awaited::Answer);
    }

    /// The answer begins.
    pub(super) fn answers(&self, makes_a_call: bool) {
        if makes_a_call {
            self.pace.begin();
        }
        self.turn(if makes_a_call { Awaited::Call } else { Awaited::Taking });
    }

    /// The answer has nothing more to add.
    pub(super) fn said_all(&self) {
        let mut now = self.now();
        if now.awaited == Awaited::Taking {
            now.awaited = Awaited::TakingLast;
        }
    }

    /// Everything said was taken.
    pub(super) fn flushed(&self) {
        self.turn_if(Awaited::TakingLast, Awaited::Request);
    }

    fn now(&self) -> MutexGuard<'_, ConnectionPhase> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn_if(&self, from: Awaited, to: Awaited) {
        // Said of every piece that is read and written: whoever is elsewhere is done at once.
        if self.now().awaited == from {
            self.turn(to);
        }
    }

    fn turn(&self, awaited: Awaited) {
        // The locks always in this order, as in `drop`.
        let mut taken = self.places.taken();
        let mut now = self.now();
        // Without a ticket it is on its way out.
        if let Some(ticket) = now.ticket.take()
            && taken.may_go.remove(&ticket).is_some()
            && awaited != Awaited::Call
        {
            now.ticket = Some(taken.ticket(awaited == Awaited::Answer, &self.leave));
        }
        if awaited == Awaited::Call
            && let Some(address) = now.counted.take()
        {
            taken.forget_address(address);
        }
        (now.awaited, now.since) = (awaited, Instant::now());
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let mut now = self.now();
        taken.all = taken.all.saturating_sub(1);
        metrics::gauge!("touchtone_connections").decrement(1);
        if let Some(ticket) = now.ticket.take() {
            taken.may_go.remove(&ticket);
        }
        if let Some(address) = now.counted.take() {
            taken.forget_address(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const PUBLIC: &str = "203.1.112.7:1000";
    const PROXY: &str = "10.0.0.2:1000";

    fn places(max: usize, per_address: usize) -> ConnectionSlots {
        let trusted = TrustedProxies::parse(["203.1.112.9"]).unwrap();
        ConnectionSlots::new(max, ConnectionLimits { per_address, ..ConnectionLimits::default() }, trusted)
    }

    fn comes(places: &ConnectionSlots, from: &str) -> Option<Visit> {
        places.take(from.parse().unwrap())
    }

    fn has_to_go(visit: &Visit) -> bool {
        visit.has_to_go().now_or_never().is_some()
    }

    #[test]
    fn the_configured_number_counts_unless_the_system_opens_fewer_files() {
        for (configured, files, expected) in [
            (10_000, None, 10_000),
            (10_000, Some(1_000_000), 10_000),
            (10_000, Some(1024), 768),
            (0, None, usize::MAX),
            (0, Some(1024), 768),
            (1, Some(0), 1),
        ] {
            assert_eq!(room(configured, files), expected, "{configured} {files:?}");
        }
    }

    #[tokio::test]
    async fn above_the_limit_the_one_goes_that_has_been_waited_for_longest() {
        let places = places(3, 100);
        let [first, second, third] = [(); 3].map(|()| comes(&places, PROXY).unwrap());
        first.asked();
        first.answers(false);
        first.said_all();
        first.flushed();
        third.asked();
        let fourth = comes(&places, PROXY).unwrap();
        assert_eq!([&first, &second, &third, &fourth].map(has_to_go), [false, true, false, false]);
        drop(second);
        let fifth = comes(&places, PROXY).unwrap();
        assert_eq!([&first, &third, &fourth, &fifth].map(has_to_go), [true, false, false, false]);
    }

    #[tokio::test]
    async fn who_is_worked_for_goes_after_all_that_are_waited_for_and_a_call_never() {
        let places = places(3, 100);
        let [call, busy, idle] = [(); 3].map(|()| comes(&places, PROXY).unwrap());
        call.asked();
        call.answers(true);
        busy.asked();
        let _fourth = comes(&places, PROXY).unwrap();
        assert_eq!([&call, &busy, &idle].map(has_to_go), [false, false, true]);
        drop(idle);
        let _fifth = comes(&places, PROXY).unwrap();
        assert_eq!([&call, &busy].map(has_to_go), [false, false], "the fourth went");
        let alone = self::places(1, 100);
        let call = comes(&alone, PROXY).unwrap();
        call.asked();
        call.answers(true);
        assert!(comes(&alone, PROXY).is_none(), "there are only calls");
        drop(call);
        assert!(comes(&alone, PROXY).is_some());
    }

    #[tokio::test]
    async fn a_public_address_has_so_many_connections_that_are_no_calls() {
        let places = places(100, 2);
        let [first, second] = [(); 2].map(|()| comes(&places, PUBLIC).unwrap());
        assert!(comes(&places, PUBLIC).is_none());
        assert!(comes(&places, "203.1.112.8:1000").is_some(), "another address");
        first.asked();
        first.answers(true);
        let third = comes(&places, PUBLIC).unwrap();
        assert!(comes(&places, PUBLIC).is_none());
        drop((second, third));
        let _again = [(); 2].map(|()| comes(&places, PUBLIC).unwrap());
        let _through_a_proxy = [(); 20].map(|()| comes(&places, PROXY).unwrap());
    }

    #[tokio::test]
    async fn whoever_leaves_is_forgotten() {
        let places = places(10, 2);
        for from in [PUBLIC, PROXY, "[2a01:4f8:1:2::1]:1"] {
            let visit = comes(&places, from).unwrap();
            visit.asked();
            drop(visit);
        }
        let taken = places.taken();
        assert_eq!((taken.all, taken.by_address.len(), taken.may_go.len()), (0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn each_step_has_a_time_of_its_own_that_begins_with_the_step() {
        let places = places(10, 10);
        let limits = ConnectionLimits::default();
        let visit = comes(&places, PROXY).unwrap();
        let due = |visit: &Visit| visit.due().map(|(at, why)| (at - Instant::now(), why));
        assert_eq!(due(&visit), Some((limits.head_time, "head")));
        tokio::time::advance(Duration::from_secs(1)).await;
        visit.heard();
        assert_eq!(
            due(&visit),
            Some((limits.head_time - Duration::from_secs(1), "head")),
            "byte after byte is no excuse"
        );
        visit.asked();
        assert_eq!(due(&visit), None);
        visit.answers(false);
        visit.flushed();
        assert_eq!(due(&visit), Some((limits.answer_time, "answer")), "there is more to come");
        visit.said_all();
        visit.flushed();
        assert_eq!(due(&visit), Some((limits.idle_time, "idle")));
        visit.heard();
        assert_eq!(due(&visit), Some((limits.head_time, "head")));
    }
}
