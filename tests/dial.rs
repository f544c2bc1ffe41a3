//! `touchtone dial`, as people run it: the program itself, keys on its standard input.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::print_stderr, reason = "a test that cannot run says so")]
#![allow(clippy::disallowed_methods, reason = "tests have surroundings")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

#[path = "dial/live.rs"]
mod live;
#[path = "dial/stream.rs"]
mod stream;
#[path = "dial/terminal.rs"]
mod terminal;

const DONATE: &str = r#"<Response>
  <Say>Thank you for calling.</Say>
  <Pay chargeAmount="{{ amount | default("20.00") }}" statusCallback="https://example.com/status" action="thanks"/>
</Response>"#;

const THANKS: &str =
    r#"<Response><Say>{% if Result == "success" %}Thank you.{% else %}Nothing was taken.{% endif %}</Say></Response>"#;

/// A folder of flows.
fn flows(documents: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, document) in documents {
        std::fs::write(folder.path().join(format!("{name}.xml")), document).unwrap();
    }
    folder
}

fn donate() -> tempfile::TempDir {
    flows(&[("donate", DONATE), ("thanks", THANKS)])
}

/// The program, in a folder where no configuration is.
fn touchtone(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchtone"));
    command.arg("dial").current_dir(folder).env_remove("TOUCHTONE_AUTH_TOKEN").env_remove("NO_COLOR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command with `lines` on its standard input.
fn typed(mut command: Command, lines: &str) -> Output {
    let mut child = command.spawn().unwrap();
    // A program that found a fault in its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    child.wait_with_output().unwrap()
}

/// Dials a flow of `folder`.
fn dial(folder: &Path, arguments: &[&str], lines: &str) -> Output {
    let mut command = touchtone(folder);
    command.args(arguments).arg("--flows").arg(folder);
    typed(command, lines)
}

fn shown(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", shown(output));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What a call that went well showed.
fn call(folder: &Path, arguments: &[&str], lines: &str) -> String {
    let output = dial(folder, arguments, lines);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    shown(&output)
}

/// Each in its order.
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some(at) = rest.find(part) else { panic!("\"{part}\" does not come where it should in\n{text}") };
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn a_payment_is_shown_from_the_greeting_to_the_end_without_a_digit_that_was_keyed() {
    let folder = donate();
    let text = call(folder.path(), &["donate"], "4242 4242 4242 4242\n1230\n94105\n987\n");
    in_order(
        &text,
        &[
            "says      Thank you for calling.",
            "pay       payment-card-number, attempt 1",
            "callback  POST https://example.com/status",
            "For=payment-card-number  Attempt=1",
            "says      Please enter your card number.",
            "you       ••••••••••••••••\n",
            "payment-card-number captured: xxxxxxxxxxxx4242 visa",
            "PaymentCardType=visa",
            "expiration-date captured: 1230",
            "security-code captured: xxx",
            "gateway   charge 20.00 USD through Default",
            "gateway   approved",
            "finished: success",
            "action    flow thanks",
            "PaymentCardNumber=xxxx-xxxx-xxxx-4242",
            "Result=success",
            "PaymentConfirmationCode=ch_",
            "says      Thank you.",
            "ended     end of document",
        ],
    );
    for secret in ["42424242", "987"] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(!text.contains('\x1b'), "colours belong on terminals");
}

#[test]
fn a_declined_card_is_an_outcome_and_no_failure_of_the_program() {
    let folder = donate();
    let text = call(folder.path(), &["donate"], "4000000000000002\n1230\n94105\n123\n");
    in_order(
        &text,
        &["gateway   declined", "Result=payment-connector-error", "PayErrorCode=64012", "says      Nothing was taken."],
    );
    assert!(!text.contains("4000000000000002"));
}

#[test]
fn the_end_of_the_input_hangs_up_when_it_is_the_callers_turn_and_not_before() {
    let folder = donate();
    let text = call(folder.path(), &["donate"], "4242424242424242\n");
    in_order(
        &text,
        &[
            "payment-card-number captured",
            "says      Please enter the expiration date",
            "you       hang up",
            "finished: caller-hung-up",
            "Result=caller-hung-up",
            "ended     caller: you hung up",
        ],
    );
    assert!(!text.contains("silence"), "nobody waited in vain");
}

#[test]
fn a_number_without_its_pound_key_is_still_taken_at_the_end_of_the_input() {
    let folder = flows(&[("bank", r#"<Response><Pay chargeAmount="5" paymentMethod="ach-debit"/></Response>"#)]);
    let text = call(folder.path(), &["bank"], "021000021\n12345678\n");
    in_order(&text, &["silence", "bank-account-number captured: ******78", "finished: success", "Result=success"]);
    assert!(!text.contains("12345678"));
}

#[test]
fn a_card_that_could_be_longer_does_not_swallow_the_next_line() {
    let pay = r#"<Response><Pay validCardTypes="maestro" securityCode="false" postalCode="false"/></Response>"#;
    let folder = flows(&[("pay", pay)]);
    let text = call(folder.path(), &["pay"], "6771798021000008\n1230\n");
    in_order(&text, &["captured: xxxxxxxxxxxx0008 maestro", "expiration-date captured: 1230", "PaymentToken=•••"]);
    assert!(!text.contains("tok_"), "a token is a secret");
}

#[test]
fn waiting_lets_timeouts_come_and_takes_no_time() {
    let folder = donate();
    let text = call(folder.path(), &["donate"], "wait 8s\nwait 2500ms\n\nhang up\n4242\n");
    in_order(&text, &["silence", "attempt 1 failed: input-timeout", "0:10.5  you       hang up", "ended"]);
    let waits = "wait 10m\n".repeat(5);
    let text = call(folder.path(), &["donate"], &waits);
    in_order(&text, &["finished: too-many-failed-attempts", "Result=too-many-failed-attempts", "ended"]);
}

#[test]
fn an_absolute_action_is_shown_and_the_call_goes_on_with_the_next_verb() {
    let gather = r#"<Response><Gather numDigits="3" action="https://example.com/keys?secret=1"><Say>Three digits.</Say></Gather>
        <Say>Goodbye.</Say></Response>"#;
    let folder = flows(&[("gather", gather)]);
    let text = call(folder.path(), &["gather"], "753\n");
    in_order(&text, &["action    POST https://example.com/keys\n", "Digits=•••", "not sent", "says      Goodbye."]);
    assert!(!text.contains("753") && !text.contains("secret=1"));
}

#[test]
fn a_fault_in_the_document_is_a_warning_with_its_place() {
    let folder = flows(&[("odd", "<Response><Dial>123</Dial><Say>Still here.</Say></Response>")]);
    in_order(&call(folder.path(), &["odd"], ""), &["warning   1:11: <Dial>", "says      Still here."]);
}

#[test]
fn parameters_reach_the_document() {
    let folder = donate();
    let lines = "4242424242424242 1230 94105 123\n";
    in_order(&call(folder.path(), &["donate", "--param", "amount=7.50"], lines), &["charge 7.50 USD"]);
    let wrong = dial(folder.path(), &["donate", "--param", "amount"], "");
    assert!(complaint(&wrong).contains("NAME=VALUE"));
}

#[test]
fn a_path_to_a_file_is_a_flow_too() {
    let folder = donate();
    let mut command = touchtone(folder.path());
    command.arg("donate.xml");
    let output = typed(command, "");
    assert!(shown(&output).contains("says      Thank you for calling."), "{}", complaint(&output));
}

#[test]
fn what_cannot_be_dialled_is_said_with_what_can_be_done() {
    let folder = flows(&[("donate", DONATE), ("greet", "<Response><Say>{{ name }}</Say></Response>")]);
    let unknown = complaint(&dial(folder.path(), &["donat"], ""));
    assert!(unknown.contains("no flow named donat") && unknown.contains("donate, greet"), "{unknown}");
    let missing = complaint(&dial(folder.path(), &["greet"], ""));
    assert!(missing.contains("--param name=..."), "{missing}");
    let useless = complaint(&dial(folder.path(), &["donate", "--data", "elsewhere"], ""));
    assert!(useless.contains("--live"), "{useless}");
}

#[test]
fn a_slip_in_a_line_is_told_before_the_call_and_never_quoted() {
    let folder = donate();
    let output = dial(folder.path(), &["donate"], "wait 1s\n4242 4242 4242 424Z\n");
    assert!(shown(&output).is_empty());
    let said = complaint(&output);
    assert!(said.contains("line 2") && said.contains("wait 3s") && said.contains("hang up"), "{said}");
    assert!(!said.contains("424"), "{said}");
}
