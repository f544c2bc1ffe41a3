use std::time::Duration;

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::connector::generic::samples::{charge, tokenize};

fn answer(operation: Operation, status: u16, body: &str) -> Answer {
    read(ContractVariant::Twilio, &[], operation, &reply(status, body.as_bytes()))
}

fn reply(status: u16, body: &[u8]) -> GatewayReply {
    GatewayReply { status, retry_after: None, date: None, body: Some(Zeroizing::new(body.to_vec())) }
}

fn approved(body: &str) -> Approval {
    match answer(charge().operation, 200, body) {
        Answer::Approved(approval) => approval,
        other => panic!("{body}: {other:?}"),
    }
}

fn declined(status: u16, body: &str) -> Denial {
    match answer(charge().operation, status, body) {
        Answer::Declined(denial) => denial,
        other => panic!("{status} {body}: {other:?}"),
    }
}

#[test]
fn an_id_without_an_error_is_a_yes() {
    for (body, id) in [
        (r#"{"charge_id":"ch_1","error_code":null,"error_message":null}"#, "ch_1"),
        (r#"{"charge_id":"ch_1"}"#, "ch_1"),
        (r#"{"charge_id":"ch_1","error_code":""}"#, "ch_1"),
        (r#"{"charge_id":"ch_1","error_code":" "}"#, "ch_1"),
        (r#"{"charge_id":"ch_1","error_code":0}"#, "ch_1"),
        (r#"{"charge_id":"ch_1","error_code":"0"}"#, "ch_1"),
        (r#"{"charge_id":"ch_1","error_code":"00"}"#, "ch_1"),
        (r#"{"charge_id":"ch_1","error_code":false,"error_message":"Approved"}"#, "ch_1"),
        (r#"{"charge_id":4711}"#, "4711"),
        (r#"{"charge_id":98765432109876543210987654321}"#, "98765432109876543210987654321"),
        (" \n{\"charge_id\":\"ch_1\",\"more\":[{}]} ", "ch_1"),
        ("\u{feff}{\"charge_id\":\"ch_1\"}", "ch_1"),
    ] {
        assert_eq!(approved(body).confirmation_code.as_deref(), Some(id), "{body}");
    }
}

#[test]
fn a_token_is_a_secret() {
    match answer(tokenize().operation, 201, r#"{"token_id":"tok_secret_1"}"#) {
        Answer::Approved(approval) => {
            assert!(!format!("{approval:?}").contains("secret_1"));
            assert_eq!(approval.token.unwrap().expose(), "tok_secret_1");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_code_is_a_no() {
    for (status, body, code) in [
        (200, r#"{"charge_id":null,"error_code":"declined"}"#, "declined"),
        (200, r#"{"charge_id":"","error_code":"declined"}"#, "declined"),
        (402, r#"{"error_code":51}"#, "51"),
        (400, r#"{"error_code":true}"#, "true"),
        (401, r#"{"error_code":"unauthorized"}"#, "unauthorized"),
        (409, r#"{"charge_id":null,"error_code":"duplicate"}"#, "duplicate"),
        (422, r#"{"error_code":{"code":7}}"#, r#"{"code":7}"#),
        (200, r#"{"charge_id":null,"error_code":"\ud800"}"#, r#""\ud800""#),
        (200, r#"{"token_id":"tok_1","error_code":"declined"}"#, "declined"),
        (200, r#"{"charge_id":null,"error_code":"x","parameters":{"charge_id":"ch_of_before"}}"#, "x"),
    ] {
        assert_eq!(declined(status, body).code.as_deref(), Some(code), "{status} {body}");
    }
    let denial = declined(200, r#"{"error_code":"x","error_message":"Call your bank.","parameters":{"a":1}}"#);
    assert_eq!(denial.message.as_deref(), Some("Call your bank."));
    assert_eq!(denial.parameters, [("a".to_owned(), "1".to_owned())]);
}

#[test]
fn an_error_code_beside_an_id_is_a_no_as_the_contract_has_it() {
    for (status, body, code) in [
        (200, r#"{"charge_id":"ch_1","error_code":"warn"}"#, "warn"),
        (402, r#"{"charge_id":"ch_1","error_code":"declined"}"#, "declined"),
        (200, r#"{"error_code":"x","result":{"charge_id":"ch_1"}}"#, "x"),
    ] {
        assert_eq!(declined(status, body).code.as_deref(), Some(code), "{status} {body}");
    }
}

#[test]
fn a_gateway_that_ran_out_of_time_may_have_done_it() {
    let late = r#"{"charge_id":null,"error_code":"timeout"}"#;
    for (dialect, body) in [
        (ContractVariant::Twilio, r#"{"error_code":"timeout"}"#),
        (ContractVariant::Twilio, late),
        (ContractVariant::Telnyx, late),
        (ContractVariant::SignalWire, r#"{"error_code":"timeout"}"#),
        (ContractVariant::Twilio, r#"{"charge_id":"ch_1"}"#),
        (ContractVariant::Twilio, ""),
    ] {
        let answer = read(dialect, &BUSY, charge().operation, &reply(408, body.as_bytes()));
        assert!(matches!(answer, Answer::Unknown { .. }), "{dialect:?} {body}: {answer:?}");
    }
    let whole = read(ContractVariant::SignalWire, &[], charge().operation, &reply(408, late.as_bytes()));
    assert!(matches!(whole, Answer::Declined(_)), "{whole:?}");
}

#[test]
fn a_body_that_names_what_was_made_or_cannot_be_read_is_never_nothing_done() {
    let utf16: Vec<u8> = r#"{"charge_id":"ch_1"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\x4a".to_vec();
    let texts = [
        r#"{"data":{"id":"ch_1"}}"#,
        r#"{"chargeId":"ch_1"}"#,
        r#"{"charge":{"ID":7}}"#,
        r#"[{"transaction-id":"t1"}]"#,
        r#"{"body":"{\"charge_id\":\"ch_1\"}"}"#,
        r#"{"charge_id":"ch_1""#,
        "charge_id=ch_1",
        "<charge><ChargeId>ch_1</ChargeId></charge>",
    ];
    for body in texts.iter().map(|text| text.as_bytes().to_vec()).chain([utf16, gzip]) {
        for status in BUSY {
            let answer = read(ContractVariant::Twilio, &BUSY, charge().operation, &reply(status, &body));
            let body = String::from_utf8_lossy(&body);
            assert!(matches!(answer, Answer::Unknown { .. }), "{status} {body}: {answer:?}");
        }
    }
    // The ids of the request itself, and those that name nothing.
    for body in [
        r#"{"request_id":"req_1","message":"Too many requests"}"#,
        r#"{"error":{"trace-id":"t","correlationId":"c","event_id":"e"}}"#,
        r#"{"id":null,"data":{"id":""},"token_id":null}"#,
        "<html><p id=\"message\">Slow down. Paid orders are safe.</p></html>",
        "Too many requests",
    ] {
        let answer = read(ContractVariant::Twilio, &BUSY, charge().operation, &reply(429, body.as_bytes()));
        assert!(matches!(answer, Answer::NotSent { .. }), "{body}: {answer:?}");
    }
}

#[test]
fn refused_credentials_beside_an_id_are_a_doubt() {
    for status in [401, 403] {
        for body in [r#"{"result":{"charge_id":"ch_1"}}"#, r#"{"chargeId":"ch_1"}"#, r#"[{"charge_id":"ch_1"}]"#] {
            let answer = answer(charge().operation, status, body);
            assert!(matches!(answer, Answer::Unknown { .. }), "{status} {body}: {answer:?}");
        }
        let cut = GatewayReply { status, retry_after: None, date: None, body: None };
        assert!(matches!(read(ContractVariant::Twilio, &[], charge().operation, &cut), Answer::Unknown { .. }));
    }
}

#[test]
fn what_cannot_be_understood_is_unknown() {
    for (status, body) in [
        (200, ""),
        (200, "OK"),
        (200, "<html></html>"),
        (200, "null"),
        (200, r#"["ch_1"]"#),
        (200, r#"{"charge_id":"ch_1""#),
        (200, r#"{"charge_id":"ch_1"} trailing"#),
        (200, r#"{"charge_id":"ch_1","charge_id":"ch_2"}"#),
        (200, "{}"),
        (200, r#"{"token_id":"tok_1"}"#),
        (200, r#"{"charge_id":""}"#),
        (200, r#"{"charge_id":null,"error_code":null}"#),
        (200, r#"{"charge_id":{"id":"ch_1"}}"#),
        (200, r#"{"charge_id":true}"#),
        (400, "Bad Request"),
        (402, r#"{"charge_id":"ch_1"}"#),
        (403, r#"{"charge_id":"ch_1"}"#),
        (404, "not found"),
        (301, r#"{"charge_id":"ch_1"}"#),
        (500, r#"{"error_code":"internal"}"#),
        (503, ""),
        (504, r#"{"charge_id":"ch_1"}"#),
    ] {
        match answer(charge().operation, status, body) {
            Answer::Unknown { reason, .. } => assert!(reason.contains(&status.to_string()), "{reason}"),
            other => panic!("{status} {body}: {other:?}"),
        }
    }
    let long = format!(r#"{{"charge_id":"{}"}}"#, "x".repeat(ID_CHARS_MAX + 1));
    assert!(matches!(answer(charge().operation, 200, &long), Answer::Unknown { .. }));
    let cut = GatewayReply { status: 200, retry_after: None, date: None, body: None };
    assert!(matches!(read(ContractVariant::Twilio, &[], charge().operation, &cut), Answer::Unknown { .. }));
}

#[test]
fn telnyx_s_refusal_has_a_code_and_words_and_no_id() {
    let body = r#"{"error_code":"card_declined","error_message":"The card was declined."}"#;
    for status in [200, 402] {
        match read(ContractVariant::Telnyx, &[], charge().operation, &reply(status, body.as_bytes())) {
            Answer::Declined(denial) => {
                assert_eq!(denial.code.as_deref(), Some("card_declined"));
                assert_eq!(denial.message.as_deref(), Some("The card was declined."));
            }
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[test]
fn signalwire_s_processors_may_say_no_with_any_status_but_200() {
    let charge_refused = r#"{"charge_id":null,"error_code":"insufficient_funds","error_message":"No funds"}"#;
    let token_refused = r#"{"token_id": null, "error_code":"invalid_card","error_message":"Card validation failed"}"#;
    for dialect in [ContractVariant::SignalWire, ContractVariant::SignalWireSwml] {
        for status in [200, 400, 402, 422, 500, 502] {
            for (operation, body, code) in [
                (charge().operation, charge_refused, "insufficient_funds"),
                (tokenize().operation, token_refused, "invalid_card"),
            ] {
                match read(dialect, &[], operation, &reply(status, body.as_bytes())) {
                    Answer::Declined(denial) => assert_eq!(denial.code.as_deref(), Some(code)),
                    other => panic!("{status} {body}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_5xx_that_does_not_say_that_nothing_was_done_is_unknown() {
    let refused = r#"{"charge_id":null,"error_code":"internal"}"#;
    for (dialect, status, body) in [
        (ContractVariant::Twilio, 500, refused),
        (ContractVariant::Telnyx, 500, refused),
        (ContractVariant::SignalWire, 301, refused),
        (ContractVariant::SignalWire, 600, refused),
        (ContractVariant::SignalWire, 500, r#"{"error_code":"internal"}"#),
        (ContractVariant::SignalWire, 500, r#"{"token_id":null,"error_code":"internal"}"#),
        (ContractVariant::SignalWireSwml, 504, r#"{"charge_id":"ch_1","error_code":"late"}"#),
        (ContractVariant::SignalWireSwml, 500, r#"{"charge_id":null,"error_code":null}"#),
        (ContractVariant::SignalWire, 500, r#"{"charge_id":"ch_1","error_code":null}"#),
        (ContractVariant::SignalWire, 502, "<html>"),
    ] {
        let answer = read(dialect, &[], charge().operation, &reply(status, body.as_bytes()));
        assert!(matches!(answer, Answer::Unknown { .. }), "{dialect:?} {status} {body}: {answer:?}");
    }
}

#[test]
fn a_repeat_may_be_answered_with_conflict_and_the_first_result() {
    let answer = answer(charge().operation, 409, r#"{"charge_id":"ch_1"}"#);
    assert!(matches!(answer, Answer::Approved(Approval { confirmation_code: Some(id), .. }) if id == "ch_1"));
}

#[test]
fn refused_credentials_are_a_fault_of_the_configuration() {
    for (status, body) in [(401, ""), (403, "<html>"), (401, r#"{"message":"Unauthorized","request_id":"r1"}"#)] {
        let answer = answer(charge().operation, status, body);
        assert!(matches!(answer, Answer::Refused(PayErrorCode::Configuration, _)), "{status} {body}: {answer:?}");
    }
}

#[test]
fn a_busy_gateway_did_nothing_only_if_its_operator_says_so() {
    for status in BUSY {
        for wait in [None, Some(Duration::from_secs(7))] {
            for body in ["", "<html>Come back later</html>", r#"{"error_code":"busy"}"#, r#"{"charge_id":null}"#] {
                let reply = || GatewayReply { retry_after: wait, ..reply(status, body.as_bytes()) };
                for (retry_safe, safe) in
                    [(&[][..], false), (&[429, 503], true), (&[status], true), (&[932 - status], false)]
                {
                    let answer = read(ContractVariant::Twilio, retry_safe, charge().operation, &reply());
                    let (not_sent, retry_after) = match &answer {
                        Answer::NotSent { retry_after, .. } => (true, *retry_after),
                        Answer::Unknown { retry_after, .. } => (false, *retry_after),
                        other => panic!("{other:?}"),
                    };
                    assert_eq!((not_sent, retry_after), (safe, wait), "{status} {body} {retry_safe:?}");
                }
            }
        }
    }
}

#[test]
fn a_busy_gateway_s_body_with_an_id_is_never_nothing_done() {
    for body in [
        r#"{"charge_id":"ch_1"}"#,
        r#"{"charge_id":"ch_1","error_code":"busy"}"#,
        r#"{"charge\u005fid":"ch_1"}"#,
        r#"{"charge_id":4711,"error_code":null}"#,
        r#"{"charge_id":{"id":"ch_1"}}"#,
        r#"{"token_id":"tok_1"}"#,
        r#"{"charge_id":null,"token_id":"tok_1"}"#,
        r#"{"result":{"charge_id":"ch_1"}}"#,
        r#"{"charge_id":null,"result":{"charge_id":"ch_1"}}"#,
        r#"{"charge_id":"ch_1","charge_id":null}"#,
        r#"[{"charge_id":"ch_1"}]"#,
        r#"{"charge_id":"ch_1"} and more"#,
        r#"{"charge_id":"ch_"#,
    ] {
        for status in BUSY {
            for dialect in ContractVariant::ALL {
                let answer = read(*dialect, &BUSY, charge().operation, &reply(status, body.as_bytes()));
                assert!(matches!(answer, Answer::Unknown { .. }), "{dialect:?} {status} {body}: {answer:?}");
            }
        }
    }
    // Nobody knows what was in the rest of it.
    let cut = GatewayReply { status: 503, retry_after: None, date: None, body: None };
    assert!(matches!(read(ContractVariant::Twilio, &BUSY, charge().operation, &cut), Answer::Unknown { .. }));
}

#[test]
fn signalwire_s_whole_refusal_counts_with_a_busy_status_too() {
    let refused = r#"{"charge_id":null,"error_code":"busy"}"#;
    for status in BUSY {
        let answer = |retry_safe| {
            read(ContractVariant::SignalWire, retry_safe, charge().operation, &reply(status, refused.as_bytes()))
        };
        assert!(matches!(answer(&[]), Answer::Declined(_)));
        assert!(matches!(answer(&BUSY), Answer::NotSent { .. }), "but for an operator who says that it did nothing");
    }
}

#[test]
fn parameters_keep_their_order_and_nested_values_are_json() {
    let parameters = approved(
        r#"{"charge_id":"c","parameters":{"z":"1","a":2.50,"nested":{"k": [1]},"yes":true,"none":null,"":"x"}}"#,
    )
    .parameters;
    let expected = [("z", "1"), ("a", "2.50"), ("nested", r#"{"k": [1]}"#), ("yes", "true")];
    assert_eq!(parameters, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn parameters_are_bounded_and_their_oddness_spoils_nothing() {
    let many: Vec<String> = (0..200).map(|number| format!(r#""p{number}":"v""#)).collect();
    let many = approved(&format!(r#"{{"charge_id":"c","parameters":{{{}}}}}"#, many.join(",")));
    assert_eq!(many.parameters.len(), PARAMETERS_MAX);
    let long = "x".repeat(PARAMETER_VALUE_CHARS_MAX + 1);
    let long = approved(&format!(r#"{{"charge_id":"c","parameters":{{"a":"{long}","b":"1"}}}}"#));
    assert_eq!(long.parameters, [("b".to_owned(), "1".to_owned())]);
    assert_eq!(approved(r#"{"charge_id":"c","parameters":[1]}"#).parameters, []);
}

#[test]
fn the_gateway_s_words_are_cut_to_a_length() {
    let body = format!(r#"{{"error_code":"{}","error_message":"{}"}}"#, "é".repeat(500), "ü".repeat(5000));
    let denial = declined(200, &body);
    assert_eq!(denial.code.unwrap().chars().count(), CODE_CHARS_MAX);
    assert_eq!(denial.message.unwrap().chars().count(), MESSAGE_CHARS_MAX);
}

/// Every text of an answer that a gateway could have put there.
fn texts(answer: Answer) -> Vec<String> {
    let flat = |parameters: Vec<(String, String)>| parameters.into_iter().flat_map(|(name, value)| [name, value]);
    match answer {
        Answer::Approved(approval) => {
            let ids = [approval.token, approval.profile_id].into_iter().flatten();
            let ids = ids.map(|secret| secret.expose().to_owned());
            ids.chain(approval.confirmation_code).chain(flat(approval.parameters)).collect()
        }
        Answer::Declined(denial) => {
            denial.code.into_iter().chain(denial.message).chain(flat(denial.parameters)).collect()
        }
        Answer::Refused(..) | Answer::NotSent { .. } | Answer::Unknown { .. } => Vec::new(),
    }
}

/// The same with strings unescaped and joined: what may appear.
fn seen(body: &[u8]) -> String {
    let mut seen = String::from_utf8_lossy(body).into_owned();
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) {
        collect(&value, &mut seen);
    }
    seen
}

fn collect(value: &serde_json::Value, into: &mut String) {
    match value {
        serde_json::Value::String(text) => into.push_str(text),
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
        serde_json::Value::Object(members) => members.iter().for_each(|(name, value)| {
            into.push_str(name);
            collect(value, into);
        }),
        _ => {}
    }
}

fn json_value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("0".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| serde_json::to_string(&number).unwrap()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        prop::collection::btree_map(any::<String>(), any::<String>(), 0..4)
            .prop_map(|map| serde_json::to_string(&map).unwrap()),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let member = prop_oneof!["charge_id", "token_id", "error_code", "error_message", "parameters", "other"];
    let object = prop::collection::btree_map(member, json_value(), 0..5).prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), object]
}

proptest! {
    #[test]
    fn any_reply_is_one_of_five_answers_and_invents_no_text(
        status in 100u16..600,
        retry_after in prop::option::of(0u64..100),
        body in prop::option::of(body()),
        tokenizes in any::<bool>(),
        dialect in prop::sample::select(ContractVariant::ALL),
        retry_safe in prop::sample::subsequence(&BUSY, 0..=2),
    ) {
        let operation = if tokenizes { tokenize().operation } else { charge().operation };
        let seen = seen(body.as_deref().unwrap_or_default());
        let retry_after = retry_after.map(Duration::from_secs);
        let answer = read(dialect, &retry_safe, operation, &GatewayReply { status, retry_after, date: None, body: body.map(Zeroizing::new) });
        match &answer {
            Answer::Approved(approval) => prop_assert!(approval.confirmation_code.is_some() != approval.token.is_some()),
            Answer::NotSent { reason, .. } | Answer::Unknown { reason, .. } => {
                let start = format!("HTTP status {status}");
                prop_assert!(reason.starts_with(&start));
                prop_assert!(reason.chars().all(|letter| letter.is_ascii_alphanumeric() || " ,".contains(letter)));
            }
            Answer::Declined(_) | Answer::Refused(..) => {}
        }
        for text in texts(answer) {
            prop_assert!(seen.contains(&text), "{text:?}");
        }
    }
}
