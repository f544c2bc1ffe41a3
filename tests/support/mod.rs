//! What tests of the public face share: a server in this process, a caller who speaks as Twilio does, and the merchant's
//! application and gateway on loopback.
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
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod certificates;
pub mod postgres;
pub mod process;
pub mod wait;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use touchtone::account::Account;
use touchtone::config::Config;
use touchtone::connector::Registry;
use touchtone::feed::Feed;
use touchtone::secret::Secret;
use touchtone::server::Server;

/// Longer than anything here takes; a test that waits so long has failed.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// How long a caller pauses after a slip: keys that come within 250 ms of it go with it (pay.md, section 3).
pub const BREATH: Duration = Duration::from_millis(320);

pub const TOKEN: &str = "test-auth-token";
pub const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// A server in this process; stops when it is dropped.
pub struct TestServer {
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
    /// What happens in it.
    pub feed: Feed,
    _stop: oneshot::Sender<()>,
}

impl TestServer {
    /// Starts one with these flows and configuration lines.
    pub async fn start(flows: &[(&str, &str)], toml: &str) -> Self {
        Self::start_with(flows, toml, |_| {}).await
    }

    pub async fn start_with(flows: &[(&str, &str)], toml: &str, add: impl FnOnce(&Registry)) -> Self {
        Self::start_set(flows, toml, |_, _| {}, add).await
    }

    /// One that writes its calls into the folder `recordings` of its own.
    pub async fn start_recording(flows: &[(&str, &str)], toml: &str) -> Self {
        Self::start_set(flows, toml, |config, folder| config.record = Some(folder.join("recordings")), |_| {}).await
    }

    /// One whose configuration is changed before it starts.
    pub async fn start_set(
        flows: &[(&str, &str)],
        toml: &str,
        set: impl FnOnce(&mut Config, &Path),
        add: impl FnOnce(&Registry),
    ) -> Self {
        touchtone::http::install_crypto_provider();
        let folder = tempfile::tempdir().unwrap();
        let flows_folder = folder.path().join("flows");
        write_flows(&flows_folder, flows);
        let file = folder.path().join("touchtone.toml");
        let text = format!(
            "listen = \"127.0.0.1:0\"\nflows = {flows_folder:?}\ndata = {:?}\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\n{toml}\n",
            folder.path().join("data")
        );
        std::fs::write(&file, text).unwrap();
        let mut config = Config::load(Some(&file)).unwrap();
        set(&mut config, folder.path());
        let account = Account::open(&config).unwrap();
        let server = Server::open_with(config, account, |registry| {
            add(registry);
            Ok(())
        })
        .await
        .unwrap();
        let address = server.address();
        let feed = server.services().feed.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            server.run(stopped, Duration::from_secs(1)).await.unwrap();
        });
        Self { address, folder, feed, _stop: stop }
    }

    pub async fn call(&self, flow: &str) -> Caller {
        self.call_with(flow, "CA1", &[]).await
    }

    pub async fn call_with(&self, flow: &str, call_sid: &str, parameters: &[(&str, &str)]) -> Caller {
        Caller::dial(self.address, flow, call_sid, parameters).await
    }

    /// A call whose document is at a URL.
    pub async fn call_url(&self, url: &str, parameters: &[(&str, &str)]) -> Caller {
        let parameters: Vec<(&str, &str)> = parameters.iter().copied().chain([("url", url)]).collect();
        Caller::dial_path(self.address, "/media/twilio", "CA1", &parameters).await
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        get(self.address, path).await
    }
}

pub fn write_flows(folder: &Path, flows: &[(&str, &str)]) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, document) in flows {
        std::fs::write(folder.join(format!("{name}.xml")), document).unwrap();
    }
}

pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let response = reqwest_client().get(format!("http://{address}{path}")).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn reqwest_client() -> reqwest::Client {
    touchtone::http::install_crypto_provider();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// The far end of a stream, speaking as Twilio does.
pub struct Caller {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    sequence: u64,
    stream_sid: String,
    call_sid: String,
    /// Bytes of mu-law since the last mark.
    sound: Vec<u8>,
    /// The sound before each mark, in order.
    pub turns: Vec<Vec<u8>>,
    pub cleared: usize,
}

impl Caller {
    pub async fn dial(address: SocketAddr, flow: &str, call_sid: &str, parameters: &[(&str, &str)]) -> Self {
        Self::dial_path(address, &format!("/media/twilio/{flow}"), call_sid, parameters).await
    }

    pub async fn dial_path(address: SocketAddr, path: &str, call_sid: &str, parameters: &[(&str, &str)]) -> Self {
        let url = format!("ws://{address}{path}");
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Self::begin(socket, call_sid, parameters).await
    }

    /// Begins a call on a new socket.
    pub async fn begin(
        socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
        call_sid: &str,
        parameters: &[(&str, &str)],
    ) -> Self {
        let mut caller = Self {
            socket,
            sequence: 0,
            stream_sid: format!("MZ{call_sid}"),
            call_sid: call_sid.to_owned(),
            sound: Vec::new(),
            turns: Vec::new(),
            cleared: 0,
        };
        caller.send(json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})).await;
        let parameters: HashMap<&str, &str> = parameters.iter().copied().collect();
        let start = json!({
            "event": "start", "sequenceNumber": "1", "streamSid": caller.stream_sid,
            "start": {
                "accountSid": ACCOUNT, "streamSid": caller.stream_sid, "callSid": call_sid, "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": parameters,
            },
        });
        caller.sequence = 1;
        caller.send(start).await;
        caller
    }

    /// A caller around a socket on which nothing was said yet.
    pub fn around(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        let (stream_sid, call_sid) = ("MZ1".to_owned(), "CA1".to_owned());
        Self { socket, sequence: 0, stream_sid, call_sid, sound: Vec::new(), turns: Vec::new(), cleared: 0 }
    }

    /// The next message of the server, with nothing done about it.
    pub async fn socket_next(&mut self) -> Option<Value> {
        timeout(TIME_LIMIT, self.next()).await.expect("nothing came")
    }

    pub async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        // The server may have closed already; what it said last is still to be read.
        let _ = self.socket.send(message).await;
    }

    pub async fn press(&mut self, keys: &str) {
        for key in keys.chars().filter(|key| !key.is_whitespace()) {
            self.sequence += 1;
            let message = json!({
                "event": "dtmf", "streamSid": self.stream_sid, "sequenceNumber": self.sequence.to_string(),
                "dtmf": {"track": "inbound_track", "digit": key.to_string()},
            });
            self.send(message).await;
        }
    }

    /// Listens until a turn has been heard, and says so. False: the server closed.
    pub async fn hear(&mut self) -> bool {
        timeout(TIME_LIMIT, async {
            loop {
                match self.next().await {
                    None => return false,
                    Some(message) if message["event"] == "mark" => {
                        self.sequence += 1;
                        let echo = json!({
                            "event": "mark", "streamSid": self.stream_sid, "sequenceNumber": self.sequence.to_string(),
                            "mark": message["mark"],
                        });
                        self.send(echo).await;
                        return true;
                    }
                    Some(_) => {}
                }
            }
        })
        .await
        .expect("nothing was said")
    }

    /// The next message; none: the server closed.
    async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(text.as_str()).expect("Twilio understands JSON only");
                    assert_eq!(message["streamSid"], self.stream_sid.as_str());
                    match message["event"].as_str() {
                        Some("media") => {
                            let payload = message["media"]["payload"].as_str().unwrap();
                            let bytes = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
                            self.sound.extend(bytes);
                        }
                        Some("mark") => self.turns.push(std::mem::take(&mut self.sound)),
                        Some("clear") => {
                            self.sound.clear();
                            self.cleared += 1;
                        }
                        other => panic!("Twilio knows no message {other:?}"),
                    }
                    return Some(message);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(other)) => panic!("Twilio takes no {other:?}"),
            }
        }
    }

    /// Hears every turn until the server closes.
    pub async fn hear_out(&mut self) {
        while self.hear().await {}
    }

    /// Presses a group of keys after each turn, then hears the call out.
    pub async fn pay(&mut self, groups: &[&str]) {
        for group in groups {
            self.hear().await;
            self.press(group).await;
        }
        self.hear_out().await;
    }

    pub async fn hang_up(mut self) {
        self.sequence += 1;
        let stop = json!({
            "event": "stop", "streamSid": self.stream_sid, "sequenceNumber": self.sequence.to_string(),
            "stop": {"accountSid": ACCOUNT, "callSid": self.call_sid},
        });
        self.send(stop).await;
        let _ = self.socket.close(None).await;
    }

    /// The close frame the server sends, if it sends one.
    pub async fn close_reason(&mut self) -> Option<(u16, String)> {
        timeout(TIME_LIMIT, async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => {
                        return Some((frame.code.into(), frame.reason.to_string()));
                    }
                    Some(Ok(Message::Close(None)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        })
        .await
        .expect("the server did not close")
    }
}

/// One request that arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Arrived {
    pub fn fields(&self) -> BTreeMap<String, String> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    pub fn field(&self, name: &str) -> String {
        self.fields().get(name).cloned().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }
}

type Answers = Arc<dyn Fn(&Arrived) -> (u16, String) + Send + Sync>;

/// A server of somebody else's: the merchant's application, or a payment processor.
#[derive(Clone)]
pub struct Somebody {
    pub address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    news: Arc<Notify>,
}

impl Somebody {
    /// A status of 3xx leads where its text says.
    pub async fn start(answer: impl Fn(&Arrived) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer)
    }

    /// One who listens in a way of its own.
    pub fn start_on<L>(listener: L, answer: impl Fn(&Arrived) -> (u16, String) + Send + Sync + 'static) -> Self
    where
        L: axum::serve::Listener<Addr = SocketAddr>,
    {
        let address = listener.local_addr().unwrap();
        let somebody = Self { address, arrived: Arc::default(), news: Arc::default() };
        let answers: Answers = Arc::new(answer);
        let app = Router::new().fallback(take).with_state((somebody.clone(), answers));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        somebody
    }

    /// An application that answers every action with this document.
    pub async fn application(document: &str) -> Self {
        let document = document.to_owned();
        Self::start(move |arrived| {
            let answer = if arrived.path.starts_with("/status") { String::new() } else { document.clone() };
            (200, answer)
        })
        .await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// Waits until a request satisfies `wanted`, and gives it.
    pub async fn wait_for(&self, wanted: impl Fn(&Arrived) -> bool) -> Arrived {
        timeout(TIME_LIMIT, async {
            loop {
                let news = self.news.notified();
                if let Some(found) = self.arrived().into_iter().find(|arrived| wanted(arrived)) {
                    return found;
                }
                news.await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("it never came; there came {:?}", self.arrived()))
    }

    /// The action request of a Pay.
    pub async fn result(&self) -> Arrived {
        self.wait_for(|arrived| arrived.path == "/paid").await
    }
}

async fn take(
    State((somebody, answers)): State<(Somebody, Answers)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let arrived = Arrived { path, headers, body };
    let (status, answer) = answers(&arrived);
    somebody.arrived.lock().unwrap().push(arrived);
    somebody.news.notify_waiters();
    let status = StatusCode::from_u16(status).unwrap();
    if status.is_redirection() {
        return (status, [(header::LOCATION, answer)]).into_response();
    }
    let kind = if answer.starts_with('{') { "application/json" } else { "text/xml" };
    (status, [(header::CONTENT_TYPE, kind)], answer).into_response()
}

/// Checks `X-Twilio-Signature` the way Twilio's libraries do: URL, then each field sorted by name.
pub fn is_signed(somebody: &Somebody, arrived: &Arrived) -> bool {
    let mut form = touchtone::form::Form::new();
    for (name, value) in arrived.fields() {
        form.set(name, value);
    }
    let expected =
        touchtone::signature::sign(&Secret::new(TOKEN.to_owned()), &somebody.url(&arrived.path), Some(&form));
    arrived.header("X-Twilio-Signature") == expected
}
