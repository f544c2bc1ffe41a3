//! How values are written: in a file as what they are, in the environment as text.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer};
use url::Url;

use crate::flow::flow_urls::FlowUrl;
use crate::http::TrustedProxies;
use crate::media::upgrade::SECRET_MIN;
use crate::secret::Secret;

/// A value of a file as it is, of the environment as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Truth(bool),
    Number(u32),
    Text(String),
}

pub(super) fn web_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(Some).ok_or_else(|| de::Error::custom("expected an address such as https://pay.example.com"))
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

pub(super) fn proxies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TrustedProxies, D::Error> {
    let entries = Entries::read(deserializer, "a list of addresses or networks, such as [\"10.0.0.0/8\"]")?;
    TrustedProxies::parse(entries.iter().map(String::as_str))
        .map_err(|(place, error)| de::Error::custom(format!("entry {}: {error}", place + 1)))
}

pub(super) fn document_urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FlowUrl>, D::Error> {
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

pub(super) fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Loose::deserialize(deserializer) {
        Ok(Loose::Truth(truth)) => Ok(truth),
        Ok(Loose::Text(text)) if text == "true" || text == "1" => Ok(true),
        Ok(Loose::Text(text)) if text == "false" || text == "0" => Ok(false),
        _ => Err(de::Error::custom("expected true or false")),
    }
}

pub(super) fn some_boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    boolean(deserializer).map(Some)
}

pub(super) fn stream_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let secret = Secret::deserialize(deserializer)?;
    let is_long = secret.expose().chars().count() >= SECRET_MIN;
    is_long
        .then_some(Some(secret))
        .ok_or_else(|| de::Error::custom(format!("expected {SECRET_MIN} characters or more")))
}

pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = match Loose::deserialize(deserializer) {
        Ok(Loose::Number(number)) => Some(number),
        Ok(Loose::Text(text)) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| de::Error::custom("expected a whole number, not negative"))
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = number(deserializer).map_err(|_: D::Error| de::Error::custom("expected whole seconds"))?;
    if seconds == 0 {
        Err(de::Error::custom("expected at least 1 second"))
    } else {
        Ok(Duration::from_secs(u64::from(seconds)))
    }
}

pub(super) fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    seconds(deserializer).map(Some)
}
