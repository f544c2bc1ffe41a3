//! The table `tests/clients/README.md`: every name of the Pay verb and of its REST API, with the test or script that covers it.
//!
//! The table is made here from the scripts and the client-library tests themselves, so it cannot go stale: when it
//! differs from the file, this test fails. `TESTS_BLESS=1 cargo test --test coverage` writes it anew.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use regex::Regex;
use touchtone::pay::step::{EntryError, Moment, PayErrorCode, PayResult, SessionError, Step};
use touchtone::replay;

/// How many places a row names.
const NAMED: usize = 3;

/// Attributes of `<Pay>`.
const ATTRIBUTES: &str = "input action method statusCallback statusCallbackMethod paymentMethod bankAccountType timeout \
    interDigitTimeout maxAttempts securityCode postalCode minPostalCodeLength paymentConnector tokenType chargeAmount \
    currency language voice description validCardTypes parameters prompts metadata confirmation transactionType \
    paymentToken";

/// Attributes of `<Prompt>`.
const PROMPT_ATTRIBUTES: &str = "for cardType attempt errorType requireMatchingInputs";

/// What an agent's `create` takes.
const CREATE: &str = "IdempotencyKey StatusCallback BankAccountType ChargeAmount Currency Description Input \
    MinPostalCodeLength Parameter PaymentConnector PaymentMethod PostalCode SecurityCode Timeout TokenType \
    ValidCardTypes RequireMatchingInputs Confirmation";

/// What an agent's `update` takes beside the two that every request has, and the words of `Capture`.
const UPDATE: &str = "Capture Status";
const CAPTURES: &str = "payment-card-number expiration-date security-code postal-code bank-routing-number \
    bank-account-number payment-card-number-matcher expiration-date-matcher security-code-matcher postal-code-matcher";

/// The words of `Status`.
const STATUSES: &str = "complete cancel";

/// Fields of the `action` request.
const ACTION: &str = "AccountSid CallSid From To CallStatus ApiVersion Direction ForwardedFrom CallerName Result \
    PaymentMethod PaymentConnector PaymentConfirmationCode PaymentToken ProfileId PaymentCardNumber PaymentCardType \
    ExpirationDate SecurityCode PaymentCardPostalCode BankAccountNumber BankRoutingNumber BankAccountType \
    PaymentError PayErrorCode ConnectorError PayConnector_ PayResult ChargeId TokenId PaymentStep ErrorCode";

/// Fields that only status callbacks have.
const STATUS: &str = "For ErrorType Attempt SequenceNumber Sid DateCreated DateUpdated Capture PartialResult Required \
    ChargeAmount TokenType";

/// A file that covers something, in parts that can be named.
struct Source {
    /// Each part's name and text.
    parts: Vec<(String, String)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The call scripts, each with the flow documents it runs.
fn scripts() -> Source {
    let folder = root().join("flows/scripts");
    let files = replay::find(std::slice::from_ref(&folder)).unwrap();
    let part = |path: &PathBuf| {
        let mut text = std::fs::read_to_string(path).unwrap();
        let flow = text.lines().find_map(|line| line.strip_prefix("flow: ")).map(|name| name.trim().to_owned());
        if let Some(flow) = flow {
            text.push_str(&std::fs::read_to_string(root().join(format!("flows/{flow}.xml"))).unwrap());
        }
        (format!("scripts/{}", path.strip_prefix(&folder).unwrap().with_extension("").display()), text)
    };
    Source { parts: files.iter().map(part).collect() }
}

/// The client-library tests, one part a test.
fn clients() -> Source {
    let mut files: Vec<PathBuf> = Vec::new();
    collect(&root().join("tests/clients"), &mut files);
    files.sort();
    let test = Regex::new(r#"(?m)^\s*(?:async )?(?:def (test_\w+)|(?:test|it)\(\s*['"`]([^'"`]+)['"`])"#).unwrap();
    let mut parts = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let found: Vec<(usize, String)> = test
            .captures_iter(&text)
            .map(|found| {
                let name = found.get(1).or_else(|| found.get(2)).unwrap().as_str().to_owned();
                (found.get(0).unwrap().start(), name)
            })
            .collect();
        for (number, (start, name)) in found.iter().enumerate() {
            let end = found.get(number + 1).map_or(text.len(), |(start, _)| *start);
            parts.push((format!("{file}: {name}"), text[*start..end].to_owned()));
        }
    }
    Source { parts }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "node_modules" && name != "__pycache__") {
            collect(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "py" || kind == "js" || kind == "mjs" || kind == "cjs") {
            files.push(path);
        }
    }
}

impl Source {
    /// The parts in which `pattern` is found.
    fn with(&self, pattern: &str) -> Vec<String> {
        let pattern = Regex::new(pattern).unwrap();
        self.parts.iter().filter(|(_, text)| pattern.is_match(text)).map(|(name, _)| name.clone()).collect()
    }
}

/// One table: its title, and for each name where it is covered.
struct Table<'a> {
    title: &'a str,
    rows: Vec<(String, Vec<String>)>,
}

/// `paymentMethod` as Python's libraries write it.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

struct Sources {
    scripts: Source,
    clients: Source,
}

impl Sources {
    /// A table of `names`, each found in a script by one pattern and in a client's test by another.
    fn table<'a>(
        &self,
        title: &'a str,
        names: impl IntoIterator<Item = impl ToString>,
        in_script: impl Fn(&str) -> String,
        in_client: impl Fn(&str) -> String,
    ) -> Table<'a> {
        let rows = names
            .into_iter()
            .map(|name| {
                let name = name.to_string();
                let scripts = self.scripts.with(&in_script(&name));
                let clients = self.clients.with(&in_client(&name));
                // One of each kind first: whoever looks wants to see both.
                let first = clients.iter().take(1).chain(scripts.iter().take(1));
                let rest = clients.iter().skip(1).chain(scripts.iter().skip(1));
                let mut seen = BTreeSet::new();
                let places = first.chain(rest).filter(|place| seen.insert((*place).clone())).take(NAMED).cloned();
                (name, places.collect())
            })
            .collect();
        Table { title, rows }
    }
}

fn tables(sources: &Sources) -> Vec<Table<'static>> {
    let word = |name: &str| format!(r"[\s\x22'`:=,({{\[]{}(?:[\s\x22'`,;)}}\]:=]|$)", regex::escape(name));
    let either = |names: &[String]| names.iter().map(|name| word(name)).collect::<Vec<_>>().join("|");
    let attribute = |name: &str| format!(r#"(?s)<Pay\b[^>]*\s{name}="#);
    let in_library = |name: &str| format!(r"\b(?:{name}|{}|{name}_)\s*[=:]", snake(name));
    let parameter = |name: &str| format!(r#"(?s)agent:.*?create:.*?\b{name}:"#);
    let in_request = |name: &str| {
        let (snake, lower) = (snake(name), lower_first(name));
        format!(r#"\b(?:{name}|{snake}|{lower})['"]?\s*[=:]"#)
    };
    let told = |name: &str| format!(r#"(?m)to: (?:action|statusCallback|redirect)[^\n]*\b{name}\w*:"#);
    let in_callback = |name: &str| format!(r#"['".]{name}"#);
    let same = |name: &str| word(name);
    let words = |text: &'static str| text.split_whitespace();
    vec![
        sources.table("Attributes of `<Pay>`", words(ATTRIBUTES), attribute, in_library),
        sources.table(
            "Nouns of `<Pay>`",
            words("Prompt Parameter"),
            |name| format!("<{name}\\b"),
            |name| format!(r"(?i)\.{name}\("),
        ),
        sources.table(
            "Attributes of `<Prompt>`",
            words(PROMPT_ATTRIBUTES),
            |name| format!(r#"(?s)<Prompt\b[^>]*\s{name}="#),
            in_library,
        ),
        sources.table(
            "Moments that `<Prompt for>` names",
            Moment::ALL,
            |name| format!(r#"<Prompt\b[^>]*\sfor="[^"]*{name}"#),
            same,
        ),
        sources.table("Steps that `For` names", Step::ALL, |name| format!(r"For: {name}\b"), same),
        sources.table("Parameters that start an agent's payment", words(CREATE), parameter, in_request),
        sources.table(
            "Parameters that drive an agent's payment",
            words(UPDATE),
            |name| format!(r"agent: \{{.*\b{}:", name.to_ascii_lowercase()),
            in_request,
        ),
        sources.table("Values of `Capture`", words(CAPTURES), |name| format!(r"capture: {name}[ ,}}]"), same),
        sources.table("Values of `Status`", words(STATUSES), |name| format!(r"status: {name}[ ,}}]"), same),
        sources.table("Fields of the `action` request", words(ACTION), told, in_callback),
        sources.table("Fields of status callbacks alone", words(STATUS), told, in_callback),
        sources.table("Results", PayResult::ALL, |name| format!(r"(?:result|Result): {name}\b"), same),
        sources.table(
            "Error types",
            EntryError::ALL.iter().map(ToString::to_string).chain(SessionError::ALL.iter().map(ToString::to_string)),
            |name| format!(r"ErrorType: {name}\b"),
            same,
        ),
        sources.table(
            "Error codes",
            PayErrorCode::ALL.iter().map(|code| code.number()),
            |name| format!(r#"(?:PayErrorCode|refused): "?{name}\b"#),
            |name| either(&[name.to_owned()]),
        ),
    ]
}

fn written(tables: &[Table<'_>]) -> String {
    let mut text = String::from(
        "# What is covered, and by what\n\n\
         Every name of the Pay verb, of its callbacks and of its REST API, with tests that use Twilio's own libraries (files of this\n\
         folder) and call scripts (`flows/scripts`) that cover it; at most three of each. This file is written by `tests/coverage.rs`,\n\
         which fails when it is out of date or a row is empty: `TESTS_BLESS=1 cargo test --test coverage` writes it anew.\n",
    );
    for Table { title, rows } in tables {
        let _ = write!(text, "\n## {title}\n\n| name | covered by |\n|---|---|\n");
        for (name, places) in rows {
            let name = if name.ends_with('_') { format!("{name}<key>") } else { name.clone() };
            let _ = writeln!(text, "| `{name}` | {} |", places.join("; "));
        }
    }
    text
}

#[test]
fn every_name_of_pay_is_covered_and_the_table_says_by_what() {
    let tables = tables(&Sources { scripts: scripts(), clients: clients() });
    let empty: Vec<String> = tables
        .iter()
        .flat_map(|table| table.rows.iter().map(move |row| (table.title, row)))
        .filter(|(_, (_, places))| places.is_empty())
        .map(|(title, (name, _))| format!("{title}: {name}"))
        .collect();
    let text = written(&tables);
    let path = root().join("tests/clients/README.md");
    if std::env::var_os("TESTS_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(empty.is_empty(), "nothing covers these:\n{}", empty.join("\n"));
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == text, "tests/clients/README.md is out of date: TESTS_BLESS=1 cargo test --test coverage");
}
