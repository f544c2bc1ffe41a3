//! The audit trail in SQL.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::connectors::{Change, ChangeConnector};
use super::failure::{Trouble, readable};
use super::statement::On;
use super::value::{Bound, Conditions, moment, number, some_text, string, text};
use super::work::Work;
use crate::store::audit::{AuditFilter, AuditRow, ConnectorChange, NewAudit};

/// See [`crate::store::Backend::change_connector`].
pub(super) struct AuditedChange {
    change: ChangeConnector,
    audit: NewAudit,
    now: Timestamp,
}

impl AuditedChange {
    pub(super) fn new(name: &str, change: ConnectorChange, audit: NewAudit, now: Timestamp) -> Self {
        let change = match change {
            ConnectorChange::Insert { sealed } => Change::Insert(sealed, now),
            ConnectorChange::Update { was, sealed, authorized } => Change::Update { was, sealed, authorized, now },
            ConnectorChange::Remove => Change::Remove,
        };
        Self { change: ChangeConnector { name: name.to_owned(), change }, audit, now }
    }
}

impl Work for AuditedChange {
    type Done = ();

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            self.change.run(on).await?;
            let NewAudit { token, actor, action, target, old_value, new_value } = &self.audit;
            let insert = sqlx::query(
                "INSERT INTO audit (token, at, actor, origin, action, target, old_value, new_value) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (token) DO NOTHING",
            );
            let insert = insert.bind(token.to_string()).bind(self.now.as_millisecond());
            let insert = insert.bind(text(&actor.name)).bind(text(&actor.origin)).bind(action.word());
            let insert = insert.bind(text(target)).bind(some_text(old_value.as_deref()));
            on.execute(insert.bind(some_text(new_value.as_deref()))).await?;
            Ok(())
        }
        .boxed()
    }
}

/// The rows, the newest first.
pub(super) async fn list(on: &mut On<'_>, filter: AuditFilter) -> Result<Vec<AuditRow>, Trouble> {
    let mut conditions = Conditions::default();
    conditions.and("target = ?", filter.target.as_deref().map(text).map(Bound::Text));
    conditions.and("id < ?", filter.before_id.map(Bound::Number));
    let select = "SELECT id, at, actor, origin, action, target, old_value, new_value FROM audit";
    let rows = on.rows(conditions.query(select, "id DESC", filter.limit)).await?;
    Ok(rows.iter().filter_map(|row| readable("id", row, read)).collect())
}

fn read(row: &AnyRow) -> Result<AuditRow, Trouble> {
    Ok(AuditRow {
        id: number(row, "id")?,
        at: moment(row, "at")?,
        actor: string(row, "actor")?,
        origin: string(row, "origin")?,
        action: string(row, "action")?,
        target: string(row, "target")?,
        old_value: row.try_get("old_value")?,
        new_value: row.try_get("new_value")?,
    })
}
