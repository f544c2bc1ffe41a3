//! What live calls use of the rest of the server, in the few handles that each part of a call needs.
//!
//! Shape:   built once by whoever starts a server; a part of a call is given its own handle, not all of them.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::recorder::Recordings;
use super::registry::Calls;
use super::searches::Searches;
use crate::account::Account;
use crate::callback::{Application, Deliveries};
use crate::clock::WallClock;
use crate::config::{Config, TimeZone};
use crate::connector::Registry;
use crate::feed::Feed;
use crate::flow::flow_urls::FlowUrl;
use crate::flow::link::PlainHttp;
use crate::http::Outbound;
use crate::library::Library;
use crate::rng::Rng;
use crate::speech::Speech;
use crate::store::Store;

/// What live calls use.
#[derive(Debug)]
pub struct CallServices {
    /// What is set.
    pub settings: CallSettings,
    /// The calls there are.
    pub calls: Arc<Calls>,
    /// Where documents come from.
    pub documents: Arc<DocumentServices>,
    /// Where sound comes from.
    pub sound: Arc<SoundServices>,
    /// How payments are made, and what became of them is found out.
    pub payments: Arc<PaymentServices>,
    /// Where finished calls are written, if they are.
    pub recordings: Option<Recordings>,
    /// Where the ids of sessions come from.
    pub rng: Rng,
    /// What happens to calls, for whoever watches; payments' deliveries tell the same one.
    pub feed: Feed,
}

/// What is set of calls.
pub struct CallSettings {
    /// The account of calls whose stream names none.
    pub account_sid: String,
    /// When a card expires.
    pub time_zone: TimeZone,
    /// Which targets may be asked without TLS.
    pub plain_http: PlainHttp,
    /// Which documents a stream may name.
    pub flow_urls: Vec<FlowUrl>,
    /// Where faults are told that no document names a target for.
    pub error_url: Option<Url>,
    /// How long a stream may be without any message.
    pub idle_timeout: Duration,
    /// Above this a stream is read more slowly; 0: no limit.
    pub messages_per_second_max: u32,
}

/// Where documents come from: the flows folder, or the merchant's application, which is asked for a payment's next document only
/// while the store leaves that to this server.
pub struct DocumentServices {
    /// The flow documents.
    pub library: Library,
    /// The merchant's application.
    pub application: Arc<Application>,
    /// What outlives the process.
    pub store: Store,
}

/// Where sound comes from: texts, recordings of the flows folder, recordings elsewhere.
pub struct SoundServices {
    /// Speech.
    pub speech: Speech,
    /// The flow documents, and recordings beside them.
    pub library: Library,
    /// The way out.
    pub outbound: Arc<Outbound>,
}

/// How payments are made and written down, and what became of them is found out and told, with a call or without.
pub struct PaymentServices {
    /// The connectors.
    pub connectors: Registry,
    /// What outlives the process.
    pub store: Store,
    /// Callbacks on their way.
    pub deliveries: Deliveries,
    /// Payments whose outcome is being found out.
    pub searches: Searches,
    /// What time it is.
    pub wall_clock: WallClock,
}

impl CallSettings {
    /// Of a configuration.
    #[must_use]
    pub fn of(config: &Config, account: &Account, plain_http: PlainHttp) -> Self {
        Self {
            account_sid: account.sid.clone(),
            time_zone: config.time_zone.clone(),
            plain_http,
            flow_urls: config.flow_urls.clone(),
            error_url: config.error_url.clone(),
            idle_timeout: config.media.idle_timeout,
            messages_per_second_max: config.media.max_messages_per_second,
        }
    }
}

impl std::fmt::Debug for CallSettings {
    /// Without addresses: they may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallSettings").field("account_sid", &self.account_sid).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for DocumentServices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocumentServices").field("library", &self.library).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SoundServices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoundServices").field("library", &self.library).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PaymentServices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaymentServices").field("searches", &self.searches).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_the_settings_holds_no_password() {
        let settings = CallSettings {
            account_sid: "AC1".to_owned(),
            time_zone: TimeZone(jiff::tz::TimeZone::UTC),
            plain_http: PlainHttp::Never,
            flow_urls: Vec::new(),
            error_url: Some(Url::parse("https://shop:hunter2@shop.example/errors").unwrap()),
            idle_timeout: Duration::from_secs(30),
            messages_per_second_max: 500,
        };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
