//! Random values of stream URLs that were used.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::failure::Trouble;
use super::statement::On;
use super::value::text;
use super::work::Work;
use crate::store::backend::BackendError;

/// See [`crate::store::Backend::use_nonce`].
pub(super) struct UseNonce {
    pub(super) value: String,
    pub(super) expires: Timestamp,
    pub(super) now: Timestamp,
}

impl Work for UseNonce {
    type Done = ();

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let insert = "INSERT INTO stream_nonces (value, expires) VALUES ($1, $2) ON CONFLICT (value) DO NOTHING";
            let insert = sqlx::query(insert).bind(text(&self.value)).bind(self.expires.as_millisecond());
            if on.execute(insert).await? == 0 {
                return Err(BackendError::Duplicate.into());
            }
            // What has expired is refused for that.
            let forget = sqlx::query("DELETE FROM stream_nonces WHERE expires < $1").bind(self.now.as_millisecond());
            on.execute(forget).await?;
            Ok(())
        }
        .boxed()
    }
}
