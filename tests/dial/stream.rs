//! `--url`: the program as the platform, a server of this test as touchtone.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use touchtone::secret::Secret;
use touchtone::signature::sign;

use super::{complaint, in_order, shown, touchtone, typed};

const TOKEN: &str = "0123456789abcdef";

/// The server's side of one call.
struct Server {
    socket: WebSocketStream<TcpStream>,
    sequence: u64,
    stream: String,
    frames: usize,
}

impl Server {
    async fn accept(listener: TcpListener) -> Self {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stream, _) = listener.accept().await.unwrap();
        #[allow(clippy::result_large_err, reason = "the callback's own type")]
        let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            assert_eq!(request.uri().path(), "/media/twilio/donate");
            let url = format!("ws://127.0.0.1:{port}/media/twilio/donate");
            let signature = sign(&Secret::new(TOKEN.to_owned()), &url, None);
            assert_eq!(request.headers()["X-Twilio-Signature"], signature.as_str());
            Ok(response)
        };
        let socket = accept_hdr_async(stream, check).await.unwrap();
        Self { socket, sequence: 0, stream: String::new(), frames: 0 }
    }

    /// The next message that is no audio; its audio is checked on the way.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let message = match self.socket.next().await? {
                Ok(Message::Text(text)) => serde_json::from_str::<Value>(&text).unwrap(),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => continue,
            };
            if message["event"] == "connected" {
                assert!(message.get("sequenceNumber").is_none() && message.get("streamSid").is_none());
                return Some(message);
            }
            self.sequence += 1;
            assert_eq!(message["sequenceNumber"], self.sequence.to_string(), "{message}");
            if message["event"] != "media" {
                return Some(message);
            }
            assert_eq!(message["streamSid"], self.stream.as_str());
            let media = &message["media"];
            assert_eq!(media["track"], "inbound");
            assert_eq!(media["timestamp"], (20 * self.frames).to_string());
            self.frames += 1;
            assert_eq!(media["chunk"], self.frames.to_string());
            assert_eq!(STANDARD.decode(media["payload"].as_str().unwrap()).unwrap(), [0xff; 160]);
        }
    }

    async fn expect(&mut self, event: &str) -> Value {
        let message = self.next().await.unwrap_or_else(|| panic!("{event} never came"));
        assert_eq!(message["event"], event, "{message}");
        message
    }

    async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// A sound and a mark behind it.
    async fn prompt(&mut self, length: Duration, mark: &str) {
        let samples = usize::try_from(length.as_millis()).unwrap() * 8;
        let stream = self.stream.clone();
        let payload = STANDARD.encode(vec![0x55; samples]);
        self.say(json!({"event": "media", "streamSid": stream, "media": {"payload": payload}})).await;
        self.say(json!({"event": "mark", "streamSid": stream, "mark": {"name": mark}})).await;
    }

    async fn greeted(listener: TcpListener) -> Self {
        let mut server = Self::accept(listener).await;
        let connected = server.expect("connected").await;
        assert_eq!((&connected["protocol"], &connected["version"]), (&json!("Call"), &json!("1.0.0")));
        let start = server.expect("start").await;
        let details = &start["start"];
        let stream = start["streamSid"].as_str().unwrap();
        assert!(stream.starts_with("MZ") && stream.len() == 34, "{stream}");
        assert_eq!(details["streamSid"], stream);
        assert!(details["callSid"].as_str().unwrap().starts_with("CA"));
        assert_eq!(details["tracks"], json!(["inbound"]));
        assert_eq!(details["customParameters"], json!({"amount": "5"}));
        assert_eq!(details["mediaFormat"], json!({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}));
        server.stream = stream.to_owned();
        server
    }
}

/// Runs a server for one call while the program dials it; what the program showed.
fn dialled<F>(lines: &'static str, serve: impl FnOnce(TcpListener) -> F + Send + 'static) -> String
where
    F: Future<Output = ()>,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve(listener));
    });
    let folder = tempfile::tempdir().unwrap();
    let mut command = touchtone(folder.path());
    command.args(["--param", "amount=5", "--auth-token", TOKEN, "--url"]);
    command.arg(format!("ws://127.0.0.1:{port}/media/twilio/donate"));
    let output = typed(command, lines);
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    shown(&output)
}

#[test]
fn a_running_server_hears_a_platform_that_plays_in_real_time() {
    let text = dialled("1 2\n#\n", async |listener| {
        let mut server = Server::greeted(listener).await;
        let since = Instant::now();
        server.prompt(Duration::from_millis(400), "first").await;
        assert_eq!(server.expect("mark").await["mark"]["name"], "first");
        assert!(since.elapsed() >= Duration::from_millis(400), "a mark comes back when it was heard");
        assert!(server.frames >= 20, "the caller's line is silent, not dead: {} frames", server.frames);
        for digit in ["1", "2"] {
            let message = server.expect("dtmf").await;
            assert_eq!(message["dtmf"], json!({"track": "inbound_track", "digit": digit}));
            assert_eq!(message["streamSid"], server.stream.as_str());
        }
        // Ten minutes of sound, cut.
        server.prompt(Duration::from_secs(600), "cut").await;
        let stream = server.stream.clone();
        server.say(json!({"event": "clear", "streamSid": stream})).await;
        let mut events = [server.next().await.unwrap(), server.next().await.unwrap()];
        events.sort_by_key(|message| message["event"].to_string());
        assert_eq!((&events[0]["dtmf"]["digit"], &events[1]["mark"]["name"]), (&json!("#"), &json!("cut")));
        server.socket.close(None).await.unwrap();
        while server.next().await.is_some() {}
    });
    in_order(&text, &["as Twilio would", "(sound, 0.4 s)", "you       ••", "(sound, 600.0 s)"]);
    in_order(&text, &["you       •", "ended     hangup: the server closed the stream"]);
}

#[test]
fn a_caller_who_hangs_up_stops_the_stream_and_closes_it() {
    let text = dialled("hang up\n", async |listener| {
        let mut server = Server::greeted(listener).await;
        let stop = server.expect("stop").await;
        assert!(stop["stop"]["callSid"].as_str().unwrap().starts_with("CA"));
        assert!(server.next().await.is_none(), "nothing after the stop");
    });
    in_order(&text, &["you       hang up", "ended     caller: you hung up"]);
}

#[test]
fn what_twilio_would_not_take_is_a_warning() {
    let text = dialled("wait 10m\n", async |listener| {
        let mut server = Server::greeted(listener).await;
        let stream = server.stream.clone();
        server.socket.send(Message::binary(vec![0_u8; 160])).await.unwrap();
        server.say(json!({"event": "media", "media": {"payload": "//8A"}})).await;
        server.say(json!({"event": "hangup", "streamSid": stream})).await;
        server.socket.close(None).await.unwrap();
        while server.next().await.is_some() {}
    });
    in_order(
        &text,
        &["binary message", "without the stream's streamSid", "a message that Twilio does not take", "ended"],
    );
}

/// What the program says to a server that answers with `status`.
fn refused(status: u16, arguments: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let mut command = touchtone(folder.path());
    command.args(arguments).arg("--url").arg(format!("ws://127.0.0.1:{port}/media/twilio/donate"));
    let said = complaint(&typed(command, ""));
    server.join().unwrap();
    said
}

#[test]
fn a_server_that_takes_no_call_is_explained() {
    assert!(refused(403, &[]).contains("--auth-token"));
    assert!(refused(403, &["--auth-token", "wrong"]).contains("public_url"));
    assert!(refused(404, &[]).contains("no flow named donate"));
    assert!(refused(503, &[]).contains("takes no calls right now"));
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = touchtone(folder.path());
    command.args(["donate", "--url", &format!("ws://127.0.0.1:{nobody}")]);
    assert!(complaint(&typed(command, "")).contains("touchtone serve"));
}

#[test]
fn an_address_that_cannot_be_dialled_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, why) in [
        (vec!["--url", "http://127.0.0.1:1/media/twilio/donate"], "must begin with ws://"),
        (vec!["--url", "ws://127.0.0.1:1/media/twilio"], "names no flow"),
        (vec!["--url", "ws://127.0.0.1:1/media/telnyx/donate"], "/media/twilio/FLOW"),
        (vec!["other", "--url", "ws://127.0.0.1:1/media/twilio/donate"], "leave one of them out"),
    ] {
        let mut command = touchtone(folder.path());
        command.args(&arguments);
        let said = complaint(&typed(command, ""));
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}
