//! Texts, lengths of time and clocks of a script.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A text. A bare number is an error: `0123` and `20.50` would lose digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::replay) struct Text(pub(in crate::replay) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Quoted;
        impl Visitor<'_> for Quoted {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Text, E> {
                Err(E::custom(QUOTE_IT))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Text, E> {
                Err(E::custom(QUOTE_IT))
            }

            fn visit_u128<E: de::Error>(self, _: u128) -> Result<Text, E> {
                Err(E::custom(QUOTE_IT))
            }

            fn visit_i128<E: de::Error>(self, _: i128) -> Result<Text, E> {
                Err(E::custom(QUOTE_IT))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Text, E> {
                Err(E::custom(QUOTE_IT))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Text, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(Quoted)
    }
}

const QUOTE_IT: &str = "this is text, and a bare number would lose digits: quote it, like \"4242\"";

/// A length of time: `6s`, `800ms`, `1.5s`, `2m`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::replay) struct Length(pub(in crate::replay) Duration);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration(&text).map(Self).map_err(de::Error::custom)
    }
}

/// Reads `800ms`, `6s`, `1.5s` or `2m`.
///
/// # Errors
/// What a length of time looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: f64 = match unit.trim() {
        "ms" => 1.0,
        "s" => 1000.0,
        "m" => 60_000.0,
        _ => return Err(format!("\"{text}\" is no length of time; write 800ms, 6s or 2m")),
    };
    let millis = number.parse::<f64>().map(|number| number * factor).unwrap_or(-1.0);
    if (0.0..=86_400_000.0).contains(&millis) {
        Ok(Duration::from_millis(millis.round() as u64))
    } else {
        Err(format!("\"{text}\" is no length of time between 0 and a day; write 800ms, 6s or 2m"))
    }
}

/// A wall clock, on the account's own time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::replay) struct ScriptTime(pub(in crate::replay) jiff::civil::DateTime);

impl<'de> Deserialize<'de> for ScriptTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let instant =
            text.parse::<jiff::Timestamp>().map(|instant| instant.to_zoned(jiff::tz::TimeZone::UTC).datetime());
        instant
            .or_else(|_| text.parse::<jiff::civil::DateTime>())
            .map(Self)
            .map_err(|_| de::Error::custom(format!("clock: \"{text}\" is no time; write 2026-11-22T10:00:00Z")))
    }
}
