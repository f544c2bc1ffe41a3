//! A SQLite file that is taken away under a running server: nothing is written into what nobody will read.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use sqlx::{Connection, Executor};
use touchtone::store::sql::{DatabaseAddress, IfMissing, Sql};
use touchtone::store::{Backend, BackendError, ProbeBackend, Seal, Store};

use crate::samples::{A, at, payment};

async fn open(path: &Path) -> Sql {
    let sql = Sql::open(&DatabaseAddress::Sqlite(path.to_owned()), IfMissing::Create).await.unwrap();
    sql.insert_payment(payment(1), A, at(1)).await.unwrap();
    sql.heartbeat(A).await.unwrap();
    sql
}

/// What a refusal says.
async fn refused(sql: &Sql) -> String {
    let heartbeat = sql.heartbeat(A).await.unwrap_err();
    let Err(BackendError::Unavailable(reason)) = sql.insert_payment(payment(2), A, at(2)).await else {
        panic!("it was written into nothing")
    };
    assert_eq!(heartbeat, BackendError::Unavailable(reason.clone()));
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_into_a_file_that_was_deleted_or_replaced_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("books.db");
    for file in ["books.db", "books.db-wal", "books.db-shm"] {
        let sql = open(&path).await;
        let (file, away) = (folder.path().join(file), folder.path().join("away"));
        std::fs::rename(&file, &away).unwrap();
        let said = refused(&sql).await;
        assert!(said.contains(&file.display().to_string()) && said.contains("was deleted"), "{said}");
        std::fs::write(&file, "another file").unwrap();
        assert!(refused(&sql).await.contains("was replaced"));
        assert!(sql.payment("PK1").await.is_err(), "nor is another file read as if it were this one");
        // The very same one again.
        std::fs::rename(&away, &file).unwrap();
        sql.heartbeat(A).await.unwrap();
        sql.insert_payment(payment(3), A, at(3)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_is_noticed_and_one_that_was_made_smaller_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("books.db");
    let sql = open(&path).await;
    for number in 10..60 {
        let mut large = payment(number);
        large.sealed = vec![7; 20_000];
        sql.insert_payment(large, A, at(2)).await.unwrap();
    }
    let mut other = sqlx::AnyConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    sql.heartbeat(A).await.unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    other.execute("UPDATE payments SET sealed = NULL").await.unwrap();
    other.execute("VACUUM").await.unwrap();
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    let smaller = std::fs::metadata(&path).unwrap().len();
    assert!(smaller < size / 2, "{smaller} of {size}");
    sql.heartbeat(A).await.unwrap();
    other.close().await.unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(smaller / 2).unwrap();
    let store = Store::new(Arc::new(sql), Seal::of_bytes(&[7; 32]).unwrap(), A);
    assert!(store.is_writable());
    store.heartbeat().await.unwrap_err();
    assert!(!store.is_writable(), "no card is asked for");
    let sql = store.backend();
    for refused in [
        sql.heartbeat(A).await,
        sql.insert_payment(payment(2), A, at(3)).await,
        sql.probe().await,
        sql.payment("PK1").await.map(|_| ()),
    ] {
        let Err(BackendError::Unavailable(said)) = refused else { panic!("it is used all the same: {refused:?}") };
        assert!(said.contains("was cut"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_after_the_log_was_cut_and_one_that_somebody_had_emptied_is_whole() {
    for left in [0, 5000] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("books.db");
        let sql = open(&path).await;
        // Whoever makes a copy may have the log put into the file.
        let mut other = sqlx::AnyConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
        other.close().await.unwrap();
        sql.insert_payment(payment(3), A, at(3)).await.unwrap();
        sql.heartbeat(A).await.unwrap();
        let log = folder.path().join("books.db-wal");
        OpenOptions::new().write(true).open(&log).unwrap().set_len(left).unwrap();
        for _ in 0..2 {
            let Err(BackendError::Unavailable(said)) = sql.insert_payment(payment(2), A, at(4)).await else {
                panic!("it was written after what is lost")
            };
            assert!(said.contains(&log.display().to_string()) && said.contains("was cut"), "{said}");
            assert!(sql.heartbeat(A).await.is_err() && sql.probe().await.is_err());
        }
    }
}
