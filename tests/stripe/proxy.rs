//! A proxy before the stand-in that has what it lacks (idempotency, `created`, the newest first) and injects faults.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::stand_in;

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing odd.
    None,
    /// The connection closes before the request counts.
    Lost,
    /// It counts, and the connection closes without a reply.
    Answerless,
    /// It counts, and half the reply arrives.
    Cut,
    /// It counts, and no reply comes until the asker gives up.
    Silent,
    /// It arrives twice; the second reply is given.
    Twice,
    /// 429, and it does not count.
    Busy,
    /// 409, as if another with its key were on its way; it does not count.
    InUse,
    /// 500, and it does not count; its key keeps the 500, as Stripe's do.
    Broken,
    /// 500 although it counts; its key keeps the 500.
    BrokenAfter,
    /// 502 in HTML from somewhere on the way, although it counts.
    Html,
    /// 401, as if the key had been withdrawn; it does not count.
    Withdrawn,
}

impl Fault {
    pub const ALL: [Self; 12] = [
        Self::None,
        Self::Lost,
        Self::Answerless,
        Self::Cut,
        Self::Silent,
        Self::Twice,
        Self::Busy,
        Self::InUse,
        Self::Broken,
        Self::BrokenAfter,
        Self::Html,
        Self::Withdrawn,
    ];
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub key: String,
    pub body: String,
}

#[derive(Clone)]
struct Reply {
    status: u16,
    body: String,
}

#[derive(Default)]
struct State {
    faults: VecDeque<Fault>,
    /// What the first request with a key was, and its reply.
    kept: HashMap<String, (Seen, Reply)>,
    seen: Vec<Seen>,
    /// How often a key came with another request than at first.
    mismatches: usize,
}

#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    /// Told when a request is held in silence.
    pub held: Arc<Notify>,
    behind: SocketAddr,
    /// Whether replies say that they are of live mode, which the stand-in knows nothing of.
    live: bool,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub async fn start(behind: SocketAddr, live: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, held: Arc::default(), behind, live, state: Arc::default() };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let proxy = accepting.clone();
                tokio::spawn(async move { proxy.serve(stream).await });
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What becomes of the next requests; then nothing odd.
    pub fn inject(&self, faults: &[Fault]) {
        self.state.lock().unwrap().faults = faults.iter().copied().collect();
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub fn mismatches(&self) -> usize {
        self.state.lock().unwrap().mismatches
    }

    /// What the stand-in's books say of a payment: how many payments bear its id and went through.
    pub async fn charges(&self, pay_sid: &str) -> usize {
        let all = self.all("/v1/payment_intents").await;
        let ours = all.iter().filter(|item| item["metadata"]["pay_sid"] == pay_sid);
        ours.filter(|item| item["status"] == "succeeded").count()
    }

    /// How many objects bear a payment's id.
    pub async fn objects(&self, path: &str, pay_sid: &str) -> usize {
        self.all(path).await.iter().filter(|item| item["metadata"]["pay_sid"] == pay_sid).count()
    }

    async fn all(&self, path: &str) -> Vec<Value> {
        let (status, body) = stand_in::ask(self.behind, "GET", &format!("{path}?limit=100000"), "").await;
        assert_eq!(status, 200, "{body}");
        let list: Value = serde_json::from_str(&body).unwrap();
        list["data"].as_array().unwrap().clone()
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some(seen) = read(&mut stream).await else { return };
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(seen.clone());
            state.faults.pop_front().unwrap_or(Fault::None)
        };
        let error = |status: u16, error: Value| Reply { status, body: json!({ "error": error }).to_string() };
        let broken = || error(500, json!({"type": "api_error", "message": "An unknown error occurred"}));
        let reply = match fault {
            Fault::Lost => return,
            Fault::None | Fault::Answerless | Fault::Cut | Fault::Silent => self.count(&seen).await,
            Fault::Twice => {
                self.count(&seen).await;
                self.count(&seen).await
            }
            Fault::Busy => error(429, json!({"type": "invalid_request_error", "code": "rate_limit"})),
            Fault::InUse => error(409, json!({"type": "idempotency_error", "code": "idempotency_key_in_use"})),
            Fault::Withdrawn => error(401, json!({"type": "invalid_request_error", "message": "Invalid API Key"})),
            Fault::Broken => {
                let mut state = self.state.lock().unwrap();
                match state.kept.get(&seen.key) {
                    Some((_, reply)) if !seen.key.is_empty() => reply.clone(),
                    _ => {
                        state.kept.insert(seen.key.clone(), (seen.clone(), broken()));
                        broken()
                    }
                }
            }
            Fault::BrokenAfter => {
                self.count(&seen).await;
                let mut state = self.state.lock().unwrap();
                state.kept.insert(seen.key.clone(), (seen.clone(), broken()));
                broken()
            }
            Fault::Html => {
                self.count(&seen).await;
                Reply { status: 502, body: "<html>Bad Gateway</html>".to_owned() }
            }
        };
        let body = reply.body.replace("\"livemode\": false", &format!("\"livemode\": {}", self.live));
        let reply = Reply { body, ..reply };
        let head = format!(
            "HTTP/1.1 {} Here\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            reply.status,
            reply.body.len()
        );
        let whole = [head.as_bytes(), reply.body.as_bytes()].concat();
        match fault {
            Fault::Answerless => {}
            Fault::Cut => {
                let _ = stream.write_all(&whole[..head.len() + reply.body.len() / 2]).await;
            }
            Fault::Silent => {
                self.held.notify_one();
                // Until the asker gives up.
                let _ = stream.read(&mut [0]).await;
            }
            _ => {
                let _ = stream.write_all(&whole).await;
            }
        }
        let _ = stream.shutdown().await;
    }

    /// Lets a request count: once for each key.
    async fn count(&self, seen: &Seen) -> Reply {
        if seen.method == "GET" {
            return self.look(seen).await;
        }
        {
            let mut state = self.state.lock().unwrap();
            if let Some((first, reply)) = state.kept.get(&seen.key).cloned().filter(|_| !seen.key.is_empty()) {
                if (&first.path, &first.body) == (&seen.path, &seen.body) {
                    return reply;
                }
                state.mismatches += 1;
                let body = json!({"error": {"type": "idempotency_error"}}).to_string();
                return Reply { status: 400, body };
            }
        }
        let (status, body) = stand_in::ask(self.behind, &seen.method, &seen.path, &seen.body).await;
        let reply = Reply { status, body };
        self.state.lock().unwrap().kept.insert(seen.key.clone(), (seen.clone(), reply.clone()));
        reply
    }

    /// A GET: lists are filtered and ordered here, as the stand-in knows no `created` and begins with the oldest.
    async fn look(&self, seen: &Seen) -> Reply {
        if !seen.query.contains("created") {
            let target = format!("{}?{}", seen.path, seen.query);
            let (status, body) = stand_in::ask(self.behind, "GET", &target, "").await;
            return Reply { status, body };
        }
        let query: HashMap<String, String> = form_urlencoded::parse(seen.query.as_bytes()).into_owned().collect();
        let since: i64 = query["created[gte]"].parse().unwrap();
        let mut items = self.all(&seen.path).await;
        items.retain(|item| item["created"].as_i64().unwrap() >= since);
        items.reverse();
        if let Some(after) = query.get("starting_after") {
            let place = items.iter().position(|item| item["id"] == after.as_str()).unwrap();
            items.drain(..=place);
        }
        let limit: usize = query["limit"].parse().unwrap();
        let has_more = items.len() > limit;
        items.truncate(limit);
        Reply { status: 200, body: json!({"object": "list", "has_more": has_more, "data": items}).to_string() }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let header = |name: &str| {
                head.lines().find_map(|line| {
                    let (found, value) = line.split_once(": ")?;
                    found.eq_ignore_ascii_case(name).then(|| value.to_owned())
                })
            };
            let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                let mut first = head.split(' ');
                let method = first.next()?.to_owned();
                let target = first.next()?;
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                let key = header("idempotency-key").unwrap_or_default();
                return Some(Seen {
                    method,
                    path: path.to_owned(),
                    query: query.to_owned(),
                    key,
                    body: body.to_owned(),
                });
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
