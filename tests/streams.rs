//! Media streams over a real socket: odd messages, floods, reconnects, paths and what `<Play>` may fetch.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

mod support;

#[path = "streams/flood.rs"]
mod flood;
#[path = "streams/odd.rs"]
mod odd;
#[path = "streams/paths.rs"]
mod paths;
#[path = "streams/play.rs"]
mod play;
#[path = "streams/reconnect.rs"]
mod reconnect;

const SILENT: &str = "[speech]\nengine = \"none\"";

const CARD: [&str; 4] = ["4242424242424242", "1228", "94111", "123"];

/// A document with one `<Pay>` whose requests go to `somebody`.
fn pay(somebody: &support::Somebody, attributes: &str) -> String {
    format!("<Response><Pay action=\"{}\" {attributes}/></Response>", somebody.url("/paid"))
}
