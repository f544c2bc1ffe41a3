//! As much of Stripe as a charge needs, with what it promises: an idempotency key is worked on once and gives its first
//! reply again, even a 500; another request under it is refused; payments can be listed, the newest first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::moments::pass;
use super::numbers::Chance;
use super::processor::Fault;
use super::stored::{Books, Event, new_id};
use super::wire::{Reply, Request, Service};

/// As the processor's.
const BUSY: u64 = 120;
const SLOW: u64 = 2300;

/// What a key stands for.
enum Kept {
    /// It is being worked on.
    UnderWay(String),
    /// The request and its reply.
    Done(String, u16, Value),
}

#[derive(Default)]
struct Ledger {
    keys: BTreeMap<String, Kept>,
    /// In the order in which they were made.
    payments: Vec<Value>,
}

pub struct Stripe {
    books: Arc<Books>,
    rng: Mutex<Chance>,
    ledger: Mutex<Ledger>,
}

/// What is done for a request once its key is taken.
struct Work<'a> {
    session: &'a str,
    id: &'a str,
    fields: &'a BTreeMap<String, String>,
    declines: bool,
    /// Whether a 500 is kept for the key: before anything is done, or after it.
    breaks: Option<When>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    After,
}

impl Stripe {
    pub fn new(books: Arc<Books>, seed: u64) -> Self {
        Self { books, rng: Mutex::new(Chance(seed)), ledger: Mutex::default() }
    }

    async fn post(&self, request: &Request) -> Reply {
        let fields: BTreeMap<String, String> = form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
        let id = request.header("idempotency-key").to_owned();
        let session = match request.path.as_str() {
            "/v1/payment_methods" => match self.books.of_card(&fields["card[number]"]) {
                Some(session) => session,
                None => return Reply::json(402, &error("card_error", "incorrect_number")),
            },
            "/v1/payment_intents" => fields["metadata[session]"].clone(),
            other => panic!("nobody should want {other}"),
        };
        let is_calm = self.books.is_calm();
        let (fault, takes, declines, when) = {
            let mut rng = self.rng.lock().unwrap();
            let most = if !is_calm && rng.below(20) == 0 { SLOW } else { BUSY };
            let takes = Duration::from_millis(rng.below(most));
            let when = if rng.below(2) == 0 { When::Before } else { When::After };
            (Fault::draw(&mut rng, is_calm), takes, rng.below(7) == 0, when)
        };
        self.books.write(&session, Event::Asked { id: id.clone(), body: request.body.clone() });
        let breaks = matches!(fault, Fault::Broken).then_some(when);
        let work = Work { session: &session, id: &id, fields: &fields, declines, breaks };
        let reply = match fault {
            Fault::Lost => Reply::Nothing,
            Fault::Busy => Reply::json(429, &error("invalid_request_error", "rate_limit")),
            Fault::Withdrawn => Reply::json(401, &error("invalid_request_error", "api_key_expired")),
            Fault::None | Fault::Silent | Fault::Half | Fault::Broken | Fault::BusyAfter => {
                let (status, made) = self.once(request, work, takes).await;
                // Not for the key: once it is light again, a repeat gives what it did.
                let is_hidden = self.books.is_dark() && request.path == "/v1/payment_intents";
                let (status, made) =
                    if is_hidden { (500, error("api_error", "unknown_error")) } else { (status, made) };
                match fault {
                    Fault::Silent => Reply::Nothing,
                    Fault::Half => Reply::Half(made.to_string()),
                    _ => Reply::json(status, &made),
                }
            }
        };
        let said = if let Reply::Answer { status, .. } = &reply { status.to_string() } else { String::new() };
        self.books.write(&session, Event::Replied(format!("{fault:?} {said}")));
        reply
    }

    /// Works on a key once.
    async fn once(&self, request: &Request, work: Work<'_>, takes: Duration) -> (u16, Value) {
        let wish = format!("{} {}", request.path, request.body);
        {
            let mut ledger = self.ledger.lock().unwrap();
            match ledger.keys.get(work.id) {
                Some(Kept::UnderWay(first) | Kept::Done(first, ..)) if *first != wish => {
                    return (400, error("idempotency_error", "idempotency_key_reused"));
                }
                Some(Kept::UnderWay(_)) => return (409, error("idempotency_error", "idempotency_key_in_use")),
                Some(Kept::Done(_, status, reply)) => return (*status, reply.clone()),
                None => ledger.keys.insert(work.id.to_owned(), Kept::UnderWay(wish.clone())),
            };
        }
        pass(takes).await;
        let id = work.id.to_owned();
        let broken = (500, error("api_error", "unknown_error"));
        let (status, reply) = match work.breaks {
            Some(When::Before) => broken,
            Some(When::After) => {
                self.work(&request.path, &work);
                broken
            }
            None => self.work(&request.path, &work),
        };
        self.ledger.lock().unwrap().keys.insert(id, Kept::Done(wish, status, reply.clone()));
        (status, reply)
    }

    fn work(&self, path: &str, work: &Work<'_>) -> (u16, Value) {
        if path == "/v1/payment_methods" { (200, payment_method()) } else { self.pay(work) }
    }

    fn pay(&self, work: &Work<'_>) -> (u16, Value) {
        let charge = new_id("ch_");
        let mut payment = json!({
            "id": new_id("pi_"), "object": "payment_intent",
            "created": Timestamp::now().as_second(), "livemode": true, "amount": work.fields["amount"],
            "metadata": {"pay_sid": work.fields["metadata[pay_sid]"], "session": work.session},
        });
        let id = work.id.to_owned();
        if work.declines {
            let denial = json!({"type": "card_error", "code": "card_declined", "decline_code": "do_not_honor", "charge": charge});
            payment["status"] = "requires_payment_method".into();
            payment["last_payment_error"] = denial.clone();
            self.ledger.lock().unwrap().payments.push(payment.clone());
            self.books.write(work.session, Event::Declined { id });
            let mut error = denial;
            error["payment_intent"] = payment;
            return (402, json!({ "error": error }));
        }
        let checks = json!({"card": {"checks": {"cvc_check": "pass", "address_postal_code_check": null}}});
        payment["status"] = "succeeded".into();
        payment["latest_charge"] = json!({"id": charge, "object": "charge", "payment_method_details": checks});
        self.ledger.lock().unwrap().payments.push(payment.clone());
        self.books.write(work.session, Event::Charged { id, code: charge });
        (200, payment)
    }

    /// The payments since a moment, the newest first.
    fn list(&self, query: &str) -> Reply {
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        // Who knows no time of the gateway's asks for all.
        let bound = |name: &str| query.get(name).map(|text| text.parse::<i64>().unwrap());
        let (since, until) = (bound("created[gte]").unwrap_or(i64::MIN), bound("created[lte]").unwrap_or(i64::MAX));
        let limit: usize = query["limit"].parse().unwrap();
        let mut found = self.ledger.lock().unwrap().payments.clone();
        found.retain(|payment| (since..=until).contains(&payment["created"].as_i64().unwrap()));
        found.reverse();
        if let Some(after) = query.get("starting_after") {
            let place = found.iter().position(|payment| payment["id"] == after.as_str()).unwrap();
            found.drain(..=place);
        }
        let has_more = found.len() > limit;
        found.truncate(limit);
        // A list holds no charge whole unless it is asked to.
        for payment in &mut found {
            let charge = payment["latest_charge"]["id"].clone();
            payment["latest_charge"] = charge;
        }
        Reply::json(200, &json!({"object": "list", "has_more": has_more, "data": found}))
    }
}

impl Service for Stripe {
    async fn answer(&self, request: Request) -> Reply {
        match request.method.as_str() {
            "GET" if self.books.is_dark() => Reply::json(500, &error("api_error", "unknown_error")),
            "GET" => match request.path.strip_prefix("/v1/payment_methods/") {
                Some(id) => Reply::json(200, &json!({"id": id, "object": "payment_method"})),
                None => self.list(&request.query),
            },
            _ => self.post(&request).await,
        }
    }
}

fn payment_method() -> Value {
    let id = new_id("pm_");
    let created = Timestamp::now().as_second();
    json!({"id": id, "object": "payment_method", "type": "card", "created": created, "livemode": true, "customer": null})
}

fn error(kind: &str, code: &str) -> Value {
    json!({"error": {"type": kind, "code": code, "message": "no"}})
}
