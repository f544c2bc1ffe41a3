//! How commands are written. What is changed here changes [`super::VERSION`].

use serde::{Deserialize, Serialize};
use url::Url;

use super::super::idempotency::IdempotentRequest;
use crate::flow::link::Origin;
use crate::flow::{AgentCommand, NextDocument, Redirection};
use crate::form::{Form, Value};
use crate::secret::Secret;
use crate::twiml;

/// A command's text.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(super) enum WireCommand {
    RedirectToDocument { twiml: String },
    RedirectToUrl { url: String, method: WireMethod },
    Complete,
    StartPayment { request: IdempotentRequest, fields: Vec<WireField> },
    LeadPayment { payment: String, request: IdempotentRequest, fields: Vec<WireField> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum WireMethod {
    Get,
    Post,
}

/// A field of a form.
#[derive(Serialize, Deserialize)]
pub(super) struct WireField {
    name: String,
    value: String,
    is_secret: bool,
}

/// A command cannot be carried out as it is written. Nothing of it is quoted.
#[derive(Debug, thiserror::Error)]
#[error("the command cannot be read")]
pub(super) struct UnreadableCommand;

impl From<super::Command> for WireCommand {
    fn from(command: super::Command) -> Self {
        match command {
            super::Command::Redirect(Redirection::Document(_, twiml)) => Self::RedirectToDocument { twiml },
            super::Command::Redirect(Redirection::Url(url, method)) => {
                let method = match method {
                    twiml::Method::Get => WireMethod::Get,
                    twiml::Method::Post => WireMethod::Post,
                };
                Self::RedirectToUrl { url: url.into(), method }
            }
            super::Command::Complete => Self::Complete,
            super::Command::Payment(AgentCommand::Create(form), request) => {
                Self::StartPayment { request, fields: fields(&form) }
            }
            super::Command::Payment(AgentCommand::Update { sid, form }, request) => {
                Self::LeadPayment { payment: sid, request, fields: fields(&form) }
            }
        }
    }
}

impl TryFrom<WireCommand> for super::Command {
    type Error = UnreadableCommand;

    fn try_from(command: WireCommand) -> Result<Self, UnreadableCommand> {
        Ok(match command {
            WireCommand::RedirectToDocument { twiml } => {
                let document = twiml::parse(&twiml).map_err(|_| UnreadableCommand)?;
                // A document in a request is nowhere: its relative links name flows, as where the request is read.
                let next = NextDocument { document, origin: Origin::Flow(String::new()) };
                Self::Redirect(Redirection::Document(next, twiml))
            }
            WireCommand::RedirectToUrl { url, method } => {
                let method = match method {
                    WireMethod::Get => twiml::Method::Get,
                    WireMethod::Post => twiml::Method::Post,
                };
                Self::Redirect(Redirection::Url(Url::parse(&url).map_err(|_| UnreadableCommand)?, method))
            }
            WireCommand::Complete => Self::Complete,
            WireCommand::StartPayment { request, fields } => Self::Payment(AgentCommand::Create(form(fields)), request),
            WireCommand::LeadPayment { payment, request, fields } => {
                Self::Payment(AgentCommand::Update { sid: payment, form: form(fields) }, request)
            }
        })
    }
}

fn fields(form: &Form) -> Vec<WireField> {
    let field = |(name, value): (&str, &Value)| WireField {
        name: name.to_owned(),
        value: value.expose().to_owned(),
        is_secret: matches!(value, Value::Secret(_)),
    };
    form.iter().map(field).collect()
}

fn form(fields: Vec<WireField>) -> Form {
    let mut form = Form::new();
    for WireField { name, value, is_secret } in fields {
        form.set(name, if is_secret { Value::Secret(Secret::new(value)) } else { Value::Plain(value) });
    }
    form
}
