//! The WebSocket of a call. What a platform sends is never in the clear in a buffer that outlives the message.
//!
//! Shape:   [`upgraded`] answers the request for a stream and gives the socket; [`WebSocket`] is a `Stream` of [`Heard`] and a
//!          `Sink` of messages. The protocol is tungstenite's.
//! Limits:  those of the [`WebSocketConfig`] it is given.
//! Errors:  [`SocketError`]: the connection is lost or spoken wrongly; nothing can be read any more.
//! Secrets: tungstenite unmasks a frame in the very buffer that it reads into, and forgets it there: the keys of a call lay
//!          side by side in it until some kilobytes later. So frames come to it in a mask that it does not know ([`remask`]),
//!          and are unmasked here, one message at a time, in a block of their own that is wiped when it is dropped.
//! Sources: RFC 6455, sections 4.2 and 5.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::{Sink, Stream};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use zeroize::{Zeroize, Zeroizing};

use remask::Remasked;

mod remask;

/// The socket of a stream that came in by HTTP.
pub type CallSocket = WebSocket<TokioIo<Upgraded>>;

/// Something that the platform sent.
#[derive(Debug)]
pub enum Heard {
    /// A text.
    Text(Zeroizing<String>),
    /// Bytes.
    Binary(Zeroizing<Vec<u8>>),
    /// A sign of life; tungstenite answers a ping itself.
    Alive,
    /// It closes the stream.
    Closed,
}

/// Why nothing can be read or written any more.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The connection failed, or what came is no WebSocket's.
    #[error("{0}")]
    Protocol(#[from] Error),
    /// A text that is none.
    #[error("a text message is not UTF-8")]
    NotText,
}

/// A WebSocket, on the server's side.
#[derive(Debug)]
pub struct WebSocket<Io>(WebSocketStream<Remasked<Io>>);

impl<Io: AsyncRead + AsyncWrite + Unpin> WebSocket<Io> {
    /// The socket on a connection whose handshake is over.
    pub async fn new(io: Io, config: WebSocketConfig) -> Self {
        Self(WebSocketStream::from_raw_socket(Remasked::new(io), Role::Server, Some(config)).await)
    }

    fn heard(&mut self, message: Message) -> Option<Result<Heard, SocketError>> {
        Some(Ok(match message {
            Message::Binary(masked) => {
                let io = self.0.get_mut();
                let bytes = io.unmasked(&masked);
                if !io.next_is_text() {
                    return Some(Ok(Heard::Binary(bytes)));
                }
                let mut bytes = bytes;
                // Moved, not copied: one block holds the text, and is wiped.
                match String::from_utf8(std::mem::take(&mut *bytes)) {
                    Ok(text) => Heard::Text(Zeroizing::new(text)),
                    Err(error) => {
                        error.into_bytes().zeroize();
                        return Some(Err(SocketError::NotText));
                    }
                }
            }
            Message::Ping(_) | Message::Pong(_) => Heard::Alive,
            Message::Close(_) => Heard::Closed,
            // Texts arrive as bytes, and frames not at all.
            Message::Text(_) | Message::Frame(_) => return None,
        }))
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<Io> {
    type Item = Result<Heard, SocketError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.0).poll_next(context)) {
                Some(Ok(message)) => match self.heard(message) {
                    Some(heard) => Some(heard),
                    None => continue,
                },
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => None,
                Some(Err(error)) => Some(Err(error.into())),
            });
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Sink<Message> for WebSocket<Io> {
    type Error = SocketError;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Pin::new(&mut self.0).poll_ready(context).map_err(SocketError::from)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SocketError> {
        Pin::new(&mut self.0).start_send(message).map_err(SocketError::from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Pin::new(&mut self.0).poll_flush(context).map_err(SocketError::from)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Pin::new(&mut self.0).poll_close(context).map_err(SocketError::from)
    }
}

/// The answer to a request that axum found to be one for a WebSocket, with the subprotocol that was chosen of those it
/// offers, and the connection after it. None: there is no key, or nothing to be upgraded.
#[must_use]
pub fn upgraded(parts: &Parts, subprotocol: Option<&'static str>) -> Option<(Response, OnUpgrade)> {
    let key = parts.headers.get(header::SEC_WEBSOCKET_KEY)?;
    let connection = parts.extensions.get::<OnUpgrade>()?.clone();
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()?;
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    Some((answer, connection))
}

#[cfg(test)]
mod tests;
