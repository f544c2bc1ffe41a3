//! Why there is no configuration.

use std::path::PathBuf;

/// A key of the contract that this version does not have yet: naming it beats ignoring it.
const NOT_YET: &str = "media.in_band_dtmf";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named on the command line is not there.
    #[error("{0}: there is no such file")]
    NoFile(PathBuf),
    /// A key that does not exist.
    #[error("unknown key {key}; the nearest known one is {nearest}{place}")]
    UnknownKey {
        /// The key, with the tables it is in.
        key: String,
        /// What may have been meant.
        nearest: String,
        /// Where it was found.
        place: String,
    },
    /// A key of a later version.
    #[error("{0} is not available in this version yet; remove it")]
    NotYet(String),
    /// A value that cannot be.
    #[error("{0}")]
    Invalid(String),
}

/// The first of figment's errors, in our words.
pub(super) fn explained(error: figment::Error) -> ConfigError {
    let Some(error) = error.into_iter().next() else {
        return ConfigError::Invalid("the configuration cannot be read".to_owned());
    };
    let place = error
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.source.as_ref())
        .map(|source| format!(" ({source})"))
        .unwrap_or_default();
    let path = error.path.join(".");
    match &error.kind {
        figment::error::Kind::UnknownField(key, known) => {
            let full = if path.is_empty() || path == *key || path.ends_with(&format!(".{key}")) {
                if path.is_empty() { key.clone() } else { path }
            } else {
                format!("{path}.{key}")
            };
            if full == NOT_YET {
                return ConfigError::NotYet(full);
            }
            let nearest =
                known.iter().max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
            ConfigError::UnknownKey { key: full, nearest: nearest.copied().unwrap_or("none").to_owned(), place }
        }
        figment::error::Kind::Message(message) => ConfigError::Invalid(format!("{}{message}{place}", prefix(&path))),
        // What is there is not quoted: it may be a secret.
        figment::error::Kind::InvalidType(_, expected) | figment::error::Kind::InvalidValue(_, expected) => {
            ConfigError::Invalid(format!("{}expected {expected}{place}", prefix(&path)))
        }
        other => ConfigError::Invalid(format!("{}{other}{place}", prefix(&path))),
    }
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}
