//! What must hold at the end of every run, whatever happened in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::FutureExt;
use touchtone::store::{
    Backend, CallbackFilter, CallbackRow, CallbackState, PAGE_MAX, PaymentFilter, PaymentRow, PaymentState,
    SessionBackend, SessionFilter, SessionRow, SessionState,
};

use super::application::{amount, session};
use super::world::{Arrival, Session, World};

/// How long a status callback keeps those after it waiting (spec/pay.md, section 7).
const ASIDE_AFTER: Duration = Duration::from_secs(60);

/// After how long a session is written down, whatever the disk does: a second, and the tries of a bad disk.
const WRITTEN_AFTER: Duration = Duration::from_secs(5);

/// Digits in a row that no text may have in common with a card number. Shorter ones turn up by chance in tokens.
const DIGITS: usize = 9;

/// What a run was like: that a simulation in which nothing happens proves nothing, is seen here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub sessions: usize,
    pub charges: usize,
    pub succeeded: usize,
    pub unknown: usize,
    pub failed: usize,
    pub crashes: usize,
    pub repeated: usize,
    pub not_in_the_books: usize,
}

impl Count {
    pub fn add(&mut self, more: Self) {
        self.sessions += more.sessions;
        self.charges += more.charges;
        self.succeeded += more.succeeded;
        self.unknown += more.unknown;
        self.failed += more.failed;
        self.crashes += more.crashes;
        self.repeated += more.repeated;
        self.not_in_the_books += more.not_in_the_books;
    }
}

/// The rows of the store.
pub struct Books {
    pub payments: Vec<PaymentRow>,
    /// Those whose gateway was not asked.
    pub sessions: Vec<SessionRow>,
    pub callbacks: Vec<CallbackRow>,
}

impl Books {
    /// What is in the store now: reading from memory waits for nothing.
    pub fn of(world: &World) -> Self {
        let backend = world.backend();
        let payments = backend.payments(PaymentFilter { limit: PAGE_MAX, ..PaymentFilter::default() });
        let callbacks = backend.callbacks(CallbackFilter { limit: PAGE_MAX, ..CallbackFilter::default() });
        let sessions = backend.sessions(SessionFilter { limit: PAGE_MAX, ..SessionFilter::default() });
        Self {
            sessions: sessions.now_or_never().unwrap().unwrap(),
            payments: payments.now_or_never().unwrap().unwrap(),
            callbacks: callbacks.now_or_never().unwrap().unwrap(),
        }
    }

    /// Whether nothing is to be found out or told any more.
    pub fn are_closed(&self) -> bool {
        let open = |row: &PaymentRow| matches!(row.state, PaymentState::Preparing | PaymentState::Submitting);
        let waiting = |row: &CallbackRow| matches!(row.state, CallbackState::Waiting | CallbackState::Held);
        let going_on = |row: &SessionRow| row.state == SessionState::Open;
        !self.payments.iter().any(open) && !self.callbacks.iter().any(waiting) && !self.sessions.iter().any(going_on)
    }
}

/// Everything that is wrong.
pub fn judge(world: &World, trace: &[String]) -> (Vec<String>, Count) {
    let books = Books::of(world);
    let arrivals = world.arrivals.lock().unwrap();
    let ledger = world.ledger.lock().unwrap();
    let crashes = world.crashes.lock().unwrap();
    let mut judge = Judge { world, books: &books, arrivals: &arrivals, faults: Vec::new(), count: Count::default() };
    judge.count.crashes = crashes.len();
    judge.count.charges = ledger.charges.len();
    let sessions: BTreeSet<Session> = arrivals
        .iter()
        .map(|arrival| arrival.path.as_str())
        .chain(books.callbacks.iter().map(|row| path(&row.url)))
        .filter_map(session)
        .filter(|(word, _)| *word != "doc")
        .map(|(_, session)| session)
        .collect();
    for session in sessions {
        judge.count.sessions += 1;
        let charged: Vec<&str> = ledger
            .charges
            .iter()
            .filter(|(charged, _)| *charged == amount(session))
            .map(|(_, id)| id.as_str())
            .collect();
        judge.session(session, &charged, &crashes);
    }
    for (charged, id) in &ledger.charges {
        if !(0..8).any(|call| (1..8).any(|number| amount((call, number)) == *charged)) {
            judge.fault(format!("the charge {id} of {charged} is nobody's"));
        }
    }
    judge.every_request();
    judge.order();
    judge.secrets(trace);
    for row in &books.callbacks {
        if row.state != CallbackState::Delivered {
            judge.fault(format!("callback {} to {} is {}: {:?}", row.id, row.url, row.state.word(), row.reason));
        }
    }
    for line in trace {
        if line.contains("broke down") || line.contains("panicked") {
            judge.fault(format!("something broke down: {line}"));
        }
    }
    (judge.faults, judge.count)
}

struct Judge<'a> {
    world: &'a World,
    books: &'a Books,
    arrivals: &'a [Arrival],
    faults: Vec<String>,
    count: Count,
}

/// What an application was told of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Success,
    Unknown,
    Failure,
}

impl Judge<'_> {
    fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    fn session(&mut self, session: Session, charged: &[&str], crashes: &[Duration]) {
        let what = format!("session {}/{} ({})", session.0, session.1, amount(session));
        if charged.len() > 1 {
            self.fault(format!("{what}: charged {} times: {charged:?}", charged.len()));
        }
        let row = self.books.payments.iter().find(|row| row.amount.as_deref() == Some(&amount(session)));
        let rows = self.books.payments.iter().filter(|row| row.amount.as_deref() == Some(&amount(session))).count();
        if rows > 1 {
            self.fault(format!("{what}: {rows} entries in the books"));
        }
        let actions = self.tellings("paid", session);
        let finals = self.tellings("status", session);
        for (kind, tellings) in [("action", &actions), ("status callback", &finals)] {
            let late = usize::from(tellings.first().is_some_and(|(_, told)| *told == Told::Unknown));
            if tellings.len() > 1 + late {
                self.fault(format!("{what}: told by {} {kind}s: {tellings:?}", tellings.len()));
            }
            for (arrival, told) in tellings {
                match (told, charged.first()) {
                    (Told::Success, Some(id)) if arrival.field("PaymentConfirmationCode") == *id => {}
                    (Told::Success, _) => self.fault(format!("{what}: told as a success, charged {charged:?}")),
                    (Told::Failure, Some(_)) => self.fault(format!("{what}: told as a failure, but charged")),
                    (Told::Failure, None) | (Told::Unknown, _) => {}
                }
            }
        }
        match (row.map(|row| row.state), charged.is_empty()) {
            (Some(PaymentState::Failed), false) => self.fault(format!("{what}: failed in the books, but charged")),
            (Some(PaymentState::Succeeded), true) => self.fault(format!("{what}: succeeded in the books, not charged")),
            (None, false) => self.fault(format!("{what}: charged, but not in the books")),
            (Some(PaymentState::Preparing | PaymentState::Submitting), _) => {
                self.fault(format!("{what}: still open in the books"));
            }
            _ => {}
        }
        if !charged.is_empty() && actions.is_empty() {
            self.fault(format!("{what}: charged, and nobody was told"));
        }
        if row.is_none() {
            self.count.not_in_the_books += 1;
        }
        // Who has nothing in the books when the server dies is told nothing; and that is so for a moment only.
        let begun = self.begun(session);
        let written =
            row.is_some() || self.books.sessions.iter().any(|row| row.amount.as_deref() == Some(&amount(session)));
        let may_be_lost = !written && crashes.iter().any(|crash| (begun..begun + WRITTEN_AFTER).contains(crash));
        for (kind, tellings) in [("action", &actions), ("status callback", &finals)] {
            if tellings.is_empty() && !may_be_lost {
                self.fault(format!("{what}: its result was told by no {kind}"));
            }
        }
        if actions.is_empty() != finals.is_empty() {
            self.fault(format!("{what}: told by {} actions and {} status callbacks", actions.len(), finals.len()));
        }
        if let (Some((_, action)), Some((_, last))) = (actions.first(), finals.first())
            && action != last
        {
            self.fault(format!("{what}: the action said {action:?}, the status callback {last:?}"));
        }
        match actions.last() {
            Some((_, Told::Success)) => self.count.succeeded += 1,
            Some((_, Told::Unknown)) => self.count.unknown += 1,
            Some((_, Told::Failure)) => self.count.failed += 1,
            None => {}
        }
    }

    /// When the first trace of a session was seen.
    fn begun(&self, about: Session) -> Duration {
        let first = self
            .arrivals
            .iter()
            .find(|arrival| session(&arrival.path).is_some_and(|(word, of)| of == about && word != "doc"));
        let stored = self
            .books
            .callbacks
            .iter()
            .filter(|row| session(path(&row.url)).is_some_and(|(_, of)| of == about))
            .map(|row| since(row.since))
            .min();
        let begun = first.map(|arrival| arrival.at);
        begun.into_iter().chain(stored).min().unwrap_or_default()
    }

    /// The results a session's application took note of, each telling once, in their order.
    fn tellings(&self, word: &str, about: Session) -> Vec<(Arrival, Told)> {
        let mut tokens = BTreeSet::new();
        self.arrivals
            .iter()
            .filter(|arrival| arrival.noted && session(&arrival.path) == Some((word, about)))
            .filter_map(|arrival| Some((arrival.clone(), told(arrival)?)))
            .filter(|(arrival, _)| tokens.insert(arrival.token.clone()))
            .collect()
    }

    /// Signed, and the same whenever it comes again.
    fn every_request(&mut self) {
        let mut first: BTreeMap<&str, &Arrival> = BTreeMap::new();
        for arrival in self.arrivals {
            let Arrival { path, token, .. } = arrival;
            if !arrival.signed {
                self.faults.push(format!("{path} {token}: not signed"));
            }
            if token.is_empty() {
                self.faults.push(format!("{path}: no idempotency token"));
            }
            match first.get(token.as_str()) {
                None => {
                    first.insert(token, arrival);
                }
                Some(before) => {
                    self.count.repeated += 1;
                    // An action that is made again after its call says that the call is over.
                    let differ =
                        |name: &&String| before.fields.get(*name) != arrival.fields.get(*name) && *name != "CallStatus";
                    let is_other = before.fields.keys().chain(arrival.fields.keys()).any(|name| differ(&name));
                    if is_other || before.path != arrival.path {
                        let names: BTreeSet<&String> =
                            before.fields.keys().chain(arrival.fields.keys()).filter(differ).collect();
                        let fault = format!("{path} {token}: came again as something else: {names:?}");
                        if !self.faults.contains(&fault) {
                            self.faults.push(fault);
                        }
                    }
                }
            }
        }
        // What is told again, is told with the same token.
        let mut tokens: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for arrival in self.arrivals.iter().filter(|arrival| told(arrival).is_some()) {
            let of = tokens.entry((&arrival.path, arrival.field("Result"))).or_insert(&arrival.token);
            if *of != arrival.token {
                self.faults
                    .push(format!("{}: the same result with the tokens {of} and {}", arrival.path, arrival.token));
            }
        }
    }

    /// The status callbacks of a call arrive in the order they were made in; one may pass another that has failed for a
    /// minute.
    fn order(&mut self) {
        let mut calls: BTreeMap<&str, Vec<&CallbackRow>> = BTreeMap::new();
        for row in &self.books.callbacks {
            if session(path(&row.url)).is_some_and(|(word, _)| word == "status") {
                calls.entry(&row.call_sid).or_default().push(row);
            }
        }
        for (call, rows) in calls {
            for (place, later) in rows.iter().enumerate() {
                let Some(came) = self.first(later, false) else { continue };
                for earlier in &rows[..place] {
                    let passed = self.first(earlier, true).is_none_or(|noted| noted > came);
                    if passed && came < since(earlier.since) + ASIDE_AFTER {
                        self.faults.push(format!(
                            "{call}: callback {} to {} came before {} to {}",
                            later.id, later.url, earlier.id, earlier.url
                        ));
                    }
                }
            }
            // What each session reports goes forward, and ends with its result.
            let mut ended = BTreeSet::new();
            for row in rows {
                let token = row.token.to_string();
                let Some(arrival) = self.arrivals.iter().find(|arrival| arrival.token == token) else { continue };
                let about = session(&arrival.path).map(|(_, about)| about);
                match told(arrival) {
                    Some(_) => {
                        ended.insert(about);
                    }
                    None if ended.contains(&about) => {
                        self.faults.push(format!("{call}: {} reports on after its result", arrival.path));
                    }
                    None => {}
                }
            }
        }
    }

    fn first(&self, row: &CallbackRow, noted: bool) -> Option<Duration> {
        let token = row.token.to_string();
        let mut those = self.arrivals.iter().filter(|arrival| arrival.token == token);
        those.find(|arrival| arrival.noted || !noted).map(|arrival| arrival.at)
    }

    /// No digits of a card in anything that was sent, stored or logged.
    fn secrets(&mut self, trace: &[String]) {
        let mut needles = BTreeSet::new();
        for plan in &self.world.plan.calls {
            for number in plan.groups.iter().map(|group| group.trim_end_matches('#')).filter(|group| group.len() > 12) {
                needles.extend((0..=number.len() - DIGITS).map(|from| number[from..from + DIGITS].to_owned()));
            }
        }
        // A short number with many equal digits could be anything.
        let search = aho_corasick::AhoCorasick::new(&needles).unwrap();
        let rows = self.books.payments.iter().map(|row| format!("{row:?}"));
        let others = self.books.callbacks.iter().map(|row| format!("{} {:?}", row.url, row.reason));
        let heard = self.world.heard.lock().unwrap();
        let told = self.arrivals.iter().map(|arrival| arrival.body.clone());
        for text in rows.chain(others).chain(told).chain(heard.iter().cloned()).chain(trace.iter().cloned()) {
            if search.is_match(&text) {
                self.faults.push(format!("digits of a card: {text}"));
            }
        }
        for arrival in self.arrivals {
            let mut groups = self.world.plan.calls.iter().flat_map(|plan| &plan.groups);
            if arrival.fields.get("SecurityCode").is_some_and(|code| groups.any(|group| group == code)) {
                self.faults.push(format!("a security code: {}", arrival.body));
            }
        }
    }
}

impl Arrival {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// What a request tells of a session's end, if it does.
fn told(arrival: &Arrival) -> Option<Told> {
    match arrival.fields.get("Result")?.as_str() {
        "success" => Some(Told::Success),
        "payment-connector-error" if arrival.field("PaymentError").contains("unknown") => Some(Told::Unknown),
        _ => Some(Told::Failure),
    }
}

fn path(url: &str) -> &str {
    url.split_once("localhost").map_or(url, |(_, path)| path)
}

/// A moment of the wall clock as time since the run began.
fn since(moment: jiff::Timestamp) -> Duration {
    let begin: jiff::Timestamp = super::house::BEGIN.parse().unwrap();
    moment.duration_since(begin).unsigned_abs()
}
