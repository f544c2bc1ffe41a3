//! Hosts take turns, and within a host calls do.
//!
//! Shape:   pure; ids in, ids out, each once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What could be sent.
#[derive(Debug, Default)]
pub(super) struct Turns {
    hosts: VecDeque<Arc<str>>,
    /// A host is here exactly if it is in `hosts`.
    of_hosts: BTreeMap<Arc<str>, CallTurns>,
}

/// The same of one host.
#[derive(Debug, Default)]
struct CallTurns {
    calls: VecDeque<Arc<str>>,
    /// A call is here exactly if it is in `calls`; its ids in the order they came.
    of_calls: BTreeMap<Arc<str>, VecDeque<i64>>,
}

impl Turns {
    pub(super) fn push(&mut self, host: Arc<str>, call: Arc<str>, id: i64) {
        if !self.of_hosts.contains_key(&host) {
            self.hosts.push_back(Arc::clone(&host));
        }
        self.of_hosts.entry(host).or_default().push(call, id);
    }

    /// The next one of the next host that `has_place`.
    pub(super) fn pop(&mut self, has_place: impl Fn(&Arc<str>) -> bool) -> Option<i64> {
        // Hosts without a place are few: there are not more than there are limits to fill.
        let turn = self.hosts.iter().position(has_place)?;
        let host = self.hosts.remove(turn)?;
        let calls = self.of_hosts.get_mut(&host)?;
        let id = calls.pop();
        if calls.calls.is_empty() {
            self.of_hosts.remove(&host);
        } else {
            self.hosts.push_back(host);
        }
        id
    }
}

impl CallTurns {
    fn push(&mut self, call: Arc<str>, id: i64) {
        if !self.of_calls.contains_key(&call) {
            self.calls.push_back(Arc::clone(&call));
        }
        self.of_calls.entry(call).or_default().push_back(id);
    }

    fn pop(&mut self) -> Option<i64> {
        let call = self.calls.pop_front()?;
        let ids = self.of_calls.get_mut(&call)?;
        let id = ids.pop_front();
        if ids.is_empty() {
            self.of_calls.remove(&call);
        } else {
            self.calls.push_back(call);
        }
        id
    }
}
