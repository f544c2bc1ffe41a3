//! Who gets in, and what everybody is held to who connects: real sockets, and clients that are slow, huge or too many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]
#![allow(unreachable_pub, reason = "what files of one test share")]

mod support;

#[path = "access/clients.rs"]
mod clients;
#[path = "access/crowds.rs"]
mod crowds;
#[path = "access/guessing.rs"]
mod guessing;
#[path = "access/log.rs"]
mod log;
#[path = "access/once.rs"]
mod once;
#[path = "access/patience.rs"]
mod patience;
#[path = "access/secrets.rs"]
mod secrets;
#[path = "access/streams.rs"]
mod streams;

const SILENT: &str = "[speech]\nengine = \"none\"";
