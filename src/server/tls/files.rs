//! The certificate and key of `[tls]`: two PEM files, read at the start and looked at again while the server runs.
//!
//! Shape:   [`TlsFiles::open`] reads them once; each [`TlsFiles::look`] says whether there is something new, good or faulty.
//! Limits:  [`FILE_MAX`] a file.
//! Errors:  [`TlsError`]: which key of the configuration, which file, what to do. A certificate out of its time is a warning
//!          only: it can still be the one that somebody has pinned, and its successor is taken without a restart.
//! Secrets: contents are wiped after use. What is remembered of them is a hash under a random key of this process.
//! Sources: RFC 7468 (PEM), RFC 5958, RFC 8017 and RFC 5915 (the forms of a key).
#![allow(clippy::disallowed_methods, reason = "it reads files, on threads that may be held up")]

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, InconsistentKeys, RootCertStore, ServerConfig, crypto, version};
use zeroize::Zeroizing;

/// Longer than any chain, in bytes: what is longer is another file.
const FILE_MAX: u64 = 1024 * 1024;

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there.
    #[error("tls.{key}: there is no file {file}; write the path of a PEM file, or remove [tls] to serve plain http")]
    Missing {
        /// `cert` or `key`.
        key: &'static str,
        /// The file.
        file: String,
    },
    /// A file cannot be read.
    #[error("tls.{key}: {file} cannot be read: {source}; let the user of touchtone read it")]
    Unreadable {
        /// `cert` or `key`.
        key: &'static str,
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// No certificate in it.
    #[error(
        "tls.cert: {file} holds no PEM certificate; it must have BEGIN CERTIFICATE lines, the server's own certificate first, then those that vouch for it"
    )]
    NoCertificate {
        /// The file.
        file: String,
    },
    /// Something else than a certificate.
    #[error("tls.cert: {file} holds a certificate that cannot be used ({reason}); get it again")]
    BadCertificate {
        /// The file.
        file: String,
        /// Why, in the library's words.
        reason: String,
    },
    /// No key in it.
    #[error("tls.key: {file} holds no PEM private key; it must have a BEGIN PRIVATE KEY line")]
    NoKey {
        /// The file.
        file: String,
    },
    /// A key under a passphrase.
    #[error("tls.key: {file} is encrypted; write it without a passphrase (openssl pkey -in ... -out ...)")]
    EncryptedKey {
        /// The file.
        file: String,
    },
    /// A key of no use.
    #[error(
        "tls.key: {file} holds a key that cannot be used ({reason}); use RSA from 2048 bits, P-256, P-384 or Ed25519"
    )]
    BadKey {
        /// The file.
        file: String,
        /// Why, in the library's words.
        reason: String,
    },
    /// Two that do not belong together.
    #[error(
        "tls: the key in {key} is not that of the first certificate in {cert}; name two files that were made together"
    )]
    Mismatch {
        /// The certificate's file.
        cert: String,
        /// The key's file.
        key: String,
    },
}

/// What a look at the files found.
#[derive(Debug)]
pub(super) enum Look {
    /// Nothing to do: as before, or in the middle of being changed, or a fault that was told.
    Same,
    /// A new pair.
    Changed(Arc<ServerConfig>),
    /// Faulty now and at the look before, told for the first time.
    Faulty(TlsError),
}

/// The files, and what was seen of them.
#[derive(Debug)]
pub(super) struct TlsFiles {
    cert: PathBuf,
    key: PathBuf,
    hashes: RandomState,
    /// Of the pair in use.
    taken: u64,
    fault: Option<ReloadFault>,
}

/// A fault of the last look.
#[derive(Debug)]
struct ReloadFault {
    said: String,
    told: bool,
}

impl TlsFiles {
    /// Reads the pair for the first time.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(super) fn open(config: &crate::config::TlsSettings) -> Result<(Self, Arc<ServerConfig>), TlsError> {
        let (cert, key) = (config.cert.clone(), config.key.clone());
        let mut files = Self { cert, key, hashes: RandomState::new(), taken: 0, fault: None };
        let pair = files.read()?;
        files.taken = files.hash(&pair);
        let first = files.checked(&pair)?;
        Ok((files, first))
    }

    /// Looks again. Two files are not written at once: a fault is told only when the next look finds it still there.
    pub(super) fn look(&mut self) -> Look {
        let found = self.read().and_then(|pair| {
            let hash = self.hash(&pair);
            if hash == self.taken { Ok(None) } else { self.checked(&pair).map(|changed| Some((hash, changed))) }
        });
        match found {
            Ok(None) => {
                self.fault = None;
                Look::Same
            }
            Ok(Some((hash, changed))) => {
                (self.taken, self.fault) = (hash, None);
                Look::Changed(changed)
            }
            Err(error) => self.suspect(error),
        }
    }

    fn suspect(&mut self, error: TlsError) -> Look {
        let said = error.to_string();
        match &mut self.fault {
            Some(fault) if fault.said == said => {
                if std::mem::replace(&mut fault.told, true) {
                    Look::Same
                } else {
                    Look::Faulty(error)
                }
            }
            _ => {
                self.fault = Some(ReloadFault { said, told: false });
                Look::Same
            }
        }
    }

    fn read(&self) -> Result<TlsPair, TlsError> {
        Ok(TlsPair { cert: read("cert", &self.cert)?, key: read("key", &self.key)? })
    }

    fn hash(&self, pair: &TlsPair) -> u64 {
        self.hashes.hash_one((pair.cert.as_slice(), pair.key.as_slice()))
    }

    /// What the server does with the pair, if it is one.
    fn checked(&self, pair: &TlsPair) -> Result<Arc<ServerConfig>, TlsError> {
        let (cert_file, key_file) = (|| shown(&self.cert), || shown(&self.key));
        let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&pair.cert).collect();
        let chain = chain.map_err(|error| TlsError::BadCertificate { file: cert_file(), reason: error.to_string() })?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate { file: cert_file() });
        }
        let Ok(key) = PrivateKeyDer::from_pem_slice(&pair.key) else {
            return Err(if contains(&pair.key, b"ENCRYPTED") {
                TlsError::EncryptedKey { file: key_file() }
            } else {
                TlsError::NoKey { file: key_file() }
            });
        };
        let leaf = chain.first().cloned();
        let unusable = |error: rustls::Error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { cert: cert_file(), key: key_file() }
            }
            rustls::Error::InvalidCertificate(reason) => {
                TlsError::BadCertificate { file: cert_file(), reason: reason.to_string() }
            }
            other => TlsError::BadKey { file: key_file(), reason: other.to_string() },
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        if let Some(fault) = leaf.and_then(|leaf| out_of_time(&leaf, UnixTime::now())) {
            tracing::warn!(
                file = cert_file(),
                reason = fault,
                "tls.cert holds a certificate that is out of time; platforms will refuse it: renew it"
            );
        }
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Whether a certificate is out of its time at `now`, with the date.
///
/// It is vouched for by itself here: whether it is in its time is looked at before that, and nothing else is asked.
pub(super) fn out_of_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<String> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).ok()?;
    let algorithms = crypto::ring::default_provider().signature_verification_algorithms.all;
    let date = |time: UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).map(|date| date.to_string()).unwrap_or_default()
    };
    match verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(format!("expired at {}", date(not_after)))
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            Some(format!("is not valid before {}", date(not_before)))
        }
        _ => None,
    }
}

/// What the files hold.
struct TlsPair {
    cert: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

fn read(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => TlsError::Missing { key, file: shown(path) },
        _ => TlsError::Unreadable { key, file: shown(path), source },
    };
    // Before it is opened: a pipe would keep us waiting.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > FILE_MAX {
        return Err(unreadable(io::Error::other("it is no PEM file")));
    }
    // Room for all of it at once, so that no part of a key is left behind in memory that grew.
    let mut contents = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_MAX).read_to_end(&mut contents).map_err(unreadable)?;
    Ok(contents)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}
