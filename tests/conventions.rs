//! What the tests themselves keep to: none of them sleeps. Each waits for what it needs (`support::wait`), or its time is virtual.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use std::path::{Path, PathBuf};

use regex::Regex;

/// Files and folders that let time pass, and why.
const MAY_SLEEP: &[(&str, &str)] = &[
    ("tests/support/wait.rs", "the helper itself: it looks again after a while"),
    ("tests/outage.rs", "how long a disk is locked and a process stopped: neither shows anything meanwhile"),
    ("tests/process.rs", "a caller's pause, as in tests/clients"),
    ("tests/memory.rs", "a caller's pause, as in tests/clients"),
    ("tests/kill/moments.rs", "the lengths of outages, and moments that chance draws"),
    ("tests/simulation/", "the time of a simulated world"),
    ("tests/clients/support.py", "a caller's pause: the server tells bursts of keys apart by its own clock"),
    ("tests/clients/support.mjs", "the same, and the limit of each wait"),
    ("tests/conventions.rs", "the words that are looked for"),
];

/// What lets time pass, in Rust, Python and JavaScript.
const SLEEPS: &str = r"\b(?:sleep|sleep_until|sleep_ms|park_timeout|setTimeout|real_time_passes)\(";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            if !path.ends_with("node_modules") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|kind| ["rs", "py", "js", "mjs", "cjs"].iter().any(|name| kind == *name))
        {
            files.push(path);
        }
    }
}

/// Every file of the tests and every file of the source, by its path in the repository.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&root().join("tests"), &mut files);
    collect(&root().join("src"), &mut files);
    files.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// Where the tests in a file begin. None: there are none.
fn tests_begin(name: &str, text: &str) -> Option<usize> {
    if name.starts_with("tests/") || name.contains("/tests/") || name.ends_with("tests.rs") {
        return Some(0);
    }
    Some(Regex::new(r"#\[cfg\(test\)\]\s+(?:#\[[^\]]*\]\s+)*mod \w+ \{").unwrap().find(text)?.start())
}

/// The lines of a file on which a test lets real time pass.
fn sleeps(name: &str, text: &str) -> Vec<String> {
    let Some(begin) = tests_begin(name, text) else { return Vec::new() };
    let (sleep, test) = (Regex::new(SLEEPS).unwrap(), Regex::new(r"#\[(?:tokio::)?test[^\]]*\]").unwrap());
    let tests: Vec<_> = test.find_iter(text).filter(|test| test.start() >= begin).collect();
    let is_virtual = |attribute: &str| attribute.contains("start_paused = true");
    // What stands before all tests is every test's that has a runtime.
    let is_shared_virtual = tests.iter().any(|test| is_virtual(test.as_str()))
        && tests.iter().all(|test| is_virtual(test.as_str()) || test.as_str() == "#[test]");
    let found = sleep.find_iter(text).filter(|sleep| sleep.start() >= begin).filter(|sleep| {
        let holds_its_thread = text[..sleep.start()].ends_with("thread::");
        let of = tests.iter().rfind(|test| test.start() < sleep.start());
        holds_its_thread || !of.map_or(is_shared_virtual, |test| is_virtual(test.as_str()))
    });
    found.map(|sleep| format!("{name}:{}", text[..sleep.start()].lines().count())).collect()
}

fn excuse(name: &str) -> Option<usize> {
    MAY_SLEEP.iter().position(|(place, _)| name == *place || (place.ends_with('/') && name.starts_with(place)))
}

#[test]
fn no_test_sleeps() {
    let files = files();
    let found: Vec<String> =
        files.iter().filter(|(name, _)| excuse(name).is_none()).flat_map(|(name, text)| sleeps(name, text)).collect();
    assert!(found.is_empty(), "wait for a condition (tests/support/wait.rs) or use virtual time: {found:#?}");
    let used: Vec<usize> = files
        .iter()
        .filter(|(name, text)| !sleeps(name, text).is_empty())
        .filter_map(|(name, _)| excuse(name))
        .collect();
    for (place, (name, why)) in MAY_SLEEP.iter().enumerate() {
        assert!(used.contains(&place), "{name} does not sleep any more ({why})");
    }
}

#[test]
fn a_sleep_is_found_wherever_a_test_has_one() {
    let body = "async fn it_waits() {\n    sleep(Duration::from_secs(1)).await;\n}\n";
    let (real, paused) = (format!("#[tokio::test]\n{body}"), format!("#[tokio::test(start_paused = true)]\n{body}"));
    assert_eq!(sleeps("tests/a.rs", &real), ["tests/a.rs:3"]);
    assert_eq!(sleeps("src/a/tests.rs", &format!("{paused}{real}")), ["src/a/tests.rs:7"]);
    assert_eq!(sleeps("src/a.rs", &format!("{body}#[cfg(test)]\nmod tests {{\n{real}}}")), ["src/a.rs:8"]);
    assert_eq!(sleeps("tests/a.rs", body), ["tests/a.rs:2"], "a helper of tests in real time");
    assert_eq!(sleeps("tests/a.rs", &paused.replace("sleep", "std::thread::sleep")), ["tests/a.rs:3"]);
    assert_eq!(sleeps("tests/a.py", "    time.sleep(1)\n"), ["tests/a.py:1"]);
    assert_eq!(sleeps("tests/a.rs", &paused), [""; 0], "its time is virtual");
    assert_eq!(sleeps("tests/a.rs", &format!("{body}{paused}#[test]\n")), [""; 0], "and so is its helpers'");
    assert_eq!(sleeps("src/a.rs", body), [""; 0], "the server may");
}

/// The longest a file may be: past that it is more than one thing.
const LINES_MAX: usize = 600;

#[test]
fn no_file_is_longer_than_can_be_read_at_once() {
    let long = files().into_iter().filter(|(name, _)| name.ends_with(".rs"));
    let long = long.map(|(name, text)| (name, text.lines().count())).filter(|(_, lines)| *lines > LINES_MAX);
    let long: Vec<(String, usize)> = long.collect();
    assert!(long.is_empty(), "{long:?}: split by subject");
}
