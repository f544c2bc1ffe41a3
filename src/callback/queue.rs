//! All callbacks on their way.
//!
//! Shape:   [`Deliveries`] carries out what the schedule ([`super::schedule`]) says: one task asks it what is next, another
//!          one a try makes the request. What waits is known by its id alone; its request is read from the store when its turn
//!          comes, and only if this server still has to see to it.
//! Limits:  those of [`RetryPolicy`].
//! Errors:  none to the call: it never waits for a callback and never learns of one.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use url::Url;
use uuid::Uuid;

use super::delivery::{CallbackTransport, RetryPolicy, StoredPlace, Tried, count_given_up};
use super::schedule::{After, CallOrder, Schedule, ScheduleStep, Scheduled, TryEnd};
use super::{Application, CallbackKind, CallbackQueue, CallbackRequest, Clocks};
use crate::blocking::{TaskKind, watched};
use crate::feed::{EventKind, Feed};
use crate::flow::Settled;
use crate::form::Form;
use crate::http::{Jar, shown};
use crate::store::{BackendError, Epoch, PendingCallback, Recorded, Store, StoreError, StoredCallback};
use crate::twiml::Method;

#[cfg(test)]
mod tests;

/// How long to wait before a request is read again that could not be.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Callbacks were still under way when the time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} callbacks were not delivered in time")]
pub struct Undelivered(pub usize);

/// All callbacks under way. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Deliveries {
    transport: Arc<dyn CallbackTransport>,
    pub(super) store: Store,
    pub(super) policy: RetryPolicy,
    pub(super) clocks: Clocks,
    feed: Feed,
    began: Instant,
    state: Arc<Mutex<QueueState>>,
    changed: Arc<Notify>,
    under_way: Arc<watch::Sender<usize>>,
    /// How many tasks read, send or write down how that went.
    at_work: Arc<watch::Sender<usize>>,
    is_stopped: Arc<watch::Sender<bool>>,
}

struct QueueState {
    schedule: Schedule,
    /// Error notices have places of their own: what is stored holds its places while nobody hears of this server.
    notices: Schedule,
    /// By id; exactly those of the schedules.
    waiting: BTreeMap<i64, WaitingCallback>,
    /// Those that came since the schedules were last asked.
    fresh: Vec<i64>,
    /// Whether there is a task that asks them.
    is_driven: bool,
    /// Those of what waits.
    hosts: BTreeSet<Arc<str>>,
    notice_count: usize,
    /// Stored callbacks have positive ids, notices negative ones.
    last_notice: i64,
}

/// A callback of the schedule.
struct WaitingCallback {
    _counted: Counted,
    host: Arc<str>,
    /// None: it is in the store.
    request: Option<Box<QueuedRequest>>,
}

/// A request, whole.
struct QueuedRequest {
    content: CallbackRequest,
    token: Uuid,
    /// When it was certain that it is this server's to make.
    epoch: Epoch,
}

impl Deliveries {
    /// Delivers to `application` what `store` keeps.
    #[must_use]
    pub fn new(application: Arc<Application>, store: Store, policy: RetryPolicy, clocks: Clocks) -> Self {
        Self::by(application, store, policy, clocks)
    }

    pub(super) fn by(transport: Arc<dyn CallbackTransport>, store: Store, policy: RetryPolicy, clocks: Clocks) -> Self {
        let state = QueueState {
            schedule: Schedule::new(policy),
            notices: Schedule::new(policy),
            waiting: BTreeMap::new(),
            fresh: Vec::new(),
            is_driven: false,
            hosts: BTreeSet::new(),
            notice_count: 0,
            last_notice: 0,
        };
        Self {
            transport,
            store,
            policy,
            clocks,
            feed: Feed::default(),
            began: Instant::now(),
            state: Arc::new(Mutex::new(state)),
            changed: Arc::default(),
            under_way: Arc::new(watch::Sender::new(0)),
            at_work: Arc::new(watch::Sender::new(0)),
            is_stopped: Arc::default(),
        }
    }

    /// The same, and whoever watches `feed` is told of what becomes of payments and callbacks.
    #[must_use]
    pub fn telling(self, feed: Feed) -> Self {
        Self { feed, ..self }
    }

    /// The pen of a call. What it wrote before it is dropped is still written down and delivered. Needs a tokio runtime.
    #[must_use]
    pub fn queue(&self, call_sid: &str) -> CallbackQueue {
        CallbackQueue::begin(self.clone(), call_sid)
    }

    /// Delivers what was claimed, each in the order of its call; an action request waits for nobody. What is under way
    /// already goes on as it is. Needs a tokio runtime.
    pub fn adopt(&self, callbacks: impl IntoIterator<Item = PendingCallback>) {
        let mut state = self.state();
        for PendingCallback { id, call_sid, kind, url, tries, was_tried, since } in callbacks {
            let (host, time_left) = (state.host(&url), self.time_left_since(since));
            let due = Duration::ZERO;
            let new = NewInSchedule { id, call: &call_sid, kind, host, tries, was_tried, time_left, due };
            self.push(&mut state, new, None, self.counted());
        }
        self.wake(&mut state);
    }

    /// The same for callbacks that were stored just now.
    pub fn deliver(&self, callbacks: impl IntoIterator<Item = StoredCallback>) {
        for callback in callbacks {
            self.send_stored(callback, self.counted());
        }
    }

    pub(super) fn send_stored(&self, callback: StoredCallback, counted: Counted) {
        self.send_stored_after(callback, counted, None);
    }

    /// The same, not before a wait is over.
    pub(super) fn send_stored_after(&self, callback: StoredCallback, counted: Counted, wait: Option<Duration>) {
        let StoredCallback { id, token, call_sid, held, tries, was_tried, since, epoch, request: content } = callback;
        let mut state = self.state();
        let (host, time_left) = (state.host(&content.url), self.time_left_since(since));
        let due = wait.map_or(Duration::ZERO, |wait| self.began.elapsed().saturating_add(wait));
        let new = NewInSchedule { id, call: &call_sid, kind: content.kind, host, tries, was_tried, time_left, due };
        // While its call made the request itself, somebody else may have taken it over: it is read anew.
        let request = (!held).then(|| QueuedRequest { content, token, epoch });
        self.push(&mut state, new, request, counted);
        self.wake(&mut state);
    }

    /// Tells `error_url` of a fault that no document names a target for, in no order with anything else. Needs a tokio
    /// runtime. The message is for people and must hold nothing secret.
    pub fn notice(&self, error_url: &str, call_sid: &str, error_code: u32, error_message: &str) {
        let mut form = Form::new();
        form.set("CallSid", call_sid);
        form.set("ErrorCode", error_code.to_string());
        form.set("ErrorMessage", error_message);
        let url = error_url.to_owned();
        let cookies = Jar::default();
        let content = CallbackRequest { kind: CallbackKind::ErrorNotice, method: Method::Post, url, form, cookies };
        let mut state = self.state();
        if state.notice_count >= self.policy.notices_max {
            drop(state);
            count_given_up(call_sid, &content, "too many error notices are under way");
            return;
        }
        state.notice_count = state.notice_count.saturating_add(1);
        // Below zero, where the store has no ids.
        state.last_notice = state.last_notice.saturating_sub(1);
        let (id, host, time_left) = (state.last_notice, state.host(error_url), self.policy.notice_for);
        let (tries, was_tried, due) = (0, false, Duration::ZERO);
        let new = NewInSchedule { id, call: call_sid, kind: content.kind, host, tries, was_tried, time_left, due };
        let request = QueuedRequest { content, token: self.clocks.rng.uuid(), epoch: self.store.epoch() };
        self.push(&mut state, new, Some(request), self.counted());
        self.wake(&mut state);
    }

    /// How many callbacks are waiting, being tried or waiting to be tried again.
    #[must_use]
    pub fn under_way(&self) -> usize {
        *self.under_way.borrow()
    }

    /// Waits until no callback is under way, at most `within`.
    ///
    /// # Errors
    /// [`Undelivered`], when some still are.
    pub async fn drained(&self, within: Duration) -> Result<(), Undelivered> {
        let mut under_way = self.under_way.subscribe();
        let left = timeout(within, under_way.wait_for(|count| *count == 0)).await.is_err();
        if left { Err(Undelivered(self.under_way())) } else { Ok(()) }
    }

    /// Begins nothing any more and gives up what is being sent: others see to it from now on. Returns when how the last tries
    /// ended is written down.
    pub async fn stop(&self) {
        self.is_stopped.send_replace(true);
        self.changed.notify_one();
        let mut at_work = self.at_work.subscribe();
        // Whoever waits holds its sender.
        let _ = at_work.wait_for(|count| *count == 0).await;
    }

    async fn stopped(&self) {
        // Whoever waits holds its sender.
        let _ = self.is_stopped.subscribe().wait_for(|is_stopped| *is_stopped).await;
    }

    /// Counts one more callback, until it is dropped.
    pub(super) fn counted(&self) -> Counted {
        Counted::new(&self.under_way)
    }

    /// Where a stored callback stands.
    pub(super) fn place(&self, id: i64, call_sid: &str) -> StoredPlace {
        let (store, wall_clock, feed) = (self.store.clone(), self.clocks.wall_clock, self.feed.clone());
        StoredPlace { store, wall_clock, feed, call_sid: call_sid.to_owned(), id }
    }

    /// How a payment ended is written down: whoever watches is told.
    pub(crate) fn outcome_written(&self, call_sid: &str, settled: &Settled, recorded: Recorded) {
        // What the store leaves to another server is that one's to tell.
        if recorded == Recorded::Otherwise {
            return;
        }
        self.feed.publish(|| EventKind::PaymentSettled {
            call_sid: call_sid.to_owned(),
            payment: settled.payment.sid.clone(),
            standing: settled.outcome.standing.word(),
            result: settled.outcome.result.word(),
            code: settled.outcome.code.map(|code| code.number()),
        });
    }

    /// How long one is still tried that was stored then.
    fn time_left_since(&self, since: Timestamp) -> Duration {
        let age = self.clocks.wall_clock.now().duration_since(since).unsigned_abs();
        self.policy.give_up_after.saturating_sub(age)
    }

    fn push(&self, state: &mut QueueState, new: NewInSchedule<'_>, request: Option<QueuedRequest>, counted: Counted) {
        let NewInSchedule { id, call, kind, host, tries, was_tried, time_left, due } = new;
        let order = if kind == CallbackKind::Status { CallOrder::InCall } else { CallOrder::Alone };
        let (call, to) = (Arc::from(call), Arc::clone(&host));
        if state.schedule(id).push(Scheduled { id, call, host: to, order, tries, was_tried, time_left, due }) {
            state.fresh.push(id);
            state.waiting.insert(id, WaitingCallback { _counted: counted, host, request: request.map(Box::new) });
        }
    }

    /// Has the schedule asked what is next.
    fn wake(&self, state: &mut QueueState) {
        if state.is_driven {
            self.changed.notify_one();
        } else if !state.is_empty() {
            state.is_driven = true;
            tokio::spawn(watched(TaskKind::Callbacks, self.clone().drive()));
        }
    }

    /// Asks what is next, for as long as there is anything.
    async fn drive(self) {
        loop {
            let deadline = {
                let mut state = self.state();
                // Once it is stopped, nobody asks again.
                if *self.is_stopped.borrow() {
                    return;
                }
                self.send_what_is_next(&mut state);
                if state.is_empty() {
                    state.is_driven = false;
                    return;
                }
                state.deadline()
            };
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = until(deadline.map(|deadline| self.began + deadline)) => {}
            }
        }
    }

    fn send_what_is_next(&self, state: &mut QueueState) {
        let now = self.began.elapsed();
        while let Some(next) = state.next(now) {
            match next {
                ScheduleStep::Send(id) => {
                    let request = state.waiting.get_mut(&id).and_then(|waiting| waiting.request.take());
                    // Where nobody heard of this server lately, others may have taken a stored one over: it is read anew.
                    let request = request.filter(|request| id < 0 || self.store.holds_since(request.epoch));
                    if request.is_some() {
                        state.schedule(id).sent(id, now);
                    }
                    let (this, at_work) = (self.clone(), Counted::new(&self.at_work));
                    // A task of its own: it goes on when it steps aside.
                    tokio::spawn(watched(TaskKind::Callbacks, async move {
                        this.send(id, request).await;
                        drop(at_work);
                    }));
                }
                ScheduleStep::SteppedAside(id) => {
                    let Some((call_sid, host)) = state.schedule(id).target(id) else { continue };
                    tracing::warn!(
                        call_sid = &*call_sid,
                        host = &*host,
                        callback = id,
                        "callback keeps failing; trying it on its own while the next ones go on"
                    );
                }
            }
        }
        // What has to wait is read when its turn comes. A notice is nowhere else.
        for id in std::mem::take(&mut state.fresh).into_iter().filter(|id| *id > 0) {
            if let Some(waiting) = state.waiting.get_mut(&id) {
                waiting.request = None;
            }
        }
    }

    /// Makes one try.
    async fn send(self, id: i64, request: Option<Box<QueuedRequest>>) {
        let request = match request {
            Some(request) => request,
            None => {
                let read = tokio::select! {
                    biased;
                    () = self.stopped() => return,
                    read = self.read(id) => read,
                };
                let Some(request) = read else { return };
                request
            }
        };
        let QueuedRequest { content, token, .. } = &*request;
        let again = |reason: &str| Tried::Again { reason: reason.to_owned(), retry_after: None };
        // A delivery that panics is tried again: else its place in the schedule would be held for ever.
        let trying = AssertUnwindSafe(async { self.transport.deliver(content, *token).await }).catch_unwind();
        let tried = tokio::select! {
            biased;
            // First: an answer that is there counts, whatever else has come.
            tried = trying => tried.unwrap_or_else(|_| again("the delivery broke down")),
            // An error notice is in memory only, and nobody else's.
            () = self.store.lapsed(), if id >= 0 => again("another server may be about to deliver it"),
            () = self.stopped() => return,
        };
        self.tried(id, request, tried).await;
    }

    /// The request, if it is to be sent from here.
    async fn read(&self, id: i64) -> Option<Box<QueuedRequest>> {
        // First the lease, then the row: what is this server's after that is so in this epoch.
        let epoch = self.store.heard().await;
        match self.store.open_callback(id).await {
            Ok(Some(callback)) => {
                self.change(|state, now| state.schedule(id).sent(id, now));
                Some(Box::new(QueuedRequest { content: callback.request, token: callback.token, epoch }))
            }
            Ok(None) => {
                tracing::info!(callback = id, "callback was delivered, parked or taken over elsewhere; not sending it");
                self.change(|state, _| state.forget(id));
                None
            }
            Err(StoreError::Backend(BackendError::Unavailable(reason))) => {
                tracing::warn!(callback = id, error = reason, "could not read stored callback; trying again");
                self.change(|state, now| state.schedule(id).put_back(id, now, READ_AGAIN));
                None
            }
            // One that nobody can read must not keep the others waiting.
            Err(error) => {
                tracing::error!(callback = id, %error, "stored callback is unreadable; parking it");
                let target = self.state().schedule(id).target(id);
                let call_sid = target.map(|(call_sid, _)| call_sid).unwrap_or_default();
                self.change(|state, now| state.schedule(id).tried(id, now, TryEnd::Hopeless));
                self.place(id, &call_sid).parked("it cannot be read").await;
                self.change(|state, _| state.recorded(id));
                None
            }
        }
    }

    /// Goes by how a try ended, and writes that down.
    async fn tried(&self, id: i64, request: Box<QueuedRequest>, tried: Tried) {
        let is_stored = id > 0;
        let ended = match &tried {
            Tried::Answered(_) => TryEnd::Answered,
            Tried::Again { retry_after, .. } => TryEnd::Failed { not_before: retry_after.unwrap_or_default() },
            Tried::Hopeless(_) => TryEnd::Hopeless,
        };
        let target = self.state().schedule(id).target(id);
        let call_sid = target.map(|(call_sid, _)| call_sid).unwrap_or_default();
        let (after, number) =
            self.change(|state, now| (state.schedule(id).tried(id, now, ended), state.schedule(id).tries(id)));
        let content = &request.content;
        match (tried, after) {
            (_, None) => {}
            (Tried::Answered(_), Some(_)) => {
                if is_stored {
                    self.place(id, &call_sid).delivered().await;
                }
            }
            (Tried::Again { reason, .. }, Some(After::Again(wait))) => {
                tracing::warn!(
                    call_sid = &*call_sid,
                    callback = id,
                    callback_kind = content.kind.word(),
                    url = shown(&content.url),
                    reason,
                    retry_seconds = wait.as_secs_f64(),
                    "could not deliver callback; trying again"
                );
                if is_stored {
                    self.place(id, &call_sid).failed(&reason, number).await;
                } else if let Some(waiting) = self.state().waiting.get_mut(&id) {
                    // A notice is nowhere else.
                    waiting.request = Some(request);
                }
            }
            (Tried::Again { reason, .. } | Tried::Hopeless(reason), Some(_)) => {
                count_given_up(&call_sid, content, &reason);
                if is_stored {
                    self.place(id, &call_sid).parked(&reason).await;
                }
            }
        }
        // Only now: the next one of its call leaves once it is written down how this one went.
        self.change(|state, _| state.recorded(id));
    }

    fn change<T>(&self, change: impl FnOnce(&mut QueueState, Duration) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state, self.began.elapsed());
        self.wake(&mut state);
        changed
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A callback that comes into the schedule.
struct NewInSchedule<'a> {
    id: i64,
    call: &'a str,
    kind: CallbackKind,
    host: Arc<str>,
    tries: u32,
    was_tried: bool,
    time_left: Duration,
    due: Duration,
}

impl QueueState {
    /// Where a URL leads: scheme, host and port.
    fn host(&mut self, url: &str) -> Arc<str> {
        let host = Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization());
        if let Some(host) = self.hosts.get(host.as_str()) {
            return Arc::clone(host);
        }
        let host: Arc<str> = Arc::from(host);
        self.hosts.insert(Arc::clone(&host));
        host
    }

    /// Where a callback or a notice has its place.
    fn schedule(&mut self, id: i64) -> &mut Schedule {
        if id < 0 { &mut self.notices } else { &mut self.schedule }
    }

    fn is_empty(&self) -> bool {
        self.schedule.is_empty() && self.notices.is_empty()
    }

    fn next(&mut self, now: Duration) -> Option<ScheduleStep> {
        self.schedule.next(now).or_else(|| self.notices.next(now))
    }

    fn deadline(&self) -> Option<Duration> {
        self.schedule.deadline().into_iter().chain(self.notices.deadline()).min()
    }

    fn recorded(&mut self, id: i64) {
        self.schedule(id).recorded(id);
        self.let_go(id);
    }

    fn forget(&mut self, id: i64) {
        self.schedule(id).forget(id);
        self.let_go(id);
    }

    fn let_go(&mut self, id: i64) {
        if self.schedule(id).contains(id) {
            return;
        }
        let Some(WaitingCallback { host, .. }) = self.waiting.remove(&id) else { return };
        // The two that are here: nothing that waits leads there any more.
        if Arc::strong_count(&host) == 2 {
            self.hosts.remove(&host);
        }
        if id < 0 {
            self.notice_count = self.notice_count.saturating_sub(1);
        }
    }
}

/// Waits until a moment; for ever if there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliveries").field("policy", &self.policy).field("under_way", &self.under_way()).finish()
    }
}

/// Something that counts as under way as long as it exists.
#[derive(Debug)]
pub(super) struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count = count.saturating_add(1));
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
