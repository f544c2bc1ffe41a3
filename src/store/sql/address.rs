//! Where the database is.
//!
//! Secrets: a PostgreSQL URL may hold a password: it is never printed, not even in part.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use url::Url;

use crate::secret::Secret;

/// What an address looks like, for errors.
const EXPECTED: &str = "expected sqlite://FILE or postgres://USER@HOST/NAME";

/// The key `database`: `sqlite://` and a path, taken as it is, or a `postgres://` URL with libpq's parameters.
#[derive(Clone)]
pub enum DatabaseAddress {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Secret),
}

/// Why something is no address. Nothing of it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither of the two.
    #[error("{EXPECTED}")]
    Unknown,
    /// What is in memory does not outlive the process.
    #[error("an SQLite database must be a file: payments have to outlive the process")]
    Memory,
    /// A file has no parameters.
    #[error("the path of an SQLite database has no parameters")]
    Parameters,
}

impl DatabaseAddress {
    /// The file that is used when no address is set.
    #[must_use]
    pub fn within(data: &Path) -> Self {
        Self::Sqlite(data.join("touchtone.db"))
    }
}

impl FromStr for DatabaseAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("sqlite://") {
            return match path {
                "" => Err(AddressError::Unknown),
                ":memory:" => Err(AddressError::Memory),
                path if path.contains('?') => Err(AddressError::Parameters),
                path => Ok(Self::Sqlite(PathBuf::from(path))),
            };
        }
        let url = Url::parse(text).map_err(|_| AddressError::Unknown)?;
        match url.scheme() {
            "postgres" | "postgresql" => Ok(Self::Postgres(Secret::new(text.to_owned()))),
            _ => Err(AddressError::Unknown),
        }
    }
}

impl fmt::Debug for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

impl fmt::Display for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "the database {}", path.display()),
            Self::Postgres(_) => f.write_str("the PostgreSQL database"),
        }
    }
}

impl<'de> Deserialize<'de> for DatabaseAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| de::Error::custom(EXPECTED))?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_file_or_a_postgresql_server() {
        let read = |text: &str| text.parse::<DatabaseAddress>();
        assert!(
            matches!(read("sqlite://a/b c.db"), Ok(DatabaseAddress::Sqlite(path)) if path == Path::new("a/b c.db"))
        );
        assert!(matches!(read("sqlite:///a.db"), Ok(DatabaseAddress::Sqlite(path)) if path == Path::new("/a.db")));
        for url in ["postgres://me:hunter2@db/pay?sslmode=require", "postgresql:///pay?host=/run/postgresql"] {
            assert!(matches!(read(url), Ok(DatabaseAddress::Postgres(kept)) if kept.expose() == url));
        }
        assert_eq!(read("sqlite://:memory:").unwrap_err(), AddressError::Memory);
        assert_eq!(read("sqlite://a.db?mode=ro").unwrap_err(), AddressError::Parameters);
        for wrong in ["", "touchtone.db", "sqlite://", "mysql://me:hunter2@db/pay", "postgres"] {
            assert_eq!(read(wrong).unwrap_err(), AddressError::Unknown, "{wrong}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let address: DatabaseAddress = "postgres://me:hunter2@db/pay".parse().unwrap();
        assert!(!format!("{address:?} {address}").contains("hunter2"));
    }
}
