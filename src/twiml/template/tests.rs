use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Utterance, Verb, parse_rendered};
use super::{SIZE_MAX, check_view, render};

/// Rendered with parameters whose values no message may hold.
fn with(source: &str, parameters: &[(&str, &str)]) -> Result<String, String> {
    let parameters: BTreeMap<&str, &str> = parameters.iter().copied().collect();
    render("donate", source, &parameters).map_err(|fault| {
        for value in parameters.values() {
            assert!(!fault.to_string().contains(value), "{fault}");
        }
        fault.to_string()
    })
}

fn refused(source: &str) -> String {
    check_view(source).unwrap_err().to_string()
}

#[test]
fn a_document_without_tags_is_rendered_as_it_is() {
    let source = "<Response>\r\n\t<Say>100 % {of} it: } }} %} #}</Say>\n</Response>";
    assert_eq!(with(source, &[("unused", "x")]).unwrap(), source);
}

#[test]
fn parameters_are_put_in() {
    let source = "<Say>{{ name }}, {{ amount | default(\"5.00\") }}, {{ city | default('') }}!</Say>";
    assert_eq!(with(source, &[("name", "Ada"), ("amount", "20.45")]).unwrap(), "<Say>Ada, 20.45, !</Say>");
}

#[test]
fn a_value_is_escaped_for_xml_in_text_and_attributes() {
    let value = "<Hangup/> & \"it's\" {{ x }}\r\n\tnew";
    let source = "<Response><Gather action='{{ v }}'><Say>{{ v }}</Say></Gather></Response>";
    let document = parse_rendered(&with(source, &[("v", value)]).unwrap()).unwrap();
    assert_eq!(document.faults, []);
    let [verb] = document.verbs.as_slice() else { panic!("{document:?}") };
    let Verb::Gather(gather) = &verb.item else { panic!("{verb:?}") };
    assert_eq!(gather.action.as_deref(), Some(value));
    let [Utterance::Say(say)] = gather.prompts.as_slice() else { panic!("{gather:?}") };
    assert_eq!(say.text, "<Hangup/> & \"it's\" {{ x }} new");
}

#[test]
fn no_tag_takes_the_escaping_off() {
    for source in [
        "{% autoescape false %}{{ v }}{% endautoescape %}",
        "{% macro m(v) %}{{ v }}{% endmacro %}{{ m(v) }}",
        "{% set w %}{{ v }}{% endset %}{{ w }}",
        "{{ v | upper | lower }}",
        "{{ v | e }}",
        "{{ v ~ '' }}",
        "{{ [v] | join('') }}",
        "{{ [v, v] | first }}",
        "{% for w in [v] %}{{ w }}{% endfor %}",
        "{% filter lower %}{{ v }}{% endfilter %}",
    ] {
        let rendered = with(source, &[("v", "<b>&")]).unwrap();
        assert!(!rendered.contains('<') && rendered.contains("&lt;b&gt;&amp;"), "{source}: {rendered}");
    }
    assert_eq!(with("{{ v | safe }}", &[("v", "<b>")]).unwrap_err(), "1:8: filter safe is unknown in templates");
}

#[test]
fn characters_that_xml_does_not_have_become_blanks() {
    assert_eq!(with("{{ v }}", &[("v", "a\u{0}b\u{1b}[0m\u{ffff}")]).unwrap(), "a b [0m ");
}

#[test]
fn a_missing_parameter_is_an_error_that_names_it_and_its_place() {
    let without =
        |name: &str| format!("the parameter {name} is missing; {{{{ {name} | default(\"...\") }}}} does without it");
    let cases = [
        ("<Say>\r\n  é{{ name }}</Say>", "2:7", "name"),
        ("{{ name | upper }}", "1:11", "name"),
        ("{{ 'x' ~ name }}", "1:4", "name"),
        ("{% for c in name %}{% endfor %}", "1:13", "name"),
        ("{% set x = name %}\n{{ x }}", "2:4", "name"),
        ("\u{feff}{{ given }}{{ name }}", "1:15", "name"),
    ];
    for (source, _, name) in cases {
        let fault = with(source, &[("given", "4242")]).unwrap_err();
        assert!(fault.ends_with(&without(name)), "{source}: {fault}");
    }
    let places: Vec<String> = cases
        .iter()
        .map(|(source, ..)| {
            let fault = with(source, &[("given", "4242")]).unwrap_err();
            fault.split(": ").next().unwrap().to_owned()
        })
        .collect();
    assert_eq!(places, cases.map(|(_, place, _)| place.to_owned()));
    assert_eq!(with("{{ given.last.name }}", &[("given", "4242")]).unwrap_err(), "1:9: given.last is missing");
}

#[test]
fn a_missing_parameter_is_false_in_a_condition() {
    let source = "{% if vip %}a{% elif not vip %}b{% endif %}{{ 'c' if vip else 'd' }}{{ 'e' if vip }}";
    assert_eq!(with(source, &[]).unwrap(), "bd");
    assert_eq!(with(source, &[("vip", "1")]).unwrap(), "ace");
    assert_eq!(with("{% if vip is defined %}a{% endif %}", &[]).unwrap(), "");
}

#[test]
fn no_message_repeats_a_value() {
    for source in [
        "{{ v + 1 }}",
        "{{ v | int }}",
        "{{ v | round }}",
        "{{ v() }}",
        "{{ v.nothing() }}",
        "{{ v | batch(2, 3, 4) }}",
        "{{ {}[v] }}",
        "{{ v[v][v] }}",
        "{{ range(v) }}",
        "{{ v | map(v) }}",
        "{{ [1] | select(v) | list }}",
        "{% include v %}",
        "{% extends v %}",
        "{% import v as x %}",
        "{{ debug() }}",
        "{{ dict(v) }}",
        "{{ v * v }}",
        "{{ -v }}",
        "{{ namespace(v) }}",
        "{% set x, y = v %}{{ x + y }}",
    ] {
        let fault = with(source, &[("v", "4242x")]).expect_err(source);
        assert!(fault.starts_with("1:"), "{source}: {fault}");
    }
}

#[test]
fn a_template_that_is_none_is_refused_at_its_place() {
    let cases = [
        ("<Say>\n {{ name </Say>", "2:11"),
        ("{% if x %}\n<Say/>", "1:11"),
        ("a\n{% endif %}", "2:4"),
        ("{{ 'abc }}", "1:11"),
        ("ü{# never", "1:10"),
        ("{% raw %} x", "1:12"),
        ("{% frobnicate %}", "1:4"),
    ];
    for (source, place) in cases {
        let fault = refused(source);
        assert!(fault.starts_with(&format!("{place}: the template cannot be read: ")), "{source}: {fault}");
        assert_eq!(with(source, &[]).unwrap_err(), fault);
    }
}

#[test]
fn a_filter_or_test_that_there_is_none_of_is_found_without_rendering() {
    let cases = [
        ("<Say>\n{{ x | defualt('a') }}</Say>", "2:8: there is no filter defualt in templates"),
        ("{{ x | upper | safe }}", "1:16: there is no filter safe in templates"),
        ("{% if x is not definde %}{% endif %}", "1:16: there is no test definde in templates"),
        ("{% filter shout %}{% endfilter %}", "1:11: there is no filter shout in templates"),
        ("{% set x | shout %}{% endset %}", "1:12: there is no filter shout in templates"),
        ("{% if x %}{% include 'y' %}{% endif %}", "1:14: {% include %}: a flow document cannot use other templates"),
        ("{% extends 'y' %}", "1:4: {% extends %}: a flow document cannot use other templates"),
    ];
    for (source, fault) in cases {
        assert_eq!(refused(source), fault, "{source}");
    }
    for source in [
        "{{ x | default('a | b is c') | d(1) | upper }}",
        "{% if x is not none and y is startingwith 'a' %}{% endif %}",
    ] {
        assert!(check_view(source).is_ok(), "{source}");
    }
}

#[test]
fn a_template_that_would_never_end_is_stopped() {
    let cases = [
        (
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "the template takes too many steps",
        ),
        (
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "an expression of the template cannot be worked out: invalid operation",
        ),
        (
            "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            "an expression of the template cannot be worked out: invalid operation",
        ),
        ("{% for a in range(9000) %}{{ x }}{% endfor %}", "the rendered document is longer than 65536 bytes"),
        ("{{ 'x' * 99999999 }}", "the rendered document is longer than 65536 bytes"),
    ];
    for (source, message) in cases {
        let fault = with(source, &[("x", "4242 4242")]).unwrap_err();
        assert!(fault.ends_with(message), "{source}: {fault}");
    }
}

#[test]
fn a_template_nested_without_end_is_refused() {
    for (open, close) in
        [("{% if 1 %}", "{% endif %}"), ("{% for a in [1] %}", "{% endfor %}"), ("{% set a %}", "{% endset %}")]
    {
        let source = open.repeat(200) + &close.repeat(200);
        assert!(refused(&source).ends_with("template exceeds maximum recursion limits"));
        assert_eq!(with(&source, &[]).unwrap_err(), refused(&source));
    }
    for (open, close) in [("(", ")"), ("[", "]"), ("{'a':", "}")] {
        let source = format!("{{{{ {}1{} }}}}", open.repeat(160), close.repeat(80));
        assert!(check_view(&source).is_err() && with(&source, &[]).is_err());
    }
}

#[test]
fn a_chain_without_end_is_refused_before_it_ends_the_stack() {
    let long = "a\n{{ {}1{} }}";
    for (open, close) in
        [("-", ""), ("not ", ""), ("", "|e"), ("", ".b"), ("", "[0]"), ("", "+1"), ("", " if 1 else 1")]
    {
        let source =
            long.replacen("{}", &open.repeat(8_000 / open.len().max(1)), 1).replacen("{}", &close.repeat(5_000), 1);
        let fault = "2:1: this tag has more than 500 words and signs";
        assert_eq!((refused(&source), with(&source, &[]).unwrap_err()), (fault.into(), fault.into()), "{open}1{close}");
        // Also where what follows is no template any more.
        assert_eq!(refused(&(source.replace("}}", ")) }}") + "{{ '")), fault);
    }
    let chain = "{% if 1 %}".to_owned() + &"{% elif 1 %}".repeat(5_000) + "{% endif %}";
    let fault = "1:5999: the template has more than 500 {% ... %}";
    assert_eq!((refused(&chain), with(&chain, &[]).unwrap_err()), (fault.into(), fault.into()));
    let longest = "{% if 1 %}".to_owned() + &"{% elif 1 %}".repeat(498) + "{% endif %}";
    assert!(check_view(&longest).is_ok() && with(&longest, &[]).is_ok());
    let longest = format!("{{{{ {}1 }}}}", "-".repeat(498));
    assert!(check_view(&longest).is_ok() && with(&longest, &[]).is_ok());
}

#[test]
fn a_template_is_64_kib_long_at_most() {
    let long = "x".repeat(SIZE_MAX);
    assert_eq!(with(&long, &[]).unwrap(), long);
    assert_eq!(check_view(&long).unwrap(), long);
    let message = "1:1: the document is 65537 bytes long; at most 65536 are read";
    assert_eq!(refused(&format!("{long}x")), message);
    assert_eq!(with(&format!("{long}x"), &[]).unwrap_err(), message);
    assert_eq!(with("{{ x }}", &[("x", &long)]).unwrap(), long);
    let message = "1:1: the rendered document is longer than 65536 bytes";
    assert_eq!(with("{{ x }}", &[("x", &format!("{long}x"))]).unwrap_err(), message);
}

#[test]
fn the_largest_document_of_nothing_but_parameters_has_fuel_enough() {
    let source = "{{x}}".repeat(SIZE_MAX / 5);
    assert_eq!(with(&source, &[("x", "y")]).unwrap().len(), SIZE_MAX / 5);
}

#[test]
fn a_view_keeps_every_character_where_it_was() {
    let cases = [
        ("a{{ x }}b", "a{{xxx}}b"),
        ("{{x}}", "{{x}}"),
        ("{{ \"é<&'\" ~\r\n x }}b", "{{xxxxxxxxx\r\nxxx}}b"),
        ("{{- '}}' -}}{# {{ x }} é\n#}b", "{{xxxxxxxx}}            \n  b"),
        ("{%- if x == '%}' %}a{% else %}b{% endif %}", "                   a          b           "),
        ("{% raw %}{{ a }}{% b %}{%- endraw -%}c", "         {{ a }}{% b %}              c"),
        ("{{ {'a': {'b': 1}}['a'] }}b", "{{xxxxxxxxxxxxxxxxxxxxxx}}b"),
        ("<a b='{% if x %}1{% endif %}'/>", "<a b='{{xxxxxx}}1{{xxxxxxx}}'/>"),
        ("<a c=\"{# x #}\">{% if x %}{% endif %}", "<a c=\"       \">                     "),
        ("<!-- ' --><a b=\"'\"/>{% if 1 %}{% endif %}", "<!-- ' --><a b=\"'\"/>                     "),
        ("{% macro m(a='%}') %}<Say>\n{% endmacro %}b", "                          \n              b"),
        (
            "{% set a = {'b': 1} %}<b/>{% set c %}<Say>{% endset %}d",
            "                      <b/>                            d",
        ),
        ("\u{feff}{# x #}a", "       a"),
    ];
    for (source, view) in cases {
        assert_eq!(check_view(source).unwrap(), view, "{source:?}");
    }
}

/// Pieces of templates that write nothing but the text in them, with that text.
fn pieces() -> impl Strategy<Value = Vec<(String, String)>> {
    let text = "[a-w<>'\"%#}\\-+ \n\r|é]{0,6}".prop_map(|text: String| (text.clone(), text));
    let silent = prop::sample::select(vec![
        "{# #}",
        "{#- {{ x }} {% if %}\n-#}",
        "{#+#}",
        "{##}",
        "{#-#}",
        "{{ '' }}",
        "{{ '}}'[:0] }}",
        "{{ \"a\\\"}}\"[:0] }}",
        "{{ '' if '%}' == \"}}\" else '' }}",
        "{{ {'a': {'b': ''}}.a.b }}",
        "{{ {'a': {'b': ''}}['a']['b']}}",
        "{{[''][0]}}",
        "{{ ('')\n}}",
        "{{ '\\\\' [:0] }}",
        "{% set a = '%}' %}",
        "{% set a = {'b': [1, {}]} %}",
        "{% if '{{' %}{% endif %}",
        "{% set a %}<b {{ '' }}{% endset %}",
        "{% set a = 5 % 3 %}",
        "{% macro m(x={}) %}{{ x }}<b>{% endmacro %}",
        "{%+ if 1 == 1 +%}{%+ endif +%}",
        "{{+ '' +}}",
    ]);
    let silent = silent.prop_map(|tag| (tag.to_owned(), String::new()));
    let raw = "[a-w{}%#\n' ]{0,8}".prop_map(|text: String| (format!("{{% raw %}}{text}{{% endraw %}}"), text));
    prop::collection::vec(prop_oneof![3 => text, 4 => silent, 1 => raw], 0..12)
}

proptest! {
    /// What minijinja writes of such a template is what the view shows, in the same order, once blanks are left out.
    #[test]
    fn a_view_has_the_text_that_minijinja_writes(pieces in pieces()) {
        let source: String = pieces.iter().map(|(source, _)| source.as_str()).collect();
        let rendered = with(&source, &[]).map_err(TestCaseError::fail)?;
        let view = check_view(&source).map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        let solid = |text: &str| -> String { text.chars().filter(|character| !character.is_whitespace()).collect() };
        // Expressions write nothing; in the view they stand as stand-ins, and no piece of text has an x.
        let mut shown = String::new();
        let mut rest = view.as_str();
        while let Some((before, stand_in)) = rest.split_once("{{x") {
            shown.push_str(before);
            rest = stand_in.split_once("}}").unwrap().1;
        }
        shown.push_str(rest);
        prop_assert_eq!(solid(&shown), solid(&rendered), "{:?} {:?}", source, view);
        // And every line and column is where it was.
        let shape = |text: &str| -> Vec<usize> { text.split('\n').map(|line| line.chars().count()).collect() };
        prop_assert_eq!(shape(&view), shape(&source));
    }

    #[test]
    fn rendering_never_panics_and_never_repeats_a_value(source in "([a-z<>'\"%#{}|() ]|\\{\\{ |\\}\\}|\\{% |%\\}|v|if|for|in|is){0,24}") {
        let _ = with(&source, &[("v", "424242")]);
    }
}
