//! The media-stream protocols: how a telephony platform carries a call over a WebSocket, and what of it is an event.
//!
//! Shape:   a platform's messages in, [`MediaEvent`]s out; [`MediaCommand`]s in, [`Frame`]s out. A [`MediaSession`] holds
//!          what its protocol must remember (was there a `start`, of which call), nothing of sockets.
//! Units:   sound is 8 kHz mono mu-law inside, whatever a dialect carries: one byte a sample, 160 bytes are 20 ms. A dialect
//!          of another format converts it with [`crate::audio::convert`].
//! Limits:  [`TEXT_MAX`], [`START_MAX`], [`PARAMETERS_MAX`], [`PARAMETER_MAX`], [`ID_MAX`], [`MARK_MAX`], [`ODD_MAX`].
//! Errors:  [`MediaError`]: the stream cannot be trusted further, or not be used; close it. What a payment does not need is
//!          no error, however odd it is: it is [`MediaEvent::Ignored`] and counted.
//! Secrets: keys and sound hold card numbers. No error repeats any part of a message; `Debug` of an event shows neither.
//! Sources: spec/media-streams.md: read leniently (sections 10.1 and 10.8), write exactly what is documented.
//! A dialect: a file with a static [`Dialect`] (its name, proof and formats, how to begin a stream), declared and listed in
//!          this file; the `demo` of the tests needs about everything that a platform may need.

pub mod dialect;
mod json;
pub mod nonce;
mod odd;
mod other;
pub mod playout;
pub mod request;
pub mod session;
pub mod upgrade;

// The dialects: each is a file, which is declared here and listed below.
#[cfg(test)]
pub(crate) mod demo;
pub mod twilio;

/// Every dialect. The server, its description and the fuzz target read this list; the phone in the terminal (`cli::dial`) and
/// `stream-url` speak Twilio's only.
pub static DIALECTS: &[&Dialect] = &[
    &twilio::DIALECT,
    #[cfg(test)]
    &demo::DIALECT,
];

pub use dialect::Dialect;
pub use odd::{Ignored, ODD_MAX, Odd};
pub use request::UpgradeRequest;
pub use session::MediaSession;

use std::collections::BTreeMap;
use std::fmt;

use crate::audio::format::Format;
use crate::audio::resample::ResampleError;
use crate::tone::Key;
use dialect::Formats;

/// The longest text message that is read, in bytes (spec/media-streams.md 10.8).
pub const TEXT_MAX: usize = 64 * 1024;

/// The longest `start` that is read, in bytes: it brings what a document made up (spec/media-streams.md 10.8b, "metadata").
pub const START_MAX: usize = 16 * 1024;

/// The most sound that one message can carry, in samples: what the base64 of [`TEXT_MAX`] bytes holds, some six seconds.
/// Platforms send 20 ms.
pub const AUDIO_MAX: usize = TEXT_MAX / 4 * 3;

/// The most custom parameters of a stream. Chosen here; platforms name no number.
pub const PARAMETERS_MAX: usize = 64;

/// The longest custom parameter, name and value together, in bytes: Twilio's 500 characters in their longest UTF-8.
pub const PARAMETER_MAX: usize = 2000;

/// The longest identifier of a stream, call or account, in bytes. Twilio's have 34, a UUID has 36; the rest is room.
pub const ID_MAX: usize = 128;

/// The longest name of a mark, in bytes (spec/media-streams.md 10.2).
pub const MARK_MAX: usize = 40;

/// A message as the WebSocket brought it.
#[derive(Clone, Copy)]
pub enum Incoming<'a> {
    /// A text message, whole.
    Text(&'a str),
    /// A binary message, whole.
    Binary(&'a [u8]),
}

/// Something that happened on the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum MediaEvent<'a> {
    /// The platform greeted. Nothing is known of the call yet; some dialects leave it out.
    Connected,
    /// The stream runs. Given once.
    Started(Start),
    /// The caller was heard.
    Audio(MuLaw<'a>),
    /// The caller pressed a key.
    Key(Key),
    /// Everything sent before this mark has been played, or was dropped by a `Clear`.
    Played(MarkName),
    /// The platform ended the stream. Whatever still arrives is ignored.
    Stopped,
    /// The caller pressed a key, and which one cannot be read. Where keys are being entered, the entry has lost one.
    KeyLost,
    /// The dialect itself had use for the message, and nobody else has: an acknowledgement, flow control, a key that is held
    /// back until its place is known.
    Handled,
    /// A message without meaning for us.
    Ignored(Ignored),
}

impl MediaEvent<'_> {
    /// The same, for longer than the session lends its sound. None: it is sound.
    #[must_use]
    pub fn without_sound(self) -> Option<MediaEvent<'static>> {
        Some(match self {
            Self::Audio(_) => return None,
            Self::Connected => MediaEvent::Connected,
            Self::Started(start) => MediaEvent::Started(start),
            Self::Key(key) => MediaEvent::Key(key),
            Self::Played(mark) => MediaEvent::Played(mark),
            Self::Stopped => MediaEvent::Stopped,
            Self::KeyLost => MediaEvent::KeyLost,
            Self::Handled => MediaEvent::Handled,
            Self::Ignored(why) => MediaEvent::Ignored(why),
        })
    }
}

/// What the platform tells at the start of a stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Start {
    /// The stream's identifier, `MZ...` on Twilio: 1 to [`ID_MAX`] printable ASCII characters but `/` and `\`. The call's
    /// where streams have none.
    pub stream_sid: String,
    /// The call's identifier, `CA...` on Twilio; characters as above. [`UpgradeRequest::call_sid`] where the platform tells
    /// none.
    pub call_sid: String,
    /// The account's identifier, `AC...` on Twilio; characters as above. Told, not checked: it proves nothing.
    pub account_sid: Option<String>,
    /// The document's `<Parameter>`s by name, values as text.
    pub custom_parameters: BTreeMap<String, String>,
}

impl fmt::Debug for Start {
    /// Without the values of the parameters: a document may hand over a customer's data in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("stream_sid", &self.stream_sid)
            .field("call_sid", &self.call_sid)
            .field("account_sid", &self.account_sid)
            .field("custom_parameters", &self.custom_parameters.keys())
            .finish()
    }
}

/// Sound: G.711 mu-law samples, 8000 a second, one channel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MuLaw<'a>(pub &'a [u8]);

impl fmt::Debug for MuLaw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MuLaw({} samples)", self.0.len())
    }
}

/// The name of a mark: 1 to [`MARK_MAX`] ASCII letters, digits, `-` and `_`. Never made from what a caller keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkName(String);

impl MarkName {
    /// The mark called `name`; `None` if that is no name for a mark.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let fits = (1..=MARK_MAX).contains(&name.len());
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (fits && plain).then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Something to tell the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaCommand<'a> {
    /// Play this after everything sent before.
    Audio(MuLaw<'a>),
    /// Answer with [`MediaEvent::Played`] when everything sent before has been played.
    Mark(&'a MarkName),
    /// Drop everything that has not been played.
    Clear,
    /// The stream is about to be closed: send what the platform wants to hear before. The call goes on with the platform's
    /// next instruction, or ends.
    Close,
}

/// A message for the WebSocket to carry. Owned, because that is what WebSocket libraries take without a copy.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
}

impl fmt::Debug for Frame {
    /// Without the content: a prompt may read back what was keyed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

/// Why a stream cannot go on. Says what was expected, and nothing of what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// Above [`TEXT_MAX`].
    #[error("a message of {bytes} bytes; at most {TEXT_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A `start` above [`START_MAX`].
    #[error("a start message of {bytes} bytes; at most {START_MAX} are read")]
    StartTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The first message is one that another platform's stream begins with.
    #[error("this looks like a stream of {platform}, which has another path")]
    OtherDialect {
        /// Whose it looks like.
        platform: &'static str,
    },
    /// More than [`ODD_MAX`] messages without meaning.
    #[error("more than {ODD_MAX} messages that mean nothing here")]
    TooManyOdd,
    /// JSON, but not of the documented shape.
    #[error("a value before line {line}, column {column} is of another type than documented, or stands twice")]
    WrongShape {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A field that is needed is not there.
    #[error("`{field}` is missing")]
    Missing {
        /// Its path.
        field: &'static str,
    },
    /// An identifier that is empty, longer than [`ID_MAX`], or has characters no identifier has.
    #[error("`{field}` is no identifier: 1 to {ID_MAX} printable ASCII characters without slashes were expected")]
    BadIdentifier {
        /// Its path.
        field: &'static str,
    },
    /// A message that has meaning only in a running stream.
    #[error("`{message}` before `start`")]
    NotStarted {
        /// The message's name.
        message: &'static str,
    },
    /// Nothing can be sent any more.
    #[error("the stream has ended")]
    Stopped,
    /// A message names another stream than `start` did, or `start` names two.
    #[error("the message is of another stream than the one that started")]
    OtherStream,
    /// A message names another call than `start` did.
    #[error("the message is of another call than the one that started")]
    OtherCall,
    /// Sound that the dialect does not have.
    #[error("the stream's sound must be {}", Formats(.expected))]
    MediaFormat {
        /// What it has.
        expected: &'static [Format],
    },
    /// Sound could not be converted: a fault of ours.
    #[error("the sound could not be converted")]
    Conversion,
    /// An upgrade that offers subprotocols, and none of the dialect's.
    #[error("the dialect has none of the subprotocols that are offered")]
    Subprotocol,
    /// A key press that cannot be read, in the middle of an entry.
    #[error("a key press must be one of 0-9, *, #, A-D")]
    NotAKey,
    /// Above [`PARAMETERS_MAX`].
    #[error("a stream must have at most {PARAMETERS_MAX} custom parameters")]
    TooManyParameters,
    /// Above [`PARAMETER_MAX`].
    #[error("a custom parameter's name and value must have at most {PARAMETER_MAX} bytes together")]
    ParameterTooLong,
    /// Not a text, a number or a boolean.
    #[error("a custom parameter's value must be a text, a number or a boolean")]
    NestedParameter,
}

impl From<ResampleError> for MediaError {
    fn from(_: ResampleError) -> Self {
        Self::Conversion
    }
}

/// The dialect called `name`.
#[must_use]
pub fn dialect(name: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().copied().find(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::CallTime;

    /// A Twilio stream.
    struct Stream(MediaSession);

    impl Stream {
        fn new() -> Self {
            let request = UpgradeRequest { path: "/media/twilio/pay", query: None, headers: &[], call_sid: "CA0" };
            Self(MediaSession::open(&twilio::DIALECT, &request).unwrap())
        }

        fn decode(&mut self, message: Incoming<'_>) -> Result<MediaEvent<'_>, MediaError> {
            self.0.handle_message(CallTime::ZERO, message)
        }

        fn odd(&self) -> &Odd {
            self.0.odd()
        }
    }

    #[test]
    fn a_dialect_is_known_by_its_name_in_the_path() {
        for known in DIALECTS {
            assert_eq!(dialect(known.name), Some(*known));
            assert!(!known.hears.is_empty() && !known.sends.is_empty(), "{known:?}");
        }
        assert_eq!(dialect("Twilio"), None);
        assert_eq!(
            dialect("twilio").unwrap().to_string(),
            "`twilio` is Twilio, which signs its upgrades; in: audio/x-mulaw at 8000 Hz with 1 channel; out: audio/x-mulaw at 8000 Hz with 1 channel"
        );
    }

    #[test]
    fn a_hundred_odd_messages_are_passed_over_and_what_they_were_is_told_without_a_word_of_theirs() {
        let mut stream = Stream::new();
        for _ in 0..60 {
            stream.decode(Incoming::Text(r#"{"ping":4242}"#)).unwrap();
        }
        for _ in 0..40 {
            stream.decode(Incoming::Binary(b"4242")).unwrap();
        }
        assert_eq!(stream.odd().to_string(), "40 binary, 60 no_event");
        assert_eq!(stream.decode(Incoming::Text("")), Err(MediaError::TooManyOdd));
        assert_eq!(Stream::new().odd().total(), 0);
    }

    #[test]
    fn what_every_stream_has_is_not_odd() {
        let mut stream = Stream::new();
        stream.decode(Incoming::Text(r#"{"event":"start","start":{"streamSid":"MZ1","callSid":"CA1"}}"#)).unwrap();
        for number in 0..1000 {
            let outbound = r#"{"event":"media","media":{"track":"outbound","payload":"//8A"}}"#;
            stream.decode(Incoming::Text(outbound)).unwrap();
            // An echo that comes after a clear is ours all the same.
            let mark = format!(r#"{{"event":"mark","mark":{{"name":"p-{number}"}}}}"#);
            stream.decode(Incoming::Text(&mark)).unwrap();
        }
        assert_eq!(stream.odd().total(), 0);
    }

    #[test]
    fn a_message_of_more_than_64_kib_is_not_looked_at() {
        let long = " ".repeat(TEXT_MAX + 1);
        for incoming in [Incoming::Text(&long), Incoming::Binary(long.as_bytes())] {
            let mut stream = Stream::new();
            assert_eq!(stream.decode(incoming), Err(MediaError::TooLong { bytes: TEXT_MAX + 1 }));
        }
    }

    #[test]
    fn the_name_of_a_mark_is_short_and_plain() {
        assert_eq!(MarkName::parse("p-17").unwrap().as_str(), "p-17");
        assert!(MarkName::parse(&"m".repeat(MARK_MAX)).is_some());
        for name in ["", "p 17", "p\"17", "prü", "p\n", &"m".repeat(MARK_MAX + 1)] {
            assert!(MarkName::parse(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn an_event_shows_no_key_no_sound_and_no_parameter() {
        let key = Key::parse('7').unwrap();
        assert_eq!(format!("{:?}", MediaEvent::Key(key)), "Key(•)");
        assert_eq!(format!("{:?}", MediaEvent::Audio(MuLaw(&[7; 160]))), "Audio(MuLaw(160 samples))");
        let start = Start {
            stream_sid: "MZ1".into(),
            call_sid: "CA1".into(),
            account_sid: None,
            custom_parameters: [("order".into(), "4242".into())].into(),
        };
        let shown = format!("{:?}", MediaEvent::Started(start));
        assert!(shown.contains("order") && shown.contains("CA1") && !shown.contains("4242"), "{shown}");
    }
}
