//! Encryption at rest: what the database's files show nobody.
//!
//! Shape:   [`Seal::fingerprint`] tells two texts apart without showing either. [`Seal::close`] and [`Seal::open`]: AES-256-GCM, a random nonce of 12 bytes before the sealed text. A text is bound to
//!          its place in the database ([`SealedPlace`], associated data): what somebody moves to another row does not open there.
//! Limits:  2^32 texts a key are safe with random nonces (NIST SP 800-38D, section 8.3): at a thousand a second, 49 days
//!          of nothing else; a key per kind of server is enough for years of payments.
//! Errors:  [`SealError::Opening`] for another key as for altered bytes: nobody can tell them apart.

use std::borrow::Cow;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hmac;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Why something is not sealed or not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key does not fit, or the bytes were altered.
    #[error("what is stored was sealed with another secret_key, or was altered")]
    Opening,
    /// There is no randomness for a nonce.
    #[error("the system has no random numbers: {0}")]
    Random(String),
    /// The text is too long.
    #[error("too long to be sealed")]
    Closing,
}

/// Where a sealed text stands: the column, and what names its row.
#[derive(Clone, Debug)]
pub struct SealedPlace<'a> {
    column: &'static str,
    row: Cow<'a, str>,
}

impl<'a> SealedPlace<'a> {
    /// What a payment's outcome is told with.
    #[must_use]
    pub const fn payment(sid: &'a str) -> Self {
        Self { column: "payments.sealed", row: Cow::Borrowed(sid) }
    }

    /// What a connector noted of a payment.
    #[must_use]
    pub const fn payment_note(sid: &'a str) -> Self {
        Self { column: "payments.note", row: Cow::Borrowed(sid) }
    }

    /// What a session's end is told with.
    #[must_use]
    pub const fn session(sid: &'a str) -> Self {
        Self { column: "sessions.sealed", row: Cow::Borrowed(sid) }
    }

    /// A callback's address and fields, by its token.
    #[must_use]
    pub fn callback(token: Uuid) -> Self {
        Self { column: "callbacks.sealed", row: Cow::Owned(token.to_string()) }
    }

    /// A connector's configuration.
    #[must_use]
    pub const fn connector(name: &'a str) -> Self {
        Self { column: "connectors.sealed", row: Cow::Borrowed(name) }
    }

    /// A small text.
    #[must_use]
    pub const fn note(name: &'a str) -> Self {
        Self { column: "notes.text", row: Cow::Borrowed(name) }
    }

    /// No column's name has a blank.
    fn data(&self) -> String {
        format!("{} {}", self.column, self.row)
    }
}

/// A text that was sealed.
#[derive(Debug)]
pub struct Opened {
    /// The text.
    pub text: Secret,
    /// Whether it is bound to its place. What an earlier version sealed is not, and should be sealed anew.
    pub is_bound: bool,
}

/// A key that seals.
pub struct Seal {
    key: LessSafeKey,
    fingerprints: hmac::Key,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// Of a key's text, of any length: its SHA-256 is the key. A text that people made up is as weak as it is there; the
    /// one that touchtone makes has 256 random bits.
    ///
    /// # Errors
    /// None that can happen: a SHA-256 is as long as a key.
    pub fn new(key: &Secret) -> Result<Self, SealError> {
        Self::of_hash(digest(&SHA256, key.expose().as_bytes()).as_ref())
    }

    /// Of 32 random bytes.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_bytes(bytes: &[u8; 32]) -> Result<Self, SealError> {
        Self::of_hash(bytes)
    }

    fn of_hash(hash: &[u8]) -> Result<Self, SealError> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, hash).map_err(|_| SealError::Closing)?);
        // No key serves two ends.
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, hash), b"touchtone fingerprint");
        Ok(Self { key, fingerprints: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) })
    }

    /// Seals a text for its place.
    ///
    /// # Errors
    /// [`SealError::Random`], [`SealError::Closing`].
    pub fn close(&self, text: &Secret, place: SealedPlace<'_>) -> Result<Vec<u8>, SealError> {
        self.close_with(text, Aad::from(place.data().as_bytes()))
    }

    fn close_with(&self, text: &Secret, data: Aad<impl AsRef<[u8]>>) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| SealError::Random(error.to_string()))?;
        // In one block that is never reallocated, so that no copy of the plain text stays behind.
        let length = text.expose().len();
        let mut sealed = Zeroizing::new(Vec::with_capacity(NONCE_LEN + length + AES_256_GCM.tag_len()));
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(text.expose().as_bytes());
        let Some(plain) = sealed.get_mut(NONCE_LEN..) else { return Err(SealError::Closing) };
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, data, plain).map_err(|_| SealError::Closing)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(std::mem::take(&mut *sealed))
    }

    /// Opens what was sealed for this place, or by an earlier version for any.
    ///
    /// # Errors
    /// [`SealError::Opening`].
    pub fn open(&self, sealed: &[u8], place: SealedPlace<'_>) -> Result<Opened, SealError> {
        match self.open_with(sealed, Aad::from(place.data().as_bytes())) {
            Ok(text) => Ok(Opened { text, is_bound: true }),
            // Sealed by a version before 0.2.
            Err(_) => Ok(Opened { text: self.open_with(sealed, Aad::empty())?, is_bound: false }),
        }
    }

    fn open_with(&self, sealed: &[u8], data: Aad<impl AsRef<[u8]>>) -> Result<Secret, SealError> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Opening)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Opening)?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let plain = self.key.open_in_place(nonce, data, &mut rest).map_err(|_| SealError::Opening)?;
        String::from_utf8(plain.to_vec()).map(Secret::new).map_err(|_| SealError::Opening)
    }

    /// The same for the same text, and of no use to whoever has no key: HMAC-SHA-256, in hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self, text: &Secret) -> String {
        let tag = hmac::sign(&self.fingerprints, text.expose().as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Seals a text as versions before 0.2 did: bound to no place.
    ///
    /// # Errors
    /// As [`Self::close`].
    #[cfg(test)]
    pub(crate) fn close_unbound(&self, text: &Secret) -> Result<Vec<u8>, SealError> {
        self.close_with(text, Aad::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: SealedPlace<'_> = SealedPlace::note("1");

    fn seal(key: &str) -> Seal {
        Seal::new(&Secret::new(key.to_owned())).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_no_other() {
        let secret = Secret::new("sk_test_123".to_owned());
        let (first, second) = (seal("a").close(&secret, HERE).unwrap(), seal("a").close(&secret, HERE).unwrap());
        assert_ne!(first, second, "the same text is never sealed alike");
        assert!(!first.windows(4).any(|part| part == b"test"));
        assert_eq!(seal("a").open(&first, HERE).unwrap().text.expose(), "sk_test_123");
        assert_eq!(seal("b").open(&first, HERE).unwrap_err(), SealError::Opening);
    }

    #[test]
    fn a_fingerprint_tells_texts_apart_and_needs_the_key() {
        let of = |key: &str, text: &str| seal(key).fingerprint(&Secret::new(text.to_owned()));
        assert_eq!((of("a", "one"), of("a", "one").len()), (of("a", "one"), 64));
        assert!(of("a", "one") != of("a", "two") && of("a", "one") != of("b", "one"));
    }

    #[test]
    fn what_was_altered_or_cut_does_not_open() {
        let sealed = seal("a").close(&Secret::new("x".repeat(100)), HERE).unwrap();
        for place in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[place] ^= 1;
            assert_eq!(seal("a").open(&altered, HERE).unwrap_err(), SealError::Opening, "{place}");
            assert_eq!(seal("a").open(&sealed[..place], HERE).unwrap_err(), SealError::Opening, "{place}");
        }
    }

    #[test]
    fn what_was_sealed_for_one_place_opens_at_no_other() {
        let sealed = seal("a").close(&Secret::new("sk_test_123".to_owned()), SealedPlace::connector("Shop")).unwrap();
        for other in [
            SealedPlace::connector("Shop2"),
            SealedPlace::connector(""),
            SealedPlace::note("Shop"),
            SealedPlace::payment("Shop"),
        ] {
            assert_eq!(seal("a").open(&sealed, other.clone()).unwrap_err(), SealError::Opening, "{other:?}");
        }
        let opened = seal("a").open(&sealed, SealedPlace::connector("Shop")).unwrap();
        assert!(opened.is_bound);
    }

    #[test]
    fn what_an_earlier_version_sealed_opens_and_is_told_apart() {
        let sealed = seal("a").close_unbound(&Secret::new("sk_test_123".to_owned())).unwrap();
        let opened = seal("a").open(&sealed, HERE).unwrap();
        assert_eq!((opened.text.expose(), opened.is_bound), ("sk_test_123", false));
    }
}
