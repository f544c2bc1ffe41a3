//! Pay Connectors: one trait, one folder a gateway, and the registry of named instances.
//!
//! Shape:   [`Connector`] translates one question into at most one request and one answer. [`registry::Registry`] holds
//!          the instances, [`config`] makes them of their keys as their [`Kind`] says, [`stored`] keeps them in the store,
//!          [`submit`] asks one with what every shell needs around it.
//! A gateway: a folder with a static [`Kind`] (its keys, how to read and build it, what it can do, its documentation
//!          and samples), declared and listed in this file; the `example` of the tests is the smallest.
//! Limits:  a connector never sleeps and never asks twice: the machine's submission policy decides when to ask again, how
//!          long to wait and when to stop, so that it can be tested without sockets.
//! Errors:  every outcome is one of the five of [`Answer`]; there is no error beside them.
//! Secrets: an [`Instrument`] reaches a connector by reference and leaves it only in the gateway's request.
//! Sources: spec/connectors.md, section 19.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::pay::gateway::{Answer, Capabilities, Instrument, PaymentRequest, Preparation, RecoveryNote, Resolution};
use crate::pay::submission::{Ask, Reply};

pub(crate) mod audited;
pub mod config;
pub mod instance;
pub mod kind;
pub mod registry;
pub mod stored;
#[cfg(test)]
mod tests;
mod watched;

// The gateways: each is a folder, which is declared here and listed below.
#[cfg(test)]
mod example;
pub mod generic;
pub mod sandbox;
pub mod stripe;

/// Every kind of connector. Nothing else in the program names a gateway.
pub static KINDS: &[&Kind] = &[
    &sandbox::KIND,
    &generic::KIND,
    &stripe::KIND,
    #[cfg(test)]
    &example::KIND,
];

/// The kind of that name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|known| known.name == name)
}

pub use config::{ConnectorConfig, ConnectorConfigError, Mode};
pub use kind::Kind;
pub use registry::{DEFAULT_NAME, Registry, RegistryError};
pub use stored::{ConnectorStore, ConnectorStoreError, Replace};

/// What a connector instance says about itself. Nothing in it is secret: it is shown by commands and by REST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The gateway's word: `sandbox`, `generic`, `stripe`. Also the label of its metrics, so one of few.
    pub kind: &'static str,
    /// Test or live.
    pub mode: Mode,
    /// What it is set to, by key; secret keys are left out.
    pub settings: Vec<(&'static str, String)>,
}

/// Why a connector cannot be used as it is set, for the person who can mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CheckRefused(pub String);

/// A gateway. Implementations are shared between calls and asked by several at once.
///
/// # Contract
/// - One question, at most one request that moves money. No waiting, no second try: the caller of these methods decides.
///   A future may be dropped at any point, which is how a time limit is enforced; what was sent is then unknown.
/// - [`submit`](Self::submit) may come again with the same attempt, instrument and note. It must then send the same
///   idempotency key (derived from `transaction_id`) and the same body.
/// - [`prepare`](Self::prepare), [`resolve`](Self::resolve) and [`check`](Self::check) move no money; `resolve` works
///   without the instrument.
/// - What the gateway said and what is not known for certain is [`Answer::Unknown`], never `Declined` and never `NotSent`.
/// - Nothing of the instrument may be in a reason, a note, a log line or a panic.
///
/// No method has a default: what a gateway cannot do, its connector says.
pub trait Connector: Send + Sync {
    /// What this instance is.
    fn describe(&self) -> Description;

    /// What it can do. The machine checks a verb against it before the caller keys a digit.
    fn capabilities(&self) -> Capabilities;

    /// Looks whether the gateway is there and takes the credentials, without card data.
    fn check(&self) -> BoxFuture<'_, Result<(), CheckRefused>>;

    /// The step before the submission, for gateways that first take the card and then the money.
    fn prepare(&self, payment_request: Arc<PaymentRequest>, instrument: Arc<Instrument>) -> BoxFuture<'_, Preparation>;

    /// Charges or tokenizes. After a restart there is no instrument, only the note of the preparation.
    fn submit(
        &self,
        payment_request: Arc<PaymentRequest>,
        instrument: Option<Arc<Instrument>>,
        note: Option<RecoveryNote>,
    ) -> BoxFuture<'_, Answer>;

    /// Asks the gateway what became of an attempt.
    fn resolve(&self, payment_request: Arc<PaymentRequest>, note: Option<RecoveryNote>) -> BoxFuture<'_, Resolution>;
}

/// Asks a connector what the machine wants to know. A panic while preparing is [`Reply::Panicked`]: nothing was sent yet,
/// by contract. A panic while submitting is [`Answer::Unknown`].
pub async fn ask(
    connector: &dyn Connector,
    what: Ask,
    payment_request: Arc<PaymentRequest>,
    instrument: Arc<Instrument>,
) -> Reply {
    match what {
        Ask::Prepare => match caught(connector, || connector.prepare(payment_request, instrument)).await {
            Ok(preparation) => Reply::Prepared(preparation),
            Err(_) => Reply::Panicked,
        },
        Ask::Submit(note) => Reply::Submitted(submit(connector, payment_request, Some(instrument), note).await),
        Ask::Resolve(note) => Reply::Resolved(resolve(connector, payment_request, note).await),
    }
}

/// Asks a connector to charge or tokenize and measures it (`touchtone_gateway_seconds`). A panic is
/// [`Answer::Unknown`]: the request may have left before.
///
/// The future may be dropped to enforce a time limit; it then counts as `abandoned`.
pub async fn submit(
    connector: &dyn Connector,
    payment_request: Arc<PaymentRequest>,
    instrument: Option<Arc<Instrument>>,
    note: Option<RecoveryNote>,
) -> Answer {
    let mut measured = Measured::new(connector.describe().kind);
    let answer = caught(connector, || connector.submit(Arc::clone(&payment_request), instrument, note))
        .await
        .unwrap_or_else(Answer::unknown);
    measured.answer = word(&answer);
    log(&payment_request, &answer);
    answer
}

/// Logs what an operator may have to act on. What the gateway said about the card is the caller's and the merchant's.
fn log(payment_request: &PaymentRequest, answer: &Answer) {
    let (connector, payment) = (&payment_request.connector, &payment_request.transaction_id);
    match answer {
        Answer::Approved(_) | Answer::Declined(_) => {}
        Answer::Refused(code, _) => {
            tracing::warn!(connector, payment, code = code.number(), "gateway refused the request");
        }
        Answer::NotSent { reason, .. } => {
            tracing::warn!(connector, payment, reason, "gateway was not asked");
        }
        Answer::Unknown { reason, .. } => {
            tracing::warn!(connector, payment, reason, "gateway gave no usable answer; nobody knows what it did");
        }
    }
}

/// Asks a connector what became of an attempt. A panic is [`Resolution::CannotTell`].
pub async fn resolve(
    connector: &dyn Connector,
    payment_request: Arc<PaymentRequest>,
    note: Option<RecoveryNote>,
) -> Resolution {
    caught(connector, || connector.resolve(payment_request, note)).await.unwrap_or(Resolution::CannotTell)
}

/// Runs one question; the error is the reason to give when the connector panicked.
async fn caught<'a, T>(connector: &dyn Connector, ask: impl FnOnce() -> BoxFuture<'a, T>) -> Result<T, String> {
    // Asked inside, so that a panic before the future exists is caught too.
    AssertUnwindSafe(async { ask().await }).catch_unwind().await.map_err(|_panic| {
        // The panic's own text is not looked at: nobody vouches for what is in it.
        tracing::error!(connector_kind = connector.describe().kind, "connector panicked");
        "the connector panicked".to_owned()
    })
}

/// The answer's word in metrics.
const fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Approved(_) => "approved",
        Answer::Declined(_) => "declined",
        Answer::Refused(..) => "refused",
        Answer::NotSent { .. } => "not_sent",
        Answer::Unknown { .. } => "unknown",
    }
}

/// Records how long a gateway took, when dropped: an answer that nobody waits for any longer counts too.
struct Measured {
    kind: &'static str,
    answer: &'static str,
    since: Instant,
}

impl Measured {
    fn new(kind: &'static str) -> Self {
        Self { kind, answer: "abandoned", since: Instant::now() }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        metrics::histogram!("touchtone_gateway_seconds", "connector" => self.kind, "answer" => self.answer)
            .record(self.since.elapsed().as_secs_f64());
    }
}
