//! Whether an upgrade request really comes from Twilio: its signature against the URLs Twilio may have signed.
//!
//! Shape:   one pure function, from configuration and request to yes (and how) or no (and what was compared).
//! Errors:  [`UpgradeRefused`], an answer of 403. It names the URLs, never the token and never a signature.
//! Secrets: compared in constant time.
//! Sources: spec/media-streams.md 1.6. The signed scheme is `wss`, not `https`; whether a port or a slash at the end is
//!          part of what Twilio signs has not been the same over the years, so each way is tried and the log says which.

use subtle::ConstantTimeEq as _;
use url::Url;

use crate::secret::Secret;
use crate::signature::sign;

/// Why an upgrade is answered with 403.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UpgradeRefused {
    /// The request carries no signature at all.
    #[error("no X-Twilio-Signature header; one for {} was expected", .expected.join(" or "))]
    Unsigned {
        /// The URLs a signature would have been compared for.
        expected: Vec<String>,
    },
    /// The signature fits none of the URLs: another token, or `public_url` is not the address Twilio dialed.
    #[error("X-Twilio-Signature fits none of {} (is public_url what Twilio dials, and auth_token this account's?)", .compared.join(", "))]
    WrongSignature {
        /// The URLs it was compared for.
        compared: Vec<String>,
    },
    /// `public_url` is no address that a socket can be dialed at.
    #[error("public_url must begin with https, http, wss or ws and name a host")]
    NoPublicAddress,
}

/// How the port of a signed URL is written.
#[derive(Clone, Copy)]
enum Port {
    AsConfigured,
    Left,
    Default,
}

/// The ways a URL may have been written when it was signed, the likeliest first.
const WAYS: [(&str, Port, bool); 6] = [
    ("as configured", Port::AsConfigured, false),
    ("without port", Port::Left, false),
    ("with default port", Port::Default, false),
    ("as configured, other slash at the end", Port::AsConfigured, true),
    ("without port, other slash at the end", Port::Left, true),
    ("with default port, other slash at the end", Port::Default, true),
];

/// Compares the `X-Twilio-Signature` of an upgrade with the signature of every URL that may be meant.
///
/// `public_url` is the configured origin (`Host` and `X-Forwarded-*` are not to be trusted); a path of its own goes
/// before `path`, which is path and query as they stand in the request line. Gives the way that matched, for the log.
///
/// # Errors
///
/// [`UpgradeRefused`] if there is no signature, none matches, or `public_url` cannot be dialed.
pub fn upgrade_matches(
    auth_token: &Secret,
    public_url: &Url,
    path: &str,
    header: Option<&str>,
) -> Result<&'static str, UpgradeRefused> {
    let urls = signed_urls(public_url, path).ok_or(UpgradeRefused::NoPublicAddress)?;
    let only_urls = |urls: Vec<(&str, String)>| urls.into_iter().map(|(_, url)| url).collect();
    let Some(header) = header else {
        return Err(UpgradeRefused::Unsigned { expected: only_urls(urls) });
    };
    let is_signature_of =
        |url: &str| -> bool { sign(auth_token, url, None).as_bytes().ct_eq(header.as_bytes()).into() };
    match urls.iter().find(|(_, url)| is_signature_of(url)) {
        Some((way, _)) => Ok(way),
        None => Err(UpgradeRefused::WrongSignature { compared: only_urls(urls) }),
    }
}

/// The URLs that may have been signed, each once, with the way it is written.
fn signed_urls(public_url: &Url, path: &str) -> Option<Vec<(&'static str, String)>> {
    let (scheme, default_port) = match public_url.scheme() {
        "https" | "wss" => ("wss", 443),
        "http" | "ws" => ("ws", 80),
        _ => return None,
    };
    let host = public_url.host_str()?;
    let (path, query) = path.find('?').map_or((path, ""), |at| path.split_at(at));
    let path = format!("{}{path}", public_url.path().trim_end_matches('/'));
    let mut urls: Vec<(&'static str, String)> = Vec::with_capacity(WAYS.len());
    for (way, port, other_slash) in WAYS {
        let port = match port {
            Port::AsConfigured => public_url.port().map(|port| format!(":{port}")).unwrap_or_default(),
            Port::Left => String::new(),
            Port::Default => format!(":{default_port}"),
        };
        let path = match (other_slash, path.strip_suffix('/')) {
            (false, _) => path.clone(),
            (true, Some(bare)) => bare.to_owned(),
            (true, None) => format!("{path}/"),
        };
        let url = format!("{scheme}://{host}{port}{path}{query}");
        if urls.iter().all(|(_, known)| *known != url) {
            urls.push((way, url));
        }
    }
    Some(urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/stream/twilio";

    fn token() -> Secret {
        Secret::new("12345".into())
    }

    fn asked(public_url: &str, path: &str, signed: &str) -> Result<&'static str, UpgradeRefused> {
        let header = sign(&token(), signed, None);
        upgrade_matches(&token(), &Url::parse(public_url).unwrap(), path, Some(&header))
    }

    #[test]
    fn the_configured_address_with_the_socket_scheme_is_what_twilio_signs() {
        let public_url = Url::parse("https://pay.example.com").unwrap();
        let way = upgrade_matches(&token(), &public_url, PATH, Some("UMfmRPxR5ZpXTABOOPoWslunMKI="));
        assert_eq!(way, Ok("as configured"));
        assert_eq!(asked("http://127.0.0.1:8080/", PATH, "ws://127.0.0.1:8080/stream/twilio"), Ok("as configured"));
        assert_eq!(asked("wss://pay.example.com", PATH, "wss://pay.example.com/stream/twilio"), Ok("as configured"));
        assert_eq!(asked("https://[::1]:99", PATH, "wss://[::1]:99/stream/twilio"), Ok("as configured"));
    }

    #[test]
    fn port_and_slash_may_be_written_in_every_known_way() {
        for (signed, way) in [
            ("wss://pay.example.com:8443/stream/twilio", "as configured"),
            ("wss://pay.example.com/stream/twilio", "without port"),
            ("wss://pay.example.com:443/stream/twilio", "with default port"),
            ("wss://pay.example.com:8443/stream/twilio/", "as configured, other slash at the end"),
            ("wss://pay.example.com/stream/twilio/", "without port, other slash at the end"),
            ("wss://pay.example.com:443/stream/twilio/", "with default port, other slash at the end"),
        ] {
            assert_eq!(asked("https://pay.example.com:8443", PATH, signed), Ok(way), "{signed}");
        }
        let (base, signed) = ("http://pay.example.com", "ws://pay.example.com:80/stream/twilio");
        assert_eq!(asked(base, "/stream/twilio/", signed), Ok("with default port, other slash at the end"));
    }

    #[test]
    fn a_path_of_the_public_address_goes_first_and_a_query_stays_at_the_end() {
        let base = "https://pay.example.com/phones/";
        assert_eq!(asked(base, PATH, "wss://pay.example.com/phones/stream/twilio"), Ok("as configured"));
        let other = asked(base, "/stream/twilio?a=/", "wss://pay.example.com/phones/stream/twilio/?a=/");
        assert_eq!(other, Ok("as configured, other slash at the end"));
    }

    #[test]
    fn a_signature_for_anything_else_is_refused_with_the_urls_that_were_compared() {
        for signed in [
            "https://pay.example.com/stream/twilio",
            "ws://pay.example.com/stream/twilio",
            "wss://pay.example.com:8443/stream/twilio",
            "wss://evil.example.com/stream/twilio",
            "wss://pay.example.com/stream/twilio//",
            "wss://pay.example.com/stream/Twilio",
        ] {
            let refused = asked("https://pay.example.com", PATH, signed).unwrap_err();
            let UpgradeRefused::WrongSignature { compared } = &refused else { panic!("{refused:?}") };
            assert_eq!(
                compared,
                &[
                    "wss://pay.example.com/stream/twilio",
                    "wss://pay.example.com:443/stream/twilio",
                    "wss://pay.example.com/stream/twilio/",
                    "wss://pay.example.com:443/stream/twilio/",
                ]
            );
            assert!(refused.to_string().contains("wss://pay.example.com:443/stream/twilio/"));
            assert!(!format!("{refused} {refused:?}").contains("UMfmRPxR5ZpXTABOOPoWslunMKI"));
            assert!(!format!("{refused} {refused:?}").contains("12345"));
        }
    }

    #[test]
    fn another_token_an_empty_header_and_no_header_are_refused() {
        let public_url = Url::parse("https://pay.example.com").unwrap();
        let signed = sign(&Secret::new("54321".into()), "wss://pay.example.com/stream/twilio", None);
        for header in [signed.as_str(), "", "UMfmRPxR5ZpXTABOOPoWslunMKI", "umfmRPxR5ZpXTABOOPoWslunMKI="] {
            let refused = upgrade_matches(&token(), &public_url, PATH, Some(header)).unwrap_err();
            assert!(matches!(refused, UpgradeRefused::WrongSignature { .. }), "{refused:?}");
        }
        let refused = upgrade_matches(&token(), &public_url, PATH, None).unwrap_err();
        assert!(matches!(&refused, UpgradeRefused::Unsigned { expected } if expected.len() == 4), "{refused:?}");
    }

    #[test]
    fn the_name_and_password_of_a_public_address_are_shown_to_nobody() {
        let refused = asked("https://admin:hunter2@pay.example.com", PATH, "wss://x/").unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
        let odd = asked("mailto:pay@example.com", PATH, "wss://x/").unwrap_err();
        assert_eq!(odd, UpgradeRefused::NoPublicAddress);
    }
}
