//! The files as they come and change, and handshakes of every kind, over real sockets.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::*;

/// A certificate that vouches for itself, and its key.
struct Pair {
    cert: String,
    key: String,
    der: CertificateDer<'static>,
}

impl Pair {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self { cert: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() }
    }
}

struct Folder(TempDir);

impl Folder {
    fn with(pair: &Pair) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("cert.pem", &pair.cert);
        folder.write("key.pem", &pair.key);
        folder
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn config(&self) -> crate::config::TlsSettings {
        crate::config::TlsSettings { cert: self.path("cert.pem"), key: self.path("key.pem") }
    }

    fn fault(&self) -> String {
        TlsIdentity::open(&self.config()).unwrap_err().to_string()
    }
}

fn within(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn a_pair_that_cannot_be_used_says_which_file_and_what_to_do() {
    let (pair, other) = (Pair::new(), Pair::new());
    let fault = |name: &str, text: Option<&str>| {
        let folder = Folder::with(&pair);
        match text {
            Some(text) => folder.write(name, text),
            None => std::fs::remove_file(folder.path(name)).unwrap(),
        }
        let fault = folder.fault();
        assert!(!fault.contains("hunter2"), "{fault}");
        fault
    };
    within(&fault("cert.pem", None), &["tls.cert", "no file", "cert.pem", "remove [tls]"]);
    within(&fault("key.pem", None), &["tls.key", "no file", "key.pem"]);
    within(&fault("cert.pem", Some("hunter2")), &["tls.cert", "holds no PEM certificate", "BEGIN CERTIFICATE"]);
    within(&fault("cert.pem", Some(&pair.key)), &["tls.cert", "holds no PEM certificate"]);
    within(&fault("key.pem", Some("hunter2")), &["tls.key", "holds no PEM private key", "BEGIN PRIVATE KEY"]);
    within(&fault("key.pem", Some(&pair.cert)), &["tls.key", "holds no PEM private key"]);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    within(&fault("key.pem", Some(encrypted)), &["tls.key", "is encrypted", "without a passphrase"]);
    let nonsense = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
    within(&fault("key.pem", Some(nonsense)), &["tls.key", "cannot be used", "P-256"]);
    let nonsense = "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n";
    within(&fault("cert.pem", Some(nonsense)), &["tls.cert", "cannot be used", "get it again"]);
    let torn = pair.cert.get(..pair.cert.len() / 2).unwrap();
    within(&fault("cert.pem", Some(torn)), &["tls.cert", "cannot be used"]);
    within(&fault("key.pem", Some(&other.key)), &["not that of the first certificate", "made together"]);
    let folder = Folder::with(&pair);
    std::fs::remove_file(folder.path("key.pem")).unwrap();
    std::fs::create_dir(folder.path("key.pem")).unwrap();
    within(&folder.fault(), &["tls.key", "cannot be read", "no PEM file"]);
    let file = std::fs::File::create(folder.path("cert.pem")).unwrap();
    file.set_len(100 * 1024 * 1024).unwrap();
    within(&folder.fault(), &["tls.cert", "cannot be read", "no PEM file"]);
}

fn files(folder: &Folder) -> TlsFiles {
    TlsFiles::open(&folder.config()).unwrap().0
}

#[test]
fn a_new_pair_is_taken_once_both_its_files_are_there() {
    let (old, new) = (Pair::new(), Pair::new());
    let folder = Folder::with(&old);
    let mut files = files(&folder);
    assert!(matches!(files.look(), Look::Same));
    folder.write("cert.pem", &new.cert);
    assert!(matches!(files.look(), Look::Same), "the key is still to come");
    folder.write("key.pem", &new.key);
    assert!(matches!(files.look(), Look::Changed(_)));
    assert!(matches!(files.look(), Look::Same));
}

#[test]
fn a_fault_that_stays_is_told_once_and_forgotten_with_its_cure() {
    let pair = Pair::new();
    let folder = Folder::with(&pair);
    let mut files = files(&folder);
    for _ in 0..2 {
        folder.write("key.pem", "nothing");
        assert!(matches!(files.look(), Look::Same));
        let Look::Faulty(fault) = files.look() else { panic!("it stays") };
        assert!(matches!(fault, TlsError::NoKey { .. }));
        assert!(matches!(files.look(), Look::Same));
        std::fs::remove_file(folder.path("key.pem")).unwrap();
        assert!(matches!(files.look(), Look::Same), "another fault, which may pass");
        assert!(matches!(files.look(), Look::Faulty(TlsError::Missing { .. })));
        folder.write("key.pem", &pair.key);
        assert!(matches!(files.look(), Look::Same), "the pair in use is back");
    }
}

/// Says a line and closes, on every connection that gets that far.
async fn start(pair: &Pair) -> (SocketAddr, watch::Sender<Arc<ServerConfig>>) {
    let folder = Folder::with(pair);
    let tls = TlsIdentity::open(&folder.config()).unwrap();
    let current = tls.current.clone();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut listener = TlsListener {
        limiter: ConnectionLimiter::new(
            socket,
            0,
            crate::config::ConnectionLimits::default(),
            &crate::http::TrustedProxies::default(),
        ),
        current: current.subscribe(),
        handshakes: Handshakes::default(),
        _follower: JoinSet::new(),
    };
    tokio::spawn(async move {
        loop {
            let (mut stream, _visit) = listener.next().await;
            tokio::spawn(async move {
                let _ = stream.write_all(b"hello").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, current)
}

/// What an honest client hears, which trusts this pair alone.
async fn heard(address: SocketAddr, trusted: &Pair) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

#[tokio::test]
async fn those_who_say_nothing_keep_nobody_waiting() {
    let pair = Pair::new();
    let (address, _current) = start(&pair).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(heard(address, &pair).await.unwrap(), "hello");
}

#[tokio::test]
async fn when_there_are_too_many_at_once_the_oldest_handshake_goes() {
    let pair = Pair::new();
    let (address, _current) = start(&pair).await;
    let mut silent = Vec::new();
    for _ in 0..=HANDSHAKES_MAX {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut oldest = silent.remove(0);
    assert_eq!(oldest.read(&mut [0]).await.unwrap(), 0, "the oldest is closed");
    assert_eq!(heard(address, &pair).await.unwrap(), "hello");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_go_on_is_over_after_ten_seconds() {
    let pair = Pair::new();
    let (address, _current) = start(&pair).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let begun = tokio::time::Instant::now();
    stream.write_all(&[22, 3, 1]).await.unwrap();
    // With unread bytes the connection may end as reset.
    assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    let lasted = begun.elapsed();
    assert!(lasted >= HANDSHAKE_TIME && lasted < HANDSHAKE_TIME + Duration::from_secs(1), "{lasted:?}");
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    let pair = Pair::new();
    let (address, _current) = start(&pair).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    assert_eq!(body, "this address takes https, not http\n");
    assert_eq!(heard(address, &pair).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_faulty_change_keeps_the_pair_and_a_good_one_replaces_it() {
    let (old, new) = (Pair::new(), Pair::new());
    let (address, current) = start(&old).await;
    let folder = Folder::with(&old);
    let mut files = files(&folder);
    let mut look = || take(&current, files.look());
    folder.write("cert.pem", &new.cert);
    look();
    look();
    assert_eq!(heard(address, &old).await.unwrap(), "hello");
    assert!(heard(address, &new).await.is_err());
    folder.write("key.pem", &new.key);
    look();
    assert_eq!(heard(address, &new).await.unwrap(), "hello");
    assert!(heard(address, &old).await.is_err());
}

#[test]
fn a_certificate_out_of_its_time_is_noticed_with_the_date() {
    let at = |seconds: u64| rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let key = rcgen::KeyPair::generate().unwrap();
    for is_authority in [false, true] {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 31);
        params.not_after = rcgen::date_time_ymd(2026, 5, 1);
        if is_authority {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        let der = params.self_signed(&key).unwrap().der().clone();
        let (begin, end) = (1_769_817_600, 1_777_593_600);
        assert_eq!(files::out_of_time(&der, at(begin)), None);
        assert_eq!(files::out_of_time(&der, at(end)), None);
        assert_eq!(files::out_of_time(&der, at(end + 1)).unwrap(), "expired at 2026-05-01T00:00:00Z");
        assert_eq!(files::out_of_time(&der, at(begin - 1)).unwrap(), "is not valid before 2026-01-31T00:00:00Z");
    }
}

#[test]
fn nothing_of_a_key_is_shown() {
    let pair = Pair::new();
    let folder = Folder::with(&pair);
    let shown = format!("{:?}", TlsIdentity::open(&folder.config()).unwrap());
    let line = pair.key.lines().nth(1).unwrap();
    assert!(!shown.contains(line) && shown.contains(Path::new("key.pem").to_str().unwrap()), "{shown}");
}
