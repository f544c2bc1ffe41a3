//! Pay sessions in the store: what each is for, how it ended, and what is told of one that a server left behind.
//!
//! Shape:   [`SessionBackend`] is part of [`super::Backend`]; sessions are inserted in batches ([`super::calls::CallBackend`]),
//!          taken over by their payment's row once the gateway is to be asked, and closed with their outcome.
//! Secrets: `sealed` is opaque here; nothing that a caller keys is ever in it, not even its mask.

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::backend::{BackendError, CallbackRow, NewCallback, NodeId, PaymentFilter, SettledPayment};
use crate::pay::outcome::Outcome;
use crate::pay::step::words;

mod new;

pub use new::NewSession;

words! {
    /// How far a session is.
    SessionState {
        /// Fields are being keyed, or an agent is being waited for.
        Open = "open",
        /// Its gateway is asked, or was: what became of that is in the payment's row.
        Asked = "asked",
        /// It ended without its gateway's having been asked.
        Ended = "ended",
    }
}

/// A session in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The payment's id: `PK` and 32 hex digits.
    pub sid: String,
    /// The call.
    pub call_sid: String,
    /// The connector instance.
    pub connector: String,
    /// Who leads it: `document` or `agent`.
    pub led_by: String,
    /// `charge` or `tokenize`.
    pub operation: String,
    /// What would be charged, in decimal notation with the currency's digits.
    pub amount: Option<String>,
    /// ISO 4217, lower case.
    pub currency: String,
    /// What token would be made.
    pub token_type: Option<String>,
    /// `card`, `bank-account` or `token`.
    pub means: String,
    /// How far it is.
    pub state: SessionState,
    /// The word for how it ended (spec/pay.md, section 6).
    pub result: Option<String>,
    /// Twilio's code for how it ended.
    pub error_code: Option<u16>,
    /// The same in words.
    pub error: Option<String>,
    /// When it began.
    pub begun: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

impl SessionRow {
    /// Whether the session ended with this outcome, without its gateway's having been asked.
    pub(super) fn says(&self, outcome: &Outcome) -> bool {
        self.state == SessionState::Ended
            && self.result.as_deref() == Some(outcome.result.word())
            && self.error_code == outcome.code.map(|code| code.number())
            && self.error == outcome.error
    }
}

/// A session that a server left behind before its gateway was to be asked.
#[derive(Clone, Debug)]
pub struct LeftSession {
    /// The payment's id.
    pub sid: String,
    /// The call.
    pub call_sid: String,
    /// What is told of it.
    pub sealed: Vec<u8>,
}

/// Which sessions are listed, the newest first: only those whose gateway was not asked.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Only those of this call.
    pub call_sid: Option<String>,
    /// Only those over this connector.
    pub connector: Option<String>,
    /// Only those that began at or after this moment.
    pub from: Option<Timestamp>,
    /// Only those that began before this moment.
    pub before: Option<Timestamp>,
    /// Only those after the one of this id in the list: the last one of the page before.
    pub after_sid: Option<String>,
    /// How many at most.
    pub limit: u32,
}

impl SessionFilter {
    /// From the first one on, what is narrowed as payments are by `filter`; those have a state that sessions have not.
    #[must_use]
    pub fn like(filter: &PaymentFilter) -> Self {
        let PaymentFilter { call_sid, connector, from, before, .. } = filter.clone();
        Self { call_sid, connector, from, before, after_sid: None, limit: 0 }
    }
}

type Done<'a, T> = BoxFuture<'a, Result<T, BackendError>>;

/// What a database does for sessions. The contract of [`super::Backend`] holds here too.
pub trait SessionBackend: Send + Sync {
    /// Takes free sessions over that are `open`, the oldest first, and then those that `node` has: a claim whose answer was lost
    /// is repeated by the next one.
    fn claim_sessions(&self, node: NodeId, limit: u32) -> Done<'_, Vec<LeftSession>>;

    /// Ends an `open` session that was claimed, and inserts the callbacks that tell it as `node`'s. Gives those that `node` has
    /// to see to. None: nothing has happened, since the session's payment has a row by now or it has ended otherwise; it is told
    /// by somebody else.
    fn end_left_session(
        &self,
        session: SettledPayment,
        callbacks: Vec<NewCallback>,
        node: NodeId,
        now: Timestamp,
    ) -> Done<'_, Option<Vec<CallbackRow>>>;

    /// How many status callbacks were stored of a session, its end excepted: those of its call after the end of the session
    /// before it.
    fn count_told<'a>(&'a self, call_sid: &'a str, sid: &'a str) -> Done<'a, u64>;

    /// A session.
    fn session<'a>(&'a self, sid: &'a str) -> Done<'a, Option<SessionRow>>;

    /// Sessions whose gateway was not asked, the newest first.
    fn sessions(&self, filter: SessionFilter) -> Done<'_, Vec<SessionRow>>;
}
