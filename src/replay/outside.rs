//! What others do with a script's call: the agent who leads a payment, the application that leads the call.

use url::Url;

use super::script::{AgentStep, ApplicationStep, Text};
use crate::flow::link::Origin;
use crate::flow::{AgentCommand, CommandId, NextDocument, Redirection};
use crate::form::Form;
use crate::pay::assisted::AgentError;
use crate::simulate::{Simulation, World};
use crate::twiml::{self, Method};

/// Where an agent's session tells its progress, unless the script says so.
const CALLBACK: &str = "https://example.com/payment-status";

/// The script's agent.
#[derive(Debug, Default)]
pub(super) struct ScriptedAgent {
    requests: u32,
    /// The payment that was started last.
    sid: Option<String>,
    /// Requests whose answers were not waited for, each with its number.
    later: Vec<(u32, CommandId, AgentStep)>,
}

impl ScriptedAgent {
    /// Asks, and compares the answer with what the script expects.
    pub(super) fn ask<W: World>(&mut self, step: &AgentStep, simulation: &mut Simulation<W>) -> Result<(), String> {
        let mut form = Form::new();
        self.requests += 1;
        form.set("IdempotencyKey", format!("request-{}", self.requests));
        form.set("StatusCallback", step.callback.as_ref().map_or(CALLBACK, |url| url.0.as_str()));
        let command = match &step.create {
            Some(parameters) => {
                for (name, Text(value)) in parameters {
                    form.set(name.clone(), value);
                }
                AgentCommand::Create(form)
            }
            None => {
                form.set_some("Capture", step.capture.as_ref().map(|word| &word.0));
                form.set_some("Status", step.status.as_ref().map(|word| &word.0));
                // A script's ids are counted up from 1.
                let numbered = step.payment.map(|number| format!("PK{number:032x}"));
                let named = step.sid.as_ref().map(|sid| sid.0.clone()).or(numbered).or_else(|| self.sid.clone());
                let sid = named.ok_or("no payment was started: begin with agent: {create: {}}")?;
                AgentCommand::Update { sid, form }
            }
        };
        let id = simulation.command(command);
        if step.later {
            self.later.push((self.requests, id, step.clone()));
            return Ok(());
        }
        while simulation.answer(id).is_none() && simulation.step() {}
        let done = compare(step, simulation.answer(id))?;
        if step.create.is_some() {
            self.sid = done.or_else(|| self.sid.take());
        }
        Ok(())
    }

    /// Compares the answers that were not waited for.
    pub(super) fn settle<W: World>(&self, simulation: &Simulation<W>) -> Vec<String> {
        let compared = |(number, id, step): &(u32, CommandId, AgentStep)| {
            let failure = compare(step, simulation.answer(*id)).err()?;
            Some(format!("the agent's request {number}: {failure}"))
        };
        self.later.iter().filter_map(compared).collect()
    }
}

/// Whether the answer is the expected one: the payment's id, if the request was done.
fn compare(step: &AgentStep, answer: Option<&Result<String, AgentError>>) -> Result<Option<String>, String> {
    match (answer, &step.refused) {
        (Some(Ok(sid)), None) => Ok(Some(sid.clone())),
        (Some(Ok(_)), Some(Text(code))) => Err(format!("the agent's request was done, not refused with {code}")),
        (Some(Err(error)), Some(Text(refused))) if is_refusal(error, refused) && says(error, step) => Ok(None),
        (Some(Err(error)), _) => {
            Err(format!("the agent's request was refused with {} {}: {error}", error.status, error.code))
        }
        (None, _) => Err("the agent's request was not answered".to_owned()),
    }
}

/// Whether `refused` names the error: its code, or HTTP status and code.
fn is_refusal(error: &AgentError, refused: &str) -> bool {
    let code = error.code.to_string();
    refused == code || refused.split_once(' ') == Some((error.status.to_string().as_str(), code.as_str()))
}

/// Whether the error has the words that the script expects.
fn says(error: &AgentError, step: &AgentStep) -> bool {
    step.says.as_ref().is_none_or(|Text(words)| error.message.contains(words))
}

/// The application sends the call elsewhere, or ends it.
pub(super) fn lead<W: World>(step: &ApplicationStep, simulation: &mut Simulation<W>) -> Result<(), String> {
    match step {
        ApplicationStep::Twiml(Text(text)) => {
            let document = twiml::parse(text).map_err(|fault| format!("twiml:{fault}"))?;
            let origin = Origin::Flow(String::new());
            simulation.redirect(Redirection::Document(NextDocument { document, origin }, text.clone()));
        }
        ApplicationStep::Url(Text(url)) => {
            let url = Url::parse(url).map_err(|error| format!("url: {url}: {error}"))?;
            simulation.redirect(Redirection::Url(url, Method::Post));
        }
        ApplicationStep::Status(Text(status)) if status == "completed" => simulation.complete(),
        ApplicationStep::Status(Text(status)) => return Err(format!("status: {status}: it is completed")),
    }
    Ok(())
}
