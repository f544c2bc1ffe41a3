//! Messages of a media stream, one a line, against what every stream promises.
//!
//! A line that is not UTF-8, or begins with the byte 1, is a binary message. Unlike the server, the target goes on after an
//! error: a stream must stay itself then, too. The second opinion on keys and sound of Twilio's dialect is
//! `serde_json::Value`.

use serde_json::Value;
use touchtone::media::{
    AUDIO_MAX, DIALECTS, Frame, Ignored, Incoming, MediaCommand, MediaEvent, MediaSession, MuLaw, UpgradeRequest,
};
use touchtone::time::CallTime;

/// How much later each message comes than the one before: a frame's length.
const STEP: std::time::Duration = std::time::Duration::from_millis(20);

/// Feeds every dialect with the lines of `data`.
pub fn media_frames(data: &[u8]) {
    for dialect in DIALECTS {
        let request = UpgradeRequest { path: "/media", query: None, headers: &[], call_sid: "CA0" };
        let mut session = MediaSession::open(dialect, &request).unwrap();
        let mut seen = Seen { is_twilio: dialect.name == "twilio", ..Seen::default() };
        for line in data.split(|byte| *byte == b'\n') {
            match (line.first(), std::str::from_utf8(line)) {
                (Some(1), _) | (_, Err(_)) => seen.take(&mut session, Incoming::Binary(line), None),
                (_, Ok(text)) => seen.take(&mut session, Incoming::Text(text), serde_json::from_str(text).ok()),
            }
            seen.now = seen.now + STEP;
            let due = session.poll_timeout();
            if session.handle_timeout(seen.now).is_ok() && due.is_some_and(|(at, _)| at <= seen.now) {
                assert!(session.poll_timeout() != due, "a deadline that stays");
            }
            while session.poll_frame().is_some() {}
            while let Some(event) = session.poll_event() {
                assert!(!seen.stopped, "{event:?} after the end");
                seen.stopped = event == MediaEvent::Stopped;
            }
        }
    }
}

/// What came of a stream so far.
#[derive(Default)]
struct Seen {
    is_twilio: bool,
    now: CallTime,
    connected: bool,
    stream_sid: Option<String>,
    stopped: bool,
    last_key: Option<u64>,
}

impl Seen {
    /// One message. `json` is its content, where that has no more than the 128 levels `serde_json::Value` reads.
    fn take(&mut self, session: &mut MediaSession, incoming: Incoming<'_>, json: Option<Value>) {
        let json = json.unwrap_or_default();
        // An error has no room for a message's content, which `Copy` and the type's own definition see to.
        let Ok(event) = session.handle_message(self.now, incoming) else {
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
                let Some(written) = self.written(session, MediaCommand::Audio(MuLaw(&samples))) else { return };
                self.is_meant(&json);
                self.is_meant(&written);
                let payload = |json: &Value| json.pointer("/media/payload").cloned();
                assert!(json.is_null() || payload(&json) == payload(&written), "other sound");
            }
            MediaEvent::Key(key) => {
                let shown = format!("{:?}", MediaEvent::Key(key));
                assert!(shown == "Key(•)", "a key is shown");
                if self.is_twilio && !json.is_null() {
                    self.is_meant(&json);
                    assert!(digit(&json) == Some(key.symbol()), "another key");
                    let number = number(&json);
                    assert!(number.is_none() || number > self.last_key, "a key twice");
                    self.last_key = number.or(self.last_key);
                }
            }
            MediaEvent::Played(name) => {
                let Some(written) = self.written(session, MediaCommand::Mark(&name)) else { return };
                self.is_meant(&json);
                assert!(written.pointer("/mark/name").and_then(Value::as_str) == Some(name.as_str()));
            }
            MediaEvent::Stopped => {
                if self.is_twilio && self.stream_sid.is_some() {
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
            MediaEvent::Handled | MediaEvent::Ignored(_) => {}
        }
    }

    /// What a running stream writes, read back; none in dialects whose frames are no JSON of Twilio's.
    fn written(&self, session: &mut MediaSession, command: MediaCommand<'_>) -> Option<Value> {
        session.handle_command(self.now, command).expect("a running stream");
        match session.poll_frame() {
            _ if !self.is_twilio => None,
            Some(Frame::Text(text)) => Some(serde_json::from_str(&text).unwrap()),
            other => panic!("{other:?} from a running stream"),
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
