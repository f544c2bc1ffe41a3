//! A payment to test connectors with.

use crate::money::{Amount, Currency};
use crate::pay::card::{Brand, Expiration, YearMonth};
use crate::pay::gateway::{BankAccount, BankAccountType, Card, Operation};
use crate::pay::gateway::{Instrument, PaymentRequest, TokenType};
use crate::secret::{AccountNumber, CardNumber, Digits, SecurityCode};

fn payment_request(operation: Operation) -> PaymentRequest {
    PaymentRequest {
        transaction_id: "PK0123456789abcdef0123456789abcdef".into(),
        call_sid: "CA1".into(),
        connector: "Shop".into(),
        operation,
        currency: Currency::USD,
        token_type: TokenType::OneTime,
        description: None,
        parameters: Vec::new(),
        metadata: Vec::new(),
    }
}

pub(in crate::connector) fn charge() -> PaymentRequest {
    payment_request(Operation::Charge(Amount::parse("20.5", Currency::USD).unwrap(), Currency::USD))
}

pub(in crate::connector) fn tokenize() -> PaymentRequest {
    payment_request(Operation::Tokenize(TokenType::OneTime))
}

pub(in crate::connector) fn card(code: Option<&str>, postal_code: Option<&str>) -> Instrument {
    let now = YearMonth { year: 2026, month: 11 };
    Instrument::Card(Card {
        number: CardNumber::checked(Digits::of("4111111111111111")),
        brand: Brand::Visa,
        expiration: Expiration::read(&Digits::of("0827"), now).unwrap(),
        security_code: code.map(|code| SecurityCode::checked(Digits::of(code))),
        postal_code: postal_code.map(str::to_owned),
    })
}

pub(in crate::connector) fn account() -> Instrument {
    Instrument::BankAccount(BankAccount {
        routing_number: "110000000".into(),
        account_number: AccountNumber::checked(Digits::of("000123456789")),
        account_type: BankAccountType::ConsumerChecking,
    })
}
