//! Connectors and their gateways' answers as entries of a script.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::made_up::MadeUp;
use super::super::{NotedAnswer, NotedReply};
use super::{ConnectorLookup, millis};
use crate::pay::gateway::{Denial, Idempotency, TokenType};
use crate::pay::sandbox;
use crate::pay::test_numbers::AcceptedNumbers;
use crate::simulate::quoted;

/// What a connector can do, where it is not what the sandbox can.
pub(super) fn connector(looked: ConnectorLookup<'_>, after: Duration) -> String {
    let mut fields = Vec::new();
    if !after.is_zero() {
        fields.push(format!("after: {}", millis(after)));
    }
    let can = match looked {
        ConnectorLookup::Missing => {
            fields.push("missing: true".to_owned());
            return fields.join(", ");
        }
        ConnectorLookup::Unasked => return fields.join(", "),
        ConnectorLookup::Can(can) => can,
    };
    let like = sandbox::capabilities();
    if can.withdrawn {
        fields.push("withdrawn: true".to_owned());
    }
    let cannot: Vec<&str> = [
        (can.charge_card, "charge-card"),
        (can.charge_bank, "charge-bank"),
        (can.charge_token, "charge-token"),
        (!can.tokenize_card.is_empty(), "tokenize-card"),
        (!can.tokenize_bank.is_empty(), "tokenize-bank"),
        (can.idempotency.allows_repeats(), "replay"),
        (can.idempotency != Idempotency::ActsOnce, "first-result"),
    ]
    .into_iter()
    .filter_map(|(can, what)| (!can).then_some(what))
    .collect();
    if !cannot.is_empty() {
        fields.push(format!("cannot: [{}]", cannot.join(", ")));
    }
    let types: Vec<&TokenType> =
        TokenType::ALL.iter().filter(|it| can.tokenize_card.contains(it) || can.tokenize_bank.contains(it)).collect();
    if types.len() < TokenType::ALL.len() && !types.is_empty() {
        let types: Vec<&str> = types.into_iter().map(|it| it.word()).collect();
        fields.push(format!("token_types: [{}]", types.join(", ")));
    }
    if let Some(currencies) = &can.currencies {
        let codes: Vec<String> = currencies.iter().map(|currency| quoted(currency.code())).collect();
        fields.push(format!("currencies: [{}]", codes.join(", ")));
    }
    let holder = can.bank_needs_holder_name.then(|| "\"AVSName\"".to_owned());
    let needs: Vec<String> = can.needed_parameters.iter().map(|name| quoted(name)).chain(holder).collect();
    if !needs.is_empty() {
        fields.push(format!("needs: [{}]", needs.join(", ")));
    }
    match can.accepted_numbers {
        AcceptedNumbers::Any => {}
        AcceptedNumbers::PublishedTest => fields.push("test_mode: published".to_owned()),
        AcceptedNumbers::SandboxTest => fields.push("test_mode: sandbox".to_owned()),
        AcceptedNumbers::GENERIC_TEST => fields.push("test_mode: true".to_owned()),
        AcceptedNumbers::Listed(list) => fields.push(format!("test_mode: {}", quoted(list.name))),
    }
    if can.looks_up {
        fields.push("looks_up: true".to_owned());
    }
    if can.answer_timeout != like.answer_timeout {
        fields.push(format!("answer_timeout: {}", millis(can.answer_timeout)));
    }
    if can.settles_after != like.settles_after {
        fields.push(format!("settles_after: {}", millis(can.settles_after)));
    }
    if can.repeats != like.repeats {
        fields.push(format!("repeats: {}", can.repeats));
    }
    if can.overall != like.overall {
        fields.push(format!("overall: {}", millis(can.overall)));
    }
    fields.join(", ")
}

/// A gateway's answer as the keys of its entry. Tokens are made up: they would be as good as the card.
pub(super) fn answer(reply: &NotedReply, made_up: &MadeUp, keyed: usize, fields: &mut Vec<String>) {
    let words = |text: &str| quoted(&made_up.said(text, keyed));
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    match reply {
        NotedReply::Ready => fields.push("outcome: ready".to_owned()),
        NotedReply::NotFound => fields.push("outcome: not-found".to_owned()),
        NotedReply::CannotTell => fields.push("outcome: cannot-tell".to_owned()),
        NotedReply::NotWritten => fields.push("outcome: not-written".to_owned()),
        NotedReply::Panicked => fields.push("outcome: broken-down".to_owned()),
        NotedReply::Answer(NotedAnswer::Unknown(retry_after)) => {
            fields.push("outcome: unknown".to_owned());
            fields.extend(retry_after.map(|wait| format!("retry_after: {}", millis(wait))));
        }
        NotedReply::Answer(NotedAnswer::NotSent(retry_after)) => {
            fields.push("outcome: not-sent".to_owned());
            fields.extend(retry_after.map(|wait| format!("retry_after: {}", millis(wait))));
        }
        NotedReply::Answer(NotedAnswer::Approved { confirmation_code, token, profile, parameters: given }) => {
            let code = confirmation_code.as_ref().filter(|code| !code.is_empty());
            fields.extend(code.map(|code| format!("charge_id: {}", quoted(&made_up.identifier(code)))));
            fields.extend(token.then(|| "token_id: tok_made_up".to_owned()));
            fields.extend(profile.then(|| "profile_id: cus_made_up".to_owned()));
            // Without an id, nothing else would say that it was approved.
            if fields.iter().all(|field| field.starts_with("prepare")) {
                fields.push("outcome: approved".to_owned());
            }
            parameters.extend(given.iter().cloned());
        }
        NotedReply::Answer(NotedAnswer::Declined(denial)) => {
            match denial.code.as_ref().filter(|code| !code.is_empty()) {
                Some(code) => fields.push(format!("error_code: {}", words(code))),
                None => fields.push("outcome: declined".to_owned()),
            }
            denied(denial, &words, &mut parameters, fields);
        }
        NotedReply::Answer(NotedAnswer::Refused(code, denial)) => {
            fields.push(format!("refused: {}", code.number()));
            fields.extend(denial.code.as_ref().map(|code| format!("error_code: {}", words(code))));
            denied(denial, &words, &mut parameters, fields);
        }
    }
    if !parameters.is_empty() {
        let parameters: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{}: {}", words(name), words(value))).collect();
        fields.push(format!("parameters: {{ {} }}", parameters.join(", ")));
    }
}

fn denied(
    denial: &Denial,
    words: &impl Fn(&str) -> String,
    parameters: &mut BTreeMap<String, String>,
    fields: &mut Vec<String>,
) {
    fields.extend(denial.message.as_ref().map(|message| format!("error_message: {}", words(message))));
    parameters.extend(denial.parameters.iter().cloned());
}
