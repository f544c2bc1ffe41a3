use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::*;
use crate::form::Form;
use crate::http::address::Reach;
use crate::http::test_server::{SeenRequest, TestServer, with_header};
use crate::http::{Jar, TargetPolicy};
use crate::signature::{self, sign};
use crate::store::Store;

fn token() -> Secret {
    Secret::new("12345".into())
}

fn application(policy: TargetPolicy) -> Application {
    Application::new(Arc::new(Outbound::new(policy).unwrap()), token(), Rng::System)
}

fn form() -> Form {
    let mut form = Form::new();
    form.set("Result", "success");
    form.set("CallSid", "CA1");
    form.set("Digits", Secret::new("12 & ü".into()));
    form
}

fn request(method: Method, url: String) -> CallbackRequest {
    CallbackRequest { kind: CallbackKind::Action, method, url, form: form(), cookies: Jar::default() }
}

async fn asked(method: Method, url: String) -> Result<FetchedDocument, FetchError> {
    application(TargetPolicy::PublicHttpsAndLoopback).ask(&request(method, url)).await
}

/// What a call would go on with.
async fn next_document(url: String) -> Result<NextDocument, FetchFailure> {
    let parsed = Url::parse(&url).unwrap();
    asked(Method::Post, url).await.map_err(|error| error.failure(&parsed)).and_then(FetchedDocument::read)
}

/// The form as the application reads it.
fn received(seen: &SeenRequest) -> Form {
    let mut form = Form::new();
    for (name, value) in form_urlencoded::parse(&seen.body) {
        form.set(name.into_owned(), value.into_owned());
    }
    form
}

#[tokio::test]
async fn a_post_carries_the_fields_in_its_body_and_a_signature_over_them() {
    let server = TestServer::answering(200, "<Response/>").await;
    let url = server.url("/paid?order=7");
    let document = asked(Method::Post, url.clone() + "#rc=2").await.unwrap();
    assert_eq!(&document.body[..], b"<Response/>");
    assert_eq!(document.url.as_str(), url);
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!((seen.method.as_str(), &*seen.target), ("POST", "/paid?order=7"));
    assert_eq!(seen.text(), "Result=success&CallSid=CA1&Digits=12+%26+%C3%BC");
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(seen.header(signature::HEADER), Some(&*sign(&token(), &url, Some(&received(seen)))));
    assert_eq!(seen.header("user-agent"), Some(crate::http::USER_AGENT));
    assert!(seen.header("i-twilio-idempotency-token").is_some_and(|token| Uuid::parse_str(token).is_ok()));
}

#[tokio::test]
async fn a_get_carries_the_fields_in_its_query_and_a_signature_over_the_url_alone() {
    let server = TestServer::answering(200, "<Response/>").await;
    asked(Method::Get, server.url("/paid?order=7")).await.unwrap();
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!(seen.target, "/paid?order=7&Result=success&CallSid=CA1&Digits=12+%26+%C3%BC");
    assert_eq!((seen.method.as_str(), seen.text()), ("GET", ""));
    assert_eq!(seen.header(signature::HEADER), Some(&*sign(&token(), &server.url(&seen.target), None)));
}

#[tokio::test]
async fn credentials_of_the_url_go_into_a_header_and_not_into_the_signature() {
    let server = TestServer::answering(200, "<Response/>").await;
    let with_credentials = server.url("/paid").replace("http://", "http://shop:pass%20word@");
    asked(Method::Post, with_credentials).await.unwrap();
    let [seen] = &server.seen()[..] else { panic!("one request") };
    // base64 of "shop:pass word"
    assert_eq!(seen.header("authorization"), Some("Basic c2hvcDpwYXNzIHdvcmQ="));
    assert_eq!(seen.header(signature::HEADER), Some(&*sign(&token(), &server.url("/paid"), Some(&form()))));
}

#[tokio::test]
async fn an_answer_that_is_no_document_is_told_as_what_it_is() {
    let server = TestServer::start(|seen, _| match seen.target.as_str() {
        "/binary" => with_header(200, "content-type", "text/xml", vec![b'<', 0xff, 0xfe]),
        "/json" => with_header(200, "content-type", "application/json", "{}"),
        "/empty" => StatusCode::NO_CONTENT.into_response(),
        "/nothing" => with_header(200, "content-type", "application/json", ""),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    })
    .await;
    for (path, code, words) in
        [("/binary", 12100, "UTF-8"), ("/json", 12300, "application/json"), ("/fault", 11200, "HTTP status 500")]
    {
        let failure = next_document(server.url(path)).await.unwrap_err();
        assert!(failure.code == code && failure.message.contains(words), "{path}: {failure:?}");
    }
    for path in ["/empty", "/nothing"] {
        assert_eq!(next_document(server.url(path)).await.unwrap().document, twiml::Document::default(), "{path}");
    }
    // What was answered is not asked again.
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn a_document_that_is_too_long_is_still_too_long_when_it_is_cut() {
    let server = TestServer::start(|_, _| "€".repeat(100_000).into_response()).await;
    let document = asked(Method::Post, server.url("/")).await.unwrap();
    let read = document.body.len();
    assert!(document.cut && read > twiml::SIZE_MAX && read <= DOCUMENT_BYTES_MAX, "{read}");
    let failure = document.read().unwrap_err();
    assert!(failure.code == 12100 && failure.message.contains("longer than 65536 bytes"), "{failure:?}");
}

#[tokio::test]
async fn a_redirect_is_followed_signed_anew_and_where_it_ends_is_where_the_document_is_from() {
    let server = TestServer::start(|seen, _| match seen.target.as_str() {
        "/a/first?x=1" => with_header(307, "location", "../b/second?y=2", ""),
        "/b/second?y=2" => with_header(303, "location", "third?z=3", ""),
        _ => with_header(200, "content-type", "text/xml", "<Response/>"),
    })
    .await;
    let document = asked(Method::Post, server.url("/a/first?x=1#rc=2")).await.unwrap();
    assert_eq!(document.url.as_str(), server.url("/b/third?z=3"));
    let [first, second, third] = &server.seen()[..] else { panic!("three requests") };
    assert_eq!((first.method.as_str(), second.method.as_str(), third.method.as_str()), ("POST", "POST", "GET"));
    assert_eq!((second.text(), third.text(), &*third.target), (first.text(), "", "/b/third?z=3&CallSid=CA1"));
    for seen in [first, second, third] {
        let form = (seen.method == "POST").then(|| received(seen));
        let expected = sign(&token(), &server.url(&seen.target), form.as_ref());
        assert_eq!(seen.header(signature::HEADER), Some(&*expected), "{}", seen.target);
        assert_eq!(seen.header("i-twilio-idempotency-token"), first.header("i-twilio-idempotency-token"));
    }
}

#[tokio::test]
async fn a_loop_of_redirects_and_one_that_leads_nowhere_are_told_with_twilio_s_codes() {
    let server = TestServer::start(|seen, before| match seen.target.as_str() {
        "/loop" => with_header(307, "location", "/pool", ""),
        "/pool" => with_header(307, "location", "/loop", ""),
        "/nowhere" => StatusCode::FOUND.into_response(),
        "/choice" => with_header(300, "location", "/paid", ""),
        "/fault" => with_header(302, "location", "/broken", ""),
        "/broken?CallSid=CA1" => StatusCode::BAD_GATEWAY.into_response(),
        _ => with_header(307, "location", format!("/{before}"), ""),
    })
    .await;
    for (path, code, words) in [
        ("/loop", 11215, "in a loop"),
        ("/on", 11215, "more than 10 times"),
        ("/nowhere", 11216, "HTTP status 302"),
        ("/choice", 11216, "HTTP status 300"),
        ("/fault", 11200, "/broken: the application answered with HTTP status 502"),
    ] {
        let failure = next_document(server.url(path)).await.unwrap_err();
        assert!(failure.code == code && failure.message.contains(words), "{path}: {failure:?}");
    }
    assert_eq!(server.seen().len(), 2 + 11 + 1 + 1 + 2);
}

#[tokio::test]
async fn a_redirect_goes_only_where_a_first_request_may_go() {
    let inner = TestServer::answering(200, "<Response/>").await;
    for (location, error) in [
        // Somebody's own network, and where clouds keep their credentials.
        ("http://10.0.0.1/admin".to_owned(), OutboundError::AddressNotAllowed),
        ("https://192.168.0.1/admin".to_owned(), OutboundError::AddressNotAllowed),
        ("http://169.254.169.254/latest/meta-data".to_owned(), OutboundError::AddressNotAllowed),
        ("http://[::ffff:a00:1]/admin".to_owned(), OutboundError::AddressNotAllowed),
        // Plain http to the internet.
        ("http://1.1.1.1/paid".to_owned(), OutboundError::PlainHttp),
    ] {
        let to = location.clone();
        let server = TestServer::start(move |_, _| with_header(307, "location", to.clone(), "")).await;
        let refused = asked(Method::Post, server.url("/paid")).await.unwrap_err();
        let FetchError::Redirected { to, error: why } = refused else { panic!("{location}: {refused}") };
        assert_eq!((&to, *why), (&location, FetchError::NotFetched(error)));
    }
    // Another server that may be asked is.
    let location = inner.url("/paid");
    let server = TestServer::start(move |_, _| with_header(302, "location", location.clone(), "")).await;
    let document = asked(Method::Post, server.url("/paid")).await.unwrap();
    assert_eq!(document.url.as_str(), inner.url("/paid"));
}

#[tokio::test]
async fn a_redirect_to_a_name_is_refused_when_the_name_leads_to_an_address_that_may_not_be_reached() {
    let inner = TestServer::answering(200, "<Response/>").await;
    let location = format!("http://localhost:{}/admin", inner.address.port());
    let to = location.clone();
    let server = TestServer::start(move |_, _| with_header(307, "location", to.clone(), "")).await;
    // As if the name led to the address of an internal host: nothing that a name leads to may be reached.
    let outbound = Outbound::with_names_reaching(TargetPolicy::PublicHttpsAndLoopback, Reach::PUBLIC).unwrap();
    let application = Application::new(Arc::new(outbound), token(), Rng::System);
    let refused = application.ask(&request(Method::Post, server.url("/paid"))).await.unwrap_err();
    let why = FetchError::NotFetched(OutboundError::AddressNotAllowed);
    assert_eq!(refused, FetchError::Redirected { to: location, error: Box::new(why) });
    assert_eq!((server.seen().len(), inner.seen().len()), (1, 0));
}

#[tokio::test]
async fn credentials_of_the_url_stay_with_the_server_they_are_for() {
    let other = TestServer::answering(200, "<Response/>").await;
    let location = other.url("/paid");
    let server = TestServer::start(move |seen, _| match seen.target.as_str() {
        "/first" => with_header(307, "location", "/second", ""),
        _ => with_header(307, "location", location.clone(), ""),
    })
    .await;
    asked(Method::Post, server.url("/first").replace("http://", "http://shop:word@")).await.unwrap();
    // base64 of "shop:word"
    assert!(server.seen().iter().all(|seen| seen.header("authorization") == Some("Basic c2hvcDp3b3Jk")));
    assert_eq!((server.seen().len(), other.seen()[0].header("authorization")), (2, None));
}

#[tokio::test]
async fn a_callback_follows_redirects_and_gives_up_where_they_lead_nowhere() {
    let server = TestServer::start(|seen, _| match seen.target.as_str() {
        "/status" => with_header(308, "location", "/new-status", ""),
        lost if lost.starts_with("/lost") => with_header(302, "location", "/lost", ""),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
    .await;
    let application = application(TargetPolicy::PublicHttpsAndLoopback);
    let deliver = |path: &str| {
        let request = CallbackRequest { kind: CallbackKind::Status, ..request(Method::Post, server.url(path)) };
        let application = application.clone();
        async move { delivery::CallbackTransport::deliver(&application, &request, Uuid::new_v4()).await }
    };
    assert_eq!(deliver("/status").await, delivery::Tried::Answered(204));
    let seen = server.seen();
    assert_eq!((seen[1].target.as_str(), seen[1].text()), ("/new-status", seen[0].text()));
    assert!(matches!(deliver("/lost").await, delivery::Tried::Hopeless(why) if why.contains("loop")));
}

#[tokio::test]
async fn an_application_that_is_not_there_is_asked_twice_and_one_that_is_not_allowed_never() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let nobody = format!("http://{}/", TestServer::nobody().await);
    let answer = asked(Method::Post, nobody).await;
    assert!(matches!(answer, Err(FetchError::NotFetched(OutboundError::NotReached(_)))), "{answer:?}");
    let server = TestServer::answering(200, "<Response/>").await;
    let public = application(TargetPolicy::PublicHttps);
    let answer = public.ask(&request(Method::Post, server.url("/"))).await;
    assert_eq!(answer, Err(FetchError::NotFetched(OutboundError::PlainHttp)));
    assert!(server.seen().is_empty());
    let shown = recorder.handle().render();
    for (outcome, count) in [("not_reached", 2), ("not_allowed", 1)] {
        let line = format!("touchtone_callback_seconds_count{{kind=\"action\",outcome=\"{outcome}\"}} {count}");
        assert!(shown.contains(&line), "{shown}");
    }
}

#[tokio::test]
async fn callbacks_arrive_in_order_and_a_retry_is_the_same_request() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = TestServer::start(|_, before| match before {
        0 | 1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        2 => StatusCode::GONE.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
    .await;
    let policy = RetryPolicy { first_wait: Duration::from_millis(1), ..RetryPolicy::default() };
    let application = Arc::new(application(TargetPolicy::PublicHttpsAndLoopback));
    let deliveries = Deliveries::new(application, Store::in_memory().unwrap(), policy, Clocks::default());
    let queue = deliveries.queue("CA1");
    for target in ["/first", "/second", "/third"] {
        queue.send(CallbackRequest { kind: CallbackKind::Status, ..request(Method::Post, server.url(target)) });
    }
    deliveries.drained(Duration::from_secs(60)).await.unwrap();
    let seen = server.seen();
    let targets: Vec<&str> = seen.iter().map(|seen| &*seen.target).collect();
    assert_eq!(targets, ["/first", "/first", "/first", "/second", "/third"]);
    for header in [signature::HEADER, "i-twilio-idempotency-token"] {
        assert_eq!(seen[0].header(header), seen[2].header(header));
        assert_ne!(seen[2].header(header), seen[3].header(header));
    }
    assert_eq!(seen[0].body, seen[2].body);
    let shown = recorder.handle().render();
    for (outcome, count) in [("failed", 2), ("rejected", 1), ("answered", 2)] {
        let line = format!("touchtone_callback_seconds_count{{kind=\"status\",outcome=\"{outcome}\"}} {count}");
        assert!(shown.contains(&line), "{shown}");
    }
}

#[tokio::test]
async fn what_an_application_says_of_the_next_try_is_heeded() {
    let server = TestServer::start(|seen, _| {
        let dated = |after: &'static str| {
            let mut answer = with_header(429, "retry-after", after, "");
            answer.headers_mut().insert("date", "Sun, 22 Nov 2026 10:00:00 GMT".parse().unwrap());
            answer
        };
        match seen.target.as_str() {
            "/seconds" => with_header(503, "retry-after", "7", ""),
            "/date" => dated("Sun, 22 Nov 2026 10:00:30 GMT"),
            "/past" => dated("Sun, 22 Nov 2026 09:00:00 GMT"),
            "/timeout" => StatusCode::REQUEST_TIMEOUT.into_response(),
            "/early" => StatusCode::TOO_EARLY.into_response(),
            "/moved" => with_header(307, "location", "/seconds", ""),
            "/moved-away" => with_header(307, "location", "/gone", ""),
            _ => StatusCode::GONE.into_response(),
        }
    })
    .await;
    let application = application(TargetPolicy::PublicHttpsAndLoopback);
    let told = async |path: &str| {
        let asked = request(Method::Post, server.url(path));
        let delivered = delivery::CallbackTransport::deliver(&application, &asked, Uuid::new_v4()).await;
        // The same, where a caller waits for the answer.
        [delivered, tried(&application.ask(&asked).await)]
    };
    for (path, seconds) in [
        ("/seconds", Some(7)),
        ("/date", Some(30)),
        ("/past", Some(0)),
        ("/timeout", None),
        ("/early", None),
        ("/moved", Some(7)),
    ] {
        for told in told(path).await {
            let Tried::Again { retry_after, .. } = told else { panic!("{path}: {told:?}") };
            assert_eq!(retry_after, seconds.map(Duration::from_secs), "{path}");
        }
    }
    for path in ["/gone", "/moved-away"] {
        for told in told(path).await {
            assert!(matches!(&told, Tried::Hopeless(why) if why.contains("HTTP status 410")), "{path}: {told:?}");
        }
    }
}

#[tokio::test]
async fn an_error_notice_has_its_three_fields() {
    let server = TestServer::answering(204, "").await;
    let application = Arc::new(application(TargetPolicy::PublicHttpsAndLoopback));
    let deliveries =
        Deliveries::new(application, Store::in_memory().unwrap(), RetryPolicy::default(), Clocks::default());
    deliveries.notice(&server.url("/faults"), "CA1", 64_002, "the gateway is silent");
    deliveries.drained(Duration::from_secs(60)).await.unwrap();
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!(seen.text(), "CallSid=CA1&ErrorCode=64002&ErrorMessage=the+gateway+is+silent");
    assert_eq!(seen.header(signature::HEADER), Some(&*sign(&token(), &server.url("/faults"), Some(&received(seen)))));
}

fn md5(text: &str) -> String {
    use md5::{Digest, Md5};
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(text: &str) -> String {
    ring::digest::digest(&ring::digest::SHA256, text.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether a request answers the challenge of [`digest_challenge`] as RFC 7616 wants it.
fn is_authorized(seen: &SeenRequest, hash: fn(&str) -> String) -> bool {
    let Some(given) = seen.header("authorization").and_then(|given| given.strip_prefix("Digest ")) else {
        return false;
    };
    let field = |name: &str| {
        let field = given.split(", ").find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        field.unwrap_or_default().trim_matches('"').to_owned()
    };
    let (nonce, count, client) = (field("nonce"), field("nc"), field("cnonce"));
    let who = hash("shop:payments:pass word");
    let what = hash(&format!("{}:{}", seen.method, seen.target));
    let expected = hash(&format!("{who}:{nonce}:{count}:{client}:auth:{what}"));
    (field("username"), field("uri"), nonce.as_str(), field("response"))
        == ("shop".to_owned(), seen.target.clone(), "n0nce", expected)
}

fn digest_challenge(algorithm: &str) -> axum::response::Response {
    let challenge =
        format!("Digest realm=\"payments\", qop=\"auth, auth-int\", nonce=\"n0nce\", algorithm={algorithm}");
    with_header(401, "www-authenticate", challenge, "")
}

#[tokio::test]
async fn credentials_of_the_url_answer_a_digest_challenge_for_documents_and_callbacks() {
    let server = TestServer::start(|seen, _| {
        let (algorithm, hash): (_, fn(&str) -> String) =
            if seen.target.starts_with("/md5") { ("MD5", md5) } else { ("SHA-256", sha256) };
        if is_authorized(seen, hash) {
            with_header(200, "content-type", "text/xml", "<Response/>")
        } else {
            digest_challenge(algorithm)
        }
    })
    .await;
    let with_credentials = |path: &str| server.url(path).replace("http://", "http://shop:pass%20word@");
    let application = application(TargetPolicy::PublicHttpsAndLoopback);
    for path in ["/md5/status?order=7", "/sha/status?order=7"] {
        for method in [Method::Post, Method::Get] {
            let status = CallbackRequest { kind: CallbackKind::Status, ..request(method, with_credentials(path)) };
            let told = delivery::CallbackTransport::deliver(&application, &status, Uuid::new_v4()).await;
            assert_eq!(told, Tried::Answered(200), "{path} {method}");
            assert_eq!(application.ask(&status).await.unwrap().body, "<Response/>");
        }
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 16, "each is made once more");
    assert!(seen.chunks(2).all(|pair| pair[0].body == pair[1].body));
    assert_eq!(seen[0].header(signature::HEADER), seen[1].header(signature::HEADER));
    assert_eq!(seen[0].header("i-twilio-idempotency-token"), seen[1].header("i-twilio-idempotency-token"));
}

#[tokio::test]
async fn wrong_credentials_and_none_are_refused_once() {
    let server = TestServer::start(|_, _| digest_challenge("MD5")).await;
    let application = application(TargetPolicy::PublicHttpsAndLoopback);
    for (credentials, times) in [("", 1), ("shop:wrong@", 2)] {
        let before = server.seen().len();
        let url = server.url("/status").replace("http://", &format!("http://{credentials}"));
        let told =
            delivery::CallbackTransport::deliver(&application, &request(Method::Post, url), Uuid::new_v4()).await;
        assert_eq!(told, Tried::Hopeless("HTTP status 401".into()), "{credentials}");
        assert_eq!(server.seen().len() - before, times, "{credentials}");
    }
}

#[tokio::test]
async fn a_redirect_that_becomes_a_get_still_says_what_call_it_is_about() {
    let server = TestServer::start(|seen, _| match seen.target.as_str() {
        "/gathered" => with_header(302, "location", "/menu", ""),
        _ => with_header(200, "content-type", "text/xml", "<Response/>"),
    })
    .await;
    let mut asked = request(Method::Post, server.url("/gathered"));
    for (name, value) in [("From", "+15005550006"), ("To", "+15005550001")] {
        asked.form.set(name, value);
    }
    application(TargetPolicy::PublicHttpsAndLoopback).ask(&asked).await.unwrap();
    let last = server.seen().pop().unwrap();
    assert_eq!(last.target, "/menu?CallSid=CA1&From=%2B15005550006&To=%2B15005550001");
    assert_eq!(last.header(signature::HEADER), Some(&*sign(&token(), &server.url(&last.target), None)));
}

/// What an application with sessions does: the first request begins one.
fn with_sessions(seen: &SeenRequest) -> axum::response::Response {
    let path = seen.target.split('?').next().unwrap();
    match (path, seen.header("cookie")) {
        ("/first", None) => {
            let mut answer = with_header(302, "location", "/begun", "");
            answer.headers_mut().append("set-cookie", "sid=abc; HttpOnly".parse().unwrap());
            answer.headers_mut().append("set-cookie", "menu=1; Path=/menu".parse().unwrap());
            answer
        }
        (_, Some(cookies)) if cookies.contains("sid=abc") => {
            with_header(200, "content-type", "text/xml", "<Response/>")
        }
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

#[tokio::test]
async fn the_session_that_the_first_answer_begins_is_that_of_the_calls_redirects_actions_and_callbacks() {
    let server = TestServer::start(|seen, _| with_sessions(seen)).await;
    let application = Arc::new(application(TargetPolicy::PublicHttpsAndLoopback));
    let store = Store::in_memory().unwrap();
    let deliveries = Deliveries::new(Arc::clone(&application), store, RetryPolicy::default(), Clocks::default());
    let (call, another) = (deliveries.queue("CA1"), deliveries.queue("CA2"));
    let of = |queue: &CallbackQueue, path: &str| CallbackRequest {
        cookies: queue.cookies(),
        ..request(Method::Post, server.url(path))
    };
    application.ask(&of(&call, "/first")).await.unwrap();
    application.ask(&of(&call, "/menu/paid")).await.unwrap();
    call.send(CallbackRequest { kind: CallbackKind::Status, ..of(&call, "/status") });
    deliveries.drained(Duration::from_secs(60)).await.unwrap();
    let seen = server.seen();
    let sent: Vec<(&str, Option<&str>)> =
        seen.iter().map(|seen| (seen.target.as_str(), seen.header("cookie"))).collect();
    assert_eq!(
        sent,
        [
            ("/first", None),
            ("/begun?CallSid=CA1", Some("sid=abc")),
            ("/menu/paid", Some("menu=1; sid=abc")),
            ("/status", Some("sid=abc")),
        ]
    );
    // Another call is another caller.
    assert!(matches!(application.ask(&of(&another, "/paid")).await, Err(FetchError::Status { status: 403, .. })));
    // And another server is not told.
    let other = TestServer::answering(200, "<Response/>").await;
    let elsewhere = other.url("/paid").replace("127.0.0.1", "localhost");
    application.ask(&CallbackRequest { url: elsewhere, ..of(&call, "/paid") }).await.unwrap();
    assert_eq!(other.seen()[0].header("cookie"), None);
}

#[tokio::test]
async fn a_callback_that_is_delivered_from_the_store_later_carries_the_cookies_of_when_it_was_queued() {
    use crate::store::{CallbackFilter, CallbackState, NodeId, Seal, memory::Memory};

    let server = TestServer::start(|seen, _| with_sessions(seen)).await;
    let application = Arc::new(application(TargetPolicy::PublicHttpsAndLoopback));
    let memory = Arc::new(Memory::default());
    let store = || Store::new(Arc::<Memory>::clone(&memory), Seal::of_bytes(&[7; 32]).unwrap(), NodeId::random());
    let gone = store();
    let jar = Jar::default();
    application
        .ask(&CallbackRequest { cookies: jar.clone(), ..request(Method::Post, server.url("/first")) })
        .await
        .unwrap();
    let url = server.url("/status");
    let queued =
        CallbackRequest { kind: CallbackKind::Status, cookies: jar.snapshot(&url), ..request(Method::Post, url) };
    gone.queue("CA1", &queued, Uuid::new_v4(), WallClock::System.now()).await.unwrap();
    // Under the seal and nowhere else.
    let rows = gone.backend().callbacks(CallbackFilter { limit: 9, ..CallbackFilter::default() }).await.unwrap();
    assert!(rows.len() == 1 && !format!("{rows:?} {queued:?}").contains("abc"), "{rows:?}");
    let sealed = rows[0].sealed.clone().unwrap_or_default();
    assert!(!sealed.windows(3).any(|three| three == b"abc"));
    let heir = store();
    heir.register(None).await.unwrap();
    let claimed = heir.claim_callbacks(9).await.unwrap();
    let deliveries = Deliveries::new(application, heir, RetryPolicy::default(), Clocks::default());
    deliveries.adopt(claimed);
    deliveries.drained(Duration::from_secs(60)).await.unwrap();
    let last = server.seen().pop().unwrap();
    assert_eq!((last.target.as_str(), last.header("cookie")), ("/status", Some("sid=abc")));
    assert_eq!(deliveries.store.backend().count_callbacks(CallbackState::Delivered).await, Ok(1));
}
