//! The contract of [`Backend`]: every rule is run on every database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use touchtone::callback::CallbackKind;
use touchtone::pay::outcome::Standing;
use touchtone::store::audit::ConnectorChange;
use touchtone::store::{
    Authorized, Backend, BackendError, Booked, CallbackFilter, CallbackRow, CallbackState, GONE_AFTER, HEARTBEAT_EVERY,
    HEARTBEAT_GAP_MAX, NewCallback, NodeId, PaymentFilter, PaymentState, Resealed, SettledPayment,
};
use uuid::Uuid;

use crate::audited;
use crate::samples::{A, at, callback, change, payment, settled, sid, waiting};
use crate::sessions;

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
    ("a payment is written down once", |books| once(books).boxed()),
    ("each submission is counted", |books| sending(books).boxed()),
    ("an outcome and its callbacks are one", |books| first_outcome(books).boxed()),
    ("a callback that was lost to another node is that node's to change", |books| lost(books).boxed()),
    ("an unknown outcome is kept open and told once more", |books| late_outcome(books).boxed()),
    ("a known outcome stays", |books| known_outcome(books).boxed()),
    ("a session without a payment has its callbacks", |books| no_payment(books).boxed()),
    ("a callback is stored once", |books| one_token(books).boxed()),
    ("callbacks are claimed in order when they are free", |books| claimed_callbacks(books).boxed()),
    ("the callbacks of a call stay together", |books| whole_calls(books).boxed()),
    ("a call is inherited by one", |books| inherited_at_once(books).boxed()),
    ("a callback is read by whoever has it", |books| open_callbacks(books).boxed()),
    ("payments are claimed in order while they have no outcome", |books| claimed_payments(books).boxed()),
    ("a node that is heard keeps what it has, whatever the servers' clocks say", |books| heard(books).boxed()),
    ("after an outage everybody is heard before anybody is taken over", |books| outage(books).boxed()),
    ("a run that is over leaves everything at once", |books| ended(books).boxed()),
    ("a payment that was taken over is not its first server's any more", |books| taken_over(books).boxed()),
    ("a token never carries two results", |books| one_result_a_token(books).boxed()),
    ("two claims of payments at once never overlap", |books| overlapping_claims(books).boxed()),
    ("a callback's fate is written down", |books| fates(books).boxed()),
    ("parked callbacks are wanted again", |books| retried(books).boxed()),
    ("delivered callbacks are forgotten", |books| forgotten(books).boxed()),
    ("payments are listed by what is asked for", |books| payment_lists(books).boxed()),
    ("callbacks are listed by what is asked for", |books| callback_lists(books).boxed()),
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

const B: NodeId = NodeId(Uuid::from_u128(0xb));

fn numbers(rows: &[CallbackRow]) -> Vec<u128> {
    rows.iter().map(|row| row.token.as_u128()).collect()
}

/// The ids of what this server takes over; what it holds of calls of its own is `node`'s too.
async fn claim(backend: &Arc<dyn Backend>, node: NodeId, limit: u32) -> Vec<i64> {
    let claimed = backend.claim_callbacks(node, node, limit).await.unwrap();
    claimed.into_iter().map(|callback| callback.id).collect()
}

/// A status callback of a call.
fn status(number: u32, call: u32) -> NewCallback {
    NewCallback { call_sid: format!("CA{call}"), kind: CallbackKind::Status, ..waiting(number) }
}

fn all_payments() -> PaymentFilter {
    PaymentFilter { limit: 1000, ..PaymentFilter::default() }
}

fn all_callbacks() -> CallbackFilter {
    CallbackFilter { limit: 1000, ..CallbackFilter::default() }
}

async fn once(Books { here, there, .. }: Books) {
    here.insert_payment(payment(2), A, at(1)).await.unwrap();
    let mut other = payment(2);
    other.amount = Some("9.00".to_owned());
    there.insert_payment(other, B, at(2)).await.unwrap();
    let row = there.payment(&sid(2)).await.unwrap().unwrap();
    assert_eq!((row.call_sid.as_str(), row.connector.as_str(), row.led_by.as_str()), ("CA2", "Default", "document"));
    assert_eq!((row.amount.as_deref(), row.currency.as_str(), row.token_type), (Some("2.45"), "usd", None));
    assert_eq!((row.operation.as_str(), row.means.as_str()), ("charge", "card"));
    assert_eq!((row.masked.as_deref(), row.brand.as_deref()), (Some("xxxxxxxxxxxx4242"), Some("visa")));
    assert_eq!((row.state, row.sends, row.first_sent, row.last_sent), (PaymentState::Preparing, 0, None, None));
    assert_eq!((row.result, row.error_code, row.error, row.confirmation_code), (None, None, None, None));
    assert_eq!((row.created, row.updated), (at(1), at(1)));
    assert_eq!(here.payments(all_payments()).await.unwrap().len(), 1);
    assert_eq!(here.payment(&sid(3)).await.unwrap(), None);
    // It is the first one's.
    here.heartbeat(A).await.unwrap();
    assert!(there.claim_payments(B, 9, at(3)).await.unwrap().is_empty());
}

async fn sending(books: Books) {
    let here = &books.here;
    assert_eq!(here.mark_sending(&sid(1), None, 1, A, at(1)).await, Err(BackendError::NotFound));
    here.insert_payment(payment(1), A, at(1)).await.unwrap();
    here.mark_sending(&sid(1), Some(b"note".to_vec()), 1, A, at(2)).await.unwrap();
    here.mark_sending(&sid(1), None, 2, A, at(3)).await.unwrap();
    // Again, as after an answer that was lost: it has left twice, not three times.
    here.mark_sending(&sid(1), None, 2, A, at(3)).await.unwrap();
    assert_eq!(here.mark_sending(&sid(1), None, 3, B, at(3)).await, Err(BackendError::NotFound), "it is another's");
    let row = here.payment(&sid(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.sends, row.updated), (PaymentState::Submitting, 2, at(3)));
    let (first, last) = row.first_sent.zip(row.last_sent).unwrap();
    match books.pass {
        Some(_) => assert!(first <= last, "it is the database that says when"),
        None => assert_eq!((first, last), (at(2), at(3))),
    }
    books.a_is_gone().await;
    let open = here.claim_payments(B, 9, at(1004)).await.unwrap();
    assert_eq!(open[0].note.as_deref(), Some(&b"note"[..]), "a note stays until there is another");
    assert_eq!((open[0].sealed.as_slice(), &open[0].row), (&b"sealed 1"[..], &row));
    let sent = open[0].sent.unwrap();
    assert!(sent.last <= sent.first && sent.first < Duration::from_secs(60), "{sent:?}");
    let as_b = |standing| SettledPayment { owner: B, ..settled(1, standing) };
    here.settle_payment(as_b(Standing::Unknown), vec![], vec![], B, at(5)).await.unwrap();
    here.mark_sending(&sid(1), None, 3, B, at(6)).await.unwrap();
    let row = here.payment(&sid(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.sends), (PaymentState::Unknown, 3));
    here.settle_payment(as_b(Standing::Succeeded), vec![], vec![], B, at(7)).await.unwrap();
    assert_eq!(here.mark_sending(&sid(1), None, 4, B, at(8)).await, Err(BackendError::NotFound));
}

async fn first_outcome(Books { here, there, .. }: Books) {
    here.insert_payment(payment(4), A, at(1)).await.unwrap();
    here.mark_sending(&sid(4), None, 1, A, at(2)).await.unwrap();
    let first = || vec![waiting(10), callback(11, CallbackState::Held)];
    let settle = async |now| {
        let settling = here.settle_payment(settled(4, Standing::Failed), first(), vec![waiting(12)], A, at(now)).await;
        let settling = settling.unwrap();
        assert_eq!(settling.booked, Booked::First);
        settling.callbacks
    };
    let told = settle(3).await;
    assert_eq!(numbers(&told), [10, 11]);
    assert!(told[0].id < told[1].id);
    let CallbackRow { kind, method, url, sealed, state, tries, reason, since, .. } = told[1].clone();
    assert_eq!((kind.word(), method.to_string().as_str()), ("error", "GET"));
    assert_eq!((url.as_str(), sealed.as_deref()), ("https://shop.example/paid/11", Some(&b"form 11"[..])));
    assert_eq!((state, tries, reason, since), (CallbackState::Held, 0, None, at(3)));
    let row = there.payment(&sid(4)).await.unwrap().unwrap();
    assert_eq!((row.state, row.updated), (PaymentState::Failed, at(3)));
    assert_eq!((row.result.as_deref(), row.error_code), (Some("payment-connector-error"), Some(64001)));
    assert_eq!(row.error.as_deref(), Some("the gateway said: “no” 🙁"));
    // Again, as after an answer that was lost: the same, and nothing new.
    assert_eq!(settle(5).await, told);
    assert_eq!(here.payment(&sid(4)).await.unwrap().unwrap().updated, at(3));
    assert_eq!(here.callbacks(all_callbacks()).await.unwrap(), told);
    here.mark_delivered(told[0].id, A, at(6)).await.unwrap();
    assert_eq!(numbers(&settle(7).await), [11], "what was delivered is done");
    let elsewhere = there.settle_payment(settled(4, Standing::Failed), first(), vec![], B, at(8)).await.unwrap();
    assert!(elsewhere.callbacks.is_empty(), "they are another node's");
    here.release(A).await.unwrap();
    assert!(there.claim_payments(B, 9, at(9)).await.unwrap().is_empty(), "nothing is left to be found out");
}

async fn late_outcome(Books { here, .. }: Books) {
    here.insert_payment(payment(4), A, at(1)).await.unwrap();
    here.mark_sending(&sid(4), Some(b"note".to_vec()), 1, A, at(2)).await.unwrap();
    let settle = async |standing, now| {
        let settled = settled(4, standing);
        let settling = here.settle_payment(settled, vec![waiting(10)], vec![waiting(11)], A, at(now)).await.unwrap();
        (settling.booked, numbers(&settling.callbacks))
    };
    assert_eq!(settle(Standing::Unknown, 3).await, (Booked::First, vec![10]));
    assert_eq!(settle(Standing::Unknown, 4).await, (Booked::First, vec![10]), "still unknown is nothing new");
    assert_eq!(settle(Standing::Succeeded, 6).await, (Booked::Late, vec![11]));
    let row = here.payment(&sid(4)).await.unwrap().unwrap();
    assert_eq!((row.state, row.confirmation_code.as_deref()), (PaymentState::Succeeded, Some("ch_1")));
    assert_eq!((row.error_code, row.error), (None, None), "what was said of the unknown outcome is over");
    here.release(A).await.unwrap();
    assert!(here.claim_payments(B, 9, at(7)).await.unwrap().is_empty(), "its intent is wiped");
    here.claim_callbacks(A, A, 9).await.unwrap();
    // Again: the late one is not lost with the answer.
    assert_eq!(settle(Standing::Succeeded, 8).await, (Booked::Late, vec![10, 11]));
    assert_eq!(here.callbacks(all_callbacks()).await.unwrap().len(), 2);
}

async fn known_outcome(Books { here, .. }: Books) {
    for (number, first, second) in
        [(1, Standing::Succeeded, Standing::Failed), (2, Standing::Failed, Standing::Unknown)]
    {
        here.insert_payment(payment(number), A, at(1)).await.unwrap();
        here.settle_payment(settled(number, first), vec![], vec![waiting(10)], A, at(2)).await.unwrap();
        let before = here.payment(&sid(number)).await.unwrap();
        let other = here.settle_payment(settled(number, second), vec![waiting(11)], vec![waiting(10)], A, at(3)).await;
        assert_eq!(other.unwrap().booked, Booked::Otherwise);
        assert_eq!(here.payment(&sid(number)).await.unwrap(), before);
    }
    assert!(here.callbacks(all_callbacks()).await.unwrap().is_empty(), "there is nothing else to tell");
}

async fn no_payment(Books { here, there, .. }: Books) {
    let end = async |backend: &dyn Backend, node| {
        let settled = SettledPayment { owner: node, ..settled(6, Standing::Failed) };
        let settling = backend.settle_payment(settled, vec![waiting(1)], vec![waiting(2)], node, at(1)).await.unwrap();
        (settling.booked, numbers(&settling.callbacks))
    };
    assert_eq!(end(&*here, A).await, (Booked::First, vec![1]));
    assert_eq!(end(&*here, A).await, (Booked::First, vec![1]), "again is nothing new");
    assert_eq!(end(&*there, B).await, (Booked::First, vec![]), "A tells it");
    assert_eq!(here.payment(&sid(6)).await.unwrap(), None);
}

async fn heard(books: Books) {
    let Books { here, there, .. } = &books;
    here.register(A, None).await.unwrap();
    there.register(B, None).await.unwrap();
    here.insert_payment(payment(1), A, at(1)).await.unwrap();
    here.insert_callback(waiting(1), A, at(1)).await.unwrap();
    // `B`'s own clock is two minutes ahead, then a day.
    for ahead in [120_000, 86_400_000] {
        books.only_heard(&[A, B], 2 * GONE_AFTER).await;
        assert!(there.claim_payments(B.keeper(), 9, at(ahead)).await.unwrap().is_empty());
        assert!(there.claim_callbacks(B.keeper(), B, 9).await.unwrap().is_empty());
        assert!(here.claim_payments(A.keeper(), 9, at(ahead)).await.unwrap().is_empty(), "its own live work");
        assert!(here.claim_callbacks(A.keeper(), A, 9).await.unwrap().is_empty());
    }
    if books.pass.is_none() {
        return;
    }
    books.only_heard(&[B], GONE_AFTER - Duration::from_secs(1)).await;
    assert!(there.claim_callbacks(B.keeper(), B, 9).await.unwrap().is_empty(), "not yet: it was heard just in time");
    books.only_heard(&[B], Duration::from_secs(2)).await;
    assert_eq!(there.claim_payments(B.keeper(), 9, at(1)).await.unwrap().len(), 1);
    assert_eq!(there.claim_callbacks(B.keeper(), B, 9).await.unwrap().len(), 1);
    // Back, it does not take back by force what `B` is seeing to.
    books.only_heard(&[A, B], 2 * GONE_AFTER).await;
    assert!(here.claim_payments(A.keeper(), 9, at(1)).await.unwrap().is_empty());
}

async fn outage(books: Books) {
    let Some(pass) = books.pass.clone() else { return };
    let Books { here, there, .. } = &books;
    here.register(A, None).await.unwrap();
    there.register(B, None).await.unwrap();
    let first = here.insert_callback(waiting(1), A, at(1)).await.unwrap();
    let ids = [first.id, there.insert_callback(waiting(2), B, at(1)).await.unwrap().id];
    books.only_heard(&[A, B], 2 * GONE_AFTER).await;
    // Away for a minute; then each of them is the first to be back.
    for (first, second) in [(A, B), (B, A)] {
        pass(Duration::from_secs(66)).await;
        here.heartbeat(first).await.unwrap();
        assert!(
            here.claim_callbacks(first.keeper(), first, 9).await.unwrap().is_empty(),
            "the other had no chance to be heard"
        );
        books.only_heard(&[first], GONE_AFTER - Duration::from_secs(1)).await;
        assert!(here.claim_callbacks(first.keeper(), first, 9).await.unwrap().is_empty());
        books.only_heard(&[first, second], GONE_AFTER).await;
        assert!(here.claim_callbacks(first.keeper(), first, 9).await.unwrap().is_empty(), "it is there");
        assert!(here.claim_callbacks(second.keeper(), second, 9).await.unwrap().is_empty());
    }
    // Away for as long as counts as no gap: whoever was heard before it is not silent when it is over.
    pass(HEARTBEAT_EVERY - Duration::from_millis(1)).await;
    here.heartbeat(A).await.unwrap();
    pass(HEARTBEAT_GAP_MAX).await;
    here.heartbeat(A).await.unwrap();
    assert!(here.claim_callbacks(A.keeper(), A, 9).await.unwrap().is_empty());
    // A node that has just begun waits too.
    let fresh = NodeId(Uuid::from_u128(0xf));
    pass(GONE_AFTER).await;
    here.register(fresh, None).await.unwrap();
    assert!(here.claim_callbacks(fresh.keeper(), fresh, 9).await.unwrap().is_empty());
    books.only_heard(&[fresh], GONE_AFTER + Duration::from_secs(1)).await;
    assert_eq!(claim(here, fresh, 9).await, ids);
}

async fn ended(books: Books) {
    let Books { here, there, .. } = &books;
    here.register(A, None).await.unwrap();
    let first = here.insert_callback(waiting(1), A, at(1)).await.unwrap();
    let ids = [first.id, here.insert_callback(waiting(2), A.keeper(), at(1)).await.unwrap().id];
    here.insert_payment(payment(3), A, at(1)).await.unwrap();
    there.register(B, Some(A)).await.unwrap();
    assert_eq!(claim(there, B, 9).await, ids);
    assert_eq!(there.claim_payments(B.keeper(), 9, at(2)).await.unwrap().len(), 1);
    if books.pass.is_some() {
        // A run of which that is not certain keeps what it has.
        let other = NodeId(Uuid::from_u128(0xc));
        there.register(other, None).await.unwrap();
        assert!(there.claim_callbacks(other.keeper(), other, 9).await.unwrap().is_empty());
    }
}

async fn taken_over(books: Books) {
    let Books { here, there, .. } = &books;
    here.register(A, None).await.unwrap();
    for number in 1..=3 {
        here.insert_payment(payment(number), A, at(1)).await.unwrap();
        here.mark_sending(&sid(number), None, 1, A, at(2)).await.unwrap();
    }
    books.a_is_gone().await;
    assert_eq!(there.claim_payments(B, 9, at(3)).await.unwrap().len(), 3);
    // It may not ask the gateway again, nor say that nothing was taken, nor that nobody knows.
    assert_eq!(here.mark_sending(&sid(1), None, 2, A, at(4)).await, Err(BackendError::NotFound));
    for standing in [Standing::Failed, Standing::Unknown] {
        let told = here.settle_payment(settled(1, standing), vec![waiting(10)], vec![], A, at(4)).await.unwrap();
        assert_eq!((told.booked, told.callbacks.len()), (Booked::Otherwise, 0));
    }
    // That money was taken is true whoever says so.
    let told = here.settle_payment(settled(1, Standing::Succeeded), vec![waiting(10)], vec![], A, at(5)).await.unwrap();
    assert_eq!((told.booked, numbers(&told.callbacks)), (Booked::First, vec![10]));
    let as_b = |number, standing| SettledPayment { owner: B, ..settled(number, standing) };
    let told = there.settle_payment(as_b(1, Standing::Unknown), vec![waiting(10)], vec![], B, at(6)).await.unwrap();
    assert_eq!((told.booked, told.callbacks.len()), (Booked::Otherwise, 0));
    // After `B` has told that nobody knows, it is told late.
    let told = there.settle_payment(as_b(2, Standing::Unknown), vec![waiting(20)], vec![waiting(21)], B, at(6)).await;
    assert_eq!(numbers(&told.unwrap().callbacks), [20]);
    let late = || (vec![callback(20, CallbackState::Held)], vec![callback(21, CallbackState::Held)]);
    let (first, late_ones) = late();
    let told = here.settle_payment(settled(2, Standing::Unknown), first, late_ones, A, at(7)).await.unwrap();
    assert_eq!((told.booked, told.callbacks.len()), (Booked::First, 0), "it says the same, and is told already");
    let (first, late_ones) = late();
    let told = here.settle_payment(settled(2, Standing::Succeeded), first, late_ones, A, at(8)).await.unwrap();
    assert_eq!((told.booked, numbers(&told.callbacks)), (Booked::Late, vec![21]));
    // What `B` found out, it found out.
    let told = there.settle_payment(as_b(3, Standing::Succeeded), vec![waiting(30)], vec![], B, at(9)).await.unwrap();
    assert_eq!((told.booked, numbers(&told.callbacks)), (Booked::First, vec![30]));
    let told = here.settle_payment(settled(3, Standing::Failed), vec![waiting(30)], vec![], A, at(10)).await.unwrap();
    assert_eq!(told.booked, Booked::Otherwise);
}

/// Two servers that settle in any order: what a token tells is decided once.
async fn one_result_a_token(Books { here, there, .. }: Books) {
    const STANDINGS: [Standing; 3] = [Standing::Succeeded, Standing::Failed, Standing::Unknown];
    let mut number = 0;
    for first in STANDINGS {
        for second in STANDINGS {
            for owner in [A, B] {
                number += 1;
                here.insert_payment(payment(number), A, at(1)).await.unwrap();
                here.mark_sending(&sid(number), None, 1, A, at(1)).await.unwrap();
                // What a callback says is in its form: here the outcome that it tells.
                let telling = |token: u32, standing: Standing| {
                    let mut callback = waiting(1000 * number + token);
                    callback.sealed = standing.word().as_bytes().to_vec();
                    vec![callback]
                };
                for (standing, owner) in [(first, A), (second, owner), (first, A), (second, owner)] {
                    let settled = SettledPayment { owner, ..settled(number, standing) };
                    let backend = if owner == A { &here } else { &there };
                    let (firsts, lates) = (telling(0, standing), telling(1, standing));
                    let told = backend.settle_payment(settled, firsts, lates, owner, at(2)).await.unwrap();
                    let row = here.payment(&sid(number)).await.unwrap().unwrap();
                    let said = if told.booked == Booked::Otherwise { None } else { Some(standing.word()) };
                    if let Some(said) = said {
                        assert_eq!(row.state.word(), said, "what is told is what the books say");
                    }
                }
                let token = |token: u32| Uuid::from_u128(u128::from(1000 * number + token));
                let rows = here.callbacks(all_callbacks()).await.unwrap();
                let row = here.payment(&sid(number)).await.unwrap().unwrap();
                let said = |token| {
                    let row = rows.iter().find(|row| row.token == token)?;
                    String::from_utf8(row.sealed.clone().unwrap()).ok()
                };
                assert_eq!(said(token(0)).as_deref(), Some(first.word()), "the first result stays the first");
                let late = said(token(1));
                assert_eq!(late.is_some(), first == Standing::Unknown && row.state != PaymentState::Unknown);
                assert!(late.is_none_or(|late| late == row.state.word()));
            }
        }
    }
}

async fn one_token(Books { here, there, .. }: Books) {
    let first = here.insert_callback(waiting(1), A, at(1)).await.unwrap().id;
    let second = here.insert_callback(waiting(2), A, at(1)).await.unwrap().id;
    assert!(first < second);
    here.mark_delivered(first, A, at(2)).await.unwrap();
    let known = there.insert_callback(waiting(1), B, at(3)).await.unwrap();
    assert_eq!((known.id, known.is_own), (first, false));
    let rows = here.callbacks(all_callbacks()).await.unwrap();
    assert_eq!((rows.len(), rows[0].state, rows[0].updated), (2, CallbackState::Delivered, at(2)));
}

async fn claimed_callbacks(books: Books) {
    let Books { here, there, .. } = &books;
    here.register(A, None).await.unwrap();
    for number in 1..=6 {
        let state = if number == 2 { CallbackState::Held } else { CallbackState::Waiting };
        here.insert_callback(callback(number, state), A, at(1)).await.unwrap();
    }
    let ids: Vec<i64> = here.callbacks(all_callbacks()).await.unwrap().iter().map(|row| row.id).collect();
    let of = |numbers: &[usize]| numbers.iter().map(|number| ids[number - 1]).collect::<Vec<_>>();
    here.mark_delivered(ids[2], A, at(1)).await.unwrap();
    here.mark_parked(ids[3], "gone", A, at(1)).await.unwrap();
    assert!(claim(there, B, 9).await.is_empty(), "A is there");
    books.a_is_gone().await;
    // The first two are of two calls; the fifth is of the second one's.
    let claimed = there.claim_callbacks(B, B, 2).await.unwrap();
    assert_eq!(claimed.iter().map(|row| row.id).collect::<Vec<_>>(), of(&[1, 2, 5]), "in order, and only open ones");
    let second = &claimed[1];
    assert_eq!((second.call_sid.as_str(), second.url.as_str()), ("CA2", "https://shop.example/paid/2"));
    assert_eq!((second.kind, second.tries, second.was_tried), (CallbackKind::Document, 0, false));
    assert_eq!(second.since, at(1));
    let row = here.callbacks(all_callbacks()).await.unwrap().remove(1);
    assert_eq!((row.state, row.updated), (CallbackState::Waiting, at(1)), "nobody makes the request itself any more");
    here.release(A).await.unwrap();
    assert_eq!(claim(there, B, 9).await, of(&[6]));
    assert!(claim(here, A, 9).await.is_empty());
    there.release(B).await.unwrap();
    assert_eq!(claim(here, A, 9).await, of(&[1, 2, 5, 6]));
    assert!(claim(here, A, 9).await.is_empty(), "what it has it does not take again");
}

async fn whole_calls(Books { here, there, .. }: Books) {
    for node in [A, B] {
        here.heartbeat(node).await.unwrap();
    }
    let claim_as_a = async || {
        let claimed = here.claim_callbacks(A.keeper(), A, 9).await.unwrap();
        claimed.into_iter().map(|callback| callback.id).collect::<Vec<_>>()
    };
    let first = here.insert_callback(status(1, 1), A, at(1)).await.unwrap();
    let second = here.insert_callback(status(2, 1), A, at(1)).await.unwrap();
    assert!(first.is_own && second.is_own);
    // One that a person wants again belongs to whoever has the others.
    here.mark_parked(first.id, "gone", A, at(1)).await.unwrap();
    here.retry_callbacks(None, at(2)).await.unwrap();
    assert!(claim(&there, B, 9).await.is_empty());
    assert_eq!(claim_as_a().await, [first.id]);
    // One that another server tells, too.
    let third = there.insert_callback(status(3, 1), B, at(2)).await.unwrap();
    assert!(!third.is_own);
    assert!(claim(&there, B, 9).await.is_empty());
    assert_eq!(claim_as_a().await, [third.id]);
    // So is the end of a session that is not in the books; written down it is all the same.
    let end = SettledPayment { owner: B, ..settled(6, Standing::Failed) };
    let told = there.settle_payment(end, vec![status(4, 1)], vec![], B, at(3)).await.unwrap();
    assert_eq!((told.booked, told.callbacks.len()), (Booked::First, 0));
    // Of what it took over itself a server may not know yet: its own comes after that. An action request is held up by nothing.
    for number in [5, 6] {
        assert!(
            !here.insert_callback(status(number, 1), A, at(3)).await.unwrap().is_own,
            "the earlier ones are its keeper's"
        );
        assert_eq!(claim_as_a().await.len(), if number == 5 { 2 } else { 1 });
    }
    let action = NewCallback { kind: CallbackKind::Action, ..status(7, 1) };
    assert!(there.insert_callback(action, B, at(3)).await.unwrap().is_own);
    // While anything of it is somebody's who is there, none of it is another's; then all of it is.
    here.release(A).await.unwrap();
    here.release(B).await.unwrap();
    assert!(claim(&there, B, 9).await.is_empty(), "the keeper has some");
    here.release(A.keeper()).await.unwrap();
    assert_eq!(claim(&there, B, 1).await.len(), 7);
    let other = here.insert_callback(status(8, 2), A, at(4)).await.unwrap();
    assert!(other.is_own, "another call has nothing to do with it");
}

async fn inherited_at_once(books: Books) {
    let nodes: Vec<NodeId> = (0..6).map(|number| NodeId(Uuid::from_u128(0x100 + number))).collect();
    for number in 0..550 {
        books.here.insert_callback(status(number, number % 110), A, at(1)).await.unwrap();
    }
    for node in &nodes {
        books.here.heartbeat(*node).await.unwrap();
    }
    match &books.pass {
        Some(_) => books.only_heard(&nodes, GONE_AFTER + HEARTBEAT_EVERY).await,
        None => books.here.release(A).await.unwrap(),
    }
    let claiming = nodes.iter().enumerate().map(|(place, node)| {
        let (books, node) = (books.clone(), *node);
        let backend = if place % 2 == 0 { books.here } else { books.there };
        tokio::spawn(async move {
            let mut calls = Vec::new();
            loop {
                let claimed = backend.claim_callbacks(node, node, 7).await.unwrap();
                if claimed.is_empty() {
                    return calls;
                }
                assert!(claimed.is_sorted_by_key(|callback| callback.id));
                calls.extend(claimed.into_iter().map(|callback| callback.call_sid));
            }
        })
    });
    let mut owners = BTreeSet::new();
    let mut count = 0;
    for (place, claimed) in join_all(claiming).await.into_iter().enumerate() {
        let calls = claimed.unwrap();
        count += calls.len();
        owners.extend(calls.into_iter().map(|call| (call, place)));
    }
    assert_eq!((count, owners.len()), (550, 110), "each callback once, each call of one");
}

async fn open_callbacks(Books { here, there, .. }: Books) {
    let id = here.insert_callback(status(1, 1), A, at(1)).await.unwrap().id;
    let row = there.open_callback(id, A).await.unwrap().unwrap();
    assert_eq!((row.id, row.sealed.as_deref(), row.state), (id, Some(&b"form 1"[..]), CallbackState::Waiting));
    assert_eq!(there.open_callback(id, B).await.unwrap(), None);
    assert!(here.claimed_callbacks(B, 0, 9).await.unwrap().is_empty());
    here.release(A).await.unwrap();
    there.claim_callbacks(B.keeper(), B, 9).await.unwrap();
    assert_eq!(here.open_callback(id, A).await.unwrap(), None);
    assert!(here.open_callback(id, B).await.unwrap().is_some(), "what its keeper has it has");
    let next = here.insert_callback(status(2, 2), A, at(1)).await.unwrap().id;
    here.release(A).await.unwrap();
    there.claim_callbacks(B.keeper(), B, 9).await.unwrap();
    here.mark_failed(next, "refused", 1, B, at(3)).await.unwrap();
    let list = async |after| here.claimed_callbacks(B.keeper(), after, 9).await.unwrap();
    assert_eq!(list(0).await.iter().map(|callback| callback.id).collect::<Vec<_>>(), [id, next]);
    let [last] = &list(id).await[..] else { panic!("one comes after it") };
    assert_eq!((last.id, last.tries, last.was_tried), (next, 1, true));
    here.mark_delivered(id, B, at(3)).await.unwrap();
    here.mark_parked(next, "gone", B, at(3)).await.unwrap();
    assert!(list(0).await.is_empty());
    assert_eq!(here.open_callback(id, B).await.unwrap(), None);
    assert_eq!(here.open_callback(next, B).await.unwrap(), None);
    // One that a person wants again is as one that was never tried.
    let id = here.insert_callback(status(3, 3), A, at(1)).await.unwrap().id;
    here.mark_parked(id, "HTTP status 404", A, at(4)).await.unwrap();
    here.retry_callbacks(Some(vec![id]), at(5)).await.unwrap();
    let claimed = there.claim_callbacks(B.keeper(), B, 9).await.unwrap();
    assert!(claimed.len() == 1 && !claimed[0].was_tried && claimed[0].since == at(5), "{claimed:?}");
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

async fn claimed_payments(books: Books) {
    let Books { here, there, .. } = &books;
    here.register(A, None).await.unwrap();
    // The ids are in another order than they are written down in.
    for number in [5, 4, 3, 2, 1, 6] {
        here.insert_payment(payment(number), A, at(10 - u64::from(number))).await.unwrap();
    }
    here.mark_sending(&sid(4), None, 1, A, at(11)).await.unwrap();
    here.settle_payment(settled(3, Standing::Unknown), vec![], vec![], A, at(11)).await.unwrap();
    here.settle_payment(settled(2, Standing::Failed), vec![], vec![], A, at(11)).await.unwrap();
    here.settle_payment(settled(1, Standing::Unknown), vec![], vec![], A, at(11)).await.unwrap();
    here.give_up_payment(&sid(1), at(12)).await.unwrap();
    let row = here.payment(&sid(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.updated), (PaymentState::Unknown, at(12)));
    assert_eq!(here.give_up_payment(&sid(9), at(12)).await, Err(BackendError::NotFound));
    assert!(there.claim_payments(B, 9, at(60_000)).await.unwrap().is_empty());
    books.a_is_gone().await;
    let claim = async |node, limit| {
        let open = there.claim_payments(node, limit, at(60_001)).await.unwrap();
        open.into_iter().map(|open| open.row.sid).collect::<Vec<_>>()
    };
    assert_eq!(claim(B, 2).await, [sid(5), sid(4)]);
    assert_eq!(claim(B, 1).await, [sid(6)], "what nobody was told of comes first");
    assert_eq!(claim(B, 2).await, [sid(3)], "neither a known outcome nor one that is given up");
    assert!(claim(A, 2).await.is_empty());
    let list = async |after: Option<String>, limit| {
        let claimed = here.claimed_payments(B, after, limit, at(60_001)).await.unwrap();
        claimed.into_iter().map(|open| open.row.sid).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 3).await, [sid(5), sid(4), sid(3)]);
    assert_eq!(list(Some(sid(3)), 3).await, [sid(6)]);
    assert!(here.claimed_payments(A, None, 9, at(60_001)).await.unwrap().is_empty());
    there.release(B).await.unwrap();
    assert_eq!(claim(A, 9).await, [sid(5), sid(4), sid(6), sid(3)]);
}

async fn overlapping_claims(books: Books) {
    let nodes: Vec<NodeId> = (0..6).map(|number| NodeId(Uuid::from_u128(0x100 + number))).collect();
    for number in 1..=60 {
        books.here.insert_payment(payment(number), A, at(1)).await.unwrap();
    }
    books.here.release(A).await.unwrap();
    for node in &nodes {
        books.here.heartbeat(*node).await.unwrap();
    }
    let claiming = nodes.iter().enumerate().map(|(place, node)| {
        let (books, node) = (books.clone(), *node);
        let backend = if place % 2 == 0 { books.here } else { books.there };
        tokio::spawn(async move {
            let mut payments = Vec::new();
            loop {
                let open = backend.claim_payments(node, 4, at(3)).await.unwrap();
                if open.is_empty() {
                    return payments;
                }
                payments.extend(open.into_iter().map(|open| open.row.sid));
            }
        })
    });
    let mut payments = Vec::new();
    for claimed in join_all(claiming).await {
        payments.extend(claimed.unwrap());
    }
    assert_eq!(payments.len(), 60, "each belongs to one");
    assert_eq!(payments.iter().collect::<BTreeSet<_>>().len(), 60);
}

async fn fates(Books { here, .. }: Books) {
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(here.insert_callback(callback(number, CallbackState::Held), A, at(1)).await.unwrap().id);
    }
    here.mark_failed(ids[0], "refused", 1, A, at(2)).await.unwrap();
    for _ in 0..2 {
        // The second time as after an answer that was lost: it failed twice, not three times.
        here.mark_failed(ids[0], "timed out", 2, A, at(3)).await.unwrap();
    }
    here.mark_failed(ids[1], "refused", 1, A, at(3)).await.unwrap();
    here.mark_delivered(ids[1], A, at(4)).await.unwrap();
    here.mark_failed(ids[2], "refused", 1, A, at(4)).await.unwrap();
    here.mark_parked(ids[2], "for an hour", A, at(5)).await.unwrap();
    // Another try of one that was answered: there is nothing left of it to deliver.
    assert_eq!(here.mark_failed(ids[1], "timed out", 2, A, at(5)).await, Err(BackendError::NotFound));
    assert_eq!(here.mark_parked(ids[1], "for an hour", A, at(5)).await, Err(BackendError::NotFound));
    let rows = here.callbacks(all_callbacks()).await.unwrap();
    let told = |row: &CallbackRow| (row.state, row.tries, row.reason.clone(), row.since, row.updated);
    assert_eq!(told(&rows[0]), (CallbackState::Waiting, 2, Some("timed out".to_owned()), at(1), at(3)));
    assert_eq!(told(&rows[1]), (CallbackState::Delivered, 1, None, at(1), at(4)));
    assert_eq!(told(&rows[2]), (CallbackState::Parked, 1, Some("for an hour".to_owned()), at(1), at(5)));
    let sealed: Vec<bool> = rows.iter().map(|row| row.sealed.is_some()).collect();
    assert_eq!(sealed, [true, false, true], "what was delivered is kept no longer");
    for (state, count) in [
        (CallbackState::Waiting, 1),
        (CallbackState::Held, 0),
        (CallbackState::Delivered, 1),
        (CallbackState::Parked, 1),
    ] {
        assert_eq!(here.count_callbacks(state).await, Ok(count), "{state}");
    }
    assert_eq!(here.mark_delivered(99, A, at(6)).await, Err(BackendError::NotFound));
    assert_eq!(here.mark_failed(99, "x", 1, A, at(6)).await, Err(BackendError::NotFound));
    assert_eq!(here.mark_parked(99, "x", A, at(6)).await, Err(BackendError::NotFound));
}

/// What a server had and has no more, another one delivers.
async fn lost(Books { here, there, .. }: Books) {
    let id = here.insert_callback(callback(1, CallbackState::Held), A, at(1)).await.unwrap().id;
    let changes = async |node: NodeId| {
        [
            here.mark_failed(id, "refused", 1, node, at(2)).await,
            here.mark_parked(id, "HTTP status 404", node, at(2)).await,
            here.mark_delivered(id, node, at(2)).await,
        ]
    };
    let refused = [const { Err(BackendError::NotFound) }; 3];
    let row = async || here.callbacks(all_callbacks()).await.unwrap().remove(0);
    let stored = row().await;
    assert_eq!(changes(B).await, refused, "it is A's");
    assert_eq!(row().await, stored);
    here.release(A).await.unwrap();
    assert_eq!(changes(A).await, refused, "it is nobody's");
    assert_eq!(claim(&there, B, 9).await, [id]);
    let claimed = row().await;
    assert_eq!(changes(A).await, refused, "it is B's by now");
    assert_eq!(row().await, claimed);
    assert_eq!(changes(B).await, [const { Ok(()) }; 3]);
    let delivered = row().await;
    assert_eq!((delivered.state, delivered.sealed), (CallbackState::Delivered, None));
    assert_eq!(here.mark_delivered(id, A, at(3)).await, Err(BackendError::NotFound));
    assert_eq!(here.mark_delivered(id, B, at(3)).await, Ok(()), "again, as after an answer that was lost");
}

async fn retried(Books { here, there, .. }: Books) {
    here.heartbeat(A).await.unwrap();
    let mut ids = Vec::new();
    for number in 1..=4 {
        ids.push(here.insert_callback(waiting(number), A, at(1)).await.unwrap().id);
    }
    for id in &ids[..3] {
        here.mark_parked(*id, "gone", A, at(2)).await.unwrap();
    }
    assert_eq!(there.retry_callbacks(Some(vec![ids[1], ids[1], ids[3], 99]), at(3)).await, Ok(1), "parked ones alone");
    let rows = here.callbacks(all_callbacks()).await.unwrap();
    assert_eq!((rows[1].state, rows[1].since, rows[1].updated), (CallbackState::Waiting, at(3), at(3)));
    assert_eq!((rows[1].tries, rows[1].reason.as_deref()), (0, None), "as if it had never been tried");
    assert_eq!((rows[0].since, rows[0].reason.as_deref()), (at(1), Some("gone")));
    assert_eq!(claim(&there, B, 9).await, [ids[1]], "it is anybody's");
    assert_eq!(there.retry_callbacks(None, at(4)).await, Ok(2));
    assert_eq!(there.retry_callbacks(None, at(5)).await, Ok(0));
    assert_eq!(there.retry_callbacks(Some(vec![]), at(5)).await, Ok(0));
}

async fn forgotten(Books { here, .. }: Books) {
    for number in 1..=4 {
        let id = here.insert_callback(waiting(number), A, at(1)).await.unwrap().id;
        if number != 3 {
            here.mark_delivered(id, A, at(number.into())).await.unwrap();
        }
    }
    let last = here.callbacks(all_callbacks()).await.unwrap()[3].id;
    assert_eq!(here.forget_delivered(at(2)).await, Ok(1));
    assert_eq!(numbers(&here.callbacks(all_callbacks()).await.unwrap()), [2, 3, 4]);
    assert_eq!(here.forget_delivered(at(9)).await, Ok(2));
    assert_eq!(numbers(&here.callbacks(all_callbacks()).await.unwrap()), [3]);
    assert!(here.insert_callback(waiting(5), A, at(9)).await.unwrap().id > last, "an id is never given again");
}

async fn payment_lists(Books { here, .. }: Books) {
    for number in 1..=6 {
        here.insert_payment(payment(number), A, at(u64::from(number) * 10)).await.unwrap();
    }
    here.settle_payment(settled(5, Standing::Failed), vec![], vec![], A, at(99)).await.unwrap();
    let list = async |filter: PaymentFilter| {
        let rows = here.payments(filter).await.unwrap();
        let number = |sid: String| u32::from_str_radix(&sid[2..], 16).unwrap();
        rows.into_iter().map(|row| number(row.sid)).collect::<Vec<_>>()
    };
    assert_eq!(list(all_payments()).await, [6, 5, 4, 3, 2, 1], "the newest first");
    assert_eq!(list(PaymentFilter { limit: 2, ..all_payments() }).await, [6, 5]);
    let after = PaymentFilter { limit: 2, after_sid: Some(sid(5)), ..all_payments() };
    assert_eq!(list(after).await, [4, 3]);
    let unknown = PaymentFilter { after_sid: Some("PKnone".to_owned()), ..all_payments() };
    assert_eq!(list(unknown).await.len(), 6);
    assert_eq!(list(PaymentFilter { call_sid: Some("CA1".to_owned()), ..all_payments() }).await, [4, 1]);
    assert_eq!(list(PaymentFilter { connector: Some("Bank".to_owned()), ..all_payments() }).await, [5, 3, 1]);
    assert_eq!(list(PaymentFilter { state: Some(PaymentState::Failed), ..all_payments() }).await, [5]);
    assert_eq!(
        list(PaymentFilter { from: Some(at(20)), before: Some(at(50)), ..all_payments() }).await,
        [4, 3, 2],
        "from is in, before is not"
    );
    let narrow = PaymentFilter {
        call_sid: Some("CA0".to_owned()),
        connector: Some("Default".to_owned()),
        state: Some(PaymentState::Preparing),
        from: Some(at(1)),
        before: Some(at(100)),
        ..all_payments()
    };
    assert_eq!(list(PaymentFilter { after_sid: Some(sid(6)), ..narrow.clone() }).await, [0; 0]);
    assert_eq!(list(narrow).await, [6]);
}

async fn callback_lists(Books { here, .. }: Books) {
    let mut ids = Vec::new();
    for number in 1..=6 {
        ids.push(here.insert_callback(waiting(number), A, at(1)).await.unwrap().id);
    }
    here.mark_parked(ids[3], "gone", A, at(2)).await.unwrap();
    let list = async |filter: CallbackFilter| numbers(&here.callbacks(filter).await.unwrap());
    assert_eq!(list(all_callbacks()).await, [1, 2, 3, 4, 5, 6], "the oldest first");
    assert_eq!(list(CallbackFilter { limit: 2, after_id: Some(ids[1]), ..all_callbacks() }).await, [3, 4]);
    assert_eq!(list(CallbackFilter { call_sid: Some("CA1".to_owned()), ..all_callbacks() }).await, [1, 4]);
    assert_eq!(list(CallbackFilter { payment_sid: Some(sid(2)), ..all_callbacks() }).await, [2]);
    assert_eq!(list(CallbackFilter { state: Some(CallbackState::Parked), ..all_callbacks() }).await, [4]);
    let none = CallbackFilter {
        call_sid: Some("CA1".to_owned()),
        state: Some(CallbackState::Parked),
        after_id: Some(ids[3]),
        ..all_callbacks()
    };
    assert_eq!(list(none).await, [0; 0]);
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
