//! A gateway as careless as they come: whatever it answers, it quotes the number back.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{Arrived, Somebody};

/// Over plain http.
pub async fn plain() -> Somebody {
    Somebody::start(answer).await
}

/// Over https; the file `ca.pem` in `folder` is the authority that vouches for it.
pub async fn encrypted(folder: &Path) -> Somebody {
    touchtone::http::install_crypto_provider();
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(folder.join("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let authority = Issuer::new(authority, authority_key);
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Somebody::start_on(Encrypted { listener, acceptor: TlsAcceptor::from(Arc::new(config)) }, answer)
}

fn answer(arrived: &Arrived) -> (u16, String) {
    if arrived.path.starts_with("/Stripe/") {
        let message = format!("{} is no number for us", arrived.field("card[number]"));
        let error = json!({"type": "card_error", "code": "card_declined", "decline_code": "generic_decline", "message": message});
        return (402, json!({"error": error}).to_string());
    }
    // Whoever only looks whether it is there sends nothing.
    let Ok(body) = serde_json::from_str::<Value>(&arrived.body) else { return (200, "{}".to_owned()) };
    let number = body["cardnumber"].as_str().or(body["bankaccountnumber"].as_str()).unwrap_or_default();
    if arrived.path == "/Garbled" {
        return (200, format!("{{\"charge_id\": \"ch_1\", \"seen\": \"{number}"));
    }
    let answer = if body["amount"] == "5.05" {
        json!({
            "charge_id": null, "error_code": "refused", "error_message": format!("number {number}, code {}", body["cvv"]),
            "parameters": {"seen": number, "code": body["cvv"]},
        })
    } else {
        json!({"charge_id": "ch_1", "error_code": null, "parameters": {"seen": number, "code": body["cvv"]}})
    };
    (200, answer.to_string())
}

struct Encrypted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
