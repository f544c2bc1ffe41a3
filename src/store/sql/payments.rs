//! Payments in SQL.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::SqlDialect;
use super::failure::{Trouble, readable};
use super::nodes::{self, Claimable};
use super::sessions;
use super::statement::On;
use super::value::{
    Bound, Conditions, Narrowed, moment, number, some_moment, some_number, some_text, string, text, word,
};
use super::work::Work;
use crate::store::backend::{
    BackendError, NewPayment, NodeId, PaymentFilter, PaymentRow, PaymentState, SentAgo, Unsettled,
};
use crate::store::record::led_by;

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
                SqlDialect::Sqlite => {
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
                SqlDialect::Postgres => sqlx::query(
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
            .bind(sealed.as_slice())
            .bind(nodes::text(self.node));
            if on.dialect == SqlDialect::Sqlite {
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
            // By the database's clock where servers share it: theirs differ. `sends` is set to the number, not counted
            // up: a write whose answer was lost is repeated.
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
                .bind(self.note.as_deref())
                .bind(i64::from(self.number))
                .bind(nodes::text(self.node));
            changed(on.execute(update).await?)
        }
        .boxed()
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
            // Those that nobody was told of come first.
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
    let narrowed = Narrowed { call_sid, connector, from, before, after_sid };
    let mut conditions = Conditions::of_list("payments", "created", narrowed);
    conditions.and("state = ?", state.map(|state| Bound::Text(state.word().to_owned())));
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
