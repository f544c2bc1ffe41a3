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
    let number = asked(submission.handle_reply(CallTime::ZERO, question.number, Reply::Prepared(Preparation::Nothing)));
    (submission, number)
}

fn asked(step: SubmissionStep) -> u16 {
    match step {
        SubmissionStep::Ask(question) => question.number,
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
            Some(reply) if !matches!(submission.stage, SubmissionStage::Pausing { .. }) => {
                submission.handle_reply(now, number, reply)
            }
            _ => {
                now = submission.poll_timeout().expect("every wait has a deadline");
                submission.handle_timeout(now)
            }
        };
        match step {
            SubmissionStep::Over(verdict) => return (verdict, number, now),
            SubmissionStep::Ask(question) => number = question.number,
            SubmissionStep::Wait => {}
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
    assert!(matches!(submission.handle_reply(CallTime::ZERO, number, unknown()), SubmissionStep::Wait));
    let number = asked(submission.handle_timeout(submission.poll_timeout().unwrap()));
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
        None => submission.handle_timeout(submission.poll_timeout().unwrap()),
    };
    match step {
        SubmissionStep::Ask(question) => (submission, question.number, CallTime::from_millis(10_000)),
        SubmissionStep::Wait => {
            let now = submission.poll_timeout().unwrap();
            let number = asked(submission.handle_timeout(now));
            (submission, number, now)
        }
        SubmissionStep::Over(verdict) => panic!("{verdict:?}"),
    }
}

#[test]
fn a_first_answer_that_says_no_is_final() {
    for idempotency in [Idempotency::None, Idempotency::ActsOnce, Idempotency::FirstResult] {
        let (mut submission, number) = submitting(Capabilities { idempotency, ..limits() });
        let step = submission.handle_reply(CallTime::ZERO, number, declined());
        assert!(matches!(step, SubmissionStep::Over(Verdict::Declined(_))), "{step:?}");
        let (mut submission, number) = submitting(Capabilities { idempotency, ..limits() });
        let step = submission.handle_reply(CallTime::ZERO, number, refused());
        assert!(matches!(step, SubmissionStep::Over(Verdict::Refused(..))), "{step:?}");
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
                SubmissionStep::Over(Verdict::Unknown) => assert!(!looks_up),
                SubmissionStep::Wait => {
                    let SubmissionStep::Ask(question) = submission.handle_timeout(submission.poll_timeout().unwrap())
                    else {
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
    assert!(matches!(step, SubmissionStep::Over(Verdict::Declined(_))), "{step:?}");
}

#[test]
fn an_approval_of_a_repeat_is_final_everywhere() {
    let (mut submission, number, now) =
        repeating(Capabilities { idempotency: Idempotency::ActsOnce, ..limits() }, || None);
    let step = submission.handle_reply(now, number, Reply::Submitted(Answer::Approved(Approval::default())));
    assert!(matches!(step, SubmissionStep::Over(Verdict::Approved(_))), "{step:?}");
}

#[test]
fn a_decline_after_a_request_that_did_not_leave_is_the_first_answer() {
    let (mut submission, number, now) =
        repeating(Capabilities { idempotency: Idempotency::ActsOnce, ..limits() }, || Some(not_sent()));
    let step = submission.handle_reply(now, number, declined());
    assert!(matches!(step, SubmissionStep::Over(Verdict::Declined(_))), "{step:?}");
}

#[test]
fn an_error_of_a_repeat_is_unknown_for_whoever_wants_it_ended_too() {
    let (mut submission, number, now) =
        repeating(Capabilities { idempotency: Idempotency::ActsOnce, ..limits() }, || None);
    assert!(matches!(submission.handle_stop(), SubmissionStep::Wait));
    let step = submission.handle_reply(now, number, declined());
    assert!(matches!(step, SubmissionStep::Over(Verdict::Unknown)), "{step:?}");
}

#[test]
fn what_a_look_up_says_is_about_the_first_request() {
    let limits = Capabilities { idempotency: Idempotency::ActsOnce, looks_up: true, ..limits() };
    let (mut submission, number, now) = repeating(limits, || None);
    assert!(matches!(submission.handle_reply(now, number, declined()), SubmissionStep::Wait));
    let number = asked(submission.handle_timeout(submission.poll_timeout().unwrap()));
    let found = Reply::Resolved(Resolution::Answer(Answer::Declined(Denial::default())));
    let step = submission.handle_reply(now, number, found);
    assert!(matches!(step, SubmissionStep::Over(Verdict::Declined(_))), "{step:?}");
}

#[test]
fn a_preparation_that_is_asked_for_again_leaves_no_doubt() {
    let limits = Capabilities { idempotency: Idempotency::ActsOnce, ..limits() };
    let (mut submission, question) = Submission::start(CallTime::ZERO, limits);
    assert_eq!(question.what, Ask::Prepare);
    assert!(matches!(submission.handle_timeout(submission.poll_timeout().unwrap()), SubmissionStep::Wait));
    let now = submission.poll_timeout().unwrap();
    let number = asked(submission.handle_timeout(now));
    let declined = Reply::Prepared(Preparation::Answered(Answer::Declined(Denial::default())));
    let step = submission.handle_reply(now, number, declined);
    assert!(matches!(step, SubmissionStep::Over(Verdict::Declined(_))), "it moves no money: {step:?}");
}

#[test]
fn a_gateway_that_does_not_replay_is_never_asked_twice() {
    let (mut submission, number) = submitting(Capabilities { idempotency: Idempotency::None, ..limits() });
    let step = submission.handle_reply(CallTime::ZERO, number, unknown());
    assert!(matches!(step, SubmissionStep::Over(Verdict::Unknown)));
}

#[test]
fn a_gateway_that_looks_up_is_asked_what_became_of_it() {
    let (mut submission, number) =
        submitting(Capabilities { idempotency: Idempotency::None, looks_up: true, ..limits() });
    assert!(matches!(submission.handle_reply(CallTime::ZERO, number, unknown()), SubmissionStep::Wait));
    let SubmissionStep::Ask(question) = submission.handle_timeout(submission.poll_timeout().unwrap()) else { panic!() };
    assert_eq!(question.what, Ask::Resolve(None));
    let found = Reply::Resolved(Resolution::Answer(Answer::Approved(Approval::default())));
    let step = submission.handle_reply(CallTime::from_millis(2000), question.number, found);
    assert!(matches!(step, SubmissionStep::Over(Verdict::Approved(_))));
}

#[test]
fn not_found_is_believed_only_after_the_gateway_s_own_time() {
    let (mut submission, number) =
        submitting(Capabilities { idempotency: Idempotency::None, looks_up: true, ..limits() });
    submission.handle_reply(CallTime::ZERO, number, unknown());
    let (verdict, _, ended) = {
        let mut now = submission.poll_timeout().unwrap();
        let mut number = asked(submission.handle_timeout(now));
        loop {
            match submission.handle_reply(now, number, Reply::Resolved(Resolution::NotFound)) {
                SubmissionStep::Over(verdict) => break (verdict, number, now),
                _ => {
                    now = submission.poll_timeout().unwrap();
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
    assert!(matches!(submission.handle_stop(), SubmissionStep::Over(Verdict::Stopped)));
    let (mut submission, number) = submitting(limits());
    submission.handle_reply(CallTime::ZERO, number, not_sent());
    assert!(
        matches!(submission.handle_stop(), SubmissionStep::Over(Verdict::Stopped)),
        "between two tries that did not leave"
    );
    let (mut submission, number) = submitting(limits());
    submission.handle_reply(CallTime::ZERO, number, unknown());
    assert!(matches!(submission.handle_stop(), SubmissionStep::Wait), "in doubt");
}

#[test]
fn a_request_that_did_not_leave_is_not_repeated_once_it_is_to_stop() {
    let (mut submission, number) = submitting(limits());
    assert!(matches!(submission.handle_stop(), SubmissionStep::Wait), "on its way");
    let step = submission.handle_reply(CallTime::from_millis(100), number, not_sent());
    assert!(matches!(step, SubmissionStep::Over(Verdict::Stopped)));
    let (mut submission, number) = submitting(limits());
    submission.handle_reply(CallTime::ZERO, number, unknown());
    let number = asked(submission.handle_timeout(submission.poll_timeout().unwrap()));
    submission.handle_stop();
    let (verdict, ..) = run(submission, number, || Some(not_sent()));
    assert!(matches!(verdict, Verdict::Unknown), "the doubt of before is not forgotten");
}

#[test]
fn a_breakdown_before_sending_is_our_fault_and_one_after_it_is_a_doubt() {
    let (mut submission, question) = Submission::start(CallTime::ZERO, limits());
    let step = submission.handle_reply(CallTime::ZERO, question.number, Reply::Panicked);
    assert!(matches!(step, SubmissionStep::Over(Verdict::BrokenDown)));
    let (submission, number) = submitting(limits());
    let (verdict, ..) = run(submission, number, || Some(Reply::Panicked));
    assert!(matches!(verdict, Verdict::Unknown));
}

#[test]
fn what_cannot_be_written_down_is_not_asked_for_again() {
    let (mut submission, question) = Submission::start(CallTime::ZERO, limits());
    let step = submission.handle_reply(CallTime::ZERO, question.number, Reply::NotWritten);
    assert!(matches!(step, SubmissionStep::Over(Verdict::NotWritten)), "before the preparation");
    let (mut submission, number) = submitting(limits());
    let step = submission.handle_reply(CallTime::ZERO, number, Reply::NotWritten);
    assert!(matches!(step, SubmissionStep::Over(Verdict::NotWritten)), "before the submission");
    let (mut submission, number) = submitting(limits());
    submission.handle_reply(CallTime::ZERO, number, unknown());
    let number = asked(submission.handle_timeout(submission.poll_timeout().unwrap()));
    let step = submission.handle_reply(CallTime::from_millis(500), number, Reply::NotWritten);
    assert!(matches!(step, SubmissionStep::Over(Verdict::Unknown)), "the doubt of before is not forgotten");
}

#[test]
fn late_answers_to_a_question_given_up_change_nothing() {
    let (mut submission, number) = submitting(limits());
    let next = asked(submission.handle_timeout(submission.poll_timeout().unwrap()));
    let late = Reply::Submitted(Answer::Declined(Denial::default()));
    assert!(matches!(submission.handle_reply(CallTime::from_millis(10_001), number, late), SubmissionStep::Wait));
    let approved = Reply::Submitted(Answer::Approved(Approval::default()));
    let step = submission.handle_reply(CallTime::from_millis(10_500), next, approved);
    assert!(matches!(step, SubmissionStep::Over(Verdict::Approved(_))));
}

#[test]
fn a_wait_that_the_gateway_names_is_kept() {
    let (mut submission, number) = submitting(limits());
    let busy = Answer::NotSent { reason: "503".into(), retry_after: Some(Duration::from_secs(7)) };
    submission.handle_reply(CallTime::ZERO, number, Reply::Submitted(busy));
    assert_eq!(submission.poll_timeout(), Some(CallTime::from_millis(7000)));
    let (mut submission, number) = submitting(limits());
    let perhaps = Answer::Unknown { reason: "503".into(), retry_after: Some(Duration::from_secs(7)) };
    submission.handle_reply(CallTime::ZERO, number, Reply::Submitted(perhaps));
    assert_eq!(submission.poll_timeout(), Some(CallTime::from_millis(7000)), "in doubt too");
}

#[test]
fn a_gateway_that_says_at_once_is_looked_up_with_a_pause_all_the_same() {
    let (mut submission, number) =
        submitting(Capabilities { idempotency: Idempotency::None, looks_up: true, ..limits() });
    submission.handle_reply(CallTime::ZERO, number, unknown());
    let mut look_ups = 0_u32;
    loop {
        let now = submission.poll_timeout().unwrap();
        let number = match submission.handle_timeout(now) {
            SubmissionStep::Ask(question) => question.number,
            SubmissionStep::Over(Verdict::Unknown) => break,
            other => panic!("{other:?}"),
        };
        look_ups += 1;
        let busy = Answer::Unknown { reason: "503".into(), retry_after: Some(Duration::ZERO) };
        let step = submission.handle_reply(now, number, Reply::Resolved(Resolution::Answer(busy)));
        match step {
            SubmissionStep::Wait => {}
            SubmissionStep::Over(Verdict::Unknown) => break,
            other => panic!("asked again at once: {other:?}"),
        }
    }
    assert!(look_ups > 3 && Duration::from_millis(500).saturating_mul(look_ups) <= limits().overall, "{look_ups}");
}
