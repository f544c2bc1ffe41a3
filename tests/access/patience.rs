//! Requests: how large, and how long each part of one may take.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncWriteExt;
use tokio::time::{interval, timeout};
use touchtone::config::ConnectionLimits;

use crate::clients::{HEALTHZ, SHORT, all, connect, connect_narrow, one, say, server, until_counted};
use crate::support::certificates::Authority;
use crate::support::{ACCOUNT, TIME_LIMIT, TOKEN};

#[tokio::test]
async fn headers_that_are_too_large_or_too_many_are_told_so() {
    let server = server(&[], "", ConnectionLimits { head_max: 2000, ..ConnectionLimits::default() }).await;
    let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(2000));
    let endless = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(2_000_000));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: x\r\n".repeat(101));
    for (what, request) in [("long", long), ("endless", endless), ("many", many)] {
        let mut client = connect(server.address).await;
        say(&mut client, &request).await;
        let answer = all(&mut client).await;
        // Who sends on and on may find the connection reset before the answer is read.
        assert!(answer.starts_with("HTTP/1.1 431 ") || (what == "endless" && answer.is_empty()), "{what}: {answer}");
    }
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(2000));
    let mut client = connect(server.address).await;
    say(&mut client, &path).await;
    assert!(all(&mut client).await.starts_with("HTTP/1.1 431 "));
    assert_eq!(server.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn headers_have_to_come_in_time_byte_by_byte_or_not_at_all() {
    let server = server(&[], "", ConnectionLimits { head_time: SHORT, ..ConnectionLimits::default() }).await;
    let mut silent = connect(server.address).await;
    let mut halting = connect(server.address).await;
    say(&mut halting, "GET /healthz HTTP/1.1\r\nHost: ").await;
    assert_eq!((all(&mut silent).await, all(&mut halting).await), (String::new(), String::new()));
    let mut dripping = connect(server.address).await;
    let mut drops = interval(SHORT / 20);
    let drip = async {
        loop {
            drops.tick().await;
            if dripping.write_all(b"G").await.is_err() {
                break;
            }
        }
    };
    timeout(TIME_LIMIT, drip).await.expect("it went on and on");
    until_counted(server.address, "head").await;
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_more_is_closed() {
    let server = server(&[], "", ConnectionLimits { idle_time: SHORT, ..ConnectionLimits::default() }).await;
    let mut client = connect(server.address).await;
    for _ in 0..3 {
        say(&mut client, HEALTHZ).await;
        assert!(one(&mut client, "ok\n").await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(all(&mut client).await, "");
    until_counted(server.address, "idle").await;
}

#[tokio::test]
async fn the_second_request_s_headers_have_to_come_in_time_too() {
    let server = server(&[], "", ConnectionLimits { head_time: SHORT, ..ConnectionLimits::default() }).await;
    let mut client = connect(server.address).await;
    say(&mut client, HEALTHZ).await;
    one(&mut client, "ok\n").await;
    say(&mut client, "GET /healthz HT").await;
    assert_eq!(all(&mut client).await, "");
}

fn post(length: usize, begin: &str) -> String {
    let basic = STANDARD.encode(format!("{ACCOUNT}:{TOKEN}"));
    format!(
        "POST /2010-04-01/Accounts/{ACCOUNT}/Calls/CA1.json HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{begin}"
    )
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up_and_told_so() {
    let server = server(&[], "", ConnectionLimits { request_time: SHORT, ..ConnectionLimits::default() }).await;
    let mut client = connect(server.address).await;
    say(&mut client, &post(1000, "Status=comp")).await;
    let answer = all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("20408"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    until_counted(server.address, "request").await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_not_read_to_its_end() {
    let server = server(&[], "", ConnectionLimits::default()).await;
    let (mut reading, mut writing) = connect(server.address).await.into_split();
    say(&mut writing, &post(usize::MAX >> 1, "Status=")).await;
    let sending = async { while writing.write_all(&[b'x'; 10_000]).await.is_ok() {} };
    let (answer, sent) = tokio::join!(one(&mut reading, "}"), timeout(TIME_LIMIT, sending));
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("20413"), "{answer}");
    sent.expect("it read on and on");
}

#[tokio::test]
async fn who_does_not_take_its_answers_is_left() {
    let server = server(&[], "", ConnectionLimits { answer_time: SHORT, ..ConnectionLimits::default() }).await;
    let mut client = connect_narrow(server.address).await;
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    // Nothing is read meanwhile: first the system's buffers are full, then the server's, then this side's.
    let asking = async { while client.write_all(requests.as_bytes()).await.is_ok() {} };
    timeout(TIME_LIMIT, asking).await.expect("it went on answering");
    until_counted(server.address, "answer").await;
}

#[tokio::test]
async fn over_tls_everybody_is_held_to_the_same() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.certificate().write(folder.path());
    let limits = ConnectionLimits { head_max: 2000, head_time: SHORT, ..ConnectionLimits::default() };
    let server = server(&[], &files.toml(), limits).await;
    let mut halting = authority.connect(server.address).await;
    say(&mut halting, "GET /healthz HTTP/1.1\r\nHost: ").await;
    assert_eq!(all(&mut halting).await, "");
    let mut huge = authority.connect(server.address).await;
    say(&mut huge, &format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(2000))).await;
    assert!(all(&mut huge).await.starts_with("HTTP/1.1 431 "));
    let mut good = authority.connect(server.address).await;
    say(&mut good, HEALTHZ).await;
    assert!(one(&mut good, "ok\n").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_noticed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2024, 2, 29);
    let (cert_file, key_file) = (folder.path().join("old.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert_file, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let toml = format!("[tls]\ncert = {cert_file:?}\nkey = {key_file:?}");
    let _server = server(&[], &toml, ConnectionLimits::default()).await;
    let line = crate::log::line("expired at 2024-02-29").expect("nothing was said");
    assert!(line.contains("WARN") && line.contains("old.pem"), "{line}");
}
