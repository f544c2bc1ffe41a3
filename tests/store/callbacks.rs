//! The contract's rules of callbacks: who has them, in what order, what becomes of them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use touchtone::callback::CallbackKind;
use touchtone::pay::outcome::Standing;
use touchtone::store::{
    BackendError, CallbackFilter, CallbackRow, CallbackState, GONE_AFTER, HEARTBEAT_EVERY, NewCallback, NodeId,
    Recorded, SettledPayment,
};
use uuid::Uuid;

use crate::contract::{B, Books, all_callbacks, claim, numbers, status};
use crate::samples::{A, at, callback, settled, sid, waiting};

pub async fn one_token(Books { here, there, .. }: Books) {
    let first = here.insert_callback(waiting(1), A, at(1)).await.unwrap().id;
    let second = here.insert_callback(waiting(2), A, at(1)).await.unwrap().id;
    assert!(first < second);
    here.mark_delivered(first, A, at(2)).await.unwrap();
    let known = there.insert_callback(waiting(1), B, at(3)).await.unwrap();
    assert_eq!((known.id, known.is_own), (first, false));
    let rows = here.callbacks(all_callbacks()).await.unwrap();
    assert_eq!((rows.len(), rows[0].state, rows[0].updated), (2, CallbackState::Delivered, at(2)));
}

pub async fn claimed_callbacks(books: Books) {
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

pub async fn whole_calls(Books { here, there, .. }: Books) {
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
    // So is the end of a session that is not in the store; written down it is all the same.
    let end = SettledPayment { owner: B, ..settled(6, Standing::Failed) };
    let told = there.settle_payment(end, vec![status(4, 1)], vec![], B, at(3)).await.unwrap();
    assert_eq!((told.recorded, told.callbacks.len()), (Recorded::First, 0));
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

pub async fn inherited_at_once(books: Books) {
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

pub async fn open_callbacks(Books { here, there, .. }: Books) {
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

pub async fn fates(Books { here, .. }: Books) {
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
pub async fn lost(Books { here, there, .. }: Books) {
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

pub async fn retried(Books { here, there, .. }: Books) {
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

pub async fn forgotten(Books { here, .. }: Books) {
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

pub async fn callback_lists(Books { here, .. }: Books) {
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
