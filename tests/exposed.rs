//! What a server that can be reached from elsewhere must not do, with the real binary: approve real cards without a gateway,
//! take streams that nobody signed, send callbacks in the clear.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use support::process::{Process, SILENT};
use support::{ACCOUNT, Arrived, Caller, Somebody, TOKEN, write_flows};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use touchtone::secret::Secret;

/// Valid, and on no list of test numbers.
const REAL_CARD: &str = "4929420573595709";
/// On the list of the generic contract.
const TEST_CARD: &str = "4111111111111111";

/// What makes a server public, and lets these tests call it and be called back all the same.
const PUBLIC: [(&str, &str); 3] = [
    ("TOUCHTONE_PUBLIC_URL", "https://pay.example.com"),
    ("TOUCHTONE_MEDIA__REQUIRE_SIGNATURE", "false"),
    ("TOUCHTONE_ALLOW_HTTP_CALLBACKS", "true"),
];

/// A folder whose flow `pay` charges through `Default`, and the application that is told.
struct Shop {
    folder: tempfile::TempDir,
    application: Somebody,
    calls: AtomicU32,
}

impl Shop {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let application = Somebody::application("<Response/>").await;
        let (paid, next) = (application.url("/paid"), application.url("/next"));
        let pay = format!("<Response><Pay chargeAmount=\"3\" action=\"{paid}\"/></Response>");
        let token = format!(
            "<Response><Pay paymentToken=\"{{{{ token }}}}\" chargeAmount=\"20\" action=\"{paid}\"/></Response>"
        );
        let elsewhere = format!("<Response><Redirect>{next}</Redirect></Response>");
        write_flows(&folder.path().join("flows"), &[("pay", &pay), ("token", &token), ("elsewhere", &elsewhere)]);
        Self { folder, application, calls: AtomicU32::new(0) }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn serve(&self, environment: &[(&str, &str)]) -> Process {
        Process::start(self.path(), &[], &[&[SILENT][..], &account(), environment].concat())
    }

    /// Starts a server that does not come up; what it says.
    fn refused_start(&self, environment: &[(&str, &str)]) -> String {
        let output = self.command(&["serve", "--listen", "127.0.0.1:0"], environment);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_touchtone"));
        command.current_dir(self.path()).args(arguments).env_remove("RUST_LOG");
        command.envs([SILENT]).envs(account()).envs(environment.iter().copied()).output().unwrap()
    }

    fn configure(&self, connector: &str) {
        std::fs::write(self.path().join("touchtone.toml"), connector).unwrap();
    }

    /// Pays with a token made earlier: as [`Self::pay`].
    async fn pay_by_token(&self, server: &Process, token: &str) -> (String, String) {
        let call_sid = format!("CA{}", self.calls.fetch_add(1, Ordering::Relaxed));
        Caller::dial(server.address, "token", &call_sid, &[("token", token)]).await.hear_out().await;
        let told = |arrived: &Arrived| arrived.path == "/paid" && arrived.field("CallSid") == call_sid;
        let told = self.application.wait_for(told).await;
        (told.field("Result"), told.field("PayErrorCode"))
    }

    /// Pays with a card: the result and the code that the application is told.
    async fn pay(&self, server: &Process, card: &str) -> (String, String) {
        let call_sid = format!("CA{}", self.calls.fetch_add(1, Ordering::Relaxed));
        let mut caller = Caller::dial(server.address, "pay", &call_sid, &[]).await;
        for keys in [card, "1228", "94111", "123"] {
            if !caller.hear().await {
                break;
            }
            caller.press(keys).await;
        }
        caller.hear_out().await;
        let told = |arrived: &Arrived| arrived.path == "/paid" && arrived.field("CallSid") == call_sid;
        let told = self.application.wait_for(told).await;
        (told.field("Result"), told.field("PayErrorCode"))
    }
}

fn account() -> [(&'static str, &'static str); 2] {
    [("TOUCHTONE_ACCOUNT_SID", ACCOUNT), ("TOUCHTONE_AUTH_TOKEN", TOKEN)]
}

/// Nothing was taken, and with which code.
fn refused(code: &str) -> (String, String) {
    ("payment-connector-error".to_owned(), code.to_owned())
}

fn taken() -> (String, String) {
    ("success".to_owned(), String::new())
}

async fn rest(server: &Process, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    touchtone::http::install_crypto_provider();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = http.request(method, format!("http://{}{path}", server.address)).basic_auth(ACCOUNT, Some(TOKEN));
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// A processor of the generic contract that takes every payment.
async fn processor() -> Somebody {
    Somebody::start(|_| (200, json!({"charge_id": "ch_1", "error_code": null}).to_string())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_last_connector_is_removed_nothing_is_taken_also_after_a_restart() {
    let processor = processor().await;
    for environment in [&PUBLIC[..], &[]] {
        let shop = Shop::new().await;
        let server = shop.serve(environment);
        let default = json!({"name": "Default", "kind": "generic", "mode": "live", "endpoint": processor.url("/pay")});
        assert_eq!(rest(&server, Method::POST, "/v1/connectors", Some(default)).await.0, 201);
        assert_eq!(shop.pay(&server, REAL_CARD).await, taken());
        assert_eq!(rest(&server, Method::DELETE, "/v1/connectors/Default", None).await.0, 204);
        for card in [REAL_CARD, TEST_CARD] {
            assert_eq!(shop.pay(&server, card).await, refused("64004"));
        }
        assert!(server.log().contains("no connector is left"), "{}", server.log());
        drop(server);
        let server = shop.serve(environment);
        assert_eq!(shop.pay(&server, REAL_CARD).await, refused("64004"));
        assert!(!server.log().contains("no money moves"), "{}", server.log());
        // The store remembers, whoever looks.
        let list = shop.command(&["connectors", "list"], environment);
        let list = String::from_utf8(list.stdout).unwrap();
        assert!(!list.contains("stand-in") && list.contains("64004"), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_that_was_configured_once_leaves_no_sandbox_behind() {
    let shop = Shop::new().await;
    shop.configure("[[connector]]\nname = \"Shop\"\nkind = \"sandbox\"\n");
    assert_eq!(shop.pay(&shop.serve(&[]), TEST_CARD).await, refused("64004"));
    shop.configure("");
    assert_eq!(shop.pay(&shop.serve(&[]), TEST_CARD).await, refused("64004"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_that_stands_in_takes_published_test_numbers_only() {
    let shop = Shop::new().await;
    let server = shop.serve(&[]);
    assert!(server.log().contains("no money moves"), "{}", server.log());
    assert_eq!(shop.pay(&server, REAL_CARD).await, refused("64022"));
    // Of the generic contract, of Stripe, and one of the sandbox's own.
    for card in [TEST_CARD, "4242424242424242", "4000000760000002"] {
        assert_eq!(shop.pay(&server, card).await, taken(), "{card}");
    }
    assert_eq!(shop.pay(&server, "4000000000000002").await, refused("64012"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_public_server_no_sandbox_stands_in() {
    let shop = Shop::new().await;
    let server = shop.serve(&PUBLIC);
    assert_eq!(shop.pay(&server, TEST_CARD).await, refused("64004"));
    assert!(server.log().contains("there is no connector"), "{}", server.log());
    // A private address is somebody else's network, where real callers are.
    for elsewhere in ["http://10.1.2.3:8080", "http://192.168.1.1", "http://0.0.0.0:8080", "https://phones.localhost"] {
        let shop = Shop::new().await;
        let environment = [("TOUCHTONE_PUBLIC_URL", elsewhere), PUBLIC[1], PUBLIC[2]];
        assert_eq!(shop.pay(&shop.serve(&environment), TEST_CARD).await, refused("64004"), "{elsewhere}");
    }
    for here in ["http://localhost:8080", "http://127.0.0.2", "http://[::1]:8080"] {
        let shop = Shop::new().await;
        assert_eq!(shop.pay(&shop.serve(&[("TOUCHTONE_PUBLIC_URL", here)]), TEST_CARD).await, taken(), "{here}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_on_a_public_server_takes_test_numbers_and_cannot_be_live() {
    let shop = Shop::new().await;
    let server = shop.serve(&PUBLIC);
    let sandbox = |mode| json!({"name": "Default", "kind": "sandbox", "mode": mode});
    let (status, error) = rest(&server, Method::POST, "/v1/connectors", Some(sandbox("live"))).await;
    assert!(status == 409 && error["message"].as_str().unwrap().contains("public_url"), "{error}");
    let (status, made) = rest(&server, Method::POST, "/v1/connectors", Some(sandbox("test"))).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(shop.pay(&server, REAL_CARD).await, refused("64022"));
    assert_eq!(shop.pay(&server, "4242424242424242").await, taken());
    for token in ["pm_1MtwBwLkdIwHu7ix28a3tqPa", "tok_1MtwBwLkdIwHu7ix0snN0B15"] {
        assert_eq!(shop.pay_by_token(&server, token).await, refused("64022"), "{token}");
    }
    assert_eq!(shop.pay_by_token(&server, "tok_0123456789abcdef0123456789abcdef").await, taken());
    let (status, error) = rest(&server, Method::POST, "/v1/connectors/Default/live", None).await;
    assert!(status == 409 && error["message"].as_str().unwrap().contains("public_url"), "{error}");
    for arguments in [
        &["connectors", "live", "Default", "--yes"][..],
        &["connectors", "add", "Other", "--kind", "sandbox", "--mode", "live"],
    ] {
        let output = shop.command(arguments, &PUBLIC);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains("public_url"), "{said}");
    }
    assert_eq!(shop.pay(&server, REAL_CARD).await, refused("64022"));
    // Taken live by somebody who knows of no public address: this server does not go along.
    assert!(shop.command(&["connectors", "live", "Default", "--yes"], &[]).status.success());
    // Until it has seen so.
    while shop.pay(&server, TEST_CARD).await != refused("64004") {}
    let (_, shown) = rest(&server, Method::GET, "/v1/connectors/Default", None).await;
    assert_eq!((&shown["state"], &shown["mode"]), (&json!("refused"), &json!("live")), "{shown}");
    drop(server);
    let said = shop.refused_start(&PUBLIC);
    assert!(said.contains("`Default`") && said.contains("connectors remove Default"), "{said}");
}

#[test]
fn a_live_sandbox_in_the_configuration_of_a_public_server_is_a_start_error() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let shop = runtime.block_on(Shop::new());
    shop.configure("[[connector]]\nname = \"Shop\"\nkind = \"sandbox\"\nmode = \"live\"\n");
    let said = shop.refused_start(&PUBLIC);
    assert!(said.contains("`Shop`") && said.contains("public_url"), "{said}");
    // Elsewhere it is what it always was.
    shop.configure("[[connector]]\nname = \"Default\"\nkind = \"sandbox\"\nmode = \"live\"\n");
    runtime.block_on(async { assert_eq!(shop.pay(&shop.serve(&[]), REAL_CARD).await, taken()) });
}

async fn upgrade(server: &Process, signed: Option<&str>) -> u16 {
    let mut request = format!("ws://{}/media/twilio/pay", server.address).into_client_request().unwrap();
    if let Some(url) = signed {
        let signature = touchtone::signature::sign(&Secret::new(TOKEN.to_owned()), url, None);
        request.headers_mut().insert("X-Twilio-Signature", signature.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok(_) => 101,
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_on_the_same_machine_streams_must_be_signed() {
    let shop = Shop::new().await;
    for elsewhere in ["https://pay.example.com", "https://10.1.2.3", "http://phones.localhost"] {
        let server = shop.serve(&[("TOUCHTONE_PUBLIC_URL", elsewhere)]);
        assert_eq!(upgrade(&server, None).await, 403, "{elsewhere}");
        let url = format!("{}/media/twilio/pay", elsewhere.replace("http", "ws"));
        assert_eq!(upgrade(&server, Some(&url)).await, 101, "{elsewhere}");
    }
    for here in ["http://localhost:8080", "https://127.0.0.1", "http://[::1]:8080"] {
        assert_eq!(upgrade(&shop.serve(&[("TOUCHTONE_PUBLIC_URL", here)]), None).await, 101, "{here}");
    }
    assert_eq!(upgrade(&shop.serve(&[]), None).await, 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_on_the_same_machine_callbacks_go_by_https_and_not_to_this_machine() {
    let shop = Shop::new().await;
    let server = shop.serve(&[PUBLIC[0], PUBLIC[1]]);
    Caller::dial(server.address, "elsewhere", "CA1", &[]).await.hear_out().await;
    assert!(shop.application.arrived().is_empty(), "{:?}", shop.application.arrived());
    assert!(server.log().contains("allow_http_callbacks"), "{}", server.log());
    drop(server);
    let server = shop.serve(&[]);
    Caller::dial(server.address, "elsewhere", "CA2", &[]).await.hear_out().await;
    assert_eq!(shop.application.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_unsigned_streams_for_real_money_says_so_when_it_starts() {
    let shop = Shop::new().await;
    let words = "streams are taken unsigned while real money moves";
    shop.configure("[[connector]]\nname = \"Shop\"\nkind = \"generic\"\nendpoint = \"https://pay.example.com/\"\n");
    assert!(!shop.serve(&PUBLIC).log().contains(words));
    shop.configure(
        "[[connector]]\nname = \"Shop\"\nkind = \"generic\"\nendpoint = \"https://pay.example.com/\"\nmode = \"live\"\n",
    );
    for environment in [&PUBLIC[..], &[]] {
        let log = shop.serve(environment).log();
        assert!(log.contains(words) && log.contains("Shop"), "{log}");
    }
    assert!(!shop.serve(&PUBLIC[..1]).log().contains(words));
}
