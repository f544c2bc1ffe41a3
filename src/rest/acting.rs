//! Who made a request, for the audit trail.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::guard::client;
use crate::call::House;
use crate::store::audit::Actor;

/// Who was let in, and from which address.
pub(super) struct Acting(pub(super) Actor);

impl FromRequestParts<Arc<House>> for Acting {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, house: &Arc<House>) -> Result<Self, Infallible> {
        let origin = client(house, &parts.extensions, &parts.headers).to_string();
        Ok(Self(Actor { name: format!("account {}", house.account.sid), origin }))
    }
}
