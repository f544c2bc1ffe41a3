//! How many payments a second the books take, from the intent to the delivered callbacks: a measurement, run by name.
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

/// How many payments are made, and how many at a time.
const PAYMENTS: u32 = 3_000;
const AT_ONCE: usize = 64;

async fn pay(books: &dyn Backend, number: u32) {
    books.insert_payment(payment(number), A, at(1)).await.unwrap();
    books.mark_sending(&sid(number), None, 1, A, at(2)).await.unwrap();
    // A call's callbacks have an order, which is looked at: those of a call are few.
    let told = |token: u32| NewCallback { call_sid: format!("CA{number}"), ..waiting(token) };
    let told = vec![told(1_000_000 + 2 * number), told(1_000_001 + 2 * number)];
    let told = books.settle_payment(settled(number, Standing::Succeeded), told, vec![], A, at(3)).await.unwrap();
    for row in told.callbacks {
        books.mark_delivered(row.id, at(4)).await.unwrap();
    }
}

async fn measure(name: &str, books: Arc<dyn Backend>) {
    for round in 0..3 {
        let since = Instant::now();
        let numbers = round * PAYMENTS..(round + 1) * PAYMENTS;
        iter(numbers).for_each_concurrent(AT_ONCE, |number| pay(&*books, number)).await;
        eprintln!("{name}: {:.0} payments/s", f64::from(PAYMENTS) / since.elapsed().as_secs_f64());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn payments_a_second() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Postgres::start(&[]));
    measure("SQLite", crate::sqlite(&folder.path().join("books.db")).await).await;
    measure("PostgreSQL", crate::postgres(&server.database().await).await).await;
}
