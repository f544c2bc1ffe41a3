//! Nodes, and what is free to be claimed.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::Dialect;
use super::failure::Trouble;
use super::value::{number, string};
use super::work::{On, Work};
use crate::store::GONE_AFTER;
use crate::store::backend::NodeId;

/// How long a node that is gone is remembered, in milliseconds: a day. Our choice: it makes no difference to a claim.
const REMEMBERED: i64 = 24 * 60 * 60 * 1000;

/// A node's id as it is stored.
pub(super) fn text(node: NodeId) -> String {
    node.0.to_string()
}

/// What can be claimed: a table, its column of places, and what a row must be for it. There is an index of the node and the
/// place of just those rows, so that a claim looks at what it takes and at no row of a node that is there.
pub(super) struct Claimable {
    pub(super) table: &'static str,
    pub(super) place: &'static str,
    pub(super) open: &'static str,
}

impl Claimable {
    /// The places of the first free rows, in order and locked: of those that are nobody's or whose node is gone.
    pub(super) async fn free(&self, on: &mut On<'_>, limit: u32, now: Timestamp) -> Result<Vec<i64>, Trouble> {
        lock_claims(on).await?;
        let mut places = self.places(on, None, limit).await?;
        for owner in self.gone(on, now).await? {
            places.extend(self.places(on, Some(owner), limit).await?);
        }
        places.sort_unstable();
        places.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(places)
    }

    /// Whose rows there are that are gone, one step through the index each.
    async fn gone(&self, on: &mut On<'_>, now: Timestamp) -> Result<Vec<String>, Trouble> {
        let Self { table, open, .. } = self;
        let select = format!(
            "WITH RECURSIVE owners (node) AS (SELECT MIN(node) FROM {table} WHERE {open} UNION ALL \
             SELECT (SELECT MIN(node) FROM {table} WHERE {open} AND {table}.node > owners.node) FROM owners \
             WHERE owners.node IS NOT NULL) \
             SELECT node FROM owners WHERE node IS NOT NULL AND node NOT IN (SELECT id FROM nodes WHERE seen >= $1)"
        );
        let rows = on.rows(sqlx::query(AssertSqlSafe(select)).bind(alive_since(now))).await?;
        rows.iter().map(|row| string(row, "node")).collect()
    }

    async fn places(&self, on: &mut On<'_>, owner: Option<String>, limit: u32) -> Result<Vec<i64>, Trouble> {
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

/// Since when a node must have been seen to be there at `now`.
fn alive_since(now: Timestamp) -> i64 {
    let gone = i64::try_from(GONE_AFTER.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_sub(gone)
}

/// Claims come one after the other: what a claim sees of the nodes is never older than what it sees of the rows.
async fn lock_claims(on: &mut On<'_>) -> Result<(), Trouble> {
    // SQLite has one writer anyway. The number is `tt_claim` in ASCII.
    if on.dialect == Dialect::Postgres {
        on.row(sqlx::query("SELECT pg_advisory_xact_lock(8391436886322801005)")).await?;
    }
    Ok(())
}

/// See [`crate::store::Backend::heartbeat`].
pub(super) struct Heartbeat {
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
}

impl Work for Heartbeat {
    type Done = ();

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        let now = self.now.as_millisecond();
        async move {
            let seen = sqlx::query(
                "INSERT INTO nodes (id, seen) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET seen = excluded.seen",
            );
            on.execute(seen.bind(text(self.node)).bind(now)).await?;
            let forget = sqlx::query("DELETE FROM nodes WHERE seen < $1").bind(now.saturating_sub(REMEMBERED));
            on.execute(forget).await?;
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
            on.execute(sqlx::query(payments).bind(node.clone())).await?;
            let callbacks = "UPDATE callbacks SET node = NULL WHERE node = $1 AND state IN ('waiting', 'held')";
            on.execute(sqlx::query(callbacks).bind(node)).await?;
            Ok(())
        }
        .boxed()
    }
}
