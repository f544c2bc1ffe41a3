//! https and wss on the server's own socket: handshakes beside the accept loop, a certificate that may change meanwhile.
//!
//! Shape:   [`TlsIdentity::open`] reads certificate and key; [`TlsIdentity::listen`] makes [`ConnectionLimiter`] an [`Entrance`] to connections whose
//!          handshake is done, and follows the files for as long as it lives.
//! Limits:  [`HANDSHAKE_TIME`] a handshake; [`HANDSHAKES_MAX`] at once, above which the oldest one goes.
//! Errors:  [`TlsError`] at the start; afterwards a faulty pair is logged and the one before it stays.
//! Secrets: the key is in rustls' own types; of the files' contents only a keyed hash is remembered.
//! Sources: RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 7301 (ALPN: `http/1.1`, as WebSockets need it, RFC 6455).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::limiter::{ConnectionLimiter, Visit};
use super::pace::{Pace, Paced};
use super::serving::Entrance;
use crate::blocking;

mod files;
#[cfg(test)]
mod tests;

pub use files::TlsError;
use files::{Look, TlsFiles};

/// How long a handshake may take: generous for a phone on a bad line, and platforms are no phones.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How many handshakes may be under way. An honest one takes a few round trips, so the oldest of so many is not one.
const HANDSHAKES_MAX: usize = 512;

/// How often the files are looked at: two small files, so often that nobody waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How much of a plain request is read before its connection is closed, in bytes.
const PLAIN_MAX: usize = 16 * 1024;

/// The answer to plain http: whoever sees it knows what to change.
const PLAIN_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 35\r\nConnection: close\r\n\r\nthis address takes https, not http\n";

/// Certificate and key, read and found good.
#[derive(Debug)]
pub(super) struct TlsIdentity {
    files: TlsFiles,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl TlsIdentity {
    /// Reads the pair.
    ///
    /// # Errors
    /// [`TlsError`], naming the file and what to do about it.
    pub(super) fn open(config: &crate::config::TlsSettings) -> Result<Self, TlsError> {
        let (files, first) = TlsFiles::open(config)?;
        Ok(Self { files, current: watch::Sender::new(first) })
    }

    /// Takes connections of the limiter, and new pairs as they come.
    pub(super) fn listen(self, limiter: ConnectionLimiter) -> TlsListener {
        let current = self.current.subscribe();
        let mut follower = JoinSet::new();
        follower.spawn(self.follow());
        TlsListener { limiter, current, handshakes: Handshakes::default(), _follower: follower }
    }

    /// Looks at the files until the listener is dropped.
    async fn follow(self) {
        let Self { mut files, current } = self;
        let mut looks = interval(LOOK_EVERY);
        // After a suspension one look is enough.
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let looked = blocking::run(move || {
                let look = files.look();
                (files, look)
            });
            let Ok((back, look)) = looked.await else {
                tracing::error!("certificate and key are no longer followed; restart to change them");
                return;
            };
            files = back;
            take(&current, look);
        }
    }
}

/// What follows from a look at the files.
fn take(current: &watch::Sender<Arc<ServerConfig>>, look: Look) {
    match look {
        Look::Same => {}
        Look::Changed(changed) => {
            current.send_replace(changed);
            metrics::counter!("touchtone_tls_reloads_total", "result" => "taken").increment(1);
            tracing::info!("certificate changed; new connections get the new one");
        }
        Look::Faulty(fault) => {
            metrics::counter!("touchtone_tls_reloads_total", "result" => "faulty").increment(1);
            tracing::error!(error = %fault, "changed certificate cannot be used; keeping the one before it");
        }
    }
}

/// Describes what is counted here.
pub(super) fn describe() {
    metrics::describe_counter!(
        "touchtone_tls_reloads_total",
        "Changed certificates, by result: taken, or faulty and not taken"
    );
    metrics::describe_counter!("touchtone_tls_handshakes_failed_total", "Connections without a TLS handshake, by why");
}

/// A socket whose connections are TLS.
#[derive(Debug)]
pub(super) struct TlsListener {
    limiter: ConnectionLimiter,
    current: watch::Receiver<Arc<ServerConfig>>,
    handshakes: Handshakes,
    /// Ends with the listener.
    _follower: JoinSet<()>,
}

impl Entrance for TlsListener {
    type Io = TlsStream<Paced<TcpStream>>;

    async fn next(&mut self) -> (Self::Io, Visit) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.running.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                (stream, visit) = self.limiter.accept() => {
                    let config = Arc::clone(&self.current.borrow());
                    self.handshakes.begin(stream, visit, config);
                }
            }
        }
    }
}

/// Those under way; they end with the listener.
#[derive(Debug, Default)]
struct Handshakes {
    running: JoinSet<Option<(TlsStream<Paced<TcpStream>>, Visit)>>,
    /// Oldest first, some of them over.
    begun: VecDeque<AbortHandle>,
}

impl Handshakes {
    fn begin(&mut self, stream: TcpStream, visit: Visit, config: Arc<ServerConfig>) {
        if self.begun.len() >= HANDSHAKES_MAX {
            self.begun.retain(|handshake| !handshake.is_finished());
        }
        if self.begun.len() >= HANDSHAKES_MAX
            && let Some(oldest) = self.begun.pop_front()
        {
            oldest.abort();
            failed("crowded");
        }
        let shaking = async move {
            let shaken = tokio::select! {
                shaken = handshake(stream, visit.pace(), config) => shaken,
                () = visit.has_to_go() => None,
            };
            Some((shaken?, visit))
        };
        self.begun.push_back(self.running.spawn(shaking));
    }
}

/// The connection after its handshake; none if there was no handshake.
async fn handshake(
    stream: TcpStream,
    pace: Arc<Pace>,
    config: Arc<ServerConfig>,
) -> Option<TlsStream<Paced<TcpStream>>> {
    let shaking = async {
        let mut first = [0];
        match stream.peek(&mut first).await {
            // Whoever only looks whether the port is open.
            Ok(0) | Err(_) => None,
            // A method's first letter. TLS begins with 22 (RFC 8446, section 5.1).
            Ok(_) if first[0].is_ascii_uppercase() => {
                failed("plain_http");
                answer_plain(stream).await;
                None
            }
            Ok(_) => match TlsAcceptor::from(config).accept(Paced::new(stream, pace)).await {
                Ok(stream) => Some(stream),
                Err(error) => {
                    failed("refused");
                    tracing::debug!(%error, "TLS handshake failed");
                    None
                }
            },
        }
    };
    timeout(HANDSHAKE_TIME, shaking).await.unwrap_or_else(|_| {
        failed("timeout");
        None
    })
}

fn failed(why: &'static str) {
    metrics::counter!("touchtone_tls_handshakes_failed_total", "why" => why).increment(1);
}

/// Says what to do instead. What was sent is read first: a connection closed over unread bytes may lose the answer.
async fn answer_plain(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    if !matches!(stream.read(&mut buffer).await, Ok(1..)) || stream.write_all(PLAIN_ANSWER).await.is_err() {
        return;
    }
    if stream.shutdown().await.is_ok() {
        let mut rest = stream.take(PLAIN_MAX as u64);
        while matches!(rest.read(&mut buffer).await, Ok(1..)) {}
    }
}
