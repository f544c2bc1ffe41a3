use std::time::Duration;

use super::*;
use crate::form::{Form, Value};
use crate::pay::gateway::{Answer, Approval, Preparation};
use crate::pay::platform::Platform;
use crate::pay::sandbox;
use crate::pay::submission::{Ask, Question, Reply};

const CARD: &str = "4242424242424242";

/// A session and the keypad of its call.
struct Led {
    session: AssistedSession,
    keypad: Keypad,
    now: CallTime,
}

fn form(pairs: &[(&'static str, &str)]) -> Form {
    let mut form = Form::new();
    for (name, value) in pairs {
        form.set(*name, *value);
    }
    form
}

fn started(pairs: &[(&'static str, &str)], answered_at: jiff::civil::DateTime) -> Result<Led, AgentError> {
    let around = Surroundings {
        call_sid: "CAa".into(),
        transaction_id: "PKa".into(),
        answered_at,
        answered_at_utc: answered_at,
        platform: Platform::Twilio,
        asked: 0,
    };
    let session = AssistedSession::start(CallTime::ZERO, Requested::read(&form(pairs)), around)?;
    Ok(Led { session, keypad: Keypad::new(), now: CallTime::ZERO })
}

/// A session that waits for the agent, on 1 June 2026 at noon.
fn open(pairs: &[(&'static str, &str)]) -> Led {
    let mut led = started(pairs, jiff::civil::datetime(2026, 6, 1, 12, 0, 0, 0)).unwrap();
    led.tell(Input::ConnectorFound(Some(sandbox::capabilities())));
    led
}

impl Led {
    fn tell(&mut self, input: Input) {
        self.session.handle_input(self.now, input, &mut self.keypad);
    }

    /// Has `word` captured and `keys` pressed, a second apart.
    fn capture(&mut self, word: &str, keys: &str) {
        self.ask(AgentRequest::Capture(Capture::parse(word).unwrap())).unwrap();
        self.press(keys);
    }

    fn press(&mut self, keys: &str) {
        for symbol in keys.chars() {
            self.now = self.now + Duration::from_secs(1);
            self.tell(Input::Key(self.now, Key::parse(symbol).unwrap()));
        }
    }

    fn ask(&mut self, command: AgentRequest) -> Result<(), AgentError> {
        self.session.handle_command(self.now, command)
    }

    fn card(&mut self) {
        self.capture("payment-card-number", CARD);
        self.capture("expiration-date", "1228");
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    /// The callbacks since, as fields.
    fn reports(&mut self) -> Vec<Form> {
        let form = |output| match output {
            Output::Report(_, form) => Some(form),
            Output::Settle(_, _, told) => Some(told.status),
            _ => None,
        };
        self.outputs().into_iter().filter_map(form).collect()
    }

    fn question(&mut self) -> Question {
        let asked = |output| if let Output::Ask(question, ..) = output { Some(question) } else { None };
        self.outputs().into_iter().find_map(asked).unwrap()
    }
}

fn value<'a>(form: &'a Form, name: &str) -> &'a str {
    form.value(name).map_or("", Value::shown)
}

const QUICK: &[(&str, &str)] = &[("ChargeAmount", "1"), ("PostalCode", "false"), ("SecurityCode", "false")];

#[test]
fn a_session_says_when_it_began_and_when_it_last_changed() {
    let mut led = open(QUICK);
    led.now = CallTime::from_millis(61_000);
    led.capture("expiration-date", "12");
    let reports = led.reports();
    assert!(reports.iter().all(|form| value(form, "DateCreated") == "Mon, 01 Jun 2026 12:00:00 +0000"));
    let updated: Vec<&str> = reports.iter().map(|form| value(form, "DateUpdated")).collect();
    // A digit on its way is no change.
    let later = "Mon, 01 Jun 2026 12:01:01 +0000";
    assert_eq!(updated, ["Mon, 01 Jun 2026 12:00:00 +0000", later, later, later]);
}

#[test]
fn a_date_is_judged_by_the_month_in_which_it_is_keyed() {
    let mut led = started(QUICK, jiff::civil::datetime(2026, 12, 31, 23, 59, 50, 0)).unwrap();
    led.tell(Input::ConnectorFound(Some(sandbox::capabilities())));
    led.capture("expiration-date", "1226");
    assert!(led.session.core.captured.has(Field::ExpirationDate));
    led.now = CallTime::from_millis(20_000);
    led.capture("expiration-date", "1226");
    assert!(!led.session.core.captured.has(Field::ExpirationDate));
}

#[test]
fn what_is_refused_changes_nothing_and_does_not_count_as_an_attempt() {
    let mut led = open(&[("ChargeAmount", "1"), ("PostalCode", "false")]);
    led.capture("expiration-date", "12");
    led.outputs();
    let until = led.session.poll_timeout();
    for command in ["security-code", "postal-code", "bank-account-number", "expiration-date-matcher"] {
        assert!(led.ask(AgentRequest::Capture(Capture::parse(command).unwrap())).is_err(), "{command}");
    }
    assert!(led.ask(AgentRequest::Complete).is_err());
    assert_eq!((led.session.poll_timeout(), led.session.capturing()), (until, Some(Field::ExpirationDate)));
    let [sequence_error] = &led.reports()[..] else { panic!("only the security code's is told") };
    assert_eq!(value(sequence_error, "ErrorType"), "invalid-card-number-security-code-capture-sequence");
    led.press("28");
    led.capture("payment-card-number", CARD);
    led.outputs();
    led.capture("security-code", "");
    assert_eq!(led.reports().iter().map(|form| value(form, "Attempt")).collect::<Vec<_>>(), ["1"]);
}

#[test]
fn asking_for_a_field_for_ever_does_not_overflow_its_attempts() {
    let mut led = open(QUICK);
    for _ in 0..300 {
        led.capture("expiration-date", "");
    }
    assert_eq!(value(led.reports().last().unwrap(), "Attempt"), "255");
}

#[test]
fn a_session_that_waits_for_the_agent_has_no_deadline_and_every_other_wait_has_one() {
    let mut led =
        started(&[("ValidCardTypes", "maestro"), ("Timeout", "7")], jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0))
            .unwrap();
    let waits = |led: &Led, timer, seconds: u64| {
        assert_eq!(led.session.poll_timeout(), Some((led.now + Duration::from_secs(seconds), timer)));
    };
    waits(&led, Timer::Connector, 5);
    led.tell(Input::ConnectorFound(Some(sandbox::capabilities())));
    assert_eq!(led.session.poll_timeout(), None);
    led.capture("payment-card-number", "");
    waits(&led, Timer::FirstDigit, 7);
    led.press("677179802100000");
    waits(&led, Timer::NextDigit, 7);
    led.press("8");
    waits(&led, Timer::AnotherDigit, 2);
    led.press("*");
    waits(&led, Timer::FirstDigit, 7);
    led.press("#");
    assert_eq!(led.session.poll_timeout(), None);
}

#[test]
fn a_pound_after_the_answer_to_the_question_is_not_kept_for_the_document() {
    let mut led = open(&[QUICK, &[("Confirmation", "true")]].concat());
    led.card();
    led.ask(AgentRequest::Complete).unwrap();
    led.tell(Input::Heard);
    led.press("2");
    assert!(led.session.is_finished());
    assert_eq!(led.keypad.admit(led.now, Key::Pound), Admission::Spent);
}

#[test]
fn an_answer_to_another_question_is_not_this_ones() {
    let mut led = open(QUICK);
    led.card();
    led.ask(AgentRequest::Complete).unwrap();
    let question = led.question();
    assert_eq!(question.what, Ask::Prepare);
    led.tell(Input::Replied(question.number, Reply::Prepared(Preparation::Nothing)));
    let submission = led.question();
    let approved = || Reply::Submitted(Answer::Approved(Approval::default()));
    led.tell(Input::Replied(submission.number.wrapping_add(1), approved()));
    assert!(led.session.is_processing());
    led.tell(Input::Replied(submission.number, approved()));
    assert!(led.session.is_finished());
}

#[test]
fn nothing_follows_the_outcome() {
    let mut led = open(QUICK);
    led.card();
    led.ask(AgentRequest::Cancel).unwrap();
    let results: Vec<Form> = led.reports().into_iter().filter(|form| form.value("Result").is_some()).collect();
    assert_eq!(results.len(), 1);
    led.press("4#*");
    led.tell(Input::Heard);
    led.tell(Input::ConnectorFound(None));
    led.tell(Input::CallerHungUp);
    led.session.handle_timeout(led.now, &mut led.keypad);
    assert_eq!(led.ask(AgentRequest::Cancel).unwrap_err().code, 64021);
    assert!(led.outputs().is_empty() && led.session.poll_timeout().is_none());
}

#[test]
fn what_was_keyed_is_never_shown_and_not_kept_after_the_end() {
    let mut led = open(&[QUICK, &[("RequireMatchingInputs", "payment-card-number")]].concat());
    led.card();
    led.capture("payment-card-number-matcher", "424242424242");
    let shown = format!("{:?}", led.session);
    for digits in ["424242424242", CARD] {
        assert!(!shown.contains(digits), "{shown}");
    }
    led.ask(AgentRequest::Cancel).unwrap();
    assert!(led.session.firsts.is_empty());
    assert!(Field::ALL.iter().all(|field| !led.session.core.captured.has(*field)));
}

#[test]
fn a_capture_is_named_in_any_case_and_only_four_fields_have_a_matcher() {
    let named = |word: &str| Capture::parse(word).map(|capture| (capture.field, capture.matcher));
    assert_eq!(named("Payment-Card-Number"), Some((Field::CardNumber, false)));
    assert_eq!(named("postal-code-matcher"), Some((Field::PostalCode, true)));
    for word in
        ["bank-account-number-matcher", "bank-routing-number-matcher", "payment-processing", "matcher", "-matcher", ""]
    {
        assert_eq!(named(word), None, "{word}");
    }
    for field in Field::ALL {
        let capture = Capture { field: *field, matcher: false };
        assert_eq!(named(&capture.to_string()), Some((*field, false)));
    }
}

#[test]
fn an_empty_parameter_is_none() {
    let read = |pairs: &[(&'static str, &str)]| AgentRequest::read(&form(pairs)).map_err(|error| error.code);
    assert_eq!(read(&[("Capture", ""), ("Status", "cancel")]), Ok(AgentRequest::Cancel));
    assert_eq!(read(&[("Capture", ""), ("Status", "")]), Err(64018));
    assert_eq!(read(&[("Status", "Complete")]), Err(64020));
}

#[test]
fn a_payment_that_can_no_longer_be_written_down_ends_and_what_was_keyed_is_gone() {
    let mut led = open(&[("ChargeAmount", "1"), ("PostalCode", "false")]);
    led.card();
    led.outputs();
    led.tell(Input::StoreAway);
    let told = led.reports();
    let word = |name: &str| told[0].value(name).map(|value| value.expose().to_owned());
    assert_eq!((told.len(), word("Result").as_deref()), (1, Some("internal-error")));
    assert!(word("PaymentError").unwrap().contains("could not be written down"));
    assert!(led.session.is_finished());
}
