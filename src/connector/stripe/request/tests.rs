use super::*;
use crate::connector::generic::samples::{account, card, charge, tokenize};
use crate::pay::gateway::Instrument;

const SID: &str = "PK0123456789abcdef0123456789abcdef";

fn text(body: &WipedBody) -> String {
    String::from_utf8(body.as_ref().to_vec()).unwrap()
}

fn the_card(code: Option<&str>, postal_code: Option<&str>) -> Card {
    match card(code, postal_code) {
        Instrument::Card(card) => card,
        other => panic!("{other:?}"),
    }
}

fn the_account() -> BankAccount {
    match account() {
        Instrument::BankAccount(account) => account,
        other => panic!("{other:?}"),
    }
}

fn note(id: &str) -> StripeNote {
    StripeNote { id: id.into(), since: 1, customer: None }
}

fn with(parameters: &[(&str, &str)]) -> PaymentRequest {
    let mut payment_request = tokenize();
    payment_request.parameters = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    payment_request
}

#[test]
fn a_card_s_payment_method_is_as_in_the_specification() {
    assert_eq!(
        text(&card_payment_method(&charge(), &the_card(Some("123"), Some("94111")))),
        "type=card&card%5Bnumber%5D=4111111111111111&card%5Bexp_month%5D=8&card%5Bexp_year%5D=2027\
         &card%5Bcvc%5D=123&billing_details%5Baddress%5D%5Bpostal_code%5D=94111"
    );
    assert_eq!(
        text(&card_payment_method(&with(&[("AVSName", "Ada Lovelace")]), &the_card(None, None))),
        "type=card&card%5Bnumber%5D=4111111111111111&card%5Bexp_month%5D=8&card%5Bexp_year%5D=2027\
         &billing_details%5Bname%5D=Ada+Lovelace"
    );
}

#[test]
fn a_card_s_token_has_its_zip_and_its_holder() {
    assert_eq!(
        text(&card_token(&with(&[("AVSName", "Ada")]), &the_card(Some("123"), Some("K1C 2N6")))),
        "card%5Bnumber%5D=4111111111111111&card%5Bexp_month%5D=8&card%5Bexp_year%5D=2027\
         &card%5Bcvc%5D=123&card%5Baddress_zip%5D=K1C+2N6&card%5Bname%5D=Ada"
    );
}

#[test]
fn the_payment_itself_holds_no_card() {
    assert_eq!(
        text(&payment_intent(&charge(), &note("pm_1"), 2050, Currency::USD, false)),
        format!(
            "amount=2050&currency=usd&payment_method=pm_1&payment_method_types%5B%5D=card&confirm=true\
             &metadata%5Bpay_sid%5D={SID}&expand%5B%5D=latest_charge"
        )
    );
    let mut payment_request = charge();
    payment_request.description = Some("Größe \"M\"".into());
    let note = StripeNote { customer: Some("cus_1".into()), ..note("pm_1") };
    assert_eq!(
        text(&payment_intent(&payment_request, &note, 2050, Currency::USD, true)),
        format!(
            "amount=2050&currency=usd&payment_method=pm_1&payment_method_types%5B%5D=card&confirm=true\
             &customer=cus_1&payment_method_options%5Bcard%5D%5Bmoto%5D=true\
             &description=Gr%C3%B6%C3%9Fe+%22M%22&metadata%5Bpay_sid%5D={SID}&expand%5B%5D=latest_charge"
        )
    );
}

#[test]
fn a_description_is_cut_at_stripe_s_limit_and_left_out_when_empty() {
    let mut payment_request = charge();
    payment_request.description = Some("ü".repeat(1001));
    let body = text(&payment_intent(&payment_request, &note("pm_1"), 1, Currency::USD, false));
    assert!(body.contains(&format!("description={}&", "%C3%BC".repeat(1000))));
    payment_request.description = Some(String::new());
    assert!(!text(&payment_intent(&payment_request, &note("pm_1"), 1, Currency::USD, false)).contains("description"));
}

#[test]
fn parameters_are_metadata_as_far_as_stripe_keeps_them() {
    let (long_name, long_value) = ("n".repeat(41), "v".repeat(501));
    let payment_request = with(&[
        ("order", "7"),
        ("AVSName", "Ada"),
        ("pay_sid", "PKanother"),
        (&long_name, "x"),
        ("long", &long_value),
        ("a[b]", "x"),
        ("twice", "first"),
        ("twice", "last"),
        ("empty", ""),
        ("", "x"),
    ]);
    assert_eq!(
        text(&customer(&payment_request, &note("pm_1"))),
        format!(
            "payment_method=pm_1&name=Ada&metadata%5Bpay_sid%5D={SID}&metadata%5Border%5D=7&metadata%5Btwice%5D=last"
        )
    );
    let many: Vec<(String, String)> = (0..80).map(|number| (format!("p{number}"), "x".to_owned())).collect();
    let body = text(&customer(&PaymentRequest { parameters: many, ..tokenize() }, &note("tok_1")));
    assert!(body.starts_with("source=tok_1&"));
    assert_eq!(body.matches("metadata").count(), 50);
}

#[test]
fn a_bank_account_names_its_holder_and_whose_it_is() {
    let payment_request = with(&[("AVSName", "Ada Lovelace")]);
    assert_eq!(
        text(&bank_token(&payment_request, &the_account()).unwrap()),
        "bank_account%5Bcountry%5D=US&bank_account%5Bcurrency%5D=usd&bank_account%5Baccount_number%5D=000123456789\
         &bank_account%5Brouting_number%5D=110000000&bank_account%5Baccount_holder_name%5D=Ada+Lovelace\
         &bank_account%5Baccount_holder_type%5D=individual&bank_account%5Baccount_type%5D=checking"
    );
    let company = BankAccount { account_type: BankAccountType::CommercialChecking, ..the_account() };
    assert_eq!(
        text(&bank_payment_method(&payment_request, &company).unwrap()),
        "type=us_bank_account&us_bank_account%5Baccount_number%5D=000123456789\
         &us_bank_account%5Brouting_number%5D=110000000&us_bank_account%5Baccount_holder_type%5D=company\
         &us_bank_account%5Baccount_type%5D=checking&billing_details%5Bname%5D=Ada+Lovelace"
    );
    let savings = BankAccount { account_type: BankAccountType::ConsumerSavings, ..the_account() };
    assert!(text(&bank_payment_method(&payment_request, &savings).unwrap()).contains("account_type%5D=savings"));
    assert_eq!(bank_token(&tokenize(), &savings).err(), Some(NoHolder));
    assert_eq!(bank_payment_method(&with(&[("AVSName", "")]), &savings).err(), Some(NoHolder));
}

#[test]
fn a_token_is_named() {
    assert_eq!(text(&token_payment_method(&Secret::new("tok_1".into()))), "type=card&card%5Btoken%5D=tok_1");
    assert_eq!(text(&nothing()), "");
}

#[test]
fn a_body_is_written_into_room_of_its_own_size() {
    let payment_request = with(&[("AVSName", "Ada ü")]);
    for body in [
        card_payment_method(&payment_request, &the_card(Some("123"), Some("94111"))),
        card_token(&payment_request, &the_card(Some("123"), Some("94111"))),
        bank_token(&payment_request, &the_account()).unwrap(),
        bank_payment_method(&payment_request, &the_account()).unwrap(),
        token_payment_method(&Secret::new("tok_1".into())),
    ] {
        let (length, capacity) = body.room();
        assert_eq!(length, capacity);
        assert_eq!(format!("{body:?}"), "Body(…)");
    }
}
