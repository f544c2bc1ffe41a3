//! How fast a call's connection is read, counted on the wire.
//!
//! Shape:   [`Paced`] reads a connection as fast as its [`Pace`] allows from the moment it is a call's. It stands below TLS and
//!          WebSocket: whatever they make of the bytes, also frames that never become a message, has been counted.
//! Units:   bytes and reads a second, in whole seconds from the first read of each.
//! Limits:  [`MESSAGE_BYTES`] and [`MESSAGE_READS`] for each message of `max_messages_per_second`, at least
//!          [`BYTES_MIN`]. A frame of a client takes six bytes or more (RFC 6455, section 5.2), so this limits frames too.
//!          The read that goes above the limit is the last one of its second.
//! Errors:  none: above the limit nothing is read until the second is over, and the sender has to wait.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::media::TEXT_MAX;

/// What a message may have on average, in bytes: 20 ms of any platform's sound have less, JSON and Base64 included.
const MESSAGE_BYTES: usize = 1024;

/// How many reads a message may take on average: it comes in one, two at a buffer's end.
const MESSAGE_READS: usize = 4;

/// So many bytes may always come in a second: the largest message.
const BYTES_MIN: usize = TEXT_MAX;

/// The time in which is counted.
const WINDOW: Duration = Duration::from_secs(1);

/// What a connection's reading is held to, once it is a call's.
#[derive(Debug)]
pub(super) struct Pace {
    is_call: AtomicBool,
    bytes_max: usize,
    reads_max: usize,
}

impl Pace {
    /// That of so many messages a second; 0: none.
    pub(super) fn new(messages_per_second: u32) -> Self {
        let messages = match usize::try_from(messages_per_second) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(messages) => messages,
        };
        Self {
            is_call: AtomicBool::new(false),
            bytes_max: messages.saturating_mul(MESSAGE_BYTES).max(BYTES_MIN),
            reads_max: messages.saturating_mul(MESSAGE_READS),
        }
    }

    /// The connection is a call's from now on.
    pub(super) fn begin(&self) {
        self.is_call.store(true, Ordering::Release);
    }
}

/// A connection that is read at its pace.
#[derive(Debug)]
pub(super) struct Paced<Io> {
    io: Io,
    pace: Arc<Pace>,
    since: Instant,
    bytes: usize,
    reads: usize,
    rest: Option<Pin<Box<Sleep>>>,
}

impl<Io> Paced<Io> {
    /// Reads `io` at `pace`.
    pub(super) fn new(io: Io, pace: Arc<Pace>) -> Self {
        Self { io, pace, since: Instant::now(), bytes: 0, reads: 0, rest: None }
    }

    /// Ready when something may be read.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_over = self.bytes >= self.pace.bytes_max || self.reads >= self.pace.reads_max;
        if is_over && self.rest.is_none() {
            (self.bytes, self.reads) = (0, 0);
            let until = self.since + WINDOW;
            if Instant::now() < until {
                metrics::counter!("touchtone_streams_slowed_total").increment(1);
                self.rest = Some(Box::pin(sleep_until(until)));
            }
        }
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(context));
            self.rest = None;
        }
        Poll::Ready(())
    }

    fn count(&mut self, bytes: usize) {
        let now = Instant::now();
        if now.duration_since(self.since) >= WINDOW {
            (self.since, self.bytes, self.reads) = (now, 0, 0);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.reads = self.reads.saturating_add(1);
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Paced<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.pace.is_call.load(Ordering::Acquire) {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        ready!(self.poll_turn(context));
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        self.count(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Paced<Io> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
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

/// Describes what is counted here.
pub(super) fn describe() {
    metrics::describe_counter!(
        "touchtone_streams_slowed_total",
        "Seconds in which a stream sent more than is read of it"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
    use tokio::time::timeout;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// What fits between both ends.
    const PIPE: usize = 4096;

    /// How long is counted.
    const SECONDS: u32 = 10;

    /// A server's end that is read at `messages` a second, and how many bytes a client has got rid of that sends `first`,
    /// then `again` for ever.
    async fn flooded(
        messages: u32,
        first: &'static [u8],
        again: &'static [u8],
    ) -> (WebSocketStream<Paced<DuplexStream>>, Arc<AtomicUsize>) {
        let (client, server) = duplex(PIPE);
        let pace = Arc::new(Pace::new(messages));
        pace.begin();
        let socket = WebSocketStream::from_raw_socket(Paced::new(server, pace), Role::Server, None).await;
        let written = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&written);
        let (mut answers, mut client) = split(client);
        tokio::spawn(async move {
            let mut buffer = [0; PIPE];
            while matches!(answers.read(&mut buffer).await, Ok(1..)) {}
        });
        tokio::spawn(async move {
            client.write_all(first).await.unwrap();
            let many = again.repeat(100);
            while client.write_all(&many).await.is_ok() {
                counted.fetch_add(many.len(), Ordering::Relaxed);
            }
        });
        (socket, written)
    }

    #[tokio::test(start_paused = true)]
    async fn endless_empty_frames_of_a_message_are_read_at_the_pace_of_so_many_bytes_a_second() {
        // A text that is to be continued, and is, with nothing. All masked with zeros.
        let (mut socket, written) = flooded(100, &[0x01, 0x80, 0, 0, 0, 0], &[0x00, 0x80, 0, 0, 0, 0]).await;
        let seconds = Duration::from_millis(u64::from(SECONDS) * 1000 - 1);
        assert!(timeout(seconds, socket.next()).await.is_err(), "no message came of it");
        let (written, a_second) = (written.load(Ordering::Relaxed), 100 * MESSAGE_BYTES);
        let seconds = usize::try_from(SECONDS).unwrap();
        assert!(written <= seconds * (a_second + PIPE) + PIPE, "{written}");
        assert!(written >= seconds * a_second - PIPE, "{written}");
    }

    #[tokio::test(start_paused = true)]
    async fn pings_and_tiny_pieces_are_read_at_that_pace_too() {
        for (first, again) in [
            (&[][..], &[0x89, 0x80, 0, 0, 0, 0][..]),
            // A text of one letter, again and again.
            (&[][..], &[0x81, 0x81, 0, 0, 0, 0, b'x'][..]),
            (&[0x01, 0x80, 0, 0, 0, 0][..], &[0x89, 0x80, 0, 0, 0, 0, 0x00, 0x80, 0, 0, 0, 0][..]),
        ] {
            let (mut socket, written) = flooded(70, first, again).await;
            let seconds = Duration::from_millis(u64::from(SECONDS) * 1000 - 1);
            let reading = async { while let Some(Ok(_)) = socket.next().await {} };
            assert!(timeout(seconds, reading).await.is_err(), "it is never cut");
            let (written, a_second) = (written.load(Ordering::Relaxed), 70 * MESSAGE_BYTES);
            let seconds = usize::try_from(SECONDS).unwrap();
            assert!(written <= seconds * (a_second + PIPE) + PIPE, "{written}");
            assert!(written >= seconds * a_second - PIPE, "{written}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_at_a_time_is_read_so_many_times_a_second() {
        let (mut client, server) = duplex(1);
        let pace = Arc::new(Pace::new(5));
        pace.begin();
        let mut server = Paced::new(server, pace);
        tokio::spawn(async move { while client.write_all(b"x").await.is_ok() {} });
        let since = Instant::now();
        for _ in 0..5 * MESSAGE_READS * 3 {
            assert_eq!(server.read_u8().await.unwrap(), b'x');
        }
        assert_eq!(since.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_platforms_send_is_read_at_once_and_so_is_everything_without_a_limit_or_before_it_is_a_call() {
        let since = Instant::now();
        // Twilio's 50 messages a second of some 350 bytes, at the default; ten times as much; all that comes.
        for (messages, is_call, bytes) in
            [(500, true, 50 * 350), (500, true, 500 * 350), (0, true, 10_000_000), (1, false, 10_000_000)]
        {
            let (mut client, server) = duplex(64 * 1024);
            let pace = Arc::new(Pace::new(messages));
            if is_call {
                pace.begin();
            }
            tokio::spawn(async move { client.write_all(&vec![7; bytes]).await });
            let mut read = Vec::new();
            Paced::new(server, pace).read_to_end(&mut read).await.unwrap();
            assert_eq!(read.len(), bytes);
        }
        assert_eq!(since.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_lost_and_the_message_at_the_end_is_heard() {
        let (mut client, server) = duplex(PIPE);
        let pace = Arc::new(Pace::new(100));
        pace.begin();
        let mut socket = WebSocketStream::from_raw_socket(Paced::new(server, pace), Role::Server, None).await;
        tokio::spawn(async move {
            client.write_all(&[0x01, 0x81, 0, 0, 0, 0, b'a']).await.unwrap();
            client.write_all(&[0x00, 0x80, 0, 0, 0, 0].repeat(100_000)).await.unwrap();
            client.write_all(&[0x80, 0x81, 0, 0, 0, 0, b'z']).await.unwrap();
            std::future::pending::<()>().await;
        });
        let since = Instant::now();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("az"));
        assert_eq!(since.elapsed().as_secs(), 5, "600,000 bytes at 100 KiB a second");
    }
}
