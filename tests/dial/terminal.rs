//! The phone on a terminal: a pseudo-terminal of Python's, where there is Python.

use std::process::Command;

use super::{donate, in_order};

/// Types on a pseudo-terminal once the phone listens; prints what was seen, and how the terminal was left.
const TYPIST: &str = r#"
import os, pty, sys, termios, time
program, folder = sys.argv[1:3]
child, terminal = pty.fork()
if child == 0:
    os.environ.pop("NO_COLOR", None)
    os.environ["TERM"] = "xterm"
    os.execv(program, [program, "dial", "donate", "--flows", folder])
before = termios.tcgetattr(terminal)
seen, typed = b"", 0
scripts = [(b"card number.", b"42424242x4242?4242"), (b"expiration-date, attempt 1", b"1230"), (b"zip code.", b"q")]
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    seen += piece
    if typed < len(scripts) and scripts[typed][0] in seen:
        os.write(terminal, scripts[typed][1])
        typed += 1
try:
    after = termios.tcgetattr(terminal)
    restored = before[3] == after[3] and before[1] == after[1]
except termios.error:
    restored = "unknown"
_, status = os.waitpid(child, 0)
sys.stdout.buffer.write(seen)
print("\nrestored", restored, "status", os.waitstatus_to_exitcode(status))
"#;

#[test]
fn on_a_terminal_every_key_is_pressed_at_once_and_none_is_echoed() {
    let Ok(true) = Command::new("python3").arg("-c").arg("import pty").status().map(|status| status.success()) else {
        eprintln!("no Python with pseudo-terminals here: not tried");
        return;
    };
    let folder = donate();
    let output = Command::new("python3")
        .args(["-c", TYPIST, env!("CARGO_BIN_EXE_touchtone")])
        .arg(folder.path())
        .output()
        .unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{seen}", String::from_utf8_lossy(&output.stderr));
    in_order(
        &seen,
        &[
            "h, q or Ctrl-C hangs up",
            "Thank you for calling.",
            "speaking",
            "you",
            "••••••••••••",
            "captured: xxxxxxxxxxxx4242 visa",
            "expiration-date captured: 1230",
            "hang up",
            "finished: caller-hung-up",
            "caller: you hung up",
            "status 0",
        ],
    );
    assert!(seen.contains("\x1b[36m"), "colours on a terminal");
    assert!(!seen.contains("42424242"), "{seen}");
    assert!(!seen.contains("restored False"), "{seen}");
}
