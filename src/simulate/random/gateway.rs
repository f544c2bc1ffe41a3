//! A gateway and an application that answer by chance, or again what they answered before.
//!
//! The gateway keeps a ledger of what it did. It may do what it is asked and lose its answer, or give it when nobody waits
//! any more; a repeat then gets what its [`Idempotency`] allows: the first result or, where that is not promised, an error.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::spelling::spelt;
use super::{Flows, SeededRng};
use crate::flow::link::Target;
use crate::flow::{Body, Fetch, Fetched, Received, read_answer};
use crate::form::Value;
use crate::pay::gateway::{
    Answer, Approval, Capabilities, Denial, Idempotency, Instrument, Operation, PaymentRequest, Preparation, Resolution,
};
use crate::pay::sandbox;
use crate::pay::step::PayErrorCode;
use crate::pay::submission::{Ask, Question, Reply};
use crate::secret::Secret;
use crate::simulate::tape::Source;
use crate::simulate::{World, sandbox_reply};

/// The words of a decline or refusal, before what it quotes.
pub(super) const WORDS: &str = "not this time";

/// What a script calls the reason of an answer that is neither yes nor no.
const REASON: &str = "as the script says";

/// What an application puts the caller's digits in place of, where it repeats them in a spelling of its own.
const DIGITS: &str = "{Digits}";

/// The same in places where a spelling would be another address.
const PLAIN_DIGITS: &str = "{PlainDigits}";

/// Documents that an application may answer with. Some put what was keyed where it does not belong.
const DOCUMENTS: [&str; 16] = [
    "<Response><Say>Thank you.</Say><Hangup/></Response>",
    "<Response/>",
    "",
    "<Response><Gather numDigits='2' timeout='2'><Say>Press two keys.</Say></Gather><Say>Bye.</Say></Response>",
    "<Response><Pay chargeAmount='1' postalCode='false'/></Response>",
    "<Response><Pause length='1'/><Redirect>https://example.com/next</Redirect></Response>",
    "<Response><Say>Not closed",
    "<Response><Redirect>https://example.com/next</Redirect></Response>",
    "<Response><Gather timeout='2'><Say>Key in your number.</Say></Gather></Response>",
    "<Response><Pay chargeAmount='{Digits}' action='https://example.com/paid'/></Response>",
    "<Response><Pay chargeAmount='1' timeout='{Digits}' action='https://example.com/paid'/></Response>",
    "<Response><Pay chargeAmount='1' paymentConnector='No{Digits}' action='https://example.com/paid'/></Response>",
    "<Response><Gather timeout='{Digits}' numDigits='1'/><Number{Digits}/></Response>",
    "<Response><Pay chargeAmount='1' validCardTypes='visa {Digits}' bank{Digits}='1'/></Response>",
    "<Response><Redirect method='{Digits}'>ftp://example.com/{Digits}</Redirect></Response>",
    "<Response><Say>{Digits}</Say><Redirect>https://example.com/of/{PlainDigits}</Redirect></Response>",
];

/// What the gateway says, and after how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub(super) after: u64,
    pub(super) what: SaidKind,
    /// Whether it did what it was asked, whatever it says.
    pub(super) acts: bool,
    /// The number that it quotes back, and the seed of how it is written.
    pub(super) quoted: String,
    spelling: u64,
}

/// What connectors are like in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomConnectors {
    /// How many milliseconds it takes to look one up.
    pub(super) lookup: u64,
    /// What their gateway makes of repeats.
    pub(super) idempotency: Idempotency,
    /// Whether it can be asked what became of a payment.
    pub(super) looks_up: bool,
}

impl RandomConnectors {
    pub(super) fn drawn(rng: &mut SeededRng) -> Self {
        Self {
            lookup: if rng.one_in(7) { rng.below(6000) } else { 0 },
            idempotency: match rng.below(5) {
                0 => Idempotency::None,
                1 | 2 => Idempotency::ActsOnce,
                _ => Idempotency::FirstResult,
            },
            looks_up: rng.one_in(4),
        }
    }

    fn capabilities(self) -> Capabilities {
        let Self { idempotency, looks_up, .. } = self;
        Capabilities { idempotency, looks_up, ..sandbox::capabilities() }
    }
}

/// What the gateway says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaidKind {
    Charges,
    Tokenizes,
    Declines,
    /// Declines, and quotes what was keyed.
    Quotes,
    /// Charges, and has what was keyed in the id.
    NamesCharge,
    /// The same for a token.
    NamesToken,
    Refuses(PayErrorCode),
    Unknown,
    NotSent,
    Silent,
    /// The submission could not be written down.
    NotWritten,
    /// The connector, before anything is sent.
    BrokenDown,
    /// Asked what became of the payment.
    NotFound,
    /// The same.
    CannotTell,
}

/// The world of a call by chance.
#[derive(Debug)]
pub struct RandomWorld<'a, F> {
    flows: &'a F,
    connectors: Option<RandomConnectors>,
    /// How many were looked up, and which look-ups come while nothing can be written down.
    lookups: u32,
    store_away: Vec<u32>,
    /// Where new answers come from; none: there are only those of before.
    rng: Option<SeededRng>,
    answers: Vec<Said>,
    given: usize,
    /// How often the gateway did what it was asked, by transaction id.
    ledger: BTreeMap<String, u32>,
    documents: BTreeMap<Url, &'static str>,
    asked: BTreeMap<Url, bool>,
    /// The documents that were given, in order.
    given_documents: BTreeMap<Url, Vec<String>>,
}

impl<'a, F: Flows> RandomWorld<'a, F> {
    pub(super) fn drawing(
        flows: &'a F,
        connectors: Option<RandomConnectors>,
        store_away: Vec<u32>,
        rng: SeededRng,
    ) -> Self {
        let world = Self::repeating(flows, connectors, store_away, Vec::new(), BTreeMap::new());
        Self { rng: Some(rng), ..world }
    }

    pub(super) fn repeating(
        flows: &'a F,
        connectors: Option<RandomConnectors>,
        store_away: Vec<u32>,
        answers: Vec<Said>,
        documents: BTreeMap<Url, &'static str>,
    ) -> Self {
        let (ledger, asked, given_documents) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (rng, given, lookups) = (None, 0, 0);
        Self { flows, connectors, lookups, store_away, rng, answers, given, ledger, documents, asked, given_documents }
    }

    /// What was answered.
    pub(super) fn written_down(&self) -> (Vec<Said>, BTreeMap<Url, &'static str>) {
        (self.answers.clone(), self.documents.clone())
    }

    /// The documents that were given for each address, in order.
    pub(super) const fn given_documents(&self) -> &BTreeMap<Url, Vec<String>> {
        &self.given_documents
    }

    /// The next answer of before, or a new one.
    fn next(&mut self, question: &Question, payment_request: &PaymentRequest, instrument: &Instrument) -> Option<Said> {
        if self.given >= self.answers.len() {
            let acted = self.acts(&payment_request.transaction_id) > 0;
            let idempotency = self.connectors.map_or(Idempotency::FirstResult, |connectors| connectors.idempotency);
            let rng = self.rng.as_mut()?;
            let drawn = match question.what {
                Ask::Resolve(_) => found(rng, acted, payment_request),
                Ask::Prepare | Ask::Submit(_) => draw(rng, acted, idempotency, payment_request, instrument),
            };
            self.answers.push(drawn);
        }
        let said = self.answers.get(self.given).cloned();
        self.given += 1;
        said
    }

    /// Whether the connector breaks down before anything is sent.
    fn breaks_down(&mut self) -> Option<u64> {
        if self.given < self.answers.len() {
            let said = self.answers.get(self.given).filter(|said| said.what == SaidKind::BrokenDown)?;
            self.given += 1;
            return Some(said.after);
        }
        let rng = self.rng.as_mut()?;
        if !rng.one_in(50) {
            return None;
        }
        let after = rng.below(3000);
        let (what, quoted) = (SaidKind::BrokenDown, String::new());
        self.answers.push(Said { after, what, acts: false, quoted, spelling: 0 });
        self.given += 1;
        Some(after)
    }
}

impl<F: Flows> World for RandomWorld<'_, F> {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        self.lookups += 1;
        self.connectors.map(RandomConnectors::capabilities)
    }

    fn is_store_away(&self) -> bool {
        self.store_away.contains(&self.lookups)
    }

    fn lookup_time(&self) -> Duration {
        Duration::from_millis(self.connectors.map_or(0, |connectors| connectors.lookup))
    }

    fn acts(&self, transaction_id: &str) -> u32 {
        self.ledger.get(transaction_id).copied().unwrap_or(0)
    }

    fn gateway(
        &mut self,
        question: &Question,
        payment_request: &PaymentRequest,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)> {
        // Only a breakdown is written down as an answer: a preparation has no other one here.
        if question.what == Ask::Prepare {
            return Some(match self.breaks_down() {
                Some(after) => (Duration::from_millis(after), Reply::Panicked),
                None => (Duration::ZERO, Reply::Prepared(Preparation::Nothing)),
            });
        }
        let Some(said) = self.next(question, payment_request, instrument) else {
            // Beyond what was written down it answers as a script's gateway does: as the sandbox.
            return Some((Duration::ZERO, sandbox_reply(question, payment_request, instrument)));
        };
        let done = self.ledger.entry(payment_request.transaction_id.clone()).or_default();
        *done = done.saturating_add(u32::from(said.acts));
        let after = Duration::from_millis(said.after);
        let denial = |quoted: &str| Denial {
            code: Some("card_declined".to_owned()),
            message: Some(format!("{WORDS}{quoted}")),
            parameters: said.seen(quoted),
        };
        let reason = REASON.to_owned();
        let answer = match said.what {
            SaidKind::Charges => {
                Answer::Approved(Approval { confirmation_code: Some("ch_fuzz".to_owned()), ..Approval::default() })
            }
            SaidKind::Tokenizes => {
                Answer::Approved(Approval { token: Some(Secret::new("tok_fuzz".to_owned())), ..Approval::default() })
            }
            SaidKind::Declines => Answer::Declined(denial("")),
            SaidKind::Quotes => {
                let quoted = quote(instrument, said.spelling);
                Answer::Declined(denial(&format!("{quoted}{}", quote_code(instrument))))
            }
            SaidKind::NamesCharge => {
                let id = named(&quote(instrument, said.spelling));
                Answer::Approved(Approval { confirmation_code: Some(id), ..Approval::default() })
            }
            SaidKind::NamesToken => {
                let id = named(&quote(instrument, said.spelling));
                Answer::Approved(Approval { token: Some(Secret::new(id)), ..Approval::default() })
            }
            SaidKind::Refuses(code) => Answer::Refused(code, Denial { code: None, ..denial("") }),
            SaidKind::Unknown => Answer::unknown(reason),
            SaidKind::NotSent => Answer::NotSent { reason, retry_after: None },
            SaidKind::Silent => return None,
            SaidKind::NotWritten => return Some((after, Reply::NotWritten)),
            SaidKind::BrokenDown => return Some((after, Reply::Panicked)),
            SaidKind::NotFound => return Some((after, Reply::Resolved(Resolution::NotFound))),
            SaidKind::CannotTell => return Some((after, Reply::Resolved(Resolution::CannotTell))),
        };
        let resolves = matches!(question.what, Ask::Resolve(_));
        let reply = if resolves { Reply::Resolved(Resolution::Answer(answer)) } else { Reply::Submitted(answer) };
        Some((after, reply))
    }

    fn document(&mut self, fetch: &Fetch) -> (Duration, Fetched) {
        let fetched = match &fetch.target {
            Target::Flow(name) => self.flows.flow(name, &fetch.parameters),
            Target::Url(url) => match self.text(url) {
                None => return (Duration::ZERO, Fetched::NotAsked),
                Some(text) => {
                    let text = filled(text, fetch);
                    let received = Received { content_type: Some("text/xml"), body: Body::Text(&text), cut: false };
                    let read = read_answer(url.clone(), received);
                    self.given_documents.entry(url.clone()).or_default().push(text);
                    read
                }
            },
        };
        (Duration::ZERO, fetched.map_or_else(Fetched::Failed, Fetched::Document))
    }

    fn source(&self, fetch: &Fetch) -> Option<Source> {
        match &fetch.target {
            Target::Flow(_) => None,
            Target::Url(url) => self.documents.get(url).map(|text| Source {
                text: filled(text, fetch),
                content_type: Some("text/xml".to_owned()),
                from: None,
            }),
        }
    }
}

impl<F: Flows> RandomWorld<'_, F> {
    /// The document of an address, the same one every time.
    fn text(&mut self, url: &Url) -> Option<&'static str> {
        if !self.asked.contains_key(url)
            && let Some(rng) = &mut self.rng
        {
            let answers = !rng.one_in(3);
            self.asked.insert(url.clone(), answers);
            if answers {
                let text = rng.one_of(&DOCUMENTS, "");
                self.documents.insert(url.clone(), text);
            }
        }
        self.documents.get(url).copied()
    }
}

/// What a submission gets; `acted`: whether an earlier one of this payment did what it asked for.
fn draw(
    rng: &mut SeededRng,
    acted: bool,
    idempotency: Idempotency,
    payment_request: &PaymentRequest,
    instrument: &Instrument,
) -> Said {
    let refuses = |rng: &mut SeededRng| SaidKind::Refuses(rng.one_of(PayErrorCode::ALL, PayErrorCode::ChargeRejected));
    let what = match (rng.below(20), acted && idempotency.allows_repeats()) {
        // Its key no longer counts, whatever it has done before.
        (0..4, true) => refuses(rng),
        // "Duplicate."
        (4..8, true) if idempotency == Idempotency::ActsOnce => SaidKind::Declines,
        (8, true) if idempotency == Idempotency::ActsOnce => SaidKind::Quotes,
        (0..14, true) | (0..10, false) => yes(payment_request),
        (10 | 11, false) => SaidKind::Declines,
        (12, false) if rng.one_in(4) => match payment_request.operation {
            Operation::Charge(..) => SaidKind::NamesCharge,
            Operation::Tokenize(_) => SaidKind::NamesToken,
        },
        (12, false) => SaidKind::Quotes,
        (13, false) => refuses(rng),
        (14 | 15, _) => SaidKind::Unknown,
        (16, _) => SaidKind::NotSent,
        (17, _) => SaidKind::NotWritten,
        _ => SaidKind::Silent,
    };
    // The money may be taken before the answer is lost.
    let acts = match what {
        SaidKind::Charges | SaidKind::Tokenizes | SaidKind::NamesCharge | SaidKind::NamesToken => true,
        SaidKind::Unknown | SaidKind::Silent => rng.one_in(2),
        _ => false,
    };
    // Where the gateway acts once, a repeat of what was done does nothing more.
    let acts = acts && !(acted && idempotency.allows_repeats());
    let spelling = rng.number();
    let quotes = matches!(what, SaidKind::Quotes | SaidKind::NamesCharge | SaidKind::NamesToken);
    let mut quoted = if quotes { quote(instrument, spelling) } else { String::new() };
    if what == SaidKind::Quotes {
        quoted.push_str(&quote_code(instrument));
    }
    Said { after: delay(rng), what, acts, quoted, spelling }
}

/// What a look-up gets: nothing that is not so.
fn found(rng: &mut SeededRng, acted: bool, payment_request: &PaymentRequest) -> Said {
    let what = match rng.below(10) {
        0..5 if acted => yes(payment_request),
        0..3 => SaidKind::NotFound,
        3..5 => SaidKind::Declines,
        5 | 6 => SaidKind::CannotTell,
        7 => SaidKind::NotSent,
        8 => SaidKind::Unknown,
        _ => SaidKind::Silent,
    };
    Said { after: delay(rng), what, acts: false, quoted: String::new(), spelling: 0 }
}

const fn yes(payment_request: &PaymentRequest) -> SaidKind {
    match payment_request.operation {
        Operation::Charge(..) => SaidKind::Charges,
        Operation::Tokenize(_) => SaidKind::Tokenizes,
    }
}

fn delay(rng: &mut SeededRng) -> u64 {
    match rng.below(8) {
        0 | 1 => 0,
        2..=4 => rng.below(4000),
        // Around the gateway's own time, and long after it.
        5 => 9999 + rng.below(3),
        6 => rng.below(20_000),
        _ => rng.below(90_000),
    }
}

impl Said {
    /// What it sends back beside its words.
    pub(super) fn seen(&self, quoted: &str) -> Vec<(String, String)> {
        if quoted.is_empty() { Vec::new() } else { vec![("seen".to_owned(), quoted.to_owned())] }
    }
}

/// An id with what was keyed in it.
pub(super) fn named(quoted: &str) -> String {
    format!("id{quoted}")
}

/// What a gateway should never do.
fn quote(instrument: &Instrument, seed: u64) -> String {
    let mut rng = SeededRng::new(seed);
    let way = rng.number();
    match instrument {
        Instrument::Card(card) => {
            let number = spelt(card.number.expose(), way, &mut rng);
            format!(": {number}")
        }
        // Of a short account number a part in another spelling is no more than a few digits.
        Instrument::BankAccount(account) if account.account_number.expose().len() < 9 => String::new(),
        Instrument::BankAccount(account) => format!(": {}", spelt(account.account_number.expose(), way, &mut rng)),
        Instrument::Token(_) => String::new(),
    }
}

/// What it should even less do.
fn quote_code(instrument: &Instrument) -> String {
    match instrument {
        Instrument::Card(card) => {
            card.security_code.as_ref().map(|code| format!(" cvv {}", code.expose())).unwrap_or_default()
        }
        Instrument::BankAccount(_) | Instrument::Token(_) => String::new(),
    }
}

/// A document with what was keyed in it, written as the application likes.
fn filled(text: &str, fetch: &Fetch) -> String {
    if !text.contains("Digits}") {
        return text.to_owned();
    }
    let digits = fetch.form.value("Digits").or_else(|| fetch.parameters.get("Digits"));
    let digits = digits.map(Value::expose).unwrap_or_default().replace(['*', '#'], "");
    // The same digits are written the same way, as a script's application does.
    let mut rng =
        SeededRng::new(digits.bytes().fold(0, |seed: u64, digit| seed.wrapping_mul(31).wrapping_add(u64::from(digit))));
    let way = rng.number();
    text.replace(DIGITS, &spelt(&digits, way, &mut rng)).replace(PLAIN_DIGITS, &digits)
}
