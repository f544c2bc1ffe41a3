//! What makes speech: the trait of every engine, and the engine `none`.
//!
//! Shape:   text and the name of a voice in, 8 kHz mu-law out, later.
//! Errors:  [`EngineError`]. None of them carries text: it may hold digits of a card.

use super::SpeechRequest;
use crate::audio::Clip;
use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use std::error::Error;

/// Makes speech of text. In use by many calls at once.
pub trait Engine: Send + Sync {
    /// The engine's name of the voice that speaks `request`. Two requests with the same name and the same text sound
    /// the same: the name and the text are the key under which audio is kept.
    fn voice(&self, request: &SpeechRequest) -> String;

    /// Speaks `text` with the voice of that name, which [`Engine::voice`] gave.
    ///
    /// The future must not block its thread. It may be dropped before its end: nobody wants the audio then.
    fn render<'a>(&'a self, voice: &'a str, text: &'a str) -> BoxFuture<'a, Result<Clip, EngineError>>;
}

/// Why an engine made no audio.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The text is empty, or nothing in it can be spoken.
    #[error("nothing in the text can be spoken")]
    NothingToSay,
    /// The engine does not know the voice: a fault of ours, for the name came from the engine.
    #[error("no voice {0:?}")]
    NoVoice(String),
    /// The engine failed. The source must not tell the text.
    #[error("the speech engine failed: {0}")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// The engine `none`: every text is spoken in no time at all. For tests, and for those who play recordings only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence;

impl Engine for Silence {
    fn voice(&self, _: &SpeechRequest) -> String {
        String::new()
    }

    fn render<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Clip, EngineError>> {
        future::ready(Ok(Clip::default())).boxed()
    }
}
