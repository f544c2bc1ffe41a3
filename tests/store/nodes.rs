//! The contract's rules of the servers themselves: who is heard, who is gone.

use std::time::Duration;

use touchtone::store::{GONE_AFTER, HEARTBEAT_EVERY, HEARTBEAT_GAP_MAX, NodeId};
use uuid::Uuid;

use crate::contract::{B, Books, claim};
use crate::samples::{A, at, payment, waiting};

pub async fn heard(books: Books) {
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

pub async fn outage(books: Books) {
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

pub async fn ended(books: Books) {
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
