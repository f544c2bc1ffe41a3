//! Asking for the next document; where it tells a payment's outcome, that is on disk first.
//!
//! Shape:   whoever is told an outcome, an application or a flow, is told it as it is once the books say so, and as the machine
//!          says for that case when they do not say so in time.
//! Limits:  [`Booking`]'s, then [`READ_LIMIT`]; the application's own time is `callback`'s.
//!          What the books leave to another server is told by that one alone; this call has no document then.
//! Errors:  a [`FetchFailure`] to the call; an outcome that did not arrive is delivered from the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::House;
use crate::callback::{self, ActionTold, Booking, CallbackKind, CallbackQueue, CallbackRequest};
use crate::flow::link::Target;
use crate::flow::{Fetch, FetchFailure, NextDocument, Purpose, Settled};
use crate::http::shown;
use crate::pay::step::PayResult;
use crate::simulate::tape;
use crate::store::{self, Booked, Occasion, Store};

/// How long it is read whether an outcome was written down of which nobody knows. Our choice: a caller waits, and a database
/// that answers at all answers in that time.
const READ_LIMIT: Duration = Duration::from_secs(1);

/// An outcome that the action tells.
pub(super) struct Outcome {
    /// The outcome.
    pub(super) settled: Arc<Settled>,
    /// What becomes of it in the store.
    pub(super) booking: Booking,
    /// Whether its session was noted in the store when it began.
    pub(super) is_noted: bool,
    /// Where what becomes of the request is written down.
    pub(super) books: CallbackQueue,
}

impl Outcome {
    /// On which occasion the call tells it. None: it is another server's to tell.
    async fn occasion(&self, store: &Store) -> Option<Occasion> {
        let booked = match self.booking.clone().booked_in_time().await {
            Some(booked) => Some(booked),
            // Its connection is closed by now: what was written is there to be read.
            None => timeout(READ_LIMIT, store.look_up(&self.settled)).await.ok().and_then(Result::ok).flatten(),
        };
        match booked {
            Some(Booked::First) => Some(Occasion::First),
            Some(Booked::Late) => Some(Occasion::Late),
            Some(Booked::Otherwise) => None,
            // Of one that could not begin the store knows nothing, so that nobody else tells anything of it.
            None if !self.is_noted && self.settled.outcome.result == PayResult::InternalError => Some(Occasion::First),
            None => Some(Occasion::Unwritten),
        }
    }

    /// The call has made the request on this occasion.
    fn told(self, occasion: Occasion, as_it_is: bool, tried: callback::Tried) {
        let payment_sid = self.settled.payment.sid.clone();
        self.books.action_told(ActionTold { payment_sid, occasion, as_it_is, tried });
    }
}

/// Gets a document, and what it was made of if the application gave it.
pub(super) async fn fetched(
    house: &Arc<House>,
    fetch: Fetch,
    telling: Option<Outcome>,
) -> (Result<NextDocument, FetchFailure>, Option<tape::Source>) {
    let occasion = match &telling {
        Some(outcome) => outcome.occasion(&house.store).await,
        None => Some(Occasion::First),
    };
    let (is_others, occasion) = (occasion.is_none(), occasion.unwrap_or(Occasion::Unwritten));
    let as_it_is = occasion != Occasion::Unwritten || fetch.unwritten.is_none();
    let fetch = if occasion == Occasion::Unwritten { fetch.as_unwritten() } else { fetch };
    let url = match fetch.target {
        Target::Flow(name) => {
            let library = house.library.clone();
            let loading = tokio::task::spawn_blocking(move || library.load(&name, &fetch.parameters));
            let broken = |_| Err(FetchFailure::not_readable("reading the flow broke down"));
            return (loading.await.unwrap_or_else(broken), None);
        }
        Target::Url(url) if is_others => {
            let message = "another server tells how this payment ended; it is not told twice";
            return (Err(FetchFailure::not_retrieved(format!("{}: {message}", shown(url.as_str())))), None);
        }
        Target::Url(url) => url,
    };
    let kind = match fetch.purpose {
        Purpose::Gather | Purpose::Pay => CallbackKind::Action,
        Purpose::First | Purpose::Redirect => CallbackKind::Document,
    };
    let request = CallbackRequest { kind, method: fetch.method, url: url.to_string(), form: fetch.form };
    let answer = match telling {
        Some(outcome) => {
            let token = store::token(&outcome.settled.payment.sid, occasion, CallbackKind::Action);
            let answer = house.application.ask_as(&request, token).await;
            outcome.told(occasion, as_it_is, callback::tried(&answer));
            answer
        }
        None => house.application.ask(&request).await,
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (Err(error.failure(&url)), None),
    };
    let source = tape::Source {
        text: String::from_utf8_lossy(&answer.body).into_owned(),
        content_type: answer.content_type.clone(),
        from: (answer.url != url).then(|| answer.url.clone()),
    };
    (answer.read(), Some(source))
}
