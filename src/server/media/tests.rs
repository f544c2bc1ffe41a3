//! A dialect that is a file and a line in the list takes calls on a real socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::account::Account;
use crate::audio::resample::from_i16;
use crate::audio::resample::tests::amplitude;
use crate::config::Config;
use crate::server::Server;

/// Longer than anything here takes.
const TIME_LIMIT: Duration = Duration::from_secs(30);

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A server with these flows; stops when the sender is dropped.
async fn served(flows: &[(&str, &str)]) -> (SocketAddr, tempfile::TempDir, oneshot::Sender<()>) {
    crate::http::install_crypto_provider();
    let folder = tempfile::tempdir().unwrap();
    let flows_folder = folder.path().join("flows");
    std::fs::create_dir(&flows_folder).unwrap();
    for (name, text) in flows {
        std::fs::write(flows_folder.join(format!("{name}.xml")), text).unwrap();
    }
    let file = folder.path().join("touchtone.toml");
    let data = folder.path().join("data");
    let text = format!(
        "listen = \"127.0.0.1:0\"\nflows = {flows_folder:?}\ndata = {data:?}\n[media]\nsecret = \"{SECRET}\"\n[speech]\nengine = \"none\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let config = Config::load(Some(&file)).unwrap();
    let account = Account::open(&config).unwrap();
    let server = Server::open(config, account).await.unwrap();
    let address = server.address();
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        let stopped = async move {
            let _ = stopped.await;
        };
        server.run(stopped, Duration::from_secs(1)).await.unwrap();
    });
    (address, folder, stop)
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Dials and offers these subprotocols: the socket and the one that was chosen.
async fn dialed(address: SocketAddr, path: &str, offered: &'static str) -> Result<(Socket, Option<String>), Error> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    request.headers_mut().insert("Authorization", format!("Bearer {SECRET}").parse().unwrap());
    request.headers_mut().insert("Sec-WebSocket-Protocol", offered.parse().unwrap());
    let (socket, answer) = connect_async(request).await?;
    let chosen = answer.headers().get("Sec-WebSocket-Protocol").map(|chosen| chosen.to_str().unwrap().to_owned());
    Ok((socket, chosen))
}

/// What the server says next, if anything.
async fn next(socket: &mut Socket) -> Option<Message> {
    timeout(TIME_LIMIT, socket.next()).await.unwrap().map(Result::unwrap)
}

/// The samples of one message of sound.
fn samples(sound: &[u8]) -> impl Iterator<Item = f32> + '_ {
    sound.chunks_exact(2).map(|bytes| from_i16(i16::from_le_bytes([bytes[0], bytes[1]])))
}

/// Whether the 100 ms of sound are a key's of these two frequencies.
fn is_key(sound: &[f32], row: f32, column: f32) -> bool {
    [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0]
        .into_iter()
        .all(|hertz| (amplitude(sound, hertz, 16_000) > 0.1) == (hertz == row || hertz == column))
}

/// Hears the server out: all of its sound until it hangs up.
async fn heard_out(socket: &mut Socket) -> Vec<f32> {
    let mut sound = Vec::new();
    loop {
        match next(socket).await.expect("a hang-up before the close") {
            Message::Binary(bytes) => {
                assert_eq!(bytes.len(), 320);
                sound.extend(samples(&bytes));
            }
            // A key may have cut a prompt.
            Message::Text(text) if text == r#"{"action":"clear"}"# => {}
            Message::Text(text) => {
                assert_eq!(text, r#"{"action":"hangup"}"#);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(next(socket).await, Some(Message::Close(_))));
    sound
}

#[tokio::test]
async fn a_dialect_that_is_a_file_and_a_line_plays_a_prompt_and_knows_when_it_was_heard() {
    let (address, _folder, _stop) = served(&[("tone", "<Response><Play digits=\"1\"/></Response>")]).await;
    let (mut socket, chosen) = dialed(address, "/media/demo/tone", "other, audio.demo").await.unwrap();
    assert_eq!(chosen.as_deref(), Some("audio.demo"));
    let began = Instant::now();
    socket.send(Message::text(r#"{"parameters":{}}"#)).await.unwrap();
    assert_eq!(next(&mut socket).await, Some(Message::text(r#"{"action":"answer"}"#)));
    let sound = heard_out(&mut socket).await;
    // 100 ms of tone and 100 ms of silence; nobody but the session could know that they are over.
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    assert_eq!(sound.len(), 3200);
    assert!(is_key(&sound[..1600], 697.0, 1209.0));
}

#[tokio::test]
async fn keys_that_come_in_the_wrong_order_are_the_right_number_on_a_real_socket() {
    let flows = [
        (
            "ask",
            "<Response><Gather numDigits=\"2\" action=\"told\" timeout=\"20\"><Play digits=\"1\"/></Gather></Response>",
        ),
        ("told", "<Response><Play digits=\"{{ Digits }}\"/></Response>"),
    ];
    let (address, _folder, _stop) = served(&flows).await;
    let (mut socket, _) = dialed(address, "/media/demo/ask?rate=16000", "demo").await.unwrap();
    socket.send(Message::text(r#"{"parameters":{}}"#)).await.unwrap();
    while !matches!(next(&mut socket).await, Some(Message::Binary(_))) {}
    for (digit, at) in [("8", 200), ("4", 100)] {
        let key = format!(r#"{{"event":"key","digit":"{digit}","at":{at}}}"#);
        socket.send(Message::text(key)).await.unwrap();
    }
    let sound = heard_out(&mut socket).await;
    let told = &sound[sound.len() - 6400..];
    assert!(is_key(&told[..1600], 770.0, 1209.0), "first 4");
    assert!(is_key(&told[3200..4800], 852.0, 1336.0), "then 8");
}

#[tokio::test]
async fn what_the_dialect_does_not_have_is_refused_before_the_stream() {
    let (address, _folder, _stop) = served(&[("tone", "<Response/>")]).await;
    for (path, offered, words) in [
        ("/media/demo/tone", "audio.jambonz.org", "the dialect has none of the subprotocols"),
        ("/media/demo/tone?rate=8000", "demo", "audio/x-l16 at 16000 Hz"),
    ] {
        let Err(Error::Http(answer)) = dialed(address, path, offered).await else { panic!("{path}") };
        assert_eq!(answer.status(), 400);
        let text = String::from_utf8(answer.body().clone().unwrap()).unwrap();
        assert!(text.contains(words), "{text}");
    }
}
