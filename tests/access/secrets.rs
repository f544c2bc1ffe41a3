//! The secret of platforms that do not sign.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use touchtone::config::ConnectionLimits;
use touchtone::rest::attempts::FAILURES_MAX;

use crate::clients::server;
use crate::log;
use crate::support::{ACCOUNT, TestServer, get};

const FLOW: [(&str, &str); 1] = [("pay", "<Response><Say>Hello.</Say></Response>")];

const UNSIGNED: [&str; 7] = ["signalwire", "telnyx", "plivo", "vonage", "jambonz", "asterisk", "freeswitch"];

async fn strict(more: &str) -> TestServer {
    server(
        &FLOW,
        &format!("public_url = \"https://pay.example.com\"\n[media]\nrequire_signature = true\n{more}"),
        ConnectionLimits::default(),
    )
    .await
}

/// What the upgrade is answered with: its status, and the answer if it is none.
async fn upgrade(address: SocketAddr, path: &str, authorization: Option<&str>) -> (u16, String) {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    if let Some(authorization) = authorization {
        request.headers_mut().insert("Authorization", authorization.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok(_) => (101, String::new()),
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        Err(other) => panic!("{other}"),
    }
}

/// Whether it got past the door. A dialect that is not built yet is told so behind it.
async fn is_let_in(address: SocketAddr, path: &str, authorization: Option<&str>) -> bool {
    let (status, answer) = upgrade(address, path, authorization).await;
    match status {
        101 => true,
        404 => answer.starts_with("no such dialect"),
        403 => false,
        other => panic!("{path}: {other} {answer}"),
    }
}

#[tokio::test]
async fn without_a_secret_platforms_that_do_not_sign_are_refused_and_the_log_says_what_to_set() {
    let server = strict("").await;
    for dialect in UNSIGNED {
        for path in [format!("/media/{dialect}/pay"), format!("/media/{dialect}"), format!("/media/{dialect}/pay/x")] {
            assert!(!is_let_in(server.address, &path, Some("Bearer anything")).await, "{path}");
        }
        let told = format!("{dialect} does not sign its upgrades: set media.secret");
        assert!(log::line(&told).is_some(), "{dialect}");
    }
    assert_eq!(upgrade(server.address, "/media/morse/pay", None).await.0, 404);
}

#[tokio::test]
async fn where_signatures_are_not_required_a_secret_is_demanded_once_there_is_one() {
    let free = server(&FLOW, "", ConnectionLimits::default()).await;
    assert!(is_let_in(free.address, "/media/telnyx/pay", None).await);
    let set = server(&FLOW, "[media]\nsecret = \"on loopback, too\"", ConnectionLimits::default()).await;
    assert!(!is_let_in(set.address, "/media/telnyx/pay", None).await);
    assert!(is_let_in(set.address, "/media/telnyx/pay", Some("Bearer on loopback, too")).await);
    assert_eq!(upgrade(set.address, "/media/twilio/pay", None).await.0, 101, "it is nothing to Twilio");
}

#[tokio::test]
async fn the_secret_comes_in_every_way_that_platforms_have_and_is_told_to_nobody() {
    const SECRET: &str = "Correct+Horse/Battery Staple";
    const URL: &str = "Correct%2BHorse%2FBattery%20Staple";
    let server = strict(&format!("secret = \"{SECRET}\"")).await;
    let basic = |password: &str| format!("Basic {}", STANDARD.encode(format!("anybody:{password}")));
    let bearer = format!("Bearer {SECRET}");
    for dialect in UNSIGNED {
        for end in ["", "/pay"] {
            let path = format!("/media/{dialect}{end}");
            let query = format!("{path}?secret={URL}");
            let segment = format!("/media/{dialect}{}/{URL}", if end.is_empty() { "/~" } else { end });
            for (path, header) in
                [(&path, Some(bearer.clone())), (&path, Some(basic(SECRET))), (&query, None), (&segment, None)]
            {
                assert!(is_let_in(server.address, path, header.as_deref()).await, "{path} {header:?}");
            }
            assert!(!is_let_in(server.address, &path, None).await, "nothing is no guess");
        }
    }
    // One guess each: the first of them counts.
    let misled = format!("/media/telnyx/pay/wrong?secret={URL}");
    assert!(!is_let_in(server.address, &misled, Some(&bearer)).await);
    // Where it does not belong.
    for path in [
        format!("/media/twilio/pay/{URL}"),
        format!("/media/twilio/pay?secret={URL}"),
        format!("/media/twilio/{URL}"),
        format!("/media/{URL}/pay"),
        format!("/{URL}"),
        format!("/media/telnyx/{URL}"),
        format!("/media/telnyx/{URL}/{URL}"),
        format!("/media/twilio/pay/{URL}/{URL}"),
        format!("/media/telnyx/pay/{URL}/{URL}"),
    ] {
        upgrade(server.address, &path, Some(&bearer)).await;
        get(server.address, &path).await;
    }
    let metrics = get(server.address, "/metrics").await.1;
    assert!(log::line("stream refused").is_some() && log::line("TRACE").is_some(), "the log is there, in full");
    for part in ["Horse", "Battery"] {
        assert_eq!(log::line(part), None, "in the log");
        assert!(!metrics.contains(part), "in a metric");
    }
    let (status, answer) = upgrade(server.address, "/media/telnyx/pay?secret=Battery", None).await;
    assert_eq!((status, answer.as_str()), (403, "the secret is missing or wrong\n"));
}

#[tokio::test]
async fn twilio_is_not_let_in_with_a_secret() {
    let secret = "instead of a signature";
    let server = strict(&format!("secret = \"{secret}\"")).await;
    let bearer = format!("Bearer {secret}");
    assert_eq!(upgrade(server.address, "/media/twilio/pay", Some(&bearer)).await.0, 403);
    assert_eq!(upgrade(server.address, "/media/twilio/pay?secret=instead%20of%20a%20signature", None).await.0, 403);
    assert_eq!(upgrade(server.address, "/media/twilio/pay/instead%20of%20a%20signature", None).await.0, 404);
}

#[tokio::test]
async fn what_is_no_flow_s_name_is_not_logged() {
    let free = server(&FLOW, "", ConnectionLimits::default()).await;
    assert_eq!(upgrade(free.address, "/media/twilio/hunter2-instead-of-a-flow", None).await.0, 404);
    let line = log::line("there is no flow of that name").unwrap();
    assert!(line.contains("(none of that name)"), "{line}");
    assert_eq!(log::line("hunter2-instead-of-a-flow"), None);
}

#[tokio::test]
async fn wrong_secrets_and_wrong_tokens_count_together() {
    let server = strict("secret = \"0123456789abcdef\"").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let calls = format!("http://{}/2010-04-01/Accounts/{ACCOUNT}/Calls.json", server.address);
    for guess in 0..FAILURES_MAX {
        let status = if guess % 2 == 0 {
            upgrade(server.address, "/media/telnyx/pay?secret=0123456789abcdee", None).await.0
        } else {
            client.get(&calls).basic_auth(ACCOUNT, Some("wrong")).send().await.unwrap().status().as_u16()
        };
        assert_eq!(status, if guess % 2 == 0 { 403 } else { 401 });
        assert!(!is_let_in(server.address, "/media/telnyx/pay", None).await, "who sends none does not guess");
    }
    let (status, answer) = upgrade(server.address, "/media/plivo/pay/0123456789abcdee", None).await;
    assert_eq!((status, answer.as_str()), (429, "too many wrong secrets\n"));
    let status = client.get(&calls).basic_auth(ACCOUNT, Some("wrong")).send().await.unwrap().status();
    assert_eq!(status, 429);
    // The address is a proxy's, for all we know: whoever is right gets in.
    assert!(is_let_in(server.address, "/media/telnyx/pay?secret=0123456789abcdef", None).await);
}
