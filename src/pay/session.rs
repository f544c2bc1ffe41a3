//! What a session is told and what it wants done, whoever leads it.
//!
//! Shape:   one vocabulary for both kinds of session: [`super::verb::PaySession`], led by a `<Pay>` of a document, and
//!          [`super::assisted::AssistedSession`], led by an agent. Both are run the same way: `handle_input` and
//!          `handle_timeout` in, [`Output`]s out through `poll_output`; `poll_timeout` says until when one waits, and for what.
//! Secrets: an [`Output`] holds digits in its `Instrument` only.
//! Sources: spec/pay.md, sections 3, 7 and 8.

use std::sync::Arc;

use super::command::AgentError;
use super::gateway::{Capabilities, Instrument, PaymentRequest};
use super::intent::{Intent, SessionStart, Told};
use super::outcome::Outcome;
use super::step::{EntryError, PayResult, SessionError, Step};
use super::submission::{Question, Reply};
use crate::form::Form;
use crate::time::CallTime;
use crate::tone::Key;
use crate::twiml::Utterance;

/// What a session is told.
#[derive(Debug)]
pub enum Input {
    /// A key, and when it was pressed.
    Key(CallTime, Key),
    /// Everything said so far has been heard.
    Heard,
    /// The connector that was looked up; none: there is none of that name.
    ConnectorFound(Option<Capabilities>),
    /// Nothing can be written down now, so that no payment can be made.
    StoreAway,
    /// The gateway's answer to a question.
    Replied(u16, Reply),
    /// The caller is gone.
    CallerHungUp,
    /// Whoever leads it cancels.
    Cancelled,
}

/// What a session wants done.
#[derive(Debug)]
pub enum Output {
    /// Look the connector of that name up.
    FindConnector(String),
    /// The session is open, or cannot be: the answer to the agent who started it. Agent-assisted sessions only.
    Opened(Result<(), AgentError>),
    /// Say this, after what is being said.
    Speak(Vec<Utterance>),
    /// Stop what is being said.
    Clear,
    /// Tell how it goes: the progress, and the fields of the status callback.
    Report(Progress, Form),
    /// It begins, before anything is asked for: write down what is told should it be cut off. Once; what changes later is
    /// [`super::assisted::AssistedSession::start_now`].
    Begin(Box<SessionStart>),
    /// The gateway is about to be asked: write down what its answer will be told with. Once, before the first question.
    Intend(Box<Intent>),
    /// The outcome is known: tell it, and write down that it is. Once.
    Settle(Progress, Outcome, Box<Told>),
    /// Ask the gateway.
    Ask(Question, Arc<PaymentRequest>, Arc<Instrument>),
    /// It is over: the result, and the fields of the action request. A verb's sessions only; an agent's has no action, and is
    /// over when its outcome is known.
    Finish(PayResult, Form),
}

/// A change that the merchant's application is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The step.
    pub step: Step,
    /// The attempt at it, from 1.
    pub attempt: u8,
    /// What happened.
    pub what: What,
}

/// What happened at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It began.
    Begun,
    /// A digit of it was keyed, or all were taken back (agent-assisted sessions only).
    Keyed,
    /// It cannot begin now; what was going on goes on (agent-assisted sessions only).
    Refused(SessionError),
    /// An attempt failed.
    Failed(EntryError),
    /// Its field was captured.
    Captured,
    /// The session is over.
    Finished(PayResult),
}

/// Why a session waits until a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// For the connector to be found.
    Connector,
    /// For the first digit.
    FirstDigit,
    /// For the next digit.
    NextDigit,
    /// For a digit that would make a whole number longer.
    AnotherDigit,
    /// For the gateway, or until it may be asked again.
    Gateway,
}
