//! The six voices of SVOX Pico, and which of them speaks a language.
//!
//! Shape:   a language tag in, a [`PicoVoice`] out; [`PicoVoice::files`] are the bytes that build.rs embedded.
//! Errors:  none. A language that nobody speaks is spoken by the American voice.
//! Sources: spec/pay.md section 1, `language` (the eleven tags); RFC 5646 section 2.1.1 (the case of a tag means
//!          nothing).

/// A voice of SVOX Pico.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PicoVoice {
    /// American English.
    EnglishUs,
    /// British English.
    EnglishGb,
    /// German.
    German,
    /// European Spanish.
    Spanish,
    /// French of France.
    French,
    /// Italian.
    Italian,
}

/// What Pico loads to speak with a voice.
pub(super) struct VoiceFiles {
    /// Text analysis: letters to sounds.
    pub(super) analysis: &'static [u8],
    /// Signal generation: sounds to samples.
    pub(super) generation: &'static [u8],
}

impl PicoVoice {
    /// Every voice.
    pub const ALL: [Self; 6] =
        [Self::EnglishUs, Self::EnglishGb, Self::German, Self::Spanish, Self::French, Self::Italian];

    /// The language tag that Pico's makers gave it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EnglishUs => "en-US",
            Self::EnglishGb => "en-GB",
            Self::German => "de-DE",
            Self::Spanish => "es-ES",
            Self::French => "fr-FR",
            Self::Italian => "it-IT",
        }
    }

    /// The voice of that [name](Self::name), in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|voice| voice.name().eq_ignore_ascii_case(name))
    }

    /// The bytes of the voice.
    pub(super) const fn files(self) -> VoiceFiles {
        let voice = self;
        include!(concat!(env!("OUT_DIR"), "/pico_voices.rs"))
    }
}

/// The voice that speaks `language`: a tag such as `en-AU`, in any case, `_` for `-` allowed.
///
/// | tags | voice |
/// |---|---|
/// | en-CA, en-US | en-US |
/// | en-AU, en-GB, en-IN | en-GB |
/// | de-DE | de-DE |
/// | es-ES, es-MX | es-ES |
/// | fr-CA, fr-FR | fr-FR |
/// | it-IT | it-IT |
///
/// Another tag is spoken by the voice of its primary language (`en` by en-US), and one of a language that Pico does not
/// know, or none at all, by en-US.
#[must_use]
pub fn voice_for(language: Option<&str>) -> PicoVoice {
    let tag = language.unwrap_or_default().trim().to_ascii_lowercase().replace('_', "-");
    let mut subtags = tag.split('-');
    match subtags.next().unwrap_or_default() {
        "de" => PicoVoice::German,
        "es" => PicoVoice::Spanish,
        "fr" => PicoVoice::French,
        "it" => PicoVoice::Italian,
        "en" if subtags.any(|subtag| matches!(subtag, "au" | "gb" | "in")) => PicoVoice::EnglishGb,
        _ => PicoVoice::EnglishUs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_eleven_languages_has_its_voice_in_any_case() {
        let voices = [
            ("en-AU", PicoVoice::EnglishGb),
            ("en-CA", PicoVoice::EnglishUs),
            ("en-GB", PicoVoice::EnglishGb),
            ("en-IN", PicoVoice::EnglishGb),
            ("en-US", PicoVoice::EnglishUs),
            ("es-ES", PicoVoice::Spanish),
            ("es-MX", PicoVoice::Spanish),
            ("fr-CA", PicoVoice::French),
            ("fr-FR", PicoVoice::French),
            ("de-DE", PicoVoice::German),
            ("it-IT", PicoVoice::Italian),
        ];
        for (tag, voice) in voices {
            assert_eq!(voice_for(Some(tag)), voice, "{tag}");
            assert_eq!(voice_for(Some(&tag.to_lowercase())), voice, "{tag}");
            assert_eq!(voice_for(Some(&tag.to_uppercase())), voice, "{tag}");
            assert_eq!(voice_for(Some(&tag.replace('-', "_"))), voice, "{tag}");
        }
    }

    #[test]
    fn another_tag_is_spoken_by_its_primary_language_else_by_the_american_voice() {
        assert_eq!(voice_for(Some("de-AT")), PicoVoice::German);
        assert_eq!(voice_for(Some("es")), PicoVoice::Spanish);
        assert_eq!(voice_for(Some("fr-Latn-BE")), PicoVoice::French);
        assert_eq!(voice_for(Some("en-NZ")), PicoVoice::EnglishUs);
        assert_eq!(voice_for(Some("en-Latn-GB")), PicoVoice::EnglishGb);
        assert_eq!(voice_for(Some("ja-JP")), PicoVoice::EnglishUs);
        assert_eq!(voice_for(Some("")), PicoVoice::EnglishUs);
        assert_eq!(voice_for(Some("-")), PicoVoice::EnglishUs);
        assert_eq!(voice_for(None), PicoVoice::EnglishUs);
    }

    #[test]
    fn a_voice_is_found_by_its_name() {
        for voice in PicoVoice::ALL {
            assert_eq!(PicoVoice::named(&voice.name().to_uppercase()), Some(voice));
        }
        assert_eq!(PicoVoice::named("Polly.Joanna"), None);
    }

    #[test]
    fn the_embedded_files_are_those_of_the_voice() {
        for voice in PicoVoice::ALL {
            let files = voice.files();
            // The header of a Pico resource names the language in its first bytes.
            for file in [files.analysis, files.generation] {
                let header = String::from_utf8_lossy(&file[..512]).into_owned();
                assert!(header.contains(voice.name()), "{}: {header}", voice.name());
                assert!(file.len() > 200_000);
            }
            assert_ne!(files.analysis, files.generation);
        }
    }
}
