//! Payments without their call: finding out what became of them, and telling it.
//!
//! Shape:   [`attend`] takes over what a server that is gone left behind, payments and callbacks alike, at the start (what
//!          an earlier process of this one held was released when the store was opened) and from then on; each payment is
//!          a task that runs `pay::recovery` and carries out what it wants. That this server is there is said by
//!          [`super::heartbeat`], which waits for none of it.
//! Limits:  none on what is waited for; so many questions to a connector at a time as [`super::questions`] says;
//!          `pay::recovery` says how often and for how long a gateway is asked.
//! Errors:  logged; what could not be written is tried again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout_at};

use super::metrics;
use super::questions::{About, QuestionSlot};
use super::registry::Calls;
use super::search::Search;
use super::services::PaymentServices;
use crate::callback::PendingOutcome;
use crate::connector::{self, Connector};
use crate::deadline;
use crate::flow::Intended;
use crate::pay::gateway::RecoveryNote;
use crate::pay::outcome::Ending;
use crate::pay::recovery::{Recovery, RecoveryStep, Remembered, SentTimes, ending};
use crate::pay::submission::{Ask, Question, Reply, Verdict};
use crate::store::{BackendError, Hold, Holder, Open, PaymentState, Recorded, StoreError};
use crate::time::CallTime;

/// How often it is looked for what is nobody's. A callback that is wanted anew is tried within that time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// In every how many looks old callbacks are forgotten.
const FORGET_EVERY: u32 = 3600;

/// How long a delivered callback is listed. Our choice: a week of questions.
const DELIVERED_KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// How much is taken over in one transaction.
const TAKEN_AT_ONCE: u32 = 500;

/// How long it is waited before an outcome that could not be written is written again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// Says that this server is there and takes over what is nobody's, for as long as the server runs.
pub async fn attend(payments: Arc<PaymentServices>, calls: Arc<Calls>) {
    tokio::join!(
        super::heartbeat::beat(Arc::clone(&payments)),
        super::writable::watch(Arc::clone(&payments), calls),
        look_after(payments)
    );
}

/// Takes over what is nobody's, for as long as the server runs.
pub(crate) async fn look_after(payments: Arc<PaymentServices>) {
    let mut look = interval(LOOK_EVERY);
    // After a suspension one look is enough.
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = Due { forget: 0, reclaim: false };
    let mut complained = false;
    loop {
        look.tick().await;
        let done = take_over(&payments, &mut due).await;
        payments.searches.looked(done.is_ok());
        match done {
            Ok(()) => complained = false,
            // Once for a database that is away, not once a second.
            Err(error) if !complained => {
                complained = true;
                tracing::error!(%error, "could not look for unclaimed payments and sessions; trying again");
            }
            Err(_) => {}
        }
    }
}

/// What is to be done with a look.
struct Due {
    /// In how many looks old callbacks are forgotten.
    forget: u32,
    /// Whether a claim's answer may have been lost: then nobody knows what it took.
    reclaim: bool,
}

async fn take_over(payments: &Arc<PaymentServices>, due: &mut Due) -> Result<(), StoreError> {
    let (store, now) = (&payments.store, payments.wall_clock.now());
    if due.forget == 0
        && let Ok(before) = now.checked_sub(DELIVERED_KEPT)
    {
        let forgotten = store.backend().forget_delivered(before).await?;
        // Until there are none, some with each look.
        due.forget = if forgotten == 0 { FORGET_EVERY } else { 1 };
    }
    due.forget = due.forget.saturating_sub(1);
    if due.reclaim {
        take_again(payments, now).await?;
    }
    // Until all of this has gone well, a claim's answer may be lost.
    due.reclaim = true;
    loop {
        // Callbacks first: what is told of a payment that is found out comes after them.
        let callbacks = store.claim_callbacks(TAKEN_AT_ONCE).await?;
        let left = store.claim_payments(TAKEN_AT_ONCE, now).await?;
        let is_all = is_short(callbacks.len()) && is_short(left.len());
        payments.deliveries.adopt(callbacks);
        for open in left {
            recover(payments, open);
        }
        if is_all {
            break;
        }
    }
    super::sessions::take_over(payments, now).await?;
    due.reclaim = false;
    Ok(())
}

/// Takes up what was claimed before, where a claim's answer may have been lost. What is being worked on goes on as it is.
async fn take_again(payments: &Arc<PaymentServices>, now: Timestamp) -> Result<(), StoreError> {
    let (store, mut last) = (&payments.store, 0);
    loop {
        let callbacks = store.claimed_callbacks(last, TAKEN_AT_ONCE).await?;
        // A page may be short because rows of it cannot be read.
        let is_last = callbacks.is_empty();
        last = callbacks.last().map_or(last, |callback| callback.id);
        payments.deliveries.adopt(callbacks);
        if is_last {
            break;
        }
    }
    let mut last = None;
    loop {
        let left = store.claimed_payments(last.take(), TAKEN_AT_ONCE, now).await?;
        last = left.last().map(|open| open.row.sid.clone());
        for open in left {
            recover(payments, open);
        }
        if last.is_none() {
            return Ok(());
        }
    }
}

/// Whether that is less than there could have been.
fn is_short(count: usize) -> bool {
    u32::try_from(count).is_ok_and(|count| count < TAKEN_AT_ONCE)
}

/// Finds out what became of a payment in the store.
fn recover(payments: &Arc<PaymentServices>, open: Open) {
    let Open { row, sent, intended, note } = open;
    // Claimed again while it is looked for: that search goes on.
    let Some(search) = Search::begin(payments, &row.sid) else { return };
    let told_unknown = row.state == PaymentState::Unknown;
    tracing::warn!(
        payment = row.sid,
        call_sid = row.call_sid,
        connector = row.connector,
        state = row.state.word(),
        "payment was left without an outcome; finding it out"
    );
    let sent = sent.map(|sent| SentTimes { first: sent.first, last: sent.last });
    let remembered = Remembered { sent, note, told_unknown };
    tokio::spawn(run(search, Arc::new(intended), remembered, HeldPayment { holder: Holder::Keeper, sends: row.sends }));
}

/// How often a payment's submission has left, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sends {
    pub(super) count: u32,
    pub(super) first: Instant,
    pub(super) last: Instant,
}

/// Goes on looking for an outcome that its call could not find out.
pub(super) fn look_for(
    payments: &Arc<PaymentServices>,
    intended: Arc<Intended>,
    (note, sends): (Option<RecoveryNote>, Option<Sends>),
    pending_outcome: PendingOutcome,
) {
    let Some(search) = Search::begin(payments, &intended.payment.sid) else { return };
    tokio::spawn(async move {
        // Until the store says that it is unknown, the next start has to find it there; and what it leaves to somebody else,
        // somebody else looks for.
        if pending_outcome.recorded().await != Some(Recorded::First) {
            return;
        }
        // Unknown when: as long ago as can be, so that nothing is repeated.
        let sent = sends.map_or(SentTimes { first: Duration::MAX, last: Duration::ZERO }, |sends| SentTimes {
            first: sends.first.elapsed(),
            last: sends.last.elapsed(),
        });
        let held = HeldPayment { holder: Holder::Call, sends: sends.map_or(0, |sends| sends.count) };
        run(search, intended, Remembered { sent: Some(sent), note, told_unknown: true }, held).await;
    });
}

/// How a payment is held that is looked for.
#[derive(Clone, Copy, Debug)]
struct HeldPayment {
    holder: Holder,
    /// How often its submission has left.
    sends: u32,
}

async fn run(search: Search, intended: Arc<Intended>, remembered: Remembered, mut held: HeldPayment) {
    let payments = Arc::clone(search.payments());
    let payment_request = &intended.intent.payment_request;
    let connector = payments.connectors.find(&payment_request.connector);
    let (since, was_sent) = (Instant::now(), remembered.sent.is_some());
    let now = || CallTime::ZERO + since.elapsed();
    let moment = |at: CallTime| since + (at - CallTime::ZERO);
    let mut recovery = Recovery::start(connector.as_ref().map(|connector| connector.capabilities()), remembered);
    let mut step = RecoveryStep::Wait;
    // Held while a question is asked.
    let mut turn: Option<QuestionSlot> = None;
    loop {
        step = match step {
            RecoveryStep::Wait => {
                drop(turn.take());
                let Some(due) = recovery.poll_timeout() else { return };
                sleep_until(moment(due)).await;
                let mut at = now();
                if recovery.asks(at) {
                    let questions = payments.searches.questions();
                    turn = match recovery.untold_until() {
                        // What nobody was told of does not wait for its turn longer than for an answer.
                        Some(until) => {
                            timeout_at(moment(until), questions.turn(&payment_request.connector, About::Untold))
                                .await
                                .ok()
                        }
                        None => Some(questions.turn(&payment_request.connector, About::Unknown).await),
                    };
                    at = now();
                }
                recovery.handle_timeout(at)
            }
            RecoveryStep::Ask(question) => {
                let Some(connector) = &connector else { return };
                let number = question.number;
                let until = recovery.poll_timeout().map_or(since, moment);
                let asked = ask(&payments, &**connector, question, &intended, &mut held);
                // Not tokio's timeout: an answer that lay in the socket while the process was stopped counts.
                match deadline::until(until, asked).await {
                    Ok(reply) => recovery.handle_reply(now(), number, reply),
                    Err(_) => recovery.handle_timeout(now()),
                }
            }
            RecoveryStep::TellUnknown => {
                settle(&payments, &intended, &ending(&intended.intent, Verdict::Unknown, was_sent), held.holder).await;
                RecoveryStep::Wait
            }
            RecoveryStep::Over(verdict) => {
                settle(&payments, &intended, &ending(&intended.intent, verdict, was_sent), held.holder).await;
                return;
            }
            RecoveryStep::GivenUp => return give_up(&payments, &intended).await,
        };
    }
}

async fn ask(
    payments: &PaymentServices,
    connector: &dyn Connector,
    question: Question,
    intended: &Intended,
    held: &mut HeldPayment,
) -> Reply {
    let payment_request = Arc::clone(&intended.intent.payment_request);
    match question.what {
        Ask::Submit(note) => {
            held.sends = held.sends.saturating_add(1);
            let (sid, now) = (&intended.payment.sid, payments.wall_clock.now());
            let (epoch, note_sent) = (payments.store.epoch(), note.as_ref());
            // As in a call: a submission that is not written down does not leave.
            let mut written = payments.store.sending(sid, note_sent, held.sends, held.holder, now).await;
            if written.is_ok() {
                written = payments.store.still_sending((epoch, held.holder), sid, note_sent, held.sends, now).await;
            }
            if let Err(error) = written {
                tracing::error!(
                    payment = intended.payment.sid,
                    %error,
                    "could not persist repeated submission; not sending it"
                );
                return Reply::Panicked;
            }
            Reply::Submitted(connector::submit(connector, payment_request, None, note).await)
        }
        Ask::Resolve(note) => Reply::Resolved(connector::resolve(connector, payment_request, note).await),
        // Without an instrument there is nothing to prepare.
        Ask::Prepare => Reply::Panicked,
    }
}

/// Writes an outcome down and has it told.
async fn settle(payments: &PaymentServices, intended: &Intended, ending: &Ending, holder: Holder) {
    let settled = intended.settled(ending);
    let outcome = &settled.outcome;
    metrics::recovered(outcome.standing);
    tracing::warn!(
        payment = settled.payment.sid,
        call_sid = intended.intent.payment_request.call_sid,
        state = outcome.standing.word(),
        result = outcome.result.word(),
        code = outcome.code.map(|code| code.number()),
        "found the outcome of a payment whose call is gone"
    );
    let call_sid = &intended.intent.payment_request.call_sid;
    loop {
        match payments.store.settle(&settled, None, Hold::No, holder, call_sid, payments.wall_clock.now()).await {
            Ok((recorded, callbacks)) => {
                payments.deliveries.outcome_written(call_sid, &settled, recorded);
                return payments.deliveries.deliver(callbacks);
            }
            Err(StoreError::Backend(BackendError::Unavailable(reason))) => {
                tracing::error!(
                    payment = settled.payment.sid,
                    error = reason,
                    "could not persist recovered outcome; trying again"
                );
                // However long it takes: while this server holds the payment nobody else looks for its outcome.
                sleep(WRITE_AGAIN).await;
            }
            Err(error) => {
                tracing::error!(
                    payment = settled.payment.sid,
                    %error,
                    "recovered outcome cannot be persisted; nobody is told"
                );
                return;
            }
        }
    }
}

async fn give_up(payments: &PaymentServices, intended: &Intended) {
    let sid = &intended.payment.sid;
    tracing::error!(
        payment = sid,
        call_sid = intended.intent.payment_request.call_sid,
        connector = intended.intent.payment_request.connector,
        "could not find out what became of payment; look for it at the gateway (`touchtone payments list --state unknown`)"
    );
    if let Err(error) = payments.store.backend().give_up_payment(sid, payments.wall_clock.now()).await {
        tracing::error!(payment = sid, %error, "could not persist that a payment stays unknown");
    }
}
