//! A plan as a call script: what `touchtone replay` runs to the same end.

use std::fmt::Write;

use super::gateway::{RandomConnectors, Said, SaidKind, WORDS, named};
use super::outside::{AgentsRequest, Asked, CALLBACK, Lead, sid};
use super::{Move, Plan, Played};
use crate::flow::CommandId;
use crate::pay::assisted::AgentError;
use crate::pay::gateway::Idempotency;
use crate::pay::platform::Platform;
use crate::pay::step::PayResult;
use crate::simulate::quoted;

impl Plan {
    /// The call as a script; `played`: what came of it, as what is expected.
    #[must_use]
    pub fn script<F: super::Flows>(&self, played: &Played<'_, F>) -> String {
        let mut script = String::new();
        // Writing to a text cannot fail.
        let _ = self.write(&mut script, played);
        let mut expected = String::new();
        if let Some(result) = super::result(played).map(PayResult::word) {
            let _ = writeln!(expected, "  result: {result}");
        }
        if let Some(ended) = played.ended() {
            let _ = writeln!(expected, "  ended: {}", ended.word());
        }
        if !expected.is_empty() {
            script.push_str("expect:\n");
            script.push_str(&expected);
        }
        script
    }

    fn write<F: super::Flows>(&self, script: &mut String, played: &Played<'_, F>) -> std::fmt::Result {
        writeln!(script, "flow: {}", self.flow)?;
        if self.platform != Platform::default() {
            writeln!(script, "dialect: {}", self.platform)?;
        }
        writeln!(script, "clock: {}Z", self.clock)?;
        if !self.parameters.is_empty() {
            writeln!(script, "parameters:")?;
            for (name, value) in &self.parameters {
                writeln!(script, "  {}: {}", quoted(name), quoted(value))?;
            }
        }
        if !self.documents.is_empty() {
            writeln!(script, "documents:")?;
            for (url, text) in &self.documents {
                match played.world().given_documents().get(url) {
                    // What was filled in differs, so that each answer is written in its turn.
                    Some(given) if given.iter().any(|given| given != text) => {
                        writeln!(script, "  {}:", quoted(url.as_str()))?;
                        for text in given {
                            writeln!(script, "    - {}", quoted(text))?;
                        }
                    }
                    _ => writeln!(script, "  {}: {}", quoted(url.as_str()), quoted(text))?,
                }
            }
        }
        let connector = connector(self.connectors);
        if !connector.is_empty() {
            writeln!(script, "connector: {{ {connector} }}")?;
        }
        if let [first, others @ ..] = &*self.store_away {
            let others: String = others.iter().map(|other| format!(", {other}")).collect();
            writeln!(script, "store_away: [{first}{others}]")?;
        }
        if !self.answers.is_empty() {
            writeln!(script, "gateway:")?;
            for said in &self.answers {
                writeln!(script, "  - {}", answer(said))?;
            }
        }
        writeln!(script, "call:")?;
        let mut requests = 0;
        for step in &self.moves {
            match step {
                Move::Press { keys, every } => {
                    let keys: String = keys.iter().map(|key| key.symbol()).collect();
                    writeln!(script, "  - press: {{ keys: \"{keys}\", every: {every}ms }}")?;
                }
                Move::Wait(millis) => writeln!(script, "  - wait: {millis}ms")?,
                Move::HangUp => writeln!(script, "  - hang up")?,
                Move::Agent(request) => {
                    requests += 1;
                    let answer = played.answer(CommandId(requests));
                    writeln!(script, "  - agent: {{ {} }}", asked(request, answer))?;
                }
                Move::Application(lead) => writeln!(script, "  - application: {{ {} }}", led(*lead))?,
            }
        }
        if self.moves.is_empty() {
            writeln!(script, "  []")?;
        }
        Ok(())
    }
}

/// An agent's request with what came of it. Its answer is looked at when the call is over, so that no time passes.
fn asked(request: &AgentsRequest, answer: Option<&Result<String, AgentError>>) -> String {
    let mut keys = Vec::new();
    match &request.what {
        Asked::Create(parameters) => {
            let given: Vec<String> =
                parameters.iter().map(|(name, value)| format!("{name}: {}", quoted(value))).collect();
            keys.push(format!("create: {{{}}}", given.join(", ")));
        }
        Asked::Update { payment, capture, status } => {
            // A script's payments are counted from 1.
            keys.push(format!("sid: {}", sid(1, *payment)));
            keys.extend(capture.map(|word| format!("capture: {word}")));
            keys.extend(status.map(|word| format!("status: {word}")));
        }
    }
    if request.callback != CALLBACK {
        keys.push(format!("callback: {}", quoted(request.callback)));
    }
    if let Some(Err(error)) = answer {
        keys.push(format!("refused: \"{} {}\"", error.status, error.code));
    }
    keys.push("later: true".to_owned());
    keys.join(", ")
}

fn led(lead: Lead) -> String {
    match lead {
        Lead::Document(text) => format!("twiml: {}", quoted(text)),
        Lead::Url(url) => format!("url: {}", quoted(url)),
        Lead::Completed => "status: completed".to_owned(),
    }
}

fn connector(connectors: Option<RandomConnectors>) -> String {
    let Some(RandomConnectors { lookup, idempotency, looks_up }) = connectors else {
        return "missing: true".to_owned();
    };
    let mut keys = Vec::new();
    if lookup > 0 {
        keys.push(format!("after: {lookup}ms"));
    }
    match idempotency {
        Idempotency::None => keys.push("cannot: [replay]".to_owned()),
        Idempotency::ActsOnce => keys.push("cannot: [first-result]".to_owned()),
        Idempotency::FirstResult => {}
    }
    if looks_up {
        keys.push("looks_up: true".to_owned());
    }
    keys.join(", ")
}

fn answer(said: &Said) -> String {
    let what = match said.what {
        SaidKind::Charges => "charge_id: ch_fuzz".to_owned(),
        SaidKind::Tokenizes => "token_id: tok_fuzz".to_owned(),
        SaidKind::NamesCharge => format!("charge_id: {}", quoted(&named(&said.quoted))),
        SaidKind::NamesToken => format!("token_id: {}", quoted(&named(&said.quoted))),
        SaidKind::Declines | SaidKind::Quotes => {
            let words = format!("{WORDS}{}", said.quoted);
            let seen = said.seen(&said.quoted);
            let seen = seen.iter().map(|(name, value)| format!(", parameters: {{ {name}: {} }}", quoted(value)));
            format!("error_code: card_declined, error_message: {}{}", quoted(&words), seen.collect::<String>())
        }
        SaidKind::Refuses(code) => format!("refused: {}, error_message: {}", code.number(), quoted(WORDS)),
        SaidKind::Unknown => "outcome: unknown".to_owned(),
        SaidKind::NotSent => "outcome: not-sent".to_owned(),
        SaidKind::Silent => "outcome: silent".to_owned(),
        SaidKind::NotWritten => "outcome: not-written".to_owned(),
        SaidKind::BrokenDown => "outcome: broken-down".to_owned(),
        SaidKind::NotFound => "outcome: not-found".to_owned(),
        SaidKind::CannotTell => "outcome: cannot-tell".to_owned(),
    };
    format!("{{ {what}, after: {}ms }}", said.after)
}
