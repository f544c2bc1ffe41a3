//! Finding out what became of a payment by its transaction id, which every object of ours bears in its metadata.
//!
//! Shape:   [`Stripe::find_out`] lists what was made since the preparation: first the minutes in which the
//!          payment must have been sent, then the rest, each to its end.
//! Units:   Unix seconds of Stripe's clock; ours is not asked.
//! Limits:  [`PAGES_MAX`] pages of [`PAGE`] objects and [`PAGE_BYTES_MAX`]. Before the second page and beyond the last one
//!          Stripe's search is asked, which lags behind by a minute or an hour: what it finds is there, and what it does not
//!          find may be there too.
//! Errors:  "not found" is said only after the whole list, and only if this account knows what the payment was to be
//!          made with: the credentials may be another account's by now. Else it cannot be told.
//! Sources: Stripe, "List all PaymentIntents", "Pagination", "Search"; spec/connectors.md, section 4.6.

use super::answer::{self, Charged, Found, Page};
use super::note::StripeNote;
use super::{Stripe, request};
use crate::http::GatewayReply;
use crate::pay::gateway::{Answer, Operation, PaymentRequest, Resolution};

#[cfg(test)]
mod tests;

/// How many objects are asked for at once: the most that Stripe gives.
const PAGE: &str = "100";
/// How many bytes of a page are read: a hundred objects with full metadata (50 values of 500 characters) fit.
pub(super) const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many pages a look-up reads. Our choice: as many as one question has time for.
const PAGES_MAX: usize = 100;
/// How long after its preparation a payment is sent, in seconds. Our choice: a call gives all of it a minute and a half at
/// most; what a recovery sends later is in the rest.
const SENT_WITHIN: i64 = 600;
/// How far the clocks of Stripe's own servers may differ, in seconds. Our choice.
const CLOCKS_DIFFER: i64 = 60;

/// What was found, and whether all there is was looked through.
struct LookUpResult {
    found: Vec<Found>,
    whole: bool,
}

/// What a look-up may still do.
struct LookUpBudget {
    pages: usize,
    searches: usize,
}

/// A part of a list, by when its objects were made.
#[derive(Clone, Copy)]
struct ListWindow {
    from: i64,
    until: Option<i64>,
}

impl Stripe {
    /// What became of a payment or a customer.
    pub(super) async fn find_out(&self, payment_request: &PaymentRequest, note: &StripeNote) -> Resolution {
        let looked = match self.look_up(payment_request, note).await {
            Ok(looked) => looked,
            Err(answer) => return Resolution::Answer(unclear(answer)),
        };
        // There is one at most while the idempotency key lives; if ever there are more, the one that took money counts.
        match looked.found.into_iter().min_by_key(|found| !found.paid) {
            Some(Found { says: Charged::Answer(answer), .. }) => Resolution::Answer(answer),
            Some(Found { says: Charged::NeedsPayer(id), .. }) => {
                Resolution::Answer(self.cancel(payment_request, id).await)
            }
            None if !looked.whole => Resolution::CannotTell,
            None => self.not_found(payment_request, note).await,
        }
    }

    /// The objects of this attempt.
    async fn look_up(&self, payment_request: &PaymentRequest, note: &StripeNote) -> Result<LookUpResult, Answer> {
        let from = note.since.saturating_sub(CLOCKS_DIFFER).max(0);
        let near = ListWindow { from, until: Some(from.saturating_add(SENT_WITHIN)) };
        let rest = ListWindow { from: from.saturating_add(SENT_WITHIN + 1), until: None };
        let all = ListWindow { from, until: None };
        // 0: nobody knows when it began (`answer::told_at`), so that the whole list is one part.
        let windows = if note.since > 0 { &[near, rest][..] } else { &[all] };
        let mut left = LookUpBudget { pages: PAGES_MAX, searches: usize::from(is_charge(payment_request)) };
        for window in windows {
            let looked = self.look_through(payment_request, note, *window, &mut left).await?;
            if !looked.found.is_empty() {
                return Ok(looked);
            }
            // There is more than could be read: what a search finds counts, and finding nothing proves nothing.
            if !looked.whole {
                return Ok(LookUpResult { found: self.search(payment_request, note).await, whole: false });
            }
        }
        Ok(LookUpResult { found: Vec::new(), whole: true })
    }

    /// Turns the pages of a part of the list, the newest first. One that took money is enough. Where there is more than a
    /// page a search is asked first: a busy account has more pages than a question has time for, and each question begins
    /// with the first one.
    async fn look_through(
        &self,
        payment_request: &PaymentRequest,
        note: &StripeNote,
        window: ListWindow,
        left: &mut LookUpBudget,
    ) -> Result<LookUpResult, Answer> {
        let path = list(payment_request);
        let (from, until) = (window.from.to_string(), window.until.map(|until| until.to_string()));
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        while left.pages > 0 {
            left.pages -= 1;
            let mut query = vec![("created[gte]", from.as_str()), ("limit", PAGE)];
            query.extend(until.as_deref().map(|until| ("created[lte]", until)));
            // What the payment was asked for with; a customer of ours is new.
            let customer = note.customer.as_deref().filter(|_| is_charge(payment_request));
            query.extend(customer.map(|customer| ("customer", customer)));
            query.extend(after.as_deref().map(|id| ("starting_after", id)));
            let reply = self.get(payment_request, path, &query).await?;
            let page = self.page(&reply, payment_request, note)?;
            found.extend(page.found);
            match page.more_after {
                Some(id) if !found.iter().any(|found| found.paid) => {
                    if left.searches > 0 {
                        left.searches -= 1;
                        let mut searched = self.search(payment_request, note).await;
                        // What it says may be of before: only that money was taken cannot be taken back so.
                        searched.retain(|found| found.paid);
                        if !searched.is_empty() {
                            return Ok(LookUpResult { found: searched, whole: false });
                        }
                    }
                    after = Some(id);
                }
                _ => return Ok(LookUpResult { found, whole: true }),
            }
        }
        tracing::warn!(
            connector = payment_request.connector,
            payment = payment_request.transaction_id,
            "Stripe account has too many newer payments; not looking further for this one"
        );
        Ok(LookUpResult { found, whole: false })
    }

    /// What Stripe's search finds; nothing, if it cannot be had.
    async fn search(&self, payment_request: &PaymentRequest, note: &StripeNote) -> Vec<Found> {
        // An id of ours has letters and digits; another one could be a query of its own.
        if !payment_request.transaction_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Vec::new();
        }
        let query = format!("metadata['{}']:'{}'", request::PAY_SID, payment_request.transaction_id);
        let path = format!("{}/search", list(payment_request));
        match self.get(payment_request, &path, &[("query", &query)]).await {
            Ok(reply) => self.page(&reply, payment_request, note).map(|page| page.found).unwrap_or_default(),
            // The list decides; not every account has a search (spec/connectors.md 4.6).
            Err(_) => Vec::new(),
        }
    }

    fn page(&self, reply: &GatewayReply, payment_request: &PaymentRequest, note: &StripeNote) -> Result<Page, Answer> {
        match is_charge(payment_request) {
            true => answer::payments(reply, payment_request, self.description.mode),
            false => answer::customers(reply, payment_request, self.description.mode, note),
        }
    }

    /// Nothing bears the transaction id: not here, at least. The account may be another one than the payment was sent to.
    async fn not_found(&self, payment_request: &PaymentRequest, note: &StripeNote) -> Resolution {
        let is_token = ["tok_", "btok_"].iter().any(|prefix| note.id.starts_with(prefix));
        let kind = if is_token { "tokens" } else { "payment_methods" };
        match self.get(payment_request, &format!("/v1/{kind}/{}", note.id), &[]).await {
            Ok(reply) if answer::is_object(&reply, &note.id) => Resolution::NotFound,
            Ok(reply) if reply.status == 404 => {
                tracing::warn!(
                    connector = payment_request.connector,
                    payment = payment_request.transaction_id,
                    "Stripe account does not know what the payment was to be made with; the connector may have been authorized \
                     for another account"
                );
                Resolution::CannotTell
            }
            Ok(reply) => Resolution::Answer(Answer::unknown(format!("HTTP status {}", reply.status))),
            Err(answer) => Resolution::Answer(unclear(answer)),
        }
    }
}

const fn is_charge(payment_request: &PaymentRequest) -> bool {
    matches!(payment_request.operation, Operation::Charge(..))
}

/// Where the objects of this attempt are listed.
const fn list(payment_request: &PaymentRequest) -> &'static str {
    if is_charge(payment_request) { "/v1/payment_intents" } else { "/v1/customers" }
}

/// A look-up that was refused or not answered says nothing about the payment.
fn unclear(answer: Answer) -> Answer {
    match answer {
        Answer::Refused(..) | Answer::Declined(_) | Answer::Approved(_) => Answer::unknown("the look-up was refused"),
        answer @ (Answer::NotSent { .. } | Answer::Unknown { .. }) => answer,
    }
}
