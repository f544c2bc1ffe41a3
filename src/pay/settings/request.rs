//! The parameters of a REST request that starts an agent-assisted session: the verb's attributes under their REST names.

use super::reader::{SettingsReader, Wording};
use super::{Reading, Refusal, Settings};
use crate::form::{Form, Value};
use crate::mask::refused;
use crate::pay::field::Field;
use crate::pay::gateway::PaymentMethod;
use crate::pay::platform::Platform;
use crate::pay::step::PayErrorCode;
use crate::twiml::{Attribute, Pay, Position};

/// Where a request's parameters stand: they have no place in a document.
const NOWHERE: Position = Position { line: 1, column: 1 };

/// REST parameters and the attributes they are (Twilio, "Payments subresource").
const PARAMETERS: &[(&str, &str)] = &[
    ("BankAccountType", "bankAccountType"),
    ("ChargeAmount", "chargeAmount"),
    ("Currency", "currency"),
    ("Description", "description"),
    ("Input", "input"),
    ("MinPostalCodeLength", "minPostalCodeLength"),
    ("Parameter", "parameters"),
    ("PaymentConnector", "paymentConnector"),
    ("PaymentMethod", "paymentMethod"),
    ("PostalCode", "postalCode"),
    ("SecurityCode", "securityCode"),
    ("Timeout", "timeout"),
    ("TokenType", "tokenType"),
    ("ValidCardTypes", "validCardTypes"),
    ("Confirmation", "confirmation"),
];

/// Parameters that are no attributes: who asks, where the progress is told, and what is asked twice.
const OTHERS: &[&str] = &["IdempotencyKey", "StatusCallback", "RequireMatchingInputs"];

/// What a request asks for.
#[derive(Clone, Debug)]
pub struct Requested {
    /// The settings, and what was wrong with them.
    pub reading: Reading,
    /// The fields that are keyed a second time.
    pub matched: Vec<Field>,
}

impl Requested {
    /// Reads a request's parameters. One that nobody knows is passed over with a warning, a misspelt one refused.
    #[must_use]
    pub fn read(form: &Form) -> Self {
        let mut verb = Pay::default();
        let mut unknown = Vec::new();
        for (name, value) in form.iter().filter(|(name, _)| !OTHERS.contains(name)) {
            match PARAMETERS.iter().find(|(parameter, _)| *parameter == name) {
                Some((_, attribute)) => verb.attributes.push(Attribute {
                    position: NOWHERE,
                    name: (*attribute).to_owned(),
                    value: value.expose().to_owned(),
                }),
                None => unknown.push(name),
            }
        }
        // Those that are no attributes can be misspelt as well.
        let known: Vec<&str> =
            PARAMETERS.iter().map(|(parameter, _)| *parameter).chain(OTHERS.iter().copied()).collect();
        let mut reader = SettingsReader::new(&verb, NOWHERE, Wording::Request);
        // Twilio's API, whatever carries the call.
        let settings = reader.settings(Platform::Twilio.rules());
        for name in unknown {
            let message = format!("Payments has no parameter {}", refused(name));
            reader.name_unknown(NOWHERE, name, message, &known);
        }
        let mut reading = reader.reading(settings);
        let matched = matched(form, &reading.settings).unwrap_or_else(|message| {
            reading.refusals.push(Refusal::new(NOWHERE, message, PayErrorCode::InvalidParameter));
            Vec::new()
        });
        Self { reading, matched }
    }
}

/// The fields of `RequireMatchingInputs`: a list with commas, of card fields only.
fn matched(form: &Form, settings: &Settings) -> Result<Vec<Field>, String> {
    let Some(list) = form.value("RequireMatchingInputs").map(Value::expose) else { return Ok(Vec::new()) };
    let asked = settings.fields();
    let shown = refused(list);
    list.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| {
            let field = Field::parse(word).filter(|field| field.has_matcher()).ok_or_else(|| {
                format!(
                    "RequireMatchingInputs=\"{shown}\" is not allowed: it is a list, separated by commas, of \
                     payment-card-number, expiration-date, security-code and postal-code"
                )
            })?;
            if asked.contains(&field) {
                Ok(field)
            } else {
                let method = match settings.payment_method {
                    PaymentMethod::CreditCard => "is not asked for in this session",
                    PaymentMethod::AchDebit => "is no field of a bank account",
                };
                Err(format!("RequireMatchingInputs=\"{shown}\" is not allowed: {word} {method}"))
            }
        })
        .collect()
}
