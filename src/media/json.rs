//! What the dialects of JSON text messages have in common: reading values leniently, within bounds, without copies.
//!
//! Shape:  small functions and the types that serde fills. A message is read once; its texts are borrowed from it.
//! Errors: [`NotRead`], [`MediaError`]. What serde says is never passed on: it quotes the message.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde_json::error::Category;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{ID_MAX, MediaError, PARAMETER_MAX, PARAMETERS_MAX};
use crate::tone::Key;

/// A JSON string, borrowed unless it has escapes.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub(super) struct JsonText<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A value whose type may differ between platforms: the message's own text of it.
pub(super) type RawJson<'a> = &'a RawValue;

/// A JSON object, and not an array: serde would fill a struct from either.
pub(super) struct JsonObject<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonObject<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = JsonObject<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(JsonObject)
            }
        }
        deserializer.deserialize_map(Visitor(PhantomData))
    }
}

/// The text of a message, without the byte order mark that some writers begin with.
pub(super) fn text(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Whether something unreadable may be a key press all the same: it has the event's name in it. Whoever sends keys in lists,
/// in binary messages or cut off must not lose one in silence.
pub(super) fn may_be_a_key(message: &[u8]) -> bool {
    const NAME: &[u8] = b"\"dtmf\"";
    message.windows(NAME.len()).any(|window| window == NAME)
}

/// Why a text is not the object that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotRead {
    /// Not JSON.
    Json,
    /// JSON of another shape, up to this place.
    Shape {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
}

/// The object that `text` is. Nesting costs no stack: what is not named by `T` is passed over without recursion.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, NotRead> {
    serde_json::from_str(text).map(|JsonObject(object)| object).map_err(|error| match error.classify() {
        Category::Data => NotRead::Shape { line: error.line(), column: error.column() },
        // `Io` does not occur: the text is in memory.
        Category::Syntax | Category::Eof | Category::Io => NotRead::Json,
    })
}

/// The text of a string, a number or a boolean; `None` for null, an array or an object.
pub(super) fn scalar(raw: RawJson<'_>) -> Option<Cow<'_, str>> {
    match raw.get().bytes().next() {
        Some(b'"') => serde_json::from_str(raw.get()).ok().map(|JsonText(text)| text),
        Some(b'[' | b'{' | b'n') | None => None,
        Some(_) => Some(Cow::Borrowed(raw.get())),
    }
}

/// A whole number, written as a number (`8000`, `8e3`, `8000.0`) or as a string of one; `None` for everything else.
pub(super) fn number(raw: RawJson<'_>) -> Option<u64> {
    /// Up to here a floating-point number is exact.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0; // 2^53

    let text = scalar(raw)?;
    let text = text.trim();
    let is_whole = |number: &f64| number.fract() == 0.0 && (0.0..=EXACT_MAX).contains(number);
    let floating = || text.parse().ok().filter(is_whole).map(|number| number as u64);
    // As a whole number first: above 2^53 a floating-point number would be another one.
    text.parse().ok().or_else(floating)
}

/// The one key that a value names.
pub(super) fn key(raw: RawJson<'_>) -> Option<Key> {
    let text = scalar(raw)?;
    let mut symbols = text.chars();
    match (symbols.next().and_then(Key::parse), symbols.next()) {
        (Some(key), None) => Some(key),
        (_, _) => None,
    }
}

/// An identifier that goes into log lines, paths and our own messages. The slashes are kept out for the paths' sake.
pub(super) fn identifier(field: &'static str, text: Option<JsonText<'_>>) -> Result<Option<String>, MediaError> {
    let Some(JsonText(text)) = text else { return Ok(None) };
    let fits = (1..=ID_MAX).contains(&text.len());
    if fits && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\')) {
        Ok(Some(text.into_owned()))
    } else {
        Err(MediaError::BadIdentifier { field })
    }
}

/// A stream's custom parameters as text. A parameter that is null is none.
pub(super) fn parameters(raw: BTreeMap<JsonText<'_>, RawJson<'_>>) -> Result<BTreeMap<String, String>, MediaError> {
    if raw.len() > PARAMETERS_MAX {
        return Err(MediaError::TooManyParameters);
    }
    let mut parameters = BTreeMap::new();
    for (JsonText(name), value) in raw {
        if value.get() == "null" {
            continue;
        }
        let value = scalar(value).ok_or(MediaError::NestedParameter)?;
        if name.len() + value.len() > PARAMETER_MAX {
            return Err(MediaError::ParameterTooLong);
        }
        parameters.insert(name.into_owned(), value.into_owned());
    }
    Ok(parameters)
}

/// Decodes the sound of a message into `samples`, in place of what was there. Growing wipes the old block. False: it is no
/// sound.
pub(super) fn samples(payload: &str, samples: &mut Zeroizing<Vec<u8>>) -> bool {
    let room = payload.len().div_ceil(4) * 3;
    if samples.capacity() < room {
        *samples = Zeroizing::new(Vec::with_capacity(room));
    }
    samples.clear();
    STANDARD.decode_vec(payload, samples).is_ok()
}
