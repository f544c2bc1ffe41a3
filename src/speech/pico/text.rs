//! Makes text safe to hand to Pico.
//!
//! Shape:   text in, [`Speakable`] out: what the engine may read, ended as it wants it.
//! Limits:  a run of letters is broken after `WORD_MAX` characters and a run of digits after `DIGITS_MAX`.
//! Errors:  none. What cannot be spoken is left out; text of which nothing is left is `None`.
//! Sources: the source of Pico's tokenizer, picotok.c (mark-up, and the size of a token).

/// The longest word left whole. Pico fails on tokens of some 200 bytes; no word of our languages comes near this.
const WORD_MAX: usize = 48;

/// The longest number left whole: Pico reads 32 digits, says nothing at all for 64 and fails on 128. A card number has
/// at most 19.
const DIGITS_MAX: usize = 19;

/// Text that Pico reads to its end: no mark-up, no endless words, closed by the zero byte that makes it speak.
pub(super) struct Speakable(String);

impl Speakable {
    /// What of `text` can be spoken, if anything.
    ///
    /// `<` and `>` must go above all: Pico obeys tags, and among them is one that plays a file of this machine and one
    /// that writes one.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut clean = String::with_capacity(text.len() + 1);
        let (mut word, mut digits) = (0, 0);
        for symbol in text.chars() {
            let symbol = match symbol {
                // Invisible: soft hyphen, zero-width blanks and joiners, direction marks, byte-order mark.
                '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' => continue,
                '<' | '>' | '\\' => ' ',
                '\u{2018}' | '\u{2019}' => '\'',
                '\u{201C}'..='\u{201F}' | '«' | '»' => '"',
                '\u{2010}' | '\u{2011}' => '-',
                symbol if symbol.is_whitespace() || symbol.is_control() => ' ',
                symbol => symbol,
            };
            word = if symbol == ' ' { 0 } else { word + 1 };
            digits = if symbol.is_numeric() { digits + 1 } else { 0 };
            if word > WORD_MAX || digits > DIGITS_MAX {
                clean.push(' ');
                (word, digits) = (1, usize::from(symbol.is_numeric()));
            }
            clean.push(symbol);
        }
        if !clean.chars().any(char::is_alphanumeric) && !clean.chars().any(is_spoken_symbol) {
            return None;
        }
        clean.push('\0');
        Some(Self(clean))
    }

    /// Text as it is, for tests of what the engine does with text that should not reach it.
    #[cfg(test)]
    pub(super) fn unchecked(text: &str) -> Self {
        Self(format!("{text}\0"))
    }

    /// The bytes for the engine, the closing zero included.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Whether Pico has a name for a symbol that stands alone.
const fn is_spoken_symbol(symbol: char) -> bool {
    matches!(symbol, '#' | '*' | '%' | '&' | '+' | '=' | '@' | '$' | '€' | '£')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn speakable(text: &str) -> Option<String> {
        Speakable::new(text).map(|clean| clean.0.trim_end_matches('\0').to_owned())
    }

    #[test]
    fn a_prompt_is_left_as_it_is() {
        let prompt = "Bitte geben Sie Ihre Kartennummer ein: 4, 2, 4, 2 & drücken Sie die Rautetaste. Ça y est ?";
        assert_eq!(speakable(prompt).unwrap(), prompt);
        assert!(Speakable::new("Yes.").unwrap().as_bytes().ends_with(b".\0"));
    }

    #[test]
    fn mark_up_does_not_reach_the_engine() {
        assert_eq!(speakable("<play file=\"/etc/passwd\"/>Hi").unwrap(), " play file=\"/etc/passwd\"/ Hi");
        assert_eq!(speakable("a\\b\0c\r\nd").unwrap(), "a b c  d");
    }

    #[test]
    fn typographers_marks_become_plain_ones() {
        assert_eq!(speakable("l\u{2019}an\u{AD}née\u{A0}: \u{201C}oui\u{201D}").unwrap(), "l'année : \"oui\"");
    }

    #[test]
    fn nothing_is_left_of_text_without_words() {
        for text in ["", " \t\n", "...", "<>", "\u{200B}", "!?"] {
            assert!(speakable(text).is_none(), "{text:?}");
        }
        assert!(speakable("#").is_some());
    }

    proptest! {
        #[test]
        fn no_text_brings_mark_up_an_early_end_or_an_endless_word(
            text in "\\PC{0,200}|[0-9<>\\\\\\x00-\\x20a]{0,200}",
        ) {
            if let Some(clean) = speakable(&text) {
                prop_assert!(!clean.contains(['<', '>', '\\', '\0']));
                for word in clean.split(' ') {
                    prop_assert!(word.chars().count() <= WORD_MAX);
                    let mut numbers = word.split(|symbol: char| !symbol.is_numeric());
                    prop_assert!(numbers.all(|number| number.chars().count() <= DIGITS_MAX));
                }
            }
        }
    }
}
