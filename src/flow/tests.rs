//! Whole calls through the machine, in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::link::{Origin, PlainHttp};
use super::*;
use crate::form::Form;
use crate::pay::gateway::{Answer, Approval, Capabilities, Denial, Instrument, PaymentRequest};
use crate::pay::platform::Platform;
use crate::pay::sandbox;
use crate::pay::session::What;
use crate::pay::step::{EntryError, PayResult, Step};
use crate::pay::submission::{Ask, Question, Reply};
use crate::simulate::{Record, Simulation, World, sandbox_reply};
use crate::tone::Key;
use crate::twiml;

mod late_answers;
mod numbers;

/// A world with one connector whose answers may be given, and documents by URL.
#[derive(Default)]
struct TestWorld {
    documents: Vec<(&'static str, &'static str)>,
    answers: Vec<(u64, Answer)>,
    no_connector: bool,
    not_written: bool,
}

impl World for TestWorld {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        (!self.no_connector).then(sandbox::capabilities)
    }

    fn gateway(
        &mut self,
        question: &Question,
        payment_request: &PaymentRequest,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)> {
        match question.what {
            Ask::Submit(_) if self.not_written => Some((Duration::ZERO, Reply::NotWritten)),
            Ask::Submit(_) if !self.answers.is_empty() => {
                let (after, answer) = self.answers.remove(0);
                Some((Duration::from_millis(after), Reply::Submitted(answer)))
            }
            _ => Some((Duration::ZERO, sandbox_reply(question, payment_request, instrument))),
        }
    }

    fn document(&mut self, fetch: &Fetch) -> (Duration, Fetched) {
        let link::Target::Url(url) = &fetch.target else { return (Duration::ZERO, Fetched::NotAsked) };
        let found = self.documents.iter().find(|(known, _)| *known == url.as_str());
        let fetched = match found {
            Some((_, text)) => {
                let document = twiml::parse(text).unwrap();
                Fetched::Document(NextDocument { document, origin: Origin::Url(url.clone()) })
            }
            None => Fetched::Failed(FetchFailure::not_retrieved("there is no such page")),
        };
        (Duration::from_millis(50), fetched)
    }
}

fn call_in(document: &str, world: TestWorld) -> Simulation<TestWorld> {
    let document = twiml::parse(document).unwrap();
    let first = NextDocument { document, origin: Origin::Flow("test".into()) };
    begun_with(First::Document(first), world)
}

fn begun_with(first: First, world: TestWorld) -> Simulation<TestWorld> {
    Simulation::start(first, context_of_tests(), world)
}

fn context_of_tests() -> Context {
    Context {
        account_sid: "AC1".into(),
        call_sid: "CA1".into(),
        caller: Form::new(),
        parameters: BTreeMap::new(),
        answered_at: jiff::civil::date(2026, 11, 22).at(10, 0, 0, 0),
        answered_at_utc: jiff::civil::date(2026, 11, 22).at(10, 0, 0, 0),
        seed: 7,
        platform: Platform::Twilio,
        plain_http: PlainHttp::Never,
    }
}

fn call(document: &str) -> Simulation<TestWorld> {
    call_in(document, TestWorld::default())
}

/// Presses keys 100 ms apart, the first one now.
fn press(simulation: &mut Simulation<TestWorld>, keys: &str) {
    for (place, symbol) in keys.chars().filter(|c| !c.is_whitespace()).enumerate() {
        if place > 0 {
            simulation.advance_to(simulation.now() + Duration::from_millis(100));
        }
        simulation.press(Key::parse(symbol).unwrap());
    }
}

fn wait(simulation: &mut Simulation<TestWorld>, millis: u64) {
    simulation.advance_to(simulation.now() + Duration::from_millis(millis));
}

/// Lets time pass until the call listens in silence.
fn listen(simulation: &mut Simulation<TestWorld>) {
    while !simulation.call().is_listening() {
        assert!(simulation.step(), "the call never listens");
    }
}

fn happened(simulation: &Simulation<TestWorld>) -> Vec<(Step, u8, What)> {
    let progress = |record: &Record| match record {
        Record::Reported(_, progress, _) => Some((progress.step, progress.attempt, progress.what)),
        _ => None,
    };
    simulation.records().iter().filter_map(|(_, record)| progress(record)).collect()
}

fn result(simulation: &Simulation<TestWorld>) -> Option<PayResult> {
    happened(simulation).iter().find_map(|(_, _, what)| match what {
        What::Finished(result) => Some(*result),
        _ => None,
    })
}

#[test]
fn a_key_that_cannot_be_read_matters_while_digits_are_entered_and_at_no_other_time() {
    let mut call = call(
        "<Response><Say>Welcome.</Say><Gather numDigits='2'/><Pay chargeAmount='1' postalCode='false' confirmation='true'/></Response>",
    );
    assert!(!call.call().is_entering(), "words");
    press(&mut call, "1");
    assert!(call.call().is_entering(), "the first of two digits is there already");
    listen(&mut call);
    assert_eq!(call.call().stage_name(), "gathering");
    assert!(call.call().is_entering());
    press(&mut call, "2");
    for keys in ["4242424242424242", "1228", "123"] {
        listen(&mut call);
        assert!(call.call().is_entering(), "{}", call.call().stage_name());
        press(&mut call, keys);
    }
    listen(&mut call);
    assert_eq!(call.call().stage_name(), "waiting confirmation");
    assert!(!call.call().is_entering(), "another key asks again");
    press(&mut call, "1");
    assert!(!call.call().is_entering(), "the gateway has been asked");
    assert!(call.run_to_end());
    assert!(!call.call().is_entering());
}

const PAY: &str = "<Response><Pay chargeAmount=\"20.45\" timeout=\"5\" maxAttempts=\"2\"/></Response>";

#[test]
fn a_card_payment_goes_from_the_first_prompt_to_the_confirmation_code() {
    let mut call = call(PAY);
    listen(&mut call);
    for keys in ["4242424242424242", "1228", "94111", "123"] {
        press(&mut call, keys);
        if keys != "123" {
            listen(&mut call);
        }
    }
    assert!(call.run_to_end());
    assert_eq!(result(&call), Some(PayResult::Success));
    use What::{Begun, Captured, Finished};
    assert_eq!(
        happened(&call),
        [
            (Step::PaymentCardNumber, 1, Begun),
            (Step::PaymentCardNumber, 1, Captured),
            (Step::ExpirationDate, 1, Begun),
            (Step::ExpirationDate, 1, Captured),
            (Step::PostalCode, 1, Begun),
            (Step::PostalCode, 1, Captured),
            (Step::SecurityCode, 1, Begun),
            (Step::SecurityCode, 1, Captured),
            (Step::PaymentProcessing, 1, Begun),
            (Step::PaymentProcessing, 1, Finished(PayResult::Success)),
        ]
    );
    assert_eq!(call.ended(), Some(Ended::EndOfDocument));
}

#[test]
fn everything_may_be_typed_ahead_in_one_go() {
    let mut call = call(PAY);
    press(&mut call, "4242424242424242 # 1228 # 94111 # 123 #");
    assert!(call.run_to_end());
    assert_eq!(result(&call), Some(PayResult::Success));
    assert!(!happened(&call).iter().any(|(_, _, what)| matches!(what, What::Failed(_))));
}

#[test]
fn keys_pressed_during_a_say_and_a_pause_are_the_next_pay_s() {
    let mut call = call(
        "<Response><Say>Welcome to the donation line.</Say><Pause length=\"2\"/><Pay securityCode=\"false\" postalCode=\"false\"/></Response>",
    );
    press(&mut call, "4242424242424242 1228");
    assert_eq!(call.turns().len(), 1);
    assert!(call.run_to_end());
    assert_eq!(result(&call), Some(PayResult::Success));
    assert_eq!(call.turns().len(), 2, "the two prompts were skipped: {:?}", call.turns());
}

#[test]
fn the_rest_of_a_failing_burst_is_not_the_retry_s() {
    let mut call = call(PAY);
    press(&mut call, "5555555555554440 1228 94111");
    assert_eq!(happened(&call).last().unwrap().2, What::Failed(EntryError::InvalidCardNumber));
    wait(&mut call, 300);
    press(&mut call, "5555555555554444");
    assert!(happened(&call).contains(&(Step::PaymentCardNumber, 2, What::Captured)));
}

#[test]
fn a_key_wins_over_a_deadline_of_the_same_instant() {
    let mut call = call(PAY);
    listen(&mut call);
    wait(&mut call, 5000);
    press(&mut call, "4242424242424242");
    assert!(happened(&call).contains(&(Step::PaymentCardNumber, 1, What::Captured)), "{:?}", happened(&call));
}

#[test]
fn silence_fails_every_attempt_and_then_the_step() {
    let mut call = call(PAY);
    assert!(call.run_to_end());
    assert_eq!(result(&call), Some(PayResult::TooManyFailedAttempts));
    let failed = happened(&call).iter().filter(|(_, _, what)| *what == What::Failed(EntryError::InputTimeout)).count();
    assert_eq!(failed, 3, "maxAttempts=2 is two retries");
}

#[test]
fn a_star_ends_it_at_once_and_nothing_is_submitted() {
    let mut call = call(PAY);
    press(&mut call, "4242*");
    assert_eq!(result(&call), Some(PayResult::CallerInterruptedWithStar));
    assert!(!call.records().iter().any(|(_, record)| matches!(record, Record::Asked(..))));
}

#[test]
fn a_star_while_the_gateway_is_asked_waits_for_the_outcome_and_money_taken_is_told() {
    let approval = crate::pay::gateway::Approval { confirmation_code: Some("ch_9".into()), ..Default::default() };
    let world = TestWorld { answers: vec![(3000, Answer::Approved(approval))], ..TestWorld::default() };
    let mut call = call_in(PAY, world);
    press(&mut call, "4242424242424242 1228 94111 123");
    wait(&mut call, 2000);
    press(&mut call, "*");
    assert_eq!(result(&call), None);
    assert!(call.run_to_end());
    assert_eq!(result(&call), Some(PayResult::Success));
}

#[test]
fn a_decline_after_a_star_is_told_as_the_star() {
    let world = TestWorld { answers: vec![(3000, Answer::Declined(Default::default()))], ..TestWorld::default() };
    let mut call = call_in(PAY, world);
    press(&mut call, "4242424242424242 1228 94111 123");
    wait(&mut call, 2000);
    press(&mut call, "*");
    assert!(call.run_to_end());
    assert_eq!(result(&call), Some(PayResult::CallerInterruptedWithStar));
}

#[test]
fn a_hang_up_is_told_to_the_action_and_its_answer_is_not_wanted() {
    let document = "<Response><Pay action=\"https://example.com/paid\"/><Say>never</Say></Response>";
    let mut call = call(document);
    press(&mut call, "4242");
    call.hang_up();
    assert!(call.run_to_end());
    let fetches: Vec<&Fetch> = call
        .records()
        .iter()
        .filter_map(|(_, record)| match record {
            Record::Requested(fetch) => Some(&**fetch),
            _ => None,
        })
        .collect();
    assert_eq!(fetches.len(), 1);
    assert!(!fetches[0].answer_wanted);
    assert_eq!(fetches[0].form.value("Result").unwrap().shown(), "caller-hung-up");
    assert_eq!(call.ended(), Some(Ended::Caller));
}

#[test]
fn an_invalid_value_ends_the_verb_before_a_word_is_said() {
    let mut call = call("<Response><Pay chargeAmount=\"$5\" action=\"https://example.com/paid\"/></Response>");
    assert!(call.run_to_end());
    assert_eq!(result(&call), Some(PayResult::ValidationError));
}

#[test]
fn an_unknown_connector_is_told_before_a_digit_is_keyed() {
    let mut call = call_in(PAY, TestWorld { no_connector: true, ..TestWorld::default() });
    assert!(call.run_to_end());
    assert_eq!(result(&call), Some(PayResult::PaymentConnectorError));
    assert!(call.turns().is_empty());
}

#[test]
fn documents_that_only_send_the_call_on_are_cut() {
    let documents = vec![("https://example.com/a", "<Response><Redirect>https://example.com/a</Redirect></Response>")];
    let mut call = call_in(
        "<Response><Redirect>https://example.com/a</Redirect></Response>",
        TestWorld { documents, ..TestWorld::default() },
    );
    assert!(call.run_to_end());
    assert_eq!(call.ended(), Some(Ended::Hangup));
    assert!(
        call.records()
            .iter()
            .any(|(_, record)| matches!(record, Record::Warned(warning) if warning.message.contains("in a row")))
    );
}

#[test]
fn a_menu_that_is_used_for_an_hour_is_not_cut() {
    let menu = "<Response><Gather numDigits=\"1\" action=\"https://example.com/menu\"><Say>Press any key.</Say></Gather></Response>";
    let mut call =
        call_in(menu, TestWorld { documents: vec![("https://example.com/menu", menu)], ..TestWorld::default() });
    for _ in 0..500 {
        listen(&mut call);
        press(&mut call, "1");
    }
    call.hang_up();
    assert!(call.run_to_end());
    assert_eq!(call.ended(), Some(Ended::Caller));
}

#[test]
fn a_call_that_begins_with_a_url_asks_for_it_by_post_and_runs_what_comes() {
    let url = "https://example.com/start";
    let documents = vec![(url, "<Response><Say>Welcome.</Say></Response>")];
    let first = First::Url(url.parse().unwrap());
    let mut call = begun_with(first, TestWorld { documents, ..TestWorld::default() });
    assert_eq!(call.call().poll_timeout(), Some((crate::time::CallTime::ZERO + FETCH_LIMIT, Wait::Fetch)));
    assert!(call.run_to_end());
    assert_eq!(call.turns()[0].text, "Welcome.");
    let Some((_, Record::Requested(fetch))) = call.records().first() else { panic!("{:?}", call.records()) };
    assert_eq!((fetch.purpose, fetch.method, fetch.answer_wanted), (Purpose::First, twiml::Method::Post, true));
    let fields: Vec<&str> = fetch.form.iter().map(|(name, _)| name).collect();
    assert_eq!(fields, ["AccountSid", "CallSid", "CallStatus", "ApiVersion", "Direction"]);
}

#[test]
fn a_call_without_a_first_document_is_apologized_for_and_ends() {
    for first in [
        First::Url("https://example.com/missing".parse().unwrap()),
        First::Failed(FetchFailure::not_retrieved("no entry of flow_urls allows it")),
    ] {
        let mut call = begun_with(first, TestWorld::default());
        assert!(call.run_to_end());
        assert!(call.turns()[0].text.contains("sorry"), "{:?}", call.turns());
        assert_eq!(call.ended(), Some(Ended::Hangup));
        let codes: Vec<u32> = call
            .records()
            .iter()
            .filter_map(|(_, record)| if let Record::Warned(warning) = record { Some(warning.code) } else { None })
            .collect();
        assert_eq!(codes, [11200]);
    }
}

#[test]
fn a_document_that_cannot_be_had_is_apologized_for() {
    let mut call = call("<Response><Redirect>https://example.com/missing</Redirect></Response>");
    assert!(call.run_to_end());
    assert!(call.turns()[0].text.contains("sorry"), "{:?}", call.turns());
    assert_eq!(call.ended(), Some(Ended::Hangup));
}

#[test]
fn a_gather_sends_its_keys_and_goes_on_without_them_when_there_are_none() {
    let answer = "<Response><Say>Thank you.</Say></Response>";
    let document = "<Response><Gather action=\"https://example.com/bill\"><Say>Bill number?</Say></Gather><Say>Nothing came.</Say></Response>";
    let documents = vec![("https://example.com/bill", answer)];
    let mut call = call_in(document, TestWorld { documents: documents.clone(), ..TestWorld::default() });
    press(&mut call, "12*3#");
    assert!(call.run_to_end());
    assert_eq!(call.turns().last().unwrap().text, "Thank you.");
    let digits = call.records().iter().find_map(|(_, record)| match record {
        Record::Requested(fetch) => fetch.form.value("Digits").map(|value| value.expose().to_owned()),
        _ => None,
    });
    assert_eq!(digits.as_deref(), Some("12*3"));
    let mut call = call_in(document, TestWorld { documents, ..TestWorld::default() });
    assert!(call.run_to_end());
    assert_eq!(call.turns().last().unwrap().text, "Nothing came.");
}

#[test]
fn every_wait_of_a_call_has_a_deadline() {
    let mut call =
        call("<Response><Say>a</Say><Pause/><Gather><Say>b</Say></Gather><Pay confirmation=\"true\"/></Response>");
    let mut steps = 0;
    while !call.call().is_over() {
        assert!(call.call().poll_timeout().is_some(), "{}", call.call().stage_name());
        assert!(call.step());
        steps += 1;
    }
    assert!(steps > 5);
}

#[test]
fn the_late_answer_to_one_payment_is_not_taken_for_that_to_the_next() {
    let declined = || Answer::Declined(Denial::default());
    let answers = vec![(16_000, Answer::Approved(Approval::default())), (0, declined()), (5000, declined())];
    let pay = "<Pay chargeAmount=\"1\" postalCode=\"false\" securityCode=\"false\"/>";
    let world = TestWorld { answers, ..TestWorld::default() };
    let mut call = call_in(&format!("<Response>{pay}{pay}</Response>"), world);
    press(&mut call, "4242424242424242 1228");
    // The first payment's first try is given up after 10 s, and its second one declined at once.
    wait(&mut call, 10_100);
    press(&mut call, "5555555555554444 1228");
    assert!(call.call().is_processing());
    assert!(call.run_to_end());
    let results: Vec<What> = happened(&call).into_iter().map(|(_, _, what)| what).collect();
    let finished = results.iter().filter(|what| matches!(what, What::Finished(_)));
    assert_eq!(finished.collect::<Vec<_>>(), vec![&What::Finished(PayResult::PaymentConnectorError); 2]);
}

#[test]
fn a_payment_that_can_no_longer_be_written_down_ends_before_the_gateway_is_asked() {
    for keyed in [&[][..], &["4242424242424242"], &["4242424242424242", "1228", "94111"]] {
        let mut call = call(PAY);
        for keys in keyed {
            listen(&mut call);
            press(&mut call, keys);
        }
        call.cannot_be_written();
        assert_eq!(result(&call), Some(PayResult::InternalError), "{keyed:?}");
        while call.step() {}
        let asked = call.records().iter().any(|(_, record)| matches!(record, Record::Asked(..)));
        assert!(!asked && call.ended().is_some(), "{keyed:?}");
    }
    // Once it is asked, its answer counts.
    let mut call =
        call_in(PAY, TestWorld { answers: vec![(500, Answer::Approved(Approval::default()))], ..TestWorld::default() });
    // A zip code that nothing ends might go on.
    for keys in ["4242424242424242", "1228", "94111#", "123"] {
        listen(&mut call);
        press(&mut call, keys);
    }
    assert!(call.call().is_processing());
    call.cannot_be_written();
    while call.step() {}
    assert_eq!(result(&call), Some(PayResult::Success));
}

#[test]
fn a_submission_that_was_not_written_down_never_left() {
    let document = "<Response><Pay chargeAmount=\"1\" postalCode=\"false\" action=\"https://shop.example.com/next\"/>\
                    </Response>";
    let mut simulation = call_in(document, TestWorld { not_written: true, ..TestWorld::default() });
    listen(&mut simulation);
    press(&mut simulation, "4242424242424242 1228 123");
    assert!(simulation.run_to_end());
    assert_eq!(result(&simulation), Some(PayResult::InternalError));
    // As long as the outcome is not on disk, too.
    let unwritten = simulation.records().iter().find_map(|(_, record)| match record {
        Record::Requested(fetch) if fetch.form.value("Result").is_some() => Some(fetch.unwritten.is_some()),
        _ => None,
    });
    assert_eq!(unwritten, Some(false), "it is told as what nobody knows");
}
