//! WebSockets: how large messages and frames may be and how many of them come, and what becomes of those who do not read.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use touchtone::config::ConnectionLimits;

use crate::clients::{all, connect_narrow, server};
use crate::support::{Caller, Somebody, TIME_LIMIT, wait};

const HOLD: (&str, &str) =
    ("hold", "<Response><Gather numDigits=\"1\" timeout=\"60\"><Say>Press.</Say></Gather></Response>");

#[tokio::test]
async fn a_message_in_many_small_frames_is_no_longer_than_one_in_a_large_one() {
    let server = server(&[HOLD], "", ConnectionLimits::default()).await;
    let mut caller = server.call("hold").await;
    caller.hear().await;
    let piece = |code, last| Message::Frame(Frame::message("x".repeat(1000), code, last));
    caller.send_raw(piece(OpCode::Data(Data::Text), false)).await;
    for _ in 0..100 {
        caller.send_raw(piece(OpCode::Data(Data::Continue), false)).await;
    }
    // Reset or closed, and never waited for to end.
    timeout(TIME_LIMIT, caller.close_reason()).await.expect("it read on and on");
}

#[tokio::test]
async fn a_frame_that_says_it_is_huge_is_not_waited_for() {
    let server = server(&[HOLD], "", ConnectionLimits::default()).await;
    let mut caller = server.call("hold").await;
    caller.hear().await;
    // A text of 2^40 bytes, masked (RFC 6455, section 5.2).
    let MaybeTlsStream::Plain(stream) = caller.socket.get_mut() else { panic!("it is plain") };
    stream.write_all(&[0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4]).await.unwrap();
    timeout(TIME_LIMIT, caller.close_reason()).await.expect("it waited");
}

/// A frame of a client, masked with zeros: its first byte (RFC 6455, section 5.2) and what it carries.
fn frame(first: u8, payload: &str) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload.as_bytes()].concat()
}

#[tokio::test]
async fn empty_frames_without_number_are_read_slowly_lose_no_key_and_disturb_no_other_call() {
    let application = Somebody::application("<Response/>").await;
    let document = format!(
        "<Response><Gather numDigits=\"1\" timeout=\"60\" action=\"{}\"/></Response>",
        application.url("/keys")
    );
    let server = server(&[("keys", &document)], "", ConnectionLimits::default()).await;
    let mut flooding = server.call_with("keys", "CAflooding", &[]).await;
    let mut other = server.call_with("keys", "CAother", &[]).await;
    let key = json!({"event": "dtmf", "streamSid": "MZCAflooding", "dtmf": {"digit": "5"}}).to_string();
    let (begin, end) = key.split_at(20);
    let flood = [frame(0x01, begin), frame(0x00, "").repeat(200_000), frame(0x80, end)].concat();
    let MaybeTlsStream::Plain(stream) = flooding.socket.get_mut() else { panic!("it is plain") };
    let begun = tokio::time::Instant::now();
    let heard = |call: &'static str| {
        application.wait_for(move |arrived| arrived.path == "/keys" && arrived.field("CallSid") == call)
    };
    let (sent, heard_of_other) = tokio::join!(stream.write_all(&flood), async {
        other.press("7").await;
        heard("CAother").await
    });
    sent.unwrap();
    assert_eq!(heard_of_other.field("Digits"), "7");
    assert_eq!(heard("CAflooding").await.field("Digits"), "5");
    assert!(begun.elapsed() > Duration::from_millis(500), "1.2 MB at 500 KiB a second");
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.contains("touchtone_streams_slowed_total"), "{metrics}");
}

#[tokio::test]
async fn pings_before_the_start_are_read_as_slowly_as_other_messages() {
    let server = server(&[HOLD], "[media]\nmax_messages_per_second = 50", ConnectionLimits::default()).await;
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/media/twilio/hold", server.address)).await.unwrap();
    let MaybeTlsStream::Plain(stream) = socket.get_mut() else { panic!("it is plain") };
    let begun = tokio::time::Instant::now();
    stream.write_all(&frame(0x89, "").repeat(120)).await.unwrap();
    let mut caller = Caller::begin(socket, "CA1", &[]).await;
    assert!(caller.hear().await, "it is never cut");
    assert!(begun.elapsed() > Duration::from_millis(1_500), "120 pings at 50 a second");
}

/// The merchant's music, minutes of it.
async fn music() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // 16 bits, 8 kHz, one channel; of its own length it says the most there is.
    let mut wav =
        b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data".to_vec();
    let sound = vec![7_u8; 2 * 8000 * 500];
    wav.extend(u32::try_from(sound.len()).unwrap().to_le_bytes());
    wav.extend(sound);
    let app = axum::Router::new().route("/music.wav", axum::routing::get(move || async move { wav }));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

#[tokio::test]
async fn a_platform_that_reads_nothing_loses_its_call_once_the_buffers_are_full() {
    let application = Somebody::application("<Response/>").await;
    let document = format!(
        "<Response><Pay action=\"{0}\" statusCallback=\"{0}\"><Prompt for=\"payment-card-number\"><Play>http://{1}/music.wav</Play></Prompt></Pay></Response>",
        application.url("/paid"),
        music().await
    );
    let server = server(&[("wait", &document)], "[media]\nidle_timeout = 1000000", ConnectionLimits::default()).await;
    let stream = MaybeTlsStream::Plain(connect_narrow(server.address).await);
    let url = format!("ws://{}/media/twilio/wait", server.address);
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let mut caller = Caller::begin(socket, "CA1", &[]).await;
    assert_eq!(caller.socket_next().await.unwrap()["event"], "media", "the music plays");
    // From here on time passes as fast as there is nothing else to do.
    tokio::time::pause();
    let is_told = || application.arrived().into_iter().find(|arrived| !arrived.field("Result").is_empty());
    // In small steps: what comes over a real socket has to be there before its time is over.
    let told = wait::found("the call ends", Duration::from_secs(1_000_000), async || is_told()).await;
    assert_eq!(told.field("Result"), "caller-hung-up");
    let MaybeTlsStream::Plain(stream) = caller.socket.get_mut() else { panic!("it is plain") };
    all(stream).await;
    tokio::time::resume();
    assert!(crate::log::line("the platform did not take a message within 10 s").is_some());
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.contains("touchtone_streams_refused_total{why=\"stuck\"}"), "{metrics}");
}
