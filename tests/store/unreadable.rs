//! Rows that this version cannot read, as of a later one: they keep no other from being claimed or listed.

use std::sync::Arc;

use sqlx::{AnyConnection, Connection, Executor};
use touchtone::store::audit::{Actor, AuditAction, AuditFilter, ConnectorChange, NewAudit};
use touchtone::store::{
    Backend, CallFilter, CallStatus, CallbackFilter, Changes, NodeId, PaymentFilter, SessionFilter,
};
use uuid::Uuid;

use crate::samples::{A, at, call, payment, session, sid, waiting};
use crate::support::postgres::Postgres;

const B: NodeId = NodeId(Uuid::from_u128(0xb));

fn added(name: &str) -> NewAudit {
    NewAudit {
        token: Uuid::new_v4(),
        actor: Actor { name: "user".to_owned(), origin: "host".to_owned() },
        action: AuditAction::ConnectorAdded,
        target: name.to_owned(),
        old_value: None,
        new_value: None,
    }
}

async fn hinder_nobody(books: Arc<dyn Backend>, url: &str) {
    for number in 1..=3 {
        books.insert_payment(payment(number), A, at(1)).await.unwrap();
        books.insert_callback(waiting(number), A, at(1)).await.unwrap();
    }
    let mut other = AnyConnection::connect(url).await.unwrap();
    let strange = format!("UPDATE payments SET means = 'hologram', sends = -1 WHERE sid = '{}'", sid(1));
    other.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(strange))).await.unwrap();
    let strange = format!("UPDATE callbacks SET kind = 'hologram' WHERE token = '{}'", Uuid::from_u128(2));
    other.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(strange))).await.unwrap();
    let calls = (1..=3).map(|number| Arc::new(call(number, at(1), CallStatus::Completed))).collect();
    let sessions = (11..=13).map(|number| Arc::new(session(number, at(1)))).collect();
    books.write_changes(Changes { calls, sessions }, A).await.unwrap();
    for name in ["One", "Two", "Three"] {
        let inserted = ConnectorChange::Insert { sealed: b"sealed".to_vec() };
        books.change_connector(name, inserted, added(name), at(1)).await.unwrap();
    }
    for strange in [
        "UPDATE calls SET status = 'hologram' WHERE sid = 'CA1'",
        "UPDATE sessions SET state = 'hologram' WHERE sid LIKE '%b'",
        "UPDATE audit SET at = 9223372036854775807 WHERE target = 'Two'",
        "UPDATE connectors SET created = 9223372036854775807 WHERE name = 'Two'",
    ] {
        other.execute(sqlx::raw_sql(strange)).await.unwrap();
    }
    let calls = books.calls(CallFilter { limit: 9, ..CallFilter::default() }).await.unwrap();
    let sessions = books.sessions(SessionFilter { limit: 9, ..SessionFilter::default() }).await.unwrap();
    let audited = books.audit(AuditFilter { limit: 9, ..AuditFilter::default() }).await.unwrap();
    let connectors = books.connectors().await.unwrap();
    assert_eq!((calls.len(), sessions.len(), audited.len(), connectors.len()), (2, 2, 2, 2));
    books.release(A).await.unwrap();
    let callbacks = books.callbacks(CallbackFilter { limit: 9, ..CallbackFilter::default() }).await.unwrap();
    let payments = books.payments(PaymentFilter { limit: 9, ..PaymentFilter::default() }).await.unwrap();
    assert_eq!((callbacks.len(), payments.len()), (2, 2));
    // One at a time: what cannot be read takes no place from what can.
    let (mut callbacks, mut payments) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        callbacks.extend(books.claim_callbacks(B, B, 1).await.unwrap().into_iter().map(|row| row.id));
        payments.extend(books.claim_payments(B, 1, at(2)).await.unwrap().into_iter().map(|open| open.row.sid));
    }
    assert_eq!((callbacks, payments), (vec![1, 3], vec![sid(2), sid(3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_hinders_no_other() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Postgres::start(&["fsync=off"]));
    let path = folder.path().join("books.db");
    hinder_nobody(crate::sqlite(&path).await, &format!("sqlite://{}", path.display())).await;
    let url = server.database().await;
    hinder_nobody(crate::postgres(&url).await, &url).await;
}
