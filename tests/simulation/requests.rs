//! What must hold of the requests that the application got, whatever they are about.

use std::collections::{BTreeMap, BTreeSet};

use touchtone::store::CallbackState;

use super::database::Rows;
use super::judge::{Finding, Rule};
use super::world::Arrival;

/// The fields that say what became of a payment.
const RESULT: [&str; 7] = [
    "Result",
    "PayErrorCode",
    "PaymentError",
    "ConnectorError",
    "PaymentConfirmationCode",
    "PaymentToken",
    "ProfileId",
];

fn is_of_the_result(name: &str) -> bool {
    RESULT.contains(&name) || name.starts_with("PayConnector_")
}

/// How many came again.
pub fn repeated(arrivals: &[Arrival]) -> usize {
    arrivals.len() - arrivals.iter().map(|arrival| &arrival.token).collect::<BTreeSet<_>>().len()
}

/// Signed, with a token, and the same whenever they come again. What `is_unwritten` says of is told with tokens of its own.
pub fn findings(arrivals: &[Arrival], is_unwritten: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut find = |rule, what: String| {
        // Once, however often it comes.
        if !findings.iter().any(|finding| finding.what == what) {
            findings.push(Finding { rule, what });
        }
    };
    let mut first: BTreeMap<&str, &Arrival> = BTreeMap::new();
    for arrival in arrivals {
        let Arrival { path, token, .. } = arrival;
        if !arrival.signed {
            find(Rule::Requests, format!("{path} {token}: not signed"));
        }
        if token.is_empty() {
            find(Rule::Requests, format!("{path}: no idempotency token"));
        }
        let before = *first.entry(token).or_insert(arrival);
        let names: BTreeSet<&str> = before
            .fields
            .keys()
            .chain(arrival.fields.keys())
            .map(String::as_str)
            .filter(|name| before.field(name) != arrival.field(name))
            .collect();
        let (of_the_result, others): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|name| is_of_the_result(name));
        if !of_the_result.is_empty() {
            find(Rule::OneResult, format!("{path}: the token {token} carries two results: {of_the_result:?}"));
        }
        // An action that is made again after its call says that the call is over.
        let others: Vec<&str> = others.into_iter().filter(|name| *name != "CallStatus").collect();
        if !others.is_empty() || before.path != arrival.path {
            find(Rule::Requests, format!("{path} {token}: came again as something else: {others:?}"));
        }
    }
    // What is told again, is told with the same token.
    let mut tokens: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let results = arrivals.iter().filter(|arrival| arrival.fields.contains_key("Result"));
    for arrival in results.filter(|arrival| !is_unwritten(&arrival.token)) {
        let of = tokens.entry((&arrival.path, arrival.field("Result"))).or_insert(&arrival.token);
        if *of != arrival.token {
            find(
                Rule::Requests,
                format!("{}: the same result with the tokens {of} and {}", arrival.path, arrival.token),
            );
        }
    }
    findings
}

/// What is delivered was taken note of, or was told by another request, as `is_told` says; what was refused for good is
/// parked with everything in it; nothing else is left.
pub fn kept(
    arrivals: &[Arrival],
    rows: &Rows,
    is_dead: impl Fn(&str) -> bool,
    is_told: impl Fn(&str) -> bool,
) -> Vec<Finding> {
    let tokens = |what: fn(&Arrival) -> bool| -> BTreeSet<&str> {
        arrivals.iter().filter(|arrival| what(arrival)).map(|arrival| arrival.token.as_str()).collect()
    };
    let (noted, refused) = (tokens(|arrival| arrival.noted), tokens(|arrival| arrival.refused.is_some()));
    let mut findings = Vec::new();
    for row in &rows.callbacks {
        let token = row.token.to_string();
        let (noted, refused) = (noted.contains(token.as_str()), refused.contains(token.as_str()));
        let about = format!("callback {} to {}", row.id, row.url);
        match row.state {
            CallbackState::Delivered if !noted && !is_told(&token) => {
                let why = if refused { "refused it for good" } else { "never took note of it" };
                let what = format!("{about} counts as delivered, but the application {why}");
                findings.push(Finding { rule: Rule::Kept, what });
            }
            CallbackState::Parked if refused && row.sealed.is_some() => {}
            CallbackState::Delivered => {}
            CallbackState::Waiting | CallbackState::Held if is_dead(&row.url) => {}
            state => {
                let what = format!("{about} is {}: {:?}", state.word(), row.reason);
                findings.push(Finding { rule: Rule::Rest, what });
            }
        }
    }
    findings
}
