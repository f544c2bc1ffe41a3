//! Why a database did not do it, and in whose name things are done there.

use uuid::Uuid;

/// Why a database did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// It cannot be reached, is full, or broke off; whether it was done is not known, so repeat it as it was.
    #[error("not usable now: {0}")]
    Unavailable(String),
    /// What is stored is not what this version writes, as of a later one; to repeat it does not help.
    #[error("what is stored cannot be read: {0}")]
    Unreadable(String),
    /// There is a row of that name.
    #[error("there is one of that name")]
    Duplicate,
    /// There is no such row, or it is not in a state for that.
    #[error("there is no such entry")]
    NotFound,
}

/// One run of a server, from its start to its end: whose a row is. Random and never used again, so that it is a fence too:
/// what a write in its name finds changed, somebody else has taken over since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub Uuid);

impl NodeId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// In whose name the same run holds what it has taken over from others. Kept apart from what its own calls wrote: after
    /// a claim whose answer was lost, it says what the claim took.
    #[must_use]
    pub fn keeper(self) -> Self {
        Self(Uuid::new_v5(&self.0, b"keeper"))
    }
}
