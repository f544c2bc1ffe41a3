//! What a resampler keeps, and what it does not let through.

use std::f32::consts::TAU;

use proptest::prelude::*;

use super::*;
use crate::tone::Key;
use crate::tone::generate;

/// The rates of streams.
const STREAMS: [u32; 3] = [8_000, 16_000, 24_000];

fn sine(hertz: f32, rate: u32, seconds: f32) -> Vec<f32> {
    let length = (rate as f32 * seconds) as usize;
    (0..length).map(|at| 0.5 * (TAU * hertz * at as f32 / rate as f32).sin()).collect()
}

/// The sound as a whole.
fn resampled(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    in_chunks(samples, from, to, samples.len().max(1))
}

fn in_chunks(samples: &[f32], from: u32, to: u32, chunk: usize) -> Vec<f32> {
    let mut resampler = Resampler::new(from, to, ChunkLength::Live).unwrap();
    let mut made = Vec::new();
    for chunk in samples.chunks(chunk) {
        resampler.push(chunk, &mut made).unwrap();
    }
    resampler.finish(&mut made).unwrap();
    made
}

/// How loud a frequency is in the sound: the amplitude of its sine (Goertzel).
pub(crate) fn amplitude(samples: &[f32], hertz: f32, rate: u32) -> f32 {
    let step = f64::from(TAU * hertz / rate as f32);
    let (mut real, mut imaginary) = (0.0_f64, 0.0_f64);
    for (at, sample) in samples.iter().enumerate() {
        real += f64::from(*sample) * (step * at as f64).cos();
        imaginary += f64::from(*sample) * (step * at as f64).sin();
    }
    (2.0 * real.hypot(imaginary) / samples.len() as f64) as f32
}

fn decibels(amplitude: f32, of: f32) -> f32 {
    20.0 * (amplitude / of).log10()
}

/// All that is in the sound but the beginning and the end, where a filter rings.
fn middle(samples: &[f32]) -> &[f32] {
    &samples[samples.len() / 4..samples.len() * 3 / 4]
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
}

#[test]
fn a_key_s_tone_stays_that_key_s_tone_at_every_rate_of_a_stream() {
    const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
    const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    for (number, symbol) in "123A456B789C*0#D".chars().enumerate() {
        let key = generate::keys(&[Key::parse(symbol)]);
        let said: Vec<f32> = key[..800].iter().map(|sample| from_i16(*sample)).collect();
        for rate in &STREAMS[1..] {
            let there = resampled(&said, 8_000, *rate);
            let back = resampled(&there, *rate, 8_000);
            assert_eq!((there.len(), back.len()), (said.len() * *rate as usize / 8_000, said.len()));
            for (heard, at) in [(&there, *rate), (&back, 8_000)] {
                for (place, hertz) in ROWS.iter().chain(&COLUMNS).enumerate() {
                    let is_part = place == number / 4 || place == 4 + number % 4;
                    let change = decibels(amplitude(heard, *hertz, at), amplitude(&said, *hertz, 8_000));
                    if is_part {
                        assert!(change.abs() < 0.1, "{hertz} Hz of {symbol} at {at}: {change} dB");
                    }
                    let level = decibels(amplitude(heard, *hertz, at), 1.0);
                    assert_eq!(level > -20.0, is_part, "{hertz} Hz of {symbol} at {at}: {level} dB");
                }
            }
        }
    }
}

#[test]
fn what_a_rate_cannot_carry_is_60_db_below_where_it_would_fold_to() {
    for from in [16_000, 24_000] {
        for hertz in [4_000.0, 4_500.0, 5_303.0, 6_791.0, 7_209.0] {
            let made = resampled(&sine(hertz, from, 0.5), from, 8_000);
            let level = decibels(rms(middle(&made)), rms(&sine(hertz, from, 0.5)));
            assert!(level < -60.0, "{hertz} Hz at {from}: {level} dB");
        }
    }
    for to in [16_000, 24_000] {
        for hertz in [300.0, 1_000.0, 3_400.0] {
            let made = resampled(&sine(hertz, 8_000, 0.5), 8_000, to);
            let image = decibels(amplitude(middle(&made), 8_000.0 - hertz, to), 0.5);
            assert!(image < -60.0, "the image of {hertz} Hz at {to}: {image} dB");
        }
    }
}

#[test]
fn speech_keeps_its_level_and_its_place() {
    for from in STREAMS {
        for to in STREAMS {
            for hertz in [300.0, 1_000.0, 2_500.0, 3_400.0] {
                let made = resampled(&sine(hertz, from, 0.5), from, to);
                let wanted = sine(hertz, to, 0.5);
                assert_eq!(made.len(), wanted.len());
                let difference: Vec<f32> = made.iter().zip(&wanted).map(|(made, wanted)| made - wanted).collect();
                let off = decibels(rms(middle(&difference)), rms(&wanted));
                assert!(off < -40.0, "{hertz} Hz from {from} to {to}: off by {off} dB");
            }
        }
    }
}

#[test]
fn what_comes_in_is_out_within_the_latency_that_is_told() {
    for (from, to) in [(8_000, 16_000), (8_000, 24_000), (16_000, 8_000), (24_000, 8_000)] {
        let mut resampler = Resampler::new(from, to, ChunkLength::Live).unwrap();
        assert_eq!(resampler.latency(), Duration::from_millis(30));
        let (mut made, mut taken) = (Vec::new(), 0_usize);
        for chunk in sine(1_000.0, from, 1.0).chunks(37) {
            resampler.push(chunk, &mut made).unwrap();
            taken += chunk.len();
            let behind = taken as f64 / f64::from(from) - made.len() as f64 / f64::from(to);
            assert!((0.0..=0.030).contains(&behind), "{behind} s");
        }
    }
    assert_eq!(Resampler::new(8_000, 8_000, ChunkLength::Live).unwrap().latency(), Duration::ZERO);
}

#[test]
fn a_sound_after_another_is_as_if_there_had_been_none() {
    let (one, other) = (sine(440.0, 16_000, 0.1), sine(1_000.0, 16_000, 0.1));
    let mut resampler = Resampler::new(16_000, 8_000, ChunkLength::Live).unwrap();
    let mut made = Vec::new();
    resampler.push(&one, &mut made).unwrap();
    resampler.finish(&mut made).unwrap();
    assert_eq!(made.len(), 800);
    made.clear();
    resampler.push(&one[..700], &mut made).unwrap();
    resampler.reset();
    made.clear();
    resampler.push(&other, &mut made).unwrap();
    resampler.finish(&mut made).unwrap();
    assert_eq!(made, resampled(&other, 16_000, 8_000));
}

#[test]
fn a_rate_that_no_sound_has_is_refused() {
    for rate in [0, 1, 3_999, 192_001, u32::MAX] {
        assert_eq!(Resampler::new(rate, 8_000, ChunkLength::Live).unwrap_err(), ResampleError::Rate(rate));
        assert_eq!(Resampler::new(8_000, rate, ChunkLength::Live).unwrap_err(), ResampleError::Rate(rate));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn how_a_sound_was_cut_changes_nothing_of_it(
        samples in prop::collection::vec(-1.0_f32..1.0, 0..1500),
        chunk in 1_usize..700,
        from in prop::sample::select(&STREAMS[..]),
        to in prop::sample::select(&STREAMS[..]),
    ) {
        let whole = resampled(&samples, from, to);
        prop_assert_eq!(whole.len() as u64, (samples.len() as u64 * u64::from(to)).div_ceil(u64::from(from)));
        prop_assert_eq!(whole, in_chunks(&samples, from, to, chunk));
    }
}
