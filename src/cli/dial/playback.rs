//! What a caller of a running server hears.
//!
//! Units:   8 kHz mu-law, one byte a sample.

use std::time::Duration;

use crate::audio;
use crate::media::playout::Playout;
use crate::time::CallTime;

/// Sounds that are being played, and what was told of them.
#[derive(Debug, Default)]
pub(super) struct SimulatedPlayback {
    pub(super) playout: Playout<String>,
    /// The sound that nobody was told of, in samples.
    untold: usize,
}

impl SimulatedPlayback {
    /// Appends a sound of so many samples.
    pub(super) fn media(&mut self, now: CallTime, samples: usize) {
        self.playout.sound(now, audio::duration(samples));
        self.untold = self.untold.saturating_add(samples);
    }

    /// The length of the sound since the last time this was asked.
    pub(super) fn untold(&mut self) -> Option<Duration> {
        let samples = std::mem::take(&mut self.untold);
        (samples > 0).then(|| Duration::from_millis(audio::duration(samples).as_millis() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_is_told_once_in_whole_milliseconds() {
        let mut playback = SimulatedPlayback::default();
        playback.media(CallTime::ZERO, 8000);
        playback.media(CallTime::ZERO, 4007);
        assert_eq!(playback.untold(), Some(Duration::from_millis(1500)));
        assert_eq!(playback.untold(), None);
        assert_eq!(playback.playout.ends(), CallTime::from_millis(1501));
    }
}
