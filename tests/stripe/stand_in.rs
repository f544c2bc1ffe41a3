//! `localstripe` as a program of its own, on a free port of this machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{TIME_LIMIT, wait};

/// Where `tests/stripe/install` puts everything, which is asked to do so first.
pub fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("stripe");
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stripe/install");
    let installed = Command::new(&install).arg(&tools).stdin(Stdio::null()).output();
    match installed {
        Ok(output) if output.status.success() => tools,
        Ok(output) => panic!(
            "the stand-in for Stripe could not be installed ({install:?} {tools:?}); it needs Python 3 with venv, Node and \
             their package registries:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("{install:?} cannot be run: {error}"),
    }
}

/// A running stand-in; stops when it is dropped.
pub struct StandIn {
    pub address: SocketAddr,
    program: Child,
}

impl StandIn {
    pub async fn start() -> Self {
        let tools = tokio::task::spawn_blocking(tools).await.unwrap();
        // Between looking for a port and its use somebody else may take it.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let mut program = Command::new(tools.join("venv/bin/localstripe"))
                .args(["--from-scratch", "--port", &address.port().to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let starts =
                wait::found("localstripe listens or ends", TIME_LIMIT, async || match program.try_wait().unwrap() {
                    Some(_) => Some(false),
                    None => TcpStream::connect(address).await.is_ok().then_some(true),
                });
            if starts.await {
                return Self { address, program };
            }
        }
        panic!("localstripe does not start; {tools:?}/venv/bin/localstripe --from-scratch says why");
    }

    /// One request, one reply: status and body.
    pub async fn ask(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        ask(self.address, method, target, body).await
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

pub async fn ask(address: SocketAddr, method: &str, target: &str, body: &str) -> (u16, String) {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sk_test_1\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
