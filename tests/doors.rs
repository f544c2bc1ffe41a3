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

#[path = "doors/clients.rs"]
mod clients;
#[path = "doors/crowds.rs"]
mod crowds;
#[path = "doors/guessing.rs"]
mod guessing;
#[path = "doors/log.rs"]
mod log;
#[path = "doors/once.rs"]
mod once;
#[path = "doors/patience.rs"]
mod patience;
#[path = "doors/secrets.rs"]
mod secrets;
#[path = "doors/streams.rs"]
mod streams;

const SILENT: &str = "[speech]\nengine = \"none\"";
