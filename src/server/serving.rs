//! HTTP on connections: each held to its times and sizes before anybody looks at what it wants.
//!
//! Shape:   [`serve`] takes connections of an [`Entrance`] until it is told to stop, then lets those there are finish.
//! Limits:  [`ConnectionLimits`](crate::config::ConnectionLimits); [`HEADERS_MAX`] headers; [`BUFFER_MAX`] each way; one task a connection.
//! Errors:  431 for too large a head, 408 for a request that takes too long; whoever is late with anything else finds the
//!          connection closed. The metrics count why.
//! Secrets: nothing of a request is logged.
//! Sources: RFC 9112 (HTTP/1.1; WebSockets need it, RFC 6455, and nobody else needs another), 9.6 for how to close; RFC 6585,
//!          section 5 (431); RFC 9110, section 15.5.9 (408).

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::limiter::{ConnectionLimiter, Visit, closed};
use super::pace::Paced;
use crate::blocking::{TaskKind, watched};
use crate::rest;
use crate::rest::guard::Peer;

/// Headers of a request: more than any platform or proxy sends.
const HEADERS_MAX: usize = 100;

/// What is buffered of a request, and of an answer, in bytes.
const BUFFER_MAX: usize = 64 * 1024;

/// How long, and how much in bytes, is read of a client that was told why its connection ends: a connection closed over
/// unread bytes may lose the answer.
const LAST_READ: (Duration, u64) = (Duration::from_secs(1), 1024 * 1024);

/// Where connections come from.
pub(super) trait Entrance: Send {
    /// What is spoken on.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    fn next(&mut self) -> impl Future<Output = (Self::Io, Visit)> + Send;
}

impl Entrance for ConnectionLimiter {
    type Io = Paced<TcpStream>;

    async fn next(&mut self) -> (Self::Io, Visit) {
        let (stream, visit) = self.accept().await;
        (Paced::new(stream, visit.pace()), visit)
    }
}

/// Serves until `over` is ready, then takes no new connections and returns when those there are have ended.
pub(super) async fn serve(mut entrance: impl Entrance, app: Router, over: impl Future<Output = ()>) {
    let app = TowerToHyperService::new(app);
    let stop = watch::Sender::new(false);
    let mut running = JoinSet::new();
    let mut over = pin!(over);
    loop {
        tokio::select! {
            () = &mut over => break,
            // What broke down in there, broke down alone.
            Some(_) = running.join_next() => {}
            (io, visit) = entrance.next() => {
                running.spawn(watched(TaskKind::Connection, attend(io, visit, app.clone(), stop.subscribe())));
            }
        }
    }
    // With the socket closed nobody waits in its queue for a server that goes.
    drop(entrance);
    stop.send_replace(true);
    while running.join_next().await.is_some() {}
}

/// How a connection came to its end.
enum ConnectionEnd {
    /// By itself: ended, failed, or a call's from now on.
    Itself,
    /// This took too long.
    Late(&'static str),
    /// Somebody else needs the place.
    Crowded,
}

/// One connection, until it ends or becomes a call's.
async fn attend<Io>(io: Io, visit: Visit, app: TowerToHyperService<Router>, mut stop: watch::Receiver<bool>)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let visit = Arc::new(visit);
    visit.begins();
    let head_max = visit.limits().head_max;
    let service = service_fn(|request| answer(&app, &visit, request));
    let io = TokioIo::new(WatchedConnection { io, visit: Arc::clone(&visit) });
    let mut connection = http1::Builder::new()
        .max_header_size(head_max)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_MAX.max(head_max))
        .serve_connection(io, service)
        .with_upgrades();
    let mut alarm = pin!(sleep_until(tokio::time::Instant::now()));
    let mut leave = pin!(visit.has_to_go());
    let mut stopping = pin!(async { stop.wait_for(|stop| *stop).await.is_ok() });
    let mut is_stopping = false;
    let left = poll_fn(|context| {
        if !is_stopping && stopping.as_mut().poll(context).is_ready() {
            is_stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        // Whatever is awaited changes in here and nowhere else.
        if Pin::new(&mut connection).poll(context).is_ready() {
            return Poll::Ready(ConnectionEnd::Itself);
        }
        if leave.as_mut().poll(context).is_ready() {
            return Poll::Ready(ConnectionEnd::Crowded);
        }
        let Some((due, what)) = visit.due() else { return Poll::Pending };
        if alarm.deadline() != due {
            alarm.as_mut().reset(due);
        }
        alarm.as_mut().poll(context).map(|()| ConnectionEnd::Late(what))
    })
    .await;
    match left {
        ConnectionEnd::Itself if is_stopping => {}
        ConnectionEnd::Itself => {
            if let Some(parts) = connection.into_parts() {
                read_out(parts.io.into_inner()).await;
            }
        }
        ConnectionEnd::Late(what) => closed(what),
        // Counted by who needs the place.
        ConnectionEnd::Crowded => {}
    }
}

/// Reads on until the client has closed its side, but not for long.
async fn read_out(io: impl AsyncRead + Unpin) {
    let (time, bytes) = LAST_READ;
    let mut rest = io.take(bytes);
    let mut buffer = [0; 4096];
    let _ = timeout(time, async { while matches!(rest.read(&mut buffer).await, Ok(1..)) {} }).await;
}

/// One answer, in time.
async fn answer(
    app: &TowerToHyperService<Router>,
    visit: &Arc<Visit>,
    request: Request<Incoming>,
) -> Result<Response<NotedBody>, Infallible> {
    visit.asked();
    let path = request.uri().path().to_owned();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(Peer(visit.peer())));
    let response = match timeout(visit.limits().request_time, app.call(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => {
            closed("request");
            rest::too_slow(&path)
        }
    };
    visit.answers(response.status() == StatusCode::SWITCHING_PROTOCOLS);
    Ok(response.map(|body| NotedBody { body, visit: Arc::clone(visit) }))
}

/// An answer's body, whose end is noted.
struct NotedBody {
    body: Body,
    visit: Arc<Visit>,
}

impl hyper::body::Body for NotedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for NotedBody {
    fn drop(&mut self) {
        self.visit.said_all();
    }
}

/// A connection on which it is noted what comes, and what was taken. Its place is given back when it is dropped: a call's at
/// the call's end.
struct WatchedConnection<Io> {
    io: Io,
    visit: Arc<Visit>,
}

impl<Io: AsyncRead + Unpin> AsyncRead for WatchedConnection<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.visit.heard();
        }
        read
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for WatchedConnection<Io> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.visit.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
