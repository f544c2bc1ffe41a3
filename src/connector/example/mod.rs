//! A gateway that there is not: the smallest complete one. It shows what adding a gateway takes, and that nothing else has to
//! know of it.
//!
//! Shape:   [`KIND`] says what it is; one POST of JSON, with an API key and a signature over the request.
//! Limits:  charges cards, and nothing else.
//! Errors:  what is neither an approval nor a decline is unknown.
//! Secrets: as everywhere: the number is in the body alone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::config::{ConfigReader, ConnectorConfigError};
use super::kind::{Build, Kind, KindKey, KindSettings, Sample, ValueShape};
use super::{CheckRefused, Connector, Description, Mode};
use crate::http::{
    Authorization, Endpoint, Gateway, GatewayFault, GatewayReply, GatewayRequest, REPLY_BYTES_MAX, RequestToSign,
    SignRequest, WipedBody,
};
use crate::pay::gateway::{
    Answer, Approval, Capabilities, Denial, Idempotency, Instrument, Operation, PaymentRequest, Preparation,
    REPLAY_WINDOW, RecoveryNote, Resolution,
};
use crate::pay::step::PayErrorCode;
use crate::pay::test_numbers::{AcceptedNumbers, TestNumbers};
use crate::secret::Secret;

#[cfg(test)]
mod tests;

const MERCHANT: KindKey =
    KindKey::new("merchant", ValueShape::Text(Some("^[a-z]+$")), "The merchant's name.").required();

const API_KEY: KindKey =
    KindKey::new("api_key", ValueShape::Text(Some("^[!-~]+$")), "The API key.").secret().per_mode();

const SIGNING_KEY: KindKey =
    KindKey::new("signing_key", ValueShape::Text(None), "The key that requests are signed with.").secret();

const ADDRESS: KindKey = KindKey::new("base_url", ValueShape::Address { query: false }, "Where the gateway is.")
    .defaults("https://test.gateway.example/", "https://live.gateway.example/");

const TIMEOUT: KindKey =
    KindKey::new("timeout", ValueShape::Whole(1, 60), "How many seconds it has for an answer.").default("35");

/// The kind.
pub(super) static KIND: Kind = Kind {
    name: "example",
    meaning: "A gateway that there is not.",
    documentation: include_str!("README.md"),
    keys: &[MERCHANT, API_KEY, SIGNING_KEY, ADDRESS, TIMEOUT],
    authentication: &[&[API_KEY.name, SIGNING_KEY.name]],
    address: Some(ADDRESS.name),
    moves_money: true,
    test_numbers: AcceptedNumbers::Listed(&TestNumbers {
        name: "example",
        cards: &["4111111111111111"],
        accounts: &[],
    }),
    capabilities,
    read,
    example: &[("merchant", "shop"), ("api_key", "key_test"), ("signing_key", "signed")],
    readings: |reply, _| vec![("paid", Preparation::Answered(understood(reply)))],
    samples: &[
        Sample { reader: "paid", status: 200, body: r#"{"result":"approved","id":"pay_1"}"# },
        Sample { reader: "paid", status: 200, body: r#"{"result":"declined","reason":"no_funds"}"# },
    ],
};

fn capabilities(mode: Mode) -> Capabilities {
    Capabilities {
        withdrawn: false,
        charge_card: true,
        charge_bank: false,
        charge_token: false,
        tokenize_card: Vec::new(),
        tokenize_bank: Vec::new(),
        currencies: None,
        bank_needs_holder_name: false,
        needed_parameters: Vec::new(),
        accepted_numbers: KIND.accepted_numbers(mode),
        idempotency: Idempotency::None,
        replay_window: REPLAY_WINDOW,
        looks_up: false,
        answer_timeout: Duration::from_secs(35),
        settles_after: Duration::from_secs(35),
        repeats: 0,
        overall: Duration::from_secs(60),
    }
}

#[derive(Clone, Debug)]
struct ExampleSettings {
    merchant: String,
    authorization: Authorization,
    base_url: Endpoint,
    timeout: Duration,
}

fn read(keys: &mut ConfigReader<'_>) -> Result<Arc<dyn KindSettings>, ConnectorConfigError> {
    let merchant = keys.needed(&MERCHANT)?.expose().to_owned();
    let Some(api_key) = keys.token(&API_KEY)? else { return Err(keys.missing(&API_KEY)) };
    let signing_key = keys.needed(&SIGNING_KEY)?;
    if signing_key.expose().trim().is_empty() {
        return Err(keys.invalid(&SIGNING_KEY, "it is empty"));
    }
    let authorization = Authorization::Signature(Arc::new(Signer { api_key, signing_key }));
    let (base_url, timeout) = (keys.address(&ADDRESS)?, keys.seconds(&TIMEOUT)?);
    if !merchant.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Err(keys.invalid(&MERCHANT, "it has the letters a to z"));
    }
    Ok(Arc::new(ExampleSettings { merchant, authorization, base_url, timeout }))
}

impl KindSettings for ExampleSettings {
    fn build(&self, from: Build<'_>) -> Arc<dyn Connector> {
        let Build { gateway, description, .. } = from;
        Arc::new(Example { settings: self.clone(), description, gateway: Arc::clone(gateway) })
    }
}

/// Sends the API key, the time, and an HMAC of time and body.
#[derive(Debug)]
struct Signer {
    api_key: Secret,
    signing_key: Secret,
}

impl SignRequest for Signer {
    fn sign(&self, request: &RequestToSign<'_>) -> Vec<(HeaderName, Secret)> {
        let time = request.now.as_second().to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.signing_key.expose().as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(time.as_bytes());
        context.update(request.body);
        let signature: String = context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        vec![
            (HeaderName::from_static("x-api-key"), self.api_key.clone()),
            (HeaderName::from_static("x-time"), Secret::new(time)),
            (HeaderName::from_static("x-signature"), Secret::new(signature)),
        ]
    }
}

/// The gateway.
#[derive(Debug)]
struct Example {
    settings: ExampleSettings,
    description: Description,
    gateway: Arc<Gateway>,
}

impl Example {
    async fn charge(&self, payment_request: &PaymentRequest, instrument: &Instrument) -> Answer {
        let (Operation::Charge(amount, currency), Instrument::Card(card)) = (payment_request.operation, instrument)
        else {
            return Answer::Refused(PayErrorCode::ChargeUnsupported, Denial::default());
        };
        let expiry = (card.expiration.month(), card.expiration.year());
        let body = json!({
            "merchant": self.settings.merchant, "reference": payment_request.transaction_id,
            "amount": amount.minor_units(currency), "currency": currency.code(),
            "number": card.number.expose(), "expiry": expiry,
        });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = GatewayRequest {
            method: Method::POST,
            endpoint: &self.settings.base_url.at("/payments", &[]),
            authorization: &self.settings.authorization,
            headers,
            body: Some(WipedBody::new(Zeroizing::new(body.to_string().into_bytes()))),
            timeout: self.settings.timeout,
            reply_bytes_max: REPLY_BYTES_MAX,
        };
        match self.gateway.send(request).await {
            Ok(reply) => understood(&reply),
            Err(GatewayFault::NotReached(reason)) => Answer::NotSent { reason, retry_after: None },
            Err(GatewayFault::NoReply(reason)) => Answer::unknown(reason),
        }
    }
}

fn understood(reply: &GatewayReply) -> Answer {
    let body: Value = reply.body.as_ref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or(Value::Null);
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    match text("result").as_deref() {
        Some("approved") if text("id").is_some() => {
            Answer::Approved(Approval { confirmation_code: text("id"), ..Approval::default() })
        }
        Some("declined") => Answer::Declined(Denial { code: text("reason"), ..Denial::default() }),
        _ => Answer::unknown(format!("HTTP status {}", reply.status)),
    }
}

impl Connector for Example {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { answer_timeout: self.settings.timeout, ..capabilities(self.description.mode) }
    }

    fn check(&self) -> BoxFuture<'_, Result<(), CheckRefused>> {
        ready(Ok(())).boxed()
    }

    fn prepare(&self, _: Arc<PaymentRequest>, _: Arc<Instrument>) -> BoxFuture<'_, Preparation> {
        ready(Preparation::Nothing).boxed()
    }

    fn submit(
        &self,
        payment_request: Arc<PaymentRequest>,
        instrument: Option<Arc<Instrument>>,
        _: Option<RecoveryNote>,
    ) -> BoxFuture<'_, Answer> {
        async move {
            match instrument {
                Some(instrument) => self.charge(&payment_request, &instrument).await,
                None => Answer::unknown("the card is gone"),
            }
        }
        .boxed()
    }

    fn resolve(&self, _: Arc<PaymentRequest>, _: Option<RecoveryNote>) -> BoxFuture<'_, Resolution> {
        ready(Resolution::CannotTell).boxed()
    }
}
