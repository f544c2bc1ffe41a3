//! Keys as the command line gives them.
//!
//! Shape:   `KEY=VALUE`, `KEY=@FILE`, `KEY=@-`, and `KEY=` for none.
//! Limits:  [`FILE_BYTES_MAX`].
//! Errors:  [`CommandFailure`]; none holds a value.
//! Secrets: a command line is seen by every user of the machine and kept in a shell's history, so a secret on it is refused.

use std::convert::Infallible;
use std::io::{BufRead, IsTerminal, Read};
use std::path::PathBuf;
use std::str::FromStr;

use zeroize::Zeroizing;

use super::typed;
use crate::cli::CommandFailure;
use crate::connector::config::ConfigKeys;
use crate::connector::instance::Instance;
use crate::connector::{self, KINDS};
use crate::secret::Secret;

/// The longest file a key is read from. Our choice: a credential has some hundred bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A key and where its value is.
#[derive(Clone)]
pub(super) enum Given {
    Value(String, Secret),
    File(String, PathBuf),
    Input(String),
    Nothing(String),
    /// No `=` in it.
    Unreadable,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(key, _) | Self::File(key, _) | Self::Input(key) | Self::Nothing(key) => write!(f, "{key}=…"),
            Self::Unreadable => f.write_str("?"),
        }
    }
}

impl FromStr for Given {
    /// What is wrong is told later: clap would quote the whole text.
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Ok(Self::Unreadable);
        };
        let key = key.to_owned();
        Ok(match value {
            "" => Self::Nothing(key),
            "@-" => Self::Input(key),
            value => match value.strip_prefix('@') {
                Some(file) => Self::File(key, PathBuf::from(file)),
                None => Self::Value(key, Secret::new(value.to_owned())),
            },
        })
    }
}

/// Reads the values.
pub(super) fn keys(given: Vec<Given>) -> Result<ConfigKeys, CommandFailure> {
    let mut keys = ConfigKeys::default();
    for one in given {
        let (key, value) = match one {
            Given::Unreadable => {
                return Err(CommandFailure(
                    "a key is given as KEY=VALUE, KEY=@FILE, or KEY=@- to type or pipe it".to_owned(),
                ));
            }
            Given::Value(key, _) if secrets().any(|secret| secret == key) => {
                return Err(CommandFailure(format!(
                    "{key} is a secret, and a command line is seen by others and kept in a history: give {key}=@FILE, or \
                     {key}=@- to type or pipe it"
                )));
            }
            Given::Value(key, value) => (key, Some(value)),
            Given::Nothing(key) => (key, None),
            Given::Input(key) => {
                let value = read(&key)?;
                (key, Some(value))
            }
            Given::File(key, path) => {
                let failed = |error: std::io::Error| CommandFailure(format!("{key}: {}: {error}", path.display()));
                let mut text = Zeroizing::new(String::new());
                let file = std::fs::File::open(&path).map_err(failed)?;
                // One byte more: a credential that is cut would only be refused by its gateway, much later.
                file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
                if text.len() as u64 > FILE_BYTES_MAX {
                    let file = path.display();
                    return Err(CommandFailure(format!("{key}: {file} has more than {FILE_BYTES_MAX} bytes")));
                }
                let value = Secret::new(without_end(&text).to_owned());
                (key, Some(value))
            }
        };
        if keys.has(&key) {
            return Err(CommandFailure(format!("{key} is given twice")));
        }
        match value {
            Some(value) => keys.set(&key, value),
            None => keys.clear(&key),
        }
    }
    Ok(keys)
}

/// Asks a person for the credential that an instance cannot be without. Where there is none, it will be said to be missing.
pub(super) fn ask_for_missing(keys: &mut ConfigKeys) -> Result<(), CommandFailure> {
    if !std::io::stdin().is_terminal() || secrets().any(|key| keys.has(key)) {
        return Ok(());
    }
    let kind = keys.public("kind").and_then(connector::kind);
    for wanted in kind.map(|kind| kind.secrets_to_ask_for(|key| keys.has(key))).unwrap_or_default() {
        keys.set(wanted, typed::secret(wanted)?);
    }
    Ok(())
}

/// Asks a person for the credentials of an instance that are others in the other mode.
pub(super) fn ask_for_mode(keys: &mut ConfigKeys, instance: &Instance) -> Result<(), CommandFailure> {
    if !std::io::stdin().is_terminal() {
        return Ok(());
    }
    let kind = instance.kind.and_then(connector::kind);
    let differs = |key: &str| kind.and_then(|kind| kind.key(key)).is_some_and(|key| key.per_mode);
    for key in instance.secrets.keys().filter(|key| differs(key)) {
        keys.set(key, typed::secret(key)?);
    }
    Ok(())
}

/// Asks a person for the credentials that an instance has, anew.
pub(super) fn ask_again(keys: &mut ConfigKeys, instance: &Instance) -> Result<(), CommandFailure> {
    if std::io::stdin().is_terminal() {
        for key in instance.secrets.keys() {
            keys.set(key, typed::secret(key)?);
        }
    }
    Ok(())
}

fn read(key: &str) -> Result<Secret, CommandFailure> {
    if std::io::stdin().is_terminal() {
        return typed::secret(key);
    }
    let mut line = Zeroizing::new(String::new());
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(0) => Err(CommandFailure(format!("{key}: nothing was piped in"))),
        Ok(_) => Ok(Secret::new(without_end(&line).to_owned())),
        Err(error) => Err(CommandFailure(format!("{key}: {error}"))),
    }
}

/// The keys that are secret, of every kind.
fn secrets() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|kind| kind.secrets())
}

fn without_end(text: &str) -> &str {
    text.trim_end_matches(['\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(texts: &[&str]) -> Result<ConfigKeys, CommandFailure> {
        keys(texts.iter().map(|text| text.parse().unwrap_or_else(|never: Infallible| match never {})).collect())
    }

    #[test]
    fn a_key_has_a_value_a_file_or_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "sk_test_1\n").unwrap();
        let from_file = format!("secret_key=@{}", file.path().display());
        let keys = read_all(&["account=acct_1", "base_url=https://x.example/?a=b", &from_file, "moto="]).unwrap();
        assert_eq!(keys.public("account"), Some("acct_1"));
        assert_eq!(keys.public("base_url"), Some("https://x.example/?a=b"));
        assert!(keys.has("secret_key") && keys.has("moto"));
        assert_eq!(keys.public("secret_key"), None);
    }

    #[test]
    fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
        for text in ["secret_key=sk_test_4815162342", "password=4815162342", "4815162342", "=4815162342"] {
            let said = read_all(&[text]).unwrap_err().to_string();
            assert!(said.contains("=@FILE") && !said.contains("4815162342"), "{said}");
            assert!(!format!("{:?}", text.parse::<Given>()).contains("4815162342"));
        }
    }

    #[test]
    fn a_key_is_given_once_and_a_file_has_to_be_there() {
        assert!(read_all(&["moto=true", "moto=false"]).unwrap_err().to_string().contains("moto is given twice"));
        let said = read_all(&["bearer=@/no/such/file"]).unwrap_err().to_string();
        assert!(said.contains("bearer: /no/such/file"), "{said}");
    }
}
