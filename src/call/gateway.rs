//! A question to a gateway as a task of its own, given up when a newer one is asked.
//!
//! What the question could set off is written down first: a gateway is never asked about a payment that is not in the
//! store, and a submission never leaves unnoticed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::answered::Answered;
use super::recovery::{self, Sends};
use super::services::PaymentServices;
use crate::callback::{CallbackQueue, PendingOutcome, Written};
use crate::connector::{self, Connector};
use crate::flow::{Intended, PaymentId, Settled};
use crate::pay::gateway::{Answer, Capabilities, Instrument, PaymentRequest, Preparation, RecoveryNote, Resolution};
use crate::pay::outcome::Standing;
use crate::pay::submission::{Ask, Question, Reply};
use crate::store::Holder;

/// How long it is waited until this server is heard again before a submission leaves. Our choice: a caller waits, and a
/// database that is there answers in that time.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);

/// The payment that is being asked about, if any, and the question that is open.
#[derive(Default)]
pub(super) struct Asking {
    /// The instance that was found last, and its name: a payment goes on with the one it began with.
    found: Option<(String, Arc<dyn Connector>)>,
    open: Option<AbortHandle>,
    intended: Option<Arc<Intended>>,
    note: Option<RecoveryNote>,
    /// The submissions of this payment that have left.
    sent: Option<Sends>,
    /// Until when something is waited for to be written down, and whether it is by now.
    writing: Option<Written>,
}

impl Asking {
    /// Looks a connector up for the payment that begins.
    pub(super) fn find(&mut self, payments: &PaymentServices, name: String) -> Option<Capabilities> {
        self.found = payments.connectors.find(&name).map(|connector| (name, connector));
        self.found.as_ref().map(|(_, connector)| connector.capabilities())
    }

    /// The payment that the next questions are about.
    pub(super) fn intend(&mut self, intended: Arc<Intended>) {
        self.intended = Some(intended);
        (self.note, self.sent, self.writing) = (None, None, None);
    }

    /// Asks the gateway; the answer arrives in `answers`.
    pub(super) fn ask(
        &mut self,
        payments: &Arc<PaymentServices>,
        callbacks: &CallbackQueue,
        question: Question,
        (payment_request, instrument): (Arc<PaymentRequest>, Arc<Instrument>),
        answers: mpsc::Sender<Answered>,
    ) {
        self.give_up();
        // From before it is written down.
        let epoch = payments.store.epoch();
        let written = self.written(callbacks, &question.what);
        let intended = self.intended.as_ref().map(Arc::clone);
        let number_sent = self.sent.map_or(0, |sent| sent.count);
        let held = self.found.as_ref().filter(|(name, _)| *name == payment_request.connector);
        let connector = held
            .map_or_else(|| payments.connectors.find(&payment_request.connector), |(_, held)| Some(Arc::clone(held)));
        let of = Arc::clone(payments);
        // A task: the actor goes on hearing keys and hang-ups while the gateway takes its time.
        let task = tokio::spawn(async move {
            let number = question.number;
            let mut is_written = match written {
                Some(written) => written.is_done().await,
                None => true,
            };
            // Only a submission moves money. Where nobody heard of this server since it was written down it is written
            // down again, which only the payment's owner can.
            if let (true, Ask::Submit(note)) = (is_written, &question.what) {
                let (held, now) = ((epoch, Holder::Call), of.wall_clock.now());
                let sid = intended.as_ref().map_or("", |intended| &intended.payment.sid);
                let still = of.store.still_sending(held, sid, note.as_ref(), number_sent, now);
                is_written = matches!(timeout(CONFIRM_LIMIT, still).await, Ok(Ok(())));
            }
            let reply = if !is_written {
                Reply::NotWritten
            } else {
                match connector {
                    Some(found) => connector::ask(&*found, question.what, payment_request, instrument).await,
                    None => not_asked(&question.what, "the connector was removed"),
                }
            };
            // The call may be over; then nobody waits for this.
            let _ = answers.send(Answered::Replied(number, reply)).await;
        });
        self.open = Some(task.abort_handle());
    }

    /// What is written down before a question is asked. None: nothing.
    fn written(&mut self, callbacks: &CallbackQueue, what: &Ask) -> Option<Written> {
        let intended = self.intended.as_ref()?;
        let written = match what {
            // Moves no money, but may bring a note that does.
            Ask::Prepare => callbacks.intend(Arc::clone(intended)),
            Ask::Submit(note) => {
                self.note.clone_from(note);
                let now = Instant::now();
                let before = self.sent.map_or(Sends { count: 0, first: now, last: now }, |sent| sent);
                let sent = Sends { count: before.count.saturating_add(1), last: now, ..before };
                self.sent = Some(sent);
                callbacks.sending(&intended.payment.sid, note.clone(), sent.count)
            }
            // A look-up moves no money, and leaves the row as it is.
            Ask::Resolve(_) => return None,
        };
        // A question that is asked again because the one before is still not written down waits no longer in all.
        let written = match self.writing.take().filter(|before| !before.was_done()) {
            Some(before) => written.no_later_than(&before),
            None => written,
        };
        Some(self.writing.insert(written).clone())
    }

    /// Whether the gateway is asked for this payment, or was to be.
    pub(super) fn is_about(&self, payment: &PaymentId) -> bool {
        self.intended.as_ref().is_some_and(|intended| intended.payment == *payment)
    }

    /// The payment is over. An outcome that nobody knows is looked for as soon as that is written down.
    pub(super) fn settled(
        &mut self,
        payments: &Arc<PaymentServices>,
        settled: &Settled,
        pending_outcome: PendingOutcome,
    ) {
        let Some(intended) = self.intended.take_if(|intended| intended.payment == settled.payment) else { return };
        if settled.outcome.standing == Standing::Unknown {
            recovery::look_for(payments, intended, (self.note.take(), self.sent), pending_outcome);
        }
    }

    /// Gives the open question up.
    pub(super) fn give_up(&mut self) {
        if let Some(task) = self.open.take() {
            task.abort();
        }
    }
}

/// Nothing was sent by this question.
fn not_asked(what: &Ask, reason: &str) -> Reply {
    let not_sent = || Answer::NotSent { reason: reason.to_owned(), retry_after: None };
    match what {
        Ask::Prepare => Reply::Prepared(Preparation::Answered(not_sent())),
        Ask::Submit(_) => Reply::Submitted(not_sent()),
        Ask::Resolve(_) => Reply::Resolved(Resolution::CannotTell),
    }
}
