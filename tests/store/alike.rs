//! Whatever is asked of them, in whatever order: memory and SQLite answer alike.

use std::sync::Arc;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use touchtone::pay::outcome::Standing;
use touchtone::store::audit::ConnectorChange;
use touchtone::store::memory::Memory;
use touchtone::store::{
    Authorized, Backend, BackendError, CallFilter, CallRow, CallStatus, CallbackFilter, CallbackRow, CallbackState,
    Changes, NodeId, PaymentFilter, PaymentState, PendingCallback, SessionFilter, SettledPayment, Settling,
};
use uuid::Uuid;

use crate::samples::{at, call, callback, change, payment, session, settled, sid, waiting};

/// One method, with small numbers for everything, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    InsertPayment(u32, u8),
    MarkSending(u32, bool, u32, u8),
    Settle(u32, Standing, Vec<u32>, Vec<u32>, u8, u8),
    /// As one whose beginning is known.
    SettleSession(u32, u8),
    Changes(Vec<(u32, bool)>, Vec<u32>, u8),
    ClaimSessions(u8, u32),
    EndLeft(u32, u8),
    FailCalls(u8, u32),
    DeleteCall(u32),
    InsertCallback(u32, bool, u8),
    ClaimCallbacks(u8, u32),
    ClaimedCallbacks(u8, i64),
    OpenCallback(i64, u8),
    ClaimPayments(u8, u32),
    ClaimedPayments(u8, Option<u32>),
    GiveUp(u32),
    Delivered(i64, u8),
    Failed(i64, u32, u8),
    Parked(i64, u8),
    Retry(Option<Vec<i64>>),
    Forget(u64),
    Heartbeat(u8),
    Register(u8, Option<u8>),
    Release(u8),
    InsertConnector(u8),
    UpdateConnector(u8),
    RemoveConnector(u8),
    Withdrawn(u8, bool),
    KeepNote(u8, u8),
    /// Time goes by, in seconds.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let standing = prop_oneof![Just(Standing::Succeeded), Just(Standing::Failed), Just(Standing::Unknown)];
    let (number, node, id) = (0..6_u32, 0..3_u8, 0..12_i64);
    prop_oneof![
        3 => (number.clone(), node.clone()).prop_map(|(number, node)| Step::InsertPayment(number, node)),
        2 => (number.clone(), any::<bool>(), 0..4_u32, node.clone())
            .prop_map(|(number, noted, sends, node)| Step::MarkSending(number, noted, sends, node)),
        4 => (number.clone(), standing, vec(0..12_u32, 0..3), vec(0..12_u32, 0..3), node.clone(), node.clone())
            .prop_map(|(number, standing, first, late, owner, node)| Step::Settle(number, standing, first, late, owner, node)),
        3 => (0..12_u32, any::<bool>(), node.clone()).prop_map(|(number, held, node)| Step::InsertCallback(number, held, node)),
        2 => (number.clone(), node.clone()).prop_map(|(number, node)| Step::SettleSession(number, node)),
        5 => (btree_map(0..6_u32, any::<bool>(), 0..4), btree_set(0..6_u32, 0..4), node.clone()).prop_map(|(calls, sessions, node)| {
            Step::Changes(calls.into_iter().collect(), sessions.into_iter().collect(), node)
        }),
        2 => (node.clone(), 0..5_u32).prop_map(|(node, limit)| Step::ClaimSessions(node, limit)),
        3 => (number.clone(), node.clone()).prop_map(|(number, node)| Step::EndLeft(number, node)),
        2 => (node.clone(), 0..5_u32).prop_map(|(node, limit)| Step::FailCalls(node, limit)),
        1 => (0..6_u32).prop_map(Step::DeleteCall),
        2 => (node.clone(), 0..5_u32).prop_map(|(node, limit)| Step::ClaimCallbacks(node, limit)),
        1 => (node.clone(), -1..12_i64).prop_map(|(node, after)| Step::ClaimedCallbacks(node, after)),
        1 => (id.clone(), node.clone()).prop_map(|(id, node)| Step::OpenCallback(id, node)),
        2 => (node.clone(), 0..5_u32).prop_map(|(node, limit)| Step::ClaimPayments(node, limit)),
        1 => (node.clone(), proptest::option::of(number.clone()))
            .prop_map(|(node, after)| Step::ClaimedPayments(node, after)),
        1 => number.prop_map(Step::GiveUp),
        4 => (id.clone(), node.clone()).prop_map(|(id, node)| Step::Delivered(id, node)),
        4 => (id.clone(), 0..4_u32, node.clone()).prop_map(|(id, tries, node)| Step::Failed(id, tries, node)),
        4 => (id.clone(), node.clone()).prop_map(|(id, node)| Step::Parked(id, node)),
        1 => proptest::option::of(vec(id, 0..4)).prop_map(Step::Retry),
        1 => (0..100_u64).prop_map(Step::Forget),
        1 => node.clone().prop_map(Step::Heartbeat),
        1 => (node.clone(), proptest::option::of(node.clone())).prop_map(|(node, ended)| Step::Register(node, ended)),
        1 => node.prop_map(Step::Release),
        1 => (0..3_u8).prop_map(Step::InsertConnector),
        1 => (0..3_u8).prop_map(Step::UpdateConnector),
        1 => (0..3_u8).prop_map(Step::RemoveConnector),
        1 => (0..3_u8, any::<bool>()).prop_map(|(name, is)| Step::Withdrawn(name, is)),
        1 => (0..3_u8, any::<u8>()).prop_map(|(name, text)| Step::KeepNote(name, text)),
        2 => (0..40_u64).prop_map(Step::Wait),
    ]
}

/// A database, and the ids it gave to callbacks: those have gaps, so steps and answers count from 0.
struct Side {
    backend: Arc<dyn Backend>,
    ids: Vec<i64>,
}

impl Side {
    fn id(&self, place: i64) -> i64 {
        usize::try_from(place).ok().and_then(|place| self.ids.get(place).copied()).unwrap_or(i64::MAX)
    }

    fn place(&self, id: i64) -> i64 {
        self.ids.iter().position(|known| *known == id).and_then(|place| i64::try_from(place).ok()).unwrap_or(-1)
    }

    fn shown(&self, rows: Result<Vec<CallbackRow>, BackendError>) -> String {
        let rows = rows
            .map(|rows| rows.into_iter().map(|row| CallbackRow { id: self.place(row.id), ..row }).collect::<Vec<_>>());
        format!("{rows:?}")
    }

    fn shown_pending(&self, rows: Result<Vec<PendingCallback>, BackendError>) -> String {
        let place = |row: PendingCallback| PendingCallback { id: self.place(row.id), ..row };
        format!("{:?}", rows.map(|rows| rows.into_iter().map(place).collect::<Vec<_>>()))
    }

    async fn look(&mut self) -> Result<Vec<CallbackRow>, BackendError> {
        let rows = self.backend.callbacks(CallbackFilter { limit: 100, ..CallbackFilter::default() }).await;
        let last = self.ids.last().copied().unwrap_or(i64::MIN);
        self.ids.extend(rows.iter().flatten().map(|row| row.id).filter(|id| *id > last));
        rows
    }
}

/// Does a step; what it answers, in words.
async fn answer(side: &mut Side, step: &Step, seconds: u64) -> String {
    let now = at(seconds * 1000);
    let node = |number: u8| NodeId(Uuid::from_u128(number.into()));
    let backend = Arc::clone(&side.backend);
    match step.clone() {
        Step::InsertPayment(number, by) => {
            format!("{:?}", backend.insert_payment(payment(number), node(by), now).await)
        }
        Step::MarkSending(number, noted, sends, by) => {
            let note = noted.then(|| seconds.to_be_bytes().to_vec());
            format!("{:?}", backend.mark_sending(&sid(number), note, sends, node(by), now).await)
        }
        Step::Settle(number, standing, first, late, owner, by) => {
            let (first, late) = (first.into_iter().map(waiting).collect(), late.into_iter().map(waiting).collect());
            let settled = SettledPayment { owner: node(owner), ..settled(number, standing) };
            let Settling { recorded, callbacks } =
                backend.settle_payment(settled, first, late, node(by), now).await.unwrap();
            side.look().await.unwrap();
            format!("{recorded:?} {}", side.shown(Ok(callbacks)))
        }
        Step::SettleSession(number, by) => {
            let known = Some(Arc::new(session(number, at(1))));
            let payment = SettledPayment { session: known, ..settled(number, Standing::Failed) };
            let told = vec![waiting(2 * number)];
            let Settling { recorded, callbacks } =
                backend.settle_payment(payment, told, vec![], node(by), now).await.unwrap();
            side.look().await.unwrap();
            format!("{recorded:?} {}", side.shown(Ok(callbacks)))
        }
        Step::Changes(calls, sessions, by) => {
            let status = |over| if over { CallStatus::Completed } else { CallStatus::InProgress };
            let calls = calls.into_iter().map(|(number, over)| Arc::new(call(number, now, status(over)))).collect();
            let sessions = sessions.into_iter().map(|number| Arc::new(session(number, now))).collect();
            format!("{:?}", backend.write_changes(Changes { calls, sessions }, node(by)).await)
        }
        Step::ClaimSessions(by, limit) => format!("{:?}", backend.claim_sessions(node(by), limit).await),
        Step::EndLeft(number, by) => {
            let told = vec![waiting(2 * number)];
            let rows = backend.end_left_session(settled(number, Standing::Failed), told, node(by), now).await;
            side.look().await.unwrap();
            match rows.transpose() {
                Some(rows) => side.shown(rows),
                None => "told by somebody else".to_owned(),
            }
        }
        Step::FailCalls(by, limit) => format!("{:?}", backend.fail_left_calls(node(by), limit, now).await),
        Step::DeleteCall(number) => format!("{:?}", backend.delete_call(&format!("CA{number}")).await),
        Step::InsertCallback(number, held, by) => {
            let state = if held { CallbackState::Held } else { CallbackState::Waiting };
            let id = backend.insert_callback(callback(number, state), node(by), now).await.unwrap();
            side.look().await.unwrap();
            format!("{} {}", side.place(id.id), id.is_own)
        }
        Step::ClaimCallbacks(by, limit) => {
            side.shown_pending(backend.claim_callbacks(node(by).keeper(), node(by), limit).await)
        }
        Step::ClaimedCallbacks(by, after) => {
            let after = if after < 0 { 0 } else { side.id(after) };
            side.shown_pending(backend.claimed_callbacks(node(by).keeper(), after, 3).await)
        }
        Step::OpenCallback(id, by) => {
            let row = backend.open_callback(side.id(id), node(by)).await;
            side.shown(row.map(|row| row.into_iter().collect()))
        }
        Step::ClaimPayments(by, limit) => format!("{:?}", backend.claim_payments(node(by), limit, now).await),
        Step::ClaimedPayments(by, after) => {
            format!("{:?}", backend.claimed_payments(node(by), after.map(sid), 2, now).await)
        }
        Step::GiveUp(number) => format!("{:?}", backend.give_up_payment(&sid(number), now).await),
        Step::Delivered(id, by) => format!("{:?}", backend.mark_delivered(side.id(id), node(by), now).await),
        Step::Failed(id, tries, by) => {
            format!("{:?}", backend.mark_failed(side.id(id), "refused", tries, node(by), now).await)
        }
        Step::Parked(id, by) => format!("{:?}", backend.mark_parked(side.id(id), "gone", node(by), now).await),
        Step::Retry(ids) => {
            let ids = ids.map(|ids| ids.into_iter().map(|id| side.id(id)).collect());
            format!("{:?}", backend.retry_callbacks(ids, now).await)
        }
        Step::Forget(ago) => format!("{:?}", backend.forget_delivered(at(seconds.saturating_sub(ago) * 1000)).await),
        Step::Heartbeat(by) => format!("{:?}", backend.heartbeat(node(by)).await),
        Step::Register(by, ended) => format!("{:?}", backend.register(node(by), ended.map(node)).await),
        Step::Release(by) => {
            backend.release(node(by).keeper()).await.unwrap();
            format!("{:?}", backend.release(node(by)).await)
        }
        Step::InsertConnector(name) => {
            let insert = ConnectorChange::Insert { sealed: vec![1] };
            format!("{:?}", change(&*backend, &name.to_string(), insert, now).await)
        }
        Step::UpdateConnector(name) => {
            let update = ConnectorChange::Update { was: vec![1], sealed: vec![2], authorized: Authorized::Anew };
            format!("{:?}", change(&*backend, &name.to_string(), update, now).await)
        }
        Step::RemoveConnector(name) => {
            format!("{:?}", change(&*backend, &name.to_string(), ConnectorChange::Remove, now).await)
        }
        Step::Withdrawn(name, is) => {
            format!("{:?}", backend.mark_withdrawn(&name.to_string(), &[if is { 1 } else { 2 }], now).await)
        }
        Step::KeepNote(name, text) => format!("{:?}", backend.keep_note(&name.to_string(), vec![text]).await),
        Step::Wait(_) => String::new(),
    }
}

/// All that can be seen.
async fn books(side: &mut Side) -> String {
    let rows = side.look().await;
    let callbacks = side.shown(rows);
    let backend = &side.backend;
    let payments = backend.payments(PaymentFilter { limit: 100, ..PaymentFilter::default() }).await;
    let failed = PaymentFilter { state: Some(PaymentState::Failed), limit: 2, ..PaymentFilter::default() };
    let (failed, revision) = (backend.payments(failed).await, backend.connectors_revision().await);
    let connectors = backend.connectors().await;
    let sessions = backend.sessions(SessionFilter { limit: 100, ..SessionFilter::default() }).await;
    let mut asked = Vec::new();
    for number in 0..6 {
        asked.push(backend.session(&sid(number)).await);
    }
    // Places have gaps.
    let calls = backend.calls(CallFilter { limit: 100, ..CallFilter::default() }).await.unwrap();
    let calls: Vec<CallRow> = calls.into_iter().map(|row| CallRow { place: 0, ..row }).collect();
    format!(
        "{payments:#?}\n{callbacks}\n{failed:?}\n{connectors:?} {revision:?}\n{sessions:#?}\n{asked:#?}\n{calls:#?}"
    )
}

#[test]
fn memory_and_sqlite_answer_alike() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let cases = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(steps in vec(step(), 1..60))| {
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let sqlite = crate::sqlite(&folder.path().join("books.db")).await;
            let mut memory = Side { backend: Arc::new(Memory::default()), ids: Vec::new() };
            let mut sqlite = Side { backend: sqlite, ids: Vec::new() };
            let mut seconds = 100;
            for step in &steps {
                if let Step::Wait(more) = step {
                    seconds += more;
                }
                let (one, other) = (answer(&mut memory, step, seconds).await, answer(&mut sqlite, step, seconds).await);
                assert_eq!(one, other, "{step:?}");
            }
            assert_eq!(books(&mut memory).await, books(&mut sqlite).await);
        });
    });
}
