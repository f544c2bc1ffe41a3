//! Dials a running server as Twilio would: its media-stream protocol from the platform's side.
//!
//! Shape:   one WebSocket; silence goes out every [`FRAME`], sounds come in and are "played" by [`SimulatedPlayback`].
//! Limits:  [`CLOSE_WITHIN`] for the server to close after the caller hung up.
//! Errors:  [`CommandFailure`] when there is no call, saying what to do about it. A server's mistakes are warnings.
//! Secrets: keys go to the server and nowhere else; the auth token signs the upgrade.
//! Sources: spec/media-streams.md, section 1.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::caller::{CallerAction, Hand, Hearing};
use super::input::{CallerInput, Stop};
use super::playback::SimulatedPlayback;
use super::printer::Printer;
use super::screen::Ink;
use super::target::{DialTarget, refused};
use super::{KEYS_HELP, TICK};
use crate::cli::CommandFailure;
use crate::secret::Secret;
use crate::signature;
use crate::simulate::Record;
use crate::time::CallTime;
use crate::tone::Key;

/// How long the audio of one message is.
const FRAME: Duration = Duration::from_millis(20);

/// Samples of a frame, and mu-law for silence (G.711).
const SILENCE: [u8; 160] = [0xFF; 160];

/// How long nothing must have come before a caller takes it that the prompt is over.
const QUIET: Duration = Duration::from_millis(300);

/// The same before the server's first word, and before the end of the input hangs up: a gateway may be thinking. Chosen
/// freely.
const QUIET_LONG: Duration = Duration::from_secs(3);

/// How long the server has to close the stream after a hang-up. Chosen freely.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How long a connection may take to come about. Chosen freely.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The platform's side of a stream.
struct PlatformSide<'a> {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    printer: &'a mut Printer,
    since: Instant,
    playback: SimulatedPlayback,
    sids: [String; 3],
    /// The number of the last message after `connected`, and of the last `media`.
    sequence: u64,
    chunk: u64,
    /// When the server last said anything, and when a key was last pressed.
    last: CallTime,
    heard_any: bool,
}

/// Dials and stays on the line until it is closed.
pub(super) async fn run(
    target: &DialTarget,
    parameters: &[(String, String)],
    token: Option<&Secret>,
    mut inputs: mpsc::Receiver<CallerInput>,
    printer: &mut Printer,
) -> Result<(), CommandFailure> {
    let socket = connect(target, token).await?;
    printer.screen.line(Ink::Strong, &format!("Calling {} at {}, as Twilio would.", target.flow, target.place));
    if printer.screen.has_status() {
        printer.screen.line(Ink::Faint, KEYS_HELP);
    }
    let sid = |prefix: &str| format!("{prefix}{}", uuid::Uuid::new_v4().simple());
    let mut line = PlatformSide {
        socket,
        printer,
        since: Instant::now(),
        playback: SimulatedPlayback::default(),
        sids: [sid("AC"), sid("CA"), sid("MZ")],
        sequence: 0,
        chunk: 0,
        last: CallTime::ZERO,
        heard_any: false,
    };
    let (mut hand, mut stop, mut ended, mut failed) = (Hand::new(), Stop::new(), false, None);
    let mut up = line.begin(parameters).await;
    while up {
        let now = line.now();
        let mut read_on = false;
        let mut wake = line.frame_due().min(now + TICK);
        match hand.act(now, line.hearing(now, ended)) {
            CallerAction::Press(key) => {
                up = line.press(key).await;
                continue;
            }
            CallerAction::HangUp => {
                line.hang_up().await;
                break;
            }
            CallerAction::Until(then) => wake = wake.min(then),
            CallerAction::Listen => {}
            CallerAction::ReadOn => read_on = !ended,
        }
        if let Some(mark) = line.playback.playout.next_mark() {
            wake = wake.min(mark);
        }
        line.show(now);
        tokio::select! { biased;
            input = inputs.recv(), if read_on => match input {
                Some(CallerInput::Key(key)) => up = line.press(key).await,
                Some(CallerInput::Line(said)) => hand.take(line.now(), Some(said)),
                Some(CallerInput::Help) => line.printer.note(now, "help", Ink::Faint, KEYS_HELP),
                Some(CallerInput::HangUp) => {
                    line.hang_up().await;
                    break;
                }
                Some(CallerInput::Bad(bad)) => {
                    failed = Some(CommandFailure::new(bad));
                    line.hang_up().await;
                    break;
                }
                None => {
                    ended = true;
                    hand.take(line.now(), None);
                }
            },
            () = stop.asked() => {
                line.hang_up().await;
                break;
            }
            message = line.socket.next() => up = line.take(message).await,
            () = sleep_until(line.since + Duration::from_millis(wake.as_millis())) => {}
        }
        up = up && line.go_on().await;
    }
    line.printer.screen.status("");
    failed.map_or(Ok(()), Err)
}

async fn connect(
    target: &DialTarget,
    token: Option<&Secret>,
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, CommandFailure> {
    let place = &target.place;
    let mut request =
        target.url.as_str().into_client_request().map_err(|error| CommandFailure(format!("--url: {error}")))?;
    if let Some(token) = token {
        let signature = signature::sign(token, target.url.as_str(), None);
        let value = HeaderValue::from_str(&signature).map_err(CommandFailure::new)?;
        request.headers_mut().insert("X-Twilio-Signature", value);
    }
    let answer = tokio::time::timeout(CONNECT_WITHIN, connect_async(request)).await;
    let answer = answer.map_err(|_| CommandFailure(format!("{place} does not answer")))?;
    answer.map(|(socket, _)| socket).map_err(|error| refused(target, token.is_some(), &error))
}

impl PlatformSide<'_> {
    fn now(&self) -> CallTime {
        CallTime::ZERO + self.since.elapsed()
    }

    /// `connected` and `start`. False, here and below: the line is down.
    async fn begin(&mut self, parameters: &[(String, String)]) -> bool {
        let custom: serde_json::Map<String, Value> =
            parameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let [account, call, stream] = &self.sids;
        let connected = json!({"event": "connected", "protocol": "Call", "version": "1.0.0"});
        let start = json!({"event": "start", "start": {
            "accountSid": account, "streamSid": stream, "callSid": call, "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": custom,
        }});
        self.send(connected).await && self.send_counted(start).await
    }

    async fn send(&mut self, message: Value) -> bool {
        let sent = self.socket.send(Message::text(message.to_string())).await;
        if let Err(error) = &sent {
            let now = self.now();
            self.printer.note(now, "ended", Ink::Bad, &format!("the connection broke: {error}"));
        }
        sent.is_ok()
    }

    async fn send_counted(&mut self, mut message: Value) -> bool {
        self.sequence += 1;
        if let Some(fields) = message.as_object_mut() {
            let [_, _, stream] = &self.sids;
            fields.insert("sequenceNumber".to_owned(), json!(self.sequence.to_string()));
            fields.insert("streamSid".to_owned(), json!(stream));
        }
        self.send(message).await
    }

    /// When the next frame of silence goes out.
    fn frame_due(&self) -> CallTime {
        let millis = u64::try_from(FRAME.as_millis()).unwrap_or(u64::MAX);
        CallTime::from_millis(self.chunk.saturating_mul(millis))
    }

    /// Sends the frames and marks that are due.
    async fn go_on(&mut self) -> bool {
        while self.frame_due() <= self.now() {
            let timestamp = self.frame_due().as_millis().to_string();
            self.chunk += 1;
            let media = json!({
                "track": "inbound", "chunk": self.chunk.to_string(), "timestamp": timestamp,
                "payload": STANDARD.encode(SILENCE),
            });
            if !self.send_counted(json!({"event": "media", "media": media})).await {
                return false;
            }
        }
        let now = self.now();
        while let Some(name) = self.playback.playout.due(now) {
            if !self.send_counted(json!({"event": "mark", "mark": {"name": name}})).await {
                return false;
            }
            self.last = now;
        }
        // A sound without a mark is told when it has been heard.
        if self.playback.playout.ends() <= now {
            self.tell_sound(now);
        }
        true
    }

    async fn press(&mut self, key: Key) -> bool {
        let now = self.now();
        self.last = now;
        self.printer.tell(now, &Record::Pressed(key));
        // The digit is in this message only as long as it takes to send it.
        let dtmf = json!({"track": "inbound_track", "digit": key.symbol().to_string()});
        self.send_counted(json!({"event": "dtmf", "dtmf": dtmf})).await
    }

    async fn hang_up(&mut self) {
        let now = self.now();
        self.printer.tell(now, &Record::HungUp);
        let [account, call, _] = &self.sids;
        if self.send_counted(json!({"event": "stop", "stop": {"accountSid": account, "callSid": call}})).await {
            let _ = self.socket.close(None).await;
            let closed = async { while let Some(Ok(_)) = self.socket.next().await {} };
            let _ = tokio::time::timeout(CLOSE_WITHIN, closed).await;
        }
        let now = self.now();
        self.printer.note(now, "ended", Ink::Plain, "caller: you hung up");
    }

    /// What the server says.
    async fn take(&mut self, message: Option<Result<Message, Error>>) -> bool {
        let now = self.now();
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => return true,
            Some(Ok(Message::Binary(_))) => {
                self.warn(now, "the server sent a binary message, which Twilio does not take (31950)");
                return true;
            }
            Some(Ok(Message::Close(_))) | None | Some(Err(Error::ConnectionClosed)) => {
                self.tell_sound(now);
                // The answer to the close goes out with the next read.
                let _ = self.socket.close(None).await;
                self.printer.note(now, "ended", Ink::Plain, "hangup: the server closed the stream");
                return false;
            }
            Some(Err(error)) => {
                self.tell_sound(now);
                self.printer.note(now, "ended", Ink::Bad, &format!("the connection broke: {error}"));
                return false;
            }
        };
        self.last = now;
        self.heard_any = true;
        let message: Value = serde_json::from_str(&text).unwrap_or_default();
        let field = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
        let [_, _, stream] = &self.sids;
        if field("/streamSid") != Some(stream) {
            self.warn(
                now,
                "the server sent a message without the stream's streamSid, which Twilio does not take (31950)",
            );
            return true;
        }
        let sound = field("/media/payload").map(|payload| STANDARD.decode(payload));
        match (field("/event"), sound, field("/mark/name")) {
            (Some("media"), Some(Ok(sound)), _) => self.playback.media(now, sound.len()),
            (Some("mark"), _, Some(name)) => {
                self.playback.playout.mark(now, name.to_owned());
                self.tell_sound(now);
            }
            (Some("clear"), ..) => {
                self.tell_sound(now);
                if self.playback.playout.clear(now) {
                    self.printer.tell(now, &Record::Cleared);
                }
            }
            _ => self.warn(now, "the server sent a message that Twilio does not take (31950)"),
        }
        true
    }

    fn warn(&mut self, now: CallTime, text: &str) {
        self.printer.note(now, "warning", Ink::Doubtful, text);
    }

    fn tell_sound(&mut self, now: CallTime) {
        if let Some(length) = self.playback.untold() {
            self.printer.sound(now, length);
        }
    }

    /// Whether it is the caller's turn: everything was heard, and nothing came for a while.
    fn hearing(&self, now: CallTime, at_end: bool) -> Hearing {
        // The first words of a call take a server longest.
        let quiet = if at_end || !self.heard_any { QUIET_LONG } else { QUIET };
        let heard = self.playback.playout.ends().max(self.last);
        let silent = self.playback.playout.next_mark().is_none() && now >= heard + quiet;
        if silent { Hearing::Asked } else { Hearing::Busy }
    }

    fn show(&mut self, now: CallTime) {
        if !self.printer.screen.has_status() {
            return;
        }
        let doing = match (self.playback.playout.ends() - now).as_millis() {
            0 => "listening".to_owned(),
            left => format!("speaking, {} s left", left.div_ceil(1000)),
        };
        let status = super::status_line(&doing, &"•".repeat(self.printer.keys_untold()));
        self.printer.screen.status(&status);
    }
}
