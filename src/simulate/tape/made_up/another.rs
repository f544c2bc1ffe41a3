//! A made-up number for a real one: one that takes the same way through the machine.

use super::{CARD_DIGITS_MIN, CHOICE_MAX, EntryKind, NumberConstraints, below, text};
use crate::pay::bank;
use crate::pay::card::{AcceptedBrands, Brand, Expiration, YearMonth};
use crate::pay::field::Field;
use crate::pay::test_numbers::AcceptedNumbers;
use crate::secret::Digits;
use crate::simulate::random::SeededRng;

/// How many digits of a card number decide its brand.
const PREFIX: usize = 6;

/// How often another number is tried.
const TRIES: u32 = 4000;

/// Whether a number is published for tests: it is nobody's, whichever list a connector goes by.
pub(super) fn published(kind: EntryKind, digits: &[u8], around: NumberConstraints) -> bool {
    let all = AcceptedNumbers::PublishedTest;
    [all, around.test_mode.unwrap_or(all)].into_iter().any(|list| match kind {
        EntryKind::Field(Field::CardNumber) => list.takes_card(text(digits)),
        EntryKind::Field(Field::AccountNumber) => list.takes_account(text(digits)),
        _ => false,
    })
}

/// Another number for `real` that is none of `others`.
pub(super) fn another(
    kind: EntryKind,
    real: &[u8],
    others: &[&[u8]],
    around: NumberConstraints,
    when: YearMonth,
    rng: &mut SeededRng,
) -> Vec<u8> {
    // In test mode the machine tells them from other numbers: with another one the call would go another way.
    if around.test_mode.is_some() && published(kind, real, around) {
        return real.to_vec();
    }
    let fits = |candidate: &[u8]| {
        let same_way = match kind {
            EntryKind::Field(Field::ExpirationDate) => {
                let good = |digits, month| Expiration::read(&Digits::of(text(digits)), month).is_ok();
                let [begins, ends] = around.months.map(|month| (good(candidate, month), good(real, month)));
                // A date that expired during the call has none that is like it all the time.
                let expired = begins.1 != ends.1;
                good(candidate, when) == good(real, when) && (expired || (begins.0 == begins.1 && ends.0 == ends.1))
            }
            EntryKind::Field(Field::RoutingNumber) => {
                let good = |digits| bank::check_routing(&Digits::of(text(digits))).is_ok();
                good(candidate) == good(real)
            }
            EntryKind::Field(Field::CardNumber | Field::PostalCode | Field::SecurityCode | Field::AccountNumber)
            | EntryKind::Gather(_) => true,
        };
        same_way
            && !others.contains(&candidate)
            && !published(kind, candidate, around)
            && (candidate != real || real.len() <= CHOICE_MAX)
    };
    let mut candidate = real.to_vec();
    for _ in 0..TRIES {
        match kind {
            EntryKind::Field(Field::CardNumber) => candidate = card(real, rng),
            EntryKind::Field(_) => candidate.iter_mut().for_each(|digit| *digit = b'0' + below(rng, 10)),
            EntryKind::Gather(finish) => candidate.iter_mut().for_each(|digit| {
                *digit = b'0' + below(rng, 10);
                // The finishing key would end the entry before its last digit.
                if Some(*digit) == finish {
                    *digit = b'0' + (*digit - b'0' + 1) % 10;
                }
            }),
        }
        if fits(&candidate) {
            break;
        }
    }
    candidate
}

/// A card number that the machine cannot tell from `real`: at every length it has the same brand and the same check.
fn card(real: &[u8], rng: &mut SeededRng) -> Vec<u8> {
    let mut number = Vec::with_capacity(real.len());
    // Where no other beginning has the same brand at every length, the real one stays.
    if !begin(real, &mut number, rng) {
        number.extend(real.iter().take(PREFIX));
    }
    while let Some(real) = real.get(..=number.len()) {
        let holds = real.len() >= CARD_DIGITS_MIN && Digits::of(text(real)).luhn();
        let matters = real.len() >= CARD_DIGITS_MIN;
        let first = below(rng, 10);
        number.push(b'0');
        // One of ten digits is the check digit of what comes before it.
        for offset in 0..10 {
            if let Some(last) = number.last_mut() {
                *last = b'0' + (first + offset) % 10;
            }
            if !matters || Digits::of(text(&number)).luhn() == holds {
                break;
            }
        }
    }
    number
}

/// The first digits of a number, of the same brand at every length. False: there are none.
fn begin(real: &[u8], number: &mut Vec<u8>, rng: &mut SeededRng) -> bool {
    let length = number.len();
    if length == PREFIX || length == real.len() {
        return true;
    }
    let wanted = look(real.get(..=length).unwrap_or_default());
    let first = below(rng, 10);
    for offset in 0..10 {
        number.push(b'0' + (first + offset) % 10);
        if look(number) == wanted && begin(real, number, rng) {
            return true;
        }
        number.pop();
    }
    false
}

/// What the machine sees in the first digits of a card number, whatever brands are accepted.
fn look(digits: &[u8]) -> (Option<Brand>, bool) {
    let brand = Brand::of(&Digits::of(text(digits)), &AcceptedBrands::default());
    // Diners Club numbers that begin so may be shorter than others.
    (brand, digits.starts_with(b"36"))
}
