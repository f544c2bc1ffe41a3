//! One voice of Pico, ready to speak: text in, samples out, on the thread that opened it.
//!
//! Shape:   [`Synthesizer::open`] loads a voice, [`Synthesizer::speak`] renders text. After an error the synthesizer is
//!          spent: Pico may still hold half a sentence, so it is thrown away and another opened.
//! Units:   16 kHz, 16-bit, mono.
//! Limits:  `MEMORY_BYTES` a voice; nothing bounds the text here, so `speak` asks between steps whether to go on.
//! Errors:  [`PicoError`]: what Pico says, never the text.
//! Unsafe:  one call. `ttspico::Voice::create_engine` must not be called before both files of the voice have been
//!          added, or Pico reads through null; [`Synthesizer::open`] adds both above the call and leaves with `?` if
//!          either fails.

use super::resource::PathOf;
use super::text::Speakable;
use super::voice::PicoVoice;
use std::io;
use std::rc::Rc;
use ttspico::{Engine, EngineStatus, System};

/// Samples a second that Pico makes.
pub(super) const SAMPLE_RATE: u32 = 16_000;

/// Memory of one voice: its files (at most 1.4 MB) and the engine's own (1.1 MB), with room to spare. Pico allocates in
/// this piece only.
const MEMORY_BYTES: usize = 4 * 1024 * 1024;

/// Samples asked for in a step. Pico gives at most 255 bytes at once (picoctrl.c, `picoctrl_engFetchOutputItemBytes`).
const STEP_SAMPLES: usize = 512;

/// What a voice is told when it is opened, and keeps to. At its usual 100 Pico goes beyond what 16 bits hold, and
/// clips.
const VOLUME: &[u8] = b"<volume level=\"50\">\0";

/// Why Pico did not speak.
#[derive(Debug, thiserror::Error)]
pub(super) enum PicoError {
    /// A file of the voice could not be put where Pico finds it.
    #[error("no room for the voice in the folder for temporary files: {0}")]
    Files(#[source] io::Error),
    /// Pico refused.
    #[error("Pico: {description} (status {status})")]
    Status {
        /// Pico's number (picodefs.h, `PICO_EXC_*` and `PICO_ERR_*`).
        status: i32,
        /// Pico's words.
        description: String,
    },
    /// Pico takes no more text and says that it has nothing to do.
    #[error("Pico does not take the rest of the text")]
    Stuck,
    /// Nobody waits for the audio any more.
    #[error("given up by the caller")]
    GivenUp,
}

impl From<ttspico::PicoError> for PicoError {
    fn from(error: ttspico::PicoError) -> Self {
        Self::Status { status: error.code, description: error.descr }
    }
}

/// One voice, loaded.
pub(super) struct Synthesizer {
    engine: Engine,
}

impl Synthesizer {
    /// Loads `voice`.
    #[allow(unsafe_code, reason = "the crate has no safe way to make an engine; see the top of the module")]
    pub(super) fn open(voice: PicoVoice) -> Result<Self, PicoError> {
        let files = voice.files();
        let system = System::new(MEMORY_BYTES)?;
        let definition = System::create_voice(Rc::clone(&system), voice.name())?;
        for bytes in [files.analysis, files.generation] {
            // Pico reads the file at once: the path need not live longer.
            let path = PathOf::bytes(bytes).map_err(PicoError::Files)?;
            let resource = System::load_resource(Rc::clone(&system), path.as_str().map_err(PicoError::Files)?)?;
            definition.borrow_mut().add_resource(resource)?;
        }
        // SAFETY: both files were added to the definition just above.
        let engine = unsafe { ttspico::Voice::create_engine(definition) }?;
        let mut synthesizer = Self { engine };
        synthesizer.put(VOLUME, &mut Vec::new(), &|| true)?;
        Ok(synthesizer)
    }

    /// Speaks `text`, as long as `wanted` says so.
    pub(super) fn speak(&mut self, text: &Speakable, wanted: impl Fn() -> bool) -> Result<Vec<i16>, PicoError> {
        let mut samples = Vec::new();
        self.put(text.as_bytes(), &mut samples, &wanted)?;
        // Where its memory is too small for a sentence, Pico says nothing of it and looks idle; the next text is told
        // the error. An empty one makes it come to light now, so that no half a prompt is taken for a whole one.
        self.put(b"\0", &mut samples, &wanted)?;
        Ok(samples)
    }

    /// Feeds `rest` to the engine and takes the sound until it is idle.
    fn put(&mut self, mut rest: &[u8], samples: &mut Vec<i16>, wanted: &impl Fn() -> bool) -> Result<(), PicoError> {
        let mut step = [0; STEP_SAMPLES];
        loop {
            if !wanted() {
                return Err(PicoError::GivenUp);
            }
            // Pico's buffer holds only a piece of a long text; speaking makes room for more.
            let taken = if rest.is_empty() { 0 } else { self.engine.put_text(rest)? };
            rest = rest.get(taken..).unwrap_or_default();
            let (made, status) = self.engine.get_data(&mut step[..])?;
            samples.extend(step.iter().take(made));
            match status {
                EngineStatus::Busy => {}
                EngineStatus::Idle if rest.is_empty() => return Ok(()),
                EngineStatus::Idle if taken == 0 => return Err(PicoError::Stuck),
                EngineStatus::Idle => {}
            }
        }
    }
}
