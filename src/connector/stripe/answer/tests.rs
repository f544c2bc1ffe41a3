use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::connector::generic::samples::{charge, tokenize};
use crate::connector::word as answer_word;
use crate::pay::gateway::TokenType;

const SID: &str = "PK0123456789abcdef0123456789abcdef";

fn reply(status: u16, body: &str) -> GatewayReply {
    GatewayReply { status, retry_after: None, date: None, body: Some(Zeroizing::new(body.as_bytes().to_vec())) }
}

fn note(id: &str) -> StripeNote {
    StripeNote { id: id.into(), since: 1, customer: None }
}

fn charge_says(body: &str) -> Charged {
    charged(&reply(200, body), charge().operation, Mode::Test)
}

fn charge_answer(body: &str) -> Answer {
    match charge_says(body) {
        Charged::Answer(answer) => answer,
        Charged::NeedsPayer(id) => panic!("{id}"),
    }
}

fn approved(body: &str) -> Approval {
    match charge_answer(body) {
        Answer::Approved(approval) => approval,
        other => panic!("{body}: {other:?}"),
    }
}

/// Retyped from ActiveMerchant's `test/unit/gateways/stripe_payment_intents_test.rb`, with the charge where version
/// 2022-11-15 has it, and shortened.
const SUCCEEDED: &str = r#"{
  "id": "pi_3N0mqdAWOtgoysog1IQeiLiz", "object": "payment_intent", "amount": 2000, "amount_capturable": 0,
  "amount_details": {"tip": {}}, "amount_received": 2000, "application": null, "canceled_at": null,
  "capture_method": "automatic", "client_secret": "pi_3N0mqdAWOtgoysog1IQeiLiz_secret_laDLUM6rVleLRqz0nMus9HktB",
  "created": 1682432883, "currency": "gbp", "customer": null, "last_payment_error": null,
  "latest_charge": {
    "id": "ch_3N0mqdAWOtgoysog1HddFSKg", "object": "charge", "amount": 2000, "captured": true, "created": 1682432883,
    "failure_code": null, "livemode": false, "paid": true, "payment_intent": "pi_3N0mqdAWOtgoysog1IQeiLiz",
    "payment_method_details": {"card": {"brand": "visa", "checks": {"address_line1_check": "pass",
      "address_postal_code_check": "pass", "cvc_check": null}, "last4": "0000", "moto": null}, "type": "card"},
    "status": "succeeded"
  },
  "livemode": false, "metadata": {}, "next_action": null, "payment_method": "pm_1N0mqdAWOtgoysogloANIhUF",
  "payment_method_types": ["card"], "processing": null, "status": "succeeded"
}"#;

#[test]
fn a_payment_that_succeeded_is_confirmed_by_its_charge() {
    let approval = approved(SUCCEEDED);
    assert_eq!(approval.confirmation_code.as_deref(), Some("ch_3N0mqdAWOtgoysog1HddFSKg"));
    assert_eq!(
        approval.parameters,
        [
            ("payment_intent".to_owned(), "pi_3N0mqdAWOtgoysog1IQeiLiz".to_owned()),
            ("address_postal_code_check".to_owned(), "pass".to_owned()),
        ]
    );
    assert!(approval.token.is_none() && approval.profile_id.is_none());
}

#[test]
fn a_charge_that_is_not_expanded_confirms_too_and_without_one_the_payment_does() {
    for (charge, code) in [(r#""ch_1""#, "ch_1"), (r#"{"id":"py_1"}"#, "py_1"), ("null", "pi_1"), (r#""../x""#, "pi_1")]
    {
        let body = format!(r#"{{"id":"pi_1","status":"succeeded","latest_charge":{charge}}}"#);
        assert_eq!(approved(&body).confirmation_code.as_deref(), Some(code), "{body}");
    }
}

#[test]
fn only_succeeded_is_a_success() {
    for (status, word) in [
        ("processing", "unknown"),
        ("requires_capture", "unknown"),
        ("requires_confirmation", "unknown"),
        ("a_status_of_next_year", "unknown"),
        ("SUCCEEDED", "unknown"),
        ("requires_payment_method", "declined"),
        ("canceled", "declined"),
        ("succeeded", "approved"),
    ] {
        let answer = charge_answer(&format!(r#"{{"id":"pi_1","status":"{status}","latest_charge":"ch_1"}}"#));
        assert_eq!(answer_word(&answer), word, "{status}: {answer:?}");
    }
    for body in [
        r#"{"id":"pi_1"}"#,
        r#"{"status":"succeeded"}"#,
        r#"{"id":"ch_1","status":"succeeded"}"#,
        "{}",
        "[]",
        "",
        "null",
    ] {
        let answer = charge_answer(body);
        assert_eq!(answer_word(&answer), "unknown", "{body}");
    }
}

#[test]
fn an_issuer_that_wants_to_see_the_payer_is_told_apart() {
    let body =
        r#"{"id":"pi_1","object":"payment_intent","status":"requires_action","next_action":{"type":"use_stripe_sdk"}}"#;
    assert!(matches!(charge_says(body), Charged::NeedsPayer(id) if id == "pi_1"));
}

#[test]
fn a_payment_method_becomes_the_note() {
    // Retyped from ActiveMerchant, as above.
    let body = r#"{"id":"pm_1F1xK0AWOtgoysogfPuRKN1d","object":"payment_method","billing_details":{"name":null},
        "card":{"brand":"visa","checks":{"cvc_check":"unchecked"},"last4":"3220"},"created":1564500784,
        "customer":null,"livemode":false,"metadata":{},"type":"card"}"#;
    let operation = charge().operation;
    let note = prepared(&reply(200, body), operation, Mode::Test, &["pm_"]).unwrap();
    assert_eq!(note, StripeNote { id: "pm_1F1xK0AWOtgoysogfPuRKN1d".into(), since: 1_564_500_784, customer: None });
    let of_customer = r#"{"id":"pm_1","customer":"cus_1"}"#;
    for (date, since) in [(None, 0), (jiff::Timestamp::from_second(7).ok(), 7)] {
        let reply = GatewayReply { date, ..reply(200, of_customer) };
        let note = prepared(&reply, operation, Mode::Test, &["pm_"]).unwrap();
        assert_eq!(note, StripeNote { id: "pm_1".into(), since, customer: Some("cus_1".into()) });
    }
    for odd in [r#"{"id":"tok_1"}"#, r#"{"id":"pm_1/../x"}"#, r#"{"id":"pm_1 since=1"}"#, r#"{"id":5}"#, "{}"] {
        let answer = prepared(&reply(200, odd), operation, Mode::Test, &["pm_"]).unwrap_err();
        assert_eq!(answer_word(&answer), "unknown", "{odd}");
    }
}

#[test]
fn an_object_of_the_other_mode_is_a_wrong_key() {
    for (live, mode, good) in [
        ("true", Mode::Live, true),
        ("false", Mode::Test, true),
        ("true", Mode::Test, false),
        ("false", Mode::Live, false),
    ] {
        let body = format!(r#"{{"id":"pm_1","livemode":{live}}}"#);
        match prepared(&reply(200, &body), charge().operation, mode, &["pm_"]) {
            Ok(_) => assert!(good, "{body}"),
            Err(answer) => {
                assert!(!good && matches!(answer, Answer::Refused(PayErrorCode::Configuration, _)), "{answer:?}");
            }
        }
        let answer = tokenized(&reply(200, &body), tokenize().operation, mode, &["pm_"]);
        assert_eq!(matches!(answer, Answer::Approved(_)), good);
        assert_eq!(
            super::live(&reply(200, &format!(r#"{{"data":[{body}]}}"#))),
            Some(if live == "true" { Mode::Live } else { Mode::Test })
        );
    }
}

#[test]
fn a_token_is_a_secret() {
    let body = r#"{"id":"tok_1N0secret","object":"token","livemode":false,"type":"card","used":false}"#;
    match tokenized(&reply(200, body), tokenize().operation, Mode::Test, &["tok_"]) {
        Answer::Approved(approval) => {
            assert!(!format!("{approval:?}").contains("secret"));
            assert_eq!(approval.token.unwrap().expose(), "tok_1N0secret");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_customer_is_the_profile_of_the_token() {
    let operation = Operation::Tokenize(TokenType::Reusable);
    for (note_id, source, token) in [
        ("pm_1", "null", Some("pm_1")),
        ("tok_1", r#""card_1""#, Some("card_1")),
        ("btok_1", r#""ba_1""#, Some("ba_1")),
        ("tok_1", "null", None),
    ] {
        let body = format!(r#"{{"id":"cus_1","object":"customer","default_source":{source}}}"#);
        match (kept(&reply(200, &body), operation, Mode::Test, &note(note_id)), token) {
            (Answer::Approved(approval), Some(token)) => {
                assert_eq!(approval.token.unwrap().expose(), token);
                assert_eq!(approval.profile_id.unwrap().expose(), "cus_1");
            }
            (Answer::Unknown { .. }, None) => {}
            (other, _) => panic!("{body}: {other:?}"),
        }
    }
}

fn list(items: &[&str], more: &str) -> String {
    format!(r#"{{"object":"list","url":"/v1/payment_intents","has_more":{more},"data":[{}]}}"#, items.join(","))
}

#[test]
fn a_payment_is_found_in_a_list_by_the_transaction_id_alone() {
    let other = r#"{"id":"pi_9","status":"succeeded","metadata":{"pay_sid":"PKother"}}"#;
    let none = r#"{"id":"pi_8","status":"succeeded","metadata":{}}"#;
    let odd = r#"{"id":"pi_7","status":"succeeded","metadata":["pay_sid"]}"#;
    let ours = format!(
        r#"{{"id":"pi_1","status":"requires_payment_method","metadata":{{"order":"7","pay_sid":"{SID}"}},
            "last_payment_error":{{"code":"card_declined","decline_code":"insufficient_funds","charge":"ch_1"}}}}"#
    );
    let page = payments(&reply(200, &list(&[other, none, odd, &ours], "true")), &charge(), Mode::Test).unwrap();
    assert_eq!(page.more_after.as_deref(), Some("pi_1"));
    let [Found { says: Charged::Answer(Answer::Declined(denial)), paid: false }] = &page.found[..] else {
        panic!("one")
    };
    assert_eq!(denial.code.as_deref(), Some("insufficient_funds"));
    assert_eq!(denial.parameters[0], ("payment_intent".to_owned(), "pi_1".to_owned()));
    let page = payments(&reply(200, &list(&[other], "false")), &charge(), Mode::Test).unwrap();
    assert!(page.found.is_empty() && page.more_after.is_none());
}

#[test]
fn a_list_that_is_not_wholly_understood_proves_nothing() {
    for body in [
        list(&[], "true"),
        list(&[r#"{"status":"succeeded"}"#], "false"),
        list(&["7"], "false"),
        list(&[], "null"),
        r#"{"data":{},"has_more":false}"#.to_owned(),
        "{}".to_owned(),
    ] {
        let answer = payments(&reply(200, &body), &charge(), Mode::Test).err().map(|answer| answer_word(&answer));
        assert_eq!(answer, Some("unknown"), "{body}");
    }
}

#[test]
fn a_cancellation_that_came_too_late_is_noticed() {
    for (status, body, late) in [
        (200, r#"{"id":"pi_1","status":"canceled"}"#, false),
        (
            400,
            r#"{"error":{"code":"payment_intent_unexpected_state","payment_intent":{"id":"pi_1","status":"succeeded"}}}"#,
            true,
        ),
        (400, r#"{"error":{"payment_intent":{"status":"canceled"}}}"#, false),
        (500, "", false),
    ] {
        assert_eq!(went_through(&reply(status, body)), late, "{body}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_one_of_five_answers_without_a_card_s_digits(
        status in prop_oneof![Just(200_u16), Just(402), Just(400), 100_u16..600],
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            r#"\{"(error|id|data)":(\{"(code|message|decline_code|param)":"[a-z0-9 ]{0,24}"\}|"[a-z_0-9]{0,24}"|\[\])\}"#
                .prop_map(String::into_bytes),
        ],
    ) {
        let body = Zeroizing::new([&bytes[..], b"4111111111111111"].concat());
        for body in [Some(body), Some(Zeroizing::new(bytes)), None] {
            let reply = GatewayReply { status, retry_after: None, date: None, body };
            let mut shown = match charged(&reply, charge().operation, Mode::Test) {
                Charged::Answer(answer) => format!("{answer:?}"),
                Charged::NeedsPayer(id) => id,
            };
            shown += &format!("{:?}", tokenized(&reply, tokenize().operation, Mode::Test, &["tok_", "pm_"]));
            shown += &format!("{:?}", kept(&reply, Operation::Tokenize(TokenType::Reusable), Mode::Test, &note("tok_1")));
            shown += &format!("{:?}", prepared(&reply, charge().operation, Mode::Test, &["pm_"]).err());
            shown += &format!("{:?}", payments(&reply, &charge(), Mode::Test).err());
            prop_assert!(!shown.contains("41111"));
        }
    }
}
