//! How commands are written. What is changed here changes [`super::VERSION`].

use serde::{Deserialize, Serialize};
use url::Url;

use super::super::desk::Request;
use crate::flow::link::Origin;
use crate::flow::{AgentCommand, NextDocument, Redirection};
use crate::form::{Form, Value};
use crate::secret::Secret;
use crate::twiml;

/// A command's text.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(super) enum Command {
    RedirectToDocument { twiml: String },
    RedirectToUrl { url: String, method: Method },
    Complete,
    StartPayment { request: Request, fields: Vec<Field> },
    LeadPayment { payment: String, request: Request, fields: Vec<Field> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    Get,
    Post,
}

/// A field of a form.
#[derive(Serialize, Deserialize)]
pub(super) struct Field {
    name: String,
    value: String,
    is_secret: bool,
}

/// A command cannot be carried out as it is written. Nothing of it is quoted.
#[derive(Debug, thiserror::Error)]
#[error("the command cannot be read")]
pub(super) struct Unreadable;

impl From<super::Command> for Command {
    fn from(command: super::Command) -> Self {
        match command {
            super::Command::Redirect(Redirection::Document(_, twiml)) => Self::RedirectToDocument { twiml },
            super::Command::Redirect(Redirection::Url(url, method)) => {
                let method = match method {
                    twiml::Method::Get => Method::Get,
                    twiml::Method::Post => Method::Post,
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

impl TryFrom<Command> for super::Command {
    type Error = Unreadable;

    fn try_from(command: Command) -> Result<Self, Unreadable> {
        Ok(match command {
            Command::RedirectToDocument { twiml } => {
                let document = twiml::parse(&twiml).map_err(|_| Unreadable)?;
                let next = NextDocument { document, origin: Origin::Flow(String::new()) };
                Self::Redirect(Redirection::Document(next, twiml))
            }
            Command::RedirectToUrl { url, method } => {
                let method = match method {
                    Method::Get => twiml::Method::Get,
                    Method::Post => twiml::Method::Post,
                };
                Self::Redirect(Redirection::Url(Url::parse(&url).map_err(|_| Unreadable)?, method))
            }
            Command::Complete => Self::Complete,
            Command::StartPayment { request, fields } => Self::Payment(AgentCommand::Create(form(fields)), request),
            Command::LeadPayment { payment, request, fields } => {
                Self::Payment(AgentCommand::Update { sid: payment, form: form(fields) }, request)
            }
        })
    }
}

fn fields(form: &Form) -> Vec<Field> {
    let field = |(name, value): (&str, &Value)| Field {
        name: name.to_owned(),
        value: value.expose().to_owned(),
        is_secret: matches!(value, Value::Secret(_)),
    };
    form.iter().map(field).collect()
}

fn form(fields: Vec<Field>) -> Form {
    let mut form = Form::new();
    for Field { name, value, is_secret } in fields {
        form.set(name, if is_secret { Value::Secret(Secret::new(value)) } else { Value::Plain(value) });
    }
    form
}
