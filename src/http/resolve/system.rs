//! The system's own resolver, on threads of its own.
//!
//! Shape:   [`System::addresses`]: a name in, its addresses out. getaddrinfo(3) blocks, for half a minute if name servers say
//!          nothing, and cannot be stopped; so each lookup has a thread, and the threads are counted by who asks.
//! Errors:  [`LookupError`].
#![allow(clippy::disallowed_methods, reason = "the shell may start threads")]

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::LookupError;
use super::known::Resolved;

/// getaddrinfo(3), or what stands in for it.
pub(super) type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// The system's resolver.
#[derive(Clone)]
pub(super) struct System(Arc<LookUp>);

impl Default for System {
    fn default() -> Self {
        Self(Arc::new(|name: &str| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())))
    }
}

impl System {
    #[cfg(test)]
    pub(super) fn standing_in(look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look_up))
    }

    /// The addresses of `name`; `place` is given back when the thread is done, whether anybody waits for it or not. How long
    /// addresses hold is not told, so they do not.
    pub(super) async fn addresses(&self, name: &str, place: OwnedSemaphorePermit) -> Result<Resolved, LookupError> {
        let (tell, told) = oneshot::channel();
        let (look_up, name) = (Arc::clone(&self.0), name.to_owned());
        let thread = std::thread::Builder::new().name("getaddrinfo".to_owned()).spawn(move || {
            let found = look_up(&name);
            drop(place);
            // Nobody may be waiting any more.
            let _ = tell.send(found);
        });
        thread.map_err(|error| LookupError::System(error.to_string()))?;
        match told.await {
            Ok(Ok(found)) if found.is_empty() => Ok(Resolved::Absent(Duration::ZERO)),
            Ok(Ok(found)) => Ok(Resolved::Found(found.into(), Duration::ZERO)),
            Ok(Err(error)) => Err(LookupError::System(error.to_string())),
            Err(_) => Err(LookupError::BrokenDown),
        }
    }
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("System")
    }
}
