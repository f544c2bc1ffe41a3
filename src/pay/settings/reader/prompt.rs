//! `<Prompt>` children and Telnyx's and SignalWire's `prompts` attribute: both become [`CustomPrompt`]s.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Refusal, SettingsReader, flag, list};
use crate::mask::refused;
use crate::pay::card::Brand;
use crate::pay::prompts::CustomPrompt;
use crate::pay::step::{EntryError, Moment, PayErrorCode, SessionError};
use crate::twiml::{Attribute, Fault, Play, PlaySource, Position, Prompt, Say, Severity, Utterance, nearest};

/// The most attempts a prompt can name (Twilio, "TwiML Voice: `<Prompt>`").
const ATTEMPT_MAX: u8 = 10;

const KNOWN: &[&str] = &["for", "cardType", "attempt", "errorType", "requireMatchingInputs"];

/// The keys of an entry of the `prompts` attribute: Telnyx's, SignalWire's, and those of `<Prompt>`.
const KNOWN_IN_JSON: &[&str] = &[
    "for",
    "text",
    "actions",
    "card_type",
    "cardType",
    "attempt",
    "attempts",
    "error_type",
    "errorType",
    "require_matching_inputs",
    "requireMatchingInputs",
];

impl SettingsReader<'_> {
    /// The document's own prompts: those of the attribute first, less the moments that a child speaks for.
    pub(super) fn prompts(&mut self) -> Vec<CustomPrompt> {
        let verb = self.verb;
        let children: Vec<CustomPrompt> =
            verb.prompts.iter().filter_map(|child| self.child(&child.item, child.position)).collect();
        let mut prompts = self.json_prompts();
        prompts.retain_mut(|prompt| {
            prompt.moments.retain(|moment| !children.iter().any(|child| child.moments.contains(moment)));
            !prompt.moments.is_empty()
        });
        prompts.extend(children);
        prompts
    }

    fn child(&mut self, prompt: &Prompt, position: Position) -> Option<CustomPrompt> {
        for unknown in prompt.attributes.iter().filter(|attribute| !KNOWN.contains(&attribute.name.as_str())) {
            self.warnings.push(Fault {
                position: unknown.position,
                severity: Severity::Warning,
                message: format!(
                    "<Prompt> has no attribute {}{}; it is passed over",
                    refused(&unknown.name),
                    nearest(&unknown.name, KNOWN).map_or_else(String::new, |word| format!(" (did you mean {word}?)"))
                ),
            });
        }
        let find = |name: &str| prompt.attributes.iter().find(|attribute| attribute.name == name);
        if find("for").is_none_or(|attribute| attribute.value.trim().is_empty()) {
            let allowed = list(Moment::ALL.iter());
            self.refuse_at(position, format!("<Prompt> needs an attribute for, which is one or more of {allowed}"));
            return None;
        }
        // A list that is refused ends the verb, so that its prompt can be left out.
        let moments = self.words_of(find("for"), "the payment steps", &list(Moment::ALL.iter()), parse_moment)?;
        let card_types = self.words_of(find("cardType"), "card types", &list(Brand::ALL.iter()), Brand::parse)?;
        let attempts = self.words_of(find("attempt"), "numbers", "1 to 10", parse_attempt)?;
        let errors = list(EntryError::ALL.iter().map(|error| error.prompt_word()));
        let named = self.words_of(find("errorType"), "error types", &errors, parse_error)?;
        let errors: Vec<EntryError> = named.iter().copied().flatten().collect();
        if errors.is_empty() && !named.is_empty() {
            let message = "<Prompt errorType>: no prompt is said at such an error; it is passed over".to_owned();
            self.warnings.push(Fault { position, severity: Severity::Warning, message });
            return None;
        }
        let matching = match find("requireMatchingInputs").map(|attribute| (attribute, attribute.value.trim())) {
            None | Some((_, "")) => false,
            Some((attribute, value)) => {
                let matching = flag(value);
                if matching.is_none() {
                    let value = refused(value);
                    let message =
                        format!("<Prompt requireMatchingInputs=\"{value}\"> is not allowed: it is true or false");
                    self.refuse_at(attribute.position, message);
                }
                matching?
            }
        };
        Some(CustomPrompt { moments, card_types, attempts, errors, matching, content: prompt.content.clone() })
    }

    /// A list separated by blanks; absent is empty; a bad word refuses the verb.
    fn words_of<T>(
        &mut self,
        attribute: Option<&Attribute>,
        what: &str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(attribute) = attribute else { return Some(Vec::new()) };
        match attribute.value.split_whitespace().map(|word| parse(word).ok_or(word)).collect() {
            Ok(found) => Some(found),
            Err(word) => {
                let name = &attribute.name;
                let (value, word) = (refused(&attribute.value), refused(word));
                let message = format!("<Prompt {name}=\"{value}\">: \"{word}\" is not allowed: {what} are {allowed}");
                self.refuse_at(attribute.position, message);
                None
            }
        }
    }

    fn refuse_at(&mut self, position: Position, message: String) {
        self.refusals.push(Refusal::new(position, message, PayErrorCode::InvalidParameter));
    }

    /// Telnyx: an object, step name to a text or a list of texts with qualifiers. SignalWire: a list of objects with
    /// `for`, qualifiers and `actions`.
    fn json_prompts(&mut self) -> Vec<CustomPrompt> {
        let Some(value) = self.json("prompts") else { return Vec::new() };
        self.name_unknown_keys(&value);
        let entries: Option<Vec<CustomPrompt>> = match &value {
            Value::Array(entries) => entries.iter().map(|entry| from_json(entry, &text_of(entry, &["for"])?)).collect(),
            Value::Object(steps) => steps
                .iter()
                .flat_map(|(step, entry)| match entry {
                    Value::Array(entries) => entries.iter().map(|entry| from_json(entry, step)).collect(),
                    entry => vec![from_json(entry, step)],
                })
                .collect(),
            _ => None,
        };
        entries.unwrap_or_else(|| {
            let allowed = "prompts is JSON: {\"step\": \"text\"}, {\"step\": [{\"text\": ..., \"attempt\": ...}]} or \
                           [{\"for\": ..., \"actions\": [{\"type\": \"Say\", \"phrase\": ...}]}]";
            self.refuse("prompts", allowed.to_owned(), PayErrorCode::InvalidParameter);
            Vec::new()
        })
    }
}

impl SettingsReader<'_> {
    /// Names each key once that no entry of `prompts` has.
    fn name_unknown_keys(&mut self, prompts: &Value) {
        let mut unknown = BTreeSet::new();
        collect_unknown_keys(prompts, prompts.is_object(), &mut unknown);
        let position = self.find("prompts").map_or(self.position, |attribute| attribute.position);
        self.warnings.extend(unknown.into_iter().map(|key| Fault {
            position,
            severity: Severity::Warning,
            message: format!("<Pay prompts>: an entry has no key {}; it is passed over", refused(key)),
        }));
    }
}

fn collect_unknown_keys<'a>(value: &'a Value, is_steps: bool, unknown: &mut BTreeSet<&'a str>) {
    match value {
        Value::Array(entries) => entries.iter().for_each(|entry| collect_unknown_keys(entry, false, unknown)),
        Value::Object(steps) if is_steps => {
            steps.values().for_each(|entry| collect_unknown_keys(entry, false, unknown));
        }
        Value::Object(entry) => {
            unknown.extend(entry.keys().map(String::as_str).filter(|key| !KNOWN_IN_JSON.contains(key)));
        }
        _ => {}
    }
}

/// The error that a word names; none inside: one that happens where nothing is asked again, so that no prompt is said.
/// Twilio's libraries and SignalWire's documents have such words too.
fn parse_error(word: &str) -> Option<Option<EntryError>> {
    let silent = SessionError::parse(word).is_some() || word.eq_ignore_ascii_case("card-declined");
    EntryError::parse_prompt_word(word).map(Some).or_else(|| silent.then_some(None))
}

/// The moment that a word names; SignalWire writes the last one with two `l` in places.
fn parse_moment(word: &str) -> Option<Moment> {
    let cancelled = word.eq_ignore_ascii_case("payment-cancelled").then_some(Moment::PaymentCanceled);
    Moment::parse(word).or(cancelled)
}

fn parse_attempt(word: &str) -> Option<u8> {
    word.parse().ok().filter(|attempt| (1..=ATTEMPT_MAX).contains(attempt))
}

/// One entry of the `prompts` attribute; `None` if any part of it makes no sense.
fn from_json(entry: &Value, moments: &str) -> Option<CustomPrompt> {
    let moments: Option<Vec<Moment>> = moments.replace('_', "-").split_whitespace().map(Moment::parse).collect();
    let (card_types, attempts, errors, matching, content) = match entry {
        Value::String(text) => (vec![], vec![], vec![], false, vec![say(text)]),
        Value::Object(fields) => {
            let words = |names: &[&str]| -> Option<Vec<String>> {
                match names.iter().find_map(|name| fields.get(*name)) {
                    None | Some(Value::Null) => Some(Vec::new()),
                    Some(Value::String(text)) => Some(text.split_whitespace().map(str::to_owned).collect()),
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => scalar(value).map(|word| vec![word]),
                    Some(Value::Array(values)) => values.iter().map(scalar).collect(),
                    Some(_) => None,
                }
            };
            let card_types: Option<Vec<Brand>> =
                words(&["card_type", "cardType"])?.iter().map(|word| Brand::parse(&word.replace('_', "-"))).collect();
            let attempts: Option<Vec<u8>> =
                words(&["attempts", "attempt"])?.iter().map(|word| parse_attempt(word)).collect();
            let errors: Option<Vec<EntryError>> = words(&["error_type", "errorType"])?
                .iter()
                .map(|word| EntryError::parse_prompt_word(&word.replace('_', "-")))
                .collect();
            let matching = match words(&["require_matching_inputs", "requireMatchingInputs"])?.as_slice() {
                [] => false,
                [word] => flag(word)?,
                _ => return None,
            };
            (card_types?, attempts?, errors?, matching, content_of(entry)?)
        }
        _ => return None,
    };
    Some(CustomPrompt {
        moments: moments.filter(|moments| !moments.is_empty())?,
        card_types,
        attempts,
        errors,
        matching,
        content,
    })
}

/// `text` (Telnyx) or `actions` (SignalWire).
fn content_of(entry: &Value) -> Option<Vec<Utterance>> {
    if let Some(text) = text_of(entry, &["text"]) {
        return Some(vec![say(&text)]);
    }
    entry.get("actions")?.as_array()?.iter().map(action).collect()
}

fn action(action: &Value) -> Option<Utterance> {
    let phrase = text_of(action, &["phrase", "text", "url"])?;
    match text_of(action, &["type"])?.to_ascii_lowercase().as_str() {
        "say" => Some(say(&phrase)),
        "play" => Some(Utterance::Play(Play { source: PlaySource::Url(phrase), times: 1 })),
        _ => None,
    }
}

fn text_of(value: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| value.get(*name)).and_then(scalar)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn say(text: &str) -> Utterance {
    Utterance::Say(Say { text: text.to_owned(), voice: None, language: None, times: 1 })
}
