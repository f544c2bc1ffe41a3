//! Messages without meaning for us: why they have none, and how many came.
//!
//! Shape:   [`Odd`] counts by kind; `Display` tells the counts in words fit for a log.
//! Limits:  [`ODD_MAX`].
//! Errors:  [`MediaError::TooManyOdd`].
//! Secrets: kinds only, never anything of a message.
//! Sources: spec/media-streams.md, section 10.8.

use std::collections::BTreeMap;
use std::fmt;

use super::MediaError;

/// How many odd messages a stream may bring (spec/media-streams.md, section 10.8).
pub const ODD_MAX: u32 = 100;

/// Why a message has no meaning for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// Nothing but blanks, or a byte order mark.
    Empty,
    /// A binary message in a dialect of text messages.
    Binary,
    /// Not JSON.
    NotJson,
    /// JSON that is no object, or has a value of another type than documented, or one twice.
    WrongShape,
    /// An object without an event.
    NoEvent,
    /// An event that this dialect does not have.
    UnknownEvent,
    /// Another greeting.
    RepeatedGreeting,
    /// Another `start` of the call that runs.
    RepeatedStart,
    /// An event of a running stream before its `start`.
    NotStarted,
    /// Of another stream or call than the one that started, and nothing that matters.
    OtherStream,
    /// Sound of another track than the caller's.
    OtherTrack,
    /// Sound that cannot be decoded.
    UndecodableSound,
    /// A key press that was delivered already: its sequence number is not above that of the key before.
    RepeatedKey,
    /// A key press that cannot be read, where no key was wanted.
    UnreadableKey,
    /// A mark without a name.
    NamelessMark,
    /// A mark whose name cannot be one of ours.
    ForeignMark,
    /// Sent after the stream's end.
    AfterStop,
}

impl Ignored {
    /// A short name in snake case: a label of a metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Binary => "binary",
            Self::NotJson => "not_json",
            Self::WrongShape => "wrong_shape",
            Self::NoEvent => "no_event",
            Self::UnknownEvent => "unknown_event",
            Self::RepeatedGreeting => "repeated_greeting",
            Self::RepeatedStart => "repeated_start",
            Self::NotStarted => "not_started",
            Self::OtherStream => "other_stream",
            Self::OtherTrack => "other_track",
            Self::UndecodableSound => "undecodable_sound",
            Self::RepeatedKey => "repeated_key",
            Self::UnreadableKey => "unreadable_key",
            Self::NamelessMark => "nameless_mark",
            Self::ForeignMark => "foreign_mark",
            Self::AfterStop => "after_stop",
        }
    }

    /// Whether the platform's manual knows no such message. Sound of other tracks comes fifty times a second where somebody
    /// asked for it, and after the end nothing matters.
    const fn is_odd(self) -> bool {
        !matches!(self, Self::OtherTrack | Self::AfterStop)
    }
}

/// The odd messages of a stream, counted.
#[derive(Clone, Debug, Default)]
pub struct Odd {
    counts: BTreeMap<&'static str, u32>,
    total: u32,
}

impl Odd {
    /// One more.
    ///
    /// # Errors
    /// [`MediaError::TooManyOdd`] above [`ODD_MAX`].
    pub(super) fn count(&mut self, why: Ignored) -> Result<(), MediaError> {
        if !why.is_odd() {
            return Ok(());
        }
        let count = self.counts.entry(why.name()).or_default();
        *count = count.saturating_add(1);
        self.total = self.total.saturating_add(1);
        if self.total > ODD_MAX { Err(MediaError::TooManyOdd) } else { Ok(()) }
    }

    /// How many.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.total
    }
}

impl fmt::Display for Odd {
    /// `40 binary, 60 no_event`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, count)) in self.counts.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {name}")?;
        }
        Ok(())
    }
}
