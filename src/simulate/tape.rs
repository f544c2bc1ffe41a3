//! What a call was like, in enough detail to play it again: taken down while it goes on, written as a script when it is
//! over.
//!
//! Shape:   [`Tape::event`], [`Tape::timed_out`] and [`Tape::action`] for everything that goes into a call machine and comes
//!          out of it, live or simulated; then [`Tape::draft`] makes the script, and [`Tape::outline`] what two tapes of the
//!          same call have in common.
//! Units:   [`CallTime`].
//! Limits:  [`NOTES_MAX`] notes, [`TEXT_MAX`] bytes of documents and [`NOTED_MAX`] keys; what is longer is no recording.
//! Secrets: the keys lie in one block that is wiped when the tape is dropped, and are in no `Debug`. A [`Draft`] holds made-up
//!          ones in their place.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::civil::DateTime;
use url::Url;
use zeroize::Zeroizing;

use crate::flow::link::{PlainHttp, Target};
use crate::flow::{
    Action, AgentCommand, CommandId, Context, Ended, Event, Fetch, FetchFailure, FetchId, Fetched, Redirection, TurnId,
    Wait,
};
use crate::form::Form;
use crate::pay::gateway::{Answer, Capabilities, Denial, Preparation, Resolution};
use crate::pay::keypad::{Destination, NOTED_MAX};
use crate::pay::platform::Platform;
use crate::pay::session::What;
use crate::pay::step::{PayErrorCode, PayResult};
use crate::pay::submission::{Ask, Reply};
use crate::time::CallTime;

mod made_up;
mod script;

pub use script::{Draft, SaidAt};

/// The most that is noted of a call. A long call has some hundreds.
pub const NOTES_MAX: usize = 50_000;

/// The most text that is kept of the documents of a call, in bytes.
pub const TEXT_MAX: usize = 1 << 20;

/// Fields of a request that are about the caller, which a script need not have.
const CALLER: &[&str] = &["From", "To", "ForwardedFrom", "CallerName", "Direction"];

/// The document that answers a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstDocument {
    /// A flow of the folder.
    Flow(String),
    /// A document in place.
    Document(String),
    /// The document at a URL.
    Url(String),
}

/// What a document was made of that the application sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its text; of a recording whatever can be read of it.
    pub text: String,
    /// `Content-Type`, if there was one.
    pub content_type: Option<String>,
    /// Where it came from at last, if not from where it was asked for.
    pub from: Option<Url>,
}

/// A call, taken down.
pub struct Tape {
    first: FirstDocument,
    parameters: BTreeMap<String, String>,
    platform: Platform,
    plain_http: PlainHttp,
    answered_at: DateTime,
    seed: u128,
    /// What is printed on each key that was pressed. Never grows beyond what was set aside for it.
    keys: Zeroizing<Vec<u8>>,
    /// Where the machine says that they went.
    destinations: Vec<Destination>,
    notes: Vec<(CallTime, Note)>,
    text: usize,
    full: bool,
}

/// Something that a script has to tell, or that two tapes are compared by.
enum Note {
    Key,
    HungUp,
    Said(TurnId),
    Rendered(TurnId, Duration),
    Played(TurnId),
    Cleared,
    TimedOut(Wait),
    LookedUp(String),
    Found(Option<Box<Capabilities>>),
    StoreAway,
    Asked(u16, QuestionKind),
    Replied(u16, NotedReply),
    Requested(Box<DocumentRequest>),
    Source(FetchId, Source),
    Fetched(FetchId, Result<(), FetchFailure>),
    NotAsked(FetchId),
    /// What the application and the operator were told, without any value.
    Told(String),
    Finished(PayResult, Option<String>),
    /// What an agent asked for, or the application did with the call.
    Acted(AgentAct),
    /// What an agent's request was answered with: the code it was refused with.
    Answered(CommandId, Option<u32>),
    Ended(Ended),
}

/// Something that others do with a call.
enum AgentAct {
    Create(CommandId, Vec<(String, String)>),
    Update(CommandId, String, Vec<(String, String)>),
    Document(String),
    Url(String),
    Completed,
}

/// What a question was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QuestionKind {
    Prepare,
    Submit,
    Resolve,
}

/// A document that was asked for.
struct DocumentRequest {
    id: FetchId,
    target: Target,
    wanted: bool,
}

/// What a gateway answered, as plain text; tokens are left out.
enum NotedReply {
    /// There was nothing to prepare, or a note that is the connector's own affair.
    Ready,
    Answer(NotedAnswer),
    NotFound,
    CannotTell,
    NotWritten,
    Panicked,
}

enum NotedAnswer {
    Approved { confirmation_code: Option<String>, token: bool, profile: bool, parameters: Vec<(String, String)> },
    Declined(Denial),
    Refused(PayErrorCode, Denial),
    NotSent(Option<Duration>),
    Unknown(Option<Duration>),
}

impl Tape {
    /// An empty tape for a call that begins with `first`.
    #[must_use]
    pub fn new(first: FirstDocument, context: &Context) -> Self {
        let parameters = context.parameters.iter();
        Self {
            first,
            parameters: parameters.map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
            platform: context.platform,
            plain_http: context.plain_http,
            answered_at: context.answered_at,
            seed: context.seed,
            keys: Zeroizing::new(Vec::with_capacity(NOTED_MAX)),
            destinations: Vec::new(),
            notes: Vec::new(),
            text: 0,
            full: false,
        }
    }

    /// Whether the call was longer than a tape: there is no script of it.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// The last Pay session's result and card, and how the call ended.
    #[must_use]
    pub fn result(&self) -> (Option<PayResult>, Option<&str>, Option<Ended>) {
        let finished = self.notes.iter().rev().find_map(|(_, note)| match note {
            Note::Finished(result, card) => Some((*result, card.as_deref())),
            _ => None,
        });
        let ended = self.notes.iter().rev().find_map(|(_, note)| match note {
            Note::Ended(ended) => Some(*ended),
            _ => None,
        });
        (finished.map(|(result, _)| result), finished.and_then(|(_, card)| card), ended)
    }

    /// Takes down what the machine is told.
    pub fn event(&mut self, at: CallTime, event: &Event) {
        let note = match event {
            Event::Key(key) => {
                if self.keys.len() >= NOTED_MAX {
                    // Without a key it would be another call, so that no script is made of it.
                    self.full = true;
                    return;
                }
                // One byte: a key's symbol is ASCII.
                self.keys.push(u8::try_from(key.symbol()).unwrap_or(b'0'));
                Note::Key
            }
            Event::SpeechReady(turn, length) => Note::Rendered(*turn, *length),
            Event::Played(turn) => Note::Played(*turn),
            Event::ConnectorFound(found) => Note::Found(found.clone().map(Box::new)),
            Event::StoreAway => Note::StoreAway,
            Event::Replied(number, reply) => Note::Replied(*number, NotedReply::of(reply)),
            Event::Fetched(id, Fetched::Document(_)) => Note::Fetched(*id, Ok(())),
            Event::Fetched(id, Fetched::Failed(failure)) => Note::Fetched(*id, Err(failure.clone())),
            Event::Fetched(id, Fetched::NotAsked) => Note::NotAsked(*id),
            Event::HungUp => Note::HungUp,
            Event::Agent(id, AgentCommand::Create(form)) => Note::Acted(AgentAct::Create(*id, fields(form))),
            Event::Agent(id, AgentCommand::Update { sid, form }) => {
                Note::Acted(AgentAct::Update(*id, sid.clone(), fields(form)))
            }
            Event::Redirected(Redirection::Document(_, text)) => {
                if !self.has_room_for(text) {
                    return;
                }
                Note::Acted(AgentAct::Document(text.clone()))
            }
            Event::Redirected(Redirection::Url(url, _)) => Note::Acted(AgentAct::Url(url.to_string())),
            Event::Completed => Note::Acted(AgentAct::Completed),
        };
        self.note(at, note);
    }

    /// Takes down where keys went, once the call is over: without it no number goes the way it went.
    pub fn destinations(&mut self, destinations: &[Destination]) {
        self.destinations = destinations.to_vec();
    }

    /// Takes down that a deadline came.
    pub fn timed_out(&mut self, at: CallTime, wait: Wait) {
        self.note(at, Note::TimedOut(wait));
    }

    /// Takes down what a document is made of, before the machine is told of it.
    pub fn source(&mut self, at: CallTime, id: FetchId, mut source: Source) {
        if source.content_type.as_ref().is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("audio/"))
        {
            // Nobody reads it: that there is one is all that counts.
            "recording".clone_into(&mut source.text);
        }
        if self.has_room_for(&source.text) {
            self.note(at, Note::Source(id, source));
        }
    }

    fn has_room_for(&mut self, text: &str) -> bool {
        self.text = self.text.saturating_add(text.len());
        self.full |= self.text > TEXT_MAX;
        !self.full
    }

    /// Takes down what the machine wants.
    pub fn action(&mut self, at: CallTime, action: &Action) {
        let note = match action {
            Action::Speak(turn, _) => Note::Said(*turn),
            Action::Clear => Note::Cleared,
            Action::FindConnector(name) => Note::LookedUp(name.clone()),
            Action::Ask(question, ..) => {
                let what = match question.what {
                    Ask::Prepare => QuestionKind::Prepare,
                    Ask::Submit(_) => QuestionKind::Submit,
                    Ask::Resolve(_) => QuestionKind::Resolve,
                };
                Note::Asked(question.number, what)
            }
            Action::Report(_, progress, form) => {
                let card = form.value("PaymentCardType").map(|value| value.shown());
                if let What::Finished(result) = progress.what {
                    self.note(at, Note::Finished(result, card.map(str::to_owned)));
                }
                let code = form.value("PayErrorCode").map(|value| value.shown()).unwrap_or_default();
                Note::Told(format!("{} {} {code}", super::step_line(progress), card.unwrap_or_default()))
            }
            // What is written down is no part of a script.
            Action::Begin(_) | Action::Intend(_) => return,
            Action::Settle(settled) => match &settled.status {
                Some(telling) => Note::Told(format!("status {} {}", telling.method, names(&telling.form))),
                None => return,
            },
            Action::Notify(_, method, form) => Note::Told(format!("status {method} {}", names(form))),
            Action::Fetch(Fetch { id, purpose, target, answer_wanted, form, .. }) => {
                let place = if matches!(target, Target::Flow(_)) { "flow" } else { "URL" };
                self.note(at, Note::Told(format!("{purpose:?} {place} {}", names(form))));
                Note::Requested(Box::new(DocumentRequest { id: *id, target: target.clone(), wanted: *answer_wanted }))
            }
            Action::Answer(id, answer) => Note::Answered(*id, answer.as_ref().err().map(|error| error.code)),
            Action::Warn(warning) => Note::Told(format!("warning {}", warning.code)),
            Action::End(ended) => Note::Ended(*ended),
        };
        self.note(at, note);
    }

    fn note(&mut self, at: CallTime, note: Note) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push((at, note));
        } else {
            self.full = true;
        }
    }

    /// What happened, a line each, in words that two recordings of one call share whatever their numbers are.
    #[must_use]
    pub fn outline(&self) -> Vec<(CallTime, String)> {
        let line = |note: &Note| {
            Some(match note {
                Note::Said(turn) => format!("turn {}", turn.0),
                Note::Cleared => "cut".to_owned(),
                // A turn that is given up is a turn that lasted until then.
                Note::TimedOut(Wait::Speech) => return None,
                Note::TimedOut(wait) => format!("timeout {wait:?}"),
                Note::Asked(_, question) => format!("gateway {question:?}"),
                Note::Told(what) => what.clone(),
                Note::Answered(_, code) => format!("agent answered {}", code.unwrap_or(0)),
                Note::Ended(ended) => format!("end {}", ended.word()),
                Note::Key
                | Note::HungUp
                | Note::Rendered(..)
                | Note::Played(_)
                | Note::LookedUp(_)
                | Note::Found(_)
                | Note::StoreAway
                | Note::Replied(..)
                | Note::Requested(_)
                | Note::Source(..)
                | Note::Fetched(..)
                | Note::NotAsked(_)
                | Note::Acted(_)
                | Note::Finished(..) => return None,
            })
        };
        self.notes.iter().filter_map(|(at, note)| line(note).map(|line| (*at, line))).collect()
    }
}

/// The names of what is told, less what a platform may or may not tell of a call.
fn names(form: &Form) -> String {
    let own = form.iter().filter(|(name, _)| !CALLER.contains(name)).map(|(name, _)| name);
    own.collect::<Vec<_>>().join(" ")
}

/// The fields of an agent's request.
fn fields(form: &Form) -> Vec<(String, String)> {
    form.iter().map(|(name, value)| (name.to_owned(), value.expose().to_owned())).collect()
}

impl NotedReply {
    fn of(reply: &Reply) -> Self {
        match reply {
            Reply::Prepared(Preparation::Nothing | Preparation::Note(_)) => Self::Ready,
            Reply::Prepared(Preparation::Answered(answer))
            | Reply::Submitted(answer)
            | Reply::Resolved(Resolution::Answer(answer)) => Self::Answer(NotedAnswer::of(answer)),
            Reply::Resolved(Resolution::NotFound) => Self::NotFound,
            Reply::Resolved(Resolution::CannotTell) => Self::CannotTell,
            Reply::NotWritten => Self::NotWritten,
            Reply::Panicked => Self::Panicked,
        }
    }
}

impl NotedAnswer {
    fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Approved(approval) => Self::Approved {
                confirmation_code: approval.confirmation_code.clone(),
                token: approval.token.is_some(),
                profile: approval.profile_id.is_some(),
                parameters: approval.parameters.clone(),
            },
            Answer::Declined(denial) => Self::Declined(denial.clone()),
            Answer::Refused(code, denial) => Self::Refused(*code, denial.clone()),
            Answer::NotSent { retry_after, .. } => Self::NotSent(*retry_after),
            Answer::Unknown { retry_after, .. } => Self::Unknown(*retry_after),
        }
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tape({} keys, {} notes)", self.keys.len(), self.notes.len())
    }
}
