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
#[path = "store/contract.rs"]
mod contract;
#[path = "store/opening.rs"]
mod opening;
#[path = "store/samples.rs"]
mod samples;
mod support;

use std::path::Path;
use std::sync::Arc;

use contract::{Books, RULES};
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

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    for (name, rule) in RULES {
        eprintln!("{name}");
        let memory: Arc<dyn Backend> = Arc::new(Memory::default());
        rule(Books { here: Arc::clone(&memory), there: memory }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    for (name, rule) in RULES {
        eprintln!("{name}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a #?% b/books.db");
        rule(Books { here: sqlite(&path).await, there: sqlite(&path).await }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_contract() {
    let server = Postgres::start(&["fsync=off"]);
    for (name, rule) in RULES {
        eprintln!("{name}");
        let url = server.database().await;
        rule(Books { here: postgres(&url).await, there: postgres(&url).await }).await;
    }
}
