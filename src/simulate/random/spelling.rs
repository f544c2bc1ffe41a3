//! The ways in which programs that must not quote a number quote it.
//!
//! Shape:   [`spelt`] writes digits in one of [`SPELLINGS`] ways.
//! Sources: what gateways and applications were seen to do; the HTML standard, RFC 3986 and RFC 8259 for the escapes.

use super::SeededRng;

/// How many ways there are.
pub(crate) const SPELLINGS: u64 = 22;

/// What stands between groups of digits.
const BETWEEN: [&str; 24] = [
    " ", "  ", "-", " - ", "/", " / ", "_", ":", ": ", ", ", ",", "; ", ")(", ") (", ".", "\n", "\r\n  ", "\t",
    "\u{a0}", "\u{2009}", "\u{202f}", "\u{200b}", "\u{2011}", "\u{2060}",
];

/// What programs of all kinds write between them that is, or has, letters.
const LETTERS: [&str; 14] = [
    "x", "T", "<br>", "</b> <b>", "\\n", "\\t", " and ", "\u{3164}", "\u{ffa0}", "\u{30fc}", "\u{640}", "\u{ba}",
    "\u{2b0}", " then ",
];

/// Rows of characters that stand for the digits from zero on, in no script's own row of ten.
const ROWS: [&str; 5] = ["⓿❶❷❸❹❺❻❼❽❾", "⓿➊➋➌➍➎➏➐➑➒", "⓪⓵⓶⓷⓸⓹⓺⓻⓼⓽", "0፩፪፫፬፭፮፯፰፱", "〇一二三四五六七八九"];

/// The zeros of scripts that have digits of their own.
const ZEROS: [u32; 6] = [0x660, 0x6f0, 0x966, 0xff10, 0x1d7ce, 0x1d7f6];

/// `digits` in the way of that number.
pub(crate) fn spelt(digits: &str, spelling: u64, rng: &mut SeededRng) -> String {
    let each = |one: &dyn Fn(char) -> String| digits.chars().map(one).collect::<String>();
    match spelling % SPELLINGS {
        0 => digits.to_owned(),
        1 | 2 => {
            let between = rng.one_of(&BETWEEN, " ");
            grouped(digits, if spelling % SPELLINGS == 1 { 4 } else { 1 + rng.below(5) }, between)
        }
        // Any of them anywhere.
        3 => each(&|digit| digit.to_string()).chars().fold(String::new(), |mut text, digit| {
            if rng.one_in(3) {
                text.push_str(rng.one_of(&BETWEEN, " "));
            }
            text.push(digit);
            text
        }),
        4 => {
            let zero = rng.one_of(&ZEROS, 0xff10);
            let other = |digit: char| digit.to_digit(10).and_then(|value| char::from_u32(zero + value));
            each(&|digit| other(digit).unwrap_or(digit).to_string())
        }
        5 => each(&|digit| format!("&#{};", u32::from(digit))),
        6 => each(&|digit| format!("&#x{:02x};", u32::from(digit))),
        7 => each(&|digit| format!("&amp;#{};", u32::from(digit))),
        8 => each(&|digit| format!("%{:02x}", u32::from(digit))),
        9 => each(&|digit| format!("%25{:02X}", u32::from(digit))),
        10 => each(&|digit| format!("%EF%BC%{:02X}", 0x90 + digit.to_digit(10).unwrap_or(0))),
        11 => each(&|digit| format!("\\u{:04x}", u32::from(digit))),
        12 => grouped(digits, 4, rng.one_of(&["&nbsp;", "&#160;", "&ensp;&ndash;&ensp;", "%20", "%C2%A0", "+"], "%20")),
        13 => grouped(digits, 4, rng.one_of(&LETTERS, "x")),
        14 => grouped(digits, 1 + rng.below(5), rng.one_of(&LETTERS, "x")),
        15 => {
            let row = rng.one_of(&ROWS, "0123456789");
            let other = |digit: char| row.chars().nth(usize::try_from(digit.to_digit(10)?).ok()?);
            each(&|digit| other(digit).unwrap_or(digit).to_string())
        }
        // As codes of characters: quoted-printable, CSS, octal, Unicode's notation, hex.
        16 => each(&|digit| format!("={:02X}", u32::from(digit))),
        17 => each(&|digit| format!("\\{:x} ", u32::from(digit))),
        18 => each(&|digit| format!("\\{:03o}", u32::from(digit))),
        19 => each(&|digit| format!("U+{:04X} ", u32::from(digit))),
        20 => each(&|digit| format!("{:02x}", u32::from(digit))),
        // Most of it.
        _ => {
            let most = digits.len().saturating_sub(usize::try_from(rng.below(4)).unwrap_or(0));
            // Of a longer number fewer digits are not looked for (`mask::WINDOW`).
            digits.get(..most.max(9)).unwrap_or(digits).to_owned()
        }
    }
}

fn grouped(digits: &str, size: u64, between: &str) -> String {
    let digits: Vec<char> = digits.chars().collect();
    let groups = digits.chunks(usize::try_from(size.max(1)).unwrap_or(4));
    groups.map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(between)
}
