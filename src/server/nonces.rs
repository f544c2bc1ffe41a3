//! Which random values of stream URLs were used: each is taken once, by this server and by all that share its database.
//!
//! Shape:   [`UsedNonces::take`] looks in memory first, then in the store.
//! Limits:  [`REMEMBERED_MAX`] values that have not expired; [`STORE_WAIT`] for the store.
//! Errors:  [`NonceRefused`]. Where the store cannot say, a value is not taken: another server may have taken it.
//! Sources: [`crate::media::nonce`].

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use crate::media::nonce::{NonceRefused, StreamNonce};
use crate::store::{BackendError, Store};

/// How many values are remembered: three hundred a second for five minutes, in some 10 MB.
const REMEMBERED_MAX: usize = 100_000;

/// How long a caller waits for the store to say whether the value is new.
const STORE_WAIT: Duration = Duration::from_secs(2);

/// The values that were used and have not expired, by their expiry.
#[derive(Debug, Default)]
pub(super) struct UsedNonces(Mutex<BTreeSet<(i64, String)>>);

impl UsedNonces {
    /// Takes a value that was judged good at `now`.
    pub(super) async fn take(&self, nonce: &StreamNonce, store: &Store, now: Timestamp) -> Result<(), NonceRefused> {
        self.remember(nonce, now.as_second())?;
        let expires = Timestamp::from_second(nonce.expires).unwrap_or(Timestamp::MAX);
        match timeout(STORE_WAIT, store.backend().use_nonce(&nonce.value, expires, now)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(BackendError::Duplicate)) => Err(NonceRefused::Used),
            Ok(Err(error)) => {
                tracing::warn!(%error, "could not find out whether another server used a stream's URL");
                Err(NonceRefused::Unknown)
            }
            Err(_) => {
                tracing::warn!("database did not tell in time whether another server used a stream's URL");
                Err(NonceRefused::Unknown)
            }
        }
    }

    fn remember(&self, nonce: &StreamNonce, now: i64) -> Result<(), NonceRefused> {
        // Nothing in there is left half done by a panic.
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while used.first().is_some_and(|(expires, _)| *expires <= now) {
            used.pop_first();
        }
        let entry = (nonce.expires, nonce.value.clone());
        match used.contains(&entry) {
            true => Err(NonceRefused::Used),
            false if used.len() >= REMEMBERED_MAX => Err(NonceRefused::Full),
            false => {
                used.insert(entry);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::store::memory::{Connection, Disk, Memory};
    use crate::store::{Backend, NodeId, Seal};

    fn nonce(expires: i64, value: &str) -> StreamNonce {
        StreamNonce { expires, value: value.to_owned() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[tokio::test]
    async fn a_value_is_taken_once_by_all_servers_of_a_database() {
        let backend: std::sync::Arc<dyn Backend> = std::sync::Arc::new(Memory::default());
        let store = || Store::new(std::sync::Arc::clone(&backend), Seal::of_bytes(&[7; 32]).unwrap(), NodeId::random());
        let (here, there) = (UsedNonces::default(), UsedNonces::default());
        let first = nonce(300, "a");
        assert_eq!(here.take(&first, &store(), at(1)).await, Ok(()));
        assert_eq!(here.take(&first, &store(), at(2)).await, Err(NonceRefused::Used));
        assert_eq!(there.take(&first, &store(), at(3)).await, Err(NonceRefused::Used));
        assert_eq!(there.take(&nonce(300, "b"), &store(), at(3)).await, Ok(()));
    }

    /// A database that is away.
    struct Away;

    impl Connection for Away {
        fn request(&self) -> BoxFuture<'_, Result<(), BackendError>> {
            std::future::ready(Err(BackendError::Unavailable("it is away".to_owned()))).boxed()
        }
    }

    impl Disk for Away {
        fn before(&self) -> BoxFuture<'_, Result<(), BackendError>> {
            std::future::ready(Ok(())).boxed()
        }

        fn after(&self) -> BoxFuture<'_, Result<(), BackendError>> {
            std::future::ready(Ok(())).boxed()
        }
    }

    #[tokio::test]
    async fn while_the_database_is_away_nobody_knows_and_no_value_is_taken() {
        let away = Memory::default().reached_over(Box::new(Away), Box::new(Away));
        let store = Store::new(std::sync::Arc::new(away), Seal::of_bytes(&[7; 32]).unwrap(), NodeId::random());
        assert_eq!(UsedNonces::default().take(&nonce(300, "a"), &store, at(1)).await, Err(NonceRefused::Unknown));
    }

    #[test]
    fn what_has_expired_makes_room_and_more_than_can_be_remembered_is_refused() {
        let used = UsedNonces::default();
        for number in 0..REMEMBERED_MAX {
            assert_eq!(used.remember(&nonce(10, &number.to_string()), 1), Ok(()));
        }
        assert_eq!(used.remember(&nonce(20, "x"), 9), Err(NonceRefused::Full));
        assert_eq!(used.remember(&nonce(10, "7"), 9), Err(NonceRefused::Used));
        assert_eq!(used.remember(&nonce(20, "x"), 10), Ok(()));
        assert_eq!(used.0.lock().unwrap().len(), 1);
    }
}
