//! The real binary, as an operator starts it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// No voices: every turn is over at once.
pub const SILENT: (&str, &str) = ("TOUCHTONE_SPEECH__ENGINE", "none");

/// A running `touchtone serve`; killed when dropped.
pub struct Process {
    pub child: Child,
    pub address: SocketAddr,
    /// What it printed before it listened.
    pub greeting: Vec<String>,
    pub log: PathBuf,
}

impl Process {
    pub fn start(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = folder.join("log.txt");
        let mut command = Command::new(env!("CARGO_BIN_EXE_touchtone"));
        command.current_dir(folder).args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
        command.env_remove("RUST_LOG").envs(environment.iter().copied());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut greeting = Vec::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("it did not start: {}", std::fs::read_to_string(&log).unwrap());
            };
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.parse().unwrap();
            }
            greeting.push(line);
        };
        Self { child, address, greeting, log }
    }

    /// One with these flows and configuration lines.
    pub fn start_with(folder: &Path, flows: &[(&str, &str)], toml: &str) -> Self {
        super::write_flows(&folder.join("flows"), flows);
        let keys = format!("account_sid = \"{}\"\nauth_token = \"{}\"", super::ACCOUNT, super::TOKEN);
        std::fs::write(folder.join("touchtone.toml"), format!("{keys}\n{toml}\n")).unwrap();
        Self::start(folder, &[], &[])
    }

    pub fn terminate(&self) {
        signal(self.child.id(), "-TERM");
    }

    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(process: u32, signal: &str) {
    let sent = Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Every file in a folder and the folders in it.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
