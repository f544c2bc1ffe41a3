//! The keys of the kind `stripe`.

use std::time::Duration;

use reqwest::header::HeaderValue;

use super::{ConnectorConfigError, Key, Mode, RETRIES, Reader, TIMEOUT_SECONDS};
use crate::connector::stripe::{ANSWER_TIMEOUT, BASE_URL, REPEATS, Reusable, StripeSettings};
use crate::http::{Authorization, Endpoint};
use crate::secret::Secret;

/// Beside `name`, `kind` and `mode`.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "secret_key",
        secret: true,
        required: false,
        default: None,
        meaning: "The secret or restricted key: sk_test_... or rk_test_... for mode test, sk_live_... or rk_live_... for \
                  live. This or access_token is needed.",
    },
    Key {
        name: "access_token",
        secret: true,
        required: false,
        default: None,
        meaning: "The access token that Stripe's OAuth gave for an account, instead of secret_key.",
    },
    Key {
        name: "account",
        secret: false,
        required: false,
        default: None,
        meaning: "The connected account that payments are for: acct_...",
    },
    Key {
        name: "base_url",
        secret: false,
        required: false,
        default: Some(BASE_URL),
        meaning: "Where Stripe's API is: for a stand-in, https, or http on this machine.",
    },
    Key {
        name: "moto",
        secret: false,
        required: false,
        default: Some("false"),
        meaning: "Whether charges are marked as telephone orders (true or false); Stripe must have enabled it for the \
                  account.",
    },
    Key {
        name: "reusable_token",
        secret: false,
        required: false,
        default: Some("payment-method"),
        meaning: "What a reusable token of a card is: payment-method (pm_...), or card (card_...) for applications that \
                  know the older shape.",
    },
    Key {
        name: "timeout",
        secret: false,
        required: false,
        default: Some("35"),
        meaning: "How many seconds Stripe has for an answer, 1 to 60.",
    },
    Key {
        name: "retries",
        secret: false,
        required: false,
        default: Some("5"),
        meaning: "How often an unanswered request is repeated, with the same idempotency key, 0 to 10.",
    },
];

pub(super) fn read(keys: &mut Reader<'_>, mode: Mode) -> Result<StripeSettings, ConnectorConfigError> {
    let token = match (keys.text("secret_key")?, keys.text("access_token")?) {
        (Some(key), None) => bearer(keys, "secret_key", key, mode)?,
        (None, Some(token)) => bearer(keys, "access_token", token, mode)?,
        (None, None) => return Err(keys.missing("secret_key")),
        (Some(_), Some(_)) => {
            return Err(keys.invalid("access_token", "give either `secret_key` or `access_token`".to_owned()));
        }
    };
    let account = match keys.text("account")? {
        None => None,
        Some(account) if is_account(account.expose()) => Some(account.expose().to_owned()),
        Some(_) => return Err(keys.invalid("account", "it is `acct_` with letters and digits".to_owned())),
    };
    let base_url = match keys.text("base_url")? {
        None => Endpoint::parse(BASE_URL),
        Some(text) => Endpoint::parse(text.expose()),
    }
    .map_err(|error| keys.invalid("base_url", error.to_string()))?;
    if base_url.has_query() {
        return Err(keys.invalid("base_url", "it has no query (?...)".to_owned()));
    }
    let moto = keys.flag("moto")?.unwrap_or(false);
    let reusable = match keys.text("reusable_token")? {
        None => Reusable::PaymentMethod,
        Some(word) => Reusable::parse(word.expose()).ok_or_else(|| {
            keys.invalid("reusable_token", format!("`{}` is none of payment-method, card", word.expose()))
        })?,
    };
    let timeout =
        keys.whole("timeout", TIMEOUT_SECONDS)?.map_or(ANSWER_TIMEOUT, |seconds| Duration::from_secs(seconds.into()));
    let retries = keys.whole("retries", RETRIES)?.unwrap_or(REPEATS);
    Ok(StripeSettings {
        authorization: Authorization::Bearer(token),
        account,
        base_url,
        moto,
        reusable,
        timeout,
        retries,
    })
}

/// The settings' keys again, but for the times. An access token is kept as a key: it is used as one.
pub(super) fn keys(settings: &StripeSettings) -> Vec<(&'static str, &str)> {
    let mut keys = vec![
        ("base_url", settings.base_url.expose()),
        ("moto", if settings.moto { "true" } else { "false" }),
        ("reusable_token", settings.reusable.word()),
    ];
    keys.extend(settings.account.as_deref().map(|account| ("account", account)));
    if let Authorization::Bearer(token) = &settings.authorization {
        keys.push((credential(settings), token.expose()));
    }
    keys
}

/// The key of what lets it in.
pub(super) fn credential(settings: &StripeSettings) -> &'static str {
    match &settings.authorization {
        // The one key whose prefix may tell no mode.
        Authorization::Bearer(token) if mode_of(token.expose()).is_none() => "access_token",
        _ => "secret_key",
    }
}

/// Checks a key against the mode. No error quotes any of it.
fn bearer(keys: &Reader<'_>, name: &'static str, token: Secret, mode: Mode) -> Result<Secret, ConnectorConfigError> {
    if token.expose().is_empty() || token.expose().contains(' ') || HeaderValue::from_str(token.expose()).is_err() {
        return Err(keys.invalid(name, "it is empty or holds what no header can carry".to_owned()));
    }
    if token.expose().starts_with("pk_") {
        return Err(keys.invalid(name, "this is a publishable key (pk_...), which cannot charge".to_owned()));
    }
    match mode_of(token.expose()) {
        Some(known) if known == mode => Ok(token),
        Some(known) => {
            let connector = keys.connector.to_owned();
            Err(ConnectorConfigError::WrongMode { connector, key: name, found: known, mode })
        }
        None if name == "access_token" => Ok(token),
        None => Err(keys.invalid(name, "it begins with sk_test_, rk_test_, sk_live_ or rk_live_".to_owned())),
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
