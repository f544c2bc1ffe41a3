//! A call, as the client libraries parse it.
//!
//! Sources: twilio/twilio-oai `spec/json/twilio_api_v2010.json`, `api.v2010.account.call`; twilio-python
//!          `rest/api/v2010/account/call/__init__.py`, twilio-node `rest/api/v2010/account/call.js`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::ROOT;
use crate::call::history::Record;
use crate::pay::surroundings::rfc2822;
use crate::store::{CallRow, CallStatus};

/// A call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Call)]
#[allow(clippy::struct_field_names, reason = "Twilio's names")]
pub(in crate::rest) struct CallView {
    /// The call's id.
    sid: String,
    /// The account.
    account_sid: String,
    /// Always null: there are no annotations.
    #[schema(required)]
    annotation: Option<String>,
    /// Always null: nobody listens for machines.
    #[schema(required)]
    answered_by: Option<String>,
    api_version: &'static str,
    /// The caller's name, if the platform told.
    #[schema(required)]
    caller_name: Option<String>,
    /// RFC 2822, UTC.
    date_created: String,
    /// RFC 2822, UTC.
    date_updated: String,
    /// `inbound`, unless the platform told otherwise.
    direction: String,
    /// In seconds; null while the call is live, and where nobody knows when it ended.
    #[schema(required)]
    duration: Option<String>,
    /// RFC 2822, UTC; null while the call is live, and where nobody knows when it ended.
    #[schema(required)]
    end_time: Option<String>,
    /// Who passed the call on, if the platform told.
    #[schema(required)]
    forwarded_from: Option<String>,
    /// Who called; empty if the platform did not tell.
    from: String,
    /// The same for people.
    from_formatted: String,
    /// Always null.
    #[schema(required)]
    group_sid: Option<String>,
    /// Always null: calls come from outside.
    #[schema(required)]
    parent_call_sid: Option<String>,
    /// Always null: the number is the platform's.
    #[schema(required)]
    phone_number_sid: Option<String>,
    /// Always null: the platform has the price.
    #[schema(required)]
    price: Option<String>,
    /// Always null: the platform has the price.
    #[schema(required)]
    price_unit: Option<String>,
    /// In milliseconds; calls do not wait here.
    queue_time: &'static str,
    /// RFC 2822, UTC.
    start_time: String,
    status: Status,
    /// Always null: the platform verifies callers.
    #[schema(required)]
    stir_verstat: Option<String>,
    subresource_uris: SubresourceUris,
    /// Who was called; empty if the platform did not tell.
    to: String,
    /// The same for people.
    to_formatted: String,
    /// Always null.
    #[schema(required)]
    trunk_sid: Option<String>,
    /// Where this call is.
    uri: String,
}

/// What belongs to a call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallSubresources)]
struct SubresourceUris {
    /// Its agent-assisted payments.
    payments: String,
}

/// Where a call is, in Twilio's words. Here it is `in-progress`, `completed`, or `failed`: its server stopped in the middle of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CallStatus)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    Queued,
    Ringing,
    InProgress,
    Completed,
    Busy,
    Failed,
    NoAnswer,
    Canceled,
}

impl Status {
    /// As the store keeps it; none: no call here is ever in it.
    pub(super) const fn stored(self) -> Option<CallStatus> {
        match self {
            Self::InProgress => Some(CallStatus::InProgress),
            Self::Completed => Some(CallStatus::Completed),
            Self::Failed => Some(CallStatus::Failed),
            Self::Queued | Self::Ringing | Self::Busy | Self::NoAnswer | Self::Canceled => None,
        }
    }

    const fn of(status: CallStatus) -> Self {
        match status {
            CallStatus::InProgress => Self::InProgress,
            CallStatus::Completed => Self::Completed,
            CallStatus::Failed => Self::Failed,
        }
    }
}

impl CallView {
    /// What is told of a call of this process.
    pub(super) fn of(account_sid: &str, record: Record) -> Self {
        let status = if record.ended.is_some() { Status::Completed } else { Status::InProgress };
        Self::with(account_sid, record, status)
    }

    /// What is told of a call in the store.
    pub(super) fn stored(account_sid: &str, row: CallRow) -> Self {
        let status = Status::of(row.status);
        let CallRow { place, sid, from, to, direction, caller_name, forwarded_from, started, updated, ended, .. } = row;
        let number = place;
        let record = Record { number, sid, from, to, direction, caller_name, forwarded_from, started, updated, ended };
        Self::with(account_sid, record, status)
    }

    fn with(account_sid: &str, record: Record, status: Status) -> Self {
        let place = format!("{ROOT}/Accounts/{account_sid}/Calls/{}", record.sid);
        let (from, to) = (record.from.unwrap_or_default(), record.to.unwrap_or_default());
        let seconds = |ended: Timestamp| ended.duration_since(record.started).as_secs().max(0).to_string();
        Self {
            sid: record.sid,
            account_sid: account_sid.to_owned(),
            annotation: None,
            answered_by: None,
            api_version: "2010-04-01",
            caller_name: record.caller_name,
            date_created: rfc_2822(record.started),
            date_updated: rfc_2822(record.updated),
            direction: record.direction,
            duration: record.ended.map(seconds),
            end_time: record.ended.map(rfc_2822),
            forwarded_from: record.forwarded_from,
            from_formatted: formatted(&from),
            from,
            group_sid: None,
            parent_call_sid: None,
            phone_number_sid: None,
            price: None,
            price_unit: None,
            queue_time: "0",
            start_time: rfc_2822(record.started),
            status,
            stir_verstat: None,
            subresource_uris: SubresourceUris { payments: format!("{place}/Payments.json") },
            to_formatted: formatted(&to),
            to,
            trunk_sid: None,
            uri: format!("{place}.json"),
        }
    }
}

/// `Sun, 22 Nov 2026 10:00:00 +0000`: as Twilio prints moments.
pub(in crate::rest) fn rfc_2822(moment: Timestamp) -> String {
    rfc2822(moment.to_zoned(TimeZone::UTC).datetime())
}

/// A number for people: `(415) 555-0100` in North America, as it is elsewhere.
fn formatted(number: &str) -> String {
    let national = number.strip_prefix("+1").filter(|rest| rest.len() == 10);
    match national.filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(digits) => {
            let (area, rest) = digits.split_at(3);
            let (exchange, line) = rest.split_at(3);
            format!("({area}) {exchange}-{line}")
        }
        None => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_in_north_america_only() {
        assert_eq!(formatted("+14155550100"), "(415) 555-0100");
        for other in ["+442071838750", "+1415555010", "+1415555010x", "client:ann", "", "+1ßßßßß"] {
            assert_eq!(formatted(other), other);
        }
    }

    #[test]
    fn moments_are_printed_as_twilio_prints_them() {
        assert_eq!(rfc_2822("2026-11-02T10:05:09.9Z".parse().unwrap()), "Mon, 02 Nov 2026 10:05:09 +0000");
    }
}
