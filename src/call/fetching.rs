//! Asking for the next document; where it tells a payment's outcome, that is on disk first.
//!
//! Limits:  [`WRITE_LIMIT`]; the application's own time is `callback`'s.
//! Errors:  a [`FetchFailure`] to the call; an outcome that did not arrive is delivered from the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::House;
use crate::callback::{
    self, Application, CallbackKind, CallbackQueue, CallbackRequest, FetchError, FetchedDocument, Written,
};
use crate::flow::link::Target;
use crate::flow::{Fetch, FetchFailure, NextDocument, Purpose};
use crate::simulate::tape;
use crate::store::{self, Occasion};

/// How long the application is not told of an outcome because it is not on disk yet. Chosen freely: a busy
/// disk takes a second.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// An outcome that the action request tells.
pub(super) struct Outcome {
    /// The payment.
    pub(super) payment_sid: String,
    /// Whether it is on disk.
    pub(super) written: Written,
    /// Where what becomes of the request is written down.
    pub(super) books: CallbackQueue,
}

impl Outcome {
    /// Makes the request once the outcome is on disk, and has what did not arrive delivered from there.
    async fn tell(self, application: &Application, request: &CallbackRequest) -> Result<FetchedDocument, FetchError> {
        let Self { payment_sid, written, books } = self;
        // A disk that is away must not keep a caller waiting; the books learn of it later.
        let _ = timeout(WRITE_LIMIT, written.is_done()).await;
        let token = store::token(&payment_sid, Occasion::First, CallbackKind::Action);
        let answer = application.ask_as(request, token).await;
        books.action_tried(&payment_sid, callback::tried(&answer));
        answer
    }
}

/// Gets a document, and what it was made of if the application gave it.
pub(super) async fn fetched(
    house: &Arc<House>,
    fetch: Fetch,
    telling: Option<Outcome>,
) -> (Result<NextDocument, FetchFailure>, Option<tape::Source>) {
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
        Some(outcome) => outcome.tell(&house.application, &request).await,
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
