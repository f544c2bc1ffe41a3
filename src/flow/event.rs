//! The vocabulary of a call: what happens to it, and what it wants done.
//!
//! Shape:   small enums; traces show them, scripts contain them, metrics count them.
//! Secrets: keys and tokens in them are masked in `Debug`; a card leaves in an [`Instrument`] only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::link::{Origin, Target};
use super::voice::TurnId;
use crate::form::{Form, Value};
use crate::pay::assisted::AgentError;
use crate::pay::gateway::{Capabilities, Instrument, PaymentRequest};
use crate::pay::intent::{CallbackFields, Intent, SessionStart};
use crate::pay::outcome::{Ending, Outcome};
use crate::pay::session::{Progress, Timer};
use crate::pay::submission::{Question, Reply};
use crate::secret::Secret;
use crate::tone::Key;
use crate::twiml::{Document, Method, Position, Utterance};

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The caller pressed a key.
    Key(Key),
    /// The sound of a turn is there and lasts so long.
    SpeechReady(TurnId, Duration),
    /// A turn was heard to its end.
    Played(TurnId),
    /// The connector that was looked up; none: there is none of that name.
    ConnectorFound(Option<Capabilities>),
    /// Instead of [`Self::ConnectorFound`], or before the gateway is asked: the payment cannot be written down, so that it cannot
    /// be made.
    StoreAway,
    /// The gateway's answer to a question.
    Replied(u16, Reply),
    /// The answer to a fetch.
    Fetched(FetchId, Fetched),
    /// The caller is gone.
    HungUp,
    /// An agent wants something of a payment on this call; answered by [`Action::Answer`].
    Agent(CommandId, AgentCommand),
    /// The application sends the call elsewhere, whatever it is doing.
    Redirected(Redirection),
    /// The application ends the call.
    Completed,
}

/// The number of an agent's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandId(pub u32);

/// What an agent asks for: the parameters of a REST request (spec/pay.md, section 8).
#[derive(Clone, Debug)]
pub enum AgentCommand {
    /// Start a session.
    Create(Form),
    /// Drive the session `sid`.
    Update {
        /// The payment's id.
        sid: String,
        /// `Capture` or `Status`, `StatusCallback`.
        form: Form,
    },
}

/// Where the application sends a call.
#[derive(Clone, Debug)]
pub enum Redirection {
    /// To this document, and its text: for whoever writes the call down.
    Document(NextDocument, String),
    /// To the document at a URL.
    Url(Url, Method),
}

/// Which payment a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentId {
    /// `PK` and 32 hex digits.
    pub sid: String,
    /// Who leads it.
    pub led_by: LedBy,
}

/// Who leads a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LedBy {
    /// A `<Pay>` of a document.
    Document,
    /// An agent, through the REST API.
    Agent,
}

/// A request to the application that must reach it, whatever becomes of the call.
#[derive(Clone, Debug)]
pub struct Telling {
    /// Where.
    pub url: Url,
    /// How.
    pub method: Method,
    /// What.
    pub form: Form,
}

/// A payment that the gateway is about to be asked for.
#[derive(Clone, Debug)]
pub struct Intended {
    /// Its id.
    pub payment: PaymentId,
    /// What it is; the forms of its callback fields are those of whole requests.
    pub intent: Intent,
    /// Where the last status callback goes.
    pub status: Option<(Url, Method)>,
    /// Where the action request goes.
    pub action: Option<(Url, Method)>,
    /// The cookies that these requests carry, as the shell writes them down; nothing to the machine.
    pub cookies: Option<Secret>,
}

impl Intended {
    /// What is to be told of an outcome.
    #[must_use]
    pub fn settled(&self, ending: &Ending) -> Settled {
        let to = (&self.status, &self.action);
        Settled::of(&self.payment, &self.intent.callback_fields, ending, to, self.cookies.as_ref())
    }
}

/// A Pay session that has begun, and whom to tell should the server stop before its gateway is asked.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The payment's id.
    pub payment: PaymentId,
    /// The call.
    pub call_sid: String,
    /// What it is; the forms of its callback fields are those of whole requests.
    pub start: SessionStart,
    /// Where the last status callback goes.
    pub status: Option<(Url, Method)>,
    /// Where the action request goes.
    pub action: Option<(Url, Method)>,
    /// The cookies that these requests carry, as the shell writes them down; nothing to the machine.
    pub cookies: Option<Secret>,
}

impl Begun {
    /// What is to be told of an outcome.
    #[must_use]
    pub fn settled(&self, ending: &Ending) -> Settled {
        let to = (&self.status, &self.action);
        Settled::of(&self.payment, &self.start.callback_fields, ending, to, self.cookies.as_ref())
    }
}

/// A payment whose outcome is known.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Its id.
    pub payment: PaymentId,
    /// How it ended.
    pub outcome: Outcome,
    /// The last status callback.
    pub status: Option<Telling>,
    /// The action request, as it is made when the call is over.
    pub action: Option<Telling>,
    /// The cookies that these requests carry, as the shell writes them down; nothing to the machine.
    pub cookies: Option<Secret>,
    /// What whoever asks is shown of it.
    pub shown: Shown,
}

/// The fields that show how a payment ended.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Once that is written down.
    pub written: Form,
    /// As long as it cannot be. None: the same; then it need not be waited for.
    pub unwritten: Option<Form>,
}

/// Where a request goes, if there is one.
type To<'a> = &'a Option<(Url, Method)>;

impl Settled {
    fn of(
        payment: &PaymentId,
        callback_fields: &CallbackFields,
        ending: &Ending,
        (status, action): (To<'_>, To<'_>),
        cookies: Option<&Secret>,
    ) -> Self {
        let told = callback_fields.told(ending);
        let telling = |to: To<'_>, form: Form| to.clone().map(|(url, method)| Telling { url, method, form });
        let unwritten = told.unwritten.map(|unwritten| unwritten.status);
        Self {
            payment: payment.clone(),
            outcome: ending.outcome(),
            status: telling(status, told.status.clone()),
            action: telling(action, told.action),
            cookies: cookies.cloned(),
            shown: Shown { written: told.status, unwritten },
        }
    }
}

/// Something to be done.
#[derive(Debug)]
pub enum Action {
    /// Say this after what is being said, then report [`Event::Played`].
    Speak(TurnId, Vec<Utterance>),
    /// Stop what is being said and forget what was to be said.
    Clear,
    /// Look a connector up by name; a lookup before it is given up. Then report [`Event::ConnectorFound`].
    FindConnector(String),
    /// Ask the gateway; a question before it is given up. Then report [`Event::Replied`].
    Ask(Question, Arc<PaymentRequest>, Arc<Instrument>),
    /// A Pay session went on: for metrics, traces, and whoever asks how it stands. How it ended, whoever asks is shown by
    /// [`Action::Settle`].
    Report(PaymentId, Progress, Form),
    /// Send a status callback, in order.
    Notify(Url, Method, Form),
    /// A Pay session has begun, or where its progress is told has changed: write down, soon and without making the call wait,
    /// what is told should the server stop before the gateway is asked.
    Begin(Box<Begun>),
    /// A gateway is about to be asked: write down what its answer will be told with. What [`Action::Ask`] wants next waits
    /// until that is done, and is not asked if it cannot be.
    Intend(Box<Intended>),
    /// A payment's outcome is known: write it down together with what is to be told of it, then tell it. The status
    /// callback goes in its order; the action is asked by the [`Action::Fetch`] that follows, unless the call breaks down
    /// before.
    Settle(Box<Settled>),
    /// Ask for a document, at once, then report [`Event::Fetched`].
    Fetch(Fetch),
    /// The answer to an agent's request: the payment's id, or why it is not done.
    Answer(CommandId, Result<String, AgentError>),
    /// Something is wrong with the document or the application: log it, tell `error_url`.
    Warn(Warning),
    /// It is over: end the stream. Nothing follows.
    End(Ended),
}

/// The number of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchId(pub u32);

/// A document that is asked for.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Its number.
    pub id: FetchId,
    /// Why.
    pub purpose: Purpose,
    /// Where.
    pub target: Target,
    /// How, if it is a URL.
    pub method: Method,
    /// The request's fields; for a flow they are among `parameters` too.
    pub form: Form,
    /// What a flow document is rendered with.
    pub parameters: BTreeMap<String, Value>,
    /// What a payment's outcome is told with instead for as long as it is not written down. None: the same.
    pub unwritten: Option<Box<Unwritten>>,
    /// Whether the answer is of any use: a caller who is gone hears no document.
    pub answer_wanted: bool,
}

/// What is told of a payment whose outcome is not written down.
#[derive(Clone, Debug)]
pub struct Unwritten {
    /// The request's fields.
    pub form: Form,
    /// What a flow document is rendered with.
    pub parameters: BTreeMap<String, Value>,
}

impl Fetch {
    /// The same for a payment whose outcome is not written down.
    #[must_use]
    pub fn as_unwritten(self) -> Self {
        match self.unwritten {
            Some(unwritten) => {
                let Unwritten { form, parameters } = *unwritten;
                Self { form, parameters, unwritten: None, ..self }
            }
            None => self,
        }
    }
}

/// Why a document is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The call begins with it.
    First,
    /// A `<Gather>` brought keys.
    Gather,
    /// A `<Pay>` is over.
    Pay,
    /// A `<Redirect>`.
    Redirect,
}

/// What a call begins with.
#[derive(Debug)]
pub enum First {
    /// A document that is there.
    Document(NextDocument),
    /// One that the application is asked for, by POST, while the caller waits.
    Url(Url),
    /// None, and why: the caller is told so and the call ends.
    Failed(FetchFailure),
}

impl From<Result<NextDocument, FetchFailure>> for First {
    fn from(first: Result<NextDocument, FetchFailure>) -> Self {
        first.map_or_else(Self::Failed, Self::Document)
    }
}

/// What came of a fetch.
#[derive(Debug)]
pub enum Fetched {
    /// The next document.
    Document(NextDocument),
    /// It could not be had.
    Failed(FetchFailure),
    /// It was not asked for: the call goes on with the next verb (`touchtone dial` without `--live`).
    NotAsked,
}

/// A document and where it came from.
#[derive(Clone, Debug)]
pub struct NextDocument {
    /// The document.
    pub document: Document,
    /// Where it came from.
    pub origin: Origin,
}

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FetchFailure {
    /// Twilio's error code: 11200 not retrieved, 11215 and 11216 badly redirected, 12100 not readable, 12300 of no type
    /// that could be read.
    pub code: u32,
    /// What went wrong and what to do, without any secret.
    pub message: String,
}

impl FetchFailure {
    /// The document could not be retrieved (Twilio's 11200).
    #[must_use]
    pub fn not_retrieved(message: impl Into<String>) -> Self {
        Self { code: 11200, message: message.into() }
    }

    /// The document could not be read (Twilio's 12100).
    #[must_use]
    pub fn not_readable(message: impl Into<String>) -> Self {
        Self { code: 12100, message: message.into() }
    }
}

/// Something that the merchant should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where in the document.
    pub position: Option<Position>,
    /// Twilio's error code, or the nearest to it.
    pub code: u32,
    /// What is wrong and what happens instead.
    pub message: String,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `<Hangup>`, `<Reject>`, or an apology.
    Hangup,
    /// The document has no further verb.
    EndOfDocument,
    /// The caller hung up.
    Caller,
}

impl Ended {
    /// What scripts call it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hangup => "hangup",
            Self::EndOfDocument => "end of document",
            Self::Caller => "caller",
        }
    }
}

/// What a call waits for: a stuck call names its timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A turn to be rendered and heard.
    Speech,
    /// A `<Pause>` to be over.
    Pause,
    /// A key for a `<Gather>`.
    Gather,
    /// A document.
    Fetch,
    /// Something a Pay session waits for.
    Pay(Timer),
    /// Something an agent's session waits for.
    Agent(Timer),
}
