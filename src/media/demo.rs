//! A dialect of no platform: what each of them needs one thing of, and a dialect must be able to do.
//!
//! Shape:   metadata in JSON first, then sound in binary messages and keys in JSON. No id on the wire, so the server's is
//!          taken; no mark either, so the session computes by itself when a prompt was heard. Keys come in any order and are
//!          held back until it is known.
//! Units:   L16, little-endian, 16 kHz in; out the same, or 24 kHz where the query says `rate=24000`; in messages of exactly
//!          10 ms, so that a command makes several.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::dialect::{Dialect, Proof};
use super::json::{self, JsonText, NotRead, RawJson};
use super::playout::Playout;
use super::session::{MediaOutput, MediaProtocol};
use super::{
    Frame, Ignored, Incoming, MarkName, MediaCommand, MediaError, MediaEvent, MuLaw, Start, UpgradeRequest, other,
};
use crate::audio::convert::{Decoder, Encoder};
use crate::audio::format::{ByteOrder, Format};
use crate::pay::platform::Platform;
use crate::time::CallTime;
use crate::tone::Key;

pub(crate) static DIALECT: Dialect = Dialect {
    name: "demo",
    platform: "Demo",
    pay_rules: Platform::Telnyx,
    proof: Proof::Secret,
    subprotocols: &["audio.demo", "demo"],
    hears: &[HEARS],
    sends: SENDS,
    open,
};

const HEARS: Format = Format::l16(ByteOrder::Little, 16_000);

const SENDS: &[Format] = &[HEARS, Format::l16(ByteOrder::Little, 24_000)];

/// How much sound a message has.
const FRAME: Duration = Duration::from_millis(10);

/// How long a key is held back: one that was pressed before it may still come.
// spec/media-streams.md 3.6 suggests 50 to 100 ms.
const HELD: Duration = Duration::from_millis(60);

/// One stream.
struct DemoStream {
    phase: DemoPhase,
    call_sid: String,
    sends: Format,
    encoder: Encoder,
    decoder: Decoder,
    /// What the last message said.
    samples: Zeroizing<Vec<u8>>,
    /// Less than a message of what is to be sent.
    sound: Vec<u8>,
    playout: Playout<MarkName>,
    /// Keys and when each was pressed, and until when they are held back.
    keys: Vec<(u64, Key)>,
    held_until: Option<CallTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DemoPhase {
    Opened,
    Running,
    Stopped,
}

fn open(request: &UpgradeRequest<'_>) -> Result<Box<dyn MediaProtocol>, MediaError> {
    let sends = match request.parameter("rate") {
        None => HEARS,
        Some(rate) => *SENDS
            .iter()
            .find(|format| format.rate.to_string() == rate)
            .ok_or(MediaError::MediaFormat { expected: SENDS })?,
    };
    Ok(Box::new(DemoStream {
        phase: DemoPhase::Opened,
        call_sid: request.call_sid.to_owned(),
        sends,
        encoder: Encoder::new(sends)?,
        decoder: Decoder::new(HEARS)?,
        samples: Zeroizing::default(),
        sound: Vec::new(),
        playout: Playout::default(),
        keys: Vec::new(),
        held_until: None,
    }))
}

#[derive(Deserialize)]
struct DemoMessage<'a> {
    #[serde(borrow)]
    event: Option<JsonText<'a>>,
    #[serde(borrow)]
    parameters: Option<BTreeMap<JsonText<'a>, RawJson<'a>>>,
    #[serde(borrow)]
    digit: Option<RawJson<'a>>,
    #[serde(borrow)]
    at: Option<RawJson<'a>>,
}

impl DemoStream {
    /// Sends as many whole messages as there are.
    fn send(&mut self, out: &mut MediaOutput) {
        let frame = self.sends.bytes_in(FRAME);
        let whole = self.sound.len() / frame * frame;
        for message in self.sound.drain(..whole).as_slice().chunks_exact(frame) {
            out.frame(Frame::Binary(message.to_vec()));
        }
    }

    fn release_keys(&mut self, out: &mut MediaOutput) {
        self.keys.sort_by_key(|(at, _)| *at);
        self.keys.drain(..).for_each(|(_, key)| out.event(MediaEvent::Key(key)));
        self.held_until = None;
    }

    fn tell_marks(&mut self, now: CallTime, out: &mut MediaOutput) {
        while let Some(mark) = self.playout.due(now) {
            out.event(MediaEvent::Played(mark));
        }
    }

    fn control(&mut self, now: CallTime, text: &str, out: &mut MediaOutput) -> Result<MediaEvent<'static>, MediaError> {
        if self.phase == DemoPhase::Opened
            && let Some(platform) = other::platform(text)
        {
            return Err(MediaError::OtherDialect { platform });
        }
        let message: DemoMessage<'_> = match json::object(text) {
            Ok(message) => message,
            Err(NotRead::Json) => return Ok(MediaEvent::Ignored(Ignored::NotJson)),
            Err(NotRead::Shape { .. }) => return Ok(MediaEvent::Ignored(Ignored::WrongShape)),
        };
        let event = message.event.as_ref().map(|JsonText(event)| event.as_ref());
        match (self.phase, event) {
            (DemoPhase::Opened, None) => {
                self.phase = DemoPhase::Running;
                out.frame(Frame::Text(r#"{"action":"answer"}"#.to_owned()));
                Ok(MediaEvent::Started(Start {
                    stream_sid: self.call_sid.clone(),
                    call_sid: self.call_sid.clone(),
                    account_sid: None,
                    custom_parameters: json::parameters(message.parameters.unwrap_or_default())?,
                }))
            }
            (DemoPhase::Running, Some("key")) => {
                let (key, at) = (message.digit.and_then(json::key), message.at.and_then(json::number));
                let (Some(key), Some(at)) = (key, at) else { return Ok(MediaEvent::KeyLost) };
                self.keys.push((at, key));
                self.held_until.get_or_insert(now + HELD);
                Ok(MediaEvent::Handled)
            }
            (DemoPhase::Running, Some("bye")) => {
                self.phase = DemoPhase::Stopped;
                // The keys were pressed before.
                self.release_keys(out);
                out.event(MediaEvent::Stopped);
                Ok(MediaEvent::Handled)
            }
            (DemoPhase::Stopped, _) => Ok(MediaEvent::Ignored(Ignored::AfterStop)),
            (DemoPhase::Opened, Some(_)) => Ok(MediaEvent::Ignored(Ignored::NotStarted)),
            (DemoPhase::Running, _) => Ok(MediaEvent::Ignored(Ignored::UnknownEvent)),
        }
    }
}

impl MediaProtocol for DemoStream {
    fn handle_message<'s>(
        &'s mut self,
        now: CallTime,
        message: Incoming<'_>,
        out: &mut MediaOutput,
    ) -> Result<MediaEvent<'s>, MediaError> {
        match message {
            Incoming::Text(text) => self.control(now, text, out),
            Incoming::Binary(sound) if self.phase == DemoPhase::Running => {
                self.samples.clear();
                self.decoder.push(sound, &mut self.samples)?;
                Ok(MediaEvent::Audio(MuLaw(&self.samples)))
            }
            Incoming::Binary(_) => Ok(MediaEvent::Ignored(Ignored::NotStarted)),
        }
    }

    fn handle_command(
        &mut self,
        now: CallTime,
        command: MediaCommand<'_>,
        out: &mut MediaOutput,
    ) -> Result<(), MediaError> {
        match (self.phase, command) {
            (DemoPhase::Running, MediaCommand::Close) => out.frame(Frame::Text(r#"{"action":"hangup"}"#.to_owned())),
            (DemoPhase::Opened | DemoPhase::Stopped, MediaCommand::Close) => {}
            (DemoPhase::Opened, _) => return Err(MediaError::NotStarted { message: "sound" }),
            (DemoPhase::Stopped, _) => return Err(MediaError::Stopped),
            (DemoPhase::Running, MediaCommand::Audio(MuLaw(samples))) => {
                self.playout.sound(now, Format::MU_LAW.duration(samples.len()));
                self.encoder.push(samples, &mut self.sound)?;
                self.send(out);
            }
            (DemoPhase::Running, MediaCommand::Mark(mark)) => {
                self.playout.mark(now, mark.clone());
                self.encoder.finish(&mut self.sound)?;
                // A message has exactly 10 ms: the end of a prompt is filled up.
                self.sends.fill_frame(self.sends.bytes_in(FRAME), &mut self.sound);
                self.send(out);
            }
            (DemoPhase::Running, MediaCommand::Clear) => {
                self.encoder.reset();
                self.sound.clear();
                out.frame(Frame::Text(r#"{"action":"clear"}"#.to_owned()));
                self.playout.clear(now);
                self.tell_marks(now, out);
            }
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: CallTime, out: &mut MediaOutput) -> Result<(), MediaError> {
        if self.held_until.is_some_and(|until| until <= now) {
            self.release_keys(out);
        }
        self.tell_marks(now, out);
        Ok(())
    }

    fn poll_timeout(&self) -> Option<(CallTime, &'static str)> {
        let mark = self.playout.next_mark().map(|at| (at, "mark"));
        let keys = self.held_until.map(|at| (at, "keys"));
        mark.into_iter().chain(keys).min()
    }
}

impl fmt::Debug for DemoStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DemoStream({:?})", self.phase)
    }
}

#[cfg(test)]
mod tests;
