//! Asking for the next document; where it tells a payment's outcome, that is on disk first.
//!
//! Shape:   whoever is told an outcome, an application or a flow, is told it as it is once the books say so, and as the machine
//!          says for that case when they do not say so in time.
//! Limits:  [`Booking`]'s, then [`READ_LIMIT`]; the application's own time is `callback`'s.
//! Errors:  a [`FetchFailure`] to the call; an outcome that did not arrive is delivered from the store.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::House;
use crate::callback::{
    self, ActionTold, Booking, CallbackKind, CallbackQueue, CallbackRequest, FetchError, FetchedDocument, Tried,
};
use crate::flow::link::Target;
use crate::flow::{Fetch, FetchFailure, NextDocument, Purpose, Settled};
use crate::pay::step::PayResult;
use crate::simulate::tape;
use crate::store::{self, Booked, Epoch, Occasion, Store};

/// How long it is read whether an outcome was written down of which nobody knows. Our choice: a caller waits, and a database
/// that answers at all answers in that time.
const READ_LIMIT: Duration = Duration::from_secs(1);

/// How long it is read whether a request is still this server's to make, that others may have taken over. Our choice: what is
/// under way has to end before others begin it.
const CONFIRM_LIMIT: Duration = Duration::from_millis(900);

/// Twilio's code of a document that could not be fetched.
const NOT_FETCHED: u32 = 11200;

type Answer = Result<FetchedDocument, FetchError>;

/// An outcome that the action tells.
pub(super) struct Outcome {
    /// The outcome.
    pub(super) settled: Arc<Settled>,
    /// What becomes of it in the store.
    pub(super) booking: Booking,
    /// Whether its session was noted in the store when it began.
    pub(super) is_noted: bool,
    /// From before it was written down.
    pub(super) epoch: Epoch,
    /// Where what becomes of the request is written down.
    pub(super) books: CallbackQueue,
}

impl Outcome {
    /// On which occasion the call tells it, and whether that is in the books, so that others may come to tell it.
    async fn occasion(&self, store: &Store) -> (Occasion, bool) {
        let booked = match self.booking.clone().booked_in_time().await {
            Some(booked) => Some(booked),
            // Its connection is closed by now: what was written is there to be read.
            None => timeout(READ_LIMIT, store.look_up(&self.settled)).await.ok().and_then(Result::ok).flatten(),
        };
        let occasion = match booked {
            Some(Booked::First) => Occasion::First,
            Some(Booked::Late) => Occasion::Late,
            // Of one that could not begin the store knows nothing, so that nobody else tells anything of it.
            None if !self.is_noted && self.settled.outcome.result == PayResult::InternalError => {
                return (Occasion::First, false);
            }
            Some(Booked::Otherwise) | None => return (Occasion::Unwritten, false),
        };
        // Whoever has taken it over tells it.
        if self.is_own(store, occasion).await { (occasion, true) } else { (Occasion::Unwritten, false) }
    }

    /// Whether the request that is stored is still this server's to make.
    async fn is_own(&self, store: &Store, occasion: Occasion) -> bool {
        let sid = &self.settled.payment.sid;
        let token = store::token(sid, occasion, CallbackKind::Action);
        let still_holds = timeout(CONFIRM_LIMIT, store.still_holds(self.epoch, sid, token));
        matches!(still_holds.await, Ok(Ok(true)))
    }

    /// Makes the request; one that is in the books for as long as nobody else may. None: somebody else may.
    async fn ask(
        &self,
        house: &House,
        request: &CallbackRequest,
        (occasion, is_stored): (Occasion, bool),
    ) -> Option<Answer> {
        let token = store::token(&self.settled.payment.sid, occasion, CallbackKind::Action);
        let mut asking = pin!(house.application.ask_as(request, token));
        loop {
            tokio::select! {
                biased;
                answer = &mut asking => return Some(answer),
                () = house.store.lapsed(), if is_stored => {}
            }
            tokio::select! {
                biased;
                answer = &mut asking => return Some(answer),
                is_own = self.is_own(&house.store, occasion) => {
                    if !is_own {
                        return None;
                    }
                }
            }
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
    let (occasion, is_stored) = match &telling {
        Some(outcome) => outcome.occasion(&house.store).await,
        None => (Occasion::First, false),
    };
    let as_it_is = occasion != Occasion::Unwritten || fetch.unwritten.is_none();
    let fetch = if occasion == Occasion::Unwritten { fetch.as_unwritten() } else { fetch };
    let url = match fetch.target {
        Target::Flow(name) => {
            let library = house.library.clone();
            let loading = tokio::task::spawn_blocking(move || library.load(&name, &fetch.parameters));
            let broken = |_| Err(FetchFailure::not_readable("reading the flow broke down"));
            return (loading.await.unwrap_or_else(broken), None);
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
            let Some(answer) = outcome.ask(house, &request, (occasion, is_stored)).await else {
                let reason = "another server may be about to make the request";
                outcome.told(occasion, as_it_is, Tried::Again { reason: reason.to_owned(), retry_after: None });
                let message = format!("{}: {reason}", Target::Url(url));
                return (Err(FetchFailure { code: NOT_FETCHED, message }), None);
            };
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
