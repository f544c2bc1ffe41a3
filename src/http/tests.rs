use std::cell::Cell;
use std::time::Duration;

use reqwest::header::HeaderMap;

use super::address::Reach;
use super::bulkhead::Bulkhead;
use super::resolve::{Filtered, is_unreachable};
use super::test_server::{TestServer, with_header};
use super::*;
use crate::exposure::Exposure;
use crate::form::Form;

fn get(url: &str) -> OutboundRequest {
    OutboundRequest {
        method: Method::GET,
        url: url.to_owned(),
        form: Form::new(),
        auth_token: None,
        idempotency_token: None,
        cookies: crate::http::Jar::default(),
        timeout: Duration::from_secs(30),
        body_limit: 1024,
    }
}

async fn fetched(policy: TargetPolicy, url: &str) -> Result<u16, OutboundError> {
    Outbound::new(policy).unwrap().send(&get(url)).await.map(|response| response.status)
}

#[test]
fn a_shown_url_has_no_credentials_query_or_fragment() {
    for (url, text) in [
        ("https://user:pass@example.com:8443/pay?Digits=4242#x", "https://example.com:8443/pay"),
        ("http://[::1]/a%20b?c", "http://[::1]/a%20b"),
        ("relative?Digits=1", "(not a URL)"),
    ] {
        assert_eq!(shown(url), text);
    }
}

#[test]
fn the_policy_follows_from_the_configuration() {
    for (allow, listen, public_url, policy) in [
        (false, "127.0.0.1", None, TargetPolicy::PublicHttpsAndLoopback),
        (false, "::1", Some("http://localhost:8080"), TargetPolicy::PublicHttpsAndLoopback),
        (false, "::ffff:127.0.0.1", None, TargetPolicy::PublicHttpsAndLoopback),
        (false, "127.0.0.1", Some("https://pay.example.com"), TargetPolicy::PublicHttps),
        (false, "0.0.0.0", Some("http://localhost:8080"), TargetPolicy::PublicHttps),
        (false, "10.0.0.1", None, TargetPolicy::PublicHttps),
        (true, "0.0.0.0", None, TargetPolicy::Open),
        (true, "127.0.0.1", Some("https://pay.example.com"), TargetPolicy::Open),
    ] {
        let public_url = public_url.map(|url| url.parse().unwrap());
        let exposure = Exposure::of(listen.parse().unwrap(), public_url.as_ref());
        assert_eq!(TargetPolicy::of(allow, exposure), policy, "{allow} {listen} {public_url:?}");
    }
}

#[tokio::test]
async fn a_public_server_reaches_no_address_that_is_not_public() {
    let server = TestServer::answering(200, "").await;
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ] {
        let refused = fetched(TargetPolicy::PublicHttps, &format!("https://{host}:{port}/")).await;
        assert_eq!(refused, Err(OutboundError::AddressNotAllowed), "{host}");
        let refused = fetched(TargetPolicy::PublicHttps, &format!("http://{host}:{port}/")).await;
        assert_eq!(refused, Err(OutboundError::PlainHttp), "{host}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_to_no_public_address_is_refused_after_it_is_resolved() {
    let server = TestServer::answering(200, "").await;
    let url = format!("https://localhost:{}/", server.address.port());
    let refused = fetched(TargetPolicy::PublicHttps, &url).await;
    // A machine without certificates does not get as far.
    assert!(matches!(refused, Err(OutboundError::AddressNotAllowed | OutboundError::NoCertificates)), "{refused:?}");
    // By http no certificates are needed: the same resolver, asked for nothing but private networks.
    let private = Reach { private: true, ..Reach::NOWHERE };
    let lookups = Resolver::default().lookups(Bulkhead::Documents);
    let client = plain_client(builder().dns_resolver(Filtered { reach: Some(private), lookups })).unwrap();
    let refused = client.get(format!("http://localhost:{}/", server.address.port())).send().await.unwrap_err();
    assert!(is_unreachable(&refused) && refused.is_connect(), "{refused:?}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_server_on_loopback_reaches_loopback_and_nothing_else_by_http() {
    let server = TestServer::answering(204, "").await;
    let port = server.address.port();
    let policy = TargetPolicy::PublicHttpsAndLoopback;
    for host in ["127.0.0.1", "localhost", "2130706433"] {
        assert_eq!(fetched(policy, &format!("http://{host}:{port}/")).await, Ok(204), "{host}");
    }
    for (url, error) in [
        ("http://10.0.0.1/", OutboundError::AddressNotAllowed),
        ("https://10.0.0.1/", OutboundError::AddressNotAllowed),
        ("http://1.1.1.1/", OutboundError::PlainHttp),
    ] {
        assert_eq!(fetched(policy, url).await, Err(error), "{url}");
    }
    // Let through, and then no TLS server.
    let reached = fetched(policy, &format!("https://127.0.0.1:{port}/")).await;
    assert!(matches!(reached, Err(OutboundError::NotReached(_) | OutboundError::NoCertificates)), "{reached:?}");
}

#[tokio::test]
async fn an_open_server_reaches_everything_but_where_clouds_keep_their_credentials() {
    let server = TestServer::answering(200, "").await;
    let url = format!("http://localhost:{}/", server.address.port());
    assert_eq!(fetched(TargetPolicy::Open, &url).await, Ok(200));
    for url in ["http://169.254.169.254/latest/meta-data", "https://[fe80::1]/", "http://0.0.0.0/"] {
        assert_eq!(fetched(TargetPolicy::Open, url).await, Err(OutboundError::AddressNotAllowed), "{url}");
    }
}

#[tokio::test]
async fn what_is_no_http_url_is_refused() {
    for url in ["", "/thanks", "ftp://127.0.0.1/", "data:text/xml,", "http://", "https://exa mple.com/"] {
        assert_eq!(fetched(TargetPolicy::Open, url).await, Err(OutboundError::InvalidUrl), "{url}");
    }
}

#[tokio::test]
async fn an_error_says_whether_the_request_can_have_arrived() {
    let nobody = fetched(TargetPolicy::Open, &format!("http://{}/", TestServer::nobody().await)).await;
    assert!(matches!(nobody, Err(OutboundError::NotReached(_))), "{nobody:?}");
    // No name has a part of more than 63 characters, so nobody needs to be asked.
    let nowhere = fetched(TargetPolicy::Open, &format!("http://{}.example/", "x".repeat(64))).await;
    assert!(matches!(nowhere, Err(OutboundError::NotReached(_))), "{nowhere:?}");
    let closed = fetched(TargetPolicy::Open, &format!("http://{}/", TestServer::raw(b"").await)).await;
    assert!(matches!(closed, Err(OutboundError::Broken(_))), "{closed:?}");
    let cut = TestServer::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").await;
    let cut = fetched(TargetPolicy::Open, &format!("http://{cut}/")).await;
    assert!(matches!(cut, Err(OutboundError::Broken(_))), "{cut:?}");
    let outbound = Outbound::new(TargetPolicy::Open).unwrap();
    let url = format!("http://{}/", TestServer::silent().await);
    let silent = outbound.send(&OutboundRequest { timeout: Duration::from_millis(50), ..get(&url) }).await;
    assert_eq!(silent.unwrap_err(), OutboundError::TimedOut);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let server = TestServer::start(|_, _| with_header(307, "location", "/elsewhere", "")).await;
    assert_eq!(fetched(TargetPolicy::Open, &server.url("/")).await, Ok(307));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    let server = TestServer::answering(200, "0123456789").await;
    let outbound = Outbound::new(TargetPolicy::Open).unwrap();
    for (body_limit, body, cut) in [(4, "0123", true), (10, "0123456789", false), (0, "", true)] {
        let request = OutboundRequest { body_limit, ..get(&server.url("/")) };
        let response = outbound.send(&request).await.unwrap();
        assert_eq!((&response.body[..], response.cut), (body.as_bytes(), cut), "{body_limit}");
    }
}

#[tokio::test]
async fn without_certificates_the_server_starts_and_each_https_request_says_why_it_fails() {
    let made = Cell::new(0);
    let fails_first = || {
        made.set(made.get() + 1);
        if made.get() > 1 { builder() } else { builder().user_agent("\n") }
    };
    let (_, has_certificates) = tls_client(fails_first).unwrap();
    assert_eq!((made.get(), has_certificates), (2, false));

    let outbound = Outbound::without_certificates(TargetPolicy::PublicHttps).unwrap();
    let error = outbound.send(&get("https://pay.example.com/")).await.unwrap_err();
    assert_eq!(error, OutboundError::NoCertificates);
    assert!(error.to_string().contains("ca-certificates"));

    let gateway = Gateway::without_certificates().unwrap();
    let reply = gateway
        .send(GatewayRequest {
            method: Method::POST,
            endpoint: &Endpoint::parse("https://gateway.example.com/").unwrap(),
            authorization: &Authorization::None,
            headers: HeaderMap::new(),
            body: None,
            timeout: Duration::from_secs(30),
            reply_bytes_max: REPLY_BYTES_MAX,
        })
        .await;
    assert!(matches!(reply, Err(GatewayFault::NotReached(reason)) if reason.contains("ca-certificates")));
}
