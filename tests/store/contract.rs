//! The contract of [`Backend`]: every rule is run on every database.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use touchtone::callback::CallbackKind;
use touchtone::pay::outcome::Standing;
use touchtone::store::audit::ConnectorChange;
use touchtone::store::{
    Authorized, Backend, BackendError, CallbackFilter, CallbackRow, CallbackState, GONE_AFTER, HEARTBEAT_EVERY,
    NewCallback, NodeId, PaymentFilter, PaymentState, Resealed, SettledPayment,
};
use uuid::Uuid;

use crate::samples::{A, at, change, payment, settled, sid, waiting};
use crate::{audited, callbacks, nodes, payments, sessions};

/// One database as two servers see it.
#[derive(Clone)]
pub struct Books {
    pub here: Arc<dyn Backend>,
    pub there: Arc<dyn Backend>,
    /// Lets time pass by its clock. None: one server has it to itself, and it has no clock.
    pub pass: Option<Pass>,
}

pub type Pass = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

impl Books {
    /// So much time passes, in which only these nodes are heard.
    pub async fn only_heard(&self, nodes: &[NodeId], time: Duration) {
        let Some(pass) = &self.pass else { return };
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(HEARTBEAT_EVERY);
            pass(step).await;
            left -= step;
            for node in nodes {
                self.here.heartbeat(*node).await.unwrap();
            }
        }
    }

    /// Makes what `A` has free for `B`: nobody hears of `A` any more, or the next run begins.
    pub async fn a_is_gone(&self) {
        match &self.pass {
            Some(_) => {
                self.there.register(B, None).await.unwrap();
                self.only_heard(&[B], GONE_AFTER + HEARTBEAT_EVERY).await;
            }
            None => self.there.register(B, None).await.unwrap(),
        }
    }
}

type Rule = fn(Books) -> BoxFuture<'static, ()>;

/// Every rule by name.
pub const RULES: &[(&str, Rule)] = &[
    ("a payment is written down once", |books| payments::once(books).boxed()),
    ("each submission is counted", |books| payments::sending(books).boxed()),
    ("an outcome and its callbacks are one", |books| payments::first_outcome(books).boxed()),
    ("a callback that was lost to another node is that node's to change", |books| callbacks::lost(books).boxed()),
    ("an unknown outcome is kept open and told once more", |books| payments::late_outcome(books).boxed()),
    ("a known outcome stays", |books| payments::known_outcome(books).boxed()),
    ("a session without a payment has its callbacks", |books| payments::no_payment(books).boxed()),
    ("a callback is stored once", |books| callbacks::one_token(books).boxed()),
    ("callbacks are claimed in order when they are free", |books| callbacks::claimed_callbacks(books).boxed()),
    ("the callbacks of a call stay together", |books| callbacks::whole_calls(books).boxed()),
    ("a call is inherited by one", |books| callbacks::inherited_at_once(books).boxed()),
    ("a callback is read by whoever has it", |books| callbacks::open_callbacks(books).boxed()),
    ("payments are claimed in order while they have no outcome", |books| payments::claimed_payments(books).boxed()),
    ("a node that is heard keeps what it has, whatever the servers' clocks say", |books| nodes::heard(books).boxed()),
    ("after an outage everybody is heard before anybody is taken over", |books| nodes::outage(books).boxed()),
    ("a run that is over leaves everything at once", |books| nodes::ended(books).boxed()),
    ("a payment that was taken over is not its first server's any more", |books| payments::taken_over(books).boxed()),
    ("a token never carries two results", |books| payments::one_result_a_token(books).boxed()),
    ("two claims of payments at once never overlap", |books| payments::overlapping_claims(books).boxed()),
    ("a callback's fate is written down", |books| callbacks::fates(books).boxed()),
    ("parked callbacks are wanted again", |books| callbacks::retried(books).boxed()),
    ("delivered callbacks are forgotten", |books| callbacks::forgotten(books).boxed()),
    ("payments are listed by what is asked for", |books| payments::payment_lists(books).boxed()),
    ("callbacks are listed by what is asked for", |books| callbacks::callback_lists(books).boxed()),
    ("connectors change with a revision", |books| connectors(books).boxed()),
    ("a connector's change and what is told of it are one", |books| audited::changes(books).boxed()),
    ("the audit trail is listed by what is asked for", |books| audited::lists(books).boxed()),
    ("a random value is used once", |books| audited::nonces(books).boxed()),
    ("what is sealed anew stands where it stood", |books| resealed(books).boxed()),
    ("a note is kept once", |books| notes(books).boxed()),
    ("any text can be stored", |books| texts(books).boxed()),
    ("a session is written down once", |books| sessions::begins(books).boxed()),
    ("a session's end and its callbacks are one", |books| sessions::ends(books).boxed()),
    ("a session's end is told from one place", |books| sessions::ends_once(books).boxed()),
    ("a payment takes its session over", |books| sessions::is_asked(books).boxed()),
    ("a session that was left is told once", |books| sessions::is_left(books).boxed()),
    ("what was told of a session is counted", |books| sessions::counts_what_was_told(books).boxed()),
    ("no session is both asked for and told", |books| sessions::is_asked_and_left_at_once(books).boxed()),
    ("sessions are listed by what is asked for", |books| sessions::lists_of_sessions(books).boxed()),
    ("a call is written when it begins and when it ends", |books| sessions::calls_begin_and_end(books).boxed()),
    ("calls that were left have failed", |books| sessions::calls_are_left(books).boxed()),
    ("calls are listed by what is asked for", |books| sessions::lists_of_calls(books).boxed()),
    ("a probe is nobody's note", |books| sessions::can_be_written(books).boxed()),
    ("everything at once", |books| everything_at_once(books).boxed()),
];

pub const B: NodeId = NodeId(Uuid::from_u128(0xb));

pub fn numbers(rows: &[CallbackRow]) -> Vec<u128> {
    rows.iter().map(|row| row.token.as_u128()).collect()
}

/// The ids of what this server takes over; what it holds of calls of its own is `node`'s too.
pub async fn claim(backend: &Arc<dyn Backend>, node: NodeId, limit: u32) -> Vec<i64> {
    let claimed = backend.claim_callbacks(node, node, limit).await.unwrap();
    claimed.into_iter().map(|callback| callback.id).collect()
}

/// A status callback of a call.
pub fn status(number: u32, call: u32) -> NewCallback {
    NewCallback { call_sid: format!("CA{call}"), kind: CallbackKind::Status, ..waiting(number) }
}

pub fn all_payments() -> PaymentFilter {
    PaymentFilter { limit: 1000, ..PaymentFilter::default() }
}

pub fn all_callbacks() -> CallbackFilter {
    CallbackFilter { limit: 1000, ..CallbackFilter::default() }
}

async fn resealed(Books { here, there, .. }: Books) {
    here.insert_payment(payment(1), A, at(1)).await.unwrap();
    here.mark_sending(&sid(1), Some(b"note".to_vec()), 1, A, at(1)).await.unwrap();
    here.insert_callback(waiting(7), A, at(1)).await.unwrap();
    change(&*here, "Shop", ConnectorChange::Insert { sealed: b"keys".to_vec() }, at(1)).await.unwrap();
    let revision = here.connectors_revision().await.unwrap();
    let all = [
        (Resealed::Payment(sid(1)), &b"sealed 1"[..]),
        (Resealed::PaymentNote(sid(1)), b"note"),
        (Resealed::Callback(Uuid::from_u128(7)), b"form 7"),
        (Resealed::Connector("Shop".to_owned()), b"keys"),
    ];
    for (what, was) in all {
        there.reseal(what.clone(), b"something else", b"wrong".to_vec()).await.unwrap();
        there.reseal(what, was, [was, b", bound"].concat()).await.unwrap();
    }
    here.release(A).await.unwrap();
    let open = here.claim_payments(B, 9, at(2)).await.unwrap().remove(0);
    assert_eq!((open.sealed.as_slice(), open.note.as_deref()), (&b"sealed 1, bound"[..], Some(&b"note, bound"[..])));
    assert_eq!(here.callbacks(all_callbacks()).await.unwrap()[0].sealed.as_deref(), Some(&b"form 7, bound"[..]));
    assert_eq!(here.connectors().await.unwrap()[0].sealed, b"keys, bound");
    assert_eq!(here.connectors_revision().await.unwrap(), revision + 1, "whoever has it reads it anew");
}

async fn connectors(Books { here, there, .. }: Books) {
    let mut revision = here.connectors_revision().await.unwrap();
    let mut changed = async |is_expected: bool| {
        let now = there.connectors_revision().await.unwrap();
        assert_eq!(now != revision, is_expected, "{now}");
        revision = now;
    };
    let insert = |sealed| ConnectorChange::Insert { sealed: vec![sealed] };
    let as_before = Authorized::AsBefore;
    let update = |was, sealed, authorized| ConnectorChange::Update { was: vec![was], sealed: vec![sealed], authorized };
    let missing = Err(BackendError::NotFound);
    for (number, name) in ["b", "B", "ä", "a"].into_iter().enumerate() {
        change(&*here, name, insert(number as u8), at(1)).await.unwrap();
        changed(true).await;
    }
    assert_eq!(change(&*there, "b", insert(9), at(2)).await, Err(BackendError::Duplicate));
    assert_eq!(change(&*there, "c", update(0, 9, as_before), at(2)).await, missing);
    // Somebody else has changed it meanwhile.
    assert_eq!(change(&*there, "b", update(7, 8, as_before), at(2)).await, missing);
    assert_eq!(change(&*there, "c", ConnectorChange::Remove, at(2)).await, missing);
    there.mark_withdrawn("c", &[0], at(2)).await.unwrap();
    there.mark_withdrawn("a", &[9], at(2)).await.unwrap();
    changed(false).await;
    change(&*there, "b", update(0, 9, as_before), at(3)).await.unwrap();
    changed(true).await;
    there.mark_withdrawn("B", &[1], at(4)).await.unwrap();
    changed(true).await;
    change(&*there, "ä", ConnectorChange::Remove, at(4)).await.unwrap();
    changed(true).await;
    let rows = here.connectors().await.unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["B", "a", "b"]);
    assert_eq!((rows[2].sealed.as_slice(), rows[2].created, rows[2].updated), (&[9][..], at(1), at(3)));
    assert_eq!((rows[0].withdrawn, rows[1].withdrawn), (Some(at(4)), None));
    change(&*here, "B", update(1, 5, as_before), at(5)).await.unwrap();
    assert_eq!(there.connectors().await.unwrap()[0].withdrawn, Some(at(4)), "other keys, the same access");
    change(&*here, "B", update(5, 6, Authorized::Anew), at(6)).await.unwrap();
    assert_eq!(there.connectors().await.unwrap()[0].withdrawn, None);
}

async fn notes(Books { here, there, .. }: Books) {
    assert_eq!(here.note("seal").await, Ok(None));
    assert_eq!(here.keep_note("seal", b"one".to_vec()).await, Ok(b"one".to_vec()));
    assert_eq!(there.keep_note("seal", b"two".to_vec()).await, Ok(b"one".to_vec()));
    assert_eq!(there.note("seal").await, Ok(Some(b"one".to_vec())));
    assert_eq!(there.note("other").await, Ok(None));
}

async fn texts(Books { here, .. }: Books) {
    // A platform names the call, a gateway the error: either may send anything that is UTF-8.
    let mut odd = payment(1);
    odd.call_sid = "CA'; DROP TABLE payments; -- \u{0} \u{10ffff} ❤".to_owned();
    odd.sealed = (0..=255).collect();
    let call_sid = Some(odd.call_sid.clone());
    here.insert_payment(odd, A, at(1)).await.unwrap();
    let mut outcome = settled(1, Standing::Unknown);
    outcome.outcome.error = Some("no\u{0}thing".to_owned());
    let mut told = waiting(1);
    told.url = "https://shop.example/\u{0}".to_owned();
    here.settle_payment(outcome, vec![told], vec![], A, at(2)).await.unwrap();
    let id = here.callbacks(all_callbacks()).await.unwrap()[0].id;
    here.mark_failed(id, "a\u{0}b", 1, A, at(3)).await.unwrap();
    assert_eq!(here.payments(PaymentFilter { call_sid, ..all_payments() }).await.unwrap().len(), 1);
    here.release(A).await.unwrap();
    let sealed = here.claim_payments(B, 9, at(4)).await.unwrap().remove(0).sealed;
    assert_eq!(sealed, (0..=255).collect::<Vec<u8>>());
}

/// Payments from beginning to end, many at a time, over two servers: none fails, none is lost.
async fn everything_at_once(books: Books) {
    let paying = (0..100_u32).map(|number| {
        let books = books.clone();
        tokio::spawn(async move {
            let backend = if number % 2 == 0 { books.here } else { books.there };
            let node = if number % 2 == 0 { A } else { B };
            backend.insert_payment(payment(number), node, at(1)).await.unwrap();
            backend.heartbeat(node).await.unwrap();
            backend.mark_sending(&sid(number), None, 1, node, at(2)).await.unwrap();
            let settle = || {
                let first = vec![status(1000 + 2 * number, number), status(1001 + 2 * number, number)];
                let settled = SettledPayment { owner: node, ..settled(number, Standing::Succeeded) };
                backend.settle_payment(settled, first, vec![], node, at(3))
            };
            let told = settle().await.unwrap();
            assert_eq!(settle().await.unwrap(), told);
            for row in told.callbacks {
                backend.mark_delivered(row.id, node, at(4)).await.unwrap();
            }
        })
    });
    for done in join_all(paying).await {
        done.unwrap();
    }
    let rows = books.here.payments(all_payments()).await.unwrap();
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|row| row.state == PaymentState::Succeeded && row.sends == 1));
    assert_eq!(books.there.count_callbacks(CallbackState::Delivered).await, Ok(200));
}
