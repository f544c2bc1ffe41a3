//! Every command in README.md, run as it stands there; and the files and commands that CONTRIBUTING.md names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests live in the real world"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use touchtone::connector::KINDS;

/// Commands that are not run here, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("git clone", "this is the clone; what follows in it is run"),
    ("tests/run", "it runs this very test"),
    ("cargo run --release -- dial donate", "waits for a person's keys: run below with none"),
];

/// The lines of every `sh` block.
fn commands() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).filter(|line| !line.trim().is_empty()).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder as a fresh clone is: with the flows, without anything a server left behind.
fn clone() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(root().join("flows")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    folder
}

fn shell(command: &str, folder: &Path) -> Command {
    let mut shell = Command::new("bash");
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_touchtone"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    shell.args(["-euo", "pipefail", "-c", command]).current_dir(folder).env("PATH", path).env_remove("RUST_LOG");
    shell
}

#[test]
fn every_command_of_the_readme_works() {
    let folder = clone();
    let commands = commands();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in &commands {
        if NOT_RUN.iter().any(|(known, _)| command.starts_with(known)) {
            continue;
        }
        if command.contains(" serve") {
            serves(command, folder.path());
            continue;
        }
        let output = shell(command, folder.path()).stdin(Stdio::null()).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}\n{said}");
        assert!(!said.is_empty(), "{command} says nothing");
    }
}

#[test]
fn the_first_command_calls_a_flow_that_needs_nothing() {
    let output = shell("touchtone dial donate", clone().path()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("How many dollars"), "{said}");
}

#[test]
fn the_pipe_of_the_readme_pays() {
    let pipe = commands().into_iter().find(|command| command.starts_with("printf")).expect("a payment through a pipe");
    let output = shell(&pipe, clone().path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("success"), "{said}");
    assert!(!said.contains("4242424242424242"), "{said}");
}

#[test]
fn every_promise_of_the_readme_names_a_command_that_tries_it() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let table = text.split("## What is promised").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() >= 10, "{rows:?}");
    let folder = clone();
    for row in rows {
        let command = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap().trim().trim_matches('`');
        if let Some(test) = command.strip_prefix("cargo test --test ") {
            // What this very run of the tests runs too.
            assert!(root().join(format!("tests/{test}.rs")).is_file(), "{row}");
        } else if command.starts_with("touchtone ") {
            let output = shell(command, folder.path()).output().unwrap();
            assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
        } else {
            // Steps of their own in tests/run.
            let steps = std::fs::read_to_string(root().join("tests/run")).unwrap();
            assert!(steps.contains(command.trim_start_matches("cd fuzz && ").trim_end_matches(" test")), "{row}");
        }
    }
}

/// Files in backticks are there, tests by name too, and what the binary is asked for works.
#[test]
fn what_contributors_are_told_to_read_and_run_is_there() {
    let text = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let folder = clone();
    let mut seen = 0;
    for quoted in text
        .replace("```sh\n", "`")
        .replace("```", "`")
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::trim)
        .filter(|quoted| !quoted.contains("<Pay>"))
    {
        let words: Vec<&str> = quoted.split_whitespace().collect();
        if let Some(place) = words.iter().position(|word| *word == "--test") {
            assert!(root().join(format!("tests/{}.rs", words[place + 1])).is_file(), "{quoted}");
        } else if let Some(place) = words.iter().position(|word| *word == "--bench") {
            assert!(root().join(format!("benches/{}.rs", words[place + 1])).is_file(), "{quoted}");
        } else if words.first() == Some(&"touchtone") {
            let output = shell(quoted, folder.path()).output().unwrap();
            assert!(output.status.success(), "{quoted}\n{}", String::from_utf8_lossy(&output.stderr));
        } else if ["src/", "tests/", "flows/", "benches/"].iter().any(|start| quoted.starts_with(start)) {
            assert!(root().join(words[0]).exists(), "{quoted}");
        } else {
            continue;
        }
        seen += 1;
    }
    assert!(seen > 30, "{seen} paths and commands");
}

/// What README.md says of each kind of connector is what the kind says of itself.
#[test]
fn every_kind_of_connector_is_described_in_its_own_words() {
    let path = root().join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("<!-- What follows is each kind's own README.md").unwrap();
    let (head, rest) = rest.split_once("-->\n\n").unwrap();
    let (found, after) = rest.split_once("\n<!-- The end of the kinds. -->").unwrap();
    let wanted: String = KINDS.iter().map(|kind| kind.documentation).collect();
    if std::env::var_os("TESTS_BLESS").is_some() {
        let start = "<!-- What follows is each kind's own README.md";
        let end = "\n<!-- The end of the kinds. -->";
        std::fs::write(&path, format!("{before}{start}{head}-->\n\n{wanted}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(found, wanted, "TESTS_BLESS=1 cargo test --test readme writes it");
}

/// Starts a server and waits until it says where it listens.
fn serves(command: &str, folder: &Path) {
    // Its own free port: two tests may run at once.
    let mut child = shell(&format!("exec {command} --listen 127.0.0.1:0"), folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let listens = lines.map_while(Result::ok).any(|line| line.starts_with("listening on http://127.0.0.1:"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(listens, "{command} does not listen");
}
