//! The calls there are and were: who reaches a live one, and what is told of each.
//!
//! Shape:   `super::place` gives streams and calls their places here; [`super::Directory`] wants
//!          something of a live call's actor and waits for its answer; [`Calls::read`] reads the records.
//! Limits:  [`COMMANDS_MAX`] commands may wait for one call (more are refused), each for [`COMMAND_LIMIT`] at most.
//! Errors:  [`CommandError`]: the call is over, too many are waiting, no answer.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::history::{History, NotDeleted, PaymentRefused, Record};
use super::streams::StreamCount;
use crate::clock::WallClock;
use crate::flow::{AgentCommand, PaymentId, Redirection};
use crate::form::Form;
use crate::pay::assisted::AgentError;

/// How many commands may wait for one call. Chosen freely: people and their programs send one at a time.
pub const COMMANDS_MAX: usize = 16;

/// How long a command waits for a call's answer. The actor answers as soon as it comes round; what holds it up is a
/// platform that does not read (`SEND_LIMIT` in the actor).
pub const COMMAND_LIMIT: Duration = Duration::from_secs(15);

/// What is wanted on its way, and where the answer goes. Dropped unanswered, it says that the call is over.
#[derive(Debug)]
pub(super) enum PendingCommand {
    /// Go on with another document; the answer is that it is done.
    Redirect(Redirection, oneshot::Sender<()>),
    /// End; the answer is that it is done.
    Complete(oneshot::Sender<()>),
    /// An agent's; the answer is the payment's id.
    Agent(AgentCommand, oneshot::Sender<Result<String, AgentError>>),
}

/// Why a call did not do what was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum CommandError {
    /// It is over, or was never there.
    #[error("the call is not in progress")]
    NotLive,
    /// [`COMMANDS_MAX`] are waiting.
    #[error("too many commands are waiting for this call")]
    Busy,
    /// It may still do it.
    #[error("the call did not answer within {} s", COMMAND_LIMIT.as_secs())]
    NoAnswer,
    /// The request's key was used for something else.
    #[error("the request's key was used for a request with other parameters")]
    OtherContent,
    /// It is not done, or was not the first time.
    #[error(transparent)]
    Payment(PaymentRefused),
    /// Whoever was to do it broke down; it may be done.
    #[error("the request broke down")]
    Broken,
}

/// The calls.
#[derive(Debug)]
pub struct Calls {
    pub(super) live: DashMap<String, LiveCall>,
    history: Mutex<History>,
    /// Streams that are open, whether their call has begun or not.
    pub(super) streams: StreamCount,
    /// How many calls have been registered: each has a number of its own, as one id may come back.
    pub(super) registered: AtomicU64,
    pub(super) wall_clock: WallClock,
}

/// How a live call is reached.
#[derive(Debug)]
pub(super) struct LiveCall {
    pub(super) number: u64,
    pub(super) ender: watch::Sender<bool>,
    pub(super) commands: mpsc::Sender<PendingCommand>,
}

/// What reaches a live call's actor.
#[derive(Debug)]
pub(super) struct CallHandle {
    /// Turns true when the call is to end.
    pub(super) ender: watch::Receiver<bool>,
    /// Commands.
    pub(super) commands: mpsc::Receiver<PendingCommand>,
}

impl Default for Calls {
    fn default() -> Self {
        Self::new(WallClock::System)
    }
}

impl Calls {
    /// None yet; when something happens is read off `wall_clock`.
    #[must_use]
    pub fn new(wall_clock: WallClock) -> Self {
        Self {
            live: DashMap::new(),
            history: Mutex::default(),
            streams: StreamCount::default(),
            registered: AtomicU64::new(0),
            wall_clock,
        }
    }

    /// How many calls are live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// Admits no more streams.
    pub fn close(&self) {
        self.streams.close();
    }

    /// Waits until no stream is open.
    pub async fn all_over(&self) {
        self.streams.none_open().await;
    }

    /// Ends every call as if its caller had hung up: payments that are on their way are still waited for.
    pub fn end_all(&self) {
        for call in &self.live {
            call.value().ender.send_replace(true);
        }
    }

    /// Sends a live call elsewhere, and waits until it has gone there.
    pub(super) async fn redirect(&self, sid: &str, redirection: Redirection) -> Result<(), CommandError> {
        self.order(sid, |done| PendingCommand::Redirect(redirection, done)).await
    }

    /// Ends a live call, and waits until it has ended.
    pub(super) async fn complete(&self, sid: &str) -> Result<(), CommandError> {
        self.order(sid, PendingCommand::Complete).await
    }

    /// Hands an agent's request to a live call, and waits for the payment's id or why it is not done. [`CommandError`]: the call
    /// did not get to judge it, or its answer did not come.
    pub(super) async fn ask(
        &self,
        sid: &str,
        command: AgentCommand,
    ) -> Result<Result<String, AgentError>, CommandError> {
        self.order(sid, |answer| PendingCommand::Agent(command, answer)).await
    }

    async fn order<T>(
        &self,
        sid: &str,
        order: impl FnOnce(oneshot::Sender<T>) -> PendingCommand,
    ) -> Result<T, CommandError> {
        // Cloned: no shard of the map stays locked while the call is waited for.
        let commands = self.live.get(sid).map(|live| live.commands.clone()).ok_or(CommandError::NotLive)?;
        let (done, answer) = oneshot::channel();
        commands.try_send(order(done)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => CommandError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommandError::NotLive,
        })?;
        match timeout(COMMAND_LIMIT, answer).await {
            Ok(Ok(answer)) => {
                self.history().touch(self.wall_clock.now(), sid);
                Ok(answer)
            }
            Ok(Err(_)) => Err(CommandError::NotLive),
            Err(_) => Err(CommandError::NoAnswer),
        }
    }

    /// What time it is.
    pub(super) fn now(&self) -> Timestamp {
        self.wall_clock.now()
    }

    /// The record of a call.
    #[must_use]
    pub fn record(&self, sid: &str) -> Option<Record> {
        let mut history = self.history();
        history.forget(self.wall_clock.now());
        history.find(sid).cloned()
    }

    /// Reads the records.
    pub fn read<T>(&self, read: impl FnOnce(&History) -> T) -> T {
        let mut history = self.history();
        history.forget(self.wall_clock.now());
        read(&history)
    }

    /// Deletes the record of an ended call.
    ///
    /// # Errors
    /// When there is none, or its call is live.
    pub fn delete(&self, sid: &str) -> Result<(), NotDeleted> {
        self.history().delete(sid)
    }

    /// A payment of a call went on, or ended.
    pub(super) fn reported(&self, call_sid: &str, payment: &PaymentId, told: &Form) {
        self.history().report(self.wall_clock.now(), call_sid, payment, told);
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        // A history that somebody broke off writing in is still one: every entry is written whole or not at all.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
