//! The format of a call script.
//!
//! Shape:   YAML in, [`Script`] out; an unknown key is an error that names the known ones.
//! Secrets: keys in scripts are made up; they are still masked when shown.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use url::Url;

use crate::pay::platform::Platform;
use crate::pay::step::PayErrorCode;
use crate::pay::test_numbers::AcceptedNumbers;
use crate::tone::Key;

mod step;
mod value;

pub(super) use value::Text;
pub use value::duration;
use value::{Length, ScriptTime};

/// The wall clock of a script that names none: 1 June 2026, 12:00.
pub(super) const CLOCK: jiff::civil::DateTime = jiff::civil::datetime(2026, 6, 1, 12, 0, 0, 0);

/// How far apart pressed keys are, unless the script says so.
const EVERY: Duration = Duration::from_millis(100);

/// One call: what is run, what the caller does, what is expected.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The flow that answers.
    pub(super) flow: Option<String>,
    /// Or the document that answers, in place.
    pub(super) document: Option<String>,
    /// Or where the document that answers is asked for, among `documents`.
    pub(super) url: Option<WebAddress>,
    /// The platform's dialect; its Pay rules differ in places.
    #[serde(default)]
    pub(super) dialect: ScriptDialect,
    /// Custom parameters of the stream.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Text>,
    /// Wall clock when the call is answered: with an offset or `Z`, or without, as the account's own time.
    pub(super) clock: Option<ScriptTime>,
    /// Where plain http may lead: an `action` or `statusCallback` elsewhere is refused.
    #[serde(default)]
    pub(super) plain_http: PlainHttpWord,
    /// Answers to requests, by URL; how long a flow takes to be there, by its name.
    #[serde(default)]
    pub(super) documents: BTreeMap<String, DocumentAnswers>,
    /// What the connector is like, where it is not like the sandbox.
    #[serde(default)]
    pub(super) connector: ConnectorScript,
    /// What single connectors are like, by name, where they are not like `connector`.
    #[serde(default)]
    pub(super) connectors: BTreeMap<String, ConnectorScript>,
    /// Which look-ups of a connector, counted from 1 (each payment looks one up when it begins), come while nothing can be
    /// written down.
    #[serde(default)]
    pub(super) store_away: Vec<u32>,
    /// The gateway's answers to submissions, in order; after them the sandbox answers.
    #[serde(default)]
    pub(super) gateway: Vec<GatewayAnswer>,
    /// How long each thing lasts that is said, in order; after them each character takes its 60 ms.
    #[serde(default)]
    pub(super) speech: Vec<Length>,
    /// What the caller does.
    #[serde(default)]
    pub(super) call: Vec<ScriptStep>,
    /// What is expected.
    #[serde(default)]
    pub(super) expect: Expect,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        let script: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let beginnings = [script.flow.is_some(), script.document.is_some(), script.url.is_some()];
        match beginnings.into_iter().filter(|given| *given).count() {
            0 => Err("a script names a flow (flow: donate), holds a document (document: |) or asks for one (url: https://...)"
                .to_owned()),
            1 => Ok(script),
            _ => Err("a script has either flow, document or url, not several".to_owned()),
        }
    }

    /// Whether the other one is the same but for what it expects.
    pub(super) fn does_as(&self, other: &Self) -> bool {
        let Self { flow, document, url, dialect, parameters, clock, plain_http, documents, .. } = self;
        let Self { connector, connectors, store_away, gateway, speech, call, expect: _, .. } = self;
        *flow == other.flow
            && *document == other.document
            && *url == other.url
            && *dialect == other.dialect
            && *parameters == other.parameters
            && *clock == other.clock
            && *plain_http == other.plain_http
            && *documents == other.documents
            && *connector == other.connector
            && *connectors == other.connectors
            && *store_away == other.store_away
            && *gateway == other.gateway
            && *speech == other.speech
            && *call == other.call
    }
}

/// The platform whose rules apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ScriptDialect {
    #[default]
    Twilio,
    SignalWire,
    Telnyx,
    Plivo,
    Vonage,
    Jambonz,
    Asterisk,
    Freeswitch,
}

impl ScriptDialect {
    /// Whose rules hold for a call of this dialect.
    pub(super) const fn platform(self) -> Platform {
        match self {
            Self::Telnyx => Platform::Telnyx,
            Self::Twilio
            | Self::SignalWire
            | Self::Plivo
            | Self::Vonage
            | Self::Jambonz
            | Self::Asterisk
            | Self::Freeswitch => Platform::Twilio,
        }
    }
}

/// Where a document is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WebAddress(pub(super) Url);

impl<'de> Deserialize<'de> for WebAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        url.map(Self).ok_or_else(|| de::Error::custom(format!("url: \"{text}\" is not an absolute http or https URL")))
    }
}

/// Where plain http may lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PlainHttpWord {
    #[default]
    Always,
    Loopback,
    Never,
}

/// The answers to the requests for one document, in order; the last one is given again and again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DocumentAnswers(pub(super) Vec<DocumentAnswer>);

impl<'de> Deserialize<'de> for DocumentAnswers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;
        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = DocumentAnswers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a document, {text: ..., after: 3s}, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DocumentAnswers, E> {
                DocumentAnswer::deserialize(de::value::StrDeserializer::new(text)).map(|one| DocumentAnswers(vec![one]))
            }

            fn visit_unit<E: de::Error>(self) -> Result<DocumentAnswers, E> {
                Ok(DocumentAnswers(vec![DocumentAnswer::default()]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DocumentAnswers, A::Error> {
                DocumentAnswer::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(|one| DocumentAnswers(vec![one]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<DocumentAnswers, A::Error> {
                let mut answers = Vec::new();
                while let Some(answer) = list.next_element()? {
                    answers.push(answer);
                }
                Ok(DocumentAnswers(answers))
            }
        }
        deserializer.deserialize_any(OneOrSeveral)
    }
}

/// A document, `{text: ..., type: text/xml, after: 3s}` for one that takes its time or is something else, or
/// `{fails: ...}` for none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DocumentAnswer {
    /// The document.
    pub(super) text: Text,
    /// Its `Content-Type`; none: `text/xml`. Empty: the answer has none.
    pub(super) content_type: Option<Text>,
    /// Where it came from at last, if not from where it was asked for.
    pub(super) from: Option<WebAddress>,
    /// Why it cannot be had.
    pub(super) fails: Option<Text>,
    /// Twilio's code for that; none: 11200.
    pub(super) code: Option<u32>,
    /// How long it takes.
    pub(super) after: Length,
}

impl<'de> Deserialize<'de> for DocumentAnswer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Late {
            #[serde(default)]
            text: Text,
            #[serde(rename = "type")]
            content_type: Option<Text>,
            from: Option<WebAddress>,
            fails: Option<Text>,
            code: Option<u32>,
            #[serde(default)]
            after: Length,
        }
        struct TextOrLate;
        impl<'de> Visitor<'de> for TextOrLate {
            type Value = DocumentAnswer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a document, {text: ..., type: text/xml, after: 3s}, or {fails: ...}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DocumentAnswer, E> {
                Ok(DocumentAnswer { text: Text(text.to_owned()), ..DocumentAnswer::default() })
            }

            fn visit_unit<E: de::Error>(self) -> Result<DocumentAnswer, E> {
                Ok(DocumentAnswer::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DocumentAnswer, A::Error> {
                let Late { text, content_type, from, fails, code, after } =
                    Late::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(DocumentAnswer { text, content_type, from, fails, code, after })
            }
        }
        deserializer.deserialize_any(TextOrLate)
    }
}

/// A connector that is not like the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectorScript {
    /// There is none of that name.
    #[serde(default)]
    pub(super) missing: bool,
    /// How long looking it up takes.
    #[serde(default)]
    pub(super) after: Length,
    /// Whether its gateway has withdrawn its authorization.
    #[serde(default)]
    pub(super) withdrawn: bool,
    /// What it cannot do.
    #[serde(default)]
    pub(super) cannot: Vec<Ability>,
    /// The only token types it makes.
    pub(super) token_types: Option<Vec<Text>>,
    /// The only currencies it takes.
    pub(super) currencies: Option<Vec<Text>>,
    /// Parameters without which it cannot work; `AVSName` is asked of bank payments only.
    #[serde(default)]
    pub(super) needs: Vec<Text>,
    /// Which numbers pass.
    #[serde(default)]
    pub(super) test_mode: TestMode,
    /// Whether it can be asked what became of a payment.
    #[serde(default)]
    pub(super) looks_up: bool,
    /// How long a question may go unanswered.
    pub(super) answer_timeout: Option<Length>,
    /// How long the gateway may be at work on a question.
    pub(super) settles_after: Option<Length>,
    /// How often a question is repeated at most.
    pub(super) repeats: Option<u8>,
    /// How long all questions of a payment may take together.
    pub(super) overall: Option<Length>,
}

/// Which numbers pass: `true` for the documented ones of the generic contract, `published` for every published one, `sandbox` for
/// those and of tokens the sandbox's own, the name of another kind for its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TestMode(pub(super) AcceptedNumbers);

impl<'de> Deserialize<'de> for TestMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Word {
            Flag(bool),
            Text(String),
        }
        match Word::deserialize(deserializer) {
            Ok(Word::Flag(false)) => Ok(Self(AcceptedNumbers::Any)),
            Ok(Word::Flag(true)) => Ok(Self(AcceptedNumbers::GENERIC_TEST)),
            Ok(Word::Text(text)) if text == PUBLISHED => Ok(Self(AcceptedNumbers::PublishedTest)),
            Ok(Word::Text(text)) if text == SANDBOX => Ok(Self(AcceptedNumbers::SandboxTest)),
            Ok(Word::Text(text)) => match crate::connector::kind(&text).map(|kind| kind.test_numbers) {
                Some(list @ AcceptedNumbers::Listed(_)) => Ok(Self(list)),
                _ => Err(de::Error::custom(EXPECTED)),
            },
            Err(_) => Err(de::Error::custom(EXPECTED)),
        }
    }
}

const EXPECTED: &str = "test_mode is true, false, published, or the kind of connector whose test numbers pass";

/// The word of a script for [`AcceptedNumbers::PublishedTest`].
const PUBLISHED: &str = "published";

/// The same for [`AcceptedNumbers::SandboxTest`].
const SANDBOX: &str = "sandbox";

/// Something that a connector may be unable to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ability {
    ChargeCard,
    ChargeBank,
    ChargeToken,
    TokenizeCard,
    TokenizeBank,
    /// The same transaction id may be sent again: it acts once.
    Replay,
    /// A repeat is answered with the first result, not with an error that says duplicate.
    FirstResult,
}

/// One answer of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GatewayAnswer {
    /// It is the answer to the preparation, which else takes no time and finds nothing to do.
    #[serde(default)]
    pub(super) prepare: bool,
    /// Approves a charge.
    pub(super) charge_id: Option<Text>,
    /// Approves a token.
    pub(super) token_id: Option<Text>,
    /// The customer object that goes with a token.
    pub(super) profile_id: Option<Text>,
    /// Declines.
    pub(super) error_code: Option<Text>,
    /// The words of a decline or refusal.
    pub(super) error_message: Option<Text>,
    /// What else the gateway sends back.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Text>,
    /// An answer that the other keys do not make.
    pub(super) outcome: Option<Oddity>,
    /// Twilio's code of a refusal that is not about the card, 64001 to 64024.
    pub(super) refused: Option<RefusedWith>,
    /// When to ask again, after `outcome: not-sent` or `outcome: unknown`.
    pub(super) retry_after: Option<Length>,
    /// How long it takes.
    #[serde(default)]
    pub(super) after: Length,
}

/// A refusal's code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RefusedWith(pub(super) PayErrorCode);

impl<'de> Deserialize<'de> for RefusedWith {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(deserializer)?;
        let code = PayErrorCode::ALL.iter().find(|code| code.number() == number);
        code.copied().map(Self).ok_or_else(|| de::Error::custom(format!("refused: {number} is no PayErrorCode")))
    }
}

/// Answers that need a word of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Oddity {
    /// It may or may not have happened.
    Unknown,
    /// The request did not leave.
    NotSent,
    /// There is never an answer.
    Silent,
    /// The connector breaks down: as the first answer, before anything is sent.
    BrokenDown,
    /// What the request could set off cannot be written down: it is not sent.
    NotWritten,
    /// Asked what became of the payment, the gateway has never seen it.
    NotFound,
    /// Asked the same, it cannot tell.
    CannotTell,
    /// The connector is prepared.
    Ready,
    /// Yes, without any id.
    Approved,
    /// No, without any code.
    Declined,
}

/// What the caller does next.
#[derive(Debug, PartialEq)]
pub(super) enum ScriptStep {
    Hear(String),
    /// Keys, the next one after its gap or, where none is given, after `every`.
    Press {
        keys: Vec<Key>,
        every: Duration,
        gaps: Vec<Duration>,
    },
    Wait(Duration),
    HangUp,
    Agent(AgentStep),
    Application(ApplicationStep),
}

/// What an agent asks for, through the REST API: `create: {ChargeAmount: "5"}`, `capture: FIELD`, `status: complete`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentStep {
    /// Starts a payment with these parameters, in the API's spelling.
    pub(super) create: Option<BTreeMap<String, Text>>,
    /// Has a field keyed.
    pub(super) capture: Option<Text>,
    /// Completes or cancels.
    pub(super) status: Option<Text>,
    /// Another payment than the last one that was started.
    pub(super) sid: Option<Text>,
    /// The same by its number in the call, from 1.
    pub(super) payment: Option<u32>,
    /// Where progress is told; else `https://example.com/payment-status`.
    pub(super) callback: Option<Text>,
    /// The error code it is refused with, or HTTP status and code (`409 64021`); else it must be done.
    pub(super) refused: Option<Text>,
    /// Words of the refusal's message.
    pub(super) says: Option<Text>,
    /// The script goes on before the answer is there, which is looked at when the call is over.
    #[serde(default)]
    pub(super) later: bool,
}

/// What the application does with the call, through the REST API.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ApplicationStep {
    /// Sends it to this document.
    Twiml(Text),
    /// Sends it to the document at a URL.
    Url(Text),
    /// `completed`: ends it.
    Status(Text),
}

/// What is expected. Keys that are not given are not compared.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// The last Pay session's result.
    pub(super) result: Option<Text>,
    /// The last Pay session's card brand.
    pub(super) card: Option<Text>,
    /// Requests to the application; none given: they are not compared.
    pub(super) requests: Option<Vec<BTreeMap<String, Text>>>,
    /// How the call ended.
    pub(super) ended: Option<Text>,
    /// Words of warnings, in order.
    #[serde(default)]
    pub(super) warnings: Vec<Text>,
    /// How often a payment was submitted to the gateway, repeats included.
    pub(super) submissions: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_told_to_be_quoted() {
        for line in
            ["press: 4242", "press: 0123", "press: 4242424242424242", "press: 1.5", "press: 99999999999999999999999"]
        {
            let error = Script::parse(&format!("flow: donate\ncall:\n  - {line}\n")).unwrap_err();
            assert!(error.contains("quote it"), "{line}: {error}");
        }
        let error = Script::parse("flow: donate\nparameters: { amount: 20.50 }\n").unwrap_err();
        assert!(error.contains("quote it"), "{error}");
    }

    #[test]
    fn every_kind_of_step_is_read() {
        let text = "document: |\n  <Response/>\nclock: 2026-11-22T10:00:00Z\ncall:\n  - hear: card number\n  - press: \"42 42#\"\n  - press: {keys: \"12\", every: 40ms}\n  - wait: 1.5s\n  - hang up\n";
        let script = Script::parse(text).unwrap();
        assert_eq!(script.call.len(), 5);
        assert!(matches!(&script.call[1], ScriptStep::Press { keys, every, .. } if keys.len() == 5 && *every == EVERY));
        assert!(matches!(&script.call[2], ScriptStep::Press { every, .. } if every.as_millis() == 40));
        assert!(matches!(script.call[3], ScriptStep::Wait(length) if length.as_millis() == 1500));
        assert!(matches!(script.call[4], ScriptStep::HangUp));
    }

    #[test]
    fn every_platform_s_word_is_that_of_a_dialect_with_its_rules() {
        for platform in Platform::ALL {
            let script = Script::parse(&format!("flow: a\ndialect: {platform}\n")).unwrap();
            assert_eq!(script.dialect.platform(), *platform);
        }
    }

    #[test]
    fn the_numbers_that_pass_are_everybody_s_the_published_ones_or_a_kind_s_own() {
        let takes =
            |text: &str| serde_json::from_str::<TestMode>(text).map(|mode| mode.0.takes_card("4242424242424242"));
        for (text, takes_another_s) in
            [("false", true), ("true", false), ("\"published\"", true), ("\"example\"", false)]
        {
            assert_eq!(takes(text).unwrap(), takes_another_s, "{text}");
        }
        let own = serde_json::from_str::<TestMode>("\"example\"").unwrap();
        assert!(own.0.takes_card("4111111111111111"));
        assert!(takes("\"nobody\"").unwrap_err().to_string().contains("the kind of connector"));
    }

    #[test]
    fn what_is_no_script_says_what_is_expected() {
        for (text, expected) in [
            ("call: []", "flow"),
            ("flow: a\ndocument: b", "not several"),
            ("flow: a\nurl: https://example.com/", "not several"),
            ("url: start", "not an absolute http or https URL"),
            ("flow: a\ncall: [ {dance: x} ]", "hear: TEXT"),
            ("flow: a\ncall: [ \"hang  up\" ]", "hang up"),
            ("flow: a\ncall: [ {wait: 6} ]", "write 800ms"),
            ("flow: a\ncall: [ {press: \"4x\"} ]", "0-9 * #"),
            ("flow: a\nclock: yesterday", "write 2026-11-22"),
            ("flow: a\nflwo: b", "flwo"),
            ("flow: a\nexpect: {outcome: x}", "outcome"),
        ] {
            let error = Script::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
