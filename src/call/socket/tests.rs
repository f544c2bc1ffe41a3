use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// Both ends of a stream: the platform's as a client library speaks it, and ours.
async fn pair() -> (WebSocketStream<DuplexStream>, WebSocket<DuplexStream>) {
    let (client, server) = duplex(1 << 20);
    let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    (client, WebSocket::new(server, WebSocketConfig::default().read_buffer_size(4096)).await)
}

#[tokio::test]
async fn what_a_platform_sends_is_heard_as_it_was_sent() {
    let (mut client, mut socket) = pair().await;
    let long = "ü4539578763621486".repeat(3000);
    for text in ["", "{\"event\":\"dtmf\"}", "größer", long.as_str()] {
        client.send(Message::text(text)).await.unwrap();
        client.send(Message::Ping("there?".into())).await.unwrap();
        client.send(Message::binary(text.as_bytes().to_vec())).await.unwrap();
        assert!(matches!(socket.next().await, Some(Ok(Heard::Text(heard))) if *heard == text), "{}", text.len());
        assert!(matches!(socket.next().await, Some(Ok(Heard::Alive))));
        assert!(matches!(socket.next().await, Some(Ok(Heard::Binary(heard))) if **heard == *text.as_bytes()));
        // tungstenite answers with what was asked.
        socket.flush().await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("there?".into()));
    }
    client.close(None).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Heard::Closed))));
    assert!(socket.next().await.is_none());
}

#[tokio::test]
async fn a_message_in_pieces_is_one_message() {
    let (client, server) = duplex(1 << 16);
    let mut socket = WebSocket::new(server, WebSocketConfig::default()).await;
    let mut client = client;
    // "45", a ping, "39" and an empty last part, each in a mask of its own.
    let frames: [&[u8]; 4] = [
        &[0x01, 0x82, 1, 2, 3, 4, b'4' ^ 1, b'5' ^ 2],
        &[0x89, 0x80, 9, 9, 9, 9],
        &[0x00, 0x82, 5, 6, 7, 8, b'3' ^ 5, b'9' ^ 6],
        &[0x80, 0x80, 1, 1, 1, 1],
    ];
    for frame in frames {
        for byte in frame {
            client.write_all(&[*byte]).await.unwrap();
        }
    }
    assert!(matches!(socket.next().await, Some(Ok(Heard::Alive))));
    assert!(matches!(socket.next().await, Some(Ok(Heard::Text(heard))) if *heard == "4539"));
}

#[tokio::test]
async fn a_text_that_is_none_ends_the_stream() {
    let (client, server) = duplex(1 << 16);
    let mut socket = WebSocket::new(server, WebSocketConfig::default()).await;
    let mut client = client;
    client.write_all(&[0x81, 0x81, 0, 0, 0, 0, 0xff]).await.unwrap();
    assert!(matches!(socket.next().await, Some(Err(SocketError::NotText))));
}

#[tokio::test]
async fn a_frame_without_a_mask_is_refused() {
    let (client, server) = duplex(1 << 16);
    let mut socket = WebSocket::new(server, WebSocketConfig::default()).await;
    let mut client = client;
    client.write_all(&[0x82, 1, 7]).await.unwrap();
    assert!(matches!(socket.next().await, Some(Err(SocketError::Protocol(_)))));
}
