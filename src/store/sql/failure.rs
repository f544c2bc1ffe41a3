//! What a database says when it fails, without what is in its rows.
//!
//! Shape:   [`Trouble`] is what a piece of work ends with; [`told`] makes the text for the log.
//! Secrets: PostgreSQL quotes values in some of its messages: of those only the SQLSTATE is told. SQLite's name tables and
//!          columns alone.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use sqlx::any::AnyRow;
use sqlx::{Error, Row};

use crate::store::backend::BackendError;

/// Why a piece of work was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The rows do not allow it. Nothing was written.
    Refused(BackendError),
    /// The database failed.
    Database(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<BackendError> for Trouble {
    fn from(error: BackendError) -> Self {
        Self::Refused(error)
    }
}

/// A row that is not what this program writes.
pub(super) fn unreadable(column: &'static str) -> Trouble {
    Trouble::Refused(BackendError::Unreadable(format!("the column {column} holds what this version does not know")))
}

/// How many rows are remembered that could not be read, so that each is logged once. Our choice: past that they are logged again.
const REMEMBERED_MAX: usize = 1000;

/// The rows that could not be read, and why.
static UNREADABLE: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// What a row holds. None: it is not what this program writes, as one of a later version; that is logged once and keeps nothing
/// else from being read. One that was claimed stays claimed, so that it is not claimed again and again.
pub(super) fn readable<T>(
    name: &'static str,
    row: &AnyRow,
    read: impl FnOnce(&AnyRow) -> Result<T, Trouble>,
) -> Option<T> {
    let why = match read(row) {
        Ok(read) => return Some(read),
        Err(Trouble::Refused(error)) => error.to_string(),
        Err(Trouble::Database(error)) => told(&error),
    };
    let which = row.try_get::<String, _>(name).or_else(|_| row.try_get::<i64, _>(name).map(|id| id.to_string()));
    let which = which.unwrap_or_default();
    if is_new(&which, &why) {
        tracing::error!(row = which, error = why, "stored row is unreadable; passing it over");
    }
    None
}

/// Whether this was not noted before.
fn is_new(which: &str, why: &str) -> bool {
    // Nothing in there is left half done by a panic.
    let mut noted = UNREADABLE.lock().unwrap_or_else(PoisonError::into_inner);
    if noted.len() >= REMEMBERED_MAX {
        noted.clear();
    }
    noted.insert((which.to_owned(), why.to_owned()))
}

/// The error for whoever asked.
pub(super) fn unavailable(error: &Error) -> BackendError {
    match error {
        // As of a later version: trying again does not help, and must not stop all payments.
        Error::ColumnDecode { .. } | Error::ColumnNotFound(_) => BackendError::Unreadable(told(error)),
        error => BackendError::Unavailable(told(error)),
    }
}

/// Whether nothing was written and the same work may succeed at once: two transactions were in each other's way.
pub(super) fn is_conflict(error: &Error) -> bool {
    let Error::Database(error) = error else { return false };
    match error.code().as_deref() {
        // Serialization failure, deadlock, lock not available (PostgreSQL, appendix A).
        Some("40001" | "40P01" | "55P03") => true,
        // SQLITE_BUSY and SQLITE_LOCKED with their extended codes: the low byte is 5 or 6.
        Some(code) if is_sqlite(&**error) => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6)),
        _ => false,
    }
}

/// Whether whatever else was to be written fails for the same reason: the disk is full or fails (SQLITE_FULL, SQLITE_IOERR,
/// SQLITE_NOMEM, SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_CORRUPT, SQLITE_NOTADB with their extended codes), or the database is
/// not to be had.
pub(super) fn is_everybodys(error: &Error) -> bool {
    match error {
        Error::Database(error) if is_sqlite(&**error) => {
            let code = error.code().and_then(|code| code.parse::<u32>().ok());
            code.is_some_and(|code| matches!(code & 0xff, 7 | 8 | 10 | 11 | 13 | 14 | 26))
        }
        Error::Io(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => true,
        _ => false,
    }
}

/// The classes of PostgreSQL's conditions whose messages name what an operator needs and no value: connection, authorization,
/// catalog name, transaction rollback, syntax or access rule (tables), resources, operator intervention, system error.
const TOLD_CLASSES: &[&str] = &["08", "28", "3D", "40", "42", "53", "57", "58"];

/// An error in words that are fit for a log.
pub(super) fn told(error: &Error) -> String {
    match error {
        Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let is_told = is_sqlite(&**error) || TOLD_CLASSES.iter().any(|class| code.starts_with(class));
            if is_told { format!("{} ({code})", error.message()) } else { format!("condition {code}") }
        }
        Error::Io(error) => error.to_string(),
        Error::Tls(error) => format!("TLS: {error}"),
        Error::PoolTimedOut => "no connection to it could be had in time".to_owned(),
        Error::PoolClosed | Error::WorkerCrashed => "its connections are closed".to_owned(),
        Error::Configuration(_) => "its URL has a parameter that is not known or cannot be read".to_owned(),
        Error::ColumnDecode { index, .. } => format!("the column {index} cannot be read"),
        Error::ColumnNotFound(name) => format!("there is no column {name}"),
        Error::Protocol(_) => "it does not speak PostgreSQL's protocol".to_owned(),
        _ => "the query cannot be made".to_owned(),
    }
}

fn is_sqlite(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_cannot_be_read_is_logged_once_for_each_reason() {
        assert!(is_new("PK1", "the column means holds what this version does not know"));
        assert!(!is_new("PK1", "the column means holds what this version does not know"));
        assert!(is_new("PK1", "the column state holds what this version does not know"));
        assert!(is_new("PK2", "the column means holds what this version does not know"));
    }
}
