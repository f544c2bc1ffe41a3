//! A server whose machine was suspended: by its own clock no time has passed, and others have taken over what it had.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use touchtone::callback::CallbackKind;
use touchtone::clock::WallClock;
use touchtone::store::memory::Memory;
use touchtone::store::{
    BackendError, CallbackState, GONE_AFTER, HEARTBEAT_EVERY, Holder, NewCallback, NodeId, Occasion, Seal, Store,
    StoreError, token,
};
use uuid::Uuid;

use crate::samples::{A, at, callback, payment, sid};

const B: NodeId = NodeId(Uuid::from_u128(0xb));

/// A server that is suspended for a while, and another one.
struct Servers {
    suspended: Store,
    other: Store,
    database: Arc<AtomicU64>,
    wall_clock: &'static AtomicI64,
}

impl Servers {
    async fn new() -> Self {
        let database = Arc::new(AtomicU64::new(1_000_000));
        let read = Arc::clone(&database);
        let memory =
            Arc::new(Memory::default().shared(Box::new(move || Duration::from_millis(read.load(Ordering::SeqCst)))));
        let wall_clock: &'static AtomicI64 = Box::leak(Box::new(AtomicI64::new(0)));
        let store = |node| Store::new(Arc::clone(&memory) as _, Seal::of_bytes(&[7; 32]).unwrap(), node);
        let suspended = store(A).by_wall(WallClock::simulated_set(at(0), wall_clock));
        let servers = Self { suspended, other: store(B), database, wall_clock };
        servers.suspended.register(None).await.unwrap();
        servers.other.register(None).await.unwrap();
        servers.pass(GONE_AFTER + HEARTBEAT_EVERY, &[&servers.suspended, &servers.other]).await;
        servers
    }

    /// Time passes for the database, in which these are heard.
    async fn pass(&self, time: Duration, heard: &[&Store]) {
        for _ in 0..time.as_secs() {
            self.database.fetch_add(1000, Ordering::SeqCst);
            for store in heard {
                store.heartbeat().await.unwrap();
            }
        }
    }

    /// For a minute and a half nothing happens here, and no clock goes but the one on the wall.
    async fn suspend(&self) {
        self.pass(Duration::from_secs(90), &[&self.other]).await;
        self.wall_clock.fetch_add(90_000, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_submission_leaves_after_a_suspension_only_if_nobody_took_the_payment_over() {
    for is_taken_over in [true, false] {
        let servers = Servers::new().await;
        let Servers { suspended, other, .. } = &servers;
        suspended.backend().insert_payment(payment(1), A, at(1)).await.unwrap();
        let (sid, epoch) = (sid(1), suspended.epoch());
        suspended.sending(&sid, None, 1, Holder::Call, at(2)).await.unwrap();
        let leaves = || suspended.still_sending((epoch, Holder::Call), &sid, None, 1, at(3));
        leaves().now_or_never().expect("nothing was missed").unwrap();
        servers.suspend().await;
        if is_taken_over {
            assert_eq!(other.backend().claim_payments(B.keeper(), 9, at(3)).await.unwrap().len(), 1);
        }
        assert!(leaves().now_or_never().is_none(), "nobody knows yet");
        suspended.heartbeat().await.unwrap();
        match leaves().now_or_never().expect("it is heard again") {
            Ok(()) => assert!(!is_taken_over, "somebody else has asked about it"),
            Err(error) => assert!(
                is_taken_over && matches!(error, StoreError::Backend(BackendError::NotFound)),
                "{is_taken_over} {error}"
            ),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_request_is_a_call_s_own_after_a_suspension_only_if_nobody_took_it_over() {
    for is_taken_over in [true, false] {
        let servers = Servers::new().await;
        let Servers { suspended, other, .. } = &servers;
        let token = token(&sid(1), Occasion::First, CallbackKind::Action);
        let held = callback(4, CallbackState::Held);
        let held = NewCallback { token, payment_sid: Some(sid(1)), kind: CallbackKind::Action, ..held };
        suspended.backend().insert_callback(held, A, at(1)).await.unwrap();
        let (sid, epoch) = (sid(1), suspended.epoch());
        let is_own = || suspended.still_holds(epoch, &sid, token);
        assert!(is_own().now_or_never().expect("nothing was missed").unwrap());
        servers.suspend().await;
        if is_taken_over {
            assert_eq!(other.claim_callbacks(9).await.unwrap().len(), 1);
        }
        assert!(suspended.lapsed().now_or_never().is_some(), "what is under way is given up");
        assert!(is_own().now_or_never().is_none(), "nobody knows yet");
        suspended.heartbeat().await.unwrap();
        assert_eq!(is_own().await.unwrap(), !is_taken_over);
    }
}
