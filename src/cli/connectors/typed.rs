//! A secret that is typed and not shown.
//!
//! Secrets: the terminal echoes nothing in raw mode; what is typed goes into wiped memory only.

use std::io::Write;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use zeroize::Zeroizing;

use crate::cli::CommandFailure;
use crate::secret::Secret;

/// The longest text that is typed or pasted, in bytes: kept in one block that never grows, for that leaves copies behind.
const TYPED_MAX: usize = 4096;

/// The terminal in raw mode as long as it lives.
struct RawTerminal;

impl RawTerminal {
    fn new() -> Result<Self, CommandFailure> {
        enable_raw_mode().map_err(CommandFailure::new)?;
        Ok(Self)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = disable_raw_mode();
        eprintln!();
    }
}

/// Asks for a secret on the terminal.
pub(super) fn secret(key: &str) -> Result<Secret, CommandFailure> {
    eprint!("{key} (not shown): ");
    std::io::stderr().flush().map_err(CommandFailure::new)?;
    let raw = RawTerminal::new()?;
    let mut text = Zeroizing::new(String::with_capacity(TYPED_MAX));
    loop {
        let Event::Key(pressed) = event::read().map_err(CommandFailure::new)? else { continue };
        match take(&mut text, &pressed) {
            Pressed::More => {}
            Pressed::Done => break,
            Pressed::Stop => {
                drop(raw);
                return Err(CommandFailure("nothing was done".to_owned()));
            }
        }
    }
    drop(raw);
    Ok(Secret::new(text.as_str().to_owned()))
}

#[derive(Debug, PartialEq, Eq)]
enum Pressed {
    More,
    Done,
    Stop,
}

fn take(text: &mut String, pressed: &KeyEvent) -> Pressed {
    if pressed.kind == KeyEventKind::Release {
        return Pressed::More;
    }
    let control = pressed.modifiers.contains(KeyModifiers::CONTROL);
    match pressed.code {
        KeyCode::Enter => return Pressed::Done,
        // A terminal in raw mode sends a line feed so, at the end of what is pasted.
        KeyCode::Char('j') if control => return Pressed::Done,
        KeyCode::Char('c' | 'd') if control => return Pressed::Stop,
        KeyCode::Char('u') if control => text.clear(),
        KeyCode::Backspace => {
            text.pop();
        }
        KeyCode::Char(letter) if !control && text.len() + letter.len_utf8() <= TYPED_MAX => text.push(letter),
        _ => {}
    }
    Pressed::More
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_can_be_mended_and_given_up() {
        let mut text = String::new();
        let mut press = |code, modifiers| take(&mut text, &KeyEvent::new(code, modifiers));
        for letter in "sk_x".chars() {
            assert_eq!(press(KeyCode::Char(letter), KeyModifiers::NONE), Pressed::More);
        }
        press(KeyCode::Backspace, KeyModifiers::NONE);
        press(KeyCode::Char('T'), KeyModifiers::SHIFT);
        press(KeyCode::Left, KeyModifiers::NONE);
        assert_eq!(press(KeyCode::Enter, KeyModifiers::NONE), Pressed::Done);
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Pressed::Stop);
        assert_eq!(text, "sk_T");
        take(&mut text, &KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
        assert_eq!(text, "");
    }
}
