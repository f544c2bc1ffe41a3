use super::*;
use crate::pay::platform::Platform;
use crate::pay::settings::request::Requested;
use crate::pay::step::{EntryError, Moment};
use crate::twiml::{Placed, Prompt, Say, Utterance};

const HERE: Position = Position { line: 3, column: 5 };

fn attributes(pairs: &[(&str, &str)]) -> Vec<Attribute> {
    let attribute =
        |(name, value): &(&str, &str)| Attribute { position: HERE, name: (*name).into(), value: (*value).into() };
    pairs.iter().map(attribute).collect()
}

fn read(pairs: &[(&str, &str)]) -> Reading {
    let verb = Pay { attributes: attributes(pairs), ..Pay::default() };
    Settings::read(&verb, HERE, Platform::Twilio)
}

fn accepted(pairs: &[(&str, &str)]) -> Settings {
    let reading = read(pairs);
    assert_eq!(reading.refusals, [], "{pairs:?}");
    reading.settings
}

fn code(pairs: &[(&str, &str)]) -> PayErrorCode {
    let reading = read(pairs);
    assert_eq!(reading.refusals.len(), 1, "{:?}", reading.refusals);
    reading.refusals[0].code
}

#[test]
fn a_bare_pay_has_twilio_s_defaults() {
    let settings = accepted(&[]);
    assert_eq!(settings.operation, Operation::Tokenize(TokenType::Reusable));
    assert_eq!((settings.timeout, settings.inter_digit_timeout), (TIMEOUT_DEFAULT, TIMEOUT_DEFAULT));
    assert_eq!((settings.tries, settings.connector.as_str()), (2, "Default"));
    assert_eq!(settings.postal_code, PostalCode::Asked);
    assert!(settings.security_code && !settings.confirmation);
    assert_eq!(settings.prompts.language, Language::EnUs);
}

#[test]
fn values_are_read_in_any_case_and_numbers_only_in_their_range() {
    let settings = accepted(&[
        ("language", "fr-ca"),
        ("currency", "eur"),
        ("chargeAmount", "12.50"),
        ("timeout", "600"),
        ("maxAttempts", "3"),
        ("postalCode", "94111"),
        ("validCardTypes", "visa JCB unionpay"),
        ("securityCode", "FALSE"),
    ]);
    assert_eq!(settings.prompts.language, Language::FrCa);
    let eur: Currency = "EUR".parse().unwrap();
    assert_eq!(settings.operation, Operation::Charge(Amount::parse("12.5", eur).unwrap(), eur));
    assert_eq!(settings.inter_digit_timeout, Duration::from_secs(600), "follows timeout");
    assert_eq!(settings.tries, 4);
    assert_eq!(settings.postal_code, PostalCode::Given("94111".into()));
    assert!(settings.accepted.contains(Brand::Jcb) && !settings.accepted.contains(Brand::Amex));
}

#[test]
fn every_bad_value_names_attribute_value_and_what_is_allowed() {
    for (name, value) in [
        ("input", "speech"),
        ("method", "PUT"),
        ("statusCallbackMethod", "x"),
        ("paymentMethod", "cash"),
        ("timeout", "0"),
        ("timeout", "601"),
        ("timeout", "5s"),
        ("timeout", "+5"),
        ("interDigitTimeout", "-1"),
        ("maxAttempts", "0"),
        ("maxAttempts", "4"),
        ("securityCode", "maybe"),
        ("postalCode", "12345678901"),
        ("minPostalCodeLength", "11"),
        ("tokenType", "gold"),
        ("currency", "dollars"),
        ("language", "tlh"),
        ("validCardTypes", "visa diners"),
        ("confirmation", "yes"),
        ("confirmation", "2"),
        ("minPostalCodeLength", "00x"),
        ("transactionType", "refund"),
    ] {
        let reading = read(&[(name, value)]);
        assert_eq!(reading.refusals.len(), 1, "{name}={value}: {:?}", reading.refusals);
        let refusal = &reading.refusals[0];
        assert_eq!((refusal.code, refusal.position), (PayErrorCode::InvalidParameter, HERE));
        let quoted = crate::mask::refused(value.trim());
        assert!(refusal.message.contains(&format!("{name}=\"{quoted}\"")), "{}", refusal.message);
    }
}

#[test]
fn a_refused_value_that_may_be_a_number_is_quoted_without_its_digits() {
    for (name, value, quoted) in [
        ("chargeAmount", "4539578763621486", "chargeAmount=\"xxxxxxxxxxxxxxxx\": an amount is at most 1000000"),
        ("chargeAmount", "12.3456", "chargeAmount=\"xx.xxxx\": USD has 2 decimals"),
        ("timeout", "４５３９", "timeout=\"xxxx\" is not allowed: timeout is a whole number from 1 to 600"),
        ("timeout", "737", "timeout=\"xxx\" is not allowed: timeout is a whole number from 1 to 600"),
        ("timeout", "0", "timeout=\"0\" is not allowed"),
        ("validCardTypes", "visa %34%35%33%39", "validCardTypes=\"visa xxxx\" is not allowed"),
    ] {
        let message = &read(&[(name, value)]).refusals[0].message;
        assert!(message.contains(quoted), "{message}");
    }
    let unknown = &read(&[("card4539578763621486", "1")]).warnings[0].message;
    assert!(unknown.contains("cardxxxxxxxxxxxxxxxx"), "{unknown}");
}

#[test]
fn some_faults_have_codes_of_their_own() {
    for amount in ["-1", "1e3", "$5", "1000000.01", "1.001"] {
        assert_eq!(code(&[("chargeAmount", amount)]), PayErrorCode::InvalidChargeAmount, "{amount}");
    }
    assert_eq!(code(&[("bankAccountType", "consumer-savings")]), PayErrorCode::BankAccountTypeWithCard);
    assert!(read(&[("bankAccountType", "consumer-savings"), ("paymentMethod", "ach-debit")]).refusals.is_empty());
    assert_eq!(code(&[("transactionType", "charge")]), PayErrorCode::InvalidChargeAmount);
    assert_eq!(code(&[("transactionType", "charge"), ("chargeAmount", "0")]), PayErrorCode::InvalidChargeAmount);
    assert_eq!(code(&[("paymentToken", "tok_1")]), PayErrorCode::InvalidChargeAmount);
    let twice = [("paymentToken", "tok_1"), ("transactionType", "tokenize"), ("chargeAmount", "5")];
    assert_eq!(code(&twice), PayErrorCode::InvalidParameter);
}

#[test]
fn telnyx_s_words_win_over_the_inference() {
    let settings = accepted(&[("transactionType", "tokenize"), ("chargeAmount", "5"), ("tokenType", "one-time")]);
    assert_eq!(settings.operation, Operation::Tokenize(TokenType::OneTime));
    let charged = accepted(&[("chargeAmount", "5"), ("tokenType", "one-time")]);
    assert_eq!(charged.token_type, TokenType::OneTime, "SignalWire's gateways are told it of charges too");
    let verb = Pay { attributes: attributes(&[("maxAttempts", "3")]), ..Pay::default() };
    assert_eq!(Settings::read(&verb, HERE, Platform::Telnyx).settings.tries, 3);
    let settings = accepted(&[("paymentToken", "tok_1"), ("chargeAmount", "5")]);
    assert!(settings.payment_token.is_some());
    assert!(!format!("{settings:?}").contains("tok_1"));
}

#[test]
fn unknown_attributes_are_named_once_and_harm_nothing() {
    let reading = read(&[("credential_sid", "x"), ("timeout", "7")]);
    assert_eq!(reading.refusals, []);
    assert_eq!(reading.warnings.len(), 1);
    assert!(reading.warnings[0].message.contains("credential_sid"));
    assert_eq!(reading.settings.timeout, Duration::from_secs(7));
}

#[test]
fn children_override_the_same_key_of_the_json_attributes() {
    let mut verb = Pay {
        attributes: attributes(&[
            ("parameters", r#"{"order":"1","customer":7}"#),
            ("metadata", r#"[{"name":"a","value":"b"}]"#),
            (
                "prompts",
                r#"{"postal_code":"from json","security_code":[{"text":"four digits","card_type":"amex","attempt":"1 2"}]}"#,
            ),
        ]),
        ..Pay::default()
    };
    verb.parameters.push(("order".into(), "2".into()));
    let say = Say { text: "from child".into(), voice: None, language: None, times: 1 };
    let child = Prompt { attributes: attributes(&[("for", "postal-code")]), content: vec![Utterance::Say(say)] };
    verb.prompts.push(Placed { position: HERE, item: child });
    let reading = Settings::read(&verb, HERE, Platform::Twilio);
    assert_eq!(reading.refusals, []);
    let settings = reading.settings;
    assert_eq!(settings.parameters, [("customer".into(), "7".into()), ("order".into(), "2".into())]);
    assert_eq!(settings.metadata, [("a".into(), "b".into())]);
    assert_eq!(settings.prompts.custom.len(), 2);
    assert_eq!(settings.prompts.custom[0].moments, [Moment::SecurityCode]);
    assert_eq!(settings.prompts.custom[0].attempts, [1, 2]);
    assert_eq!(settings.prompts.custom[1].moments, [Moment::PostalCode]);
}

#[test]
fn signalwire_s_prompts_have_actions() {
    let json = r#"[{"for":"payment-card-number","attempts":"2","error_type":"timeout invalid-card-number",
                    "actions":[{"type":"Say","phrase":"Once more"},{"type":"Play","phrase":"https://example.com/a.wav"}]},
                   {"for":"payment-failed","actions":[{"type":"Say","phrase":"Sorry"}]}]"#;
    let settings = accepted(&[("prompts", json)]);
    let prompt = &settings.prompts.custom[0];
    assert_eq!(prompt.errors, [EntryError::InputTimeout, EntryError::InvalidCardNumber]);
    assert_eq!(prompt.content.len(), 2);
    for bad in [
        "{",
        "7",
        r#"{"shoe-size":"x"}"#,
        r#"[{"for":"postal-code"}]"#,
        r#"{"postal_code":[{"text":"x","attempt":11}]}"#,
        r#"{"postal_code":{"text":"x","error_type":"oops"}}"#,
        r#"{"security_code":{"text":"x","card_type":["gold"]}}"#,
        r#"{"postal_code":{"text":"x","require_matching_inputs":"yes"}}"#,
    ] {
        assert_eq!(code(&[("prompts", bad)]), PayErrorCode::InvalidParameter, "{bad}");
    }
    assert_eq!(code(&[("parameters", "[1]")]), PayErrorCode::InvalidParameter);
}

#[test]
fn every_qualifier_of_a_json_prompt_counts_and_an_unknown_one_is_named_once() {
    let json = r#"{"security-code":[
        {"text":"a","card_type":"amex visa","attempt":"1 2","error_type":"timeout","require_matching_inputs":true},
        {"text":"b","cardType":["diners_club"],"attempts":3,"errorType":["invalid-security-code"],"atempt":2},
        {"text":"c","atempt":2,"requireMatchingInputs":"FALSE"}]}"#;
    let reading = read(&[("prompts", json)]);
    assert_eq!(reading.refusals, []);
    assert_eq!(reading.warnings.len(), 1, "{:?}", reading.warnings);
    assert!(reading.warnings[0].message.contains("no key atempt"), "{}", reading.warnings[0].message);
    let [a, b, c] = &reading.settings.prompts.custom[..] else { panic!("three prompts") };
    assert_eq!((&a.card_types[..], &a.attempts[..]), (&[Brand::Amex, Brand::Visa][..], &[1, 2][..]));
    assert_eq!((&a.errors[..], a.matching), (&[EntryError::InputTimeout][..], true));
    assert_eq!((&b.card_types[..], &b.attempts[..]), (&[Brand::DinersClub][..], &[3][..]));
    assert_eq!((&b.errors[..], b.matching), (&[EntryError::InvalidSecurityCode][..], false));
    assert!(c.card_types.is_empty() && c.attempts.is_empty() && c.errors.is_empty() && !c.matching);
}

#[test]
fn a_prompt_that_makes_no_sense_refuses_the_verb() {
    for pairs in [
        &[][..],
        &[("for", "shoe-size")],
        &[("for", "postal-code"), ("attempt", "11")],
        &[("for", "postal-code"), ("errorType", "oops")],
        &[("for", "security-code"), ("cardType", "gold")],
        &[("for", "postal-code"), ("requireMatchingInputs", "yes")],
    ] {
        let prompt = Prompt { attributes: attributes(pairs), content: vec![] };
        let verb = Pay { prompts: vec![Placed { position: HERE, item: prompt }], ..Pay::default() };
        let reading = Settings::read(&verb, HERE, Platform::Twilio);
        assert_eq!(reading.refusals.len(), 1, "{pairs:?}");
    }
}

#[test]
fn words_that_twilio_s_libraries_know_beside_its_manual_are_taken() {
    for (tag, language) in [("en-NZ", Language::EnAu), ("en-ie", Language::EnGb), ("es-US", Language::EsMx)] {
        assert_eq!(accepted(&[("language", tag)]).prompts.language, language);
    }
    let pairs = [("paymentMethod", "ach-debit"), ("bankAccountType", "commercial-savings")];
    assert_eq!(accepted(&pairs).bank_account_type, BankAccountType::CommercialSavings);
    assert_eq!(code(&[("language", "fr-BE")]), PayErrorCode::InvalidParameter);
}

#[test]
fn a_prompt_for_an_error_that_asks_for_nothing_is_passed_over() {
    let prompt = |errors| Prompt {
        attributes: attributes(&[("for", "payment-processing payment-cancelled"), ("errorType", errors)]),
        content: vec![],
    };
    let verb = |errors| Pay { prompts: vec![Placed { position: HERE, item: prompt(errors) }], ..Pay::default() };
    let reading = Settings::read(&verb("internal-error card-declined"), HERE, Platform::Twilio);
    assert_eq!((reading.refusals.len(), reading.warnings.len()), (0, 1));
    assert!(reading.settings.prompts.custom.is_empty(), "without its qualifier it would be said always");
    let reading = Settings::read(&verb("internal-error timeout"), HERE, Platform::Twilio);
    assert_eq!(reading.settings.prompts.custom[0].errors, [EntryError::InputTimeout]);
}

#[test]
fn a_request_s_parameter_is_json_of_one_level() {
    let code = |json: &str| {
        let mut form = crate::form::Form::new();
        form.set("Parameter", json);
        Requested::read(&form).reading.refusals.first().map(|refusal| refusal.code)
    };
    assert_eq!(code(r#"{"order":"1","customer":7}"#), None);
    assert_eq!(code(r#"{"order":{"number":1}}"#), Some(PayErrorCode::InvalidParameter));
    assert_eq!(code(r#"{"order":[1]}"#), Some(PayErrorCode::InvalidParameter));
}

/// Every attribute, with a value that changes what a bare verb does.
const ALL: &[(&str, &str)] = &[
    ("input", "dtmf"),
    ("action", "/paid"),
    ("method", "GET"),
    ("statusCallback", "/status"),
    ("statusCallbackMethod", "GET"),
    ("paymentMethod", "ach-debit"),
    ("bankAccountType", "commercial-checking"),
    ("timeout", "7"),
    ("interDigitTimeout", "8"),
    ("maxAttempts", "2"),
    ("securityCode", "false"),
    ("postalCode", "94111"),
    ("minPostalCodeLength", "4"),
    ("paymentConnector", "Stripe"),
    ("tokenType", "one-time"),
    ("chargeAmount", "20.45"),
    ("currency", "eur"),
    ("language", "de-DE"),
    ("voice", "Vicki"),
    ("description", "Rent"),
    ("validCardTypes", "visa"),
    ("parameters", "{\"order\":\"1\"}"),
    ("prompts", "{\"postal_code\":\"Zip?\"}"),
    ("metadata", "{\"a\":\"b\"}"),
    ("confirmation", "true"),
    ("transactionType", "tokenize"),
    ("paymentToken", "tok_1"),
];

#[test]
fn a_blank_value_is_as_good_as_no_attribute() {
    assert_eq!(ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>(), KNOWN);
    let bare = format!("{:?}", accepted(&[]));
    for (name, _) in ALL {
        for blank in ["", " ", "\n\t", "\u{a0}"] {
            assert_eq!(format!("{:?}", accepted(&[(name, blank)])), bare, "{name}={blank:?}");
        }
    }
}

#[test]
fn values_are_trimmed() {
    for (name, value) in ALL.iter().filter(|(name, _)| !["bankAccountType", "paymentToken"].contains(name)) {
        let trimmed = format!("{:?}", accepted(&[(name, value)]));
        assert_eq!(format!("{:?}", accepted(&[(name, &format!(" \n{value} "))])), trimmed, "{name}");
    }
}

#[test]
fn an_amount_may_begin_or_end_with_its_point() {
    for (value, amount) in [(".50", "0.50"), ("20.", "20.00"), (" 7 ", "7.00")] {
        let Operation::Charge(charged, currency) = accepted(&[("chargeAmount", value)]).operation else {
            panic!("{value} is not charged")
        };
        assert_eq!(charged.text(currency), amount);
    }
    assert_eq!(code(&[("chargeAmount", ".")]), PayErrorCode::InvalidChargeAmount);
    assert_eq!(accepted(&[("chargeAmount", ".00")]).operation, Operation::Tokenize(TokenType::Reusable));
}

#[test]
fn one_and_zero_pass_for_true_and_false() {
    assert!(!accepted(&[("securityCode", "0")]).security_code);
    assert!(accepted(&[("securityCode", "1"), ("confirmation", "1")]).confirmation);
    assert_eq!(accepted(&[("postalCode", "0")]).postal_code, PostalCode::Left);
    assert_eq!(accepted(&[("postalCode", "1")]).postal_code, PostalCode::Asked);
    assert_eq!(accepted(&[("minPostalCodeLength", "0")]).min_postal_code_length, None);
    assert_eq!(accepted(&[("minPostalCodeLength", "1")]).min_postal_code_length, Some(1));
    let matching = |value| {
        let prompt = Prompt {
            attributes: attributes(&[("for", "postal-code"), ("requireMatchingInputs", value)]),
            content: vec![],
        };
        let verb = Pay { prompts: vec![Placed { position: HERE, item: prompt }], ..Pay::default() };
        let reading = Settings::read(&verb, HERE, Platform::Twilio);
        assert_eq!(reading.refusals, [], "{value}");
        reading.settings.prompts.custom[0].matching
    };
    assert_eq!(["1", "true", "0", " ", ""].map(matching), [true, true, false, false, false]);
    let json = |value: &str| {
        let json = format!(r#"{{"postal_code":{{"text":"x","require_matching_inputs":{value}}}}}"#);
        accepted(&[("prompts", &json)]).prompts.custom[0].matching
    };
    assert_eq!(["1", "\"1\"", "0", "\" \"", "null"].map(json), [true, true, false, false, false]);
}

#[test]
fn a_request_reads_its_values_as_the_verb_does() {
    let read = |pairs: &[(&'static str, &'static str)]| {
        let mut form = crate::form::Form::new();
        pairs.iter().for_each(|(name, value)| form.set(*name, *value));
        let reading = Requested::read(&form).reading;
        assert_eq!(reading.refusals, [], "{pairs:?}");
        reading.settings
    };
    assert_eq!(read(&[("ChargeAmount", "")]).operation, Operation::Tokenize(TokenType::Reusable));
    assert!(matches!(read(&[("ChargeAmount", " .50")]).operation, Operation::Charge(..)));
    let settings =
        read(&[("MinPostalCodeLength", "0"), ("SecurityCode", ""), ("PostalCode", "0"), ("Confirmation", "1")]);
    assert_eq!((settings.min_postal_code_length, settings.security_code), (None, true));
    assert_eq!((settings.postal_code, settings.confirmation), (PostalCode::Left, true));
}

#[test]
fn a_misspelt_attribute_is_refused_and_the_right_one_is_named() {
    for (name, word) in [
        ("chargeAmout", "chargeAmount"),
        ("chargeAmuont", "chargeAmount"),
        ("ChargeAmount", "chargeAmount"),
        ("CHARGEAMOUNT", "chargeAmount"),
        ("chargeamout", "chargeAmount"),
        ("charge_amount", "chargeAmount"),
        ("charge-amount", "chargeAmount"),
        ("chargAmout", "chargeAmount"),
        ("statusCalback", "statusCallback"),
        ("acton", "action"),
        ("Timeout", "timeout"),
        ("max_attempts", "maxAttempts"),
    ] {
        let reading = read(&[(name, "20.45")]);
        assert_eq!((reading.refusals.len(), reading.warnings.len()), (1, 0), "{name}");
        let refusal = &reading.refusals[0];
        assert_eq!((refusal.code, refusal.position), (PayErrorCode::InvalidParameter, HERE), "{name}");
        assert!(refusal.message.ends_with(&format!("did you mean {word}?")), "{}", refusal.message);
    }
    // Further away, or a short word: named in a warning.
    for name in ["chargAmot", "amount", "voicee", "Voice", "inputs", "xmlns", "bank_account_type", "chargeAmountMax"] {
        let reading = read(&[(name, "20.45")]);
        assert_eq!((reading.refusals.len(), reading.warnings.len()), (0, 1), "{name}: {:?}", reading.refusals);
    }
}

#[test]
fn a_misspelt_parameter_of_a_request_is_refused_too() {
    let read = |name: &str| {
        let mut form = crate::form::Form::new();
        form.set(name.to_owned(), "20.45");
        Requested::read(&form).reading
    };
    for name in ["ChargeAmout", "chargeAmount", "Charge_Amount", "chargeamount"] {
        let reading = read(name);
        assert_eq!((reading.refusals.len(), reading.warnings.len()), (1, 0), "{name}");
        assert_eq!(reading.refusals[0].code, PayErrorCode::InvalidParameter);
        assert!(reading.refusals[0].message.ends_with("did you mean ChargeAmount?"), "{}", reading.refusals[0].message);
    }
    let others = ["Colour", "IdempotencyKey", "StatusCallback"];
    assert_eq!(others.map(|name| (read(name).refusals.len(), read(name).warnings.len())), [(0, 1), (0, 0), (0, 0)]);
}

/// Attributes of a `<Pay>` beside ours, or of the verbs that stand beside one, by vendor: what real documents may carry.
const OTHERS: &[(&str, &str)] = &[
    ("Twilio's libraries", "credential_sid"),
    (
        "Twilio, <Gather>",
        "actionOnEmptyResult bargeIn debug enhanced finishOnKey hints maxSpeechTime minConfidence numDigits \
         partialResultCallback partialResultCallbackMethod profanityFilter speechEndThreshold speechModel speechTimeout",
    ),
    (
        "Twilio, <Dial>, <Record>, <Say>, <Play>",
        "answerOnBridge callerId digits hangupOnStar length loop maxLength playBeep record recordingChannels \
         recordingStatusCallback recordingStatusCallbackEvent recordingStatusCallbackMethod recordingTrack ringTone \
         sequential statusCallbackEvent timeLimit track transcribe transcribeCallback trim",
    ),
    ("Telnyx, TeXML", "amount clientState client_state commandId command_id connectorName connector_name"),
    ("Telnyx, Call Control", "inter_digit_timeout_millis timeout_millis initial_timeout_millis"),
    ("SignalWire", "payment_connector_url paymentConnectorUrl status_url statusUrl codecs swml transferAfterBridge"),
    ("XML", "xmlns xml:lang xmlns:xsi xsi:noNamespaceSchemaLocation id class"),
];

/// SignalWire's keys of the `pay` method of its own markup: the same words in snake case.
const SNAKE_CASE: &str = "charge_amount min_postal_code_length max_attempts payment_method postal_code security_code \
    token_type valid_card_types bank_account_type payment_connector status_callback";

#[test]
fn no_attribute_of_another_vendor_is_that_near_to_ours() {
    for (vendor, names) in OTHERS {
        for name in names.split_whitespace() {
            assert_eq!(misspelt(name, KNOWN), None, "{vendor}: {name}");
        }
    }
    // What differs in the manner of writing only is meant for ours.
    for name in SNAKE_CASE.split_whitespace() {
        let camel = name.split('_').enumerate().map(|(place, word)| match place {
            0 => word.to_owned(),
            _ => word[..1].to_uppercase() + &word[1..],
        });
        let camel: String = camel.collect();
        assert!(misspelt(name, KNOWN).is_none_or(|word| word == camel), "{name}");
    }
    assert_eq!(misspelt("charge_amount", KNOWN), Some("chargeAmount"));
    // And no two of ours are each other's misspelling.
    for name in KNOWN {
        let others: Vec<&str> = KNOWN.iter().copied().filter(|other| other != name).collect();
        assert_eq!(misspelt(name, &others), None, "{name}");
    }
}
