//! The list of calls: which are wanted, and page by page.
//!
//! Shape:   [`Listing::read`] reads the query, [`Listing::page`] turns it and the history into a page.
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
use crate::call::history::{History, Record};

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

#[derive(Debug, Default)]
struct Filter {
    to: Option<String>,
    from: Option<String>,
    /// Every call here comes from outside.
    parent: bool,
    status: Option<Status>,
    started: Span,
    ended: Span,
}

/// From when to when; both ends belong to it.
#[derive(Debug, Default)]
struct Span {
    on: Option<(Timestamp, Timestamp)>,
    before: Option<Timestamp>,
    after: Option<Timestamp>,
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

    /// The page that is wanted.
    pub(super) fn page(&self, account_sid: &str, history: &History) -> CallPage {
        let size = usize::try_from(self.page_size).unwrap_or(usize::MAX);
        // One more than the page holds tells whether there is another page.
        let wanted = |record: &&Record| self.filter.matches(record);
        let (found, more): (Vec<&Record>, bool) = match self.place {
            Some(Place::After(number)) => {
                let newer = history.range(number.saturating_add(1)..).filter(wanted).take(size);
                let mut found: Vec<&Record> = newer.collect();
                found.reverse();
                let older = history.range(..=number).any(|record| self.filter.matches(record));
                (found, older)
            }
            Some(Place::Before(number)) => first(history.range(..number).rev().filter(wanted), size),
            None => {
                let skipped = usize::try_from(u64::from(self.page).saturating_mul(u64::from(self.page_size)));
                let skipped = skipped.unwrap_or(usize::MAX);
                first(history.range(..).rev().filter(wanted).skip(skipped), size)
            }
        };
        let start = u64::from(self.page).saturating_mul(u64::from(self.page_size));
        let length = u64::try_from(found.len()).unwrap_or(u64::MAX);
        let next = found.last().filter(|_| more).map(|last| Place::Before(last.number));
        let previous = match (found.first(), self.place) {
            (Some(first), _) => Some(Place::After(first.number)),
            (None, Some(Place::Before(number))) => Some(Place::After(number.saturating_sub(1))),
            (None, place) => place,
        };
        let at = |page: u32, place: Option<Place>| self.uri(account_sid, page, place);
        CallPage {
            calls: found.iter().map(|record| CallView::of(account_sid, record)).collect(),
            end: start.saturating_add(length.saturating_sub(1)),
            first_page_uri: at(0, None),
            next_page_uri: next.map(|place| at(self.page.saturating_add(1), Some(place))),
            page: self.page,
            page_size: self.page_size,
            previous_page_uri: self.page.checked_sub(1).map(|page| at(page, previous)),
            start,
            uri: at(self.page, self.place),
        }
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
fn first<'h>(mut records: impl Iterator<Item = &'h Record>, size: usize) -> (Vec<&'h Record>, bool) {
    let found = records.by_ref().take(size).collect();
    (found, records.next().is_some())
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

impl Filter {
    fn matches(&self, record: &Record) -> bool {
        let same = |wanted: &Option<String>, told: &Option<String>| wanted.is_none() || wanted == told;
        !self.parent
            && same(&self.to, &record.to)
            && same(&self.from, &record.from)
            && self.status.is_none_or(|status| status == Status::of(record))
            && self.started.holds(Some(record.started))
            && self.ended.holds(record.ended)
    }
}

impl Span {
    fn holds(&self, moment: Option<Timestamp>) -> bool {
        if self.on.is_none() && self.before.is_none() && self.after.is_none() {
            return true;
        }
        // What is told is told in whole seconds.
        let Some(moment) = moment.and_then(|moment| Timestamp::from_second(moment.as_second()).ok()) else {
            return false;
        };
        self.on.is_none_or(|(from, to)| from <= moment && moment <= to)
            && self.before.is_none_or(|before| moment <= before)
            && self.after.is_none_or(|after| after <= moment)
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
    let (before, after) = (read(before)?, read(after)?);
    Ok(Span { on, before: before.map(|(at, _)| at), after: after.map(|(at, _)| at) })
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
    use super::*;
    use crate::media::Start;

    /// Calls that began a minute after each other from 10:00 on; every second one has ended a second later.
    fn history(calls: usize) -> History {
        let mut history = History::default();
        for number in 0..calls {
            begin(&mut history, number);
        }
        history
    }

    fn begin(history: &mut History, number: usize) {
        let at: Timestamp = "2026-11-22T10:00:00.5Z".parse().unwrap();
        let at = at + (60 * i64::try_from(number).unwrap()).seconds();
        let sid = format!("CA{number}");
        let from = if number.is_multiple_of(3) { "+15550000" } else { "+15551111" };
        history.begin(
            at,
            &Start {
                stream_sid: "MZ1".into(),
                call_sid: sid.clone(),
                account_sid: None,
                custom_parameters: [("From".to_owned(), from.to_owned())].into(),
            },
        );
        if number.is_multiple_of(2) {
            history.end(at + 1.second(), &sid);
        }
    }

    fn listing(query: &str) -> Result<Listing, ApiError> {
        Listing::read(Fields::of(query))
    }

    fn page(history: &History, query: &str) -> CallPage {
        listing(query).unwrap().page("AC1", history)
    }

    fn sids(page: &CallPage) -> Vec<String> {
        let page = serde_json::to_value(page).unwrap();
        let calls = page["calls"].as_array().unwrap();
        calls.iter().map(|call| call["sid"].as_str().unwrap()["CA".len()..].to_owned()).collect()
    }

    fn query(uri: &str) -> &str {
        uri.strip_prefix("/2010-04-01/Accounts/AC1/Calls.json?").unwrap()
    }

    #[test]
    fn pages_lead_to_each_other_there_and_back() {
        let history = history(7);
        let first = page(&history, "PageSize=3");
        assert_eq!(sids(&first), ["6", "5", "4"]);
        assert_eq!((first.start, first.end, first.page), (0, 2, 0));
        assert!(first.previous_page_uri.is_none());
        let second = page(&history, query(first.next_page_uri.as_deref().unwrap()));
        assert_eq!(sids(&second), ["3", "2", "1"]);
        assert_eq!((second.start, second.end, second.page), (3, 5, 1));
        let last = page(&history, query(second.next_page_uri.as_deref().unwrap()));
        assert_eq!(sids(&last), ["0"]);
        assert_eq!((last.start, last.end, last.next_page_uri.is_none()), (6, 6, true));
        let back = page(&history, query(last.previous_page_uri.as_deref().unwrap()));
        assert_eq!(sids(&back), ["3", "2", "1"]);
        let back = page(&history, query(back.previous_page_uri.as_deref().unwrap()));
        assert_eq!(sids(&back), ["6", "5", "4"]);
        assert_eq!(back.page, 0);
        assert_eq!(sids(&page(&history, query(&second.uri))), sids(&second), "a page's address is its own");
        assert_eq!(sids(&page(&history, "PageSize=3&Page=1")), sids(&second), "a page may be counted too");
        assert_eq!(sids(&page(&history, query(&last.first_page_uri))), sids(&first));
    }

    #[test]
    fn new_calls_and_deleted_ones_move_no_page() {
        let mut history = history(6);
        let first = page(&history, "PageSize=2");
        begin(&mut history, 6);
        begin(&mut history, 7);
        history.delete("CA4").unwrap();
        let second = page(&history, query(first.next_page_uri.as_deref().unwrap()));
        assert_eq!(sids(&second), ["3", "2"]);
        let before = page(&history, query(second.previous_page_uri.as_deref().unwrap()));
        assert_eq!(sids(&before), ["6", "5"]);
    }

    #[test]
    fn a_full_last_page_has_no_next_one() {
        let page = page(&history(4), "PageSize=4");
        assert_eq!((page.calls.len(), page.next_page_uri), (4, None));
    }

    #[test]
    fn an_empty_list_is_a_page_without_calls() {
        let page = page(&History::default(), "");
        assert_eq!((page.start, page.end, page.page_size, page.calls.len()), (0, 0, 50, 0));
        assert_eq!(page.uri, "/2010-04-01/Accounts/AC1/Calls.json?PageSize=50&Page=0");
    }

    #[test]
    fn filters_hold_together_and_go_along_to_the_next_page() {
        let history = history(9);
        let found = page(&history, "From=%2B15550000&Status=completed&PageSize=1");
        assert_eq!(sids(&found), ["6"]);
        let next = found.next_page_uri.unwrap();
        assert!(next.contains("From=%2B15550000&Status=completed&"), "{next}");
        assert_eq!(sids(&page(&history, query(&next))), ["0"]);
        for none in ["Status=ringing", "ParentCallSid=CA1", "To=%2B1", "From="] {
            assert!(page(&history, none).calls.is_empty(), "{none}");
        }
    }

    #[test]
    fn times_are_days_or_moments_and_both_ends_count() {
        let history = history(3);
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
            assert_eq!(sids(&page(&history, query)), expected, "{query}");
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
