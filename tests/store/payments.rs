//! The contract's rules of payments: written down once, their outcomes, who may change them.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use touchtone::pay::outcome::Standing;
use touchtone::store::{
    Backend, BackendError, CallbackRow, CallbackState, NodeId, PaymentFilter, PaymentState, Recorded, SettledPayment,
};
use uuid::Uuid;

use crate::contract::{B, Books, all_callbacks, all_payments, numbers};
use crate::samples::{A, at, callback, payment, settled, sid, waiting};

pub async fn once(Books { here, there, .. }: Books) {
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

pub async fn sending(books: Books) {
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

pub async fn first_outcome(Books { here, there, .. }: Books) {
    here.insert_payment(payment(4), A, at(1)).await.unwrap();
    here.mark_sending(&sid(4), None, 1, A, at(2)).await.unwrap();
    let first = || vec![waiting(10), callback(11, CallbackState::Held)];
    let settle = async |now| {
        let settling = here.settle_payment(settled(4, Standing::Failed), first(), vec![waiting(12)], A, at(now)).await;
        let settling = settling.unwrap();
        assert_eq!(settling.recorded, Recorded::First);
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

pub async fn late_outcome(Books { here, .. }: Books) {
    here.insert_payment(payment(4), A, at(1)).await.unwrap();
    here.mark_sending(&sid(4), Some(b"note".to_vec()), 1, A, at(2)).await.unwrap();
    let settle = async |standing, now| {
        let settled = settled(4, standing);
        let settling = here.settle_payment(settled, vec![waiting(10)], vec![waiting(11)], A, at(now)).await.unwrap();
        (settling.recorded, numbers(&settling.callbacks))
    };
    assert_eq!(settle(Standing::Unknown, 3).await, (Recorded::First, vec![10]));
    assert_eq!(settle(Standing::Unknown, 4).await, (Recorded::First, vec![10]), "still unknown is nothing new");
    assert_eq!(settle(Standing::Succeeded, 6).await, (Recorded::Late, vec![11]));
    let row = here.payment(&sid(4)).await.unwrap().unwrap();
    assert_eq!((row.state, row.confirmation_code.as_deref()), (PaymentState::Succeeded, Some("ch_1")));
    assert_eq!((row.error_code, row.error), (None, None), "what was said of the unknown outcome is over");
    here.release(A).await.unwrap();
    assert!(here.claim_payments(B, 9, at(7)).await.unwrap().is_empty(), "its intent is wiped");
    here.claim_callbacks(A, A, 9).await.unwrap();
    // Again: the late one is not lost with the answer.
    assert_eq!(settle(Standing::Succeeded, 8).await, (Recorded::Late, vec![10, 11]));
    assert_eq!(here.callbacks(all_callbacks()).await.unwrap().len(), 2);
}

pub async fn known_outcome(Books { here, .. }: Books) {
    for (number, first, second) in
        [(1, Standing::Succeeded, Standing::Failed), (2, Standing::Failed, Standing::Unknown)]
    {
        here.insert_payment(payment(number), A, at(1)).await.unwrap();
        here.settle_payment(settled(number, first), vec![], vec![waiting(10)], A, at(2)).await.unwrap();
        let before = here.payment(&sid(number)).await.unwrap();
        let other = here.settle_payment(settled(number, second), vec![waiting(11)], vec![waiting(10)], A, at(3)).await;
        assert_eq!(other.unwrap().recorded, Recorded::Otherwise);
        assert_eq!(here.payment(&sid(number)).await.unwrap(), before);
    }
    assert!(here.callbacks(all_callbacks()).await.unwrap().is_empty(), "there is nothing else to tell");
}

pub async fn no_payment(Books { here, there, .. }: Books) {
    let end = async |backend: &dyn Backend, node| {
        let settled = SettledPayment { owner: node, ..settled(6, Standing::Failed) };
        let settling = backend.settle_payment(settled, vec![waiting(1)], vec![waiting(2)], node, at(1)).await.unwrap();
        (settling.recorded, numbers(&settling.callbacks))
    };
    assert_eq!(end(&*here, A).await, (Recorded::First, vec![1]));
    assert_eq!(end(&*here, A).await, (Recorded::First, vec![1]), "again is nothing new");
    assert_eq!(end(&*there, B).await, (Recorded::First, vec![]), "A tells it");
    assert_eq!(here.payment(&sid(6)).await.unwrap(), None);
}

pub async fn claimed_payments(books: Books) {
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

pub async fn overlapping_claims(books: Books) {
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

pub async fn taken_over(books: Books) {
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
        assert_eq!((told.recorded, told.callbacks.len()), (Recorded::Otherwise, 0));
    }
    // That money was taken is true whoever says so.
    let told = here.settle_payment(settled(1, Standing::Succeeded), vec![waiting(10)], vec![], A, at(5)).await.unwrap();
    assert_eq!((told.recorded, numbers(&told.callbacks)), (Recorded::First, vec![10]));
    let as_b = |number, standing| SettledPayment { owner: B, ..settled(number, standing) };
    let told = there.settle_payment(as_b(1, Standing::Unknown), vec![waiting(10)], vec![], B, at(6)).await.unwrap();
    assert_eq!((told.recorded, told.callbacks.len()), (Recorded::Otherwise, 0));
    // After `B` has told that nobody knows, it is told late.
    let told = there.settle_payment(as_b(2, Standing::Unknown), vec![waiting(20)], vec![waiting(21)], B, at(6)).await;
    assert_eq!(numbers(&told.unwrap().callbacks), [20]);
    let late = || (vec![callback(20, CallbackState::Held)], vec![callback(21, CallbackState::Held)]);
    let (first, late_ones) = late();
    let told = here.settle_payment(settled(2, Standing::Unknown), first, late_ones, A, at(7)).await.unwrap();
    assert_eq!((told.recorded, told.callbacks.len()), (Recorded::First, 0), "it says the same, and is told already");
    let (first, late_ones) = late();
    let told = here.settle_payment(settled(2, Standing::Succeeded), first, late_ones, A, at(8)).await.unwrap();
    assert_eq!((told.recorded, numbers(&told.callbacks)), (Recorded::Late, vec![21]));
    // What `B` found out, it found out.
    let told = there.settle_payment(as_b(3, Standing::Succeeded), vec![waiting(30)], vec![], B, at(9)).await.unwrap();
    assert_eq!((told.recorded, numbers(&told.callbacks)), (Recorded::First, vec![30]));
    let told = here.settle_payment(settled(3, Standing::Failed), vec![waiting(30)], vec![], A, at(10)).await.unwrap();
    assert_eq!(told.recorded, Recorded::Otherwise);
}

/// Two servers that settle in any order: what a token tells is decided once.
pub async fn one_result_a_token(Books { here, there, .. }: Books) {
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
                    let said = if told.recorded == Recorded::Otherwise { None } else { Some(standing.word()) };
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

pub async fn payment_lists(Books { here, .. }: Books) {
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
