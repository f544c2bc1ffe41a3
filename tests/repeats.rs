//! A gateway that takes the money, loses its answer and answers the repeat with an error: over real sockets, what the
//! application is told and what the store says.
#![cfg(feature = "shell")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

mod support;
#[path = "kill/wire.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test uses its own part")]
mod wire;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::{ACCOUNT, Somebody, TOKEN, TestServer};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wire::{Reply, Request, Service};

/// How the answer to the request is lost that took the money.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The connection closes.
    Closes,
    /// Half of it arrives.
    Half,
    /// A 500 comes instead.
    Broken,
    /// It comes with a status that says that the gateway is too busy.
    Busy,
    /// It does not come in time.
    Late,
    /// It names it in a form of its own, with a status that says that the credentials do not count.
    Within,
}

/// What a repeat gets.
#[derive(Clone, Copy, Debug)]
enum Again {
    /// 200 and an error code.
    Duplicate,
    /// 409 and an error code.
    Conflict,
    /// 401, as if the credentials counted no longer.
    Withdrawn,
    /// The first result.
    Result,
}

struct Gateway {
    loss: Loss,
    again: Again,
    /// The ids that were charged, and how often each was asked for.
    ledger: Mutex<Vec<String>>,
    asked: Mutex<Vec<String>>,
    /// One permit when the money was taken.
    charged: Semaphore,
    /// One permit when its answer may be lost.
    lose: Semaphore,
}

impl Service for Gateway {
    async fn answer(&self, request: Request) -> Reply {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let id = body["transaction_id"].as_str().unwrap().to_owned();
        self.asked.lock().unwrap().push(id.clone());
        let result = json!({"charge_id": "ch_first", "error_code": null});
        let is_new = {
            let mut ledger = self.ledger.lock().unwrap();
            let is_new = !ledger.contains(&id);
            if is_new {
                ledger.push(id);
            }
            is_new
        };
        if is_new {
            self.charged.add_permits(1);
            self.lose.acquire().await.unwrap().forget();
            return match self.loss {
                Loss::Closes => Reply::Nothing,
                Loss::Half => Reply::Half(result.to_string()),
                Loss::Broken => Reply::json(500, &json!({"message": "an error occurred"})),
                Loss::Busy => Reply::Answer { status: 503, headers: "retry-after: 1\r\n", body: result.to_string() },
                Loss::Late => std::future::pending().await,
                Loss::Within => Reply::json(403, &json!({"result": {"charge_id": "ch_first"}})),
            };
        }
        let duplicate = json!({"charge_id": null, "error_code": "duplicate", "error_message": "Seen before."});
        match self.again {
            Again::Duplicate => Reply::json(200, &duplicate),
            Again::Conflict => Reply::json(409, &duplicate),
            Again::Withdrawn => Reply::json(401, &json!({"message": "who are you"})),
            Again::Result => Reply::json(200, &result),
        }
    }
}

/// What the caller does once the money is taken.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Waits,
    Star,
    HangsUp,
}

/// One payment: the fields of `action` and of the last status callback, the row in the store, and how often the gateway was
/// asked.
async fn payment(
    loss: Loss,
    again: Again,
    vouches: bool,
    meanwhile: Meanwhile,
) -> ([support::Arrived; 2], Value, usize) {
    let gateway = Arc::new(Gateway {
        loss,
        again,
        ledger: Mutex::default(),
        asked: Mutex::default(),
        charged: Semaphore::new(0),
        lose: Semaphore::new(0),
    });
    let endpoint = wire::serve(Arc::clone(&gateway)).await;
    let application = Somebody::application("<Response/>").await;
    let document = format!(
        "<Response><Pay chargeAmount=\"10\" postalCode=\"false\" action=\"{}\" statusCallback=\"{}\"/></Response>",
        application.url("/paid"),
        application.url("/status")
    );
    let toml = format!(
        "[speech]\nengine = \"none\"\n[[connector]]\nname = \"Default\"\nkind = \"generic\"\nmode = \"live\"\n\
         endpoint = \"{endpoint}/pay\"\ntimeout = 1\nretry_safe = [429, 503]\nreplays_first_result = {vouches}"
    );
    let server = TestServer::start(&[("pay", &document)], &toml).await;
    let mut caller = server.call("pay").await;
    for keys in ["4242424242424242", "1228", "123"] {
        caller.hear().await;
        caller.press(keys).await;
    }
    timeout(support::TIME_LIMIT, gateway.charged.acquire()).await.expect("it is never asked").unwrap().forget();
    let caller = match meanwhile {
        Meanwhile::Waits => Some(caller),
        Meanwhile::Star => {
            caller.press("*").await;
            Some(caller)
        }
        Meanwhile::HangsUp => {
            caller.hang_up().await;
            None
        }
    };
    gateway.lose.add_permits(1);
    if let Some(mut caller) = caller {
        caller.hear_out().await;
    }
    let paid = application.result().await;
    let last = application.wait_for(|arrived| arrived.path == "/status" && !arrived.field("Result").is_empty()).await;
    let payments = format!("http://{}/v1/payments", server.address);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(payments).basic_auth(ACCOUNT, Some(TOKEN)).send().await.unwrap();
    let books: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(books["payments"].as_array().unwrap().len(), 1, "{books}");
    assert_eq!(gateway.ledger.lock().unwrap().len(), 1, "one charge stands");
    let asked = gateway.asked.lock().unwrap().len();
    ([paid, last], books["payments"][0].clone(), asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_whose_repeat_gets_an_error_is_told_as_unknown_whoever_ends_the_call_meanwhile() {
    for (loss, again, meanwhile) in [
        (Loss::Closes, Again::Duplicate, Meanwhile::Waits),
        (Loss::Half, Again::Conflict, Meanwhile::Waits),
        (Loss::Broken, Again::Duplicate, Meanwhile::Waits),
        (Loss::Broken, Again::Withdrawn, Meanwhile::Waits),
        (Loss::Busy, Again::Duplicate, Meanwhile::Waits),
        (Loss::Late, Again::Duplicate, Meanwhile::Waits),
        (Loss::Closes, Again::Duplicate, Meanwhile::Star),
        (Loss::Late, Again::Duplicate, Meanwhile::Star),
        (Loss::Broken, Again::Conflict, Meanwhile::HangsUp),
        (Loss::Late, Again::Duplicate, Meanwhile::HangsUp),
        (Loss::Within, Again::Duplicate, Meanwhile::Waits),
    ] {
        let (told, row, asked) = payment(loss, again, false, meanwhile).await;
        for told in told {
            let fields = told.fields();
            let case = format!("{loss:?} {again:?} {meanwhile:?} {}: {fields:?}", told.path);
            assert_eq!(told.field("Result"), "payment-connector-error", "{case}");
            assert_eq!(told.field("PayErrorCode"), "64002", "{case}");
            assert_eq!(told.field("PaymentError"), "outcome unknown", "{case}");
            assert_eq!(told.field("PayConnector_outcome"), "unknown", "{case}");
        }
        assert_eq!(row["state"], "unknown", "{row}");
        assert_eq!(asked, 2, "a repeat that gets an error is the last");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_whose_repeat_gets_the_first_result_is_told_as_a_success() {
    for (loss, meanwhile) in [(Loss::Closes, Meanwhile::Waits), (Loss::Late, Meanwhile::HangsUp)] {
        let (told, row, _) = payment(loss, Again::Result, false, meanwhile).await;
        for told in told {
            assert_eq!(told.field("Result"), "success", "{loss:?}: {:?}", told.fields());
            assert_eq!(told.field("PaymentConfirmationCode"), "ch_first");
        }
        assert_eq!(row["state"], "succeeded", "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_vouches_for_first_results_has_the_repeat_believed() {
    let (told, row, _) = payment(Loss::Closes, Again::Duplicate, true, Meanwhile::Waits).await;
    for told in told {
        assert_eq!(told.field("PayErrorCode"), "64012", "{:?}", told.fields());
    }
    assert_eq!(row["state"], "failed", "{row}");
    // What is refused before anybody looks whether it is a repeat is no first result.
    let (told, row, _) = payment(Loss::Closes, Again::Withdrawn, true, Meanwhile::Waits).await;
    for told in told {
        assert_eq!(told.field("PaymentError"), "outcome unknown", "{:?}", told.fields());
    }
    assert_eq!(row["state"], "unknown", "{row}");
}
