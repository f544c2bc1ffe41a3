//! Streams at URLs that are good once: a captured upgrade cannot be sent again.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use touchtone::secret::Secret;

use crate::support::process::{Process, SILENT};
use crate::support::{ACCOUNT, TOKEN, get, write_flows};

/// What a Twilio that dials `path` is answered with.
async fn dialed(address: SocketAddr, path: &str) -> u16 {
    asked(address, path, Some(path)).await
}

/// An upgrade for `path` with the signature of one for `signed`.
async fn asked(address: SocketAddr, path: &str, signed: Option<&str>) -> u16 {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    if let Some(signed) = signed {
        let url = format!("wss://pay.example.com{signed}");
        let signature = touchtone::signature::sign(&Secret::new(TOKEN.to_owned()), &url, None);
        request.headers_mut().insert("X-Twilio-Signature", signature.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok(_) => 101,
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("{other}"),
    }
}

const VARIABLES: [(&str, &str); 4] = [
    ("TOUCHTONE_PUBLIC_URL", "https://pay.example.com"),
    ("TOUCHTONE_ACCOUNT_SID", ACCOUNT),
    ("TOUCHTONE_AUTH_TOKEN", TOKEN),
    SILENT,
];

struct Server {
    folder: tempfile::TempDir,
}

impl Server {
    fn new(toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_flows(&folder.path().join("flows"), &[("pay", "<Response><Say>Hello.</Say></Response>")]);
        std::fs::write(folder.path().join("touchtone.toml"), toml).unwrap();
        Self { folder }
    }

    fn start(&self) -> Process {
        Process::start(self.folder.path(), &[], &VARIABLES)
    }

    /// The path of what the command prints.
    fn stream_url(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_touchtone"));
        command.current_dir(self.folder.path()).arg("stream-url").args(arguments).envs(VARIABLES);
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if !output.status.success() {
            return Err(text(output.stderr));
        }
        let printed = text(output.stdout);
        let path = printed.trim_end().strip_prefix("wss://pay.example.com").expect("it is what Twilio dials");
        Ok(path.to_owned())
    }
}

/// So many seconds from now.
fn in_seconds(seconds: i64) -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap() + seconds
}

#[tokio::test]
async fn a_captured_upgrade_cannot_be_sent_again_not_even_after_a_restart() {
    let server = Server::new("[media]\nmax_age = 120");
    let running = server.start();
    let url = server.stream_url(&["pay"]).unwrap();
    assert_eq!(dialed(running.address, &url).await, 101);
    assert_eq!(dialed(running.address, &url).await, 403);
    // Changed, its signature is no longer one.
    let (rest, _) = url.rsplit_once('/').unwrap();
    let other = format!("{rest}/{}", "A".repeat(32));
    assert_eq!(asked(running.address, &other, Some(&url)).await, 403);
    assert_eq!(asked(running.address, &other, None).await, 403);
    assert_eq!(dialed(running.address, &other).await, 101, "as an application would make it");
    for again in [&url, &other] {
        assert_eq!(dialed(running.address, again).await, 403);
    }
    assert!(running.log().contains("the URL was used before"), "{}", running.log());
    let metrics = get(running.address, "/metrics").await.1;
    assert!(metrics.contains("touchtone_upgrades_refused_total{why=\"used\"} 3"), "{metrics}");
    drop(running);
    let running = server.start();
    assert_eq!(dialed(running.address, &url).await, 403);
    assert_eq!(dialed(running.address, &server.stream_url(&["pay"]).unwrap()).await, 101);
}

#[tokio::test]
async fn a_url_is_good_until_it_expires_and_only_with_an_expiry() {
    let server = Server::new("[media]\nmax_age = 120");
    let running = server.start();
    let value = "abcdefghijklmnopqrstuvwx";
    for (path, said) in [
        ("/media/twilio/pay".to_owned(), "does not end in an expiry"),
        ("/media/twilio".to_owned(), "does not end in an expiry"),
        (format!("/media/twilio/pay/{}/{value}", in_seconds(-2)), "the URL expired"),
        (format!("/media/twilio/pay/{}/{value}", in_seconds(300)), "later than media.max_age allows"),
        (format!("/media/twilio/pay/soon/{value}"), "does not end in /EXPIRY/RANDOM"),
        (format!("/media/twilio/pay/{}/short", in_seconds(60)), "does not end in /EXPIRY/RANDOM"),
    ] {
        assert_eq!(dialed(running.address, &path).await, 403, "{path}");
        assert!(running.log().contains(said), "{said}: {}", running.log());
    }
    // What is refused for something else is not used up.
    let missing = format!("/media/twilio/nothing/{}/{value}", in_seconds(60));
    assert_eq!(dialed(running.address, &missing).await, 404);
    assert_eq!(dialed(running.address, &missing.replace("nothing", "pay")).await, 101);
    // A document that the stream names.
    assert_eq!(dialed(running.address, &server.stream_url(&[]).unwrap()).await, 101);
    // Platforms that do not sign have nothing that an expiry could be signed with.
    assert_eq!(dialed(running.address, &missing.replace("twilio", "telnyx")).await, 404);
    assert!(!running.log().contains("captures the upgrade"), "{}", running.log());
}

#[tokio::test]
async fn without_an_age_urls_with_an_expiry_are_good_once_all_the_same_and_the_start_warns() {
    let server = Server::new("");
    let running = server.start();
    assert!(running.log().contains("whoever captures the upgrade of a stream can send it again"), "{}", running.log());
    assert_eq!(dialed(running.address, "/media/twilio/pay").await, 101);
    let url = server.stream_url(&["pay", "--valid", "3600"]).unwrap();
    assert_eq!(dialed(running.address, &url).await, 101);
    assert_eq!(dialed(running.address, &url).await, 403);
    let late = format!("/media/twilio/pay/{}/{}", in_seconds(100_000), "a".repeat(24));
    assert_eq!(dialed(running.address, &late).await, 403);
}

#[test]
fn the_command_makes_no_url_that_a_server_would_not_take() {
    let server = Server::new("[media]\nmax_age = 120");
    for (arguments, said) in [
        (&["pay", "--valid", "121"][..], "good for more than 120 s"),
        (&["../pay"], "cannot be a flow's name"),
        (&["pay", "--valid", "0"], "0"),
    ] {
        let refused = server.stream_url(arguments).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
    let (one, other) = (server.stream_url(&["pay"]).unwrap(), server.stream_url(&["pay"]).unwrap());
    assert_ne!(one, other);
    let expires: i64 = one.split('/').nth(4).unwrap().parse().unwrap();
    assert!((in_seconds(110)..=in_seconds(121)).contains(&expires), "{one}");
}

#[tokio::test]
async fn a_secret_that_may_be_a_word_is_warned_of() {
    for (secret, is_warned_of) in [("correct horse battery", true), ("0123456789abcdef0123456789abcdef", false)] {
        let server = Server::new(&format!("[media]\nsecret = \"{secret}\""));
        let running = server.start();
        assert_eq!(running.log().contains("media.secret is short"), is_warned_of, "{}", running.log());
        assert!(!running.log().contains(secret));
    }
}
