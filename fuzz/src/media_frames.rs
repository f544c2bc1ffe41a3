//! Messages of a media stream, one a line, against what every stream promises.
//!
//! A line that is not UTF-8, or begins with the byte 1, is a binary message. Unlike the server, the target goes on after an
//! error: a stream must stay itself then, too. The second opinion on keys and sound is `serde_json::Value`.

use serde_json::Value;
use touchtone::media::{AUDIO_MAX, Dialect, Frame, Ignored, Incoming, MediaCommand, MediaEvent, MuLaw, Stream};

/// Feeds every dialect with the lines of `data`.
pub fn media_frames(data: &[u8]) {
    for dialect in Dialect::ALL {
        let mut stream = Stream::new(dialect);
        let mut seen = Seen::default();
        for line in data.split(|byte| *byte == b'\n') {
            match (line.first(), std::str::from_utf8(line)) {
                (Some(1), _) | (_, Err(_)) => seen.take(&mut stream, Incoming::Binary(line), None),
                (_, Ok(text)) => seen.take(&mut stream, Incoming::Text(text), serde_json::from_str(text).ok()),
            }
        }
    }
}

/// What came of a stream so far.
#[derive(Default)]
struct Seen {
    connected: bool,
    stream_sid: Option<String>,
    stopped: bool,
    last_key: Option<u64>,
}

impl Seen {
    /// One message. `json` is its content, where that has no more than the 128 levels `serde_json::Value` reads.
    fn take(&mut self, stream: &mut Stream, incoming: Incoming<'_>, json: Option<Value>) {
        let json = json.unwrap_or_default();
        // An error has no room for a message's content, which `Copy` and the type's own definition see to.
        let Ok(event) = stream.decode(incoming) else {
            assert!(!self.stopped, "an error after the end");
            return;
        };
        assert!(!self.stopped || event == MediaEvent::Ignored(Ignored::AfterStop), "{event:?} after the end");
        match event {
            MediaEvent::Connected => {
                assert!(!self.connected && self.stream_sid.is_none(), "greeted twice or late");
                self.connected = true;
            }
            MediaEvent::Started(start) => {
                assert!(self.stream_sid.is_none(), "started twice");
                assert!(!start.call_sid.is_empty() && !start.call_sid.contains(['/', '\\', '\n']));
                self.stream_sid = Some(start.stream_sid);
            }
            MediaEvent::Audio(MuLaw(samples)) => {
                assert!(samples.len() <= AUDIO_MAX);
                let samples = samples.to_vec();
                self.is_meant(&json);
                let written = written(stream, MediaCommand::Audio(MuLaw(&samples)));
                self.is_meant(&written);
                let payload = |json: &Value| json.pointer("/media/payload").cloned();
                assert!(json.is_null() || payload(&json) == payload(&written), "other sound");
            }
            MediaEvent::Key(key) => {
                self.is_meant(&json);
                let shown = format!("{:?}", MediaEvent::Key(key));
                assert!(shown == "Key(•)", "a key is shown");
                if !json.is_null() {
                    assert!(digit(&json) == Some(key.symbol()), "another key");
                    let number = number(&json);
                    assert!(number.is_none() || number > self.last_key, "a key twice");
                    self.last_key = number.or(self.last_key);
                }
            }
            MediaEvent::Played(name) => {
                self.is_meant(&json);
                let written = written(stream, MediaCommand::Mark(&name));
                assert!(written.pointer("/mark/name").and_then(Value::as_str) == Some(name.as_str()));
            }
            MediaEvent::Stopped => {
                if self.stream_sid.is_some() {
                    self.is_meant(&json);
                }
                self.stopped = true;
            }
            MediaEvent::KeyLost => {
                assert!(self.stream_sid.is_some(), "a key before the start");
            }
            MediaEvent::Ignored(Ignored::RepeatedKey) => {
                let lost = !json.is_null() && number(&json) > self.last_key;
                assert!(!lost, "a key is lost");
            }
            MediaEvent::Ignored(_) => {}
        }
    }

    /// A message with meaning is of the stream that runs.
    fn is_meant(&self, json: &Value) {
        let started = self.stream_sid.as_deref();
        assert!(started.is_some(), "before the start");
        let named = json.get("streamSid").and_then(Value::as_str);
        assert!(named.is_none() || named == started, "of another stream");
    }
}

/// What a running stream writes, read back.
fn written(stream: &Stream, command: MediaCommand<'_>) -> Value {
    match stream.encode(command) {
        Ok(Frame::Text(text)) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?} from a running stream"),
    }
}

/// The key of a `dtmf` message.
fn digit(json: &Value) -> Option<char> {
    match json.pointer("/dtmf/digit")? {
        Value::String(text) => text.chars().next().map(|symbol| symbol.to_ascii_uppercase()),
        other => other.to_string().chars().next(),
    }
}

/// The sequence number of a message, if it has one.
fn number(json: &Value) -> Option<u64> {
    match json.get("sequenceNumber")? {
        Value::String(text) => text.trim().parse().ok().or_else(|| whole(text.trim().parse().ok()?)),
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        _ => None,
    }
}

/// A floating-point number that is a whole one, and exactly.
fn whole(number: f64) -> Option<u64> {
    let whole = number as u64;
    (number >= 0.0 && whole <= 1 << 53 && whole as f64 == number).then_some(whole)
}
