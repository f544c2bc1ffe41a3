//! What `--url` dials: a server and a flow there, or a document that the call names, and what to do when it takes no call.
//!
//! Errors:  [`CommandFailure`], with how an address is written or what the server wants.

use tokio_tungstenite::tungstenite::Error;
use url::Url;

use crate::cli::CommandFailure;
use crate::flow::link::is_flow_name;
use crate::media::nonce::StreamNonce;

/// A server and a flow there.
#[derive(Debug)]
pub(super) struct DialTarget {
    pub(super) url: Url,
    /// Host and port.
    pub(super) place: String,
    pub(super) flow: String,
}

impl DialTarget {
    /// Puts address and flow together; either may name the flow, or the call's own parameter `url` its document.
    pub(super) fn read(text: &str, flow: Option<&str>, names_url: bool) -> Result<Self, CommandFailure> {
        let wrong =
            |why: &str| CommandFailure(format!("--url {why}; write it as ws://127.0.0.1:8080/media/twilio/FLOW"));
        let mut url = Url::parse(text).map_err(|_| wrong("is not a URL"))?;
        match url.scheme() {
            "ws" if url.host().is_some() => {}
            "wss" => return Err(wrong("cannot dial wss yet: dial the server behind its TLS proxy")),
            _ => return Err(wrong("must begin with ws://")),
        }
        let segments: Vec<String> = url.path().split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        let named = match segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            // At an address that is good once (`touchtone stream-url`).
            [.., "media", "twilio", "~", expires, random] if StreamNonce::parse(expires, random).is_ok() => {
                let flow = "a document at a URL".to_owned();
                let place = format!("{}{}", url.host_str().unwrap_or_default(), port(&url));
                return Ok(Self { url, place, flow });
            }
            [.., "media", "twilio", named, expires, random] if StreamNonce::parse(expires, random).is_ok() => {
                Some((*named).to_owned())
            }
            [.., "media", "twilio", named] => Some((*named).to_owned()),
            [] | [.., "media", "twilio"] => None,
            _ => return Err(wrong("has another path than /media/twilio/FLOW, the one dialect this phone speaks")),
        };
        let flow = match (named, flow) {
            (Some(named), Some(flow)) if named != flow => {
                return Err(CommandFailure(format!(
                    "--url names the flow {named}, the command {flow}: leave one of them out"
                )));
            }
            (Some(named), _) => named,
            (None, Some(flow)) if is_flow_name(flow) => {
                let path = if segments.is_empty() { "media/twilio".to_owned() } else { segments.join("/") };
                url.set_path(&format!("/{path}/{flow}"));
                flow.to_owned()
            }
            (None, None) if names_url => {
                if segments.is_empty() {
                    url.set_path("/media/twilio");
                }
                "a document at a URL".to_owned()
            }
            (None, _) => {
                return Err(wrong("names no flow, and the command neither a flow nor --param url=https://..."));
            }
        };
        let place = format!("{}{}", url.host_str().unwrap_or_default(), port(&url));
        Ok(Self { url, place, flow })
    }
}

fn port(url: &Url) -> String {
    url.port().map(|port| format!(":{port}")).unwrap_or_default()
}

/// Why there is no call, and what to do about it.
pub(super) fn refused(target: &DialTarget, signed: bool, error: &Error) -> CommandFailure {
    let DialTarget { place, flow, .. } = target;
    let status = match error {
        Error::Http(answer) => Some(answer.status().as_u16()),
        _ => None,
    };
    CommandFailure(match (status, error) {
        (Some(403), _) if signed => format!(
            "{place} refused the signature (HTTP 403): is it the server's auth token, and is the server's public_url \
             the address dialled here? Where media.max_age is set, dial what `touchtone stream-url` prints, once"
        ),
        (Some(403), _) => format!(
            "{place} wants the call signed (HTTP 403): give the server's auth token with --auth-token or \
             TOUCHTONE_AUTH_TOKEN"
        ),
        (Some(404), _) => format!("{place} has no flow named {flow} (HTTP 404): look into the server's flows folder"),
        (Some(503), _) => format!("{place} takes no calls right now (HTTP 503): it is full, or shutting down"),
        (Some(status), _) => format!("{place} answered with HTTP status {status} instead of taking the call"),
        (None, Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("nothing listens at {place}: start the server with `touchtone serve`")
        }
        (None, error) => format!("{place}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_names_its_document_needs_no_flow() {
        for text in ["ws://127.0.0.1:8080", "ws://127.0.0.1:8080/media/twilio"] {
            let target = DialTarget::read(text, None, true).map_err(|failure| failure.0).unwrap();
            assert_eq!(target.url.path(), "/media/twilio", "{text}");
            let target = DialTarget::read(text, Some("donate"), true).map_err(|failure| failure.0).unwrap();
            assert_eq!(target.url.path(), "/media/twilio/donate", "a flow goes before it");
            assert!(DialTarget::read(text, None, false).is_err());
        }
    }

    #[test]
    fn an_address_that_is_good_once_is_dialled_as_it_is() {
        let end = "1795000300/abcdefghijklmnopqrstuv";
        for (flow, is) in [("donate", "donate"), ("~", "a document at a URL")] {
            let text = format!("ws://127.0.0.1:8080/media/twilio/{flow}/{end}");
            let target = DialTarget::read(&text, None, false).map_err(|failure| failure.0).unwrap();
            assert_eq!((target.url.as_str(), target.flow.as_str()), (text.as_str(), is));
        }
        for wrong in ["donate/1/short", "donate/now/abcdefghijklmnopqrstuv", "donate/1795000300"] {
            assert!(
                DialTarget::read(&format!("ws://127.0.0.1:8080/media/twilio/{wrong}"), None, false).is_err(),
                "{wrong}"
            );
        }
    }
}
