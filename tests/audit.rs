//! The audit trail with the real binary: what commands and the REST API did to connectors, who, and from where; and what
//! follows from it for names that were live.
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

use reqwest::Method;
use serde_json::{Value, json};
use support::process::{Process, SILENT, files};
use support::{ACCOUNT, TOKEN};

/// Runs a command in a folder: its exit code, and what it said.
fn run(folder: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchtone"));
    command.current_dir(folder).args(arguments).env("USER", "ada").env_remove("SUDO_USER").env_remove("SSH_CLIENT");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that reads nothing may be over before this is written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

fn fine(folder: &Path, arguments: &[&str]) -> String {
    let (code, said) = run(folder, arguments, "");
    assert_eq!(code, Some(0), "{said}");
    said
}

fn trail(folder: &Path) -> Vec<Value> {
    serde_json::from_str(&fine(folder, &["audit", "list", "--json"])).unwrap()
}

fn serve(folder: &Path) -> Process {
    let variables = [
        SILENT,
        ("TOUCHTONE_ACCOUNT_SID", ACCOUNT),
        ("TOUCHTONE_AUTH_TOKEN", TOKEN),
        ("TOUCHTONE_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    Process::start(folder, &[], &variables)
}

async fn rest(server: &Process, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    touchtone::http::install_crypto_provider();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v1/connectors{path}", server.address);
    let mut request = http.request(method, url).basic_auth(ACCOUNT, Some(TOKEN));
    request = request.header("x-forwarded-for", "8.8.8.8, 203.1.112.7");
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_told_with_who_made_it_from_where_and_what_was_before() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = serve(folder);
    assert!(fine(folder, &["audit", "list"]).contains("nothing was done yet"));
    let add = ["connectors", "add", "Shop", "--kind", "generic", "endpoint=https://pay.example.com/?key=4815162342"];
    fine(folder, &add);
    let (code, said) = run(folder, &["connectors", "authorize", "Shop", "bearer=@-"], "bearer-4815162342\n");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(rest(&server, Method::PATCH, "/Shop", Some(json!({"retries": 1}))).await.0, 200);
    assert_eq!(rest(&server, Method::POST, "/Shop/live", None).await.0, 200);
    assert_eq!(rest(&server, Method::DELETE, "/Shop", None).await.0, 204);
    // Nothing was changed by these.
    assert_eq!(rest(&server, Method::DELETE, "/Shop", None).await.0, 404);
    assert_eq!(run(folder, &["connectors", "live", "Shop", "--yes"], "").0, Some(2));
    let rows = trail(folder);
    let of = |key: &str| rows.iter().map(|row| row[key].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let what = ["remove", "live", "change", "authorize", "add"].map(|what| format!("connector.{what}"));
    assert_eq!(of("what"), what, "the newest first");
    assert_eq!(of("target"), ["connector Shop"; 5]);
    let user = of("who").pop().unwrap();
    assert!(user.starts_with("user ") && user.ends_with("(ada)"), "{user}");
    assert_eq!(
        of("who")[..3],
        [format!("account {ACCOUNT}"), format!("account {ACCOUNT}"), format!("account {ACCOUNT}")]
    );
    assert_eq!(of("from")[..3], ["203.1.112.7"; 3], "the last address that is no proxy of ours");
    assert!(!of("from")[4].is_empty());
    assert_eq!((&rows[0]["was"]["mode"], &rows[0]["is"]), (&json!("live"), &Value::Null));
    assert_eq!((&rows[1]["was"]["mode"], &rows[1]["is"]["mode"]), (&json!("test"), &json!("live")));
    assert_eq!(rows[2]["is"]["settings"]["retries"], "1");
    assert_eq!((&rows[3]["was"]["secrets"], &rows[3]["is"]["secrets"]), (&json!([]), &json!(["bearer"])));
    let table = fine(folder, &["audit", "list", "--limit", "1"]);
    assert!(table.contains("connector.remove") && table.contains("live generic https://pay.example.com/"), "{table}");
    assert!(table.contains("there are more than these 1"), "{table}");
    let other = fine(folder, &["audit", "list", "--connector", "Other"]);
    assert!(other.contains("nothing was done yet"), "{other}");
    // Neither what is shown nor what is stored holds a secret.
    let mut all = format!("{rows:?}{table}{}", server.log());
    for file in files(&folder.join("data")) {
        all.push_str(&String::from_utf8_lossy(&std::fs::read(file).unwrap()));
    }
    assert!(!all.contains("4815162342"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_was_live_leads_nowhere_else_unless_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = serve(folder);
    let add = |endpoint| ["connectors", "add", "Shop", "--kind", "generic", endpoint];
    fine(folder, &[&add("endpoint=https://pay.example.com/")[..], &["--mode", "live"]].concat());
    fine(folder, &["connectors", "remove", "Shop", "--yes"]);
    let (code, said) = run(folder, &add("endpoint=https://evil.example.com/"), "");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("was live as generic with https://pay.example.com/") && said.contains("--replace"), "{said}");
    let evil = || Some(json!({"name": "Shop", "kind": "generic", "endpoint": "https://evil.example.com/"}));
    let (status, error) = rest(&server, Method::POST, "", evil()).await;
    assert!(status == 409 && error["message"].as_str().unwrap().contains("?replace=true"), "{error}");
    assert_eq!(rest(&server, Method::POST, "?replace=perhaps", evil()).await.0, 400);
    assert_eq!(rest(&server, Method::POST, "?replace=true", evil()).await.0, 201);
    assert_eq!(rest(&server, Method::DELETE, "/Shop", None).await.0, 204);
    // It was not live there: the name still stands for where it was.
    fine(folder, &add("endpoint=https://pay.example.com/"));
    fine(folder, &["connectors", "remove", "Shop", "--yes"]);
    fine(folder, &[&add("endpoint=https://evil.example.com/")[..], &["--replace"]].concat());
    let replaced = trail(folder).remove(0);
    assert_eq!(replaced["what"], "connector.replace");
    assert_eq!(
        (&replaced["was"]["address"], &replaced["was"]["mode"]),
        (&json!("https://pay.example.com/"), &json!("live"))
    );
    assert_eq!(replaced["is"]["address"], "https://evil.example.com/");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_reads_as_another_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    for name in
        ["Sh\u{200b}op", "\u{202e}pohS", "Shop\u{2060}", "Sh\u{ad}op", "Shop\u{a0}Two", "Shop\u{7}", "\u{feff}Shop"]
    {
        let (status, error) = rest(&server, Method::POST, "", Some(json!({"name": name, "kind": "sandbox"}))).await;
        assert!(status == 400 && error["message"].as_str().unwrap().contains("cannot be seen"), "{name:?}: {error}");
        let (code, said) = run(folder.path(), &["connectors", "add", name, "--kind", "sandbox"], "");
        assert!(code == Some(2) && said.contains("cannot be seen"), "{name:?}: {said}");
    }
    for name in ["Shop Two", "Käse & Brot", "支払い"] {
        let (status, made) = rest(&server, Method::POST, "", Some(json!({"name": name, "kind": "sandbox"}))).await;
        assert_eq!(status, 201, "{made}");
    }
}
