//! Telephone audio: G.711 mu-law at 8000 samples a second, one channel; and the way to other formats and back.
//!
//! Shape:   functions over slices, and [`Clip`], a finished piece of audio that is cheap to hand around. [`mod@format`] names what
//!          streams carry, [`convert`] writes and reads it, [`resample`] changes rates.
//! Units:   samples are 16-bit linear, mono; one byte of mu-law is one sample is 125 µs; a frame is 20 ms.
//! Limits:  encoding clips at ±32,635 and decoding gives at most ±32,124: the virtual edges and the outermost levels of
//!          the standard's 14-bit scale, times four.
//! Errors:  none. Every byte is a sample and every sample has a byte.
//! Sources: ITU-T G.711 (1988), tables 2a and 2b; framing: RFC 3551 section 4.2 (20 ms packets).

pub mod convert;
pub mod format;
pub mod resample;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Samples in a second (G.711, section 2).
pub const SAMPLE_RATE: u32 = 8000;

/// Bytes in a 20 ms frame.
pub const FRAME_BYTES: usize = 160;

/// How long a frame lasts.
pub const FRAME_DURATION: Duration = Duration::from_millis(20);

/// The byte of a sample of zero (G.711, table 2a: the positive zero).
pub const SILENCE: u8 = 0xFF;

/// What the standard's arithmetic adds to a magnitude so that each segment begins at a power of two: 33 on its 14-bit
/// scale.
const BIAS: u16 = 33 * 4;

/// The largest magnitude that does not leave the last segment: 8,159 on the 14-bit scale, less what 16 bits add below.
const MAGNITUDE_MAX: u16 = 32_635;

/// A finished piece of telephone audio: mu-law bytes without a header. A clone shares them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Clip(Arc<[u8]>);

impl Clip {
    /// Encodes 8 kHz mono samples.
    #[must_use]
    pub fn encode(samples: &[i16]) -> Self {
        Self(samples.iter().map(|&sample| encode_sample(sample)).collect())
    }

    /// The samples, as the listener's telephone makes them.
    #[must_use]
    pub fn decode(&self) -> Vec<i16> {
        decode(&self.0)
    }

    /// The bytes: raw mu-law.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How long it plays.
    #[must_use]
    pub fn duration(&self) -> Duration {
        duration(self.0.len())
    }

    /// Whether there is nothing to play.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The audio cut into frames of 20 ms, the last filled up with silence. No frames if there is no audio.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = [u8; FRAME_BYTES]> + '_ {
        frames(&self.0)
    }
}

impl From<Vec<u8>> for Clip {
    /// Takes `bytes` as what they are said to be: raw mu-law, 8 kHz, mono.
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Clip {
    /// How long it is. What is said is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clip({:?})", self.duration())
    }
}

/// How long `bytes` bytes of mu-law play: 125 µs each.
#[must_use]
pub const fn duration(bytes: usize) -> Duration {
    Duration::from_micros((bytes as u64).saturating_mul(1_000_000 / SAMPLE_RATE as u64))
}

/// Cuts mu-law audio into frames of 20 ms, the last filled up with silence.
pub fn frames(audio: &[u8]) -> impl ExactSizeIterator<Item = [u8; FRAME_BYTES]> + '_ {
    audio.chunks(FRAME_BYTES).map(|chunk| {
        let mut frame = [SILENCE; FRAME_BYTES];
        for (to, from) in frame.iter_mut().zip(chunk) {
            *to = *from;
        }
        frame
    })
}

/// Encodes samples, a byte each.
#[must_use]
pub fn encode(samples: &[i16]) -> Vec<u8> {
    samples.iter().map(|&sample| encode_sample(sample)).collect()
}

/// Decodes bytes, a sample each.
#[must_use]
pub fn decode(audio: &[u8]) -> Vec<i16> {
    audio.iter().map(|&byte| decode_sample(byte)).collect()
}

/// The mu-law byte whose level is nearest to `sample`: sign, 3 bits of segment, 4 bits of place in it, all inverted.
#[must_use]
pub fn encode_sample(sample: i16) -> u8 {
    let biased = sample.unsigned_abs().min(MAGNITUDE_MAX) + BIAS;
    // `biased` is 132 to 32,767: its highest bit is bit 7 in segment 0 and bit 14 in segment 7.
    let segment = 8 - biased.leading_zeros();
    let place = (biased >> (segment + 3)) & 0x0F;
    let sign = if sample < 0 { 0x80 } else { 0 };
    // Three bits and four: nothing is cut off.
    !(sign | (segment << 4) as u8 | place as u8)
}

/// The level that `byte` stands for.
#[must_use]
pub const fn decode_sample(byte: u8) -> i16 {
    let code = !byte;
    let segment = (code >> 4) & 0x07;
    let place = (code & 0x0F) as u16;
    // The middle of the place: at most 32,256 - 132.
    let magnitude = ((((place << 3) + BIAS) << segment) - BIAS) as i16;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tables 2a and 2b as the standard prints them: of each segment the first level and the width of its intervals, on
    /// the 14-bit scale. The levels stand in the middle of their intervals, but for the first: it is zero.
    const SEGMENTS: [(i32, i32); 8] =
        [(0, 2), (33, 4), (99, 8), (231, 16), (495, 32), (1023, 64), (2079, 128), (4191, 256)];

    /// The 128 levels of one sign, from zero up.
    fn levels() -> Vec<i32> {
        SEGMENTS.iter().flat_map(|&(first, width)| (0..16).map(move |place| first + place * width)).collect()
    }

    #[test]
    fn every_byte_decodes_to_the_level_the_standard_prints() {
        let levels = levels();
        assert_eq!((levels[1], levels[15], levels[127]), (2, 30, 8031));
        for (number, level) in levels.iter().enumerate() {
            let code = u8::try_from(number).unwrap();
            assert_eq!(i32::from(decode_sample(0xFF - code)), level * 4, "positive level {number}");
            assert_eq!(i32::from(decode_sample(0x7F - code)), -level * 4, "negative level {number}");
        }
    }

    #[test]
    fn every_sample_goes_to_the_interval_it_lies_in() {
        // Decision values: where a level's interval ends.
        let mut decisions: Vec<i32> = SEGMENTS
            .iter()
            .flat_map(|&(first, width)| (0..16).map(move |place| first + place * width + width / 2))
            .collect();
        assert_eq!(decisions[..3], [1, 3, 5]);
        assert_eq!((decisions[15], decisions[16], decisions[31], decisions[126]), (31, 35, 95, 7903));
        // Beyond the virtual edge of 8,159 all is the last level.
        assert_eq!(decisions.pop(), Some(8159));
        decisions.push(i32::from(i16::MAX));
        for sample in 0..=i16::MAX {
            let number = decisions.iter().position(|&decision| i32::from(sample) < decision * 4).unwrap_or(127);
            let code = u8::try_from(number).unwrap();
            assert_eq!(encode_sample(sample), 0xFF - code, "sample {sample}");
            if sample > 0 {
                assert_eq!(encode_sample(-sample), 0x7F - code, "sample -{sample}");
            }
        }
        assert_eq!(encode_sample(i16::MIN), 0x00);
        assert_eq!(encode_sample(0), SILENCE);
    }

    #[test]
    fn decoding_and_encoding_again_changes_nothing() {
        for byte in 0..=u8::MAX {
            let again = encode_sample(decode_sample(byte));
            // The negative zero is the one byte that has a twin.
            assert_eq!(again, if byte == 0x7F { SILENCE } else { byte });
        }
    }

    #[test]
    fn the_last_frame_is_filled_up_with_silence() {
        let audio = Clip::from(vec![1; 321]);
        let frames: Vec<_> = audio.frames().collect();
        assert_eq!(frames.len(), 3);
        assert_eq!(audio.frames().len(), 3);
        assert!(frames[..2].iter().flatten().all(|&byte| byte == 1));
        assert_eq!(frames[2][0], 1);
        assert!(frames[2][1..].iter().all(|&byte| byte == SILENCE));
        assert_eq!(Clip::default().frames().count(), 0);
    }

    #[test]
    fn eight_bytes_last_a_millisecond() {
        assert_eq!(Clip::from(vec![SILENCE; 8]).duration(), Duration::from_millis(1));
        assert_eq!(Clip::from(vec![SILENCE; FRAME_BYTES]).duration(), FRAME_DURATION);
        assert_eq!(duration(1), Duration::from_micros(125));
        assert!(Clip::encode(&[]).is_empty());
    }

    #[test]
    fn debug_tells_the_length_and_not_the_sound() {
        assert_eq!(format!("{:?}", Clip::from(vec![7; 800])), "Clip(100ms)");
    }

    proptest! {
        #[test]
        fn what_is_heard_is_within_half_an_interval_of_what_was_said(sample in any::<i16>()) {
            let heard = i32::from(decode_sample(encode_sample(sample)));
            let said = i32::from(sample).clamp(-32_635, 32_635);
            // Intervals widen with the magnitude: 8 at zero, a 16th of the segment above.
            let half = (said.abs() + 132) / 32 + 4;
            prop_assert!((heard - said).abs() <= half, "{said} became {heard}");
        }
    }
}
