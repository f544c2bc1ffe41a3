//! The contract of [`Backend`]: every rule is run on every database.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use touchtone::pay::outcome::Standing;
use touchtone::store::{
    Authorized, Backend, BackendError, CallbackFilter, CallbackRow, CallbackState, NodeId, PaymentFilter, PaymentState,
};
use uuid::Uuid;

use crate::samples::{at, callback, payment, settled, sid, waiting};

/// One database as two servers see it.
#[derive(Clone)]
pub struct Books {
    pub here: Arc<dyn Backend>,
    pub there: Arc<dyn Backend>,
}

type Rule = fn(Books) -> BoxFuture<'static, ()>;

/// Every rule by name.
pub const RULES: &[(&str, Rule)] = &[
    ("a payment is written down once", |books| once(books).boxed()),
    ("each submission is counted", |books| sending(books).boxed()),
    ("an outcome and its callbacks are one", |books| first_outcome(books).boxed()),
    ("an unknown outcome is kept open and told once more", |books| late_outcome(books).boxed()),
    ("a known outcome stays", |books| known_outcome(books).boxed()),
    ("a session without a payment has its callbacks", |books| no_payment(books).boxed()),
    ("a callback is stored once", |books| one_token(books).boxed()),
    ("callbacks are claimed in order when they are free", |books| claimed_callbacks(books).boxed()),
    ("payments are claimed in order while they have no outcome", |books| claimed_payments(books).boxed()),
    ("two claims at once never overlap", |books| overlapping_claims(books).boxed()),
    ("a callback's fate is written down", |books| fates(books).boxed()),
    ("parked callbacks are wanted again", |books| retried(books).boxed()),
    ("delivered callbacks are forgotten", |books| forgotten(books).boxed()),
    ("payments are listed by what is asked for", |books| payment_lists(books).boxed()),
    ("callbacks are listed by what is asked for", |books| callback_lists(books).boxed()),
    ("connectors change with a revision", |books| connectors(books).boxed()),
    ("a note is kept once", |books| notes(books).boxed()),
    ("any text can be stored", |books| texts(books).boxed()),
    ("everything at once", |books| everything_at_once(books).boxed()),
];

const A: NodeId = NodeId(Uuid::from_u128(0xa));
const B: NodeId = NodeId(Uuid::from_u128(0xb));

fn numbers(rows: &[CallbackRow]) -> Vec<u128> {
    rows.iter().map(|row| row.token.as_u128()).collect()
}

fn all_payments() -> PaymentFilter {
    PaymentFilter { limit: 1000, ..PaymentFilter::default() }
}

fn all_callbacks() -> CallbackFilter {
    CallbackFilter { limit: 1000, ..CallbackFilter::default() }
}

async fn once(Books { here, there }: Books) {
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
    here.heartbeat(A, at(2)).await.unwrap();
    assert!(there.claim_payments(B, 9, at(3)).await.unwrap().is_empty());
}

async fn sending(Books { here, .. }: Books) {
    assert_eq!(here.mark_sending(&sid(1), None, at(1)).await, Err(BackendError::NotFound));
    here.insert_payment(payment(1), A, at(1)).await.unwrap();
    here.mark_sending(&sid(1), Some(b"note".to_vec()), at(2)).await.unwrap();
    here.mark_sending(&sid(1), None, at(3)).await.unwrap();
    let row = here.payment(&sid(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.sends), (PaymentState::Submitting, 2));
    assert_eq!((row.first_sent, row.last_sent, row.updated), (Some(at(2)), Some(at(3)), at(3)));
    let open = here.claim_payments(B, 9, at(4)).await.unwrap();
    assert_eq!(open[0].note.as_deref(), Some(&b"note"[..]), "a note stays until there is another");
    assert_eq!((open[0].sealed.as_slice(), &open[0].row), (&b"sealed 1"[..], &row));
    here.settle_payment(settled(1, Standing::Unknown), vec![], vec![], A, at(5)).await.unwrap();
    here.mark_sending(&sid(1), None, at(6)).await.unwrap();
    let row = here.payment(&sid(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.sends), (PaymentState::Unknown, 3));
    here.settle_payment(settled(1, Standing::Succeeded), vec![], vec![], A, at(7)).await.unwrap();
    assert_eq!(here.mark_sending(&sid(1), None, at(8)).await, Err(BackendError::NotFound));
}

async fn first_outcome(Books { here, there }: Books) {
    here.insert_payment(payment(4), A, at(1)).await.unwrap();
    here.mark_sending(&sid(4), None, at(2)).await.unwrap();
    let first = || vec![waiting(10), callback(11, CallbackState::Held)];
    let settle = |now| here.settle_payment(settled(4, Standing::Failed), first(), vec![waiting(12)], A, at(now));
    let told = settle(3).await.unwrap();
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
    // Nothing is left to be found out.
    assert!(here.claim_payments(B, 9, at(4)).await.unwrap().is_empty());
    // Again, as after an answer that was lost: the same, and nothing new.
    assert_eq!(settle(5).await.unwrap(), told);
    assert_eq!(here.payment(&sid(4)).await.unwrap().unwrap().updated, at(3));
    assert_eq!(here.callbacks(all_callbacks()).await.unwrap(), told);
    here.mark_delivered(told[0].id, at(6)).await.unwrap();
    assert_eq!(numbers(&settle(7).await.unwrap()), [11], "what was delivered is done");
    let elsewhere = there.settle_payment(settled(4, Standing::Failed), first(), vec![], B, at(8)).await.unwrap();
    assert!(elsewhere.is_empty(), "they are another node's");
}

async fn late_outcome(Books { here, .. }: Books) {
    here.insert_payment(payment(4), A, at(1)).await.unwrap();
    here.mark_sending(&sid(4), Some(b"note".to_vec()), at(2)).await.unwrap();
    let settle =
        |standing, now| here.settle_payment(settled(4, standing), vec![waiting(10)], vec![waiting(11)], A, at(now));
    assert_eq!(numbers(&settle(Standing::Unknown, 3).await.unwrap()), [10]);
    assert_eq!(numbers(&settle(Standing::Unknown, 4).await.unwrap()), [10], "still unknown is nothing new");
    let open = here.claim_payments(B, 9, at(5)).await.unwrap();
    assert_eq!((open.len(), open[0].row.state), (1, PaymentState::Unknown));
    assert_eq!((open[0].sealed.as_slice(), open[0].note.as_deref()), (&b"sealed 4"[..], Some(&b"note"[..])));
    assert_eq!(numbers(&settle(Standing::Succeeded, 6).await.unwrap()), [11]);
    let row = here.payment(&sid(4)).await.unwrap().unwrap();
    assert_eq!((row.state, row.confirmation_code.as_deref()), (PaymentState::Succeeded, Some("ch_1")));
    assert_eq!((row.error_code, row.error), (None, None), "what was said of the unknown outcome is over");
    here.release(B).await.unwrap();
    assert!(here.claim_payments(B, 9, at(7)).await.unwrap().is_empty(), "its intent is wiped");
    // Again: the late one is not lost with the answer.
    assert_eq!(numbers(&settle(Standing::Succeeded, 8).await.unwrap()), [10, 11]);
    assert_eq!(here.callbacks(all_callbacks()).await.unwrap().len(), 2);
}

async fn known_outcome(Books { here, .. }: Books) {
    for (number, first, second) in
        [(1, Standing::Succeeded, Standing::Failed), (2, Standing::Failed, Standing::Unknown)]
    {
        here.insert_payment(payment(number), A, at(1)).await.unwrap();
        here.settle_payment(settled(number, first), vec![], vec![waiting(10)], A, at(2)).await.unwrap();
        let before = here.payment(&sid(number)).await.unwrap();
        here.settle_payment(settled(number, second), vec![], vec![waiting(10)], A, at(3)).await.unwrap();
        assert_eq!(here.payment(&sid(number)).await.unwrap(), before);
    }
    assert!(here.callbacks(all_callbacks()).await.unwrap().is_empty(), "there is nothing late to tell");
}

async fn no_payment(Books { here, .. }: Books) {
    let told = here.settle_payment(settled(6, Standing::Failed), vec![waiting(1)], vec![waiting(2)], A, at(1)).await;
    assert_eq!(numbers(&told.unwrap()), [1]);
    assert_eq!(here.payment(&sid(6)).await.unwrap(), None);
}

async fn one_token(Books { here, there }: Books) {
    let first = here.insert_callback(waiting(1), A, at(1)).await.unwrap();
    let second = here.insert_callback(waiting(2), A, at(1)).await.unwrap();
    assert!(first < second);
    here.mark_delivered(first, at(2)).await.unwrap();
    assert_eq!(there.insert_callback(waiting(1), B, at(3)).await.unwrap(), first);
    let rows = here.callbacks(all_callbacks()).await.unwrap();
    assert_eq!((rows.len(), rows[0].state, rows[0].updated), (2, CallbackState::Delivered, at(2)));
}

async fn claimed_callbacks(Books { here, there }: Books) {
    here.heartbeat(A, at(0)).await.unwrap();
    for number in 1..=6 {
        let state = if number == 2 { CallbackState::Held } else { CallbackState::Waiting };
        here.insert_callback(callback(number, state), A, at(1)).await.unwrap();
    }
    let ids: Vec<i64> = here.callbacks(all_callbacks()).await.unwrap().iter().map(|row| row.id).collect();
    here.mark_delivered(ids[2], at(1)).await.unwrap();
    here.mark_parked(ids[3], "gone", at(1)).await.unwrap();
    assert!(there.claim_callbacks(B, 9, at(60_000)).await.unwrap().is_empty(), "A was seen a minute ago");
    let claimed = there.claim_callbacks(B, 3, at(60_001)).await.unwrap();
    assert_eq!(numbers(&claimed), [1, 2, 5], "the oldest first, and only open ones");
    assert!(claimed.iter().all(|row| row.state == CallbackState::Waiting), "nobody makes the request itself any more");
    assert_eq!(claimed[1].updated, at(1));
    there.heartbeat(B, at(60_001)).await.unwrap();
    here.heartbeat(A, at(60_002)).await.unwrap();
    assert!(there.claim_callbacks(B, 9, at(60_003)).await.unwrap().is_empty(), "A is back: the last one is its own");
    here.release(A).await.unwrap();
    assert_eq!(numbers(&there.claim_callbacks(B, 9, at(60_003)).await.unwrap()), [6]);
    assert!(here.claim_callbacks(A, 9, at(60_004)).await.unwrap().is_empty());
    there.release(B).await.unwrap();
    assert_eq!(numbers(&here.claim_callbacks(A, 9, at(60_005)).await.unwrap()), [1, 2, 5, 6]);
}

async fn claimed_payments(Books { here, there }: Books) {
    here.heartbeat(A, at(0)).await.unwrap();
    // The ids are in another order than they are written down in.
    for number in [5, 4, 3, 2, 1] {
        here.insert_payment(payment(number), A, at(10 - u64::from(number))).await.unwrap();
    }
    here.mark_sending(&sid(4), None, at(11)).await.unwrap();
    here.settle_payment(settled(3, Standing::Unknown), vec![], vec![], A, at(11)).await.unwrap();
    here.settle_payment(settled(2, Standing::Failed), vec![], vec![], A, at(11)).await.unwrap();
    here.settle_payment(settled(1, Standing::Unknown), vec![], vec![], A, at(11)).await.unwrap();
    here.give_up_payment(&sid(1), at(12)).await.unwrap();
    let row = here.payment(&sid(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.updated), (PaymentState::Unknown, at(12)));
    assert_eq!(here.give_up_payment(&sid(9), at(12)).await, Err(BackendError::NotFound));
    assert!(there.claim_payments(B, 9, at(60_000)).await.unwrap().is_empty());
    let claim = async |node, limit, now| {
        let open = there.claim_payments(node, limit, at(now)).await.unwrap();
        open.into_iter().map(|open| open.row.sid).collect::<Vec<_>>()
    };
    there.heartbeat(B, at(60_001)).await.unwrap();
    assert_eq!(claim(B, 2, 60_001).await, [sid(5), sid(4)]);
    assert_eq!(claim(B, 2, 60_001).await, [sid(3)], "neither a known outcome nor one that is given up");
    assert!(claim(A, 2, 60_002).await.is_empty());
    there.release(B).await.unwrap();
    assert_eq!(claim(A, 9, 60_003).await, [sid(5), sid(4), sid(3)]);
}

async fn overlapping_claims(books: Books) {
    let nodes: Vec<NodeId> = (0..6).map(|number| NodeId(Uuid::from_u128(0x100 + number))).collect();
    for number in 1..=60 {
        books.here.insert_payment(payment(number), A, at(1)).await.unwrap();
        books.here.insert_callback(waiting(number), A, at(1)).await.unwrap();
    }
    for node in &nodes {
        books.here.heartbeat(*node, at(2)).await.unwrap();
    }
    let claiming = nodes.iter().enumerate().map(|(place, node)| {
        let (books, node) = (books.clone(), *node);
        let backend = if place % 2 == 0 { books.here } else { books.there };
        tokio::spawn(async move {
            let (mut payments, mut callbacks) = (Vec::new(), Vec::new());
            loop {
                let open = backend.claim_payments(node, 4, at(3)).await.unwrap();
                let rows = backend.claim_callbacks(node, 4, at(3)).await.unwrap();
                if open.is_empty() && rows.is_empty() {
                    return (payments, callbacks);
                }
                payments.extend(open.into_iter().map(|open| open.row.sid));
                callbacks.extend(rows.into_iter().map(|row| row.id));
            }
        })
    });
    let (mut payments, mut callbacks) = (Vec::new(), Vec::new());
    for claimed in join_all(claiming).await {
        let (more_payments, more_callbacks) = claimed.unwrap();
        assert!(more_callbacks.is_sorted(), "each has them in order");
        payments.extend(more_payments);
        callbacks.extend(more_callbacks);
    }
    assert_eq!((payments.len(), callbacks.len()), (60, 60), "each belongs to one");
    assert_eq!(payments.iter().collect::<BTreeSet<_>>().len(), 60);
    assert_eq!(callbacks.iter().collect::<BTreeSet<_>>().len(), 60);
}

async fn fates(Books { here, .. }: Books) {
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(here.insert_callback(callback(number, CallbackState::Held), A, at(1)).await.unwrap());
    }
    here.mark_failed(ids[0], "refused", at(2)).await.unwrap();
    here.mark_failed(ids[0], "timed out", at(3)).await.unwrap();
    here.mark_failed(ids[1], "refused", at(3)).await.unwrap();
    here.mark_delivered(ids[1], at(4)).await.unwrap();
    here.mark_failed(ids[2], "refused", at(4)).await.unwrap();
    here.mark_parked(ids[2], "for an hour", at(5)).await.unwrap();
    // Another try of one that was answered: there is nothing left of it to deliver.
    assert_eq!(here.mark_failed(ids[1], "timed out", at(5)).await, Err(BackendError::NotFound));
    assert_eq!(here.mark_parked(ids[1], "for an hour", at(5)).await, Err(BackendError::NotFound));
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
    assert_eq!(here.mark_delivered(99, at(6)).await, Err(BackendError::NotFound));
    assert_eq!(here.mark_failed(99, "x", at(6)).await, Err(BackendError::NotFound));
    assert_eq!(here.mark_parked(99, "x", at(6)).await, Err(BackendError::NotFound));
}

async fn retried(Books { here, there }: Books) {
    here.heartbeat(A, at(1)).await.unwrap();
    let mut ids = Vec::new();
    for number in 1..=4 {
        ids.push(here.insert_callback(waiting(number), A, at(1)).await.unwrap());
    }
    for id in &ids[..3] {
        here.mark_parked(*id, "gone", at(2)).await.unwrap();
    }
    assert_eq!(there.retry_callbacks(Some(vec![ids[1], ids[1], ids[3], 99]), at(3)).await, Ok(1), "parked ones alone");
    let rows = here.callbacks(all_callbacks()).await.unwrap();
    assert_eq!((rows[1].state, rows[1].since, rows[1].updated), (CallbackState::Waiting, at(3), at(3)));
    assert_eq!(rows[1].reason.as_deref(), Some("gone"));
    assert_eq!(rows[0].since, at(1));
    assert_eq!(numbers(&there.claim_callbacks(B, 9, at(3)).await.unwrap()), [2], "it is anybody's");
    assert_eq!(there.retry_callbacks(None, at(4)).await, Ok(2));
    assert_eq!(there.retry_callbacks(None, at(5)).await, Ok(0));
    assert_eq!(there.retry_callbacks(Some(vec![]), at(5)).await, Ok(0));
}

async fn forgotten(Books { here, .. }: Books) {
    for number in 1..=4 {
        let id = here.insert_callback(waiting(number), A, at(1)).await.unwrap();
        if number != 3 {
            here.mark_delivered(id, at(number.into())).await.unwrap();
        }
    }
    let last = here.callbacks(all_callbacks()).await.unwrap()[3].id;
    assert_eq!(here.forget_delivered(at(2)).await, Ok(1));
    assert_eq!(numbers(&here.callbacks(all_callbacks()).await.unwrap()), [2, 3, 4]);
    assert_eq!(here.forget_delivered(at(9)).await, Ok(2));
    assert_eq!(numbers(&here.callbacks(all_callbacks()).await.unwrap()), [3]);
    assert!(here.insert_callback(waiting(5), A, at(9)).await.unwrap() > last, "an id is never given again");
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
        ids.push(here.insert_callback(waiting(number), A, at(1)).await.unwrap());
    }
    here.mark_parked(ids[3], "gone", at(2)).await.unwrap();
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

async fn connectors(Books { here, there }: Books) {
    let mut revision = here.connectors_revision().await.unwrap();
    let mut changed = async |is_expected: bool| {
        let now = there.connectors_revision().await.unwrap();
        assert_eq!(now != revision, is_expected, "{now}");
        revision = now;
    };
    for (number, name) in ["b", "B", "ä", "a"].into_iter().enumerate() {
        here.insert_connector(name, vec![number as u8], at(1)).await.unwrap();
        changed(true).await;
    }
    assert_eq!(there.insert_connector("b", vec![9], at(2)).await, Err(BackendError::Duplicate));
    let as_before = Authorized::AsBefore;
    assert_eq!(there.update_connector("c", &[0], vec![9], as_before, at(2)).await, Err(BackendError::NotFound));
    // Somebody else has changed it meanwhile.
    assert_eq!(there.update_connector("b", &[7], vec![8], as_before, at(2)).await, Err(BackendError::NotFound));
    assert_eq!(there.remove_connector("c").await, Err(BackendError::NotFound));
    there.mark_withdrawn("c", &[0], at(2)).await.unwrap();
    there.mark_withdrawn("a", &[9], at(2)).await.unwrap();
    changed(false).await;
    there.update_connector("b", &[0], vec![9], as_before, at(3)).await.unwrap();
    changed(true).await;
    there.mark_withdrawn("B", &[1], at(4)).await.unwrap();
    changed(true).await;
    there.remove_connector("ä").await.unwrap();
    changed(true).await;
    let rows = here.connectors().await.unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["B", "a", "b"]);
    assert_eq!((rows[2].sealed.as_slice(), rows[2].created, rows[2].updated), (&[9][..], at(1), at(3)));
    assert_eq!((rows[0].withdrawn, rows[1].withdrawn), (Some(at(4)), None));
    here.update_connector("B", &[1], vec![5], as_before, at(5)).await.unwrap();
    assert_eq!(there.connectors().await.unwrap()[0].withdrawn, Some(at(4)), "other keys, the same access");
    here.update_connector("B", &[5], vec![6], Authorized::Anew, at(6)).await.unwrap();
    assert_eq!(there.connectors().await.unwrap()[0].withdrawn, None);
}

async fn notes(Books { here, there }: Books) {
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
    here.mark_failed(id, "a\u{0}b", at(3)).await.unwrap();
    assert_eq!(here.payments(PaymentFilter { call_sid, ..all_payments() }).await.unwrap().len(), 1);
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
            backend.heartbeat(node, at(1)).await.unwrap();
            backend.mark_sending(&sid(number), None, at(2)).await.unwrap();
            let settle = || {
                let first = vec![waiting(1000 + 2 * number), waiting(1001 + 2 * number)];
                backend.settle_payment(settled(number, Standing::Succeeded), first, vec![], node, at(3))
            };
            let told = settle().await.unwrap();
            assert_eq!(settle().await.unwrap(), told);
            for row in told {
                backend.mark_delivered(row.id, at(4)).await.unwrap();
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
