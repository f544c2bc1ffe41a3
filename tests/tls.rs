//! The server with a certificate of its own: https and wss, a certificate that changes, and those who speak something else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests live in the real world")]

mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::tls::Version;
use support::certificates::Authority;
use support::{Caller, Somebody, TIME_LIMIT, TestServer, write_flows};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{Connector, connect_async_tls_with_config};

const SILENT: &str = "[speech]\nengine = \"none\"";

/// A client of the web that trusts this authority alone.
fn web(authority: &Authority) -> reqwest::ClientBuilder {
    touchtone::http::install_crypto_provider();
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only([root])
}

async fn get(authority: &Authority, address: SocketAddr, path: &str) -> (u16, String) {
    let url = format!("https://localhost:{}{path}", address.port());
    let client = web(authority).resolve("localhost", address).build().unwrap();
    let response = client.get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// A call over wss.
async fn dial(authority: &Authority, address: SocketAddr, flow: &str) -> Caller {
    let url = format!("wss://127.0.0.1:{}/media/twilio/{flow}", address.port());
    let connector = Connector::Rustls(authority.client());
    let (socket, _) = connect_async_tls_with_config(url, None, false, Some(connector)).await.unwrap();
    Caller::begin(socket, "CA1", &[]).await
}

/// A request on a connection that stays open.
async fn healthz(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let mut buffer = [0; 1024];
        let read = timeout(TIME_LIMIT, stream.read(&mut buffer)).await.expect("no answer").unwrap();
        assert!(read > 0, "closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn https_is_served_in_both_versions_of_tls_as_http_1_1() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.certificate().write(folder.path());
    let server = TestServer::start(&[], &format!("{SILENT}\n{}", files.toml())).await;
    for version in [Version::TLS_1_2, Version::TLS_1_3] {
        // Such a client offers HTTP/2 as well.
        let client = web(&authority).tls_version_min(version).tls_version_max(version).build().unwrap();
        let response = client.get(format!("https://{}/healthz", server.address)).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, reqwest::Version::HTTP_11));
        assert_eq!(response.text().await.unwrap(), "ok\n");
    }
    let stranger = web(&Authority::new()).build().unwrap();
    assert!(stranger.get(format!("https://{}/healthz", server.address)).send().await.is_err());
}

#[tokio::test]
async fn a_call_over_wss_pays() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.certificate().write(folder.path());
    let application = Somebody::application("<Response/>").await;
    let document = format!("<Response><Pay chargeAmount=\"3\" action=\"{}\"/></Response>", application.url("/paid"));
    let server = TestServer::start(&[("pay", &document)], &format!("{SILENT}\n{}", files.toml())).await;
    let mut caller = dial(&authority, server.address, "pay").await;
    caller.pay(&["4242424242424242", "1228", "94111", "837"]).await;
    assert_eq!(application.result().await.field("Result"), "success");
}

#[tokio::test]
async fn a_changed_certificate_is_for_new_connections_and_old_ones_live_on() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (old, new) = (authority.certificate(), authority.certificate());
    let flow = [(
        "menu",
        "<Response><Gather numDigits=\"1\" timeout=\"60\"><Say>Press.</Say></Gather><Say>Bye.</Say></Response>",
    )];
    let server = TestServer::start(&flow, &format!("{SILENT}\n{}", old.write(folder.path()).toml())).await;
    assert_eq!(authority.shown(server.address).await, old.der);
    let mut connection = authority.connect(server.address).await;
    assert!(healthz(&mut connection).await.starts_with("HTTP/1.1 200 OK\r\n"));
    let mut caller = dial(&authority, server.address, "menu").await;
    caller.hear().await;
    new.write(folder.path());
    timeout(TIME_LIMIT, async { while authority.shown(server.address).await != new.der {} })
        .await
        .expect("still the old");
    assert!(healthz(&mut connection).await.starts_with("HTTP/1.1 200 OK\r\n"));
    caller.press("1").await;
    assert!(caller.hear().await, "the call goes on");
    caller.hear_out().await;
}

#[tokio::test]
async fn a_faulty_certificate_is_counted_and_the_old_one_stays() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let old = authority.certificate();
    let files = old.write(folder.path());
    let server = TestServer::start(&[], &format!("{SILENT}\n{}", files.toml())).await;
    std::fs::write(&files.key, authority.certificate().key).unwrap();
    let told = "touchtone_tls_reloads_total{result=\"faulty\"} 1";
    let telling = async { while !get(&authority, server.address, "/metrics").await.1.contains(told) {} };
    timeout(TIME_LIMIT, telling).await.expect("it was never noticed");
    assert_eq!(authority.shown(server.address).await, old.der);
}

#[tokio::test]
async fn plain_http_is_refused_and_a_silent_connection_keeps_nobody_waiting() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.certificate().write(folder.path());
    let server = TestServer::start(&[], &format!("{SILENT}\n{}", files.toml())).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let (status, text) = server.get("/healthz").await;
    assert_eq!((status, text.as_str()), (400, "this address takes https, not http\n"));
    let refused = tokio_tungstenite::connect_async(format!("ws://{}/media/twilio/x", server.address)).await;
    assert!(refused.is_err());
    assert_eq!(get(&authority, server.address, "/healthz").await, (200, "ok\n".to_owned()));
}

/// Killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchtone"));
    command.current_dir(folder).args(["serve", "--listen", "127.0.0.1:0"]).stdin(Stdio::null());
    command.env("TOUCHTONE_SPEECH__ENGINE", "none").env_remove("RUST_LOG");
    command
}

#[tokio::test]
async fn a_term_signal_lets_a_call_over_wss_finish() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.certificate().write(folder.path());
    std::fs::write(folder.path().join("touchtone.toml"), files.toml()).unwrap();
    let document =
        "<Response><Gather numDigits=\"1\" timeout=\"60\"><Say>Press.</Say></Gather><Say>Bye.</Say></Response>";
    write_flows(&folder.path().join("flows"), &[("menu", document)]);
    let mut process = Process(serve(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let address =
        lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("listening on https://")?.parse()));
    let address: SocketAddr = address.expect("it listens").unwrap();
    let mut idle = authority.connect(address).await;
    healthz(&mut idle).await;
    let mut caller = dial(&authority, address, "menu").await;
    caller.hear().await;
    assert!(Command::new("kill").args(["-TERM", &process.0.id().to_string()]).status().unwrap().success());
    let draining = async { while get(&authority, address, "/readyz").await.0 != 503 {} };
    timeout(TIME_LIMIT, draining).await.expect("it never drained");
    caller.press("1").await;
    assert!(caller.hear().await, "the call goes on");
    caller.hear_out().await;
    drop(caller);
    let ended = tokio::task::spawn_blocking(move || process.0.wait().unwrap().code());
    assert_eq!(timeout(TIME_LIMIT, ended).await.expect("it never ended").unwrap(), Some(0));
    assert!(matches!(timeout(TIME_LIMIT, idle.read(&mut [0])).await, Ok(Ok(0))), "said good-bye");
}

#[test]
fn a_start_without_a_usable_certificate_ends_with_2_and_says_what_to_do() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.certificate().write(folder.path());
    std::fs::write(folder.path().join("touchtone.toml"), files.toml()).unwrap();
    std::fs::write(&files.key, authority.certificate().key).unwrap();
    let fails = |words: &str| {
        let output = serve(folder.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{words} in {said}");
    };
    fails("name two files that were made together");
    std::fs::remove_file(&files.cert).unwrap();
    fails("tls.cert: there is no file");
}
