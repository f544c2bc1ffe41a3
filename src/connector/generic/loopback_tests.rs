use axum::http::StatusCode;
use axum::response::IntoResponse;
use proptest::prelude::*;
use std::sync::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use super::samples::{account, card, charge, tokenize};
use super::*;
use crate::connector::{self, ConnectorConfig};
use crate::exposure::Exposure;
use crate::http::test_server::{TestServer, with_header};
use crate::pay::test_numbers::AcceptedNumbers;
use crate::secret::Secret;

fn connector(endpoint: &str, keys: &[(&str, &str)]) -> Arc<dyn Connector> {
    let mut config = serde_json::json!({ "name": "Shop", "kind": "generic", "endpoint": endpoint });
    for (key, value) in keys {
        config[*key] = (*value).into();
    }
    let config: ConnectorConfig = serde_json::from_value(config).unwrap();
    config.build(&Arc::new(Gateway::new().unwrap()), Exposure::LOOPBACK)
}

async fn submitted(endpoint: &str) -> Answer {
    let instrument = Arc::new(card(Some("123"), Some("94111")));
    connector::submit(&*connector(endpoint, &[]), Arc::new(charge()), Some(instrument), None).await
}

#[tokio::test]
async fn a_charge_is_one_post_of_json_with_basic_authentication() {
    let server = TestServer::answering(200, r#"{"charge_id":"ch_1","error_code":null,"error_message":null}"#).await;
    let connector = connector(&server.url("/pay?tenant=1"), &[("username", "shop"), ("password", "s3cret")]);
    let mut payment_request = charge();
    payment_request.parameters.push(("order".into(), "7".into()));
    let instrument = Arc::new(card(Some("123"), Some("94111")));
    let answer = connector::submit(&*connector, Arc::new(payment_request), Some(instrument), None).await;
    assert!(matches!(answer, Answer::Approved(approval) if approval.confirmation_code.as_deref() == Some("ch_1")));

    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!((seen.method.as_str(), &*seen.target), ("POST", "/pay?tenant=1"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert_eq!(seen.header("user-agent"), Some(crate::http::USER_AGENT));
    // base64 of shop:s3cret
    assert_eq!(seen.header("authorization"), Some("Basic c2hvcDpzM2NyZXQ="));
    assert_eq!(seen.header("content-length"), Some(&*seen.body.len().to_string()));
    assert_eq!(
        seen.text(),
        concat!(
            r#"{"method":"charge","transaction_id":"PK0123456789abcdef0123456789abcdef","#,
            r#""cardnumber":"4111111111111111","cvv":"123","amount":"20.50","currency_code":"USD","#,
            r#""expiry_month":"08","expiry_year":"27","postal_code":"94111","parameters":{"order":"7"}}"#
        )
    );
}

#[tokio::test]
async fn a_repeat_is_the_same_request() {
    let server = TestServer::answering(200, r#"{"token_id":"tok_1"}"#).await;
    let connector = connector(&server.url("/"), &[("bearer", "key_1")]);
    let (payment_request, instrument) = (Arc::new(tokenize()), Arc::new(account()));
    for _ in 0..2 {
        let answer = connector.submit(Arc::clone(&payment_request), Some(Arc::clone(&instrument)), None).await;
        assert!(matches!(answer, Answer::Approved(approval) if approval.token.as_ref().unwrap().matches("tok_1")));
    }
    let [first, second] = &server.seen()[..] else { panic!("two requests") };
    assert_eq!(first.body, second.body);
    // An old connection that dies would look like a gateway that got the request and died.
    assert_ne!(first.peer, second.peer);
    assert_eq!(first.header("authorization"), Some("Bearer key_1"));
    assert!(first.text().starts_with(r#"{"method":"tokenize","#));
}

#[tokio::test]
async fn without_credentials_no_authorization_is_sent() {
    let server = TestServer::answering(200, r#"{"charge_id":1}"#).await;
    submitted(&server.url("/")).await;
    assert_eq!(server.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn each_kind_of_reply_is_its_answer() {
    let server = TestServer::start(|seen, _| match seen.target.as_str() {
        "/declined" => (StatusCode::OK, r#"{"charge_id":null,"error_code":"no"}"#).into_response(),
        "/both" => (StatusCode::OK, r#"{"charge_id":"ch_1","error_code":"no"}"#).into_response(),
        "/payment-required" => (StatusCode::PAYMENT_REQUIRED, r#"{"error_code":"no"}"#).into_response(),
        "/unauthorized" => StatusCode::UNAUTHORIZED.into_response(),
        "/busy" => with_header(429, "retry-after", "2", ""),
        "/busy-after-all" => with_header(503, "retry-after", "2", r#"{"charge_id":"ch_1"}"#),
        "/maintenance" => with_header(503, "retry-after", "30", ""),
        "/down" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "/moved" => with_header(308, "location", "/declined", ""),
        "/html" => (StatusCode::OK, "<html>").into_response(),
        "/long" => {
            (StatusCode::OK, format!(r#"{{"charge_id":"ch_1","x":"{}"}}"#, "x".repeat(64 * 1024))).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    })
    .await;
    for (target, word, wait) in [
        ("/declined", "declined", None),
        ("/both", "declined", None),
        ("/payment-required", "declined", None),
        ("/unauthorized", "refused", None),
        ("/busy", "unknown", Some(2)),
        ("/busy-after-all", "unknown", Some(2)),
        ("/maintenance", "unknown", Some(30)),
        ("/down", "unknown", None),
        ("/moved", "unknown", None),
        ("/html", "unknown", None),
        ("/long", "unknown", None),
        ("/nowhere", "unknown", None),
    ] {
        let answer = submitted(&server.url(target)).await;
        assert_eq!(connector::word(&answer), word, "{target}: {answer:?}");
        if let Answer::Unknown { retry_after, .. } = answer {
            assert_eq!(retry_after, wait.map(Duration::from_secs), "{target}");
        }
    }
    // One request a question: neither the redirect nor anything else was asked again.
    assert_eq!(server.seen().len(), 12);
    for (target, word) in [
        ("/busy", "unknown"),
        ("/busy-after-all", "unknown"),
        ("/maintenance", "not_sent"),
        ("/down", "not_sent"),
        ("/nowhere", "unknown"),
    ] {
        let vouched = connector(&server.url(target), &[("retry_safe", "503")]);
        let instrument = Arc::new(card(Some("123"), Some("94111")));
        let answer = connector::submit(&*vouched, Arc::new(charge()), Some(instrument), None).await;
        assert_eq!(connector::word(&answer), word, "{target}: {answer:?}");
    }
}

#[tokio::test]
async fn a_wait_until_a_date_is_told_by_the_gateway_s_own_clock() {
    // Years before any clock of ours.
    let reply = b"HTTP/1.1 503 Busy\r\ndate: Tue, 14 Nov 2023 22:13:20 GMT\r\n\
        retry-after: Tue, 14 Nov 2023 22:13:27 GMT\r\ncontent-length: 0\r\n\r\n";
    match submitted(&format!("http://{}/", TestServer::raw(&reply[..]).await)).await {
        Answer::Unknown { retry_after, .. } => assert_eq!(retry_after, Some(Duration::from_secs(7))),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reply_that_breaks_off_leaves_the_outcome_unknown() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{\"charge_id\":\"ch_1\"}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n14\r\n{\"charge_id\":\"ch_1\"}\r\n",
        b"SMTP ready\r\n\r\n",
    ] {
        let answer = submitted(&format!("http://{}/", TestServer::raw(bytes).await)).await;
        assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn what_was_never_connected_was_not_sent() {
    let nobody = TestServer::nobody().await;
    let no_tls = TestServer::raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    for endpoint in
        [format!("http://{nobody}/"), format!("https://{no_tls}/"), format!("http://{}.localhost/", "x".repeat(64))]
    {
        let answer = submitted(&endpoint).await;
        assert!(matches!(answer, Answer::NotSent { retry_after: None, .. }), "{endpoint}: {answer:?}");
    }
}

#[tokio::test]
async fn a_dropped_question_counts_as_abandoned() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let endpoint = format!("http://{}/", TestServer::silent().await);
    let asked = tokio::time::timeout(Duration::from_millis(20), submitted(&endpoint)).await;
    assert!(asked.is_err());
    submitted(&format!("http://{}/", TestServer::nobody().await)).await;
    let shown = recorder.handle().render();
    for answer in ["abandoned", "not_sent"] {
        let count = format!("touchtone_gateway_seconds_count{{connector=\"generic\",answer=\"{answer}\"}} 1");
        assert!(shown.contains(&count), "{shown}");
    }
}

#[tokio::test]
async fn a_check_finds_what_is_wrong_without_card_data() {
    let server = TestServer::start(|seen, _| match seen.target.as_str() {
        "/pay" => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        "/closed" => StatusCode::FORBIDDEN.into_response(),
        "/moved" => with_header(301, "location", "/pay", ""),
        _ => StatusCode::BAD_GATEWAY.into_response(),
    })
    .await;
    assert_eq!(connector(&server.url("/pay"), &[]).check().await, Ok(()));
    for (target, text) in [("/closed", "credentials"), ("/moved", "redirect"), ("/down", "out of order")] {
        let refused = connector(&server.url(target), &[]).check().await.unwrap_err();
        assert!(refused.0.contains(text), "{refused}");
    }
    let nobody = format!("http://{}/?key=k1", TestServer::nobody().await);
    let refused = connector(&nobody, &[]).check().await.unwrap_err();
    assert!(refused.0.contains("not reached") && !refused.0.contains("k1"), "{refused}");
    assert!(server.seen().iter().all(|seen| seen.method == Method::HEAD && seen.body.is_empty()));
}

#[tokio::test]
async fn what_the_contract_cannot_do_is_said_and_nothing_is_sent() {
    let server = TestServer::answering(200, r#"{"charge_id":"ch_1"}"#).await;
    let connector = connector(&server.url("/"), &[]);
    let (payment_request, token) = (Arc::new(charge()), Arc::new(Instrument::Token(Secret::new("tok_1".into()))));
    let answer = connector.submit(Arc::clone(&payment_request), Some(token), None).await;
    assert!(matches!(answer, Answer::Refused(PayErrorCode::ChargeUnsupported, _)), "{answer:?}");
    let answer = connector.submit(Arc::clone(&payment_request), None, None).await;
    assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
    assert!(matches!(connector.resolve(Arc::clone(&payment_request), None).await, Resolution::CannotTell));
    assert!(server.seen().is_empty());
}

/// A processor that was written to a vendor's page: it takes that dialect and nothing else, and says no as that page wants.
fn processor(dialect: ContractVariant, body: &[u8]) -> (StatusCode, String) {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let charge = match dialect {
        ContractVariant::Twilio | ContractVariant::Telnyx => text("method") == "charge" && text("amount") == "20.50",
        ContractVariant::SignalWire => text("method") == "credit-card" && body["chargeAmount"] == 20.5,
        ContractVariant::SignalWireSwml => text("method") == "credit-card" && text("chargeAmount") == "20.50",
    };
    let tokenize = match dialect {
        ContractVariant::Twilio | ContractVariant::Telnyx => {
            text("method") == "tokenize" && body.get("amount").is_none()
        }
        ContractVariant::SignalWire => {
            body.get("method").is_none() && body["amount"] == 0 && text("token_type") == "one-time"
        }
        ContractVariant::SignalWireSwml => text("chargeAmount") == "0" && text("token_type") == "one-time",
    };
    assert!(charge != tokenize, "{dialect:?}: {body}");
    assert_eq!(body.get("parameters").is_some(), dialect == ContractVariant::Telnyx);
    let id = if charge { "charge_id" } else { "token_id" };
    let refused = text("cvv") == "999";
    match (dialect, refused) {
        (_, false) => (StatusCode::OK, format!(r#"{{"{id}":"id_1","error_code":null,"error_message":null}}"#)),
        (ContractVariant::Twilio, true) => {
            (StatusCode::OK, format!(r#"{{"{id}":null,"error_code":"no","error_message":"No."}}"#))
        }
        (ContractVariant::Telnyx, true) => (StatusCode::OK, r#"{"error_code":"no","error_message":"No."}"#.to_owned()),
        (ContractVariant::SignalWire | ContractVariant::SignalWireSwml, true) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!(r#"{{"{id}":null,"error_code":"no","error_message":"No."}}"#))
        }
    }
}

#[tokio::test]
async fn each_dialect_is_understood_by_a_processor_of_its_vendor() {
    for dialect in ContractVariant::ALL {
        let server = TestServer::start(|seen, _| processor(*dialect, &seen.body).into_response()).await;
        let connector = connector(&server.url("/pay"), &[("dialect", dialect.word()), ("bearer", "key_1")]);
        assert!(connector.describe().settings.contains(&("dialect", dialect.word().to_owned())));
        for payment_request in [charge(), tokenize()] {
            let payment_request = Arc::new(payment_request);
            let good = Arc::new(card(Some("123"), Some("94111")));
            for _ in 0..2 {
                let answer = connector.submit(Arc::clone(&payment_request), Some(Arc::clone(&good)), None).await;
                let Answer::Approved(approval) = answer else { panic!("{dialect:?}: {answer:?}") };
                let token = approval.token.as_ref().is_some_and(|token| token.matches("id_1"));
                assert!(token != (approval.confirmation_code.as_deref() == Some("id_1")), "{dialect:?}");
            }
            let bad = Some(Arc::new(card(Some("999"), None)));
            match connector.submit(payment_request, bad, None).await {
                Answer::Declined(denial) => {
                    assert_eq!((denial.code.as_deref(), denial.message.as_deref()), (Some("no"), Some("No.")));
                }
                other => panic!("{dialect:?}: {other:?}"),
            }
        }
        let seen = server.seen();
        assert_eq!(seen.len(), 6);
        assert_eq!(seen[0].body, seen[1].body, "a repeat is a repeat");
        assert_eq!(seen[3].body, seen[4].body, "a repeat is a repeat");
        assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer key_1")));
    }
}

#[tokio::test]
async fn signalwire_s_dialects_are_for_cards_only() {
    let server = TestServer::answering(200, r#"{"charge_id":"ch_1"}"#).await;
    for dialect in ContractVariant::ALL {
        let connector = connector(&server.url("/"), &[("dialect", dialect.word())]);
        let can = connector.capabilities();
        let banks = matches!(dialect, ContractVariant::Twilio | ContractVariant::Telnyx);
        assert_eq!((can.charge_card, can.charge_bank, can.charge_token), (true, banks, false), "{dialect:?}");
        assert_eq!(can.tokenize_bank.is_empty(), !banks);
        assert_eq!(can.tokenize_card.contains(&TokenType::PaymentMethod), banks, "no such token_type in its contract");
        assert!(can.tokenize_card.contains(&TokenType::OneTime) && can.tokenize_card.contains(&TokenType::Reusable));
        let answer = connector.submit(Arc::new(charge()), Some(Arc::new(account())), None).await;
        match answer {
            Answer::Approved(_) => assert!(banks),
            Answer::Refused(PayErrorCode::MethodUnsupported, _) => assert!(!banks),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.seen().len(), 2, "nothing of a bank account was sent to SignalWire's kind");
}

#[test]
fn an_instance_in_test_mode_lets_test_numbers_through_only() {
    for (mode, numbers) in [("test", AcceptedNumbers::GENERIC_TEST), ("live", AcceptedNumbers::Any)] {
        let connector = connector("https://gateway.example.com/", &[("mode", mode)]);
        assert_eq!(connector.capabilities().accepted_numbers, numbers);
        assert_eq!(connector.describe().mode.word(), mode);
    }
}

#[test]
fn a_description_shows_no_secret() {
    let keys = [("username", "shop"), ("password", "s3cret")];
    let description = connector("https://gateway.example.com/pay?key=k1", &keys).describe();
    let shown = format!("{description:?}");
    assert!(shown.contains("https://gateway.example.com/pay") && shown.contains("shop"), "{shown}");
    assert!(!shown.contains("k1") && !shown.contains("s3cret"), "{shown}");
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
fn no_level_of_any_log_shows_card_data_credentials_or_a_token() {
    let log = Log::default();
    // While there are two, an event that another test's thread meets first is asked about of both; with one, only that
    // thread is asked, and the event stays off for everybody.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let server = TestServer::answering(200, r#"{"token_id":"tok_shown_to_nobody"}"#).await;
            let keys = [("username", "shop"), ("password", "s3cret")];
            for endpoint in
                [server.url("/pay?key=k3y"), format!("http://{}/?key=k3y", TestServer::raw(b"4111111111111111").await)]
            {
                let connector = connector(&endpoint, &keys);
                for instrument in [card(Some("737"), None), account()] {
                    connector::submit(&*connector, Arc::new(tokenize()), Some(Arc::new(instrument)), None).await;
                }
            }
        });
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("generic gateway answered") && log.contains("nobody knows"), "{log}");
    assert!(log.contains("hyper"), "{log}");
    for secret in ["41111", "737\"", "00012345", "s3cret", "c2hvcDpzM2NyZXQ", "k3y", "tok_shown"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_for_a_reply_are_one_of_five_answers(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut reply = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        reply.extend(bytes);
        let answer = runtime.block_on(async { submitted(&format!("http://{}/", TestServer::raw(reply).await)).await });
        let shown = format!("{answer:?}");
        prop_assert!(!shown.contains("41111"));
    }
}
