//! The sound of a turn: speech, recordings, tones and silence, one after the other.
//!
//! Shape:   [`Renderer`] makes the sound of one turn at a time, and none that nobody will hear.
//! Limits:  [`RENDER_LIMIT`] and [`TURN_MAX`] a turn; [`FETCH_LIMIT`] and [`RECORDING_MAX`] a recording.
//! Errors:  none. What cannot be had is replaced by an audible tone and told in the log: a call never hangs on it.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use url::Url;

use super::answered::Answered;
use super::services::SoundServices;
use crate::audio::{self, Clip};
use crate::blocking;
use crate::callback::{FetchError, Followed, Unreached, follow};
use crate::flow::TurnId;
use crate::flow::link::is_flow_name;
use crate::form::Form;
use crate::http::{OutboundRequest, shown};
use crate::speech::SpeechRequest;
use crate::tone::{Key, generate};
use crate::twiml::{PlaySource, Utterance};

/// How long fetching a recording may take, all redirects included.
const FETCH_LIMIT: Duration = Duration::from_secs(10);

/// The largest recording, in bytes.
const RECORDING_MAX: usize = 16 * 1024 * 1024;

/// The longest turn, in bytes of mu-law: half an hour. `loop="1000"` of a long text ends there.
const TURN_MAX: usize = 30 * 60 * 8000;

/// Mu-law silence.
const SILENCE: u8 = 0xff;

/// How long making the sound of a turn may take: as long as the machine waits for it.
const RENDER_LIMIT: Duration = Duration::from_secs(30);

/// The turns of a call that have no sound yet: one is rendered at a time, in their order, and none that nobody will hear.
#[derive(Debug, Default)]
pub(super) struct Renderer {
    waiting: VecDeque<(TurnId, Vec<Utterance>)>,
    running: Option<RunningRender>,
}

/// A turn that is being rendered, until this is dropped.
#[derive(Debug)]
struct RunningRender {
    turn: TurnId,
    task: AbortHandle,
}

impl Drop for RunningRender {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Renderer {
    /// One more turn, after those before it.
    pub(super) fn add(&mut self, turn: TurnId, heard: Vec<Utterance>) {
        self.waiting.push_back((turn, heard));
    }

    /// A turn has its sound. One that was cleared meanwhile is not the one that is being rendered.
    pub(super) fn rendered(&mut self, turn: TurnId, sound: &Arc<SoundServices>, answers: &mpsc::Sender<Answered>) {
        if self.running.as_ref().is_some_and(|running| running.turn == turn) {
            self.running = None;
            self.go_on(sound, answers);
        }
    }

    /// Begins with the next turn, unless one is being rendered.
    pub(super) fn go_on(&mut self, sound: &Arc<SoundServices>, answers: &mpsc::Sender<Answered>) {
        if self.running.is_some() {
            return;
        }
        let Some((turn, heard)) = self.waiting.pop_front() else { return };
        let (sound, answers) = (Arc::clone(sound), answers.clone());
        let rendering = tokio::spawn(tracing::Instrument::in_current_span(async move {
            // A panic is caught: a turn that is never answered would keep those behind it from being rendered.
            let rendering = timeout(RENDER_LIMIT, AssertUnwindSafe(render(&sound, heard)).catch_unwind());
            let clip = match rendering.await {
                Ok(Ok(clip)) => clip,
                Ok(Err(_panic)) => beep_for("rendering it broke down"),
                Err(_) => beep_for("it was not rendered in time"),
            };
            // The call may be over; then nobody waits for this.
            let _ = answers.send(Answered::Rendered(turn, clip)).await;
        }));
        self.running = Some(RunningRender { turn, task: rendering.abort_handle() });
    }

    /// Nothing of it will be heard.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.running = None;
    }
}

/// A tone instead of a turn.
fn beep_for(reason: &str) -> Clip {
    tracing::error!(error = reason, "could not render turn; playing a tone instead");
    Clip::encode(&generate::beep())
}

/// A part of a turn, and how often it is heard.
enum Part {
    Sound(Clip, u16),
    Keys(Vec<Option<Key>>, u16),
    Silence(Duration),
}

/// Renders a turn: first what has to be waited for, then all of it in one piece.
async fn render(sound: &Arc<SoundServices>, heard: Vec<Utterance>) -> Clip {
    let mut parts = Vec::with_capacity(heard.len());
    for utterance in heard {
        parts.push(match utterance {
            Utterance::Say(say) => {
                let request = SpeechRequest { text: say.text, language: say.language, voice: say.voice };
                Part::Sound(sound.speech.render(request).await, say.times)
            }
            Utterance::Play(play) => match play.source {
                PlaySource::Digits(keys) => Part::Keys(keys, play.times),
                PlaySource::Url(link) => Part::Sound(recording_at(sound, &link).await, play.times),
            },
            Utterance::Pause(pause) => Part::Silence(pause.length),
        });
    }
    // What is said once is heard as it is.
    match parts.as_slice() {
        [] => return Clip::default(),
        [Part::Sound(once, 1)] => return once.clone(),
        _ => {}
    }
    blocking::run(move || assembled(parts)).await.unwrap_or_else(|_| beep_for("putting it together broke down"))
}

/// Puts a turn together. It may be half an hour long.
fn assembled(parts: Vec<Part>) -> Clip {
    blocking::assert_allowed();
    let mut sound = Vec::new();
    for part in parts {
        match part {
            Part::Sound(once, times) => append(&mut sound, once.as_bytes(), times),
            Part::Keys(keys, times) => append(&mut sound, &audio::encode(&generate::keys(&keys)), times),
            Part::Silence(length) => {
                let bytes = usize::try_from(length.as_millis().saturating_mul(8)).unwrap_or(TURN_MAX);
                let room = TURN_MAX.saturating_sub(sound.len());
                sound.resize(sound.len().saturating_add(bytes.min(room)), SILENCE);
            }
        }
    }
    Clip::from(sound)
}

fn append(sound: &mut Vec<u8>, once: &[u8], times: u16) {
    for _ in 0..times {
        if sound.len().saturating_add(once.len()) > TURN_MAX {
            tracing::warn!("turn is longer than half an hour; leaving out the rest");
            return;
        }
        sound.extend_from_slice(once);
    }
}

/// The sound of a recording, or a tone in its place.
async fn recording_at(sound: &Arc<SoundServices>, link: &str) -> Clip {
    let bytes = match Url::parse(link) {
        Ok(url) => fetched(sound, &url).await,
        Err(_) => beside_the_flows(sound, link).await,
    };
    let decoded = match bytes {
        Ok(bytes) => sound.speech.decode(bytes).await,
        Err(error) => Err(error),
    };
    decoded.unwrap_or_else(|error| {
        tracing::warn!(
            recording = shown(link),
            error,
            "could not play recording of <Play>; playing a tone in its place"
        );
        Clip::encode(&generate::beep())
    })
}

async fn fetched(sound: &Arc<SoundServices>, url: &Url) -> Result<Vec<u8>, String> {
    let request = OutboundRequest {
        method: axum::http::Method::GET,
        url: url.to_string(),
        form: Form::new(),
        auth_token: None,
        idempotency_token: None,
        // A recording is kept for every call that plays it.
        cookies: crate::http::Jar::default(),
        timeout: FETCH_LIMIT,
        body_limit: RECORDING_MAX,
    };
    // Each address on the way is checked as the first one is.
    let answer = follow(request, Unreached::Told, |hop| async move { sound.outbound.send(&hop).await });
    let Followed { response, place, .. } = answer.await.map_err(|error| error.to_string())?;
    match response.status {
        200..=299 if response.cut => Err(format!("it is larger than {RECORDING_MAX} bytes")),
        200..=299 => Ok(response.body.to_vec()),
        status => Err(place.error(FetchError::Status { status, retry_after: None }).to_string()),
    }
}

/// A file in the flows folder: `NAME.wav`, nothing that could leave the folder.
async fn beside_the_flows(sound: &Arc<SoundServices>, link: &str) -> Result<Vec<u8>, String> {
    let (name, kind) = link.rsplit_once('.').unwrap_or((link, ""));
    if !is_flow_name(name) || !matches!(kind, "wav" | "mp3") {
        return Err("it is neither a URL nor the name of a .wav or .mp3 file in the flows folder".to_owned());
    }
    let path = sound.library.folder().join(link);
    let size = tokio::fs::metadata(&path).await.map_err(|error| error.to_string())?.len();
    if size > RECORDING_MAX as u64 {
        return Err(format!("it is larger than {RECORDING_MAX} bytes"));
    }
    tokio::fs::read(&path).await.map_err(|error| error.to_string())
}
