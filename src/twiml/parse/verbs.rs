//! Elements to verbs.
//!
//! Shape:   [`document`]; one function a verb, one `match` over its attributes' names.
//! Errors:  none: what is wrong becomes a fault of the document, and the default or nothing in its place.
//! Sources: Twilio, "TwiML for Programmable Voice": the list of verbs, `<Gather>`, `<Redirect>`, `<Hangup>`, `<Reject>`,
//!          `<Pay>`, `<Prompt>`, `<Parameter>`.

use std::time::Duration;

use super::super::{Document, Gather, Method, Pay, Placed, Prompt, Redirect, Utterance, Verb};
use super::Manner;
use super::judge::{Judge, did_you_mean, shown};
use super::speech::utterance;
use super::tree::{Element, Node};
use crate::tone::Key;

/// The verbs that are run.
const RUN: &[&str] = &["Say", "Play", "Pause", "Gather", "Pay", "Redirect", "Hangup", "Reject"];

/// Verbs, and nouns that are found in their place, which Twilio knows and which need the telephone network, a recorder
/// or another of its products.
const NEED_THE_NETWORK: &[&str] = &[
    "Application",
    "Assistant",
    "Autopilot",
    "Client",
    "Conference",
    "Connect",
    "Conversation",
    "ConversationRelay",
    "Dial",
    "Echo",
    "Enqueue",
    "Leave",
    "Message",
    "Number",
    "Queue",
    "Record",
    "Recording",
    "Refer",
    "ReferSip",
    "Room",
    "Sim",
    "Sip",
    "Siprec",
    "Sms",
    "Start",
    "Stop",
    "Stream",
    "Task",
    "Transcription",
    "VirtualAgent",
    "WhatsApp",
];

/// Elements that only `<Pay>` holds.
const OF_PAY: &[&str] = &["Prompt", "Parameter"];

const UTTERANCES: &[&str] = &["Say", "Play", "Pause"];

/// The longest `timeout` of a `<Gather>`, in seconds: as for `<Pay>`, for which Twilio names 600.
const TIMEOUT_SECONDS_MAX: u16 = 600;

/// The default `timeout` of a `<Gather>`, in seconds (Twilio).
const TIMEOUT_SECONDS: u16 = 5;

/// The most keys a `<Gather>` waits for. Chosen by us: more than anybody keys.
const NUM_DIGITS_MAX: u16 = 999;

const GATHER: &[&str] = &["action", "method", "timeout", "finishOnKey", "numDigits", "actionOnEmptyResult", "input"];

/// Attributes of `<Gather>` for speech and debugging.
const GATHER_UNUSED: &[&str] = &[
    "bargeIn",
    "debug",
    "enhanced",
    "hints",
    "language",
    "maxSpeechTime",
    "minConfidence",
    "partialResultCallback",
    "partialResultCallbackMethod",
    "profanityFilter",
    "speechEndThreshold",
    "speechModel",
    "speechTimeout",
];

/// Whether Twilio has a verb, or an element beside it, of this name.
pub(super) fn is_verb(name: &str) -> bool {
    RUN.contains(&name) || NEED_THE_NETWORK.contains(&name) || OF_PAY.contains(&name)
}

/// The document that `roots` make: one, except in a view.
pub(super) fn document(roots: Vec<Element>, manner: Manner) -> Document {
    let mut judge = Judge::new(manner);
    let mut verbs = Vec::new();
    for root in roots {
        // In a view a root may be written by an expression.
        if judge.is_unjudged(&root.name) {
            continue;
        }
        attributes_of(&mut judge, &root, &[]);
        for node in root.children {
            match node {
                Node::Element(element) if judge.is_unjudged(&element.name) => {}
                Node::Element(element) => {
                    let position = element.position;
                    if let Some(item) = verb(&mut judge, element) {
                        verbs.push(Placed { position, item });
                    }
                }
                Node::Text(position, text) => {
                    if is_text(&judge, &text) {
                        judge.error(position, "text directly inside <Response> is not spoken; it belongs in <Say>");
                    }
                }
            }
        }
    }
    Document { verbs, faults: judge.into_faults() }
}

/// The verb that `element` is; `None` if nothing is left of it.
fn verb(judge: &mut Judge, element: Element) -> Option<Verb> {
    let element = match utterance(judge, element) {
        Ok(utterance) => {
            return utterance.map(|utterance| match utterance {
                Utterance::Say(say) => Verb::Say(say),
                Utterance::Play(play) => Verb::Play(play),
                Utterance::Pause(pause) => Verb::Pause(pause),
            });
        }
        Err(element) => element,
    };
    Some(match element.name.as_str() {
        "Gather" => gather(judge, element),
        "Pay" => Verb::Pay(pay(judge, element)),
        "Redirect" => Verb::Redirect(redirect(judge, &element)),
        "Hangup" => {
            attributes_of(judge, &element, &[]);
            nothing_in(judge, &element);
            Verb::Hangup
        }
        "Reject" => {
            reject(judge, &element);
            Verb::Reject
        }
        _ => unsupported(judge, element),
    })
}

fn unsupported(judge: &mut Judge, element: Element) -> Verb {
    let name = element.name;
    let known = is_verb(&name);
    if OF_PAY.contains(&name.as_str()) {
        judge.warning(element.position, format!("<{name}> belongs inside <Pay>; it is skipped"));
    } else if known {
        judge.warning(element.position, format!("<{name}> needs the telephone network; it is skipped"));
    } else {
        let known: Vec<&str> = [RUN, NEED_THE_NETWORK, OF_PAY].concat();
        let hint = did_you_mean(&name, &known);
        judge.error(element.position, format!("<{}> is no verb of TwiML; it is skipped{hint}", shown(&name)));
    }
    Verb::Unsupported { name, known }
}

fn gather(judge: &mut Judge, element: Element) -> Verb {
    let mut gather = Gather {
        action: None,
        method: Method::default(),
        timeout: Duration::from_secs(TIMEOUT_SECONDS.into()),
        finish_on_key: Some(Key::Pound),
        num_digits: None,
        action_on_empty_result: false,
        prompts: Vec::new(),
    };
    for attribute in element.attributes {
        match attribute.name.as_str() {
            "action" => gather.action = Some(attribute.value),
            "method" => gather.method = judge.method("Gather", &attribute).unwrap_or(gather.method),
            "timeout" if attribute.value.trim() == "auto" => {
                let message =
                    format!("<Gather timeout=\"auto\">: auto is for speech; {TIMEOUT_SECONDS} seconds are used");
                judge.warning(attribute.position, message);
            }
            "timeout" => {
                let what = "a whole number of seconds";
                if let Some(seconds) = judge.whole("Gather", &attribute, what, 1..=TIMEOUT_SECONDS_MAX) {
                    gather.timeout = Duration::from_secs(seconds.into());
                }
            }
            "finishOnKey" => {
                gather.finish_on_key = judge.finish_key("Gather", &attribute).unwrap_or(gather.finish_on_key);
            }
            "numDigits" => {
                let number = judge.whole("Gather", &attribute, "a whole number", 1..=NUM_DIGITS_MAX);
                gather.num_digits = number.or(gather.num_digits);
            }
            "actionOnEmptyResult" => {
                gather.action_on_empty_result =
                    judge.flag("Gather", &attribute).unwrap_or(gather.action_on_empty_result);
            }
            "input" if judge.is_unjudged(&attribute.value) => {}
            "input" => {
                let mut words = attribute.value.split_whitespace().peekable();
                if words.peek().is_none() || words.any(|word| !matches!(word, "dtmf" | "speech")) {
                    judge.wrong("Gather", &attribute, "dtmf, speech or both");
                } else if !attribute.value.contains("dtmf") {
                    let name = "Gather input=\"speech\"".to_owned();
                    judge
                        .warning(attribute.position, format!("<{name}>: speech is not understood here; it is skipped"));
                    return Verb::Unsupported { name, known: true };
                } else if attribute.value.contains("speech") {
                    let message = "<Gather input>: speech is not understood here, only keys are";
                    judge.warning(attribute.position, message);
                }
            }
            name if GATHER_UNUSED.contains(&name) => judge.unused("Gather", &attribute),
            _ => judge.unknown("Gather", &attribute, GATHER),
        }
    }
    gather.prompts = utterances(judge, "Gather", element.children);
    Verb::Gather(gather)
}

fn pay(judge: &mut Judge, element: Element) -> Pay {
    // Not judged here: a wrong value ends the verb with `validation-error`, which `pay::Settings` decides.
    let mut pay = Pay { attributes: element.attributes, ..Pay::default() };
    for node in element.children {
        let child = match node {
            Node::Element(child) => child,
            Node::Text(position, text) => {
                if is_text(judge, &text) {
                    judge.error(position, "<Pay> holds <Prompt> and <Parameter>, not text");
                }
                continue;
            }
        };
        match child.name.as_str() {
            "Prompt" => {
                let content = utterances(judge, "Prompt", child.children);
                let item = Prompt { attributes: child.attributes, content };
                pay.prompts.push(Placed { position: child.position, item });
            }
            "Parameter" => pay.parameters.extend(parameter(judge, child)),
            name if judge.is_unjudged(name) => {}
            name => {
                let hint = if OF_PAY.contains(&name) { String::new() } else { did_you_mean(name, OF_PAY) };
                let message = format!("<Pay> holds <Prompt> and <Parameter>, not <{}>{hint}", shown(name));
                judge.error(child.position, message);
            }
        }
    }
    pay
}

/// A `<Parameter>`'s name and value; `None` if it has no name.
fn parameter(judge: &mut Judge, element: Element) -> Option<(String, String)> {
    attributes_of(judge, &element, &["name", "value"]);
    nothing_in(judge, &element);
    let (mut name, mut value) = (None, None);
    for attribute in element.attributes {
        match attribute.name.as_str() {
            "name" => name = name.or(Some(attribute.value)),
            "value" => value = value.or(Some(attribute.value)),
            _ => {}
        }
    }
    let Some(name) = name.filter(|name| !name.trim().is_empty()) else {
        judge.error(element.position, "<Parameter> needs the attribute name; it is skipped");
        return None;
    };
    let value = value.unwrap_or_else(|| {
        judge.warning(element.position, "<Parameter> has no attribute value; it is passed on empty");
        String::new()
    });
    Some((name, value))
}

fn redirect(judge: &mut Judge, element: &Element) -> Redirect {
    let mut method = Method::default();
    for attribute in &element.attributes {
        match attribute.name.as_str() {
            "method" => method = judge.method("Redirect", attribute).unwrap_or(method),
            _ => judge.unknown("Redirect", attribute, &["method"]),
        }
    }
    Redirect { url: text_of(judge, element, "a URL"), method }
}

fn reject(judge: &mut Judge, element: &Element) {
    for attribute in &element.attributes {
        match attribute.name.as_str() {
            // The call is answered already: the reason is judged and then makes no difference.
            "reason" => drop(judge.word("Reject", attribute, &[("rejected", ()), ("busy", ())])),
            _ => judge.unknown("Reject", attribute, &["reason"]),
        }
    }
    nothing_in(judge, element);
}

/// The `<Say>`, `<Play>` and `<Pause>` that `parent` holds, and faults for everything else in it.
fn utterances(judge: &mut Judge, parent: &str, children: Vec<Node>) -> Vec<Utterance> {
    let mut utterances = Vec::new();
    for node in children {
        let child = match node {
            Node::Element(child) => child,
            Node::Text(position, text) => {
                if is_text(judge, &text) {
                    judge.error(position, format!("<{parent}> holds <Say>, <Play> and <Pause>, not text"));
                }
                continue;
            }
        };
        match utterance(judge, child) {
            Ok(found) => utterances.extend(found),
            Err(child) if judge.is_unjudged(&child.name) => {}
            Err(child) => {
                let hint = if is_verb(&child.name) { String::new() } else { did_you_mean(&child.name, UTTERANCES) };
                let name = shown(&child.name);
                judge.error(child.position, format!("<{parent}> holds <Say>, <Play> and <Pause>, not <{name}>{hint}"));
            }
        }
    }
    utterances
}

/// The text in an element that holds `what` and no elements, without the blanks around it.
pub(super) fn text_of(judge: &mut Judge, element: &Element, what: &str) -> String {
    let mut text = String::new();
    for node in &element.children {
        match node {
            Node::Text(_, part) => text.push_str(part),
            Node::Element(child) if judge.is_unjudged(&child.name) => {}
            Node::Element(child) => {
                let message = format!("<{}> holds {what}, not <{}>", element.name, shown(&child.name));
                judge.error(child.position, message);
            }
        }
    }
    text.trim().to_owned()
}

/// A fault for the first thing in an element that holds nothing.
pub(super) fn nothing_in(judge: &mut Judge, element: &Element) {
    let name = &element.name;
    for node in &element.children {
        match node {
            Node::Element(child) => {
                if !judge.is_unjudged(&child.name) {
                    let message = format!("<{name}> is empty, but <{}> is in it", shown(&child.name));
                    return judge.error(child.position, message);
                }
            }
            Node::Text(position, text) => {
                if is_text(judge, text) {
                    return judge.error(*position, format!("<{name}> is empty, but text is in it"));
                }
            }
        }
    }
}

/// Warnings for the attributes of `element` that are not among `known`.
fn attributes_of(judge: &mut Judge, element: &Element, known: &[&str]) {
    for attribute in &element.attributes {
        if !known.contains(&attribute.name.as_str()) {
            judge.unknown(&element.name, attribute, known);
        }
    }
}

/// Whether `text` says something, as far as is known.
fn is_text(judge: &Judge, text: &str) -> bool {
    !text.trim().is_empty() && !judge.is_unjudged(text)
}
