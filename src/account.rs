//! The account that this server is: its id and token, made on the first start and kept in the data folder.
//!
//! Secrets: the token is in a file that only its owner can read, and printed once, when it is made.
#![allow(clippy::disallowed_methods, reason = "read at the start, when nobody else is held up")]

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::Config;
use crate::private_file;
use crate::secret::Secret;

/// The file in the data folder.
const FILE: &str = "account.toml";

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// `AC` and 32 hex digits.
    pub sid: String,
    /// Signs callbacks, checks upgrades.
    pub auth_token: Secret,
    /// Whether the token was made just now: the one time it is shown.
    pub is_new: bool,
}

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The data folder or the file in it cannot be used.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it was.
    #[error("{0}: not an account; it has account_sid = \"AC...\" and auth_token = \"...\"")]
    Malformed(PathBuf),
    /// A configured id that is none.
    #[error("account_sid is AC and 32 hexadecimal digits")]
    Sid,
    /// A configured id without the token that goes with it.
    #[error("account_sid is set without auth_token: set both, or neither for an account that is made and kept")]
    NoToken,
    /// There is no randomness to make a token of.
    #[error("the system has no random numbers: {0}")]
    Random(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAccount {
    account_sid: String,
    auth_token: Secret,
}

impl Account {
    /// The configured account; what is not configured is read from the data folder, or made and kept there. A token without
    /// the id of its account goes with an id that is made, and a warning says which.
    ///
    /// # Errors
    /// When an id is configured alone, the data folder cannot be written, or what is in it cannot be read.
    pub fn open(config: &Config) -> Result<Self, AccountError> {
        if let Some(sid) = &config.account_sid
            && !is_sid(sid)
        {
            return Err(AccountError::Sid);
        }
        if let Some(sid) = &config.account_sid {
            let auth_token = config.auth_token.clone().ok_or(AccountError::NoToken)?;
            return Ok(Self { sid: sid.clone(), auth_token, is_new: false });
        }
        let path = config.data.join(FILE);
        let (kept, is_new) = match std::fs::read_to_string(&path) {
            Ok(text) => match read(&text) {
                Some(kept) => (kept, false),
                None => return Err(AccountError::Malformed(path)),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (make(&path)?, true),
            Err(source) => return Err(AccountError::File { path, source }),
        };
        if config.auth_token.is_some() {
            tracing::warn!(
                account_sid = kept.account_sid,
                "auth_token is set without account_sid; the REST API and callbacks use the AccountSid that was made here: set \
                 account_sid beside auth_token to use your own"
            );
        }
        Ok(Self {
            sid: kept.account_sid,
            // A token of the configuration is never shown.
            is_new: is_new && config.auth_token.is_none(),
            auth_token: config.auth_token.clone().unwrap_or(kept.auth_token),
        })
    }
}

fn read(text: &str) -> Option<StoredAccount> {
    use figment::providers::Format;
    figment::Figment::from(figment::providers::Toml::string(text))
        .extract::<StoredAccount>()
        .ok()
        .filter(|kept| is_sid(&kept.account_sid))
}

fn make(path: &Path) -> Result<StoredAccount, AccountError> {
    let (sid, token) = (format!("AC{}", hex()?), hex()?);
    let text = zeroize::Zeroizing::new(format!("account_sid = \"{sid}\"\nauth_token = \"{token}\"\n"));
    private_file::write_new(path, &text).map_err(|source| AccountError::File { path: path.to_owned(), source })?;
    Ok(StoredAccount { account_sid: sid, auth_token: Secret::new(token) })
}

/// 32 random hexadecimal digits.
fn hex() -> Result<String, AccountError> {
    let high = getrandom::u64().map_err(|error| AccountError::Random(error.to_string()))?;
    let low = getrandom::u64().map_err(|error| AccountError::Random(error.to_string()))?;
    Ok(format!("{high:016x}{low:016x}"))
}

fn is_sid(sid: &str) -> bool {
    sid.strip_prefix("AC").is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
