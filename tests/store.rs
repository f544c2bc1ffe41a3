//! The store on each of its databases: one contract, opening and reopening, keys, nodes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests live in the real world"
)]
#![allow(unreachable_pub, reason = "a test's modules are its own")]

#[path = "store/alike.rs"]
mod alike;
#[path = "store/audited.rs"]
mod audited;
#[path = "store/callbacks.rs"]
mod callbacks;
#[path = "store/contract.rs"]
mod contract;
#[path = "store/frozen.rs"]
mod frozen;
#[path = "store/full.rs"]
mod full;
#[path = "store/gone.rs"]
mod gone;
#[path = "store/nodes.rs"]
mod nodes;
#[path = "store/opening.rs"]
mod opening;
#[path = "store/payments.rs"]
mod payments;
#[path = "store/samples.rs"]
mod samples;
#[path = "store/sessions.rs"]
mod sessions;
#[path = "store/speed.rs"]
mod speed;
mod support;
#[path = "store/suspended.rs"]
mod suspended;
#[path = "store/unreadable.rs"]
mod unreadable;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contract::{Books, Pass, RULES};
use futures_util::FutureExt;
use sqlx::{AnyConnection, Connection, Executor};
use support::postgres::Postgres;
use touchtone::store::Backend;
use touchtone::store::memory::Memory;
use touchtone::store::sql::{DatabaseAddress, IfMissing, Sql};

async fn sqlite(path: &Path) -> Arc<dyn Backend> {
    Arc::new(Sql::open(&DatabaseAddress::Sqlite(path.to_owned()), IfMissing::Create).await.unwrap())
}

async fn postgres(url: &str) -> Arc<dyn Backend> {
    Arc::new(Sql::open(&url.parse().unwrap(), IfMissing::Fail).await.unwrap())
}

/// Lets time pass in a database whose clock is nobody's: what it has heard was heard so much earlier.
fn pass(url: &str) -> Pass {
    let url = url.to_owned();
    Arc::new(move |time| {
        let url = url.clone();
        async move {
            let mut connection = AnyConnection::connect(&url).await.unwrap();
            let back = sqlx::query("UPDATE nodes SET seen = seen - $1, since = since - $1");
            connection.execute(back.bind(time.as_millis() as i64)).await.unwrap();
            connection.close().await.unwrap();
        }
        .boxed()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    for (name, rule) in RULES {
        eprintln!("{name}");
        let memory: Arc<dyn Backend> = Arc::new(Memory::default());
        rule(Books { here: Arc::clone(&memory), there: memory, pass: None }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_memory_keeps_the_contract() {
    for (name, rule) in RULES {
        eprintln!("{name}");
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let (read, moved) = (Arc::clone(&clock), clock);
        let clock = Box::new(move || Duration::from_millis(read.load(Ordering::SeqCst)));
        let memory: Arc<dyn Backend> = Arc::new(Memory::default().shared(clock));
        let pass: Pass = Arc::new(move |time| {
            moved.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
            async {}.boxed()
        });
        rule(Books { here: Arc::clone(&memory), there: memory, pass: Some(pass) }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    for (name, rule) in RULES {
        eprintln!("{name}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a #?% b/books.db");
        rule(Books { here: sqlite(&path).await, there: sqlite(&path).await, pass: None }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_contract() {
    let server = Postgres::start(&["fsync=off"]);
    for (name, rule) in RULES {
        eprintln!("{name}");
        let url = server.database().await;
        let (here, there) = (postgres(&url).await, postgres(&url).await);
        rule(Books { here, there, pass: Some(pass(&url)) }).await;
    }
}
