//! An instance as commands and REST show it.
//!
//! Secrets: a secret key is shown as being set, never its value; an address without its query.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Mode;
use crate::pay::step::words;

words! {
    /// Where an instance comes from.
    Origin {
        /// The configuration: it is read-only elsewhere.
        Configured = "configured",
        /// The store: it was added by command or by REST.
        Stored = "stored",
        /// Nowhere: the `Default` of kind `sandbox` while nothing was ever configured or stored.
        StandIn = "stand-in",
    }
}

words! {
    /// Whether payments can go through an instance.
    State {
        /// They can.
        Ready = "ready",
        /// The gateway no longer lets it in (64009).
        NeedsAuthorization = "needs-authorization",
        /// What is stored of it cannot be read.
        Unreadable = "unreadable",
        /// This server does not use it as it is: a sandbox in mode live while `public_url` is public.
        Refused = "refused",
    }
}

/// An instance as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = Connector, examples(json!({
    "name": "Stripe_ProdLive",
    "kind": "stripe",
    "mode": "live",
    "origin": "stored",
    "state": "ready",
    "settings": {"base_url": "https://api.stripe.com/", "moto": "true"},
    "secrets": {"secret_key": "set"},
    "fault": null,
    "withdrawn": null,
    "created": "2026-11-22T10:00:00Z",
    "updated": "2026-11-22T10:00:00Z",
})))]
pub struct Instance {
    /// The unique name, which `<Pay paymentConnector>` gives.
    pub name: String,
    /// The kind; none where what is stored cannot be read.
    pub kind: Option<&'static str>,
    /// `test` or `live`; none where what is stored cannot be read.
    #[schema(inline)]
    pub mode: Option<Mode>,
    /// Where it comes from.
    #[schema(inline)]
    pub origin: Origin,
    /// Whether payments can go through it.
    #[schema(inline)]
    pub state: State,
    /// What it is set to, by key; secret keys are left out, and the query of an address.
    pub settings: BTreeMap<&'static str, String>,
    /// The secret keys that are set, each with the word `set`.
    pub secrets: BTreeMap<&'static str, &'static str>,
    /// Why what is stored cannot be read, or is not used.
    pub fault: Option<String>,
    /// Since when its gateway no longer lets it in.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "moment")]
    pub withdrawn: Option<Timestamp>,
    /// When it was stored.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "moment")]
    pub created: Option<Timestamp>,
    /// When it was last changed.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "moment")]
    pub updated: Option<Timestamp>,
}

/// As RFC 3339 has it.
fn moment<S: serde::Serializer>(moment: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    moment.map(|moment| moment.to_string()).serialize(serializer)
}
