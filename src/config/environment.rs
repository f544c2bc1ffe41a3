//! What the environment sets.

use serde_json::{Map, Value};

/// Before each variable of the environment.
const PREFIX: &str = "TOUCHTONE_";

/// A variable of the environment with our prefix that names no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The nearest known key.
    pub hint: String,
}

/// A variable of the environment that may name a key.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    /// The key, with the tables it is in.
    path: Vec<String>,
    value: String,
}

impl Variable {
    /// None: it is not meant for us.
    pub(super) fn of(name: String, value: String) -> Option<Self> {
        let key = name.strip_prefix(PREFIX)?;
        if is_of_kubernetes(key) {
            return None;
        }
        let path = key.split("__").map(str::to_ascii_lowercase).collect();
        Some(Self { name, path, value })
    }

    /// Whether it names a key, or one in a table of that name.
    pub(super) fn is_in(&self, key: &str) -> bool {
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

/// `TOUCHTONE_MEDIA__MAX_CALLS=5` as `{"media": {"max_calls": "5"}}`: every value stays the text it is, so that a token of
/// digits keeps its zeros.
pub(super) fn nested(variables: &[Variable]) -> Value {
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
