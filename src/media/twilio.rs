//! Twilio Media Streams, bidirectional (`<Connect><Stream>`).
//!
//! Shape:   text messages of JSON in, [`MediaEvent`]s out; [`MediaCommand`]s in, `media`, `mark` and `clear` out.
//! Units:   8 kHz mono mu-law, base64 in the message.
//! Limits:  those of [`super`].
//! Errors:  [`MediaError`]: a `start` that cannot be used, another call's `start` or key. What Twilio's near-clones leave out
//!          (`connected`, sequence numbers, `streamSid` outside of `start`, the `stop` object) or write otherwise (numbers for
//!          strings) is none, and neither is anything that a payment does not need.
//! Secrets: the sound of the last message is kept in one block that is wiped when it is let go.
//! Sources: spec/media-streams.md 1.3, 1.4 and 10.8.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::dialect::{Dialect, Proof};
use super::json::{self, JsonObject, JsonText, NotRead, RawJson};
use super::session::{MediaOutput, MediaProtocol};
use super::{Frame, Ignored, Incoming, MarkName, MediaCommand, MediaError, MediaEvent, MuLaw, START_MAX, Start, other};
use crate::audio::format::Format;
use crate::pay::platform::Platform;
use crate::time::CallTime;

/// Twilio Media Streams.
pub static DIALECT: Dialect = Dialect {
    name: "twilio",
    platform: "Twilio",
    pay_rules: Platform::Twilio,
    proof: Proof::Signature,
    subprotocols: &[],
    hears: FORMATS,
    sends: FORMATS,
    open: |_| Ok(Box::new(TwilioStream::new())),
};

/// The one format there is, both ways.
const FORMATS: &[Format] = &[Format::MU_LAW];

/// Room for everything of a `media` message but the identifier and the sound.
const FRAMING: usize = 64;

/// One stream: what has come so far.
struct TwilioStream {
    phase: StreamPhase,
    /// The sound of the message at hand; kept for its room.
    samples: Zeroizing<Vec<u8>>,
}

/// How far the stream is.
enum StreamPhase {
    /// Nothing has come.
    Opened,
    /// `connected` has come.
    Greeted,
    /// `start` has come.
    Running(StartedStream),
    /// `stop` has come.
    Stopped,
}

/// What is remembered of `start`, and of the keys since.
struct StartedStream {
    stream_sid: String,
    /// The same as a JSON string, for our own messages.
    quoted_sid: String,
    call_sid: String,
    /// The sequence number of the last key press that had one.
    last_key: Option<u64>,
}

impl TwilioStream {
    fn new() -> Self {
        Self { phase: StreamPhase::Opened, samples: Zeroizing::new(Vec::new()) }
    }

    /// Reads one message. The sound of an [`MediaEvent::Audio`] is kept until the next message only.
    fn decode(&mut self, incoming: Incoming<'_>) -> Result<MediaEvent<'_>, MediaError> {
        if matches!(self.phase, StreamPhase::Stopped) {
            return Ok(MediaEvent::Ignored(Ignored::AfterStop));
        }
        let text = match incoming {
            Incoming::Text(text) => json::text(text),
            Incoming::Binary(bytes) => return Ok(self.unread(Ignored::Binary, bytes)),
        };
        // Only the first message can be of another platform's stream; a later one is passed over.
        if matches!(self.phase, StreamPhase::Opened)
            && let Some(platform) = other::platform(text)
        {
            return Err(MediaError::OtherDialect { platform });
        }
        let (event, message) = match TwilioMessage::read(text) {
            Ok((event, message)) => (event, message),
            // It is whole, and says what it is.
            Err(Unread::Odd(Ignored::UnknownEvent)) => return Ok(MediaEvent::Ignored(Ignored::UnknownEvent)),
            Err(Unread::Odd(why)) => return Ok(self.unread(why, text.as_bytes())),
            Err(Unread::Misshapen(event, error)) => return self.misshapen(event, error),
        };
        match (&mut self.phase, event) {
            (StreamPhase::Opened, TwilioEvent::Connected) => {
                self.phase = StreamPhase::Greeted;
                Ok(MediaEvent::Connected)
            }
            (StreamPhase::Greeted | StreamPhase::Running(_), TwilioEvent::Connected) => {
                Ok(MediaEvent::Ignored(Ignored::RepeatedGreeting))
            }
            (StreamPhase::Opened | StreamPhase::Greeted, TwilioEvent::Start) => {
                if text.len() > START_MAX {
                    return Err(MediaError::StartTooLong { bytes: text.len() });
                }
                let start = started(message)?;
                self.phase = StreamPhase::Running(StartedStream::new(&start));
                Ok(MediaEvent::Started(start))
            }
            (StreamPhase::Running(running), TwilioEvent::Start) => running.started_again(&message),
            (
                StreamPhase::Opened | StreamPhase::Greeted,
                TwilioEvent::Media | TwilioEvent::Dtmf | TwilioEvent::Mark,
            ) => Ok(MediaEvent::Ignored(Ignored::NotStarted)),
            (StreamPhase::Running(running), TwilioEvent::Media) => match running.meant(&message) {
                Ok(()) => Ok(heard(message, &mut self.samples)),
                Err(_) => Ok(MediaEvent::Ignored(Ignored::OtherStream)),
            },
            // Unlike sound and marks: a key of another stream would become part of this caller's number (spec/media-streams.md
            // 10.8).
            (StreamPhase::Running(running), TwilioEvent::Dtmf) => {
                running.meant(&message)?;
                Ok(running.pressed(&message))
            }
            (StreamPhase::Running(running), TwilioEvent::Mark) => match running.meant(&message) {
                Ok(()) => Ok(played(&message)),
                Err(_) => Ok(MediaEvent::Ignored(Ignored::OtherStream)),
            },
            // The end of another stream is not the end of this one.
            (StreamPhase::Running(running), TwilioEvent::Stop) if running.meant(&message).is_err() => {
                Ok(MediaEvent::Ignored(Ignored::OtherStream))
            }
            (StreamPhase::Opened | StreamPhase::Greeted | StreamPhase::Running(_), TwilioEvent::Stop) => {
                self.phase = StreamPhase::Stopped;
                Ok(MediaEvent::Stopped)
            }
            (StreamPhase::Stopped, _) => Ok(MediaEvent::Ignored(Ignored::AfterStop)),
        }
    }

    /// A message of which not even the event is known. It may have been a key.
    fn unread(&self, why: Ignored, message: &[u8]) -> MediaEvent<'static> {
        // Before `start` there is no call that could lose a key.
        let is_key = matches!(self.phase, StreamPhase::Running(_)) && json::may_be_a_key(message);
        if is_key { MediaEvent::KeyLost } else { MediaEvent::Ignored(why) }
    }

    /// A message of which no more than the event can be read.
    fn misshapen(&mut self, event: TwilioEvent, error: MediaError) -> Result<MediaEvent<'static>, MediaError> {
        match (&self.phase, event) {
            // Without one there is no call.
            (StreamPhase::Opened | StreamPhase::Greeted, TwilioEvent::Start) => Err(error),
            (StreamPhase::Running(_), TwilioEvent::Dtmf) => Ok(MediaEvent::KeyLost),
            // Whatever else it says: the stream is over.
            (_, TwilioEvent::Stop) => {
                self.phase = StreamPhase::Stopped;
                Ok(MediaEvent::Stopped)
            }
            (
                _,
                TwilioEvent::Connected
                | TwilioEvent::Start
                | TwilioEvent::Media
                | TwilioEvent::Dtmf
                | TwilioEvent::Mark,
            ) => Ok(MediaEvent::Ignored(Ignored::WrongShape)),
        }
    }

    /// Writes one message. None: nothing is said before a close.
    fn encode(&self, command: MediaCommand<'_>) -> Result<Option<Frame>, MediaError> {
        let text = match command {
            MediaCommand::Audio(MuLaw(samples)) => {
                let stream_sid = self.quoted_sid("media")?;
                // Room for all of it, so that a frame of sound is written into one block.
                let mut text = String::with_capacity(FRAMING + stream_sid.len() + samples.len().div_ceil(3) * 4);
                text.push_str(r#"{"event":"media","streamSid":"#);
                text.push_str(stream_sid);
                text.push_str(r#","media":{"payload":""#);
                STANDARD.encode_string(samples, &mut text);
                text.push_str(r#""}}"#);
                text
            }
            // A mark's name has nothing that JSON escapes.
            MediaCommand::Mark(name) => {
                let (stream_sid, name) = (self.quoted_sid("mark")?, name.as_str());
                format!(r#"{{"event":"mark","streamSid":{stream_sid},"mark":{{"name":"{name}"}}}}"#)
            }
            MediaCommand::Clear => format!(r#"{{"event":"clear","streamSid":{}}}"#, self.quoted_sid("clear")?),
            MediaCommand::Close => return Ok(None),
        };
        Ok(Some(Frame::Text(text)))
    }

    /// The stream's identifier as a JSON string, if `message` can be sent.
    fn quoted_sid(&self, message: &'static str) -> Result<&str, MediaError> {
        match &self.phase {
            StreamPhase::Opened | StreamPhase::Greeted => Err(MediaError::NotStarted { message }),
            StreamPhase::Running(running) => Ok(&running.quoted_sid),
            StreamPhase::Stopped => Err(MediaError::Stopped),
        }
    }
}

impl MediaProtocol for TwilioStream {
    fn handle_message<'s>(
        &'s mut self,
        _: CallTime,
        message: Incoming<'_>,
        _: &mut MediaOutput,
    ) -> Result<MediaEvent<'s>, MediaError> {
        self.decode(message)
    }

    fn handle_command(
        &mut self,
        _: CallTime,
        command: MediaCommand<'_>,
        out: &mut MediaOutput,
    ) -> Result<(), MediaError> {
        if let Some(frame) = self.encode(command)? {
            out.frame(frame);
        }
        Ok(())
    }

    /// Twilio itself says when a mark is reached.
    fn handle_timeout(&mut self, _: CallTime, _: &mut MediaOutput) -> Result<(), MediaError> {
        Ok(())
    }

    fn poll_timeout(&self) -> Option<(CallTime, &'static str)> {
        None
    }
}

impl fmt::Debug for TwilioStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.phase {
            StreamPhase::Opened => "TwilioStream(opened)",
            StreamPhase::Greeted => "TwilioStream(greeted)",
            StreamPhase::Running(_) => "TwilioStream(running)",
            StreamPhase::Stopped => "TwilioStream(stopped)",
        })
    }
}

impl StartedStream {
    fn new(start: &Start) -> Self {
        let quoted_sid = serde_json::Value::from(start.stream_sid.as_str()).to_string();
        Self { stream_sid: start.stream_sid.clone(), quoted_sid, call_sid: start.call_sid.clone(), last_key: None }
    }

    /// Whether the message is of this stream and call, as far as it says. The account is nobody's proof of anything.
    fn meant(&self, message: &TwilioMessage<'_>) -> Result<(), MediaError> {
        let stop = message.stop.as_ref().and_then(|JsonObject(stop)| stop.call_sid.as_ref());
        self.meant_by(message.stream_sid.as_ref(), message.call_sid.as_ref().or(stop))
    }

    fn meant_by(&self, stream_sid: Option<&JsonText<'_>>, call_sid: Option<&JsonText<'_>>) -> Result<(), MediaError> {
        if call_sid.is_some_and(|JsonText(sid)| *sid != self.call_sid) {
            return Err(MediaError::OtherCall);
        }
        if stream_sid.is_some_and(|JsonText(sid)| *sid != self.stream_sid) {
            return Err(MediaError::OtherStream);
        }
        Ok(())
    }

    /// Another `start`: of this call it tells nothing new, of another one it must not be mixed up with this.
    fn started_again(&self, message: &TwilioMessage<'_>) -> Result<MediaEvent<'static>, MediaError> {
        self.meant(message)?;
        if let Some(start) = &message.start {
            let JsonObject(start) = &**start;
            self.meant_by(start.stream_sid.as_ref(), start.call_sid.as_ref())?;
        }
        Ok(MediaEvent::Ignored(Ignored::RepeatedStart))
    }

    /// A key press. Equal keys may follow each other, equal numbers may not: numbers count messages, so a number that is
    /// not above the last key's is a second delivery. Other messages' numbers are not compared: a platform that counts
    /// keys apart must not lose any.
    fn pressed(&mut self, message: &TwilioMessage<'_>) -> MediaEvent<'static> {
        let number = message.sequence_number.and_then(json::number);
        // `None` is less than any number, so that the first key is never a repeat.
        if number.is_some() && number <= self.last_key {
            return MediaEvent::Ignored(Ignored::RepeatedKey);
        }
        let digit = message.dtmf.as_ref().and_then(|JsonObject(dtmf)| dtmf.digit);
        let Some(key) = digit.and_then(json::key) else { return MediaEvent::KeyLost };
        self.last_key = number.or(self.last_key);
        MediaEvent::Key(key)
    }
}

/// What `start` tells, if it tells enough.
fn started(message: TwilioMessage<'_>) -> Result<Start, MediaError> {
    let JsonObject(start) = *message.start.ok_or(MediaError::Missing { field: "start" })?;
    let outer = json::identifier("streamSid", message.stream_sid)?;
    let inner = json::identifier("start.streamSid", start.stream_sid)?;
    if outer.is_some() && inner.is_some() && outer != inner {
        return Err(MediaError::OtherStream);
    }
    // Near-clones leave it out; one that is named has to be ours.
    if start.media_format.is_some_and(|JsonObject(format)| !format.is_readable()) {
        return Err(MediaError::MediaFormat { expected: FORMATS });
    }
    Ok(Start {
        // SignalWire names it in `start` alone, others may at the top alone (spec/media-streams.md 2.2).
        stream_sid: inner.or(outer).ok_or(MediaError::Missing { field: "start.streamSid" })?,
        call_sid: json::identifier("start.callSid", start.call_sid)?
            .ok_or(MediaError::Missing { field: "start.callSid" })?,
        account_sid: json::identifier("start.accountSid", start.account_sid)?,
        custom_parameters: json::parameters(start.custom_parameters.unwrap_or_default())?,
    })
}

/// The sound of a message. A bidirectional stream has the caller's track only; some write it `inbound_track`.
fn heard<'a>(message: TwilioMessage<'_>, samples: &'a mut Zeroizing<Vec<u8>>) -> MediaEvent<'a> {
    let Some(JsonObject(media)) = message.media else { return MediaEvent::Ignored(Ignored::UndecodableSound) };
    if media.track.is_some_and(|JsonText(track)| !matches!(track.as_ref(), "inbound" | "inbound_track")) {
        return MediaEvent::Ignored(Ignored::OtherTrack);
    }
    match media.payload {
        Some(JsonText(payload)) if json::samples(&payload, samples) => MediaEvent::Audio(MuLaw(samples)),
        Some(_) | None => MediaEvent::Ignored(Ignored::UndecodableSound),
    }
}

/// A mark that came back.
fn played(message: &TwilioMessage<'_>) -> MediaEvent<'static> {
    let name = message.mark.as_ref().and_then(|JsonObject(mark)| mark.name);
    let Some(name) = name else { return MediaEvent::Ignored(Ignored::NamelessMark) };
    let ours = json::scalar(name).and_then(|name| MarkName::parse(&name));
    ours.map_or(MediaEvent::Ignored(Ignored::ForeignMark), MediaEvent::Played)
}

/// The events of the dialect.
#[derive(Clone, Copy)]
enum TwilioEvent {
    Connected,
    Start,
    Media,
    Dtmf,
    Mark,
    Stop,
}

impl TwilioEvent {
    // Sound first: nearly all messages of a stream are.
    const ALL: [Self; 6] = [Self::Media, Self::Dtmf, Self::Mark, Self::Connected, Self::Start, Self::Stop];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Start => "start",
            Self::Media => "media",
            Self::Dtmf => "dtmf",
            Self::Mark => "mark",
            Self::Stop => "stop",
        }
    }
}

/// A message: what is used of it. Everything else is passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TwilioMessage<'a> {
    #[serde(borrow)]
    event: Option<JsonText<'a>>,
    #[serde(borrow)]
    sequence_number: Option<RawJson<'a>>,
    #[serde(borrow)]
    stream_sid: Option<JsonText<'a>>,
    #[serde(borrow)]
    call_sid: Option<JsonText<'a>>,
    #[serde(borrow)]
    start: Option<Box<JsonObject<StartPart<'a>>>>, // on the heap, because every message is moved with the room for it
    #[serde(borrow)]
    media: Option<JsonObject<MediaPart<'a>>>,
    #[serde(borrow)]
    dtmf: Option<JsonObject<DtmfPart<'a>>>,
    #[serde(borrow)]
    mark: Option<JsonObject<MarkPart<'a>>>,
    #[serde(borrow)]
    stop: Option<JsonObject<StopPart<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartPart<'a> {
    #[serde(borrow)]
    stream_sid: Option<JsonText<'a>>,
    #[serde(borrow)]
    account_sid: Option<JsonText<'a>>,
    #[serde(borrow)]
    call_sid: Option<JsonText<'a>>,
    #[serde(borrow)]
    media_format: Option<JsonObject<MediaFormat<'a>>>,
    #[serde(borrow)]
    custom_parameters: Option<BTreeMap<JsonText<'a>, RawJson<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaFormat<'a> {
    #[serde(borrow)]
    encoding: Option<JsonText<'a>>,
    #[serde(borrow)]
    sample_rate: Option<RawJson<'a>>,
    #[serde(borrow)]
    channels: Option<RawJson<'a>>,
}

impl MediaFormat<'_> {
    /// Whether it is one of [`FORMATS`], as far as it says.
    fn is_readable(&self) -> bool {
        let is_said = |format: &Format| {
            let name = format.encoding.media_type();
            self.encoding.as_ref().is_none_or(|JsonText(encoding)| encoding.eq_ignore_ascii_case(name))
                && self.sample_rate.is_none_or(|rate| json::number(rate) == Some(u64::from(format.rate)))
        };
        FORMATS.iter().any(is_said) && self.channels.is_none_or(|channels| json::number(channels) == Some(1))
    }
}

#[derive(Deserialize)]
struct MediaPart<'a> {
    #[serde(borrow)]
    track: Option<JsonText<'a>>,
    #[serde(borrow)]
    payload: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
struct DtmfPart<'a> {
    #[serde(borrow)]
    digit: Option<RawJson<'a>>,
}

#[derive(Deserialize)]
struct MarkPart<'a> {
    #[serde(borrow)]
    name: Option<RawJson<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StopPart<'a> {
    #[serde(borrow)]
    call_sid: Option<JsonText<'a>>,
}

/// No more of a message than its event.
#[derive(Deserialize)]
struct EventName<'a> {
    #[serde(borrow)]
    event: Option<JsonText<'a>>,
}

/// Why a message cannot be read.
enum Unread {
    /// There is no telling what it is.
    Odd(Ignored),
    /// It is this event, and something in it is of another type than documented.
    Misshapen(TwilioEvent, MediaError),
}

impl<'a> TwilioMessage<'a> {
    /// Reads a message. The fields of an unknown event may have any type, so a message that does not fit is looked at again
    /// for its event alone.
    fn read(text: &'a str) -> Result<(TwilioEvent, Self), Unread> {
        if text.trim_ascii().is_empty() {
            return Err(Unread::Odd(Ignored::Empty));
        }
        let not_read = |why| match why {
            NotRead::Json => Unread::Odd(Ignored::NotJson),
            NotRead::Shape { .. } => Unread::Odd(Ignored::WrongShape),
        };
        let (name, message) = match json::object::<Self>(text) {
            Ok(mut message) => (message.event.take(), Ok(message)),
            Err(NotRead::Shape { line, column }) => {
                let named = json::object::<EventName<'_>>(text).map_err(not_read)?;
                (named.event, Err(MediaError::WrongShape { line, column }))
            }
            Err(NotRead::Json) => return Err(Unread::Odd(Ignored::NotJson)),
        };
        let Some(JsonText(name)) = name else { return Err(Unread::Odd(Ignored::NoEvent)) };
        match (TwilioEvent::named(&name), message) {
            (Some(event), Ok(message)) => Ok((event, message)),
            (Some(event), Err(error)) => Err(Unread::Misshapen(event, error)),
            (None, _) => Err(Unread::Odd(Ignored::UnknownEvent)),
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
