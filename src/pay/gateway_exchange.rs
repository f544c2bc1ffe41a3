//! From the last field to the outcome: one payment's way through the gateway, for every kind of session.
//!
//! Shape:   [`GatewayExchange::begin`], then replies, timeouts and interruptions in, a [`ExchangeStep`] out.
//! Units:   `CallTime`.
//! Errors:  none; whatever goes wrong is an [`Ending`].
//! Secrets: holds what pays until the outcome is known.

use std::sync::Arc;

use super::captured::Captured;
use super::gateway::{Answer, Capabilities, Instrument, PaymentRequest};
use super::outcome::{Ending, KeyedKnown};
use super::settings::Settings;
use super::step::{PayErrorCode, PayResult};
use super::submission::{Ask, Question, Reply, Submission, SubmissionStep, Verdict};
use super::surroundings::Surroundings;
use crate::time::CallTime;

/// A payment that the gateway is being asked about.
#[derive(Debug)]
pub(super) struct GatewayExchange {
    submission: Submission,
    instrument: Arc<Instrument>,
    payment_request: Arc<PaymentRequest>,
    interrupted: Option<PayResult>,
    /// Whether a submission may have reached the gateway.
    was_sent: bool,
    /// Whether one is being asked for.
    is_submitting: bool,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum ExchangeStep {
    /// Nothing: the gateway has yet to answer.
    Waiting,
    /// Ask the gateway.
    Asking(Question),
    /// The outcome is known, or known to be unknown.
    Over(Box<Ending>),
}

impl GatewayExchange {
    /// Begins with what was captured. Reached once a session: nothing leads back from here.
    ///
    /// # Errors
    /// The ending of a payment that must not reach the gateway.
    pub(super) fn begin(
        now: CallTime,
        captured: Captured,
        settings: &Settings,
        around: &Surroundings,
        limits: Option<Capabilities>,
    ) -> Result<(Self, Question), Box<Ending>> {
        // Neither is missing: every field of the plan was captured, and no session begins without its connector.
        let (Some(instrument), Some(limits)) = (captured.into_instrument(settings), limits) else {
            return Err(Box::new(Ending::broken_down("a field is missing")));
        };
        // Where the platform does not refuse at entry, this is the only check of the number, and it comes before anything
        // leaves.
        if !instrument.is_among(limits.accepted_numbers) {
            let error = "in test mode only the documented test numbers pass; nothing was sent";
            let code = PayErrorCode::NotATestNumber;
            return Err(Box::new(Ending::fault(PayResult::PaymentConnectorError, code, error)));
        }
        let payment_request = Arc::new(PaymentRequest {
            transaction_id: around.transaction_id.clone(),
            call_sid: around.call_sid.clone(),
            connector: settings.connector.clone(),
            operation: settings.operation,
            currency: settings.currency,
            token_type: settings.token_type,
            description: settings.description.clone(),
            parameters: settings.parameters.clone(),
            metadata: settings.metadata.clone(),
        });
        let (submission, question) = Submission::start_after(now, limits, around.asked);
        let exchange = Self {
            submission,
            // Shared with the shell's questions and never copied: an instrument has no `Clone`.
            instrument: Arc::new(instrument),
            payment_request,
            interrupted: None,
            was_sent: false,
            is_submitting: false,
        };
        Ok((exchange, question))
    }

    /// What a question is about.
    pub(super) fn subject(&self) -> (Arc<PaymentRequest>, Arc<Instrument>) {
        (Arc::clone(&self.payment_request), Arc::clone(&self.instrument))
    }

    /// The gateway answered.
    pub(super) fn handle_reply(&mut self, now: CallTime, number: u16, reply: Reply) -> ExchangeStep {
        // It did not leave, so that the next question must not count it as sent. A late answer says nothing of what is on its way
        // now: it may be one to an earlier payment of the call.
        if self.submission.awaits(number) && matches!(reply, Reply::Submitted(Answer::NotSent { .. })) {
            self.is_submitting = false;
        }
        let next = self.submission.handle_reply(now, number, reply);
        self.settled(next)
    }

    /// [`Self::poll_timeout`]'s moment has come.
    pub(super) fn handle_timeout(&mut self, now: CallTime) -> ExchangeStep {
        let next = self.submission.handle_timeout(now);
        self.settled(next)
    }

    /// The caller or the agent ends it, unless the outcome is already on its way.
    pub(super) fn handle_interrupt(&mut self, result: PayResult) -> ExchangeStep {
        // The first one counts: a hang-up after a star is told as the star.
        self.interrupted.get_or_insert(result);
        let next = self.submission.handle_stop();
        self.settled(next)
    }

    /// Until when it waits.
    pub(super) fn poll_timeout(&self) -> Option<CallTime> {
        self.submission.poll_timeout()
    }

    /// Whether somebody wants it ended.
    pub(super) const fn is_interrupted(&self) -> bool {
        self.interrupted.is_some()
    }

    fn settled(&mut self, next: SubmissionStep) -> ExchangeStep {
        match next {
            SubmissionStep::Wait => ExchangeStep::Waiting,
            SubmissionStep::Ask(question) => {
                // The one before was answered with something, or given up.
                self.was_sent |= self.is_submitting;
                self.is_submitting = matches!(question.what, Ask::Submit(_));
                ExchangeStep::Asking(question)
            }
            SubmissionStep::Over(verdict) => {
                // What could not be written down never left.
                let left = self.is_submitting && !matches!(verdict, Verdict::NotWritten);
                let was_sent = self.was_sent || left;
                let operation = self.payment_request.operation;
                let keyed = KeyedKnown::Known(&self.instrument);
                let ending = Ending::of_verdict(verdict, self.interrupted, operation, &keyed);
                ExchangeStep::Over(Box::new(Ending { was_sent, ..ending }))
            }
        }
    }
}
