//! What sound on a stream is made of: its encoding and its rate, one channel.
//!
//! Units:   samples a second; bytes of a format are its samples one after the other, without any header.
//! Sources: ITU-T G.711 (mu-law, A-law); RFC 3551, section 4.5.11 (L16, which is big-endian there);
//!          spec/media-streams.md, section 10.7 (who means the other order by it).

use std::fmt;
use std::time::Duration;

use audio_codec_algorithms::{decode_alaw, encode_alaw};

use super::SAMPLE_RATE;

/// How a sample is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// G.711 mu-law: a byte a sample.
    MuLaw,
    /// G.711 A-law: a byte a sample.
    ALaw,
    /// Linear, 16 bits with a sign: two bytes a sample.
    L16(ByteOrder),
}

/// Which byte of a sample of two comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The low one: what most platforms mean.
    Little,
    /// The high one: network order, what RTP means.
    Big,
}

/// An encoding at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// How samples are written.
    pub encoding: Encoding,
    /// How many a second.
    pub rate: u32,
}

impl Format {
    /// Mu-law at 8000 Hz: what calls are made of inside.
    pub const MU_LAW: Self = Self { encoding: Encoding::MuLaw, rate: SAMPLE_RATE };

    /// A-law at 8000 Hz.
    pub const A_LAW: Self = Self { encoding: Encoding::ALaw, rate: SAMPLE_RATE };

    /// L16 at `rate`.
    #[must_use]
    pub const fn l16(order: ByteOrder, rate: u32) -> Self {
        Self { encoding: Encoding::L16(order), rate }
    }

    /// How many bytes `length` has; what is less than a sample is left out.
    #[must_use]
    pub fn bytes_in(self, length: Duration) -> usize {
        let samples = length.as_micros().saturating_mul(u128::from(self.rate)) / 1_000_000;
        usize::try_from(samples).unwrap_or(usize::MAX).saturating_mul(self.encoding.sample_bytes())
    }

    /// How long `bytes` bytes play; what is less than a microsecond is left out.
    #[must_use]
    pub fn duration(self, bytes: usize) -> Duration {
        let samples = (bytes / self.encoding.sample_bytes()) as u64;
        // A format may have been made with any rate, 0 among them.
        Duration::from_micros(samples.saturating_mul(1_000_000) / u64::from(self.rate.max(1)))
    }

    /// Fills `sound` up with silence, so that it is whole frames of `frame` bytes. Of nothing it makes none.
    pub fn fill_frame(self, frame: usize, sound: &mut Vec<u8>) {
        while frame > 0 && !sound.len().is_multiple_of(frame) {
            self.encoding.write(0, sound);
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} Hz with 1 channel", self.encoding.media_type(), self.rate)
    }
}

impl Encoding {
    /// The name that platforms call it by.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::MuLaw => "audio/x-mulaw",
            Self::ALaw => "audio/x-alaw",
            Self::L16(_) => "audio/x-l16",
        }
    }

    /// How many bytes a sample has.
    #[must_use]
    pub const fn sample_bytes(self) -> usize {
        match self {
            Self::MuLaw | Self::ALaw => 1,
            Self::L16(_) => 2,
        }
    }

    /// Appends a sample.
    pub fn write(self, sample: i16, sound: &mut Vec<u8>) {
        match self {
            Self::MuLaw => sound.push(super::encode_sample(sample)),
            Self::ALaw => sound.push(encode_alaw(sample)),
            Self::L16(ByteOrder::Little) => sound.extend_from_slice(&sample.to_le_bytes()),
            Self::L16(ByteOrder::Big) => sound.extend_from_slice(&sample.to_be_bytes()),
        }
    }

    /// The samples of `sound`; bytes at its end that are no whole sample are left out.
    pub fn read(self, sound: &[u8]) -> impl Iterator<Item = i16> + '_ {
        sound.chunks_exact(self.sample_bytes()).map(move |bytes| match (self, bytes) {
            (Self::MuLaw, [byte]) => super::decode_sample(*byte),
            (Self::ALaw, [byte]) => decode_alaw(*byte),
            (Self::L16(ByteOrder::Little), [low, high]) => i16::from_le_bytes([*low, *high]),
            (Self::L16(ByteOrder::Big), [high, low]) => i16::from_be_bytes([*high, *low]),
            // Chunks have the length they were asked for.
            (_, _) => 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G.711, tables 1a and 1b: of each segment the first level and the width of its intervals, on the standard's 13-bit
    /// scale. Levels stand in the middle of their intervals.
    const SEGMENTS: [(i32, i32); 8] =
        [(1, 2), (33, 2), (66, 4), (132, 8), (264, 16), (528, 32), (1056, 64), (2112, 128)];

    fn a_law(sample: i16) -> u8 {
        let mut sound = Vec::new();
        Encoding::ALaw.write(sample, &mut sound);
        sound[0]
    }

    fn of_a_law(byte: u8) -> i32 {
        i32::from(Encoding::ALaw.read(&[byte]).next().unwrap())
    }

    #[test]
    fn every_byte_of_a_law_is_the_level_that_the_standard_prints() {
        let levels: Vec<i32> =
            SEGMENTS.iter().flat_map(|&(first, width)| (0..16).map(move |place| first + place * width)).collect();
        assert_eq!((levels[0], levels[31], levels[32], levels[127]), (1, 63, 66, 4032));
        for (number, level) in levels.iter().enumerate() {
            // Character signals have their even bits inverted, and a one for the positive sign.
            let code = u8::try_from(number).unwrap() ^ 0x55;
            assert_eq!(of_a_law(code | 0x80), level * 8, "positive level {number}");
            assert_eq!(of_a_law(code & 0x7F), -level * 8, "negative level {number}");
        }
    }

    #[test]
    fn every_sample_goes_to_the_a_law_interval_it_lies_in() {
        // Decision values: where a level's interval ends.
        let decisions: Vec<i32> = SEGMENTS
            .iter()
            .flat_map(|&(first, width)| (0..16).map(move |place| first + place * width + width / 2))
            .collect();
        assert_eq!(
            (decisions[0], decisions[31], decisions[32], decisions[126], decisions[127]),
            (2, 64, 68, 3968, 4096)
        );
        for sample in 0..=i16::MAX {
            let number = decisions.iter().position(|&decision| i32::from(sample) < decision * 8).unwrap();
            let code = u8::try_from(number).unwrap() ^ 0x55;
            assert_eq!(a_law(sample), code | 0x80, "sample {sample}");
            assert_eq!(a_law(-1 - sample), code & 0x7F, "sample {}", -1 - i32::from(sample));
        }
        assert_eq!(a_law(0), 0xD5, "silence");
    }

    #[test]
    fn decoding_and_encoding_again_changes_no_byte_of_any_format() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        for encoding in [Encoding::ALaw, Encoding::L16(ByteOrder::Little), Encoding::L16(ByteOrder::Big)] {
            let mut again = Vec::new();
            encoding.read(&bytes).for_each(|sample| encoding.write(sample, &mut again));
            assert_eq!(again, bytes, "{encoding:?}");
        }
    }

    #[test]
    fn the_high_byte_of_l16_comes_first_or_last() {
        for (order, bytes) in [(ByteOrder::Little, [0x34, 0x12]), (ByteOrder::Big, [0x12, 0x34])] {
            let mut sound = Vec::new();
            Encoding::L16(order).write(0x1234, &mut sound);
            assert_eq!(sound, bytes);
            assert_eq!(Encoding::L16(order).read(&[bytes[0], bytes[1], 7]).collect::<Vec<_>>(), [0x1234]);
        }
    }

    #[test]
    fn twenty_milliseconds_have_the_documented_bytes() {
        let frame = Duration::from_millis(20);
        for (format, bytes) in [
            (Format::MU_LAW, 160),
            (Format::A_LAW, 160),
            (Format::l16(ByteOrder::Little, 8000), 320),
            (Format::l16(ByteOrder::Little, 16_000), 640),
            (Format::l16(ByteOrder::Big, 24_000), 960),
        ] {
            assert_eq!(format.bytes_in(frame), bytes, "{format}");
            assert_eq!(format.duration(bytes), frame, "{format}");
            let mut sound = vec![1; bytes + 2];
            format.fill_frame(bytes, &mut sound);
            assert_eq!(sound.len(), 2 * bytes);
            assert!(format.encoding.read(&sound[bytes + 2..]).all(|sample| sample.abs() <= 8), "silence");
            let mut nothing = Vec::new();
            format.fill_frame(bytes, &mut nothing);
            assert!(nothing.is_empty());
        }
        assert_eq!(Format::MU_LAW.to_string(), "audio/x-mulaw at 8000 Hz with 1 channel");
    }
}
