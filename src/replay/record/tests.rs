use std::collections::BTreeMap;

use super::*;
use crate::flow::{FetchFailure, NextDocument};
use crate::form::Value;
use crate::simulate::random::spelling::{SPELLINGS, spelt};
use crate::simulate::random::{self, Flows, Move, SeededRng};
use crate::tone::Key;

/// Flows that between them have every kind of verb that listens, and show what was keyed where they can.
const SAMPLES: &[(&str, &str)] = &[
    (
        "card",
        "<Response><Say>Hello.</Say><Pay chargeAmount='20.45' maxAttempts='2' statusCallback='https://example.com/status'/></Response>",
    ),
    (
        "menu",
        "<Response><Gather numDigits='1' action='card'><Say>Press 1 to pay.</Say></Gather><Redirect>bank</Redirect></Response>",
    ),
    (
        "bank",
        "<Response><Pay paymentMethod='ach-debit' chargeAmount='5' confirmation='true' maxAttempts='3' action='https://example.com/paid'><Prompt for='bank-account-number' requireMatchingInputs='true'><Say>Once more.</Say></Prompt></Pay></Response>",
    ),
    (
        "token",
        "<Response><Pay tokenType='one-time' postalCode='false' validCardTypes='visa mastercard amex maestro discover jcb diners-club enroute unionpay' confirmation='true' timeout='1'><Prompt for='payment-card-number security-code' cardType='visa amex'><Say>Your card.</Say></Prompt><Prompt for='payment-completed'><Say>Done.</Say></Prompt></Pay><Pay chargeAmount='1' securityCode='false' action='https://example.com/second'/></Response>",
    ),
    (
        "twice",
        "<Response><Pay chargeAmount='1' postalCode='false'><Prompt for='payment-card-number security-code' requireMatchingInputs='true'><Say>Again.</Say></Prompt></Pay><Pause length='2'/><Redirect>menu</Redirect></Response>",
    ),
    (
        "gather",
        "<Response><Gather finishOnKey='#' action='echo'><Say>Your customer number.</Say></Gather><Redirect>card</Redirect></Response>",
    ),
    (
        "echo",
        "<Response><Say>You keyed {{ Digits | default('nothing') }}.</Say><Pay chargeAmount='1' description='{{ Digits | default('') }}' action='https://example.com/paid'/></Response>",
    ),
    (
        "number",
        "<Response><Gather timeout='2' action='amount'><Say>Your customer number.</Say></Gather><Redirect>card</Redirect></Response>",
    ),
    (
        "amount",
        "<Response><Pay chargeAmount='{{ Digits | default('7') }}' action='https://example.com/paid'/><Redirect>{{ Digits | default('card') }}</Redirect></Response>",
    ),
    ("wrong", "<Response><Pay chargeAmount='-1'/><Dial>+1</Dial><Gather><Say>x</Say></Gather></Response>"),
];

struct RecordedFlows {
    library: Library,
    _folder: tempfile::TempDir,
}

impl RecordedFlows {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in SAMPLES {
            std::fs::write(folder.path().join(format!("{name}.xml")), text).unwrap();
        }
        Self { library: Library::new(folder.path()), _folder: folder }
    }
}

impl Flows for RecordedFlows {
    fn flow(&self, name: &str, parameters: &BTreeMap<String, Value>) -> Result<NextDocument, FetchFailure> {
        self.library.load(name, parameters)
    }
}

/// The digits that were pressed, row by row.
fn pressed(moves: &[Move]) -> Vec<String> {
    let mut rows = vec![String::new()];
    for step in moves {
        let Move::Press { keys, .. } = step else { continue };
        for key in keys {
            match key {
                Key::Digit(_) => rows.last_mut().unwrap().push(key.symbol()),
                Key::Star | Key::Pound => rows.push(String::new()),
                Key::Letter(_) => {}
            }
        }
    }
    rows
}

#[test]
fn a_recorded_call_replays_to_the_millisecond_and_shows_no_digit_that_was_keyed() {
    let flows_read = RecordedFlows::new();
    let (mut same, mut numbers) = (0, 0);
    for seed in 0..400_u64 {
        let flow = SAMPLES[usize::try_from(seed).unwrap() % SAMPLES.len()].0;
        let (plan, played) = random::call(&flows_read, flow, &[], seed);
        let tape = plan.play_taped(&flows_read).into_tape().unwrap();
        let recording = match record(&tape, &flows_read.library, seed ^ 0x5eed) {
            Ok(recording) => recording,
            Err(error) => panic!("seed {seed}: {error}\n{}", plan.script(&played)),
        };
        let text = &recording.text;
        let numbered = pressed(&plan.moves);
        for row in &numbered {
            let row = row.as_bytes();
            for window in row.windows(7) {
                let window = std::str::from_utf8(window).unwrap();
                assert!(!text.contains(window), "seed {seed}: {window} in\n{text}");
            }
        }
        let keys: Vec<Key> = plan
            .moves
            .iter()
            .filter_map(|step| match step {
                Move::Press { keys, .. } => Some(keys.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        for line in text.lines() {
            assert!(!crate::simulate::repeats(line, &keys), "seed {seed}: {line} in\n{text}");
        }
        numbers += numbered.iter().filter(|row| row.len() >= 7).count();
        assert_eq!(recording.difference, None, "seed {seed}\n{}\n{text}", plan.script(&played));
        let replayed = run_taped(&Script::parse(text).unwrap(), &flows_read.library);
        assert_eq!(replayed.outcome.failures, Vec::<String>::new(), "seed {seed}\n{text}");
        assert_eq!(replayed.tape.unwrap().outline(), tape.outline(), "seed {seed}\n{}\n{text}", plan.script(&played));
        same += 1;
    }
    assert!(same == 400 && numbers > 200, "{numbers}");
}

/// A call with others in it than the caller, taken down.
fn taped(document: &str, steps: &str) -> Recording {
    let library = Library::new("no such folder");
    let script = Script::parse(&format!("document: {document}\ncall:\n{steps}")).unwrap();
    let played = run_taped(&script, &library);
    assert_eq!(played.outcome.failures, Vec::<String>::new());
    let recording = record(&played.tape.unwrap(), &library, 11).unwrap();
    assert_eq!(recording.difference, None, "{}", recording.text);
    let again = run(&Script::parse(&recording.text).unwrap(), &library, Requests::Exact);
    assert_eq!(again.failures, Vec::<String>::new(), "{}", recording.text);
    recording
}

#[test]
fn what_an_agent_asks_for_is_recorded_and_what_the_caller_keys_for_it_is_made_up() {
    let recording = taped(
        "<Response><Pause length=\"60\"/></Response>",
        "  - agent: { create: { ChargeAmount: \"5\", PostalCode: \"false\", RequireMatchingInputs: security-code } }
  - press: \"999\"
  - agent: { capture: payment-card-number }
  - press: \"49294205\"
  - press: \"*4929420573595709\"
  - wait: 1s
  - agent: { capture: expiration-date }
  - press: \"1129\"
  - agent: { capture: security-code }
  - press: \"837\"
  - agent: { capture: security-code-matcher }
  - press: \"837\"
  - agent: { create: {}, refused: \"64021\" }
  - agent: { status: complete }
  - wait: 1s
  - application: { twiml: <Response><Say>Goodbye.</Say><Hangup/></Response> }
",
    );
    let text = &recording.text;
    for part in ["4929420", "4205735", "7359570", "\"837\"", "1129", "999\""] {
        assert!(!text.contains(part), "{part} in\n{text}");
    }
    assert!(text.contains("result: success") && text.contains("card: visa"), "{text}");
    assert!(text.contains("refused: \"64021\"") && text.contains("Goodbye."), "{text}");
}

#[test]
fn a_call_whose_replay_parts_from_it_is_recorded_with_a_line_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::new(folder.path());
    let flow = folder.path().join("menu.xml");
    let choice = "<Response>{% if Digits == '4711' %}<Hangup/>{% endif %}<Say>Wrong.</Say></Response>";
    std::fs::write(&flow, "<Response><Gather numDigits='4' action='pin'/></Response>").unwrap();
    std::fs::write(folder.path().join("pin.xml"), choice).unwrap();
    let script = Script::parse("flow: menu\ncall:\n  - press: \"4711\"\n").unwrap();
    let played = run_taped(&script, &library);
    let recording = record(&played.tape.unwrap(), &library, 3).unwrap();
    assert!(recording.difference.is_some());
    assert!(recording.text.starts_with("# This does not replay as the call went: in the call `end hangup`"));
    assert!(!recording.text.contains("4711"), "{}", recording.text);
    assert!(recording.text.contains("ended: hangup"), "what the call did is what is expected");
}

/// Every way in which a gateway can write what it must not.
#[test]
fn a_gateway_that_quotes_the_number_in_any_spelling_is_recorded_without_it() {
    let number = "4929420573595709";
    for spelling in 0..SPELLINGS {
        let mut rng = SeededRng::new(spelling);
        for _ in 0..6 {
            let said = format!("card {} cvv 837 refused", spelt(number, spelling, &mut rng));
            let script = format!(
                "document: <Response><Pay chargeAmount=\"5\" postalCode=\"false\" action=\"https://example.com/paid\"/></Response>\n\
                 gateway:\n  - {{ error_code: bad, error_message: {said}, parameters: {{ {said}: {said} }} }}\n\
                 call:\n  - press: \"{number}\"\n  - press: \"1129\"\n  - press: \"837\"\n",
                said = crate::simulate::quoted(&said)
            );
            let library = Library::new("no such folder");
            let played = run_taped(&Script::parse(&script).unwrap(), &library);
            let recording = record(&played.tape.unwrap(), &library, 11).unwrap();
            assert_eq!(recording.difference, None, "{said}\n{}", recording.text);
            let keys: Vec<Key> = number.chars().filter_map(Key::parse).collect();
            assert!(!crate::simulate::repeats(&recording.text, &keys), "{said}\n{}", recording.text);
            assert!(!recording.text.contains("837"), "{}", recording.text);
            assert!(recording.text.contains("refused"), "{}", recording.text);
        }
    }
}
