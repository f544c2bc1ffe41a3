//! Finished calls as scripts in a folder: `serve --record DIR`.
//!
//! Shape:   [`Recordings::open`] once; a [`Recorder`] a call, whose tape the actor feeds; [`Recorder::finish`] writes.
//! Limits:  those of a tape and a script; a longer call is not written.
//! Errors:  a folder that cannot be written to is a reason not to start; later, what cannot be written is logged, and no call
//!          is the worse for it.
//! Secrets: what was keyed is in the tape alone, and never in a file: `replay::record` sees to that. Files are their owner's
//!          only.
#![allow(clippy::disallowed_methods, reason = "it writes files, on threads that may be held up")]

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::blocking;
use crate::flow::Context;
use crate::library::Library;
use crate::replay;
use crate::simulate::tape::{FirstDocument, Tape};

/// The longest part of a call's id in a file's name.
const ID_MAX: usize = 64;

/// How many calls of one id may begin in one second.
const SAME_MAX: u32 = 1000;

/// A folder of recordings.
#[derive(Clone, Debug)]
pub struct Recordings {
    folder: PathBuf,
}

impl Recordings {
    /// Recordings in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made, or nothing can be written in it.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        // Gone at once: it only shows that the folder takes files.
        tempfile::NamedTempFile::new_in(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }
}

/// What takes one call down.
#[derive(Debug)]
pub(super) struct Recorder {
    /// What the machine is told and wants goes in here.
    pub(super) tape: Tape,
    folder: PathBuf,
    name: String,
}

impl Recorder {
    /// Begins with a call's first document.
    pub(super) fn begin(recordings: &Recordings, first: FirstDocument, context: &Context) -> Self {
        // A platform's text: nothing of it may lead out of the folder.
        let id: String = context.call_sid.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let id = id.get(..id.len().min(ID_MAX)).unwrap_or_default();
        let name = format!("{}-{id}", context.answered_at.strftime("%Y%m%d-%H%M%S"));
        Self { tape: Tape::new(first, context), folder: recordings.folder.clone(), name }
    }

    /// Writes the script of a call that is over.
    pub(super) async fn finish(self, library: Library, seed: u64) {
        if blocking::run(move || self.write(&library, seed)).await.is_err() {
            tracing::error!("recorder panicked; the call has no recording");
        }
    }

    fn write(self, library: &Library, seed: u64) {
        blocking::assert_allowed();
        let Self { tape, folder, name } = self;
        let recorded = replay::record(&tape, library, seed);
        // Made-up keys stand for the caller's from here on: those are wiped before the disk is waited for.
        drop(tape);
        let recording = match recorded {
            Ok(recording) => recording,
            Err(error) => return tracing::error!(%error, "could not record call; no file is written"),
        };
        match save(&folder, &name, &recording.text) {
            Ok(path) => match recording.difference {
                None => tracing::info!(file = %path.display(), "recording written"),
                Some(_) => tracing::warn!(
                    file = %path.display(),
                    "recording does not replay as the call went; its first line says where"
                ),
            },
            Err(error) => tracing::error!(folder = %folder.display(), %error, "could not write recording"),
        }
    }
}

/// Writes a file under another name first, so that nobody finds half a script.
fn save(folder: &Path, name: &str, text: &str) -> std::io::Result<PathBuf> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    for number in 1..=SAME_MAX {
        let number = if number == 1 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("{name}{number}.yaml"));
        match file.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(taken) if taken.error.kind() == std::io::ErrorKind::AlreadyExists => file = taken.file,
            Err(failed) => return Err(failed.error),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}
