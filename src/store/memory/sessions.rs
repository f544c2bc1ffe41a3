//! Sessions in memory.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::Memory;
use super::tables::{SessionRecord, Tables};
use crate::store::CallbackKind;
use crate::store::backend::{
    BackendError, CallbackRow, CallbackState, NewCallback, NewPayment, NodeId, SettledPayment,
};
use crate::store::record::led_by;
use crate::store::sessions::{LeftSession, NewSession, SessionBackend, SessionFilter, SessionRow, SessionState};
use crate::store::writable::ProbeBackend;

impl Tables {
    fn insert_session(&mut self, session: NewSession, state: SessionState, node: NodeId) {
        self.order = self.order.saturating_add(1);
        let sid = session.sid.clone();
        let row = SessionRow {
            sid: session.sid,
            call_sid: session.call_sid,
            connector: session.connector,
            led_by: led_by(session.led_by).to_owned(),
            operation: session.operation.to_owned(),
            amount: session.amount,
            currency: session.currency,
            token_type: session.token_type.map(str::to_owned),
            means: session.means.to_owned(),
            state,
            result: None,
            error_code: None,
            error: None,
            begun: session.begun,
            ended: None,
        };
        let sealed = (state == SessionState::Open).then_some(session.sealed);
        self.sessions.insert(sid, SessionRecord { row, order: self.order, sealed, node: Some(node) });
    }

    /// A session that begins, or is told elsewhere.
    pub(super) fn write_session(&mut self, session: &NewSession, node: NodeId) {
        match self.sessions.get_mut(&session.sid) {
            Some(known) if known.row.state == SessionState::Open && known.node == Some(node) => {
                known.sealed = Some(session.sealed.clone());
            }
            Some(_) => {}
            None => self.insert_session(session.clone(), SessionState::Open, node),
        }
    }

    /// The gateway is to be asked: the payment's row takes over.
    pub(super) fn ask_session(&mut self, payment: &NewPayment, node: NodeId) -> Result<(), BackendError> {
        if let Some(known) = self.sessions.get_mut(&payment.sid) {
            if known.row.state == SessionState::Ended {
                return Err(BackendError::NotFound);
            }
            (known.row.state, known.sealed) = (SessionState::Asked, None);
            return Ok(());
        }
        let session = NewSession {
            sid: payment.sid.clone(),
            call_sid: payment.call_sid.clone(),
            connector: payment.connector.clone(),
            led_by: payment.led_by,
            operation: payment.operation,
            amount: payment.amount.clone(),
            currency: payment.currency.clone(),
            token_type: payment.token_type,
            means: payment.means,
            begun: payment.begun,
            sealed: Vec::new(),
        };
        self.insert_session(session, SessionState::Asked, node);
        Ok(())
    }

    /// A session's outcome; `has_payment`: whether its payment has a row, which decides.
    pub(super) fn end_session(
        &mut self,
        ended: &SettledPayment,
        has_payment: bool,
        node: NodeId,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        if let (false, Some(session)) = (has_payment, &ended.session)
            && !self.sessions.contains_key(&ended.sid)
        {
            self.insert_session((**session).clone(), SessionState::Open, node);
        }
        let Some(known) = self.sessions.get_mut(&ended.sid) else { return Ok(()) };
        let is_repeated = known.node == Some(node) && known.row.says(&ended.outcome);
        if !has_payment && known.row.state == SessionState::Ended && !is_repeated {
            return Err(BackendError::NotFound);
        }
        if known.row.state == SessionState::Open {
            known.row.state = SessionState::Ended;
        }
        known.close(ended, node, now);
        Ok(())
    }

    /// Whether a session's end is another node's to tell, or nobody's.
    pub(super) fn is_led_elsewhere(&self, sid: &str, node: NodeId) -> bool {
        let known = self.sessions.get(sid).filter(|session| session.row.state != SessionState::Asked);
        known.is_some_and(|session| session.node != Some(node))
    }

    pub(super) fn release_sessions(&mut self, is_released: impl Fn(NodeId) -> bool) {
        for session in self.sessions.values_mut().filter(|session| session.row.state == SessionState::Open) {
            session.node = session.node.filter(|node| !is_released(*node));
        }
    }
}

impl SessionRecord {
    fn close(&mut self, ended: &SettledPayment, node: NodeId, now: Timestamp) {
        let outcome = &ended.outcome;
        self.row.result = Some(outcome.result.word().to_owned());
        self.row.error_code = outcome.code.map(|code| code.number());
        self.row.error.clone_from(&outcome.error);
        self.row.ended.get_or_insert(now);
        (self.sealed, self.node) = (None, Some(node));
    }
}

impl SessionBackend for Memory {
    fn claim_sessions(&self, node: NodeId, limit: u32) -> BoxFuture<'_, Result<Vec<LeftSession>, BackendError>> {
        self.write(move |tables| {
            let silent = self.silent_for(tables, node);
            let is_takeable = |owner| owner == Some(node) || tables.is_free(owner, silent);
            // Its own come last, as in SQL.
            let mut free: Vec<(bool, u64, String)> = tables
                .sessions
                .values()
                .filter(|session| session.row.state == SessionState::Open && is_takeable(session.node))
                .map(|session| (session.node == Some(node), session.order, session.row.sid.clone()))
                .collect();
            free.sort_unstable();
            free.truncate(limit.try_into().unwrap_or(usize::MAX));
            free.sort_unstable_by_key(|(_, order, _)| *order);
            let mut claimed = Vec::new();
            for (_, _, sid) in free {
                let Some(session) = tables.sessions.get_mut(&sid) else { continue };
                session.node = Some(node);
                let sealed = session.sealed.clone().unwrap_or_default();
                claimed.push(LeftSession { sid, call_sid: session.row.call_sid.clone(), sealed });
            }
            Ok(claimed)
        })
    }

    fn end_left_session(
        &self,
        session: SettledPayment,
        callbacks: Vec<NewCallback>,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Vec<CallbackRow>>, BackendError>> {
        self.write(move |tables| {
            let has_payment = tables.payments.contains_key(&session.sid);
            let Some(known) = tables.sessions.get_mut(&session.sid) else { return Ok(None) };
            match known.row.state {
                SessionState::Open if !has_payment => {
                    known.row.state = SessionState::Ended;
                    known.close(&session, node, now);
                }
                // A repetition, after an answer that was lost.
                SessionState::Ended if known.node == Some(node) && known.row.says(&session.outcome) => {}
                SessionState::Open | SessionState::Asked | SessionState::Ended => return Ok(None),
            }
            let ids: Vec<i64> = callbacks.into_iter().map(|callback| tables.insert(callback, node, now)).collect();
            let mine = ids.into_iter().filter_map(|id| tables.callbacks.get(&id)).filter(|callback| {
                callback.node == Some(node)
                    && matches!(callback.row.state, CallbackState::Waiting | CallbackState::Held)
            });
            Ok(Some(mine.map(|callback| callback.row.clone()).collect()))
        })
    }

    fn count_told<'a>(&'a self, call_sid: &'a str, sid: &'a str) -> BoxFuture<'a, Result<u64, BackendError>> {
        self.read(move |tables| {
            let told = tables.callbacks.values().map(|callback| &callback.row);
            let mut ended = BTreeSet::new();
            let mut count = 0_u64;
            for row in told.filter(|row| row.call_sid == call_sid && row.kind == CallbackKind::Status) {
                match &row.payment_sid {
                    None => count = count.saturating_add(1),
                    Some(payment) if payment == sid => {}
                    // What is told of it late comes in between.
                    Some(payment) if ended.insert(payment) => count = 0,
                    Some(_) => {}
                }
            }
            count
        })
    }

    fn session<'a>(&'a self, sid: &'a str) -> BoxFuture<'a, Result<Option<SessionRow>, BackendError>> {
        self.read(move |tables| tables.sessions.get(sid).map(|session| session.row.clone()))
    }

    fn sessions(&self, filter: SessionFilter) -> BoxFuture<'_, Result<Vec<SessionRow>, BackendError>> {
        self.read(move |tables| {
            let SessionFilter { call_sid, connector, from, before, after_sid, limit } = filter;
            let after = after_sid.and_then(|sid| tables.sessions.get(&sid)).map(|session| session.order);
            let mut found: Vec<&SessionRecord> = tables
                .sessions
                .values()
                .filter(|session| {
                    let row = &session.row;
                    row.state != SessionState::Asked
                        && call_sid.as_ref().is_none_or(|sid| *sid == row.call_sid)
                        && connector.as_ref().is_none_or(|name| *name == row.connector)
                        && from.is_none_or(|from| row.begun >= from)
                        && before.is_none_or(|before| row.begun < before)
                        && after.is_none_or(|after| session.order < after)
                })
                .collect();
            found.sort_unstable_by_key(|session| std::cmp::Reverse(session.order));
            found.truncate(limit.try_into().unwrap_or(usize::MAX));
            found.into_iter().map(|session| session.row.clone()).collect()
        })
    }
}

impl ProbeBackend for Memory {
    fn probe(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        self.write(|_| Ok(())).boxed()
    }
}
