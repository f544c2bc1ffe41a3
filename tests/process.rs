//! The real binary as an operator meets it: its first start, its logs, its end; and that nothing a caller keys is left behind.
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

mod support;

use std::io::Read;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use support::process::{Process, SILENT, files};
use support::{BREATH, Caller, Somebody, TIME_LIMIT, get, wait, write_flows};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn the_first_start_needs_nothing_and_shows_the_token_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path(), &[], &[SILENT]);
    assert_eq!(get(first.address, "/healthz").await.0, 200);
    assert_eq!(get(first.address, "/readyz").await.0, 200);
    let greeting = first.greeting.join("\n");
    let token = greeting.split("AuthToken  ").nth(1).expect("the token is shown").lines().next().unwrap().to_owned();
    assert!(greeting.contains("AccountSid AC"));
    assert!(first.log().contains("no money moves"), "{}", first.log());
    drop(first);
    let second = Process::start(folder.path(), &[], &[SILENT]);
    assert!(second.greeting.is_empty(), "{:?}", second.greeting);
    let kept = std::fs::read_to_string(folder.path().join("data/account.toml")).unwrap();
    assert!(kept.contains(&token));
}

/// Asks until the answer is as wanted.
async fn until(address: SocketAddr, path: &str, wanted: impl Fn(&(u16, String)) -> bool) {
    wait::until(&format!("{path} says so"), TIME_LIMIT, async || wanted(&get(address, path).await)).await;
}

#[tokio::test]
async fn a_term_signal_lets_the_running_call_finish_and_takes_no_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let document = "<Response><Gather numDigits=\"1\" timeout=\"60\"/><Say>Bye.</Say></Response>";
    write_flows(&folder.path().join("flows"), &[("menu", document)]);
    let mut process = Process::start(folder.path(), &[], &[SILENT]);
    let mut caller = Caller::dial(process.address, "menu", "CA1", &[]).await;
    until(process.address, "/metrics", |(_, text)| text.contains("touchtone_calls_live 1")).await;
    process.terminate();
    until(process.address, "/readyz", |(status, _)| *status == 503).await;
    let url = format!("ws://{}/media/twilio/menu", process.address);
    assert!(tokio_tungstenite::connect_async(url).await.is_err(), "no new call");
    caller.press("1").await;
    caller.hear_out().await;
    let code = tokio::task::spawn_blocking(move || process.wait()).await.unwrap();
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_call_that_outlasts_the_drain_is_ended_as_a_hang_up_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let application = Somebody::application("<Response/>").await;
    let document = format!("<Response><Pay timeout=\"600\" action=\"{}\"/></Response>", application.url("/paid"));
    write_flows(&folder.path().join("flows"), &[("pay", &document)]);
    let mut process = Process::start(folder.path(), &["--drain", "0"], &[SILENT]);
    let mut caller = Caller::dial(process.address, "pay", "CA1", &[]).await;
    caller.hear().await;
    process.terminate();
    assert_eq!(application.result().await.field("Result"), "caller-hung-up");
    let code = tokio::task::spawn_blocking(move || process.wait()).await.unwrap();
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_stream_that_is_ended_in_mid_call_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let document = "<Response><Gather numDigits=\"1\" timeout=\"60\"/></Response>";
    write_flows(&folder.path().join("flows"), &[("menu", document)]);
    let process = Process::start(folder.path(), &[], &[SILENT]);
    let mut caller = Caller::dial(process.address, "menu", "CA1", &[]).await;
    for _ in 0..101 {
        caller.send_raw(Message::text(r#"{"ping":1}"#)).await;
    }
    assert_eq!(caller.close_reason().await.map(|(code, _)| code), Some(1008));
    let (_, metrics) = get(process.address, "/metrics").await;
    assert!(metrics.contains("touchtone_streams_refused_total{why=\"protocol\"} 1\n"), "{metrics}");
}

#[test]
fn wrong_configuration_ends_with_2_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("touchtone.toml"), "lissten = \"127.0.0.1:0\"\n").unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_touchtone")).current_dir(folder.path()).arg("serve").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("unknown key lissten; the nearest known one is listen"), "{said}");
    let output = Command::new(env!("CARGO_BIN_EXE_touchtone")).args(["serve", "--listen", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn faulty_flows_are_warned_of_and_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let flows = [
        ("broken", "<Response><Say>"),
        ("wrong", "<Response><Pay timeout=\"soon\"/></Response>"),
        ("lost", "<Response><Pay paymentConnector=\"Nobody\"/></Response>"),
    ];
    write_flows(&folder.path().join("flows"), &flows);
    let process = Process::start(folder.path(), &[], &[SILENT]);
    let log = process.log();
    for said in [
        "broken.xml",
        "wrong.xml",
        "timeout=\"soon\"",
        "flow names a connector that there is not",
        "connector=\"Nobody\"",
    ] {
        assert!(log.contains(said), "{said} in {log}");
    }
}

/// Card numbers off every list, with a right check digit and no ascending runs.
fn cards() -> Vec<String> {
    ["492942057359570", "516293840275914", "453295710836402", "527461930582740", "448539620174935"]
        .iter()
        .map(|body| {
            (0..10)
                .map(|check| format!("{body}{check}"))
                .find(|number| touchtone::secret::Digits::of(number).luhn())
                .unwrap()
        })
        .collect()
}

#[tokio::test]
async fn nothing_that_a_caller_keys_is_left_in_logs_files_or_callbacks() {
    let folder = tempfile::tempdir().unwrap();
    let application = Somebody::application("<Response/>").await;
    let processor = Somebody::start(|arrived| {
        let body: Value = serde_json::from_str(&arrived.body).unwrap();
        // A processor as careless as they come: it quotes everything back.
        let echo = body["cardnumber"].as_str().or(body["bankaccountnumber"].as_str()).unwrap_or_default().to_owned();
        let answer = if arrived.body.contains("51629384") {
            json!({"charge_id": null, "error_code": "refused", "error_message": format!("number {echo}, code {}", body["cvv"]), "parameters": {"seen": echo}})
        } else {
            json!({"charge_id": "ch_1", "token_id": "t_1", "error_code": null, "parameters": {"seen": echo, "code": body["cvv"]}})
        };
        (200, answer.to_string())
    })
    .await;
    let requests = format!("action=\"{}\" statusCallback=\"{}\"", application.url("/paid"), application.url("/status"));
    let flows = [
        ("card", format!("<Response><Pay chargeAmount=\"3\" confirmation=\"true\" {requests}/></Response>")),
        ("bank", format!("<Response><Pay paymentMethod=\"ach-debit\" {requests}/></Response>")),
    ];
    let flows: Vec<(&str, &str)> = flows.iter().map(|(name, document)| (*name, document.as_str())).collect();
    write_flows(&folder.path().join("flows"), &flows);
    let toml = format!(
        "error_url = \"{}\"\n[[connector]]\nname = \"Default\"\nkind = \"generic\"\nmode = \"live\"\nendpoint = \"{}\"\nbearer = \"gateway-secret-9d1f\"\n",
        application.url("/errors"),
        processor.url("/pay")
    );
    std::fs::write(folder.path().join("touchtone.toml"), toml).unwrap();
    let mut outputs = String::new();
    for format in ["text", "json"] {
        let options = ["--log", format, "--record", "data/recordings"];
        let mut process = Process::start(folder.path(), &options, &[SILENT, ("RUST_LOG", "trace")]);
        for (number, card) in cards().iter().enumerate() {
            let call_sid = format!("CA{format}{number}");
            let mut caller = Caller::dial(process.address, "card", &call_sid, &[]).await;
            // One wrong entry each, of the same digits; then a breath, as what follows at once goes with the wrong one.
            caller.hear().await;
            caller.press(&format!("{}#", &card[..14])).await;
            caller.hear().await;
            wait::real_time_passes(BREATH, "the server goes by its own clock when it tells bursts apart").await;
            caller.press(card).await;
            caller.pay(&["1228", "94111", "837", "1"]).await;
            application.wait_for(|arrived| arrived.path == "/paid" && arrived.field("CallSid") == call_sid).await;
        }
        let mut caller = Caller::dial(process.address, "bank", &format!("CA{format}bank"), &[]).await;
        caller.pay(&["110000000", "7302958416#"]).await;
        application
            .wait_for(|arrived| arrived.path == "/paid" && arrived.field("CallSid") == format!("CA{format}bank"))
            .await;
        // Cut in mid-number.
        let mut caller = Caller::dial(process.address, "card", &format!("CA{format}cut"), &[]).await;
        caller.hear().await;
        caller.press(&cards()[0][..12]).await;
        caller.send_raw(Message::text("{\"event\":\"dtmf\",\"dtmf\":{\"digit\":\"837\"}}")).await;
        application
            .wait_for(|arrived| arrived.path == "/paid" && arrived.field("CallSid") == format!("CA{format}cut"))
            .await;
        let metrics = get(process.address, "/metrics").await.1;
        process.terminate();
        let log = process.log.clone();
        let code = tokio::task::spawn_blocking(move || process.wait()).await.unwrap();
        assert_eq!(code, Some(0));
        let log = std::fs::read_to_string(log).unwrap();
        assert!(
            log.contains("call began") && log.contains("TRACE") || log.contains("DEBUG") || format == "json",
            "the log is at its finest"
        );
        outputs.push_str(&log);
        outputs.push_str(&metrics);
    }
    let callbacks = application.arrived();
    assert!(callbacks.len() > 100, "{}", callbacks.len());
    assert!(callbacks.iter().any(|arrived| arrived.field("Result") == "success"));
    assert!(callbacks.iter().any(|arrived| arrived.field("Result") == "payment-connector-error"));
    for callback in &callbacks {
        outputs.push_str(&callback.body);
        for (name, value) in callback.fields() {
            assert_ne!(value, "837", "{name} of {}", callback.path);
            outputs.push_str(&value);
            outputs.push('\n');
        }
    }
    for file in files(&folder.path().join("data")) {
        let mut bytes = Vec::new();
        std::fs::File::open(&file).unwrap().read_to_end(&mut bytes).unwrap();
        outputs.push_str(&String::from_utf8_lossy(&bytes));
    }
    assert_eq!(files(&folder.path().join("data/recordings")).len(), 2 * (cards().len() + 2), "each call is recorded");
    // The search finds what is there.
    assert!(format!("{outputs}{}", cards()[0]).contains(&cards()[0]));
    for secret in cards().iter().map(String::as_str).chain(["7302958416", "gateway-secret-9d1f"]) {
        assert!(!outputs.contains(secret), "{secret} was left behind");
        // Nor a good part of it.
        let part = &secret[..9];
        assert!(!outputs.contains(part), "{part} of {secret} was left behind");
    }
    for line in outputs.lines() {
        for field in ["\"837\"", "=837 ", ": 837,"] {
            assert!(!line.contains(field), "{line}");
        }
    }
}
