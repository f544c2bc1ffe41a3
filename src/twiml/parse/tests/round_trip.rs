//! Random documents, written as XML in random ways, are read as what they are; random text never harms.

use proptest::prelude::*;

use super::super::super::place::START;
use super::super::super::{Attribute, Pay, Placed, Prompt};
use super::*;
use crate::twiml::template;

/// How one writer may differ from another without a difference in meaning.
#[derive(Clone, Copy, Debug)]
struct Style {
    single_quotes: bool,
    references: bool,
    cdata: bool,
    blanks: &'static str,
}

fn styles() -> impl Strategy<Value = Style> {
    let blanks = prop::sample::select(vec![" ", "\n", "\r\n\t", "  "]);
    (any::<bool>(), any::<bool>(), any::<bool>(), blanks).prop_map(|(single_quotes, references, cdata, blanks)| Style {
        single_quotes,
        references,
        cdata,
        blanks,
    })
}

/// Writes XML by a [`Style`].
struct Writer {
    style: Style,
    xml: String,
}

impl Writer {
    fn character(&mut self, character: char) {
        match character {
            '&' => self.xml.push_str("&amp;"),
            '<' => self.xml.push_str("&lt;"),
            '>' => self.xml.push_str("&gt;"),
            '"' => self.xml.push_str("&quot;"),
            '\'' => self.xml.push_str("&#39;"),
            _ if self.style.references || character.is_whitespace() => {
                self.xml.push_str(&format!("&#x{:X};", u32::from(character)));
            }
            _ => self.xml.push(character),
        }
    }

    fn text(&mut self, text: &str) {
        if self.style.cdata && !text.contains("]]>") && !text.is_empty() {
            self.xml.push_str(&format!("<![CDATA[{text}]]>"));
        } else {
            text.chars().for_each(|character| self.character(character));
        }
    }

    fn element(&mut self, name: &str, attributes: &[(&str, String)], content: impl FnOnce(&mut Self)) {
        let blanks = self.style.blanks;
        self.xml.push_str(&format!("<{name}"));
        for (name, value) in attributes {
            let quote = if self.style.single_quotes { '\'' } else { '"' };
            self.xml.push_str(&format!("{blanks}{name}{blanks}={blanks}{quote}"));
            value.chars().for_each(|character| self.character(character));
            self.xml.push(quote);
        }
        let begin = self.xml.len();
        self.xml.push('>');
        content(self);
        if self.xml.len() == begin + 1 && self.style.references {
            self.xml.insert(begin, '/');
        } else {
            self.xml.push_str(&format!("</{name}{blanks}>"));
        }
    }

    /// Something without meaning between elements.
    fn filler(&mut self) {
        self.xml.push_str(self.style.blanks);
        if self.style.cdata {
            self.xml.push_str("<!-- <Say> & --><?filler <?>");
        }
    }

    fn verb(&mut self, verb: &Verb) {
        self.filler();
        match verb {
            Verb::Say(say) => self.utterance(&Utterance::Say(say.clone())),
            Verb::Play(play) => self.utterance(&Utterance::Play(play.clone())),
            Verb::Pause(pause) => self.utterance(&Utterance::Pause(*pause)),
            Verb::Gather(gather) => self.gather(gather),
            Verb::Pay(pay) => self.pay(pay),
            Verb::Redirect(redirect) => {
                let method = redirect.method.to_string();
                self.element("Redirect", &[("method", method)], |writer| writer.text(&redirect.url));
            }
            Verb::Hangup => self.element("Hangup", &[], |_| {}),
            Verb::Reject => self.element("Reject", &[], |_| {}),
            Verb::Unsupported { name, .. } => {
                self.element(name, &[], |writer| writer.xml.push_str("<Number loop='x'>+1</Number>"));
            }
        }
    }

    fn utterance(&mut self, utterance: &Utterance) {
        let times = |times: u16| if times == 1000 { "0".to_owned() } else { times.to_string() };
        match utterance {
            Utterance::Say(say) => {
                let mut attributes = vec![("loop", times(say.times))];
                attributes.extend(say.voice.clone().map(|voice| ("voice", voice)));
                attributes.extend(say.language.clone().map(|language| ("language", language)));
                self.element("Say", &attributes, |writer| writer.text(&say.text));
            }
            Utterance::Play(Play { source: PlaySource::Url(url), times: often }) => {
                self.element("Play", &[("loop", times(*often))], |writer| writer.text(url));
            }
            Utterance::Play(Play { source: PlaySource::Digits(keys), times: often }) => {
                let keys = keys.iter().map(|key| key.map_or('w', Key::symbol)).collect();
                self.element("Play", &[("digits", keys), ("loop", times(*often))], |_| {});
            }
            Utterance::Pause(pause) => {
                self.element("Pause", &[("length", pause.length.as_secs().to_string())], |_| {});
            }
        }
    }

    fn gather(&mut self, gather: &Gather) {
        let mut attributes = vec![
            ("timeout", gather.timeout.as_secs().to_string()),
            ("method", gather.method.to_string()),
            ("finishOnKey", gather.finish_on_key.map_or_else(String::new, |key| key.symbol().to_string())),
            ("actionOnEmptyResult", gather.action_on_empty_result.to_string()),
        ];
        attributes.extend(gather.action.clone().map(|action| ("action", action)));
        attributes.extend(gather.num_digits.map(|number| ("numDigits", number.to_string())));
        self.element("Gather", &attributes, |writer| gather.prompts.iter().for_each(|prompt| writer.utterance(prompt)));
    }

    fn pay(&mut self, pay: &Pay) {
        let written = |attributes: &[Attribute]| -> Vec<(String, String)> {
            attributes.iter().map(|attribute| (attribute.name.clone(), attribute.value.clone())).collect()
        };
        let attributes = written(&pay.attributes);
        let attributes: Vec<_> = attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        self.element("Pay", &attributes, |writer| {
            for (name, value) in &pay.parameters {
                writer.filler();
                writer.element("Parameter", &[("name", name.clone()), ("value", value.clone())], |_| {});
            }
            for prompt in &pay.prompts {
                writer.filler();
                let attributes = written(&prompt.item.attributes);
                let attributes: Vec<_> =
                    attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                writer.element("Prompt", &attributes, |writer| {
                    prompt.item.content.iter().for_each(|utterance| writer.utterance(utterance));
                });
            }
        });
    }
}

/// Text that XML can hold: anything but some control characters.
fn any_text() -> impl Strategy<Value = String> {
    "[\t\n\r -\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]{0,12}|[a-z&<>'\"{}%\\]! ]{0,16}"
}

/// Words without blanks around them.
fn words() -> impl Strategy<Value = String> {
    any_text().prop_map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn times() -> impl Strategy<Value = u16> {
    prop_oneof![1_u16..=999, Just(1000)]
}

fn methods() -> impl Strategy<Value = Method> {
    prop_oneof![Just(Method::Get), Just(Method::Post)]
}

fn utterances() -> impl Strategy<Value = Utterance> {
    let url = words().prop_filter("a URL is not empty", |url| !url.is_empty()).prop_map(PlaySource::Url);
    let digits = "[0-9*#A-Dw]{1,9}".prop_map(|keys| PlaySource::Digits(keys.chars().map(Key::parse).collect()));
    prop_oneof![
        (words(), prop::option::of(any_text()), prop::option::of(any_text()), times())
            .prop_map(|(text, voice, language, times)| Utterance::Say(Say { text, voice, language, times })),
        (prop_oneof![url, digits], times()).prop_map(|(source, times)| Utterance::Play(Play { source, times })),
        (0_u64..=3600).prop_map(|seconds| Utterance::Pause(pause(seconds))),
    ]
}

/// Attributes with names of their own.
fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    prop::collection::btree_map("[a-zA-Z_é][a-zA-Z0-9.é-]{0,8}", any_text(), 0..4).prop_map(|attributes| {
        attributes.into_iter().map(|(name, value)| Attribute { position: START, name, value }).collect()
    })
}

fn gathers() -> impl Strategy<Value = Gather> {
    let key = prop::option::of("[0-9*#]".prop_map(|key| Key::parse(key.chars().next().unwrap()).unwrap()));
    let prompts = prop::collection::vec(utterances(), 0..3);
    (prop::option::of(any_text()), methods(), 1_u64..=600, key, prop::option::of(1_u16..=999), any::<bool>(), prompts)
        .prop_map(|(action, method, timeout, finish_on_key, num_digits, action_on_empty_result, prompts)| Gather {
            action,
            method,
            timeout: Duration::from_secs(timeout),
            finish_on_key,
            num_digits,
            action_on_empty_result,
            prompts,
        })
}

fn pays() -> impl Strategy<Value = Pay> {
    let prompt = (attributes(), prop::collection::vec(utterances(), 0..3))
        .prop_map(|(attributes, content)| Placed { position: START, item: Prompt { attributes, content } });
    let parameter = (any_text().prop_filter("a name is not blank", |name| !name.trim().is_empty()), any_text());
    (attributes(), prop::collection::vec(prompt, 0..3), prop::collection::vec(parameter, 0..3))
        .prop_map(|(attributes, prompts, parameters)| Pay { attributes, prompts, parameters })
}

fn any_verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        4 => utterances().prop_map(|utterance| match utterance {
            Utterance::Say(say) => Verb::Say(say),
            Utterance::Play(play) => Verb::Play(play),
            Utterance::Pause(pause) => Verb::Pause(pause),
        }),
        2 => gathers().prop_map(Verb::Gather),
        2 => pays().prop_map(Verb::Pay),
        1 => (words(), methods()).prop_map(|(url, method)| Verb::Redirect(Redirect { url, method })),
        1 => Just(Verb::Hangup),
        1 => Just(Verb::Reject),
        1 => Just(Verb::Unsupported { name: "Dial".into(), known: true }),
    ]
}

/// A verb without the places in it.
fn placeless(mut verb: Verb) -> Verb {
    if let Verb::Pay(pay) = &mut verb {
        for prompt in &mut pay.prompts {
            prompt.position = START;
            prompt.item.attributes.iter_mut().for_each(|attribute| attribute.position = START);
        }
        pay.attributes.iter_mut().for_each(|attribute| attribute.position = START);
    }
    verb
}

/// Pieces of documents, to be thrown together.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop::sample::select(vec![
        "<Response>",
        "</Response>",
        "<Response/>",
        "<Say",
        "<Say>",
        "</Say>",
        "<Gather ",
        "<Pay>",
        "</Pay>",
        "<Prompt ",
        "<?xml version='1.0'?>",
        "<?",
        "?>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<!DOCTYPE",
        "&amp;",
        "&#",
        "&",
        ";",
        "<",
        ">",
        "/>",
        "'",
        "\"",
        "=",
        " ",
        "\r\n",
        "\u{feff}",
        "é",
        "\u{0}",
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "{% raw %}",
        "{% endraw %}",
        "{% if x %}",
        "{% endif %}",
        "{{ x }}",
        "{{ '",
        "loop='x'",
        "digits=\"12\"",
        "input='speech'",
        "x",
    ]);
    prop::collection::vec(scrap, 0..24).prop_map(|scraps| scraps.concat())
}

proptest! {
    #[test]
    fn a_document_is_read_as_it_was_meant(verbs in prop::collection::vec(any_verb(), 0..6), style in styles()) {
        let mut writer = Writer { style, xml: String::new() };
        writer.element("Response", &[], |writer| verbs.iter().for_each(|verb| writer.verb(verb)));
        let document = parse(&writer.xml).map_err(|fault| TestCaseError::fail(format!("{fault}: {}", writer.xml)))?;
        let errors: Vec<&Fault> = document.faults.iter().filter(|fault| fault.severity == Severity::Error).collect();
        prop_assert_eq!(errors, Vec::<&Fault>::new());
        let read: Vec<Verb> = document.verbs.iter().map(|verb| placeless(verb.item.clone())).collect();
        prop_assert_eq!(&read, &verbs);
        // A verb begins where it says it begins.
        for verb in &document.verbs {
            let line = writer.xml.split('\n').nth(verb.position.line as usize - 1).unwrap();
            let rest: String = line.chars().skip(verb.position.column as usize - 1).collect();
            prop_assert!(rest.starts_with('<') && !rest.starts_with("</"), "{rest}");
        }
        prop_assert_eq!(parse_rendered(&writer.xml).unwrap().verbs, document.verbs);
    }

    #[test]
    fn no_text_makes_reading_panic(text in any::<String>()) {
        let _ = (parse(&text), parse_rendered(&text), parse_view(&text));
        let _ = template::check_view(&text).and_then(|view| parse_view(&view));
    }

    #[test]
    fn no_scraps_of_a_document_make_reading_panic(text in scraps()) {
        let inside = format!("<Response>{text}</Response>");
        for text in [&text, &inside] {
            let _ = (parse(text), parse_rendered(text), parse_view(text));
            let _ = template::check_view(text).and_then(|view| parse_view(&view));
            let _ = template::render("scraps", text, &[("x", text.as_str())].into());
        }
    }
}
