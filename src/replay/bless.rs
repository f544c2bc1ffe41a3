//! Writes what happened into a script as what is expected. Everything before `expect:` stays as it is.

use std::borrow::Cow;

use super::expect::Summary;
use super::run::ScriptOutcome;
use crate::form::Value;
use crate::twiml::Method;

/// Fields that say nothing about a call's behaviour.
const UNTOLD: &[&str] = &[
    "AccountSid",
    "CallSid",
    "Sid",
    "ApiVersion",
    "Direction",
    "From",
    "To",
    "CallStatus",
    "PaymentConnector",
    "PaymentMethod",
    "DateCreated",
    "DateUpdated",
    "SequenceNumber",
];

/// The script `text` with the expectations that `outcome` fulfils.
pub(super) fn blessed(text: &str, outcome: &ScriptOutcome) -> String {
    let (before, after) = around_expect(text);
    let mut blessed = before.trim_end().to_owned();
    blessed.push_str("\n\n");
    blessed.push_str(&expectations(&outcome.summary));
    if !after.trim().is_empty() {
        blessed.push('\n');
        blessed.push_str(after);
    }
    blessed
}

/// What stands before the top-level `expect:` and after its block.
fn around_expect(text: &str) -> (&str, &str) {
    let mut begin = None;
    let mut place = 0;
    for line in text.split_inclusive('\n') {
        let top_level = !line.starts_with([' ', '\t', '#', '\n', '\r', '-']) && !line.trim().is_empty();
        match begin {
            None if line.starts_with("expect:") => begin = Some(place),
            Some(begin) if top_level => {
                return text
                    .split_at_checked(place)
                    .map_or((text, ""), |(head, after)| (head.get(..begin).unwrap_or(head), after));
            }
            _ => {}
        }
        place += line.len();
    }
    (begin.and_then(|begin| text.get(..begin)).unwrap_or(text), "")
}

fn expectations(summary: &Summary) -> String {
    let mut lines = vec!["expect:".to_owned()];
    if let Some(result) = summary.result {
        lines.push(format!("  result: {result}"));
    }
    if let Some(card) = &summary.card {
        lines.push(format!("  card: {card}"));
    }
    if summary.submissions > 0 {
        lines.push(format!("  submissions: {}", summary.submissions));
    }
    if !summary.warnings.is_empty() {
        lines.push("  warnings:".to_owned());
        lines.extend(summary.warnings.iter().map(|warning| format!("    - {}", quoted(warning))));
    }
    // The whole list, also where it is empty: a script that is silent about requests would check none.
    lines.push(if summary.requests.is_empty() { "  requests: []" } else { "  requests:" }.to_owned());
    for sent in &summary.requests {
        let mut fields = vec![format!("to: {}", sent.to.word())];
        if sent.method == Method::Get {
            fields.push("method: GET".to_owned());
        }
        for (name, value) in sent.form.iter().filter(|(name, _)| !UNTOLD.contains(name)) {
            // A token is as random as the gateway wants it to be.
            let value = match value {
                Value::Plain(text) => quoted(&expected(text)),
                Value::Secret(_) => "/.+/".to_owned(),
            };
            fields.push(format!("{}: {value}", quoted(name)));
        }
        lines.push(format!("    - {{ {} }}", fields.join(", ")));
    }
    if let Some(ended) = summary.ended {
        lines.push(format!("  ended: {}", ended.word()));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What expects this text and no other: one between slashes would be taken for a regex.
fn expected(text: &str) -> Cow<'_, str> {
    match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(_) => Cow::Owned(format!(r"/\A{}\z/", regex::escape(text))),
        None => Cow::Borrowed(text),
    }
}

/// A text as YAML can hold it on one line.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expectations_are_rewritten() {
        let text =
            "flow: a\ncall:\n  - hang up\nexpect:\n  result: x\n  # a comment in it\n\n  ended: y\ndialect: twilio\n";
        assert_eq!(around_expect(text), ("flow: a\ncall:\n  - hang up\n", "dialect: twilio\n"));
        assert_eq!(around_expect("flow: a\n"), ("flow: a\n", ""));
        assert_eq!(quoted("success"), "success");
        assert_eq!(expected("/[/"), r"/\A/\[/\z/");
        assert_eq!((expected("/"), expected("a/")), ("/".into(), "a/".into()));
        assert_eq!(quoted("1"), "\"1\"");
        assert_eq!(quoted("end \"x\""), "\"end \\\"x\\\"\"");
    }
}
