//! Whether this server is heard, and since when what it holds is certainly its own.

use super::backend::NodeId;
use super::lease::Epoch;
use super::{Store, StoreError};

impl Store {
    /// Begins to run. What the run `ended` left is anybody's; of a database that this server has to itself, what any did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn register(&self, ended: Option<NodeId>) -> Result<(), StoreError> {
        Ok(self.backend.register(self.node, ended).await?)
    }

    /// Says that this node is there. To be done every [`super::HEARTBEAT_EVERY`], by itself.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heartbeat(&self) -> Result<(), StoreError> {
        // The moment before: the database hears it later, so that the lease never lasts longer than it is there.
        let begun = self.lease.now();
        self.writable.tried(self.backend.heartbeat(self.node).await)?;
        self.lease.renew(begun);
        Ok(())
    }

    /// Until when what this server holds now is certainly its own.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.lease.epoch()
    }

    /// Whether what was this server's in an epoch certainly still is.
    #[must_use]
    pub fn holds_since(&self, epoch: Epoch) -> bool {
        self.lease.is_fresh_in(epoch)
    }

    /// Waits until somebody has heard of this server lately: whom nobody hears must not do what others may be doing in its
    /// place. What is its own in the store after that is so in this epoch.
    pub async fn heard(&self) -> Epoch {
        self.lease.fresh().await
    }

    /// Waits until others may begin what this server has under way, because nobody has heard of it for too long.
    pub async fn lapsed(&self) {
        self.lease.lapsed().await;
    }

    /// Gives back what this run has not done: it works on nothing of it any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release_own(&self) -> Result<(), StoreError> {
        self.backend.release(self.node).await?;
        Ok(self.backend.release(self.keeper).await?)
    }
}
