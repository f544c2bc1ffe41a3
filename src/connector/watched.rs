//! An instance under its name, watched for the one answer that ends its use: authorization withdrawn (64009).
//!
//! Shape:   [`WatchedConnector`] is a [`Connector`] around another; [`Access`] is what is known of its authorization.
//! Errors:  none of its own; every answer passes as it came.
//! Sources: spec/pay.md, section 10; spec/connectors.md, section 19.5.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::{CheckRefused, Connector, Description};
use crate::clock::WallClock;
use crate::pay::gateway::{Answer, Capabilities, Instrument, PaymentRequest, Preparation, RecoveryNote, Resolution};
use crate::pay::step::PayErrorCode;

/// Whether the gateway lets an instance in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// As far as is known.
    Granted,
    /// No longer, as it said to this process just now; the store has yet to be told.
    Lost(Timestamp),
    /// No longer.
    Withdrawn(Timestamp),
}

impl Access {
    pub(super) const fn since(self) -> Option<Timestamp> {
        match self {
            Self::Granted => None,
            Self::Lost(since) | Self::Withdrawn(since) => Some(since),
        }
    }
}

/// Where an instance is kept, for what is done when it loses its authorization.
#[derive(Clone, Debug)]
pub(super) enum Keeper {
    /// In the configuration: this process alone knows.
    Configuration,
    /// In the store: whoever is notified tells it.
    Store(Arc<Notify>),
}

/// An instance that is watched.
pub(super) struct WatchedConnector {
    name: String,
    connector: Arc<dyn Connector>,
    keeper: Keeper,
    wall_clock: WallClock,
    access: Mutex<Access>,
}

impl WatchedConnector {
    pub(super) fn new(name: &str, connector: Arc<dyn Connector>, keeper: Keeper, wall_clock: WallClock) -> Self {
        Self { name: name.to_owned(), connector, keeper, wall_clock, access: Mutex::new(Access::Granted) }
    }

    pub(super) fn access(&self) -> Access {
        *self.lock()
    }

    /// Takes over what the store says.
    pub(super) fn told(&self, access: Access) {
        *self.lock() = access;
    }

    /// The store knows of the loss of `since`.
    pub(super) fn written(&self, since: Timestamp) {
        let mut access = self.lock();
        if *access == Access::Lost(since) {
            *access = Access::Withdrawn(since);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Access> {
        // One value, replaced at once: a panic leaves nothing half done.
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, answer: &Answer) {
        if !matches!(answer, Answer::Refused(PayErrorCode::AuthorizationWithdrawn, _)) {
            return;
        }
        {
            let mut access = self.lock();
            // The first loss counts: several payments may learn of it at once.
            if *access != Access::Granted {
                return;
            }
            *access = match self.keeper {
                Keeper::Configuration => Access::Withdrawn(self.wall_clock.now()),
                Keeper::Store(_) => Access::Lost(self.wall_clock.now()),
            };
        }
        let name = &self.name;
        match &self.keeper {
            Keeper::Configuration => tracing::warn!(
                connector = name,
                code = PayErrorCode::AuthorizationWithdrawn.number(),
                "configured connector needs authorization, as its gateway no longer lets it in; payments through it end before \
                 the caller is asked: put new credentials into the configuration and restart"
            ),
            Keeper::Store(news) => {
                tracing::warn!(
                    connector = name,
                    code = PayErrorCode::AuthorizationWithdrawn.number(),
                    "stored connector needs authorization, as its gateway no longer lets it in; its payments end before the \
                     caller is asked: run `touchtone connectors authorize NAME`"
                );
                news.notify_one();
            }
        }
    }
}

impl Connector for WatchedConnector {
    fn describe(&self) -> Description {
        self.connector.describe()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { withdrawn: self.access() != Access::Granted, ..self.connector.capabilities() }
    }

    fn check(&self) -> BoxFuture<'_, Result<(), CheckRefused>> {
        self.connector.check()
    }

    fn prepare(&self, payment_request: Arc<PaymentRequest>, instrument: Arc<Instrument>) -> BoxFuture<'_, Preparation> {
        async move {
            let preparation = self.connector.prepare(payment_request, instrument).await;
            if let Preparation::Answered(answer) = &preparation {
                self.look(answer);
            }
            preparation
        }
        .boxed()
    }

    fn submit(
        &self,
        payment_request: Arc<PaymentRequest>,
        instrument: Option<Arc<Instrument>>,
        note: Option<RecoveryNote>,
    ) -> BoxFuture<'_, Answer> {
        async move {
            let answer = self.connector.submit(payment_request, instrument, note).await;
            self.look(&answer);
            answer
        }
        .boxed()
    }

    fn resolve(&self, payment_request: Arc<PaymentRequest>, note: Option<RecoveryNote>) -> BoxFuture<'_, Resolution> {
        async move {
            let resolution = self.connector.resolve(payment_request, note).await;
            if let Resolution::Answer(answer) = &resolution {
                self.look(answer);
            }
            resolution
        }
        .boxed()
    }
}
