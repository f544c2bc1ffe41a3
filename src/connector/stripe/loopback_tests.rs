use std::sync::Mutex;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::connector::generic::samples::{account, card, charge, tokenize};
use crate::connector::{self, ConnectorConfig, word};
use crate::exposure::Exposure;
use crate::http::test_server::{SeenRequest, TestServer, with_header};
use crate::pay::recovery::{self, Recovery, Remembered, SentTimes};
use crate::pay::submission::{Ask, Question, Reply, Submission, SubmissionStep, Verdict};
use crate::pay::test_numbers::AcceptedNumbers;
use crate::time::CallTime;

pub(super) const SID: &str = "PK0123456789abcdef0123456789abcdef";

pub(super) fn connector(base_url: &str, keys: &[(&str, &str)]) -> Arc<dyn Connector> {
    let mut config = serde_json::json!({ "name": "Shop", "kind": "stripe", "base_url": base_url });
    for (key, value) in keys {
        config[*key] = (*value).into();
    }
    if !keys.iter().any(|(key, _)| matches!(*key, "secret_key" | "access_token")) {
        config["secret_key"] = "sk_test_s3cret".into();
    }
    let config: ConnectorConfig = serde_json::from_value(config).unwrap();
    config.build(&Arc::new(Gateway::new().unwrap()), Exposure::LOOPBACK)
}

fn reusable() -> PaymentRequest {
    PaymentRequest { operation: Operation::Tokenize(TokenType::Reusable), ..with_holder(tokenize()) }
}

fn with_holder(mut payment_request: PaymentRequest) -> PaymentRequest {
    payment_request.parameters.push(("AVSName".into(), "Ada".into()));
    payment_request
}

pub(super) fn json(status: u16, body: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), body.to_owned()).into_response()
}

/// A Stripe where everything goes well.
pub(super) fn fine(seen: &SeenRequest, _: usize) -> Response {
    let path = seen.target.trim_start_matches("/stripe").split('?').next().unwrap();
    json(
        200,
        match path {
            "/v1/payment_methods" => r#"{"id":"pm_1","created":1700000000,"customer":null,"livemode":false}"#,
            "/v1/payment_methods/pm_1" => r#"{"id":"pm_1","created":1700000000}"#,
            "/v1/payment_methods/pm_saved" => r#"{"id":"pm_saved","created":1,"customer":"cus_9","livemode":false}"#,
            "/v1/payment_methods/card_saved" => r#"{"id":"card_saved","customer":"cus_8"}"#,
            "/v1/payment_intents" => {
                r#"{"id":"pi_1","status":"succeeded","latest_charge":{"id":"ch_1"},"livemode":false}"#
            }
            "/v1/tokens" if seen.text().contains("bank_account") => r#"{"id":"btok_1","created":1700000000}"#,
            "/v1/tokens" => r#"{"id":"tok_1","created":1700000000,"livemode":false}"#,
            "/v1/customers" if seen.text().contains("btok_") => r#"{"id":"cus_1","default_source":"ba_1"}"#,
            "/v1/customers" => r#"{"id":"cus_1","default_source":"card_1"}"#,
            _ => r#"{"id":"pi_1","status":"canceled"}"#,
        },
    )
}

/// Prepares and submits, as the machine does.
async fn both(connector: &dyn Connector, payment_request: &PaymentRequest, instrument: Instrument) -> Answer {
    let (payment_request, instrument) = (Arc::new(payment_request.clone()), Arc::new(instrument));
    let note = match connector.prepare(Arc::clone(&payment_request), Arc::clone(&instrument)).await {
        Preparation::Note(note) => Some(note),
        Preparation::Nothing => None,
        Preparation::Answered(answer) => return answer,
    };
    connector::submit(connector, payment_request, Some(instrument), note).await
}

fn approved(answer: Answer) -> (Option<String>, Option<String>, Option<String>) {
    match answer {
        Answer::Approved(approval) => (
            approval.confirmation_code,
            approval.token.map(|token| token.expose().to_owned()),
            approval.profile_id.map(|id| id.expose().to_owned()),
        ),
        other => panic!("{other:?}"),
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn a_charge_is_two_posts_of_which_only_the_first_holds_a_card() {
    let server = TestServer::start(fine).await;
    let connector = connector(&server.url("/stripe"), &[("account", "acct_7")]);
    let answer = both(&*connector, &charge(), card(Some("123"), Some("94111"))).await;
    assert_eq!(approved(answer), (some("ch_1"), None, None));
    let [first, second] = &server.seen()[..] else { panic!("two requests") };
    for (seen, path, key) in [
        (first, "/stripe/v1/payment_methods", format!("{SID}-pm")),
        (second, "/stripe/v1/payment_intents", format!("{SID}-pi")),
    ] {
        assert_eq!((seen.method.as_str(), &*seen.target), ("POST", path));
        assert_eq!(seen.header("idempotency-key"), Some(&*key));
        assert_eq!(seen.header("authorization"), Some("Bearer sk_test_s3cret"));
        assert_eq!(seen.header("stripe-account"), Some("acct_7"));
        assert_eq!(seen.header("stripe-version"), Some("2022-11-15"));
        assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
    }
    assert!(first.text().contains("4111111111111111"));
    assert!(second.text().contains("payment_method=pm_1") && !second.text().contains("4111111111111111"));
}

#[tokio::test]
async fn a_repeat_is_the_same_request_and_needs_no_card() {
    let server = TestServer::start(fine).await;
    let connector = connector(&server.url(""), &[("access_token", "oauth_1")]);
    let (payment_request, instrument) = (Arc::new(charge()), Arc::new(card(None, None)));
    let mut notes = Vec::new();
    for _ in 0..2 {
        match connector.prepare(Arc::clone(&payment_request), Arc::clone(&instrument)).await {
            Preparation::Note(note) => notes.push(note),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(notes[0], notes[1]);
    assert_eq!(notes[0].0, "pm_1 since=1700000000");
    for instrument in [Some(instrument), None] {
        let answer = connector.submit(Arc::clone(&payment_request), instrument, Some(notes[0].clone())).await;
        assert_eq!(approved(answer).0, some("ch_1"));
    }
    let seen = server.seen();
    assert_eq!((&seen[0].body, &seen[2].body), (&seen[1].body, &seen[3].body));
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer oauth_1")));
    assert_eq!(seen[2].header("idempotency-key"), seen[3].header("idempotency-key"));
}

#[tokio::test]
async fn each_token_type_is_made_by_its_own_calls() {
    let server = TestServer::start(fine).await;
    let newer = connector(&server.url(""), &[]);
    let older = connector(&server.url(""), &[("reusable_token", "card")]);
    let one_time = || with_holder(tokenize());
    let payment_method = || PaymentRequest { operation: Operation::Tokenize(TokenType::PaymentMethod), ..one_time() };
    type Case<'a> = (&'a Arc<dyn Connector>, PaymentRequest, Instrument, &'a str, Option<&'a str>, &'a [&'a str]);
    let cases: [Case<'_>; 7] = [
        (&newer, one_time(), card(None, None), "tok_1", None, &["/v1/tokens"]),
        (&newer, payment_method(), card(None, None), "pm_1", None, &["/v1/payment_methods"]),
        (&newer, reusable(), card(None, None), "pm_1", Some("cus_1"), &["/v1/payment_methods", "/v1/customers"]),
        (&older, reusable(), card(None, None), "card_1", Some("cus_1"), &["/v1/tokens", "/v1/customers"]),
        (&newer, one_time(), account(), "btok_1", None, &["/v1/tokens"]),
        (&newer, payment_method(), account(), "pm_1", None, &["/v1/payment_methods"]),
        (&newer, reusable(), account(), "ba_1", Some("cus_1"), &["/v1/tokens", "/v1/customers"]),
    ];
    for (connector, payment_request, instrument, token, profile, paths) in cases {
        let before = server.seen().len();
        let answer = both(&**connector, &payment_request, instrument).await;
        assert_eq!(approved(answer), (None, some(token), profile.map(str::to_owned)), "{paths:?}");
        let seen = server.seen();
        let called: Vec<&str> = seen[before..].iter().map(|seen| seen.target.as_str()).collect();
        assert_eq!(called, paths);
        assert!(seen[before..].iter().all(|seen| seen.header("idempotency-key").is_some()));
    }
}

#[tokio::test]
async fn a_token_made_earlier_is_charged_with_its_customer() {
    let server = TestServer::start(fine).await;
    let connector = connector(&server.url(""), &[]);
    let token = |text: &str| Instrument::Token(Secret::new(text.to_owned()));
    for (made, calls, fields) in [
        ("pm_saved", "GET /v1/payment_methods/pm_saved", &["payment_method=pm_saved&", "customer=cus_9&"][..]),
        ("card_saved", "GET /v1/payment_methods/card_saved", &["payment_method=card_saved&", "customer=cus_8&"]),
        ("tok_1", "POST /v1/payment_methods", &["payment_method=pm_1&"]),
    ] {
        let before = server.seen().len();
        assert_eq!(approved(both(&*connector, &charge(), token(made)).await).0, some("ch_1"));
        let [first, second] = &server.seen()[before..] else { panic!("two requests") };
        assert_eq!(format!("{} {}", first.method, first.target), calls);
        for field in fields {
            assert!(second.text().contains(field), "{}", second.text());
        }
        assert_eq!(second.text().contains("customer="), fields.len() > 1);
    }
    let before = server.seen().len();
    for odd in ["cus_1", "ba_1", "pm_../../x", "4111111111111111", ""] {
        let answer = both(&*connector, &charge(), token(odd)).await;
        assert!(matches!(answer, Answer::Refused(PayErrorCode::InvalidParameter, _)), "{odd}: {answer:?}");
    }
    assert_eq!(server.seen().len(), before, "nothing was sent");
}

#[tokio::test]
async fn what_stripe_cannot_do_is_refused_before_anything_is_sent() {
    let server = TestServer::start(fine).await;
    let connector = connector(&server.url(""), &[]);
    let money = |text: &str, code: &str| {
        let currency = code.parse().unwrap();
        PaymentRequest { operation: Operation::Charge(Amount::parse(text, currency).unwrap(), currency), ..charge() }
    };
    let token = || Instrument::Token(Secret::new("pm_1".to_owned()));
    for (payment_request, instrument, code) in [
        (charge(), account(), PayErrorCode::MethodUnsupported),
        (tokenize(), account(), PayErrorCode::AvsNameNeeded),
        (PaymentRequest { parameters: Vec::new(), ..reusable() }, account(), PayErrorCode::AvsNameNeeded),
        (tokenize(), token(), PayErrorCode::TokenizeUnsupported),
        (reusable(), token(), PayErrorCode::TokenizeUnsupported),
        (money("10", "ISK"), card(None, None), PayErrorCode::CurrencyUnsupported),
        (money("10", "UGX"), card(None, None), PayErrorCode::CurrencyUnsupported),
        (money("1.234", "KWD"), card(None, None), PayErrorCode::InvalidChargeAmount),
    ] {
        match both(&*connector, &payment_request, instrument).await {
            Answer::Refused(found, _) => assert_eq!(found, code),
            other => panic!("{code:?}: {other:?}"),
        }
    }
    let unprepared = connector.submit(Arc::new(charge()), Some(Arc::new(card(None, None))), None).await;
    assert!(matches!(unprepared, Answer::NotSent { .. }));
    let after_restart = connector.submit(Arc::new(tokenize()), None, None).await;
    assert!(matches!(after_restart, Answer::Unknown { .. }));
    assert!(server.seen().is_empty());
    let can = connector.capabilities();
    assert!(!can.charge_bank && can.charge_card && can.charge_token && can.bank_needs_holder_name);
    assert_eq!(can.accepted_numbers, AcceptedNumbers::PublishedTest);
    assert!(can.idempotency == Idempotency::FirstResult && can.looks_up);
    assert_eq!((can.answer_timeout.as_secs(), can.repeats, can.overall.as_secs()), (35, 5, 60));
}

#[tokio::test]
async fn a_card_whose_issuer_wants_to_see_the_payer_is_cancelled_and_declined() {
    for (cancelled, word) in [
        (json as fn(u16, &str) -> Response, "declined"),
        (|_, _| json(500, "<html>"), "declined"),
        (|_, _| json(400, r#"{"error":{"payment_intent":{"id":"pi_1","status":"succeeded"}}}"#), "unknown"),
    ] {
        let server = TestServer::start(move |seen, number| match seen.target.as_str() {
            "/v1/payment_intents" => json(200, r#"{"id":"pi_1","status":"requires_action"}"#),
            "/v1/payment_intents/pi_1/cancel" => cancelled(200, r#"{"id":"pi_1","status":"canceled"}"#),
            _ => fine(seen, number),
        })
        .await;
        let answer = both(&*connector(&server.url(""), &[]), &charge(), card(None, None)).await;
        assert_eq!(connector::word(&answer), word, "{answer:?}");
        if let Answer::Declined(denial) = answer {
            assert_eq!(denial.code.as_deref(), Some("authentication_required"));
        }
        let cancel = server.seen().pop().unwrap();
        assert_eq!(cancel.target, "/v1/payment_intents/pi_1/cancel");
        assert_eq!(cancel.header("idempotency-key"), Some(&*format!("{SID}-cancel")));
    }
}

#[tokio::test]
async fn telephone_orders_are_marked_only_where_it_is_set() {
    for (moto, marked) in [("true", true), ("false", false)] {
        let server = TestServer::start(fine).await;
        both(&*connector(&server.url(""), &[("moto", moto)]), &charge(), card(None, None)).await;
        assert_eq!(server.seen()[1].text().contains("moto%5D=true"), marked);
    }
}

#[tokio::test]
async fn each_kind_of_reply_is_its_answer_at_both_calls() {
    for (status, body, prepared, submitted) in [
        (402, r#"{"error":{"code":"incorrect_number","message":"No."}}"#, "declined", "declined"),
        (401, "", "refused", "refused"),
        (403, r#"{"error":{"message":"x"}}"#, "refused", "refused"),
        (409, r#"{"error":{"code":"idempotency_key_in_use"}}"#, "unknown", "unknown"),
        (500, "", "unknown", "unknown"),
        (200, "<html>", "unknown", "unknown"),
        (308, "", "unknown", "unknown"),
    ] {
        for (path, word) in [("/v1/payment_methods", prepared), ("/v1/payment_intents", submitted)] {
            let server = TestServer::start(
                move |seen, number| {
                    if seen.target == path { json(status, body) } else { fine(seen, number) }
                },
            )
            .await;
            let answer = both(&*connector(&server.url(""), &[]), &charge(), card(None, None)).await;
            assert_eq!(connector::word(&answer), word, "{status} at {path}: {answer:?}");
        }
    }
    let busy = TestServer::start(|_, _| with_header(429, "retry-after", "2", "")).await;
    let answer = both(&*connector(&busy.url(""), &[]), &charge(), card(None, None)).await;
    assert!(matches!(answer, Answer::NotSent { retry_after: Some(wait), .. } if wait.as_secs() == 2));
    let nobody = format!("http://{}", TestServer::nobody().await);
    let answer = both(&*connector(&nobody, &[]), &charge(), card(None, None)).await;
    assert!(matches!(answer, Answer::NotSent { retry_after: None, .. }));
    let raw =
        TestServer::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"id\":\"pi_1\",\"status\":\"succeeded\"")
            .await;
    let note = Some(RecoveryNote("pm_1 since=1".to_owned()));
    let connector = connector(&format!("http://{raw}"), &[]);
    let answer = connector.submit(Arc::new(charge()), None, note).await;
    assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
}

#[tokio::test]
async fn a_repeat_is_believed_only_where_its_answer_is_that_of_the_first_request() {
    for (status, body, settles) in [
        (200, r#"{"id":"pi_1","status":"succeeded"}"#, true),
        (200, r#"{"id":"pi_1","status":"requires_payment_method"}"#, true),
        (402, r#"{"error":{"type":"card_error","code":"card_declined","decline_code":"do_not_honor"}}"#, true),
        // Judged before the key is looked up, or not kept under it.
        (401, r#"{"error":{"type":"invalid_request_error"}}"#, false),
        (403, r#"{"error":{"type":"invalid_request_error"}}"#, false),
        (400, r#"{"error":{"type":"invalid_request_error","code":"parameter_unknown"}}"#, false),
        (404, r#"{"error":{"type":"invalid_request_error","code":"resource_missing"}}"#, false),
        (
            400,
            r#"{"error":{"type":"idempotency_error","message":"Keys for idempotent requests can only be used with the same parameters they were first used with."}}"#,
            false,
        ),
        (409, r#"{"error":{"type":"idempotency_error","code":"idempotency_key_in_use"}}"#, false),
        (429, r#"{"error":{"code":"lock_timeout"}}"#, false),
        (500, r#"{"error":{"type":"api_error"}}"#, false),
    ] {
        let server = TestServer::answering(status, body).await;
        let connector = connector(&server.url(""), &[]);
        let answer = connector.submit(Arc::new(charge()), None, note()).await;
        assert_eq!(connector.capabilities().idempotency.settles(&answer), settles, "{status} {body}: {answer:?}");
    }
}

pub(super) fn note() -> Option<RecoveryNote> {
    Some(RecoveryNote("pm_1 since=1700000000".to_owned()))
}

pub(super) fn payment(id: &str, sid: &str, status: &str) -> String {
    format!(r#"{{"id":"{id}","status":"{status}","latest_charge":"ch_of_{id}","metadata":{{"pay_sid":"{sid}"}}}}"#)
}

pub(super) fn page(items: &[String], more: bool) -> String {
    format!(r#"{{"object":"list","has_more":{more},"data":[{}]}}"#, items.join(","))
}

#[tokio::test]
async fn a_look_up_turns_the_pages_since_the_preparation() {
    let server = TestServer::start(|seen, _| {
        let other = |id: &str| payment(id, "PKother", "succeeded");
        let body = match seen.target.as_str() {
            "/v1/payment_intents?created%5Bgte%5D=1699999940&limit=100&created%5Blte%5D=1700000540" => {
                page(&[other("pi_4"), other("pi_3")], true)
            }
            "/v1/payment_intents?created%5Bgte%5D=1699999940&limit=100&created%5Blte%5D=1700000540&starting_after=pi_3" => {
                page(&[payment("pi_2", SID, "succeeded")], false)
            }
            _ => panic!("{}", seen.target),
        };
        json(200, &body)
    })
    .await;
    let connector = connector(&server.url(""), &[]);
    match connector::resolve(&*connector, Arc::new(charge()), note()).await {
        Resolution::Answer(answer) => assert_eq!(approved(answer).0, some("ch_of_pi_2")),
        other => panic!("{other:?}"),
    }
    assert!(server.seen().iter().all(|seen| seen.method == Method::GET && seen.header("idempotency-key").is_none()));
}

#[tokio::test]
async fn a_look_up_says_what_it_found_and_nothing_more() {
    let ours = |status: &str| payment("pi_1", SID, status);
    for (status, body, word) in [
        (200, page(&[], false), "not found"),
        (200, page(&[payment("pi_9", "PKother", "succeeded")], false), "not found"),
        (200, page(&[ours("succeeded")], false), "approved"),
        (200, page(&[ours("requires_payment_method")], false), "declined"),
        (200, page(&[ours("requires_action")], false), "declined"),
        (200, page(&[ours("processing")], false), "unknown"),
        (200, page(&[ours("canceled"), payment("pi_0", SID, "succeeded")], false), "approved"),
        (200, page(&[payment("pi_9", "PKother", "succeeded")], true), "cannot tell"),
        (200, "<html>".to_owned(), "unknown"),
        (500, String::new(), "unknown"),
        (401, String::new(), "unknown"),
        (403, r#"{"error":{"message":"x"}}"#.to_owned(), "unknown"),
        (429, String::new(), "not_sent"),
    ] {
        let shown = body.clone();
        let server = TestServer::start(move |seen, number| {
            if seen.target.starts_with("/v1/payment_intents?") { json(status, &body) } else { fine(seen, number) }
        })
        .await;
        let connector = connector(&server.url(""), &[]);
        let found = match connector.resolve(Arc::new(charge()), note()).await {
            Resolution::Answer(answer) => connector::word(&answer),
            Resolution::NotFound => "not found",
            Resolution::CannotTell => "cannot tell",
        };
        assert_eq!(found, word, "{status} {shown}");
        assert!(server.seen().iter().all(|seen| seen.method == Method::GET || seen.target.ends_with("/cancel")));
    }
}

#[tokio::test]
async fn only_what_left_a_note_can_be_looked_up() {
    let server = TestServer::start(|seen, _| {
        assert!(seen.target.starts_with("/v1/customers?"), "{}", seen.target);
        json(200, &page(&[format!(r#"{{"id":"cus_1","metadata":{{"pay_sid":"{SID}"}}}}"#)], false))
    })
    .await;
    let connector = connector(&server.url(""), &[]);
    for (payment_request, note) in [(charge(), None), (tokenize(), None), (charge(), Some(RecoveryNote("odd".into())))]
    {
        assert!(matches!(connector.resolve(Arc::new(payment_request), note).await, Resolution::CannotTell));
    }
    match connector.resolve(Arc::new(reusable()), note()).await {
        Resolution::Answer(answer) => assert_eq!(approved(answer), (None, some("pm_1"), some("cus_1"))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn not_found_is_not_believed_before_stripe_has_had_its_own_time_however_short_ours_is() {
    for timeout in ["2", "60"] {
        let can = connector("https://api.stripe.com", &[("timeout", timeout), ("retries", "0")]).capabilities();
        let (mut submission, prepare) = Submission::start(CallTime::ZERO, can.clone());
        let prepared = Reply::Prepared(Preparation::Nothing);
        let mut step = submission.handle_reply(CallTime::ZERO, prepare.number, prepared);
        let mut now = CallTime::ZERO;
        let ended = loop {
            step = match step {
                SubmissionStep::Ask(Question { number, what: Ask::Resolve(_) }) => {
                    submission.handle_reply(now, number, Reply::Resolved(Resolution::NotFound))
                }
                SubmissionStep::Ask(_) | SubmissionStep::Wait => {
                    now = submission.poll_timeout().unwrap();
                    submission.handle_timeout(now)
                }
                SubmissionStep::Over(verdict) => break verdict,
            };
        };
        // It charges in the eighth second; what is told in the 27th must not be that nothing was taken.
        assert!(matches!(ended, Verdict::Unknown), "{timeout}: {ended:?} at {now:?}");
        let sent = SentTimes { first: Duration::from_secs(30), last: Duration::from_secs(30) };
        let mut recovery = Recovery::start(Some(can), Remembered { sent: Some(sent), note: None, told_unknown: false });
        let recovery::RecoveryStep::Ask(question) = recovery.handle_timeout(CallTime::ZERO) else {
            panic!("it can be looked up")
        };
        let not_found = Reply::Resolved(Resolution::NotFound);
        let step = recovery.handle_reply(CallTime::ZERO, question.number, not_found);
        assert!(matches!(step, recovery::RecoveryStep::Wait), "{timeout}: {step:?}");
    }
}

#[tokio::test]
async fn a_payment_of_the_other_mode_is_no_success() {
    for (mode, key, live, found) in [
        ("live", "sk_live_s3cret", "false", Some("refused")),
        // Real money may have moved.
        ("test", "sk_test_s3cret", "true", Some("unknown")),
        ("live", "sk_live_s3cret", "true", None),
    ] {
        let payment = format!(
            r#"{{"id":"pi_1","status":"succeeded","latest_charge":"ch_1","livemode":{live},"metadata":{{"pay_sid":"{SID}"}}}}"#
        );
        let server = TestServer::start(move |seen, number| {
            let path = seen.target.split('?').next().unwrap();
            match (seen.method.as_str(), path) {
                ("POST", "/v1/payment_methods") => json(200, r#"{"id":"pm_1","created":1700000000}"#),
                ("POST", "/v1/payment_intents") => json(200, &payment),
                ("GET", "/v1/payment_intents") => json(200, &page(std::slice::from_ref(&payment), false)),
                _ => fine(seen, number),
            }
        })
        .await;
        let connector = connector(&server.url(""), &[("mode", mode), ("secret_key", key)]);
        let submitted = both(&*connector, &charge(), card(None, None)).await;
        let Resolution::Answer(found_again) = connector.resolve(Arc::new(charge()), note()).await else { panic!() };
        for answer in [submitted, found_again] {
            assert_eq!(word(&answer), found.unwrap_or("approved"), "{mode} {live}: {answer:?}");
        }
    }
    // A customer moves no money.
    let server = TestServer::start(|seen, number| match seen.target.as_str() {
        "/v1/payment_methods" => json(200, r#"{"id":"pm_1","created":1700000000}"#),
        "/v1/customers" => json(200, r#"{"id":"cus_1","livemode":false}"#),
        _ => fine(seen, number),
    })
    .await;
    let connector = connector(&server.url(""), &[("mode", "live"), ("secret_key", "sk_live_s3cret")]);
    assert_eq!(word(&both(&*connector, &reusable(), card(None, None)).await), "refused");
}

#[tokio::test]
async fn a_check_reads_a_payment_and_says_what_is_wrong() {
    for (status, body, text) in [
        (200, r#"{"data":[]}"#, None),
        (200, r#"{"data":[{"livemode":false}]}"#, None),
        (200, r#"{"data":[{"livemode":true}]}"#, Some("live payments")),
        (401, "", Some("refuses this key")),
        (403, "", Some("does not let this key")),
        (502, "", Some("does not answer as Stripe does")),
    ] {
        let server = TestServer::answering(status, body).await;
        let found = connector(&server.url(""), &[]).check().await.map_err(|refused| refused.0).err();
        assert_eq!(found.is_some(), text.is_some(), "{found:?}");
        assert!(found.unwrap_or_default().contains(text.unwrap_or_default()));
        let seen = server.seen().pop().unwrap();
        assert_eq!((seen.method, &*seen.target), (Method::GET, "/v1/payment_intents?limit=1"));
    }
    let nobody = format!("http://{}", TestServer::nobody().await);
    assert!(connector(&nobody, &[]).check().await.unwrap_err().0.contains("not reached"));
}

#[test]
fn a_description_shows_no_key() {
    for keys in [&[("account", "acct_7")][..], &[("access_token", "oauth_s3cret")]] {
        let shown = format!("{:?}", connector("https://api.stripe.com", keys).describe());
        assert!(shown.contains("base_url") && !shown.contains("s3cret"), "{shown}");
    }
}

/// Everything that is logged, at every level, by every library.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn no_level_of_any_log_shows_card_data_a_key_or_a_token() {
    let log = Log::default();
    // As in the generic connector's test: with one subscriber alone, what another thread meets first stays off.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let quoting =
                r#"{"error":{"message":"Sending credit card numbers directly to the Stripe API: 4111111111111111"}}"#;
            for server in [
                TestServer::start(fine).await,
                TestServer::start(move |_, _| json(402, quoting)).await,
                TestServer::start(|_, _| json(200, "4111111111111111")).await,
            ] {
                let connector = connector(&server.url(""), &[]);
                for payment_request in [charge(), with_holder(tokenize()), reusable()] {
                    for instrument in [card(Some("737"), None), account()] {
                        both(&*connector, &payment_request, instrument).await;
                    }
                }
            }
        });
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("Stripe answered") && log.contains("raw card data"), "{log}");
    for secret in ["41111", "737\"", "=737", "00012345", "s3cret", "tok_1"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
