//! A gateway and an application that answer by chance, or again what they answered before.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::{Chance, Flows};
use crate::flow::link::Target;
use crate::flow::{Fetch, Fetched, Received, read_answer};
use crate::pay::gateway::{Answer, Approval, Attempt, Capabilities, Denial, Instrument, Operation, Preparation};
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

/// Documents that an application may answer with.
const DOCUMENTS: [&str; 8] = [
    "<Response><Say>Thank you.</Say><Hangup/></Response>",
    "<Response/>",
    "",
    "<Response><Gather numDigits='2' timeout='2'><Say>Press two keys.</Say></Gather><Say>Bye.</Say></Response>",
    "<Response><Pay chargeAmount='1' postalCode='false'/></Response>",
    "<Response><Pause length='1'/><Redirect>https://example.com/next</Redirect></Response>",
    "<Response><Say>Not closed",
    "<Response><Redirect>https://example.com/next</Redirect></Response>",
];

/// What the gateway says, and after how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub(super) after: u64,
    pub(super) what: Kind,
    /// The number that a decline quotes back.
    pub(super) quoted: String,
}

/// What the gateway says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Charges,
    Tokenizes,
    Declines,
    /// Declines, and quotes what was keyed.
    Quotes,
    Refuses(PayErrorCode),
    Unknown,
    NotSent,
    Silent,
    BrokenDown,
}

/// The world of a call by chance.
#[derive(Debug)]
pub struct ChanceWorld<'a, F> {
    flows: &'a F,
    /// How long a lookup takes, in milliseconds, if there are connectors.
    lookup: Option<u64>,
    /// Where new answers come from; none: there are only those of before.
    chance: Option<Chance>,
    answers: Vec<Said>,
    given: usize,
    documents: BTreeMap<Url, &'static str>,
    asked: BTreeMap<Url, bool>,
}

impl<'a, F: Flows> ChanceWorld<'a, F> {
    pub(super) fn drawing(flows: &'a F, lookup: Option<u64>, chance: Chance) -> Self {
        let (answers, documents, asked) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { flows, lookup, chance: Some(chance), answers, given: 0, documents, asked }
    }

    pub(super) fn repeating(
        flows: &'a F,
        lookup: Option<u64>,
        answers: Vec<Said>,
        documents: BTreeMap<Url, &'static str>,
    ) -> Self {
        Self { flows, lookup, chance: None, answers, given: 0, documents, asked: BTreeMap::new() }
    }

    /// What was answered.
    pub(super) fn written_down(&self) -> (Vec<Said>, BTreeMap<Url, &'static str>) {
        (self.answers.clone(), self.documents.clone())
    }

    /// The next answer of before, or a new one.
    fn next(&mut self, attempt: &Attempt, instrument: &Instrument) -> Option<Said> {
        if self.given >= self.answers.len() {
            let drawn = draw(self.chance.as_mut()?, attempt, instrument);
            self.answers.push(drawn);
        }
        let said = self.answers.get(self.given).cloned();
        self.given += 1;
        said
    }

    /// Whether the connector breaks down before anything is sent.
    fn breaks_down(&mut self) -> Option<u64> {
        if self.given < self.answers.len() {
            let said = self.answers.get(self.given).filter(|said| said.what == Kind::BrokenDown)?;
            self.given += 1;
            return Some(said.after);
        }
        let chance = self.chance.as_mut()?;
        if !chance.one_in(50) {
            return None;
        }
        let after = chance.below(3000);
        self.answers.push(Said { after, what: Kind::BrokenDown, quoted: String::new() });
        self.given += 1;
        Some(after)
    }
}

impl<F: Flows> World for ChanceWorld<'_, F> {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        self.lookup.map(|_| sandbox::capabilities())
    }

    fn lookup_time(&self) -> Duration {
        Duration::from_millis(self.lookup.unwrap_or(0))
    }

    fn gateway(
        &mut self,
        question: &Question,
        attempt: &Attempt,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)> {
        if !matches!(question.what, Ask::Submit(_)) {
            if let Some(after) = self.breaks_down() {
                return Some((Duration::from_millis(after), Reply::Panicked));
            }
            return Some((
                Duration::ZERO,
                match question.what {
                    Ask::Prepare => Reply::Prepared(Preparation::Nothing),
                    Ask::Submit(_) | Ask::Resolve(_) => sandbox_reply(question, attempt, instrument),
                },
            ));
        }
        let Some(said) = self.next(attempt, instrument) else {
            return Some((Duration::ZERO, sandbox_reply(question, attempt, instrument)));
        };
        let denial = |quoted: &str| Denial {
            code: Some("card_declined".to_owned()),
            message: Some(format!("{WORDS}{quoted}")),
            parameters: Vec::new(),
        };
        let reason = REASON.to_owned();
        let answer = match said.what {
            Kind::Charges => {
                Answer::Approved(Approval { confirmation_code: Some("ch_fuzz".to_owned()), ..Approval::default() })
            }
            Kind::Tokenizes => {
                Answer::Approved(Approval { token: Some(Secret::new("tok_fuzz".to_owned())), ..Approval::default() })
            }
            Kind::Declines => Answer::Declined(denial("")),
            Kind::Quotes => Answer::Declined(denial(&quote(instrument))),
            Kind::Refuses(code) => Answer::Refused(code, Denial { code: None, ..denial("") }),
            Kind::Unknown => Answer::Unknown { reason },
            Kind::NotSent => Answer::NotSent { reason, retry_after: None },
            Kind::Silent => return None,
            Kind::BrokenDown => return Some((Duration::from_millis(said.after), Reply::Panicked)),
        };
        Some((Duration::from_millis(said.after), Reply::Submitted(answer)))
    }

    fn document(&mut self, fetch: &Fetch) -> (Duration, Fetched) {
        let fetched = match &fetch.target {
            Target::Flow(name) => self.flows.flow(name, &fetch.parameters),
            Target::Url(url) => match self.text(url) {
                None => return (Duration::ZERO, Fetched::NotAsked),
                Some(text) => {
                    let received = Received { content_type: Some("text/xml"), body: text.as_bytes(), cut: false };
                    read_answer(url.clone(), received)
                }
            },
        };
        (Duration::ZERO, fetched.map_or_else(Fetched::Failed, Fetched::Document))
    }

    fn source(&self, fetch: &Fetch) -> Option<Source> {
        match &fetch.target {
            Target::Flow(_) => None,
            Target::Url(url) => self.documents.get(url).map(|text| Source {
                text: (*text).to_owned(),
                content_type: Some("text/xml".to_owned()),
                from: None,
            }),
        }
    }
}

impl<F: Flows> ChanceWorld<'_, F> {
    /// The document of an address, the same one every time.
    fn text(&mut self, url: &Url) -> Option<&'static str> {
        if !self.asked.contains_key(url)
            && let Some(chance) = &mut self.chance
        {
            let answers = !chance.one_in(3);
            self.asked.insert(url.clone(), answers);
            if answers {
                let text = chance.one_of(&DOCUMENTS, "");
                self.documents.insert(url.clone(), text);
            }
        }
        self.documents.get(url).copied()
    }
}

fn draw(chance: &mut Chance, attempt: &Attempt, instrument: &Instrument) -> Said {
    let what = match chance.below(20) {
        0..10 => match attempt.operation {
            Operation::Charge(..) => Kind::Charges,
            Operation::Tokenize(_) => Kind::Tokenizes,
        },
        10 | 11 => Kind::Declines,
        12 => Kind::Quotes,
        13 => Kind::Refuses(chance.one_of(PayErrorCode::ALL, PayErrorCode::ChargeRejected)),
        14 | 15 => Kind::Unknown,
        16 | 17 => Kind::NotSent,
        _ => Kind::Silent,
    };
    let after = match chance.below(8) {
        0 | 1 => 0,
        2..=4 => chance.below(4000),
        // Around the gateway's own time, and long after it.
        5 => 9999 + chance.below(3),
        6 => chance.below(20_000),
        _ => chance.below(90_000),
    };
    let quoted = if what == Kind::Quotes { quote(instrument) } else { String::new() };
    Said { after, what, quoted }
}

/// What a gateway should never do.
fn quote(instrument: &Instrument) -> String {
    match instrument {
        Instrument::Card(card) => format!(": {}", card.number.expose()),
        Instrument::BankAccount(account) => format!(": {}", account.account_number.expose()),
        Instrument::Token(_) => String::new(),
    }
}
