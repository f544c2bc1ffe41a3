//! Guesses at the account's token, from an address of one's own and through proxies.

use touchtone::config::ConnectionLimits;
use touchtone::rest::attempts::{FAILURES_MAX, SHARED_MAX};

use crate::clients::server;
use crate::support::{ACCOUNT, TOKEN, TestServer};

/// Somebody at the API, whom a proxy may have passed on.
struct Guesser {
    http: reqwest::Client,
    url: String,
}

impl Guesser {
    fn at(server: &TestServer) -> Self {
        touchtone::http::install_crypto_provider();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, url: format!("http://{}/2010-04-01/Accounts/{ACCOUNT}/Calls.json", server.address) }
    }

    async fn ask(&self, token: &str, forwarded: Option<&str>) -> u16 {
        let mut request = self.http.get(&self.url).basic_auth(ACCOUNT, Some(token));
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-for", forwarded);
        }
        request.send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_a_guesser_is_shut_out_and_nobody_else() {
    let server = server(&[], "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]", ConnectionLimits::default()).await;
    let guesser = Guesser::at(&server);
    let stranger = Some("198.41.0.4, 203.1.112.7, 10.1.1.1");
    for _ in 0..FAILURES_MAX {
        assert_eq!(guesser.ask("wrong", stranger).await, 401);
    }
    // It does not help to write another address before one's own.
    for forwarded in ["203.1.112.7", "8.8.8.8, 203.1.112.7", "10.9.9.9, 203.1.112.7"] {
        assert_eq!(guesser.ask(TOKEN, Some(forwarded)).await, 429, "{forwarded}");
    }
    for forwarded in [Some("203.1.112.8"), Some("203.1.112.7, 198.41.0.4"), None] {
        assert_eq!(guesser.ask(TOKEN, forwarded).await, 200, "{forwarded:?}");
    }
}

#[tokio::test]
async fn who_is_no_trusted_proxy_cannot_speak_for_others() {
    let server = server(&[], "trusted_proxies = [\"10.0.0.0/8\"]", ConnectionLimits::default()).await;
    let guesser = Guesser::at(&server);
    for guess in 0..FAILURES_MAX {
        assert_eq!(guesser.ask("wrong", Some(&format!("203.1.112.{guess}"))).await, 401);
    }
    assert_eq!(guesser.ask("wrong", Some("203.1.112.99")).await, 429, "all came from one address");
}

#[tokio::test]
async fn guesses_from_this_machine_are_limited_too_unless_somebody_is_at_home_there() {
    for is_at_home in [false, true] {
        let server = server(&[], "", ConnectionLimits::default()).await;
        let guesser = Guesser::at(&server);
        if is_at_home {
            assert_eq!(guesser.ask(TOKEN, None).await, 200);
        }
        for guess in 0..2 * SHARED_MAX {
            let status = guesser.ask("wrong", None).await;
            assert_eq!(status, if guess < FAILURES_MAX { 401 } else { 429 }, "{guess}");
        }
        assert_eq!(guesser.ask(TOKEN, None).await, if is_at_home { 200 } else { 429 });
    }
}

#[tokio::test]
async fn an_account_that_is_guessed_at_from_everywhere_lets_its_owner_in() {
    let server = server(&[], "trusted_proxies = [\"127.0.0.1\"]", ConnectionLimits::default()).await;
    let guesser = Guesser::at(&server);
    let mut told_to_wait = 0;
    for guess in 0..150 {
        let from = format!("203.1.{}.{}", 100 + guess / 50, guess % 50);
        told_to_wait += u32::from(guesser.ask("wrong", Some(&from)).await == 429);
    }
    assert_eq!(told_to_wait, 50);
    assert_eq!(guesser.ask(TOKEN, Some("203.1.99.99")).await, 200);
}
