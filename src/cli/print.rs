//! What commands write on stdout and stderr.
//!
//! Shape:   [`println!`], [`print!`] and [`eprintln!`] of this module stand in for those of `std`, which panic where nobody reads
//!          any more (`touchtone replay | head -3`).
//! Errors:  a reader that is gone is none: the command goes on to its end, and its exit code says how that was. Anything else,
//!          such as a full disk behind a redirection, ends the program with 2.

use std::fmt;
use std::io::{self, ErrorKind, Write};

/// Writes to stdout.
pub(super) fn out(text: fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_fmt(text).and_then(|()| stdout.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        err(format_args!("touchtone: stdout cannot be written: {error}\n"));
        std::process::exit(2);
    }
}

/// Writes to stderr. Where that is not possible, there is nobody left to tell.
pub(super) fn err(text: fmt::Arguments<'_>) {
    let _unread = io::stderr().lock().write_fmt(text);
}

macro_rules! print {
    ($($text:tt)*) => { $crate::cli::print::out(format_args!($($text)*)) };
}

macro_rules! println {
    () => { $crate::cli::print::out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::cli::print::out(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::cli::print::err(format_args!($($text)*)) };
}

macro_rules! eprintln {
    () => { $crate::cli::print::err(format_args!("\n")) };
    ($($text:tt)*) => { $crate::cli::print::err(format_args!("{}\n", format_args!($($text)*))) };
}
