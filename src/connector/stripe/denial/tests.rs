use std::time::Duration;

use zeroize::Zeroizing;

use super::*;
use crate::connector::generic::samples::{charge, tokenize};
use crate::connector::stripe::answer::{Charged, charged, tokenized};
use crate::connector::{Mode, word};

fn reply(status: u16, body: &str) -> GatewayReply {
    GatewayReply { status, retry_after: None, date: None, body: Some(Zeroizing::new(body.as_bytes().to_vec())) }
}

fn charge_answer(status: u16, body: &str) -> Answer {
    match charged(&reply(status, body), charge().operation, Mode::Test) {
        Charged::Answer(answer) => answer,
        Charged::NeedsPayer(id) => panic!("{id}"),
    }
}

fn token_answer(status: u16, body: &str) -> Answer {
    tokenized(&reply(status, body), tokenize().operation, Mode::Test, &["tok_"])
}

/// An error with these members, which are JSON.
fn error(members: &str) -> String {
    format!(r#"{{"error":{{{members}}}}}"#)
}

fn code_of(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Declined(denial) | Answer::Refused(_, denial) => denial.code.as_deref(),
        Answer::Approved(_) | Answer::NotSent { .. } | Answer::Unknown { .. } => None,
    }
}

/// Retyped from ActiveMerchant's `test/unit/gateways/stripe_payment_intents_test.rb` and `stripe_test.rb`, and from
/// Stripe's page "Errors", shortened to what is read.
const DECLINED: &str = r#"{
  "error": {
    "charge": "ch_1F2MB6AWOtgoysogAIvNV32Z",
    "code": "card_declined",
    "decline_code": "generic_decline",
    "doc_url": "https://stripe.com/docs/error-codes/card-declined",
    "message": "Your card was declined.",
    "payment_intent": {"id": "pi_1F2MB5AWOtgoysogCMt8BaxR", "object": "payment_intent", "amount": 2020,
      "last_payment_error": {"code": "card_declined"}, "status": "requires_payment_method"},
    "type": "card_error"
  }
}"#;

#[test]
fn a_decline_keeps_the_charge_and_the_payment() {
    match charge_answer(402, DECLINED) {
        Answer::Declined(denial) => {
            assert_eq!(denial.code.as_deref(), Some("card_declined"));
            assert_eq!(denial.message.as_deref(), Some("Your card was declined."));
            assert_eq!(
                denial.parameters,
                [
                    ("payment_intent".to_owned(), "pi_1F2MB5AWOtgoysogCMt8BaxR".to_owned()),
                    ("charge".to_owned(), "ch_1F2MB6AWOtgoysogAIvNV32Z".to_owned()),
                ]
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_card_reason_is_a_decline_with_its_own_code() {
    for (code, reason, told) in [
        ("card_declined", Some("do_not_honor"), "do_not_honor"),
        ("card_declined", Some("call_issuer"), "call_issuer"),
        ("card_declined", Some("insufficient_funds"), "insufficient_funds"),
        ("card_declined", None, "card_declined"),
        ("incorrect_cvc", Some("incorrect_cvc"), "incorrect_cvc"),
        ("invalid_cvc", None, "invalid_cvc"),
        ("incorrect_zip", None, "incorrect_zip"),
        ("expired_card", Some("expired_card"), "expired_card"),
        ("incorrect_number", None, "incorrect_number"),
        ("invalid_number", None, "invalid_number"),
        ("invalid_expiry_month", None, "invalid_expiry_month"),
        ("invalid_expiry_year", None, "invalid_expiry_year"),
        ("authentication_required", Some("authentication_required"), "authentication_required"),
        ("processing_error", Some("processing_error"), "processing_error"),
        ("card_declined", Some("fraudulent"), "card_declined"),
        ("card_declined", Some("lost_card"), "card_declined"),
        ("card_declined", Some("stolen_card"), "card_declined"),
        ("card_declined", Some("pickup_card"), "card_declined"),
        ("a_code_of_next_year", None, "a_code_of_next_year"),
    ] {
        let reason = reason.map(|reason| format!(r#","decline_code":"{reason}""#)).unwrap_or_default();
        let body = error(&format!(r#""type":"card_error","code":"{code}"{reason},"message":"No.""#));
        for answer in [charge_answer(402, &body), token_answer(402, &body)] {
            assert!(matches!(answer, Answer::Declined(_)), "{body}: {answer:?}");
            assert_eq!(code_of(&answer), Some(told), "{body}");
        }
    }
}

#[test]
fn a_card_that_may_be_stolen_is_told_like_any_other_decline() {
    let answer = |reason: &str| {
        let message = if reason == "stolen_card" { "The card has been reported stolen." } else { "No." };
        let members = format!(r#""code":"card_declined","decline_code":"{reason}","message":"{message}""#);
        format!("{:?}", charge_answer(402, &error(&members)))
    };
    assert_eq!(answer("stolen_card"), answer("fraudulent"));
    assert!(!answer("stolen_card").contains("stolen"));
}

/// The stateful fake and older versions of the API give other types and statuses with the same codes.
#[test]
fn the_code_counts_and_not_the_type() {
    for (status, members) in [
        (400, r#""type":"invalid_request_error","code":"invalid_expiry_year","message":"Bad request""#),
        (402, r#""type":"invalid_request_error","code":"card_declined","message":"Your card was declined.""#),
        (402, r#""type":"card_error","message":"No code at all.""#),
    ] {
        let answer = charge_answer(status, &error(members));
        assert!(matches!(answer, Answer::Declined(_)), "{members}: {answer:?}");
    }
}

#[test]
fn a_bank_account_s_refusal_is_a_decline() {
    for code in [
        "routing_number_invalid",
        "account_number_invalid",
        "bank_account_unverified",
        "account_closed",
        "debit_not_authorized",
    ] {
        let answer = token_answer(400, &error(&format!(r#""type":"invalid_request_error","code":"{code}""#)));
        assert!(matches!(answer, Answer::Declined(_)), "{code}: {answer:?}");
        assert_eq!(code_of(&answer), Some(code));
    }
}

#[test]
fn what_is_no_fault_of_the_card_is_refused_with_the_code_for_it() {
    use PayErrorCode as Code;
    for (status, members, code) in [
        (400, r#""code":"amount_too_small","param":"amount""#, Code::InvalidChargeAmount),
        (400, r#""code":"amount_too_large""#, Code::InvalidChargeAmount),
        (400, r#""code":"parameter_invalid_integer","param":"amount""#, Code::InvalidChargeAmount),
        (
            400,
            r#""type":"invalid_request_error","param":"currency","message":"Invalid currency: zzz""#,
            Code::CurrencyUnsupported,
        ),
        (400, r#""code":"parameter_unknown","param":"metdata""#, Code::ChargeRejected),
        (400, r#""code":"parameter_missing""#, Code::ChargeRejected),
        (404, r#""code":"resource_missing","param":"payment_method""#, Code::ChargeRejected),
        (
            401,
            r#""type":"invalid_request_error","message":"Invalid API Key provided: sk_test_****1234""#,
            Code::Configuration,
        ),
        (
            402,
            r#""type":"invalid_request_error","message":"Sending credit card numbers directly to the Stripe API is generally unsafe. We suggest you use test tokens""#,
            Code::Configuration,
        ),
        (
            400,
            r#""message":"Sending credit card numbers directly to the Stripe API is generally unsafe.""#,
            Code::Configuration,
        ),
        (402, r#""code":"validation_error","message":"Verify your phone""#, Code::Configuration),
        (
            403,
            r#""message":"The provided key does not have access to account 'acct_1' (or that account does not exist). Application access may have been revoked.""#,
            Code::AuthorizationWithdrawn,
        ),
        (403, r#""code":"account_invalid""#, Code::AuthorizationWithdrawn),
        (400, r#""code":"account_invalid""#, Code::AuthorizationWithdrawn),
    ] {
        let answer = charge_answer(status, &error(members));
        assert!(matches!(&answer, Answer::Refused(found, _) if *found == code), "{members}: {answer:?}");
        assert!(!format!("{answer:?}").contains("1234"), "{answer:?}");
    }
    for status in [400, 404] {
        let answer = token_answer(status, &error(r#""code":"parameter_unknown""#));
        assert!(matches!(answer, Answer::Refused(Code::TokenRejected, _)), "{answer:?}");
    }
}

#[test]
fn a_key_that_is_refused_needs_no_body() {
    let answer = charge_answer(401, "<html>");
    assert!(matches!(answer, Answer::Refused(PayErrorCode::Configuration, _)), "{answer:?}");
}

#[test]
fn a_rate_limit_did_nothing_and_names_its_wait() {
    let wait = Some(Duration::from_secs(3));
    for body in [r#"{"error":{"code":"rate_limit"}}"#, r#"{"error":{"code":"lock_timeout"}}"#, "", "<html>"] {
        let reply = GatewayReply { retry_after: wait, ..reply(429, body) };
        match charged(&reply, charge().operation, Mode::Test) {
            Charged::Answer(Answer::NotSent { retry_after, .. }) => assert_eq!(retry_after, wait, "{body}"),
            Charged::Answer(answer) => panic!("{body}: {answer:?}"),
            Charged::NeedsPayer(id) => panic!("{id}"),
        }
    }
}

#[test]
fn a_rate_limit_whose_body_names_a_payment_may_have_done_something() {
    for body in [
        r#"{"id":"pi_1","status":"succeeded"}"#.to_owned(),
        r#"{"id":7}"#.to_owned(),
        error(r#""code":"rate_limit","payment_intent":{"id":"pi_1","status":"succeeded"}"#),
        error(r#""code":"rate_limit","charge":"ch_1""#),
    ] {
        assert_eq!(word(&charge_answer(429, &body)), "unknown", "{body}");
    }
    let cut = GatewayReply { status: 429, retry_after: None, date: None, body: None };
    assert!(matches!(charged(&cut, charge().operation, Mode::Test), Charged::Answer(Answer::Unknown { .. })));
}

#[test]
fn what_may_have_happened_is_unknown() {
    for (status, body) in [
        (409, error(r#""type":"idempotency_error","code":"idempotency_key_in_use""#)),
        (
            400,
            error(
                r#""type":"idempotency_error","message":"Keys for idempotent requests can only be used with the same parameters they were first used with.""#,
            ),
        ),
        (500, error(r#""type":"api_error","message":"An unknown error occurred""#)),
        (402, error(r#""type":"api_error""#)),
        (502, "<html>Bad Gateway</html>".to_owned()),
        (503, String::new()),
        (400, "<html>".to_owned()),
        (402, r#"{"message":"no error object"}"#.to_owned()),
        (403, "<html>Forbidden by somebody on the way</html>".to_owned()),
        (200, error(r#""code":"card_declined""#)),
        (302, String::new()),
        (200, "[]".to_owned()),
        (400, error(r#""code":"payment_intent_unexpected_state","payment_intent":{"id":"pi_1","status":"succeeded"}"#)),
        (402, error(r#""code":"card_declined","payment_intent":{"id":"pi_1","status":"processing"}"#)),
    ] {
        let answer = charge_answer(status, &body);
        assert_eq!(word(&answer), "unknown", "{status} {body}: {answer:?}");
    }
    let cut = GatewayReply { status: 200, retry_after: None, date: None, body: None };
    assert!(matches!(charged(&cut, charge().operation, Mode::Test), Charged::Answer(Answer::Unknown { .. })));
}

#[test]
fn words_with_many_digits_lose_them() {
    let members = r#""code":"invalid_number","message":"Invalid: 4111 1111-11111111 at 2026, ref 123456, code 1234""#;
    match charge_answer(402, &error(members)) {
        Answer::Declined(denial) => {
            assert_eq!(denial.message.as_deref(), Some("Invalid: xxxx xxxx-xxxxxxxx at 2026, ref xxxxxx, code 1234"))
        }
        other => panic!("{other:?}"),
    }
    match charge_answer(402, &error(r#""code":"4111111111111111","decline_code":"n4111111111111111""#)) {
        Answer::Declined(denial) => assert_eq!(denial.code.as_deref(), Some("nxxxxxxxxxxxxxxxx")),
        other => panic!("{other:?}"),
    }
    assert_eq!(without_digits(&"ü".repeat(2000)).chars().count(), 1024);
}
