//! A payment that is being looked for: once at a time.

use std::sync::Arc;

use super::services::PaymentServices;

/// A place among the searches; gives it up when dropped.
pub(super) struct Search {
    payments: Arc<PaymentServices>,
    sid: String,
}

impl Search {
    /// None: this payment is looked for already.
    pub(super) fn begin(payments: &Arc<PaymentServices>, sid: &str) -> Option<Self> {
        payments.searches.add(sid).then(|| Self { payments: Arc::clone(payments), sid: sid.to_owned() })
    }

    /// What is used to find its outcome out.
    pub(super) const fn payments(&self) -> &Arc<PaymentServices> {
        &self.payments
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.payments.searches.remove(&self.sid);
    }
}
