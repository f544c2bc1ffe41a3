//! What happens to calls, payments and callbacks, as it happens, for whoever wants to watch.
//!
//! Shape:   [`Feed::publish`] tells all watchers and waits for none; a [`Watcher`] takes events at its own pace. Nothing in the
//!          server watches yet: the console and other servers are to (spec/cluster.md, spec/console.md).
//! Units:   wall-clock time, RFC 3339 in JSON.
//! Limits:  [`EVENTS_KEPT`] events wait for a slow watcher; it loses the oldest and is told how many. The feed is for
//!          watching: what must not be lost is in the store.
//! Errors:  none.
//! Secrets: ids, codes and words of fixed lists; a number as its mask. No form, no address, no reason in words.

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::clock::WallClock;

/// How many events wait for the slowest watcher. Our choice: a second of a busy server's, some 200 KiB.
pub const EVENTS_KEPT: usize = 1024;

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When it was published.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// A call's stream began.
    CallBegan {
        /// The call.
        call_sid: String,
        /// The platform's protocol.
        dialect: &'static str,
        /// The flow that answers it; `(url)` for a document that the stream named.
        flow: String,
    },
    /// The caller is gone, or was let go.
    CallEnded {
        /// The call.
        call_sid: String,
        /// How, in a word.
        how: String,
    },
    /// A Pay session went on.
    PayProgress {
        /// The call.
        call_sid: String,
        /// `PK` and 32 hex digits.
        payment: String,
        /// The step, in Twilio's word.
        step: &'static str,
        /// The attempt at it, from 1.
        attempt: u8,
        /// What happened there: `begun`, `keyed`, `captured`, `failed`, `refused`.
        what: &'static str,
        /// Why, where it failed or was refused: the word of the status callback's `ErrorType`.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'static str>,
        /// The card's or account's number as its mask, once it is captured.
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<String>,
    },
    /// How a payment ended is written down. One that was unknown first has a second one when it is found out.
    PaymentSettled {
        /// The call.
        call_sid: String,
        /// `PK` and 32 hex digits.
        payment: String,
        /// Whether money moved, in a word.
        standing: &'static str,
        /// How it ended, in Twilio's word.
        result: &'static str,
        /// Twilio's code for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
    },
    /// The application has answered a callback.
    CallbackDelivered {
        /// The call.
        call_sid: String,
        /// Its place in the order in which callbacks were stored.
        callback: i64,
    },
    /// The application has not answered a callback.
    CallbackFailed {
        /// The call.
        call_sid: String,
        /// Its place in the order in which callbacks were stored.
        callback: i64,
        /// Whether it is given up until a person wants it tried again.
        is_parked: bool,
    },
}

/// Where events go. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Feed {
    events: broadcast::Sender<Event>,
    wall_clock: WallClock,
}

/// One who watches.
#[derive(Debug)]
pub struct Watcher(broadcast::Receiver<Event>);

/// What a watcher sees next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedItem {
    /// An event.
    Event(Event),
    /// So many events are lost: they were overwritten before the watcher came to them.
    Missed(u64),
}

impl Default for Feed {
    fn default() -> Self {
        Self::new(WallClock::System)
    }
}

impl Feed {
    /// One that nobody watches yet; when something happens is read off `wall_clock`.
    #[must_use]
    pub fn new(wall_clock: WallClock) -> Self {
        Self { events: broadcast::Sender::new(EVENTS_KEPT), wall_clock }
    }

    /// Tells everybody who watches, and waits for nobody. Where nobody does, the event is not even made.
    pub fn publish<E: Into<Option<EventKind>>>(&self, what: impl FnOnce() -> E) {
        if self.events.receiver_count() > 0
            && let Some(what) = what().into()
        {
            // It fails if the last watcher has left just now.
            let _ = self.events.send(Event { at: self.wall_clock.now(), what });
        }
    }

    /// Watches from now on.
    #[must_use]
    pub fn watch(&self) -> Watcher {
        Watcher(self.events.subscribe())
    }
}

impl Watcher {
    /// Waits for what is next. None: nothing will come any more.
    pub async fn next(&mut self) -> Option<FeedItem> {
        match self.0.recv().await {
            Ok(event) => Some(FeedItem::Event(event)),
            Err(RecvError::Lagged(count)) => Some(FeedItem::Missed(count)),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;

    fn ended(number: usize) -> EventKind {
        EventKind::CallEnded { call_sid: format!("CA{number}"), how: "hangup".to_owned() }
    }

    fn next(watcher: &mut Watcher) -> Option<Option<EventKind>> {
        watcher.next().now_or_never().map(|seen| match seen {
            Some(FeedItem::Event(event)) => Some(event.what),
            Some(FeedItem::Missed(_)) => panic!("nothing is missed here"),
            None => None,
        })
    }

    #[test]
    fn every_watcher_sees_what_happens_from_then_on_in_order() {
        let feed = Feed::default();
        feed.publish(|| -> EventKind { panic!("nobody watches: the event is not made") });
        let mut first = feed.watch();
        feed.publish(|| ended(1));
        let mut second = feed.watch();
        feed.publish(|| ended(2));
        assert_eq!([next(&mut first), next(&mut first)], [Some(Some(ended(1))), Some(Some(ended(2)))]);
        assert_eq!([next(&mut second), next(&mut second)], [Some(Some(ended(2))), None]);
        drop(feed);
        assert_eq!(next(&mut second), Some(None));
    }

    #[test]
    fn a_slow_watcher_loses_the_oldest_events_and_is_told_how_many() {
        let feed = Feed::default();
        let mut slow = feed.watch();
        for number in 0..EVENTS_KEPT + 10 {
            feed.publish(|| ended(number));
        }
        assert_eq!(slow.next().now_or_never().flatten(), Some(FeedItem::Missed(10)));
        assert_eq!(next(&mut slow), Some(Some(ended(10))));
    }

    #[test]
    fn an_event_is_told_in_plain_words() {
        let at = "2026-11-22T10:00:00Z".parse().unwrap();
        let what = EventKind::PayProgress {
            call_sid: "CA1".to_owned(),
            payment: "PK1".to_owned(),
            step: "expiration-date",
            attempt: 2,
            what: "failed",
            error: Some("timeout"),
            number: None,
        };
        let told = serde_json::to_value(Event { at, what }).unwrap();
        let expected = json!({
            "at": "2026-11-22T10:00:00Z", "event": "pay-progress", "call_sid": "CA1", "payment": "PK1",
            "step": "expiration-date", "attempt": 2, "what": "failed", "error": "timeout",
        });
        assert_eq!(told, expected);
    }
}
