//! Twilio's REST API over a real socket: who is let in, the list of calls, a call's record, and live calls that are sent
//! elsewhere or ended.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

mod support;

use std::collections::BTreeSet;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use support::{ACCOUNT, Caller, PATIENCE, Somebody, TOKEN, TestServer};
use tokio::time::{Instant, timeout};

const SILENT: &str = "[speech]\nengine = \"none\"";

/// A flow that keeps the caller.
const HOLD: (&str, &str) = ("hold", "<Response><Say>Please hold.</Say><Pause length=\"600\"/></Response>");

/// An answer of the API.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// Checks that it is an error as Twilio tells it, and gives its message.
    fn error(&self, status: u16, code: u64) -> String {
        let error = self.json();
        assert_eq!((self.status.as_u16(), error["code"].as_u64()), (status, Some(code)), "{error}");
        assert_eq!(error["status"], status);
        assert_eq!(error["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
        assert_eq!(self.headers["content-type"], "application/json");
        error["message"].as_str().unwrap().to_owned()
    }
}

/// Somebody who uses the API.
struct Client<'s> {
    server: &'s TestServer,
    http: reqwest::Client,
    credentials: Option<(String, String)>,
}

impl<'s> Client<'s> {
    fn new(server: &'s TestServer) -> Self {
        touchtone::http::install_crypto_provider();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { server, http, credentials: Some((ACCOUNT.to_owned(), TOKEN.to_owned())) }
    }

    fn known_as(server: &'s TestServer, credentials: Option<(&str, &str)>) -> Self {
        let credentials = credentials.map(|(sid, token)| (sid.to_owned(), token.to_owned()));
        Self { credentials, ..Self::new(server) }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.server.address));
        match &self.credentials {
            Some((sid, token)) => request.basic_auth(sid, Some(token)),
            None => request,
        }
    }

    async fn answer(request: reqwest::RequestBuilder) -> Answer {
        let response = timeout(PATIENCE, request.send()).await.expect("no answer").unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    async fn ask(&self, method: Method, path: &str) -> Answer {
        Self::answer(self.request(method, path)).await
    }

    async fn get(&self, resource: &str) -> Answer {
        self.ask(Method::GET, &account(resource)).await
    }

    async fn post(&self, resource: &str, fields: &[(&str, &str)]) -> Answer {
        let form: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.request(Method::POST, &account(resource));
        Self::answer(request.header("content-type", "application/x-www-form-urlencoded").body(form)).await
    }

    async fn sids(&self, query: &str) -> Vec<String> {
        sids(&self.get(&format!("Calls.json{query}")).await.json())
    }

    /// Waits until a call has ended, as its record tells.
    async fn ended(&self, sid: &str) -> Value {
        let since = Instant::now();
        loop {
            let call = self.get(&format!("Calls/{sid}.json")).await.json();
            if call["status"] == "completed" {
                return call;
            }
            assert!(since.elapsed() < PATIENCE, "{call}");
            tokio::task::yield_now().await;
        }
    }
}

fn account(resource: &str) -> String {
    format!("/2010-04-01/Accounts/{ACCOUNT}/{resource}")
}

fn sids(page: &Value) -> Vec<String> {
    page["calls"].as_array().unwrap().iter().map(|call| call["sid"].as_str().unwrap().to_owned()).collect()
}

async fn holding(server: &TestServer, sid: &str, parameters: &[(&str, &str)]) -> Caller {
    let mut caller = server.call_with("hold", sid, parameters).await;
    assert!(caller.hear().await);
    caller
}

#[tokio::test]
async fn only_the_account_is_let_in_and_only_to_itself() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let stranger = format!("AC{:032x}", 1);
    for credentials in [None, Some((ACCOUNT, "wrong")), Some((stranger.as_str(), TOKEN)), Some(("", ""))] {
        let client = Client::known_as(&server, credentials);
        for path in ["Calls.json", "Calls/CA1.json", "Nothing.json"] {
            let answer = client.get(path).await;
            assert_eq!(answer.error(401, 20003), "Authenticate");
            assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
        }
    }
    let client = Client::new(&server);
    assert_eq!(client.get("Calls.json").await.status, 200);
    let other = format!("/2010-04-01/Accounts/{stranger}/Calls.json");
    let message = client.ask(Method::GET, &other).await.error(404, 20404);
    assert_eq!(message, format!("The requested resource {other} was not found"));
}

#[tokio::test]
async fn a_call_is_told_while_it_lasts_and_after() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let client = Client::new(&server);
    let parameters =
        [("From", "+14155550100"), ("To", "+442071838750"), ("CallerName", "Ann"), ("order", "secret-4242")];
    let caller = holding(&server, "CA1", &parameters).await;
    let call = client.get("Calls/CA1.json").await.json();
    for (name, expected) in [
        ("sid", "CA1"),
        ("account_sid", ACCOUNT),
        ("api_version", "2010-04-01"),
        ("caller_name", "Ann"),
        ("direction", "inbound"),
        ("from", "+14155550100"),
        ("from_formatted", "(415) 555-0100"),
        ("queue_time", "0"),
        ("status", "in-progress"),
        ("to", "+442071838750"),
        ("to_formatted", "+442071838750"),
        ("uri", &account("Calls/CA1.json")),
    ] {
        assert_eq!(call[name], expected, "{name}");
    }
    assert_eq!(call["subresource_uris"]["payments"], account("Calls/CA1/Payments.json"));
    let nothing = [
        "annotation",
        "answered_by",
        "duration",
        "end_time",
        "forwarded_from",
        "group_sid",
        "parent_call_sid",
        "phone_number_sid",
        "price",
        "price_unit",
        "trunk_sid",
    ];
    for name in nothing {
        assert!(call.get(name).is_some_and(Value::is_null), "{name}: {call}");
    }
    for name in ["date_created", "date_updated", "start_time"] {
        let told = call[name].as_str().unwrap();
        assert!(told.ends_with(" +0000") && jiff::fmt::rfc2822::parse(told).is_ok(), "{told}");
    }
    caller.hang_up().await;
    let call = client.ended("CA1").await;
    assert!(call["duration"].as_str().unwrap().parse::<u32>().is_ok());
    assert!(jiff::fmt::rfc2822::parse(call["end_time"].as_str().unwrap()).is_ok());
    assert!(!client.get("Calls.json").await.text.contains("4242"), "parameters are nobody's business");
    assert_eq!(client.ask(Method::HEAD, &account("Calls/CA1.json")).await.status, 200);
}

#[tokio::test]
async fn a_call_that_there_is_not_is_not_found() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let client = Client::new(&server);
    for resource in
        ["Calls/CA1.json", "Calls/CA1", "Calls/.json", "Calls/%FF.json", "Calls.xml", "Calls", "Queues.json"]
    {
        let message = client.get(resource).await.error(404, 20404);
        assert_eq!(message, format!("The requested resource {} was not found", account(resource)));
    }
    client.post("Calls/CA1.json", &[("Status", "completed")]).await.error(404, 20404);
    client.ask(Method::DELETE, &account("Calls/CA1.json")).await.error(404, 20404);
    client.ask(Method::GET, "/2010-04-01").await.error(404, 20404);
    let elsewhere = client.ask(Method::GET, "/nothing").await;
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn the_list_leads_from_page_to_page_while_calls_come() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let client = Client::new(&server);
    let mut callers = Vec::new();
    for number in 1..=5 {
        callers.push(holding(&server, &format!("CA{number}"), &[("From", "+1555")]).await);
    }
    callers.remove(2).hang_up().await;
    client.ended("CA3").await;
    assert_eq!(client.sids("").await, ["CA5", "CA4", "CA3", "CA2", "CA1"]);
    assert_eq!(client.sids("?Status=completed").await, ["CA3"]);
    assert_eq!(client.sids("?Status=in-progress&From=%2B1555").await.len(), 4);
    assert!(client.sids("?To=%2B1555").await.is_empty());
    assert!(client.sids("?StartTime%3E=2100-01-01").await.is_empty());
    assert_eq!(client.sids("?StartTime%3E=2020-01-01T00:00:00Z&StartTime%3C=2100-01-01").await.len(), 5);
    let first = client.get("Calls.json?PageSize=2").await.json();
    assert_eq!(
        (sids(&first), &first["page_size"], &first["page"]),
        (vec!["CA5".into(), "CA4".into()], &2.into(), &0.into())
    );
    assert!(first["previous_page_uri"].is_null());
    callers.push(holding(&server, "CA6", &[]).await);
    let second = client.ask(Method::GET, first["next_page_uri"].as_str().unwrap()).await.json();
    assert_eq!(sids(&second), ["CA3", "CA2"]);
    let third = client.ask(Method::GET, second["next_page_uri"].as_str().unwrap()).await.json();
    assert_eq!(sids(&third), ["CA1"]);
    assert!(third["next_page_uri"].is_null());
    client.get("Calls.json?Status=done").await.error(400, 20001);
}

#[tokio::test]
async fn a_live_call_goes_on_with_another_document() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let client = Client::new(&server);
    let mut caller = holding(&server, "CA1", &[]).await;
    let twiml = "<Response><Say>Hello.</Say><Pause length=\"600\"/></Response>";
    let answer = client.post("Calls/CA1.json", &[("Twiml", twiml)]).await;
    assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (200, Some("in-progress")));
    assert!(caller.hear().await, "the new document speaks");
    let application = Somebody::application("<Response><Say>Goodbye.</Say></Response>").await;
    let url = application.url("/next?a=b");
    let answer = client.post("Calls/CA1.json", &[("Url", &url), ("Method", "GET")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let asked = application.wait_for(|arrived| arrived.path.starts_with("/next?a=b&")).await;
    assert!(asked.path.contains("CallSid=CA1") && asked.body.is_empty(), "{}", asked.path);
    caller.hear_out().await;
    client.ended("CA1").await;
}

#[tokio::test]
async fn a_live_call_is_ended() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let client = Client::new(&server);
    let mut caller = holding(&server, "CA1", &[]).await;
    let refused = client.post("Calls/CA1.json", &[("Status", "canceled")]).await;
    refused.error(400, 21220);
    let answer = client.post("Calls/CA1.json", &[("Status", "completed")]).await;
    assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (200, Some("completed")), "{}", answer.text);
    assert_eq!(caller.close_reason().await.map(|(code, _)| code), Some(1000));
    for fields in [[("Status", "completed")], [("Twiml", "<Response/>")], [("Url", "http://127.0.0.1:9/")]] {
        let message = client.post("Calls/CA1.json", &fields).await.error(400, 21220);
        assert!(message.starts_with("Call is not in-progress."), "{message}");
    }
}

#[tokio::test]
async fn an_update_that_cannot_be_done_changes_nothing() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let client = Client::new(&server);
    let mut caller = holding(&server, "CA1", &[]).await;
    for (fields, code) in [
        (vec![], 20001),
        (vec![("Twiml", "<Response>\n  <Say>")], 12100),
        (vec![("Twiml", "<Response/>"), ("Status", "completed")], 20001),
        (vec![("Url", "ftp://example.com/")], 21205),
        (vec![("Url", "https://example.com/"), ("FallbackUrl", "https://example.com/")], 20001),
        (vec![("Url", "https://example.com/"), ("StatusCallback", "https://example.com/")], 20001),
        (vec![("Status", "completed"), ("TimeLimit", "10")], 20001),
        (vec![("Status", "completed"), ("Nonsense", "1")], 20001),
    ] {
        let message = client.post("Calls/CA1.json", &fields).await.error(400, code);
        assert!(code != 12100 || message.contains("2:"), "the place: {message}");
        if let Some((name, _)) = fields.get(1).filter(|_| !message.starts_with("Exactly one")) {
            assert!(message.contains(name), "{message}");
        }
    }
    let call = account("Calls/CA1.json");
    let json = client.request(Method::POST, &call).header("content-type", "application/json").body("{}");
    Client::answer(json).await.error(415, 20415);
    let long = format!("Twiml={}", "%20".repeat(100_000));
    let form = client.request(Method::POST, &call).header("content-type", "application/x-www-form-urlencoded");
    Client::answer(form.body(long)).await.error(413, 20413);
    let answer = client.ask(Method::PUT, &call).await;
    answer.error(405, 20004);
    assert_eq!(methods(&answer), BTreeSet::from(["DELETE", "GET", "HEAD", "POST"].map(str::to_owned)));
    assert_eq!(client.get("Calls/CA1.json").await.json()["status"], "in-progress");
    client.post("Calls/CA1.json", &[("Twiml", "<Response><Say>Still here.</Say></Response>")]).await;
    assert!(caller.hear().await);
}

#[tokio::test]
async fn the_record_of_an_ended_call_can_be_deleted() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let client = Client::new(&server);
    let caller = holding(&server, "CA1", &[]).await;
    let call = account("Calls/CA1.json");
    client.ask(Method::DELETE, &call).await.error(409, 20009);
    caller.hang_up().await;
    client.ended("CA1").await;
    let answer = client.ask(Method::DELETE, &call).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    client.get("Calls/CA1.json").await.error(404, 20404);
}

/// The methods that an answer says a path has.
fn methods(answer: &Answer) -> BTreeSet<String> {
    answer.headers["allow"].to_str().unwrap().split(',').map(|method| method.trim().to_owned()).collect()
}

#[tokio::test]
async fn every_path_has_the_methods_that_its_description_says_and_no_other() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let client = Client::new(&server);
    let answer = Client::known_as(&server, None).ask(Method::GET, "/openapi.json").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let description = answer.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = description["paths"].as_object().unwrap();
    let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    let expected = [
        "/2010-04-01/Accounts/{AccountSid}/Calls.json",
        "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}.json",
        "/healthz",
        "/media/{dialect}/{flow}",
        "/metrics",
        "/openapi.json",
        "/readyz",
    ];
    assert_eq!(described, BTreeSet::from(expected));
    for (path, item) in paths {
        let path = path.replace("{AccountSid}", ACCOUNT).replace("{CallSid}", "CA1");
        let path = path.replace("{dialect}", "twilio").replace("{flow}", "hold");
        let answer = client.ask(Method::PATCH, &path).await;
        assert_eq!(answer.status, 405, "{path}");
        let mut expected: BTreeSet<String> = item.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        if expected.contains("GET") {
            expected.insert("HEAD".to_owned());
        }
        assert_eq!(methods(&answer), expected, "{path}");
    }
}
