//! The contract of [`touchtone::store::SessionBackend`] and [`touchtone::store::CallBackend`].

use std::sync::Arc;

use futures_util::future::join_all;
use touchtone::callback::CallbackKind;
use touchtone::pay::outcome::Standing;
use touchtone::store::{
    BackendError, CallFilter, CallPlaces, CallRow, CallStatus, CallbackFilter, CallbackRow, Changes, NewCallback,
    NewSession, NodeId, PaymentState, Recorded, SessionFilter, SessionState, SettledPayment,
};
use uuid::Uuid;

use crate::contract::Books;
use crate::samples::{at, call, callback, payment, session, settled, sid, waiting};

const A: NodeId = NodeId(Uuid::from_u128(0xa));
const B: NodeId = NodeId(Uuid::from_u128(0xb));

fn begun(numbers: impl IntoIterator<Item = u32>, when: u64) -> Changes {
    let session = |number| Arc::new(session(number, at(when)));
    Changes { calls: Vec::new(), sessions: numbers.into_iter().map(session).collect() }
}

fn calls(rows: impl IntoIterator<Item = CallRow>) -> Changes {
    Changes { calls: rows.into_iter().map(Arc::new).collect(), sessions: Vec::new() }
}

/// The outcome of a session that the sender knows.
fn with_session(number: u32, standing: Standing) -> SettledPayment {
    SettledPayment { session: Some(Arc::new(session(number, at(1)))), ..settled(number, standing) }
}

fn numbers(rows: &[CallbackRow]) -> Vec<u128> {
    rows.iter().map(|row| row.token.as_u128()).collect()
}

async fn listed(books: &Books) -> Vec<String> {
    let rows = books.here.sessions(SessionFilter { limit: 1000, ..SessionFilter::default() }).await.unwrap();
    rows.into_iter().map(|row| row.sid).collect()
}

/// Written once; told elsewhere while it is open; nothing once it is not.
pub async fn begins(books: Books) {
    let Books { here, there, .. } = &books;
    here.write_changes(begun(1..=3, 1), A).await.unwrap();
    here.write_changes(begun(1..=3, 9), A).await.unwrap();
    let row = there.session(&sid(2)).await.unwrap().unwrap();
    assert_eq!((row.call_sid.as_str(), row.connector.as_str(), row.led_by.as_str()), ("CA2", "Default", "document"));
    assert_eq!((row.operation.as_str(), row.amount.as_deref(), row.currency.as_str()), ("charge", Some("2.45"), "usd"));
    assert_eq!((row.means.as_str(), row.token_type, row.state), ("card", None, SessionState::Open));
    assert_eq!((row.begun, row.ended, row.result, row.error_code, row.error), (at(1), None, None, None, None));
    assert_eq!(listed(&books).await, [sid(3), sid(2), sid(1)]);
    assert_eq!(here.session(&sid(4)).await.unwrap(), None);
    let elsewhere = |sealed: &str| Changes {
        calls: Vec::new(),
        sessions: vec![Arc::new(NewSession { sealed: sealed.as_bytes().to_vec(), ..session(1, at(9)) })],
    };
    there.write_changes(elsewhere("another server's"), B).await.unwrap();
    here.write_changes(elsewhere("later"), A).await.unwrap();
    books.a_is_gone().await;
    let left = there.claim_sessions(B, 9).await.unwrap();
    let sealed: Vec<&[u8]> = left.iter().map(|left| left.sealed.as_slice()).collect();
    assert_eq!(sealed, [&b"later"[..], b"begun 2", b"begun 3"], "the oldest first");
    here.write_changes(elsewhere("too late"), A).await.unwrap();
    there.release(B).await.unwrap();
    assert_eq!(there.claim_sessions(B, 1).await.unwrap()[0].sealed, b"later", "it was another's by then");
}

/// A session's end is one with what tells it, whether its beginning was written before or comes too late.
pub async fn ends(books: Books) {
    let Books { here, there, .. } = &books;
    here.write_changes(begun([1], 1), A).await.unwrap();
    for number in [1, 2] {
        let settle = || {
            let first = vec![waiting(10 * number), waiting(10 * number + 1)];
            here.settle_payment(with_session(number, Standing::Failed), first, vec![], A, at(5))
        };
        let told = settle().await.unwrap();
        assert_eq!(told.callbacks.len(), 2);
        assert_eq!(settle().await.unwrap(), told, "again, after an answer that was lost");
        let row = there.session(&sid(number)).await.unwrap().unwrap();
        assert_eq!((row.state, row.begun, row.ended), (SessionState::Ended, at(1), Some(at(5))));
        assert_eq!((row.result.as_deref(), row.error_code), (Some("payment-connector-error"), Some(64001)));
        assert_eq!(row.error.as_deref(), Some("the gateway said: “no” 🙁"));
        // Its beginning, from a line that was slow.
        here.write_changes(begun([number], 1), A).await.unwrap();
        assert_eq!(there.session(&sid(number)).await.unwrap().unwrap(), row);
    }
    here.release(A).await.unwrap();
    assert!(there.claim_sessions(B, 9).await.unwrap().is_empty(), "there is nothing to tell");
    assert_eq!(listed(&books).await, [sid(2), sid(1)]);
    // One that nobody noted: a verb with faulty attributes.
    here.settle_payment(settled(3, Standing::Failed), vec![waiting(30)], vec![], A, at(7)).await.unwrap();
    assert_eq!(here.session(&sid(3)).await.unwrap(), None);
}

/// Nobody's, somebody's: what becomes of the callbacks that tell a session's end says nothing about whose end it is.
pub async fn ends_once(books: Books) {
    let Books { here, there, .. } = &books;
    let status = |number| NewCallback { kind: CallbackKind::Status, call_sid: "CA1".to_owned(), ..waiting(number) };
    here.write_changes(begun([1], 1), A).await.unwrap();
    // An earlier one of the call is another server's.
    there.insert_callback(status(1), B, at(1)).await.unwrap();
    let settle = |error: &str| {
        let mut settled = with_session(1, Standing::Failed);
        settled.outcome.error = Some(error.to_owned());
        here.settle_payment(settled, vec![status(2)], vec![], A, at(2))
    };
    for _ in 0..2 {
        let told = settle("hung up").await.unwrap();
        assert_eq!((told.recorded, told.callbacks.len()), (Recorded::First, 0), "whoever has the first one tells it");
    }
    there.release(B).await.unwrap();
    assert_eq!(there.claim_callbacks(B.keeper(), B, 9).await.unwrap().len(), 2);
    let told = settle("hung up").await.unwrap();
    assert_eq!(told.recorded, Recorded::First, "again, after an answer that was lost");
    assert_eq!(settle("something else").await.unwrap().recorded, Recorded::Otherwise, "it has one result");
}

/// The payment's row takes over.
pub async fn is_asked(books: Books) {
    let Books { here, there, .. } = &books;
    here.write_changes(begun([1], 1), A).await.unwrap();
    for number in [1, 2] {
        for _ in 0..2 {
            here.insert_payment(payment(number), A, at(2)).await.unwrap();
        }
        here.write_changes(begun([number], 1), A).await.unwrap();
        assert_eq!(here.session(&sid(number)).await.unwrap().unwrap().state, SessionState::Asked);
        assert_eq!(here.payment(&sid(number)).await.unwrap().unwrap().state, PaymentState::Preparing);
    }
    here.release(A).await.unwrap();
    assert!(there.claim_sessions(B, 9).await.unwrap().is_empty(), "it is the payment that is found out");
    assert_eq!(there.claim_payments(B, 9, at(3)).await.unwrap().len(), 2);
    // Whoever finds it out has not seen its beginning.
    let found_out = SettledPayment { owner: B, ..settled(1, Standing::Unknown) };
    there.settle_payment(found_out, vec![waiting(1)], vec![], B, at(4)).await.unwrap();
    let row = here.session(&sid(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.ended, row.error_code), (SessionState::Asked, Some(at(4)), Some(64001)));
    here.settle_payment(with_session(1, Standing::Succeeded), vec![], vec![waiting(2)], A, at(5)).await.unwrap();
    let row = here.session(&sid(1)).await.unwrap().unwrap();
    assert_eq!((row.result.as_deref(), row.ended, row.error_code), (Some("success"), Some(at(4)), None));
    assert!(listed(&books).await.is_empty(), "they are listed as payments");
}

/// Told once, by whoever takes it over; whoever led it learns that it is over.
pub async fn is_left(books: Books) {
    let Books { here, there, .. } = &books;
    here.heartbeat(A).await.unwrap();
    here.write_changes(begun(1..=4, 1), A).await.unwrap();
    assert!(there.claim_sessions(B, 9).await.unwrap().is_empty(), "A is there");
    let progress = |number: u32, token: u32| {
        let told = callback(token, touchtone::store::CallbackState::Waiting);
        let told = NewCallback { progress_of: Some(sid(number)), kind: CallbackKind::Status, ..told };
        async move { here.insert_callback(told, A, at(60_001)).await }
    };
    // Of one that it leads, and of one that is not written down yet.
    for (number, token) in [(4, 502), (9, 503)] {
        let stored = progress(number, token).await.unwrap();
        assert!(stored.is_own);
        here.mark_delivered(stored.id, A, at(60_001)).await.unwrap();
    }
    books.a_is_gone().await;
    let left = there.claim_sessions(B, 3).await.unwrap();
    let sids: Vec<&str> = left.iter().map(|left| left.sid.as_str()).collect();
    assert_eq!((sids, left[0].call_sid.as_str()), (vec![&*sid(1), &*sid(2), &*sid(3)], "CA1"));
    // Whoever led them learns that somebody else does now.
    assert_eq!(progress(1, 501).await, Err(BackendError::NotFound));
    assert!(progress(1, 502).await.is_ok(), "one that is stored is not refused when its answer was lost");
    let end = |number: u32| {
        let told = vec![waiting(10 * number), callback(10 * number + 1, touchtone::store::CallbackState::Waiting)];
        there.end_left_session(settled(number, Standing::Failed), told, B, at(60_002))
    };
    let told = end(1).await.unwrap().unwrap();
    assert_eq!(numbers(&told), [10, 11]);
    assert_eq!(end(1).await.unwrap().as_ref(), Some(&told), "again, after an answer that was lost");
    let row = here.session(&sid(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.ended, row.error_code), (SessionState::Ended, Some(at(60_002)), Some(64001)));
    // Its server was there all the while.
    assert_eq!(progress(1, 504).await, Err(BackendError::NotFound), "it was told");
    assert_eq!(here.insert_payment(payment(1), A, at(60_003)).await, Err(BackendError::NotFound), "it was told");
    assert_eq!(here.payment(&sid(1)).await.unwrap(), None);
    let late = here.settle_payment(with_session(1, Standing::Failed), vec![waiting(99)], vec![], A, at(60_003)).await;
    let late = late.unwrap();
    assert_eq!((late.recorded, late.callbacks), (Recorded::Otherwise, vec![]), "it has one result");
    // That one was quicker: its payment is found out, and its session told nothing of.
    here.insert_payment(payment(2), A, at(60_003)).await.unwrap();
    assert_eq!(end(2).await.unwrap(), None);
    assert!(progress(2, 505).await.unwrap().is_own);
    // And so was that one, with an end of its own.
    here.settle_payment(with_session(3, Standing::Failed), vec![waiting(77)], vec![], A, at(60_003)).await.unwrap();
    assert_eq!(end(3).await.unwrap(), None);
    let all = here.callbacks(CallbackFilter { limit: 100, ..CallbackFilter::default() }).await.unwrap();
    assert_eq!(numbers(&all), [502, 503, 10, 11, 505, 77]);
    assert!(there.claim_sessions(B, 0).await.unwrap().is_empty());
}

/// Whoever is first: the gateway is asked, or the session is told; never both.
pub async fn is_asked_and_left_at_once(books: Books) {
    const MANY: u32 = 40;
    books.here.write_changes(begun(0..MANY, 1), A).await.unwrap();
    let racing = (0..MANY).map(|number| {
        let Books { here, there, .. } = books.clone();
        tokio::spawn(async move {
            let end = there.end_left_session(settled(number, Standing::Failed), vec![waiting(number)], B, at(3));
            let ask = here.insert_payment(payment(number), A, at(3));
            // Each begins first in half of them.
            let (told, asked) = if number % 2 == 0 {
                tokio::join!(end, ask)
            } else {
                let (asked, told) = tokio::join!(ask, end);
                (told, asked)
            };
            (told.unwrap().map_or(0, |told| told.len()), asked)
        })
    });
    for (number, done) in join_all(racing).await.into_iter().enumerate() {
        let (told, asked) = done.unwrap();
        match asked {
            Ok(()) => assert_eq!(told, 0, "{number}: asked, and told all the same"),
            Err(error) => assert_eq!((told, error), (1, BackendError::NotFound), "{number}"),
        }
        let payment = books.here.payment(&sid(number.try_into().unwrap())).await.unwrap();
        assert_eq!(payment.is_some(), told == 0, "{number}");
    }
}

/// What was told of a session: what comes after the end of the one before it in its call, whatever is told of that one late.
pub async fn counts_what_was_told(Books { here, there, .. }: Books) {
    let told = |number: u32, payment: Option<u32>, call_sid: &str| {
        let row = NewCallback {
            token: Uuid::from_u128(number.into()),
            call_sid: call_sid.to_owned(),
            payment_sid: payment.map(sid),
            kind: CallbackKind::Status,
            ..waiting(1)
        };
        here.insert_callback(row, A, at(1))
    };
    let count = async |number: u32| there.count_told("CA1", &sid(number)).await.unwrap();
    assert_eq!(count(1).await, 0);
    for number in 0..3 {
        told(number, None, "CA1").await.unwrap();
    }
    told(3, None, "CA2").await.unwrap();
    let action =
        NewCallback { call_sid: "CA1".to_owned(), payment_sid: None, kind: CallbackKind::Action, ..waiting(4) };
    here.insert_callback(action, A, at(1)).await.unwrap();
    assert_eq!(count(1).await, 3);
    told(5, Some(1), "CA1").await.unwrap();
    assert_eq!((count(1).await, count(2).await), (3, 0));
    told(6, None, "CA1").await.unwrap();
    told(7, Some(1), "CA1").await.unwrap();
    told(8, None, "CA1").await.unwrap();
    assert_eq!(count(2).await, 2, "what is told late of the first is no end of it");
}

pub async fn lists_of_sessions(Books { here, there, .. }: Books) {
    for number in 1..=6 {
        here.write_changes(begun([number], u64::from(number) * 1000), A).await.unwrap();
    }
    here.insert_payment(payment(5), A, at(9000)).await.unwrap();
    let sessions = async |filter: SessionFilter| {
        let rows = there.sessions(SessionFilter { limit: filter.limit.max(1), ..filter }).await.unwrap();
        rows.into_iter().map(|row| row.sid).collect::<Vec<_>>()
    };
    let all = || SessionFilter { limit: 1000, ..SessionFilter::default() };
    assert_eq!(sessions(all()).await, [6, 4, 3, 2, 1].map(sid), "the one that is asked for is a payment");
    assert_eq!(sessions(SessionFilter { limit: 2, ..all() }).await, [6, 4].map(sid));
    assert_eq!(sessions(SessionFilter { after_sid: Some(sid(4)), ..all() }).await, [3, 2, 1].map(sid));
    assert_eq!(sessions(SessionFilter { after_sid: Some(sid(9)), ..all() }).await.len(), 5);
    assert_eq!(sessions(SessionFilter { call_sid: Some("CA0".to_owned()), ..all() }).await, [6, 3].map(sid));
    assert_eq!(sessions(SessionFilter { connector: Some("Bank".to_owned()), ..all() }).await, [3, 1].map(sid));
    let span = SessionFilter { from: Some(at(2000)), before: Some(at(4000)), ..all() };
    assert_eq!(sessions(span).await, [3, 2].map(sid));
}

/// A call is written when it begins and when it ends, in whatever batches.
pub async fn calls_begin_and_end(Books { here, there, .. }: Books) {
    const MANY: u32 = 120;
    here.write_changes(calls((0..MANY).map(|number| call(number, at(1), CallStatus::InProgress))), A).await.unwrap();
    let row = there.call("CA3").await.unwrap().unwrap();
    assert_eq!(CallRow { place: 0, ..row.clone() }, call(3, at(1), CallStatus::InProgress));
    let ended = CallRow { from: None, caller_name: Some("Ann".to_owned()), ..call(3, at(9), CallStatus::Completed) };
    here.write_changes(calls([ended.clone()]), A).await.unwrap();
    let known = there.call("CA3").await.unwrap().unwrap();
    let expected = CallRow { started: at(1), from: row.from.clone(), place: row.place, ..ended };
    assert_eq!(known, expected, "what the stream told before stays, and so does the beginning");
    // It comes back, and on another server at that; the first one's end comes late.
    there.write_changes(calls([call(3, at(20_000), CallStatus::InProgress)]), B).await.unwrap();
    here.write_changes(calls([call(3, at(9), CallStatus::Completed)]), A).await.unwrap();
    let known = here.call("CA3").await.unwrap().unwrap();
    assert_eq!((known.status, known.ended, known.started), (CallStatus::InProgress, None, at(1)));
    assert_eq!(here.delete_call("CA3").await, Err(BackendError::NotFound), "it is live");
    there.write_changes(calls([call(3, at(20_000), CallStatus::Completed)]), B).await.unwrap();
    here.delete_call("CA3").await.unwrap();
    assert_eq!(here.call("CA3").await, Ok(None));
    assert_eq!(here.delete_call("CA3").await, Err(BackendError::NotFound));
    here.write_changes(calls([call(3, at(30_000), CallStatus::InProgress)]), A).await.unwrap();
    let (again, last) = (here.call("CA3").await.unwrap().unwrap(), here.call("CA119").await.unwrap().unwrap());
    assert!(again.place > last.place, "no place is given twice");
    here.write_changes(Changes::default(), A).await.unwrap();
}

pub async fn calls_are_left(books: Books) {
    let Books { here, there, .. } = &books;
    here.heartbeat(A).await.unwrap();
    here.write_changes(calls((1..=4).map(|number| call(number, at(1), CallStatus::InProgress))), A).await.unwrap();
    here.write_changes(calls([call(2, at(1), CallStatus::Completed)]), A).await.unwrap();
    assert_eq!(there.fail_left_calls(B, 9, at(60_000)).await, Ok(0), "A is there");
    books.a_is_gone().await;
    assert_eq!(there.fail_left_calls(B, 2, at(60_001)).await, Ok(2));
    let rows = there.calls(CallFilter { limit: 9, ..CallFilter::default() }).await.unwrap();
    let stand: Vec<_> = rows.iter().map(|row| (row.sid.as_str(), row.status, row.ended, row.updated)).collect();
    let failed = CallStatus::Failed;
    assert_eq!(
        stand,
        [
            ("CA4", CallStatus::InProgress, None, at(1)),
            ("CA3", failed, None, at(60_001)),
            ("CA2", CallStatus::Completed, Some(at(1001)), at(1001)),
            ("CA1", failed, None, at(60_001)),
        ]
    );
    here.release(A).await.unwrap();
    assert_eq!(there.fail_left_calls(B, 9, at(3)).await, Ok(1));
    assert_eq!(there.fail_left_calls(B, 9, at(3)).await, Ok(0));
    // Its server was there all the while: it knows best.
    here.write_changes(calls([call(1, at(1), CallStatus::Completed)]), A).await.unwrap();
    assert_eq!(here.call("CA1").await.unwrap().unwrap().status, CallStatus::Completed);
}

pub async fn lists_of_calls(Books { here, there, .. }: Books) {
    for number in 1..=6_u32 {
        let status = if number % 2 == 0 { CallStatus::Completed } else { CallStatus::InProgress };
        here.write_changes(calls([call(number, at(u64::from(number) * 10_000), status)]), A).await.unwrap();
    }
    let listed = async |filter: CallFilter| {
        let rows = there.calls(CallFilter { limit: filter.limit.max(1), ..filter }).await.unwrap();
        rows.into_iter().map(|row| row.sid["CA".len()..].parse().unwrap()).collect::<Vec<u32>>()
    };
    let all = || CallFilter { limit: 1000, ..CallFilter::default() };
    assert_eq!(listed(all()).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(listed(CallFilter { limit: 2, offset: 1, ..all() }).await, [5, 4]);
    let place = here.call("CA3").await.unwrap().unwrap().place;
    assert_eq!(listed(CallFilter { place: CallPlaces::Before(place), limit: 1, ..all() }).await, [2]);
    assert_eq!(listed(CallFilter { place: CallPlaces::After(place), limit: 2, ..all() }).await, [4, 5]);
    assert_eq!(listed(CallFilter { from: Some("+15550000".to_owned()), ..all() }).await, [6, 4, 2]);
    assert_eq!(listed(CallFilter { to: Some("+15552222".to_owned()), ..all() }).await, [6, 3]);
    assert_eq!(listed(CallFilter { status: Some(CallStatus::InProgress), ..all() }).await, [5, 3, 1]);
    let started = CallFilter { started_from: Some(at(20_000)), started_before: Some(at(50_000)), ..all() };
    assert_eq!(listed(started).await, [4, 3, 2]);
    let ended = CallFilter { ended_from: Some(at(21_000)), ended_before: Some(at(61_000)), ..all() };
    assert_eq!(listed(ended).await, [4, 2], "one that has not ended is in no span");
    let odd = CallRow { from: Some("a❤b'; --".to_owned()), ..call(7, at(1), CallStatus::InProgress) };
    here.write_changes(calls([odd.clone()]), A).await.unwrap();
    assert_eq!(listed(CallFilter { from: odd.from, ..all() }).await, [7]);
}

pub async fn can_be_written(Books { here, there, .. }: Books) {
    here.probe().await.unwrap();
    there.probe().await.unwrap();
    assert_eq!(here.note("seal").await, Ok(None), "what it writes is nobody's note");
}
