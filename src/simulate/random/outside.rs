//! An agent and an application that do anything at all: mostly what leads on, sometimes what they should not.
//!
//! Shape:   [`Agent`] looks at what is reported and asks; [`AgentsRequest`] and [`Lead`] are moves of a plan.
//! Sources: spec/pay.md, section 8.

use std::collections::BTreeMap;

use url::Url;

use super::{SEED, SeededRng};
use crate::flow::link::Origin;
use crate::flow::{AgentCommand, LedBy, NextDocument, Redirection};
use crate::form::{Form, Value};
use crate::simulate::{Record, Simulation, World};
use crate::twiml::{self, Method};

/// Where progress is told, as a script's agent says it.
pub(super) const CALLBACK: &str = "https://example.com/payment-status";

/// What can be captured, and what cannot.
const CAPTURES: [&str; 12] = [
    "payment-card-number",
    "expiration-date",
    "postal-code",
    "security-code",
    "bank-routing-number",
    "bank-account-number",
    "payment-card-number-matcher",
    "expiration-date-matcher",
    "postal-code-matcher",
    "security-code-matcher",
    "bank-account-number-matcher",
    "shoe-size",
];

/// What `Required` calls a field, and what `Capture` does.
const REQUIRED: [(&str, &str); 6] = [
    ("PaymentCardNumber", "payment-card-number"),
    ("ExpirationDate", "expiration-date"),
    ("PaymentCardPostalCode", "postal-code"),
    ("SecurityCode", "security-code"),
    ("BankRoutingNumber", "bank-routing-number"),
    ("BankAccountNumber", "bank-account-number"),
];

/// Parameters of a new payment: a name, values that are allowed and values that are not.
const PARAMETERS: [(&str, &[&str], &[&str]); 13] = [
    ("ChargeAmount", &["1", "20.45"], &["-1", "ten"]),
    ("PaymentMethod", &["ach-debit", "ach-debit", "credit-card"], &["cash"]),
    ("BankAccountType", &["consumer-savings"], &["piggy-bank"]),
    ("PostalCode", &["false", "false", "94111"], &["12345678901"]),
    ("SecurityCode", &["false", "true"], &["maybe"]),
    ("Timeout", &["1", "3", "600"], &["0"]),
    ("TokenType", &["one-time", "payment-method"], &["paper"]),
    ("ValidCardTypes", &["visa mastercard amex maestro discover jcb diners-club enroute unionpay"], &["gold"]),
    (
        "RequireMatchingInputs",
        &["payment-card-number", "payment-card-number,security-code", "expiration-date, payment-card-number"],
        &["bank-account-number"],
    ),
    ("Confirmation", &["true", "true"], &["perhaps"]),
    ("Currency", &["eur", "usd"], &["dollars"]),
    ("Parameter", &["{\"AVSName\": \"Ann\"}"], &["[1]"]),
    ("Colour", &["red"], &["green"]),
];

/// Documents that an application sends a call to.
const DOCUMENTS: [&str; 6] = [
    "<Response><Pause length='60'/></Response>",
    "<Response><Say>Please hold the line.</Say><Pause length='9'/></Response>",
    "<Response><Gather numDigits='1' timeout='3'><Say>Press a key.</Say></Gather></Response>",
    "<Response><Pay chargeAmount='1' postalCode='false' statusCallback='https://example.com/status' action='https://example.com/paid'/></Response>",
    "<Response><Redirect>https://example.com/next</Redirect></Response>",
    "<Response/>",
];

/// What an agent asks for, and where its progress is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentsRequest {
    pub(super) what: Asked,
    pub(super) callback: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A new payment, with these parameters.
    Create(BTreeMap<&'static str, &'static str>),
    /// An update of a payment: which one of the call, from 0.
    Update { payment: u32, capture: Option<&'static str>, status: Option<&'static str> },
}

impl AgentsRequest {
    fn of(what: Asked) -> Self {
        Self { what, callback: CALLBACK }
    }

    /// The request that is the `number`th of its call, as a script's agent makes it.
    fn command(&self, number: u32) -> AgentCommand {
        let mut form = Form::new();
        form.set("IdempotencyKey", format!("request-{number}"));
        form.set("StatusCallback", self.callback);
        match &self.what {
            Asked::Create(parameters) => {
                for (name, value) in parameters {
                    form.set(*name, *value);
                }
                AgentCommand::Create(form)
            }
            Asked::Update { payment, capture, status } => {
                form.set_some("Capture", *capture);
                form.set_some("Status", *status);
                AgentCommand::Update { sid: sid(SEED, *payment), form }
            }
        }
    }

    /// Asks, now.
    pub(super) fn perform<W: World>(&self, simulation: &mut Simulation<W>) {
        simulation.command(self.command(simulation.commands().saturating_add(1)));
    }
}

/// The id of a call's payment, counted from 0.
pub(super) fn sid(seed: u128, payment: u32) -> String {
    format!("PK{:032x}", seed.wrapping_add(u128::from(payment)))
}

/// What the application does with the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Sends it to this document.
    Document(&'static str),
    /// Sends it to the document at this address.
    Url(&'static str),
    /// Ends it.
    Completed,
}

impl Lead {
    /// To where nothing happens for a long time.
    pub(super) const HOLD: Self = Self::Document("<Response><Pause length='600'/></Response>");

    pub(super) fn draw(rng: &mut SeededRng) -> Self {
        match rng.below(10) {
            0 => Self::Completed,
            1..4 => Self::Url(rng.one_of(&["https://example.com/next", "https://example.com/elsewhere"], "")),
            _ => Self::Document(rng.one_of(&DOCUMENTS, "<Response/>")),
        }
    }

    /// Does so, now.
    pub(super) fn perform<W: World>(self, simulation: &mut Simulation<W>) {
        match self {
            Self::Document(text) => {
                if let Ok(document) = twiml::parse(text) {
                    let origin = Origin::Flow(String::new());
                    simulation.redirect(Redirection::Document(NextDocument { document, origin }, text.to_string()));
                }
            }
            Self::Url(address) => {
                if let Ok(url) = Url::parse(address) {
                    simulation.redirect(Redirection::Url(url, Method::Post));
                }
            }
            Self::Completed => simulation.complete(),
        }
    }
}

/// The agent of a call.
#[derive(Debug, Default)]
pub(super) struct Agent {
    /// Which payment of the call is the agent's last.
    payment: u32,
    /// What was last said to be missing.
    required: String,
}

impl Agent {
    /// Takes in what happened.
    pub(super) fn look(&mut self, record: &Record) {
        match record {
            Record::Replied(_, Ok(sid)) => {
                let number = sid.strip_prefix("PK").and_then(|hex| u128::from_str_radix(hex, 16).ok());
                let number = number.and_then(|number| u32::try_from(number.wrapping_sub(SEED)).ok());
                self.payment = number.unwrap_or(self.payment);
            }
            Record::Reported(payment, _, form) if payment.led_by == LedBy::Agent => {
                self.required = form.value("Required").map_or_else(String::new, |value| value.shown().to_owned());
            }
            _ => {}
        }
    }

    /// What the agent asks for at `stage`, if anything.
    pub(super) fn wants(&self, stage: &str, rng: &mut SeededRng) -> Option<AgentsRequest> {
        let mut request = match stage {
            "agent: idle" if rng.one_in(10) => return None,
            "agent: idle" if rng.one_in(8) => self.anything(rng),
            "agent: idle" => self.next(rng),
            "agent: capturing" | "agent: capturing again" if rng.one_in(12) => self.anything(rng),
            "agent: confirming" if rng.one_in(20) => self.anything(rng),
            "agent: finding" if rng.one_in(4) => self.anything(rng),
            "agent: processing" | "agent: processing interrupted" if rng.one_in(6) => self.anything(rng),
            "agent: processing" if rng.one_in(6) => self.update(None, Some("cancel")),
            _ if stage.starts_with("agent") => return None,
            _ if rng.one_in(2) => AgentsRequest::of(Asked::Create(parameters(rng))),
            _ if rng.one_in(20) => self.anything(rng),
            _ => return None,
        };
        if rng.one_in(40) {
            request.callback = rng.one_of(&["", "callback", "https://example.com/other"], "");
        }
        Some(request)
    }

    fn update(&self, capture: Option<&'static str>, status: Option<&'static str>) -> AgentsRequest {
        AgentsRequest::of(Asked::Update { payment: self.payment, capture, status })
    }

    /// What leads on: a field that is missing, or the end.
    fn next(&self, rng: &mut SeededRng) -> AgentsRequest {
        let missing: Vec<&str> = self.required.split(',').filter(|name| !name.is_empty()).collect();
        let Some(first) = missing.first() else { return self.update(None, Some("complete")) };
        let wanted = if rng.one_in(4) { rng.one_of(&missing, first) } else { first };
        let (field, matcher) = wanted.strip_suffix("Matcher").map_or((wanted, ""), |field| (field, "-matcher"));
        let step = REQUIRED.iter().find(|(name, _)| *name == field).map_or("", |(_, step)| *step);
        let capture = CAPTURES.into_iter().find(|word| word.strip_prefix(step) == Some(matcher));
        self.update(capture, None)
    }

    /// Anything at all.
    fn anything(&self, rng: &mut SeededRng) -> AgentsRequest {
        let capture = Some(rng.one_of(&CAPTURES, "shoe-size"));
        match rng.below(20) {
            0..12 => self.update(capture, None),
            12 | 13 => self.update(None, Some("complete")),
            14 => self.update(None, Some("cancel")),
            15 => self.update(None, Some("finished")),
            16 => self.update(None, None),
            17 => self.update(capture, Some("complete")),
            18 => AgentsRequest::of(Asked::Create(parameters(rng))),
            _ => {
                // Perhaps of an earlier payment, perhaps of none.
                let payment = u32::try_from(rng.below(4)).unwrap_or(0);
                AgentsRequest::of(Asked::Update { payment, capture, status: None })
            }
        }
    }
}

/// The parameters of a new payment: allowed ones in most.
fn parameters(rng: &mut SeededRng) -> BTreeMap<&'static str, &'static str> {
    let mut drawn = BTreeMap::new();
    for (name, allowed, others) in PARAMETERS {
        // What belongs to an account alone is refused with a card.
        let seldom = if matches!(name, "BankAccountType" | "Colour") { 12 } else { 3 };
        if rng.one_in(seldom) {
            let values = if rng.one_in(40) { others } else { allowed };
            drawn.insert(name, rng.one_of(values, ""));
        }
    }
    // Second entries are of card fields only (spec/pay.md 8): beside an account this would refuse the request.
    if drawn.get("PaymentMethod") == Some(&"ach-debit") && !rng.one_in(20) {
        drawn.remove("RequireMatchingInputs");
    }
    if rng.one_in(60) {
        drawn.insert("IdempotencyKey", "");
    }
    drawn
}

/// Whether a partial result tells that something is keyed already.
pub(super) fn is_begun(form: &Form, step: crate::pay::step::Step) -> bool {
    let field = crate::pay::field::Field::ALL.iter().find(|field| field.step() == step);
    field.and_then(|field| form.value(field.told_as())).map(Value::shown).is_some()
}
