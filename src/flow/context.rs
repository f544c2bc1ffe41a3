//! What a call knows of the world around it, and its limits.

use std::collections::BTreeMap;
use std::time::Duration;

use super::link::PlainHttp;
use crate::form::{Form, Value};
use crate::pay::platform::Platform;

/// How long the application has to answer (Twilio's limit).
pub const FETCH_LIMIT: Duration = Duration::from_secs(15);

/// How many documents in a row may take no time of speech, silence or keys before the call is cut.
pub const LOOP_LIMIT: u32 = 30;

/// What a call knows of the world around it when it begins.
#[derive(Clone, Debug)]
pub struct Context {
    /// The account's id: `AC` and 32 hex digits.
    pub account_sid: String,
    /// The call's id.
    pub call_sid: String,
    /// `From`, `To` and what else of Twilio's standard parameters the stream told.
    pub caller: Form,
    /// The stream's custom parameters: what flow documents are rendered with.
    pub parameters: BTreeMap<String, Value>,
    /// When the call was answered, on the account's own clock.
    pub answered_at: jiff::civil::DateTime,
    /// The same in UTC.
    pub answered_at_utc: jiff::civil::DateTime,
    /// Where transaction ids begin: random for a live call, fixed for a script.
    pub seed: u128,
    /// Whose stream carries the call: which rules of `<Pay>` hold.
    pub platform: Platform,
    /// Which targets may be asked without TLS.
    pub plain_http: PlainHttp,
}

impl Context {
    /// Twilio's standard parameters of a request to the application.
    pub(super) fn standard(&self, status: &'static str) -> Form {
        let mut form = Form::new();
        form.set("AccountSid", &self.account_sid);
        form.set("CallSid", &self.call_sid);
        form.set("CallStatus", status);
        form.set("ApiVersion", "2010-04-01");
        form.set("Direction", "inbound");
        form.extend(&self.caller);
        form
    }
}

/// The parameters that every request to the application has, as far as they are known (spec/pay.md, section 6).
pub const STANDARD_PARAMETERS: &[&str] =
    &["AccountSid", "CallSid", "From", "To", "CallStatus", "ApiVersion", "Direction", "ForwardedFrom", "CallerName"];
