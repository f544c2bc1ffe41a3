//! The bodies of the requests to Stripe: form fields with bracketed names.
//!
//! Shape:   one pure function a request. The same input gives the same bytes, so that a repeat is a repeat.
//! Units:   amounts in Stripe's unit (`currency`), the year with four digits.
//! Limits:  a description is cut, a parameter that metadata cannot hold is left out; see the constants.
//! Errors:  [`NoHolder`]: a bank account without its holder's name.
//! Secrets: card data goes from its secret type into wiped memory of exactly the right size, without a copy between.
//! Sources: Stripe's published OpenAPI description, against which `tests/stripe.rs` holds every body;
//!          spec/connectors.md, sections 4.2 to 4.4.

use std::borrow::Cow;

use form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::note::StripeNote;
use crate::http::WipedBody;
use crate::money::Currency;
use crate::pay::gateway::{BankAccount, BankAccountType, Card, PaymentRequest};
use crate::secret::Secret;

#[cfg(test)]
mod tests;

/// The name under which the transaction id stands in `metadata`: what a look-up finds a payment by.
pub(super) const PAY_SID: &str = "pay_sid";

/// The parameter that names the holder of a card or an account. It is no metadata.
const HOLDER: &str = "AVSName";
/// Stripe's limit for a description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 1000;
/// How many names Stripe keeps in `metadata`.
const METADATA_MAX: usize = 50;
/// The longest name of them, in characters.
const METADATA_NAME_CHARS_MAX: usize = 40;
/// The longest value, in characters.
const METADATA_VALUE_CHARS_MAX: usize = 500;

/// A bank account comes with its holder's name, in the parameter `AVSName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account holder's name is needed in <Parameter name=\"AVSName\">")]
pub(super) struct NoHolder;

/// Names and values in their order. A secret is only ever borrowed.
type StripeFields<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// `POST /v1/payment_methods` with a card.
pub(super) fn card_payment_method(payment_request: &PaymentRequest, card: &Card) -> WipedBody {
    let mut fields = vec![field("type", "card"), field("card[number]", card.number.expose())];
    fields.extend([owned("card[exp_month]", card.expiration.month()), owned("card[exp_year]", card.expiration.year())]);
    fields.extend(card.security_code.as_ref().map(|code| field("card[cvc]", code.expose())));
    fields.extend(card.postal_code.as_deref().map(|code| field("billing_details[address][postal_code]", code)));
    fields.extend(holder(payment_request).map(|name| field("billing_details[name]", name)));
    encoded(&fields)
}

/// `POST /v1/payment_methods` with a one-time token made earlier.
pub(super) fn token_payment_method(token: &Secret) -> WipedBody {
    encoded(&[field("type", "card"), field("card[token]", token.expose())])
}

/// `POST /v1/payment_methods` with a bank account.
pub(super) fn bank_payment_method(
    payment_request: &PaymentRequest,
    account: &BankAccount,
) -> Result<WipedBody, NoHolder> {
    let (holder_type, account_type) = account_types(account);
    Ok(encoded(&[
        field("type", "us_bank_account"),
        field("us_bank_account[account_number]", account.account_number.expose()),
        field("us_bank_account[routing_number]", &account.routing_number),
        field("us_bank_account[account_holder_type]", holder_type),
        field("us_bank_account[account_type]", account_type),
        field("billing_details[name]", holder(payment_request).ok_or(NoHolder)?),
    ]))
}

/// `POST /v1/tokens` with a card.
pub(super) fn card_token(payment_request: &PaymentRequest, card: &Card) -> WipedBody {
    let mut fields = vec![field("card[number]", card.number.expose())];
    fields.extend([owned("card[exp_month]", card.expiration.month()), owned("card[exp_year]", card.expiration.year())]);
    fields.extend(card.security_code.as_ref().map(|code| field("card[cvc]", code.expose())));
    fields.extend(card.postal_code.as_deref().map(|code| field("card[address_zip]", code)));
    fields.extend(holder(payment_request).map(|name| field("card[name]", name)));
    encoded(&fields)
}

/// `POST /v1/tokens` with a bank account.
pub(super) fn bank_token(payment_request: &PaymentRequest, account: &BankAccount) -> Result<WipedBody, NoHolder> {
    let (holder_type, account_type) = account_types(account);
    Ok(encoded(&[
        field("bank_account[country]", "US"),
        owned("bank_account[currency]", lower(payment_request.currency)),
        field("bank_account[account_number]", account.account_number.expose()),
        field("bank_account[routing_number]", &account.routing_number),
        field("bank_account[account_holder_name]", holder(payment_request).ok_or(NoHolder)?),
        field("bank_account[account_holder_type]", holder_type),
        field("bank_account[account_type]", account_type),
    ]))
}

/// `POST /v1/payment_intents`: the one request that moves money. It holds no card data.
pub(super) fn payment_intent(
    payment_request: &PaymentRequest,
    note: &StripeNote,
    amount: u64,
    currency: Currency,
    moto: bool,
) -> WipedBody {
    let mut fields = vec![
        owned("amount", amount),
        owned("currency", lower(currency)),
        field("payment_method", &note.id),
        field("payment_method_types[]", "card"),
        field("confirm", "true"),
    ];
    fields.extend(note.customer.as_deref().map(|customer| field("customer", customer)));
    // A setting, as it is unconfirmed whether every account may (spec/connectors.md 4.2).
    if moto {
        fields.push(field("payment_method_options[card][moto]", "true"));
    }
    fields.extend(
        payment_request
            .description
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(|text| field("description", cut(text, DESCRIPTION_CHARS_MAX))),
    );
    fields.extend(metadata(payment_request));
    // The checks of security code and postal code are in the charge.
    fields.push(field("expand[]", "latest_charge"));
    encoded(&fields)
}

/// `POST /v1/customers`: keeps what the note names for later payments.
pub(super) fn customer(payment_request: &PaymentRequest, note: &StripeNote) -> WipedBody {
    let name = if note.id.starts_with("pm_") { "payment_method" } else { "source" };
    let mut fields = vec![field(name, &note.id)];
    let description = payment_request.description.as_deref().filter(|text| !text.is_empty());
    fields.extend(description.map(|text| field("description", cut(text, DESCRIPTION_CHARS_MAX))));
    fields.extend(holder(payment_request).map(|name| field("name", name)));
    fields.extend(metadata(payment_request));
    encoded(&fields)
}

/// A request without fields.
pub(super) fn nothing() -> WipedBody {
    encoded(&[])
}

/// The transaction id and the verb's parameters. Of several with one name the last counts.
fn metadata(payment_request: &PaymentRequest) -> StripeFields<'_> {
    let mut fields: StripeFields<'_> =
        vec![(Cow::Owned(format!("metadata[{PAY_SID}]")), Cow::Borrowed(&payment_request.transaction_id))];
    let mut left_out = 0_usize;
    for (place, (name, value)) in payment_request.parameters.iter().enumerate() {
        let again = payment_request.parameters.iter().skip(place.saturating_add(1)).any(|(other, _)| other == name);
        if name == HOLDER || name == PAY_SID || again || value.is_empty() {
            continue;
        }
        let fits = (1..=METADATA_NAME_CHARS_MAX).contains(&name.chars().count())
            && !name.contains(['[', ']'])
            && value.chars().count() <= METADATA_VALUE_CHARS_MAX
            && fields.len() < METADATA_MAX;
        if fits {
            fields.push((Cow::Owned(format!("metadata[{name}]")), Cow::Borrowed(value)));
        } else {
            left_out = left_out.saturating_add(1);
        }
    }
    if left_out > 0 {
        tracing::warn!(
            payment = payment_request.transaction_id,
            left_out,
            "leaving out parameters that are too long or too many for Stripe's metadata"
        );
    }
    fields
}

/// The holder's name, if the document gives it.
fn holder(payment_request: &PaymentRequest) -> Option<&str> {
    let given = payment_request.parameters.iter().rev().find(|(name, _)| name == HOLDER);
    given.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// Stripe's words for whose account it is and of what kind.
const fn account_types(account: &BankAccount) -> (&'static str, &'static str) {
    match account.account_type {
        BankAccountType::ConsumerChecking => ("individual", "checking"),
        BankAccountType::ConsumerSavings => ("individual", "savings"),
        BankAccountType::CommercialChecking => ("company", "checking"),
        BankAccountType::CommercialSavings => ("company", "savings"),
    }
}

fn field<'a>(name: &'static str, value: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
    (Cow::Borrowed(name), Cow::Borrowed(value))
}

/// A value that is no secret.
fn owned(name: &'static str, value: impl ToString) -> (Cow<'static, str>, Cow<'static, str>) {
    (Cow::Borrowed(name), Cow::Owned(value.to_string()))
}

fn lower(currency: Currency) -> String {
    currency.code().to_ascii_lowercase()
}

fn cut(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Encodes the fields twice: once to learn how long they are, then into memory of that size, which never moves.
fn encoded(fields: &[(Cow<'_, str>, Cow<'_, str>)]) -> WipedBody {
    let mut length = 0_usize;
    pieces(fields, |piece| length = length.saturating_add(piece.len()));
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    pieces(fields, |piece| bytes.extend_from_slice(piece.as_bytes()));
    debug_assert_eq!(bytes.len(), length);
    WipedBody::new(bytes)
}

/// The encoded form piece by piece: each is a part of a field or of a table, never a copy.
fn pieces(fields: &[(Cow<'_, str>, Cow<'_, str>)], mut take: impl FnMut(&str)) {
    for (place, (name, value)) in fields.iter().enumerate() {
        if place > 0 {
            take("&");
        }
        byte_serialize(name.as_bytes()).for_each(&mut take);
        take("=");
        byte_serialize(value.as_bytes()).for_each(&mut take);
    }
}
