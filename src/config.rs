//! The configuration: a TOML file, then the environment, then the command line.
//!
//! Shape:   [`Config::load`] gives a complete, checked configuration.
//! Units:   seconds.
//! Errors:  [`ConfigError`]: the key, what is wrong, and for an unknown key the nearest known one.
//! Secrets: `auth_token`, `media.secret`, `secret_key`, `database` and connectors' credentials are types that do not print;
//!          errors never quote values.
//! Sources: spec/interface.md, "Configuration".
#![allow(clippy::disallowed_types, reason = "figment's maps")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer};
use url::Url;

use crate::connector::ConnectorConfig;
use crate::exposure::Exposure;
use crate::flow::flow_urls::FlowUrl;
use crate::http::{ResolverKind, TrustedProxies};
use crate::secret::Secret;
use crate::store::sql::DatabaseAddress;
use crate::store::{SecretKey, StoreSettings};

mod environment;
mod error;
mod load;
#[cfg(test)]
mod tests;
mod values;

pub use environment::UnknownVariable;
pub use error::ConfigError;
use values::{
    boolean, document_urls, number, proxies, seconds, some_boolean, some_seconds, stream_secret, web_address,
};

pub use crate::speech::SpeechEngine;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "touchtone.toml";

/// Where the server listens unless it is told.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

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
    pub limits: ConnectionLimits,
    /// Media streams.
    #[serde(default)]
    pub media: Media,
    /// Speech.
    #[serde(default)]
    pub speech: SpeechSettings,
    /// Certificate and key; without them the server speaks plain http.
    pub tls: Option<TlsSettings>,
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
pub struct ConnectionLimits {
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

impl Default for ConnectionLimits {
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
            // spec/interface.md, `[media]`; so is the limit of messages below.
            idle_timeout: Duration::from_secs(60),
            max_messages_per_second: 500,
        }
    }
}

/// `[speech]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpeechSettings {
    /// What turns text into sound.
    pub engine: SpeechEngine,
}

/// `[tls]`: PEM files, looked at every second and taken anew when they change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
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

impl Config {
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

    /// Warns of variables of the environment that are no keys.
    pub(crate) fn warn_of_unknown_variables(&self) {
        for UnknownVariable { name, hint } in &self.unknown_variables {
            tracing::warn!(variable = name, nearest = hint, "environment variable names no key; ignoring it");
        }
    }
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
