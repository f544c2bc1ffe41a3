//! Places among the live calls: a stream's, and the call's that it brings.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, watch};

use super::metrics;
use super::registry::{COMMANDS_MAX, CallHandle, Calls, LiveCall};
use super::row::{CallOrigin, row};
use super::services::CallServices;
use super::streams::NotAdmitted;
use crate::feed::{EventKind, Feed};
use crate::flow::PaymentId;
use crate::form::Form;
use crate::media::Start;
use crate::store::Store;

/// A stream's place among the live ones; gives it up when dropped.
#[derive(Debug)]
pub struct StreamPlace {
    calls: Arc<Calls>,
}

/// A call's place in the registry, until its stream is gone: what the call still has to see to then needs none, and its id may
/// come back with another stream.
#[derive(Debug)]
pub(super) struct CallPlace {
    calls: Arc<Calls>,
    store: Store,
    feed: Feed,
    call_sid: String,
    number: u64,
    origin: CallOrigin,
    is_given_up: bool,
}

impl StreamPlace {
    /// Takes a place for a stream, one of `limit` (0: no limit).
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn take(calls: &Arc<Calls>, limit: usize) -> Result<Self, NotAdmitted> {
        calls.streams.admit(limit)?;
        Ok(Self { calls: Arc::clone(calls) })
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.calls.streams.leave();
    }
}

impl CallPlace {
    /// Registers a call and gives what reaches it. None if a call of that id is live.
    pub(super) fn take(
        services: &CallServices,
        start: &Start,
        dialect: &'static str,
        flow: &str,
    ) -> Option<(Self, CallHandle)> {
        let ender = watch::Sender::new(false);
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let handle = CallHandle { ender: ender.subscribe(), commands: inbox };
        let calls = Arc::clone(&services.calls);
        let number = calls.registered.fetch_add(1, Ordering::Relaxed);
        // In one step: of two streams with one CallSid only one gets in.
        match calls.live.entry(start.call_sid.clone()) {
            dashmap::Entry::Occupied(_) => return None,
            dashmap::Entry::Vacant(place) => {
                place.insert(LiveCall { number, ender, commands });
            }
        }
        calls.history().begin(calls.wall_clock.now(), start);
        metrics::call_began(calls.live());
        let account = start.account_sid.as_ref().unwrap_or(&services.settings.account_sid).clone();
        let origin = CallOrigin { account, dialect, flow: flow.to_owned() };
        let (store, call_sid) = (services.payments.store.clone(), start.call_sid.clone());
        let feed = services.feed.clone();
        let place = Self { calls, store, feed, call_sid, number, origin, is_given_up: false };
        place.note(None);
        place.feed.publish(|| EventKind::CallBegan {
            call_sid: place.call_sid.clone(),
            dialect,
            flow: flow.to_owned(),
        });
        Some((place, handle))
    }

    /// Has the call written down as it stands.
    fn note(&self, how: Option<&str>) {
        if let Some(record) = self.calls.history().find(&self.call_sid).cloned() {
            self.store.note_call(row(record, &self.origin, how));
        }
    }

    /// A payment went on.
    pub(super) fn reported(&self, payment: &PaymentId, told: &Form) {
        self.calls.reported(&self.call_sid, payment, told);
    }

    /// The caller is gone: for whoever asks, the call has ended, whatever it still has to see to, and its id is free. `how` in a
    /// word; the first one counts.
    pub(super) fn give_up(&mut self, how: &str) {
        if std::mem::replace(&mut self.is_given_up, true) {
            return;
        }
        let calls = &self.calls;
        if calls.history().end(calls.wall_clock.now(), &self.call_sid) {
            self.note(Some(how));
            let call_sid = &self.call_sid;
            self.feed.publish(|| EventKind::CallEnded { call_sid: call_sid.clone(), how: how.to_owned() });
        }
        // Last: until here whoever comes with the same id is refused, and does not find its record ended.
        calls.live.remove_if(&self.call_sid, |_, live| live.number == self.number);
        metrics::calls_live(calls.live());
    }
}

impl Drop for CallPlace {
    fn drop(&mut self) {
        self.give_up("broken");
    }
}
