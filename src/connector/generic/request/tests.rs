use super::*;
use crate::connector::generic::samples::{account, card, charge, tokenize};
use crate::money::{Amount, Currency};
use crate::pay::gateway::TokenType;
use crate::secret::Secret;

fn text(dialect: ContractVariant, payment_request: &PaymentRequest, instrument: &Instrument) -> String {
    String::from_utf8(write(dialect, payment_request, instrument).unwrap().as_ref().to_vec()).unwrap()
}

fn twilio(payment_request: &PaymentRequest, instrument: &Instrument) -> String {
    text(ContractVariant::Twilio, payment_request, instrument)
}

/// With a description and parameters, one of which needs escapes.
fn full(mut payment_request: PaymentRequest) -> PaymentRequest {
    payment_request.description = Some("pizza".into());
    payment_request.parameters = vec![("k".into(), "v".into()), ("a".into(), "\"ü\n".into())];
    payment_request
}

#[test]
fn a_card_charge_is_written_as_in_twilio_s_example() {
    assert_eq!(
        twilio(&full(charge()), &card(Some("123"), Some("94111"))),
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
        twilio(&tokenize(), &card(None, None)),
        concat!(
            r#"{"method":"tokenize","transaction_id":"PK0123456789abcdef0123456789abcdef","#,
            r#""cardnumber":"4111111111111111","expiry_month":"08","expiry_year":"27"}"#
        )
    );
}

#[test]
fn a_bank_account_has_its_two_numbers_and_no_card_field() {
    assert_eq!(
        twilio(&charge(), &account()),
        concat!(
            r#"{"method":"charge","transaction_id":"PK0123456789abcdef0123456789abcdef","#,
            r#""bankaccountnumber":"000123456789","routingnumber":"110000000","amount":"20.50","currency_code":"USD"}"#
        )
    );
    assert_eq!(
        twilio(&tokenize(), &account()),
        concat!(
            r#"{"method":"tokenize","transaction_id":"PK0123456789abcdef0123456789abcdef","#,
            r#""bankaccountnumber":"000123456789","routingnumber":"110000000"}"#
        )
    );
}

#[test]
fn telnyx_is_always_sent_parameters() {
    assert_eq!(
        text(ContractVariant::Telnyx, &full(charge()), &card(Some("123"), Some("94111"))),
        concat!(
            r#"{"method":"charge","transaction_id":"PK0123456789abcdef0123456789abcdef","amount":"20.50","#,
            r#""currency_code":"USD","description":"pizza","cardnumber":"4111111111111111","cvv":"123","#,
            r#""expiry_month":"08","expiry_year":"27","postal_code":"94111","parameters":{"k":"v","a":"\"ü\n"}}"#
        )
    );
    assert_eq!(
        text(ContractVariant::Telnyx, &tokenize(), &card(None, None)),
        concat!(
            r#"{"method":"tokenize","transaction_id":"PK0123456789abcdef0123456789abcdef","#,
            r#""cardnumber":"4111111111111111","expiry_month":"08","expiry_year":"27","parameters":{}}"#
        )
    );
    assert_eq!(
        text(ContractVariant::Telnyx, &charge(), &account()),
        concat!(
            r#"{"method":"charge","transaction_id":"PK0123456789abcdef0123456789abcdef","amount":"20.50","#,
            r#""currency_code":"USD","bankaccountnumber":"000123456789","routingnumber":"110000000","parameters":{}}"#
        )
    );
}

#[test]
fn signalwire_s_cxml_tells_a_charge_from_a_token_by_its_members() {
    assert_eq!(
        text(ContractVariant::SignalWire, &full(charge()), &card(Some("123"), Some("94111"))),
        concat!(
            r#"{"transaction_id":"PK0123456789abcdef0123456789abcdef","method":"credit-card","#,
            r#""cardnumber":"4111111111111111","cvv":"123","postal_code":"94111","description":"pizza","#,
            r#""chargeAmount":20.50,"expiry_month":"08","expiry_year":"27","currency_code":"USD","#,
            r#""parameters":{"k":"v","a":"\"ü\n"}}"#
        )
    );
    assert_eq!(
        text(ContractVariant::SignalWire, &tokenize(), &card(None, None)),
        concat!(
            r#"{"transaction_id":"PK0123456789abcdef0123456789abcdef","cardnumber":"4111111111111111","amount":0,"#,
            r#""token_type":"one-time","expiry_month":"08","expiry_year":"27","currency_code":"USD"}"#
        )
    );
}

#[test]
fn signalwire_s_swml_always_has_the_same_members() {
    let mut payment_request = full(charge());
    payment_request.token_type = TokenType::Reusable;
    assert_eq!(
        text(ContractVariant::SignalWireSwml, &payment_request, &card(Some("123"), Some("94111"))),
        concat!(
            r#"{"transaction_id":"PK0123456789abcdef0123456789abcdef","method":"credit-card","#,
            r#""cardnumber":"4111111111111111","cvv":"123","postal_code":"94111","description":"pizza","#,
            r#""chargeAmount":"20.50","token_type":"reusable","expiry_month":"08","expiry_year":"27","#,
            r#""currency_code":"usd","parameters":{"k":"v","a":"\"ü\n"}}"#
        )
    );
    assert_eq!(
        text(ContractVariant::SignalWireSwml, &tokenize(), &card(None, None)),
        concat!(
            r#"{"transaction_id":"PK0123456789abcdef0123456789abcdef","method":"credit-card","#,
            r#""cardnumber":"4111111111111111","chargeAmount":"0","token_type":"one-time","#,
            r#""expiry_month":"08","expiry_year":"27","currency_code":"usd"}"#
        )
    );
}

#[test]
fn an_amount_has_its_currency_s_decimals() {
    for (amount, code, shown) in [
        ("500", "jpy", "500"),
        ("1.5", "kwd", "1.500"),
        ("7", "eur", "7.00"),
        ("1000000", "usd", "1000000.00"),
        // A float would be 0.29999999999999998.
        ("0.3", "usd", "0.30"),
    ] {
        let currency: Currency = code.parse().unwrap();
        let mut payment_request = charge();
        payment_request.operation = Operation::Charge(Amount::parse(amount, currency).unwrap(), currency);
        payment_request.currency = currency;
        for (dialect, expected) in [
            (ContractVariant::Twilio, format!(r#""amount":"{shown}","currency_code":"{}","#, currency.code())),
            (ContractVariant::Telnyx, format!(r#""amount":"{shown}","currency_code":"{}","#, currency.code())),
            (ContractVariant::SignalWire, format!(r#""chargeAmount":{shown},"#)),
            (ContractVariant::SignalWireSwml, format!(r#""chargeAmount":"{shown}","#)),
        ] {
            let body = text(dialect, &payment_request, &card(None, None));
            assert!(body.contains(&expected), "{body}");
        }
        assert!(text(ContractVariant::SignalWire, &payment_request, &card(None, None)).contains(currency.code()));
        assert!(
            text(ContractVariant::SignalWireSwml, &payment_request, &card(None, None)).contains(&format!("\"{code}\""))
        );
    }
}

#[test]
fn a_parameter_given_twice_stands_once_with_its_last_value() {
    let mut payment_request = tokenize();
    payment_request.parameters = [("a", "1"), ("b", "2"), ("a", "3")].map(|(k, v)| (k.into(), v.into())).into();
    for dialect in ContractVariant::ALL {
        assert!(text(*dialect, &payment_request, &card(None, None)).ends_with(r#""parameters":{"a":"3","b":"2"}}"#));
    }
}

#[test]
fn the_same_payment_is_the_same_bytes_that_fit_their_memory_exactly() {
    let mut payment_request = charge();
    payment_request.description = Some("\u{1}\"\\".repeat(500));
    for dialect in ContractVariant::ALL {
        let body = write(*dialect, &payment_request, &card(Some("123"), None)).unwrap();
        let (length, capacity) = body.room();
        assert_eq!(length, capacity);
        assert_eq!(body.as_ref(), write(*dialect, &payment_request, &card(Some("123"), None)).unwrap().as_ref());
    }
}

#[test]
fn what_a_dialect_has_no_member_for_is_not_written() {
    let token = Instrument::Token(Secret::new("tok_1".into()));
    for dialect in ContractVariant::ALL {
        assert_eq!(write(*dialect, &charge(), &token).err(), Some(Unsupported::Token));
        let refused = write(*dialect, &charge(), &account()).err();
        assert_eq!(refused, (!dialect.takes_bank_accounts()).then_some(Unsupported::BankAccount), "{dialect:?}");
    }
}
