//! The longest time that a worker is held at once while calls pay: a server in this process, callers over loopback.
//!
//! `cargo bench --bench blocked -- [CALLERS] [SECONDS]`; 100 callers and ten seconds if nothing is said. Each caller pays one
//! call after the other and sends sound all the while, as platforms do. Printed: calls, and the longest poll by kind of task.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, reason = "a benchmark stops when it cannot go on")]
#![allow(clippy::disallowed_methods, reason = "a benchmark lives in real time")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use touchtone::account::Account;
use touchtone::blocking;
use touchtone::config::Config;
use touchtone::server::Server;

const FLOW: &str = "<Response><Say>Welcome.</Say><Play digits=\"1w2w3\"/><Say loop=\"20\">Please hold the line.</Say>\
                    <Pay chargeAmount=\"20.45\" timeout=\"2\"/><Say>Thank you.</Say></Response>";

/// The entries of a payment.
const ENTRIES: [&str; 4] = ["4242424242424242", "1228", "94111", "123"];

/// How often a platform sends sound, in milliseconds.
const FRAME_MS: u64 = 20;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let (callers, seconds) = (numbers.next().unwrap_or(100), numbers.next().unwrap_or(10));
    touchtone::http::install_crypto_provider();
    let folder = tempfile::tempdir().expect("a folder");
    let flows = folder.path().join("flows");
    std::fs::create_dir_all(&flows).expect("a folder");
    std::fs::write(flows.join("pay.xml"), FLOW).expect("a flow");
    let file = folder.path().join("touchtone.toml");
    let data = folder.path().join("data");
    std::fs::write(&file, format!("listen = \"127.0.0.1:0\"\nflows = {flows:?}\ndata = {data:?}\n")).expect("a file");
    let config = Config::load(Some(&file)).expect("a configuration");
    let account = Account::open(&config).expect("an account");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let paid = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let server = Server::open(config, account).await.expect("a server");
        let address = server.address();
        tokio::spawn(server.run(std::future::pending(), Duration::ZERO));
        let until = Instant::now() + Duration::from_secs(seconds);
        let calling: Vec<_> =
            (0..callers).map(|caller| tokio::spawn(calls(address, caller, until, Arc::clone(&paid)))).collect();
        for caller in calling {
            caller.await.expect("a caller");
        }
    });
    println!("{callers} callers, {seconds} s: {} calls", paid.load(Ordering::Relaxed));
    for (kind, longest) in blocking::longest() {
        println!("longest poll of a {kind}: {longest:?}");
    }
    runtime.shutdown_background();
}

/// One caller's calls.
async fn calls(address: SocketAddr, caller: u64, until: Instant, paid: Arc<AtomicU64>) {
    for number in 0_u64.. {
        if Instant::now() >= until {
            return;
        }
        if timeout(Duration::from_secs(60), call(address, &format!("CA{caller}n{number}"))).await.is_ok_and(|over| over)
        {
            paid.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One call: marks come back at once, a group of keys is pressed after each of the payment's prompts. Whether the server ended it.
async fn call(address: SocketAddr, sid: &str) -> bool {
    let url = format!("ws://{address}/media/twilio/pay");
    let Ok((socket, _)) = tokio_tungstenite::connect_async(url).await else { return false };
    let (mut sink, mut source) = socket.split();
    let start = format!(r#"{{"event":"start","start":{{"streamSid":"MZ{sid}","callSid":"{sid}"}}}}"#);
    if sink.send(Message::text(start)).await.is_err() {
        return false;
    }
    let sound = format!(r#"{{"event":"media","media":{{"track":"inbound","payload":"{}"}}}}"#, "/".repeat(216));
    let mut frames = interval(Duration::from_millis(FRAME_MS));
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut turns = 0_usize;
    loop {
        tokio::select! {
            message = source.next() => {
                let Some(Ok(message)) = message else { return true };
                let Ok(text) = message.to_text() else { continue };
                if !text.starts_with(r#"{"event":"mark""#) {
                    continue;
                }
                // A mark is echoed as it came. The first three turns are words and keys, the next four ask for something.
                let mut answers = vec![text.to_owned()];
                let entry = ENTRIES.get(turns.saturating_sub(3)).filter(|_| turns >= 3);
                answers.extend(entry.into_iter().flat_map(|keys| keys.chars()).map(|key| {
                    format!(r#"{{"event":"dtmf","dtmf":{{"digit":"{key}"}}}}"#)
                }));
                turns += 1;
                for answer in answers {
                    if sink.send(Message::text(answer)).await.is_err() {
                        return true;
                    }
                }
            }
            _ = frames.tick() => {
                if sink.send(Message::text(sound.clone())).await.is_err() {
                    return true;
                }
            }
        }
    }
}
