//! What attributes may say, and the words for those that say something else.
//!
//! Shape:   [`Judge`] collects faults while `verbs` reads. Each reading method gives `None` where the default stays: the
//!          value is wrong (and the fault is noted), or a view does not know it.
//! Errors:  none; faults are what it makes.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::super::{Attribute, Fault, Method, Position, nearest};
use super::Manner;
use crate::mask;
use crate::tone::{Key, generate};

/// How much of a strange text a message repeats, in characters.
const SHOWN_MAX: usize = 40;

/// What `loop="0"`, as often as it goes, means.
const TIMES_MAX: u16 = 1000;

/// `text` fit for a message: short, on one line, and without digits that may have been keyed.
pub(super) fn shown(text: &str) -> String {
    // Before it is cut short, so that no part of a number is left over.
    let text = mask::refused(text);
    let mut shown: String =
        text.chars().take(SHOWN_MAX).map(|character| if character.is_control() { ' ' } else { character }).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// `: did you mean <Say>?`, or nothing.
pub(super) fn did_you_mean(element: &str, known: &[&str]) -> String {
    nearest(element, known).map_or_else(String::new, |word| format!(": did you mean <{word}>?"))
}

/// Collects what is wrong with a document.
pub(super) struct Judge {
    manner: Manner,
    faults: Vec<Fault>,
    told: BTreeSet<(String, String)>,
}

impl Judge {
    pub(super) const fn new(manner: Manner) -> Self {
        Self { manner, faults: Vec::new(), told: BTreeSet::new() }
    }

    /// Everything found, by place.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|fault| fault.position);
        self.faults
    }

    pub(super) fn error(&mut self, position: Position, message: impl Into<String>) {
        self.faults.push(Fault::error(position, message));
    }

    pub(super) fn warning(&mut self, position: Position, message: impl Into<String>) {
        self.faults.push(Fault::warning(position, message));
    }

    /// Whether `text` is, in a view, made by a template's expression: nobody knows what it will be.
    pub(super) fn is_unjudged(&self, text: &str) -> bool {
        self.manner == Manner::View && text.contains("{{")
    }

    /// An attribute's value is not what `allowed` says.
    pub(super) fn wrong(&mut self, element: &str, attribute: &Attribute, allowed: &str) {
        let name = shown(&attribute.name);
        let message = if self.manner == Manner::Rendered {
            format!("<{element} {name}>: {name} is {allowed}, not what is given")
        } else {
            let value = shown(&attribute.value);
            format!("<{element} {name}=\"{value}\">: {name} is {allowed}, not \"{value}\"")
        };
        self.error(attribute.position, message);
    }

    /// An attribute that `element` does not have. Told once a document.
    pub(super) fn unknown(&mut self, element: &str, attribute: &Attribute, known: &[&str]) {
        let name = attribute.name.as_str();
        // Namespaces and `xml:` attributes mean nothing here and are in many generated documents.
        if name == "xmlns" || name.starts_with("xmlns:") || name.starts_with("xml:") || self.is_unjudged(name) {
            return;
        }
        let hint = nearest(name, known).map_or_else(String::new, |word| format!(": did you mean {word}?"));
        let name = shown(name);
        self.once(element, attribute, format!("<{element} {name}>: {name} is not known here and has no effect{hint}"));
    }

    /// An attribute that Twilio knows and this engine does nothing with. Told once a document.
    pub(super) fn unused(&mut self, element: &str, attribute: &Attribute) {
        let name = shown(&attribute.name);
        self.once(element, attribute, format!("<{element} {name}>: {name} has no effect here"));
    }

    fn once(&mut self, element: &str, attribute: &Attribute, message: String) {
        if self.told.insert((element.to_owned(), attribute.name.clone())) {
            self.warning(attribute.position, message);
        }
    }

    /// A whole number in `range`, called `what` in words.
    pub(super) fn whole(
        &mut self,
        element: &str,
        attribute: &Attribute,
        what: &str,
        range: RangeInclusive<u16>,
    ) -> Option<u16> {
        if self.is_unjudged(&attribute.value) {
            return None;
        }
        let value = whole(&attribute.value).filter(|value| range.contains(value));
        if value.is_none() {
            self.wrong(element, attribute, &format!("{what} from {} to {}", range.start(), range.end()));
        }
        value
    }

    /// `loop`: how often.
    pub(super) fn times(&mut self, element: &str, attribute: &Attribute) -> Option<u16> {
        let times = self.whole(element, attribute, "a whole number", 0..=TIMES_MAX)?;
        Some(if times == 0 { TIMES_MAX } else { times })
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, element: &str, attribute: &Attribute) -> Option<bool> {
        self.word(element, attribute, &[("true", true), ("false", false)])
    }

    /// `GET` or `POST`.
    pub(super) fn method(&mut self, element: &str, attribute: &Attribute) -> Option<Method> {
        self.word(element, attribute, &[("GET", Method::Get), ("POST", Method::Post)])
    }

    /// One of `words`, in any case.
    pub(super) fn word<T: Copy>(&mut self, element: &str, attribute: &Attribute, words: &[(&str, T)]) -> Option<T> {
        if self.is_unjudged(&attribute.value) {
            return None;
        }
        let value = attribute.value.trim();
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(element, attribute, &allowed.join(" or "));
        }
        found
    }

    /// `finishOnKey`: a key, or none.
    pub(super) fn finish_key(&mut self, element: &str, attribute: &Attribute) -> Option<Option<Key>> {
        if self.is_unjudged(&attribute.value) {
            return None;
        }
        let mut symbols = attribute.value.trim().chars();
        match (symbols.next(), symbols.next()) {
            (None, _) => return Some(None),
            (Some(symbol @ ('0'..='9' | '*' | '#')), None) => return Some(Key::parse(symbol)),
            _ => {}
        }
        self.wrong(element, attribute, "one of the keys 0 to 9, * and #, or empty");
        None
    }

    /// `digits`: keys, and half a second of silence for each `w` (`W`, a second, is two); no more of them than one listens to.
    pub(super) fn keys(&mut self, element: &str, attribute: &Attribute) -> Option<Vec<Option<Key>>> {
        if self.is_unjudged(&attribute.value) {
            return None;
        }
        let mut keys = Vec::new();
        let (mut pressed, mut length) = (0_usize, 0_u32);
        for symbol in attribute.value.trim().chars() {
            let added = keys.len();
            match (symbol, Key::parse(symbol)) {
                ('w', _) => keys.push(None),
                ('W', _) => keys.extend([None, None]),
                (_, Some(key)) => keys.push(Some(key)),
                (_, None) => {
                    self.wrong(element, attribute, "made of the keys 0 to 9, *, #, A to D, and w for half a second");
                    return None;
                }
            }
            let added = keys.get(added..).unwrap_or_default();
            pressed = pressed.saturating_add(added.iter().flatten().count());
            length = added.iter().fold(length, |length, key| length.saturating_add(generate::length_ms(*key)));
            // While they are read, before anything is rendered: 60,000 `W` of a document would be hours of silence.
            if pressed > generate::KEYS_MAX || length > generate::LENGTH_MAX_MS {
                let (most, seconds) = (generate::KEYS_MAX, generate::LENGTH_MAX_MS / 1000);
                self.wrong(element, attribute, &format!("at most {most} keys and {seconds} seconds long"));
                return None;
            }
        }
        Some(keys)
    }
}

/// A whole number without sign.
fn whole(text: &str) -> Option<u16> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
