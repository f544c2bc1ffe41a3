use std::collections::BTreeMap;
use std::sync::Condvar;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::ResponseCode;
use tokio::task::JoinSet;

use super::test_dns::{DnsReply, Machine, TestDns};
use super::*;
use crate::form::Form;
use crate::http::test_server::TestServer;
use crate::http::{Crowd, Method, Outbound, OutboundError, OutboundRequest, TargetPolicy};
use crate::library::Library;

/// So long that no test ends by it.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

fn plain(outcome: LookupOutcome) -> Result<Vec<String>, LookupError> {
    outcome.map(|found| found.iter().map(IpAddr::to_string).collect())
}

async fn found(lookups: &Arc<Lookups>, name: &str) -> Vec<String> {
    plain(lookups.addresses(name).await).unwrap()
}

fn get(url: &str) -> OutboundRequest {
    OutboundRequest {
        method: Method::GET,
        url: url.to_owned(),
        form: Form::new(),
        auth_token: None,
        idempotency_token: None,
        cookies: crate::http::Jar::default(),
        timeout: Duration::from_secs(30),
        body_limit: 1024,
    }
}

fn flows() -> (tempfile::TempDir, Library) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thanks.xml"), "<Response><Say>Thank you.</Say></Response>").unwrap();
    let library = Library::new(folder.path());
    (folder, library)
}

/// As a call does.
async fn loads(library: &Library) -> bool {
    library.fetch("thanks".to_owned(), BTreeMap::new()).await.is_ok()
}

#[tokio::test]
async fn while_a_name_is_dead_gateways_documents_localhost_other_callbacks_and_flows_go_on() {
    let dns = TestDns::start(|name| match name {
        "dead.example" => DnsReply::Silence,
        _ => DnsReply::Addresses(60, vec!["127.0.0.1"]),
    })
    .await;
    let machine = Machine::asking(&dns, "");
    let resolver = machine.resolver();
    let limits = LookupLimits { at_once: DNS_AT_ONCE, waiting: WAITING_MAX, wait: FOR_EVER, dns: FOR_EVER };
    let callbacks = resolver.lookups_within(Bulkhead::Callbacks, limits);
    let mut dead = JoinSet::new();
    for _ in 0..600 {
        let callbacks = Arc::clone(&callbacks);
        dead.spawn(async move { callbacks.addresses("dead.example").await });
    }
    while dns.times("dead.example") == 0 {
        tokio::task::yield_now().await;
    }
    // Of the same bulkhead.
    assert_eq!(found(&callbacks, "application.example").await, ["127.0.0.1"]);
    assert_eq!(found(&callbacks, "localhost").await, ["127.0.0.1", "::1"]);
    assert_eq!(found(&resolver.lookups(Bulkhead::Gateways), "gateway.example").await, ["127.0.0.1"]);
    let server = TestServer::answering(200, "").await;
    let outbound = Outbound::with(TargetPolicy::Open, &resolver, Crowd::default()).unwrap();
    for host in ["application.example", "localhost"] {
        let url = get(&format!("http://{host}:{}/", server.address.port()));
        assert_eq!(outbound.send(&url).await.unwrap().status, 200, "{host}");
        assert_eq!(outbound.send_callback(&url).await.unwrap().status, 200, "{host}");
    }
    let (_folder, library) = flows();
    assert!(loads(&library).await);
    assert!(dead.try_join_next().is_none(), "all 600 still wait");
}

#[tokio::test]
async fn six_hundred_dead_names_of_callbacks_hold_up_callbacks_only() {
    let dns = TestDns::start(|name| {
        if name.ends_with("dead.example") { DnsReply::Silence } else { DnsReply::Addresses(60, vec!["127.0.0.1"]) }
    })
    .await;
    let machine = Machine::asking(&dns, "");
    let resolver = machine.resolver();
    let limits = LookupLimits { at_once: DNS_AT_ONCE, waiting: WAITING_MAX, wait: FOR_EVER, dns: FOR_EVER };
    let callbacks = resolver.lookups_within(Bulkhead::Callbacks, limits);
    let mut dead = JoinSet::new();
    for place in 0..600 {
        let callbacks = Arc::clone(&callbacks);
        dead.spawn(async move { callbacks.addresses(&format!("n{place}.dead.example")).await });
    }
    while dns.names().len() < DNS_AT_ONCE {
        tokio::task::yield_now().await;
    }
    for bulkhead in [Bulkhead::Gateways, Bulkhead::Documents] {
        assert_eq!(found(&resolver.lookups(bulkhead), "application.example").await, ["127.0.0.1"]);
    }
    assert_eq!(found(&callbacks, "localhost").await, ["127.0.0.1", "::1"]);
    let (_folder, library) = flows();
    assert!(loads(&library).await);
    assert!(dead.try_join_next().is_none(), "all 600 still wait");
    assert_eq!(dns.names().len(), DNS_AT_ONCE + 1, "the others wait for their turn");
}

#[tokio::test]
async fn more_names_than_may_wait_are_refused_at_once() {
    let dns = TestDns::start(|_| DnsReply::Silence).await;
    let limits = LookupLimits { at_once: 1, waiting: 2, wait: FOR_EVER, dns: FOR_EVER };
    let machine = Machine::asking(&dns, "");
    let lookups = machine.resolver().lookups_within(Bulkhead::Callbacks, limits);
    let mut waiting = JoinSet::new();
    for name in ["a.example", "b.example"] {
        let lookups = Arc::clone(&lookups);
        waiting.spawn(async move { lookups.addresses(name).await });
    }
    while lock(&lookups.in_progress).len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(lookups.addresses("c.example").await, Err(LookupError::TooMany));
    assert!(waiting.try_join_next().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_answers_is_an_error_after_four_seconds_and_then_at_once_for_a_while() {
    let dns = TestDns::start(|_| DnsReply::Silence).await;
    let machine = Machine::asking(&dns, "");
    let lookups = machine.lookups();
    let since = Instant::now();
    assert_eq!(lookups.addresses("dead.example").await, Err(LookupError::NoAnswer));
    assert_eq!(since.elapsed(), DNS_LIMIT);
    let asked = dns.asked().len();
    assert!(asked > 2, "UDP is repeated: {asked}");
    assert_eq!(lookups.addresses("dead.example").await, Err(LookupError::NoAnswer));
    assert_eq!((since.elapsed(), dns.asked().len()), (DNS_LIMIT, asked));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(lookups.addresses("dead.example").await, Err(LookupError::NoAnswer));
    assert!(dns.asked().len() > asked);
    assert!(lock(&lookups.in_progress).is_empty());
}

#[tokio::test]
async fn a_name_is_asked_for_once_as_long_as_its_answer_holds() {
    let dns = TestDns::start(|name| match name {
        "here.example" => DnsReply::Addresses(60, vec!["127.0.0.1", "::1"]),
        "no-address.example" => DnsReply::Addresses(60, vec![]),
        "fails.example" => DnsReply::Failure(ResponseCode::ServFail),
        "brief.example" => DnsReply::Addresses(0, vec!["127.0.0.1"]),
        _ => DnsReply::NoName(60),
    })
    .await;
    let machine = Machine::asking(&dns, "");
    let lookups = machine.lookups();
    for _ in 0..2 {
        assert_eq!(lookups.addresses("fails.example").await, Err(LookupError::Refused("Server Failure")));
    }
    for _ in 0..2 {
        assert_eq!(found(&lookups, "here.example").await, ["::1", "127.0.0.1"]);
        assert_eq!(found(&lookups, "HERE.example").await, ["::1", "127.0.0.1"]);
        assert_eq!(lookups.addresses("nowhere.example").await, Err(LookupError::Absent));
        assert_eq!(lookups.addresses("no-address.example").await, Err(LookupError::Absent));
        assert_eq!(found(&lookups, "brief.example").await, ["127.0.0.1"]);
    }
    let times = ["here.example", "nowhere.example", "no-address.example", "fails.example", "brief.example"];
    assert_eq!(times.map(|name| dns.times(name)), [1, 1, 1, 1, 2]);
}

#[tokio::test]
async fn literal_addresses_localhost_and_the_hosts_file_are_asked_of_nobody() {
    let dns = TestDns::start(|_| DnsReply::Addresses(60, vec!["10.9.9.9"])).await;
    let machine = Machine::asking(&dns, "search example");
    machine.has_hosts("10.0.0.7 app.example\n10.0.0.8 local.localhost\n");
    let lookups = machine.lookups();
    for (name, addresses) in [
        ("127.0.0.1", vec!["127.0.0.1"]),
        ("10.1.2.3", vec!["10.1.2.3"]),
        ("::1", vec!["::1"]),
        ("[2001:db8::1]", vec!["2001:db8::1"]),
        ("localhost", vec!["127.0.0.1", "::1"]),
        ("LOCALHOST.", vec!["127.0.0.1", "::1"]),
        ("pay.localhost", vec!["127.0.0.1", "::1"]),
        ("local.localhost", vec!["10.0.0.8"]),
        ("App.example", vec!["10.0.0.7"]),
    ] {
        assert_eq!(found(&lookups, name).await, addresses, "{name}");
    }
    assert_eq!(lookups.addresses(&"x".repeat(64)).await, Err(LookupError::NoName));
    assert_eq!(dns.asked(), []);
}

#[tokio::test]
async fn a_changed_hosts_file_and_a_changed_resolv_conf_count_at_once() {
    let first = TestDns::start(|_| DnsReply::Addresses(3600, vec!["10.0.0.1"])).await;
    let other = SocketAddr::new("127.0.0.2".parse().unwrap(), first.address.port());
    let second = TestDns::start_at(other, |_| DnsReply::Addresses(3600, vec!["10.0.0.2"])).await;
    let machine = Machine::asking(&first, "");
    let lookups = machine.lookups();
    assert_eq!(found(&lookups, "app.example").await, ["10.0.0.1"]);
    machine.has_hosts("10.0.0.7 app.example");
    assert_eq!(found(&lookups, "app.example").await, ["10.0.0.7"]);
    machine.has_hosts("");
    assert_eq!(found(&lookups, "app.example").await, ["10.0.0.1"]);
    machine.has_resolv_conf("nameserver 127.0.0.2\n");
    assert_eq!(found(&lookups, "app.example").await, ["10.0.0.2"], "what the other one said is forgotten");
    assert_eq!((first.times("app.example"), second.times("app.example")), (2, 1));
}

#[tokio::test]
async fn domains_of_the_search_list_are_tried_until_there_is_an_address() {
    let dns = TestDns::start(|name| match name {
        "pay.b.example" | "x.pay.shop" => DnsReply::Addresses(60, vec!["10.0.0.1"]),
        "fails.a.example" => DnsReply::Failure(ResponseCode::ServFail),
        "fails" => DnsReply::Addresses(60, vec!["10.0.0.2"]),
        "broken.shop" => DnsReply::Failure(ResponseCode::ServFail),
        _ => DnsReply::NoName(60),
    })
    .await;
    let machine = Machine::asking(&dns, "search a.example b.example\noptions ndots:1");
    let lookups = machine.lookups();
    assert_eq!(found(&lookups, "pay").await, ["10.0.0.1"]);
    assert_eq!(found(&lookups, "x.pay.shop").await, ["10.0.0.1"]);
    assert_eq!(found(&lookups, "fails").await, ["10.0.0.2"]);
    // A whole name that fails is not looked for elsewhere.
    assert_eq!(lookups.addresses("broken.shop").await, Err(LookupError::Refused("Server Failure")));
    assert_eq!(lookups.addresses("none").await, Err(LookupError::Absent));
    let expected = [
        "pay.a.example",
        "pay.b.example",
        "x.pay.shop",
        "fails.a.example",
        "fails.b.example",
        "fails",
        "broken.shop",
        "none.a.example",
        "none.b.example",
        "none",
    ];
    assert_eq!(dns.names(), expected);
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_by_tcp() {
    let dns = TestDns::start(|_| DnsReply::Truncated(vec!["10.0.0.1", "10.0.0.2"])).await;
    let machine = Machine::asking(&dns, "options no-aaaa");
    let lookups = machine.lookups();
    assert_eq!(found(&lookups, "many.example").await, ["10.0.0.1", "10.0.0.2"]);
    // On a busy machine the first question is repeated.
    let asked = dns.asked();
    assert!(!asked[0].by_tcp && asked.last().unwrap().by_tcp, "{asked:?}");
    let machine = Machine::asking(&dns, "options no-aaaa use-vc");
    let lookups = machine.lookups();
    assert_eq!(found(&lookups, "many.example").await, ["10.0.0.1", "10.0.0.2"]);
    assert!(dns.asked()[asked.len()..].iter().all(|asked| asked.by_tcp));
}

#[tokio::test]
async fn a_server_that_fails_or_says_nothing_is_made_up_for_by_the_next_one() {
    for reply in
        [DnsReply::Failure(ResponseCode::Refused), DnsReply::Failure(ResponseCode::ServFail), DnsReply::Silence]
    {
        let first = TestDns::start(move |_| reply.clone()).await;
        let other = SocketAddr::new("127.0.0.2".parse().unwrap(), first.address.port());
        let _second = TestDns::start_at(other, |_| DnsReply::Addresses(3600, vec!["10.0.0.2"])).await;
        let machine = Machine::asking(&first, "nameserver 127.0.0.2");
        let lookups = machine.lookups();
        assert_eq!(found(&lookups, "app.example").await, ["10.0.0.2"]);
        let before = first.asked().len();
        assert_eq!(found(&lookups, "other.example").await, ["10.0.0.2"]);
        assert_eq!(first.asked().len(), before, "the one that answered is asked first");
    }
}

#[tokio::test]
async fn addresses_of_one_kind_are_enough_while_the_other_is_not_answered() {
    let dns = TestDns::start(|_| DnsReply::SilenceForIpv6("10.0.0.1")).await;
    let limits = LookupLimits { at_once: 1, waiting: 1, wait: FOR_EVER, dns: FOR_EVER };
    let machine = Machine::asking(&dns, "");
    let lookups = machine.resolver().lookups_within(Bulkhead::Documents, limits);
    assert_eq!(found(&lookups, "half.example").await, ["10.0.0.1"]);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_whatever_it_led_to_before() {
    let server = TestServer::answering(200, "").await;
    let answers = AtomicUsize::new(0);
    let dns = TestDns::start(move |_| {
        // Both kinds of address are asked for each time.
        let inside = answers.fetch_add(1, Ordering::Relaxed) >= 2;
        DnsReply::Addresses(0, vec![if inside { "10.0.0.1" } else { "127.0.0.1" }])
    })
    .await;
    let machine = Machine::asking(&dns, "");
    let resolver = machine.resolver();
    let outbound = Outbound::with(TargetPolicy::PublicHttpsAndLoopback, &resolver, Crowd::default()).unwrap();
    let url = get(&format!("http://rebound.example:{}/", server.address.port()));
    assert_eq!(outbound.send(&url).await.unwrap().status, 200);
    // A kept connection leads where the first one did; without one the second answer counts.
    let outbound = Outbound::with(TargetPolicy::PublicHttpsAndLoopback, &resolver, Crowd::default()).unwrap();
    assert_eq!(outbound.send(&url).await.unwrap_err(), OutboundError::AddressNotAllowed);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_reached_are_tried() {
    let server = TestServer::answering(200, "").await;
    let dns = TestDns::start(|_| DnsReply::Addresses(60, vec!["10.0.0.1", "169.254.169.254", "127.0.0.1"])).await;
    let machine = Machine::asking(&dns, "");
    let resolver = machine.resolver();
    let outbound = Outbound::with(TargetPolicy::PublicHttpsAndLoopback, &resolver, Crowd::default()).unwrap();
    let url = get(&format!("http://mixed.example:{}/", server.address.port()));
    assert_eq!(outbound.send(&url).await.unwrap().status, 200);
    let hosts = Machine::asking(&dns, "");
    hosts.has_hosts("10.0.0.1 inside.example");
    let outbound = Outbound::with(TargetPolicy::PublicHttpsAndLoopback, &hosts.resolver(), Crowd::default()).unwrap();
    let url = get(&format!("http://inside.example:{}/", server.address.port()));
    assert_eq!(outbound.send(&url).await.unwrap_err(), OutboundError::AddressNotAllowed);
}

/// A stand-in for getaddrinfo that blocks for dead names until it is let go.
#[derive(Default)]
struct Blocking {
    entered: AtomicUsize,
    is_free: Mutex<bool>,
    freed: Condvar,
}

impl Blocking {
    fn look_up(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        if name.ends_with("dead.example") {
            self.entered.fetch_add(1, Ordering::SeqCst);
            let mut is_free = lock(&self.is_free);
            while !*is_free {
                is_free = self.freed.wait(is_free).unwrap();
            }
            return Err(std::io::Error::other("Temporary failure in name resolution"));
        }
        Ok(vec!["127.0.0.1".parse().unwrap()])
    }

    fn entered(&self) -> usize {
        self.entered.load(Ordering::SeqCst)
    }

    fn free(&self) {
        *lock(&self.is_free) = true;
        self.freed.notify_all();
    }
}

#[tokio::test]
async fn the_systems_resolver_blocks_sixteen_threads_of_one_bulkhead_and_nothing_else() {
    let blocking = Arc::new(Blocking::default());
    let stand_in = Arc::clone(&blocking);
    let resolver = Resolver(Way::System(System::standing_in(move |name| stand_in.look_up(name))));
    let limits = LookupLimits { at_once: THREADS_MAX, waiting: WAITING_MAX, wait: FOR_EVER, dns: FOR_EVER };
    let callbacks = resolver.lookups_within(Bulkhead::Callbacks, limits);
    let mut dead = JoinSet::new();
    for place in 0..600 {
        let callbacks = Arc::clone(&callbacks);
        dead.spawn(async move { callbacks.addresses(&format!("n{}.dead.example", place / 2)).await });
    }
    while blocking.entered() < THREADS_MAX {
        tokio::task::yield_now().await;
    }
    let (_folder, library) = flows();
    assert!(loads(&library).await);
    let gateways = resolver.lookups(Bulkhead::Gateways);
    assert_eq!(found(&gateways, "gateway.example").await, ["127.0.0.1"]);
    assert_eq!(found(&callbacks, "localhost").await, ["127.0.0.1", "::1"]);
    assert_eq!(found(&callbacks, "10.0.0.1").await, ["10.0.0.1"]);
    assert!(dead.try_join_next().is_none(), "all 600 still wait");
    assert_eq!(blocking.entered(), THREADS_MAX);
    blocking.free();
    while let Some(outcome) = dead.join_next().await {
        assert!(matches!(outcome.unwrap(), Err(LookupError::System(_))));
    }
    assert_eq!(blocking.entered(), 300, "a name has one thread");
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_the_systems_resolver_is_told_so_and_its_threads_stay_counted() {
    let blocking = Arc::new(Blocking::default());
    let stand_in = Arc::clone(&blocking);
    let resolver = Resolver(Way::System(System::standing_in(move |name| stand_in.look_up(name))));
    let callbacks = resolver.lookups(Bulkhead::Callbacks);
    let since = Instant::now();
    let mut dead = JoinSet::new();
    for place in 0..20 {
        let callbacks = Arc::clone(&callbacks);
        dead.spawn(async move { callbacks.addresses(&format!("n{place}.dead.example")).await });
    }
    while blocking.entered() < THREADS_MAX {
        tokio::task::yield_now().await;
    }
    while let Some(outcome) = dead.join_next().await {
        assert!(matches!(outcome.unwrap(), Err(LookupError::Late | LookupError::TooMany)));
    }
    assert_eq!(since.elapsed(), WAIT_LIMIT);
    // Whoever asks for such a name again waits for the same thread.
    assert_eq!(callbacks.addresses("n0.dead.example").await, Err(LookupError::Late));
    assert_eq!(blocking.entered(), THREADS_MAX);
    blocking.free();
    while !lock(&callbacks.in_progress).is_empty() {
        tokio::task::yield_now().await;
    }
    let failed = callbacks.addresses("n0.dead.example").await.unwrap_err().to_string();
    assert_eq!(failed, "Temporary failure in name resolution");
    assert_eq!(blocking.entered(), THREADS_MAX, "that is remembered");
}
