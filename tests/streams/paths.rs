//! Where streams may be dialed, and what is told of those that dial elsewhere.

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use touchtone::secret::Secret;

use crate::support::{Caller, Somebody, TOKEN, TestServer};
use crate::{SILENT, pay};

/// The status of an upgrade at `path` with a signature for `signed`.
async fn asked(server: &TestServer, path: &str, signed: &str) -> u16 {
    let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
    let signature = touchtone::signature::sign(&Secret::new(TOKEN.to_owned()), signed, None);
    request.headers_mut().insert("X-Twilio-Signature", signature.parse().unwrap());
    match tokio_tungstenite::connect_async(request).await {
        Ok(_) => 101,
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_stream_s_path_changes_nothing() {
    let application = Somebody::application("<Response/>").await;
    let server = TestServer::start(&[("pay", &pay(&application, ""))], SILENT).await;
    let mut caller = Caller::dial_path(server.address, "/media/twilio/pay/", "CA1", &[]).await;
    caller.hear().await;
    caller.press("*").await;
    assert_eq!(application.result().await.field("Result"), "caller-interrupted-with-star");

    let document = Somebody::application("<Response><Hangup/></Response>").await;
    let toml = format!("flow_urls = [\"{}\"]\n{SILENT}", document.url("/"));
    let server = TestServer::start(&[], &toml).await;
    let parameters = [("url", document.url("/first"))];
    let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut caller = Caller::dial_path(server.address, "/media/twilio/", "CA2", &parameters).await;
    caller.hear_out().await;
    document.wait_for(|arrived| arrived.path == "/first").await;
}

#[tokio::test]
async fn a_stream_url_is_signed_as_it_was_written_with_capitals_and_slash() {
    let application = Somebody::application("<Response/>").await;
    let toml = format!("public_url = \"https://Pay.Example.com\"\n[media]\nrequire_signature = true\n{SILENT}");
    let server = TestServer::start(&[("pay", &pay(&application, ""))], &toml).await;
    for (path, signed) in [
        ("/media/twilio/pay", "wss://pay.example.com/media/twilio/pay"),
        ("/media/twilio/pay", "wss://Pay.Example.com/media/twilio/pay"),
        ("/media/twilio/pay", "wss://Pay.Example.com:443/media/twilio/pay"),
        ("/media/twilio/pay/", "wss://Pay.Example.com/media/twilio/pay/"),
        ("/media/twilio/pay/", "wss://pay.example.com/media/twilio/pay"),
    ] {
        assert_eq!(asked(&server, path, signed).await, 101, "{signed}");
    }
    for signed in ["wss://evil.example.com/media/twilio/pay", "wss://Pay.Example.com/media/twilio/Pay"] {
        assert_eq!(asked(&server, "/media/twilio/pay", signed).await, 403, "{signed}");
    }
}
