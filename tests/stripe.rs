//! The Stripe connector against a stateful stand-in that others wrote, with faults on the way, and its requests against
//! Stripe's published description. `tests/stripe/install` fetches both; without them these tests fail and say so.
#![cfg(feature = "shell")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]
#![allow(unreachable_pub, reason = "the parts of a test have no outside")]

#[path = "stripe/engine.rs"]
mod engine;
#[path = "stripe/proxy.rs"]
mod proxy;
#[path = "stripe/stand_in.rs"]
mod stand_in;
mod support;

use std::io::Write;
use std::process::Command;
use std::sync::Arc;

use engine::{Paid, pay};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use proxy::{Fault, Proxy};
use serde_json::json;
use stand_in::StandIn;
use support::{Somebody, TestServer};
use touchtone::connector::{self, Connector, ConnectorConfig};
use touchtone::exposure::Exposure;
use touchtone::http::Gateway;
use touchtone::pay::gateway::{Answer, Instrument, PaymentRequest, Resolution};
use touchtone::secret::Secret;

/// A charge whose caller keys number, expiry and security code: the stand-in knows no card without one.
const CHARGE: &str = "chargeAmount=\"20.45\" postalCode=\"false\"/>";
const TOKEN: &str = "postalCode=\"false\"";
const VISA: [&str; 3] = ["4111111111111111", "1228", "123"];

fn connector(base_url: &str, keys: &[(&str, &str)]) -> Arc<dyn Connector> {
    let mut config =
        json!({ "name": "Default", "kind": "stripe", "base_url": base_url, "secret_key": "sk_test_s3cret" });
    for (key, value) in keys {
        config[*key] = (*value).into();
    }
    let config: ConnectorConfig = serde_json::from_value(config).unwrap();
    config.build(&Arc::new(Gateway::new().unwrap()), Exposure::LOOPBACK)
}

/// The stand-in, the proxy before it, and a connector to that.
async fn stripe(keys: &[(&str, &str)]) -> (StandIn, Proxy, Arc<dyn Connector>) {
    let stand_in = StandIn::start().await;
    let proxy = Proxy::start(stand_in.address, keys.contains(&("mode", "live"))).await;
    let connector = connector(&proxy.url(), keys);
    (stand_in, proxy, connector)
}

const LIVE: [(&str, &str); 2] = [("mode", "live"), ("secret_key", "sk_live_s3cret")];

/// What must hold whatever happened on the way.
async fn assert_sound(proxy: &Proxy, paid: &Paid, what: &str) {
    let charges = proxy.charges(paid.sid()).await;
    let result = paid.result();
    assert!(charges <= 1, "{what}: charged {charges} times");
    assert_eq!(proxy.mismatches(), 0, "{what}: a repeat was another request");
    assert!(paid.field("Result") != "success" || charges == 1, "{what}: success was told without a charge");
    assert!(
        charges == 0 || paid.field("Result") == "success" || paid.is_unknown(),
        "{what}: a charge stands, and {result:?} was told"
    );
    assert!(!paid.shown.contains("4111111") && !paid.shown.contains("s3cret"), "{what}: {}", paid.shown);
    let with_card = proxy.seen().iter().filter(|seen| seen.body.contains("4111111111111111")).count();
    let prepared = proxy.seen().iter().filter(|seen| seen.path == "/v1/payment_methods").count();
    assert_eq!(with_card, prepared, "{what}: card data is in no other request than the first");
}

#[tokio::test]
async fn a_card_is_charged_in_a_call_over_a_real_socket() {
    let stand_in = StandIn::start().await;
    let proxy = Proxy::start(stand_in.address, false).await;
    let application = Somebody::application("<Response/>").await;
    let document = format!("<Response><Pay action=\"{}\" {CHARGE}</Response>", application.url("/paid"));
    let toml = format!(
        "[speech]\nengine = \"none\"\n[[connector]]\nname = \"Default\"\nkind = \"stripe\"\nsecret_key = \"sk_test_1\"\nbase_url = \"{}\"",
        proxy.url()
    );
    let server = TestServer::start(&[("pay", &document)], &toml).await;
    server.call("pay").await.pay(&VISA).await;
    let paid = application.result().await;
    assert_eq!(paid.field("Result"), "success", "{:?}", paid.fields());
    assert!(paid.field("PaymentConfirmationCode").starts_with("ch_"), "{:?}", paid.fields());
    assert!(paid.field("PayConnector_payment_intent").starts_with("pi_"));
    let sid = proxy.seen()[0].key.trim_end_matches("-pm").to_owned();
    assert_eq!(proxy.charges(&sid).await, 1);
    assert_eq!(connector(&proxy.url(), &[]).check().await, Ok(()));
}

#[tokio::test]
async fn one_fault_is_got_over_wherever_money_allows_it() {
    let (_stand_in, proxy, stripe) = stripe(&[]).await;
    let unavailable = ("payment-connector-error", "64002");
    let refused = ("payment-connector-error", "64001");
    let mut seed = 1;
    for fault in Fault::ALL {
        for (step, faults) in [("preparing", vec![fault]), ("submitting", vec![Fault::None, fault])] {
            proxy.inject(&faults);
            let paid = pay(&*stripe, &proxy, seed << 64, CHARGE, &VISA).await;
            seed += 1;
            let what = format!("{fault:?} while {step}");
            assert_sound(&proxy, &paid, &what).await;
            let expected = match (fault, step) {
                (Fault::Withdrawn, _) => refused,
                // The key keeps the 500. Nothing stands, which the look-up shows after Stripe's own time.
                (Fault::Broken, _) | (Fault::BrokenAfter, "preparing") => unavailable,
                _ => ("success", ""),
            };
            assert_eq!(paid.result(), expected, "{what}: {}", paid.shown);
            // What is not found before Stripe's own time is over may still be made: that outlasts the call.
            assert_eq!(paid.is_unknown(), what == "Broken while submitting", "{what}");
        }
    }
}

#[tokio::test]
async fn a_key_withdrawn_after_a_silent_charge_hides_nothing() {
    let (_stand_in, proxy, stripe) = stripe(&[]).await;
    proxy.inject(&[Fault::None, Fault::Answerless, Fault::Withdrawn]);
    let paid = pay(&*stripe, &proxy, 1 << 64, CHARGE, &VISA).await;
    assert_eq!(paid.result(), ("success", ""), "the look-up found it");
    proxy.inject(&[vec![Fault::None, Fault::Answerless], vec![Fault::Withdrawn; 40]].concat());
    let paid = pay(&*stripe, &proxy, 2 << 64, CHARGE, &VISA).await;
    assert!(paid.is_unknown(), "{:?}", paid.result());
    assert_sound(&proxy, &paid, "withdrawn for good").await;
}

#[tokio::test]
async fn no_sequence_of_faults_charges_twice_or_tells_a_wrong_outcome() {
    let (_stand_in, proxy, stripe) = stripe(&[]).await;
    let sequences = proptest::collection::vec(proptest::sample::select(Fault::ALL.to_vec()), 0..12);
    let mut runner = TestRunner::deterministic();
    let mut outcomes = std::collections::BTreeMap::new();
    for number in 1..=80_u128 {
        let faults = sequences.new_tree(&mut runner).unwrap().current();
        proxy.inject(&faults);
        let paid = pay(&*stripe, &proxy, number << 64, CHARGE, &VISA).await;
        assert_sound(&proxy, &paid, &format!("{faults:?}")).await;
        let outcome = if paid.is_unknown() { "unknown".to_owned() } else { format!("{:?}", paid.result()) };
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    assert!(outcomes.len() >= 3, "too little happened: {outcomes:?}");
}

#[tokio::test]
async fn after_a_restart_the_note_is_enough() {
    let (_stand_in, proxy, stripe) = stripe(&[]).await;
    for (seed, lost, charges) in [(1_u128, Fault::Answerless, 1), (2, Fault::Lost, 0)] {
        proxy.inject(&[vec![Fault::None], vec![lost; 60]].concat());
        let paid = pay(&*stripe, &proxy, seed << 64, CHARGE, &VISA).await;
        assert!(paid.is_unknown(), "{lost:?}: {:?}", paid.result());
        assert_sound(&proxy, &paid, "before the restart").await;
        assert_eq!(proxy.charges(paid.sid()).await, charges);
        proxy.inject(&[]);
        let (attempt, note) = (paid.attempt.clone().unwrap(), paid.note.clone());
        let restarted = connector(&proxy.url(), &[]);
        let found = restarted.resolve(Arc::clone(&attempt), note.clone()).await;
        assert_eq!(matches!(found, Resolution::Answer(Answer::Approved(_))), charges == 1, "{found:?}");
        assert_eq!(matches!(found, Resolution::NotFound), charges == 0, "{found:?}");
        for _ in 0..2 {
            let answer = restarted.submit(Arc::clone(&attempt), None, note.clone()).await;
            assert!(matches!(answer, Answer::Approved(_)), "{answer:?}");
            assert_eq!(proxy.charges(paid.sid()).await, 1);
        }
    }
}

#[tokio::test]
async fn a_declined_card_is_declined_whatever_happens_to_the_answer() {
    let (_stand_in, proxy, stripe) = stripe(&LIVE).await;
    for (seed, fault) in [(1_u128, Fault::None), (2, Fault::Answerless), (3, Fault::Cut), (4, Fault::Silent)] {
        proxy.inject(&[Fault::None, fault]);
        let paid = pay(&*stripe, &proxy, seed << 64, CHARGE, &["4000000000000341", "1228", "123"]).await;
        assert_eq!(paid.result(), ("payment-connector-error", "64012"), "{fault:?}: {}", paid.shown);
        assert_eq!(paid.field("ConnectorError"), "card_declined");
        assert_eq!(proxy.charges(paid.sid()).await, 0);
    }
}

#[tokio::test]
async fn a_card_that_wants_the_payer_is_cancelled_and_declined() {
    let (stand_in, proxy, stripe) = stripe(&LIVE).await;
    let paid = pay(&*stripe, &proxy, 1 << 64, CHARGE, &["4000002500003155", "1228", "123"]).await;
    assert_eq!(paid.result(), ("payment-connector-error", "64012"));
    assert_eq!(paid.field("ConnectorError"), "authentication_required");
    assert_eq!(proxy.objects("/v1/payment_intents", paid.sid()).await, 1);
    let (status, payments) = stand_in.ask("GET", "/v1/payment_intents", "").await;
    let payments: serde_json::Value = serde_json::from_str(&payments).unwrap();
    assert_eq!((status, &payments["data"][0]["status"]), (200, &json!("canceled")), "{payments}");
}

#[tokio::test]
async fn tokens_of_every_type_are_made_and_kept() {
    let (_stand_in, proxy, newer) = stripe(&[]).await;
    let older = connector(&proxy.url(), &[("reusable_token", "card")]);
    let mut seed = 0;
    for (stripe, token_type, token, profile) in [
        (&newer, "one-time", "tok_", ""),
        (&newer, "payment-method", "pm_", ""),
        (&newer, "reusable", "pm_", "cus_"),
        (&older, "reusable", "card_", "cus_"),
    ] {
        for fault in [Fault::None, Fault::Answerless, Fault::Twice, Fault::Silent] {
            seed += 1;
            // Two silences are longer than the caller is kept waiting.
            let times = if fault == Fault::Silent { 1 } else { 2 };
            proxy.inject(&vec![fault; times]);
            let attributes = format!("{TOKEN} tokenType=\"{token_type}\"/>");
            let paid = pay(&**stripe, &proxy, seed << 64, &attributes, &VISA).await;
            assert_eq!(paid.result(), ("success", ""), "{token_type} {fault:?}: {}", paid.shown);
            assert!(paid.field("PaymentToken").starts_with(token), "{token_type}");
            assert!(
                paid.field("ProfileId").starts_with(profile)
                    && paid.field("ProfileId").is_empty() == profile.is_empty()
            );
            let customers = proxy.objects("/v1/customers", paid.sid()).await;
            assert_eq!(customers, usize::from(!profile.is_empty()), "{token_type} {fault:?}");
            if profile.is_empty() {
                continue;
            }
            // What was kept can be charged.
            let attempt = PaymentRequest { transaction_id: format!("PK{seed:032x}"), ..charge_of(&proxy, seed).await };
            let token = Arc::new(Instrument::Token(Secret::new(paid.field("PaymentToken").to_owned())));
            let attempt = Arc::new(attempt);
            let prepared = stripe.prepare(Arc::clone(&attempt), Arc::clone(&token)).await;
            let touchtone::pay::gateway::Preparation::Note(note) = prepared else { panic!("{prepared:?}") };
            let answer = connector::submit(&**stripe, Arc::clone(&attempt), Some(token), Some(note)).await;
            assert!(matches!(answer, Answer::Approved(_)), "{answer:?}");
            assert_eq!(proxy.charges(&attempt.transaction_id).await, 1);
        }
    }
}

/// The attempt of a charge, as the machine makes it.
async fn charge_of(proxy: &Proxy, seed: u128) -> PaymentRequest {
    proxy.inject(&[]);
    let paid = pay(&*connector(&proxy.url(), &[]), proxy, (seed << 64) + (1 << 32), CHARGE, &VISA).await;
    PaymentRequest::clone(paid.attempt.as_ref().unwrap())
}

#[tokio::test]
async fn a_card_that_its_issuer_does_not_let_be_kept_is_declined() {
    let (_stand_in, proxy, stripe) = stripe(&LIVE).await;
    let attributes = format!("{TOKEN} tokenType=\"reusable\"/>");
    let paid = pay(&*stripe, &proxy, 1 << 64, &attributes, &["4000000000000002", "1228", "123"]).await;
    assert_eq!(paid.result(), ("payment-connector-error", "64012"), "{}", paid.shown);
    assert_eq!(paid.field("PaymentToken"), "");
}

#[tokio::test]
async fn in_test_mode_another_card_never_leaves_this_machine() {
    let (_stand_in, proxy, stripe) = stripe(&[]).await;
    let paid = pay(&*stripe, &proxy, 1 << 64, CHARGE, &["4012888888881881", "1228", "123"]).await;
    assert_eq!(paid.result(), ("payment-connector-error", "64022"));
    assert!(proxy.seen().is_empty());
}

/// A Stripe where everything goes well.
fn fine(path: &str, body: &str) -> String {
    match path.split('?').next().unwrap() {
        "/v1/payment_methods" => json!({"id": "pm_1", "created": 1_700_000_000}),
        "/v1/payment_intents" if path.contains('?') => json!({"has_more": false, "data": [
            {"id": "pi_2", "status": "requires_action", "metadata": {"pay_sid": "PK1"}},
        ]}),
        "/v1/payment_intents" => json!({"id": "pi_1", "status": "succeeded", "latest_charge": {"id": "ch_1"}}),
        "/v1/tokens" if body.contains("bank_account") => json!({"id": "btok_1", "created": 1_700_000_000}),
        "/v1/tokens" => json!({"id": "tok_1", "created": 1_700_000_000}),
        "/v1/customers" if path.contains('?') => json!({"has_more": false, "data": []}),
        "/v1/customers" if body.contains("btok_") => json!({"id": "cus_1", "default_source": "ba_1"}),
        "/v1/customers" => json!({"id": "cus_1", "default_source": "card_1"}),
        saved if saved.starts_with("/v1/payment_methods/") => json!({"id": "pm_saved", "customer": "cus_1"}),
        _ => json!({"id": "pi_2", "status": "canceled"}),
    }
    .to_string()
}

#[tokio::test]
async fn every_request_is_as_stripe_s_published_description_wants_it() {
    let tools = tokio::task::spawn_blocking(stand_in::tools).await.unwrap();
    let server = Somebody::start(|arrived| (200, fine(&arrived.path, &arrived.body))).await;
    let nobody = Proxy::start(server.address, false).await;
    let newer = connector(&server.url(""), &[("account", "acct_1"), ("moto", "true")]);
    let older = connector(&server.url(""), &[("reusable_token", "card")]);
    let parameters =
        "><Parameter name=\"order\" value=\"7\"/><Parameter name=\"AVSName\" value=\"Ada Lovelace\"/></Pay>";
    let full = format!("chargeAmount=\"20.45\" currency=\"eur\" description=\"Größe M\"{parameters}");
    let card = ["4111111111111111", "1228", "94111#", "123"];
    let bank = ["110000000", "12345678#"];
    let mut attempts = Vec::new();
    let mut seed = 0;
    for (stripe, attributes, keys) in [
        (&newer, full.clone(), &card[..]),
        (
            &older,
            "chargeAmount=\"500\" currency=\"jpy\" postalCode=\"false\" securityCode=\"false\"/>".to_owned(),
            &card[..2],
        ),
        (&newer, format!("tokenType=\"one-time\"{parameters}"), &card),
        (&newer, format!("tokenType=\"payment-method\"{parameters}"), &card),
        (&newer, format!("tokenType=\"reusable\" description=\"Card\"{parameters}"), &card),
        (&older, format!("tokenType=\"reusable\"{parameters}"), &card),
        (&newer, format!("paymentMethod=\"ach-debit\" tokenType=\"one-time\"{parameters}"), &bank),
        (
            &newer,
            format!(
                "paymentMethod=\"ach-debit\" bankAccountType=\"commercial-checking\" tokenType=\"payment-method\"{parameters}"
            ),
            &bank,
        ),
        (
            &newer,
            format!(
                "paymentMethod=\"ach-debit\" bankAccountType=\"consumer-savings\" tokenType=\"reusable\"{parameters}"
            ),
            &bank,
        ),
    ] {
        seed += 1;
        let paid = pay(&**stripe, &nobody, seed << 64, &attributes, keys).await;
        assert_eq!(paid.result(), ("success", ""), "{attributes}: {}", paid.shown);
        let note = paid.note.clone();
        attempts.push((paid.attempt.unwrap(), note));
    }
    for (attempt, note) in &attempts {
        newer.resolve(Arc::clone(attempt), note.clone()).await;
    }
    // One that waits for the payer is cancelled.
    let (attempt, note) = &attempts[0];
    let attempt = Arc::new(PaymentRequest { transaction_id: "PK1".to_owned(), ..PaymentRequest::clone(attempt) });
    let found = newer.resolve(Arc::clone(&attempt), note.clone()).await;
    assert!(matches!(found, Resolution::Answer(Answer::Declined(_))), "{found:?}");
    for token in ["tok_1", "pm_saved"] {
        let token = Arc::new(Instrument::Token(Secret::new(token.to_owned())));
        let prepared = newer.prepare(Arc::clone(&attempt), Arc::clone(&token)).await;
        let touchtone::pay::gateway::Preparation::Note(note) = prepared else { panic!("{prepared:?}") };
        assert!(matches!(newer.submit(Arc::clone(&attempt), Some(token), Some(note)).await, Answer::Approved(_)));
    }
    newer.check().await.unwrap();

    let arrived = server.arrived();
    let recorded = tools.join("requests.jsonl");
    let mut file = std::fs::File::create(&recorded).unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for arrived in &arrived {
        let (path, query) = arrived.path.split_once('?').unwrap_or((&arrived.path, ""));
        // Every POST has an idempotency key, and nothing else has.
        let method = if arrived.header("idempotency-key").is_empty() { "GET" } else { "POST" };
        assert_eq!(method == "POST", !arrived.header("content-type").is_empty());
        assert_eq!(arrived.header("stripe-version"), "2022-11-15");
        writeln!(file, "{}", json!({"method": method, "path": path, "query": query, "body": arrived.body})).unwrap();
        kinds.insert(format!("{method} {path}"));
    }
    assert_eq!(kinds.len(), 11, "{kinds:?}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stripe/requests.mjs");
    let checked = Command::new("node").arg(script).arg(&tools).arg(&recorded).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success(), "{said}");
    assert!(said.contains(&format!("{} passed, 0 failed", arrived.len())), "{said}");
}
