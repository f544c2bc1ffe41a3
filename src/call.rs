//! Live calls: one task each, and the registry of all of them.
//!
//! Shape:   [`actor`] carries a call machine's actions out and brings the answers back as events; it decides nothing.
//!          [`Calls`] knows every call and reaches the live ones.
//! Limits:  every queue is bounded: the machine's type-ahead, the sound sent ahead ([`playback`]), the answers on their
//!          way to the actor, the callbacks of a call.
//! Errors:  a call that breaks down or is cut off ends alone, with a reason in the log.
//! Secrets: nothing a caller keys is logged, at any level.

pub mod actor;
mod answered;
pub mod beginning;
mod clock;
pub mod command;
mod context;
mod directory;
mod fetching;
mod gateway;
pub(crate) mod heartbeat;
pub mod history;
pub mod idempotency;
pub mod metrics;
mod place;
pub mod playback;
mod progress;
mod questions;
pub mod recorder;
pub mod recovery;
mod registry;
mod render;
mod report;
mod row;
mod search;
pub mod searches;
pub mod services;
mod sessions;
pub mod socket;
mod stream;
mod streams;
pub(crate) mod writable;

pub use command::{Answer, Command};
pub use directory::Directory;
pub use place::StreamPlace;
pub use registry::{COMMAND_LIMIT, COMMANDS_MAX, Calls, CommandError};
pub use searches::Searches;
pub use services::{CallServices, CallSettings, DocumentServices, PaymentServices, SoundServices};
pub use streams::NotAdmitted;

/// The locks of `streams`. Its model test gives it others.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};
}
