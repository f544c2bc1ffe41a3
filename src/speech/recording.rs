//! Decodes the files of `<Play>`: WAV and MP3.
//!
//! Shape:   the bytes of a file in, a [`Clip`] out. Works for as long as the file is; not for an async thread.
//! Units:   any rate of 4,000 to 192,000 samples a second becomes 8,000; up to eight channels become one, their mean.
//! Limits:  [`INPUT_BYTES_MAX`] and [`DURATION_MAX`]. Memory: the result, four bytes a sample, and one packet.
//! Errors:  [`DecodeError`]. Files come from elsewhere: no bytes make this panic.
//! Sources: Twilio `<Play>`: `audio/mpeg`, `audio/wav`, `audio/x-wav` and the rest of its table. Headerless files
//!          (`audio/basic`) have nothing to be known by and are not guessed.

use super::convert::{self, Downsampler};
use crate::audio::resample::ResampleError;
use crate::audio::{self, Clip};
use crate::blocking;
use std::io::{Cursor, ErrorKind};
use std::panic;
use std::time::Duration;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as MediaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

/// The largest file that is decoded: 16 MiB, ten minutes at 220 kbit/s.
pub const INPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest recording.
pub const DURATION_MAX: Duration = Duration::from_secs(600);

/// The most channels that are mixed down: 7.1.
const CHANNELS_MAX: usize = 8;

/// Why a file could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The file is larger than [`INPUT_BYTES_MAX`].
    #[error("the recording has {bytes} bytes, more than {INPUT_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The sound is longer than [`DURATION_MAX`].
    #[error("the recording is longer than {} minutes", DURATION_MAX.as_secs() / 60)]
    TooLong,
    /// Neither WAV nor MP3.
    #[error("neither a WAV nor an MP3 file")]
    Unrecognized,
    /// A WAV or MP3 file of a kind that is not understood.
    #[error("not understood: {0}")]
    Unsupported(String),
    /// The file breaks off or turns to nonsense before there is any sound.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The file is in order and there is nothing in it to hear.
    #[error("no sound in it")]
    Empty,
}

/// The sound of a WAV file (PCM, floating point, mu-law, A-law, ADPCM) or an MP3 file, with or without tags.
///
/// Loudness is left as it is. A recording that breaks off is decoded as far as it goes; a bad piece in the middle is
/// left out.
///
/// # Errors
/// [`DecodeError`] says which.
pub fn decode(bytes: &[u8]) -> Result<Clip, DecodeError> {
    blocking::assert_allowed();
    if bytes.len() > INPUT_BYTES_MAX {
        return Err(DecodeError::TooLarge { bytes: bytes.len() });
    }
    // The decoders are safe Rust and meant for any input; where one has a hole left, a caller on the line must not fall
    // in.
    panic::catch_unwind(|| decode_any(bytes))
        .unwrap_or_else(|_| Err(DecodeError::Damaged("the decoder gave up".to_owned())))
}

fn decode_any(bytes: &[u8]) -> Result<Clip, DecodeError> {
    let mut file = open(bytes)?;
    let track = file.default_track(TrackType::Audio).ok_or(DecodeError::Empty)?;
    let track_id = track.id;
    let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio()).ok_or(DecodeError::Empty)?;
    let channels = parameters.channels.as_ref().map_or(1, |channels| channels.count());
    if !(1..=CHANNELS_MAX).contains(&channels) {
        return Err(DecodeError::Unsupported(format!("{channels} channels")));
    }
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(|error| DecodeError::Unsupported(error.to_string()))?;
    let mut sound = Sound::default();
    let end = read(file.as_mut(), track_id, decoder.as_mut(), &mut sound)?;
    let samples = sound.finish()?;
    match end {
        _ if !samples.is_empty() => Ok(convert::encode(&samples)),
        End::Regular => Err(DecodeError::Empty),
        End::Damaged(reason) => Err(DecodeError::Damaged(reason)),
    }
}

/// How a file ended.
enum End {
    Regular,
    Damaged(String),
}

fn open(bytes: &[u8]) -> Result<Box<dyn FormatReader + '_>, DecodeError> {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
    let probe = symphonia::default::get_probe();
    probe.probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default()).map_err(|error| match error
    {
        // The probe came to the end, or as far as it goes, and has met nothing it knows.
        MediaError::IoError(_) | MediaError::Unsupported(_) | MediaError::LimitError(_) => DecodeError::Unrecognized,
        other => DecodeError::Damaged(other.to_string()),
    })
}

/// Reads packet after packet into `sound`.
fn read(
    file: &mut dyn FormatReader,
    track_id: u32,
    decoder: &mut dyn AudioDecoder,
    sound: &mut Sound,
) -> Result<End, DecodeError> {
    let mut bad = None;
    let mut samples = Vec::new();
    loop {
        let packet = match file.next_packet() {
            Ok(Some(packet)) if packet.track_id == track_id => packet,
            Ok(Some(_)) => continue,
            Ok(None) => return Ok(bad.map_or(End::Regular, End::Damaged)),
            Err(error) => return Ok(End::Damaged(error.to_string())),
        };
        match decoder.decode(&packet) {
            Ok(buffer) => {
                let (rate, channels) = (buffer.spec().rate(), buffer.spec().channels().count());
                buffer.copy_to_vec_interleaved(&mut samples);
                sound.push(rate, channels, &samples)?;
            }
            Err(MediaError::DecodeError(reason)) => bad = Some(reason.to_owned()),
            Err(MediaError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                bad = Some("the file breaks off".to_owned());
            }
            Err(error) => return Ok(End::Damaged(error.to_string())),
        }
    }
}

/// What was decoded so far, at 8 kHz.
#[derive(Default)]
struct Sound {
    made: Vec<f32>,
    /// The piece being resampled, and its rate. An MP3 file may change its rate on the way.
    making: Option<(u32, Downsampler)>,
}

impl Sound {
    /// Takes the next samples, of all channels in turn.
    fn push(&mut self, rate: u32, channels: usize, samples: &[f32]) -> Result<(), DecodeError> {
        // `chunks_exact` panics on 0.
        let channels = channels.max(1);
        // A file's floating-point samples may be anything.
        let level = |sample: &f32| if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
        let mono: Vec<f32> = samples
            .chunks_exact(channels)
            .map(|frame| frame.iter().map(level).sum::<f32>() / channels as f32)
            .collect();
        if !matches!(self.making, Some((before, _)) if before == rate) {
            self.settle()?;
        }
        let (_, making) = match &mut self.making {
            Some(making) => making,
            none => none.insert((rate, Downsampler::new(rate).map_err(refused)?)),
        };
        making.push(&mono).map_err(refused)?;
        // What is done and what is being resampled, at 125 µs a sample.
        if audio::duration(self.made.len()) + Duration::from_micros(making.length().saturating_mul(125)) > DURATION_MAX
        {
            return Err(DecodeError::TooLong);
        }
        Ok(())
    }

    /// Ends the piece being resampled.
    fn settle(&mut self) -> Result<(), DecodeError> {
        if let Some((_, making)) = self.making.take() {
            self.made.append(&mut making.finish().map_err(refused)?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<f32>, DecodeError> {
        self.settle()?;
        Ok(self.made)
    }
}

fn refused(error: ResampleError) -> DecodeError {
    DecodeError::Unsupported(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::f32::consts::TAU;

    /// Half a second of 440 Hz, 22,050 samples a second: left 12,000 high, right 4,000. Made for this test.
    const MP3: &[u8] = include_bytes!("recording/tone.mp3");

    /// The codes of RIFF for what is in a WAV file.
    const PCM: u16 = 1;
    const FLOAT: u16 = 3;
    const A_LAW: u16 = 6;
    const MU_LAW: u16 = 7;

    fn wav(format: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        let block = channels * (bits / 8);
        let mut file = Vec::new();
        file.extend(b"RIFF");
        file.extend((38 + u32::try_from(data.len()).unwrap()).to_le_bytes());
        file.extend(b"WAVEfmt ");
        file.extend(18_u32.to_le_bytes());
        file.extend(format.to_le_bytes());
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend((rate.saturating_mul(u32::from(block))).to_le_bytes());
        file.extend(block.to_le_bytes());
        file.extend(bits.to_le_bytes());
        // The length of what a kind adds to its format: nothing.
        file.extend(0_u16.to_le_bytes());
        file.extend(b"data");
        file.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        file.extend(data);
        file
    }

    /// 440 Hz for half a second.
    fn tone(rate: u32, peak: f32) -> Vec<f32> {
        (0..rate / 2).map(|at| peak * (TAU * 440.0 * at as f32 / rate as f32).sin()).collect()
    }

    fn pcm16(samples: &[f32]) -> Vec<u8> {
        samples.iter().flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect()
    }

    /// Half a second of 440 Hz with that peak (of 32,768)?
    fn assert_tone(audio: &Clip, peak: f32) {
        let length = audio.duration().as_millis();
        assert!((500..=580).contains(&length), "{length} ms");
        let samples: Vec<f32> = audio.decode().iter().map(|&sample| f32::from(sample)).collect();
        let middle = &samples[1000..3000];
        let rms = (middle.iter().map(|sample| sample * sample).sum::<f32>() / 2000.0).sqrt();
        assert!((rms / (peak / 2_f32.sqrt()) - 1.0).abs() < 0.05, "rms {rms}, wanted a peak of {peak}");
        let crossings = middle.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count();
        assert!((216..=224).contains(&crossings), "{crossings} crossings in a quarter of a second");
    }

    #[test]
    fn wav_files_of_every_usual_kind_are_decoded() {
        for rate in [8_000, 11_025, 16_000, 44_100, 48_000] {
            assert_tone(&decode(&wav(PCM, 1, rate, 16, &pcm16(&tone(rate, 0.5)))).unwrap(), 16_384.0);
        }
        let stereo: Vec<f32> = tone(44_100, 0.5).into_iter().flat_map(|sample| [sample, 0.0]).collect();
        assert_tone(&decode(&wav(PCM, 2, 44_100, 16, &pcm16(&stereo))).unwrap(), 8_192.0);
        let bytes: Vec<u8> = tone(16_000, 0.5).iter().map(|sample| (sample * 127.0 + 128.0) as u8).collect();
        assert_tone(&decode(&wav(PCM, 1, 16_000, 8, &bytes)).unwrap(), 16_384.0);
        let floats: Vec<u8> = tone(16_000, 0.5).iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_tone(&decode(&wav(FLOAT, 1, 16_000, 32, &floats)).unwrap(), 16_384.0);
        // The loudest byte of A-law is heard as the loudest of mu-law.
        let loud = decode(&wav(A_LAW, 1, 8_000, 8, &[0xAA; 80])).unwrap();
        assert_eq!(loud.decode(), [32_124; 80]);
    }

    #[test]
    fn a_mu_law_wav_of_8_khz_is_passed_on_byte_for_byte() {
        let bytes: Vec<u8> = (0..=u8::MAX).filter(|&byte| byte != 0x7F).collect();
        assert_eq!(decode(&wav(MU_LAW, 1, 8_000, 8, &bytes)).unwrap().as_bytes(), bytes);
    }

    #[test]
    fn mp3_files_are_decoded_with_and_without_a_tag() {
        assert_tone(&decode(MP3).unwrap(), 8_000.0);
        let mut tagged = b"ID3\x04\x00\x00\x00\x00\x10\x00".to_vec();
        tagged.resize(10 + 0x10 * 128, 0);
        tagged.extend(MP3);
        assert_tone(&decode(&tagged).unwrap(), 8_000.0);
    }

    #[test]
    fn a_recording_that_breaks_off_is_played_as_far_as_it_goes() {
        let whole = wav(PCM, 1, 8_000, 16, &pcm16(&tone(8_000, 0.5)));
        assert_eq!(decode(&whole[..46 + 1600]).unwrap().duration(), Duration::from_millis(100));
        let part = decode(&MP3[..MP3.len() / 2]).unwrap().duration();
        assert!((100..400).contains(&part.as_millis()), "{part:?}");
    }

    #[test]
    fn a_streamed_wav_that_does_not_know_its_length_is_decoded() {
        let mut file = wav(PCM, 1, 8_000, 16, &pcm16(&tone(8_000, 0.5)));
        file[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        file[42..46].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_tone(&decode(&file).unwrap(), 16_384.0);
    }

    #[test]
    fn what_is_no_recording_is_said_to_be_none() {
        for bytes in [b"".as_slice(), b"<html>not found</html>", &[0xFF; 4000], b"OggS\0\0\0", &[b' '; 100_000]] {
            assert!(matches!(decode(bytes), Err(DecodeError::Unrecognized)), "{:?}", decode(bytes));
        }
        assert!(matches!(decode(&wav(PCM, 1, 8_000, 16, &[])), Err(DecodeError::Empty)));
        assert!(matches!(
            decode(&wav(0x55AA, 1, 8_000, 16, &[0; 80])),
            Err(DecodeError::Unsupported(_) | DecodeError::Unrecognized)
        ));
    }

    #[test]
    fn too_much_is_refused() {
        let large = vec![0; INPUT_BYTES_MAX + 1];
        assert!(matches!(decode(&large), Err(DecodeError::TooLarge { .. })));
        let ten_minutes = vec![0xFF; 600 * 8_000];
        assert_eq!(decode(&wav(MU_LAW, 1, 8_000, 8, &ten_minutes)).unwrap().duration(), DURATION_MAX);
        let a_bit_more = vec![0xFF; 600 * 8_000 + 8_000];
        assert!(matches!(decode(&wav(MU_LAW, 1, 8_000, 8, &a_bit_more)), Err(DecodeError::TooLong)));
        assert!(matches!(decode(&wav(PCM, 9, 8_000, 16, &[0; 1800])), Err(DecodeError::Unsupported(_))));
        assert!(matches!(decode(&wav(PCM, 1, 500_000, 16, &[0; 1800])), Err(DecodeError::Unsupported(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn no_truncated_and_no_damaged_mp3_makes_it_panic(
            length in 0..MP3.len(),
            damage in prop::collection::vec((0..MP3.len(), any::<u8>()), 0..8),
        ) {
            let mut file = MP3.to_vec();
            for (at, byte) in damage {
                file[at] = byte;
            }
            file.truncate(length);
            let _ = decode(&file);
        }

        #[test]
        fn no_header_of_a_wav_makes_it_panic(
            format in prop_oneof![prop::sample::select(&[PCM, FLOAT, A_LAW, MU_LAW, 2, 0x11, 0xFFFE]), any::<u16>()],
            channels in prop_oneof![0..10_u16, any::<u16>()],
            rate in prop_oneof![Just(0), Just(8_000), Just(44_100), any::<u32>()],
            bits in prop_oneof![Just(0_u16), Just(4), Just(8), Just(16), Just(24), Just(32), Just(64)],
            damage in prop::collection::vec((0..46_usize, any::<u8>()), 0..4),
            length in 0..2000_usize,
        ) {
            let data: Vec<u8> = (0..2000_u16).map(|at| at.to_le_bytes()[0]).collect();
            let channels_in_range = channels.min(4000);
            let mut file = wav(format, channels_in_range, rate, bits.min(64), &data);
            file[22..24].copy_from_slice(&channels.to_le_bytes());
            for (at, byte) in damage {
                file[at] = byte;
            }
            file.truncate(length);
            let _ = decode(&file);
        }
    }
}
