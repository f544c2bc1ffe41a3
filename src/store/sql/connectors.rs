//! Connectors and notes in SQL.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::failure::{Trouble, readable};
use super::payments::changed;
use super::statement::On;
use super::value::{moment, number, some_moment, string, text};
use super::work::Work;
use crate::store::backend::{Authorized, BackendError, ConnectorRow, Resealed};

/// What becomes of a connector.
pub(super) enum Change {
    /// It is added.
    Insert(Vec<u8>, Timestamp),
    /// Its configuration is another one.
    Update { was: Vec<u8>, sealed: Vec<u8>, authorized: Authorized, now: Timestamp },
    /// It is removed.
    Remove,
    /// See [`crate::store::Backend::mark_withdrawn`].
    Withdrawn { sealed: Vec<u8>, since: Timestamp },
}

/// Changes a connector.
pub(super) struct ChangeConnector {
    pub(super) name: String,
    pub(super) change: Change,
}

impl Work for ChangeConnector {
    type Done = ();

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        let name = text(&self.name);
        async move {
            let (statement, otherwise) = match &self.change {
                Change::Insert(sealed, now) => {
                    let insert = sqlx::query(
                        "INSERT INTO connectors (name, sealed, created, updated) VALUES ($1, $2, $3, $3) \
                         ON CONFLICT (name) DO NOTHING",
                    );
                    (insert.bind(name).bind(sealed.as_slice()).bind(now.as_millisecond()), Err(BackendError::Duplicate))
                }
                Change::Update { was, sealed, authorized, now } => {
                    // Where the new is already there, this very change is being repeated.
                    let update = sqlx::query(match authorized {
                        Authorized::Anew => {
                            "UPDATE connectors SET sealed = $3, updated = $4, withdrawn = NULL \
                             WHERE name = $1 AND (sealed = $2 OR sealed = $3)"
                        }
                        Authorized::AsBefore => {
                            "UPDATE connectors SET sealed = $3, updated = $4 \
                             WHERE name = $1 AND (sealed = $2 OR sealed = $3)"
                        }
                    });
                    let update = update.bind(name).bind(was.as_slice()).bind(sealed.as_slice());
                    (update.bind(now.as_millisecond()), Err(BackendError::NotFound))
                }
                Change::Remove => {
                    let delete = sqlx::query("DELETE FROM connectors WHERE name = $1");
                    (delete.bind(name), Err(BackendError::NotFound))
                }
                Change::Withdrawn { sealed, since } => {
                    let update = sqlx::query(
                        "UPDATE connectors SET withdrawn = $3 WHERE name = $1 AND sealed = $2 AND withdrawn IS NULL",
                    );
                    (update.bind(name).bind(sealed.as_slice()).bind(since.as_millisecond()), Ok(()))
                }
            };
            if changed(on.execute(statement).await?).is_err() {
                return Ok(otherwise?);
            }
            // In the same transaction: whoever sees the number sees the change (`Registry::refresh` reads the number
            // first).
            on.execute(sqlx::query("UPDATE connectors_revision SET revision = revision + 1")).await?;
            Ok(())
        }
        .boxed()
    }
}

/// See [`crate::store::Backend::keep_note`].
pub(super) struct KeepNote {
    pub(super) name: String,
    pub(super) text: Vec<u8>,
}

impl Work for KeepNote {
    type Done = Vec<u8>;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Vec<u8>, Trouble>> {
        async move {
            let insert = sqlx::query("INSERT INTO notes (name, text) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING");
            on.execute(insert.bind(text(&self.name)).bind(self.text.as_slice())).await?;
            Ok(note(on, &self.name).await?.ok_or(sqlx::Error::RowNotFound)?)
        }
        .boxed()
    }
}

/// A small text.
pub(super) async fn note(on: &mut On<'_>, name: &str) -> Result<Option<Vec<u8>>, Trouble> {
    let row = on.row(sqlx::query("SELECT text FROM notes WHERE name = $1").bind(text(name))).await?;
    Ok(row.map(|row| row.try_get("text")).transpose()?)
}

/// The connectors, by name.
pub(super) async fn list(on: &mut On<'_>) -> Result<Vec<ConnectorRow>, Trouble> {
    let rows = on.rows(sqlx::query("SELECT name, sealed, withdrawn, created, updated FROM connectors")).await?;
    let mut connectors: Vec<ConnectorRow> = rows.iter().filter_map(|row| readable("name", row, read)).collect();
    // Here, because a server's collation is its own.
    connectors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(connectors)
}

fn read(row: &AnyRow) -> Result<ConnectorRow, Trouble> {
    Ok(ConnectorRow {
        name: string(row, "name")?,
        sealed: row.try_get("sealed")?,
        withdrawn: some_moment(row, "withdrawn")?,
        created: moment(row, "created")?,
        updated: moment(row, "updated")?,
    })
}

/// A number that changes with the connectors.
pub(super) async fn revision(on: &mut On<'_>) -> Result<i64, Trouble> {
    let row = on.row(sqlx::query("SELECT revision FROM connectors_revision")).await?;
    number(&row.ok_or(sqlx::Error::RowNotFound)?, "revision")
}

/// See [`crate::store::Backend::reseal`].
pub(super) struct Reseal {
    pub(super) what: Resealed,
    pub(super) was: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

impl Work for Reseal {
    type Done = ();

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        let (update, row) = match &self.what {
            Resealed::Payment(sid) => ("UPDATE payments SET sealed = $2 WHERE sid = $1 AND sealed = $3", text(sid)),
            Resealed::PaymentNote(sid) => ("UPDATE payments SET note = $2 WHERE sid = $1 AND note = $3", text(sid)),
            Resealed::Callback(token) => {
                ("UPDATE callbacks SET sealed = $2 WHERE token = $1 AND sealed = $3", token.to_string())
            }
            Resealed::Connector(name) => {
                ("UPDATE connectors SET sealed = $2 WHERE name = $1 AND sealed = $3", text(name))
            }
        };
        async move {
            let update = sqlx::query(update).bind(row).bind(self.sealed.as_slice()).bind(self.was.as_slice());
            if on.execute(update).await? > 0
                && let Resealed::Connector(_) = self.what
            {
                on.execute(sqlx::query("UPDATE connectors_revision SET revision = revision + 1")).await?;
            }
            Ok(())
        }
        .boxed()
    }
}
