//! Characters that a name must not have, as whoever reads it would not see them: two names that look alike would be two
//! connectors, and a payment would go to the wrong one.
//!
//! Sources: the Unicode Character Database 16.0: General_Category Cc, Cf, Zl, Zp and Zs (but the plain blank), and the
//!          characters that are Default_Ignorable_Code_Point; UTS #39, section 4 (confusable detection) and 5 (restriction on
//!          such characters).

use unicode_security::confusable_detection::skeleton;

/// From and to, in order.
const UNSEEN: [(char, char); 31] = [
    // Control characters; blanks of other widths; soft hyphen; grapheme joiner.
    ('\u{0}', '\u{20}'),
    ('\u{7f}', '\u{a0}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    // Arabic, Syriac and Kaithi signs of form, the Arabic letter mark among them.
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    // Hangul fillers; Ogham's blank; Khmer's inherent vowels; Mongolian selectors and separator.
    ('\u{115f}', '\u{1160}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    // Blanks, what has no width, and what turns the direction of writing; line and paragraph separators.
    ('\u{2000}', '\u{200f}'),
    ('\u{2028}', '\u{202f}'),
    ('\u{205f}', '\u{206f}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{3164}', '\u{3164}'),
    // Private use: nobody can say what it looks like.
    ('\u{e000}', '\u{f8ff}'),
    // Variation selectors; the byte order mark; the halfwidth Hangul filler; interlinear annotation.
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    // Kaithi, hieroglyphs, shorthand, musical notation.
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    // Tags, variation selectors and the rest of that plane; private use.
    ('\u{e0000}', '\u{e0fff}'),
    ('\u{f0000}', '\u{10ffff}'),
];

/// Whether a reader does not see a character. The plain blank is among them.
pub(super) fn is_unseen(letter: char) -> bool {
    UNSEEN.iter().any(|(first, last)| (*first..=*last).contains(&letter))
}

/// Whether a reader may take two different names for one: letters that look alike, or another case.
pub(in crate::connector) fn is_alike(name: &str, other: &str) -> bool {
    let looks = |name: &str| skeleton(name).collect::<String>();
    name != other && (looks(name) == looks(other) || looks(&name.to_lowercase()) == looks(&other.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_found_and_others_are_not() {
        for (name, other) in [
            ("Default", "default"),
            ("Default", "D\u{435}fault"),
            ("Shop", "\u{405}\u{4bb}\u{43e}\u{440}"),
            ("Shop1", "Shopl"),
            ("ShopI", "Shopl"),
            ("ЛАВКА", "лавка"),
        ] {
            assert!(is_alike(name, other) && is_alike(other, name), "{name} {other}");
        }
        for (name, other) in [("Shop", "Shop"), ("Shop", "Shop_2"), ("Stripe_Test", "Stripe_Live"), ("лавка", "Shop")]
        {
            assert!(!is_alike(name, other), "{name} {other}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_found_and_letters_of_all_the_world_are_not() {
        for unseen in [
            '\0',
            '\t',
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{a0}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{202e}',
            '\u{2028}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{3000}',
            '\u{3164}',
            '\u{feff}',
            '\u{fe0f}',
            '\u{e0041}',
            '\u{e000}',
            ' ',
        ] {
            assert!(is_unseen(unseen), "{unseen:?}");
        }
        for seen in "aZ09_-.&!ßéñçÄøłŚжЩΩאبتहिไทย中日本語한국🙂€".chars() {
            assert!(!is_unseen(seen), "{seen:?}");
        }
    }

    #[test]
    fn whatever_the_standard_library_calls_a_control_character_or_white_space_is_unseen() {
        for letter in '\0'..=char::MAX {
            assert!(!(letter.is_control() || letter.is_whitespace()) || is_unseen(letter), "{letter:?}");
        }
    }

    #[test]
    fn the_list_is_in_order() {
        assert!(UNSEEN.iter().all(|(first, last)| first <= last));
        assert!(UNSEEN.windows(2).all(|two| two[0].1 < two[1].0));
    }
}
