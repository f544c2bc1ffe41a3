//! One request and the redirects after it, within one time.
//!
//! Shape:   [`follow`] sends, looks where the answer leads, sends again. The way out is a function, so that the time can be
//!          tested on a paused clock.
//! Limits:  the first request's own time, for all hops and tries together; [`crate::http::redirect::HOPS_MAX`] hops.
//! Errors:  [`FetchError`]; one of a later hop says where that was.

use tokio::time::Instant;
use url::Url;

use super::FetchError;
use crate::http::redirect::RequestTrail;
use crate::http::{Method, OutboundError, OutboundRequest, OutboundResponse, shown};

/// What becomes of a request that reached nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreached {
    /// It is made once more.
    Again,
    /// That is the answer.
    Told,
}

/// Where a request came to.
#[derive(Debug)]
pub(crate) enum RequestEnd {
    /// Where it was sent.
    First,
    /// Where it was sent on to, without query and credentials.
    Redirected(String),
}

impl RequestEnd {
    /// An error that happened here.
    pub(crate) fn error(self, error: FetchError) -> FetchError {
        match self {
            Self::First => error,
            Self::Redirected(to) => FetchError::Redirected { to, error: Box::new(error) },
        }
    }
}

/// An answer that is no redirect.
#[derive(Debug)]
pub(crate) struct Followed {
    /// Where it came from.
    pub(crate) url: Url,
    /// The same, for messages.
    pub(crate) place: RequestEnd,
    /// What came.
    pub(crate) response: OutboundResponse,
    /// Whether a redirect made a GET of a POST, which says what call it is about and nothing else.
    pub(crate) fields_lost: bool,
}

/// Sends a request, and where its answer leads, through `send`. The request's timeout is that of everything together.
pub(crate) async fn follow<Sending, Sent>(
    first: OutboundRequest,
    unreached: Unreached,
    send: Sending,
) -> Result<Followed, FetchError>
where
    Sending: Fn(OutboundRequest) -> Sent,
    Sent: Future<Output = Result<OutboundResponse, OutboundError>>,
{
    let deadline = Instant::now() + first.timeout;
    let mut request = first;
    let mut trail = RequestTrail::default();
    let mut place = RequestEnd::First;
    let mut fields_lost = false;
    loop {
        let mut answer = send_before(deadline, &request, &send).await;
        if unreached == Unreached::Again && matches!(answer, Err(OutboundError::NotReached(_))) {
            answer = send_before(deadline, &request, &send).await;
        }
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Err(place.error(error.into())),
        };
        match trail.next(&request, &response) {
            Ok(None) => {
                let Ok(mut url) = Url::parse(&request.url) else { return Err(OutboundError::InvalidUrl.into()) };
                url.set_fragment(None);
                return Ok(Followed { url, place, response, fields_lost });
            }
            Ok(Some(next)) => {
                fields_lost |= request.method == Method::POST && next.method != Method::POST;
                place = RequestEnd::Redirected(shown(&next.url));
                request = next;
            }
            Err(error) => return Err(place.error(error.into())),
        }
    }
}

async fn send_before<Sending, Sent>(
    deadline: Instant,
    request: &OutboundRequest,
    send: &Sending,
) -> Result<OutboundResponse, OutboundError>
where
    Sending: Fn(OutboundRequest) -> Sent,
    Sent: Future<Output = Result<OutboundResponse, OutboundError>>,
{
    let timeout = deadline.saturating_duration_since(Instant::now());
    if timeout.is_zero() {
        return Err(OutboundError::TimedOut);
    }
    send(OutboundRequest { timeout, ..request.clone() }).await
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::form::Form;

    fn request() -> OutboundRequest {
        OutboundRequest {
            method: Method::POST,
            url: "https://shop.example.com/0".to_owned(),
            form: Form::new(),
            auth_token: None,
            idempotency_token: None,
            cookies: crate::http::Jar::default(),
            timeout: Duration::from_secs(15),
            body_limit: 100,
        }
    }

    fn response(status: u16, location: Option<String>) -> OutboundResponse {
        OutboundResponse { status, content_type: None, location, retry_after: None, body: Bytes::new(), cut: false }
    }

    /// Every hop takes so long and leads on, `hops` times; tells what each was given.
    async fn asked(hops: usize, each: Duration) -> (Result<Followed, FetchError>, Vec<Duration>) {
        let given = RefCell::new(Vec::new());
        let followed = follow(request(), Unreached::Again, |request| {
            given.borrow_mut().push(request.timeout);
            let hop = given.borrow().len();
            let location = (hop <= hops).then(|| format!("/{hop}"));
            async move {
                let status = if location.is_some() { 307 } else { 200 };
                let answer = async {
                    sleep(each).await;
                    response(status, location)
                };
                timeout(request.timeout, answer).await.map_err(|_| OutboundError::TimedOut)
            }
        })
        .await;
        (followed, given.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn all_hops_share_one_time() {
        let since = Instant::now();
        let (followed, given) = asked(9, Duration::from_secs(4)).await;
        let error = followed.unwrap_err();
        let FetchError::Redirected { to, error } = &error else { panic!("{error}") };
        assert_eq!((to.as_str(), &**error), ("https://shop.example.com/3", &OutboundError::TimedOut.into()));
        assert_eq!(given, [15, 11, 7, 3].map(Duration::from_secs));
        assert_eq!(since.elapsed(), Duration::from_secs(15));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_at_the_end_of_the_road_is_in_time() {
        let (followed, given) = asked(3, Duration::from_secs(3)).await;
        let followed = followed.unwrap();
        assert_eq!((followed.url.as_str(), given.len()), ("https://shop.example.com/3", 4));
        assert!(!followed.fields_lost);
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_is_over_asks_nobody_any_more() {
        let tries = RefCell::new(0);
        let followed = follow(request(), Unreached::Again, |_| {
            *tries.borrow_mut() += 1;
            async {
                sleep(Duration::from_secs(15)).await;
                Err(OutboundError::NotReached("refused".to_owned()))
            }
        })
        .await;
        assert_eq!(followed.unwrap_err(), OutboundError::TimedOut.into());
        assert_eq!(tries.into_inner(), 1);
    }
}
