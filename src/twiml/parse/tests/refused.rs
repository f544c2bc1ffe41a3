//! What cannot be read at all.

use super::*;

/// Place and message of the fault that makes `source` unreadable.
fn refused(source: &str) -> String {
    let fault = parse(source).unwrap_err();
    assert_eq!(fault.severity, Severity::Error);
    fault.to_string()
}

#[test]
fn an_empty_document_is_refused() {
    for source in ["", " \r\n\t", "\u{feff}", "<?xml version='1.0'?>\n<!-- nothing -->"] {
        assert_eq!(refused(source), "1:1: an empty document: expected <Response>");
    }
}

#[test]
fn a_document_that_is_not_twiml_is_refused() {
    let cases = [
        ("{\"error\": true}", "1:1: expected <Response>, found text"),
        ("\n &amp;<Response/>", "2:2: expected <Response>, found text"),
        ("<![CDATA[x]]><Response/>", "1:1: expected <Response>, found text"),
        ("\u{feff}\u{feff}<Response/>", "1:1: expected <Response>, found a second byte order mark"),
        ("<html><br></html>", "1:1: expected <Response>, found <html>"),
        ("\n <response/>", "2:2: expected <Response>, found <response>: did you mean <Response>?"),
        ("<r:Response/>", "1:1: expected <Response>, found <r:Response>: did you mean <Response>?"),
        ("<Response/>\n<Response/>", "2:1: nothing may follow </Response>, but <Response> does"),
        ("<Response/>\n x", "2:2: nothing may follow </Response>, but text does"),
        ("<Response/>\n &lt;", "2:2: nothing may follow </Response>, but text does"),
        ("<Response/><![CDATA[]]>", "1:12: nothing may follow </Response>, but text does"),
        ("<Response/><Say>x</Say>", "1:12: nothing may follow </Response>, but <Say> does"),
    ];
    for (source, fault) in cases {
        assert_eq!(refused(source), fault, "{source:?}");
    }
}

#[test]
fn tags_that_do_not_match_are_refused() {
    let cases = [
        ("<Response>\n <Say>x</Response>", "2:8: expected </Say>, which closes the <Say> of 2:2, found </Response>"),
        ("<Response>\n <Say>x", "2:2: <Say> is never closed"),
        ("<Response>", "1:1: <Response> is never closed"),
        ("</Response>", "1:1: </Response> closes nothing"),
        ("<Response/></Response>", "1:12: </Response> closes nothing"),
        (
            "<Response><Say>x</Say >\n</Say></Response>",
            "2:1: expected </Response>, which closes the <Response> of 1:1, found </Say>",
        ),
    ];
    for (source, fault) in cases {
        assert_eq!(refused(source), fault, "{source:?}");
    }
}

#[test]
fn markup_that_is_never_closed_is_refused() {
    let tag = "this tag is never closed: its > is missing, or the quote behind an attribute's value";
    let cases = [
        ("<Response><Say", format!("1:11: {tag}")),
        ("<Response>\n\t<Say voice=\"x></Say></Response>", format!("2:2: {tag}")),
        ("<Response></Response", format!("1:11: {tag}")),
        ("<Response><!-- x </Response>", "1:11: this comment is never closed: --> is missing".into()),
        ("<Response><![CDATA[ x ]></Response>", "1:11: this CDATA is never closed: ]]> is missing".into()),
        ("<Response><? x </Response>", "1:11: this processing instruction is never closed: ?> is missing".into()),
        ("<Response><!x></Response>", "1:11: <! is neither a comment (<!--) nor CDATA (<![CDATA[)".into()),
        ("<Response><", format!("1:11: {tag}")),
    ];
    for (source, fault) in cases {
        assert_eq!(refused(source), fault, "{source:?}");
    }
}

#[test]
fn what_is_no_xml_is_refused() {
    let name = "< is not followed by an element's name; a plain < is written &lt;";
    let version = "1:1: <?xml ...?> begins with version=\"1.0\"";
    let beginning = "1:2: <?xml ...?> stands at the very beginning of a document or not at all";
    let instruction = "1:11: <? is not followed by the name of a processing instruction";
    let cases = [
        ("<Response><Say>2 < 3</Say></Response>", format!("1:18: {name}")),
        ("<Response><1Say/></Response>", format!("1:11: {name}")),
        ("<Response><Say\"x\"/></Response>", format!("1:11: {name}")),
        ("<Response><></Response>", format!("1:11: {name}")),
        ("<Response>]]></Response>", "1:11: ]]> in text is written ]]&gt;".into()),
        ("<Response><!-- a -- b --></Response>", "1:11: a comment cannot contain -- before its end".into()),
        ("<Response><!-- a ---></Response>", "1:11: a comment cannot contain -- before its end".into()),
        ("<Response>a\u{1}b</Response>", "1:12: the character U+0001 cannot stand in XML".into()),
        ("\u{feff}<Response>\n\u{ffff}</Response>", "2:1: the character U+FFFF cannot stand in XML".into()),
        (" <?xml version='1.0'?><Response/>", beginning.into()),
        ("<?xml encoding='UTF-8'?><Response/>", version.into()),
        ("<?xml version='2.0'?><Response/>", version.into()),
        ("<Response><?XML x?></Response>", instruction.into()),
        ("<Response><? x?></Response>", instruction.into()),
    ];
    for (source, fault) in cases {
        assert_eq!(refused(source), fault, "{source:?}");
    }
}

#[test]
fn attributes_that_are_no_xml_are_refused() {
    let cases = [
        ("<Say voice/>", "2:11: <Say>: an attribute is written name=\"value\""),
        ("<Say voice=/>", "2:12: <Say>: an attribute's value is missing"),
        ("<Say voice= >x</Say>", "2:13: <Say>: an attribute's value is missing"),
        ("<Say voice=alice/>", "2:12: <Say>: an attribute's value is written in quotes"),
        ("<Say voice='a' loop='2' voice='b'/>", "2:25: <Say> has the same attribute twice"),
        ("<Say voice='a'loop='2'/>", "2:15: <Say>: a blank belongs before the attribute loop"),
        ("<Say 1='a'/>", "2:6: <Say>: expected the name of an attribute, found \"1\""),
        ("<Say voice='a<b'/>", "2:14: <Say>: < in an attribute's value is written &lt;"),
    ];
    for (content, fault) in cases {
        assert_eq!(refused(&format!("<Response>\n{content}</Response>")), fault, "{content:?}");
    }
}

#[test]
fn references_to_anything_but_characters_are_refused() {
    let number = "this is not the number of a character in XML";
    let known = "only &amp; &lt; &gt; &quot; &apos; and numbers as in &#233; are known here";
    let unclosed = "& begins a reference such as &amp; but no ; ends it; a plain & is written &amp;";
    let cases = [
        ("&#0;", format!("{number} (&#0;)")),
        ("&#x1;", format!("{number} (&#x1;)")),
        ("&#xD800;", format!("{number} (&#xDxxx;)")),
        ("&#xFFFF;", format!("{number} (&#xFFFF;)")),
        ("&#x110000;", format!("{number} (&#xxxxxxx;)")),
        ("&#99999999999999999999;", format!("{number} (&#xxxxxxxxxxxxxxxxxxxx;)")),
        ("&#-1;", format!("{number} (&#-1;)")),
        ("&#;", format!("{number} (&#;)")),
        ("&nbsp;", format!("{known} (&nbsp;)")),
        ("&;", format!("{known} (&;)")),
        ("& ", unclosed.into()),
        ("&amp", unclosed.into()),
    ];
    for (reference, fault) in cases {
        let text = format!("<Response>\n<Say>ä{reference}</Say></Response>");
        assert_eq!(refused(&text), format!("2:7: {fault}"), "{reference:?} in text");
        let attribute = format!("<Response>\n<Say voice='ä{reference}'/></Response>");
        assert_eq!(refused(&attribute), format!("2:14: {fault}"), "{reference:?} in an attribute");
    }
}

#[test]
fn a_document_type_is_refused_and_so_no_entity_can_grow() {
    let laughs: String =
        (1..30).map(|i| format!("<!ENTITY l{i} \"{}\">", format!("&l{};", i - 1).repeat(10))).collect();
    let bomb =
        format!("<?xml version=\"1.0\"?>\n<!DOCTYPE l [<!ENTITY l0 \"lol\">{laughs}]>\n<Response>&l29;</Response>");
    let message = "a document type declaration (<!DOCTYPE ...>) is not accepted: TwiML has none";
    assert_eq!(refused(&bomb), format!("2:1: {message}"));
    for source in ["<!DOCTYPE html><html/>", "<!doctype html>", "<!DOCTYPE x [", "<!DOCTYPE>"] {
        assert_eq!(refused(source), format!("1:1: {message}"));
    }
    let file = "<Response><!DOCTYPE x SYSTEM 'file:///etc/passwd'></Response>";
    assert_eq!(refused(file), format!("1:11: {message}"));
}

#[test]
fn elements_are_nested_sixteen_deep_at_most() {
    let nested = |depth: usize| {
        let deep = depth - 1;
        format!("<Response>{}{}</Response>", "<p>".repeat(deep), "</p>".repeat(deep))
    };
    assert!(parse(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(refused(&nested(DEPTH_MAX + 1)), "1:56: elements are nested more than 16 deep");
    let endless = "<Response>".to_owned() + &"<p>".repeat(20_000);
    assert_eq!(refused(&endless), "1:56: elements are nested more than 16 deep");
    let fifty_thousand = "<Response>".to_owned() + &"<p>".repeat(50_000) + &"</p>".repeat(50_000) + "</Response>";
    assert_eq!(refused(&fifty_thousand), "1:1: the document is 350021 bytes long; at most 65536 are read");
}

#[test]
fn a_document_is_64_kib_long_at_most() {
    let of_length = |length: usize| {
        let around = "<Response><Say></Say></Response>".len();
        format!("<Response><Say>{}</Say></Response>", "x".repeat(length - around))
    };
    assert!(parse(&of_length(SIZE_MAX)).is_ok());
    let message = "1:1: the document is 65537 bytes long; at most 65536 are read";
    assert_eq!(refused(&of_length(SIZE_MAX + 1)), message);
}

#[test]
fn a_document_full_of_faults_is_read_whole() {
    let faulty = format!("<Response>{}</Response>", "<a b='&#66;'/>".repeat(4_600));
    let document = parse(&faulty).unwrap();
    assert_eq!(document.verbs.len(), 4_600);
    assert_eq!(document.faults.len(), 4_600);
    let attributes: String = (0..6_000).map(|i| format!(" a{i}=''")).collect();
    assert_eq!(parse(&format!("<Response><Say{attributes}/></Response>")).unwrap().faults.len(), 6_000);
}
