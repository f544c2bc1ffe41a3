//! How many payments a second the store take, from the intent to the delivered callbacks: a measurement, run by name.
//!
//! `cargo nextest run --test store speed --run-ignored only --no-capture`

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::iter;
use touchtone::pay::outcome::Standing;
use touchtone::store::{Backend, NewCallback};

use crate::samples::{A, at, payment, settled, sid, waiting};
use crate::support::postgres::Postgres;

/// How many payments are made at a time, and how many in all.
const LOADS: [(usize, u32); 2] = [(1, 200), (99, 2_000)];

/// How often each load is put on.
const ROUNDS: u32 = 3;

async fn pay(books: &dyn Backend, number: u32) {
    books.insert_payment(payment(number), A, at(1)).await.unwrap();
    books.mark_sending(&sid(number), None, 1, A, at(2)).await.unwrap();
    // A call's callbacks have an order, which is looked at: those of a call are few.
    let told = |token: u32| NewCallback { call_sid: format!("CA{number}"), ..waiting(token) };
    let told = vec![told(1_000_000 + 2 * number), told(1_000_001 + 2 * number)];
    let told = books.settle_payment(settled(number, Standing::Succeeded), told, vec![], A, at(3)).await.unwrap();
    assert_eq!(told.callbacks.len(), 2);
    for row in told.callbacks {
        books.mark_delivered(row.id, A, at(4)).await.unwrap();
    }
}

async fn measure(name: &str, books: Arc<dyn Backend>) {
    let mut next = 0;
    for round in 0..ROUNDS {
        for (at_once, payments) in LOADS {
            let numbers = next..next + payments;
            next += payments;
            let since = Instant::now();
            iter(numbers).for_each_concurrent(at_once, |number| pay(&*books, number)).await;
            let a_second = f64::from(payments) / since.elapsed().as_secs_f64();
            eprintln!("{name}, {at_once} at once, round {round}: {a_second:.0} payments/s");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn payments_a_second_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    measure("SQLite", crate::sqlite(&folder.path().join("books.db")).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn payments_a_second_on_postgresql() {
    let server = Postgres::start(&[]);
    measure("PostgreSQL", crate::postgres(&server.database().await).await).await;
}
