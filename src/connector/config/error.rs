//! What is wrong with an instance's keys.

use crate::connector::Mode;

/// What is wrong with an instance's keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorConfigError {
    /// It has no usable name.
    #[error(
        "a connector needs a `name` of 1 to 64 characters, without `/`, without blanks at its ends, and without characters \
         that cannot be seen: control characters, those of no width, those that turn the direction of writing"
    )]
    Name,
    /// A needed key is not there.
    #[error("connector `{connector}`: `{key}` is missing")]
    Missing {
        /// The instance.
        connector: String,
        /// The key.
        key: &'static str,
    },
    /// A key that its kind does not have.
    #[error("connector `{connector}`: unknown key `{key}`; the nearest known one is `{nearest}`")]
    UnknownKey {
        /// The instance.
        connector: String,
        /// The key.
        key: String,
        /// What may have been meant.
        nearest: &'static str,
    },
    /// A value that is no text.
    #[error("connector `{connector}`: `{key}` is text in quotes, not {found}")]
    NotText {
        /// The instance.
        connector: String,
        /// The key.
        key: String,
        /// What kind of value is there.
        found: &'static str,
    },
    /// The keys are no table.
    #[error("the keys of a connector are a JSON object, such as {{\"name\": \"Shop\", \"kind\": \"sandbox\"}}{0}")]
    NoKeys(String),
    /// A key that stays as it is as long as the instance is there.
    #[error("connector `{connector}`: its `{key}` cannot be changed; add a new connector")]
    Settled {
        /// The instance.
        connector: String,
        /// The key.
        key: &'static str,
    },
    /// Where a live instance sends payments.
    #[error("connector `{connector}` is live, and going live fixed its `{key}` for good; add a new connector")]
    Fixed {
        /// The instance.
        connector: String,
        /// The key.
        key: &'static str,
    },
    /// A credential for the other mode.
    #[error(
        "connector `{connector}`: `{key}`: this is a {found} key, and the connector's mode is {mode}: nothing is sent"
    )]
    WrongMode {
        /// The instance.
        connector: String,
        /// The key.
        key: &'static str,
        /// The mode that the credential is for.
        found: Mode,
        /// The instance's.
        mode: Mode,
    },
    /// A value that cannot be.
    #[error("connector `{connector}`: `{key}`: {reason}")]
    Invalid {
        /// The instance.
        connector: String,
        /// The key.
        key: &'static str,
        /// What is allowed.
        reason: String,
    },
}
