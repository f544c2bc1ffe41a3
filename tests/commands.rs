//! Commands as scripts and orchestrators run them: piped, half read, among files that cannot be read, in an environment that
//! others fill too.
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
use std::process::{Command, Output, Stdio};

use support::process::{Process, SILENT};
use support::{ACCOUNT, TOKEN, get, write_flows};

fn touchtone(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchtone"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a command whose stdout nobody reads.
fn unread(folder: &Path, arguments: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    touchtone(folder, arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

const MENU: &str = "<Response><Say>Hello.</Say></Response>";

#[test]
fn a_reader_that_has_read_enough_changes_nothing_but_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    write_flows(
        &folder.path().join("flows"),
        &[("menu", MENU), ("wrong", "<Response><Pay timeout=\"soon\"/></Response>")],
    );
    let scripts = folder.path().join("scripts");
    std::fs::create_dir(&scripts).unwrap();
    std::fs::write(
        scripts.join("good.yaml"),
        "flow: menu\ncall:\n  - hear: hello\nexpect:\n  ended: end of document\n",
    )
    .unwrap();
    std::fs::write(scripts.join("bad.yaml"), "flow: menu\ncall:\n  - hear: goodbye\nexpect: {}\n").unwrap();
    for (arguments, code) in [
        (&["replay", "scripts/good.yaml"][..], 0),
        (&["replay", "scripts"], 1),
        (&["replay", "--trace", "--json", "scripts"], 1),
        (&["check", "menu"], 0),
        (&["check"], 1),
        (&["dial", "menu"], 0),
        (&["fuzz", "--calls", "3", "--seed", "1"], 0),
        (&["connectors", "kinds"], 0),
        (&["connectors", "kinds", "--json"], 0),
        (&["connectors", "list"], 0),
        (&["connectors", "add", "Shop", "--kind", "sandbox"], 0),
        (&["connectors", "show", "Shop"], 0),
        (&["connectors", "test", "Shop"], 0),
        (&["connectors", "remove", "Shop", "--yes"], 0),
        (&["payments", "list"], 0),
        (&["callbacks", "list"], 0),
        (&["audit", "list"], 0),
        (&["--help"], 0),
    ] {
        let read = touchtone(folder.path(), arguments).output().unwrap();
        // What was done cannot be done twice.
        if arguments.contains(&"add") {
            touchtone(folder.path(), &["connectors", "remove", "Shop", "--yes"]).output().unwrap();
        } else if arguments.contains(&"remove") {
            touchtone(folder.path(), &["connectors", "add", "Shop", "--kind", "sandbox"]).output().unwrap();
        }
        let unread = unread(folder.path(), arguments);
        assert_eq!(read.status.code(), Some(code), "{arguments:?}: {}", text(&read.stderr));
        assert_eq!(unread.status.code(), Some(code), "{arguments:?}: {}", text(&unread.stderr));
        assert!(!text(&unread.stderr).contains("panicked"), "{arguments:?}: {}", text(&unread.stderr));
    }
}

#[test]
fn a_disk_that_is_full_is_no_reader_that_has_read_enough() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    // A system without that device cannot play a full disk.
    let Ok(full) = full else { return };
    let folder = tempfile::tempdir().unwrap();
    let output =
        touchtone(folder.path(), &["connectors", "kinds"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("stdout cannot be written"), "{}", text(&output.stderr));
}

#[test]
fn check_goes_on_after_a_file_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let flows = folder.path().join("flows");
    write_flows(
        &flows,
        &[("menu", MENU), ("wrong", "<Response><Pay timeout=\"soon\" chargeAmout=\"{{ amount }}\"/></Response>")],
    );
    std::fs::write(flows.join("broken.xml"), b"<Response>\xff</Response>").unwrap();
    let output = touchtone(folder.path(), &["check"]).output().unwrap();
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in
        ["broken.xml: error: byte 11 is not UTF-8", "timeout", "did you mean chargeAmount?", "3 documents, 3 errors"]
    {
        assert!(said.contains(words), "{words} in {said}");
    }
    let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Response><Say>Gr\xfc\xdfe</Say></Response>";
    std::fs::write(flows.join("latin.xml"), latin).unwrap();
    assert_eq!(touchtone(folder.path(), &["check", "latin", "menu"]).output().unwrap().status.code(), Some(0));
}

#[tokio::test]
async fn what_kubernetes_sets_for_a_service_of_this_name_stops_nothing_and_an_unknown_variable_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        SILENT,
        ("TOUCHTONE_SERVICE_HOST", "10.0.0.1"),
        ("TOUCHTONE_SERVICE_PORT", "8080"),
        ("TOUCHTONE_SERVICE_PORT_HTTP", "8080"),
        ("TOUCHTONE_PORT", "tcp://10.0.0.1:8080"),
        ("TOUCHTONE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("TOUCHTONE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("TOUCHTONE_FLOW", "elsewhere"),
    ];
    let server = Process::start(folder.path(), &[], &variables);
    assert_eq!(get(server.address, "/healthz").await.0, 200);
    let log = server.log();
    assert!(log.contains("TOUCHTONE_FLOW") && log.contains("names no key"), "{log}");
    assert!(!log.contains("TOUCHTONE_PORT") && !log.contains("TOUCHTONE_SERVICE"), "{log}");
}

#[tokio::test]
async fn a_token_without_its_account_says_which_sid_goes_with_it_and_a_sid_alone_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path(), &[], &[SILENT, ("TOUCHTONE_AUTH_TOKEN", TOKEN)]);
    let kept = std::fs::read_to_string(folder.path().join("data/account.toml")).unwrap();
    let sid = kept.split('"').nth(1).unwrap();
    let log = server.log();
    assert!(log.contains("auth_token is set without account_sid") && log.contains(sid), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
    touchtone::http::install_crypto_provider();
    let url = format!("http://{}/2010-04-01/Accounts/{sid}/Calls.json", server.address);
    let answer = reqwest::Client::new().get(url).basic_auth(sid, Some(TOKEN)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    drop(server);
    let alone =
        touchtone(folder.path(), &["serve", "--listen", "127.0.0.1:0"]).env("TOUCHTONE_ACCOUNT_SID", ACCOUNT).output();
    let alone = alone.unwrap();
    assert_eq!(alone.status.code(), Some(2));
    assert!(text(&alone.stderr).contains("account_sid is set without auth_token"), "{}", text(&alone.stderr));
}
