//! The call machine: runs a document verb by verb, from the answer to the end. Sans-I/O.
//!
//! Shape:   [`Call::start`], then [`Call::handle_event`] and [`Call::handle_timeout`] in, [`Action`]s out through
//!          [`Call::poll_action`]; [`Call::poll_timeout`] says until when it waits, and for what.
//! Units:   [`crate::time::CallTime`], milliseconds since the call was answered.
//! Limits:  [`FETCH_LIMIT`] for an answer of the application, [`LOOP_LIMIT`] documents in a row that take no time.
//! Errors:  none. What is wrong with a document is an [`Action::Warn`]; a call that cannot go on says so and hangs up.
//! Secrets: keys are masked in every `Debug`; what they spell leaves in `secret` types.
//! Sources: Twilio, "TwiML for Programmable Voice"; spec/pay.md.

mod agent;
mod answer;
mod call;
mod chase;
pub mod check;
mod context;
mod event;
pub mod flow_urls;
mod gather;
pub mod link;
mod pay;
mod payment;
mod telling;
mod voice;

pub use answer::{Body, Received, read_answer};
pub use call::Call;
pub use context::{Context, FETCH_LIMIT, LOOP_LIMIT, STANDARD_PARAMETERS};
pub use event::{
    Action, AgentCommand, Begun, CommandId, Ended, Event, Fetch, FetchFailure, FetchId, Fetched, First, Intended,
    LedBy, NextDocument, PaymentId, Purpose, Redirection, Settled, Shown, Telling, Unwritten, Wait, Warning,
};
pub use voice::TurnId;

#[cfg(test)]
mod tests;
