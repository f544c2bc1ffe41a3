//! The kinds of connectors and their keys, for those who show or check them.

/// A kind of connector, for commands and forms.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What `kind` says.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub meaning: &'static str,
    /// Its own keys, beside `name`, `kind` and `mode`.
    pub keys: &'static [Key],
}

/// A key of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Whether there is no instance without it.
    pub required: bool,
    /// What it is when it is not given.
    pub default: Option<&'static str>,
    /// What it is for, in a sentence.
    pub meaning: &'static str,
}

/// Every kind there is.
pub const KINDS: &[Kind] = &[*SANDBOX, *GENERIC, *STRIPE];

pub(in crate::connector) const SANDBOX: &Kind =
    &Kind { name: "sandbox", meaning: "Approves test payments without a network; no money moves.", keys: &[] };

pub(super) const GENERIC: &Kind = &Kind {
    name: "generic",
    meaning: "Posts each payment as JSON to an endpoint of yours, in the contract of Twilio's Generic Pay Connector or in \
              Telnyx's or SignalWire's variant of it.",
    keys: &[
        Key {
            name: "endpoint",
            secret: false,
            required: true,
            default: None,
            meaning: "Where the processor listens: https, or http on this machine.",
        },
        Key {
            name: "username",
            secret: false,
            required: false,
            default: None,
            meaning: "The user for HTTP Basic; goes with password.",
        },
        Key {
            name: "password",
            secret: true,
            required: false,
            default: None,
            meaning: "The password for HTTP Basic; goes with username.",
        },
        Key {
            name: "bearer",
            secret: true,
            required: false,
            default: None,
            meaning: "A bearer token, instead of username and password.",
        },
        Key {
            name: "dialect",
            secret: false,
            required: false,
            default: Some("twilio"),
            meaning: "Whose variant of the contract the processor speaks: twilio, telnyx, signalwire (that of cXML) or \
                      signalwire-swml. SignalWire's are for cards only.",
        },
        Key {
            name: "timeout",
            secret: false,
            required: false,
            default: Some("10"),
            meaning: "How many seconds the processor has for an answer, 1 to 60.",
        },
        Key {
            name: "retries",
            secret: false,
            required: false,
            default: Some("5"),
            meaning: "How often an unanswered request is repeated, with the same transaction_id, 0 to 10.",
        },
        Key {
            name: "replays_first_result",
            secret: false,
            required: false,
            default: Some("false"),
            meaning: "Whether you vouch that the processor answers a repeat with the first result: true or false. Unless \
                      it does, an error that a repeat gets (duplicate, say) leaves the outcome unknown.",
        },
        Key {
            name: "retry_safe",
            secret: false,
            required: false,
            default: None,
            meaning: "The busy statuses with which, as you vouch, the processor did nothing: 429, 503 or both. With one that \
                      is not named, or with an id in the body, nobody knows what was done until a repeat tells.",
        },
    ],
};

pub(super) const STRIPE: &Kind = &Kind {
    name: "stripe",
    meaning: "Charges and tokenizes cards at Stripe; the account needs access to Stripe's raw card data APIs.",
    keys: super::stripe::KEYS,
};
