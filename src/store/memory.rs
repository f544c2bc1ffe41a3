//! A database in memory: for the simulation, which needs every await to be its own.
//!
//! Shape:   one lock, held for no longer than a method; a [`Disk`] makes it as slow and as unreliable as a real one, and
//!          each server may have a [`Connection`] of its own to it. One server has it to itself, as it has SQLite, unless it
//!          is given a clock ([`Memory::shared`]): then it is what PostgreSQL is to several.
//! Units:   its clock counts from its own beginning.
//! Limits:  none: a simulated run is short.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::audit::{AuditFilter, AuditRow, ConnectorChange, NewAudit};
use super::backend::{
    Authorized, Backend, BackendError, Booked, CallbackFilter, CallbackRow, CallbackState, ConnectorRow, Inserted,
    NewCallback, NewPayment, NodeId, PaymentFilter, PaymentRow, PaymentState, PendingCallback, Resealed, SentAgo,
    SettledPayment, Settling, Unsettled,
};
use super::calls::CallRow;
use super::record::led_by;
use super::settling::{self, Entry, Known};
use super::{GONE_AFTER, HEARTBEAT_GAP_MAX};
use crate::pay::outcome::Standing;
use crate::store::CallbackKind;

mod audit;
mod calls;
mod sessions;

use sessions::Session;

/// What a write takes, and whether it works.
pub trait Disk: Send + Sync {
    /// Before something is written. An error: it was not.
    fn before(&self) -> BoxFuture<'_, Result<(), BackendError>>;

    /// After something was written. An error: it was, but nobody is told.
    fn after(&self) -> BoxFuture<'_, Result<(), BackendError>>;
}

/// The way from one server to the database.
pub trait Connection: Send + Sync {
    /// Before anything is read or written. An error: it was not.
    fn request(&self) -> BoxFuture<'_, Result<(), BackendError>>;
}

/// How long the database has been there, by its own clock.
pub type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// The database.
#[derive(Default)]
pub struct Memory {
    books: Arc<Mutex<Books>>,
    disk: Option<Box<dyn Disk>>,
    connection: Option<Box<dyn Connection>>,
    /// What several servers share has a clock. None: one server has it to itself.
    clock: Option<Clock>,
}

/// When a node was heard, by the database's clock.
#[derive(Clone, Copy)]
struct Heard {
    /// Since when without a gap.
    since: Duration,
    last: Duration,
}

#[derive(Default)]
struct Books {
    payments: BTreeMap<String, Payment>,
    callbacks: BTreeMap<i64, Callback>,
    sessions: BTreeMap<String, Session>,
    calls: BTreeMap<String, Call>,
    connectors: BTreeMap<String, ConnectorRow>,
    revision: i64,
    nodes: BTreeMap<NodeId, Heard>,
    notes: BTreeMap<String, Vec<u8>>,
    audit: audit::Trail,
    nonces: BTreeMap<String, Timestamp>,
    order: u64,
    /// The last callback's id: one that was forgotten is not given again.
    last_id: i64,
    /// The last call's place.
    last_call: u64,
}

struct Payment {
    row: PaymentRow,
    /// Its place among all, for lists.
    order: u64,
    sealed: Option<Vec<u8>>,
    note: Option<Vec<u8>>,
    node: Option<NodeId>,
}

impl Payment {
    /// The payment, if its outcome may still be found out, as it is at `now` by the clock that wrote it down.
    fn unsettled(&self, now: Timestamp) -> Option<Unsettled> {
        let (row, sealed, note) = (self.row.clone(), self.sealed.clone()?, self.note.clone());
        Some(Unsettled { sent: SentAgo::at(now, &row), row, sealed, note })
    }
}

/// A call and whose it is.
struct Call {
    row: CallRow,
    node: Option<NodeId>,
}

struct Callback {
    row: CallbackRow,
    node: Option<NodeId>,
}

impl Callback {
    const fn is_open(&self) -> bool {
        matches!(self.row.state, CallbackState::Waiting | CallbackState::Held)
    }

    fn pending(&self) -> PendingCallback {
        let CallbackRow { id, call_sid, kind, url, tries, reason, since, .. } = self.row.clone();
        PendingCallback { id, call_sid, kind, url, tries, was_tried: tries > 0 || reason.is_some(), since }
    }
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
        Self { disk: Some(disk), ..Self::default() }
    }

    /// The same database as another server sees it: over its own `connection`, and with `disk` for what it writes.
    #[must_use]
    pub fn reached_over(&self, connection: Box<dyn Connection>, disk: Box<dyn Disk>) -> Self {
        Self { books: Arc::clone(&self.books), disk: Some(disk), connection: Some(connection), clock: None }
    }

    /// The same for several servers, whose leases run by this clock.
    #[must_use]
    pub fn shared(self, clock: Clock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// What time it is here, for rows: a shared database's own time, else that of its one server.
    fn moment(&self, now: Timestamp) -> Timestamp {
        let Some(clock) = &self.clock else { return now };
        Timestamp::UNIX_EPOCH.checked_add(clock()).unwrap_or(Timestamp::MAX)
    }

    /// Whose rows `node` may claim, but for nobody's.
    fn silent_for(&self, books: &Books, node: NodeId) -> Silent {
        let Some(clock) = &self.clock else { return Silent::Nobody };
        let Some(dead) = clock().checked_sub(GONE_AFTER) else { return Silent::Nobody };
        match books.nodes.get(&node) {
            Some(heard) if heard.since <= dead && heard.last >= dead => Silent::Since(dead),
            _ => Silent::Nobody,
        }
    }

    fn read<'a, T: Send + 'a>(
        &'a self,
        read: impl FnOnce(&Books) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, BackendError>> {
        async move {
            self.request().await?;
            Ok(read(&self.lock()))
        }
        .boxed()
    }

    fn write<'a, T: Send + 'a>(
        &'a self,
        write: impl FnOnce(&mut Books) -> Result<T, BackendError> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, BackendError>> {
        async move {
            self.request().await?;
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

    async fn request(&self) -> Result<(), BackendError> {
        match &self.connection {
            Some(connection) => connection.request().await,
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose rows may be claimed.
#[derive(Clone, Copy)]
enum Silent {
    /// Those that have no node.
    Nobody,
    /// Those too whose node was not heard since this moment.
    Since(Duration),
}

impl Books {
    fn is_free(&self, node: Option<NodeId>, silent: Silent) -> bool {
        match (node, silent) {
            (None, _) => true,
            (Some(_), Silent::Nobody) => false,
            (Some(node), Silent::Since(dead)) => self.nodes.get(&node).is_none_or(|heard| heard.last < dead),
        }
    }

    fn hear(&mut self, node: NodeId, now: Duration) {
        for node in [node, node.keeper()] {
            let heard = self.nodes.entry(node).or_insert(Heard { since: now, last: now });
            if now.saturating_sub(heard.last) > HEARTBEAT_GAP_MAX {
                heard.since = now;
            }
            heard.last = now;
        }
    }

    fn release(&mut self, is_released: impl Fn(NodeId) -> bool) {
        for payment in self.payments.values_mut().filter(|payment| payment.sealed.is_some()) {
            payment.node = payment.node.filter(|node| !is_released(*node));
        }
        for callback in self.callbacks.values_mut() {
            if callback.is_open() {
                callback.node = callback.node.filter(|node| !is_released(*node));
            }
        }
        self.release_sessions(&is_released);
        self.release_calls(&is_released);
    }

    fn by_token(&self, token: uuid::Uuid) -> Option<&Callback> {
        self.callbacks.values().find(|known| known.row.token == token)
    }

    /// Whether another node has open callbacks of this call, and may not be taken over.
    fn is_seen_to(&self, call_sid: &str, own: [NodeId; 2], silent: Silent) -> bool {
        self.callbacks.values().any(|callback| {
            let is_others = callback.node.is_some_and(|node| !own.contains(&node));
            let follows = callback.row.kind == CallbackKind::Status;
            let counts = callback.row.call_sid == call_sid && callback.is_open() && follows && is_others;
            counts && !self.is_free(callback.node, silent)
        })
    }

    /// Gives its id, or that of the known one with its token.
    fn insert(&mut self, callback: NewCallback, node: NodeId, now: Timestamp) -> i64 {
        if let Some(known) = self.by_token(callback.token) {
            return known.row.id;
        }
        self.last_id = self.last_id.saturating_add(1);
        let id = self.last_id;
        let NewCallback { token, call_sid, payment_sid, kind, method, url, sealed, state, progress_of: _ } = callback;
        let follows = kind == CallbackKind::Status
            && self.callbacks.values().any(|known| {
                known.row.call_sid == call_sid
                    && known.row.kind == CallbackKind::Status
                    && known.is_open()
                    && known.node != Some(node)
            });
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
        self.callbacks.insert(id, Callback { row, node: (!follows).then_some(node) });
        id
    }

    fn write_outcome(&mut self, SettledPayment { sid, outcome, .. }: SettledPayment, now: Timestamp) {
        let Some(payment) = self.payments.get_mut(&sid) else { return };
        let row = &mut payment.row;
        row.state = settling::state(outcome.standing);
        row.result = Some(outcome.result.word().to_owned());
        row.error_code = outcome.code.map(|code| code.number());
        row.error = outcome.error;
        row.confirmation_code = outcome.confirmation_code;
        row.updated = now;
        if outcome.standing != Standing::Unknown {
            (payment.sealed, payment.note) = (None, None);
        }
    }

    fn change_callback(
        &mut self,
        id: i64,
        node: NodeId,
        now: Timestamp,
        change: impl FnOnce(&mut CallbackRow),
    ) -> Result<(), BackendError> {
        let is_own = |callback: &&mut Callback| [Some(node), Some(node.keeper())].contains(&callback.node);
        let callback = self.callbacks.get_mut(&id).filter(is_own).ok_or(BackendError::NotFound)?;
        callback.row.updated = now;
        change(&mut callback.row);
        Ok(())
    }

    fn change_connector(&mut self, name: &str, change: ConnectorChange, now: Timestamp) -> Result<(), BackendError> {
        match change {
            ConnectorChange::Insert { .. } if self.connectors.contains_key(name) => {
                return Err(BackendError::Duplicate);
            }
            ConnectorChange::Insert { sealed } => {
                let row = ConnectorRow { name: name.to_owned(), sealed, withdrawn: None, created: now, updated: now };
                self.connectors.insert(name.to_owned(), row);
            }
            ConnectorChange::Update { was, sealed, authorized } => {
                let row = self.connectors.get_mut(name).ok_or(BackendError::NotFound)?;
                if row.sealed != was && row.sealed != sealed {
                    return Err(BackendError::NotFound);
                }
                (row.sealed, row.updated) = (sealed, now);
                if authorized == Authorized::Anew {
                    row.withdrawn = None;
                }
            }
            ConnectorChange::Remove => {
                self.connectors.remove(name).ok_or(BackendError::NotFound)?;
            }
        }
        self.revision = self.revision.saturating_add(1);
        Ok(())
    }

    /// As [`Self::change_callback`], of one that is not delivered.
    fn change_undelivered(
        &mut self,
        id: i64,
        node: NodeId,
        now: Timestamp,
        change: impl FnOnce(&mut CallbackRow),
    ) -> Result<(), BackendError> {
        let is_delivered =
            self.callbacks.get(&id).is_some_and(|callback| callback.row.state == CallbackState::Delivered);
        if is_delivered { Err(BackendError::NotFound) } else { self.change_callback(id, node, now, change) }
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
            books.ask_session(&payment, node)?;
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
        number: u32,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            let sent = self.moment(now);
            let known = books.payments.get_mut(sid).filter(|payment| payment.node == Some(node));
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
        self.write(move |books| {
            let known = books.payments.get(&payment.sid).map(|known| Known {
                state: known.row.state,
                node: known.node,
                result: known.row.result.clone(),
                error_code: known.row.error_code,
                confirmation_code: known.row.confirmation_code.clone(),
            });
            let mut entry = Entry::of(known.as_ref(), &payment);
            let writes = matches!(entry, Entry::Unbooked | Entry::First | Entry::Late);
            if writes && books.end_session(&payment, known.is_some(), node, now).is_err() {
                entry = Entry::Otherwise;
            }
            let (mut told, mut booked) = (Vec::new(), Booked::First);
            match entry {
                Entry::Otherwise => booked = Booked::Otherwise,
                Entry::Unbooked => told = first,
                Entry::First => {
                    books.write_outcome(payment, now);
                    told = first;
                }
                Entry::Late => {
                    books.write_outcome(payment, now);
                    (told, booked) = (late, Booked::Late);
                }
                Entry::Again => {
                    if late.iter().any(|callback| books.by_token(callback.token).is_some()) {
                        booked = Booked::Late;
                    }
                    told = first.into_iter().chain(late).filter(|new| books.by_token(new.token).is_some()).collect();
                }
            }
            let mut callbacks = Vec::new();
            for callback in told {
                let id = books.insert(callback, node, now);
                let own = books.callbacks.get(&id).filter(|callback| callback.is_open() && callback.node == Some(node));
                callbacks.extend(own.map(|callback| callback.row.clone()));
            }
            Ok(Settling { booked, callbacks })
        })
    }

    fn insert_callback(
        &self,
        callback: NewCallback,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Inserted, BackendError>> {
        self.write(move |books| {
            let is_known = books.by_token(callback.token).is_some();
            if !is_known && callback.progress_of.as_ref().is_some_and(|sid| books.is_led_elsewhere(sid, node)) {
                return Err(BackendError::NotFound);
            }
            let id = books.insert(callback, node, now);
            let known = books.callbacks.get(&id);
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
        self.write(move |books| {
            let (own, silent) = ([keeper, node], self.silent_for(books, node));
            let is_free = |callback: &Callback| {
                let is_own = callback.node.is_some_and(|node| own.contains(&node));
                callback.is_open() && !is_own && books.is_free(callback.node, silent)
            };
            let calls: BTreeSet<String> = books
                .callbacks
                .values()
                .filter(|callback| is_free(callback) && !books.is_seen_to(&callback.row.call_sid, own, silent))
                .take(limit.try_into().unwrap_or(usize::MAX))
                .map(|callback| callback.row.call_sid.clone())
                .collect();
            let free: Vec<i64> = books
                .callbacks
                .values()
                .filter(|callback| calls.contains(&callback.row.call_sid) && is_free(callback))
                .map(|callback| callback.row.id)
                .collect();
            let mut claimed = Vec::new();
            for id in free {
                if let Some(callback) = books.callbacks.get_mut(&id) {
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
        self.read(move |books| {
            let after = books.callbacks.values().filter(|callback| callback.row.id > after_id);
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
            let opened = self.read(move |books| {
                let callback = books.callbacks.get(&id).filter(|callback| is_own(callback))?;
                let comes_first = |earlier: &Callback| {
                    earlier.is_open()
                        && earlier.row.kind == CallbackKind::Status
                        && earlier.row.call_sid == callback.row.call_sid
                        && !own.contains(&earlier.node)
                };
                let follows = callback.row.kind == CallbackKind::Status
                    && books.callbacks.range(..id).any(|(_, earlier)| comes_first(earlier));
                Some((callback.row.clone(), follows))
            });
            match opened.await? {
                Some((_, true)) => {}
                Some((row, false)) => return Ok(Some(row)),
                None => return Ok(None),
            }
            self.write(move |books| {
                if let Some(callback) = books.callbacks.get_mut(&id).filter(|callback| is_own(callback)) {
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
        self.write(move |books| {
            let (silent, now) = (self.silent_for(books, node), self.moment(now));
            let mut free: Vec<(bool, u64, String)> = books
                .payments
                .values()
                .filter(|payment| payment.sealed.is_some() && books.is_free(payment.node, silent))
                .map(|payment| (payment.row.state == PaymentState::Unknown, payment.order, payment.row.sid.clone()))
                .collect();
            free.sort_unstable();
            free.truncate(limit.try_into().unwrap_or(usize::MAX));
            let mut claimed = Vec::new();
            for (.., sid) in free {
                let Some(payment) = books.payments.get_mut(&sid) else { continue };
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
        self.read(move |books| {
            let now = self.moment(now);
            let after = after_sid.and_then(|sid| books.payments.get(&sid)).map(|payment| payment.order);
            let claimed = books.payments.values().filter(|payment| payment.node == Some(keeper));
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
        self.write(move |books| {
            let known = books.payments.get_mut(sid).filter(|payment| payment.row.state == PaymentState::Unknown);
            let payment = known.ok_or(BackendError::NotFound)?;
            (payment.sealed, payment.note) = (None, None);
            payment.row.updated = now;
            Ok(())
        })
    }

    fn mark_delivered(&self, id: i64, node: NodeId, now: Timestamp) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |books| {
            books.change_callback(id, node, now, |row| {
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
        self.write(move |books| {
            books.change_undelivered(id, node, now, |row| {
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
        self.write(move |books| {
            books.change_undelivered(id, node, now, |row| {
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
                    (row.tries, row.reason, row.since, row.updated) = (0, None, now, now);
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

    fn register(&self, node: NodeId, ended: Option<NodeId>) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |books| {
            let over = ended.map(|ended| [ended, ended.keeper()]);
            match &self.clock {
                None => books.release(|_| true),
                Some(clock) => {
                    books.release(|node| over.is_some_and(|over| over.contains(&node)));
                    books.hear(node, clock());
                }
            }
            Ok(())
        })
    }

    fn heartbeat(&self, node: NodeId) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |books| {
            if let Some(clock) = &self.clock {
                books.hear(node, clock());
            }
            Ok(())
        })
    }

    fn is_shared(&self) -> bool {
        self.clock.is_some()
    }

    fn release(&self, node: NodeId) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(move |books| {
            books.release(|owner| owner == node);
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

    fn change_connector<'a>(
        &'a self,
        name: &'a str,
        change: ConnectorChange,
        audit: NewAudit,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            books.change_connector(name, change, now)?;
            books.audit.add(audit, now);
            Ok(())
        })
    }

    fn audit(&self, filter: AuditFilter) -> BoxFuture<'_, Result<Vec<AuditRow>, BackendError>> {
        self.read(move |books| books.audit.list(&filter))
    }

    fn use_nonce<'a>(
        &'a self,
        value: &'a str,
        expires: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            if books.nonces.contains_key(value) {
                return Err(BackendError::Duplicate);
            }
            books.nonces.insert(value.to_owned(), expires);
            books.nonces.retain(|_, expires| *expires >= now);
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

    fn reseal<'a>(&'a self, what: Resealed, was: &'a [u8], sealed: Vec<u8>) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(move |books| {
            let stood = match &what {
                Resealed::Payment(sid) => books.payments.get_mut(sid).and_then(|payment| payment.sealed.as_mut()),
                Resealed::PaymentNote(sid) => books.payments.get_mut(sid).and_then(|payment| payment.note.as_mut()),
                Resealed::Callback(token) => {
                    let mut callbacks = books.callbacks.values_mut();
                    callbacks.find(|known| known.row.token == *token).and_then(|known| known.row.sealed.as_mut())
                }
                Resealed::Connector(name) => books.connectors.get_mut(name).map(|row| &mut row.sealed),
            };
            if let Some(stood) = stood.filter(|stood| **stood == was) {
                *stood = sealed;
                if let Resealed::Connector(_) = what {
                    books.revision = books.revision.saturating_add(1);
                }
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
