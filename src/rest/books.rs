//! The books: every payment that this server, or another one on the same database, was asked to make.
//!
//! Shape:   [`list`] and [`fetch`] read the store; nothing is changed here. Unlike the Payments of a call, which live as long
//!          as its record, these outlive the process.
//! Units:   RFC 3339, UTC.
//! Limits:  [`PAGE_SIZE_MAX`]; [`CALLBACKS_MAX`] callbacks of a payment, which has three at most.
//! Errors:  [`ApiError`]; 503 while the database cannot be used.
//! Secrets: numbers as their masks; of a callback neither its fields nor its URL's query and credentials.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use form_urlencoded::Serializer;
use jiff::Timestamp;
use utoipa::{IntoParams, ToSchema};

use super::OWN_ROOT;
use super::error::{self, ApiError};
use super::fields::{Fields, Query};
use crate::store::moment::moment;
use crate::store::{BackendError, CallbackFilter, PaymentFilter, PaymentState, SessionFilter, Store};

pub(crate) mod session;
pub(crate) mod view;

use session::{SessionStory, SessionView, Story};
use view::{BookedPage, BookedPayment, PaymentStory, Standing};

/// How many payments a page has if nobody asks for another number, and at most.
const PAGE_SIZE: u32 = 50;
const PAGE_SIZE_MAX: u32 = 1000;

/// How many callbacks of a payment are told.
const CALLBACKS_MAX: u32 = 100;

/// The parameters of the list, for the description only.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read by the description only")]
struct Filters {
    /// Payments of this call only.
    call: Option<String>,
    /// Payments in this state only.
    #[param(inline)]
    state: Option<Standing>,
    /// Payments over this connector instance only.
    connector: Option<String>,
    /// Payments that began then or later: a moment, or a date, which stands for its midnight in UTC.
    #[param(inline)]
    from: Option<Moment>,
    /// Payments that began before then.
    #[param(inline)]
    before: Option<Moment>,
    /// How many payments a page has: 50 if it is not given, 1000 at most.
    #[param(minimum = 1, maximum = 2147483647)]
    page_size: Option<i32>,
    /// Payments after this one in the list: `next` of the page before says it.
    #[param(pattern = "^PK[0-9a-f]{32}$")]
    after: Option<String>,
    /// Sessions after this one in their list: `next_sessions` of the page before says it.
    #[param(pattern = "^PK[0-9a-f]{32}$")]
    after_session: Option<String>,
}

/// A date (YYYY-MM-DD) or a moment (YYYY-MM-DDThh:mm:ssZ).
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)?$")]
#[allow(dead_code, reason = "read by the description only")]
struct Moment(String);

/// Payments in the books
///
/// Every payment that a gateway was about to be asked for, on any call, the newest first. Those whose `state` is `unknown`
/// wait for a person: nobody knows whether money moved. In a list of their own, `sessions`, those that ended before a gateway
/// was to be asked, and those that are open now; where `state` narrows the list there are none.
#[utoipa::path(
    get,
    path = "/v1/payments",
    operation_id = "ListBookedPayments",
    tag = "books",
    params(Filters),
    responses(
        (status = 200, description = "A page of the list", body = BookedPage),
        (status = 400, description = "A parameter is unknown or has a wrong value", body = ApiError),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 404, description = "`after` is no payment here, or `after_session` no session", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
        (status = 503, description = "The database cannot be used now", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn list(State(store): State<Store>, Query(query): Query) -> Result<Json<BookedPage>, ApiError> {
    let Listing { mut filter, after_session, given, page_size } = Listing::read(query)?;
    let books = store.backend();
    let unknown = |message| ApiError::new(StatusCode::NOT_FOUND, error::NOT_FOUND, message);
    if let Some(after) = &filter.after_sid
        && books.payment(after).await.map_err(unusable)?.is_none()
    {
        return Err(unknown("after is no payment here"));
    }
    if let Some(after) = &after_session
        && books.session(after).await.map_err(unusable)?.is_none()
    {
        return Err(unknown("after_session is no session here"));
    }
    // A page further on in one list is the first one of the other no more.
    let (after_sid, limit) = (after_session.clone(), page_size.saturating_add(1));
    let of_sessions = SessionFilter { after_sid, limit, ..SessionFilter::like(&filter) };
    let wants_payments = after_session.is_none();
    let wants_sessions = filter.state.is_none() && filter.after_sid.is_none();
    // One more than the page holds tells whether there is another page.
    filter.limit = page_size.saturating_add(1);
    let rows = if wants_payments { books.payments(filter).await.map_err(unusable)? } else { Vec::new() };
    let sessions = if wants_sessions { books.sessions(of_sessions).await.map_err(unusable)? } else { Vec::new() };
    let (rows, more) = cut(rows, page_size);
    let (sessions, more_sessions) = cut(sessions, page_size);
    let place = |after: &str, sid: &str| {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(given.iter().map(|(name, value)| (*name, value.as_str())));
        query.append_pair("page_size", &page_size.to_string()).append_pair(after, sid);
        format!("{OWN_ROOT}/payments?{}", query.finish())
    };
    Ok(Json(BookedPage {
        next: rows.last().filter(|_| more).map(|last| place("after", &last.sid)),
        next_sessions: sessions.last().filter(|_| more_sessions).map(|last| place("after_session", &last.sid)),
        payments: rows.into_iter().map(BookedPayment::of).collect(),
        sessions: sessions.into_iter().map(SessionView::of).collect(),
    }))
}

/// At most a page of rows, and whether there are more.
fn cut<T>(mut rows: Vec<T>, page_size: u32) -> (Vec<T>, bool) {
    let size = usize::try_from(page_size).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    (rows, more)
}

/// A payment in the books, and the callbacks that tell its outcome
///
/// Or a session whose gateway was not asked.
#[utoipa::path(
    get,
    path = "/v1/payments/{sid}",
    operation_id = "FetchBookedPayment",
    tag = "books",
    params(("sid" = String, Path, description = "The payment's id", pattern = "^PK[0-9a-f]{32}$")),
    responses(
        (status = 200, description = "The payment, or the session", body = Story),
        (status = 400, description = "A parameter is unknown", body = ApiError),
        (status = 401, description = "Wrong or no credentials", body = ApiError, headers(("WWW-Authenticate" = String, description = "Basic"))),
        (status = 404, description = "There is no such payment", body = ApiError),
        (status = 429, description = "Too many failed authentications from this address", body = ApiError, headers(("Retry-After" = u64, description = "Seconds to wait, after failed authentications"))),
        (status = 503, description = "The database cannot be used now", body = ApiError),
    ),
    security(("account" = [])),
)]
pub(super) async fn fetch(
    State(store): State<Store>,
    OriginalUri(uri): OriginalUri,
    sid: Result<Path<String>, PathRejection>,
    Query(query): Query,
) -> Result<Json<Story>, ApiError> {
    let not_found = || ApiError::not_found(uri.path());
    let Path(sid) = sid.map_err(|_| not_found())?;
    query.finish(&[])?;
    let books = store.backend();
    let row = books.payment(&sid).await.map_err(unusable)?;
    let session = if row.is_none() { books.session(&sid).await.map_err(unusable)? } else { None };
    let filter = CallbackFilter { payment_sid: Some(sid), limit: CALLBACKS_MAX, ..CallbackFilter::default() };
    let callbacks = books.callbacks(filter).await.map_err(unusable)?;
    match (row, session) {
        (Some(row), _) => Ok(Json(Story::Payment(PaymentStory::of(row, callbacks)))),
        (None, Some(session)) => Ok(Json(Story::Session(SessionStory::of(session, callbacks)))),
        (None, None) => Err(not_found()),
    }
}

/// What list is wanted.
#[derive(Debug)]
struct Listing {
    filter: PaymentFilter,
    after_session: Option<String>,
    /// The filters as they were given, for the address of the next page.
    given: Vec<(&'static str, String)>,
    page_size: u32,
}

impl Listing {
    fn read(mut query: Fields) -> Result<Self, ApiError> {
        let mut given = Vec::new();
        let mut take = |name: &'static str| -> Result<Option<String>, ApiError> {
            let value = query.take(name)?;
            given.extend(value.iter().map(|value| (name, value.clone())));
            Ok(value)
        };
        let filter = PaymentFilter {
            call_sid: take("call")?,
            state: take("state")?.map(|word| state(&word)).transpose()?,
            connector: take("connector")?,
            from: take("from")?.map(|text| read_moment("from", &text)).transpose()?,
            before: take("before")?.map(|text| read_moment("before", &text)).transpose()?,
            after_sid: query.take("after")?.map(|sid| after("after", sid)).transpose()?,
            limit: 0,
        };
        let after_session = query.take("after_session")?.map(|sid| after("after_session", sid)).transpose()?;
        let page_size = query.take("page_size")?.map_or(Ok(PAGE_SIZE), |text| read_size(&text))?;
        query.finish(&[])?;
        Ok(Self { filter, after_session, given, page_size: page_size.min(PAGE_SIZE_MAX) })
    }
}

fn state(word: &str) -> Result<PaymentState, ApiError> {
    let found = PaymentState::ALL.iter().copied().find(|state| state.word() == word);
    found.ok_or_else(|| ApiError::parameter("state must be preparing, submitting, succeeded, failed or unknown"))
}

fn read_moment(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    let expected = || format!("{name} must be a date (YYYY-MM-DD) or a moment (YYYY-MM-DDThh:mm:ssZ)");
    moment(text).ok_or_else(|| ApiError::parameter(expected()))
}

fn after(name: &str, sid: String) -> Result<String, ApiError> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_sid = sid.strip_prefix("PK").is_some_and(|digits| digits.len() == 32 && digits.bytes().all(is_digit));
    if is_sid { Ok(sid) } else { Err(ApiError::parameter(format!("{name} must be a payment's id"))) }
}

fn read_size(text: &str) -> Result<u32, ApiError> {
    let size = text.parse().ok().filter(|size| (1..=i32::MAX.unsigned_abs()).contains(size));
    size.ok_or_else(|| ApiError::parameter("page_size must be a whole number from 1 on"))
}

fn unusable(error: BackendError) -> ApiError {
    tracing::error!(%error, "the books cannot be read");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error::UNAVAILABLE, "The database cannot be used now")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_refused() {
        let sid = format!("PK{:032x}", 7);
        let query =
            format!("call=CA1&state=unknown&connector=Default&from=2026-11-22&before=2026-11-22T10:00:00Z&after={sid}");
        let Listing { filter, page_size, .. } = Listing::read(Fields::of(&query)).unwrap();
        assert_eq!((filter.state, page_size), (Some(PaymentState::Unknown), PAGE_SIZE));
        assert_eq!((filter.call_sid.as_deref(), filter.after_sid), (Some("CA1"), Some(sid)));
        assert_eq!(filter.from, "2026-11-22T00:00:00Z".parse().ok());
        assert_eq!(Listing::read(Fields::of("page_size=5000")).unwrap().page_size, PAGE_SIZE_MAX);
        for wrong in [
            "state=Unknown",
            "state=",
            "from=yesterday",
            "before=2026-13-01",
            "after=PK1",
            "after=",
            "after_session=PK1",
            "page_size=0",
            "page_size=x",
            "page_size=4294967296",
            "color=red",
            "call=CA1&call=CA2",
        ] {
            assert_eq!(Listing::read(Fields::of(wrong)).unwrap_err().status, 400, "{wrong}");
        }
    }
}
