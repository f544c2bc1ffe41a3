//! Runs a script: its caller against the call machine, its world of documents and gateway answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use url::Url;

use super::expect::{self, Summary};
use super::outside::{self, Agent};
use super::script::{
    Ability, CLOCK, ConnectorScript, Dialect, DocumentAnswer, GatewayAnswer, Oddity, Script, Step, WebAddress,
};
use crate::flow::link::{PlainHttp, Target};
use crate::flow::{Context, Fetch, Fetched, First, Received, read_answer};
use crate::form::{Form, Value};
use crate::library::{Library, read_flow};
use crate::money::Currency;
use crate::pay::gateway::{Answer, Approval, Attempt, Capabilities, Denial, Instrument, Resolution};
use crate::pay::sandbox;
use crate::pay::submission::{Ask, Question, Reply};
use crate::secret::Secret;
use crate::simulate::{Arrow, Simulation, TurnState, World, sandbox_reply};
use crate::time::CallTime;

/// What came of a script.
#[derive(Debug)]
pub struct Outcome {
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
pub fn run(script: &Script, library: &Library) -> Outcome {
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
        answers: script.gateway.iter().cloned().collect(),
    };
    let mut failures = Vec::new();
    match &first {
        First::Failed(failure) => failures.push(failure.to_string()),
        First::Url(url) if world.find(url).is_none() => failures.push(format!("url: {url} is not among documents")),
        First::Url(_) | First::Document(_) => {}
    }
    let mut simulation = Simulation::start(first, context, world);
    let mut caller = Caller { heard: 0, next_key: CallTime::ZERO, agent: Agent::default() };
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
    failures.extend(expect::compare(&script.expect, &summary));
    let trace = simulation.records().iter().map(|(at, record)| format!("{at:>9}  {record}")).collect();
    Outcome { failures, trace, summary, arrows: simulation.arrows().clone() }
}

fn context(script: &Script) -> Context {
    let parameters: BTreeMap<String, Value> =
        script.parameters.iter().map(|(name, value)| (name.clone(), Value::Plain(value.0.clone()))).collect();
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
        telnyx: script.dialect == Dialect::Telnyx,
        plain_http: PlainHttp::Always,
    }
}

/// The script's caller.
struct Caller {
    /// How many turns were heard or passed over.
    heard: usize,
    /// The earliest moment of the next key: keys of two steps in a row are as far apart as those of one.
    next_key: CallTime,
    agent: Agent,
}

impl Caller {
    fn take(&mut self, step: &Step, simulation: &mut Simulation<ScriptWorld<'_>>) -> Result<(), String> {
        match step {
            Step::Hear(text) => self.hear(text, simulation),
            Step::Press { keys, every } => {
                for key in keys {
                    let at = self.next_key.max(simulation.now());
                    simulation.advance_to(at);
                    if let Some(ended) = simulation.ended() {
                        return Err(format!("a key cannot be pressed: the call is over ({})", ended.word()));
                    }
                    simulation.press(*key);
                    self.next_key = at + *every;
                }
                Ok(())
            }
            Step::Wait(length) => {
                simulation.advance_to(simulation.now() + *length);
                Ok(())
            }
            Step::HangUp => {
                simulation.hang_up();
                Ok(())
            }
            Step::Agent(step) => self.agent.ask(step, simulation),
            Step::Application(step) => outside::lead(step, simulation),
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
    documents: &'a BTreeMap<String, DocumentAnswer>,
    connector: &'a ConnectorScript,
    answers: VecDeque<GatewayAnswer>,
}

impl World for ScriptWorld<'_> {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        (!self.connector.missing).then(|| self.connector.capabilities())
    }

    fn lookup_time(&self) -> Duration {
        self.connector.after.0
    }

    fn gateway(
        &mut self,
        question: &Question,
        attempt: &Attempt,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)> {
        let breaks_down = self.answers.front().is_some_and(|answer| answer.outcome == Some(Oddity::BrokenDown));
        let prepares = question.what == Ask::Prepare;
        let sandbox = || Some((Duration::ZERO, sandbox_reply(question, attempt, instrument)));
        // A preparation has no entry of its own: only a breakdown shows this early.
        if prepares && !breaks_down {
            return sandbox();
        }
        let Some(answer) = self.answers.pop_front() else { return sandbox() };
        let after = answer.after.0;
        let resolves = matches!(question.what, Ask::Resolve(_));
        let reply = match answer.outcome {
            Some(Oddity::Silent) => return None,
            Some(Oddity::BrokenDown) => Some(Reply::Panicked),
            Some(Oddity::NotFound) => resolves.then_some(Reply::Resolved(Resolution::NotFound)),
            Some(Oddity::Unknown | Oddity::NotSent) | None => scripted(answer).map(|answer| {
                if resolves { Reply::Resolved(Resolution::Answer(answer)) } else { Reply::Submitted(answer) }
            }),
        };
        Some((after, reply.unwrap_or_else(|| sandbox_reply(question, attempt, instrument))))
    }

    fn document(&mut self, fetch: &Fetch) -> (Duration, Fetched) {
        let (after, fetched) = match &fetch.target {
            Target::Flow(name) => (Duration::ZERO, self.library.load(name, &fetch.parameters)),
            Target::Url(url) => match self.find(url) {
                Some(DocumentAnswer { text, content_type, after }) => {
                    let content_type = Some(content_type.as_ref().map_or("text/xml", |content_type| &content_type.0));
                    let received = Received { content_type, body: text.0.as_bytes(), cut: false };
                    (after.0, read_answer(url.clone(), received))
                }
                None => return (Duration::ZERO, Fetched::NotAsked),
            },
        };
        (after, fetched.map_or_else(Fetched::Failed, Fetched::Document))
    }
}

impl ScriptWorld<'_> {
    fn find(&self, url: &Url) -> Option<&DocumentAnswer> {
        self.documents.iter().find(|(known, _)| Url::parse(known).is_ok_and(|known| known == *url)).map(|(_, it)| it)
    }
}

impl ConnectorScript {
    /// The sandbox's, less what the script takes away.
    fn capabilities(&self) -> Capabilities {
        let mut can = sandbox::capabilities();
        for what in &self.cannot {
            match what {
                Ability::ChargeCard => can.charge_card = false,
                Ability::ChargeBank => can.charge_bank = false,
                Ability::ChargeToken => can.charge_token = false,
                Ability::TokenizeCard => can.tokenize_card.clear(),
                Ability::TokenizeBank => can.tokenize_bank.clear(),
                Ability::Replay => can.replays = false,
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
        can.test_numbers_only = self.test_mode;
        can.looks_up = self.looks_up;
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
    let denial =
        Denial { code: text(answer.error_code), message: text(answer.error_message), parameters: parameters.clone() };
    if let Some(code) = answer.refused {
        return Some(Answer::Refused(code.0, denial));
    }
    match answer.outcome {
        Some(Oddity::Unknown) => return Some(Answer::Unknown { reason: "as the script says".to_owned() }),
        Some(Oddity::NotSent) => {
            return Some(Answer::NotSent { reason: "as the script says".to_owned(), retry_after: None });
        }
        Some(Oddity::Silent | Oddity::BrokenDown | Oddity::NotFound) | None => {}
    }
    if denial.code.is_some() {
        return Some(Answer::Declined(denial));
    }
    let approval = Approval {
        confirmation_code: text(answer.charge_id),
        token: text(answer.token_id).map(Secret::new),
        profile_id: text(answer.profile_id).map(Secret::new),
        parameters,
    };
    let says_something =
        approval.confirmation_code.is_some() || approval.token.is_some() || approval.profile_id.is_some();
    says_something.then_some(Answer::Approved(approval))
}
