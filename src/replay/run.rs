//! Runs a script: its caller against the call machine, its world of documents and gateway answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use url::Url;

use super::expect::{self, Summary};
use super::script::{CLOCK, Dialect, GatewayAnswer, Oddity, Script, Step};
use crate::flow::link::{Origin, PlainHttp, Target};
use crate::flow::{Context, Fetch, FetchFailure, Fetched, NextDocument};
use crate::form::{Form, Value};
use crate::library::{Library, read_flow};
use crate::pay::gateway::{Answer, Approval, Attempt, Capabilities, Denial, Instrument};
use crate::pay::sandbox;
use crate::pay::submission::{Ask, Question, Reply};
use crate::secret::Secret;
use crate::simulate::{Simulation, TurnState, World, sandbox_reply};
use crate::time::CallTime;
use crate::twiml;

/// What came of a script.
#[derive(Debug)]
pub struct Outcome {
    /// What was expected and did not happen; empty: passed.
    pub failures: Vec<String>,
    /// Every event and action with its time, keys masked.
    pub trace: Vec<String>,
    /// What scripts compare.
    pub summary: Summary,
}

/// Runs a script to its end.
#[must_use]
pub fn run(script: &Script, library: &Library) -> Outcome {
    let context = context(script);
    let first = match (&script.flow, &script.document) {
        (Some(name), _) => library.load(name, &context.parameters),
        (None, document) => read_flow("document", "", document.as_deref().unwrap_or_default(), &context.parameters),
    };
    let world = ScriptWorld {
        library,
        documents: script.documents.iter().map(|(url, text)| (url.clone(), text.0.clone())).collect(),
        answers: script.gateway.iter().cloned().collect(),
    };
    let mut failures = Vec::new();
    if let Err(failure) = &first {
        failures.push(failure.to_string());
    }
    let mut simulation = Simulation::start(first, context, world);
    let mut caller = Caller { heard: 0, next_key: CallTime::ZERO };
    for (number, step) in script.call.iter().enumerate() {
        if let Err(failure) = caller.take(step, &mut simulation) {
            failures.push(format!("step {}: {failure}", number + 1));
            break;
        }
    }
    if failures.is_empty() && !simulation.run_to_end() {
        failures.push("the call does not end: let the caller hang up".to_owned());
    }
    let summary = Summary::of(&simulation);
    failures.extend(expect::compare(&script.expect, &summary));
    let trace = simulation.records().iter().map(|(at, record)| format!("{at:>9}  {record}")).collect();
    Outcome { failures, trace, summary }
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
    documents: BTreeMap<String, String>,
    answers: VecDeque<GatewayAnswer>,
}

impl World for ScriptWorld<'_> {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        Some(sandbox::capabilities())
    }

    fn gateway(
        &mut self,
        question: &Question,
        attempt: &Attempt,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)> {
        let breaks_down = |answer: &GatewayAnswer| answer.outcome == Some(Oddity::BrokenDown);
        if !matches!(question.what, Ask::Submit(_)) {
            if self.answers.front().is_some_and(breaks_down) {
                let after = self.answers.pop_front().map_or(Duration::ZERO, |answer| answer.after.0);
                return Some((after, Reply::Panicked));
            }
            return Some((Duration::ZERO, sandbox_reply(question, attempt, instrument)));
        }
        let Some(answer) = self.answers.pop_front() else {
            return Some((Duration::ZERO, sandbox_reply(question, attempt, instrument)));
        };
        let after = answer.after.0;
        if answer.outcome == Some(Oddity::Silent) {
            return None;
        }
        Some((after, scripted(answer).map_or_else(|| sandbox_reply(question, attempt, instrument), Reply::Submitted)))
    }

    fn document(&mut self, fetch: &Fetch) -> (Duration, Fetched) {
        let fetched = match &fetch.target {
            Target::Flow(name) => self.library.load(name, &fetch.parameters),
            Target::Url(url) => match self.find(url) {
                Some(text) if text.trim().is_empty() => {
                    Ok(NextDocument { document: twiml::Document::default(), origin: Origin::Url(url.clone()) })
                }
                Some(text) => twiml::parse(text)
                    .map(|document| NextDocument { document, origin: Origin::Url(url.clone()) })
                    .map_err(|fault| FetchFailure::not_readable(format!("{url}:{fault}"))),
                None => return (Duration::ZERO, Fetched::NotAsked),
            },
        };
        (Duration::ZERO, fetched.map_or_else(Fetched::Failed, Fetched::Document))
    }
}

impl ScriptWorld<'_> {
    fn find(&self, url: &Url) -> Option<&String> {
        self.documents
            .iter()
            .find(|(known, _)| Url::parse(known).is_ok_and(|known| known == *url))
            .map(|(_, text)| text)
    }
}

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
        Some(Oddity::Silent | Oddity::BrokenDown) | None => {}
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
