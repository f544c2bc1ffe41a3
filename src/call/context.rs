//! What the machine is told of a call when it begins.

use super::services::{CallServices, CallSettings};
use crate::flow::Context;
use crate::form::{Form, Value};
use crate::media::Start;
use crate::pay::platform::Platform;

/// Custom parameters that are the call's standard parameters.
const STANDARD: &[&str] = &["From", "To", "ForwardedFrom", "CallerName", "Direction"];

/// What the machine is told of the call.
pub(super) fn context(services: &CallServices, start: &Start, platform: Platform) -> Context {
    let mut caller = Form::new();
    for name in STANDARD {
        caller.set_some(*name, start.custom_parameters.get(*name).cloned());
    }
    let parameters = start.custom_parameters.iter().map(|(name, value)| (name.clone(), Value::from(value))).collect();
    let CallSettings { account_sid, time_zone, plain_http, .. } = &services.settings;
    let seed = services.rng.u128();
    // A recording's clock has seconds.
    let now = services.payments.wall_clock.now();
    let answered = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    Context {
        account_sid: start.account_sid.as_ref().unwrap_or(account_sid).clone(),
        call_sid: start.call_sid.clone(),
        caller,
        parameters,
        answered_at: answered.to_zoned(time_zone.0.clone()).datetime(),
        answered_at_utc: answered.to_zoned(jiff::tz::TimeZone::UTC).datetime(),
        seed,
        platform,
        plain_http: *plain_http,
    }
}
