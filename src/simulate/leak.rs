//! Whether anything that is shown, sent or written down repeats what the caller keyed.
//!
//! Shape:   [`leaked`] compares the digits in every text of the records with the digits that were pressed, `repeats` those of
//!          a recording. It shares nothing with `mask`, on purpose: texts are decoded whole, layer by layer, what is no letter
//!          and no digit is thrown away, and every few digits in a row that are left are looked up.
//! Limits:  [`RUN`] digits in a row: the last four of a card and a date are shorter, and are meant to be seen. What the
//!          application was told on purpose (`Digits`) may come back from it in pieces shorter than [`RUN_TOLD`].
//! Secrets: what it finds, it names by the kind of record.

use std::borrow::Cow;
use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

use super::Record;
use crate::flow::AgentCommand;
use crate::form::{Form, Value};
use crate::time::CallTime;
use crate::tone::Key;
use crate::twiml::{PlaySource, Utterance};

/// How many digits in a row are too many.
const RUN: usize = 7;

/// The same for what was keyed into a `<Gather>`.
const RUN_TOLD: usize = 9;

/// How many layers of spelling are undone.
const LAYERS: usize = 5;

/// Fields whose digits everybody may know.
const PUBLIC: &[&str] = &["BankRoutingNumber", "PaymentCardPostalCode", "From", "To"];

/// Fields that are ours: ids, and dates, whose digits would make rows that mean nothing.
const OURS: &[&str] = &["AccountSid", "CallSid", "Sid", "DateCreated", "DateUpdated"];

/// The field that tells what was gathered.
const DIGITS: &str = "Digits";

/// What was keyed so far, and what of it may be shown.
#[derive(Debug, Default)]
struct KeyedDigits {
    /// Every [`RUN`] and every [`RUN_TOLD`] digits in a row.
    runs: BTreeSet<String>,
    /// What was shown before it was keyed, or is public.
    known: BTreeSet<String>,
    /// What was gathered.
    told: BTreeSet<String>,
    row: String,
}

impl KeyedDigits {
    fn press(&mut self, key: Key) {
        match key {
            Key::Digit(digit) => {
                self.row.push(char::from(digit.ascii()));
                for length in [RUN, RUN_TOLD] {
                    let window = self.row.get(self.row.len().saturating_sub(length)..).unwrap_or_default();
                    if window.len() == length && !self.known.contains(window) {
                        self.runs.insert(window.to_owned());
                    }
                }
            }
            Key::Star | Key::Pound => self.row.clear(),
            // A letter is no input at all.
            Key::Letter(_) => {}
        }
    }

    /// Whether a text shows what it must not. What it shows else is known from now on.
    fn is_in(&mut self, text: &str) -> bool {
        let mut leaks = false;
        for row in rows(text) {
            for window in windows(&row, RUN) {
                if !self.runs.contains(window) {
                    self.known.insert(window.to_owned());
                } else if !self.told.contains(window) && !self.known.contains(window) {
                    leaks = true;
                }
            }
            leaks |= windows(&row, RUN_TOLD).any(|window| self.runs.contains(window) && !self.is_known(window));
        }
        leaks | self.is_scattered_in(text)
    }

    /// Whether a text shows a number with letters between its digits, or in codes of characters.
    fn is_scattered_in(&self, text: &str) -> bool {
        let shown =
            |window: &str| windows(window, RUN).all(|part| self.known.contains(part) || self.told.contains(part));
        let leaks = |row: &String| windows(row, RUN_TOLD).any(|window| self.runs.contains(window) && !shown(window));
        scattered(text).iter().any(leaks)
    }

    /// Whether all parts of it are.
    fn is_known(&self, window: &str) -> bool {
        windows(window, RUN).all(|part| self.known.contains(part))
    }
}

/// The first record that repeats keyed digits, and what kind it is. What was shown before it was keyed, or is public, is no
/// leak.
pub(super) fn leaked(records: &[(CallTime, Record)]) -> Option<(CallTime, String)> {
    let mut keyed = KeyedDigits::default();
    // What is public or told on purpose is known before any record is judged, wherever it stands.
    for (_, record) in records {
        publish(record, &mut keyed);
    }
    for (at, record) in records {
        if let Record::Pressed(key) = record {
            keyed.press(*key);
        } else if let Some(kind) = shown_in(record, &mut keyed) {
            return Some((*at, kind.to_owned()));
        }
    }
    None
}

/// Whether `text` has [`RUN`] digits in a row of `pressed`, keys of which `*` and `#` end a row.
#[cfg(all(test, feature = "shell"))]
pub(crate) fn repeats(text: &str, pressed: &[Key]) -> bool {
    let mut keyed = KeyedDigits::default();
    pressed.iter().for_each(|key| keyed.press(*key));
    keyed.is_in(text)
}

/// Takes note of what the record tells on purpose.
fn publish(record: &Record, keyed: &mut KeyedDigits) {
    let mut add = |value: &Value, told: bool| {
        for row in rows(value.expose()) {
            let set = if told { &mut keyed.told } else { &mut keyed.known };
            set.extend(windows(&row, RUN).map(str::to_owned));
        }
    };
    match record {
        Record::Requested(fetch) => {
            for name in PUBLIC.iter().chain([&DIGITS]) {
                let told = *name == DIGITS;
                fetch.form.value(name).into_iter().for_each(|value| add(value, told));
                fetch.parameters.get(*name).into_iter().for_each(|value| add(value, told));
            }
        }
        Record::Reported(_, _, form) | Record::Notified(_, _, form) => {
            PUBLIC.iter().filter_map(|name| form.value(name)).for_each(|value| add(value, false));
        }
        // What an agent sent may be quoted to the agent.
        Record::Commanded(_, AgentCommand::Create(form) | AgentCommand::Update { form, .. }) => {
            form.iter().for_each(|(_, value)| add(value, false));
        }
        _ => {}
    }
}

/// In what kind of record something is shown that must not be; none: in none.
fn shown_in(record: &Record, keyed: &mut KeyedDigits) -> Option<&'static str> {
    let (leaks, kind) = match record {
        Record::Said(_, heard) => (heard.iter().any(|said| in_utterance(said, keyed)), "keyed digits were said"),
        Record::Requested(fetch) => (
            in_form(&fetch.form, keyed)
                || fetch.unwritten.as_ref().is_some_and(|unwritten| in_form(&unwritten.form, keyed))
                || keyed.is_in(&fetch.target.to_string()),
            "keyed digits were told in a request to the application",
        ),
        Record::Notified(_, _, form) => (in_form(form, keyed), "keyed digits were told to statusCallback"),
        Record::Reported(_, _, form) => (in_form(form, keyed), "keyed digits were reported"),
        Record::Warned(warning) => (keyed.is_in(&warning.message), "keyed digits are in a warning"),
        Record::Fetched(what) => (keyed.is_in(what), "keyed digits are in the words about a document"),
        Record::LookedUp(name, _) => (keyed.is_in(name), "keyed digits are in a connector's name"),
        Record::Replied(_, Err(error)) => (keyed.is_in(&error.message), "keyed digits were told to an agent"),
        Record::Pressed(_)
        | Record::Replied(_, Ok(_))
        | Record::Commanded(..)
        | Record::Redirected(_)
        | Record::Completed
        | Record::Heard(_)
        | Record::Cleared
        | Record::StoreAway
        | Record::Begun(_)
        | Record::Asked(..)
        | Record::Acted(_)
        | Record::Answered(..)
        | Record::TimedOut(_)
        | Record::HungUp
        | Record::Ended(_) => return None,
    };
    leaks.then_some(kind)
}

/// What was told may be said: documents read back what they asked for.
fn in_utterance(said: &Utterance, keyed: &mut KeyedDigits) -> bool {
    let text = match said {
        Utterance::Say(say) => &say.text,
        Utterance::Play(play) => match &play.source {
            PlaySource::Url(link) => link,
            PlaySource::Digits(_) => return false,
        },
        Utterance::Pause(_) => return false,
    };
    let in_a_row = rows(text).iter().any(|row| {
        windows(row, RUN)
            .any(|window| keyed.runs.contains(window) && !keyed.told.contains(window) && !keyed.known.contains(window))
    });
    in_a_row || keyed.is_scattered_in(text)
}

/// Also where a value would be masked when it is shown: the merchant gets it.
fn in_form(form: &Form, keyed: &mut KeyedDigits) -> bool {
    // Without a `ConnectorError` the words of `PaymentError` are ours, and may have short numbers.
    let by_gateway = form.value("ConnectorError").is_some();
    form.iter().filter(|(name, _)| !OURS.contains(name) && *name != DIGITS).any(|(name, value)| {
        let foreign =
            name == "ConnectorError" || name.starts_with("PayConnector_") || (by_gateway && name == "PaymentError");
        keyed.is_in(value.expose()) || (foreign && has_short_word(value.expose()))
    })
}

/// Whether a gateway's text has a number as long as a security code. Which one it is does not matter: if it did, what is
/// hidden would tell it.
fn has_short_word(text: &str) -> bool {
    layers(text).last().is_some_and(|text| {
        let plain: String = text.nfkc().map(|c| digit(c).unwrap_or(c)).collect();
        plain
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| matches!(word.len(), 3 | 4) && word.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

fn windows(row: &str, length: usize) -> impl Iterator<Item = &str> {
    // Rows are ASCII.
    (0..(row.len() + 1).saturating_sub(length)).filter_map(move |first| row.get(first..first + length))
}

/// The digits of a text, row by row, in every layer of its spelling. Only letters end a row.
fn rows(text: &str) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    if text.is_ascii() && !text.contains(|c: char| c.is_ascii_digit() || matches!(c, '%' | '&' | '\\')) {
        return rows;
    }
    for layer in layers(text) {
        let mut row = String::new();
        for c in layer.nfkc() {
            match digit(c) {
                Some(digit) => row.push(digit),
                None if c.is_alphabetic() || c.is_numeric() => {
                    rows.insert(std::mem::take(&mut row));
                }
                None => {}
            }
        }
        rows.insert(row);
    }
    rows.retain(|row| row.len() >= RUN);
    rows
}

/// All digits of a text in every layer of its spelling, whatever is between them; then with the characters that stand for
/// digits in no row of ten; then what they spell as codes of characters.
fn scattered(text: &str) -> Vec<String> {
    let mut rows = Vec::new();
    if text.is_ascii() && !text.contains(|c: char| c.is_ascii_digit() || matches!(c, '%' | '&' | '\\')) {
        return rows;
    }
    for layer in layers(text) {
        let chars: Vec<char> = layer.nfkc().collect();
        let plain: String = chars.iter().filter_map(|c| digit(*c)).collect();
        let listed = |c: &char| {
            let in_list = LISTED.iter().find_map(|list| list.chars().position(|known| known == *c));
            in_list.and_then(|place| char::from_digit(u32::try_from(place).ok()?, 10)).or_else(|| digit(*c))
        };
        rows.push(chars.iter().filter_map(listed).collect());
        for (length, radix) in [2, 3, 4].into_iter().flat_map(|length| [8, 10, 16].map(|radix| (length, radix))) {
            for start in 0..length {
                let codes = plain.get(start..).unwrap_or_default().as_bytes().chunks(length);
                let spelt = codes.map(|code| {
                    let code = std::str::from_utf8(code).ok().and_then(|code| u8::from_str_radix(code, radix).ok());
                    code.map(char::from).filter(char::is_ascii_digit).unwrap_or(' ')
                });
                rows.extend(spelt.collect::<String>().split_whitespace().map(str::to_owned));
            }
        }
        rows.push(plain);
    }
    rows.retain(|row| row.len() >= RUN_TOLD);
    rows
}

/// Characters from zero to nine that stand in no row of ten; NUL: there is none.
const LISTED: [&str; 6] =
    ["⓿❶❷❸❹❺❻❼❽❾", "🄋➀➁➂➃➄➅➆➇➈", "🄌➊➋➌➍➎➏➐➑➒", "\0⓵⓶⓷⓸⓹⓺⓻⓼⓽", "\0፩፪፫፬፭፮፯፰፱", "〇一二三四五六七八九"];

/// A decimal digit of any script as ASCII: those of a script stand in a row that begins with zero.
fn digit(c: char) -> Option<char> {
    if c.is_ascii() || !c.is_numeric() {
        return Some(c).filter(char::is_ascii_digit);
    }
    let before = |c: char| char::from_u32(u32::from(c).wrapping_sub(1)).filter(|before| before.is_numeric());
    let value = std::iter::successors(before(c), |c| before(*c)).take(10).count();
    char::from_digit(u32::try_from(value).unwrap_or(10), 10)
}

/// The text, and the text with one layer of spelling less, until there is none.
fn layers(text: &str) -> Vec<Cow<'_, str>> {
    let mut layers = vec![Cow::Borrowed(text)];
    while layers.len() < LAYERS
        && let Some(last) = layers.last()
    {
        let next = unescaped(&without_entities(&without_percents(last)));
        if next == **last {
            break;
        }
        layers.push(Cow::Owned(next));
    }
    layers
}

/// Undoes `%34`: digits and whatever is no letter.
fn without_percents(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let byte = piece.get(..2).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if !byte.is_ascii_alphabetic() => {
                bytes.push(byte);
                bytes.extend_from_slice(piece.get(2..).unwrap_or_default().as_bytes());
            }
            _ => {
                bytes.push(b'%');
                bytes.extend_from_slice(piece.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Undoes `&#52;` and `&#x34;`; names are blanks.
fn without_entities(text: &str) -> String {
    let mut pieces = text.split('&');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (inside, rest) = piece.split_once(';').unwrap_or((piece, ""));
        let code = match inside.strip_prefix('#').map(|code| (code, code.strip_prefix(['x', 'X']))) {
            Some((_, Some(hex))) => u32::from_str_radix(hex, 16).ok(),
            Some((decimal, None)) => decimal.parse().ok(),
            None => None,
        };
        match code.and_then(char::from_u32) {
            Some(c) if inside.len() < piece.len() => {
                plain.push(c);
                plain.push_str(rest);
            }
            _ if inside == "amp" => {
                plain.push('&');
                plain.push_str(rest);
            }
            _ if inside.len() < piece.len()
                && !inside.is_empty()
                && inside.bytes().all(|byte| byte.is_ascii_alphabetic()) =>
            {
                plain.push(' ');
                plain.push_str(rest);
            }
            _ => {
                plain.push('&');
                plain.push_str(piece);
            }
        }
    }
    plain
}

/// Undoes `\u0034`.
fn unescaped(text: &str) -> String {
    let mut pieces = text.split("\\u");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        match code.and_then(char::from_u32) {
            Some(c) => {
                plain.push(c);
                plain.push_str(piece.get(4..).unwrap_or_default());
            }
            None => {
                plain.push_str("\\u");
                plain.push_str(piece);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Warning;
    use crate::simulate::random::SeededRng;
    use crate::simulate::random::spelling::{SPELLINGS, spelt};

    fn pressed(keys: &str) -> Vec<(CallTime, Record)> {
        keys.chars().map(|symbol| (CallTime::ZERO, Record::Pressed(Key::parse(symbol).unwrap()))).collect()
    }

    fn after(keys: &str, message: &str) -> bool {
        let mut records = pressed(keys);
        let warning = Warning { position: None, code: 1, message: message.to_owned() };
        records.push((CallTime::ZERO, Record::Warned(warning)));
        leaked(&records).is_some()
    }

    #[test]
    fn seven_keyed_digits_in_a_row_are_found_however_they_are_grouped() {
        assert!(after("4242567890123456", "card 4242567890123456"));
        assert!(after("4242567890123456", "card 4242 5678 9012 3456"));
        assert!(after("4242A567890", "4-2-4-2-5-6-7"));
        assert!(after("4242567890123456", "xxxx567-8901xxxx"));
    }

    #[test]
    fn what_no_mask_has_touched_is_found_in_every_spelling() {
        let number = "4539578763621486";
        for spelling in 0..SPELLINGS {
            let mut rng = SeededRng::new(spelling);
            for _ in 0..20 {
                let text = format!("card {} was declined", spelt(number, spelling, &mut rng));
                assert!(after(number, &text), "{text:?}");
            }
        }
    }

    #[test]
    fn letters_between_keyed_digits_hide_nothing() {
        let keyed = "4539578763621486";
        for text in ["4539x5787x6362x1486", "4539<br>57876 and 362", "45395787a6", "\u{3164}4539\u{3164}57876"] {
            assert!(after(keyed, text), "{text}");
        }
        assert!(!after(keyed, "4539a5787"), "eight are no number");
        assert!(!after(keyed, "4539x5786x6362x1486"), "another number");
    }

    #[test]
    fn the_last_four_digits_and_what_nobody_keyed_may_be_shown() {
        assert!(!after("4242567890123456", "xxxx-xxxx-xxxx-3456"));
        assert!(!after("4242#567", "4242567"));
        assert!(!after("4242567", "4242568"));
    }

    #[test]
    fn what_was_shown_before_it_was_keyed_is_no_leak() {
        let warning = || Record::Warned(Warning { position: None, code: 1, message: "at most 1000000".to_owned() });
        let mut records = vec![(CallTime::ZERO, warning())];
        records.extend(pressed("110000000"));
        records.push((CallTime::ZERO, warning()));
        assert_eq!(leaked(&records), None);
        assert!(leaked(&records[1..]).is_some());
    }

    #[test]
    fn a_number_that_was_gathered_is_told_in_its_field_and_nowhere_else() {
        let told = |message: &str| {
            let mut records = pressed("4539578763621486#");
            let mut form = Form::new();
            form.set("Digits", "4539578763621486");
            records.push((CallTime::ZERO, Record::Requested(Box::new(gathered(form)))));
            let warning = Warning { position: None, code: 1, message: message.to_owned() };
            records.push((CallTime::ZERO, Record::Warned(warning)));
            leaked(&records).is_some()
        };
        assert!(!told("what was keyed is no amount"));
        assert!(!told("chargeAmount=\"45395787\""), "eight are no number");
        assert!(told("chargeAmount=\"4539578763621486\""));
        assert!(told("chargeAmount=\"453957876\""));
    }

    fn gathered(form: Form) -> crate::flow::Fetch {
        crate::flow::Fetch {
            id: crate::flow::FetchId(1),
            purpose: crate::flow::Purpose::Gather,
            target: crate::flow::link::Target::Flow("next".to_owned()),
            method: crate::twiml::Method::Post,
            form,
            parameters: std::collections::BTreeMap::new(),
            unwritten: None,
            answer_wanted: true,
        }
    }
}
