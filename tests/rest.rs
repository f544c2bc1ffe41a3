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

#[path = "rest/described.rs"]
mod described;
mod support;

use std::collections::BTreeSet;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use support::{ACCOUNT, Caller, Somebody, TIME_LIMIT, TOKEN, TestServer, wait};
use tokio::time::timeout;

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
        let response = timeout(TIME_LIMIT, request.send()).await.expect("no answer").unwrap();
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
        wait::found("the call has ended", TIME_LIMIT, async || {
            let call = self.get(&format!("Calls/{sid}.json")).await.json();
            (call["status"] == "completed").then_some(call)
        })
        .await
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
    // Nine wrong ones; more are told to wait.
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
async fn who_fails_to_sign_in_too_often_is_told_to_wait_and_the_right_credentials_pass() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let (right, wrong) = (Client::new(&server), Client::known_as(&server, Some((ACCOUNT, "wrong"))));
    let nobody = Client::known_as(&server, None);
    for _ in 0..touchtone::rest::attempts::FAILURES_MAX {
        assert_eq!(right.get("Calls.json").await.status, 200);
        assert_eq!(nobody.get("Calls.json").await.status, 401, "who guesses nothing is not counted");
        wrong.get("Calls.json").await.error(401, 20003);
    }
    let answer = wrong.get("Calls.json").await;
    assert_eq!(answer.error(429, 20429), "Too many failed authentications");
    assert!(answer.json().get("retry_after").is_none(), "the members are Twilio's");
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // Whoever shares an address with a guesser, as behind a proxy, still gets in.
    assert_eq!(right.get("Calls.json").await.status, 200);
    assert_eq!(server.get("/healthz").await.0, 200);
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
        "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments.json",
        "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments/{Sid}.json",
        "/healthz",
        "/media/{dialect}",
        "/media/{dialect}/{flow}",
        "/media/{dialect}/{flow}/{expires}/{random}",
        "/media/{dialect}/{flow}/{secret}",
        "/metrics",
        "/openapi.json",
        "/readyz",
        "/v1/connectors",
        "/v1/connectors/{name}",
        "/v1/connectors/{name}/live",
        "/v1/payments",
        "/v1/payments/{sid}",
    ];
    assert_eq!(described, BTreeSet::from(expected));
    for (path, item) in paths {
        let path = path.replace("{AccountSid}", ACCOUNT).replace("{CallSid}", "CA1").replace("{Sid}", "PK1");
        let path = path
            .replace("{dialect}", "twilio")
            .replace("{flow}", "hold")
            .replace("{secret}", "x")
            .replace("{expires}", "1")
            .replace("{random}", "x")
            .replace("{name}", "shop")
            .replace("{sid}", "x");
        let answer = client.ask(Method::OPTIONS, &path).await;
        assert_eq!(answer.status, 405, "{path}");
        let mut expected: BTreeSet<String> = item.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        if expected.contains("GET") {
            expected.insert("HEAD".to_owned());
        }
        assert_eq!(methods(&answer), expected, "{path}");
    }
}

/// An agent's desktop: a client, the call it leads a payment on, and where its progress is told.
struct Agent<'s> {
    client: Client<'s>,
    desktop: Somebody,
    keys: std::cell::Cell<u32>,
}

impl<'s> Agent<'s> {
    async fn new(server: &'s TestServer) -> Self {
        let desktop = Somebody::application("").await;
        Self { client: Client::new(server), desktop, keys: std::cell::Cell::new(0) }
    }

    /// Posts to `resource` with a key that was not used yet.
    async fn post(&self, resource: &str, fields: &[(&str, &str)]) -> Answer {
        self.keys.set(self.keys.get() + 1);
        self.post_as(&format!("key-{}", self.keys.get()), resource, fields).await
    }

    async fn post_as(&self, key: &str, resource: &str, fields: &[(&str, &str)]) -> Answer {
        let url = self.desktop.url("/status");
        let fields: Vec<(&str, &str)> =
            [("IdempotencyKey", key), ("StatusCallback", &url)].into_iter().chain(fields.iter().copied()).collect();
        self.client.post(resource, &fields).await
    }

    /// Starts a payment on `CA1` and gives where it is.
    async fn start(&self, fields: &[(&str, &str)]) -> String {
        let answer = self.post("Calls/CA1/Payments.json", fields).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        format!("Calls/CA1/Payments/{}.json", answer.json()["sid"].as_str().unwrap())
    }

    /// Has a field keyed, and waits until it is told that it was.
    async fn capture(&self, payment: &str, field: &str, caller: &mut Caller, keys: &str) {
        let answer = self.post(payment, &[("Capture", field)]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        caller.press(keys).await;
        self.desktop.wait_for(|told| told.field("Capture") == field && told.field("PartialResult") == "false").await;
    }
}

#[tokio::test]
async fn an_agent_leads_a_payment_and_sees_no_digit() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let agent = Agent::new(&server).await;
    let mut caller = holding(&server, "CA1", &[]).await;
    let fields = [("ChargeAmount", "20.45"), ("PostalCode", "false"), ("Currency", "USD")];
    let answer = agent.post("Calls/CA1/Payments.json", &fields).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let created = answer.json();
    let members: Vec<&String> = created.as_object().unwrap().keys().collect();
    assert_eq!(members, ["account_sid", "call_sid", "date_created", "date_updated", "sid", "uri"]);
    let sid = created["sid"].as_str().unwrap();
    assert!(sid.starts_with("PK") && sid.len() == 34);
    let payment = format!("Calls/CA1/Payments/{sid}.json");
    assert_eq!(created["uri"], account(&payment));
    assert_eq!((created["account_sid"].as_str(), created["call_sid"].as_str()), (Some(ACCOUNT), Some("CA1")));
    assert!(jiff::fmt::rfc2822::parse(created["date_created"].as_str().unwrap()).is_ok());
    agent.capture(&payment, "payment-card-number", &mut caller, "4242424242424242").await;
    let state = agent.client.get(&payment).await.json();
    assert_eq!((state["sid"].as_str(), state["led_by"].as_str()), (Some(sid), Some("agent")));
    assert_eq!(state["state"]["PaymentCardNumber"], "xxxxxxxxxxxx4242");
    assert_eq!(state["state"]["Required"], "ExpirationDate,SecurityCode");
    agent.capture(&payment, "expiration-date", &mut caller, "1228").await;
    let early = agent.post(&payment, &[("Status", "complete")]).await;
    early.error(400, 64019);
    agent.capture(&payment, "security-code", &mut caller, "123").await;
    let answer = agent.post(&payment, &[("Status", "complete")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let told = agent.desktop.wait_for(|told| told.field("Result") == "success").await;
    assert!(told.field("PaymentConfirmationCode").starts_with("ch_"));
    assert_eq!(told.field("Sid"), sid);
    agent.post(&payment, &[("Capture", "postal-code")]).await.error(409, 64021);
    caller.hang_up().await;
    agent.client.ended("CA1").await;
    let page = agent.client.get("Calls/CA1/Payments.json").await;
    assert_eq!(page.json()["payments"][0]["state"]["Result"], "success");
    assert_eq!(page.json()["payments"].as_array().unwrap().len(), 1);
    assert!(!page.text.contains("4242424242"));
}

#[tokio::test]
async fn the_same_key_gets_the_first_answer_again_and_does_nothing_twice() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let agent = Agent::new(&server).await;
    let caller = holding(&server, "CA1", &[]).await;
    let payments = "Calls/CA1/Payments.json";
    let (first, second) = futures_util::join!(
        agent.post_as("a", payments, &[("ChargeAmount", "1")]),
        agent.post_as("a", payments, &[("ChargeAmount", "1")]),
    );
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201), "{} {}", first.text, second.text);
    assert_eq!(first.text, second.text);
    agent.post_as("a", payments, &[("ChargeAmount", "2")]).await.error(409, 20409);
    let payment = format!("Calls/CA1/Payments/{}.json", first.json()["sid"].as_str().unwrap());
    let captured = agent.post_as("a", &payment, &[("Capture", "payment-card-number")]).await;
    assert_eq!(captured.status, 200, "a key is a path's own: {}", captured.text);
    let refused = agent.post_as("b", &payment, &[("Status", "complete")]).await;
    refused.error(400, 64019);
    assert_eq!(agent.post_as("b", &payment, &[("Status", "complete")]).await.text, refused.text);
    caller.hang_up().await;
    agent.client.ended("CA1").await;
    assert_eq!(agent.post_as("a", payments, &[("ChargeAmount", "1")]).await.text, first.text, "after the call too");
    agent.post_as("c", payments, &[]).await.error(400, 21220);
    agent.post_as("d", &payment, &[("Status", "cancel")]).await.error(409, 64021);
    assert_eq!(sids_of_payments(&agent.client.get(payments).await.json()).len(), 1);
}

fn sids_of_payments(page: &Value) -> Vec<&str> {
    page["payments"].as_array().unwrap().iter().map(|payment| payment["sid"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_an_agent_cannot_have_is_refused_with_twilio_s_code() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let agent = Agent::new(&server).await;
    let _caller = holding(&server, "CA1", &[]).await;
    let payments = "Calls/CA1/Payments.json";
    agent.client.post(payments, &[("StatusCallback", "https://example.com/")]).await.error(400, 64015);
    agent.client.post(payments, &[("IdempotencyKey", "x")]).await.error(400, 64015);
    agent.post(payments, &[("ChargeAmount", "lots")]).await.error(400, 64003);
    agent.post(payments, &[("PaymentConnector", "Nobody")]).await.error(400, 64004);
    let message = agent.post(payments, &[("Colour", "red")]).await.error(400, 20001);
    assert!(message.contains("Colour"), "{message}");
    agent.post(payments, &[("Description", &"x".repeat(9000))]).await.error(400, 20001);
    agent.post("Calls/CA2/Payments.json", &[]).await.error(404, 20404);
    let payment = agent.start(&[]).await;
    agent.post(payments, &[]).await.error(409, 64021);
    let told = agent.desktop.wait_for(|told| told.field("ErrorType") == "session-in-progress").await;
    assert_eq!(told.field("CallSid"), "CA1");
    agent.post(&payment, &[]).await.error(400, 64018);
    agent.post(&payment, &[("Capture", "birthday")]).await.error(400, 64020);
    let nobody = format!("Calls/CA1/Payments/PK{:032x}.json", 0);
    let message = agent.post(&nobody, &[("Status", "cancel")]).await.error(404, 20404);
    assert_eq!(message, format!("The requested resource {} was not found", account(&nobody)));
    agent.client.get(&nobody).await.error(404, 20404);
    agent.client.get("Calls/CA2/Payments.json").await.error(404, 20404);
    agent.client.get("Calls/CA1/Payments.json?Page=1").await.error(400, 20001);
    assert_eq!(agent.post(&payment, &[("Status", "cancel")]).await.status, 200);
    agent.desktop.wait_for(|told| told.field("Result") == "transaction-cancelled").await;
}

#[tokio::test]
async fn a_document_s_payment_is_seen_but_not_led() {
    let server = TestServer::start(&[("pay", "<Response><Pay/></Response>")], SILENT).await;
    let agent = Agent::new(&server).await;
    let mut caller = server.call("pay").await;
    assert!(caller.hear().await);
    let page = agent.client.get("Calls/CA1/Payments.json").await.json();
    assert_eq!(
        (&page["payments"][0]["led_by"], &page["payments"][0]["state"]["For"]),
        (&"document".into(), &"payment-card-number".into())
    );
    let payment = format!("Calls/CA1/Payments/{}.json", sids_of_payments(&page)[0]);
    agent.post(&payment, &[("Status", "cancel")]).await.error(409, 64021);
}
