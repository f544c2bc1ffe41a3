//! What a dialect is, as data: everything that the server, its description and the fuzzer need to know of it.
//!
//! Shape:   one static [`Dialect`] a platform, in its own file, and a line in [`super::DIALECTS`]. Whoever shows, finds or
//!          checks dialects reads that list; nobody else knows a dialect's name.
//! Sources: spec/media-streams.md, sections 0 and 9.

use std::fmt;

use super::MediaError;
use super::request::UpgradeRequest;
use super::session::MediaProtocol;
use crate::audio::format::Format;
use crate::pay::platform::Platform;

/// A media-stream protocol.
pub struct Dialect {
    /// Its name in `/media/{dialect}/{flow}`.
    pub name: &'static str,
    /// Whose it is, for people.
    pub platform: &'static str,
    /// Whose rules of `<Pay>` its calls follow.
    pub pay_rules: Platform,
    /// What its upgrades carry to show that they are the platform's.
    pub proof: Proof,
    /// The subprotocols of WebSocket that it is spoken under (RFC 6455, section 1.9). Of those that an upgrade offers, the
    /// first of these is taken; an upgrade that offers others only is refused. Empty: whatever is offered, none is taken.
    pub subprotocols: &'static [&'static str],
    /// What it may carry of the caller.
    pub hears: &'static [Format],
    /// What may be sent to the caller.
    pub sends: &'static [Format],
    /// Begins a stream. An upgrade that asks for what the dialect does not have is refused.
    pub open: fn(&UpgradeRequest<'_>) -> Result<Box<dyn MediaProtocol>, MediaError>,
}

/// What an upgrade has to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// `X-Twilio-Signature`.
    Signature,
    /// The configured secret.
    Secret,
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialect({})", self.name)
    }
}

impl PartialEq for Dialect {
    /// Names tell dialects apart.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Display for Dialect {
    /// What a person is told who may dial it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, platform, proof, hears, sends, .. } = self;
        let proof = match proof {
            Proof::Signature => "signs its upgrades",
            Proof::Secret => "carries the secret",
        };
        write!(f, "`{name}` is {platform}, which {proof}; in: {}; out: {}", Formats(hears), Formats(sends))
    }
}

/// Formats in words, as a list.
#[derive(Clone, Copy)]
pub(super) struct Formats(pub(super) &'static [Format]);

impl fmt::Display for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, format) in self.0.iter().enumerate() {
            let or = if place == 0 { "" } else { ", or " };
            write!(f, "{or}{format}")?;
        }
        Ok(())
    }
}
