use super::*;
use crate::pay::card::{Brand, Expiration, YearMonth};
use crate::pay::gateway::{Card, TokenType};
use crate::secret::{CardNumber, Digits, SecurityCode};

const NUMBER: &str = "4539578763621486";

fn card(security_code: &str) -> Instrument {
    Instrument::Card(Card {
        number: CardNumber::checked(Digits::of(NUMBER)),
        brand: Brand::Visa,
        expiration: Expiration::read(&Digits::of("0829"), YearMonth { year: 2026, month: 6 }).unwrap(),
        security_code: Some(SecurityCode::checked(Digits::of(security_code))),
        postal_code: None,
    })
}

/// What is told of a gateway's words: `PaymentError`, `ConnectorError` and a parameter.
fn told(words: &str, keyed: &KeyedKnown<'_>) -> [String; 3] {
    let denial = Denial {
        code: Some(words.to_owned()),
        message: Some(words.to_owned()),
        parameters: vec![("said".to_owned(), words.to_owned())],
    };
    let operation = Operation::Tokenize(TokenType::OneTime);
    let ending = Ending::of_verdict(Verdict::Declined(denial), None, operation, keyed);
    let parameter = ending.parameters.into_iter().next().unwrap().1;
    [ending.error.unwrap(), ending.connector_error.unwrap(), parameter]
}

#[test]
fn a_number_that_a_gateway_quotes_back_is_hidden_however_it_is_written() {
    let instrument = card("737");
    for text in [
        "card 4539578763621486 declined",
        "card 4539 - 5787 - 6362 - 1486 declined",
        "card 4539/5787_6362:1486 declined",
        "card (4539),(5787);  6362\u{a0}1486 declined",
        "card ４５３９５７８７６３６２１４８６ declined",
        "card %34%35%33%39%35%37%38%37%36%33%36%32%31%34%38%36 declined",
        "card &#52;&#53;&#51;&#57;&#53;&#55;&#56;&#55;&#54;&#51;&#54;&#50;&#49;&#52;&#56;&#54; declined",
        "card 4539578763 declined",
    ] {
        for told in told(text, &KeyedKnown::Known(&instrument)) {
            assert!(!told.chars().any(char::is_numeric), "{text}: {told}");
            assert!(told.starts_with("card ") && told.ends_with(" declined"), "{told}");
        }
    }
    let eight = "the issuer of 45395787 said no";
    assert_eq!(told(eight, &KeyedKnown::Known(&instrument))[0], eight);
}

#[test]
fn what_hides_a_short_number_does_not_tell_the_security_code() {
    let texts = ["cvv 737 wrong", "737", "CVV737", "737, 738 and 7371, not 73711", "limit 500", "in 2026"];
    let of = |code: &str| {
        let instrument = card(code);
        texts.map(|text| told(text, &KeyedKnown::Known(&instrument)))
    };
    assert_eq!(of("737"), of("500"));
    let gone = CapturedFields {
        card: Some(("xxxxxxxxxxxx1486".into(), Brand::Visa)),
        security_code: Some("xxx".into()),
        ..CapturedFields::default()
    };
    let known = of("737");
    for (text, told_live) in texts.iter().zip(&known) {
        assert_eq!(&told(text, &KeyedKnown::Gone(Means::Card, &gone)), told_live, "{text}");
    }
    assert_eq!(known[0][0], "cvv xxx wrong");
    assert_eq!(known[3][0], "xxx, xxx and xxxx, not 73711");
}

#[test]
fn codes_and_tokens_keep_all_digits_but_those_of_the_number() {
    let instrument = card("123");
    let secret = |text: &str| Some(Secret::new(text.to_owned()));
    let approval = Approval {
        confirmation_code: Some("ch_123".to_owned()),
        token: secret("tok_4539578763621486"),
        profile_id: secret("cus_4111111111111111"),
        parameters: Vec::new(),
    };
    let operation = Operation::Tokenize(TokenType::OneTime);
    let Approval { confirmation_code, token, profile_id, .. } =
        Ending::of_verdict(Verdict::Approved(approval), None, operation, &KeyedKnown::Known(&instrument)).approval;
    assert_eq!(confirmation_code.unwrap(), "ch_123");
    assert_eq!(token.unwrap().expose(), "tok_xxxxxxxxxxxxxxxx");
    assert_eq!(profile_id.unwrap().expose(), "cus_4111111111111111");
}

#[test]
fn what_only_its_mask_is_known_of_is_hidden_all_the_same() {
    let gone = CapturedFields { account_number: Some("********89".into()), ..CapturedFields::default() };
    let said =
        |text: &str| told(text, &KeyedKnown::Gone(Means::BankAccount, &gone)).map(|told| told.clone())[0].clone();
    assert_eq!(said("account 1234-5678 89 closed"), "account xxxx-xxxx xx closed");
    assert_eq!(said("account 0123456788 closed"), "account 0123456788 closed");
}
