//! What a seed has in store for everybody. Whole kinds of trouble are switched off in some seeds, so that others show.

use std::time::Duration;

use super::dice::Dice;

pub const SERVER: &str = "server";
pub const GATEWAY: &str = "gateway";
pub const APPLICATION: &str = "application";
pub const PHONES: &str = "phones";

/// Everything that is decided before a run begins.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub trick: Trick,
    pub tick: Duration,
    pub latency_min: Duration,
    pub latency_max: Duration,
    /// Whether each start of the server is another node, which nobody expects back.
    pub new_node: bool,
    pub calls: Vec<CallPlan>,
    pub faults: Vec<(Duration, Fault)>,
    /// From here on nothing goes wrong any more.
    pub calm_at: Duration,
    pub gateway: GatewayPlan,
    pub application: ApplicationPlan,
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
    /// The processor charges a transaction as often as it is asked to.
    GatewayRepeats,
    /// A telling gets another idempotency token each time.
    TokensChange,
}

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
}

/// How one caller behaves.
#[derive(Clone, Debug)]
pub struct CallPlan {
    pub dials_at: Duration,
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
}

/// How often, of a thousand requests, the application does what.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApplicationPlan {
    pub fails_before: u64,
    pub fails_after: u64,
    pub cuts: u64,
    pub hangs: u64,
    pub slow: u64,
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
        let calls = (0..=dice.below(3)).map(|_| call(&mut dice)).collect();
        let calm_at = dice.millis(15_000, 35_000);
        let faults = faults(&mut dice, calm_at);
        Self {
            seed,
            trick,
            tick: Duration::from_millis(dice.pick(&[10, 20, 20, 50])),
            latency_min,
            latency_max: latency_min + dice.millis(1, 400),
            new_node: dice.happens(150),
            calls,
            faults,
            calm_at,
            gateway: gateway(&mut dice),
            application: application(&mut dice),
            disk: disk(&mut dice),
            twice: dice.pick(&[0, 0, 50, 300]),
            timeout: dice.pick(&[2, 5, 10]),
            retries: dice.pick(&[0, 2, 5]),
        }
    }
}

fn call(dice: &mut Dice) -> CallPlan {
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
        groups,
        attributes,
        barges_in: dice.happens(500),
        pause: dice.pick(&[(0, 50), (50, 800), (200, 2_500)]),
        ends,
        payments: dice.pick(&[1, 2, 3]),
    }
}

fn faults(dice: &mut Dice, calm_at: Duration) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    let crashes = dice.happens(600);
    let cuts = dice.happens(500);
    let losses = dice.happens(300);
    let moment = |dice: &mut Dice| dice.millis(200, calm_at.as_millis() as u64 - 1);
    if crashes {
        for _ in 0..=dice.below(3) {
            let host = dice.pick(&[SERVER, SERVER, SERVER, GATEWAY, APPLICATION]);
            let at = moment(dice);
            faults.push((at, Fault::Crash(host)));
            faults.push((at + dice.millis(50, 8_000), Fault::Start(host)));
        }
    }
    let line = |dice: &mut Dice| (SERVER, dice.pick(&[GATEWAY, APPLICATION, APPLICATION, PHONES]));
    if cuts {
        for _ in 0..=dice.below(3) {
            let ((a, b), at) = (line(dice), moment(dice));
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
        let ((a, b), at) = (line(dice), moment(dice));
        faults.push((at, Fault::Lossy(a, b, 10 + dice.below(60))));
        faults.push((at + dice.millis(500, 15_000), Fault::Lossy(a, b, 0)));
    }
    faults.retain(|(at, _)| *at < calm_at);
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn gateway(dice: &mut Dice) -> GatewayPlan {
    let declines = dice.pick(&[0, 100, 400]);
    if dice.happens(300) {
        return GatewayPlan { declines, ..GatewayPlan::default() };
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
    }
}

fn application(dice: &mut Dice) -> ApplicationPlan {
    if dice.happens(400) {
        return ApplicationPlan::default();
    }
    let mut often = || dice.pick(&[0, 0, 50, 200]);
    ApplicationPlan { fails_before: often(), fails_after: often(), cuts: often(), hangs: often(), slow: often() }
}

fn disk(dice: &mut Dice) -> DiskPlan {
    if dice.happens(500) {
        return DiskPlan::default();
    }
    let mut often = || dice.pick(&[0, 20, 150]);
    DiskPlan { fails_before: often(), fails_after: often(), slowest: dice.pick(&[0, 5, 100, 900]) }
}
