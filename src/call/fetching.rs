//! Asking for the next document; where it tells a payment's outcome, that is on disk first.
//!
//! Shape:   whoever is told an outcome, an application or a flow, is told it as it is once the store says so, and as the machine
//!          says for that case when it does not say so in time.
//! Limits:  [`PendingOutcome`]'s, then [`READ_LIMIT`]; the application's own time is `callback`'s.
//!          What the store leaves to another server is told by that one alone; this call has no document then.
//! Errors:  a [`FetchFailure`] to the call; an outcome that did not arrive is delivered from the store.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;

use super::services::DocumentServices;
use crate::callback::{
    self, ActionTold, CallbackKind, CallbackQueue, CallbackRequest, FetchError, FetchedDocument, PendingOutcome, Tried,
};
use crate::flow::link::Target;
use crate::flow::{Begun, Fetch, FetchFailure, NextDocument, Purpose, Settled};
use crate::http::{Jar, shown};
use crate::pay::outcome::Ending;
use crate::simulate::tape;
use crate::store::{self, Epoch, Occasion, Recorded, Store};

/// How long it is read whether an outcome was written down of which nobody knows. Our choice: a caller waits, and a database
/// that answers at all answers in that time.
const READ_LIMIT: Duration = Duration::from_secs(1);

/// How long it is read whether a request is still this server's to make, that others may have taken over. Our choice: what is
/// under way has to end before others begin it.
// The lease lapses a second before others may begin (`store::lease`): this and the giving up fit into it.
const CONFIRM_LIMIT: Duration = Duration::from_millis(900);

/// Twilio's code of a document that could not be fetched.
const NOT_FETCHED: u32 = 11200;

type FetchAnswer = Result<FetchedDocument, FetchError>;

/// An outcome that the action tells.
pub(super) struct ActionOutcome {
    /// The outcome.
    pub(super) settled: Arc<Settled>,
    /// What becomes of it in the store.
    pub(super) pending_outcome: PendingOutcome,
    /// What the store may know of it before.
    pub(super) left: LeftUntold,
    /// From before it was written down.
    pub(super) epoch: Epoch,
    /// Where what becomes of the request is written down.
    pub(super) callbacks: CallbackQueue,
}

/// What the store may know of a payment whose outcome is not written down, and so what is told by whoever finds that.
pub(super) enum LeftUntold {
    /// Nothing: nobody else tells anything.
    Nothing,
    /// A session that was noted when it began: it is told late that it was cut off.
    Session(Arc<Begun>),
    /// A payment: what became of it is found out.
    Payment,
}

/// What the call tells of an outcome.
enum Version {
    /// What it is, as the store has it too: whoever takes the call's callbacks over may come to tell it.
    Booked(Occasion),
    /// What it is, which nobody else tells on this occasion.
    Unrecorded,
    /// What is told of one that is not written down.
    Unwritten,
    /// Not what it is, but what somebody else tells who has ended the session in the store: that it was cut off.
    CutOff(Arc<Begun>),
    /// Nothing: another server tells it. Where a flow goes on, that nobody knows.
    Elsewhere,
}

impl Version {
    const fn occasion(&self) -> Occasion {
        match self {
            Self::Booked(occasion) => *occasion,
            Self::Unrecorded => Occasion::First,
            Self::Unwritten | Self::Elsewhere => Occasion::Unwritten,
            Self::CutOff(_) => Occasion::Late,
        }
    }

    const fn is_recorded(&self) -> bool {
        matches!(self, Self::Booked(_))
    }

    /// Whether another server tells the application.
    const fn is_others(&self) -> bool {
        matches!(self, Self::CutOff(_) | Self::Elsewhere)
    }

    fn of(&self, fetch: Fetch) -> Fetch {
        match self {
            Self::Booked(_) | Self::Unrecorded => fetch,
            Self::Unwritten | Self::Elsewhere => fetch.as_unwritten(),
            Self::CutOff(begun) => {
                let form = begun.start.callback_fields.told(&Ending::cut_off()).action;
                let mut parameters = fetch.parameters;
                parameters.extend(form.parameters());
                Fetch { form, parameters, unwritten: None, ..fetch }
            }
        }
    }
}

impl ActionOutcome {
    /// What the call tells of it.
    async fn version(&self, store: &Store) -> Version {
        let recorded = match self.pending_outcome.clone().recorded_in_time().await {
            Some(recorded) => Some(recorded),
            // Its connection is closed by now: what was written is there to be read.
            None => timeout(READ_LIMIT, store.look_up(&self.settled)).await.ok().and_then(Result::ok).flatten(),
        };
        let recorded = match (recorded, &self.left) {
            (Some(Recorded::First), _) => Occasion::First,
            (Some(Recorded::Late), _) => Occasion::Late,
            // The store and whoever wrote them say one thing; the call does not say another.
            (Some(Recorded::Otherwise), LeftUntold::Session(begun)) => return Version::CutOff(Arc::clone(begun)),
            (Some(Recorded::Otherwise), LeftUntold::Payment | LeftUntold::Nothing) => return Version::Elsewhere,
            // Nobody else tells it on this occasion: whoever takes the session over tells it late.
            (None, LeftUntold::Session(_) | LeftUntold::Nothing) => return Version::Unrecorded,
            // On an occasion of its own: whoever finds the payment in the store tells the first one.
            (None, LeftUntold::Payment) => return Version::Unwritten,
        };
        if self.is_own(store, recorded).await { Version::Booked(recorded) } else { Version::Elsewhere }
    }

    /// Whether the request that is stored is still this server's to make.
    async fn is_own(&self, store: &Store, occasion: Occasion) -> bool {
        let sid = &self.settled.payment.sid;
        let token = store::token(sid, occasion, CallbackKind::Action);
        let still_holds = timeout(CONFIRM_LIMIT, store.still_holds(self.epoch, sid, token));
        matches!(still_holds.await, Ok(Ok(true)))
    }

    /// Makes the request; one that is in the store for as long as nobody else may. None: somebody else may.
    async fn ask(
        &self,
        documents: &DocumentServices,
        request: &CallbackRequest,
        version: &Version,
    ) -> Option<FetchAnswer> {
        let occasion = version.occasion();
        let token = store::token(&self.settled.payment.sid, occasion, CallbackKind::Action);
        let mut asking = pin!(documents.application.ask_as(request, token));
        // What does not seem to be written may be: then others may make the request once nobody hears of this server. Where that
        // is so already, the caller is told all the same.
        let is_unrecorded = matches!(version, Version::Unrecorded) && documents.store.lapsed().now_or_never().is_none();
        loop {
            tokio::select! {
                biased;
                // An answer that is there counts, whatever the lease says.
                answer = &mut asking => return Some(answer),
                () = documents.store.lapsed(), if version.is_recorded() || is_unrecorded => {}
            }
            tokio::select! {
                biased;
                // The request goes on while it is asked whether it may.
                answer = &mut asking => return Some(answer),
                is_own = self.is_own(&documents.store, occasion) => {
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
        self.callbacks.action_told(ActionTold { payment_sid, occasion, as_it_is, tried });
    }
}

/// Gets a document, and what it was made of if the application gave it. `cookies` are the call's.
pub(super) async fn fetched(
    documents: &Arc<DocumentServices>,
    fetch: Fetch,
    telling: Option<ActionOutcome>,
    cookies: Jar,
) -> (Result<NextDocument, FetchFailure>, Option<tape::Source>) {
    let version = match &telling {
        Some(outcome) => outcome.version(&documents.store).await,
        None => Version::Unrecorded,
    };
    let occasion = version.occasion();
    let as_it_is = occasion != Occasion::Unwritten || fetch.unwritten.is_none();
    let fetch = version.of(fetch);
    let url = match fetch.target {
        Target::Flow(name) => {
            return (documents.library.fetch(name, fetch.parameters).await, None);
        }
        Target::Url(url) if version.is_others() => {
            let message = "another server tells how this payment ended; it is not told twice";
            return (Err(FetchFailure::not_retrieved(format!("{}: {message}", shown(url.as_str())))), None);
        }
        Target::Url(url) => url,
    };
    let kind = match fetch.purpose {
        Purpose::Gather | Purpose::Pay => CallbackKind::Action,
        Purpose::First | Purpose::Redirect => CallbackKind::Document,
    };
    let request = CallbackRequest { kind, method: fetch.method, url: url.to_string(), form: fetch.form, cookies };
    let answer = match telling {
        Some(outcome) => {
            let Some(answer) = outcome.ask(documents, &request, &version).await else {
                let reason = "another server may be about to make the request";
                // It is delivered from the store then, by whoever has it.
                outcome.told(occasion, as_it_is, Tried::Again { reason: reason.to_owned(), retry_after: None });
                let message = format!("{}: {reason}", Target::Url(url));
                return (Err(FetchFailure { code: NOT_FETCHED, message }), None);
            };
            // Whether or not the document can be read: the request was answered.
            outcome.told(occasion, as_it_is, callback::tried(&answer));
            answer
        }
        None => documents.application.ask(&request).await,
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (Err(error.failure(&url)), None),
    };
    let source = tape::Source {
        text: answer.text(),
        content_type: answer.content_type.clone(),
        from: (answer.url != url).then(|| answer.url.clone()),
    };
    (answer.read(), Some(source))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use url::Url;

    use super::*;
    use crate::callback::{Application, Clocks, Deliveries, RetryPolicy};
    use crate::clock::WallClock;
    use crate::flow::{FetchId, LedBy, PaymentId};
    use crate::form::Form;
    use crate::http::{Outbound, TargetPolicy};
    use crate::pay::gateway::{Means, Operation, TokenType};
    use crate::pay::intent::{CallbackFields, SessionStart};
    use crate::pay::platform::Platform;
    use crate::pay::step::{PayResult, Step};
    use crate::rng::Rng;
    use crate::secret::Secret;
    use crate::store::memory::Memory;
    use crate::store::{Backend, CallbackFilter, Hold, NodeId, Seal};
    use crate::twiml::Method;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn begun() -> Begun {
        let mut action = Form::new();
        action.set("CallSid", "CA1");
        let callback_fields =
            CallbackFields { status: Form::new(), action, platform: Platform::Twilio, step: Step::PaymentCardNumber };
        Begun {
            payment: PaymentId { sid: "PK1".to_owned(), led_by: LedBy::Document },
            call_sid: "CA1".to_owned(),
            start: SessionStart {
                connector: "Default".to_owned(),
                operation: Operation::Tokenize(TokenType::OneTime),
                currency: "usd".parse().unwrap(),
                means: Means::Card,
                callback_fields,
            },
            status: None,
            cookies: None,
            action: Some((Url::parse("https://shop.example/paid").unwrap(), Method::Post)),
        }
    }

    fn fetch(settled: &Settled) -> Fetch {
        let action = settled.action.clone().unwrap();
        Fetch {
            id: FetchId(1),
            purpose: Purpose::Pay,
            target: Target::Url(action.url),
            method: action.method,
            form: action.form,
            parameters: BTreeMap::new(),
            unwritten: None,
            answer_wanted: true,
        }
    }

    /// Two servers one after the other on one store, and what the first one tells of a session of its own that has failed.
    async fn told(is_taken_over: bool) -> (Occasion, Fetch, Vec<uuid::Uuid>) {
        let backend: Arc<dyn Backend> = Arc::new(Memory::default());
        let server = || {
            let seal = Seal::new(&Secret::new("key".to_owned())).unwrap();
            Store::new(Arc::clone(&backend), seal, NodeId::random())
        };
        let (ours, theirs) = (server(), server());
        let outbound = Arc::new(Outbound::new(TargetPolicy::Open).unwrap());
        let application = Application::new(outbound, Secret::new("12345".to_owned()), Rng::System);
        let clocks = Clocks { wall_clock: WallClock::System, rng: Rng::System };
        let deliveries = Deliveries::new(Arc::new(application), ours.clone(), RetryPolicy::default(), clocks);
        let (callbacks, begun) = (deliveries.queue("CA1"), Arc::new(begun()));
        callbacks.session_begun(&begun);
        ours.note_session(&begun, NOW).unwrap();
        ours.flush().await.unwrap();
        if is_taken_over {
            theirs.register(None).await.unwrap();
            let [left] = &theirs.claim_sessions(9, NOW).await.unwrap()[..] else { panic!("one was left behind") };
            let cut_off = left.settled(&Ending::cut_off());
            assert_eq!(theirs.end_left_session(cut_off, "CA1", NOW).await.unwrap().unwrap().len(), 1);
        }
        let settled = Arc::new(begun.settled(&Ending::plain(PayResult::TooManyFailedAttempts)));
        let pending_outcome = callbacks.settle(Arc::clone(&settled), Hold::Yes, |_| {});
        let fetch = fetch(&settled);
        let outcome = ActionOutcome {
            settled,
            pending_outcome,
            left: LeftUntold::Session(begun),
            epoch: ours.epoch(),
            callbacks,
        };
        let version = outcome.version(&ours).await;
        let rows = backend.callbacks(CallbackFilter { limit: 9, ..CallbackFilter::default() }).await.unwrap();
        (version.occasion(), version.of(fetch), rows.into_iter().map(|row| row.token).collect())
    }

    #[tokio::test]
    async fn a_session_that_another_server_has_told_goes_on_as_that_one_has_told_it() {
        let (occasion, fetch, stored) = told(true).await;
        let token = store::token("PK1", occasion, CallbackKind::Action);
        assert_eq!((occasion, stored), (Occasion::Late, vec![token]), "one result, with one token");
        for (name, value) in [
            ("CallSid", "CA1"),
            ("Result", "internal-error"),
            ("PaymentError", "the server stopped before anything was sent"),
        ] {
            assert_eq!(fetch.form.value(name).unwrap().expose(), value);
            assert_eq!(fetch.parameters[name].expose(), value);
        }
    }

    #[tokio::test]
    async fn a_session_that_nobody_else_has_told_is_told_as_it_is() {
        let (occasion, fetch, stored) = told(false).await;
        let token = store::token("PK1", occasion, CallbackKind::Action);
        assert_eq!((occasion, stored), (Occasion::First, vec![token]));
        assert_eq!(fetch.form.value("Result").unwrap().expose(), "too-many-failed-attempts");
    }
}
