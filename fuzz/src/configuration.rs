//! Configurations, against the promise that no error quotes what could be secret.
//!
//! Three parts with a line `---` between them: a TOML file, variables of the environment (`NAME=value`, one a line), and a
//! connector as JSON. The word [`SECRET`] stands for a secret: where it is a value of a key that is not told on purpose
//! ([`TOLD`]), no error may hold it, and of what is read nothing may show it. The second opinion on what is key and what is value
//! is `toml` and `serde_json`.

use serde_json::Value;
use touchtone::connector::{ConnectorConfig, KINDS};
use touchtone::fuzzing::configuration as read;

/// What may not be told.
const SECRET: &str = "hunter2";

/// Keys whose values an error quotes, or a display shows, on purpose, beside those of connectors that are not secret. None is a
/// credential; of `flow_urls` and addresses it is the part before the query.
const TOLD: [&str; 13] = [
    "account_sid",
    "cert",
    "data",
    "engine",
    "error_url",
    "flow_urls",
    "flows",
    "key",
    "kind",
    "mode",
    "name",
    "public_url",
    "time_zone",
];

fn is_told(key: &str) -> bool {
    TOLD.contains(&key) || KINDS.iter().any(|kind| kind.key(key).is_some_and(|key| !key.secret))
}

/// Reads the three parts.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split("\n---\n");
    let [toml, environment, json] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let environment: Vec<(String, String)> = environment
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    file(toml, &environment);
    connector(json);
}

fn file(text: &str, environment: &[(String, String)]) {
    let (parsed, in_file) = match toml::from_str::<toml::Table>(text) {
        Ok(table) => (true, serde_json::to_value(table).map_or(Place::Told, |value| place(&value, false))),
        // Nobody can say what is a value in it, but what stands before an equals sign may well be a key.
        Err(_) => {
            (false, if text.lines().any(begins_with_secret) { Place::Told } else { Place::of(text.contains(SECRET)) })
        }
    };
    let told = |(name, value): &(String, String)| {
        let last = name.rsplit("__").next().unwrap_or_default().trim_start_matches("TOUCHTONE_").to_ascii_lowercase();
        name.contains(SECRET) || (value.contains(SECRET) && is_told(&last))
    };
    match read(text, environment) {
        Ok(config) => {
            assert!(parsed, "a file was read that is none");
            let shown = format!("{config:?}");
            assert!(
                in_file == Place::Told || environment.iter().any(told) || !shown.contains(SECRET),
                "shown: {shown}"
            );
            let idle = config.media.idle_timeout.as_secs();
            assert!((1..=u64::from(u32::MAX)).contains(&idle));
            for url in [config.public_url, config.error_url].into_iter().flatten() {
                assert!(matches!(url.scheme(), "http" | "https") && url.has_host());
            }
            for connector in &config.connectors {
                is_kept(connector);
            }
        }
        Err(error) => {
            let shown = format!("{error} {error:?}");
            assert!(!shown.is_empty());
            assert!(in_file == Place::Told || environment.iter().any(told) || !shown.contains(SECRET), "{error}");
        }
    }
}

fn connector(text: &str) {
    let in_text = match serde_json::from_str::<Value>(text) {
        Ok(value) => place(&value, false),
        Err(_) => Place::of(text.contains(SECRET)),
    };
    match serde_json::from_str::<ConnectorConfig>(text) {
        Ok(connector) => {
            assert!(in_text == Place::Told || !format!("{connector:?}").contains(SECRET), "{connector:?}");
            is_kept(&connector);
        }
        // Of a text that is no JSON nobody can say what is a key.
        Err(error) if serde_json::from_str::<Value>(text).is_ok() || !text.contains('{') => {
            assert!(in_text == Place::Told || !error.to_string().contains(SECRET), "{error}");
        }
        Err(_) => {}
    }
}

/// What a store keeps of a connector reads back as the same connector.
fn is_kept(connector: &ConnectorConfig) {
    let name = connector.name.chars();
    assert!(
        (1..=64).contains(&name.clone().count()) && !name.clone().any(|letter| letter == '/' || letter.is_control())
    );
    let kept = connector.to_json();
    let again: ConnectorConfig = serde_json::from_str(kept.expose()).unwrap();
    assert!(again.to_json().expose() == kept.expose(), "another connector was kept");
    assert_eq!(format!("{again:?}"), format!("{connector:?}"));
}

/// Where the word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    /// Where it is a secret, and nowhere else.
    Hidden,
    /// Where it may be told.
    Told,
}

impl Place {
    fn of(hidden: bool) -> Self {
        if hidden { Self::Hidden } else { Self::Nowhere }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Told, _) | (_, Self::Told) => Self::Told,
            (Self::Hidden, _) | (_, Self::Hidden) => Self::Hidden,
            (Self::Nowhere, Self::Nowhere) => Self::Nowhere,
        }
    }
}

fn place(value: &Value, told: bool) -> Place {
    match value {
        Value::String(text) if text.contains(SECRET) => {
            if told {
                Place::Told
            } else {
                Place::Hidden
            }
        }
        Value::Array(list) => list.iter().fold(Place::Nowhere, |found, value| found.and(place(value, told))),
        Value::Object(members) => members.iter().fold(Place::Nowhere, |found, (name, value)| {
            let named = if name.contains(SECRET) { Place::Told } else { Place::Nowhere };
            found.and(named).and(place(value, is_told(name)))
        }),
        _ => Place::Nowhere,
    }
}

fn begins_with_secret(line: &str) -> bool {
    line.split('=').next().is_some_and(|key| key.contains(SECRET))
}
