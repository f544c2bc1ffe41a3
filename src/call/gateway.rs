//! A question to a gateway as a task of its own, given up when a newer one is asked.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::House;
use super::actor::Answered;
use crate::connector;
use crate::pay::gateway::{Answer, Attempt, Instrument, Preparation, Resolution};
use crate::pay::submission::{Ask, Question, Reply};

/// The question that is open, if any.
#[derive(Debug, Default)]
pub(super) struct Asking(Option<AbortHandle>);

impl Asking {
    /// Asks the gateway; the answer arrives in `answers`.
    pub(super) fn ask(
        &mut self,
        house: &Arc<House>,
        question: Question,
        attempt: Arc<Attempt>,
        instrument: Arc<Instrument>,
        answers: mpsc::Sender<Answered>,
    ) {
        self.give_up();
        let house = Arc::clone(house);
        let task = tokio::spawn(async move {
            let number = question.number;
            let reply = match house.connectors.find(&attempt.connector) {
                Some(found) => connector::ask(&*found, question.what, attempt, instrument).await,
                None => removed(&question.what),
            };
            // The call may be over; then nobody waits for this.
            let _ = answers.send(Answered::Replied(number, reply)).await;
        });
        self.0 = Some(task.abort_handle());
    }

    /// Gives the open question up.
    pub(super) fn give_up(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// The connector was removed after the call found it: nothing was sent to it by this question.
fn removed(what: &Ask) -> Reply {
    let not_sent = || Answer::NotSent { reason: "the connector was removed".to_owned(), retry_after: None };
    match what {
        Ask::Prepare => Reply::Prepared(Preparation::Answered(not_sent())),
        Ask::Submit(_) => Reply::Submitted(not_sent()),
        Ask::Resolve(_) => Reply::Resolved(Resolution::CannotTell),
    }
}
