//! Answers and parameters against what `/openapi.json` says of them.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::support::{ACCOUNT, TestServer};
use super::{Agent, Answer, Client, HOLD, SILENT, account, holding};

/// What is said of the API.
struct Description(Value);

/// What an object may have, and what it must have.
#[derive(Default)]
struct Members<'d> {
    known: BTreeMap<&'d str, &'d Value>,
    required: BTreeSet<&'d str>,
    /// What members of other names are.
    others: Option<&'d Value>,
}

impl Description {
    async fn of(server: &TestServer) -> Self {
        Self(Client::known_as(server, None).ask(Method::GET, "/openapi.json").await.json())
    }

    fn resolved<'d>(&'d self, schema: &'d Value) -> &'d Value {
        match schema["$ref"].as_str() {
            Some(place) => self.resolved(self.0.pointer(place.trim_start_matches('#')).expect("no such schema")),
            None => schema,
        }
    }

    fn members<'d>(&'d self, schema: &'d Value, all: &mut Members<'d>) {
        let schema = self.resolved(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.members(part, all);
        }
        let properties = schema["properties"].as_object().into_iter().flatten();
        all.known.extend(properties.map(|(name, property)| (name.as_str(), property)));
        all.required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
        all.others = all.others.or_else(|| schema.get("additionalProperties").filter(|others| others.is_object()));
    }

    /// Whether `value` is what `schema` says, with nothing that it does not say.
    fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.resolved(schema);
        let wrong = |what: &str| Err(format!("{what}: {value} is not {schema}"));
        for choice in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[choice].as_array() {
                let faults: Vec<String> = choices.iter().map_while(|choice| self.fits(choice, value).err()).collect();
                return if faults.len() < choices.len() { Ok(()) } else { Err(faults.join("; or ")) };
            }
        }
        let of = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let is_object = schema["allOf"].is_array();
        let types = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            Value::String(one) => vec![one.as_str()],
            _ if is_object => vec!["object"],
            _ => return wrong("it has no type"),
        };
        if !types.contains(&of) {
            return wrong("another type");
        }
        if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
            return wrong(&format!("none of {words:?}"));
        }
        if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
            && !regex::Regex::new(pattern).unwrap().is_match(text)
        {
            return wrong("another pattern");
        }
        for item in value.as_array().into_iter().flatten() {
            self.fits(&schema["items"], item)?;
        }
        value.as_object().map_or(Ok(()), |object| self.object_fits(schema, object))
    }

    fn object_fits(&self, schema: &Value, object: &Map<String, Value>) -> Result<(), String> {
        let mut members = Members::default();
        self.members(schema, &mut members);
        if let Some(missing) = members.required.iter().find(|name| !object.contains_key(**name)) {
            return Err(format!("{missing} is not in {object:?}"));
        }
        for (name, value) in object {
            let Some(said) = members.known.get(name.as_str()).copied().or(members.others) else {
                return Err(format!("{name} is not described: {object:?}"));
            };
            self.fits(said, value).map_err(|fault| format!("{name}: {fault}"))?;
        }
        Ok(())
    }

    /// Checks that an answer is one of those described, and gives it back.
    fn checked(&self, method: &str, path: &str, answer: Answer) -> Answer {
        let status = answer.status.as_u16().to_string();
        let answers = &self.0["paths"][path][method]["responses"];
        let said = answers.get(&status).unwrap_or_else(|| panic!("{method} {path} {status}: {}", answer.text));
        for name in said["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
            let is_there = answer.headers.contains_key(name);
            // Only some of those who are told to wait are told how long.
            assert!(is_there || status == "429", "{method} {path} {status}: no {name}");
        }
        match said["content"].get("application/json") {
            Some(content) => {
                let fits = self.fits(&content["schema"], &answer.json());
                fits.unwrap_or_else(|fault| panic!("{method} {path} {status}: {fault}"));
            }
            None => assert_eq!(answer.text, "", "{method} {path} {status}"),
        }
        answer
    }

    /// Names of the parameters of a query, with the words that each may be.
    fn query(&self, path: &str) -> Vec<(String, Vec<String>)> {
        let parameters = self.0["paths"][path]["get"]["parameters"].as_array().unwrap();
        let of_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let words = |parameter: &Value| {
            let words = parameter["schema"]["enum"].as_array().into_iter().flatten();
            words.map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        of_query.map(|parameter| (parameter["name"].as_str().unwrap().to_owned(), words(parameter))).collect()
    }
}

const CALLS: &str = "/2010-04-01/Accounts/{AccountSid}/Calls.json";
const CALL: &str = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}.json";
const PAYMENTS: &str = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments.json";
const PAYMENT: &str = "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}/Payments/{Sid}.json";

#[tokio::test]
async fn every_answer_about_calls_and_their_payments_is_as_described() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let said = Description::of(&server).await;
    let agent = Agent::new(&server).await;
    let mut caller = holding(&server, "CA1", &[("From", "+14155550100"), ("CallerName", "Ann")]).await;
    let client = &agent.client;
    said.checked("get", CALLS, client.get("Calls.json").await);
    said.checked("get", CALL, client.get("Calls/CA1.json").await);
    said.checked("get", CALL, client.get("Calls/CA2.json").await);
    said.checked("get", CALL, Client::known_as(&server, None).get("Calls/CA1.json").await);
    said.checked("post", CALL, client.post("Calls/CA1.json", &[("Status", "canceled")]).await);
    said.checked("post", CALL, client.post("Calls/CA1.json", &[("Twiml", HOLD.1)]).await);
    said.checked("delete", CALL, client.ask(Method::DELETE, &account("Calls/CA1.json")).await);
    let fields = [("ChargeAmount", "20.45"), ("PostalCode", "false"), ("SecurityCode", "false")];
    let begun = said.checked("post", PAYMENTS, agent.post("Calls/CA1/Payments.json", &fields).await);
    assert_eq!(begun.status, 201, "{}", begun.text);
    let sid = begun.json()["sid"].as_str().unwrap().to_owned();
    let payment = format!("Calls/CA1/Payments/{sid}.json");
    said.checked("post", PAYMENTS, agent.post("Calls/CA1/Payments.json", &fields).await);
    said.checked("post", PAYMENTS, agent.post("Calls/CA1/Payments.json", &[("Color", "red")]).await);
    said.checked("post", PAYMENT, agent.post(&payment, &[("Capture", "birthday")]).await);
    agent.capture(&payment, "payment-card-number", &mut caller, "4242424242424242").await;
    agent.capture(&payment, "expiration-date", &mut caller, "1228").await;
    said.checked("get", PAYMENT, client.get(&payment).await);
    said.checked("get", PAYMENTS, client.get("Calls/CA1/Payments.json").await);
    said.checked("get", "/v1/payments", client.ask(Method::GET, "/v1/payments").await);
    said.checked("post", PAYMENT, agent.post(&payment, &[("Status", "complete")]).await);
    agent.desktop.wait_for(|told| told.field("Result") == "success").await;
    let begun = agent.start(&[("ChargeAmount", "1")]).await;
    agent.post(&begun, &[("Status", "cancel")]).await;
    agent.desktop.wait_for(|told| told.field("Result") == "transaction-cancelled").await;
    caller.hang_up().await;
    client.ended("CA1").await;
    let page = said.checked("get", "/v1/payments", client.ask(Method::GET, "/v1/payments").await).json();
    assert_eq!(page["payments"][0]["sid"], sid);
    let sids = [page["payments"][0]["sid"].clone(), page["sessions"][0]["sid"].clone(), json!(format!("PK{:032x}", 0))];
    for sid in sids.iter().map(|sid| sid.as_str().unwrap()) {
        said.checked("get", "/v1/payments/{sid}", client.ask(Method::GET, &format!("/v1/payments/{sid}")).await);
    }
    said.checked("get", CALL, client.get("Calls/CA1.json").await);
    said.checked("delete", CALL, client.ask(Method::DELETE, &account("Calls/CA1.json")).await);
}

#[tokio::test]
async fn an_answer_that_says_less_more_or_something_else_does_not_fit() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let said = Description::of(&server).await;
    let caller = holding(&server, "CA1", &[]).await;
    let call = Client::new(&server).get("Calls/CA1.json").await.json();
    let schema = json!({"$ref": "#/components/schemas/Call"});
    assert_eq!(said.fits(&schema, &call), Ok(()));
    for (name, other) in [("color", json!("red")), ("status", json!("asleep")), ("from", json!(1)), ("to", Value::Null)]
    {
        let mut call = call.clone();
        call[name] = other;
        assert!(said.fits(&schema, &call).is_err(), "{name}");
    }
    let mut less = call;
    less.as_object_mut().unwrap().remove("price");
    assert!(said.fits(&schema, &less).is_err());
    caller.hang_up().await;
}

#[tokio::test]
async fn every_answer_about_connectors_is_as_described() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let said = Description::of(&server).await;
    let client = Client::new(&server);
    let (all, one, live) = ("/v1/connectors", "/v1/connectors/{name}", "/v1/connectors/{name}/live");
    let send = async |method: Method, path: &str, body: Value| {
        let request = client.request(method, path).header("content-type", "application/json");
        Client::answer(request.body(body.to_string())).await
    };
    let shop = json!({"name": "shop", "kind": "sandbox"});
    assert_eq!(said.checked("post", all, send(Method::POST, all, shop.clone()).await).status, 201);
    said.checked("post", all, send(Method::POST, all, shop).await);
    said.checked("post", all, send(Method::POST, all, json!({"name": "x", "kind": "sandbox", "color": "red"})).await);
    said.checked("post", all, client.ask(Method::POST, all).await);
    said.checked("get", all, client.ask(Method::GET, all).await);
    said.checked("get", all, client.ask(Method::GET, "/v1/connectors?color=red").await);
    for name in ["shop", "nobody"] {
        let path = format!("/v1/connectors/{name}");
        said.checked("get", one, client.ask(Method::GET, &path).await);
        said.checked("patch", one, send(Method::PATCH, &path, json!({"color": "red"})).await);
        said.checked("post", live, client.ask(Method::POST, &format!("{path}/live")).await);
        said.checked("delete", one, client.ask(Method::DELETE, &path).await);
    }
}

#[tokio::test]
async fn every_word_of_a_query_that_is_described_is_taken_and_no_other() {
    let server = TestServer::start(&[HOLD], SILENT).await;
    let said = Description::of(&server).await;
    let client = Client::new(&server);
    let mut judged = BTreeSet::new();
    for path in [CALLS, "/v1/payments"] {
        let place = path.replace("{AccountSid}", ACCOUNT);
        for (name, words) in said.query(path) {
            let encoded = name.replace('<', "%3C").replace('>', "%3E");
            let nonsense = client.ask(Method::GET, &format!("{place}?{encoded}=n%20o")).await;
            // A name that nobody has narrows the list to nothing; whatever else it is, it must not be ignored.
            let is_free = ["To", "From", "ParentCallSid", "call", "connector"].contains(&name.as_str());
            assert_eq!(nonsense.status == 200, is_free, "{path} {name}");
            assert!(!nonsense.json()["message"].as_str().unwrap_or_default().contains("no parameter"), "{path} {name}");
            for word in words {
                let answer = client.ask(Method::GET, &format!("{place}?{encoded}={word}")).await;
                assert_eq!(answer.status, 200, "{path} {name} {word}");
                judged.insert(word);
            }
        }
    }
    let states = ["preparing", "submitting", "succeeded", "failed", "unknown"];
    let statuses = ["queued", "ringing", "in-progress", "completed", "busy", "no-answer", "canceled"];
    assert_eq!(judged, states.into_iter().chain(statuses).map(str::to_owned).collect());
}

#[tokio::test]
async fn nothing_is_described_as_two_types_at_once() {
    fn walk(said: &Description, schema: &Value) {
        let all = schema["allOf"].as_array().into_iter().flatten();
        let types: BTreeSet<String> = all.map(|part| said.resolved(part)["type"].to_string()).collect();
        assert!(types.len() <= 1, "{schema}");
        match schema {
            Value::Object(members) => members.values().for_each(|member| walk(said, member)),
            Value::Array(items) => items.iter().for_each(|item| walk(said, item)),
            _ => {}
        }
    }
    let said = Description::of(&TestServer::start(&[HOLD], SILENT).await).await;
    walk(&said, &said.0);
}
