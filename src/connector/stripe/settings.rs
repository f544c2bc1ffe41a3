//! The kind `stripe`: its keys, and what they mean.

use std::sync::Arc;
use std::time::Duration;

use super::{BASE_URL, Stripe, capabilities, readings, replies};
use crate::connector::Connector;
use crate::connector::config::{ConfigReader, ConnectorConfigError, Mode};
use crate::connector::kind::{Build, Kind, KindKey, KindSettings, ValueShape};
use crate::http::{Authorization, Endpoint};
use crate::pay::step::words;
use crate::pay::test_numbers::AcceptedNumbers;
use crate::secret::Secret;

#[cfg(test)]
mod tests;

const SECRET_KEY: KindKey = KindKey::new(
    "secret_key",
    ValueShape::TextOfMode {
        pattern: "^[sr]k_(test|live)_[A-Za-z0-9_]*$",
        test: "^[sr]k_test_[A-Za-z0-9_]*$",
        live: "^[sr]k_live_[A-Za-z0-9_]*$",
    },
    "The secret or restricted key: sk_test_... or rk_test_... for mode test, sk_live_... or rk_live_... for live. This or \
     access_token is needed.",
)
.secret()
.per_mode();

const ACCESS_TOKEN: KindKey = KindKey::new(
    "access_token",
    ValueShape::Text(Some("^[!-~]+$")),
    "The access token that Stripe's OAuth gave for an account, instead of secret_key.",
)
.secret();

const ACCOUNT: KindKey = KindKey::new(
    "account",
    ValueShape::Text(Some("^acct_[A-Za-z0-9]{1,64}$")),
    "The connected account that payments are for: acct_...",
);

const ADDRESS: KindKey = KindKey::new(
    "base_url",
    ValueShape::Address { query: false },
    "Where Stripe's API is: for a stand-in, https, or http on this machine.",
)
.default(BASE_URL);

const MOTO: KindKey = KindKey::new(
    "moto",
    ValueShape::Flag,
    "Whether charges are marked as telephone orders (true or false); Stripe must have enabled it for the account.",
)
.default("false");

const REUSABLE_TOKEN: KindKey = KindKey::new(
    "reusable_token",
    ValueShape::Word(&["payment-method", "card"]),
    "What a reusable token of a card is: payment-method (pm_...), or card (card_...) for applications that know the older \
     shape.",
)
.default("payment-method");

const TIMEOUT: KindKey = KindKey::new(
    "timeout",
    // Our choice: the caller waits.
    ValueShape::Whole(1, 60),
    "How many seconds Stripe has for an answer, 1 to 60.",
)
// spec/connectors.md, section 2.5.
.default("35");

const RETRIES: KindKey = KindKey::new(
    "retries",
    // Our choice, as above.
    ValueShape::Whole(0, 10),
    "How often an unanswered request is repeated, with the same idempotency key, 0 to 10.",
)
// Our choice, as for the other kinds.
.default("5");

/// The kind.
pub static KIND: Kind = Kind {
    name: "stripe",
    meaning: "Charges and tokenizes cards at Stripe; the account needs access to Stripe's raw card data APIs.",
    documentation: include_str!("README.md"),
    keys: &[SECRET_KEY, ACCESS_TOKEN, ACCOUNT, ADDRESS, MOTO, REUSABLE_TOKEN, TIMEOUT, RETRIES],
    authentication: &[&[SECRET_KEY.name], &[ACCESS_TOKEN.name]],
    address: Some(ADDRESS.name),
    moves_money: true,
    // Those of the generic contract too: Stripe publishes most of them.
    test_numbers: AcceptedNumbers::PublishedTest,
    capabilities,
    read,
    example: &[("secret_key", "sk_test_51Example")],
    readings,
    samples: replies::SAMPLES,
};

words! {
    /// What a reusable token is.
    Reusable {
        /// A PaymentMethod (`pm_...`) of a customer.
        PaymentMethod = "payment-method",
        /// A card source (`card_...`) of a customer, the older shape.
        Card = "card",
    }
}

/// How an instance is set.
#[derive(Clone, Debug)]
pub struct StripeSettings {
    /// The secret key or the access token, as a bearer token.
    pub authorization: Authorization,
    /// The connected account that is acted for.
    pub account: Option<String>,
    /// Where Stripe is.
    pub base_url: Endpoint,
    /// Whether charges are marked as telephone orders, which Stripe must have enabled for the account.
    pub moto: bool,
    /// What a reusable token of a card is.
    pub reusable: Reusable,
    /// How long one request may go unanswered.
    pub timeout: Duration,
    /// How often an unanswered request is repeated.
    pub retries: u8,
}

impl KindSettings for StripeSettings {
    fn build(&self, from: Build<'_>) -> Arc<dyn Connector> {
        let Build { gateway, description, .. } = from;
        Arc::new(Stripe { settings: self.clone(), description, gateway: Arc::clone(gateway) })
    }

    fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }
}

fn read(keys: &mut ConfigReader<'_>) -> Result<Arc<dyn KindSettings>, ConnectorConfigError> {
    Ok(Arc::new(settings(keys)?))
}

fn settings(keys: &mut ConfigReader<'_>) -> Result<StripeSettings, ConnectorConfigError> {
    let token = match (keys.token(&SECRET_KEY)?, keys.token(&ACCESS_TOKEN)?) {
        (Some(key), None) => of_mode(keys, &SECRET_KEY, key)?,
        (None, Some(token)) => {
            let token = of_mode(keys, &ACCESS_TOKEN, token)?;
            // An access token whose prefix tells its mode is kept as a key: it is used as one.
            if mode_of(token.expose()).is_some() {
                keys.rename(&ACCESS_TOKEN, &SECRET_KEY);
            }
            token
        }
        (None, None) => return Err(keys.missing(&SECRET_KEY)),
        (Some(_), Some(_)) => return Err(keys.invalid(&ACCESS_TOKEN, "give either `secret_key` or `access_token`")),
    };
    let account = match keys.text(&ACCOUNT)? {
        None => None,
        Some(account) if is_account(account.expose()) => Some(account.expose().to_owned()),
        Some(_) => return Err(keys.invalid(&ACCOUNT, "it is `acct_` with letters and digits")),
    };
    let base_url = keys.address(&ADDRESS)?;
    let moto = keys.flag(&MOTO)?;
    let reusable = keys.word(&REUSABLE_TOKEN, Reusable::parse)?;
    let timeout = keys.seconds(&TIMEOUT)?;
    let retries = keys.whole(&RETRIES)?;
    let authorization = Authorization::Bearer(token);
    Ok(StripeSettings { authorization, account, base_url, moto, reusable, timeout, retries })
}

/// Checks a key against the mode. No error quotes any of it.
fn of_mode(keys: &ConfigReader<'_>, key: &'static KindKey, token: Secret) -> Result<Secret, ConnectorConfigError> {
    if token.expose().contains(' ') {
        return Err(keys.invalid(key, "it is empty or holds what no header can carry"));
    }
    if token.expose().starts_with("pk_") {
        return Err(keys.invalid(key, "this is a publishable key (pk_...), which cannot charge"));
    }
    match mode_of(token.expose()) {
        Some(known) if known == keys.mode() => Ok(token),
        Some(known) => Err(keys.wrong_mode(key, known)),
        None if key.name == ACCESS_TOKEN.name => Ok(token),
        None => Err(keys.invalid(key, "it begins with sk_test_, rk_test_, sk_live_ or rk_live_")),
    }
}

/// The mode that a key is for, where its prefix tells.
fn mode_of(key: &str) -> Option<Mode> {
    let rest = key.strip_prefix("sk_").or_else(|| key.strip_prefix("rk_"))?;
    if rest.starts_with("test_") {
        Some(Mode::Test)
    } else if rest.starts_with("live_") {
        Some(Mode::Live)
    } else {
        None
    }
}

fn is_account(text: &str) -> bool {
    text.strip_prefix("acct_")
        .is_some_and(|rest| (1..=64).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
