//! Time whose length the scenario draws or sets: how long a server lives, a database is away, a disk is full, a gateway takes, a
//! caller thinks. Nothing is waited for meanwhile.

use std::time::Duration;

/// So much of it passes.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
