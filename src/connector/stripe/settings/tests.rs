use figment::Figment;
use figment::providers::{Format, Toml};

use super::*;
use crate::connector::ConnectorConfig;
use crate::exposure::Exposure;
use crate::http::Gateway;

const STRIPE: &str = "name = 'Shop'\nkind = 'stripe'\n";

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
    let settings = |keys: &str| {
        let config = read(&format!("{STRIPE}secret_key = 'sk_test_1'\n{keys}")).unwrap();
        let described = config.build(&Arc::new(Gateway::new().unwrap()), Exposure::LOOPBACK).describe();
        described.settings.into_iter().collect::<std::collections::BTreeMap<_, _>>()
    };
    let plain = settings("");
    assert_eq!((plain["base_url"].as_str(), plain["moto"].as_str()), ("https://api.stripe.com/", "false"));
    assert_eq!((plain["timeout"].as_str(), plain["retries"].as_str(), plain.get("account")), ("35", "5", None));
    for (keys, moto) in [("moto = true", "true"), ("moto = 'true'", "true"), ("moto = false", "false")] {
        assert_eq!(settings(keys)["moto"], moto, "{keys}");
    }
    assert_eq!(settings("account = 'acct_1'")["account"], "acct_1");
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
fn a_token_that_is_a_key_is_kept_as_one() {
    for (keys, secret) in [
        ("secret_key = 'sk_test_1'", "secret_key"),
        ("access_token = 'oauth'", "access_token"),
        ("access_token = 'sk_test_1'", "secret_key"),
    ] {
        assert_eq!(read(&format!("{STRIPE}{keys}")).unwrap().secrets(), [secret], "{keys}");
    }
}
