//! Messages that a payment does not need, and those that end its call (spec/media-streams.md, section 10.8).

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Caller, Somebody, TestServer};
use crate::{CARD, SILENT, pay};

/// The `start` that [`Caller`] sends, for the ids given.
fn start(stream: &str, call: &str) -> Value {
    json!({"event": "start", "streamSid": stream, "start": {"streamSid": stream, "callSid": call}})
}

fn dtmf(stream: &str, digit: &Value) -> Message {
    Message::text(json!({"event": "dtmf", "streamSid": stream, "dtmf": {"digit": digit}}).to_string())
}

fn media(stream: &str, payload: &str) -> Message {
    Message::text(json!({"event": "media", "streamSid": stream, "media": {"payload": payload}}).to_string())
}

/// Everything odd that is passed over.
fn odd() -> Vec<Message> {
    let text = Message::text::<&str>;
    vec![
        // Unknown and foreign events.
        text(r#"{"event":"weather","media":7}"#),
        text(r#"{"event":"websocket:dtmf","digit":"5"}"#),
        text(r#"{"ping":1}"#),
        text(r#"{"event":7}"#),
        // Marks.
        text(r#"{"event":"mark"}"#),
        text(r#"{"event":"mark","mark":{"name":"not ours"}}"#),
        text(r#"{"event":"mark","streamSid":"MZother","mark":{"name":"p-1"}}"#),
        // Starts, greetings and ends.
        Message::text(start("MZCA1", "CA1").to_string()),
        text(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#),
        text(r#"{"event":"stop","streamSid":"MZother"}"#),
        text(r#"{"event":"stop","stop":{"callSid":"CAother"}}"#),
        // Sound.
        media("MZother", "//8A"),
        media("MZCA1", "no base64!"),
        media("MZCA1", &"f".repeat(21_336)),
        text(r#"{"event":"media"}"#),
        text(r#"{"event":"media","media":["inbound","//8A"]}"#),
        // What is no message at all.
        text(""),
        text("\u{feff}"),
        text("hello"),
        text("{\"event\":"),
        text("[1,2]"),
        text("7"),
        Message::text("[".repeat(50_000)),
        Message::binary(vec![1, 2, 3]),
        Message::binary(Vec::new()),
    ]
}

#[tokio::test]
async fn a_payment_succeeds_amid_everything_that_it_does_not_need() {
    let application = Somebody::application("<Response/>").await;
    let server = TestServer::start(&[("pay", &pay(&application, "chargeAmount=\"1\""))], SILENT).await;
    let mut caller = server.call("pay").await;
    caller.hear().await;
    let (first, rest) = CARD[0].split_at(8);
    caller.press(first).await;
    for message in odd() {
        caller.send_raw(message).await;
    }
    caller.press(rest).await;
    caller.pay(&CARD[1..]).await;
    let paid = application.result().await;
    assert_eq!(paid.field("Result"), "success", "{:?}", paid.fields());
    let (_, metrics) = server.get("/metrics").await;
    for why in ["unknown_event", "no_event", "nameless_mark", "repeated_start", "undecodable_sound", "empty", "binary"]
    {
        let counted = format!("touchtone_media_messages_ignored_total{{why=\"{why}\"}}");
        assert!(metrics.contains(&counted), "{why}: {metrics}");
    }
}

#[tokio::test]
async fn odd_messages_before_the_start_are_passed_over_too() {
    let application = Somebody::application("<Response/>").await;
    let server = TestServer::start(&[("pay", &pay(&application, "chargeAmount=\"1\""))], SILENT).await;
    let url = format!("ws://{}/media/twilio/pay", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    for message in [
        Message::text(""),
        Message::text(r#"{"ping":1}"#),
        Message::binary(vec![0xff; 160]),
        dtmf("MZCA1", &json!("1")),
        media("MZCA1", "//8A"),
        Message::text(r#"{"event":"mark","mark":{"name":"p-1"}}"#),
    ] {
        futures_util::SinkExt::send(&mut socket, message).await.unwrap();
    }
    Caller::begin(socket, "CA1", &[]).await.pay(&CARD).await;
    assert_eq!(application.result().await.field("Result"), "success");
}

#[tokio::test]
async fn the_call_ends_for_what_protects_it() {
    let application = Somebody::application("<Response/>").await;
    let server = TestServer::start(&[("pay", &pay(&application, "chargeAmount=\"1\""))], SILENT).await;
    for (number, (what, message)) in [
        ("a message of more than 64 KiB", Message::text(" ".repeat(65_537))),
        ("another call's start", Message::text(start("MZother", "CAother").to_string())),
        ("another stream's key", dtmf("MZother", &json!("1"))),
        ("two keys in one", dtmf("MZCAn", &json!("12"))),
        ("a key that is none", dtmf("MZCAn", &json!({"key": 1}))),
        ("no key", Message::text(r#"{"event":"dtmf"}"#)),
        ("a key that is cut off", Message::text(r#"{"event":"dtmf","dtmf":{"digit":"#)),
        ("a key in a list", Message::text(r#"[{"event":"dtmf","dtmf":{"digit":"1"}}]"#)),
    ]
    .into_iter()
    .enumerate()
    {
        let sid = format!("CA{number}");
        let message = match message {
            Message::Text(text) => Message::text(text.replace("CAn", &sid)),
            other => other,
        };
        let mut caller = server.call_with("pay", &sid, &[]).await;
        caller.hear().await;
        caller.press("42").await;
        caller.send_raw(message).await;
        let (code, reason) = caller.close_reason().await.unwrap_or_else(|| panic!("{what}: no close frame"));
        assert!(matches!(code, 1002 | 1009) && !reason.is_empty(), "{what}: {code} {reason}");
        let told = application.wait_for(|arrived| arrived.field("CallSid") == sid).await;
        assert_eq!(told.field("Result"), "caller-hung-up", "{what}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_passed_over_where_no_field_is_entered() {
    let application = Somebody::application("<Response/>").await;
    let document = format!(
        "<Response><Say>Welcome.</Say><Pay chargeAmount=\"1\" action=\"{}\"/></Response>",
        application.url("/paid")
    );
    // The words are played, so that the first key comes while they are.
    let server = TestServer::start(&[("pay", &document)], "").await;
    let mut caller = server.call("pay").await;
    assert_eq!(caller.socket_next().await.unwrap()["event"], "media");
    caller.send_raw(dtmf("MZCA1", &json!("none"))).await;
    caller.hear().await;
    caller.pay(&CARD).await;
    assert_eq!(application.result().await.field("Result"), "success");
}

#[tokio::test]
async fn the_hundred_and_first_odd_message_ends_the_call_and_the_log_says_once_what_was_odd() {
    let application = Somebody::application("<Response/>").await;
    let server = TestServer::start(&[("pay", &pay(&application, "timeout=\"60\""))], SILENT).await;
    let mut caller = server.call("pay").await;
    caller.hear().await;
    for _ in 0..100 {
        caller.send_raw(Message::text(r#"{"ping":1}"#)).await;
    }
    caller.press("*").await;
    let told = application.result().await;
    assert_eq!(told.field("Result"), "caller-interrupted-with-star", "a hundred are passed over");
    caller.hear_out().await;

    let mut caller = server.call_with("pay", "CA2", &[]).await;
    caller.hear().await;
    for _ in 0..101 {
        caller.send_raw(Message::text(r#"{"ping":1}"#)).await;
    }
    let (code, reason) = caller.close_reason().await.unwrap();
    assert_eq!(code, 1008, "{reason}");
    assert!(reason.contains("100 messages"), "{reason}");
    let told = application.wait_for(|arrived| arrived.field("CallSid") == "CA2").await;
    assert_eq!(told.field("Result"), "caller-hung-up");
}

#[tokio::test]
async fn another_platform_s_first_message_is_told_apart() {
    let application = Somebody::application("<Response/>").await;
    let server = TestServer::start(&[("pay", &pay(&application, ""))], SILENT).await;
    for (message, platform) in [
        (r#"{"event":"websocket:connected","content-type":"audio/l16;rate=16000"}"#, "Vonage"),
        (r#"{"event":"MEDIA_START","connection_id":"1"}"#, "Asterisk"),
        ("MEDIA_START connection_id:1", "Asterisk"),
        (r#"{"callSid":"x","sampleRate":8000,"mixType":"mono"}"#, "jambonz"),
        (r#"{"sequenceNumber":0,"event":"start","start":{"callId":"1","streamId":"2"}}"#, "Plivo"),
        (r#"{"event":"start","stream_id":"1","start":{"call_control_id":"2"}}"#, "Telnyx"),
    ] {
        let url = format!("ws://{}/media/twilio/pay", server.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut caller = Caller::around(socket);
        caller.send_raw(Message::text(message)).await;
        let (code, reason) = caller.close_reason().await.unwrap();
        assert_eq!(code, 1002, "{reason}");
        assert!(reason.contains(platform), "{reason}");
    }
}
