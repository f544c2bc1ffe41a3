use figment::Figment;
use figment::providers::{Format, Toml};

use super::*;

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
    assert_eq!((sandbox.name.as_str(), sandbox.mode, sandbox.kind().name), ("Default", Mode::Test, "sandbox"));
    assert_eq!(read(&format!("{GENERIC}mode = 'live'")).unwrap().mode, Mode::Live);
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
    let kinds = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    for (toml, text) in [
        ("kind = 'sandbox'".to_owned(), "needs a `name`".to_owned()),
        ("name = ' x'\nkind = 'sandbox'".to_owned(), "needs a `name`".to_owned()),
        ("name = 'a/b'\nkind = 'sandbox'".to_owned(), "needs a `name`".to_owned()),
        ("name = 'x'".to_owned(), "`kind` is missing".to_owned()),
        ("name = 'x'\nkind = 'strpe'".to_owned(), format!("`strpe` is none of {kinds}; `stripe`, perhaps?")),
        ("name = 'x'\nkind = 'adyen'".to_owned(), format!("`adyen` is none of {kinds}")),
        (format!("{GENERIC}mode = 'prod'"), "`prod` is none of test, live".to_owned()),
    ] {
        let message = fault(&toml);
        assert!(message.contains(&text), "{toml}: {message}");
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
fn a_key_stands_once() {
    let twice = r#"{"name":"a","name":"b","kind":"sandbox"}"#;
    assert!(serde_json::from_str::<ConnectorConfig>(twice).unwrap_err().to_string().contains("`name` stands twice"));
}

#[test]
fn keys_as_json_are_an_object_and_no_error_quotes_a_value() {
    for json in ["\"4815162342\"", "[\"4815162342\"]", "4815162342", "", "{\"bearer\": \"4815162342\"", "{4815162342}"]
    {
        let message = ConfigKeys::from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(message.contains("a JSON object") && !message.contains("4815162342"), "{json}: {message}");
    }
    assert_eq!(format!("{:?}", ConfigKeys::from_json(b"{\"bearer\": \"4815162342\"}").unwrap()), "{\"bearer\"}");
}
