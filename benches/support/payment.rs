//! One card payment through the call machine, with the sandbox and nothing else around it: what several benchmarks measure.

use std::collections::BTreeMap;
use std::time::Duration;

use touchtone::flow::link::{Origin, PlainHttp};
use touchtone::flow::{Context, Ended, Fetch, Fetched, NextDocument};
use touchtone::form::Form;
use touchtone::pay::gateway::{Capabilities, Instrument, PaymentRequest};
use touchtone::pay::platform::Platform;
use touchtone::pay::sandbox;
use touchtone::pay::submission::{Question, Reply};
use touchtone::simulate::{Simulation, World, sandbox_reply};
use touchtone::tone::Key;
use touchtone::twiml;

/// A document that pays.
pub(crate) const PAY: &str = "<Response><Say>Welcome.</Say><Gather numDigits='1' timeout='2'><Say>Press 1.</Say></Gather>\
                   <Pay chargeAmount='20.45' maxAttempts='2' statusCallback='https://example.com/status'/>\
                   <Say>Thank you.</Say></Response>";

/// A world with the sandbox and nothing else.
struct Sandbox;

impl World for Sandbox {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        Some(sandbox::capabilities())
    }

    fn gateway(
        &mut self,
        question: &Question,
        payment_request: &PaymentRequest,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)> {
        Some((Duration::from_millis(800), sandbox_reply(question, payment_request, instrument)))
    }

    fn document(&mut self, _: &Fetch) -> (Duration, Fetched) {
        (Duration::ZERO, Fetched::NotAsked)
    }
}

/// [`PAY`], read.
pub(crate) fn document() -> NextDocument {
    let document = twiml::parse(PAY).expect("the document is good");
    NextDocument { document, origin: Origin::Flow("bench".into()) }
}

fn context() -> Context {
    Context {
        account_sid: "AC1".into(),
        call_sid: "CA1".into(),
        caller: Form::new(),
        parameters: BTreeMap::new(),
        answered_at: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        answered_at_utc: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        seed: 1,
        platform: Platform::Twilio,
        plain_http: PlainHttp::Never,
    }
}

/// A caller who waits for each prompt and keys in what is asked for.
pub(crate) fn payment(document: &NextDocument) -> Option<Ended> {
    let mut call = Simulation::start(Ok(document.clone()), context(), Sandbox);
    for keys in ["1", "4242424242424242", "1228", "94111", "123"] {
        while !call.call().is_listening() && call.step() {}
        for key in keys.chars().filter_map(Key::parse) {
            call.press(key);
            call.advance_to(call.now() + Duration::from_millis(100));
        }
    }
    call.run_to_end();
    call.ended()
}
