//! Calls in SQL.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::failure::{Trouble, readable};
use super::nodes::{self, Claimable};
use super::payments::changed;
use super::statement::On;
use super::value::{Bound, Conditions, moment, number, places, some_moment, some_text, string, text, word};
use super::work::Work;
use super::{Sql, sessions};
use crate::store::backend::{BackendError, NodeId};
use crate::store::calls::{CallBackend, CallFilter, CallPlaces, CallRow, CallStatus, Changes};

/// Every column of a [`CallRow`].
const ROW: &str = "place, sid, account, dialect, flow, from_number, to_number, direction, caller_name, forwarded_from, \
     status, how, started, updated, ended";

/// Calls that are live, as far as is known.
const OPEN: Claimable = Claimable { table: "calls", place: "place", open: "status = 'in-progress'" };

/// What is left when a node is gone is nobody's.
pub(super) const RELEASE: &str = "UPDATE calls SET node = NULL WHERE node = $1 AND status = 'in-progress'";

/// How many rows one statement inserts: some seven hundred values.
const ROWS_MAX: usize = 50;

/// See [`CallBackend::write_changes`].
struct WriteChanges {
    changes: Changes,
    node: NodeId,
}

impl Work for WriteChanges {
    type Done = ();

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            write(on, &self.changes.calls, self.node).await?;
            sessions::write(on, &self.changes.sessions, self.node).await
        }
        .boxed()
    }
}

async fn write(on: &mut On<'_>, calls: &[Arc<CallRow>], node: NodeId) -> Result<(), Trouble> {
    const COLUMNS: usize = 15;
    for calls in calls.chunks(ROWS_MAX) {
        // A call that comes back is live again; an end counts unless another node has the call by now.
        let insert = format!(
            "INSERT INTO calls (sid, account, dialect, flow, from_number, to_number, direction, caller_name, \
             forwarded_from, status, how, started, updated, ended, node) VALUES {} \
             ON CONFLICT (sid) DO UPDATE SET account = excluded.account, dialect = excluded.dialect, \
             flow = excluded.flow, from_number = COALESCE(excluded.from_number, calls.from_number), \
             to_number = COALESCE(excluded.to_number, calls.to_number), direction = excluded.direction, \
             caller_name = COALESCE(excluded.caller_name, calls.caller_name), \
             forwarded_from = COALESCE(excluded.forwarded_from, calls.forwarded_from), status = excluded.status, \
             how = excluded.how, updated = excluded.updated, ended = excluded.ended, node = excluded.node \
             WHERE excluded.status = 'in-progress' OR calls.node IS NULL OR calls.node = excluded.node \
             OR calls.status = 'failed'",
            places(calls.len(), COLUMNS)
        );
        // Its length differs: it is not kept among the prepared statements.
        let mut insert = sqlx::query(AssertSqlSafe(insert)).persistent(false);
        for call in calls {
            insert = insert
                .bind(text(&call.sid))
                .bind(text(&call.account))
                .bind(text(&call.dialect))
                .bind(text(&call.flow))
                .bind(some_text(call.from.as_deref()))
                .bind(some_text(call.to.as_deref()))
                .bind(text(&call.direction))
                .bind(some_text(call.caller_name.as_deref()))
                .bind(some_text(call.forwarded_from.as_deref()))
                .bind(call.status.word())
                .bind(some_text(call.how.as_deref()))
                .bind(call.started.as_millisecond())
                .bind(call.updated.as_millisecond())
                .bind(call.ended.map(Timestamp::as_millisecond))
                .bind(nodes::text(node));
        }
        on.execute(insert).await?;
    }
    Ok(())
}

/// See [`CallBackend::fail_left_calls`].
struct FailLeftCalls {
    node: NodeId,
    limit: u32,
    now: Timestamp,
}

impl Work for FailLeftCalls {
    type Done = u64;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<u64, Trouble>> {
        async move {
            if !nodes::lock_claims(on).await? {
                return Ok(0);
            }
            let silent = OPEN.silent_for(on, self.node).await?;
            let free = OPEN.free(on, &silent, self.limit).await?;
            let set = format!(", status = 'failed', updated = {}", self.now.as_millisecond());
            let failed = OPEN.take(on, &free, self.node, (&set, "place")).await?;
            Ok(u64::try_from(failed.len()).unwrap_or(u64::MAX))
        }
        .boxed()
    }
}

/// See [`CallBackend::delete_call`].
struct DeleteCall(String);

impl Work for DeleteCall {
    type Done = ();
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let delete = sqlx::query("DELETE FROM calls WHERE sid = $1 AND status <> 'in-progress'");
            changed(on.execute(delete.bind(text(&self.0))).await?)
        }
        .boxed()
    }
}

impl CallBackend for Sql {
    fn write_changes(&self, changes: Changes, node: NodeId) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(WriteChanges { changes, node })
    }

    fn fail_left_calls(&self, node: NodeId, limit: u32, now: Timestamp) -> BoxFuture<'_, Result<u64, BackendError>> {
        self.keep_up(FailLeftCalls { node, limit, now })
    }

    fn call<'a>(&'a self, sid: &'a str) -> BoxFuture<'a, Result<Option<CallRow>, BackendError>> {
        self.read(async move |on| one(on, sid).await).boxed()
    }

    fn calls(&self, filter: CallFilter) -> BoxFuture<'_, Result<Vec<CallRow>, BackendError>> {
        self.read(async move |on| list(on, filter).await).boxed()
    }

    fn delete_call<'a>(&'a self, sid: &'a str) -> BoxFuture<'a, Result<(), BackendError>> {
        self.write(DeleteCall(sid.to_owned()))
    }
}

async fn one(on: &mut On<'_>, sid: &str) -> Result<Option<CallRow>, Trouble> {
    let select = format!("SELECT {ROW} FROM calls WHERE sid = $1");
    let row = on.row(sqlx::query(AssertSqlSafe(select)).bind(text(sid))).await?;
    row.map(|row| read(&row)).transpose()
}

async fn list(on: &mut On<'_>, filter: CallFilter) -> Result<Vec<CallRow>, Trouble> {
    let of = |some: Option<String>| some.map(|some| Bound::Text(text(&some)));
    let at = |moment: Option<Timestamp>| moment.map(|moment| Bound::Number(moment.as_millisecond()));
    let place = |place: u64| Some(Bound::Number(i64::try_from(place).unwrap_or(i64::MAX)));
    let mut conditions = Conditions::default();
    conditions.and("from_number = ?", of(filter.from));
    conditions.and("to_number = ?", of(filter.to));
    conditions.and("status = ?", filter.status.map(|status| Bound::Text(status.word().to_owned())));
    conditions.and("started >= ?", at(filter.started_from));
    conditions.and("started < ?", at(filter.started_before));
    conditions.and("ended >= ?", at(filter.ended_from));
    conditions.and("ended < ?", at(filter.ended_before));
    let order = match filter.place {
        CallPlaces::All => "place DESC",
        CallPlaces::Before(before) => {
            conditions.and("place < ?", place(before));
            "place DESC"
        }
        CallPlaces::After(after) => {
            conditions.and("place > ?", place(after));
            "place"
        }
    };
    let select = format!("SELECT {ROW} FROM calls");
    let rows = on.rows(conditions.page(&select, order, filter.limit, filter.offset)).await?;
    Ok(rows.iter().filter_map(|row| readable("sid", row, read)).collect())
}

fn read(row: &AnyRow) -> Result<CallRow, Trouble> {
    Ok(CallRow {
        place: number(row, "place")?,
        sid: string(row, "sid")?,
        account: string(row, "account")?,
        dialect: string(row, "dialect")?,
        flow: string(row, "flow")?,
        from: row.try_get("from_number")?,
        to: row.try_get("to_number")?,
        direction: string(row, "direction")?,
        caller_name: row.try_get("caller_name")?,
        forwarded_from: row.try_get("forwarded_from")?,
        status: word(row, "status", CallStatus::parse)?,
        how: row.try_get("how")?,
        started: moment(row, "started")?,
        updated: moment(row, "updated")?,
        ended: some_moment(row, "ended")?,
    })
}
