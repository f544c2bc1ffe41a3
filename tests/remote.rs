//! Calls over a real socket whose documents are the merchant's: named by the stream, fetched, redirected, refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

mod support;

use support::{ACCOUNT, Arrived, Somebody, TOKEN, TestServer, is_signed};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use touchtone::secret::Secret;

const SILENT: &str = "[speech]\nengine = \"none\"";

/// A server that takes documents of `somebody` below `/ivr/` and tells it of errors.
async fn server(somebody: &Somebody) -> TestServer {
    let toml =
        format!("flow_urls = [\"{}\"]\nerror_url = \"{}\"\n{SILENT}", somebody.url("/ivr/"), somebody.url("/errors"));
    TestServer::start(&[], &toml).await
}

/// An application by its answers to each path, without its query.
async fn application(answers: &'static [(&'static str, u16, &'static str)]) -> Somebody {
    Somebody::start(move |arrived| {
        let path = path(arrived);
        let found = answers.iter().find(|(known, ..)| *known == path);
        found.map_or((200, String::new()), |(_, status, answer)| (*status, (*answer).to_owned()))
    })
    .await
}

fn path(arrived: &Arrived) -> &str {
    arrived.path.split('?').next().unwrap()
}

#[tokio::test]
async fn a_whole_payment_is_led_by_the_application() {
    let application = application(&[
        (
            "/ivr/start",
            200,
            "<Response><Pay chargeAmount=\"20.45\" postalCode=\"false\" securityCode=\"false\" action=\"paid\" statusCallback=\"/status\"/></Response>",
        ),
        // The application moved: an HTTP redirect, then one of TwiML.
        ("/ivr/paid", 307, "/shop/paid"),
        ("/shop/paid", 200, "<Response><Redirect>bye</Redirect></Response>"),
        ("/shop/bye", 200, "<Response><Say>Thank you.</Say><Hangup/></Response>"),
    ])
    .await;
    let server = server(&application).await;
    let start = application.url("/ivr/start?order=7");
    let mut caller = server.call_url(&start, &[("From", "+15551234567"), ("To", "+15557654321")]).await;
    caller.pay(&["4242424242424242", "1228"]).await;

    let bye = application.wait_for(|arrived| arrived.path == "/shop/bye").await;
    assert_eq!(bye.field("CallSid"), "CA1");
    let finished = |arrived: &Arrived| arrived.path == "/status" && arrived.field("Result") == "success";
    application.wait_for(finished).await;
    let all = application.arrived();
    let first = &all[0];
    assert_eq!(first.path, "/ivr/start?order=7");
    for (name, value) in [
        ("AccountSid", ACCOUNT),
        ("CallSid", "CA1"),
        ("From", "+15551234567"),
        ("To", "+15557654321"),
        ("CallStatus", "in-progress"),
        ("ApiVersion", "2010-04-01"),
        ("Direction", "inbound"),
    ] {
        assert_eq!(first.field(name), value, "{name}");
    }
    let asked: Vec<&str> = all.iter().map(path).filter(|path| *path != "/status").collect();
    assert_eq!(asked, ["/ivr/start", "/ivr/paid", "/shop/paid", "/shop/bye"]);
    let paid: Vec<&Arrived> = all.iter().filter(|arrived| path(arrived).ends_with("/paid")).collect();
    assert_eq!((paid[0].field("Result"), &paid[0].body), ("success".to_owned(), &paid[1].body));
    assert!(all.iter().filter(|arrived| arrived.path == "/status").count() >= 6);
    for arrived in &all {
        assert!(is_signed(&application, arrived), "{}", arrived.path);
    }
    assert!(!all.iter().any(|arrived| arrived.path == "/errors"));
}

#[tokio::test]
async fn a_url_that_no_entry_allows_is_apologized_for_and_nothing_is_fetched() {
    let application = application(&[]).await;
    let server = server(&application).await;
    for url in [
        application.url("/other/start"),
        application.url("/ivr/../other/start"),
        application.url("/ivr/%2e%2e%2fother/start"),
        application.url("/ivr/start").replace("127.0.0.1", "localhost"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let before = application.arrived().len();
        let mut caller = server.call_url(&url, &[]).await;
        caller.hear_out().await;
        assert_eq!(caller.turns.len(), 1, "the apology: {url}");
        application.wait_for(|_| application.arrived().len() > before).await;
        let told = application.arrived().pop().unwrap();
        assert_eq!((told.path.as_str(), told.field("ErrorCode").as_str()), ("/errors", "11200"), "{url}");
        let why = told.field("ErrorMessage");
        assert!(["flow_urls", "allow_http_callbacks", "only https"].iter().any(|word| why.contains(word)), "{why}");
    }
    assert!(application.arrived().iter().all(|arrived| arrived.path == "/errors"));
}

#[tokio::test]
async fn a_document_that_redirects_to_an_internal_host_is_not_fetched_from_there() {
    let application = application(&[("/ivr/start", 302, "http://10.0.0.1/admin")]).await;
    let server = server(&application).await;
    let mut caller = server.call_url(&application.url("/ivr/start"), &[]).await;
    caller.hear_out().await;
    assert_eq!(caller.turns.len(), 1, "the apology");
    let told = application.wait_for(|arrived| arrived.path == "/errors").await;
    let why = told.field("ErrorMessage");
    assert!(why.contains("redirected to http://10.0.0.1/admin") && why.contains("not a public one"), "{why}");
}

#[tokio::test]
async fn a_document_of_another_type_is_told_with_twilio_s_code() {
    let application = application(&[("/ivr/start", 200, "{\"say\": \"hello\"}")]).await;
    let server = server(&application).await;
    let mut caller = server.call_url(&application.url("/ivr/start"), &[]).await;
    caller.hear_out().await;
    let told = application.wait_for(|arrived| arrived.path == "/errors").await;
    assert_eq!(told.field("ErrorCode"), "12300");
    assert!(told.field("ErrorMessage").contains("application/json"), "{}", told.field("ErrorMessage"));
}

#[tokio::test]
async fn a_stream_that_names_no_document_is_refused_with_a_reason() {
    let server = TestServer::start(&[("pay", "<Response/>")], SILENT).await;
    for parameters in [&[][..], &[("url", " ")], &[("flow", "pay")]] {
        let mut caller = support::Caller::dial_path(server.address, "/media/twilio", "CA1", parameters).await;
        let (code, reason) = caller.close_reason().await.unwrap();
        assert_eq!(code, 1008);
        assert!(reason.contains("no custom parameter named url"), "{reason}");
    }
}

#[tokio::test]
async fn a_stream_for_a_url_is_let_in_as_one_for_a_flow() {
    let toml =
        format!("public_url = \"https://pay.example.com\"\n[media]\nrequire_signature = true\nmax_calls = 1\n{SILENT}");
    let server = TestServer::start(&[], &toml).await;
    let dial = |signed: Option<&str>, path: &str| {
        let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
        if let Some(signed) = signed {
            let signature = touchtone::signature::sign(&Secret::new(TOKEN.to_owned()), signed, None);
            request.headers_mut().insert("X-Twilio-Signature", signature.parse().unwrap());
        }
        tokio_tungstenite::connect_async(request)
    };
    let status = |result: &Result<_, Error>| match result {
        Err(Error::Http(response)) => response.status().as_u16(),
        Ok(_) => 101,
        Err(other) => panic!("{other}"),
    };
    let right = Some("wss://pay.example.com/media/twilio");
    assert_eq!(status(&dial(None, "/media/twilio").await), 403);
    assert_eq!(status(&dial(Some("wss://pay.example.com/media/twilio/pay"), "/media/twilio").await), 403);
    assert_eq!(status(&dial(right, "/media/morse").await), 404);
    let first = dial(right, "/media/twilio").await;
    assert_eq!(status(&first), 101);
    assert_eq!(status(&dial(right, "/media/twilio").await), 503, "max_calls");
}
