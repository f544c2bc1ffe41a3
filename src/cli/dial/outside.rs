//! What is around a call that is made from here: nothing but the flows folder and the sandbox, or the real thing.
//!
//! Shape:   [`Local`] answers at once and is also the [`World`] of a call in virtual time. [`LiveServices`] sends requests and asks
//!          connectors; what comes of it arrives as events.
//! Limits:  those of `callback` and `connector`; [`SENT_WITHIN`] for what is still under way when the call is over.
//! Errors:  those of [`LiveServices::open`], for the person at the terminal; later ones are events of the call.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

use crate::account::Account;
use crate::callback::{
    Application, CallbackKind, CallbackQueue, CallbackRequest, Clocks, Deliveries, FetchedDocument, RetryPolicy,
};
use crate::cli::CommandFailure;
use crate::config::Config;
use crate::connector::registry::Registry;
use crate::exposure::Exposure;
use crate::flow::link::Target;
use crate::flow::{Event, Fetch, Fetched, Purpose, Warning};
use crate::form::Form;
use crate::http::{Crowd, Gateway, Outbound, Resolver, TargetPolicy};
use crate::library::Library;
use crate::pay::gateway::{Capabilities, Instrument, PaymentRequest};
use crate::pay::sandbox;
use crate::pay::submission::{Question, Reply};
use crate::rng::Rng;
use crate::simulate::{World, sandbox_reply};
use crate::store::Store;
use crate::twiml::Method;

/// How long requests may still take after the call: what an answer is waited for (spec/pay.md, section 7) and a little.
const SENT_WITHIN: Duration = Duration::from_secs(20);

/// The flows folder, and the sandbox under every name. Nothing leaves this machine.
#[derive(Debug)]
pub(super) struct Local {
    library: Library,
}

impl Local {
    pub(super) const fn new(library: Library) -> Self {
        Self { library }
    }
}

impl World for Local {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        Some(sandbox::capabilities())
    }

    fn gateway(
        &mut self,
        question: &Question,
        payment_request: &PaymentRequest,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)> {
        Some((Duration::ZERO, sandbox_reply(question, payment_request, instrument)))
    }

    fn document(&mut self, fetch: &Fetch) -> (Duration, Fetched) {
        let fetched = match &fetch.target {
            Target::Flow(name) => loaded(&self.library, name, fetch),
            Target::Url(_) => Fetched::NotAsked,
        };
        (Duration::ZERO, fetched)
    }
}

fn loaded(library: &Library, name: &str, fetch: &Fetch) -> Fetched {
    // One call has this thread to itself.
    let loaded = crate::blocking::allowed(|| library.load(name, &fetch.parameters));
    loaded.map_or_else(Fetched::Failed, Fetched::Document)
}

/// The application, the connectors and the account of a configuration.
pub(super) struct LiveServices {
    library: Library,
    application: Arc<Application>,
    deliveries: Deliveries,
    callbacks: CallbackQueue,
    registry: Registry,
    error_url: Option<Url>,
    call_sid: String,
    requests: JoinSet<()>,
    asking: Option<AbortHandle>,
}

impl LiveServices {
    /// Needs a tokio runtime.
    pub(super) fn open(
        config: &Config,
        account: &Account,
        library: Library,
        call_sid: &str,
    ) -> Result<Self, CommandFailure> {
        // A phone in a terminal is at home on this machine only, whatever address a server would listen at.
        let policy = TargetPolicy::of(config.allow_http_callbacks, Exposure::LOOPBACK);
        let resolver = Resolver::new(config.resolver);
        let outbound = Outbound::with(policy, &resolver, Crowd::default()).map_err(CommandFailure::new)?;
        let application = Arc::new(Application::new(Arc::new(outbound), account.auth_token.clone(), Rng::System));
        // Nothing of a call in the terminal outlives it.
        let store = Store::in_memory().map_err(CommandFailure::new)?;
        let deliveries = Deliveries::new(Arc::clone(&application), store, RetryPolicy::default(), Clocks::default());
        let registry = if config.connectors.is_empty() {
            Registry::sandbox()
        } else {
            let gateway = Arc::new(Gateway::with(&resolver, Crowd::default()).map_err(CommandFailure::new)?);
            Registry::new(&config.connectors, &gateway).map_err(CommandFailure::new)?
        };
        Ok(Self {
            library,
            application,
            callbacks: deliveries.queue(call_sid),
            deliveries,
            registry,
            error_url: config.error_url.clone(),
            call_sid: call_sid.to_owned(),
            requests: JoinSet::new(),
            asking: None,
        })
    }

    pub(super) fn connector(&self, name: &str) -> Option<Capabilities> {
        self.registry.find(name).map(|connector| connector.capabilities())
    }

    /// Asks; a question before it is given up.
    pub(super) fn ask(
        &mut self,
        question: Question,
        payment_request: Arc<PaymentRequest>,
        instrument: Arc<Instrument>,
        events: &UnboundedSender<Event>,
    ) {
        if let Some(asking) = self.asking.take() {
            asking.abort();
        }
        let (number, events) = (question.number, events.clone());
        let Some(connector) = self.registry.find(&payment_request.connector) else {
            let _ = events.send(Event::Replied(number, Reply::Panicked));
            return;
        };
        let asking = self.requests.spawn(async move {
            let reply = crate::connector::ask(&*connector, question.what, payment_request, instrument).await;
            let _ = events.send(Event::Replied(number, reply));
        });
        self.asking = Some(asking);
    }

    pub(super) fn fetch(&mut self, fetch: Fetch, events: &UnboundedSender<Event>) {
        let (id, events) = (fetch.id, events.clone());
        if let Target::Flow(name) = &fetch.target {
            let _ = events.send(Event::Fetched(id, loaded(&self.library, name, &fetch)));
            return;
        }
        let Target::Url(url) = fetch.target else { return };
        let kind = match fetch.purpose {
            Purpose::Gather | Purpose::Pay => CallbackKind::Action,
            Purpose::First | Purpose::Redirect => CallbackKind::Document,
        };
        let cookies = self.callbacks.cookies();
        let request = CallbackRequest { kind, method: fetch.method, url: url.to_string(), form: fetch.form, cookies };
        let application = Arc::clone(&self.application);
        self.requests.spawn(async move {
            let answer = application.ask(&request).await.map_err(|error| error.failure(&url));
            let fetched = answer.and_then(FetchedDocument::read).map_or_else(Fetched::Failed, Fetched::Document);
            let _ = events.send(Event::Fetched(id, fetched));
        });
    }

    pub(super) fn notify(&self, url: &Url, method: Method, form: Form) {
        let cookies = self.callbacks.cookies();
        self.callbacks.send(CallbackRequest {
            kind: CallbackKind::Status,
            method,
            url: url.to_string(),
            form,
            cookies,
        });
    }

    pub(super) fn warn(&self, warning: &Warning) {
        if let Some(url) = &self.error_url {
            self.deliveries.notice(url.as_str(), &self.call_sid, warning.code, &warning.message);
        }
    }

    /// Waits for what is still under way. The number of requests that did not arrive.
    pub(super) async fn finish(mut self) -> usize {
        let requests = async { while self.requests.join_next().await.is_some() {} };
        let unanswered = tokio::time::timeout(SENT_WITHIN, requests).await.is_err();
        drop(self.callbacks);
        let undelivered = self.deliveries.drained(SENT_WITHIN).await.err().map_or(0, |left| left.0);
        undelivered + usize::from(unanswered)
    }
}
