//! Every call script of `flows/scripts`, and the proof that together they pass through the whole machine.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use touchtone::flow::check::check;
use touchtone::library::Library;
use touchtone::pay::step::{EntryError, PayErrorCode, PayResult, SessionError};
use touchtone::replay::{self, Requests, ScriptOutcome};
use touchtone::twiml;

/// Every script, by its path below `flows/scripts`, and what came of it.
static OUTCOMES: LazyLock<BTreeMap<String, ScriptOutcome>> = LazyLock::new(|| {
    let library = library();
    let folder = root().join("flows/scripts");
    let scripts = replay::find(std::slice::from_ref(&folder)).unwrap();
    let outcome = |path: &PathBuf| {
        let report = replay::replay(path, &library, Requests::Exact);
        let name = path.strip_prefix(&folder).unwrap().display().to_string();
        (name.clone(), report.outcome.unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    scripts.iter().map(outcome).collect()
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn library() -> Library {
    Library::new(root().join("flows"))
}

#[test]
fn every_script_goes_as_it_expects() {
    let failures: Vec<String> = OUTCOMES
        .iter()
        .filter(|(_, outcome)| !outcome.failures.is_empty())
        .map(|(name, outcome)| format!("{name}\n    {}", outcome.failures.join("\n    ")))
        .collect();
    assert!(OUTCOMES.len() >= 70, "only {} scripts were found", OUTCOMES.len());
    assert!(failures.is_empty(), "{} of {} scripts fail:\n{}", failures.len(), OUTCOMES.len(), failures.join("\n"));
}

/// The phases of a Pay session, as `PaySession::phase_name` calls them.
const PHASES: &[&str] = &[
    "finding",
    "prompting",
    "waiting",
    "keying",
    "prompting again",
    "waiting again",
    "keying again",
    "perhaps whole",
    "prompting confirmation",
    "waiting confirmation",
    "processing",
    "processing interrupted",
    "closing",
    "finished",
];

/// The phases of an agent's session, as `AssistedSession::phase_name` calls them. While there is one, a call is in it.
const AGENT_PHASES: &[&str] = &[
    "agent: finding",
    "agent: idle",
    "agent: capturing",
    "agent: capturing again",
    "agent: confirming",
    "agent: processing",
    "agent: processing interrupted",
    "agent: finished",
];

/// What else a call does.
const STAGES: &[&str] = &["ready", "saying", "pausing", "gathering", "fetching", "ending", "over"];

const KEYS_AND_HANG_UP: &[&str] = &["digit", "pound", "star", "letter", "hang-up"];
const LOOK_UP: &[&str] = &["connector found", "no connector", "store away", "connector timeout"];
const REPLIES: &[&str] = &[
    "prepared",
    "approved",
    "declined",
    "refused",
    "not sent",
    "not written",
    "unknown",
    "not found",
    "cannot tell",
    "panicked",
];
const DOCUMENTS: &[&str] = &["document", "no document", "not asked", "fetch timeout"];
const ENTRY_TIMEOUTS: &[&str] = &["first digit timeout", "next digit timeout", "another digit timeout"];
const AGENT: &[&str] =
    &["agent creates", "agent captures", "agent captures again", "agent completes", "agent cancels", "agent errs"];
const APPLICATION: &[&str] = &["sent to a document", "sent to a URL", "completed"];
const OTHER: &[&str] = &["heard", "speech timeout", "pause timeout", "gather timeout", "gateway timeout"];

/// Every kind of input, as the simulation calls them.
fn inputs() -> Vec<&'static str> {
    [KEYS_AND_HANG_UP, LOOK_UP, REPLIES, DOCUMENTS, ENTRY_TIMEOUTS, AGENT, APPLICATION, OTHER].concat()
}

/// Every place that a call can be in.
fn places() -> Vec<&'static str> {
    [PHASES, AGENT_PHASES, STAGES].concat()
}

/// Arrows that no call can take: the places, the inputs, and why.
type Impossible = (Vec<&'static str>, Vec<&'static str>, &'static str);

fn all_but(these: &[&'static str], those: &[&str]) -> Vec<&'static str> {
    these.iter().copied().filter(|one| !those.contains(one)).collect()
}

fn impossible() -> Vec<Impossible> {
    let everywhere = places();
    let asking = ["processing", "processing interrupted", "agent: processing", "agent: processing interrupted"];
    let agent_goes = ["agent: capturing", "agent: capturing again"];
    vec![
        (
            vec!["ready", "finished", "agent: finished"],
            inputs(),
            "no input finds the machine here: it goes on to the next verb before it takes one",
        ),
        (
            vec!["over"],
            all_but(&inputs(), AGENT),
            "the call is over: nothing reaches the machine but what an agent asks, to be refused",
        ),
        (
            everywhere.clone(),
            vec!["speech timeout"],
            "in virtual time everything said is heard; lost marks are tested in flow::voice and flow::tests",
        ),
        (
            all_but(&everywhere, &["finding", "agent: finding"]),
            LOOK_UP.to_vec(),
            "a connector is looked up once, at the beginning, and nothing else goes on until it is found",
        ),
        (
            all_but(&everywhere, &[&asking[..], &["closing"]].concat()),
            REPLIES.to_vec(),
            "the gateway answers only what it was asked; what comes after the outcome is for nobody",
        ),
        (
            vec!["closing"],
            all_but(REPLIES, &["approved"]),
            "only an answer to the last question can come here, and it is ignored whatever it says: one kind will do",
        ),
        (
            vec!["processing interrupted", "agent: processing interrupted"],
            vec!["prepared"],
            "an interruption while the connector prepares ends the payment: nothing was sent",
        ),
        (all_but(&everywhere, &asking), vec!["gateway timeout"], "only the gateway is waited for with this timer"),
        (
            all_but(&everywhere, &[&["fetching", "ending"][..], AGENT_PHASES].concat()),
            DOCUMENTS.to_vec(),
            "nothing else goes on until a document is there or given up, and then the call ends",
        ),
        (
            vec!["ending"],
            all_but(DOCUMENTS, &["document"]),
            "only an answer that was given up can come here, and it is ignored whatever it is: one kind will do",
        ),
        (
            all_but(&everywhere, &[&["pausing"][..], AGENT_PHASES].concat()),
            vec!["pause timeout"],
            "only a pause has this timer",
        ),
        (
            all_but(&everywhere, &[&["gathering"][..], AGENT_PHASES].concat()),
            vec!["gather timeout"],
            "only a gather has this timer",
        ),
        (
            all_but(
                &everywhere,
                &[&["waiting", "waiting again", "waiting confirmation", "agent: confirming"][..], &agent_goes].concat(),
            ),
            vec!["first digit timeout"],
            "the first digit is waited for once the prompt has been heard",
        ),
        (
            all_but(&everywhere, &[&["keying", "keying again"][..], &agent_goes].concat()),
            vec!["next digit timeout"],
            "the next digit is waited for once there is one",
        ),
        (
            all_but(&everywhere, &["perhaps whole", "agent: capturing"]),
            vec!["another digit timeout"],
            "only a card number that could go on has this timer",
        ),
        (
            vec!["waiting", "keying", "waiting again", "keying again", "perhaps whole", "waiting confirmation"],
            vec!["heard"],
            "nothing is being said: the prompt was heard, or a key cut it",
        ),
    ]
}

/// Arrows of which one stands for many: what a document does beside an agent's session, it does whatever the phase is.
fn alike() -> Vec<(&'static str, &'static str)> {
    let beside = [DOCUMENTS, &["heard", "pause timeout", "gather timeout"]].concat();
    all_but(AGENT_PHASES, &["agent: idle", "agent: capturing"])
        .into_iter()
        .flat_map(|phase| beside.iter().map(move |input| (phase, *input)))
        .filter(|arrow| *arrow != ("agent: confirming", "heard"))
        .collect()
}

#[test]
fn together_the_scripts_take_every_arrow_of_the_machine() {
    let taken: BTreeSet<(&str, &str)> = OUTCOMES.values().flat_map(|outcome| outcome.arrows.iter().copied()).collect();
    let mut missing: BTreeSet<(&str, &str)> =
        places().into_iter().flat_map(|place| inputs().into_iter().map(move |input| (place, input))).collect();
    let unknown: Vec<_> = taken.difference(&missing).collect();
    assert!(unknown.is_empty(), "arrows that no list here has: {unknown:?}");
    for arrow in alike() {
        missing.remove(&arrow);
    }
    for arrow in &taken {
        missing.remove(arrow);
    }
    let mut wrong = Vec::new();
    for (places, inputs, why) in impossible() {
        let arrows: Vec<_> = places.iter().flat_map(|place| inputs.iter().map(move |input| (*place, *input))).collect();
        for arrow in arrows {
            missing.remove(&arrow);
            if taken.contains(&arrow) {
                wrong.push(format!("{} does come in {}, although {why}", arrow.1, arrow.0));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(missing.is_empty(), "no script takes these arrows: {missing:#?}");
}

/// Every value that a field of any request has in any script.
fn told(field: &str) -> BTreeSet<String> {
    OUTCOMES
        .values()
        .flat_map(|outcome| &outcome.summary.requests)
        .filter_map(|sent| sent.form.value(field).map(|value| value.shown().to_owned()))
        .collect()
}

#[test]
fn every_result_is_told_in_some_script() {
    let results: BTreeSet<String> = PayResult::ALL.iter().map(|result| result.word().to_owned()).collect();
    assert_eq!(results.len(), 8);
    assert_eq!(told("Result"), results);
}

#[test]
fn every_error_type_is_told_in_some_script() {
    let mut errors: BTreeSet<String> = EntryError::ALL.iter().map(|error| error.word().to_owned()).collect();
    errors.extend(SessionError::ALL.iter().map(|error| error.word().to_owned()));
    assert_eq!(told("ErrorType"), errors);
}

#[test]
fn every_pay_error_code_is_told_in_some_script() {
    let codes: BTreeSet<String> = PayErrorCode::ALL.iter().map(|code| code.number().to_string()).collect();
    // Some only an agent is told, in the answer to a request.
    let refused = OUTCOMES.values().flat_map(|outcome| &outcome.summary.refusals).map(ToString::to_string);
    let refused: BTreeSet<String> = refused.filter(|code| codes.contains(code)).collect();
    assert_eq!(&told("PayErrorCode") | &refused, codes);
}

#[test]
fn every_flow_is_without_fault_and_run_by_a_script() {
    let library = library();
    let flows = library.names();
    assert!(flows.len() >= 9, "{flows:?}");
    let heads: Vec<String> = OUTCOMES.keys().map(|name| flow_of(name)).collect();
    for flow in &flows {
        let source = library.source(flow).unwrap();
        assert!(source.trim_start().starts_with("<!--"), "{flow} begins with a comment that says what it shows");
        let view = twiml::template::check_view(&source).unwrap();
        let document = twiml::parse_view(&view).unwrap_or_else(|fault| panic!("{flow}:{fault}"));
        let faults = check(&document, |name| library.contains(name));
        assert!(faults.is_empty(), "{flow}: {faults:?}");
        let went_on_to =
            OUTCOMES.values().flat_map(|outcome| &outcome.summary.requests).any(|sent| sent.target == *flow);
        assert!(heads.contains(flow) || went_on_to, "no script runs {flow}");
    }
}

/// The flow that a script begins with; empty: a document of its own.
fn flow_of(script: &str) -> String {
    let text = std::fs::read_to_string(root().join("flows/scripts").join(script)).unwrap();
    text.lines().find_map(|line| line.strip_prefix("flow: ")).unwrap_or_default().trim().to_owned()
}
