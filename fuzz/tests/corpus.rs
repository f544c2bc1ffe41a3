//! The committed inputs of every fuzz target, replayed without a fuzzer.
#![allow(clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use touchtone_fuzz::TARGETS;

fn names(folder: &str) -> BTreeSet<OsString> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<OsString> = TARGETS.iter().map(|(name, _)| name.into()).collect();
    let programs: BTreeSet<OsString> = TARGETS.iter().map(|(name, _)| format!("{name}.rs").into()).collect();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), programs);
}

#[test]
fn every_committed_input_holds() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut files = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display()); // the last line of a failure says which
            target(&std::fs::read(&path).unwrap());
            files += 1;
        }
        assert!(files > 0, "{name} has no inputs");
    }
}

#[test]
fn every_kind_of_connector_brings_replies_that_hold() {
    for kind in touchtone::connector::KINDS {
        for touchtone::connector::kind::Sample { reader, status, body } in kind.samples {
            for words in ["", "token", "bank", "retry", "cut"] {
                println!("{}:{reader} {status} {words}", kind.name);
                let input = format!("{status} {}:{reader} {words}\n{body}", kind.name);
                touchtone_fuzz::gateway_answers(input.as_bytes());
            }
        }
    }
}
