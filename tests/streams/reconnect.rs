//! A `CallSid` is taken only while its stream lives.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Somebody, TestServer};
use crate::{CARD, SILENT, pay};

#[tokio::test]
async fn a_platform_that_reconnects_at_once_is_let_in_while_the_first_stream_s_requests_are_not_done() {
    // Whoever the first stream's action goes to, does not answer yet.
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let first = format!(
        "<Response><Pay chargeAmount=\"1\" action=\"http://{}/first\"/></Response>",
        slow.local_addr().unwrap()
    );
    let application = Somebody::application("<Response/>").await;
    let then = pay(&application, "chargeAmount=\"1\"");
    let server = TestServer::start(&[("first", &first), ("second", &then)], SILENT).await;
    let mut caller = server.call_with("first", "CAagain", &[]).await;
    caller.hear().await;
    caller.hang_up().await;
    let (mut asked, _) = slow.accept().await.unwrap();
    let mut buffer = [0; 4096];
    let length = asked.read(&mut buffer).await.unwrap();
    assert!(String::from_utf8_lossy(&buffer[..length]).contains("/first"));

    let mut caller = server.call_with("second", "CAagain", &[]).await;
    assert!(caller.hear().await, "the second stream is refused");
    // A third one at the same time is a duplicate, whatever became of the first.
    let mut twin = server.call_with("second", "CAagain", &[]).await;
    let (_, reason) = twin.close_reason().await.unwrap();
    assert!(reason.contains("live already"), "{reason}");
    // The end of the first one's requests touches the second one in nothing.
    asked.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
    while matches!(asked.read(&mut buffer).await, Ok(1..)) {}
    caller.press(CARD[0]).await;
    let mut twin = server.call_with("second", "CAagain", &[]).await;
    let (_, reason) = twin.close_reason().await.unwrap();
    assert!(reason.contains("live already"), "{reason}");
    caller.pay(&CARD[1..]).await;
    assert_eq!(application.result().await.field("Result"), "success");
}
