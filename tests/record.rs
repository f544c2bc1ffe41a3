//! Live calls over a real socket, recorded: every recording replays, and none shows a digit that was keyed.
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

use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Value, json};
use support::{BREATH, Caller, Somebody, TIME_LIMIT, TestServer, wait};
use touchtone::library::Library;
use touchtone::pay::step::PayResult;
use touchtone::replay::{self, Requests, ScriptOutcome};
use touchtone::secret::Digits;

const SILENT: &str = "[speech]\nengine = \"none\"";

/// With a sandbox that takes every number: the one that stands in takes published ones only.
const EVERY_NUMBER: &str = "[speech]\nengine = \"none\"\n[[connector]]\nname = \"Default\"\nkind = \"sandbox\"";

/// A number of that beginning with a right check digit, off every published list.
fn card(beginning: &str) -> String {
    (0..10).map(|check| format!("{beginning}{check}")).find(|number| Digits::of(number).luhn()).unwrap()
}

/// The caller pauses after a slip. The server is in this process: its time goes on with the test's.
async fn breath() {
    tokio::time::pause();
    tokio::time::advance(BREATH).await;
    tokio::time::resume();
}

/// The recordings of a server, once there are so many.
async fn recordings(server: &TestServer, count: usize) -> Vec<PathBuf> {
    let folder = server.folder.path().join("recordings");
    wait::found("the calls are recorded", TIME_LIMIT, async || {
        let found = replay::find(std::slice::from_ref(&folder)).unwrap();
        (found.len() >= count).then_some(found)
    })
    .await
}

/// Replays a recording and checks that it passes and shows none of `numbers` and none of `codes` standing alone.
fn check(server: &TestServer, file: &Path, numbers: &[&str], codes: &[&str]) -> (String, ScriptOutcome) {
    let text = std::fs::read_to_string(file).unwrap();
    let library = Library::new(server.folder.path().join("flows"));
    let report = touchtone::blocking::allowed(|| replay::replay(file, &library, Requests::Exact));
    assert!(report.passed(), "{:?}\n{text}", report.outcome);
    assert!(!text.starts_with("# This does not"), "{text}");
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.')).collect();
    for number in numbers {
        for window in number.as_bytes().windows(7.min(number.len())) {
            let part = std::str::from_utf8(window).unwrap();
            assert!(!text.contains(part) && !digits.contains(part), "{part} of {number} is in\n{text}");
        }
    }
    for code in codes {
        assert!(!Regex::new(&format!(r"\b{code}\b")).unwrap().is_match(&text), "{code} is in\n{text}");
    }
    (text, report.outcome.unwrap())
}

fn pay(somebody: &Somebody, attributes: &str, prompts: &str) -> String {
    format!(
        "<Response><Pay action=\"{}\" statusCallback=\"{}\" {attributes}>{prompts}</Pay></Response>",
        somebody.url("/paid"),
        somebody.url("/status")
    )
}

#[tokio::test]
async fn a_payment_is_recorded_with_another_card_of_the_same_kind() {
    let application = Somebody::application("<Response><Say>Thank you.</Say></Response>").await;
    let server =
        TestServer::start_recording(&[("pay", &pay(&application, "chargeAmount=\"20.45\"", ""))], EVERY_NUMBER).await;
    let number = card("37144963539843");
    server
        .call_with("pay", "CAfirst", &[("From", "+15551230000")])
        .await
        .pay(&[&number, "1129", "94117", "8371"])
        .await;
    let files = recordings(&server, 1).await;
    assert!(files[0].file_name().unwrap().to_str().unwrap().ends_with("-CAfirst.yaml"));
    let (text, outcome) = check(&server, &files[0], &[&number], &["8371", "94117", "1129"]);
    assert_eq!(outcome.summary.result, Some(PayResult::Success));
    assert_eq!(outcome.summary.card.as_deref(), Some("amex"));
    assert_eq!(outcome.summary.submissions, 1);
    assert!(text.contains("\"From\": \"+15551230000\""), "{text}");
    assert!(text.contains("PaymentCardNumber: xxxx-xxxxxx-x"), "{text}");
    assert!(text.contains("# Thank you."), "prompts are comments\n{text}");
    let left: Vec<_> = std::fs::read_dir(server.folder.path().join("recordings")).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing else is left there");
}

#[tokio::test]
async fn wrong_entries_type_ahead_and_second_entries_take_the_same_way() {
    let application = Somebody::application("<Response/>").await;
    let again =
        "<Prompt for=\"payment-card-number security-code\" requireMatchingInputs=\"true\"><Say>Again.</Say></Prompt>";
    let document = pay(&application, "chargeAmount=\"5\" maxAttempts=\"3\" timeout=\"2\"", again);
    let server = TestServer::start_recording(&[("pay", &document)], EVERY_NUMBER).await;
    let (number, other) = (card("492942057359570"), card("516293840275914"));
    let wrong = format!("{}{}", &number[..15], if number.ends_with('0') { '1' } else { '0' });
    let mut caller = server.call("pay").await;
    caller.hear().await;
    caller.press(&format!("{wrong}#")).await;
    caller.hear().await;
    breath().await;
    // Right, then different the second time.
    caller.press(&number).await;
    caller.hear().await;
    caller.press(&format!("{other}#")).await;
    caller.hear().await;
    breath().await;
    // Twice the same, and the date and postal code in one go.
    caller.press(&format!("{number}{number}1129 94117#")).await;
    caller.hear().await;
    // A code that is too short, then silence until the timer, then both entries.
    caller.press("8").await;
    caller.hear().await;
    breath().await;
    caller.press("837").await;
    caller.hear().await;
    caller.press("837").await;
    caller.hear_out().await;
    assert_eq!(application.result().await.field("Result"), "success");
    let files = recordings(&server, 1).await;
    let (_, outcome) = check(&server, &files[0], &[&number, &wrong, &other], &["837", "94117", "1129"]);
    assert_eq!(outcome.summary.result, Some(PayResult::Success));
    assert_eq!(outcome.summary.card.as_deref(), Some("visa"));
    let failed = outcome.summary.requests.iter().filter(|sent| sent.form.value("ErrorType").is_some()).count();
    assert!(failed >= 3, "every wrong entry is wrong again: {failed}");
}

#[tokio::test]
async fn numbers_that_were_never_finished_are_replaced_too() {
    let application = Somebody::application("<Response/>").await;
    let server = TestServer::start_recording(&[("pay", &pay(&application, "", ""))], EVERY_NUMBER).await;
    let number = card("453295710836402");
    let mut star = server.call_with("pay", "CAstar", &[]).await;
    star.hear().await;
    star.press(&format!("{}*", &number[..11])).await;
    star.hear_out().await;
    let mut gone = server.call_with("pay", "CAgone", &[]).await;
    gone.hear().await;
    gone.press(&number[..13]).await;
    gone.hang_up().await;
    let mut coded = server.call_with("pay", "CAcode", &[]).await;
    for keys in [number.as_str(), "1129", "94117"] {
        coded.hear().await;
        coded.press(keys).await;
    }
    coded.hear().await;
    coded.press("83").await;
    drop(coded);
    let results: Vec<_> = recordings(&server, 3)
        .await
        .iter()
        .map(|file| check(&server, file, &[&number, "112994117"], &["94117", "1129"]).1.summary.result)
        .collect();
    assert_eq!(results.iter().filter(|result| **result == Some(PayResult::CallerHungUp)).count(), 2);
    assert_eq!(results.iter().filter(|result| **result == Some(PayResult::CallerInterruptedWithStar)).count(), 1);
}

#[tokio::test]
async fn what_a_gather_and_the_application_repeat_is_replaced_everywhere() {
    // An application as careless as they come: it repeats all it is told.
    let application = Somebody::start(|arrived| {
        let digits = arrived.field("Digits");
        let answer = match arrived.path.as_str() {
            "/status" => String::new(),
            "/menu" => format!(
                "<Response><Gather numDigits=\"9\" action=\"/known?choice={digits}\"><Say>Your number.</Say></Gather></Response>"
            ),
            path if path.starts_with("/known") => format!(
                "<Response><Say>You are {digits}.</Say><Pay chargeAmount=\"5\" postalCode=\"false\" action=\"/paid?customer={digits}\" description=\"{digits}\"/></Response>"
            ),
            _ => format!(
                "<Response><Say>Paid with {} for {digits}.</Say></Response>",
                arrived.field("PaymentCardNumber")
            ),
        };
        (200, answer)
    })
    .await;
    let flow = format!(
        "<Response><Gather numDigits=\"1\" action=\"{}\"><Say>Press 1.</Say></Gather></Response>",
        application.url("/menu")
    );
    let server = TestServer::start_recording(&[("menu", &flow)], EVERY_NUMBER).await;
    let number = card("527461930582740");
    server.call("menu").await.pay(&["1", "730295841", "", &number, "1129", "837"]).await;
    let files = recordings(&server, 1).await;
    let (text, outcome) = check(&server, &files[0], &[&number, "730295841"], &["837", "1129", &number[12..]]);
    assert_eq!(outcome.summary.result, Some(PayResult::Success));
    assert!(text.contains("choice=1"), "a menu's choice stays\n{text}");
    assert!(text.contains("customer="), "{text}");
}

/// A payment processor that declines and quotes what it was sent.
async fn processor() -> Somebody {
    Somebody::start(|arrived| {
        let body: Value = serde_json::from_str(&arrived.body).unwrap();
        let seen = body["cardnumber"].as_str().or(body["bankaccountnumber"].as_str()).unwrap_or_default().to_owned();
        let answer = if seen.starts_with('5') {
            json!({"charge_id": null, "error_code": "refused", "error_message": format!("number {seen}, code {}", body["cvv"].as_str().unwrap_or_default()), "parameters": {"seen": seen}})
        } else {
            json!({"charge_id": "ch_0815", "token_id": "t_secret_9d1f", "error_code": null, "parameters": {"seen": seen}})
        };
        (200, answer.to_string())
    })
    .await
}

#[tokio::test]
async fn a_decline_and_a_bank_payment_through_a_gateway_of_one_s_own() {
    let processor = processor().await;
    let application = Somebody::application("<Response><Say>We are sorry.</Say><Hangup/></Response>").await;
    let toml = format!(
        "{SILENT}\n[[connector]]\nname = \"Default\"\nkind = \"generic\"\nmode = \"live\"\nendpoint = \"{}\"\nbearer = \"gateway-secret\"\n",
        processor.url("/pay")
    );
    let flows = [
        ("card", pay(&application, "chargeAmount=\"3\" confirmation=\"true\"", "")),
        ("bank", pay(&application, "paymentMethod=\"ach-debit\" chargeAmount=\"3\"", "")),
        ("token", pay(&application, "", "")),
    ];
    let flows: Vec<(&str, &str)> = flows.iter().map(|(name, document)| (*name, document.as_str())).collect();
    let server = TestServer::start_recording(&flows, &toml).await;
    let (declined, number) = (card("516293840275914"), card("448539620174935"));
    server.call_with("card", "CAcard", &[]).await.pay(&[&declined, "1129", "94117", "837", "1"]).await;
    server.call_with("bank", "CAbank", &[]).await.pay(&["021000021", "7302958416#"]).await;
    server.call_with("token", "CAtoken", &[]).await.pay(&[&number, "1129", "94117", "837"]).await;
    let mut results = Vec::new();
    for file in recordings(&server, 3).await {
        let numbers = [declined.as_str(), &number, "7302958416", "021000021"];
        let (text, outcome) = check(&server, &file, &numbers, &["837", "94117", "1129"]);
        assert!(!text.contains("secret"), "{text}");
        results.push((outcome.summary.result.unwrap(), text));
    }
    results.sort_by_key(|(result, _)| result.word());
    let [(failed, declined), (paid, one), (kept, other)] = &results[..] else { panic!("{results:?}") };
    assert_eq!(*failed, PayResult::PaymentConnectorError);
    assert!(declined.contains("error_code: \"refused\"") && declined.contains("We are sorry."), "{declined}");
    assert_eq!((*paid, *kept), (PayResult::Success, PayResult::Success));
    assert!([one, other].iter().any(|text| text.contains("charge_id: \"ch_0815\"")), "charge ids stay\n{one}\n{other}");
}

#[tokio::test]
async fn without_a_folder_nothing_is_recorded_and_one_that_cannot_be_is_a_start_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_touchtone"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("data"))
        .arg("--record")
        .arg(folder.path().join("file/recordings"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--record") && said.contains("recordings"), "{said}");
    let server = TestServer::start(&[("bye", "<Response><Hangup/></Response>")], SILENT).await;
    let mut caller: Caller = server.call("bye").await;
    caller.hear_out().await;
    assert!(!server.folder.path().join("recordings").exists());
}

#[tokio::test]
async fn a_call_that_began_at_a_url_is_recorded_with_every_answer_of_the_application() {
    let application = Somebody::start(|arrived| {
        let answer = match (arrived.path.as_str(), arrived.field("Result").as_str()) {
            ("/ivr/start", "") => "<Response><Pay chargeAmount=\"2\"/></Response>",
            // The same URL again, as that is a Pay's default action.
            ("/ivr/start", "success") => "<Response><Say>Thank you.</Say><Redirect>end</Redirect></Response>",
            _ => return (503, String::new()),
        };
        (200, answer.to_owned())
    })
    .await;
    let toml = format!("flow_urls = [\"{}\"]\n{EVERY_NUMBER}", application.url("/ivr/"));
    let server = TestServer::start_recording(&[], &toml).await;
    let start = application.url("/ivr/start");
    let mut caller = Caller::dial_path(server.address, "/media/twilio", "CAurl", &[("url", &start)]).await;
    let number = card("448539620174935");
    caller.pay(&[&number, "1129", "94117", "837"]).await;
    let files = recordings(&server, 1).await;
    let (text, outcome) = check(&server, &files[0], &[&number], &["837", "94117", "1129"]);
    assert!(text.contains(&format!("url: \"{start}\"")) && text.contains("fails: "), "{text}");
    assert_eq!(outcome.summary.result, Some(PayResult::Success));
    assert_eq!(outcome.summary.ended.map(|ended| ended.word()), Some("hangup"), "the caller is apologized to");
}
