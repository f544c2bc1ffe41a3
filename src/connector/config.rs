//! What an instance is configured with: `[[connector]]` in a file, or the same keys as JSON.
//!
//! Shape:   [`ConnectorConfig`] is read by serde from any format, as its [`Kind`] says; [`ConnectorConfig::build`] makes the
//!          connector of it.
//! Limits:  a name has 1 to 64 characters.
//! Errors:  [`ConnectorConfigError`] names the instance and the key, never a value that could be secret.
//! Secrets: every text becomes a [`Secret`] before anything looks at it, so no parser's error can quote it.
//! Sources: spec/interface.md, "Configuration" and "Connector kinds".

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::kind::{Build, Kind, KindKey, KindSettings, ValueShape};
use super::{Connector, KINDS, kind};
use crate::exposure::Exposure;
use crate::http::{Endpoint, Gateway};
use crate::pay::step::words;
use crate::secret::Secret;

mod error;
mod keys;
mod name;
mod reader;
#[cfg(test)]
mod tests;

pub use error::ConnectorConfigError;
pub use keys::ConfigKeys;
use keys::{ConfigValue, NOTHING};
pub(super) use name::is_alike;
pub use reader::ConfigReader;
use reader::Values;

/// The longest name, in characters. Our choice.
const NAME_CHARS_MAX: usize = 64;

words! {
    /// Whether real money moves.
    Mode {
        /// For trying out: of a gateway that takes real cards, only the documented test numbers get through.
        Test = "test",
        /// Real.
        Live = "live",
    }
}

/// How many slips of the finger still make one word of another.
const SLIPS_MAX: usize = 2;

/// The keys of every kind.
const COMMON_KEYS: [&str; 3] = ["name", "kind", "mode"];

/// `kind`, for those who read it.
const KIND: KindKey = KindKey::new("kind", ValueShape::Text(None), "What gateway it is for.");

/// `mode`, for those who read it.
const MODE: KindKey = KindKey::new("mode", ValueShape::Text(None), "Whether real money moves.");

/// An instance as configured.
#[derive(Clone, Debug)]
pub struct ConnectorConfig {
    /// The unique name, which `<Pay paymentConnector>` gives.
    pub name: String,
    /// Test or live; test unless it is said.
    pub mode: Mode,
    kind: &'static Kind,
    settings: Arc<dyn KindSettings>,
    values: Values,
}

impl ConnectorConfig {
    /// Makes the connector, for a server with this exposure.
    #[must_use]
    pub fn build(&self, gateway: &Arc<Gateway>, exposure: Exposure) -> Arc<dyn Connector> {
        let description = self.values.described(self.kind, self.mode);
        self.settings.build(Build { mode: self.mode, gateway, exposure, description })
    }

    /// Whether it would approve real cards that nobody charges: a sandbox in mode live, where real callers come in.
    #[must_use]
    pub fn is_live_sandbox(&self, exposure: Exposure) -> bool {
        !self.kind.moves_money && self.mode == Mode::Live && exposure.has_public_url()
    }

    /// Reads the keys of an instance.
    ///
    /// # Errors
    /// [`ConnectorConfigError`].
    pub fn of(keys: ConfigKeys) -> Result<Self, ConnectorConfigError> {
        Self::read(keys)
    }

    /// This instance with some keys given anew; nothing (JSON's null) takes a key back to its default. Whoever gives one
    /// secret gives all: those of before are dropped. Where a live instance sends payments cannot be changed, nor can
    /// name, kind and mode ([`Self::live`]).
    ///
    /// # Errors
    /// [`ConnectorConfigError`].
    pub fn with(&self, changes: ConfigKeys) -> Result<Self, ConnectorConfigError> {
        let changed = self.changed(changes, self.mode)?;
        let address = |config: &Self| config.address().map(|(_, endpoint)| endpoint.expose().to_owned());
        match self.address() {
            // Going live fixes the endpoint for good (spec/pay.md 10).
            Some((key, _)) if self.mode == Mode::Live && address(&changed) != address(self) => {
                Err(ConnectorConfigError::Fixed { connector: self.name.clone(), key })
            }
            _ => Ok(changed),
        }
    }

    /// This instance in live mode, with keys given anew where it takes others there.
    ///
    /// # Errors
    /// [`ConnectorConfigError`]: credentials that are for tests, for one.
    pub fn live(&self, changes: ConfigKeys) -> Result<Self, ConnectorConfigError> {
        match self.mode {
            Mode::Test => self.changed(changes, Mode::Live),
            Mode::Live => self.with(changes),
        }
    }

    fn changed(&self, changes: ConfigKeys, mode: Mode) -> Result<Self, ConnectorConfigError> {
        // What was written by `to_json` is read.
        let mut keys = ConfigKeys::from_json(self.to_json().expose().as_bytes())?;
        let given: Vec<&str> = self.kind.secrets().filter(|key| changes.has(key)).collect();
        if !given.is_empty() {
            // What is no secret stays only where it goes with one that is given: a user with a password.
            let goes_with_given = |key: &str| {
                let mut sets = self.kind.authentication.iter();
                sets.any(|set| set.contains(&key) && set.iter().any(|one| given.contains(one)))
            };
            let is_secret = |key: &str| self.kind.key(key).is_some_and(|key| key.secret);
            let credentials = self.kind.credentials();
            let is_dropped = |key: &str| is_secret(key) || (credentials.contains(&key) && !goes_with_given(key));
            keys.0.retain(|key, _| !is_dropped(key));
        }
        for (key, value) in changes.0 {
            if let Some(settled) = COMMON_KEYS.into_iter().find(|settled| *settled == key) {
                let same = match (&value, keys.0.get(settled)) {
                    (ConfigValue::Text(given), Some(ConfigValue::Text(known))) => given.matches(known.expose()),
                    _ => false,
                };
                if !same {
                    return Err(ConnectorConfigError::Settled { connector: self.name.clone(), key: settled });
                }
                continue;
            }
            match value {
                // One that its kind does not have is put in, to be refused.
                ConfigValue::Other(NOTHING) if self.kind.key(&key).is_some() => {
                    keys.0.remove(&key);
                }
                value => {
                    keys.0.insert(key, value);
                }
            }
        }
        keys.set("mode", Secret::new(mode.word().to_owned()));
        Self::read(keys)
    }

    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// Which secret keys are set.
    #[must_use]
    pub fn secrets(&self) -> Vec<&'static str> {
        self.kind.secrets().filter(|key| self.values.has(key)).collect()
    }

    /// Where it sends payments, as it may be shown; none for one that sends them nowhere.
    pub(super) fn shown_address(&self) -> Option<String> {
        self.address().map(|(_, endpoint)| endpoint.to_string())
    }

    /// The whole address of where it sends payments, and the account there: two that differ in it are two places.
    pub(super) fn destination(&self) -> Option<Secret> {
        let (_, endpoint) = self.address()?;
        // No URL has a line break.
        Some(Secret::new(format!("{}\n{}", endpoint.expose(), self.settings.account().unwrap_or_default())))
    }

    /// Whether that address has a query, which is never shown.
    pub(super) fn has_query(&self) -> bool {
        self.address().is_some_and(|(_, endpoint)| endpoint.has_query())
    }

    /// The key of where it sends payments, and that place.
    fn address(&self) -> Option<(&'static str, &Endpoint)> {
        let key = self.kind.address?;
        Some((key, self.values.address(key)?))
    }

    /// The instance as JSON, secrets in the clear, for a store that encrypts it. Reading it gives the same instance.
    #[must_use]
    pub fn to_json(&self) -> Secret {
        let common = [("name", self.name.as_str()), ("kind", self.kind.name), ("mode", self.mode.word())];
        let keys: BTreeMap<&str, &str> = common.into_iter().chain(self.values.stored()).collect();
        // A map of texts is always JSON.
        Secret::new(serde_json::to_string(&keys).unwrap_or_default())
    }

    fn read(mut keys: ConfigKeys) -> Result<Self, ConnectorConfigError> {
        let name = match keys.0.remove("name") {
            Some(ConfigValue::Text(name)) if is_name(name.expose()) => name.expose().to_owned(),
            _ => return Err(ConnectorConfigError::Name),
        };
        let mut keys = ConfigReader { connector: &name, mode: Mode::Test, keys, values: Values::default() };
        let word = keys.needed(&KIND)?;
        let Some(kind) = kind(word.expose()) else { return Err(unknown_kind(&keys, word.expose())) };
        keys.refuse_unknown(kind)?;
        if let Some(word) = keys.text(&MODE)? {
            let unknown = || keys.invalid(&MODE, format!("`{}` is none of test, live", word.expose()));
            keys.mode = Mode::parse(word.expose()).ok_or_else(unknown)?;
        }
        // Of the values only the kind's own are kept.
        keys.values = Values::default();
        let settings = (kind.read)(&mut keys)?;
        let (mode, values) = (keys.mode, keys.values);
        Ok(Self { name, mode, kind, settings, values })
    }
}

fn unknown_kind(keys: &ConfigReader<'_>, word: &str) -> ConnectorConfigError {
    let known: Vec<&str> = KINDS.iter().map(|known| known.name).collect();
    let nearest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(known, word));
    let nearest = nearest.filter(|known| strsim::damerau_levenshtein(known, word) <= SLIPS_MAX);
    let hint = nearest.map(|known| format!("; `{known}`, perhaps?")).unwrap_or_default();
    keys.invalid(&KIND, format!("`{word}` is none of {}{hint}", known.join(", ")))
}

impl<'de> Deserialize<'de> for ConnectorConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(ConfigKeys::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=NAME_CHARS_MAX).contains(&length)
        && name.trim() == name
        && name.chars().all(|letter| letter == ' ' || !(letter == '/' || name::is_unseen(letter)))
}
