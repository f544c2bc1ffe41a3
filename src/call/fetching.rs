//! Asking for the next document; where it tells a payment's outcome, that is on disk first.
//!
//! Shape:   whoever is told an outcome, an application or a flow, is told it as it is once the books say so, and as the machine
//!          says for that case when they do not say so in time.
//! Limits:  [`Booking`]'s, then [`READ_LIMIT`]; the application's own time is `callback`'s.
//! Errors:  a [`FetchFailure`] to the call; an outcome that did not arrive is delivered from the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::House;
use crate::callback::{self, ActionTold, Booking, CallbackKind, CallbackQueue, CallbackRequest};
use crate::flow::link::Target;
use crate::flow::{Fetch, FetchFailure, NextDocument, Purpose, Settled};
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
    /// On which occasion the call tells it.
    async fn occasion(&self, store: &Store) -> Occasion {
        let booked = match self.booking.clone().booked_in_time().await {
            Some(booked) => Some(booked),
            // Its connection is closed by now: what was written is there to be read.
            None => timeout(READ_LIMIT, store.look_up(&self.settled)).await.ok().and_then(Result::ok).flatten(),
        };
        match booked {
            Some(Booked::First) => Occasion::First,
            Some(Booked::Late) => Occasion::Late,
            // Of one that could not begin the store knows nothing, so that nobody else tells anything of it.
            None if !self.is_noted && self.settled.outcome.result == PayResult::InternalError => Occasion::First,
            Some(Booked::Otherwise) | None => Occasion::Unwritten,
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
        None => Occasion::First,
    };
    let as_it_is = occasion != Occasion::Unwritten || fetch.unwritten.is_none();
    let fetch = if occasion == Occasion::Unwritten { fetch.as_unwritten() } else { fetch };
    let url = match fetch.target {
        Target::Flow(name) => {
            return (house.library.fetch(name, fetch.parameters).await, None);
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
