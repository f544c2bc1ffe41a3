//! Nodes, and what is free to be claimed.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::Dialect;
use super::failure::Trouble;
use super::work::{On, Work};
use crate::store::GONE_AFTER;
use crate::store::backend::NodeId;

/// Whether a row is nobody's or its node is gone; `$2` is [`alive_since`].
pub(super) const IS_FREE: &str = "(node IS NULL OR node NOT IN (SELECT id FROM nodes WHERE seen >= $2))";

/// How long a node that is gone is remembered, in milliseconds: a day. Our choice: it makes no difference to a claim.
const REMEMBERED: i64 = 24 * 60 * 60 * 1000;

/// A node's id as it is stored.
pub(super) fn text(node: NodeId) -> String {
    node.0.to_string()
}

/// Since when a node must have been seen to be there at `now`.
pub(super) fn alive_since(now: Timestamp) -> i64 {
    let gone = i64::try_from(GONE_AFTER.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_sub(gone)
}

/// Claims come one after the other: what a claim sees of the nodes is never older than what it sees of the rows.
pub(super) async fn lock_claims(on: &mut On<'_>) -> Result<(), Trouble> {
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
