//! Who made a request, for the audit trail.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::guard::client;
use super::state::ApiState;
use crate::store::audit::Actor;

/// Who was let in, and from which address.
pub(super) struct Acting(pub(super) Actor);

impl FromRequestParts<ApiState> for Acting {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        let origin = client(&state.trusted_proxies, &parts.extensions, &parts.headers).to_string();
        Ok(Self(Actor { name: format!("account {}", state.account.sid), origin }))
    }
}
