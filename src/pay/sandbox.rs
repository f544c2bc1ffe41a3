//! The gateway that moves no money: what the `sandbox` connector answers, as a pure function.
//!
//! Shape:   an attempt and its instrument in, an [`Answer`] out; no clock, no sockets, nothing remembered. `serve` asks
//!          it through the connector of that name, `replay`, `dial` and `fuzz` ask it here in virtual time.
//! Limits:  none of its own: every currency, both payment methods, every token type, no test list (a server that can be
//!          reached from elsewhere sets one: `connector::sandbox`).
//! Secrets: an id is made of the transaction id and never of a digit of the card.
//! Sources: spec/interface.md, "Connector kinds". The numbers are Stripe's published test cards.

use std::time::Duration;

use super::gateway::{
    Answer, Approval, Capabilities, Denial, Idempotency, Instrument, Operation, PaymentRequest, REPLAY_WINDOW,
    TokenType,
};
use super::test_numbers::{AcceptedNumbers, SANDBOX_TOKEN};
use crate::secret::{CardNumber, Secret};

/// The numbers that are refused, with the gateway's code and words.
const REFUSED: [(&str, &str, &str); 5] = [
    ("4000000000000002", "card_declined", "The card was declined."),
    ("4000000000009995", "insufficient_funds", "There is not enough money on this card."),
    ("4000000000000127", "incorrect_cvc", "The security code does not belong to this card."),
    ("4000000000000069", "expired_card", "The card is no longer valid."),
    ("4000000000000119", "processing_error", "The card could not be processed this time."),
];

/// What the sandbox can do: everything.
#[must_use]
pub fn capabilities() -> Capabilities {
    Capabilities {
        withdrawn: false,
        charge_card: true,
        charge_bank: true,
        charge_token: true,
        tokenize_card: TokenType::ALL.to_vec(),
        tokenize_bank: TokenType::ALL.to_vec(),
        currencies: None,
        bank_needs_holder_name: false,
        needed_parameters: Vec::new(),
        accepted_numbers: AcceptedNumbers::Any,
        // The answer is a function of the request: a repeat gets the same one.
        idempotency: Idempotency::FirstResult,
        replay_window: REPLAY_WINDOW,
        // Nothing is remembered that could be looked up.
        looks_up: false,
        // 10 s and five repeats are those of the generic contract (spec/pay.md 10).
        answer_timeout: Duration::from_secs(10),
        settles_after: Duration::from_secs(10),
        repeats: 5,
        overall: Duration::from_secs(75),
    }
}

/// What the sandbox says: yes, but for five card numbers. The same question has the same answer, ids included.
#[must_use]
pub fn answer(payment_request: &PaymentRequest, instrument: &Instrument) -> Answer {
    let denial = match instrument {
        Instrument::Card(card) => refusal(&card.number),
        Instrument::BankAccount(_) | Instrument::Token(_) => None,
    };
    if let Some(denial) = denial {
        return Answer::Declined(denial);
    }
    let id = |prefix: &str| format!("{prefix}_{}", suffix(&payment_request.transaction_id));
    Answer::Approved(match payment_request.operation {
        Operation::Charge(..) => Approval { confirmation_code: Some(id("ch")), ..Approval::default() },
        Operation::Tokenize(token_type) => Approval {
            token: Some(Secret::new(id(SANDBOX_TOKEN))),
            profile_id: (token_type == TokenType::Reusable).then(|| Secret::new(id("cus"))),
            ..Approval::default()
        },
    })
}

fn refusal(number: &CardNumber) -> Option<Denial> {
    let (_, code, message) = REFUSED.iter().find(|(refused, ..)| *refused == number.expose())?;
    Some(Denial { code: Some((*code).to_owned()), message: Some((*message).to_owned()), parameters: Vec::new() })
}

/// The transaction id without its `PK`: what makes an id of this payment its own.
fn suffix(transaction_id: &str) -> &str {
    transaction_id.strip_prefix("PK").unwrap_or(transaction_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{Amount, Currency};
    use crate::pay::card::{Brand, Expiration, YearMonth};
    use crate::pay::gateway::{BankAccount, BankAccountType, Card};
    use crate::secret::{AccountNumber, Digits};

    const ID: &str = "PK0123456789abcdef0123456789abcdef";

    fn payment_request(operation: Operation) -> PaymentRequest {
        PaymentRequest {
            transaction_id: ID.into(),
            call_sid: "CA1".into(),
            connector: "Default".into(),
            operation,
            currency: Currency::USD,
            token_type: TokenType::Reusable,
            description: None,
            parameters: Vec::new(),
            metadata: Vec::new(),
        }
    }

    fn charge() -> PaymentRequest {
        payment_request(Operation::Charge(Amount::parse("20.45", Currency::USD).unwrap(), Currency::USD))
    }

    fn card(number: &str) -> Instrument {
        let now = YearMonth { year: 2026, month: 11 };
        Instrument::Card(Card {
            number: CardNumber::checked(Digits::of(number)),
            brand: Brand::Visa,
            expiration: Expiration::read(&Digits::of("0827"), now).unwrap(),
            security_code: None,
            postal_code: None,
        })
    }

    fn account() -> Instrument {
        Instrument::BankAccount(BankAccount {
            routing_number: "110000000".into(),
            account_number: AccountNumber::checked(Digits::of("000123456789")),
            account_type: BankAccountType::ConsumerChecking,
        })
    }

    fn approval(answer: Answer) -> Approval {
        match answer {
            Answer::Approved(approval) => approval,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_five_listed_numbers_are_declined_with_their_codes_whatever_is_asked() {
        for (number, code) in [
            ("4000000000000002", "card_declined"),
            ("4000000000009995", "insufficient_funds"),
            ("4000000000000127", "incorrect_cvc"),
            ("4000000000000069", "expired_card"),
            ("4000000000000119", "processing_error"),
        ] {
            for payment_request in [charge(), payment_request(Operation::Tokenize(TokenType::OneTime))] {
                match answer(&payment_request, &card(number)) {
                    Answer::Declined(denial) => {
                        assert_eq!(denial.code.as_deref(), Some(code));
                        assert!(denial.message.is_some_and(|words| !words.is_empty()));
                    }
                    other => panic!("{number}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_charge_is_approved_for_cards_accounts_and_tokens() {
        for instrument in [card("4242424242424242"), account(), Instrument::Token(Secret::new("tok_1".into()))] {
            let approval = approval(answer(&charge(), &instrument));
            assert_eq!(approval.confirmation_code.as_deref(), Some("ch_0123456789abcdef0123456789abcdef"));
            assert!(approval.token.is_none() && approval.profile_id.is_none());
        }
    }

    #[test]
    fn only_a_reusable_token_has_a_profile() {
        for (token_type, profile) in
            [(TokenType::OneTime, false), (TokenType::Reusable, true), (TokenType::PaymentMethod, false)]
        {
            for instrument in [card("4242424242424242"), account()] {
                let approval = approval(answer(&payment_request(Operation::Tokenize(token_type)), &instrument));
                assert!(approval.token.is_some_and(|token| token.expose().starts_with("tok_0123")));
                assert_eq!(approval.profile_id.is_some_and(|id| id.expose().starts_with("cus_0123")), profile);
                assert_eq!(approval.confirmation_code, None);
            }
        }
    }

    #[test]
    fn another_card_of_the_same_call_gets_the_same_ids() {
        let code = |number| approval(answer(&charge(), &card(number))).confirmation_code;
        assert_eq!(code("4242424242424242"), code("4111111111111111"));
    }
}
