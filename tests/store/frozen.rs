//! Servers that are frozen, or whose line dies without a word, while they have something under way in PostgreSQL: nobody
//! else is kept from working, and nothing happens after it was given up.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{AnyConnection, Connection, Executor, Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use touchtone::callback::CallbackKind;
use touchtone::store::{
    Backend, BackendError, CallbackFilter, CallbackState, GONE_AFTER, HEARTBEAT_LIMIT, Holder, NewCallback, NodeId,
    ProbeBackend, Seal, SessionBackend, Store, StoreError,
};
use uuid::Uuid;

use crate::samples::{A, at, callback, payment, sid, waiting};
use crate::support::postgres::Postgres;
use crate::support::wait;

const B: NodeId = NodeId(Uuid::from_u128(0xb));

/// How long something that has to happen is waited for.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A line to a server that can be frozen: it stays open, and nothing comes through.
struct Line {
    port: u16,
    frozen: watch::Sender<bool>,
}

impl Line {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let frozen = watch::Sender::new(false);
        let of = frozen.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
                for (mut from, mut to) in [(near_in, far_out), (far_in, near_out)] {
                    let mut frozen = of.subscribe();
                    tokio::spawn(async move {
                        let mut buffer = vec![0; 16 * 1024];
                        while let Ok(read) = from.read(&mut buffer).await {
                            // Its end is lost too.
                            if frozen.wait_for(|frozen| !frozen).await.is_err() || read == 0 {
                                return;
                            }
                            if to.write_all(&buffer[..read]).await.is_err() {
                                return;
                            }
                        }
                    });
                }
            }
        });
        Self { port: own, frozen }
    }

    /// The database over this line.
    fn url(&self) -> String {
        url(self.port)
    }
}

fn url(port: u16) -> String {
    format!("postgres://touchtone@127.0.0.1:{port}/postgres")
}

/// What somebody looks at and does beside the servers.
struct Other(AnyConnection);

impl Other {
    async fn at(url: &str) -> Self {
        Self(AnyConnection::connect(url).await.unwrap())
    }

    async fn does(&mut self, sql: &'static str) {
        self.0.execute(sqlx::raw_sql(sql)).await.unwrap();
    }

    async fn count(&mut self, sql: &'static str) -> i64 {
        self.0.fetch_one(sqlx::raw_sql(sql)).await.unwrap().get(0)
    }

    /// Waits until a query counts at least so many.
    async fn until(&mut self, sql: &'static str, least: i64) {
        let what = format!("{sql} becomes {least}");
        wait::until(&what, TIME_LIMIT, async || self.count(sql).await >= least).await;
    }
}

const WAITING: &str = "SELECT COUNT(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()";

const FROZEN: &str = "SELECT COUNT(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' \
     AND granted AND state = 'idle in transaction' AND datname = current_database()";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_in_a_claim_keeps_nobody_from_claiming() {
    let (_server, port) = Postgres::start_on_loopback();
    let (url, line) = (url(port), Line::to(port).await);
    let (there, frozen) = (crate::postgres(&url).await, crate::postgres(&line.url()).await);
    there.insert_callback(waiting(1), A, at(1)).await.unwrap();
    there.release(A).await.unwrap();
    let (mut holding, mut other) = (Other::at(&url).await, Other::at(&url).await);
    holding.does("BEGIN; LOCK TABLE nodes IN ACCESS EXCLUSIVE MODE").await;
    let claim = tokio::spawn(async move { frozen.claim_callbacks(A.keeper(), A, 9).await });
    other.until(WAITING, 1).await;
    line.frozen.send_replace(true);
    holding.does("ROLLBACK").await;
    other.until(FROZEN, 1).await;
    let claimed = wait::found("somebody claims although one is frozen", GONE_AFTER, async || {
        let claimed = there.claim_callbacks(B.keeper(), B, 9).await.unwrap();
        (!claimed.is_empty()).then_some(claimed)
    });
    assert_eq!(claimed.await.len(), 1);
    assert!(claim.await.unwrap().is_err(), "nobody answered it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_does_not_happen_later() {
    let server = Postgres::start(&["fsync=off"]);
    let url = server.database().await;
    let books = crate::postgres(&url).await;
    let id = books.insert_callback(waiting(1), A, at(1)).await.unwrap().id;
    let (mut holding, mut other) = (Other::at(&url).await, Other::at(&url).await);
    holding.does("BEGIN; SELECT * FROM callbacks FOR UPDATE").await;
    let given_up = books.mark_parked(id, "nobody is there", A, at(2)).await;
    assert!(matches!(given_up, Err(BackendError::Unavailable(_))), "{given_up:?}");
    assert_eq!(other.count(WAITING).await, 0, "it still waits for its turn");
    holding.does("ROLLBACK").await;
    let rows = books.callbacks(CallbackFilter { limit: 9, ..CallbackFilter::default() }).await.unwrap();
    assert_eq!(rows[0].state, CallbackState::Waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_payments_wait_is_heard_all_the_same_and_claims() {
    let server = Postgres::start(&["fsync=off"]);
    let url = server.database().await;
    let sql = Arc::new(
        touchtone::store::sql::Sql::open(&url.parse().unwrap(), touchtone::store::sql::IfMissing::Fail).await.unwrap(),
    );
    let (mut holding, mut other) = (Other::at(&url).await, Other::at(&url).await);
    holding.does("BEGIN; LOCK TABLE payments IN ACCESS EXCLUSIVE MODE").await;
    let payments: Vec<_> = (0..40)
        .map(|number| {
            let sql = Arc::clone(&sql);
            tokio::spawn(async move { sql.insert_payment(payment(number), A, at(1)).await })
        })
        .collect();
    other.until(WAITING, 16).await;
    let upkeep = async {
        sql.heartbeat(A).await?;
        sql.probe().await?;
        sql.claim_callbacks(A.keeper(), A, 9).await?;
        sql.claim_sessions(A.keeper(), 9).await
    };
    timeout(HEARTBEAT_LIMIT, upkeep).await.expect("it waits for the payments").unwrap();
    holding.does("ROLLBACK").await;
    join_all(payments).await;
}

/// A status callback of one call.
fn status(number: u32) -> NewCallback {
    NewCallback { call_sid: "CA".to_owned(), kind: CallbackKind::Status, ..callback(number, CallbackState::Waiting) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_while_it_is_inherited_sends_nothing_before_its_heir() {
    let server = Postgres::start(&["fsync=off"]);
    let url = server.database().await;
    let (back, heir) = (crate::postgres(&url).await, crate::postgres(&url).await);
    let pass = crate::pass(&url);
    back.register(A, None).await.unwrap();
    for number in 1..=4 {
        back.insert_callback(status(number), A, at(1)).await.unwrap();
    }
    pass(GONE_AFTER + Duration::from_secs(1)).await;
    heir.register(B, None).await.unwrap();
    // The heir's claim has taken what there is, and is not committed yet.
    let (mut claiming, mut other) = (Other::at(&url).await, Other::at(&url).await);
    claiming.does("BEGIN; SELECT pg_advisory_xact_lock(8391436886322801005)").await;
    let take = "UPDATE callbacks SET node = $1 WHERE call_sid = 'CA'";
    claiming.0.execute(sqlx::query(take).bind(B.keeper().0.to_string())).await.unwrap();
    let fifth = back.insert_callback(status(5), A, at(2)).await.unwrap();
    let is_back = {
        let back = Arc::clone(&back);
        tokio::spawn(async move { back.heartbeat(A).await })
    };
    other.until(WAITING, 1).await;
    claiming.does("COMMIT").await;
    is_back.await.unwrap().unwrap();
    assert!(back.open_callback(fifth.id, A).await.unwrap().is_none(), "earlier ones of its call are another's");
    let ids: Vec<i64> = heir.claim_callbacks(B.keeper(), B, 9).await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(ids, [fifth.id], "it comes after them");
    assert!(heir.open_callback(fifth.id, B).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_locked_or_cannot_be_read_stops_no_payments() {
    let server = Postgres::start(&["fsync=off"]);
    let url = server.database().await;
    let store = Store::new(crate::postgres(&url).await, Seal::of_bytes(&[7; 32]).unwrap(), A);
    store.backend().insert_payment(payment(1), A, at(1)).await.unwrap();
    let mut other = Other::at(&url).await;
    other.does("BEGIN; SELECT * FROM payments FOR UPDATE").await;
    let locked = store.sending(&sid(1), None, 1, Holder::Call, at(2)).await;
    assert!(matches!(locked, Err(StoreError::Backend(BackendError::Unavailable(_)))), "{locked:?}");
    assert!(store.is_writable(), "another payment can be");
    timeout(TIME_LIMIT, store.suspected()).await.expect("it is found out at once whether anything can be written");
    store.probe().await.unwrap();
    other.does("ROLLBACK; UPDATE payments SET state = 'hologram'").await;
    let unreadable = store.backend().payment(&sid(1)).await;
    assert!(matches!(unreadable, Err(BackendError::Unreadable(_))), "to repeat it does not help: {unreadable:?}");
}
