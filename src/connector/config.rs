//! What an instance is configured with: `[[connector]]` in a file, or the same keys as JSON.
//!
//! Shape:   [`ConnectorConfig`] is read by serde from any format; [`ConnectorConfig::build`] makes the connector of it.
//!          [`KINDS`] lists kinds and keys for those who show or check them.
//! Limits:  a name has 1 to 64 characters.
//! Errors:  [`ConnectorConfigError`] names the instance and the key, never a value that could be secret.
//! Secrets: every text becomes a [`Secret`] before anything looks at it, so no parser's error can quote it.
//! Sources: spec/interface.md, "Configuration" and "Connector kinds".

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::Connector;
use super::generic::answer::BUSY;
use super::generic::{ANSWER_TIMEOUT, Dialect, Generic, GenericSettings, REPEATS};
use super::sandbox::Sandbox;
use super::stripe::{Stripe, StripeSettings};
use crate::exposure::Exposure;
use crate::http::{Authorization, Endpoint, Gateway};
use crate::pay::step::words;
use crate::pay::test_numbers::AcceptedNumbers;
use crate::secret::Secret;

mod keys;
mod kinds;
mod name;
mod stripe;
#[cfg(test)]
mod tests;

pub use keys::Keys;
use keys::{NOTHING, Value};
pub(super) use kinds::SANDBOX;
use kinds::{GENERIC, STRIPE};
pub use kinds::{KINDS, Key, Kind};
pub(super) use name::is_alike;

/// The longest name, in characters. Our choice.
const NAME_CHARS_MAX: usize = 64;
/// How long a processor may be given, in seconds. Our choice: the caller waits.
const TIMEOUT_SECONDS: RangeInclusive<u8> = 1..=60;
/// How often a request may be repeated. Our choice, as above.
const RETRIES: RangeInclusive<u8> = 0..=10;

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

/// An instance as configured.
#[derive(Clone, Debug)]
pub struct ConnectorConfig {
    /// The unique name, which `<Pay paymentConnector>` gives.
    pub name: String,
    /// Test or live; test unless it is said.
    pub mode: Mode,
    /// The kind and its settings.
    pub kind: KindConfig,
}

/// A kind with its settings.
#[derive(Clone, Debug)]
pub enum KindConfig {
    /// Moves no money.
    Sandbox,
    /// The generic contract.
    Generic(GenericSettings),
    /// Stripe.
    Stripe(StripeSettings),
}

/// What is wrong with an instance's keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorConfigError {
    /// It has no usable name.
    #[error(
        "a connector needs a `name` of 1 to 64 characters, without `/`, without blanks at its ends, and without characters \
         that cannot be seen: control characters, those of no width, those that turn the direction of writing"
    )]
    Name,
    /// A needed key is not there.
    #[error("connector `{connector}`: `{key}` is missing")]
    Missing {
        /// The instance.
        connector: String,
        /// The key.
        key: &'static str,
    },
    /// A key that its kind does not have.
    #[error("connector `{connector}`: unknown key `{key}`; the nearest known one is `{nearest}`")]
    UnknownKey {
        /// The instance.
        connector: String,
        /// The key.
        key: String,
        /// What may have been meant.
        nearest: &'static str,
    },
    /// A value that is no text.
    #[error("connector `{connector}`: `{key}` is text in quotes, not {found}")]
    NotText {
        /// The instance.
        connector: String,
        /// The key.
        key: String,
        /// What kind of value is there.
        found: &'static str,
    },
    /// The keys are no table.
    #[error("the keys of a connector are a JSON object, such as {{\"name\": \"Shop\", \"kind\": \"sandbox\"}}{0}")]
    NoKeys(String),
    /// A key that stays as it is as long as the instance is there.
    #[error("connector `{connector}`: its `{key}` cannot be changed; add a new connector")]
    Settled {
        /// The instance.
        connector: String,
        /// The key.
        key: &'static str,
    },
    /// Where a live instance sends payments.
    #[error("connector `{connector}` is live, and going live fixed its `{key}` for good; add a new connector")]
    Fixed {
        /// The instance.
        connector: String,
        /// The key.
        key: &'static str,
    },
    /// A credential for the other mode.
    #[error(
        "connector `{connector}`: `{key}`: this is a {found} key, and the connector's mode is {mode}: nothing is sent"
    )]
    WrongMode {
        /// The instance.
        connector: String,
        /// The key.
        key: &'static str,
        /// The mode that the credential is for.
        found: Mode,
        /// The instance's.
        mode: Mode,
    },
    /// A value that cannot be.
    #[error("connector `{connector}`: `{key}`: {reason}")]
    Invalid {
        /// The instance.
        connector: String,
        /// The key.
        key: &'static str,
        /// What is allowed.
        reason: String,
    },
}

impl ConnectorConfig {
    /// Makes the connector, for a server with this exposure.
    #[must_use]
    pub fn build(&self, gateway: &Arc<Gateway>, exposure: Exposure) -> Arc<dyn Connector> {
        match &self.kind {
            KindConfig::Sandbox => {
                let numbers =
                    if exposure.has_public_url() { AcceptedNumbers::SandboxTest } else { AcceptedNumbers::Any };
                Arc::new(Sandbox::new(self.mode, numbers))
            }
            KindConfig::Generic(settings) => Arc::new(Generic::new(settings.clone(), self.mode, Arc::clone(gateway))),
            KindConfig::Stripe(settings) => Arc::new(Stripe::new(settings.clone(), self.mode, Arc::clone(gateway))),
        }
    }

    /// Whether it would approve real cards that nobody charges: a sandbox in mode live, where real callers come in.
    #[must_use]
    pub const fn is_live_sandbox(&self, exposure: Exposure) -> bool {
        matches!((&self.kind, self.mode), (KindConfig::Sandbox, Mode::Live)) && exposure.has_public_url()
    }

    /// Reads the keys of an instance.
    ///
    /// # Errors
    /// [`ConnectorConfigError`].
    pub fn of(keys: Keys) -> Result<Self, ConnectorConfigError> {
        Self::read(keys)
    }

    /// This instance with some keys given anew; nothing (JSON's null) takes a key back to its default. Whoever gives one
    /// secret gives all: those of before are dropped. Where a live instance sends payments cannot be changed, nor can
    /// name, kind and mode ([`Self::live`]).
    ///
    /// # Errors
    /// [`ConnectorConfigError`].
    pub fn with(&self, changes: Keys) -> Result<Self, ConnectorConfigError> {
        let changed = self.changed(changes, self.mode)?;
        let address = |config: &Self| config.address().map(|(_, endpoint)| endpoint.expose().to_owned());
        match self.address() {
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
    pub fn live(&self, changes: Keys) -> Result<Self, ConnectorConfigError> {
        match self.mode {
            Mode::Test => self.changed(changes, Mode::Live),
            Mode::Live => self.with(changes),
        }
    }

    fn changed(&self, changes: Keys, mode: Mode) -> Result<Self, ConnectorConfigError> {
        // What was written by `to_json` is read.
        let mut keys = Keys::from_json(self.to_json().expose().as_bytes())?;
        let secrets = || self.kind().keys.iter().filter(|key| key.secret).map(|key| key.name);
        if secrets().any(|key| changes.0.contains_key(key)) {
            // A user goes with a password, and a token with neither.
            let alone = (!changes.0.contains_key("password")).then_some("username");
            keys.0.retain(|key, _| !secrets().chain(alone).any(|dropped| dropped == key.as_str()));
        }
        for (key, value) in changes.0 {
            if let Some(settled) = COMMON_KEYS.into_iter().find(|settled| *settled == key) {
                let same = match (&value, keys.0.get(settled)) {
                    (Value::Text(given), Some(Value::Text(known))) => given.matches(known.expose()),
                    _ => false,
                };
                if !same {
                    return Err(ConnectorConfigError::Settled { connector: self.name.clone(), key: settled });
                }
                continue;
            }
            match value {
                // One that its kind does not have is put in, to be refused.
                Value::Other(NOTHING) if self.kind().keys.iter().any(|known| known.name == key) => {
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
    pub fn kind(&self) -> &'static Kind {
        match &self.kind {
            KindConfig::Sandbox => SANDBOX,
            KindConfig::Generic(_) => GENERIC,
            KindConfig::Stripe(_) => STRIPE,
        }
    }

    /// Which secret keys are set.
    #[must_use]
    pub fn secrets(&self) -> Vec<&'static str> {
        match &self.kind {
            KindConfig::Sandbox => Vec::new(),
            KindConfig::Generic(settings) => match settings.authorization {
                Authorization::None => Vec::new(),
                Authorization::Basic { .. } => vec!["password"],
                Authorization::Bearer(_) => vec!["bearer"],
            },
            KindConfig::Stripe(settings) => vec![stripe::credential(settings)],
        }
    }

    /// Where it sends payments, as it may be shown; none for one that sends them nowhere.
    pub(super) fn shown_address(&self) -> Option<String> {
        self.address().map(|(_, endpoint)| endpoint.to_string())
    }

    /// The key of where it sends payments, and that place.
    const fn address(&self) -> Option<(&'static str, &Endpoint)> {
        match &self.kind {
            KindConfig::Sandbox => None,
            KindConfig::Generic(settings) => Some(("endpoint", &settings.endpoint)),
            KindConfig::Stripe(settings) => Some(("base_url", &settings.base_url)),
        }
    }

    /// The instance as JSON, secrets in the clear, for a store that encrypts it. Reading it gives the same instance.
    #[must_use]
    pub fn to_json(&self) -> Secret {
        let mut keys = vec![("name", self.name.as_str()), ("mode", self.mode.word())];
        let (timeout, retries, retry_safe);
        match &self.kind {
            KindConfig::Sandbox => keys.push(("kind", "sandbox")),
            KindConfig::Generic(settings) => {
                if settings.replays_first_result {
                    keys.push(("replays_first_result", "true"));
                }
                if !settings.retry_safe.is_empty() {
                    retry_safe = settings.retry_safe_text();
                    keys.push(("retry_safe", &retry_safe));
                }
                timeout = settings.timeout.as_secs().to_string();
                retries = settings.retries.to_string();
                keys.extend([
                    ("kind", "generic"),
                    ("endpoint", settings.endpoint.expose()),
                    ("dialect", settings.dialect.word()),
                    ("timeout", &timeout),
                    ("retries", &retries),
                ]);
                match &settings.authorization {
                    Authorization::None => {}
                    Authorization::Basic { username, password } => {
                        keys.extend([("username", username.as_str()), ("password", password.expose())]);
                    }
                    Authorization::Bearer(token) => keys.push(("bearer", token.expose())),
                }
            }
            KindConfig::Stripe(settings) => {
                timeout = settings.timeout.as_secs().to_string();
                retries = settings.retries.to_string();
                keys.extend([("kind", "stripe"), ("timeout", &timeout), ("retries", &retries)]);
                keys.extend(stripe::keys(settings));
            }
        }
        let keys: BTreeMap<&str, &str> = keys.into_iter().collect();
        // A map of texts is always JSON.
        Secret::new(serde_json::to_string(&keys).unwrap_or_default())
    }

    fn read(mut keys: Keys) -> Result<Self, ConnectorConfigError> {
        let name = match keys.0.remove("name") {
            Some(Value::Text(name)) if is_name(name.expose()) => name.expose().to_owned(),
            _ => return Err(ConnectorConfigError::Name),
        };
        let mut keys = Reader { connector: &name, keys };
        let kind = keys.needed("kind")?;
        let Some(kind) = KINDS.iter().find(|known| known.name == kind.expose()) else {
            let known: Vec<&str> = KINDS.iter().map(|known| known.name).collect();
            let nearest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(known, kind.expose()));
            let nearest = nearest.filter(|known| strsim::damerau_levenshtein(known, kind.expose()) <= SLIPS_MAX);
            let hint = nearest.map(|known| format!("; `{known}`, perhaps?")).unwrap_or_default();
            let reason = format!("`{}` is none of {}{hint}", kind.expose(), known.join(", "));
            return Err(keys.invalid("kind", reason));
        };
        keys.refuse_unknown(kind)?;
        let mode = match keys.text("mode")? {
            None => Mode::Test,
            Some(word) => Mode::parse(word.expose())
                .ok_or_else(|| keys.invalid("mode", format!("`{}` is none of test, live", word.expose())))?,
        };
        let kind = match kind.name {
            "generic" => KindConfig::Generic(generic(&mut keys)?),
            "stripe" => KindConfig::Stripe(stripe::read(&mut keys, mode)?),
            _ => KindConfig::Sandbox,
        };
        Ok(Self { name, mode, kind })
    }
}

impl<'de> Deserialize<'de> for ConnectorConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(Keys::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn generic(keys: &mut Reader<'_>) -> Result<GenericSettings, ConnectorConfigError> {
    let endpoint = Endpoint::parse(keys.needed("endpoint")?.expose())
        .map_err(|error| keys.invalid("endpoint", error.to_string()))?;
    let dialect = match keys.text("dialect")? {
        None => Dialect::default(),
        Some(word) => Dialect::ALL.iter().copied().find(|known| known.word() == word.expose()).ok_or_else(|| {
            let known: Vec<&str> = Dialect::ALL.iter().map(|known| known.word()).collect();
            keys.invalid("dialect", format!("`{}` is not supported; supported: {}", word.expose(), known.join(", ")))
        })?,
    };
    let authorization = match (keys.text("username")?, keys.text("password")?, keys.text("bearer")?) {
        (None, None, None) => Authorization::None,
        (Some(username), Some(password), None) => {
            if username.expose().is_empty() || username.expose().contains([':', '\n', '\r', '\0']) {
                return Err(keys.invalid("username", "it is empty or has a colon or a line break in it".to_owned()));
            }
            Authorization::Basic { username: username.expose().to_owned(), password }
        }
        (None, None, Some(token)) => {
            if token.expose().is_empty() || HeaderValue::from_str(token.expose()).is_err() {
                return Err(keys.invalid("bearer", "it is empty or holds what no header can carry".to_owned()));
            }
            Authorization::Bearer(token)
        }
        (Some(_), None, None) => return Err(keys.missing("password")),
        (None, Some(_), None) => return Err(keys.missing("username")),
        (_, _, Some(_)) => {
            let reason = "give either `bearer` or `username` and `password`".to_owned();
            return Err(keys.invalid("bearer", reason));
        }
    };
    let timeout =
        keys.whole("timeout", TIMEOUT_SECONDS)?.map_or(ANSWER_TIMEOUT, |seconds| Duration::from_secs(seconds.into()));
    let retries = keys.whole("retries", RETRIES)?.unwrap_or(REPEATS);
    let replays_first_result = keys.flag("replays_first_result")?.unwrap_or(false);
    let retry_safe = keys.some_of("retry_safe", &BUSY)?.unwrap_or_default();
    Ok(GenericSettings { endpoint, authorization, dialect, timeout, retries, replays_first_result, retry_safe })
}

fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=NAME_CHARS_MAX).contains(&length)
        && name.trim() == name
        && name.chars().all(|letter| letter == ' ' || !(letter == '/' || name::is_unseen(letter)))
}

/// The keys of one instance, with its name for errors.
struct Reader<'a> {
    connector: &'a str,
    keys: Keys,
}

impl Reader<'_> {
    fn text(&mut self, key: &'static str) -> Result<Option<Secret>, ConnectorConfigError> {
        match self.keys.0.remove(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Number(_)) => Err(self.not_text(key, "a number")),
            Some(Value::Flag(_)) => Err(self.not_text(key, "true or false")),
            Some(Value::List(_)) => Err(self.not_text(key, "a list")),
            Some(Value::Other(found)) => Err(self.not_text(key, found)),
        }
    }

    /// A whole number, or a text of its digits.
    fn whole(&mut self, key: &'static str, allowed: RangeInclusive<u8>) -> Result<Option<u8>, ConnectorConfigError> {
        let found = match self.keys.0.remove(key) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.and_then(|number| u8::try_from(number).ok()),
            Some(Value::Text(text)) => {
                let digits = !text.expose().is_empty() && text.expose().bytes().all(|byte| byte.is_ascii_digit());
                text.expose().parse().ok().filter(|_| digits)
            }
            Some(Value::Flag(_) | Value::List(_) | Value::Other(_)) => None,
        };
        match found.filter(|number| allowed.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                Err(self.invalid(key, format!("it is a whole number from {} to {}", allowed.start(), allowed.end())))
            }
        }
    }

    /// True or false, or a text that says so.
    fn flag(&mut self, key: &'static str) -> Result<Option<bool>, ConnectorConfigError> {
        match self.keys.0.remove(key) {
            None => Ok(None),
            Some(Value::Flag(flag)) => Ok(Some(flag)),
            Some(Value::Text(text)) if text.expose() == "true" => Ok(Some(true)),
            Some(Value::Text(text)) if text.expose() == "false" => Ok(Some(false)),
            Some(Value::Text(_) | Value::Number(_) | Value::List(_) | Value::Other(_)) => {
                Err(self.invalid(key, "it is true or false".to_owned()))
            }
        }
    }

    /// A list of some of these numbers, or a text of them with commas between; each once, in this order.
    fn some_of(&mut self, key: &'static str, allowed: &[u16]) -> Result<Option<Vec<u16>>, ConnectorConfigError> {
        let found: Option<Vec<Option<u64>>> = match self.keys.0.remove(key) {
            None => return Ok(None),
            Some(Value::List(numbers)) => Some(numbers),
            Some(Value::Number(number)) => Some(vec![number]),
            Some(Value::Text(text)) => Some(text.expose().split(',').map(|part| part.trim().parse().ok()).collect()),
            Some(Value::Flag(_) | Value::Other(_)) => None,
        };
        let is_allowed = |number: &Option<u64>| allowed.iter().any(|known| Some(u64::from(*known)) == *number);
        let found = found.filter(|numbers| numbers.iter().all(is_allowed)).ok_or_else(|| {
            let allowed: Vec<String> = allowed.iter().map(u16::to_string).collect();
            self.invalid(key, format!("it is a list of some of {}", allowed.join(", ")))
        })?;
        Ok(Some(allowed.iter().copied().filter(|known| found.contains(&Some(u64::from(*known)))).collect()))
    }

    fn needed(&mut self, key: &'static str) -> Result<Secret, ConnectorConfigError> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    fn refuse_unknown(&self, kind: &Kind) -> Result<(), ConnectorConfigError> {
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

    fn not_text(&self, key: &'static str, found: &'static str) -> ConnectorConfigError {
        ConnectorConfigError::NotText { connector: self.connector.to_owned(), key: key.to_owned(), found }
    }

    fn missing(&self, key: &'static str) -> ConnectorConfigError {
        ConnectorConfigError::Missing { connector: self.connector.to_owned(), key }
    }

    fn invalid(&self, key: &'static str, reason: String) -> ConnectorConfigError {
        ConnectorConfigError::Invalid { connector: self.connector.to_owned(), key, reason }
    }
}
