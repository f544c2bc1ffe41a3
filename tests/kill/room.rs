//! A folder with little room, which can be filled: a file system of its own where one can be mounted, else a limit on how
//! long the server's files may become.

use std::path::{Path, PathBuf};
use std::process::Command;

/// How much room there is, in MiB: enough for the payments of a minute.
const SIZE_MIB: u32 = 16;

pub struct Room {
    folder: tempfile::TempDir,
    is_mounted: bool,
}

impl Room {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE_MIB}m"), "tmpfs"]).arg(folder.path());
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        Self { folder, is_mounted }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// No more room for a process.
    pub fn fill(&self, process: u32) {
        if !self.is_mounted {
            return limit(process, "4096");
        }
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        let piece = [0; 4096];
        while std::io::Write::write_all(&mut ballast, &piece).is_ok() {}
    }

    /// Room again.
    pub fn clear(&self, process: u32) {
        if !self.is_mounted {
            return limit(process, "unlimited");
        }
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").args(["-l"]).arg(self.folder.path()).status();
        }
    }
}

/// How long files may become that a process writes to. (It has to ignore SIGXFSZ.)
fn limit(process: u32, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    let limited = Command::new("prlimit").args(["--pid", &process.to_string(), &limit]).status().unwrap();
    assert!(limited.success(), "neither can a file system be mounted, nor a limit be set");
}
