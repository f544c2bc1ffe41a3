//! Byte offsets to lines and columns.
//!
//! Shape:   [`PlaceFinder`] walks a source forwards; asked in rising order it reads the source once.
//! Units:   offsets in bytes; lines and columns from 1, columns in characters. A line ends at a line feed; the carriage
//!          return of a Windows line end is the last character of its line, a tab is one character.

use super::Position;

/// The first character of a document.
pub(super) const START: Position = Position { line: 1, column: 1 };

/// Finds places in one source.
#[derive(Clone, Debug)]
pub(super) struct PlaceFinder<'s> {
    source: &'s str,
    offset: usize,
    position: Position,
}

impl<'s> PlaceFinder<'s> {
    pub(super) const fn new(source: &'s str) -> Self {
        Self { source, offset: 0, position: START }
    }

    /// The place of the character at `offset`. Beyond the end, or inside a character, it is the next place there is.
    pub(super) fn at(&mut self, offset: usize) -> Position {
        // Nearly always it is asked in rising order; else it begins anew.
        if offset < self.offset {
            *self = Self::new(self.source);
        }
        for character in self.source.get(self.offset..).unwrap_or_default().chars() {
            if self.offset >= offset {
                break;
            }
            self.offset = self.offset.saturating_add(character.len_utf8());
            if character == '\n' {
                self.position = Position { line: self.position.line.saturating_add(1), column: 1 };
            } else {
                self.position.column = self.position.column.saturating_add(1);
            }
        }
        self.position
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tabs_umlauts_and_windows_line_ends_are_counted_as_an_editor_does() {
        let source = "a\tä\r\nβ\n\n<x>";
        let mut places = PlaceFinder::new(source);
        for (part, expected) in [("a", "1:1"), ("ä", "1:3"), ("\r", "1:4"), ("\n", "1:5"), ("β", "2:1"), ("<x>", "4:1")]
        {
            assert_eq!(places.at(source.find(part).unwrap()).to_string(), expected, "{part:?}");
        }
        assert_eq!(places.at(0), START, "going back works too");
        assert_eq!(places.at(usize::MAX).to_string(), "4:4");
    }

    proptest! {
        #[test]
        fn every_place_agrees_with_counting_from_the_start(source in "[ab\r\nß€\t]{0,40}", jumps in prop::collection::vec(0usize..120, 0..20)) {
            let mut places = PlaceFinder::new(&source);
            for jump in jumps {
                let before: String = source.char_indices().take_while(|(offset, _)| *offset < jump).map(|(_, c)| c).collect();
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
                prop_assert_eq!(places.at(jump).to_string(), format!("{line}:{column}"));
            }
        }
    }
}
