//! Calls in memory.

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::Memory;
use super::tables::{CallRecord, Tables};
use crate::store::backend::{BackendError, NodeId};
use crate::store::calls::{CallBackend, CallFilter, CallPlaces, CallRow, CallStatus, Changes};

impl Tables {
    pub(super) fn release_calls(&mut self, is_released: impl Fn(NodeId) -> bool) {
        for call in self.calls.values_mut().filter(|call| call.row.status == CallStatus::InProgress) {
            call.node = call.node.filter(|node| !is_released(*node));
        }
    }

    fn write_call(&mut self, call: CallRow, node: NodeId) {
        let Some(known) = self.calls.get_mut(&call.sid) else {
            self.last_call = self.last_call.saturating_add(1);
            let row = CallRow { place: self.last_call, ..call };
            self.calls.insert(row.sid.clone(), CallRecord { row, node: Some(node) });
            return;
        };
        let begins = call.status == CallStatus::InProgress;
        let mine = known.node.is_none_or(|known| known == node);
        if begins || mine || known.row.status == CallStatus::Failed {
            let was = &mut known.row;
            known.row = CallRow {
                place: was.place,
                started: was.started,
                from: call.from.or(was.from.take()),
                to: call.to.or(was.to.take()),
                caller_name: call.caller_name.or(was.caller_name.take()),
                forwarded_from: call.forwarded_from.or(was.forwarded_from.take()),
                ..call
            };
            known.node = Some(node);
        }
    }
}

impl CallFilter {
    fn takes(&self, row: &CallRow) -> bool {
        let same = |wanted: &Option<String>, told: &Option<String>| wanted.is_none() || wanted == told;
        same(&self.from, &row.from)
            && same(&self.to, &row.to)
            && self.status.is_none_or(|status| status == row.status)
            && self.started_from.is_none_or(|from| row.started >= from)
            && self.started_before.is_none_or(|before| row.started < before)
            && self.ended_from.is_none_or(|from| row.ended.is_some_and(|ended| ended >= from))
            && self.ended_before.is_none_or(|before| row.ended.is_some_and(|ended| ended < before))
            && match self.place {
                CallPlaces::All => true,
                CallPlaces::Before(place) => row.place < place,
                CallPlaces::After(place) => row.place > place,
            }
    }
}

impl CallBackend for Memory {
    fn write_changes(&self, changes: Changes, node: NodeId) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |tables| {
            for call in changes.calls {
                tables.write_call(CallRow::clone(&call), node);
            }
            for session in changes.sessions {
                tables.write_session(&session, node);
            }
            Ok(())
        })
    }

    fn fail_left_calls(&self, node: NodeId, limit: u32, now: Timestamp) -> BoxFuture<'_, Result<u64, BackendError>> {
        self.write(move |tables| {
            let silent = self.silent_for(tables, node);
            let mut free: Vec<(u64, String)> = tables
                .calls
                .values()
                .filter(|call| call.row.status == CallStatus::InProgress && tables.is_free(call.node, silent))
                .map(|call| (call.row.place, call.row.sid.clone()))
                .collect();
            free.sort_unstable();
            free.truncate(limit.try_into().unwrap_or(usize::MAX));
            for (_, sid) in &free {
                let Some(call) = tables.calls.get_mut(sid) else { continue };
                (call.row.status, call.row.updated, call.node) = (CallStatus::Failed, now, Some(node));
            }
            Ok(u64::try_from(free.len()).unwrap_or(u64::MAX))
        })
    }

    fn call<'a>(&'a self, sid: &'a str) -> BoxFuture<'a, Result<Option<CallRow>, BackendError>> {
        self.read(move |tables| tables.calls.get(sid).map(|call| call.row.clone()))
    }

    fn calls(&self, filter: CallFilter) -> BoxFuture<'_, Result<Vec<CallRow>, BackendError>> {
        self.read(move |tables| {
            let mut found: Vec<&CallRow> =
                tables.calls.values().map(|call| &call.row).filter(|row| filter.takes(row)).collect();
            found.sort_unstable_by_key(|row| row.place);
            if !matches!(filter.place, CallPlaces::After(_)) {
                found.reverse();
            }
            let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
            found.into_iter().skip(count(filter.offset)).take(count(filter.limit)).cloned().collect()
        })
    }

    fn delete_call<'a>(&'a self, sid: &'a str) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |tables| {
            let over = tables.calls.get(sid).is_some_and(|call| call.row.status != CallStatus::InProgress);
            if !over {
                return Err(BackendError::NotFound);
            }
            tables.calls.remove(sid);
            Ok(())
        })
    }
}
