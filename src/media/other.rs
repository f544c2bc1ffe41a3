//! Whose stream a first message looks like that does not fit its path.
//!
//! Shape:   [`platform`], a pure function. A diagnostic: it never chooses a dialect, as a client could choose a weaker rule so.
//! Sources: spec/media-streams.md, section 9.

use serde::Deserialize;

use super::json::{self, JsonObject, JsonText, RawJson};

/// What first messages are told apart by.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FirstMessage<'a> {
    #[serde(borrow)]
    event: Option<JsonText<'a>>,
    #[serde(borrow)]
    call_sid: Option<RawJson<'a>>,
    #[serde(borrow)]
    sample_rate: Option<RawJson<'a>>,
    #[serde(borrow)]
    mix_type: Option<RawJson<'a>>,
    #[serde(borrow, rename = "stream_id")]
    stream_id: Option<RawJson<'a>>,
    #[serde(borrow)]
    start: Option<JsonObject<FirstStart<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FirstStart<'a> {
    #[serde(borrow)]
    stream_id: Option<RawJson<'a>>,
    #[serde(borrow)]
    stream_sid: Option<RawJson<'a>>,
}

/// The platform whose streams, unlike Twilio's and its near-clones', begin with `text`. None: it is no such message.
pub(super) fn platform(text: &str) -> Option<&'static str> {
    if text.starts_with("MEDIA_START ") {
        return Some("Asterisk");
    }
    let first: FirstMessage<'_> = json::object(text).ok()?;
    match first.event.as_ref().map(|JsonText(event)| event.as_ref()) {
        Some("websocket:connected") => Some("Vonage"),
        Some("MEDIA_START") => Some("Asterisk"),
        Some("start") if first.stream_id.is_some() => Some("Telnyx"),
        Some("start") => {
            let JsonObject(start) = first.start?;
            (start.stream_id.is_some() && start.stream_sid.is_none()).then_some("Plivo")
        }
        None if first.call_sid.is_some() && first.sample_rate.is_some() && first.mix_type.is_some() => Some("jambonz"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::platform;

    #[test]
    fn the_first_messages_of_other_platforms_are_known_and_those_of_near_clones_are_not_theirs() {
        for (text, expected) in [
            (r#"{"event":"websocket:connected","content-type":"audio/l16;rate=8000"}"#, Some("Vonage")),
            (r#"{"event":"MEDIA_START","format":"ulaw"}"#, Some("Asterisk")),
            ("MEDIA_START connection_id:1 format:ulaw", Some("Asterisk")),
            (r#"{"callSid":"1","sampleRate":8000,"mixType":"mono"}"#, Some("jambonz")),
            (r#"{"sequenceNumber":0,"event":"start","start":{"callId":"1","streamId":"2"}}"#, Some("Plivo")),
            (r#"{"event":"start","stream_id":"1","start":{"call_control_id":"2"}}"#, Some("Telnyx")),
            (r#"{"event":"connected"}"#, None),
            (r#"{"event":"connected","protocol":"Call","version":"0.2.0"}"#, None),
            (r#"{"event":"start","start":{"streamSid":"MZ1","callSid":"CA1"}}"#, None),
            (r#"{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1"}}"#, None),
            (r#"{"ping":1}"#, None),
            ("", None),
            ("[]", None),
        ] {
            assert_eq!(platform(text), expected, "{text}");
        }
    }
}
