//! Asking the gateway, and asking again: the one policy for every connector.
//!
//! Shape:   [`Submission::start`], then answers and timeouts in, questions out, one [`Verdict`] at the end. Sans-I/O; it
//!          also runs without a call, which recovery after a restart needs.
//! Units:   `CallTime`.
//! Limits:  each question, all repeats and the whole are bounded by the connector's [`Capabilities`].
//! Errors:  none. What may have happened stays [`Verdict::Unknown`] and is never asked for a second time under another id.
//! Sources: spec/connectors.md, section 19.4; Twilio's Generic connector for 10 s and 5 repeats.

use std::time::Duration;

use super::gateway::{Answer, Approval, Capabilities, Denial, Preparation, RecoveryNote, Resolution};
use super::step::PayErrorCode;
use crate::time::CallTime;

/// The first wait before a repeat; each further one is twice as long.
const BACK_OFF: Duration = Duration::from_millis(500);

/// The longest wait before a repeat, unless the gateway names one.
const BACK_OFF_MAX: Duration = Duration::from_secs(8);

/// A question to the connector. A new one abandons the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its number, higher than that of every earlier one of the call; an answer to an earlier one is ignored.
    pub number: u16,
    /// What is asked.
    pub what: Ask,
}

/// What a connector is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Prepare; moves no money.
    Prepare,
    /// Do it.
    Submit(Option<RecoveryNote>),
    /// Say what became of it; moves no money.
    Resolve(Option<RecoveryNote>),
}

/// A connector's answer to a question.
#[derive(Debug)]
pub enum Reply {
    /// To [`Ask::Prepare`].
    Prepared(Preparation),
    /// To [`Ask::Submit`].
    Submitted(Answer),
    /// To [`Ask::Resolve`].
    Resolved(Resolution),
    /// What the question could set off was not written down: the connector was not asked, and is not to be asked again.
    NotWritten,
    /// The connector broke down.
    Panicked,
}

/// How a submission ended.
#[derive(Debug)]
pub enum Verdict {
    /// Yes.
    Approved(Approval),
    /// No, because of the card or account.
    Declined(Denial),
    /// No, for another reason.
    Refused(PayErrorCode, Denial),
    /// The gateway was never reached; nothing happened.
    Unavailable,
    /// Nobody knows.
    Unknown,
    /// The connector broke down before anything was sent.
    BrokenDown,
    /// It could not be written down, and nothing was sent.
    NotWritten,
    /// Stopped before anything was sent.
    Stopped,
}

/// One payment's way through the gateway.
#[derive(Debug)]
pub struct Submission {
    limits: Capabilities,
    started: CallTime,
    stage: SubmissionStage,
    note: Option<RecoveryNote>,
    asked: u16,
    repeats: u8,
    /// When a submission last left whose outcome is not known.
    doubt_since: Option<CallTime>,
    /// Whether nothing more is to be sent but what finds out about a doubt.
    stopping: bool,
}

#[derive(Debug)]
enum SubmissionStage {
    Preparing { until: CallTime },
    Submitting { until: CallTime },
    Resolving { until: CallTime },
    Pausing { until: CallTime, then: NextQuestion },
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextQuestion {
    Prepare,
    Submit,
    Resolve,
}

/// What to do after an input.
#[derive(Debug)]
pub enum SubmissionStep {
    /// Nothing yet; the deadline says until when.
    Wait,
    /// Ask the connector.
    Ask(Question),
    /// It is over.
    Over(Verdict),
}

impl Submission {
    /// Begins: the first question is always the preparation.
    #[must_use]
    pub fn start(now: CallTime, limits: Capabilities) -> (Self, Question) {
        Self::start_after(now, limits, 0)
    }

    /// Begins after `asked` questions of earlier payments, whose late answers are not for this one.
    #[must_use]
    pub fn start_after(now: CallTime, limits: Capabilities, asked: u16) -> (Self, Question) {
        let mut submission = Self {
            limits,
            started: now,
            stage: SubmissionStage::Over,
            note: None,
            asked,
            repeats: 0,
            doubt_since: None,
            stopping: false,
        };
        let question = submission.ask(now, NextQuestion::Prepare);
        (submission, question)
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<CallTime> {
        match self.stage {
            SubmissionStage::Preparing { until }
            | SubmissionStage::Submitting { until }
            | SubmissionStage::Resolving { until }
            | SubmissionStage::Pausing { until, .. } => Some(until),
            SubmissionStage::Over => None,
        }
    }

    /// Stops it if nothing can have been sent; else it goes on until its outcome is known, and not a step further: a
    /// request that turns out not to have left is not repeated.
    pub fn handle_stop(&mut self) -> SubmissionStep {
        self.stopping = true;
        let unsent = match self.stage {
            // No submission is on its way then; only an earlier doubt keeps it going.
            SubmissionStage::Preparing { .. } | SubmissionStage::Pausing { .. } => self.doubt_since.is_none(),
            SubmissionStage::Submitting { .. } | SubmissionStage::Resolving { .. } | SubmissionStage::Over => false,
        };
        if unsent { self.over(Verdict::Stopped) } else { SubmissionStep::Wait }
    }

    /// Whether question `number` is the one whose answer is waited for.
    #[must_use]
    pub const fn awaits(&self, number: u16) -> bool {
        self.asked == number
    }

    /// Takes an answer to question `number`.
    pub fn handle_reply(&mut self, now: CallTime, number: u16, reply: Reply) -> SubmissionStep {
        // Numbers go on through all payments of a call, so that a late answer to an earlier payment is not taken for this
        // one's.
        if !self.awaits(number) {
            return SubmissionStep::Wait;
        }
        match (&self.stage, reply) {
            (SubmissionStage::Preparing { .. }, Reply::Prepared(preparation)) => self.prepared(now, preparation),
            // `prepare` moves no money, so that nothing is in doubt.
            (SubmissionStage::Preparing { .. }, Reply::Panicked) => self.over(Verdict::BrokenDown),
            (SubmissionStage::Preparing { .. }, Reply::NotWritten) => self.not_written(now),
            (SubmissionStage::Submitting { .. }, Reply::NotWritten) => self.not_written(now),
            (SubmissionStage::Submitting { .. }, Reply::Submitted(answer)) => self.submitted(now, answer),
            // How far it came, nobody knows.
            (SubmissionStage::Submitting { .. }, Reply::Panicked) => self.in_doubt(now, None),
            (SubmissionStage::Resolving { .. }, Reply::Resolved(resolution)) => self.resolved(now, resolution),
            (SubmissionStage::Resolving { .. }, Reply::Panicked) => self.over(Verdict::Unknown),
            // An answer to a question that was given up, or of the wrong kind: the deadline goes on.
            (
                SubmissionStage::Preparing { .. }
                | SubmissionStage::Submitting { .. }
                | SubmissionStage::Resolving { .. }
                | SubmissionStage::Pausing { .. }
                | SubmissionStage::Over,
                Reply::Prepared(_) | Reply::Submitted(_) | Reply::Resolved(_) | Reply::NotWritten | Reply::Panicked,
            ) => SubmissionStep::Wait,
        }
    }

    /// Takes note that the deadline has passed.
    pub fn handle_timeout(&mut self, now: CallTime) -> SubmissionStep {
        match self.stage {
            // Preparing moves no money: without an answer it may simply be asked for again.
            SubmissionStage::Preparing { .. } => self.not_sent(now, NextQuestion::Prepare, None),
            // It has had its time; a repeat need not wait.
            SubmissionStage::Submitting { .. } => {
                self.doubt_since = Some(now);
                self.again_after(now, Duration::ZERO)
            }
            SubmissionStage::Resolving { .. } => self.resolve_later(now, None),
            SubmissionStage::Pausing { then, .. } => SubmissionStep::Ask(self.ask(now, then)),
            SubmissionStage::Over => SubmissionStep::Wait,
        }
    }

    fn prepared(&mut self, now: CallTime, preparation: Preparation) -> SubmissionStep {
        match preparation {
            Preparation::Nothing => SubmissionStep::Ask(self.ask(now, NextQuestion::Submit)),
            Preparation::Note(note) => {
                self.note = Some(note);
                SubmissionStep::Ask(self.ask(now, NextQuestion::Submit))
            }
            Preparation::Answered(Answer::NotSent { retry_after, .. }) => {
                self.not_sent(now, NextQuestion::Prepare, retry_after)
            }
            // It moves no money, so not knowing is as good as not sent.
            Preparation::Answered(Answer::Unknown { retry_after, .. }) => {
                self.not_sent(now, NextQuestion::Prepare, retry_after)
            }
            // Declined or refused before any submission: there is no doubt yet (spec/connectors.md 19.2).
            Preparation::Answered(answer) => self.submitted(now, answer),
        }
    }

    fn submitted(&mut self, now: CallTime, answer: Answer) -> SubmissionStep {
        let settled = self.doubt_since.is_none() || self.limits.idempotency.settles(&answer);
        match answer {
            Answer::Approved(approval) => self.over(Verdict::Approved(approval)),
            // "Duplicate", say, or a key that no longer counts: that is a no to this request, and says nothing of the one
            // that is in doubt. Another repeat would bring the same.
            Answer::Declined(_) | Answer::Refused(..) if !settled => self.give_up(now),
            Answer::Declined(denial) => self.over(Verdict::Declined(denial)),
            Answer::Refused(code, denial) => self.over(Verdict::Refused(code, denial)),
            Answer::NotSent { retry_after, .. } => self.not_sent(now, NextQuestion::Submit, retry_after),
            Answer::Unknown { retry_after, .. } => self.in_doubt(now, retry_after),
        }
    }

    /// Nothing more may leave; an earlier request may have done something.
    fn not_written(&mut self, now: CallTime) -> SubmissionStep {
        if self.doubt_since.is_none() { self.over(Verdict::NotWritten) } else { self.give_up(now) }
    }

    /// This one request did nothing; an earlier one may have.
    fn not_sent(&mut self, now: CallTime, next: NextQuestion, retry_after: Option<Duration>) -> SubmissionStep {
        // Whoever interrupted must not be charged by a repeat.
        if self.stopping && self.doubt_since.is_none() {
            return self.over(Verdict::Stopped);
        }
        // A wait that the gateway names is kept, however long it is: `overall` bounds it.
        let wait = retry_after.unwrap_or_else(|| self.back_off());
        if self.may_repeat(now + wait) {
            return self.pause(now, wait, next);
        }
        self.give_up(now)
    }

    /// A submission left and nobody knows what became of it.
    fn in_doubt(&mut self, now: CallTime, retry_after: Option<Duration>) -> SubmissionStep {
        // Later than the request left, so that `NotFound` is believed later rather than too early.
        self.doubt_since = Some(now);
        let wait = retry_after.unwrap_or_else(|| self.back_off());
        self.again_after(now, wait)
    }

    fn again_after(&mut self, now: CallTime, wait: Duration) -> SubmissionStep {
        if self.limits.idempotency.allows_repeats() && self.may_repeat(now + wait) {
            return self.pause(now, wait, NextQuestion::Submit);
        }
        self.give_up(now)
    }

    fn resolved(&mut self, now: CallTime, resolution: Resolution) -> SubmissionStep {
        match resolution {
            Resolution::Answer(Answer::Approved(approval)) => self.over(Verdict::Approved(approval)),
            Resolution::Answer(Answer::Declined(denial)) => self.over(Verdict::Declined(denial)),
            Resolution::Answer(Answer::Refused(code, denial)) => self.over(Verdict::Refused(code, denial)),
            Resolution::Answer(Answer::NotSent { retry_after, .. } | Answer::Unknown { retry_after, .. }) => {
                self.resolve_later(now, retry_after)
            }
            // To be trusted only once the gateway cannot still be at work on it.
            Resolution::NotFound if self.doubt_since.is_none_or(|since| now - since >= self.limits.settles_after) => {
                self.over(Verdict::Unavailable)
            }
            Resolution::NotFound => self.resolve_later(now, None),
            Resolution::CannotTell => self.over(Verdict::Unknown),
        }
    }

    fn resolve_later(&mut self, now: CallTime, retry_after: Option<Duration>) -> SubmissionStep {
        // A gateway that says "at once" every time would be asked without a pause for as long as the payment may take.
        let wait = retry_after.unwrap_or_else(|| self.back_off()).max(BACK_OFF);
        // Look-ups move no money: time bounds them, and `repeats` only makes their waits longer.
        if now + wait < self.started + self.limits.overall {
            self.repeats = self.repeats.saturating_add(1);
            return self.pause(now, wait, NextQuestion::Resolve);
        }
        self.over(Verdict::Unknown)
    }

    /// No further submission.
    fn give_up(&mut self, now: CallTime) -> SubmissionStep {
        match self.doubt_since {
            None => self.over(Verdict::Unavailable),
            Some(_) if self.limits.looks_up => self.resolve_later(now, None),
            Some(_) => self.over(Verdict::Unknown),
        }
    }

    fn may_repeat(&self, at: CallTime) -> bool {
        self.repeats < self.limits.repeats && at < self.started + self.limits.overall
    }

    fn back_off(&self) -> Duration {
        // Eight doublings are beyond `BACK_OFF_MAX` already; more would overflow the shift.
        BACK_OFF.saturating_mul(1 << self.repeats.min(8)).min(BACK_OFF_MAX)
    }

    fn pause(&mut self, now: CallTime, wait: Duration, then: NextQuestion) -> SubmissionStep {
        // `resolve_later` has counted a look-up.
        if then != NextQuestion::Resolve {
            self.repeats = self.repeats.saturating_add(1);
        }
        if wait.is_zero() {
            return SubmissionStep::Ask(self.ask(now, then));
        }
        self.stage = SubmissionStage::Pausing { until: now + wait, then };
        SubmissionStep::Wait
    }

    fn ask(&mut self, now: CallTime, next: NextQuestion) -> Question {
        let overall = self.started + self.limits.overall;
        // The last answer is not waited for beyond the time of the whole payment.
        let until = overall.min(now + self.limits.answer_timeout);
        self.asked = self.asked.saturating_add(1);
        let what = match next {
            NextQuestion::Prepare => {
                self.stage = SubmissionStage::Preparing { until };
                Ask::Prepare
            }
            NextQuestion::Submit => {
                self.stage = SubmissionStage::Submitting { until };
                Ask::Submit(self.note.clone())
            }
            NextQuestion::Resolve => {
                self.stage = SubmissionStage::Resolving { until };
                Ask::Resolve(self.note.clone())
            }
        };
        Question { number: self.asked, what }
    }

    fn over(&mut self, verdict: Verdict) -> SubmissionStep {
        self.stage = SubmissionStage::Over;
        SubmissionStep::Over(verdict)
    }
}

#[cfg(test)]
mod tests;
