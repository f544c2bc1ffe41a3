//! Where keys come from in real time: the keyboard of a terminal, or lines of standard input.
//!
//! Shape:   a thread reads, a channel brings [`CallerInput`]s. [`Keyboard`] has the terminal in raw mode as long as it lives.
//! Limits:  [`READ_AHEAD`] inputs wait; a reader of lines then waits too.
//! Errors:  [`CommandFailure`], when the terminal cannot be had.
//! Secrets: a raw terminal echoes nothing, and what is read goes nowhere but into a [`Key`].

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use tokio::sync::mpsc;

use super::caller::{self, BadLine, InputLine};
use crate::cli::CommandFailure;
use crate::tone::Key;

/// How many inputs are read before they can be used. Chosen freely: no one types that far ahead.
const READ_AHEAD: usize = 256;

/// How often the reader of the keyboard looks whether it is still wanted.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// Something the caller does.
#[derive(Debug)]
pub(super) enum CallerInput {
    /// Presses a key, now.
    Key(Key),
    /// Says what to do next.
    Line(InputLine),
    /// Hangs up, now.
    HangUp,
    /// Wants to know what can be done.
    Help,
    /// Wrote a line that means nothing.
    Bad(BadLine),
}

/// Lines of standard input. The reader may stay behind in a read that never ends: it holds nothing.
pub(super) fn lines() -> mpsc::Receiver<CallerInput> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    // A thread of its own: a read of standard input cannot be cancelled, and a runtime would wait for it.
    std::thread::spawn(move || {
        for (number, line) in std::io::stdin().lock().lines().enumerate() {
            let Ok(line) = line.map(zeroize::Zeroizing::new) else { return };
            let input = match caller::read(number + 1, &line) {
                Ok(None) => continue,
                Ok(Some(line)) => CallerInput::Line(line),
                Err(bad) => CallerInput::Bad(bad),
            };
            if sender.blocking_send(input).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A terminal in raw mode; it is as it was before when this is dropped, and before a panic is told.
pub(super) struct Keyboard {
    unwanted: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Keyboard {
    pub(super) fn open() -> Result<(Self, mpsc::Receiver<CallerInput>), CommandFailure> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let _ = disable_raw_mode();
            before(panic);
        }));
        enable_raw_mode().map_err(|error| {
            CommandFailure(format!("this terminal cannot be read key by key ({error}); pipe lines of keys instead"))
        })?;
        let unwanted = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let flag = Arc::clone(&unwanted);
        let reader = std::thread::spawn(move || read_keys(&flag, &sender));
        Ok((Self { unwanted, reader: Some(reader) }, receiver))
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let _ = disable_raw_mode();
    }
}

fn read_keys(unwanted: &AtomicBool, inputs: &mpsc::Sender<CallerInput>) {
    while !unwanted.load(Ordering::Relaxed) {
        let input =
            match event::poll(LOOK_AROUND).and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) }) {
                Ok(Some(event::Event::Key(key))) if key.kind != KeyEventKind::Release => meaning(key),
                Ok(_) => None,
                // The terminal is gone.
                Err(_) => {
                    let _ = inputs.blocking_send(CallerInput::HangUp);
                    return;
                }
            };
        // Whoever types faster than the call takes keys waits, as on a pipe.
        if input.is_some_and(|input| inputs.blocking_send(input).is_err()) {
            return;
        }
    }
}

fn meaning(key: KeyEvent) -> Option<CallerInput> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c' | 'd' | '\\')).then_some(CallerInput::HangUp);
    }
    match key.code {
        KeyCode::Char('h' | 'H' | 'q' | 'Q') => Some(CallerInput::HangUp),
        KeyCode::Char('?') => Some(CallerInput::Help),
        KeyCode::Char(symbol) => Key::parse(symbol).map(CallerInput::Key),
        _ => None,
    }
}

/// Signals that ask the program to end: the call is hung up in an orderly way, so that it is told how it ended.
pub(super) struct Stop {
    #[cfg(unix)]
    signals: Vec<tokio::signal::unix::Signal>,
}

impl Stop {
    /// Needs a tokio runtime.
    #[cfg(unix)]
    pub(super) fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Self { signals: kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect() }
    }

    /// Needs a tokio runtime.
    #[cfg(not(unix))]
    pub(super) const fn new() -> Self {
        Self {}
    }

    /// Returns when the program is asked to end.
    #[cfg(unix)]
    pub(super) async fn asked(&mut self) {
        std::future::poll_fn(|context| {
            let asked = self.signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if asked { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    /// Returns when the program is asked to end.
    #[cfg(not(unix))]
    pub(super) async fn asked(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telephone_keys_are_keys_and_the_rest_is_help_or_the_end() {
        let press = |code| meaning(KeyEvent::new(KeyCode::Char(code), KeyModifiers::NONE));
        for symbol in "0123456789*#ABCDabcd".chars() {
            assert!(matches!(press(symbol), Some(CallerInput::Key(_))), "{symbol}");
        }
        assert!(matches!(press('h'), Some(CallerInput::HangUp)) && matches!(press('q'), Some(CallerInput::HangUp)));
        assert!(matches!(press('?'), Some(CallerInput::Help)));
        assert!(press('x').is_none());
        let interrupt = meaning(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(matches!(interrupt, Some(CallerInput::HangUp)), "Ctrl-C is no key C");
    }
}
