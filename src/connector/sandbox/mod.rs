//! The `sandbox` connector: [`crate::pay::sandbox`] behind the trait, so that a server without a gateway can take calls.
//!
//! Shape:   no network, nothing remembered.
//! Limits:  where real callers come in it takes published test numbers only: an approval that nobody charged for must not
//!          reach a real payer.
//! Errors:  none. After a restart the card is gone and the answer with it: [`Resolution::CannotTell`].

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::config::{ConfigReader, ConnectorConfigError};
use super::kind::{Build, Kind, KindSettings, Sample};
use super::{CheckRefused, Connector, Description, Mode};
use crate::http::GatewayReply;
use crate::pay::gateway::{Answer, Capabilities, Instrument, PaymentRequest, Preparation, RecoveryNote, Resolution};
use crate::pay::sandbox;
use crate::pay::test_numbers::AcceptedNumbers;

/// The kind.
pub static KIND: Kind = Kind {
    name: "sandbox",
    meaning: "Approves test payments without a network; no money moves.",
    documentation: include_str!("README.md"),
    keys: &[],
    authentication: &[&[]],
    address: None,
    moves_money: false,
    // What it takes depends on who can reach the server, not on the mode.
    test_numbers: AcceptedNumbers::Any,
    capabilities: |_| sandbox::capabilities(),
    read,
    example: &[],
    readings,
    samples: SAMPLES,
};

/// It has no replies: nobody is asked.
const SAMPLES: &[Sample] = &[];

fn readings(_: &GatewayReply, _: &PaymentRequest) -> Vec<(&'static str, Preparation)> {
    Vec::new()
}

/// There is nothing to set.
#[derive(Clone, Copy, Debug)]
struct Nothing;

fn read(_: &mut ConfigReader<'_>) -> Result<Arc<dyn KindSettings>, ConnectorConfigError> {
    Ok(Arc::new(Nothing))
}

impl KindSettings for Nothing {
    fn build(&self, from: Build<'_>) -> Arc<dyn Connector> {
        let is_public = from.exposure.has_public_url();
        let numbers = if is_public { AcceptedNumbers::SandboxTest } else { AcceptedNumbers::Any };
        Arc::new(Sandbox::new(from.mode, numbers))
    }
}

/// The gateway that moves no money.
#[derive(Clone, Copy, Debug)]
pub struct Sandbox {
    mode: Mode,
    numbers: AcceptedNumbers,
}

impl Sandbox {
    /// An instance that takes `numbers`. It answers alike in either mode.
    #[must_use]
    pub const fn new(mode: Mode, numbers: AcceptedNumbers) -> Self {
        Self { mode, numbers }
    }
}

impl Connector for Sandbox {
    fn describe(&self) -> Description {
        Description { kind: KIND.name, mode: self.mode, settings: Vec::new() }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { accepted_numbers: self.numbers, ..sandbox::capabilities() }
    }

    fn check(&self) -> BoxFuture<'_, Result<(), CheckRefused>> {
        ready(Ok(())).boxed()
    }

    fn prepare(&self, _attempt: Arc<PaymentRequest>, _instrument: Arc<Instrument>) -> BoxFuture<'_, Preparation> {
        ready(Preparation::Nothing).boxed()
    }

    fn submit(
        &self,
        payment_request: Arc<PaymentRequest>,
        instrument: Option<Arc<Instrument>>,
        _note: Option<RecoveryNote>,
    ) -> BoxFuture<'_, Answer> {
        let answer = match instrument {
            Some(instrument) => sandbox::answer(&payment_request, &instrument),
            None => Answer::unknown("the card is gone, and the sandbox remembers nothing"),
        };
        ready(answer).boxed()
    }

    fn resolve(&self, _attempt: Arc<PaymentRequest>, _note: Option<RecoveryNote>) -> BoxFuture<'_, Resolution> {
        ready(Resolution::CannotTell).boxed()
    }
}
