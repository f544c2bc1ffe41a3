//! Between the sound that calls are made of (8 kHz mu-law) and the sound of a stream.
//!
//! Shape:   an [`Encoder`] and a [`Decoder`] a stream; sound in, sound appended to a block that the caller keeps. In the
//!          format of calls both only copy; at 8 kHz they change the encoding, sample by sample, without any delay.
//! Limits:  at another rate the latency of [`resample`](super::resample); [`Encoder::finish`] gives the rest of a prompt.
//! Errors:  [`ResampleError`].
//! Secrets: sound of a caller may be tones of a card number: what is kept of it is wiped.

use std::fmt;

use audio_codec_algorithms::{convert_alaw_to_ulaw, convert_ulaw_to_alaw};
use zeroize::Zeroizing;

use super::format::{Encoding, Format};
use super::resample::{ChunkLength, ResampleError, Resampler, from_i16, to_i16};
use super::{SAMPLE_RATE, decode_sample};

/// Writes a call's sound as a stream carries it.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    rate: Converter,
}

impl Encoder {
    /// For streams of `format`.
    ///
    /// # Errors
    /// [`ResampleError`] for a rate that no sound has.
    pub fn new(format: Format) -> Result<Self, ResampleError> {
        Ok(Self { format, rate: Converter::new(SAMPLE_RATE, format.rate)? })
    }

    /// Takes mu-law of 8 kHz, and appends to `sound` what is done.
    ///
    /// # Errors
    /// [`ResampleError::Failed`].
    pub fn push(&mut self, mu_law: &[u8], sound: &mut Vec<u8>) -> Result<(), ResampleError> {
        let encoding = self.format.encoding;
        match (&mut self.rate.resampler, encoding) {
            (None, Encoding::MuLaw) => sound.extend_from_slice(mu_law),
            // The standard's own table, which is a little nearer than by way of linear samples.
            (None, Encoding::ALaw) => sound.extend(mu_law.iter().map(|byte| convert_ulaw_to_alaw(*byte))),
            (None, Encoding::L16(_)) => {
                mu_law.iter().for_each(|byte| encoding.write(decode_sample(*byte), sound));
            }
            (Some(_), _) => {
                self.rate.push(mu_law.iter().map(|byte| decode_sample(*byte)))?;
                self.rate.drain(|sample| encoding.write(sample, sound));
            }
        }
        Ok(())
    }

    /// Appends what is left of the sound that was taken, as at the end of a prompt.
    ///
    /// # Errors
    /// [`ResampleError::Failed`].
    pub fn finish(&mut self, sound: &mut Vec<u8>) -> Result<(), ResampleError> {
        let encoding = self.format.encoding;
        self.rate.finish()?;
        self.rate.drain(|sample| encoding.write(sample, sound));
        Ok(())
    }

    /// Forgets what was taken and not given, as when a prompt is cut.
    pub fn reset(&mut self) {
        self.rate.reset();
    }
}

/// Reads a stream's sound.
pub struct Decoder {
    format: Format,
    rate: Converter,
    /// The first byte of a sample whose second is in the next message.
    half: Zeroizing<Option<u8>>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Decoder {
    /// For streams of `format`.
    ///
    /// # Errors
    /// [`ResampleError`] for a rate that no sound has.
    pub fn new(format: Format) -> Result<Self, ResampleError> {
        Ok(Self { format, rate: Converter::new(format.rate, SAMPLE_RATE)?, half: Zeroizing::new(None) })
    }

    /// Takes sound of any length, cut anywhere, and appends to `mu_law` what is done.
    ///
    /// # Errors
    /// [`ResampleError::Failed`].
    pub fn push(&mut self, sound: &[u8], mu_law: &mut Vec<u8>) -> Result<(), ResampleError> {
        match (&self.rate.resampler, self.format.encoding) {
            (None, Encoding::MuLaw) => {
                mu_law.extend_from_slice(sound);
                return Ok(());
            }
            (None, Encoding::ALaw) => {
                mu_law.extend(sound.iter().map(|byte| convert_alaw_to_ulaw(*byte)));
                return Ok(());
            }
            (None, Encoding::L16(_)) | (Some(_), _) => {}
        }
        let encoding = self.format.encoding;
        let (joined, rest) = match (self.half.take(), sound) {
            (Some(first), [second, rest @ ..]) => (Some([first, *second]), rest),
            (half, sound) => {
                *self.half = half;
                (None, sound)
            }
        };
        let whole = rest.len() / encoding.sample_bytes() * encoding.sample_bytes();
        let (rest, end) = rest.split_at_checked(whole).unwrap_or_default();
        if let [byte] = end {
            *self.half = Some(*byte);
        }
        let joined = joined.map(Zeroizing::new);
        let first = joined.as_ref().map_or(&[][..], |bytes| &bytes[..]);
        self.rate.push(encoding.read(first).chain(encoding.read(rest)))?;
        self.rate.drain(|sample| Encoding::MuLaw.write(sample, mu_law));
        Ok(())
    }
}

/// Samples of one rate to samples of another, as 16 bits.
struct Converter {
    resampler: Option<Resampler>,
    linear: Zeroizing<Vec<f32>>,
    made: Zeroizing<Vec<f32>>,
}

impl fmt::Debug for Converter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Converter").field("resampler", &self.resampler).finish_non_exhaustive()
    }
}

impl Converter {
    fn new(from: u32, to: u32) -> Result<Self, ResampleError> {
        // Made also where nothing is resampled: it refuses rates that no sound has.
        let resampler = Resampler::new(from, to, ChunkLength::Live)?;
        let resampler = (from != to).then_some(resampler);
        Ok(Self { resampler, linear: Zeroizing::default(), made: Zeroizing::default() })
    }

    fn push(&mut self, samples: impl Iterator<Item = i16>) -> Result<(), ResampleError> {
        self.linear.clear();
        self.linear.extend(samples.map(from_i16));
        match &mut self.resampler {
            Some(resampler) => resampler.push(&self.linear, &mut self.made),
            None => {
                self.made.extend_from_slice(&self.linear);
                Ok(())
            }
        }
    }

    fn finish(&mut self) -> Result<(), ResampleError> {
        self.resampler.as_mut().map_or(Ok(()), |resampler| resampler.finish(&mut self.made))
    }

    fn reset(&mut self) {
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
        self.made.clear();
    }

    /// Gives what is done.
    fn drain(&mut self, take: impl FnMut(i16)) {
        self.made.iter().copied().map(to_i16).for_each(take);
        self.made.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::format::ByteOrder;
    use crate::audio::{decode, encode};
    use proptest::prelude::*;

    fn formats() -> Vec<Format> {
        let l16 = [8_000, 16_000, 24_000]
            .into_iter()
            .flat_map(|rate| [ByteOrder::Little, ByteOrder::Big].map(|order| Format::l16(order, rate)));
        [Format::MU_LAW, Format::A_LAW].into_iter().chain(l16).collect()
    }

    fn tone() -> Vec<u8> {
        let sine = |at: usize| (12_000.0 * (at as f64 * 0.3).sin()) as i16;
        encode(&(0..1600).map(sine).collect::<Vec<_>>())
    }

    /// To the format and back, the sound cut into pieces of so many bytes.
    fn there_and_back(format: Format, mu_law: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut encoder, mut decoder) = (Encoder::new(format).unwrap(), Decoder::new(format).unwrap());
        let (mut sound, mut back) = (Vec::new(), Vec::new());
        for piece in mu_law.chunks(piece) {
            encoder.push(piece, &mut sound).unwrap();
        }
        encoder.finish(&mut sound).unwrap();
        for piece in sound.chunks(piece) {
            decoder.push(piece, &mut back).unwrap();
        }
        (sound, back)
    }

    #[test]
    fn a_prompt_is_as_long_and_sounds_the_same_in_every_format() {
        let tone = tone();
        for format in formats() {
            let (sound, back) = there_and_back(format, &tone, 160);
            assert_eq!(format.duration(sound.len()), std::time::Duration::from_millis(200), "{format}");
            // What a decoder has not given yet is less than its latency.
            assert!(back.len() + 240 >= tone.len(), "{format}: {}", back.len());
            for (place, (heard, said)) in decode(&back).iter().zip(decode(&tone)).enumerate().skip(160) {
                let difference = (i32::from(*heard) - i32::from(said)).abs();
                // An interval of mu-law at this level, and one of A-law.
                assert!(difference <= 1100, "{format}, sample {place}: {heard} for {said}");
            }
        }
    }

    #[test]
    fn at_the_telephone_s_rate_nothing_is_late_and_mu_law_is_only_copied() {
        let every: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(there_and_back(Format::MU_LAW, &every, 7), (every.clone(), every.clone()));
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let (sound, back) = there_and_back(Format::l16(order, 8_000), &every, 7);
            assert_eq!(sound.len(), 512);
            // The negative zero is the one byte that has a twin.
            assert!(back.iter().zip(&every).all(|(heard, said)| heard == said || *said == 0x7F));
        }
        assert_eq!(there_and_back(Format::A_LAW, &[0xFF, 0x00, 0x80], 1).0, [0xD5, 0x2A, 0xAA]);
    }

    #[test]
    fn a_prompt_that_is_cut_leaves_nothing_for_the_next() {
        let format = Format::l16(ByteOrder::Little, 16_000);
        let mut encoder = Encoder::new(format).unwrap();
        let mut sound = Vec::new();
        encoder.push(&tone()[..1000], &mut sound).unwrap();
        encoder.reset();
        sound.clear();
        encoder.push(&[crate::audio::SILENCE; 320], &mut sound).unwrap();
        encoder.finish(&mut sound).unwrap();
        assert_eq!(sound, vec![0; 1280]);
    }

    proptest! {
        #[test]
        fn a_sample_may_be_cut_between_two_messages(sound in prop::collection::vec(any::<u8>(), 0..200), piece in 1..9_usize) {
            for format in [Format::l16(ByteOrder::Little, 8_000), Format::l16(ByteOrder::Big, 16_000)] {
                let heard = |piece: usize| {
                    let (mut decoder, mut heard) = (Decoder::new(format).unwrap(), Vec::new());
                    for piece in sound.chunks(piece) {
                        decoder.push(piece, &mut heard).unwrap();
                    }
                    heard
                };
                prop_assert_eq!(heard(piece), heard(usize::MAX));
            }
        }
    }
}
