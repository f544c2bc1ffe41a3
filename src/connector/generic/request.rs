//! The request body of the generic contract.
//!
//! Shape:   [`twilio`], a pure function from attempt and instrument to bytes. The same input gives the same bytes, so that
//!          a repeat is a repeat.
//! Secrets: card data goes from its secret type into wiped memory of exactly the right size, without a copy between.
//! Sources: Twilio, "Generic Pay Connector", the examples of requests; spec/connectors.md, section 3.1.

use std::io::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::http::Body;
use crate::pay::gateway::{Attempt, Instrument, Operation};

/// The fields in the order of Twilio's example; what is absent is left out.
#[derive(Serialize)]
struct Fields<'a> {
    method: &'static str,
    transaction_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cardnumber: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cvv: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bankaccountnumber: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routingnumber: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_month: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_year: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    parameters: Parameters<'a>,
}

/// The request in Twilio's contract; `None` for a token made earlier, which the contract has no field for.
#[must_use]
pub fn twilio(attempt: &Attempt, instrument: &Instrument) -> Option<Body> {
    let (method, amount, currency_code) = match attempt.operation {
        Operation::Charge(amount, currency) => ("charge", Some(amount.text(currency)), Some(currency.code())),
        Operation::Tokenize(_) => ("tokenize", None, None),
    };
    let mut fields = Fields {
        method,
        transaction_id: &attempt.transaction_id,
        cardnumber: None,
        cvv: None,
        bankaccountnumber: None,
        routingnumber: None,
        amount: amount.as_deref(),
        currency_code,
        expiry_month: None,
        expiry_year: None,
        description: attempt.description.as_deref(),
        postal_code: None,
        parameters: Parameters(&attempt.parameters),
    };
    match instrument {
        Instrument::Card(card) => {
            let month = format!("{:02}", card.expiration.month());
            let year = format!("{:02}", card.expiration.year().rem_euclid(100));
            fields.cardnumber = Some(card.number.expose());
            fields.cvv = card.security_code.as_ref().map(|code| code.expose());
            fields.expiry_month = Some(&month);
            fields.expiry_year = Some(&year);
            fields.postal_code = card.postal_code.as_deref();
            written(&fields)
        }
        Instrument::BankAccount(account) => {
            fields.bankaccountnumber = Some(account.account_number.expose());
            fields.routingnumber = Some(&account.routing_number);
            written(&fields)
        }
        Instrument::Token(_) => None,
    }
}

/// Writes the fields twice: once to learn how long they are, then into memory of that size, which never moves.
fn written(fields: &Fields<'_>) -> Option<Body> {
    let mut length = Counter(0);
    serde_json::to_writer(&mut length, fields).ok()?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, fields).ok()?;
    debug_assert_eq!(bytes.len(), length.0);
    Some(Body::new(bytes))
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
struct Parameters<'a>(&'a [(String, String)]);

impl Parameters<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Parameters<'_> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::generic::samples::{account, card, charge, tokenize};
    use crate::money::{Amount, Currency};
    use crate::secret::Secret;

    fn text(attempt: &Attempt, instrument: &Instrument) -> String {
        String::from_utf8(twilio(attempt, instrument).unwrap().as_ref().to_vec()).unwrap()
    }

    #[test]
    fn a_card_charge_is_written_as_in_twilio_s_example() {
        let mut attempt = charge();
        attempt.description = Some("pizza".into());
        attempt.parameters = vec![("k".into(), "v".into()), ("a".into(), "\"ü\n".into())];
        assert_eq!(
            text(&attempt, &card(Some("123"), Some("94111"))),
            concat!(
                r#"{"method":"charge","transaction_id":"PK0123456789abcdef0123456789abcdef","#,
                r#""cardnumber":"4111111111111111","cvv":"123","amount":"20.50","currency_code":"USD","#,
                r#""expiry_month":"08","expiry_year":"27","description":"pizza","postal_code":"94111","#,
                r#""parameters":{"k":"v","a":"\"ü\n"}}"#
            )
        );
    }

    #[test]
    fn what_was_not_asked_for_is_left_out() {
        assert_eq!(
            text(&tokenize(), &card(None, None)),
            concat!(
                r#"{"method":"tokenize","transaction_id":"PK0123456789abcdef0123456789abcdef","#,
                r#""cardnumber":"4111111111111111","expiry_month":"08","expiry_year":"27"}"#
            )
        );
    }

    #[test]
    fn a_bank_account_has_its_two_numbers_and_no_card_field() {
        assert_eq!(
            text(&charge(), &account()),
            concat!(
                r#"{"method":"charge","transaction_id":"PK0123456789abcdef0123456789abcdef","#,
                r#""bankaccountnumber":"000123456789","routingnumber":"110000000","amount":"20.50","currency_code":"USD"}"#
            )
        );
        assert_eq!(
            text(&tokenize(), &account()),
            concat!(
                r#"{"method":"tokenize","transaction_id":"PK0123456789abcdef0123456789abcdef","#,
                r#""bankaccountnumber":"000123456789","routingnumber":"110000000"}"#
            )
        );
    }

    #[test]
    fn an_amount_has_its_currency_s_decimals() {
        for (amount, code, shown) in [("500", "jpy", "500"), ("1.5", "kwd", "1.500"), ("7", "eur", "7.00")] {
            let currency: Currency = code.parse().unwrap();
            let mut attempt = charge();
            attempt.operation = Operation::Charge(Amount::parse(amount, currency).unwrap(), currency);
            let expected = format!(r#""amount":"{shown}","currency_code":"{}""#, currency.code());
            assert!(text(&attempt, &account()).contains(&expected), "{code}");
        }
    }

    #[test]
    fn a_parameter_given_twice_stands_once_with_its_last_value() {
        let mut attempt = tokenize();
        attempt.parameters = [("a", "1"), ("b", "2"), ("a", "3")].map(|(k, v)| (k.into(), v.into())).into();
        assert!(text(&attempt, &account()).ends_with(r#""parameters":{"a":"3","b":"2"}}"#));
    }

    #[test]
    fn the_body_fits_its_memory_exactly() {
        let mut attempt = charge();
        attempt.description = Some("\u{1}\"\\".repeat(500));
        let body = twilio(&attempt, &card(Some("123"), None)).unwrap();
        let (length, capacity) = body.room();
        assert_eq!(length, capacity);
    }

    #[test]
    fn a_token_made_earlier_has_no_place_in_this_contract() {
        assert!(twilio(&charge(), &Instrument::Token(Secret::new("tok_1".into()))).is_none());
    }
}
