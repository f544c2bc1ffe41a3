//! The callbacks of each call in their order.
//!
//! Shape:   [`CallbackQueue`] is a call's pen: what it has written down goes to its scribe ([`super::scribe`]) and from
//!          the store into the call's line; a task a line takes them from the front, each after the one before was
//!          answered, given up, or has stepped aside after 60 s of failing.
//! Limits:  those of [`Patience`].
//! Errors:  none to the call: it never waits for a callback and never learns of one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::delivery::{Callback, Courier, Patience, Place, deliver};
use super::{Application, CallbackKind, CallbackQueue, CallbackRequest, Clocks};
use crate::form::Form;
use crate::http::shown;
use crate::store::{Store, StoredCallback};
use crate::twiml::Method;

#[cfg(test)]
mod tests;

/// Callbacks were still under way when the time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} callbacks were not delivered in time")]
pub struct Undelivered(pub usize);

/// All callbacks under way. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Deliveries {
    courier: Arc<dyn Courier>,
    pub(super) store: Store,
    pub(super) patience: Patience,
    pub(super) clocks: Clocks,
    notices: Arc<Semaphore>,
    lines: Arc<Mutex<BTreeMap<String, VecDeque<Item>>>>,
    under_way: Arc<watch::Sender<usize>>,
    adopted: Arc<Mutex<BTreeSet<i64>>>,
}

impl Deliveries {
    /// Delivers to `application` what `store` keeps.
    #[must_use]
    pub fn new(application: Arc<Application>, store: Store, patience: Patience, clocks: Clocks) -> Self {
        Self::by(application, store, patience, clocks)
    }

    pub(super) fn by(courier: Arc<dyn Courier>, store: Store, patience: Patience, clocks: Clocks) -> Self {
        Self {
            courier,
            store,
            patience,
            clocks,
            notices: Arc::new(Semaphore::new(patience.notices_max)),
            lines: Arc::default(),
            under_way: Arc::new(watch::Sender::new(0)),
            adopted: Arc::default(),
        }
    }

    /// The pen of a call. What it wrote before it is dropped is still written down and delivered. Needs a tokio runtime.
    #[must_use]
    pub fn queue(&self, call_sid: &str) -> CallbackQueue {
        CallbackQueue::begin(self.clone(), call_sid)
    }

    /// Delivers stored callbacks, each in the line of its call; an action request waits for nobody. Needs a tokio runtime.
    pub fn adopt(&self, callbacks: impl IntoIterator<Item = StoredCallback>) {
        for callback in callbacks {
            // One that is being delivered is claimed again when a claim's answer was lost.
            let Some(adopted) = Adopted::take(&self.adopted, callback.id) else { continue };
            let is_action = callback.request.kind == CallbackKind::Action;
            let mut item = self.stored(callback, self.counted());
            item._adopted = Some(adopted);
            if is_action {
                self.alone(item);
            } else {
                self.line_up(item);
            }
        }
    }

    /// Tells `error_url` of a fault that no document names a target for, in no order with anything else. Needs a tokio
    /// runtime. The message is for people and must hold nothing secret.
    pub fn notice(&self, error_url: &str, call_sid: &str, error_code: u32, error_message: &str) {
        let mut form = Form::new();
        form.set("CallSid", call_sid);
        form.set("ErrorCode", error_code.to_string());
        form.set("ErrorMessage", error_message);
        let url = error_url.to_owned();
        let callback = Callback {
            request: CallbackRequest { kind: CallbackKind::ErrorNotice, method: Method::Post, url, form },
            token: self.clocks.chance.uuid(),
            call_sid: call_sid.to_owned(),
            place: None,
            patience: self.patience.notice_for,
        };
        let Ok(permit) = Arc::clone(&self.notices).try_acquire_owned() else {
            callback.count_given_up("too many error notices are under way");
            return;
        };
        let (deliveries, item) = (self.clone(), Item { callback, _counted: self.counted(), _adopted: None });
        tokio::spawn(async move {
            deliveries.deliver(item).await;
            drop(permit);
        });
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

    /// Counts one more callback, until it is dropped.
    pub(super) fn counted(&self) -> Counted {
        self.under_way.send_modify(|count| *count = count.saturating_add(1));
        Counted(Arc::clone(&self.under_way))
    }

    pub(super) fn stored(&self, callback: StoredCallback, counted: Counted) -> Item {
        let StoredCallback { id, token, call_sid, tries, since, request, .. } = callback;
        let age = self.clocks.wall.now().duration_since(since).unsigned_abs();
        let callback = Callback {
            request,
            token,
            call_sid,
            place: Some(Place { store: self.store.clone(), wall: self.clocks.wall, id, tries }),
            patience: self.patience.give_up_after.saturating_sub(age),
        };
        Item { callback, _counted: counted, _adopted: None }
    }

    /// Puts a callback at the end of its call's line.
    pub(super) fn line_up(&self, item: Item) {
        let call_sid = item.callback.call_sid.clone();
        let mut lines = self.lines();
        match lines.get_mut(&call_sid) {
            Some(line) => line.push_back(item),
            None => {
                lines.insert(call_sid.clone(), VecDeque::from([item]));
                tokio::spawn(self.clone().work(call_sid));
            }
        }
    }

    /// Delivers a callback in no line.
    pub(super) fn alone(&self, item: Item) {
        tokio::spawn(self.clone().deliver(item));
    }

    async fn deliver(self, mut item: Item) {
        deliver(&*self.courier, &mut item.callback, self.patience).await;
    }

    /// Delivers what comes into a line until it is empty.
    async fn work(self, call_sid: String) {
        while let Some(item) = self.next(&call_sid) {
            let url = shown(&item.callback.request.url);
            // A task of its own: it goes on when it steps aside, and a panic in it takes nobody along.
            let mut delivery = tokio::spawn(self.clone().deliver(item));
            if timeout(self.patience.aside_after, &mut delivery).await.is_err() {
                tracing::warn!(call_sid, url, "callback keeps failing: it is tried on its own, the next ones go on");
            }
        }
    }

    /// The next one of a line; a line without one is no more.
    fn next(&self, call_sid: &str) -> Option<Item> {
        let mut lines = self.lines();
        let next = lines.get_mut(call_sid)?.pop_front();
        if next.is_none() {
            lines.remove(call_sid);
        }
        next
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<Item>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliveries").field("patience", &self.patience).field("under_way", &self.under_way()).finish()
    }
}

/// A callback that counts as under way as long as it exists.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) callback: Callback,
    _counted: Counted,
    _adopted: Option<Adopted>,
}

/// A stored callback, by its id, that was adopted and is not done with.
#[derive(Debug)]
struct Adopted {
    all: Arc<Mutex<BTreeSet<i64>>>,
    id: i64,
}

impl Adopted {
    /// None: it is adopted already.
    fn take(all: &Arc<Mutex<BTreeSet<i64>>>, id: i64) -> Option<Self> {
        let is_new = all.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        is_new.then(|| Self { all: Arc::clone(all), id })
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// Something that counts as under way as long as it exists.
#[derive(Debug)]
pub(super) struct Counted(Arc<watch::Sender<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
