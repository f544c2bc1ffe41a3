//! `<Play>`: how many keys, and where a recording may come from.

use std::time::Duration;

use crate::SILENT;
use crate::support::{Caller, Somebody, TestServer};

/// 16 bits, 8 kHz, one channel: half a second of a level that is no silence.
fn wave() -> Vec<u8> {
    let sound = [0x40, 0x20].repeat(4000);
    let mut wave = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data".to_vec();
    wave.extend(u32::try_from(sound.len()).unwrap().to_le_bytes());
    wave.extend(sound);
    let length = u32::try_from(wave.len() - 8).unwrap();
    wave[4..8].copy_from_slice(&length.to_le_bytes());
    wave
}

/// A server of recordings: at `/sound.wav`, and behind redirects.
async fn recordings() -> std::net::SocketAddr {
    use axum::http::{StatusCode, header};
    use axum::routing::get;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let to = |status: StatusCode, location: &'static str| {
        get(move || async move { (status, [(header::LOCATION, location)]) })
    };
    let app = axum::Router::new()
        .route("/sound.wav", get(|| async { wave() }))
        .route("/moved", to(StatusCode::FOUND, "/moved/again"))
        .route("/moved/again", to(StatusCode::PERMANENT_REDIRECT, "../sound.wav"))
        .route("/metadata", to(StatusCode::FOUND, "http://169.254.169.254/latest/sound.wav"))
        .route("/loop", to(StatusCode::FOUND, "/loop"));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// What is heard of a document's first turn, in milliseconds.
async fn heard(server: &TestServer, flow: &str) -> usize {
    let mut caller: Caller = server.call(flow).await;
    caller.hear().await;
    caller.turns[0].len() / 8
}

#[tokio::test]
async fn a_recording_is_followed_where_its_address_leads_and_each_address_is_checked() {
    let address = recordings().await;
    let play = |path: &str| format!("<Response><Play>http://{address}{path}</Play></Response>");
    let (here, moved, metadata, circle) = (play("/sound.wav"), play("/moved"), play("/metadata"), play("/loop"));
    let flows = [("here", &*here), ("moved", &*moved), ("metadata", &*metadata), ("loop", &*circle)];
    let server = TestServer::start(&flows, SILENT).await;
    assert_eq!(heard(&server, "here").await, 500);
    assert_eq!(heard(&server, "moved").await, 500, "two redirects");
    // A tone is heard instead.
    assert_eq!(heard(&server, "metadata").await, 400);
    assert_eq!(heard(&server, "loop").await, 400);
}

#[tokio::test]
async fn more_keys_than_are_played_are_a_fault_and_nothing_is_rendered() {
    let document = format!("<Response><Play digits=\"{}\"/><Play digits=\"1w2\"/></Response>", "W".repeat(60_000));
    let server = TestServer::start(&[("keys", &document)], SILENT).await;
    assert_eq!(heard(&server, "keys").await, 900, "only the second one");
}

#[tokio::test]
async fn a_recording_that_nobody_waits_for_any_more_is_not_fetched_to_its_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let application = Somebody::application("<Response/>").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let document = format!(
        "<Response><Gather numDigits=\"1\" action=\"{}\"><Play>http://{address}/slow.wav</Play></Gather></Response>",
        application.url("/keys")
    );
    let server = TestServer::start(&[("slow", &document)], SILENT).await;
    for hangs_up in [false, true] {
        let mut caller = server.call_with("slow", if hangs_up { "CA1" } else { "CA2" }, &[]).await;
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        assert!(socket.read(&mut buffer).await.unwrap() > 0);
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nRIFF").await.unwrap();
        if hangs_up {
            caller.hang_up().await;
        } else {
            caller.press("1").await;
            application.wait_for(|arrived| arrived.path == "/keys").await;
        }
        // The server closes a request that it has given up, long before its time is over.
        let closing = async { while matches!(socket.read(&mut buffer).await, Ok(1..)) {} };
        tokio::time::timeout(Duration::from_secs(5), closing).await.expect("it is still being fetched");
    }
}
