//! What Stripe calls an error, as one of the five answers.
//!
//! Shape:   [`answer`], a pure function of status and error. The status and the code decide; the `type` is looked at only
//!          where it makes an outcome less certain.
//! Errors:  none; what is in no row is unknown where money may have moved, and refused where Stripe says it is our fault.
//! Secrets: Stripe's words are kept without any run of five digits; its code only where it is one of its words. For
//!          mistakes of our configuration the words are ours: Stripe quotes part of the key.
//! Sources: spec/connectors.md, section 4.5; Stripe, "Error codes" and "Decline codes".

use std::borrow::Cow;

use super::answer::StripeObject;
use crate::http::GatewayReply;
use crate::pay::gateway::{Answer, Denial, Operation};
use crate::pay::step::PayErrorCode;

#[cfg(test)]
mod tests;

/// The longest message, in characters; the rest is cut off.
const MESSAGE_CHARS_MAX: usize = 1024;
/// From how many digits on a run of them in Stripe's words is hidden.
const DIGITS_HIDDEN: usize = 5;

/// The code of a no whose reason nobody should be told, and of one without a reason.
const DECLINED: &str = "card_declined";

/// Reasons that Stripe asks not to tell the payer: an application may read `ConnectorError` out.
const UNTOLD: &[&str] = &["fraudulent", "lost_card", "merchant_blacklist", "pickup_card", "stolen_card"];

/// Codes that are about the card, whatever the status.
const CARD: &[&str] = &[
    "authentication_required",
    "card_declined",
    "card_decline_rate_limit_exceeded",
    "expired_card",
    "incorrect_address",
    "incorrect_cvc",
    "incorrect_number",
    "incorrect_zip",
    "insufficient_funds",
    "invalid_card_type",
    "invalid_cvc",
    "invalid_expiry_month",
    "invalid_expiry_year",
    "invalid_number",
    "payment_intent_authentication_failure",
    "postal_code_invalid",
    "processing_error",
];

/// Codes that are about the bank account, whatever the status.
const BANK: &[&str] = &[
    "account_closed",
    "account_number_invalid",
    "bank_account_bad_routing_numbers",
    "bank_account_declined",
    "bank_account_restricted",
    "bank_account_unusable",
    "bank_account_unverified",
    "debit_not_authorized",
    "no_account",
    "routing_number_invalid",
];

/// Reads an error reply.
///
/// | reply | answer |
/// |---|---|
/// | 429 | not sent: the request was not looked at (Stripe, "Rate limits") |
/// | 429 with a body that broke off or names an object | unknown |
/// | 5xx, 3xx, no error object (but 401) | unknown |
/// | 409, `api_error`, `idempotency_error`, an error about a payment that went through | unknown |
/// | 401, raw card data not enabled | refused, 64001 |
/// | 403, a revoked account | refused, 64009 |
/// | `amount_too_small`, `amount_too_large` and the like | refused, 64003 |
/// | a code of the card or the bank account; 402 | declined |
/// | the currency | refused, 64011 |
/// | another 4xx | refused, 64008 for a charge, 64010 for a token |
pub(super) fn answer(reply: &GatewayReply, body: Option<&StripeObject<'_>>, operation: Operation) -> Answer {
    let status = reply.status;
    let unknown = |what: &str| Answer::Unknown {
        reason: format!("HTTP status {status}, {what}"),
        retry_after: reply.retry_after,
    };
    let error = body.and_then(StripeObject::error);
    let error = error.as_ref();
    if status == 429 {
        if reply.body.is_none() || body.into_iter().chain(error).any(StripeObject::is_named) {
            return unknown("and the body does not say that nothing was done");
        }
        return Answer::NotSent { reason: "HTTP status 429".to_owned(), retry_after: reply.retry_after };
    }
    if status == 401 {
        return configuration("Stripe refuses the key (HTTP status 401)");
    }
    let Some(error) = error.filter(|_| (400..=499).contains(&status)) else {
        return unknown("which is no answer of Stripe's");
    };
    let (code, kind) = (error.code(), error.kind());
    let code = code.as_deref().unwrap_or_default();
    if matches!(kind.as_deref(), Some("api_error")) {
        return unknown("and Stripe is in trouble");
    }
    // The first request with this key may still be running (spec/connectors.md 4.1).
    if status == 409 || matches!(kind.as_deref(), Some("idempotency_error")) || code == "idempotency_key_in_use" {
        return unknown("another request with the same idempotency key");
    }
    // A decline would hide a charge that stands.
    if matches!(error.payment_status().as_deref(), Some("succeeded" | "processing" | "requires_capture")) {
        return unknown("about a payment that may have gone through");
    }
    let message = error.message().unwrap_or_default();
    // The code is what older accounts see (spec/connectors.md 4.1).
    if code == "validation_error" || message.starts_with("Sending credit card numbers directly to the Stripe API") {
        tracing::warn!(
            status,
            "Stripe account may not send card numbers; ask Stripe for access to its raw card data APIs with your PCI DSS \
             attestation: it is needed for test keys too"
        );
        return configuration("the Stripe account may not send card numbers: raw card data access is not enabled");
    }
    // The wording after a revocation is unconfirmed (spec/connectors.md 4.1), so that the status counts too.
    if status == 403 || code == "account_invalid" || message.contains("access may have been revoked") {
        let message = format!("Stripe no longer lets this key act for the account (HTTP status {status})");
        return Answer::Refused(PayErrorCode::AuthorizationWithdrawn, ours(code, &message));
    }
    let amount = matches!(code, "amount_too_large" | "amount_too_small" | "invalid_charge_amount");
    if matches!(operation, Operation::Charge(..)) && (amount || error.param().as_deref() == Some("amount")) {
        return Answer::Refused(PayErrorCode::InvalidChargeAmount, denial(code, error));
    }
    if status == 402 || CARD.contains(&code) || BANK.contains(&code) {
        return Answer::Declined(declined(error));
    }
    let refused = match operation {
        Operation::Charge(..) if error.param().as_deref() == Some("currency") => PayErrorCode::CurrencyUnsupported,
        Operation::Charge(..) => PayErrorCode::ChargeRejected,
        Operation::Tokenize(_) => PayErrorCode::TokenRejected,
    };
    Answer::Refused(refused, denial(code, error))
}

/// A no because of the card or the account: the most telling code that may be told.
pub(super) fn declined(error: &StripeObject<'_>) -> Denial {
    let (code, reason) = (error.code(), error.decline_code());
    let told = reason.as_deref().filter(|reason| *reason != "generic_decline").or(code.as_deref());
    match told.unwrap_or(DECLINED) {
        told if UNTOLD.contains(&told) => Denial {
            code: Some(DECLINED.to_owned()),
            message: Some("The card was declined.".to_owned()),
            parameters: error.references(),
        },
        told => denial(told, error),
    }
}

fn denial(code: &str, error: &StripeObject<'_>) -> Denial {
    Denial {
        code: (!code.is_empty()).then(|| without_digits(code)),
        message: error.message().filter(|text| !text.is_empty()).map(|text| without_digits(&text)),
        parameters: error.references(),
    }
}

fn ours(code: &str, message: &str) -> Denial {
    Denial {
        code: (!code.is_empty()).then(|| without_digits(code)),
        message: Some(message.to_owned()),
        parameters: Vec::new(),
    }
}

fn configuration(message: &str) -> Answer {
    Answer::Refused(PayErrorCode::Configuration, ours("", message))
}

/// The text, cut, with an `x` for every digit of a run of five or more; blanks and hyphens do not end a run.
fn without_digits(text: &str) -> String {
    let text: Cow<'_, str> = match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        None => Cow::Borrowed(text),
    };
    let mut shown = String::with_capacity(text.len());
    let mut run = String::new();
    let flush = |run: &mut String, shown: &mut String| {
        let hidden = run.chars().filter(char::is_ascii_digit).count() >= DIGITS_HIDDEN;
        shown.extend(run.drain(..).map(|c| if hidden && c.is_ascii_digit() { 'x' } else { c }));
    };
    for c in text.chars() {
        if c.is_ascii_digit() || (matches!(c, ' ' | '-') && !run.is_empty()) {
            run.push(c);
        } else {
            flush(&mut run, &mut shown);
            shown.push(c);
        }
    }
    flush(&mut run, &mut shown);
    shown
}
