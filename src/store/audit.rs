//! The audit trail: who did what, to what, when, from where, and what it was before.
//!
//! Shape:   a row is written in the transaction of the change it tells of; rows are never changed, and nothing here deletes one.
//! Secrets: values are what is shown of a thing: which secrets are set, never one of them.
//! Sources: PCI DSS 4.0, requirement 10.2.2: what an audit log holds of each event.

use jiff::Timestamp;
use uuid::Uuid;

use crate::pay::step::words;
use crate::store::Authorized;

words! {
    /// What was done.
    AuditAction {
        /// A connector was stored.
        ConnectorAdded = "connector.add",
        /// A connector was stored under a name that was live with another address.
        ConnectorReplaced = "connector.replace",
        /// Keys of a connector were given anew.
        ConnectorChanged = "connector.change",
        /// A connector was given credentials anew.
        ConnectorAuthorized = "connector.authorize",
        /// A connector was taken live.
        ConnectorLive = "connector.live",
        /// A connector was removed.
        ConnectorRemoved = "connector.remove",
    }
}

/// Who does something, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// An account, an API key, or a user of the machine.
    pub name: String,
    /// An address, or the machine.
    pub origin: String,
}

/// What was done, to be written down.
#[derive(Clone, Debug)]
pub struct NewAudit {
    /// A row whose token is known already is not written again.
    pub token: Uuid,
    /// Who, and from where.
    pub actor: Actor,
    /// What.
    pub action: AuditAction,
    /// To what: its kind and its name, such as `connector Default`.
    pub target: String,
    /// What it was before, as JSON.
    pub old_value: Option<String>,
    /// What it is now, as JSON.
    pub new_value: Option<String>,
}

#[cfg(test)]
impl NewAudit {
    /// That a connector was added.
    pub(crate) fn of_tests(connector: &str) -> Self {
        Self {
            token: Uuid::new_v4(),
            actor: Actor { name: "a test".to_owned(), origin: "here".to_owned() },
            action: AuditAction::ConnectorAdded,
            target: format!("connector {connector}"),
            old_value: None,
            new_value: None,
        }
    }
}

/// What was done, as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// From where.
    pub origin: String,
    /// What: a word of [`AuditAction`], or one of a later version.
    pub action: String,
    /// To what.
    pub target: String,
    /// What it was before, as JSON.
    pub old_value: Option<String>,
    /// What it was afterwards, as JSON.
    pub new_value: Option<String>,
}

/// Which rows are wanted.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// About this alone.
    pub target: Option<String>,
    /// Before this place.
    pub before_id: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

/// What becomes of a stored connector.
#[derive(Clone, Debug)]
pub enum ConnectorChange {
    /// It is added. [`super::BackendError::Duplicate`] if there is one of that name.
    Insert {
        /// Its configuration.
        sealed: Vec<u8>,
    },
    /// Its configuration becomes another one; one that is authorized anew is no longer withdrawn. [`super::BackendError::NotFound`]
    /// if there is none, or it is neither the one nor the other: it was changed meanwhile.
    Update {
        /// The configuration it was made from.
        was: Vec<u8>,
        /// The new one.
        sealed: Vec<u8>,
        /// Whether it has new credentials.
        authorized: Authorized,
    },
    /// It is removed. [`super::BackendError::NotFound`] if there is none.
    Remove,
}
