//! Sound of any rate to the telephone's: 8 kHz mu-law.
//!
//! Shape:   [`Downsampler`] takes mono samples piece by piece and gives them at 8 kHz; [`prompt`] does all of it for a
//!          piece of synthetic speech, [`encode`] the last step alone.
//! Units:   samples are `f32`, -1 to 1 is full scale (0 dBFS).
//! Limits:  the rates of [`resample`](crate::audio::resample); memory is some 4 bytes a sample of the result.
//! Errors:  [`ResampleError`].

use crate::audio::resample::{ChunkLength, ResampleError, Resampler, from_i16, to_i16};
use crate::audio::{self, Clip};

/// The peak that a prompt is brought to: -3 dBFS. Clear on a bad line, and away from clipping.
const PEAK: f32 = 0.708;

/// The part of the samples that a peak may leave out. Synthesizers click now and then; measured by the click, the whole
/// prompt would be too soft.
const CLICKS: f32 = 0.001;

/// The most that a prompt is made louder: 12 dB. More would bring up noise.
const GAIN_MAX: f32 = 4.0;

/// A prompt whose peak is below this (-50 dBFS) says nothing.
const AUDIBLE: f32 = 0.003;

/// What is below this part of the peak (-40 dB) is silence: synthesizers hiss a little where they say nothing.
const SILENCE: f32 = 0.01;

/// Silence left before a prompt, 8 kHz samples: 40 ms, enough for a soft beginning.
const LEAD_MAX: usize = 40 * 8;

/// Silence left after a prompt, 8 kHz samples: 200 ms, a pause between two sentences. Engines add up to a second, in
/// which a caller waits and no timer runs.
const TAIL_MAX: usize = 200 * 8;

/// Resamples mono sound to 8 kHz.
pub(super) struct Downsampler {
    resampler: Resampler,
    made: Vec<f32>,
}

impl Downsampler {
    /// For sound of `rate` samples a second.
    pub(super) fn new(rate: u32) -> Result<Self, ResampleError> {
        Ok(Self { resampler: Resampler::new(rate, audio::SAMPLE_RATE, ChunkLength::Whole)?, made: Vec::new() })
    }

    /// Takes the next samples.
    pub(super) fn push(&mut self, samples: &[f32]) -> Result<(), ResampleError> {
        self.resampler.push(samples, &mut self.made)
    }

    /// How much was taken so far, in samples of 8 kHz.
    pub(super) fn length(&self) -> u64 {
        self.resampler.length()
    }

    /// Everything at 8 kHz: as long as what was taken.
    pub(super) fn finish(mut self) -> Result<Vec<f32>, ResampleError> {
        self.resampler.finish(&mut self.made)?;
        Ok(self.made)
    }
}

/// Synthetic speech as a prompt: resampled, freed of long silence at its ends, brought to the loudness of a prompt,
/// encoded. `None` if nothing can be heard.
pub(super) fn prompt(samples: &[i16], rate: u32) -> Result<Option<Clip>, ResampleError> {
    let mut downsampler = Downsampler::new(rate)?;
    let samples: Vec<f32> = samples.iter().map(|&sample| from_i16(sample)).collect();
    downsampler.push(&samples)?;
    let mut samples = downsampler.finish()?;
    let peak = peak(&samples);
    if peak < AUDIBLE {
        return Ok(None);
    }
    let heard = |sample: &f32| sample.abs() >= peak * SILENCE;
    let first = samples.iter().position(heard).unwrap_or_default();
    let last = samples.iter().rposition(heard).unwrap_or_default();
    // The end first: cutting the beginning moves every place.
    samples.truncate(last.saturating_add(TAIL_MAX));
    samples.drain(..first.saturating_sub(LEAD_MAX));
    let gain = (PEAK / peak).min(GAIN_MAX);
    for sample in &mut samples {
        *sample *= gain;
    }
    Ok(Some(encode(&samples)))
}

/// The magnitude that no sample exceeds, but for the few that [`CLICKS`] leaves out.
fn peak(samples: &[f32]) -> f32 {
    let mut magnitudes: Vec<f32> = samples.iter().map(|sample| sample.abs()).collect();
    let left_out = (magnitudes.len() as f32 * CLICKS) as usize;
    let Some(place) = magnitudes.len().checked_sub(1 + left_out) else { return 0.0 };
    *magnitudes.select_nth_unstable_by(place, f32::total_cmp).1
}

/// Samples of 8 kHz as mu-law. What is beyond full scale is clipped.
pub(super) fn encode(samples: &[f32]) -> Clip {
    let samples: Vec<i16> = samples.iter().map(|&sample| to_i16(sample)).collect();
    Clip::encode(&samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    fn sine(hertz: f32, rate: u32, seconds: f32, peak: f32) -> Vec<f32> {
        let length = (rate as f32 * seconds) as usize;
        (0..length).map(|at| peak * (TAU * hertz * at as f32 / rate as f32).sin()).collect()
    }

    fn downsampled(samples: &[f32], rate: u32) -> Vec<f32> {
        let mut downsampler = Downsampler::new(rate).unwrap();
        // In uneven pieces, as decoders give them.
        for piece in samples.chunks(1152) {
            downsampler.push(piece).unwrap();
        }
        downsampler.finish().unwrap()
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn a_tone_keeps_pitch_level_length_and_place_at_every_usual_rate() {
        for rate in [4_000, 8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000, 44_101] {
            let made = downsampled(&sine(1000.0, rate, 0.5, 0.5), rate);
            assert_eq!(made.len(), 4000, "{rate}");
            // The same tone made at 8 kHz, away from the edges where the filter rings.
            let wanted = sine(1000.0, 8000, 0.5, 0.5);
            let difference: Vec<f32> = made.iter().zip(&wanted).map(|(made, wanted)| made - wanted).collect();
            let off = rms(&difference[800..3200]);
            assert!(off < 0.005, "{rate}: off by {off}");
        }
    }

    #[test]
    fn what_8_khz_cannot_carry_is_filtered_out_and_not_folded_down() {
        let made = downsampled(&sine(5000.0, 16_000, 0.5, 0.5), 16_000);
        assert!(rms(&made[800..3200]) < 0.001);
    }

    #[test]
    fn even_one_sample_and_none_are_converted() {
        assert_eq!(downsampled(&[], 16_000), Vec::<f32>::new());
        assert_eq!(downsampled(&[0.5], 16_000).len(), 1);
        assert_eq!(downsampled(&[0.5], 8_000), [0.5]);
    }

    #[test]
    fn a_rate_nobody_uses_is_refused() {
        for rate in [0, 1, 3_999, 192_001, u32::MAX] {
            assert!(matches!(Downsampler::new(rate), Err(ResampleError::Rate(_))), "{rate}");
        }
    }

    #[test]
    fn a_prompt_is_brought_to_3_db_below_full_scale_unless_it_is_silent() {
        let peak_of = |peak: f32| {
            let samples: Vec<i16> = sine(400.0, 16_000, 0.5, peak).iter().map(|s| (s * 32_768.0) as i16).collect();
            let made = prompt(&samples, 16_000).unwrap()?;
            // A sine is almost zero when it ends.
            assert!((499..=500).contains(&made.duration().as_millis()));
            made.decode().iter().map(|sample| sample.unsigned_abs()).max()
        };
        for peak in [0.95, 0.5, 0.2] {
            let heard = peak_of(peak).unwrap();
            assert!((22_000..24_500).contains(&heard), "{peak} became {heard}");
        }
        // Four times as loud and no more.
        assert!((5_900..7_200).contains(&peak_of(0.05).unwrap()));
        assert_eq!(peak_of(0.001), None);
        assert_eq!(prompt(&[], 16_000).unwrap(), None);
    }
    #[test]
    fn a_prompt_begins_and_ends_soon_and_keeps_its_pauses() {
        let silence = vec![0; 16_000];
        let word: Vec<i16> = sine(400.0, 16_000, 0.5, 0.5).iter().map(|s| (s * 32_768.0) as i16).collect();
        let made = prompt(&[&silence[..], &word, &silence, &word, &silence].concat(), 16_000).unwrap().unwrap();
        let length = made.duration().as_millis();
        assert!((2_200..2_250).contains(&length), "40 + 500 + 1000 + 500 + 200 ms became {length}");
        let samples = made.decode();
        assert!(samples[..280].iter().all(|sample| sample.unsigned_abs() < 1000));
        assert!(samples[320..480].iter().any(|sample| sample.unsigned_abs() > 20_000));
        assert!(samples[samples.len() - 1500..].iter().all(|sample| sample.unsigned_abs() < 1000));
    }

    #[test]
    fn a_click_does_not_make_a_prompt_soft() {
        let mut samples: Vec<i16> = sine(400.0, 16_000, 1.0, 0.3).iter().map(|s| (s * 32_768.0) as i16).collect();
        let smooth = prompt(&samples, 16_000).unwrap().unwrap();
        samples[8_000] = i16::MAX;
        let clicks = prompt(&samples, 16_000).unwrap().unwrap();
        let rms = |audio: &Clip| rms(&audio.decode().iter().map(|&sample| f32::from(sample)).collect::<Vec<_>>());
        assert!((rms(&clicks) / rms(&smooth) - 1.0).abs() < 0.05);
    }
}
