//! What a gateway is, as data: everything that commands, REST, documentation and fuzzing need to know of it.
//!
//! Shape:   one static [`Kind`] a gateway, in its own folder, and a line in [`super::KINDS`]. Whoever shows, checks or
//!          describes connectors reads the kinds; nobody else knows a gateway's name.
//! Limits:  a kind has one address at most, and one set of keys that authenticates at a time.
//! Secrets: none here; which keys are secret is said here, and nowhere else.
//! Sources: spec/connectors.md, section 19.1.

use std::fmt;
use std::sync::Arc;

use super::config::{ConfigReader, ConnectorConfigError};
use super::{Connector, Description, Mode};
use crate::exposure::Exposure;
use crate::http::{Gateway, GatewayReply};
use crate::pay::gateway::{Capabilities, PaymentRequest, Preparation};
use crate::pay::test_numbers::AcceptedNumbers;

#[cfg(test)]
mod tests;

/// A kind of connector.
pub struct Kind {
    /// What `kind` says, and the label of its metrics.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub meaning: &'static str,
    /// What whoever sets one up has to know: Markdown, as README.md has it.
    pub documentation: &'static str,
    /// Its own keys, beside `name`, `kind` and `mode`.
    pub keys: &'static [KindKey],
    /// The sets of keys that authenticate. An instance has exactly one of them; an empty set is none at all.
    pub authentication: &'static [&'static [&'static str]],
    /// The key of where payments are sent; none: nowhere. Going live fixes it.
    pub address: Option<&'static str>,
    /// Whether approvals move money. Where they do not, it is not live where real callers come in.
    pub moves_money: bool,
    /// Which numbers may reach the gateway in mode test. In mode live all may.
    pub test_numbers: AcceptedNumbers,
    /// What an instance can do, unless its keys narrow that.
    pub capabilities: fn(Mode) -> Capabilities,
    /// Reads and checks the keys.
    pub read: fn(&mut ConfigReader<'_>) -> Result<Arc<dyn KindSettings>, ConnectorConfigError>,
    /// The keys of an instance in mode test, made up.
    pub example: &'static [(&'static str, &'static str)],
    /// What every reader of the gateway's replies makes of one, under the reader's name.
    pub readings: fn(&GatewayReply, &PaymentRequest) -> Vec<(&'static str, Preparation)>,
    /// Replies as the gateway gives them.
    pub samples: &'static [Sample],
}

/// The checked settings of an instance of one kind.
pub trait KindSettings: fmt::Debug + Send + Sync {
    /// Makes the connector.
    fn build(&self, from: Build<'_>) -> Arc<dyn Connector>;

    /// Whose account at the gateway it is, where its keys say that: the same address with another one is another place.
    fn account(&self) -> Option<&str> {
        None
    }
}

/// What a connector is made of, beside its settings.
#[derive(Debug)]
pub struct Build<'a> {
    /// The instance's mode.
    pub mode: Mode,
    /// The way to its gateway.
    pub gateway: &'a Arc<Gateway>,
    /// Who can reach the server.
    pub exposure: Exposure,
    /// What the keys say of the instance.
    pub description: Description,
}

/// A reply of a gateway, for the fuzzer to begin with.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Who reads it: one of the names of [`Kind::readings`].
    pub reader: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: &'static str,
}

/// A key of a kind.
#[derive(Clone, Copy, Debug)]
pub struct KindKey {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub shape: ValueShape,
    /// What it is for, in a sentence.
    pub meaning: &'static str,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Whether there is no instance without it.
    pub required: bool,
    /// What it is when it is not given.
    pub default: KeyDefault,
    /// Whether it is another one in each mode, so that going live asks for it.
    pub per_mode: bool,
}

/// What the values of a key are.
#[derive(Clone, Copy, Debug)]
pub enum ValueShape {
    /// Text; where not any will do, the pattern that the description gives for it.
    Text(Option<&'static str>),
    /// Text that tells which mode it is for.
    TextOfMode {
        /// The pattern of either.
        pattern: &'static str,
        /// That of mode test.
        test: &'static str,
        /// That of mode live.
        live: &'static str,
    },
    /// An [`Endpoint`](crate::http::Endpoint).
    Address {
        /// Whether it may have a query.
        query: bool,
    },
    /// A whole number, from and to.
    Whole(u8, u8),
    /// True or false.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these numbers.
    Some(&'static [u16]),
}

/// What a key is when it is not given.
#[derive(Clone, Copy, Debug)]
pub enum KeyDefault {
    /// Nothing.
    None,
    /// This. It is stored with the instance, which a later default does not change.
    Always(&'static str),
    /// Another value in each mode, for addresses. It is not stored: going live changes it.
    PerMode {
        /// In mode test.
        test: &'static str,
        /// In mode live.
        live: &'static str,
    },
}

impl KindKey {
    /// One that is neither secret nor required and has no default.
    #[must_use]
    pub const fn new(name: &'static str, shape: ValueShape, meaning: &'static str) -> Self {
        let default = KeyDefault::None;
        Self { name, shape, meaning, secret: false, required: false, default, per_mode: false }
    }

    /// Its value is never shown.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// There is no instance without it.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// It is this when it is not given.
    #[must_use]
    pub const fn default(self, default: &'static str) -> Self {
        Self { default: KeyDefault::Always(default), ..self }
    }

    /// It is one of these, by the mode, when it is not given.
    #[must_use]
    pub const fn defaults(self, test: &'static str, live: &'static str) -> Self {
        Self { default: KeyDefault::PerMode { test, live }, ..self }
    }

    /// It is another one in each mode.
    #[must_use]
    pub const fn per_mode(self) -> Self {
        Self { per_mode: true, ..self }
    }
}

impl KeyDefault {
    /// What it is in a mode.
    #[must_use]
    pub const fn of(self, mode: Mode) -> Option<&'static str> {
        match (self, mode) {
            (Self::None, _) => None,
            (Self::Always(value), _)
            | (Self::PerMode { test: value, .. }, Mode::Test)
            | (Self::PerMode { live: value, .. }, Mode::Live) => Some(value),
        }
    }

    /// As it is shown.
    #[must_use]
    pub fn shown(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Always(value) => Some(value.to_owned()),
            Self::PerMode { test, live } => Some(format!("{test} (mode test), {live} (mode live)")),
        }
    }
}

impl Kind {
    /// Its key of that name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static KindKey> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Its secret keys.
    pub fn secrets(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.keys.iter().filter(|key| key.secret).map(|key| key.name)
    }

    /// The keys of all its sets that authenticate, each once.
    #[must_use]
    pub fn credentials(&self) -> Vec<&'static str> {
        let all = || self.authentication.iter().flat_map(|set| set.iter().copied());
        let mut once = Vec::new();
        for key in all() {
            if !once.contains(&key) {
                once.push(key);
            }
        }
        once
    }

    /// Which numbers may reach the gateway.
    #[must_use]
    pub const fn accepted_numbers(&self, mode: Mode) -> AcceptedNumbers {
        match mode {
            Mode::Test => self.test_numbers,
            Mode::Live => AcceptedNumbers::Any,
        }
    }

    /// The secrets that are still to be given so that a set of keys is whole, where `given` says which keys there are:
    /// those of the first set that they fit into.
    pub fn secrets_to_ask_for(&self, given: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let credentials = self.credentials();
        let is_secret = |name: &str| self.key(name).is_some_and(|key| key.secret);
        let fits = |set: &&&[&'static str]| {
            let none_besides = credentials.iter().all(|key| !given(key) || set.contains(key));
            none_besides && set.iter().all(|key| is_secret(key) || given(key))
        };
        let set = self.authentication.iter().find(fits).copied().unwrap_or_default();
        set.iter().copied().filter(|key| is_secret(key) && !given(key)).collect()
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({})", self.name)
    }
}
