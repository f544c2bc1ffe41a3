//! A payment whose call is over and whose outcome is not known: finding it out, and what to tell meanwhile.
//!
//! Shape:   [`Recovery::start`] with what was written down, then replies and timeouts in, [`RecoveryStep`]s out. Sans-I/O.
//! Units:   `CallTime`, here the time since the recovery began.
//! Limits:  each question has the connector's own time; [`TIME_LIMIT`] until the payment is told as unknown; [`LOOKED_FOR`]
//!          until nobody looks any more.
//! Errors:  none. What may have happened is told as unknown, never as failed.
//! Sources: spec/connectors.md, section 19.4, "after restart".

use std::time::Duration;

use super::gateway::{Answer, Capabilities, RecoveryNote, Resolution};
use super::intent::Intent;
use super::outcome::{Ending, KeyedKnown};
use super::submission::{Ask, Question, Reply, Verdict};
use crate::time::CallTime;

/// How long an outcome is looked for before the payment is told as unknown. Our choice: the time that a live call gives
/// a gateway that does not answer.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// How often it is asked at least before a payment that is older than that is told as unknown: a server that starts
/// again and again tells it all the same. Our choice: within some ten seconds of a start.
const QUESTIONS_MIN: u32 = 3;

/// How long an outcome is looked for at all. Our choice: a day, the time for which callbacks are retried too.
pub const LOOKED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The first wait before another question; each further one is twice as long.
const GAP: Duration = Duration::from_secs(1);

/// The longest wait: an outcome is known within ten minutes of the gateway's being there again.
const GAP_MAX: Duration = Duration::from_secs(10 * 60);

/// What was written down of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// When submissions left, before the recovery began; none: none ever did.
    pub sent: Option<SentTimes>,
    /// What the connector noted before it.
    pub note: Option<RecoveryNote>,
    /// Whether the application was told that the outcome is unknown.
    pub told_unknown: bool,
}

/// How long ago submissions of a payment left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentTimes {
    /// The first one: since then the gateway knows the idempotency key.
    pub first: Duration,
    /// The last one: so long the gateway may be at work on it.
    pub last: Duration,
}

/// A payment's way from the store to its outcome.
#[derive(Debug)]
pub struct Recovery {
    /// None: there is no connector of that name any more.
    limits: Option<Capabilities>,
    remembered: Remembered,
    /// When this recovery last repeated the submission.
    resent: Option<CallTime>,
    stage: RecoveryStage,
    asked: u16,
    gaps: u32,
    /// False once a no to a repeat has shown that repeating tells nothing.
    repeats: bool,
    /// Whether the gateway has said that it cannot tell.
    looks_up: bool,
    /// Whether the last question was a repeat. The next one is a look-up then: a gateway may repeat for a day that it
    /// broke down, and know all the while what it did before that.
    repeated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecoveryStage {
    Asking { until: CallTime },
    Pausing { until: CallTime },
    Over,
}

/// What to do next.
#[derive(Debug)]
pub enum RecoveryStep {
    /// Nothing until the deadline.
    Wait,
    /// Ask the connector, without an instrument.
    Ask(Question),
    /// Tell that nobody knows, then go on.
    TellUnknown,
    /// It is over, and this is the outcome.
    Over(Verdict),
    /// It is over without an outcome: a person has to look.
    GivenUp,
}

impl Recovery {
    /// Begins. [`Self::handle_timeout`] says what to do first.
    #[must_use]
    pub fn start(limits: Option<Capabilities>, remembered: Remembered) -> Self {
        Self {
            limits,
            remembered,
            resent: None,
            // Over at once: the first question is due when the recovery begins.
            stage: RecoveryStage::Pausing { until: CallTime::ZERO },
            asked: 0,
            gaps: 0,
            repeats: true,
            looks_up: true,
            repeated: false,
        }
    }

    /// When [`Self::handle_timeout`] is due again. None: it is over.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<CallTime> {
        match self.stage {
            RecoveryStage::Asking { until } | RecoveryStage::Pausing { until } => Some(until),
            RecoveryStage::Over => None,
        }
    }

    /// Whether [`Self::handle_timeout`] is going to ask.
    #[must_use]
    pub fn asks(&self, now: CallTime) -> bool {
        let is_untold_too_long = !self.remembered.told_unknown && self.is_time_over(now);
        let is_due = matches!(self.stage, RecoveryStage::Pausing { until } if now >= until);
        is_due && self.way(now).is_some() && !is_untold_too_long && now < CallTime::ZERO + LOOKED_FOR
    }

    /// When it is to be told as unknown at the latest. None: it was.
    #[must_use]
    pub fn untold_until(&self) -> Option<CallTime> {
        (!self.remembered.told_unknown).then(|| CallTime::ZERO + TIME_LIMIT)
    }

    /// What to do now. Called first, after [`RecoveryStep::TellUnknown`], and when [`Self::poll_timeout`]'s moment has come.
    pub fn handle_timeout(&mut self, now: CallTime) -> RecoveryStep {
        if self.remembered.sent.is_none() {
            // Nothing ever left: the one thing that is certain.
            return self.over(Verdict::Unavailable);
        }
        let can = self.way(now).is_some();
        // Before it is given up, so that nobody is left without having been told.
        if !self.remembered.told_unknown && (!can || self.is_time_over(now)) {
            self.remembered.told_unknown = true;
            return RecoveryStep::TellUnknown;
        }
        if !can || now >= CallTime::ZERO + LOOKED_FOR {
            self.stage = RecoveryStage::Over;
            return RecoveryStep::GivenUp;
        }
        match self.stage {
            RecoveryStage::Pausing { until } if now < until => RecoveryStep::Wait,
            RecoveryStage::Asking { until } if now < until => RecoveryStep::Wait,
            RecoveryStage::Asking { .. } => self.later(now),
            RecoveryStage::Pausing { .. } => self.ask(now),
            RecoveryStage::Over => RecoveryStep::Wait,
        }
    }

    /// Takes the answer to question `number`.
    pub fn handle_reply(&mut self, now: CallTime, number: u16, reply: Reply) -> RecoveryStep {
        if number != self.asked || !matches!(self.stage, RecoveryStage::Asking { .. }) {
            return RecoveryStep::Wait;
        }
        match reply {
            // Every submission of a recovery is a repeat.
            Reply::Submitted(answer) => {
                let settled = self.limits.as_ref().is_some_and(|limits| limits.idempotency.settles(&answer));
                match answer {
                    // Final also as the answer to a repeat: only gateways that act once are asked again.
                    Answer::Approved(approval) => self.over(Verdict::Approved(approval)),
                    Answer::Declined(denial) if settled => self.over(Verdict::Declined(denial)),
                    // A no to the repeat, which says nothing of the first one.
                    Answer::Declined(_) | Answer::Refused(..) => {
                        self.repeats = false;
                        self.later(now)
                    }
                    Answer::NotSent { .. } | Answer::Unknown { .. } => self.later(now),
                }
            }
            Reply::Resolved(resolution) => match resolution {
                Resolution::Answer(Answer::Approved(approval)) => self.over(Verdict::Approved(approval)),
                Resolution::Answer(Answer::Declined(denial)) => self.over(Verdict::Declined(denial)),
                Resolution::Answer(Answer::Refused(code, denial)) => self.over(Verdict::Refused(code, denial)),
                // Before that the gateway may still be at work on the last request (spec/connectors.md 19.4).
                Resolution::NotFound if self.is_settled_there(now) => self.over(Verdict::Unavailable),
                Resolution::CannotTell => {
                    self.looks_up = false;
                    self.later(now)
                }
                Resolution::Answer(Answer::NotSent { .. } | Answer::Unknown { .. }) | Resolution::NotFound => {
                    self.later(now)
                }
            },
            Reply::Prepared(_) | Reply::NotWritten | Reply::Panicked => self.later(now),
        }
    }

    /// How the outcome can be found out, if at all.
    fn way(&self, now: CallTime) -> Option<Ask> {
        let limits = self.limits.as_ref()?;
        let age = self.remembered.sent?.first.saturating_add(now - CallTime::ZERO);
        let note = &self.remembered.note;
        // The note stands for the card: the gateway gives its first answer, or does now what it was asked.
        let repeats = self.repeats && limits.idempotency.allows_repeats() && age < limits.replay_window;
        let looks_up = self.looks_up && limits.looks_up;
        match note {
            Some(note) if repeats && !(looks_up && self.repeated) => Some(Ask::Submit(Some(note.clone()))),
            note if looks_up => Some(Ask::Resolve(note.clone())),
            _ => None,
        }
    }

    /// Whether the application has waited long enough.
    fn is_time_over(&self, now: CallTime) -> bool {
        let here = now - CallTime::ZERO;
        let in_all = self.remembered.sent.map_or(Duration::ZERO, |sent| sent.first.saturating_add(here));
        here >= TIME_LIMIT || (in_all >= TIME_LIMIT && self.gaps >= QUESTIONS_MIN)
    }

    /// Whether the gateway cannot still be at work on what it was last sent.
    fn is_settled_there(&self, now: CallTime) -> bool {
        let before = self.remembered.sent.map(|sent| sent.last.saturating_add(now - CallTime::ZERO));
        // Counted from the last request of all, the repeats of this recovery among them.
        let age = self.resent.map(|resent| now - resent).or(before).unwrap_or_default();
        self.limits.as_ref().is_some_and(|limits| age >= limits.settles_after)
    }

    fn ask(&mut self, now: CallTime) -> RecoveryStep {
        // Not taken: `handle_timeout` asks only where there is a way.
        let (Some(what), Some(limits)) = (self.way(now), &self.limits) else { return RecoveryStep::Wait };
        self.asked = self.asked.saturating_add(1);
        self.stage = RecoveryStage::Asking { until: now + limits.answer_timeout };
        self.repeated = matches!(what, Ask::Submit(_));
        if self.repeated {
            self.resent = Some(now);
        }
        RecoveryStep::Ask(Question { number: self.asked, what })
    }

    fn later(&mut self, now: CallTime) -> RecoveryStep {
        // Ten doublings are beyond `GAP_MAX` already; more would overflow the shift.
        let gap = GAP.saturating_mul(1 << self.gaps.min(10)).min(GAP_MAX);
        self.gaps = self.gaps.saturating_add(1);
        self.stage = RecoveryStage::Pausing { until: now + gap };
        // It may be time to tell that it is unknown, or to give it up.
        self.handle_timeout(now)
    }

    fn over(&mut self, verdict: Verdict) -> RecoveryStep {
        self.stage = RecoveryStage::Over;
        RecoveryStep::Over(verdict)
    }
}

/// What is told of a verdict that came after the call.
#[must_use]
pub fn ending(intent: &Intent, verdict: Verdict, sent: bool) -> Ending {
    match verdict {
        Verdict::Unavailable if !sent => Ending::cut_off(),
        verdict => Ending::of_verdict(
            verdict,
            None,
            intent.payment_request.operation,
            &KeyedKnown::Gone(intent.means, &intent.captured_fields),
        ),
    }
}

#[cfg(test)]
mod tests;
