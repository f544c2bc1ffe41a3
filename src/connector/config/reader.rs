//! The keys of one instance, read one by one as its kind says what they are.
//!
//! Shape:   a method for each [`ValueShape`]. A key that is not given is its default; what was read is kept as it will be stored and
//!          shown ([`Values`]).
//! Errors:  [`ConnectorConfigError`], which names instance and key.
//! Secrets: no error quotes the value of a key that is secret.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderValue;

use super::keys::{ConfigKeys, ConfigValue};
use super::{COMMON_KEYS, ConnectorConfigError};
use crate::connector::kind::{KeyDefault, Kind, KindKey, ValueShape};
use crate::connector::{Description, Mode};
use crate::http::Endpoint;
use crate::secret::Secret;

/// The keys of one instance, with its name for errors.
#[derive(Debug)]
pub struct ConfigReader<'a> {
    pub(super) connector: &'a str,
    pub(super) mode: Mode,
    pub(super) keys: ConfigKeys,
    pub(super) values: Values,
}

/// The values of an instance's keys, as they were checked.
#[derive(Clone, Default)]
pub(super) struct Values(BTreeMap<&'static str, Checked>);

#[derive(Clone)]
struct Checked {
    value: KnownKey,
    /// Whether it is stored: what another mode has otherwise is not.
    stored: bool,
}

#[derive(Clone)]
enum KnownKey {
    Text(Secret),
    Address(Endpoint),
}

impl KnownKey {
    fn expose(&self) -> &str {
        match self {
            Self::Text(text) => text.expose(),
            Self::Address(endpoint) => endpoint.expose(),
        }
    }
}

impl Values {
    /// What is stored: key and value, secrets in the clear.
    pub(super) fn stored(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().filter(|(_, checked)| checked.stored).map(|(key, checked)| (*key, checked.value.expose()))
    }

    /// Whether a key has a value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The address under a key.
    pub(super) fn address(&self, key: &str) -> Option<&Endpoint> {
        match &self.0.get(key)?.value {
            KnownKey::Address(endpoint) => Some(endpoint),
            KnownKey::Text(_) => None,
        }
    }

    /// What an instance with these values says of itself: nothing secret, addresses without their query.
    pub(super) fn described(&self, kind: &Kind, mode: Mode) -> Description {
        let shown = |key: &'static KindKey| {
            let value = match &self.0.get(key.name)?.value {
                KnownKey::Text(text) => text.expose().to_owned(),
                KnownKey::Address(endpoint) => endpoint.to_string(),
            };
            Some((key.name, value))
        };
        let settings = kind.keys.iter().filter(|key| !key.secret).filter_map(shown).collect();
        Description { kind: kind.name, mode, settings }
    }
}

impl fmt::Debug for Values {
    /// The keys alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ConfigReader<'_> {
    /// The mode of the instance.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// A text; none where there is neither one nor a default.
    ///
    /// # Errors
    /// When it is no text.
    pub fn text(&mut self, key: &'static KindKey) -> Result<Option<Secret>, ConnectorConfigError> {
        let text = match self.keys.0.remove(key.name) {
            None => match key.default.of(self.mode) {
                None => return Ok(None),
                Some(default) => {
                    let text = Secret::new(default.to_owned());
                    self.keep(key, KnownKey::Text(text.clone()), false);
                    return Ok(Some(text));
                }
            },
            Some(ConfigValue::Text(text)) => text,
            Some(ConfigValue::Number(_)) => return Err(self.not_text(key, "a number")),
            Some(ConfigValue::Flag(_)) => return Err(self.not_text(key, "true or false")),
            Some(ConfigValue::List(_)) => return Err(self.not_text(key, "a list")),
            Some(ConfigValue::Other(found)) => return Err(self.not_text(key, found)),
        };
        self.keep(key, KnownKey::Text(text.clone()), true);
        Ok(Some(text))
    }

    /// A text that there has to be.
    ///
    /// # Errors
    /// When it is no text, or there is none.
    pub fn needed(&mut self, key: &'static KindKey) -> Result<Secret, ConnectorConfigError> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    /// A credential that goes into a header; none where it is not given.
    ///
    /// # Errors
    /// When no header can carry it.
    pub fn token(&mut self, key: &'static KindKey) -> Result<Option<Secret>, ConnectorConfigError> {
        match self.text(key)? {
            Some(token) if token.expose().is_empty() || HeaderValue::from_str(token.expose()).is_err() => {
                Err(self.invalid(key, "it is empty or holds what no header can carry"))
            }
            token => Ok(token),
        }
    }

    /// Where the gateway is.
    ///
    /// # Errors
    /// When there is none, or card data must not be sent there.
    pub fn address(&mut self, key: &'static KindKey) -> Result<Endpoint, ConnectorConfigError> {
        let given = self.keys.has(key.name);
        let text = self.needed(key)?;
        let endpoint = Endpoint::parse(text.expose()).map_err(|error| self.invalid(key, error.to_string()))?;
        if endpoint.has_query() && !matches!(key.shape, ValueShape::Address { query: true }) {
            return Err(self.invalid(key, "it has no query (?...)"));
        }
        self.keep(key, KnownKey::Address(endpoint.clone()), given);
        Ok(endpoint)
    }

    /// A whole number, or a text of its digits.
    ///
    /// # Errors
    /// When it is none that the key allows, or there is none.
    pub fn whole(&mut self, key: &'static KindKey) -> Result<u8, ConnectorConfigError> {
        let ValueShape::Whole(from, to) = key.shape else { return Err(self.invalid(key, "it is no whole number")) };
        let of_text = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        let found = match self.keys.0.remove(key.name) {
            None => match key.default.of(self.mode) {
                None => return Err(self.missing(key)),
                Some(default) => of_text(default),
            },
            Some(ConfigValue::Number(number)) => number.and_then(|number| u8::try_from(number).ok()),
            Some(ConfigValue::Text(text)) => of_text(text.expose()),
            Some(ConfigValue::Flag(_) | ConfigValue::List(_) | ConfigValue::Other(_)) => None,
        };
        let Some(number) = found.filter(|number| (from..=to).contains(number)) else {
            return Err(self.invalid(key, format!("it is a whole number from {from} to {to}")));
        };
        self.keep(key, KnownKey::Text(Secret::new(number.to_string())), true);
        Ok(number)
    }

    /// A whole number of seconds.
    ///
    /// # Errors
    /// As [`Self::whole`].
    pub fn seconds(&mut self, key: &'static KindKey) -> Result<Duration, ConnectorConfigError> {
        Ok(Duration::from_secs(self.whole(key)?.into()))
    }

    /// True or false, or a text that says so.
    ///
    /// # Errors
    /// When it is neither, or there is none.
    pub fn flag(&mut self, key: &'static KindKey) -> Result<bool, ConnectorConfigError> {
        let of_text = |text: &str| match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        let found = match self.keys.0.remove(key.name) {
            None => match key.default.of(self.mode) {
                None => return Err(self.missing(key)),
                Some(default) => of_text(default),
            },
            Some(ConfigValue::Flag(flag)) => Some(flag),
            Some(ConfigValue::Text(text)) => of_text(text.expose()),
            Some(ConfigValue::Number(_) | ConfigValue::List(_) | ConfigValue::Other(_)) => None,
        };
        let flag = found.ok_or_else(|| self.invalid(key, "it is true or false"))?;
        self.keep(key, KnownKey::Text(Secret::new(flag.to_string())), true);
        Ok(flag)
    }

    /// One of a few words, as `parse` knows them. The key is not secret: an error quotes what is there.
    ///
    /// # Errors
    /// When it is another word, or there is none.
    pub fn word<T>(
        &mut self,
        key: &'static KindKey,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConnectorConfigError> {
        let word = self.needed(key)?;
        parse(word.expose()).ok_or_else(|| {
            let ValueShape::Word(known) = key.shape else { return self.invalid(key, "it is no word that is known") };
            self.invalid(key, format!("`{}` is none of {}", word.expose(), known.join(", ")))
        })
    }

    /// A list of some of the key's numbers, or a text of them with commas between; each once, in the key's order. None of
    /// them where nothing is given.
    ///
    /// # Errors
    /// When something else is in it.
    pub fn some(&mut self, key: &'static KindKey) -> Result<Vec<u16>, ConnectorConfigError> {
        let ValueShape::Some(allowed) = key.shape else { return Err(self.invalid(key, "it is no list of numbers")) };
        let text_of = |numbers: &[u16]| numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let found: Option<Vec<Option<u64>>> = match self.keys.0.remove(key.name) {
            None => return Ok(Vec::new()),
            Some(ConfigValue::List(numbers)) => Some(numbers),
            Some(ConfigValue::Number(number)) => Some(vec![number]),
            Some(ConfigValue::Text(text)) => {
                Some(text.expose().split(',').map(|part| part.trim().parse().ok()).collect())
            }
            Some(ConfigValue::Flag(_) | ConfigValue::Other(_)) => None,
        };
        let is_allowed = |number: &Option<u64>| allowed.iter().any(|known| Some(u64::from(*known)) == *number);
        let found = found
            .filter(|numbers| numbers.iter().all(is_allowed))
            .ok_or_else(|| self.invalid(key, format!("it is a list of some of {}", text_of(allowed))))?;
        let some: Vec<u16> = allowed.iter().copied().filter(|known| found.contains(&Some(u64::from(*known)))).collect();
        if !some.is_empty() {
            self.keep(key, KnownKey::Text(Secret::new(text_of(&some))), true);
        }
        Ok(some)
    }

    /// Keeps what is under a key as that of another one of the same meaning.
    pub fn rename(&mut self, key: &'static KindKey, as_key: &'static KindKey) {
        if let Some(checked) = self.values.0.remove(key.name) {
            self.values.0.insert(as_key.name, checked);
        }
    }

    /// The key is needed and not there.
    #[must_use]
    pub fn missing(&self, key: &'static KindKey) -> ConnectorConfigError {
        ConnectorConfigError::Missing { connector: self.connector.to_owned(), key: key.name }
    }

    /// The value cannot be; `reason` says what is allowed and quotes nothing secret.
    #[must_use]
    pub fn invalid(&self, key: &'static KindKey, reason: impl Into<String>) -> ConnectorConfigError {
        ConnectorConfigError::Invalid { connector: self.connector.to_owned(), key: key.name, reason: reason.into() }
    }

    /// The credential is for the other mode.
    #[must_use]
    pub fn wrong_mode(&self, key: &'static KindKey, found: Mode) -> ConnectorConfigError {
        ConnectorConfigError::WrongMode { connector: self.connector.to_owned(), key: key.name, found, mode: self.mode }
    }

    pub(super) fn refuse_unknown(&self, kind: &Kind) -> Result<(), ConnectorConfigError> {
        let known = || COMMON_KEYS.into_iter().chain(kind.keys.iter().map(|key| key.name));
        let Some(key) = self.keys.0.keys().find(|key| !known().any(|known| known == key.as_str())) else {
            return Ok(());
        };
        Err(ConnectorConfigError::UnknownKey {
            connector: self.connector.to_owned(),
            key: key.clone(),
            nearest: known().min_by_key(|known| strsim::damerau_levenshtein(known, key)).unwrap_or("name"),
        })
    }

    fn not_text(&self, key: &'static KindKey, found: &'static str) -> ConnectorConfigError {
        ConnectorConfigError::NotText { connector: self.connector.to_owned(), key: key.name.to_owned(), found }
    }

    fn keep(&mut self, key: &'static KindKey, value: KnownKey, given: bool) {
        // A default that differs by mode goes live with its instance.
        let stored = given || !matches!(key.default, KeyDefault::PerMode { .. });
        self.values.0.insert(key.name, Checked { value, stored });
    }
}
