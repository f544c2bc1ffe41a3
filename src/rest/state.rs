//! What the API uses of the rest of the server; a handler that needs the store alone takes that.

use std::sync::Arc;

use axum::extract::FromRef;

use crate::account::Account;
use crate::call::Directory;
use crate::clock::WallClock;
use crate::connector::Registry;
use crate::flow::link::PlainHttp;
use crate::http::TrustedProxies;
use crate::store::Store;

/// What the API uses. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// Whose API it is.
    pub account: Arc<Account>,
    /// The calls, wherever they are.
    pub directory: Directory,
    /// What outlives the process.
    pub store: Store,
    /// The connectors.
    pub connectors: Registry,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<TrustedProxies>,
    /// Which targets may be asked without TLS.
    pub plain_http: PlainHttp,
    /// What time it is.
    pub wall_clock: WallClock,
}

impl FromRef<ApiState> for Store {
    fn from_ref(state: &ApiState) -> Self {
        state.store.clone()
    }
}
