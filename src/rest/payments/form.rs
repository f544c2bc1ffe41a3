//! The forms of payments, for the description only: the call's machine reads and judges them.

use serde::Serialize;
use utoipa::ToSchema;

/// The form that starts a payment.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatePayments)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(in crate::rest) struct CreateForm {
    /// Names this request: sent again with the same parameters, it gets the first answer again.
    #[schema(min_length = 1)]
    idempotency_key: String,
    /// Where the progress is told: absolute, https (http where the configuration allows it).
    #[schema(format = "uri", examples("https://example.com/status"))]
    status_callback: String,
    /// The kind of bank account, for `ach-debit`.
    #[schema(nullable = false, inline)]
    bank_account_type: Option<BankAccountType>,
    /// How much is charged: at most 1000000, with no more decimals than the currency has; 0 or none makes a token.
    #[schema(nullable = false, pattern = r"^[0-9]{1,7}(\.[0-9]{1,4})?$")]
    charge_amount: Option<String>,
    /// ISO 4217; `usd` if it is not given.
    #[schema(nullable = false, pattern = "^[A-Za-z]{3}$")]
    currency: Option<String>,
    /// Told to the gateway.
    #[schema(nullable = false)]
    description: Option<String>,
    /// How the caller enters: keys.
    #[schema(nullable = false, inline)]
    input: Option<Input>,
    /// The least number of characters of a postal code.
    #[schema(nullable = false, minimum = 1, maximum = 10)]
    min_postal_code_length: Option<u8>,
    /// More for the gateway: a JSON object of one level.
    #[schema(nullable = false)]
    parameter: Option<String>,
    /// The connector's name; `Default` if it is not given.
    #[schema(nullable = false)]
    payment_connector: Option<String>,
    /// `credit-card` if it is not given.
    #[schema(nullable = false, inline)]
    payment_method: Option<PaymentMethod>,
    /// `true`: asked for; `false`: not; else the postal code itself.
    #[schema(nullable = false)]
    postal_code: Option<String>,
    /// Whether the security code is asked for.
    #[schema(nullable = false)]
    security_code: Option<bool>,
    /// How long a field waits for the next key, in seconds.
    #[schema(nullable = false, minimum = 1, maximum = 600)]
    timeout: Option<u16>,
    /// `reusable` if it is not given.
    #[schema(nullable = false, inline)]
    token_type: Option<TokenType>,
    /// Card brands, with blanks between them; `visa mastercard amex` if it is not given.
    #[schema(nullable = false, examples("visa mastercard"))]
    valid_card_types: Option<String>,
    /// Fields that are keyed twice, with commas between them.
    #[schema(nullable = false, examples("payment-card-number,security-code"))]
    require_matching_inputs: Option<String>,
    /// Whether the caller confirms before the gateway is asked.
    #[schema(nullable = false)]
    confirmation: Option<bool>,
}

/// The form that leads a payment: one of `Capture` and `Status`.
#[derive(Serialize, ToSchema)]
#[schema(as = UpdatePayments)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(in crate::rest) struct UpdateForm {
    /// Names this request: sent again with the same parameters, it gets the first answer again.
    #[schema(min_length = 1)]
    idempotency_key: String,
    /// Where the progress is told from now on.
    #[schema(format = "uri", examples("https://example.com/status"))]
    status_callback: String,
    /// Have this field keyed.
    #[schema(nullable = false, inline)]
    capture: Option<Captured>,
    /// Ask the gateway, or end the payment.
    #[schema(nullable = false, inline)]
    status: Option<Status>,
}

impl CreateForm {
    /// The parameters there are.
    pub(super) const NAMES: &[&str] = &[
        "IdempotencyKey",
        "StatusCallback",
        "BankAccountType",
        "ChargeAmount",
        "Currency",
        "Description",
        "Input",
        "MinPostalCodeLength",
        "Parameter",
        "PaymentConnector",
        "PaymentMethod",
        "PostalCode",
        "SecurityCode",
        "Timeout",
        "TokenType",
        "ValidCardTypes",
        "RequireMatchingInputs",
        "Confirmation",
    ];
}

impl UpdateForm {
    /// The parameters there are.
    pub(super) const NAMES: &[&str] = &["IdempotencyKey", "StatusCallback", "Capture", "Status"];
}

/// Words of a parameter.
macro_rules! words {
    ($($name:ident: $($word:ident)+;)*) => {$(
        #[derive(Serialize, ToSchema)]
        #[serde(rename_all = "kebab-case")]
        #[allow(dead_code, reason = "read by the description only")]
        enum $name { $($word,)+ }
    )*};
}

words! {
    BankAccountType: ConsumerChecking ConsumerSavings CommercialChecking;
    Input: Dtmf;
    PaymentMethod: CreditCard AchDebit;
    TokenType: OneTime Reusable PaymentMethod;
    Captured: PaymentCardNumber ExpirationDate SecurityCode PostalCode BankRoutingNumber BankAccountNumber
        PaymentCardNumberMatcher ExpirationDateMatcher SecurityCodeMatcher PostalCodeMatcher;
    Status: Complete Cancel;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::PartialSchema;

    use super::*;
    use crate::pay::settings::POSTAL_DIGITS_MAX;

    fn described<T: PartialSchema>() -> BTreeSet<String> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn every_parameter_that_is_taken_is_described_and_no_other() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(described::<CreateForm>(), names(CreateForm::NAMES));
        assert_eq!(described::<UpdateForm>(), names(UpdateForm::NAMES));
        let form = serde_json::to_value(CreateForm::schema()).unwrap();
        assert_eq!(form["properties"]["MinPostalCodeLength"]["maximum"], POSTAL_DIGITS_MAX);
    }
}
