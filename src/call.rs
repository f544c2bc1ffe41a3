//! Live calls: one task each, and the registry of all of them.
//!
//! Shape:   [`actor`] carries a call machine's actions out and brings the answers back as events; it decides nothing.
//! Limits:  every queue is bounded: the machine's type-ahead, the sound sent ahead ([`playback`]), the answers on their
//!          way to the actor, the callbacks of a call.
//! Errors:  a call that breaks down or is cut off ends alone, with a reason in the log.
//! Secrets: nothing a caller keys is logged, at any level.
#![allow(clippy::disallowed_methods, reason = "live calls live in real time")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tokio::sync::watch;

use crate::account::Account;
use crate::callback::{Application, Deliveries};
use crate::config::Config;
use crate::connector::Registry;
use crate::flow::link::PlainHttp;
use crate::http::Outbound;
use crate::library::Library;
use crate::speech::Speech;

pub mod actor;
mod gateway;
pub mod metrics;
pub mod playback;
mod render;

/// What every call needs of the house.
pub struct House {
    /// The configuration.
    pub config: Config,
    /// The account.
    pub account: Account,
    /// The flow documents.
    pub library: Library,
    /// The connectors.
    pub connectors: Registry,
    /// Speech.
    pub speech: Speech,
    /// The way out to the merchant's servers.
    pub outbound: Arc<Outbound>,
    /// The merchant's application.
    pub application: Arc<Application>,
    /// Callbacks on their way.
    pub deliveries: Deliveries,
    /// The live calls.
    pub calls: Calls,
    /// Which targets may be asked without TLS.
    pub plain_http: PlainHttp,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").field("account", &self.account).field("calls", &self.calls).finish_non_exhaustive()
    }
}

/// The live calls.
#[derive(Debug)]
pub struct Calls {
    live: DashMap<String, watch::Sender<bool>>,
    /// Streams that are open, whether their call has begun or not.
    streams: AtomicUsize,
    count: watch::Sender<usize>,
}

impl Default for Calls {
    fn default() -> Self {
        Self { live: DashMap::new(), streams: AtomicUsize::new(0), count: watch::Sender::new(0) }
    }
}

/// A stream's place among the live ones; gives it up when dropped.
#[derive(Debug)]
pub struct StreamPlace {
    house: Arc<House>,
}

/// A call's place in the registry; gives it up when dropped.
#[derive(Debug)]
struct CallPlace {
    house: Arc<House>,
    call_sid: String,
}

impl Calls {
    /// How many calls are live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// Takes a place for a stream; none if `limit` (0: no limit) are taken.
    #[must_use]
    pub fn admit(house: &Arc<House>, limit: usize) -> Option<StreamPlace> {
        let calls = &house.calls;
        let taken = calls.streams.fetch_add(1, Ordering::AcqRel);
        if limit > 0 && taken >= limit {
            calls.streams.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        calls.count.send_replace(taken.saturating_add(1));
        Some(StreamPlace { house: Arc::clone(house) })
    }

    /// Waits until no stream is open.
    pub async fn all_over(&self) {
        let mut count = self.count.subscribe();
        // The sender lives as long as `self`.
        let _ = count.wait_for(|count| *count == 0).await;
    }

    /// Ends every call as if its caller had hung up: payments that are on their way are still waited for.
    pub fn end_all(&self) {
        for call in &self.live {
            call.value().send_replace(true);
        }
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let calls = &self.house.calls;
        let taken = calls.streams.fetch_sub(1, Ordering::AcqRel);
        calls.count.send_replace(taken.saturating_sub(1));
    }
}

impl CallPlace {
    /// Registers a call and gives what tells it to end. None if a call of that id is live.
    fn take(house: &Arc<House>, call_sid: &str) -> Option<(Self, watch::Receiver<bool>)> {
        let ender = watch::Sender::new(false);
        let told = ender.subscribe();
        match house.calls.live.entry(call_sid.to_owned()) {
            dashmap::Entry::Occupied(_) => None,
            dashmap::Entry::Vacant(place) => {
                place.insert(ender);
                metrics::call_began(house.calls.live());
                Some((Self { house: Arc::clone(house), call_sid: call_sid.to_owned() }, told))
            }
        }
    }
}

impl Drop for CallPlace {
    fn drop(&mut self) {
        self.house.calls.live.remove(&self.call_sid);
        metrics::calls_live(self.house.calls.live());
    }
}
