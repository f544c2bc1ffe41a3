//! A database that does what databases must not, so that it is seen whether anybody notices.
//!
//! Shape:   [`Planted`] passes everything on to the rows; what its [`Trick`] is about, it does otherwise.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use touchtone::store::audit::{AuditFilter, AuditRow, ConnectorChange, NewAudit};
use touchtone::store::{
    Backend, BackendError, CallBackend, CallFilter, CallRow, CallbackFilter, CallbackRow, CallbackState, Changes,
    ConnectorRow, Inserted, LeftSession, NewCallback, NewPayment, NodeId, PaymentFilter, PaymentRow, PendingCallback,
    ProbeBackend, Recorded, Resealed, SessionBackend, SessionFilter, SessionRow, SettledPayment, Settling, Unsettled,
};

use super::plan::Trick;

/// How much a server has under way at most where that limits what it takes over.
const UNDER_WAY_MAX: u32 = 500;

/// The rows, behind something that is wrong.
pub struct Planted {
    pub rows: Arc<dyn Backend>,
    pub trick: Trick,
}

type Done<'a, T> = BoxFuture<'a, Result<T, BackendError>>;

/// Methods that are passed on as they are.
macro_rules! passed_on {
    ($life:lifetime; $($method:ident($($name:ident: $of:ty),*) -> $done:ty;)*) => {
        $(fn $method<$life>(&$life self, $($name: $of),*) -> Done<$life, $done> {
            self.rows.$method($($name),*)
        })*
    };
}

impl Backend for Planted {
    fn settle_payment(
        &self,
        payment: SettledPayment,
        first: Vec<NewCallback>,
        late: Vec<NewCallback>,
        node: NodeId,
        now: Timestamp,
    ) -> Done<'_, Settling> {
        async move {
            match self.rows.settle_payment(payment, first, late, node, now).await {
                Err(BackendError::Unavailable(_)) if self.trick == Trick::UnwrittenIsBelieved => {
                    Ok(Settling { recorded: Recorded::First, callbacks: Vec::new() })
                }
                settled => settled,
            }
        }
        .boxed()
    }

    fn claim_callbacks(&self, keeper: NodeId, node: NodeId, limit: u32) -> Done<'_, Vec<PendingCallback>> {
        async move {
            if self.trick == Trick::WaitingIsLimited {
                let held = self.rows.claimed_callbacks(keeper, 0, UNDER_WAY_MAX).await?.len();
                if u32::try_from(held).is_ok_and(|held| held >= UNDER_WAY_MAX) {
                    return Ok(Vec::new());
                }
            }
            self.rows.claim_callbacks(keeper, node, limit).await
        }
        .boxed()
    }

    fn is_shared(&self) -> bool {
        self.rows.is_shared()
    }

    passed_on! { 'a;
        insert_payment(payment: NewPayment, node: NodeId, now: Timestamp) -> ();
        mark_sending(sid: &'a str, note: Option<Vec<u8>>, number: u32, node: NodeId, now: Timestamp) -> ();
        insert_callback(callback: NewCallback, node: NodeId, now: Timestamp) -> Inserted;
        claimed_callbacks(keeper: NodeId, after_id: i64, limit: u32) -> Vec<PendingCallback>;
        open_callback(id: i64, node: NodeId) -> Option<CallbackRow>;
        claim_payments(node: NodeId, limit: u32, now: Timestamp) -> Vec<Unsettled>;
        claimed_payments(keeper: NodeId, after: Option<String>, limit: u32, now: Timestamp) -> Vec<Unsettled>;
        give_up_payment(sid: &'a str, now: Timestamp) -> ();
        mark_delivered(id: i64, node: NodeId, now: Timestamp) -> ();
        mark_failed(id: i64, reason: &'a str, number: u32, node: NodeId, now: Timestamp) -> ();
        mark_parked(id: i64, reason: &'a str, node: NodeId, now: Timestamp) -> ();
        retry_callbacks(ids: Option<Vec<i64>>, now: Timestamp) -> u64;
        forget_delivered(before: Timestamp) -> u64;
        register(node: NodeId, ended: Option<NodeId>) -> ();
        heartbeat(node: NodeId) -> ();
        release(node: NodeId) -> ();
        payment(sid: &'a str) -> Option<PaymentRow>;
        payments(filter: PaymentFilter) -> Vec<PaymentRow>;
        callbacks(filter: CallbackFilter) -> Vec<CallbackRow>;
        count_callbacks(state: CallbackState) -> u64;
        connectors() -> Vec<ConnectorRow>;
        connectors_revision() -> i64;
        mark_withdrawn(name: &'a str, sealed: &'a [u8], since: Timestamp) -> ();
        change_connector(name: &'a str, change: ConnectorChange, audit: NewAudit, now: Timestamp) -> ();
        audit(filter: AuditFilter) -> Vec<AuditRow>;
        use_nonce(value: &'a str, expires: Timestamp, now: Timestamp) -> ();
        reseal(what: Resealed, was: &'a [u8], sealed: Vec<u8>) -> ();
        note(name: &'a str) -> Option<Vec<u8>>;
        keep_note(name: &'a str, text: Vec<u8>) -> Vec<u8>;
    }
}

impl SessionBackend for Planted {
    passed_on! { 'a;
        claim_sessions(node: NodeId, limit: u32) -> Vec<LeftSession>;
        end_left_session(
            session: SettledPayment,
            callbacks: Vec<NewCallback>,
            node: NodeId,
            now: Timestamp
        ) -> Option<Vec<CallbackRow>>;
        count_told(call_sid: &'a str, sid: &'a str) -> u64;
        session(sid: &'a str) -> Option<SessionRow>;
        sessions(filter: SessionFilter) -> Vec<SessionRow>;
    }
}

impl CallBackend for Planted {
    fn write_changes(&self, mut changes: Changes, node: NodeId) -> Done<'_, ()> {
        if self.trick == Trick::BeginningIsNotKept {
            changes.sessions.clear();
        }
        self.rows.write_changes(changes, node)
    }

    passed_on! { 'a;
        fail_left_calls(node: NodeId, limit: u32, now: Timestamp) -> u64;
        call(sid: &'a str) -> Option<CallRow>;
        calls(filter: CallFilter) -> Vec<CallRow>;
        delete_call(sid: &'a str) -> ();
    }
}

impl ProbeBackend for Planted {
    passed_on! { 'a; probe() -> (); }
}
