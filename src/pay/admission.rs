//! Whether a connector can do what a `<Pay>` asks of it: decided before the caller keys a digit.
//!
//! Shape:   one pure function. Which numbers pass is [`super::test_numbers`]' to say.
//! Sources: spec/connectors.md, sections 19.1 and 19.5; spec/pay.md, section 10.

use super::gateway::{Capabilities, Operation, PaymentMethod};
use super::settings::Settings;
use super::step::PayErrorCode;
use crate::mask::refused;

/// Checks a verb against its connector.
///
/// # Errors
/// The code, and a sentence for `PaymentError`.
pub fn admit(settings: &Settings, can: &Capabilities) -> Result<(), (PayErrorCode, String)> {
    let connector = refused(&settings.connector);
    let method = settings.payment_method;
    let refuse = |code, what: String| Err((code, format!("the connector {connector} {what}")));
    if can.withdrawn {
        let what = "is no longer authorized: its gateway has withdrawn its access";
        return refuse(PayErrorCode::AuthorizationWithdrawn, what.to_owned());
    }
    let (charges, token_types) = match (&settings.payment_token, method) {
        // A token that was made earlier pays by itself, whatever `paymentMethod` says (spec/pay.md 1).
        (Some(_), _) => (can.charge_token, &can.tokenize_card),
        (None, PaymentMethod::CreditCard) => (can.charge_card, &can.tokenize_card),
        (None, PaymentMethod::AchDebit) => (can.charge_bank, &can.tokenize_bank),
    };
    // 64005 and 64007 would say that the connector can tokenize or charge nothing at all; here only this way to pay is missing.
    if !charges && token_types.is_empty() {
        return refuse(PayErrorCode::MethodUnsupported, format!("does not take {method}"));
    }
    let debit = settings.payment_token.is_none() && method == PaymentMethod::AchDebit;
    match settings.operation {
        // It may tokenize bank accounts; what is refused is the way to pay.
        Operation::Charge(..) if !charges && debit && can.charge_card => {
            return refuse(PayErrorCode::MethodUnsupported, format!("does not charge by {method}"));
        }
        Operation::Charge(..) if !charges => {
            return refuse(PayErrorCode::ChargeUnsupported, "cannot charge".to_owned());
        }
        Operation::Tokenize(_) if token_types.is_empty() => {
            return refuse(PayErrorCode::TokenizeUnsupported, "cannot tokenize".to_owned());
        }
        Operation::Tokenize(token_type) if !token_types.contains(&token_type) => {
            return refuse(PayErrorCode::TokenTypeUnsupported, format!("cannot make tokens of type {token_type}"));
        }
        Operation::Charge(..) | Operation::Tokenize(_) => {}
    }
    // Also where nothing is charged: SignalWire, and Stripe for a bank account, are told the currency of a token too.
    if can.currencies.as_ref().is_some_and(|currencies| !currencies.contains(&settings.currency)) {
        return refuse(PayErrorCode::CurrencyUnsupported, format!("does not take {}", settings.currency.code()));
    }
    let given = |name: &str| settings.parameters.iter().any(|(known, value)| known == name && !value.is_empty());
    if method == PaymentMethod::AchDebit && can.bank_needs_holder_name && !given("AVSName") {
        return refuse(
            PayErrorCode::AvsNameNeeded,
            "needs the account holder's name in <Parameter name=\"AVSName\">".to_owned(),
        );
    }
    if let Some(name) = can.needed_parameters.iter().find(|name| !given(name)) {
        return refuse(PayErrorCode::ParameterMissing, format!("needs <Parameter name=\"{name}\">"));
    }
    Ok(())
}
