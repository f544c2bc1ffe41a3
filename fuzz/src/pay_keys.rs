//! Keys, silence and a gateway's answer against one Pay session, compared with a second opinion.
//!
//! The first byte is what the gateway says (low two bits) and after how many quarters of a second (the rest). Every
//! further byte is a key (low nibble: 0-9, `#`, `*`, `A`, hang up, nothing) and the silence after it (high nibble).
//!
//! The second opinion, [`Model`], is written from spec/pay.md sections 3 and 4 as a parser over the keys with their times:
//! what a field takes, it takes off the line; there are no states and no timers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use touchtone::flow::link::{Origin, PlainHttp};
use touchtone::flow::{Context, Fetch, Fetched, NextDocument};
use touchtone::form::Form;
use touchtone::pay::gateway::{Answer, Approval, Capabilities, Denial, Instrument, PaymentRequest, Preparation};
use touchtone::pay::platform::Platform;
use touchtone::pay::sandbox;
use touchtone::pay::session::What;
use touchtone::pay::submission::{Ask, Question, Reply};
use touchtone::simulate::invariants::broken;
use touchtone::simulate::{Record, Simulation, World};
use touchtone::tone::Key;
use touchtone::twiml::parse;

/// Every prompt is ten characters: 600 ms.
const DOCUMENT: &str = "<Response><Pay chargeAmount='1'>\
    <Prompt for='payment-card-number expiration-date postal-code security-code payment-processing'><Say>Now please</Say></Prompt>\
    <Prompt for='payment-card-number expiration-date postal-code security-code' errorType='timeout invalid-card-number \
    invalid-card-type invalid-date invalid-postal-code invalid-security-code'><Say>Once again</Say></Prompt></Pay></Response>";

const PROMPT: u64 = 600;
const TIMEOUT: u64 = 5000;
const BURST: u64 = 250;
const TRIES: u8 = 2;

/// Silences after a key, in milliseconds: around every limit there is.
const GAPS: [u64; 16] = [0, 10, 100, 249, 250, 400, 600, 1000, 1999, 2000, 2001, 4999, 5000, 5001, 5600, 5601];

/// What happens at the keypad, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Pressed(char),
    HungUp,
}

/// The gateway: what it says to every question.
#[derive(Clone, Copy, Debug)]
enum Gateway {
    Approves(u64),
    Declines(u64),
    NotReached,
    Silent,
}

/// Runs the session and compares.
pub fn pay_keys(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let after = u64::from(first >> 2) * 250 % 9750;
    let gateway = match first & 3 {
        0 => Gateway::Approves(after),
        1 => Gateway::Declines(after),
        2 => Gateway::NotReached,
        _ => Gateway::Silent,
    };
    let mut line = Vec::new();
    let mut now = 0;
    for byte in rest.iter().take(400) {
        let input = match byte & 15 {
            digit @ 0..=9 => Some(Input::Pressed(char::from(b'0' + digit))),
            10 => Some(Input::Pressed('#')),
            11 => Some(Input::Pressed('*')),
            12 => Some(Input::Pressed('A')),
            13 => Some(Input::HungUp),
            _ => None,
        };
        line.extend(input.map(|input| (now, input)));
        if input == Some(Input::HungUp) {
            break;
        }
        now += GAPS[usize::from(byte >> 4)];
    }
    if !matches!(line.last(), Some((_, Input::HungUp))) {
        line.push((now, Input::HungUp));
    }
    let expected = Model::of(&line, gateway);
    let happened = run(&line, gateway);
    assert_eq!(happened, expected, "{line:?} {gateway:?}");
}

/// What is reported of a session: step, attempt and what became of it; the result at last.
type Reports = (Vec<(String, u8, String)>, String);

fn run(line: &[(u64, Input)], gateway: Gateway) -> Reports {
    let context = Context {
        account_sid: "ACa".into(),
        call_sid: "CAa".into(),
        caller: Form::new(),
        parameters: BTreeMap::new(),
        answered_at: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        answered_at_utc: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        seed: 0xabcd_efab_cdef_abcd_efab_cdef_abcd_ef00,
        platform: Platform::Twilio,
        plain_http: PlainHttp::Never,
    };
    let document = parse(DOCUMENT).unwrap();
    let first = NextDocument { document, origin: Origin::Flow("fuzz".into()) };
    let mut call = Simulation::start(Ok(first), context, gateway);
    let start = call.now();
    for (at, input) in line {
        call.advance_to(start + Duration::from_millis(*at));
        match input {
            Input::Pressed(symbol) => call.press(Key::parse(*symbol).unwrap()),
            Input::HungUp => call.hang_up(),
        }
    }
    assert!(call.run_to_end(), "it does not end");
    assert_eq!(broken(call.records(), call.call()), None);
    let (mut reports, mut result) = (Vec::new(), String::new());
    for (_, record) in call.records() {
        if let Record::Reported(_, progress, _) = record {
            let what = match progress.what {
                What::Begun | What::Keyed | What::Refused(_) => continue,
                What::Captured => "captured".to_owned(),
                What::Failed(error) => error.to_string(),
                What::Finished(word) => {
                    result = word.to_string();
                    continue;
                }
            };
            reports.push((progress.step.to_string(), progress.attempt, what));
        }
    }
    (reports, result)
}

impl World for Gateway {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        Some(sandbox::capabilities())
    }

    fn gateway(&mut self, question: &Question, _: &PaymentRequest, _: &Instrument) -> Option<(Duration, Reply)> {
        if question.what == Ask::Prepare {
            return Some((Duration::ZERO, Reply::Prepared(Preparation::Nothing)));
        }
        let (after, answer) = match self {
            Self::Approves(after) => (*after, Answer::Approved(Approval::default())),
            Self::Declines(after) => (*after, Answer::Declined(Denial::default())),
            Self::NotReached => (0, Answer::NotSent { reason: "no route".into(), retry_after: None }),
            Self::Silent => return None,
        };
        Some((Duration::from_millis(after), Reply::Submitted(answer)))
    }

    fn document(&mut self, _: &Fetch) -> (Duration, Fetched) {
        (Duration::ZERO, Fetched::NotAsked)
    }
}

/// The keys that nobody took yet, and the time.
struct Model {
    line: VecDeque<(u64, Input)>,
    now: u64,
    /// The last key of a burst whose field failed.
    burst: Option<u64>,
    /// The last key that a field took.
    last_key: u64,
    /// Whether the very next key, if it is `#`, belongs to the field before.
    pound_is_spent: bool,
    /// Whether the last entry ended with `#`.
    ended_by_pound: bool,
    reports: Vec<(String, u8, String)>,
}

/// Why a field was left for good.
type End = &'static str;

/// How an entry ended: what was keyed, and whether `#` ended it.
struct Entry {
    digits: String,
    by_pound: bool,
}

impl Model {
    fn of(line: &[(u64, Input)], gateway: Gateway) -> Reports {
        let line = line.iter().copied().collect();
        let mut model = Self {
            line,
            now: 0,
            burst: None,
            last_key: 0,
            pound_is_spent: false,
            ended_by_pound: false,
            reports: Vec::new(),
        };
        let result = model.fields().map_or_else(|end| end, |()| model.processing(gateway));
        (model.reports, result.to_owned())
    }

    fn fields(&mut self) -> Result<(), End> {
        let number = self.field("payment-card-number", card_wait, judge_card)?;
        self.field("expiration-date", |digits| at_length(digits, 4), judge_date)?;
        let zip = self.field("postal-code", zip_wait, |_| Ok(()))?;
        if (6..=8).contains(&zip.len()) {
            // Five are the zip code's; what came after them, a `#` too, is the next field's.
            let pound = self.ended_by_pound.then_some('#');
            let rest: Vec<char> = zip.chars().skip(5).chain(pound).collect();
            for key in rest.into_iter().rev() {
                self.line.push_front((self.now, Input::Pressed(key)));
            }
        }
        let length = if matches!(brand(&number), Some("amex")) { 4 } else { 3 };
        let judge = |digits: &str| if digits.len() == length { Ok(()) } else { Err("invalid-security-code") };
        self.field("security-code", |digits| at_length(digits, length), judge)?;
        Ok(())
    }

    /// One field, as often as it may be tried. `wait`: how long another digit is waited for.
    fn field(
        &mut self,
        name: &str,
        wait: impl Fn(&str) -> u64,
        judge: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Result<String, End> {
        for attempt in 1..=TRIES {
            let Entry { digits, by_pound } = self.entry(&wait)?;
            self.ended_by_pound = by_pound;
            let judged = if digits.is_empty() { Err("input-timeout") } else { judge(&digits) };
            let what = judged.map_or_else(|error| error, |()| "captured");
            self.reports.push((name.to_owned(), attempt, what.to_owned()));
            // A silence without any key leaves open what the next key belongs to.
            if !digits.is_empty() || by_pound {
                self.pound_is_spent = !by_pound;
                self.burst = judged.is_err().then_some(self.last_key);
            }
            if judged.is_ok() {
                return Ok(digits);
            }
        }
        Err("too-many-failed-attempts")
    }

    /// What is keyed into a field that is asked for now.
    fn entry(&mut self, wait: impl Fn(&str) -> u64) -> Result<Entry, End> {
        let mut digits = String::new();
        let mut until = self.now + PROMPT + TIMEOUT;
        loop {
            let Some((at, key)) = self.key(until)? else {
                self.now = until;
                return Ok(Entry { digits, by_pound: false });
            };
            self.now = at;
            self.last_key = at;
            if key == '#' {
                return Ok(Entry { digits, by_pound: true });
            }
            digits.push(key);
            match wait(&digits) {
                0 => return Ok(Entry { digits, by_pound: false }),
                patience => until = at + patience,
            }
        }
    }

    /// The next key that belongs to the field of the moment, if there is one until then.
    fn key(&mut self, until: u64) -> Result<Option<(u64, char)>, End> {
        while let Some((at, input)) = self.line.front().copied().filter(|(at, _)| *at <= until) {
            self.line.pop_front();
            match input {
                Input::HungUp => return Err("caller-hung-up"),
                Input::Pressed('*') => return Err("caller-interrupted-with-star"),
                Input::Pressed('A') => {}
                Input::Pressed(_) if self.burst.is_some_and(|last| at - last < BURST) => {
                    self.burst = Some(at);
                    self.pound_is_spent = false;
                }
                Input::Pressed('#') if std::mem::take(&mut self.pound_is_spent) => self.burst = None,
                Input::Pressed(key) => {
                    (self.burst, self.pound_is_spent) = (None, false);
                    return Ok(Some((at, key)));
                }
            }
        }
        Ok(None)
    }

    /// The gateway was asked.
    fn processing(&mut self, gateway: Gateway) -> End {
        let (over, otherwise) = match gateway {
            Gateway::Approves(_) => return "success",
            // Six times ten seconds, and nobody knows what happened.
            Gateway::Silent => return "payment-connector-error",
            Gateway::Declines(after) => (self.now + after, "payment-connector-error"),
            // Five repeats, after 0.5, 1, 2, 4 and 8 s.
            Gateway::NotReached => (self.now + 15_500, "payment-connector-error"),
        };
        let interrupts = self.line.iter().filter(|(at, _)| *at < over).find_map(|(_, input)| match input {
            Input::HungUp => Some("caller-hung-up"),
            Input::Pressed('*') => Some("caller-interrupted-with-star"),
            Input::Pressed(_) => None,
        });
        interrupts.unwrap_or(otherwise)
    }
}

/// No waiting at this length, the usual time before.
fn at_length(digits: &str, length: usize) -> u64 {
    if digits.len() >= length { 0 } else { TIMEOUT }
}

/// A zip code may go on to be a ZIP+4.
fn zip_wait(digits: &str) -> u64 {
    match digits.len() {
        0..=4 => TIMEOUT,
        5..=8 => 1000,
        _ => 0,
    }
}

fn card_wait(digits: &str) -> u64 {
    let (usual, longest) = match brand(digits) {
        None => (usize::MAX, 19),
        Some("mastercard") => (16, 16),
        Some("amex" | "enroute") => (15, 15),
        Some("diners-club") if digits.starts_with("36") => (14, 19),
        Some(_) => (16, 19),
    };
    match brand(digits) {
        _ if digits.len() >= longest => 0,
        Some("maestro" | "unionpay") if digits.len() >= 16 && luhn(digits) => 2000,
        Some("maestro" | "unionpay") => TIMEOUT,
        Some(_) if digits.len() == usual && luhn(digits) => 0,
        _ => TIMEOUT,
    }
}

fn judge_card(digits: &str) -> Result<(), &'static str> {
    let Some(brand) = brand(digits) else { return Err("invalid-card-number") };
    let length = digits.len();
    let right_length = match brand {
        "visa" => [13, 16, 19].contains(&length),
        "mastercard" => length == 16,
        "amex" | "enroute" => length == 15,
        "diners-club" if digits.starts_with("36") => (14..=19).contains(&length),
        "diners-club" => length == 14 || (16..=19).contains(&length),
        "maestro" => (12..=19).contains(&length),
        _ => (16..=19).contains(&length),
    };
    if !right_length || !(brand == "enroute" || luhn(digits)) {
        return Err("invalid-card-number");
    }
    if ["visa", "mastercard", "amex"].contains(&brand) { Ok(()) } else { Err("invalid-card-type") }
}

/// It is June 2026.
fn judge_date(digits: &str) -> Result<(), &'static str> {
    let (month, year) = digits.split_at(digits.len().min(2));
    let months = |month: u32, year: u32| year * 12 + month;
    match (month.parse::<u32>(), year.parse::<u32>()) {
        (Ok(month @ 1..=12), Ok(year)) if digits.len() == 4 => {
            let good = (months(6, 26)..=months(6, 46)).contains(&months(month, year));
            if good { Ok(()) } else { Err("invalid-date") }
        }
        _ => Err("invalid-date"),
    }
}

fn brand(digits: &str) -> Option<&'static str> {
    let between = |first: u32, last: u32| {
        let width = first.to_string().len();
        digits
            .get(..width)
            .and_then(|prefix| prefix.parse().ok())
            .is_some_and(|prefix: u32| (first..=last).contains(&prefix))
    };
    let any = |prefixes: &[u32]| prefixes.iter().any(|prefix| between(*prefix, *prefix));
    if between(622_126, 622_925) || any(&[6011, 65]) || between(644, 649) {
        Some("discover")
    } else if between(51, 55) || between(2221, 2720) {
        Some("mastercard")
    } else if any(&[34, 37]) {
        Some("amex")
    } else if between(3528, 3589) {
        Some("jcb")
    } else if between(300, 305) || any(&[3095, 36, 38, 39]) {
        Some("diners-club")
    } else if any(&[2014, 2149]) {
        Some("enroute")
    } else if any(&[62, 81]) {
        Some("unionpay")
    } else if any(&[50, 6]) || between(56, 58) {
        Some("maestro")
    } else if any(&[4]) {
        Some("visa")
    } else {
        None
    }
}

fn luhn(digits: &str) -> bool {
    let doubled = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
    let values = digits.chars().rev().filter_map(|digit| digit.to_digit(10));
    let sum: u32 =
        values.enumerate().map(|(place, value)| if place % 2 == 1 { doubled[value as usize] } else { value }).sum();
    sum.is_multiple_of(10)
}
