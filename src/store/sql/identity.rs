//! Whether a SQLite file is still the one that was opened.
//!
//! Shape:   [`Identity::of`] when it is open, [`Identity::check`] before every write, [`Identity::check_size`] with a heartbeat;
//!          what that finds, every check finds from then on. A log that became shorter is taken for whole only if SQLite says
//!          that it needs no more than is there ([`Identity::check_log`]).
//! Errors:  [`BackendError::Unavailable`] with what has happened: nothing that is written then would outlive the process.
//!
//! By `stat` alone: to open the file and close it again would take SQLite's own locks from this process.
#![allow(clippy::disallowed_methods, reason = "it looks at files, on threads that may be held up")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::blocking;
use crate::store::backend::BackendError;

/// What SQLite puts after the name of a file for the files that belong to it.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// The database's file and those beside it, as they were when they were first seen.
#[derive(Debug)]
pub(super) struct Identity {
    files: Vec<PathBuf>,
    seen: Mutex<SeenFiles>,
}

#[derive(Debug, Default)]
struct SeenFiles {
    /// Device and number of each file. None: it was not there.
    files: Vec<Option<(u64, u64)>>,
    /// The size of the database's file at the last heartbeat.
    size: u64,
    /// The size of its log at the last write.
    log: u64,
    /// It was cut once: what is missing does not come back by its being written to.
    is_cut: bool,
}

impl Identity {
    /// Of the file at a path, which is open.
    pub(super) fn of(path: &Path) -> Self {
        // SQLite follows a link, and has the others beside what it leads to.
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let beside = |suffix: &str| {
            let mut name = real.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let files: Vec<PathBuf> = [path.to_owned()].into_iter().chain(BESIDE.map(beside)).collect();
        let seen = SeenFiles { files: vec![None; files.len()], ..SeenFiles::default() };
        Self { files, seen: Mutex::new(seen) }
    }

    /// Whether the files are those that were seen first, and were not found to be cut. The disk may be far away: nobody else is
    /// held up by it.
    /// Gives the size of the log, if it is smaller than it was: SQLite itself never makes it so while the database is open, unless
    /// whoever else uses it asks for that.
    pub(super) async fn check(self: &Arc<Self>) -> Result<Option<u64>, BackendError> {
        let identity = Arc::clone(self);
        blocking::run(move || identity.look()).await.unwrap_or_else(|broken| Err(broken_down(broken)))
    }

    /// As [`Self::check`], on a thread that may be held up.
    pub(super) fn look(&self) -> Result<Option<u64>, BackendError> {
        blocking::assert_allowed();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_cut
            && let Some(path) = self.files.first()
        {
            return Err(gone(path, "was cut"));
        }
        for (path, known) in self.files.iter().zip(&mut seen.files) {
            match (identity(path), &known) {
                (Ok(now), Some(before)) if now == *before => {}
                (Ok(now), None) => *known = Some(now),
                (Ok(_), Some(_)) => return Err(gone(path, "was replaced")),
                (Err(error), Some(_)) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(gone(path, "was deleted"));
                }
                // SQLite makes it when it needs it.
                (Err(error), None) if error.kind() == io::ErrorKind::NotFound => {}
                (Err(error), _) => return Err(BackendError::Unavailable(format!("{}: {error}", path.display()))),
            }
        }
        let log = self.log_size();
        if log < seen.log {
            return Ok(Some(log));
        }
        seen.log = log;
        Ok(None)
    }

    /// Whether a log of this size holds what it must, in bytes: what is not in the database's file yet.
    pub(super) fn check_log(&self, size: u64, needed: u64) -> Result<(), BackendError> {
        if size < needed {
            return Err(self.log_was_cut());
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).log = size;
        Ok(())
    }

    /// What is in the log cannot be read any more.
    pub(super) fn log_was_cut(&self) -> BackendError {
        gone(self.log().unwrap_or(Path::new("the log")), "was cut")
    }

    fn log(&self) -> Option<&Path> {
        self.files.get(1).map(PathBuf::as_path)
    }

    fn log_size(&self) -> u64 {
        // That it is not there is found out by `check`.
        self.log().and_then(|log| std::fs::metadata(log).ok()).map_or(0, |metadata| metadata.len())
    }

    /// Whether the file still holds what it did; `needed` is what SQLite says it has to hold at last, in bytes: a database that
    /// was made smaller needs less. None: SQLite cannot read it.
    pub(super) async fn check_size(self: &Arc<Self>, needed: Option<u64>) -> Result<(), BackendError> {
        let identity = Arc::clone(self);
        blocking::run(move || identity.look_at_size(needed)).await.unwrap_or_else(|broken| Err(broken_down(broken)))
    }

    fn look_at_size(&self, needed: Option<u64>) -> Result<(), BackendError> {
        blocking::assert_allowed();
        let Some(path) = self.files.first() else { return Ok(()) };
        let now = std::fs::metadata(path).map(|metadata| metadata.len());
        let now = now.map_err(|error| BackendError::Unavailable(format!("{}: {error}", path.display())))?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_cut |= now < seen.size && needed.is_none_or(|needed| now < needed);
        if seen.is_cut {
            return Err(gone(path, "was cut"));
        }
        seen.size = now;
        Ok(())
    }
}

fn broken_down(broken: blocking::Broken) -> BackendError {
    BackendError::Unavailable(format!("looking at the database's file: {broken}"))
}

fn gone(path: &Path, what: &str) -> BackendError {
    BackendError::Unavailable(format!(
        "{} {what} while the server ran: put it back and restart; nothing is written until then",
        path.display()
    ))
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;

    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Where files have no numbers, only that there is one.
#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|_| (0, 0))
}
