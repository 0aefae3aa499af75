//! Secrets: sealed before they reach the store, and shown by nothing. See [`crate::Sealer`].

use std::fmt;

use sha2::{Digest as _, Sha256};

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
