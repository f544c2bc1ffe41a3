//! The sound of a turn: speech, recordings, tones and silence, one after the other.
//!
//! Errors: none. What cannot be had is replaced by an audible tone and told in the log: a call never hangs on it.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::House;
use crate::audio::{self, Clip};
use crate::flow::link::is_flow_name;
use crate::form::Form;
use crate::http::{OutboundRequest, shown};
use crate::speech::{SpeechRequest, recording};
use crate::tone::generate;
use crate::twiml::{PlaySource, Utterance};

/// How long fetching a recording may take.
const FETCH_LIMIT: Duration = Duration::from_secs(10);

/// The largest recording, in bytes.
const RECORDING_MAX: usize = 16 * 1024 * 1024;

/// The longest turn, in bytes of mu-law: half an hour. `loop="1000"` of a long text ends there.
const TURN_MAX: usize = 30 * 60 * 8000;

/// Mu-law silence.
const SILENCE: u8 = 0xff;

/// Renders a turn.
pub(super) async fn render(house: Arc<House>, heard: Vec<Utterance>) -> Clip {
    let mut sound = Vec::new();
    for utterance in heard {
        match utterance {
            Utterance::Say(say) => {
                let request = SpeechRequest { text: say.text, language: say.language, voice: say.voice };
                let once = house.speech.render(request).await;
                append(&mut sound, once.as_bytes(), say.times);
            }
            Utterance::Play(play) => match play.source {
                PlaySource::Digits(keys) => {
                    let once = audio::encode(&generate::keys(&keys));
                    append(&mut sound, &once, play.times);
                }
                PlaySource::Url(link) => {
                    let once = recording_at(&house, &link).await;
                    append(&mut sound, once.as_bytes(), play.times);
                }
            },
            Utterance::Pause(pause) => {
                let bytes = usize::try_from(pause.length.as_millis().saturating_mul(8)).unwrap_or(TURN_MAX);
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
            tracing::warn!("a turn is longer than half an hour; the rest of it is left out");
            return;
        }
        sound.extend_from_slice(once);
    }
}

/// The sound of a recording, or a tone in its place.
async fn recording_at(house: &Arc<House>, link: &str) -> Clip {
    let bytes = match Url::parse(link) {
        Ok(url) => fetched(house, &url).await,
        Err(_) => beside_the_flows(house, link).await,
    };
    let decoded = match bytes {
        Ok(bytes) => tokio::task::spawn_blocking(move || recording::decode(&bytes).map_err(|error| error.to_string()))
            .await
            .unwrap_or_else(|_| Err("the decoder broke down".to_owned())),
        Err(error) => Err(error),
    };
    decoded.unwrap_or_else(|error| {
        tracing::warn!(
            recording = shown(link),
            error,
            "<Play>: the recording cannot be played; a tone is heard instead"
        );
        Clip::encode(&generate::beep())
    })
}

async fn fetched(house: &Arc<House>, url: &Url) -> Result<Vec<u8>, String> {
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
    let response = house.outbound.send(&request).await.map_err(|error| error.to_string())?;
    match response.status {
        200..=299 if response.cut => Err(format!("it is larger than {RECORDING_MAX} bytes")),
        200..=299 => Ok(response.body.to_vec()),
        status => Err(format!("HTTP status {status}")),
    }
}

/// A file in the flows folder: `NAME.wav`, nothing that could leave the folder.
async fn beside_the_flows(house: &Arc<House>, link: &str) -> Result<Vec<u8>, String> {
    let (name, kind) = link.rsplit_once('.').unwrap_or((link, ""));
    if !is_flow_name(name) || !matches!(kind, "wav" | "mp3") {
        return Err("it is neither a URL nor the name of a .wav or .mp3 file in the flows folder".to_owned());
    }
    let path = house.library.folder().join(link);
    let size = tokio::fs::metadata(&path).await.map_err(|error| error.to_string())?.len();
    if size > RECORDING_MAX as u64 {
        return Err(format!("it is larger than {RECORDING_MAX} bytes"));
    }
    tokio::fs::read(&path).await.map_err(|error| error.to_string())
}
