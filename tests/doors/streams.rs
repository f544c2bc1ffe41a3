//! WebSockets: how large messages and frames may be, and what becomes of those who do not read.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use touchtone::config::Limits;

use crate::clients::{all, connect_narrow, server};
use crate::support::{Caller, PATIENCE, Somebody};

const HOLD: (&str, &str) =
    ("hold", "<Response><Gather numDigits=\"1\" timeout=\"60\"><Say>Press.</Say></Gather></Response>");

#[tokio::test]
async fn a_message_in_many_small_frames_is_no_longer_than_one_in_a_large_one() {
    let server = server(&[HOLD], "", Limits::default()).await;
    let mut caller = server.call("hold").await;
    caller.hear().await;
    let piece = |code, last| Message::Frame(Frame::message("x".repeat(1000), code, last));
    caller.send_raw(piece(OpCode::Data(Data::Text), false)).await;
    for _ in 0..100 {
        caller.send_raw(piece(OpCode::Data(Data::Continue), false)).await;
    }
    // Reset or closed, and never waited for to end.
    timeout(PATIENCE, caller.close_reason()).await.expect("it read on and on");
}

#[tokio::test]
async fn a_frame_that_says_it_is_huge_is_not_waited_for() {
    let server = server(&[HOLD], "", Limits::default()).await;
    let mut caller = server.call("hold").await;
    caller.hear().await;
    // A text of 2^40 bytes, masked (RFC 6455, section 5.2).
    let MaybeTlsStream::Plain(stream) = caller.socket.get_mut() else { panic!("it is plain") };
    stream.write_all(&[0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4]).await.unwrap();
    timeout(PATIENCE, caller.close_reason()).await.expect("it waited");
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
    let server = server(&[("wait", &document)], "[media]\nidle_timeout = 1000000", Limits::default()).await;
    let stream = MaybeTlsStream::Plain(connect_narrow(server.address).await);
    let url = format!("ws://{}/media/twilio/wait", server.address);
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let mut caller = Caller::begin(socket, "CA1", &[]).await;
    assert_eq!(caller.socket_next().await.unwrap()["event"], "media", "the music plays");
    // From here on time passes as fast as there is nothing else to do.
    tokio::time::pause();
    let is_told = || application.arrived().into_iter().find(|arrived| !arrived.field("Result").is_empty());
    let telling = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if let Some(told) = is_told() {
                return told;
            }
        }
    };
    let told = timeout(Duration::from_secs(1_000_000), telling).await.expect("the call went on");
    assert_eq!(told.field("Result"), "caller-hung-up");
    let MaybeTlsStream::Plain(stream) = caller.socket.get_mut() else { panic!("it is plain") };
    all(stream).await;
    tokio::time::resume();
    assert!(crate::log::line("the platform did not take a message within 10 s").is_some());
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.contains("touchtone_streams_refused_total{why=\"stuck\"}"), "{metrics}");
}
