use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::*;
use crate::clock::WallClock;
use crate::feed::FeedItem;
use crate::secret::Secret;
use crate::store::memory::{Disk, Memory};
use crate::store::{Backend, BackendError, CallbackFilter, CallbackState, NodeId, Seal};

mod taken_over;

/// An application by script: for each URL what its tries end with, one after another; then it answers.
struct Scripted {
    start: Instant,
    script: Mutex<BTreeMap<String, VecDeque<Tried>>>,
    /// How long each try takes.
    takes: Duration,
    tries: Mutex<Vec<(Duration, String, Uuid)>>,
    /// How many tries are under way.
    sending: Mutex<usize>,
}

/// A try that is under way.
struct Sending<'a>(&'a Mutex<usize>);

impl<'a> Sending<'a> {
    fn begin(count: &'a Mutex<usize>) -> Self {
        *count.lock().unwrap() += 1;
        Self(count)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap() -= 1;
    }
}

impl Scripted {
    fn new(takes: Duration) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            script: Mutex::default(),
            takes,
            tries: Mutex::default(),
            sending: Mutex::default(),
        })
    }

    /// Fails this often, then answers.
    fn fails(&self, url: &str, times: usize) {
        let failures = std::iter::repeat_n(Tried::of_status(500, None), times).collect();
        self.script.lock().unwrap().insert(url.into(), failures);
    }

    fn says(&self, url: &str, tried: Tried) {
        self.script.lock().unwrap().entry(url.into()).or_default().push_back(tried);
    }

    /// The tries of one URL, in milliseconds since the start.
    fn times(&self, url: &str) -> Vec<u128> {
        let tries = self.tries.lock().unwrap();
        tries.iter().filter(|(_, tried, _)| tried == url).map(|(at, ..)| at.as_millis()).collect()
    }

    fn urls(&self) -> Vec<String> {
        self.tries.lock().unwrap().iter().map(|(_, url, _)| url.clone()).collect()
    }
}

impl CallbackTransport for Scripted {
    fn deliver<'a>(&'a self, request: &'a CallbackRequest, token: Uuid) -> BoxFuture<'a, Tried> {
        async move {
            self.tries.lock().unwrap().push((self.start.elapsed(), request.url.clone(), token));
            let _sending = Sending::begin(&self.sending);
            sleep(self.takes).await;
            let next = self.script.lock().unwrap().get_mut(&request.url).and_then(VecDeque::pop_front);
            next.unwrap_or(Tried::Answered(200))
        }
        .boxed()
    }
}

fn status(url: &str) -> CallbackRequest {
    let mut form = Form::new();
    form.set("For", "payment-card-number");
    CallbackRequest { kind: CallbackKind::Status, method: Method::Post, url: url.into(), form, cookies: Jar::default() }
}

fn deliveries(transport: &Arc<Scripted>, policy: RetryPolicy) -> Deliveries {
    Deliveries::by(Arc::<Scripted>::clone(transport), Store::in_memory().unwrap(), policy, Clocks::default())
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test(start_paused = true)]
async fn what_becomes_of_callbacks_is_told_to_whoever_watches() {
    let application = Scripted::new(Duration::ZERO);
    application.fails("a", 1);
    application.says("b", Tried::Hopeless("HTTP status 404".to_owned()));
    let feed = Feed::default();
    let deliveries = deliveries(&application, RetryPolicy::default()).telling(feed.clone());
    let mut watcher = feed.watch();
    let queue = deliveries.queue("CA1");
    for url in ["a", "b"] {
        queue.send(status(url));
    }
    deliveries.drained(DAY).await.unwrap();
    drop(feed);
    let failed = |callback, is_parked| EventKind::CallbackFailed { call_sid: "CA1".to_owned(), callback, is_parked };
    let delivered = |callback| EventKind::CallbackDelivered { call_sid: "CA1".to_owned(), callback };
    for expected in [failed(1, false), delivered(1), failed(2, true)] {
        let Some(FeedItem::Event(event)) = watcher.next().await else { panic!("{expected:?} is missing") };
        assert_eq!(event.what, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn each_callback_waits_until_the_one_before_was_answered() {
    let application = Scripted::new(Duration::from_secs(3));
    let deliveries = deliveries(&application, RetryPolicy::default());
    let queue = deliveries.queue("CA1");
    for url in ["a", "b", "c"] {
        queue.send(status(url));
    }
    assert_eq!(deliveries.under_way(), 3);
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.urls(), ["a", "b", "c"]);
    assert_eq!([application.times("a"), application.times("b"), application.times("c")], [[0], [3000], [6000]]);
}

#[tokio::test(start_paused = true)]
async fn calls_do_not_wait_for_each_other() {
    let application = Scripted::new(Duration::from_secs(3));
    let deliveries = deliveries(&application, RetryPolicy::default());
    for call in ["CA1", "CA2"] {
        deliveries.queue(call).send(status(call));
    }
    deliveries.drained(DAY).await.unwrap();
    assert_eq!([application.times("CA1"), application.times("CA2")], [[0], [0]]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_try_is_repeated_after_waits_that_double_with_the_same_token() {
    let application = Scripted::new(Duration::ZERO);
    application.fails("a", 12);
    let deliveries = deliveries(&application, RetryPolicy::default());
    deliveries.queue("CA1").send(status("a"));
    deliveries.drained(DAY).await.unwrap();
    // 0.5, 1, 2, 4, ... 256 seconds between them, then 300.
    let times = application.times("a");
    let doubling = (0..=10).map(|tries| if tries == 0 { 0 } else { 500 * ((1 << tries) - 1) });
    assert_eq!(times[..11], doubling.collect::<Vec<u128>>());
    assert_eq!((times[11] - times[10], times[12] - times[11]), (300_000, 300_000));
    let tries = application.tries.lock().unwrap();
    assert!(tries.iter().all(|(_, _, token)| *token == tries[0].2));
}

#[tokio::test(start_paused = true)]
async fn the_token_of_another_callback_is_another() {
    let application = Scripted::new(Duration::ZERO);
    let deliveries = deliveries(&application, RetryPolicy::default());
    let queue = deliveries.queue("CA1");
    queue.send(status("a"));
    queue.send(status("b"));
    deliveries.drained(DAY).await.unwrap();
    let tries = application.tries.lock().unwrap();
    assert_ne!(tries[0].2, tries[1].2);
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_fails_for_a_minute_steps_aside_and_is_still_tried() {
    let application = Scripted::new(Duration::ZERO);
    application.fails("a", 8);
    let deliveries = deliveries(&application, RetryPolicy::default());
    let queue = deliveries.queue("CA1");
    queue.send(status("a"));
    queue.send(status("b"));
    queue.send(status("c"));
    deliveries.drained(DAY).await.unwrap();
    assert_eq!([application.times("b"), application.times("c")], [[60_000], [60_000]]);
    assert_eq!(application.times("a").last(), Some(&127_500));
}

#[tokio::test(start_paused = true)]
async fn a_silent_application_keeps_the_next_callback_a_minute_and_no_longer() {
    let application = Scripted::new(Duration::from_secs(15));
    application.fails("a", 1000);
    let deliveries = deliveries(&application, RetryPolicy::default());
    let queue = deliveries.queue("CA1");
    queue.send(status("a"));
    queue.send(status("b"));
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.times("b"), [60_000]);
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_parked_after_a_day_and_tried_again_when_a_person_wants_it() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let application = Scripted::new(Duration::ZERO);
    application.fails("a", 1000);
    let deliveries = deliveries(&application, RetryPolicy::default());
    let callbacks = deliveries.store.backend();
    deliveries.queue("CA1").send(status("a"));
    assert_eq!(deliveries.drained(DAY - Duration::from_secs(900)).await, Err(Undelivered(1)));
    deliveries.drained(Duration::from_secs(900)).await.unwrap();
    let (tried, last) = (application.times("a").len(), application.times("a").last().copied().unwrap());
    assert!(last <= DAY.as_millis() && last + 300_000 > DAY.as_millis(), "{last}");
    let shown = recorder.handle().render();
    assert!(shown.contains(r#"touchtone_callbacks_given_up_total{kind="status"} 1"#), "{shown}");
    let parked = CallbackFilter { state: Some(CallbackState::Parked), limit: 10, ..CallbackFilter::default() };
    let [row] = &callbacks.callbacks(parked).await.unwrap()[..] else { panic!("one is parked") };
    assert_eq!((row.reason.as_deref(), usize::try_from(row.tries).unwrap()), (Some("HTTP status 500"), tried - 1));
    // Wanted anew, it is a waiting one for whoever looks, with the token it always had.
    assert_eq!(callbacks.retry_callbacks(Some(vec![row.id]), WallClock::System.now()).await, Ok(1));
    application.script.lock().unwrap().clear();
    deliveries.adopt(deliveries.store.claim_callbacks(10).await.unwrap());
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.times("a").len(), tried + 1);
    assert!(application.tries.lock().unwrap().iter().all(|(_, _, token)| *token == row.token));
    assert_eq!(callbacks.count_callbacks(CallbackState::Delivered).await, Ok(1));
}

/// Servers on one database, each with a node of its own.
struct Servers(Arc<Memory>);

impl Servers {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn store(&self) -> Store {
        let backend: Arc<dyn Backend> = Arc::<Memory>::clone(&self.0);
        Store::new(backend, Seal::new(&Secret::new("key".into())).unwrap(), NodeId::random())
    }

    async fn start(&self, transport: &Arc<Scripted>) -> Deliveries {
        let store = self.store();
        store.heartbeat().await.unwrap();
        Deliveries::by(Arc::<Scripted>::clone(transport), store, RetryPolicy::default(), Clocks::default())
    }
}

/// Takes over what is free, as a server does every second.
async fn take_over(deliveries: &Deliveries) -> usize {
    let claimed = deliveries.store.claim_callbacks(100).await.unwrap();
    let count = claimed.len();
    deliveries.adopt(claimed);
    count
}

/// Stores status callbacks as a server that is gone then.
async fn left_behind(servers: &Servers, call_sid: &str, urls: &[&str]) {
    let gone = servers.store();
    for url in urls {
        gone.queue(call_sid, &status(url), Uuid::new_v4(), WallClock::System.now()).await.unwrap();
    }
    gone.release_own().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_parked_and_keeps_nobody_waiting() {
    let application = Scripted::new(Duration::ZERO);
    let servers = Servers::new();
    let stranger = Store::new(Arc::<Memory>::clone(&servers.0), Seal::of_bytes(&[1; 32]).unwrap(), NodeId::random());
    stranger.queue("CA1", &status("sealed"), Uuid::new_v4(), WallClock::System.now()).await.unwrap();
    stranger.release_own().await.unwrap();
    left_behind(&servers, "CA1", &["next"]).await;
    let deliveries = servers.start(&application).await;
    assert_eq!(take_over(&deliveries).await, 2);
    deliveries.drained(Duration::from_secs(1)).await.unwrap();
    assert_eq!(application.urls(), ["next"]);
    assert_eq!(servers.0.count_callbacks(CallbackState::Parked).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_parked_at_once_with_its_fields_and_sent_when_a_person_wants_it() {
    let application = Scripted::new(Duration::ZERO);
    application.says("refused", Tried::of_status(404, None));
    application.says("hopeless", Tried::Hopeless("not allowed".into()));
    let deliveries = deliveries(&application, RetryPolicy::default());
    let queue = deliveries.queue("CA1");
    for url in ["refused", "hopeless", "last"] {
        queue.send(status(url));
    }
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.urls(), ["refused", "hopeless", "last"]);
    assert_eq!(application.times("last"), [0]);
    let callbacks = deliveries.store.backend();
    let parked = CallbackFilter { state: Some(CallbackState::Parked), limit: 10, ..CallbackFilter::default() };
    let rows = callbacks.callbacks(parked).await.unwrap();
    let reasons: Vec<_> = rows.iter().map(|row| row.reason.as_deref().unwrap()).collect();
    assert_eq!(reasons, ["HTTP status 404", "not allowed"]);
    // Mended, and told so.
    assert_eq!(callbacks.retry_callbacks(Some(vec![rows[0].id]), WallClock::System.now()).await, Ok(1));
    assert_eq!(take_over(&deliveries).await, 1);
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.times("refused"), [0, 0]);
    assert_eq!(application.tries.lock().unwrap().last().unwrap().2, rows[0].token);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_wants_again_comes_in_the_order_of_its_call() {
    let application = Scripted::new(Duration::from_millis(100));
    let urls = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    for url in urls {
        application.says(url, Tried::of_status(400, None));
    }
    let deliveries = deliveries(&application, RetryPolicy::default());
    let queue = deliveries.queue("CA1");
    for url in urls {
        queue.send(status(url));
    }
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(deliveries.store.backend().retry_callbacks(None, WallClock::System.now()).await, Ok(9));
    assert_eq!(take_over(&deliveries).await, 9);
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.urls(), [urls, urls].concat());
    // Each after the one before.
    let again = urls.map(|url| application.times(url)[1]);
    assert!(again.windows(2).all(|pair| pair[1] >= pair[0] + 100), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn an_application_that_asks_for_time_has_it_and_its_other_callbacks_wait_no_longer_than_a_minute() {
    let application = Scripted::new(Duration::ZERO);
    for status in [408, 425, 503] {
        application.says("a", Tried::of_status(status, None));
    }
    application.says("a", Tried::of_status(429, Some(Duration::from_secs(90))));
    let deliveries = deliveries(&application, RetryPolicy::default());
    let queue = deliveries.queue("CA1");
    queue.send(status("a"));
    queue.send(status("b"));
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.times("a"), [0, 500, 1500, 3500, 93_500]);
    assert_eq!(application.times("b"), [60_000]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_away_delays_callbacks_and_more_than_can_wait_are_given_up() {
    let disk = Arc::new(AtomicBool::new(true));
    let memory = Arc::new(Memory::on(Box::new(Away(Arc::clone(&disk)))));
    let seal = Seal::new(&Secret::new("key".into())).unwrap();
    let application = Scripted::new(Duration::from_secs(1));
    let policy = RetryPolicy { queue_max: 2, ..RetryPolicy::default() };
    let store = Store::new(memory, seal, NodeId::random());
    let deliveries = Deliveries::by(Arc::<Scripted>::clone(&application), store, policy, Clocks::default());
    let queue = deliveries.queue("CA1");
    for url in ["a", "b", "c"] {
        queue.send(status(url));
    }
    assert_eq!(deliveries.under_way(), 2);
    sleep(Duration::from_secs(60)).await;
    assert!(application.urls().is_empty(), "nothing is told that is not on disk");
    disk.store(false, Ordering::Release);
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.urls(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn that_a_callback_was_answered_is_written_down_when_the_disk_is_back() {
    let disk = Arc::new(AtomicBool::new(false));
    let memory = Arc::new(Memory::on(Box::new(Away(Arc::clone(&disk)))));
    let seal = Seal::new(&Secret::new("key".into())).unwrap();
    let application = Scripted::new(Duration::from_secs(1));
    let store = Store::new(memory, seal, NodeId::random());
    let deliveries =
        Deliveries::by(Arc::<Scripted>::clone(&application), store, RetryPolicy::default(), Clocks::default());
    deliveries.queue("CA1").send(status("a"));
    sleep(Duration::from_millis(500)).await;
    disk.store(true, Ordering::Release);
    assert_eq!(deliveries.drained(Duration::from_secs(600)).await, Err(Undelivered(1)));
    disk.store(false, Ordering::Release);
    deliveries.drained(Duration::from_secs(10)).await.unwrap();
    assert_eq!(application.urls(), ["a"]);
    assert_eq!(deliveries.store.backend().count_callbacks(CallbackState::Delivered).await, Ok(1));
}

/// A disk that takes nothing while it is away.
struct Away(Arc<AtomicBool>);

impl Disk for Away {
    fn before(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        let away = self.0.load(Ordering::Acquire);
        async move { if away { Err(BackendError::Unavailable("no space left".into())) } else { Ok(()) } }.boxed()
    }

    fn after(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        async { Ok(()) }.boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_when_the_call_ends_is_still_delivered() {
    let application = Scripted::new(Duration::from_secs(1));
    let deliveries = deliveries(&application, RetryPolicy::default());
    let queue = deliveries.queue("CA1");
    queue.send(status("a"));
    queue.send(status("b"));
    drop(queue);
    assert_eq!(deliveries.drained(Duration::from_millis(1500)).await, Err(Undelivered(1)));
    deliveries.drained(Duration::from_secs(1)).await.unwrap();
    assert_eq!(application.urls(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn error_notices_are_retried_on_their_own_and_bounded() {
    let application = Scripted::new(Duration::from_secs(1));
    application.fails("fault", 1);
    let deliveries = deliveries(&application, RetryPolicy { notices_max: 1, ..RetryPolicy::default() });
    deliveries.notice("fault", "CA1", 12_100, "line 3: no <Response>");
    deliveries.notice("one too many", "CA2", 12_100, "line 3: no <Response>");
    assert_eq!(deliveries.under_way(), 1);
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.times("fault"), [0, 1500]);
    deliveries.notice("later", "CA3", 12_100, "line 3: no <Response>");
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.urls(), ["fault", "fault", "later"]);
}

/// The memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn what_waits_takes_little_memory() {
    const COUNT: usize = 200_000;
    let application = Scripted::new(Duration::ZERO);
    // Nothing is sent, so everything waits.
    let deliveries = deliveries(&application, RetryPolicy { in_flight_max: 0, ..RetryPolicy::default() });
    let before = resident();
    deliveries.adopt((0..COUNT).map(|number| PendingCallback {
        id: i64::try_from(number).unwrap() + 1,
        call_sid: format!("CA{:032x}", number / 10),
        kind: CallbackKind::Status,
        url: "https://shop.example.com/payments/status".to_owned(),
        tries: 0,
        was_tried: false,
        since: WallClock::System.now(),
    }));
    sleep(Duration::from_secs(1)).await;
    let each = resident().saturating_sub(before) / COUNT;
    assert!(deliveries.under_way() == COUNT && each < 600, "{each} bytes each");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_nobody_hears_stops_delivering_and_never_delivers_what_another_has_taken_over() {
    let start = Instant::now();
    let memory = Arc::new(Memory::default().shared(Box::new(move || start.elapsed())));
    let application = Scripted::new(Duration::ZERO);
    application.fails("a", 5);
    let server = || {
        let store = Store::new(Arc::clone(&memory) as _, Seal::of_bytes(&[7; 32]).unwrap(), NodeId::random());
        Deliveries::by(Arc::<Scripted>::clone(&application), store, RetryPolicy::default(), Clocks::default())
    };
    let (cut_off, other) = (server(), server());
    for deliveries in [&cut_off, &other] {
        deliveries.store.register(None).await.unwrap();
    }
    let queue = cut_off.queue("CA1");
    queue.send(status("a"));
    queue.send(status("b"));
    let mut tried = Vec::new();
    for second in 0..40 {
        sleep(Duration::from_secs(1)).await;
        if second % 5 == 0 {
            other.store.heartbeat().await.unwrap();
        }
        tried.push(application.urls().len());
    }
    // Tries at 0, 0.5, 1.5, 3.5, 7.5 s; the next one would be at 15.5 s, when others may do it.
    assert_eq!(tried[39], 5, "{:?}", application.times("a"));
    let claimed = other.store.claim_callbacks(9).await.unwrap();
    assert_eq!(claimed.len(), 2);
    other.adopt(claimed);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(application.urls()[5..], ["a", "b"][..], "the other one delivers them in order");
    cut_off.store.heartbeat().await.unwrap();
    cut_off.drained(DAY).await.unwrap();
    assert_eq!(application.urls().len(), 7, "and nothing twice");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_gives_up_what_it_is_sending_and_begins_nothing_more() {
    let application = Scripted::new(Duration::from_secs(10));
    application.fails("b", 1);
    let deliveries = deliveries(&application, RetryPolicy::default());
    deliveries.queue("CA1").send(status("a"));
    deliveries.queue("CA2").send(status("b"));
    sleep(Duration::from_secs(10)).await;
    deliveries.queue("CA3").send(status("c"));
    sleep(Duration::from_secs(1)).await;
    // One was answered, one is sent again, one is being sent for the first time.
    assert_eq!((application.urls().len(), *application.sending.lock().unwrap()), (4, 2));
    deliveries.stop().await;
    assert_eq!(*application.sending.lock().unwrap(), 0);
    deliveries.queue("CA4").send(status("d"));
    sleep(DAY).await;
    assert_eq!(application.urls().len(), 4, "{:?}", application.urls());
    let rows =
        deliveries.store.backend().callbacks(CallbackFilter { limit: 9, ..CallbackFilter::default() }).await.unwrap();
    let open = rows.iter().filter(|row| row.state == CallbackState::Waiting).count();
    assert_eq!((rows.len(), open), (4, 3), "they are kept for whoever comes next");
}

#[tokio::test(start_paused = true)]
async fn an_error_notice_waits_for_no_lease() {
    let start = Instant::now();
    let memory = Arc::new(Memory::default().shared(Box::new(move || start.elapsed())));
    let application = Scripted::new(Duration::ZERO);
    let store = Store::new(memory, Seal::of_bytes(&[7; 32]).unwrap(), NodeId::random());
    let few = RetryPolicy { in_flight_max: 2, host_in_flight_max: 1, ..RetryPolicy::default() };
    let deliveries = Deliveries::by(Arc::<Scripted>::clone(&application), store, few, Clocks::default());
    deliveries.store.register(None).await.unwrap();
    // Nobody hears of this server any more.
    sleep(Duration::from_secs(20)).await;
    for call in ["CA1", "CA2", "CA3"] {
        deliveries.queue(call).send(status("https://shop.example/status"));
    }
    sleep(Duration::from_secs(1)).await;
    deliveries.notice("https://shop.example/fault", "CA4", 12_100, "line 3: no <Response>");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(application.urls(), ["https://shop.example/fault"]);
    deliveries.store.heartbeat().await.unwrap();
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.urls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_host_is_forgotten_with_the_last_that_leads_there() {
    let application = Scripted::new(Duration::ZERO);
    application.fails("https://away.example/", 1_000);
    let deliveries = deliveries(&application, RetryPolicy::default());
    // Something always waits.
    deliveries.queue("CA").send(status("https://away.example/"));
    for number in 0..100 {
        deliveries.queue(&format!("CA{number}")).send(status(&format!("https://shop{number}.example/status")));
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(application.urls().iter().filter(|url| url.contains("shop")).count(), 100);
    assert_eq!(deliveries.state().hosts.len(), 1, "{:?}", deliveries.state().hosts);
}
