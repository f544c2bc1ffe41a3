//! What is heard: `<Say>`, `<Play>`, `<Pause>`, wherever they stand.
//!
//! Sources: Twilio, "TwiML Voice: `<Say>`" (with its list of SSML elements), `<Play>`, `<Pause>`.

use std::time::Duration;

use super::super::{Pause, Play, PlaySource, Say, Utterance};
use super::judge::{Judge, shown};
use super::tree::{Element, Node};
use super::verbs::{is_verb, text_of};

/// The longest `<Pause>`, in seconds. Chosen by us: nobody waits longer on the phone.
const PAUSE_SECONDS_MAX: u16 = 3600;

/// The SSML elements that Twilio knows, besides `sub` and Amazon's own.
const SSML: &[&str] = &["break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "w"];

const SAY: &[&str] = &["voice", "language", "loop"];
const PLAY: &[&str] = &["loop", "digits"];
const PAUSE: &[&str] = &["length"];

/// The utterance that `element` is. `Err` gives back an element that is none; `Ok(None)` is one that says nothing
/// because something in it is wrong.
pub(super) fn utterance(judge: &mut Judge, element: Element) -> Result<Option<Utterance>, Element> {
    match element.name.as_str() {
        "Say" => Ok(Some(Utterance::Say(say(judge, element)))),
        "Play" => Ok(play(judge, &element).map(Utterance::Play)),
        "Pause" => Ok(Some(Utterance::Pause(pause(judge, &element)))),
        _ => Err(element),
    }
}

fn say(judge: &mut Judge, element: Element) -> Say {
    let mut say = Say { text: String::new(), voice: None, language: None, times: 1 };
    for attribute in element.attributes {
        match attribute.name.as_str() {
            "voice" => say.voice = Some(attribute.value),
            "language" => say.language = Some(attribute.value),
            "loop" => say.times = judge.times("Say", &attribute).unwrap_or(say.times),
            _ => judge.unknown("Say", &attribute, SAY),
        }
    }
    let mut text = String::new();
    speak(judge, &element.children, &mut text);
    say.text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    say
}

/// Adds what is to be spoken of an element's content to `text`.
fn speak(judge: &mut Judge, nodes: &[Node], text: &mut String) {
    for node in nodes {
        let child = match node {
            Node::Text(_, part) => {
                text.push_str(part);
                continue;
            }
            Node::Element(child) => child,
        };
        match child.name.as_str() {
            // Words on both sides of a pause, or of a sentence's end, are two words.
            "break" | "p" | "s" => {
                text.push(' ');
                speak(judge, &child.children, text);
                text.push(' ');
            }
            "sub" => match child.attributes.iter().find(|attribute| attribute.name == "alias") {
                Some(alias) => text.push_str(&alias.value),
                None => speak(judge, &child.children, text),
            },
            name if SSML.contains(&name) || name.starts_with("amazon:") => speak(judge, &child.children, text),
            name if judge.is_unjudged(name) => {}
            name if is_verb(name) => {
                judge.error(child.position, format!("<Say> holds text, not <{name}>; is </Say> missing before it?"));
            }
            name => {
                let name = shown(name);
                judge.error(child.position, format!("<Say> holds text and SSML; <{name}> is neither"));
                speak(judge, &child.children, text);
            }
        }
    }
}

/// The audio or keys to play; `None` if there is nothing to play.
fn play(judge: &mut Judge, element: &Element) -> Option<Play> {
    let mut times = 1;
    let mut digits = None;
    let mut given = false;
    for attribute in &element.attributes {
        match attribute.name.as_str() {
            "loop" => times = judge.times("Play", attribute).unwrap_or(times),
            "digits" if attribute.value.trim().is_empty() => {}
            "digits" => {
                given = true;
                digits = judge.keys("Play", attribute);
            }
            _ => judge.unknown("Play", attribute, PLAY),
        }
    }
    let url = text_of(judge, element, "a URL");
    let source = match (digits, url.is_empty()) {
        (Some(digits), empty) => {
            if !empty {
                judge.warning(element.position, "<Play> has digits, so its URL is not played");
            }
            PlaySource::Digits(digits)
        }
        (None, false) => PlaySource::Url(url),
        (None, true) => {
            // A wrong `digits` has been told already.
            if !given {
                judge.error(element.position, "<Play> needs a URL or the attribute digits; it is skipped");
            }
            return None;
        }
    };
    Some(Play { source, times })
}

fn pause(judge: &mut Judge, element: &Element) -> Pause {
    let mut length = 1;
    for attribute in &element.attributes {
        match attribute.name.as_str() {
            "length" => {
                let seconds = judge.whole("Pause", attribute, "a whole number of seconds", 0..=PAUSE_SECONDS_MAX);
                length = seconds.unwrap_or(length);
            }
            _ => judge.unknown("Pause", attribute, PAUSE),
        }
    }
    super::verbs::nothing_in(judge, element);
    Pause { length: Duration::from_secs(length.into()) }
}
