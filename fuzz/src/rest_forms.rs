//! Bodies of requests to the REST API, against the documented parameters.
//!
//! The first line says which form it is, `create`, `update` (of a payment) or `call`, and with `json` or `none` another
//! `Content-Type` than a form's. The rest is the body. It goes through the reader that the server uses, and what that lets
//! through goes to a call's machine.
//!
//! The second opinion decodes the body by itself ([`decoded`]) and has the rules of spec/pay.md, section 8, as conditions
//! on texts: what one accepts the other must accept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use touchtone::call::Command;
use touchtone::flow::link::{Origin, PlainHttp};
use touchtone::flow::{AgentCommand, Context, Fetch, Fetched, NextDocument, Redirection};
use touchtone::form::Form;
use touchtone::fuzzing::{CREATE_PARAMETERS, PaymentForm, UPDATE_PARAMETERS, VALUE_MAX, call_form, payment_form};
use touchtone::pay::assisted::AgentError;
use touchtone::pay::gateway::{Capabilities, Instrument, PaymentRequest};
use touchtone::pay::platform::Platform;
use touchtone::pay::sandbox;
use touchtone::pay::submission::{Question, Reply};
use touchtone::rest::error::ApiError;
use touchtone::simulate::invariants::broken;
use touchtone::simulate::{Simulation, World, sandbox_reply};
use touchtone::twiml::{Method, parse};
use url::Url;

/// The parameters of a body: names and values, each once.
type Given = BTreeMap<String, String>;

/// Reads the body.
pub fn rest_forms(data: &[u8]) {
    let (first, body) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let body = body.get(1..).unwrap_or_default();
    let mut words = first.split(|byte| *byte == b' ');
    let form = words.next().unwrap_or_default();
    let content_type = match words.next() {
        Some(b"json") => Some("application/json"),
        Some(b"none") => None,
        _ => Some("Application/X-WWW-form-urlencoded ; charset=utf-8"),
    };
    let is_form = content_type.is_some_and(|kind| kind.starts_with('A')) || (content_type.is_none() && body.is_empty());
    let fields = decoded(body).filter(|_| is_form);
    match form {
        b"create" => payment(PaymentForm::Create, content_type, body, fields),
        b"update" => payment(PaymentForm::Update, content_type, body, fields),
        b"call" => call(content_type, body, fields),
        _ => {}
    }
}

fn payment(form: PaymentForm, content_type: Option<&str>, body: &[u8], fields: Option<Vec<(String, String)>>) {
    let known = if form == PaymentForm::Create { &*CREATE_PARAMETERS } else { &*UPDATE_PARAMETERS };
    let read = payment_form(form, content_type, body);
    let good = |(name, value): &(String, String)| known.contains(name) && value.len() <= VALUE_MAX;
    let given = fields
        .as_ref()
        .and_then(|fields| each_once(fields))
        .filter(|given| given.iter().all(|(name, value)| good(&(name.clone(), value.clone()))));
    match (&read, given) {
        (Ok(read), Some(given)) => {
            let pairs: Given = read.iter().map(|(name, value)| (name.to_owned(), value.expose().to_owned())).collect();
            assert_eq!(pairs, given, "other parameters were read");
            match form {
                PaymentForm::Create => created(read.clone(), &given),
                PaymentForm::Update => updated(read.clone(), &given),
            }
        }
        (Err(refused), None) => is_refusal(refused, fields.as_deref().unwrap_or_default()),
        (read, given) => panic!("{read:?}, but {given:?}"),
    }
}

/// Whether a refusal is one that the API may give, without the value of a parameter.
fn is_refusal(refused: &ApiError, fields: &[(String, String)]) {
    assert!((400..=499).contains(&refused.status) && (20000..=21999).contains(&refused.code), "{refused:?}");
    assert!(refused.message.len() < 300, "{}", refused.message);
    for (_, value) in fields.iter().filter(|(_, value)| value.len() >= 8) {
        let named = fields.iter().any(|(name, _)| name.contains(value.as_str()));
        let quoted = refused.message.contains(value.as_str());
        // A value may be a word of ours.
        assert!(named || !quoted || value.bytes().all(|byte| byte.is_ascii_alphabetic()), "{}", refused.message);
    }
}

/// The parameters of a form (WHATWG URL, section 5.1), unless one of them is not UTF-8.
fn decoded(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = |encoded: &[u8]| {
        let mut bytes = Vec::new();
        let mut place = 0;
        while let Some(byte) = encoded.get(place) {
            let hex = encoded.get(place + 1..place + 3).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
            let hex = hex
                .filter(|_| *byte == b'%')
                .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
            bytes.push(hex.unwrap_or(if *byte == b'+' { b' ' } else { *byte }));
            place += if hex.is_some() { 3 } else { 1 };
        }
        String::from_utf8(bytes).ok().filter(|text| !text.contains('\u{fffd}'))
    };
    body.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len()));
            Some((text(name)?, text(value.get(1..).unwrap_or_default())?))
        })
        .collect()
}

fn each_once(fields: &[(String, String)]) -> Option<Given> {
    let given: Given = fields.iter().cloned().collect();
    (given.len() == fields.len()).then_some(given)
}

/// Everything outside of the call: the sandbox.
struct Sandbox;

impl World for Sandbox {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        Some(sandbox::capabilities())
    }

    fn gateway(
        &mut self,
        question: &Question,
        attempt: &PaymentRequest,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)> {
        Some((Duration::ZERO, sandbox_reply(question, attempt, instrument)))
    }

    fn document(&mut self, _: &Fetch) -> (Duration, Fetched) {
        (Duration::ZERO, Fetched::NotAsked)
    }
}

fn live() -> Simulation<Sandbox> {
    let document = parse("<Response><Pause length='60'/></Response>").unwrap();
    let first = NextDocument { document, origin: Origin::Flow("fuzz".into()) };
    let context = Context {
        account_sid: "ACa".into(),
        call_sid: "CAa".into(),
        caller: Form::new(),
        parameters: BTreeMap::new(),
        answered_at: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        answered_at_utc: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        seed: 0xabcd_efab_cdef_abcd_efab_cdef_abcd_ef00,
        platform: Platform::Twilio,
        plain_http: PlainHttp::Never,
    };
    Simulation::start(Ok(first), context, Sandbox)
}

fn asked(call: &mut Simulation<Sandbox>, command: AgentCommand) -> Result<String, AgentError> {
    let id = call.command(command);
    while call.answer(id).is_none() && call.step() {}
    let answer = call.answer(id).unwrap_or_else(|| panic!("no answer")).clone();
    if let Err(refused) = &answer {
        assert!((400..=409).contains(&refused.status), "{refused:?}");
        assert!((64000..=64024).contains(&refused.code), "{refused:?}");
    }
    answer
}

fn ended(mut call: Simulation<Sandbox>) {
    assert!(call.run_to_end(), "it does not end");
    assert_eq!(broken(call.records(), call.call()), None);
}

fn created(form: Form, given: &Given) {
    let mut call = live();
    match (asked(&mut call, AgentCommand::Create(form)), may_create(given)) {
        (Ok(_), Opinion::Yes | Opinion::Undecided) | (Err(_), Opinion::No | Opinion::Undecided) => {}
        (answer, opinion) => panic!("{answer:?}, but {opinion:?}: {given:?}"),
    }
    ended(call);
}

fn updated(form: Form, given: &Given) {
    let mut call = live();
    let mut first = Form::new();
    for (name, value) in [
        ("IdempotencyKey", "1"),
        ("StatusCallback", "https://example.com/s"),
        ("RequireMatchingInputs", "payment-card-number"),
    ] {
        first.set(name, value);
    }
    let sid = asked(&mut call, AgentCommand::Create(first)).unwrap();
    let answer = asked(&mut call, AgentCommand::Update { sid: sid.clone(), form });
    assert!(answer.is_err() || answer == Ok(sid), "another payment");
    assert!(answer.is_err() || may_update(given), "{answer:?}: {given:?}");
    ended(call);
}

/// What the second opinion says.
#[derive(Debug)]
enum Opinion {
    Yes,
    No,
    /// It depends on a list that is not written here.
    Undecided,
}

/// Decimals of the currencies whose amounts are judged here.
const DECIMALS: [(&str, usize); 5] = [("usd", 2), ("eur", 2), ("gbp", 2), ("jpy", 0), ("kwd", 3)];

/// Whether spec/pay.md lets a request with these parameters start a payment of a card or an account.
fn may_create(given: &Given) -> Opinion {
    // A blank value is none.
    let value = |name: &str| given.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let is = |name: &str, words: &[&str]| {
        value(name).is_none_or(|value| words.iter().any(|word| word.eq_ignore_ascii_case(value)))
    };
    let number = |name: &str, most: u64| {
        value(name).is_none_or(|value| {
            let significant = value.trim_start_matches('0');
            let none = name == "MinPostalCodeLength" && significant.is_empty();
            value.bytes().all(|byte| byte.is_ascii_digit())
                && (none
                    || (1..=4).contains(&significant.len())
                        && significant.parse::<u64>().is_ok_and(|number| number <= most))
        })
    };
    let debit = value("PaymentMethod").is_some_and(|method| method.eq_ignore_ascii_case("ach-debit"));
    let types = ["consumer-checking", "consumer-savings", "commercial-checking", "commercial-savings"];
    let postal = value("PostalCode").unwrap_or("true");
    let cards = value("ValidCardTypes").is_none_or(|list| {
        let mut words = list.split_whitespace().peekable();
        words.peek().is_some() && words.all(|word| CARDS.iter().any(|card| card.eq_ignore_ascii_case(word)))
    });
    let asked = [
        ("payment-card-number", true),
        ("expiration-date", true),
        (
            "security-code",
            !value("SecurityCode").is_some_and(|value| value == "0" || value.eq_ignore_ascii_case("false")),
        ),
        ("postal-code", postal == "1" || postal.eq_ignore_ascii_case("true")),
    ];
    let matched = value("RequireMatchingInputs").unwrap_or_default().split(',').map(str::trim);
    let matched = matched
        .filter(|word| !word.is_empty())
        .all(|word| !debit && asked.iter().any(|(field, asked)| *asked && field.eq_ignore_ascii_case(word)));
    let good = is_told(given)
        && is("Input", &["dtmf"])
        && is("PaymentMethod", &["credit-card", "ach-debit"])
        && is("BankAccountType", &types)
        && (debit || value("BankAccountType").is_none())
        && number("Timeout", 600)
        && number("MinPostalCodeLength", 10)
        && is("SecurityCode", &["true", "false", "1", "0"])
        && is("Confirmation", &["true", "false", "1", "0"])
        && is("TokenType", &["one-time", "reusable", "payment-method"])
        && (1..=10).contains(&postal.len())
        && postal.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ' || byte == b'-')
        && cards
        && matched
        && is_one_level(value("Parameter").unwrap_or_default());
    let currency = value("Currency").unwrap_or("usd").to_ascii_lowercase();
    let known = DECIMALS.iter().find(|(code, _)| *code == currency);
    let amount = value("ChargeAmount").is_none_or(|amount| is_amount(amount, known.map_or(4, |(_, places)| *places)));
    match known {
        _ if !good || !amount || currency.len() != 3 => Opinion::No,
        Some(_) => Opinion::Yes,
        None => Opinion::Undecided,
    }
}

const CARDS: [&str; 10] =
    ["visa", "mastercard", "amex", "maestro", "discover", "optima", "jcb", "diners-club", "enroute", "unionpay"];

/// Every request is named, and says where its progress is told: by https, as plain http is not allowed here.
fn is_told(given: &Given) -> bool {
    let value = |name: &str| given.get(name).map_or("", |value| value.trim());
    !value("IdempotencyKey").is_empty() && is_https(value("StatusCallback"))
}

fn is_https(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.scheme() == "https" && url.host_str().is_some_and(|host| !host.is_empty()))
}

/// Digits, and a point before, between or after them; at most a million.
fn is_amount(text: &str, decimals: usize) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole_digits, part_digits) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    let most = match whole_digits.len() {
        0..=6 => true,
        7 => whole_digits == "1000000" && part_digits.is_empty(),
        _ => false,
    };
    text.bytes().any(|byte| byte.is_ascii_digit())
        && digits(whole)
        && digits(part)
        && most
        && part_digits.len() <= decimals
}

/// Nothing, a JSON object without others in it, or a list of names and values.
fn is_one_level(text: &str) -> bool {
    let text = text.trim();
    text.is_empty()
        || match serde_json::from_str(text) {
            Ok(Value::Object(members)) => !members.values().any(|value| value.is_object() || value.is_array()),
            Ok(Value::Array(list)) => {
                list.iter().all(|entry| entry.get("name").is_some_and(Value::is_string) && entry.get("value").is_some())
            }
            _ => false,
        }
}

/// Whether it may lead a payment of a card whose number is keyed twice, nothing of which is keyed yet.
fn may_update(given: &Given) -> bool {
    let value = |name: &str| given.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let fields: BTreeSet<&str> =
        ["payment-card-number", "expiration-date", "postal-code", "payment-card-number-matcher"].into();
    is_told(given)
        && match (value("Capture"), value("Status")) {
            // A security code is not known to be right before the card is known.
            (Some(field), None) => fields.contains(field.to_ascii_lowercase().as_str()),
            (None, Some(status)) => status == "cancel",
            _ => false,
        }
}

fn call(content_type: Option<&str>, body: &[u8], fields: Option<Vec<(String, String)>>) {
    let read = call_form(content_type, body, PlainHttp::Never);
    let given = fields.as_ref().and_then(|fields| each_once(fields));
    let known = ["Twiml", "Url", "Method", "Status"];
    let given = given.filter(|given| given.keys().all(|name| known.contains(&name.as_str())));
    let wanted = given.and_then(|given| {
        let value = |name: &str| given.get(name).map(String::as_str);
        let method = match value("Method") {
            None | Some("POST") => Some(Method::Post),
            Some("GET") => Some(Method::Get),
            Some(_) => None,
        };
        match (value("Twiml"), value("Url"), value("Status"), value("Method")) {
            (Some(twiml), None, None, None) => parse(twiml).is_ok().then(|| format!("document {twiml}")),
            (None, Some(url), None, _) if is_https(url.trim()) => {
                method.map(|method| format!("{method:?} {}", Url::parse(url.trim()).unwrap()))
            }
            (None, None, Some("completed"), None) => Some("end".to_owned()),
            (None, None, Some("canceled"), None) => Some("cancel".to_owned()),
            _ => None,
        }
    });
    let read = match read {
        Err(refused) => {
            assert!((400..=499).contains(&refused.status), "{refused:?}");
            None
        }
        Ok(None) => Some("cancel".to_owned()),
        Ok(Some(Command::Complete)) => Some("end".to_owned()),
        Ok(Some(Command::Redirect(Redirection::Url(url, method)))) => Some(format!("{method:?} {url}")),
        Ok(Some(Command::Redirect(Redirection::Document(_, text)))) => Some(format!("document {text}")),
        Ok(Some(Command::Payment(..))) => panic!("an update of a call leads no payment"),
    };
    assert_eq!(read, wanted);
}
