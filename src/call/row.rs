//! A call as the store keeps it.

use super::history::Record;
use crate::store::{CallRow, CallStatus};

/// What a call's record does not tell.
#[derive(Debug)]
pub(super) struct CallOrigin {
    /// The account that its stream named, else this server's.
    pub(super) account: String,
    /// The platform's protocol.
    pub(super) dialect: &'static str,
    /// The flow that answers it.
    pub(super) flow: String,
}

/// The row of a call; `how` it ended, if it did.
pub(super) fn row(record: Record, origin: &CallOrigin, how: Option<&str>) -> CallRow {
    CallRow {
        // The store gives it.
        place: 0,
        sid: record.sid,
        account: origin.account.clone(),
        dialect: origin.dialect.to_owned(),
        flow: origin.flow.clone(),
        from: record.from,
        to: record.to,
        direction: record.direction,
        caller_name: record.caller_name,
        forwarded_from: record.forwarded_from,
        status: if record.ended.is_some() { CallStatus::Completed } else { CallStatus::InProgress },
        how: how.map(str::to_owned),
        started: record.started,
        updated: record.updated,
        ended: record.ended,
    }
}
