//! What holds for every document, caller and gateway: no panic, no broken rule, an end; and no digit lost or doubled.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests stop at a fault")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use touchtone::flow::link::{Origin, PlainHttp};
use touchtone::flow::{AgentCommand, Context, Fetch, FetchFailure, Fetched, NextDocument, Redirection};
use touchtone::form::Form;
use touchtone::pay::gateway::{
    Answer, Approval, Capabilities, Denial, Idempotency, Instrument, PaymentRequest, Preparation, RecoveryNote,
    Resolution,
};
use touchtone::pay::platform::Platform;
use touchtone::pay::sandbox;
use touchtone::pay::step::PayErrorCode;
use touchtone::pay::submission::{Ask, Question, Reply};
use touchtone::pay::test_numbers::AcceptedNumbers;
use touchtone::simulate::invariants::{broken, stuck};
use touchtone::simulate::{Simulation, World, sandbox_reply};
use touchtone::time::CallTime;
use touchtone::tone::Key;
use touchtone::twiml;

/// What a gateway or an application says, as a number, and after how many milliseconds; none: nothing, ever.
type Answered = Option<(u8, u64)>;

/// A world that answers what it was given, over and over.
#[derive(Debug, Default)]
struct Scripted {
    capabilities: Option<Capabilities>,
    /// Which look-ups come while nothing can be written down, over and over, and how many there were.
    away: Vec<bool>,
    lookups: usize,
    gateway: Vec<Answered>,
    application: Vec<(u8, u64)>,
    asked: usize,
    fetched: usize,
    /// What the gateway was given to submit: the fields as they were keyed.
    submitted: Vec<Vec<String>>,
}

impl World for Scripted {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        self.lookups += 1;
        self.capabilities.clone()
    }

    fn is_store_away(&self) -> bool {
        !self.away.is_empty() && self.away[self.lookups % self.away.len()]
    }

    fn gateway(
        &mut self,
        question: &Question,
        attempt: &PaymentRequest,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)> {
        if matches!(question.what, Ask::Submit(_)) {
            self.submitted.push(fields(instrument));
        }
        if self.gateway.is_empty() {
            return Some((Duration::ZERO, sandbox_reply(question, attempt, instrument)));
        }
        let said = self.gateway[self.asked % self.gateway.len()];
        self.asked += 1;
        let (what, after) = said?;
        let reply = match question.what {
            Ask::Prepare => match what % 8 {
                0..=3 | 6 => Reply::Prepared(Preparation::Nothing),
                4 => Reply::Prepared(Preparation::Note(RecoveryNote("note".into()))),
                5 => Reply::Prepared(Preparation::Answered(answer(what / 8))),
                _ if what > 127 => Reply::NotWritten,
                _ => Reply::Panicked,
            },
            Ask::Submit(_) if what % 16 == 15 => Reply::Panicked,
            Ask::Submit(_) if what % 16 == 14 => Reply::NotWritten,
            Ask::Submit(_) => Reply::Submitted(answer(what)),
            Ask::Resolve(_) => match what % 4 {
                0 => Reply::Resolved(Resolution::Answer(answer(what / 4))),
                1 => Reply::Resolved(Resolution::NotFound),
                2 => Reply::Resolved(Resolution::CannotTell),
                _ => Reply::Panicked,
            },
        };
        Some((Duration::from_millis(after), reply))
    }

    fn document(&mut self, fetch: &Fetch) -> (Duration, Fetched) {
        let Some((what, after)) = self.application.get(self.fetched % self.application.len().max(1)) else {
            return (Duration::ZERO, Fetched::NotAsked);
        };
        self.fetched += 1;
        let text = match what % 6 {
            0 => return (Duration::from_millis(*after), Fetched::NotAsked),
            1 => {
                let failure = FetchFailure::not_retrieved("it answered 500");
                return (Duration::from_millis(*after), Fetched::Failed(failure));
            }
            2 => "<Response><Redirect>https://example.com/round</Redirect></Response>",
            3 => "<Response><Gather numDigits='1'><Say>Again?</Say></Gather></Response>",
            4 => "<Response><Pay chargeAmount='1' postalCode='false' securityCode='false'/></Response>",
            _ => "<Response><Say>Thank you.</Say></Response>",
        };
        let origin = match &fetch.target {
            touchtone::flow::link::Target::Url(url) => Origin::Url(url.clone()),
            touchtone::flow::link::Target::Flow(name) => Origin::Flow(name.clone()),
        };
        let next = NextDocument { document: twiml::parse(text).unwrap(), origin };
        (Duration::from_millis(*after), Fetched::Document(next))
    }
}

fn answer(what: u8) -> Answer {
    let reason = || "as it happens".to_owned();
    match what % 6 {
        0 | 1 => Answer::Approved(Approval { confirmation_code: Some("ch_1".into()), ..Approval::default() }),
        2 => Answer::Declined(Denial { code: Some("no".into()), ..Denial::default() }),
        3 => Answer::Refused(PayErrorCode::ChargeRejected, Denial::default()),
        4 => Answer::NotSent { reason: reason(), retry_after: (what > 99).then(|| Duration::from_secs(7)) },
        _ => Answer::Unknown { reason: reason(), retry_after: (what > 99).then(|| Duration::from_secs(7)) },
    }
}

fn fields(instrument: &Instrument) -> Vec<String> {
    match instrument {
        Instrument::Card(card) => vec![
            card.number.expose().to_owned(),
            card.expiration.to_string(),
            card.postal_code.clone().unwrap_or_default(),
            card.security_code.as_ref().map(|code| code.expose().to_owned()).unwrap_or_default(),
        ],
        Instrument::BankAccount(account) => {
            vec![account.routing_number.clone(), account.account_number.expose().to_owned()]
        }
        Instrument::Token(_) => Vec::new(),
    }
}

fn call(document: &str, platform: Platform, world: Scripted) -> Simulation<Scripted> {
    let context = Context {
        account_sid: "ACa".into(),
        call_sid: "CAa".into(),
        caller: Form::new(),
        parameters: BTreeMap::new(),
        answered_at: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        answered_at_utc: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        seed: SEED,
        platform,
        plain_http: PlainHttp::Never,
    };
    let first = twiml::parse(document)
        .map(|document| NextDocument { document, origin: Origin::Flow("test".into()) })
        .map_err(|fault| FetchFailure::not_readable(fault.to_string()));
    Simulation::start(first, context, world)
}

/// ` name="value"`, of values right and wrong.
fn attribute(name: &'static str, values: &'static [&'static str]) -> BoxedStrategy<String> {
    let values: Vec<String> = values.iter().map(|value| format!(" {name}=\"{value}\"")).collect();
    prop_oneof![3 => Just(String::new()), 2 => select(values)].boxed()
}

fn attributes(choices: &'static [(&'static str, &'static [&'static str])]) -> BoxedStrategy<String> {
    let each: Vec<BoxedStrategy<String>> = choices.iter().map(|(name, values)| attribute(name, values)).collect();
    each.prop_map(|written| written.concat()).boxed()
}

const PAY: &[(&str, &[&str])] = &[
    ("chargeAmount", &["1", "20.45", "0", "-1", "1e3"]),
    ("paymentMethod", &["credit-card", "ach-debit", "ach-debit", "cash"]),
    ("bankAccountType", &["consumer-savings", "piggy-bank"]),
    ("timeout", &["1", "2", "600", "0"]),
    ("interDigitTimeout", &["1", "3", "x"]),
    ("maxAttempts", &["1", "2", "3", "4"]),
    ("securityCode", &["true", "false"]),
    ("postalCode", &["true", "false", "94111"]),
    ("minPostalCodeLength", &["5", "7", "0"]),
    ("tokenType", &["one-time", "reusable", "payment-method"]),
    ("currency", &["usd", "EUR", "jpy", "dollars"]),
    ("language", &["en-US", "de-DE", "tlh"]),
    ("validCardTypes", &["visa", "visa mastercard amex maestro unionpay", "optima", "gold"]),
    ("confirmation", &["true", "true", "false"]),
    ("action", &["https://example.com/paid", "thanks", "http://example.com", ""]),
    ("statusCallback", &["https://example.com/status", "status"]),
    ("colour", &["red"]),
];

const PROMPT: &[(&str, &[&str])] = &[
    ("for", &["payment-card-number", "bank-account-number security-code", "payment-completed payment-failed", "tea"]),
    ("attempt", &["1", "2 3", "11"]),
    ("errorType", &["timeout", "invalid-card-number input-matching-failed"]),
    ("cardType", &["visa", "amex"]),
    ("requireMatchingInputs", &["true", "false"]),
];

const GATHER: &[(&str, &[&str])] = &[
    ("numDigits", &["1", "4", "0"]),
    ("timeout", &["1", "3", "x"]),
    ("finishOnKey", &["*", "", "1"]),
    ("actionOnEmptyResult", &["true"]),
    ("action", &["https://example.com/menu", "menu", "not a flow"]),
];

fn spoken() -> BoxedStrategy<String> {
    prop_oneof![
        Just("<Say>Hello there.</Say>".to_owned()),
        Just("<Say/>".to_owned()),
        Just("<Pause length=\"1\"/>".to_owned()),
        Just("<Play>https://example.com/hold.mp3</Play>".to_owned()),
        Just("<Play digits=\"1w2\"/>".to_owned()),
    ]
    .boxed()
}

fn verb() -> BoxedStrategy<String> {
    let prompt = (attributes(PROMPT), spoken()).prop_map(|(written, said)| format!("<Prompt{written}>{said}</Prompt>"));
    prop_oneof![
        2 => spoken(),
        2 => (attributes(GATHER), vec(spoken(), 0..3))
            .prop_map(|(written, said)| format!("<Gather{written}>{}</Gather>", said.concat())),
        6 => (attributes(PAY), vec(prompt, 0..3))
            .prop_map(|(written, prompts)| format!("<Pay{written}>{}</Pay>", prompts.concat())),
        1 => select(vec!["<Redirect>https://example.com/next</Redirect>", "<Redirect/>", "<Hangup/>", "<Dial>1</Dial>", "<Tea/>"])
            .prop_map(str::to_owned),
    ]
    .boxed()
}

/// What a caller does: keys so many milliseconds apart, then silence.
type Act = (String, u64, u64);

fn act() -> BoxedStrategy<Act> {
    let entry = prop_oneof![
        4 => select(vec!["4242424242424242", "378282246310005", "6771798021000008", "4242424242424241", "1"]),
        4 => select(vec!["1228", "94111", "123", "110000000", "12345678#", "#", "*", "2", "A"]),
    ];
    let keys = prop_oneof![
        4 => entry.prop_map(str::to_owned),
        1 => "[0-9]{1,20}#?",
        1 => "[0-9*#A-D]{1,80}",
    ];
    let gap = select(vec![0, 10, 100, 249, 250, 999, 1000, 2000]);
    let silence =
        prop_oneof![Just(0), 1..400_u64, select(vec![999, 1000, 1001, 5000, 5001, 9999, 10_000]), 0..30_000_u64];
    (keys, gap, silence).boxed()
}

fn capabilities() -> BoxedStrategy<Option<Capabilities>> {
    let idempotency = select(vec![Idempotency::None, Idempotency::ActsOnce, Idempotency::FirstResult]);
    let limits = (
        idempotency,
        any::<bool>(),
        proptest::bool::weighted(0.2),
        0..7_u8,
        any::<bool>(),
        proptest::bool::weighted(0.05),
    );
    let some =
        limits.prop_map(|(idempotency, looks_up, test_numbers_only, repeats, charge_bank, withdrawn)| Capabilities {
            withdrawn,
            idempotency,
            looks_up,
            accepted_numbers: if test_numbers_only { AcceptedNumbers::GENERIC_TEST } else { AcceptedNumbers::Any },
            repeats,
            charge_bank,
            ..sandbox::capabilities()
        });
    option::weighted(0.95, some).boxed()
}

fn world() -> BoxedStrategy<Scripted> {
    let after = prop_oneof![Just(0), 0..3000_u64, select(vec![9999, 10_000, 10_001, 15_000]), 0..100_000_u64];
    let gateway = vec(option::weighted(0.85, (any::<u8>(), after.clone())), 0..8);
    let away = vec(proptest::bool::weighted(0.2), 0..3);
    (capabilities(), away, gateway, vec((any::<u8>(), after), 0..3))
        .prop_map(|(capabilities, away, gateway, application)| Scripted {
            capabilities,
            away,
            gateway,
            application,
            ..Scripted::default()
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_call_keeps_the_rules_and_ends_once_the_caller_is_gone(
        verbs in vec(verb(), 1..5),
        acts in vec(act(), 0..25),
        world in world(),
        platform in select(Platform::ALL),
    ) {
        let document = format!("<Response>{}</Response>", verbs.concat());
        let mut call = call(&document, platform, world);
        for (keys, gap, silence) in acts {
            for key in keys.chars().filter_map(Key::parse) {
                call.press(key);
                prop_assert_eq!(stuck(call.call()), None);
                call.advance_to(call.now() + Duration::from_millis(gap));
            }
            call.advance_to(call.now() + Duration::from_millis(silence));
            prop_assert_eq!(stuck(call.call()), None);
        }
        call.hang_up();
        prop_assert!(call.run_to_end(), "it goes on: {}", call.call().stage_name());
        prop_assert_eq!(broken(call.records(), call.call()), None);
        for (_, record) in call.records() {
            // Showing a record must not fail either.
            prop_assert!(!record.to_string().is_empty());
        }
    }
}

/// The fields of a call, as keyed; whether each ends with `#` where it need not; and how keys are spread over time.
#[derive(Clone, Debug)]
struct Typing {
    fields: Vec<&'static str>,
    pounds: Vec<bool>,
    gaps: Vec<u64>,
    begins: u64,
}

fn typing(kinds: Vec<Vec<&'static str>>) -> impl Strategy<Value = Typing> {
    let fields: Vec<BoxedStrategy<&'static str>> = kinds.into_iter().map(|choices| select(choices).boxed()).collect();
    // Faster than a finger, around a burst's 250 ms, and up to half of the timeout: a `#` that belongs to the field before
    // restarts no timer.
    let gap = prop_oneof![Just(0), 1..40_u64, 40..400_u64, select(vec![249, 250, 251]), 400..2400_u64];
    let style = prop_oneof![
        // A whole call at one speed, or at many.
        gap.clone().prop_map(|gap| vec![gap]),
        vec(gap, 8..60),
    ];
    (fields, vec(any::<bool>(), 4), style, 0..8000_u64).prop_map(|(fields, pounds, gaps, begins)| Typing {
        fields,
        pounds,
        gaps,
        begins,
    })
}

/// Keys everything in without ever waiting for a prompt, and gives what the gateway got.
fn typed(document: &str, typing: &Typing, needs_pound: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let world = Scripted { capabilities: Some(sandbox::capabilities()), ..Scripted::default() };
    let mut call = call(document, Platform::Twilio, world);
    call.advance_to(CallTime::from_millis(typing.begins));
    let mut gaps = typing.gaps.iter().cycle();
    for (field, pound) in typing.fields.iter().zip(&typing.pounds) {
        let end = if *pound || needs_pound(field) { "#" } else { "" };
        for key in field.chars().chain(end.chars()).filter_map(Key::parse) {
            call.press(key);
            call.advance_to(call.now() + Duration::from_millis(*gaps.next().unwrap()));
        }
    }
    call.run_to_end();
    assert_eq!(broken(call.records(), call.call()), None);
    call.world().submitted.clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_digit_of_a_card_is_lost_or_doubled_at_any_speed(
        typing in typing(vec![
            vec!["4242424242424242", "5555555555554444", "4222222222222", "6771798021000008", "6200000000000005", "4000000000000000006"],
            vec!["1228", "0630"],
            vec!["94111", "10001"],
            vec!["123", "999", "000"],
        ]),
        greeting in select(vec!["", "<Say>Welcome to the house of keys.</Say>", "<Pause length='4'/>"]),
    ) {
        let document = format!(
            "<Response>{greeting}<Pay chargeAmount='1' validCardTypes='visa mastercard maestro unionpay'/></Response>"
        );
        // These can go on, or are shorter than their brand's usual length.
        let needs_pound = |field: &str| field.starts_with('6') || field.len() == 13;
        prop_assert_eq!(typed(&document, &typing, needs_pound), vec![typing.fields.clone()]);
    }

    #[test]
    fn no_digit_of_an_account_is_lost_or_doubled_even_if_it_is_keyed_twice(
        mut typing in typing(vec![
            vec!["110000000", "021000021"],
            vec!["12345678", "1234", "12345678901234567", "00000"],
        ]),
        twice in any::<bool>(),
    ) {
        let (prompt, fields) = if twice {
            ("<Prompt for='bank-account-number' requireMatchingInputs='true'><Say>Again.</Say></Prompt>", typing.fields.clone())
        } else {
            ("", typing.fields.clone())
        };
        if twice {
            typing.fields.push(fields[1]);
        }
        let document =
            format!("<Response><Pay paymentMethod='ach-debit' chargeAmount='1'>{prompt}</Pay></Response>");
        let needs_pound = |field: &str| field.len() != 9 && field.len() != 17;
        prop_assert_eq!(typed(&document, &typing, needs_pound), vec![fields]);
    }
}

/// What an agent or the application does.
#[derive(Clone, Debug)]
enum Outside {
    Creates(Vec<(&'static str, &'static str)>),
    /// A payment of the call, counted from 0; what is to be captured; which status.
    Updates(u128, Option<&'static str>, Option<&'static str>),
    SendsTo(&'static str),
    Ends,
}

const SEED: u128 = 0xabcd_efab_cdef_abcd_efab_cdef_abcd_ef00;

impl Outside {
    fn happen<W: World>(&self, call: &mut Simulation<W>) {
        let mut form = Form::new();
        form.set("IdempotencyKey", "key");
        form.set("StatusCallback", "https://example.com/progress");
        match self {
            Self::Creates(parameters) => {
                for (name, value) in parameters {
                    form.set(*name, *value);
                }
                call.command(AgentCommand::Create(form));
            }
            Self::Updates(payment, capture, status) => {
                form.set_some("Capture", *capture);
                form.set_some("Status", *status);
                call.command(AgentCommand::Update { sid: format!("PK{:032x}", SEED + payment), form });
            }
            Self::SendsTo(text) => {
                let document = twiml::parse(text).unwrap();
                call.redirect(Redirection::Document(
                    NextDocument { document, origin: Origin::Flow("test".into()) },
                    (*text).to_owned(),
                ));
            }
            Self::Ends => call.complete(),
        }
    }
}

fn outside() -> BoxedStrategy<Outside> {
    let parameters = select(vec![
        ("ChargeAmount", "1"),
        ("PaymentMethod", "ach-debit"),
        ("PostalCode", "false"),
        ("SecurityCode", "false"),
        ("Timeout", "1"),
        ("Confirmation", "true"),
        ("RequireMatchingInputs", "payment-card-number"),
        ("ValidCardTypes", "visa maestro"),
        ("Currency", "dollars"),
        ("StatusCallback", ""),
    ]);
    let captures = select(vec![
        "payment-card-number",
        "payment-card-number",
        "payment-card-number-matcher",
        "expiration-date",
        "postal-code",
        "security-code",
        "bank-routing-number",
        "bank-account-number",
        "shoe-size",
    ]);
    let documents = select(vec![
        "<Response><Pause length='60'/></Response>",
        "<Response><Say>Please hold the line.</Say></Response>",
        "<Response><Pay chargeAmount='1' confirmation='true' statusCallback='https://example.com/status'/></Response>",
        "<Response><Gather timeout='2'><Say>Well?</Say></Gather></Response>",
    ]);
    prop_oneof![
        4 => vec(parameters, 0..5).prop_map(Outside::Creates),
        12 => (0..3_u128, captures).prop_map(|(payment, field)| Outside::Updates(payment, Some(field), None)),
        3 => (0..3_u128, select(vec!["complete", "complete", "cancel", "x"]))
            .prop_map(|(payment, status)| Outside::Updates(payment, None, Some(status))),
        1 => documents.prop_map(Outside::SendsTo),
        1 => Just(Outside::Ends),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn keys_agents_and_applications_may_come_in_any_order(
        verbs in vec(verb(), 0..2),
        acts in vec((option::weighted(0.7, outside()), option::weighted(0.6, act())), 0..30),
        world in world(),
    ) {
        let document = format!("<Response>{}<Pause length='600'/></Response>", verbs.concat());
        let mut call = call(&document, Platform::Twilio, world);
        for (outside, keyed) in acts {
            if let Some(outside) = outside {
                outside.happen(&mut call);
                prop_assert_eq!(stuck(call.call()), None);
            }
            let Some((keys, gap, silence)) = keyed else { continue };
            for key in keys.chars().filter_map(Key::parse) {
                call.press(key);
                prop_assert_eq!(stuck(call.call()), None);
                call.advance_to(call.now() + Duration::from_millis(gap));
            }
            call.advance_to(call.now() + Duration::from_millis(silence));
        }
        call.hang_up();
        prop_assert!(call.run_to_end(), "it goes on: {}", call.call().stage_name());
        prop_assert_eq!(broken(call.records(), call.call()), None);
    }

    #[test]
    fn no_digit_that_an_agent_asks_for_is_lost_or_doubled_whatever_is_keyed_between(
        typing in typing(vec![
            vec!["4242424242424242", "5555555555554444", "6771798021000008", "4000000000000000006"],
            vec!["1228", "0630"],
            vec!["94111", "10001"],
            vec!["123", "999", "000"],
        ]),
        between in vec(select(vec!["", "", "7", "4242", "*", "99#"]), 4),
        restarts in vec(any::<bool>(), 4),
        backwards in any::<bool>(),
    ) {
        let world = Scripted { capabilities: Some(sandbox::capabilities()), ..Scripted::default() };
        let mut call = call("<Response><Pause length='3000'/></Response>", Platform::Twilio, world);
        let mut gaps = typing.gaps.iter().cycle();
        let mut press = |call: &mut Simulation<Scripted>, keys: &str| {
            for key in keys.chars().filter_map(Key::parse) {
                call.press(key);
                call.advance_to(call.now() + Duration::from_millis(*gaps.next().unwrap()));
            }
        };
        Outside::Creates(vec![("ChargeAmount", "1"), ("ValidCardTypes", "visa mastercard maestro")]).happen(&mut call);
        let words = ["payment-card-number", "expiration-date", "postal-code", "security-code"];
        // The card number is always first: the code needs it.
        let order = if backwards { [0, 3, 2, 1] } else { [0, 1, 2, 3] };
        for place in order {
            press(&mut call, between[place]);
            Outside::Updates(0, Some(words[place]), None).happen(&mut call);
            let field = typing.fields[place];
            if restarts[place] {
                // After a field that completed by itself, a first star is input like any other key.
                press(&mut call, "1*");
            }
            press(&mut call, field);
            if typing.pounds[place] || field.starts_with('6') {
                press(&mut call, "#");
            } else if words[place] == "postal-code" {
                // It might go on to be a ZIP+4: the agent goes on once it is whole.
                call.advance_to(call.now() + Duration::from_millis(1001));
            }
        }
        press(&mut call, "5");
        Outside::Updates(0, None, Some("complete")).happen(&mut call);
        call.hang_up();
        call.run_to_end();
        prop_assert_eq!(broken(call.records(), call.call()), None);
        prop_assert_eq!(&call.world().submitted, &vec![typing.fields.clone()]);
    }
}
