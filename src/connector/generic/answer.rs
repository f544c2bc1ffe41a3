//! The reply of the generic contract, read leniently: all dialects' replies in the same way, but for statuses of 500 and up.
//!
//! Shape:   [`read`], a pure function: any status and any bytes in, one of the five answers out.
//! Limits:  codes, words and parameters of the gateway are kept up to a length; see the constants.
//! Errors:  what cannot be understood is [`Answer::Unknown`]: the money may have moved.
//! Secrets: a token becomes a [`Secret`] at once. A reason holds a status and never a byte of the body.
//! Sources: spec/connectors.md, sections 3.1 to 3.4.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::ContractVariant;
use crate::http::GatewayReply;
use crate::pay::gateway::{Answer, Approval, Denial, Operation};
use crate::pay::step::PayErrorCode;
use crate::secret::Secret;

mod ids;
#[cfg(test)]
mod tests;

/// The longest id, in characters: longer ones are not understood, because half an id is none.
const ID_CHARS_MAX: usize = 512;
/// The longest error code, in characters; the rest is cut off.
const CODE_CHARS_MAX: usize = 128;
/// The longest error message, in characters; the rest is cut off.
const MESSAGE_CHARS_MAX: usize = 1024;
/// How many parameters are passed on.
const PARAMETERS_MAX: usize = 64;
/// The longest name of a parameter, in characters; one with a longer name is left out.
const PARAMETER_NAME_CHARS_MAX: usize = 128;
/// The longest value of a parameter, in characters; one with a longer value is left out.
const PARAMETER_VALUE_CHARS_MAX: usize = 4096;

/// The statuses of a gateway that is busy. Whether it did nothing then is for its operator to say: the contract does not,
/// and a proxy before the gateway answers so too, when the gateway has taken its time over a payment.
pub const BUSY: [u16; 2] = [429, 503];

/// A gateway, or a proxy before it, that ran out of time: the payment may have been made meanwhile.
const LATE: u16 = 408;

/// What a reply holds, of all dialects. Members are read one by one: one that is odd does not spoil the others.
#[derive(Deserialize)]
struct ContractReply<'a> {
    /// `null` is kept apart from no member: it says that nothing was charged.
    #[serde(borrow, default, deserialize_with = "given")]
    charge_id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    token_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error_code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error_message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a reply.
///
/// | reply | answer |
/// |---|---|
/// | 408, 429 or 503, an id of any kind but the request's own, or a body that broke off or cannot be read | unknown |
/// | another 429 or 503 that is among `retry_safe` | not sent |
/// | another 408, 429 or 503, but for the last row but one | unknown |
/// | 2xx or another 4xx, an error code, with an id or without | declined: processors name their failed charges, too |
/// | 2xx or 409, the id that was asked for and no error code | approved |
/// | another 4xx, the same | unknown: the status says no, the body says yes |
/// | 401, 403 with neither, and no charge or token named elsewhere in it | refused: the configuration is wrong (64001) |
/// | 408, 429 or 5xx in SignalWire's dialects, null for the id that was asked for and an error code | declined |
/// | anything else | unknown |
///
/// An id of null or an empty text is none.
///
/// SignalWire has processors say no with any status but 200. With a 5xx only the whole body of its contract counts: what
/// else comes with such a status may be a fault on the way, after the money moved.
///
/// `retry_safe`: the statuses of [`BUSY`] with which, by the operator's word, the gateway did nothing.
#[must_use]
pub fn read(dialect: ContractVariant, retry_safe: &[u16], operation: Operation, reply: &GatewayReply) -> Answer {
    let status = reply.status;
    let retry_after = reply.retry_after;
    let unknown = |what: &str| Answer::Unknown { reason: format!("HTTP status {status}, {what}"), retry_after };
    if is_doubtful(status) {
        let named = match &reply.body {
            None => return unknown("and the body broke off or is too long"),
            Some(body) => ids::look(body),
        };
        return match (named, &reply.body) {
            (None, _) => unknown("and the body cannot be read"),
            // Something was made: a body with an id is never "not sent" (spec/connectors.md 19.3).
            (Some(named), _) if named != ids::NamedIds::default() => unknown("and the body has an id"),
            (Some(_), _) if retry_safe.contains(&status) => {
                Answer::NotSent { reason: format!("HTTP status {status}"), retry_after }
            }
            // SignalWire says no with any status (spec/connectors.md 3.3).
            (Some(_), Some(body)) if dialect.refuses_with_any_status() => understand(operation, body, status)
                .unwrap_or_else(|_| unknown("and nobody vouches that nothing was done")),
            (Some(_), _) => unknown("and nobody vouches that nothing was done"),
        };
    }
    let failure = matches!(status, 500..=599) && dialect.refuses_with_any_status();
    if !matches!(status, 200..=299 | 400..=499) && !failure {
        return unknown("which is no answer of this contract");
    }
    let understood = match &reply.body {
        Some(body) => understand(operation, body, status),
        None => Err("and the body broke off or is too long"),
    };
    match understood {
        Ok(answer) => answer,
        // A 401 beside the name of a charge is no wrong password: the charge may stand.
        Err(_) if matches!(status, 401 | 403) && names_nothing(reply) => Answer::Refused(
            PayErrorCode::Configuration,
            Denial {
                message: Some(format!("the gateway refuses the credentials (HTTP status {status})")),
                ..Denial::default()
            },
        ),
        Err(what) => unknown(what),
    }
}

/// The object of the contract; nothing else is one.
fn parse(body: &[u8]) -> Option<ContractReply<'_>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    // Asked for by name: an array of the members' values would be taken for the object otherwise.
    (body.first() == Some(&b'{')).then(|| serde_json::from_slice(body).ok()).flatten()
}

/// Whether a status leaves open what was done.
fn is_doubtful(status: u16) -> bool {
    status == LATE || BUSY.contains(&status)
}

/// Whether a body can be read to its end and names no charge and no token.
fn names_nothing(reply: &GatewayReply) -> bool {
    reply.body.as_ref().and_then(|body| ids::look(body)).is_some_and(|named| !named.charge && !named.token)
}

fn understand(operation: Operation, body: &[u8], status: u16) -> Result<Answer, &'static str> {
    let reply = parse(body).ok_or("and the body is no JSON object of this contract")?;
    let id = match operation {
        Operation::Charge(..) => reply.charge_id,
        Operation::Tokenize(_) => reply.token_id,
    };
    if let Some(code) = reply.error_code.and_then(error_code) {
        // Only null says that nothing was made; an absent id says nothing.
        if (status >= 500 || is_doubtful(status)) && id.is_none_or(|id| id.get() != "null") {
            return Err("and the body does not say that nothing was done");
        }
        return Ok(Answer::Declined(Denial {
            code: Some(cut(code, CODE_CHARS_MAX)),
            message: reply.error_message.and_then(message),
            parameters: reply.parameters.map(parameters).unwrap_or_default(),
        }));
    }
    let id = id.and_then(id_text).ok_or("and neither an id nor an error code is in the body")?;
    // A repeat may be answered with 409 and the first result.
    if !matches!(status, 200..=299 | 409) {
        return Err("and the body has an id and no error code");
    }
    let mut approval =
        Approval { parameters: reply.parameters.map(parameters).unwrap_or_default(), ..Approval::default() };
    match operation {
        Operation::Charge(..) => approval.confirmation_code = Some(id),
        Operation::Tokenize(_) => approval.token = Some(Secret::new(id)),
    }
    Ok(Answer::Approved(approval))
}

/// An id as text. A number is taken as it is written: as a float it would lose digits.
fn id_text(raw: &RawValue) -> Option<String> {
    let text = match first_byte(raw) {
        b'"' => serde_json::from_str::<String>(raw.get()).ok()?,
        b'-' | b'0'..=b'9' => raw.get().to_owned(),
        _ => return None,
    };
    (!text.trim().is_empty() && text.chars().count() <= ID_CHARS_MAX).then_some(text)
}

/// An error code as text; `None` where it says that there is no error: null, false, empty or zero.
fn error_code(raw: &RawValue) -> Option<String> {
    let json = raw.get();
    let text = match first_byte(raw) {
        // A string that cannot be read is an error code all the same.
        b'"' => serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned()),
        _ if matches!(json, "null" | "false" | "{}" | "[]") => return None,
        _ => json.to_owned(),
    };
    // Null, absent, empty or 0 is no error (spec/connectors.md 3.4).
    let none = text.trim().is_empty() || text.trim().parse() == Ok(0.0);
    (!none).then_some(text)
}

fn message(raw: &RawValue) -> Option<String> {
    let text = value_text(raw)?;
    (!text.is_empty()).then(|| cut(text, MESSAGE_CHARS_MAX))
}

/// A value as text: a string's own, of everything else its JSON; `None` for null.
fn value_text(raw: &RawValue) -> Option<String> {
    match first_byte(raw) {
        b'"' => serde_json::from_str(raw.get()).ok(),
        b'n' => None,
        _ => Some(raw.get().to_owned()),
    }
}

/// The members of `parameters` in their order.
fn parameters(raw: &RawValue) -> Vec<(String, String)> {
    let Ok(Members(members)) = serde_json::from_str(raw.get()) else { return Vec::new() };
    let given = members.len();
    let kept: Vec<(String, String)> = members
        .into_iter()
        .filter(|(name, _)| !name.is_empty() && name.chars().count() <= PARAMETER_NAME_CHARS_MAX)
        .filter_map(|(name, value)| value_text(value).map(|text| (name, text)))
        .filter(|(_, text)| text.chars().count() <= PARAMETER_VALUE_CHARS_MAX)
        .take(PARAMETERS_MAX)
        .collect();
    if kept.len() < given {
        tracing::warn!(
            left_out = given.saturating_sub(kept.len()),
            "leaving out parameters of the gateway's answer that are empty, too long or too many"
        );
    }
    kept
}

/// An object's members in the order they are written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Reader).map(Members)
    }
}

fn first_byte(raw: &RawValue) -> u8 {
    raw.get().bytes().next().unwrap_or(b' ')
}

fn cut(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}
