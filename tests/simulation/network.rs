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

use super::attempts::Attempt;
use super::plan::{APPLICATIONS, Trick};
use super::world::World;

/// As long as the real clients give a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Which exchange a request is: one that arrives twice has the same number twice.
pub const EXCHANGE: &str = "x-exchange";

/// What a request to the application is known by.
pub const TOKEN: &str = "i-twilio-idempotency-token";

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

/// A server's way out: one connection a request. Now and then a request arrives twice, as if something between had
/// repeated it.
pub struct Network {
    pub world: Arc<World>,
    pub server: usize,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

impl Transport for Network {
    fn exchange(&self, request: WireRequest) -> BoxFuture<'_, Result<WireResponse, WireFault>> {
        async move {
            let WireRequest { method, url, mut headers, body, timeout: limit, body_limit, .. } = request;
            let name = url.host_str().unwrap_or_default();
            let host = name.split('.').next().unwrap_or_default().to_owned();
            headers.insert(HOST, HeaderValue::from_str(name).unwrap());
            let body = body.unwrap_or_default();
            let number = number_of(&body);
            let mut request = hyper::Request::builder().method(method).uri(url.path()).body(Full::new(body)).unwrap();
            *request.headers_mut() = headers;
            let (exchange, again) = {
                let mut dice = self.world.network_dice.lock().unwrap();
                let again = dice.happens(self.world.unless_calm(self.world.plan.twice)).then(|| dice.millis(0, 3_000));
                (dice.throw(), again)
            };
            request.headers_mut().insert(EXCHANGE, HeaderValue::from(exchange));
            if !APPLICATIONS.contains(&host.as_str()) {
                let asked = ask(request, host, body_limit, again);
                let mut answer = timeout(limit, asked).await.unwrap_or(Err(WireFault::TimedOut));
                if let (Trick::BusyIsNotRead, Ok(answer)) = (self.world.plan.trick, &mut answer)
                    && matches!(answer.status, 429 | 503)
                {
                    answer.body.clear();
                    answer.body.extend_from_slice(b"{}");
                }
                return answer;
            }
            let tell =
                Tell { world: Arc::clone(&self.world), server: self.server, path: url.path().to_owned(), number };
            if let Some(answer) = tricked(&tell, &mut request, &host, body_limit, exchange) {
                return answer;
            }
            tell.watched(&request, ask(request.clone(), host, body_limit, again), limit).await
        }
        .boxed()
    }
}

/// `SequenceNumber` of a form.
fn number_of(body: &[u8]) -> Option<u32> {
    form_urlencoded::parse(body).find(|(name, _)| name == "SequenceNumber").and_then(|(_, number)| number.parse().ok())
}

/// A request to the application.
struct Tell {
    world: Arc<World>,
    server: usize,
    path: String,
    number: Option<u32>,
}

/// An attempt that is under way until this is dropped.
struct Watched {
    world: Arc<World>,
    number: usize,
    status: Option<u16>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        // When a server dies, this comes too late to be told the time.
        if let Some(at) = turmoil::sim_elapsed() {
            self.world.attempts.lock().unwrap().end(self.number, at, self.status);
        }
    }
}

impl Tell {
    fn begin(&self, request: &hyper::Request<Full<Bytes>>) -> Watched {
        let token = request.headers().get(TOKEN).and_then(|token| token.to_str().ok()).unwrap_or_default().to_owned();
        let number = self.world.attempts.lock().unwrap().begin(Attempt {
            server: self.server,
            path: self.path.clone(),
            token,
            number: self.number,
            from: turmoil::sim_elapsed().unwrap(),
            until: None,
            status: None,
        });
        Watched { world: Arc::clone(&self.world), number, status: None }
    }

    async fn watched(
        &self,
        request: &hyper::Request<Full<Bytes>>,
        asked: impl Future<Output = Result<WireResponse, WireFault>>,
        limit: Duration,
    ) -> Result<WireResponse, WireFault> {
        let mut watched = self.begin(request);
        let answer = timeout(limit, asked).await.unwrap_or(Err(WireFault::TimedOut));
        watched.status = answer.as_ref().ok().filter(|answer| answer.end == BodyEnd::Whole).map(|answer| answer.status);
        answer
    }
}

/// What must not be, where it can be made so here.
fn tricked(
    tell: &Tell,
    request: &mut hyper::Request<Full<Bytes>>,
    host: &str,
    limit: usize,
    exchange: u64,
) -> Option<Result<WireResponse, WireFault>> {
    let is_status = tell.path.starts_with("/status/");
    match tell.world.plan.trick {
        Trick::TokensChange => {
            let token = uuid::Uuid::from_u128(exchange.into()).to_string();
            request.headers_mut().insert(TOKEN, HeaderValue::from_str(&token).unwrap());
        }
        Trick::CallbacksFork if is_status && exchange.is_multiple_of(4) => {
            let (of, request, host) = (tell.of_another(), request.clone(), host.to_owned());
            tokio::spawn(async move {
                let asked = ask(request.clone(), host, limit, None);
                let _ = of.watched(&request, asked, CONNECT_LIMIT).await;
            });
        }
        Trick::CallbacksWait if is_status && exchange.is_multiple_of(4) => {
            let (of, request, host) = (tell.of_another(), request.clone(), host.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(CONNECT_LIMIT).await;
                let asked = ask(request.clone(), host, limit, None);
                let _ = of.watched(&request, asked, CONNECT_LIMIT).await;
            });
            return Some(Ok(answer_of(200)));
        }
        _ => {}
    }
    None
}

fn answer_of(status: u16) -> WireResponse {
    WireResponse {
        status,
        headers: hyper::HeaderMap::new(),
        body: zeroize::Zeroizing::new(Vec::new()),
        end: BodyEnd::Whole,
    }
}

impl Tell {
    /// The same by another server.
    fn of_another(&self) -> Self {
        let Self { world, server, path, number } = self;
        Self { world: Arc::clone(world), server: server + 1, path: path.clone(), number: *number }
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
    host: String,
    limit: usize,
    again: Option<Duration>,
) -> Result<WireResponse, WireFault> {
    let mut sender = connected(&host).await?;
    if let Some(later) = again {
        let request = request.clone();
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
