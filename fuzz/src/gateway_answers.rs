//! A gateway's reply to a payment by one card or account, against what every answer promises.
//!
//! The first line is the HTTP status and words: `retry` (with `Retry-After`), `cut` (the body broke off), `bank`, `token`, and who
//! reads the reply: the name of a reader of any kind of connector (`KINDS`), alone or behind the kind's (`stripe:charged`); else it
//! is the generic contract's first. The rest is the body, in which the bytes 1 to 6 stand for what the caller keyed ([`ECHOES`]):
//! a gateway may quote it.
//!
//! Every reader of every kind reads it; what two kinds promise beyond what all do is checked too. The answer of the one that is named goes to a call, and nothing that the call tells may hold more of
//! the number than names its issuer, nor the security code. The second opinion on what a reply means is `serde_json::Value`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use touchtone::connector::generic::{ContractVariant, answer};
use touchtone::connector::{KINDS, Kind};
use touchtone::flow::link::{Origin, PlainHttp};
use touchtone::flow::{Context, Fetch, Fetched, NextDocument};
use touchtone::form::Form;
use touchtone::http::GatewayReply;
use touchtone::money::{Amount, Currency};
use touchtone::pay::gateway::{
    Answer, Capabilities, Denial, Instrument, Operation, PaymentRequest, Preparation, RecoveryNote, TokenType,
};
use touchtone::pay::platform::Platform;
use touchtone::pay::sandbox;
use touchtone::pay::step::PayErrorCode;
use touchtone::pay::submission::{Ask, Question, Reply};
use touchtone::simulate::{Record, Simulation, World};
use touchtone::tone::Key;
use touchtone::twiml::parse;

/// A test number, of digits that seldom repeat.
const CARD: &str = "3566002020360505";
const CODE: &str = "957";
const ACCOUNT: &str = "820461935746";
const TRANSACTION: &str = "PK0123456789abcdef0123456789abcdef";

/// What the bytes from 1 on stand for, by card and by account.
const ECHOES: [(&str, &str); 6] = [
    (CARD, ACCOUNT),
    ("3566 0020 2036 0505", "8204 6193 5746"),
    ("3566-0020-2036-0505", "820461935746"),
    ("356600202036050", "82046193574"),
    (CODE, ACCOUNT),
    ("5660020203", "2046193574"),
];

/// How many digits of a number in a row are too many: eight name its issuer.
const RUN: usize = 9;

/// Fields that a gateway's reference stands in as it is; a number in it is hidden, three digits are not.
const REFERENCES: [&str; 3] = ["PaymentConfirmationCode", "PaymentToken", "ProfileId"];

/// Reads the reply, and lets a call go on with it.
pub fn gateway_answers(data: &[u8]) {
    let (first, body) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let first = String::from_utf8_lossy(first);
    let says = |word: &str| first.split(' ').any(|given| given == word);
    let Some(status) = first.split(' ').next().and_then(|word| word.parse().ok()) else { return };
    let bank = says("bank");
    let mut expanded = Vec::new();
    for byte in body.iter().skip(1) {
        match ECHOES.get(usize::from(*byte).wrapping_sub(1)) {
            Some((card, account)) => expanded.extend_from_slice(if bank { account } else { card }.as_bytes()),
            None => expanded.push(*byte),
        }
    }
    let reply = Wire { status, retry_after: says("retry"), body: (!says("cut")).then_some(expanded) };
    for operation in [charge(), Operation::Tokenize(TokenType::OneTime)] {
        for dialect in ContractVariant::ALL {
            for retry_safe in [&[][..], &answer::BUSY] {
                let answer = answer::read(*dialect, retry_safe, operation, &reply.gateway());
                is_generic(*dialect, retry_safe, operation, &reply, &answer);
            }
        }
        for kind in KINDS {
            for (reader, reading) in (kind.readings)(&reply.gateway(), &attempt(operation)) {
                is_any(kind, reader, &reply, &reading);
                if kind.name == "stripe" {
                    is_stripe(reader, operation, &reply, &reading);
                }
            }
        }
    }
    let read_by = first.split(' ').find_map(from).unwrap_or_else(|| from("generic").unwrap());
    tells_nothing(Gateway { reply, from: read_by }, bank, says("token"));
}

/// Who reads a reply: a kind, and one of its readers; of a kind alone its first.
type From = (&'static Kind, &'static str);

fn from(word: &str) -> Option<From> {
    let nobody = GatewayReply { status: 500, retry_after: None, date: None, body: None };
    KINDS.iter().find_map(|kind| {
        // An empty list has no reading: a page that cannot be read has one.
        let readers: Vec<&'static str> =
            (kind.readings)(&nobody, &attempt(charge())).into_iter().map(|(reader, _)| reader).collect();
        let reader = match word.split_once(':') {
            Some((name, reader)) if name == kind.name => readers.iter().find(|known| **known == reader),
            Some(_) => None,
            None if word == kind.name => readers.first(),
            None => readers.iter().find(|known| **known == word),
        };
        reader.map(|reader| (*kind, *reader))
    })
}

fn charge() -> Operation {
    Operation::Charge(Amount::parse("20.45", Currency::USD).unwrap(), Currency::USD)
}

/// A reply that can be read more than once.
struct Wire {
    status: u16,
    retry_after: bool,
    body: Option<Vec<u8>>,
}

impl Wire {
    fn gateway(&self) -> GatewayReply {
        let body = self.body.clone().map(zeroize::Zeroizing::new);
        let retry_after = self.retry_after.then_some(Duration::from_secs(3));
        GatewayReply { status: self.status, retry_after, date: None, body }
    }

    /// The object in it, if `serde_json` finds one.
    fn json(&self) -> Option<Value> {
        let body = self.body.as_ref()?;
        let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
        serde_json::from_slice(body).ok().filter(Value::is_object)
    }
}

fn attempt(operation: Operation) -> PaymentRequest {
    PaymentRequest {
        transaction_id: TRANSACTION.into(),
        call_sid: "CAa".into(),
        connector: "Default".into(),
        operation,
        currency: Currency::USD,
        token_type: TokenType::OneTime,
        description: None,
        parameters: Vec::new(),
        metadata: Vec::new(),
    }
}

/// What every gateway's reader makes of a reply.
fn is_any(kind: &Kind, reader: &str, reply: &Wire, reading: &Preparation) {
    let who = format!("{}:{reader}", kind.name);
    match reading {
        Preparation::Note(RecoveryNote(note)) => is_silent(&who, note, CARD),
        Preparation::Nothing => panic!("{who} read nothing"),
        Preparation::Answered(Answer::Approved(approval)) => {
            let token = approval.token.as_ref().map(|token| token.expose());
            let id = approval.confirmation_code.as_deref().or(token).unwrap_or_default();
            assert!(!id.trim().is_empty(), "{who}: approved without an id");
            assert!(reply.body.is_some(), "{who}: approved by half a body");
        }
        Preparation::Answered(Answer::Declined(_) | Answer::Refused(..)) => {}
        Preparation::Answered(Answer::NotSent { reason, .. } | Answer::Unknown { reason, .. }) => {
            is_plain(reason, reply.status);
        }
    }
}

/// What the generic contract makes of a reply.
fn is_generic(dialect: ContractVariant, retry_safe: &[u16], operation: Operation, reply: &Wire, answer: &Answer) {
    let status = reply.status;
    let asked = if matches!(operation, Operation::Charge(..)) { "charge_id" } else { "token_id" };
    let json = reply.json();
    let busy = matches!(status, 408 | 429 | 503);
    let names_id = json.as_ref().is_some_and(|json| ["charge_id", "token_id"].iter().any(|name| is_id(&json[name])));
    if matches!(answer, Answer::NotSent { .. }) {
        assert!(busy && status != 408 && retry_safe.contains(&status) && reply.body.is_some(), "{status}: {answer:?}");
        assert!(!names_id, "{status}: nothing was done, says a body with an id");
    }
    if busy && names_id {
        assert!(matches!(answer, Answer::Unknown { .. }), "{status}: {answer:?}");
    }
    match answer {
        Answer::Approved(approval) => {
            assert!(matches!(status, 200..=299 | 409), "{status}: approved");
            let id = approval.confirmation_code.clone();
            let id = id.or_else(|| approval.token.as_ref().map(|token| token.expose().to_owned())).unwrap();
            assert!(!id.trim().is_empty() && id.chars().count() <= 512);
            if let Some(json) = &json {
                assert!(!is_error(json.get("error_code")), "approved with an error code");
                assert!(json[asked].as_str().is_none_or(|text| text == id) && json[asked] != Value::Null, "another id");
            }
        }
        Answer::Declined(denial) => {
            let plain = matches!(status, 200..=299 | 400..=499) && !busy;
            assert!(
                plain || (matches!(status, 408 | 429 | 500..=599) && dialect.refuses_with_any_status()),
                "{status}: declined"
            );
            assert!(denial.code.is_some());
            if let Some(json) = &json {
                assert!(is_error(json.get("error_code")), "declined without an error code");
                assert!(plain || json.get(asked) == Some(&Value::Null), "declined where money may have moved");
            }
        }
        Answer::Refused(code, _) => assert!(*code == PayErrorCode::Configuration && matches!(status, 401 | 403)),
        Answer::NotSent { reason, .. } | Answer::Unknown { reason, .. } => is_plain(reason, status),
    }
}

/// Whether a member names something.
fn is_id(value: &Value) -> bool {
    !value.is_null() && value != ""
}

/// Whether an error code says that there is an error.
fn is_error(code: Option<&Value>) -> bool {
    match code {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.trim().is_empty() && text.trim().parse() != Ok(0.0),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(object)) => !object.is_empty(),
    }
}

/// What a reader of Stripe's replies makes of one.
fn is_stripe(reader: &str, operation: Operation, reply: &Wire, reading: &Preparation) {
    // Where `serde_json` minds what no reader looks at, such as a text that is not UTF-8, there is no second opinion.
    let json = reply.json();
    let is = |holds: &dyn Fn(&Value) -> bool| json.as_ref().is_none_or(holds);
    let begins = |json: &Value, prefixes: &[&str]| {
        json["id"].as_str().is_some_and(|id| prefixes.iter().any(|prefix| id.starts_with(prefix)))
    };
    let succeeds = matches!(reply.status, 200..=299) && is(&|json| json["error"].is_null());
    match reading {
        Preparation::Note(RecoveryNote(note)) => {
            assert!(succeeds && is(&|json| begins(json, &["pm_", "tok_", "btok_"])));
            assert!(!note.contains(CARD) && !note.contains(ACCOUNT), "a number in a note");
        }
        Preparation::Nothing => panic!("nothing was read"),
        Preparation::Answered(Answer::Approved(approval)) => {
            let token = approval.token.as_ref().map(|token| token.expose());
            let holds = match reader {
                "charged" => is(&|json| json["status"] == "succeeded" && begins(json, &["pi_"])),
                "tokenized" => is(&|json| json["livemode"] != true && json["id"].as_str() == token) && token.is_some(),
                "kept" => is(&|json| begins(json, &["cus_"])) && token.is_some() && approval.profile_id.is_some(),
                "payments" | "customers" => is(&|json| {
                    let items = json["data"].as_array();
                    items.is_some_and(|items| items.iter().any(|item| item["metadata"]["pay_sid"] == TRANSACTION))
                }),
                _ => false,
            };
            assert!(succeeds && holds, "{reader} {}: approved", reply.status);
        }
        Preparation::Answered(Answer::Declined(Denial { code, message, .. })) => {
            assert!(reader == "payments" || reader == "charged" || (400..=499).contains(&reply.status));
            assert!(code.iter().chain(message).all(|text| longest_run(text) < 5), "digits in an error");
        }
        Preparation::Answered(Answer::Refused(code, Denial { code: word, message, .. })) => {
            let charges = matches!(operation, Operation::Charge(..));
            assert!(charges || *code != PayErrorCode::InvalidChargeAmount && *code != PayErrorCode::ChargeRejected);
            assert!(word.iter().chain(message).all(|text| longest_run(text) < 5), "digits in an error");
        }
        Preparation::Answered(Answer::NotSent { reason, .. }) => {
            assert!(reply.status == 429 && reply.body.is_some() && is(&|json| json["id"].is_null()));
            is_plain(reason, reply.status);
        }
        Preparation::Answered(Answer::Unknown { reason, .. }) => is_plain(reason, reply.status),
    }
}

/// A reason is a status and words of ours.
fn is_plain(reason: &str, status: u16) {
    let words = reason.strip_prefix(&format!("HTTP status {status}")).unwrap_or_else(|| panic!("{reason}"));
    assert!(words.chars().all(|letter| letter.is_ascii_alphabetic() || " ,'".contains(letter)), "{reason}");
}

fn longest_run(text: &str) -> usize {
    text.split(|letter: char| !letter.is_ascii_digit()).map(str::len).max().unwrap_or(0)
}

/// A gateway that answers every question in the same way.
struct Gateway {
    reply: Wire,
    from: From,
}

impl World for Gateway {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        Some(sandbox::capabilities())
    }

    fn gateway(&mut self, question: &Question, attempt: &PaymentRequest, _: &Instrument) -> Option<(Duration, Reply)> {
        if question.what == Ask::Prepare {
            return Some((Duration::ZERO, Reply::Prepared(Preparation::Nothing)));
        }
        let (kind, reader) = self.from;
        let answer = (kind.readings)(&self.reply.gateway(), attempt)
            .into_iter()
            .find_map(|(name, reading)| match reading {
                Preparation::Answered(answer) if name == reader => Some(answer),
                _ => None,
            })
            .unwrap_or_else(|| Answer::unknown("nothing was found"));
        Some((Duration::ZERO, Reply::Submitted(answer)))
    }

    fn document(&mut self, _: &Fetch) -> (Duration, Fetched) {
        (Duration::ZERO, Fetched::NotAsked)
    }
}

/// Takes a payment with that gateway and looks at all that is told and said of it.
fn tells_nothing(gateway: Gateway, bank: bool, token: bool) {
    let amount = if token { "" } else { "chargeAmount='20.45'" };
    let method = if bank { "paymentMethod='ach-debit'" } else { "validCardTypes='jcb'" };
    let document = format!(
        "<Response><Pay {amount} {method} postalCode='false' action='https://example.com/done' \
         statusCallback='https://example.com/status'/></Response>"
    );
    let first = NextDocument { document: parse(&document).unwrap(), origin: Origin::Flow("fuzz".into()) };
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
    let mut call = Simulation::start(Ok(first), context, gateway);
    let keys = if bank { format!("110000000#{ACCOUNT}#") } else { format!("{CARD}#1229{CODE}") };
    for symbol in keys.chars() {
        call.press(Key::parse(symbol).unwrap());
        call.advance_to(call.now() + Duration::from_millis(300));
    }
    assert!(call.run_to_end(), "it does not end");
    let asked = call.records().iter().any(|(_, record)| matches!(record, Record::Asked(..)));
    assert!(asked, "the gateway is not asked");
    let secret = if bank { ACCOUNT } else { CARD };
    for (_, record) in call.records() {
        is_silent("a record", &format!("{record:?} {record}"), secret);
        let form = match record {
            Record::Requested(fetch) => &fetch.form,
            Record::Notified(_, _, form) | Record::Reported(_, _, form) => form,
            Record::Warned(warning) => {
                is_silent("a warning", &warning.message, secret);
                continue;
            }
            _ => continue,
        };
        for (name, value) in form.iter().map(|(name, value)| (name, value.expose())) {
            is_silent(name, name, secret);
            is_silent(name, value, secret);
            assert!(bank || REFERENCES.contains(&name) || !is_alone(name, CODE), "{name} tells the security code");
            assert!(bank || REFERENCES.contains(&name) || !is_alone(value, CODE), "{name} tells the security code");
        }
    }
}

/// No more of the number than names its issuer, however it is grouped.
fn is_silent(what: &str, text: &str, secret: &str) {
    // What is no letter and no digit may stand between two digits, as often as it likes.
    let spoken: String = text.chars().filter(|letter| letter.is_alphanumeric()).collect();
    let tells = (0..=secret.len() - RUN).any(|start| spoken.contains(&secret[start..start + RUN]));
    assert!(!tells, "{what} tells the number");
}

/// Whether the code stands somewhere by itself, or with letters on one side only: in the middle of a word it is part of an id.
fn is_alone(text: &str, code: &str) -> bool {
    let letter = |letter: char| letter.is_alphabetic();
    text.split(|letter: char| !letter.is_alphanumeric())
        .any(|word| word.trim_start_matches(letter) == code || word.trim_end_matches(letter) == code)
}
