//! Callbacks in SQL.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::failure::Trouble;
use super::nodes::{self, Claimable};
use super::payments::changed;
use super::value::{Bound, Conditions, moment, number, some_text, string, text, uuid, word};
use super::work::{On, Work};
use crate::store::CallbackKind;
use crate::store::backend::{CallbackFilter, CallbackRow, CallbackState, NewCallback, NodeId};
use crate::twiml::Method;

/// Every column of a [`CallbackRow`].
const ROW: &str = "id, token, call_sid, payment_sid, kind, method, url, sealed, state, tries, reason, since, updated";

/// Callbacks that are to be delivered.
const OPEN: Claimable = Claimable { table: "callbacks", place: "id", open: "state IN ('waiting', 'held')" };

/// The condition for a state, in the words by which SQLite finds the index: of those that are open, or of the others.
const fn is(state: CallbackState) -> &'static str {
    match state {
        CallbackState::Waiting => "state IN ('waiting', 'held') AND state = 'waiting'",
        CallbackState::Held => "state IN ('waiting', 'held') AND state = 'held'",
        CallbackState::Delivered => "state NOT IN ('waiting', 'held') AND state = 'delivered'",
        CallbackState::Parked => "state NOT IN ('waiting', 'held') AND state = 'parked'",
    }
}

/// A callback and whose it is.
pub(super) struct Stored {
    row: CallbackRow,
    node: Option<String>,
}

impl Stored {
    /// Whether it is `node`'s.
    pub(super) fn is_of(&self, node: NodeId) -> bool {
        self.node == Some(nodes::text(node))
    }

    /// The callback, if `node` has to see to it.
    pub(super) fn open_of(self, node: NodeId) -> Option<CallbackRow> {
        let is_open = matches!(self.row.state, CallbackState::Waiting | CallbackState::Held);
        (is_open && self.is_of(node)).then_some(self.row)
    }
}

/// Stores a callback, unless its token is known.
pub(super) struct Insert<'a> {
    pub(super) callback: &'a NewCallback,
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
}

impl Insert<'_> {
    /// Gives it, or the known one.
    pub(super) async fn run(self, on: &mut On<'_>) -> Result<Stored, Trouble> {
        let NewCallback { token, call_sid, payment_sid, kind, method, url, sealed, state } = self.callback;
        // A conflict changes nothing; without `DO UPDATE` the known row would not be returned.
        let sql = format!(
            "INSERT INTO callbacks (token, call_sid, payment_sid, kind, method, url, sealed, state, tries, since, updated, \
             node) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $9, $10) \
             ON CONFLICT (token) DO UPDATE SET token = excluded.token RETURNING node, {ROW}"
        );
        let insert = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(token.to_string())
            .bind(text(call_sid))
            .bind(some_text(payment_sid.as_deref()))
            .bind(kind.word())
            .bind(method.to_string())
            .bind(text(url))
            .bind(sealed.clone())
            .bind(state.word())
            .bind(self.now.as_millisecond())
            .bind(nodes::text(self.node));
        // All of them, so that the statement is run to its end.
        let rows = on.rows(insert).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        stored(row)
    }
}

/// The callback with this token.
pub(super) async fn by_token(on: &mut On<'_>, token: Uuid) -> Result<Option<Stored>, Trouble> {
    let select = format!("SELECT node, {ROW} FROM callbacks WHERE token = $1");
    let row = on.row(sqlx::query(sqlx::AssertSqlSafe(select)).bind(token.to_string())).await?;
    row.map(|row| stored(&row)).transpose()
}

/// See [`crate::store::Backend::insert_callback`].
pub(super) struct InsertCallback {
    pub(super) callback: NewCallback,
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
}

impl Work for InsertCallback {
    type Done = i64;
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<i64, Trouble>> {
        async move {
            let stored = Insert { callback: &self.callback, node: self.node, now: self.now }.run(on).await?;
            Ok(stored.row.id)
        }
        .boxed()
    }
}

/// See [`crate::store::Backend::claim_callbacks`].
pub(super) struct ClaimCallbacks {
    pub(super) node: NodeId,
    pub(super) limit: u32,
}

impl Work for ClaimCallbacks {
    type Done = Vec<CallbackRow>;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Self::Done, Trouble>> {
        async move {
            let places = OPEN.free(on, self.limit, self.node).await?;
            let rows = OPEN.take(on, &places, self.node, (", state = 'waiting'", ROW)).await?;
            let mut claimed = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            // What an update returns is in no order.
            claimed.sort_unstable_by_key(|row| row.id);
            Ok(claimed)
        }
        .boxed()
    }
}

/// What becomes of a callback.
pub(super) enum Fate {
    /// See [`crate::store::Backend::mark_delivered`].
    Delivered,
    /// See [`crate::store::Backend::mark_failed`].
    Failed(String, u32),
    /// See [`crate::store::Backend::mark_parked`].
    Parked(String),
}

/// Writes down what becomes of a callback.
pub(super) struct Mark {
    pub(super) id: i64,
    pub(super) fate: Fate,
    pub(super) now: Timestamp,
}

impl Work for Mark {
    type Done = ();
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        let update = match &self.fate {
            Fate::Delivered => sqlx::query(
                "UPDATE callbacks SET state = 'delivered', sealed = NULL, reason = NULL, updated = $2 WHERE id = $1",
            ),
            Fate::Failed(..) => sqlx::query(
                "UPDATE callbacks SET state = 'waiting', tries = CASE WHEN tries < $4 THEN $4 ELSE tries END, \
                 updated = $2, reason = $3 WHERE id = $1 AND state <> 'delivered'",
            ),
            Fate::Parked(_) => sqlx::query(
                "UPDATE callbacks SET state = 'parked', updated = $2, reason = $3 WHERE id = $1 AND state <> 'delivered'",
            ),
        };
        let update = update.bind(self.id).bind(self.now.as_millisecond());
        let update = match &self.fate {
            Fate::Delivered => update,
            Fate::Failed(reason, number) => update.bind(text(reason)).bind(i64::from(*number)),
            Fate::Parked(reason) => update.bind(text(reason)),
        };
        async move { changed(on.execute(update).await?) }.boxed()
    }
}

/// See [`crate::store::Backend::retry_callbacks`].
pub(super) struct RetryCallbacks {
    pub(super) ids: Option<Vec<i64>>,
    pub(super) now: Timestamp,
}

impl Work for RetryCallbacks {
    type Done = u64;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<u64, Trouble>> {
        const ALL: &str = "UPDATE callbacks SET state = 'waiting', node = NULL, since = $1, updated = $1 \
             WHERE state NOT IN ('waiting', 'held') AND state = 'parked'";
        const ONE: &str = "UPDATE callbacks SET state = 'waiting', node = NULL, since = $1, updated = $1 \
             WHERE id = $2 AND state = 'parked'";
        let now = self.now.as_millisecond();
        async move {
            let Some(ids) = &self.ids else { return on.execute(sqlx::query(ALL).bind(now)).await };
            let mut count = 0_u64;
            for id in ids {
                count = count.saturating_add(on.execute(sqlx::query(ONE).bind(now).bind(*id)).await?);
            }
            Ok(count)
        }
        .boxed()
    }
}

/// See [`crate::store::Backend::forget_delivered`].
pub(super) struct ForgetDelivered(pub(super) Timestamp);

impl Work for ForgetDelivered {
    type Done = u64;
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<u64, Trouble>> {
        async move {
            let delete = format!("DELETE FROM callbacks WHERE {} AND updated < $1", is(CallbackState::Delivered));
            on.execute(sqlx::query(sqlx::AssertSqlSafe(delete)).bind(self.0.as_millisecond())).await
        }
        .boxed()
    }
}

/// Callbacks, the oldest first.
pub(super) async fn list(on: &mut On<'_>, filter: CallbackFilter) -> Result<Vec<CallbackRow>, Trouble> {
    let CallbackFilter { call_sid, payment_sid, state, after_id, limit } = filter;
    let of = |some: Option<String>| some.map(|some| Bound::Text(text(&some)));
    let mut conditions = Conditions::default();
    conditions.and("call_sid = ?", of(call_sid));
    conditions.and("payment_sid = ?", of(payment_sid));
    if let Some(state) = state {
        conditions.and_plain(is(state));
    }
    conditions.and("id > ?", after_id.map(Bound::Number));
    let select = format!("SELECT {ROW} FROM callbacks");
    let rows = on.rows(conditions.query(&select, "id", limit)).await?;
    rows.iter().map(read).collect()
}

/// How many are in a state.
pub(super) async fn count(on: &mut On<'_>, state: CallbackState) -> Result<u64, Trouble> {
    let select = format!("SELECT COUNT(*) AS count FROM callbacks WHERE {}", is(state));
    let row = on.row(sqlx::query(sqlx::AssertSqlSafe(select))).await?.ok_or(sqlx::Error::RowNotFound)?;
    number(&row, "count")
}

fn stored(row: &AnyRow) -> Result<Stored, Trouble> {
    Ok(Stored { row: read(row)?, node: row.try_get("node")? })
}

fn read(row: &AnyRow) -> Result<CallbackRow, Trouble> {
    Ok(CallbackRow {
        id: number(row, "id")?,
        token: word(row, "token", uuid)?,
        call_sid: string(row, "call_sid")?,
        payment_sid: row.try_get("payment_sid")?,
        kind: word(row, "kind", kind)?,
        method: word(row, "method", method)?,
        url: string(row, "url")?,
        sealed: row.try_get("sealed")?,
        state: word(row, "state", CallbackState::parse)?,
        tries: number(row, "tries")?,
        reason: row.try_get("reason")?,
        since: moment(row, "since")?,
        updated: moment(row, "updated")?,
    })
}

fn kind(word: &str) -> Option<CallbackKind> {
    use CallbackKind::{Action, Document, ErrorNotice, Status};
    [Document, Action, Status, ErrorNotice].into_iter().find(|kind| kind.word() == word)
}

fn method(word: &str) -> Option<Method> {
    [Method::Get, Method::Post].into_iter().find(|method| method.to_string() == word)
}
