//! What holds for every stream: nothing brings it down, and how a message is written does not matter.

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{CONNECTED, DTMF, MARK, MEDIA, START, STOP, after, ignored, key, running, start};
use super::*;

/// A field of an object, as JSON; `None` where the field is left out.
type Field = Option<String>;

/// An object of the fields in any order, with a field that no dialect has.
fn object(fields: Vec<Field>) -> impl Strategy<Value = String> {
    let rest = prop_oneof![Just(r#""extra":{"event":"stop","digit":["7"]}"#), Just(r#""zusätzlich":-1.5e300"#)];
    (rest, any::<bool>()).prop_flat_map(move |(rest, add)| {
        let fields: Vec<String> = fields.iter().flatten().cloned().chain(add.then(|| rest.to_owned())).collect();
        Just(fields).prop_shuffle().prop_map(|fields| format!("{{{}}}", fields.join(",")))
    })
}

fn field(name: &str, value: impl fmt::Display) -> Field {
    Some(format!("\"{name}\":{value}"))
}

/// A number as one platform or another writes it.
fn written(number: u64) -> impl Strategy<Value = String> {
    prop_oneof![Just(format!("{number}")), Just(format!("\"{number}\""))]
}

/// A message: its fields in any order, its part likewise.
fn message(event: &'static str, number: u64, part: Vec<Field>, sid: bool) -> BoxedStrategy<String> {
    (written(number), object(part), any::<bool>())
        .prop_flat_map(move |(number, part, numbered)| {
            object(vec![
                field("event", format_args!("\"{event}\"")),
                numbered.then(|| field("sequenceNumber", number)).flatten(),
                sid.then(|| field("streamSid", "\"MZ1\"")).flatten(),
                field(event, part),
            ])
        })
        .boxed()
}

/// What a step of a call is, apart from how it is written.
#[derive(Clone, Debug)]
enum Step {
    Heard(Vec<u8>),
    Pressed(char),
    Played(String),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        vec(any::<u8>(), 0..400).prop_map(Step::Heard),
        proptest::sample::select("0123456789*#ABCD".chars().collect::<Vec<_>>()).prop_map(Step::Pressed),
        "[A-Za-z0-9_-]{1,40}".prop_map(Step::Played),
    ]
}

/// A call: its steps, and the messages that tell of them.
fn call() -> impl Strategy<Value = (Vec<Step>, Vec<String>)> {
    vec(step(), 0..12).prop_flat_map(|steps| {
        let start = written(8000).prop_flat_map(|rate| {
            let start = vec![
                field("streamSid", "\"MZ1\""),
                field("callSid", "\"CA1\""),
                field("accountSid", "\"AC1\""),
                field("mediaFormat", format_args!("{{\"channels\":1,\"sampleRate\":{rate}}}")),
                field("customParameters", r#"{"session":"a1b2c3"}"#),
            ];
            message("start", 1, start, true)
        });
        let told = steps.iter().zip(2..).map(|(step, number)| match step {
            Step::Heard(samples) => {
                let payload = STANDARD.encode(samples);
                let part = vec![
                    field("track", "\"inbound\""),
                    field("chunk", number),
                    field("payload", format_args!("\"{payload}\"")),
                ];
                message("media", number, part, number % 2 == 0)
            }
            Step::Pressed(symbol) => {
                message("dtmf", number, vec![field("digit", format_args!("\"{symbol}\""))], number % 3 == 0)
            }
            Step::Played(name) => {
                message("mark", number, vec![field("name", format_args!("\"{name}\""))], number % 3 == 1)
            }
        });
        let stop = message("stop", steps.len() as u64 + 2, vec![field("callSid", "\"CA1\"")], true);
        let told: Vec<_> = std::iter::once(start.boxed()).chain(told).chain([stop]).collect();
        (Just(steps), told)
    })
}

proptest! {
    #[test]
    fn no_text_brings_a_stream_down(messages in vec(".{0,80}", 0..8), start in any::<bool>()) {
        let mut stream = if start { running() } else { TwilioStream::new() };
        for message in &messages {
            let _ = stream.decode(Incoming::Text(message));
            let _ = stream.decode(Incoming::Binary(message.as_bytes()));
        }
    }

    #[test]
    fn no_damage_to_a_message_brings_a_stream_down(
        message in proptest::sample::select(vec![CONNECTED, START, MEDIA, DTMF, MARK, STOP]),
        place in any::<proptest::sample::Index>(),
        damage in "[\\[\\]{}\":,0-9a-z\\\\é]{0,3}",
        cut in 0..4_usize,
        start in any::<bool>(),
    ) {
        let at = place.index(message.len());
        let rest = message.get(at + cut..).unwrap_or_default();
        let damaged = format!("{}{damage}{rest}", &message[..at]);
        let mut stream = if start { running() } else { TwilioStream::new() };
        let _ = stream.decode(Incoming::Text(&damaged));
    }

    #[test]
    fn however_it_is_written_a_call_is_the_same((steps, messages) in call()) {
        let mut stream = TwilioStream::new();
        let (first, rest) = messages.split_first().unwrap();
        prop_assert_eq!(stream.decode(Incoming::Text(first)), Ok(MediaEvent::Started(start())));
        let (last, told) = rest.split_last().unwrap();
        for (step, message) in steps.iter().zip(told) {
            let event = match step {
                Step::Heard(samples) => MediaEvent::Audio(MuLaw(samples)),
                Step::Pressed(symbol) => key(*symbol),
                Step::Played(name) => MediaEvent::Played(MarkName::parse(name).unwrap()),
            };
            prop_assert_eq!(stream.decode(Incoming::Text(message)), Ok(event), "{}", message);
        }
        prop_assert_eq!(stream.decode(Incoming::Text(last)), Ok(MediaEvent::Stopped));
    }

    #[test]
    fn what_is_written_is_json_that_says_the_same(samples in vec(any::<u8>(), 0..400), sid in "[!-.0-\\[\\]-~]{1,40}") {
        let start = serde_json::json!({"event": "start", "start": {"streamSid": sid, "callSid": "CA1"}}).to_string();
        let mut stream = after(&[&start]);
        let mark = MarkName::parse("p-17").unwrap();
        let commands = [MediaCommand::Audio(MuLaw(&samples)), MediaCommand::Mark(&mark), MediaCommand::Clear];
        for (command, event) in commands.into_iter().zip(["media", "mark", "clear"]) {
            let Ok(Some(Frame::Text(text))) = stream.encode(command) else { panic!("{event}") };
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&json["event"], event);
            prop_assert_eq!(&json["streamSid"], &sid);
            // The platform's own messages have the same shape, so they can be read back.
            let back = match command {
                MediaCommand::Audio(samples) => MediaEvent::Audio(samples),
                MediaCommand::Mark(name) => MediaEvent::Played(name.clone()),
                MediaCommand::Clear | MediaCommand::Close => ignored(Ignored::UnknownEvent),
            };
            prop_assert_eq!(stream.decode(Incoming::Text(&text)), Ok(back));
        }
    }
}
