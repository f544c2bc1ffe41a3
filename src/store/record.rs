//! How what is sealed is written: JSON, so that a later version can read it.
//!
//! Shape:   pure; a value to a [`Secret`] text and back. Fields may be added; a reader passes over those it does not know.
//! Errors:  [`StoredShapeError`] names what is missing, never a value.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::CallbackRequest;
use super::backend::NewPayment;
use super::sessions::NewSession;
use crate::flow::{Begun, Intended, LedBy, PaymentId};
use crate::form::{Form, Value};
use crate::http::Jar;
use crate::money::{Amount, Currency};
use crate::pay::captured_fields::CapturedFields;
use crate::pay::card::Brand;
use crate::pay::gateway::{Means, Operation, PaymentRequest, TokenType};
use crate::pay::intent::{CallbackFields, Intent, SessionStart};
use crate::pay::platform::Platform;
use crate::pay::step::Step;
use crate::secret::Secret;
use crate::twiml::Method;

/// What is stored is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredShapeError {
    /// It is no JSON of the shape that is expected.
    #[error("not in the expected form")]
    Shape,
    /// A word that this version does not know.
    #[error("{0} is not known to this version")]
    Word(&'static str),
}

#[derive(Serialize, Deserialize)]
struct StoredField {
    n: String,
    v: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    secret: bool,
}

#[derive(Serialize, Deserialize)]
struct RequestRecord<'a> {
    url: Cow<'a, str>,
    fields: Vec<StoredField>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cookies: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredTarget {
    url: String,
    method: String,
}

#[derive(Serialize, Deserialize)]
struct IntendedRecord<'a> {
    sid: Cow<'a, str>,
    led_by: String,
    call_sid: Cow<'a, str>,
    connector: Cow<'a, str>,
    charge: Option<String>,
    currency: String,
    token_type: String,
    description: Option<Cow<'a, str>>,
    parameters: Cow<'a, [(String, String)]>,
    metadata: Cow<'a, [(String, String)]>,
    means: String,
    card: Option<(Cow<'a, str>, Cow<'a, str>)>,
    expiration: Option<Cow<'a, str>>,
    security_code: Option<Cow<'a, str>>,
    postal_code: Option<Cow<'a, str>>,
    routing_number: Option<Cow<'a, str>>,
    account_number: Option<Cow<'a, str>>,
    status_form: Vec<StoredField>,
    action_form: Vec<StoredField>,
    telnyx: bool,
    step: String,
    status: Option<StoredTarget>,
    action: Option<StoredTarget>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cookies: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct BegunRecord<'a> {
    sid: Cow<'a, str>,
    led_by: String,
    call_sid: Cow<'a, str>,
    connector: Cow<'a, str>,
    charge: Option<String>,
    currency: String,
    token_type: Option<String>,
    means: String,
    status_form: Vec<StoredField>,
    action_form: Vec<StoredField>,
    telnyx: bool,
    step: String,
    status: Option<StoredTarget>,
    action: Option<StoredTarget>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cookies: Option<String>,
}

/// Where a request goes, credentials and query included, and its fields, as text.
pub(super) fn request(request: &CallbackRequest) -> Secret {
    let CallbackRequest { url, form, cookies, .. } = request;
    text(&RequestRecord { url: url.into(), fields: fields(form), cookies: written(cookies.to_text().as_ref()) })
}

/// The address, the form and the cookies of a text.
pub(super) fn read_request(text: &Secret) -> Result<(String, Form, Jar), StoredShapeError> {
    let record: RequestRecord<'_> = serde_json::from_str(text.expose()).map_err(|_| StoredShapeError::Shape)?;
    let cookies = record.cookies.map(|cookies| Jar::of_text(&Secret::new(cookies))).unwrap_or_default();
    Ok((record.url.into_owned(), read_fields(record.fields), cookies))
}

/// Cookies on their way under the seal.
fn written(cookies: Option<&Secret>) -> Option<String> {
    cookies.map(|cookies| cookies.expose().to_owned())
}

/// How rows name the platform: they are older than its table. Another platform needs a field of its own, which older versions
/// pass over.
const fn is_telnyx(platform: Platform) -> bool {
    match platform {
        Platform::Twilio => false,
        Platform::Telnyx => true,
    }
}

/// The platform of a row.
const fn platform(is_telnyx: bool) -> Platform {
    if is_telnyx { Platform::Telnyx } else { Platform::Twilio }
}

/// An intended payment as text.
pub(super) fn intended(intended: &Intended) -> Secret {
    let Intended { payment, intent, status, action, cookies } = intended;
    // Captured fields are masks: no number comes here.
    let Intent { payment_request, means, captured_fields, callback_fields } = intent;
    text(&IntendedRecord {
        sid: (&payment.sid).into(),
        led_by: led_by(payment.led_by).to_owned(),
        call_sid: (&payment_request.call_sid).into(),
        connector: (&payment_request.connector).into(),
        charge: charged(payment_request.operation),
        currency: payment_request.currency.code().to_ascii_lowercase(),
        token_type: match payment_request.operation {
            Operation::Charge(..) => payment_request.token_type.word().to_owned(),
            Operation::Tokenize(token_type) => token_type.word().to_owned(),
        },
        description: payment_request.description.as_ref().map(Cow::from),
        parameters: (&payment_request.parameters).into(),
        metadata: (&payment_request.metadata).into(),
        means: means.word().to_owned(),
        card: captured_fields.card.as_ref().map(|(number, brand)| (number.into(), brand.word().into())),
        expiration: captured_fields.expiration.as_ref().map(Cow::from),
        security_code: captured_fields.security_code.as_ref().map(Cow::from),
        postal_code: captured_fields.postal_code.as_ref().map(Cow::from),
        routing_number: captured_fields.routing_number.as_ref().map(Cow::from),
        account_number: captured_fields.account_number.as_ref().map(Cow::from),
        status_form: fields(&callback_fields.status),
        action_form: fields(&callback_fields.action),
        telnyx: is_telnyx(callback_fields.platform),
        step: callback_fields.step.word().to_owned(),
        status: place(status),
        action: place(action),
        cookies: written(cookies.as_ref()),
    })
}

/// The intended payment of a text.
pub(super) fn read_intended(text: &Secret) -> Result<Intended, StoredShapeError> {
    let record: IntendedRecord<'_> = serde_json::from_str(text.expose()).map_err(|_| StoredShapeError::Shape)?;
    let currency = record.currency.parse::<Currency>().map_err(|_| StoredShapeError::Word("the currency"))?;
    let token_type = TokenType::parse(&record.token_type).ok_or(StoredShapeError::Word("the token type"))?;
    let operation = match &record.charge {
        Some(amount) => Operation::Charge(
            Amount::parse(amount, currency).map_err(|_| StoredShapeError::Word("the amount"))?,
            currency,
        ),
        None => Operation::Tokenize(token_type),
    };
    let card = match record.card {
        Some((number, brand)) => {
            Some((number.into_owned(), Brand::parse(&brand).ok_or(StoredShapeError::Word("the brand"))?))
        }
        None => None,
    };
    let (sid, led_by) = (record.sid.into_owned(), read_led_by(&record.led_by)?);
    let payment_request = PaymentRequest {
        transaction_id: sid.clone(),
        call_sid: record.call_sid.into_owned(),
        connector: record.connector.into_owned(),
        operation,
        currency,
        token_type,
        description: record.description.map(Cow::into_owned),
        parameters: record.parameters.into_owned(),
        metadata: record.metadata.into_owned(),
    };
    let captured_fields = CapturedFields {
        card,
        expiration: record.expiration.map(Cow::into_owned),
        security_code: record.security_code.map(Cow::into_owned),
        postal_code: record.postal_code.map(Cow::into_owned),
        routing_number: record.routing_number.map(Cow::into_owned),
        account_number: record.account_number.map(Cow::into_owned),
    };
    let callback_fields = CallbackFields {
        status: read_fields(record.status_form),
        action: read_fields(record.action_form),
        platform: platform(record.telnyx),
        step: Step::parse(&record.step).ok_or(StoredShapeError::Word("the step"))?,
    };
    let means = Means::parse(&record.means).ok_or(StoredShapeError::Word("what pays"))?;
    Ok(Intended {
        payment: PaymentId { sid, led_by },
        intent: Intent { payment_request: Arc::new(payment_request), means, captured_fields, callback_fields },
        status: record.status.map(read_place).transpose()?,
        action: record.action.map(read_place).transpose()?,
        cookies: record.cookies.map(Secret::new),
    })
}

/// A session that has begun, as text.
pub(super) fn begun(begun: &Begun) -> Secret {
    let Begun { payment, call_sid, start, status, action, cookies } = begun;
    let SessionStart { connector, operation, currency, means, callback_fields } = start;
    text(&BegunRecord {
        sid: (&payment.sid).into(),
        led_by: led_by(payment.led_by).to_owned(),
        call_sid: call_sid.into(),
        connector: connector.into(),
        charge: charged(*operation),
        currency: currency.code().to_ascii_lowercase(),
        token_type: tokenized(*operation).map(str::to_owned),
        means: means.word().to_owned(),
        status_form: fields(&callback_fields.status),
        action_form: fields(&callback_fields.action),
        telnyx: is_telnyx(callback_fields.platform),
        step: callback_fields.step.word().to_owned(),
        status: place(status),
        action: place(action),
        cookies: written(cookies.as_ref()),
    })
}

/// The session of a text.
pub(super) fn read_begun(text: &Secret) -> Result<Begun, StoredShapeError> {
    let record: BegunRecord<'_> = serde_json::from_str(text.expose()).map_err(|_| StoredShapeError::Shape)?;
    let currency = record.currency.parse::<Currency>().map_err(|_| StoredShapeError::Word("the currency"))?;
    let operation = match (&record.charge, &record.token_type) {
        (Some(amount), _) => Operation::Charge(
            Amount::parse(amount, currency).map_err(|_| StoredShapeError::Word("the amount"))?,
            currency,
        ),
        (None, Some(word)) => {
            Operation::Tokenize(TokenType::parse(word).ok_or(StoredShapeError::Word("the token type"))?)
        }
        (None, None) => return Err(StoredShapeError::Shape),
    };
    let callback_fields = CallbackFields {
        status: read_fields(record.status_form),
        action: read_fields(record.action_form),
        platform: platform(record.telnyx),
        step: Step::parse(&record.step).ok_or(StoredShapeError::Word("the step"))?,
    };
    let means = Means::parse(&record.means).ok_or(StoredShapeError::Word("what pays"))?;
    Ok(Begun {
        payment: PaymentId { sid: record.sid.into_owned(), led_by: read_led_by(&record.led_by)? },
        call_sid: record.call_sid.into_owned(),
        start: SessionStart { connector: record.connector.into_owned(), operation, currency, means, callback_fields },
        status: record.status.map(read_place).transpose()?,
        action: record.action.map(read_place).transpose()?,
        cookies: record.cookies.map(Secret::new),
    })
}

/// What the store shows of a session that began at `at`.
pub(super) fn new_session(begun: &Begun, sealed: Vec<u8>, at: Timestamp) -> NewSession {
    let SessionStart { connector, operation, currency, means, .. } = &begun.start;
    NewSession {
        sid: begun.payment.sid.clone(),
        call_sid: begun.call_sid.clone(),
        connector: connector.clone(),
        led_by: begun.payment.led_by,
        operation: operated(*operation),
        amount: charged(*operation),
        currency: currency.code().to_ascii_lowercase(),
        token_type: tokenized(*operation),
        means: means.word(),
        begun: at,
        sealed,
    }
}

/// What the store shows of an intended payment, whose session began at `begun`.
pub(super) fn new_payment(intended: &Intended, begun: Timestamp, sealed: Vec<u8>) -> NewPayment {
    let Intent { payment_request, means, captured_fields, .. } = &intended.intent;
    NewPayment {
        sid: intended.payment.sid.clone(),
        call_sid: payment_request.call_sid.clone(),
        connector: payment_request.connector.clone(),
        led_by: intended.payment.led_by,
        operation: operated(payment_request.operation),
        amount: charged(payment_request.operation),
        currency: payment_request.currency.code().to_ascii_lowercase(),
        token_type: tokenized(payment_request.operation),
        means: means.word(),
        masked: captured_fields
            .card
            .as_ref()
            .map(|(number, _)| number.clone())
            .or_else(|| captured_fields.account_number.clone()),
        brand: captured_fields.card.as_ref().map(|(_, brand)| brand.word().to_owned()),
        begun,
        sealed,
    }
}

/// Who leads a payment, in a word.
pub(super) const fn led_by(led_by: LedBy) -> &'static str {
    match led_by {
        LedBy::Document => "document",
        LedBy::Agent => "agent",
    }
}

fn read_led_by(word: &str) -> Result<LedBy, StoredShapeError> {
    [LedBy::Document, LedBy::Agent]
        .into_iter()
        .find(|known| led_by(*known) == word)
        .ok_or(StoredShapeError::Word("who leads it"))
}

const fn operated(operation: Operation) -> &'static str {
    match operation {
        Operation::Charge(..) => "charge",
        Operation::Tokenize(_) => "tokenize",
    }
}

fn charged(operation: Operation) -> Option<String> {
    match operation {
        Operation::Charge(amount, currency) => Some(amount.text(currency)),
        Operation::Tokenize(_) => None,
    }
}

fn tokenized(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::Charge(..) => None,
        Operation::Tokenize(token_type) => Some(token_type.word()),
    }
}

fn place(to: &Option<(Url, Method)>) -> Option<StoredTarget> {
    to.as_ref().map(|(url, method)| StoredTarget { url: url.to_string(), method: method.to_string() })
}

fn fields(form: &Form) -> Vec<StoredField> {
    form.iter()
        .map(|(name, value)| StoredField {
            n: name.to_owned(),
            v: value.expose().to_owned(),
            secret: matches!(value, Value::Secret(_)),
        })
        .collect()
}

fn read_fields(fields: Vec<StoredField>) -> Form {
    let mut form = Form::new();
    for StoredField { n, v, secret } in fields {
        form.set(n, if secret { Value::Secret(Secret::new(v)) } else { Value::Plain(v) });
    }
    form
}

fn read_place(place: StoredTarget) -> Result<(Url, Method), StoredShapeError> {
    let url = Url::parse(&place.url).map_err(|_| StoredShapeError::Word("an address"))?;
    let method = match place.method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        _ => return Err(StoredShapeError::Word("a method")),
    };
    Ok((url, method))
}

/// Texts, numbers and lists are always JSON.
fn text(value: &impl Serialize) -> Secret {
    Secret::new(serde_json::to_string(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pay::outcome::Ending;

    #[test]
    fn a_session_that_is_read_again_is_told_as_it_was_written() {
        let usd = "usd".parse::<Currency>().unwrap();
        let charge = Operation::Charge(Amount::parse("20.45", usd).unwrap(), usd);
        for operation in [charge, Operation::Tokenize(TokenType::OneTime)] {
            let (mut status, mut action) = (Form::new(), Form::new());
            status.set("For", "bank-routing-number");
            action.set("From", Value::Secret(Secret::new("+1555".to_owned())));
            let url = Url::parse("https://me:hunter2@shop.example/paid?order=7").unwrap();
            let session = Begun {
                payment: PaymentId { sid: "PK1".to_owned(), led_by: LedBy::Agent },
                call_sid: "CA1".to_owned(),
                start: SessionStart {
                    connector: "Bank".to_owned(),
                    operation,
                    currency: usd,
                    means: Means::BankAccount,
                    callback_fields: CallbackFields {
                        status,
                        action,
                        platform: Platform::Telnyx,
                        step: Step::BankRoutingNumber,
                    },
                },
                status: None,
                action: Some((url, Method::Get)),
                cookies: Some(Secret::new("[]".to_owned())),
            };
            let text = begun(&session);
            assert!(text.expose().contains("\"telnyx\":true"), "rows of earlier versions name the platform so");
            let again = read_begun(&text).unwrap();
            assert_eq!((again.payment.clone(), again.call_sid.as_str()), (session.payment.clone(), "CA1"));
            assert_eq!(format!("{:?}", again.start), format!("{:?}", session.start));
            assert_eq!(again.cookies.as_ref().map(Secret::expose), Some("[]"));
            let (told, first) = (again.settled(&Ending::cut_off()), session.settled(&Ending::cut_off()));
            assert_eq!(format!("{told:?}"), format!("{first:?}"));
            let action = told.action.unwrap();
            assert_eq!(action.form.value("From").map(Value::expose), Some("+1555"));
            assert!(told.status.is_none() && action.url.as_str().contains("hunter2@shop.example/paid?order=7"));
        }
        let text = Secret::new("{\"sid\":\"PK1\"}".to_owned());
        assert_eq!(read_begun(&text).unwrap_err(), StoredShapeError::Shape);
    }
}
