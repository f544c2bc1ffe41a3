//! What is wrong with a document before it is ever run.
//!
//! Shape:   a document in, faults out, by place.
//! Sources: spec/interface.md, `touchtone check`.

use super::link::{LinkError, Origin, PlainHttp, Target};
use crate::mask::refused;
use crate::pay::platform::Platform;
use crate::pay::settings::Settings;
use crate::twiml::{Attribute, Document, Fault, Pay, Position, Severity, Verb};

/// Every fault of a flow document: those that reading it found, Pay attributes, and links that lead nowhere.
/// `is_flow` says whether a flow of that name exists. Values that contain `{{` are not judged.
#[must_use]
pub fn check(document: &Document, is_flow: impl Fn(&str) -> bool) -> Vec<Fault> {
    let mut faults = document.faults.clone();
    let origin = Origin::Flow(String::new());
    let mut link = |position: Position, what: &str, link: &str| {
        if link.contains("{{") {
            return;
        }
        let wrong = match origin.resolve(link, PlainHttp::Always) {
            Ok(Target::Flow(name)) if !is_flow(&name) => format!("there is no flow named {}", refused(&name)),
            Ok(_) => return,
            Err(error) => error.to_string(),
        };
        faults.push(Fault { position, severity: Severity::Error, message: format!("{what}: {wrong}") });
    };
    for verb in &document.verbs {
        match &verb.item {
            Verb::Gather(gather) => {
                if let Some(action) = &gather.action {
                    link(verb.position, &format!("<Gather action=\"{}\">", refused(action)), action);
                }
            }
            Verb::Redirect(redirect) => link(verb.position, "<Redirect>", &redirect.url),
            Verb::Pay(pay) => {
                let is_action =
                    |attribute: &&Attribute| attribute.name == "action" && !attribute.value.trim().is_empty();
                if let Some(action) = pay.attributes.iter().find(is_action) {
                    link(action.position, &format!("<Pay action=\"{}\">", refused(&action.value)), &action.value);
                }
            }
            Verb::Say(_) | Verb::Play(_) | Verb::Pause(_) | Verb::Hangup | Verb::Reject | Verb::Unsupported { .. } => {}
        }
    }
    for verb in &document.verbs {
        if let Verb::Pay(pay) = &verb.item {
            faults.extend(check_pay(pay, verb.position));
        }
    }
    faults.sort_by_key(|fault| fault.position);
    faults
}

fn check_pay(pay: &Pay, position: Position) -> Vec<Fault> {
    let mut judged = pay.clone();
    let is_template = |value: &str| value.contains("{{");
    // A name that there is none of is told whatever its value is.
    judged.attributes.retain(|attribute| {
        !is_template(&attribute.name) && (!is_template(&attribute.value) || !Settings::knows(&attribute.name))
    });
    judged.prompts.retain(|prompt| !prompt.item.attributes.iter().any(|attribute| is_template(&attribute.value)));
    // Whether an amount is there decides about other attributes: with a template in its place, one is assumed.
    let amount_unknown =
        pay.attributes.iter().any(|attribute| attribute.name == "chargeAmount" && is_template(&attribute.value));
    if amount_unknown {
        judged.attributes.retain(|attribute| attribute.name != "transactionType" && attribute.name != "paymentToken");
    }
    // The rules of platforms differ in how often something is tried, and in nothing that a document can get wrong.
    let reading = Settings::read(&judged, position, Platform::default());
    let mut faults: Vec<Fault> = reading
        .refusals
        .into_iter()
        .map(|refusal| Fault { position: refusal.position, severity: Severity::Error, message: refusal.message })
        .collect();
    faults.extend(reading.warnings);
    if let Some(callback) = judged.attributes.iter().find(|attribute| attribute.name == "statusCallback") {
        match Origin::Flow(String::new()).resolve_url(&callback.value, PlainHttp::Always) {
            Ok(_) => {}
            // A blank value is as if the attribute were absent (spec/pay.md 2).
            Err(LinkError::NotAbsolute) if callback.value.trim().is_empty() => {}
            Err(error) => faults.push(Fault {
                position: callback.position,
                severity: Severity::Error,
                message: format!("<Pay statusCallback=\"{}\">: {error}", refused(&callback.value)),
            }),
        }
    }
    faults
}
