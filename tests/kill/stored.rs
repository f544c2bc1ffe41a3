//! What happened, written down by everybody outside the server: a record that the server's word is held against.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

/// One thing that happened to a payment, or to the server while it was under way.
#[derive(Clone, Debug)]
pub enum Event {
    /// It is the first of its call, and the call began.
    Began,
    /// Something that the caller did.
    Did(&'static str),
    /// A request for it reached a gateway. The same id with another `body` is another wish.
    Asked { id: String, body: String },
    /// A gateway took money under an id.
    Charged { id: String, code: String },
    /// A gateway took none, for good.
    Declined { id: String },
    /// What the gateway sent back.
    Replied(String),
    /// A request about it reached the application.
    Told(Telling),
    /// The same request reached it twice at the same time, and no server had died meanwhile.
    ToldAtOnce(String),
}

/// Which of the two requests it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Action,
    Status,
}

/// A request about a payment as the application got it.
#[derive(Clone, Debug)]
pub struct Telling {
    pub kind: Kind,
    /// `I-Twilio-Idempotency-Token`.
    pub token: String,
    pub is_signed: bool,
    pub fields: BTreeMap<String, String>,
    /// Whether the application said that it has it.
    pub is_taken: bool,
    /// Whether it said that it does not want it, ever.
    pub is_refused: bool,
    /// What it answered with.
    pub answer: String,
}

impl Telling {
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Whether it says how the payment ended.
    pub fn is_final(&self) -> bool {
        self.kind == Kind::Action || !self.field("Result").is_empty()
    }

    pub fn is_success(&self) -> bool {
        self.field("Result") == "success"
    }

    pub fn is_unknown(&self) -> bool {
        self.field("Result") == "payment-connector-error"
            && self.field("PayErrorCode") == "64002"
            && self.field("PaymentError") == "outcome unknown"
    }
}

/// What a payment wants of the gateway, and the field that tells what it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    Charge,
    Token,
}

impl Wants {
    pub const fn field(self) -> &'static str {
        match self {
            Self::Charge => "PaymentConfirmationCode",
            Self::Token => "PaymentToken",
        }
    }
}

/// A payment from outside.
#[derive(Clone, Debug)]
pub struct Session {
    pub call_sid: String,
    pub connector: &'static str,
    /// Whether its `<Pay>` names a `statusCallback`.
    pub has_status: bool,
    /// Whether it is a `<Pay>`, which has an `action`.
    pub has_action: bool,
    /// Which start of a server its call began on.
    pub life: usize,
    /// What it wants of the gateway.
    pub wants: Wants,
    pub events: Vec<(Duration, Event)>,
}

impl Session {
    pub fn tellings(&self) -> impl Iterator<Item = &Telling> {
        self.events.iter().filter_map(|(_, event)| match event {
            Event::Told(telling) => Some(telling),
            _ => None,
        })
    }

    /// Whether a gateway was asked anything for it: then it is in the server's books.
    pub fn was_asked(&self) -> bool {
        self.events.iter().any(|(_, event)| matches!(event, Event::Asked { .. }))
    }

    /// The confirmation codes of what was taken, or the tokens.
    pub fn charges(&self) -> Vec<&str> {
        let codes = self.events.iter().filter_map(|(_, event)| match event {
            Event::Charged { code, .. } => Some(code.as_str()),
            _ => None,
        });
        codes.collect()
    }

    /// When it had certainly begun: it was told of, or the caller had heard it ask.
    pub fn begun(&self) -> Option<Duration> {
        let mut events = self.events.iter();
        let begun = events.find(|(_, event)| match event {
            Event::Told(_) | Event::Asked { .. } => true,
            Event::Did(what) => what.starts_with("keys"),
            _ => false,
        });
        begun.map(|(at, _)| *at)
    }

    /// Whether the server knows of it: its call began, or somebody heard of it from the server.
    pub fn began(&self) -> bool {
        self.events.iter().any(|(_, event)| matches!(event, Event::Began | Event::Asked { .. } | Event::Told(_)))
    }
}

/// What a killer may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Asked,
    Replied,
    Told,
}

#[derive(Default)]
pub struct State {
    pub sessions: BTreeMap<String, Session>,
    /// Whose card a number is.
    cards: BTreeMap<String, String>,
    /// When servers began to listen, when they were killed, and when the database was away.
    pub lives: Vec<(Duration, String)>,
    life: usize,
    /// Which start of a server is at an address now.
    running: BTreeMap<SocketAddr, usize>,
    /// When each start of a server was killed.
    deaths: BTreeMap<usize, Duration>,
    /// From when to when the database was away.
    away: Vec<(Duration, Option<Duration>)>,
    /// The requests that are being answered, by their tokens, and how many servers had died when they came.
    answering: BTreeMap<String, usize>,
}

/// How a payment begins.
pub struct Opened<'a> {
    pub call_sid: &'a str,
    pub connector: &'static str,
    pub has_status: bool,
    pub wants: Wants,
    /// Who has its call.
    pub server: SocketAddr,
}

pub struct Books {
    begun: Instant,
    state: Mutex<State>,
    signals: broadcast::Sender<Signal>,
    /// Whether everybody behaves from now on.
    calm: AtomicBool,
    /// Whether Stripe takes money and says nothing of it.
    dark: AtomicBool,
    /// How many calls have come to their end.
    pub calls_over: AtomicUsize,
}

impl Books {
    pub fn new() -> Self {
        let signals = broadcast::channel(1024).0;
        Self {
            begun: Instant::now(),
            state: Mutex::default(),
            signals,
            calm: AtomicBool::new(false),
            dark: AtomicBool::new(false),
            calls_over: AtomicUsize::new(0),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn signals(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }

    /// From now on gateways and application answer at once and as they should.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Release);
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Acquire)
    }

    /// From now on Stripe takes money and says nothing of it, or tells again what it did.
    pub fn darken(&self, is_dark: bool) {
        self.dark.store(is_dark, Ordering::Release);
    }

    pub fn is_dark(&self) -> bool {
        self.dark.load(Ordering::Acquire)
    }

    pub fn open(&self, session: &str, card: &str, opened: Opened<'_>) {
        let Opened { call_sid, connector, has_status, wants, server } = opened;
        let mut state = self.state();
        // One that is killed just now is not running any more.
        let life = state.running.get(&server).copied().unwrap_or_default();
        let call_sid = call_sid.to_owned();
        let opened = Session { call_sid, connector, has_status, has_action: true, life, wants, events: Vec::new() };
        assert!(state.sessions.insert(session.to_owned(), opened).is_none(), "two payments are called {session}");
        assert!(state.cards.insert(card.to_owned(), session.to_owned()).is_none(), "two payments have one card");
    }

    /// It is led by an agent.
    pub fn has_no_action(&self, session: &str) {
        self.state().sessions.get_mut(session).expect("a payment that nobody made").has_action = false;
    }

    /// Whose card it is. Nobody's: one who had lost his place keyed a number made of two.
    pub fn of_card(&self, card: &str) -> Option<String> {
        self.state().cards.get(card).cloned()
    }

    /// Every card number that was keyed.
    pub fn cards(&self) -> Vec<String> {
        self.state().cards.keys().cloned().collect()
    }

    pub fn write(&self, session: &str, event: Event) {
        let signal = match &event {
            Event::Asked { .. } => Some(Signal::Asked),
            Event::Replied(_) => Some(Signal::Replied),
            Event::Told(_) => Some(Signal::Told),
            _ => None,
        };
        let at = self.begun.elapsed();
        let mut state = self.state();
        state.sessions.get_mut(session).expect("a payment that nobody made").events.push((at, event));
        drop(state);
        if let Some(signal) = signal {
            let _ = self.signals.send(signal);
        }
    }

    pub fn listens(&self, server: SocketAddr) {
        let at = self.begun.elapsed();
        let mut state = self.state();
        state.life += 1;
        let life = state.life;
        state.running.insert(server, life);
        state.lives.push((at, format!("the server {server} listens, start {life}")));
    }

    pub fn killed(&self, server: SocketAddr) {
        let at = self.begun.elapsed();
        let mut state = self.state();
        if let Some(life) = state.running.remove(&server) {
            state.deaths.insert(life, at);
        }
        state.lives.push((at, format!("the server {server} is killed")));
    }

    /// The database cannot be used from now on, or can be again.
    pub fn database(&self, is_away: bool) {
        let at = self.begun.elapsed();
        let mut state = self.state();
        match state.away.last_mut() {
            Some((_, until)) if !is_away => *until = Some(at),
            _ => state.away.push((at, None)),
        }
        state.lives.push((at, format!("the database is {}", if is_away { "away" } else { "back" })));
    }

    /// A request came, and is being answered until [`Self::answered`]. False: so it is already, and nobody has died since.
    pub fn answering(&self, token: &str) -> bool {
        let mut state = self.state();
        let deaths = state.deaths.len();
        state.answering.insert(token.to_owned(), deaths) != Some(deaths)
    }

    pub fn answered(&self, token: &str) {
        self.state().answering.remove(token);
    }

    /// The start that is the last one so far; the first is 1.
    pub fn life(&self) -> usize {
        self.state().life()
    }
}

impl State {
    /// The starts of servers that were not killed.
    pub fn peaceful(&self) -> BTreeSet<usize> {
        self.running.values().copied().collect()
    }

    /// When the start of a server was killed.
    pub fn death(&self, life: usize) -> Option<Duration> {
        self.deaths.get(&life).copied()
    }

    /// Whether the database was away at some moment between these.
    pub fn was_away(&self, from: Duration, until: Duration) -> bool {
        self.away.iter().any(|(away, back)| *away <= until && back.is_none_or(|back| back >= from))
    }

    /// As [`Books::life`].
    pub const fn life(&self) -> usize {
        self.life
    }

    /// All of what happened to a session, with what happened to the server meanwhile.
    pub fn history(&self, session: &str) -> String {
        let Some(found) = self.sessions.get(session) else { return String::new() };
        let (Some((first, _)), Some((last, _))) = (found.events.first(), found.events.last()) else {
            return format!("{session}: nothing happened\n");
        };
        let mut lines: Vec<(Duration, String)> = found
            .events
            .iter()
            .map(|(at, event)| (*at, event.to_string()))
            .chain(
                self.lives.iter().filter(|(at, _)| at >= first && at <= last).map(|(at, what)| (*at, what.to_string())),
            )
            .collect();
        lines.sort_by_key(|(at, _)| *at);
        let status = if found.has_status { "with" } else { "without" };
        let leads = if found.has_action { "" } else { ", led by an agent" };
        let mut text = format!(
            "{session}: {}, {}, {status} statusCallback{leads}, start {}\n",
            found.call_sid, found.connector, found.life
        );
        for (at, line) in lines {
            text.push_str(&format!("  {:>9.3} s  {line}\n", at.as_secs_f64()));
        }
        text
    }

    /// How many payments were under way at the gateway, or not told yet, when the server was killed.
    pub fn cut(&self) -> usize {
        let kills = || self.lives.iter().filter(|(_, what)| what.contains("killed")).map(|(at, _)| *at);
        let sessions = self.sessions.values().filter(|session| {
            let asked = session.events.iter().find(|(_, event)| matches!(event, Event::Asked { .. }));
            let told = session
                .events
                .iter()
                .find(|(_, event)| matches!(event, Event::Told(telling) if telling.is_final() && telling.is_taken));
            asked.is_some_and(|(asked, _)| {
                kills().any(|kill| kill > *asked && told.is_none_or(|(told, _)| kill < *told))
            })
        });
        sessions.count()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began => write!(f, "begins"),
            Self::Did(what) => write!(f, "the caller {what}"),
            // A stable few digits are enough to see whether two are the same.
            Self::Asked { id, body } => write!(f, "the gateway is asked as {id} ({})", uuid_of(body)),
            Self::Charged { id, code } => write!(f, "CHARGED as {id}: {code}"),
            Self::Declined { id } => write!(f, "declined as {id}"),
            Self::Replied(how) => write!(f, "the gateway replies: {how}"),
            Self::ToldAtOnce(token) => write!(f, "TOLD {token} WHILE IT IS BEING ANSWERED"),
            Self::Told(telling) => {
                let names =
                    ["SequenceNumber", "For", "Result", "PaymentConfirmationCode", "PayErrorCode", "PaymentError"];
                write!(f, "{:?} {} told", telling.kind, telling.token)?;
                for name in names.iter().filter(|name| !telling.field(name).is_empty()) {
                    write!(f, ", {name}={}", telling.field(name))?;
                }
                let unsigned = if telling.is_signed { "" } else { ", NOT SIGNED" };
                write!(f, "{unsigned}; the application answers {}", telling.answer)
            }
        }
    }
}

/// An id without a digit: one with a dozen of them in a row could be a card number, and the server takes no such id.
pub fn new_id(prefix: &str) -> String {
    let hex = uuid::Uuid::new_v4().simple().to_string();
    let letters = hex.bytes().map(|byte| char::from(if byte.is_ascii_digit() { byte - b'0' + b'g' } else { byte }));
    std::iter::once(prefix.to_owned()).chain(letters.map(String::from)).collect()
}

fn uuid_of(body: &str) -> String {
    let sum = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, body.as_bytes()).simple().to_string();
    sum[..8].to_owned()
}
