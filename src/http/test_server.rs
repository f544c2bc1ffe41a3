//! A web server on loopback for tests: remembers what it was sent and answers as it is told.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct SeenRequest {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The other end of its connection.
    pub(crate) peer: SocketAddr,
}

impl SeenRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<SeenRequest>>>,
}

impl TestServer {
    /// Answers every request with what `answer` makes of it and of how many came before it.
    pub(crate) async fn start(
        answer: impl Fn(&SeenRequest, usize) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<SeenRequest>>> = Arc::default();
        let all = Arc::clone(&seen);
        let handler = move |request: Request| {
            let (answer, all) = (answer.clone(), Arc::clone(&all));
            let response: Pin<Box<dyn Future<Output = Response> + Send>> = Box::pin(async move {
                let (parts, body) = request.into_parts();
                let ConnectInfo(peer) = *parts.extensions.get::<ConnectInfo<SocketAddr>>().unwrap();
                let seen = SeenRequest {
                    method: parts.method,
                    target: parts.uri.path_and_query().unwrap().to_string(),
                    headers: parts.headers,
                    body: to_bytes(body, usize::MAX).await.unwrap(),
                    peer,
                };
                let before = all.lock().unwrap().len();
                let response = answer(&seen, before);
                all.lock().unwrap().push(seen);
                response
            });
            response
        };
        let service = Router::new().fallback(handler).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { address, seen }
    }

    /// Answers every request with this status and body.
    pub(crate) async fn answering(status: u16, body: &'static str) -> Self {
        Self::start(move |_, _| (StatusCode::from_u16(status).unwrap(), body).into_response()).await
    }

    /// Reads the head of each request, answers with exactly these bytes and closes the connection.
    pub(crate) async fn raw(bytes: impl Into<Vec<u8>>) -> SocketAddr {
        let bytes = bytes.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 16 * 1024];
                let _read = stream.read(&mut request).await;
                let _written = stream.write_all(&bytes).await;
                let _closed = stream.shutdown().await;
            }
        });
        address
    }

    /// Takes connections and never says a word.
    pub(crate) async fn silent() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                kept.push(stream);
            }
        });
        address
    }

    /// An address where nobody listens.
    pub(crate) async fn nobody() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<SeenRequest> {
        self.seen.lock().unwrap().clone()
    }
}

/// A response with a header.
pub(crate) fn with_header(status: u16, name: &'static str, value: impl AsRef<str>, body: impl Into<Body>) -> Response {
    Response::builder().status(status).header(name, value.as_ref()).body(body.into()).unwrap()
}
