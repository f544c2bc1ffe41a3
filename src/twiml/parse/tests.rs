use std::time::Duration;

use super::super::{
    Document, Fault, Gather, Method, Pause, Play, PlaySource, Redirect, Say, Severity, Utterance, Verb,
};
use super::{DEPTH_MAX, SIZE_MAX, parse, parse_rendered, parse_view};
use crate::tone::Key;

mod refused;
mod round_trip;
mod view;

/// What a document with nothing wrong in it says.
fn verbs(source: &str) -> Vec<Verb> {
    let document = parse(source).unwrap();
    assert_eq!(document.faults, [], "{source}");
    document.verbs.into_iter().map(|placed| placed.item).collect()
}

/// The only verb of a `<Response>` that holds `content`.
fn verb(content: &str) -> Verb {
    let mut verbs = verbs(&format!("<Response>{content}</Response>"));
    assert_eq!(verbs.len(), 1, "{verbs:?}");
    verbs.remove(0)
}

/// The only verb, and what is told of it, of a `<Response>` that holds `content`. The response's tag stands on a line of
/// its own, so that places begin at 2:1.
fn judged(content: &str) -> (Vec<Verb>, Vec<String>) {
    let document = parse(&format!("<Response>\n{content}</Response>")).unwrap();
    (document.verbs.into_iter().map(|placed| placed.item).collect(), told(&document.faults))
}

/// Faults as `touchtone check` prints them.
fn told(faults: &[Fault]) -> Vec<String> {
    let kind = |severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    faults.iter().map(|fault| format!("{} {}: {}", fault.position, kind(fault.severity), fault.message)).collect()
}

fn say(text: &str) -> Say {
    Say { text: text.into(), voice: None, language: None, times: 1 }
}

fn gather() -> Gather {
    Gather {
        action: None,
        method: Method::Post,
        timeout: Duration::from_secs(5),
        finish_on_key: Some(Key::Pound),
        num_digits: None,
        action_on_empty_result: false,
        prompts: Vec::new(),
    }
}

fn url(url: &str) -> Play {
    Play { source: PlaySource::Url(url.into()), times: 1 }
}

fn keys(keys: &str) -> Play {
    Play { source: PlaySource::Digits(keys.chars().map(Key::parse).collect()), times: 1 }
}

fn pause(seconds: u64) -> Pause {
    Pause { length: Duration::from_secs(seconds) }
}

#[test]
fn a_whole_document_is_read_with_the_place_of_each_verb() {
    let source = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<!-- spende -->\r\n<Response xmlns:xsi=\"x\">\r\n\
                  \t<Say>Grüß Gott</Say><Pause/>\r\n\t<?pi x?><Hangup/>\r\n</Response>\r\n<!-- end -->\r\n";
    let document = parse(source).unwrap();
    assert_eq!(document.faults, []);
    let places: Vec<String> = document.verbs.iter().map(|verb| verb.position.to_string()).collect();
    assert_eq!(places, ["4:2", "4:22", "5:10"]);
    let verbs: Vec<Verb> = document.verbs.into_iter().map(|verb| verb.item).collect();
    assert_eq!(verbs, [Verb::Say(say("Grüß Gott")), Verb::Pause(pause(1)), Verb::Hangup]);
}

#[test]
fn a_response_without_verbs_is_a_document() {
    for source in ["<Response/>", "<Response></Response>", "<Response>\n  <!-- nothing -->\n</Response>"] {
        assert_eq!(verbs(source), []);
    }
}

#[test]
fn say_keeps_its_voice_and_folds_the_blanks_of_its_text() {
    let expected = Say {
        text: "Hello & <good> day, M'am é".into(),
        voice: Some("Polly.Joanna".into()),
        language: Some("en-US".into()),
        times: 3,
    };
    let written = "<Say voice='Polly.Joanna' language=\"en-US\" loop=' 3 '>\r\n\tHello  &amp; &lt;good&gt;\n\
                   <![CDATA[ day, ]]> <!-- x -->M&apos;am &#xe9;\n</Say>";
    assert_eq!(verb(written), Verb::Say(expected));
    assert_eq!(verb("<Say/>"), Verb::Say(say("")), "saying nothing is allowed");
}

#[test]
fn loop_zero_is_as_often_as_it_goes() {
    assert_eq!(verb("<Say loop='0'>x</Say>"), Verb::Say(Say { times: 1000, ..say("x") }));
    assert_eq!(verb("<Play loop='0'>x</Play>"), Verb::Play(Play { times: 1000, ..url("x") }));
}

#[test]
fn of_ssml_the_words_stay() {
    let cases = [
        ("one<break strength='weak'/>two", "one two"),
        ("<p>One.</p><p>Two.</p><s>Three.</s>", "One. Two. Three."),
        ("<emphasis level='strong'>ve</emphasis>ry <prosody rate='slow'>slow</prosody>", "very slow"),
        ("<lang xml:lang='fr-FR'>bonjour</lang> <w role='amazon:VB'>read</w>", "bonjour read"),
        ("<phoneme alphabet='ipa' ph='x'>pecan</phoneme> <say-as interpret-as='date'>1.2.</say-as>", "pecan 1.2."),
        ("<sub alias='World Wide Web'>WWW</sub> <sub>Consortium</sub>", "World Wide Web Consortium"),
        (
            "<amazon:effect name='whispered'>psst <amazon:auto-breaths>now</amazon:auto-breaths></amazon:effect>",
            "psst now",
        ),
    ];
    for (written, spoken) in cases {
        assert_eq!(verb(&format!("<Say>{written}</Say>")), Verb::Say(say(spoken)));
    }
}

#[test]
fn an_element_in_say_that_is_no_ssml_is_told_and_its_words_are_spoken() {
    let (verbs, told) = judged("<Say>very <b>good</b></Say>");
    assert_eq!(verbs, [Verb::Say(say("very good"))]);
    assert_eq!(told, ["2:11 error: <Say> holds text and SSML; <b> is neither"]);
}

#[test]
fn a_verb_in_say_is_told_and_not_spoken() {
    let (verbs, told) = judged("<Say>very <Play>https://example.com/a.mp3</Play>good</Say>");
    assert_eq!(verbs, [Verb::Say(say("very good"))]);
    assert_eq!(told, ["2:11 error: <Say> holds text, not <Play>; is </Say> missing before it?"]);
}

#[test]
fn play_takes_a_url_or_keys() {
    assert_eq!(verb("<Play loop='2'>\n https://example.com/a.mp3?x=1&amp;y=2\n</Play>"), {
        Verb::Play(Play { times: 2, ..url("https://example.com/a.mp3?x=1&y=2") })
    });
    assert_eq!(verb("<Play digits=''>a.wav</Play>"), Verb::Play(url("a.wav")));
    assert_eq!(verb("<Play digits='1w2W*#aD'/>"), Verb::Play(keys("1-2--*#AD")));
}

#[test]
fn play_without_anything_to_play_is_dropped() {
    let needs = "error: <Play> needs a URL or the attribute digits; it is skipped";
    assert_eq!(judged("<Play/>"), (vec![], vec![format!("2:1 {needs}")]));
    assert_eq!(judged("<Play digits=' '> \n </Play>"), (vec![], vec![format!("2:1 {needs}")]));
    let wrong = "2:7 error: <Play digits=\"12x\">: digits is made of the keys 0 to 9, *, #, A to D, and w for half a \
                 second, not \"12x\"";
    assert_eq!(judged("<Play digits=\"12x\"/>"), (vec![], vec![wrong.into()]));
    assert_eq!(judged("<Play digits=\"12x\">a</Play>"), (vec![Verb::Play(url("a"))], vec![wrong.into()]));
}

#[test]
fn play_with_keys_and_a_url_plays_the_keys() {
    // 64 keys, 30 seconds: a key is 200 ms, a w 500.
    for (digits, fits) in [
        ("1".repeat(64), true),
        ("1".repeat(65), false),
        ("w".repeat(60), true),
        ("w".repeat(61), false),
        ("W".repeat(30), true),
        ("W".repeat(31), false),
        (format!("{}{}", "1".repeat(64), "w".repeat(34)), true),
        (format!("{}{}", "1".repeat(64), "w".repeat(35)), false),
        ("W".repeat(60_000), false),
    ] {
        let (verbs, faults) = judged(&format!("<Play digits='{digits}'/>"));
        assert_eq!((verbs.len(), faults.len()), if fits { (1, 0) } else { (0, 1) }, "{}", digits.len());
        assert!(fits || faults[0].contains("digits is at most 64 keys and 30 seconds long"), "{faults:?}");
    }
    let told = "2:1 warning: <Play> has digits, so its URL is not played";
    assert_eq!(judged("<Play digits='1'>a.wav</Play>"), (vec![Verb::Play(keys("1"))], vec![told.into()]));
}

#[test]
fn play_and_redirect_hold_no_elements() {
    let (verbs, told) = judged("<Play>a<Say>b</Say></Play><Redirect>c<x/></Redirect>");
    assert_eq!(verbs, [Verb::Play(url("a")), Verb::Redirect(Redirect { url: "c".into(), method: Method::Post })]);
    assert_eq!(told, ["2:8 error: <Play> holds a URL, not <Say>", "2:38 error: <Redirect> holds a URL, not <x>"]);
}

#[test]
fn pause_lasts_a_second_unless_it_says_otherwise() {
    assert_eq!(verb("<Pause/>"), Verb::Pause(pause(1)));
    assert_eq!(verb("<Pause length='0'/>"), Verb::Pause(pause(0)));
    assert_eq!(verb("<Pause length='3600'/>"), Verb::Pause(pause(3600)));
    for value in ["3601", "-1", "1.5", "+1", "", "99999999999999999999", "٣"] {
        let quoted = crate::mask::refused(value);
        let told = format!(
            "2:8 error: <Pause length=\"{quoted}\">: length is a whole number of seconds from 0 to 3600, not \"{quoted}\""
        );
        assert_eq!(judged(&format!("<Pause length=\"{value}\"/>")), (vec![Verb::Pause(pause(1))], vec![told]));
    }
}

#[test]
fn gather_is_twilios_without_attributes() {
    assert_eq!(verb("<Gather/>"), Verb::Gather(gather()));
}

#[test]
fn gather_takes_its_attributes_and_prompts() {
    let written = "<Gather action='/next' method='get' timeout='600' finishOnKey='*' numDigits='4' input='dtmf'
                       actionOnEmptyResult='TRUE'>
                     <Say>Four digits.</Say><Pause length='2'/><Play>beep.wav</Play>
                   </Gather>";
    let expected = Gather {
        action: Some("/next".into()),
        method: Method::Get,
        timeout: Duration::from_secs(600),
        finish_on_key: Some(Key::Star),
        num_digits: Some(4),
        action_on_empty_result: true,
        prompts: vec![
            Utterance::Say(say("Four digits.")),
            Utterance::Pause(pause(2)),
            Utterance::Play(url("beep.wav")),
        ],
    };
    assert_eq!(verb(written), Verb::Gather(expected));
    assert_eq!(verb("<Gather finishOnKey=''/>"), Verb::Gather(Gather { finish_on_key: None, ..gather() }));
}

#[test]
fn a_wrong_value_is_told_in_plain_words_and_the_default_stays() {
    let cases = [
        ("numDigits", "abc", "a whole number from 1 to 999"),
        ("numDigits", "0", "a whole number from 1 to 999"),
        ("numDigits", "1000", "a whole number from 1 to 999"),
        ("timeout", "0", "a whole number of seconds from 1 to 600"),
        ("timeout", "601", "a whole number of seconds from 1 to 600"),
        ("finishOnKey", "##", "one of the keys 0 to 9, * and #, or empty"),
        ("finishOnKey", "A", "one of the keys 0 to 9, * and #, or empty"),
        ("method", "PUT", "GET or POST"),
        ("actionOnEmptyResult", "yes", "true or false"),
        ("input", "voice", "dtmf, speech or both"),
        ("input", "", "dtmf, speech or both"),
    ];
    for (name, value, allowed) in cases {
        let quoted = crate::mask::refused(value);
        let told = format!("2:9 error: <Gather {name}=\"{quoted}\">: {name} is {allowed}, not \"{quoted}\"");
        let expected = (vec![Verb::Gather(gather())], vec![told]);
        assert_eq!(judged(&format!("<Gather\t{name} = \"{value}\"/>")), expected);
    }
}

#[test]
fn gathers_timeout_auto_is_the_default() {
    let told = "2:9 warning: <Gather timeout=\"auto\">: auto is for speech; 5 seconds are used";
    assert_eq!(judged("<Gather timeout='auto'/>"), (vec![Verb::Gather(gather())], vec![told.into()]));
}

#[test]
fn gather_for_speech_only_is_not_run() {
    let (verbs, told) = judged("<Gather input='speech' frobnicate='1'><Say loop='x'/></Gather>");
    assert_eq!(verbs, [Verb::Unsupported { name: "Gather input=\"speech\"".into(), known: true }]);
    assert_eq!(told, ["2:9 warning: <Gather input=\"speech\">: speech is not understood here; it is skipped"]);
}

#[test]
fn gather_for_keys_or_speech_takes_keys() {
    for input in ["dtmf speech", "speech dtmf"] {
        let told = "2:9 warning: <Gather input>: speech is not understood here, only keys are";
        let expected = (vec![Verb::Gather(gather())], vec![told.into()]);
        assert_eq!(judged(&format!("<Gather input='{input}'/>")), expected);
    }
}

#[test]
fn gathers_attributes_for_speech_have_no_effect_and_are_told_once() {
    let (verbs, told) = judged("<Gather hints='a' bargeIn='true'/><Gather hints='b'/>");
    assert_eq!(verbs.len(), 2);
    assert_eq!(
        told,
        [
            "2:9 warning: <Gather hints>: hints has no effect here",
            "2:19 warning: <Gather bargeIn>: bargeIn has no effect here"
        ]
    );
}

#[test]
fn gather_holds_only_what_is_heard() {
    let (verbs, told) = judged("<Gather>\n  hi <say>x</say><Pay/><Gather/><Say>y</Say></Gather>");
    assert_eq!(verbs, [Verb::Gather(Gather { prompts: vec![Utterance::Say(say("y"))], ..gather() })]);
    assert_eq!(
        told,
        [
            "3:3 error: <Gather> holds <Say>, <Play> and <Pause>, not text",
            "3:6 error: <Gather> holds <Say>, <Play> and <Pause>, not <say>: did you mean <Say>?",
            "3:18 error: <Gather> holds <Say>, <Play> and <Pause>, not <Pay>",
            "3:24 error: <Gather> holds <Say>, <Play> and <Pause>, not <Gather>"
        ]
    );
}

#[test]
fn pay_is_kept_as_written_and_not_judged() {
    let source = "<Response>\n  <Pay chargeAmount='-1' weird=\"&lt;a&#10;b&gt;\n c\" input='speech'>\n    \
                  <Prompt for='x' attempt='99'>\n<Say>Your card.</Say><Pause/></Prompt>\
                  <Parameter name='a' value=''/><Parameter name='b' value='2'/>\n  </Pay></Response>";
    let verbs = verbs(source);
    let [Verb::Pay(pay)] = verbs.as_slice() else { panic!("no Pay") };
    let attributes: Vec<_> =
        pay.attributes.iter().map(|a| (a.position.to_string(), a.name.as_str(), a.value.as_str())).collect();
    assert_eq!(
        attributes,
        [
            ("2:8".into(), "chargeAmount", "-1"),
            ("2:26".into(), "weird", "<a\nb>  c"),
            ("3:5".into(), "input", "speech"),
        ]
    );
    assert_eq!(pay.parameters, [("a".into(), String::new()), ("b".into(), "2".into())]);
    let [prompt] = pay.prompts.as_slice() else { panic!("no prompt") };
    assert_eq!(prompt.position.to_string(), "4:5");
    let names: Vec<_> = prompt.item.attributes.iter().map(|a| (a.position.to_string(), a.name.as_str())).collect();
    assert_eq!(names, [("4:13".into(), "for"), ("4:21".into(), "attempt")]);
    assert_eq!(prompt.item.content, [Utterance::Say(say("Your card.")), Utterance::Pause(pause(1))]);
}

#[test]
fn what_pay_does_not_hold_is_told() {
    let (verbs, told) = judged(
        "<Pay>now<Say/><prompt/>\n<Prompt>x<Hangup/></Prompt><Parameter value='1'/><Parameter name='n'/>\
         <Parameter name='m' value='' type='x'>y</Parameter></Pay>",
    );
    let [Verb::Pay(pay)] = verbs.as_slice() else { panic!("no Pay") };
    assert_eq!(pay.prompts.len(), 1);
    assert_eq!(pay.parameters, [("n".into(), String::new()), ("m".into(), String::new())]);
    assert_eq!(
        told,
        [
            "2:6 error: <Pay> holds <Prompt> and <Parameter>, not text",
            "2:9 error: <Pay> holds <Prompt> and <Parameter>, not <Say>",
            "2:15 error: <Pay> holds <Prompt> and <Parameter>, not <prompt>: did you mean <Prompt>?",
            "3:9 error: <Prompt> holds <Say>, <Play> and <Pause>, not text",
            "3:10 error: <Prompt> holds <Say>, <Play> and <Pause>, not <Hangup>",
            "3:28 error: <Parameter> needs the attribute name; it is skipped",
            "3:50 warning: <Parameter> has no attribute value; it is passed on empty",
            "3:100 warning: <Parameter type>: type is not known here and has no effect",
            "3:109 error: <Parameter> is empty, but text is in it"
        ]
    );
}

#[test]
fn redirect_takes_a_url_or_none() {
    let redirect = |url: &str, method| Verb::Redirect(Redirect { url: url.into(), method });
    assert_eq!(
        verb("<Redirect>\n\thttps://example.com/x\n</Redirect>"),
        redirect("https://example.com/x", Method::Post)
    );
    assert_eq!(verb("<Redirect method='Get'/>"), redirect("", Method::Get));
    let told = "2:11 error: <Redirect method=\"\">: method is GET or POST, not \"\"";
    assert_eq!(judged("<Redirect method=''/>"), (vec![redirect("", Method::Post)], vec![told.into()]));
}

#[test]
fn hangup_and_reject_end_the_call_whatever_is_in_them() {
    assert_eq!(verb("<Hangup/>"), Verb::Hangup);
    assert_eq!(verb("<Reject reason='busy'/>"), Verb::Reject);
    let (verbs, told) = judged("<Hangup>bye</Hangup><Reject reason='rude'><Say/></Reject><Pause><x/></Pause>");
    assert_eq!(verbs, [Verb::Hangup, Verb::Reject, Verb::Pause(pause(1))]);
    assert_eq!(
        told,
        [
            "2:9 error: <Hangup> is empty, but text is in it",
            "2:29 error: <Reject reason=\"rude\">: reason is rejected or busy, not \"rude\"",
            "2:43 error: <Reject> is empty, but <Say> is in it",
            "2:65 error: <Pause> is empty, but <x> is in it"
        ]
    );
}

#[test]
fn a_verb_that_needs_the_network_is_skipped_with_a_warning_and_not_looked_into() {
    for name in ["Dial", "Record", "Enqueue", "Leave", "Sms", "Refer", "Connect", "Start", "Stop", "Siprec", "Queue"] {
        let (verbs, told) = judged(&format!("<{name} x='1'>\n<Say loop='x'><y/></Say></{name}>"));
        assert_eq!(verbs, [Verb::Unsupported { name: name.into(), known: true }]);
        assert_eq!(told, [format!("2:1 warning: <{name}> needs the telephone network; it is skipped")]);
    }
}

#[test]
fn parts_of_pay_outside_of_pay_are_skipped_with_a_warning() {
    let (verbs, told) = judged("<Prompt for='x'/>");
    assert_eq!(verbs, [Verb::Unsupported { name: "Prompt".into(), known: true }]);
    assert_eq!(told, ["2:1 warning: <Prompt> belongs inside <Pay>; it is skipped"]);
}

#[test]
fn an_unknown_verb_is_an_error_with_a_hint() {
    for (name, hint) in [
        ("say", ": did you mean <Say>?"),
        ("PAUSE", ": did you mean <Pause>?"),
        ("Gahter", ": did you mean <Gather>?"),
        ("Dail", ": did you mean <Dial>?"),
        ("Announce", ""),
        ("t:Say", ""),
    ] {
        let (verbs, told) = judged(&format!("\n <{name}><y/></{name}>"));
        assert_eq!(verbs, [Verb::Unsupported { name: name.into(), known: false }]);
        assert_eq!(told, [format!("3:2 error: <{name}> is no verb of TwiML; it is skipped{hint}")]);
    }
}

#[test]
fn an_unknown_attribute_is_a_warning_told_once() {
    let (verbs, faults) =
        judged("<Say Voice='a' jingle='1'/><Say jingle='2'/><Play jingle='3'>x</Play><Hangup why='x'/>");
    assert_eq!(verbs.len(), 4);
    assert_eq!(
        faults,
        [
            "2:6 warning: <Say Voice>: Voice is not known here and has no effect: did you mean voice?",
            "2:16 warning: <Say jingle>: jingle is not known here and has no effect",
            "2:51 warning: <Play jingle>: jingle is not known here and has no effect",
            "2:78 warning: <Hangup why>: why is not known here and has no effect"
        ]
    );
    let document = parse("<Response version='1' xmlns='urn:x' xmlns:y='z' xml:lang='en'/>").unwrap();
    assert_eq!(
        told(&document.faults),
        ["1:11 warning: <Response version>: version is not known here and has no effect"]
    );
}

#[test]
fn text_directly_inside_response_is_told_where_it_begins() {
    let (verbs, told) = judged("\n  &#65;h <Hangup/> <![CDATA[\n oh]]>");
    assert_eq!(verbs, [Verb::Hangup]);
    let message = "error: text directly inside <Response> is not spoken; it belongs in <Say>";
    assert_eq!(told, [format!("3:3 {message}"), format!("4:2 {message}")]);
}

#[test]
fn faults_are_told_in_the_order_of_the_document() {
    let (_, told) = judged("<Gather x='1'><say/></Gather>\n<Foo/>\n<Play digits='1' loop='x'>u</Play>");
    let places: Vec<&str> = told.iter().map(|told| told.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["2:9", "2:15", "3:1", "4:1", "4:18"]);
}

#[test]
fn a_rendered_document_is_judged_but_its_values_are_not_repeated() {
    let source = "<Response><Gather numDigits='4242 4242' finishOnKey='4242'/><Play digits='4242x'/>\
                  <Gather input='4242'/><Reject reason='4242'/><Pause length='4242'/></Response>";
    let document: Document = parse_rendered(source).unwrap();
    assert_eq!(document.faults.len(), 6);
    assert_eq!(
        document.faults[0].message,
        "<Gather numDigits>: numDigits is a whole number from 1 to 999, not what is given"
    );
    let refused = ["<Response>&4242;</Response>", "<Response><Say 4242='x'/></Response>"]
        .map(|source| parse_rendered(source).unwrap_err());
    for fault in document.faults.iter().chain(&refused) {
        assert!(!fault.message.contains("4242"), "{fault}");
    }
}

#[test]
fn a_strange_value_is_repeated_short_and_on_one_line() {
    let (_, told) = judged(&format!("<Pause length='a&#10;{}'/>", "b".repeat(100)));
    let value = format!("a {}…", "b".repeat(38));
    let allowed = "a whole number of seconds from 0 to 3600";
    assert_eq!(told, [format!("2:8 error: <Pause length=\"{value}\">: length is {allowed}, not \"{value}\"")]);
}

#[test]
fn a_strange_value_or_name_is_repeated_without_digits_that_may_have_been_keyed() {
    let (_, told) = judged("<Pause length='4539578763621486'/><Number4539578763621486/><Pause a4539='1'/>");
    assert!(told[0].contains("length=\"xxxxxxxxxxxxxxxx\""), "{told:?}");
    assert!(told[1].contains("<Numberxxxxxxxxxxxxxxxx> is no verb"), "{told:?}");
    assert!(told[2].contains("<Pause axxxx>"), "{told:?}");
}
