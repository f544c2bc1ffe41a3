//! Whole messages, as Twilio, its near-clones and nobody sends them.

use super::*;
use crate::media::{AUDIO_MAX, ID_MAX, PARAMETER_MAX, PARAMETERS_MAX, START_MAX, TEXT_MAX};
use crate::tone::Key;

pub(super) const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
pub(super) const START: &str = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"session":"a1b2c3"}}}"#;
pub(super) const MEDIA: &str = r#"{"event":"media","sequenceNumber":"4","streamSid":"MZ1","media":{"track":"inbound","chunk":"2","timestamp":"20","payload":"//8A"}}"#;
pub(super) const DTMF: &str =
    r#"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"1"}}"#;
pub(super) const MARK: &str = r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"p-17"}}"#;
pub(super) const STOP: &str =
    r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#;

/// The stream after the messages; each must be read without an error.
pub(super) fn after(messages: &[&str]) -> TwilioStream {
    let mut stream = TwilioStream::new();
    for message in messages {
        stream.decode(Incoming::Text(message)).unwrap();
    }
    stream
}

pub(super) fn running() -> TwilioStream {
    after(&[CONNECTED, START])
}

/// What the first message of a fresh stream is refused with.
fn refused(message: &str) -> MediaError {
    TwilioStream::new().decode(Incoming::Text(message)).unwrap_err()
}

/// What a message of a running stream is.
#[track_caller]
fn is(message: &str, expected: Result<MediaEvent<'_>, MediaError>) {
    assert_eq!(running().decode(Incoming::Text(message)), expected, "{message}");
}

pub(super) fn key(symbol: char) -> MediaEvent<'static> {
    MediaEvent::Key(Key::parse(symbol).unwrap())
}

pub(super) fn ignored(why: Ignored) -> MediaEvent<'static> {
    MediaEvent::Ignored(why)
}

pub(super) fn start() -> Start {
    Start {
        stream_sid: "MZ1".into(),
        call_sid: "CA1".into(),
        account_sid: Some("AC1".into()),
        custom_parameters: [("session".into(), "a1b2c3".into())].into(),
    }
}

#[test]
fn the_documented_messages_are_read_in_the_documented_order() {
    let mut stream = TwilioStream::new();
    let mut reads = |message, event| assert_eq!(stream.decode(Incoming::Text(message)), Ok(event));
    reads(CONNECTED, MediaEvent::Connected);
    reads(START, MediaEvent::Started(start()));
    reads(MEDIA, MediaEvent::Audio(MuLaw(&[0xff, 0xff, 0x00])));
    reads(DTMF, key('1'));
    reads(MARK, MediaEvent::Played(MarkName::parse("p-17").unwrap()));
    reads(STOP, MediaEvent::Stopped);
    reads(MEDIA, ignored(Ignored::AfterStop));
    reads(START, ignored(Ignored::AfterStop));
    reads("rubbish", ignored(Ignored::AfterStop));
    assert_eq!(stream.decode(Incoming::Binary(&[0])), Ok(ignored(Ignored::AfterStop)));
}

#[test]
fn a_near_clone_may_leave_out_what_twilio_repeats() {
    let mut stream = TwilioStream::new();
    let mut reads = |message, event| assert_eq!(stream.decode(Incoming::Text(message)), Ok(event));
    reads(
        r#"{"start":{"streamSid":"7d56cc11","callSid":"76ac3c36"},"event":"start"}"#,
        MediaEvent::Started(Start {
            stream_sid: "7d56cc11".into(),
            call_sid: "76ac3c36".into(),
            account_sid: None,
            custom_parameters: BTreeMap::new(),
        }),
    );
    reads(CONNECTED, ignored(Ignored::RepeatedGreeting));
    reads(r#"{"event":"media","media":{"payload":""}}"#, MediaEvent::Audio(MuLaw(&[])));
    reads(r#"{"event":"dtmf","dtmf":{"digit":"d","duration":200}}"#, key('D'));
    reads(r#"{"event":"dtmf","dtmf":{"digit":4},"streamSid":null}"#, key('4'));
    reads(r#"{"event":"mark","mark":{"name":"p-17"}}"#, MediaEvent::Played(MarkName::parse("p-17").unwrap()));
    reads(r#"{"event":"stop","sequenceNumber":"999"}"#, MediaEvent::Stopped);
}

#[test]
fn the_stream_may_be_named_at_the_top_alone() {
    let message = r#"{"event":"start","streamSid":"MZ9","start":{"callSid":"CA9"}}"#;
    let mut stream = TwilioStream::new();
    let Ok(MediaEvent::Started(start)) = stream.decode(Incoming::Text(message)) else { panic!() };
    assert_eq!(start.stream_sid, "MZ9");
}

#[test]
fn what_comes_before_the_start_is_passed_over_and_a_stop_ends_the_stream() {
    for mut stream in [TwilioStream::new(), after(&[CONNECTED])] {
        for message in [MEDIA, DTMF, MARK] {
            assert_eq!(stream.decode(Incoming::Text(message)), Ok(ignored(Ignored::NotStarted)), "{message}");
        }
        assert!(matches!(stream.decode(Incoming::Text(START)), Ok(MediaEvent::Started(_))));
    }
    for mut stream in [TwilioStream::new(), after(&[CONNECTED])] {
        assert_eq!(stream.decode(Incoming::Text(STOP)), Ok(MediaEvent::Stopped));
        assert_eq!(stream.decode(Incoming::Text(START)), Ok(ignored(Ignored::AfterStop)));
    }
    assert_eq!(TwilioStream::new().encode(MediaCommand::Clear), Err(MediaError::NotStarted { message: "clear" }));
    assert_eq!(after(&[START, STOP]).encode(MediaCommand::Clear), Err(MediaError::Stopped));
    assert_eq!(TwilioStream::new().encode(MediaCommand::Close), Ok(None));
    assert_eq!(after(&[START, STOP]).encode(MediaCommand::Close), Ok(None));
}

#[test]
fn a_second_start_is_passed_over_unless_it_is_another_call_s() {
    is(START, Ok(ignored(Ignored::RepeatedStart)));
    is(r#"{"event":"start"}"#, Ok(ignored(Ignored::RepeatedStart)));
    is(r#"{"event":"start","start":7}"#, Ok(ignored(Ignored::WrongShape)));
    is(&START.replace("a1b2c3", "other"), Ok(ignored(Ignored::RepeatedStart)));
    is(&START.replace("CA1", "CA2"), Err(MediaError::OtherCall));
    is(&START.replace("MZ1", "MZ2"), Err(MediaError::OtherStream));
    is(r#"{"event":"start","start":{"streamSid":"MZ2"}}"#, Err(MediaError::OtherStream));
}

#[test]
fn a_start_has_at_most_16_kib() {
    let padded = |length: usize| format!("{START}{}", " ".repeat(length - START.len()));
    assert!(matches!(TwilioStream::new().decode(Incoming::Text(&padded(START_MAX))), Ok(MediaEvent::Started(_))));
    assert_eq!(refused(&padded(START_MAX + 1)), MediaError::StartTooLong { bytes: START_MAX + 1 });
}

#[test]
fn a_start_must_name_its_stream_and_call() {
    for (message, error) in [
        (r#"{"event":"start"}"#, MediaError::Missing { field: "start" }),
        (r#"{"event":"start","start":null}"#, MediaError::Missing { field: "start" }),
        (r#"{"event":"start","start":{"callSid":"CA1"}}"#, MediaError::Missing { field: "start.streamSid" }),
        (r#"{"event":"start","start":{"streamSid":"MZ1"}}"#, MediaError::Missing { field: "start.callSid" }),
        (
            r#"{"event":"start","start":{"streamSid":"MZ1","callSid":""}}"#,
            MediaError::BadIdentifier { field: "start.callSid" },
        ),
        (
            r#"{"event":"start","start":{"streamSid":"MZ1","callSid":"../CA1"}}"#,
            MediaError::BadIdentifier { field: "start.callSid" },
        ),
        (
            r#"{"event":"start","streamSid":"MZ\n1","start":{"callSid":"CA1"}}"#,
            MediaError::BadIdentifier { field: "streamSid" },
        ),
        (r#"{"event":"start","streamSid":"MZ2","start":{"streamSid":"MZ1","callSid":"CA1"}}"#, MediaError::OtherStream),
    ] {
        assert_eq!(refused(message), error, "{message}");
    }
    let named =
        |length| format!(r#"{{"event":"start","streamSid":"MZ","start":{{"callSid":"{}"}}}}"#, "C".repeat(length));
    assert!(matches!(TwilioStream::new().decode(Incoming::Text(&named(ID_MAX))), Ok(MediaEvent::Started(_))));
    assert_eq!(refused(&named(ID_MAX + 1)), MediaError::BadIdentifier { field: "start.callSid" });
}

#[test]
fn only_the_one_format_of_sound_is_taken() {
    let with = |format: &str| {
        let text =
            format!(r#"{{"event":"start","start":{{"streamSid":"MZ1","callSid":"CA1","mediaFormat":{{{format}}}}}}}"#);
        TwilioStream::new().decode(Incoming::Text(&text)).map(|_| ())
    };
    for format in [
        r#""encoding":"AUDIO/X-MULAW","sampleRate":"8000","channels":"1""#,
        r#""sampleRate":8000.0"#,
        r#""encoding":null,"bits":8"#,
        "",
    ] {
        assert_eq!(with(format), Ok(()), "{format}");
    }
    for format in [
        r#""encoding":"audio/x-L16","sampleRate":8000,"channels":1"#,
        r#""sampleRate":16000"#,
        r#""sampleRate":"8k""#,
        r#""sampleRate":[8000]"#,
        r#""channels":2"#,
    ] {
        assert_eq!(with(format), Err(MediaError::MediaFormat { expected: FORMATS }), "{format}");
    }
}

#[test]
fn custom_parameters_become_text_within_bounds() {
    let with = |parameters: &str| {
        let text = format!(
            r#"{{"event":"start","start":{{"streamSid":"MZ1","callSid":"CA1","customParameters":{parameters}}}}}"#
        );
        let mut stream = TwilioStream::new();
        match stream.decode(Incoming::Text(&text)) {
            Ok(MediaEvent::Started(start)) => Ok(start.custom_parameters),
            Ok(event) => panic!("{event:?}"),
            Err(error) => Err(error),
        }
    };
    let read =
        with(r#"{"amount":20.50,"big":123456789012345678901234567890,"vip":true,"name":"J\u00fcrgen \"J\"","x":null}"#);
    let text =
        [("amount", "20.50"), ("big", "123456789012345678901234567890"), ("vip", "true"), ("name", "Jürgen \"J\"")];
    assert_eq!(read, Ok(text.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()));
    assert_eq!(with("null"), Ok(BTreeMap::new()));
    assert_eq!(with(r#"{"a":{"b":"c"}}"#), Err(MediaError::NestedParameter));
    assert_eq!(with(r#"{"a":["b"]}"#), Err(MediaError::NestedParameter));
    assert!(matches!(with(r#"["a"]"#), Err(MediaError::WrongShape { .. })));

    let many = |count| {
        let all: Vec<String> = (0..count).map(|number| format!(r#""p{number}":"v""#)).collect();
        with(&format!("{{{}}}", all.join(",")))
    };
    assert_eq!(many(PARAMETERS_MAX).map(|all| all.len()), Ok(PARAMETERS_MAX));
    assert_eq!(many(PARAMETERS_MAX + 1), Err(MediaError::TooManyParameters));
    let long = |length| with(&format!(r#"{{"a":"{}"}}"#, "v".repeat(length)));
    assert!(long(PARAMETER_MAX - 1).is_ok());
    assert_eq!(long(PARAMETER_MAX), Err(MediaError::ParameterTooLong));
}

#[test]
fn of_another_stream_or_call_only_a_key_ends_this_one() {
    for message in [MEDIA, MARK, STOP] {
        is(&message.replace("MZ1", "MZ2"), Ok(ignored(Ignored::OtherStream)));
        is(&message.replace("MZ1", "mz1"), Ok(ignored(Ignored::OtherStream)));
    }
    is(&DTMF.replace("MZ1", "MZ2"), Err(MediaError::OtherStream));
    is(r#"{"event":"dtmf","callSid":"CA2","dtmf":{"digit":"1"}}"#, Err(MediaError::OtherCall));
    is(r#"{"event":"dtmf","callSid":"CA1","dtmf":{"digit":"1"}}"#, Ok(key('1')));
    is(&STOP.replace("CA1", "CA2"), Ok(ignored(Ignored::OtherStream)));
    is(&STOP.replace("AC1", "AC2"), Ok(MediaEvent::Stopped));
    is(r#"{"event":"stop","stop":{}}"#, Ok(MediaEvent::Stopped));
    is(r#"{"event":"stop","stop":null}"#, Ok(MediaEvent::Stopped));
    is(r#"{"event":"stop","stop":["CA1"]}"#, Ok(MediaEvent::Stopped));
}

#[test]
fn a_key_press_is_exactly_one_key() {
    let pressed = |digit: &str| format!(r#"{{"event":"dtmf","dtmf":{{"digit":{digit}}}}}"#);
    for symbol in "0123456789*#ABCDabcd".chars() {
        is(&pressed(&format!("\"{symbol}\"")), Ok(key(symbol)));
    }
    is(&pressed(r#""\u0023""#), Ok(key('#')));
    let wrong =
        ["\"\"", "\"12\"", "\" 1\"", "\"E\"", "\"😀\"", "\"٣\"", "\"one two\"", "10", "-1", "1.0", "true", "[1]", "{}"];
    for digit in wrong {
        is(&pressed(digit), Ok(MediaEvent::KeyLost));
    }
    for message in [r#"{"event":"dtmf"}"#, r#"{"event":"dtmf","dtmf":{}}"#, &pressed("null")] {
        is(message, Ok(MediaEvent::KeyLost));
    }
}

#[test]
fn what_cannot_be_read_and_may_be_a_key_is_a_lost_one_once_there_is_a_call() {
    for message in [
        r#"{"event":"dtmf","dtmf":"1"}"#,
        r#"{"event":"dtmf","dtmf":{"digit":"1","digit":"1"}}"#,
        r#"{"event":"dtmf","event":"dtmf","dtmf":{"digit":"1"}}"#,
        r#"[{"event":"dtmf","dtmf":{"digit":"1"}}]"#,
        r#"{"event":"dtmf","dtmf":{"digit":"1"#,
    ] {
        is(message, Ok(MediaEvent::KeyLost));
        let early = TwilioStream::new().decode(Incoming::Text(message)).map(|event| format!("{event:?}"));
        assert!(early.is_ok_and(|event| event.starts_with("Ignored")), "{message}");
    }
    assert_eq!(running().decode(Incoming::Binary(DTMF.as_bytes())), Ok(MediaEvent::KeyLost));
    // A byte order mark is no reason to lose one.
    is(&format!("\u{feff}{DTMF}"), Ok(key('1')));
}

#[test]
fn a_key_delivered_twice_is_pressed_once_and_equal_keys_are_not() {
    let mut stream = running();
    let pressed = |number: &str| format!(r#"{{"event":"dtmf",{number}"dtmf":{{"digit":"4"}}}}"#);
    let mut reads = |number: &str, event| {
        assert_eq!(stream.decode(Incoming::Text(&pressed(number))), Ok(event), "{number}");
    };
    reads(r#""sequenceNumber":"5","#, key('4'));
    reads(r#""sequenceNumber":"5","#, ignored(Ignored::RepeatedKey));
    reads(r#""sequenceNumber":6,"#, key('4'));
    reads(r#""sequenceNumber":"5","#, ignored(Ignored::RepeatedKey));
    reads("", key('4'));
    reads(r#""sequenceNumber":"next","#, key('4'));
    reads(r#""sequenceNumber":{"n":1},"#, key('4'));
    reads(r#""sequenceNumber":"6","#, ignored(Ignored::RepeatedKey));
    reads(r#""sequenceNumber":"7","#, key('4'));
}

#[test]
fn sound_is_base64_of_any_length_and_of_the_caller() {
    let media = |track: &str, payload: &str| {
        format!(r#"{{"event":"media","media":{{"track":"{track}","payload":"{payload}"}}}}"#)
    };
    is(&media("inbound_track", r"\/\/8A"), Ok(MediaEvent::Audio(MuLaw(&[0xff, 0xff, 0x00]))));
    is(&media("outbound", "!"), Ok(ignored(Ignored::OtherTrack)));
    for payload in ["!", "__8A", "AA", "AA=", "AAAA AAAA", "AAA=AAAA", "ÄÄÄÄ"] {
        is(&media("inbound", payload), Ok(ignored(Ignored::UndecodableSound)));
    }
    // From nothing to as much as a message has room for: a platform may gather it for seconds.
    for length in [0, 160, 16_000, AUDIO_MAX - 100] {
        let sound = vec![0x7f; length];
        is(&media("inbound", &STANDARD.encode(&sound)), Ok(MediaEvent::Audio(MuLaw(&sound))));
    }
    is(r#"{"event":"media"}"#, Ok(ignored(Ignored::UndecodableSound)));
    is(r#"{"event":"media","media":{}}"#, Ok(ignored(Ignored::UndecodableSound)));
    is(r#"{"event":"media","media":{"payload":7}}"#, Ok(ignored(Ignored::WrongShape)));
}

#[test]
fn a_mark_that_cannot_be_ours_is_passed_over() {
    is(r#"{"event":"mark","mark":{"name":"a b"}}"#, Ok(ignored(Ignored::ForeignMark)));
    is(r#"{"event":"mark","mark":{"name":["p-17"]}}"#, Ok(ignored(Ignored::ForeignMark)));
    is(r#"{"event":"mark","mark":{"name":17}}"#, Ok(MediaEvent::Played(MarkName::parse("17").unwrap())));
    is(r#"{"event":"mark"}"#, Ok(ignored(Ignored::NamelessMark)));
    is(r#"{"event":"mark","mark":{"name":null}}"#, Ok(ignored(Ignored::NamelessMark)));
    is(r#"{"event":"mark","mark":"p-17"}"#, Ok(ignored(Ignored::WrongShape)));
}

#[test]
fn unknown_events_and_fields_are_passed_over_whatever_they_hold() {
    is(r#"{"event":"weather","media":7,"dtmf":[],"streamSid":{}}"#, Ok(ignored(Ignored::UnknownEvent)));
    is(r#"{"event":"","x":1e999}"#, Ok(ignored(Ignored::UnknownEvent)));
    is(r#"{"x":{"event":"stop"},"event":"dtmf","dtmf":{"digit":"1","y":[{}]}}"#, Ok(key('1')));
    assert_eq!(
        TwilioStream::new().decode(Incoming::Text(r#"{"event":"weather"}"#)),
        Ok(ignored(Ignored::UnknownEvent))
    );
}

#[test]
fn what_is_no_message_is_passed_over() {
    for message in ["", " \r\n\t", "\u{feff}"] {
        is(message, Ok(ignored(Ignored::Empty)));
    }
    for message in ["media", "{", r#"{"event":"stop"} x"#, r#"{"event":"stop",}"#] {
        is(message, Ok(ignored(Ignored::NotJson)));
    }
    for message in ["7", r#""stop""#, r#"["stop"]"#, "[]", r#"{"event":7}"#, r#"{"event":"stop","event":"stop"}"#] {
        is(message, Ok(ignored(Ignored::WrongShape)));
    }
    for message in ["{}", r#"{"event":null}"#, r#"{"ping":1}"#, "\u{feff}{}"] {
        is(message, Ok(ignored(Ignored::NoEvent)));
    }
    for message in [&b""[..], b"\xff\x00", MEDIA.as_bytes()] {
        assert_eq!(running().decode(Incoming::Binary(message)), Ok(ignored(Ignored::Binary)));
    }
}

#[test]
fn a_first_message_of_another_platform_is_refused_by_name_and_a_later_one_passed_over() {
    let vonage = r#"{"event":"websocket:connected","content-type":"audio/l16;rate=8000"}"#;
    assert_eq!(refused(vonage), MediaError::OtherDialect { platform: "Vonage" });
    is(vonage, Ok(ignored(Ignored::UnknownEvent)));
}

#[test]
fn a_message_of_64_kib_is_read() {
    let padded = |length: usize| format!("{DTMF}{}", " ".repeat(length - DTMF.len()));
    is(&padded(TEXT_MAX), Ok(key('1')));
}

#[test]
fn deep_nesting_costs_no_stack() {
    let (open, close) = ("[".repeat(30_000), "]".repeat(30_000));
    let nested = format!("{open}{close}");
    is(&format!(r#"{{"event":"weather","x":{nested}}}"#), Ok(ignored(Ignored::UnknownEvent)));
    is(&format!(r#"{{"event":"dtmf","dtmf":{{"digit":{nested}}}}}"#), Ok(MediaEvent::KeyLost));
    is(&format!(r#"{{"event":"dtmf","x":{nested},"dtmf":{{"digit":"1"}}}}"#), Ok(key('1')));
    let nested = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
    let parameter =
        format!(r#"{{"event":"start","start":{{"customParameters":{{"a":{nested}}},"streamSid":"M","callSid":"C"}}}}"#);
    assert_eq!(refused(&parameter), MediaError::NestedParameter);
    for message in ["[".repeat(50_000), r#"{"a":"#.repeat(10_000), format!(r#"{{"media":{}"#, "[".repeat(50_000))] {
        let mut stream = running();
        let read = stream.decode(Incoming::Text(&message));
        assert!(matches!(read, Ok(MediaEvent::Ignored(_))), "{read:?}");
    }
}

#[test]
fn neither_an_error_nor_an_event_repeats_anything_of_the_message() {
    for message in [
        r#"{"event":"dtmf","dtmf":{"digit":"4242 secret"}}"#,
        r#"{"event":"dtmf","dtmf":"4242 secret"}"#,
        r#"{"event":"dtmf","streamSid":"4242 secret","dtmf":{"digit":"1"}}"#,
        r#"{"event":"media","media":{"payload":"4242 secret"}}"#,
        r#"{"event":"media","media":{"payload":{"4242 secret":1}}}"#,
        r#"{"event":"stop","stop":{"callSid":"4242 secret"}}"#,
        r#"{"event":"start","start":{"callSid":"4242 secret"}}"#,
        r#"{"event":"stop" 4242 secret"#,
        r#"{"event":"4242 secret"}"#,
    ] {
        let shown = match running().decode(Incoming::Text(message)) {
            Ok(event) => format!("{event:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains("4242") && !shown.contains("secret"), "{shown}");
    }
}

#[test]
fn exactly_the_documented_messages_are_written() {
    let stream = running();
    let writes = |command, expected: &str| {
        let Ok(Some(Frame::Text(text))) = stream.encode(command) else { panic!("{command:?}") };
        assert_eq!(text, expected);
    };
    let mark = MarkName::parse("p-17").unwrap();
    writes(
        MediaCommand::Audio(MuLaw(&[0xff, 0xff, 0x00])),
        r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8A"}}"#,
    );
    writes(MediaCommand::Mark(&mark), r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"p-17"}}"#);
    writes(MediaCommand::Clear, r#"{"event":"clear","streamSid":"MZ1"}"#);
}

#[test]
fn a_frame_of_sound_is_written_into_one_block() {
    for length in [0, 160, 8000] {
        let command = MediaCommand::Audio(MuLaw(&[0; 8000][..length]));
        let Ok(Some(Frame::Text(text))) = running().encode(command) else { panic!("{length}") };
        assert!(text.capacity() < text.len() + FRAMING, "{} for {}", text.capacity(), text.len());
    }
}
