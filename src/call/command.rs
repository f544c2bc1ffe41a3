//! What others than the caller want of a call, in a form that can travel to the server that has it.
//!
//! Shape:   a [`Command`] in, an [`Answer`] or a [`CommandError`] out. A [`Message`] is a command as one server writes it for
//!          another: what is read before anything else is its version.
//! Limits:  [`MESSAGE_BYTES_MAX`].
//! Errors:  [`CommandError`] for what is not done, [`MessageError`] for what cannot be written or read.
//! Secrets: a form may hold a postal code, a document or an address what the application put there: `Debug` shows names and
//!          what may be shown of an address, never values. A message has the values in the clear, secret ones too, which is what
//!          it is for: it is written into memory that is wiped. Card numbers are keyed and never in a command.
//! Sources: spec/cluster.md, section 2. Authenticating a message, its id that is used once and its expiry are the transport's:
//!          there is none yet, calls of this process are reached by a call of a function.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::history::{Payment, PaymentRefused};
use super::idempotency::IdempotentRequest;
use super::registry::CommandError;
use crate::flow::{AgentCommand, Redirection};
use crate::form::Form;
use crate::http::shown;

mod wire;

/// The version of messages that this server writes and reads.
pub const VERSION: u16 = 1;

/// The longest message, in bytes: four times the longest form's document, as JSON may write it.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Something that is wanted of a call.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "wire::WireCommand", into = "wire::WireCommand")]
pub enum Command {
    /// Go on with another document.
    Redirect(Redirection),
    /// End.
    Complete,
    /// Start a payment or lead one, once for each [`IdempotentRequest`].
    Payment(AgentCommand, IdempotentRequest),
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done.
    Done,
    /// The payment, as it stood when the request was done.
    Payment(Payment),
}

/// A command for a call, as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub struct Message {
    version: u16,
    /// The call.
    pub call_sid: String,
    /// What is wanted of it.
    pub command: Command,
}

/// Why a message cannot be written or read. Nothing of it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It has more than [`MESSAGE_BYTES_MAX`].
    #[error("the message has more than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    /// Another version of this program wrote it.
    #[error("the message has version {0}; this server reads version {VERSION}")]
    Version(u16),
    /// It is no message, or names what this server does not know.
    #[error("the message cannot be read")]
    Unreadable,
}

impl Message {
    /// For a call.
    #[must_use]
    pub const fn new(call_sid: String, command: Command) -> Self {
        Self { version: VERSION, call_sid, command }
    }

    /// As it is sent.
    ///
    /// # Errors
    /// [`MessageError::TooLong`].
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, MessageError> {
        let bytes = Zeroizing::new(serde_json::to_vec(self).map_err(|_| MessageError::Unreadable)?);
        if bytes.len() > MESSAGE_BYTES_MAX { Err(MessageError::TooLong) } else { Ok(bytes) }
    }

    /// As it came.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u16,
        }
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(MessageError::TooLong);
        }
        // First: what another version writes may be a command by the same name that means something else.
        let Versioned { version } = serde_json::from_slice(bytes).map_err(|_| MessageError::Unreadable)?;
        if version != VERSION {
            return Err(MessageError::Version(version));
        }
        serde_json::from_slice(bytes).map_err(|_| MessageError::Unreadable)
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |form: &Form| form.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        match self {
            Self::Redirect(Redirection::Document(..)) => f.write_str("Redirect(document)"),
            Self::Redirect(Redirection::Url(url, method)) => {
                write!(f, "Redirect({method} {})", shown(url.as_str()))
            }
            Self::Complete => f.write_str("Complete"),
            Self::Payment(AgentCommand::Create(form), _) => write!(f, "Create({:?})", names(form)),
            Self::Payment(AgentCommand::Update { sid, form }, _) => write!(f, "Update({sid}, {:?})", names(form)),
        }
    }
}

impl From<PaymentRefused> for CommandError {
    fn from(refused: PaymentRefused) -> Self {
        Self::Payment(refused)
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::flow::link::Origin;
    use crate::flow::{LedBy, NextDocument};
    use crate::form::Value;
    use crate::pay::assisted::AgentError;
    use crate::secret::Secret;
    use crate::twiml::{self, Method};

    const TWIML: &str = "<Response><Say>Hello \u{1f600} \"you\"</Say></Response>";

    fn form() -> Form {
        let mut form = Form::new();
        form.set("IdempotencyKey", "key-1");
        form.set("PostalCode", "94111");
        form.set("Token", Secret::new("tok_hunter2".to_owned()));
        form
    }

    fn commands() -> Vec<Command> {
        let document = NextDocument { document: twiml::parse(TWIML).unwrap(), origin: Origin::Flow(String::new()) };
        let url = Url::parse("https://me:hunter2@shop.example/next?key=hunter2").unwrap();
        let request = || IdempotentRequest::new("/PK1", "key-1", &[("a".to_owned(), "b".to_owned())]);
        vec![
            Command::Redirect(Redirection::Document(document, TWIML.to_owned())),
            Command::Redirect(Redirection::Url(url, Method::Get)),
            Command::Complete,
            Command::Payment(AgentCommand::Create(form()), request()),
            Command::Payment(AgentCommand::Update { sid: "PK1".to_owned(), form: form() }, request()),
        ]
    }

    fn fields(form: &Form) -> Vec<(String, String, bool)> {
        let field = |(name, value): (&str, &Value)| {
            (name.to_owned(), value.expose().to_owned(), matches!(value, Value::Secret(_)))
        };
        form.iter().map(field).collect()
    }

    #[test]
    fn a_command_that_travelled_wants_the_same() {
        for command in commands() {
            let bytes = Message::new("CA1".to_owned(), command.clone()).to_bytes().unwrap();
            let Message { call_sid, command: read, .. } = Message::from_bytes(&bytes).unwrap();
            assert_eq!(call_sid, "CA1");
            match (command, read) {
                (Command::Complete, Command::Complete) => {}
                (
                    Command::Redirect(Redirection::Document(document, text)),
                    Command::Redirect(Redirection::Document(other, other_text)),
                ) => {
                    assert_eq!((document.document, document.origin, text), (other.document, other.origin, other_text));
                }
                (
                    Command::Redirect(Redirection::Url(url, method)),
                    Command::Redirect(Redirection::Url(other, other_method)),
                ) => assert_eq!((url, method), (other, other_method)),
                (
                    Command::Payment(AgentCommand::Create(form), request),
                    Command::Payment(AgentCommand::Create(other), other_request),
                ) => assert_eq!((fields(&form), request), (fields(&other), other_request)),
                (
                    Command::Payment(AgentCommand::Update { sid, form }, request),
                    Command::Payment(AgentCommand::Update { sid: other_sid, form: other }, other_request),
                ) => assert_eq!((sid, fields(&form), request), (other_sid, fields(&other), other_request)),
                (command, read) => panic!("{command:?} became {read:?}"),
            }
        }
    }

    #[test]
    fn an_answer_that_travelled_says_the_same() {
        let moment = "2026-11-22T10:00:00.123456789Z".parse().unwrap();
        let payment = Payment {
            sid: "PK1".to_owned(),
            led_by: LedBy::Agent,
            created: moment,
            updated: moment,
            state: [("Result".to_owned(), "success".to_owned())].into(),
        };
        let refused = PaymentRefused::Judged(AgentError::over());
        let answers: [Result<Answer, CommandError>; 6] = [
            Ok(Answer::Done),
            Ok(Answer::Payment(payment)),
            Err(CommandError::NotLive),
            Err(CommandError::OtherContent),
            Err(refused.into()),
            Err(PaymentRefused::Deleted.into()),
        ];
        for answer in answers {
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<Result<Answer, CommandError>>(&text).unwrap(), answer, "{text}");
        }
    }

    #[test]
    fn what_is_wanted_is_shown_without_the_values_of_fields_documents_and_credentials() {
        for command in commands() {
            let shown = format!("{:?}", Message::new("CA1".to_owned(), command));
            for hidden in ["hunter2", "94111", "key-1", "Hello"] {
                assert!(!shown.contains(hidden), "{shown}");
            }
        }
    }

    #[test]
    fn a_message_of_another_version_or_of_no_known_kind_is_refused_whatever_else_it_says() {
        let read = |text: &str| Message::from_bytes(text.as_bytes()).unwrap_err();
        assert_eq!(read(r#"{"version":2,"call_sid":"CA1","command":{"do":"complete"}}"#), MessageError::Version(2));
        assert_eq!(read(r#"{"version":2,"command":"of another shape"}"#), MessageError::Version(2));
        for text in [
            "",
            "{}",
            r#"{"version":-1}"#,
            r#"{"version":1,"call_sid":"CA1"}"#,
            r#"{"version":1,"call_sid":"CA1","command":{"do":"charge"}}"#,
            r#"{"version":1,"call_sid":"CA1","command":{"do":"redirect-to-document","twiml":"<Response>"}}"#,
            r#"{"version":1,"call_sid":"CA1","command":{"do":"redirect-to-url","url":"next","method":"POST"}}"#,
            r#"{"version":1,"call_sid":"CA1","command":{"do":"redirect-to-url","url":"https://a.example","method":"PUT"}}"#,
        ] {
            assert_eq!(read(text), MessageError::Unreadable, "{text}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_neither_sent_nor_read() {
        let mut form = Form::new();
        form.set("Description", "x".repeat(MESSAGE_BYTES_MAX));
        let request = IdempotentRequest::new("", "", &[]);
        let command = Command::Payment(AgentCommand::Create(form), request);
        assert_eq!(Message::new("CA1".to_owned(), command).to_bytes(), Err(MessageError::TooLong));
        assert_eq!(Message::from_bytes(&vec![b' '; MESSAGE_BYTES_MAX + 1]).unwrap_err(), MessageError::TooLong);
    }
}
