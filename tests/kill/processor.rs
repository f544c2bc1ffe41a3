//! A payment processor behind the generic contract: slow, forgetful, and true to one thing, that a transaction id is
//! charged once. Everything that it is asked is written down. At `/strict` it takes a repeat for a mistake, and says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::moments::pass;
use super::numbers::Chance;
use super::stored::{Books, Event, Wants, new_id};
use super::wire::{Reply, Request, Service};

/// How long it takes at most over a payment, in milliseconds; now and then longer than it is given (`SLOW`).
const BUSY: u64 = 150;
const SLOW: u64 = 1300;

/// What becomes of a request on its way.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    None,
    /// It does not arrive.
    Lost,
    /// 503 with `Retry-After`, and nothing is done.
    Busy,
    /// It counts, and the connection closes.
    Silent,
    /// It counts, and half the reply arrives.
    Half,
    /// It counts, and a 500 comes back.
    Broken,
    /// It counts, and 503 with `Retry-After` comes back.
    BusyAfter,
    /// 401, as if the credentials had been withdrawn; nothing is done.
    Withdrawn,
}

impl Fault {
    pub fn draw(rng: &mut Chance, is_calm: bool) -> Self {
        if is_calm {
            return Self::None;
        }
        match rng.below(100) {
            0..=5 => Self::Lost,
            6..=8 => Self::Busy,
            9..=14 => Self::Silent,
            15..=17 => Self::Half,
            18..=22 => Self::Broken,
            23 => Self::Withdrawn,
            24 | 25 => Self::BusyAfter,
            _ => Self::None,
        }
    }
}

pub struct Processor {
    books: Arc<Books>,
    rng: Mutex<Chance>,
    /// What became of each transaction id.
    made: Mutex<BTreeMap<String, Arc<OnceCell<Value>>>>,
}

impl Processor {
    pub fn new(books: Arc<Books>, seed: u64) -> Self {
        Self { books, rng: Mutex::new(Chance(seed)), made: Mutex::default() }
    }

    /// The charge, as often as it is asked for.
    async fn charge(&self, session: &str, id: &str, takes: Duration, declines: bool) -> Value {
        let made = Arc::clone(self.made.lock().unwrap().entry(id.to_owned()).or_default());
        let work = || async {
            pass(takes).await;
            let wants = self.books.state().sessions[session].wants;
            let (id_name, prefix) = match wants {
                Wants::Charge => ("charge_id", "ch_"),
                Wants::Token => ("token_id", "tok_"),
            };
            if declines {
                self.books.write(session, Event::Declined { id: id.to_owned() });
                return json!({id_name: null, "error_code": "do_not_honor", "error_message": "The bank says no."});
            }
            let code = new_id(prefix);
            self.books.write(session, Event::Charged { id: id.to_owned(), code: code.clone() });
            json!({id_name: code, "error_code": null, "error_message": null})
        };
        made.get_or_init(work).await.clone()
    }
}

impl Service for Processor {
    async fn answer(&self, request: Request) -> Reply {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let session = body["parameters"]["session"].as_str().unwrap().to_owned();
        let id = body["transaction_id"].as_str().unwrap().to_owned();
        let (fault, takes, declines) = {
            let mut rng = self.rng.lock().unwrap();
            let is_calm = self.books.is_calm();
            let most = if !is_calm && rng.below(20) == 0 { SLOW } else { BUSY };
            (Fault::draw(&mut rng, is_calm), Duration::from_millis(rng.below(most)), rng.below(7) == 0)
        };
        self.books.write(&session, Event::Asked { id: id.clone(), body: request.body.clone() });
        let reply = match fault {
            Fault::Lost => Reply::Nothing,
            Fault::Busy => {
                Reply::Answer { status: 503, headers: "retry-after: 1\r\n", body: "come back later".to_owned() }
            }
            Fault::Withdrawn => Reply::json(401, &json!({"message": "who are you"})),
            _ if request.path == "/strict" && self.made.lock().unwrap().contains_key(&id) => {
                let no =
                    json!({"charge_id": null, "error_code": "duplicate", "error_message": "It was asked for before."});
                self.books.write(&session, Event::Replied(format!("{fault:?} duplicate")));
                return Reply::json(200, &no);
            }
            Fault::None | Fault::Silent | Fault::Half | Fault::Broken | Fault::BusyAfter => {
                let made = self.charge(&session, &id, takes, declines).await;
                match fault {
                    Fault::Silent => Reply::Nothing,
                    Fault::Half => Reply::Half(made.to_string()),
                    Fault::BusyAfter => {
                        let headers = "content-type: application/json\r\nretry-after: 1\r\n";
                        Reply::Answer { status: 503, headers, body: made.to_string() }
                    }
                    Fault::Broken => Reply::json(500, &json!({"message": "an error occurred"})),
                    _ => Reply::json(200, &made),
                }
            }
        };
        self.books.write(&session, Event::Replied(format!("{fault:?}")));
        reply
    }
}
