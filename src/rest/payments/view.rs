//! A payment, as the client libraries parse it, and as it stands.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::super::ROOT;
use super::super::calls::rfc_2822;
use crate::call::history::Payment;
use crate::flow::LedBy;

/// A payment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub(in crate::rest) struct PaymentView {
    /// The account.
    account_sid: String,
    /// The call.
    call_sid: String,
    /// RFC 2822, UTC.
    date_created: String,
    /// RFC 2822, UTC.
    date_updated: String,
    /// The payment's id: `PK` and 32 hex digits.
    sid: String,
    /// Where this payment is.
    uri: String,
}

/// A payment as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct PaymentState {
    #[serde(flatten)]
    payment: PaymentView,
    /// Who leads it.
    led_by: Leader,
    /// The fields of its last status callback, by the names they have there: masked, and without tokens.
    state: BTreeMap<String, String>,
}

/// Who leads a payment.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = LedBy)]
enum Leader {
    /// An agent, through this API.
    Agent,
    /// A `<Pay>` of a document.
    Document,
}

/// The payments of a call, in the order in which they began: one page.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct PaymentPage {
    /// The place in the list of the last payment.
    end: usize,
    /// Where this page is.
    first_page_uri: String,
    /// Always null.
    #[schema(required)]
    next_page_uri: Option<String>,
    /// Always 0.
    page: usize,
    /// How many payments there are.
    page_size: usize,
    /// The payments.
    payments: Vec<PaymentState>,
    /// Always null.
    #[schema(required)]
    previous_page_uri: Option<String>,
    /// Always 0.
    start: usize,
    /// Where this page is.
    uri: String,
}

impl PaymentView {
    /// What is told of a payment when it is led.
    pub(super) fn of(account_sid: &str, call_sid: &str, payment: &Payment) -> Self {
        // The machine's own word goes before the clock of the shell: callbacks say the same.
        let told = |name: &str| payment.state.get(name).cloned();
        Self {
            account_sid: account_sid.to_owned(),
            call_sid: call_sid.to_owned(),
            date_created: told("DateCreated").unwrap_or_else(|| rfc_2822(payment.created)),
            date_updated: told("DateUpdated").unwrap_or_else(|| rfc_2822(payment.updated)),
            sid: payment.sid.clone(),
            uri: format!("{ROOT}/Accounts/{account_sid}/Calls/{call_sid}/Payments/{}.json", payment.sid),
        }
    }
}

impl PaymentState {
    /// How a payment stands.
    pub(super) fn of(account_sid: &str, call_sid: &str, payment: Payment) -> Self {
        let led_by = match payment.led_by {
            LedBy::Agent => Leader::Agent,
            LedBy::Document => Leader::Document,
        };
        Self { payment: PaymentView::of(account_sid, call_sid, &payment), led_by, state: payment.state }
    }
}

impl PaymentPage {
    /// The payments of a call.
    pub(super) fn of(account_sid: &str, call_sid: &str, payments: Vec<Payment>) -> Self {
        let payments: Vec<PaymentState> =
            payments.into_iter().map(|payment| PaymentState::of(account_sid, call_sid, payment)).collect();
        let uri = format!("{ROOT}/Accounts/{account_sid}/Calls/{call_sid}/Payments.json");
        Self {
            end: payments.len().saturating_sub(1),
            first_page_uri: uri.clone(),
            next_page_uri: None,
            page: 0,
            page_size: payments.len(),
            payments,
            previous_page_uri: None,
            start: 0,
            uri,
        }
    }
}
