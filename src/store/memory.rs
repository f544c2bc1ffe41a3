//! A database in memory: for the simulation, which needs every await to be its own.
//!
//! Shape:   one lock, held for no longer than a method; a [`Disk`] makes it as slow and as unreliable as a real one.
//! Limits:  none: a simulated run is short.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::GONE_AFTER;
use super::backend::{
    Authorized, Backend, BackendError, CallbackFilter, CallbackRow, CallbackState, ConnectorRow, NewCallback,
    NewPayment, NodeId, PaymentFilter, PaymentRow, PaymentState, SettledPayment, Unsettled,
};
use super::record::led_by;
use crate::pay::outcome::Standing;

/// What a write takes, and whether it works.
pub trait Disk: Send + Sync {
    /// Before something is written. An error: it was not.
    fn before(&self) -> BoxFuture<'_, Result<(), BackendError>>;

    /// After something was written. An error: it was, but nobody is told.
    fn after(&self) -> BoxFuture<'_, Result<(), BackendError>>;
}

/// The database.
#[derive(Default)]
pub struct Memory {
    books: Mutex<Books>,
    disk: Option<Box<dyn Disk>>,
}

#[derive(Default)]
struct Books {
    payments: BTreeMap<String, Payment>,
    callbacks: BTreeMap<i64, Callback>,
    connectors: BTreeMap<String, ConnectorRow>,
    revision: i64,
    nodes: BTreeMap<NodeId, Timestamp>,
    notes: BTreeMap<String, Vec<u8>>,
    order: u64,
    /// The last callback's id: one that was forgotten is not given again.
    last_id: i64,
}

struct Payment {
    row: PaymentRow,
    /// Its place among all, for lists.
    order: u64,
    sealed: Option<Vec<u8>>,
    note: Option<Vec<u8>>,
    node: Option<NodeId>,
}

struct Callback {
    row: CallbackRow,
    node: Option<NodeId>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty database on `disk`.
    #[must_use]
    pub fn on(disk: Box<dyn Disk>) -> Self {
        Self { books: Mutex::default(), disk: Some(disk) }
    }

    fn read<'a, T: Send + 'a>(
        &'a self,
        read: impl FnOnce(&Books) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, BackendError>> {
        async move { Ok(read(&self.lock())) }.boxed()
    }

    fn write<'a, T: Send + 'a>(
        &'a self,
        write: impl FnOnce(&mut Books) -> Result<T, BackendError> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, BackendError>> {
        async move {
            if let Some(disk) = &self.disk {
                disk.before().await?;
            }
            let done = write(&mut self.lock());
            if let Some(disk) = &self.disk {
                disk.after().await?;
            }
            done
        }
        .boxed()
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn is_free(&self, node: Option<NodeId>, now: Timestamp) -> bool {
        let Some(node) = node else { return true };
        let seen = self.nodes.get(&node);
        seen.is_none_or(|seen| now.duration_since(*seen) > GONE_AFTER)
    }

    fn insert(&mut self, callback: NewCallback, node: NodeId, now: Timestamp) -> i64 {
        let known = self.callbacks.values().find(|known| known.row.token == callback.token);
        if let Some(known) = known {
            return known.row.id;
        }
        self.last_id = self.last_id.saturating_add(1);
        let id = self.last_id;
        let NewCallback { token, call_sid, payment_sid, kind, method, url, sealed, state } = callback;
        let row = CallbackRow {
            id,
            token,
            call_sid,
            payment_sid,
            kind,
            method,
            url,
            sealed: Some(sealed),
            state,
            tries: 0,
            reason: None,
            since: now,
            updated: now,
        };
        self.callbacks.insert(id, Callback { row, node: Some(node) });
        id
    }

    fn change_callback(
        &mut self,
        id: i64,
        now: Timestamp,
        change: impl FnOnce(&mut CallbackRow),
    ) -> Result<(), BackendError> {
        let callback = self.callbacks.get_mut(&id).ok_or(BackendError::NotFound)?;
        callback.row.updated = now;
        change(&mut callback.row);
        Ok(())
    }

    /// As [`Self::change_callback`], of one that is not delivered.
    fn change_undelivered(
        &mut self,
        id: i64,
        now: Timestamp,
        change: impl FnOnce(&mut CallbackRow),
    ) -> Result<(), BackendError> {
        let is_delivered =
            self.callbacks.get(&id).is_some_and(|callback| callback.row.state == CallbackState::Delivered);
        if is_delivered { Err(BackendError::NotFound) } else { self.change_callback(id, now, change) }
    }
}

impl Backend for Memory {
    fn insert_payment(
        &self,
        payment: NewPayment,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |books| {
            books.order = books.order.saturating_add(1);
            let order = books.order;
            books.payments.entry(payment.sid.clone()).or_insert_with(|| {
                let row = PaymentRow {
                    sid: payment.sid,
                    call_sid: payment.call_sid,
                    connector: payment.connector,
                    led_by: led_by(payment.led_by).to_owned(),
                    operation: payment.operation.to_owned(),
                    amount: payment.amount,
                    currency: payment.currency,
                    token_type: payment.token_type.map(str::to_owned),
                    means: payment.means.to_owned(),
                    masked: payment.masked,
                    brand: payment.brand,
                    state: PaymentState::Preparing,
                    result: None,
                    error_code: None,
                    error: None,
                    confirmation_code: None,
                    sends: 0,
                    first_sent: None,
                    last_sent: None,
                    created: now,
                    updated: now,
                };
                Payment { row, order, sealed: Some(payment.sealed), note: None, node: Some(node) }
            });
            Ok(())
        })
    }

    fn mark_sending<'a>(
        &'a self,
        sid: &'a str,
        note: Option<Vec<u8>>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            let payment = books.payments.get_mut(sid).ok_or(BackendError::NotFound)?;
            let row = &mut payment.row;
            match row.state {
                PaymentState::Preparing => row.state = PaymentState::Submitting,
                PaymentState::Submitting | PaymentState::Unknown => {}
                PaymentState::Succeeded | PaymentState::Failed => return Err(BackendError::NotFound),
            }
            row.sends = row.sends.saturating_add(1);
            row.first_sent.get_or_insert(now);
            row.last_sent = Some(now);
            row.updated = now;
            payment.note = note.or_else(|| payment.note.take());
            Ok(())
        })
    }

    fn settle_payment(
        &self,
        payment: SettledPayment,
        first: Vec<NewCallback>,
        late: Vec<NewCallback>,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<CallbackRow>, BackendError>> {
        self.write(move |books| {
            let SettledPayment { sid, outcome } = payment;
            let mut told = first;
            let mut repeated = Vec::new();
            if let Some(known) = books.payments.get_mut(&sid) {
                let row = &mut known.row;
                let is_known = matches!(row.state, PaymentState::Succeeded | PaymentState::Failed);
                let was_unknown = row.state == PaymentState::Unknown;
                if !is_known {
                    if was_unknown && outcome.standing != Standing::Unknown {
                        told = late;
                    }
                    row.state = match outcome.standing {
                        Standing::Succeeded => PaymentState::Succeeded,
                        Standing::Failed => PaymentState::Failed,
                        Standing::Unknown => PaymentState::Unknown,
                    };
                    row.result = Some(outcome.result.word().to_owned());
                    row.error_code = outcome.code.map(|code| code.number());
                    row.error = outcome.error;
                    row.confirmation_code = outcome.confirmation_code;
                    row.updated = now;
                    if outcome.standing != Standing::Unknown {
                        (known.sealed, known.note) = (None, None);
                    }
                } else {
                    repeated = late;
                }
            }
            let mut ids: Vec<i64> = told.into_iter().map(|callback| books.insert(callback, node, now)).collect();
            let known = |token| books.callbacks.values().find(|known| known.row.token == token);
            ids.extend(repeated.iter().filter_map(|callback| known(callback.token)).map(|known| known.row.id));
            let mut queued = Vec::new();
            for id in ids {
                let mine = books.callbacks.get(&id).filter(|callback| {
                    callback.node == Some(node)
                        && matches!(callback.row.state, CallbackState::Waiting | CallbackState::Held)
                });
                queued.extend(mine.map(|callback| callback.row.clone()));
            }
            Ok(queued)
        })
    }

    fn insert_callback(
        &self,
        callback: NewCallback,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<i64, BackendError>> {
        self.write(move |books| Ok(books.insert(callback, node, now)))
    }

    fn claim_callbacks(
        &self,
        node: NodeId,
        limit: u32,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<CallbackRow>, BackendError>> {
        self.write(move |books| {
            let free: Vec<i64> = books
                .callbacks
                .values()
                .filter(|callback| matches!(callback.row.state, CallbackState::Waiting | CallbackState::Held))
                .filter(|callback| books.is_free(callback.node, now))
                .take(limit.try_into().unwrap_or(usize::MAX))
                .map(|callback| callback.row.id)
                .collect();
            let mut claimed = Vec::new();
            for id in free {
                if let Some(callback) = books.callbacks.get_mut(&id) {
                    callback.node = Some(node);
                    callback.row.state = CallbackState::Waiting;
                    claimed.push(callback.row.clone());
                }
            }
            Ok(claimed)
        })
    }

    fn claim_payments(
        &self,
        node: NodeId,
        limit: u32,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Unsettled>, BackendError>> {
        self.write(move |books| {
            let mut free: Vec<(u64, String)> = books
                .payments
                .values()
                .filter(|payment| payment.sealed.is_some() && books.is_free(payment.node, now))
                .map(|payment| (payment.order, payment.row.sid.clone()))
                .collect();
            free.sort_unstable();
            free.truncate(limit.try_into().unwrap_or(usize::MAX));
            let mut claimed = Vec::new();
            for (_, sid) in free {
                let Some(payment) = books.payments.get_mut(&sid) else { continue };
                payment.node = Some(node);
                let Some(sealed) = payment.sealed.clone() else { continue };
                claimed.push(Unsettled { row: payment.row.clone(), sealed, note: payment.note.clone() });
            }
            Ok(claimed)
        })
    }

    fn give_up_payment<'a>(&'a self, sid: &'a str, now: Timestamp) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            let known = books.payments.get_mut(sid).filter(|payment| payment.row.state == PaymentState::Unknown);
            let payment = known.ok_or(BackendError::NotFound)?;
            (payment.sealed, payment.note) = (None, None);
            payment.row.updated = now;
            Ok(())
        })
    }

    fn mark_delivered(&self, id: i64, now: Timestamp) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |books| {
            books.change_callback(id, now, |row| {
                row.state = CallbackState::Delivered;
                row.sealed = None;
                row.reason = None;
            })
        })
    }

    fn mark_failed<'a>(&'a self, id: i64, reason: &'a str, now: Timestamp) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            books.change_undelivered(id, now, |row| {
                row.state = CallbackState::Waiting;
                row.tries = row.tries.saturating_add(1);
                row.reason = Some(reason.to_owned());
            })
        })
    }

    fn mark_parked<'a>(&'a self, id: i64, reason: &'a str, now: Timestamp) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            books.change_undelivered(id, now, |row| {
                row.state = CallbackState::Parked;
                row.reason = Some(reason.to_owned());
            })
        })
    }

    fn retry_callbacks(&self, ids: Option<Vec<i64>>, now: Timestamp) -> BoxFuture<'_, Result<u64, BackendError>> {
        self.write(move |books| {
            let wanted: Option<BTreeSet<i64>> = ids.map(|ids| ids.into_iter().collect());
            let mut count = 0_u64;
            for callback in books.callbacks.values_mut() {
                let row = &mut callback.row;
                if row.state == CallbackState::Parked && wanted.as_ref().is_none_or(|wanted| wanted.contains(&row.id)) {
                    row.state = CallbackState::Waiting;
                    (row.since, row.updated) = (now, now);
                    callback.node = None;
                    count = count.saturating_add(1);
                }
            }
            Ok(count)
        })
    }

    fn forget_delivered(&self, before: Timestamp) -> BoxFuture<'_, Result<u64, BackendError>> {
        self.write(move |books| {
            let all = books.callbacks.len();
            books
                .callbacks
                .retain(|_, callback| callback.row.state != CallbackState::Delivered || callback.row.updated >= before);
            Ok(u64::try_from(all.saturating_sub(books.callbacks.len())).unwrap_or(u64::MAX))
        })
    }

    fn heartbeat(&self, node: NodeId, now: Timestamp) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |books| {
            books.nodes.insert(node, now);
            Ok(())
        })
    }

    fn release(&self, node: NodeId) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |books| {
            for payment in books.payments.values_mut().filter(|payment| payment.node == Some(node)) {
                payment.node = None;
            }
            for callback in books.callbacks.values_mut().filter(|callback| callback.node == Some(node)) {
                callback.node = None;
            }
            Ok(())
        })
    }

    fn payment<'a>(&'a self, sid: &'a str) -> BoxFuture<'a, Result<Option<PaymentRow>, BackendError>> {
        self.read(move |books| books.payments.get(sid).map(|payment| payment.row.clone()))
    }

    fn payments(&self, filter: PaymentFilter) -> BoxFuture<'_, Result<Vec<PaymentRow>, BackendError>> {
        self.read(move |books| {
            let PaymentFilter { call_sid, state, connector, from, before, after_sid, limit } = filter;
            let after = after_sid.and_then(|sid| books.payments.get(&sid)).map(|payment| payment.order);
            let mut found: Vec<&Payment> = books
                .payments
                .values()
                .filter(|payment| {
                    let row = &payment.row;
                    call_sid.as_ref().is_none_or(|sid| *sid == row.call_sid)
                        && state.is_none_or(|state| state == row.state)
                        && connector.as_ref().is_none_or(|name| *name == row.connector)
                        && from.is_none_or(|from| row.created >= from)
                        && before.is_none_or(|before| row.created < before)
                        && after.is_none_or(|after| payment.order < after)
                })
                .collect();
            found.sort_unstable_by_key(|payment| std::cmp::Reverse(payment.order));
            found.truncate(limit.try_into().unwrap_or(usize::MAX));
            found.into_iter().map(|payment| payment.row.clone()).collect()
        })
    }

    fn callbacks(&self, filter: CallbackFilter) -> BoxFuture<'_, Result<Vec<CallbackRow>, BackendError>> {
        self.read(move |books| {
            let CallbackFilter { call_sid, payment_sid, state, after_id, limit } = filter;
            let rows = books.callbacks.values().map(|callback| &callback.row).filter(|row| {
                call_sid.as_ref().is_none_or(|sid| *sid == row.call_sid)
                    && payment_sid.as_ref().is_none_or(|sid| Some(sid) == row.payment_sid.as_ref())
                    && state.is_none_or(|state| state == row.state)
                    && after_id.is_none_or(|after| row.id > after)
            });
            rows.take(limit.try_into().unwrap_or(usize::MAX)).cloned().collect()
        })
    }

    fn count_callbacks(&self, state: CallbackState) -> BoxFuture<'_, Result<u64, BackendError>> {
        self.read(move |books| {
            let count = books.callbacks.values().filter(|callback| callback.row.state == state).count();
            u64::try_from(count).unwrap_or(u64::MAX)
        })
    }

    fn connectors(&self) -> BoxFuture<'_, Result<Vec<ConnectorRow>, BackendError>> {
        self.read(|books| books.connectors.values().cloned().collect())
    }

    fn connectors_revision(&self) -> BoxFuture<'_, Result<i64, BackendError>> {
        self.read(|books| books.revision)
    }

    fn insert_connector<'a>(
        &'a self,
        name: &'a str,
        sealed: Vec<u8>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            if books.connectors.contains_key(name) {
                return Err(BackendError::Duplicate);
            }
            let row = ConnectorRow { name: name.to_owned(), sealed, withdrawn: None, created: now, updated: now };
            books.connectors.insert(name.to_owned(), row);
            books.revision = books.revision.saturating_add(1);
            Ok(())
        })
    }

    fn update_connector<'a>(
        &'a self,
        name: &'a str,
        was: &'a [u8],
        sealed: Vec<u8>,
        authorized: Authorized,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            let row = books.connectors.get_mut(name).ok_or(BackendError::NotFound)?;
            if row.sealed != was && row.sealed != sealed {
                return Err(BackendError::NotFound);
            }
            (row.sealed, row.updated) = (sealed, now);
            if authorized == Authorized::Anew {
                row.withdrawn = None;
            }
            books.revision = books.revision.saturating_add(1);
            Ok(())
        })
    }

    fn remove_connector<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            books.connectors.remove(name).ok_or(BackendError::NotFound)?;
            books.revision = books.revision.saturating_add(1);
            Ok(())
        })
    }

    fn mark_withdrawn<'a>(
        &'a self,
        name: &'a str,
        sealed: &'a [u8],
        since: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            let row = books.connectors.get_mut(name);
            if let Some(row) = row.filter(|row| row.sealed == sealed && row.withdrawn.is_none()) {
                row.withdrawn = Some(since);
                books.revision = books.revision.saturating_add(1);
            }
            Ok(())
        })
    }

    fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, BackendError>> {
        self.read(move |books| books.notes.get(name).cloned())
    }

    fn keep_note<'a>(&'a self, name: &'a str, text: Vec<u8>) -> BoxFuture<'a, Result<Vec<u8>, BackendError>> {
        self.write(move |books| Ok(books.notes.entry(name.to_owned()).or_insert(text).clone()))
    }
}

impl NodeId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}
