use futures_util::future::ready;

use super::generic::samples::{card, charge, tokenize};
use super::*;
use crate::pay::gateway::Approval;

/// An embedder's connector with a fault: panics before its future exists, or within it.
struct Panicking {
    at_once: bool,
}

#[allow(clippy::panic, reason = "it is what is tested")]
impl Connector for Panicking {
    fn describe(&self) -> Description {
        Description { kind: "panicking", mode: Mode::Test, settings: Vec::new() }
    }

    fn capabilities(&self) -> Capabilities {
        crate::pay::sandbox::capabilities()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), CheckRefused>> {
        ready(Err(CheckRefused("it always panics".to_owned()))).boxed()
    }

    fn prepare(&self, _: Arc<PaymentRequest>, _: Arc<Instrument>) -> BoxFuture<'_, Preparation> {
        panic!("prepare")
    }

    fn submit(
        &self,
        _: Arc<PaymentRequest>,
        instrument: Option<Arc<Instrument>>,
        _: Option<RecoveryNote>,
    ) -> BoxFuture<'_, Answer> {
        assert!(!self.at_once, "at once");
        async move { panic!("later, with {}", instrument.is_some()) }.boxed()
    }

    fn resolve(&self, _: Arc<PaymentRequest>, _: Option<RecoveryNote>) -> BoxFuture<'_, Resolution> {
        panic!("resolve")
    }
}

#[tokio::test]
async fn a_connector_that_panics_leaves_the_outcome_unknown_and_the_server_running() {
    for at_once in [true, false] {
        let registry = Registry::sandbox();
        registry.insert("Broken", Arc::new(Panicking { at_once })).unwrap();
        let connector = registry.find("Broken").unwrap();
        let (payment_request, instrument) = (Arc::new(charge()), Arc::new(card(None, None)));
        let asked = tokio::spawn({
            let (connector, payment_request) = (Arc::clone(&connector), Arc::clone(&payment_request));
            async move { submit(&*connector, payment_request, Some(instrument), None).await }
        });
        assert!(matches!(asked.await.unwrap(), Answer::Unknown { reason, .. } if reason == "the connector panicked"));
        let prepared = ask(&*connector, Ask::Prepare, Arc::clone(&payment_request), Arc::new(card(None, None))).await;
        assert!(matches!(prepared, Reply::Panicked), "{prepared:?}");
        assert!(matches!(resolve(&*connector, payment_request, None).await, Resolution::CannotTell));
    }
}

#[tokio::test]
async fn the_sandbox_connector_says_what_the_pure_function_says() {
    let sandbox = Registry::sandbox().find(registry::DEFAULT_NAME).unwrap();
    assert_eq!(sandbox.check().await, Ok(()));
    assert_eq!(sandbox.capabilities(), crate::pay::sandbox::capabilities());
    let (payment_request, instrument) = (Arc::new(tokenize()), Arc::new(card(None, None)));
    let prepared = ask(&*sandbox, Ask::Prepare, Arc::clone(&payment_request), Arc::clone(&instrument)).await;
    assert!(matches!(prepared, Reply::Prepared(Preparation::Nothing)));
    let token = |answer| match answer {
        Answer::Approved(Approval { token: Some(token), .. }) => token.expose().to_owned(),
        other => panic!("{other:?}"),
    };
    let pure = token(crate::pay::sandbox::answer(&payment_request, &instrument));
    for _ in 0..2 {
        let answer = submit(&*sandbox, Arc::clone(&payment_request), Some(Arc::clone(&instrument)), None).await;
        assert_eq!(token(answer), pure);
    }
    // After a restart.
    assert!(matches!(submit(&*sandbox, Arc::clone(&payment_request), None, None).await, Answer::Unknown { .. }));
    assert!(matches!(resolve(&*sandbox, Arc::clone(&payment_request), None).await, Resolution::CannotTell));
}
