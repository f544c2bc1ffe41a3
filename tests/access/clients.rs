//! Clients that write the bytes they want, when they want, and read what they want.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use touchtone::config::ConnectionLimits;

use crate::SILENT;
use crate::support::{TIME_LIMIT, TestServer};

/// Too short for anybody to be served who is not at once.
pub const SHORT: Duration = Duration::from_millis(200);

/// A server with these limits.
pub async fn server(flows: &[(&str, &str)], toml: &str, limits: ConnectionLimits) -> TestServer {
    crate::log::begin();
    let toml = format!("{toml}\n{SILENT}");
    TestServer::start_set(flows, &toml, |config, _| config.limits = limits, |_| {}).await
}

pub async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// A client for which the system keeps next to nothing that it has not read.
pub async fn connect_narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Says something; the server may have closed already.
pub async fn say(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Everything that comes until the server closes.
pub async fn all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = timeout(TIME_LIMIT, stream.read_to_end(&mut answer)).await.expect("the server never closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// One answer with a body that ends so, on a connection that stays open.
pub async fn one(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let mut buffer = [0; 1024];
        let read = timeout(TIME_LIMIT, stream.read(&mut buffer)).await.expect("no answer").unwrap();
        assert!(read > 0, "closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(answer).unwrap()
}

pub const HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Waits until connections were closed for this; who asks may itself be the one that goes.
pub async fn until_counted(address: SocketAddr, why: &str) {
    let wanted = format!("touchtone_connections_closed_total{{why=\"{why}\"}}");
    let counting = async {
        loop {
            let mut client = connect(address).await;
            say(&mut client, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            if all(&mut client).await.contains(&wanted) {
                return;
            }
        }
    };
    timeout(TIME_LIMIT, counting).await.unwrap_or_else(|_| panic!("{why}: never closed"));
}
