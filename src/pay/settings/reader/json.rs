//! Telnyx's attributes that hold JSON: `parameters`, `metadata`, `prompts`.

use serde_json::Value;

use super::{SettingsReader, Wording};
use crate::pay::step::PayErrorCode;

impl SettingsReader<'_> {
    /// The gateway's parameters: those of the attribute, each overridden by a child of the same name.
    pub(super) fn parameters(&mut self) -> Vec<(String, String)> {
        let mut parameters = self.json_pairs("parameters");
        parameters.retain(|(name, _)| !self.verb.parameters.iter().any(|(child, _)| child == name));
        parameters.extend(self.verb.parameters.iter().cloned());
        parameters
    }

    /// Names and values: an object, or a list of objects with `name` and `value`.
    pub(super) fn json_pairs(&mut self, name: &'static str) -> Vec<(String, String)> {
        let Some(value) = self.json(name) else { return Vec::new() };
        let pairs: Option<Vec<(String, String)>> = match value {
            // Twilio's API takes one level only.
            Value::Object(members)
                if self.wording == Wording::Request && members.values().any(|it| it.is_object() || it.is_array()) =>
            {
                None
            }
            Value::Object(members) => Some(members.into_iter().map(|(name, value)| (name, text(value))).collect()),
            Value::Array(entries) => entries
                .into_iter()
                .map(|mut entry| {
                    let value = text(entry.get_mut("value")?.take());
                    Some((entry.get("name")?.as_str()?.to_owned(), value))
                })
                .collect(),
            _ => None,
        };
        pairs.unwrap_or_else(|| {
            let shown = self.wording.name(name);
            let allowed =
                format!("{shown} is a JSON object of names and values, or a list of objects with name and value");
            self.refuse(name, allowed, PayErrorCode::InvalidParameter);
            Vec::new()
        })
    }

    /// The JSON an attribute holds; none where it is absent, blank or refused.
    pub(super) fn json(&mut self, name: &'static str) -> Option<Value> {
        let source = self.text(name)?;
        match serde_json::from_str(&source) {
            Ok(value) => Some(value),
            Err(error) => {
                let shown = self.wording.name(name);
                // Not serde's own words: they may quote the value, and with it what a caller keyed.
                let place =
                    format!("{shown} is not JSON: line {}, column {} of its value", error.line(), error.column());
                self.refuse(name, place, PayErrorCode::InvalidParameter);
                None
            }
        }
    }
}

/// A text as it is, anything else as JSON.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
