use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::*;
use crate::http::TargetPolicy;
use crate::http::test_server::{Seen, TestServer, with_header};
use crate::signature::{self, sign};

fn token() -> Secret {
    Secret::new("12345".into())
}

fn application(policy: TargetPolicy) -> Application {
    Application::new(Arc::new(Outbound::new(policy).unwrap()), token())
}

fn form() -> Form {
    let mut form = Form::new();
    form.set("Result", "success");
    form.set("CallSid", "CA1");
    form.set("Digits", Secret::new("12 & ü".into()));
    form
}

fn request(method: Method, url: String) -> CallbackRequest {
    CallbackRequest { kind: CallbackKind::Action, method, url, form: form() }
}

async fn asked(method: Method, url: String) -> Result<FetchedDocument, FetchError> {
    application(TargetPolicy::PublicHttpsAndLoopback).ask(&request(method, url)).await
}

/// The form as the application reads it.
fn received(seen: &Seen) -> Form {
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
    assert_eq!(document.body, "<Response/>");
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
        "/moved" => with_header(302, "location", "/paid", ""),
        "/binary" => (StatusCode::OK, vec![0xff, 0xfe, 0x00]).into_response(),
        "/empty" => StatusCode::NO_CONTENT.into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    })
    .await;
    assert_eq!(asked(Method::Post, server.url("/moved")).await, Err(FetchError::Status(302)));
    assert_eq!(asked(Method::Post, server.url("/binary")).await, Err(FetchError::NotText));
    assert_eq!(asked(Method::Post, server.url("/fault")).await, Err(FetchError::Status(500)));
    assert_eq!(asked(Method::Post, server.url("/empty")).await.unwrap().body, "");
    // What was answered is not asked again.
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_document_that_is_too_long_is_still_too_long_when_it_is_cut() {
    let server = TestServer::start(|_, _| "€".repeat(100_000).into_response()).await;
    let document = asked(Method::Post, server.url("/")).await.unwrap();
    assert!(
        document.body.len() > twiml::SIZE_MAX && document.body.len() <= DOCUMENT_BYTES_MAX,
        "{}",
        document.body.len()
    );
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
    let patience = Patience { first_wait: Duration::from_millis(1), ..Patience::default() };
    let application = Arc::new(application(TargetPolicy::PublicHttpsAndLoopback));
    let deliveries = Deliveries::new(application, patience);
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
async fn an_error_notice_has_its_three_fields() {
    let server = TestServer::answering(204, "").await;
    let application = Arc::new(application(TargetPolicy::PublicHttpsAndLoopback));
    let deliveries = Deliveries::new(application, Patience::default());
    deliveries.notice(&server.url("/faults"), "CA1", 64_002, "the gateway is silent");
    deliveries.drained(Duration::from_secs(60)).await.unwrap();
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!(seen.text(), "CallSid=CA1&ErrorCode=64002&ErrorMessage=the+gateway+is+silent");
    assert_eq!(seen.header(signature::HEADER), Some(&*sign(&token(), &server.url("/faults"), Some(&received(seen)))));
}
