use figment::Figment;
use figment::providers::{Format, Toml};

use super::*;
use crate::connector::ConnectorConfig;
use crate::exposure::Exposure;
use crate::http::Gateway;
use crate::pay::gateway::{Capabilities, Idempotency};

const GENERIC: &str = "name = 'Shop'\nkind = 'generic'\nendpoint = 'https://gateway.example.com/pay?k=1'\n";

/// An instance with further keys, as it says of itself.
fn settings_of(keys: &str) -> std::collections::BTreeMap<&'static str, String> {
    let connector = read(&format!("{GENERIC}{keys}")).unwrap();
    connector.build(&Arc::new(Gateway::new().unwrap()), Exposure::LOOPBACK).describe().settings.into_iter().collect()
}

fn capabilities_of(keys: &str) -> Capabilities {
    let connector = read(&format!("{GENERIC}{keys}")).unwrap();
    connector.build(&Arc::new(Gateway::new().unwrap()), Exposure::LOOPBACK).capabilities()
}

fn read(toml: &str) -> Result<ConnectorConfig, String> {
    Figment::from(Toml::string(toml)).extract().map_err(|error| error.to_string())
}

fn fault(toml: &str) -> String {
    match read(toml) {
        Ok(config) => panic!("{config:?}"),
        Err(message) => message,
    }
}

#[test]
fn authentication_follows_from_the_keys_given() {
    for (keys, authentication, secrets) in [
        ("dialect = 'twilio'", "none", &[][..]),
        ("bearer = 't'", "bearer", &["bearer"]),
        ("username = 'u'\npassword = 'p'", "basic", &["password"]),
    ] {
        assert_eq!(settings_of(keys)["authentication"], authentication);
        assert_eq!(settings_of(keys).get("username").map(String::as_str), keys.contains("username").then_some("u"));
        assert_eq!(read(&format!("{GENERIC}{keys}")).unwrap().secrets(), secrets);
    }
}

#[test]
fn a_processor_speaks_twilio_s_dialect_unless_another_is_named() {
    assert_eq!(settings_of("")["dialect"], "twilio");
    let ValueShape::Word(words) = DIALECT.shape else { panic!() };
    assert_eq!(words.len(), ContractVariant::ALL.len());
    for known in ContractVariant::ALL {
        assert_eq!(settings_of(&format!("dialect = '{}'", known.word()))["dialect"], known.word());
        assert!(DIALECT.meaning.contains(known.word()) && words.contains(&known.word()), "{}", known.word());
    }
}

#[test]
fn a_processor_has_ten_seconds_and_five_repeats_unless_it_is_given_others() {
    let patience = |keys: &str| {
        let can = capabilities_of(keys);
        (can.answer_timeout.as_secs(), can.repeats, can.overall.as_secs())
    };
    assert_eq!(patience(""), (10, 5, 75));
    assert_eq!(patience("timeout = 35\nretries = '1'"), (35, 1, 85));
    assert_eq!(patience("timeout = '60'\nretries = 0"), (60, 0, 75));
}

#[test]
fn a_repeat_gives_the_first_result_only_where_somebody_vouches_for_it() {
    for (keys, expected) in [
        ("", Idempotency::ActsOnce),
        ("replays_first_result = false", Idempotency::ActsOnce),
        ("replays_first_result = true", Idempotency::FirstResult),
        ("replays_first_result = 'true'", Idempotency::FirstResult),
    ] {
        assert_eq!(capabilities_of(keys).idempotency, expected, "{keys}");
    }
}

#[test]
fn a_busy_status_is_safe_only_where_somebody_vouches_for_it() {
    for (keys, expected) in [
        ("", None),
        ("retry_safe = []", None),
        ("retry_safe = [503]", Some("503")),
        ("retry_safe = [503, 429, 503]", Some("429, 503")),
        ("retry_safe = 429", Some("429")),
        ("retry_safe = '429'", Some("429")),
        ("retry_safe = '503,429'", Some("429, 503")),
    ] {
        assert_eq!(settings_of(keys).get("retry_safe").map(String::as_str), expected, "{keys}");
    }
}

#[test]
fn a_fault_names_the_key_and_what_is_allowed() {
    for (toml, text) in [
        ("name = 'x'\nkind = 'generic'".to_owned(), "`endpoint` is missing"),
        ("name = 'x'\nkind = 'generic'\nendpoint = 'http://example.com/'".to_owned(), "https only"),
        (format!("{GENERIC}mode = 'prod'"), "`prod` is none of test, live"),
        (
            format!("{GENERIC}dialect = 'plivo'"),
            "`plivo` is not supported; supported: twilio, telnyx, signalwire, signalwire-swml",
        ),
        (format!("{GENERIC}timeout = 0"), "`timeout`: it is a whole number from 1 to 60"),
        (format!("{GENERIC}timeout = 316"), "from 1 to 60"),
        (format!("{GENERIC}timeout = 1.5"), "from 1 to 60"),
        (format!("{GENERIC}timeout = '+5'"), "from 1 to 60"),
        (format!("{GENERIC}retries = -1"), "`retries`: it is a whole number from 0 to 10"),
        (format!("{GENERIC}retries = true"), "from 0 to 10"),
        (format!("{GENERIC}replays_first_result = 1"), "`replays_first_result`: it is true or false"),
        (format!("{GENERIC}retry_safe = [500]"), "`retry_safe`: it is a list of some of 429, 503"),
        (format!("{GENERIC}retry_safe = ['429']"), "a list of some of 429, 503"),
        (format!("{GENERIC}retry_safe = [[429]]"), "a list of some of 429, 503"),
        (format!("{GENERIC}retry_safe = '429 503'"), "a list of some of 429, 503"),
        (format!("{GENERIC}retry_safe = true"), "a list of some of 429, 503"),
        (format!("{GENERIC}dialect = ['telnyx']"), "`dialect` is text in quotes, not a list"),
        (format!("{GENERIC}username = 'u'"), "`password` is missing"),
        (format!("{GENERIC}password = 'p'"), "`username` is missing"),
        (format!("{GENERIC}username = 'u:v'\npassword = 'p'"), "colon"),
        (format!("{GENERIC}username = 'u'\npassword = 'p'\nbearer = 't'"), "either `bearer`"),
        (format!("{GENERIC}bearer = \"a\\nb\""), "no header can carry"),
    ] {
        let message = fault(&toml);
        assert!(message.contains(text), "{toml}: {message}");
    }
}

#[test]
fn what_a_store_keeps_reads_back_the_same() {
    for keys in [
        "bearer = 't\"1'",
        "username = 'u'\npassword = 'p'\nmode = 'live'",
        "dialect = 'signalwire-swml'",
        "replays_first_result = true",
        "retry_safe = [503]",
        "retry_safe = [503, 429]\nbearer = 't'",
        "",
    ] {
        let config = read(&format!("{GENERIC}{keys}")).unwrap();
        let json = config.to_json();
        assert!(json.expose().contains("gateway.example.com/pay?k=1"));
        let again: ConnectorConfig = serde_json::from_str(json.expose()).unwrap();
        assert_eq!(again.to_json().expose(), json.expose());
        assert_eq!(again.mode, config.mode);
        assert_eq!(format!("{again:?}"), format!("{config:?}"));
    }
}

#[test]
fn a_whole_number_is_one_however_it_is_written() {
    for (retries, shown) in [("9", "9"), ("9.0", "9"), ("'9'", "9"), ("0.0", "0")] {
        let json = read(&format!("{GENERIC}retries = {retries}")).unwrap().to_json();
        assert!(json.expose().contains(&format!("\"retries\":\"{shown}\"")), "{retries}: {}", json.expose());
    }
    for retries in ["9.5", "-1.0", "11.0", "1e300"] {
        assert!(fault(&format!("{GENERIC}retries = {retries}")).contains("from 0 to 10"), "{retries}");
    }
}
