//! Stored payments: every payment that this server, or another one on the same database, was asked to make.
//!
//! Shape:   [`list`] and [`fetch`] read the store; nothing is changed here. Unlike the Payments of a call, which live as long
//!          as its record, these outlive the process.
//! Units:   RFC 3339, UTC.
//! Limits:  those of [`PageSize`]; [`CALLBACKS_MAX`] callbacks of a payment, which has three at most.
//! Errors:  [`ApiError`]; 503 while the database cannot be used.
//! Secrets: numbers as their masks; of a callback neither its fields nor its URL's query and credentials.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::OWN_ROOT;
use super::answers::{UnknownParameter, Unusable, WrongParameter};
use super::error::{self, ApiError};
use super::fields::Query;
use super::page::{Moment, PageSize, address};
use super::parameters::{Must, NoParameters};
use super::path::InPath;
use crate::store::{BackendError, CallbackFilter, PaymentFilter, PaymentState, SessionFilter, Store};

pub(crate) mod session;
pub(crate) mod view;

use session::{SessionStory, SessionView, Story};
use view::{BookedPage, BookedPayment, PaymentStory};

/// How many callbacks of a payment are told.
const CALLBACKS_MAX: u32 = 100;

/// The parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Filters {
    /// Payments of this call only.
    call: Option<String>,
    /// Payments in this state only.
    #[param(inline)]
    state: Option<PaymentState>,
    /// Payments over this connector instance only.
    connector: Option<String>,
    /// Payments that began then or later: a moment, or a date, which stands for its midnight in UTC.
    #[param(inline)]
    from: Option<Moment>,
    /// Payments that began before then.
    #[param(inline)]
    before: Option<Moment>,
    /// How many payments a page has: 50 if it is not given, 1000 at most.
    #[param(inline)]
    page_size: Option<PageSize>,
    /// Payments after this one in the list: `next` of the page before says it.
    #[param(inline)]
    after: Option<PaymentSid>,
    /// Sessions after this one in their list: `next_sessions` of the page before says it.
    #[param(inline)]
    after_session: Option<PaymentSid>,
}

/// A payment's id: `PK` and 32 hex digits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^PK[0-9a-f]{32}$")]
struct PaymentSid(String);

impl TryFrom<String> for PaymentSid {
    type Error = Must;

    fn try_from(sid: String) -> Result<Self, Must> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_sid = sid.strip_prefix("PK").is_some_and(|digits| digits.len() == 32 && digits.bytes().all(is_digit));
        if is_sid { Ok(Self(sid)) } else { Err(Must("a payment's id")) }
    }
}

/// `/v1/payments/{sid}`
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct BookedPath {
    /// The payment's id
    #[param(pattern = "^PK[0-9a-f]{32}$")]
    sid: String,
}

/// Payments in the store
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
        WrongParameter,
        (status = 404, description = "`after` is no payment here, or `after_session` no session", body = ApiError),
        Unusable,
    ),
)]
pub(super) async fn list(State(store): State<Store>, query: Query<Filters>) -> Result<Json<BookedPage>, ApiError> {
    let PaymentListing { mut filter, after_session, given, page_size } = PaymentListing::of(query);
    let backend = store.backend();
    let unknown = |message| ApiError::new(StatusCode::NOT_FOUND, error::NOT_FOUND, message);
    if let Some(after) = &filter.after_sid
        && backend.payment(after).await.map_err(unusable)?.is_none()
    {
        return Err(unknown("after is no payment here"));
    }
    if let Some(after) = &after_session
        && backend.session(after).await.map_err(unusable)?.is_none()
    {
        return Err(unknown("after_session is no session here"));
    }
    // A page further on in one list is the first one of the other no more.
    let wants_payments = after_session.is_none();
    let wants_sessions = filter.state.is_none() && filter.after_sid.is_none();
    let limit = page_size.and_one();
    let of_sessions = SessionFilter { after_sid: after_session, limit, ..SessionFilter::like(&filter) };
    filter.limit = limit;
    let rows = if wants_payments { backend.payments(filter).await.map_err(unusable)? } else { Vec::new() };
    let sessions = if wants_sessions { backend.sessions(of_sessions).await.map_err(unusable)? } else { Vec::new() };
    let (rows, more) = page_size.cut(rows);
    let (sessions, more_sessions) = page_size.cut(sessions);
    let place = |payment: Option<&str>, session: Option<&str>| {
        let own = [
            ("page_size", Some(page_size.entries().to_string())),
            ("after", payment.map(str::to_owned)),
            ("after_session", session.map(str::to_owned)),
        ];
        address(&format!("{OWN_ROOT}/payments"), &given, &own)
    };
    Ok(Json(BookedPage {
        next: rows.last().filter(|_| more).map(|last| place(Some(&last.sid), None)),
        next_sessions: sessions.last().filter(|_| more_sessions).map(|last| place(None, Some(&last.sid))),
        payments: rows.into_iter().map(BookedPayment::of).collect(),
        sessions: sessions.into_iter().map(SessionView::of).collect(),
    }))
}

/// A payment in the store, and the callbacks that tell its outcome
///
/// Or a session whose gateway was not asked.
#[utoipa::path(
    get,
    path = "/v1/payments/{sid}",
    operation_id = "FetchBookedPayment",
    tag = "books",
    params(BookedPath),
    responses(
        (status = 200, description = "The payment, or the session", body = Story),
        UnknownParameter,
        BookedPath,
        Unusable,
    ),
)]
pub(super) async fn fetch(
    State(store): State<Store>,
    at: InPath<BookedPath>,
    _: Query<NoParameters>,
) -> Result<Json<Story>, ApiError> {
    let sid = &at.ids.sid;
    let backend = store.backend();
    let row = backend.payment(sid).await.map_err(unusable)?;
    let session = if row.is_none() { backend.session(sid).await.map_err(unusable)? } else { None };
    let filter = CallbackFilter::of_payment(sid, CALLBACKS_MAX);
    let callbacks = backend.callbacks(filter).await.map_err(unusable)?;
    match (row, session) {
        (Some(row), _) => Ok(Json(Story::Payment(PaymentStory::of(row, callbacks)))),
        (None, Some(session)) => Ok(Json(Story::Session(SessionStory::of(session, callbacks)))),
        (None, None) => Err(at.not_found()),
    }
}

/// What list is wanted.
#[derive(Debug)]
struct PaymentListing {
    filter: PaymentFilter,
    after_session: Option<String>,
    /// The parameters as they were given, for the address of the next page.
    given: Vec<(String, String)>,
    page_size: PageSize,
}

impl PaymentListing {
    fn of(Query { parameters, given }: Query<Filters>) -> Self {
        let Filters { call, state, connector, from, before, page_size, after, after_session } = parameters;
        let filter = PaymentFilter {
            call_sid: call,
            state,
            connector,
            from: from.map(|Moment(at)| at),
            before: before.map(|Moment(at)| at),
            after_sid: after.map(|PaymentSid(sid)| sid),
            limit: 0,
        };
        let after_session = after_session.map(|PaymentSid(sid)| sid);
        Self { filter, after_session, given, page_size: page_size.unwrap_or_default() }
    }
}

fn unusable(trouble: BackendError) -> ApiError {
    ApiError::database("payments", &trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<PaymentListing, ApiError> {
        Query::read(query).map(PaymentListing::of)
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let sid = format!("PK{:032x}", 7);
        let query =
            format!("call=CA1&state=unknown&connector=Default&from=2026-11-22&before=2026-11-22T10:00:00Z&after={sid}");
        let PaymentListing { filter, page_size, .. } = read(&query).unwrap();
        assert_eq!((filter.state, page_size), (Some(PaymentState::Unknown), PageSize::default()));
        assert_eq!((filter.call_sid.as_deref(), filter.after_sid), (Some("CA1"), Some(sid)));
        assert_eq!(filter.from, "2026-11-22T00:00:00Z".parse().ok());
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
            assert_eq!(read(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}
