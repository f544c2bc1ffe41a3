//! Keys and values as they are given, before they mean anything.
//!
//! Secrets: every text becomes a [`Secret`] before anything looks at it, so no parser's error can quote it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{ConnectorConfigError, KINDS};
use crate::secret::Secret;

/// What a key without a value is.
pub(super) const NOTHING: &str = "nothing";

/// What an instance is that has no keys at all.
const NOT_KEYS: &str = "a connector is a table of keys";

/// Keys and values before they mean anything.
#[derive(Default)]
pub struct ConfigKeys(pub(super) BTreeMap<String, ConfigValue>);

impl ConfigKeys {
    /// Reads a JSON object. No error quotes a value.
    ///
    /// # Errors
    /// [`ConnectorConfigError::NoKeys`].
    pub fn from_json(json: &[u8]) -> Result<Self, ConnectorConfigError> {
        // Of anything else an error could quote what is there, and that may be a secret.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(ConnectorConfigError::NoKeys(String::new()));
        }
        serde_json::from_slice(json).map_err(|error| ConnectorConfigError::NoKeys(format!(": {error}")))
    }

    /// Gives a key a text.
    pub fn set(&mut self, key: &str, value: Secret) {
        self.0.insert(key.to_owned(), ConfigValue::Text(value));
    }

    /// Takes a key back to its default.
    pub fn clear(&mut self, key: &str) {
        self.0.insert(key.to_owned(), ConfigValue::Other(NOTHING));
    }

    /// Whether no key is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key is given.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The text of a key that is no secret.
    #[must_use]
    pub fn public(&self, key: &str) -> Option<&str> {
        let is_secret = KINDS.iter().flat_map(|kind| kind.keys).any(|known| known.secret && known.name == key);
        match self.0.get(key) {
            Some(ConfigValue::Text(text)) if !is_secret => Some(text.expose()),
            _ => None,
        }
    }
}

impl fmt::Debug for ConfigKeys {
    /// The keys alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A value.
pub(super) enum ConfigValue {
    Text(Secret),
    /// A number; none if it is not a whole one, or less than 0.
    Number(Option<u64>),
    /// True or false.
    Flag(bool),
    /// A list of numbers, with none where something else stands.
    List(Vec<Option<u64>>),
    /// Something else, by the name of its kind.
    Other(&'static str),
}

impl<'de> Deserialize<'de> for ConfigKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = ConfigKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the keys of a connector")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConfigKeys, A::Error> {
                let mut keys = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    let value = map.next_value()?;
                    if keys.contains_key(&key) {
                        return Err(de::Error::custom(format!("the key `{key}` stands twice")));
                    }
                    keys.insert(key, value);
                }
                Ok(ConfigKeys(keys))
            }

            // What stands instead of the keys is not quoted.
            fn visit_str<E: de::Error>(self, _: &str) -> Result<ConfigKeys, E> {
                Err(E::custom(NOT_KEYS))
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<ConfigKeys, E> {
                Err(E::custom(NOT_KEYS))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<ConfigKeys, E> {
                Err(E::custom(NOT_KEYS))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<ConfigKeys, E> {
                Err(E::custom(NOT_KEYS))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<ConfigKeys, E> {
                Err(E::custom(NOT_KEYS))
            }
        }

        // Not `deserialize_map`: serde_json would quote what is there instead.
        deserializer.deserialize_any(Table)
    }
}

impl<'de> Deserialize<'de> for ConfigValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = ConfigValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_str<E>(self, text: &str) -> Result<ConfigValue, E> {
                Ok(ConfigValue::Text(Secret::new(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<ConfigValue, E> {
                Ok(ConfigValue::Text(Secret::new(text)))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<ConfigValue, E> {
                Ok(ConfigValue::Flag(flag))
            }

            fn visit_i64<E>(self, number: i64) -> Result<ConfigValue, E> {
                Ok(ConfigValue::Number(u64::try_from(number).ok()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<ConfigValue, E> {
                Ok(ConfigValue::Number(Some(number)))
            }

            fn visit_f64<E>(self, number: f64) -> Result<ConfigValue, E> {
                // 9.0 is a whole number too (JSON Schema, "integer").
                let is_whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
                Ok(ConfigValue::Number(is_whole.then_some(number as u64)))
            }

            fn visit_unit<E>(self) -> Result<ConfigValue, E> {
                Ok(ConfigValue::Other(NOTHING))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ConfigValue, A::Error> {
                let mut numbers = Vec::new();
                while let Some(value) = list.next_element::<ConfigValue>()? {
                    numbers.push(match value {
                        ConfigValue::Number(number) => number,
                        ConfigValue::Text(_) | ConfigValue::Flag(_) | ConfigValue::List(_) | ConfigValue::Other(_) => {
                            None
                        }
                    });
                }
                Ok(ConfigValue::List(numbers))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConfigValue, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(ConfigValue::Other("a table"))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
