//! The connector instances by name: those of the configuration, those of the store, and the stand-in.
//!
//! Shape:   shared by every call, cheap to clone; [`Registry::refresh`] brings it up to date with the store, and
//!          [`Registry::follow`] does so as long as the registry is there.
//! Units:   a change in the store is seen after [`LOOK_EVERY`] at the latest.
//! Errors:  [`RegistryError`]: a name twice, two that look alike, or a sandbox in mode live where real callers come in. A name that is not there is
//!          `None`: nothing falls back on `Default`. What is stored and cannot be read or used is a warning; the other
//!          instances work.
//! Secrets: what is opened here becomes a connector's settings at once.
//!
//! The stand-in is for trying touchtone out, so it is there only where no connector ever was: whoever removes the last one
//! wants no payments, and no approvals that nobody charges for. The store remembers: its revision counts every change of a
//! stored connector, and a note says that one was configured.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;

use super::config::is_alike;
use super::instance::{Instance, Origin, State};
use super::sandbox::{self, Sandbox};
use super::watched::{Access, Keeper, WatchedConnector};
use super::{Connector, ConnectorConfig, Description, Mode};
use crate::clock::WallClock;
use crate::exposure::Exposure;
use crate::http::Gateway;
use crate::pay::test_numbers::AcceptedNumbers;
use crate::store::{ConnectorRow, Seal, SealedPlace, Store, StoreError};

#[cfg(test)]
mod tests;

/// The name that a `<Pay>` without `paymentConnector` asks for.
pub const DEFAULT_NAME: &str = "Default";

/// How often the store is looked at: changes are seen within 1 s (spec/interface.md), so twice in it.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why an instance was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// There is one of that name.
    #[error("there are two connectors named `{0}`")]
    Duplicate(String),
    /// A reader would take one for the other.
    #[error("the connectors `{0}` and `{1}` look alike, and a payment would go to the wrong one: rename one of them")]
    Alike(String, String),
    /// The same name is configured and stored.
    #[error(
        "the connector `{0}` is both configured and stored: rename it in the configuration, or remove the stored one with \
         `touchtone connectors remove {0}`"
    )]
    ConfiguredAndStored(String),
    /// A sandbox would approve real cards.
    #[error(
        "the connector `{name}` is a sandbox in mode live, which approves every card and charges none, and public_url is \
         public: {}",
        match origin {
            Origin::Stored => format!("remove it with `touchtone connectors remove {name}`"),
            Origin::Configured | Origin::StandIn => "give it mode = \"test\", or configure a gateway".to_owned(),
        }
    )]
    LiveSandbox {
        /// The instance.
        name: String,
        /// Where it comes from.
        origin: Origin,
    },
}

/// The instances there are. Clones are one.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    instances: RwLock<Instances>,
    gateway: Option<Arc<Gateway>>,
    wall_clock: WallClock,
    exposure: Exposure,
    /// What of the store `instances` shows; held while they are brought up to date.
    seen: Mutex<SeenRevision>,
    /// A stored instance lost its authorization.
    lost: Arc<Notify>,
}

#[derive(Default)]
struct SeenRevision {
    /// The revision of the store's connectors.
    revision: Option<i64>,
    /// Whether the store was told that a connector is configured.
    noted: bool,
}

#[derive(Default)]
struct Instances {
    /// Configured, or added by whoever embeds the server.
    configured: BTreeMap<String, Readable>,
    stored: BTreeMap<String, Stored>,
    /// What `Default` is where nothing was ever configured or stored.
    stand_in: Option<Arc<dyn Connector>>,
}

/// An instance of the store.
struct Stored {
    row: ConnectorRow,
    found: Result<Readable, UnusableInstance>,
}

/// Why a stored instance is not used.
#[derive(Clone, Debug, thiserror::Error)]
enum UnusableInstance {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// It would approve real cards.
    #[error("it is a sandbox in mode live, which approves every card and charges none, and public_url is public")]
    LiveSandbox,
}

struct Readable {
    connector: Arc<WatchedConnector>,
    secrets: Vec<&'static str>,
}

impl Registry {
    /// The configured instances; none when nothing is configured.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn new<'a>(
        configs: impl IntoIterator<Item = &'a ConnectorConfig>,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, RegistryError> {
        Self::of(configs, gateway, WallClock::System, Exposure::LOOPBACK)
    }

    fn of<'a>(
        configs: impl IntoIterator<Item = &'a ConnectorConfig>,
        gateway: &Arc<Gateway>,
        wall_clock: WallClock,
        exposure: Exposure,
    ) -> Result<Self, RegistryError> {
        let registry = Self::empty(Some(Arc::clone(gateway)), wall_clock, exposure);
        for config in configs {
            if config.is_live_sandbox(exposure) {
                return Err(RegistryError::LiveSandbox { name: config.name.clone(), origin: Origin::Configured });
            }
            registry.put(&config.name, config.build(gateway, exposure), config.secrets())?;
        }
        Ok(registry)
    }

    fn empty(gateway: Option<Arc<Gateway>>, wall_clock: WallClock, exposure: Exposure) -> Self {
        let (instances, seen, lost) = (RwLock::default(), Mutex::default(), Arc::default());
        Self(Arc::new(Inner { instances, gateway, wall_clock, exposure, seen, lost }))
    }

    /// As [`Self::new`], for a server: where nothing was ever configured or stored there is a `Default` of the kind that
    /// moves no money, for published test numbers only; unless real callers come in.
    ///
    /// # Errors
    /// When two have the same name, or one is a sandbox in mode live where real callers come in.
    pub fn with_stand_in<'a>(
        configs: impl IntoIterator<Item = &'a ConnectorConfig>,
        gateway: &Arc<Gateway>,
        wall_clock: WallClock,
        exposure: Exposure,
    ) -> Result<Self, RegistryError> {
        let registry = Self::of(configs, gateway, wall_clock, exposure)?;
        {
            let mut instances = registry.write();
            if instances.configured.is_empty() && !exposure.has_public_url() {
                instances.stand_in = Some(Arc::new(Sandbox::new(Mode::Test, AcceptedNumbers::SandboxTest)));
            }
        }
        Ok(registry)
    }

    /// One instance, `Default`, of the kind that moves no money, for every number: for a phone in the terminal.
    #[must_use]
    pub fn sandbox() -> Self {
        let registry = Self::empty(None, WallClock::System, Exposure::LOOPBACK);
        registry.write().stand_in = Some(Arc::new(Sandbox::new(Mode::Test, AcceptedNumbers::Any)));
        registry
    }

    /// Who can reach the server.
    #[must_use]
    pub fn exposure(&self) -> Exposure {
        self.0.exposure
    }

    /// Adds an instance as if it were configured.
    ///
    /// # Errors
    /// When there is one of that name; it stays.
    pub fn insert(&self, name: &str, connector: Arc<dyn Connector>) -> Result<(), RegistryError> {
        self.put(name, connector, Vec::new())
    }

    fn put(&self, name: &str, connector: Arc<dyn Connector>, secrets: Vec<&'static str>) -> Result<(), RegistryError> {
        let mut instances = self.write();
        if instances.configured.contains_key(name) {
            return Err(RegistryError::Duplicate(name.to_owned()));
        }
        let others = instances.configured.keys().map(String::as_str).chain([DEFAULT_NAME]);
        if let Some(known) = others.into_iter().find(|known| is_alike(known, name)) {
            return Err(RegistryError::Alike(known.to_owned(), name.to_owned()));
        }
        let connector = Arc::new(WatchedConnector::new(name, connector, Keeper::Configuration, self.0.wall_clock));
        instances.configured.insert(name.to_owned(), Readable { connector, secrets });
        Ok(())
    }

    /// The instance of exactly that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<dyn Connector>> {
        let instances = self.read();
        if let Some(found) = instances.configured.get(name) {
            return Some(Arc::clone(&found.connector) as Arc<dyn Connector>);
        }
        match instances.stored.get(name) {
            Some(Stored { found: Ok(found), .. }) => Some(Arc::clone(&found.connector) as Arc<dyn Connector>),
            // Nothing falls back on another instance (spec/pay.md 9, 64004).
            Some(Stored { found: Err(_), .. }) => None,
            None => instances.stand_in().filter(|_| name == DEFAULT_NAME).cloned(),
        }
    }

    /// Every instance, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Instance> {
        let instances = self.read();
        let configured = instances.configured.iter().map(|(name, found)| {
            let mut shown = shown(name, &*found.connector, &found.secrets, Origin::Configured);
            shown.withdrawn = found.connector.access().since();
            shown
        });
        let hidden = |name: &String| instances.configured.contains_key(name);
        let stored = instances.stored.iter().filter(|(name, _)| !hidden(name)).map(|(name, stored)| stored.shown(name));
        let stand_in = instances.stand_in().map(|connector| shown(DEFAULT_NAME, &**connector, &[], Origin::StandIn));
        let mut all: Vec<Instance> = configured.chain(stored).chain(stand_in).collect();
        for instance in all.iter_mut().filter(|instance| instance.withdrawn.is_some()) {
            instance.state = State::NeedsAuthorization;
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// How the instance of that name is shown.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<Instance> {
        self.list().into_iter().find(|instance| instance.name == name)
    }

    /// Whether an instance of that name is configured, and so is read-only.
    #[must_use]
    pub fn is_configured(&self, name: &str) -> bool {
        self.read().configured.contains_key(name)
    }

    /// Whether payments go to the stand-in: nothing was ever configured or stored.
    #[must_use]
    pub fn is_stand_in(&self) -> bool {
        self.read().stand_in().is_some()
    }

    /// Whether there is no instance at all, so that every payment ends with 64004.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let instances = self.read();
        instances.has_none() && instances.stand_in().is_none()
    }

    /// The names of those that move real money.
    #[must_use]
    pub fn live(&self) -> Vec<String> {
        let is_live = |instance: &Instance| instance.mode == Some(Mode::Live) && instance.state != State::Refused;
        self.list().into_iter().filter(is_live).map(|instance| instance.name).collect()
    }

    /// The first name that is configured and stored, as an error.
    ///
    /// # Errors
    /// [`RegistryError::ConfiguredAndStored`].
    pub fn refuse_twins(&self) -> Result<(), RegistryError> {
        let instances = self.read();
        match instances.stored.keys().find(|name| instances.configured.contains_key(*name)) {
            Some(name) => Err(RegistryError::ConfiguredAndStored(name.clone())),
            None => Ok(()),
        }
    }

    /// What an instance with this configuration says of itself; none where there is no way out to gateways.
    pub(super) fn describe(&self, config: &ConnectorConfig) -> Option<Description> {
        Some(config.build(self.0.gateway.as_ref()?, self.0.exposure).describe())
    }

    /// The first stored sandbox in mode live where real callers come in, as an error.
    ///
    /// # Errors
    /// [`RegistryError::LiveSandbox`].
    pub fn refuse_live_sandboxes(&self) -> Result<(), RegistryError> {
        let instances = self.read();
        let mut refused =
            instances.stored.iter().filter(|(_, it)| matches!(it.found, Err(UnusableInstance::LiveSandbox)));
        match refused.next() {
            Some((name, _)) => Err(RegistryError::LiveSandbox { name: name.clone(), origin: Origin::Stored }),
            None => Ok(()),
        }
    }

    /// Tells the store which instances lost their authorization, and takes in what was changed there. Instances that did
    /// not change stay the same, and payments that hold one go on with it.
    ///
    /// # Errors
    /// [`StoreError`]: the instances stay as they are.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        // Held all the time: of two that refresh, the later one must not be undone by the earlier.
        let mut seen = self.0.seen.lock().await;
        for (name, sealed, connector) in self.lost() {
            if let Access::Lost(since) = connector.access() {
                store.backend().mark_withdrawn(&name, &sealed, since).await?;
                connector.written(since);
            }
        }
        // First the revision, then the rows: what changes between is seen again, not missed.
        let revision = store.backend().connectors_revision().await?;
        if seen.revision != Some(revision) {
            let rows = store.connectors().await?;
            self.take(rows, store.seal());
            seen.revision = Some(revision);
        }
        self.remember(store, &mut seen, revision).await
    }

    /// Refreshes until the registry is gone, which this does not keep there. What goes wrong is logged once, and tried
    /// again.
    pub fn follow(&self, store: Store) -> impl Future<Output = ()> + Send + 'static {
        follow(Arc::downgrade(&self.0), Arc::clone(&self.0.lost), store)
    }

    /// Tells the store that a connector is configured, and finds out whether there ever was one. Until that is known the
    /// stand-in is not to be used: whoever makes a registry refreshes it first.
    async fn remember(&self, store: &Store, seen: &mut SeenRevision, revision: i64) -> Result<(), StoreError> {
        if !self.read().configured.is_empty() {
            if !seen.noted {
                store.backend().keep_note(CONFIGURED_NOTE, b"once".to_vec()).await?;
                seen.noted = true;
            }
        } else if self.is_stand_in()
            && (revision != NEVER_CHANGED || store.backend().note(CONFIGURED_NOTE).await?.is_some())
        {
            self.write().stand_in = None;
        }
        Ok(())
    }

    /// Stored instances whose loss is not written down.
    fn lost(&self) -> Vec<(String, Vec<u8>, Arc<WatchedConnector>)> {
        let instances = self.read();
        let lost = instances.stored.iter().filter_map(|(name, stored)| {
            let connector = &stored.found.as_ref().ok()?.connector;
            let is_lost = matches!(connector.access(), Access::Lost(_));
            is_lost.then(|| (name.clone(), stored.row.sealed.clone(), Arc::clone(connector)))
        });
        lost.collect()
    }

    /// Takes the rows in.
    fn take(&self, rows: Vec<ConnectorRow>, seal: &Seal) {
        let mut instances = self.write();
        let (stood_in, had_some) = (instances.stand_in().is_some(), !instances.has_none());
        let mut before = std::mem::take(&mut instances.stored);
        for row in rows {
            let name = row.name.clone();
            let stored = match before.remove(&name) {
                // The same bytes are the same instance: every sealing differs.
                Some(known) if known.row.sealed == row.sealed => known.told(row),
                _ => self.open(row, seal),
            };
            if instances.configured.contains_key(&name) {
                tracing::warn!(
                    connector = name,
                    "stored connector has the name of a configured one; using the configured one"
                );
            }
            instances.stored.insert(name, stored);
        }
        if stood_in && instances.stand_in().is_none() {
            if instances.stored.contains_key(DEFAULT_NAME) {
                tracing::info!("stored connector is Default now, in place of the sandbox that stood in");
            } else {
                tracing::warn!(
                    "sandbox that stood in as Default is gone, as a connector is stored; name one Default for each <Pay> that \
                     names none: until then those end with 64004"
                );
            }
        } else if had_some && instances.has_none() {
            tracing::warn!("no connector is left; payments end with 64004 until one is stored or configured");
        }
    }

    /// Makes an instance of what is stored.
    fn open(&self, row: ConnectorRow, seal: &Seal) -> Stored {
        let found = self.made(&row, seal);
        if let Err(fault) = &found {
            tracing::warn!(
                connector = row.name,
                error = %fault,
                "stored connector cannot be used; payments that name it end"
            );
        }
        Stored { row, found }
    }

    fn made(&self, row: &ConnectorRow, seal: &Seal) -> Result<Readable, UnusableInstance> {
        let gateway = self.0.gateway.as_ref();
        let gateway =
            gateway.ok_or_else(|| UnusableInstance::Unreadable("there is no way out to gateways".to_owned()))?;
        let config = opened(row, seal).map_err(UnusableInstance::Unreadable)?;
        // Another process may have stored it, where nobody could refuse it.
        if config.is_live_sandbox(self.0.exposure) {
            return Err(UnusableInstance::LiveSandbox);
        }
        let keeper = Keeper::Store(Arc::clone(&self.0.lost));
        let connector = config.build(gateway, self.0.exposure);
        let connector = Arc::new(WatchedConnector::new(&row.name, connector, keeper, self.0.wall_clock));
        connector.told(row.withdrawn.map_or(Access::Granted, Access::Withdrawn));
        Ok(Readable { connector, secrets: config.secrets() })
    }

    fn read(&self) -> RwLockReadGuard<'_, Instances> {
        self.0.instances.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Instances> {
        self.0.instances.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a row holds, or why it cannot be read.
pub(super) fn opened(row: &ConnectorRow, seal: &Seal) -> Result<ConnectorConfig, String> {
    let json = seal.open(&row.sealed, SealedPlace::connector(&row.name)).map_err(|error| error.to_string())?.text;
    let keys = super::config::ConfigKeys::from_json(json.expose().as_bytes()).map_err(|error| error.to_string())?;
    let config = ConnectorConfig::of(keys).map_err(|error| error.to_string())?;
    // Rows that changed places would send one instance's payments to another's gateway.
    if config.name == row.name { Ok(config) } else { Err(format!("it is that of `{}`", config.name)) }
}

/// What the store is told once a connector is configured.
const CONFIGURED_NOTE: &str = "connector configured";

/// The revision of a store where no connector ever was: every change of one counts it up.
const NEVER_CHANGED: i64 = 0;

/// Says what it means that there is no connector, if there is none.
pub fn warn_of_none(registry: &Registry) {
    if registry.is_stand_in() {
        tracing::warn!(
            "no connector is configured or stored; Default is a sandbox that approves published test numbers: no money moves"
        );
    } else if registry.is_empty() {
        tracing::warn!(
            "there is no connector; store one (touchtone connectors add) or configure it: payments end with 64004 until then"
        );
    } else if registry.instance(DEFAULT_NAME).is_none() {
        tracing::warn!("no connector is named Default; a <Pay> without paymentConnector ends with 64004");
    }
}

async fn follow(inner: Weak<Inner>, lost: Arc<Notify>, store: Store) {
    let mut is_failing = false;
    loop {
        // Whichever comes first.
        match select(Box::pin(sleep(LOOK_EVERY)), Box::pin(lost.notified())).await {
            Either::Left(_) | Either::Right(_) => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        match Registry(inner).refresh(&store).await {
            Ok(()) if is_failing => {
                tracing::info!("stored connectors are readable again");
                is_failing = false;
            }
            Ok(()) => {}
            Err(error) if is_failing => tracing::debug!(%error, "stored connectors are still unreadable"),
            Err(error) => {
                tracing::warn!(%error, "could not read stored connectors; keeping those known in use");
                is_failing = true;
            }
        }
    }
}

impl Instances {
    fn has_none(&self) -> bool {
        self.configured.is_empty() && self.stored.is_empty()
    }

    fn stand_in(&self) -> Option<&Arc<dyn Connector>> {
        self.stand_in.as_ref().filter(|_| self.has_none())
    }
}

impl Stored {
    /// The same with what is new in its row.
    fn told(mut self, row: ConnectorRow) -> Self {
        if let Ok(Readable { connector, .. }) = &self.found {
            match (connector.access(), row.withdrawn) {
                // Newer than the row: it is on its way there.
                (Access::Lost(_), None) => {}
                (Access::Granted, Some(since)) => {
                    tracing::warn!(connector = row.name, "another process found that a connector needs authorization");
                    connector.told(Access::Withdrawn(since));
                }
                (_, Some(since)) => connector.told(Access::Withdrawn(since)),
                (_, None) => connector.told(Access::Granted),
            }
        }
        self.row = row;
        self
    }

    fn shown(&self, name: &str) -> Instance {
        let ConnectorRow { withdrawn, created, updated, .. } = &self.row;
        let times = |instance: Instance| Instance { created: Some(*created), updated: Some(*updated), ..instance };
        times(match &self.found {
            Ok(Readable { connector, secrets }) => {
                let withdrawn = connector.access().since().or(*withdrawn);
                Instance { withdrawn, ..shown(name, &**connector, secrets, Origin::Stored) }
            }
            Err(fault) => Instance {
                name: name.to_owned(),
                kind: matches!(fault, UnusableInstance::LiveSandbox).then_some(sandbox::KIND.name),
                mode: matches!(fault, UnusableInstance::LiveSandbox).then_some(Mode::Live),
                origin: Origin::Stored,
                state: match fault {
                    UnusableInstance::Unreadable(_) => State::Unreadable,
                    UnusableInstance::LiveSandbox => State::Refused,
                },
                settings: BTreeMap::new(),
                secrets: BTreeMap::new(),
                fault: Some(fault.to_string()),
                withdrawn: None,
                created: None,
                updated: None,
            },
        })
    }
}

fn shown(name: &str, connector: &dyn Connector, secrets: &[&'static str], origin: Origin) -> Instance {
    let described = connector.describe();
    Instance {
        name: name.to_owned(),
        kind: Some(described.kind),
        mode: Some(described.mode),
        origin,
        state: State::Ready,
        settings: described.settings.into_iter().collect(),
        secrets: secrets.iter().map(|key| (*key, "set")).collect(),
        fault: None,
        withdrawn: None,
        created: None,
        updated: None,
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instances = self.list();
        f.debug_map().entries(instances.iter().map(|instance| (&instance.name, instance.kind.unwrap_or("?")))).finish()
    }
}
