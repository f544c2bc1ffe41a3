use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::*;
use crate::connector::generic::samples::{charge, tokenize};
use crate::connector::{ConnectorConfig, KINDS};

/// An instance with the keys of the kind's example and these.
fn instance(kind: &Kind, keys: &[(&str, &str)]) -> Result<ConnectorConfig, String> {
    let mut all = BTreeMap::from([("name", "x"), ("kind", kind.name)]);
    all.extend(kind.example.iter().copied());
    all.extend(keys.iter().copied());
    serde_json::from_str(&serde_json::to_string(&all).unwrap()).map_err(|error: serde_json::Error| error.to_string())
}

fn built(config: &ConnectorConfig) -> Arc<dyn Connector> {
    config.build(&Arc::new(Gateway::new().unwrap()), Exposure::LOOPBACK)
}

#[test]
fn every_kind_agrees_with_itself() {
    let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), KINDS.len(), "each name once");
    for kind in KINDS {
        let name = kind.name;
        assert!(kind.documentation.starts_with(&format!("- `{name}` ")), "{name}: its README.md begins with its name");
        let keys: BTreeSet<&str> = kind.keys.iter().map(|key| key.name).collect();
        assert_eq!(keys.len(), kind.keys.len(), "{name}: each key once");
        for key in kind.credentials() {
            assert!(keys.contains(key), "{name}: {key} authenticates and is no key");
        }
        for key in kind.secrets() {
            assert!(kind.credentials().contains(&key), "{name}: {key} is secret and authenticates nobody");
        }
        assert!(kind.keys.iter().all(|key| key.secret || !key.per_mode), "{name}: a key that is asked for is secret");
        assert!(!kind.authentication.is_empty(), "{name}: at least the empty set");
        let address = kind.address.map(|key| kind.key(key).unwrap());
        assert!(address.is_none_or(|key| matches!(key.shape, ValueShape::Address { .. })), "{name}: its address");
        assert_eq!(address.is_some(), kind.moves_money, "{name}: whoever moves money is somewhere");
    }
}

#[test]
fn every_kind_s_example_is_an_instance_that_reads_back_the_same() {
    for kind in KINDS {
        let config = instance(kind, &[]).unwrap();
        assert_eq!(config.kind().name, kind.name);
        let kept = config.to_json();
        let again: ConnectorConfig = serde_json::from_str(kept.expose()).unwrap();
        assert_eq!((again.to_json().expose(), format!("{again:?}")), (kept.expose(), format!("{config:?}")));
        let described = built(&config).describe();
        assert_eq!((described.kind, described.mode), (kind.name, Mode::Test));
        let shown = format!("{described:?} {config:?}");
        for (key, value) in kind.example.iter().filter(|(key, _)| kind.key(key).unwrap().secret) {
            assert!(config.secrets().contains(key) && !shown.contains(value), "{}: {key}", kind.name);
        }
        assert_eq!(built(&config).capabilities().accepted_numbers, kind.accepted_numbers(Mode::Test));
    }
}

#[test]
fn every_key_a_kind_lists_is_one_it_reads() {
    for kind in KINDS {
        for key in kind.keys {
            // A value that the key cannot have, or cannot have alone: a key that is listed and ignored would pass.
            assert!(instance(kind, &[(key.name, "\n")]).is_err(), "{}: {}", kind.name, key.name);
        }
    }
}

#[test]
fn of_test_numbers_alone_reaches_a_gateway_that_moves_money() {
    for kind in KINDS.iter().filter(|kind| kind.moves_money) {
        assert_ne!(kind.test_numbers, AcceptedNumbers::Any, "{}", kind.name);
        assert_eq!((kind.capabilities)(Mode::Test).accepted_numbers, kind.test_numbers);
        assert_eq!((kind.capabilities)(Mode::Live).accepted_numbers, AcceptedNumbers::Any);
    }
}

#[test]
fn a_person_is_asked_for_the_secrets_that_are_missing() {
    for (kind, given, asked) in [
        ("stripe", &[][..], &["secret_key"][..]),
        ("stripe", &["access_token"], &[]),
        ("generic", &[], &[]),
        ("generic", &["username"], &["password"]),
        ("generic", &["bearer"], &[]),
        ("sandbox", &[], &[]),
        ("example", &[], &["api_key", "signing_key"]),
    ] {
        let kind = crate::connector::kind(kind).unwrap();
        assert_eq!(kind.secrets_to_ask_for(|key| given.contains(&key)), asked, "{kind:?} {given:?}");
    }
}

#[test]
fn every_sample_is_read_by_the_reader_that_it_names() {
    for kind in KINDS {
        for Sample { reader, status, body } in kind.samples {
            let body = Some(Zeroizing::new(body.as_bytes().to_vec()));
            let reply = GatewayReply { status: *status, retry_after: Some(Duration::ZERO), date: None, body };
            let read = |payment_request: &PaymentRequest| {
                (kind.readings)(&reply, payment_request).iter().any(|(name, _)| name == reader)
            };
            // An empty list has nothing to read.
            assert!(read(&charge()) || read(&tokenize()) || *reader == "customers", "{}: {reader}", kind.name);
        }
    }
}

/// Whoever knows a gateway's name would have to learn the next one's.
#[test]
fn nothing_outside_its_folder_names_a_gateway() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for file in sources(&root) {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap();
        // The sandbox stands in where nothing is configured, and answers in replays. What another gateway's test numbers are
        // is the sandbox's to know.
        let is_exempt = |kind: &Kind| {
            kind.name == "sandbox"
                || path.starts_with(&format!("connector/{}/", kind.name))
                || ["connector.rs", "pay/test_numbers.rs"].contains(&path)
        };
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for kind in KINDS.iter().filter(|kind| !is_exempt(kind)) {
            let names = [format!("\"{}\"", kind.name), format!("{}::", kind.name)];
            let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
            let lines = lines.filter(|(_, line)| names.iter().any(|name| line.contains(name)));
            found.extend(lines.map(|(place, line)| format!("{path}:{}: {}", place + 1, line.trim())));
        }
    }
    // An example in the description of the REST API.
    found.retain(|line| !line.starts_with("connector/instance.rs"));
    assert!(found.is_empty(), "{found:#?}");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files
}
