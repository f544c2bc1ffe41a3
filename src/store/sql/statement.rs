//! One statement on a connection.

use sqlx::any::{AnyQueryResult, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Executor};

use super::SqlDialect;
use super::failure::Trouble;

/// A query and its values.
pub(super) type SqlStatement<'q> = Query<'q, Any, sqlx::any::AnyArguments>;

/// A transaction, or for a single statement a connection.
pub(super) struct On<'c> {
    connection: &'c mut AnyConnection,
    /// Whose SQL.
    pub(super) dialect: SqlDialect,
}

impl<'c> On<'c> {
    pub(super) fn new(connection: &'c mut AnyConnection, dialect: SqlDialect) -> Self {
        Self { connection, dialect }
    }

    /// How many rows it changed.
    pub(super) async fn execute(&mut self, statement: SqlStatement<'_>) -> Result<u64, Trouble> {
        let done: AnyQueryResult = self.connection.execute(statement).await?;
        Ok(done.rows_affected())
    }

    pub(super) async fn row(&mut self, statement: SqlStatement<'_>) -> Result<Option<AnyRow>, Trouble> {
        Ok(self.connection.fetch_optional(statement).await?)
    }

    pub(super) async fn rows(&mut self, statement: SqlStatement<'_>) -> Result<Vec<AnyRow>, Trouble> {
        Ok(self.connection.fetch_all(statement).await?)
    }
}
