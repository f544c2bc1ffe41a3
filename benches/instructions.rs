//! How many instructions the machine needs for a payment, a frame of sound each way, and a document: a count that other work
//! on the same computer does not disturb.
//!
//! `cargo bench --bench instructions` runs itself under Valgrind's callgrind, twice for each, and divides the difference: what
//! the process needs to start is not counted. Compare the figures of two commits.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, reason = "a benchmark stops when it cannot go on")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark starts a process")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use touchtone::flow::link::{Origin, PlainHttp};
use touchtone::flow::{Context, Ended, Fetch, Fetched, NextDocument};
use touchtone::form::Form;
use touchtone::media::{Incoming, MediaCommand, MediaSession, MuLaw, UpgradeRequest, twilio};
use touchtone::pay::gateway::{Capabilities, Instrument, PaymentRequest};
use touchtone::pay::platform::Platform;
use touchtone::pay::sandbox;
use touchtone::pay::submission::{Question, Reply};
use touchtone::simulate::{Simulation, World, sandbox_reply};
use touchtone::time::CallTime;
use touchtone::tone::Key;
use touchtone::twiml;

const PAY: &str = "<Response><Say>Welcome.</Say><Gather numDigits='1' timeout='2'><Say>Press 1.</Say></Gather>\
                   <Pay chargeAmount='20.45' maxAttempts='2' statusCallback='https://example.com/status'/>\
                   <Say>Thank you.</Say></Response>";

const START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"streamSid":"MZ1","accountSid":"AC1","callSid":"CA1",
    "tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{}},
    "streamSid":"MZ1"}"#;

/// What is counted, and the fewer of the two numbers of times that it is done.
const KINDS: [(&str, u32); 3] = [("payment", 200), ("frame", 2000), ("document", 2000)];

/// A world with the sandbox and nothing else.
struct Sandbox;

impl World for Sandbox {
    fn connector(&mut self, _: &str) -> Option<Capabilities> {
        Some(sandbox::capabilities())
    }

    fn gateway(
        &mut self,
        question: &Question,
        payment_request: &PaymentRequest,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)> {
        Some((Duration::from_millis(800), sandbox_reply(question, payment_request, instrument)))
    }

    fn document(&mut self, _: &Fetch) -> (Duration, Fetched) {
        (Duration::ZERO, Fetched::NotAsked)
    }
}

fn context() -> Context {
    Context {
        account_sid: "AC1".into(),
        call_sid: "CA1".into(),
        caller: Form::new(),
        parameters: BTreeMap::new(),
        answered_at: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        answered_at_utc: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        seed: 1,
        platform: Platform::Twilio,
        plain_http: PlainHttp::Never,
    }
}

/// A caller who waits for each prompt and keys in what is asked for.
fn payment(document: &NextDocument) -> Option<Ended> {
    let mut call = Simulation::start(Ok(document.clone()), context(), Sandbox);
    for keys in ["1", "4242424242424242", "1228", "94111", "123"] {
        while !call.call().is_listening() && call.step() {}
        for key in keys.chars().filter_map(Key::parse) {
            call.press(key);
            call.advance_to(call.now() + Duration::from_millis(100));
        }
    }
    call.run_to_end();
    call.ended()
}

fn work(kind: &str, times: u32) {
    let document = twiml::parse(PAY).expect("the document is good");
    let document = NextDocument { document, origin: Origin::Flow("bench".into()) };
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
