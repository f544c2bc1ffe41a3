//! The bodies of the fuzz targets: plain functions that panic when a promise of `touchtone` is broken.
//!
//! Search for new inputs (nightly):    `cargo +nightly fuzz run media_frames`
//! Replay the committed ones (stable): `cargo test --manifest-path fuzz/Cargo.toml`
//! Replay one file (stable):           `cargo run --manifest-path fuzz/Cargo.toml --bin media_frames -- FILE`
//!
//! A further target is: its function in a file here and a row in [`TARGETS`], a file in `fuzz_targets/` and its `[[bin]]`,
//! a folder of its name in `corpus/`. `tests/corpus.rs` fails while one of them is missing.

mod configuration;
mod gateway_answers;
mod media_frames;
mod pay_keys;
mod rest_forms;
mod scripts;
mod twiml;

pub use configuration::configuration;
pub use gateway_answers::gateway_answers;
pub use media_frames::media_frames;
pub use pay_keys::pay_keys;
pub use rest_forms::rest_forms;
pub use scripts::scripts;
pub use twiml::twiml;

/// A target: what must hold for every input.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("configuration", configuration),
    ("gateway_answers", gateway_answers),
    ("media_frames", media_frames),
    ("pay_keys", pay_keys),
    ("rest_forms", rest_forms),
    ("scripts", scripts),
    ("twiml", twiml),
];

/// The program of a target: under cargo-fuzz the fuzzer, otherwise a replay of the files it is given.
#[cfg(fuzzing)]
#[macro_export]
macro_rules! target {
    ($function:ident) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$function(data));
    };
}

/// The program of a target: under cargo-fuzz the fuzzer, otherwise a replay of the files it is given.
#[cfg(not(fuzzing))]
#[macro_export]
macro_rules! target {
    ($function:ident) => {
        #[allow(clippy::disallowed_methods, reason = "a program that reads files and waits for nothing")]
        fn main() -> std::io::Result<()> {
            for file in std::env::args_os().skip(1) {
                $crate::$function(&std::fs::read(file)?);
            }
            Ok(())
        }
    };
}
