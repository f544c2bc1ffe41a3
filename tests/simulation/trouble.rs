//! What happens to hosts, to the lines between them, to clocks and to the database, and when.

use std::time::Duration;

use super::dice::Dice;
use super::plan::{APPLICATIONS, GATEWAY, PHONES, SERVERS};

/// How far the servers' clocks are from each other at most, in milliseconds.
const SKEW: u64 = 65_000;

/// By how much a clock is set at most, in milliseconds: a machine that was suspended for that long.
const STEP: u64 = 90_000;

/// How long the database is away at most, in milliseconds.
const AWAY: u64 = 90_000;

/// Something happens to hosts or to the lines between them.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Crash(&'static str),
    Start(&'static str),
    Cut(&'static str, &'static str),
    CutOneWay(&'static str, &'static str),
    Mend(&'static str, &'static str),
    Hold(&'static str, &'static str),
    Release(&'static str, &'static str),
    /// Of a thousand messages so many break their line for a while.
    Lossy(&'static str, &'static str, u64),
    /// A server's clock is set by so many milliseconds.
    Step(usize, i64),
}

/// What it is like when the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// Every request fails at once.
    Fails,
    /// Nothing is answered.
    Hangs,
    /// Nothing can be written. What is there can be read.
    Full,
}

/// A time for which the database is away.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub from: Duration,
    pub until: Duration,
    pub what: Away,
    /// For which server; none: for all.
    pub server: Option<usize>,
}

impl Outage {
    pub fn is_of(&self, server: usize) -> bool {
        self.server.is_none_or(|of| of == server)
    }
}

/// An application that is not there.
#[derive(Clone, Copy, Debug)]
pub struct Dead {
    pub application: usize,
    pub from: Duration,
    /// None: it never comes back.
    pub until: Option<Duration>,
}

/// Everything that happens, by the moments it is planned for.
#[derive(Debug)]
pub struct Trouble {
    pub calm_at: Duration,
    pub faults: Vec<(Duration, Fault)>,
    pub outages: Vec<Outage>,
    pub clocks: Vec<i64>,
    pub lost_server: Option<usize>,
    pub dead: Option<Dead>,
}

impl Trouble {
    pub fn of(dice: &mut Dice, servers: usize, applications: usize) -> Self {
        let mut calm_at = dice.millis(15_000, 35_000);
        let mut faults = Vec::new();
        crashes(dice, calm_at, servers, applications, &mut faults);
        lines(dice, calm_at, servers, applications, &mut faults);
        let clocks = clocks(dice, calm_at, servers, &mut faults);
        let mut outages = outages(dice, calm_at, servers);
        freeze(dice, calm_at, servers, applications, &mut faults, &mut outages);
        let lost_server = (servers > 1 && dice.happens(250)).then(|| one_of(dice, servers));
        if let Some(server) = lost_server {
            let at = moment(dice, calm_at);
            faults.retain(|(_, fault)| !matches!(fault, Fault::Start(host) if *host == SERVERS[server]));
            faults.push((at, Fault::Crash(SERVERS[server])));
        }
        let dead = (applications > 1 && dice.happens(300)).then(|| dead(dice, calm_at, applications));
        if let Some(Dead { application, from, until }) = dead {
            let host = APPLICATIONS[application];
            faults.retain(|(_, fault)| !matches!(fault, Fault::Start(of) if *of == host));
            faults.push((from, Fault::Crash(host)));
            faults.extend(until.map(|until| (until, Fault::Start(host))));
        }
        for end in outages.iter().map(|outage| outage.until).chain(dead.and_then(|dead| dead.until)) {
            calm_at = calm_at.max(end);
        }
        faults.retain(|(at, _)| *at <= calm_at);
        faults.sort_by_key(|(at, _)| *at);
        Self { calm_at, faults, outages, clocks, lost_server, dead }
    }
}

fn one_of(dice: &mut Dice, end: usize) -> usize {
    usize::try_from(dice.below(end as u64)).unwrap()
}

fn moment(dice: &mut Dice, before: Duration) -> Duration {
    dice.millis(200, before.as_millis() as u64 - 1)
}

fn crashes(
    dice: &mut Dice,
    calm_at: Duration,
    servers: usize,
    applications: usize,
    faults: &mut Vec<(Duration, Fault)>,
) {
    if !dice.happens(600) {
        return;
    }
    for _ in 0..=dice.below(3) {
        let host = match dice.below(5) {
            0..=2 => SERVERS[one_of(dice, servers)],
            3 => GATEWAY,
            _ => APPLICATIONS[one_of(dice, applications)],
        };
        let at = moment(dice, calm_at);
        faults.push((at, Fault::Crash(host)));
        faults.push((at + dice.millis(50, 8_000), Fault::Start(host)));
    }
}

fn lines(dice: &mut Dice, calm_at: Duration, servers: usize, applications: usize, faults: &mut Vec<(Duration, Fault)>) {
    let (cuts, losses) = (dice.happens(500), dice.happens(300));
    let line = |dice: &mut Dice| {
        let other = match dice.below(4) {
            0 => GATEWAY,
            1 | 2 => APPLICATIONS[one_of(dice, applications)],
            _ => PHONES,
        };
        (SERVERS[one_of(dice, servers)], other)
    };
    if cuts {
        for _ in 0..=dice.below(3) {
            let ((a, b), at) = (line(dice), moment(dice, calm_at));
            let until = at + dice.millis(100, 15_000);
            match dice.below(4) {
                0 => faults.extend([(at, Fault::Cut(a, b)), (until, Fault::Mend(a, b))]),
                1 => faults.extend([(at, Fault::CutOneWay(a, b)), (until, Fault::Mend(a, b))]),
                2 => faults.extend([(at, Fault::CutOneWay(b, a)), (until, Fault::Mend(a, b))]),
                _ => faults.extend([(at, Fault::Hold(a, b)), (until, Fault::Release(a, b))]),
            }
        }
    }
    if losses {
        let ((a, b), at) = (line(dice), moment(dice, calm_at));
        faults.push((at, Fault::Lossy(a, b, 10 + dice.below(60))));
        faults.push((at + dice.millis(500, 15_000), Fault::Lossy(a, b, 0)));
    }
}

/// By how much each server's clock is wrong, and when it is set.
fn clocks(dice: &mut Dice, calm_at: Duration, servers: usize, faults: &mut Vec<(Duration, Fault)>) -> Vec<i64> {
    let (skewed, stepped) = (dice.happens(300), dice.happens(250));
    if stepped {
        for _ in 0..=dice.below(2) {
            let (server, at) = (one_of(dice, servers), moment(dice, calm_at));
            let any = 1 + dice.below(STEP);
            let by = dice.pick(&[STEP, STEP, any]).cast_signed();
            faults.push((at, Fault::Step(server, if dice.happens(700) { by } else { -by })));
        }
    }
    let wrong = |dice: &mut Dice| {
        let any = dice.below(SKEW);
        dice.pick(&[0, SKEW, any]).cast_signed()
    };
    (0..servers).map(|_| if skewed { wrong(dice) } else { 0 }).collect()
}

fn outages(dice: &mut Dice, calm_at: Duration, servers: usize) -> Vec<Outage> {
    if !dice.happens(300) {
        return Vec::new();
    }
    (0..=dice.below(2))
        .map(|_| {
            let from = moment(dice, calm_at);
            let longest = dice.pick(&[3_000, 20_000, AWAY]);
            let until = from + dice.millis(1_000, longest);
            let what = dice.pick(&[Away::Fails, Away::Hangs, Away::Full]);
            let server = (servers > 1 && dice.happens(500)).then(|| one_of(dice, servers));
            Outage { from, until, what, server }
        })
        .collect()
}

/// A server that nothing reaches and that reaches nothing for a while, and then goes on as if nothing had been.
fn freeze(
    dice: &mut Dice,
    calm_at: Duration,
    servers: usize,
    applications: usize,
    faults: &mut Vec<(Duration, Fault)>,
    outages: &mut Vec<Outage>,
) {
    if !dice.happens(150) {
        return;
    }
    let (server, from) = (one_of(dice, servers), moment(dice, calm_at));
    let until = from + dice.millis(1_000, AWAY);
    for other in others(applications) {
        faults.push((from, Fault::Hold(SERVERS[server], other)));
        faults.push((until, Fault::Release(SERVERS[server], other)));
    }
    outages.push(Outage { from, until, what: Away::Hangs, server: Some(server) });
}

fn dead(dice: &mut Dice, calm_at: Duration, applications: usize) -> Dead {
    let application = one_of(dice, applications);
    let from = if dice.happens(600) { Duration::ZERO } else { moment(dice, calm_at) };
    let until = dice.happens(300).then(|| from + dice.millis(30_000, 90_000));
    Dead { application, from, until }
}

/// Everybody that a server has a line to.
pub fn others(applications: usize) -> impl Iterator<Item = &'static str> {
    [GATEWAY, PHONES].into_iter().chain(APPLICATIONS.into_iter().take(applications))
}
