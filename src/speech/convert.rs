//! Sound of any rate to the telephone's: 8 kHz mu-law.
//!
//! Shape:   [`Downsampler`] takes mono samples piece by piece and gives them at 8 kHz; [`prompt`] does all of it for a
//!          piece of synthetic speech, [`encode`] the last step alone.
//! Units:   samples are `f32`, -1 to 1 is full scale (0 dBFS).
//! Limits:  rates of `RATES`; memory is some 4 bytes a sample of the result.
//! Errors:  [`ConvertError`].

use crate::audio::{self, Clip};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};
use std::ops::RangeInclusive;

/// Samples a second that are accepted: half of the telephone's to the highest that studios use.
pub(super) const RATES: RangeInclusive<u32> = 4_000..=192_000;

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

/// Pieces a second in which sound is resampled: 50 ms each, so that the filter passes up to some 3.8 kHz.
const PIECES: u32 = 20;

/// Why sound could not be converted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConvertError {
    /// Not of [`RATES`].
    #[error("{0} samples a second, where {min} to {max} are understood", min = RATES.start(), max = RATES.end())]
    Rate(u32),
    /// The resampler refused: a fault of ours.
    #[error("the resampler failed: {0}")]
    Resampler(String),
}

/// Resamples mono sound to 8 kHz.
pub(super) struct Downsampler {
    rate: u32,
    /// `None` if the rate is right already.
    resampler: Option<Fft<f32>>,
    /// Less than one piece of input.
    waiting: Vec<f32>,
    /// Samples taken in.
    taken: u64,
    /// What came out, the resampler's delay in front.
    made: Vec<f32>,
}

impl Downsampler {
    /// For sound of `rate` samples a second.
    pub(super) fn new(rate: u32) -> Result<Self, ConvertError> {
        if !RATES.contains(&rate) {
            return Err(ConvertError::Rate(rate));
        }
        let resampler = if rate == audio::SAMPLE_RATE {
            None
        } else {
            // An even number of samples: the middle of an odd piece lies between two, and the sound comes out late.
            let unit = 2 * rate / greatest_common_divisor(rate, audio::SAMPLE_RATE);
            let piece = unit * (rate / PIECES).div_ceil(unit);
            let resampler = Fft::new_custom(
                rate as usize,
                audio::SAMPLE_RATE as usize,
                piece as usize,
                1,
                1,
                rubato::WindowFunction::BlackmanHarris2,
                FixedSync::Both,
            );
            Some(resampler.map_err(|error| ConvertError::Resampler(error.to_string()))?)
        };
        Ok(Self { rate, resampler, waiting: Vec::new(), taken: 0, made: Vec::new() })
    }

    /// Takes the next samples.
    pub(super) fn push(&mut self, samples: &[f32]) -> Result<(), ConvertError> {
        self.taken += samples.len() as u64;
        let Some(resampler) = &mut self.resampler else {
            self.made.extend_from_slice(samples);
            return Ok(());
        };
        self.waiting.extend_from_slice(samples);
        let piece = resampler.input_frames_next();
        let whole = self.waiting.len() / piece * piece;
        for piece in self.waiting.chunks_exact(piece) {
            self.made.append(&mut resample(resampler, piece)?);
        }
        self.waiting.drain(..whole);
        Ok(())
    }

    /// How much was taken so far, in samples of 8 kHz.
    pub(super) fn length(&self) -> u64 {
        (self.taken * u64::from(audio::SAMPLE_RATE)).div_ceil(u64::from(self.rate))
    }

    /// Everything at 8 kHz: as long as what was taken.
    pub(super) fn finish(mut self) -> Result<Vec<f32>, ConvertError> {
        let length = usize::try_from(self.length()).unwrap_or(usize::MAX);
        if let Some(resampler) = &mut self.resampler {
            let (delay, piece) = (resampler.output_delay(), resampler.input_frames_next());
            self.waiting.resize(piece, 0.0);
            while self.made.len() < length.saturating_add(delay) {
                self.made.append(&mut resample(resampler, &self.waiting)?);
                self.waiting.fill(0.0);
            }
            self.made.drain(..delay);
        }
        self.made.truncate(length);
        Ok(self.made)
    }
}

const fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// One piece through the resampler.
fn resample(resampler: &mut Fft<f32>, piece: &[f32]) -> Result<Vec<f32>, ConvertError> {
    let refused = |error: &dyn std::fmt::Display| ConvertError::Resampler(error.to_string());
    let input = InterleavedSlice::new(piece, 1, piece.len()).map_err(|error| refused(&error))?;
    let output = resampler.process(&input, None).map_err(|error| refused(&error))?;
    Ok(output.take_data())
}

/// Synthetic speech as a prompt: resampled, freed of long silence at its ends, brought to the loudness of a prompt,
/// encoded. `None` if nothing can be heard.
pub(super) fn prompt(samples: &[i16], rate: u32) -> Result<Option<Clip>, ConvertError> {
    let mut downsampler = Downsampler::new(rate)?;
    let samples: Vec<f32> = samples.iter().map(|&sample| f32::from(sample) / 32_768.0).collect();
    downsampler.push(&samples)?;
    let mut samples = downsampler.finish()?;
    let peak = peak(&samples);
    if peak < AUDIBLE {
        return Ok(None);
    }
    let heard = |sample: &f32| sample.abs() >= peak * SILENCE;
    let first = samples.iter().position(heard).unwrap_or_default();
    let last = samples.iter().rposition(heard).unwrap_or_default();
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
    // `as` clips at the ends of i16, and makes zero of what is no number.
    let samples: Vec<i16> = samples.iter().map(|&sample| (sample * 32_768.0).round() as i16).collect();
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
            assert!(matches!(Downsampler::new(rate), Err(ConvertError::Rate(_))), "{rate}");
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
