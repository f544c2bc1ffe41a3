//! A disk that is full for a moment: what could not be written then is written when there is room again, by the same process.
//!
//! The test runs itself anew, in a process that has a disk of its own where that is allowed, and once more in one whose files
//! may not grow, which is allowed everywhere.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use touchtone::pay::outcome::Standing;
use touchtone::store::sql::{DatabaseAddress, IfMissing, Sql};
use touchtone::store::{Backend, BackendError, NewPayment, NodeId, PaymentState};

use crate::samples::{A, at, payment, settled, sid, waiting};

/// Says to the process that has the disk where it is and of what kind.
const DISK: &str = "TESTS_DISK";

/// Puts a disk of 2 MiB in its place, if that is allowed. What is written past a limit must fail, not end the process.
const OWN_DISK: &str = "mount -t tmpfs -o size=2m none \"$1\" || exit 77; shift; trap '' XFSZ; exec \"$@\"";
const NO_DISK: &str = "shift; trap '' XFSZ; exec \"$@\"";

enum Disk {
    /// A real one.
    Own(PathBuf),
    /// Files may not grow.
    Limit,
}

impl Disk {
    fn fill(&self) {
        match self {
            Self::Own(folder) => {
                let mut ballast = OpenOptions::new().append(true).create(true).open(folder.join("ballast")).unwrap();
                while ballast.write_all(&[7; 4096]).is_ok() {}
                while ballast.write_all(&[7]).is_ok() {}
            }
            Self::Limit => limit("1024"),
        }
    }

    fn clear(&self) {
        match self {
            Self::Own(folder) => std::fs::remove_file(folder.join("ballast")).unwrap(),
            Self::Limit => limit("unlimited"),
        }
    }
}

fn limit(bytes: &str) {
    let process = std::process::id().to_string();
    let done = Command::new("prlimit").args(["--pid", &process, &format!("--fsize={bytes}:")]).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_disk_that_was_full_is_written_to_again_without_a_restart() {
    if let Ok(disk) = std::env::var(DISK) {
        let (kind, folder) = disk.split_once(' ').unwrap();
        let folder = PathBuf::from(folder);
        let disk = if kind == "own" { Disk::Own(folder.clone()) } else { Disk::Limit };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(full_for_a_moment(&disk, &folder));
    }
    let again = |kind: &str, shell: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let [program, arguments @ ..] = shell else { unreachable!() };
        let mut command = Command::new(program);
        command.args(arguments).args(["sh"]).arg(folder.path()).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "full::a_disk_that_was_full_is_written_to_again_without_a_restart", "--nocapture"]);
        command.env(DISK, format!("{kind} {}", folder.path().display())).output().unwrap()
    };
    let own = again("own", &["unshare", "--mount", "--map-root-user", "sh", "-c", OWN_DISK]);
    let said = String::from_utf8_lossy(&own.stderr).into_owned();
    // Without the right to a mount namespace there is no disk to fill.
    let is_forbidden = own.status.code() == Some(77) || said.contains("unshare");
    assert!(own.status.success() || is_forbidden, "{said}");
    let limited = again("limit", &["sh", "-c", NO_DISK]);
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stderr));
}

async fn full_for_a_moment(disk: &Disk, folder: &Path) {
    let address = DatabaseAddress::Sqlite(folder.join("books.db"));
    let sql = Sql::open(&address, IfMissing::Create).await.unwrap();
    let large = |number| NewPayment { sealed: vec![7; 40_000], ..payment(number) };
    for number in 1..=3 {
        sql.insert_payment(payment(number), A, at(1)).await.unwrap();
        sql.mark_sending(&sid(number), None, 1, A, at(2)).await.unwrap();
    }
    let mut failed = Vec::new();
    for number in 100..130 {
        // A connection that is closed may have made room.
        disk.fill();
        // One by one, and several at once.
        let (one, other) = tokio::join!(
            sql.insert_payment(large(number), A, at(3)),
            sql.settle_payment(settled(1, Standing::Succeeded), vec![waiting(number)], vec![], A, at(3))
        );
        failed.extend([one.err(), other.err()].into_iter().flatten());
    }
    assert!(failed.len() > 20, "the disk is not full: {failed:?}");
    assert!(failed.iter().all(|error| matches!(error, BackendError::Unavailable(_))), "{failed:?}");
    disk.fill();
    assert!(sql.heartbeat(A).await.is_err(), "a heartbeat is a write: it tells that nothing can be written");
    assert_eq!(sql.payment(&sid(2)).await.unwrap().unwrap().state, PaymentState::Submitting, "it can be read");
    disk.clear();
    let since = Instant::now();
    sql.heartbeat(A).await.unwrap();
    for number in 200..210 {
        sql.insert_payment(large(number), A, at(4)).await.unwrap();
    }
    let told = sql.settle_payment(settled(2, Standing::Succeeded), vec![waiting(300)], vec![], A, at(4)).await.unwrap();
    assert_eq!(told.callbacks.len(), 1);
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    drop(sql);
    // It is on the disk, and whole.
    let sql = Sql::open(&address, IfMissing::Fail).await.unwrap();
    assert_eq!(sql.payment(&sid(2)).await.unwrap().unwrap().state, PaymentState::Succeeded);
    assert!(sql.payment(&sid(209)).await.unwrap().is_some());
    sql.register(NodeId::random(), None).await.unwrap();
}
