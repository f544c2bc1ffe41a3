//! The keys of a call on their way to whoever listens: type-ahead, bursts, and the `#` that belongs to a field that
//! is already complete.
//!
//! Shape:   one [`Keypad`] a call; it outlives verbs, so that nothing typed between two of them is lost.
//! Units:   `CallTime`.
//! Limits:  [`KEPT_MAX`] keys kept while nobody listens, and a few more that a field puts back; what comes after them is
//!          dropped and told. Where keys went is
//!          written down only if somebody asks for it, and of the first [`NOTED_MAX`] keys.
//! Secrets: holds keys, whose `Debug` is masked.
//! Sources: spec/pay.md, section 3, "Keys".

use std::collections::VecDeque;
use std::time::Duration;

use super::field::Field;
use crate::time::CallTime;
use crate::tone::Key;

/// How many keys wait for the next Gather or Pay at most.
// The specification's number (spec/pay.md 3).
pub const KEPT_MAX: usize = 64;

/// Keys that follow one another faster than this belong to one burst.
// The specification's number (spec/pay.md 3).
const BURST_GAP: Duration = Duration::from_millis(250);

/// Of how many keys it is noted where they went.
pub const NOTED_MAX: usize = 4096;

/// The keys of one call.
#[derive(Debug, Default)]
pub struct Keypad {
    kept: VecDeque<KeptKey>,
    after: AfterEntry,
    dropped: u32,
    ledger: Option<Ledger>,
}

/// A key that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptKey {
    pressed: CallTime,
    key: Key,
    /// Its number in the ledger.
    number: usize,
}

/// Where a key went, for whoever writes a call down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere: ignored, dropped, the rest of a failed burst, or never asked for.
    #[default]
    Nowhere,
    /// Into an entry of a field.
    Field {
        /// The field.
        field: Field,
        /// The entry: each try has a number of its own.
        entry: u32,
    },
    /// Into what a `<Gather>` collects.
    Gather {
        /// The entry.
        entry: u32,
        /// The key that would have finished it.
        finish: Option<Key>,
    },
    /// It was an answer itself: to a confirmation, or the end of an entry.
    Answer,
}

/// What is noted of the keys of a call.
#[derive(Debug, Default)]
struct Ledger {
    destinations: Vec<Destination>,
    /// The number of the key that is being dealt with.
    current: usize,
    entries: u32,
}

/// What the next key may run into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AfterEntry {
    /// Nothing.
    #[default]
    Ordinary,
    /// A field completed by itself: this very key, if it is `#`, belongs to it.
    Completion,
    /// A field failed on a key pressed then: what follows in its burst goes with it.
    Failure { last_key: CallTime, by_itself: bool },
}

/// What becomes of a key before anyone sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is input.
    Input,
    /// It belongs to a field that is over.
    Spent,
}

/// How a field came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// By its length (or by the short wait that stands for it).
    Itself,
    /// By `#`.
    Pound,
    /// By a timer.
    Timer,
}

impl Keypad {
    /// No keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on notes where keys go.
    pub fn note_destinations(&mut self) {
        self.ledger.get_or_insert_default();
    }

    /// Where each key went that was pressed since [`Self::note_destinations`], in order.
    #[must_use]
    pub fn destinations(&self) -> &[Destination] {
        self.ledger.as_ref().map(|ledger| ledger.destinations.as_slice()).unwrap_or_default()
    }

    /// A key was pressed: what is noted next is about it.
    pub fn pressed(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            // Beyond `NOTED_MAX` it names no place, so that nothing more is noted.
            ledger.current = ledger.destinations.len();
            if ledger.current < NOTED_MAX {
                ledger.destinations.push(Destination::Nowhere);
            }
        }
    }

    /// The key at hand went into an entry; `first`: it is the entry's first one. `make` is given the entry's number.
    pub fn entered(&mut self, first: bool, make: impl FnOnce(u32) -> Destination) {
        if let Some(ledger) = &mut self.ledger {
            ledger.entries = ledger.entries.saturating_add(u32::from(first));
            let destination = make(ledger.entries);
            ledger.note(destination);
        }
    }

    /// The key at hand was an answer itself.
    pub fn answered(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.note(Destination::Answer);
        }
    }

    /// Keeps a key for whoever listens next. With [`KEPT_MAX`] waiting already it is dropped, which
    /// [`Self::take_dropped`] tells.
    pub fn keep(&mut self, pressed: CallTime, key: Key) {
        if self.kept.len() < KEPT_MAX {
            let number = self.ledger.as_ref().map_or(0, |ledger| ledger.current);
            self.kept.push_back(KeptKey { pressed, key, number });
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The key at hand, to be put back.
    pub(super) fn at_hand(&self, pressed: CallTime, key: Key) -> KeptKey {
        KeptKey { pressed, key, number: self.ledger.as_ref().map_or(0, |ledger| ledger.current) }
    }

    /// Keys that were taken, in order, and turn out to be the next listener's: they come before those that wait.
    pub(super) fn put_back(&mut self, keys: impl DoubleEndedIterator<Item = KeptKey>) {
        for kept in keys.rev() {
            if let Some(place) = self.ledger.as_mut().and_then(|ledger| ledger.destinations.get_mut(kept.number)) {
                // Whoever takes the key again notes where it goes then.
                *place = Destination::Nowhere;
            }
            self.kept.push_front(kept);
        }
    }

    /// How many keys were dropped since this was last asked.
    pub fn take_dropped(&mut self) -> u32 {
        std::mem::take(&mut self.dropped)
    }

    /// The oldest kept key and when it was pressed.
    pub fn take(&mut self) -> Option<(CallTime, Key)> {
        let KeptKey { pressed, key, number } = self.kept.pop_front()?;
        if let Some(ledger) = &mut self.ledger {
            // What is noted next is about this key and not about the last one that was pressed.
            ledger.current = number;
        }
        Some((pressed, key))
    }

    /// Whether no key is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Decides what becomes of a key: to be asked once for each, in order. `A` to `D` must not come here, as they are
    /// no input at all.
    pub fn admit(&mut self, pressed: CallTime, key: Key) -> Admission {
        // Every state but the first is about the very next key: taking it out uses it up.
        match std::mem::take(&mut self.after) {
            AfterEntry::Ordinary => Admission::Input,
            AfterEntry::Completion if key == Key::Pound => Admission::Spent,
            AfterEntry::Completion => Admission::Input,
            AfterEntry::Failure { last_key, .. } if pressed - last_key < BURST_GAP => {
                // The burst goes on from this key. It is no longer the very next one, so that a later `#` is the retry's.
                self.after = AfterEntry::Failure { last_key: pressed, by_itself: false };
                Admission::Spent
            }
            // However late it comes: the field ended by itself (spec/pay.md 3).
            AfterEntry::Failure { by_itself: true, .. } if key == Key::Pound => Admission::Spent,
            AfterEntry::Failure { .. } => Admission::Input,
        }
    }

    /// A field was accepted.
    pub fn field_accepted(&mut self, by: EndedBy) {
        // After a field that `#` ended, another one is the next field's.
        self.after = if by == EndedBy::Pound { AfterEntry::Ordinary } else { AfterEntry::Completion };
    }

    /// A field failed on the key pressed at `last_key`, or on a timer long after it. None: nothing was keyed into it, and
    /// what the next key belongs to is as before.
    pub fn field_failed(&mut self, by: EndedBy, last_key: Option<CallTime>) {
        if let Some(last_key) = last_key {
            self.after = AfterEntry::Failure { last_key, by_itself: by != EndedBy::Pound };
        }
    }
}

impl Ledger {
    fn note(&mut self, destination: Destination) {
        if let Some(place) = self.destinations.get_mut(self.current) {
            *place = destination;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(symbol: char) -> Key {
        Key::parse(symbol).unwrap()
    }

    fn at(millis: u64) -> CallTime {
        CallTime::from_millis(millis)
    }

    #[test]
    fn only_the_very_next_pound_belongs_to_a_field_that_completed_by_itself() {
        let mut keypad = Keypad::new();
        keypad.field_accepted(EndedBy::Itself);
        assert_eq!(keypad.admit(at(9000), Key::Pound), Admission::Spent);
        assert_eq!(keypad.admit(at(9100), Key::Pound), Admission::Input);
        keypad.field_accepted(EndedBy::Itself);
        assert_eq!(keypad.admit(at(9200), key('1')), Admission::Input);
        assert_eq!(keypad.admit(at(9300), Key::Pound), Admission::Input);
        keypad.field_accepted(EndedBy::Pound);
        assert_eq!(keypad.admit(at(9400), Key::Pound), Admission::Input);
    }

    #[test]
    fn a_failing_key_takes_the_rest_of_its_burst_with_it() {
        let mut keypad = Keypad::new();
        keypad.field_failed(EndedBy::Itself, Some(at(1000)));
        assert_eq!(keypad.admit(at(1249), key('1')), Admission::Spent);
        assert_eq!(keypad.admit(at(1498), Key::Pound), Admission::Spent);
        assert_eq!(keypad.admit(at(1748), key('2')), Admission::Input);
        assert_eq!(keypad.admit(at(1749), key('3')), Admission::Input);
    }

    #[test]
    fn a_late_pound_after_a_field_that_failed_by_its_length_is_still_its_own() {
        let mut keypad = Keypad::new();
        keypad.field_failed(EndedBy::Itself, Some(at(1000)));
        assert_eq!(keypad.admit(at(3000), Key::Pound), Admission::Spent);
        keypad.field_failed(EndedBy::Pound, Some(at(4000)));
        assert_eq!(keypad.admit(at(6000), Key::Pound), Admission::Input);
    }

    #[test]
    fn a_field_that_nothing_was_keyed_into_does_not_end_the_burst_of_the_one_before() {
        let mut keypad = Keypad::new();
        keypad.field_failed(EndedBy::Itself, Some(at(1000)));
        assert_eq!(keypad.admit(at(1200), key('1')), Admission::Spent);
        keypad.field_failed(EndedBy::Timer, None);
        assert_eq!(keypad.admit(at(1400), key('2')), Admission::Spent);
        keypad.field_accepted(EndedBy::Itself);
        keypad.field_failed(EndedBy::Timer, None);
        assert_eq!(keypad.admit(at(9000), Key::Pound), Admission::Spent, "the very next key");
    }

    #[test]
    fn sixty_four_keys_are_kept_and_no_more() {
        let mut keypad = Keypad::new();
        for n in 0..KEPT_MAX as u64 {
            keypad.keep(at(n), key('1'));
        }
        assert_eq!(keypad.take_dropped(), 0);
        keypad.keep(at(99), key('2'));
        assert_eq!((keypad.take_dropped(), keypad.take_dropped()), (1, 0));
        assert_eq!(keypad.take(), Some((at(0), key('1'))));
    }
}
