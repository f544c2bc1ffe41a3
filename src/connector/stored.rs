//! Stored instances: added, changed, taken live and removed, by command and by REST alike.
//!
//! Shape:   [`ConnectorStore`] changes the store and has the registry see it at once; what an instance is then, it gives back. Every
//!          change is told by the audit trail, in the same transaction.
//! Errors:  [`ConnectorStoreError`], each of which says what to do.
//! Secrets: credentials go into the seal and never come out of here.
//! Sources: spec/pay.md, section 10; spec/interface.md, "Configuration".

use jiff::Timestamp;
use uuid::Uuid;

use super::config::{ConfigKeys, ConnectorConfig, ConnectorConfigError, is_alike};
use super::instance::{Instance, Origin};
use super::registry::{DEFAULT_NAME, Registry, opened};
use super::{Mode, audited};
use crate::store::audit::{Actor, AuditAction, ConnectorChange, NewAudit};
use crate::store::{Authorized, BackendError, ConnectorRow, SealedPlace, Store, StoreError};

#[cfg(test)]
mod tests;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorStoreError {
    /// There is one of that name already.
    #[error("there is a connector `{0}` already: choose another name, or remove that one first")]
    Exists(String),
    /// There is one whose name looks like it.
    #[error(
        "`{name}` looks like `{known}`, and a payment would go to the wrong one: choose a name that nobody can mistake"
    )]
    Alike {
        /// The name.
        name: String,
        /// The one that is there, or that a `<Pay>` without a name asks for.
        known: String,
    },
    /// One of that name is in the configuration.
    #[error(
        "the connector `{0}` is configured, and is changed in the configuration only (`[[connector]]` in its file)"
    )]
    Configured(String),
    /// There is none of that name.
    #[error("there is no connector `{name}`{}", hint.as_ref().map(|known| format!("; `{known}`, perhaps?")).unwrap_or_default())]
    Unknown {
        /// The name.
        name: String,
        /// One that is there and may have been meant.
        hint: Option<String>,
    },
    /// What is stored cannot be read.
    #[error("the stored connector `{name}` cannot be read: {fault}; remove it and add it anew")]
    Unreadable {
        /// The name.
        name: String,
        /// Why.
        fault: String,
    },
    /// Somebody else changed it between a look at it and this change.
    #[error("the connector `{0}` was changed by somebody else at this very moment: look at it, then try again")]
    Meanwhile(String),
    /// Authorization without a credential.
    #[error("the connector `{name}` is authorized with {}: give one", or(.keys))]
    NoCredential {
        /// The name.
        name: String,
        /// The secret keys of its kind.
        keys: Vec<&'static str>,
    },
    /// The name was live with another address, query or account.
    #[error(
        "the connector `{name}` was live as {kind} with {address}: payments that name it would go elsewhere (to another query or \
         account counts too); choose another name, or replace it on purpose (--replace; over REST: ?replace=true)"
    )]
    WasLive {
        /// The name.
        name: String,
        /// Its kind then.
        kind: String,
        /// Its address then, without query and credentials.
        address: String,
    },
    /// It would approve real cards that nobody charges.
    #[error(
        "the connector `{0}` would be a sandbox in mode live, which approves every card and charges none: not on a server \
         whose public_url is public"
    )]
    LiveSandbox(String),
    /// Its kind knows no credentials.
    #[error("the connector `{0}` is of a kind that takes no credentials")]
    NothingToAuthorize(String),
    /// The keys are wrong.
    #[error(transparent)]
    Config(#[from] ConnectorConfigError),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BackendError> for ConnectorStoreError {
    fn from(error: BackendError) -> Self {
        Self::Store(error.into())
    }
}

/// The stored instances.
#[derive(Clone, Copy, Debug)]
pub struct ConnectorStore<'a> {
    store: &'a Store,
    registry: &'a Registry,
    actor: &'a Actor,
}

/// Whether a new instance may take a name that was live with another address, query or account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// It may not: payments of callers who know the name would go elsewhere.
    No,
    /// It may; the audit trail says so.
    Yes,
}

impl<'a> ConnectorStore<'a> {
    /// Those of `store`, next to what `registry` has from the configuration, for `actor`, whose changes the audit trail
    /// tells.
    #[must_use]
    pub const fn new(store: &'a Store, registry: &'a Registry, actor: &'a Actor) -> Self {
        Self { store, registry, actor }
    }

    /// Every instance, configured or stored.
    ///
    /// # Errors
    /// [`ConnectorStoreError::Store`].
    pub async fn list(&self) -> Result<Vec<Instance>, ConnectorStoreError> {
        self.registry.refresh(self.store).await?;
        Ok(self.registry.list())
    }

    /// An instance, configured or stored.
    ///
    /// # Errors
    /// [`ConnectorStoreError::Unknown`], [`ConnectorStoreError::Store`].
    pub async fn show(&self, name: &str) -> Result<Instance, ConnectorStoreError> {
        self.registry.refresh(self.store).await?;
        self.registry.instance(name).ok_or_else(|| self.unknown(name))
    }

    /// Stores an instance.
    ///
    /// # Errors
    /// [`ConnectorStoreError::Config`]; [`ConnectorStoreError::LiveSandbox`]; [`ConnectorStoreError::Exists`] also where one of that name is
    /// configured; [`ConnectorStoreError::Alike`]; [`ConnectorStoreError::WasLive`] unless it may `replace` what was.
    pub async fn add(
        &self,
        keys: ConfigKeys,
        replace: Replace,
        now: Timestamp,
    ) -> Result<Instance, ConnectorStoreError> {
        let config = ConnectorConfig::of(keys)?;
        let name = &config.name;
        if self.registry.is_configured(name) {
            return Err(ConnectorStoreError::Exists(config.name));
        }
        self.refuse_live_sandbox(&config)?;
        self.registry.refresh(self.store).await?;
        if self.registry.instance(name).is_some_and(|known| known.origin == Origin::Stored) {
            return Err(ConnectorStoreError::Exists(config.name));
        }
        let others = self.registry.list().into_iter().map(|known| known.name).chain([DEFAULT_NAME.to_owned()]);
        if let Some(known) = others.into_iter().find(|known| is_alike(known, name)) {
            return Err(ConnectorStoreError::Alike { name: config.name, known });
        }
        // The address of a live one is fixed (spec/pay.md 10): removing it and storing the name anew must not get
        // around that.
        let was = audited::last_live(self.store.backend(), name).await?;
        let was = was.filter(|was| !was.is_same(&config, self.store.seal()));
        let (action, old_value) = match (was, replace) {
            (None, _) => (AuditAction::ConnectorAdded, None),
            (Some(was), Replace::No) => {
                return Err(ConnectorStoreError::WasLive { name: config.name, kind: was.kind, address: was.address });
            }
            (Some(was), Replace::Yes) => (AuditAction::ConnectorReplaced, Some(was.shown)),
        };
        let sealed =
            self.store.seal().close(&config.to_json(), SealedPlace::connector(name)).map_err(StoreError::from)?;
        let audit = self.audit(action, name, old_value, Some(self.shown(&config)));
        let change = ConnectorChange::Insert { sealed };
        match self.store.backend().change_connector(name, change, audit, now).await {
            // Another process was quicker than the look above.
            Err(BackendError::Duplicate) => Err(ConnectorStoreError::Exists(config.name)),
            Err(error) => Err(error.into()),
            Ok(()) => {
                tracing::info!(
                    connector = name,
                    connector_kind = config.kind().name,
                    mode = config.mode.word(),
                    "connector added"
                );
                self.show(name).await
            }
        }
    }

    /// Removes an instance. Payments that hold it go on with it.
    ///
    /// # Errors
    /// [`ConnectorStoreError::Unknown`]; [`ConnectorStoreError::Configured`] unless one of that name is stored too.
    pub async fn remove(&self, name: &str, now: Timestamp) -> Result<(), ConnectorStoreError> {
        let rows = self.store.backend().connectors().await?;
        let old_value = rows.iter().find(|row| row.name == name).map(|row| match opened(row, self.store.seal()) {
            Ok(config) => self.shown(&config),
            Err(fault) => audited::unreadable(&fault),
        });
        let audit = self.audit(AuditAction::ConnectorRemoved, name, old_value, None);
        match self.store.backend().change_connector(name, ConnectorChange::Remove, audit, now).await {
            Err(BackendError::NotFound) => Err(self.not_stored(name).await?),
            Err(error) => Err(error.into()),
            Ok(()) => {
                tracing::info!(connector = name, "connector removed");
                self.registry.refresh(self.store).await?;
                Ok(())
            }
        }
    }

    /// Takes an instance live, for good, with credentials for live payments where its kind has such. One that is live is
    /// left as it is, but for the keys that are given.
    ///
    /// # Errors
    /// [`ConnectorStoreError::Config`]: the credentials are for tests; [`ConnectorStoreError::LiveSandbox`].
    pub async fn live(&self, name: &str, keys: ConfigKeys, now: Timestamp) -> Result<Instance, ConnectorStoreError> {
        let (row, config) = self.stored(name).await?;
        if config.mode == Mode::Live && keys.is_empty() {
            return self.show(name).await;
        }
        let authorized = authorized(&config, &keys);
        // One that is live already is given other keys.
        let action = match config.mode {
            Mode::Test => AuditAction::ConnectorLive,
            Mode::Live => AuditAction::ConnectorChanged,
        };
        let instance = self.put(row, (&config, &config.live(keys)?), (action, authorized), now).await?;
        tracing::info!(connector = name, "connector is live");
        Ok(instance)
    }

    /// Authorizes an instance anew.
    ///
    /// # Errors
    /// [`ConnectorStoreError::NoCredential`]; [`ConnectorStoreError::Config`].
    pub async fn authorize(
        &self,
        name: &str,
        keys: ConfigKeys,
        now: Timestamp,
    ) -> Result<Instance, ConnectorStoreError> {
        let (row, config) = self.stored(name).await?;
        if authorized(&config, &keys) == Authorized::AsBefore {
            let secrets: Vec<&str> = config.kind().secrets().collect();
            let name = name.to_owned();
            return Err(match secrets.is_empty() {
                true => ConnectorStoreError::NothingToAuthorize(name),
                false => ConnectorStoreError::NoCredential { name, keys: secrets },
            });
        }
        let how = (AuditAction::ConnectorAuthorized, Authorized::Anew);
        let instance = self.put(row, (&config, &config.with(keys)?), how, now).await?;
        tracing::info!(connector = name, "connector authorized anew");
        Ok(instance)
    }

    /// Gives keys of an instance anew; a credential among them authorizes it anew.
    ///
    /// # Errors
    /// [`ConnectorStoreError::Config`]: a live instance's address stays, for one.
    pub async fn change(&self, name: &str, keys: ConfigKeys, now: Timestamp) -> Result<Instance, ConnectorStoreError> {
        let (row, config) = self.stored(name).await?;
        let how = (AuditAction::ConnectorChanged, authorized(&config, &keys));
        let instance = self.put(row, (&config, &config.with(keys)?), how, now).await?;
        tracing::info!(connector = name, "connector changed");
        Ok(instance)
    }

    async fn put(
        &self,
        row: ConnectorRow,
        (before, config): (&ConnectorConfig, &ConnectorConfig),
        (action, authorized): (AuditAction, Authorized),
        now: Timestamp,
    ) -> Result<Instance, ConnectorStoreError> {
        self.refuse_live_sandbox(config)?;
        let sealed =
            self.store.seal().close(&config.to_json(), SealedPlace::connector(&row.name)).map_err(StoreError::from)?;
        // Only over what was looked at: a change that came between is not overwritten.
        let change = ConnectorChange::Update { was: row.sealed, sealed, authorized };
        let audit = self.audit(action, &row.name, Some(self.shown(before)), Some(self.shown(config)));
        match self.store.backend().change_connector(&row.name, change, audit, now).await {
            Err(BackendError::NotFound) => Err(ConnectorStoreError::Meanwhile(row.name)),
            Err(error) => Err(error.into()),
            Ok(()) => self.show(&row.name).await,
        }
    }

    fn shown(&self, config: &ConnectorConfig) -> String {
        audited::shown(config, self.registry.describe(config), self.store.seal())
    }

    fn audit(&self, action: AuditAction, name: &str, old_value: Option<String>, new_value: Option<String>) -> NewAudit {
        let actor = self.actor.clone();
        NewAudit { token: Uuid::new_v4(), actor, action, target: audited::target(name), old_value, new_value }
    }

    fn refuse_live_sandbox(&self, config: &ConnectorConfig) -> Result<(), ConnectorStoreError> {
        match config.is_live_sandbox(self.registry.exposure()) {
            true => Err(ConnectorStoreError::LiveSandbox(config.name.clone())),
            false => Ok(()),
        }
    }

    /// A stored instance that may be changed.
    async fn stored(&self, name: &str) -> Result<(ConnectorRow, ConnectorConfig), ConnectorStoreError> {
        if self.registry.is_configured(name) {
            return Err(ConnectorStoreError::Configured(name.to_owned()));
        }
        // What the registry found out and the store does not know yet would be lost with the row.
        self.registry.refresh(self.store).await?;
        let rows = self.store.connectors().await?;
        let Some(row) = rows.into_iter().find(|row| row.name == name) else { return Err(self.unknown(name)) };
        match opened(&row, self.store.seal()) {
            Ok(config) => Ok((row, config)),
            Err(fault) => Err(ConnectorStoreError::Unreadable { name: name.to_owned(), fault }),
        }
    }

    async fn not_stored(&self, name: &str) -> Result<ConnectorStoreError, ConnectorStoreError> {
        self.registry.refresh(self.store).await?;
        Ok(match self.registry.is_configured(name) {
            true => ConnectorStoreError::Configured(name.to_owned()),
            false => self.unknown(name),
        })
    }

    fn unknown(&self, name: &str) -> ConnectorStoreError {
        let known = self.registry.list().into_iter().map(|instance| instance.name);
        let near = known.map(|known| (strsim::jaro_winkler(&known, name), known)).filter(|(alike, _)| *alike >= ALIKE);
        let hint = near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known);
        ConnectorStoreError::Unknown { name: name.to_owned(), hint }
    }
}

/// From where on two names are taken for slips of each other (Jaro-Winkler, 0 to 1). Our choice.
const ALIKE: f64 = 0.8;

/// Whether a credential is among the keys.
fn authorized(config: &ConnectorConfig, keys: &ConfigKeys) -> Authorized {
    match config.kind().secrets().any(|key| keys.has(key)) {
        true => Authorized::Anew,
        false => Authorized::AsBefore,
    }
}

fn or(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" or ")
}
