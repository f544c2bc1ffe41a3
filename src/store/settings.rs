//! What is set of the store: where it is kept, and what its secrets are sealed with.
//!
//! Limits:  [`KEY_LENGTH_MIN`].
//! Secrets: the key is never shown, nor is a PostgreSQL URL.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use super::sql::DatabaseAddress;
use crate::secret::Secret;

/// The shortest `secret_key`, in bytes. Our choice: below it one would be guessed.
pub const KEY_LENGTH_MIN: usize = 16;

/// Where the store is and how it is sealed.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The data folder: the node's id, the key and the SQLite file where nothing else is set.
    pub data: PathBuf,
    /// Where the database is; a file in the data folder if absent.
    pub database: Option<DatabaseAddress>,
    /// What seals credentials and tokens; made and kept in the data folder if absent.
    pub secret_key: Option<SecretKey>,
}

/// The key `secret_key`.
#[derive(Clone, Debug)]
pub struct SecretKey(pub Secret);

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = Secret::deserialize(deserializer)?;
        if key.expose().len() < KEY_LENGTH_MIN {
            return Err(de::Error::custom(format!("expected at least {KEY_LENGTH_MIN} characters")));
        }
        Ok(Self(key))
    }
}
