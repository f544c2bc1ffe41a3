//! Where a call is, for whoever wants something of it: the one way from REST, and later from other servers and the console.
//!
//! Shape:   [`Directory::command`] finds the call and has it do what is wanted; the rest reads what is known of it. Calls of
//!          this process are all there are: one of another server is not found (spec/cluster.md, section 3).
//! Limits:  those of [`Calls`] and [`super::idempotency`].
//! Errors:  [`CommandError`].

use std::sync::Arc;

use super::command::{Answer, Command};
use super::history::{NotDeleted, Payment, PaymentRefused, Record};
use super::idempotency::{IdempotentRequest, NotOnce};
use super::registry::{Calls, CommandError};
use crate::flow::AgentCommand;

/// The calls that can be reached. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Directory {
    here: Arc<Calls>,
}

impl Directory {
    /// Of the calls of this process.
    #[must_use]
    pub const fn new(here: Arc<Calls>) -> Self {
        Self { here }
    }

    /// Has a call do what is wanted, and waits until it has. A payment's request that was done before is answered as it was
    /// then; that is decided where the call is, so that it holds whoever asks.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn command(&self, call_sid: &str, command: Command) -> Result<Answer, CommandError> {
        match command {
            Command::Redirect(redirection) => self.here.redirect(call_sid, redirection).await.map(|()| Answer::Done),
            Command::Complete => self.here.complete(call_sid).await.map(|()| Answer::Done),
            Command::Payment(command, request) => {
                self.payment_once(call_sid, command, request).await.map(Answer::Payment)
            }
        }
    }

    async fn payment_once(
        &self,
        call_sid: &str,
        command: AgentCommand,
        request: IdempotentRequest,
    ) -> Result<Payment, CommandError> {
        let idempotency_cache =
            self.here.read(|history| history.idempotency_cache(call_sid)).ok_or(CommandError::NotLive)?;
        let (here, call_sid) = (Arc::clone(&self.here), call_sid.to_owned());
        // A task of its own: a client that goes away must not keep the answer from being remembered.
        let doing = tokio::spawn(async move {
            idempotency_cache
                .once(here.now(), request, async {
                    match here.ask(&call_sid, command).await? {
                        Ok(sid) => {
                            let payment = here.read(|history| history.payment(&call_sid, &sid).cloned());
                            Ok(payment.ok_or(PaymentRefused::Deleted))
                        }
                        // What was no fault of the request may go better the next time.
                        Err(error) if (500..600).contains(&error.status) => {
                            Err(CommandError::Payment(PaymentRefused::Judged(error)))
                        }
                        Err(error) => Ok(Err(PaymentRefused::Judged(error))),
                    }
                })
                .await
        });
        match doing.await.map_err(|_| CommandError::Broken)? {
            Ok(answered) => Ok(answered??),
            Err(NotOnce::Busy) => Err(CommandError::Busy),
            Err(NotOnce::OtherContent) => Err(CommandError::OtherContent),
        }
    }

    /// What is known of a call.
    #[must_use]
    pub fn record(&self, call_sid: &str) -> Option<Record> {
        self.here.record(call_sid)
    }

    /// The payments of a call, in the order in which they began; none: there is no such call.
    #[must_use]
    pub fn payments(&self, call_sid: &str) -> Option<Vec<Payment>> {
        self.here.read(|history| Some(history.payments(call_sid)?.cloned().collect()))
    }

    /// A payment of a call.
    #[must_use]
    pub fn payment(&self, call_sid: &str, payment_sid: &str) -> Option<Payment> {
        self.here.read(|history| history.payment(call_sid, payment_sid).cloned())
    }

    /// Deletes what is known of an ended call.
    ///
    /// # Errors
    /// When there is none, or its call is live.
    pub fn delete(&self, call_sid: &str) -> Result<(), NotDeleted> {
        self.here.delete(call_sid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallClock;
    use crate::form::Form;

    #[tokio::test]
    async fn a_call_that_is_not_here_is_not_live_whatever_is_wanted_of_it() {
        let directory = Directory::new(Arc::new(Calls::new(WallClock::System)));
        let request = || IdempotentRequest::new("/CA1", "key-1", &[]);
        let update = AgentCommand::Update { sid: "PK1".to_owned(), form: Form::new() };
        for command in [
            Command::Complete,
            Command::Payment(AgentCommand::Create(Form::new()), request()),
            Command::Payment(update, request()),
        ] {
            assert_eq!(directory.command("CA1", command).await, Err(CommandError::NotLive));
        }
        assert!(directory.record("CA1").is_none() && directory.payments("CA1").is_none());
        assert_eq!(directory.delete("CA1"), Err(NotDeleted::Unknown));
    }
}
