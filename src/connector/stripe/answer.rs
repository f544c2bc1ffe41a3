//! Stripe's replies, read leniently: members one by one, so that one that is odd does not spoil the others.
//!
//! Shape:   pure functions, one a request: any status and any bytes in, one of the five answers out.
//! Limits:  an id has at most 255 letters, digits and underscores; one that has others is not understood.
//! Errors:  what is not in the tables is [`Answer::Unknown`]: the money may have moved. [`super::denial`] reads
//!          what Stripe calls an error.
//! Secrets: a token becomes a [`Secret`] at once. A reason holds a status and never a byte of the body.
//! Sources: spec/connectors.md, sections 4.2, 4.3 and 4.6; Stripe, "PaymentIntents lifecycle".

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::denial;
use super::note::{StripeNote, is_id};
use super::request::PAY_SID;
use crate::connector::Mode;
use crate::http::GatewayReply;
use crate::pay::gateway::{Answer, Approval, Denial, Operation, PaymentRequest, Preparation};
use crate::pay::step::PayErrorCode;
use crate::secret::Secret;

#[cfg(test)]
mod tests;

/// The longest word that is kept (a status, the result of a check), in characters.
const WORD_CHARS_MAX: usize = 64;

/// A JSON object of Stripe's: every member that any of them is read for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct StripeObject<'a> {
    #[serde(borrow)]
    address_postal_code_check: Option<&'a RawValue>,
    #[serde(borrow)]
    card: Option<&'a RawValue>,
    #[serde(borrow)]
    charge: Option<&'a RawValue>,
    #[serde(borrow)]
    checks: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow)]
    customer: Option<&'a RawValue>,
    #[serde(borrow)]
    cvc_check: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    decline_code: Option<&'a RawValue>,
    #[serde(borrow)]
    default_source: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    has_more: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    last_payment_error: Option<&'a RawValue>,
    #[serde(borrow)]
    latest_charge: Option<&'a RawValue>,
    #[serde(borrow)]
    livemode: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    param: Option<&'a RawValue>,
    #[serde(borrow)]
    payment_intent: Option<&'a RawValue>,
    #[serde(borrow)]
    payment_method_details: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

impl<'a> StripeObject<'a> {
    /// Reads an object; nothing else is one.
    fn read(json: &'a [u8]) -> Option<Self> {
        let json = json.trim_ascii_start();
        // Asked for by name: an array of the members' values would be taken for the object otherwise.
        (json.first() == Some(&b'{')).then(|| serde_json::from_slice(json).ok()).flatten()
    }

    /// An object within this one.
    fn within(raw: Option<&'a RawValue>) -> Option<Self> {
        raw.and_then(|raw| Self::read(raw.get().as_bytes()))
    }

    pub(super) fn code(&self) -> Option<Cow<'a, str>> {
        word(self.code)
    }

    pub(super) fn decline_code(&self) -> Option<Cow<'a, str>> {
        word(self.decline_code)
    }

    pub(super) fn kind(&self) -> Option<Cow<'a, str>> {
        word(self.kind)
    }

    pub(super) fn param(&self) -> Option<Cow<'a, str>> {
        text(self.param)
    }

    pub(super) fn message(&self) -> Option<Cow<'a, str>> {
        text(self.message)
    }

    fn status(&self) -> Option<Cow<'a, str>> {
        word(self.status)
    }

    /// Its id, if it begins so.
    fn id(&self, prefixes: &[&str]) -> Option<String> {
        id(self.id, prefixes)
    }

    /// What Stripe calls the error in it.
    pub(super) fn error(&self) -> Option<Self> {
        Self::within(self.error)
    }

    /// Whether it is something that was made, or names it: any id at all.
    pub(super) fn is_named(&self) -> bool {
        [self.id, self.charge, self.payment_intent].into_iter().flatten().any(|raw| raw.get() != "null")
    }

    /// The charge and the payment that an error names.
    pub(super) fn references(&self) -> Vec<(String, String)> {
        let payment = reference(self.payment_intent, &["pi_"]);
        let charge = reference(self.charge, &["ch_", "py_"]);
        let named = [("payment_intent", payment), ("charge", charge)];
        named.into_iter().filter_map(|(name, id)| id.map(|id| (name.to_owned(), id))).collect()
    }

    /// The status of the payment that an error names.
    pub(super) fn payment_status(&self) -> Option<Cow<'a, str>> {
        StripeObject::within(self.payment_intent).and_then(|payment| payment.status())
    }
}

/// What the request for a payment brought.
pub(super) enum Charged {
    /// An answer.
    Answer(Answer),
    /// The issuer wants to see the payer, which no telephone can do: this payment is to be cancelled.
    NeedsPayer(String),
}

/// A page of a list.
pub(super) struct Page {
    /// What was found for the transaction id, the most certain first.
    pub(super) found: Vec<Found>,
    /// The last id of the page, where more follow it.
    pub(super) more_after: Option<String>,
}

/// An object that bears the transaction id.
pub(super) struct Found {
    /// What it says.
    pub(super) says: Charged,
    /// Whether money was taken.
    pub(super) paid: bool,
}

/// When Stripe said so by its own clock, in Unix seconds; 0, the beginning of all payments, if it did not tell.
pub(super) fn told_at(reply: &GatewayReply) -> i64 {
    reply.date.map_or(0, |date| date.as_second())
}

/// Reads what a preparation brought: the note for the second call.
pub(super) fn prepared(
    reply: &GatewayReply,
    operation: Operation,
    mode: Mode,
    prefixes: &[&str],
) -> Result<StripeNote, Answer> {
    let object = made(reply, operation)?;
    in_mode(&object, mode)?;
    let id = object.id(prefixes).ok_or_else(|| unread(reply))?;
    let since = object.created.and_then(|raw| raw.get().parse().ok()).unwrap_or_else(|| told_at(reply));
    Ok(StripeNote { id, since, customer: reference(object.customer, &["cus_"]) })
}

/// Reads the reply to the payment itself.
pub(super) fn charged(reply: &GatewayReply, operation: Operation, mode: Mode) -> Charged {
    match made(reply, operation) {
        Ok(payment) => payment_says(&payment, reply.status, mode),
        Err(answer) => Charged::Answer(answer),
    }
}

/// Reads the reply to a token or payment method that is itself what was asked for.
pub(super) fn tokenized(reply: &GatewayReply, operation: Operation, mode: Mode, prefixes: &[&str]) -> Answer {
    let token = made(reply, operation).and_then(|object| {
        in_mode(&object, mode)?;
        object.id(prefixes).ok_or_else(|| unread(reply))
    });
    match token {
        Ok(token) => Answer::Approved(Approval { token: Some(Secret::new(token)), ..Approval::default() }),
        Err(answer) => answer,
    }
}

/// Reads the reply to a customer: the token is the note's, or what Stripe made of it.
pub(super) fn kept(reply: &GatewayReply, operation: Operation, mode: Mode, note: &StripeNote) -> Answer {
    match made(reply, operation) {
        Ok(customer) => customer_says(&customer, mode, note).unwrap_or_else(|| unread(reply)),
        Err(answer) => answer,
    }
}

/// Whether a cancellation left nothing standing, as far as Stripe says: only a payment that went through is something.
pub(super) fn went_through(reply: &GatewayReply) -> bool {
    let body = reply.body.as_ref().and_then(|body| StripeObject::read(body)).unwrap_or_default();
    let status = StripeObject::within(body.error).and_then(|error| error.payment_status()).or_else(|| body.status());
    matches!(status.as_deref(), Some("succeeded" | "processing" | "requires_capture"))
}

/// Whether it is the object of that id.
pub(super) fn is_object(reply: &GatewayReply, id: &str) -> bool {
    let body = reply.body.as_ref().and_then(|body| StripeObject::read(body)).unwrap_or_default();
    (200..=299).contains(&reply.status) && text(body.id).is_some_and(|found| found == id)
}

/// What mode the objects of a list are of, if they tell.
pub(super) fn live(reply: &GatewayReply) -> Option<Mode> {
    let list = reply.body.as_ref().and_then(|body| StripeObject::read(body))?;
    let items: Vec<&RawValue> = list.data.and_then(|raw| serde_json::from_str(raw.get()).ok())?;
    mode_of(&StripeObject::within(items.first().copied())?)
}

/// Reads a page of payments.
pub(super) fn payments(reply: &GatewayReply, payment_request: &PaymentRequest, mode: Mode) -> Result<Page, Answer> {
    page(reply, payment_request, "pi_", |payment| {
        let paid = payment.status().as_deref() == Some("succeeded");
        (payment_says(payment, reply.status, mode), paid)
    })
}

/// Reads a page of customers.
pub(super) fn customers(
    reply: &GatewayReply,
    payment_request: &PaymentRequest,
    mode: Mode,
    note: &StripeNote,
) -> Result<Page, Answer> {
    page(reply, payment_request, "cus_", |customer| {
        (Charged::Answer(customer_says(customer, mode, note).unwrap_or_else(|| unread(reply))), false)
    })
}

/// What every reader makes of a reply, under its name: for the fuzz target.
pub(super) fn readings(
    reply: &GatewayReply,
    payment_request: &PaymentRequest,
    mode: Mode,
    note: &StripeNote,
) -> Vec<(&'static str, Preparation)> {
    let says = |charged| match charged {
        Charged::Answer(answer) => Preparation::Answered(answer),
        Charged::NeedsPayer(id) => Preparation::Answered(Answer::Declined(needs_payer(id))),
    };
    let page = |name: &'static str, page: Result<Page, Answer>| match page {
        Ok(Page { found, .. }) => found.into_iter().map(|found| (name, says(found.says))).collect(),
        Err(answer) => vec![(name, Preparation::Answered(answer))],
    };
    let operation = payment_request.operation;
    let prefixes = &["pm_", "tok_", "btok_"];
    let noted = match prepared(reply, operation, mode, prefixes) {
        Ok(note) => Preparation::Note(note.written()),
        Err(answer) => Preparation::Answered(answer),
    };
    let mut readings = vec![
        ("prepared", noted),
        ("charged", says(charged(reply, operation, mode))),
        ("tokenized", Preparation::Answered(tokenized(reply, operation, mode, prefixes))),
        ("kept", Preparation::Answered(kept(reply, operation, mode, note))),
    ];
    readings.extend(page("payments", payments(reply, payment_request, mode)));
    readings.extend(page("customers", customers(reply, payment_request, mode, note)));
    readings
}

fn page<'a>(
    reply: &'a GatewayReply,
    payment_request: &PaymentRequest,
    prefix: &str,
    says: impl Fn(&StripeObject<'a>) -> (Charged, bool),
) -> Result<Page, Answer> {
    let list = made(reply, payment_request.operation)?;
    let items: Vec<&RawValue> =
        list.data.and_then(|raw| serde_json::from_str(raw.get()).ok()).ok_or_else(|| unread(reply))?;
    let more = match list.has_more.map(RawValue::get) {
        Some("true") => true,
        Some("false") => false,
        // A list that does not say whether there is more proves nothing absent.
        _ => return Err(unread(reply)),
    };
    let mut found = Vec::new();
    let mut last = None;
    for item in items {
        let object = StripeObject::within(Some(item)).ok_or_else(|| unread(reply))?;
        let id = object.id(&[prefix]).ok_or_else(|| unread(reply))?;
        if bears(&object, &payment_request.transaction_id) {
            let (says, paid) = says(&object);
            found.push(Found { says, paid });
        }
        last = Some(id);
    }
    // There is no id that the next page could be asked for with.
    if more && last.is_none() {
        return Err(unread(reply));
    }
    Ok(Page { found, more_after: last.filter(|_| more) })
}

/// Whether the metadata hold the transaction id.
fn bears(object: &StripeObject<'_>, transaction_id: &str) -> bool {
    let metadata: Option<std::collections::BTreeMap<Cow<'_, str>, &RawValue>> =
        object.metadata.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let sid = metadata.and_then(|metadata| metadata.get(PAY_SID).copied());
    text(sid).is_some_and(|sid| sid == transaction_id)
}

/// What a payment's status means. Only one of them is a success, and only in the connector's own mode: a test payment moved
/// no money, whatever its status says.
fn payment_says(payment: &StripeObject<'_>, status: u16, mode: Mode) -> Charged {
    let unknown = |what: &str| Charged::Answer(Answer::unknown(format!("HTTP status {status}, {what}")));
    let Some(id) = payment.id(&["pi_"]) else { return unknown("and the body is no payment") };
    match (in_mode(payment, mode), mode) {
        (Ok(()), _) => {}
        // A test payment moved no money: the key is the wrong one.
        (Err(refused), Mode::Live) => return Charged::Answer(refused),
        // Money may have moved, so that no refusal may be told.
        (Err(_), Mode::Test) => return unknown("and the payment is a live one"),
    }
    match payment.status().as_deref() {
        Some("succeeded") => Charged::Answer(Answer::Approved(approval(payment, id))),
        Some("requires_action" | "requires_source_action") => Charged::NeedsPayer(id),
        Some("requires_payment_method" | "requires_source") => {
            let error = StripeObject::within(payment.last_payment_error).unwrap_or_default();
            let mut denial = denial::declined(&error);
            if !denial.parameters.iter().any(|(name, _)| name == "payment_intent") {
                denial.parameters.insert(0, ("payment_intent".to_owned(), id));
            }
            Charged::Answer(Answer::Declined(denial))
        }
        // This connector cancels what waits for the payer.
        Some("canceled") => Charged::Answer(Answer::Declined(needs_payer(id))),
        // Not final (spec/connectors.md 4.2).
        Some("processing") => unknown("and the payment is being processed"),
        Some(_) | None => unknown("and the payment's status is not final"),
    }
}

/// The denial of a payment that no telephone can finish.
pub(super) fn needs_payer(payment_intent: String) -> Denial {
    Denial {
        code: Some("authentication_required".to_owned()),
        message: Some("The card's issuer wants the payer to authenticate, which a telephone cannot do.".to_owned()),
        parameters: vec![("payment_intent".to_owned(), payment_intent)],
    }
}

fn approval(payment: &StripeObject<'_>, id: String) -> Approval {
    let charge = StripeObject::within(payment.latest_charge).unwrap_or_default();
    let confirmation_code = reference(payment.latest_charge, &["ch_", "py_"]);
    let details = StripeObject::within(charge.payment_method_details).unwrap_or_default();
    let checks =
        StripeObject::within(details.card).and_then(|card| StripeObject::within(card.checks)).unwrap_or_default();
    let mut parameters = vec![("payment_intent".to_owned(), id.clone())];
    for (name, check) in
        [("address_postal_code_check", checks.address_postal_code_check), ("cvc_check", checks.cvc_check)]
    {
        parameters.extend(word(check).map(|check| (name.to_owned(), check.into_owned())));
    }
    Approval { confirmation_code: Some(confirmation_code.unwrap_or(id)), parameters, ..Approval::default() }
}

fn customer_says(customer: &StripeObject<'_>, mode: Mode, note: &StripeNote) -> Option<Answer> {
    if let Err(refused) = in_mode(customer, mode) {
        return Some(refused);
    }
    let profile = customer.id(&["cus_"])?;
    // The shape that it was asked for in (spec/connectors.md 4.3).
    let token = if note.id.starts_with("pm_") {
        note.id.clone()
    } else {
        reference(customer.default_source, &["card_", "ba_", "src_"])?
    };
    Some(Answer::Approved(Approval {
        token: Some(Secret::new(token)),
        profile_id: Some(Secret::new(profile)),
        ..Approval::default()
    }))
}

/// The object that was made, or what Stripe says instead.
fn made(reply: &GatewayReply, operation: Operation) -> Result<StripeObject<'_>, Answer> {
    let body = reply.body.as_ref().and_then(|body| StripeObject::read(body));
    match body {
        Some(object) if (200..=299).contains(&reply.status) && object.error.is_none() => Ok(object),
        body => Err(denial::answer(reply, body.as_ref(), operation)),
    }
}

/// Refuses what belongs to the other mode: a key without a prefix that tells is told by what it makes.
fn in_mode(object: &StripeObject<'_>, mode: Mode) -> Result<(), Answer> {
    let Some(live) = mode_of(object).filter(|live| *live != mode) else { return Ok(()) };
    let message = format!("Stripe's key is for {live} payments, the connector is for {mode} ones");
    Err(Answer::Refused(PayErrorCode::Configuration, Denial { message: Some(message), ..Denial::default() }))
}

fn mode_of(object: &StripeObject<'_>) -> Option<Mode> {
    match object.livemode.map(RawValue::get) {
        Some("true") => Some(Mode::Live),
        Some("false") => Some(Mode::Test),
        _ => None,
    }
}

fn unread(reply: &GatewayReply) -> Answer {
    Answer::unknown(format!("HTTP status {}, and the body is not what was asked for", reply.status))
}

/// The id of a member that is an object or the id of one.
fn reference(raw: Option<&RawValue>, prefixes: &[&str]) -> Option<String> {
    id(raw, prefixes).or_else(|| StripeObject::within(raw).and_then(|object| object.id(prefixes)))
}

fn id(raw: Option<&RawValue>, prefixes: &[&str]) -> Option<String> {
    let text = text(raw)?;
    (is_id(&text) && prefixes.iter().any(|prefix| text.starts_with(prefix))).then(|| text.into_owned())
}

/// A word of Stripe's own: small letters, digits and underscores.
fn word(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text(raw).filter(|text| (1..=WORD_CHARS_MAX).contains(&text.len()) && text.bytes().all(known))
}

fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    /// Borrowed where nothing is escaped.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(raw?.get()).ok().map(|text| text.0)
}
