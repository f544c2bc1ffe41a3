use std::path::Path;

use super::*;
use crate::config::Config;
use crate::connector::config::ConfigKeys;
use crate::connector::generic::samples::{card, charge};
use crate::connector::{ConnectorConfig, Registry, ask};
use crate::http::test_server::TestServer;
use crate::pay::submission::{Ask, Reply};

fn configured(keys: &str) -> ConnectorConfig {
    let file = format!(
        "[[connector]]\nname = 'Shop'\nkind = 'example'\nmerchant = 'shop'\napi_key = 'key_4815'\nsigning_key = 's3cret'\n{keys}"
    );
    let config = Config::of(Some((Path::new("touchtone.toml"), &file)), std::iter::empty()).unwrap();
    config.connectors.into_iter().next().unwrap()
}

async fn asked(config: &ConnectorConfig, instrument: Instrument) -> Answer {
    let registry = Registry::new([config], &Arc::new(Gateway::new().unwrap())).unwrap();
    let connector = registry.find("Shop").unwrap();
    let (payment_request, instrument) = (Arc::new(charge()), Arc::new(instrument));
    let prepared = ask(&*connector, Ask::Prepare, Arc::clone(&payment_request), Arc::clone(&instrument)).await;
    assert!(matches!(prepared, Reply::Prepared(Preparation::Nothing)), "{prepared:?}");
    match ask(&*connector, Ask::Submit(None), payment_request, instrument).await {
        Reply::Submitted(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_gateway_that_is_a_folder_and_a_line_takes_a_payment() {
    let server = TestServer::answering(200, r#"{"result":"approved","id":"pay_1"}"#).await;
    let config = configured(&format!("base_url = '{}'", server.url("/v1")));
    match asked(&config, card(Some("123"), None)).await {
        Answer::Approved(approval) => assert_eq!(approval.confirmation_code.as_deref(), Some("pay_1")),
        other => panic!("{other:?}"),
    }
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!((seen.target.as_str(), seen.header("x-api-key")), ("/v1/payments", Some("key_4815")));
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret");
    let signed = [seen.header("x-time").unwrap().as_bytes(), &seen.body].concat();
    let signature: Vec<u8> = seen
        .header("x-signature")
        .unwrap()
        .as_bytes()
        .chunks(2)
        .map(|hex| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap())
        .collect();
    hmac::verify(&key, &signed, &signature).unwrap();
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!((&body["amount"], &body["currency"]), (&json!(2050), &json!("USD")));
}

#[test]
fn its_keys_are_shown_stored_and_checked_as_its_kind_says() {
    let config = configured("timeout = 9");
    assert_eq!(config.secrets(), ["api_key", "signing_key"]);
    let described = config.build(&Arc::new(Gateway::new().unwrap()), crate::exposure::Exposure::LOOPBACK).describe();
    let shown: Vec<(&str, &str)> = described.settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    assert_eq!(
        shown,
        [("merchant", "shop"), ("base_url", "https://test.gateway.example/"), ("timeout", "9")],
        "no secret among them"
    );
    let again: ConnectorConfig = serde_json::from_str(config.to_json().expose()).unwrap();
    assert_eq!(again.to_json().expose(), config.to_json().expose());
    let keys = ConfigKeys::from_json(br#"{"name": "Shop", "kind": "example", "merchent": "shop"}"#).unwrap();
    let said = ConnectorConfig::of(keys).unwrap_err().to_string();
    assert!(said.contains("unknown key `merchent`; the nearest known one is `merchant`"), "{said}");
}

#[test]
fn going_live_takes_it_to_its_live_address_with_other_credentials() {
    let config = configured("");
    assert!(!config.to_json().expose().contains("gateway.example"), "what the mode decides is not stored");
    let keys = ConfigKeys::from_json(br#"{"api_key": "key_live", "signing_key": "other"}"#).unwrap();
    let live = config.live(keys).unwrap();
    assert_eq!(live.shown_address().as_deref(), Some("https://live.gateway.example/"));
    assert!(!live.to_json().expose().contains("4815"));
    let elsewhere = ConfigKeys::from_json(br#"{"base_url": "https://elsewhere.example/"}"#).unwrap();
    let fixed = ConnectorConfigError::Fixed { connector: "Shop".into(), key: "base_url" };
    assert_eq!(live.with(elsewhere).unwrap_err(), fixed);
    // One of two credentials is none: the other is not kept to go with it.
    let half = ConfigKeys::from_json(br#"{"api_key": "key_live"}"#).unwrap();
    let missing = ConnectorConfigError::Missing { connector: "Shop".into(), key: "signing_key" };
    assert_eq!(live.with(half).unwrap_err(), missing);
}

#[test]
fn in_mode_test_only_its_own_test_numbers_reach_it() {
    let can = capabilities(Mode::Test);
    assert!(
        can.accepted_numbers.takes_card("4111111111111111") && !can.accepted_numbers.takes_card("4242424242424242")
    );
    assert_eq!(capabilities(Mode::Live).accepted_numbers, AcceptedNumbers::Any);
}
