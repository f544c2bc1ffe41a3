//! What a server that is gone left behind, however much it is: the next one tells everything that can be told at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]
#![allow(unreachable_pub, reason = "a test's modules are its own")]

mod support;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::{AnyConnection, Connection, Executor, Row};
use support::postgres::Postgres;
use support::process::{Process, signal};
use support::{Caller, Somebody, TIME_LIMIT, TestServer, wait};
use tokio::runtime::Handle;
use touchtone::callback::{CallbackKind, CallbackRequest};
use touchtone::config::Config;
use touchtone::connector::{CheckRefused, Connector, Description, Mode};
use touchtone::flow::{Intended, LedBy, PaymentId};
use touchtone::form::Form;
use touchtone::http::Jar;
use touchtone::money::{Amount, Currency};
use touchtone::pay::captured_fields::CapturedFields;
use touchtone::pay::gateway::{
    Answer, Approval, Capabilities, Instrument, Means, Operation, PaymentRequest, Preparation, RecoveryNote,
    Resolution, TokenType,
};
use touchtone::pay::intent::{CallbackFields, Intent};
use touchtone::pay::platform::Platform;
use touchtone::pay::recovery::ending;
use touchtone::pay::step::Step;
use touchtone::pay::submission::Verdict;
use touchtone::store::open::{self, Role};
use touchtone::store::{Hold, Holder, Store};
use touchtone::twiml::Method;
use uuid::Uuid;

const SILENT: &str = "[speech]\nengine = \"none\"";

/// Writes down what a server that is gone left behind.
fn fill(config: &Config, filling: impl AsyncFnOnce(Store)) {
    tokio::task::block_in_place(|| {
        Handle::current().block_on(async { filling(open::open(&config.store(), Role::Command).await.unwrap()).await });
    });
}

fn status(url: String) -> CallbackRequest {
    let mut form = Form::new();
    form.set("Result", "success");
    CallbackRequest { kind: CallbackKind::Status, method: Method::Post, url, form, cookies: Jar::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callbacks_of_a_dead_application_do_not_keep_another_s_result_waiting() {
    let dead = Somebody::start(|_| (500, String::new())).await;
    let alive = Somebody::application("<Response/>").await;
    let (dead_url, alive_url) = (dead.url("/status"), alive.url("/status"));
    let set = |config: &mut Config, _: &std::path::Path| {
        fill(config, async |store| {
            for number in 0..720 {
                let call = format!("CA{}", number % 120);
                store.queue(&call, &status(dead_url.clone()), Uuid::new_v4(), Timestamp::now()).await.unwrap();
            }
            store.queue("CAalive", &status(alive_url), Uuid::new_v4(), Timestamp::now()).await.unwrap();
        });
    };
    let _server = TestServer::start_set(&[], SILENT, set, |_| {}).await;
    alive.wait_for(|arrived| arrived.field("Result") == "success").await;
    dead.wait_for(|arrived| arrived.field("Result") == "success").await;
}

/// A payment that a server was about to ask a gateway for.
fn intended(number: u32, status: Option<String>) -> Intended {
    let sid = format!("PK{number:032x}");
    let usd: Currency = "usd".parse().unwrap();
    let attempt = PaymentRequest {
        transaction_id: sid.clone(),
        call_sid: format!("CA{number}"),
        connector: "Slow".to_owned(),
        operation: Operation::Charge(Amount::parse("20.45", usd).unwrap(), usd),
        currency: usd,
        token_type: TokenType::Reusable,
        description: None,
        parameters: Vec::new(),
        metadata: Vec::new(),
    };
    let (status_form, action) = (Form::new(), Form::new());
    let callback_fields =
        CallbackFields { status: status_form, action, platform: Platform::Twilio, step: Step::PaymentProcessing };
    Intended {
        payment: PaymentId { sid, led_by: LedBy::Document },
        intent: Intent {
            payment_request: Arc::new(attempt),
            means: Means::Card,
            captured_fields: CapturedFields::default(),
            callback_fields,
        },
        status: status.map(|url| (url.parse().unwrap(), Method::Post)),
        action: None,
        cookies: None,
    }
}

/// A gateway that can look up one payment, and says nothing of any other.
struct Slow {
    known: String,
}

impl Connector for Slow {
    fn describe(&self) -> Description {
        Description { kind: "slow", mode: Mode::Test, settings: Vec::new() }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { looks_up: true, ..touchtone::pay::sandbox::capabilities() }
    }

    fn check(&self) -> BoxFuture<'_, Result<(), CheckRefused>> {
        std::future::ready(Ok(())).boxed()
    }

    fn prepare(&self, _: Arc<PaymentRequest>, _: Arc<Instrument>) -> BoxFuture<'_, Preparation> {
        unreachable!("nobody calls")
    }

    fn submit(
        &self,
        _: Arc<PaymentRequest>,
        _: Option<Arc<Instrument>>,
        _: Option<RecoveryNote>,
    ) -> BoxFuture<'_, Answer> {
        unreachable!("there is no note")
    }

    fn resolve(&self, attempt: Arc<PaymentRequest>, _: Option<RecoveryNote>) -> BoxFuture<'_, Resolution> {
        if attempt.transaction_id == self.known {
            std::future::ready(Resolution::Answer(Answer::Approved(Approval::default()))).boxed()
        } else {
            std::future::pending().boxed()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_that_are_looked_up_do_not_keep_one_untold_that_was_in_flight() {
    let application = Somebody::application("<Response/>").await;
    let url = application.url("/status");
    let in_flight = intended(515, Some(url));
    let known = in_flight.payment.sid.clone();
    let set = |config: &mut Config, _: &std::path::Path| {
        fill(config, async |store| {
            for number in 1..=514 {
                let unknown = intended(number, None);
                store.intend(&unknown, Timestamp::now(), Timestamp::now()).await.unwrap();
                store.sending(&unknown.payment.sid, None, 1, Holder::Call, Timestamp::now()).await.unwrap();
                let settled = unknown.settled(&ending(&unknown.intent, Verdict::Unknown, true));
                store.settle(&settled, None, Hold::No, Holder::Call, "CA", Timestamp::now()).await.unwrap();
            }
            store.intend(&in_flight, Timestamp::now(), Timestamp::now()).await.unwrap();
            store.sending(&in_flight.payment.sid, None, 1, Holder::Call, Timestamp::now()).await.unwrap();
        });
    };
    let add = |registry: &touchtone::connector::Registry| registry.insert("Slow", Arc::new(Slow { known })).unwrap();
    let _server = TestServer::start_set(&[], SILENT, set, add).await;
    application.wait_for(|arrived| arrived.field("Result") == "success").await;
}

/// How many sessions are written down.
async fn sessions(database: &str) -> i64 {
    let mut connection = AnyConnection::connect(database).await.unwrap();
    let row = connection.fetch_one("SELECT COUNT(*) AS count FROM sessions").await.unwrap();
    row.get("count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_another_has_taken_for_gone_tells_nothing_more_of_its_session_and_asks_no_gateway() {
    let (postgres, application) = (Postgres::start(&["fsync=off"]), Somebody::application("<Response/>").await);
    let gateway = Somebody::start(|_| (200, serde_json::json!({ "charge_id": "ch_1" }).to_string())).await;
    let document = format!(
        "<Response><Pay action=\"{}\" statusCallback=\"{}\" chargeAmount=\"3\" timeout=\"600\"/></Response>",
        application.url("/paid"),
        application.url("/status")
    );
    let database = postgres.database().await;
    let toml = format!(
        "database = \"{database}\"\nsecret_key = \"a key of these tests alone\"\n{SILENT}\n[[connector]]\nname = \"Default\"\n\
         kind = \"generic\"\nmode = \"test\"\nendpoint = \"{}\"",
        gateway.url("/charge")
    );
    let folder = tempfile::tempdir().unwrap();
    let stopped = Process::start_with(folder.path(), &[("pay", &document)], &toml);
    let _other = TestServer::start(&[], &toml).await;
    let mut caller = Caller::dial(stopped.address, "pay", "CA1", &[]).await;
    for group in ["4111111111111111", "1228", "94111"] {
        caller.hear().await;
        caller.press(group).await;
    }
    caller.hear().await;
    wait::until("the session is written down", TIME_LIMIT, async || sessions(&database).await > 0).await;
    signal(stopped.child.id(), "-STOP");
    let status = |arrived: &support::Arrived| arrived.path == "/status";
    let ended = application.wait_for(|arrived| status(arrived) && !arrived.field("Result").is_empty()).await;
    let action = application.result().await;
    assert_eq!([ended.field("Result"), action.field("Result")], ["internal-error", "internal-error"]);
    // The caller was there all the while, and keys the last digits.
    signal(stopped.child.id(), "-CONT");
    caller.press("123").await;
    caller.hear_out().await;
    let told: Vec<String> = application
        .arrived()
        .iter()
        .filter(|arrived| status(arrived))
        .map(|arrived| arrived.field("SequenceNumber"))
        .collect();
    let numbers: std::collections::BTreeSet<&String> = told.iter().collect();
    assert_eq!(numbers.len(), told.len(), "no two have one number: {told:?}");
    assert_eq!(told.last(), Some(&ended.field("SequenceNumber")), "and none comes after the result: {told:?}");
    let actions = application.arrived().iter().filter(|arrived| arrived.path == "/paid").count();
    assert_eq!((actions, gateway.arrived().len()), (1, 0), "told once, and nothing charged");
}
