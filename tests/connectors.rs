//! Pay Connectors of the store with the real binary: by command and by REST, while a server runs; their secrets; and what a
//! withdrawn authorization does to calls.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use touchtone::connector::KINDS;

use reqwest::Method;
use serde_json::{Value, json};
use support::process::{Process, SILENT, files};
use support::{ACCOUNT, Arrived, Caller, Somebody, TIME_LIMIT, TOKEN, write_flows};
use tokio::time::timeout;

/// A card that test mode lets through, and one that it does not.
const TEST_CARD: &str = "4111111111111111";
const OTHER_CARD: &str = "4242424242424242";

const KEYS: [&str; 3] = ["1228", "94111", "123"];

/// What a command did.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }

    /// It did what it was told.
    fn fine(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }

    /// It was refused; what it said.
    fn refused(self) -> String {
        assert_eq!(self.code, Some(2), "{}{}", self.out, self.err);
        assert!(self.out.is_empty(), "{}", self.out);
        self.err
    }
}

/// Runs `touchtone connectors` in a folder, with something piped in.
fn run_with(folder: &Path, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchtone"));
    command.current_dir(folder).arg("connectors").args(arguments).envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that reads nothing may be over before this is written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn run(folder: &Path, arguments: &[&str]) -> Ran {
    run_with(folder, arguments, "", &[])
}

/// A server, a merchant and a folder.
struct Shop {
    folder: tempfile::TempDir,
    application: Somebody,
    calls: AtomicU32,
}

impl Shop {
    /// One whose flow `pay` charges through the connector `Shop`.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let application = Somebody::application("<Response/>").await;
        let action = application.url("/paid");
        let document =
            format!("<Response><Pay paymentConnector=\"Shop\" chargeAmount=\"3\" action=\"{action}\"/></Response>");
        write_flows(&folder.path().join("flows"), &[("pay", &document)]);
        Self { folder, application, calls: AtomicU32::new(0) }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn serve(&self) -> Process {
        let account = ("TOUCHTONE_ACCOUNT_SID", ACCOUNT);
        Process::start(self.path(), &[], &[SILENT, account, ("TOUCHTONE_AUTH_TOKEN", TOKEN)])
    }

    /// Calls and pays; the result and the code that the application is told, and how many turns the caller heard.
    async fn pay(&self, server: &Process, card: &str) -> (String, String, usize) {
        let call_sid = format!("CA{}", self.calls.fetch_add(1, Ordering::Relaxed));
        let mut caller = Caller::dial(server.address, "pay", &call_sid, &[]).await;
        for keys in [card].into_iter().chain(KEYS) {
            if !caller.hear().await {
                break;
            }
            caller.press(keys).await;
        }
        caller.hear_out().await;
        let told = |arrived: &Arrived| arrived.path == "/paid" && arrived.field("CallSid") == call_sid;
        let told = self.application.wait_for(told).await;
        (told.field("Result"), told.field("PayErrorCode"), caller.turns.len())
    }

    /// Calls until a payment ends as `wanted`.
    async fn pay_until(&self, server: &Process, card: &str, wanted: (&str, &str)) {
        let trying = async {
            loop {
                let (result, code, _) = self.pay(server, card).await;
                if (&*result, &*code) == wanted {
                    return;
                }
            }
        };
        timeout(TIME_LIMIT, trying).await.unwrap_or_else(|_| panic!("it never became {wanted:?}: {}", server.log()));
    }
}

/// Somebody who uses the API of a running server.
struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    fn new(server: &Process) -> Self {
        touchtone::http::install_crypto_provider();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, base: format!("http://{}/v1/connectors", server.address) }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value, String) {
        let response = timeout(TIME_LIMIT, request.send()).await.expect("no answer").unwrap();
        let (status, location) = (response.status().as_u16(), response.headers().get("location").cloned());
        let text = response.text().await.unwrap();
        let json = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        (status, json, location.map(|location| location.to_str().unwrap().to_owned()).unwrap_or_default())
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).basic_auth(ACCOUNT, Some(TOKEN));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let (status, json, _) = self.send(request).await;
        (status, json)
    }
}

/// A processor of the generic contract that takes every payment.
async fn processor() -> Somebody {
    Somebody::start(|arrived| match arrived.body.is_empty() {
        true => (if arrived.header("authorization").contains("wrong") { 401 } else { 405 }, String::new()),
        false => (200, json!({"charge_id": "ch_1", "error_code": null}).to_string()),
    })
    .await
}

/// A Stripe that lets `sk_test_new...` in and has revoked every other key.
async fn stripe() -> Somebody {
    Somebody::start(|arrived| {
        if !arrived.header("authorization").contains("sk_test_new") {
            let message =
                "The provided key does not have access to account 'acct_1'. Application access may have been revoked.";
            let error =
                json!({"error": {"type": "invalid_request_error", "code": "account_invalid", "message": message}});
            return (403, error.to_string());
        }
        let answer = match arrived.path.as_str() {
            "/v1/payment_methods" => {
                json!({"id": "pm_1", "created": 1_700_000_000, "customer": null, "livemode": false})
            }
            "/v1/payment_intents" => {
                json!({"id": "pi_1", "status": "succeeded", "latest_charge": {"id": "ch_1"}, "livemode": false})
            }
            _ => json!({"data": [], "has_more": false}),
        };
        (200, answer.to_string())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_added_by_command_takes_the_next_calls_and_its_secret_shows_nowhere() {
    let shop = Shop::new().await;
    let processor = processor().await;
    let server = shop.serve();
    assert!(server.log().contains("no connector is configured or stored"), "{}", server.log());
    assert_eq!(shop.pay(&server, TEST_CARD).await.1, "64004");
    let mut shown = String::new();
    let mut shows = |ran: Ran| {
        let ran = ran.fine();
        shown.push_str(&ran.out);
        shown.push_str(&ran.err);
        ran
    };
    let endpoint = format!("endpoint={}?key=4815162342", processor.url("/pay"));
    let add = ["add", "Shop", "--kind", "generic", &endpoint, "bearer=@-"];
    let added = shows(run_with(shop.path(), &add, "gateway-secret-4815162342\n", &[]));
    assert!(added.out.contains("Shop is stored") && added.out.contains("within a second"), "{}", added.out);
    shop.pay_until(&server, TEST_CARD, ("success", "")).await;
    let asked = processor.arrived().pop().unwrap();
    assert_eq!(asked.header("authorization"), "Bearer gateway-secret-4815162342");
    assert!(asked.path.ends_with("?key=4815162342"));
    // In test mode no other number leaves this machine.
    let before = processor.arrived().len();
    assert_eq!(shop.pay(&server, OTHER_CARD).await.1, "64022");
    assert_eq!(processor.arrived().len(), before);
    shows(run(shop.path(), &["show", "Shop"]));
    let json = shows(run(shop.path(), &["show", "Shop", "--json"])).json();
    assert_eq!(
        (&json["secrets"], &json["mode"], &json["origin"]),
        (&json!({"bearer": "set"}), &json!("test"), &json!("stored"))
    );
    assert!(shows(run(shop.path(), &["list"])).out.contains("Shop"));
    shows(run(shop.path(), &["live", "Shop", "--yes"]));
    shop.pay_until(&server, OTHER_CARD, ("success", "")).await;
    let client = Client::new(&server);
    for path in ["", "/Shop"] {
        shown.push_str(&client.ask(Method::GET, path, None).await.1.to_string());
    }
    assert!(run(shop.path(), &["remove", "Shop", "--yes"]).fine().out.contains("Shop is removed"));
    shop.pay_until(&server, TEST_CARD, ("payment-connector-error", "64004")).await;
    shown.push_str(&server.log());
    assert!(shown.contains("no connector is left"), "{shown}");
    for file in files(&shop.path().join("data")) {
        shown.push_str(&String::from_utf8_lossy(&std::fs::read(file).unwrap()));
    }
    for arrived in shop.application.arrived() {
        shown.push_str(&arrived.body);
    }
    assert!(shown.contains("SQLite format 3"), "the database was searched");
    assert!(!shown.contains("4815162342"), "a secret was left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_live_is_for_good_and_fixes_the_address() {
    let shop = Shop::new().await;
    let folder = shop.path();
    run(folder, &["add", "Shop", "--kind", "generic", "endpoint=https://pay.example.com/"]).fine();
    run(folder, &["change", "Shop", "endpoint=https://other.example.com/", "retries=2"]).fine();
    let live = run(folder, &["live", "Shop", "--json", "--yes"]).fine().json();
    assert_eq!((&live["mode"], &live["settings"]["retries"]), (&json!("live"), &json!("2")));
    for (arguments, said) in [
        (&["change", "Shop", "endpoint=https://third.example.com/"][..], "going live fixed its `endpoint` for good"),
        (&["change", "Shop", "mode=test"], "its `mode` cannot be changed; add a new connector"),
        (&["change", "Shop", "kind=stripe"], "its `kind` cannot be changed"),
        (&["add", "Shop", "--kind", "sandbox"], "there is a connector `Shop` already"),
    ] {
        let refused = run(folder, arguments).refused();
        assert!(refused.contains(said), "{refused}");
    }
    run(folder, &["live", "Shop", "--yes"]).fine();
    // A key for tests is none for live payments.
    let add = ["add", "Stripe_DevTest", "--kind", "stripe", "secret_key=@-"];
    run_with(folder, &add, "sk_test_4815162342\n", &[]).fine();
    let refused = run(folder, &["live", "Stripe_DevTest", "--yes"]).refused();
    assert!(refused.contains("this is a test key, and the connector's mode is live"), "{refused}");
    let refused =
        run_with(folder, &["add", "Other", "--kind", "stripe", "--mode", "live", "secret_key=@-"], "sk_test_1", &[]);
    assert!(refused.refused().contains("this is a test key"));
    let live =
        run_with(folder, &["live", "Stripe_DevTest", "secret_key=@-", "--yes"], "sk_live_4815162342\n", &[]).fine();
    assert!(live.out.contains("live") && !live.out.contains("4815162342"), "{}", live.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_authorization_ends_payments_before_a_digit_until_it_is_given_anew() {
    let shop = Shop::new().await;
    let stripe = stripe().await;
    let address = format!("base_url={}", stripe.url(""));
    let add = ["add", "Shop", "--kind", "stripe", &address, "secret_key=@-"];
    run_with(shop.path(), &add, "sk_test_old", &[]).fine();
    let server = shop.serve();
    assert!(!server.log().contains("no money moves"), "{}", server.log());
    let tested = run(shop.path(), &["test", "Shop"]);
    assert_eq!(tested.code, Some(1));
    assert!(tested.out.contains("HTTP status 403"), "{}", tested.out);
    let (result, code, turns) = shop.pay(&server, TEST_CARD).await;
    assert_eq!((&*result, &*code), ("payment-connector-error", "64009"));
    assert!(turns > 1, "this caller keyed a card");
    let asked = stripe.arrived().len();
    // From now on nobody is asked for digits, and neither is the gateway.
    let (result, code, turns) = shop.pay(&server, TEST_CARD).await;
    assert_eq!((&*result, &*code, turns), ("payment-connector-error", "64009", 0));
    assert_eq!(stripe.arrived().len(), asked);
    let told =
        |line: &str| line.contains("`touchtone connectors authorize NAME`") && line.contains("connector=\"Shop\"");
    assert!(server.log().lines().any(told), "{}", server.log());
    let client = Client::new(&server);
    let (_, instance) = client.ask(Method::GET, "/Shop", None).await;
    assert_eq!(instance["state"], "needs-authorization", "{instance}");
    assert!(instance["withdrawn"].is_string());
    // Told by the store now, that request saw to it.
    let listed = run(shop.path(), &["list"]).fine().out;
    assert!(listed.contains("needs-authorization") && listed.contains("connectors authorize Shop"), "{listed}");
    // A restart does not forget it.
    drop(server);
    let server = shop.serve();
    assert_eq!(shop.pay(&server, TEST_CARD).await.1, "64009");
    assert_eq!(stripe.arrived().len(), asked);
    let none = run(shop.path(), &["authorize", "Shop"]).refused();
    assert!(none.contains("`secret_key` or `access_token`") && none.contains("KEY=@-"), "{none}");
    let authorized = run_with(shop.path(), &["authorize", "Shop", "secret_key=@-", "--json"], "sk_test_new\n", &[]);
    assert_eq!(authorized.fine().json()["state"], "ready");
    shop.pay_until(&server, TEST_CARD, ("success", "")).await;
    assert_eq!(run(shop.path(), &["test", "Shop"]).code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_instance_needs_its_authorization_until_the_restart() {
    let shop = Shop::new().await;
    let stripe = stripe().await;
    let configure = |key: &str| {
        let toml = format!(
            "[[connector]]\nname = \"Shop\"\nkind = \"stripe\"\nsecret_key = \"{key}\"\nbase_url = \"{}\"\n",
            stripe.url("")
        );
        std::fs::write(shop.path().join("touchtone.toml"), toml).unwrap();
    };
    configure("sk_test_old");
    let server = shop.serve();
    assert_eq!(shop.pay(&server, TEST_CARD).await.1, "64009");
    assert_eq!(shop.pay(&server, TEST_CARD).await.2, 0);
    let (_, instance) = Client::new(&server).ask(Method::GET, "/Shop", None).await;
    assert_eq!((&instance["state"], &instance["origin"]), (&json!("needs-authorization"), &json!("configured")));
    assert!(server.log().contains("put new credentials into the configuration and restart"), "{}", server.log());
    drop(server);
    configure("sk_test_new");
    let server = shop.serve();
    assert_eq!(shop.pay(&server, TEST_CARD).await.0, "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_configured_and_stored_stops_the_start_and_configured_ones_are_read_only() {
    let shop = Shop::new().await;
    let folder = shop.path();
    run(folder, &["add", "Shop", "--kind", "sandbox"]).fine();
    std::fs::write(
        folder.join("touchtone.toml"),
        "[[connector]]\nname = \"Shop\"\nkind = \"sandbox\"\nmode = \"live\"\n",
    )
    .unwrap();
    let serve = Command::new(env!("CARGO_BIN_EXE_touchtone"))
        .current_dir(folder)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .envs([SILENT])
        .output()
        .unwrap();
    let said = String::from_utf8(serve.stderr).unwrap();
    assert_eq!(serve.status.code(), Some(2), "{said}");
    assert!(said.contains("the connector `Shop` is both configured and stored"), "{said}");
    let listed = run(folder, &["list"]);
    assert!(listed.err.contains("both configured and stored") && listed.out.contains("configured"), "{}", listed.err);
    run(folder, &["remove", "Shop", "--yes"]).fine();
    let server = shop.serve();
    for arguments in
        [&["remove", "Shop"][..], &["live", "Shop"], &["change", "Shop", "mode=live"], &["authorize", "Shop"]]
    {
        let refused = run(folder, arguments).refused();
        assert!(refused.contains("the connector `Shop` is configured"), "{refused}");
    }
    let refused = run(folder, &["add", "Shop", "--kind", "sandbox"]).refused();
    assert!(refused.contains("there is a connector `Shop` already"), "{refused}");
    let client = Client::new(&server);
    for (method, path, body) in [
        (Method::DELETE, "/Shop", None),
        (Method::PATCH, "/Shop", Some(json!({"mode": "test"}))),
        (Method::POST, "/Shop/live", None),
    ] {
        let (status, error) = client.ask(method, path, body).await;
        assert_eq!((status, &error["code"]), (403, &json!(20403)), "{error}");
    }
    assert_eq!(client.ask(Method::POST, "", Some(json!({"name": "Shop", "kind": "sandbox"}))).await.0, 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectors_come_and_go_by_rest() {
    let shop = Shop::new().await;
    let processor = processor().await;
    let server = shop.serve();
    let client = Client::new(&server);
    let (status, list) = client.ask(Method::GET, "", None).await;
    assert_eq!((status, &list["connectors"][0]["origin"]), (200, &json!("stand-in")));
    let new = json!({
        "name": "Shop", "kind": "generic", "endpoint": processor.url("/pay?key=4815162342"), "username": "me",
        "password": "4815162342", "timeout": 5,
    });
    let request = client.http.post(&client.base).basic_auth(ACCOUNT, Some(TOKEN));
    let (status, made, location) =
        client.send(request.header("content-type", "application/json").body(new.to_string())).await;
    assert_eq!((status, &*location), (201, "/v1/connectors/Shop"), "{made}");
    assert_eq!(made["settings"]["timeout"], "5");
    // At once: the server that stored it uses it.
    assert_eq!(shop.pay(&server, TEST_CARD).await.0, "success");
    assert_eq!(client.ask(Method::POST, "", Some(new)).await.0, 409);
    let (status, changed) =
        client.ask(Method::PATCH, "/Shop", Some(json!({"bearer": "4815162342", "retries": 0}))).await;
    assert_eq!((status, &changed["secrets"]), (200, &json!({"bearer": "set"})), "{changed}");
    assert_eq!(shop.pay(&server, TEST_CARD).await.0, "success");
    assert_eq!(processor.arrived().pop().unwrap().header("authorization"), "Bearer 4815162342");
    let (status, live) = client.ask(Method::POST, "/Shop/live", None).await;
    assert_eq!((status, &live["mode"]), (200, &json!("live")));
    assert_eq!(client.ask(Method::POST, "/Shop/live", Some(json!({}))).await.0, 200);
    assert_eq!(shop.pay(&server, OTHER_CARD).await.0, "success");
    let elsewhere = json!({"endpoint": "https://other.example.com/"});
    let (status, refused) = client.ask(Method::PATCH, "/Shop", Some(elsewhere)).await;
    assert!(status == 409 && refused["message"].as_str().unwrap().contains("for good"), "{refused}");
    let (_, list) = client.ask(Method::GET, "", None).await;
    assert_eq!(list["connectors"].as_array().unwrap().len(), 1);
    let all = format!("{made}{changed}{live}{refused}{list}{}", server.log());
    assert!(!all.contains("4815162342"), "{all}");
    assert_eq!(client.ask(Method::DELETE, "/Shop", None).await, (204, Value::Null));
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(client.ask(method, "/Shop", None).await.0, 404);
    }
    assert_eq!(client.ask(Method::POST, "/Shop/live", None).await.0, 404);
    assert_eq!(shop.pay(&server, TEST_CARD).await.1, "64004");
    // A name that a path has to encode.
    let odd = json!({"name": "Käse & Brot", "kind": "sandbox"});
    let request = client.http.post(&client.base).basic_auth(ACCOUNT, Some(TOKEN));
    let (_, _, location) = client.send(request.header("content-type", "application/json").body(odd.to_string())).await;
    let (status, found) = client.ask(Method::GET, location.strip_prefix("/v1/connectors").unwrap(), None).await;
    assert_eq!((status, &found["name"]), (200, &json!("Käse & Brot")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rest_cannot_read_is_refused_and_never_quoted() {
    let shop = Shop::new().await;
    let server = shop.serve();
    let client = Client::new(&server);
    let post = || client.http.post(&client.base).basic_auth(ACCOUNT, Some(TOKEN));
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(70_000));
    for (kind, body, status) in [
        ("application/json", "\"4815162342\"", 400),
        ("application/json", "{\"name\": \"Shop\", \"kind\": \"stripe\", \"secret_key\": 4815162342}", 400),
        ("application/json", "{\"name\": \"Shop\", \"kind\": \"stripe\", \"secret_key\": \"4815162342\"}", 400),
        ("application/json", "{\"name\": \"Shop\", \"kind\": \"stripe\", \"secret_key\": \"4815162342", 400),
        ("application/json", "{\"name\": \"Shop\", \"kind\": \"strpe\"}", 400),
        ("application/json", "", 400),
        ("application/json", &long, 413),
        ("application/x-www-form-urlencoded", "name=Shop&kind=sandbox", 415),
    ] {
        let (found, error, _) = client.send(post().header("content-type", kind).body(body.to_owned())).await;
        assert_eq!((found, &error["status"]), (status, &json!(status)), "{error}");
        assert!(!error.to_string().contains("4815162342"), "{error}");
    }
    let (status, _, _) = client.send(client.http.get(&client.base)).await;
    assert_eq!(status, 401);
    let (status, _, _) = client.send(client.http.get(&client.base).basic_auth(ACCOUNT, Some("wrong"))).await;
    assert_eq!(status, 401);
    assert_eq!(client.ask(Method::GET, "?Page=2", None).await.0, 400);
    assert_eq!(client.ask(Method::PUT, "/Shop", None).await.0, 405);
    assert_eq!(client.ask(Method::GET, "/Shop/other", None).await.0, 404);
    assert!(!server.log().contains("4815162342"));
}

#[test]
fn the_store_of_another_secret_key_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let key = |key| [("TOUCHTONE_SECRET_KEY", key)];
    run_with(folder.path(), &["add", "Shop", "--kind", "sandbox"], "", &key("the first key, of length")).fine();
    let refused = run_with(folder.path(), &["list"], "", &key("another key, of length")).refused();
    assert!(refused.contains("another secret_key"), "{refused}");
    run_with(folder.path(), &["show", "Shop"], "", &key("the first key, of length")).fine();
}

#[test]
fn a_command_that_is_wrong_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let empty = run(folder, &["list"]).fine().out;
    assert!(empty.contains("stand-in") && empty.contains("touchtone connectors add NAME"), "{empty}");
    let secret = "sk_test_4815162342";
    let on_the_line = format!("secret_key={secret}");
    std::fs::write(folder.join("long"), "4815162342".repeat(6554)).unwrap();
    let kinds = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    let near = format!("`strpe` is none of {kinds}; `stripe`, perhaps?");
    for (arguments, said) in [
        (&["add", "Shop", "--kind", "strpe"][..], &*near),
        (&["add", "Shop", "--kind", "generic", "endpont=https://x.example/"], "the nearest known one is `endpoint`"),
        (&["add", "Shop", "--kind", "generic"], "`endpoint` is missing"),
        (&["add", "Shop", "--kind", "stripe"], "`secret_key` is missing"),
        (
            &["add", "Shop", "--kind", "stripe", &on_the_line],
            "give secret_key=@FILE, or secret_key=@- to type or pipe it",
        ),
        (&["add", "Shop", "--kind", "stripe", secret], "KEY=VALUE, KEY=@FILE"),
        (&["add", "Shop", "--kind", "stripe", "secret_key=@-"], "nothing was piped in"),
        (&["add", "Shop", "--kind", "stripe", "secret_key=@long"], "long has more than 65536 bytes"),
        (&["add", "Shop", "--kind", "sandbox", "mode=live"], "mode is not given as a key here"),
        (&["add", "Sh/op", "--kind", "sandbox"], "needs a `name`"),
        (&["show", "Shop"], "there is no connector `Shop`"),
        (&["remove", "Defalt"], "there is no connector `Defalt`; `Default`, perhaps?"),
        (&["remove", "Default"], "there is no connector `Default`"),
        (&["test", "Nobody"], "there is no connector `Nobody`"),
    ] {
        let refused = run(folder, arguments).refused();
        assert!(refused.contains(said), "{arguments:?}: {refused}");
        assert!(!refused.contains("4815162342"), "{refused}");
    }
    let kinds = run(folder, &["kinds"]).fine().out;
    for word in ["sandbox", "generic", "stripe", "access_token", "Secret."] {
        assert!(kinds.contains(word), "{word} in {kinds}");
    }
    assert_eq!(run(folder, &["kinds", "--json"]).fine().json()[1]["name"], "generic");
    let help = run(folder, &["add", "--help"]).fine().out;
    assert!(help.contains("KEY=@FILE"), "{help}");
}

#[tokio::test]
async fn what_cannot_be_undone_is_not_done_where_nobody_can_be_asked() {
    let shop = Shop::new().await;
    let folder = shop.path();
    run(folder, &["add", "Shop", "--kind", "generic", "endpoint=https://pay.example.com/"]).fine();
    for arguments in [&["live", "Shop"][..], &["remove", "Shop"], &["live", "Shop", "--json"]] {
        // Neither silence nor a pipe that says yes is a person.
        for input in ["", "y\n"] {
            let ran = run_with(folder, arguments, input, &[]);
            let refused = ran.refused();
            assert!(refused.contains("give --yes") && refused.contains("nothing was done"), "{refused}");
        }
        assert_eq!(run(folder, &["show", "Shop", "--json"]).fine().json()["mode"], "test", "{arguments:?}");
    }
    run(folder, &["live", "Shop", "--yes"]).fine();
    // One that is live already is left as it is, so that nothing is asked.
    run(folder, &["live", "Shop"]).fine();
    run(folder, &["remove", "Shop", "--yes"]).fine();
}

#[test]
fn storing_the_first_connector_says_when_it_takes_the_default_away() {
    for (name, says) in [("Shop", true), ("Default", false)] {
        let folder = tempfile::tempdir().unwrap();
        let ran = run(folder.path(), &["add", name, "--kind", "sandbox"]).fine();
        assert_eq!(ran.err.contains("There is no Default any more"), says, "{}", ran.err);
        let second = run(folder.path(), &["add", "Another", "--kind", "sandbox"]).fine();
        assert!(!second.err.contains("no Default"), "told once: {}", second.err);
    }
}
