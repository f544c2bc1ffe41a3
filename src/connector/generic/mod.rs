//! The `generic` connector: one JSON request to an endpoint of the operator's, in Twilio's, Telnyx's or SignalWire's
//! contract.
//!
//! Shape:   [`KIND`] says what it is; [`request`] writes the body, [`answer`] reads the reply, both pure; between them one POST.
//! Limits:  cards and bank accounts, charge and tokenize; in SignalWire's dialects cards only. No vendor tells how a token
//!          made earlier would be sent. Twilio's and Telnyx's contracts do not name the token type: it is the processor's
//!          choice.
//! Errors:  as `answer` lists them. After a restart nothing can be asked: the contract has no look-up.
//! Secrets: the body is written once into wiped memory of the right size; its bytes are in no error and no log.
//! Sources: Twilio, "Generic Pay Connector"; Telnyx, "Pay over Voice"; SignalWire, cXML "`<Pay>`" and SWML "pay";
//!          spec/connectors.md, section 3.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::{CheckRefused, Connector, Description, Mode};
use crate::http::{Gateway, GatewayFault, GatewayReply, GatewayRequest, REPLY_BYTES_MAX};
use crate::pay::gateway::{
    Answer, Capabilities, Denial, Idempotency, Instrument, PaymentRequest, Preparation, REPLAY_WINDOW, RecoveryNote,
    Resolution, TokenType,
};
use crate::pay::step::PayErrorCode;
use request::Unsupported;

pub mod answer;
#[cfg(test)]
mod loopback_tests;
mod replies;
pub mod request;
#[cfg(test)]
pub(super) mod samples;
mod settings;

pub use settings::{GenericSettings, KIND};

/// How long one request may go unanswered unless it is set (Twilio; the others do not say).
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is repeated unless it is set (Twilio; the others do not say).
pub const REPEATS: u8 = 5;
/// What all requests of one payment may take together, beyond the time that each is given: 75 s in all unless they are
/// set (spec/connectors.md, section 2.5).
const PAUSES: Duration = Duration::from_secs(15);

/// Whose variant of the contract is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContractVariant {
    /// Twilio's, the original.
    #[default]
    Twilio,
    /// Telnyx's: as Twilio's, with `parameters` in every request.
    Telnyx,
    /// SignalWire's of its cXML `<Pay>`.
    SignalWire,
    /// SignalWire's of its SWML `pay`.
    SignalWireSwml,
}

impl ContractVariant {
    /// Every one.
    pub const ALL: &'static [Self] = &[Self::Twilio, Self::Telnyx, Self::SignalWire, Self::SignalWireSwml];

    /// The configuration's word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Telnyx => "telnyx",
            Self::SignalWire => "signalwire",
            Self::SignalWireSwml => "signalwire-swml",
        }
    }

    /// Whether it has members for a bank account.
    #[must_use]
    pub const fn takes_bank_accounts(self) -> bool {
        match self {
            Self::Twilio | Self::Telnyx => true,
            Self::SignalWire | Self::SignalWireSwml => false,
        }
    }

    /// The token types it can ask for: all where the request does not name one, else those that the vendor lists.
    #[must_use]
    pub const fn token_types(self) -> &'static [TokenType] {
        match self {
            Self::Twilio | Self::Telnyx => TokenType::ALL,
            Self::SignalWire | Self::SignalWireSwml => &[TokenType::OneTime, TokenType::Reusable],
        }
    }

    /// Whether a processor says no with any status but 200, so that a 5xx may be a plain no too.
    #[must_use]
    pub const fn refuses_with_any_status(self) -> bool {
        match self {
            Self::Twilio | Self::Telnyx => false,
            Self::SignalWire | Self::SignalWireSwml => true,
        }
    }
}

/// A processor behind the generic contract.
#[derive(Clone, Debug)]
pub struct Generic {
    settings: GenericSettings,
    description: Description,
    gateway: Arc<Gateway>,
}

/// What an instance can do as it is unless it is set otherwise: 10 s, 5 repeats, 75 s in all (spec/connectors.md, section 2.5).
fn capabilities(mode: Mode) -> Capabilities {
    Capabilities {
        withdrawn: false,
        charge_card: true,
        charge_bank: true,
        charge_token: false,
        tokenize_card: TokenType::ALL.to_vec(),
        tokenize_bank: TokenType::ALL.to_vec(),
        currencies: None,
        bank_needs_holder_name: false,
        needed_parameters: Vec::new(),
        accepted_numbers: KIND.accepted_numbers(mode),
        idempotency: Idempotency::ActsOnce,
        replay_window: REPLAY_WINDOW,
        looks_up: false,
        answer_timeout: ANSWER_TIMEOUT,
        // Nobody asks: it cannot be looked up.
        settles_after: ANSWER_TIMEOUT,
        repeats: REPEATS,
        overall: ANSWER_TIMEOUT.saturating_mul(REPEATS as u32 + 1).saturating_add(PAUSES),
    }
}

/// What the reader of each dialect makes of a reply.
fn readings(reply: &GatewayReply, payment_request: &PaymentRequest) -> Vec<(&'static str, Preparation)> {
    let read = |dialect| Preparation::Answered(answer::read(dialect, &[], payment_request.operation, reply));
    ContractVariant::ALL.iter().map(|dialect| (dialect.word(), read(*dialect))).collect()
}

impl Generic {
    async fn ask(&self, payment_request: &PaymentRequest, instrument: &Instrument) -> Answer {
        let dialect = self.settings.dialect;
        let body = match request::write(dialect, payment_request, instrument) {
            Ok(body) => body,
            Err(error) => {
                let code = match error {
                    Unsupported::Token => PayErrorCode::ChargeUnsupported,
                    Unsupported::BankAccount => PayErrorCode::MethodUnsupported,
                    Unsupported::Unwritable => {
                        return Answer::NotSent { reason: error.to_string(), retry_after: None };
                    }
                };
                return Answer::Refused(code, Denial { message: Some(error.to_string()), ..Denial::default() });
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let request = GatewayRequest {
            method: Method::POST,
            endpoint: &self.settings.endpoint,
            authorization: &self.settings.authorization,
            headers,
            body: Some(body),
            timeout: self.settings.timeout,
            reply_bytes_max: REPLY_BYTES_MAX,
        };
        match self.gateway.send(request).await {
            Ok(reply) => {
                tracing::debug!(
                    connector = payment_request.connector,
                    status = reply.status,
                    "generic gateway answered"
                );
                answer::read(dialect, &self.settings.retry_safe, payment_request.operation, &reply)
            }
            Err(GatewayFault::NotReached(reason)) => Answer::NotSent { reason, retry_after: None },
            Err(GatewayFault::NoReply(reason)) => Answer::unknown(reason),
        }
    }

    /// Whether the endpoint is there and takes the credentials: a HEAD, which every server understands or refuses.
    async fn look(&self) -> Result<(), CheckRefused> {
        let request = GatewayRequest {
            method: Method::HEAD,
            endpoint: &self.settings.endpoint,
            authorization: &self.settings.authorization,
            headers: HeaderMap::new(),
            body: None,
            timeout: ANSWER_TIMEOUT,
            reply_bytes_max: REPLY_BYTES_MAX,
        };
        let endpoint = &self.settings.endpoint;
        match self.gateway.send(request).await {
            Ok(reply) => match reply.status {
                401 | 403 => Err(format!("{endpoint} refuses these credentials (HTTP status {})", reply.status)),
                300..=399 => Err(format!(
                    "{endpoint} redirects (HTTP status {}), and card data follows no redirect: give the final URL",
                    reply.status
                )),
                500.. => Err(format!("{endpoint} is out of order (HTTP status {})", reply.status)),
                // 404 and 405 too: many a processor knows its path by POST alone.
                _ => Ok(()),
            },
            Err(fault) => Err(format!("{endpoint}: {fault}")),
        }
        .map_err(CheckRefused)
    }
}

impl Connector for Generic {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn capabilities(&self) -> Capabilities {
        let GenericSettings { dialect, timeout, retries, replays_first_result, .. } = self.settings;
        let banks = dialect.takes_bank_accounts();
        Capabilities {
            charge_bank: banks,
            tokenize_card: dialect.token_types().to_vec(),
            tokenize_bank: if banks { dialect.token_types().to_vec() } else { Vec::new() },
            idempotency: if replays_first_result { Idempotency::FirstResult } else { Idempotency::ActsOnce },
            answer_timeout: timeout,
            // Nobody asks: it cannot be looked up.
            settles_after: timeout,
            repeats: retries,
            overall: timeout.saturating_mul(u32::from(retries).saturating_add(1)).saturating_add(PAUSES),
            ..capabilities(self.description.mode)
        }
    }

    fn check(&self) -> BoxFuture<'_, Result<(), CheckRefused>> {
        self.look().boxed()
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
        async move {
            match instrument {
                Some(instrument) => self.ask(&payment_request, &instrument).await,
                // Asked after a restart: an earlier request may have arrived, and it cannot be repeated without the card.
                None => Answer::unknown("the card is gone, and this contract has no look-up"),
            }
        }
        .boxed()
    }

    fn resolve(&self, _attempt: Arc<PaymentRequest>, _note: Option<RecoveryNote>) -> BoxFuture<'_, Resolution> {
        ready(Resolution::CannotTell).boxed()
    }
}
