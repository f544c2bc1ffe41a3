use super::*;
use crate::pay::gateway::{Approval, Denial, Idempotency};
use crate::pay::sandbox;
use crate::pay::step::PayErrorCode;

fn at(seconds: u64) -> CallTime {
    CallTime::ZERO + Duration::from_secs(seconds)
}

fn recovery(can: Capabilities, note: Option<&str>, sent_ago: Option<u64>) -> Recovery {
    let sent = sent_ago.map(Duration::from_secs).map(|ago| SentTimes { first: ago, last: ago });
    let note = note.map(|note| RecoveryNote(note.to_owned()));
    Recovery::start(Some(can), Remembered { sent, note, told_unknown: false })
}

fn gateway(replays: bool, looks_up: bool) -> Capabilities {
    let idempotency = if replays { Idempotency::FirstResult } else { Idempotency::None };
    Capabilities { idempotency, looks_up, ..sandbox::capabilities() }
}

fn asked(step: RecoveryStep) -> Question {
    match step {
        RecoveryStep::Ask(question) => question,
        other => panic!("{other:?}"),
    }
}

fn approved() -> Answer {
    Answer::Approved(Approval::default())
}

#[test]
fn what_never_left_is_over_at_once() {
    let mut recovery = recovery(gateway(true, true), Some("pm_1"), None);
    assert!(matches!(recovery.handle_timeout(at(0)), RecoveryStep::Over(Verdict::Unavailable)));
    assert_eq!(recovery.poll_timeout(), None);
}

#[test]
fn a_note_that_stands_for_the_card_is_submitted_again() {
    let mut recovery = recovery(gateway(true, true), Some("pm_1"), Some(5));
    let question = asked(recovery.handle_timeout(at(0)));
    assert_eq!(question.what, Ask::Submit(Some(RecoveryNote("pm_1".into()))));
    let step = recovery.handle_reply(at(1), question.number, Reply::Submitted(approved()));
    assert!(matches!(step, RecoveryStep::Over(Verdict::Approved(_))));
}

#[test]
fn a_gateway_that_repeats_that_it_broke_down_is_asked_what_it_did_before() {
    let mut recovery = recovery(gateway(true, true), Some("pm_1"), Some(5));
    let question = asked(recovery.handle_timeout(at(0)));
    let broken = Reply::Submitted(Answer::unknown("HTTP status 500"));
    assert!(matches!(recovery.handle_reply(at(0), question.number, broken), RecoveryStep::Wait));
    let question = asked(recovery.handle_timeout(recovery.poll_timeout().unwrap()));
    assert_eq!(question.what, Ask::Resolve(Some(RecoveryNote("pm_1".into()))));
    // It may not have arrived there: then it is repeated.
    let not_found = Reply::Resolved(Resolution::NotFound);
    assert!(matches!(recovery.handle_reply(at(1), question.number, not_found), RecoveryStep::Wait));
    let question = asked(recovery.handle_timeout(recovery.poll_timeout().unwrap()));
    assert!(matches!(question.what, Ask::Submit(_)));
    let mut blind = super::tests::recovery(gateway(true, false), Some("pm_1"), Some(5));
    let question = asked(blind.handle_timeout(at(0)));
    let broken = Reply::Submitted(Answer::unknown("HTTP status 500"));
    blind.handle_reply(at(0), question.number, broken);
    assert!(
        matches!(asked(blind.handle_timeout(blind.poll_timeout().unwrap())).what, Ask::Submit(_)),
        "it cannot look up"
    );
}

#[test]
fn after_the_gateway_has_forgotten_the_key_nothing_is_submitted() {
    let day = 24 * 60 * 60;
    let question = asked(recovery(gateway(true, true), Some("pm_1"), Some(day)).handle_timeout(at(0)));
    assert!(matches!(question.what, Ask::Resolve(_)));
    let mut blind = recovery(gateway(true, false), Some("pm_1"), Some(day));
    assert!(matches!(blind.handle_timeout(at(0)), RecoveryStep::TellUnknown));
    assert!(matches!(blind.handle_timeout(at(0)), RecoveryStep::GivenUp));
}

#[test]
fn where_nobody_can_tell_it_is_told_as_unknown_at_once_and_never_again() {
    for can in [Some(gateway(true, false)), Some(gateway(false, false)), None] {
        let sent = Some(SentTimes { first: Duration::ZERO, last: Duration::ZERO });
        let mut recovery = Recovery::start(can, Remembered { sent, note: None, told_unknown: false });
        assert!(matches!(recovery.handle_timeout(at(0)), RecoveryStep::TellUnknown));
        assert!(matches!(recovery.handle_timeout(at(0)), RecoveryStep::GivenUp));
        assert!(matches!(recovery.handle_timeout(at(9)), RecoveryStep::GivenUp));
    }
}

#[test]
fn a_payment_that_a_look_up_does_not_find_was_not_made_once_the_gateway_has_had_its_time() {
    let mut recovery = recovery(gateway(false, true), None, Some(5));
    let question = asked(recovery.handle_timeout(at(0)));
    let step = recovery.handle_reply(at(1), question.number, Reply::Resolved(Resolution::NotFound));
    assert!(matches!(step, RecoveryStep::Wait), "it may be on its way there");
    let due = recovery.poll_timeout().unwrap();
    let question = asked(recovery.handle_timeout(due));
    let step = recovery.handle_reply(at(5), question.number, Reply::Resolved(Resolution::NotFound));
    assert!(matches!(step, RecoveryStep::Over(Verdict::Unavailable)));
}

#[test]
fn a_gateway_that_cannot_tell_is_not_asked_again() {
    let mut recovery = recovery(gateway(true, true), None, Some(5));
    let question = asked(recovery.handle_timeout(at(0)));
    let step = recovery.handle_reply(at(1), question.number, Reply::Resolved(Resolution::CannotTell));
    assert!(matches!(step, RecoveryStep::TellUnknown), "{step:?}");
    assert!(matches!(recovery.handle_timeout(at(1)), RecoveryStep::GivenUp));
}

#[test]
fn a_repeat_that_is_refused_says_nothing_of_the_first() {
    let mut recovery = recovery(gateway(true, true), Some("pm_1"), Some(5));
    let question = asked(recovery.handle_timeout(at(0)));
    let refused = Answer::Refused(PayErrorCode::Configuration, Denial::default());
    assert!(matches!(recovery.handle_reply(at(1), question.number, Reply::Submitted(refused)), RecoveryStep::Wait));
    let question = asked(recovery.handle_timeout(recovery.poll_timeout().unwrap()));
    assert!(matches!(question.what, Ask::Resolve(_)));
}

#[test]
fn a_repeat_that_is_declined_is_the_outcome_only_where_it_is_the_first_result() {
    for idempotency in [Idempotency::FirstResult, Idempotency::ActsOnce] {
        for looks_up in [false, true] {
            let can = Capabilities { idempotency, ..gateway(true, looks_up) };
            let mut recovery = recovery(can, Some("pm_1"), Some(5));
            let question = asked(recovery.handle_timeout(at(0)));
            let duplicate = Answer::Declined(Denial { code: Some("duplicate".into()), ..Denial::default() });
            match recovery.handle_reply(at(1), question.number, Reply::Submitted(duplicate)) {
                RecoveryStep::Over(Verdict::Declined(_)) => assert_eq!(idempotency, Idempotency::FirstResult),
                RecoveryStep::TellUnknown => {
                    assert!(idempotency == Idempotency::ActsOnce && !looks_up);
                    assert!(matches!(recovery.handle_timeout(at(1)), RecoveryStep::GivenUp));
                }
                RecoveryStep::Wait => {
                    assert!(idempotency == Idempotency::ActsOnce && looks_up);
                    let question = asked(recovery.handle_timeout(recovery.poll_timeout().unwrap()));
                    assert!(matches!(question.what, Ask::Resolve(_)), "{question:?}");
                    // What it was asked about is the first one.
                    let found = Reply::Resolved(Resolution::Answer(Answer::Declined(Denial::default())));
                    let step = recovery.handle_reply(at(9), question.number, found);
                    assert!(matches!(step, RecoveryStep::Over(Verdict::Declined(_))), "{step:?}");
                }
                step => panic!("{step:?}"),
            }
        }
    }
}

#[test]
fn a_gateway_that_is_away_is_asked_for_a_day_and_the_application_told_after_a_minute() {
    let mut recovery = recovery(gateway(false, true), None, Some(5));
    let (mut now, mut told, mut questions) = (at(0), None, 0);
    let mut step = recovery.handle_timeout(now);
    loop {
        match step {
            RecoveryStep::Ask(_) => questions += 1,
            RecoveryStep::TellUnknown => {
                assert!(told.replace(now).is_none(), "told once");
                step = recovery.handle_timeout(now);
                continue;
            }
            RecoveryStep::GivenUp => break,
            RecoveryStep::Wait => {}
            RecoveryStep::Over(verdict) => panic!("{verdict:?}"),
        }
        now = recovery.poll_timeout().unwrap();
        step = recovery.handle_timeout(now);
    }
    let told = told.unwrap() - CallTime::ZERO;
    let told = told + Duration::from_secs(5);
    assert!(told >= TIME_LIMIT && told < TIME_LIMIT * 3, "{told:?}");
    assert!(now >= at(24 * 60 * 60) && questions > 100 && questions < 300, "{questions} until {now:?}");
}

#[test]
fn a_server_that_starts_again_and_again_tells_that_nobody_knows_all_the_same() {
    let mut recovery = recovery(gateway(false, true), None, Some(600));
    let (mut now, mut questions) = (at(0), 0);
    let mut step = recovery.handle_timeout(now);
    loop {
        step = match step {
            RecoveryStep::Ask(question) => {
                questions += 1;
                let unclear = Resolution::Answer(Answer::unknown("HTTP status 503"));
                recovery.handle_reply(now, question.number, Reply::Resolved(unclear))
            }
            RecoveryStep::Wait => {
                now = recovery.poll_timeout().unwrap();
                recovery.handle_timeout(now)
            }
            step => {
                assert!(matches!(step, RecoveryStep::TellUnknown), "{step:?}");
                break;
            }
        };
    }
    assert!(questions == 3 && now < at(30), "{questions} until {now:?}");
}

#[test]
fn a_late_answer_is_an_outcome_and_a_stray_one_nothing() {
    let sent = Some(SentTimes { first: Duration::from_secs(90), last: Duration::from_secs(90) });
    let remembered = Remembered { sent, note: None, told_unknown: true };
    let mut recovery = Recovery::start(Some(gateway(false, true)), remembered);
    let question = asked(recovery.handle_timeout(at(0)));
    let stray = recovery.handle_reply(at(1), question.number + 1, Reply::Resolved(Resolution::CannotTell));
    assert!(matches!(stray, RecoveryStep::Wait));
    let late = Reply::Resolved(Resolution::Answer(approved()));
    assert!(matches!(recovery.handle_reply(at(2), question.number, late), RecoveryStep::Over(Verdict::Approved(_))));
}
