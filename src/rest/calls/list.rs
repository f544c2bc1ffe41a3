//! The list of calls: which are wanted, and page by page.
//!
//! Shape:   [`CallListing::of`] takes the query, [`CallListing::page`] turns it and the store's calls into a page.
//! Limits:  those of [`PageSize`].
//! Errors:  of what is in a query: a filter that cannot be read is refused; one that is ignored would show too much.
//! Sources: Twilio, "Read multiple Call resources" and "Twilio's Response: paging"; twilio-python `base/version.py`
//!          `read_limits` (a `limit` becomes the `PageSize`, however large) and `base/page.py`; its
//!          `base/serialize.py` `iso8601_datetime` (a date is sent as its midnight in UTC).

use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::ROOT;
use super::super::fields::Query;
use super::super::page::{Moment, PageNumber, PageSize, address};
use super::super::parameters::Must;
use super::view::{CallView, Status};
use crate::call::history::Record;
use crate::store::{Backend, BackendError, CallFilter, CallPlaces, CallRow};

/// The parameters of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct Filters {
    /// Calls to this number only.
    #[serde(rename = "To")]
    to: Option<String>,
    /// Calls from this number only.
    #[serde(rename = "From")]
    from: Option<String>,
    /// Calls that this call began: none, as calls come from outside.
    #[serde(rename = "ParentCallSid")]
    parent_call_sid: Option<String>,
    /// Calls of this status only.
    #[serde(rename = "Status")]
    #[param(inline)]
    status: Option<Status>,
    /// Calls that started on this day (UTC), or in this second.
    #[serde(rename = "StartTime")]
    #[param(inline)]
    start_time: Option<Moment>,
    /// Calls that started then or before.
    #[serde(rename = "StartTime<")]
    #[param(inline)]
    start_time_before: Option<Moment>,
    /// Calls that started then or after.
    #[serde(rename = "StartTime>")]
    #[param(inline)]
    start_time_after: Option<Moment>,
    /// Calls that ended on this day (UTC), or in this second.
    #[serde(rename = "EndTime")]
    #[param(inline)]
    end_time: Option<Moment>,
    /// Calls that ended then or before.
    #[serde(rename = "EndTime<")]
    #[param(inline)]
    end_time_before: Option<Moment>,
    /// Calls that ended then or after.
    #[serde(rename = "EndTime>")]
    #[param(inline)]
    end_time_after: Option<Moment>,
    /// How many calls a page has: 50 if it is not given, 1000 at most.
    #[serde(rename = "PageSize")]
    #[param(inline)]
    page_size: Option<PageSize>,
    /// Which page, from 0. With `PageToken` it is only counted.
    #[serde(rename = "Page")]
    #[param(inline)]
    page: Option<PageNumber>,
    /// Where the page begins: told by the page before it.
    #[serde(rename = "PageToken")]
    #[param(inline)]
    page_token: Option<PageToken>,
}

/// A place in the list, as an address has it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^P[AB][0-9a-f]{16}$")]
struct PageToken(PageStart);

/// A page of calls.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct CallPage {
    /// Newest first.
    calls: Vec<CallView>,
    /// The place in the list of the last call of this page.
    end: u64,
    /// Where the first page is.
    first_page_uri: String,
    /// Where the next page is; null: there is none.
    #[schema(required)]
    next_page_uri: Option<String>,
    /// Which page this is, from 0.
    page: u32,
    /// How many calls a page has.
    page_size: u32,
    /// Where the page before this one is; null: there is none.
    #[schema(required)]
    previous_page_uri: Option<String>,
    /// The place in the list of the first call of this page.
    start: u64,
    /// Where this page is.
    uri: String,
}

/// What list is wanted.
#[derive(Debug)]
pub(super) struct CallListing {
    filter: Filter,
    /// The parameters as they were given, for the addresses of other pages.
    given: Vec<(String, String)>,
    page_size: PageSize,
    page: u32,
    place: Option<PageStart>,
}

/// Where a page begins, told by the number of the call next to it: calls that come and go do not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageStart {
    /// The page is of calls that began before this one.
    Before(u64),
    /// The page is of calls that began after this one.
    After(u64),
}

#[derive(Clone, Debug, Default)]
struct Filter {
    to: Option<String>,
    from: Option<String>,
    /// Every call here comes from outside.
    parent: bool,
    status: Option<Status>,
    started: Span,
    ended: Span,
}

/// From when on, and before when.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    from: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl CallListing {
    /// What a query asks for.
    pub(super) fn of(Query { parameters, given }: Query<Filters>) -> Self {
        let started = [parameters.start_time, parameters.start_time_after, parameters.start_time_before];
        let ended = [parameters.end_time, parameters.end_time_after, parameters.end_time_before];
        let filter = Filter {
            to: parameters.to,
            from: parameters.from,
            parent: parameters.parent_call_sid.is_some(),
            status: parameters.status,
            started: Span::of(started),
            ended: Span::of(ended),
        };
        let PageNumber(page) = parameters.page.unwrap_or_default();
        let place = parameters.page_token.map(|PageToken(place)| place);
        Self { filter, given, page_size: parameters.page_size.unwrap_or_default(), page, place }
    }

    /// The page that is wanted; `live` knows calls better than the store does.
    ///
    /// # Errors
    /// [`BackendError`].
    pub(super) async fn page(
        &self,
        account_sid: &str,
        calls: &dyn Backend,
        live: impl Fn(&str) -> Option<Record>,
    ) -> Result<CallPage, BackendError> {
        let (size, one_more) = (self.page_size.entries(), self.page_size.and_one());
        let (found, more) = match self.place {
            Some(PageStart::After(number)) => {
                let mut found = self.calls(calls, CallPlaces::After(number), 0, size).await?;
                found.reverse();
                // This page was read backwards, so that whether there is a next one is asked for by itself.
                let older = self.calls(calls, CallPlaces::Before(number.saturating_add(1)), 0, 1).await?;
                (found, !older.is_empty())
            }
            Some(PageStart::Before(number)) => {
                self.page_size.cut(self.calls(calls, CallPlaces::Before(number), 0, one_more).await?)
            }
            None => {
                let skipped = self.page.saturating_mul(size);
                self.page_size.cut(self.calls(calls, CallPlaces::All, skipped, one_more).await?)
            }
        };
        let start = u64::from(self.page).saturating_mul(u64::from(size));
        let length = u64::try_from(found.len()).unwrap_or(u64::MAX);
        let next = found.last().filter(|_| more).map(|last| PageStart::Before(last.place));
        let previous = match (found.first(), self.place) {
            (Some(first), _) => Some(PageStart::After(first.place)),
            (None, Some(PageStart::Before(number))) => Some(PageStart::After(number.saturating_sub(1))),
            (None, place) => place,
        };
        let view = |row: CallRow| match live(&row.sid) {
            Some(record) => CallView::of(account_sid, record),
            None => CallView::stored(account_sid, row),
        };
        let at = |page: u32, place: Option<PageStart>| self.uri(account_sid, page, place);
        Ok(CallPage {
            calls: found.into_iter().map(view).collect(),
            end: start.saturating_add(length.saturating_sub(1)),
            first_page_uri: at(0, None),
            next_page_uri: next.map(|place| at(self.page.saturating_add(1), Some(place))),
            page: self.page,
            page_size: size,
            previous_page_uri: self.page.checked_sub(1).map(|page| at(page, previous)),
            start,
            uri: at(self.page, self.place),
        })
    }

    /// Calls that the filter lets through, in these places.
    async fn calls(
        &self,
        calls: &dyn Backend,
        place: CallPlaces,
        offset: u32,
        limit: u32,
    ) -> Result<Vec<CallRow>, BackendError> {
        let Filter { to, from, parent, status, started, ended } = self.filter.clone();
        let status = match status.map(Status::stored) {
            // Nothing here is ever a call's child, queued, or busy.
            Some(None) => return Ok(Vec::new()),
            _ if parent => return Ok(Vec::new()),
            status => status.flatten(),
        };
        let filter = CallFilter {
            from,
            to,
            status,
            started_from: started.from,
            started_before: started.before,
            ended_from: ended.from,
            ended_before: ended.before,
            place,
            offset,
            limit,
        };
        calls.calls(filter).await
    }

    fn uri(&self, account_sid: &str, page: u32, place: Option<PageStart>) -> String {
        let own = [
            ("PageSize", Some(self.page_size.entries().to_string())),
            ("Page", Some(page.to_string())),
            ("PageToken", place.map(PageStart::token)),
        ];
        address(&format!("{ROOT}/Accounts/{account_sid}/Calls.json"), &self.given, &own)
    }
}

impl PageStart {
    fn read(token: &str) -> Option<Self> {
        let (kind, digits) = token.split_at_checked(2)?;
        let is_number = digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u64::from_str_radix(digits, 16).ok().filter(|_| is_number)?;
        match kind {
            "PA" => Some(Self::Before(number)),
            "PB" => Some(Self::After(number)),
            _ => None,
        }
    }

    fn token(self) -> String {
        match self {
            Self::Before(number) => format!("PA{number:016x}"),
            Self::After(number) => format!("PB{number:016x}"),
        }
    }
}

impl TryFrom<String> for PageToken {
    type Error = Must;

    fn try_from(token: String) -> Result<Self, Must> {
        PageStart::read(&token).map(Self).ok_or(Must("one that was given out"))
    }
}

impl Span {
    /// Both ends belong to it. What is told of a call is told in whole seconds, so whole seconds are compared.
    fn of([on, after, before]: [Option<Moment>; 3]) -> Self {
        let second = |moment: Timestamp| Timestamp::from_second(moment.as_second()).unwrap_or(moment);
        let next = |moment: Timestamp| second(moment).checked_add(1.second()).unwrap_or(moment);
        let begun = |moment: Timestamp| if second(moment) < moment { next(moment) } else { moment };
        let last = |Moment(at): Moment| match at.as_second().rem_euclid(86_400) {
            // The libraries send a date as its midnight: both mean the day.
            0 => at.checked_add(86_399.seconds()).unwrap_or(at),
            _ => at,
        };
        let from = [on, after].into_iter().flatten().map(|Moment(at)| begun(at)).max();
        let until = [on.map(last), before.map(|Moment(at)| at)];
        Self { from, before: until.into_iter().flatten().map(next).min() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rest::error::ApiError;
    use crate::store::memory::Memory;
    use crate::store::{CallBackend, CallStatus, Changes, NodeId};

    /// Calls that began a minute after each other from 10:00 on; every second one has ended a second later.
    async fn history(calls: usize) -> Memory {
        let history = Memory::default();
        for number in 0..calls {
            begin(&history, number).await;
        }
        history
    }

    async fn begin(history: &Memory, number: usize) {
        let at: Timestamp = "2026-11-22T10:00:00.5Z".parse().unwrap();
        let at = at + (60 * i64::try_from(number).unwrap()).seconds();
        let ended = number.is_multiple_of(2).then(|| at + 1.second());
        let row = CallRow {
            place: 0,
            sid: format!("CA{number}"),
            account: "AC1".to_owned(),
            dialect: "twilio".to_owned(),
            flow: "donate".to_owned(),
            from: Some(if number.is_multiple_of(3) { "+15550000" } else { "+15551111" }.to_owned()),
            to: None,
            direction: "inbound".to_owned(),
            caller_name: None,
            forwarded_from: None,
            status: if ended.is_some() { CallStatus::Completed } else { CallStatus::InProgress },
            how: None,
            started: at,
            updated: ended.unwrap_or(at),
            ended,
        };
        let changes = Changes { calls: vec![Arc::new(row)], sessions: Vec::new() };
        history.write_changes(changes, NodeId::random()).await.unwrap();
    }

    fn listing(query: &str) -> Result<CallListing, ApiError> {
        Query::read(query).map(CallListing::of)
    }

    async fn page(history: &Memory, query: &str) -> CallPage {
        listing(query).unwrap().page("AC1", history, |_| None).await.unwrap()
    }

    fn sids(page: &CallPage) -> Vec<String> {
        let page = serde_json::to_value(page).unwrap();
        let calls = page["calls"].as_array().unwrap();
        calls.iter().map(|call| call["sid"].as_str().unwrap()["CA".len()..].to_owned()).collect()
    }

    fn query(uri: &str) -> &str {
        uri.strip_prefix("/2010-04-01/Accounts/AC1/Calls.json?").unwrap()
    }

    #[tokio::test]
    async fn pages_lead_to_each_other_there_and_back() {
        let history = history(7).await;
        let first = page(&history, "PageSize=3").await;
        assert_eq!(sids(&first), ["6", "5", "4"]);
        assert_eq!((first.start, first.end, first.page), (0, 2, 0));
        assert!(first.previous_page_uri.is_none());
        let second = page(&history, query(first.next_page_uri.as_deref().unwrap())).await;
        assert_eq!(sids(&second), ["3", "2", "1"]);
        assert_eq!((second.start, second.end, second.page), (3, 5, 1));
        let last = page(&history, query(second.next_page_uri.as_deref().unwrap())).await;
        assert_eq!(sids(&last), ["0"]);
        assert_eq!((last.start, last.end, last.next_page_uri.is_none()), (6, 6, true));
        let back = page(&history, query(last.previous_page_uri.as_deref().unwrap())).await;
        assert_eq!(sids(&back), ["3", "2", "1"]);
        let back = page(&history, query(back.previous_page_uri.as_deref().unwrap())).await;
        assert_eq!(sids(&back), ["6", "5", "4"]);
        assert_eq!(back.page, 0);
        assert_eq!(sids(&page(&history, query(&second.uri)).await), sids(&second), "a page's address is its own");
        assert_eq!(sids(&page(&history, "PageSize=3&Page=1").await), sids(&second), "a page may be counted too");
        assert_eq!(sids(&page(&history, query(&last.first_page_uri)).await), sids(&first));
    }

    #[tokio::test]
    async fn new_calls_and_deleted_ones_move_no_page() {
        let history = history(6).await;
        let first = page(&history, "PageSize=2").await;
        begin(&history, 6).await;
        begin(&history, 7).await;
        history.delete_call("CA4").await.unwrap();
        let second = page(&history, query(first.next_page_uri.as_deref().unwrap())).await;
        assert_eq!(sids(&second), ["3", "2"]);
        let before = page(&history, query(second.previous_page_uri.as_deref().unwrap())).await;
        assert_eq!(sids(&before), ["6", "5"]);
    }

    #[tokio::test]
    async fn a_full_last_page_has_no_next_one() {
        let page = page(&history(4).await, "PageSize=4").await;
        assert_eq!((page.calls.len(), page.next_page_uri), (4, None));
    }

    #[tokio::test]
    async fn an_empty_list_is_a_page_without_calls() {
        let page = page(&Memory::default(), "").await;
        assert_eq!((page.start, page.end, page.page_size, page.calls.len()), (0, 0, 50, 0));
        assert_eq!(page.uri, "/2010-04-01/Accounts/AC1/Calls.json?PageSize=50&Page=0");
    }

    #[tokio::test]
    async fn filters_hold_together_and_go_along_to_the_next_page() {
        let history = history(9).await;
        let found = page(&history, "From=%2B15550000&Status=completed&PageSize=1").await;
        assert_eq!(sids(&found), ["6"]);
        let next = found.next_page_uri.unwrap();
        assert!(next.contains("From=%2B15550000&Status=completed&"), "{next}");
        assert_eq!(sids(&page(&history, query(&next)).await), ["0"]);
        for none in ["Status=ringing", "ParentCallSid=CA1", "To=%2B1", "From="] {
            assert!(page(&history, none).await.calls.is_empty(), "{none}");
        }
    }

    #[tokio::test]
    async fn times_are_days_or_moments_and_both_ends_count() {
        let history = history(3).await;
        for (query, expected) in [
            ("StartTime%3E=2026-11-22T10:01:00Z", &["2", "1"][..]),
            ("StartTime%3C=2026-11-22T10:01:00Z", &["1", "0"]),
            ("StartTime%3C=2026-11-22", &[]),
            ("StartTime%3E=2026-11-22", &["2", "1", "0"]),
            ("StartTime=2026-11-22", &["2", "1", "0"]),
            ("StartTime=2026-11-22T00:00:00Z", &["2", "1", "0"]),
            ("StartTime=2026-11-21", &[]),
            ("StartTime=2026-11-22T10:02:00Z", &["2"]),
            ("StartTime%3E=2026-11-22T10:00:30Z&StartTime%3C=2026-11-22T10:01:30Z", &["1"]),
            ("EndTime=2026-11-22", &["2", "0"]),
            ("EndTime%3E=2026-11-22T10:00:02Z", &["2"]),
        ] {
            assert_eq!(sids(&page(&history, query).await), expected, "{query}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for wrong in [
            "PageSize=0",
            "PageSize=x",
            "PageSize=-1",
            "Page=-1",
            "Page=4294967296",
            "PageToken=PA1",
            "PageToken=PA000000000000000G",
            "PageToken=PX0000000000000001",
            "Status=done",
            "StartTime=yesterday",
            "StartTime=2026-13-01",
            "EndTime%3C=",
            "Color=red",
        ] {
            assert_eq!(listing(wrong).map(|_| ()).unwrap_err().status, 400, "{wrong}");
        }
        assert_eq!(listing("PageSize=5000").unwrap().page_size.entries(), 1000, "a library's limit may be large");
    }
}
