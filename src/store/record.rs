//! How what is sealed is written: JSON, so that a later version can read it.
//!
//! Shape:   pure; a value to a [`Secret`] text and back. Fields may be added; a reader passes over those it does not know.
//! Errors:  [`RecordError`] names what is missing, never a value.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

use super::backend::NewPayment;
use crate::flow::{Intended, LedBy, PaymentId};
use crate::form::{Form, Value};
use crate::money::{Amount, Currency};
use crate::pay::card::Brand;
use crate::pay::gateway::{Attempt, Operation, TokenType};
use crate::pay::intent::{Intent, Means, Statement};
use crate::pay::outcome::Receipt;
use crate::pay::step::Step;
use crate::secret::Secret;
use crate::twiml::Method;

/// What is stored is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is no JSON of the shape that is expected.
    #[error("not in the expected form")]
    Shape,
    /// A word that this version does not know.
    #[error("{0} is not known to this version")]
    Word(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Field {
    n: String,
    v: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    secret: bool,
}

#[derive(Serialize, Deserialize)]
struct RequestRecord {
    url: String,
    fields: Vec<Field>,
}

#[derive(Serialize, Deserialize)]
struct Place {
    url: String,
    method: String,
}

#[derive(Serialize, Deserialize)]
struct IntendedRecord {
    sid: String,
    led_by: String,
    call_sid: String,
    connector: String,
    charge: Option<String>,
    currency: String,
    token_type: String,
    description: Option<String>,
    parameters: Vec<(String, String)>,
    metadata: Vec<(String, String)>,
    means: String,
    card: Option<(String, String)>,
    expiration: Option<String>,
    security_code: Option<String>,
    postal_code: Option<String>,
    routing_number: Option<String>,
    account_number: Option<String>,
    status_form: Vec<Field>,
    action_form: Vec<Field>,
    telnyx: bool,
    step: String,
    status: Option<Place>,
    action: Option<Place>,
}

/// Where a request goes, credentials and query included, and its fields, as text.
pub(super) fn request(url: &str, form: &Form) -> Secret {
    text(&RequestRecord { url: url.to_owned(), fields: fields(form) })
}

/// The address and the form of a text.
pub(super) fn read_request(text: &Secret) -> Result<(String, Form), RecordError> {
    let record: RequestRecord = serde_json::from_str(text.expose()).map_err(|_| RecordError::Shape)?;
    Ok((record.url, read_fields(record.fields)))
}

/// An intended payment as text.
pub(super) fn intended(intended: &Intended) -> Secret {
    let Intended { payment, intent, status, action } = intended;
    let Intent { attempt, means, receipt, statement } = intent;
    let place = |to: &Option<(Url, Method)>| {
        to.as_ref().map(|(url, method)| Place { url: url.to_string(), method: method.to_string() })
    };
    text(&IntendedRecord {
        sid: payment.sid.clone(),
        led_by: led_by(payment.led_by).to_owned(),
        call_sid: attempt.call_sid.clone(),
        connector: attempt.connector.clone(),
        charge: charged(attempt),
        currency: attempt.currency.code().to_ascii_lowercase(),
        token_type: match attempt.operation {
            Operation::Charge(..) => attempt.token_type.word().to_owned(),
            Operation::Tokenize(token_type) => token_type.word().to_owned(),
        },
        description: attempt.description.clone(),
        parameters: attempt.parameters.clone(),
        metadata: attempt.metadata.clone(),
        means: means.word().to_owned(),
        card: receipt.card.as_ref().map(|(number, brand)| (number.clone(), brand.word().to_owned())),
        expiration: receipt.expiration.clone(),
        security_code: receipt.security_code.clone(),
        postal_code: receipt.postal_code.clone(),
        routing_number: receipt.routing_number.clone(),
        account_number: receipt.account_number.clone(),
        status_form: fields(&statement.status),
        action_form: fields(&statement.action),
        telnyx: statement.telnyx,
        step: statement.step.word().to_owned(),
        status: place(status),
        action: place(action),
    })
}

/// The intended payment of a text.
pub(super) fn read_intended(text: &Secret) -> Result<Intended, RecordError> {
    let record: IntendedRecord = serde_json::from_str(text.expose()).map_err(|_| RecordError::Shape)?;
    let currency = record.currency.parse::<Currency>().map_err(|_| RecordError::Word("the currency"))?;
    let token_type = TokenType::parse(&record.token_type).ok_or(RecordError::Word("the token type"))?;
    let operation = match &record.charge {
        Some(amount) => {
            Operation::Charge(Amount::parse(amount, currency).map_err(|_| RecordError::Word("the amount"))?, currency)
        }
        None => Operation::Tokenize(token_type),
    };
    let card = match record.card {
        Some((number, brand)) => Some((number, Brand::parse(&brand).ok_or(RecordError::Word("the brand"))?)),
        None => None,
    };
    let led_by = match record.led_by.as_str() {
        "document" => LedBy::Document,
        "agent" => LedBy::Agent,
        _ => return Err(RecordError::Word("who leads it")),
    };
    let attempt = Attempt {
        transaction_id: record.sid.clone(),
        call_sid: record.call_sid,
        connector: record.connector,
        operation,
        currency,
        token_type,
        description: record.description,
        parameters: record.parameters,
        metadata: record.metadata,
    };
    let receipt = Receipt {
        card,
        expiration: record.expiration,
        security_code: record.security_code,
        postal_code: record.postal_code,
        routing_number: record.routing_number,
        account_number: record.account_number,
    };
    let statement = Statement {
        status: read_fields(record.status_form),
        action: read_fields(record.action_form),
        telnyx: record.telnyx,
        step: Step::parse(&record.step).ok_or(RecordError::Word("the step"))?,
    };
    let means = Means::parse(&record.means).ok_or(RecordError::Word("what pays"))?;
    Ok(Intended {
        payment: PaymentId { sid: record.sid, led_by },
        intent: Intent { attempt: Arc::new(attempt), means, receipt, statement },
        status: record.status.map(read_place).transpose()?,
        action: record.action.map(read_place).transpose()?,
    })
}

/// What the books show of an intended payment.
pub(super) fn new_payment(intended: &Intended, sealed: Vec<u8>) -> NewPayment {
    let Intent { attempt, means, receipt, .. } = &intended.intent;
    NewPayment {
        sid: intended.payment.sid.clone(),
        call_sid: attempt.call_sid.clone(),
        connector: attempt.connector.clone(),
        led_by: intended.payment.led_by,
        operation: match attempt.operation {
            Operation::Charge(..) => "charge",
            Operation::Tokenize(_) => "tokenize",
        },
        amount: charged(attempt),
        currency: attempt.currency.code().to_ascii_lowercase(),
        token_type: match attempt.operation {
            Operation::Charge(..) => None,
            Operation::Tokenize(token_type) => Some(token_type.word()),
        },
        means: means.word(),
        masked: receipt.card.as_ref().map(|(number, _)| number.clone()).or_else(|| receipt.account_number.clone()),
        brand: receipt.card.as_ref().map(|(_, brand)| brand.word().to_owned()),
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

fn charged(attempt: &Attempt) -> Option<String> {
    match attempt.operation {
        Operation::Charge(amount, currency) => Some(amount.text(currency)),
        Operation::Tokenize(_) => None,
    }
}

fn fields(form: &Form) -> Vec<Field> {
    form.iter()
        .map(|(name, value)| Field {
            n: name.to_owned(),
            v: value.expose().to_owned(),
            secret: matches!(value, Value::Secret(_)),
        })
        .collect()
}

fn read_fields(fields: Vec<Field>) -> Form {
    let mut form = Form::new();
    for Field { n, v, secret } in fields {
        form.set(n, if secret { Value::Secret(Secret::new(v)) } else { Value::Plain(v) });
    }
    form
}

fn read_place(place: Place) -> Result<(Url, Method), RecordError> {
    let url = Url::parse(&place.url).map_err(|_| RecordError::Word("an address"))?;
    let method = match place.method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        _ => return Err(RecordError::Word("a method")),
    };
    Ok((url, method))
}

/// Texts, numbers and lists are always JSON.
fn text(value: &impl Serialize) -> Secret {
    Secret::new(serde_json::to_string(value).unwrap_or_default())
}
