//! Speech: text and recordings to telephone audio.
//!
//! Shape:   [`Speech::render`] gives audio for a text, always: what cannot be spoken is a beep. Engines stand behind
//!          one trait, [`Engine`], with a cache in front. [`recording::decode`] does the files of `<Play>`.
//! Units:   8 kHz mu-law ([`Clip`]); 125 µs a byte.
//! Limits:  `RENDER_TIME_MAX` for a text, `CACHE_BYTES_MAX` of audio kept, least recently used goes first.
//! Errors:  [`VoiceError`] at the start. A caller on the line is never kept waiting by a fault: `render` cannot fail.
//! Secrets: a prompt may read the last digits of a card back. Text is never logged, at no level, and no error has it.

mod convert;
mod engine;
pub mod pico;
pub mod recording;
mod settings;

pub use engine::{Engine, EngineError, Silence};
pub use pico::{PicoVoice, VoiceError, voice_for};
pub use settings::SpeechEngine;

use crate::audio::Clip;
use crate::blocking;
use crate::tone::generate;
use futures_util::FutureExt as _;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use pico::Pico;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The longest that a caller waits for a text to be rendered. Pico needs some 20 ms for a sentence, so this is a fault;
/// and longer silence on the line sounds like one.
const RENDER_TIME_MAX: Duration = Duration::from_secs(10);

/// Audio kept: 64 MiB are more than two hours, and every built-in prompt of every language several times.
const CACHE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What an entry of the cache takes beside its text and its audio. A guess on the safe side.
const CACHE_ENTRY_BYTES: usize = 256;

/// Something to say.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SpeechRequest {
    /// The words: plain text, no mark-up.
    pub text: String,
    /// A language tag (`en-US`, any case), or the engine's usual language.
    pub language: Option<String>,
    /// The name of a voice, as the document gave it. An engine that does not know it goes by the language.
    pub voice: Option<String>,
}

impl fmt::Debug for SpeechRequest {
    /// The text stays out: it may hold the last digits of a card.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpeechRequest")
            .field("characters", &self.text.chars().count())
            .field("language", &self.language)
            .field("voice", &self.voice)
            .finish()
    }
}

/// The speech of a running program. A clone speaks with the same engine and the same cache.
#[derive(Clone)]
pub struct Speech {
    engine: Arc<dyn Engine>,
    cache: Cache<Spoken, Clip>,
    fallback: Clip,
    /// A place for each recording that is being decoded.
    decoding: Arc<Semaphore>,
}

/// What the cache tells audio apart by.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Spoken {
    voice: String,
    text: String,
}

impl Speech {
    /// Opens the engine. The voices of Pico are opened side by side and each says a word.
    ///
    /// # Errors
    /// [`VoiceError`] if a voice cannot be opened, with what to do about it.
    pub async fn start(engine: SpeechEngine) -> Result<Self, VoiceError> {
        Ok(match engine {
            SpeechEngine::Pico => Self::with_engine(Pico::start().await?),
            SpeechEngine::None => Self::with_engine(Silence),
        })
    }

    /// Speech of any engine.
    #[must_use]
    pub fn with_engine(engine: impl Engine + 'static) -> Self {
        Self::with_cache_of(CACHE_BYTES_MAX, engine)
    }

    fn with_cache_of(bytes_max: u64, engine: impl Engine + 'static) -> Self {
        let cache = Cache::builder()
            .name("speech")
            .max_capacity(bytes_max)
            .weigher(|key: &Spoken, audio: &Clip| {
                let bytes = CACHE_ENTRY_BYTES + key.voice.len() + key.text.len() + audio.as_bytes().len();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            // Not moka's usual policy, which keeps a newcomer out until it has been asked for often.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        // Decoding computes and does nothing else: more at a time would end later, all of them.
        let places = std::thread::available_parallelism().map_or(1, usize::from);
        let fallback = Clip::encode(&generate::beep());
        Self { engine: Arc::new(engine), cache, fallback, decoding: Arc::new(Semaphore::new(places)) }
    }

    /// Decodes a recording, where it holds up nobody; as many at a time as there are processors.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub async fn decode(&self, bytes: Vec<u8>) -> Result<Clip, String> {
        let broken = || "the decoder broke down".to_owned();
        // It goes with the work, which goes on when nobody waits for it any more. The places are never closed.
        let place = Arc::clone(&self.decoding).acquire_owned().await.map_err(|_| broken())?;
        let decoded = blocking::run(move || {
            let _place = place;
            recording::decode(&bytes).map_err(|error| error.to_string())
        });
        decoded.await.unwrap_or_else(|_| Err(broken()))
    }

    /// The audio of `request`. Never fails, and takes at most 10 s: what cannot be rendered (nothing to say, a fault or
    /// a panic of the engine, no answer in time) is a beep, and a warning without the text.
    ///
    /// The same text is rendered once, also if many ask for it at the same time. A beep is not kept: the next one to
    /// ask tries again. The future may be dropped at any time. It must be polled within tokio, for its timer.
    pub async fn render(&self, request: SpeechRequest) -> Clip {
        let rendering = AssertUnwindSafe(self.rendered(&request)).catch_unwind();
        let reason = match tokio::time::timeout(RENDER_TIME_MAX, rendering).await {
            Ok(Ok(Ok(audio))) => return audio,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_panic)) => "the speech engine panicked".to_owned(),
            Err(_elapsed) => format!("not rendered within {} s", RENDER_TIME_MAX.as_secs()),
        };
        tracing::warn!(
            characters = request.text.chars().count(),
            language = request.language,
            voice = request.voice,
            error = reason,
            "could not speak text; playing a beep instead"
        );
        self.fallback.clone()
    }

    async fn rendered(&self, request: &SpeechRequest) -> Result<Clip, Arc<EngineError>> {
        let key = Spoken { voice: self.engine.voice(request), text: request.text.clone() };
        let Spoken { voice, text } = &key;
        self.cache.try_get_with_by_ref(&key, self.engine.render(voice, text)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{self, BoxFuture};
    use std::io;
    use std::sync::Mutex;

    /// What the engine of a test does with a text of that name.
    const FAIL: &str = "fail, then 4, 2, 4, 2";
    const PANIC: &str = "panic";
    const HANG: &str = "hang";

    /// An engine whose audio is the text itself, written down each time. It waits for a permit where there is a gate.
    #[derive(Clone, Default)]
    struct Echo {
        rendered: Arc<Mutex<Vec<String>>>,
        gate: Option<Arc<Semaphore>>,
    }

    impl Echo {
        fn rendered(&self) -> Vec<String> {
            self.rendered.lock().unwrap().clone()
        }
    }

    impl Engine for Echo {
        fn voice(&self, request: &SpeechRequest) -> String {
            request.language.clone().unwrap_or_default()
        }

        fn render<'a>(&'a self, _: &'a str, text: &'a str) -> BoxFuture<'a, Result<Clip, EngineError>> {
            async move {
                if let Some(gate) = &self.gate {
                    gate.acquire().await.unwrap().forget();
                }
                self.rendered.lock().unwrap().push(text.to_owned());
                match text {
                    FAIL => Err(EngineError::NothingToSay),
                    PANIC => panic!("a bug in an engine"),
                    HANG => future::pending().await,
                    _ => Ok(Clip::from(text.as_bytes().to_vec())),
                }
            }
            .boxed()
        }
    }

    fn request(text: &str) -> SpeechRequest {
        SpeechRequest { text: text.to_owned(), language: None, voice: None }
    }

    fn beep() -> Clip {
        Clip::encode(&generate::beep())
    }

    #[tokio::test]
    async fn a_text_is_rendered_once_and_then_kept() {
        let engine = Echo::default();
        let speech = Speech::with_engine(engine.clone());
        for _ in 0..3 {
            assert_eq!(speech.render(request("hello")).await.as_bytes(), b"hello");
        }
        assert_eq!(engine.rendered(), ["hello"]);
        // Another voice is another sound.
        let german = SpeechRequest { language: Some("de-DE".to_owned()), ..request("hello") };
        speech.render(german).await;
        assert_eq!(engine.rendered(), ["hello", "hello"]);
    }

    #[tokio::test]
    async fn many_calls_that_ask_at_once_share_one_rendering() {
        let engine = Echo { gate: Some(Arc::new(Semaphore::new(0))), ..Echo::default() };
        let speech = Speech::with_engine(engine.clone());
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let speech = speech.clone();
                tokio::spawn(async move { speech.render(request("hello")).await })
            })
            .collect();
        tokio::task::yield_now().await;
        engine.gate.as_ref().unwrap().add_permits(50);
        for call in calls {
            assert_eq!(call.await.unwrap().as_bytes(), b"hello");
        }
        assert_eq!(engine.rendered(), ["hello"]);
    }

    #[tokio::test]
    async fn a_caller_who_hangs_up_does_not_take_the_prompt_from_the_others() {
        let engine = Echo { gate: Some(Arc::new(Semaphore::new(0))), ..Echo::default() };
        let speech = Speech::with_engine(engine.clone());
        let mut first = Box::pin(speech.render(request("hello")));
        let mut second = Box::pin(speech.render(request("hello")));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        engine.gate.as_ref().unwrap().add_permits(1);
        assert_eq!(second.await.as_bytes(), b"hello");
    }

    #[tokio::test]
    async fn an_error_and_a_panic_become_a_beep_and_are_tried_again() {
        let engine = Echo::default();
        let speech = Speech::with_engine(engine.clone());
        for text in [FAIL, FAIL, PANIC, PANIC] {
            assert_eq!(speech.render(request(text)).await, beep());
        }
        assert_eq!(engine.rendered(), [FAIL, FAIL, PANIC, PANIC]);
        assert_eq!(speech.render(request("hello")).await.as_bytes(), b"hello");
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_is_given_ten_seconds() {
        let speech = Speech::with_engine(Echo::default());
        let asked = tokio::time::Instant::now();
        assert_eq!(speech.render(request(HANG)).await, beep());
        assert_eq!(asked.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn the_least_recently_used_audio_goes_first() {
        let engine = Echo::default();
        // Room for two texts of 1,000 bytes (each counts twice: as text and as audio), not for three.
        let speech = Speech::with_cache_of(5_000, engine.clone());
        let [a, b, c] = ["a", "b", "c"].map(|letter| letter.repeat(1_000));
        for text in [&a, &b, &a, &c, &a, &c, &b] {
            speech.render(request(text)).await;
            speech.cache.run_pending_tasks().await;
            assert!(speech.cache.weighted_size() <= 5_000);
        }
        assert_eq!(engine.rendered(), [a, b.clone(), c, b]);
    }

    #[tokio::test]
    async fn the_warning_says_why_and_not_what() {
        let log = LogLines::default();
        let lines = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || lines.clone()).finish();
        let _scope = tracing::subscriber::set_default(subscriber);
        let speech = Speech::with_engine(Echo::default());
        speech.render(request(FAIL)).await;
        speech.render(request("and 1, 2, 3, 4")).await;
        let written = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(written.contains("WARN") && written.contains("nothing in the text can be spoken"), "{written}");
        assert!(!written.contains("4, 2") && !written.contains("3, 4"), "{written}");
        assert!(!format!("{:?}", request(FAIL)).contains("4, 2"));
    }

    #[tokio::test]
    async fn the_built_in_engine_speaks_and_beeps_where_it_cannot() {
        let speech = Speech::start(SpeechEngine::Pico).await.unwrap();
        let audio = speech.render(request("Please enter your card number.")).await;
        assert!((1_500..2_500).contains(&audio.duration().as_millis()), "{audio:?}");
        assert_ne!(audio, beep());
        assert_eq!(speech.render(request("")).await, beep());
    }

    #[tokio::test]
    async fn without_an_engine_every_text_is_said_in_no_time() {
        let speech = Speech::start(SpeechEngine::None).await.unwrap();
        assert!(speech.render(request("Please enter your card number.")).await.is_empty());
    }

    /// What was logged.
    #[derive(Clone, Default)]
    struct LogLines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for LogLines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
