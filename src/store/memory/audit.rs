//! The audit trail in memory.

use jiff::Timestamp;
use uuid::Uuid;

use crate::store::audit::{AuditFilter, AuditRow, NewAudit};

/// The rows, the oldest first, each with its token.
#[derive(Default)]
pub(super) struct AuditTable(Vec<(Uuid, AuditRow)>);

impl AuditTable {
    pub(super) fn add(&mut self, audit: NewAudit, at: Timestamp) {
        if self.0.iter().any(|(token, _)| *token == audit.token) {
            return;
        }
        let id = self.0.last().map_or(1, |(_, last)| last.id.saturating_add(1));
        let NewAudit { token, actor, action, target, old_value, new_value } = audit;
        let (actor, origin) = (actor.name, actor.origin);
        let row = AuditRow { id, at, actor, origin, action: action.word().to_owned(), target, old_value, new_value };
        self.0.push((token, row));
    }

    pub(super) fn list(&self, filter: &AuditFilter) -> Vec<AuditRow> {
        let AuditFilter { target, before_id, limit } = filter;
        let wanted = self.0.iter().rev().map(|(_, row)| row).filter(|row| {
            target.as_ref().is_none_or(|target| *target == row.target) && before_id.is_none_or(|before| row.id < before)
        });
        wanted.take(usize::try_from(*limit).unwrap_or(usize::MAX)).cloned().collect()
    }
}
