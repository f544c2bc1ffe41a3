//! Numbers that were keyed are hidden wherever a document or a gateway repeats them.

use super::*;

/// What a caller keyed into a `<Gather>` and a document put somewhere else: everything that a log, `error_url`, a callback or a
/// trace shows of it.
fn shown_of_gathered(next: &'static str, keys: &str) -> String {
    let document = "<Response><Gather action=\"https://shop.example.com/next\"/></Response>";
    let documents = vec![("https://shop.example.com/next", next)];
    let mut simulation = call_in(document, TestWorld { documents, no_connector: true, ..TestWorld::default() });
    press(&mut simulation, &format!("{keys}#"));
    assert!(simulation.run_to_end());
    let digits = simulation.records().iter().any(|(_, record)| {
        matches!(record, Record::Requested(fetch) if fetch.form.value("Digits").is_some_and(|value| value.expose() == keys))
    });
    assert!(digits, "the application is told in Digits");
    let shown = |record: &Record| match record {
        Record::Requested(_) | Record::Said(..) => None,
        Record::Pressed(_) => None,
        record => Some(format!("{record}\n")),
    };
    simulation.records().iter().filter_map(|(_, record)| shown(record)).collect()
}

#[test]
fn a_number_that_was_gathered_is_in_no_warning_and_in_no_payment_error() {
    for (next, wrong) in [
        ("<Response><Pay chargeAmount=\"4539578763621486\"/></Response>", "PaymentError=<Pay>: chargeAmount"),
        ("<Response><Pay timeout=\"4539578763621486\"/></Response>", "PaymentError=<Pay>: timeout"),
        ("<Response><Pay paymentConnector=\"c4539578763621486\"/></Response>", "there is no connector named c"),
        ("<Response><Pay action=\"ftp://example.com/4539578763621486\"/></Response>", "PaymentError=<Pay>: action"),
        ("<Response><Pay><Prompt for=\"4539-5787-6362-1486\"/></Pay></Response>", "<Prompt for="),
        ("<Response><Redirect>ftp://4539578763621486/</Redirect></Response>", "<Redirect>ftp://"),
        ("<Response><Redirect>/of/4539578763621486</Redirect></Response>", "there is no such page"),
        ("<Response><Gather timeout=\"4539 - 5787 - 6362 - 1486\"/></Response>", "<Gather timeout="),
        ("<Response><Gather numDigits=\"４５３９５７８７６３６２１４８６\"/></Response>", "<Gather numDigits="),
        ("<Response><Dial4539578763621486/></Response>", "is no verb"),
        ("<Response><Pay timeout=\"&amp;#52;539578763621486\"/></Response>", "PaymentError=<Pay>: timeout"),
    ] {
        let shown = shown_of_gathered(next, "4539578763621486");
        assert!(shown.contains(wrong), "{next}: {shown}");
        for part in ["453957876", "4539 - 5787", "4539-5787", "４５３９", "539578763"] {
            assert!(!shown.contains(part), "{next}: {shown}");
        }
    }
}

#[test]
fn the_name_of_a_flow_that_was_gathered_is_not_told() {
    struct Flows;
    impl World for Flows {
        fn connector(&mut self, _: &str) -> Option<Capabilities> {
            None
        }
        fn gateway(&mut self, _: &Question, _: &PaymentRequest, _: &Instrument) -> Option<(Duration, Reply)> {
            None
        }
        fn document(&mut self, fetch: &Fetch) -> (Duration, Fetched) {
            let link::Target::Flow(name) = &fetch.target else { return (Duration::ZERO, Fetched::NotAsked) };
            let fetched = match name.as_str() {
                // What the template `<Redirect>{{ Digits }}</Redirect>` is rendered to.
                "next" => {
                    let text =
                        format!("<Response><Redirect>{}</Redirect></Response>", fetch.parameters["Digits"].expose());
                    let origin = Origin::Flow("next".to_owned());
                    Fetched::Document(NextDocument { document: twiml::parse(&text).unwrap(), origin })
                }
                other => Fetched::Failed(FetchFailure::not_retrieved(format!("no flow {other}"))),
            };
            (Duration::ZERO, fetched)
        }
    }
    let document = twiml::parse("<Response><Gather action=\"next\"/></Response>").unwrap();
    let first = First::Document(NextDocument { document, origin: Origin::Flow("test".into()) });
    let mut simulation = Simulation::start(first, context_of_tests(), Flows);
    for symbol in "4539578763621486#".chars() {
        simulation.press(Key::parse(symbol).unwrap());
    }
    assert!(simulation.run_to_end());
    let shown: String = simulation.records().iter().map(|(_, record)| format!("{record}\n")).collect();
    assert!(shown.contains("warning   no flow xxxxxxxxxxxxxxxx"), "{shown}");
    assert!(!shown.contains("453957876"), "{shown}");
}

#[test]
fn a_number_that_was_gathered_is_hidden_where_a_gateway_quotes_it() {
    let document = "<Response><Gather numDigits=\"10\" action=\"https://shop.example.com/next\"/></Response>";
    let documents = vec![(
        "https://shop.example.com/next",
        "<Response><Pay chargeAmount=\"1\" postalCode=\"false\" action=\"/end\"/></Response>",
    )];
    let denial = Denial {
        code: Some("bad".into()),
        message: Some("customer 98765 - 43210 is unknown, order 1357924680 is not".into()),
        parameters: vec![("customer".into(), "９８７６５４３２１０".into())],
    };
    let answers = vec![(0, Answer::Declined(denial))];
    let mut simulation = call_in(document, TestWorld { documents, answers, ..TestWorld::default() });
    press(&mut simulation, "9876543210");
    listen(&mut simulation);
    press(&mut simulation, "4242424242424242 1228 123");
    assert!(simulation.run_to_end());
    let told = simulation.records().iter().rev().find_map(|(_, record)| match record {
        Record::Reported(_, _, form) => Some(form.clone()),
        _ => None,
    });
    let told = told.unwrap();
    let field = |name: &str| told.value(name).unwrap().expose().to_owned();
    assert_eq!(field("PaymentError"), "customer xxxxx - xxxxx is unknown, order 1357924680 is not");
    assert_eq!(field("PayConnector_customer"), "xxxxxxxxxx");
}

/// The fields of the last report of a payment, by name.
fn last_told(simulation: &Simulation<TestWorld>, name: &str) -> Option<String> {
    let form = simulation.records().iter().rev().find_map(|(_, record)| match record {
        Record::Reported(_, _, form) => Some(form.clone()),
        _ => None,
    })?;
    form.value(name).map(|value| value.expose().to_owned())
}

#[test]
fn a_number_that_was_gathered_is_hidden_in_what_a_gateway_makes_of_it() {
    let document = "<Response><Gather finishOnKey=\"#\" action=\"https://shop.example.com/next\"/></Response>";
    let charge = "<Response><Pay chargeAmount=\"1\" postalCode=\"false\" action=\"/end\"/></Response>";
    let token = "<Response><Pay tokenType=\"reusable\" postalCode=\"false\" action=\"/end\"/></Response>";
    let secret = |text: &str| Some(crate::secret::Secret::new(text.to_owned()));
    for (next, approval, fields) in [
        (
            charge,
            Approval { confirmation_code: Some("ch_4539578763621486".into()), ..Approval::default() },
            &[("PaymentConfirmationCode", "ch_xxxxxxxxxxxxxxxx")][..],
        ),
        (
            token,
            Approval {
                token: secret("tok_4539578763621486"),
                profile_id: secret("cus_4539578763621486"),
                ..Approval::default()
            },
            &[("PaymentToken", "tok_xxxxxxxxxxxxxxxx"), ("ProfileId", "cus_xxxxxxxxxxxxxxxx")],
        ),
    ] {
        let documents = vec![("https://shop.example.com/next", next)];
        let answers = vec![(0, Answer::Approved(approval))];
        let mut simulation = call_in(document, TestWorld { documents, answers, ..TestWorld::default() });
        press(&mut simulation, "4539578763621486#");
        listen(&mut simulation);
        press(&mut simulation, "4242424242424242 1228 123");
        assert!(simulation.run_to_end());
        for (name, value) in fields {
            assert_eq!(last_told(&simulation, name).as_deref(), Some(*value));
        }
        let settled = simulation.records().iter().find_map(|(_, record)| match record {
            Record::Requested(fetch) if fetch.form.value("Result").is_some() => Some(fetch.clone()),
            _ => None,
        });
        for (name, value) in fields {
            assert_eq!(settled.as_ref().unwrap().form.value(name).map(|value| value.expose()), Some(*value));
        }
    }
}

#[test]
fn a_second_payment_s_answer_does_not_tell_the_first_one_s_number() {
    let document = "<Response><Pay chargeAmount=\"1\" postalCode=\"false\" action=\"https://shop.example.com/next\"/>\
                    </Response>";
    let next = "<Response><Pay chargeAmount=\"1\" postalCode=\"false\" action=\"/end\"/></Response>";
    let approval = Approval {
        confirmation_code: Some("ch_4539578763621486".into()),
        parameters: vec![("before".into(), "4539x5787x6362x1486".into())],
        ..Approval::default()
    };
    let answers = vec![(0, Answer::Declined(Denial::default())), (0, Answer::Approved(approval))];
    let documents = vec![("https://shop.example.com/next", next)];
    let mut simulation = call_in(document, TestWorld { documents, answers, ..TestWorld::default() });
    for number in ["4539578763621486", "5555555555554444"] {
        listen(&mut simulation);
        press(&mut simulation, &format!("{number} 1228 123"));
    }
    assert!(simulation.run_to_end());
    assert_eq!(last_told(&simulation, "PaymentConfirmationCode").as_deref(), Some("ch_xxxxxxxxxxxxxxxx"));
    assert_eq!(last_told(&simulation, "PayConnector_before").as_deref(), Some("xxxxxxxxxxxxxxxxxxx"));
}
