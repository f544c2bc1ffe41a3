//! What a body may hold, for the description only, made from the kinds themselves: [`crate::connector::config`] reads and
//! judges it.

use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::connector::Mode;
use crate::connector::config::{KINDS, Key, Kind};

/// A name: no control characters, no `/`, no blanks at its ends.
const NAME: &str =
    r"^[^\s/\u0000-\u001f\u007f-\u009f]([^/\u0000-\u001f\u007f-\u009f]*[^\s/\u0000-\u001f\u007f-\u009f])?$";

/// A user: no colon, which ends it, and no line breaks.
const USER: &str = r"^[^:\r\n\u0000]+$";

/// What a header can carry.
const TOKEN: &str = "^[!-~]+$";

/// What shows which of the keys that exclude each other are given, and what they look like.
type Variant = (Option<Mode>, &'static [(&'static str, &'static str)], &'static [&'static str]);

/// Per kind: the mode if it matters, the patterns of the keys that are needed, and the keys that must not be there.
fn variants(kind: &str) -> &'static [Variant] {
    match kind {
        "generic" => &[
            (None, &[], &["username", "password", "bearer"]),
            (None, &[("username", USER), ("password", "")], &["bearer"]),
            (None, &[("bearer", TOKEN)], &["username", "password"]),
        ],
        "stripe" => &[
            (Some(Mode::Test), &[("secret_key", "^[sr]k_test_[A-Za-z0-9_]*$")], &["access_token"]),
            (Some(Mode::Live), &[("secret_key", "^[sr]k_live_[A-Za-z0-9_]*$")], &["access_token"]),
            (None, &[("access_token", TOKEN)], &["secret_key"]),
        ],
        _ => &[(None, &[], &[])],
    }
}

/// What the values of a key look like, where not any text will do.
fn pattern(key: &str) -> Option<&'static str> {
    Some(match key {
        "endpoint" => {
            r"^https://([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?(:[0-9]{1,4})?(/[!$-~]*)?$|^http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,4})?(/[!$-~]*)?$"
        }
        "base_url" => {
            r"^https://([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?(:[0-9]{1,4})?(/[!$->@-~]*)?$|^http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,4})?(/[!$->@-~]*)?$"
        }
        "account" => "^acct_[A-Za-z0-9]{1,64}$",
        "dialect" => "^(twilio|telnyx|signalwire|signalwire-swml)$",
        "reusable_token" => "^(payment-method|card)$",
        "moto" | "replays_first_result" => "^(true|false)$",
        "retry_safe" => "^(429|503|429, ?503)$",
        "timeout" => "^([1-9]|[1-5][0-9]|60)$",
        "retries" => "^([0-9]|10)$",
        "username" => USER,
        "bearer" | "access_token" => TOKEN,
        "secret_key" => "^[sr]k_(test|live)_[A-Za-z0-9_]*$",
        _ => return None,
    })
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
            for variant in variants(kind.name) {
                any = any.item(new(kind, *variant));
            }
        }
        any.into()
    }
}

impl ToSchema for NewConnector {}

fn new(kind: &Kind, (mode, needed, absent): Variant) -> ObjectBuilder {
    let modes: Vec<&str> =
        mode.map_or_else(|| Mode::ALL.iter().map(|mode| mode.word()).collect(), |mode| vec![mode.word()]);
    let word = |words: Vec<&str>| ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    let mut object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(kind.meaning))
        .property("name", text(Some(NAME)).min_length(Some(1)).max_length(Some(64)))
        .required("name")
        .property("kind", word(vec![kind.name]))
        .required("kind")
        .property("mode", word(modes).description(Some("`test` unless it is said.")))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    // Without it the mode is `test`.
    if mode == Some(Mode::Live) {
        object = object.required("mode");
    }
    for key in kind.keys.iter().filter(|key| !absent.contains(&key.name)) {
        let needed = needed.iter().find(|(name, _)| *name == key.name);
        let shape = needed.map_or_else(|| pattern(key.name), |(_, pattern)| Some(*pattern).filter(|it| !it.is_empty()));
        object = object.property(key.name, described(key, value(key, shape, &[])));
        if needed.is_some() || key.required {
            object = object.required(key.name);
        }
    }
    object
}

fn text(pattern: Option<&str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(pattern)
}

/// A value: text, or what JSON has for numbers and flags.
fn value(key: &Key, pattern: Option<&str>, more: &[Type]) -> ObjectBuilder {
    let shape = text(pattern);
    let (shape, own) = match key.name {
        "timeout" => (shape.minimum(Some(1)).maximum(Some(60)), Some(Type::Integer)),
        "retries" => (shape.minimum(Some(0)).maximum(Some(10)), Some(Type::Integer)),
        "moto" | "replays_first_result" => (shape, Some(Type::Boolean)),
        _ => (shape, None),
    };
    let types: Vec<Type> = [Type::String].into_iter().chain(own).chain(more.iter().cloned()).collect();
    match &*types {
        [one] => shape.schema_type(one.clone()),
        _ => shape.schema_type(SchemaType::from_iter(types)),
    }
}

fn described(key: &Key, text: ObjectBuilder) -> ObjectBuilder {
    let default = key.default.map(|default| format!(" Default: {default}.")).unwrap_or_default();
    text.description(Some(format!("{}{default}", key.meaning))).write_only(key.secret)
}

impl PartialSchema for ConnectorKeys {
    fn schema() -> RefOr<Schema> {
        let mut any =
            AnyOfBuilder::new().description(Some("Keys given anew, of the connector's kind; null takes one back."));
        for kind in KINDS.iter().filter(|kind| !kind.keys.is_empty()) {
            for excluded in excluded(kind.name) {
                let mut object = ObjectBuilder::new()
                    .schema_type(Type::Object)
                    .description(Some(format!("Of kind {}.", kind.name)))
                    .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
                for key in kind.keys.iter().filter(|key| !excluded.contains(&key.name)) {
                    object = object.property(key.name, described(key, value(key, pattern(key.name), &[Type::Null])));
                }
                any = any.item(object);
            }
        }
        any.into()
    }
}

impl ToSchema for ConnectorKeys {}

/// Per kind: the keys that the others exclude.
fn excluded(kind: &str) -> &'static [&'static [&'static str]] {
    match kind {
        "generic" => &[&["bearer"], &["username", "password"]],
        "stripe" => &[&["access_token"], &["secret_key"]],
        _ => &[&[]],
    }
}
