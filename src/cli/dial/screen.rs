//! Where a call is written down: lines with a time and a label, in colour on a terminal, and one line below them that
//! changes while the call goes on.
//!
//! Errors:  none. Whoever closes the other end of a pipe wants no more of it.
//! Secrets: none of its own. Control characters are taken out, so that no document can play with the terminal.

use std::io::{IsTerminal, Write};

use crate::time::CallTime;

/// Where the text of a line begins.
const INDENT: usize = 20;

/// The narrowest text column that is still broken into lines.
const WIDTH_MIN: usize = 20;

/// What a piece of text is, which is what its colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Faint,
    Strong,
    Voice,
    Caller,
    Good,
    Doubtful,
    Bad,
}

impl Ink {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Faint => "\x1b[2m",
            Self::Strong => "\x1b[1m",
            Self::Voice => "\x1b[36m",
            Self::Caller => "\x1b[35m",
            Self::Good => "\x1b[32m",
            Self::Doubtful => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

/// How lines end and whether one of them may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A file, a pipe, or a terminal that types by lines.
    Lines,
    /// A terminal whose keys are read one by one: it does not return its carriage by itself.
    Raw,
}

/// Standard output.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    mode: Mode,
    colour: bool,
    is_terminal: bool,
    /// The line that changes, as it stands there now.
    status: String,
    /// The time written last: the same one is not written again.
    written: Option<String>,
}

impl Screen {
    pub(super) fn new(mode: Mode) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            out: Box::new(std::io::stdout()),
            mode: if is_terminal { mode } else { Mode::Lines },
            colour: is_terminal && unset("NO_COLOR") && !dumb,
            is_terminal,
            status: String::new(),
            written: None,
        }
    }

    /// A line with its time and label; text that is too long for the terminal goes on below.
    pub(super) fn entry(&mut self, at: CallTime, label: &str, ink: Ink, text: &str) {
        let tenths = at.as_millis() / 100;
        let time = format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10);
        let shown = if self.written.as_ref() == Some(&time) { "" } else { &time };
        let (time_column, label) = (format!("{shown:>8}"), format!("{label:<9}"));
        self.written = Some(time);
        let text = clean(text);
        let (mut first, width) = (true, self.text_width());
        for line in wrapped(&text, width) {
            if first {
                let faint = self.inked(Ink::Faint, &time_column);
                let (label, line) = (self.inked(ink, &label), self.inked(body(ink), line));
                self.put(&format!("{faint}  {label} {line}"));
                first = false;
            } else {
                let line = self.inked(body(ink), line);
                self.put(&format!("{:INDENT$}{line}", ""));
            }
        }
    }

    /// A line that belongs to the one above it.
    pub(super) fn under(&mut self, ink: Ink, text: &str) {
        let (text, width) = (clean(text), self.text_width());
        for line in wrapped(&text, width) {
            let line = self.inked(ink, line);
            self.put(&format!("{:INDENT$}{line}", ""));
        }
    }

    /// A field of a request, below the request.
    pub(super) fn field(&mut self, name: &str, value: &str, ink: Ink) {
        let (name, value) = (self.inked(Ink::Faint, &format!("{}=", clean(name))), self.inked(ink, &clean(value)));
        self.put(&format!("{:INDENT$}{name}{value}", ""));
    }

    /// A line from edge to edge.
    pub(super) fn line(&mut self, ink: Ink, text: &str) {
        let line = self.inked(ink, &clean(text));
        self.put(&line);
    }

    /// What the line that changes says now; nothing: it goes away.
    pub(super) fn status(&mut self, text: &str) {
        if !self.has_status() || self.status == text {
            return;
        }
        let cut: String = text.chars().take(self.width().saturating_sub(1)).collect();
        let shown = self.inked(Ink::Faint, &cut);
        let _ = write!(self.out, "\r\x1b[K{shown}").and_then(|()| self.out.flush());
        text.clone_into(&mut self.status);
    }

    /// Whether there is a line that changes.
    pub(super) fn has_status(&self) -> bool {
        self.mode == Mode::Raw
    }

    /// The line that changes makes room; it is back when it is next told.
    fn put(&mut self, line: &str) {
        let erased = if std::mem::take(&mut self.status).is_empty() { "" } else { "\r\x1b[K" };
        let end = if self.mode == Mode::Raw { "\r\n" } else { "\n" };
        let _ = write!(self.out, "{erased}{line}{end}").and_then(|()| self.out.flush());
    }

    fn inked(&self, ink: Ink, text: &str) -> String {
        if !self.colour || ink == Ink::Plain || text.is_empty() {
            return text.to_owned();
        }
        format!("{}{text}\x1b[0m", ink.code())
    }

    fn width(&self) -> usize {
        let columns = crossterm::terminal::size().map_or(0, |(columns, _)| usize::from(columns));
        if columns == 0 { 100 } else { columns }
    }

    /// How wide text may be; `None` where nobody counts columns.
    fn text_width(&self) -> Option<usize> {
        self.is_terminal.then(|| self.width().saturating_sub(INDENT + 1).max(WIDTH_MIN))
    }
}

/// The colour of an entry's text; the label always has the entry's own.
const fn body(ink: Ink) -> Ink {
    match ink {
        Ink::Voice => Ink::Strong,
        Ink::Caller | Ink::Plain => Ink::Plain,
        Ink::Faint => Ink::Faint,
        Ink::Strong | Ink::Good | Ink::Doubtful | Ink::Bad => ink,
    }
}

/// Without control characters.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Broken at blanks; a word longer than a line has one of its own.
fn wrapped(text: &str, width: Option<usize>) -> Vec<&str> {
    let Some(width) = width else { return vec![text] };
    let (mut lines, mut rest) = (Vec::new(), text);
    loop {
        let end = rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at);
        if end == rest.len() {
            lines.push(rest);
            return lines;
        }
        let (head, tail) = rest.split_at(end);
        let (line, next) = match head.rsplit_once(' ') {
            Some((line, begun)) if !line.trim().is_empty() => {
                (line, rest.get(rest.len() - tail.len() - begun.len()..).unwrap_or_default())
            }
            _ => (head, tail),
        };
        lines.push(line);
        rest = next.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_broken_at_blanks_and_nothing_is_lost() {
        let text = "Please enter your card number, then the expiration date.";
        for width in [5, 10, 20, 55, 56, 57] {
            let lines = wrapped(text, Some(width));
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
            let together: String = lines.join("").split_whitespace().collect();
            assert_eq!(together, text.split_whitespace().collect::<String>(), "{width}");
        }
        assert_eq!(wrapped("größer als", Some(6)), ["größer", "als"]);
        assert_eq!(wrapped(text, None), [text]);
    }

    #[test]
    fn a_document_cannot_play_with_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\r\nc"), "a [2Jb  c");
    }
}
