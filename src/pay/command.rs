//! What an agent asks of a session, and what the answer is when it cannot be.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::field::Field;
use super::step::PayErrorCode;
use crate::form::{Form, Value};
use crate::mask::refused;

/// Something that an agent wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentRequest {
    /// Have a field keyed.
    Capture(Capture),
    /// Ask the gateway.
    Complete,
    /// End it.
    Cancel,
}

/// A field that is keyed: for the first time, or again to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The field.
    pub field: Field,
    /// Whether it is the second entry.
    pub matcher: bool,
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.field.step(), if self.matcher { "-matcher" } else { "" })
    }
}

impl Capture {
    /// What `word` names: a step's word, or one with `-matcher` behind it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word.strip_suffix("-matcher") {
            Some(step) => {
                Field::parse(step).filter(|field| field.has_matcher()).map(|field| Self { field, matcher: true })
            }
            None => Field::parse(word).map(|field| Self { field, matcher: false }),
        }
    }
}

impl AgentRequest {
    /// Reads the parameters of an update.
    ///
    /// # Errors
    /// Neither `Capture` nor `Status` is there, or what is there is none of the known words.
    pub fn read(form: &Form) -> Result<Self, AgentError> {
        // An empty parameter is none, as a blank attribute is (spec/pay.md 2).
        let given = |name| form.value(name).map(Value::expose).filter(|value| !value.is_empty());
        match (given("Capture"), given("Status")) {
            (None, None) => {
                Err(AgentError::of(PayErrorCode::NothingToDo, "an update has Capture, or Status=complete or cancel"))
            }
            (Some(_), Some(_)) => {
                Err(AgentError::of(PayErrorCode::InvalidParameter, "an update has either Capture or Status, not both"))
            }
            (Some(word), None) => Capture::parse(word).map(Self::Capture).ok_or_else(|| {
                let word = refused(word);
                let words: Vec<&str> = Field::ALL.iter().map(|field| field.step().word()).collect();
                let message = format!(
                    "Capture=\"{word}\" is not allowed: Capture is one of {}, or one of the first four with -matcher",
                    words.join(", ")
                );
                AgentError::of(PayErrorCode::InvalidParameter, message)
            }),
            (None, Some("complete")) => Ok(Self::Complete),
            (None, Some("cancel")) => Ok(Self::Cancel),
            (None, Some(word)) => {
                let message = format!("Status=\"{}\" is not allowed: Status is complete or cancel", refused(word));
                Err(AgentError::of(PayErrorCode::InvalidParameter, message))
            }
        }
    }
}

/// Why an agent's request is not done: an error as Twilio's REST API tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct AgentError {
    /// Twilio's error code.
    pub code: u32,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl AgentError {
    /// A request that cannot be done as it is.
    #[must_use]
    pub fn of(code: PayErrorCode, message: impl Into<String>) -> Self {
        Self { code: u32::from(code.number()), status: 400, message: message.into() }
    }

    /// Not possible in this state.
    #[must_use]
    pub fn operation(message: impl Into<String>) -> Self {
        Self { status: 409, ..Self::of(PayErrorCode::InvalidOperation, message) }
    }

    /// The call is over, or about to be.
    #[must_use]
    pub fn over() -> Self {
        Self { code: 21220, status: 400, message: "the call is not in progress".to_owned() }
    }

    /// There is no such payment on this call.
    #[must_use]
    pub fn not_found(sid: &str) -> Self {
        Self { code: 20404, status: 404, message: format!("there is no payment {sid} on this call") }
    }

    /// Not possible now; the same request may be done later.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { code: 20503, status: 503, message: message.into() }
    }

    /// A fault of ours.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self { code: 20500, status: 500, message: message.into() }
    }
}
