//! Credentials of a URL as an answer to a Digest challenge.
//!
//! Shape:   [`respond`], from the answer that refused a request to the `Authorization` of the one that is made instead.
//! Limits:  [`CHALLENGE_MAX`]; qop `auth`, MD5 and SHA-256, as the servers of applications have them.
//! Errors:  none; where nothing can be responded the refusal stands.
//! Secrets: user name and password go into the hash and the header, which is marked as sensitive.
//! Sources: RFC 7616; Twilio, "Security", "HTTP authentication".

use http_auth::{PasswordClient, PasswordParams};
use percent_encoding::percent_decode_str;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use url::Url;
use zeroize::Zeroizing;

/// The longest challenge that is read, in bytes. Chosen freely: they are some hundred bytes long.
const CHALLENGE_MAX: usize = 4096;

/// What `Authorization` says to a Digest challenge. None: there is none of a kind that is known, or no credentials for it.
/// Basic needs no answer, as it is sent unasked.
pub(super) fn respond(url: &Url, method: &Method, refusal: &HeaderMap) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let challenges = refusal.get_all(WWW_AUTHENTICATE).iter().filter_map(|challenge| challenge.to_str().ok());
    let mut client = challenges.filter(|challenge| challenge.len() <= CHALLENGE_MAX).find_map(|challenge| {
        match PasswordClient::try_from(challenge) {
            Ok(PasswordClient::Digest(client)) => Some(client),
            _ => None,
        }
    })?;
    let decoded = |part: &str| Zeroizing::new(percent_decode_str(part).decode_utf8_lossy().into_owned());
    let (username, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
    let uri = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let response = client.respond(&PasswordParams {
        username: &username,
        password: &password,
        uri: &uri,
        method: method.as_str(),
        body: None,
    });
    let mut value = HeaderValue::from_str(&response.ok()?).ok()?;
    value.set_sensitive(true);
    Some(value)
}
