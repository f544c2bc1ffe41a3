use figment::Figment;
use figment::providers::{Format, Toml};

use super::*;
use crate::exposure::Exposure;
use crate::pay::gateway::Idempotency;

fn read(toml: &str) -> Result<ConnectorConfig, String> {
    Figment::from(Toml::string(toml)).extract().map_err(|error| error.to_string())
}

fn fault(toml: &str) -> String {
    match read(toml) {
        Ok(config) => panic!("{config:?}"),
        Err(message) => message,
    }
}

const GENERIC: &str = "name = 'Shop'\nkind = 'generic'\nendpoint = 'https://gateway.example.com/pay?k=1'\n";

#[test]
fn an_instance_is_in_test_mode_unless_it_says_live() {
    let sandbox = read("name = 'Default'\nkind = 'sandbox'").unwrap();
    assert_eq!((sandbox.name.as_str(), sandbox.mode), ("Default", Mode::Test));
    assert!(matches!(sandbox.kind, KindConfig::Sandbox));
    assert_eq!(read(&format!("{GENERIC}mode = 'live'")).unwrap().mode, Mode::Live);
}

#[test]
fn authentication_follows_from_the_keys_given() {
    let authorization = |keys: &str| match read(&format!("{GENERIC}{keys}")).unwrap().kind {
        KindConfig::Generic(settings) => settings.authorization,
        KindConfig::Sandbox | KindConfig::Stripe(_) => panic!(),
    };
    assert!(matches!(authorization("dialect = 'twilio'"), Authorization::None));
    assert!(matches!(authorization("bearer = 't'"), Authorization::Bearer(token) if token.expose() == "t"));
    match authorization("username = 'u'\npassword = 'p'") {
        Authorization::Basic { username, password } => assert_eq!((&*username, password.expose()), ("u", "p")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_processor_speaks_twilio_s_dialect_unless_another_is_named() {
    let dialect = |keys: &str| match read(&format!("{GENERIC}{keys}")).unwrap().kind {
        KindConfig::Generic(settings) => settings.dialect,
        KindConfig::Sandbox | KindConfig::Stripe(_) => panic!(),
    };
    assert_eq!(dialect(""), Dialect::Twilio);
    let meaning = KINDS[1].keys.iter().find(|key| key.name == "dialect").unwrap().meaning;
    for known in Dialect::ALL {
        assert_eq!(dialect(&format!("dialect = '{}'", known.word())), *known);
        assert!(meaning.contains(known.word()), "{meaning}");
    }
}

#[test]
fn a_processor_has_ten_seconds_and_five_repeats_unless_it_is_given_others() {
    let patience = |keys: &str| {
        let connector =
            read(&format!("{GENERIC}{keys}")).unwrap().build(&Arc::new(Gateway::new().unwrap()), Exposure::LOOPBACK);
        let can = connector.capabilities();
        (can.answer_timeout.as_secs(), can.repeats, can.overall.as_secs())
    };
    assert_eq!(patience(""), (10, 5, 75));
    assert_eq!(patience("timeout = 35\nretries = '1'"), (35, 1, 85));
    assert_eq!(patience("timeout = '60'\nretries = 0"), (60, 0, 75));
}

#[test]
fn a_repeat_gives_the_first_result_only_where_somebody_vouches_for_it() {
    let idempotency = |toml: &str| {
        read(toml).unwrap().build(&Arc::new(Gateway::new().unwrap()), Exposure::LOOPBACK).capabilities().idempotency
    };
    for (keys, expected) in [
        ("", Idempotency::ActsOnce),
        ("replays_first_result = false", Idempotency::ActsOnce),
        ("replays_first_result = true", Idempotency::FirstResult),
        ("replays_first_result = 'true'", Idempotency::FirstResult),
    ] {
        assert_eq!(idempotency(&format!("{GENERIC}{keys}")), expected, "{keys}");
    }
    assert_eq!(idempotency(&format!("{STRIPE}secret_key = 'sk_test_1'")), Idempotency::FirstResult);
    assert_eq!(idempotency("name = 'x'\nkind = 'sandbox'"), Idempotency::FirstResult);
}

#[test]
fn a_busy_status_is_safe_only_where_somebody_vouches_for_it() {
    for (keys, expected) in [
        ("", &[][..]),
        ("retry_safe = []", &[]),
        ("retry_safe = [503]", &[503]),
        ("retry_safe = [503, 429, 503]", &[429, 503]),
        ("retry_safe = 429", &[429]),
        ("retry_safe = '429'", &[429]),
        ("retry_safe = '503,429'", &[429, 503]),
    ] {
        match read(&format!("{GENERIC}{keys}")).unwrap().kind {
            KindConfig::Generic(settings) => assert_eq!(settings.retry_safe, expected, "{keys}"),
            KindConfig::Sandbox | KindConfig::Stripe(_) => panic!(),
        }
    }
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    for (key, nearest) in [("endpont", "endpoint"), ("user_name", "username"), ("moed", "mode")] {
        let message = fault(&format!("{GENERIC}{key} = 'x'"));
        assert!(
            message.contains(&format!("`Shop`: unknown key `{key}`; the nearest known one is `{nearest}`")),
            "{message}"
        );
    }
    assert!(fault("name = 'Default'\nkind = 'sandbox'\nendpoint = 'https://x/'").contains("unknown key `endpoint`"));
}

#[test]
fn a_fault_names_the_key_and_what_is_allowed() {
    for (toml, text) in [
        ("kind = 'sandbox'".to_owned(), "needs a `name`"),
        ("name = ' x'\nkind = 'sandbox'".to_owned(), "needs a `name`"),
        ("name = 'a/b'\nkind = 'sandbox'".to_owned(), "needs a `name`"),
        ("name = 'x'".to_owned(), "`kind` is missing"),
        ("name = 'x'\nkind = 'strpe'".to_owned(), "`strpe` is none of sandbox, generic, stripe; `stripe`, perhaps?"),
        ("name = 'x'\nkind = 'adyen'".to_owned(), "`adyen` is none of sandbox, generic, stripe"),
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
fn a_secret_of_the_wrong_type_is_not_quoted() {
    let message = fault(&format!("{GENERIC}username = 'u'\npassword = 48151623"));
    assert!(message.contains("`password` is text in quotes, not a number"), "{message}");
    assert!(!message.contains("48151623"), "{message}");
    for text in [r#""sk_test_48151623""#, "48151623", r#"["48151623"]"#] {
        let message = serde_json::from_str::<ConnectorConfig>(text).unwrap_err().to_string();
        assert!(!message.contains("48151623"), "{message}");
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
    let twice = r#"{"name":"a","name":"b","kind":"sandbox"}"#;
    assert!(serde_json::from_str::<ConnectorConfig>(twice).unwrap_err().to_string().contains("`name` stands twice"));
}

#[test]
fn every_key_a_kind_lists_is_one_it_reads() {
    for (name, needed) in [("generic", ("endpoint", "https://x.example/")), ("stripe", ("secret_key", "sk_test_1"))] {
        let json = |extra: &[(&str, &str)]| {
            let mut keys = BTreeMap::from([("name", "x"), ("kind", name), needed]);
            keys.extend(extra.iter().copied());
            serde_json::from_str::<ConnectorConfig>(&serde_json::to_string(&keys).unwrap())
        };
        assert!(json(&[]).is_ok());
        for key in KINDS.iter().find(|kind| kind.name == name).unwrap().keys {
            // A value that the key cannot have, or cannot have alone: a key that is listed and ignored would pass.
            assert!(json(&[(key.name, "\n")]).is_err(), "{}", key.name);
        }
    }
}

const STRIPE: &str = "name = 'Shop'\nkind = 'stripe'\n";

#[test]
fn stripe_s_key_has_the_connector_s_mode() {
    for (key, mode) in [
        ("secret_key = 'sk_test_1'", "test"),
        ("secret_key = 'rk_test_1'", "test"),
        ("secret_key = 'sk_live_1'", "live"),
        ("secret_key = 'rk_live_1'", "live"),
        ("access_token = 'sk_test_1'", "test"),
        ("access_token = 'of_another_shape'", "test"),
        ("access_token = 'of_another_shape'", "live"),
    ] {
        assert!(read(&format!("{STRIPE}{key}\nmode = '{mode}'")).is_ok(), "{key} {mode}");
    }
    for (keys, text) in [
        ("secret_key = 'sk_live_4815162342'", "`secret_key`: this is a live key, and the connector's mode is test"),
        ("secret_key = 'sk_test_4815162342'\nmode = 'live'", "this is a test key, and the connector's mode is live"),
        ("access_token = 'rk_live_4815162342'", "`access_token`: this is a live key"),
        ("secret_key = 'pk_test_4815162342'", "publishable key"),
        ("access_token = 'pk_live_4815162342'", "publishable key"),
        ("secret_key = 'sk_4815162342'", "begins with sk_test_"),
        ("secret_key = 'sk_test_4815162342 '", "no header can carry"),
        ("secret_key = ''", "empty"),
        ("", "`secret_key` is missing"),
        ("secret_key = 'sk_test_4815162342'\naccess_token = 'x'", "either `secret_key` or `access_token`"),
        ("secret_key = 4815162342", "`secret_key` is text in quotes, not a number"),
        ("secret_key = true", "`secret_key` is text in quotes, not true or false"),
        ("secret_key = 'sk_test_1'\naccount = 'cus_1'", "`account`: it is `acct_`"),
        ("secret_key = 'sk_test_1'\naccount = 'acct_1/2'", "`account`: it is `acct_`"),
        ("secret_key = 'sk_test_1'\nbase_url = 'http://example.com'", "`base_url`: card data travels by https only"),
        ("secret_key = 'sk_test_1'\nbase_url = 'https://example.com/?x=1'", "`base_url`: it has no query"),
        ("secret_key = 'sk_test_1'\nmoto = 'yes'", "`moto`: it is true or false"),
        ("secret_key = 'sk_test_1'\nmoto = 1", "`moto`: it is true or false"),
        ("secret_key = 'sk_test_1'\nreusable_token = 'src'", "`src` is none of payment-method, card"),
        ("secret_key = 'sk_test_1'\ntimeout = 61", "from 1 to 60"),
        ("secret_key = 'sk_test_1'\nsecretkey = 'x'", "unknown key `secretkey`; the nearest known one is `secret_key`"),
    ] {
        let message = fault(&format!("{STRIPE}{keys}"));
        assert!(message.contains(text), "{keys}: {message}");
        assert!(!message.contains("4815162342"), "{message}");
    }
}

#[test]
fn stripe_is_at_its_own_address_and_marks_no_telephone_orders_unless_told() {
    let settings = |keys: &str| match read(&format!("{STRIPE}secret_key = 'sk_test_1'\n{keys}")).unwrap() {
        ConnectorConfig { kind: KindConfig::Stripe(settings), .. } => settings,
        other => panic!("{other:?}"),
    };
    let plain = settings("");
    assert_eq!((plain.base_url.to_string().as_str(), plain.moto), ("https://api.stripe.com/", false));
    assert_eq!((plain.timeout.as_secs(), plain.retries, plain.account), (35, 5, None));
    assert!(settings("moto = true").moto && settings("moto = 'true'").moto && !settings("moto = false").moto);
    assert_eq!(settings("account = 'acct_1'").account.as_deref(), Some("acct_1"));
}

#[test]
fn what_a_store_keeps_of_stripe_reads_back_the_same() {
    for keys in [
        "secret_key = 'sk_test_1'",
        "secret_key = 'rk_live_1'\nmode = 'live'\nmoto = true\nreusable_token = 'card'\naccount = 'acct_1'",
        "access_token = 'oauth'\nbase_url = 'http://127.0.0.1:8420/x'\ntimeout = 9\nretries = 0",
        "access_token = 'sk_test_2'",
    ] {
        let config = read(&format!("{STRIPE}{keys}")).unwrap();
        let json = config.to_json();
        let again: ConnectorConfig = serde_json::from_str(json.expose()).unwrap();
        assert_eq!(again.to_json().expose(), json.expose());
        assert_eq!((format!("{again:?}"), again.mode), (format!("{config:?}"), config.mode));
        for part in keys.split('\'').skip(1).step_by(2) {
            assert!(json.expose().contains(part), "{part} in {}", json.expose());
        }
    }
}

#[test]
fn keys_as_json_are_an_object_and_no_error_quotes_a_value() {
    for json in ["\"4815162342\"", "[\"4815162342\"]", "4815162342", "", "{\"bearer\": \"4815162342\"", "{4815162342}"]
    {
        let message = Keys::from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(message.contains("a JSON object") && !message.contains("4815162342"), "{json}: {message}");
    }
    assert_eq!(format!("{:?}", Keys::from_json(b"{\"bearer\": \"4815162342\"}").unwrap()), "{\"bearer\"}");
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

#[test]
fn the_secrets_that_are_set_are_named() {
    for (toml, secrets) in [
        (GENERIC.to_owned(), &[][..]),
        (format!("{GENERIC}bearer = 't'"), &["bearer"]),
        (format!("{GENERIC}username = 'u'\npassword = 'p'"), &["password"]),
        (format!("{STRIPE}secret_key = 'sk_test_1'"), &["secret_key"]),
        (format!("{STRIPE}access_token = 'oauth'"), &["access_token"]),
        ("name = 'x'\nkind = 'sandbox'".to_owned(), &[]),
    ] {
        assert_eq!(read(&toml).unwrap().secrets(), secrets, "{toml}");
    }
}
