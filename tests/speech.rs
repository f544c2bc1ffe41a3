//! Every built-in prompt of every language, said by the engine that is in the program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use touchtone::audio::Clip;
use touchtone::config::SpeechEngine;
use touchtone::pay::prompts::{BuiltIn, Language};
use touchtone::speech::{Speech, SpeechRequest};
use touchtone::tone::generate;

#[tokio::test]
async fn every_built_in_prompt_can_be_heard_in_its_language() {
    let speech = Speech::start(SpeechEngine::Pico).await.unwrap();
    let beep = Clip::encode(&generate::beep());
    let mut said = 0;
    for language in Language::ALL {
        for (key, sentence) in BuiltIn::of(*language).iter() {
            let text = sentence.replace("{digits}", "4, 2, 4, 2");
            let characters = u32::try_from(text.chars().count()).unwrap();
            let request = SpeechRequest { text, language: Some(language.word().to_owned()), voice: None };
            let sound = speech.render(request).await;
            assert_ne!(sound.as_bytes(), beep.as_bytes(), "{language} {key}: a beep in its place");
            let length = sound.duration();
            // A calm voice says ten to twenty-five characters a second.
            let (least, most) = (Duration::from_millis(30) * characters, Duration::from_millis(150) * characters);
            assert!((least..most).contains(&length), "{language} {key}: {length:?} for {characters} characters");
            said += 1;
        }
    }
    assert_eq!(said, 28 * Language::ALL.len());
}
