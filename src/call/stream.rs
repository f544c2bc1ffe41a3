//! The stream of one call: reading, writing, and why it ends.
//!
//! Shape:   [`begin`] waits for its start; then [`StreamReader`] is the reading side and [`StreamWriter`] the writing side, with the session that
//!          knows the dialect.
//! Limits:  [`START_LIMIT`] for the stream to start; [`SEND_LIMIT`] for the platform to take a message; above
//!          `max_messages_per_second` it is read more slowly. The server counts bytes on the wire besides, since frames need
//!          not become messages.
//! Errors:  [`StreamRefusal`]: whatever the other side does wrong ends this stream alone.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::beginning::NoUrl;
use super::metrics;
use super::services::CallSettings;
use super::socket::{CallSocket, Heard, SocketError};
use crate::media::{Frame, Incoming, MediaCommand, MediaError, MediaEvent, MediaSession, Start};
use crate::time::CallTime;

/// How long a platform may take to start its stream. Chosen freely: they send `start` at once.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long a platform may take to read what we send. Chosen freely: they buffer.
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// How long the platform has to close its side once we have closed ours.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Why the other side's stream is ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamRefusal {
    #[error("{0}")]
    Media(#[from] MediaError),
    #[error("no start within {} s", START_LIMIT.as_secs())]
    NoStart,
    #[error("no message for {} s", .0.as_secs())]
    Idle(Duration),
    #[error("a call of this id is live already")]
    Duplicate,
    #[error(transparent)]
    NoUrl(#[from] NoUrl),
    #[error("the connection was lost: {0}")]
    Lost(String),
    #[error("the platform closed the stream")]
    Closed,
    #[error("the platform did not take a message within {} s", SEND_LIMIT.as_secs())]
    Stuck,
    #[error("the server is being stopped")]
    Stopping,
    /// No fault of anybody's.
    #[error("the application ended the call")]
    Completed,
}

impl StreamRefusal {
    /// The metric's label.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Media(_) => "protocol",
            Self::NoStart => "no_start",
            Self::Idle(_) => "idle",
            Self::Duplicate => "duplicate",
            Self::NoUrl(_) => "no_url",
            Self::Lost(_) => "lost",
            Self::Closed => "closed",
            Self::Stuck => "stuck",
            Self::Stopping => "stopping",
            Self::Completed => "completed",
        }
    }
}

/// Reads until the stream starts.
pub(super) async fn begin(line: &mut StreamWriter, reader: &mut StreamReader) -> Result<Start, StreamRefusal> {
    let started = async {
        loop {
            // Messages before the start count like those after it.
            if let Some(resting) = reader.resting_until() {
                sleep_until(resting).await;
            }
            let message = tokio::select! {
                biased;
                message = reader.source.next() => Some(message),
                () = until(line.due()) => None,
            };
            let now = Instant::now();
            // As in a call: messages that keep coming must not put the stream's own deadlines off.
            line.come_due(now)?;
            let mut event = None;
            if let Some(message) = message {
                reader.count(now);
                event = line.heard(now, message)?.and_then(MediaEvent::without_sound);
            }
            line.flush().await?;
            while let Some(happened) = event.take().or_else(|| line.session.poll_event()) {
                match happened {
                    MediaEvent::Started(start) => return Ok(start),
                    MediaEvent::Stopped => return Err(StreamRefusal::Closed),
                    MediaEvent::Ignored(why) => metrics::message_ignored(why.name()),
                    _ => {}
                }
            }
        }
    };
    timeout(START_LIMIT, started).await.unwrap_or(Err(StreamRefusal::NoStart))
}

/// Waits until a moment; for ever if there is none.
pub(super) async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The reading side: how fast, and how long without a word.
pub(super) struct StreamReader {
    pub(super) source: SplitStream<CallSocket>,
    pub(super) idle: Duration,
    pub(super) idle_at: Instant,
    rate: u32,
    window: Instant,
    taken: u32,
}

impl StreamReader {
    pub(super) fn new(source: SplitStream<CallSocket>, settings: &CallSettings) -> Self {
        let now = Instant::now();
        Self {
            source,
            idle: settings.idle_timeout,
            idle_at: now + settings.idle_timeout,
            rate: settings.messages_per_second_max,
            window: now,
            taken: 0,
        }
    }

    /// A message came.
    pub(super) fn count(&mut self, now: Instant) {
        self.idle_at = now + self.idle;
        if now.duration_since(self.window) >= Duration::from_secs(1) {
            self.window = now;
            self.taken = 0;
        }
        self.taken = self.taken.saturating_add(1);
    }

    /// Until when nothing is read, as too much was read this second.
    pub(super) fn resting_until(&self) -> Option<Instant> {
        (self.rate > 0 && self.taken >= self.rate)
            .then(|| self.window + Duration::from_secs(1))
            .filter(|until| *until > Instant::now())
    }
}

/// What is said on the stream, and the writing side until it is lost.
pub(super) struct StreamWriter {
    sink: Option<SplitSink<CallSocket, Message>>,
    pub(super) session: MediaSession,
    opened: Instant,
}

impl StreamWriter {
    /// The writing side of a stream that was just opened.
    pub(super) fn new(sink: SplitSink<CallSocket, Message>, session: MediaSession) -> Self {
        Self { sink: Some(sink), session, opened: Instant::now() }
    }

    /// The session's time. A process that was stopped for a while finds that its platform played on.
    fn time(&self, now: Instant) -> CallTime {
        CallTime::ZERO + now.saturating_duration_since(self.opened)
    }

    /// What a WebSocket message means. None: nothing.
    pub(super) fn heard(
        &mut self,
        now: Instant,
        message: Option<Result<Heard, SocketError>>,
    ) -> Result<Option<MediaEvent<'_>>, StreamRefusal> {
        let time = self.time(now);
        match message {
            Some(Ok(Heard::Text(text))) => {
                // The event borrows from the session only, never from the message.
                Ok(Some(self.session.handle_message(time, Incoming::Text(text.as_str()))?))
            }
            Some(Ok(Heard::Binary(bytes))) => Ok(Some(self.session.handle_message(time, Incoming::Binary(&bytes))?)),
            Some(Ok(Heard::Alive)) => Ok(None),
            Some(Ok(Heard::Closed)) | None => Err(StreamRefusal::Closed),
            // What is too large is not read to its end: the socket says so.
            Some(Err(SocketError::Protocol(Error::Capacity(CapacityError::MessageTooLong { size, .. })))) => {
                Err(MediaError::TooLong { bytes: size }.into())
            }
            Some(Err(error)) => Err(StreamRefusal::Lost(error.to_string())),
        }
    }

    /// When the session has something to do by itself.
    pub(super) fn due(&self) -> Option<Instant> {
        self.session.poll_timeout().map(|(at, _)| self.opened + at.since(CallTime::ZERO))
    }

    /// Has the session do what is due, if anything is.
    pub(super) fn come_due(&mut self, now: Instant) -> Result<(), StreamRefusal> {
        let time = self.time(now);
        match self.session.poll_timeout() {
            Some((due, what)) if due <= time => {
                tracing::trace!(timer = what, "stream deadline came");
                Ok(self.session.handle_timeout(time)?)
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) async fn send(&mut self, command: MediaCommand<'_>) -> Result<(), StreamRefusal> {
        if self.sink.is_none() {
            return Ok(());
        }
        match self.session.handle_command(self.time(Instant::now()), command) {
            Ok(()) => self.flush().await,
            // The platform has stopped the stream: there is nobody to tell.
            Err(MediaError::NotStarted { .. } | MediaError::Stopped) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Sends what the session has to send.
    pub(super) async fn flush(&mut self) -> Result<(), StreamRefusal> {
        while let Some(frame) = self.session.poll_frame() {
            // The stream is closed: the session's frames are taken all the same, so that none is left.
            let Some(sink) = &mut self.sink else { continue };
            match timeout(SEND_LIMIT, sink.send(message(frame))).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(StreamRefusal::Lost(error.to_string())),
                Err(_) => return Err(StreamRefusal::Stuck),
            }
        }
        Ok(())
    }

    /// Ends the stream for a fault of the other side.
    pub(super) async fn refuse(&mut self, why: StreamRefusal) {
        metrics::stream_refused(why.word());
        // RFC 6455, section 7.4.1.
        let code = match why {
            StreamRefusal::Media(MediaError::TooLong { .. } | MediaError::StartTooLong { .. }) => CloseCode::Size,
            StreamRefusal::Media(MediaError::TooManyOdd) => CloseCode::Policy,
            StreamRefusal::Media(_) => CloseCode::Protocol,
            StreamRefusal::Stopping => CloseCode::Away,
            _ => CloseCode::Policy,
        };
        self.close(code, &why.to_string()).await;
    }

    pub(super) async fn close(&mut self, code: CloseCode, reason: &str) {
        if let Some(mut sink) = self.sink.take() {
            // A session that cannot say goodbye is closed without.
            let _ = self.session.handle_command(self.time(Instant::now()), MediaCommand::Close);
            // The platform may be gone; then it needs no goodbye.
            let _ = timeout(CLOSE_LIMIT, async {
                while let Some(frame) = self.session.poll_frame() {
                    let _ = sink.send(message(frame)).await;
                }
                let _ = sink.send(close(code, reason)).await;
                let _ = sink.close().await;
            })
            .await;
        }
    }
}

fn message(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => Message::Text(text.into()),
        Frame::Binary(bytes) => Message::Binary(bytes.into()),
    }
}

fn close(code: CloseCode, reason: &str) -> Message {
    // A close frame has room for 123 bytes of reason (RFC 6455, section 5.5).
    let reason: String = reason.chars().filter(char::is_ascii).take(120).collect();
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}
