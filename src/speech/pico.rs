//! The engine `pico`: SVOX Pico, six voices inside the program, nothing to install.
//!
//! Shape:   one thread a voice, which alone holds that voice's synthesizer (Pico's handles cannot change threads) and
//!          takes requests from a queue. [`Pico::start`] opens all voices side by side and has each say a word.
//! Limits:  `QUEUE_MAX` requests a voice wait; the next ones wait for room, until whoever asks gives up.
//! Errors:  [`VoiceError`] if a voice cannot be opened; [`EngineError`] for a text. After an error or a panic the
//!          thread opens its voice anew. A request that nobody waits for any more is dropped, also half way through.
//! Sources: the manual in picoapi.h; one engine a system, one system a thread (crate ttspico, `System::new`).

mod resource;
mod synthesizer;
mod text;
mod voice;

pub use voice::{PicoVoice, voice_for};

use super::SpeechRequest;
use super::convert;
use super::engine::{Engine, EngineError};
use crate::audio::Clip;
use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use std::collections::BTreeMap;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use synthesizer::{PicoError, Synthesizer};
use text::Speakable;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for a voice. A prompt takes some 20 ms: a full queue is more than the 10 s that anybody waits.
const QUEUE_MAX: usize = 1024;

/// What every voice says when it is opened. All languages know it.
const FIRST_WORD: &str = "1";

/// SVOX Pico, running.
pub struct Pico {
    threads: BTreeMap<PicoVoice, mpsc::Sender<Job>>,
}

/// A text to speak, and where the audio goes.
struct Job {
    text: Speakable,
    reply: oneshot::Sender<Result<Clip, EngineError>>,
}

/// Why speech cannot start.
#[derive(Debug, thiserror::Error)]
#[error(
    "the voice {voice} of the built-in speech engine cannot be opened: {reason}. It needs a thread, 4 MiB of memory and, \
     while it is opened, 1 MiB in /dev/shm or the folder for temporary files (TMPDIR); with `engine = \"none\"` under \
     [speech] touchtone starts without speech"
)]
pub struct VoiceError {
    voice: &'static str,
    #[source]
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("no thread: {0}")]
    Thread(#[source] io::Error),
    #[error("{0}")]
    Voice(#[from] PicoError),
    #[error("its thread died")]
    Died,
}

impl Pico {
    /// Opens every voice, each on a thread of its own, and has it say a word, so that the first caller does not wait
    /// for that.
    ///
    /// # Errors
    /// [`VoiceError`] names the voice that could not be opened and what to do.
    pub async fn start() -> Result<Self, VoiceError> {
        let mut opening = Vec::new();
        for voice in PicoVoice::ALL {
            let failed = |reason| VoiceError { voice: voice.name(), reason };
            let (jobs, inbox) = mpsc::channel(QUEUE_MAX);
            let (opened, when_opened) = oneshot::channel();
            thread::Builder::new()
                .name(format!("pico {}", voice.name()))
                .spawn(move || serve(voice, opened, inbox))
                .map_err(|error| failed(Reason::Thread(error)))?;
            opening.push((voice, jobs, when_opened));
        }
        let mut threads = BTreeMap::new();
        // Waited for only once all threads run, so that the voices open side by side.
        for (voice, jobs, when_opened) in opening {
            let opened = when_opened.await.unwrap_or(Err(Reason::Died));
            opened.map_err(|reason| VoiceError { voice: voice.name(), reason })?;
            threads.insert(voice, jobs);
        }
        Ok(Self { threads })
    }
}

impl Engine for Pico {
    /// The voice asked for by name, if it is one of Pico's (`en-GB`); else that of the language, see [`voice_for`].
    fn voice(&self, request: &SpeechRequest) -> String {
        let named = request.voice.as_deref().and_then(PicoVoice::named);
        named.unwrap_or_else(|| voice_for(request.language.as_deref())).name().to_owned()
    }

    fn render<'a>(&'a self, voice: &'a str, text: &'a str) -> BoxFuture<'a, Result<Clip, EngineError>> {
        let Some(jobs) = PicoVoice::named(voice).and_then(|voice| self.threads.get(&voice)) else {
            return future::ready(Err(EngineError::NoVoice(voice.to_owned()))).boxed();
        };
        let Some(text) = Speakable::new(text) else {
            return future::ready(Err(EngineError::NothingToSay)).boxed();
        };
        async move {
            let (reply, audio) = oneshot::channel();
            let died = || EngineError::Failed(Box::new(Reason::Died));
            jobs.send(Job { text, reply }).await.map_err(|_| died())?;
            audio.await.map_err(|_| died())?
        }
        .boxed()
    }
}

/// The life of a voice's thread: until the engine is dropped.
fn serve(voice: PicoVoice, opened: oneshot::Sender<Result<(), Reason>>, mut jobs: mpsc::Receiver<Job>) {
    let mut synthesizer = match first_word(voice) {
        Ok(synthesizer) => Some(synthesizer),
        Err(error) => {
            // Nobody waits: the start was given up, and so is this.
            let _ = opened.send(Err(error.into()));
            return;
        }
    };
    if opened.send(Ok(())).is_err() {
        return;
    }
    while let Some(Job { text, reply }) = jobs.blocking_recv() {
        // Whoever asked gave up while it waited in the queue.
        if reply.is_closed() {
            continue;
        }
        let spoken = speak(&mut synthesizer, voice, &text, || !reply.is_closed());
        // Nobody waits any more: the audio goes.
        let _ = reply.send(spoken);
    }
}

fn first_word(voice: PicoVoice) -> Result<Synthesizer, PicoError> {
    let mut synthesizer = Synthesizer::open(voice)?;
    if let Some(word) = Speakable::new(FIRST_WORD) {
        synthesizer.speak(&word, || true)?;
    }
    Ok(synthesizer)
}

/// Speaks `text` with the synthesizer in `slot`, or a new one if there is none; leaves none behind if it did not come
/// through.
fn speak(
    slot: &mut Option<Synthesizer>,
    voice: PicoVoice,
    text: &Speakable,
    wanted: impl Fn() -> bool,
) -> Result<Clip, EngineError> {
    let taken = slot.take();
    // The synthesizer goes in and comes out only whole: a panic drops it, and nothing half-way is seen again.
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut synthesizer = taken.map_or_else(|| Synthesizer::open(voice), Ok)?;
        let samples = synthesizer.speak(text, wanted)?;
        Ok::<_, PicoError>((synthesizer, samples))
    }));
    let (synthesizer, samples) = match outcome {
        Ok(spoken) => spoken.map_err(|error| EngineError::Failed(Box::new(error)))?,
        Err(_) => return Err(EngineError::Failed("Pico panicked".into())),
    };
    *slot = Some(synthesizer);
    let audio =
        convert::prompt(&samples, synthesizer::SAMPLE_RATE).map_err(|error| EngineError::Failed(Box::new(error)))?;
    audio.ok_or(EngineError::NothingToSay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// A sentence each, and what it takes a person to say it, in ms.
    const SENTENCES: [(PicoVoice, &str, std::ops::Range<u128>); 6] = [
        (PicoVoice::EnglishUs, "Please enter your card number.", 1_500..2_500),
        (PicoVoice::EnglishGb, "Please enter your card number.", 1_500..2_500),
        (PicoVoice::German, "Bitte geben Sie Ihre Kartennummer ein.", 1_800..3_000),
        (PicoVoice::Spanish, "Introduzca el número de su tarjeta.", 1_800..3_200),
        (PicoVoice::French, "Veuillez saisir le numéro de votre carte.", 1_500..2_800),
        (PicoVoice::Italian, "Inserisca il numero della carta.", 1_500..2_800),
    ];

    async fn said(pico: &Pico, voice: PicoVoice, text: &str) -> Clip {
        pico.render(voice.name(), text).await.unwrap_or_else(|error| panic!("{}: {text}: {error}", voice.name()))
    }

    /// Whether two renderings are of the same words. Pico hisses at random, so the end of the sound is not quite fixed.
    fn close(one: Duration, other: Duration) -> bool {
        one.abs_diff(other) < Duration::from_millis(150)
    }

    #[tokio::test]
    async fn each_voice_says_a_sentence_at_a_human_pace_and_an_audible_level() {
        let pico = Pico::start().await.unwrap();
        for (voice, text, wanted) in SENTENCES {
            let audio = said(&pico, voice, text).await;
            let length = audio.duration().as_millis();
            assert!(wanted.contains(&length), "{}: {length} ms", voice.name());
            let samples = audio.decode();
            let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
            let rms = (energy / samples.len() as f64).sqrt();
            // Speech that peaks at -3 dBFS has some -15 dBFS on the average; silence has none.
            assert!((3_000.0..12_000.0).contains(&rms), "{}: rms {rms}", voice.name());
            let clipped = samples.iter().filter(|sample| sample.unsigned_abs() > 32_000).count();
            assert!(clipped < 10, "{}: {clipped} samples clipped", voice.name());
        }
    }

    #[tokio::test]
    async fn two_languages_are_rendered_at_the_same_time() {
        let pico = Pico::start().await.unwrap();
        let lecture = "Bitte geben Sie Ihre Kartennummer ein. ".repeat(1_000);
        // Asked first, the lecture would be through first if both shared a thread.
        tokio::select! {
            biased;
            _ = pico.render("de-DE", &lecture) => panic!("half an hour of German came before one English word"),
            word = pico.render("en-US", "Yes.") => assert!(!word.unwrap().is_empty()),
        }
    }

    #[tokio::test]
    async fn a_rendering_that_nobody_waits_for_stops_and_the_voice_goes_on() {
        let pico = Pico::start().await.unwrap();
        let lecture = "Bitte geben Sie Ihre Kartennummer ein. ".repeat(100_000);
        let given_up = tokio::time::timeout(Duration::from_millis(1), pico.render("de-DE", &lecture)).await;
        assert!(given_up.is_err());
        // Days of speech would be before this, were they not given up.
        assert!(!said(&pico, PicoVoice::German, "Ja.").await.is_empty());
    }

    #[tokio::test]
    async fn a_long_text_is_said_to_its_end() {
        let pico = Pico::start().await.unwrap();
        for (voice, text, _) in SENTENCES {
            let two = said(&pico, voice, &[text; 2].join(" ")).await.duration();
            let four = said(&pico, voice, &[text; 4].join(" ")).await.duration();
            let twenty = said(&pico, voice, &[text; 20].join(" ")).await.duration();
            let expected = two + (four - two) * 9;
            let off = twenty.abs_diff(expected).as_secs_f64() / expected.as_secs_f64();
            assert!(off < 0.02, "{}: {twenty:?} instead of {expected:?}", voice.name());
        }
        // Without a full stop too, though Pico then breathes where it likes.
        let words = said(&pico, PicoVoice::EnglishUs, &"card number ".repeat(300)).await.duration();
        let few = said(&pico, PicoVoice::EnglishUs, &"card number ".repeat(30)).await.duration();
        assert!((9.0..11.5).contains(&(words.as_secs_f64() / few.as_secs_f64())), "{words:?}, {few:?}");
    }

    #[tokio::test]
    async fn digits_apart_are_read_one_by_one() {
        let pico = Pico::start().await.unwrap();
        for (voice, digits, words) in [
            (PicoVoice::EnglishUs, "4, 2, 4, 2", "four, two, four, two"),
            (PicoVoice::EnglishGb, "4, 2, 4, 2", "four, two, four, two"),
            (PicoVoice::German, "4, 2, 4, 2", "vier, zwei, vier, zwei"),
            (PicoVoice::Spanish, "4, 2, 4, 2", "cuatro, dos, cuatro, dos"),
            (PicoVoice::French, "4, 2, 4, 2", "quatre, deux, quatre, deux"),
            (PicoVoice::Italian, "4, 2, 4, 2", "quattro, due, quattro, due"),
            (PicoVoice::German, "4 2 4 2", "vier zwei vier zwei"),
        ] {
            let (digits, words) = (said(&pico, voice, digits).await, said(&pico, voice, words).await);
            // A number of two digits, or a comma read aloud, is longer or shorter by far more.
            assert!(close(digits.duration(), words.duration()), "{}: {digits:?}, {words:?}", voice.name());
        }
    }

    #[tokio::test]
    async fn nothing_to_say_is_an_error_and_so_is_a_voice_of_another_engine() {
        let pico = Pico::start().await.unwrap();
        for text in ["", "  ", "...", "日本語"] {
            let silence = pico.render("en-US", text).await;
            assert!(matches!(silence, Err(EngineError::NothingToSay)), "{text:?}: {silence:?}");
        }
        assert!(matches!(pico.render("Polly.Amy", "Hello").await, Err(EngineError::NoVoice(_))));
    }

    #[tokio::test]
    async fn a_voice_of_pico_may_be_asked_for_by_name() {
        let pico = Pico::start().await.unwrap();
        let voice = |language: Option<&str>, voice: Option<&str>| {
            let [language, voice] = [language, voice].map(|name| name.map(ToOwned::to_owned));
            pico.voice(&SpeechRequest { text: String::new(), language, voice })
        };
        assert_eq!(voice(Some("en-AU"), None), "en-GB");
        assert_eq!(voice(Some("fr-CA"), Some("Polly.Chantal")), "fr-FR");
        assert_eq!(voice(None, Some("it-it")), "it-IT");
        assert_eq!(voice(None, None), "en-US");
    }

    #[test]
    fn after_an_error_or_a_panic_the_voice_is_opened_anew() {
        for voice in PicoVoice::ALL {
            let hello = Speakable::new("Hello.").unwrap();
            let mut slot = None;
            let whole = speak(&mut slot, voice, &hello, || true).unwrap().duration();
            assert!(slot.is_some());
            // Pico drops the number without a word, and would say the greeting alone.
            let too_long = Speakable::unchecked(&format!("Hello. {}", "4".repeat(128)));
            let failed = speak(&mut slot, voice, &too_long, || true);
            assert!(matches!(failed, Err(EngineError::Failed(_))), "{}: {failed:?}", voice.name());
            assert!(slot.is_none());
            let again = speak(&mut slot, voice, &hello, || true).unwrap().duration();
            assert!(close(again, whole), "{again:?}, {whole:?}");
            let panicked = speak(&mut slot, voice, &hello, || panic!("a bug"));
            assert!(matches!(panicked, Err(EngineError::Failed(_))), "{panicked:?}");
            assert!(slot.is_none());
            let again = speak(&mut slot, voice, &hello, || true).unwrap().duration();
            assert!(close(again, whole), "{again:?}, {whole:?}");
        }
    }

    #[test]
    fn mark_up_that_would_touch_files_is_read_aloud_and_not_obeyed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.wav");
        let text = format!("Hello <genfile file=\"{}\"> you </genfile> all.", file.display());
        let mut slot = None;
        let plain =
            speak(&mut slot, PicoVoice::EnglishUs, &Speakable::new("Hello you all.").unwrap(), || true).unwrap();
        let marked = speak(&mut slot, PicoVoice::EnglishUs, &Speakable::new(&text).unwrap(), || true).unwrap();
        assert!(!file.exists());
        assert!(marked.duration() > 2 * plain.duration());
    }
    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn no_text_of_a_document_leaves_a_voice_speechless(
            number in 0..PicoVoice::ALL.len(),
            text in "\\PC{0,60}|[0-9.,:/ -]{0,120}|[a-zA-ZäöüßéèñÀ' ]{0,120}|[!?.,;()\"'-]{0,60}",
        ) {
            let voice = PicoVoice::ALL[number];
            let mut slot = None;
            if let Some(text) = Speakable::new(&text) {
                // Sound or an error: either will do.
                let _ = speak(&mut slot, voice, &text, || true);
            }
            let hello = Speakable::new("Hello.").unwrap();
            prop_assert!(speak(&mut slot, voice, &hello, || true).is_ok());
        }
    }
}
