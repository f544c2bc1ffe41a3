//! The server: everything of it is real but its clock, its sockets, its chance and its disk.

use std::sync::Arc;

use serde_json::json;
use touchtone::account::Account;
use touchtone::call::{
    CallServices, CallSettings, Calls, DocumentServices, PaymentServices, Searches, SoundServices, recovery,
};
use touchtone::callback::{Application, Clocks, Deliveries, RetryPolicy};
use touchtone::config::Config;
use touchtone::connector::Registry;
use touchtone::feed::Feed;
use touchtone::flow::link::PlainHttp;
use touchtone::http::{Gateway, Outbound, TargetPolicy, Transport};
use touchtone::library::Library;
use touchtone::rng::Rng;
use touchtone::secret::Secret;
use touchtone::server;
use touchtone::speech::{Silence, Speech};

use super::network::{Network, serve};
use super::plan::{APPLICATIONS, SERVERS, Trick};
use super::world::World;

pub const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Starts a server, on its first start or on any later one.
pub async fn start(world: Arc<World>, server: usize) -> turmoil::Result {
    let seed = world.starts.lock().unwrap().throw();
    if world.plan.trick == Trick::ServerForgets {
        world.database.lose_everything();
    }
    let (services, account, config) = open(&world, server, seed);
    world.note(format_args!("{}: started", SERVERS[server]));
    world.services.lock().unwrap()[server] = Arc::downgrade(&services);
    world.database.open(server, seed, &services.payments.store).await;
    tokio::spawn(recovery::attend(Arc::clone(&services.payments), Arc::clone(&services.calls)));
    let router = server::app(&services, account, &config, "http://server.localhost/".parse()?, false);
    drop(services);
    serve(router).await
}

fn open(world: &Arc<World>, server: usize, seed: u64) -> (Arc<CallServices>, Account, Config) {
    let flow_urls: Vec<String> = APPLICATIONS.iter().map(|name| format!("http://{name}.localhost/")).collect();
    let mut connector = json!({
        "name": "Default", "kind": "generic", "mode": "test", "endpoint": "http://gateway.localhost/charge",
        "timeout": world.plan.timeout.to_string(), "retries": world.plan.retries.to_string(),
    });
    match world.plan.trick {
        Trick::RepeatsAreVouchedFor => connector["replays_first_result"] = "true".into(),
        Trick::BusyIsNotRead => connector["retry_safe"] = "429,503".into(),
        _ => {}
    }
    let config: Config = serde_json::from_value(json!({
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
        "allow_http_callbacks": true,
        "flow_urls": flow_urls,
        "media": {"idle_timeout": 12},
        "connector": [connector],
    }))
    .unwrap();
    let wall_clock = world.clocks[server].wall_clock();
    let rng = Rng::seeded(seed);
    let account = Account { sid: ACCOUNT.to_owned(), auth_token: Secret::new(TOKEN.to_owned()), is_new: false };
    let network: Arc<dyn Transport> = Arc::new(Network { world: Arc::clone(world), server });
    let gateway = Arc::new(Gateway::over(Arc::clone(&network), wall_clock));
    let outbound = Arc::new(Outbound::over(TargetPolicy::Open, network));
    let application = Arc::new(Application::new(Arc::clone(&outbound), account.auth_token.clone(), rng.clone()));
    let store = world.database.store(server, seed, wall_clock);
    let clocks = Clocks { wall_clock, rng: rng.clone() };
    let feed = Feed::new(wall_clock);
    let deliveries =
        Deliveries::new(Arc::clone(&application), store.clone(), RetryPolicy::default(), clocks).telling(feed.clone());
    let library = Library::new("no such folder");
    let connectors = Registry::new(&config.connectors, &gateway).unwrap();
    let speech = Speech::with_engine(Silence);
    let services = CallServices {
        settings: CallSettings::of(&config, &account, PlainHttp::Always),
        calls: Arc::new(Calls::new(wall_clock)),
        documents: Arc::new(DocumentServices { library: library.clone(), application, store: store.clone() }),
        sound: Arc::new(SoundServices { speech, library, outbound }),
        payments: Arc::new(PaymentServices {
            connectors,
            store,
            deliveries,
            searches: Searches::default(),
            wall_clock,
        }),
        recordings: None,
        rng,
        feed,
    };
    (Arc::new(services), account, config)
}
