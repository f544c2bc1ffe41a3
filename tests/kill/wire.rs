//! HTTP as the gateways and the application of this test speak it: a request that has arrived is worked on to its end,
//! whether or not whoever asked is still there, and it may go without an answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it arrived.
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is given for it.
pub enum Reply {
    Answer {
        status: u16,
        headers: &'static str,
        body: String,
    },
    /// The head and half of the body.
    Half(String),
    /// The connection closes.
    Nothing,
}

impl Reply {
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Answer { status, headers: "content-type: application/json\r\n", body: body.to_string() }
    }
}

pub trait Service: Send + Sync + 'static {
    fn answer(&self, request: Request) -> impl Future<Output = Reply> + Send;
}

/// Serves on a free port of this machine for as long as the runtime lives. Gives the address as a URL.
pub async fn serve(service: Arc<impl Service>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(&service)));
        }
    });
    url
}

async fn converse(mut stream: TcpStream, service: Arc<impl Service>) {
    let mut bytes = Vec::new();
    while let Some(request) = read(&mut stream, &mut bytes).await {
        let (whole, goes_on) = match service.answer(request).await {
            Reply::Answer { status, headers, body } => (head(status, headers, body.len()) + &body, true),
            Reply::Half(body) => {
                (head(200, "content-type: application/json\r\n", body.len()) + &body[..body.len() / 2], false)
            }
            Reply::Nothing => return,
        };
        if stream.write_all(whole.as_bytes()).await.is_err() || !goes_on {
            return;
        }
    }
}

fn head(status: u16, headers: &str, length: usize) -> String {
    format!("HTTP/1.1 {status} Here\r\n{headers}content-length: {length}\r\n\r\n")
}

/// The next request of a connection; none: it is over, or it broke off in the middle of one.
async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Request> {
    let mut buffer = [0; 4096];
    loop {
        if let Some((request, length)) = parse(bytes) {
            bytes.drain(..length);
            return Some(request);
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A whole request at the beginning of `bytes`, and how long it is.
fn parse(bytes: &[u8]) -> Option<(Request, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let begin = end + 4;
    let body = bytes.get(begin..begin + length)?;
    let body = String::from_utf8(body.to_vec()).unwrap();
    Some((Request { method, path: path.to_owned(), query: query.to_owned(), headers, body }, begin + length))
}
