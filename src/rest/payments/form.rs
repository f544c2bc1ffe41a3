//! The forms of payments: which parameters there are. The call's machine reads and judges what they say, so that each is
//! described as what it may be and passed on as it came.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::pay::assisted::Capture;
use crate::pay::gateway::{BankAccountType, PaymentMethod, TokenType};
use crate::rest::words::one_of;

/// The form that starts a payment.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = CreatePayments)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(in crate::rest) struct CreateForm {
    /// Names this request: sent again with the same parameters, it gets the first answer again.
    #[schema(value_type = String, required, min_length = 1)]
    idempotency_key: Option<String>,
    /// Where the progress is told: absolute, https (http where the configuration allows it).
    #[schema(value_type = String, required, format = "uri", examples("https://example.com/status"))]
    status_callback: Option<String>,
    /// The kind of bank account, for `ach-debit`.
    #[schema(value_type = Option<BankAccountType>, nullable = false, inline)]
    bank_account_type: Option<String>,
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
    #[schema(value_type = Option<Input>, nullable = false, inline)]
    input: Option<String>,
    /// The least number of characters of a postal code; 0 is as good as none.
    #[schema(value_type = Option<u8>, nullable = false, minimum = 0, maximum = 10)]
    min_postal_code_length: Option<String>,
    /// More for the gateway: a JSON object of one level.
    #[schema(nullable = false)]
    parameter: Option<String>,
    /// The connector's name; `Default` if it is not given.
    #[schema(nullable = false)]
    payment_connector: Option<String>,
    /// `credit-card` if it is not given.
    #[schema(value_type = Option<PaymentMethod>, nullable = false, inline)]
    payment_method: Option<String>,
    /// `true`: asked for; `false`: not; else the postal code itself.
    #[schema(nullable = false)]
    postal_code: Option<String>,
    /// Whether the security code is asked for.
    #[schema(value_type = Option<bool>, nullable = false)]
    security_code: Option<String>,
    /// How long a field waits for the next key, in seconds.
    #[schema(value_type = Option<u16>, nullable = false, minimum = 1, maximum = 600)]
    timeout: Option<String>,
    /// `reusable` if it is not given.
    #[schema(value_type = Option<TokenType>, nullable = false, inline)]
    token_type: Option<String>,
    /// Card brands, with blanks between them; `visa mastercard amex` if it is not given.
    #[schema(nullable = false, examples("visa mastercard"))]
    valid_card_types: Option<String>,
    /// Fields that are keyed twice, with commas between them.
    #[schema(nullable = false, examples("payment-card-number,security-code"))]
    require_matching_inputs: Option<String>,
    /// Whether the caller confirms before the gateway is asked.
    #[schema(value_type = Option<bool>, nullable = false)]
    confirmation: Option<String>,
}

/// The form that leads a payment: one of `Capture` and `Status`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = UpdatePayments)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(in crate::rest) struct UpdateForm {
    /// Names this request: sent again with the same parameters, it gets the first answer again.
    #[schema(value_type = String, required, min_length = 1)]
    idempotency_key: Option<String>,
    /// Where the progress is told from now on.
    #[schema(value_type = String, required, format = "uri", examples("https://example.com/status"))]
    status_callback: Option<String>,
    /// Have this field keyed.
    #[schema(value_type = Option<Capture>, nullable = false, inline)]
    capture: Option<String>,
    /// Ask the gateway, or end the payment.
    #[schema(value_type = Option<Status>, nullable = false, inline)]
    status: Option<String>,
}

/// How the caller enters.
struct Input;

impl utoipa::PartialSchema for Input {
    fn schema() -> RefOr<Schema> {
        one_of(["dtmf"]).into()
    }
}

impl ToSchema for Input {}

/// What a payment is led to.
struct Status;

impl utoipa::PartialSchema for Status {
    fn schema() -> RefOr<Schema> {
        one_of(["complete", "cancel"]).into()
    }
}

impl ToSchema for Status {}

/// The parameters of a form that are there.
pub(super) fn told(form: &impl Serialize) -> Vec<(String, String)> {
    // Each is a text, or none.
    let Ok(Value::Object(members)) = serde_json::to_value(form) else { return Vec::new() };
    let told = members.into_iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some((name, text)),
        _ => None,
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::PartialSchema;

    use super::*;
    use crate::form::Form;
    use crate::pay::assisted::AgentRequest;
    use crate::pay::settings::POSTAL_DIGITS_MAX;
    use crate::pay::settings::request::Requested;
    use crate::rest::fields::Fields;

    fn described<T: PartialSchema>() -> BTreeSet<String> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn every_parameter_of_the_machine_is_described_and_passed_on() {
        let described = described::<CreateForm>();
        for name in &described {
            let fields = Fields::of(&format!("{name}=x"));
            let form: CreateForm = fields.read_as(&[]).unwrap();
            assert_eq!(told(&form), [(name.clone(), "x".to_owned())]);
            let mut form = Form::new();
            form.set(name.clone(), "x");
            let Requested { reading, .. } = Requested::read(&form);
            assert!(!reading.refusals.iter().any(|refused| refused.message.contains("no parameter")), "{name}");
        }
        let form = serde_json::to_value(CreateForm::schema()).unwrap();
        assert_eq!(form["properties"]["MinPostalCodeLength"]["maximum"], POSTAL_DIGITS_MAX);
    }

    #[test]
    fn every_described_word_is_taken() {
        let schema = serde_json::to_value(CreateForm::schema()).unwrap();
        let mut judged = 0;
        for (name, property) in schema["properties"].as_object().unwrap() {
            for word in property["allOf"][0]["enum"].as_array().into_iter().flatten() {
                let mut form = Form::new();
                form.set(name.clone(), word.as_str().unwrap());
                let refusals = Requested::read(&form).reading.refusals;
                assert!(
                    !refusals.iter().any(|refused| refused.message.contains("is not allowed")),
                    "{name}: {refusals:?}"
                );
                judged += 1;
            }
        }
        assert_eq!(judged, BankAccountType::ALL.len() + PaymentMethod::ALL.len() + TokenType::ALL.len() + 1);
        let schema = serde_json::to_value(UpdateForm::schema()).unwrap();
        for name in ["Capture", "Status"] {
            for word in schema["properties"][name]["allOf"][0]["enum"].as_array().unwrap() {
                let mut form = Form::new();
                form.set(name, word.as_str().unwrap());
                assert!(AgentRequest::read(&form).is_ok(), "{name}: {word}");
            }
        }
    }
}
