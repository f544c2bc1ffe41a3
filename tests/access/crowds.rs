//! How many there may be; a good call beside everybody else; the end.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use touchtone::account::Account;
use touchtone::config::{Config, ConnectionLimits};
use touchtone::server::Server;

use crate::SILENT;
use crate::clients::{HEALTHZ, SHORT, all, connect, connect_narrow, one, say, server, until_counted};
use crate::support::{ACCOUNT, Arrived, Caller, Somebody, TIME_LIMIT, TOKEN};

const HOLD: (&str, &str) =
    ("hold", "<Response><Gather numDigits=\"1\" timeout=\"60\"><Say>Press.</Say></Gather><Say>Bye.</Say></Response>");

/// Nobody goes for being late.
fn patient() -> ConnectionLimits {
    let hour = Duration::from_secs(3600);
    ConnectionLimits {
        head_time: hour,
        idle_time: hour,
        request_time: hour,
        answer_time: hour,
        ..ConnectionLimits::default()
    }
}

#[tokio::test]
async fn when_there_are_too_many_the_idlest_goes_and_the_newest_is_served() {
    let server = server(&[HOLD], "max_connections = 4", patient()).await;
    let mut caller = server.call("hold").await;
    caller.hear().await;
    let mut silent = connect(server.address).await;
    for _ in 0..20 {
        let mut newest = connect(server.address).await;
        say(&mut newest, HEALTHZ).await;
        assert!(one(&mut newest, "ok\n").await.starts_with("HTTP/1.1 200 "));
        // Kept open, all twenty.
        std::mem::forget(newest);
    }
    assert_eq!(all(&mut silent).await, "");
    let mut another = server.call_with("hold", "CA2", &[]).await;
    for call in [&mut another, &mut caller] {
        call.press("1").await;
        assert!(call.hear().await, "the call goes on");
    }
    until_counted(server.address, "crowded").await;
}

#[tokio::test]
async fn calls_alone_keep_others_out_and_none_of_them_goes() {
    let server = server(&[HOLD], "max_connections = 2", patient()).await;
    let mut calls = [server.call_with("hold", "CA1", &[]).await, server.call_with("hold", "CA2", &[]).await];
    for call in &mut calls {
        call.hear().await;
    }
    let mut third = connect(server.address).await;
    say(&mut third, HEALTHZ).await;
    assert_eq!(all(&mut third).await, "");
    for mut call in calls {
        call.press("1").await;
        assert!(call.hear().await, "the call goes on");
        call.hear_out().await;
    }
    until_counted(server.address, "full").await;
}

/// Somebody who does no good, over and over.
async fn bad(address: SocketAddr, kind: usize) {
    loop {
        let mut client = connect_narrow(address).await;
        match kind % 8 {
            0 => {}
            1 => say(&mut client, "GET /healthz HTTP/1.1\r\nX: ").await,
            2 => {
                let mut drops = interval(SHORT / 20);
                while client.write_all(b"G").await.is_ok() {
                    drops.tick().await;
                }
            }
            3 => say(&mut client, &format!("GET /{}", "x".repeat(100_000))).await,
            4 => say(&mut client, "POST /2010-04-01/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n").await,
            5 => {
                let requests = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
                while client.write_all(requests.as_bytes()).await.is_ok() {}
            }
            6 => say(&mut client, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\u{16}\u{3}\u{1}").await,
            _ => {
                let url = format!("ws://{address}/media/twilio/hold");
                if let Ok((mut socket, _)) = tokio_tungstenite::client_async(url, client).await {
                    use futures_util::SinkExt;
                    let _ = socket.send(Message::text("x".repeat(200_000))).await;
                    all(socket.get_mut()).await;
                }
                continue;
            }
        }
        all(&mut client).await;
    }
}

async fn a_good_call_is_undisturbed(max_connections: u32, closed: &[&str]) {
    let application = Somebody::application("<Response/>").await;
    let pay = format!("<Response><Pay chargeAmount=\"3\" action=\"{}\"/></Response>", application.url("/paid"));
    let limits =
        ConnectionLimits { head_time: SHORT, idle_time: SHORT, answer_time: SHORT, ..ConnectionLimits::default() };
    let server = server(&[HOLD, ("pay", &pay)], &format!("max_connections = {max_connections}"), limits).await;
    let mut caller = server.call_with("pay", "CAfirst", &[]).await;
    caller.hear().await;
    let mut crowd = JoinSet::new();
    for kind in 0..40 {
        crowd.spawn(bad(server.address, kind));
    }
    for why in closed {
        until_counted(server.address, why).await;
    }
    caller.press("4242424242424242").await;
    caller.pay(&["1228", "94111", "837"]).await;
    // Who is pushed out before it has asked tries again, as platforms do.
    patiently(server.address).await.pay(&["4242424242424242", "1228", "94111", "837"]).await;
    for call in ["CAfirst", "CAlater"] {
        let is_told = |arrived: &Arrived| arrived.path == "/paid" && arrived.field("CallSid") == call;
        assert_eq!(application.wait_for(is_told).await.field("Result"), "success", "{call}");
    }
    assert!(crowd.try_join_next().is_none(), "they were there all the while");
}

#[tokio::test]
async fn a_good_call_beside_all_of_them_is_undisturbed() {
    a_good_call_is_undisturbed(10_000, &["head", "answer"]).await;
}

#[tokio::test]
async fn a_good_call_among_more_of_them_than_there_are_places_is_undisturbed() {
    a_good_call_is_undisturbed(20, &["crowded"]).await;
}

async fn patiently(address: SocketAddr) -> Caller {
    let dialing = async {
        loop {
            let url = format!("ws://{address}/media/twilio/pay");
            if let Ok((socket, _)) = tokio_tungstenite::connect_async(url).await {
                return Caller::begin(socket, "CAlater", &[]).await;
            }
        }
    };
    timeout(TIME_LIMIT, dialing).await.expect("never let in")
}

#[tokio::test]
async fn nobody_keeps_the_server_from_stopping() {
    touchtone::http::install_crypto_provider();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("touchtone.toml");
    let data = folder.path().join("data");
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndata = {data:?}\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\n{SILENT}"
    );
    std::fs::write(&file, text).unwrap();
    let mut config = Config::load(Some(&file)).unwrap();
    config.limits = ConnectionLimits { head_time: SHORT, answer_time: 5 * SHORT, ..ConnectionLimits::default() };
    let account = Account::open(&config).unwrap();
    let server = Server::open(config, account).await.unwrap();
    let address = server.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move { drop(stopped.await) }, Duration::from_secs(1)));
    let mut idle = connect(address).await;
    say(&mut idle, HEALTHZ).await;
    one(&mut idle, "ok\n").await;
    let (_silent, mut halting) = (connect(address).await, connect(address).await);
    say(&mut halting, "GET /healthz HT").await;
    let full = connect_narrow(address).await;
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    // Until nothing more is taken, as it is not answered either.
    while timeout(SHORT, full.writable()).await.is_ok() {
        let _ = full.try_write(requests.as_bytes());
    }
    stop.send(()).unwrap();
    timeout(TIME_LIMIT, running).await.expect("it never stopped").unwrap().unwrap();
    assert_eq!(all(&mut idle).await, "");
}
