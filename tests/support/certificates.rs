//! A certificate authority of the tests' own, and clients that trust it alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whom a certificate of the tests is for.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A new certificate for this machine.
    pub fn certificate(&self) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
        let signed = params.signed_by(&key, &self.0).unwrap();
        Certificate { cert: signed.pem(), key: key.serialize_pem(), der: signed.der().clone() }
    }

    /// A client that trusts this authority.
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(versions.with_root_certificates(roots).with_no_client_auth())
    }

    /// A connection after its handshake.
    pub async fn connect(&self, address: SocketAddr) -> TlsStream<TcpStream> {
        let name = ServerName::try_from(NAMES[0]).unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(self.client()).connect(name, stream).await.unwrap()
    }

    /// The certificate that new connections get.
    pub async fn shown(&self, address: SocketAddr) -> CertificateDer<'static> {
        self.connect(address).await.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

pub struct Certificate {
    pub cert: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Certificate {
    /// Writes both files into `folder`.
    pub fn write(&self, folder: &Path) -> Files {
        let files = Files { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        std::fs::write(&files.cert, &self.cert).unwrap();
        std::fs::write(&files.key, &self.key).unwrap();
        files
    }
}

pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Files {
    /// As the configuration names them.
    pub fn toml(&self) -> String {
        format!("[tls]\ncert = {:?}\nkey = {:?}\n", self.cert, self.key)
    }
}
