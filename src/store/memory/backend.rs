//! What a database does for the store, done in memory.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::Memory;
use super::tables::{Callback, PaymentRecord};
use crate::store::CallbackKind;
use crate::store::audit::{AuditFilter, AuditRow, ConnectorChange, NewAudit};
use crate::store::backend::{
    Backend, BackendError, CallbackFilter, CallbackRow, CallbackState, ConnectorRow, Inserted, NewCallback, NewPayment,
    NodeId, PaymentFilter, PaymentRow, PaymentState, PendingCallback, Recorded, Resealed, SettledPayment, Settling,
    Unsettled,
};
use crate::store::record::led_by;
use crate::store::settling::{KnownPayment, SettlingStep};

impl Backend for Memory {
    fn insert_payment(
        &self,
        payment: NewPayment,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |tables| {
            tables.ask_session(&payment, node)?;
            tables.order = tables.order.saturating_add(1);
            let order = tables.order;
            tables.payments.entry(payment.sid.clone()).or_insert_with(|| {
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
                PaymentRecord { row, order, sealed: Some(payment.sealed), note: None, node: Some(node) }
            });
            Ok(())
        })
    }

    fn mark_sending<'a>(
        &'a self,
        sid: &'a str,
        note: Option<Vec<u8>>,
        number: u32,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |tables| {
            let sent = self.moment(now);
            let known = tables.payments.get_mut(sid).filter(|payment| payment.node == Some(node));
            let payment = known.ok_or(BackendError::NotFound)?;
            let row = &mut payment.row;
            match row.state {
                PaymentState::Preparing => row.state = PaymentState::Submitting,
                PaymentState::Submitting | PaymentState::Unknown => {}
                PaymentState::Succeeded | PaymentState::Failed => return Err(BackendError::NotFound),
            }
            row.sends = row.sends.max(number);
            row.first_sent.get_or_insert(sent);
            row.last_sent = Some(sent);
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
    ) -> BoxFuture<'_, Result<Settling, BackendError>> {
        self.write(move |tables| {
            let known = tables.payments.get(&payment.sid).map(|known| KnownPayment {
                state: known.row.state,
                node: known.node,
                result: known.row.result.as_deref(),
                error_code: known.row.error_code,
                confirmation_code: known.row.confirmation_code.as_deref(),
            });
            let (mut entry, is_known) = (SettlingStep::of(known.as_ref(), &payment), known.is_some());
            let writes = matches!(entry, SettlingStep::Unrecorded | SettlingStep::First | SettlingStep::Late);
            if writes && tables.end_session(&payment, is_known, node, now).is_err() {
                entry = SettlingStep::Otherwise;
            }
            let (mut told, mut recorded) = (Vec::new(), Recorded::First);
            match entry {
                SettlingStep::Otherwise => recorded = Recorded::Otherwise,
                SettlingStep::Unrecorded => told = first,
                SettlingStep::First => {
                    tables.write_outcome(payment, now);
                    told = first;
                }
                SettlingStep::Late => {
                    tables.write_outcome(payment, now);
                    (told, recorded) = (late, Recorded::Late);
                }
                SettlingStep::Again => {
                    if late.iter().any(|callback| tables.by_token(callback.token).is_some()) {
                        recorded = Recorded::Late;
                    }
                    told = first.into_iter().chain(late).filter(|new| tables.by_token(new.token).is_some()).collect();
                }
            }
            let mut callbacks = Vec::new();
            for callback in told {
                let id = tables.insert(callback, node, now);
                let own =
                    tables.callbacks.get(&id).filter(|callback| callback.is_open() && callback.node == Some(node));
                callbacks.extend(own.map(|callback| callback.row.clone()));
            }
            Ok(Settling { recorded, callbacks })
        })
    }

    fn insert_callback(
        &self,
        callback: NewCallback,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Inserted, BackendError>> {
        self.write(move |tables| {
            let is_known = tables.by_token(callback.token).is_some();
            if !is_known && callback.progress_of.as_ref().is_some_and(|sid| tables.is_led_elsewhere(sid, node)) {
                return Err(BackendError::NotFound);
            }
            let id = tables.insert(callback, node, now);
            let known = tables.callbacks.get(&id);
            let is_own = known.is_some_and(|callback| callback.is_open() && callback.node == Some(node));
            Ok(Inserted { id, is_own })
        })
    }

    fn claim_callbacks(
        &self,
        keeper: NodeId,
        node: NodeId,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<PendingCallback>, BackendError>> {
        self.write(move |tables| {
            let (own, silent) = ([keeper, node], self.silent_for(tables, node));
            let is_free = |callback: &Callback| {
                let is_own = callback.node.is_some_and(|node| own.contains(&node));
                callback.is_open() && !is_own && tables.is_free(callback.node, silent)
            };
            let calls: BTreeSet<&String> = tables
                .callbacks
                .values()
                .filter(|callback| is_free(callback) && !tables.is_seen_to(&callback.row.call_sid, own, silent))
                .take(limit.try_into().unwrap_or(usize::MAX))
                .map(|callback| &callback.row.call_sid)
                .collect();
            let free: Vec<i64> = tables
                .callbacks
                .values()
                .filter(|callback| calls.contains(&callback.row.call_sid) && is_free(callback))
                .map(|callback| callback.row.id)
                .collect();
            let mut claimed = Vec::new();
            for id in free {
                if let Some(callback) = tables.callbacks.get_mut(&id) {
                    callback.node = Some(keeper);
                    callback.row.state = CallbackState::Waiting;
                    claimed.push(callback.pending());
                }
            }
            Ok(claimed)
        })
    }

    fn claimed_callbacks(
        &self,
        keeper: NodeId,
        after_id: i64,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<PendingCallback>, BackendError>> {
        self.read(move |tables| {
            let after = tables.callbacks.values().filter(|callback| callback.row.id > after_id);
            let claimed = after
                .filter(|callback| callback.node == Some(keeper) && callback.row.state == CallbackState::Waiting)
                .take(limit.try_into().unwrap_or(usize::MAX));
            claimed.map(Callback::pending).collect()
        })
    }

    fn open_callback(&self, id: i64, node: NodeId) -> BoxFuture<'_, Result<Option<CallbackRow>, BackendError>> {
        async move {
            let own = [Some(node), Some(node.keeper())];
            let is_own = move |callback: &Callback| callback.is_open() && own.contains(&callback.node);
            let opened = self.read(move |tables| {
                let callback = tables.callbacks.get(&id).filter(|callback| is_own(callback))?;
                let comes_first = |earlier: &Callback| {
                    earlier.is_open()
                        && earlier.row.kind == CallbackKind::Status
                        && earlier.row.call_sid == callback.row.call_sid
                        && !own.contains(&earlier.node)
                };
                let follows = callback.row.kind == CallbackKind::Status
                    && tables.callbacks.range(..id).any(|(_, earlier)| comes_first(earlier));
                Some((callback.row.clone(), follows))
            });
            match opened.await? {
                Some((_, true)) => {}
                Some((row, false)) => return Ok(Some(row)),
                None => return Ok(None),
            }
            self.write(move |tables| {
                if let Some(callback) = tables.callbacks.get_mut(&id).filter(|callback| is_own(callback)) {
                    callback.node = None;
                }
                Ok(())
            })
            .await
            .map(|()| None)
        }
        .boxed()
    }

    fn claim_payments(
        &self,
        node: NodeId,
        limit: u32,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Unsettled>, BackendError>> {
        self.write(move |tables| {
            let (silent, now) = (self.silent_for(tables, node), self.moment(now));
            let mut free: Vec<(bool, u64, String)> = tables
                .payments
                .values()
                .filter(|payment| payment.sealed.is_some() && tables.is_free(payment.node, silent))
                .map(|payment| (payment.row.state == PaymentState::Unknown, payment.order, payment.row.sid.clone()))
                .collect();
            free.sort_unstable();
            free.truncate(limit.try_into().unwrap_or(usize::MAX));
            let mut claimed = Vec::new();
            for (.., sid) in free {
                let Some(payment) = tables.payments.get_mut(&sid) else { continue };
                payment.node = Some(node);
                claimed.extend(payment.unsettled(now));
            }
            Ok(claimed)
        })
    }

    fn claimed_payments(
        &self,
        keeper: NodeId,
        after_sid: Option<String>,
        limit: u32,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Unsettled>, BackendError>> {
        self.read(move |tables| {
            let now = self.moment(now);
            let after = after_sid.and_then(|sid| tables.payments.get(&sid)).map(|payment| payment.order);
            let claimed = tables.payments.values().filter(|payment| payment.node == Some(keeper));
            let mut claimed: Vec<(u64, Unsettled)> = claimed
                .filter(|payment| after.is_none_or(|after| payment.order > after))
                .filter_map(|payment| Some((payment.order, payment.unsettled(now)?)))
                .collect();
            claimed.sort_unstable_by_key(|(order, _)| *order);
            claimed.truncate(limit.try_into().unwrap_or(usize::MAX));
            claimed.into_iter().map(|(_, unsettled)| unsettled).collect()
        })
    }

    fn give_up_payment<'a>(&'a self, sid: &'a str, now: Timestamp) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |tables| {
            let known = tables.payments.get_mut(sid).filter(|payment| payment.row.state == PaymentState::Unknown);
            let payment = known.ok_or(BackendError::NotFound)?;
            (payment.sealed, payment.note) = (None, None);
            payment.row.updated = now;
            Ok(())
        })
    }

    fn mark_delivered(&self, id: i64, node: NodeId, now: Timestamp) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |tables| {
            tables.change_callback(id, node, now, |row| {
                row.state = CallbackState::Delivered;
                row.sealed = None;
                row.reason = None;
            })
        })
    }

    fn mark_failed<'a>(
        &'a self,
        id: i64,
        reason: &'a str,
        number: u32,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |tables| {
            tables.change_undelivered(id, node, now, |row| {
                row.state = CallbackState::Waiting;
                row.tries = row.tries.max(number);
                row.reason = Some(reason.to_owned());
            })
        })
    }

    fn mark_parked<'a>(
        &'a self,
        id: i64,
        reason: &'a str,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |tables| {
            tables.change_undelivered(id, node, now, |row| {
                row.state = CallbackState::Parked;
                row.reason = Some(reason.to_owned());
            })
        })
    }

    fn retry_callbacks(&self, ids: Option<Vec<i64>>, now: Timestamp) -> BoxFuture<'_, Result<u64, BackendError>> {
        self.write(move |tables| {
            let wanted: Option<BTreeSet<i64>> = ids.map(|ids| ids.into_iter().collect());
            let mut count = 0_u64;
            for callback in tables.callbacks.values_mut() {
                let row = &mut callback.row;
                if row.state == CallbackState::Parked && wanted.as_ref().is_none_or(|wanted| wanted.contains(&row.id)) {
                    row.state = CallbackState::Waiting;
                    (row.tries, row.reason, row.since, row.updated) = (0, None, now, now);
                    callback.node = None;
                    count = count.saturating_add(1);
                }
            }
            Ok(count)
        })
    }

    fn forget_delivered(&self, before: Timestamp) -> BoxFuture<'_, Result<u64, BackendError>> {
        self.write(move |tables| {
            let all = tables.callbacks.len();
            tables
                .callbacks
                .retain(|_, callback| callback.row.state != CallbackState::Delivered || callback.row.updated >= before);
            Ok(u64::try_from(all.saturating_sub(tables.callbacks.len())).unwrap_or(u64::MAX))
        })
    }

    fn register(&self, node: NodeId, ended: Option<NodeId>) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |tables| {
            let over = ended.map(|ended| [ended, ended.keeper()]);
            match &self.clock {
                None => tables.release(|_| true),
                Some(clock) => {
                    tables.release(|node| over.is_some_and(|over| over.contains(&node)));
                    tables.hear(node, clock());
                }
            }
            Ok(())
        })
    }

    fn heartbeat(&self, node: NodeId) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |tables| {
            if let Some(clock) = &self.clock {
                tables.hear(node, clock());
            }
            Ok(())
        })
    }

    fn is_shared(&self) -> bool {
        self.clock.is_some()
    }

    fn release(&self, node: NodeId) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |tables| {
            tables.release(|owner| owner == node);
            Ok(())
        })
    }

    fn payment<'a>(&'a self, sid: &'a str) -> BoxFuture<'a, Result<Option<PaymentRow>, BackendError>> {
        self.read(move |tables| tables.payments.get(sid).map(|payment| payment.row.clone()))
    }

    fn payments(&self, filter: PaymentFilter) -> BoxFuture<'_, Result<Vec<PaymentRow>, BackendError>> {
        self.read(move |tables| {
            let PaymentFilter { call_sid, state, connector, from, before, after_sid, limit } = filter;
            let after = after_sid.and_then(|sid| tables.payments.get(&sid)).map(|payment| payment.order);
            let mut found: Vec<&PaymentRecord> = tables
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
        self.read(move |tables| {
            let CallbackFilter { call_sid, payment_sid, state, after_id, limit } = filter;
            let rows = tables.callbacks.values().map(|callback| &callback.row).filter(|row| {
                call_sid.as_ref().is_none_or(|sid| *sid == row.call_sid)
                    && payment_sid.as_ref().is_none_or(|sid| Some(sid) == row.payment_sid.as_ref())
                    && state.is_none_or(|state| state == row.state)
                    && after_id.is_none_or(|after| row.id > after)
            });
            rows.take(limit.try_into().unwrap_or(usize::MAX)).cloned().collect()
        })
    }

    fn count_callbacks(&self, state: CallbackState) -> BoxFuture<'_, Result<u64, BackendError>> {
        self.read(move |tables| {
            let count = tables.callbacks.values().filter(|callback| callback.row.state == state).count();
            u64::try_from(count).unwrap_or(u64::MAX)
        })
    }

    fn connectors(&self) -> BoxFuture<'_, Result<Vec<ConnectorRow>, BackendError>> {
        self.read(|tables| tables.connectors.values().cloned().collect())
    }

    fn connectors_revision(&self) -> BoxFuture<'_, Result<i64, BackendError>> {
        self.read(|tables| tables.revision)
    }

    fn change_connector<'a>(
        &'a self,
        name: &'a str,
        change: ConnectorChange,
        audit: NewAudit,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |tables| {
            tables.change_connector(name, change, now)?;
            tables.audit.add(audit, now);
            Ok(())
        })
    }

    fn audit(&self, filter: AuditFilter) -> BoxFuture<'_, Result<Vec<AuditRow>, BackendError>> {
        self.read(move |tables| tables.audit.list(&filter))
    }

    fn use_nonce<'a>(
        &'a self,
        value: &'a str,
        expires: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |tables| {
            if tables.nonces.contains_key(value) {
                return Err(BackendError::Duplicate);
            }
            tables.nonces.insert(value.to_owned(), expires);
            tables.nonces.retain(|_, expires| *expires >= now);
            Ok(())
        })
    }

    fn mark_withdrawn<'a>(
        &'a self,
        name: &'a str,
        sealed: &'a [u8],
        since: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |tables| {
            let row = tables.connectors.get_mut(name);
            if let Some(row) = row.filter(|row| row.sealed == sealed && row.withdrawn.is_none()) {
                row.withdrawn = Some(since);
                tables.revision = tables.revision.saturating_add(1);
            }
            Ok(())
        })
    }

    fn reseal<'a>(&'a self, what: Resealed, was: &'a [u8], sealed: Vec<u8>) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |tables| {
            let stood = match &what {
                Resealed::Payment(sid) => tables.payments.get_mut(sid).and_then(|payment| payment.sealed.as_mut()),
                Resealed::PaymentNote(sid) => tables.payments.get_mut(sid).and_then(|payment| payment.note.as_mut()),
                Resealed::Callback(token) => {
                    let mut callbacks = tables.callbacks.values_mut();
                    callbacks.find(|known| known.row.token == *token).and_then(|known| known.row.sealed.as_mut())
                }
                Resealed::Connector(name) => tables.connectors.get_mut(name).map(|row| &mut row.sealed),
            };
            if let Some(stood) = stood.filter(|stood| **stood == was) {
                *stood = sealed;
                if let Resealed::Connector(_) = what {
                    tables.revision = tables.revision.saturating_add(1);
                }
            }
            Ok(())
        })
    }

    fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, BackendError>> {
        self.read(move |tables| tables.notes.get(name).cloned())
    }

    fn keep_note<'a>(&'a self, name: &'a str, text: Vec<u8>) -> BoxFuture<'a, Result<Vec<u8>, BackendError>> {
        self.write(move |tables| Ok(tables.notes.entry(name.to_owned()).or_insert(text).clone()))
    }
}
