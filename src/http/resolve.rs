//! Names to addresses, those a request may not go to left out.
//!
//! Shape:   a resolver for `reqwest`: the check happens on the very addresses that are connected to, so a name cannot
//!          show one address to a check and another to the connection.
//! Errors:  [`Unreachable`], when a name has addresses and none of them may be reached.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::Reach;

/// Every address of the name is out of reach by policy.
#[derive(Debug, thiserror::Error)]
#[error("the name leads only to addresses that may not be reached")]
pub(super) struct Unreachable;

/// Resolves as the system does and keeps what `Reach` admits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filtered(pub(super) Reach);

impl Resolve for Filtered {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            // Port 0: reqwest puts the URL's own in.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let any = !found.is_empty();
            let admitted: Vec<SocketAddr> = found.into_iter().filter(|found| reach.admits(found.ip())).collect();
            if any && admitted.is_empty() {
                return Err(Unreachable.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// Whether an error was made by [`Filtered`].
pub(super) fn is_unreachable(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<Unreachable>() {
            return true;
        }
        cause = error.source();
    }
    false
}
