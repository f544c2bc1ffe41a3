//! The log as an operator searches it: each message stands in one place and says the same words every time; what varies is in
//! fields, and a field has one name wherever it is logged. Read off the source.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::path::Path;

/// The fields that there are, and what each holds. What one of these names means is not logged by another name.
const FIELDS: &[(&str, &str)] = &[
    ("account_sid", "the AccountSid"),
    ("attempt", "the attempt at a step, from 1"),
    ("call_sid", "the CallSid"),
    ("callback", "a callback's id in the database"),
    ("callback_kind", "what a callback is for: status, action, an error notice"),
    ("callbacks", "how many callbacks"),
    ("calls", "how many calls"),
    ("characters", "the length of a text"),
    ("characters_min", "the shortest that a text should be"),
    ("code", "Twilio's error code"),
    ("connector", "a connector's name"),
    ("connector_kind", "its kind, as configured"),
    ("connectors", "several connectors' names"),
    ("dialect", "a platform's dialect"),
    ("entry", "what a call has persisted: callback, payment, submission, outcome"),
    ("error", "what an operation of this server failed with"),
    ("error_type", "a status callback's ErrorType"),
    ("faults", "what is wrong with a flow"),
    ("fields", "the names of a callback's fields"),
    ("file", "a file's path"),
    ("flow", "a flow's name"),
    ("folder", "a folder's path"),
    ("host", "an application's host"),
    ("ignored", "messages of a stream that were passed over: how many, and why"),
    ("interface", "where somebody signs in"),
    ("language", "a language tag"),
    ("left_out", "how many parameters are left out"),
    ("limit", "how many there may be"),
    ("max_connections", "the configuration key of this name"),
    ("method", "an HTTP method"),
    ("mode", "a connector's mode"),
    ("nearest", "the key that is nearest to an unknown one"),
    ("path", "a URL's path, as far as it is no secret"),
    ("payment", "a payment's sid"),
    ("peer", "the address of whoever connected"),
    ("position", "where in a document"),
    ("reason", "why somebody else, or a rule, brought something about"),
    ("recording", "what <Play> names, without the query"),
    ("resource", "what a REST request is about"),
    ("result", "a callback's Result"),
    ("retry_seconds", "how long until the next try"),
    ("row", "a database row's key"),
    ("seconds", "how long something took"),
    ("spelling", "which spelling of the URL a signature was made for"),
    ("state", "how a payment or a callback stands, as the commands list it"),
    ("status", "an HTTP status"),
    ("step", "a step of a payment, as a callback's For names it"),
    ("timer", "what a deadline is for"),
    ("url", "a URL without its query"),
    ("variable", "an environment variable's name"),
    ("voice", "a voice's name"),
    ("writes", "how many writes"),
];

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// A line that is logged.
struct Event {
    /// `src/file.rs:12`.
    place: String,
    /// Its arguments as they are written.
    arguments: Vec<String>,
}

impl Event {
    /// The message; none if the last argument is no literal, or one with something set in.
    fn message(&self) -> Option<String> {
        let literal = self.arguments.last()?.strip_prefix('"')?.strip_suffix('"')?;
        let words: Vec<&str> = literal.split_whitespace().filter(|word| *word != "\\").collect();
        (!literal.contains(['{', '}'])).then(|| words.join(" "))
    }

    fn fields(&self) -> impl Iterator<Item = &str> {
        let (_, before) = self.arguments.split_last().unwrap();
        before.iter().map(String::as_str).filter(|argument| !argument.starts_with("parent:"))
    }
}

/// The events of a file.
fn events(name: &str, text: &str) -> Vec<Event> {
    let mut events = Vec::new();
    for (begin, _) in text.match_indices("tracing::") {
        let rest = &text[begin + "tracing::".len()..];
        let macros = LEVELS.iter().find_map(|level| rest.strip_prefix(level)?.strip_prefix("!("));
        if let Some(inside) = macros {
            let line = text[..begin].matches('\n').count() + 1;
            events.push(Event { place: format!("{name}:{line}"), arguments: arguments(inside) });
        }
    }
    events
}

/// The arguments of a macro from behind its parenthesis.
fn arguments(text: &str) -> Vec<String> {
    let (mut all, mut this) = (Vec::new(), String::new());
    let (mut depth, mut is_literal, mut is_escaped) = (0, false, false);
    for letter in text.chars() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_literal => is_escaped = true,
            '"' => is_literal = !is_literal,
            _ if is_literal => {}
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(std::mem::take(&mut this));
                continue;
            }
            _ => {}
        }
        this.push(letter);
    }
    all.push(this);
    all.iter().map(|argument| argument.trim().to_owned()).filter(|argument| !argument.is_empty()).collect()
}

/// What is wrong with a field.
fn fault_of(field: &str) -> Option<String> {
    let (name, value) = field.split_once(" = ").unwrap_or((field, field));
    if value.starts_with('?') {
        return Some(format!("`{field}` prints Rust's words: a log has those of callbacks and of the configuration"));
    }
    let name = name.trim_start_matches('%');
    let is_known = FIELDS.iter().any(|(known, _)| *known == name);
    (!is_known).then(|| format!("`{field}` is not among the fields that tests/log_messages.rs lists"))
}

/// What an operator would trip over in these files.
fn faults(files: &[(String, String)]) -> Vec<String> {
    let mut faults = Vec::new();
    let events: Vec<Event> = files.iter().flat_map(|(name, text)| events(name, text)).collect();
    let mut messages: Vec<(&str, String)> = Vec::new();
    for event in &events {
        let place = event.place.as_str();
        faults.extend(event.fields().filter_map(fault_of).map(|fault| format!("{place}: {fault}")));
        match event.message() {
            Some(message) => messages.push((place, message)),
            None => faults.push(format!("{place}: the message is no literal, or something is set into it")),
        }
    }
    for (index, (place, message)) in messages.iter().enumerate() {
        let others = messages.iter().enumerate().filter(|(other, _)| *other != index);
        for (_, (elsewhere, longer)) in others {
            if longer.to_lowercase().contains(&message.to_lowercase()) {
                faults.push(format!("{place}: whoever searches for \"{message}\" finds {elsewhere} too: \"{longer}\""));
            }
        }
    }
    for (name, text) in files {
        if LEVELS.iter().any(|level| is_bare(text, level)) {
            faults.push(format!("{name}: write `tracing::` before the level, so that it is seen here"));
        }
    }
    faults
}

/// Whether a level's macro is written without `tracing::`.
fn is_bare(text: &str, level: &str) -> bool {
    let written = format!("{level}!(");
    text.match_indices(&written).any(|(place, _)| {
        let before = &text[..place];
        !before.ends_with("tracing::") && !before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
    })
}

/// The crate's source.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut folders) = (Vec::new(), vec![src]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string();
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn each_log_message_is_found_by_its_words_and_each_field_has_one_name() {
    let sources = sources();
    let faults = faults(&sources);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let count: usize = sources.iter().map(|(name, text)| events(name, text).len()).sum();
    assert!(count > 100, "the scan sees only {count} of them");
}

#[test]
fn words_that_other_tests_hope_not_to_find_are_those_of_a_message() {
    let sources = sources();
    let messages: Vec<String> =
        sources.iter().flat_map(|(name, text)| events(name, text)).filter_map(|event| event.message()).collect();
    for words in [
        // tests/simulation/judge.rs
        "payment was left without an outcome",
        "session was left without an end",
        "panicked",
        // tests/memory.rs
        "could not record call",
        // tests/exposed.rs, tests/connectors.rs
        "no money moves",
        "streams are taken unsigned while real money moves",
        // tests/access/once.rs
        "captures the upgrade",
        "media.secret is short",
    ] {
        assert!(messages.iter().any(|message| message.contains(words)), "{words}");
    }
}

#[test]
fn every_listed_field_is_logged_somewhere() {
    let sources = sources();
    let events: Vec<Event> = sources.iter().flat_map(|(name, text)| events(name, text)).collect();
    let is_used = |name: &str| {
        events
            .iter()
            .flat_map(Event::fields)
            .any(|field| field.split_once(" = ").map_or(field, |(name, _)| name).trim_start_matches('%') == name)
    };
    let unused: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).filter(|name| !is_used(name)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn a_message_that_is_there_twice_or_a_field_of_another_name_is_found() {
    let found = |text: &str| faults(&[("src/a.rs".to_owned(), text.to_owned())]);
    let one = "tracing::warn!(parent: &span, payment = sid(1, 2), %error, code, \"could not persist callback; \\\n  not sending it\");";
    assert_eq!(found(one), Vec::<String>::new());
    for (other, words) in [
        ("tracing::info!(\"could not persist callback; not sending it\")", "finds src/a.rs"),
        ("tracing::info!(\"Could not persist callback; not sending it today\")", "finds src/a.rs"),
        ("tracing::info!(\"callback {id} is gone\")", "set into it"),
        ("tracing::info!(message)", "no literal"),
        ("tracing::debug!(?outcome, \"it is over\")", "Rust's words"),
        ("tracing::debug!(result = ?outcome, \"it is over\")", "Rust's words"),
        ("tracing::debug!(sid, \"it is over\")", "`sid` is not among"),
        ("tracing::debug!(payment_sid = sid, \"it is over\")", "`payment_sid = sid` is not among"),
        ("tracing::debug!(%refused, \"it is over\")", "`%refused` is not among"),
        ("warn!(\"it is over\")", "write `tracing::`"),
    ] {
        let faults = found(&format!("{one}\n{other}"));
        assert!(!faults.is_empty() && faults.iter().all(|fault| fault.contains(words)), "{other}: {faults:?}");
    }
}
