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
    stage: Stage,
    note: Option<RecoveryNote>,
    asked: u16,
    repeats: u8,
    /// When a submission last left whose outcome is not known.
    doubt_since: Option<CallTime>,
    /// Whether nothing more is to be sent but what finds out about a doubt.
    stopping: bool,
}

#[derive(Debug)]
enum Stage {
    Preparing { until: CallTime },
    Submitting { until: CallTime },
    Resolving { until: CallTime },
    Pausing { until: CallTime, then: Next },
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Prepare,
    Submit,
    Resolve,
}

/// What to do after an input.
#[derive(Debug)]
pub enum Step {
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
            stage: Stage::Over,
            note: None,
            asked,
            repeats: 0,
            doubt_since: None,
            stopping: false,
        };
        let question = submission.ask(now, Next::Prepare);
        (submission, question)
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub const fn deadline(&self) -> Option<CallTime> {
        match self.stage {
            Stage::Preparing { until }
            | Stage::Submitting { until }
            | Stage::Resolving { until }
            | Stage::Pausing { until, .. } => Some(until),
            Stage::Over => None,
        }
    }

    /// Stops it if nothing can have been sent; else it goes on until its outcome is known, and not a step further: a
    /// request that turns out not to have left is not repeated.
    pub fn stop(&mut self) -> Step {
        self.stopping = true;
        let unsent = match self.stage {
            Stage::Preparing { .. } | Stage::Pausing { .. } => self.doubt_since.is_none(),
            Stage::Submitting { .. } | Stage::Resolving { .. } | Stage::Over => false,
        };
        if unsent { self.over(Verdict::Stopped) } else { Step::Wait }
    }

    /// Takes an answer to question `number`.
    pub fn handle_reply(&mut self, now: CallTime, number: u16, reply: Reply) -> Step {
        if number != self.asked {
            return Step::Wait;
        }
        match (&self.stage, reply) {
            (Stage::Preparing { .. }, Reply::Prepared(preparation)) => self.prepared(now, preparation),
            (Stage::Preparing { .. }, Reply::Panicked) => self.over(Verdict::BrokenDown),
            (Stage::Preparing { .. }, Reply::NotWritten) => self.not_written(now),
            (Stage::Submitting { .. }, Reply::NotWritten) => self.not_written(now),
            (Stage::Submitting { .. }, Reply::Submitted(answer)) => self.submitted(now, answer),
            (Stage::Submitting { .. }, Reply::Panicked) => self.in_doubt(now, None),
            (Stage::Resolving { .. }, Reply::Resolved(resolution)) => self.resolved(now, resolution),
            (Stage::Resolving { .. }, Reply::Panicked) => self.over(Verdict::Unknown),
            // An answer to a question that was given up, or of the wrong kind: the deadline goes on.
            (
                Stage::Preparing { .. }
                | Stage::Submitting { .. }
                | Stage::Resolving { .. }
                | Stage::Pausing { .. }
                | Stage::Over,
                Reply::Prepared(_) | Reply::Submitted(_) | Reply::Resolved(_) | Reply::NotWritten | Reply::Panicked,
            ) => Step::Wait,
        }
    }

    /// Takes note that the deadline has passed.
    pub fn handle_timeout(&mut self, now: CallTime) -> Step {
        match self.stage {
            Stage::Preparing { .. } => self.not_sent(now, Next::Prepare, None),
            // It has had its time; a repeat need not wait.
            Stage::Submitting { .. } => {
                self.doubt_since = Some(now);
                self.again_after(now, Duration::ZERO)
            }
            Stage::Resolving { .. } => self.resolve_later(now, None),
            Stage::Pausing { then, .. } => Step::Ask(self.ask(now, then)),
            Stage::Over => Step::Wait,
        }
    }

    fn prepared(&mut self, now: CallTime, preparation: Preparation) -> Step {
        match preparation {
            Preparation::Nothing => Step::Ask(self.ask(now, Next::Submit)),
            Preparation::Note(note) => {
                self.note = Some(note);
                Step::Ask(self.ask(now, Next::Submit))
            }
            Preparation::Answered(Answer::NotSent { retry_after, .. }) => {
                self.not_sent(now, Next::Prepare, retry_after)
            }
            // It moves no money, so not knowing is as good as not sent.
            Preparation::Answered(Answer::Unknown { retry_after, .. }) => {
                self.not_sent(now, Next::Prepare, retry_after)
            }
            Preparation::Answered(answer) => self.submitted(now, answer),
        }
    }

    fn submitted(&mut self, now: CallTime, answer: Answer) -> Step {
        let settled = self.doubt_since.is_none() || self.limits.idempotency.settles(&answer);
        match answer {
            Answer::Approved(approval) => self.over(Verdict::Approved(approval)),
            // "Duplicate", say, or a key that no longer counts: that is a no to this request, and says nothing of the one
            // that is in doubt. Another repeat would bring the same.
            Answer::Declined(_) | Answer::Refused(..) if !settled => self.give_up(now),
            Answer::Declined(denial) => self.over(Verdict::Declined(denial)),
            Answer::Refused(code, denial) => self.over(Verdict::Refused(code, denial)),
            Answer::NotSent { retry_after, .. } => self.not_sent(now, Next::Submit, retry_after),
            Answer::Unknown { retry_after, .. } => self.in_doubt(now, retry_after),
        }
    }

    /// Nothing more may leave; an earlier request may have done something.
    fn not_written(&mut self, now: CallTime) -> Step {
        if self.doubt_since.is_none() { self.over(Verdict::NotWritten) } else { self.give_up(now) }
    }

    /// This one request did nothing; an earlier one may have.
    fn not_sent(&mut self, now: CallTime, next: Next, retry_after: Option<Duration>) -> Step {
        if self.stopping && self.doubt_since.is_none() {
            return self.over(Verdict::Stopped);
        }
        let wait = retry_after.unwrap_or_else(|| self.back_off());
        if self.may_repeat(now + wait) {
            return self.pause(now, wait, next);
        }
        self.give_up(now)
    }

    /// A submission left and nobody knows what became of it.
    fn in_doubt(&mut self, now: CallTime, retry_after: Option<Duration>) -> Step {
        self.doubt_since = Some(now);
        let wait = retry_after.unwrap_or_else(|| self.back_off());
        self.again_after(now, wait)
    }

    fn again_after(&mut self, now: CallTime, wait: Duration) -> Step {
        if self.limits.idempotency.allows_repeats() && self.may_repeat(now + wait) {
            return self.pause(now, wait, Next::Submit);
        }
        self.give_up(now)
    }

    fn resolved(&mut self, now: CallTime, resolution: Resolution) -> Step {
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

    fn resolve_later(&mut self, now: CallTime, retry_after: Option<Duration>) -> Step {
        let wait = retry_after.unwrap_or_else(|| self.back_off());
        if now + wait < self.started + self.limits.overall {
            self.repeats = self.repeats.saturating_add(1);
            return self.pause(now, wait, Next::Resolve);
        }
        self.over(Verdict::Unknown)
    }

    /// No further submission.
    fn give_up(&mut self, now: CallTime) -> Step {
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
        BACK_OFF.saturating_mul(1 << self.repeats.min(8)).min(BACK_OFF_MAX)
    }

    fn pause(&mut self, now: CallTime, wait: Duration, then: Next) -> Step {
        if then != Next::Resolve {
            self.repeats = self.repeats.saturating_add(1);
        }
        if wait.is_zero() {
            return Step::Ask(self.ask(now, then));
        }
        self.stage = Stage::Pausing { until: now + wait, then };
        Step::Wait
    }

    fn ask(&mut self, now: CallTime, next: Next) -> Question {
        let overall = self.started + self.limits.overall;
        let until = overall.min(now + self.limits.answer_timeout);
        self.asked = self.asked.saturating_add(1);
        let what = match next {
            Next::Prepare => {
                self.stage = Stage::Preparing { until };
                Ask::Prepare
            }
            Next::Submit => {
                self.stage = Stage::Submitting { until };
                Ask::Submit(self.note.clone())
            }
            Next::Resolve => {
                self.stage = Stage::Resolving { until };
                Ask::Resolve(self.note.clone())
            }
        };
        Question { number: self.asked, what }
    }

    fn over(&mut self, verdict: Verdict) -> Step {
        self.stage = Stage::Over;
        Step::Over(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pay::gateway::{Idempotency, REPLAY_WINDOW};
    use crate::pay::test_numbers::AcceptedNumbers;

    fn limits() -> Capabilities {
        Capabilities {
            withdrawn: false,
            charge_card: true,
            charge_bank: true,
            charge_token: true,
            tokenize_card: vec![],
            tokenize_bank: vec![],
            currencies: None,
            bank_needs_holder_name: false,
            needed_parameters: vec![],
            accepted_numbers: AcceptedNumbers::Any,
            idempotency: Idempotency::FirstResult,
            replay_window: REPLAY_WINDOW,
            looks_up: false,
            answer_timeout: Duration::from_secs(10),
            settles_after: Duration::from_secs(10),
            repeats: 5,
            overall: Duration::from_secs(75),
        }
    }

    fn submitting(limits: Capabilities) -> (Submission, u16) {
        let (mut submission, question) = Submission::start(CallTime::ZERO, limits);
        assert_eq!(question.what, Ask::Prepare);
        let number =
            asked(submission.handle_reply(CallTime::ZERO, question.number, Reply::Prepared(Preparation::Nothing)));
        (submission, number)
    }

    fn asked(step: Step) -> u16 {
        match step {
            Step::Ask(question) => question.number,
            other => panic!("expected a question, got {other:?}"),
        }
    }

    fn unknown() -> Reply {
        Reply::Submitted(Answer::unknown("cut"))
    }

    fn not_sent() -> Reply {
        Reply::Submitted(Answer::NotSent { reason: "refused".into(), retry_after: None })
    }

    /// Lets every deadline pass with the same reply to every question.
    fn run(mut submission: Submission, mut number: u16, reply: impl Fn() -> Option<Reply>) -> (Verdict, u16, CallTime) {
        let mut now = CallTime::ZERO;
        loop {
            let step = match reply() {
                Some(reply) if !matches!(submission.stage, Stage::Pausing { .. }) => {
                    submission.handle_reply(now, number, reply)
                }
                _ => {
                    now = submission.deadline().expect("every wait has a deadline");
                    submission.handle_timeout(now)
                }
            };
            match step {
                Step::Over(verdict) => return (verdict, number, now),
                Step::Ask(question) => number = question.number,
                Step::Wait => {}
            }
        }
    }

    #[test]
    fn a_silent_gateway_is_asked_six_times_with_ten_seconds_each_and_then_nobody_knows() {
        let (submission, number) = submitting(limits());
        let (verdict, last, ended) = run(submission, number, || None);
        assert!(matches!(verdict, Verdict::Unknown));
        assert_eq!(last - number, 5, "repeats");
        assert_eq!(ended, CallTime::from_millis(60_000));
    }

    #[test]
    fn an_unreachable_gateway_ends_as_unavailable_and_never_as_unknown() {
        let (submission, number) = submitting(limits());
        let (verdict, last, _) = run(submission, number, || Some(not_sent()));
        assert!(matches!(verdict, Verdict::Unavailable));
        assert_eq!(last - number, 5);
    }

    #[test]
    fn one_doubt_among_refused_connections_is_still_a_doubt() {
        let (mut submission, number) = submitting(limits());
        assert!(matches!(submission.handle_reply(CallTime::ZERO, number, unknown()), Step::Wait));
        let number = asked(submission.handle_timeout(submission.deadline().unwrap()));
        let (verdict, ..) = run(submission, number, || Some(not_sent()));
        assert!(matches!(verdict, Verdict::Unknown));
    }

    fn declined() -> Reply {
        Reply::Submitted(Answer::Declined(Denial { code: Some("duplicate".into()), ..Denial::default() }))
    }

    fn refused() -> Reply {
        Reply::Submitted(Answer::Refused(PayErrorCode::Configuration, Denial::default()))
    }

    /// The number of a repeat, after a submission that nobody knows the outcome of.
    fn repeating(limits: Capabilities, lost: impl FnOnce() -> Option<Reply>) -> (Submission, u16, CallTime) {
        let (mut submission, number) = submitting(limits);
        let step = match lost() {
            Some(reply) => submission.handle_reply(CallTime::ZERO, number, reply),
            None => submission.handle_timeout(submission.deadline().unwrap()),
        };
        match step {
            Step::Ask(question) => (submission, question.number, CallTime::from_millis(10_000)),
            Step::Wait => {
                let now = submission.deadline().unwrap();
                let number = asked(submission.handle_timeout(now));
                (submission, number, now)
            }
            Step::Over(verdict) => panic!("{verdict:?}"),
        }
    }

    #[test]
    fn a_first_answer_that_says_no_is_final() {
        for idempotency in [Idempotency::None, Idempotency::ActsOnce, Idempotency::FirstResult] {
            let (mut submission, number) = submitting(Capabilities { idempotency, ..limits() });
            let step = submission.handle_reply(CallTime::ZERO, number, declined());
            assert!(matches!(step, Step::Over(Verdict::Declined(_))), "{step:?}");
            let (mut submission, number) = submitting(Capabilities { idempotency, ..limits() });
            let step = submission.handle_reply(CallTime::ZERO, number, refused());
            assert!(matches!(step, Step::Over(Verdict::Refused(..))), "{step:?}");
        }
    }

    #[test]
    fn a_repeat_that_gets_an_error_does_not_settle_the_doubt_before_it() {
        let lost: [fn() -> Option<Reply>; 3] = [|| Some(unknown()), || None, || Some(Reply::Panicked)];
        for lost in lost {
            for (idempotency, looks_up, no) in [
                (Idempotency::ActsOnce, false, declined as fn() -> Reply),
                (Idempotency::ActsOnce, true, declined),
                (Idempotency::ActsOnce, false, refused),
                (Idempotency::FirstResult, false, refused),
                (Idempotency::FirstResult, true, refused),
            ] {
                let (mut submission, number, now) = repeating(Capabilities { idempotency, looks_up, ..limits() }, lost);
                match submission.handle_reply(now, number, no()) {
                    Step::Over(Verdict::Unknown) => assert!(!looks_up),
                    Step::Wait => {
                        let Step::Ask(question) = submission.handle_timeout(submission.deadline().unwrap()) else {
                            panic!()
                        };
                        assert!(looks_up && question.what == Ask::Resolve(None));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_decline_of_a_repeat_is_final_where_it_is_the_first_result() {
        let (mut submission, number, now) = repeating(limits(), || Some(unknown()));
        let step = submission.handle_reply(now, number, declined());
        assert!(matches!(step, Step::Over(Verdict::Declined(_))), "{step:?}");
    }

    #[test]
    fn an_approval_of_a_repeat_is_final_everywhere() {
        let (mut submission, number, now) =
            repeating(Capabilities { idempotency: Idempotency::ActsOnce, ..limits() }, || None);
        let step = submission.handle_reply(now, number, Reply::Submitted(Answer::Approved(Approval::default())));
        assert!(matches!(step, Step::Over(Verdict::Approved(_))), "{step:?}");
    }

    #[test]
    fn a_decline_after_a_request_that_did_not_leave_is_the_first_answer() {
        let (mut submission, number, now) =
            repeating(Capabilities { idempotency: Idempotency::ActsOnce, ..limits() }, || Some(not_sent()));
        let step = submission.handle_reply(now, number, declined());
        assert!(matches!(step, Step::Over(Verdict::Declined(_))), "{step:?}");
    }

    #[test]
    fn an_error_of_a_repeat_is_unknown_for_whoever_wants_it_ended_too() {
        let (mut submission, number, now) =
            repeating(Capabilities { idempotency: Idempotency::ActsOnce, ..limits() }, || None);
        assert!(matches!(submission.stop(), Step::Wait));
        let step = submission.handle_reply(now, number, declined());
        assert!(matches!(step, Step::Over(Verdict::Unknown)), "{step:?}");
    }

    #[test]
    fn what_a_look_up_says_is_about_the_first_request() {
        let limits = Capabilities { idempotency: Idempotency::ActsOnce, looks_up: true, ..limits() };
        let (mut submission, number, now) = repeating(limits, || None);
        assert!(matches!(submission.handle_reply(now, number, declined()), Step::Wait));
        let number = asked(submission.handle_timeout(submission.deadline().unwrap()));
        let found = Reply::Resolved(Resolution::Answer(Answer::Declined(Denial::default())));
        let step = submission.handle_reply(now, number, found);
        assert!(matches!(step, Step::Over(Verdict::Declined(_))), "{step:?}");
    }

    #[test]
    fn a_preparation_that_is_asked_for_again_leaves_no_doubt() {
        let limits = Capabilities { idempotency: Idempotency::ActsOnce, ..limits() };
        let (mut submission, question) = Submission::start(CallTime::ZERO, limits);
        assert_eq!(question.what, Ask::Prepare);
        assert!(matches!(submission.handle_timeout(submission.deadline().unwrap()), Step::Wait));
        let now = submission.deadline().unwrap();
        let number = asked(submission.handle_timeout(now));
        let declined = Reply::Prepared(Preparation::Answered(Answer::Declined(Denial::default())));
        let step = submission.handle_reply(now, number, declined);
        assert!(matches!(step, Step::Over(Verdict::Declined(_))), "it moves no money: {step:?}");
    }

    #[test]
    fn a_gateway_that_does_not_replay_is_never_asked_twice() {
        let (mut submission, number) = submitting(Capabilities { idempotency: Idempotency::None, ..limits() });
        let step = submission.handle_reply(CallTime::ZERO, number, unknown());
        assert!(matches!(step, Step::Over(Verdict::Unknown)));
    }

    #[test]
    fn a_gateway_that_looks_up_is_asked_what_became_of_it() {
        let (mut submission, number) =
            submitting(Capabilities { idempotency: Idempotency::None, looks_up: true, ..limits() });
        assert!(matches!(submission.handle_reply(CallTime::ZERO, number, unknown()), Step::Wait));
        let Step::Ask(question) = submission.handle_timeout(submission.deadline().unwrap()) else { panic!() };
        assert_eq!(question.what, Ask::Resolve(None));
        let found = Reply::Resolved(Resolution::Answer(Answer::Approved(Approval::default())));
        let step = submission.handle_reply(CallTime::from_millis(2000), question.number, found);
        assert!(matches!(step, Step::Over(Verdict::Approved(_))));
    }

    #[test]
    fn not_found_is_believed_only_after_the_gateway_s_own_time() {
        let (mut submission, number) =
            submitting(Capabilities { idempotency: Idempotency::None, looks_up: true, ..limits() });
        submission.handle_reply(CallTime::ZERO, number, unknown());
        let (verdict, _, ended) = {
            let mut now = submission.deadline().unwrap();
            let mut number = asked(submission.handle_timeout(now));
            loop {
                match submission.handle_reply(now, number, Reply::Resolved(Resolution::NotFound)) {
                    Step::Over(verdict) => break (verdict, number, now),
                    _ => {
                        now = submission.deadline().unwrap();
                        number = asked(submission.handle_timeout(now));
                    }
                }
            }
        };
        assert!(matches!(verdict, Verdict::Unavailable));
        assert!(ended >= CallTime::from_millis(10_000));
    }

    #[test]
    fn it_stops_only_while_nothing_can_have_been_sent() {
        let (mut submission, _) = Submission::start(CallTime::ZERO, limits());
        assert!(matches!(submission.stop(), Step::Over(Verdict::Stopped)));
        let (mut submission, number) = submitting(limits());
        submission.handle_reply(CallTime::ZERO, number, not_sent());
        assert!(matches!(submission.stop(), Step::Over(Verdict::Stopped)), "between two tries that did not leave");
        let (mut submission, number) = submitting(limits());
        submission.handle_reply(CallTime::ZERO, number, unknown());
        assert!(matches!(submission.stop(), Step::Wait), "in doubt");
    }

    #[test]
    fn a_request_that_did_not_leave_is_not_repeated_once_it_is_to_stop() {
        let (mut submission, number) = submitting(limits());
        assert!(matches!(submission.stop(), Step::Wait), "on its way");
        let step = submission.handle_reply(CallTime::from_millis(100), number, not_sent());
        assert!(matches!(step, Step::Over(Verdict::Stopped)));
        let (mut submission, number) = submitting(limits());
        submission.handle_reply(CallTime::ZERO, number, unknown());
        let number = asked(submission.handle_timeout(submission.deadline().unwrap()));
        submission.stop();
        let (verdict, ..) = run(submission, number, || Some(not_sent()));
        assert!(matches!(verdict, Verdict::Unknown), "the doubt of before is not forgotten");
    }

    #[test]
    fn a_breakdown_before_sending_is_our_fault_and_one_after_it_is_a_doubt() {
        let (mut submission, question) = Submission::start(CallTime::ZERO, limits());
        let step = submission.handle_reply(CallTime::ZERO, question.number, Reply::Panicked);
        assert!(matches!(step, Step::Over(Verdict::BrokenDown)));
        let (submission, number) = submitting(limits());
        let (verdict, ..) = run(submission, number, || Some(Reply::Panicked));
        assert!(matches!(verdict, Verdict::Unknown));
    }

    #[test]
    fn what_cannot_be_written_down_is_not_asked_for_again() {
        let (mut submission, question) = Submission::start(CallTime::ZERO, limits());
        let step = submission.handle_reply(CallTime::ZERO, question.number, Reply::NotWritten);
        assert!(matches!(step, Step::Over(Verdict::NotWritten)), "before the preparation");
        let (mut submission, number) = submitting(limits());
        let step = submission.handle_reply(CallTime::ZERO, number, Reply::NotWritten);
        assert!(matches!(step, Step::Over(Verdict::NotWritten)), "before the submission");
        let (mut submission, number) = submitting(limits());
        submission.handle_reply(CallTime::ZERO, number, unknown());
        let number = asked(submission.handle_timeout(submission.deadline().unwrap()));
        let step = submission.handle_reply(CallTime::from_millis(500), number, Reply::NotWritten);
        assert!(matches!(step, Step::Over(Verdict::Unknown)), "the doubt of before is not forgotten");
    }

    #[test]
    fn late_answers_to_a_question_given_up_change_nothing() {
        let (mut submission, number) = submitting(limits());
        let next = asked(submission.handle_timeout(submission.deadline().unwrap()));
        let late = Reply::Submitted(Answer::Declined(Denial::default()));
        assert!(matches!(submission.handle_reply(CallTime::from_millis(10_001), number, late), Step::Wait));
        let approved = Reply::Submitted(Answer::Approved(Approval::default()));
        let step = submission.handle_reply(CallTime::from_millis(10_500), next, approved);
        assert!(matches!(step, Step::Over(Verdict::Approved(_))));
    }

    #[test]
    fn a_wait_that_the_gateway_names_is_kept() {
        let (mut submission, number) = submitting(limits());
        let busy = Answer::NotSent { reason: "503".into(), retry_after: Some(Duration::from_secs(7)) };
        submission.handle_reply(CallTime::ZERO, number, Reply::Submitted(busy));
        assert_eq!(submission.deadline(), Some(CallTime::from_millis(7000)));
        let (mut submission, number) = submitting(limits());
        let perhaps = Answer::Unknown { reason: "503".into(), retry_after: Some(Duration::from_secs(7)) };
        submission.handle_reply(CallTime::ZERO, number, Reply::Submitted(perhaps));
        assert_eq!(submission.deadline(), Some(CallTime::from_millis(7000)), "in doubt too");
    }
}
