//! What the store says, to people (`payments`, `callbacks`) and to programs (`/v1/payments`): the real binary on a database
//! that the library has filled.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests live in the real world"
)]
#![allow(unreachable_pub, reason = "a test's modules are its own")]

#[path = "store/samples.rs"]
mod samples;
#[path = "payments/sessions.rs"]
mod sessions;
mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use samples::{A, at, payment, settled, sid, waiting};
use serde_json::{Value, json};
use support::process::{Process, SILENT};
use support::{ACCOUNT, Somebody, TOKEN};
use touchtone::callback::{CallbackKind, CallbackRequest};
use touchtone::config::Config;
use touchtone::form::Form;
use touchtone::http::Jar;
use touchtone::pay::outcome::Standing;
use touchtone::store::open::{self, Role};
use touchtone::store::{NewCallback, Store};
use touchtone::twiml::Method;
use uuid::Uuid;

/// The store of the data folder, as a command beside the server has it.
async fn store(folder: &Path) -> Store {
    let file = folder.join("touchtone.toml");
    std::fs::write(&file, format!("account_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\n")).unwrap();
    let mut config = Config::load(Some(&file)).unwrap();
    config.data = folder.join("data");
    open::open(&config.store(), Role::Command).await.unwrap()
}

/// Exit code, output, errors.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchtone"));
    let output = command.current_dir(folder).args(arguments).env_remove("RUST_LOG").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn told(folder: &Path, arguments: &[&str]) -> String {
    let (code, output, errors) = run(folder, arguments);
    assert_eq!((code, errors.as_str()), (0, ""), "{output}");
    output
}

fn told_json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&told(folder, &[arguments, &["--json"]].concat())).unwrap()
}

/// Five payments: preparing, submitting, succeeded, failed, unknown. The outcome of the last is told by a parked callback. Its
/// server is running: at the start it would see to what it finds.
async fn fill(store: &Store) {
    let (books, node) = (store.backend(), A);
    for number in 1..=5 {
        books.insert_payment(payment(number), node, at(u64::from(number) * 60_000)).await.unwrap();
    }
    for number in 2..=5 {
        books.mark_sending(&sid(number), None, 1, node, at(400_000)).await.unwrap();
    }
    for (number, standing) in [(3, Standing::Succeeded), (4, Standing::Failed)] {
        books.settle_payment(settled(number, standing), vec![], vec![], node, at(500_000)).await.unwrap();
    }
    let callback = NewCallback {
        payment_sid: Some(sid(5)),
        progress_of: None,
        url: "https://me:hunter2@shop.example/paid?key=hunter2".to_owned(),
        ..waiting(7)
    };
    let rows = books.settle_payment(settled(5, Standing::Unknown), vec![callback], vec![], node, at(600_000)).await;
    books.mark_parked(rows.unwrap().callbacks[0].id, "HTTP 500\u{1b}[2J, for an hour", A, at(700_000)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_listed_and_shown_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = store(folder).await;
    assert!(told(folder, &["payments", "list"]).contains("no payments yet; "));
    assert!(told(folder, &["callbacks", "list"]).contains("no callbacks are parked or waiting"));
    let _server = Process::start(folder, &[], &[SILENT]);
    fill(&store).await;
    let list = told(folder, &["payments", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 7, "{list}");
    let place = lines[0].find("STATE").unwrap();
    for (line, state) in lines[1..6].iter().zip(["UNKNOWN", "failed", "succeeded", "submitting", "preparing"]) {
        assert!(line[place..].starts_with(state), "{state}: {list}");
    }
    assert!(lines[1].contains(&sid(5)) && lines[1].contains("5.45 usd") && lines[1].contains("64001 the gateway said"));
    assert!(lines[1].contains("visa xxxxxxxxxxxx4242") && lines[3].contains("ch_1"));
    assert!(lines[6].starts_with("1 of unknown outcome: nobody knows whether money moved"), "{list}");
    for (arguments, sids) in [
        (&["--limit", "2"][..], &[5, 4][..]),
        (&["--call", "CA2"], &[5, 2]),
        (&["--state", "unknown"], &[5]),
        (&["--connector", "Default"], &[4, 2]),
        (&["--from", &at(120_000).to_string(), "--before", &at(240_000).to_string()], &[3, 2]),
        (&["--from", "2999-01-01"], &[]),
    ] {
        let rows = told_json(folder, &[&["payments", "list"], arguments].concat());
        let listed: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["sid"].as_str().unwrap()).collect();
        assert_eq!(listed, sids.iter().copied().map(sid).collect::<Vec<_>>(), "{arguments:?}");
    }
    assert!(told(folder, &["payments", "list", "--limit", "2"]).contains("there are more than these 2; --limit"));
    assert!(told(folder, &["payments", "list", "--call", "CA9"]).contains("no payments match"));
    let show = told(folder, &["payments", "show", &sid(5)]);
    for said in [
        "state         UNKNOWN",
        "sent          once, ",
        "nobody knows whether money moved",
        "shop.example/paid",
        "parked",
    ] {
        assert!(show.contains(said), "{said}: {show}");
    }
    let story = told_json(folder, &["payments", "show", &sid(5)]);
    assert_eq!((&story["state"], &story["callbacks"][0]["state"]), (&json!("unknown"), &json!("parked")));
    for shown in [list, show.clone(), story.to_string(), told(folder, &["callbacks", "list"])] {
        assert!(!shown.contains("hunter2") && !shown.contains('\u{1b}'), "{shown}");
    }
}

#[test]
fn wrong_arguments_end_with_2_and_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (arguments, said) in [
        (&["payments", "list", "--data", "elsewhere"][..], "elsewhere/touchtone.db: there is no database yet"),
        (&["payments", "list", "--state", "done"], "preparing, submitting, succeeded, failed, unknown"),
        (&["payments", "list", "--from", "soon"], "2026-11-22T10:00:00Z"),
        (&["payments", "list", "--limit", "0"], "0 is not in 1.."),
        (&["payments", "list", "--config", "none.toml"], "none.toml: there is no such file"),
        (&["callbacks", "list", "--state", "done"], "waiting, held, delivered, parked"),
        (&["callbacks", "retry"], "<ID|--all>"),
        (&["callbacks", "retry", "--all", "7"], "cannot be used with"),
    ] {
        let (code, output, errors) = run(folder, arguments);
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
    assert!(!folder.join("elsewhere").exists(), "whoever only looks makes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_callback_is_delivered_after_all_by_the_running_server() {
    let application = Somebody::application("<Response/>").await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = store(folder).await;
    let mut form = Form::new();
    form.set("CallSid", "CA1");
    form.set("Result", "success");
    let mut ids = Vec::new();
    for path in ["/one", "/two"] {
        let request = CallbackRequest {
            kind: CallbackKind::Status,
            method: Method::Post,
            url: format!("{}?key=hunter2", application.url(path)),
            form: form.clone(),
            cookies: Jar::default(),
        };
        let id = store.queue("CA1", &request, Uuid::new_v4(), Timestamp::now()).await.unwrap().unwrap().id;
        store.mark_parked(id, "HTTP 500", Timestamp::now()).await.unwrap();
        ids.push(id.to_string());
    }
    let _server = Process::start(folder, &[], &[SILENT]);
    let list = told(folder, &["callbacks", "list"]);
    assert!(list.contains("HTTP 500") && list.contains("/one") && !list.contains("hunter2"), "{list}");
    assert!(list.contains("`touchtone callbacks retry ID`"), "{list}");
    assert_eq!(told_json(folder, &["callbacks", "list", "--call", "CA9"]), json!([]));
    let (code, output, _) = run(folder, &["callbacks", "retry", &ids[0], "99"]);
    assert_eq!(code, 1, "one of them is not parked");
    assert!(output.contains("99 is not parked") && output.contains("1 callback is tried again"), "{output}");
    let arrived = application.wait_for(|arrived| arrived.path.starts_with("/one")).await;
    assert_eq!((arrived.field("Result").as_str(), arrived.path.as_str()), ("success", "/one?key=hunter2"));
    assert!(told(folder, &["callbacks", "retry", "--all"]).contains("1 callback is tried again"));
    application.wait_for(|arrived| arrived.path.starts_with("/two")).await;
    assert!(told(folder, &["callbacks", "retry", "--all"]).contains("no callback is tried again"));
}

/// An answer of `/v1/payments`, signed in or not.
async fn ask(address: SocketAddr, path: &str, token: Option<&str>) -> (u16, Value) {
    let request = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("http://{address}{path}"));
    let request = match token {
        Some(token) => request.basic_auth(ACCOUNT, Some(token)),
        None => request,
    };
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json", "{path}");
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_the_books_page_by_page() {
    touchtone::http::install_crypto_provider();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = store(folder).await;
    let server = Process::start(folder, &[], &[SILENT]);
    fill(&store).await;
    let get = async |path: &str| ask(server.address, path, Some(TOKEN)).await;
    for path in ["/v1/payments", "/v1/payments/PK1", "/v1", "/v1/nothing"] {
        assert_eq!(ask(server.address, path, None).await.0, 401, "{path}");
        assert_eq!(ask(server.address, path, Some("wrong")).await.0, 401, "{path}");
    }
    let (status, page) = get("/v1/payments").await;
    assert_eq!((status, &page["next"]), (200, &Value::Null));
    assert_eq!(page["payments"], told_json(folder, &["payments", "list"]), "both say the same");
    // Page by page, with the filter going along.
    let (mut path, mut pages) = ("/v1/payments?connector=Bank&page_size=2".to_owned(), Vec::new());
    loop {
        let (status, page) = get(&path).await;
        assert_eq!(status, 200, "{page}");
        pages.push(page["payments"].as_array().unwrap().iter().map(|row| row["sid"].clone()).collect::<Vec<_>>());
        let Some(next) = page["next"].as_str() else { break };
        path = next.to_owned();
    }
    assert_eq!(pages, [vec![json!(sid(5)), json!(sid(3))], vec![json!(sid(1))]]);
    let (_, unknown) = get("/v1/payments?state=unknown&call=CA2&from=2026-01-01&before=2999-01-01T00:00:00Z").await;
    let row = &unknown["payments"][0];
    assert_eq!((&row["sid"], &row["sends"], &row["amount"]), (&json!(sid(5)), &json!(1), &json!("5.45")));
    assert_eq!(row["created"], at(300_000).to_string());
    let (status, story) = get(&format!("/v1/payments/{}", sid(5))).await;
    assert_eq!((status, &story), (200, &told_json(folder, &["payments", "show", &sid(5)])));
    assert_eq!(story["callbacks"][0]["url"], "https://shop.example/paid");
    for (path, wanted) in [
        (format!("/v1/payments/{}", sid(9)), 404),
        ("/v1/payments/%FF".to_owned(), 404),
        (format!("/v1/payments?after={}", sid(9)), 404),
        ("/v1/payments?after=9".to_owned(), 400),
        ("/v1/payments?state=done".to_owned(), 400),
        ("/v1/payments?color=red".to_owned(), 400),
        (format!("/v1/payments/{}?color=red", sid(5)), 400),
        ("/v1/nothing".to_owned(), 404),
    ] {
        let (status, error) = get(&path).await;
        assert_eq!((status, &error["status"]), (wanted, &json!(wanted)), "{path}");
    }
    let (_, description) = ask(server.address, "/openapi.json", None).await;
    for path in ["/v1/payments", "/v1/payments/{sid}"] {
        assert!(description["paths"][path]["get"]["security"].is_array(), "{path}");
    }
}

#[test]
fn a_second_server_on_the_same_data_folder_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path(), &[], &[SILENT]);
    let (code, _, errors) = run(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 2);
    assert!(errors.contains("another `touchtone serve` runs with the data folder data"), "{errors}");
    drop(first);
    // What was killed holds nothing.
    Process::start(folder.path(), &[], &[SILENT]);
}
