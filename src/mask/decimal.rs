//! The digits of every script, and what else stands for one.
//!
//! Sources: Unicode 17, `DerivedGeneralCategory`, Nd: each of them is ten characters in a row, from zero to nine;
//!          `DerivedNumericType`, Digit; `Unihan`, kPrimaryNumeric. Those that NFKC turns into ASCII digits are not listed.

/// The zeros.
const ZEROS: &[u32] = &[
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20,
    0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0,
    0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0,
    0x11450, 0x114d0, 0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50, 0x11d50,
    0x11da0, 0x11de0, 0x11f50, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950,
];

/// Digits in circles, and of scripts without a zero: the first of a row, its value, and how many follow each other.
const OTHERS: [(u32, u32, u32); 12] = [
    (0x1369, 1, 9),
    (0x19da, 1, 1),
    (0x24f5, 1, 9),
    (0x24ff, 0, 1),
    (0x2776, 1, 9),
    (0x2780, 1, 9),
    (0x278a, 1, 9),
    (0x10a40, 1, 4),
    (0x10e60, 1, 9),
    (0x11052, 1, 9),
    (0x1f10b, 0, 1),
    (0x1f10c, 0, 1),
];

/// The ideographs from zero to nine.
const IDEOGRAPHS: &str = "〇一二三四五六七八九";

/// The digit that an ideograph stands for where a number is written with them. In words they are letters.
pub(super) fn ideograph(c: char) -> Option<u8> {
    let value = IDEOGRAPHS.chars().position(|known| known == c).or((c == '零').then_some(0))?;
    u8::try_from(value).ok()?.checked_add(b'0')
}

/// The ASCII digit that `c` is, or `c` itself.
pub(super) fn ascii(c: char) -> char {
    let code = u32::from(c);
    let other = |(first, value, count): &(u32, u32, u32)| {
        let offset = code.checked_sub(*first).filter(|offset| offset < count)?;
        char::from_digit(value + offset, 10)
    };
    if let Some(digit) = OTHERS.iter().find_map(other) {
        return digit;
    }
    let zeros = ZEROS.partition_point(|zero| *zero <= code);
    let zero = zeros.checked_sub(1).and_then(|place| ZEROS.get(place));
    zero.and_then(|zero| code.checked_sub(*zero)).and_then(|value| char::from_digit(value, 10)).unwrap_or(c)
}
