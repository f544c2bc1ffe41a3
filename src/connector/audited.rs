//! What the audit trail says of connectors, and what follows from it.
//!
//! Shape:   [`shown`] is what a row holds of an instance; [`last_live`] is what a name stood for when it was last live.
//! Secrets: which secret keys are set, never a value; an address without its query and credentials, and a keyed hash of all of
//!          it, by which two are told apart.

use serde_json::{Value, json};

use super::{ConnectorConfig, Description, Mode};
use crate::store::audit::{AuditFilter, AuditRow};
use crate::store::{Backend, BackendError, PAGE_MAX, Seal};

/// What a row is about.
pub(crate) fn target(name: &str) -> String {
    format!("connector {name}")
}

/// An instance as a row holds it.
pub(super) fn shown(config: &ConnectorConfig, described: Option<Description>, seal: &Seal) -> String {
    let settings = described.map(|described| described.settings).unwrap_or_default();
    let settings: serde_json::Map<String, Value> =
        settings.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let shown = json!({
        "kind": config.kind().name,
        "mode": config.mode.word(),
        "address": config.shown_address(),
        "destination": destination(config, seal),
        "settings": settings,
        "secrets": config.secrets(),
    });
    shown.to_string()
}

/// What tells where an instance sends payments from wherever else: its whole address, and the account there.
fn destination(config: &ConnectorConfig, seal: &Seal) -> Option<String> {
    config.destination().map(|destination| seal.fingerprint(&destination))
}

/// One that cannot be read, as a row holds it.
pub(super) fn unreadable(fault: &str) -> String {
    json!({ "unreadable": fault }).to_string()
}

/// Where payments of a name went when it was last live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WasLive {
    pub(super) kind: String,
    pub(super) address: String,
    /// A keyed hash of the whole of it. Rows of versions before 0.2 have none.
    destination: Option<String>,
    /// The instance, as its row holds it.
    pub(super) shown: String,
}

impl WasLive {
    /// Of what a row holds. A sandbox sends payments nowhere.
    fn read(shown: Option<&str>) -> Option<Self> {
        let shown = shown?;
        let value: Value = serde_json::from_str(shown).ok()?;
        let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
        let (mode, kind, address) = (text("mode")?, text("kind")?, text("address")?);
        let destination = text("destination");
        (Mode::parse(&mode) == Some(Mode::Live)).then(|| Self { kind, address, destination, shown: shown.to_owned() })
    }

    /// Whether an instance would send payments to where they went then.
    pub(super) fn is_same(&self, config: &ConnectorConfig, seal: &Seal) -> bool {
        let goes_there = match &self.destination {
            Some(known) => destination(config, seal).as_ref() == Some(known),
            // Nobody knows what query it had.
            None => config.shown_address().as_deref() == Some(&self.address) && !config.has_query(),
        };
        self.kind == config.kind().name && goes_there
    }
}

/// What a name stood for when it was last live, as far as the trail goes back.
///
/// # Errors
/// [`BackendError`].
pub(super) async fn last_live(backend: &dyn Backend, name: &str) -> Result<Option<WasLive>, BackendError> {
    let mut before_id = None;
    loop {
        let filter = AuditFilter { target: Some(target(name)), before_id, limit: PAGE_MAX };
        let rows = backend.audit(filter).await?;
        let live = |row: &AuditRow| {
            // One that was removed is in the old value alone.
            WasLive::read(row.new_value.as_deref()).or_else(|| WasLive::read(row.old_value.as_deref()))
        };
        if let Some(live) = rows.iter().find_map(live) {
            return Ok(Some(live));
        }
        match rows.last() {
            Some(last) if rows.len() >= usize::try_from(PAGE_MAX).unwrap_or(usize::MAX) => before_id = Some(last.id),
            _ => return Ok(None),
        }
    }
}
