//! What callers key in: mostly right, sometimes wrong in the ways that callers are wrong.

use super::SeededRng;
use crate::pay::step::Step;

/// Published test numbers of the brands that a Pay takes by default.
const USUAL_CARDS: [&str; 7] = [
    "4242424242424242",
    "4111111111111111",
    "5555555555554444",
    "5105105105105100",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
];

/// Published test numbers of every other brand and length.
const OTHER_CARDS: [&str; 14] = [
    "4222222222222",
    "4012888888881881",
    "4000000000000000006",
    "6011111111111117",
    "6011000990139424",
    "3056930009020004",
    "38520000023237",
    "36227206271667",
    "3530111333300000",
    "3566002020360505",
    "6200000000000005",
    "6205500000000000004",
    "6771798021000008",
    "201400000000009",
];

const ROUTING: [&str; 4] = ["110000000", "021000021", "011401533", "322271627"];
const ACCOUNTS: [&str; 5] = ["12345678", "123456789", "000123456789", "1234", "12345678901234567"];

/// Digits for a step: right `right` times of a hundred. `four`: whether the card's security code has four digits.
pub(super) fn entry(step: Step, four: bool, right: u64, rng: &mut SeededRng) -> String {
    let good = rng.below(100) < right;
    match step {
        Step::PaymentCardNumber => card(good, rng),
        Step::ExpirationDate if good => rng.one_of(&["1228", "0630", "1229"], "1228").to_owned(),
        Step::ExpirationDate => {
            rng.one_of(&["1320", "0525", "0026", "12", "1299", "1226", "1100", "12285"], "1").to_owned()
        }
        Step::PostalCode if good => rng.one_of(&["94111", "10001"], "94111").to_owned(),
        Step::PostalCode => rng.one_of(&["94", "1234567890", "123456", "12345678901"], "9").to_owned(),
        Step::SecurityCode => {
            let length = if good { 3 + u64::from(four) } else { 1 + rng.below(5) };
            digits(length, rng)
        }
        Step::BankRoutingNumber if good => rng.one_of(&ROUTING, "110000000").to_owned(),
        Step::BankRoutingNumber => rng.one_of(&["110000001", "990000000", "11000", "1100000000"], "1").to_owned(),
        Step::BankAccountNumber if good => rng.one_of(&ACCOUNTS, "12345678").to_owned(),
        Step::BankAccountNumber => {
            let length = 1 + rng.below(20);
            digits(length, rng)
        }
        Step::PaymentProcessing => choice(good, rng),
    }
}

/// A key for a menu or a question.
pub(super) fn choice(good: bool, rng: &mut SeededRng) -> String {
    if good { "1".to_owned() } else { digits(1, rng) }
}

/// Digits at random.
pub(super) fn digits(length: u64, rng: &mut SeededRng) -> String {
    (0..length).map(|_| rng.one_of(&['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'], '0')).collect()
}

fn card(good: bool, rng: &mut SeededRng) -> String {
    let usual = rng.below(10) < 7;
    let mut number = if usual { rng.one_of(&USUAL_CARDS, "") } else { rng.one_of(&OTHER_CARDS, "") }.to_owned();
    if good {
        return number;
    }
    match rng.below(5) {
        // The last digit wrong.
        0 => {
            let last = number.pop().and_then(|last| last.to_digit(10)).unwrap_or(0);
            number.extend(char::from_digit((last + 1) % 10, 10));
        }
        // Too short.
        1 => {
            let left = usize::try_from(rng.below(number.len() as u64)).unwrap_or(0);
            number.truncate(left);
        }
        // Too long.
        2 => {
            let more = 1 + rng.below(5);
            number.push_str(&digits(more, rng));
        }
        // Two digits changed places in the middle.
        3 => {
            let tail = number.split_off(number.len() / 2);
            number.extend(tail.chars().rev());
        }
        _ => {
            let length = 12 + rng.below(9);
            number = digits(length, rng);
        }
    }
    number
}
