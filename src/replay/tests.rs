//! What recorded scripts can say beyond those that people write.

use super::*;

fn outcome(script: &str) -> ScriptOutcome {
    let outcome = run(&Script::parse(script).unwrap(), &Library::new("no such folder"), Requests::Some);
    assert_eq!(outcome.failures, Vec::<String>::new(), "{}", outcome.trace.join("\n"));
    outcome
}

fn times(outcome: &ScriptOutcome, what: &str) -> Vec<String> {
    let found = outcome.trace.iter().filter(|line| line.contains(what));
    found.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn the_answers_to_one_url_are_given_in_turn_and_the_last_one_again_and_again() {
    let outcome = outcome(
        "document: <Response><Redirect>https://example.com/a</Redirect></Response>
documents:
  https://example.com/a:
    - <Response><Say>One.</Say><Redirect>https://example.com/a</Redirect></Response>
    - { text: <Response><Pause length=\"1\"/><Redirect>https://example.com/b</Redirect></Response>, after: 250ms }
  https://example.com/b:
    - { text: <Response><Redirect>https://example.com/a</Redirect></Response> }
    - { fails: it answered 503, after: 1s }
expect:
  warnings: [it answered 503]
  ended: hangup
",
    );
    assert_eq!(times(&outcome, "One."), ["0.000"]);
    assert_eq!(outcome.summary.requests.len(), 5);
    assert_eq!(times(&outcome, "/b"), ["1.490", "2.740"]);
}

#[test]
fn what_is_said_lasts_as_long_as_it_is_told_and_then_as_its_words_do() {
    let outcome = outcome(
        "document: <Response><Say>A</Say><Say>B</Say><Say>C</Say></Response>\nspeech: [2.5s, 10ms]\nexpect: { ended: end of document }\n",
    );
    assert_eq!(times(&outcome, "heard"), ["2.500", "2.510", "2.570"]);
}

#[test]
fn keys_come_after_their_gaps_and_the_next_step_at_once() {
    let outcome = outcome(
        "document: <Response><Gather numDigits=\"4\"/><Hangup/></Response>
call:
  - press: { keys: \"123\", gaps: [140ms, 95ms] }
  - press: { keys: \"4\", gaps: [] }
expect: { ended: hangup }
",
    );
    assert_eq!(times(&outcome, "key"), ["0.000", "0.140", "0.235", "0.235"]);
}

const PAYING: &str = "call:
  - press: { keys: \"4242424242424242122894111123\", every: 0ms }
";

#[test]
fn a_gateway_takes_the_time_that_it_took() {
    let outcome = outcome(&format!(
        "document: <Response><Pay chargeAmount=\"1\"/></Response>
gateway:
  - {{ prepare: true, outcome: ready, after: 300ms }}
  - {{ outcome: not-sent, retry_after: 7s, after: 20ms }}
  - {{ outcome: unknown, retry_after: 6s, after: 30ms }}
  - {{ outcome: approved, after: 80ms }}
{PAYING}expect: {{ result: success, submissions: 3 }}
"
    ));
    assert_eq!(times(&outcome, "gateway   submit"), ["1.300", "8.320", "14.350"]);
    let last = outcome.summary.requests.last().map(|sent| sent.form.value("PaymentConfirmationCode").is_some());
    assert_ne!(last, Some(true), "approved without an id");
}

#[test]
fn a_star_while_a_connector_prepares_ends_the_payment_before_anything_is_sent() {
    outcome(&format!(
        "document: <Response><Pay chargeAmount=\"1\"/></Response>
gateway: [{{ prepare: true, outcome: silent }}]
{PAYING}  - wait: 2s
  - press: \"*\"
expect: {{ result: caller-interrupted-with-star, submissions: 0 }}
"
    ));
    outcome(&format!(
        "document: <Response><Pay chargeAmount=\"1\"/></Response>
gateway: [{{ prepare: true, outcome: declined, error_message: no }}]
{PAYING}expect: {{ result: payment-connector-error, submissions: 0 }}
"
    ));
}

#[test]
fn connectors_differ_by_name_in_what_they_can_and_how_patient_one_is() {
    outcome(
        "document: <Response><Pay paymentConnector=\"One\"/><Pay paymentConnector=\"Two\"/></Response>
connectors:
  Two: { missing: true }
call: [hang up]
expect: { result: caller-hung-up }
",
    );
    let outcome = outcome(&format!(
        "document: <Response><Pay paymentConnector=\"Slow\" chargeAmount=\"1\"/></Response>
connectors: {{ Slow: {{ answer_timeout: 2s, repeats: 1, overall: 20s }} }}
gateway: [{{ outcome: silent }}, {{ outcome: silent }}]
{PAYING}expect: {{ result: payment-connector-error, submissions: 2 }}
"
    ));
    assert_eq!(times(&outcome, "gateway   submit"), ["1.000", "3.000"]);
}

#[test]
fn where_http_may_not_lead_a_script_says_so() {
    for (reach, result) in
        [("never", "validation-error"), ("loopback", "validation-error"), ("always", "caller-hung-up")]
    {
        outcome(&format!(
            "document: <Response><Pay action=\"http://example.com/paid\"/></Response>\nplain_http: {reach}\ncall: [hang up]\nexpect: {{ result: {result} }}\n"
        ));
    }
}

const REDIRECTING: &str = "document: <Response><Redirect>https://example.com/a</Redirect></Response>
documents:
  https://example.com/a:
    - <Response><Redirect>https://example.com/a</Redirect></Response>
    - <Response><Redirect>https://example.com/a</Redirect></Response>
    - <Response><Hangup/></Response>
";

/// What fails in [`REDIRECTING`] with these expectations.
fn failures(expected: &str, requests: Requests) -> Vec<String> {
    let script = Script::parse(&format!("{REDIRECTING}{expected}")).unwrap();
    run(&script, &Library::new("no such folder"), requests).failures
}

#[test]
fn a_strict_replay_wants_every_request_listed_and_stated() {
    let all = "expect: { requests: [{to: redirect, times: \"3\"}] }";
    let one = "expect: { requests: [{to: redirect}] }";
    for (expected, lenient, exact) in [
        (all, 0, 0),
        (one, 0, 2),
        ("expect: { ended: hangup }", 0, 1),
        ("expect: { requests: [] }", 0, 3),
        ("expect: { requests: [{to: redirect, times: \"4\"}] }", 1, 1),
        ("expect: { requests: [{to: action}] }", 1, 4),
    ] {
        assert_eq!(failures(expected, Requests::Some).len(), lenient, "{expected}");
        assert_eq!(failures(expected, Requests::Exact).len(), exact, "{expected}");
    }
    assert_eq!(
        failures(one, Requests::Exact).first().map(String::as_str),
        Some("requests: redirect was sent as number 2 and is not listed: https://example.com/a")
    );
    assert_eq!(
        failures("expect: { ended: hangup }", Requests::Exact),
        ["requests: not stated, and 3 were sent; [] states that none is"]
    );
}

#[test]
fn how_often_an_entry_stands_for_a_request_is_a_sensible_number() {
    for times in ["0", "-1", "many", "1001", ""] {
        let expected = format!("expect: {{ requests: [{{to: redirect, times: \"{times}\"}}] }}");
        assert_eq!(
            failures(&expected, Requests::Some),
            [format!("requests, entry 1: times is a number from 1 to 1000, not \"{times}\"")]
        );
    }
}

#[test]
fn what_is_blessed_holds_under_a_strict_replay() {
    let library = Library::new("no such folder");
    for text in [REDIRECTING, "document: <Response><Hangup/></Response>\n"] {
        let blessed = blessed(text, &Script::parse(text).unwrap(), &library).unwrap();
        let again = run(&Script::parse(&blessed).unwrap(), &library, Requests::Exact);
        assert_eq!(again.failures, Vec::<String>::new(), "{blessed}");
    }
}
