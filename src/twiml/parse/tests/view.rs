//! Templates whose values are not known.

use super::super::super::template::check_view;
use super::*;

/// What `touchtone check` tells of a template.
fn checked(template: &str) -> Vec<String> {
    match check_view(template).and_then(|view| parse_view(&view)) {
        Ok(document) => told(&document.faults),
        Err(fault) => vec![format!("refused {fault}")],
    }
}

#[test]
fn what_an_expression_writes_is_not_judged() {
    for template in [
        "<Response><Gather numDigits='{{ n }}' timeout='{{ t }}' method='{{ m }}' finishOnKey='{{ k }}' input='{{ i }}' \
         actionOnEmptyResult='{{ a }}'/></Response>",
        "<Response><Pause length=\"{{ seconds | default('2') }}\"/><Say loop='1{{ x }}'>{{ text }}</Say></Response>",
        "<Response><Play digits='{{ d }}'/><Play>{{ url }}</Play><Reject reason='{{ r }}'/></Response>",
        "<Response>{{ markup }}<Gather>{{ markup }}</Gather><Pay>{{ x }}<Prompt>{{ x }}</Prompt></Pay></Response>",
        "<Response><{{ verb }} x='1'/><Say {{ name }}='1'/></Response>",
        "{{ everything }}",
        "{{ before }}<Response/>{{ more }}",
    ] {
        assert_eq!(checked(template), Vec::<String>::new(), "{template}");
    }
}

#[test]
fn what_is_written_in_a_template_is_judged_where_it_stands() {
    let template = "{# a\n comment #}{% if x %}<Response>\r\n  {{ a }}<Pause length='x'/>{% endif %}\n</Response>";
    let told = "3:17 error: <Pause length=\"x\">: length is a whole number of seconds from 0 to 3600, not \"x\"";
    assert_eq!(checked(template), [told]);
}

#[test]
fn both_branches_of_a_condition_are_read() {
    for template in [
        "<Response><Say {% if a %}loop='2'{% else %}loop='3'{% endif %}>x</Say></Response>",
        "{% if a %}<Response/>{% else %}<Response><Hangup/></Response>{% endif %}",
        "<Response><Pause length='{% if a %}2{% else %}3{% endif %}'/></Response>",
    ] {
        assert_eq!(checked(template), Vec::<String>::new(), "{template}");
    }
    let wrong = checked("<Response><Say {% if a %}loop='2'{% else %}loop='x'{% endif %}>x</Say></Response>");
    assert_eq!(wrong, ["1:44 error: <Say loop=\"x\">: loop is a whole number from 0 to 1000, not \"x\""]);
}

#[test]
fn an_element_that_begins_in_two_branches_is_refused_with_the_reason() {
    let template = "<Response>{% if a %}<Gather>{% else %}<Gather timeout='9'>{% endif %}</Gather></Response>";
    let message = "expected </Gather>, which closes the <Gather> of 1:21, found </Response> \
                   (an element must begin and end in the same branch of a condition)";
    assert_eq!(checked(template), [format!("refused 1:79: {message}")]);
}

#[test]
fn what_looks_like_a_template_is_judged_in_a_document() {
    let (_, told) = judged("<Pause length='{{ n }}'/>{{ x }}");
    assert_eq!(
        told,
        [
            "2:8 error: <Pause length=\"{{ n }}\">: length is a whole number of seconds from 0 to 3600, not \"{{ n }}\"",
            "2:26 error: text directly inside <Response> is not spoken; it belongs in <Say>"
        ]
    );
    assert!(parse("<Response/><Response/>").is_err());
    assert!(parse("{{ everything }}").is_err());
}
