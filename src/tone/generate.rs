//! Makes tones: the keys of `<Play digits>`, and a beep for what could not be said.
//!
//! Shape:   keys in, samples out: 8 kHz, 16-bit, mono.
//! Units:   levels are dBm0, where a sine of 0 dBm0 peaks 3.17 dB below the loudest that mu-law can carry (ITU-T
//!          G.711).
//! Limits:  the loudest sample is some 17,900 of 32,635: nothing is clipped by mu-law.
//! Secrets: the samples tell the keys. Keys that come from a document are no secret; keys of a caller are never played.
//! Sources: ITU-T Q.23 (frequencies); ETSI ES 201 235-2 (the high group is sent louder, by 1 to 4 dB); Twilio `<Play>`
//!          `digits` (`w` is half a second of silence).

use super::{Key, Letter};
use crate::audio::SAMPLE_RATE;
use std::f64::consts::TAU;

/// The most keys that one `<Play>` has, as it is written. Chosen here: a number to be dialed has a quarter of it.
pub const KEYS_MAX: usize = 64;

/// The longest that one `<Play>` of keys sounds, without its `loop`, in milliseconds. Chosen here.
pub const LENGTH_MAX_MS: u32 = 30_000;

/// How long a key sounds. ITU-T Q.24 asks receivers to take 40 ms; Twilio does not say what it sends.
const KEY_MS: u32 = 100;

/// The silence after a key.
const GAP_MS: u32 = 100;

/// The silence of a `w`.
const WAIT_MS: u32 = 500;

/// How long a tone takes to swell and to fade, so that it does not click. Chosen by ear.
const RAMP_MS: u32 = 2;

/// The peak of a sine of 0 dBm0: 32,124, the outermost level of mu-law, less 3.17 dB.
const PEAK_0_DBM0: f64 = 22_300.0;

/// The level of a key's low tone, dBm0.
const LOW_DBM0: f64 = -9.0;

/// The level of a key's high tone, dBm0.
// 2 dB above the low one: ETSI ES 201 235-2 allows 1 to 4.
const HIGH_DBM0: f64 = -7.0;

/// The beep: no frequency of Q.23, so that no receiver takes it for a key.
const BEEP: Sine = Sine { hertz: 440.0, dbm0: -10.0 };

/// How long the beep is.
const BEEP_MS: u32 = 400;

/// One sine of a tone.
#[derive(Clone, Copy)]
struct Sine {
    hertz: f64,
    dbm0: f64,
}

/// How long `key` lasts among [`keys`], in milliseconds.
#[must_use]
pub const fn length_ms(key: Option<Key>) -> u32 {
    match key {
        Some(_) => KEY_MS + GAP_MS,
        None => WAIT_MS,
    }
}

/// What dialling `keys` sounds like. A key is 100 ms of tone and 100 ms of silence; `None` is half a second of silence,
/// which Twilio writes `w`.
#[must_use]
pub fn keys(keys: &[Option<Key>]) -> Vec<i16> {
    let mut samples = Vec::new();
    for key in keys {
        match key {
            Some(key) => {
                let (low, high) = frequencies(*key);
                let sines = [Sine { hertz: low, dbm0: LOW_DBM0 }, Sine { hertz: high, dbm0: HIGH_DBM0 }];
                push_tone(&mut samples, &sines, KEY_MS);
                push_silence(&mut samples, GAP_MS);
            }
            None => push_silence(&mut samples, WAIT_MS),
        }
    }
    samples
}

/// A short beep: says that something should be heard here and could not be made.
#[must_use]
pub fn beep() -> Vec<i16> {
    let mut samples = Vec::new();
    push_tone(&mut samples, &[BEEP], BEEP_MS);
    samples
}

/// The two frequencies of a key, in hertz: its row and its column (ITU-T Q.23, table 1).
const fn frequencies(key: Key) -> (f64, f64) {
    match key {
        Key::Digit(digit) => match digit.ascii() {
            b'1' => (697.0, 1209.0),
            b'2' => (697.0, 1336.0),
            b'3' => (697.0, 1477.0),
            b'4' => (770.0, 1209.0),
            b'5' => (770.0, 1336.0),
            b'6' => (770.0, 1477.0),
            b'7' => (852.0, 1209.0),
            b'8' => (852.0, 1336.0),
            b'9' => (852.0, 1477.0),
            // Zero: a digit has no other value left.
            _ => (941.0, 1336.0),
        },
        Key::Star => (941.0, 1209.0),
        Key::Pound => (941.0, 1477.0),
        Key::Letter(Letter::A) => (697.0, 1633.0),
        Key::Letter(Letter::B) => (770.0, 1633.0),
        Key::Letter(Letter::C) => (852.0, 1633.0),
        Key::Letter(Letter::D) => (941.0, 1633.0),
    }
}

fn push_silence(samples: &mut Vec<i16>, length_ms: u32) {
    samples.extend((0..samples_in(length_ms)).map(|_| 0));
}

fn push_tone(samples: &mut Vec<i16>, sines: &[Sine], length_ms: u32) {
    let (length, ramp) = (samples_in(length_ms), samples_in(RAMP_MS));
    samples.extend((0..length).map(|at| {
        let seconds = f64::from(at) / f64::from(SAMPLE_RATE);
        let sum: f64 = sines.iter().map(|sine| sine.peak() * (TAU * sine.hertz * seconds).sin()).sum();
        let to_edge = at.min(length - 1 - at);
        let loudness = (f64::from(to_edge) / f64::from(ramp)).min(1.0);
        // `as` clips at the ends of i16, which the levels above stay far from.
        (sum * loudness).round() as i16
    }));
}

const fn samples_in(length_ms: u32) -> u32 {
    length_ms * (SAMPLE_RATE / 1000)
}

impl Sine {
    fn peak(self) -> f64 {
        PEAK_0_DBM0 * 10_f64.powf(self.dbm0 / 20.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio;

    /// The eight frequencies of Q.23, the rows first.
    const ALL: [f64; 8] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];

    /// The keypad as Q.23 draws it: a line a row, a place a column.
    const KEYPAD: [&str; 4] = ["123A", "456B", "789C", "*0#D"];

    #[test]
    fn each_key_sounds_its_row_and_its_column_and_nothing_else() {
        for (row, keys_of_row) in KEYPAD.iter().enumerate() {
            for (column, symbol) in keys_of_row.chars().enumerate() {
                // As the listener hears it: through mu-law.
                let made = keys(&[Key::parse(symbol)]);
                let heard = audio::decode(&audio::encode(&made));
                let tone = &heard[..800];
                let power: Vec<f64> = ALL.iter().map(|&hertz| goertzel(tone, hertz)).collect();
                let (right, wrong): (Vec<_>, Vec<_>) =
                    power.iter().enumerate().partition(|(number, _)| *number == row || *number == column + 4);
                let quietest = right.iter().map(|(_, power)| **power).fold(f64::INFINITY, f64::min);
                let loudest = wrong.iter().map(|(_, power)| **power).fold(0.0, f64::max);
                // 20 dB apart: neighbouring rows are only 73 Hz apart and the tone lasts 100 ms.
                assert!(quietest > 100.0 * loudest, "{symbol}: {power:?}");
                let total: f64 = tone.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / 800.0;
                let two: f64 = right.iter().map(|(_, power)| **power).sum();
                assert!(two > 0.9 * total, "{symbol}: {two} of {total}");
            }
        }
    }

    #[test]
    fn a_key_is_100_ms_of_tone_and_100_ms_of_silence_and_a_wait_is_half_a_second() {
        let made = keys(&[Key::parse('5'), None, Key::parse('#')]);
        assert_eq!(made.len(), (200 + 500 + 200) * 8);
        assert!(rms(&made[..800]) > 5000.0);
        assert!(made[800..1600].iter().all(|&sample| sample == 0));
        assert!(made[1600..5600].iter().all(|&sample| sample == 0));
        assert!(rms(&made[5600..6400]) > 5000.0);
        assert!(keys(&[]).is_empty());
        for key in [Key::parse('5'), None] {
            assert_eq!(keys(&[key]).len(), usize::try_from(length_ms(key) * 8).unwrap());
        }
    }

    #[test]
    fn the_high_tone_is_one_to_four_db_louder_and_nothing_clips() {
        for symbol in "0123456789*#ABCD".chars() {
            let key = Key::parse(symbol).unwrap();
            let made = keys(&[Some(key)]);
            let (low, high) = frequencies(key);
            let twist = 10.0 * (goertzel(&made[..800], high) / goertzel(&made[..800], low)).log10();
            assert!((1.0..4.0).contains(&twist), "{symbol}: {twist} dB");
            assert!(made.iter().all(|&sample| sample.unsigned_abs() < 20_000));
        }
    }

    #[test]
    fn the_beep_is_audible_and_no_key() {
        let made = beep();
        assert_eq!(made.len(), 400 * 8);
        assert!(rms(&made) > 4000.0);
        assert!(
            goertzel(&made, 440.0) > 10_000.0 * ALL.iter().map(|&hertz| goertzel(&made, hertz)).fold(0.0, f64::max)
        );
    }

    fn rms(samples: &[i16]) -> f64 {
        (samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    /// The mean power of `samples` at `hertz` (Goertzel's algorithm; a Hann window keeps neighbours apart).
    fn goertzel(samples: &[i16], hertz: f64) -> f64 {
        let omega = TAU * hertz / f64::from(SAMPLE_RATE);
        let length = samples.len() as f64;
        let (mut before, mut last) = (0.0, 0.0);
        for (at, &sample) in samples.iter().enumerate() {
            let window = 1.0 - (TAU * at as f64 / length).cos();
            let next = f64::from(sample) * window + 2.0 * omega.cos() * last - before;
            (before, last) = (last, next);
        }
        let power = before * before + last * last - 2.0 * omega.cos() * before * last;
        2.0 * power / (length * length)
    }
}
