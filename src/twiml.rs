//! TwiML documents: XML in, typed verbs out, every fault with its place.
//!
//! Shape:   [`parse()`] reads a document; [`template`] renders a flow document, which [`parse_rendered`] then reads;
//!          [`template::check_view`] and [`parse_view`] judge one without values for its parameters. Nothing here runs one.
//! Limits:  64 KiB a document, [`DEPTH_MAX`] elements deep, no document type declaration (so no entities of its own).
//! Errors:  [`Fault`]: what is not well-formed is refused; a wrong attribute value is told, and the verb that has it
//!          runs with that attribute's default (a `<Pay>` ends with `validation-error` instead).
//! Secrets: what a caller keyed may come back as a template's parameter: no message quotes a rendered document's values.
//! Sources: Twilio, "TwiML for Programmable Voice" and its pages of each verb.

use std::fmt;
use std::time::Duration;

use crate::tone::Key;

pub mod encoding;
mod hint;
mod parse;
mod place;
pub mod template;

pub(crate) use hint::{misspelt, nearest};
pub use parse::{DEPTH_MAX, SIZE_MAX, parse, parse_rendered, parse_view};

/// A place in a document, both counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `touchtone check` fails.
    Error,
    /// Told once, harms nothing.
    Warning,
}

/// Something wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct Fault {
    /// Where.
    pub position: Position,
    /// How bad.
    pub severity: Severity,
    /// What was expected and what is there.
    pub message: String,
}

impl Fault {
    /// A fault that makes `touchtone check` fail.
    pub(crate) fn error(position: Position, message: impl Into<String>) -> Self {
        Self { position, severity: Severity::Error, message: message.into() }
    }

    /// A fault that is told once and harms nothing.
    pub(crate) fn warning(position: Position, message: impl Into<String>) -> Self {
        Self { position, severity: Severity::Warning, message: message.into() }
    }
}

/// A document: the verbs of its `<Response>`, in order, and what was wrong with it short of being unreadable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The verbs.
    pub verbs: Vec<Placed<Verb>>,
    /// Wrong values (errors) and unknown attributes (warnings), by place.
    pub faults: Vec<Fault>,
}

/// Something with its place in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// Where it begins.
    pub position: Position,
    /// What is there.
    pub item: T,
}

/// One verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `<Say>`
    Say(Say),
    /// `<Play>`
    Play(Play),
    /// `<Pause>`
    Pause(Pause),
    /// `<Gather>`
    Gather(Gather),
    /// `<Pay>`
    Pay(Pay),
    /// `<Redirect>`
    Redirect(Redirect),
    /// `<Hangup>`
    Hangup,
    /// `<Reject>`: the call is already answered when a stream runs, so this ends it as `<Hangup>` does.
    Reject,
    /// A verb that is not run: it needs the telephone network itself (`Dial`, `Record` ...), or nobody knows it.
    Unsupported {
        /// The element's name.
        name: String,
        /// Whether Twilio knows it: an unknown verb is a fault, one that needs the network is not.
        known: bool,
    },
}

/// What is heard: inside `<Gather>` and `<Prompt>`, and what the engine itself says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Utterance {
    /// Text to speak.
    Say(Say),
    /// Audio to play.
    Play(Play),
    /// Silence.
    Pause(Pause),
}

/// `<Say>`: speech.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Say {
    /// What to say; blanks folded, the text of SSML elements kept, the elements dropped.
    pub text: String,
    /// The `voice` attribute, for the speech engine to make sense of.
    pub voice: Option<String>,
    /// The `language` attribute, a tag such as `en-US`.
    pub language: Option<String>,
    /// How often: 1 to 1000 (`loop="0"` is as often as it goes, which is 1000).
    pub times: u16,
}

/// `<Play>`: recorded audio or keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    /// What to play.
    pub source: PlaySource,
    /// How often: 1 to 1000.
    pub times: u16,
}

/// What a `<Play>` plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaySource {
    /// A URL, absolute or relative to the document.
    Url(String),
    /// The `digits` attribute: keys as tones, `None` for `w`, half a second of silence; within the limits of
    /// [`crate::tone::generate`].
    Digits(Vec<Option<Key>>),
}

/// `<Pause>`: silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// How long, in whole seconds, 0 to 3600; Twilio's default is 1 s.
    pub length: Duration,
}

/// How a request is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Fields in the URL.
    Get,
    /// Fields in the body.
    #[default]
    Post,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
        })
    }
}

/// `<Gather>`: keys from the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Where the keys go; none: the current document's own URL.
    pub action: Option<String>,
    /// How they go there.
    pub method: Method,
    /// How long to wait for the first key and from key to key; Twilio's default is 5 s.
    pub timeout: Duration,
    /// The key that ends the entry; `None` for `finishOnKey=""`. Default `#`.
    pub finish_on_key: Option<Key>,
    /// How many keys complete the entry.
    pub num_digits: Option<u16>,
    /// Whether `action` is asked even when nothing was keyed.
    pub action_on_empty_result: bool,
    /// What is heard meanwhile; a key cuts it short.
    pub prompts: Vec<Utterance>,
}

/// `<Pay>`, as written: `pay::Settings` makes sense of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pay {
    /// Its attributes in order.
    pub attributes: Vec<Attribute>,
    /// Its `<Prompt>` children.
    pub prompts: Vec<Placed<Prompt>>,
    /// Its `<Parameter>` children: name and value.
    pub parameters: Vec<(String, String)>,
}

/// One attribute as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Where its name begins.
    pub position: Position,
    /// Its name.
    pub name: String,
    /// Its value, entities resolved.
    pub value: String,
}

/// A `<Prompt>` of a `<Pay>`, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Its attributes in order.
    pub attributes: Vec<Attribute>,
    /// What is heard.
    pub content: Vec<Utterance>,
}

/// `<Redirect>`: another document takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Where it is; empty: the current document's own URL.
    pub url: String,
    /// How it is asked for.
    pub method: Method,
}
