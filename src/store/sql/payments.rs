//! Payments in SQL.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::Dialect;
use super::callbacks::{self, Insert, Stored};
use super::failure::{Trouble, readable};
use super::nodes::{self, Claimable};
use super::sessions;
use super::value::{Bound, Conditions, moment, number, some_moment, some_number, some_text, string, text, word};
use super::work::{On, Work};
use crate::pay::outcome::Standing;
use crate::store::backend::{
    BackendError, Booked, CallbackRow, NewCallback, NewPayment, NodeId, PaymentFilter, PaymentRow, PaymentState,
    SentAgo, SettledPayment, Settling, Unsettled,
};
use crate::store::record::led_by;
use crate::store::settling::{self, Entry, Known};

/// Every column of a [`PaymentRow`].
const ROW: &str = "sid, call_sid, connector, led_by, operation, amount, currency, token_type, means, masked, brand, \
     state, result, error_code, error, confirmation_code, sends, first_sent, last_sent, created, updated";

/// Payments whose outcome may still be found out.
const OPEN: Claimable = Claimable { table: "payments", place: "place", open: "sealed IS NOT NULL" };

/// Those of them that nothing was told of.
const UNTOLD: Claimable =
    Claimable { table: "payments", place: "place", open: "sealed IS NOT NULL AND state <> 'unknown'" };

/// Those of them that were told as unknown, in words by which SQLite does not find the index of all that ever were.
const UNKNOWN: Claimable = Claimable {
    table: "payments",
    place: "place",
    open: "sealed IS NOT NULL AND state NOT IN ('preparing', 'submitting')",
};

/// See [`crate::store::Backend::insert_payment`].
pub(super) struct InsertPayment {
    pub(super) payment: NewPayment,
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
}

impl Work for InsertPayment {
    type Done = ();
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        let NewPayment {
            sid,
            call_sid,
            connector,
            led_by: leader,
            operation,
            amount,
            currency,
            token_type,
            means,
            masked,
            brand,
            begun: _,
            sealed,
        } = &self.payment;
        let now = self.now.as_millisecond();
        async move {
            let insert = match on.dialect {
                // Its writer runs both in one transaction.
                Dialect::Sqlite => {
                    sessions::ask(on, &self.payment, self.node).await?;
                    sqlx::query(
                        "INSERT INTO payments (sid, call_sid, connector, led_by, operation, amount, currency, \
                         token_type, means, masked, brand, state, sends, created, updated, sealed, node) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, $13, $13, $14, $15) \
                         ON CONFLICT (sid) DO NOTHING",
                    )
                }
                // One statement, which is a transaction of its own: no round trips for its beginning and end. Whoever ends
                // the session at the same time waits for it, or is waited for.
                Dialect::Postgres => sqlx::query(
                    "WITH asked AS (INSERT INTO sessions (sid, call_sid, connector, led_by, operation, amount, currency, \
                     token_type, means, state, begun, node) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'asked', $16, $15) \
                     ON CONFLICT (sid) DO UPDATE SET state = 'asked', sealed = NULL WHERE sessions.state <> 'ended' \
                     RETURNING sid) \
                     INSERT INTO payments (sid, call_sid, connector, led_by, operation, amount, currency, token_type, \
                     means, masked, brand, state, sends, created, updated, sealed, node) \
                     SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, $13, $13, $14, $15 FROM asked \
                     ON CONFLICT (sid) DO NOTHING",
                ),
            };
            let insert = insert
            .bind(text(sid))
            .bind(text(call_sid))
            .bind(text(connector))
            .bind(led_by(*leader))
            .bind(*operation)
            .bind(some_text(amount.as_deref()))
            .bind(text(currency))
            .bind(*token_type)
            .bind(*means)
            .bind(some_text(masked.as_deref()))
            .bind(some_text(brand.as_deref()))
            .bind(PaymentState::Preparing.word())
            .bind(now)
            .bind(sealed.clone())
            .bind(nodes::text(self.node));
            if on.dialect == Dialect::Sqlite {
                on.execute(insert).await?;
                return Ok(());
            }
            // Nothing was inserted: this repeats what was written before, or the session has ended.
            match on.execute(insert.bind(self.payment.begun.as_millisecond())).await? {
                0 => one(on, sid).await?.map(|_| ()).ok_or_else(|| BackendError::NotFound.into()),
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

/// See [`crate::store::Backend::mark_sending`].
pub(super) struct MarkSending {
    pub(super) sid: String,
    pub(super) note: Option<Vec<u8>>,
    pub(super) number: u32,
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
}

impl Work for MarkSending {
    type Done = ();
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let sent = on.dialect.now("$2");
            let update = format!(
                "UPDATE payments SET state = CASE state WHEN 'preparing' THEN 'submitting' ELSE state END, \
                 sends = CASE WHEN sends < $4 THEN $4 ELSE sends END, first_sent = COALESCE(first_sent, {sent}), \
                 last_sent = {sent}, updated = $2, note = COALESCE($3, note) \
                 WHERE sid = $1 AND node = $5 AND state IN ('preparing', 'submitting', 'unknown')",
            );
            let update = sqlx::query(sqlx::AssertSqlSafe(update))
                .bind(text(&self.sid))
                .bind(self.now.as_millisecond())
                .bind(self.note.clone())
                .bind(i64::from(self.number))
                .bind(nodes::text(self.node));
            changed(on.execute(update).await?)
        }
        .boxed()
    }
}

/// See [`crate::store::Backend::settle_payment`].
pub(super) struct SettlePayment {
    pub(super) payment: SettledPayment,
    pub(super) first: Vec<NewCallback>,
    pub(super) late: Vec<NewCallback>,
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
}

impl Work for SettlePayment {
    type Done = Settling;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Self::Done, Trouble>> {
        async move {
            let known = self.known(on).await?;
            match Entry::of(known.as_ref(), &self.payment) {
                Entry::Otherwise => Ok(Settling { booked: Booked::Otherwise, callbacks: Vec::new() }),
                Entry::Unbooked if !self.end_session(on, false).await? => {
                    Ok(Settling { booked: Booked::Otherwise, callbacks: Vec::new() })
                }
                Entry::Unbooked => {
                    let mut settling = Settling { booked: Booked::First, callbacks: Vec::new() };
                    for stored in self.insert(on, &self.first).await? {
                        if !stored.is_new && !stored.is_of(self.node) {
                            settling.booked = Booked::Otherwise;
                        }
                        settling.callbacks.extend(stored.open_of(self.node));
                    }
                    Ok(settling)
                }
                Entry::First => {
                    self.write(on).await?;
                    self.end_session(on, true).await?;
                    let stored = self.insert(on, &self.first).await?;
                    Ok(Settling { booked: Booked::First, callbacks: self.mine(stored) })
                }
                Entry::Late => {
                    self.write(on).await?;
                    self.end_session(on, true).await?;
                    let stored = self.insert(on, &self.late).await?;
                    Ok(Settling { booked: Booked::Late, callbacks: self.mine(stored) })
                }
                Entry::Again => {
                    let (first, late) = (self.stored(on, &self.first).await?, self.stored(on, &self.late).await?);
                    let booked = if late.is_empty() { Booked::First } else { Booked::Late };
                    Ok(Settling { booked, callbacks: self.mine(first.into_iter().chain(late)) })
                }
            }
        }
        .boxed()
    }
}

impl SettlePayment {
    async fn known(&self, on: &mut On<'_>) -> Result<Option<Known>, Trouble> {
        let select = match on.dialect.locks_rows() {
            true => "SELECT state, node, result, error_code, confirmation_code FROM payments WHERE sid = $1 FOR UPDATE",
            false => "SELECT state, node, result, error_code, confirmation_code FROM payments WHERE sid = $1",
        };
        let Some(row) = on.row(sqlx::query(select).bind(text(&self.payment.sid))).await? else { return Ok(None) };
        Ok(Some(Known {
            state: word(&row, "state", PaymentState::parse)?,
            node: nodes::read(&row)?,
            result: row.try_get("result")?,
            error_code: some_number(&row, "error_code")?,
            confirmation_code: row.try_get("confirmation_code")?,
        }))
    }

    async fn insert(&self, on: &mut On<'_>, callbacks: &[NewCallback]) -> Result<Vec<Stored>, Trouble> {
        let mut stored = Vec::with_capacity(callbacks.len());
        for callback in callbacks {
            stored.push(Insert { callback, node: self.node, now: self.now }.run(on).await?);
        }
        Ok(stored)
    }

    async fn stored(&self, on: &mut On<'_>, callbacks: &[NewCallback]) -> Result<Vec<Stored>, Trouble> {
        let mut stored = Vec::with_capacity(callbacks.len());
        for callback in callbacks {
            stored.extend(callbacks::by_token(on, callback.token).await?);
        }
        Ok(stored)
    }

    /// Those that the writer has to see to.
    fn mine(&self, stored: impl IntoIterator<Item = Stored>) -> Vec<CallbackRow> {
        stored.into_iter().filter_map(|stored| stored.open_of(self.node)).collect()
    }

    /// Writes the outcome into the session's row. False: another node has ended it.
    async fn end_session(&self, on: &mut On<'_>, has_payment: bool) -> Result<bool, Trouble> {
        match sessions::end(on, &self.payment, has_payment, self.node, self.now).await {
            Ok(()) => Ok(true),
            Err(Trouble::Refused(BackendError::NotFound)) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    async fn write(&self, on: &mut On<'_>) -> Result<(), Trouble> {
        let SettledPayment { sid, outcome, .. } = &self.payment;
        let state = settling::state(outcome.standing);
        let update = match outcome.standing {
            Standing::Unknown => {
                "UPDATE payments SET state = $2, result = $3, error_code = $4, error = $5, confirmation_code = $6, \
                 updated = $7 WHERE sid = $1"
            }
            Standing::Succeeded | Standing::Failed => {
                "UPDATE payments SET state = $2, result = $3, error_code = $4, error = $5, confirmation_code = $6, \
                 updated = $7, sealed = NULL, note = NULL WHERE sid = $1"
            }
        };
        let update = sqlx::query(update)
            .bind(text(sid))
            .bind(state.word())
            .bind(outcome.result.word())
            .bind(outcome.code.map(|code| i64::from(code.number())))
            .bind(some_text(outcome.error.as_deref()))
            .bind(some_text(outcome.confirmation_code.as_deref()))
            .bind(self.now.as_millisecond());
        on.execute(update).await?;
        Ok(())
    }
}

/// See [`crate::store::Backend::claim_payments`].
pub(super) struct ClaimPayments {
    pub(super) node: NodeId,
    pub(super) limit: u32,
    pub(super) now: Timestamp,
}

impl Work for ClaimPayments {
    type Done = Vec<Unsettled>;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Self::Done, Trouble>> {
        async move {
            if !nodes::lock_claims(on).await? {
                return Ok(Vec::new());
            }
            let silent = OPEN.silent_for(on, self.node).await?;
            let mut claimed = Vec::new();
            let (mut room, mut now) = (self.limit, None);
            for kind in [UNTOLD, UNKNOWN] {
                let places = kind.free(on, &silent, room).await?;
                if places.is_empty() {
                    continue;
                }
                room = room.saturating_sub(u32::try_from(places.len()).unwrap_or(u32::MAX));
                let now = match now {
                    Some(now) => now,
                    None => *now.insert(nodes::now(on, self.now).await?),
                };
                let rows = kind.take(on, &places, self.node, ("", &unsettled_columns())).await?;
                let mut taken: Vec<(i64, Unsettled)> =
                    rows.iter().filter_map(|row| readable("place", row, |row| unsettled(row, now))).collect();
                // What an update returns is in no order.
                taken.sort_unstable_by_key(|(place, _)| *place);
                claimed.extend(taken.into_iter().map(|(_, unsettled)| unsettled));
            }
            Ok(claimed)
        }
        .boxed()
    }
}

fn unsettled_columns() -> String {
    format!("place, sealed, note, {ROW}")
}

/// A payment without an outcome as it is at `now`, and its place.
fn unsettled(row: &AnyRow, now: Timestamp) -> Result<(i64, Unsettled), Trouble> {
    let (place, sealed, note) = (number(row, "place")?, row.try_get("sealed")?, row.try_get("note")?);
    let row = read(row)?;
    Ok((place, Unsettled { sent: SentAgo::at(now, &row), row, sealed, note }))
}

/// See [`crate::store::Backend::claimed_payments`].
pub(super) async fn claimed(
    on: &mut On<'_>,
    keeper: NodeId,
    after_sid: Option<String>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Unsettled>, Trouble> {
    let now = nodes::now(on, now).await?;
    let select = format!(
        "SELECT {} FROM payments WHERE sealed IS NOT NULL AND node = $1 \
         AND place > COALESCE((SELECT place FROM payments WHERE sid = $2), 0) ORDER BY place LIMIT $3",
        unsettled_columns()
    );
    let select = sqlx::query(sqlx::AssertSqlSafe(select))
        .bind(nodes::text(keeper))
        .bind(some_text(after_sid.as_deref()))
        .bind(i64::from(limit));
    let rows = on.rows(select).await?;
    let read = rows.iter().filter_map(|row| readable("place", row, |row| unsettled(row, now)));
    Ok(read.map(|(_, unsettled)| unsettled).collect())
}

/// See [`crate::store::Backend::give_up_payment`].
pub(super) struct GiveUpPayment {
    pub(super) sid: String,
    pub(super) now: Timestamp,
}

impl Work for GiveUpPayment {
    type Done = ();
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let update = sqlx::query(
                "UPDATE payments SET sealed = NULL, note = NULL, updated = $2 WHERE sid = $1 AND state = 'unknown'",
            )
            .bind(text(&self.sid))
            .bind(self.now.as_millisecond());
            changed(on.execute(update).await?)
        }
        .boxed()
    }
}

/// A payment.
pub(super) async fn one(on: &mut On<'_>, sid: &str) -> Result<Option<PaymentRow>, Trouble> {
    let select = format!("SELECT {ROW} FROM payments WHERE sid = $1");
    let row = on.row(sqlx::query(sqlx::AssertSqlSafe(select)).bind(text(sid))).await?;
    row.map(|row| read(&row)).transpose()
}

/// Payments, the newest first.
pub(super) async fn list(on: &mut On<'_>, filter: PaymentFilter) -> Result<Vec<PaymentRow>, Trouble> {
    let PaymentFilter { call_sid, state, connector, from, before, after_sid, limit } = filter;
    let of = |some: Option<String>| some.map(|some| Bound::Text(text(&some)));
    let at = |moment: Option<Timestamp>| moment.map(|moment| Bound::Number(moment.as_millisecond()));
    let mut conditions = Conditions::default();
    conditions.and("call_sid = ?", of(call_sid));
    conditions.and("state = ?", state.map(|state| Bound::Text(state.word().to_owned())));
    conditions.and("connector = ?", of(connector));
    conditions.and("created >= ?", at(from));
    conditions.and("created < ?", at(before));
    // No payment of that id: nothing is passed over.
    conditions.and("place < COALESCE((SELECT place FROM payments WHERE sid = ?), 9223372036854775807)", of(after_sid));
    let select = format!("SELECT {ROW} FROM payments");
    let rows = on.rows(conditions.query(&select, "place DESC", limit)).await?;
    Ok(rows.iter().filter_map(|row| readable("sid", row, read)).collect())
}

fn read(row: &AnyRow) -> Result<PaymentRow, Trouble> {
    Ok(PaymentRow {
        sid: string(row, "sid")?,
        call_sid: string(row, "call_sid")?,
        connector: string(row, "connector")?,
        led_by: string(row, "led_by")?,
        operation: string(row, "operation")?,
        amount: row.try_get("amount")?,
        currency: string(row, "currency")?,
        token_type: row.try_get("token_type")?,
        means: string(row, "means")?,
        masked: row.try_get("masked")?,
        brand: row.try_get("brand")?,
        state: word(row, "state", PaymentState::parse)?,
        result: row.try_get("result")?,
        error_code: some_number(row, "error_code")?,
        error: row.try_get("error")?,
        confirmation_code: row.try_get("confirmation_code")?,
        sends: number(row, "sends")?,
        first_sent: some_moment(row, "first_sent")?,
        last_sent: some_moment(row, "last_sent")?,
        created: moment(row, "created")?,
        updated: moment(row, "updated")?,
    })
}

/// Whether there was such a row.
pub(super) fn changed(rows: u64) -> Result<(), Trouble> {
    if rows == 0 { Err(BackendError::NotFound.into()) } else { Ok(()) }
}
