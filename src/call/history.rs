//! What is told of calls: a record each, kept for a while after the call's end.
//!
//! Shape:   the records; whoever writes one says what time it is. Numbers rise in the order in which calls began, so that a place
//!          in the list stays where it is while calls come and go.
//! Limits:  [`KEPT`] after the end, [`ENDED_MAX`] ended calls (the oldest go first), [`TEXT_MAX`] characters a name,
//!          [`PAYMENTS_MAX`] payments a call (the oldest go first).
//! Secrets: none: a stream's parameters and a payment's tokens are not kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeBounds;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::idempotency::IdempotencyCache;
use crate::flow::{LedBy, PaymentId};
use crate::form::{Form, Value};
use crate::media::Start;
use crate::pay::assisted::AgentError;

/// How long a call's record is kept after its end. Chosen freely: long enough for a day's questions; payments are kept
/// elsewhere.
pub const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// How many ended calls are kept, whatever their age: some megabytes.
pub const ENDED_MAX: usize = 10_000;

/// The longest text kept of a number or a name, in characters. SIP addresses are the longest there are; 255 is what
/// RFC 3261's implementations commonly take.
pub const TEXT_MAX: usize = 255;

/// How many payments of one call are kept. Chosen freely: a document that runs one `<Pay>` after the other for hours.
pub const PAYMENTS_MAX: usize = 100;

/// What is told of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the order in which calls began; never used twice.
    pub number: u64,
    /// Its id.
    pub sid: String,
    /// Who called, if the stream told.
    pub from: Option<String>,
    /// Who was called, if the stream told.
    pub to: Option<String>,
    /// `inbound`, unless the stream told otherwise.
    pub direction: String,
    /// The caller's name, if the stream told.
    pub caller_name: Option<String>,
    /// Who passed the call on, if the stream told.
    pub forwarded_from: Option<String>,
    /// When its first stream began.
    pub started: Timestamp,
    /// When something last happened to it.
    pub updated: Timestamp,
    /// When it ended; none while it is live.
    pub ended: Option<Timestamp>,
}

/// What is told of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// `PK` and 32 hex digits.
    pub sid: String,
    /// Who leads it.
    pub led_by: LedBy,
    /// When it began.
    pub created: Timestamp,
    /// When something was last told of it.
    pub updated: Timestamp,
    /// The fields that were last told of it, by name: masked, and without what is secret.
    pub state: BTreeMap<String, String>,
}

/// Why an agent's request about a payment is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum PaymentRefused {
    /// The call's machine says so.
    #[error(transparent)]
    Judged(AgentError),
    /// It was done, but what was known of the call has been deleted meanwhile.
    #[error("the payment was not found")]
    Deleted,
}

/// What an agent's request came to, as it is answered the next time, too.
pub(super) type PaymentAnswer = Result<Payment, PaymentRefused>;

/// A call, and what hangs on it.
#[derive(Debug)]
struct HistoryEntry {
    record: Record,
    payments: VecDeque<Payment>,
    // Shared: a request waits for its turn without the history's lock.
    idempotency_cache: Arc<IdempotencyCache<PaymentAnswer>>,
}

/// Why a record is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDeleted {
    /// There is none.
    #[error("there is no such call")]
    Unknown,
    /// Its call is live.
    #[error("the call is live")]
    Live,
}

/// The records.
#[derive(Debug, Default)]
pub struct History {
    entries: BTreeMap<u64, HistoryEntry>,
    numbers: BTreeMap<String, u64>,
    /// The ended ones, the longest ended first.
    ended: BTreeSet<(Timestamp, u64)>,
    last: u64,
}

impl History {
    /// A call's stream began. A call that ended and comes back with another stream is the same call.
    pub fn begin(&mut self, now: Timestamp, start: &Start) {
        self.forget(now);
        let told = |name: &str| start.custom_parameters.get(name).map(|text| text.chars().take(TEXT_MAX).collect());
        let number = self.numbers.get(&start.call_sid).copied();
        if let Some(HistoryEntry { record, .. }) = number.and_then(|number| self.entries.get_mut(&number)) {
            if let Some(ended) = record.ended.take() {
                self.ended.remove(&(ended, record.number));
            }
            record.updated = now;
            for (field, name) in [(&mut record.from, "From"), (&mut record.to, "To")] {
                // A second stream may tell less than the first.
                *field = told(name).or_else(|| field.take());
            }
            return;
        }
        self.last = self.last.saturating_add(1);
        let record = Record {
            number: self.last,
            sid: start.call_sid.clone(),
            from: told("From"),
            to: told("To"),
            direction: told("Direction").unwrap_or_else(|| "inbound".to_owned()),
            caller_name: told("CallerName"),
            forwarded_from: told("ForwardedFrom"),
            started: now,
            updated: now,
            ended: None,
        };
        self.numbers.insert(record.sid.clone(), self.last);
        let entry = HistoryEntry { record, payments: VecDeque::new(), idempotency_cache: Arc::default() };
        self.entries.insert(self.last, entry);
    }

    /// Something happened to a call.
    pub fn touch(&mut self, now: Timestamp, sid: &str) {
        if let Some(HistoryEntry { record, .. }) = self.find_mut(sid) {
            record.updated = now;
        }
    }

    /// A payment of a call went on.
    pub fn report(&mut self, now: Timestamp, sid: &str, payment: &PaymentId, told: &Form) {
        let Some(HistoryEntry { payments, .. }) = self.find_mut(sid) else { return };
        let state = told.iter().filter_map(|(name, value)| match value {
            Value::Plain(text) => Some((name.to_owned(), text.clone())),
            Value::Secret(_) => None,
        });
        let state = state.collect();
        if let Some(known) = payments.iter_mut().find(|known| known.sid == payment.sid) {
            known.updated = now;
            known.state = state;
            return;
        }
        if payments.len() >= PAYMENTS_MAX {
            payments.pop_front();
        }
        let PaymentId { sid, led_by } = payment.clone();
        payments.push_back(Payment { sid, led_by, created: now, updated: now, state });
    }

    /// The payments of a call, in the order in which they began; none: there is no such call.
    #[must_use]
    pub fn payments(&self, sid: &str) -> Option<impl Iterator<Item = &Payment>> {
        self.entry(sid).map(|entry| entry.payments.iter())
    }

    /// A payment of a call.
    #[must_use]
    pub fn payment(&self, sid: &str, payment_sid: &str) -> Option<&Payment> {
        self.entry(sid)?.payments.iter().find(|payment| payment.sid == payment_sid)
    }

    /// Where what agents ask of a call is done.
    #[must_use]
    pub(super) fn idempotency_cache(&self, sid: &str) -> Option<Arc<IdempotencyCache<PaymentAnswer>>> {
        self.entry(sid).map(|entry| Arc::clone(&entry.idempotency_cache))
    }

    /// A call ended. The second time nothing happens; then the answer is false.
    pub fn end(&mut self, now: Timestamp, sid: &str) -> bool {
        let mut ends = false;
        if let Some(HistoryEntry { record, .. }) = self.find_mut(sid)
            && record.ended.is_none()
        {
            ends = true;
            record.updated = now;
            record.ended = Some(now);
            let number = record.number;
            self.ended.insert((now, number));
        }
        self.forget(now);
        ends
    }

    /// Deletes the record of an ended call.
    ///
    /// # Errors
    /// When there is none, or its call is live.
    pub fn delete(&mut self, sid: &str) -> Result<(), NotDeleted> {
        let record = self.find(sid).ok_or(NotDeleted::Unknown)?;
        let (ended, number) = (record.ended.ok_or(NotDeleted::Live)?, record.number);
        self.ended.remove(&(ended, number));
        self.remove(number);
        Ok(())
    }

    /// The record of a call.
    #[must_use]
    pub fn find(&self, sid: &str) -> Option<&Record> {
        self.entry(sid).map(|entry| &entry.record)
    }

    /// The records with these numbers, from the one that began first.
    pub fn range(&self, numbers: impl RangeBounds<u64>) -> impl DoubleEndedIterator<Item = &Record> {
        self.entries.range(numbers).map(|(_, entry)| &entry.record)
    }

    /// Drops what is too old or too much.
    pub fn forget(&mut self, now: Timestamp) {
        while let Some((ended, number)) = self.ended.first().copied() {
            if self.ended.len() <= ENDED_MAX && now.duration_since(ended) <= KEPT {
                break;
            }
            self.ended.remove(&(ended, number));
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u64) {
        if let Some(HistoryEntry { record, .. }) = self.entries.remove(&number) {
            self.numbers.remove(&record.sid);
        }
    }

    fn entry(&self, sid: &str) -> Option<&HistoryEntry> {
        self.numbers.get(sid).and_then(|number| self.entries.get(number))
    }

    fn find_mut(&mut self, sid: &str) -> Option<&mut HistoryEntry> {
        self.numbers.get(sid).and_then(|number| self.entries.get_mut(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn start(sid: &str, parameters: &[(&str, &str)]) -> Start {
        Start {
            stream_sid: format!("MZ{sid}"),
            call_sid: sid.to_owned(),
            account_sid: None,
            custom_parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn sids(history: &History) -> Vec<&str> {
        history.range(..).map(|record| record.sid.as_str()).collect()
    }

    #[test]
    fn a_call_is_told_of_until_a_day_after_its_end() {
        let mut history = History::default();
        history.begin(at(0), &start("CA1", &[("From", "+1555"), ("Card", "4242")]));
        history.begin(at(1), &start("CA2", &[]));
        history.end(at(10), "CA1");
        history.end(at(20), "CA1");
        let record = history.find("CA1").unwrap();
        assert_eq!((record.started, record.ended), (at(0), Some(at(10))), "the first end counts");
        assert_eq!((record.from.as_deref(), record.direction.as_str()), (Some("+1555"), "inbound"));
        assert!(!format!("{history:?}").contains("4242"));
        history.forget(at(10) + KEPT);
        assert_eq!(sids(&history), ["CA1", "CA2"]);
        history.forget(at(11) + KEPT);
        assert_eq!(sids(&history), ["CA2"], "a live call is never forgotten");
        assert!(history.find("CA1").is_none());
    }

    #[test]
    fn of_too_many_ended_calls_those_that_ended_first_are_forgotten() {
        let mut history = History::default();
        for number in 0..=ENDED_MAX {
            history.begin(at(0), &start(&format!("CA{number}"), &[]));
        }
        history.begin(at(0), &start("live", &[]));
        for number in (0..=ENDED_MAX).rev() {
            history.end(at(1 + i64::try_from(ENDED_MAX - number).unwrap()), &format!("CA{number}"));
        }
        assert!(history.find(&format!("CA{ENDED_MAX}")).is_none());
        assert!(history.find("CA0").is_some() && history.find("live").is_some());
        assert_eq!(history.range(..).count(), ENDED_MAX + 1);
    }

    #[test]
    fn a_call_that_comes_back_with_another_stream_is_the_same_call() {
        let mut history = History::default();
        history.begin(at(0), &start("CA1", &[("From", "+1555")]));
        history.begin(at(1), &start("CA2", &[]));
        history.end(at(10), "CA1");
        history.begin(at(20), &start("CA1", &[("To", "+1666")]));
        let record = history.find("CA1").unwrap();
        assert_eq!((record.number, record.started, record.ended), (1, at(0), None));
        assert_eq!((record.from.as_deref(), record.to.as_deref()), (Some("+1555"), Some("+1666")));
        history.forget(at(11) + KEPT);
        assert_eq!(sids(&history), ["CA1", "CA2"]);
    }

    #[test]
    fn only_the_record_of_an_ended_call_can_be_deleted() {
        let mut history = History::default();
        history.begin(at(0), &start("CA1", &[]));
        assert_eq!(history.delete("CA1"), Err(NotDeleted::Live));
        history.end(at(1), "CA1");
        assert_eq!(history.delete("CA1"), Ok(()));
        assert_eq!(history.delete("CA1"), Err(NotDeleted::Unknown));
        history.begin(at(2), &start("CA1", &[]));
        assert_eq!(history.find("CA1").unwrap().number, 2, "a number is never used twice");
    }

    #[test]
    fn an_endless_name_is_cut() {
        let mut history = History::default();
        history.begin(at(0), &start("CA1", &[("CallerName", &"ß".repeat(4000))]));
        assert_eq!(history.find("CA1").unwrap().caller_name.as_ref().unwrap().chars().count(), TEXT_MAX);
    }

    fn told(fields: &[(&'static str, Value)]) -> Form {
        let mut form = Form::new();
        for (name, value) in fields {
            form.set(*name, value.clone());
        }
        form
    }

    fn payment(number: usize) -> PaymentId {
        PaymentId { sid: format!("PK{number:032x}"), led_by: LedBy::Agent }
    }

    #[test]
    fn a_payment_is_told_of_as_it_last_stood_without_its_token() {
        let mut history = History::default();
        history.begin(at(0), &start("CA1", &[]));
        history.report(at(1), "CA1", &payment(1), &told(&[("For", "payment-card-number".into())]));
        let token = Secret::new("tok_1".to_owned());
        history.report(
            at(5),
            "CA1",
            &payment(1),
            &told(&[("Result", "success".into()), ("PaymentToken", token.into())]),
        );
        history.end(at(9), "CA1");
        let known = history.payment("CA1", &payment(1).sid).unwrap();
        assert_eq!((known.created, known.updated), (at(1), at(5)));
        assert_eq!(known.state, BTreeMap::from([("Result".to_owned(), "success".to_owned())]));
        assert!(history.payment("CA1", &payment(2).sid).is_none() && history.payment("CA2", "PK1").is_none());
    }

    #[test]
    fn of_too_many_payments_the_first_are_forgotten() {
        let mut history = History::default();
        history.begin(at(0), &start("CA1", &[]));
        for number in 0..=PAYMENTS_MAX {
            history.report(at(1), "CA1", &payment(number), &Form::new());
        }
        let kept: Vec<&str> = history.payments("CA1").unwrap().map(|payment| payment.sid.as_str()).collect();
        assert_eq!((kept.len(), kept[0]), (PAYMENTS_MAX, payment(1).sid.as_str()));
    }
}
