//! Whether a body names something that was made, wherever in it and whatever it is: the question to ask before a reply is
//! taken for nothing done.
//!
//! Shape:   [`look`], a pure function. JSON is walked member by member, every other text searched.
//! Limits:  serde's 128 levels; what is deeper is unreadable.
//! Secrets: values are looked at and not kept.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// What is named in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NamedIds {
    /// A charge, as the contract calls its id or nearly so.
    pub(super) charge: bool,
    /// A token, likewise.
    pub(super) token: bool,
    /// Anything else that has an id, but for the request itself.
    pub(super) other: bool,
}

impl NamedIds {
    /// What a text names, or a member whose name it is.
    fn by(text: &str) -> Self {
        let plain: String = text.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect();
        Self { charge: plain.contains("chargeid"), token: plain.contains("tokenid"), other: false }
    }

    const fn and(self, more: Self) -> Self {
        Self { charge: self.charge || more.charge, token: self.token || more.token, other: self.other || more.other }
    }
}

/// How the name of an id ends; `id` alone is one in any case.
const ENDS: [&str; 5] = ["_id", "-id", ".id", "Id", "ID"];

/// The ids of a request, which a busy gateway gives its replies, as their names begin in small letters.
const OF_REQUESTS: [&str; 6] = ["request", "trace", "span", "correlation", "event", "x-"];

fn is_id(name: &str) -> bool {
    let of_request = || OF_REQUESTS.iter().any(|request| name.to_ascii_lowercase().starts_with(request));
    name.eq_ignore_ascii_case("id") || (ENDS.iter().any(|end| name.ends_with(end)) && !of_request())
}

/// Looks through a body; none: it cannot be read, and may name anything.
pub(super) fn look(body: &[u8]) -> Option<NamedIds> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    let text = std::str::from_utf8(body).ok()?;
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        // UTF-16, or something that was compressed.
        return None;
    }
    if text.starts_with(['{', '[']) {
        return serde_json::from_str::<SeenValue>(text).ok().map(|seen| seen.named);
    }
    Some(NamedIds::by(text))
}

/// A value of JSON: whether it is anything, and what is named in it.
#[derive(Default)]
struct SeenValue {
    is_something: bool,
    named: NamedIds,
}

impl<'de> Deserialize<'de> for SeenValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl Walk {
    const SOMETHING: SeenValue =
        SeenValue { is_something: true, named: NamedIds { charge: false, token: false, other: false } };
}

impl<'de> Visitor<'de> for Walk {
    type Value = SeenValue;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<SeenValue, E> {
        Ok(SeenValue::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<SeenValue, E> {
        Ok(Self::SOMETHING)
    }

    fn visit_i64<E>(self, _: i64) -> Result<SeenValue, E> {
        Ok(Self::SOMETHING)
    }

    fn visit_u64<E>(self, _: u64) -> Result<SeenValue, E> {
        Ok(Self::SOMETHING)
    }

    fn visit_f64<E>(self, _: f64) -> Result<SeenValue, E> {
        Ok(Self::SOMETHING)
    }

    /// A text may hold a body in its turn.
    fn visit_str<E>(self, text: &str) -> Result<SeenValue, E> {
        Ok(SeenValue { is_something: !text.is_empty(), named: NamedIds::by(text) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<SeenValue, A::Error> {
        let mut seen = SeenValue::default();
        while let Some(item) = items.next_element::<SeenValue>()? {
            seen.is_something |= item.is_something;
            seen.named = seen.named.and(item.named);
        }
        Ok(seen)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<SeenValue, A::Error> {
        let mut seen = SeenValue::default();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value::<SeenValue>()?;
            seen.is_something |= value.is_something;
            seen.named = seen.named.and(value.named);
            if value.is_something {
                seen.named = seen.named.and(NamedIds { other: is_id(&name), ..NamedIds::by(&name) });
            }
        }
        Ok(seen)
    }
}
