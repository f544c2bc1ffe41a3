//! The merchant's application, which is never killed: it writes down whatever it is told, fails now and then, and has a
//! second payment made by some calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use touchtone::form::Form;
use touchtone::secret::Secret;

use super::moments::pass;
use super::numbers::Chance;
use super::stored::{Books, Event, Kind, Telling};
use super::support::TOKEN;
use super::wire::{Reply, Request, Service};

/// How long a slow answer takes at most, in milliseconds.
const SLOW: u64 = 600;

pub struct Application {
    books: Arc<Books>,
    rng: Mutex<Chance>,
    /// What the answer to a payment's action goes on with, if not with the end.
    next: Mutex<BTreeMap<String, String>>,
    /// The payments whose action has been answered.
    answered: Mutex<BTreeSet<String>>,
}

#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    Slow(u64),
    Fails,
    Closes,
    /// It wants to be asked again.
    NotNow(u16),
    /// It does not.
    Refuses,
}

impl Application {
    pub fn new(books: Arc<Books>, seed: u64) -> Self {
        Self { books, rng: Mutex::new(Chance(seed)), next: Mutex::default(), answered: Mutex::default() }
    }

    /// What follows when `session` has been told.
    pub fn follow_with(&self, session: &str, document: String) {
        self.next.lock().unwrap().insert(session.to_owned(), document);
    }

    /// Whether `session`'s action has been answered, so that what follows has begun or never will.
    pub fn has_answered(&self, session: &str) -> bool {
        self.answered.lock().unwrap().contains(session)
    }

    fn mood(&self) -> Mood {
        if self.books.is_calm() {
            return Mood::Well;
        }
        let mut rng = self.rng.lock().unwrap();
        match rng.below(100) {
            0..=5 => Mood::Fails,
            6..=9 => Mood::Closes,
            18..=20 => Mood::NotNow([408, 425, 429][usize::try_from(rng.below(3)).unwrap()]),
            21 => Mood::Refuses,
            10..=17 => Mood::Slow(rng.below(SLOW)),
            _ => Mood::Well,
        }
    }
}

impl Service for Application {
    async fn answer(&self, request: Request) -> Reply {
        let (kind, session) = match request.path.split('/').collect::<Vec<_>>()[..] {
            ["", "paid", session] => (Kind::Action, session),
            ["", "status", session] => (Kind::Status, session),
            _ => panic!("nobody gave the address {}", request.path),
        };
        let mood = self.mood();
        let is_taken = matches!(mood, Mood::Well | Mood::Slow(_));
        let fields: BTreeMap<String, String> = form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
        let telling = Telling {
            kind,
            token: request.header("i-twilio-idempotency-token").to_owned(),
            is_signed: is_signed(&request, &fields),
            fields,
            is_taken,
            is_refused: matches!(mood, Mood::Refuses),
            answer: format!("{mood:?}"),
        };
        let token = telling.token.clone();
        self.books.write(session, Event::Told(telling));
        if !self.books.answering(&token) {
            self.books.write(session, Event::ToldAtOnce(token.clone()));
        }
        // However it is answered, and whether or not anybody waits for it.
        let _answering = Answering(&self.books, token);
        let document = match kind {
            Kind::Status => String::new(),
            Kind::Action => {
                if is_taken {
                    self.answered.lock().unwrap().insert(session.to_owned());
                }
                let next = self.next.lock().unwrap().get(session).cloned();
                next.unwrap_or_else(|| "<Response><Hangup/></Response>".to_owned())
            }
        };
        match mood {
            Mood::Fails => return Reply::Answer { status: 500, headers: "", body: String::new() },
            Mood::NotNow(status) => {
                return Reply::Answer { status, headers: "retry-after: 1\r\n", body: String::new() };
            }
            Mood::Refuses => return Reply::Answer { status: 422, headers: "", body: String::new() },
            Mood::Closes => return Reply::Nothing,
            Mood::Slow(milliseconds) => pass(Duration::from_millis(milliseconds)).await,
            Mood::Well => {}
        }
        Reply::Answer { status: 200, headers: "content-type: text/xml\r\n", body: document }
    }
}

/// A request that is being answered until this is dropped.
struct Answering<'a>(&'a Books, String);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.answered(&self.1);
    }
}

/// As Twilio's libraries check it: the URL, then each field sorted by name.
fn is_signed(request: &Request, fields: &BTreeMap<String, String>) -> bool {
    let mut form = Form::new();
    for (name, value) in fields {
        form.set(name.clone(), value.clone());
    }
    let url = format!("http://{}{}", request.header("host"), request.path);
    let expected = touchtone::signature::sign(&Secret::new(TOKEN.to_owned()), &url, Some(&form));
    request.header("x-twilio-signature") == expected
}
