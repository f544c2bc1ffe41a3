//! `touchtone serve` as a program of its own that is killed without a warning and started again in the same place.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use tokio::net::TcpSocket;

use super::support::{TIME_LIMIT, wait};

/// Where the server is started.
pub struct Place {
    folder: PathBuf,
    /// The data folder.
    data: PathBuf,
    address: SocketAddr,
    /// Bound and never listening: nobody else gets the port while the server is down.
    _reserved: TcpSocket,
}

/// One start of the server; killed when dropped.
pub struct Running {
    child: Child,
}

impl Place {
    pub fn new(folder: &Path, data: &Path) -> Self {
        let reserved = TcpSocket::new_v4().unwrap();
        reserved.set_reuseaddr(true).unwrap();
        reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = reserved.local_addr().unwrap();
        Self { folder: folder.to_owned(), data: data.to_owned(), address, _reserved: reserved }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Starts it, for the `life`th time, and waits until it listens.
    pub async fn start(&self, life: usize) -> Running {
        let mut running = self.spawn(life);
        let lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
        let heard = tokio::task::spawn_blocking(move || {
            lines.map_while(Result::ok).any(|line| line.starts_with("listening on "))
        });
        let listens = tokio::time::timeout(TIME_LIMIT, heard).await;
        let log = self.log(life);
        assert!(matches!(listens, Ok(Ok(true))), "start {life}: {}", std::fs::read_to_string(log).unwrap());
        running
    }

    /// Starts it and does not wait for anything.
    pub fn spawn(&self, life: usize) -> Running {
        let log = std::fs::File::create(self.log(life)).unwrap();
        // So that a file that may not become longer is an error, as a disk that is full is.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_touchtone")]);
        command
            .current_dir(&self.folder)
            .args(["serve", "--listen", &self.address.to_string(), "--data"])
            .arg(&self.data);
        command.args(["--drain", &TIME_LIMIT.as_secs().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        // What is set for this test is no configuration of the server's.
        for name in ["RUST_LOG", "TESTS_KILLS", "TESTS_KILL_SEED"] {
            command.env_remove(name);
        }
        Running { child: command.spawn().unwrap() }
    }

    fn log(&self, life: usize) -> PathBuf {
        self.folder.join(format!("log-{life}.txt"))
    }

    /// The lines of all logs that name one of these, with the number of the start.
    pub fn log_lines(&self, lives: usize, named: &[&str]) -> String {
        let mut found = String::new();
        for life in 1..=lives {
            let log = std::fs::read_to_string(self.log(life)).unwrap_or_default();
            for line in log.lines().filter(|line| named.iter().any(|name| line.contains(name))) {
                found.push_str(&format!("  {life}: {line}\n"));
            }
        }
        found
    }
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ends.
    pub async fn stop(mut self) -> ExitStatus {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        wait::found("the server stops", 3 * TIME_LIMIT, async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
