//! The tables, and how a database of an older version gets to this one.
//!
//! Shape:   [`migrate`] takes every step that is missing, all in one transaction: two servers that start at once do it
//!          once, and one that dies has done nothing. (sqlx's own migrator takes no lock on SQLite.)
//! Errors:  [`SchemaError::Newer`]: a later version of this program was here.

use sqlx::{AnyConnection, Connection, Executor, Row};

use super::SqlDialect;
use super::failure::{Trouble, is_everybodys};
use super::statement::On;
use super::value::number;

/// The steps, in order; the first makes version 1. A step that was released is never changed.
const STEPS: &[Migration] = &[
    Migration {
        sqlite: include_str!("../migrations/sqlite/0001_books.sql"),
        postgres: include_str!("../migrations/postgres/0001_books.sql"),
    },
    Migration {
        sqlite: include_str!("../migrations/sqlite/0002_leases.sql"),
        postgres: include_str!("../migrations/postgres/0002_leases.sql"),
    },
    Migration {
        sqlite: include_str!("../migrations/sqlite/0003_calls_and_sessions.sql"),
        postgres: include_str!("../migrations/postgres/0003_calls_and_sessions.sql"),
    },
    Migration {
        sqlite: include_str!("../migrations/sqlite/0004_audit.sql"),
        postgres: include_str!("../migrations/postgres/0004_audit.sql"),
    },
    Migration {
        sqlite: include_str!("../migrations/sqlite/0005_stream_nonces.sql"),
        postgres: include_str!("../migrations/postgres/0005_stream_nonces.sql"),
    },
    Migration {
        sqlite: include_str!("../migrations/sqlite/0006_session_lists.sql"),
        postgres: include_str!("../migrations/postgres/0006_session_lists.sql"),
    },
];

/// What takes PostgreSQL's lock on migrations: `touchton` in ASCII. Whoever opens a database says how long that may take.
const LOCK: &str = "SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(8390053700629196654)";

struct Migration {
    sqlite: &'static str,
    postgres: &'static str,
}

/// Why there are no tables.
#[derive(Debug)]
pub(super) enum SchemaError {
    /// A later version's.
    Newer(i64),
    /// The database failed.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for SchemaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Brings the tables up to this version.
pub(super) async fn migrate(connection: &mut AnyConnection, dialect: SqlDialect) -> Result<(), SchemaError> {
    let mut transaction = connection.begin_with(dialect.begin()).await?;
    if dialect == SqlDialect::Postgres {
        transaction.execute(sqlx::raw_sql(LOCK)).await?;
    }
    transaction
        .execute(sqlx::raw_sql("CREATE TABLE IF NOT EXISTS touchtone_schema (version BIGINT NOT NULL PRIMARY KEY)"))
        .await?;
    let row =
        transaction.fetch_one(sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM touchtone_schema")).await?;
    let found: i64 = row.try_get("version")?;
    let mut version = 0_i64;
    for step in STEPS {
        version = version.saturating_add(1);
        if version <= found {
            continue;
        }
        let text = match dialect {
            SqlDialect::Sqlite => step.sqlite,
            SqlDialect::Postgres => step.postgres,
        };
        transaction.execute(sqlx::raw_sql(text)).await?;
        transaction.execute(sqlx::query("INSERT INTO touchtone_schema (version) VALUES ($1)").bind(version)).await?;
    }
    if found > version {
        return Err(SchemaError::Newer(found));
    }
    transaction.commit().await?;
    Ok(())
}

/// How large SQLite's file has to be once everything is in it, in bytes. None: it cannot be read.
pub(super) async fn size(on: &mut On<'_>) -> Result<Option<u64>, Trouble> {
    let select = sqlx::query("SELECT page_count * page_size AS size FROM pragma_page_count(), pragma_page_size()");
    match on.row(select).await {
        Ok(row) => number(&row.ok_or(sqlx::Error::RowNotFound)?, "size").map(Some),
        Err(Trouble::Database(error)) if is_everybodys(&error) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// How large SQLite's log has to be, in bytes, once as much of it as can be is in the database's file. An error: what is in it
/// cannot be read.
pub(super) async fn log_needed(on: &mut On<'_>) -> Result<u64, Trouble> {
    // <https://www.sqlite.org/fileformat2.html#walformat>: a header, and one in front of each page.
    const HEADER: u64 = 32;
    const FRAME_HEADER: u64 = 24;
    let copied = on.row(sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")).await?.ok_or(sqlx::Error::RowNotFound)?;
    let (frames, copied): (u64, u64) = (number(&copied, "log")?, number(&copied, "checkpointed")?);
    if frames == copied {
        return Ok(0);
    }
    let page = on.row(sqlx::query("SELECT page_size FROM pragma_page_size()")).await?;
    let page: u64 = number(&page.ok_or(sqlx::Error::RowNotFound)?, "page_size")?;
    Ok(HEADER.saturating_add(frames.saturating_mul(page.saturating_add(FRAME_HEADER))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_the_same_tables_and_columns() {
        let plain = |text: &str| {
            text.replace("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT")
                .replace("BIGINT", "INTEGER")
                .replace("BYTEA", "BLOB")
        };
        for step in STEPS {
            assert_eq!(plain(step.postgres), step.sqlite);
        }
    }
}
