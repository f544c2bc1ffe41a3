//! Gives bytes a path, because Pico loads its voices from nothing else.
//!
//! Shape:   a [`PathOf`] names the bytes as long as it lives.
//! Limits:  a path has at most `PATH_BYTES_MAX` bytes: Pico copies it into a buffer of 512 without looking.
//! Errors:  [`io::Error`] if no folder takes the bytes.
//! Absent:  memory files (`memfd_create`). Their paths, `/proc/self/fd/N`, have no ending, and Pico refuses what does
//!          not end in `.bin` (picorsrc.c, `parse_resource_name`). `/dev/shm` is memory too, and writable where
//!          containers forbid the rest.
#![allow(clippy::disallowed_methods, reason = "at the start, when nobody else is held up")]

use std::env;
use std::io::{self, Write as _};
use std::path::Path;
use tempfile::{Builder, NamedTempFile, TempPath};

/// What Pico's buffer holds beside the closing zero (picoos.h, `picoos_MaxFileNameLen`).
const PATH_BYTES_MAX: usize = 511;

/// The folder that lies in memory, on Linux.
const MEMORY_FOLDER: &str = "/dev/shm";

/// Bytes that can be opened by path: a file that only this user may read, and that is gone when this is dropped.
pub(super) struct PathOf {
    file: TempPath,
}

impl PathOf {
    /// Puts `bytes` where a path leads to them: in memory where the system can, else in the folder for temporary files.
    pub(super) fn bytes(bytes: &[u8]) -> io::Result<Self> {
        Self::bytes_in(Path::new(MEMORY_FOLDER), bytes).or_else(|_| Self::bytes_in(&env::temp_dir(), bytes))
    }

    fn bytes_in(folder: &Path, bytes: &[u8]) -> io::Result<Self> {
        let mut file: NamedTempFile = Builder::new().prefix("touchtone-voice-").suffix(".bin").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.flush()?;
        let made = Self { file: file.into_temp_path() };
        // A path that is too long is refused here, so that the other folder is tried.
        made.as_str()?;
        Ok(made)
    }

    /// The path.
    pub(super) fn as_str(&self) -> io::Result<&str> {
        let path = self.file.to_str().filter(|path| path.len() <= PATH_BYTES_MAX);
        path.ok_or_else(|| io::Error::other("the path of the folder for temporary files is too long, or not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_path_leads_to_the_bytes_while_it_is_kept_and_no_longer() {
        let path = {
            let made = PathOf::bytes(b"voice").unwrap();
            let path = made.as_str().unwrap().to_owned();
            assert!(path.ends_with(".bin"));
            assert_eq!(fs::read(&path).unwrap(), b"voice");
            path
        };
        assert!(fs::read(path).is_err());
    }

    #[test]
    fn a_path_that_would_overrun_the_buffer_of_pico_is_refused() {
        let mut folder = tempfile::tempdir().unwrap().keep();
        let top = folder.clone();
        while folder.as_os_str().len() <= PATH_BYTES_MAX {
            folder.push("a".repeat(100));
        }
        fs::create_dir_all(&folder).unwrap();
        assert!(PathOf::bytes_in(&folder, b"voice").is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir_all(top).unwrap();
    }
}
