//! What a call has written down, one thing after the other.
//!
//! Shape:   [`CallbackQueue`] is the call's end: it never waits. Its scribe, a task, writes each entry into the store, then
//!          puts callbacks into the call's line. So what is told is on disk first, and in order.
//! Limits:  `Patience::queue_max` status callbacks; an intent or a submission that cannot be written within
//!          [`TRIES`] tries is not made. Outcomes are never dropped and are tried until they are written.
//! Errors:  false to whoever must not go on without the entry; the rest is logged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use uuid::Uuid;

use super::delivery::{Callback, Tried};
use super::queue::{Counted, Deliveries};
use super::{CallbackKind, CallbackRequest};
use crate::flow::{Intended, Settled};
use crate::pay::gateway::RecoveryNote;
use crate::store::{BackendError, Hold, StoreError, StoredCallback};

/// How often it is tried to write down what a gateway waits for.
const TRIES: u32 = 3;

/// The first wait before another try to write; each further one is twice as long, up to [`WAIT_MAX`].
const WAIT: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The pen of one call. Dropped when the call is over.
#[derive(Debug)]
pub struct CallbackQueue {
    deliveries: Deliveries,
    call_sid: String,
    entries: mpsc::UnboundedSender<Entry>,
    /// Status callbacks that are not in the store yet.
    unwritten: Arc<AtomicUsize>,
}

/// Whether something was written down. Clones are of the same entry.
#[derive(Clone, Debug)]
pub struct Written(watch::Receiver<Option<bool>>);

impl Written {
    /// Waits for it. False: it was not, or nobody knows.
    pub async fn is_done(mut self) -> bool {
        self.0.wait_for(Option::is_some).await.is_ok_and(|written| *written == Some(true))
    }
}

/// Says whether something was written down.
#[derive(Debug)]
struct Done(watch::Sender<Option<bool>>);

impl Done {
    fn new() -> (Self, Written) {
        let (done, written) = watch::channel(None);
        (Self(done), Written(written))
    }

    fn tell(&self, written: bool) {
        self.0.send_replace(Some(written));
    }
}

#[derive(Debug)]
enum Entry {
    Notify(CallbackRequest, Uuid, Counted),
    Intend(Arc<Intended>, Done),
    Sending(String, Option<RecoveryNote>, Done),
    Settle(Arc<Settled>, Hold, Done, Counted),
    /// The call has made a payment's action request itself.
    ActionTried(String, Tried),
}

impl CallbackQueue {
    pub(super) fn begin(deliveries: Deliveries, call_sid: &str) -> Self {
        let (entries, inbox) = mpsc::unbounded_channel();
        let unwritten = Arc::new(AtomicUsize::new(0));
        let scribe = Scribe {
            deliveries: deliveries.clone(),
            call_sid: call_sid.to_owned(),
            held: Vec::new(),
            unwritten: Arc::clone(&unwritten),
        };
        tokio::spawn(scribe.run(inbox));
        Self { deliveries, call_sid: call_sid.to_owned(), entries, unwritten }
    }

    /// Has a status callback stored and delivered after those before it.
    pub fn send(&self, request: CallbackRequest) {
        let token = self.deliveries.clocks.chance.uuid();
        if self.unwritten.fetch_add(1, Ordering::AcqRel) >= self.deliveries.patience.queue_max {
            self.unwritten.fetch_sub(1, Ordering::AcqRel);
            let call_sid = self.call_sid.clone();
            let callback = Callback { request, token, call_sid, place: None, patience: Duration::ZERO };
            callback.count_given_up("too many callbacks of this call are waiting to be written down");
            return;
        }
        self.write(Entry::Notify(request, token, self.deliveries.counted()));
    }

    /// Has it written down that a gateway is about to be asked. It must not be before that is done.
    #[must_use]
    pub fn intend(&self, intended: Arc<Intended>) -> Written {
        let (done, written) = Done::new();
        self.write(Entry::Intend(intended, done));
        written
    }

    /// Has it written down that a submission is about to leave. It must not before that is done.
    #[must_use]
    pub fn sending(&self, payment_sid: &str, note: Option<RecoveryNote>) -> Written {
        let (done, written) = Done::new();
        self.write(Entry::Sending(payment_sid.to_owned(), note, done));
        written
    }

    /// Has an outcome written down, and what it tells delivered. An action request is held back: the call makes it, and
    /// says so by [`Self::action_tried`].
    #[must_use]
    pub fn settle(&self, settled: Arc<Settled>, hold: Hold) -> Written {
        let (done, written) = Done::new();
        self.write(Entry::Settle(settled, hold, done, self.deliveries.counted()));
        written
    }

    /// The call has made a payment's action request: what did not arrive is delivered from the store.
    pub(crate) fn action_tried(&self, payment_sid: &str, tried: Tried) {
        self.write(Entry::ActionTried(payment_sid.to_owned(), tried));
    }

    /// Another pen for the same scribe.
    pub(crate) fn another(&self) -> Self {
        Self {
            deliveries: self.deliveries.clone(),
            call_sid: self.call_sid.clone(),
            entries: self.entries.clone(),
            unwritten: Arc::clone(&self.unwritten),
        }
    }

    fn write(&self, entry: Entry) {
        // The scribe reads until every pen is gone.
        let _ = self.entries.send(entry);
    }
}

struct Scribe {
    deliveries: Deliveries,
    call_sid: String,
    /// Action requests that the call makes itself.
    held: Vec<(StoredCallback, Counted)>,
    unwritten: Arc<AtomicUsize>,
}

impl Scribe {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Entry>) {
        while let Some(entry) = inbox.recv().await {
            self.write(entry).await;
        }
        // The call has broken down before it made them.
        for (callback, counted) in std::mem::take(&mut self.held) {
            self.deliveries.alone(self.deliveries.stored(callback, counted));
        }
    }

    async fn write(&mut self, entry: Entry) {
        let (store, wall) = (self.deliveries.store.clone(), self.deliveries.clocks.wall);
        match entry {
            Entry::Notify(request, token, counted) => {
                let write = || store.queue(&self.call_sid, &request, token, wall.now());
                let stored = self.until_written("a callback", write).await;
                self.unwritten.fetch_sub(1, Ordering::AcqRel);
                match stored {
                    Some(callback) => self.deliveries.line_up(self.deliveries.stored(callback, counted)),
                    None => self.unsealed(request, token),
                }
            }
            Entry::Intend(intended, done) => {
                let written = self.a_few_times("a payment", || store.intend(&intended, wall.now())).await;
                done.tell(written);
            }
            Entry::Sending(sid, note, done) => {
                let write = || store.sending(&sid, note.as_ref(), wall.now());
                done.tell(self.a_few_times("a submission", write).await);
            }
            Entry::Settle(settled, hold, done, counted) => {
                let write = || store.settle(&settled, hold, &self.call_sid, wall.now());
                let stored = self.until_written("an outcome", write).await;
                done.tell(stored.is_some());
                for callback in stored.unwrap_or_default() {
                    let counted = self.deliveries.counted();
                    if callback.held {
                        self.held.push((callback, counted));
                    } else {
                        self.deliveries.line_up(self.deliveries.stored(callback, counted));
                    }
                }
                drop(counted);
            }
            Entry::ActionTried(sid, tried) => self.action_tried(&sid, tried).await,
        }
    }

    async fn action_tried(&mut self, payment_sid: &str, tried: Tried) {
        let token = crate::store::token(payment_sid, crate::store::Occasion::First, CallbackKind::Action);
        let Some(place) = self.held.iter().position(|(callback, _)| callback.token == token) else { return };
        let (callback, counted) = self.held.swap_remove(place);
        let item = self.deliveries.stored(callback, counted);
        let Some(place) = item.callback.place.clone() else { return };
        match tried {
            Tried::Answered(_) => place.delivered().await,
            Tried::Again(reason) => {
                place.failed(&reason).await;
                self.deliveries.alone(item);
            }
            Tried::Hopeless(reason) => item.callback.give_up(&reason).await,
        }
    }

    /// A store that cannot seal will not seal later: the callback is given up, loudly.
    fn unsealed(&self, request: CallbackRequest, token: Uuid) {
        let call_sid = self.call_sid.clone();
        Callback { request, token, call_sid, place: None, patience: Duration::ZERO }
            .count_given_up("it cannot be written down");
    }

    /// Writes, however long it takes. None: it can never be written.
    async fn until_written<T, Writing>(&self, what: &str, write: impl Fn() -> Writing) -> Option<T>
    where
        Writing: Future<Output = Result<T, StoreError>>,
    {
        let mut wait = WAIT;
        loop {
            match write().await {
                Ok(written) => return Some(written),
                Err(StoreError::Backend(error @ BackendError::Unavailable(_))) => {
                    tracing::error!(call_sid = self.call_sid, what, %error, "not written down yet; trying again");
                }
                Err(error) => {
                    tracing::error!(call_sid = self.call_sid, what, %error, "cannot be written down");
                    return None;
                }
            }
            sleep(wait).await;
            wait = wait.saturating_mul(2).min(WAIT_MAX);
        }
    }

    /// Writes what somebody waits for, or says that it cannot be.
    async fn a_few_times<Writing>(&self, what: &str, write: impl Fn() -> Writing) -> bool
    where
        Writing: Future<Output = Result<(), StoreError>>,
    {
        let mut wait = WAIT;
        for _ in 0..TRIES {
            match write().await {
                Ok(()) => return true,
                Err(error) => {
                    tracing::error!(call_sid = self.call_sid, what, %error, "not written down: it is not made");
                    if !matches!(error, StoreError::Backend(BackendError::Unavailable(_))) {
                        return false;
                    }
                }
            }
            sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        false
    }
}
