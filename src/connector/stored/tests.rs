use std::sync::Arc;

use super::*;
use crate::connector::instance::{Origin, State};
use crate::http::Gateway;
use crate::secret::Secret;
use crate::store::audit::{AuditFilter, AuditRow, ConnectorChange, NewAudit};
use crate::store::memory::Memory;
use crate::store::{Backend, NodeId, Seal};

struct Fixture {
    memory: Arc<Memory>,
    store: Store,
    registry: Registry,
    actor: Actor,
}

impl Fixture {
    fn new() -> Self {
        let memory = Arc::new(Memory::default());
        let seal = Seal::new(&Secret::new("the key of these tests".to_owned())).unwrap();
        let store = Store::new(Arc::clone(&memory) as Arc<dyn Backend>, seal, NodeId::random());
        let configured: ConnectorConfig = serde_json::from_str(r#"{"name":"Fixed","kind":"sandbox"}"#).unwrap();
        let registry = Registry::new(&[configured], &Arc::new(Gateway::new().unwrap())).unwrap();
        let actor = Actor { name: "user 0".to_owned(), origin: "here".to_owned() };
        Self { memory, store, registry, actor }
    }

    fn connector_store(&self) -> ConnectorStore<'_> {
        ConnectorStore::new(&self.store, &self.registry, &self.actor)
    }

    async fn add(&self, json: &str) -> Result<Instance, ConnectorStoreError> {
        self.connector_store().add(keys(json), Replace::No, moment(0)).await
    }
}

fn keys(json: &str) -> ConfigKeys {
    ConfigKeys::from_json(json.as_bytes()).unwrap()
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

const STRIPE: &str =
    r#"{"name":"Stripe_DevTest","kind":"stripe","secret_key":"sk_test_4815162342","account":"acct_1"}"#;
const GENERIC: &str = r#"{"name":"Shop","kind":"generic","endpoint":"https://pay.example.com/?key=4815162342","username":"me","password":"4815162342"}"#;

#[tokio::test]
async fn an_instance_is_shown_without_its_secrets() {
    let fixture = Fixture::new();
    for json in [STRIPE, GENERIC] {
        let shown = fixture.add(json).await.unwrap();
        assert_eq!((shown.origin, shown.state, shown.created), (Origin::Stored, State::Ready, Some(moment(0))));
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("4815162342") && !format!("{shown:?}").contains("4815162342"), "{text}");
        assert!(
            !fixture
                .memory
                .connectors()
                .await
                .unwrap()
                .iter()
                .any(|row| row.sealed.windows(9).any(|part| part == b"481516234"))
        );
    }
    let stripe = fixture.connector_store().show("Stripe_DevTest").await.unwrap();
    assert_eq!(stripe.secrets, [("secret_key", "set")].into());
    assert_eq!(stripe.settings["account"], "acct_1");
    let generic = fixture.connector_store().show("Shop").await.unwrap();
    assert_eq!((generic.secrets["password"], generic.settings["username"].as_str()), ("set", "me"));
    assert_eq!(generic.settings["endpoint"], "https://pay.example.com/");
    let names: Vec<String> =
        fixture.connector_store().list().await.unwrap().into_iter().map(|shown| shown.name).collect();
    assert_eq!(names, ["Fixed", "Shop", "Stripe_DevTest"]);
}

#[tokio::test]
async fn a_name_that_is_configured_or_stored_is_not_taken_twice() {
    let fixture = Fixture::new();
    fixture.add(r#"{"name":"Shop","kind":"sandbox"}"#).await.unwrap();
    for name in ["Shop", "Fixed"] {
        let again = fixture.add(&format!(r#"{{"name":"{name}","kind":"sandbox"}}"#)).await.unwrap_err();
        assert!(matches!(&again, ConnectorStoreError::Exists(known) if known == name), "{again}");
    }
}

#[tokio::test]
async fn a_name_that_looks_like_another_one_is_refused() {
    let fixture = Fixture::new();
    fixture.add(r#"{"name":"Shop","kind":"sandbox"}"#).await.unwrap();
    for (name, known) in [
        ("shop", "Shop"),
        ("Sh\u{43e}p", "Shop"),
        ("fixed", "Fixed"),
        // What a `<Pay>` without a name asks for, whether it is there or not.
        ("default", "Default"),
        ("D\u{435}fault", "Default"),
    ] {
        let refused = fixture.add(&format!(r#"{{"name":"{name}","kind":"sandbox"}}"#)).await.unwrap_err();
        assert!(
            matches!(&refused, ConnectorStoreError::Alike { known: found, .. } if found == known),
            "{name}: {refused}"
        );
    }
    fixture.add(r#"{"name":"Default","kind":"sandbox"}"#).await.unwrap();
    let config = |name: &str| {
        serde_json::from_str::<ConnectorConfig>(&format!(r#"{{"name":"{name}","kind":"sandbox"}}"#)).unwrap()
    };
    let both = Registry::new(&[config("Shop"), config("SHOP")], &Arc::new(Gateway::new().unwrap()));
    assert!(both.unwrap_err().to_string().contains("look alike"));
}

#[tokio::test]
async fn a_configured_instance_is_changed_in_the_configuration_only() {
    let fixture = Fixture::new();
    let connector_store = fixture.connector_store();
    assert!(matches!(connector_store.remove("Fixed", moment(9)).await, Err(ConnectorStoreError::Configured(_))));
    assert!(matches!(
        connector_store.live("Fixed", ConfigKeys::default(), moment(1)).await,
        Err(ConnectorStoreError::Configured(_))
    ));
    assert!(matches!(
        connector_store.change("Fixed", ConfigKeys::default(), moment(1)).await,
        Err(ConnectorStoreError::Configured(_))
    ));
    assert!(matches!(
        connector_store.authorize("Fixed", ConfigKeys::default(), moment(1)).await,
        Err(ConnectorStoreError::Configured(_))
    ));
    assert_eq!(connector_store.show("Fixed").await.unwrap().origin, Origin::Configured);
}

#[tokio::test]
async fn a_name_that_was_live_is_not_taken_for_another_query_or_account() {
    let generic = |query: &str, user: &str| {
        format!(
            r#"{{"name":"Shop","kind":"generic","mode":"live","endpoint":"https://gw.example.com/pay{query}","username":"{user}","password":"4815162342"}}"#
        )
    };
    let stripe = |account: &str| {
        format!(r#"{{"name":"Shop","kind":"stripe","mode":"live","secret_key":"sk_live_4815162342"{account}}}"#)
    };
    let all = [
        (
            generic("?merchant=A", "me"),
            [generic("?merchant=B", "me"), generic("", "me"), generic("?merchant=A", "you")],
        ),
        (stripe(r#","account":"acct_1""#), [stripe(r#","account":"acct_2""#), stripe(""), generic("", "me")]),
    ];
    for (was, others) in all {
        let fixture = Fixture::new();
        fixture.add(&was).await.unwrap();
        fixture.connector_store().remove("Shop", moment(1)).await.unwrap();
        for other in others {
            let refused = fixture.add(&other).await.unwrap_err();
            assert!(matches!(refused, ConnectorStoreError::WasLive { .. }), "{other}: {refused}");
        }
        // Another password is none of it.
        let again = was.replace("4815162342", "2342161584");
        fixture.add(&again).await.unwrap();
        let rows = fixture.memory.audit(AuditFilter { limit: 9, ..AuditFilter::default() }).await.unwrap();
        assert!(rows.len() == 3 && !format!("{rows:?}").contains("merchant"), "{rows:?}");
    }
}

#[tokio::test]
async fn an_unknown_name_is_told_with_one_that_may_have_been_meant() {
    let fixture = Fixture::new();
    fixture.add(STRIPE).await.unwrap();
    let said = fixture.connector_store().show("Stripe_DevTets").await.unwrap_err().to_string();
    assert_eq!(said, "there is no connector `Stripe_DevTets`; `Stripe_DevTest`, perhaps?");
    assert_eq!(
        fixture.connector_store().remove("Qqq", moment(9)).await.unwrap_err().to_string(),
        "there is no connector `Qqq`"
    );
}

#[tokio::test]
async fn a_test_key_cannot_go_live_and_a_live_key_takes_its_place() {
    let fixture = Fixture::new();
    fixture.add(STRIPE).await.unwrap();
    let refused = fixture
        .connector_store()
        .live("Stripe_DevTest", ConfigKeys::default(), moment(1))
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("this is a test key, and the connector's mode is live"), "{refused}");
    assert_eq!(fixture.connector_store().show("Stripe_DevTest").await.unwrap().mode, Some(Mode::Test));
    let live = keys(r#"{"secret_key":"sk_live_4815162342"}"#);
    let live = fixture.connector_store().live("Stripe_DevTest", live, moment(1)).await.unwrap();
    assert_eq!((live.mode, live.settings["account"].as_str()), (Some(Mode::Live), "acct_1"));
    let test = keys(r#"{"secret_key":"sk_test_4815162342"}"#);
    let refused = fixture.connector_store().authorize("Stripe_DevTest", test, moment(2)).await.unwrap_err().to_string();
    assert!(refused.contains("this is a test key"), "{refused}");
}

#[tokio::test]
async fn going_live_is_for_good_and_fixes_the_address() {
    let fixture = Fixture::new();
    fixture.add(GENERIC).await.unwrap();
    let connector_store = fixture.connector_store();
    let moved =
        connector_store.change("Shop", keys(r#"{"endpoint":"https://other.example.com/"}"#), moment(1)).await.unwrap();
    assert_eq!(moved.settings["endpoint"], "https://other.example.com/", "for a test the address may change");
    let live = connector_store.live("Shop", ConfigKeys::default(), moment(2)).await.unwrap();
    assert_eq!((live.mode, live.updated), (Some(Mode::Live), Some(moment(2))));
    let again = connector_store.live("Shop", ConfigKeys::default(), moment(3)).await.unwrap();
    assert_eq!(again, live, "what is live stays as it is");
    for json in [
        r#"{"endpoint":"https://third.example.com/"}"#,
        r#"{"endpoint":"https://other.example.com/?key=2"}"#,
        r#"{"endpoint":"https://third.example.com/","bearer":"t"}"#,
    ] {
        for refused in [
            connector_store.change("Shop", keys(json), moment(4)).await,
            connector_store.authorize("Shop", keys(json), moment(4)).await,
            connector_store.live("Shop", keys(json), moment(4)).await,
        ] {
            let refused = refused.unwrap_err();
            let expected = matches!(
                refused,
                ConnectorStoreError::Config(ConnectorConfigError::Fixed { key: "endpoint", .. })
                    | ConnectorStoreError::NoCredential { .. }
            );
            assert!(expected, "{json}: {refused}");
        }
    }
    let same =
        keys(r#"{"endpoint":"https://other.example.com","bearer":"t","mode":"live","kind":"generic","name":"Shop"}"#);
    let authorized = connector_store.authorize("Shop", same, moment(5)).await.unwrap();
    assert_eq!(authorized.secrets, [("bearer", "set")].into(), "the password and its user are gone");
    assert!(!authorized.settings.contains_key("username"));
    for (json, key) in
        [(r#"{"mode":"test"}"#, "mode"), (r#"{"kind":"stripe"}"#, "kind"), (r#"{"name":"Other"}"#, "name")]
    {
        let refused = connector_store.change("Shop", keys(json), moment(6)).await.unwrap_err();
        let expected = matches!(refused, ConnectorStoreError::Config(ConnectorConfigError::Settled { key: settled, .. }) if settled == key);
        assert!(expected, "{json}: {refused}");
    }
}

#[tokio::test]
async fn credentials_are_given_all_or_none() {
    let fixture = Fixture::new();
    fixture.add(GENERIC).await.unwrap();
    let connector_store = fixture.connector_store();
    let changed = connector_store.authorize("Shop", keys(r#"{"password":"new"}"#), moment(1)).await.unwrap();
    assert_eq!(changed.settings["username"], "me", "the user of a new password is the old one");
    let none = connector_store.authorize("Shop", keys(r#"{"retries":"1"}"#), moment(1)).await.unwrap_err().to_string();
    assert_eq!(none, "the connector `Shop` is authorized with `password` or `bearer`: give one");
    let changed = connector_store.change("Shop", keys(r#"{"timeout":"20"}"#), moment(1)).await.unwrap();
    assert_eq!((changed.settings["timeout"].as_str(), changed.secrets["password"]), ("20", "set"));
    let changed = connector_store.change("Shop", keys(r#"{"timeout":null}"#), moment(1)).await.unwrap();
    assert_eq!(changed.settings["timeout"], "10", "nothing is the default again");
    let foreign = connector_store.change("Shop", keys(r#"{"account":null}"#), moment(1)).await.unwrap_err().to_string();
    assert!(foreign.contains("unknown key `account`"), "{foreign}");
    fixture.add(r#"{"name":"Sand","kind":"sandbox"}"#).await.unwrap();
    let none = connector_store.authorize("Sand", keys("{}"), moment(1)).await.unwrap_err();
    assert!(matches!(none, ConnectorStoreError::NothingToAuthorize(_)));
}

#[tokio::test]
async fn of_two_changes_at_the_same_moment_one_is_refused() {
    let fixture = Fixture::new();
    fixture.add(GENERIC).await.unwrap();
    let (row, config) = fixture.connector_store().stored("Shop").await.unwrap();
    fixture.connector_store().live("Shop", ConfigKeys::default(), moment(1)).await.unwrap();
    // What was read in test mode must not take the instance back to it.
    let late = config.with(keys(r#"{"retries":"1"}"#)).unwrap();
    let how = (AuditAction::ConnectorChanged, Authorized::AsBefore);
    let refused = fixture.connector_store().put(row, (&late, &late), how, moment(2)).await.unwrap_err();
    assert!(matches!(refused, ConnectorStoreError::Meanwhile(_)), "{refused}");
    assert_eq!(fixture.connector_store().show("Shop").await.unwrap().mode, Some(Mode::Live));
}

#[tokio::test]
async fn what_cannot_be_read_can_be_removed_and_nothing_else() {
    let fixture = Fixture::new();
    fixture
        .memory
        .change_connector(
            "Odd",
            ConnectorChange::Insert { sealed: vec![1, 2, 3] },
            NewAudit::of_tests("Odd"),
            moment(0),
        )
        .await
        .unwrap();
    let refused = fixture.connector_store().live("Odd", ConfigKeys::default(), moment(1)).await.unwrap_err();
    assert!(matches!(refused, ConnectorStoreError::Unreadable { .. }), "{refused}");
    fixture.connector_store().remove("Odd", moment(9)).await.unwrap();
    assert!(matches!(fixture.connector_store().show("Odd").await, Err(ConnectorStoreError::Unknown { .. })));
}

impl Fixture {
    /// The trail, the oldest first.
    async fn trail(&self) -> Vec<AuditRow> {
        let mut rows = self.memory.audit(AuditFilter { limit: 99, ..AuditFilter::default() }).await.unwrap();
        rows.reverse();
        rows
    }
}

fn value(text: Option<&String>) -> serde_json::Value {
    text.map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn the_audit_trail_tells_every_change_and_no_secret() {
    let fixture = Fixture::new();
    fixture.add(GENERIC).await.unwrap();
    fixture.add(STRIPE).await.unwrap();
    let connector_store = fixture.connector_store();
    connector_store.change("Shop", keys(r#"{"retries":1}"#), moment(1)).await.unwrap();
    connector_store.authorize("Shop", keys(r#"{"bearer":"4815162342-new"}"#), moment(2)).await.unwrap();
    connector_store.live("Shop", ConfigKeys::default(), moment(3)).await.unwrap();
    connector_store.live("Shop", ConfigKeys::default(), moment(4)).await.unwrap();
    connector_store.live("Shop", keys(r#"{"retries":2}"#), moment(5)).await.unwrap();
    connector_store.remove("Shop", moment(6)).await.unwrap();
    // What is refused changes nothing, and is no change.
    assert!(connector_store.remove("Shop", moment(7)).await.is_err());
    assert!(fixture.add(STRIPE).await.is_err());
    let rows = fixture.trail().await;
    let told: Vec<(&str, i64)> = rows
        .iter()
        .filter(|row| row.target == "connector Shop")
        .map(|row| (row.action.as_str(), row.at.as_second() - moment(0).as_second()))
        .collect();
    assert_eq!(
        told,
        [
            ("connector.add", 0),
            ("connector.change", 1),
            ("connector.authorize", 2),
            ("connector.live", 3),
            ("connector.change", 5),
            ("connector.remove", 6),
        ]
    );
    assert!(rows.iter().all(|row| (row.actor.as_str(), row.origin.as_str()) == ("user 0", "here")));
    let live = rows.iter().find(|row| row.action == "connector.live").unwrap();
    let (was, is) = (value(live.old_value.as_ref()), value(live.new_value.as_ref()));
    assert_eq!((&was["mode"], &is["mode"]), (&"test".into(), &"live".into()));
    assert_eq!((&is["address"], &is["secrets"][0]), (&"https://pay.example.com/".into(), &"bearer".into()));
    let removed = rows.last().unwrap();
    assert_eq!(
        (value(removed.old_value.as_ref())["settings"]["retries"].clone(), removed.new_value.clone()),
        ("2".into(), None)
    );
    assert!(!format!("{rows:?}").contains("4815162342"), "{rows:?}");
}

#[tokio::test]
async fn a_name_that_was_live_sends_payments_nowhere_else_unless_it_is_replaced_on_purpose() {
    let fixture = Fixture::new();
    let json = |endpoint: &str| format!(r#"{{"name":"Shop","kind":"generic","endpoint":"{endpoint}"}}"#);
    let (here, there) = (json("https://pay.example.com/?key=1"), json("https://evil.example.com/"));
    // One that was never live may move.
    fixture.add(&there).await.unwrap();
    fixture.connector_store().remove("Shop", moment(1)).await.unwrap();
    fixture.add(&here).await.unwrap();
    fixture.connector_store().live("Shop", ConfigKeys::default(), moment(2)).await.unwrap();
    fixture.connector_store().remove("Shop", moment(3)).await.unwrap();
    for other in [
        &there,
        r#"{"name":"Shop","kind":"sandbox"}"#,
        r#"{"name":"Shop","kind":"stripe","secret_key":"sk_test_1","base_url":"https://pay.example.com/"}"#,
    ] {
        let refused = fixture.add(other).await.unwrap_err();
        assert!(matches!(refused, ConnectorStoreError::WasLive { .. }), "{refused:?}");
        let said = refused.to_string();
        assert!(said.contains("generic with https://pay.example.com/:") && said.contains("--replace"), "{said}");
    }
    // Another query may be another merchant's.
    assert!(fixture.add(&json("https://pay.example.com/?key=2")).await.is_err());
    fixture.add(&here).await.unwrap();
    fixture.connector_store().remove("Shop", moment(4)).await.unwrap();
    assert!(fixture.add(&there).await.is_err(), "it was not live this time, but before");
    fixture.connector_store().add(keys(&there), Replace::Yes, moment(5)).await.unwrap();
    let row = fixture.trail().await.pop().unwrap();
    assert_eq!(row.action, "connector.replace");
    assert_eq!(value(row.old_value.as_ref())["address"], "https://pay.example.com/");
    assert_eq!(value(row.new_value.as_ref())["address"], "https://evil.example.com/");
    // From now on it is there that the name leads, once it is live.
    fixture.connector_store().live("Shop", ConfigKeys::default(), moment(6)).await.unwrap();
    fixture.connector_store().remove("Shop", moment(7)).await.unwrap();
    assert!(fixture.add(&here).await.is_err());
    fixture.add(&there).await.unwrap();
}
