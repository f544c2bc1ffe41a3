//! Whether an upgrade request really comes from its platform: Twilio's is signed, every other one carries a secret.
//!
//! Shape:   pure functions: [`proof`] says what a dialect needs; [`upgrade_matches`] compares Twilio's signature with the URLs
//!          that may have been signed; [`given`] finds the secret of all others.
//! Limits:  a request is one try: of several secrets in it one is looked at.
//! Errors:  [`UpgradeRefused`], an answer of 403. It names URLs, never a token, a signature, a secret or a query.
//! Secrets: compared in constant time.
//! Sources: spec/media-streams.md 1.6 and, for who sends what else, 2.4, 3.5, 4.5, 5.5, 6.4, 7.5, 8. The signed scheme is
//!          `wss`, not `https`; whether a port or a slash at the end is part of what Twilio signs has not been the same over
//!          the years, so each way is tried and the log says which. Plivo signs as well, with a token that is not ours to
//!          know and by a rule that its manuals do not agree on: it carries the secret like the others.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;
use url::{Host, Url};

use super::dialect;
use super::dialect::Proof;
use super::nonce::NonceRefused;
use crate::secret::Secret;
use crate::signature::sign;

/// The shortest secret there may be, in characters: with 16 of a keyboard's, guessing is hopeless.
pub const SECRET_MIN: usize = 16;

/// Below it a secret is warned of: 32 hexadecimal digits are the 128 bits that keys have, and a shorter one may be a word.
pub const SECRET_GOOD: usize = 32;

/// The query parameter that holds the secret.
const PARAMETER: &str = "secret";

/// The platforms whose dialects are to come. None of them signs, or not with anything we know.
const TO_COME: [&str; 7] = ["signalwire", "telnyx", "plivo", "vonage", "jambonz", "asterisk", "freeswitch"];

/// What the upgrade of a dialect has to carry, by the name in its path, whether this version speaks it or not; and that name.
/// None: it is no dialect's.
///
/// A secret is no way around a signature: it would be the weaker rule for whoever may choose, and Twilio always signs.
#[must_use]
pub fn proof(name: &str) -> Option<(&'static str, Proof)> {
    if let Some(known) = dialect(name) {
        return Some((known.name, known.proof));
    }
    TO_COME.into_iter().find(|unbuilt| *unbuilt == name).map(|unbuilt| (unbuilt, Proof::Secret))
}

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
    /// A platform that does not sign, and nothing else is agreed on.
    #[error(
        "{platform} does not sign its upgrades: set media.secret to a random text of at least {SECRET_MIN} characters and let the platform send it"
    )]
    NoSecretSet {
        /// Whose upgrade it is.
        platform: &'static str,
    },
    /// No secret in the request.
    #[error(
        "it carries no secret; media.secret was expected as Authorization: Bearer, as the password of HTTP Basic, as ?secret= or at the end of the path"
    )]
    NoSecret,
    /// Another secret.
    #[error("its secret is not media.secret")]
    WrongSecret,
    /// The URL is not good for a call, or not any more.
    #[error(transparent)]
    Nonce(#[from] NonceRefused),
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
/// before `path`, which is path and query as they stand in the request line. A platform signs the letters that it was given,
/// and a [`Url`] writes its host small: `spellings` are other ways to write the same host, and what is another host is not
/// compared. Gives the way that matched, for the log. `shown` is what a refusal shows in place of `path`: what may be somebody's secret is not repeated.
///
/// # Errors
///
/// [`UpgradeRefused`] if there is no signature, none matches, or `public_url` cannot be dialed.
pub fn upgrade_matches(
    auth_token: &Secret,
    public_url: &Url,
    spellings: &[&str],
    path: &str,
    shown: &str,
    header: Option<&str>,
) -> Result<&'static str, UpgradeRefused> {
    let urls = signed_urls(public_url, spellings, path).ok_or(UpgradeRefused::NoPublicAddress)?;
    let shown = || signed_urls(public_url, &[], shown).unwrap_or_default().into_iter().map(|(_, url)| url).collect();
    let Some(header) = header else {
        return Err(UpgradeRefused::Unsigned { expected: shown() });
    };
    let is_signature_of =
        |url: &str| -> bool { sign(auth_token, url, None).as_bytes().ct_eq(header.as_bytes()).into() };
    match urls.iter().find(|(_, url)| is_signature_of(url)) {
        Some((way, _)) => Ok(way),
        None => Err(UpgradeRefused::WrongSignature { compared: shown() }),
    }
}

/// The secret that an upgrade carries: at the end of its path, else in its query, else in its `Authorization`.
///
/// In this order, since a header may be meant for a proxy on the way. The header is a bearer token, or HTTP Basic with any
/// name and the secret as password, or the bare secret: one platform's manual does not say which it sends.
#[must_use]
pub fn given(path: Option<Secret>, query: Option<&str>, authorization: Option<&[u8]>) -> Option<Secret> {
    let of_query = || {
        let mut parameters = form_urlencoded::parse(query?.as_bytes());
        parameters.find(|(name, _)| name == PARAMETER).map(|(_, value)| Secret::new(value.into_owned()))
    };
    path.or_else(of_query).or_else(|| authorization.map(of_header))
}

/// The secret of an `Authorization` header. One that cannot be read is a wrong one.
fn of_header(header: &[u8]) -> Secret {
    let rest = |scheme: &str| {
        let (start, rest) = header.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest.trim_ascii())
    };
    let text = |bytes: &[u8]| Secret::new(std::str::from_utf8(bytes).unwrap_or_default().to_owned());
    if let Some(token) = rest("bearer ") {
        return text(token);
    }
    let Some(encoded) = rest("basic ") else { return text(header.trim_ascii()) };
    let decoded = STANDARD.decode(encoded).map(zeroize::Zeroizing::new).unwrap_or_default();
    let password = decoded.iter().position(|byte| *byte == b':').and_then(|colon| decoded.get(colon + 1..));
    text(password.unwrap_or_default())
}

/// What a platform is told to dial for `path`, and signs.
///
/// # Errors
/// [`UpgradeRefused::NoPublicAddress`].
pub fn dialed(public_url: &Url, path: &str) -> Result<String, UpgradeRefused> {
    let urls = signed_urls(public_url, &[], path).ok_or(UpgradeRefused::NoPublicAddress)?;
    urls.into_iter().next().map(|(_, url)| url).ok_or(UpgradeRefused::NoPublicAddress)
}

/// The URLs that may have been signed, each once, with the way it is written.
fn signed_urls(public_url: &Url, spellings: &[&str], path: &str) -> Option<Vec<(&'static str, String)>> {
    let (scheme, default_port) = match public_url.scheme() {
        "https" | "wss" => ("wss", 443),
        "http" | "ws" => ("ws", 80),
        _ => return None,
    };
    let host = public_url.host_str()?;
    let is_same = |spelling: &&&str| Host::parse(spelling).is_ok_and(|spelled| spelled.to_string() == host);
    let spelled: Vec<&str> = [host].into_iter().chain(spellings.iter().filter(is_same).copied()).collect();
    let (path, query) = path.find('?').map_or((path, ""), |at| path.split_at(at));
    let path = format!("{}{path}", public_url.path().trim_end_matches('/'));
    let mut urls: Vec<(&'static str, String)> = Vec::with_capacity(WAYS.len());
    for (way, port, other_slash) in WAYS {
        let port = match port {
            Port::AsConfigured => public_url.port().map(|port| format!(":{port}")).unwrap_or_default(),
            Port::Left => String::new(),
            // A `Url` drops the default port, also where the operator wrote it.
            Port::Default => format!(":{default_port}"),
        };
        let path = match (other_slash, path.strip_suffix('/')) {
            (false, _) => Cow::from(&path),
            (true, Some(bare)) => bare.into(),
            (true, None) => format!("{path}/").into(),
        };
        for host in &spelled {
            let url = format!("{scheme}://{host}{port}{path}{query}");
            // Ways coincide where no port is configured; each URL is compared and shown once.
            if urls.iter().all(|(_, known)| *known != url) {
                urls.push((way, url));
            }
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
        upgrade_matches(&token(), &Url::parse(public_url).unwrap(), &[], path, path, Some(&header))
    }

    #[test]
    fn the_host_may_be_spelled_as_the_platform_was_given_it_and_no_other_host_is_compared() {
        let public_url = Url::parse("https://Pay.Example.com").unwrap();
        let asked = |spellings: &[&str], signed: &str| {
            let header = sign(&token(), signed, None);
            upgrade_matches(&token(), &public_url, spellings, PATH, PATH, Some(&header))
        };
        let spellings = ["Pay.Example.com", "PAY.example.com"];
        for host in ["pay.example.com", "Pay.Example.com", "PAY.example.com"] {
            assert_eq!(asked(&spellings, &format!("wss://{host}/stream/twilio")), Ok("as configured"), "{host}");
            assert_eq!(
                asked(&spellings, &format!("wss://{host}:443/stream/twilio")),
                Ok("with default port"),
                "{host}"
            );
        }
        assert!(asked(&spellings, "wss://PAY.EXAMPLE.COM/stream/twilio").is_err(), "nobody wrote it so");
        for other in
            ["evil.example.com", "Pay.Example.com.evil.example", "", "a b", "Pay.Example.com/x", "x@pay.example.com"]
        {
            assert!(asked(&[other], &format!("wss://{other}/stream/twilio")).is_err(), "{other}");
        }
        let international = Url::parse("https://Bücher.example").unwrap();
        let header = sign(&token(), "wss://Bücher.example/stream/twilio", None);
        let way = upgrade_matches(&token(), &international, &["Bücher.example"], PATH, PATH, Some(&header));
        assert_eq!(way, Ok("as configured"));
    }

    #[test]
    fn the_configured_address_with_the_socket_scheme_is_what_twilio_signs() {
        let public_url = Url::parse("https://pay.example.com").unwrap();
        let way = upgrade_matches(&token(), &public_url, &[], PATH, PATH, Some("UMfmRPxR5ZpXTABOOPoWslunMKI="));
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
            let refused = upgrade_matches(&token(), &public_url, &[], PATH, PATH, Some(header)).unwrap_err();
            assert!(matches!(refused, UpgradeRefused::WrongSignature { .. }), "{refused:?}");
        }
        let refused = upgrade_matches(&token(), &public_url, &[], PATH, PATH, None).unwrap_err();
        assert!(matches!(&refused, UpgradeRefused::Unsigned { expected } if expected.len() == 4), "{refused:?}");
    }

    #[test]
    fn the_name_and_password_of_a_public_address_are_shown_to_nobody() {
        let refused = asked("https://admin:hunter2@pay.example.com", PATH, "wss://x/").unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
        let odd = asked("mailto:pay@example.com", PATH, "wss://x/").unwrap_err();
        assert_eq!(odd, UpgradeRefused::NoPublicAddress);
    }

    #[test]
    fn a_refusal_shows_what_it_is_told_to_show() {
        let public_url = Url::parse("https://pay.example.com").unwrap();
        for header in [None, Some("UMfmRPxR5ZpXTABOOPoWslunMKI=")] {
            let refused =
                upgrade_matches(&token(), &public_url, &[], "/stream/hunter2?secret=hunter2", "/stream/…", header);
            let told = format!("{0} {0:?}", refused.unwrap_err());
            assert!(told.contains("wss://pay.example.com/stream/…") && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn twilio_signs_and_everybody_else_carries_a_secret() {
        assert_eq!(proof("twilio"), Some(("twilio", Proof::Signature)));
        for name in ["signalwire", "telnyx", "plivo", "vonage", "jambonz", "asterisk", "freeswitch"] {
            assert_eq!(proof(name), Some((name, Proof::Secret)));
        }
        for known in crate::media::DIALECTS {
            assert_eq!(proof(known.name), Some((known.name, known.proof)));
        }
        for none in ["Twilio", "", "hunter2"] {
            assert_eq!(proof(none), None);
        }
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    /// What is found of a path, a query and a header.
    fn found(path: Option<&str>, query: Option<&str>, header: Option<&str>) -> Option<String> {
        let path = path.map(|path| Secret::new(path.to_owned()));
        given(path, query, header.map(str::as_bytes)).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn a_secret_comes_in_the_path_the_query_or_the_header() {
        assert_eq!(found(None, None, None), None);
        assert_eq!(found(Some("hunter2"), None, None).unwrap(), "hunter2");
        for (query, secret) in [
            ("secret=hunter2", Some("hunter2")),
            ("flow=x&secret=a%2Bb%20c&secret=other", Some("a+b c")),
            ("secret=", Some("")),
            ("Secret=hunter2", None),
            ("", None),
        ] {
            assert_eq!(found(None, Some(query), None).as_deref(), secret, "{query}");
        }
        for (header, secret) in [
            ("Bearer hunter2", "hunter2"),
            ("bEARER  hunter2 ", "hunter2"),
            ("hunter2", "hunter2"),
            (basic("anybody:hunter2").as_str(), "hunter2"),
            (basic(":hunter2:x").as_str(), "hunter2:x"),
            (basic("hunter2").as_str(), ""),
            ("Basic hunter2", ""),
            ("Digest hunter2", "Digest hunter2"),
        ] {
            assert_eq!(found(None, None, Some(header)).unwrap(), secret, "{header}");
        }
        assert_eq!(given(None, None, Some(b"Bearer \xff")).unwrap().expose(), "");
    }

    #[test]
    fn a_request_is_one_try_however_many_secrets_it_carries() {
        assert_eq!(found(Some("a"), Some("secret=b"), Some("Bearer c")).unwrap(), "a");
        assert_eq!(found(None, Some("secret=b"), Some("Bearer c")).unwrap(), "b");
        assert_eq!(found(None, Some("a=b"), Some("Bearer c")).unwrap(), "c");
    }
}
