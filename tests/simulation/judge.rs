//! What must hold at the end of every run, whatever happened in it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use touchtone::store::{CallbackKind, Occasion, PaymentRow, PaymentState, SessionRow, token};

use super::application::{amount, session};
use super::database::Rows;
use super::plan::Plan;
use super::requests;
use super::world::{Arrival, Session, World};

/// Digits in a row that no text may have in common with a card number. Shorter ones turn up by chance in tokens.
const DIGITS: usize = 9;

/// How old a session is at most that a crash may leave without a trace.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);

/// What a simulated moment is later than a server's own at most: a step of the simulation, and what a message takes.
const TOLERANCE: Duration = Duration::from_millis(100);

/// How many findings of a kind are shown that there may be hundreds of.
const SHOWN: usize = 3;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Nobody is charged twice.
    ChargedOnce,
    /// What is told of a charge is true.
    Truth,
    /// The store says what the processor did.
    Books,
    /// Every session is told.
    Told,
    /// And once, but for an outcome that was unknown.
    ToldOnce,
    /// A token never carries two results.
    OneResult,
    /// A success is written down before it is told.
    WrittenFirst,
    /// Status callbacks come in their order.
    Order,
    /// A request is not under way twice at the same time.
    NotAtOnce,
    /// Nobody is taken over who is there.
    TakenOver,
    /// What was refused for good is kept, and only what was taken note of counts as delivered.
    Kept,
    /// Soon after the last fault nothing is left to do.
    Rest,
    /// Requests are signed, have a token, and are the same when they come again.
    Requests,
    /// Nothing holds digits of a card.
    Secrets,
    /// Nothing breaks down.
    Broken,
}

/// Something that does not hold.
#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: Rule,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

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
    pub refused: usize,
    pub of_several_servers: usize,
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
        self.refused += more.refused;
        self.of_several_servers += more.of_several_servers;
    }
}

/// Everything that is wrong.
pub fn judge(world: &World, trace: &[String]) -> (Vec<Finding>, Count) {
    let rows = world.database.rows();
    let arrivals = world.arrivals.lock().unwrap();
    let ledger = world.ledger.lock().unwrap();
    let mut judge = Judge { world, rows: &rows, arrivals: &arrivals, findings: Vec::new(), count: Count::default() };
    judge.count.crashes = world.crashes.lock().unwrap().len();
    judge.count.charges = ledger.charges.len();
    judge.count.of_several_servers = usize::from(world.plan.servers > 1);
    let in_the_books = rows.callbacks.iter().filter_map(|row| session(path(&row.url)));
    let in_the_books = in_the_books.filter(|(word, _)| *word != "left").map(|(_, session)| session);
    let sessions: BTreeSet<Session> = in_the_books.chain(world.sessions()).collect();
    for session in sessions {
        judge.count.sessions += 1;
        let charged: Vec<&str> = ledger
            .charges
            .iter()
            .filter(|(charged, _)| *charged == amount(session))
            .map(|(_, id)| id.as_str())
            .collect();
        judge.session(session, &charged);
    }
    for (charged, id) in &ledger.charges {
        if !(0..8).any(|call| (1..8).any(|number| amount((call, number)) == *charged)) {
            judge.find(Rule::Books, format!("the charge {id} of {charged} is nobody's"));
        }
    }
    judge.count.repeated = requests::repeated(&arrivals);
    judge.count.refused = arrivals.iter().filter(|arrival| arrival.refused.is_some()).count();
    let unwritten = Unwritten::of(&rows, &arrivals);
    judge.findings.extend(requests::findings(&arrivals, |token| unwritten.tokens.contains(token)));
    judge.findings.extend(requests::kept(
        &arrivals,
        &rows,
        |url| world.plan.leads_to_the_dead(url),
        |token| unwritten.instead.contains(token),
    ));
    let late: BTreeSet<String> =
        rows.payments.iter().map(|row| told_with(&row.sid, Occasion::Late, CallbackKind::Status)).collect();
    let attempts = world.attempts.lock().unwrap();
    judge.find_all(Rule::NotAtOnce, attempts.at_once());
    judge.find_all(Rule::Order, attempts.disorder(|token| late.contains(token)));
    judge.taken_over(trace);
    judge.secrets(trace);
    for line in trace {
        if line.contains("broke down") || line.contains("panicked") {
            judge.find(Rule::Broken, format!("something broke down: {line}"));
        }
    }
    (judge.findings, judge.count)
}

/// The token that a payment's outcome is told with.
fn told_with(sid: &str, occasion: Occasion, kind: CallbackKind) -> String {
    token(sid, occasion, kind).to_string()
}

/// What live calls told that could not wait for the database.
struct Unwritten {
    /// The tokens that it is told with.
    tokens: BTreeSet<String>,
    /// The tokens of what need not be told by an action any more, because that was taken note of.
    instead: BTreeSet<String>,
}

impl Unwritten {
    fn of(rows: &Rows, arrivals: &[Arrival]) -> Self {
        let noted: BTreeSet<&str> =
            arrivals.iter().filter(|arrival| arrival.noted).map(|arrival| arrival.token.as_str()).collect();
        let (mut tokens, mut instead) = (BTreeSet::new(), BTreeSet::new());
        // What tells of a session that its own server could not write down: it is that server's alone.
        let written: BTreeSet<&str> = rows.payments.iter().map(|row| row.sid.as_str()).collect();
        let callbacks = rows.callbacks.iter().filter_map(|row| row.payment_sid.as_deref());
        for sid in rows.payments.iter().map(|row| row.sid.as_str()).chain(callbacks) {
            let unwritten = told_with(sid, Occasion::Unwritten, CallbackKind::Action);
            if noted.contains(unwritten.as_str()) {
                let occasions = [Occasion::First, Occasion::Late];
                instead.extend(occasions.map(|occasion| told_with(sid, occasion, CallbackKind::Action)));
            }
            tokens.insert(unwritten);
            if !written.contains(sid) {
                tokens.insert(told_with(sid, Occasion::First, CallbackKind::Action));
            }
        }
        Self { tokens, instead }
    }
}

struct Judge<'a> {
    world: &'a World,
    rows: &'a Rows,
    arrivals: &'a [Arrival],
    findings: Vec<Finding>,
    count: Count,
}

/// What an application was told of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Success,
    Unknown,
    Failure,
}

/// A request that tells a session's result, as the application first took note of it.
#[derive(Clone, Copy, Debug)]
struct Telling<'a> {
    arrival: &'a Arrival,
    told: Told,
}

impl<'a> Judge<'a> {
    fn find(&mut self, rule: Rule, what: String) {
        self.findings.push(Finding { rule, what });
    }

    fn find_all(&mut self, rule: Rule, all: Vec<String>) {
        let more = all.len().saturating_sub(SHOWN);
        self.findings.extend(all.into_iter().take(SHOWN).map(|what| Finding { rule, what }));
        if more > 0 {
            self.find(rule, format!("and {more} more"));
        }
    }

    fn session(&mut self, session: Session, charged: &[&str]) {
        let what = format!("session {}/{} ({})", session.0, session.1, amount(session));
        if charged.len() > 1 {
            self.find(Rule::ChargedOnce, format!("{what}: charged {} times: {charged:?}", charged.len()));
        }
        let rows: Vec<&PaymentRow> =
            self.rows.payments.iter().filter(|row| row.amount.as_deref() == Some(&amount(session))).collect();
        if rows.len() > 1 {
            self.find(Rule::Books, format!("{what}: {} entries in the books", rows.len()));
        }
        let row = rows.first().copied();
        let (actions, finals) = (self.tellings("paid", session), self.tellings("status", session));
        let sid = row.map(|row| row.sid.as_str()).or_else(|| self.sid(session));
        let unwritten = sid.map(|sid| told_with(sid, Occasion::Unwritten, CallbackKind::Action));
        let unwritten = unwritten.as_deref();
        // A session whose gateway was not to be asked is told by its own server on the first occasion, written down or not.
        let before = sid.filter(|_| row.is_none()).map(|sid| told_with(sid, Occasion::First, CallbackKind::Action));
        let before: Vec<&str> = unwritten.into_iter().chain(before.as_deref()).collect();
        for (kind, tellings) in [("action", &actions), ("status callback", &finals)] {
            self.true_and_once(&what, kind, tellings, &before, charged);
        }
        self.in_the_books(&what, row, charged);
        if row.is_none() {
            self.count.not_in_the_books += 1;
        }
        let is_dead = self.world.plan.is_dead(self.world.plan.calls[session.0 as usize].application);
        let refused = (self.is_refused("paid", session), self.is_refused("status", session));
        if !charged.is_empty() && actions.is_empty() && finals.is_empty() && !is_dead && refused == (false, false) {
            self.find(Rule::Told, format!("{what}: charged, and nobody was told"));
        }
        let begun = |row: &SessionRow| row.amount.as_deref() == Some(&amount(session));
        let is_written = row.is_some() || self.rows.sessions.iter().any(begun);
        let may_be_lost = is_dead || (!is_written && self.may_be_lost(session));
        for (kind, refused, tellings) in [("action", refused.0, &actions), ("status callback", refused.1, &finals)] {
            if tellings.is_empty() && !may_be_lost && !refused {
                let cut = self.cut_at(session).zip(self.begun(session)).filter(|_| row.is_none());
                let cut = cut.map(|((_, at), begun)| at.saturating_sub(begun).as_secs_f64());
                let cut = cut.map(|after| format!(" (a crash cut it after {after:.1} s)"));
                self.find(Rule::Told, format!("{what}: its result was told by no {kind}{}", cut.unwrap_or_default()));
            }
        }
        if let (Some(action), Some(last)) = (actions.first(), finals.first())
            && action.told != last.told
            // What was not written down in time is told of as unknown, and then by the status callback as it is.
            && !(action.told == Told::Unknown && Some(action.arrival.token.as_str()) == unwritten)
            && refused == (false, false)
        {
            let what = format!("{what}: the action said {:?}, the status callback {:?}", action.told, last.told);
            self.find(Rule::ToldOnce, what);
        }
        if let Some(row) = row {
            self.by_its_token(&what, row, CallbackKind::Action, &actions);
            self.by_its_token(&what, row, CallbackKind::Status, &finals);
        }
        match actions.last().map(|last| last.told) {
            Some(Told::Success) => self.count.succeeded += 1,
            Some(Told::Unknown) => self.count.unknown += 1,
            Some(Told::Failure) => self.count.failed += 1,
            None => {}
        }
    }

    /// The id of a session that is in no books, by what was to be told of it.
    fn sid(&self, about: Session) -> Option<&'a str> {
        let of = |url: &str| session(path(url)).is_some_and(|(_, session)| session == about);
        self.rows.callbacks.iter().filter(|row| of(&row.url)).find_map(|row| row.payment_sid.as_deref())
    }

    fn true_and_once(&mut self, what: &str, kind: &str, tellings: &[Telling<'_>], before: &[&str], charged: &[&str]) {
        let late = usize::from(tellings.first().is_some_and(|first| first.told == Told::Unknown));
        let lost =
            tellings.iter().filter(|telling| self.is_told_without_others_knowing(telling, before, tellings)).count();
        if tellings.len() > 1 + late + lost {
            let all: Vec<_> = tellings.iter().map(|telling| (telling.told, &telling.arrival.token)).collect();
            self.find(Rule::ToldOnce, format!("{what}: told by {} {kind}s: {all:?}", tellings.len()));
        }
        for Telling { arrival, told } in tellings {
            match (told, charged.first()) {
                (Told::Success, Some(id)) if arrival.field("PaymentConfirmationCode") == *id => {}
                (Told::Success, _) => {
                    self.find(Rule::Truth, format!("{what}: told as a success, charged {charged:?}"));
                }
                (Told::Failure, Some(_)) => {
                    self.find(Rule::Truth, format!("{what}: told as a failure, but charged"));
                }
                (Told::Failure, None) | (Told::Unknown, _) => {}
            }
            if arrival.too_early {
                self.find(Rule::WrittenFirst, format!("{what}: its success was told before it was written down"));
            }
        }
    }

    /// Whether what a call told without the database may be told once more, with a token of its own: where whoever tells it
    /// from the database does not know, and cannot.
    ///
    /// A call has 5 s to tell its session's end, written down or not: a caller is on the line. If its server cannot reach the
    /// database then, the one channel between servers, an heir finds the session open. It looks the same to the heir whether
    /// the call has told it or has died before: an heir that kept silent would leave sessions untold, a call that kept silent
    /// until it is written would leave callers waiting for ever. So one of the two has to be told twice, and both say that
    /// nothing was taken, or one that nobody knows. The same holds for a server that crashes after it has told, and
    /// for its next run. Nobody else tells it again: not the server that lives on, once it can write.
    fn is_told_without_others_knowing(&self, telling: &Telling<'_>, before: &[&str], tellings: &[Telling<'_>]) -> bool {
        let token = telling.arrival.token.as_str();
        if !before.contains(&token) || telling.told == Told::Success {
            return false;
        }
        // The network brought a copy of a request that the application had refused: its server knows of the refusal alone.
        if self.arrivals.iter().any(|arrival| arrival.token == token && arrival.refused.is_some()) {
            return true;
        }
        let attempts = self.world.attempts.lock().unwrap();
        let others = tellings.iter().filter(|other| other.arrival.token != token);
        let mut others = others.map(|other| attempts.first_by(&other.arrival.token));
        let is_heirs = others.any(|by| by.is_some() && by != attempts.first_by(token));
        is_heirs || !attempts.is_known(token, &self.world.crashes.lock().unwrap())
    }

    /// What is told first has the first token, and what is told after `unknown` has the late one.
    fn by_its_token(&mut self, what: &str, row: &PaymentRow, kind: CallbackKind, tellings: &[Telling<'_>]) {
        let [first, late, unwritten] =
            [Occasion::First, Occasion::Late, Occasion::Unwritten].map(|occasion| told_with(&row.sid, occasion, kind));
        let was_unknown =
            tellings.iter().any(|telling| telling.told == Told::Unknown && telling.arrival.token == first);
        for Telling { arrival, told } in tellings {
            let is_wrong = match (arrival.token == first, arrival.token == late) {
                (true, _) => was_unknown && *told != Told::Unknown,
                (false, true) => *told == Told::Unknown,
                // Not a success: that is what has to be written down first.
                (false, false) => arrival.token != unwritten || *told == Told::Success,
            };
            if is_wrong {
                let what = format!("{what}: {told:?} was told by {} with the token {}", arrival.path, arrival.token);
                self.find(Rule::OneResult, what);
            }
        }
    }

    fn in_the_books(&mut self, what: &str, row: Option<&PaymentRow>, charged: &[&str]) {
        match (row.map(|row| row.state), charged.is_empty()) {
            (Some(PaymentState::Failed), false) => {
                self.find(Rule::Books, format!("{what}: failed in the books, but charged"));
            }
            (Some(PaymentState::Succeeded), true) => {
                self.find(Rule::Books, format!("{what}: succeeded in the books, not charged"));
            }
            (None, false) => self.find(Rule::Books, format!("{what}: charged, but not in the books")),
            (Some(PaymentState::Preparing | PaymentState::Submitting), _) => {
                self.find(Rule::Rest, format!("{what}: still open in the books"));
            }
            _ => {}
        }
    }

    /// Whether a session died with its server before anything of it could be written down.
    fn may_be_lost(&self, session: Session) -> bool {
        let Some((server, cut_at)) = self.cut_at(session) else { return false };
        let Some(begun) = self.begun(session) else { return true };
        let plan = &self.world.plan;
        // A slow disk may need some time for it, and one that fails some more.
        let disk = plan.disk;
        let slow = Duration::from_millis(disk.slowest) * 4;
        let fails = if disk.fails_before + disk.fails_after > 0 { Duration::from_secs(20) } else { Duration::ZERO };
        if cut_at < begun + WRITTEN_WITHIN + TOLERANCE + slow + fails {
            return true;
        }
        plan.outages.iter().filter(|outage| outage.is_of(server)).any(|outage| {
            // What could not be written while the database was away may take some seconds more.
            let over = outage.until + Duration::from_secs(6);
            outage.from <= cut_at && begun <= over && cut_at <= over
        })
    }

    /// When its server crashed under a session's call, and which one it was.
    fn cut_at(&self, session: Session) -> Option<(usize, Duration)> {
        let (server, since) = self.world.served.lock().unwrap().get(&session.0).copied()?;
        let crashes = self.world.crashes.lock().unwrap();
        crashes.iter().find(|crash| crash.server == server && crash.at >= since).map(|crash| (server, crash.at))
    }

    /// A moment at which a session had certainly begun, the first that is known.
    fn begun(&self, session: Session) -> Option<Duration> {
        let told = self.world.attempts.lock().unwrap().first(session);
        let prompted = self.world.prompted.lock().unwrap().get(&session.0).copied().filter(|_| session.1 == 1);
        told.into_iter().chain(prompted).min()
    }

    /// The results a session's application took note of, each telling once, in their order.
    fn tellings(&self, word: &str, about: Session) -> Vec<Telling<'a>> {
        let mut tokens = BTreeSet::new();
        self.arrivals
            .iter()
            .filter(|arrival| arrival.noted && session(&arrival.path) == Some((word, about)))
            .filter_map(|arrival| Some(Telling { arrival, told: told(arrival)? }))
            .filter(|telling| tokens.insert(&telling.arrival.token))
            .collect()
    }

    /// Whether the application refused to be told a session's result by one kind of request.
    fn is_refused(&self, word: &str, about: Session) -> bool {
        self.arrivals.iter().any(|arrival| {
            arrival.refused.is_some() && session(&arrival.path) == Some((word, about)) && told(arrival).is_some()
        })
    }

    /// What is a server's stays that server's while it runs, however long the database was away for all. Where it is away for
    /// one server alone, or writes fail by chance, that server cannot be told from one that is gone.
    fn taken_over(&mut self, trace: &[String]) {
        let Plan { disk, outages, .. } = &self.world.plan;
        if disk.fails_before + disk.fails_after > 0 || outages.iter().any(|outage| outage.server.is_some()) {
            return;
        }
        let is_takeover = |line: &&String| {
            line.contains("payment was left without an outcome") || line.contains("session was left without an end")
        };
        let of_the_living = trace.iter().filter(is_takeover).filter(|line| {
            let call = line.split_once("call_sid=\"CA").and_then(|(_, rest)| u32::from_str_radix(&rest[..32], 16).ok());
            call.is_some_and(|call| self.is_served(call) && self.cut_at((call, 1)).is_none())
        });
        let all = of_the_living.map(|line| format!("its server was there: {line}")).collect();
        self.find_all(Rule::TakenOver, all);
    }

    fn is_served(&self, call: u32) -> bool {
        self.world.served.lock().unwrap().contains_key(&call)
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
        let rows = self.rows.payments.iter().map(|row| format!("{row:?}"));
        let others = self.rows.callbacks.iter().map(|row| format!("{} {:?}", row.url, row.reason));
        let heard = self.world.heard.lock().unwrap();
        let told = self.arrivals.iter().map(|arrival| arrival.body.clone());
        for text in rows.chain(others).chain(told).chain(heard.iter().cloned()).chain(trace.iter().cloned()) {
            if search.is_match(&text) {
                self.findings.push(Finding { rule: Rule::Secrets, what: format!("digits of a card: {text}") });
            }
        }
        for arrival in self.arrivals {
            let mut groups = self.world.plan.calls.iter().flat_map(|plan| &plan.groups);
            if arrival.fields.get("SecurityCode").is_some_and(|code| groups.any(|group| group == code)) {
                let what = format!("a security code: {}", arrival.body);
                self.findings.push(Finding { rule: Rule::Secrets, what });
            }
        }
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

/// The path of an address.
pub fn path(url: &str) -> &str {
    url.split_once("localhost").map_or(url, |(_, path)| path)
}
