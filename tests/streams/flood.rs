//! However much is sent, deadlines are met.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::MaybeTlsStream;

use crate::support::{Caller, Somebody, TestServer};
use crate::{SILENT, pay};

/// A frame of a client, masked with zeros: its first byte (RFC 6455, section 5.2) and what it carries.
fn frame(first: u8, payload: &str) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload.as_bytes()].concat()
}

/// Sends `flood` again and again until the other side has enough.
async fn flooded(mut caller: Caller, flood: Vec<u8>) {
    let MaybeTlsStream::Plain(stream) = caller.socket.get_mut() else { panic!("it is plain") };
    while stream.write_all(&flood).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_no_limit_of_messages_a_flood_delays_no_deadline() {
    let application = Somebody::application("<Response/>").await;
    let toml = format!("[media]\nmax_messages_per_second = 0\n{SILENT}");
    let server = TestServer::start(&[("pay", &pay(&application, "timeout=\"1\" maxAttempts=\"1\""))], &toml).await;
    let sound = frame(0x81, r#"{"event":"media","media":{"payload":"//8A"}}"#);
    for (number, (what, flood)) in [
        ("sound", sound.repeat(2_000)),
        ("pings", frame(0x89, "").repeat(10_000)),
        ("pieces of a message that never ends", frame(0x00, "").repeat(10_000)),
    ]
    .into_iter()
    .enumerate()
    {
        let sid = format!("CA{number}");
        let mut caller = server.call_with("pay", &sid, &[]).await;
        caller.hear().await;
        let begun = Instant::now();
        if what.starts_with("pieces") {
            let MaybeTlsStream::Plain(stream) = caller.socket.get_mut() else { panic!("it is plain") };
            stream.write_all(&frame(0x01, "")).await.unwrap();
        }
        let flooding = tokio::spawn(flooded(caller, flood));
        // Two attempts of a second each, between which the prompt is not heard: its own limit is over then.
        let waiting = application.wait_for(|arrived| arrived.field("CallSid") == sid);
        let told = timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("{what}: starved"));
        assert_eq!(told.field("Result"), "too-many-failed-attempts", "{what}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{what}: {:?}", begun.elapsed());
        flooding.abort();
    }
}
