//! What happened in a call, as records keep it and people read it.
//!
//! Secrets: keys and secret fields are masked when a record is shown.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::{PER_CHARACTER, PER_RECORDING};
use crate::flow::link::{ShownUrl, Target};
use crate::flow::{
    AgentCommand, CommandId, Ended, Event, Fetch, Fetched, PaymentId, Purpose, Redirection, TurnId, Wait, Warning,
};
use crate::form::Form;
use crate::pay::assisted::{AgentError, AgentRequest, Capture};
use crate::pay::gateway::{Answer, Idempotency, PaymentRequest, Preparation, Resolution};
use crate::pay::session::{Progress, Timer, What};
use crate::pay::submission::{Ask, Question, Reply};
use crate::tone::Key;
use crate::twiml::{Method, PlaySource, Utterance};

/// Something that happened in a call.
#[derive(Debug)]
pub enum Record {
    /// A key was pressed.
    Pressed(Key),
    /// Something is being said.
    Said(TurnId, Vec<Utterance>),
    /// It was heard to its end.
    Heard(TurnId),
    /// What was being said was cut.
    Cleared,
    /// A connector was looked up, and what its gateway makes of repeats; none: there is no connector of that name.
    LookedUp(String, Option<Idempotency>),
    /// Nothing could be written down then.
    StoreAway,
    /// A Pay session began, or where its progress is told changed: it is written down.
    Begun(PaymentId),
    /// The gateway was asked.
    Asked(Question, Arc<PaymentRequest>),
    /// It did what it was asked, whatever it answers; only worlds that keep the gateway's ledger know.
    Acted(u16),
    /// It answered.
    Answered(u16, &'static str),
    /// A document was asked for.
    Requested(Box<Fetch>),
    /// It came, or did not.
    Fetched(String),
    /// A status callback was sent.
    Notified(Url, Method, Form),
    /// A Pay session went on.
    Reported(PaymentId, Progress, Form),
    /// An agent asked for something.
    Commanded(CommandId, AgentCommand),
    /// What the agent was answered.
    Replied(CommandId, Result<String, AgentError>),
    /// The application sent the call elsewhere.
    Redirected(Redirection),
    /// The application ended the call.
    Completed,
    /// Something is wrong with the document or the application.
    Warned(Warning),
    /// A deadline came.
    TimedOut(Wait),
    /// The caller hung up.
    HungUp,
    /// The call ended.
    Ended(Ended),
}

/// Everything said until the call listens or waits.
#[derive(Clone, Debug)]
pub struct RecordedTurn {
    /// What was said, in words.
    pub text: String,
    /// Whether it is being said, was said, or was cut.
    pub state: TurnState,
}

/// How far a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnState {
    /// It is being said.
    Speaking,
    /// It was said to its end.
    Spoken,
    /// It was cut by a key.
    Cut,
}

/// An arrow of the machine's diagram: [`crate::flow::Call::stage_name`] and the kind of input that came then.
pub type Arrow = (&'static str, &'static str);

/// How long something takes to be heard.
#[must_use]
pub fn length(utterance: &Utterance) -> Duration {
    match utterance {
        Utterance::Say(say) => {
            let characters = u32::try_from(say.text.chars().count()).unwrap_or(u32::MAX);
            PER_CHARACTER.saturating_mul(characters).saturating_mul(u32::from(say.times))
        }
        Utterance::Play(play) => {
            let once = match &play.source {
                PlaySource::Url(_) => PER_RECORDING,
                PlaySource::Digits(keys) => {
                    Duration::from_millis(200).saturating_mul(u32::try_from(keys.len()).unwrap_or(u32::MAX))
                }
            };
            once.saturating_mul(u32::from(play.times))
        }
        Utterance::Pause(pause) => pause.length,
    }
}

/// What is heard, in words.
#[must_use]
pub fn words(heard: &[Utterance]) -> String {
    let words: Vec<Cow<'_, str>> = heard
        .iter()
        .filter_map(|utterance| match utterance {
            Utterance::Say(say) => Some((&say.text).into()),
            Utterance::Play(play) => match &play.source {
                PlaySource::Url(link) => Some(format!("[{link}]").into()),
                PlaySource::Digits(keys) => Some(format!("[{} tones]", keys.len()).into()),
            },
            Utterance::Pause(_) => None,
        })
        .collect();
    words.join(" ")
}

/// The kind of an input, for [`Arrow`]s; none: it only tells how long something takes to be said.
pub(super) fn event_word(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::Key(Key::Digit(_)) => "digit",
        Event::Key(Key::Star) => "star",
        Event::Key(Key::Pound) => "pound",
        Event::Key(Key::Letter(_)) => "letter",
        Event::SpeechReady(..) => return None,
        Event::Played(_) => "heard",
        Event::ConnectorFound(Some(_)) => "connector found",
        Event::ConnectorFound(None) => "no connector",
        Event::StoreAway => "store away",
        Event::Replied(_, reply) => reply_word(reply),
        Event::Fetched(_, Fetched::Document(_)) => "document",
        Event::Fetched(_, Fetched::Failed(_)) => "no document",
        Event::Fetched(_, Fetched::NotAsked) => "not asked",
        Event::HungUp => "hang-up",
        Event::Agent(_, AgentCommand::Create(_)) => "agent creates",
        Event::Agent(_, AgentCommand::Update { form, .. }) => match AgentRequest::read(form) {
            Ok(AgentRequest::Capture(Capture { matcher: false, .. })) => "agent captures",
            Ok(AgentRequest::Capture(_)) => "agent captures again",
            Ok(AgentRequest::Complete) => "agent completes",
            Ok(AgentRequest::Cancel) => "agent cancels",
            Err(_) => "agent errs",
        },
        Event::Redirected(Redirection::Document(..)) => "sent to a document",
        Event::Redirected(Redirection::Url(..)) => "sent to a URL",
        Event::Completed => "completed",
    })
}

/// The kind of a deadline, for [`Arrow`]s.
pub(super) const fn timeout_word(wait: Wait) -> &'static str {
    match wait {
        Wait::Speech => "speech timeout",
        Wait::Pause => "pause timeout",
        Wait::Gather => "gather timeout",
        Wait::Fetch => "fetch timeout",
        Wait::Pay(Timer::Connector) | Wait::Agent(Timer::Connector) => "connector timeout",
        Wait::Pay(Timer::FirstDigit) | Wait::Agent(Timer::FirstDigit) => "first digit timeout",
        Wait::Pay(Timer::NextDigit) | Wait::Agent(Timer::NextDigit) => "next digit timeout",
        Wait::Pay(Timer::AnotherDigit) | Wait::Agent(Timer::AnotherDigit) => "another digit timeout",
        Wait::Pay(Timer::Gateway) | Wait::Agent(Timer::Gateway) => "gateway timeout",
    }
}

/// A gateway's answer in a word or two.
#[must_use]
pub fn reply_word(reply: &Reply) -> &'static str {
    let answer = match reply {
        Reply::Prepared(Preparation::Nothing | Preparation::Note(_)) => return "prepared",
        Reply::Prepared(Preparation::Answered(answer))
        | Reply::Submitted(answer)
        | Reply::Resolved(Resolution::Answer(answer)) => answer,
        Reply::Resolved(Resolution::NotFound) => return "not found",
        Reply::Resolved(Resolution::CannotTell) => return "cannot tell",
        Reply::NotWritten => return "not written",
        Reply::Panicked => return "panicked",
    };
    match answer {
        Answer::Approved(_) => "approved",
        Answer::Declined(_) => "declined",
        Answer::Refused(..) => "refused",
        Answer::NotSent { .. } => "not sent",
        Answer::Unknown { .. } => "unknown",
    }
}

impl fmt::Display for Record {
    /// One line, for people: keys and secret fields masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pressed(key) => write!(f, "key       {key:?}"),
            Self::Said(_, heard) => write!(f, "say       \"{}\"", words(heard)),
            Self::Heard(_) => write!(f, "heard"),
            Self::Cleared => write!(f, "cut"),
            Self::LookedUp(name, found) => {
                write!(f, "connector {name}{}", if found.is_some() { "" } else { " (there is none)" })
            }
            Self::StoreAway => write!(f, "store     nothing can be written down"),
            Self::Begun(payment) => write!(f, "session   {}", payment.sid),
            Self::Asked(question, attempt) => {
                let what = match question.what {
                    Ask::Prepare => "prepare",
                    Ask::Submit(_) => "submit",
                    Ask::Resolve(_) => "resolve",
                };
                write!(f, "gateway   {what} {}", attempt.transaction_id)
            }
            Self::Acted(_) => write!(f, "gateway   does what it was asked"),
            Self::Answered(_, word) => write!(f, "gateway   {word}"),
            Self::Requested(fetch) => {
                let purpose = match fetch.purpose {
                    Purpose::First => "first",
                    Purpose::Gather | Purpose::Pay => "action",
                    Purpose::Redirect => "redirect",
                };
                write!(f, "{purpose:<9} {} {}", shown(&fetch.target, fetch.method), fetch.form.shown())
            }
            Self::Fetched(what) => write!(f, "document  {what}"),
            Self::Notified(url, method, form) => {
                write!(f, "status    {method} {} {}", ShownUrl(url), form.shown())
            }
            Self::Reported(_, progress, form) => write!(f, "pay       {} {}", step_line(progress), form.shown()),
            Self::Warned(warning) => match warning.position {
                Some(position) => write!(f, "warning   {position}: {}", warning.message),
                None => write!(f, "warning   {}", warning.message),
            },
            Self::TimedOut(wait) => write!(f, "timeout   {wait:?}"),
            Self::HungUp => write!(f, "caller hangs up"),
            Self::Commanded(_, AgentCommand::Create(form)) => write!(f, "agent     create {}", form.shown()),
            Self::Commanded(_, AgentCommand::Update { sid, form }) => {
                write!(f, "agent     update {sid} {}", form.shown())
            }
            Self::Replied(_, Ok(sid)) => write!(f, "answer    {sid}"),
            Self::Replied(_, Err(error)) => write!(f, "answer    {} {}: {error}", error.status, error.code),
            Self::Redirected(Redirection::Document(next, _)) => {
                write!(f, "elsewhere {} verbs", next.document.verbs.len())
            }
            Self::Redirected(Redirection::Url(url, method)) => {
                write!(f, "elsewhere {method} {}", ShownUrl(url))
            }
            Self::Completed => write!(f, "the application ends the call"),
            Self::Ended(ended) => write!(f, "end       {}", ended.word()),
        }
    }
}

fn shown(target: &Target, method: Method) -> String {
    match target {
        Target::Flow(_) => target.to_string(),
        Target::Url(_) => format!("{method} {target}"),
    }
}

/// `payment-card-number attempt 1 captured`.
#[must_use]
pub fn step_line(progress: &Progress) -> String {
    let what = match progress.what {
        What::Begun => "begun".to_owned(),
        What::Keyed => "keyed".to_owned(),
        What::Refused(error) => format!("refused: {error}"),
        What::Failed(error) => error.to_string(),
        What::Captured => "captured".to_owned(),
        What::Finished(result) => format!("finished: {result}"),
    };
    format!("{} attempt {} {what}", progress.step, progress.attempt)
}

/// A text in YAML's double quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other if other.is_control() || matches!(other, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                // Writing to a text cannot fail.
                let _ = fmt::Write::write_fmt(&mut quoted, format_args!("\\u{:04x}", u32::from(other)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
