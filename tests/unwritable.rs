//! A store that cannot be written: no payment begins, none is asked for, and nobody waits in silence; all else goes on, and the
//! store is used again as soon as it is back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Executor};
use support::postgres::Postgres;
use support::{ACCOUNT, Arrived, Caller, Somebody, TIME_LIMIT, TOKEN, TestServer, wait};

const CARD: [&str; 3] = ["4111111111111111", "1230", "123"];

/// A server, the application and the gateway around it.
struct Shop {
    server: TestServer,
    application: Somebody,
    gateway: Somebody,
}

impl Shop {
    async fn open(toml: &str) -> Self {
        let application = Somebody::start(|arrived| {
            let next = "<Response><Say>Thank you.</Say></Response>";
            (200, if arrived.path.starts_with("/status") { String::new() } else { next.to_owned() })
        })
        .await;
        let gateway = Somebody::start(|_| (200, json!({"charge_id": "ch_1"}).to_string())).await;
        let pay = format!(
            "<Response><Pay chargeAmount=\"5\" postalCode=\"false\" timeout=\"60\" action=\"{}/{{{{ name }}}}\" \
             statusCallback=\"{}/{{{{ name }}}}\"/></Response>",
            application.url("/paid"),
            application.url("/status")
        );
        let gather = format!(
            "<Response><Gather numDigits=\"1\" action=\"{}\"><Say>Press a key.</Say></Gather></Response>",
            application.url("/gathered")
        );
        let toml = format!(
            "{toml}\n[speech]\nengine = \"none\"\n[[connector]]\nname = \"Default\"\nkind = \"generic\"\nmode = \"test\"\n\
             endpoint = \"{}\"\nusername = \"shop\"\npassword = \"secret\"",
            gateway.url("/charge")
        );
        let flows =
            [("pay", pay.as_str()), ("gather", &gather), ("hold", "<Response><Pause length=\"60\"/></Response>")];
        let server = TestServer::start(&flows, &toml).await;
        Self { server, application, gateway }
    }

    async fn call(&self, flow: &str, name: &str) -> Caller {
        self.server.call_with(flow, &format!("CA{name}"), &[("name", name)]).await
    }

    /// The action request of a call.
    async fn paid(&self, name: &str) -> Arrived {
        let path = format!("/paid/{name}");
        self.application.wait_for(|arrived| arrived.path == path).await
    }

    async fn ready(&self) -> u16 {
        self.server.get("/readyz").await.0
    }

    /// Waits until `/readyz` answers so; how long that took.
    async fn is(&self, status: u16) -> Duration {
        wait::until(&format!("/readyz is {status}"), TIME_LIMIT, async || self.ready().await == status).await
    }

    /// An agent's request for a payment on a call.
    async fn create(&self, name: &str) -> (u16, Value) {
        let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/CA{name}/Payments.json");
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("IdempotencyKey", "the same each time")
            .append_pair("StatusCallback", &self.application.url(&format!("/status/{name}")))
            .append_pair("ChargeAmount", "7")
            .finish();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("http://{}{path}", self.server.address)).basic_auth(ACCOUNT, Some(TOKEN));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    /// Everything of a call's status callbacks that tells a result.
    fn results(&self, name: &str) -> Vec<String> {
        let path = format!("/status/{name}");
        let told = self.application.arrived().into_iter().filter(|arrived| arrived.path == path);
        told.map(|arrived| arrived.field("Result")).filter(|result| !result.is_empty()).collect()
    }
}

/// What must be while the store is away, and after it is back.
async fn outage(shop: Shop, breaks: impl AsyncFnOnce(), mends: impl AsyncFnOnce()) {
    // In the middle of the card when it happens; a call that waits for an agent; one that pays nothing.
    let mut surprised = shop.call("pay", "surprised").await;
    surprised.hear().await;
    surprised.press(CARD[0]).await;
    surprised.hear().await;
    let mut agent = shop.call("hold", "agent").await;
    let mut gathering = shop.call("gather", "gathering").await;
    gathering.hear().await;
    assert_eq!(shop.ready().await, 200);

    breaks().await;
    shop.is(503).await;

    // One that begins now ends before a digit is asked for.
    let began = Instant::now();
    let mut late = shop.call("pay", "late").await;
    let told = shop.paid("late").await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!((told.field("Result").as_str(), told.field("CallStatus").as_str()), ("internal-error", "in-progress"));
    assert!(told.field("PaymentError").contains("could not be written down"), "{told:?}");
    late.hear_out().await;
    assert_eq!(late.turns.len(), 1, "the application's thanks, and nothing before");

    let (status, error) = shop.create("agent").await;
    assert_eq!((status, &error["code"]), (503, &json!(20503)), "{error}");

    // What has nothing to do with payments goes on.
    gathering.press("7").await;
    shop.application.wait_for(|arrived| arrived.path == "/gathered" && arrived.field("Digits") == "7").await;

    // One that finds out when it has everything ends before the gateway is asked, and promptly.
    surprised.press(CARD[1]).await;
    surprised.hear().await;
    let keyed = Instant::now();
    surprised.press(CARD[2]).await;
    let told = shop.paid("surprised").await;
    assert!(keyed.elapsed() < Duration::from_secs(8), "{:?}", keyed.elapsed());
    assert_eq!(told.field("Result"), "internal-error");
    surprised.hear_out().await;
    assert!(shop.gateway.arrived().is_empty(), "the gateway was asked for what is not written down");
    assert_eq!(shop.ready().await, 503);
    assert!(shop.results("late").is_empty() && shop.results("surprised").is_empty(), "told before it was written down");

    mends().await;
    let took = shop.is(200).await;
    assert!(took < Duration::from_secs(5), "{took:?}");

    let mut paying = shop.call("pay", "paying").await;
    for keys in CARD {
        paying.hear().await;
        paying.press(keys).await;
    }
    assert_eq!(shop.paid("paying").await.field("Result"), "success");
    paying.hear_out().await;
    let (status, created) = shop.create("agent").await;
    assert_eq!(status, 201, "the same request is done now: {created}");
    // And what could not be written down is, and is told in its order.
    for name in ["late", "surprised", "paying"] {
        let path = format!("/status/{name}");
        shop.application.wait_for(|arrived| arrived.path == path && !arrived.field("Result").is_empty()).await;
    }
    assert_eq!(shop.results("late"), ["internal-error"]);
    assert_eq!(shop.results("surprised"), ["internal-error"]);
    assert_eq!(shop.gateway.arrived().len(), 1);
    agent.press("#").await;
    agent.hang_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_sqlites_writer_fails_no_payment_begins_and_none_is_asked_for() {
    let shop = Shop::open("").await;
    let file = shop.server.folder.path().join("data/touchtone.db");
    sqlx::any::install_default_drivers();
    let mut other = AnyConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    // Somebody else writes, and writes; it can still be read.
    let lock = tokio::sync::Mutex::new(&mut other);
    let breaks = async || {
        lock.lock().await.execute("BEGIN IMMEDIATE").await.unwrap();
    };
    let mends = async || {
        lock.lock().await.execute("ROLLBACK").await.unwrap();
    };
    outage(shop, breaks, mends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_is_stopped_no_payment_begins_and_none_is_asked_for() {
    let postgres = Postgres::start(&["fsync=off"]);
    let shop = Shop::open(&format!("database = \"{}\"", postgres.database().await)).await;
    let postgres = std::sync::Mutex::new(postgres);
    let breaks = async || postgres.lock().unwrap().stop();
    let mends = async || postgres.lock().unwrap().start_again();
    outage(shop, breaks, mends).await;
}
