//! What the one list of dialects and the session can carry, shown by a dialect that needs all of it.

use super::*;
use crate::media::{MediaSession, dialect};

fn request<'a>(query: Option<&'a str>, headers: &'a [(&'a str, &'a [u8])]) -> UpgradeRequest<'a> {
    UpgradeRequest { path: "/media/demo/pay", query, headers, call_sid: "CA00000000000000000000000000000001" }
}

fn opened(query: Option<&str>) -> Result<MediaSession, MediaError> {
    MediaSession::open(dialect("demo").unwrap(), &request(query, &[]))
}

fn at(millis: u64) -> CallTime {
    CallTime::from_millis(millis)
}

fn frames(session: &mut MediaSession) -> Vec<Frame> {
    std::iter::from_fn(|| session.poll_frame()).collect()
}

fn events(session: &mut MediaSession) -> Vec<MediaEvent<'static>> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

fn running(query: Option<&str>) -> MediaSession {
    let mut session = opened(query).unwrap();
    session.handle_message(at(0), Incoming::Text(r#"{"parameters":{"order":7}}"#)).unwrap();
    frames(&mut session);
    session
}

fn mark(name: &str) -> MarkName {
    MarkName::parse(name).unwrap()
}

fn key(symbol: char) -> MediaEvent<'static> {
    MediaEvent::Key(Key::parse(symbol).unwrap())
}

#[test]
fn an_upgrade_is_answered_with_a_subprotocol_that_it_offers_and_refused_if_it_offers_others_only() {
    let chosen = |offered: &'static str| {
        let headers: &[(&str, &[u8])] = &[("sec-websocket-protocol", offered.as_bytes())];
        MediaSession::open(&DIALECT, &request(None, headers)).map(|session| session.subprotocol())
    };
    assert_eq!(chosen("other, audio.demo"), Ok(Some("audio.demo")));
    assert_eq!(chosen("demo"), Ok(Some("demo")));
    assert_eq!(chosen("audio.jambonz.org"), Err(MediaError::Subprotocol));
    assert_eq!(opened(None).unwrap().subprotocol(), None);
    let headers: &[(&str, &[u8])] = &[("sec-websocket-protocol", b"audio.demo")];
    let twilio = MediaSession::open(dialect("twilio").unwrap(), &request(None, headers)).unwrap();
    assert_eq!(twilio.subprotocol(), None, "it has none");
}

#[test]
fn a_platform_without_ids_gets_those_of_the_server_and_is_answered_at_once() {
    let mut session = opened(None).unwrap();
    let text = Incoming::Text(r#"{"parameters":{"order":7}}"#);
    let Ok(MediaEvent::Started(start)) = session.handle_message(at(0), text) else { panic!() };
    assert_eq!(start.call_sid, "CA00000000000000000000000000000001");
    assert_eq!(start.stream_sid, start.call_sid);
    assert_eq!(start.custom_parameters, [("order".to_owned(), "7".to_owned())].into());
    assert_eq!(frames(&mut session), [Frame::Text(r#"{"action":"answer"}"#.to_owned())]);
}

#[test]
fn a_prompt_goes_out_in_messages_of_exactly_ten_milliseconds_in_the_format_that_was_asked_for() {
    for (query, bytes) in [(None, 320), (Some("rate=16000"), 320), (Some("rate=24000"), 480)] {
        let mut session = running(query);
        let mut sent = 0;
        for piece in [vec![0x80; 160], vec![0x80; 160], vec![0x80; 50]] {
            session.handle_command(at(0), MediaCommand::Audio(MuLaw(&piece))).unwrap();
            let frames = frames(&mut session);
            assert!(frames.iter().all(|frame| matches!(frame, Frame::Binary(sound) if sound.len() == bytes)));
            sent += frames.len();
        }
        assert_eq!(sent, 3, "{query:?}: 40 ms, less what the resampler still needs");
        session.handle_command(at(0), MediaCommand::Mark(&mark("p-1"))).unwrap();
        assert_eq!(frames(&mut session).len(), 2, "46.25 ms are five messages, and the mark is none");
    }
    let refused = opened(Some("rate=8000")).unwrap_err();
    assert_eq!(refused, MediaError::MediaFormat { expected: SENDS });
    assert!(
        refused
            .to_string()
            .ends_with("audio/x-l16 at 16000 Hz with 1 channel, or audio/x-l16 at 24000 Hz with 1 channel")
    );
}

#[test]
fn marks_that_the_platform_knows_nothing_of_come_back_when_their_sound_was_heard() {
    let mut session = running(None);
    session.handle_command(at(1000), MediaCommand::Audio(MuLaw(&[0x80; 1600]))).unwrap();
    session.handle_command(at(1000), MediaCommand::Mark(&mark("p-1"))).unwrap();
    session.handle_command(at(1000), MediaCommand::Audio(MuLaw(&[0x80; 800]))).unwrap();
    session.handle_command(at(1000), MediaCommand::Mark(&mark("p-2"))).unwrap();
    assert_eq!(session.poll_timeout(), Some((at(1201), "mark")));
    session.handle_timeout(at(1200)).unwrap();
    assert_eq!(events(&mut session), []);
    session.handle_timeout(at(1201)).unwrap();
    assert_eq!(events(&mut session), [MediaEvent::Played(mark("p-1"))]);
    assert_eq!(session.poll_timeout(), Some((at(1301), "mark")));
    frames(&mut session);
    session.handle_command(at(1250), MediaCommand::Clear).unwrap();
    assert_eq!(frames(&mut session), [Frame::Text(r#"{"action":"clear"}"#.to_owned())]);
    assert_eq!(events(&mut session), [MediaEvent::Played(mark("p-2"))]);
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn keys_that_come_in_any_order_are_told_in_theirs_and_none_is_lost_at_the_end() {
    let pressed = |digit: char, at: u64| format!(r#"{{"event":"key","digit":"{digit}","at":{at}}}"#);
    let mut session = running(None);
    for (digit, when) in [('5', 310), ('4', 300)] {
        let handled = session.handle_message(at(400), Incoming::Text(&pressed(digit, when)));
        assert_eq!(handled, Ok(MediaEvent::Handled));
    }
    assert_eq!((events(&mut session), session.poll_timeout()), (vec![], Some((at(460), "keys"))));
    session.handle_timeout(at(460)).unwrap();
    assert_eq!(events(&mut session), [key('4'), key('5')]);
    session.handle_message(at(500), Incoming::Text(&pressed('6', 320))).unwrap();
    session.handle_message(at(501), Incoming::Text(r#"{"event":"bye"}"#)).unwrap();
    assert_eq!(events(&mut session), [key('6'), MediaEvent::Stopped]);
    assert_eq!(session.odd().total(), 0);
    assert_eq!(session.handle_command(at(502), MediaCommand::Clear), Err(MediaError::Stopped));
    assert_eq!(session.handle_command(at(502), MediaCommand::Close), Ok(()));
    assert_eq!(frames(&mut session), []);
}

#[test]
fn a_caller_s_sound_is_telephone_sound_however_its_messages_are_cut() {
    let sound: Vec<u8> =
        (0..3200).map(|at| ((at as f64 * 0.2).sin() * 9000.0) as i16).flat_map(i16::to_le_bytes).collect();
    let heard = |piece: usize| {
        let (mut session, mut heard) = (running(None), Vec::new());
        for piece in sound.chunks(piece) {
            match session.handle_message(at(0), Incoming::Binary(piece)) {
                Ok(MediaEvent::Audio(MuLaw(samples))) => heard.extend_from_slice(samples),
                other => panic!("{other:?}"),
            }
        }
        heard
    };
    assert_eq!(heard(640).len(), 1600 - 80, "all but the filter's delay");
    assert_eq!(heard(640), heard(333));
}

#[test]
fn what_the_platform_wants_to_hear_before_a_close_is_said() {
    let mut session = running(None);
    session.handle_command(at(0), MediaCommand::Close).unwrap();
    assert_eq!(frames(&mut session), [Frame::Text(r#"{"action":"hangup"}"#.to_owned())]);
}
