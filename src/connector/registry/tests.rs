use std::sync::{LazyLock, Mutex};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use jiff::Timestamp;

use super::*;
use crate::connector::config::ConfigKeys;
use crate::connector::generic::samples::{card, charge};
use crate::connector::stored::{ConnectorStore, Replace};
use crate::connector::{CheckRefused, Description, ask};
use crate::pay::gateway::{
    Answer, Capabilities, Denial, Instrument, PaymentRequest, Preparation, RecoveryNote, Resolution,
};
use crate::pay::step::PayErrorCode;
use crate::pay::submission::{Ask, Reply};
use crate::secret::Secret;
use crate::store::audit::{Actor, ConnectorChange, NewAudit};
use crate::store::memory::Memory;
use crate::store::{Backend, NodeId, SealedPlace};

static NOBODY: LazyLock<Actor> = LazyLock::new(|| Actor { name: "nobody".to_owned(), origin: "here".to_owned() });

fn config(name: &str) -> ConnectorConfig {
    serde_json::from_str(&format!(r#"{{"name":"{name}","kind":"sandbox"}}"#)).unwrap()
}

fn gateway() -> Arc<Gateway> {
    Arc::new(Gateway::new().unwrap())
}

fn seal() -> Seal {
    Seal::new(&Secret::new("the key of these tests".to_owned())).unwrap()
}

/// Two nodes on one database.
fn stores() -> (Arc<Memory>, Store, Store) {
    let memory = Arc::new(Memory::default());
    let store = || Store::new(Arc::clone(&memory) as Arc<dyn Backend>, seal(), NodeId::random());
    (Arc::clone(&memory), store(), store())
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn keys(json: &str) -> ConfigKeys {
    ConfigKeys::from_json(json.as_bytes()).unwrap()
}

async fn add(store: &Store, registry: &Registry, json: &str) {
    ConnectorStore::new(store, registry, &NOBODY).add(keys(json), Replace::No, moment(0)).await.unwrap();
}

/// A gateway that no longer lets us in.
struct Revoked;

fn revoked() -> Answer {
    Answer::Refused(PayErrorCode::AuthorizationWithdrawn, Denial::default())
}

impl Connector for Revoked {
    fn describe(&self) -> Description {
        Description { kind: "revoked", mode: Mode::Test, settings: Vec::new() }
    }

    fn capabilities(&self) -> Capabilities {
        crate::pay::sandbox::capabilities()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), CheckRefused>> {
        ready(Err(CheckRefused("no".to_owned()))).boxed()
    }

    fn prepare(&self, _: Arc<PaymentRequest>, _: Arc<Instrument>) -> BoxFuture<'_, Preparation> {
        ready(Preparation::Answered(revoked())).boxed()
    }

    fn submit(
        &self,
        _: Arc<PaymentRequest>,
        _: Option<Arc<Instrument>>,
        _: Option<RecoveryNote>,
    ) -> BoxFuture<'_, Answer> {
        ready(revoked()).boxed()
    }

    fn resolve(&self, _: Arc<PaymentRequest>, _: Option<RecoveryNote>) -> BoxFuture<'_, Resolution> {
        ready(Resolution::Answer(revoked())).boxed()
    }
}

/// Puts a gateway that no longer lets us in where a stored instance is.
fn revoke(registry: &Registry, name: &str) {
    let keeper = Keeper::Store(Arc::clone(&registry.0.lost));
    let connector = Arc::new(WatchedConnector::new(name, Arc::new(Revoked), keeper, WallClock::System));
    let mut instances = registry.write();
    instances.stored.get_mut(name).unwrap().found = Ok(Readable { connector, secrets: Vec::new() });
}

async fn charge_through(connector: &dyn Connector) -> Reply {
    ask(connector, Ask::Submit(None), Arc::new(charge()), Arc::new(card(None, None))).await
}

#[test]
fn a_name_is_found_exactly_and_nothing_falls_back_on_the_default() {
    let registry = Registry::new(&[config("Default"), config("Stripe_ProdLive")], &gateway()).unwrap();
    assert!(registry.find("Default").is_some() && registry.find("Stripe_ProdLive").is_some());
    for name in ["default", "Stripe", "Stripe_ProdLive ", ""] {
        assert!(registry.find(name).is_none(), "{name}");
    }
}

#[test]
fn a_name_belongs_to_one_instance() {
    let twice = Registry::new(&[config("Shop"), config("Shop")], &gateway());
    assert_eq!(twice.err(), Some(RegistryError::Duplicate("Shop".into())));
    let registry = Registry::new(&[], &gateway()).unwrap();
    assert!(registry.find("Default").is_none());
    let connector = config("Shop").build(&gateway(), Exposure::LOOPBACK);
    registry.insert("Shop", Arc::clone(&connector)).unwrap();
    assert!(registry.insert("Shop", connector).is_err());
}

#[test]
fn the_stand_in_is_a_default_of_kind_sandbox() {
    assert_eq!(format!("{:?}", Registry::sandbox()), r#"{"Default": "sandbox"}"#);
}

/// Where real callers come in.
fn public() -> Exposure {
    Exposure::of("127.0.0.1".parse().unwrap(), Some(&"https://pay.example.com".parse().unwrap()))
}

fn with_stand_in(configs: &[ConnectorConfig], exposure: Exposure) -> Registry {
    Registry::with_stand_in(configs, &gateway(), WallClock::System, exposure).unwrap()
}

#[tokio::test]
async fn the_stand_in_is_there_only_where_nothing_was_ever_configured_or_stored() {
    let configured = with_stand_in(&[config("Shop")], Exposure::LOOPBACK);
    assert!(configured.find("Default").is_none() && !configured.is_stand_in());
    let (_, store, other) = stores();
    let registry = with_stand_in(&[], Exposure::LOOPBACK);
    registry.refresh(&store).await.unwrap();
    assert!(registry.find("Default").is_some() && registry.find("Shop").is_none());
    add(&store, &registry, r#"{"name":"Shop","kind":"sandbox"}"#).await;
    assert!(registry.find("Default").is_none() && registry.find("Shop").is_some());
    ConnectorStore::new(&store, &registry, &NOBODY).remove("Shop", moment(9)).await.unwrap();
    let later = with_stand_in(&[], Exposure::LOOPBACK);
    later.refresh(&other).await.unwrap();
    for registry in [registry, later] {
        assert!(registry.find("Default").is_none() && registry.is_empty() && registry.list().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_stand_in_goes_when_another_process_stored_a_connector_or_has_one_configured() {
    for is_stored in [true, false] {
        let (_, here, there) = stores();
        let registry = with_stand_in(&[], Exposure::LOOPBACK);
        registry.refresh(&here).await.unwrap();
        tokio::spawn(registry.follow(here));
        assert!(registry.is_stand_in());
        let configs = [config("Shop")];
        let elsewhere = with_stand_in(if is_stored { &[] } else { &configs }, Exposure::LOOPBACK);
        elsewhere.refresh(&there).await.unwrap();
        if is_stored {
            // Between two looks of the other process.
            add(&there, &elsewhere, r#"{"name":"Shop","kind":"sandbox"}"#).await;
            ConnectorStore::new(&there, &elsewhere, &NOBODY).remove("Shop", moment(9)).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        assert!(!registry.is_stand_in() && registry.is_empty(), "{is_stored}");
    }
}

#[tokio::test]
async fn where_real_callers_come_in_nothing_stands_in_and_a_sandbox_takes_test_numbers() {
    let takes = |registry: &Registry, name| registry.find(name).map(|it| it.capabilities().accepted_numbers);
    assert!(with_stand_in(&[], public()).is_empty());
    let stand_in = with_stand_in(&[], Exposure::LOOPBACK);
    assert_eq!(takes(&stand_in, "Default"), Some(AcceptedNumbers::SandboxTest));
    assert_eq!(takes(&Registry::sandbox(), "Default"), Some(AcceptedNumbers::Any));
    for (exposure, numbers) in [(public(), AcceptedNumbers::SandboxTest), (Exposure::LOOPBACK, AcceptedNumbers::Any)] {
        let (_, store, _) = stores();
        let registry = with_stand_in(&[config("Configured")], exposure);
        add(&store, &registry, r#"{"name":"Stored","kind":"sandbox"}"#).await;
        for name in ["Configured", "Stored"] {
            assert_eq!(takes(&registry, name), Some(numbers), "{name}");
        }
    }
}

#[test]
fn where_real_callers_come_in_a_sandbox_takes_its_own_tokens_and_no_gateway_s() {
    let takes = |exposure, token: &str| {
        let sandbox = with_stand_in(&[config("Default")], exposure).find("Default").unwrap();
        Instrument::Token(Secret::new(token.to_owned())).is_among(sandbox.capabilities().accepted_numbers)
    };
    for token in ["pm_1MtwBwLkdIwHu7ix28a3tqPa", "tok_1MtwBwLkdIwHu7ix0snN0B15", "card_1", "tok_", "4111111111111111"] {
        assert!(!takes(public(), token), "{token}");
        assert!(takes(Exposure::LOOPBACK, token), "{token}");
    }
    assert!(takes(public(), "tok_0123456789abcdef0123456789abcdef"));
}

#[tokio::test]
async fn a_live_sandbox_is_refused_where_real_callers_come_in() {
    let live = |name: &str| {
        serde_json::from_str::<ConnectorConfig>(&format!(r#"{{"name":"{name}","kind":"sandbox","mode":"live"}}"#))
            .unwrap()
    };
    let refused = Registry::with_stand_in(&[live("Shop")], &gateway(), WallClock::System, public());
    assert!(refused.unwrap_err().to_string().contains("mode = \"test\""));
    let (_, store, other) = stores();
    let here = with_stand_in(&[live("Shop")], Exposure::LOOPBACK);
    add(&store, &here, r#"{"name":"Other","kind":"sandbox","mode":"live"}"#).await;
    assert_eq!((here.refuse_live_sandboxes(), here.live()), (Ok(()), vec!["Other".to_owned(), "Shop".to_owned()]));
    let registry = with_stand_in(&[], public());
    registry.refresh(&other).await.unwrap();
    assert!(registry.find("Other").is_none() && registry.live().is_empty());
    assert!(registry.refuse_live_sandboxes().unwrap_err().to_string().contains("connectors remove Other"));
    let shown = registry.instance("Other").unwrap();
    assert_eq!((shown.state, shown.kind, shown.mode), (State::Refused, Some("sandbox"), Some(Mode::Live)));
    let connector_store = ConnectorStore::new(&other, &registry, &NOBODY);
    let refused =
        connector_store.add(keys(r#"{"name":"Third","kind":"sandbox","mode":"live"}"#), Replace::No, moment(1)).await;
    assert!(matches!(refused, Err(crate::connector::ConnectorStoreError::LiveSandbox(_))));
    connector_store.add(keys(r#"{"name":"Third","kind":"sandbox"}"#), Replace::No, moment(1)).await.unwrap();
    let refused = connector_store.live("Third", ConfigKeys::default(), moment(2)).await;
    assert!(matches!(refused, Err(crate::connector::ConnectorStoreError::LiveSandbox(_))));
    // What the error says helps.
    connector_store.remove("Other", moment(9)).await.unwrap();
    assert_eq!(registry.refuse_live_sandboxes(), Ok(()));
}

#[tokio::test]
async fn what_cannot_be_read_still_counts_as_stored_and_hinders_nothing() {
    let (memory, store, _) = stores();
    let registry = Registry::with_stand_in(&[], &gateway(), WallClock::System, Exposure::LOOPBACK).unwrap();
    let others = Seal::new(&Secret::new("another key".to_owned())).unwrap();
    let json = Secret::new(r#"{"name":"Lost","kind":"sandbox"}"#.to_owned());
    memory
        .change_connector(
            "Lost",
            ConnectorChange::Insert { sealed: others.close(&json, SealedPlace::connector("Lost")).unwrap() },
            NewAudit::of_tests("Lost"),
            moment(0),
        )
        .await
        .unwrap();
    registry.refresh(&store).await.unwrap();
    assert!(registry.find("Default").is_none(), "payments must not go to a sandbox because a key is wrong");
    assert!(registry.find("Lost").is_none());
    let strange = Secret::new(r#"{"name":"Strange","kind":"of a later version"}"#.to_owned());
    memory
        .change_connector(
            "Strange",
            ConnectorChange::Insert { sealed: seal().close(&strange, SealedPlace::connector("Strange")).unwrap() },
            NewAudit::of_tests("Strange"),
            moment(0),
        )
        .await
        .unwrap();
    // A row that was put under another name; and one that an earlier version sealed for any.
    memory
        .change_connector(
            "Moved",
            ConnectorChange::Insert { sealed: seal().close(&json, SealedPlace::connector("Lost")).unwrap() },
            NewAudit::of_tests("Moved"),
            moment(0),
        )
        .await
        .unwrap();
    memory
        .change_connector(
            "Old",
            ConnectorChange::Insert { sealed: seal().close_unbound(&json).unwrap() },
            NewAudit::of_tests("Old"),
            moment(0),
        )
        .await
        .unwrap();
    add(&store, &registry, r#"{"name":"Shop","kind":"sandbox"}"#).await;
    assert!(registry.find("Shop").is_some());
    for (name, fault) in
        [("Lost", "secret_key"), ("Strange", "none of sandbox"), ("Moved", "was altered"), ("Old", "that of `Lost`")]
    {
        let shown = registry.instance(name).unwrap();
        assert_eq!((shown.state, shown.kind), (State::Unreadable, None));
        assert!(shown.fault.as_ref().unwrap().contains(fault), "{shown:?}");
        assert!(registry.find(name).is_none());
    }
}

#[tokio::test]
async fn a_name_that_is_configured_and_stored_is_refused_and_the_configured_one_is_used() {
    let (_, store, _) = stores();
    add(&store, &Registry::new(&[], &gateway()).unwrap(), r#"{"name":"Shop","kind":"sandbox","mode":"live"}"#).await;
    let registry = Registry::new(&[config("Shop")], &gateway()).unwrap();
    assert_eq!(registry.refuse_twins(), Ok(()));
    registry.refresh(&store).await.unwrap();
    let refused = registry.refuse_twins().unwrap_err();
    assert!(refused.to_string().contains("`Shop`") && refused.to_string().contains("connectors remove Shop"));
    assert_eq!(registry.find("Shop").unwrap().describe().mode, Mode::Test);
    assert_eq!(registry.list().len(), 1);
    // What the error says helps.
    ConnectorStore::new(&store, &registry, &NOBODY).remove("Shop", moment(9)).await.unwrap();
    assert_eq!(registry.refuse_twins(), Ok(()));
    assert!(matches!(
        ConnectorStore::new(&store, &registry, &NOBODY).remove("Shop", moment(9)).await,
        Err(crate::connector::ConnectorStoreError::Configured(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn another_process_s_changes_are_seen_within_a_second() {
    let (_, here, there) = stores();
    let registry = Registry::with_stand_in(&[], &gateway(), WallClock::System, Exposure::LOOPBACK).unwrap();
    registry.refresh(&here).await.unwrap();
    tokio::spawn(registry.follow(here));
    let elsewhere = Registry::new(&[], &gateway()).unwrap();
    add(&there, &elsewhere, r#"{"name":"Shop","kind":"sandbox"}"#).await;
    assert!(registry.find("Shop").is_none());
    sleep(Duration::from_secs(1)).await;
    let held = registry.find("Shop").unwrap();
    ConnectorStore::new(&there, &elsewhere, &NOBODY).live("Shop", ConfigKeys::default(), moment(1)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(registry.find("Shop").unwrap().describe().mode, Mode::Live);
    assert_eq!(held.describe().mode, Mode::Test, "a payment goes on with the instance it holds");
    ConnectorStore::new(&there, &elsewhere, &NOBODY).remove("Shop", moment(9)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(registry.find("Shop").is_none() && registry.find("Default").is_none());
}

#[tokio::test]
async fn an_instance_that_did_not_change_stays_the_same_one() {
    let (_, store, _) = stores();
    let registry = Registry::new(&[], &gateway()).unwrap();
    add(&store, &registry, r#"{"name":"Shop","kind":"sandbox"}"#).await;
    let before = registry.find("Shop").unwrap();
    add(&store, &registry, r#"{"name":"Other","kind":"sandbox"}"#).await;
    assert!(Arc::ptr_eq(&before, &registry.find("Shop").unwrap()));
}

#[tokio::test]
async fn a_configured_instance_whose_authorization_is_withdrawn_needs_it_until_the_restart() {
    for question in ["prepare", "submit", "resolve"] {
        let registry = Registry::new(&[config("Other")], &gateway()).unwrap();
        registry.insert("Shop", Arc::new(Revoked)).unwrap();
        let connector = registry.find("Shop").unwrap();
        assert!(!connector.capabilities().withdrawn);
        let what = match question {
            "prepare" => Ask::Prepare,
            "submit" => Ask::Submit(None),
            _ => Ask::Resolve(None),
        };
        ask(&*connector, what, Arc::new(charge()), Arc::new(card(None, None))).await;
        assert!(registry.find("Shop").unwrap().capabilities().withdrawn, "{question}");
        assert!(!registry.find("Other").unwrap().capabilities().withdrawn);
        let shown = registry.instance("Shop").unwrap();
        assert_eq!(shown.state, State::NeedsAuthorization);
        assert!(shown.withdrawn.is_some());
    }
}

#[tokio::test]
async fn an_answer_of_another_kind_withdraws_nothing() {
    let registry = Registry::new(&[config("Shop")], &gateway()).unwrap();
    let connector = registry.find("Shop").unwrap();
    assert!(matches!(charge_through(&*connector).await, Reply::Submitted(Answer::Approved(_))));
    assert!(!connector.capabilities().withdrawn);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_authorization_is_written_down_and_seen_by_every_process() {
    let (memory, here, there) = stores();
    let (registry, elsewhere) = (Registry::new(&[], &gateway()).unwrap(), Registry::new(&[], &gateway()).unwrap());
    add(&here, &registry, r#"{"name":"Shop","kind":"generic","endpoint":"https://x.example/","bearer":"old"}"#).await;
    elsewhere.refresh(&there).await.unwrap();
    tokio::spawn(registry.follow(here.clone()));
    tokio::spawn(elsewhere.follow(there.clone()));
    sleep(Duration::from_secs(1)).await;
    revoke(&registry, "Shop");
    charge_through(&*registry.find("Shop").unwrap()).await;
    assert!(registry.find("Shop").unwrap().capabilities().withdrawn, "here it is known at once");
    sleep(Duration::from_secs(1)).await;
    assert!(memory.connectors().await.unwrap()[0].withdrawn.is_some());
    assert!(elsewhere.find("Shop").unwrap().capabilities().withdrawn);
    assert_eq!(elsewhere.instance("Shop").unwrap().state, State::NeedsAuthorization);
    // What is changed beside the credentials authorizes nothing.
    let connector_store = ConnectorStore::new(&there, &elsewhere, &NOBODY);
    let changed = connector_store.change("Shop", keys(r#"{"retries":1}"#), moment(5)).await.unwrap();
    assert_eq!((changed.state, changed.settings["retries"].as_str()), (State::NeedsAuthorization, "1"));
    let authorized = connector_store.authorize("Shop", keys(r#"{"bearer":"new"}"#), moment(6)).await.unwrap();
    assert_eq!((authorized.state, authorized.withdrawn), (State::Ready, None));
    sleep(Duration::from_secs(1)).await;
    assert!(!registry.find("Shop").unwrap().capabilities().withdrawn);
    assert_eq!(registry.instance("Shop").unwrap().settings["retries"], "1");
}

#[tokio::test(start_paused = true)]
async fn a_loss_of_old_credentials_does_not_withdraw_new_ones() {
    let (memory, here, there) = stores();
    let registry = Registry::new(&[], &gateway()).unwrap();
    add(&here, &registry, r#"{"name":"Shop","kind":"generic","endpoint":"https://x.example/","bearer":"old"}"#).await;
    revoke(&registry, "Shop");
    let held = registry.find("Shop").unwrap();
    // Authorized anew elsewhere before the answer for the old credentials comes.
    let elsewhere = Registry::new(&[], &gateway()).unwrap();
    ConnectorStore::new(&there, &elsewhere, &NOBODY)
        .authorize("Shop", keys(r#"{"bearer":"new"}"#), moment(1))
        .await
        .unwrap();
    charge_through(&*held).await;
    registry.refresh(&here).await.unwrap();
    assert_eq!(memory.connectors().await.unwrap()[0].withdrawn, None);
    assert!(!registry.find("Shop").unwrap().capabilities().withdrawn);
}

/// A disk that fails while it is told to.
#[derive(Clone, Default)]
struct Failing(Arc<Mutex<bool>>);

impl crate::store::memory::Disk for Failing {
    fn before(&self) -> BoxFuture<'_, Result<(), crate::store::BackendError>> {
        let fails = *self.0.lock().unwrap();
        ready(if fails { Err(crate::store::BackendError::Unavailable("off".into())) } else { Ok(()) }).boxed()
    }

    fn after(&self) -> BoxFuture<'_, Result<(), crate::store::BackendError>> {
        ready(Ok(())).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_written_down_as_soon_as_the_store_can_be_used_again() {
    let disk = Failing::default();
    let memory = Arc::new(Memory::on(Box::new(disk.clone())));
    let store = Store::new(Arc::clone(&memory) as Arc<dyn Backend>, seal(), NodeId::random());
    let registry = Registry::new(&[], &gateway()).unwrap();
    add(&store, &registry, r#"{"name":"Shop","kind":"sandbox"}"#).await;
    tokio::spawn(registry.follow(store));
    revoke(&registry, "Shop");
    *disk.0.lock().unwrap() = true;
    charge_through(&*registry.find("Shop").unwrap()).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(memory.connectors().await.unwrap()[0].withdrawn, None);
    *disk.0.lock().unwrap() = false;
    sleep(Duration::from_secs(1)).await;
    assert!(memory.connectors().await.unwrap()[0].withdrawn.is_some());
}

#[tokio::test]
async fn what_an_earlier_version_sealed_is_bound_to_its_row_when_it_is_read() {
    let (memory, store, _) = stores();
    let json = Secret::new(r#"{"name":"Shop","kind":"sandbox"}"#.to_owned());
    memory
        .change_connector(
            "Shop",
            ConnectorChange::Insert { sealed: seal().close_unbound(&json).unwrap() },
            NewAudit::of_tests("Shop"),
            moment(0),
        )
        .await
        .unwrap();
    let registry = Registry::new(&[], &gateway()).unwrap();
    registry.refresh(&store).await.unwrap();
    assert!(registry.find("Shop").is_some());
    let rows = memory.connectors().await.unwrap();
    assert!(seal().open(&rows[0].sealed, SealedPlace::connector("Shop")).unwrap().is_bound);
    assert!(seal().open(&rows[0].sealed, SealedPlace::connector("Other")).is_err());
    registry.refresh(&store).await.unwrap();
    assert!(registry.find("Shop").is_some());
}
