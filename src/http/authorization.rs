//! How a gateway knows us: what a request carries besides what it asks.
//!
//! Shape:   [`Authorization`] turns into headers just before a request leaves, when its method, URL, headers and body are
//!          final. That is the only place where credentials become bytes on the wire.
//! Errors:  a secret that no header can carry: the request is not sent.
//! Secrets: values are marked as sensitive, so that no HTTP library traces them.
//! Sources: RFC 7617 (Basic), RFC 6750 (Bearer).

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// How a gateway knows us.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// It does not.
    None,
    /// HTTP Basic.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A bearer token.
    Bearer(Secret),
    /// Headers of the gateway's own, each with a secret: `X-API-Key`, say.
    Headers(Vec<(HeaderName, Secret)>),
    /// A signature over the request, made anew for each.
    Signature(Arc<dyn SignRequest>),
}

/// A request that is about to leave, for whoever signs it.
#[derive(Clone, Copy)]
pub struct RequestToSign<'a> {
    /// The method.
    pub method: &'a Method,
    /// Where to.
    pub url: &'a Url,
    /// Its headers, but for those that the HTTP library adds (`Host`, `Content-Length`).
    pub headers: &'a HeaderMap,
    /// Its body; it may hold card data.
    pub body: &'a [u8],
    /// What time it is.
    pub now: Timestamp,
}

/// Signs requests with a gateway's key.
pub trait SignRequest: fmt::Debug + Send + Sync {
    /// The headers that show who sends the request. The same request at the same time has the same ones.
    fn sign(&self, request: &RequestToSign<'_>) -> Vec<(HeaderName, Secret)>;
}

/// A credential that no header can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a credential fits into no header")]
pub(super) struct UnsendableCredential;

impl Authorization {
    /// The headers that a request carries for it.
    pub(super) fn headers(
        &self,
        request: &RequestToSign<'_>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, UnsendableCredential> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Basic { username, password } => {
                let pair = Zeroizing::new(format!("{username}:{}", password.expose()));
                let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                Ok(vec![(AUTHORIZATION, sensitive(&Zeroizing::new(format!("Basic {}", *encoded)))?)])
            }
            Self::Bearer(token) => {
                Ok(vec![(AUTHORIZATION, sensitive(&Zeroizing::new(format!("Bearer {}", token.expose())))?)])
            }
            Self::Headers(headers) => {
                headers.iter().map(|(name, secret)| Ok((name.clone(), sensitive(secret.expose())?))).collect()
            }
            Self::Signature(signer) => {
                signer.sign(request).into_iter().map(|(name, secret)| Ok((name, sensitive(secret.expose())?))).collect()
            }
        }
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, UnsendableCredential> {
    let mut value = HeaderValue::from_str(text).map_err(|_| UnsendableCredential)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::test_server::TestServer;
    use crate::http::{Endpoint, Gateway, GatewayFault, GatewayRequest, REPLY_BYTES_MAX, WipedBody};

    /// Signs with the length of the body, the path and the time.
    #[derive(Debug)]
    struct Lengths(Secret);

    impl SignRequest for Lengths {
        fn sign(&self, request: &RequestToSign<'_>) -> Vec<(HeaderName, Secret)> {
            let RequestToSign { method, url, headers, body, now } = request;
            let known = headers.contains_key("x-step");
            let text = format!("{} {method} {} {known} {} {now}", self.0.expose(), url.path(), body.len());
            vec![(HeaderName::from_static("x-signature"), Secret::new(text))]
        }
    }

    async fn sent(authorization: Authorization) -> Result<Vec<(String, String)>, GatewayFault> {
        let server = TestServer::answering(200, "{}").await;
        let endpoint = Endpoint::parse(&server.url("/pay")).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-step", HeaderValue::from_static("1"));
        let request = GatewayRequest {
            method: Method::POST,
            endpoint: &endpoint,
            authorization: &authorization,
            headers,
            body: Some(WipedBody::new(Zeroizing::new(b"12345".to_vec()))),
            timeout: std::time::Duration::from_secs(5),
            reply_bytes_max: REPLY_BYTES_MAX,
        };
        Gateway::new().unwrap().send(request).await?;
        let seen = server.seen().pop().unwrap();
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        Ok(seen.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
    }

    fn value<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
        headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[tokio::test]
    async fn a_request_carries_the_headers_of_its_authorization() {
        let none = sent(Authorization::None).await.unwrap();
        assert_eq!(value(&none, "authorization"), None);
        let (username, password) = ("shop".to_owned(), Secret::new("s3cret".into()));
        let basic = sent(Authorization::Basic { username, password }).await.unwrap();
        assert_eq!(value(&basic, "authorization"), Some("Basic c2hvcDpzM2NyZXQ="));
        let bearer = sent(Authorization::Bearer(Secret::new("t".into()))).await.unwrap();
        assert_eq!(value(&bearer, "authorization"), Some("Bearer t"));
        let name = HeaderName::from_static("x-api-key");
        let own = sent(Authorization::Headers(vec![(name, Secret::new("k".into()))])).await.unwrap();
        assert_eq!((value(&own, "x-api-key"), value(&own, "authorization")), (Some("k"), None));
    }

    #[tokio::test]
    async fn a_signature_covers_the_request_as_it_leaves() {
        let signed = sent(Authorization::Signature(Arc::new(Lengths(Secret::new("key".into()))))).await.unwrap();
        let signature = value(&signed, "x-signature").unwrap();
        let time = signature.strip_prefix("key POST /pay true 5 ").unwrap_or_else(|| panic!("{signature}"));
        assert!(time.parse::<Timestamp>().is_ok(), "{time}");
    }

    #[tokio::test]
    async fn a_credential_that_no_header_carries_sends_nothing() {
        let name = HeaderName::from_static("x-api-key");
        let headers = Authorization::Headers(vec![(name, Secret::new("4815162342\n".into()))]);
        for broken in [headers, Authorization::Bearer(Secret::new("4815162342\n".into()))] {
            assert!(!format!("{broken:?}").contains("4815162342"));
            match sent(broken).await {
                Err(GatewayFault::NotReached(reason)) => assert_eq!(reason, "a credential fits into no header"),
                other => panic!("{other:?}"),
            }
        }
    }
}
