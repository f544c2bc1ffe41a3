//! Calls and Pay sessions that a server leaves behind when it is killed: told and listed by the next one.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Executor};
use touchtone::callback::CallbackKind;
use touchtone::store::{Occasion, token};

use super::support::process::{Process, SILENT};
use super::support::{ACCOUNT, Arrived, Caller, Somebody, TIME_LIMIT, TOKEN, is_signed, wait, write_flows};
use super::{ask, told, told_json};

/// A folder with a configuration and flows that tell `application`.
fn set_up(folder: &Path, application: &Somebody) {
    touchtone::http::install_crypto_provider();
    let text = format!("account_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\n");
    std::fs::write(folder.join("touchtone.toml"), text).unwrap();
    let pay = format!(
        "<Response><Pay chargeAmount=\"20.45\" postalCode=\"false\" timeout=\"600\" action=\"{}\" \
         statusCallback=\"{}\"/></Response>",
        application.url("/paid/{{ name }}"),
        application.url("/status/{{ name }}")
    );
    write_flows(&folder.join("flows"), &[("pay", &pay), ("hold", "<Response><Pause length=\"600\"/></Response>")]);
}

async fn calls(server: &Process, query: &str) -> Vec<Value> {
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Calls.json{query}");
    let (status, page) = ask(server.address, &path, Some(TOKEN)).await;
    assert_eq!(status, 200, "{page}");
    page["calls"].as_array().unwrap().clone()
}

fn stand(calls: &[Value]) -> Vec<(&str, &str)> {
    calls.iter().map(|call| (call["sid"].as_str().unwrap(), call["status"].as_str().unwrap())).collect()
}

async fn post(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let url = format!("http://{address}/2010-04-01/Accounts/{ACCOUNT}/{path}");
    let request = reqwest::Client::builder().no_proxy().build().unwrap().post(url).basic_auth(ACCOUNT, Some(TOKEN));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

/// What told a result at this path.
fn results(application: &Somebody, path: &str) -> Vec<Arrived> {
    let told = application.arrived().into_iter().filter(|arrived| arrived.path == path);
    told.filter(|arrived| !arrived.field("Result").is_empty()).collect()
}

async fn result(application: &Somebody, path: &str) -> Arrived {
    application.wait_for(|arrived| arrived.path == path && !arrived.field("Result").is_empty()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_cut_in_the_middle_of_a_card_is_told_once_after_the_restart() {
    let application = Somebody::application("<Response/>").await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    set_up(folder, &application);
    let mut server = Process::start(folder, &[], &[SILENT]);
    // One that ended: it was told, and is not told again.
    let mut ended = Caller::dial(server.address, "pay", "CA1", &[("name", "ended"), ("From", "+15550001")]).await;
    ended.pay(&["*"]).await;
    result(&application, "/status/ended").await;
    // One in the middle of the card number.
    let parameters = [("name", "cut"), ("From", "+15550002"), ("To", "+15559999")];
    let mut cut = Caller::dial(server.address, "pay", "CA2", &parameters).await;
    cut.hear().await;
    cut.press("4242424").await;
    application.wait_for(|arrived| arrived.path == "/status/cut").await;
    // Whoever asks for the calls has them written first, and with them the sessions.
    assert_eq!(stand(&calls(&server, "").await), [("CA2", "in-progress"), ("CA1", "completed")]);
    let open = told_json(folder, &["payments", "list", "--sessions"]);
    assert_eq!(
        (&open[0]["call_sid"], &open[0]["state"], &open[0]["amount"]),
        (&json!("CA2"), &json!("open"), &json!("20.45"))
    );
    assert_eq!((&open[1]["state"], &open[1]["result"]), (&json!("ended"), &json!("caller-interrupted-with-star")));
    let sid = open[0]["sid"].as_str().unwrap().to_owned();
    server.child.kill().unwrap();
    server.wait();

    let mut server = Process::start(folder, &[], &[SILENT]);
    let (status, action) = (result(&application, "/status/cut").await, result(&application, "/paid/cut").await);
    for (told, kind) in [(&status, CallbackKind::Status), (&action, CallbackKind::Action)] {
        assert!(is_signed(&application, told));
        assert_eq!(told.header("I-Twilio-Idempotency-Token"), token(&sid, Occasion::Late, kind).to_string());
        for (field, value) in [
            ("Result", "internal-error"),
            ("PaymentError", "the server stopped before anything was sent"),
            ("CallSid", "CA2"),
            ("From", "+15550002"),
            ("To", "+15559999"),
            ("PaymentMethod", "credit-card"),
            ("PaymentConnector", "Default"),
        ] {
            assert_eq!(told.field(field), value, "{field} of {told:?}");
        }
        assert!(!told.body.contains("4242"), "what was keyed is nobody's business: {}", told.body);
    }
    assert_eq!((status.field("ErrorType"), action.field("CallStatus")), ("internal-error".into(), "completed".into()));
    assert_eq!((status.field("For").as_str(), status.field("SequenceNumber").as_str()), ("payment-card-number", "1"));

    let listed = calls(&server, "").await;
    assert_eq!(stand(&listed), [("CA2", "failed"), ("CA1", "completed")]);
    assert_eq!((&listed[0]["end_time"], &listed[0]["duration"]), (&Value::Null, &Value::Null), "nobody knows when");
    assert_eq!((&listed[0]["from"], &listed[0]["to"]), (&json!("+15550002"), &json!("+15559999")));
    assert_eq!(stand(&calls(&server, "?Status=failed").await), [("CA2", "failed")]);
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/CA1.json");
    let (code, call) = ask(server.address, &path, Some(TOKEN)).await;
    assert_eq!((code, &call["status"], &call["from"]), (200, &json!("completed"), &json!("+15550001")));
    let list = told(folder, &["payments", "list"]);
    assert!(list.contains("sessions whose gateway was not asked:") && list.contains(&sid), "{list}");
    let show = told(folder, &["payments", "show", &sid]);
    assert!(show.contains("never: its gateway was not asked") && show.contains("/paid/cut"), "{show}");
    let (code, story) = ask(server.address, &format!("/v1/payments/{sid}"), Some(TOKEN)).await;
    assert_eq!((code, &story["state"], &story["result"]), (200, &json!("ended"), &json!("internal-error")));
    assert_eq!(story, told_json(folder, &["payments", "show", &sid]));
    let (_, page) = ask(server.address, "/v1/payments?call=CA2", Some(TOKEN)).await;
    assert_eq!((&page["payments"], &page["sessions"][0]["sid"]), (&json!([]), &json!(sid)));

    // Another one, and again: once the younger session is told, the older one has been passed by.
    let mut again = Caller::dial(server.address, "pay", "CA3", &[("name", "again")]).await;
    again.hear().await;
    application.wait_for(|arrived| arrived.path == "/status/again").await;
    assert_eq!(stand(&calls(&server, "?Status=in-progress").await), [("CA3", "in-progress")]);
    server.child.kill().unwrap();
    server.wait();
    let _server = Process::start(folder, &[], &[SILENT]);
    result(&application, "/status/again").await;
    result(&application, "/paid/again").await;
    for path in ["/status/cut", "/paid/cut", "/status/ended", "/paid/ended"] {
        assert_eq!(results(&application, path).len(), 1, "{path}");
    }
}

/// What a caller is told while nothing can be written is the first server's alone; its successor cannot know of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_told_before_it_could_be_written_is_told_again_only_with_the_late_token() {
    let application = Somebody::application("<Response/>").await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    set_up(folder, &application);
    let mut server = Process::start(folder, &[], &[SILENT]);
    let mut caller = Caller::dial(server.address, "pay", "CA1", &[("name", "cut")]).await;
    application.wait_for(|arrived| arrived.path == "/status/cut").await;
    assert_eq!(calls(&server, "").await.len(), 1);
    let sid = told_json(folder, &["payments", "list", "--sessions"])[0]["sid"].as_str().unwrap().to_owned();
    sqlx::any::install_default_drivers();
    let database = folder.join("data/touchtone.db");
    let mut lock = AnyConnection::connect(&format!("sqlite://{}", database.display())).await.unwrap();
    lock.execute("PRAGMA busy_timeout = 10000").await.unwrap();
    lock.execute("BEGIN IMMEDIATE").await.unwrap();
    let since = Instant::now();
    caller.press("*").await;
    let told = result(&application, "/paid/cut").await;
    assert!((5..8).contains(&since.elapsed().as_secs()), "a caller waits five seconds: {:?}", since.elapsed());
    assert_eq!(told.field("Result"), "caller-interrupted-with-star");
    let token_of = |arrived: &Arrived| arrived.header("I-Twilio-Idempotency-Token").to_owned();
    assert_eq!(token_of(&told), token(&sid, Occasion::First, CallbackKind::Action).to_string());
    server.child.kill().unwrap();
    server.wait();
    lock.close().await.unwrap();
    let _server = Process::start(folder, &[], &[SILENT]);
    let status = result(&application, "/status/cut").await;
    let again =
        application.wait_for(|arrived| arrived.path == "/paid/cut" && arrived.field("Result") == "internal-error");
    let again = again.await;
    assert_eq!(token_of(&status), token(&sid, Occasion::Late, CallbackKind::Status).to_string());
    assert_eq!(token_of(&again), token(&sid, Occasion::Late, CallbackKind::Action).to_string());
    assert_eq!(results(&application, "/paid/cut").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_session_is_told_where_its_agent_last_wanted_it() {
    let application = Somebody::application("<Response/>").await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    set_up(folder, &application);
    let mut server = Process::start(folder, &[], &[SILENT]);
    let mut caller = Caller::dial(server.address, "hold", "CA1", &[("From", "+15550001")]).await;
    let (first, second) = (application.url("/status/first"), application.url("/status/second"));
    let fields = [("IdempotencyKey", "1"), ("StatusCallback", &*first), ("ChargeAmount", "7"), ("PostalCode", "false")];
    let sid = wait::found("the call begins", TIME_LIMIT, async || {
        match post(server.address, "Calls/CA1/Payments.json", &fields).await {
            (201, created) => Some(created["sid"].as_str().unwrap().to_owned()),
            (404, _) => None,
            other => panic!("{other:?}"),
        }
    })
    .await;
    calls(&server, "").await;
    let update = [("IdempotencyKey", "2"), ("StatusCallback", &*second), ("Capture", "payment-card-number")];
    let (status, updated) = post(server.address, &format!("Calls/CA1/Payments/{sid}.json"), &update).await;
    assert_eq!(status, 200, "{updated}");
    caller.press("4242").await;
    application.wait_for(|arrived| arrived.path == "/status/second" && arrived.field("PartialResult") == "true").await;
    calls(&server, "").await;
    server.child.kill().unwrap();
    server.wait();

    let _server = Process::start(folder, &[], &[SILENT]);
    let told = result(&application, "/status/second").await;
    for (field, value) in [
        ("Result", "internal-error"),
        ("Sid", &*sid),
        ("From", "+15550001"),
        ("ChargeAmount", "7.00"),
        ("PaymentCardNumber", ""),
    ] {
        assert_eq!(told.field(field), value, "{field} of {told:?}");
    }
    assert!(told.field("Required").contains("PaymentCardNumber"), "{told:?}");
    assert!(results(&application, "/status/first").is_empty());
    let story = told_json(folder, &["payments", "show", &sid]);
    let kinds: Vec<&str> =
        story["callbacks"].as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["status"], "told once; an agent's payment has no action");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_calls_outlives_a_restart_until_they_are_deleted() {
    let application = Somebody::application("<Response/>").await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    set_up(folder, &application);
    let mut server = Process::start(folder, &[], &[SILENT]);
    for number in 1..=3 {
        let mut caller = Caller::dial(server.address, "pay", &format!("CA{number}"), &[("name", "x")]).await;
        caller.pay(&["*"]).await;
    }
    server.terminate();
    assert_eq!(server.wait(), Some(0));
    let server = Process::start(folder, &[], &[SILENT]);
    let mut live = Caller::dial(server.address, "hold", "CA4", &[]).await;
    let has_begun = async || !calls(&server, "?Status=in-progress").await.is_empty();
    wait::until("the call begins", TIME_LIMIT, has_begun).await;
    let listed = calls(&server, "").await;
    assert_eq!(
        stand(&listed),
        [("CA4", "in-progress"), ("CA3", "completed"), ("CA2", "completed"), ("CA1", "completed")]
    );
    assert!(
        listed[1]["end_time"].is_string() && listed[1]["duration"].is_string(),
        "it stopped in order: {}",
        listed[1]
    );
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Calls.json?PageSize=3");
    let (_, page) = ask(server.address, &path, Some(TOKEN)).await;
    let (_, next) = ask(server.address, page["next_page_uri"].as_str().unwrap(), Some(TOKEN)).await;
    assert_eq!(stand(next["calls"].as_array().unwrap()), [("CA1", "completed")]);
    let delete = async |sid: &str| {
        let url = format!("http://{}/2010-04-01/Accounts/{ACCOUNT}/Calls/{sid}.json", server.address);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.delete(url).basic_auth(ACCOUNT, Some(TOKEN)).send().await.unwrap().status().as_u16()
    };
    assert_eq!((delete("CA2").await, delete("CA2").await, delete("CA4").await), (204, 404, 409));
    let (code, _) = ask(server.address, &format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/CA2.json"), Some(TOKEN)).await;
    assert_eq!((code, calls(&server, "").await.len()), (404, 3));
    live.press("#").await;
}
