//! A PostgreSQL server of the test's own: in a temporary folder, on a socket in it, off the network unless TLS is tested;
//! gone with its owner.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{AnyConnection, Connection, Executor};

use super::certificates::{Certificate, Files};
use super::wait;

/// Where distributions keep the servers' programs.
const ROOT: &str = "/usr/lib/postgresql";

/// A server.
pub struct Postgres {
    child: Child,
    folder: tempfile::TempDir,
    /// Its own settings.
    settings: Vec<String>,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts one. `settings` are the server's own, such as `fsync=off`.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings)
    }

    /// Starts one that listens on a loopback port too, without TLS; gives the port.
    pub fn start_on_loopback() -> (Self, u16) {
        let port = free_port();
        (Self::start(&["fsync=off", "listen_addresses=127.0.0.1", &format!("port={port}")]), port)
    }

    /// The same with TLS.
    pub fn start_with_tls(certificate: &Certificate) -> (Self, u16) {
        let folder = tempfile::tempdir().unwrap();
        let Files { cert, key } = certificate.write(folder.path());
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        let port = free_port();
        let files = [format!("ssl_cert_file={}", cert.display()), format!("ssl_key_file={}", key.display())];
        let at = format!("port={port}");
        let settings = ["fsync=off", "listen_addresses=127.0.0.1", &at, "ssl=on", &files[0], &files[1]];
        (Self::start_in(folder, &settings), port)
    }

    fn start_in(folder: tempfile::TempDir, settings: &[&str]) -> Self {
        let programs = programs();
        let user = user();
        if let Some((uid, gid)) = user {
            let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
            for path in files.chain([folder.path().to_owned()]) {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
            }
        }
        let data = folder.path().join("data");
        let mut initdb = as_user(user, &programs.join("initdb"));
        initdb.args(["--no-sync", "--auth=trust", "--username=touchtone", "--encoding=UTF8", "--locale=C", "-D"]);
        let made = initdb.arg(&data).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let child = spawn(folder.path(), &settings);
        let postgres = Self { child, folder, settings, databases: AtomicU32::new(0) };
        postgres.wait_until_ready();
        postgres
    }

    fn wait_until_ready(&self) {
        let ready = programs().join("pg_isready");
        let port = self.settings.iter().find_map(|setting| setting.strip_prefix("port=")).unwrap_or("5432");
        let is_ready = || {
            let mut asking = Command::new(&ready);
            asking.args(["-q", "-p", port, "-h"]).arg(self.folder.path()).status().unwrap().success()
        };
        let starts = wait::within_blocking(Duration::from_secs(30), is_ready);
        assert!(starts, "the server does not start: {}", self.log());
    }

    /// Stops it at once, as a crash would.
    pub fn stop(&mut self) {
        let _ = Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }

    /// Starts it again after [`Self::stop`], with what it had.
    pub fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), &self.settings);
        self.wait_until_ready();
    }

    /// The URL of a new, empty database.
    pub async fn database(&self) -> String {
        sqlx::any::install_default_drivers();
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = AnyConnection::connect(&self.url("postgres")).await.unwrap();
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))).await.unwrap();
        self.url(&name)
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=touchtone", self.folder.path().display())
    }

    /// Makes it answer nobody, as a machine that hangs, until it goes on.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    /// To it and to what it has for each connection.
    fn signal(&self, signal: &str) {
        let own = self.child.id().to_string();
        let children = Command::new("pgrep").args(["-P", &own]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        let sent = Command::new("kill").arg(signal).arg(&own).args(children.split_whitespace()).status().unwrap();
        assert!(sent.success());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once, but so that its own children and shared memory go too.
        self.stop();
    }
}

fn spawn(folder: &Path, settings: &[String]) -> Child {
    let mut server = as_user(user(), &programs().join("postgres"));
    server.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).args(["-c", "listen_addresses="]);
    for setting in settings {
        server.args(["-c", setting]);
    }
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    server.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    server.spawn().unwrap()
}

/// One that nobody has now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The newest version that is installed.
fn programs() -> PathBuf {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let folders = std::fs::read_dir(ROOT).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = folders.filter(|folder| folder.join("bin/initdb").is_file()).max_by_key(|folder| version(folder));
    found.expect("there is no PostgreSQL server on this machine; tests/run installs it").join("bin")
}

/// PostgreSQL refuses to run as root: who runs it then.
fn user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().ok()
    };
    (id(&["-u"]) == Some(0)).then(|| {
        let ids = |name: &str| Some((id(&["-u", name])?, id(&["-g", name])?));
        ids("postgres").or_else(|| ids("nobody")).expect("a user that is not root")
    })
}

/// Ends with the thread that started it, whatever becomes of that.
fn as_user(user: Option<(u32, u32)>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=QUIT");
    if let Some((uid, gid)) = user {
        command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
    }
    command.arg("--").arg(program);
    command
}
