//! `--live`: requests are really sent, to a server of this test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use super::{flows, in_order, shown, touchtone, typed};

/// A request as the application sees it.
struct Request {
    path: String,
    headers: String,
    body: String,
}

/// An application that answers `/action` with a document, everything else with nothing.
fn application() -> (u16, mpsc::Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Some(request) = read(stream.as_ref().unwrap()) else { continue };
            let answer = if request.path == "/action" { "<Response><Say>Well done.</Say></Response>" } else { "" };
            let length = answer.len();
            let _ = write!(
                stream.unwrap(),
                "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{answer}"
            );
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (port, receiver)
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut headers = String::new();
    while !headers.ends_with("\r\n\r\n") && headers != "\r\n" {
        if reader.read_line(&mut headers).ok()? == 0 {
            return None;
        }
    }
    let headers = headers.to_ascii_lowercase();
    let length = headers.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path: first.split(' ').nth(1)?.to_owned(), headers, body: String::from_utf8(body).ok()? })
}

#[test]
fn live_requests_are_signed_and_sent_and_the_answer_is_the_next_document() {
    let (port, requests) = application();
    let document = format!(
        r#"<Response><Pay chargeAmount="1" postalCode="false" securityCode="false" statusCallback="http://127.0.0.1:{port}/status"
            action="http://127.0.0.1:{port}/action"><Prompt for="payment-card-number expiration-date payment-processing"><Say>?</Say></Prompt>
            </Pay></Response>"#
    );
    let folder = flows(&[("pay", &document)]);
    let mut command = touchtone(folder.path());
    command.args(["pay", "--live", "--flows"]).arg(folder.path()).arg("--data").arg(folder.path().join("kept"));
    let output = typed(command, "4242424242424242 1230\n");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = shown(&output);
    in_order(&text, &["no money moves", "gateway   approved", "Result=success", "says      Well done.", "ended"]);
    assert!(!text.contains("not sent"), "{text}");
    let received: Vec<Request> = requests.try_iter().collect();
    let action = received.iter().find(|request| request.path == "/action").unwrap();
    assert!(action.headers.contains("x-twilio-signature: "), "{}", action.headers);
    assert!(action.body.contains("Result=success") && action.body.contains("PaymentCardNumber=xxxx-xxxx-xxxx-4242"));
    let statuses: Vec<&str> =
        received.iter().filter(|request| request.path == "/status").map(|request| request.body.as_str()).collect();
    assert_eq!(statuses.len(), 6, "two steps begun and captured, processing, the end: {statuses:?}");
    assert!(statuses[0].contains("For=payment-card-number") && statuses[5].contains("Result=success"));
    assert!(folder.path().join("kept/account.toml").is_file());
}
