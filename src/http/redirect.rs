//! Where an answer of 3xx sends a request on to.
//!
//! Shape:   [`RequestTrail::next`], pure: a request and its answer in, the next request out. Whoever sends it has it signed and its
//!          address checked anew, as [`super::Outbound::send`] does with every request.
//! Limits:  [`HOPS_MAX`].
//! Errors:  [`RedirectError`].
//! Secrets: credentials of a URL are repeated to the same scheme, host and port only; of a form that is not to be
//!          repeated only the standard parameters go on.
//! Sources: RFC 9110, section 15.4; the WHATWG's Fetch, "HTTP-redirect fetch". Twilio follows 301, 302, 303 and 307 "just
//!          like a normal web browser" (its errors 11215 and 11216).

use std::fmt;

use reqwest::Method;
use url::Url;

use super::outbound::target as sent_to;
use super::{OutboundRequest, OutboundResponse};
use crate::flow::STANDARD_PARAMETERS;
use crate::form::Form;

/// How many redirects of one request are followed. Twilio does not tell its own limit; this one is a common client's.
pub const HOPS_MAX: usize = 10;

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// A status that sends nobody anywhere (300, 304, 305, 306), or no usable `Location`.
    #[error(
        "the application answered with HTTP status {status}, which is no redirect: 301, 302, 303, 307 and 308 with a \
         Location of http or https are"
    )]
    Invalid {
        /// The status.
        status: u16,
    },
    /// A request that was made already.
    #[error("the application redirects in a loop")]
    Loop,
    /// Too many of them.
    #[error("the application redirects more than {HOPS_MAX} times")]
    TooMany,
}

/// The requests made so far.
#[derive(Default)]
pub struct RequestTrail {
    /// As they were sent: a GET's form is in its query, so this is shown to nobody.
    made: Vec<(Method, Url)>,
}

impl fmt::Debug for RequestTrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trail({} requests)", self.made.len())
    }
}

impl RequestTrail {
    /// The request that `response` asks for instead of `request`; none: it is an answer.
    ///
    /// 307 and 308 repeat a POST with its form. 301, 302 and 303 make it a GET, as browsers do, which still says what call
    /// it is about: it has the standard parameters in its query, those that the new URL has not itself. A GET goes on as
    /// such a GET.
    ///
    /// # Errors
    /// [`RedirectError`].
    pub fn next(
        &mut self,
        request: &OutboundRequest,
        response: &OutboundResponse,
    ) -> Result<Option<OutboundRequest>, RedirectError> {
        let status = response.status;
        let repeats = match status {
            301..=303 => false,
            307 | 308 => request.method == Method::POST,
            300..=399 => return Err(RedirectError::Invalid { status }),
            _ => return Ok(None),
        };
        let invalid = RedirectError::Invalid { status };
        let from = sent_to(request).map_err(|_| invalid)?;
        let location = response.location.as_deref().filter(|location| !location.trim().is_empty()).ok_or(invalid)?;
        let to = leads_to(&from, location).ok_or(invalid)?;
        let mut next = request.clone();
        if !repeats {
            (next.method, next.form) = (Method::GET, about_the_call(&request.form, &to));
        }
        next.url = to.into();
        self.made.push((request.method.clone(), from));
        // With the fields of a GET: the same address with others is no loop.
        let to = sent_to(&next).map_err(|_| invalid)?;
        if self.made.iter().any(|(method, url)| *method == next.method && *url == to) {
            return Err(RedirectError::Loop);
        }
        if self.made.len() > HOPS_MAX {
            return Err(RedirectError::TooMany);
        }
        Ok(Some(next))
    }
}

/// The standard parameters of a form, less what the verb gathered and what the query of `to` says itself.
fn about_the_call(form: &Form, to: &Url) -> Form {
    let mut standard = Form::new();
    for name in STANDARD_PARAMETERS {
        if to.query_pairs().all(|(known, _)| known != *name) {
            standard.set_some(*name, form.value(name).cloned());
        }
    }
    standard
}

fn leads_to(from: &Url, location: &str) -> Option<Url> {
    let mut to = from.join(location).ok()?;
    if !matches!(to.scheme(), "http" | "https") || !to.has_host() {
        return None;
    }
    to.set_fragment(None);
    let same_origin = from.origin() == to.origin();
    if same_origin && to.username().is_empty() && to.password().is_none() {
        // They fail for URLs without a host only.
        let _has_a_host = (to.set_username(from.username()), to.set_password(from.password()));
    }
    Some(to)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn request(method: Method, url: &str) -> OutboundRequest {
        let mut form = Form::new();
        form.set("CallSid", "CA1");
        form.set("Digits", "1234");
        OutboundRequest {
            method,
            url: url.to_owned(),
            form,
            auth_token: None,
            idempotency_token: None,
            cookies: crate::http::Jar::default(),
            timeout: Duration::from_secs(15),
            body_limit: 100,
        }
    }

    fn response(status: u16, location: Option<&str>) -> OutboundResponse {
        let location = location.map(str::to_owned);
        OutboundResponse { status, content_type: None, location, retry_after: None, body: Bytes::new(), cut: false }
    }

    fn followed(method: Method, url: &str, status: u16, location: &str) -> Result<OutboundRequest, RedirectError> {
        let next = RequestTrail::default().next(&request(method, url), &response(status, Some(location)));
        next.map(|next| next.expect("a redirect"))
    }

    #[test]
    fn a_post_is_repeated_with_its_form_or_becomes_a_get_about_the_same_call() {
        let (whole, standard) = ("CallSid=CA1 Digits=1234", "CallSid=CA1");
        for (method, status, becomes, fields) in [
            (Method::POST, 301, Method::GET, standard),
            (Method::POST, 302, Method::GET, standard),
            (Method::POST, 303, Method::GET, standard),
            (Method::POST, 307, Method::POST, whole),
            (Method::POST, 308, Method::POST, whole),
            (Method::GET, 301, Method::GET, standard),
            (Method::GET, 307, Method::GET, standard),
        ] {
            let next = followed(method.clone(), "https://a.example/x", status, "/y?z=1").unwrap();
            assert_eq!((next.method, &*next.form.shown()), (becomes, fields), "{method} {status}");
            assert_eq!(next.url, "https://a.example/y?z=1");
        }
    }

    #[test]
    fn every_standard_parameter_goes_on_over_several_redirects_and_nothing_else_does() {
        let mut first = request(Method::POST, "https://a.example/x");
        for name in STANDARD_PARAMETERS.iter().chain(&["PaymentToken", "SpeechResult"]) {
            first.form.set(*name, format!("the {name}"));
        }
        let mut trail = RequestTrail::default();
        let second = trail.next(&first, &response(302, Some("/y?From=me"))).unwrap().unwrap();
        let third = trail.next(&second, &response(301, Some("/z"))).unwrap().unwrap();
        let names = |request: &OutboundRequest| {
            let query = sent_to(request).unwrap();
            query.query_pairs().map(|(name, _)| name.into_owned()).collect::<Vec<_>>()
        };
        let mut expected = STANDARD_PARAMETERS.to_vec();
        expected.retain(|name| *name != "From");
        assert_eq!(names(&third), expected);
        // What the new address says itself is not said again.
        expected.insert(0, "From");
        assert_eq!(names(&second), expected);
    }

    #[test]
    fn what_is_no_redirect_is_an_answer_or_a_fault() {
        let first = request(Method::POST, "https://a.example/x");
        for status in [200, 204, 404, 500] {
            assert!(RequestTrail::default().next(&first, &response(status, Some("/y"))).unwrap().is_none(), "{status}");
        }
        for (status, location) in [
            (300, Some("/y")),
            (304, None),
            (305, Some("https://proxy.example/")),
            (302, None),
            (302, Some("")),
            (302, Some("file:///etc/passwd")),
            (302, Some("https://")),
            (302, Some("javascript:alert(1)")),
        ] {
            let refused = RequestTrail::default().next(&first, &response(status, location));
            assert_eq!(refused.unwrap_err(), RedirectError::Invalid { status }, "{status} {location:?}");
        }
    }

    #[test]
    fn credentials_go_to_the_same_server_and_to_no_other() {
        let url = "https://user:pass@a.example/x";
        for (location, leads) in [
            ("y", "https://user:pass@a.example/y"),
            ("https://a.example/y#f", "https://user:pass@a.example/y"),
            ("https://a.example:443/y", "https://user:pass@a.example/y"),
            ("https://other:word@a.example/y", "https://other:word@a.example/y"),
            ("https://b.example/y", "https://b.example/y"),
            ("//b.example/y", "https://b.example/y"),
            ("https://a.example:8443/y", "https://a.example:8443/y"),
            ("http://a.example/y", "http://a.example/y"),
            ("https://a.example.b.example/y", "https://a.example.b.example/y"),
        ] {
            assert_eq!(followed(Method::POST, url, 307, location).unwrap().url, leads, "{location}");
        }
    }

    #[test]
    fn a_loop_is_cut_and_so_is_a_road_without_end() {
        let mut trail = RequestTrail::default();
        let first = request(Method::POST, "https://a.example/x");
        // The same address by GET is another request.
        let second = trail.next(&first, &response(303, Some("/x"))).unwrap().unwrap();
        assert_eq!(trail.next(&second, &response(302, Some("/x#again"))).unwrap_err(), RedirectError::Loop);
        // And so is one without what was gathered, which the first one had in its query.
        let mut trail = RequestTrail::default();
        let second =
            trail.next(&request(Method::GET, "https://a.example/x"), &response(302, Some("/x"))).unwrap().unwrap();
        assert_eq!(second.url, "https://a.example/x");
        assert_eq!(trail.next(&second, &response(302, Some("/x"))).unwrap_err(), RedirectError::Loop);
        let mut trail = RequestTrail::default();
        let mut next = first;
        for hop in 1..=HOPS_MAX {
            next = trail.next(&next, &response(307, Some(&format!("/{hop}")))).unwrap().unwrap();
        }
        assert_eq!(trail.next(&next, &response(307, Some("/on"))).unwrap_err(), RedirectError::TooMany);
    }
}
