//! The media-stream protocols: how a telephony platform carries a call over a WebSocket, and what of it is an event.
//!
//! Shape:   a platform's messages in, [`MediaEvent`]s out; [`MediaCommand`]s in, [`Frame`]s out. One file a dialect.
//!          A [`Stream`] holds what its protocol must remember (was there a `start`, of which call), nothing of sockets.
//! Units:   sound is 8 kHz mono mu-law inside, whatever a dialect carries: one byte a sample, 160 bytes are 20 ms.
//! Limits:  [`TEXT_MAX`], [`START_MAX`], [`PARAMETERS_MAX`], [`PARAMETER_MAX`], [`ID_MAX`], [`MARK_MAX`], [`ODD_MAX`].
//! Errors:  [`MediaError`]: the stream cannot be trusted further, or not be used; close it. What a payment does not need is
//!          no error, however odd it is: it is [`MediaEvent::Ignored`] and counted.
//! Secrets: keys and sound hold card numbers. No error repeats any part of a message; `Debug` of an event shows neither.
//! Sources: spec/media-streams.md: read leniently (sections 10.1 and 10.8), write exactly what is documented.
//!
//! A further dialect is one file beside [`twilio`], a variant of [`Dialect`] and one of [`Stream`].

mod json;
pub mod nonce;
mod odd;
mod other;
pub mod twilio;
pub mod upgrade;

pub use odd::{Ignored, ODD_MAX, Odd};

use std::collections::BTreeMap;
use std::fmt;

use crate::tone::Key;

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
    /// A message without meaning for us.
    Ignored(Ignored),
}

/// What the platform tells at the start of a stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Start {
    /// The stream's identifier, `MZ...` on Twilio: 1 to [`ID_MAX`] printable ASCII characters but `/` and `\`.
    pub stream_sid: String,
    /// The call's identifier, `CA...` on Twilio; characters as above.
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
    /// End the stream; the call goes on with the platform's next instruction, or ends.
    Close,
}

/// A message for the WebSocket to carry. Owned, because that is what WebSocket libraries take without a copy.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// The close frame of a normal end (code 1000).
    Close,
}

impl fmt::Debug for Frame {
    /// Without the content: a prompt may read back what was keyed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Self::Close => f.write_str("Close"),
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
    /// Sound that cannot be read.
    #[error("the stream's sound must be audio/x-mulaw at 8000 Hz with 1 channel")]
    MediaFormat,
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

/// A media-stream protocol, by the name it has in `/media/{dialect}/{flow}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Twilio Media Streams, bidirectional (`<Connect><Stream>`).
    Twilio,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 1] = [Self::Twilio];

    /// The dialect called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
        }
    }
}

/// One stream, in whatever dialect it is.
#[derive(Debug)]
pub struct Stream {
    spoken: Spoken,
    odd: Odd,
}

/// A stream's state in its dialect.
#[derive(Debug)]
enum Spoken {
    Twilio(twilio::Stream),
}

impl Stream {
    /// A stream that nothing has come on yet.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        let spoken = match dialect {
            Dialect::Twilio => Spoken::Twilio(twilio::Stream::new()),
        };
        Self { spoken, odd: Odd::default() }
    }

    /// Reads one message. The sound of an [`MediaEvent::Audio`] is kept until the next message only.
    ///
    /// # Errors
    ///
    /// [`MediaError`] if the stream cannot go on, or not begin: it is to be closed.
    pub fn decode(&mut self, incoming: Incoming<'_>) -> Result<MediaEvent<'_>, MediaError> {
        let bytes = match incoming {
            Incoming::Text(text) => text.len(),
            Incoming::Binary(bytes) => bytes.len(),
        };
        if bytes > TEXT_MAX {
            return Err(MediaError::TooLong { bytes });
        }
        let event = match &mut self.spoken {
            Spoken::Twilio(stream) => stream.decode(incoming)?,
        };
        match &event {
            MediaEvent::Ignored(why) => self.odd.count(*why)?,
            MediaEvent::KeyLost => self.odd.count(Ignored::UnreadableKey)?,
            _ => {}
        }
        Ok(event)
    }

    /// Writes one message.
    ///
    /// # Errors
    ///
    /// [`MediaError::NotStarted`] or [`MediaError::Stopped`] unless the stream runs. A `Close` is always written.
    pub fn encode(&self, command: MediaCommand<'_>) -> Result<Frame, MediaError> {
        match &self.spoken {
            Spoken::Twilio(stream) => stream.encode(command),
        }
    }

    /// What was odd so far.
    #[must_use]
    pub const fn odd(&self) -> &Odd {
        &self.odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_known_by_its_name_in_the_path() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::named(dialect.name()), Some(dialect));
        }
        assert_eq!(Dialect::named("Twilio"), None);
    }

    #[test]
    fn a_hundred_odd_messages_are_passed_over_and_what_they_were_is_told_without_a_word_of_theirs() {
        let mut stream = Stream::new(Dialect::Twilio);
        for _ in 0..60 {
            stream.decode(Incoming::Text(r#"{"ping":4242}"#)).unwrap();
        }
        for _ in 0..40 {
            stream.decode(Incoming::Binary(b"4242")).unwrap();
        }
        assert_eq!(stream.odd().to_string(), "40 binary, 60 no_event");
        assert_eq!(stream.decode(Incoming::Text("")), Err(MediaError::TooManyOdd));
        assert_eq!(Stream::new(Dialect::Twilio).odd().total(), 0);
    }

    #[test]
    fn what_every_stream_has_is_not_odd() {
        let mut stream = Stream::new(Dialect::Twilio);
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
            let mut stream = Stream::new(Dialect::Twilio);
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
