//! The `stripe` connector: a charge is two calls, so that the one that moves money holds no card and can be repeated.
//!
//! Shape:   [`KIND`] says what it is; [`request`] writes bodies, [`answer`] and [`denial`] read replies, all pure; between them one request at a time.
//!          Preparing turns the card into a PaymentMethod, whose id is the recovery note; submitting makes and confirms a
//!          PaymentIntent of it. A reusable token is prepared likewise and hung on a customer; the other tokens are one call.
//! Limits:  cards and tokens are charged, bank accounts only tokenized: a first debit needs micro-deposits, which no call
//!          waits for. Only `succeeded` is a success. How far look-ups go says [`lookup`].
//! Errors:  as [`denial`] lists them. Every POST has an idempotency key, which Stripe keeps for a day at least: a
//!          repeat gives the first answer. After a restart the note is enough.
//! Secrets: bodies are written once into wiped memory of the right size; no byte of a reply is in a log or a reason.
//! Sources: spec/connectors.md, section 4; Stripe, "Idempotent requests", "PaymentIntents", "Tokens", "Customers".

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::{CheckRefused, Connector, Description, Mode};
use crate::http::{Gateway, GatewayFault, GatewayReply, GatewayRequest, REPLY_BYTES_MAX, WipedBody};
use crate::money::{Amount, Currency};
use crate::pay::gateway::{
    Answer, Capabilities, Denial, Idempotency, Instrument, Operation, PaymentRequest, Preparation, REPLAY_WINDOW,
    RecoveryNote, Resolution, TokenType,
};
use crate::pay::step::PayErrorCode;
use crate::secret::Secret;
use answer::Charged;
use note::StripeNote;

mod answer;
pub mod currency;
mod denial;
mod lookup;
#[cfg(test)]
mod loopback_tests;
mod note;
mod replies;
mod request;
mod settings;

pub use settings::{KIND, Reusable, StripeSettings};

/// Stripe's own address.
pub const BASE_URL: &str = "https://api.stripe.com";
/// The version of the API that is asked for: the first with `latest_charge`, and pinned, so that what an account is set to
/// changes nothing here.
pub const VERSION: &str = "2022-11-15";
/// How long one request may go unanswered unless it is set (spec/connectors.md, section 2.5).
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);
/// How often a request is repeated unless it is set. Our choice, as for the other kinds.
pub const REPEATS: u8 = 5;
/// How long Stripe may be at work on a request: its own libraries wait so long (stripe-node, stripe-python: "timeout").
const SETTLES_AFTER: Duration = Duration::from_secs(80);
/// What all requests of one payment may take together, beyond the time of one (spec/connectors.md, section 2.5).
const BEYOND_ONE: Duration = Duration::from_secs(25);

/// How long a cancellation may take: it is a courtesy to Stripe's records, and the caller waits.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Stripe.
#[derive(Clone, Debug)]
pub struct Stripe {
    settings: StripeSettings,
    description: Description,
    gateway: Arc<Gateway>,
}

/// What an instance can do; its keys narrow nothing but times.
fn capabilities(mode: Mode) -> Capabilities {
    Capabilities {
        withdrawn: false,
        charge_card: true,
        charge_bank: false,
        charge_token: true,
        tokenize_card: TokenType::ALL.to_vec(),
        tokenize_bank: TokenType::ALL.to_vec(),
        currencies: Some(currency::taken()),
        bank_needs_holder_name: true,
        needed_parameters: Vec::new(),
        accepted_numbers: KIND.accepted_numbers(mode),
        // A key's first answer is kept with its status and body (Stripe, "Idempotent requests").
        idempotency: Idempotency::FirstResult,
        replay_window: REPLAY_WINDOW,
        looks_up: true,
        answer_timeout: ANSWER_TIMEOUT,
        settles_after: SETTLES_AFTER,
        repeats: REPEATS,
        overall: ANSWER_TIMEOUT.saturating_add(BEYOND_ONE),
    }
}

/// A POST: where to, what its idempotency key ends with, and what.
struct Post<'a> {
    path: &'a str,
    step: &'a str,
    body: WipedBody,
}

impl Stripe {
    async fn post(&self, payment_request: &PaymentRequest, post: Post<'_>) -> Result<GatewayReply, Answer> {
        let not_sent = |reason: &str| Answer::NotSent { reason: reason.to_owned(), retry_after: None };
        // A key for each step: with other parameters the same key is an error (spec/connectors.md 4.1).
        let key = format!("{}-{}", payment_request.transaction_id, post.step);
        let key = HeaderValue::try_from(key).map_err(|_| not_sent("the transaction id fits into no header"))?;
        let mut headers = self.headers().ok_or_else(|| not_sent("the account fits into no header"))?;
        headers.insert("idempotency-key", key);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let timeout = if post.step == "cancel" { CANCEL_TIMEOUT } else { self.settings.timeout };
        let endpoint = self.settings.base_url.at(post.path, &[]);
        let request = GatewayRequest {
            method: Method::POST,
            endpoint: &endpoint,
            authorization: &self.settings.authorization,
            headers,
            body: Some(post.body),
            timeout,
            reply_bytes_max: REPLY_BYTES_MAX,
        };
        self.send(payment_request, request).await
    }

    async fn get(
        &self,
        payment_request: &PaymentRequest,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<GatewayReply, Answer> {
        let endpoint = self.settings.base_url.at(path, query);
        let request = GatewayRequest {
            method: Method::GET,
            endpoint: &endpoint,
            authorization: &self.settings.authorization,
            headers: self.headers().unwrap_or_default(),
            body: None,
            timeout: self.settings.timeout,
            reply_bytes_max: lookup::PAGE_BYTES_MAX,
        };
        self.send(payment_request, request).await
    }

    async fn send(
        &self,
        payment_request: &PaymentRequest,
        request: GatewayRequest<'_>,
    ) -> Result<GatewayReply, Answer> {
        match self.gateway.send(request).await {
            Ok(reply) => {
                tracing::debug!(connector = payment_request.connector, status = reply.status, "Stripe answered");
                Ok(reply)
            }
            Err(GatewayFault::NotReached(reason)) => Err(Answer::NotSent { reason, retry_after: None }),
            Err(GatewayFault::NoReply(reason)) => Err(Answer::unknown(reason)),
        }
    }

    /// What every request says. `None`: the account is none, which the configuration sees to.
    fn headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert("stripe-version", HeaderValue::from_static(VERSION));
        if let Some(account) = &self.settings.account {
            headers.insert("stripe-account", HeaderValue::from_str(account).ok()?);
        }
        Some(headers)
    }

    /// The first call, which moves no money.
    async fn first(
        &self,
        payment_request: &PaymentRequest,
        instrument: &Instrument,
    ) -> Result<Option<StripeNote>, Answer> {
        let (operation, mode) = (payment_request.operation, self.description.mode);
        if let Operation::Charge(amount, currency) = operation {
            // Before the card leaves: an amount that would lose digits is refused (spec/connectors.md 2.4).
            wire_amount(amount, currency)?;
        }
        // Which of the two shapes Twilio uses is unconfirmed (spec/connectors.md 4.3).
        let compatible = self.settings.reusable == Reusable::Card;
        let (path, step, body, prefixes) = match (operation, instrument) {
            // A first debit waits for micro-deposits, longer than any call (spec/connectors.md 4.4).
            (Operation::Charge(..), Instrument::BankAccount(_)) => {
                return Err(refused(PayErrorCode::MethodUnsupported, "this connector does not debit bank accounts"));
            }
            (Operation::Tokenize(_), Instrument::Token(_)) => {
                return Err(refused(PayErrorCode::TokenizeUnsupported, "a token is not tokenized again"));
            }
            // One call, which is the submission.
            (Operation::Tokenize(TokenType::OneTime | TokenType::PaymentMethod), _) => return Ok(None),
            (Operation::Charge(..), Instrument::Token(token)) => match token_kind(token) {
                Some(TokenKind::Source) => {
                    ("/v1/payment_methods", "pm", request::token_payment_method(token), &["pm_"][..])
                }
                Some(TokenKind::Saved) => return self.saved(payment_request, token).await.map(Some),
                None => {
                    let message = "a paymentToken of this connector begins with pm_, card_ or tok_";
                    return Err(refused(PayErrorCode::InvalidParameter, message));
                }
            },
            (Operation::Tokenize(TokenType::Reusable), Instrument::Card(card)) if compatible => {
                ("/v1/tokens", "tok", request::card_token(payment_request, card), &["tok_"][..])
            }
            (Operation::Charge(..) | Operation::Tokenize(TokenType::Reusable), Instrument::Card(card)) => {
                ("/v1/payment_methods", "pm", request::card_payment_method(payment_request, card), &["pm_"][..])
            }
            (Operation::Tokenize(TokenType::Reusable), Instrument::BankAccount(account)) => {
                let body = request::bank_token(payment_request, account).map_err(|_| no_holder())?;
                ("/v1/tokens", "tok", body, &["btok_", "tok_"][..])
            }
        };
        let reply = self.post(payment_request, Post { path, step, body }).await?;
        answer::prepared(&reply, operation, mode, prefixes).map(Some)
    }

    /// Looks a saved card up: one that hangs on a customer is charged with its customer only.
    async fn saved(&self, payment_request: &PaymentRequest, token: &Secret) -> Result<StripeNote, Answer> {
        let path = format!("/v1/payment_methods/{}", token.expose());
        let reply = self.get(payment_request, &path, &[]).await?;
        let note = answer::prepared(&reply, payment_request.operation, self.description.mode, &["pm_", "card_"])?;
        // Another one could be another payer's.
        if note.id != token.expose() {
            return Err(Answer::unknown("Stripe told of another payment method"));
        }
        // It may be years old; the payment is not. Our own clock may be wrong, and a look-up would be believed.
        Ok(StripeNote { since: answer::told_at(&reply), ..note })
    }

    async fn second(
        &self,
        payment_request: &PaymentRequest,
        instrument: Option<&Instrument>,
        note: Option<&StripeNote>,
    ) -> Result<Answer, Answer> {
        let operation = payment_request.operation;
        match (operation, note) {
            (Operation::Charge(amount, currency), Some(note)) => {
                self.charge(payment_request, note, amount, currency).await
            }
            (Operation::Tokenize(TokenType::Reusable), Some(note)) => {
                let body = request::customer(payment_request, note);
                let reply = self.post(payment_request, Post { path: "/v1/customers", step: "cus", body }).await?;
                Ok(answer::kept(&reply, operation, self.description.mode, note))
            }
            (Operation::Charge(..) | Operation::Tokenize(TokenType::Reusable), None) => {
                Err(Answer::NotSent { reason: "it was not prepared".to_owned(), retry_after: None })
            }
            (Operation::Tokenize(TokenType::OneTime | TokenType::PaymentMethod), _) => {
                self.tokenize(payment_request, instrument).await
            }
        }
    }

    async fn charge(
        &self,
        payment_request: &PaymentRequest,
        note: &StripeNote,
        amount: Amount,
        currency: Currency,
    ) -> Result<Answer, Answer> {
        let amount = wire_amount(amount, currency)?;
        let body = request::payment_intent(payment_request, note, amount, currency, self.settings.moto);
        let reply = self.post(payment_request, Post { path: "/v1/payment_intents", step: "pi", body }).await?;
        Ok(match answer::charged(&reply, payment_request.operation, self.description.mode) {
            Charged::Answer(answer) => answer,
            // `error_on_requires_action` would do the same; the explicit call is preferred (spec/connectors.md 4.2).
            Charged::NeedsPayer(payment_intent) => self.cancel(payment_request, payment_intent).await,
        })
    }

    /// Ends a payment that waits for the payer. Nothing was taken, and nobody has what it takes to go on with it; so it is
    /// declined, even if the cancellation does not arrive, unless Stripe says that it went through.
    async fn cancel(&self, payment_request: &PaymentRequest, payment_intent: String) -> Answer {
        let path = format!("/v1/payment_intents/{payment_intent}/cancel");
        match self.post(payment_request, Post { path: &path, step: "cancel", body: request::nothing() }).await {
            Ok(reply) if answer::went_through(&reply) => {
                return Answer::unknown(format!("HTTP status {}, a payment that cannot be cancelled", reply.status));
            }
            Ok(reply) if (200..=299).contains(&reply.status) => {}
            Ok(_) | Err(_) => tracing::warn!(
                connector = payment_request.connector,
                payment = payment_request.transaction_id,
                "could not cancel a payment that waits for the payer; it stays incomplete at Stripe"
            ),
        }
        Answer::Declined(answer::needs_payer(payment_intent))
    }

    /// The tokens that are one call. None of them moves money.
    async fn tokenize(
        &self,
        payment_request: &PaymentRequest,
        instrument: Option<&Instrument>,
    ) -> Result<Answer, Answer> {
        let operation = payment_request.operation;
        let payment_method = operation == Operation::Tokenize(TokenType::PaymentMethod);
        let (path, step) = if payment_method { ("/v1/payment_methods", "pm") } else { ("/v1/tokens", "tok") };
        let prefixes: &[&str] = if payment_method { &["pm_"] } else { &["tok_", "btok_"] };
        let body = match instrument {
            Some(Instrument::Card(card)) if payment_method => request::card_payment_method(payment_request, card),
            Some(Instrument::Card(card)) => request::card_token(payment_request, card),
            Some(Instrument::BankAccount(account)) => if payment_method {
                request::bank_payment_method(payment_request, account)
            } else {
                request::bank_token(payment_request, account)
            }
            .map_err(|_| no_holder())?,
            Some(Instrument::Token(_)) => {
                return Err(refused(PayErrorCode::TokenizeUnsupported, "a token is not tokenized again"));
            }
            // Asked after a restart.
            None => {
                return Err(Answer::unknown("the card is gone, and tokens cannot be looked up"));
            }
        };
        let reply = self.post(payment_request, Post { path, step, body }).await?;
        Ok(answer::tokenized(&reply, operation, self.description.mode, prefixes))
    }

    /// Whether the address is there and takes the key, by reading a payment: what a look-up needs too.
    async fn look(&self) -> Result<(), CheckRefused> {
        let request = GatewayRequest {
            method: Method::GET,
            endpoint: &self.settings.base_url.at("/v1/payment_intents", &[("limit", "1")]),
            authorization: &self.settings.authorization,
            headers: self.headers().unwrap_or_default(),
            body: None,
            timeout: self.settings.timeout,
            reply_bytes_max: REPLY_BYTES_MAX,
        };
        let base_url = &self.settings.base_url;
        match self.gateway.send(request).await {
            Ok(reply) => match reply.status {
                200..=299 => answer::live(&reply).map_or(Ok(()), |live| {
                    let mode = self.description.mode;
                    if live == mode {
                        return Ok(());
                    }
                    Err(format!("Stripe's key is for {live} payments, the connector is for {mode} ones"))
                }),
                401 => Err(format!("{base_url} refuses this key (HTTP status 401)")),
                403 => Err(format!(
                    "{base_url} does not let this key read payments, or act for the account (HTTP status 403)"
                )),
                status => Err(format!("{base_url} does not answer as Stripe does (HTTP status {status})")),
            },
            Err(fault) => Err(format!("{base_url}: {fault}")),
        }
        .map_err(CheckRefused)
    }
}

impl Connector for Stripe {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn capabilities(&self) -> Capabilities {
        let StripeSettings { timeout, retries, .. } = self.settings;
        Capabilities {
            answer_timeout: timeout,
            settles_after: timeout.max(SETTLES_AFTER),
            repeats: retries,
            overall: timeout.saturating_add(BEYOND_ONE),
            ..capabilities(self.description.mode)
        }
    }

    fn check(&self) -> BoxFuture<'_, Result<(), CheckRefused>> {
        self.look().boxed()
    }

    fn prepare(&self, payment_request: Arc<PaymentRequest>, instrument: Arc<Instrument>) -> BoxFuture<'_, Preparation> {
        async move {
            match self.first(&payment_request, &instrument).await {
                Ok(Some(note)) => Preparation::Note(note.written()),
                Ok(None) => Preparation::Nothing,
                Err(answer) => Preparation::Answered(answer),
            }
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
            let note = StripeNote::read(note.as_ref());
            self.second(&payment_request, instrument.as_deref(), note.as_ref()).await.unwrap_or_else(|answer| answer)
        }
        .boxed()
    }

    fn resolve(&self, payment_request: Arc<PaymentRequest>, note: Option<RecoveryNote>) -> BoxFuture<'_, Resolution> {
        async move {
            match StripeNote::read(note.as_ref()) {
                Some(note) => self.find_out(&payment_request, &note).await,
                // Tokens that are one call leave no note and cannot be looked up.
                None => Resolution::CannotTell,
            }
        }
        .boxed()
    }
}

/// What every reader of replies makes of one, under its name, where the first call left a token.
fn readings(reply: &GatewayReply, payment_request: &PaymentRequest) -> Vec<(&'static str, Preparation)> {
    let note = StripeNote { id: "tok_1".to_owned(), since: 1, customer: None };
    answer::readings(reply, payment_request, Mode::Test, &note)
}

/// What a token made earlier is.
enum TokenKind {
    /// Used up by one payment.
    Source,
    /// Kept at Stripe.
    Saved,
}

fn token_kind(token: &Secret) -> Option<TokenKind> {
    let text = token.expose();
    let begins = |prefix: &str| text.starts_with(prefix) && note::is_id(text);
    if begins("tok_") {
        Some(TokenKind::Source)
    } else if begins("pm_") || begins("card_") {
        Some(TokenKind::Saved)
    } else {
        None
    }
}

fn wire_amount(amount: Amount, currency: Currency) -> Result<u64, Answer> {
    if !currency::taken().contains(&currency) {
        let message = format!("this connector does not take {}", currency.code());
        return Err(refused(PayErrorCode::CurrencyUnsupported, &message));
    }
    currency::wire_amount(amount, currency).ok_or_else(|| {
        let message = format!("Stripe takes no such amount of {}: it has fewer decimals there", currency.code());
        refused(PayErrorCode::InvalidChargeAmount, &message)
    })
}

fn no_holder() -> Answer {
    refused(PayErrorCode::AvsNameNeeded, &request::NoHolder.to_string())
}

fn refused(code: PayErrorCode, message: &str) -> Answer {
    Answer::Refused(code, Denial { message: Some(message.to_owned()), ..Denial::default() })
}
