//! Call scripts: what can be read is run, comes out the same twice, and can be written again.
//!
//! Flows are those of this repository. Blessing is writing: a script with what happened in it reads as the same script, and what
//! it expects then happens.

use std::path::Path;

use touchtone::fuzzing::blessed;
use touchtone::library::Library;
use touchtone::replay::{Requests, Script, ScriptOutcome, run};

/// The longest script that is run, in bytes: longer ones only take longer.
const SIZE_MAX: usize = 8 * 1024;

/// Reads and runs `data`.
pub fn scripts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let script = match Script::parse(text) {
        Ok(script) if text.len() <= SIZE_MAX => script,
        Ok(_) => return,
        Err(error) => return assert!(!error.is_empty()),
    };
    let library = Library::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../flows"));
    let outcome = run(&script, &library, Requests::Some);
    assert_eq!(shown(&run(&script, &library, Requests::Some)), shown(&outcome), "another run, another call");
    let Ok(written) = blessed(text, &script, &library) else { return };
    let again = Script::parse(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
    let replayed = run(&again, &library, Requests::Exact);
    assert_eq!(replayed.trace, outcome.trace, "written, it is another call\n{written}");
    let new: Vec<&String> = replayed.failures.iter().filter(|failure| !outcome.failures.contains(failure)).collect();
    assert!(new.is_empty(), "what happened is not what is expected: {new:?}\n{written}");
    assert_eq!(blessed(&written, &again, &library), Ok(written), "blessed twice");
}

/// All that an outcome shows.
fn shown(outcome: &ScriptOutcome) -> String {
    format!("{outcome:?}")
}
