//! Parameters read into the type that describes them: one declaration says which there are, what they look like, and what
//! becomes of them.
//!
//! Shape:   [`Fields::read_as`] hands the parameters to what serde derives, text by text; a type of one parameter reads itself
//!          with `try_from`, and says what it must be in its error ([`Must`]).
//! Errors:  [`ApiError`], with the parameter's name. Values are never told: a form may hold anything.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Expected, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::error::ApiError;
use super::fields::{Fields, no_such, unsupported};

/// No parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParameters {}

/// What a parameter must be, in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Must(pub(super) &'static str);

impl fmt::Display for Must {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be {}", self.0)
    }
}

impl Fields {
    /// The parameters as a `T`, which denies those that it does not know. `elsewhere`: parameters that Twilio has here and
    /// this server has not.
    pub(super) fn read_as<T: DeserializeOwned>(self, elsewhere: &[&str]) -> Result<T, ApiError> {
        if let Some(name) = self.names().find(|name| elsewhere.contains(name)) {
            return Err(unsupported(name));
        }
        let fault = |ParameterFault(message)| ApiError::parameter(message);
        T::deserialize(ParameterStream { left: self.into_pairs().into_iter(), value: None }).map_err(fault)
    }
}

/// What is wrong with a parameter, or with its value as long as its name is not known.
#[derive(Debug)]
struct ParameterFault(String);

impl fmt::Display for ParameterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParameterFault {}

impl de::Error for ParameterFault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(format!("must be {expected}"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(format!("must be {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(format!("must be one of {}", expected.join(", ")))
    }

    fn unknown_field(name: &str, _: &'static [&'static str]) -> Self {
        Self(no_such(name))
    }

    fn missing_field(name: &'static str) -> Self {
        Self(format!("The parameter {name} is needed"))
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self(format!("The parameter {name} stands twice"))
    }
}

/// The parameters, one after the other.
struct ParameterStream {
    left: std::vec::IntoIter<(String, String)>,
    /// The one whose name was read last.
    value: Option<(String, String)>,
}

impl<'de> Deserializer<'de> for ParameterStream {
    type Error = ParameterFault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParameterFault> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for ParameterStream {
    type Error = ParameterFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ParameterFault> {
        let Some((name, value)) = self.left.next() else { return Ok(None) };
        let name = &self.value.insert((name, value)).0;
        let name: StringDeserializer<ParameterFault> = name.clone().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ParameterFault> {
        // serde asks for a value after its name only.
        let (name, value) = self.value.take().unwrap_or_default();
        seed.deserialize(TextValue(value)).map_err(|ParameterFault(what)| ParameterFault(format!("{name} {what}")))
    }
}

/// The value of a parameter.
struct TextValue(String);

impl<'de> Deserializer<'de> for TextValue {
    type Error = ParameterFault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParameterFault> {
        visitor.visit_string(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParameterFault> {
        match &*self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(ParameterFault(Must("true or false").to_string())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParameterFault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ParameterFault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParameterFault> {
        let word: StringDeserializer<ParameterFault> = self.0.into_deserializer();
        visitor.visit_enum(word)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Three {
        #[serde(rename = "A>")]
        a: Option<String>,
        is: Option<bool>,
        word: Option<Word>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Word {
        OneTwo,
        Two,
    }

    fn read(encoded: &str) -> Result<Three, String> {
        Fields::of(encoded).read_as(&["Elsewhere"]).map_err(|refused| refused.message)
    }

    #[test]
    fn a_parameter_is_read_once_and_what_is_not_known_is_refused_by_name() {
        let Three { a, is, word } = read("A%3E=x&is=true&word=one-two").unwrap();
        assert_eq!((a.as_deref(), is, word), (Some("x"), Some(true), Some(Word::OneTwo)));
        for (wrong, message) in [
            ("b=secret", "There is no parameter \"b\" here"),
            ("A%3E=1&A%3E=2", "The parameter A> stands twice"),
            ("is=yes", "is must be true or false"),
            ("word=Two", "word must be one of one-two, two"),
            ("A%3E=1&Elsewhere=2", "The parameter Elsewhere is not supported by this server"),
        ] {
            assert_eq!(read(wrong).unwrap_err(), message, "{wrong}");
        }
    }
}
