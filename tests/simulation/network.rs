//! Sockets of the simulated network, for those who serve and for those who ask.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use touchtone::http::{BodyEnd, Transport, WireFault, WireRequest, WireResponse};
use turmoil::net::{TcpListener, TcpStream};

use super::plan::Trick;
use super::world::World;

/// As long as the real clients give a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Which exchange a request is: one that arrives twice has the same number twice.
pub const EXCHANGE: &str = "x-exchange";

struct Listener(TcpListener);

impl axum::serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Serves on port 80 of the host it is called on.
pub async fn serve(router: Router) -> turmoil::Result {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    axum::serve(Listener(listener), router).await?;
    Ok(())
}

/// The server's way out: one connection a request. Now and then a request arrives twice, as if something between had
/// repeated it.
pub struct Network(pub Arc<World>);

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

impl Transport for Network {
    fn exchange<'a>(&'a self, request: WireRequest<'a>) -> BoxFuture<'a, Result<WireResponse, WireFault>> {
        async move {
            let WireRequest { method, url, mut headers, body, timeout: limit, body_limit, .. } = request;
            let name = url.host_str().unwrap_or_default();
            let host = name.split('.').next().unwrap_or_default().to_owned();
            headers.insert(HOST, HeaderValue::from_str(name).unwrap());
            let mut request = hyper::Request::builder()
                .method(method)
                .uri(url.path())
                .body(Full::new(body.unwrap_or_default()))
                .unwrap();
            *request.headers_mut() = headers;
            let (exchange, again) = {
                let mut dice = self.0.network_dice.lock().unwrap();
                let again = dice.happens(self.0.unless_calm(self.0.plan.twice)).then(|| dice.millis(0, 3_000));
                (dice.throw(), again)
            };
            request.headers_mut().insert(EXCHANGE, HeaderValue::from(exchange));
            if self.0.plan.trick == Trick::TokensChange {
                let token = uuid::Uuid::from_u128(exchange.into()).to_string();
                request.headers_mut().insert("i-twilio-idempotency-token", HeaderValue::from_str(&token).unwrap());
            }
            timeout(limit, ask(request, &host, body_limit, again)).await.unwrap_or(Err(WireFault::TimedOut))
        }
        .boxed()
    }
}

fn not_reached(error: impl std::fmt::Display) -> WireFault {
    WireFault::NotReached(error.to_string())
}

fn broken(error: impl std::fmt::Display) -> WireFault {
    WireFault::Broken(error.to_string())
}

async fn connected(host: &str) -> Result<SendRequest<Full<Bytes>>, WireFault> {
    let stream = match timeout(CONNECT_LIMIT, TcpStream::connect((host, 80))).await {
        Ok(connected) => connected.map_err(not_reached)?,
        Err(_) => return Err(not_reached("no connection in time")),
    };
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Asks, and if `again` says so, has the same request arrive once more so long after.
async fn ask(
    request: hyper::Request<Full<Bytes>>,
    host: &str,
    limit: usize,
    again: Option<Duration>,
) -> Result<WireResponse, WireFault> {
    let mut sender = connected(host).await?;
    if let Some(later) = again {
        let (request, host) = (request.clone(), host.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(later).await;
            if let Ok(mut sender) = connected(&host).await {
                // Nobody waits for its answer.
                let _ = timeout(CONNECT_LIMIT, sender.send_request(request)).await;
            }
        });
    }
    let mut response = sender.send_request(request).await.map_err(broken)?;
    let mut body = zeroize::Zeroizing::new(Vec::new());
    let end = loop {
        match response.frame().await {
            None => break BodyEnd::Whole,
            Some(Err(error)) => break BodyEnd::Broken(broken(error)),
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { continue };
                let room = limit - body.len();
                body.extend_from_slice(&data[..room.min(data.len())]);
                if data.len() > room {
                    break BodyEnd::Cut;
                }
            }
        }
    };
    Ok(WireResponse { status: response.status().as_u16(), headers: response.headers().clone(), body, end })
}
