//! Runs a script: its caller against the call machine, its world of documents and gateway answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use url::Url;

use super::expect::{self, Requests, Summary};
use super::outside::{self, ScriptedAgent};
use super::script::{
    Ability, CLOCK, ConnectorScript, DocumentAnswer, DocumentAnswers, GatewayAnswer, Oddity, PlainHttpWord, Script,
    ScriptStep, WebAddress,
};
use crate::flow::link::{PlainHttp, Target};
use crate::flow::{Body, Context, Fetch, FetchFailure, Fetched, First, Received, read_answer};
use crate::form::{Form, Value};
use crate::library::{Library, read_flow};
use crate::money::Currency;
use crate::pay::gateway::{
    Answer, Approval, Capabilities, Denial, Idempotency, Instrument, PaymentRequest, Preparation, Resolution,
};
use crate::pay::sandbox;
use crate::pay::submission::{Ask, Question, Reply};
use crate::secret::Secret;
use crate::simulate::tape::{self, SaidAt, Source, Tape};
use crate::simulate::{Arrow, Record, Simulation, TurnState, World, sandbox_reply, words};
use crate::time::CallTime;

/// What came of a script.
#[derive(Debug)]
pub struct ScriptOutcome {
    /// What was expected and did not happen; empty: passed.
    pub failures: Vec<String>,
    /// Every event and action with its time, keys masked.
    pub trace: Vec<String>,
    /// What scripts compare.
    pub summary: Summary,
    /// Every arrow of the machine's diagram that the call took.
    pub arrows: BTreeSet<Arrow>,
}

/// Runs a script to its end.
#[must_use]
pub fn run(script: &Script, library: &Library, requests: Requests) -> ScriptOutcome {
    play(script, library, requests, false).outcome
}

/// As [`run`], and takes the call down.
pub(super) fn run_taped(script: &Script, library: &Library) -> Replayed {
    play(script, library, Requests::Some, true)
}

/// A script that was run, and what was taken down of it.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) outcome: ScriptOutcome,
    pub(super) tape: Option<Tape>,
    pub(super) said: Vec<SaidAt>,
}

fn play(script: &Script, library: &Library, requests: Requests, taped: bool) -> Replayed {
    let context = context(script);
    let first: First = match (&script.flow, &script.document, &script.url) {
        (Some(name), ..) => library.load(name, &context.parameters).into(),
        (None, _, Some(WebAddress(url))) => First::Url(url.clone()),
        (None, document, None) => {
            read_flow("document", "", document.as_deref().unwrap_or_default(), &context.parameters).into()
        }
    };
    let world = ScriptWorld {
        library,
        documents: &script.documents,
        connector: &script.connector,
        connectors: &script.connectors,
        given: BTreeMap::new(),
        source: None,
        lookup: Duration::ZERO,
        lookups: 0,
        store_away: &script.store_away,
        speech: script.speech.iter().map(|length| length.0).collect(),
        answers: script.gateway.iter().cloned().collect(),
    };
    let mut failures = Vec::new();
    match &first {
        First::Failed(failure) => failures.push(failure.to_string()),
        First::Url(url) if world.find_url(url).is_none() => failures.push(format!("url: {url} is not among documents")),
        First::Url(_) | First::Document(_) => {}
    }
    let mut simulation = if taped {
        let begins = match (&script.flow, &script.url, &script.document) {
            (Some(name), ..) => tape::FirstDocument::Flow(name.clone()),
            (None, Some(WebAddress(url)), _) => tape::FirstDocument::Url(url.to_string()),
            (None, None, document) => tape::FirstDocument::Document(document.clone().unwrap_or_default()),
        };
        Simulation::start_taped(first, begins, context, world)
    } else {
        Simulation::start(first, context, world)
    };
    let mut caller = ScriptedCaller { heard: 0, next_key: CallTime::ZERO, agent: ScriptedAgent::default() };
    for (number, step) in script.call.iter().enumerate() {
        if let Err(failure) = caller.take(step, &mut simulation) {
            failures.push(format!("step {}: {failure}", number + 1));
            break;
        }
    }
    if failures.is_empty() && !simulation.run_to_end() {
        failures.push("the call does not end: let the caller hang up".to_owned());
    }
    failures.extend(caller.agent.settle(&simulation));
    let summary = Summary::of(&simulation);
    failures.extend(expect::compare(&script.expect, &summary, requests));
    let trace = simulation.records().iter().map(|(at, record)| format!("{at:>9}  {record}")).collect();
    let said = simulation.records().iter().filter_map(|(at, record)| match record {
        Record::Said(_, heard) => Some((*at, words(heard))),
        _ => None,
    });
    let said = said.collect();
    let (arrows, tape) = simulation.into_arrows_and_tape();
    let outcome = ScriptOutcome { failures, trace, summary, arrows };
    Replayed { outcome, tape, said }
}

fn context(script: &Script) -> Context {
    let parameters: BTreeMap<String, Value> =
        script.parameters.iter().map(|(name, value)| (name.clone(), Value::from(&value.0))).collect();
    let mut caller = Form::new();
    caller.set("From", parameters.get("From").map_or("+15005550006", Value::expose));
    caller.set("To", parameters.get("To").map_or("+15005550001", Value::expose));
    Context {
        account_sid: format!("AC{:032x}", 1),
        call_sid: format!("CA{:032x}", 1),
        caller,
        parameters,
        answered_at: script.clock.map_or(CLOCK, |clock| clock.0),
        answered_at_utc: script.clock.map_or(CLOCK, |clock| clock.0),
        seed: 1,
        platform: script.dialect.platform(),
        plain_http: match script.plain_http {
            PlainHttpWord::Always => PlainHttp::Always,
            PlainHttpWord::Loopback => PlainHttp::Loopback,
            PlainHttpWord::Never => PlainHttp::Never,
        },
    }
}

/// The script's caller.
struct ScriptedCaller {
    /// How many turns were heard or passed over.
    heard: usize,
    /// The earliest moment of the next key: keys of two steps in a row are as far apart as those of one.
    next_key: CallTime,
    agent: ScriptedAgent,
}

impl ScriptedCaller {
    fn take(&mut self, step: &ScriptStep, simulation: &mut Simulation<ScriptWorld<'_>>) -> Result<(), String> {
        match step {
            ScriptStep::Hear(text) => self.hear(text, simulation),
            ScriptStep::Press { keys, every, gaps } => {
                let mut gaps = gaps.iter();
                for key in keys {
                    let at = self.next_key.max(simulation.now());
                    simulation.advance_to(at);
                    if let Some(ended) = simulation.ended() {
                        return Err(format!("a key cannot be pressed: the call is over ({})", ended.word()));
                    }
                    simulation.press(*key);
                    self.next_key = at + *gaps.next().unwrap_or(every);
                }
                Ok(())
            }
            ScriptStep::Wait(length) => {
                simulation.advance_to(simulation.now() + *length);
                Ok(())
            }
            ScriptStep::HangUp => {
                simulation.hang_up();
                Ok(())
            }
            ScriptStep::Agent(step) => self.agent.ask(step, simulation),
            ScriptStep::Application(step) => outside::lead(step, simulation),
        }
    }

    /// Waits until a turn with `text` was said to its end.
    fn hear(&mut self, text: &str, simulation: &mut Simulation<ScriptWorld<'_>>) -> Result<(), String> {
        let wanted = folded(text);
        let first = self.heard;
        let mut looked_at = first;
        loop {
            while let Some(turn) = simulation.turns().get(looked_at) {
                let matches = folded(&turn.text).contains(&wanted);
                match turn.state {
                    TurnState::Speaking => break,
                    TurnState::Spoken if matches => {
                        self.heard = looked_at + 1;
                        return Ok(());
                    }
                    TurnState::Spoken | TurnState::Cut => looked_at += 1,
                }
            }
            if !simulation.step() {
                let said: Vec<String> = simulation
                    .turns()
                    .iter()
                    .skip(first)
                    .map(|turn| {
                        format!("\"{}\"{}", turn.text, if turn.state == TurnState::Cut { " (cut)" } else { "" })
                    })
                    .collect();
                let said = if said.is_empty() { "nothing".to_owned() } else { said.join(", ") };
                return Err(format!("\"{text}\" was not heard; said since: {said}"));
            }
        }
    }
}

/// In small letters, with single blanks.
fn folded(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Documents and gateway answers of a script.
struct ScriptWorld<'a> {
    library: &'a Library,
    documents: &'a BTreeMap<String, DocumentAnswers>,
    /// How many of a document's answers were given.
    given: BTreeMap<String, usize>,
    connector: &'a ConnectorScript,
    connectors: &'a BTreeMap<String, ConnectorScript>,
    speech: VecDeque<Duration>,
    /// How long the connector takes to be looked up that was asked for last.
    lookup: Duration,
    /// How many connectors were looked up, and which look-ups come while nothing can be written down.
    lookups: u32,
    store_away: &'a [u32],
    /// What the document was made of that was given last, if it came from the application.
    source: Option<Source>,
    answers: VecDeque<GatewayAnswer>,
}

impl World for ScriptWorld<'_> {
    fn connector(&mut self, name: &str) -> Option<Capabilities> {
        let connector = self.connectors.get(name).unwrap_or(self.connector);
        self.lookup = connector.after.0;
        self.lookups += 1;
        (!connector.missing).then(|| connector.capabilities())
    }

    fn speech(&mut self) -> Option<Duration> {
        self.speech.pop_front()
    }

    fn is_store_away(&self) -> bool {
        self.store_away.contains(&self.lookups)
    }

    fn lookup_time(&self) -> Duration {
        self.lookup
    }

    fn gateway(
        &mut self,
        question: &Question,
        payment_request: &PaymentRequest,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)> {
        let prepares = question.what == Ask::Prepare;
        // What was meant for a preparation that did not come is passed over.
        while !prepares && self.answers.front().is_some_and(|answer| answer.prepare) {
            self.answers.pop_front();
        }
        let scripted_preparation = self.answers.front().is_some_and(|answer| answer.prepare);
        let breaks_down = self.answers.front().is_some_and(|answer| answer.outcome == Some(Oddity::BrokenDown));
        let sandbox = || Some((Duration::ZERO, sandbox_reply(question, payment_request, instrument)));
        // A preparation has no entry of its own: only a breakdown shows this early.
        if prepares && !breaks_down && !scripted_preparation {
            return sandbox();
        }
        let Some(answer) = self.answers.pop_front() else { return sandbox() };
        let after = answer.after.0;
        let resolves = matches!(question.what, Ask::Resolve(_));
        let reply = match answer.outcome {
            Some(Oddity::Silent) => return None,
            Some(Oddity::BrokenDown) => Some(Reply::Panicked),
            Some(Oddity::NotWritten) => Some(Reply::NotWritten),
            Some(Oddity::NotFound) => resolves.then_some(Reply::Resolved(Resolution::NotFound)),
            Some(Oddity::CannotTell) => resolves.then_some(Reply::Resolved(Resolution::CannotTell)),
            Some(Oddity::Ready) => prepares.then_some(Reply::Prepared(Preparation::Nothing)),
            Some(Oddity::Unknown | Oddity::NotSent | Oddity::Approved | Oddity::Declined) | None => scripted(answer)
                .map(|answer| match question.what {
                    Ask::Prepare => Reply::Prepared(Preparation::Answered(answer)),
                    Ask::Submit(_) => Reply::Submitted(answer),
                    Ask::Resolve(_) => Reply::Resolved(Resolution::Answer(answer)),
                }),
        };
        Some((after, reply.unwrap_or_else(|| sandbox_reply(question, payment_request, instrument))))
    }

    fn source(&self, _: &Fetch) -> Option<Source> {
        self.source.clone()
    }

    fn document(&mut self, fetch: &Fetch) -> (Duration, Fetched) {
        self.source = None;
        let (after, fetched) = match &fetch.target {
            Target::Flow(name) => {
                let after = self.answer(fetch).map_or(Duration::ZERO, |answer| answer.after.0);
                (after, self.library.load(name, &fetch.parameters))
            }
            Target::Url(url) => match self.answer(fetch) {
                Some(DocumentAnswer { fails: Some(why), code, after, .. }) => {
                    let failure = FetchFailure::not_retrieved(why.0);
                    (after.0, Err(FetchFailure { code: code.unwrap_or(failure.code), ..failure }))
                }
                Some(DocumentAnswer { text, content_type, from, after, .. }) => {
                    let content_type =
                        content_type.map_or_else(|| "text/xml".to_owned(), |content_type| content_type.0);
                    let from = from.map(|from| from.0);
                    let received =
                        Received { content_type: Some(&content_type), body: Body::Text(&text.0), cut: false };
                    let document = read_answer(from.as_ref().unwrap_or(url).clone(), received);
                    self.source = Some(Source { text: text.0, content_type: Some(content_type), from });
                    (after.0, document)
                }
                None => return (Duration::ZERO, Fetched::NotAsked),
            },
        };
        (after, fetched.map_or_else(Fetched::Failed, Fetched::Document))
    }
}

impl ScriptWorld<'_> {
    fn find(&self, target: &Target) -> Option<(&String, &DocumentAnswers)> {
        match target {
            Target::Flow(name) => self.documents.get_key_value(name),
            Target::Url(url) => self.find_url(url),
        }
    }

    fn find_url(&self, url: &Url) -> Option<(&String, &DocumentAnswers)> {
        self.documents.iter().find(|(known, _)| Url::parse(known).is_ok_and(|known| known == *url))
    }

    /// The next answer to a fetch. One that nobody waits for takes none away.
    fn answer(&mut self, fetch: &Fetch) -> Option<DocumentAnswer> {
        let (name, DocumentAnswers(answers)) = self.find(&fetch.target)?;
        let given = self.given.get(name).copied().unwrap_or(0);
        let answer = answers.get(given.min(answers.len().saturating_sub(1)))?.clone();
        if fetch.answer_wanted {
            let name = name.clone();
            self.given.insert(name, given + 1);
        }
        Some(answer)
    }
}

impl ConnectorScript {
    /// The sandbox's, less what the script takes away.
    fn capabilities(&self) -> Capabilities {
        let mut can = sandbox::capabilities();
        can.withdrawn = self.withdrawn;
        for what in &self.cannot {
            match what {
                Ability::ChargeCard => can.charge_card = false,
                Ability::ChargeBank => can.charge_bank = false,
                Ability::ChargeToken => can.charge_token = false,
                Ability::TokenizeCard => can.tokenize_card.clear(),
                Ability::TokenizeBank => can.tokenize_bank.clear(),
                Ability::Replay => can.idempotency = Idempotency::None,
                Ability::FirstResult if can.idempotency.allows_repeats() => can.idempotency = Idempotency::ActsOnce,
                Ability::FirstResult => {}
            }
        }
        if let Some(types) = &self.token_types {
            can.tokenize_card.retain(|known| types.iter().any(|given| given.0 == known.word()));
            can.tokenize_bank.retain(|known| types.iter().any(|given| given.0 == known.word()));
        }
        can.currencies = self
            .currencies
            .as_ref()
            .map(|codes| codes.iter().filter_map(|code| code.0.parse::<Currency>().ok()).collect());
        can.needed_parameters = self.needs.iter().map(|name| name.0.clone()).filter(|name| name != AVS_NAME).collect();
        can.bank_needs_holder_name = self.needs.iter().any(|name| name.0 == AVS_NAME);
        can.accepted_numbers = self.test_mode.0;
        can.looks_up = self.looks_up;
        can.answer_timeout = self.answer_timeout.map_or(can.answer_timeout, |length| length.0);
        can.settles_after = self.settles_after.map_or(can.settles_after, |length| length.0);
        can.repeats = self.repeats.unwrap_or(can.repeats);
        can.overall = self.overall.map_or(can.overall, |length| length.0);
        can
    }
}

/// The parameter that only bank payments need.
const AVS_NAME: &str = "AVSName";

/// The answer a script writes down; none: what the sandbox says.
fn scripted(answer: GatewayAnswer) -> Option<Answer> {
    let text = |text: Option<super::script::Text>| text.map(|text| text.0).filter(|text| !text.is_empty());
    let parameters: Vec<(String, String)> =
        answer.parameters.into_iter().map(|(name, value)| (name, value.0)).collect();
    let denial = Denial { code: text(answer.error_code), message: text(answer.error_message), parameters };
    if let Some(code) = answer.refused {
        return Some(Answer::Refused(code.0, denial));
    }
    let reason = "as the script says".to_owned();
    let retry_after = answer.retry_after.map(|length| length.0);
    match answer.outcome {
        Some(Oddity::Unknown) => return Some(Answer::Unknown { reason, retry_after }),
        Some(Oddity::NotSent) => return Some(Answer::NotSent { reason, retry_after }),
        Some(
            Oddity::Silent
            | Oddity::BrokenDown
            | Oddity::NotWritten
            | Oddity::NotFound
            | Oddity::CannotTell
            | Oddity::Ready
            | Oddity::Approved
            | Oddity::Declined,
        )
        | None => {}
    }
    if denial.code.is_some() || answer.outcome == Some(Oddity::Declined) {
        return Some(Answer::Declined(denial));
    }
    let approval = Approval {
        confirmation_code: text(answer.charge_id),
        token: text(answer.token_id).map(Secret::new),
        profile_id: text(answer.profile_id).map(Secret::new),
        parameters: denial.parameters,
    };
    let says_something = answer.outcome == Some(Oddity::Approved)
        || approval.confirmation_code.is_some()
        || approval.token.is_some()
        || approval.profile_id.is_some();
    says_something.then_some(Answer::Approved(approval))
}
