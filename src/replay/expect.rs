//! What happened in a call, as far as scripts compare it, and the comparison.

use std::borrow::Cow;
use std::collections::BTreeMap;

use regex::Regex;

use super::script::{Expect, Text};
use crate::flow::link::Target;
use crate::flow::{Ended, Purpose};
use crate::form::Form;
use crate::pay::session::What;
use crate::pay::step::PayResult;
use crate::pay::submission::Ask;
use crate::simulate::{Record, Simulation, World};
use crate::twiml::Method;

/// What happened in a call.
#[derive(Debug, Default)]
pub struct Summary {
    /// The last Pay session's result.
    pub result: Option<PayResult>,
    /// The last Pay session's card brand.
    pub card: Option<String>,
    /// Requests to the application, in order.
    pub requests: Vec<SentRequest>,
    /// How the call ended.
    pub ended: Option<Ended>,
    /// Warnings, in order.
    pub warnings: Vec<String>,
    /// How often the gateway was asked to charge or tokenize.
    pub submissions: u32,
    /// The codes of what an agent was refused, in order.
    pub refusals: Vec<u32>,
}

/// A request to the application.
#[derive(Debug)]
pub struct SentRequest {
    /// What kind it is.
    pub to: Recipient,
    /// Its URL, or the name of the flow that took its place.
    pub target: String,
    /// How it was sent; of no meaning for a flow.
    pub method: Method,
    /// Its fields.
    pub form: Form,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// `statusCallback`
    StatusCallback,
    /// The `action` of a Gather or Pay.
    Action,
    /// A `<Redirect>`.
    Redirect,
    /// The first document, of a call that begins with a `url`.
    Document,
}

impl SentRequest {
    /// The request for machines: keys as a script's entry has them, secrets masked.
    #[must_use]
    pub fn shown(&self) -> BTreeMap<String, String> {
        let fields = self.form.iter().map(|(name, value)| (name.to_owned(), value.shown().to_owned()));
        let about = [("to", self.to.word()), ("url", &self.target), ("method", method_word(self.method))];
        fields.chain(about.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
    }
}

impl Recipient {
    /// What scripts call it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::StatusCallback => "statusCallback",
            Self::Action => "action",
            Self::Redirect => "redirect",
            Self::Document => "document",
        }
    }

    /// Status callbacks are in order among themselves only; so is the rest.
    const fn line(self) -> bool {
        matches!(self, Self::StatusCallback)
    }
}

impl Summary {
    /// What happened in a simulation so far.
    #[must_use]
    pub fn of<W: World>(simulation: &Simulation<W>) -> Self {
        let mut summary = Self { ended: simulation.ended(), ..Self::default() };
        for (_, record) in simulation.records() {
            match record {
                Record::Requested(fetch) => summary.requests.push(SentRequest {
                    to: match fetch.purpose {
                        Purpose::Gather | Purpose::Pay => Recipient::Action,
                        Purpose::First => Recipient::Document,
                        Purpose::Redirect => Recipient::Redirect,
                    },
                    target: match &fetch.target {
                        Target::Flow(name) => name.clone(),
                        Target::Url(url) => url.to_string(),
                    },
                    method: fetch.method,
                    form: fetch.form.clone(),
                }),
                Record::Notified(url, method, form) => summary.requests.push(SentRequest {
                    to: Recipient::StatusCallback,
                    target: url.to_string(),
                    method: *method,
                    form: form.clone(),
                }),
                Record::Reported(_, progress, form) => {
                    if let What::Finished(result) = progress.what {
                        summary.result = Some(result);
                        summary.card = form.value("PaymentCardType").map(|value| value.shown().to_owned());
                    }
                }
                Record::Warned(warning) => summary.warnings.push(warning.message.clone()),
                Record::Replied(_, Err(error)) => summary.refusals.push(error.code),
                Record::Asked(question, _) if matches!(question.what, Ask::Submit(_)) => summary.submissions += 1,
                _ => {}
            }
        }
        summary
    }
}

/// Whether a script's `requests:` may leave requests out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requests {
    /// What is listed must occur in its order; others may lie between.
    #[default]
    Some,
    /// The list is exact, and has to be there; `[]` is none.
    Exact,
}

/// Everything expected that did not happen, in words.
pub(super) fn compare(expected: &Expect, summary: &Summary, requests: Requests) -> Vec<String> {
    let mut failures = Vec::new();
    let mut scalar = |what: &str, expected: &Option<Text>, actual: Option<&str>| {
        if let Some(Text(expected)) = expected
            && !matches(expected, actual.unwrap_or_default()).unwrap_or(false)
        {
            failures.push(format!("{what}: expected {expected}, got {}", actual.unwrap_or("none")));
        }
    };
    scalar("result", &expected.result, summary.result.map(PayResult::word));
    scalar("card", &expected.card, summary.card.as_deref());
    scalar("ended", &expected.ended, summary.ended.map(Ended::word));
    if let Some(submissions) = expected.submissions
        && submissions != summary.submissions
    {
        failures.push(format!("submissions: expected {submissions}, got {}", summary.submissions));
    }
    let mut warnings = summary.warnings.iter();
    for Text(expected) in &expected.warnings {
        if !warnings.any(|warning| matches(expected, warning).unwrap_or(false) || warning.contains(expected)) {
            failures.push(format!("warnings: expected \"{expected}\", got {:?}", summary.warnings));
        }
    }
    match (requests, &expected.requests) {
        (Requests::Some, None) => {}
        (Requests::Exact, None) => {
            let count = summary.requests.len();
            failures.push(format!("requests: not stated, and {count} were sent; [] states that none is"));
        }
        (_, Some(expected)) => failures.extend(compare_requests(expected, &summary.requests, requests)),
    }
    failures
}

/// Compares listed requests with those sent. Status callbacks and the rest are two orders.
fn compare_requests(expected: &[BTreeMap<String, Text>], sent: &[SentRequest], requests: Requests) -> Vec<String> {
    let mut failures = Vec::new();
    let mut matched = vec![false; sent.len()];
    // Where to look on, for status callbacks and for the rest.
    let mut next = [0, 0];
    let mut repeated = Vec::new();
    for (number, expected) in (1..).zip(expected) {
        match times(expected) {
            Ok(times) => repeated.extend(std::iter::repeat_n((number, expected), times)),
            Err(failure) => failures.push(format!("requests, entry {number}: {failure}")),
        }
    }
    for (number, expected) in repeated {
        let to = expected.get("to").map_or("", |to| to.0.as_str());
        let kinds = [Recipient::StatusCallback, Recipient::Action, Recipient::Redirect, Recipient::Document];
        let Some(kind) = kinds.into_iter().find(|kind| kind.word() == to) else {
            let known = "statusCallback, action, redirect or document";
            failures.push(format!("requests, entry {number}: to is {known}, not \"{to}\""));
            continue;
        };
        let [status, rest] = &mut next;
        let from = if kind.line() { status } else { rest };
        let mut nearest: Option<String> = None;
        let found =
            sent.iter().enumerate().skip(*from).filter(|(_, sent)| sent.to.line() == kind.line()).find(|(_, sent)| {
                match differs(expected, kind, sent) {
                    None => true,
                    Some(difference) => {
                        nearest.get_or_insert(difference);
                        false
                    }
                }
            });
        match found {
            Some((place, _)) => {
                *from = place + 1;
                if let Some(matched) = matched.get_mut(place) {
                    *matched = true;
                }
            }
            None => {
                let nearest = nearest.map_or_else(
                    || "no further one was sent".to_owned(),
                    |nearest| format!("the next one differs: {nearest}"),
                );
                failures.push(format!("requests, entry {number}: no {to} with {}; {nearest}", shown(expected)));
            }
        }
    }
    if requests == Requests::Exact {
        let unlisted = sent.iter().zip(&matched).enumerate().filter(|(_, (_, matched))| !**matched);
        failures.extend(unlisted.map(|(place, (sent, _))| {
            format!("requests: {} was sent as number {} and is not listed: {}", sent.to.word(), place + 1, fields(sent))
        }));
    }
    failures
}

/// The most requests that one entry may stand for.
const TIMES_MAX: usize = 1000;

/// How many requests in a row an entry stands for; one unless it says `times`.
fn times(expected: &BTreeMap<String, Text>) -> Result<usize, String> {
    let Some(Text(times)) = expected.get("times") else { return Ok(1) };
    let number = times.parse().ok().filter(|times| (1..=TIMES_MAX).contains(times));
    number.ok_or_else(|| format!("times is a number from 1 to {TIMES_MAX}, not \"{times}\""))
}

/// The fields that tell one request of a call from another.
fn fields(sent: &SentRequest) -> Cow<'_, str> {
    let fields: Vec<String> = ["For", "Attempt", "Result", "ErrorType", "Digits"]
        .into_iter()
        .filter_map(|name| sent.form.value(name).map(|value| format!("{name}: {}", value.shown())))
        .collect();
    if fields.is_empty() { (&sent.target).into() } else { fields.join(", ").into() }
}

/// Whether an entry's key is something that was sent, and not how the entry is read.
fn is_compared(name: &str) -> bool {
    !matches!(name, "to" | "times")
}

/// The first difference between what is expected and what was sent.
fn differs(expected: &BTreeMap<String, Text>, kind: Recipient, sent: &SentRequest) -> Option<String> {
    if sent.to != kind {
        return Some(format!("to: {}", sent.to.word()));
    }
    expected.iter().filter(|(name, _)| is_compared(name)).find_map(|(name, Text(expected))| {
        let (actual, shown) = match name.as_str() {
            "url" => (sent.target.as_str(), sent.target.as_str()),
            "method" => (method_word(sent.method), method_word(sent.method)),
            name => sent.form.value(name).map_or(("", "none"), |value| (value.expose(), value.shown())),
        };
        match matches(expected, actual) {
            Ok(true) => None,
            Ok(false) => Some(format!("{name}: {shown}")),
            Err(error) => Some(format!("{name}: {error}")),
        }
    })
}

const fn method_word(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
    }
}

/// Equal, or matched by a regex between slashes.
fn matches(expected: &str, actual: &str) -> Result<bool, String> {
    match expected.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(pattern) => Regex::new(pattern).map(|regex| regex.is_match(actual)).map_err(|error| error.to_string()),
        None => Ok(expected == actual),
    }
}

fn shown(expected: &BTreeMap<String, Text>) -> String {
    let fields: Vec<String> = expected
        .iter()
        .filter(|(name, _)| is_compared(name))
        .map(|(name, value)| format!("{name}: {}", value.0))
        .collect();
    if fields.is_empty() { "any fields".to_owned() } else { fields.join(", ") }
}
