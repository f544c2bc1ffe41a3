//! Sound of one rate to another, piece by piece as it comes.
//!
//! Shape:   [`Resampler::push`] takes samples and gives what of them is done; [`Resampler::finish`] gives the rest, so that
//!          as much has come out as went in. How the samples were cut when they came changes nothing of what comes out.
//! Units:   mono samples, `f32`, -1 to 1 is full scale.
//! Limits:  rates of [`RATES`]. Latency: a piece and half a piece, [`Resampler::latency`]; the sound itself is not late, as
//!          the filter's delay is taken off its beginning. Up to 85 % of half the lower rate everything passes (3.4 kHz at
//!          8 kHz), and from half the lower rate on nothing, by 60 dB at least.
//! Errors:  [`ResampleError`].
//!
//! The arithmetic is rubato's synchronous resampler: rates of a fixed ratio, an FFT a piece, no clock and no thread. It is
//! kept well, and speech needs it anyway; a filter of our own would have to be proven all over again. Which instructions it
//! uses depends on the processor, and with them the last bits of a sample: no decision of a call may hang on those.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};
use zeroize::Zeroizing;

/// Samples a second that are accepted: half of the telephone's to the highest that studios use.
pub const RATES: RangeInclusive<u32> = 4_000..=192_000;

/// Why sound could not be resampled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResampleError {
    /// Not of [`RATES`].
    #[error("{0} samples a second, where {min} to {max} are understood", min = RATES.start(), max = RATES.end())]
    Rate(u32),
    /// The arithmetic refused: a fault of ours.
    #[error("the resampler failed: {0}")]
    Failed(String),
}

/// How much sound is looked at together: the more, the sharper the filter and the later the sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkLength {
    /// 20 ms, the length of a telephone's frame: for sound that somebody waits for.
    Live,
    /// 50 ms: for sound that is there as a whole. Passes some 3.8 kHz at 8 kHz.
    Whole,
}

impl ChunkLength {
    /// How many there are in a second.
    const fn per_second(self) -> u32 {
        match self {
            Self::Live => 50,
            Self::Whole => 20,
        }
    }
}

/// Resamples mono sound.
pub struct Resampler {
    from: u32,
    to: u32,
    /// `None` if the rates are the same.
    fft: Option<Fft<f32>>,
    /// Less than one piece of input.
    waiting: Zeroizing<Vec<f32>>,
    /// The piece that was just made.
    block: Zeroizing<Vec<f32>>,
    /// How much of the filter's delay is still to be taken off.
    lead: usize,
    /// Samples taken in since the beginning, and given.
    taken: u64,
    given: u64,
}

impl fmt::Debug for Resampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resampler").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl Resampler {
    /// From one rate to another, in samples a second.
    ///
    /// # Errors
    /// [`ResampleError`].
    pub fn new(from: u32, to: u32, piece: ChunkLength) -> Result<Self, ResampleError> {
        for rate in [from, to] {
            if !RATES.contains(&rate) {
                return Err(ResampleError::Rate(rate));
            }
        }
        let fft = if from == to {
            None
        } else {
            // An even number of samples: the middle of an odd piece lies between two, and the sound comes out late.
            let unit = 2 * from / greatest_common_divisor(from, to);
            // The shortest piece of whole units that is not shorter than was asked for.
            let piece = unit * (from / piece.per_second()).div_ceil(unit);
            let window = WindowFunction::BlackmanHarris2;
            let fft = Fft::new_custom(from as usize, to as usize, piece as usize, 1, 1, window, FixedSync::Both);
            Some(fft.map_err(|error| ResampleError::Failed(error.to_string()))?)
        };
        let block = vec![0.0; fft.as_ref().map_or(0, |fft| fft.output_frames_max())];
        let lead = fft.as_ref().map_or(0, |fft| fft.output_delay());
        let waiting = Zeroizing::new(Vec::new());
        Ok(Self { from, to, fft, waiting, block: Zeroizing::new(block), lead, taken: 0, given: 0 })
    }

    /// The longest time between a sample's coming in and its coming out, without [`Self::finish`].
    #[must_use]
    pub fn latency(&self) -> Duration {
        let micros = |frames: usize, rate: u32| (frames as u64).saturating_mul(1_000_000) / u64::from(rate);
        self.fft.as_ref().map_or(Duration::ZERO, |fft| {
            Duration::from_micros(micros(fft.input_frames_next(), self.from) + micros(fft.output_delay(), self.to))
        })
    }

    /// How many samples there are to be of those that were taken so far.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.taken.saturating_mul(self.to as u64).div_ceil(self.from as u64)
    }

    /// Takes samples, and appends to `made` what is done.
    ///
    /// # Errors
    /// [`ResampleError::Failed`].
    pub fn push(&mut self, samples: &[f32], made: &mut Vec<f32>) -> Result<(), ResampleError> {
        self.taken = self.taken.saturating_add(samples.len() as u64);
        let Some(fft) = &self.fft else {
            made.extend_from_slice(samples);
            return Ok(());
        };
        let piece = fft.input_frames_next();
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.extend_from_slice(samples);
        let whole = waiting.len() / piece * piece;
        for piece in waiting.chunks_exact(piece) {
            // Without a limit: more samples may follow.
            self.convert(piece, u64::MAX, made)?;
        }
        waiting.drain(..whole);
        self.waiting = waiting;
        Ok(())
    }

    /// Appends to `made` what is left of the samples that were taken. What comes next is another sound.
    ///
    /// # Errors
    /// [`ResampleError::Failed`].
    pub fn finish(&mut self, made: &mut Vec<f32>) -> Result<(), ResampleError> {
        if let Some(fft) = &self.fft {
            let (piece, length) = (fft.input_frames_next(), self.length());
            let mut waiting = std::mem::take(&mut self.waiting);
            // Pieces of silence push out what the filter still holds back.
            waiting.resize(piece, 0.0);
            while self.given < length {
                self.convert(&waiting, length - self.given, made)?;
                waiting.fill(0.0);
            }
            self.waiting = waiting;
        }
        self.reset();
        Ok(())
    }

    /// Forgets what was taken and not given. What comes next is another sound.
    pub fn reset(&mut self) {
        if let Some(fft) = &mut self.fft {
            fft.reset();
            self.lead = fft.output_delay();
        }
        self.waiting.clear();
        (self.taken, self.given) = (0, 0);
    }

    /// One piece; appends at most `limit` samples.
    fn convert(&mut self, piece: &[f32], limit: u64, made: &mut Vec<f32>) -> Result<(), ResampleError> {
        let Some(fft) = &mut self.fft else { return Ok(()) };
        let failed = |error: &dyn fmt::Display| ResampleError::Failed(error.to_string());
        let room = self.block.len();
        let input = InterleavedSlice::new(piece, 1, piece.len()).map_err(|error| failed(&error))?;
        let mut output = InterleavedSlice::new_mut(&mut self.block, 1, room).map_err(|error| failed(&error))?;
        let (_, length) = fft.process_into_buffer(&input, &mut output, None).map_err(|error| failed(&error))?;
        let done = self.block.get(..length).unwrap_or_default();
        let done = done.get(self.lead.min(length)..).unwrap_or_default();
        self.lead = self.lead.saturating_sub(length);
        let taken = done.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        made.extend_from_slice(done.get(..taken).unwrap_or_default());
        self.given = self.given.saturating_add(taken as u64);
        Ok(())
    }
}

/// A sample on the scale of 16 bits. What is beyond full scale is clipped.
#[must_use]
pub fn to_i16(sample: f32) -> i16 {
    // `as` clips at the ends of i16, and makes zero of what is no number.
    (sample * 32_768.0).round() as i16
}

/// A sample of 16 bits on the scale of 1.
#[must_use]
pub fn from_i16(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

const fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
pub(crate) mod tests;
