//! What whoever watches a server sees of its calls and payments, and what becomes of those who do not keep up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

mod support;

use serde_json::Value;
use support::{Somebody, TIME_LIMIT, TestServer};
use tokio::time::timeout;
use touchtone::feed::{EVENTS_KEPT, EventKind, FeedItem, Watcher};

/// The card of these calls, its expiry, the payer's postal code and the security code.
const CARD: [&str; 4] = ["4242424242424242", "1228", "94111", "739"];

async fn server(attributes: &str) -> (TestServer, Somebody) {
    let application = Somebody::application("<Response/>").await;
    let (action, status) = (application.url("/paid"), application.url("/status"));
    let pay = format!("<Response><Pay action=\"{action}\" statusCallback=\"{status}\" {attributes}/></Response>");
    (TestServer::start(&[("pay", &pay)], "[speech]\nengine = \"none\"").await, application)
}

async fn next(watcher: &mut Watcher) -> FeedItem {
    timeout(TIME_LIMIT, watcher.next()).await.unwrap().unwrap()
}

/// All events until this many callbacks are delivered and the call has ended, as JSON.
async fn seen_until_told(watcher: &mut Watcher, callbacks: usize) -> Vec<Value> {
    let (mut seen, mut delivered, mut ended) = (Vec::new(), 0, false);
    while !ended || delivered < callbacks {
        match next(watcher).await {
            FeedItem::Event(event) => {
                delivered += usize::from(matches!(event.what, EventKind::CallbackDelivered { .. }));
                ended |= matches!(event.what, EventKind::CallEnded { .. });
                seen.push(serde_json::to_value(event).unwrap());
            }
            FeedItem::Missed(count) => panic!("{count} events are missed"),
        }
    }
    seen
}

/// What an event is about, in short.
fn word(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    match text("event") {
        "pay-progress" => format!("{} {}", text("step"), text("what")),
        "payment-settled" => format!("settled {}", text("result")),
        event => event.to_owned(),
    }
}

#[tokio::test]
async fn a_paying_call_is_seen_step_by_step_without_a_digit_that_was_keyed() {
    let (server, application) = server("chargeAmount=\"20.45\"").await;
    let mut watcher = server.feed.watch();
    let mut caller = server.call_with("pay", "CA7", &[("From", "+15551234567")]).await;
    caller.pay(&CARD).await;
    assert_eq!(application.result().await.field("Result"), "success");
    // Ten status callbacks, two a step, and the action request.
    let seen = seen_until_told(&mut watcher, 11).await;
    let (callbacks, calls): (Vec<&Value>, Vec<&Value>) =
        seen.iter().partition(|event| event["event"].as_str().unwrap().starts_with("callback-"));
    let steps = ["payment-card-number", "expiration-date", "postal-code", "security-code"];
    let fields = steps.iter().flat_map(|step| [format!("{step} begun"), format!("{step} captured")]);
    let expected: Vec<String> = std::iter::once("call-began".to_owned())
        .chain(fields)
        .chain(["payment-processing begun", "settled success", "call-ended"].map(str::to_owned))
        .collect();
    assert_eq!(calls.into_iter().map(word).collect::<Vec<_>>(), expected);
    assert!(callbacks.iter().all(|event| event["event"] == "callback-delivered"));
    assert!(seen.iter().all(|event| event["call_sid"] == "CA7"));
    let masks: Vec<&str> = seen.iter().filter_map(|event| event["number"].as_str()).collect();
    assert!(
        !masks.is_empty() && masks.iter().all(|mask| mask.ends_with("4242") && !mask.contains("42424")),
        "{masks:?}"
    );
    // Times and ids have digits of their own.
    for event in &seen {
        let members = event.as_object().unwrap().iter();
        for (name, value) in members.filter(|(name, _)| !["at", "payment", "callback", "attempt"].contains(&&***name)) {
            let text = value.to_string();
            for hidden in ["42424", "1228", "94111", "739", "5551234567"] {
                assert!(!text.contains(hidden), "{name}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_payment_that_fails_is_seen_with_its_reasons() {
    let (server, application) = server("").await;
    let mut watcher = server.feed.watch();
    server.call("pay").await.pay(&["#", "1#"]).await;
    assert_eq!(application.result().await.field("Result"), "too-many-failed-attempts");
    let seen = seen_until_told(&mut watcher, 0).await;
    let failed: Vec<&Value> = seen.iter().filter(|event| event["what"] == "failed").collect();
    assert!(!failed.is_empty() && failed.iter().all(|event| event["error"].is_string()), "{seen:?}");
    assert!(seen.iter().any(|event| word(event) == "settled too-many-failed-attempts"), "{seen:?}");
}

#[tokio::test]
async fn who_does_not_keep_up_is_told_how_much_is_lost_and_no_call_waits() {
    let (server, application) = server("chargeAmount=\"5\"").await;
    let mut slow = server.feed.watch();
    for number in 0..2 * EVENTS_KEPT {
        server.feed.publish(|| EventKind::CallEnded { call_sid: format!("CB{number}"), how: "hangup".to_owned() });
    }
    server.call("pay").await.pay(&CARD).await;
    assert_eq!(application.result().await.field("Result"), "success");
    let FeedItem::Missed(count) = next(&mut slow).await else { panic!("nothing is missed") };
    // The call's own events have pushed out some more.
    assert!(count > EVENTS_KEPT as u64, "{count}");
    let FeedItem::Event(oldest) = next(&mut slow).await else { panic!("more is missed") };
    assert_eq!(oldest.what, EventKind::CallEnded { call_sid: format!("CB{count}"), how: "hangup".to_owned() });
}
