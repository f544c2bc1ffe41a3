//! What a body may hold, for the description only, made from the kinds themselves: [`crate::connector::config`] reads and
//! judges it.

use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::connector::kind::{Kind, KindKey, ValueShape};
use crate::connector::{KINDS, Mode};

/// A name: no control characters, no `/`, no blanks at its ends.
const NAME: &str =
    r"^[^\s/\u0000-\u001f\u007f-\u009f]([^/\u0000-\u001f\u007f-\u009f]*[^\s/\u0000-\u001f\u007f-\u009f])?$";

/// An address, with a query or without.
const ADDRESSES: (&str, &str) = (
    r"^https://([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?(:[0-9]{1,4})?(/[!$-~]*)?$|^http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,4})?(/[!$-~]*)?$",
    r"^https://([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?(:[0-9]{1,4})?(/[!$->@-~]*)?$|^http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,4})?(/[!$->@-~]*)?$",
);

/// An instance with one of the sets of keys that authenticate: the keys that it has to have, those that it must not have, and
/// its mode where they are of one.
struct Variant {
    mode: Option<Mode>,
    needed: &'static [&'static str],
    absent: Vec<&'static str>,
}

fn variants(kind: &Kind) -> Vec<Variant> {
    let of_set = |needed: &&'static [&'static str]| {
        let needed = *needed;
        let absent = kind.credentials().into_iter().filter(|key| !needed.contains(key));
        let absent: Vec<&'static str> = absent.collect();
        let tells_mode =
            |name: &&str| kind.key(name).is_some_and(|key| matches!(key.shape, ValueShape::TextOfMode { .. }));
        let modes = if needed.iter().any(tells_mode) { vec![Some(Mode::Test), Some(Mode::Live)] } else { vec![None] };
        modes.into_iter().map(move |mode| Variant { mode, needed, absent: absent.clone() })
    };
    kind.authentication.iter().flat_map(of_set).collect()
}

/// What the values of a key look like, where not any text will do.
fn pattern(key: &KindKey, mode: Option<Mode>) -> Option<String> {
    let one_of = |words: Vec<String>| format!("^({})$", words.join("|"));
    let pattern = match key.shape {
        ValueShape::Text(pattern) => pattern?.to_owned(),
        ValueShape::TextOfMode { pattern, test, live } => match mode {
            None => pattern,
            Some(Mode::Test) => test,
            Some(Mode::Live) => live,
        }
        .to_owned(),
        ValueShape::Address { query: true } => ADDRESSES.0.to_owned(),
        ValueShape::Address { query: false } => ADDRESSES.1.to_owned(),
        ValueShape::Whole(from, to) => one_of((from..=to).map(|number| number.to_string()).collect()),
        ValueShape::Flag => "^(true|false)$".to_owned(),
        ValueShape::Word(words) => one_of(words.iter().map(|word| (*word).to_owned()).collect()),
        ValueShape::Some(numbers) => {
            let one: Vec<String> = numbers.iter().map(u16::to_string).collect();
            let one = one.join("|");
            format!("^({one})(, ?({one}))*$")
        }
    };
    Some(pattern)
}

/// The keys of a new connector.
pub(in crate::rest) struct NewConnector;

/// Keys of a connector that are given anew.
pub(in crate::rest) struct ConnectorKeys;

impl PartialSchema for NewConnector {
    fn schema() -> RefOr<Schema> {
        let mut any =
            OneOfBuilder::new().description(Some("The keys of a new connector; those of its kind and no others."));
        for kind in KINDS {
            for variant in variants(kind) {
                any = any.item(new(kind, &variant));
            }
        }
        any.into()
    }
}

impl ToSchema for NewConnector {}

fn new(kind: &Kind, Variant { mode, needed, absent }: &Variant) -> ObjectBuilder {
    let modes: Vec<&str> =
        mode.map_or_else(|| Mode::ALL.iter().map(|mode| mode.word()).collect(), |mode| vec![mode.word()]);
    let word = |words: Vec<&str>| ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    let mut object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(kind.meaning))
        .property("name", text(Some(NAME.to_owned())).min_length(Some(1)).max_length(Some(64)))
        .required("name")
        .property("kind", word(vec![kind.name]))
        .required("kind")
        .property("mode", word(modes).description(Some("`test` unless it is said.")))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    // Without it the mode is `test`.
    if *mode == Some(Mode::Live) {
        object = object.required("mode");
    }
    for key in kind.keys.iter().filter(|key| !absent.contains(&key.name)) {
        object = object.property(key.name, described(key, value(key, pattern(key, *mode), &[])));
        if needed.contains(&key.name) || key.required {
            object = object.required(key.name);
        }
    }
    object
}

fn text(pattern: Option<String>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(pattern)
}

/// A value: text, or what JSON has for numbers and flags.
fn value(key: &KindKey, pattern: Option<String>, more: &[Type]) -> ObjectBuilder {
    let shape = text(pattern);
    let (shape, own) = match key.shape {
        ValueShape::Whole(from, to) => (shape.minimum(Some(from)).maximum(Some(to)), Some(Type::Integer)),
        ValueShape::Flag => (shape, Some(Type::Boolean)),
        ValueShape::Text(_)
        | ValueShape::TextOfMode { .. }
        | ValueShape::Address { .. }
        | ValueShape::Word(_)
        | ValueShape::Some(_) => (shape, None),
    };
    let types: Vec<Type> = [Type::String].into_iter().chain(own).chain(more.iter().cloned()).collect();
    match <[Type; 1]>::try_from(types) {
        Ok([one]) => shape.schema_type(one),
        Err(types) => shape.schema_type(SchemaType::from_iter(types)),
    }
}

fn described(key: &KindKey, text: ObjectBuilder) -> ObjectBuilder {
    let default = key.default.shown().map(|default| format!(" Default: {default}.")).unwrap_or_default();
    text.description(Some(format!("{}{default}", key.meaning))).write_only(key.secret)
}

impl PartialSchema for ConnectorKeys {
    fn schema() -> RefOr<Schema> {
        let mut any =
            AnyOfBuilder::new().description(Some("Keys given anew, of the connector's kind; null takes one back."));
        for kind in KINDS.iter().filter(|kind| !kind.keys.is_empty()) {
            for excluded in excluded(kind) {
                let mut object = ObjectBuilder::new()
                    .schema_type(Type::Object)
                    .description(Some(format!("Of kind {}.", kind.name)))
                    .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
                for key in kind.keys.iter().filter(|key| !excluded.contains(&key.name)) {
                    object = object.property(key.name, described(key, value(key, pattern(key, None), &[Type::Null])));
                }
                any = any.item(object);
            }
        }
        any.into()
    }
}

impl ToSchema for ConnectorKeys {}

/// For each set of keys that authenticate, those that it excludes.
fn excluded(kind: &Kind) -> Vec<Vec<&'static str>> {
    let sets: Vec<_> = kind.authentication.iter().filter(|set| !set.is_empty()).collect();
    match &*sets {
        [] => vec![Vec::new()],
        sets => {
            let besides =
                |set: &&&[&'static str]| kind.credentials().into_iter().filter(|key| !set.contains(key)).collect();
            sets.iter().map(besides).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_connectors() -> Vec<serde_json::Value> {
        let schema = serde_json::to_value(NewConnector::schema()).unwrap();
        schema["oneOf"].as_array().unwrap().clone()
    }

    #[test]
    fn every_kind_is_described_with_each_set_of_keys_that_authenticates() {
        let all = new_connectors();
        for kind in KINDS {
            let of_kind: Vec<_> = all.iter().filter(|it| it["properties"]["kind"]["enum"][0] == kind.name).collect();
            assert!(of_kind.len() >= kind.authentication.len(), "{kind:?}");
            for set in kind.authentication {
                let with_set = of_kind.iter().find(|it| {
                    let is_needed = |key: &&str| it["required"].as_array().unwrap().iter().any(|it| it == key);
                    let properties = it["properties"].as_object().unwrap();
                    set.iter().all(is_needed)
                        && kind.credentials().iter().all(|key| set.contains(key) == properties.contains_key(*key))
                });
                let properties = &with_set.unwrap_or_else(|| panic!("{kind:?} {set:?}"))["properties"];
                for key in kind.keys.iter().filter(|key| set.contains(&key.name)) {
                    assert_eq!(properties[key.name]["writeOnly"].as_bool().unwrap_or_default(), key.secret, "{key:?}");
                }
            }
        }
    }

    #[test]
    fn a_key_s_pattern_takes_what_is_read_and_nothing_else() {
        for (name, key, good, bad) in [
            ("generic", "timeout", &["1", "60"][..], &["0", "61", "600", ""][..]),
            ("generic", "retry_safe", &["429", "503,429", "429, 503"], &["429 503", "500", ""]),
            ("generic", "dialect", &["telnyx"], &["Telnyx", "plivo"]),
            ("stripe", "moto", &["true"], &["yes"]),
            ("stripe", "base_url", &["https://x.example/v1"], &["https://x.example/?a", "http://x.example/"]),
            ("example", "merchant", &["shop"], &["Shop"]),
        ] {
            let kind = crate::connector::kind(name).unwrap();
            let pattern = regex::Regex::new(&pattern(kind.key(key).unwrap(), None).unwrap()).unwrap();
            assert!(good.iter().all(|text| pattern.is_match(text)), "{key}: {pattern}");
            assert!(!bad.iter().any(|text| pattern.is_match(text)), "{key}: {pattern}");
        }
    }

    #[test]
    fn a_key_of_one_mode_makes_a_form_a_mode() {
        let modes: Vec<String> = new_connectors()
            .iter()
            .filter(|it| it["properties"].get("secret_key").is_some())
            .map(|it| it["properties"]["mode"]["enum"].to_string())
            .collect();
        assert_eq!(modes, ["[\"test\"]", "[\"live\"]"]);
    }
}
