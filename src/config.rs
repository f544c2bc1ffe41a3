//! The configuration: a TOML file, then the environment, then the command line.
//!
//! Shape:   [`Config::load`] gives a complete, checked configuration.
//! Units:   seconds.
//! Errors:  [`ConfigError`]: the key, what is wrong, and for an unknown key the nearest known one.
//! Secrets: `auth_token`, `media.secret`, `secret_key`, `database` and connectors' credentials are types that do not print;
//!          errors never quote values.
//! Sources: spec/interface.md, "Configuration".
#![allow(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
#![allow(clippy::disallowed_types, reason = "figment's maps")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map as Profiles};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use crate::connector::ConnectorConfig;
use crate::exposure::Exposure;
use crate::flow::link::FlowUrl;
use crate::http::{ResolverKind, TrustedProxies};
use crate::media::upgrade::SECRET_MIN;
use crate::secret::Secret;
pub use crate::speech::SpeechEngine;
use crate::store::sql::DatabaseAddress;
use crate::store::{SecretKey, StoreSettings};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "touchtone.toml";

/// Where the server listens unless it is told.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Before each variable of the environment.
const PREFIX: &str = "TOUCHTONE_";

/// A key of the contract that this version does not have yet: naming it beats ignoring it.
const NOT_YET: &str = "media.in_band_dtmf";

/// Everything that can be set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// The address that platforms reach this server by: what their signatures are made of.
    #[serde(default, deserialize_with = "web_address")]
    pub public_url: Option<Url>,
    /// The host of `public_url` in the very letters it was written with: a platform signs the letters that it was given, and a
    /// URL does not keep them.
    #[serde(skip)]
    pub host_as_written: Option<String>,
    /// The account's id, `AC` and 32 hex digits; made and kept in the data folder if absent.
    pub account_sid: Option<String>,
    /// The account's token: signs callbacks, checks upgrades; made and kept in the data folder if absent.
    pub auth_token: Option<Secret>,
    /// The folder of flow documents.
    #[serde(default = "flows")]
    pub flows: PathBuf,
    /// The folder for what is kept.
    #[serde(default = "data")]
    pub data: PathBuf,
    /// The folder that finished calls are written to as scripts; `serve --record`, and nowhere else.
    #[serde(skip)]
    pub record: Option<PathBuf>,
    /// Where payments, callbacks and stored connectors are kept; a file in the data folder if absent.
    pub database: Option<DatabaseAddress>,
    /// What seals credentials and tokens in the database; made and kept in the data folder if absent.
    pub secret_key: Option<SecretKey>,
    /// The account's time zone, an IANA name: when a card expires.
    #[serde(default = "time_zone")]
    pub time_zone: TimeZone,
    /// Whether callbacks, documents and recordings may use http and reach loopback and private addresses.
    #[serde(default, deserialize_with = "boolean")]
    pub allow_http_callbacks: bool,
    /// Which documents a stream may name with its `url` parameter ([`FlowUrl`]); none by default. In the environment with
    /// blanks between them.
    #[serde(default, deserialize_with = "document_urls")]
    pub flow_urls: Vec<FlowUrl>,
    /// Where faults are told that no document names a target for.
    #[serde(default, deserialize_with = "web_address")]
    pub error_url: Option<Url>,
    /// How the names of gateways and applications become addresses.
    #[serde(default)]
    pub resolver: ResolverKind,
    /// How many connections there may be at once, calls included; 0: no limit. The system's limit of open files counts too.
    #[serde(default = "max_connections", deserialize_with = "number")]
    pub max_connections: u32,
    /// Proxies of our own, addresses or networks: from these alone the client's address in `X-Forwarded-For` is taken, for
    /// limits, the audit trail and logs. In the environment with blanks between them.
    #[serde(default, deserialize_with = "proxies")]
    pub trusted_proxies: TrustedProxies,
    /// How patient the server is with whoever connects; for embedders, not for the file.
    #[serde(skip)]
    pub limits: Limits,
    /// Media streams.
    #[serde(default)]
    pub media: Media,
    /// Speech.
    #[serde(default)]
    pub speech: Speech,
    /// Certificate and key; without them the server speaks plain http.
    pub tls: Option<Tls>,
    /// Pay Connectors.
    #[serde(default, rename = "connector")]
    pub connectors: Vec<ConnectorConfig>,
    /// Variables of the environment that name no key; they have no effect.
    #[serde(skip)]
    pub unknown_variables: Vec<UnknownVariable>,
}

/// What every connection is held to before anybody looks at what it wants. A media stream has limits of its own from its
/// upgrade on.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Request line and headers together, in bytes; more is answered with 431.
    pub head_max: usize,
    /// From the connection, or from a request's first byte, to the end of its headers.
    pub head_time: Duration,
    /// From one answer to the first byte of the next request.
    pub idle_time: Duration,
    /// From the end of a request's headers until it is answered, its body and the work included; then the answer is 408.
    pub request_time: Duration,
    /// From an answer's begin until the client has taken all of it.
    pub answer_time: Duration,
    /// Connections of one public address that are not calls. Addresses that are not public may be a proxy's: no limit.
    pub per_address: usize,
}

impl Default for Limits {
    /// Generous for programs on bad lines. A request's work takes 15 s at most (a call's answer to the REST API).
    fn default() -> Self {
        Self {
            head_max: 16 * 1024,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            request_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(30),
            per_address: 256,
        }
    }
}

/// `[media]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// Whether an upgrade must be signed. Default: yes, unless `listen` and `public_url` are both loopback ([`Exposure`]).
    #[serde(deserialize_with = "some_boolean")]
    pub require_signature: Option<bool>,
    /// What the upgrades of platforms that do not sign have to carry: every platform but Twilio. Once it is set it is
    /// demanded; without it such upgrades are refused where signatures are required.
    #[serde(deserialize_with = "stream_secret")]
    pub secret: Option<Secret>,
    /// How old the URL of a Twilio stream may be: then its path must end in an expiry and a random value that is used once
    /// ([`crate::media::nonce`]). Without it a captured upgrade can be sent again.
    #[serde(deserialize_with = "some_seconds")]
    pub max_age: Option<Duration>,
    /// How many calls may be live at once; 0: no limit. So many requests to one application or gateway may be under way too, or
    /// 512 if that is more.
    #[serde(deserialize_with = "number")]
    pub max_calls: u32,
    /// How long a stream may be without any message.
    #[serde(deserialize_with = "seconds")]
    pub idle_timeout: Duration,
    /// Above this, or 1 KiB on the wire for each, a stream is read more slowly; 0: no limit.
    #[serde(deserialize_with = "number")]
    pub max_messages_per_second: u32,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            require_signature: None,
            secret: None,
            max_age: None,
            max_calls: 0,
            idle_timeout: Duration::from_secs(60),
            max_messages_per_second: 500,
        }
    }
}

/// `[speech]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Speech {
    /// What turns text into sound.
    pub engine: SpeechEngine,
}

/// `[tls]`: PEM files, looked at every second and taken anew when they change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate, then those that vouch for it.
    pub cert: PathBuf,
    /// Its private key, without a passphrase.
    pub key: PathBuf,
}

/// An IANA time zone.
#[derive(Clone, Debug)]
pub struct TimeZone(pub jiff::tz::TimeZone);

impl<'de> Deserialize<'de> for TimeZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        jiff::tz::TimeZone::get(&name)
            .map(Self)
            .map_err(|_| de::Error::custom(format!("{name} is no time zone; write a name such as Europe/Berlin")))
    }
}

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

impl Config {
    /// Reads the file (the default one only if it is there), then the environment.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from(file, environment)
    }

    fn from(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let file = match file {
            Some(file) if !file.is_file() => return Err(ConfigError::NoFile(file.to_owned())),
            Some(file) => Some(file),
            None => Some(Path::new(DEFAULT_FILE)).filter(|file| file.is_file()),
        };
        let Some(file) = file else { return Self::of(None, environment) };
        let text = std::fs::read_to_string(file)
            .map_err(|error| ConfigError::Invalid(format!("{} cannot be read: {error}", file.display())))?;
        Self::of(Some((file, &text)), environment)
    }

    /// Who can reach a server that is configured so.
    #[must_use]
    pub fn exposure(&self) -> Exposure {
        Exposure::of(self.listen.ip(), self.public_url.as_ref())
    }

    /// Where the store is and how it is sealed.
    #[must_use]
    pub fn store(&self) -> StoreSettings {
        StoreSettings { data: self.data.clone(), database: self.database.clone(), secret_key: self.secret_key.clone() }
    }

    /// What platforms dial to reach a server that is configured so; none where its address makes no URL.
    #[must_use]
    pub fn dialed(&self) -> Option<Url> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.public_url.clone().or_else(|| Url::parse(&format!("{scheme}://{}", self.listen)).ok())
    }

    /// Reads the text of a file, then the environment.
    pub(crate) fn of(
        file: Option<(&Path, &str)>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some((path, text)) = file {
            figment = figment.merge(File { path, keys: keys(path, text)? });
        }
        let mut variables: Vec<Variable> = environment.filter_map(|(name, value)| Variable::of(name, value)).collect();
        let mut unknown = Vec::new();
        loop {
            let settings = figment.clone().merge(Serialized::globals(nested(&variables)));
            let error = match settings.extract::<Self>() {
                Ok(config) => {
                    let host_as_written =
                        settings.extract_inner::<String>("public_url").ok().and_then(|text| host_in(&text));
                    return Ok(Self { unknown_variables: unknown, host_as_written, ..config });
                }
                Err(error) => explained(error),
            };
            // Who else puts variables with our prefix there need not stop the server.
            let ConfigError::UnknownKey { key, .. } = &error else { return Err(error) };
            let (known, strange): (Vec<_>, Vec<_>) = variables.into_iter().partition(|variable| !variable.is_in(key));
            if strange.is_empty() {
                return Err(error);
            }
            unknown
                .extend(strange.into_iter().map(|Variable { name, .. }| UnknownVariable { name, hint: hint(&error) }));
            variables = known;
        }
    }

    /// Warns of variables of the environment that are no keys.
    pub(crate) fn warn_of_unknown_variables(&self) {
        for UnknownVariable { name, hint } in &self.unknown_variables {
            tracing::warn!(variable = name, nearest = hint, "an environment variable names no key and has no effect");
        }
    }
}

/// A variable of the environment with our prefix that names no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The nearest known key.
    pub hint: String,
}

fn hint(error: &ConfigError) -> String {
    match error {
        ConfigError::UnknownKey { nearest, .. } => nearest.clone(),
        _ => String::new(),
    }
}

/// A variable of the environment that may name a key.
#[derive(Debug)]
struct Variable {
    name: String,
    /// The key, with the tables it is in.
    path: Vec<String>,
    value: String,
}

impl Variable {
    /// None: it is not meant for us.
    fn of(name: String, value: String) -> Option<Self> {
        let key = name.strip_prefix(PREFIX)?;
        if is_of_kubernetes(key) {
            return None;
        }
        let path = key.split("__").map(str::to_ascii_lowercase).collect();
        Some(Self { name, path, value })
    }

    /// Whether it names a key, or one in a table of that name.
    fn is_in(&self, key: &str) -> bool {
        let path = self.path.join(".");
        path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// Whether Kubernetes (and Docker's links before it) sets a variable so for a service called touchtone, or touchtone-something:
/// `TOUCHTONE_SERVICE_HOST`, `TOUCHTONE_SERVICE_PORT_HTTP`, `TOUCHTONE_PORT`, `TOUCHTONE_PORT_8080_TCP_ADDR`. No key of ours ends
/// so.
fn is_of_kubernetes(key: &str) -> bool {
    let ends = |name: &str| key == name || key.ends_with(&format!("_{name}"));
    let has = |name: &str| key.starts_with(&format!("{name}_")) || key.contains(&format!("_{name}_"));
    let is_port = || {
        let words: Vec<&str> = key.split('_').collect();
        let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        let is_protocol = |word: &str| matches!(word, "TCP" | "UDP" | "SCTP");
        words
            .windows(3)
            .any(|three| matches!(three, ["PORT", number, protocol] if is_number(number) && is_protocol(protocol)))
    };
    ends("SERVICE_HOST") || ends("SERVICE_PORT") || has("SERVICE_PORT") || ends("PORT") || is_port()
}

/// What a file sets.
struct File<'a> {
    path: &'a Path,
    keys: Dict,
}

impl Provider for File<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::from("TOML file", self.path)
    }

    fn data(&self) -> figment::Result<Profiles<Profile, Dict>> {
        Ok(Profile::Default.collect(self.keys.clone()))
    }
}

/// Reads a file's text. What is wrong with it is told by its place: the reader's own words quote the whole line, and a
/// secret may stand in it.
fn keys(path: &Path, text: &str) -> Result<Dict, ConfigError> {
    Toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        ConfigError::Invalid(format!("line {line}, column {column}: {what} ({})", path.display()))
    })
}

/// `TOUCHTONE_MEDIA__MAX_CALLS=5` as `{"media": {"max_calls": "5"}}`: every value stays the text it is, so that a token of
/// digits keeps its zeros.
fn nested(variables: &[Variable]) -> Value {
    let mut root = Map::new();
    for Variable { path, value, .. } in variables {
        let Some((last, tables)) = path.split_last() else { continue };
        let mut table = Some(&mut root);
        for name in tables {
            table = table.and_then(|table| {
                table.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
            });
        }
        if let Some(table) = table {
            table.insert(last.clone(), Value::String(value.clone()));
        }
    }
    Value::Object(root)
}

/// The first of figment's errors, in our words.
fn explained(error: figment::Error) -> ConfigError {
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
                if path.is_empty() { key.clone() } else { path.clone() }
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

const fn listen() -> SocketAddr {
    LISTEN
}

fn flows() -> PathBuf {
    PathBuf::from("flows")
}

fn data() -> PathBuf {
    PathBuf::from("data")
}

const fn max_connections() -> u32 {
    10_000
}

const fn time_zone() -> TimeZone {
    TimeZone(jiff::tz::TimeZone::UTC)
}

/// A value of a file as it is, of the environment as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Truth(bool),
    Number(u32),
    Text(String),
}

fn web_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(Some).ok_or_else(|| de::Error::custom("expected an address such as https://pay.example.com"))
}

/// The host in a web address, letter by letter.
fn host_in(address: &str) -> Option<String> {
    let (_, rest) = address.trim().split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let host = place.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(place, |(host, _)| host);
    Some(host.to_owned())
}

/// A list of a file, or a text of the environment.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entries {
    List(Vec<String>),
    Text(String),
}

impl Entries {
    fn read<'de, D: Deserializer<'de>>(deserializer: D, expected: &str) -> Result<Vec<String>, D::Error> {
        match Self::deserialize(deserializer) {
            Ok(Self::List(entries)) => Ok(entries),
            Ok(Self::Text(text)) => Ok(text.split_whitespace().map(str::to_owned).collect()),
            Err(_) => Err(de::Error::custom(format!("expected {expected}"))),
        }
    }
}

fn proxies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TrustedProxies, D::Error> {
    let entries = Entries::read(deserializer, "a list of addresses or networks, such as [\"10.0.0.0/8\"]")?;
    TrustedProxies::parse(entries.iter().map(String::as_str))
        .map_err(|(place, error)| de::Error::custom(format!("entry {}: {error}", place + 1)))
}

fn document_urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FlowUrl>, D::Error> {
    let entries = Entries::read(deserializer, "a list of URLs, such as [\"https://shop.example.com/ivr/\"]")?;
    let entry = |(place, text): (usize, &String)| {
        FlowUrl::parse(text)
            .map_err(|error| de::Error::custom(format!("entry {} ({}): {error}", place + 1, named(text))))
    };
    entries.iter().enumerate().map(entry).collect()
}

/// An entry as an error may name it: what could be a password, or hold one, is not quoted.
fn named(entry: &str) -> &str {
    let end = entry.find(['?', '#']).unwrap_or(entry.len());
    let shown = entry.get(..end).unwrap_or_default();
    if shown.contains('@') { "not shown, for it has a user name" } else { shown }
}

fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Loose::deserialize(deserializer) {
        Ok(Loose::Truth(truth)) => Ok(truth),
        Ok(Loose::Text(text)) if text == "true" || text == "1" => Ok(true),
        Ok(Loose::Text(text)) if text == "false" || text == "0" => Ok(false),
        _ => Err(de::Error::custom("expected true or false")),
    }
}

fn some_boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    boolean(deserializer).map(Some)
}

fn stream_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let secret = Secret::deserialize(deserializer)?;
    let is_long = secret.expose().chars().count() >= SECRET_MIN;
    is_long
        .then_some(Some(secret))
        .ok_or_else(|| de::Error::custom(format!("expected {SECRET_MIN} characters or more")))
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = match Loose::deserialize(deserializer) {
        Ok(Loose::Number(number)) => Some(number),
        Ok(Loose::Text(text)) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| de::Error::custom("expected a whole number, not negative"))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = number(deserializer).map_err(|_: D::Error| de::Error::custom("expected whole seconds"))?;
    if seconds == 0 {
        Err(de::Error::custom("expected at least 1 second"))
    } else {
        Ok(Duration::from_secs(u64::from(seconds)))
    }
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    seconds(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), toml).unwrap();
        Config::from(
            Some(file.path()),
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let config = read("", &[]).unwrap();
        assert_eq!(config.listen, LISTEN);
        assert_eq!(config.media.idle_timeout, Duration::from_secs(60));
        assert_eq!((config.media.max_messages_per_second, config.media.require_signature), (500, None));
        assert!(!config.allow_http_callbacks && config.connectors.is_empty() && config.media.secret.is_none());
        assert_eq!(config.max_connections, 10_000);
    }

    #[test]
    fn names_are_looked_up_in_the_dns_or_by_the_system() {
        assert_eq!(read("", &[]).unwrap().resolver, ResolverKind::Dns);
        assert_eq!(read("resolver = \"system\"", &[]).unwrap().resolver, ResolverKind::System);
        assert_eq!(read("", &[("TOUCHTONE_RESOLVER", "dns")]).unwrap().resolver, ResolverKind::Dns);
    }

    #[test]
    fn the_environment_wins_and_keeps_its_zeros() {
        let config = read(
            "auth_token = \"file\"\n[media]\nmax_calls = 3\n",
            &[
                ("TOUCHTONE_AUTH_TOKEN", "0012"),
                ("TOUCHTONE_MEDIA__MAX_CALLS", "7"),
                ("TOUCHTONE_ALLOW_HTTP_CALLBACKS", "true"),
                ("OTHER", "x"),
            ],
        )
        .unwrap();
        assert_eq!(config.auth_token.unwrap().expose(), "0012");
        assert_eq!(config.media.max_calls, 7);
        assert!(config.allow_http_callbacks);
    }

    #[test]
    fn the_secret_of_streams_is_read_as_it_is_and_shown_to_nobody() {
        let from_file = read("[media]\nsecret = \"0123456789abcdef\"", &[]).unwrap();
        assert_eq!(from_file.media.secret.as_ref().unwrap().expose(), "0123456789abcdef");
        let variables = [("TOUCHTONE_MEDIA__SECRET", "0123456789012345"), ("TOUCHTONE_MAX_CONNECTIONS", "7")];
        let from_environment = read("", &variables).unwrap();
        assert_eq!(from_environment.media.secret.as_ref().unwrap().expose(), "0123456789012345");
        assert_eq!(from_environment.max_connections, 7);
        assert!(!format!("{from_file:?} {from_environment:?}").contains("01234567"));
    }

    #[test]
    fn certificate_and_key_come_together_from_the_file_or_the_environment() {
        assert!(read("", &[]).unwrap().tls.is_none());
        let variables = [("TOUCHTONE_TLS__CERT", "a.pem"), ("TOUCHTONE_TLS__KEY", "b.pem")];
        for (toml, variables) in [("[tls]\ncert = \"a.pem\"\nkey = \"b.pem\"", &variables[..0]), ("", &variables)] {
            let tls = read(toml, variables).unwrap().tls.unwrap();
            assert_eq!((tls.cert.as_path(), tls.key.as_path()), (Path::new("a.pem"), Path::new("b.pem")));
        }
        let error = read("[tls]\ncertt = \"a\"", &[]).unwrap_err().to_string();
        assert!(error.contains("unknown key tls.certt; the nearest known one is cert"), "{error}");
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let error = read("lissten = \"1.2.3.4:1\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("unknown key lissten; the nearest known one is listen"), "{error}");
        let error = read("[media]\nmax_call = 1\n", &[]).unwrap_err().to_string();
        assert!(error.contains("unknown key media.max_call; the nearest known one is max_calls"), "{error}");
        assert!(
            matches!(read("[media]\nin_band_dtmf = \"auto\"", &[]), Err(ConfigError::NotYet(key)) if key == "media.in_band_dtmf")
        );
    }

    #[test]
    fn a_variable_of_the_environment_that_names_no_key_is_told_and_has_no_effect() {
        let variables = [
            ("TOUCHTONE_FLOW", "x"),
            ("TOUCHTONE_MEDIA__MAX_CALL", "7"),
            ("TOUCHTONE_NOTHING__AT__ALL", "x"),
            ("TOUCHTONE_MAX_CONNECTIONS", "7"),
        ];
        let config = read("", &variables).unwrap();
        let mut unknown: Vec<_> =
            config.unknown_variables.iter().map(|it| (it.name.as_str(), it.hint.as_str())).collect();
        unknown.sort_unstable();
        assert_eq!(unknown[..2], [("TOUCHTONE_FLOW", "flows"), ("TOUCHTONE_MEDIA__MAX_CALL", "max_calls")]);
        assert_eq!((unknown.len(), unknown[2].0, config.max_connections), (3, "TOUCHTONE_NOTHING__AT__ALL", 7));
        // The same key in the file is still an error.
        assert!(matches!(read("flow = \"x\"", &variables), Err(ConfigError::UnknownKey { key, .. }) if key == "flow"));
        // And so is a value that cannot be.
        assert!(read("", &[("TOUCHTONE_MAX_CONNECTIONS", "many"), ("TOUCHTONE_FLOW", "x")]).is_err());
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_called_touchtone_is_not_looked_at() {
        let variables = [
            ("TOUCHTONE_SERVICE_HOST", "10.0.0.1"),
            ("TOUCHTONE_SERVICE_PORT", "8080"),
            ("TOUCHTONE_SERVICE_PORT_HTTP", "8080"),
            ("TOUCHTONE_SERVICE_PORT_HTTPS_ALT", "8443"),
            ("TOUCHTONE_PORT", "tcp://10.0.0.1:8080"),
            ("TOUCHTONE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("TOUCHTONE_PORT_8080_TCP_PROTO", "tcp"),
            ("TOUCHTONE_PORT_8080_TCP_PORT", "8080"),
            ("TOUCHTONE_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("TOUCHTONE_PORT_53_UDP_ADDR", "10.0.0.1"),
            ("TOUCHTONE_MEDIA_SERVICE_HOST", "10.0.0.2"),
            ("TOUCHTONE_MEDIA_PORT_8080_TCP_ADDR", "10.0.0.2"),
        ];
        let config = read("", &variables).unwrap();
        assert_eq!(config.unknown_variables, []);
        assert_eq!(config.listen, LISTEN);
    }

    #[test]
    fn the_database_and_its_key_are_never_shown() {
        let url = "postgres://me:hunter2@db.example/pay";
        let file = format!("database = \"{url}\"\nsecret_key = \"hunter2-hunter2-\"\n");
        let config = read(&file, &[]).unwrap();
        assert!(matches!(&config.database, Some(DatabaseAddress::Postgres(kept)) if kept.expose() == url));
        assert_eq!(config.secret_key.as_ref().unwrap().0.expose(), "hunter2-hunter2-");
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        for (toml, words) in [
            ("database = \"mysql://me:hunter2@db/pay\"", "database: expected sqlite://FILE or postgres://"),
            ("database = 7", "database: expected sqlite://FILE"),
            ("secret_key = \"hunter2\"", "secret_key: expected at least 16 characters"),
            ("secret_key = 123456789012345678", "secret_key: expected a string"),
        ] {
            let error = read(toml, &[]).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("hunter2") && !error.contains("1234"), "{toml}: {error}");
        }
        let config = read("", &[("TOUCHTONE_DATABASE", "sqlite://a.db")]).unwrap();
        assert!(matches!(config.database, Some(DatabaseAddress::Sqlite(path)) if path == Path::new("a.db")));
    }

    #[test]
    fn document_urls_come_as_a_list_or_with_blanks_between_them() {
        let urls = |config: &Config| format!("{:?}", config.flow_urls);
        let file = "flow_urls = [\"https://a.example/ivr/\", \"https://b.example\"]";
        let both = "[FlowUrl(https://a.example/ivr/), FlowUrl(https://b.example/)]";
        assert_eq!(urls(&read(file, &[]).unwrap()), both);
        let variable = [("TOUCHTONE_FLOW_URLS", "https://a.example/ivr/ https://b.example")];
        assert_eq!(urls(&read("flow_urls = []", &variable).unwrap()), both);
        assert!(read("", &[]).unwrap().flow_urls.is_empty());
    }

    #[test]
    fn proxies_and_the_age_of_stream_urls_come_from_the_file_or_the_environment() {
        let none = read("", &[]).unwrap();
        assert_eq!((none.trusted_proxies, none.media.max_age), (TrustedProxies::default(), None));
        let trusted = TrustedProxies::parse(["127.0.0.1", "10.0.0.0/8"]).unwrap();
        let file = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n[media]\nmax_age = 300";
        let variables = [("TOUCHTONE_TRUSTED_PROXIES", "127.0.0.1 10.0.0.0/8"), ("TOUCHTONE_MEDIA__MAX_AGE", "300")];
        for config in [read(file, &[]).unwrap(), read("", &variables).unwrap()] {
            assert_eq!(
                (config.trusted_proxies, config.media.max_age),
                (trusted.clone(), Some(Duration::from_secs(300)))
            );
        }
        for (toml, words) in [
            ("trusted_proxies = [\"10.0.0.0/8\", \"proxy.example\"]", "trusted_proxies: entry 2: expected an address"),
            ("trusted_proxies = 7", "trusted_proxies: expected a list"),
            ("[media]\nmax_age = 0", "media.max_age: expected at least 1 second"),
        ] {
            let error = read(toml, &[]).unwrap_err().to_string();
            assert!(error.contains(words), "{toml}: {error}");
        }
    }

    #[test]
    fn an_entry_of_flow_urls_that_is_none_is_named() {
        for (toml, words) in [
            ("flow_urls = [\"https://a.example/\", \"/ivr/\"]", "entry 2 (/ivr/): it must be an absolute"),
            ("flow_urls = [\"https://a.example/x?y=hunter2\"]", "entry 1 (https://a.example/x): it must have no query"),
            ("flow_urls = [\"https://me:hunter2@a.example/\"]", "entry 1 (not shown, for it has a user name)"),
            ("flow_urls = \"ftp://a.example/\"", "entry 1 (ftp://a.example/)"),
            ("flow_urls = 7", "expected a list of URLs"),
            ("flow_urls = [7]", "expected a list of URLs"),
        ] {
            let error = read(toml, &[]).unwrap_err().to_string();
            assert!(error.contains("flow_urls") && error.contains(words), "{toml}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn wrong_values_are_named_and_never_quoted() {
        for (toml, key) in [
            ("auth_token = 12345678", "auth_token"),
            ("time_zone = \"Mars/North\"", "time_zone"),
            ("listen = \"here\"", "listen"),
            ("[media]\nidle_timeout = 0", "idle_timeout"),
            ("[media]\nsecret = \"12345678 short\"", "media.secret"),
            ("[media]\nsecret = 1234567812345678", "media.secret"),
            ("max_connections = \"12345678.5\"", "max_connections"),
            ("[speech]\nengine = \"piper\"", "engine"),
            ("[speech]\nengine = \"robot\"", "engine"),
            ("resolver = \"12345678\"", "resolver"),
            ("[tls]\ncert = \"cert.pem\"", "key"),
            ("[tls]\ncert = 12345678\nkey = \"key.pem\"", "tls.cert"),
            ("tls = \"cert.pem\"", "tls"),
            ("auth_token = 12345678x", "line 1, column"),
            ("auth_token = \"12345678", "line 1, column"),
            ("auth_token = \"12345678\" # x\nauth_token = '12345678'", "auth_token"),
            ("[[connector]]\nname = \"a\"\nkind = \"generic\"\npassword = 12345678 x", "line 4, column"),
        ] {
            let error = read(toml, &[]).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("12345678"), "{toml}: {error}");
        }
    }
}
