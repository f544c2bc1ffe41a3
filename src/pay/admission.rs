//! Whether a connector can do what a `<Pay>` asks of it: decided before the caller keys a digit.
//!
//! Shape:   one pure function, and the list of numbers that test mode lets through.
//! Sources: spec/connectors.md, sections 19.1 and 19.5; spec/pay.md, section 10.

use super::gateway::{Capabilities, Instrument, Operation, PaymentMethod};
use super::settings::Settings;
use super::step::PayErrorCode;

/// The card numbers that a connector in test mode lets through (Twilio's page prints the Diners Club one as 3065...,
/// which fails its own check digit).
const TEST_CARDS: &[&str] = &[
    "4111111111111111",
    "5555555555554444",
    "378282246310005",
    "6011111111111117",
    "3056930009020004",
    "3566002020360505",
    "6200000000000005",
    "6771798021000008",
];

/// The account numbers that a connector in test mode lets through.
const TEST_ACCOUNTS: &[&str] = &["12345678", "123456789"];

/// Checks a verb against its connector.
///
/// # Errors
/// The code, and a sentence for `PaymentError`.
pub fn admit(settings: &Settings, can: &Capabilities) -> Result<(), (PayErrorCode, String)> {
    let connector = &settings.connector;
    let method = settings.payment_method;
    let refuse = |code, what: String| Err((code, format!("the connector {connector} {what}")));
    if can.withdrawn {
        let what = "is no longer authorized: its gateway has withdrawn its access";
        return refuse(PayErrorCode::AuthorizationWithdrawn, what.to_owned());
    }
    let (charges, token_types) = match (&settings.payment_token, method) {
        (Some(_), _) => (can.charge_token, &can.tokenize_card),
        (None, PaymentMethod::CreditCard) => (can.charge_card, &can.tokenize_card),
        (None, PaymentMethod::AchDebit) => (can.charge_bank, &can.tokenize_bank),
    };
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

/// Whether test mode lets this card number through.
#[must_use]
pub fn is_test_card(number: &str) -> bool {
    TEST_CARDS.contains(&number)
}

/// Whether test mode lets this account number through.
#[must_use]
pub fn is_test_account(number: &str) -> bool {
    TEST_ACCOUNTS.contains(&number)
}

/// Whether test mode lets this instrument through.
#[must_use]
pub fn is_test_instrument(instrument: &Instrument) -> bool {
    match instrument {
        Instrument::Card(card) => is_test_card(card.number.expose()),
        Instrument::BankAccount(account) => is_test_account(account.account_number.expose()),
        // Made by the gateway itself: test credentials make and take test tokens only.
        Instrument::Token(_) => true,
    }
}
