//! Documents and templates against what the readers promise: no panic, faults inside the document, and a parameter that
//! is never anything but text.

use std::collections::BTreeMap;

use touchtone::twiml::template::{check_view, render};
use touchtone::twiml::{Document, Fault, Verb, parse, parse_rendered, parse_view};

/// Takes `data` as a document, as a template, and as the value of a parameter.
pub fn twiml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    is_placed(text, &parse(text));
    is_placed(text, &parse_rendered(text));
    is_placed(text, &parse_view(text));
    if let Ok(view) = check_view(text) {
        is_placed(&view, &parse_view(&view));
    }
    if let Ok(rendered) = render("fuzz", text, &parameters(text)) {
        is_placed(&rendered, &parse_rendered(&rendered));
    }
    let template = "<Response><Say voice='{{x}}'>{{x}}</Say></Response>";
    if let Ok(rendered) = render("fuzz", template, &parameters(text)) {
        is_one_say(parse_rendered(&rendered));
    }
}

fn parameters(x: &str) -> BTreeMap<&str, &str> {
    [("x", x), ("amount", "20.45")].into()
}

/// Every fault is at a place that the text has.
fn is_placed(text: &str, read: &Result<Document, Fault>) {
    let faults = match read {
        Ok(document) => document.faults.as_slice(),
        Err(fault) => std::slice::from_ref(fault),
    };
    let lines = text.split('\n').count();
    for fault in faults {
        assert!(fault.position.line >= 1 && fault.position.column >= 1, "{fault}");
        assert!(fault.position.line as usize <= lines.max(1), "{fault}: behind the end");
        assert!(!fault.message.is_empty());
    }
}

/// A parameter adds no verb, no attribute and no element to the document that shows it.
fn is_one_say(read: Result<Document, Fault>) {
    let document = read.unwrap();
    match document.verbs.as_slice() {
        [placed] => match &placed.item {
            Verb::Say(_) => assert!(document.faults.len() <= 1, "{:?}", document.faults),
            other => panic!("{other:?} instead of what is said"),
        },
        other => panic!("{} verbs instead of one", other.len()),
    }
}
