//! What is set of speech.

use serde::de::{self, Deserialize, Deserializer};

/// A speech engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpeechEngine {
    /// SVOX Pico, in this very program.
    #[default]
    Pico,
    /// Silence, for tests.
    None,
}

impl<'de> Deserialize<'de> for SpeechEngine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "pico" => Ok(Self::Pico),
            "none" => Ok(Self::None),
            known @ ("espeak-ng" | "piper" | "http") => Err(de::Error::custom(format!(
                "the engine {known} is not in this version yet; there are pico and none"
            ))),
            _ => Err(de::Error::custom("engine is pico or none")),
        }
    }
}
