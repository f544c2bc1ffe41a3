//! What an application's answer is: a document, words to be read out, a recording to be played, or a fault.
//!
//! Shape:   [`read_answer`], a pure function of `Content-Type` and body; every world reads answers with it.
//! Limits:  [`twiml::SIZE_MAX`] for documents and words; of a recording only the `Content-Type` counts here.
//! Errors:  [`FetchFailure`]: 12300 for a type that nothing can be done with, 12100 for a document that cannot be read.
//! Sources: Twilio, "TwiML for Programmable Voice", "Twilio understands MIME types"; errors 12100 and 12300.

use std::borrow::Cow;

use url::Url;

use super::event::{FetchFailure, NextDocument};
use super::link::{Origin, ShownUrl};
use crate::mask::refused;
use crate::twiml::encoding::{EncodingFault, decode};
use crate::twiml::{self, Document, Fault, Placed, Play, PlaySource, Position, Say, Severity, Verb};

/// An answer as it came.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// `Content-Type`, if there is one.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: Body<'a>,
    /// Whether there was more of it than was read.
    pub cut: bool,
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// In the encoding that it names (`twiml::encoding`).
    Bytes(&'a [u8]),
    /// As text, whatever encoding it came in.
    Text(&'a str),
}

impl<'a> Received<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self.body {
            Body::Bytes(bytes) => bytes,
            Body::Text(text) => text.as_bytes(),
        }
    }

    /// The text of the body.
    ///
    /// # Errors
    /// Where it is not of the encoding that it names.
    pub fn text(&self) -> Result<Cow<'a, str>, EncodingFault> {
        match self.body {
            Body::Bytes(bytes) => decode(bytes, self.charset()).map(Cow::Owned),
            Body::Text(text) => Ok(Cow::Borrowed(text)),
        }
    }

    /// The parameter `charset` of the `Content-Type`.
    fn charset(&self) -> Option<&'a str> {
        let parameters = self.content_type?.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
        let charset = |(name, _): &(&str, &str)| name.trim().eq_ignore_ascii_case("charset");
        parameters.into_iter().find(charset).map(|(_, value)| value.trim().trim_matches(['"', '\'']))
    }
}

/// Where a document that an answer only stands for begins.
const BEGINNING: Position = Position { line: 1, column: 1 };

/// What to do with a `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContentKind {
    /// Read it as TwiML.
    TwiMl,
    /// Read it out.
    Text,
    /// Play it.
    Audio,
    /// There is none: look at the body.
    Missing,
    /// Nothing.
    Other,
}

impl ContentKind {
    fn of(content_type: Option<&str>) -> Self {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "" => Self::Missing,
            // Twilio's list of MIME types has text/html as TwiML too.
            "text/xml" | "application/xml" | "text/html" => Self::TwiMl,
            "text/plain" => Self::Text,
            other if other.starts_with("audio/") => Self::Audio,
            other if other.starts_with("application/") && other.ends_with("+xml") => Self::TwiMl,
            _ => Self::Other,
        }
    }
}

/// Makes a document of the answer that `url` gave. No body is a document without verbs, whatever its type.
///
/// # Errors
/// When the type is none of those Twilio understands, or the document cannot be read.
pub fn read_answer(url: Url, answer: Received<'_>) -> Result<NextDocument, FetchFailure> {
    let place = ShownUrl(&url).to_string();
    let document = if answer.bytes().trim_ascii().is_empty() {
        Document::default()
    } else {
        match ContentKind::of(answer.content_type) {
            // Its body is not kept: the player fetches the recording from where it is.
            ContentKind::Audio => one(Verb::Play(Play { source: PlaySource::Url(url.to_string()), times: 1 })),
            ContentKind::TwiMl => parsed(&place, &text(&place, answer)?)?,
            ContentKind::Text => said(&place, &text(&place, answer)?)?,
            ContentKind::Missing => {
                let text = text(&place, answer)?;
                if !begins_like_xml(&text) {
                    return Err(wrong_type(&place, "the answer has no Content-Type and does not begin like XML"));
                }
                parsed(&place, &text)?
            }
            ContentKind::Other => {
                let given = refused(answer.content_type.unwrap_or_default());
                return Err(wrong_type(&place, &format!("the answer's Content-Type is {given}")));
            }
        }
    };
    Ok(NextDocument { document, origin: Origin::Url(url) })
}

fn one(verb: Verb) -> Document {
    Document { verbs: vec![Placed { position: BEGINNING, item: verb }], faults: Vec::new() }
}

fn parsed(place: &str, text: &str) -> Result<Document, FetchFailure> {
    twiml::parse(text).map_err(|fault| FetchFailure::not_readable(format!("{place}:{fault}")))
}

/// Words to be read out. TwiML with this type is read out too, as it is at Twilio, but not without a word to the merchant.
fn said(place: &str, text: &str) -> Result<Document, FetchFailure> {
    if text.len() > twiml::SIZE_MAX {
        let message = format!("{place}: the text is longer than {} bytes", twiml::SIZE_MAX);
        return Err(FetchFailure::not_readable(message));
    }
    let words = text.trim_start_matches('\u{feff}').split_whitespace().collect::<Vec<_>>().join(" ");
    let mut document = one(Verb::Say(Say { text: words, voice: None, language: None, times: 1 }));
    if begins_like_xml(text) {
        document.faults.push(Fault {
            position: BEGINNING,
            severity: Severity::Error,
            message: format!("{place} sent XML as text/plain, so it is read out: send TwiML as text/xml"),
        });
    }
    Ok(document)
}

fn begins_like_xml(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with('<')
}

fn wrong_type(place: &str, what: &str) -> FetchFailure {
    let expected = "TwiML is text/xml, application/xml, application/*+xml or text/html; text/plain is read out and \
                    audio/* is played";
    FetchFailure { code: 12300, message: format!("{place}: {what}: {expected}") }
}

/// The text of an answer. One that was cut is too long, whatever is left of it.
fn text<'a>(place: &str, answer: Received<'a>) -> Result<Cow<'a, str>, FetchFailure> {
    if answer.cut {
        let message = format!("{place}: the answer is longer than {} bytes", twiml::SIZE_MAX);
        return Err(FetchFailure::not_readable(message));
    }
    answer.text().map_err(|fault| FetchFailure::not_readable(format!("{place}: {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"<Response><Hangup/></Response>";

    fn read(content_type: Option<&str>, body: &[u8]) -> Result<Document, FetchFailure> {
        let url = Url::parse("https://shop.example.com/ivr/start?order=7").unwrap();
        let next = read_answer(url.clone(), Received { content_type, body: Body::Bytes(body), cut: false })?;
        assert_eq!(next.origin, Origin::Url(url));
        Ok(next.document)
    }

    fn only_verb(document: &Document) -> &Verb {
        let [verb] = &document.verbs[..] else { panic!("one verb: {document:?}") };
        &verb.item
    }

    #[test]
    fn xml_and_html_are_twiml_and_so_is_what_only_begins_like_it() {
        for content_type in [
            Some("text/xml"),
            Some("application/xml"),
            Some("text/html; charset=utf-8"),
            Some("Application/TwiML+XML"),
            Some("text/xml;charset=UTF-8"),
            None,
            Some(" "),
        ] {
            assert_eq!(only_verb(&read(content_type, RESPONSE).unwrap()), &Verb::Hangup, "{content_type:?}");
        }
        assert!(read(None, "\u{feff}\n <Response/>".as_bytes()).unwrap().verbs.is_empty());
    }

    #[test]
    fn plain_text_is_read_out() {
        let document = read(Some("text/plain; charset=utf-8"), b"  Thank you.\n  Good bye. ").unwrap();
        let Verb::Say(say) = only_verb(&document) else { panic!("{document:?}") };
        assert_eq!((say.text.as_str(), say.times), ("Thank you. Good bye.", 1));
        assert!(document.faults.is_empty());
    }

    #[test]
    fn twiml_as_plain_text_is_read_out_and_told() {
        let document = read(Some("text/plain"), RESPONSE).unwrap();
        assert!(matches!(only_verb(&document), Verb::Say(_)));
        let [fault] = &document.faults[..] else { panic!("one fault: {document:?}") };
        assert!(fault.severity == Severity::Error && fault.message.contains("send TwiML as text/xml"), "{fault}");
    }

    #[test]
    fn a_recording_is_played_from_where_it_is() {
        let document = read(Some("audio/mpeg"), &[0xff, 0xfb, 0x00]).unwrap();
        let Verb::Play(play) = only_verb(&document) else { panic!("{document:?}") };
        assert_eq!(play.source, PlaySource::Url("https://shop.example.com/ivr/start?order=7".to_owned()));
    }

    #[test]
    fn any_other_type_is_named_with_what_is_expected_instead() {
        for (content_type, body, named) in [
            (Some("application/json"), &b"{}"[..], "application/json"),
            (Some("application/octet-stream"), RESPONSE, "application/octet-stream"),
            (Some("image/svg+xml"), RESPONSE, "image/svg+xml"),
            (None, b"{}", "no Content-Type"),
        ] {
            let failure = read(content_type, body).unwrap_err();
            assert_eq!(failure.code, 12300, "{content_type:?}");
            assert!(failure.message.contains(named) && failure.message.contains("text/xml"), "{failure}");
            assert!(!failure.message.contains("order=7"), "a query may hold anything: {failure}");
        }
    }

    #[test]
    fn nothing_is_an_empty_document_whatever_it_is_called() {
        for content_type in [None, Some("text/xml"), Some("application/json"), Some("audio/mpeg")] {
            assert_eq!(read(content_type, b" \r\n").unwrap(), Document::default(), "{content_type:?}");
        }
    }

    #[test]
    fn a_document_that_cannot_be_read_says_where() {
        let failure = read(Some("text/xml"), b"<Response>").unwrap_err();
        assert_eq!(failure.code, 12100);
        assert!(failure.message.starts_with("https://shop.example.com/ivr/start:1:"), "{failure}");
    }

    #[test]
    fn a_document_is_read_in_the_encoding_that_it_names() {
        let said = |content_type: &str, body: &[u8]| match only_verb(&read(Some(content_type), body).unwrap()) {
            Verb::Say(say) => say.text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(said("text/plain", "é".as_bytes()), "é");
        assert_eq!(said("text/plain; charset=ISO-8859-1", b"\xe9"), "é");
        assert_eq!(said("text/xml; boundary=x; Charset=\"latin1\"", b"<Response><Say>\xe9</Say></Response>"), "é");
        let declared = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Response><Say>\xe9</Say></Response>";
        assert_eq!(said("text/xml", declared), "é");
        let utf_16: Vec<u8> =
            "\u{feff}<Response><Say>é</Say></Response>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(said("application/xml", &utf_16), "é");
        // What was recorded as text is text, whatever it says of itself.
        let text = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Response><Say>é</Say></Response>";
        let url = Url::parse("https://shop.example.com/").unwrap();
        let recorded = Received { content_type: Some("text/xml; charset=latin1"), body: Body::Text(text), cut: false };
        let Verb::Say(say) = only_verb(&read_answer(url, recorded).unwrap().document).clone() else { panic!("a Say") };
        assert_eq!(say.text, "é");
        let refused = read(Some("text/xml; charset=utf-8"), declared).unwrap_err();
        assert!(refused.message.contains("is not UTF-8, which its Content-Type names"), "{refused}");
        assert_eq!(read(Some("text/xml"), b"\xe9<").unwrap_err().code, 12100);
    }

    #[test]
    fn a_cut_in_the_middle_of_a_character_still_leaves_a_document_that_is_too_long() {
        let mut body = vec![b' '; twiml::SIZE_MAX + 2];
        body[0] = b'<';
        body.push(0xe2);
        let url = Url::parse("https://shop.example.com/").unwrap();
        for content_type in ["text/xml", "text/plain"] {
            let answer = Received { content_type: Some(content_type), body: Body::Bytes(&body), cut: true };
            let failure = read_answer(url.clone(), answer).unwrap_err();
            assert!(failure.code == 12100 && failure.message.contains("long"), "{failure}");
        }
    }
}
