//! Live calls: one task each, and the registry of all of them.
//!
//! Shape:   [`actor`] carries a call machine's actions out and brings the answers back as events; it decides nothing.
//!          [`Calls`] knows every call and reaches the live ones.
//! Limits:  every queue is bounded: the machine's type-ahead, the sound sent ahead ([`playback`]), the answers on their
//!          way to the actor, the callbacks of a call.
//! Errors:  a call that breaks down or is cut off ends alone, with a reason in the log.
//! Secrets: nothing a caller keys is logged, at any level.

use std::sync::Arc;

use crate::account::Account;
use crate::callback::{Application, Deliveries};
use crate::chance::Chance;
use crate::config::Config;
use crate::connector::Registry;
use crate::flow::link::PlainHttp;
use crate::http::Outbound;
use crate::library::Library;
use crate::speech::Speech;
use crate::store::Store;
use crate::wall::Wall;

pub mod actor;
pub mod beginning;
mod clock;
pub mod desk;
mod directory;
mod fetching;
mod gateway;
pub(crate) mod heartbeat;
pub mod history;
pub mod metrics;
pub mod playback;
mod questions;
pub mod recorder;
pub mod recovery;
mod registry;
mod render;
mod report;
mod sessions;
pub mod socket;
mod stream;
mod streams;
pub(crate) mod writable;

pub use registry::{COMMAND_LIMIT, COMMANDS_MAX, Calls, Command, CommandError, StreamPlace};
pub use streams::NotAdmitted;

/// The locks of `streams`. Its model test gives it others.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};
}

/// What every call needs of the house.
pub struct House {
    /// The configuration.
    pub config: Config,
    /// The account.
    pub account: Account,
    /// The flow documents.
    pub library: Library,
    /// The connectors.
    pub connectors: Registry,
    /// Speech.
    pub speech: Speech,
    /// The way out to the merchant's servers.
    pub outbound: Arc<Outbound>,
    /// The merchant's application.
    pub application: Arc<Application>,
    /// What outlives the process.
    pub store: Store,
    /// Payments whose outcome is being found out.
    pub searches: recovery::Searches,
    /// Callbacks on their way.
    pub deliveries: Deliveries,
    /// Where finished calls are written, if they are.
    pub recordings: Option<recorder::Recordings>,
    /// The calls.
    pub calls: Calls,
    /// What time it is.
    pub wall: Wall,
    /// Where sessions and idempotency tokens come from.
    pub chance: Chance,
    /// Which targets may be asked without TLS.
    pub plain_http: PlainHttp,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").field("account", &self.account).field("calls", &self.calls).finish_non_exhaustive()
    }
}
