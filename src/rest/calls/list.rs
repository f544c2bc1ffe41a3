//! The list of calls: which are wanted, and page by page.
//!
//! Shape:   [`Listing::read`] reads the query, [`Listing::page`] turns it and the store's calls into a page.
//! Limits:  [`PAGE_SIZE_MAX`].
//! Errors:  [`ApiError`]: a filter that cannot be read is refused; one that is ignored would show too much.
//! Sources: Twilio, "Read multiple Call resources" and "Twilio's Response: paging"; twilio-python `base/version.py`
//!          `read_limits` (a `limit` becomes the `PageSize`, however large) and `base/page.py`; its
//!          `base/serialize.py` `iso8601_datetime` (a date is sent as its midnight in UTC).

use form_urlencoded::Serializer;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::super::ROOT;
use super::super::error::ApiError;
use super::super::fields::Fields;
use super::view::{CallView, Status};
use crate::call::history::Record;
use crate::store::{Backend, BackendError, CallFilter, CallPlaces, CallRow};

/// How many calls a page has if nobody asks for another number.
const PAGE_SIZE: u32 = 50;

/// How many calls a page has at most. Who asks for more gets so many, as the libraries expect.
const PAGE_SIZE_MAX: u32 = 1000;

/// The parameters of a list, for the description only.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read by the description only")]
pub(super) struct Filters {
    /// Calls to this number only.
    #[param(rename = "To")]
    to: Option<String>,
    /// Calls from this number only.
    #[param(rename = "From")]
    from: Option<String>,
    /// Calls that this call began: none, as calls come from outside.
    #[param(rename = "ParentCallSid")]
    parent_call_sid: Option<String>,
    /// Calls of this status only.
    #[param(rename = "Status", inline)]
    status: Option<Status>,
    /// Calls that started on this day (UTC), or in this second.
    #[param(rename = "StartTime", inline)]
    start_time: Option<Moment>,
    /// Calls that started then or before.
    #[param(rename = "StartTime<", inline)]
    start_time_before: Option<Moment>,
    /// Calls that started then or after.
    #[param(rename = "StartTime>", inline)]
    start_time_after: Option<Moment>,
    /// Calls that ended on this day (UTC), or in this second.
    #[param(rename = "EndTime", inline)]
    end_time: Option<Moment>,
    /// Calls that ended then or before.
    #[param(rename = "EndTime<", inline)]
    end_time_before: Option<Moment>,
    /// Calls that ended then or after.
    #[param(rename = "EndTime>", inline)]
    end_time_after: Option<Moment>,
    /// How many calls a page has: 50 if it is not given, 1000 at most.
    #[param(rename = "PageSize", minimum = 1, maximum = 2147483647)]
    page_size: Option<i32>,
    /// Which page, from 0. With `PageToken` it is only counted.
    #[param(rename = "Page", minimum = 0, maximum = 2147483647)]
    page: Option<i32>,
    /// Where the page begins: told by the page before it.
    #[param(rename = "PageToken", pattern = "^P[AB][0-9a-f]{16}$")]
    page_token: Option<String>,
}

/// A date (YYYY-MM-DD), which stands for its midnight in UTC, or a moment (YYYY-MM-DDThh:mm:ssZ).
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)?$")]
#[allow(dead_code, reason = "read by the description only")]
struct Moment(String);

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
pub(super) struct Listing {
    filter: Filter,
    /// The filters as they were given, for the addresses of other pages.
    given: Vec<(&'static str, String)>,
    page_size: u32,
    page: u32,
    place: Option<Place>,
}

/// Where a page begins, told by the number of the call next to it: calls that come and go do not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
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

impl Listing {
    /// Reads a query.
    pub(super) fn read(mut query: Fields) -> Result<Self, ApiError> {
        let mut given = Vec::new();
        let mut take = |name: &'static str| -> Result<Option<String>, ApiError> {
            let value = query.take(name)?;
            given.extend(value.iter().map(|value| (name, value.clone())));
            Ok(value)
        };
        let filter = Filter {
            to: take("To")?,
            from: take("From")?,
            parent: take("ParentCallSid")?.is_some(),
            status: take("Status")?.map(|word| status(&word)).transpose()?,
            started: span(&mut take, ["StartTime", "StartTime<", "StartTime>"])?,
            ended: span(&mut take, ["EndTime", "EndTime<", "EndTime>"])?,
        };
        let page_size = query.take("PageSize")?.map_or(Ok(PAGE_SIZE), |text| count("PageSize", 1, &text))?;
        let page = query.take("Page")?.map_or(Ok(0), |text| count("Page", 0, &text))?;
        let wrong_token = || ApiError::parameter("PageToken is none that was given out");
        let place = query.take("PageToken")?.map(|token| Place::read(&token).ok_or_else(wrong_token)).transpose()?;
        query.finish(&[])?;
        Ok(Self { filter, given, page_size: page_size.min(PAGE_SIZE_MAX), page, place })
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
        let size = usize::try_from(self.page_size).unwrap_or(usize::MAX);
        // One more than the page holds tells whether there is another page.
        let one_more = self.page_size.saturating_add(1);
        let (found, more) = match self.place {
            Some(Place::After(number)) => {
                let mut found = self.calls(calls, CallPlaces::After(number), 0, self.page_size).await?;
                found.reverse();
                let older = self.calls(calls, CallPlaces::Before(number.saturating_add(1)), 0, 1).await?;
                (found, !older.is_empty())
            }
            Some(Place::Before(number)) => {
                first(self.calls(calls, CallPlaces::Before(number), 0, one_more).await?, size)
            }
            None => {
                let skipped = self.page.saturating_mul(self.page_size);
                first(self.calls(calls, CallPlaces::All, skipped, one_more).await?, size)
            }
        };
        let start = u64::from(self.page).saturating_mul(u64::from(self.page_size));
        let length = u64::try_from(found.len()).unwrap_or(u64::MAX);
        let next = found.last().filter(|_| more).map(|last| Place::Before(last.place));
        let previous = match (found.first(), self.place) {
            (Some(first), _) => Some(Place::After(first.place)),
            (None, Some(Place::Before(number))) => Some(Place::After(number.saturating_sub(1))),
            (None, place) => place,
        };
        let view = |row: CallRow| match live(&row.sid) {
            Some(record) => CallView::of(account_sid, &record),
            None => CallView::stored(account_sid, row),
        };
        let at = |page: u32, place: Option<Place>| self.uri(account_sid, page, place);
        Ok(CallPage {
            calls: found.into_iter().map(view).collect(),
            end: start.saturating_add(length.saturating_sub(1)),
            first_page_uri: at(0, None),
            next_page_uri: next.map(|place| at(self.page.saturating_add(1), Some(place))),
            page: self.page,
            page_size: self.page_size,
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

    fn uri(&self, account_sid: &str, page: u32, place: Option<Place>) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.given.iter().map(|(name, value)| (*name, value.as_str())));
        query.append_pair("PageSize", &self.page_size.to_string()).append_pair("Page", &page.to_string());
        if let Some(place) = place {
            query.append_pair("PageToken", &place.token());
        }
        format!("{ROOT}/Accounts/{account_sid}/Calls.json?{}", query.finish())
    }
}

/// At most `size` of them, and whether there are more.
fn first(mut rows: Vec<CallRow>, size: usize) -> (Vec<CallRow>, bool) {
    let more = rows.len() > size;
    rows.truncate(size);
    (rows, more)
}

impl Place {
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

impl Span {
    /// Both ends belong to it. What is told of a call is told in whole seconds, so whole seconds are compared.
    fn of(from: &[Option<Timestamp>], until: &[Option<Timestamp>]) -> Self {
        let second = |moment: Timestamp| Timestamp::from_second(moment.as_second()).unwrap_or(moment);
        let next = |moment: Timestamp| second(moment).checked_add(1.second()).unwrap_or(moment);
        let begun = |moment: Timestamp| if second(moment) < moment { next(moment) } else { moment };
        let from = from.iter().flatten().copied().map(begun).max();
        Self { from, before: until.iter().flatten().copied().map(next).min() }
    }
}

fn span(
    take: &mut impl FnMut(&'static str) -> Result<Option<String>, ApiError>,
    [on, before, after]: [&'static str; 3],
) -> Result<Span, ApiError> {
    let mut read = |name| take(name)?.map(|text| moment(name, &text)).transpose();
    let on = read(on)?.map(|given| match given {
        // The libraries send a date as its midnight: both mean the day.
        (at, true) => (at, at.checked_add(86_399.seconds()).unwrap_or(at)),
        (at, false) => (at, at),
    });
    let (before, after) = (read(before)?.map(|(at, _)| at), read(after)?.map(|(at, _)| at));
    Ok(Span::of(&[on.map(|(from, _)| from), after], &[on.map(|(_, until)| until), before]))
}

/// A date or a moment, and whether it is a day's midnight.
fn moment(name: &str, text: &str) -> Result<(Timestamp, bool), ApiError> {
    let date = |text: &str| text.parse::<Date>().ok().filter(|_| text.len() == "2026-11-22".len());
    let at = match date(text) {
        Some(date) => date.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp()),
        None => text.parse::<Timestamp>().ok(),
    };
    at.map(|at| (at, at.as_second().rem_euclid(86_400) == 0)).ok_or_else(|| {
        ApiError::parameter(format!("{name} must be a date (YYYY-MM-DD) or a moment (YYYY-MM-DDThh:mm:ssZ)"))
    })
}

fn status(word: &str) -> Result<Status, ApiError> {
    let expected = "queued, ringing, in-progress, canceled, completed, failed, busy or no-answer";
    Status::named(word).ok_or_else(|| ApiError::parameter(format!("Status must be {expected}")))
}

fn count(name: &str, least: u32, text: &str) -> Result<u32, ApiError> {
    let most = i32::MAX.unsigned_abs();
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| ApiError::parameter(format!("{name} must be a whole number from {least} on")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
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

    fn listing(query: &str) -> Result<Listing, ApiError> {
        Listing::read(Fields::of(query))
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
        assert_eq!(listing("PageSize=5000").unwrap().page_size, PAGE_SIZE_MAX, "a library's limit may be large");
    }
}
