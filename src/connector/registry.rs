//! The connector instances by name: those of the configuration, those of the store, and the stand-in.
//!
//! Shape:   shared by every call, cheap to clone; [`Registry::refresh`] brings it up to date with the store, and
//!          [`Registry::follow`] does so as long as the registry is there.
//! Units:   a change in the store is seen after [`LOOK_EVERY`] at the latest.
//! Errors:  [`RegistryError`]: a name twice. A name that is not there is `None`: nothing falls back on `Default`. What is
//!          stored and cannot be read is a warning; the other instances work.
//! Secrets: what is opened here becomes a connector's settings at once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;

use super::instance::{Instance, Origin, State};
use super::sandbox::Sandbox;
use super::watched::{Access, Keeper, Watched};
use super::{Connector, ConnectorConfig, Mode};
use crate::http::Gateway;
use crate::store::{ConnectorRow, Seal, Store, StoreError};
use crate::wall::Wall;

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
    /// The same name is configured and stored.
    #[error(
        "the connector `{0}` is both configured and stored: rename it in the configuration, or remove the stored one with \
         `touchtone connectors remove {0}`"
    )]
    ConfiguredAndStored(String),
}

/// The instances there are. Clones are one.
#[derive(Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    instances: RwLock<Instances>,
    gateway: Option<Arc<Gateway>>,
    wall: Wall,
    /// The store's revision that `instances` shows; held while they are brought up to date.
    revision: Mutex<Option<i64>>,
    /// A stored instance lost its authorization.
    lost: Arc<Notify>,
}

#[derive(Default)]
struct Instances {
    /// Configured, or added by whoever embeds the server.
    configured: BTreeMap<String, Readable>,
    stored: BTreeMap<String, Shelved>,
    /// What `Default` is while there is nothing else.
    stand_in: Option<Arc<dyn Connector>>,
}

/// An instance of the store.
struct Shelved {
    row: ConnectorRow,
    found: Result<Readable, String>,
}

struct Readable {
    connector: Arc<Watched>,
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
        Self::of(configs, gateway, Wall::System)
    }

    fn of<'a>(
        configs: impl IntoIterator<Item = &'a ConnectorConfig>,
        gateway: &Arc<Gateway>,
        wall: Wall,
    ) -> Result<Self, RegistryError> {
        let registry = Self(Arc::new(Inner { gateway: Some(Arc::clone(gateway)), wall, ..Inner::default() }));
        for config in configs {
            registry.put(&config.name, config.build(gateway), config.secrets())?;
        }
        Ok(registry)
    }

    /// As [`Self::new`]; while nothing is configured or stored there is a `Default` of the kind that moves no money.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn with_stand_in<'a>(
        configs: impl IntoIterator<Item = &'a ConnectorConfig>,
        gateway: &Arc<Gateway>,
        wall: Wall,
    ) -> Result<Self, RegistryError> {
        let registry = Self::of(configs, gateway, wall)?;
        registry.write().stand_in = Some(Arc::new(Sandbox::new(Mode::Test)));
        Ok(registry)
    }

    /// One instance, `Default`, of the kind that moves no money: where nothing is configured and there is no store.
    #[must_use]
    pub fn sandbox() -> Self {
        let registry = Self::default();
        registry.write().stand_in = Some(Arc::new(Sandbox::new(Mode::Test)));
        registry
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
        let connector = Arc::new(Watched::new(name, connector, Keeper::Configuration, self.0.wall));
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
            Some(Shelved { found: Ok(found), .. }) => Some(Arc::clone(&found.connector) as Arc<dyn Connector>),
            Some(Shelved { found: Err(_), .. }) => None,
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
        let stored =
            instances.stored.iter().filter(|(name, _)| !hidden(name)).map(|(name, shelved)| shelved.shown(name));
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

    /// Whether payments go to the stand-in: nothing is configured or stored.
    #[must_use]
    pub fn is_stand_in(&self) -> bool {
        self.read().stand_in().is_some()
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

    /// Tells the store which instances lost their authorization, and takes in what was changed there. Instances that did
    /// not change stay the same, and payments that hold one go on with it.
    ///
    /// # Errors
    /// [`StoreError`]: the instances stay as they are.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        // Held all the time: of two that refresh, the later one must not be undone by the earlier.
        let mut seen = self.0.revision.lock().await;
        for (name, sealed, connector) in self.lost() {
            if let Access::Lost(since) = connector.access() {
                store.backend().mark_withdrawn(&name, &sealed, since).await?;
                connector.written(since);
            }
        }
        // First the revision, then the rows: what changes between is seen again, not missed.
        let revision = store.backend().connectors_revision().await?;
        if *seen != Some(revision) {
            let rows = store.backend().connectors().await?;
            self.take(rows, store.seal());
            *seen = Some(revision);
        }
        Ok(())
    }

    /// Refreshes until the registry is gone, which this does not keep there. What goes wrong is logged once, and tried
    /// again.
    pub fn follow(&self, store: Store) -> impl Future<Output = ()> + Send + 'static {
        follow(Arc::downgrade(&self.0), Arc::clone(&self.0.lost), store)
    }

    /// Stored instances whose loss is not written down.
    fn lost(&self) -> Vec<(String, Vec<u8>, Arc<Watched>)> {
        let instances = self.read();
        let readable = instances.stored.iter().filter_map(|(name, shelved)| {
            let connector = Arc::clone(&shelved.found.as_ref().ok()?.connector);
            Some((name.clone(), shelved.row.sealed.clone(), connector))
        });
        readable.filter(|(_, _, connector)| matches!(connector.access(), Access::Lost(_))).collect()
    }

    /// Takes the rows in.
    fn take(&self, rows: Vec<ConnectorRow>, seal: &Seal) {
        let mut instances = self.write();
        let stood_in = instances.stand_in().is_some();
        let mut before = std::mem::take(&mut instances.stored);
        for row in rows {
            let name = row.name.clone();
            let shelved = match before.remove(&name) {
                // The same bytes are the same instance: every sealing differs.
                Some(known) if known.row.sealed == row.sealed => known.told(row),
                _ => self.open(row, seal),
            };
            if instances.configured.contains_key(&name) {
                tracing::warn!("the stored connector `{name}` is not used: one of that name is configured");
            }
            instances.stored.insert(name, shelved);
        }
        if stood_in && instances.stand_in().is_none() {
            tracing::info!("a connector is stored: Default is no longer a sandbox that stands in");
        } else if !stood_in && instances.stand_in().is_some() {
            warn_of_stand_in();
        }
    }

    /// Makes an instance of what is stored.
    fn open(&self, row: ConnectorRow, seal: &Seal) -> Shelved {
        let found =
            self.0.gateway.as_ref().ok_or_else(|| "there is no way out to gateways".to_owned()).and_then(|gateway| {
                let config = opened(&row, seal)?;
                let keeper = Keeper::Store(Arc::clone(&self.0.lost));
                let connector = Arc::new(Watched::new(&row.name, config.build(gateway), keeper, self.0.wall));
                connector.told(row.withdrawn.map_or(Access::Granted, Access::Withdrawn));
                Ok(Readable { connector, secrets: config.secrets() })
            });
        if let Err(fault) = &found {
            tracing::warn!("the stored connector `{}` cannot be used: {fault}", row.name);
        }
        Shelved { row, found }
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
    let json = seal.open(&row.sealed).map_err(|error| error.to_string())?;
    let keys = super::config::Keys::from_json(json.expose().as_bytes()).map_err(|error| error.to_string())?;
    let config = ConnectorConfig::of(keys).map_err(|error| error.to_string())?;
    // Rows that changed places would send one instance's payments to another's gateway.
    if config.name == row.name { Ok(config) } else { Err(format!("it is that of `{}`", config.name)) }
}

/// Says what the stand-in means.
pub fn warn_of_stand_in() {
    tracing::warn!(
        "no connector is configured or stored: Default is a sandbox, which approves test payments; no money moves"
    );
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
                tracing::info!("the stored connectors can be read again");
                is_failing = false;
            }
            Ok(()) => {}
            Err(error) if is_failing => tracing::debug!(%error, "the stored connectors still cannot be read"),
            Err(error) => {
                tracing::warn!(%error, "the stored connectors cannot be read; those known stay in use");
                is_failing = true;
            }
        }
    }
}

impl Instances {
    fn stand_in(&self) -> Option<&Arc<dyn Connector>> {
        self.stand_in.as_ref().filter(|_| self.configured.is_empty() && self.stored.is_empty())
    }
}

impl Shelved {
    /// The same with what is new in its row.
    fn told(mut self, row: ConnectorRow) -> Self {
        if let Ok(Readable { connector, .. }) = &self.found {
            match (connector.access(), row.withdrawn) {
                // Newer than the row: it is on its way there.
                (Access::Lost(_), None) => {}
                (Access::Granted, Some(since)) => {
                    tracing::warn!("connector `{}` needs authorization, as another process found out", row.name);
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
                kind: None,
                mode: None,
                origin: Origin::Stored,
                state: State::Unreadable,
                settings: BTreeMap::new(),
                secrets: BTreeMap::new(),
                fault: Some(fault.clone()),
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
