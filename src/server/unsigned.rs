//! Says again and again that streams are taken unsigned while real money moves.
//!
//! Shape:   [`warn`] when the server starts, [`remind`] as long as it runs.
//! Units:   [`EVERY`].
//! Sources: spec/media-streams.md 1.6: an upgrade that is not signed may be anybody's, and it leads to a charge.

use std::time::Duration;

use tokio::time::sleep;

use crate::connector::Registry;

/// Often enough that it is in every log an operator looks at, seldom enough not to fill it.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Says so, if there are any connectors in mode live.
pub(super) fn warn(live: &[String]) {
    if !live.is_empty() {
        tracing::warn!(
            connectors = live.join(", "),
            "streams are taken unsigned while real money moves; whoever reaches this server can have a card charged: set \
             media.require_signature = true and public_url to the address that the platform calls"
        );
    }
}

/// Does it each hour with the connectors that are live then.
pub(super) async fn remind(connectors: Registry, mut warn: impl FnMut(&[String])) {
    loop {
        sleep(EVERY).await;
        warn(&connectors.live());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;

    use super::*;
    use crate::connector::ConnectorConfig;
    use crate::http::Gateway;

    fn config(name: &str, mode: &str) -> ConnectorConfig {
        let keys = serde_json::json!({"name": name, "kind": "generic", "endpoint": "https://x.example/", "mode": mode});
        serde_json::from_value(keys).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn each_hour_the_live_connectors_are_named() {
        let gateway = Arc::new(Gateway::new().unwrap());
        let registry = Registry::new(&[config("Trial", "test")], &gateway).unwrap();
        let (said, began) = (Arc::new(Mutex::new(Vec::new())), Instant::now());
        let note = Arc::clone(&said);
        tokio::spawn(remind(registry.clone(), move |live| {
            note.lock().unwrap().push((began.elapsed().as_secs(), live.to_vec()));
        }));
        sleep(EVERY + Duration::from_secs(1)).await;
        registry.insert("Shop", config("Shop", "live").build(&gateway, registry.exposure())).unwrap();
        sleep(2 * EVERY).await;
        let shop = vec!["Shop".to_owned()];
        assert_eq!(*said.lock().unwrap(), [(3600, vec![]), (7200, shop.clone()), (10_800, shop)]);
    }
}
