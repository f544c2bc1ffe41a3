//! Nodes, and what is free to be claimed.
//!
//! Shape:   PostgreSQL is shared: a node has a lease by the database's clock, and takes over from those whose lease is over.
//!          SQLite is one server's: there are no leases, and free is what is nobody's.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::SqlDialect;
use super::failure::Trouble;
use super::statement::On;
use super::value::{moment, number, string, uuid};
use super::work::Work;
use crate::store::backend::NodeId;
use crate::store::{GONE_AFTER, HEARTBEAT_EVERY, HEARTBEAT_GAP_MAX};

/// How long a node that is gone is remembered: a day. Our choice: it makes no difference to a claim.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// A node's id as it is stored.
pub(super) fn text(node: NodeId) -> String {
    node.0.to_string()
}

/// Whose a row is.
pub(super) fn read(row: &AnyRow) -> Result<Option<NodeId>, Trouble> {
    let node: Option<&str> = row.try_get("node")?;
    Ok(node.and_then(uuid).map(NodeId))
}

/// What time it is in the database: where one server has it to itself, what that server says.
pub(super) async fn now(on: &mut On<'_>, ours: Timestamp) -> Result<Timestamp, Trouble> {
    if on.dialect == SqlDialect::Sqlite {
        return Ok(ours);
    }
    let select = AssertSqlSafe(format!("SELECT {} AS now", on.dialect.clock()));
    let row = on.row(sqlx::query(select)).await?.ok_or(sqlx::Error::RowNotFound)?;
    moment(&row, "now")
}

/// What can be claimed: a table, its column of places, and what a row must be for it. There is an index of the node and the
/// place of just those rows, so that a claim looks at what it takes and at no row of a node that is there.
pub(super) struct Claimable {
    pub(super) table: &'static str,
    pub(super) place: &'static str,
    pub(super) open: &'static str,
}

impl Claimable {
    /// The places of the first free rows, in order and locked: of those that are nobody's or one's of these, who are silent.
    pub(super) async fn free(&self, on: &mut On<'_>, silent: &[String], limit: u32) -> Result<Vec<i64>, Trouble> {
        let mut places = self.places(on, None, limit).await?;
        // One owner at a time: the index is by owner and place.
        for owner in silent {
            places.extend(self.places(on, Some(owner.as_str()), limit).await?);
        }
        places.sort_unstable();
        places.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(places)
    }

    /// Whose rows there are that are silent, one step through the index each. Nobody's, while `node` may not take over.
    pub(super) async fn silent_for(&self, on: &mut On<'_>, node: NodeId) -> Result<Vec<String>, Trouble> {
        if !may_take_over(on, node).await? {
            return Ok(Vec::new());
        }
        // Neither database skips within an index by itself: this steps from one owner to the next and over no row of
        // theirs.
        let (Self { table, open, .. }, clock) = (self, on.dialect.clock());
        let select = format!(
            "WITH RECURSIVE owners (node) AS (SELECT MIN(node) FROM {table} WHERE {open} UNION ALL \
             SELECT (SELECT MIN(node) FROM {table} WHERE {open} AND {table}.node > owners.node) FROM owners \
             WHERE owners.node IS NOT NULL) \
             SELECT node FROM owners WHERE node IS NOT NULL AND node NOT IN (SELECT id FROM nodes WHERE seen >= {clock} - $1)"
        );
        let rows = on.rows(sqlx::query(AssertSqlSafe(select)).bind(millis(GONE_AFTER))).await?;
        rows.iter().map(|row| string(row, "node")).collect()
    }

    /// The places of the first rows that are nobody's or this owner's, in order and locked.
    pub(super) async fn places(&self, on: &mut On<'_>, owner: Option<&str>, limit: u32) -> Result<Vec<i64>, Trouble> {
        let Self { table, place, open } = self;
        let whose = if owner.is_some() { "node = $2" } else { "node IS NULL" };
        let lock = on.dialect.skip_locked();
        let select =
            format!("SELECT {place} AS place FROM {table} WHERE {open} AND {whose} ORDER BY {place} LIMIT $1{lock}");
        let select = sqlx::query(AssertSqlSafe(select)).bind(i64::from(limit));
        let rows = match owner {
            Some(owner) => on.rows(select.bind(owner)).await?,
            None => on.rows(select).await?,
        };
        rows.iter().map(|row| number(row, "place")).collect()
    }

    /// Makes the rows at these places `node`'s and gives them, in no order.
    pub(super) async fn take(
        &self,
        on: &mut On<'_>,
        places: &[i64],
        node: NodeId,
        (set, returning): (&str, &str),
    ) -> Result<Vec<AnyRow>, Trouble> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let Self { table, place, .. } = self;
        let numbers: Vec<String> = (2..).take(places.len()).map(|number| format!("${number}")).collect();
        let numbers = numbers.join(", ");
        let update = format!("UPDATE {table} SET node = $1{set} WHERE {place} IN ({numbers}) RETURNING {returning}");
        let mut update = sqlx::query(AssertSqlSafe(update)).persistent(false).bind(text(node));
        for place in places {
            update = update.bind(*place);
        }
        on.rows(update).await
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Whether `node` may take over from silent ones: its own lease stands, and has stood for as long as others are waited for.
async fn may_take_over(on: &mut On<'_>, node: NodeId) -> Result<bool, Trouble> {
    if on.dialect == SqlDialect::Sqlite {
        return Ok(false);
    }
    let clock = on.dialect.clock();
    let select = format!("SELECT id FROM nodes WHERE id = $1 AND seen >= {clock} - $2 AND since <= {clock} - $2");
    let row = on.row(sqlx::query(AssertSqlSafe(select)).bind(text(node)).bind(millis(GONE_AFTER))).await?;
    Ok(row.is_some())
}

/// The number that claims lock: `tt_claim` in ASCII.
const CLAIMS: i64 = 8_391_436_886_322_801_005;

/// How long a node was not heard that waits for a claim under way before it is heard again. It may be waited for that long
/// more, and still be heard in time.
const QUIET: Duration = GONE_AFTER.saturating_sub(HEARTBEAT_EVERY);

/// Claims come one after the other: what a claim sees of the nodes is never older than what it sees of the rows. False: another
/// one is under way, for whoever it may be, and this one takes nothing.
pub(super) async fn lock_claims(on: &mut On<'_>) -> Result<bool, Trouble> {
    // SQLite has one writer anyway.
    if on.dialect == SqlDialect::Sqlite {
        return Ok(true);
    }
    // Not waited for: a server that is frozen within a claim would hold up all others.
    let lock = sqlx::query("SELECT pg_try_advisory_xact_lock($1) AS is_locked").bind(CLAIMS);
    let row = on.row(lock).await?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(row.try_get("is_locked")?)
}

/// Waits for a claim that may be taking what `node` has because nobody heard of it: what `node` does once it is heard again, it
/// does knowing what was taken.
async fn await_claims(on: &mut On<'_>, node: NodeId) -> Result<(), Trouble> {
    if on.dialect == SqlDialect::Sqlite {
        return Ok(());
    }
    let clock = on.dialect.clock();
    // Only after a silence: at other times nobody can be taking what is this node's. Shared, so that heartbeats do not
    // wait for each other.
    let lock = format!("SELECT pg_advisory_xact_lock_shared($1) FROM nodes WHERE id = $2 AND seen < {clock} - $3");
    on.row(sqlx::query(AssertSqlSafe(lock)).bind(CLAIMS).bind(text(node)).bind(millis(QUIET))).await?;
    Ok(())
}

/// See [`crate::store::Backend::register`].
pub(super) struct Register {
    pub(super) node: NodeId,
    pub(super) ended: Option<NodeId>,
}

impl Work for Register {
    type Done = ();

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            match on.dialect {
                // One server has the file to itself: whatever an earlier run left is nobody's now.
                SqlDialect::Sqlite => {
                    on.execute(sqlx::query(
                        "UPDATE payments SET node = NULL WHERE node IS NOT NULL AND sealed IS NOT NULL",
                    ))
                    .await?;
                    let callbacks =
                        "UPDATE callbacks SET node = NULL WHERE node IS NOT NULL AND state IN ('waiting', 'held')";
                    on.execute(sqlx::query(callbacks)).await?;
                    let sessions = "UPDATE sessions SET node = NULL WHERE node IS NOT NULL AND state = 'open'";
                    on.execute(sqlx::query(sessions)).await?;
                    let calls = "UPDATE calls SET node = NULL WHERE node IS NOT NULL AND status = 'in-progress'";
                    on.execute(sqlx::query(calls)).await?;
                    on.execute(sqlx::query("DELETE FROM nodes")).await?;
                }
                SqlDialect::Postgres => {
                    for node in self.ended.iter().flat_map(|ended| [*ended, ended.keeper()]) {
                        Release(node).run(on).await?;
                    }
                }
            }
            Heartbeat(self.node).run(on).await
        }
        .boxed()
    }
}

/// See [`crate::store::Backend::heartbeat`].
pub(super) struct Heartbeat(pub(super) NodeId);

impl Work for Heartbeat {
    type Done = ();

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            await_claims(on, self.0).await?;
            let clock = on.dialect.clock();
            // `since` begins anew after a gap: only a node that was heard without one may take over from others.
            let heard = format!(
                "INSERT INTO nodes (id, seen, since) VALUES ($1, {clock}, {clock}), ($2, {clock}, {clock}) \
                 ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, \
                 since = CASE WHEN nodes.seen < excluded.seen - $3 THEN excluded.seen ELSE nodes.since END"
            );
            let heard = sqlx::query(AssertSqlSafe(heard)).bind(text(self.0)).bind(text(self.0.keeper()));
            on.execute(heard.bind(millis(HEARTBEAT_GAP_MAX))).await?;
            let forget = AssertSqlSafe(format!("DELETE FROM nodes WHERE seen < {clock} - $1"));
            on.execute(sqlx::query(forget).bind(millis(REMEMBERED))).await?;
            Ok(())
        }
        .boxed()
    }
}

/// See [`crate::store::Backend::release`].
pub(super) struct Release(pub(super) NodeId);

impl Work for Release {
    type Done = ();

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let node = text(self.0);
            // What nobody claims any more keeps its node: it makes no difference.
            let payments = "UPDATE payments SET node = NULL WHERE node = $1 AND sealed IS NOT NULL";
            on.execute(sqlx::query(payments).bind(node.as_str())).await?;
            let callbacks = "UPDATE callbacks SET node = NULL WHERE node = $1 AND state IN ('waiting', 'held')";
            on.execute(sqlx::query(callbacks).bind(node.as_str())).await?;
            on.execute(sqlx::query(super::sessions::RELEASE).bind(node.as_str())).await?;
            on.execute(sqlx::query(super::calls::RELEASE).bind(node)).await?;
            Ok(())
        }
        .boxed()
    }
}
