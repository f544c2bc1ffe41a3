//! The sockets: media streams, the REST API, health, metrics; the start and the end of the server.
//!
//! Shape:   [`Server::open`] reads everything and listens; [`Server::run`] serves until it is told to stop and has drained.
//! Limits:  the drain; connections' own; everything else is a call's.
//! Errors:  [`StartError`]: what keeps the server from starting and what to do about it.
//! Secrets: the auth token is shown once, on the first start, by the command.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;
use utoipa_axum::routes;

use crate::account::Account;
use crate::blocking;
use crate::call::recorder::Recordings;
use crate::call::{
    CallServices, CallSettings, Calls, Directory, DocumentServices, PaymentServices, Searches, SoundServices,
    heartbeat, recovery, writable,
};
use crate::callback::{Application, Clocks, Deliveries, RetryPolicy, Undelivered};
use crate::clock::WallClock;
use crate::config::{Config, ConnectionLimits, Media};
use crate::connector::{Registry, RegistryError, registry};
use crate::feed::Feed;
use crate::flow::link::PlainHttp;
use crate::http::{ClientError, Crowd, Gateway, Outbound, Resolver, TargetPolicy, TrustedProxies};
use crate::library::Library;
use crate::media::upgrade::SECRET_GOOD;
use crate::rest::guard::{Gate, SignIns, guard};
use crate::rest::state::ApiState;
use crate::rest::{self, route::Routes};
use crate::rng::Rng;
use crate::secret::Secret;
use crate::speech::{self, Speech};
use crate::store::open::{self, OpenError, Role};

mod description;
mod health;
mod inspect;
mod limiter;
mod media;
mod nonces;
mod pace;
mod serving;
mod tls;
mod unsigned;

use limiter::ConnectionLimiter;
pub use limiter::raise_open_files;
use nonces::UsedNonces;
pub use tls::TlsError;

/// How long calls have that are told to end because the drain is over: time for a gateway's answer to arrive.
const LAST_WAIT: Duration = Duration::from_secs(20);

/// How long callbacks have to be delivered after the last call.
const CALLBACKS_WAIT: Duration = Duration::from_secs(20);

/// How long the last calls' ends have to be written down.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two connectors of one name, or one that must not be used here.
    #[error(transparent)]
    Connectors(#[from] RegistryError),
    /// No way out.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No voice.
    #[error(transparent)]
    Speech(#[from] speech::VoiceError),
    /// Certificate and key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The folder of recordings.
    #[error("cannot record calls in {folder}: {source}; choose another folder with --record")]
    Record {
        /// The folder.
        folder: String,
        /// Why.
        source: std::io::Error,
    },
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another one with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<tls::TlsIdentity>,
    services: Arc<CallServices>,
    /// What connections are held to.
    connections: ConnectionRules,
    state: ServerState,
}

/// What connections are held to.
#[derive(Debug)]
struct ConnectionRules {
    max_connections: u32,
    limits: ConnectionLimits,
    messages_per_second_max: u32,
}

/// What the HTTP side of the server shares.
#[derive(Clone, Debug)]
struct ServerState {
    services: Arc<CallServices>,
    account: Arc<Account>,
    upgrades: Arc<UpgradeRules>,
    trusted_proxies: Arc<TrustedProxies>,
    sign_ins: SignIns,
    used: Arc<UsedNonces>,
    draining: Arc<AtomicBool>,
}

/// What upgrades of media streams are held to.
#[derive(Debug)]
struct UpgradeRules {
    public_url: Url,
    /// The host of `public_url` in the letters it was configured with.
    host_as_written: Option<String>,
    require_signature: bool,
    /// What platforms that do not sign have to carry.
    secret: Option<Secret>,
    /// How old the URL of a signed stream may be.
    max_age: Option<Duration>,
    /// How many calls may be live at once; 0: no limit.
    max_calls: u32,
}

impl Server {
    /// Opens everything and listens.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(config: Config, account: Account) -> Result<Self, StartError> {
        Self::open_with(config, account, |_| Ok(())).await
    }

    /// As [`Self::open`], with connectors of the embedder's own added to the configured ones.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open_with(
        config: Config,
        account: Account,
        add: impl FnOnce(&Registry) -> Result<(), RegistryError>,
    ) -> Result<Self, StartError> {
        // First: what is counted without a recorder is lost.
        health::install_recorder();
        let tls = config.tls.as_ref().map(tls::TlsIdentity::open).transpose()?;
        let speech = Speech::start(config.speech.engine).await?;
        let resolver = Resolver::new(config.resolver);
        let crowd = Crowd::of(config.media.max_calls);
        let gateway = Arc::new(Gateway::with(&resolver, crowd)?);
        let (wall_clock, rng) = (WallClock::System, Rng::System);
        let exposure = config.exposure();
        let connectors = Registry::with_stand_in(&config.connectors, &gateway, wall_clock, exposure)?;
        add(&connectors)?;
        let recordings = config.record.as_deref().map(|folder| {
            Recordings::open(folder)
                .map_err(|source| StartError::Record { folder: folder.display().to_string(), source })
        });
        let recordings = recordings.transpose()?;
        let listen = config.listen;
        let listener =
            TcpListener::bind(listen).await.map_err(|source| StartError::Listen { address: listen, source })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen { address: listen, source })?;
        let policy = TargetPolicy::of(config.allow_http_callbacks, exposure);
        let outbound = Arc::new(Outbound::with(policy, &resolver, crowd)?);
        let application = Arc::new(Application::new(Arc::clone(&outbound), account.auth_token.clone(), rng.clone()));
        let store = open::open(&config.store(), Role::Server).await?;
        // Before a call can come: until then nobody knows whether the stand-in may be used.
        connectors.refresh(&store).await.map_err(OpenError::from)?;
        connectors.refuse_twins()?;
        connectors.refuse_live_sandboxes()?;
        registry::warn_of_none(&connectors);
        let feed = Feed::new(wall_clock);
        let deliveries = Deliveries::new(
            Arc::clone(&application),
            store.clone(),
            RetryPolicy::default(),
            Clocks { wall_clock, rng: rng.clone() },
        )
        .telling(feed.clone());
        let plain_http = match (config.allow_http_callbacks, exposure.is_loopback_only()) {
            (true, _) => PlainHttp::Always,
            (false, true) => PlainHttp::Loopback,
            (false, false) => PlainHttp::Never,
        };
        let library = Library::new(&config.flows);
        let (looked_at, known) = (library.clone(), connectors.clone());
        // A faulty document never stops the server (spec/interface.md, `serve`).
        if blocking::run(move || inspect::warn_of_faults(&looked_at, &known)).await.is_err() {
            tracing::error!("check of the flows panicked; calls that run them go on");
        }
        let public_url =
            config.public_url.clone().or_else(|| Url::parse(&format!("{}://{address}", scheme(tls.is_some()))).ok());
        let require_signature = config.media.require_signature.unwrap_or(!exposure.is_loopback_only());
        if !require_signature {
            unsigned::warn(&connectors.live());
        }
        warn_of_weak(&config.media, require_signature);
        let Some(public_url) = public_url else {
            let source = std::io::Error::other("the address makes no URL: set public_url");
            return Err(StartError::Listen { address, source });
        };
        let services = Arc::new(CallServices {
            settings: CallSettings::of(&config, &account, plain_http),
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
            recordings,
            rng,
            feed,
        });
        let state = ServerState::new(&services, account, &config, public_url, require_signature);
        let connections = ConnectionRules {
            max_connections: config.max_connections,
            limits: config.limits,
            messages_per_second_max: config.media.max_messages_per_second,
        };
        Ok(Self { listener, address, tls, services, connections, state })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it is reached there: `https` or `http`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        scheme(self.tls.is_some())
    }

    /// What its calls use, for whoever embeds the server.
    #[must_use]
    pub const fn services(&self) -> &Arc<CallServices> {
        &self.services
    }

    /// Serves until `stop` is ready, then takes no new calls, lets running ones finish for at most `drain`, and returns.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static, drain: Duration) -> std::io::Result<()> {
        let Self { listener, tls, services, connections, state, .. } = self;
        let draining = Arc::clone(&state.draining);
        let payments = &services.payments;
        let mut following = JoinSet::new();
        following.spawn(payments.connectors.follow(payments.store.clone()));
        if !state.upgrades.require_signature {
            following.spawn(unsigned::remind(payments.connectors.clone(), unsigned::warn));
        }
        // By itself: a drain ends it before the rest, so that nothing new is taken over.
        let attending = tokio::spawn(recovery::look_after(Arc::clone(payments)));
        // Through the drain, too: a server that is not heard is taken over (spec/cluster.md 3).
        following.spawn(heartbeat::beat(Arc::clone(payments)));
        following.spawn(writable::watch(Arc::clone(payments), Arc::clone(&services.calls)));
        let limiter =
            ConnectionLimiter::new(listener, connections.max_connections, connections.limits, &state.trusted_proxies)
                .reading_calls_at(connections.messages_per_second_max);
        let over = drained(services, draining, stop, drain, attending.abort_handle());
        match tls {
            Some(tls) => serving::serve(tls.listen(limiter), router(state), over).await,
            None => serving::serve(limiter, router(state), over).await,
        }
        // It holds the store, and with it the data folder.
        following.shutdown().await;
        Ok(())
    }
}

/// Says what of the streams' credentials is weaker than it could be.
fn warn_of_weak(media: &Media, require_signature: bool) {
    if media.secret.as_ref().is_some_and(|secret| secret.expose().chars().count() < SECRET_GOOD) {
        tracing::warn!(
            characters_min = SECRET_GOOD,
            "media.secret is short; make it a longer random text, for example with `openssl rand -hex 32`"
        );
    }
    if require_signature && media.max_age.is_none() {
        tracing::warn!(
            "whoever captures the upgrade of a stream can send it again; set media.max_age (seconds), and let each call's TwiML \
             name a URL that is good once (touchtone stream-url)"
        );
    }
}

const fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}

/// Waits for the stop, then for everything that is on its way.
async fn drained(
    services: Arc<CallServices>,
    draining: Arc<AtomicBool>,
    stop: impl Future<Output = ()>,
    drain: Duration,
    attending: AbortHandle,
) {
    let (calls, payments) = (&services.calls, &services.payments);
    stop.await;
    // First: no stream is admitted after it, so that none open is none for good.
    calls.close();
    draining.store(true, Ordering::Release);
    tracing::info!(calls = calls.live(), "server is stopping; running calls may finish, new ones are refused");
    if timeout(drain, calls.all_over()).await.is_err() {
        tracing::warn!(calls = calls.live(), "drain is over; ending the remaining calls");
        calls.end_all();
        if timeout(LAST_WAIT, calls.all_over()).await.is_err() {
            tracing::error!(
                calls = calls.live(),
                "calls still wait for a gateway; their outcome is found out after the next start"
            );
        }
    }
    // Nothing more is taken over; what is here is handed over below.
    attending.abort();
    if let Err(Undelivered(count)) = payments.deliveries.drained(CALLBACKS_WAIT).await {
        tracing::warn!(callbacks = count, "callbacks are not delivered yet; keeping them for the next start");
    }
    // How the last calls ended.
    match timeout(LAST_WRITE, payments.store.flush()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "could not persist how the last calls ended; they will be told as failed");
        }
        Err(_) => tracing::warn!(
            seconds = LAST_WRITE.as_secs(),
            "no time left to persist how the last calls ended; those not on disk will be told as failed"
        ),
    }
    // Before anything is released: another server begins it at once.
    if timeout(LAST_WRITE, payments.deliveries.stop()).await.is_err() {
        tracing::warn!("could not persist how the last callbacks went; they will be delivered again");
    }
    if calls.live() > 0 {
        // Somebody else must not look for what is still being asked for.
        tracing::warn!("calls still run; not releasing the payments and callbacks of this server");
        return;
    }
    // For whoever runs on, or comes next.
    if let Err(error) = payments.store.release_own().await {
        tracing::warn!(
            %error,
            "could not release payments and callbacks; others take them over when they miss this server"
        );
    }
}

/// What is answered on the sockets of a server, for whoever has sockets of its own. Upgrades need a signature made for
/// `public_url` if `require_signature` says so. Who serves it also runs [`recovery::attend`].
pub fn app(
    services: &Arc<CallServices>,
    account: Account,
    config: &Config,
    public_url: Url,
    require_signature: bool,
) -> Router {
    router(ServerState::new(services, account, config, public_url, require_signature))
}

impl ServerState {
    fn new(
        services: &Arc<CallServices>,
        account: Account,
        config: &Config,
        public_url: Url,
        require_signature: bool,
    ) -> Self {
        let upgrades = UpgradeRules {
            public_url,
            host_as_written: config.host_as_written.clone(),
            require_signature,
            secret: config.media.secret.clone(),
            max_age: config.media.max_age,
            max_calls: config.media.max_calls,
        };
        Self {
            services: Arc::clone(services),
            account: Arc::new(account),
            upgrades: Arc::new(upgrades),
            trusted_proxies: Arc::new(config.trusted_proxies.clone()),
            sign_ins: SignIns::default(),
            used: Arc::default(),
            draining: Arc::default(),
        }
    }

    /// What the REST API uses.
    fn api(&self) -> ApiState {
        let payments = &self.services.payments;
        ApiState {
            account: Arc::clone(&self.account),
            directory: Directory::new(Arc::clone(&self.services.calls)),
            store: payments.store.clone(),
            connectors: payments.connectors.clone(),
            trusted_proxies: Arc::clone(&self.trusted_proxies),
            plain_http: self.services.settings.plain_http,
            wall_clock: payments.wall_clock,
        }
    }
}

fn router(state: ServerState) -> Router {
    let (router, description) = routes(&state).into_parts();
    let gate = Gate::new(Arc::clone(&state.account), Arc::clone(&state.trusted_proxies), state.sign_ins.clone());
    router
        // A slash at the end means nothing: whoever writes a stream's URL with one dials the same stream.
        .route("/media/{dialect}/", get(media::upgrade_to_url))
        .route("/media/{dialect}/{flow}/", get(media::upgrade))
        .route("/media/{dialect}/{flow}/{secret}/", get(media::upgrade_with_secret))
        .route("/media/{dialect}/{flow}/{expires}/{random}/", get(media::upgrade_once))
        .fallback(media::no_such_path)
        .method_not_allowed_fallback(rest::no_such_method)
        .layer(from_fn_with_state(gate, guard))
        .layer(Extension(description::Served::new(description)))
        .with_state(state)
}

/// Every route there is, and what is said of it.
fn routes(state: &ServerState) -> Routes<ServerState> {
    Routes::described(description::of_no_routes())
        .with(routes!(health::healthz))
        .with(routes!(health::readyz))
        .with(routes!(health::metrics))
        .with(routes!(description::openapi))
        .with(routes!(media::upgrade_to_url))
        .with(routes!(media::upgrade))
        .with(routes!(media::upgrade_with_secret))
        .with(routes!(media::upgrade_once))
        .merge(rest::routes(), state.api())
}
