//! Files that only their owner can read: keys, tokens, the database.
//!
//! Errors:  the system's own.
//! Secrets: the mode is set when the file is made; one that is there already keeps its own.
#![allow(clippy::disallowed_methods, reason = "it opens files, at the start or on threads that may be held up")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Opens a file as `options` say, and makes its folder first. A file that is made here is for its owner alone.
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

/// Writes a new file, to the disk.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = open(OpenOptions::new().write(true).create_new(true), path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
