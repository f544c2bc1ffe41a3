//! What the caller hears: built-in prompts in eleven languages, the document's own, and the choice between them.
//!
//! Shape:   a moment in, utterances out.
//! Sources: spec/pay.md, section 5. The built-in texts are `prompts/*.txt`, one file a language, for translators to edit.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::card::Brand;
use super::step::{EntryError, Moment, words};
use crate::twiml::{Say, Utterance};

words! {
    /// A language that has built-in prompts.
    Language {
        /// English, Australia.
        EnAu = "en-AU",
        /// English, Canada.
        EnCa = "en-CA",
        /// English, Great Britain.
        EnGb = "en-GB",
        /// English, India.
        EnIn = "en-IN",
        /// English, United States.
        EnUs = "en-US",
        /// Spanish, Spain.
        EsEs = "es-ES",
        /// Spanish, Mexico.
        EsMx = "es-MX",
        /// French, Canada.
        FrCa = "fr-CA",
        /// French, France.
        FrFr = "fr-FR",
        /// German.
        DeDe = "de-DE",
        /// Italian.
        ItIt = "it-IT",
    }
}

impl Language {
    /// The language that `tag` names, or the nearest for a tag that Twilio's libraries know and its manual does not list.
    #[must_use]
    pub fn nearest(tag: &str) -> Option<Self> {
        let near = [
            ("en-IE", Self::EnGb),
            ("en-NZ", Self::EnAu),
            ("en-PH", Self::EnUs),
            ("en-ZA", Self::EnGb),
            ("es-US", Self::EsMx),
        ];
        let known = Self::parse(tag);
        known.or_else(|| near.iter().find(|(other, _)| other.eq_ignore_ascii_case(tag)).map(|(_, language)| *language))
    }
}

/// The built-in sentences of one language, by key.
#[derive(Debug)]
pub struct BuiltIn(BTreeMap<&'static str, &'static str>);

impl BuiltIn {
    /// The sentences of `language`.
    #[must_use]
    pub fn of(language: Language) -> &'static Self {
        macro_rules! file {
            ($name:literal) => {{
                static SENTENCES: LazyLock<BuiltIn> = LazyLock::new(|| BuiltIn::read(include_str!($name)));
                &SENTENCES
            }};
        }
        match language {
            Language::EnAu => file!("prompts/en-AU.txt"),
            Language::EnCa => file!("prompts/en-CA.txt"),
            Language::EnGb => file!("prompts/en-GB.txt"),
            Language::EnIn => file!("prompts/en-IN.txt"),
            Language::EnUs => file!("prompts/en-US.txt"),
            Language::EsEs => file!("prompts/es-ES.txt"),
            Language::EsMx => file!("prompts/es-MX.txt"),
            Language::FrCa => file!("prompts/fr-CA.txt"),
            Language::FrFr => file!("prompts/fr-FR.txt"),
            Language::DeDe => file!("prompts/de-DE.txt"),
            Language::ItIt => file!("prompts/it-IT.txt"),
        }
    }

    fn read(text: &'static str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(|line| line.split_once(':')).map(|(key, value)| (key.trim(), value.trim())).collect())
    }

    /// The sentence for `key`; a test proves that every key is there in every language.
    #[must_use]
    pub fn sentence(&self, key: &str) -> &'static str {
        self.0.get(key).copied().unwrap_or_default()
    }

    /// Every key and sentence.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.0.iter().map(|(key, sentence)| (*key, *sentence))
    }
}

/// A prompt of the document's own.
#[derive(Clone, Debug)]
pub struct CustomPrompt {
    /// The moments it is for.
    pub moments: Vec<Moment>,
    /// Only for these brands; empty: any.
    pub card_types: Vec<Brand>,
    /// Only on these attempts, 1 to 10; empty: any.
    pub attempts: Vec<u8>,
    /// Only after these errors; empty: any or none.
    pub errors: Vec<EntryError>,
    /// Whether it asks for the second of two matching entries.
    pub matching: bool,
    /// What is heard.
    pub content: Vec<Utterance>,
}

impl CustomPrompt {
    // `matching` is not counted: `fits` requires it of all candidates or of none.
    fn qualifiers(&self) -> usize {
        [self.card_types.is_empty(), self.attempts.is_empty(), self.errors.is_empty()]
            .iter()
            .filter(|empty| !**empty)
            .count()
    }

    fn fits(&self, scene: &Scene) -> bool {
        self.moments.contains(&scene.moment)
            && self.matching == scene.second_entry
            && (self.attempts.is_empty() || self.attempts.contains(&scene.attempt))
            // `InvalidChoice` has no `errorType`, so that a prompt with one never speaks to it.
            && (self.errors.is_empty()
                || matches!(scene.complaint, Some(Complaint::Entry(error)) if self.errors.contains(&error)))
            && (self.card_types.is_empty() || scene.card_type.is_some_and(|brand| self.card_types.contains(&brand)))
    }
}

/// What was wrong with what the caller did last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// An entry; `<Prompt errorType>` can speak to it.
    Entry(EntryError),
    /// Neither of the two keys that the confirmation asks for.
    InvalidChoice,
}

/// What a prompt is chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// The moment.
    pub moment: Moment,
    /// The attempt, from 1.
    pub attempt: u8,
    /// What was wrong with the attempt before.
    pub complaint: Option<Complaint>,
    /// The brand of the card, once it is known.
    pub card_type: Option<Brand>,
    /// Whether the same field is being asked a second time, to compare.
    pub second_entry: bool,
}

/// All prompts of one Pay session.
#[derive(Clone, Debug)]
pub struct PromptBook {
    /// The document's own, in its order.
    pub custom: Vec<CustomPrompt>,
    /// The language of the built-in ones.
    pub language: Language,
    /// The voice of everything that names none itself.
    pub voice: Option<String>,
}

impl PromptBook {
    /// Whether the document asks for two matching entries of `moment`.
    #[must_use]
    pub fn wants_matching(&self, moment: Moment) -> bool {
        self.custom.iter().any(|prompt| prompt.matching && prompt.moments.contains(&moment))
    }

    /// What is heard at a moment.
    #[must_use]
    pub fn heard(&self, scene: &Scene, last_digits: Option<LastDigits>) -> Vec<Utterance> {
        let chosen = self.chosen(scene);
        // A prompt that was chosen by its `errorType` says itself what was wrong (spec/pay.md 5).
        let told_by_document = chosen.is_some_and(|prompt| !prompt.errors.is_empty());
        let mut heard = Vec::new();
        if let (Some(complaint), false) = (scene.complaint, told_by_document) {
            heard.push(self.say(self.complaint_sentence(complaint)));
        }
        if let Some(digits) = last_digits {
            heard.push(self.say(&self.read_back(&digits)));
        }
        match chosen {
            Some(prompt) => heard.extend(prompt.content.iter().cloned().map(|utterance| self.dressed(utterance))),
            None => heard.extend(self.built_in(scene).map(|sentence| self.say(sentence))),
        }
        heard
    }

    /// The prompt with most qualifiers among those that fit; the later one of equals.
    fn chosen(&self, scene: &Scene) -> Option<&CustomPrompt> {
        // `max_by_key` gives the last of equals.
        self.custom.iter().filter(|prompt| prompt.fits(scene)).max_by_key(|prompt| prompt.qualifiers())
    }

    fn built_in(&self, scene: &Scene) -> Option<&'static str> {
        let sentences = BuiltIn::of(self.language);
        let key = match scene.moment {
            // Silent unless the document speaks (spec/pay.md 5).
            Moment::PaymentCompleted | Moment::PaymentFailed | Moment::PaymentCanceled => return None,
            Moment::Confirmation => "confirm keys".to_owned(),
            moment if scene.second_entry => format!("again {moment}"),
            Moment::SecurityCode if scene.card_type.is_some_and(|brand| brand.security_code_digits() == 4) => {
                "security-code-amex".to_owned()
            }
            moment => moment.word().to_owned(),
        };
        Some(sentences.sentence(&key))
    }

    fn complaint_sentence(&self, complaint: Complaint) -> &'static str {
        let sentences = BuiltIn::of(self.language);
        match complaint {
            Complaint::Entry(error) => sentences.sentence(&format!("error {}", error.prompt_word())),
            Complaint::InvalidChoice => sentences.sentence("error invalid-choice"),
        }
    }

    fn read_back(&self, digits: &LastDigits) -> String {
        let (key, digits) = match digits {
            LastDigits::Card(digits) => ("confirm card", digits),
            LastDigits::Account(digits) => ("confirm account", digits),
        };
        // With commas the engine says "four, two" and not "forty-two".
        let spoken: Vec<String> = digits.chars().map(String::from).collect();
        BuiltIn::of(self.language).sentence(key).replace("{digits}", &spoken.join(", "))
    }

    fn say(&self, text: &str) -> Utterance {
        self.dressed(Utterance::Say(Say { text: text.to_owned(), voice: None, language: None, times: 1 }))
    }

    /// Gives a text that names no voice or language those of the verb.
    fn dressed(&self, utterance: Utterance) -> Utterance {
        match utterance {
            Utterance::Say(say) => Utterance::Say(Say {
                voice: say.voice.or_else(|| self.voice.clone()),
                language: say.language.or_else(|| Some(self.language.word().to_owned())),
                ..say
            }),
            other => other,
        }
    }
}

/// The digits that the confirmation reads back: these may be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastDigits {
    /// The last four of a card.
    Card(String),
    /// The last two of an account.
    Account(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pay::step::Step;

    fn keys() -> Vec<String> {
        let mut keys: Vec<String> = Step::ALL.iter().map(|step| step.word().to_owned()).collect();
        let fields = Step::ALL.iter().filter(|step| **step != Step::PaymentProcessing);
        keys.extend(fields.map(|step| format!("again {step}")));
        keys.extend(EntryError::ALL.iter().map(|error| format!("error {}", error.prompt_word())));
        for key in
            ["security-code-amex", "error invalid-choice", "confirm card", "confirm account", "confirm keys", "apology"]
        {
            keys.push(key.to_owned());
        }
        keys.sort();
        keys
    }

    #[test]
    fn every_language_has_a_sentence_for_every_step_and_every_error() {
        for language in Language::ALL {
            let sentences = BuiltIn::of(*language);
            let mut found: Vec<&str> = sentences.iter().map(|(key, _)| key).collect();
            found.sort_unstable();
            assert_eq!(found, keys(), "{language}");
            for (key, sentence) in sentences.iter() {
                assert!(sentence.len() >= 8, "{language} {key}");
                assert_eq!(
                    sentence.matches("{digits}").count(),
                    usize::from(key == "confirm card" || key == "confirm account"),
                    "{language} {key}"
                );
                assert!(!sentence.contains(['<', '>', '&', '#', '*']), "{language} {key}: symbols are not spoken");
            }
        }
    }

    #[test]
    fn english_prompts_use_the_words_that_callers_and_scripts_listen_for() {
        for (language, postal) in [
            (Language::EnUs, "zip code"),
            (Language::EnGb, "postal code"),
            (Language::EnAu, "postal code"),
            (Language::EnCa, "postal code"),
            (Language::EnIn, "postal code"),
        ] {
            for (key, words) in [
                ("payment-card-number", "card number"),
                ("expiration-date", "expiration date"),
                ("postal-code", postal),
                ("security-code", "security code"),
                ("security-code-amex", "security code"),
                ("bank-routing-number", "routing number"),
                ("bank-account-number", "account number"),
            ] {
                let sentence = BuiltIn::of(language).sentence(key).to_lowercase();
                assert!(sentence.contains(words), "{language} {key}: {sentence}");
            }
        }
    }

    fn prompt(text: &str, change: impl FnOnce(&mut CustomPrompt)) -> CustomPrompt {
        let say = Say { text: text.into(), voice: None, language: None, times: 1 };
        let mut prompt = CustomPrompt {
            moments: vec![Moment::PaymentCardNumber],
            card_types: vec![],
            attempts: vec![],
            errors: vec![],
            matching: false,
            content: vec![Utterance::Say(say)],
        };
        change(&mut prompt);
        prompt
    }

    fn texts(book: &PromptBook, scene: &Scene) -> Vec<String> {
        let text = |utterance: &Utterance| match utterance {
            Utterance::Say(say) => say.text.clone(),
            other => format!("{other:?}"),
        };
        book.heard(scene, None).iter().map(text).collect()
    }

    const FIRST: Scene =
        Scene { moment: Moment::PaymentCardNumber, attempt: 1, complaint: None, card_type: None, second_entry: false };

    #[test]
    fn the_prompt_with_most_qualifiers_is_chosen_and_the_later_of_equals() {
        let book = PromptBook {
            custom: vec![
                prompt("any", |_| {}),
                prompt("second try", |prompt| prompt.attempts = vec![2, 3]),
                prompt("timed out", |prompt| prompt.errors = vec![EntryError::InputTimeout]),
                prompt("second timeout", |prompt| {
                    prompt.attempts = vec![2];
                    prompt.errors = vec![EntryError::InputTimeout];
                }),
                prompt("again", |prompt| prompt.matching = true),
            ],
            language: Language::EnUs,
            voice: None,
        };
        let timeout = Some(Complaint::Entry(EntryError::InputTimeout));
        assert_eq!(texts(&book, &FIRST), ["any"]);
        assert_eq!(texts(&book, &Scene { attempt: 2, complaint: timeout, ..FIRST }), ["second timeout"]);
        assert_eq!(texts(&book, &Scene { attempt: 3, complaint: timeout, ..FIRST }), ["timed out"], "later of equals");
        let wrong = BuiltIn::of(Language::EnUs).sentence("error invalid-card-number");
        let retry = Scene { attempt: 2, complaint: Some(Complaint::Entry(EntryError::InvalidCardNumber)), ..FIRST };
        assert_eq!(
            texts(&book, &retry),
            [wrong, "second try"],
            "no error prompt of its own: the built-in sentence first"
        );
        assert_eq!(texts(&book, &Scene { second_entry: true, ..FIRST }), ["again"]);
        assert!(book.wants_matching(Moment::PaymentCardNumber) && !book.wants_matching(Moment::PostalCode));
    }

    #[test]
    fn the_verb_s_voice_and_language_are_for_every_text_that_names_none() {
        let own = Say { text: "own".into(), voice: Some("alice".into()), language: Some("fr-FR".into()), times: 2 };
        let custom = prompt("plain", |prompt| prompt.content.push(Utterance::Say(own.clone())));
        let book = PromptBook { custom: vec![custom], language: Language::EsMx, voice: Some("Polly.Mia".into()) };
        let timeout = Some(Complaint::Entry(EntryError::InputTimeout));
        let heard = book.heard(&Scene { attempt: 2, complaint: timeout, ..FIRST }, None);
        let [Utterance::Say(built_in), Utterance::Say(plain), last] = &heard[..] else { panic!("{heard:?}") };
        for say in [built_in, plain] {
            assert_eq!((say.voice.as_deref(), say.language.as_deref()), (Some("Polly.Mia"), Some("es-MX")));
        }
        assert_eq!(*last, Utterance::Say(own));
    }

    #[test]
    fn moments_at_the_end_are_silent_unless_the_document_speaks() {
        let book = PromptBook { custom: vec![], language: Language::EnUs, voice: None };
        assert!(texts(&book, &Scene { moment: Moment::PaymentFailed, ..FIRST }).is_empty());
        assert_eq!(texts(&book, &Scene { moment: Moment::PaymentProcessing, ..FIRST }).len(), 1);
    }
}
