//! The connector instances by name.
//!
//! Shape:   shared by every call; instances come and go while the server runs.
//! Errors:  [`RegistryError`]: a name twice. A name that is not there is `None`: nothing falls back on `Default`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::sandbox::Sandbox;
use super::{Connector, ConnectorConfig, Mode};
use crate::http::Gateway;

/// The name that a `<Pay>` without `paymentConnector` asks for.
pub const DEFAULT_NAME: &str = "Default";

/// Why an instance was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// There is one of that name.
    #[error("there are two connectors named `{0}`")]
    Duplicate(String),
}

/// The instances there are.
#[derive(Default)]
pub struct Registry(RwLock<BTreeMap<String, Arc<dyn Connector>>>);

impl Registry {
    /// The configured instances; none when nothing is configured.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn new<'a>(
        configs: impl IntoIterator<Item = &'a ConnectorConfig>,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, RegistryError> {
        let registry = Self::default();
        for config in configs {
            registry.insert(&config.name, config.build(gateway))?;
        }
        Ok(registry)
    }

    /// One instance, `Default`, of the kind that moves no money: for a server where nothing is configured or stored.
    #[must_use]
    pub fn sandbox() -> Self {
        let sandbox: Arc<dyn Connector> = Arc::new(Sandbox::new(Mode::Test));
        Self(RwLock::new(BTreeMap::from([(DEFAULT_NAME.to_owned(), sandbox)])))
    }

    /// Adds an instance.
    ///
    /// # Errors
    /// When there is one of that name; it stays.
    pub fn insert(&self, name: &str, connector: Arc<dyn Connector>) -> Result<(), RegistryError> {
        let mut instances = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if instances.contains_key(name) {
            return Err(RegistryError::Duplicate(name.to_owned()));
        }
        instances.insert(name.to_owned(), connector);
        Ok(())
    }

    /// Takes an instance out; payments that hold it go on with it.
    pub fn remove(&self, name: &str) -> Option<Arc<dyn Connector>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// The instance of exactly that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<dyn Connector>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every instance, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Arc<dyn Connector>)> {
        let instances = self.0.read().unwrap_or_else(PoisonError::into_inner);
        instances.iter().map(|(name, connector)| (name.clone(), Arc::clone(connector))).collect()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instances = self.list();
        f.debug_map().entries(instances.iter().map(|(name, connector)| (name, connector.describe().kind))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> ConnectorConfig {
        serde_json::from_str(&format!(r#"{{"name":"{name}","kind":"sandbox"}}"#)).unwrap()
    }

    #[test]
    fn a_name_is_found_exactly_and_nothing_falls_back_on_the_default() {
        let gateway = Arc::new(Gateway::new().unwrap());
        let registry = Registry::new(&[config("Default"), config("Stripe_ProdLive")], &gateway).unwrap();
        assert!(registry.find("Default").is_some() && registry.find("Stripe_ProdLive").is_some());
        for name in ["default", "Stripe", "Stripe_ProdLive ", ""] {
            assert!(registry.find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_name_belongs_to_one_instance() {
        let gateway = Arc::new(Gateway::new().unwrap());
        let twice = Registry::new(&[config("Shop"), config("Shop")], &gateway);
        assert_eq!(twice.err(), Some(RegistryError::Duplicate("Shop".into())));
        let registry = Registry::new(&[], &gateway).unwrap();
        assert!(registry.find("Default").is_none());
        let connector = config("Shop").build(&gateway);
        registry.insert("Shop", Arc::clone(&connector)).unwrap();
        assert!(registry.insert("Shop", connector).is_err());
        assert!(registry.remove("Shop").is_some());
        assert!(registry.find("Shop").is_none());
    }

    #[test]
    fn the_stand_in_is_a_default_of_kind_sandbox() {
        assert_eq!(format!("{:?}", Registry::sandbox()), r#"{"Default": "sandbox"}"#);
    }
}
