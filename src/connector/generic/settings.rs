//! The kind `generic`: its keys, and what they mean.

use std::sync::Arc;
use std::time::Duration;

use super::answer::BUSY;
use super::{ContractVariant, Generic, capabilities, readings, replies};
use crate::connector::config::{ConfigReader, ConnectorConfigError};
use crate::connector::kind::{Build, Kind, KindKey, KindSettings, ValueShape};
use crate::connector::{Connector, Description};
use crate::http::{Authorization, Endpoint};
use crate::pay::test_numbers::AcceptedNumbers;

#[cfg(test)]
mod tests;

/// A user: no colon, which ends it, and no line breaks.
const USER: &str = r"^[^:\r\n\u0000]+$";

/// What a header can carry.
const TOKEN: &str = "^[!-~]+$";

const ENDPOINT: KindKey = KindKey::new(
    "endpoint",
    ValueShape::Address { query: true },
    "Where the processor listens: https, or http on this machine.",
)
.required();

const USERNAME: KindKey =
    KindKey::new("username", ValueShape::Text(Some(USER)), "The user for HTTP Basic; goes with password.");

const PASSWORD: KindKey =
    KindKey::new("password", ValueShape::Text(None), "The password for HTTP Basic; goes with username.").secret();

const BEARER: KindKey =
    KindKey::new("bearer", ValueShape::Text(Some(TOKEN)), "A bearer token, instead of username and password.").secret();

const DIALECT: KindKey = KindKey::new(
    "dialect",
    ValueShape::Word(&["twilio", "telnyx", "signalwire", "signalwire-swml"]),
    "Whose variant of the contract the processor speaks: twilio, telnyx, signalwire (that of cXML) or signalwire-swml. \
     SignalWire's are for cards only.",
)
.default("twilio");

const TIMEOUT: KindKey = KindKey::new(
    "timeout",
    // Our choice: the caller waits.
    ValueShape::Whole(1, 60),
    "How many seconds the processor has for an answer, 1 to 60.",
)
// Twilio; the others do not say.
.default("10");

const RETRIES: KindKey = KindKey::new(
    "retries",
    // Our choice, as above.
    ValueShape::Whole(0, 10),
    "How often an unanswered request is repeated, with the same transaction_id, 0 to 10.",
)
// Twilio; the others do not say.
.default("5");

const REPLAYS_FIRST_RESULT: KindKey = KindKey::new(
    "replays_first_result",
    ValueShape::Flag,
    "Whether you vouch that the processor answers a repeat with the first result: true or false. Unless it does, an error \
     that a repeat gets (duplicate, say) leaves the outcome unknown.",
)
.default("false");

const RETRY_SAFE: KindKey = KindKey::new(
    "retry_safe",
    ValueShape::Some(&BUSY),
    "The busy statuses with which, as you vouch, the processor did nothing: 429, 503 or both. With one that is not named, \
     or with an id in the body, nobody knows what was done until a repeat tells.",
);

/// The kind.
pub static KIND: Kind = Kind {
    name: "generic",
    meaning: "Posts each payment as JSON to an endpoint of yours, in the contract of Twilio's Generic Pay Connector or in \
              Telnyx's or SignalWire's variant of it.",
    documentation: include_str!("README.md"),
    keys: &[ENDPOINT, USERNAME, PASSWORD, BEARER, DIALECT, TIMEOUT, RETRIES, REPLAYS_FIRST_RESULT, RETRY_SAFE],
    authentication: &[&[], &[USERNAME.name, PASSWORD.name], &[BEARER.name]],
    address: Some(ENDPOINT.name),
    moves_money: true,
    test_numbers: AcceptedNumbers::GENERIC_TEST,
    capabilities,
    read,
    example: &[("endpoint", "https://processor.example.com/pay")],
    readings,
    samples: replies::SAMPLES,
};

/// What an instance is set to.
#[derive(Clone, Debug)]
pub struct GenericSettings {
    /// Where the processor listens.
    pub endpoint: Endpoint,
    /// How it knows us.
    pub authorization: Authorization,
    /// Whose contract it keeps.
    pub dialect: ContractVariant,
    /// How long one request may go unanswered.
    pub timeout: Duration,
    /// How often an unanswered request is repeated.
    pub retries: u8,
    /// Whether the operator vouches that the processor answers a repeat with the first result. The contract lets it answer
    /// with an error that says duplicate too.
    pub replays_first_result: bool,
    /// The statuses of [`BUSY`] with which, by the operator's word, the processor did nothing.
    pub retry_safe: Vec<u16>,
}

impl KindSettings for GenericSettings {
    fn build(&self, from: Build<'_>) -> Arc<dyn Connector> {
        let Build { mode, gateway, description, .. } = from;
        let Description { mut settings, .. } = description;
        let authentication = match &self.authorization {
            Authorization::Basic { .. } => "basic",
            Authorization::Bearer(_) => "bearer",
            Authorization::None | Authorization::Headers(_) | Authorization::Signature(_) => "none",
        };
        settings.push(("authentication", authentication.to_owned()));
        let description = Description { settings, kind: KIND.name, mode };
        Arc::new(Generic { settings: self.clone(), description, gateway: Arc::clone(gateway) })
    }

    fn account(&self) -> Option<&str> {
        match &self.authorization {
            Authorization::Basic { username, .. } => Some(username),
            Authorization::None
            | Authorization::Bearer(_)
            | Authorization::Headers(_)
            | Authorization::Signature(_) => None,
        }
    }
}

fn read(keys: &mut ConfigReader<'_>) -> Result<Arc<dyn KindSettings>, ConnectorConfigError> {
    Ok(Arc::new(settings(keys)?))
}

fn settings(keys: &mut ConfigReader<'_>) -> Result<GenericSettings, ConnectorConfigError> {
    let endpoint = keys.address(&ENDPOINT)?;
    let word = keys.needed(&DIALECT)?;
    let dialect =
        ContractVariant::ALL.iter().copied().find(|known| known.word() == word.expose()).ok_or_else(|| {
            let known: Vec<&str> = ContractVariant::ALL.iter().map(|known| known.word()).collect();
            keys.invalid(&DIALECT, format!("`{}` is not supported; supported: {}", word.expose(), known.join(", ")))
        })?;
    let authorization = match (keys.text(&USERNAME)?, keys.text(&PASSWORD)?, keys.token(&BEARER)?) {
        (None, None, None) => Authorization::None,
        (Some(username), Some(password), None) => {
            // RFC 7617, section 2: the first colon ends the user's name.
            if username.expose().is_empty() || username.expose().contains([':', '\n', '\r', '\0']) {
                return Err(keys.invalid(&USERNAME, "it is empty or has a colon or a line break in it"));
            }
            Authorization::Basic { username: username.expose().to_owned(), password }
        }
        (None, None, Some(token)) => Authorization::Bearer(token),
        (Some(_), None, None) => return Err(keys.missing(&PASSWORD)),
        (None, Some(_), None) => return Err(keys.missing(&USERNAME)),
        (_, _, Some(_)) => {
            return Err(keys.invalid(&BEARER, "give either `bearer` or `username` and `password`"));
        }
    };
    let timeout = keys.seconds(&TIMEOUT)?;
    let retries = keys.whole(&RETRIES)?;
    let replays_first_result = keys.flag(&REPLAYS_FIRST_RESULT)?;
    let retry_safe = keys.some(&RETRY_SAFE)?;
    Ok(GenericSettings { endpoint, authorization, dialect, timeout, retries, replays_first_result, retry_safe })
}
