//! Calls over a real socket: every result, the generic connector, who may come in, and how a stream ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use support::{ACCOUNT, Arrived, Somebody, TOKEN, TestServer, is_signed};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use touchtone::connector::{CheckRefused, Connector, Description, Mode};
use touchtone::pay::gateway::{
    Answer, Capabilities, Instrument, PaymentRequest, Preparation, RecoveryNote, Resolution,
};
use touchtone::secret::Secret;

const SILENT: &str = "[speech]\nengine = \"none\"";

/// A document with one `<Pay>` whose requests go to `somebody`.
fn pay(somebody: &Somebody, attributes: &str) -> String {
    format!(
        "<Response><Pay action=\"{}\" statusCallback=\"{}\" {attributes}/></Response>",
        somebody.url("/paid"),
        somebody.url("/status")
    )
}

async fn one_call(attributes: &str) -> (TestServer, Somebody) {
    let application = Somebody::application("<Response/>").await;
    let server = TestServer::start(&[("pay", &pay(&application, attributes))], SILENT).await;
    (server, application)
}

fn assert_result(arrived: &Arrived, result: &str, code: &str) {
    let fields = arrived.fields();
    assert_eq!(arrived.field("Result"), result, "{fields:?}");
    assert_eq!(arrived.field("PayErrorCode"), code, "{fields:?}");
}

const CARD: [&str; 4] = ["4242424242424242", "1228", "94111", "123"];

#[tokio::test]
async fn a_card_payment_succeeds_with_masks_and_signatures() {
    let (server, application) = one_call("chargeAmount=\"20.45\"").await;
    let mut caller = server.call_with("pay", "CA7", &[("From", "+15551234567")]).await;
    caller.pay(&CARD).await;
    let paid = application.result().await;
    assert_result(&paid, "success", "");
    for (name, value) in [
        ("AccountSid", ACCOUNT),
        ("CallSid", "CA7"),
        ("From", "+15551234567"),
        ("CallStatus", "in-progress"),
        ("PaymentCardNumber", "xxxx-xxxx-xxxx-4242"),
        ("PaymentCardType", "visa"),
        ("ExpirationDate", "1228"),
        ("SecurityCode", "xxx"),
        ("PaymentCardPostalCode", "94111"),
        ("PaymentMethod", "credit-card"),
        ("PaymentConnector", "Default"),
    ] {
        assert_eq!(paid.field(name), value, "{name}");
    }
    assert!(paid.field("PaymentConfirmationCode").starts_with("ch_"));
    application.wait_for(|arrived| arrived.path == "/status" && arrived.field("Result") == "success").await;
    let all = application.arrived();
    assert!(all.iter().all(|arrived| is_signed(&application, arrived)));
    let mut tokens: Vec<String> = all.iter().map(|arrived| arrived.header("I-Twilio-Idempotency-Token")).collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), all.len(), "each request has a token of its own");
    let steps: Vec<String> =
        all.iter().filter(|arrived| arrived.path == "/status").map(|arrived| arrived.field("For")).collect();
    let expected = ["payment-card-number", "expiration-date", "postal-code", "security-code", "payment-processing"];
    assert_eq!(steps, expected.iter().flat_map(|step| [*step, *step]).collect::<Vec<_>>(), "in order");
    let masked =
        all.iter().find(|arrived| arrived.path == "/status" && !arrived.field("PaymentCardNumber").is_empty()).unwrap();
    assert_eq!(masked.field("PaymentCardNumber"), "xxxxxxxxxxxx4242");
}

#[tokio::test]
async fn a_step_that_fails_too_often_ends_the_payment() {
    let (server, application) = one_call("").await;
    server.call("pay").await.pay(&["#", "1#"]).await;
    assert_result(&application.result().await, "too-many-failed-attempts", "");
}

#[tokio::test]
async fn a_declined_card_is_the_connector_s_error() {
    let (server, application) = one_call("chargeAmount=\"5\"").await;
    server.call("pay").await.pay(&["4000000000000002", "1228", "94111", "123"]).await;
    let paid = application.result().await;
    assert_result(&paid, "payment-connector-error", "64012");
    assert_eq!(paid.field("ConnectorError"), "card_declined");
}

#[tokio::test]
async fn a_star_ends_the_payment() {
    let (server, application) = one_call("").await;
    server.call("pay").await.pay(&["42*"]).await;
    assert_result(&application.result().await, "caller-interrupted-with-star", "");
}

#[tokio::test]
async fn a_hang_up_is_told() {
    let (server, application) = one_call("").await;
    let mut caller = server.call("pay").await;
    caller.hear().await;
    caller.press("4242").await;
    caller.hang_up().await;
    let paid = application.result().await;
    assert_result(&paid, "caller-hung-up", "");
    assert_eq!(paid.field("CallStatus"), "completed");
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_a_hang_up() {
    let (server, application) = one_call("").await;
    let mut caller = server.call("pay").await;
    caller.hear().await;
    drop(caller);
    assert_result(&application.result().await, "caller-hung-up", "");
}

#[tokio::test]
async fn a_wrong_attribute_is_a_validation_error_before_a_word_is_said() {
    let (server, application) = one_call("chargeAmount=\"lots\"").await;
    let mut caller = server.call("pay").await;
    caller.hear_out().await;
    assert!(caller.turns.is_empty());
    let paid = application.result().await;
    assert_result(&paid, "validation-error", "64003");
    assert!(paid.field("PaymentError").contains("chargeAmount=\"lots\""));
}

#[tokio::test]
async fn two_at_the_confirmation_cancels() {
    let (server, application) = one_call("confirmation=\"true\"").await;
    server.call("pay").await.pay(&["4242424242424242", "1228", "94111", "123", "2"]).await;
    assert_result(&application.result().await, "transaction-cancelled", "");
}

/// A connector with a fault.
struct Broken;

impl Connector for Broken {
    fn describe(&self) -> Description {
        Description { kind: "broken", mode: Mode::Test, settings: Vec::new() }
    }

    fn capabilities(&self) -> Capabilities {
        touchtone::pay::sandbox::capabilities()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), CheckRefused>> {
        std::future::ready(Ok(())).boxed()
    }

    fn prepare(&self, _: Arc<PaymentRequest>, _: Arc<Instrument>) -> BoxFuture<'_, Preparation> {
        panic!("a fault of the connector")
    }

    fn submit(
        &self,
        _: Arc<PaymentRequest>,
        _: Option<Arc<Instrument>>,
        _: Option<RecoveryNote>,
    ) -> BoxFuture<'_, Answer> {
        unreachable!("nothing is submitted that could not be prepared")
    }

    fn resolve(&self, _: Arc<PaymentRequest>, _: Option<RecoveryNote>) -> BoxFuture<'_, Resolution> {
        std::future::ready(Resolution::CannotTell).boxed()
    }
}

#[tokio::test]
async fn a_connector_that_panics_is_an_internal_error_and_the_server_goes_on() {
    let application = Somebody::application("<Response/>").await;
    let document = pay(&application, "paymentConnector=\"Broken\"");
    let server = TestServer::start_with(&[("pay", &document)], SILENT, |registry| {
        registry.insert("Broken", Arc::new(Broken)).unwrap();
    })
    .await;
    server.call("pay").await.pay(&CARD).await;
    assert_result(&application.result().await, "internal-error", "");
    assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
}

/// A payment processor that speaks Twilio's generic contract.
async fn processor(answer: impl Fn(&Value) -> (u16, Value) + Send + Sync + 'static) -> Somebody {
    Somebody::start(move |arrived| {
        let (status, body) = answer(&serde_json::from_str(&arrived.body).unwrap());
        (status, body.to_string())
    })
    .await
}

fn generic(processor: &Somebody, mode: &str) -> String {
    format!(
        "{SILENT}\n[[connector]]\nname = \"Default\"\nkind = \"generic\"\nmode = \"{mode}\"\nendpoint = \"{}\"\nusername = \"shop\"\npassword = \"secret\"",
        processor.url("/pay")
    )
}

#[tokio::test]
async fn a_generic_gateway_is_asked_in_twilio_s_words() {
    let processor =
        processor(|_| (200, json!({"charge_id": "ch_77", "error_code": null, "parameters": {"avs": "Y"}}))).await;
    let application = Somebody::application("<Response/>").await;
    let document = format!(
        "<Response><Pay chargeAmount=\"10\" description=\"pizza\" action=\"{}\"><Parameter name=\"order\" value=\"9\"/></Pay></Response>",
        application.url("/paid")
    );
    let server = TestServer::start(&[("pay", &document)], &generic(&processor, "test")).await;
    server.call("pay").await.pay(&["4111111111111111", "1228", "94111", "123"]).await;
    let paid = application.result().await;
    assert_result(&paid, "success", "");
    assert_eq!(paid.field("PaymentConfirmationCode"), "ch_77");
    assert_eq!(paid.field("PayConnector_avs"), "Y");
    let asked = &processor.arrived()[0];
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body["method"], "charge");
    assert_eq!(body["cardnumber"], "4111111111111111");
    assert_eq!((&body["expiry_month"], &body["expiry_year"]), (&json!("12"), &json!("28")));
    assert_eq!((&body["cvv"], &body["postal_code"]), (&json!("123"), &json!("94111")));
    assert_eq!((&body["amount"], &body["currency_code"]), (&json!("10.00"), &json!("USD")));
    assert_eq!((&body["description"], &body["parameters"]), (&json!("pizza"), &json!({"order": "9"})));
    assert_eq!(asked.header("Authorization"), "Basic c2hvcDpzZWNyZXQ=");
}

#[tokio::test]
async fn in_test_mode_a_number_off_the_list_never_reaches_the_gateway() {
    let processor = processor(|_| (200, json!({"charge_id": "ch_1"}))).await;
    let application = Somebody::application("<Response/>").await;
    let document = pay(&application, "chargeAmount=\"10\"");
    let server = TestServer::start(&[("pay", &document)], &generic(&processor, "test")).await;
    server.call("pay").await.pay(&CARD).await;
    assert_result(&application.result().await, "payment-connector-error", "64022");
    assert!(processor.arrived().is_empty());
}

#[tokio::test]
async fn a_gateway_that_quotes_the_card_back_is_not_repeated_to_the_application() {
    let processor = processor(|body| {
        let (number, code) = (body["cardnumber"].as_str().unwrap(), body["cvv"].as_str().unwrap());
        (400, json!({"error_code": "bad_card", "error_message": format!("card {number} cvv {code} was refused"), "parameters": {"echo": number}}))
    })
    .await;
    let application = Somebody::application("<Response/>").await;
    let document = pay(&application, "chargeAmount=\"10\"");
    let server = TestServer::start(&[("pay", &document)], &generic(&processor, "live")).await;
    server.call("pay").await.pay(&["4929420573595709", "1228", "94111", "837"]).await;
    let paid = application.result().await;
    assert_result(&paid, "payment-connector-error", "64012");
    assert_eq!(paid.field("PaymentError"), "card xxxxxxxxxxxxxxxx cvv xxx was refused");
    assert!(application.arrived().iter().all(|arrived| !arrived.body.contains("4929420573595709")));
}

#[tokio::test]
async fn an_unknown_outcome_is_told_as_unknown_and_never_as_a_decline() {
    // An answer with neither id nor error: the money may have moved.
    let processor = processor(|_| (200, json!({"message": "hello"}))).await;
    let application = Somebody::application("<Response/>").await;
    let document = pay(&application, "chargeAmount=\"10\"");
    let server = TestServer::start(&[("pay", &document)], &generic(&processor, "live")).await;
    server.call("pay").await.pay(&CARD).await;
    let paid = application.result().await;
    assert_result(&paid, "payment-connector-error", "64002");
    assert_eq!(paid.field("PaymentError"), "outcome unknown");
    let asked = processor.arrived();
    let ids: Vec<Value> = asked
        .iter()
        .map(|asked| serde_json::from_str::<Value>(&asked.body).unwrap()["transaction_id"].clone())
        .collect();
    assert_eq!(ids.len(), 6, "once and five repeats");
    assert!(ids.iter().all(|id| *id == ids[0]), "the same transaction each time");
}

#[tokio::test]
async fn the_action_s_answer_is_the_next_document() {
    let application = Somebody::application("<Response><Say>Thank you.</Say><Hangup/></Response>").await;
    let server = TestServer::start(&[("pay", &pay(&application, "timeout=\"1\""))], SILENT).await;
    let mut caller = server.call("pay").await;
    caller.pay(&["*"]).await;
    assert_eq!(caller.turns.len(), 2, "the prompt and the thanks");
}

#[tokio::test]
async fn an_application_that_fails_is_apologized_for_and_error_url_is_told() {
    let application =
        Somebody::start(|arrived| if arrived.path == "/errors" { (200, String::new()) } else { (500, String::new()) })
            .await;
    let toml = format!("error_url = \"{}\"\n{SILENT}", application.url("/errors"));
    let server = TestServer::start(&[("pay", &pay(&application, ""))], &toml).await;
    let mut caller = server.call("pay").await;
    caller.pay(&["*"]).await;
    assert_eq!(caller.turns.len(), 2, "the prompt and the apology");
    let told = application.wait_for(|arrived| arrived.path == "/errors").await;
    assert_eq!((told.field("CallSid").as_str(), told.field("ErrorCode").as_str()), ("CA1", "11200"));
    assert!(told.field("ErrorMessage").contains("500"));
}

#[tokio::test]
async fn a_card_number_that_was_keyed_into_a_gather_is_told_to_error_url_without_its_digits() {
    for (name, flow, said) in [
        ("amount", "<Response><Pay chargeAmount=\"{{ Digits }}\"/></Response>", "chargeAmount"),
        ("timeout", "<Response><Pay timeout=\"{{ Digits }}\"/></Response>", "timeout"),
        ("flow", "<Response><Redirect>{{ Digits }}</Redirect></Response>", "there is no flow named"),
        ("connector", "<Response><Pay paymentConnector=\"{{ Digits }}\"/></Response>", "there is no connector named"),
    ] {
        let application = Somebody::application("<Response/>").await;
        let toml = format!("error_url = \"{}\"\n{SILENT}", application.url("/errors"));
        let flow = flow.replace("<Pay ", &format!("<Pay action=\"{}\" ", application.url("/paid")));
        let gather = format!("<Response><Gather action=\"{name}\"/></Response>");
        let server = TestServer::start(&[("gather", &gather), (name, &flow)], &toml).await;
        let mut caller = server.call("gather").await;
        caller.press("4539578763621486#").await;
        let told = match name {
            "connector" => application.wait_for(|arrived| arrived.path == "/paid").await.field("PaymentError"),
            _ => application.wait_for(|arrived| arrived.path == "/errors").await.field("ErrorMessage"),
        };
        caller.hear_out().await;
        assert!(told.contains(said) && told.contains("xxxxxxxxxxxxxxxx"), "{name}: {told}");
        for arrived in application.arrived() {
            assert!(!arrived.body.contains("453957876"), "{name}: {}", arrived.body);
        }
    }
}

#[tokio::test]
async fn verbs_that_need_the_telephone_network_are_skipped_and_told() {
    let application = Somebody::application("").await;
    let toml = format!("error_url = \"{}\"\n{SILENT}", application.url("/status"));
    let document = "<Response>\n  <Dial>+15551234567</Dial>\n  <Say>Still here.</Say>\n</Response>";
    let server = TestServer::start(&[("dial", document)], &toml).await;
    let mut caller = server.call("dial").await;
    caller.hear_out().await;
    assert_eq!(caller.turns.len(), 1);
    let told = application.wait_for(|arrived| arrived.path == "/status").await;
    assert!(
        told.field("ErrorMessage").contains("<Dial>") && told.field("ErrorMessage").contains("2:3"),
        "{}",
        told.field("ErrorMessage")
    );
}

#[tokio::test]
async fn a_key_cuts_the_prompt_and_the_platform_is_told_to_drop_it() {
    let (server, _application) = one_call("").await;
    let mut caller = server.call("pay").await;
    // The first mark is held back: for the server the prompt is still being heard.
    while !matches!(caller.socket_next().await, Some(message) if message["event"] == "mark") {}
    caller.press("4").await;
    while !matches!(caller.socket_next().await, Some(message) if message["event"] == "clear") {}
    assert_eq!(caller.cleared, 1);
}

#[tokio::test]
async fn an_upgrade_must_be_signed_where_that_is_required() {
    let toml = format!("public_url = \"https://pay.example.com\"\n[media]\nrequire_signature = true\n{SILENT}");
    let server = TestServer::start(&[("pay", "<Response/>")], &toml).await;
    let url = format!("ws://{}/media/twilio/pay", server.address);
    let status = |result: Result<_, Error>| match result {
        Err(Error::Http(response)) => response.status().as_u16(),
        Ok(_) => 101,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(status(tokio_tungstenite::connect_async(&url).await), 403);
    for (signed, expected) in [
        ("wss://pay.example.com/media/twilio/pay", 101),
        ("wss://pay.example.com:443/media/twilio/pay", 101),
        ("wss://evil.example.com/media/twilio/pay", 403),
    ] {
        let mut request = url.as_str().into_client_request().unwrap();
        let signature = touchtone::signature::sign(&Secret::new(TOKEN.to_owned()), signed, None);
        request.headers_mut().insert("X-Twilio-Signature", signature.parse().unwrap());
        assert_eq!(status(tokio_tungstenite::connect_async(request).await), expected, "{signed}");
    }
}

#[tokio::test]
async fn there_is_a_limit_to_calls_and_flows_that_are_not_there_are_not_found() {
    let toml = format!("[media]\nmax_calls = 1\n{SILENT}");
    let server = TestServer::start(&[("wait", "<Response><Pause length=\"60\"/></Response>")], &toml).await;
    let status = |path: &str| {
        let url = format!("ws://{}{path}", server.address);
        async move {
            match tokio_tungstenite::connect_async(url).await {
                Err(Error::Http(response)) => response.status().as_u16(),
                Ok(_) => 101,
                Err(other) => panic!("{other}"),
            }
        }
    };
    assert_eq!(status("/media/twilio/nothing").await, 404);
    assert_eq!(status("/media/morse/wait").await, 404);
    let first = server.call("wait").await;
    assert_eq!(status("/media/twilio/wait").await, 503);
    first.hang_up().await;
}

#[tokio::test]
async fn prompts_are_audible() {
    let server =
        TestServer::start(&[("hello", "<Response><Say>Please enter your card number.</Say></Response>")], "").await;
    let mut caller = server.call("hello").await;
    caller.hear_out().await;
    let samples = touchtone::audio::decode(&caller.turns[0]);
    let seconds = samples.len() as f64 / 8000.0;
    let rms = (samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64).sqrt();
    assert!((1.0..4.0).contains(&seconds), "{seconds} s");
    assert!(rms > 500.0, "rms {rms}");
}

#[tokio::test]
async fn a_recording_of_the_application_is_played() {
    let wav = wave(&touchtone::tone::generate::beep());
    let application = {
        use axum::routing::get;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new().route("/beep.wav", get(move || async move { wav }));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        address
    };
    let document = format!("<Response><Play loop=\"2\">http://{application}/beep.wav</Play></Response>");
    let server = TestServer::start(&[("play", &document)], SILENT).await;
    let mut caller = server.call("play").await;
    caller.hear_out().await;
    let once = touchtone::tone::generate::beep().len();
    let heard = caller.turns[0].len();
    assert!((2 * once..2 * once + 400).contains(&heard), "{heard} of 2 x {once}");
}

/// A RIFF file of 8 kHz samples.
fn wave(samples: &[i16]) -> Vec<u8> {
    let size = u32::try_from(samples.len() * 2).unwrap();
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + size).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    for half in [1_u16, 1] {
        file.extend(half.to_le_bytes());
    }
    for word in [8000_u32, 16000] {
        file.extend(word.to_le_bytes());
    }
    for half in [2_u16, 16] {
        file.extend(half.to_le_bytes());
    }
    file.extend(b"data");
    file.extend(size.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

#[tokio::test]
async fn metrics_count_calls_steps_and_results() {
    let (server, application) = one_call("").await;
    server.call("pay").await.pay(&["*"]).await;
    application.result().await;
    let (status, text) = server.get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "touchtone_calls_started_total",
        "touchtone_pay_results_total{result=\"caller-interrupted-with-star\"}",
        "touchtone_pay_steps_total{step=\"payment-card-number\"}",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn rubbish_ends_its_own_call_with_a_reason_and_leaves_the_others_alone() {
    let (server, application) = one_call("chargeAmount=\"1\"").await;
    let mut good = server.call_with("pay", "CAgood", &[]).await;
    good.hear().await;
    let nested = "[".repeat(50_000);
    let start = |call: &str| json!({"event": "start", "streamSid": format!("MZ{call}"), "start": {"streamSid": format!("MZ{call}"), "callSid": call}});
    let dtmf =
        |sid: &str, digit: &str| json!({"event": "dtmf", "streamSid": sid, "dtmf": {"digit": digit}}).to_string();
    let rubbish: Vec<(&str, Message)> = vec![
        ("half a key", Message::text("{\"event\":\"dtmf\"")),
        ("a key behind nested brackets", Message::text(format!("{nested}\"dtmf\""))),
        ("a frame of 10 MB", Message::text("x".repeat(10_000_000))),
        ("another call's start", Message::text(start("CAother").to_string())),
        ("another stream's id", Message::text(dtmf("MZother", "1"))),
        ("a digit that is a sentence", Message::text(dtmf("MZCAbad", "press one for sales"))),
    ];
    for (what, message) in rubbish {
        let mut bad = server.call_with("pay", "CAbad", &[]).await;
        bad.hear().await;
        bad.send_raw(message).await;
        let closed = bad.close_reason().await;
        // What is too large is not even read to its end: the connection may be reset instead of closed.
        if what != "a frame of 10 MB" {
            let (code, reason) = closed.unwrap_or_else(|| panic!("{what}: no close frame"));
            assert!(matches!(code, 1002 | 1009), "{what}: {code}");
            assert!(!reason.is_empty(), "{what}");
        }
        let told = application.wait_for(|arrived| arrived.path == "/paid" && arrived.field("CallSid") == "CAbad").await;
        assert_eq!(told.field("Result"), "caller-hung-up", "{what}");
    }
    // A start that cannot be used.
    let url = format!("ws://{}/media/twilio/pay", server.address);
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let mut early = support::Caller::around(socket);
    early.send_raw(Message::text(json!({"event": "start", "start": {"callSid": "CA1"}}).to_string())).await;
    assert_eq!(early.close_reason().await.unwrap().0, 1002);
    // The good call has not noticed.
    good.press(CARD[0]).await;
    good.pay(&CARD[1..]).await;
    let paid = application.wait_for(|arrived| arrived.path == "/paid" && arrived.field("CallSid") == "CAgood").await;
    assert_eq!(paid.field("Result"), "success");
}

#[tokio::test]
async fn a_stream_without_a_word_is_given_up() {
    let application = Somebody::application("<Response/>").await;
    let toml = format!("[media]\nidle_timeout = 1\n{SILENT}");
    let server = TestServer::start(&[("pay", &pay(&application, ""))], &toml).await;
    let mut caller = server.call("pay").await;
    let (code, reason) = caller.close_reason().await.unwrap();
    assert_eq!(code, 1008);
    assert!(reason.contains("no message for 1 s"), "{reason}");
    assert_eq!(application.result().await.field("Result"), "caller-hung-up");
}

#[tokio::test]
async fn a_second_stream_of_a_live_call_is_refused() {
    let (server, _application) = one_call("").await;
    let mut first = server.call_with("pay", "CAtwin", &[]).await;
    first.hear().await;
    let mut second = server.call_with("pay", "CAtwin", &[]).await;
    let (_, reason) = second.close_reason().await.unwrap();
    assert!(reason.contains("live already"), "{reason}");
    first.press("*").await;
    first.hear_out().await;
}

#[tokio::test]
async fn more_messages_than_allowed_are_read_more_slowly_and_none_is_lost() {
    let application = Somebody::application("<Response/>").await;
    let toml = format!("[media]\nmax_messages_per_second = 40\n{SILENT}");
    let document = format!("<Response><Gather numDigits=\"60\" action=\"{}\"/></Response>", application.url("/paid"));
    let server = TestServer::start(&[("keys", &document)], &toml).await;
    let mut caller = server.call("keys").await;
    let keys: String = "1234567890".repeat(6);
    let begun = tokio::time::Instant::now();
    caller.press(&keys).await;
    assert_eq!(application.result().await.field("Digits"), keys);
    assert!(begun.elapsed() > Duration::from_millis(500), "62 messages at 40 a second");
}
