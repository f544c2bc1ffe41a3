//! The request body of the generic contract, in each of its dialects.
//!
//! Shape:   [`write()`], a pure function from dialect, attempt and instrument to bytes. The same input gives the same bytes,
//!          so that a repeat is a repeat. Members stand in the order of the vendor's example; what is absent is left out.
//! Units:   amounts with exactly their currency's decimals, as text or as a JSON number of the same digits.
//! Errors:  [`Unsupported`]: what a dialect has no members for.
//! Secrets: card data goes from its secret type into wiped memory of exactly the right size, without a copy between.
//! Sources: Twilio, "Generic Pay Connector"; Telnyx, "Pay over Voice"; SignalWire, cXML "`<Pay>`" and SWML "pay";
//!          spec/connectors.md, sections 3.1 to 3.3.

use std::io::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::ContractVariant;
use crate::http::WipedBody;
use crate::pay::gateway::{Instrument, Operation, PaymentRequest};

#[cfg(test)]
mod tests;

/// What SignalWire's `method` says, which is how is paid, not what for.
const CREDIT_CARD: &str = "credit-card";

/// What a dialect has no members for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// A token made earlier.
    #[error("this connector takes no token made earlier")]
    Token,
    /// A bank account.
    #[error("this connector takes cards only")]
    BankAccount,
    /// A text that could not be written; no attempt has one.
    #[error("the request could not be written")]
    Unwritable,
}

/// The request in a dialect's contract.
///
/// # Errors
/// When the dialect cannot say it; then nothing may be sent.
pub fn write(
    dialect: ContractVariant,
    payment_request: &PaymentRequest,
    instrument: &Instrument,
) -> Result<WipedBody, Unsupported> {
    let (month, year);
    let keyed = match instrument {
        Instrument::Card(card) => {
            // Two digits each, as in Twilio's example (spec/connectors.md 3.1).
            month = format!("{:02}", card.expiration.month());
            year = format!("{:02}", card.expiration.year().rem_euclid(100));
            KeyedFields {
                cardnumber: Some(card.number.expose()),
                cvv: card.security_code.as_ref().map(|code| code.expose()),
                expiry_month: Some(&month),
                expiry_year: Some(&year),
                postal_code: card.postal_code.as_deref(),
                ..KeyedFields::default()
            }
        }
        Instrument::BankAccount(_) if !dialect.takes_bank_accounts() => return Err(Unsupported::BankAccount),
        Instrument::BankAccount(account) => KeyedFields {
            bankaccountnumber: Some(account.account_number.expose()),
            routingnumber: Some(&account.routing_number),
            ..KeyedFields::default()
        },
        // No vendor tells under which name it would be sent.
        Instrument::Token(_) => return Err(Unsupported::Token),
    };
    let written = match dialect {
        ContractVariant::Twilio => twilio(payment_request, &keyed),
        ContractVariant::Telnyx => telnyx(payment_request, &keyed),
        ContractVariant::SignalWire => signalwire(payment_request, &keyed),
        ContractVariant::SignalWireSwml => signalwire_swml(payment_request, &keyed),
    };
    written.ok_or(Unsupported::Unwritable)
}

/// What the caller keyed, by the names that all dialects share.
#[derive(Default)]
struct KeyedFields<'a> {
    cardnumber: Option<&'a str>,
    cvv: Option<&'a str>,
    expiry_month: Option<&'a str>,
    expiry_year: Option<&'a str>,
    postal_code: Option<&'a str>,
    bankaccountnumber: Option<&'a str>,
    routingnumber: Option<&'a str>,
}

/// `charge` and `tokenize`, with the amount and currency of a charge: what Twilio and Telnyx begin with.
fn operation(payment_request: &PaymentRequest) -> (&'static str, Option<String>, Option<&'static str>) {
    match payment_request.operation {
        Operation::Charge(amount, currency) => ("charge", Some(amount.text(currency)), Some(currency.code())),
        Operation::Tokenize(_) => ("tokenize", None, None),
    }
}

fn twilio(payment_request: &PaymentRequest, keyed: &KeyedFields<'_>) -> Option<WipedBody> {
    let (method, amount, currency) = operation(payment_request);
    written(&[
        ("method", text(method)),
        ("transaction_id", text(&payment_request.transaction_id)),
        ("cardnumber", keyed.cardnumber.map(Member::Text)),
        ("cvv", keyed.cvv.map(Member::Text)),
        ("bankaccountnumber", keyed.bankaccountnumber.map(Member::Text)),
        ("routingnumber", keyed.routingnumber.map(Member::Text)),
        ("amount", amount.as_deref().map(Member::Text)),
        ("currency_code", currency.map(Member::Text)),
        ("expiry_month", keyed.expiry_month.map(Member::Text)),
        ("expiry_year", keyed.expiry_year.map(Member::Text)),
        ("description", payment_request.description.as_deref().map(Member::Text)),
        ("postal_code", keyed.postal_code.map(Member::Text)),
        ("parameters", parameters_if_any(payment_request)),
    ])
}

/// As Twilio's, but that `parameters` are there even when there are none.
fn telnyx(payment_request: &PaymentRequest, keyed: &KeyedFields<'_>) -> Option<WipedBody> {
    let (method, amount, currency) = operation(payment_request);
    written(&[
        ("method", text(method)),
        ("transaction_id", text(&payment_request.transaction_id)),
        ("amount", amount.as_deref().map(Member::Text)),
        ("currency_code", currency.map(Member::Text)),
        ("description", payment_request.description.as_deref().map(Member::Text)),
        ("cardnumber", keyed.cardnumber.map(Member::Text)),
        ("cvv", keyed.cvv.map(Member::Text)),
        ("bankaccountnumber", keyed.bankaccountnumber.map(Member::Text)),
        ("routingnumber", keyed.routingnumber.map(Member::Text)),
        ("expiry_month", keyed.expiry_month.map(Member::Text)),
        ("expiry_year", keyed.expiry_year.map(Member::Text)),
        ("postal_code", keyed.postal_code.map(Member::Text)),
        ("parameters", Some(Member::Parameters(OrderedParameters(&payment_request.parameters)))),
    ])
}

/// A charge has a `method` and a `chargeAmount`; a tokenization has neither, but an `amount` of 0 and a `token_type`.
fn signalwire(payment_request: &PaymentRequest, keyed: &KeyedFields<'_>) -> Option<WipedBody> {
    let number;
    let (method, charge_amount, amount, token_type) = match payment_request.operation {
        Operation::Charge(amount, currency) => {
            // As text: a float would be another amount.
            number = RawValue::from_string(amount.text(currency)).ok()?;
            (text(CREDIT_CARD), Some(Member::Number(&number)), None, None)
        }
        Operation::Tokenize(token_type) => {
            number = RawValue::from_string("0".to_owned()).ok()?;
            (None, None, Some(Member::Number(&number)), text(token_type.word()))
        }
    };
    written(&[
        ("transaction_id", text(&payment_request.transaction_id)),
        ("method", method),
        ("cardnumber", keyed.cardnumber.map(Member::Text)),
        ("cvv", keyed.cvv.map(Member::Text)),
        ("postal_code", keyed.postal_code.map(Member::Text)),
        ("description", payment_request.description.as_deref().map(Member::Text)),
        ("chargeAmount", charge_amount),
        ("amount", amount),
        ("token_type", token_type),
        ("expiry_month", keyed.expiry_month.map(Member::Text)),
        ("expiry_year", keyed.expiry_year.map(Member::Text)),
        ("currency_code", text(payment_request.currency.code())),
        ("parameters", parameters_if_any(payment_request)),
    ])
}

/// Charge and tokenization have the same members; an amount of 0 tokenizes.
fn signalwire_swml(payment_request: &PaymentRequest, keyed: &KeyedFields<'_>) -> Option<WipedBody> {
    let (amount, token_type) = match payment_request.operation {
        Operation::Charge(amount, currency) => (amount.text(currency), payment_request.token_type),
        Operation::Tokenize(token_type) => ("0".to_owned(), token_type),
    };
    let currency = payment_request.currency.code().to_ascii_lowercase();
    written(&[
        ("transaction_id", text(&payment_request.transaction_id)),
        ("method", text(CREDIT_CARD)),
        ("cardnumber", keyed.cardnumber.map(Member::Text)),
        ("cvv", keyed.cvv.map(Member::Text)),
        ("postal_code", keyed.postal_code.map(Member::Text)),
        ("description", payment_request.description.as_deref().map(Member::Text)),
        ("chargeAmount", text(&amount)),
        ("token_type", text(token_type.word())),
        ("expiry_month", keyed.expiry_month.map(Member::Text)),
        ("expiry_year", keyed.expiry_year.map(Member::Text)),
        ("currency_code", text(&currency)),
        ("parameters", parameters_if_any(payment_request)),
    ])
}

/// The value of a member of the body: borrowed, so that nothing secret is copied on the way.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Member<'a> {
    Text(&'a str),
    Number(&'a RawValue),
    Parameters(OrderedParameters<'a>),
}

fn text(text: &str) -> Option<Member<'_>> {
    Some(Member::Text(text))
}

fn parameters_if_any(payment_request: &PaymentRequest) -> Option<Member<'_>> {
    (!payment_request.parameters.is_empty())
        .then_some(Member::Parameters(OrderedParameters(&payment_request.parameters)))
}

/// The members that are there, in their order.
struct OrderedMembers<'a>(&'a [(&'static str, Option<Member<'a>>)]);

impl Serialize for OrderedMembers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let there = self.0.iter().filter_map(|(name, member)| member.map(|member| (name, member)));
        serializer.collect_map(there)
    }
}

/// Writes the members twice: once to learn how long they are, then into memory of that size, which never moves.
fn written(members: &[(&'static str, Option<Member<'_>>)]) -> Option<WipedBody> {
    let members = OrderedMembers(members);
    let mut length = Counter(0);
    serde_json::to_writer(&mut length, &members).ok()?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, &members).ok()?;
    debug_assert_eq!(bytes.len(), length.0);
    Some(WipedBody::new(bytes))
}

/// Counts what is written and keeps nothing.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `<Parameter>`s as an object, in their order. Of several with one name the last counts, in the first one's place: an
/// object with a name twice means something else to every reader.
#[derive(Clone, Copy)]
struct OrderedParameters<'a>(&'a [(String, String)]);

impl Serialize for OrderedParameters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (place, (name, _)) in self.0.iter().enumerate() {
            let first = !self.0.iter().take(place).any(|(earlier, _)| earlier == name);
            if first && let Some((_, last)) = self.0.iter().rev().find(|(other, _)| other == name) {
                map.serialize_entry(name, last)?;
            }
        }
        map.end()
    }
}
