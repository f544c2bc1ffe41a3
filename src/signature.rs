//! `X-Twilio-Signature`: what a request is signed with, in both directions.
//!
//! Shape:   one pure function. Requests we send are signed with it, upgrades we receive are compared with it.
//! Secrets: the auth token is the key and goes nowhere else. A signature tells nothing of the fields it covers.
//! Sources: Twilio "Webhooks Security", "Validating Signatures from Twilio"; spec/media-streams.md 1.6.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::form::{Form, Value};
use crate::secret::Secret;

/// The name of the header, as Twilio writes it. Header names are compared without case.
pub const HEADER: &str = "X-Twilio-Signature";

/// The value of [`HEADER`]: base64 of HMAC-SHA1, keyed with the auth token, over the full URL (scheme to query) and then
/// name and value of every POST field, sorted by name byte by byte, without delimiters. A GET has no `form`.
#[must_use]
pub fn sign(auth_token: &Secret, url: &str, form: Option<&Form>) -> String {
    #[allow(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, section 2)")]
    let mut mac = Hmac::<Sha1>::new_from_slice(auth_token.expose().as_bytes()).expect("a key of any length");
    mac.update(url.as_bytes());
    let mut fields: Vec<(&str, &Value)> = form.into_iter().flat_map(Form::iter).collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in fields {
        mac.update(name.as_bytes());
        mac.update(value.expose().as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Secret {
        Secret::new("12345".into())
    }

    #[test]
    fn the_example_twilio_publishes_is_signed_as_published() {
        let mut form = Form::new();
        // Not in the order of the names, on purpose.
        form.set("To", "+18005551212");
        form.set("CallSid", "CA1234567890ABCDE");
        form.set("Digits", Secret::new("1234".into()));
        form.set("From", "+14158675309");
        form.set("Caller", "+14158675309");
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert_eq!(sign(&token(), url, Some(&form)), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    }

    #[test]
    fn a_request_without_fields_is_signed_over_its_url_alone() {
        let url = "wss://pay.example.com/stream/twilio";
        assert_eq!(sign(&token(), url, None), "UMfmRPxR5ZpXTABOOPoWslunMKI=");
        assert_eq!(sign(&token(), url, Some(&Form::new())), "UMfmRPxR5ZpXTABOOPoWslunMKI=");
    }

    #[test]
    fn names_are_sorted_byte_by_byte_capitals_first() {
        let form = |names: [&'static str; 3]| {
            let mut form = Form::new();
            for name in names {
                form.set(name, "1");
            }
            sign(&token(), "https://example.com/", Some(&form))
        };
        assert_eq!(form(["a", "B", "C"]), form(["B", "C", "a"]));
        let joined = sign(&token(), "https://example.com/B1C1a1", None);
        assert_eq!(form(["a", "B", "C"]), joined);
    }

    #[test]
    fn a_token_longer_than_a_hash_block_signs_too() {
        let long = Secret::new("t".repeat(200));
        assert_ne!(sign(&long, "https://example.com/", None), sign(&token(), "https://example.com/", None));
    }
}
