use proptest::prelude::*;

use super::*;
use crate::simulate::random::SeededRng;
use crate::simulate::random::spelling::{SPELLINGS, spelt};

const NUMBER: &str = "4539578763621486";

fn own(number: &str) -> Numbers {
    let mut numbers = Numbers::new();
    numbers.add(number);
    numbers
}

/// Free text as it is shown of a call that has no numbers.
fn free(free_text: &str) -> String {
    text(free_text, &Numbers::new()).into_owned()
}

#[test]
fn a_number_of_the_session_is_hidden_in_every_usual_spelling() {
    for (spelling, shown) in [
        ("card 4539578763621486 declined", "card xxxxxxxxxxxxxxxx declined"),
        ("card 4539 - 5787 - 6362 - 1486 declined", "card xxxx - xxxx - xxxx - xxxx declined"),
        ("4539/5787_6362:1486", "xxxx/xxxx_xxxx:xxxx"),
        ("(4539),(5787);  6362\u{a0}1486!", "(xxxx),(xxxx);  xxxx\u{a0}xxxx!"),
        ("4539\u{2009}5787\u{200b}6362\n1486", "xxxx\u{2009}xxxx\u{200b}xxxx\nxxxx"),
        ("４５３９５７８７６３６２１４８６", "xxxxxxxxxxxxxxxx"),
        ("٤٥٣٩٥٧٨٧٦٣٦٢١٤٨٦", "xxxxxxxxxxxxxxxx"),
        ("𝟒𝟓𝟑𝟗 𝟓𝟕𝟖𝟕 𝟔𝟑𝟔𝟐 𝟏𝟒𝟖𝟔", "xxxx xxxx xxxx xxxx"),
        ("⁴⁵³⁹₅₇₈₇⑥③⑥② 1486", "xxxxxxxxxxxx xxxx"),
        ("㊺3957876 3621486", "xxxxxxxxx xxxxxxx"),
        ("%34%35%33%39%35%37%38%37%36", "xxxxxxxxx"),
        ("%2534%2535%2533%2539%2535%2537%2538%2537%2536", "xxxxxxxxx"),
        ("%EF%BC%94%EF%BC%95%EF%BC%9339578763621486", "xxxxxxxxxxxxxxxxx"),
        ("&#52;&#x35;&#0051;&#x0039;5787&nbsp;6362&#8239;1486", "xxxxxxxx&nbsp;xxxx&#8239;xxxx"),
        ("&amp;#52;&amp;#53;&amp;#51;&amp;#57;57876362", "xxxxxxxxxxxx"),
        ("\\u0034\\u0035\\u0033\\u0039 57876362 1486", "xxxx xxxxxxxx xxxx"),
        ("4\u{fe0f}\u{20e3}539578763", "x\u{fe0f}\u{20e3}xxxxxxxxx"),
        ("most of it: 453957876", "most of it: xxxxxxxxx"),
        ("100%4539578763621486", "100%xxxxxxxxxxxxxxxx"),
        ("id 94539578763621486", "id 9xxxxxxxxxxxxxxxx"),
        ("its issuer is 45395787", "its issuer is 45395787"),
        ("it ends in 1486", "it ends in 1486"),
    ] {
        let number = if spelling.contains("%EF") { "45339578763621486" } else { NUMBER };
        assert_eq!(identifier(spelling, &own(number)), shown, "{spelling}");
    }
}

#[test]
fn letters_markup_and_words_between_the_digits_hide_no_number_of_the_session() {
    let groups = ["4539", "5787", "6362", "1486"];
    for between in [
        "x",
        "T",
        "O",
        "<br>",
        "<br/>",
        "</b><b>",
        "\\n",
        "\\t",
        " and ",
        "\u{3164}",
        "\u{ffa0}",
        "\u{30fc}",
        "\u{640}",
        "\u{ba}",
        "\u{2b0}",
        "\u{bf0}",
        "</td><td align=\"right\">",
        "&lt;br&gt;",
        " \u{438} ",
    ] {
        let shown = ["xxxx"; 4].join(between);
        assert_eq!(identifier(&groups.join(between), &own(NUMBER)), shown, "{between}");
        assert_eq!(text(&groups.join(between), &own(NUMBER)), shown, "{between}");
    }
    for (said, shown) in [
        ("45395787a63621486", "xxxxxxxxaxxxxxxxx"),
        ("bin 453957 middle 876362 last 1486", "bin xxxxxx middle xxxxxx last xxxx"),
        (
            "{\"bin\":\"453957\",\"middle\":\"876362\",\"last4\":\"1486\"}",
            "{\"bin\":\"xxxxxx\",\"middle\":\"xxxxxx\",\"last4\":\"1486\"}",
        ),
    ] {
        assert_eq!(identifier(said, &own(NUMBER)), shown);
    }
}

#[test]
fn a_number_of_the_session_is_hidden_in_characters_that_stand_for_digits_and_in_their_codes() {
    let each = |one: &dyn Fn(u32) -> String| NUMBER.chars().map(|digit| one(digit.to_digit(10).unwrap())).collect();
    let spelt: Vec<String> = vec![
        each(&|digit| char::from_u32(if digit == 0 { 0x24ff } else { 0x2775 + digit }).unwrap().to_string()),
        each(&|digit| char::from_u32(if digit == 0 { 0x24ff } else { 0x277f + digit }).unwrap().to_string()),
        each(&|digit| char::from_u32(if digit == 0 { 0x24ff } else { 0x24f4 + digit }).unwrap().to_string()),
        each(&|digit| if digit == 0 { "0".into() } else { char::from_u32(0x1368 + digit).unwrap().to_string() }),
        each(&|digit| "〇一二三四五六七八九".chars().nth(usize::try_from(digit).unwrap()).unwrap().to_string()),
        each(&|digit| format!("={:02X}", 0x30 + digit)),
        each(&|digit| format!("\\{:x} ", 0x30 + digit)),
        each(&|digit| format!("\\{:03o}", 0x30 + digit)),
        each(&|digit| format!("U+{:04X} ", 0x30 + digit)),
        each(&|digit| format!("{:02x}", 0x30 + digit)),
        each(&|digit| format!("0x{:02x}, ", 0x30 + digit)),
        each(&|digit| format!("{}, ", 0x30 + digit)),
    ];
    for spelt in spelt {
        for before in ["", "7: ", "17 of 3: "] {
            let said = format!("{before}{spelt}");
            let masked = identifier(&said, &own(NUMBER)).into_owned();
            let left: String = masked.get(before.len()..).unwrap().chars().filter(|c| c.is_numeric()).collect();
            // The prefixes that say what kind of code it is may stay.
            assert!(left.chars().all(|c| c == '0') && masked.starts_with(before), "{said} is {masked}");
            assert!(!text(&said, &own(NUMBER)).contains(&spelt));
        }
    }
}

#[test]
fn what_is_no_number_of_the_session_keeps_its_digits() {
    for said in [
        "PK4539a5788b7630c2148d70000000",
        "2026-11-26T06:41:05Z, 12.50 of 4539.57 USD",
        "pi_3MtwBwLkdIwHu7ix0snN0B15 4539 5787",
        "b1c2a456-0f8f-4567-a123-426614174000",
        "order 4111111111111111 ends in 1486",
        "bin 453957, ends in 1486",
        "3453 9537 8387 3633",
        "第三方支付 453957",
    ] {
        assert_eq!(identifier(said, &own(NUMBER)), said);
    }
}

#[test]
fn a_short_account_number_is_hidden_where_it_stands_alone() {
    let numbers = own("820461");
    assert_eq!(
        identifier("account 820461 or 82-04-61, not 8204611", &numbers),
        "account xxxxxx or xx-xx-xx, not 8204611"
    );
    assert_eq!(identifier("account 82046", &numbers), "account 82046");
    assert_eq!(identifier("account 1234", &own("1234")), "account 1234", "it would be told by its mask");
}

#[test]
fn a_number_that_was_asked_for_in_pieces_is_one() {
    let mut numbers = Numbers::new();
    for piece in ["45", "3", "95787*", "6362"] {
        numbers.extend(piece);
    }
    assert_eq!(identifier("is 453957876362 yours?", &numbers), "is xxxxxxxxxxxx yours?");
    assert_eq!(identifier("is 578763621 yours?", &numbers), "is 578763621 yours?", "not all of it was keyed");
}

#[test]
fn a_number_of_which_only_the_mask_is_known_is_hidden_whole() {
    let mut numbers = Numbers::new();
    numbers.add_masked("xxxxxxxxxxxx1486");
    numbers.add_masked("*****92");
    for (said, shown) in [
        ("card 4539-5787 6362.1486 declined", "card xxxx-xxxx xxxx.xxxx declined"),
        ("ref 5555555555554243", "ref 5555555555554243"),
        ("account 12345 92", "account xxxxx xx"),
        ("account 123459200", "account 123459200"),
    ] {
        assert_eq!(identifier(said, &numbers), shown);
    }
}

#[test]
fn anybodys_card_number_is_hidden_in_free_text() {
    for (said, shown) in [
        ("try 4111 1111 1111 1111 instead", "try xxxx xxxx xxxx xxxx instead"),
        ("12345: 4111-1111-1111-1111", "12345: xxxx-xxxx-xxxx-xxxx"),
        ("411111111111111１", "xxxxxxxxxxxxxxxx"),
        ("order 4111111111111112", "order 4111111111111112"),
        ("reference 41111111111111114111", "reference 41111111111111114111"),
    ] {
        assert_eq!(free(said), shown);
    }
    let code = "ch_4111111111111111";
    assert_eq!(identifier(code, &own(NUMBER)), code);
}

#[test]
fn every_short_number_that_stands_alone_is_hidden_in_free_text() {
    for (said, shown) in [
        ("cvv 737 wrong, ref 51234", "cvv xxx wrong, ref 51234"),
        ("CVV=737;CID:1234", "CVV=xxx;CID:xxxx"),
        ("cvv737 or 737cvv", "cvvxxx or xxxcvv"),
        ("größer ٧٣٧", "größer xxx"),
        ("code &#55;&#51;&#55; and %37%33%37", "code xxx and xxx"),
        ("refus&#233;e", "refus&#233;e"),
        ("7 3 7 or 7-3-7-1", "x x x or x-x-x-x"),
        ("R03, 51, 20.45 and 12 months", "R03, 51, 20.45 and 12 months"),
        ("since 2019", "since xxxx"),
        ("the gateway answered with HTTP status 500", "the gateway answered with HTTP status 500"),
        ("HTTP status 5001", "HTTP status xxxx"),
        ("pi_3MtwBwLkdIwHu7ix0snN0B15", "pi_3MtwBwLkdIwHu7ix0snN0B15"),
        ("b1c2a456-0f8f-4567-a123-426614174000", "b1c2a456-0f8f-4567-a123-426614174000"),
        ("ends in xxxx1486", "ends in xxxxxxxx"),
    ] {
        assert_eq!(free(said), shown, "{said}");
    }
}

#[test]
fn a_refused_value_is_quoted_without_digits_if_it_has_four() {
    for (value, shown) in [
        ("4539578763621486", "xxxxxxxxxxxxxxxx"),
        ("12.345", "xx.xxx"),
        ("1a2b3c4d", "xaxbxcxd"),
        ("https://example.com/%34539", "https://example.com/xxxx"),
        ("601", "xxx"),
        ("-1", "-1"),
        ("10.999", "xx.xxx"),
        ("ten", "ten"),
        ("$20", "$20"),
        ("", ""),
    ] {
        assert_eq!(refused(value), shown, "{value}");
    }
}

#[test]
fn an_address_is_shown_without_numbers() {
    for (path, shown) in [
        ("/ivr/2010-04-01/start", "/ivr/2010-04-01/start"),
        ("/of/123456789/next", "/of/xxxxxxxxx/next"),
        ("/of/12345678/next", "/of/12345678/next"),
        ("/4111/1111/1111/1111", "/xxxx/xxxx/xxxx/xxxx"),
        ("/of/%31%32%33%34%35%36%37%38%39", "/of/xxxxxxxxx"),
    ] {
        assert_eq!(address(path), shown);
    }
}

#[test]
fn nothing_of_the_numbers_is_printed() {
    assert_eq!(format!("{:?}", own(NUMBER)), "Numbers(…)");
}

/// The most digits of a number in a row that are left, however the text is read: counted another way than the mask counts.
fn most_left(text: &str, number: &str) -> usize {
    (1..=number.len()).rev().find(|length| windows(number, *length).any(|part| text.contains(part))).unwrap_or(0)
}

fn windows(number: &str, length: usize) -> impl Iterator<Item = &str> {
    (0..=number.len() - length).map(move |first| &number[first..first + length])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_number_in_any_spelling_in_any_text_is_hidden(
        number in "[0-9]{13,19}",
        before in "[a-z #.:%&;0-9]{0,12}",
        after in "[a-z #.:%&;0-9]{0,12}",
        seed in any::<u64>(),
    ) {
        let mut rng = SeededRng::new(seed);
        let written = format!("{before}x{}x{after}", spelt(&number, seed % SPELLINGS, &mut rng));
        let numbers = own(&number);
        for masked in [text(&written, &numbers), identifier(&written, &numbers)] {
            prop_assert!(most_left(&masked, &number) < WINDOW, "{masked}");
            let keys: Vec<crate::tone::Key> = number.chars().filter_map(crate::tone::Key::parse).collect();
            // What stands around it may have digits of it too.
            let own_only = masked.get(before.len()..masked.len() - after.len()).unwrap_or_default();
            prop_assert!(!crate::simulate::repeats(own_only, &keys), "{written:?} is {own_only:?}");
        }
    }

    #[test]
    fn what_is_masked_stays_as_it_is(said in "[a-z0-9 %&#;x/._\\\\u-]{0,60}", number in "[0-9]{9,19}") {
        let numbers = own(&number);
        let once = text(&said, &numbers).into_owned();
        prop_assert_eq!(&text(&once, &numbers), &once);
        let once = identifier(&said, &numbers).into_owned();
        prop_assert_eq!(&identifier(&once, &numbers), &once);
        let once = refused(&said).into_owned();
        prop_assert_eq!(&refused(&once), &once);
        let once = address(&said).into_owned();
        prop_assert_eq!(&address(&once), &once);
    }

    #[test]
    fn a_text_without_digits_is_not_touched(said in "\\PN{0,60}") {
        let numbers = own(NUMBER);
        // An escape of a digit is one.
        prop_assume!(readings(&said).iter().flatten().all(|unit| !unit.is_digit()));
        prop_assert_eq!(text(&said, &numbers), said.as_str());
        prop_assert_eq!(refused(&said), said.as_str());
        prop_assert_eq!(identifier(&said, &numbers), said.as_str());
    }

    #[test]
    fn every_code_that_stands_alone_is_hidden_whatever_it_is(length in 3_usize..=4, code in 0..10_000, other in 0..10_000) {
        let [code, other] = [code, other].map(|code| format!("{code:04}")[..length].to_owned());
        let said = |code: &str| format!("the code {code} does not fit");
        prop_assert_eq!(free(&said(&code)), free(&said(&other)));
        prop_assert!(!free(&said(&code)).contains(|c: char| c.is_ascii_digit()));
    }

    #[test]
    fn decimal_digits_are_the_same_to_the_mask_and_to_its_judge(c in any::<char>()) {
        let digit = decimal::ascii(c);
        if digit.is_ascii_digit() {
            prop_assert!(c.is_numeric() || c.is_ascii_digit(), "U+{:04X} is no digit", u32::from(c));
        }
    }
}

#[test]
fn a_code_that_begins_as_a_number_of_like_digits_ends_is_hidden_whole() {
    for quoted in ["4111111111111111 cvv 102", "4111111111111111 cvv 202", "4111111111111111, 102"] {
        let shown = text(quoted, &own("4111111111111111")).into_owned();
        assert!(!shown.contains(|c: char| c.is_ascii_digit()), "{quoted}: {shown}");
    }
}
