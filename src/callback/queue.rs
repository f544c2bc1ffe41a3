//! The callbacks of each call in their order.
//!
//! Shape:   [`CallbackQueue::send`] puts a callback at the end and returns; a task a call takes them from the front, each
//!          after the one before was answered, given up, or has stepped aside after 60 s of failing.
//! Limits:  those of [`Patience`]; a full queue gives its oldest callback up.
//! Errors:  none to the call: it never waits for a callback and never learns of one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

use super::delivery::{Callback, Courier, Patience, deliver};
use super::{Application, CallbackKind, CallbackRequest};
use crate::chance::Chance;
use crate::form::Form;
use crate::http::shown;
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
    patience: Patience,
    chance: Chance,
    notices: Arc<Semaphore>,
    under_way: Arc<watch::Sender<usize>>,
}

impl Deliveries {
    /// Delivers to `application`; idempotency tokens come from `chance`.
    #[must_use]
    pub fn new(application: Arc<Application>, patience: Patience, chance: Chance) -> Self {
        Self::by(application, patience, chance)
    }

    fn by(courier: Arc<dyn Courier>, patience: Patience, chance: Chance) -> Self {
        Self {
            courier,
            patience,
            chance,
            notices: Arc::new(Semaphore::new(patience.notices_max)),
            under_way: Arc::new(watch::Sender::new(0)),
        }
    }

    /// The queue of a call. What is in it when it is dropped is still delivered. Needs a tokio runtime.
    #[must_use]
    pub fn queue(&self, call_sid: &str) -> CallbackQueue {
        let line = Arc::new(Line::default());
        tokio::spawn(self.clone().work(Arc::clone(&line)));
        CallbackQueue { call_sid: call_sid.to_owned(), deliveries: self.clone(), line }
    }

    /// Tells `error_url` of a fault that no document names a target for, in no order with anything else. Needs a tokio
    /// runtime. The message is for people and must hold nothing secret.
    pub fn notice(&self, error_url: &str, call_sid: &str, error_code: u32, error_message: &str) {
        let mut form = Form::new();
        form.set("CallSid", call_sid);
        form.set("ErrorCode", error_code.to_string());
        form.set("ErrorMessage", error_message);
        let item = self.item(
            call_sid,
            CallbackRequest { kind: CallbackKind::ErrorNotice, method: Method::Post, url: error_url.to_owned(), form },
        );
        let Ok(permit) = Arc::clone(&self.notices).try_acquire_owned() else {
            item.callback.give_up("too many error notices are under way");
            return;
        };
        let deliveries = self.clone();
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

    fn item(&self, call_sid: &str, request: CallbackRequest) -> Item {
        let callback = Callback { request, token: self.chance.uuid(), call_sid: call_sid.to_owned() };
        self.under_way.send_modify(|count| *count = count.saturating_add(1));
        Item { callback, _counted: Counted(Arc::clone(&self.under_way)) }
    }

    async fn deliver(self, item: Item) {
        deliver(&*self.courier, &item.callback, self.patience).await;
    }

    /// Delivers what comes into a line until its call is over and it is empty.
    async fn work(self, line: Arc<Line>) {
        while let Some(item) = line.next().await {
            let (call_sid, url) = (item.callback.call_sid.clone(), shown(&item.callback.request.url));
            // A task of its own: it goes on when it steps aside, and a panic in it takes nobody along.
            let mut delivery = tokio::spawn(self.clone().deliver(item));
            if timeout(self.patience.aside_after, &mut delivery).await.is_err() {
                tracing::warn!(call_sid, url, "callback keeps failing: it is tried on its own, the next ones go on");
            }
        }
    }
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliveries").field("patience", &self.patience).field("under_way", &self.under_way()).finish()
    }
}

/// The callbacks of one call. Dropped when the call is over.
#[derive(Debug)]
pub struct CallbackQueue {
    call_sid: String,
    deliveries: Deliveries,
    line: Arc<Line>,
}

impl CallbackQueue {
    /// Puts a callback at the end of the line and returns at once.
    pub fn send(&self, request: CallbackRequest) {
        let item = self.deliveries.item(&self.call_sid, request);
        if let Some(oldest) = self.line.push(item, self.deliveries.patience.queue_max) {
            oldest.callback.give_up("too many callbacks of this call are waiting");
        }
    }
}

impl Drop for CallbackQueue {
    fn drop(&mut self) {
        self.line.close();
    }
}

/// A callback that counts as under way as long as it exists.
#[derive(Debug)]
struct Item {
    callback: Callback,
    _counted: Counted,
}

#[derive(Debug)]
struct Counted(Arc<watch::Sender<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// What waits for its turn.
#[derive(Debug, Default)]
struct Line {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    closed: bool,
}

impl Line {
    /// Adds an item; gives the oldest one back if there are more than `max` then.
    fn push(&self, item: Item, max: usize) -> Option<Item> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.items.push_back(item);
        let oldest = if waiting.items.len() > max { waiting.items.pop_front() } else { None };
        drop(waiting);
        self.changed.notify_one();
        oldest
    }

    fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_one();
    }

    /// The next item; `None` when there will be none.
    async fn next(&self) -> Option<Item> {
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(item) = waiting.items.pop_front() {
                    return Some(item);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}
