//! What a call has written down, one thing after the other.
//!
//! Shape:   [`CallbackQueue`] is the call's end: it never waits. Its writer, a task, writes each entry into the store, then
//!          hands callbacks over to be sent. So what is told is on disk first, and in order.
//! Limits:  `RetryPolicy::queue_max` status callbacks; an intent or a submission that is not known to be written within
//!          [`WRITE_LIMIT`] is not made. Outcomes are never dropped and are tried until they are written; a call tells its own
//!          without the store after that time.
//! Errors:  false to whoever must not go on without the entry; the rest is logged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::delivery::{Tried, count_given_up};
use super::queue::{Counted, Deliveries};
use super::{CallbackKind, CallbackRequest};
use crate::deadline;
use crate::flow::{Begun, Intended, Settled};
use crate::http::Jar;
use crate::pay::gateway::RecoveryNote;
use crate::pay::step::PayResult;
use crate::store::{BackendError, Hold, Holder, NewSession, Occasion, Recorded, StoreError, StoredCallback};

/// How long somebody waits for something to be written down: a caller is on the line.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// The first wait before another try to write; each further one is twice as long, up to [`WAIT_MAX`].
const WAIT: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The outbox of one call. Dropped when the call is over.
#[derive(Clone, Debug)]
pub struct CallbackQueue {
    deliveries: Deliveries,
    call_sid: String,
    /// The call's cookies.
    cookies: Jar,
    entries: mpsc::UnboundedSender<OutboxEntry>,
    /// Status callbacks that are not in the store yet.
    unwritten: Arc<AtomicUsize>,
    /// Whether the last write was waited for in vain: then nobody waits for the next one.
    is_stuck: Arc<AtomicBool>,
    lost: watch::Receiver<Option<String>>,
}

/// Whether something was written down. Clones are of the same entry.
#[derive(Clone, Debug)]
pub struct Written {
    told: watch::Receiver<Option<bool>>,
    until: Instant,
}

impl Written {
    /// Whether it is known by now that it was written down.
    pub(crate) fn was_done(&self) -> bool {
        *self.told.borrow() == Some(true)
    }

    /// The same, waited for no longer than another.
    pub(crate) fn no_later_than(self, other: &Self) -> Self {
        Self { until: self.until.min(other.until), ..self }
    }

    /// Waits for it, for 5 s from when it was asked for. False: it was not, or nobody knows.
    pub async fn is_done(mut self) -> bool {
        let told = timeout_at(self.until, self.told.wait_for(Option::is_some)).await;
        told.is_ok_and(|told| told.is_ok_and(|written| *written == Some(true)))
    }
}

/// What becomes of an outcome in the store. Clones are of the same outcome.
#[derive(Clone, Debug)]
pub struct PendingOutcome {
    told: watch::Receiver<Option<Recorded>>,
    until: Instant,
}

impl PendingOutcome {
    /// Waits for it, however long it takes. None: it can never be written down.
    pub async fn recorded(mut self) -> Option<Recorded> {
        self.told.wait_for(Option::is_some).await.ok().and_then(|recorded| *recorded)
    }

    /// Waits for it, for 5 s from when it was asked for; not at all, where somebody has waited in vain just before. None:
    /// nobody knows by then.
    pub(crate) async fn recorded_in_time(self) -> Option<Recorded> {
        deadline::until(self.until, self.recorded()).await.ok().flatten()
    }
}

/// How the call has told a payment's outcome by its action request.
#[derive(Clone, Debug)]
pub(crate) struct ActionTold {
    /// The payment.
    pub(crate) payment_sid: String,
    /// On which occasion.
    pub(crate) occasion: Occasion,
    /// Whether it was told as it is.
    pub(crate) as_it_is: bool,
    /// How the request ended.
    pub(crate) tried: Tried,
}

/// Says whether something was written down, to whoever waits until then.
#[derive(Debug)]
struct WriteSignal {
    told: watch::Sender<Option<bool>>,
    until: Instant,
}

impl WriteSignal {
    fn new() -> (Self, Written) {
        let (told, written) = watch::channel(None);
        let until = Instant::now() + WRITE_LIMIT;
        (Self { told, until }, Written { told: written, until })
    }

    fn tell(&self, written: bool) {
        self.told.send_replace(Some(written));
    }
}

/// Says what became of an outcome in the store.
struct Deciding {
    told: watch::Sender<Option<Recorded>>,
    first: Box<dyn FnOnce(Recorded) + Send>,
}

impl Deciding {
    fn tell(self, recorded: Recorded) {
        (self.first)(recorded);
        self.told.send_replace(Some(recorded));
    }
}

impl std::fmt::Debug for Deciding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deciding").finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum OutboxEntry {
    Notify(CallbackRequest, Uuid, Counted),
    Begun(Arc<NewSession>),
    Intend(Arc<Intended>, WriteSignal),
    Sending {
        payment_sid: String,
        note: Option<RecoveryNote>,
        number: u32,
        done: WriteSignal,
    },
    Settle(Arc<Settled>, Hold, Deciding, Counted),
    /// The call has made a payment's action request itself.
    ActionTold(ActionTold),
}

impl CallbackQueue {
    pub(super) fn begin(deliveries: Deliveries, call_sid: &str) -> Self {
        // Unbounded, as an outcome is never dropped; status callbacks are limited by `unwritten`.
        let (entries, inbox) = mpsc::unbounded_channel();
        let (unwritten, is_stuck) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (losing, lost) = watch::channel(None);
        let writer = OutboxWriter {
            deliveries: deliveries.clone(),
            call_sid: call_sid.to_owned(),
            held: Vec::new(),
            session: None,
            unwritten: Arc::clone(&unwritten),
            is_stuck: Arc::clone(&is_stuck),
            lost: losing,
        };
        // A task: the call never waits for the disk.
        tokio::spawn(writer.run(inbox));
        let cookies = Jar::new(deliveries.clocks.wall_clock);
        Self { deliveries, call_sid: call_sid.to_owned(), cookies, entries, unwritten, is_stuck, lost }
    }

    /// The call's cookies: its requests for documents share them, and what is queued carries those of its moment.
    #[must_use]
    pub fn cookies(&self) -> Jar {
        self.cookies.clone()
    }

    /// The id of the session whose end another server has taken over, as soon as a write shows that. Nothing more is told of
    /// it from here, and no gateway asked for it.
    pub(crate) fn lost_session(&self) -> watch::Receiver<Option<String>> {
        self.lost.clone()
    }

    /// Has a status callback stored and delivered after those before it.
    pub fn send(&self, request: CallbackRequest) {
        let token = self.deliveries.clocks.rng.uuid();
        // Counted first: other pens of this call may write at the same time (`another`).
        if self.unwritten.fetch_add(1, Ordering::AcqRel) >= self.deliveries.policy.queue_max {
            self.unwritten.fetch_sub(1, Ordering::AcqRel);
            let reason = "too many callbacks of this call are waiting to be written down";
            count_given_up(&self.call_sid, &request, reason);
            return;
        }
        // The call's jar fills up while this waits.
        let request = CallbackRequest { cookies: request.cookies.snapshot(&request.url), ..request };
        self.write(OutboxEntry::Notify(request, token, self.deliveries.counted()));
    }

    /// Has it noted that a Pay session has begun, or where it is told has changed. It is written down soon; nobody waits.
    pub fn session_begun(&self, begun: &Begun) {
        match self.deliveries.store.note_session(begun, self.deliveries.clocks.wall_clock.now()) {
            Ok(session) => self.write(OutboxEntry::Begun(session)),
            Err(error) => {
                tracing::error!(
                    payment = begun.payment.sid,
                    %error,
                    "could not note session; its end is not told should it be cut off"
                )
            }
        }
    }

    /// Has it written down that a gateway is about to be asked. It must not be before that is done.
    #[must_use]
    pub fn intend(&self, intended: Arc<Intended>) -> Written {
        let (done, written) = WriteSignal::new();
        self.write(OutboxEntry::Intend(intended, done));
        written
    }

    /// Has it written down that the `number`th submission is about to leave. It must not before that is done.
    #[must_use]
    pub fn sending(&self, payment_sid: &str, note: Option<RecoveryNote>, number: u32) -> Written {
        let (done, written) = WriteSignal::new();
        self.write(OutboxEntry::Sending { payment_sid: payment_sid.to_owned(), note, number, done });
        written
    }

    /// Has an outcome written down, and what it tells delivered. An action request is held back: the call makes it, and
    /// says so by [`Self::action_told`]. `first` learns what became of it before anybody is told.
    #[must_use]
    pub fn settle(
        &self,
        settled: Arc<Settled>,
        hold: Hold,
        first: impl FnOnce(Recorded) + Send + 'static,
    ) -> PendingOutcome {
        let (told, pending_outcome) = watch::channel(None);
        // Of a payment that could not begin because nothing can be written, nobody has anything to wait for.
        let is_refused = settled.outcome.result == PayResult::InternalError && !self.deliveries.store.is_writable();
        let is_hopeless = is_refused || self.is_stuck.load(Ordering::Acquire);
        let limit = if is_hopeless { Duration::ZERO } else { WRITE_LIMIT };
        let deciding = Deciding { told, first: Box::new(first) };
        self.write(OutboxEntry::Settle(settled, hold, deciding, self.deliveries.counted()));
        PendingOutcome { told: pending_outcome, until: Instant::now() + limit }
    }

    /// The call has made a payment's action request: what did not arrive, or was not told as it is, is delivered from the
    /// store.
    pub(crate) fn action_told(&self, told: ActionTold) {
        self.write(OutboxEntry::ActionTold(told));
    }

    /// Another pen for the same outbox writer.
    pub(crate) fn another(&self) -> Self {
        self.clone()
    }

    fn write(&self, entry: OutboxEntry) {
        // The outbox writer reads until every pen is gone.
        let _ = self.entries.send(entry);
    }
}

struct OutboxWriter {
    deliveries: Deliveries,
    call_sid: String,
    /// Action requests that the call makes itself.
    held: Vec<HeldAction>,
    /// The session that began last.
    session: Option<Arc<NewSession>>,
    unwritten: Arc<AtomicUsize>,
    is_stuck: Arc<AtomicBool>,
    /// The session whose end another server has taken over.
    lost: watch::Sender<Option<String>>,
}

/// An action request that the call makes itself.
struct HeldAction {
    callback: StoredCallback,
    counted: Counted,
    /// Whether a status callback tells the same.
    is_told_by_status: bool,
}

impl OutboxWriter {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<OutboxEntry>) {
        while let Some(entry) = inbox.recv().await {
            self.write(entry).await;
        }
        // The call has broken down before it made them.
        for HeldAction { callback, counted, .. } in std::mem::take(&mut self.held) {
            self.deliveries.send_stored(callback, counted);
        }
    }

    async fn write(&mut self, entry: OutboxEntry) {
        let (store, wall_clock) = (&self.deliveries.store, self.deliveries.clocks.wall_clock);
        match entry {
            OutboxEntry::Notify(request, token, counted) => {
                let session = self.session.as_ref().map(|session| session.sid.as_str());
                // Whoever took the session over tells the rest, with numbers that this one would use again.
                if session.is_some_and(|session| self.is_lost(session)) {
                    self.unwritten.fetch_sub(1, Ordering::AcqRel);
                    return;
                }
                let write = || store.queue_progress(&self.call_sid, session, &request, token, wall_clock.now());
                let stored = self.until_written("callback", write).await;
                self.unwritten.fetch_sub(1, Ordering::AcqRel);
                match (stored, session) {
                    (Ok(Some(callback)), _) => self.deliveries.send_stored(callback, counted),
                    // Whoever has to see to earlier ones of this call sees to this one after them.
                    (Ok(None), _) => {}
                    (Err(StoreError::Backend(BackendError::NotFound)), Some(session)) => self.lose(session),
                    // A store that cannot seal will not seal later.
                    (Err(_), _) => count_given_up(&self.call_sid, &request, "it cannot be written down"),
                }
            }
            OutboxEntry::Begun(session) => {
                // The first one of a session says when it began.
                if self.session_of(&session.sid).is_none() {
                    self.session = Some(session);
                }
            }
            OutboxEntry::Intend(intended, done) => {
                let sid = &intended.payment.sid;
                // Another server tells it as cut off: no gateway may be asked any more.
                if self.is_lost(sid) {
                    return done.tell(false);
                }
                let begun = self.session_of(sid).map_or_else(|| wall_clock.now(), |session| session.begun);
                let write = || store.intend(&intended, begun, wall_clock.now());
                self.in_time("payment", &done, write).await;
            }
            OutboxEntry::Sending { payment_sid, note, number, done } => {
                let write = || store.sending(&payment_sid, note.as_ref(), number, Holder::Call, wall_clock.now());
                self.in_time("submission", &done, write).await;
            }
            OutboxEntry::Settle(settled, hold, deciding, counted) => {
                let session = self.session_of(&settled.payment.sid);
                let session = || session.as_ref().map(Arc::clone);
                let write = || store.settle(&settled, session(), hold, Holder::Call, &self.call_sid, wall_clock.now());
                // It can never be written: whoever waits learns that by `deciding` being dropped.
                let Ok((recorded, callbacks)) = self.until_written("outcome", write).await else { return };
                // First: the call that learns of it may end at once, and its end is told after this.
                self.deliveries.outcome_written(&self.call_sid, &settled, recorded);
                deciding.tell(recorded);
                for callback in callbacks {
                    let counted = self.deliveries.counted();
                    if callback.held {
                        let is_told_by_status = settled.status.is_some();
                        self.held.push(HeldAction { callback, counted, is_told_by_status });
                    } else {
                        self.deliveries.send_stored(callback, counted);
                    }
                }
                // Only now: until its callbacks are counted the outcome itself is what is under way.
                drop(counted);
            }
            OutboxEntry::ActionTold(told) => self.action_told(told).await,
        }
    }

    fn is_lost(&self, session_sid: &str) -> bool {
        self.lost.borrow().as_deref() == Some(session_sid)
    }

    /// Another server has taken a session over: it tells how that ended.
    fn lose(&self, session_sid: &str) {
        tracing::error!(
            call_sid = self.call_sid,
            payment = session_sid,
            "another server took over session; this one tells nothing more of it"
        );
        self.lost.send_replace(Some(session_sid.to_owned()));
    }

    fn session_of(&self, payment_sid: &str) -> Option<Arc<NewSession>> {
        self.session.as_ref().filter(|session| session.sid == payment_sid).map(Arc::clone)
    }

    async fn action_told(&mut self, told: ActionTold) {
        let ActionTold { payment_sid, occasion, as_it_is, tried } = told;
        let tokens = [Occasion::First, Occasion::Late]
            .map(|occasion| crate::store::token(&payment_sid, occasion, CallbackKind::Action));
        // None: another server has the request, and sees to it.
        let Some(place) = self.held.iter().position(|held| tokens.contains(&held.callback.token)) else { return };
        let HeldAction { callback, counted, is_told_by_status } = self.held.swap_remove(place);
        let place = self.deliveries.place(callback.id, &self.call_sid);
        match tried {
            // It was told that nobody knows, and by now somebody does.
            Tried::Answered(_) if occasion == Occasion::Unwritten && !as_it_is && !is_told_by_status => {
                self.deliveries.send_stored(callback, counted);
            }
            Tried::Answered(_) => place.delivered().await,
            // What was tried was another request than the one that is held.
            Tried::Again { retry_after, .. } if occasion == Occasion::Unwritten => {
                self.deliveries.send_stored_after(callback, counted, retry_after);
            }
            Tried::Hopeless(_) if occasion == Occasion::Unwritten => {
                self.deliveries.send_stored(callback, counted);
            }
            Tried::Again { reason, retry_after } => {
                let tries = callback.tries.saturating_add(1);
                place.failed(&reason, tries).await;
                let callback = StoredCallback { tries, was_tried: true, ..callback };
                self.deliveries.send_stored_after(callback, counted, retry_after);
            }
            Tried::Hopeless(reason) => {
                count_given_up(&self.call_sid, &callback.request, &reason);
                place.parked(&reason).await;
            }
        }
    }

    /// Writes, however long it takes. An error: it can never be written.
    async fn until_written<T, Writing>(&self, what: &str, write: impl Fn() -> Writing) -> Result<T, StoreError>
    where
        Writing: Future<Output = Result<T, StoreError>>,
    {
        let (mut wait, since) = (WAIT, Instant::now());
        loop {
            match write().await {
                Ok(written) => {
                    self.is_stuck.store(false, Ordering::Release);
                    return Ok(written);
                }
                Err(StoreError::Backend(error @ BackendError::Unavailable(_))) => {
                    // Once stuck it stays so until a write succeeds.
                    self.is_stuck.fetch_or(since.elapsed() >= WRITE_LIMIT, Ordering::AcqRel);
                    tracing::error!(
                        call_sid = self.call_sid,
                        entry = what,
                        %error,
                        "could not persist entry of the call; trying again"
                    );
                }
                Err(error) => {
                    tracing::error!(
                        call_sid = self.call_sid,
                        entry = what,
                        %error,
                        "entry of the call cannot be persisted; dropping it"
                    );
                    return Err(error);
                }
            }
            sleep(wait).await;
            wait = wait.saturating_mul(2).min(WAIT_MAX);
        }
    }

    /// Writes what somebody waits for, while they do, and tells them.
    async fn in_time<Writing>(&self, what: &str, done: &WriteSignal, write: impl Fn() -> Writing)
    where
        Writing: Future<Output = Result<(), StoreError>>,
    {
        let mut wait = WAIT;
        while Instant::now() < done.until {
            // One that is under way when the time is over may still happen: nobody knows, and it is not built upon.
            match timeout_at(done.until, write()).await {
                Ok(Ok(())) => {
                    self.is_stuck.store(false, Ordering::Release);
                    return done.tell(true);
                }
                Ok(Err(error)) => {
                    tracing::error!(
                        call_sid = self.call_sid,
                        entry = what,
                        %error,
                        "could not persist request to the gateway; not sending it yet"
                    );
                    if !matches!(error, StoreError::Backend(BackendError::Unavailable(_))) {
                        return done.tell(false);
                    }
                }
                Err(_) => break,
            }
            sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        self.is_stuck.store(true, Ordering::Release);
        tracing::error!(
            call_sid = self.call_sid,
            entry = what,
            "request to the gateway is not known to be persisted; not sending it"
        );
        done.tell(false);
    }
}
