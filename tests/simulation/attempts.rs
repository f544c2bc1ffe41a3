//! Every try of a server to tell the application something, as the server's own network sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::application::session;
use super::world::{Crash, Session};

/// How long a status callback keeps those after it waiting (spec/pay.md, section 7).
const ASIDE_AFTER: Duration = Duration::from_secs(60);

/// What a moment of the servers' may differ from one of the network's.
const TOLERANCE: Duration = Duration::from_millis(100);

/// One try.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub server: usize,
    pub path: String,
    pub token: String,
    /// `SequenceNumber`.
    pub number: Option<u32>,
    pub from: Duration,
    /// None: nobody has seen its end.
    pub until: Option<Duration>,
    /// The status that came back.
    pub status: Option<u16>,
}

impl Attempt {
    /// Whether what came back says that the callback need not be tried again.
    fn is_done(&self) -> bool {
        self.status.is_some_and(|status| !is_for_now(status))
    }

    /// The session that it tells of, if it is a status callback.
    fn status_of(&self) -> Option<Session> {
        session(&self.path).filter(|(word, _)| matches!(*word, "status" | "left")).map(|(_, session)| session)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, path, token, number, from, .. } = self;
        let number = number.map(|number| format!(" number {number}")).unwrap_or_default();
        write!(f, "{path}{number} ({token}) by server {} at {:.3}", server + 1, from.as_secs_f64())
    }
}

/// Whether a status asks for another try (spec/pay.md, section 7).
pub const fn is_for_now(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}

/// All tries, in the order in which they began.
#[derive(Debug, Default)]
pub struct Attempts {
    all: Vec<Attempt>,
    /// Of each server those that are under way.
    open: BTreeMap<usize, BTreeSet<usize>>,
}

impl Attempts {
    /// Gives its number, for [`Self::end`].
    pub fn begin(&mut self, attempt: Attempt) -> usize {
        let number = self.all.len();
        self.open.entry(attempt.server).or_default().insert(number);
        self.all.push(attempt);
        number
    }

    /// The second time nothing happens.
    pub fn end(&mut self, number: usize, at: Duration, status: Option<u16>) {
        let attempt = &mut self.all[number];
        if self.open.get_mut(&attempt.server).is_some_and(|open| open.remove(&number)) {
            (attempt.until, attempt.status) = (Some(at), status);
        }
    }

    /// A server died, and everything that it was trying.
    pub fn crash(&mut self, server: usize, at: Duration) {
        for number in self.open.remove(&server).unwrap_or_default() {
            self.all[number].until = Some(at);
        }
    }

    pub fn sessions(&self) -> impl Iterator<Item = Session> {
        let sessions = self.all.iter().filter_map(|attempt| session(&attempt.path));
        sessions.filter(|(word, _)| matches!(*word, "paid" | "status")).map(|(_, session)| session)
    }

    /// Whether a server knows that a request need not be made again: it has heard so, and was not among `crashes` later.
    pub fn is_known(&self, token: &str, crashes: &[Crash]) -> bool {
        let mut those = self.all.iter().filter(|attempt| attempt.token == token && attempt.is_done());
        those.any(|attempt| !crashes.iter().any(|crash| crash.server == attempt.server && crash.at >= attempt.from))
    }

    /// Which server was the first to make a request.
    pub fn first_by(&self, token: &str) -> Option<usize> {
        self.all.iter().find(|attempt| attempt.token == token).map(|attempt| attempt.server)
    }

    /// When a session was first told of.
    pub fn first(&self, about: Session) -> Option<Duration> {
        let mut those = self.all.iter();
        those
            .find(|attempt| session(&attempt.path).is_some_and(|(word, of)| word != "doc" && of == about))
            .map(|attempt| attempt.from)
    }

    /// The same request under way twice at the same time.
    pub fn at_once(&self) -> Vec<String> {
        let mut by_token: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
        let mut found = Vec::new();
        for attempt in &self.all {
            let earlier = by_token.entry(&attempt.token).or_default();
            if let Some(other) = earlier.iter().find(|earlier| earlier.until.is_none_or(|until| until > attempt.from)) {
                found.push(format!("{attempt}: while {other} is under way"));
            }
            earlier.push(attempt);
        }
        found
    }

    /// First tries of a call's status callbacks that began too early. One that is told late, which `is_late` says of its
    /// token, has no place in the order.
    pub fn disorder(&self, is_late: impl Fn(&str) -> bool) -> Vec<String> {
        let mut calls: BTreeMap<u32, BTreeMap<(u32, u32), Vec<&Attempt>>> = BTreeMap::new();
        for attempt in &self.all {
            let (Some((call, session)), Some(number)) = (attempt.status_of(), attempt.number) else { continue };
            if !is_late(&attempt.token) {
                calls.entry(call).or_default().entry((session, number)).or_default().push(attempt);
            }
        }
        let mut found = Vec::new();
        for callbacks in calls.values() {
            let callbacks: Vec<&Vec<&Attempt>> = callbacks.values().collect();
            for (place, later) in callbacks.iter().enumerate() {
                let begun = later[0].from;
                for earlier in &callbacks[..place] {
                    let is_done =
                        earlier.iter().any(|try_| try_.is_done() && try_.until.is_some_and(|until| until <= begun));
                    let is_aside = begun + TOLERANCE >= earlier[0].from + ASIDE_AFTER;
                    if !is_done && !is_aside {
                        found.push(format!("{}: before {} was answered or had stepped aside", later[0], earlier[0]));
                    }
                }
            }
        }
        found
    }
}
