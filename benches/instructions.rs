//! How many instructions the machine needs for a payment, a frame of sound each way, and a document: a count that other work
//! on the same computer does not disturb.
//!
//! `cargo bench --bench instructions` runs itself under Valgrind's callgrind, twice for each, and divides the difference: what
//! the process needs to start is not counted. Compare the figures of two commits.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, reason = "a benchmark stops when it cannot go on")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark starts a process")]

use std::hint::black_box;
use std::process::Command;

use touchtone::flow::Ended;
use touchtone::media::{Incoming, MediaCommand, MediaSession, MuLaw, UpgradeRequest, twilio};
use touchtone::time::CallTime;
use touchtone::twiml;

#[path = "support/payment.rs"]
mod payment;

use payment::{PAY, document, payment};

const START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"streamSid":"MZ1","accountSid":"AC1","callSid":"CA1",
    "tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{}},
    "streamSid":"MZ1"}"#;

/// What is counted, and the fewer of the two numbers of times that it is done.
const KINDS: [(&str, u32); 3] = [("payment", 200), ("frame", 2000), ("document", 2000)];

fn work(kind: &str, times: u32) {
    let document = document();
    let request = UpgradeRequest { path: "/media/twilio/pay", query: None, headers: &[], call_sid: "CA1" };
    let mut stream = MediaSession::open(&twilio::DIALECT, &request).expect("the upgrade is good");
    stream.handle_message(CallTime::ZERO, Incoming::Text(START)).expect("the start is good");
    let sound = [0x7f_u8; 160];
    // 160 bytes in base64, as a platform sends 20 ms.
    let payload = format!("{}fw==", "f39/".repeat(53));
    let media = format!(
        r#"{{"event":"media","sequenceNumber":"3","media":{{"track":"inbound","chunk":"1","timestamp":"5","payload":"{payload}"}},"streamSid":"MZ1"}}"#
    );
    for _ in 0..times {
        match kind {
            "payment" => assert_eq!(payment(black_box(&document)), Some(Ended::EndOfDocument)),
            "frame" => {
                let message = Incoming::Text(black_box(&media));
                black_box(stream.handle_message(CallTime::ZERO, message).expect("the message is good"));
                let sound = MediaCommand::Audio(MuLaw(black_box(&sound)));
                stream.handle_command(CallTime::ZERO, sound).expect("the stream runs");
                while let Some(frame) = stream.poll_frame() {
                    black_box(frame);
                }
            }
            _ => drop(black_box(twiml::parse(black_box(PAY)))),
        }
    }
}

/// The instructions that a run of this program needs.
fn instructions(kind: &str, times: u32) -> u64 {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([kind, &times.to_string()])
        .output()
        .expect("valgrind is installed");
    let told = String::from_utf8_lossy(&output.stderr);
    let counted = told.lines().find_map(|line| line.split_once("Collected :")).expect("callgrind's count");
    counted.1.trim().parse().expect("a number")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, times] = arguments.as_slice() {
        return work(kind, times.parse().expect("a number of times"));
    }
    for (kind, times) in KINDS {
        let more = instructions(kind, 2 * times) - instructions(kind, times);
        println!("a {kind}: {} instructions", more / u64::from(times));
    }
}
