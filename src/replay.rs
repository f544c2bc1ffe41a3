//! Call scripts: read, run in virtual time, compared, blessed.
//!
//! Shape:   a file in, a [`Report`] out. The machine is the one that serves live calls (`simulate`, `flow`).
//! Limits:  a script is at most [`SCRIPT_MAX`] bytes.
//! Errors:  [`ScriptError`], with the file and, for a faulty file, line and column.
//! Sources: spec/interface.md, "Call scripts".
#![allow(clippy::disallowed_methods, reason = "a command of its own, whose threads nobody shares")]

use std::path::{Path, PathBuf};

use crate::library::Library;

mod bless;
mod expect;
mod outside;
mod record;
mod run;
mod script;

pub use expect::{Requests, SentRequest};
pub use record::{Recording, RecordingError, record};
pub use run::{ScriptOutcome, run};
pub use script::{Script, duration};

/// The longest script, in bytes.
pub const SCRIPT_MAX: u64 = 1 << 20;

/// Why a script could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A path that is not there or cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not a script.
    #[error("{path}: {message}")]
    Malformed {
        /// The path.
        path: String,
        /// What is wrong and what is expected.
        message: String,
    },
}

/// One script's result.
#[derive(Debug)]
pub struct Report {
    /// Its file.
    pub path: PathBuf,
    /// What came of it, or why it was not run.
    pub outcome: Result<ScriptOutcome, ScriptError>,
}

impl Report {
    /// Whether everything expected happened.
    #[must_use]
    pub fn passed(&self) -> bool {
        matches!(&self.outcome, Ok(outcome) if outcome.failures.is_empty())
    }
}

/// Every script below `paths`, sorted: files as they are, folders by their `*.yaml` and `*.yml`.
///
/// # Errors
/// When a path is not there.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ScriptError> {
    let mut found = Vec::new();
    for path in paths {
        let unreadable = |source| ScriptError::Unreadable { path: path.display().to_string(), source };
        if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            let mut inside: Vec<PathBuf> = Vec::new();
            for file in std::fs::read_dir(path).map_err(unreadable)? {
                inside.push(file.map_err(unreadable)?.path());
            }
            // A folder is read in no order.
            inside.sort();
            inside.retain(|path| path.is_dir() || path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml"));
            found.extend(find(&inside)?);
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

/// Reads and runs one script.
#[must_use]
pub fn replay(path: &Path, library: &Library, requests: Requests) -> Report {
    let outcome = read(path).map(|(_, script)| run(&script, library, requests));
    Report { path: path.to_owned(), outcome }
}

/// Runs one script and writes what happened into its file as what is expected. True if that changed the file.
///
/// # Errors
/// When the file cannot be read, understood or written.
pub fn bless(path: &Path, library: &Library) -> Result<bool, ScriptError> {
    let (text, script) = read(path)?;
    let blessed = blessed(&text, &script, library)
        .map_err(|message| ScriptError::Malformed { path: path.display().to_string(), message })?;
    if blessed == text {
        return Ok(false);
    }
    std::fs::write(path, blessed)
        .map_err(|source| ScriptError::Unreadable { path: path.display().to_string(), source })?;
    Ok(true)
}

/// The text of a script with what happens in it as what is expected, or why it cannot be written so.
pub(crate) fn blessed(text: &str, script: &Script, library: &Library) -> Result<String, String> {
    let blessed = bless::blessed(text, &run(script, library, Requests::Some));
    // A script of one line in braces has no place for expectations: nobody's file is replaced by what is none.
    match Script::parse(&blessed) {
        Ok(again) if again.does_as(script) => Ok(blessed),
        Ok(_) | Err(_) => {
            Err("what happens cannot be written into it: give each key of the script, and expect, a line".to_owned())
        }
    }
}

fn read(path: &Path) -> Result<(String, Script), ScriptError> {
    let name = path.display().to_string();
    let unreadable = |source| ScriptError::Unreadable { path: name.clone(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > SCRIPT_MAX {
        return Err(ScriptError::Malformed { path: name, message: format!("a script has at most {SCRIPT_MAX} bytes") });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let script = Script::parse(&text).map_err(|message| ScriptError::Malformed { path: name, message })?;
    Ok((text, script))
}

#[cfg(test)]
mod tests;
