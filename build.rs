//! Embeds the voices of SVOX Pico in the program.
//!
//! The crate ttspico-sys carries them as twelve files in its source folder and offers no way to ask where that is. So
//! cargo is asked where the crate lies, and a Rust file with an `include_bytes!` each is written for `speech::pico` to
//! include. Without the `shell` feature there is no speech, and nothing is done.
//!
//! `TOUCHTONE_PICO_VOICES` names the folder for builds that cannot ask cargo.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a build script asks the environment and tells cargo through stdout"
)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "shell")]
    voices::embed();
}

#[cfg(feature = "shell")]
mod voices {
    use cargo_metadata::MetadataCommand;
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    /// The folder of the voices, for those who know better than cargo.
    const FOLDER_VARIABLE: &str = "TOUCHTONE_PICO_VOICES";

    /// The crate that carries the voices, and where in it they lie.
    const CRATE: &str = "ttspico-sys";
    const FOLDER_IN_CRATE: &str = "build/pico/lang";

    /// The voices by the variant names of `speech::pico::PicoVoice`: text analysis and signal generation.
    const VOICES: [(&str, &str, &str); 6] = [
        ("EnglishUs", "en-US_ta.bin", "en-US_lh0_sg.bin"),
        ("EnglishGb", "en-GB_ta.bin", "en-GB_kh0_sg.bin"),
        ("German", "de-DE_ta.bin", "de-DE_gl0_sg.bin"),
        ("Spanish", "es-ES_ta.bin", "es-ES_zl0_sg.bin"),
        ("French", "fr-FR_ta.bin", "fr-FR_nk0_sg.bin"),
        ("Italian", "it-IT_ta.bin", "it-IT_cm0_sg.bin"),
    ];

    /// How cargo is asked: first without the network, and never so that it writes a lock file.
    const OFFLINE: &[&str] = &["--offline", "--locked"];
    const ONLINE: &[&str] = &["--locked"];

    pub(super) fn embed() {
        println!("cargo::rerun-if-env-changed={FOLDER_VARIABLE}");
        // Another version of the crate lies in another folder.
        println!("cargo::rerun-if-changed=Cargo.toml");
        if Path::new("Cargo.lock").exists() {
            println!("cargo::rerun-if-changed=Cargo.lock");
        }
        match folder().and_then(|folder| write(&folder)) {
            Ok(()) => {}
            Err(reason) => {
                let reason = reason.replace('\n', " ");
                println!("cargo::error=the voices of {CRATE} cannot be embedded: {reason}");
                println!(
                    "cargo::error=set {FOLDER_VARIABLE} to the folder {FOLDER_IN_CRATE} of {CRATE}'s source (`cargo fetch` \
                     brings it to this machine), or build the library alone with --no-default-features"
                );
            }
        }
    }

    /// Writes the file that `speech::pico` includes.
    fn write(folder: &Path) -> Result<(), String> {
        // `include_bytes!` would look for a relative path beside the file it stands in.
        let folder = fs::canonicalize(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut source = String::from("match voice {\n");
        for (voice, analysis, generation) in VOICES {
            let [analysis, generation] = [analysis, generation].map(|name| folder.join(name));
            for file in [&analysis, &generation] {
                if !file.is_file() {
                    return Err(format!("{} is missing", file.display()));
                }
                println!("cargo::rerun-if-changed={}", file.display());
            }
            source.push_str(&format!(
                "    PicoVoice::{voice} => VoiceFiles {{\n        analysis: include_bytes!({analysis:?}),\n        \
                 generation: include_bytes!({generation:?}),\n    }},\n"
            ));
        }
        source.push_str("}\n");
        let out = env::var_os("OUT_DIR").ok_or("cargo gave no OUT_DIR")?;
        fs::write(Path::new(&out).join("pico_voices.rs"), source).map_err(|error| error.to_string())
    }

    /// The folder of the voices.
    fn folder() -> Result<PathBuf, String> {
        if let Some(folder) = env::var_os(FOLDER_VARIABLE) {
            return Ok(PathBuf::from(folder));
        }
        // cargo metadata wants every package of the lock file, those of the tests included. Where only what is built
        // was brought (cargo install, a vendored dependency), all packages lie side by side.
        ask_cargo(OFFLINE).or_else(|_| beside_this_package().ok_or(())).or_else(|()| ask_cargo(ONLINE))
    }

    fn ask_cargo(flags: &[&str]) -> Result<PathBuf, String> {
        let mut options: Vec<String> = flags.iter().map(ToString::to_string).collect();
        if let Ok(target) = env::var("TARGET") {
            options.extend(["--filter-platform".to_owned(), target]);
        }
        let metadata = MetadataCommand::new()
            .manifest_path(env::var("CARGO_MANIFEST_DIR").map_err(|error| error.to_string())? + "/Cargo.toml")
            .other_options(options)
            .exec()
            .map_err(|error| format!("cargo metadata {}: {error}", flags.join(" ")))?;
        let package = metadata.packages.iter().find(|package| package.name.as_str() == CRATE);
        let manifest = &package.ok_or_else(|| format!("no package {CRATE}"))?.manifest_path;
        let root = manifest.parent().ok_or("a manifest without a folder")?;
        Ok(root.join(FOLDER_IN_CRATE).into_std_path_buf())
    }

    fn beside_this_package() -> Option<PathBuf> {
        let packages = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
        let mut folders: Vec<PathBuf> = fs::read_dir(packages.parent()?)
            .ok()?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(CRATE)))
            .map(|path| path.join(FOLDER_IN_CRATE))
            .filter(|folder| folder.is_dir())
            .collect();
        folders.sort();
        folders.pop()
    }
}
