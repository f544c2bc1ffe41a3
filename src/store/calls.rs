//! Calls in the store: what the list of calls shows, over all servers and over their restarts.
//!
//! Shape:   [`CallBackend`] is part of [`super::Backend`]. A call is written twice, when it begins and when it ends, together
//!          with whatever else began or ended meanwhile ([`Changes`], written by [`super::batch`]).
//! Secrets: none: numbers of callers, and nothing that is keyed.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::backend::{BackendError, NodeId};
use super::sessions::NewSession;
use crate::pay::step::words;

words! {
    /// Where a call is, in Twilio's words.
    CallStatus {
        /// It is live.
        InProgress = "in-progress",
        /// It ended.
        Completed = "completed",
        /// Its server is gone; nobody knows when it ended.
        Failed = "failed",
    }
}

/// A call as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    /// Its place in the order in which calls were first written; 0 in a row to be written, which has none yet.
    pub place: u64,
    /// Its id.
    pub sid: String,
    /// The account that its stream named, else this server's.
    pub account: String,
    /// The platform whose protocol its stream speaks.
    pub dialect: String,
    /// The flow that answered it; `(url)` for a document of the application's.
    pub flow: String,
    /// Who called, if the stream told.
    pub from: Option<String>,
    /// Who was called, if the stream told.
    pub to: Option<String>,
    /// `inbound`, unless the stream told otherwise.
    pub direction: String,
    /// The caller's name, if the stream told.
    pub caller_name: Option<String>,
    /// Who passed the call on, if the stream told.
    pub forwarded_from: Option<String>,
    /// Where it is.
    pub status: CallStatus,
    /// How it ended, in a word of ours.
    pub how: Option<String>,
    /// When its first stream began.
    pub started: Timestamp,
    /// When something last happened to it.
    pub updated: Timestamp,
    /// When it ended; none while it is live, and where nobody knows.
    pub ended: Option<Timestamp>,
}

/// Calls and sessions that began or changed since the last batch, in their order. A call or session stands once.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Calls as they stand.
    pub calls: Vec<Arc<CallRow>>,
    /// Sessions that began, or that would be told elsewhere than before.
    pub sessions: Vec<Arc<NewSession>>,
}

/// Which calls are listed.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// Only those from this number.
    pub from: Option<String>,
    /// Only those to this number.
    pub to: Option<String>,
    /// Only those of this status.
    pub status: Option<CallStatus>,
    /// Only those that started at or after this moment.
    pub started_from: Option<Timestamp>,
    /// Only those that started before this moment.
    pub started_before: Option<Timestamp>,
    /// Only those that ended at or after this moment.
    pub ended_from: Option<Timestamp>,
    /// Only those that ended before this moment.
    pub ended_before: Option<Timestamp>,
    /// From where in the list on.
    pub place: CallPlaces,
    /// How many of those are passed over.
    pub offset: u32,
    /// How many at most.
    pub limit: u32,
}

/// Where in the order of all calls those stand that are wanted, and in which direction they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallPlaces {
    /// All, the newest first.
    #[default]
    All,
    /// Those before this place, the newest first.
    Before(u64),
    /// Those after this place, the oldest first.
    After(u64),
}

type Done<'a, T> = BoxFuture<'a, Result<T, BackendError>>;

/// What a database does for calls. The contract of [`super::Backend`] holds here too.
pub trait CallBackend: Send + Sync {
    /// Writes calls and sessions down as `node`'s, in one transaction.
    ///
    /// A known call keeps its place and when it started, and what its stream told before and does not tell now; one that another
    /// node has by now is left alone by its end. A known session is changed only while it is `open` and `node`'s; then where
    /// it is told is changed.
    fn write_changes(&self, changes: Changes, node: NodeId) -> Done<'_, ()>;

    /// Calls that are free to be claimed and `in-progress`, at most `limit` of them, are `failed`. Gives how many.
    fn fail_left_calls(&self, node: NodeId, limit: u32, now: Timestamp) -> Done<'_, u64>;

    /// A call.
    fn call<'a>(&'a self, sid: &'a str) -> Done<'a, Option<CallRow>>;

    /// Calls, in the order that is asked for.
    fn calls(&self, filter: CallFilter) -> Done<'_, Vec<CallRow>>;

    /// Deletes a call's row. [`BackendError::NotFound`] if there is none, or it is `in-progress`.
    fn delete_call<'a>(&'a self, sid: &'a str) -> Done<'a, ()>;
}
