//! What a seed has in store for everybody. Whole kinds of trouble are switched off in some seeds, so that others show.

use std::time::Duration;

use super::dice::Dice;
use super::trouble::{Fault, Trouble};

pub use super::trouble::{Away, Dead, Outage};

pub const SERVERS: [&str; 3] = ["server", "server-2", "server-3"];
pub const APPLICATIONS: [&str; 3] = ["application", "application-2", "application-3"];
pub const GATEWAY: &str = "gateway";
pub const PHONES: &str = "phones";

/// Everything that is decided before a run begins.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub trick: Trick,
    pub tick: Duration,
    pub latency_min: Duration,
    pub latency_max: Duration,
    /// How many servers share the database.
    pub servers: usize,
    /// Whether each start of a server is another node, which nobody expects back.
    pub new_node: bool,
    /// Whether a single server's database is one that others could share.
    pub shared: bool,
    /// By how many milliseconds each server's clock is wrong from the beginning.
    pub clocks: Vec<i64>,
    pub calls: Vec<CallPlan>,
    pub faults: Vec<(Duration, Fault)>,
    /// When the database is away, and for whom.
    pub outages: Vec<Outage>,
    /// A server that crashes and is never started again.
    pub lost_server: Option<usize>,
    /// An application that is not there for long.
    pub dead: Option<Dead>,
    /// How many callbacks for an application there are from the beginning, for the dead one if there is one.
    pub left_behind: u32,
    /// From here on nothing goes wrong any more.
    pub calm_at: Duration,
    pub gateway: GatewayPlan,
    /// One for each application.
    pub applications: Vec<ApplicationPlan>,
    pub disk: DiskPlan,
    /// Of a thousand requests so many arrive twice.
    pub twice: u64,
    /// The processor's timeout in seconds, and how often it is asked again.
    pub timeout: u64,
    pub retries: u64,
}

/// What makes it all fail: that the judge sees it is tested too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// None.
    Fair,
    /// Each start of the server finds an empty store.
    ServerForgets,
    /// The database says that it has written, and has not.
    DatabaseKeepsNothing,
    /// The processor charges a transaction as often as it is asked to.
    GatewayRepeats,
    /// The processor says that it has declined what it has charged.
    GatewayLies,
    /// A telling gets another idempotency token each time.
    TokensChange,
    /// What is told again, is told as another result.
    ResultsChange,
    /// Now and then a status callback is said to be delivered, and is delivered later.
    CallbacksWait,
    /// A server takes the one before it, whichever that was, for an earlier run of its own.
    CopiesAreBelieved,
    /// Who is gone is told by each server's own clock.
    LeasesByOwnClocks,
    /// A connection on which a write failed is used again, and nothing can be written over it any more.
    FailedConnectionIsKept,
    /// All servers are the same node.
    OneNodeForAll,
    /// What could not be written down is taken for written.
    UnwrittenIsBelieved,
    /// A server with much under way takes nothing over.
    WaitingIsLimited,
    /// Nothing is written down when a session begins.
    BeginningIsNotKept,
    /// It is said of the processor that it answers a repeat as it did the first time.
    RepeatsAreVouchedFor,
    /// It is said of the processor that it does nothing when it is busy, and what it says then is not read.
    BusyIsNotRead,
    /// What the application refuses for now, is taken for delivered.
    NotNowIsDelivered,
    /// Now and then a status callback is made by another server too.
    CallbacksFork,
    /// The application never takes note of anything.
    ApplicationNeverRecovers,
    /// What the application refuses for good, is taken for delivered.
    RefusedIsDelivered,
}

/// How one caller behaves.
#[derive(Clone, Debug)]
pub struct CallPlan {
    pub dials_at: Duration,
    /// Which server is dialled first.
    pub server: usize,
    /// Whose call it is.
    pub application: usize,
    /// What is keyed for one payment, a group a prompt.
    pub groups: Vec<String>,
    pub attributes: String,
    /// Whether a key stops a prompt, or the prompt is heard out.
    pub barges_in: bool,
    pub pause: (u64, u64),
    pub ends: Ends,
    /// How many payments are tried while the gateway declines.
    pub payments: u32,
}

/// How a caller leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Not before the server does.
    Last,
    /// Says so after so many keys and a pause.
    HangsUp { keys: u64, pause: Duration },
    /// Presses the star after so many keys and a pause.
    Star { keys: u64, pause: Duration },
    /// The connection closes after so many keys and a pause.
    Drops { keys: u64, pause: Duration },
    /// Nothing is heard any more.
    FallsSilent { keys: u64, pause: Duration },
}

/// How often, of a thousand requests, the processor does what.
#[derive(Clone, Copy, Debug, Default)]
pub struct GatewayPlan {
    pub declines: u64,
    pub fails_before: u64,
    pub fails_after: u64,
    pub hangs_before: u64,
    pub hangs_after: u64,
    pub garbles: u64,
    pub cuts: u64,
    pub busy: u64,
    pub slow: u64,
    /// Charges, and says that it is busy.
    pub busy_after: u64,
    /// How a transaction that is known is answered if not as it was the first time, and how often.
    pub repeated: Repeated,
    pub repeated_wrong: u64,
}

/// What a processor says to a transaction that it has charged already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeated {
    /// What it said then.
    #[default]
    Same,
    /// A decline, `duplicate`.
    Duplicate,
    /// 409 and `duplicate`.
    Conflict,
    /// 422 and an error code.
    Refused,
    /// 401.
    Unauthorized,
}

/// How often, of a thousand requests, the application does what.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApplicationPlan {
    pub fails_before: u64,
    pub fails_after: u64,
    pub cuts: u64,
    pub hangs: u64,
    pub slow: u64,
    /// Answers a callback with a status after which it is to be tried again.
    pub refuses_for_now: u64,
    /// Answers a callback with a status after which it is not.
    pub refuses: u64,
}

/// How often, of a thousand writes, the disk does what, and how long one takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskPlan {
    pub fails_before: u64,
    pub fails_after: u64,
    pub slowest: u64,
}

/// Documented test numbers: nothing else passes in test mode.
const CARDS: [(&str, &str); 5] = [
    ("4111111111111111", "907"),
    ("5555555555554444", "907"),
    ("378282246310005", "9071"),
    ("6011111111111117", "907"),
    ("3566002020360505", "907"),
];

impl Plan {
    pub fn of(seed: u64, trick: Trick) -> Self {
        let mut dice = Dice::new(seed ^ 0x746f_7563_6874_6f6e);
        let latency_min = dice.millis(1, 20);
        let servers = dice.pick(&[1, 1, 1, 2, 2, 3]);
        let applications = dice.pick(&[1, 1, 2, 3]);
        let trouble = Trouble::of(&mut dice, servers, applications);
        let left_behind = if trouble.dead.is_some_and(|dead| dead.from.is_zero()) {
            dice.pick(&[0, 0, 720])
        } else if servers > 1 && dice.happens(60) {
            720
        } else {
            0
        };
        // Whoever is dead from the beginning has no calls.
        let living: Vec<usize> = (0..applications)
            .filter(|of| !trouble.dead.is_some_and(|dead| dead.from.is_zero() && dead.application == *of))
            .collect();
        let calls = (0..=dice.below(3)).map(|_| call(&mut dice, servers, &living)).collect();
        Self {
            seed,
            trick,
            tick: Duration::from_millis(dice.pick(&[10, 20, 20, 50])),
            latency_min,
            latency_max: latency_min + dice.millis(1, 400),
            servers,
            new_node: dice.happens(150),
            shared: dice.happens(500),
            clocks: trouble.clocks,
            calls,
            faults: trouble.faults,
            outages: trouble.outages,
            lost_server: trouble.lost_server,
            dead: trouble.dead,
            left_behind,
            calm_at: trouble.calm_at,
            gateway: gateway(&mut dice),
            applications: (0..applications).map(|_| application(&mut dice)).collect(),
            disk: disk(&mut dice),
            twice: dice.pick(&[0, 0, 50, 300]),
            timeout: dice.pick(&[2, 5, 10]),
            retries: dice.pick(&[0, 2, 5]),
        }
    }

    /// The kinds of trouble that there are, in a few words.
    pub fn kinds(&self) -> String {
        let mut kinds = vec![format!("{} servers", self.servers)];
        let mut add = |is: bool, kind: &str| kinds.extend(is.then(|| kind.to_owned()));
        let happens = |what: fn(&Fault) -> bool| self.faults.iter().any(|(_, fault)| what(fault));
        add(self.new_node, "new nodes");
        add(self.servers == 1 && self.shared, "shared all the same");
        add(self.lost_server.is_some(), "a server is lost");
        add(happens(|fault| matches!(fault, Fault::Crash(host) if SERVERS.contains(host))), "servers crash");
        add(happens(|fault| matches!(fault, Fault::Step(..))), "clocks are set");
        add(self.clocks.iter().any(|wrong| *wrong != self.clocks[0]), "clocks differ");
        add(self.disk.fails_before > 0, "writes fail");
        add(self.disk.fails_after > 0, "commits are lost");
        for (what, kind) in [(Away::Fails, "is away"), (Away::Hangs, "hangs"), (Away::Full, "is full")] {
            add(self.outages.iter().any(|outage| outage.what == what), &format!("the database {kind}"));
        }
        add(self.dead.is_some(), "an application is dead");
        add(self.left_behind > 0, "much was left behind");
        add(self.gateway.busy_after > 0, "busy but charged");
        add(self.gateway.repeated != Repeated::Same, "repeats get errors");
        add(self.applications.iter().any(|plan| plan.refuses > 0), "refusals for good");
        add(self.applications.iter().any(|plan| plan.refuses_for_now > 0), "refusals for now");
        kinds.join(", ")
    }

    /// Whether an application will not be there at the end.
    pub fn is_dead(&self, application: usize) -> bool {
        self.dead.is_some_and(|dead| dead.application == application && dead.until.is_none())
    }

    /// Whether an address is an application's that will not be there at the end.
    pub fn leads_to_the_dead(&self, url: &str) -> bool {
        let host = url.strip_prefix("http://").and_then(|rest| rest.split_once(".localhost/")).map(|(host, _)| host);
        APPLICATIONS.iter().position(|name| Some(*name) == host).is_some_and(|application| self.is_dead(application))
    }
}

fn call(dice: &mut Dice, servers: usize, applications: &[usize]) -> CallPlan {
    let (card, code) = dice.pick(&CARDS);
    let mut attributes = format!(
        "validCardTypes=\"visa mastercard amex discover jcb\" timeout=\"{}\" maxAttempts=\"{}\"",
        dice.pick(&[1, 2, 5]),
        dice.pick(&[1, 2, 3])
    );
    let mut groups = vec![card.to_owned(), "1230".to_owned()];
    if dice.happens(300) {
        // One digit off: Luhn does not hold, so the number is asked for again.
        let wrong = format!("{}{}#", &card[..card.len() - 1], (u32::from(card.as_bytes()[card.len() - 1]) - 47) % 10);
        groups.insert(0, wrong);
    }
    match dice.below(3) {
        0 => attributes += " postalCode=\"false\"",
        1 => attributes += " postalCode=\"94111\"",
        _ => groups.push("94111".to_owned()),
    }
    if dice.happens(300) {
        attributes += " securityCode=\"false\"";
    } else {
        groups.push(code.to_owned());
    }
    let keyed = groups.iter().map(String::len).sum::<usize>() as u64;
    let (keys, pause) = (if dice.happens(500) { keyed } else { dice.below(keyed + 1) }, dice.millis(0, 9_000));
    let ends = match dice.below(10) {
        0..=4 => Ends::Last,
        5 | 6 => Ends::HangsUp { keys, pause },
        7 => Ends::Star { keys, pause },
        8 => Ends::Drops { keys, pause },
        _ => Ends::FallsSilent { keys, pause },
    };
    CallPlan {
        dials_at: dice.millis(0, 9_000),
        server: usize::try_from(dice.below(servers as u64)).unwrap(),
        application: dice.pick(applications),
        groups,
        attributes,
        barges_in: dice.happens(500),
        pause: dice.pick(&[(0, 50), (50, 800), (200, 2_500)]),
        ends,
        payments: dice.pick(&[1, 2, 3]),
    }
}

fn gateway(dice: &mut Dice) -> GatewayPlan {
    let declines = dice.pick(&[0, 100, 400]);
    let repeated = match dice.below(10) {
        0..=5 => Repeated::Same,
        6 => Repeated::Duplicate,
        7 => Repeated::Conflict,
        8 => Repeated::Refused,
        _ => Repeated::Unauthorized,
    };
    let repeated_wrong = dice.pick(&[300, 1000, 1000]);
    if dice.happens(300) {
        return GatewayPlan { declines, repeated, repeated_wrong, ..GatewayPlan::default() };
    }
    let mut often = || dice.pick(&[0, 0, 60, 250]);
    GatewayPlan {
        declines,
        fails_before: often(),
        fails_after: often(),
        hangs_before: often(),
        hangs_after: often(),
        garbles: often(),
        cuts: often(),
        busy: often(),
        slow: often(),
        busy_after: if dice.happens(200) { 150 } else { 0 },
        repeated,
        repeated_wrong,
    }
}

fn application(dice: &mut Dice) -> ApplicationPlan {
    if dice.happens(400) {
        return ApplicationPlan::default();
    }
    let mut often = || dice.pick(&[0, 0, 50, 200]);
    ApplicationPlan {
        fails_before: often(),
        fails_after: often(),
        cuts: often(),
        hangs: often(),
        slow: often(),
        refuses_for_now: if dice.happens(250) { 200 } else { 0 },
        refuses: if dice.happens(150) { 100 } else { 0 },
    }
}

fn disk(dice: &mut Dice) -> DiskPlan {
    if dice.happens(500) {
        return DiskPlan::default();
    }
    let mut often = || dice.pick(&[0, 0, 20, 150, 500]);
    DiskPlan { fails_before: often(), fails_after: often(), slowest: dice.pick(&[0, 5, 100, 900]) }
}
