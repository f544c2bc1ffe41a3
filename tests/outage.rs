//! The database is away while calls pay: what an application is told, and when.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Executor, Row};
use support::postgres::Postgres;
use support::process::{Process, signal};
use support::{ACCOUNT, Arrived, Somebody, TIME_LIMIT, TOKEN, TestServer, wait};
use touchtone::callback::CallbackKind;
use touchtone::store::{Occasion, token};
use uuid::Uuid;

/// Keeps everybody from writing into a SQLite file, until it is dropped.
struct Locked(Option<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Locked {
    fn take(file: &Path) -> Self {
        let url = format!("sqlite://{}", file.display());
        let ((release, released), (taken, is_taken)) = (mpsc::channel::<()>(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                sqlx::any::install_default_drivers();
                let mut connection = AnyConnection::connect(&url).await.unwrap();
                connection.execute("PRAGMA busy_timeout = 10000").await.unwrap();
                connection.execute("BEGIN IMMEDIATE").await.unwrap();
                taken.send(()).unwrap();
                let _ = released.recv();
                connection.execute("ROLLBACK").await.unwrap();
                connection.close().await.unwrap();
            });
        });
        is_taken.recv().unwrap();
        Self(Some((release, thread)))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if let Some((release, thread)) = self.0.take() {
            drop(release);
            thread.join().unwrap();
        }
    }
}

/// A server whose database can be locked the moment its gateway is asked.
struct Shop {
    server: TestServer,
    application: Somebody,
    file: Arc<OnceLock<PathBuf>>,
    locked: Arc<Mutex<Option<Locked>>>,
    asked: Arc<Mutex<Option<Instant>>>,
    gateway: Somebody,
}

impl Shop {
    /// `attributes` of the `<Pay>`, where `STATUS` stands for the status callback's address.
    async fn new(attributes: &str) -> Self {
        let application = Somebody::application("<Response/>").await;
        let file = Arc::new(OnceLock::<PathBuf>::new());
        let (locked, asked) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let gateway = {
            let (file, locked, asked) = (Arc::clone(&file), Arc::clone(&locked), Arc::clone(&asked));
            Somebody::start(move |_| {
                *locked.lock().unwrap() = file.get().map(|file| Locked::take(file));
                asked.lock().unwrap().get_or_insert_with(Instant::now);
                (200, json!({ "charge_id": "ch_1" }).to_string())
            })
            .await
        };
        let attributes = attributes.replace("STATUS", &application.url("/status"));
        let document = format!(
            "<Response><Pay action=\"{}\" chargeAmount=\"3\" {attributes}/></Response>",
            application.url("/paid")
        );
        let server = TestServer::start(&[("pay", &document)], &connector(&gateway)).await;
        Self { server, application, file, locked, asked, gateway }
    }

    fn database(&self) -> PathBuf {
        self.server.folder.path().join("data/touchtone.db")
    }

    /// The payment's id and state. Reading needs no lock.
    async fn payment(&self) -> (String, String) {
        let mut connection = AnyConnection::connect(&format!("sqlite://{}", self.database().display())).await.unwrap();
        let row = connection.fetch_one("SELECT sid, state FROM payments").await.unwrap();
        (row.get("sid"), row.get("state"))
    }

    /// How whoever asks is told that the payment stands.
    async fn shown(&self) -> Value {
        let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/CA1/Payments.json");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(format!("http://{}{path}", self.server.address)).basic_auth(ACCOUNT, Some(TOKEN));
        let page: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        page["payments"][0]["state"].clone()
    }

    fn results(&self, path: &str) -> Vec<Arrived> {
        let of = |arrived: &Arrived| arrived.path == path && !arrived.field("Result").is_empty();
        self.application.arrived().into_iter().filter(of).collect()
    }

    fn since_asked(&self) -> Duration {
        self.asked.lock().unwrap().unwrap().elapsed()
    }
}

/// The configuration of a server that charges there.
fn connector(gateway: &Somebody) -> String {
    let endpoint = gateway.url("/charge");
    format!(
        "[speech]\nengine = \"none\"\n[[connector]]\nname = \"Default\"\nkind = \"generic\"\nmode = \"test\"\nendpoint = \"{endpoint}\""
    )
}

const CARD: [&str; 4] = ["4111111111111111", "1228", "94111", "123"];

fn token_of(arrived: &Arrived) -> Uuid {
    arrived.header("I-Twilio-Idempotency-Token").parse().unwrap()
}

fn is_unknown(arrived: &Arrived) -> bool {
    ["Result", "PayErrorCode", "PaymentError"].map(|name| arrived.field(name))
        == ["payment-connector-error", "64002", "outcome unknown"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_cannot_be_written_down_is_told_as_unknown_and_late_by_the_status_callback() {
    let shop = Shop::new("statusCallback=\"STATUS\"").await;
    shop.file.set(shop.database()).unwrap();
    let mut caller = shop.server.call("pay").await;
    let paying = async {
        caller.pay(&CARD).await;
    };
    let asking = async {
        shop.gateway.wait_for(|_| true).await;
        // The gateway has answered, and nothing of it can be written down: until the call is told, nobody is.
        wait::until("the call is told", TIME_LIMIT, async || {
            if !shop.results("/paid").is_empty() {
                return true;
            }
            let shown = shop.shown().await;
            let says = shown["PaymentError"] == "outcome unknown" || shown.get("Result").is_none();
            assert!(says && shown["For"] == "payment-processing", "{shown}");
            false
        })
        .await;
    };
    tokio::join!(paying, asking);
    let action = shop.application.wait_for(|arrived| arrived.path == "/paid").await;
    let waited = shop.since_asked();
    assert!(is_unknown(&action), "{:?}", action.fields());
    let shown = shop.shown().await;
    assert_eq!((&shown["Result"], &shown["PayErrorCode"]), (&json!("payment-connector-error"), &json!("64002")));
    assert!(shown.get("PaymentConfirmationCode").is_none(), "{shown}");
    assert!(!action.fields().contains_key("PaymentConfirmationCode"));
    assert!((5..8).contains(&waited.as_secs()), "a caller waits five seconds: {waited:?}");
    assert!(shop.results("/status").is_empty(), "nothing is told that is not on disk");
    assert_eq!(shop.payment().await.1, "submitting");
    drop(shop.locked.lock().unwrap().take());
    let late =
        shop.application.wait_for(|arrived| arrived.path == "/status" && !arrived.field("Result").is_empty()).await;
    assert_eq!((late.field("Result"), late.field("PaymentConfirmationCode")), ("success".into(), "ch_1".into()));
    let shown = shop.shown().await;
    assert_eq!((&shown["Result"], &shown["PaymentConfirmationCode"]), (&json!("success"), &json!("ch_1")));
    let (sid, state) = shop.payment().await;
    assert_eq!(state, "succeeded");
    assert_eq!(token_of(&action), token(&sid, Occasion::Unwritten, CallbackKind::Action));
    assert_eq!(token_of(&late), token(&sid, Occasion::First, CallbackKind::Status));
    assert_eq!(shop.results("/paid").len(), 1, "what is told late is told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_status_callback_the_action_is_told_late() {
    let shop = Shop::new("").await;
    shop.file.set(shop.database()).unwrap();
    shop.server.call("pay").await.pay(&CARD).await;
    let action = shop.application.wait_for(|arrived| arrived.path == "/paid").await;
    assert!(is_unknown(&action), "{:?}", action.fields());
    drop(shop.locked.lock().unwrap().take());
    let late = shop.application.wait_for(|arrived| arrived.field("Result") == "success").await;
    assert_eq!(late.field("PaymentConfirmationCode"), "ch_1");
    let (sid, _) = shop.payment().await;
    assert_eq!(token_of(&action), token(&sid, Occasion::Unwritten, CallbackKind::Action));
    assert_eq!(token_of(&late), token(&sid, Occasion::First, CallbackKind::Action));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_back_in_time_makes_nobody_doubt() {
    let shop = Shop::new("statusCallback=\"STATUS\"").await;
    shop.file.set(shop.database()).unwrap();
    let back = async {
        // It is locked from the moment on that the gateway is asked.
        shop.gateway.wait_for(|_| true).await;
        wait::real_time_passes(Duration::from_secs(1), "SQLite waits for a lock without a word").await;
        let locked = shop.locked.lock().unwrap().take();
        drop(locked.expect("it is locked"));
    };
    let mut caller = shop.server.call("pay").await;
    tokio::join!(caller.pay(&CARD), back);
    let action = shop.application.wait_for(|arrived| arrived.path == "/paid").await;
    assert_eq!(action.field("Result"), "success", "{:?}", action.fields());
    assert_eq!(token_of(&action), token(&shop.payment().await.0, Occasion::First, CallbackKind::Action));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_taken_away_makes_the_server_unready_until_it_is_back() {
    let shop = Shop::new("").await;
    assert_eq!(shop.server.get("/readyz").await.0, 200);
    let away = shop.server.folder.path().join("away");
    std::fs::rename(shop.database(), &away).unwrap();
    until(&shop.server, 503).await;
    assert_eq!(shop.server.get("/healthz").await.0, 200);
    std::fs::rename(&away, shop.database()).unwrap();
    until(&shop.server, 200).await;
    shop.server.call("pay").await.pay(&CARD).await;
    assert_eq!(shop.application.result().await.field("Result"), "success");
}

async fn until(server: &TestServer, status: u16) {
    let what = format!("/readyz is {status}");
    wait::until(&what, Duration::from_secs(10), async || server.get("/readyz").await.0 == status).await;
}

/// Until a process does not run any more, as after SIGSTOP.
async fn until_stopped(process: u32) {
    let stat = format!("/proc/{process}/stat");
    let is_stopped = async || std::fs::read_to_string(&stat).unwrap().contains(") T ");
    wait::until("it stands still", TIME_LIMIT, is_stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_came_while_the_server_was_stopped_counts_however_long_that_was() {
    let application = Somebody::application("<Response/>").await;
    let server = Arc::new(OnceLock::new());
    let gateway = {
        let server = Arc::clone(&server);
        Somebody::start(move |_| {
            // Before its answer is there.
            signal(*server.get().unwrap(), "-STOP");
            (200, json!({ "charge_id": "ch_1" }).to_string())
        })
        .await
    };
    let document = format!("<Response><Pay action=\"{}\" chargeAmount=\"3\"/></Response>", application.url("/paid"));
    let folder = tempfile::tempdir().unwrap();
    let toml = format!("{}\ntimeout = 1\nretries = 5", connector(&gateway));
    let process = Process::start_with(folder.path(), &[("pay", &document)], &toml);
    let pid = process.child.id();
    server.set(pid).unwrap();
    let mut caller = support::Caller::dial(process.address, "pay", "CA1", &[]).await;
    let stopping = async {
        gateway.wait_for(|_| true).await;
        until_stopped(pid).await;
        // The gateway's second, and another in which a busy machine's timers may be late.
        wait::real_time_passes(Duration::from_secs(3), "who stands still cannot tell how late it is").await;
        signal(pid, "-CONT");
    };
    tokio::join!(stopping, caller.pay(&CARD));
    let action = application.result().await;
    assert_eq!(action.field("Result"), "success", "{:?}", action.fields());
    assert_eq!(gateway.arrived().len(), 1, "it has answered; nobody need ask again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_server_that_hangs_in_mid_payment_is_given_up_in_time_and_told_late() {
    let (postgres, application) =
        (Arc::new(Postgres::start(&["fsync=off"])), Somebody::application("<Response/>").await);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let gateway = {
        let (postgres, asked) = (Arc::clone(&postgres), Arc::clone(&asked));
        Somebody::start(move |_| {
            postgres.hang();
            asked.lock().unwrap().push(Instant::now());
            (200, json!({ "charge_id": "ch_1" }).to_string())
        })
        .await
    };
    let document = format!(
        "<Response><Pay action=\"{}\" statusCallback=\"{}\" chargeAmount=\"3\"/></Response>",
        application.url("/paid"),
        application.url("/status")
    );
    let database = format!("database = \"{}\"", postgres.database().await);
    let server = TestServer::start(&[("pay", &document)], &format!("{database}\n{}", connector(&gateway))).await;
    server.call("pay").await.pay(&CARD).await;
    let action = application.wait_for(|arrived| arrived.path == "/paid").await;
    let waited = asked.lock().unwrap()[0].elapsed();
    assert!(is_unknown(&action) && (5..9).contains(&waited.as_secs()), "{waited:?}: {:?}", action.fields());
    until(&server, 503).await;
    postgres.go_on();
    let told = |arrived: &Arrived| arrived.path == "/status" && !arrived.field("Result").is_empty();
    let late = application.wait_for(told).await;
    assert_eq!((late.field("Result"), late.field("PaymentConfirmationCode")), ("success".into(), "ch_1".into()));
    until(&server, 200).await;
    assert_ne!(token_of(&action), token_of(&late));
    let told = application.arrived().iter().filter(|arrived| !arrived.field("Result").is_empty()).count();
    assert_eq!((told, asked.lock().unwrap().len()), (2, 1), "told twice, charged once");
}
