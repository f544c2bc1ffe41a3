//! The rows, and what is done with them under the lock.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::audit;
use crate::pay::outcome::Standing;
use crate::store::audit::ConnectorChange;
use crate::store::backend::{
    Authorized, BackendError, CallbackRow, CallbackState, ConnectorRow, NewCallback, NodeId, PaymentRow,
    PendingCallback, SentAgo, SettledPayment, Unsettled,
};
use crate::store::calls::CallRow;
use crate::store::sessions::SessionRow;
use crate::store::settling;
use crate::store::{CallbackKind, HEARTBEAT_GAP_MAX};

/// When a node was heard, by the database's clock.
#[derive(Clone, Copy)]
pub(super) struct LastHeard {
    /// Since when without a gap.
    pub(super) since: Duration,
    pub(super) last: Duration,
}

#[derive(Default)]
pub(super) struct Tables {
    pub(super) payments: BTreeMap<String, PaymentRecord>,
    pub(super) callbacks: BTreeMap<i64, Callback>,
    pub(super) sessions: BTreeMap<String, SessionRecord>,
    pub(super) calls: BTreeMap<String, CallRecord>,
    pub(super) connectors: BTreeMap<String, ConnectorRow>,
    pub(super) revision: i64,
    pub(super) nodes: BTreeMap<NodeId, LastHeard>,
    pub(super) notes: BTreeMap<String, Vec<u8>>,
    pub(super) audit: audit::AuditTable,
    pub(super) nonces: BTreeMap<String, Timestamp>,
    pub(super) order: u64,
    /// The last callback's id: one that was forgotten is not given again.
    pub(super) last_id: i64,
    /// The last call's place.
    pub(super) last_call: u64,
}

pub(super) struct PaymentRecord {
    pub(super) row: PaymentRow,
    /// Its place among all, for lists.
    pub(super) order: u64,
    pub(super) sealed: Option<Vec<u8>>,
    pub(super) note: Option<Vec<u8>>,
    pub(super) node: Option<NodeId>,
}

impl PaymentRecord {
    /// The payment, if its outcome may still be found out, as it is at `now` by the clock that wrote it down.
    pub(super) fn unsettled(&self, now: Timestamp) -> Option<Unsettled> {
        let (row, sealed, note) = (self.row.clone(), self.sealed.clone()?, self.note.clone());
        Some(Unsettled { sent: SentAgo::at(now, &row), row, sealed, note })
    }
}

/// A session and whose it is.
pub(super) struct SessionRecord {
    pub(super) row: SessionRow,
    /// Its place among all, for lists.
    pub(super) order: u64,
    pub(super) sealed: Option<Vec<u8>>,
    pub(super) node: Option<NodeId>,
}

/// A call and whose it is.
pub(super) struct CallRecord {
    pub(super) row: CallRow,
    pub(super) node: Option<NodeId>,
}

pub(super) struct Callback {
    pub(super) row: CallbackRow,
    pub(super) node: Option<NodeId>,
}

impl Callback {
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.row.state, CallbackState::Waiting | CallbackState::Held)
    }

    pub(super) fn pending(&self) -> PendingCallback {
        let CallbackRow { id, call_sid, kind, url, tries, reason, since, .. } = self.row.clone();
        PendingCallback { id, call_sid, kind, url, tries, was_tried: tries > 0 || reason.is_some(), since }
    }
}

/// Whose rows may be claimed.
#[derive(Clone, Copy)]
pub(super) enum Silent {
    /// Those that have no node.
    Nobody,
    /// Those too whose node was not heard since this moment.
    Since(Duration),
}

impl Tables {
    pub(super) fn is_free(&self, node: Option<NodeId>, silent: Silent) -> bool {
        match (node, silent) {
            (None, _) => true,
            (Some(_), Silent::Nobody) => false,
            (Some(node), Silent::Since(dead)) => self.nodes.get(&node).is_none_or(|heard| heard.last < dead),
        }
    }

    pub(super) fn hear(&mut self, node: NodeId, now: Duration) {
        for node in [node, node.keeper()] {
            let heard = self.nodes.entry(node).or_insert(LastHeard { since: now, last: now });
            if now.saturating_sub(heard.last) > HEARTBEAT_GAP_MAX {
                heard.since = now;
            }
            heard.last = now;
        }
    }

    pub(super) fn release(&mut self, is_released: impl Fn(NodeId) -> bool) {
        for payment in self.payments.values_mut().filter(|payment| payment.sealed.is_some()) {
            payment.node = payment.node.filter(|node| !is_released(*node));
        }
        for callback in self.callbacks.values_mut() {
            if callback.is_open() {
                callback.node = callback.node.filter(|node| !is_released(*node));
            }
        }
        self.release_sessions(&is_released);
        self.release_calls(&is_released);
    }

    pub(super) fn by_token(&self, token: uuid::Uuid) -> Option<&Callback> {
        self.callbacks.values().find(|known| known.row.token == token)
    }

    /// Whether another node has open callbacks of this call, and may not be taken over.
    pub(super) fn is_seen_to(&self, call_sid: &str, own: [NodeId; 2], silent: Silent) -> bool {
        self.callbacks.values().any(|callback| {
            let is_others = callback.node.is_some_and(|node| !own.contains(&node));
            let follows = callback.row.kind == CallbackKind::Status;
            let counts = callback.row.call_sid == call_sid && callback.is_open() && follows && is_others;
            counts && !self.is_free(callback.node, silent)
        })
    }

    /// Gives its id, or that of the known one with its token.
    pub(super) fn insert(&mut self, callback: NewCallback, node: NodeId, now: Timestamp) -> i64 {
        if let Some(known) = self.by_token(callback.token) {
            return known.row.id;
        }
        self.last_id = self.last_id.saturating_add(1);
        let id = self.last_id;
        let NewCallback { token, call_sid, payment_sid, kind, method, url, sealed, state, progress_of: _ } = callback;
        let follows = kind == CallbackKind::Status
            && self.callbacks.values().any(|known| {
                known.row.call_sid == call_sid
                    && known.row.kind == CallbackKind::Status
                    && known.is_open()
                    && known.node != Some(node)
            });
        let row = CallbackRow {
            id,
            token,
            call_sid,
            payment_sid,
            kind,
            method,
            url,
            sealed: Some(sealed),
            state,
            tries: 0,
            reason: None,
            since: now,
            updated: now,
        };
        self.callbacks.insert(id, Callback { row, node: (!follows).then_some(node) });
        id
    }

    pub(super) fn write_outcome(&mut self, SettledPayment { sid, outcome, .. }: SettledPayment, now: Timestamp) {
        let Some(payment) = self.payments.get_mut(&sid) else { return };
        let row = &mut payment.row;
        row.state = settling::state(outcome.standing);
        row.result = Some(outcome.result.word().to_owned());
        row.error_code = outcome.code.map(|code| code.number());
        row.error = outcome.error;
        row.confirmation_code = outcome.confirmation_code;
        row.updated = now;
        if outcome.standing != Standing::Unknown {
            (payment.sealed, payment.note) = (None, None);
        }
    }

    pub(super) fn change_callback(
        &mut self,
        id: i64,
        node: NodeId,
        now: Timestamp,
        change: impl FnOnce(&mut CallbackRow),
    ) -> Result<(), BackendError> {
        let is_own = |callback: &&mut Callback| [Some(node), Some(node.keeper())].contains(&callback.node);
        let callback = self.callbacks.get_mut(&id).filter(is_own).ok_or(BackendError::NotFound)?;
        callback.row.updated = now;
        change(&mut callback.row);
        Ok(())
    }

    pub(super) fn change_connector(
        &mut self,
        name: &str,
        change: ConnectorChange,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        match change {
            ConnectorChange::Insert { .. } if self.connectors.contains_key(name) => {
                return Err(BackendError::Duplicate);
            }
            ConnectorChange::Insert { sealed } => {
                let row = ConnectorRow { name: name.to_owned(), sealed, withdrawn: None, created: now, updated: now };
                self.connectors.insert(name.to_owned(), row);
            }
            ConnectorChange::Update { was, sealed, authorized } => {
                let row = self.connectors.get_mut(name).ok_or(BackendError::NotFound)?;
                if row.sealed != was && row.sealed != sealed {
                    return Err(BackendError::NotFound);
                }
                (row.sealed, row.updated) = (sealed, now);
                if authorized == Authorized::Anew {
                    row.withdrawn = None;
                }
            }
            ConnectorChange::Remove => {
                self.connectors.remove(name).ok_or(BackendError::NotFound)?;
            }
        }
        self.revision = self.revision.saturating_add(1);
        Ok(())
    }

    /// As [`Self::change_callback`], of one that is not delivered.
    pub(super) fn change_undelivered(
        &mut self,
        id: i64,
        node: NodeId,
        now: Timestamp,
        change: impl FnOnce(&mut CallbackRow),
    ) -> Result<(), BackendError> {
        let is_delivered =
            self.callbacks.get(&id).is_some_and(|callback| callback.row.state == CallbackState::Delivered);
        if is_delivered { Err(BackendError::NotFound) } else { self.change_callback(id, node, now, change) }
    }
}
