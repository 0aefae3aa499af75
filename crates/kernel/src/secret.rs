//! Secrets: sealed before they reach the store, and shown by nothing. See [`crate::Sealer`].

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::{Result, bytes::random};

/// Bytes that must not be seen. `Debug` and `Display` print `[secret]`; there is no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes `bytes` into care.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the one place that hands them over. Name that place in review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// `length` bytes that follow from these and from `info` (HKDF-SHA-256, RFC 5869).
    ///
    /// # Panics
    /// Where `length` exceeds 8160 bytes, the most that HKDF-SHA-256 gives.
    #[must_use]
    pub fn derive(&self, info: &str, length: usize) -> Self {
        let mut bytes = vec![0; length];
        hkdf::Hkdf::<Sha256>::new(None, &self.0)
            .expand(info.as_bytes(), &mut bytes)
            .expect("length is within what HKDF-SHA-256 gives");
        Self(bytes)
    }

    /// The same as text; `None` where the bytes are not UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// Whether two are the same, in a time that tells nothing of where they differ: digests are compared, and
/// every byte of them.
pub fn same(one: impl AsRef<[u8]>, other: impl AsRef<[u8]>) -> bool {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differences) == 0
}

/// A text of 256 random bits, as base64url: nobody guesses it.
///
/// # Errors
/// `Internal` where the system gives no random bytes.
pub fn random_token() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// The SHA-256 of a token, as base64url: what it is kept by, so that the token does not follow from it.
pub fn digest(token: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
