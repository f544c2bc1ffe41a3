//! Numbers that nobody has, in place of those that a caller keyed: of the same kind, so that the machine goes the same way.
//!
//! Shape:   [`MadeUp::new`] chooses them all; [`MadeUp::key`] is one of them, [`MadeUp::runs`] and [`MadeUp::words`] put them
//!          into texts, [`MadeUp::said`] masks what a gateway said, [`MadeUp::reveals`] searches a text for the real ones.
//! Limits:  what is kept: `*`, `#`, the answers to a confirmation, entries of one or two digits into a `<Gather>`, and, in
//!          test mode, the published test numbers, without which the machine would go another way.
//! Secrets: holds what was keyed until it is dropped, which wipes it.

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::mask::{self, Numbers, ReadDigit, WINDOW};
use crate::pay::card::YearMonth;
use crate::pay::field::Field;
use crate::pay::keypad::Destination;
use crate::pay::test_numbers::AcceptedNumbers;
use crate::simulate::random::SeededRng;

mod another;

use another::{another, published};

/// The shortest card number (ISO/IEC 7812-1): below it the check digit decides nothing.
const CARD_DIGITS_MIN: usize = 12;

/// How many digits in a row are too many: less than a message may repeat (`mask::WINDOW`), as a recording is kept.
const RUN: usize = 7;

/// The longest entry that is a menu's choice and no number.
const CHOICE_MAX: usize = 2;

/// How many of a window's digits may be kept ones if finding it is to mean anything.
const KEPT_MAX: usize = 3;

/// The numbers of a call and what stands for them.
pub(super) struct MadeUp {
    real: Zeroizing<Vec<u8>>,
    shown: Vec<u8>,
    /// Which keys stay what they are.
    kept: Vec<bool>,
    /// The places of digits keyed in a row; `*` and `#` end one.
    runs: Vec<Vec<usize>>,
    /// The same as numbers that no message repeats.
    numbers: Numbers,
    /// What of them a recording must not show either, where it is not written in plain digits.
    hidden: Numbers,
    entries: Vec<MadeUpEntry>,
}

/// One entry: the places of its digits among the keys.
struct MadeUpEntry {
    number: u32,
    kind: EntryKind,
    places: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    Field(Field),
    /// With the digit that would have ended it.
    Gather(Option<u8>),
}

/// What a number has to fit into.
#[derive(Clone, Copy)]
pub(super) struct NumberConstraints {
    /// Whether a connector of the call takes published test numbers only.
    pub(super) test_mode: Option<AcceptedNumbers>,
    /// The months in which the call began and ended: the same date may be keyed in both.
    pub(super) months: [YearMonth; 2],
    pub(super) seed: u64,
}

impl MadeUp {
    /// Makes up numbers for `keys`, which went where `destinations` says. `month`: when a key was pressed.
    pub(super) fn new(
        keys: &[u8],
        destinations: &[Destination],
        around: NumberConstraints,
        month: impl Fn(usize) -> YearMonth,
    ) -> Self {
        let mut made_up = Self {
            real: Zeroizing::new(keys.to_vec()),
            shown: keys.to_vec(),
            kept: keys.iter().map(|key| !key.is_ascii_digit()).collect(),
            runs: runs(keys),
            numbers: Numbers::new(),
            hidden: Numbers::new(),
            entries: Vec::new(),
        };
        for run in &made_up.runs {
            let digits: Zeroizing<Vec<u8>> =
                Zeroizing::new(run.iter().filter_map(|place| keys.get(*place).copied()).collect());
            made_up.numbers.add(text(&digits));
        }
        made_up.sort(destinations);
        let mut rng = SeededRng::new(around.seed);
        let mut chosen: Vec<(EntryKind, Zeroizing<Vec<u8>>, Vec<u8>)> = Vec::new();
        for entry in std::mem::take(&mut made_up.entries) {
            let real = made_up.digits(&entry);
            // Equal entries stay equal: the second of two that have to match, say.
            // One that came out the same by chance, or for want of another, does not count as one that may be shown.
            let again = chosen.iter().position(|(kind, known, _)| *kind == entry.kind && **known == *real);
            if again.is_none() {
                let when = month(entry.places.last().copied().unwrap_or(0));
                let others: Vec<&[u8]> =
                    chosen.iter().filter(|(kind, ..)| *kind == entry.kind).map(|(_, _, it)| it.as_slice()).collect();
                let shown = another(entry.kind, &real, &others, around, when, &mut rng);
                chosen.push((entry.kind, real, shown));
            }
            if let Some((_, real, shown)) = again.map_or_else(|| chosen.last(), |at| chosen.get(at)) {
                let stays = **real == *shown && published(entry.kind, real, around);
                for (place, digit) in entry.places.iter().zip(shown) {
                    if let (Some(kept), Some(key)) = (made_up.kept.get_mut(*place), made_up.shown.get_mut(*place)) {
                        *key = *digit;
                        *kept = stays;
                    }
                }
            }
            made_up.entries.push(entry);
        }
        // What went nowhere is as good as any other digit.
        let nowhere: Vec<usize> = (0..keys.len()).filter(|place| !made_up.has_place(*place)).collect();
        for place in nowhere {
            if let (Some(false), Some(key)) = (made_up.kept.get(place), made_up.shown.get_mut(place)) {
                *key = b'0' + (*key - b'0' + 1 + below(&mut rng, 9)) % 10;
            }
        }
        made_up.hide();
        made_up
    }

    /// Takes note of what is not kept.
    fn hide(&mut self) {
        for window in self.runs.iter().flat_map(|run| run.windows(WINDOW)) {
            if window.iter().filter(|place| self.stays(**place)).count() <= KEPT_MAX {
                let digits: Zeroizing<Vec<u8>> =
                    Zeroizing::new(window.iter().filter_map(|place| self.real.get(*place).copied()).collect());
                self.hidden.add(text(&digits));
            }
        }
    }

    /// Sorts the digits into entries, less those that stay.
    fn sort(&mut self, destinations: &[Destination]) {
        for (place, destination) in destinations.iter().enumerate() {
            let Some(key) = self.real.get(place).copied().filter(u8::is_ascii_digit) else { continue };
            let (number, kind) = match *destination {
                Destination::Nowhere => continue,
                Destination::Answer => {
                    if let Some(kept) = self.kept.get_mut(place) {
                        *kept = true;
                    }
                    continue;
                }
                Destination::Field { field, entry } => (entry, EntryKind::Field(field)),
                Destination::Gather { entry, finish } => {
                    let finish = finish.and_then(|key| u8::try_from(key.symbol()).ok()).filter(u8::is_ascii_digit);
                    (entry, EntryKind::Gather(finish.filter(|finish| *finish != key)))
                }
            };
            match self.entries.last_mut() {
                Some(entry) if entry.number == number => entry.places.push(place),
                _ => self.entries.push(MadeUpEntry { number, kind, places: vec![place] }),
            }
        }
        for entry in &self.entries {
            if matches!(entry.kind, EntryKind::Gather(_)) && entry.places.len() <= CHOICE_MAX {
                for place in &entry.places {
                    if let Some(kept) = self.kept.get_mut(*place) {
                        *kept = true;
                    }
                }
            }
        }
        // Seven choices in a row spell a number that was asked for digit by digit.
        let spelt: Vec<usize> = self
            .runs
            .iter()
            .flat_map(|run| run.chunk_by(|a, b| self.stays(*a) == self.stays(*b)))
            .filter(|stretch| stretch.len() >= RUN)
            .flatten()
            .copied()
            .collect();
        let kept = std::mem::take(&mut self.kept);
        self.entries.retain(|entry| {
            let stays = |place: &usize| kept.get(*place) == Some(&true) && !spelt.contains(place);
            !entry.places.iter().all(stays)
        });
        self.kept = kept;
        for place in spelt {
            let in_entry = self.has_place(place);
            if let Some(kept) = self.kept.get_mut(place) {
                *kept &= !in_entry;
            }
        }
    }

    fn stays(&self, place: usize) -> bool {
        self.kept.get(place) == Some(&true)
    }

    fn has_place(&self, place: usize) -> bool {
        self.entries.iter().any(|entry| entry.places.contains(&place))
    }

    fn digits(&self, entry: &MadeUpEntry) -> Zeroizing<Vec<u8>> {
        let mut digits = Zeroizing::new(Vec::with_capacity(entry.places.len()));
        digits.extend(entry.places.iter().filter_map(|place| self.real.get(*place)));
        digits
    }

    /// What stands for a key.
    pub(super) fn key(&self, place: usize) -> char {
        self.shown.get(place).copied().map_or('0', char::from)
    }

    /// `text` with made-up digits wherever it repeats [`RUN`] keyed ones in a row, however they are written, or [`WINDOW`] with
    /// letters between them. What is not written in digits of its own, but in codes of characters, is masked.
    pub(super) fn runs(&self, text: &str) -> String {
        self.masked(mask::replaced(text, self.repeated(text)))
    }

    /// What stands for the digits of a text that repeat keyed ones.
    fn repeated(&self, text: &str) -> Vec<(ReadDigit, char)> {
        let mut others: Vec<_> = mask::every_run(text).iter().flat_map(|run| self.others(run, RUN)).collect();
        others.extend(mask::every_row(text).iter().flat_map(|row| self.others(row, WINDOW)));
        others
    }

    fn masked(&self, text: String) -> String {
        match mask::identifier(&text, &self.hidden) {
            Cow::Owned(masked) => masked,
            Cow::Borrowed(_) => text,
        }
    }

    /// As [`Self::runs`]; also short numbers that stand alone, of those keyed before the first `pressed` keys were over, and
    /// the ends of masked ones.
    pub(super) fn words(&self, text: &str, pressed: usize) -> String {
        let runs = mask::every_run(text);
        let mut others = self.repeated(text);
        let keyed = self.entries.iter().filter(|entry| entry.places.last().is_some_and(|last| *last < pressed));
        for places in keyed.flat_map(short_words) {
            for word in runs.iter().flat_map(|run| mask::alone(run, places.len())) {
                let spells = word.iter().zip(&places).all(|(digit, key)| self.real.get(*key) == Some(&digit.value));
                // Two digits mean nothing unless a mask comes before them.
                let masked = || {
                    let before = word.first().and_then(|first| text.get(..first.at.start));
                    before.is_some_and(|before| before.ends_with('*'))
                };
                if spells && (places.len() > CHOICE_MAX || masked()) {
                    others.extend(word.iter().zip(&places).map(|(digit, key)| (digit.clone(), self.key(*key))));
                }
            }
        }
        self.masked(mask::replaced(text, others))
    }

    /// What a gateway said, as the application is told it. What is hidden from the application is hidden in the replay too.
    pub(super) fn said(&self, text: &str, pressed: usize) -> String {
        self.words(&mask::text(text, &self.numbers), pressed)
    }

    /// An identifier that a gateway gave, as the application is told it.
    pub(super) fn identifier(&self, text: &str) -> String {
        self.runs(&mask::identifier(text, &self.numbers))
    }

    /// What stands for the digits of a run that repeat keyed ones: as many at a time as there are.
    fn others(&self, run: &[ReadDigit], least: usize) -> Vec<(ReadDigit, char)> {
        let mut others = Vec::new();
        let mut rest = run;
        while !rest.is_empty() {
            let longest = self.longest(rest, least);
            others.extend(rest.iter().zip(longest).map(|(digit, key)| (digit.clone(), self.key(*key))));
            rest = rest.get(longest.len().max(1)..).unwrap_or_default();
        }
        others
    }

    /// The longest row of keys that a run begins with; empty: it begins with less than so many.
    fn longest(&self, run: &[ReadDigit], least: usize) -> &[usize] {
        let mut longest: &[usize] = &[];
        for keys in &self.runs {
            for first in 0..keys.len() {
                let keys = keys.get(first..).unwrap_or_default();
                let spelt = |(digit, key): &(&ReadDigit, &usize)| self.real.get(**key) == Some(&digit.value);
                let length = run.iter().zip(keys).take_while(spelt).count();
                if length >= least && length > longest.len() {
                    longest = keys.get(..length).unwrap_or_default();
                }
            }
        }
        longest
    }

    /// Whether `text` repeats [`RUN`] digits in a row that should be made up, however they are written.
    pub(super) fn reveals(&self, text: &str) -> bool {
        let kept = |keys: &[usize]| keys.iter().filter(|place| self.stays(**place)).count();
        let in_a_run = mask::every_run(text).iter().any(|run| {
            (0..run.len()).any(|first| {
                let keys = self.longest(run.get(first..).unwrap_or_default(), RUN);
                keys.windows(RUN).any(|window| kept(window) <= KEPT_MAX)
            })
        });
        // Line by line: in all digits of a script, times among them, a number of few different digits is found by chance.
        in_a_run || text.lines().any(|line| matches!(mask::identifier(line, &self.hidden), Cow::Owned(_)))
    }

    /// Whether `keys`, alone, are a security code or a short account number that was keyed.
    pub(super) fn is_code(&self, keys: &str) -> bool {
        let keys = keys.trim_matches(['*', '#']).as_bytes();
        let codes = self.entries.iter().filter(|entry| {
            matches!(entry.kind, EntryKind::Field(Field::SecurityCode | Field::AccountNumber))
                && entry.places.len() > CHOICE_MAX
        });
        let mut real = codes.filter(|entry| entry.places.iter().any(|place| !self.stays(*place)));
        real.any(|entry| **self.digits(entry) == *keys)
    }
}

/// What may be shown of an entry in a word of its own: all of it if it is short, the last digits of a longer one.
fn short_words(entry: &MadeUpEntry) -> Vec<Vec<usize>> {
    let last = |count: usize| entry.places.get(entry.places.len().saturating_sub(count)..).unwrap_or_default().to_vec();
    match (entry.kind, entry.places.len()) {
        (_, ..=CHOICE_MAX) => Vec::new(),
        (EntryKind::Field(Field::AccountNumber), 3..RUN) => vec![last(usize::MAX), last(2)],
        (EntryKind::Field(Field::AccountNumber), _) => vec![last(2)],
        (EntryKind::Field(Field::CardNumber), CARD_DIGITS_MIN..) => vec![last(4)],
        (_, 3..RUN) => vec![last(usize::MAX)],
        _ => Vec::new(),
    }
}

/// The places of digits in a row. Letters are no input and end none.
fn runs(keys: &[u8]) -> Vec<Vec<usize>> {
    let mut runs = vec![Vec::new()];
    for (place, key) in keys.iter().enumerate() {
        match key {
            b'0'..=b'9' => runs.last_mut().into_iter().for_each(|run| run.push(place)),
            b'*' | b'#' => runs.push(Vec::new()),
            _ => {}
        }
    }
    runs
}

fn text(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}

fn below(rng: &mut SeededRng, end: u64) -> u8 {
    u8::try_from(rng.below(end)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pay::bank;
    use crate::pay::card::{AcceptedBrands, Brand, Completeness, Expiration, completeness, judge_number};
    use crate::secret::Digits;

    const WHEN: YearMonth = YearMonth { year: 2026, month: 6 };

    fn made_up(keys: &str, destinations: &[Destination], seed: u64) -> MadeUp {
        MadeUp::new(
            keys.as_bytes(),
            destinations,
            NumberConstraints { test_mode: None, months: [WHEN; 2], seed },
            |_| WHEN,
        )
    }

    fn field(field: Field, keys: &str) -> Vec<Destination> {
        vec![Destination::Field { field, entry: 1 }; keys.len()]
    }

    fn shown(made_up: &MadeUp) -> String {
        (0..made_up.real.len()).map(|place| made_up.key(place)).collect()
    }

    #[test]
    fn a_made_up_card_is_one_that_no_accepted_brands_can_tell_from_the_real_one() {
        let accepted = [
            AcceptedBrands::default(),
            AcceptedBrands::new(Brand::ALL.to_vec()),
            AcceptedBrands::new(vec![Brand::Unionpay, Brand::Optima]),
        ];
        for number in [
            "4242424242424242",
            "4242424242424241",
            "4222222222222",
            "4000000000000000006",
            "5555555555554444",
            "2221000000000009",
            "378282246310005",
            "6011111111111117",
            "6221260000000000",
            "6200000000000005",
            "8171999927660000",
            "6771798021000008",
            "6771798021000008123",
            "3566002020360505",
            "36227206271667",
            "3056930009020004",
            "201400000000009",
            "9999999999999999999",
            "4",
            "37",
            "622126",
            "42424242424",
        ] {
            for seed in 0..20 {
                let keys = made_up(number, &field(Field::CardNumber, number), seed);
                let other = shown(&keys);
                assert_eq!(other.len(), number.len());
                assert!(number.len() < 5 || other != number, "{number}");
                for accepted in &accepted {
                    for length in 1..=number.len() {
                        let state = |number: &str| -> (Completeness, Result<Brand, _>) {
                            let digits = Digits::of(&number[..length]);
                            (completeness(&digits, accepted), judge_number(&digits, accepted))
                        };
                        assert_eq!(state(&other), state(number), "{number} at {length}");
                    }
                }
                assert!(number.len() < 8 || !keys.reveals(&other));
            }
        }
    }

    #[test]
    fn other_fields_keep_their_length_and_whether_they_are_right() {
        for seed in 0..50 {
            for (kind, number) in [
                (Field::ExpirationDate, "1228"),
                (Field::ExpirationDate, "1328"),
                (Field::RoutingNumber, "021000021"),
                (Field::RoutingNumber, "021000022"),
                (Field::PostalCode, "94111"),
                (Field::SecurityCode, "837"),
                (Field::AccountNumber, "12345678"),
            ] {
                let other = shown(&made_up(number, &field(kind, number), seed));
                assert_ne!(other, number);
                let date = |text: &str| Expiration::read(&Digits::of(text), WHEN).is_ok();
                let routing = |text: &str| bank::check_routing(&Digits::of(text)).is_ok();
                assert_eq!((date(&other), routing(&other)), (date(number), routing(number)), "{number}");
            }
        }
    }

    #[test]
    fn equal_entries_stay_equal_and_different_ones_different() {
        let entry = |entry, count| vec![Destination::Field { field: Field::SecurityCode, entry }; count];
        let destinations = [entry(1, 3), entry(2, 3), entry(3, 3)].concat();
        for seed in 0..200 {
            let other = shown(&made_up("123123124", &destinations, seed));
            assert_eq!(other[..3], other[3..6]);
            assert_ne!(other[..3], other[6..]);
        }
    }

    #[test]
    fn choices_stay_and_longer_numbers_of_a_gather_do_not() {
        let gather = |entry, count| vec![Destination::Gather { entry, finish: None }; count];
        let destinations =
            [gather(1, 1), gather(2, 2), vec![Destination::Answer], gather(3, 4), vec![Destination::Nowhere; 2]]
                .concat();
        let other = shown(&made_up("112#123499", &destinations, 3));
        assert_eq!(&other[..4], "112#");
        assert_ne!(&other[4..8], "1234");
        assert!(!other.ends_with('9'));
        let spelt: Vec<Destination> = (0..8).flat_map(|entry| gather(entry, 1)).collect();
        let keys = made_up("12345678", &spelt, 3);
        assert!(!keys.reveals(&shown(&keys)), "a number asked for digit by digit is a number");
    }

    #[test]
    fn in_test_mode_the_published_numbers_stay() {
        let number = "4111111111111111";
        let around = NumberConstraints { test_mode: Some(AcceptedNumbers::PublishedTest), months: [WHEN; 2], seed: 1 };
        let keys = MadeUp::new(number.as_bytes(), &field(Field::CardNumber, number), around, |_| WHEN);
        assert_eq!(shown(&keys), number);
        assert!(!keys.reveals(number), "it is nobody's");
        assert_ne!(shown(&made_up(number, &field(Field::CardNumber, number), 1)), number);
    }

    #[test]
    fn texts_repeat_the_made_up_number_wherever_they_repeated_the_real_one() {
        let number = "4929420573595701";
        let destinations =
            [field(Field::CardNumber, number), vec![Destination::Field { field: Field::SecurityCode, entry: 2 }; 3]]
                .concat();
        let keys = made_up(&format!("{number}837"), &destinations, 9);
        let (card, code) = (&shown(&keys)[..16], &shown(&keys)[16..]);
        let text = keys.words("card 4929-4205-7359-5701 and 05735957, code 837, 8370, ends 5701", 19);
        let grouped = format!("{}-{}-{}-{}", &card[..4], &card[4..8], &card[8..12], &card[12..]);
        assert_eq!(text, format!("card {grouped} and {}, code {code}, 8370, ends {}", &card[6..14], &card[12..]));
        assert!(keys.reveals("x4929 42057 3") && !keys.reveals(&text));
        let lettered = keys.runs("4929x4205<br>7359 and 5701");
        assert_eq!(lettered, format!("{}x{}<br>{} and {}", &card[..4], &card[4..8], &card[8..12], &card[12..]));
        for spelt in ["4929x42057a3", "=34=39=32=39=34=32=30=35=37=33", "四九二九四二〇五七三"] {
            assert!(keys.reveals(spelt) && !keys.reveals(&keys.runs(spelt)), "{spelt}: {}", keys.runs(spelt));
        }
        assert_eq!(keys.words("837", 18), "837", "it was not keyed yet");
        assert!(keys.is_code("837#") && !keys.is_code(code));
    }
}
